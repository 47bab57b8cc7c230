//! The documentation: its links, and its Chinese edition beside the English one.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Markdown files of a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(folder)).unwrap();
    let mut pages: Vec<PathBuf> = (files.map(|file| file.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

/// Lines outside of code blocks, and those inside.
fn split(text: &str) -> (Vec<&str>, Vec<&str>) {
    let mut inside = false;
    let (mut prose, mut code) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            code.push(line);
        } else if inside {
            code.push(line);
        } else {
            prose.push(line);
        }
    }
    assert!(!inside, "a code block without an end");
    (prose, code)
}

/// Targets of the links and images of a text.
fn links(text: &str) -> Vec<String> {
    let (prose, _) = split(text);
    let prose = prose.join("\n");
    (prose.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// Name by which a link names a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in ["", "docs", "docs/zh", "benches", "assets"]
        .iter()
        .flat_map(|folder| pages(folder))
    {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let found = target.exists()
                && (place.is_empty() || {
                    let target = fs::read_to_string(&target).unwrap();
                    let (prose, _) = split(&target);
                    let mut headings = prose.iter().filter(|line| line.starts_with('#'));
                    headings.any(|heading| anchor(heading) == place)
                });
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What an edition in another language has in common with the first: headings by their level, rows of
/// tables, images, and code without its comments.
fn structure(text: &str) -> Vec<String> {
    let (prose, code) = split(text);
    let mut found = Vec::new();
    for line in prose {
        let level = line.len() - line.trim_start_matches('#').len();
        if level > 0 {
            found.push(format!("heading {level}"));
        } else if line.starts_with('|') {
            found.push(format!("row of {}", line.matches('|').count()));
        } else if line.starts_with("![") {
            let (_, file) = line
                .rsplit_once('/')
                .unwrap_or_else(|| line.rsplit_once('(').unwrap());
            found.push(format!("image {file}"));
        }
    }
    let code = code.into_iter().map(|line| {
        let command = line.split_once(" # ").or_else(|| line.split_once("// "));
        command
            .map_or(line, |(command, _)| command)
            .trim_end()
            .to_owned()
    });
    let is_comment = |line: &String| line.is_empty() || line.trim_start().starts_with('#');
    found.extend(code.filter(|line| !is_comment(line)));
    found
}

#[test]
fn every_page_has_a_chinese_edition() {
    for page in pages("docs") {
        let name = page.file_name().unwrap().to_str().unwrap();
        let english = fs::read_to_string(&page).unwrap();
        let chinese = fs::read_to_string(root().join("docs/zh").join(name));
        let chinese = chinese.unwrap_or_else(|error| panic!("docs/zh/{name}: {error}"));
        assert!(
            english.contains(&format!("[中文](zh/{name})")),
            "{name} names no Chinese edition"
        );
        assert!(
            chinese.contains(&format!("[English](../{name})")),
            "docs/zh/{name} names no English one"
        );
        let (ours, theirs) = (structure(&english), structure(&chinese));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "docs/zh/{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "docs/zh/{name}");
    }
}
