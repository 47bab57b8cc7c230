//! What there is to learn from, as plain data: classes and pictures, or
//! pictures with captions; what of it cannot be used, and what is held out.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::app::i18n::{message, t};
use crate::data::Problem;
use crate::data::{Dataset, file_safe};
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{PlannedSample, SampleId};

/// A class, numbered by the page: its name may change, or be empty for a while.
pub type ClassId = u32;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    pub id: ClassId,
    pub name: String,
}

/// What is known of a picture's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// The worker has not come to it yet.
    #[default]
    Waiting,
    Good {
        /// Equal for equal files.
        fingerprint: String,
    },
    /// Why it cannot be used.
    Bad(Diagnostic),
}

/// A picture to learn from. Its file is kept by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSample {
    pub id: SampleId,
    /// File name.
    pub name: String,
    pub class: Option<ClassId>,
    pub captions: Vec<String>,
    /// Whether the data set that it came in holds it out; `None` if that has no parts.
    #[serde(default)]
    pub held_out: Option<bool>,
    /// Number by which chance holds it out, if another than its own: that of the project it came with.
    #[serde(default)]
    pub draw: Option<u32>,
    #[serde(default)]
    pub reading: Reading,
    /// Object URL of the file.
    #[serde(skip)]
    pub thumbnail: String,
}

impl TrainingSample {
    /// Number by which chance holds it out.
    pub fn draw(&self) -> u32 {
        self.draw.unwrap_or(self.id)
    }
}

/// Fewer pictures of a class than this are all needed for learning.
const FEWEST_TO_SPLIT: usize = 3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// For people: what the data are called.
    pub name: String,
    pub classes: Vec<Class>,
    pub samples: Vec<TrainingSample>,
    /// What a table or folder named that is not among the samples.
    pub missing: Vec<Problem>,
    /// What was taken otherwise than written, for the report.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Share of each class that is kept apart for measuring.
    pub held_out: f64,
    pub seed: u32,
    next_sample: SampleId,
    next_class: ClassId,
}

impl Default for Project {
    fn default() -> Self {
        Self {
            name: "images".into(),
            classes: Vec::new(),
            samples: Vec::new(),
            missing: Vec::new(),
            notes: Vec::new(),
            held_out: crate::engine::defaults::HELD_OUT,
            seed: 0,
            next_sample: 1,
            next_class: 1,
        }
    }
}

/// Part of a project that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Sample(SampleId),
    /// A class with its pictures.
    Class(ClassId),
    All,
}

/// What was taken away, with the places that it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    classes: Vec<(usize, Class)>,
    samples: Vec<(usize, TrainingSample)>,
    /// Classes of the samples: they may be taken away after them.
    needed: Vec<Class>,
    missing: Vec<Problem>,
    notes: Vec<String>,
    /// Name of the project, if all was taken away.
    name: Option<String>,
}

impl Removed {
    pub fn samples(&self) -> Vec<SampleId> {
        self.samples.iter().map(|(_, sample)| sample.id).collect()
    }

    /// What it was, for people.
    pub fn described(&self) -> Diagnostic {
        let images = message!("images", count = self.samples.len());
        match (&self.classes[..], &self.samples[..], &self.name) {
            ([], [(_, sample)], None) => message!("removed-one", name = sample.name),
            ([(_, class)], _, None) => {
                message!("removed-class", name = class.name, images = images)
            }
            _ => message!(
                "removed-all",
                images = images,
                classes = message!("classes", count = self.classes.len())
            ),
        }
    }
}

/// How much of a class there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub train: usize,
    pub held_out: usize,
}

impl Count {
    pub fn all(self) -> usize {
        self.train + self.held_out
    }
}

/// Where a sample stands in a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its file has not been read yet.
    Waiting,
    Train,
    HeldOut,
    /// It is left out, for this reason.
    LeftOut(Problem),
}

