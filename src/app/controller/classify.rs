//! Classification: holds what is not plain data (files, settings) around [`Session`], and
//! carries out what its steps ask for.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Promise, Reflect};
use leptos::{ev, prelude::*, task::spawn_local};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use super::engine::{Attachments, EngineHandle, Heard};
use super::files::{buffer_of, fetch};
use super::notices::Notices;
use super::standalone::Packager;
use super::thumbnails::{ObjectUrl, Thumbnails};
use super::undo::UndoOffers;
use super::{download, storage};
use crate::app::domain::link::ClassifierLink;
use crate::app::domain::notice::Notice;
use crate::app::domain::pictures::Picture;
use crate::app::domain::rejection::RejectionSettings;
use crate::app::domain::sample::Sample;
use crate::app::domain::session::{Command, Session};
use crate::app::domain::standalone::StandaloneClassifier;
use crate::app::domain::templates::TemplateSelection;
use crate::app::domain::worker::FailedGpu;
use crate::app::domain::{export, labels};
use crate::app::i18n::{self, Language, message};
use crate::data::file_safe;
use crate::diagnostic::Diagnostic;
use crate::engine::browser_gpu::browser_gpu;
use crate::engine::messages::{
    Activation, DeviceChoice, Event, HeatMapDrawing, ImageId, ModelLocation, ModelSource,
    OpenFailure, Request, StoredPrecision,
};

/// A cancel that takes longer than this ends the worker instead.
const CANCEL_PATIENCE: Duration = Duration::from_secs(8);

/// In a tab without frames, what has changed shows after this time.
const LONGEST_WITHOUT_FRAME: Duration = Duration::from_millis(250);

/// No picture anyone means to classify is larger; reading one would only
/// exhaust the tab's memory.
const LARGEST_FILE: f64 = 100e6;

/// Handle to everything about classification; cheap to copy into components.
#[derive(Clone, Copy)]
pub struct ClassifyController {
    /// The conversation with the worker.
    pub session: RwSignal<Session>,
    /// The labels in the list.
    pub labels: RwSignal<Vec<String>>,
    /// The templates in the list.
    pub templates: RwSignal<TemplateSelection>,
    /// Whether cosine similarities are shown.
    pub similarity: RwSignal<bool>,
    /// Precision in which weights that are downloaded are kept.
    pub stored_precision: RwSignal<StoredPrecision>,
    /// Whether only the words that texts use are downloaded.
    pub used_words: RwSignal<bool>,
    /// The labels that something trained has taken the place of.
    labels_before: RwSignal<Option<Vec<String>>>,
    /// The visitor changed the labels: nothing is suggested from then on.
    pub labels_own: RwSignal<bool>,
    /// Samples that were added while labels were suggested.
    sample_labels: RwSignal<Vec<Sample>>,
    /// The link that the page was opened with. What it brings is not kept, so that the visitor's
    /// own settings are there again without it.
    pub link: RwSignal<Option<ClassifierLink>>,
    /// Whether the visitor added images that are no samples.
    own_images: RwSignal<bool>,
    /// Whether this is a page of one classifier, whose labels, templates and model are not the
    /// visitor's to choose.
    pub standalone: bool,
    /// Makes pages of the labels.
    pub packager: Packager,
    files: StoredValue<HashMap<ImageId, Blob>, LocalStorage>,
    thumbnails: Thumbnails,
    /// Colours of the heat maps.
    heat_maps: StoredValue<HashMap<ImageId, ObjectUrl>, LocalStorage>,
    /// Signals of the cards, each of its picture.
    cards: StoredValue<HashMap<ImageId, ArcTrigger>>,
    /// Whether changes wait for the next frame.
    show_awaited: StoredValue<bool>,
    /// Of a model that the visitor brought.
    model_files: StoredValue<Vec<File>, LocalStorage>,
    engine: EngineHandle,
    notices: Notices,
    undo: UndoOffers,
}

