//! Data sets in CLIP_benchmark's layout of WebDataset shards:
//!
//! ```text
//! classnames.txt                          one class a line, by number
//! zeroshot_classification_templates.txt   one template a line, {c} for the class
//! test/nshards.txt                        number of shards
//! test/0.tar                              s0.jpg, s0.cls, s1.jpg, s1.cls, ...
//! train/...                               the same, if there is one
//! ```
//!
//! Shards are read through once for an index; images are read from their places.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, Read, Seek};

use super::names::file_name;
use super::{DataError, DataFiles, Problem, csv_field};
use crate::diagnostic::diagnostic;

/// Parts, the one to test on first.
const PARTS: [&str; 2] = ["test", "train"];
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Folder that shards are in: on disk, or in a browser. Paths begin below it.
#[allow(async_fn_in_trait)] // one thread, in the worker and in the command
pub trait ShardFolder {
    /// Open shard.
    type Shard: Read + Seek;

    /// Display name.
    fn name(&self) -> String;

    /// Whether there is such a file.
    fn has(&self, path: &str) -> bool;

    /// Text of a file; `None` if it does not exist.
    async fn text(&self, path: &str) -> Result<Option<String>, DataError>;

    /// Opens a shard, which may be read into memory for it; returns its size, too.
    async fn open(&self, path: &str) -> Result<(Self::Shard, u64), DataError>;

    /// Reads `length` bytes of a file from `offset` on.
    async fn slice(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, DataError>;
}

/// Folder of shards as files: every image of `test/0.tar` is `test/0.tar/NAME`, and
/// `test.csv` is a table of them with the numbers of their classes.
#[derive(Debug)]
pub struct WebDataset<S> {
    folder: S,
    templates: Vec<String>,
    classes: Vec<String>,
    images: BTreeMap<String, Place>,
    tables: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

/// Bytes of a shard.
#[derive(Clone, Copy, Debug)]
struct Place {
    part: &'static str,
    shard: usize,
    offset: u64,
    length: u64,
}

/// Image and class of a sample, which are two files of a shard.
#[derive(Default)]
struct Sample {
    image: Option<(String, Place)>,
    class: Option<String>,
}

fn failed(path: &str, error: &dyn std::fmt::Display) -> DataError {
    DataError::Read {
        file: path.into(),
        why: error.to_string(),
    }
}

fn shard_path(part: &str, shard: usize) -> String {
    format!("{part}/{shard}.tar")
}

impl<S: ShardFolder> WebDataset<S> {
    /// Whether a folder has this layout.
    pub fn is_at(folder: &S) -> bool {
        PARTS.iter().any(|part| folder.has(&shard_path(part, 0)))
    }

    /// Indexes the shards of a folder.
    pub async fn open(folder: S) -> Result<Self, DataError> {
        let mut found = Self {
            folder,
            templates: Vec::new(),
            classes: Vec::new(),
            images: BTreeMap::new(),
            tables: BTreeMap::new(),
            problems: Vec::new(),
        };
        let lines = async |name: &str| -> Result<Vec<String>, DataError> {
            let text = found.folder.text(name).await?.unwrap_or_default();
            let lines = text.trim_start_matches('\u{feff}').trim_end().lines();
            Ok(lines.map(|line| line.trim().to_owned()).collect())
        };
        let mut templates = lines("zeroshot_classification_templates.txt").await?;
        templates.retain(|template| !template.is_empty());
        found.classes = lines("classnames.txt").await?;
        found.templates = templates;
        for part in PARTS {
            found.add_part(part).await?;
        }
        Ok(found)
    }

