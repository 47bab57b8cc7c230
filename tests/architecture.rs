//! The modules' imports against the table in `ARCHITECTURE.md`.

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