impl ClassifyController {
    /// With the settings that were stored, or with a page's own classifier.
    pub fn new(
        engine: EngineHandle,
        notices: Notices,
        undo: UndoOffers,
        own: Option<StandaloneClassifier>,
    ) -> Self {
        let standalone = own.is_some();
        let link = own.map_or_else(link_of_address, |own| Some(own.link()));
        let kept_labels = match &link {
            Some(link) => Some(link.labels.clone()),
            None => storage::load::<Vec<String>>(storage::LABELS),
        };
        let labels_own = kept_labels.is_some();
        let labels = kept_labels.unwrap_or_else(|| labels::suggested([], false, i18n::language()));
        let templates = match &link {
            Some(link) => link.selection(),
            None => storage::load::<TemplateSelection>(storage::TEMPLATES).unwrap_or_default(),
        };
        let choice = storage::load::<DeviceChoice>(storage::DEVICE).unwrap_or_default();
        let mut session = Session::new(choice);
        // What a page of its own cannot change, it does not take over from another one at the
        // same origin.
        let place = match &link {
            Some(link) if standalone => link.model.clone(),
            _ => storage::load::<ModelLocation>(storage::MODEL),
        };
        if let Some(place) = place {
            session.worker.source = ModelSource::Place(place);
        }
        let mut similarity = false;
        let mut stored_precision = StoredPrecision::default();
        let mut used_words = false;
        if !standalone {
            stored_precision = storage::stored_precision();
            used_words = storage::load(storage::USED_WORDS).unwrap_or_default();
            session.worker.int8 = storage::load(storage::INT8).unwrap_or_default();
            session.rejection = storage::load(storage::REJECTION).unwrap_or_default();
            similarity = storage::load(storage::SIMILARITY).unwrap_or_default();
        }
        Self {
            session: RwSignal::new(session),
            labels: RwSignal::new(labels::merge(Vec::new(), labels).0),
            templates: RwSignal::new(templates.restored()),
            similarity: RwSignal::new(similarity),
            stored_precision: RwSignal::new(stored_precision),
            used_words: RwSignal::new(used_words),
            labels_before: RwSignal::new(None),
            labels_own: RwSignal::new(labels_own),
            sample_labels: RwSignal::new(Vec::new()),
            link: RwSignal::new(link),
            own_images: RwSignal::new(false),
            standalone,
            packager: Packager::new(notices),
            files: StoredValue::new_local(HashMap::new()),
            thumbnails: Thumbnails::new(),
            heat_maps: StoredValue::new_local(HashMap::new()),
            cards: StoredValue::new(HashMap::new()),
            show_awaited: StoredValue::new(false),
            model_files: StoredValue::new_local(Vec::new()),
            engine,
            notices,
            undo,
        }
    }

    /// Starts the worker, and keeps it and the storage up with the page.
    pub fn start(self) {
        match storage::load::<FailedGpu>(storage::FAILED_GPU) {
            None => self.run(Session::start),
            Some(failed) => spawn_local(async move {
                let gpu = browser_gpu().await.map(|gpu| gpu.name);
                // By a choice of the visitor it may have been started meanwhile.
                if !self.engine.is_running() {
                    self.run(|session| {
                        (session.worker).recall(failed, &browser_version(), gpu.as_deref());
                        session.start()
                    });
                }
            }),
        }
        // As long as the page. Words may have been missing that the network has.
        let _ = window_event_listener(ev::online, move |_| self.run(Session::ask_once_more));
        if !self.standalone {
            // As long as the page.
            let _ = window_event_listener(ev::hashchange, move |_| self.follow_address());
        }
        Effect::new(move |_| {
            let labels = self.labels.get();
            let templates = self.templates.with(TemplateSelection::active);
            self.run(|session| session.ask(labels, templates));
        });
        Effect::new(move |before: Option<()>| {
            let book = self.templates.get();
            if before.is_some() && self.link.with_untracked(Option::is_none) {
                storage::save(storage::TEMPLATES, &book);
            }
        });
        Effect::new(move |before: Option<()>| {
            let shown = self.similarity.get();
            if before.is_some() {
                storage::save(storage::SIMILARITY, &shown);
            }
        });
    }