    async fn add_part(&mut self, part: &'static str) -> Result<(), DataError> {
        let counted = format!("{part}/nshards.txt");
        let shards = match self.folder.text(&counted).await? {
            Some(text) => (text.trim().parse())
                .map_err(|_| failed(&counted, &"it should be the number of shards"))?,
            None => (0..)
                .take_while(|shard| self.folder.has(&shard_path(part, *shard)))
                .count(),
        };
        if shards == 0 {
            return Ok(());
        }
        let mut table = String::from("file,label\n");
        for shard in 0..shards {
            let path = shard_path(part, shard);
            let (file, size) = self.folder.open(&path).await?;
            let samples = index(file, size, part, shard).map_err(|error| failed(&path, &error))?;
            for (name, sample) in samples {
                let path = format!("{part}/{shard}.tar/{name}");
                let (Some((file, place)), Some(class)) = (sample.image, &sample.class) else {
                    let why = diagnostic!("no-pair", "it is not a pair of an image and its .cls");
                    self.problems.push(Problem::Ignored { path, why });
                    continue;
                };
                let known =
                    |number: &usize| self.classes.is_empty() || *number < self.classes.len();
                let label: Option<usize> = class.trim().parse().ok().filter(known);
                let Some(label) = label else {
                    let why = diagnostic!(
                        "no-class-number",
                        "its class \"{class}\" is not the number of one",
                        class = class.trim()
                    );
                    self.problems.push(Problem::Ignored { path, why });
                    continue;
                };
                let path = format!("{part}/{shard}.tar/{file}");
                // Writing to a String does not fail.
                let _ = writeln!(table, "{},{}", csv_field(&path), label);
                self.images.insert(path, place);
            }
        }
        self.tables.insert(format!("{part}.csv"), table);
        Ok(())
    }
}

/// Samples of a shard by their key.
fn index(
    file: impl Read + Seek,
    size: u64,
    part: &'static str,
    shard: usize,
) -> io::Result<BTreeMap<String, Sample>> {
    let mut archive = tar::Archive::new(file);
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./");
        // A key ends at the first dot of the file's name.
        let start = name.len() - file_name(name).len();
        let Some(dot) = name[start..].find('.') else {
            continue;
        };
        let (key, extension) = (&name[..start + dot], &name[start + dot + 1..]);
        let extension = extension.to_ascii_lowercase();
        let place = Place {
            part,
            shard,
            offset: entry.raw_file_position(),
            length: entry.size(),
        };
        if place.offset.saturating_add(place.length) > size {
            return Err(io::Error::other("it is cut off: download or copy it again"));
        }
        if extension == "cls" {
            let mut class = String::new();
            // A number: what is longer is none.
            (&mut entry).take(64).read_to_string(&mut class)?;
            samples.entry(key.into()).or_default().class = Some(class);
        } else if IMAGES.contains(&extension.as_str()) {
            samples.entry(key.into()).or_default().image = Some((name.into(), place));
        }
    }
    Ok(samples)
}

impl<S: ShardFolder> DataFiles for WebDataset<S> {
    fn name(&self) -> String {
        self.folder.name()
    }

    fn paths(&self) -> Vec<String> {
        self.tables
            .keys()
            .chain(self.images.keys())
            .cloned()
            .collect()
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        if let Some(table) = self.tables.get(path) {
            return Ok(table.clone().into_bytes());
        }
        let Some(place) = self.images.get(path) else {
            return Err(super::files::no_such_file(path));
        };
        let shard = shard_path(place.part, place.shard);
        self.folder.slice(&shard, place.offset, place.length).await
    }

