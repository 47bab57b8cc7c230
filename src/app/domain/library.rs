//! Library of the visitor's own images, as plain data: the open folder, the query and its
//! answer, duplicates and sorted images.

use std::collections::{BTreeSet, HashSet};

use crate::app::i18n::t;
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{LibraryEvent, LibraryRequest, SearchTerm, StoredIndex, TermKind};
use crate::library::{Filter, Sign, date_span, parse_query};

/// What is done with the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    #[default]
    Search,
    Duplicates,
    Sort,
}

impl Task {
    pub const ALL: [Self; 3] = [Self::Search, Self::Duplicates, Self::Sort];

    /// Name in ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Duplicates => "duplicates",
            Self::Sort => "sort",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Search => t!("search"),
            Self::Duplicates => t!("duplicates"),
            Self::Sort => t!("sort"),
        }
    }
}

/// Folder that is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenFolder {
    pub name: String,
    /// Number of files that are images by their names.
    pub files: usize,
    /// Number of other files.
    pub other: usize,
    /// Folders and files that could not be read, by path.
    pub unread: Vec<String>,
    /// Whether the page can read it again by itself.
    pub on_disk: bool,
    /// Folders in it that have images, by path.
    pub subfolders: Vec<String>,
}

/// All folders on the way to some files.
pub fn subfolders<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let mut rest = path;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            // Those above it are known with it.
            if !folders.insert(folder) {
                break;
            }
            rest = folder;
        }
    }
    folders.into_iter().map(str::to_owned).collect()
}

/// What an image must fulfil to be looked at, as the visitor gave it; empty where anything
/// will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterInput {
    pub folder: String,
    /// First day, and last one, such as "2024-06-01".
    pub from: String,
    pub to: String,
    /// Label of the sorted images.
    pub label: String,
}

impl FilterInput {
    /// The filter that the worker applies: all but the label, which only the page knows.
    fn filter(&self) -> Filter {
        Filter {
            folder: (!self.folder.is_empty()).then(|| self.folder.clone()),
            from_ms: date_span(&self.from).map(|day| day.start),
            before_ms: date_span(&self.to).map(|day| day.end),
            labels: Vec::new(),
        }
    }
}

/// Folder of an earlier visit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownFolder {
    pub name: String,
    /// Whether the page can open it by itself.
    pub on_disk: bool,
    /// Its indexes, one for each model.
    pub indexes: Vec<StoredIndex>,
}

/// Image of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryImage {
    /// One of the folder, by path.
    Indexed(String),
    /// One from elsewhere.
    File {
        /// Tells files apart.
        id: u32,
        /// Name of the file.
        name: String,
    },
}

impl QueryImage {
    /// Name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Indexed(name) | Self::File { name, .. } => name,
        }
    }
}

/// How far the index is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub done: u32,
    pub total: u32,
    /// Images in the index.
    pub images: u32,
    /// Files that cannot be used, with the reason; the first hundred.
    pub skipped: Vec<(String, Diagnostic)>,
    pub skipped_count: u32,
    /// Time of the first report, and of the latest, in milliseconds.
    started_ms: f64,
    now_ms: f64,
}

impl Progress {
    /// Seconds that the rest will take, once that can be told.
    pub fn seconds_left(&self) -> Option<f64> {
        let seconds = (self.now_ms - self.started_ms) / 1000.0;
        (self.done >= 10 && seconds > 1.0 && self.done < self.total)
            .then(|| f64::from(self.total - self.done) * seconds / f64::from(self.done))
    }
}

/// Groups of duplicates, by path; the first of each is the one to keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundDuplicates {
    pub identical: Vec<Vec<String>>,
    pub near_identical: Vec<Vec<String>>,
    pub similar: Vec<Vec<String>>,
}

/// Image with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct SortedImage {
    pub path: String,
    /// Index into the labels; of the label that it was moved to by hand, if any.
    pub label: usize,
    pub probability: f32,
}