    /// Takes one step of the session and does what follows from it.
    pub fn run(self, step: impl FnOnce(&mut Session) -> Vec<Command>) {
        let commands = self.session.try_update_untracked(step).unwrap_or_default();
        self.show();
        self.execute_all(commands);
    }

    /// The worker said something. What follows is done at once, so that the worker never
    /// waits for the screen; the page shows it in the next frame, together with all else
    /// that the worker said until then.
    pub fn on_event(self, event: Event) {
        if let Event::OpenFailed(OpenFailure {
            error,
            failed_gpu: Some(gpu),
            ..
        }) = &event
        {
            let failed = FailedGpu {
                gpu: gpu.clone(),
                browser: browser_version(),
                reason: error.clone(),
            };
            storage::save(storage::FAILED_GPU, &failed);
        }
        let step = |session: &mut Session| session.on_event(event, js_sys::Date::now());
        let commands = self.session.try_update_untracked(step).unwrap_or_default();
        self.show_soon();
        self.execute_all(commands);
    }

    /// Shows what has changed: signals of the whole page, and of the cards concerned.
    fn show(self) {
        self.show_awaited.set_value(false);
        let changed = self
            .session
            .try_update_untracked(|session| session.pictures.take_changed())
            .unwrap_or_default();
        let cards: Vec<ArcTrigger> = self
            .cards
            .try_with_value(|cards| {
                changed
                    .iter()
                    .filter_map(|id| cards.get(id))
                    .cloned()
                    .collect()
            })
            .unwrap_or_default();
        self.session.notify();
        cards.iter().for_each(Notify::notify);
    }

    fn show_soon(self) {
        if self.show_awaited.get_value() {
            return;
        }
        self.show_awaited.set_value(true);
        let show = move || {
            if self.show_awaited.try_get_value() == Some(true) {
                self.show();
            }
        };
        request_animation_frame(show);
        // In a tab that is not in sight there are no frames.
        set_timeout(show, LONGEST_WITHOUT_FRAME);
    }

    /// A picture as its card follows it: what happens to others does not concern it.
    pub fn picture(self, id: ImageId) -> Memo<Option<Picture>> {
        let changed = self
            .cards
            .try_update_value(|cards| cards.entry(id).or_default().clone())
            .unwrap_or_default();
        Memo::new(move |_| {
            changed.track();
            self.session
                .with_untracked(|session| session.pictures.get(id).cloned())
        })
    }

    /// URL of a picture's thumbnail, once it is made; for as long as the caller's component.
    pub fn thumbnail(self, id: ImageId) -> ReadSignal<Option<String>> {
        let size = (self.session)
            .with_untracked(|session| session.pictures.get(id).and_then(|picture| picture.size));
        match self.file(id) {
            Some(blob) => self.thumbnails.of(blob, size),
            None => RwSignal::new(None).read_only(),
        }
    }

    fn execute_all(self, commands: Vec<Command>) {
        for command in commands {
            self.execute(command);
        }
    }

    fn execute(self, command: Command) {
        match command {
            Command::Start(device) => self.start_worker(device),
            Command::Stop => self.engine.stop(),
            Command::Send(Request::AddImage { image, name }) => self.send_image(image, name),
            Command::Send(Request::Locate {
                image,
                label,
                drawing,
            }) => {
                self.send_locate(image, label, drawing);
            }
            Command::Send(request) => self.engine.send(&request, Attachments::Nothing),
            Command::Removed(pictures) => self.offer_back(pictures),
            Command::Notify(notice) => self.notices.notify(notice),
            Command::WatchCancel(which) => set_timeout(
                move || self.run(|session| session.cancel_overdue(which)),
                CANCEL_PATIENCE,
            ),
        }
    }

