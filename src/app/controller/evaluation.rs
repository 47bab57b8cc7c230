//! Evaluation on labelled images: the data set's files around [`EvaluationSession`].

use js_sys::Array;
use leptos::{prelude::*, task::spawn_local};
use web_sys::File;

use super::download;
use super::engine::{Attachments, EngineHandle, describe};
use super::files::{fetch, text_of};
use super::notices::Notices;
use super::shards::download_shards;
use super::storage;
use super::training::{SAMPLE_DATA, TrainingController, folder_name};
use crate::app::domain::evaluation::{
    Command, DataSource, DatasetAddress, Download, EvaluationSession, Results,
};
use crate::app::domain::notice::Notice;
use crate::app::i18n::{message, t};
use crate::data::file_safe;
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{EvaluationEvent, EvaluationRequest, ModelLocation, Request};
use crate::engine::reports;

/// Files of a data set, by path; folders are listed without a file.
type Found = Vec<(String, Option<File>)>;

/// Handle to the evaluation.
#[derive(Clone, Copy)]
pub struct EvaluationController {
    pub session: RwSignal<EvaluationSession>,
    training: TrainingController,
    files: StoredValue<Found, LocalStorage>,
    /// Number of the latest download: an earlier one ends.
    download: StoredValue<u32>,
    engine: EngineHandle,
    notices: Notices,
}

impl EvaluationController {
    /// Without a data set.
    pub fn new(engine: EngineHandle, notices: Notices, training: TrainingController) -> Self {
        Self {
            session: RwSignal::new(EvaluationSession::default()),
            training,
            files: StoredValue::new_local(Vec::new()),
            download: StoredValue::new(0),
            engine,
            notices,
        }
    }

    /// Takes what was dropped or picked: a folder, a zip, a table with images, shards.
    pub fn open(self, found: Found) {
        let name = match found.as_slice() {
            [(path, Some(_))] => path
                .rsplit_once('.')
                .map_or(path.as_str(), |(stem, _)| stem)
                .to_owned(),
            _ => folder_name(&found).to_owned(),
        };
        self.open_as(name, DataSource::Disk, found);
    }

    fn open_as(self, name: String, source: DataSource, found: Found) {
        if found.iter().all(|(_, file)| file.is_none()) {
            self.notices
                .notify(Notice::error(message!("no-files-in-folder")));
            return;
        }
        self.files.set_value(found);
        self.stop_download();
        self.run(|session| session.open(name, source));
    }

    /// Images that ship with the page.
    pub fn open_samples(self) {
        spawn_local(async move {
            let file = match fetch(SAMPLE_DATA).await {
                Ok(blob) => File::new_with_blob_sequence(&Array::of1(&blob), "samples.zip")
                    .map_err(|error| describe(&error)),
                Err(error) => Err(error),
            };
            match file {
                Ok(file) => {
                    let found = vec![("samples.zip".into(), Some(file))];
                    self.open_as(t!("sample-data-name").into(), DataSource::Samples, found);
                }
                Err(error) => self
                    .notices
                    .notify(Notice::error(message!("samples-not-loaded", error = error))),
            }
        });
    }

    /// The labelled images of the training side.
    pub fn open_training_images(self) {
        let (name, found) = self.training.labelled_files();
        if found.is_empty() {
            self.notices
                .notify(Notice::error(message!("no-training-classes")));
            return;
        }
        self.open_as(name, DataSource::Training, found);
    }

    /// Downloads shards; an error if `text` is no address.
    pub fn open_address(self, text: &str) -> Result<(), Diagnostic> {
        let hub = storage::load_text(storage::HUB).unwrap_or_else(|| ModelLocation::HUB.into());
        let commands = self.session.try_update(|s| s.open_address(text, &hub));
        for command in commands.unwrap_or_else(|| Ok(Vec::new()))? {
            self.carry_out(command);
        }
        Ok(())
    }

    fn download(self, address: DatasetAddress, source: DataSource) {
        let number = self.stop_download();
        spawn_local(async move {
            let on_progress = |at: Download| {
                let goes_on = self.download.get_value() == number;
                if goes_on {
                    self.session.update(|session| session.downloading(at));
                }
                goes_on
            };
            let found = download_shards(&address.base, on_progress).await;
            if self.download.get_value() != number {
                return;
            }
            match found {
                Ok(found) => self.open_as(address.name, source, found),
                Err(error) => self
                    .session
                    .update(|session| session.download_failed(error)),
            }
        });
    }

