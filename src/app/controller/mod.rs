//! Controllers: they hold what is not plain data (signals, files, the worker), take the
//! visitor's actions and the worker's events, and carry out what the reducers of
//! [`super::domain`] ask for.
//!
//! | module | contents |
//! | --- | --- |
//! | [`engine`] | the worker |
//! | [`notices`], [`undo`] | notices on the page; offers to undo a deletion |
//! | [`classify`], [`training`], [`library`], [`evaluation`] | the sides of the page |
//! | [`current_tab`], [`tab_lock`] | the tab in sight; the lock between browser tabs |
//! | [`language`], [`tour`] | language of the page; tour of a first visit |
//! | [`storage`], [`files`], [`download`] | settings, files in memory, files for the visitor |
//! | [`shards`] | data sets at an address |
//! | [`folders`] | folders of the disk, where the browser gives access to them |
//! | [`standalone`] | a classifier as a page of its own |
//! | [`live`], [`camera`] | frames of a video; the camera |
//! | [`thumbnails`] | small copies of the pictures in sight |
//! | [`device_profile`] | what the browser tells of the device |

pub mod camera;
pub mod classify;
pub mod current_tab;
pub mod device_profile;
pub mod download;
pub mod engine;
pub mod evaluation;
pub mod files;
pub mod folders;
pub mod language;
pub mod library;
pub mod live;
pub mod notices;
mod shards;
pub mod standalone;
pub mod storage;
pub mod tab_lock;
pub mod thumbnails;
pub mod tour;
pub mod training;
pub mod undo;

use crate::app::domain::tab::Tab;
use crate::app::i18n::Language;
use crate::engine::messages::Event;

use classify::ClassifyController;
use current_tab::CurrentTab;
use engine::{EngineHandle, Heard};
use evaluation::EvaluationController;
use language::PageLanguage;
use library::LibraryController;
use live::LiveController;
use notices::Notices;
use standalone::OpenedClassifier;
use tour::Tour;
use training::TrainingController;
use undo::UndoOffers;

/// The controllers of the page.
#[derive(Clone, Copy)]
pub struct App {
    pub language: PageLanguage,
    pub engine: EngineHandle,
    pub notices: Notices,
    pub undo: UndoOffers,
    pub classify: ClassifyController,
    pub training: TrainingController,
    pub library: LibraryController,
    pub evaluation: EvaluationController,
    pub live: LiveController,
    pub tab: CurrentTab,
    pub tour: Tour,
}

impl App {
    /// With the settings that were stored; of a page of its own with those of its classifier.
    pub fn new(standalone: Option<OpenedClassifier>) -> Self {
        // Before all else: controllers begin with texts.
        let language = PageLanguage::of_document(standalone.is_some());
        let (standalone, head) = match standalone {
            Some(opened) => (Some(opened.classifier), opened.head),
            None => (None, None),
        };
        let tab = match standalone {
            Some(_) => CurrentTab::only(Tab::Classify),
            None => CurrentTab::new(),
        };
        // Before anything is stored.
        let tour = Tour::new(standalone.is_some());
        let engine = EngineHandle::new();
        let notices = Notices::new();
        let undo = UndoOffers::new();
        let classify = ClassifyController::new(engine, notices, undo, standalone);
        let training = TrainingController::new(engine, notices, undo, classify, head);
        Self {
            language,
            engine,
            notices,
            undo,
            classify,
            training,
            library: LibraryController::new(engine, notices, undo),
            evaluation: EvaluationController::new(engine, notices, training),
            live: LiveController::new(engine, classify, training),
            tab,
            tour,
        }
    }

    /// Starts the worker, and passes on what it says.
    pub fn start(self) {
        self.engine.listen(move |heard| self.hear(heard));
        self.classify.start();
        self.tour.start(self.classify, self.tab);
        if !self.classify.standalone {
            self.training.start(self.tab);
            self.library.start(self.tab);
        }
    }

    /// Shows the page in another language. Labels and templates that are only suggestions follow.
    pub fn choose_language(self, language: Language) {
        self.classify.translate(|| self.language.choose(language));
    }

    fn hear(self, heard: Heard) {
        let Self {
            classify,
            training,
            library,
            evaluation,
            live,
            ..
        } = self;
        match heard {
            Heard::Starting => {
                training.disconnected();
                library.disconnected();
                evaluation.disconnected();
                live.restart();
            }
            Heard::ModelChosen => training.forget_trained(),
            Heard::Unreachable(error) => classify.unreachable(&error),
            Heard::Event(incoming) => match incoming.event {
                Event::Library(event) => library.on_event(event),
                Event::Evaluation(event) => evaluation.on_event(event),
                Event::Training(event) => training.on_event(event, incoming.bytes, incoming.files),
                Event::Died { error, gpu } => {
                    training.died(gpu);
                    classify.on_event(Event::Died { error, gpu });
                }
                event @ Event::Ready { .. } => {
                    // Before the images are: they are classified with it.
                    training.use_own_head();
                    classify.on_event(event);
                    training.opened();
                    library.opened();
                    evaluation.opened();
                }
                event @ (Event::FrameClassified { .. } | Event::FrameFailed { .. }) => {
                    live.on_event(event);
                }
                event @ (Event::Located { .. } | Event::LocateFailed { .. }) => {
                    classify.on_heat_map(event, &incoming.bytes);
                }
                event => classify.on_event(event),
            },
        }
    }
}