    /// Lets go of removed pictures, after an offer to bring them back.
    fn offer_back(self, pictures: Vec<Picture>) {
        let mut held = Vec::new();
        for Picture { id, .. } in &pictures {
            let file = self.files.try_update_value(|files| files.remove(id));
            held.extend(file.flatten().map(|file| (*id, file)));
            self.cards.update_value(|cards| drop(cards.remove(id)));
            self.heat_maps.update_value(|maps| drop(maps.remove(id)));
        }
        let text = match &pictures[..] {
            [] => return,
            [one] => message!("removed-one", name = one.name),
            all => message!(
                "removed-images",
                images = message!("images", count = all.len())
            ),
        };
        let back = move || {
            self.files.update_value(|files| files.extend(held));
            self.run(|session| session.restore(pictures));
        };
        self.undo.offer(text, back, || ());
    }

    fn start_worker(self, device: DeviceChoice) {
        match self.engine.start() {
            Ok(()) => {
                let (source, activation, int8) = (self.session).with_untracked(|s| {
                    (s.worker.source.clone(), s.worker.activation, s.worker.int8)
                });
                let attachments = match source {
                    ModelSource::Files => Attachments::Files(self.model_files.get_value()),
                    _ => Attachments::Nothing,
                };
                let hub =
                    storage::load_text(storage::HUB).unwrap_or_else(|| ModelLocation::HUB.into());
                let threads = storage::load(storage::THREADS);
                let open = Request::Open {
                    device,
                    source,
                    hub,
                    stored_precision: self.stored_precision.get_untracked(),
                    used_words: self.used_words.get_untracked(),
                    activation,
                    int8,
                    threads,
                };
                self.engine.send(&open, attachments);
            }
            Err(error) => {
                let failure = OpenFailure::new(message!("worker-not-started", error = error));
                self.on_event(Event::OpenFailed(failure));
            }
        }
    }

    /// The worker cannot be reached.
    pub fn unreachable(self, error: &Diagnostic) {
        self.run(|session| session.died(error, js_sys::Date::now()));
    }

    /// File of a picture.
    fn file(self, image: ImageId) -> Option<Blob> {
        self.files
            .try_with_value(|files| files.get(&image).cloned())
            .flatten()
    }

    fn send_image(self, image: ImageId, name: String) {
        let Some(blob) = self.file(image) else {
            return;
        };
        // Later, since the next picture is sent from within: a thousand of them must not
        // pile up on the stack.
        spawn_local(async move {
            if blob.size() > LARGEST_FILE {
                self.run(|session| session.reject(image, message!("file-too-large")));
                return;
            }
            let read = buffer_of(&blob).await;
            // The page went on meanwhile: the picture may be gone, or with another worker.
            let wanted = self
                .session
                .try_with_untracked(|session| session.expects(image));
            if wanted != Some(true) {
                return;
            }
            match read {
                Ok(bytes) => (self.engine).send(
                    &Request::AddImage { image, name },
                    Attachments::Bytes(bytes),
                ),
                Err(_) => self.run(|session| session.reject(image, message!("file-unreadable"))),
            }
        });
    }

    /// Asks for a heat map, with the picture's file.
    fn send_locate(self, image: ImageId, label: String, drawing: HeatMapDrawing) {
        let Some(blob) = self.file(image) else {
            return;
        };
        spawn_local(async move {
            match buffer_of(&blob).await {
                Ok(bytes) => {
                    let request = Request::Locate {
                        image,
                        label,
                        drawing,
                    };
                    self.engine.send(&request, Attachments::Bytes(bytes));
                }
                Err(_) => self.on_heat_map(
                    Event::LocateFailed {
                        image,
                        label,
                        drawing,
                        error: message!("file-moved"),
                    },
                    &[],
                ),
            }
        });
    }