    fn unusable(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn templates(&self) -> Vec<String> {
        self.templates.clone()
    }

    fn class_names(&self) -> Option<Vec<String>> {
        Some(self.classes.clone())
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use directory::ShardDirectory;

#[cfg(not(target_arch = "wasm32"))]
mod directory {
    use std::fs::{self, File};
    use std::io::{self, Read, Seek, SeekFrom};
    use std::path::{Path, PathBuf};

    use super::{DataError, ShardFolder, failed};

    /// Shards on disk.
    #[derive(Debug)]
    pub struct ShardDirectory(PathBuf);

    impl ShardDirectory {
        /// Folder `root`.
        pub fn new(root: &Path) -> Self {
            Self(root.into())
        }

        fn failed(&self, path: &str, error: &io::Error) -> DataError {
            failed(&self.0.join(path).display().to_string(), error)
        }
    }

    impl ShardFolder for ShardDirectory {
        type Shard = File;

        fn name(&self) -> String {
            self.0.display().to_string()
        }

        fn has(&self, path: &str) -> bool {
            self.0.join(path).is_file()
        }

        async fn text(&self, path: &str) -> Result<Option<String>, DataError> {
            match fs::read_to_string(self.0.join(path)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed(path, &error)),
            }
        }

        async fn open(&self, path: &str) -> Result<(File, u64), DataError> {
            let opened = File::open(self.0.join(path)).and_then(|file| {
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            opened.map_err(|error| self.failed(path, &error))
        }

        async fn slice(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
            let read = || -> io::Result<Vec<u8>> {
                let mut file = File::open(self.0.join(path))?;
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::new();
                file.take(length).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            read().map_err(|error| self.failed(path, &error))
        }
    }
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::*;
    use crate::data::Dataset;

    fn opened(root: &Path) -> Result<WebDataset<ShardDirectory>, DataError> {
        pollster::block_on(WebDataset::open(ShardDirectory::new(root)))
    }

    fn shard(path: &Path, files: &[(&str, &[u8])]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    fn dataset(root: &Path) -> Dataset {
        let files = opened(root).unwrap();
        pollster::block_on(Dataset::open(&files, None)).unwrap()
    }

    #[test]
    fn shards_are_parts_with_named_classes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(!WebDataset::is_at(&ShardDirectory::new(root)));
        fs::write(root.join("classnames.txt"), "cat, \"tame\"\ndog\n").unwrap();
        fs::write(
            root.join("zeroshot_classification_templates.txt"),
            "a {c}\n\n",
        )
        .unwrap();
        shard(
            &root.join("test/0.tar"),
            &[
                ("./s0.jpg", b"one"),
                ("./s0.cls", b"1\n"),
                ("./s1.PNG", b"two"),
                ("./s1.cls", b"0"),
                ("s2.webp", b"three"),
                ("s2.cls", b"7"),
                ("s3.jpg", b"four"),
                ("s4.json", b"{}"),
            ],
        );
        shard(
            &root.join("test/1.tar"),
            &[("s0.cls", b"1"), ("s0.jpg", b"five")],
        );
        fs::write(root.join("test/nshards.txt"), "2").unwrap();
        shard(
            &root.join("train/0.tar"),
            &[("a/s.0.jpg", b"x"), ("b.jpg", b"six"), ("b.cls", b"0")],
        );
        assert!(WebDataset::is_at(&ShardDirectory::new(root)));

        let files = opened(root).unwrap();
        assert_eq!(files.templates(), ["a {c}"]);
        let read = |path: &str| pollster::block_on(files.read(path)).unwrap();
        assert_eq!(read("test/0.tar/s1.PNG"), b"two");
        assert_eq!(read("test/1.tar/s0.jpg"), b"five");
        assert!(pollster::block_on(files.read("test/0.tar/s2.webp")).is_err());
        // A class that is none, and an image without one; a key ends at its first dot.
        assert_eq!(files.unusable().len(), 2, "{:?}", files.unusable());

        let mut found = dataset(root);
        assert_eq!(found.classes, ["0", "1"]);
        found.name_classes(&files.class_names().unwrap()).unwrap();
        assert_eq!(found.classes, ["cat, \"tame\"", "dog"]);
        assert_eq!(found.pictures.len(), 4);
        assert_eq!(
            found.held_out.iter().filter(|held_out| **held_out).count(),
            3
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        shard(
            &root.join("test/0.tar"),
            &[
                ("s.jpg", b"one"),
                ("s.cls", b"3"),
                ("t.jpg", b"two"),
                ("t.cls", b"4"),
            ],
        );
        let found = dataset(root);
        assert_eq!(found.classes, ["3", "4"]);
        assert_eq!(opened(root).unwrap().class_names(), Some(Vec::new()));

        fs::write(root.join("test/nshards.txt"), "2").unwrap();
        let error = opened(root).unwrap_err().to_string();
        assert!(error.contains("1.tar"), "{error}");
        fs::write(root.join("test/nshards.txt"), "two").unwrap();
        let error = opened(root).unwrap_err().to_string();
        assert!(error.contains("number of shards"), "{error}");

        fs::write(root.join("test/nshards.txt"), "1").unwrap();
        let whole = fs::read(root.join("test/0.tar")).unwrap();
        fs::write(root.join("test/0.tar"), &whole[..513]).unwrap();
        opened(root).unwrap_err();
    }
}
