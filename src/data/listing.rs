//! Paths of a data set, and where a table's names are found among them.

use std::collections::{BTreeSet, HashMap};

use super::is_image_name;
use super::names::{
    clean_path, composed, file_name, folded, is_absolute, leads_out, split_extension,
};
use super::table;
use crate::diagnostic::{Diagnostic, diagnostic};

/// Paths of a data set, without the files of operating systems.
pub(super) struct Listing {
    pub paths: Vec<String>,
    /// The common parent folder, with a trailing `/`; empty without one.
    around: String,
    /// Paths by their composed form.
    composed: HashMap<String, usize>,
    /// Paths that differ in case only; `None` where there are several.
    folded: HashMap<String, Option<usize>>,
    /// Pictures without their extension; `None` where there are several.
    stems: HashMap<String, Option<usize>>,
    /// Paths by file name.
    names: HashMap<String, Vec<usize>>,
}

/// File that a table's name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Where the table says.
    There(&'a str),
    /// Under a name that is written otherwise: the user is told.
    Elsewhere(&'a str),
    /// Nowhere, and why.
    Nowhere(Diagnostic),
}

impl Listing {
    pub fn new(mut paths: Vec<String>) -> Self {
        let hidden = |part: &str| {
            part.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&part)
        };
        paths.retain(|path| !path.is_empty() && !path.split('/').any(hidden));
        paths.sort();
        let mut listing = Self {
            paths,
            around: String::new(),
            composed: HashMap::new(),
            folded: HashMap::new(),
            stems: HashMap::new(),
            names: HashMap::new(),
        };
        let files = (listing.paths.iter().enumerate()).filter(|(_, path)| !path.ends_with('/'));
        let once = |map: &mut HashMap<String, Option<usize>>, key: String, index| {
            map.entry(key)
                .and_modify(|only| *only = None)
                .or_insert(Some(index));
        };
        for (index, path) in files {
            listing.composed.entry(composed(path)).or_insert(index);
            once(&mut listing.folded, folded(path), index);
            let (stem, _) = split_extension(path);
            if is_image_name(path) {
                once(&mut listing.stems, folded(stem), index);
            }
            (listing.names.entry(folded(file_name(path))))
                .or_default()
                .push(index);
        }
        listing.around = listing.find_root();
        listing
    }

    /// Zips and dropped folders often have a single folder around everything, with a
    /// README beside it. One that contains pictures directly is a class, unless a table is
    /// there.
    fn find_root(&self) -> String {
        let mut root = String::new();
        loop {
            let counts = |path: &&str| path.contains('/') || is_data(path);
            let inside = || {
                (self.paths.iter())
                    .filter_map(|path| path.strip_prefix(&root))
                    .filter(counts)
            };
            let Some((folder, _)) = inside().next().and_then(|path| path.split_once('/')) else {
                return root;
            };
            let around = format!("{folder}/");
            if !inside().all(|path| path.starts_with(&around)) {
                return root;
            }
            let mut within = inside().filter_map(|path| path.strip_prefix(&around));
            if !within.any(|path| path.contains('/') || table::is_table(path)) {
                return root;
            }
            root.push_str(&around);
        }
    }

    /// The part of a path inside the common parent folder; nothing for what lies beside it.
    pub fn inner<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.around).unwrap_or_default()
    }

    /// Tables directly in `folder`, an inner path that is empty or ends with `/`.
    pub fn tables_in(&self, folder: &str) -> Vec<&String> {
        let inside = |path: &&String| {
            let name = self.inner(path).strip_prefix(folder);
            name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
        };
        let mut tables = self.tables();
        tables.retain(inside);
        tables
    }

    /// All tables.
    pub fn tables(&self) -> Vec<&String> {
        (self.paths.iter())
            .filter(|path| table::is_table(path))
            .collect()
    }

    /// Number of folders at the top that hold pictures at any depth.
    pub fn folders_of_pictures(&self) -> usize {
        let pictures = self.paths.iter().filter(|path| is_image_name(path));
        let folders = pictures.filter_map(|path| Some(self.inner(path).split_once('/')?.0));
        folders.collect::<BTreeSet<_>>().len()
    }

    /// Folders directly in `folder` that hold pictures or tables at any depth, in order.
    pub fn folders_in<'a>(&'a self, folder: &str) -> Vec<&'a str> {
        let mut folders: Vec<&str> = (self.paths.iter())
            .filter(|path| !path.ends_with('/') && is_data(path))
            .filter_map(|path| Some(self.inner(path).strip_prefix(folder)?.split_once('/')?.0))
            .collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// File named `image` by a table in `folder`.
    pub fn find(&self, folder: &str, image: &str) -> Found<'_> {
        if image.contains("://") {
            return Found::Nowhere(diagnostic!(
                "address-in-table",
                "is an address, not a file: download it first"
            ));
        }
        if clean_path(image).is_empty() {
            return Found::Nowhere(diagnostic!(
                "no-path-in-table",
                "names no file: write the image's path there"
            ));
        }
        if leads_out(&format!("{folder}/{image}")) {
            return Found::Nowhere(diagnostic!(
                "outside-of-data",
                "lies outside of the data: give the folder that holds both"
            ));
        }
        let path = clean_path(&format!("{folder}/{image}"));
        let at = |index: usize| self.paths[index].as_str();
        // From the table's folder, or else from the top of the data.
        let from_top = clean_path(&format!("{}{image}", self.around));
        for path in [&path, &from_top] {
            if let Some(index) = self.composed.get(&composed(path)) {
                return Found::There(at(*index));
            }
        }
        let written_otherwise = self.folded.get(&folded(&path)).copied().flatten();
        let without_extension = || self.stems.get(&folded(&path)).copied().flatten();
        if let Some(index) = written_otherwise.or_else(without_extension) {
            return Found::Elsewhere(at(index));
        }
        let namesakes = self.names.get(&folded(file_name(&clean_path(image))));
        let has_folder = clean_path(image).contains('/') || is_absolute(image);
        match (namesakes.map(Vec::as_slice), has_folder) {
            (None | Some([]), _) => Found::Nowhere(Diagnostic::default()),
            (Some([only]), false) => Found::Elsewhere(at(*only)),
            (Some([only]), true) => Found::Nowhere(diagnostic!(
                "in-another-folder",
                "does not exist; there is {file}, in another folder",
                file = at(*only)
            )),
            (Some(several), _) => Found::Nowhere(diagnostic!(
                "in-other-folders",
                "does not exist there; {count} files in other folders have that name: write the folder, too",
                count = several.len()
            )),
        }
    }

    /// Leading folders of absolute paths that are another machine's, or lie around the data:
    /// without them most of the files are found relative to `folder`. Cleaned, with a
    /// trailing `/`; `None` if no file is found so.
    pub fn foreign_folders(&self, folder: &str, absolute: &[&str]) -> Option<String> {
        // Each is looked up with all that follow; no disk has more.
        const DEPTH: usize = 100;
        let mut found: HashMap<String, usize> = HashMap::new();
        let paths = absolute.iter().map(|path| clean_path(path));
        for path in paths.filter(|path| path.split('/').count() <= DEPTH) {
            let ends = path.match_indices('/').map(|(at, _)| at + 1);
            for (leading, rest) in [0].into_iter().chain(ends).map(|at| path.split_at(at)) {
                if matches!(self.find(folder, rest), Found::There(_)) {
                    *found.entry(leading.into()).or_default() += 1;
                }
            }
        }
        (found.into_iter())
            .max_by_key(|(leading, count)| (*count, std::cmp::Reverse(leading.clone())))
            .map(|(leading, _)| leading)
    }
}