    /// Ends a download, if there is one, and gives the next its number.
    fn stop_download(self) -> u32 {
        self.download.update_value(|number| *number += 1);
        self.download.get_value()
    }

    fn reopen(self, source: DataSource) {
        match source {
            DataSource::Disk => {}
            DataSource::Samples => self.open_samples(),
            DataSource::Training => self.open_training_images(),
            DataSource::Address(address) => {
                if let Err(error) = self.open_address(&address) {
                    self.notices.notify(Notice::error(error));
                }
            }
        }
    }

    /// Takes class names from a file with one a line.
    pub fn read_names(self, file: File) {
        spawn_local(async move {
            match text_of(&file).await {
                Ok(text) => self.run(|session| {
                    session.written_names = text;
                    session.use_choices()
                }),
                Err(error) => self.notices.notify(Notice::error(message!(
                    "file-not-read",
                    name = file.name(),
                    error = error
                ))),
            }
        });
    }

    /// Ends what is going on.
    pub fn cancel(self) {
        self.stop_download();
        self.run(EvaluationSession::cancel);
    }

    /// Takes one step of the session and does what follows from it.
    pub fn run(self, step: impl FnOnce(&mut EvaluationSession) -> Vec<Command>) {
        let commands = self.session.try_update(step).unwrap_or_default();
        for command in commands {
            self.carry_out(command);
        }
    }

    fn carry_out(self, command: Command) {
        match command {
            Command::Send(request) => self.send(request, Vec::new()),
            Command::SendFiles {
                templates,
                class_names,
            } => self.send_files(templates, class_names),
            Command::Keep => {
                let kept = self.session.with_untracked(EvaluationSession::to_keep);
                if let Some(Ok(state)) = kept.map(|kept| serde_json::to_string(&kept)) {
                    self.send(EvaluationRequest::Keep(state), Vec::new());
                }
            }
            Command::Reopen(source) => self.reopen(source),
            Command::Download(address, source) => self.download(address, source),
        }
    }

    fn send(self, request: EvaluationRequest, files: Vec<File>) {
        let attachments = match files.is_empty() {
            true => Attachments::Nothing,
            false => Attachments::Files(files),
        };
        self.engine.send(&Request::Evaluation(request), attachments);
    }

    fn send_files(self, templates: Vec<String>, class_names: Vec<String>) {
        let name = (self.session).with_untracked(|session| session.data.clone());
        let (paths, files) = self.files.with_value(|found| {
            let paths: Vec<String> = found.iter().map(|(path, _)| path.clone()).collect();
            let files: Vec<File> = found.iter().filter_map(|(_, file)| file.clone()).collect();
            (paths, files)
        });
        let request = EvaluationRequest::Open {
            name: name.unwrap_or_default(),
            paths,
            templates,
            class_names,
        };
        self.send(request, files);
    }

    /// Forgets the data set.
    pub fn close(self) {
        self.stop_download();
        self.files.set_value(Vec::new());
        self.run(EvaluationSession::close);
    }

    /// The worker said something about the evaluation.
    pub fn on_event(self, event: EvaluationEvent) {
        self.run(|session| session.on_event(event));
    }

    /// A model was loaded.
    pub fn opened(self) {
        self.run(EvaluationSession::opened);
    }

    /// A fresh worker starts.
    pub fn disconnected(self) {
        self.session.update(EvaluationSession::disconnected);
    }

    /// The report as a page.
    pub fn save_html(self) {
        let made = self.session.with_untracked(|session| {
            let Results {
                report, problems, ..
            } = session.results.as_ref()?;
            Some((
                name(&report.data),
                reports::html(report, problems, &session.pictures),
            ))
        });
        if let Some((name, html)) = made {
            let parts = Array::of1(&html.into());
            download::save(self.notices, &format!("{name}.html"), "text/html", &parts);
        }
    }

    /// The report's figures.
    pub fn save_json(self) {
        let made = self.session.with_untracked(|session| {
            let Results {
                report, problems, ..
            } = session.results.as_ref()?;
            Some((name(&report.data), reports::json(report, problems).ok()?))
        });
        if let Some((name, json)) = made {
            let parts = Array::of1(&format!("{json}\n").into());
            download::save(
                self.notices,
                &format!("{name}.json"),
                "application/json",
                &parts,
            );
        }
    }
}

fn name(data: &str) -> String {
    format!("evaluation-{}", file_safe(data))
}
