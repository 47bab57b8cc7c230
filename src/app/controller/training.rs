//! Training: holds what is not plain data around [`TrainingSession`] (the samples' files,
//! the lock between tabs), takes what comes in, and carries out what its steps ask for.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Uint8Array};
use leptos::{ev, prelude::*, task::spawn_local};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, File};

use super::classify::ClassifyController;
use super::current_tab::CurrentTab;
use super::download;
use super::engine::{Attachments, EngineHandle};
use super::files::{BlobUrl, buffer_of, fetch};
use super::notices::Notices;
use super::standalone::Packager;
use super::tab_lock::{self, Channel};
use super::undo::UndoOffers;
use crate::app::domain::labels;
use crate::app::domain::notice::Notice;
use crate::app::domain::tab::Tab;
use crate::app::domain::templates::TemplateSelection;
use crate::app::domain::training::project::{ClassId, Role};
use crate::app::domain::training::project_file::{ProjectFile, ProjectModel};
use crate::app::domain::training::recommendation::{self, DatasetStats};
use crate::app::domain::training::session::{Command, LockState, ProjectState, TrainingSession};
use crate::app::domain::zip::ZipEntry;
use crate::app::i18n::message;
use crate::data::{DataError, DataFiles, Dataset, PROJECT_FILE, ZipFiles, csv_field, open_project};
use crate::diagnostic::ToDiagnostic;
use crate::engine::messages::{
    Event, Export, OpenFailure, Request, SampleId, Trained, TrainingEvent, TrainingRequest,
};

/// A data set to try with, relative to the page.
pub(super) const SAMPLE_DATA: &str = "samples/training.zip";

/// Name of a table of samples.
const TABLE: &str = "labels.csv";

/// Files of weights end like this.
const WEIGHTS: &str = ".safetensors";

/// How long a change has to rest before the worker hears of it.
const REST: Duration = Duration::from_millis(500);
/// Pause between two times that the project is kept: what comes in it could be lost.
const KEEP_PAUSE: Duration = Duration::from_millis(100);

/// What follows from the project, worked out once for each change of it.
#[derive(Clone, Copy)]
pub struct Derived {
    /// Counts the project's changes.
    pub revision: Memo<u32>,
    pub roles: Memo<Vec<(SampleId, Role)>>,
    pub amount: Memo<DatasetStats>,
}

/// Handle to everything about training; cheap to copy into components.
#[derive(Clone, Copy)]
pub struct TrainingController {
    /// The conversation with the worker about training.
    pub session: RwSignal<TrainingSession>,
    /// Labels, templates and model.
    pub classify: ClassifyController,
    /// Files of the pictures to learn from.
    sample_files: StoredValue<HashMap<SampleId, BlobUrl>, LocalStorage>,
    /// The lock that lets this tab train, while it holds it.
    tab_lock: StoredValue<Option<tab_lock::TrainingLock>, LocalStorage>,
    /// Channel to the other tabs that train.
    lock_channel: StoredValue<Option<Channel>, LocalStorage>,
    /// Project that waits for a model, or for the visitor's word on it.
    pending: StoredValue<Option<PendingProject>, LocalStorage>,
    /// What the visitor is to decide about it.
    pub project_offer: RwSignal<Option<ProjectOffer>>,
    /// Offer to undo the opening of a project.
    project_undo: StoredValue<Option<u32>>,
    /// Probe or adapter of a page of its own.
    own_head: StoredValue<Option<File>, LocalStorage>,
    /// Makes pages of what was trained.
    pub packager: Packager,
    engine: EngineHandle,
    notices: Notices,
    undo: UndoOffers,
}

impl TrainingController {
    /// Before anything was read; `own_head` is the probe or adapter of a page of its own.
    pub fn new(
        engine: EngineHandle,
        notices: Notices,
        undo: UndoOffers,
        classify: ClassifyController,
        own_head: Option<File>,
    ) -> Self {
        Self {
            session: RwSignal::new(TrainingSession::default()),
            classify,
            sample_files: StoredValue::new_local(HashMap::new()),
            tab_lock: StoredValue::new_local(None),
            lock_channel: StoredValue::new_local(None),
            pending: StoredValue::new_local(None),
            project_offer: RwSignal::new(None),
            project_undo: StoredValue::new(None),
            own_head: StoredValue::new_local(own_head),
            packager: Packager::new(notices),
            engine,
            notices,
            undo,
        }
    }

