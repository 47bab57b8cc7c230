//! The modules' imports against the table in `ARCHITECTURE.md`, and the names of public
//! types.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Row of the table of modules.
struct Row {
    module: String,
    allowed: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names in back quotes.
fn quoted(cell: &str) -> Vec<String> {
    (cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn table() -> Vec<Row> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    (text.lines())
        .skip_while(|line| !line.starts_with("| module | may import |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            Row {
                module: quoted(cells[1]).concat(),
                allowed: quoted(cells[2]),
            }
        })
        .collect()
}

/// Rust files in a folder, without those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|name| name != "tests")
        {
            found.push(path);
        }
    }
}

/// Modules named by `crate::…` outside of comments and of a file's `mod tests`.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code = (text.lines().enumerate()).take_while(|(_, line)| *line != "mod tests {");
    code.flat_map(|(number, line)| {
        let line = line.split("//").next().unwrap_or_default();
        line.split("crate::").skip(1).map(move |rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            (number + 1, rest[..end.unwrap_or(rest.len())].to_owned())
        })
    })
    .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table = table();
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        let first = path.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if ["bin", "lib"].contains(&module) {
            continue;
        }
        let Some(row) = table.iter().find(|row| row.module == module) else {
            wrong.push(format!("{}: `{module}` has no row", path.display()));
            continue;
        };
        for (line, import) in imports(&fs::read_to_string(&file).unwrap()) {
            if import != module && !row.allowed.contains(&import) {
                let path = path.display();
                wrong.push(format!(
                    "{path}:{line}: `{module}` may not import `{import}`"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not in the table of ARCHITECTURE.md:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_row_allows_only_modules_above_it() {
    let table = table();
    assert!(table.len() > 10, "the table was not found");
    for (index, row) in table.iter().enumerate() {
        for name in &row.allowed {
            let above = table[..index].iter().any(|other| other.module == *name);
            assert!(above, "`{}` may import `{name}` below it", row.module);
        }
    }
}

/// Layers of the page; each may import those before it.
const LAYERS: [&str; 4] = ["i18n", "domain", "controller", "view"];

/// Paths of the `use` declarations outside of `mod tests`, braces expanded.
fn uses(text: &str) -> Vec<Vec<String>> {
    let code: String = (text.lines())
        .take_while(|line| *line != "mod tests {")
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ");
    let declarations = code.split(';').filter_map(|part| {
        let start = part.rfind("use ")?;
        let before = part[..start].trim_end();
        let begins =
            before.is_empty() || before.ends_with(['}', '{', ']']) || before.ends_with("pub");
        begins.then(|| part[start + 4..].trim().to_owned())
    });
    declarations.flat_map(|tree| expand(&tree)).collect()
}

/// Paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let names = |path: &str| -> Vec<String> {
        (path.split("::").map(str::trim))
            .filter(|name| !name.is_empty())
            .map(|name| name.split(" as ").next().unwrap_or(name).to_owned())
            .collect()
    };
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![names(tree)];
    };
    let inner = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    (parts.into_iter().filter(|part| !part.trim().is_empty()))
        .flat_map(expand)
        .map(|path| [names(head), path].concat())
        .collect()
}

/// Files of the page by module path, and the modules that each imports.
fn page_imports() -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let app = root().join("src/app");
    let mut files = Vec::new();
    sources(&app, &mut files);
    let module = |file: &PathBuf| -> Vec<String> {
        let path = file.strip_prefix(&app).unwrap().with_extension("");
        (path.iter().map(|part| part.to_str().unwrap().to_owned()))
            .filter(|part| part != "mod")
            .collect()
    };
    let modules: Vec<Vec<String>> = files.iter().map(module).collect();
    // The module itself, or the one that it is an item of.
    let known = |mut path: Vec<String>| {
        while !modules.contains(&path) {
            path.pop()?;
        }
        (!path.is_empty()).then_some(path)
    };
    (files.iter().zip(&modules))
        .map(|(file, this)| {
            let imported = uses(&fs::read_to_string(file).unwrap()).into_iter();
            let targets = imported.filter_map(|path| {
                let first = path.first()?.as_str();
                let full = match first {
                    "crate" if path.get(1).is_some_and(|name| name == "app") => path[2..].to_vec(),
                    "crate" => return None,
                    "super" => {
                        let up = path.iter().take_while(|name| *name == "super").count();
                        [&this[..this.len().saturating_sub(up)], &path[up..]].concat()
                    }
                    _ => {
                        let child = [this.as_slice(), &path[..1]].concat();
                        if !modules.contains(&child) {
                            return None;
                        }
                        [this.as_slice(), &path].concat()
                    }
                };
                known(full).filter(|target| target != this)
            });
            (this.clone(), targets.collect())
        })
        .collect()
}