impl Project {
    /// An empty project whose numbers are not those of anything in this one.
    pub fn successor(&self) -> Self {
        Self {
            next_sample: self.next_sample,
            next_class: self.next_class,
            ..Self::default()
        }
    }

    /// Does not give numbers that another project has given.
    pub fn skip_numbers_of(&mut self, other: &Self) {
        self.next_sample = self.next_sample.max(other.next_sample);
        self.next_class = self.next_class.max(other.next_class);
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.samples.is_empty() && self.missing.is_empty()
    }

    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    pub fn sample(&self, id: SampleId) -> Option<&TrainingSample> {
        self.samples.iter().find(|sample| sample.id == id)
    }

    pub fn of_class(&self, id: ClassId) -> impl Iterator<Item = &TrainingSample> {
        (self.samples.iter()).filter(move |sample| sample.class == Some(id))
    }

    /// Pictures that have captions only.
    pub fn captioned(&self) -> impl Iterator<Item = &TrainingSample> {
        self.samples.iter().filter(|sample| sample.class.is_none())
    }

    /// The class of that name, which is made if there is none.
    pub fn class_named(&mut self, name: &str) -> ClassId {
        let name = name.trim();
        let known = (self.classes.iter()).find(|class| same_name(&class.name, name));
        if let Some(class) = known.filter(|_| !name.is_empty()) {
            return class.id;
        }
        let id = self.next_class;
        self.next_class += 1;
        let name = name.to_owned();
        self.classes.push(Class { id, name });
        id
    }

    /// A class with a name that can be overwritten.
    pub fn new_class(&mut self) -> ClassId {
        let taken = |name: &str| {
            self.classes
                .iter()
                .any(|class| same_name(&class.name, name))
        };
        let mut number = self.classes.len() + 1;
        while taken(&t!("class-number", number = number)) {
            number += 1;
        }
        self.class_named(&t!("class-number", number = number))
    }

    pub fn rename(&mut self, id: ClassId, name: &str) {
        if let Some(class) = self.classes.iter_mut().find(|class| class.id == id) {
            class.name = one_line(name);
        }
    }

    /// Takes a part away.
    pub fn take(&mut self, part: Part) -> Removed {
        let classes = taken(&mut self.classes, |class| match part {
            Part::Sample(_) => false,
            Part::Class(id) => class.id == id,
            Part::All => true,
        });
        let samples = taken(&mut self.samples, |sample| match part {
            Part::Sample(id) => sample.id == id,
            Part::Class(id) => sample.class == Some(id),
            Part::All => true,
        });
        let needed = (self.classes.iter())
            .filter(|class| {
                samples
                    .iter()
                    .any(|(_, sample)| sample.class == Some(class.id))
            })
            .cloned()
            .collect();
        let (missing, notes, name) = match part {
            Part::All => (
                std::mem::take(&mut self.missing),
                std::mem::take(&mut self.notes),
                Some(std::mem::replace(&mut self.name, Self::default().name)),
            ),
            _ => Default::default(),
        };
        Removed {
            classes,
            samples,
            needed,
            missing,
            notes,
            name,
        }
    }

    /// Puts a part back to its place. Numbers do not come again, so they are free.
    pub fn put_back(&mut self, removed: Removed) {
        if let Some(name) = removed.name.filter(|_| self.samples.is_empty()) {
            self.name = name;
        }
        for (place, class) in removed.classes {
            if self.class(class.id).is_none() {
                self.classes.insert(place.min(self.classes.len()), class);
            }
        }
        for class in removed.needed {
            if self.class(class.id).is_none() {
                self.classes.push(class);
            }
        }
        for (place, sample) in removed.samples {
            if self.sample(sample.id).is_some() {
                continue;
            }
            self.samples.insert(place.min(self.samples.len()), sample);
        }
        self.missing.extend(removed.missing);
        self.notes.extend(removed.notes);
    }