    /// What follows from the project.
    pub fn derived(self) -> Derived {
        let revision = Memo::new(move |_| self.session.with(|t| t.revision));
        let roles = Memo::new(move |_| {
            revision.get();
            self.session.with_untracked(|t| t.project.roles())
        });
        let amount = Memo::new(move |_| {
            roles.with(|roles| self.session.with_untracked(|t| t.amount(roles)))
        });
        Derived {
            revision,
            roles,
            amount,
        }
    }

    /// Keeps worker and storage up with what is on the page.
    pub fn start(self, tab: CurrentTab) {
        // As long as the page. Images that wait may not be stored yet.
        let _ = window_event_listener(ev::beforeunload, move |event| {
            let waiting = |t: &TrainingSession| t.connected && t.project.waiting() > 0;
            if self.session.with_untracked(waiting) {
                event.prevent_default();
            }
        });
        // A visitor who only classifies is in no other tab's way.
        Effect::new(move |asked: Option<bool>| {
            let asked = asked.unwrap_or_default();
            if !asked && tab.get() == Tab::Train {
                let channel = Channel::open(move || self.run(TrainingSession::release_lock));
                self.lock_channel.set_value(Some(channel));
                self.wait_for_lock();
                return true;
            }
            asked
        });
        let Derived {
            revision, amount, ..
        } = self.derived();
        let connected = Memo::new(move |_| self.session.with(|t| t.connected));
        // At once, as the page may be closed the next moment; what changes right after that is kept together.
        let kept = StoredValue::new(f64::NEG_INFINITY);
        let waiting = StoredValue::new(false);
        let keep = move || {
            kept.set_value(js_sys::Date::now());
            waiting.set_value(false);
            // Another tab may have it by now.
            if connected.try_get_untracked() == Some(true) {
                self.keep_project();
            }
        };
        Effect::new(move |before: Option<()>| {
            revision.track();
            if connected.get() && before.is_some() && !waiting.get_value() {
                match Duration::try_from_secs_f64((js_sys::Date::now() - kept.get_value()) / 1e3) {
                    Ok(since) if since < KEEP_PAUSE => {
                        waiting.set_value(true);
                        set_timeout(keep, KEEP_PAUSE - since);
                    }
                    _ => keep(),
                }
            }
        });
        let asked = Memo::new(move |_| {
            let amount = amount.get();
            let model = self
                .classify
                .session
                .with(|session| session.worker.model.clone());
            let settings = self.session.with(|t| t.settings(amount, model.as_ref()));
            let sensible = amount.train > 0 && recommendation::validate(&settings).is_empty();
            let wanted = sensible && connected.get() && tab.get() == Tab::Train;
            wanted.then_some((settings, amount))
        });
        Effect::new(move |_| {
            let Some(now) = asked.get() else {
                return;
            };
            let estimate = move || {
                if asked.try_get_untracked().flatten() == Some(now.clone()) {
                    let (settings, amount) = now;
                    self.tell(TrainingRequest::Estimate {
                        settings,
                        train: amount.train as u32,
                        held_out: amount.held_out as u32,
                    });
                }
            };
            set_timeout(estimate, REST);
        });
    }

    /// Training is this tab's once no other one has it.
    fn wait_for_lock(self) {
        spawn_local(async move {
            let mut held = tab_lock::take(false).await;
            if held.is_none() {
                self.session.update(|t| t.lock = LockState::OtherTab);
                held = tab_lock::take(true).await;
            }
            self.tab_lock.set_value(held);
            let ready = self.classify.session.with_untracked(|s| s.worker.ready());
            self.run(|t| t.lock_acquired(ready));
        });
    }

    /// Asks the other tab to let this one go on.
    pub fn request_lock(self) {
        self.lock_channel
            .with_value(|channel| channel.iter().for_each(Channel::ask));
    }

    fn keep_project(self) {
        let text = self
            .session
            .with_untracked(|t| serde_json::to_string(&t.project).ok());
        if let Some(project) = text {
            self.tell(TrainingRequest::KeepProject { project });
        }
    }

    fn tell(self, request: TrainingRequest) {
        self.engine
            .send(&Request::Training(request), Attachments::Nothing);
    }

    /// Takes one step of the training session and does what follows from it.
    pub fn run(self, step: impl FnOnce(&mut TrainingSession) -> Vec<Command>) {
        let commands = self.session.try_update(step).unwrap_or_default();
        self.execute(commands, Vec::new(), Vec::new());
    }