/// Images by label.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sorted {
    pub labels: Vec<String>,
    pub images: Vec<SortedImage>,
}

impl Sorted {
    /// Images of a label, the most probable first.
    pub fn group(&self, label: usize) -> Vec<&SortedImage> {
        let mut images: Vec<_> = self.images.iter().filter(|i| i.label == label).collect();
        images.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        images
    }

    /// Gives a group another name; with that of another group it becomes one with it.
    pub fn rename(&mut self, label: usize, name: &str) {
        let name = name.trim();
        if name.is_empty() || label >= self.labels.len() {
            return;
        }
        match self.labels.iter().position(|known| known == name) {
            Some(same) if same == label => {}
            Some(other) => {
                self.labels.remove(label);
                for image in &mut self.images {
                    if image.label == label {
                        image.label = other;
                    }
                    if image.label > label {
                        image.label -= 1;
                    }
                }
            }
            None => self.labels[label] = name.to_owned(),
        }
    }
}

/// All that the page knows of the library.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LibrarySession {
    pub folder: Option<OpenFolder>,
    /// `None` until the worker has opened the folder.
    pub progress: Option<Progress>,
    pub paused: bool,
    pub task: Task,
    /// Words of the query, as typed.
    pub query: String,
    /// Images of the query.
    pub like: Vec<(Sign, QueryImage)>,
    number: u32,
    /// Whether the latest search had terms.
    asked_scored: bool,
    /// Path and similarity, nearest first; without a query, newest first. `None` before the
    /// first answer.
    pub hits: Option<Vec<(String, f32)>>,
    /// Whether the hits answer a query, so that their similarity means something.
    pub scored: bool,
    /// Images in the index when it was searched last.
    searched: u32,
    pub filter: FilterInput,
    /// Number of groups, as typed; empty for the one that fits best.
    pub group_count: String,
    /// Least similarity that is shown.
    pub min_score: f32,
    /// Least similarity of similar images.
    pub similar: f32,
    pub duplicates: Option<FoundDuplicates>,
    pub sorted: Option<Sorted>,
    /// Whether the worker was asked for duplicates or to sort.
    pub busy: bool,
    pub kept: Vec<StoredIndex>,
    /// Keys of indexes that the visitor deleted, and that may still be there.
    pub deleted: Vec<String>,
    /// Names of the folders that the page can open again by itself.
    pub disk: Vec<String>,
    /// Number of images seen so far of a folder that is being read.
    pub reading: Option<usize>,
    pub error: Option<Diagnostic>,
    /// Why the index of the open folder is not kept, if it is not.
    pub not_kept: Option<Diagnostic>,
}

/// Images that a search returns.
const TOP: u32 = 10_000;
/// Images after which a growing index is searched again, at first.
const GROWTH: u32 = 48;
/// Number of groups, at first: few enough to look through.
const GROUPS: &str = "12";
/// Similarity of similar images, at first.
const SIMILAR: f32 = 0.96;

impl LibrarySession {
    /// Without a folder.
    pub fn new() -> Self {
        Self {
            similar: SIMILAR,
            min_score: -1.0,
            group_count: GROUPS.into(),
            ..Self::default()
        }
    }

    /// The visitor chose a folder.
    pub fn open(&mut self, folder: OpenFolder) {
        *self = Self {
            folder: Some(folder),
            kept: std::mem::take(&mut self.kept),
            deleted: std::mem::take(&mut self.deleted),
            disk: std::mem::take(&mut self.disk),
            query: std::mem::take(&mut self.query),
            task: self.task,
            number: self.number + 1,
            ..Self::new()
        };
    }

    /// The worker is another one, or has another model: what it found is of no use.
    pub fn disconnected(&mut self) {
        self.progress = None;
        self.hits = None;
        self.duplicates = None;
        self.sorted = None;
        self.busy = false;
    }

