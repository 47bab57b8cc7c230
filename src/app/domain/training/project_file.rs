//! A project as one file: a zip with a folder for each class, the trained head or LoRA, and `project.json`
//! with everything else.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::project::{ClassId, Role, TrainingSample};
use super::session::{ProjectState, Share, TrainingSession};
use crate::app::i18n::message;
use crate::data::{ProjectImage, ProjectImages, ProjectSplit, file_safe};
use crate::engine::messages::{
    HeldOutAnswer, ModelLocation, ModelSource, Problem, SampleId, TrainingSettings,
};
use crate::train::{Method, TrainingReport};

/// How the name of such a file ends.
pub const END: &str = ".clip-project.zip";

/// Place of the bundled model.
const BUNDLED: &str = "bundled";

/// `project.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectFile {
    /// What the images show.
    #[serde(flatten)]
    pub images: ProjectImages,
    /// Share of each class that is held out by chance.
    pub held_out: f64,
    /// Seed of chance.
    pub seed: u32,
    /// What a table or folder named that is not among the images.
    #[serde(default)]
    pub missing: Vec<Problem>,
    /// What was taken otherwise than written.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Labels of the Classify tab; none where they are only suggestions.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Prompt templates.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The model that was open.
    #[serde(default)]
    pub model: Option<ProjectModel>,
    /// Method that the visitor chose.
    #[serde(default)]
    pub method: Option<Method>,
    /// Settings that the visitor changed.
    #[serde(default)]
    pub settings: Option<TrainingSettings>,
    /// What was trained.
    #[serde(default)]
    pub trained: Option<ProjectTrained>,
}

/// Model of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectModel {
    /// Its name.
    pub name: String,
    /// `bundled`, its name on the hub, or its address; `None` for one that was opened from files.
    #[serde(default)]
    pub place: Option<String>,
}

/// What was trained, in a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectTrained {
    /// Files beside `project.json`.
    pub files: Vec<String>,
    /// Its classes.
    pub classes: Vec<String>,
    /// Share of the trained weights, percent.
    pub share: u32,
    /// Its report.
    #[serde(default)]
    pub report: Option<TrainingReport>,
    /// Answers to held-out images, whose numbers count the project's images from 0.
    #[serde(default)]
    pub answers: Vec<HeldOutAnswer>,
}

impl ProjectModel {
    /// Model from a source.
    pub fn new(name: String, source: &ModelSource) -> Self {
        let place = match source {
            ModelSource::Bundled => Some(BUNDLED.into()),
            ModelSource::Place(place) => Some(place.to_string()),
            ModelSource::Files => None,
        };
        Self { name, place }
    }

    /// Where it can be opened from, `None` in it for the bundled model; `None` if it was opened from
    /// files.
    pub fn location(&self) -> Option<Option<ModelLocation>> {
        match self.place.as_deref()? {
            BUNDLED => Some(None),
            place => ModelLocation::parse(place).ok().map(Some),
        }
    }
}

impl ProjectFile {
    /// A session's project, with the files of what was trained, if there are any. Labels and model are
    /// the caller's to add.
    pub fn new(session: &TrainingSession, trained_files: &[String]) -> Self {
        let project = &session.project;
        let paths = project.paths();
        let classes: HashMap<_, _> = (project.classes.iter())
            .map(|class| (class.id, &class.name))
            .collect();
        let images = (project.samples.iter().zip(project.roles()))
            .map(|(sample, (id, role))| ProjectImage {
                file: paths.get(&id).cloned().unwrap_or_default(),
                name: Some(sample.name.clone()),
                class: (sample.class)
                    .and_then(|class| classes.get(&class))
                    .map(|name| name.to_string()),
                captions: sample.captions.clone(),
                split: match role == Role::HeldOut || sample.held_out == Some(true) {
                    true => ProjectSplit::Test,
                    false => ProjectSplit::Train,
                },
                draw: sample.held_out.is_none().then(|| sample.draw()),
            })
            .collect();
        let names = project.classes.iter().map(|class| class.name.clone());
        let places: HashMap<SampleId, u32> = (project.samples.iter().zip(0..))
            .map(|(sample, place)| (sample.id, place))
            .collect();
        let trained = (session.trained.as_ref()).filter(|_| !trained_files.is_empty());
        let outcome = session.outcome.as_ref();
        Self {
            images: ProjectImages::new(project.name.clone(), names.collect(), images),
            held_out: project.held_out,
            seed: project.seed,
            missing: project.missing.clone(),
            notes: project.notes.clone(),
            labels: Vec::new(),
            templates: Vec::new(),
            model: None,
            method: session.method,
            settings: session.settings.clone(),
            trained: trained.map(|trained| ProjectTrained {
                files: trained_files.to_vec(),
                classes: trained.classes.clone(),
                share: session.share.0,
                report: outcome.map(|outcome| outcome.report.clone()),
                answers: (outcome.iter().flat_map(|outcome| &outcome.answers))
                    .filter_map(|answer| {
                        let sample = *places.get(&answer.sample)?;
                        Some(HeldOutAnswer { sample, ..*answer })
                    })
                    .collect(),
            }),
        }
    }

