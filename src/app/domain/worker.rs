//! Life of the worker: starting, loading, ready, crashed; and what the visitor chose for it.

use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::notice::Notice;
use super::restart::{CrashHistory, RestartAction};
use crate::app::i18n::message;
use crate::catalogue::published;
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::engine::messages::{
    Activation, CachedModel, DeviceChoice, DeviceInfo, LoadStage, ModelInfo, ModelSource,
};

/// State of the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerState {
    /// It starts, or loads the model.
    Loading {
        /// Current stage; `None` before the worker said anything.
        stage: Option<LoadStage>,
        /// Done so far, in the stage's own unit.
        done: u64,
        /// 0 when unknown.
        total: u64,
    },
    /// The model is loaded.
    Ready,
    /// There is none, and none will start by itself.
    Failed(Diagnostic),
    /// The visitor stopped the loading.
    Stopped,
}

impl WorkerState {
    const STARTING: Self = Self::Loading {
        stage: None,
        done: 0,
        total: 0,
    };
}

/// What follows a failure of the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// A fresh worker, and what to tell the visitor.
    Restart(Option<Notice>),
    /// No fresh worker until the visitor asks for one.
    GiveUp,
}

/// A GPU that failed its self-test, as it is kept for later visits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedGpu {
    /// Name of the GPU.
    pub gpu: String,
    /// Version of the browser: another one may do better.
    pub browser: String,
    /// Why the GPU is not used.
    pub reason: Diagnostic,
}

/// The worker as the page knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    pub state: WorkerState,
    /// Device that the visitor chose.
    pub choice: DeviceChoice,
    /// Source of the model.
    pub source: ModelSource,
    /// For weights that do not say it themselves.
    pub activation: Option<Activation>,
    /// Whether the CPU is to have 8-bit weights.
    pub int8: bool,
    /// Models that this browser keeps.
    pub kept: Vec<CachedModel>,
    /// Speed of the model's download.
    pub meter: Meter,
    /// Why the GPU is not to be relied on: `Auto` means the CPU until the visitor
    /// chooses anew.
    pub gpu_disabled_reason: Option<Diagnostic>,
    /// The model, once one was loaded.
    pub model: Option<ModelInfo>,
    /// Device of the model, while one is loaded.
    pub device: Option<DeviceInfo>,
    crashes: CrashHistory,
}

impl Worker {
    /// Before the first worker.
    pub fn new(choice: DeviceChoice) -> Self {
        Self {
            state: WorkerState::STARTING,
            choice,
            source: ModelSource::Bundled,
            activation: None,
            int8: false,
            kept: Vec::new(),
            meter: Meter::default(),
            gpu_disabled_reason: None,
            model: None,
            device: None,
            crashes: CrashHistory::default(),
        }
    }

    /// Whether the model may know Chinese: whether it does is not known of models that the visitor
    /// brings.
    pub fn knows_chinese(&self) -> bool {
        match &self.source {
            ModelSource::Bundled | ModelSource::Files => true,
            ModelSource::Place(place) => {
                let known = published().iter().find(|model| model.place() == *place);
                known.is_none_or(|model| model.chinese)
            }
        }
    }

    /// Does not rely on a GPU that failed at an earlier visit, if `gpu` is the same with the same version
    /// of the browser, unless the visitor insists on it.
    pub fn recall(&mut self, failed: FailedGpu, browser: &str, gpu: Option<&str>) {
        let same = failed.browser == browser && gpu == Some(&failed.gpu);
        if same && self.choice == DeviceChoice::Auto {
            self.gpu_disabled_reason = Some(diagnostic!(
                "reason-of-gpu",
                "{reason} ({name})",
                reason = failed.reason,
                name = failed.gpu
            ));
        }
    }

    /// Whether a model is loaded.
    pub fn ready(&self) -> bool {
        self.state == WorkerState::Ready
    }

    /// Whether the worker starts or loads.
    pub fn loading(&self) -> bool {
        matches!(self.state, WorkerState::Loading { .. })
    }

    /// Whether it runs on the CPU, or will.
    pub fn on_cpu(&self) -> bool {
        self.gpu_disabled_reason.is_some()
            || self.choice == DeviceChoice::Cpu
            || self.device.as_ref().is_some_and(|device| !device.gpu)
    }

    /// A fresh worker starts; returns its device.
    pub fn start(&mut self) -> DeviceChoice {
        self.state = WorkerState::STARTING;
        self.device = None;
        self.meter = Meter::default();
        match self.gpu_disabled_reason {
            Some(_) => DeviceChoice::Cpu,
            None => self.choice,
        }
    }

    /// Forgets earlier failures, as after a choice of the visitor.
    pub fn forgive(&mut self) {
        self.crashes.clear();
        self.gpu_disabled_reason = None;
    }

    /// The visitor chose a model.
    pub fn open_model(&mut self, source: ModelSource, activation: Option<Activation>) {
        self.source = source;
        self.activation = activation;
        self.model = None;
    }

    /// The visitor stopped the loading.
    pub fn stop(&mut self) {
        self.state = WorkerState::Stopped;
    }

    /// Progress of loading.
    pub fn progress(&mut self, stage: LoadStage, done: u64, total: u64, now_ms: f64) {
        if stage == LoadStage::Download {
            self.meter.note(done, now_ms);
        }
        self.state = WorkerState::Loading {
            stage: Some(stage),
            done,
            total,
        };
    }

    /// The model is loaded.
    pub fn opened(&mut self, model: ModelInfo, device: DeviceInfo) {
        self.state = WorkerState::Ready;
        self.model = Some(model);
        self.device = Some(device);
    }