    /// The worker said something about training.
    pub fn on_event(self, event: TrainingEvent, bytes: Vec<ArrayBuffer>, files: Vec<File>) {
        if let TrainingEvent::ImportFailed { error } = &event
            && self.own_head.with_value(Option::is_some)
        {
            // Without it this page has nothing to say.
            let error = message!("page-classifier-unusable", error = error);
            self.classify
                .on_event(Event::OpenFailed(OpenFailure::new(error)));
            return;
        }
        let in_use = match &event {
            TrainingEvent::InUse {
                trained,
                encode_again,
            } => Some((trained.clone(), *encode_again)),
            _ => None,
        };
        let found = matches!(event, TrainingEvent::Found { .. });
        let commands = (self.session)
            .try_update(|training| training.on_event(event))
            .unwrap_or_default();
        self.execute(commands, bytes, files);
        if found {
            self.consider_project();
        }
        if let Some((trained, encode_again)) = in_use {
            self.head_in_use(trained.as_ref());
            match trained.filter(|trained| !trained.classes.is_empty()) {
                Some(trained) => self.classify.lend_labels(trained.classes),
                None => self.classify.return_labels(),
            }
            self.classify
                .run(|session| session.reclassify(encode_again));
        }
    }

    /// Tells what classifies whether it is a trained head.
    fn head_in_use(self, trained: Option<&Trained>) {
        let head = trained.filter(|trained| trained.exports.contains(&Export::Head));
        let tells_fit = head.map(|head| head.tells_fit);
        self.classify.run(|session| {
            session.head_tells_fit = tells_fit;
            Vec::new()
        });
    }

    fn execute(self, commands: Vec<Command>, bytes: Vec<ArrayBuffer>, files: Vec<File>) {
        for command in commands {
            match command {
                Command::Send(request) => self.tell(request),
                // Their description goes ahead: a file that none names is deleted at the next visit.
                Command::SendSamples(samples) => {
                    self.keep_project();
                    self.send_samples(samples);
                }
                Command::Removed(removed) => {
                    let samples = removed.samples();
                    self.undo.offer(
                        removed.described(),
                        move || self.run(|t| t.put_back(removed)),
                        move || self.run(|t| t.forget(samples)),
                    );
                }
                Command::Release(samples) => self.sample_files.update_value(|files| {
                    for sample in samples {
                        files.remove(&sample);
                    }
                }),
                Command::Renumber(numbers) => self.sample_files.update_value(|files| {
                    let held: Vec<_> = (numbers.into_iter())
                        .filter_map(|(before, now)| Some((now, files.remove(&before)?)))
                        .collect();
                    files.extend(held);
                }),
                Command::Adopt(samples) => {
                    let found = samples.into_iter().zip(files.iter().cloned());
                    self.hold_samples(found.map(|(id, file)| (id, file.into())).collect());
                }
                Command::Save(names) => self.save_all(&names, &bytes),
                Command::SaveProject(files) => self.pack_project(&files, &bytes),
                Command::SavePage { title, files } => self.pack_page(title, &files, &bytes),
                Command::Notify(notice) => self.notices.notify(notice),
                Command::ReleaseLock => {
                    let held = self.tab_lock.try_update_value(Option::take).flatten();
                    held.into_iter().for_each(tab_lock::TrainingLock::release);
                    self.wait_for_lock();
                }
            }
        }
    }

    fn send_samples(self, samples: Vec<SampleId>) {
        let (samples, files) = self.sample_files.with_value(|held| {
            let found = samples.into_iter().filter_map(|id| {
                let file = held.get(&id)?.blob.clone();
                Some((id, file.unchecked_into::<File>()))
            });
            found.unzip::<_, _, Vec<_>, Vec<_>>()
        });
        let request = Request::Training(TrainingRequest::AddSamples { samples });
        self.engine.send(&request, Attachments::Files(files));
    }

    /// Takes hold of samples' files and shows them.
    fn hold_samples(self, files: Vec<(SampleId, Blob)>) {
        let held: HashMap<SampleId, BlobUrl> = (files.into_iter())
            .map(|(id, blob)| (id, BlobUrl::new(blob)))
            .collect();
        self.session.update(|training| {
            training.edit(|project| {
                for sample in &mut project.samples {
                    if let Some(held) = held.get(&sample.id) {
                        sample.thumbnail.clone_from(&held.url);
                    }
                }
            });
        });
        self.sample_files.update_value(|files| files.extend(held));
    }

