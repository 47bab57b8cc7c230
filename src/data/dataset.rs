//! Data set index: pictures, examples and problems.

#[cfg(feature = "training")]
use std::collections::HashSet;
use std::collections::{BTreeMap, HashMap};
#[cfg(feature = "training")]
use std::hash::{DefaultHasher, Hash, Hasher};

use super::table::{self, Row};
use super::{DataError, DataFiles, Problem};
#[cfg(feature = "training")]
use crate::preprocess::{Picture, decode};

/// Labelled pictures.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Display name.
    pub name: String,
    /// Class names, sorted; empty for pictures with captions only.
    pub classes: Vec<String>,
    /// Unique paths of the pictures.
    pub pictures: Vec<String>,
    /// Labels and captions of the pictures.
    pub examples: Vec<Example>,
    /// Files that had to be left out.
    pub problems: Vec<Problem>,
}

/// A picture with one label or caption. A picture may have several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Example {
    /// Index into [`Dataset::pictures`].
    pub picture: usize,
    /// Index into [`Dataset::classes`].
    pub class: Option<usize>,
    /// Caption, if it has one.
    pub caption: Option<String>,
}

impl Dataset {
    /// Indexes the files without reading pictures. `table` names the table to use; by
    /// default one at the top, else each folder is a class.
    pub async fn open(files: &impl DataFiles, table: Option<&str>) -> Result<Self, DataError> {
        let mut dataset = Self {
            name: files.name(),
            ..Self::default()
        };
        let listing = Listing::new(files.paths());
        let table = match table {
            Some(table) => Some(table.to_owned()),
            None => listing.table(&dataset.name)?,
        };
        match table {
            Some(table) => {
                let bytes = files.read(&table).await?;
                let rows = table::parse(&table, &bytes, |path| {
                    listing.resolve(&table, path).is_some()
                })?;
                dataset.add_rows(&listing, &table, rows);
            }
            None => dataset.add_folders(&listing),
        }
        match dataset.examples.is_empty() {
            true => Err(DataError::Empty(dataset.name)),
            false => Ok(dataset),
        }
    }

    fn add_rows(&mut self, listing: &Listing, table: &str, rows: Vec<Row>) {
        let classes: BTreeMap<&str, usize> = sorted(rows.iter().filter_map(|r| r.class.as_deref()));
        let mut pictures: HashMap<&str, usize> = HashMap::new();
        for row in &rows {
            let Some(path) = listing.resolve(table, &row.image) else {
                self.problems.push(Problem::Missing {
                    path: row.image.clone(),
                    line: row.line,
                });
                continue;
            };
            if row.class.is_none() && row.caption.is_none() {
                self.problems
                    .push(Problem::Unlabelled { path: path.into() });
                continue;
            }
            let picture = *pictures.entry(path).or_insert_with(|| {
                self.pictures.push(path.into());
                self.pictures.len() - 1
            });
            self.examples.push(Example {
                picture,
                class: (row.class.as_deref()).and_then(|class| classes.get(class).copied()),
                caption: row.caption.clone(),
            });
        }
        self.classes = classes.into_keys().map(str::to_owned).collect();
    }

    fn add_folders(&mut self, listing: &Listing) {
        let folders = listing.paths.iter().filter_map(|path| {
            let (folder, _) = listing.inner(path).split_once('/')?;
            Some(folder)
        });
        let classes = sorted(folders);
        for path in &listing.paths {
            match listing.inner(path).split_once('/') {
                Some((_, "")) => {} // the folder itself
                Some((folder, rest)) if !rest.ends_with('/') => {
                    self.pictures.push(path.clone());
                    self.examples.push(Example {
                        picture: self.pictures.len() - 1,
                        class: classes.get(folder).copied(),
                        caption: None,
                    });
                }
                None if looks_like_picture(path) => {
                    self.problems
                        .push(Problem::Unlabelled { path: path.clone() });
                }
                _ => {}
            }
        }
        // As people would write them.
        self.classes = (classes.into_keys())
            .map(|folder| folder.replace('_', " ").trim().to_owned())
            .collect();
    }
}