    /// A picture's captions, one in each line.
    pub fn caption(&mut self, id: SampleId, text: &str) {
        let lines = text.lines().map(|line| line.trim().to_owned());
        self.change(id, |sample| {
            sample.captions = lines.filter(|line| !line.is_empty()).collect();
        });
    }

    /// Changes a sample.
    pub fn change(&mut self, id: SampleId, change: impl FnOnce(&mut TrainingSample)) {
        if let Some(sample) = self.samples.iter_mut().find(|sample| sample.id == id) {
            change(sample);
        }
    }

    pub fn add(&mut self, name: String, thumbnail: String, class: Option<ClassId>) -> SampleId {
        let id = self.next_sample;
        self.next_sample += 1;
        self.samples.push(TrainingSample {
            id,
            name,
            class,
            captions: Vec::new(),
            held_out: None,
            draw: None,
            reading: Reading::Waiting,
            thumbnail,
        });
        id
    }

    /// Takes in images that are stored but no longer described, as a class of their own.
    pub fn recover(&mut self, samples: &[SampleId]) {
        let class = self.new_class();
        for &id in samples {
            self.next_sample = id;
            self.add(t!("image-number", number = id), String::new(), Some(class));
        }
    }

    /// Takes in another project, whose samples get numbers that are free here and
    /// larger than `used`. Returns those before and now.
    pub fn join(&mut self, other: Project, used: SampleId) -> Vec<(SampleId, SampleId)> {
        self.next_sample = self.next_sample.max(used.saturating_add(1));
        if self.is_empty() {
            self.name = other.name;
            self.held_out = other.held_out;
            self.seed = other.seed;
        }
        let classes: HashMap<ClassId, ClassId> = (other.classes.iter())
            .map(|class| (class.id, self.class_named(&class.name)))
            .collect();
        self.missing.extend(other.missing);
        self.notes.extend(other.notes);
        let mut numbers = Vec::with_capacity(other.samples.len());
        for sample in other.samples {
            let id = self.next_sample;
            self.next_sample += 1;
            numbers.push((sample.id, id));
            let class = sample.class.and_then(|class| classes.get(&class).copied());
            self.samples.push(TrainingSample {
                id,
                class,
                ..sample
            });
        }
        numbers
    }