    /// Takes what was dropped, pasted or picked on this side of the page:
    /// pictures, for `class` if it says so; folders, tables and zips; something
    /// trained.
    pub async fn add_data(self, found: Vec<(String, Option<File>)>, class: Option<ClassId>) {
        if self
            .session
            .with_untracked(TrainingSession::locked_elsewhere)
        {
            self.notices
                .notify(Notice::error(message!("add-images-elsewhere")));
            return;
        }
        // In a folder of a project they lie beside it.
        let is_project = |path: &str| path.rsplit('/').next() == Some(PROJECT_FILE);
        if (found.iter()).any(|(path, _)| ends(path, WEIGHTS))
            && !(found.iter()).any(|(path, _)| is_project(path))
        {
            self.import(found.into_iter().filter_map(|(_, file)| file).collect());
            return;
        }
        let (zips, files): (Vec<_>, Vec<_>) =
            (found.into_iter()).partition(|(path, _)| ends(path, ".zip"));
        for file in zips.into_iter().filter_map(|(_, file)| file) {
            self.take_zip(file.into()).await;
        }
        if files.is_empty() {
            return;
        }
        let loose = (files.iter()).all(|(path, _)| !path.contains('/') && !is_table(path));
        if class.is_some() || loose {
            let files = (files.into_iter())
                .filter_map(|(_, file)| file)
                .filter(|file| !file.name().starts_with('.'));
            self.add_samples(class, files.collect());
        } else {
            let files = BroughtFiles::new(files);
            let handle =
                async |path: &str| files.files.get(path).cloned().flatten().map(Blob::from);
            if !self.take_project(&files, &handle).await {
                self.take_files(&files, &handle).await;
            }
        }
    }

    /// Adds pictures to a class; to a new one if none is named.
    pub fn add_samples(self, class: Option<ClassId>, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        let held = self.session.try_update(|training| {
            training.edit(|project| {
                let class = class.unwrap_or_else(|| project.new_class());
                (files.into_iter())
                    .map(|file| {
                        let id = project.add(file.name(), String::new(), Some(class));
                        (id, Blob::from(file))
                    })
                    .collect::<Vec<_>>()
            })
        });
        self.take_hold(held.unwrap_or_default());
    }

    fn take_hold(self, held: Vec<(SampleId, Blob)>) {
        let samples = held.iter().map(|(id, _)| *id).collect();
        self.hold_samples(held);
        self.run(|training| training.send(samples));
    }

    /// A data set to try with.
    pub fn add_sample_data(self) {
        spawn_local(async move {
            match fetch(SAMPLE_DATA).await {
                Ok(blob) => self.take_zip(blob).await,
                Err(error) => self
                    .notices
                    .notify(Notice::error(message!("samples-not-loaded", error = error))),
            }
        });
    }

    async fn take_zip(self, blob: Blob) {
        let name = (blob.dyn_ref::<File>()).map_or("samples".into(), |file| {
            let name = file.name();
            name.strip_suffix(".zip").unwrap_or(&name).to_owned()
        });
        let files = match bytes_of(&blob).await {
            Ok(bytes) => ZipFiles::open(name, Cursor::new(bytes)),
            Err(why) => Err(DataError::Zip { name, why }),
        };
        match files {
            Ok(files) => {
                let unreadable = RefCell::new(Vec::new());
                let unpack = async |path: &str| {
                    // Without bytes it is left out; why is told here.
                    let bytes = files.read(path).await.unwrap_or_else(|error| {
                        unreadable.borrow_mut().push(error.to_diagnostic());
                        Vec::new()
                    });
                    new_file(&bytes, path.rsplit('/').next().unwrap_or(path))
                };
                if !self.take_project(&files, &unpack).await {
                    let paths = files.paths();
                    let is_weights = |path: &String| ends(path, WEIGHTS);
                    match paths.iter().any(is_weights) {
                        // It left in a zip, and comes back in it.
                        true => {
                            let mut trained = Vec::new();
                            for path in &paths {
                                if is_weights(path) || ends(path, ".json") {
                                    trained.extend(unpack(path).await);
                                }
                            }
                            self.import(trained.into_iter().map(JsCast::unchecked_into).collect());
                        }
                        false => self.take_files(&files, &unpack).await,
                    }
                }
                match &unreadable.take()[..] {
                    [] => (),
                    [error] => self.notices.notify(Notice::error(error)),
                    [first, others @ ..] => self.notices.notify(Notice::error(message!(
                        "and-unread-files",
                        first = first,
                        count = others.len()
                    ))),
                }
            }
            Err(error) => self.notices.notify(Notice::error(error)),
        }
    }

