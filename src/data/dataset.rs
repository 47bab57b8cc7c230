//! Data set index: pictures, examples and problems.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
#[cfg(feature = "training")]
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::listing::{Found, Listing, unusable};
use super::names::{clean_path, folded, is_absolute};
use super::project::{PROJECT_FILE, ProjectImages, find_project};
use super::subset::Subset;
use super::table::{self, Row, Table};
use super::{DataError, DataFiles, LeftOut, Problem, is_image_name};
#[cfg(feature = "training")]
use crate::diagnostic::ToDiagnostic;
use crate::diagnostic::{Diagnostic, diagnostic};
#[cfg(feature = "training")]
use crate::preprocess::{DecodedImage, decode};

/// Labelled pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// For each picture whether the data set itself holds it out for evaluation; empty if
    /// it has no such parts.
    pub held_out: Vec<bool>,
    /// What was taken otherwise than written, for display.
    pub notes: Vec<String>,
}

/// A picture with one label or caption. A picture may have several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Example {
    /// Index into [`Dataset::pictures`].
    pub picture: usize,
    /// Index into [`Dataset::classes`].
    pub class: Option<usize>,
    /// Caption, if it has one.
    pub caption: Option<String>,
}

/// Example before its picture and class have numbers.
struct Labelled {
    path: String,
    class: Option<String>,
    caption: Option<String>,
    subset: Option<Subset>,
}

impl Dataset {
    /// Indexes the files without reading pictures. `table` names the table to use; by
    /// default a project of the page or a table at the top, else each folder is a class. Tables or folders named `train`
    /// and `test` or `val` are the data set's own held-out parts.
    pub async fn open(files: &impl DataFiles, table: Option<&str>) -> Result<Self, DataError> {
        let listing = Listing::new(files.paths());
        let mut dataset = Self {
            name: files.name(),
            problems: files.unusable(),
            notes: files.notes(),
            ..Self::default()
        };
        let mut examples = Vec::new();
        match table {
            Some(path) => {
                let table = read_table(files, &listing, path).await?;
                dataset.add_table(&listing, path, table, None, &mut examples);
            }
            None => match find_project(files, &listing).await? {
                Some((folder, project)) => {
                    dataset.add_project(&listing, &folder, project, &mut examples);
                }
                None => dataset.add_files(files, &listing, &mut examples).await?,
            },
        }
        dataset.number(examples);
        match dataset.examples.is_empty() {
            true => Err(dataset.empty(&listing)),
            false => Ok(dataset),
        }
    }

    /// Finds tables and folders of classes.
    async fn add_files(
        &mut self,
        files: &impl DataFiles,
        listing: &Listing,
        examples: &mut Vec<Labelled>,
    ) -> Result<(), DataError> {
        for path in &listing.paths {
            let is_top = !listing.inner(path).contains('/');
            if let Some(why) = unusable(path).filter(|_| is_top) {
                let path = path.clone();
                self.problems.push(Problem::Ignored { path, why });
            }
        }
        let folders = listing.folders_in("");
        // One folder may hold the pictures of a table, several are classes of their own.
        let alone = folders.len() < 2;
        let mut tables = self
            .tables(files, listing, listing.tables_in(""), alone)
            .await?;
        let subsets: Vec<Subset> = folders.iter().filter_map(|f| Subset::named(f)).collect();
        let has_parts = subsets.len() > 1 && subsets.len() == folders.len();
        if tables.is_empty() && !has_parts && listing.folders_of_pictures() < 2 {
            // No classes, so a table beside the folder of pictures: `labels/labels.csv`.
            tables = self.tables(files, listing, listing.tables(), false).await?;
        }
        if !tables.is_empty() {
            for (path, table, subset) in tables {
                self.add_table(listing, &path, table, subset, examples);
            }
            return Ok(());
        }
        if !has_parts {
            self.add_folders(listing, "", None, examples);
            return Ok(());
        }
        self.notes.push(format!(
            "the folders {} are splits (train, validation, test), not classes",
            folders.join(", ")
        ));
        for (folder, subset) in folders.into_iter().zip(subsets) {
            let inside = format!("{folder}/");
            let has_classes = !listing.folders_in(&inside).is_empty();
            let tables = listing.tables_in(&inside);
            let tables = self.tables(files, listing, tables, !has_classes).await?;
            if tables.is_empty() {
                self.add_folders(listing, &inside, Some(subset), examples);
            }
            for (path, table, _) in tables {
                self.add_table(listing, &path, table, Some(subset), examples);
            }
        }
        Ok(())
    }