    /// The worker has drawn a heat map, or could not. The PNG file is in `files`.
    pub fn on_heat_map(self, event: Event, files: &[ArrayBuffer]) {
        match (&event, files) {
            (
                Event::Located {
                    image,
                    label,
                    drawing: HeatMapDrawing::Picture,
                    ..
                },
                [png],
            ) => {
                let name = self.session.with_untracked(|session| {
                    let picture = session.pictures.get(*image);
                    picture
                        .map(|picture| picture.name.clone())
                        .unwrap_or_default()
                });
                let name = file_safe(&format!("{} - {label}", stem(&name)));
                download::save(
                    self.notices,
                    &format!("{name}.png"),
                    "image/png",
                    &Array::of1(png),
                );
            }
            (
                Event::LocateFailed {
                    drawing: HeatMapDrawing::Picture,
                    error,
                    ..
                },
                _,
            ) => {
                let text = message!("heat-map-not-saved", error = error);
                self.notices.notify(Notice::error(text));
            }
            (Event::Located { image, .. }, [png]) => {
                if let Ok(blob) = Blob::new_with_buffer_source_sequence(&Array::of1(png)) {
                    self.heat_maps
                        .update_value(|maps| drop(maps.insert(*image, ObjectUrl::new(&blob))));
                }
                self.on_event(event);
            }
            _ => self.on_event(event),
        }
    }

    /// URL of the colours of a picture's heat map.
    pub fn heat_map(self, id: ImageId) -> Option<String> {
        (self.heat_maps).try_with_value(|maps| maps.get(&id).map(|url| url.0.clone()))?
    }

    /// The visitor sets when to say that no label fits.
    pub fn set_rejection(self, settings: RejectionSettings) {
        storage::save(storage::REJECTION, &settings);
        self.run(|session| session.reject_by(settings));
    }

    /// Adds picture files. What they really hold is found out by the worker.
    pub fn add_files(self, files: impl IntoIterator<Item = File>) {
        self.expect_own_images();
        let named = |file: File| (file.name(), Blob::from(file));
        self.add_pictures(files.into_iter().map(named));
    }

    /// The visitor has images that are no samples: labels are suggested for those.
    pub fn expect_own_images(self) {
        self.own_images.set(true);
        if self.labels_suggested() {
            self.labels.set(self.suggestions());
        }
    }

    /// Adds pictures that came together, with their names.
    fn add_pictures(self, pictures: impl IntoIterator<Item = (String, Blob)>) {
        let (names, blobs): (Vec<String>, Vec<Blob>) = pictures.into_iter().unzip();
        let ids = self
            .session
            .try_update_untracked(|session| session.pictures.add_batch(names))
            .unwrap_or_default();
        self.files
            .update_value(|files| files.extend(ids.into_iter().zip(blobs)));
        self.run(Session::send_pending);
    }

    /// Adds a sample picture, and its labels unless the visitor has their own.
    pub fn add_sample(self, sample: Sample) {
        if self.labels_suggested() || self.labels.with_untracked(Vec::is_empty) {
            self.sample_labels
                .update(|known| known.push(sample.clone()));
            self.labels.set(self.suggestions());
        }
        spawn_local(async move {
            match fetch(&sample.file).await {
                Ok(blob) => {
                    self.add_pictures([(sample.file_name(), blob)]);
                }
                Err(error) => self
                    .notices
                    .notify(Notice::error(message!("sample-not-loaded", error = error))),
            }
        });
    }

    /// Adds labels; returns those that were there already.
    pub fn add_labels(self, more: Vec<String>) -> Vec<String> {
        if more.is_empty() {
            return Vec::new();
        }
        let (labels, twice) = labels::merge(self.labels.get_untracked(), more);
        self.set_labels(labels);
        twice
    }

    /// Removes one label.
    pub fn remove_label(self, label: &str) {
        let labels = self.labels.get_untracked();
        if let Some(place) = labels.iter().position(|known| known == label) {
            self.remove_labels(place..place + 1);
        }
    }