    /// `blob` gives a picture's file by its path.
    async fn take_files(self, files: &impl DataFiles, blob: &impl AsyncFn(&str) -> Option<Blob>) {
        let dataset = match Dataset::open(files, None).await {
            Ok(dataset) => dataset,
            Err(error) => {
                self.notices.notify(Notice::error(error));
                return;
            }
        };
        for note in &dataset.notes {
            self.notices
                .notify(Notice::info(message!("note", note = note)));
        }
        let mut blobs = Vec::with_capacity(dataset.pictures.len());
        for path in &dataset.pictures {
            blobs.push(blob(path).await);
        }
        let held = self.session.try_update(|training| {
            training.edit(|project| {
                (project.adopt(&dataset).into_iter())
                    .filter_map(|(id, picture)| Some((id, blobs[picture].clone()?)))
                    .collect::<Vec<_>>()
            })
        });
        self.take_hold(held.unwrap_or_default());
    }

    /// Takes files that are a project; `false` if they are none. `blob` as for [`Self::take_files`].
    async fn take_project(
        self,
        files: &impl DataFiles,
        blob: &impl AsyncFn(&str) -> Option<Blob>,
    ) -> bool {
        let (folder, file) = match open_project::<ProjectFile>(files).await {
            Ok(Some(found)) => found,
            Ok(None) => return false,
            Err(error) => {
                self.notices.notify(Notice::error(error));
                return true;
            }
        };
        if self.session.with_untracked(|t| t.run.active()) {
            self.notices
                .notify(Notice::error(message!("project-while-training")));
            return true;
        }
        let there: HashSet<String> = files.paths().into_iter().collect();
        let mut blobs = HashMap::new();
        let trained = file.trained.iter().flat_map(|trained| &trained.files);
        for path in (file.images.images.iter().map(|image| &image.file)).chain(trained) {
            let whole = format!("{folder}{path}");
            if there.contains(&whole)
                && let Some(blob) = blob(&whole).await
            {
                blobs.insert(path.clone(), blob);
            }
        }
        self.pending.set_value(Some(PendingProject { file, blobs }));
        match self.session.with_untracked(|t| t.connected) {
            true => self.consider_project(),
            false => self
                .notices
                .notify(Notice::info(message!("project-waits-for-model"))),
        }
        true
    }

    /// Opens the project that waits, or asks about it if it is for another model than the one that is
    /// open.
    fn consider_project(self) {
        let open = (self.classify.session).with_untracked(|s| s.worker.model.clone());
        let made_with = self.pending.with_value(|pending| {
            let file = &pending.as_ref()?.file;
            Some((file.images.name.clone(), file.model.clone()))
        });
        let (Some(open), Some((name, made_with))) = (open, made_with) else {
            return;
        };
        match made_with.filter(|model| model.name != open.name) {
            None => self.open_project(true),
            Some(model) => self.project_offer.set(Some(ProjectOffer {
                name,
                model,
                open: open.name,
            })),
        }
    }

    /// Opens the model of the project that waits; the project follows.
    pub fn open_project_model(self) {
        let offer = self.project_offer.try_update(Option::take).flatten();
        if let Some(place) = offer.and_then(|offer| offer.model.location()) {
            self.classify.open_place(place, None);
        }
    }

    /// Does not open the project that waits.
    pub fn dismiss_project(self) {
        self.project_offer.set(None);
        self.pending.set_value(None);
    }

    /// Opens the project that waits, with what was trained or without.
    pub fn open_project(self, with_trained: bool) {
        let pending = self.pending.try_update_value(Option::take).flatten();
        self.project_offer.set(None);
        let Some(PendingProject { file, mut blobs }) = pending else {
            return;
        };
        let (state, samples) = self.session.with_untracked(|training| {
            file.state(training, |path| blobs.contains_key(path), with_trained)
        });
        let trained = file.trained.filter(|_| with_trained);
        let files = (trained.iter().flat_map(|trained| &trained.files))
            .filter_map(|path| Some(blobs.get(path)?.clone().unchecked_into()))
            .collect();
        let request = TrainingRequest::OpenTrained {
            classes: trained.map(|trained| trained.classes).unwrap_or_default(),
        };
        let labels = labels::merge(Vec::new(), file.labels).0;
        let next = Opened {
            state,
            labels: match labels.is_empty() {
                true => self.classify.own_labels(),
                false => labels,
            },
            templates: match file.templates.is_empty() {
                true => self.classify.templates.get_untracked(),
                false => TemplateSelection::of(&file.templates),
            },
        };
        let held = (samples.into_iter())
            .filter_map(|(id, path)| Some((id, blobs.remove(&path)?)))
            .collect();
        self.replace(next, request, files);
        self.take_hold(held);
    }