    /// The model could not be opened; `gpu`: because of the GPU.
    pub fn open_failed(&mut self, error: Diagnostic, gpu: bool) -> Recovery {
        if gpu && self.choice == DeviceChoice::Auto {
            let error = brief(&error);
            self.gpu_disabled_reason = Some(match error.text().starts_with("the GPU") {
                true => error,
                false => message!("gpu-did-not-work", error = error),
            });
            return Recovery::Restart(None);
        }
        self.fail(error);
        Recovery::GiveUp
    }

    /// The worker is gone: it said so, or the browser did. `error` is brief.
    pub fn died(&mut self, error: &Diagnostic, now_ms: f64) -> Recovery {
        // A worker that never said a word did not even get to choose a device.
        let silent = matches!(self.state, WorkerState::Loading { stage: None, .. });
        let on_cpu = silent || self.on_cpu();
        match self.crashes.record(now_ms, self.choice, on_cpu) {
            RestartAction::Restart => Recovery::Restart(Some(Notice::info(message!(
                "worker-restarted",
                error = error
            )))),
            RestartAction::RestartOnCpu => {
                self.gpu_disabled_reason = Some(message!("gpu-failed-twice"));
                Recovery::Restart(Some(Notice::error(message!(
                    "gpu-failed-now-cpu",
                    error = error
                ))))
            }
            RestartAction::GiveUp => {
                let advice = if silent {
                    message!("advice-connection")
                } else if on_cpu {
                    message!("advice-memory")
                } else {
                    message!("advice-gpu")
                };
                let what = match silent {
                    true => message!("worker-did-not-start"),
                    false => message!("worker-crashed-twice"),
                };
                self.fail(message!(
                    "worker-failed",
                    what = what,
                    error = error,
                    advice = advice
                ));
                Recovery::GiveUp
            }
        }
    }

    fn fail(&mut self, error: Diagnostic) {
        self.state = WorkerState::Failed(error);
        self.device = None;
    }
}

/// Reason of a crash. Of one without a code, such as a panic, the end: what comes before names source
/// files, which is of no use to a visitor.
pub fn brief(error: &Diagnostic) -> Diagnostic {
    const LONGEST: usize = 160;
    if !error.code().is_empty() {
        return error.clone();
    }
    let mut lines = error.text().lines().map(str::trim);
    let Some(last) = lines.rfind(|line| !line.is_empty()) else {
        return message!("no-reason-given");
    };
    let last = last.trim_end_matches('.');
    match last.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &last[..end]).into(),
        None => last.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::ModelLocation;

    #[test]
    fn a_gpu_that_failed_is_left_alone_until_it_or_the_browser_is_another() {
        let failed = FailedGpu {
            gpu: "WebGPU: acme one".into(),
            browser: "Browser/1".into(),
            reason: "the GPU failed its self-test".into(),
        };
        let mut insisting = Worker::new(DeviceChoice::Gpu);
        insisting.recall(failed.clone(), "Browser/1", Some("WebGPU: acme one"));
        assert_eq!(insisting.start(), DeviceChoice::Gpu);
        let mut worker = Worker::new(DeviceChoice::Auto);
        worker.recall(failed.clone(), "Browser/2", Some("WebGPU: acme one"));
        worker.recall(failed.clone(), "Browser/1", Some("WebGPU: acme two"));
        worker.recall(failed.clone(), "Browser/1", None);
        assert_eq!(worker.start(), DeviceChoice::Auto);
        worker.recall(failed, "Browser/1", Some("WebGPU: acme one"));
        assert_eq!(worker.start(), DeviceChoice::Cpu);
        let reason = worker.gpu_disabled_reason.clone().unwrap();
        assert_eq!(reason, "the GPU failed its self-test (WebGPU: acme one)");
        worker.forgive();
        assert_eq!(worker.start(), DeviceChoice::Auto);
    }

    #[test]
    fn crash_reports_are_cut_to_what_a_visitor_can_read() {
        assert_eq!(
            brief(&"panicked at src/a.rs:1:2:\nout of memory.\n".into()),
            "out of memory"
        );
        assert_eq!(brief(&"".into()), "no reason given");
        assert_eq!(brief(&"ä".repeat(500).into()).text().chars().count(), 161);
    }

    #[test]
    fn a_disabled_gpu_is_tried_again_only_when_the_visitor_chooses() {
        let mut worker = Worker::new(DeviceChoice::Auto);
        let recovery = worker.open_failed("lost".into(), true);
        assert_eq!(recovery, Recovery::Restart(None));
        assert_eq!(worker.start(), DeviceChoice::Cpu);
        assert!(worker.on_cpu());
        worker.forgive();
        assert_eq!(worker.start(), DeviceChoice::Auto);
    }

    #[test]
    fn chinese_is_for_models_that_may_know_it() {
        let knows = |source| {
            let mut worker = Worker::new(DeviceChoice::Auto);
            worker.open_model(source, None);
            worker.knows_chinese()
        };
        let published = |id: &str| {
            let model = published().iter().find(|model| model.id == id).unwrap();
            ModelSource::Place(model.place())
        };
        assert!(knows(ModelSource::Bundled));
        assert!(knows(ModelSource::Files));
        assert!(knows(published("OFA-Sys/chinese-clip-vit-base-patch16")));
        assert!(!knows(published("timm/vit_base_patch32_clip_224.openai")));
        let unknown = ModelLocation::parse("somebody/something").unwrap();
        assert!(knows(ModelSource::Place(unknown)));
    }
}