    /// Removes the label added last.
    pub fn remove_last_label(self) {
        let count = self.labels.with_untracked(Vec::len);
        self.remove_labels(count.saturating_sub(1)..count);
    }

    /// Removes all labels.
    pub fn clear_labels(self) {
        self.remove_labels(0..self.labels.with_untracked(Vec::len));
    }

    fn remove_labels(self, places: Range<usize>) {
        let mut labels = self.labels.get_untracked();
        let removed: Vec<(usize, String)> = (places.clone()).zip(labels.drain(places)).collect();
        let text = match &removed[..] {
            [] => return,
            [(_, label)] => message!("removed-label", label = label),
            all => message!("removed-labels", count = all.len()),
        };
        self.set_labels(labels);
        let back = move || match self.labels_before.get_untracked() {
            // Classes are lent to the list.
            Some(before) => {
                let before = labels::put_back(before, &removed);
                storage::save(storage::LABELS, &before);
                self.labels_before.set(Some(before));
            }
            None => self.set_labels(labels::put_back(self.labels.get_untracked(), &removed)),
        };
        self.undo.offer(text, back, || ());
    }

    /// Removes a template of the visitor's own.
    pub fn remove_template(self, id: u32) {
        let removed = self.templates.try_update(|book| book.remove(id)).flatten();
        if let Some((place, custom)) = removed {
            let text = message!("removed-template", template = custom.text);
            let back = move || self.templates.update(|book| book.put_back(place, custom));
            self.undo.offer(text, back, || ());
        }
    }

    /// Replaces all labels by the visitor's own.
    pub fn set_labels(self, labels: Vec<String>) {
        // Classes that were lent to the list are not the visitor's to keep.
        if self.labels_before.with_untracked(Option::is_none) {
            if self.link.with_untracked(Option::is_none) {
                storage::save(storage::LABELS, &labels);
            }
            self.labels_own.set(true);
        }
        self.labels.set(labels);
    }

    /// The visitor's own labels; none where they are only suggestions.
    pub fn own_labels(self) -> Vec<String> {
        match (
            self.labels_own.get_untracked(),
            self.labels_before.get_untracked(),
        ) {
            (false, _) => Vec::new(),
            (true, Some(before)) => before,
            (true, None) => self.labels.get_untracked(),
        }
    }

    /// Sets the visitor's own labels, none for suggestions, and the templates.
    pub fn set_question(self, labels: Vec<String>, templates: TemplateSelection) {
        self.return_labels();
        match labels.is_empty() {
            false => self.set_labels(labels),
            true => {
                storage::forget(storage::LABELS);
                self.labels_own.set(false);
                self.labels.set(self.suggestions());
            }
        }
        self.templates.set(templates);
    }

    /// The page's address has changed; if it holds a classifier, takes that.
    pub fn follow_address(self) {
        let Some(link) = link_of_address() else {
            return;
        };
        self.labels_own.set(true);
        self.link.set(Some(link.clone()));
        self.templates.set(link.selection());
        self.labels.set(link.labels);
    }

    /// Labels, templates and model for a page of their own.
    pub fn for_page(self, title: String) -> StandaloneClassifier {
        let source = (self.session).with_untracked(|session| session.worker.source.clone());
        StandaloneClassifier {
            title,
            labels: self.labels.get_untracked(),
            templates: self.templates.with_untracked(TemplateSelection::active),
            model: match source {
                ModelSource::Place(place) => Some(place.to_string()),
                ModelSource::Bundled | ModelSource::Files => None,
            },
            head: None,
        }
    }

    /// Why a page of its own cannot have the model that is open, if that is so.
    pub fn why_model_stays(self) -> Option<Diagnostic> {
        let source = (self.session).with_untracked(|session| session.worker.source.clone());
        (source == ModelSource::Files).then(|| message!("page-own-model"))
    }

