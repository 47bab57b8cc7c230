//! Comparison of names: of files, of columns, and of classes.
//!
//! Systems write one name in several ways: macOS decomposes accents, Windows separates
//! folders by `\` and ignores case, and tables begin paths with `./`.

/// Unicode's composed form (NFC) of a name. Names that look the same are then equal.
pub fn composed(name: &str) -> String {
    if name.is_ascii() {
        return name.into();
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use unicode_normalization::UnicodeNormalization;
        name.nfc().collect()
    }
    // Every browser has it: no tables of our own to download.
    #[cfg(all(target_arch = "wasm32", feature = "browser"))]
    {
        js_sys::JsString::from(name).normalize("NFC").into()
    }
    #[cfg(all(target_arch = "wasm32", not(feature = "browser")))]
    {
        name.into()
    }
}

/// Key that is equal for names which people take for one: composed, in lower case, with
/// single spaces.
pub fn folded(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    composed(&words.join(" ")).to_lowercase()
}

/// Path with `/` between folders and without empty, `.` and `..` parts. A `..` that leads
/// out of the data is dropped, and so is the root of an absolute path with its drive.
pub fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let path = path.replace('\\', "/");
    let path = match has_drive(&path) {
        true => &path[2..],
        false => &path,
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a relative path leads out of where it begins.
pub fn leads_out(path: &str) -> bool {
    let mut depth = 0;
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Whether a path begins at the root of some machine's disk.
pub fn is_absolute(path: &str) -> bool {
    has_drive(path) || path.starts_with(['/', '\\'])
}

/// Whether a path begins with a drive of Windows and its root: `C:\`.
fn has_drive(path: &str) -> bool {
    path.as_bytes().first_chunk::<3>().is_some_and(|start| {
        start[0].is_ascii_alphabetic() && start[1] == b':' && b"/\\".contains(&start[2])
    })
}

/// Last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Path and extension, in lower case; empty without one.
pub fn split_extension(path: &str) -> (&str, String) {
    match file_name(path).rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (
            &path[..path.len() - extension.len() - 1],
            extension.to_ascii_lowercase(),
        ),
        _ => (path, String::new()),
    }
}

/// Path for another file of that name: `cat (2).jpg` for `cat.jpg`.
pub fn numbered(path: &str, number: usize) -> String {
    let (stem, _) = split_extension(path);
    let end = &path[stem.len()..];
    format!("{stem} ({number}){end}")
}

/// Name without what would make it another path, on any system.
pub fn file_safe(name: &str) -> String {
    let safe: String = (name.trim().chars())
        .map(|c| match c.is_control() || "/\\:*?\"<>|".contains(c) {
            true => '_',
            false => c,
        })
        .collect();
    // Windows drops dots and spaces at the end.
    match safe.trim_matches(['.', ' ']) {
        "" => "unnamed".into(),
        safe => safe.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_one() {
        assert_eq!(composed("cafe\u{301}"), "café");
        assert_eq!(composed("\u{1112}\u{1161}\u{11ab}"), "한");
        for (one, other) in [
            ("Café", "CAFE\u{301}"),
            ("black  cat", "Black cat"),
            (" dog", "dog\u{a0}"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("cat"), folded("cats"));
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("./a.png", "a.png"),
            (".\\cats\\a.png", "cats/a.png"),
            ("cats//./a.png", "cats/a.png"),
            ("labels/../cats/a.png", "cats/a.png"),
            ("../../a.png", "a.png"),
            ("/a.png", "a.png"),
            ("C:\\cats\\a.png", "cats/a.png"),
            ("c:a.png", "c:a.png"),
            ("...", "..."),
            ("", ""),
        ] {
            assert_eq!(clean_path(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_that_lead_out_are_told() {
        for path in ["../a.png", "cats/../../a.png", "./..", "a\\..\\..\\b"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["a.png", "cats/../a.png", "..a", "a/b/../../c", "/a", ""] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn absolute_paths_are_those_of_every_system() {
        for path in [
            "/data/a.png",
            "C:\\data\\a.png",
            "d:/a.png",
            "\\\\host\\a.png",
        ] {
            assert!(is_absolute(path), "{path}");
        }
        for path in ["a.png", "./a.png", "c:a.png", "cats/a.png", ""] {
            assert!(!is_absolute(path), "{path}");
        }
    }

    #[test]
    fn extensions_are_those_of_the_last_part() {
        assert_eq!(split_extension("a.b/c.PNG"), ("a.b/c", "png".into()));
        assert_eq!(split_extension("a.b/c"), ("a.b/c", String::new()));
        assert_eq!(split_extension(".hidden"), (".hidden", String::new()));
    }
}