    /// Puts a project in the place of the one that is there, and offers to undo that. `request` tells
    /// the worker what was trained; its `files` go along.
    fn replace(self, next: Opened, request: TrainingRequest, files: Vec<File>) {
        // The worker lays aside one result.
        if let Some(id) = self.project_undo.get_value() {
            self.undo.finish(id);
        }
        let empty = (self.session)
            .with_untracked(|training| training.project.is_empty() && training.trained.is_none());
        let name = next.state.project.name.clone();
        let labels = self.classify.own_labels();
        let templates = self.classify.templates.get_untracked();
        let Some(state) = (self.session).try_update(|training| training.exchange(next.state))
        else {
            return;
        };
        self.classify.set_question(next.labels, next.templates);
        self.engine
            .send(&Request::Training(request), Attachments::Files(files));
        let text = message!("project-opened", name = name);
        if empty {
            self.tell(TrainingRequest::ForgetAside);
            self.notices.notify(Notice::info(text));
            return;
        }
        let samples: Vec<SampleId> = state.project.samples.iter().map(|s| s.id).collect();
        let before = Opened {
            state,
            labels,
            templates,
        };
        let back = {
            let samples = samples.clone();
            move || {
                self.project_undo.set_value(None);
                if (self.session).with_untracked(TrainingSession::locked_elsewhere) {
                    self.notices
                        .notify(Notice::error(message!("not-brought-back")));
                    return;
                }
                // It is of the project that goes.
                self.run(|training| training.stop(true));
                self.replace(before, TrainingRequest::ReturnTrained, Vec::new());
                // Another worker than that of then may not have them.
                self.run(|training| training.send(samples));
            }
        };
        let finish = move || {
            self.project_undo.set_value(None);
            self.run(|training| training.forget(samples));
            self.tell(TrainingRequest::ForgetAside);
        };
        let id = self.undo.offer(text, back, finish);
        self.project_undo.set_value(Some(id));
    }

    /// Files of something trained, from here or elsewhere, or a zip of them.
    pub fn import(self, files: Vec<File>) {
        if let [file] = &files[..]
            && ends(&file.name(), ".zip")
        {
            let zip = file.clone().into();
            spawn_local(async move { self.take_zip(zip).await });
            return;
        }
        let request = Request::Training(TrainingRequest::Import);
        self.engine.send(&request, Attachments::Files(files));
    }

    /// The probe or adapter of a page of its own is to be used.
    pub fn use_own_head(self) {
        if let Some(head) = self.own_head.get_value() {
            let request = Request::Training(TrainingRequest::UseHead);
            self.engine.send(&request, Attachments::Files(vec![head]));
        }
    }

    /// Offers a page of its own with what was trained, as a zip.
    pub fn save_page(self, title: String) {
        let model = (self.classify.session).with_untracked(|s| s.worker.model.clone());
        let keeps_model = self.classify.why_model_stays();
        let asked = (self.session)
            .try_update(|training| training.export_page(title, model.as_ref(), keeps_model));
        match asked {
            Some(Ok(commands)) => self.execute(commands, Vec::new(), Vec::new()),
            Some(Err(why)) => self.packager.fail(why),
            None => {}
        }
    }

    fn pack_page(self, title: String, names: &[String], bytes: &[ArrayBuffer]) {
        let Some(trained) = self.session.with_untracked(|t| t.trained.clone()) else {
            return;
        };
        let classifier = self.classify.for_page(title).with_trained(&trained);
        let own = (names.iter().zip(bytes))
            .map(|(name, bytes)| (classifier.place_of(name), bytes.clone()))
            .collect();
        spawn_local(self.packager.save(classifier, own));
    }

    /// The result's files: one as it is, several in a zip.
    fn save_all(self, names: &[String], bytes: &[ArrayBuffer]) {
        match (names, bytes) {
            ([name], [bytes]) => {
                download::save(
                    self.notices,
                    name,
                    "application/octet-stream",
                    &Array::of1(bytes),
                );
            }
            _ => {
                let entries = (names.iter().zip(bytes))
                    .map(|(name, bytes)| {
                        let data = Uint8Array::new(bytes).to_vec();
                        (ZipEntry::new(name.clone(), &data), bytes.clone().into())
                    })
                    .collect();
                download::save_zip(self.notices, "clip-model.zip", entries);
            }
        }
    }