    /// Folders of earlier visits: those with an index, and those that the page can open.
    pub fn known_folders(&self) -> Vec<KnownFolder> {
        let mut known: Vec<KnownFolder> = Vec::new();
        let folder = |name: &String| KnownFolder {
            name: name.clone(),
            on_disk: self.disk.contains(name),
            indexes: Vec::new(),
        };
        let kept = (self.kept.iter()).filter(|index| !self.deleted.contains(&index.key));
        for index in kept {
            match known.iter_mut().find(|known| known.name == index.folder) {
                Some(known) => known.indexes.push(index.clone()),
                None => known.push(KnownFolder {
                    indexes: vec![index.clone()],
                    ..folder(&index.folder)
                }),
            }
        }
        for name in &self.disk {
            if !known.iter().any(|known| known.name == *name) {
                known.push(folder(name));
            }
        }
        known
    }

    /// Whether all images are in the index.
    pub fn complete(&self) -> bool {
        (self.progress.as_ref()).is_some_and(|progress| progress.done == progress.total)
    }

    /// The query as the worker takes it; `None` if there is nothing to look for.
    pub fn search(&mut self) -> Option<LibraryRequest> {
        let words = parse_query(&self.query).into_iter().map(|term| SearchTerm {
            sign: term.sign,
            text: term.text,
            kind: TermKind::Words,
        });
        let images = self.like.iter().map(|(sign, image)| SearchTerm {
            sign: *sign,
            text: image.name().into(),
            kind: match image {
                QueryImage::Indexed(_) => TermKind::Indexed,
                QueryImage::File { .. } => TermKind::File,
            },
        });
        let terms: Vec<SearchTerm> = words.chain(images).collect();
        self.number += 1;
        let Some(progress) = &self.progress else {
            self.hits = None;
            return None;
        };
        self.searched = progress.images;
        self.asked_scored = !terms.is_empty();
        Some(LibraryRequest::Search {
            number: self.number,
            terms,
            top: TOP,
            filter: self.filter.filter(),
        })
    }

    /// Asks for the images by label.
    pub fn sort(&mut self, labels: Vec<String>, templates: Vec<String>) -> LibraryRequest {
        self.busy = true;
        self.error = None;
        LibraryRequest::Sort {
            labels,
            templates,
            filter: self.filter.filter(),
        }
    }

    /// Asks for groups of similar images.
    pub fn cluster(&mut self) -> LibraryRequest {
        self.busy = true;
        self.error = None;
        LibraryRequest::Cluster {
            count: self
                .group_count
                .trim()
                .parse()
                .ok()
                .filter(|count| *count > 0),
            filter: self.filter.filter(),
        }
    }

    /// Adds an image to the query; one that is there changes its sign.
    pub fn add_image(&mut self, sign: Sign, image: QueryImage) {
        self.like.retain(|(_, known)| *known != image);
        self.like.push((sign, image));
    }

    /// Files of the query, in the order of their terms.
    pub fn query_files(&self) -> Vec<u32> {
        let id = |(_, image): &(Sign, QueryImage)| match image {
            QueryImage::File { id, .. } => Some(*id),
            QueryImage::Indexed(_) => None,
        };
        self.like.iter().filter_map(id).collect()
    }

    /// Hits that are shown: those that are similar enough, and have the label.
    pub fn shown(&self) -> impl Iterator<Item = &(String, f32)> {
        let hits = self.hits.as_deref().unwrap_or_default();
        let fitting = match self.scored {
            true => hits.partition_point(|(_, score)| *score >= self.min_score),
            false => hits.len(),
        };
        let labelled = self.paths_with_label();
        (hits[..fitting].iter())
            .filter(move |(path, _)| labelled.as_ref().is_none_or(|l| l.contains(path.as_str())))
    }

    /// Sorted images with the label of the filter; `None` if it is any.
    fn paths_with_label(&self) -> Option<HashSet<&str>> {
        let sorted = self.sorted.as_ref()?;
        let label = sorted.labels.iter().position(|l| *l == self.filter.label)?;
        let images = sorted.images.iter().filter(|image| image.label == label);
        Some(images.map(|image| image.path.as_str()).collect())
    }