#[cfg(feature = "training")]
impl Dataset {
    /// Reads every picture once and passes it to `take`, with its index in the result's
    /// `pictures`; unusable ones are left out.
    pub async fn read<E>(
        mut self,
        files: &impl DataFiles,
        mut take: impl AsyncFnMut(usize, Picture) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut kept: Vec<String> = Vec::new();
        let mut known: HashMap<[u64; 2], usize> = HashMap::new();
        // New index of each picture; `None` for an unusable one.
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.pictures.len());
        for path in &self.pictures {
            let read = match files.read(path).await {
                Ok(bytes) => Ok(bytes),
                Err(DataError::Read { why, .. }) => Err(why),
                Err(error) => Err(error.to_string()),
            };
            let place = match read.and_then(|bytes| {
                let print = fingerprint(&bytes);
                match known.get(&print) {
                    Some(same) => Ok((*same, None)),
                    None => {
                        let picture = decode(&bytes).map_err(|error| error.to_string())?;
                        known.insert(print, kept.len());
                        Ok((kept.len(), Some(picture)))
                    }
                }
            }) {
                Ok((place, Some(picture))) => {
                    kept.push(path.clone());
                    take(place, picture).await?;
                    Some(place)
                }
                Ok((place, None)) => Some(place),
                Err(why) => {
                    let path = path.clone();
                    self.problems.push(Problem::Unreadable { path, why });
                    None
                }
            };
            places.push(place);
        }
        let all = std::mem::replace(&mut self.pictures, kept);
        self.move_examples(&all, &places);
        let used: HashSet<usize> = self.examples.iter().filter_map(|e| e.class).collect();
        for (index, class) in self.classes.iter().enumerate() {
            if !used.contains(&index) {
                let class = class.clone();
                self.problems.push(Problem::EmptyClass { class });
            }
        }
        Ok(self)
    }

    /// Remaps the examples to the new indices, and drops duplicates and contradictions.
    fn move_examples(&mut self, paths: &[String], places: &[Option<usize>]) {
        let mut seen: HashSet<Example> = HashSet::new();
        let mut classes: HashMap<usize, usize> = HashMap::new();
        let mut examples = Vec::with_capacity(self.examples.len());
        for mut example in std::mem::take(&mut self.examples) {
            let path = &paths[example.picture];
            let Some(place) = places[example.picture] else {
                continue;
            };
            example.picture = place;
            let of = self.pictures[place].clone();
            if let Some(class) = example.class
                && *classes.entry(place).or_insert(class) != class
            {
                let path = path.clone();
                self.problems.push(Problem::Contradiction { path, of });
            } else if !seen.insert(example.clone()) {
                let path = path.clone();
                self.problems.push(Problem::Duplicate { path, of });
            } else {
                examples.push(example);
            }
        }
        self.examples = examples;
    }
}

/// Paths of a data set, without the files of operating systems.
struct Listing {
    paths: Vec<String>,
    /// Length of the common parent folder.
    root: usize,
    /// Paths by file name, where that is unique.
    names: HashMap<String, Option<usize>>,
}

impl Listing {
    fn new(mut paths: Vec<String>) -> Self {
        let hidden = |part: &str| {
            part.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&part)
        };
        paths.retain(|path| !path.is_empty() && !path.split('/').any(hidden));
        paths.sort();
        let mut names: HashMap<String, Option<usize>> = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            (names.entry(file_name(path).into()))
                .and_modify(|only| *only = None)
                .or_insert(Some(index));
        }
        let mut listing = Self {
            paths,
            root: 0,
            names,
        };
        listing.root = listing.find_root();
        listing
    }

    /// Zips and dropped folders often have a single folder around everything. One that
    /// contains files directly is a class, unless a table is there.
    fn find_root(&self) -> usize {
        let mut root = 0;
        loop {
            let inside = || (self.paths.iter()).filter_map(|path| path.get(root..));
            let mut folders = inside().filter(|path| !path.is_empty());
            let Some((folder, _)) = folders.next().and_then(|path| path.split_once('/')) else {
                return root;
            };
            let around = format!("{folder}/");
            if !folders.all(|path| path.starts_with(&around)) {
                return root;
            }
            let mut within = inside().filter_map(|path| path.strip_prefix(&around));
            let has_more = within.any(|path| path.contains('/') || table::is_table(path));
            if !has_more {
                return root;
            }
            root += around.len();
        }
    }

    fn inner<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.root..).unwrap_or_default()
    }

    /// The table at the top, if any.
    fn table(&self, name: &str) -> Result<Option<String>, DataError> {
        let mut tables = (self.paths.iter())
            .filter(|path| !self.inner(path).contains('/') && table::is_table(path));
        match (tables.next(), tables.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => Ok(Some(only.clone())),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(tables).cloned();
                Err(DataError::Tables(name.into(), all.collect()))
            }
        }
    }

    /// Picture named by a table: relative to its folder, else by unique file name (tables
    /// often have the paths of another machine).
    fn resolve(&self, table: &str, image: &str) -> Option<&str> {
        let image = image.replace('\\', "/");
        let image = image.trim_start_matches("./");
        let folder = table.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match folder {
            "" => image.to_owned(),
            folder => format!("{folder}/{image}"),
        };
        let exact = self.paths.binary_search(&path).ok();
        let index = exact.or_else(|| self.names.get(file_name(image)).copied().flatten())?;
        self.paths.get(index).map(String::as_str)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Unique texts in order of appearance, numbered.
fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut numbered: BTreeMap<&str, usize> = texts.map(|text| (text, 0)).collect();
    for (index, number) in numbered.values_mut().enumerate() {
        *number = index;
    }
    numbered
}