    /// Those of some tables that name pictures of the data set. The others are told, unless
    /// there is nothing else (`alone`): then it is an error. Several tables are the data
    /// set's parts, if their names say so.
    async fn tables(
        &mut self,
        files: &impl DataFiles,
        listing: &Listing,
        paths: Vec<&String>,
        alone: bool,
    ) -> Result<Vec<(String, Table, Option<Subset>)>, DataError> {
        let mut tables = Vec::new();
        let mut unfit: Vec<(String, DataError)> = Vec::new();
        for path in paths {
            match read_table(files, listing, path).await {
                Ok(table) => tables.push((path.clone(), table, Subset::of_table(path))),
                Err(error @ DataError::Column { .. }) => unfit.push((path.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        // A table that names no picture is something else, if anything else is there.
        let names_any = |(path, table, _): &(String, Table, _)| {
            let folder = folder_of(path);
            let absolute: Vec<&str> = (table.rows.iter().map(|row| row.image.as_str()))
                .filter(|image| is_absolute(image))
                .collect();
            let there = |row: &Row| !matches!(listing.find(folder, &row.image), Found::Nowhere(_));
            table.rows.iter().any(there) || listing.foreign_folders(folder, &absolute).is_some()
        };
        let (used, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(names_any);
        let mut tables = match used.is_empty() && alone {
            true => others,
            false => {
                for (path, ..) in others {
                    let why = diagnostic!("names-no-file", "it names no file of the data");
                    self.problems.push(Problem::Ignored { path, why });
                }
                used
            }
        };
        let all_parts = tables.iter().all(|(.., subset)| subset.is_some());
        if tables.len() > 1 && !all_parts {
            let paths = tables.into_iter().map(|(path, ..)| path);
            return Err(DataError::Tables(self.name.clone(), paths.collect()));
        }
        match (tables.as_slice(), unfit.is_empty()) {
            ([], false) if alone => return Err(unfit.remove(0).1),
            _ => {}
        }
        for (path, error) in unfit {
            let why = error.to_string();
            let why = why.strip_prefix(&format!("{path} ")).unwrap_or(&why);
            let why = format!("it {why}").into();
            self.problems.push(Problem::Ignored { path, why });
        }
        // A single table is the whole, whatever its name.
        if let [(_, _, subset)] = tables.as_mut_slice() {
            *subset = None;
        }
        Ok(tables)
    }

    fn add_table(
        &mut self,
        listing: &Listing,
        path: &str,
        table: Table,
        subset: Option<Subset>,
        examples: &mut Vec<Labelled>,
    ) {
        let folder = folder_of(path);
        self.problems.extend(table.problems);
        self.notes.extend(table.notes);
        let absolute: Vec<&str> = (table.rows.iter().map(|row| row.image.as_str()))
            .filter(|image| is_absolute(image))
            .collect();
        let foreign = listing
            .foreign_folders(folder, &absolute)
            .unwrap_or_default();
        let first = (absolute.iter()).find(|image| clean_path(image).starts_with(&foreign));
        if let Some(first) = first.filter(|_| !foreign.is_empty()) {
            self.notes.push(format!(
                "{path} names files by their folders on a disk ({first}): they were looked up from \
                 the table's own folder"
            ));
        }
        let mut elsewhere: Vec<(String, &str)> = Vec::new();
        for row in table.rows {
            // A class is known by its name even where none of its files is there.
            self.classes.extend(row.class.clone());
            let image = match is_absolute(&row.image) {
                true => {
                    let cleaned = clean_path(&row.image);
                    let own = cleaned.strip_prefix(&foreign);
                    own.map(str::to_owned).unwrap_or(cleaned)
                }
                false => row.image.clone(),
            };
            let found = match listing.find(folder, &image) {
                Found::There(found) => found,
                Found::Elsewhere(found) => {
                    elsewhere.push((row.image.clone(), found));
                    found
                }
                Found::Nowhere(why) => {
                    let path = match row.image.as_str() {
                        "" => "a row without a name".into(),
                        _ => row.image,
                    };
                    let line = row.line;
                    self.problems.push(Problem::Missing { path, line, why });
                    continue;
                }
            };
            if row.class.is_none() && row.caption.is_none() {
                let path = found.into();
                self.problems.push(Problem::Unlabelled { path });
                continue;
            }
            let named = match &row.subset {
                None => subset,
                Some(name) => match Subset::named(name) {
                    Some(named) => Some(named),
                    None => {
                        self.problems.push(Problem::Ignored {
                            path: found.into(),
                            why: diagnostic!(
                                "no-such-split",
                                "its split \"{name}\" is not train, validation or test",
                                name
                            ),
                        });
                        continue;
                    }
                },
            };
            examples.push(Labelled {
                path: found.into(),
                class: row.class,
                caption: row.caption,
                subset: named,
            });
        }
        if let Some((written, found)) = elsewhere.first() {
            self.notes.push(match elsewhere.len() {
                1 => format!(
                    "1 file named in {path} was found under another path ({written} -> {found})"
                ),
                count => format!(
                    "{count} files named in {path} were found under other paths (first: {written} \
                     -> {found})"
                ),
            });
        }
    }

    /// Images of a project of the page, with its classes and parts.
    fn add_project(
        &mut self,
        listing: &Listing,
        folder: &str,
        project: ProjectImages,
        examples: &mut Vec<Labelled>,
    ) {
        self.classes.extend(project.classes);
        let mut table = Table::default();
        for image in project.images {
            if let Found::Nowhere(_) = listing.find(folder, &image.file) {
                let why = diagnostic!(
                    "named-only",
                    "{file} names it, but it does not exist",
                    file = PROJECT_FILE
                );
                let path = image.file;
                self.problems.push(Problem::Ignored { path, why });
                continue;
            }
            let mut captions: Vec<Option<String>> = image.captions.into_iter().map(Some).collect();
            if captions.is_empty() {
                captions.push(None);
            }
            table.rows.extend(captions.into_iter().map(|caption| Row {
                // None: that all are there is known.
                line: 0,
                image: image.file.clone(),
                caption,
                class: image.class.clone(),
                subset: Some(image.split.name().into()),
            }));
        }
        let path = format!("{folder}{PROJECT_FILE}");
        self.add_table(listing, &path, table, None, examples);
    }

    /// Each folder in `around`, an inner path that is empty or ends with `/`, is a class.
    fn add_folders(
        &mut self,
        listing: &Listing,
        around: &str,
        subset: Option<Subset>,
        examples: &mut Vec<Labelled>,
    ) {
        let mut inner: Vec<Labelled> = Vec::new();
        // Parts of each class: `cat/train/1.png`.
        let mut parts: Vec<Option<Subset>> = Vec::new();
        for path in &listing.paths {
            let Some(rest) = listing.inner(path).strip_prefix(around) else {
                continue;
            };
            match rest.split_once('/') {
                // The folder itself: a class even without pictures.
                Some((folder, "")) => self.classes.push(as_written(folder)),
                Some((folder, rest)) if !rest.ends_with('/') => {
                    let part = rest
                        .split_once('/')
                        .and_then(|(part, _)| Subset::named(part));
                    parts.push(part);
                    inner.push(Labelled {
                        path: path.clone(),
                        class: Some(as_written(folder)),
                        caption: None,
                        subset,
                    });
                }
                None if is_image_name(path) => {
                    self.problems
                        .push(Problem::Unlabelled { path: path.clone() });
                }
                _ => {}
            }
        }
        let several = parts.iter().min() != parts.iter().max();
        if subset.is_none() && several && parts.iter().all(Option::is_some) {
            self.notes
                .push("the folders inside each class are splits".into());
            for (example, part) in inner.iter_mut().zip(parts) {
                example.subset = part;
            }
        }
        examples.extend(inner);
    }

    /// Numbers classes and pictures.
    fn number(&mut self, examples: Vec<Labelled>) {
        // Classes that people take for one, under the spelling that comes first.
        let mut spellings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut written: HashSet<String> = HashSet::new();
        let named = examples.iter().filter_map(|example| example.class.clone());
        for name in named.chain(std::mem::take(&mut self.classes)) {
            if written.insert(name.clone()) {
                spellings.entry(folded(&name)).or_default().push(name);
            }
        }
        for several in spellings.values().filter(|known| known.len() > 1) {
            self.notes.push(format!(
                "{} were merged into one class",
                several
                    .iter()
                    .map(|name| format!("\"{name}\""))
                    .collect::<Vec<_>>()
                    .join(" and ")
            ));
        }
        let mut sorted: Vec<(String, String)> = (spellings.into_iter())
            .filter_map(|(key, known)| Some((known.into_iter().next()?, key)))
            .collect();
        sorted.sort();
        let classes: HashMap<&str, usize> = (sorted.iter().enumerate())
            .map(|(index, (_, key))| (key.as_str(), index))
            .collect();

        let subsets: BTreeSet<Subset> = examples.iter().filter_map(|e| e.subset).collect();
        let has_parts = subsets.contains(&Subset::Train) && subsets.len() > 1;
        let mut pictures: HashMap<String, usize> = HashMap::new();
        let mut seen: HashSet<Example> = HashSet::new();
        let mut shown: HashMap<usize, usize> = HashMap::new();
        let mut aside = 0;
        for example in examples {
            let validation = example.subset == Some(Subset::Validation);
            if has_parts && validation && subsets.contains(&Subset::Test) {
                aside += 1;
                continue;
            }
            if has_parts && example.subset.is_none() {
                self.problems.push(Problem::Ignored {
                    path: example.path,
                    why: diagnostic!("no-split", "it belongs to no split: neither train nor test"),
                });
                continue;
            }
            let picture = *pictures.entry(example.path).or_insert_with_key(|path| {
                self.pictures.push(path.clone());
                if has_parts {
                    self.held_out.push(example.subset != Some(Subset::Train));
                }
                self.pictures.len() - 1
            });
            let class =
                (example.class).and_then(|class| classes.get(folded(&class).as_str()).copied());
            let example = Example {
                picture,
                class,
                caption: example.caption,
            };
            // Two rows of a table may be about one file.
            let path = || self.pictures[picture].clone();
            if class.is_some_and(|class| *shown.entry(picture).or_insert(class) != class) {
                let (path, of) = (path(), path());
                self.problems.push(Problem::Contradiction { path, of });
            } else if !seen.insert(example.clone()) {
                let (path, of) = (path(), path());
                self.problems.push(Problem::Duplicate { path, of });
            } else {
                self.examples.push(example);
            }
        }
        if has_parts {
            let held_out = self.held_out.iter().filter(|held_out| **held_out).count();
            let unused = match aside {
                0 => String::new(),
                aside => format!("; {aside} examples for validation are not used"),
            };
            self.notes.push(format!(
                "the data set's own split is used: {held_out} of {} images held out{unused}",
                self.pictures.len()
            ));
        }
        self.classes = sorted.into_iter().map(|(name, _)| name).collect();
    }

    /// Gives classes that are numbers their names; those of one name become one class. An
    /// error if a class is no number of a name; then nothing changes.
    pub fn name_classes(&mut self, names: &[String]) -> Result<(), DataError> {
        let name_of = |class: &str| {
            let name = class
                .parse()
                .ok()
                .and_then(|number: usize| names.get(number));
            name.filter(|name| !name.is_empty())
        };
        let named: Vec<&String> = (self.classes.iter())
            .map(|class| {
                name_of(class).ok_or_else(|| DataError::Unnamed {
                    names: format!(
                        "there are {} class names, for classes 0 to {}",
                        names.len(),
                        names.len().saturating_sub(1)
                    ),
                    class: class.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let mut spellings: BTreeMap<String, &String> = BTreeMap::new();
        for name in &named {
            spellings.entry(folded(name)).or_insert(name);
        }
        let mut sorted: Vec<(&String, &String)> =
            spellings.iter().map(|(key, name)| (*name, key)).collect();
        sorted.sort();
        let places: HashMap<&str, usize> = (sorted.iter().enumerate())
            .map(|(place, (_, key))| (key.as_str(), place))
            .collect();
        let place_of: Vec<Option<usize>> = (named.iter())
            .map(|name| places.get(folded(name).as_str()).copied())
            .collect();
        for example in &mut self.examples {
            example.class = example.class.and_then(|class| place_of[class]);
        }
        for problem in &mut self.problems {
            if let Problem::EmptyClass { class } = problem
                && let Some(name) = name_of(class)
            {
                *class = name.clone();
            }
        }
        if sorted.len() < named.len() {
            self.notes.push(format!(
                "{} names stand for several classes, which are taken as one",
                named.len() - sorted.len()
            ));
        }
        self.classes = sorted.into_iter().map(|(name, _)| name.clone()).collect();
        Ok(())
    }

    /// The error of a data set without examples, with the reasons.
    pub fn no_examples(&self) -> DataError {
        let why = match LeftOut::count(&self.problems).as_slice() {
            [] => Diagnostic::default(),
            counts => {
                let reasons = LeftOut::list(counts);
                diagnostic!("empty-left-out", ". Left out: {reasons}", reasons)
            }
        };
        DataError::Empty {
            name: self.name.clone(),
            why,
        }
    }

    fn empty(&self, listing: &Listing) -> DataError {
        let files = listing.paths.iter().filter(|path| !path.ends_with('/'));
        let (count, first) = (files.clone().count(), files.clone().next());
        match (self.problems.is_empty(), first) {
            (false, _) => self.no_examples(),
            (true, None) => DataError::Empty {
                name: self.name.clone(),
                why: diagnostic!("empty-no-files", ". It has no files"),
            },
            (true, Some(first)) => DataError::Empty {
                name: self.name.clone(),
                why: diagnostic!(
                    "empty-no-images",
                    ". None of its {count} files is an image in a folder (first: {first})",
                    count,
                    first
                ),
            },
        }
    }

    /// The data set without what it trains on, if it has parts of its own.
    pub fn only_held_out(mut self) -> Self {
        if self.held_out.is_empty() {
            return self;
        }
        let held_out = std::mem::take(&mut self.held_out);
        let mut places = Vec::with_capacity(held_out.len());
        let mut kept = Vec::new();
        for (path, held_out) in std::mem::take(&mut self.pictures).into_iter().zip(held_out) {
            places.push(held_out.then_some(kept.len()));
            if held_out {
                kept.push(path);
            }
        }
        self.pictures = kept;
        self.examples = (self.examples.into_iter())
            .filter_map(|example| {
                let picture = places[example.picture]?;
                Some(Example { picture, ..example })
            })
            .collect();
        self
    }
}

/// Reads a table of pictures.
async fn read_table(
    files: &impl DataFiles,
    listing: &Listing,
    path: &str,
) -> Result<Table, DataError> {
    let bytes = files.read(path).await?;
    let folder = folder_of(path);
    table::parse(path, &bytes, |image| {
        matches!(listing.find(folder, image), Found::There(_))
    })
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Name of a class as people would write that of its folder.
fn as_written(folder: &str) -> String {
    folder.replace('_', " ").trim().to_owned()
}

#[cfg(feature = "training")]
impl Dataset {
    /// Reads every picture once and passes it to `take`, with its index in the result's
    /// `pictures`; unusable ones are left out.
    pub async fn read<E>(
        mut self,
        files: &impl DataFiles,
        mut take: impl AsyncFnMut(usize, DecodedImage) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut kept: Vec<String> = Vec::new();
        let mut held_out: Vec<bool> = Vec::new();
        let mut known: HashMap<[u64; 2], usize> = HashMap::new();
        // New index of each picture; `None` for an unusable one.
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.pictures.len());
        for (index, path) in self.pictures.iter().enumerate() {
            let read = match files.read(path).await {
                Ok(bytes) => Ok(bytes),
                Err(DataError::Read { why, .. }) => Err(why.into()),
                Err(error) => Err(error.to_diagnostic()),
            };
            let place = match read.and_then(|bytes| {
                let print = fingerprint(&bytes);
                match known.get(&print) {
                    Some(same) => Ok((*same, None)),
                    None => {
                        let picture = decode(&bytes).map_err(|error| error.to_diagnostic())?;
                        known.insert(print, kept.len());
                        Ok((kept.len(), Some(picture)))
                    }
                }
            }) {
                Ok((place, Some(picture))) => {
                    kept.push(path.clone());
                    held_out.extend(self.held_out.get(index));
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
        self.held_out = held_out;
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
    fn a_project_says_what_its_images_show_and_which_are_held_out() {
        let project = r#"{"format": "clip-project", "version": 1, "name": "pets",
            "classes": ["dog", "a/b", "unicorn"], "settings": {"epochs": 3}, "images": [
            {"file": "dog/1.png", "class": "dog", "split": "train", "draw": 4},
            {"file": "dog/2.png", "class": "dog", "split": "test", "draw": 1},
            {"file": "a_b/1.png", "class": "a/b", "captions": ["an a", "a b"]},
            {"file": "a_b/gone.png", "class": "a/b"}]}"#;
        let files = |project: &str| {
            memory(&[
                ("pets/project.json", project.into()),
                ("pets/head.safetensors", b"weights".to_vec()),
                ("pets/dog/1.png", png(1)),
                ("pets/dog/2.png", png(2)),
                ("pets/dog/3.png", png(3)),
                ("pets/a_b/1.png", png(4)),
            ])
        };
        let (dataset, _) = open(&files(project)).unwrap();
        assert_eq!(dataset.classes, ["a/b", "dog", "unicorn"]);
        let pictures = ["pets/dog/1.png", "pets/dog/2.png", "pets/a_b/1.png"];
        assert_eq!(dataset.pictures, pictures);
        assert_eq!(dataset.held_out, [false, true, false]);
        let captions: Vec<_> = (dataset.examples.iter())
            .filter_map(|example| example.caption.as_deref())
            .collect();
        assert_eq!(captions, ["an a", "a b"]);
        let problems: Vec<String> = dataset.problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("a_b/gone.png") && problems[0].contains("project.json"));
        assert!(problems[1].contains("unicorn"));
        // Of another program: the folders say it.
        let (dataset, _) = open(&files(r#"{"format": "other"}"#)).unwrap();
        assert_eq!(dataset.classes, ["a b", "dog"]);
        assert_eq!(dataset.pictures.len(), 4);
        for (broken, why) in [
            (&project[..40], "it is damaged"),
            (
                &project.replace("\"version\": 1", "\"version\": 7"),
                "a newer version",
            ),
        ] {
            let refused = open(&files(broken)).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
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
                  b.png,a dog\nnone.png,a bird\nb.png,\n"
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
        // Only the name is given, and only one file has it.
        assert_eq!(dataset.notes.len(), 1, "{:?}", dataset.notes);
        assert!(dataset.notes[0].contains("b.png -> set/pictures/b.png"));
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
    fn numbers_get_the_names_of_a_list() {
        let files = memory(&[
            ("0/a.png", png(1)),
            ("2/b.png", png(2)),
            ("10/c.png", png(3)),
            ("10/d.png", png(4)),
            ("3/", vec![]),
        ]);
        let (mut dataset, _) = open(&files).unwrap();
        assert_eq!(dataset.classes, ["0", "10", "2", "3"]);
        let mut names: Vec<String> = (0..11).map(|number| format!("thing {number}")).collect();
        names[0] = "zebra".into();
        names[2] = "Zebra".into();
        names[10] = "ant".into();
        let before = dataset.clone();
        let short = dataset.name_classes(&names[..3]).unwrap_err().to_string();
        assert!(
            short.contains("3 class names, for classes 0 to 2") && short.contains("\"10\""),
            "{short}"
        );
        assert_eq!(dataset, before);
        dataset.name_classes(&names).unwrap();
        assert_eq!(dataset.classes, ["ant", "thing 3", "zebra"]);
        let classes: Vec<_> = dataset.examples.iter().map(|e| e.class).collect();
        assert_eq!(classes, [Some(2), Some(0), Some(0), Some(2)]);
        assert!(dataset.notes[0].contains("1 names"), "{:?}", dataset.notes);
        let empty = Problem::EmptyClass {
            class: "thing 3".into(),
        };
        assert!(dataset.problems.contains(&empty), "{:?}", dataset.problems);
        let again = dataset.name_classes(&names).unwrap_err().to_string();
        assert!(again.contains("\"ant\" is none"), "{again}");
    }

    #[test]
    fn nothing_to_learn_from_is_an_error() {
        let none = open(&memory(&[("notes.txt", vec![1])])).unwrap_err();
        assert!(none.to_string().contains("data contains no usable images"));
        let table = || b"image,label\nx.png,cat\n".to_vec();
        let two = [("a.csv", table()), ("b.csv", table()), ("x.png", png(1))];
        let two = open(&memory(&two)).unwrap_err();
        assert!(two.to_string().contains("a.csv, b.csv"));
        // A folder alone is a class.
        let (one, _) = open(&memory(&[("cat/a.png", png(1)), ("cat/b.png", png(2))])).unwrap();
        assert_eq!(one.classes, ["cat"]);
    }
}