    /// Takes in a data set that was brought: its classes, problems, and a sample
    /// for each picture (and class, should it show several). Returns the
    /// samples' numbers with the indices of their pictures.
    pub fn adopt(&mut self, dataset: &Dataset) -> Vec<(SampleId, usize)> {
        let classes: Vec<ClassId> = (dataset.classes.iter())
            .map(|name| self.class_named(name))
            .collect();
        if self.samples.is_empty() && !dataset.name.is_empty() {
            self.name.clone_from(&dataset.name);
        }
        for problem in &dataset.problems {
            if !self.missing.contains(problem) {
                self.missing.push(problem.clone());
            }
        }
        for note in &dataset.notes {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
        let mut known: HashMap<(usize, Option<usize>), usize> = HashMap::new();
        let mut added = Vec::new();
        for example in &dataset.examples {
            let place = *(known.entry((example.picture, example.class))).or_insert_with(|| {
                let path = &dataset.pictures[example.picture];
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                let class = example.class.map(|class| classes[class]);
                let id = self.add(name, String::new(), class);
                added.push((id, example.picture));
                let place = self.samples.len() - 1;
                self.samples[place].held_out = dataset.held_out.get(example.picture).copied();
                place
            });
            // One caption in each line, as they are shown.
            let caption = example.caption.as_deref().map(one_line);
            self.samples[place].captions.extend(caption);
        }
        added
    }

    /// Notes what the worker found of a picture's file.
    pub fn note(&mut self, id: SampleId, reading: Reading) {
        self.change(id, |sample| sample.reading = reading);
    }

    /// Files that wait to be read.
    pub fn waiting(&self) -> usize {
        (self.samples.iter())
            .filter(|sample| sample.reading == Reading::Waiting)
            .count()
    }

    /// What a sample is called in reports: class and file, different for each.
    pub fn paths(&self) -> HashMap<SampleId, String> {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut paths = HashMap::with_capacity(self.samples.len());
        for sample in &self.samples {
            let class = sample.class.and_then(|id| self.class(id));
            let folder = class.map(|class| file_safe(&class.name));
            let name = file_safe(&sample.name);
            let path = |name: &str| match &folder {
                Some(folder) => format!("{folder}/{name}"),
                None => name.to_owned(),
            };
            let mut unique = path(&name);
            while let Some(count) = taken.get_mut(&unique) {
                *count += 1;
                let (stem, end) = name.rsplit_once('.').unwrap_or((&name, ""));
                let dot = if end.is_empty() { "" } else { "." };
                unique = path(&format!("{stem}-{count}{dot}{end}"));
            }
            taken.insert(unique.clone(), 1);
            paths.insert(sample.id, unique);
        }
        paths
    }

    /// Where every sample stands, in their order. A data set that holds out a part itself is
    /// split so, unless nothing is to be held out.
    pub fn roles(&self) -> Vec<(SampleId, Role)> {
        let paths = self.paths();
        let path = |id: SampleId| paths.get(&id).cloned().unwrap_or_default();
        let mut first: HashMap<&str, &TrainingSample> = HashMap::new();
        let mut roles = Vec::with_capacity(self.samples.len());
        let mut parts: BTreeMap<Option<ClassId>, Vec<usize>> = BTreeMap::new();
        for sample in &self.samples {
            let role = match &sample.reading {
                Reading::Waiting => Role::Waiting,
                Reading::Bad(why) => Role::LeftOut(Problem::Unreadable {
                    path: path(sample.id),
                    why: why.clone(),
                }),
                Reading::Good { .. } if sample.class.is_none() && sample.captions.is_empty() => {
                    Role::LeftOut(Problem::Unlabelled {
                        path: path(sample.id),
                    })
                }
                Reading::Good { fingerprint } => match first.get(fingerprint.as_str()) {
                    None => {
                        first.insert(fingerprint, sample);
                        match sample.held_out.filter(|_| self.held_out > 0.0) {
                            Some(true) => Role::HeldOut,
                            Some(false) => Role::Train,
                            None => {
                                parts.entry(sample.class).or_default().push(roles.len());
                                Role::Train
                            }
                        }
                    }
                    Some(same) => {
                        let (path, of) = (path(sample.id), path(same.id));
                        Role::LeftOut(match same.class == sample.class {
                            true => Problem::Duplicate { path, of },
                            false => Problem::Contradiction { path, of },
                        })
                    }
                },
            };
            roles.push((sample.id, role));
        }
        for mut part in parts.into_values() {
            let wanted = (self.held_out * part.len() as f64).round() as usize;
            let count = match part.len() {
                ..FEWEST_TO_SPLIT => 0,
                _ if self.held_out <= 0.0 => 0,
                all => wanted.clamp(1, all - 1),
            };
            // An order by chance, but the same in every visit.
            part.sort_by_key(|index| mix(self.seed, self.samples[*index].draw()));
            for index in part.into_iter().take(count) {
                roles[index].1 = Role::HeldOut;
            }
        }
        roles
    }

    /// What cannot be used, for people.
    pub fn problems(&self, roles: &[(SampleId, Role)]) -> Vec<Problem> {
        let mut problems = self.missing.clone();
        problems.extend(roles.iter().filter_map(|(_, role)| match role {
            Role::LeftOut(problem) => Some(problem.clone()),
            _ => None,
        }));
        let counts = self.counts(roles);
        for class in &self.classes {
            let waits = self
                .of_class(class.id)
                .any(|s| s.reading == Reading::Waiting);
            let count = counts.get(&Some(class.id)).copied().unwrap_or_default();
            if count.all() == 0 && !waits {
                let class = class.name.clone();
                problems.push(Problem::EmptyClass { class });
            }
        }
        problems
    }

    /// Usable pictures by class; those with captions only under `None`.
    pub fn counts(&self, roles: &[(SampleId, Role)]) -> BTreeMap<Option<ClassId>, Count> {
        let classes: HashMap<SampleId, Option<ClassId>> =
            self.samples.iter().map(|s| (s.id, s.class)).collect();
        let mut counts: BTreeMap<Option<ClassId>, Count> = BTreeMap::new();
        for (id, role) in roles {
            let Some(class) = classes.get(id) else {
                continue;
            };
            match role {
                Role::Train => counts.entry(*class).or_default().train += 1,
                Role::HeldOut => counts.entry(*class).or_default().held_out += 1,
                _ => {}
            }
        }
        counts
    }

    /// Names of the classes that pictures show, or that a name alone says
    /// enough of, and the samples that can be used, for a training.
    pub fn planned(
        &self,
        roles: &[(SampleId, Role)],
        with_empty: bool,
    ) -> (Vec<String>, Vec<PlannedSample>) {
        let counts = self.counts(roles);
        let shown = |class: &&Class| with_empty || counts.contains_key(&Some(class.id));
        let classes: Vec<&Class> = self.classes.iter().filter(shown).collect();
        let places: HashMap<ClassId, u32> = (classes.iter().zip(0..))
            .map(|(class, place)| (class.id, place))
            .collect();
        let paths = self.paths();
        let samples = (self.samples.iter().zip(roles))
            .filter(|(_, (_, role))| matches!(role, Role::Train | Role::HeldOut))
            .map(|(sample, (_, role))| PlannedSample {
                sample: sample.id,
                path: paths.get(&sample.id).cloned().unwrap_or_default(),
                class: sample.class.and_then(|id| places.get(&id).copied()),
                captions: sample.captions.clone(),
                held_out: *role == Role::HeldOut,
            })
            .collect();
        (
            classes.into_iter().map(|c| c.name.clone()).collect(),
            samples,
        )
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes out what `gone` says, with the places.
fn taken<T>(from: &mut Vec<T>, gone: impl Fn(&T) -> bool) -> Vec<(usize, T)> {
    let all = std::mem::take(from).into_iter().enumerate();
    let (taken, rest): (Vec<_>, Vec<_>) = all.partition(|(_, item)| gone(item));
    from.extend(rest.into_iter().map(|(_, item)| item));
    taken
}

fn same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Scatters numbers (SplitMix64's finaliser).
fn mix(seed: u32, id: SampleId) -> u64 {
    let mut z = (u64::from(seed) << 32 | u64::from(id)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(fingerprint: impl ToString) -> Reading {
        Reading::Good {
            fingerprint: fingerprint.to_string(),
        }
    }

    /// Classes with so many different pictures each.
    pub fn project(counts: &[usize]) -> Project {
        let mut project = Project::default();
        for (class, count) in counts.iter().enumerate() {
            let class = project.class_named(&format!("class {class}"));
            for _ in 0..*count {
                let id = project.add("a.png".into(), String::new(), Some(class));
                project.note(id, good(id));
            }
        }
        project
    }

    #[test]
    fn each_class_gives_its_share() {
        let mut project = project(&[10, 3, 2, 1, 100]);
        let held = |project: &Project| -> Vec<usize> {
            let counts = project.counts(&project.roles());
            counts.into_values().map(|count| count.held_out).collect()
        };
        assert_eq!(held(&project), [2, 1, 0, 0, 20]);
        let before = project.roles();
        assert_eq!(before, project.roles(), "the same every time");
        project.seed = 1;
        assert_ne!(before, project.roles());
        project.held_out = 0.0;
        assert_eq!(held(&project), [0; 5]);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_rest_goes_on() {
        let mut project = Project::default();
        let (cat, dog) = (project.class_named("cat"), project.class_named("dog"));
        project.class_named("unicorn");
        for (name, class, reading) in [
            ("1.png", cat, good("a")),
            ("2.png", cat, good("a")),
            ("3.png", dog, good("a")),
            ("4.png", dog, Reading::Bad("it ends too early".into())),
            ("5.png", dog, Reading::Waiting),
        ] {
            let id = project.add(name.into(), String::new(), Some(class));
            project.note(id, reading);
        }
        let roles = project.roles();
        let said: Vec<String> = project
            .problems(&roles)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].starts_with("cat/2.png is a duplicate of cat/1.png"));
        assert!(said[1].contains("another class"));
        assert!(said[2].contains("dog/4.png: it ends too early"));
        assert!(
            said[3].contains("unicorn"),
            "dog may still get one: {said:?}"
        );
        assert_eq!(project.waiting(), 1);
        let (classes, samples) = project.planned(&roles, false);
        assert_eq!(classes, ["cat"]);
        assert_eq!(samples.len(), 1);
        assert_eq!(project.planned(&roles, true).0.len(), 3);
    }

    #[test]
    fn paths_are_unique_and_safe() {
        let mut project = Project::default();
        let class = project.class_named("a/b");
        for name in ["x.png", "x.png", "x-2.png", "..", "y"] {
            project.add(name.into(), String::new(), Some(class));
        }
        let paths = project.paths();
        let mut all: Vec<&str> = paths.values().map(String::as_str).collect();
        all.sort_unstable();
        assert_eq!(
            all,
            [
                "a_b/unnamed",
                "a_b/x-2-2.png",
                "a_b/x-2.png",
                "a_b/x.png",
                "a_b/y"
            ]
        );
    }

    #[test]
    fn classes_are_found_by_name_and_named_by_number() {
        let mut project = Project::default();
        let cat = project.class_named("Cat");
        assert_eq!(project.class_named(" cat "), cat);
        let new = project.new_class();
        assert_eq!(project.class(new).map(|c| c.name.as_str()), Some("Class 2"));
        let next = project.new_class();
        assert_eq!(
            project.class(next).map(|c| c.name.as_str()),
            Some("Class 3")
        );
        project.rename(cat, "  big   cat ");
        assert_eq!(project.class(cat).map(|c| c.name.as_str()), Some("big cat"));
        let id = project.add("a".into(), String::new(), Some(cat));
        assert_eq!(project.take(Part::Class(cat)).samples(), [id]);
        assert!(project.samples.is_empty());
    }

    #[test]
    fn what_was_taken_away_goes_back_to_its_place() {
        let mut project = project(&[2, 3]);
        project.name = "pets".into();
        project.notes = vec!["a note".into()];
        let before = project.clone();
        let (cat, first) = (project.classes[0].id, project.samples[0].id);
        for part in [Part::Sample(first), Part::Class(cat), Part::All] {
            let removed = project.take(part);
            assert_ne!(project, before);
            project.put_back(removed);
            assert_eq!(project, before, "{part:?}");
        }
        // An image comes back before its class does, which is there then.
        let image = project.take(Part::Sample(first));
        let class = project.take(Part::Class(cat));
        assert!(
            image.described().text().ends_with(" removed."),
            "{}",
            image.described()
        );
        assert_eq!(
            class.described().text(),
            format!("Class {} removed, with 1 image.", before.classes[0].name)
        );
        project.put_back(image);
        assert_eq!(project.of_class(cat).count(), 1);
        project.put_back(class.clone());
        assert_eq!(
            (project.classes.len(), project.of_class(cat).count()),
            (2, 2)
        );
        project.put_back(class);
        assert_eq!(
            project.samples.len(),
            before.samples.len(),
            "nothing comes twice"
        );

        let all = project.take(Part::All);
        assert_eq!(all.described(), "5 images removed, with 2 classes.");
        assert!(project.is_empty() && project.name == Project::default().name);
        // New images keep their numbers.
        let id = project.add("new.png".into(), String::new(), None);
        assert!(before.sample(id).is_none());
        project.put_back(all);
        assert_eq!(project.samples.len(), 6);
    }

    #[test]
    fn a_data_set_is_taken_in() {
        let example = |picture, class, caption: Option<&str>| crate::data::Example {
            picture,
            class,
            caption: caption.map(str::to_owned),
        };
        let dataset = Dataset {
            name: "pets".into(),
            classes: vec!["cat".into(), "dog".into()],
            pictures: vec!["pets/a.png".into(), "b.png".into()],
            examples: vec![
                example(0, Some(0), None),
                example(1, None, Some("two dogs")),
                example(1, None, Some("dogs\nat play")),
            ],
            problems: vec![Problem::Unlabelled {
                path: "c.png".into(),
            }],
            ..Dataset::default()
        };
        let mut project = Project::default();
        project.class_named("Dog");
        assert_eq!(project.adopt(&dataset), [(1, 0), (2, 1)]);
        assert_eq!(project.name, "pets");
        assert_eq!(project.classes.len(), 2, "a known class is not made again");
        assert_eq!(project.samples[0].name, "a.png");
        assert_eq!(project.samples[1].captions, ["two dogs", "dogs at play"]);
        assert_eq!(project.missing.len(), 1);
    }

    #[test]
    fn parts_of_the_data_are_kept() {
        let mut dataset = Dataset {
            classes: vec!["cat".into()],
            pictures: (0..8).map(|i| format!("{i}.png")).collect(),
            held_out: (0..8).map(|i| i >= 6).collect(),
            notes: vec!["the data set holds out 2 of its 8 images itself".into()],
            ..Dataset::default()
        };
        dataset.examples = (0..8)
            .map(|picture| crate::data::Example {
                picture,
                class: Some(0),
                caption: None,
            })
            .collect();
        let mut project = Project::default();
        for (id, _) in project.adopt(&dataset) {
            project.note(id, good(id));
        }
        let held = |project: &Project| -> Vec<SampleId> {
            let roles = project.roles().into_iter();
            roles
                .filter_map(|(id, role)| (role == Role::HeldOut).then_some(id))
                .collect()
        };
        assert_eq!(held(&project), [7, 8]);
        project.seed = 5;
        project.held_out = 0.5;
        assert_eq!(held(&project), [7, 8], "whatever the share and the seed");
        assert_eq!(project.notes, dataset.notes);
        // What is added without parts is split by itself.
        let dog = project.class_named("dog");
        for _ in 0..4 {
            let id = project.add("d.png".into(), String::new(), Some(dog));
            project.note(id, good(id));
        }
        assert_eq!(held(&project).len(), 4);
        // A data set that comes again says nothing new.
        project.adopt(&dataset);
        assert_eq!(project.notes, dataset.notes);
        project.held_out = 0.0;
        assert!(held(&project).is_empty(), "nothing is to be held out");
    }

    #[test]
    fn a_kept_project_is_read_as_it_was() {
        let mut project = project(&[2, 1]);
        project.samples[0].thumbnail = "blob:".into();
        let text = serde_json::to_string(&project).unwrap();
        project.samples[0].thumbnail.clear();
        let mut read: Project = serde_json::from_str(&text).unwrap();
        assert_eq!(read, project);
        // One that was kept before there were parts and notes.
        let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
        older.as_object_mut().unwrap().remove("notes");
        for sample in older["samples"].as_array_mut().unwrap() {
            sample.as_object_mut().unwrap().remove("held_out");
        }
        assert_eq!(serde_json::from_value::<Project>(older).unwrap(), project);
        assert_eq!(
            read.add(String::new(), String::new(), None),
            4,
            "numbers go on"
        );
    }
}