    /// Offers a page of its own with the labels, templates and model, as a zip.
    pub fn save_page(self, title: String) {
        match self.why_model_stays() {
            Some(why) => self.packager.fail(why),
            None => spawn_local(self.packager.save(self.for_page(title), Vec::new())),
        }
    }

    /// Puts a link to the labels, templates and model into the page's address and into the
    /// clipboard.
    pub fn copy_link(self) {
        let source = self
            .session
            .with_untracked(|session| session.worker.source.clone());
        let link = ClassifierLink {
            labels: self.labels.get_untracked(),
            templates: self.templates.with_untracked(TemplateSelection::active),
            model: match &source {
                ModelSource::Place(place) => Some(place.clone()),
                ModelSource::Bundled | ModelSource::Files => None,
            },
        };
        let without_model = match source {
            ModelSource::Files => message!("link-without-model"),
            _ => "".into(),
        };
        spawn_local(async move {
            self.notices.notify(match link_address(&link).await {
                Ok(()) => Notice::info(message!("link-copied", without_model = without_model)),
                // The browser forbids the clipboard: the link is there to be copied by hand.
                Err(Some(address)) => Notice::info(message!(
                    "copy-this-link",
                    address = address,
                    without_model = without_model
                )),
                Err(None) => Notice::error(message!("link-not-made")),
            });
        });
    }

    /// Fills the list with suggestions for the images at hand.
    pub fn suggest_labels(self) {
        self.set_labels(self.suggestions());
    }

    /// Whether the list has suggestions: neither labels of the visitor's nor the classes of
    /// what was trained.
    fn labels_suggested(self) -> bool {
        !self.labels_own.get_untracked() && self.labels_before.with_untracked(Option::is_none)
    }

    fn suggestions(self) -> Vec<String> {
        let own = self.own_images.get_untracked();
        let language = self.label_language();
        (self.sample_labels).with_untracked(|samples| {
            let samples = samples.iter().map(|sample| sample.labels(language));
            labels::suggested(samples, own, language)
        })
    }

    /// Language of the labels that are suggested: the page's, if the model knows it.
    fn label_language(self) -> Language {
        let chinese = self
            .session
            .with_untracked(|session| session.worker.knows_chinese());
        match i18n::language() {
            Language::Chinese if chinese => Language::Chinese,
            _ => Language::English,
        }
    }

    /// Takes a step that may change the language of labels. Those that were suggested, and the
    /// template that was there from the beginning, follow.
    pub fn translate(self, step: impl FnOnce()) {
        let before = self.label_language();
        step();
        let now = self.label_language();
        if self.labels_suggested() {
            self.labels.set(self.suggestions());
        }
        if self.link.with_untracked(Option::is_none) {
            self.templates.update(|templates| {
                *templates = std::mem::take(templates).translated(before, now);
            });
        }
    }

    /// The visitor chose a model that lives elsewhere; `None`: the bundled one.
    pub fn open_place(self, place: Option<ModelLocation>, activation: Option<Activation>) {
        match &place {
            Some(place) => {
                storage::save(storage::MODEL, place);
                ask_to_keep();
            }
            None => storage::forget(storage::MODEL),
        }
        self.engine.announce(Heard::ModelChosen);
        self.model_files.set_value(Vec::new());
        let source = place.map_or(ModelSource::Bundled, ModelSource::Place);
        self.translate(|| self.run(|session| session.open_model(source, activation)));
    }

    /// The visitor brought a model's files.
    pub fn open_files(self, files: Vec<File>, activation: Option<Activation>) {
        if !files
            .iter()
            .any(|file| file.name().ends_with(".safetensors"))
        {
            self.notices
                .notify(Notice::error(message!("no-safetensors")));
            return;
        }
        self.engine.announce(Heard::ModelChosen);
        storage::forget(storage::MODEL);
        self.model_files.set_value(files);
        self.run(|session| session.open_model(ModelSource::Files, activation));
    }