#[test]
fn the_pages_layers_import_only_those_above_them() {
    let imports = page_imports();
    assert!(imports.len() > 30, "the files of the page were not found");
    let layer = |path: &[String]| LAYERS.iter().position(|layer| *layer == path[0]);
    let mut wrong = Vec::new();
    for (from, targets) in &imports {
        let Some(own) = from.first().map(|_| layer(from)) else {
            continue; // src/app/mod.rs shows the page
        };
        assert!(own.is_some(), "{} is in no layer", from.join("::"));
        for to in targets.iter().filter(|to| layer(to) > own) {
            wrong.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    assert!(
        wrong.is_empty(),
        "against the layers:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_pages_domain_knows_no_browser() {
    let mut files = Vec::new();
    sources(&root().join("src/app/domain"), &mut files);
    assert!(files.len() > 10, "the domain was not found");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for name in ["leptos", "web_sys", "js_sys", "wasm_bindgen"] {
            let used = uses(&text).iter().any(|path| path.contains(&name.into()))
                || text.contains(&format!("{name}::"));
            assert!(!used, "{} uses {name}", file.display());
        }
    }
}

#[test]
fn no_files_of_the_page_import_each_other_in_a_circle() {
    let mut left = page_imports();
    // Files go that import nothing that is left, or that nothing left imports.
    loop {
        let before = left.len();
        let names: Vec<_> = left.iter().map(|(name, _)| name.clone()).collect();
        left.retain(|(_, targets)| targets.iter().any(|target| names.contains(target)));
        let wanted: Vec<_> = left
            .iter()
            .flat_map(|(_, targets)| targets.clone())
            .collect();
        left.retain(|(name, _)| wanted.contains(name));
        if left.len() == before {
            break;
        }
    }
    let circle: Vec<String> = left.iter().map(|(name, _)| name.join("::")).collect();
    assert!(
        circle.is_empty(),
        "files in a circle: {}",
        circle.join(", ")
    );
}

#[test]
fn use_declarations_are_read() {
    let text = "//! Doc; use of words.\nuse a::{b, c::{d, e as f}};\npub use g::h;\n\
                fn main() {\n    let x = 1;\n}\nmod tests {\n    use never::seen;\n";
    let read: Vec<String> = uses(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(read, ["a::b", "a::c::d", "a::c::e", "g::h"]);
}

/// Names that two public types share, with the reason.
const SHARED_NAMES: [(&str, &str); 2] = [
    ("Command", "of the page's reducers, each with its own"),
    ("PackedMatrix", "with a CPU backend and without"),
];

/// Name of the public type that a line declares.
fn declared_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let (kind, name) = rest
        .strip_prefix("unsafe ")
        .unwrap_or(rest)
        .split_once(' ')?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    let is_type = ["struct", "enum", "union", "trait", "type"].contains(&kind);
    is_type.then(|| &name[..end.unwrap_or(name.len())])
}

#[test]
fn no_two_public_types_have_one_name() {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // Programs name their own types.
    files.retain(|file| !file.starts_with(src.join("bin")));
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap().display().to_string();
        for line in fs::read_to_string(&file).unwrap().lines() {
            if let Some(name) = declared_type(line) {
                places.entry(name.into()).or_default().push(path.clone());
            }
        }
    }
    assert!(places.len() > 200, "the types were not found");
    let expected: Vec<&str> = SHARED_NAMES.iter().map(|(name, _)| *name).collect();
    let shared = places.iter().filter(|(_, places)| places.len() > 1);
    let (names, shared): (Vec<&str>, Vec<String>) = shared
        .map(|(name, places)| (name.as_str(), format!("{name}: {}", places.join(", "))))
        .unzip();
    assert_eq!(names, expected, "types of one name:\n{}", shared.join("\n"));
}

#[test]
fn declarations_of_types_are_read() {
    let lines = [
        ("pub struct A;", Some("A")),
        ("    pub enum B<T> {", Some("B")),
        ("pub unsafe trait C: D {", Some("C")),
        ("pub type E = F;", Some("E")),
        ("struct G;", None),
        ("pub(crate) struct H;", None),
        ("pub fn struct_of() {", None),
        ("// pub struct I;", None),
    ];
    for (line, name) in lines {
        assert_eq!(declared_type(line), name, "{line}");
    }
}