    /// Name of the zip.
    pub fn zip_name(&self) -> String {
        format!("{}{END}", file_safe(&self.images.name))
    }

    /// The project for a session, to take the place of the one that is there, and the paths of its
    /// samples' files. `there` says which of these there are; without `trained` what was trained is left
    /// out.
    pub fn state(
        &self,
        session: &TrainingSession,
        there: impl Fn(&str) -> bool,
        trained: bool,
    ) -> (ProjectState, Vec<(SampleId, String)>) {
        let mut project = session.project.successor();
        project.name.clone_from(&self.images.name);
        project.held_out = self.held_out;
        project.seed = self.seed;
        project.missing.clone_from(&self.missing);
        project.notes.clone_from(&self.notes);
        let mut classes: HashMap<&str, ClassId> = HashMap::new();
        for class in &self.images.classes {
            classes.insert(class, project.class_named(class));
        }
        let mut files = Vec::new();
        // By the place among the images.
        let mut numbers: Vec<Option<SampleId>> = Vec::new();
        for image in &self.images.images {
            if !there(&image.file) {
                project.missing.push(Problem::Ignored {
                    path: image.file.clone(),
                    why: message!("not-in-project"),
                });
                numbers.push(None);
                continue;
            }
            let name = image.name.clone().unwrap_or_else(|| {
                let name = image.file.rsplit('/').next();
                name.unwrap_or_default().to_owned()
            });
            let class = image.class.as_deref().map(|name| {
                let known = classes.entry(name);
                *known.or_insert_with(|| project.class_named(name))
            });
            let id = project.add(name, String::new(), class);
            project.change(id, |sample: &mut TrainingSample| {
                sample.captions.clone_from(&image.captions);
                sample.draw = image.draw;
                sample.held_out = match image.draw {
                    Some(_) => None,
                    None => Some(image.split == ProjectSplit::Test),
                };
            });
            files.push((id, image.file.clone()));
            numbers.push(Some(id));
        }
        let trained = self.trained.as_ref().filter(|_| trained);
        let state = ProjectState {
            project,
            method: self.method,
            settings: self.settings.clone(),
            report: trained.and_then(|trained| {
                let answers = trained.answers.iter().filter_map(|answer| {
                    let sample = (*numbers.get(answer.sample as usize)?)?;
                    Some(HeldOutAnswer { sample, ..*answer })
                });
                Some((trained.report.clone()?, answers.collect()))
            }),
            share: trained.map_or_else(Share::default, |trained| Share(trained.share.min(100))),
        };
        (state, files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::domain::training::project::{Project, Reading};
    use crate::engine::messages::{Export, Outcome, Trained};
    use crate::train::DataReport;

    /// A project with used numbers, whose first image and first class are gone, with a probe.
    fn session() -> TrainingSession {
        let mut session = TrainingSession::default();
        session.edit(|project| {
            project.name = "pets".into();
            project.class_named("gone");
            project.add("gone.png".into(), String::new(), None);
            project.classes.clear();
            project.samples.clear();
            project.seed = 5;
            let classes = ["zebra", "a/b"].map(|name| project.class_named(name));
            for index in 0..20 {
                let class = Some(classes[index % 2]);
                let id = project.add(format!("{}.png", index / 2), String::new(), class);
                project.change(id, |sample| sample.reading = good(id));
            }
            // The data set says of this one what it is for.
            project.samples[4].held_out = Some(true);
            project.samples[5].captions = vec!["a b".into()];
        });
        let trained = Trained {
            method: Method::Probe,
            model: "toy".into(),
            classes: vec!["zebra".into(), "a/b".into()],
            exports: vec![Export::Head],
            tells_fit: false,
        };
        session.outcome = Some(Outcome {
            report: report(),
            answers: vec![HeldOutAnswer {
                sample: session.project.samples[4].id,
                truth: 0,
                before: 1,
                after: 0,
                probability: 0.75,
            }],
            trained: trained.clone(),
        });
        session.trained = Some(trained);
        session.method = Some(Method::Probe);
        session
    }

    fn good(id: SampleId) -> Reading {
        Reading::Good {
            fingerprint: id.to_string(),
        }
    }

    fn report() -> TrainingReport {
        TrainingReport {
            method: Method::Probe,
            model: "toy".into(),
            device: String::new(),
            settings: Default::default(),
            data: DataReport::default(),
            curves: Vec::new(),
            before: None,
            after: None,
            seconds: 1.5,
            images_per_second: 2.0,
            notes: Vec::new(),
        }
    }

    /// Names of classes and images, and which are held out.
    fn told(project: &Project) -> Vec<(String, String, bool)> {
        (project.samples.iter().zip(project.roles()))
            .map(|(sample, (_, role))| {
                let class = sample.class.and_then(|id| project.class(id));
                let class = class.map(|class| class.name.clone()).unwrap_or_default();
                (class, sample.name.clone(), role == Role::HeldOut)
            })
            .collect()
    }

    #[test]
    fn a_project_is_the_same_after_saving_and_opening() {
        let before = session();
        let written = ProjectFile::new(&before, &["probe.safetensors".into()]);
        assert_eq!(written.zip_name(), "pets.clip-project.zip");
        let text = serde_json::to_string(&written).unwrap();
        let file: ProjectFile = serde_json::from_str(&text).unwrap();
        assert_eq!(file, written);

        // In a page that has given other numbers away.
        let mut page = TrainingSession::default();
        page.edit(|project| {
            for _ in 0..7 {
                project.add("other.png".into(), String::new(), None);
            }
        });
        let (state, files) = file.state(&page, |path| path != "zebra/0.png", true);
        assert_eq!(files.len(), 19);
        assert!(files.iter().all(|(id, _)| *id > 7), "{files:?}");
        assert!(
            files.iter().any(|(_, path)| path == "a_b/9.png"),
            "{files:?}"
        );
        assert_eq!(state.project.missing.len(), 1);
        let (state, files) = file.state(&page, |_| true, true);
        let other = page.exchange(state);
        assert_eq!(other.project.samples.len(), 7);
        for (id, _) in &files {
            page.edit(|project| project.note(*id, good(*id)));
        }
        assert_eq!(told(&page.project), told(&before.project));
        assert_eq!(
            told(&page.project)
                .iter()
                .filter(|(.., held)| *held)
                .count(),
            5
        );
        assert_eq!(page.project.samples[5].captions, ["a b"]);
        assert_eq!(page.method, Some(Method::Probe));
        // The result comes later, with its report.
        assert!(page.outcome.is_none());
        page.on_event(crate::engine::messages::TrainingEvent::Exchanged(
            before.trained.clone(),
        ));
        let outcome = page.outcome.clone().unwrap();
        assert_eq!(outcome.report, report());
        assert_eq!(outcome.answers[0].sample, page.project.samples[4].id);
        assert_eq!(page.trained, before.trained);
        // More images get numbers that neither has, also after going back.
        let back = page.exchange(other);
        let new = page.edit(|project| project.add("new.png".into(), String::new(), None));
        assert!(back.project.samples.iter().all(|sample| sample.id < new));
        assert_eq!(page.project.samples.len(), 8);
        assert!(back.report.is_some_and(|(_, answers)| answers.len() == 1));
        assert!(page.outcome.is_none());
    }

    #[test]
    fn a_project_can_be_written_by_hand_and_names_a_place_of_its_model() {
        let text = r#"{"format": "clip-project", "version": 1, "name": "x", "classes": ["a"],
            "images": [{"file": "a/1.png", "class": "b", "split": "test"}], "held_out": 0.2, "seed": 0,
            "model": {"name": "ViT-B/32", "place": "openai/clip-vit-base-patch32"}}"#;
        let file: ProjectFile = serde_json::from_str(text).unwrap();
        let (state, _) = file.state(&TrainingSession::default(), |_| true, true);
        assert_eq!(state.project.samples[0].held_out, Some(true));
        let names: Vec<&str> = (state.project.classes.iter())
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let place = |place: Option<&str>| ProjectModel {
            name: "m".into(),
            place: place.map(String::from),
        };
        assert_eq!(place(Some("bundled")).location(), Some(None));
        assert_eq!(place(None).location(), None);
        assert_eq!(place(Some("no place")).location(), None);
        let hub = file
            .model
            .as_ref()
            .and_then(ProjectModel::location)
            .flatten();
        let again = ProjectModel::new("m".into(), &ModelSource::Place(hub.clone().unwrap()));
        assert_eq!(again.location(), Some(hub));
    }
}