    /// The visitor chose a device.
    pub fn choose(self, choice: DeviceChoice) {
        storage::save(storage::DEVICE, &choice);
        storage::forget(storage::FAILED_GPU);
        self.run(|session| session.choose(choice));
    }

    /// The visitor chose how exact the CPU's weights are.
    pub fn choose_int8(self, int8: bool) {
        storage::save(storage::INT8, &int8);
        self.run(|session| session.choose_int8(int8));
    }

    /// The visitor chose how downloads are kept. What is kept already stays as it is.
    pub fn choose_stored_precision(self, precision: StoredPrecision) {
        storage::save(storage::STORED_PRECISION, &precision);
        self.stored_precision.set(precision);
    }

    /// The visitor chose whether all words are downloaded. What is kept already stays as it is.
    pub fn choose_used_words(self, used: bool) {
        storage::save(storage::USED_WORDS, &used);
        self.used_words.set(used);
    }

    /// Offers all answers as a table.
    pub fn save_csv(self) {
        let text = self.session.with_untracked(export::csv);
        self.save("clip-results.csv", "text/csv", &text);
    }

    /// Offers all answers with everything needed to repeat them.
    pub fn save_json(self) {
        let text = self.session.with_untracked(export::json);
        self.save("clip-results.json", "application/json", &text);
    }

    fn save(self, name: &str, kind: &str, text: &str) {
        download::save(self.notices, name, kind, &Array::of1(&text.into()));
    }

    /// Shows the classes of something trained in the place of the visitor's
    /// labels, which are not lost.
    pub fn lend_labels(self, classes: Vec<String>) {
        if self.labels_before.with_untracked(Option::is_none) {
            self.labels_before.set(Some(self.labels.get_untracked()));
        }
        self.labels.set(classes);
    }

    /// Shows the visitor's labels again.
    pub fn return_labels(self) {
        if let Some(labels) = self.labels_before.try_update(Option::take).flatten() {
            self.labels.set(labels);
        }
    }
}

/// Name of a file without its extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Asks the browser not to clear kept models away when room gets scarce. It
/// decides by itself, or asks the visitor; either answer will do.
fn ask_to_keep() {
    let storage = web_sys::window().map(|window| window.navigator());
    let has = storage.as_ref().is_some_and(|navigator| {
        js_sys::Reflect::get(navigator, &"storage".into()).is_ok_and(|s| s.is_object())
    });
    if let Some(navigator) = storage.filter(|_| has)
        && let Ok(asked) = navigator.storage().persist()
    {
        spawn_local(async move {
            let _ = JsFuture::from(asked).await;
        });
    }
}

/// Text in which a browser says which version of what it is.
fn browser_version() -> String {
    let text = web_sys::window().and_then(|window| window.navigator().user_agent().ok());
    text.unwrap_or_default()
}

fn link_of_address() -> Option<ClassifierLink> {
    let hash = web_sys::window()?.location().hash().ok()?;
    ClassifierLink::of_hash(&hash)
}

#[wasm_bindgen]
extern "C" {
    type Clipboard;
    #[wasm_bindgen(method, catch, js_name = writeText)]
    fn write_text(this: &Clipboard, text: &str) -> Result<Promise, JsValue>;
}

/// Copies the address of a link; `Err` with the address where that is not allowed, and without
/// where there is none.
async fn link_address(link: &ClassifierLink) -> Result<(), Option<String>> {
    let window = web_sys::window().ok_or(None)?;
    let href = window.location().href().map_err(|_| None)?;
    let page = href.split('#').next().unwrap_or(&href);
    let address = format!("{page}{}", link.to_hash());
    let clipboard = Reflect::get(&window.navigator(), &"clipboard".into());
    let copied = async {
        let clipboard = clipboard.ok().filter(JsValue::is_object)?;
        let written = clipboard.unchecked_into::<Clipboard>().write_text(&address);
        JsFuture::from(written.ok()?).await.ok()
    };
    copied.await.map(|_| ()).ok_or(Some(address))
}