    /// Saves the project as a zip that can be opened again, here or by the command.
    pub fn save_project(self) {
        let model = (self.classify.session).with_untracked(|s| s.worker.model.clone());
        let open = model.as_ref().map(|model| model.name.as_str());
        self.run(|training| training.save_project(open));
    }

    /// Offers the project's zip, with the files of what was trained.
    fn pack_project(self, names: &[String], bytes: &[ArrayBuffer]) {
        let (paths, samples, classes, mut file) = self.session.with_untracked(|t| {
            let classes: HashMap<ClassId, String> = (t.project.classes.iter())
                .map(|class| (class.id, class.name.clone()))
                .collect();
            (
                t.project.paths(),
                t.project.samples.clone(),
                classes,
                ProjectFile::new(t, names),
            )
        });
        file.labels = self.classify.own_labels();
        file.templates = (self.classify.templates).with_untracked(TemplateSelection::active);
        file.model = (self.classify.session).with_untracked(|session| {
            let model = session.worker.model.as_ref()?;
            Some(ProjectModel::new(
                model.name.clone(),
                &session.worker.source,
            ))
        });
        let mut entries: Vec<(ZipEntry, JsValue)> = (names.iter().zip(bytes))
            .map(|(name, bytes)| {
                let data = Uint8Array::new(bytes).to_vec();
                (ZipEntry::new(name.clone(), &data), bytes.clone().into())
            })
            .collect();
        spawn_local(async move {
            // Folders say what a picture shows; captions need a table.
            let captions = samples.iter().any(|sample| !sample.captions.is_empty());
            let mut table = String::new();
            for sample in &samples {
                let held = (self.sample_files)
                    .try_with_value(|files| files.get(&sample.id).map(|held| held.blob.clone()));
                let (Some(Some(blob)), Some(path)) = (held, paths.get(&sample.id)) else {
                    continue;
                };
                // One file at a time in memory: the zip itself is made of handles.
                let Ok(bytes) = bytes_of(&blob).await else {
                    continue;
                };
                if captions {
                    let class = sample.class.and_then(|id| classes.get(&id));
                    table.push_str(&rows(path, class, &sample.captions));
                }
                entries.push((ZipEntry::new(path.clone(), &bytes), blob.into()));
            }
            if !table.is_empty() {
                let entry = ZipEntry::new("metadata.jsonl".into(), table.as_bytes());
                entries.push((entry, table.into()));
            }
            match serde_json::to_string_pretty(&file) {
                Ok(text) => {
                    let entry = ZipEntry::new(PROJECT_FILE.into(), text.as_bytes());
                    entries.push((entry, text.into()));
                    download::save_zip(self.notices, &file.zip_name(), entries);
                }
                Err(error) => self.notices.notify(Notice::error(error.to_string())),
            }
        });
    }

    /// Name of the data set, and all images that have a class: their files with a table of
    /// their classes. While a trained model is in use, the table says which ones it has
    /// learnt from.
    pub fn labelled_files(self) -> (String, Vec<(String, Option<File>)>) {
        self.session.with_untracked(|t| {
            let paths = t.project.paths();
            let held_out: HashSet<SampleId> = (t.project.roles().into_iter())
                .filter(|(_, role)| *role == Role::HeldOut)
                .map(|(id, _)| id)
                .collect();
            let has_parts = t.in_use.is_some() && !held_out.is_empty();
            let mut found = Vec::new();
            let mut table = String::from(match has_parts {
                true => "file,label,split\n",
                false => "file,label\n",
            });
            for sample in &t.project.samples {
                let class = sample.class.and_then(|id| t.project.class(id));
                let held = (self.sample_files)
                    .with_value(|files| files.get(&sample.id).map(|held| held.blob.clone()));
                let (Some(class), Some(blob), Some(path)) = (class, held, paths.get(&sample.id))
                else {
                    continue;
                };
                let split = match (has_parts, held_out.contains(&sample.id)) {
                    (false, _) => "",
                    (true, true) => ",test",
                    (true, false) => ",train",
                };
                let (file, label) = (csv_field(path), csv_field(&class.name));
                table.push_str(&format!("{file},{label}{split}\n"));
                found.push((path.clone(), Some(blob.unchecked_into())));
            }
            let table = match found.is_empty() {
                true => None,
                false => new_file(table.as_bytes(), TABLE),
            };
            found.extend(table.map(|table| (TABLE.into(), Some(table.unchecked_into()))));
            (t.project.name.clone(), found)
        })
    }