/// Whether a file is a picture or a table, by its extension.
fn is_data(path: &str) -> bool {
    is_image_name(path) || table::is_table(path)
}

/// Why a file that is no picture cannot be used, if it may hold what the user wants to use.
pub(super) fn unusable(path: &str) -> Option<Diagnostic> {
    match split_extension(path).1.as_str() {
        "zip" | "tar" | "gz" | "tgz" | "bz2" | "xz" | "zst" | "7z" | "rar" => Some(diagnostic!(
            "archive-in-data",
            "an archive inside the data is not opened: unpack it"
        )),
        "xlsx" | "xls" | "ods" => Some(diagnostic!(
            "spreadsheet",
            "a spreadsheet is not read: save the table as CSV (UTF-8)"
        )),
        "parquet" | "arrow" | "feather" => Some(diagnostic!(
            "table-format",
            "this kind of table is not read: export it as CSV or JSON Lines"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        Listing::new(paths.iter().map(|path| path.to_string()).collect())
    }

    #[test]
    fn a_folder_around_everything_is_not_a_class() {
        for (paths, inner) in [
            (&["set/cat/1.png", "set/dog/2.png"][..], "cat/1.png"),
            (
                &["set/README.md", "set/cat/1.png", "set/dog/2.png"],
                "cat/1.png",
            ),
            (
                &["README.md", "set/cat/1.png", "set/dog/2.png"],
                "cat/1.png",
            ),
            (&["a/b/cat/1.png", "a/b/dog/2.png"], "cat/1.png"),
            (&["cat/1.png"], "cat/1.png"),
            (&["set/1.png", "set/t.csv"], "1.png"),
            (
                &["__MACOSX/set/x", "set/cat/1.png", "set/dog/"],
                "cat/1.png",
            ),
        ] {
            let listing = listing(paths);
            let picture = listing.paths.iter().find(|p| p.ends_with("1.png")).unwrap();
            assert_eq!(listing.inner(picture), inner, "{paths:?}");
        }
        assert_eq!(
            listing(&["README.md", "set/cat/1.png", "set/dog/2.png"]).inner("README.md"),
            ""
        );
    }

    #[test]
    fn a_name_is_found_where_the_table_says_or_not_at_all() {
        use Found::{Elsewhere, There};
        let files = listing(&[
            "set/cats/001.png",
            "set/dogs/001.png",
            "set/dogs/005.png",
            "set/dogs/cafe\u{301}.png",
            "set/x/Only.PNG",
        ]);
        for (image, expected) in [
            ("cats/001.png", There("set/cats/001.png")),
            ("./cats/001.png", There("set/cats/001.png")),
            ("cats\\001.png", There("set/cats/001.png")),
            ("/cats/001.png", There("set/cats/001.png")),
            ("cats/../dogs/001.png", There("set/dogs/001.png")),
            ("../set/cats/001.png", There("set/cats/001.png")),
            ("dogs/café.png", There("set/dogs/cafe\u{301}.png")),
            ("Cats/001.PNG", Elsewhere("set/cats/001.png")),
            ("cats/001", Elsewhere("set/cats/001.png")),
            ("only.png", Elsewhere("set/x/Only.PNG")),
            ("005.png", Elsewhere("set/dogs/005.png")),
        ] {
            assert_eq!(files.find("set", image), expected, "{image}");
        }
        for (image, why) in [
            (
                "cats/005.png",
                "there is set/dogs/005.png, in another folder",
            ),
            ("birds/001.png", "2 files in other folders have that name"),
            ("001.png", "2 files in other folders have that name"),
            ("none.png", ""),
            ("https://example.org/001.png", "download it first"),
            ("../../cats/001.png", "outside of the data"),
            ("x/../../../a.png", "outside of the data"),
            ("", "names no file"),
            ("./", "names no file"),
            ("cats", ""),
        ] {
            match files.find("set", image) {
                Found::Nowhere(said) => assert!(
                    said.text().contains(why) && said.text().is_empty() == why.is_empty(),
                    "{image}: {said}"
                ),
                other => panic!("{image}: {other:?}"),
            }
        }
    }

    #[test]
    fn absolute_paths_of_another_machine_lose_its_folders() {
        let files = listing(&["set/cats/1.png", "set/dogs/1.png", "set/2.png"]);
        for (paths, leading) in [
            (
                &["/home/me/set/cats/1.png", "/home/me/set/dogs/1.png"][..],
                Some("home/me/set/"),
            ),
            (
                &["/home/me/set/cats/1.png", "/home/me/set/cats/9.png"],
                Some("home/me/set/"),
            ),
            (&["C:\\me\\2.png"], Some("me/")),
            (&["/home/me/other/3.png"], None),
            (
                &["/home/me/set/cats/1.png", "/home/me/set/gone/9.png"],
                Some("home/me/set/"),
            ),
            // One from elsewhere hides no others.
            (
                &["/etc/passwd", "/home/me/set/cats/1.png", "/cats/1.png/x"],
                Some("home/me/set/"),
            ),
        ] {
            let found = files.foreign_folders("set", paths);
            assert_eq!(found.as_deref(), leading, "{paths:?}");
        }
    }
}