    /// The worker said something. Returns what to ask next.
    pub fn on_event(&mut self, event: LibraryEvent, now_ms: f64) -> Option<LibraryRequest> {
        match event {
            LibraryEvent::Progress {
                done,
                total,
                images,
                skipped,
                skipped_count,
            } => {
                let before = self.progress.take();
                let first = before.is_none();
                let started_ms = before.map_or(now_ms, |before| before.started_ms);
                self.progress = Some(Progress {
                    done,
                    total,
                    images,
                    skipped,
                    skipped_count,
                    started_ms,
                    now_ms,
                });
                // What was typed while the folder was opened, and what came in since: more
                // seldom, the more there is.
                let grown = images >= self.searched + self.searched / 4 + GROWTH;
                if first || done == total || grown {
                    return self.search();
                }
            }
            LibraryEvent::Found { number, hits } => {
                if number == self.number {
                    self.hits = Some(hits);
                    self.scored = self.asked_scored;
                }
            }
            LibraryEvent::Duplicates {
                identical,
                near_identical,
                similar,
            } => {
                self.busy = false;
                self.duplicates = Some(FoundDuplicates {
                    identical,
                    near_identical,
                    similar,
                });
            }
            LibraryEvent::Sorted { labels, images } => {
                self.busy = false;
                let images = (images.into_iter())
                    .map(|(path, label, probability)| SortedImage {
                        path,
                        label: label as usize,
                        probability,
                    })
                    .collect();
                self.sorted = Some(Sorted { labels, images });
            }
            LibraryEvent::Named { labels } => {
                self.busy = false;
                for (before, name) in labels {
                    // One that has a name of the visitor's keeps it.
                    if let Some(sorted) = &mut self.sorted
                        && let Some(label) = sorted.labels.iter().position(|l| *l == before)
                    {
                        sorted.rename(label, &name);
                    }
                }
            }
            LibraryEvent::StoredIndexes(kept) => {
                (self.deleted).retain(|key| kept.iter().any(|index| index.key == *key));
                self.kept = kept;
            }
            LibraryEvent::Closed => self.disconnected(),
            LibraryEvent::NotKept { error } => self.not_kept = Some(error),
            LibraryEvent::Failed { error } => {
                self.busy = false;
                self.error = Some(error);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u32, total: u32) -> LibraryEvent {
        LibraryEvent::Progress {
            done,
            total,
            images: done,
            skipped: Vec::new(),
            skipped_count: 0,
        }
    }

    fn opened() -> LibrarySession {
        let mut session = LibrarySession::new();
        session.open(OpenFolder {
            name: "Photos".into(),
            files: 100,
            other: 0,
            unread: Vec::new(),
            on_disk: false,
            subfolders: Vec::new(),
        });
        session
    }

    fn number_of(request: Option<LibraryRequest>) -> u32 {
        match request {
            Some(LibraryRequest::Search { number, .. }) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_typed_early_is_searched_when_the_folder_is_open() {
        let mut session = opened();
        session.query = "dog - people".into();
        assert_eq!(session.search(), None);
        let first = number_of(session.on_event(progress(0, 100), 0.0));
        // Again when there is more, and when all is in.
        let second = number_of(session.on_event(progress(50, 100), 1000.0));
        let last = number_of(session.on_event(progress(100, 100), 2000.0));
        assert!(second > first && last > second);
        assert!(session.complete());
        let found = |number| LibraryEvent::Found {
            number,
            hits: vec![("a.jpg".into(), 0.5), ("b.jpg".into(), 0.2)],
        };
        session.on_event(found(first), 0.0);
        assert_eq!(session.hits, None);
        session.on_event(found(last), 0.0);
        session.min_score = 0.3;
        assert_eq!(session.shown().count(), 1);
        // Without a query all are there.
        session.query.clear();
        let all = number_of(session.search());
        session.on_event(found(all), 0.0);
        assert_eq!((session.shown().count(), session.scored), (2, false));
    }

    #[test]
    fn what_the_page_searches_by_itself_hides_no_error() {
        let mut session = opened();
        session.on_event(progress(0, 10), 0.0);
        let error = Diagnostic::from("no");
        session.on_event(LibraryEvent::Failed { error }, 0.0);
        let error = Diagnostic::from("the storage is full");
        session.on_event(LibraryEvent::NotKept { error }, 0.0);
        session.on_event(progress(10, 10), 0.0);
        assert_eq!(session.error, Some("no".into()));
        assert!(session.not_kept.is_some());
        session.open(OpenFolder::default());
        assert_eq!((session.error, session.not_kept), (None, None));
    }

    #[test]
    fn a_growing_index_is_searched_again_and_again_but_ever_more_seldom() {
        let mut session = opened();
        session.on_event(progress(0, 10_000), 0.0);
        let searches = (1..10_000)
            .filter(|done| session.on_event(progress(*done, 10_000), 0.0).is_some())
            .count();
        assert!((8..30).contains(&searches), "{searches}");
    }

    #[test]
    fn hits_are_filtered_by_the_label_that_the_visitor_gave_them() {
        let mut session = opened();
        session.on_event(progress(100, 100), 0.0);
        let number = number_of(session.search());
        let hits = ["a", "b", "c"].map(|path| (path.into(), 0.0)).into();
        session.on_event(LibraryEvent::Found { number, hits }, 0.0);
        session.on_event(
            LibraryEvent::Sorted {
                labels: vec!["Group 1".into(), "Group 2".into()],
                images: vec![
                    ("a".into(), 0, 0.9),
                    ("b".into(), 1, 0.9),
                    ("c".into(), 1, 0.8),
                ],
            },
            0.0,
        );
        assert!(session.busy || session.sorted.is_some());
        if let Some(sorted) = &mut session.sorted {
            sorted.rename(1, "my dogs");
        }
        let names = [("Group 1", "cat"), ("Group 2", "dog")];
        let labels = names
            .map(|(before, name)| (before.into(), name.into()))
            .into();
        session.on_event(LibraryEvent::Named { labels }, 0.0);
        session.filter.label = "my dogs".into();
        let shown: Vec<&str> = session.shown().map(|(path, _)| path.as_str()).collect();
        assert_eq!(shown, ["b", "c"]);
        session.filter.label = "cat".into();
        assert_eq!(session.shown().count(), 1);
        session.filter.label = String::new();
        assert_eq!(session.shown().count(), 3);
    }

    #[test]
    fn filters_are_days_and_folders() {
        let input = FilterInput {
            folder: "2024/夏".into(),
            from: "2024-06-01".into(),
            to: "2024-06-01".into(),
            label: String::new(),
        };
        let filter = input.filter();
        let day = date_span("2024-06-01").unwrap();
        assert!(filter.passes("2024/夏/a.jpg", day.start, None));
        assert!(filter.passes("2024/夏/a.jpg", day.end - 1, None));
        assert!(!filter.passes("2024/夏/a.jpg", day.end, None));
        assert!(!filter.passes("2024/a.jpg", day.start, None));
        assert!(FilterInput::default().filter().is_empty());
        let paths = ["2024/夏/a.jpg", "2024/夏/b.jpg", "c.jpg", "2023/d/e/f.jpg"];
        let expected = ["2023", "2023/d", "2023/d/e", "2024", "2024/夏"];
        assert_eq!(subfolders(paths.into_iter()), expected);
    }

    #[test]
    fn groups_are_renamed_and_joined() {
        let image = |path: &str, label| SortedImage {
            path: path.into(),
            label,
            probability: 0.5,
        };
        let mut sorted = Sorted {
            labels: ["cat", "dog", "car"].map(String::from).into(),
            images: vec![image("a", 0), image("b", 1), image("c", 2)],
        };
        sorted.rename(0, " kitten ");
        sorted.rename(0, "");
        sorted.rename(9, "x");
        assert_eq!(sorted.labels, ["kitten", "dog", "car"]);
        // The dogs join the cars.
        sorted.rename(1, "car");
        assert_eq!(sorted.labels, ["kitten", "car"]);
        let labels: Vec<usize> = sorted.images.iter().map(|image| image.label).collect();
        assert_eq!(labels, [0, 1, 1]);
        // And the cats, which come before them.
        sorted.rename(0, "car");
        assert_eq!(sorted.labels, ["car"]);
        assert!(sorted.images.iter().all(|image| image.label == 0));
    }

    #[test]
    fn folders_are_known_by_their_indexes_and_their_handles() {
        let index = |folder: &str, model: &str| StoredIndex {
            key: format!("{folder}{model}"),
            folder: folder.into(),
            model: model.into(),
            images: 3,
            bytes: 10,
        };
        let mut session = LibrarySession::new();
        session.disk = vec!["Photos".into(), "New".into()];
        session.on_event(
            LibraryEvent::StoredIndexes(vec![
                index("Old", "a"),
                index("Photos", "a"),
                index("Photos", "b"),
            ]),
            0.0,
        );
        let known: Vec<_> = (session.known_folders().into_iter())
            .map(|known| (known.name, known.on_disk, known.indexes.len()))
            .collect();
        let expected = [("Old", false, 1), ("Photos", true, 2), ("New", true, 0)];
        assert_eq!(
            known,
            expected.map(|(name, on_disk, count)| (name.to_owned(), on_disk, count))
        );
    }

    #[test]
    fn images_of_a_query_are_told_apart() {
        let mut session = opened();
        session.on_event(progress(100, 100), 0.0);
        let file = |id| QueryImage::File {
            id,
            name: "image.png".into(),
        };
        session.add_image(Sign::Plus, file(3));
        session.add_image(Sign::Plus, QueryImage::Indexed("a.jpg".into()));
        session.add_image(Sign::Plus, file(7));
        // The same again changes its sign only.
        session.add_image(Sign::Minus, QueryImage::Indexed("a.jpg".into()));
        assert_eq!(session.query_files(), [3, 7]);
        let Some(LibraryRequest::Search { terms, .. }) = session.search() else {
            panic!("no search");
        };
        let kinds: Vec<_> = terms.iter().map(|term| (term.kind, term.sign)).collect();
        let expected = [
            (TermKind::File, Sign::Plus),
            (TermKind::File, Sign::Plus),
            (TermKind::Indexed, Sign::Minus),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn time_left_follows_the_rate() {
        let mut session = opened();
        session.on_event(progress(0, 100), 0.0);
        assert_eq!(
            session.progress.as_ref().and_then(Progress::seconds_left),
            None
        );
        session.on_event(progress(20, 100), 4000.0);
        assert_eq!(
            session.progress.as_ref().and_then(Progress::seconds_left),
            Some(16.0)
        );
    }

    #[test]
    fn another_folder_or_model_leaves_nothing_of_the_last() {
        let mut session = opened();
        session.on_event(progress(100, 100), 0.0);
        session.on_event(
            LibraryEvent::Sorted {
                labels: vec!["cat".into(), "dog".into()],
                images: vec![
                    ("a".into(), 1, 0.6),
                    ("b".into(), 1, 0.9),
                    ("c".into(), 0, 0.7),
                ],
            },
            0.0,
        );
        let sorted = session.sorted.clone().unwrap_or_default();
        let paths: Vec<&str> = sorted.group(1).iter().map(|i| i.path.as_str()).collect();
        assert_eq!(paths, ["b", "a"]);
        session.on_event(LibraryEvent::Closed, 0.0);
        assert_eq!((&session.sorted, &session.progress), (&None, &None));
        assert!(session.folder.is_some());
    }
}