    /// The report of the last training.
    pub fn save_report(self) {
        let text = self.session.with_untracked(|t| {
            let outcome = t.outcome.as_ref()?;
            serde_json::to_string_pretty(&outcome.report.for_file()).ok()
        });
        if let Some(text) = text {
            let parts = Array::of1(&format!("{text}\n").into());
            download::save(
                self.notices,
                "training-report.json",
                "application/json",
                &parts,
            );
        }
    }

    /// A fresh worker starts.
    pub fn disconnected(self) {
        self.session.update(TrainingSession::disconnected);
        self.head_in_use(None);
    }

    /// The worker died; `gpu`: since the GPU was lost.
    pub fn died(self, gpu: bool) {
        self.session.update(|training| training.died(gpu));
    }

    /// A model was loaded.
    pub fn opened(self) {
        self.run(|training| training.opened());
    }

    /// Another model is chosen: what was trained with this one is not in use.
    pub fn forget_trained(self) {
        self.session.update(|training| training.use_trained = false);
        self.head_in_use(None);
        self.classify.return_labels();
    }
}

/// What is said of a picture, as lines of JSON.
fn rows(path: &str, class: Option<&String>, captions: &[String]) -> String {
    let mut texts: Vec<Option<&String>> = captions.iter().map(Some).collect();
    if texts.is_empty() {
        texts.push(None);
    }
    (texts.into_iter())
        .map(|text| {
            let mut row = serde_json::Map::new();
            row.insert("file_name".into(), path.into());
            row.extend(class.map(|class| ("label".into(), class.as_str().into())));
            row.extend(text.map(|text| ("text".into(), text.as_str().into())));
            format!("{}\n", serde_json::Value::Object(row))
        })
        .collect()
}

fn ends(path: &str, end: &str) -> bool {
    path.to_lowercase().ends_with(end)
}

fn is_table(path: &str) -> bool {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end);
    ["csv", "tsv", "tab", "jsonl", "ndjson"].contains(&end.to_lowercase().as_str())
}

async fn bytes_of(blob: &Blob) -> Result<Vec<u8>, String> {
    Ok(Uint8Array::new(&buffer_of(blob).await?.into()).to_vec())
}

/// `None` where the browser has no memory left.
fn new_file(bytes: &[u8], name: &str) -> Option<Blob> {
    let parts = Array::of1(&Uint8Array::from(bytes));
    File::new_with_u8_array_sequence(&parts, name)
        .ok()
        .map(Blob::from)
}

/// Name of dropped or picked files: that of the folder around all of them.
pub(super) fn folder_name(files: &[(String, Option<File>)]) -> &str {
    let first = files.first().map_or("", |(path, _)| path.as_str());
    let folder = first.split_once('/').map_or("", |(folder, _)| folder);
    let around = |(path, _): &(String, Option<File>)| {
        (path.strip_prefix(folder)).is_some_and(|rest| rest.starts_with('/'))
    };
    match !folder.is_empty() && files.iter().all(around) {
        true => folder,
        false => "images",
    }
}

/// Project that waits to be opened, with its files by path.
struct PendingProject {
    file: ProjectFile,
    blobs: HashMap<String, Blob>,
}

/// Project for another model than the one that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectOffer {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: ProjectModel,
    /// Name of the model that is open.
    pub open: String,
}

/// Project with the labels and templates beside it.
struct Opened {
    state: ProjectState,
    /// None: suggestions.
    labels: Vec<String>,
    templates: TemplateSelection,
}

/// Dropped or picked files and folders.
struct BroughtFiles {
    name: String,
    files: HashMap<String, Option<File>>,
}

impl BroughtFiles {
    fn new(files: Vec<(String, Option<File>)>) -> Self {
        Self {
            name: folder_name(&files).into(),
            files: files.into_iter().collect(),
        }
    }
}

impl DataFiles for BroughtFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        let failed = |why: String| DataError::Read {
            file: path.into(),
            why,
        };
        match self.files.get(path) {
            Some(Some(file)) => bytes_of(file).await.map_err(failed),
            _ => Err(failed("no such file".into())),
        }
    }
}