/// By file extension.
fn looks_like_picture(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["png", "jpg", "jpeg", "webp", "gif", "bmp"].contains(&extension.to_ascii_lowercase().as_str())
}

/// 128-bit hash: in a data set of a million pictures, a collision has a probability of 1
/// in 10²⁶.
#[cfg(feature = "training")]
fn fingerprint(bytes: &[u8]) -> [u64; 2] {
    [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use crate::data::{InMemory, ZipFiles};
    use std::io::{Cursor, Write};

    /// A picture of one colour.
    fn png(grey: u8) -> Vec<u8> {
        let picture = image::GrayImage::from_pixel(2, 2, image::Luma([grey]));
        let mut bytes = Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    fn memory(files: &[(&str, Vec<u8>)]) -> InMemory {
        InMemory {
            name: "data".into(),
            files: (files.iter())
                .map(|(path, bytes)| (path.to_string(), bytes.clone()))
                .collect(),
        }
    }

    fn open(files: &impl DataFiles) -> Result<(Dataset, usize), DataError> {
        pollster::block_on(async {
            let dataset = Dataset::open(files, None).await?;
            let mut taken = 0;
            let dataset = dataset
                .read(files, async |index, _| {
                    assert_eq!(index, taken);
                    taken += 1;
                    Ok::<_, DataError>(())
                })
                .await?;
            Ok((dataset, taken))
        })
    }

    fn folders() -> InMemory {
        memory(&[
            ("animals/.DS_Store", vec![0]),
            ("animals/readme.txt", vec![b'x']),
            ("animals/stray.png", png(9)),
            ("animals/black_cat/1.png", png(1)),
            ("animals/black_cat/2.png", png(2)),
            ("animals/black_cat/more/3.png", png(3)),
            ("animals/black_cat/again.png", png(1)),
            ("animals/dog/1.png", png(4)),
            ("animals/dog/broken.png", png(5)[..40].to_vec()),
            ("animals/dog/cat.png", png(2)),
            ("animals/unicorn/", vec![]),
        ])
    }

    #[test]
    fn each_folder_is_a_class_and_what_cannot_be_used_is_named() {
        let (dataset, taken) = open(&folders()).unwrap();
        assert_eq!(dataset.classes, ["black cat", "dog", "unicorn"]);
        assert_eq!((taken, dataset.pictures.len()), (4, 4));
        let classes: Vec<_> = dataset.examples.iter().map(|e| e.class).collect();
        assert_eq!(classes, [Some(0), Some(0), Some(0), Some(1)]);
        let problems: Vec<String> = dataset.problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), 5, "{problems:?}");
        let named = |text: &str| problems.iter().any(|problem| problem.contains(text));
        assert!(named("stray.png"));
        assert!(named("again.png is a duplicate of animals/black_cat/1.png"));
        assert!(named("broken.png"));
        assert!(named(
            "dog/cat.png is a duplicate of animals/black_cat/2.png in another"
        ));
        assert!(named("unicorn"));
    }

    #[test]
    fn a_zip_holds_the_same() {
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (index, (path, contents)) in folders().files.iter().enumerate() {
            if path.ends_with('/') {
                zip.new_dir(path).create().unwrap();
                continue;
            }
            let file = zip.new_file(path);
            // Both compression methods of zips of pictures.
            if index % 2 == 0 {
                let (mut entry, config) = (file)
                    .compression_method(rawzip::CompressionMethod::DEFLATE)
                    .start()
                    .unwrap();
                let level = flate2::Compression::default();
                let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, level));
                writer.write_all(contents).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                entry.finish(descriptor).unwrap();
            } else {
                let (mut entry, config) = file.start().unwrap();
                let mut writer = config.wrap(&mut entry);
                writer.write_all(contents).unwrap();
                let (_, descriptor) = writer.finish().unwrap();
                entry.finish(descriptor).unwrap();
            }
        }
        zip.finish().unwrap();
        let files = ZipFiles::open("data".into(), Cursor::new(bytes.clone())).unwrap();
        let (zipped, _) = open(&files).unwrap();
        let (plain, _) = open(&folders()).unwrap();
        assert_eq!(zipped.pictures, plain.pictures);
        assert_eq!(zipped.examples, plain.examples);
        assert_eq!(zipped.problems, plain.problems);

        bytes.truncate(bytes.len() / 2);
        let cut = ZipFiles::open("cut.zip".into(), Cursor::new(bytes));
        assert!(
            cut.err()
                .unwrap()
                .to_string()
                .contains("cut.zip is not a readable zip")
        );
    }

    #[test]
    fn a_damaged_file_in_a_zip_is_named() {
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (path, contents) in [("cat/1.png", png(1)), ("cat/2.png", png(2))] {
            let (mut entry, config) = zip.new_file(path).start().unwrap();
            let mut writer = config.wrap(&mut entry);
            writer.write_all(&contents).unwrap();
            let (_, descriptor) = writer.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        zip.finish().unwrap();
        let picture = png(1);
        let at = (bytes.windows(picture.len())).position(|bytes| bytes == picture);
        bytes[at.unwrap() + 50] ^= 1;
        let files = ZipFiles::open("data".into(), Cursor::new(bytes)).unwrap();
        let (dataset, taken) = open(&files).unwrap();
        assert_eq!(taken, 1);
        assert!(
            matches!(&dataset.problems[..], [Problem::Unreadable { path, .. }] if path == "cat/1.png")
        );
    }

    #[test]
    fn a_table_gives_captions() {
        let files = memory(&[
            (
                "set/captions.csv",
                b"image,text\na.png,a cat\na.png,something black\n\
                  C:\\old\\b.png,a dog\nnone.png,a bird\nb.png,\n"
                    .to_vec(),
            ),
            ("set/a.png", png(1)),
            ("set/pictures/b.png", png(2)),
        ]);
        let (dataset, taken) = open(&files).unwrap();
        assert_eq!(taken, 2);
        assert!(dataset.classes.is_empty());
        let said: Vec<_> = (dataset.examples.iter())
            .map(|e| (e.picture, e.caption.as_deref().unwrap()))
            .collect();
        assert_eq!(said, [(0, "a cat"), (0, "something black"), (1, "a dog")]);
        let problems: Vec<String> = dataset.problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("none.png") && problems[0].contains("line 5"));
    }

    #[test]
    fn a_table_may_give_classes() {
        let files = memory(&[
            (
                "t.tsv",
                b"path\tlabel\na.png\tcat\nb.png\tdog\nc.png\tcat".to_vec(),
            ),
            ("a.png", png(1)),
            ("b.png", png(2)),
            ("c.png", png(3)),
        ]);
        let (dataset, _) = open(&files).unwrap();
        assert_eq!(dataset.classes, ["cat", "dog"]);
        let classes: Vec<_> = dataset.examples.iter().map(|e| e.class).collect();
        assert_eq!(classes, [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn nothing_to_learn_from_is_an_error() {
        let none = open(&memory(&[("notes.txt", vec![1])])).unwrap_err();
        assert!(none.to_string().contains("data contains no usable images"));
        let two = open(&memory(&[("a.csv", vec![]), ("b.csv", vec![])])).unwrap_err();
        assert!(two.to_string().contains("a.csv, b.csv"));
        // A folder alone is a class.
        let (one, _) = open(&memory(&[("cat/a.png", png(1)), ("cat/b.png", png(2))])).unwrap();
        assert_eq!(one.classes, ["cat"]);
    }
}
