//! The head of the page: its promise, where it runs, how far it is.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::widgets::{Failure, ProgressBar};
use crate::app::controller::App;
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::storage;
use crate::app::domain::format;
use crate::app::domain::question::PromptStatus;
use crate::app::domain::session::Session;
use crate::app::domain::worker::WorkerState;
use crate::app::i18n::{self, Language, t};
use crate::engine::messages::{DeviceChoice, LoadStage, ModelInfo, ModelSource};

/// Value of `data-state`: what kind of state the worker is in.
pub fn state_name(session: &Session) -> &'static str {
    match &session.worker.state {
        WorkerState::Loading { .. } => "loading",
        WorkerState::Ready if session.busy() => "busy",
        WorkerState::Ready => "ready",
        WorkerState::Failed(_) => "failed",
        WorkerState::Stopped => "stopped",
    }
}

/// What goes on right now: a lead, the device's name, and why it is that one.
pub fn status_parts(session: &Session) -> [String; 3] {
    let on_cpu = session.worker.on_cpu();
    let alone = |text: String| [text, String::new(), String::new()];
    match (&session.worker.state, &session.worker.device) {
        (WorkerState::Loading { stage, done, total }, _) => alone(
            loading_text(*stage, *done, *total, on_cpu) + &speed_text(session, *stage, *total),
        ),
        (WorkerState::Failed(_), _) => alone(t!("not-running").into()),
        (WorkerState::Stopped, _) => alone(t!("loading-cancelled").into()),
        (WorkerState::Ready, None) => alone(t!("running").into()),
        (WorkerState::Ready, Some(device)) => {
            let gave_up = session.worker.gpu_disabled_reason.as_ref();
            let reason = gave_up.unwrap_or(&device.reason);
            let reason = if reason.text().is_empty() {
                String::new()
            } else {
                t!("device-reason", reason = reason)
            };
            [t!("running-on").into(), i18n::foreign(&device.name), reason]
        }
    }
}

/// The same for a screen reader, which would not get to the end of a download
/// that is told byte by byte.
fn spoken_status(session: &Session) -> String {
    match &session.worker.state {
        WorkerState::Loading { stage, .. } => loading_text(*stage, 0, 0, session.worker.on_cpu()),
        _ => status_parts(session).concat(),
    }
}

fn loading_text(stage: Option<LoadStage>, done: u64, total: u64, on_cpu: bool) -> String {
    match stage {
        None => t!("starting").into(),
        Some(LoadStage::Device) if on_cpu => t!("preparing-cpu").into(),
        Some(LoadStage::Device) => t!("looking-for-gpu").into(),
        Some(LoadStage::Download) if total > 0 => {
            t!(
                "loading-model-of",
                done = format::bytes(done),
                total = format::bytes(total)
            )
        }
        Some(LoadStage::Download) if done > 0 => {
            t!("loading-model-so-far", done = format::bytes(done))
        }
        Some(LoadStage::Download) => t!("loading-model").into(),
        Some(LoadStage::WarmUp) => t!("warming-up").into(),
    }
}

/// How fast it comes and how long that will take, where either says something.
fn speed_text(session: &Session, stage: Option<LoadStage>, total: u64) -> String {
    let left = (session.worker.meter.seconds_left(total)).filter(|left| *left >= 2.0);
    match (stage, session.worker.meter.bytes_per_second(), left) {
        (Some(LoadStage::Download), Some(speed), Some(left)) => format!(
            " · {}/s · {}",
            format::bytes(speed as u64),
            format::time_left(left)
        ),
        _ => String::new(),
    }
}

/// What a loaded model is busy with.
fn work_text(session: &Session) -> String {
    if session.cancelling {
        return t!("cancelling").into();
    }
    if let PromptStatus::Pending {
        done,
        total: total @ 1..,
    } = session.question.prompts
    {
        return t!("encoding-prompts-of", done = done, total = total);
    }
    match session.pictures.pending() {
        0 => t!("encoding-prompts").into(),
        left => t!("images-left", images = t!("images", count = left)),
    }
}

/// How far the bar is; `None` where nobody knows.
fn progress(session: &Session) -> Option<f64> {
    let (done, total) = match &session.worker.state {
        WorkerState::Loading {
            stage: Some(LoadStage::Download),
            done,
            total,
        } => (*done as f64, *total as f64),
        WorkerState::Ready => match session.question.prompts {
            PromptStatus::Pending {
                done,
                total: total @ 1..,
            } => (f64::from(done), f64::from(total)),
            _ => {
                let total = session.pictures.len();
                let left = session.pictures.pending();
                // A bar for one picture would only jump.
                if total < 2 || left == 0 {
                    return None;
                }
                ((total - left) as f64, total as f64)
            }
        },
        _ => return None,
    };
    (total > 0.0).then(|| (done / total).clamp(0.0, 1.0))
}

/// The model in one line.
fn model_text(model: &ModelInfo) -> String {
    t!(
        "model-facts",
        name = model.name,
        parameters = format::parameters(model.parameters),
        bytes = format::bytes(model.bytes),
        precision = model.precision,
        width = model.image_size,
        height = model.image_size
    ) + match model.independent {
        true => t!("model-independent"),
        false => "",
    }
}

/// Name, promise, language, theme.
#[component]
pub fn Header(app: App) -> impl IntoView {
    view! {
        <header class="top">
            <div class="brand">
                <Logo />
                <h1>{t!("title")}</h1>
            </div>
            <div class="switches">
                <LanguageButton app />
                <ThemeButton />
            </div>
            <p class="promise">
                {t!("promise-what")}
                <strong>{t!("promise-local")}</strong> {t!("promise-where")}
            </p>
        </header>
    }
}

#[component]
pub fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
            <rect class="logo-back" width="32" height="32" rx="8" />
            <path
                class="logo-line"
                d="M6 12V9a3 3 0 0 1 3-3h3M20 6h3a3 3 0 0 1 3 3v3M12 26H9a3 3 0 0 1-3-3v-3"
            />
            <circle class="logo-line" cx="14" cy="14" r="3.5" />
            <path class="logo-tag" d="M17 20.5l3-3.2h6.2a1 1 0 0 1 1 1v4.4a1 1 0 0 1-1 1H20z" />
        </svg>
    }
}

fn root() -> Option<web_sys::Element> {
    web_sys::window()?.document()?.document_element()
}

/// Button with the name of the other language.
#[component]
fn LanguageButton(app: App) -> impl IntoView {
    const ID: &str = "language";
    let other = match i18n::language() {
        Language::English => Language::Chinese,
        Language::Chinese => Language::English,
    };
    let switch = move |_| {
        app.choose_language(other);
        // The page is drawn anew, and with it the button that has the focus.
        request_animation_frame(|| {
            let button = document().get_element_by_id(ID);
            if let Some(button) = button.and_then(|button| button.dyn_into::<HtmlElement>().ok()) {
                let _ = button.focus();
            }
        });
    };
    view! {
        <button
            type="button"
            id=ID
            class="quiet"
            data-testid="language"
            lang=other.tag()
            title=t!("change-language")
            on:click=switch
        >
            {other.name()}
        </button>
    }
}

#[component]
pub fn ThemeButton() -> impl IntoView {
    let is_dark = || {
        root()
            .and_then(|root| root.get_attribute("data-theme"))
            .is_some_and(|theme| theme == "dark")
    };
    // The head of the page has set the theme before the first paint.
    let dark = RwSignal::new(is_dark());
    let switch = move |_| {
        // Asked anew: the system's theme may have changed since.
        let now_dark = !is_dark();
        dark.set(now_dark);
        let theme = if now_dark { "dark" } else { "light" };
        if let Some(root) = root() {
            let _ = root.set_attribute("data-theme", theme);
        }
        storage::save_text(storage::THEME, theme);
    };
    view! {
        <button
            type="button"
            class="icon theme"
            data-testid="theme"
            aria-pressed=move || dark.get().to_string()
            aria-label=t!("dark-theme")
            title=t!("toggle-dark-theme")
            on:click=switch
        >
            <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6" />
                <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
            </svg>
        </button>
    }
}

/// Where it runs, how far it is, and the means to change or stop that.
#[component]
pub fn EngineBar(classify: ClassifyController) -> impl IntoView {
    let session = classify.session;
    let state = Memo::new(move |_| session.with(state_name));
    let status = Memo::new(move |_| session.with(status_parts));
    let status_part = move |part: usize| status.with(|parts| parts[part].clone());
    let spoken = Memo::new(move |_| session.with(spoken_status));
    let model = Memo::new(move |_| session.with(|s| s.worker.model.as_ref().map(model_text)));
    let bar = Memo::new(move |_| session.with(progress));
    let working = Memo::new(move |_| matches!(state.get(), "loading" | "busy"));
    let work = Memo::new(move |_| {
        session.with(|s| {
            if state_name(s) == "busy" {
                work_text(s)
            } else {
                String::new()
            }
        })
    });
    let can_cancel = Memo::new(move |_| session.with(Session::can_cancel));
    let cancelling = Memo::new(move |_| session.with(|s| s.cancelling));
    let can_resume = Memo::new(move |_| session.with(Session::can_resume));
    let failure = Memo::new(move |_| {
        session.with(|s| match &s.worker.state {
            WorkerState::Failed(error) => Some(error.clone()),
            _ => None,
        })
    });
    let question_error = Memo::new(move |_| session.with(|s| s.question.error.clone()));
    let bundled = Memo::new(move |_| session.with(|s| s.worker.source == ModelSource::Bundled));
    // While a device is being opened, as before.
    let on_cpu = Memo::new(move |before: Option<&bool>| {
        session.with(|s| match &s.worker.device {
            Some(device) => !device.gpu,
            None => {
                s.worker.on_cpu() || (before == Some(&true) && s.worker.choice != DeviceChoice::Gpu)
            }
        })
    });
    let offer_cpu = Memo::new(move |_| session.with(|s| s.worker.choice == DeviceChoice::Gpu));

    view! {
        <section class="engine" aria-label=t!("model-and-device") data-testid="worker-state" data-state=state>
            <div class="engine-row">
                <p class="status">
                    <span class="lamp" aria-hidden="true"></span>
                    <span data-testid="status" aria-hidden="true">
                        {move || status_part(0)}
                        <span data-testid="device-name">{move || status_part(1)}</span>
                        {move || status_part(2)}
                    </span>
                    <span class="sr-only" role="status">
                        {move || spoken.get()}
                    </span>
                </p>
                <div class="engine-tools">
                    <Show when=move || can_resume.get()>
                        <button
                            type="button"
                            class="button secondary small"
                            data-testid="resume"
                            on:click=move |_| classify.run(Session::resume)
                        >
                            {t!("resume")}
                        </button>
                    </Show>
                    <Show when=move || state.get() == "stopped">
                        <button
                            type="button"
                            class="button small"
                            data-testid="try-again"
                            on:click=move |_| classify.run(Session::start_over)
                        >
                            {t!("load-the-model")}
                        </button>
                    </Show>
                    <Show when=move || can_cancel.get()>
                        <button
                            type="button"
                            class="button secondary small"
                            data-testid="cancel"
                            on:click=move |_| classify.run(Session::cancel)
                        >
                            {move || if cancelling.get() { t!("stop-now") } else { t!("cancel") }}
                        </button>
                    </Show>
                    <Show when=move || on_cpu.get() && !classify.standalone>
                        <label
                            class="device int8"
                            title=t!("int8-help")
                        >
                            <input
                                type="checkbox"
                                data-testid="int8"
                                prop:checked=move || session.with(|s| s.worker.int8)
                                on:change=move |event| classify.choose_int8(event_target_checked(&event))
                            />
                            <span>{t!("int8")}</span>
                        </label>
                    </Show>
                    <label class="device" hidden=classify.standalone>
                        <span>{t!("device")}</span>
                        <select
                            data-testid="device-select"
                            on:change=move |event| classify.choose(choice_of(&event_target_value(&event)))
                        >
                            {[DeviceChoice::Auto, DeviceChoice::Gpu, DeviceChoice::Cpu]
                                .map(|choice| {
                                    view! {
                                        <option
                                            value=choice_value(choice)
                                            selected=move || session.with(|s| s.worker.choice == choice)
                                        >
                                            {choice_text(choice)}
                                        </option>
                                    }
                                })
                                .collect_view()}
                        </select>
                    </label>
                </div>
            </div>
            <div class="engine-row minor">
                <p class="model" data-testid="model-info" hidden=classify.standalone>
                    {move || model.get()}
                </p>
                <p class="work" data-testid="work">
                    {move || work.get()}
                </p>
            </div>
            <Show when=move || working.get()>
                <ProgressBar
                    class="progress"
                    label=t!("progress")
                    share=bar
                    text=Signal::derive(move || {
                        let work = work.get();
                        if work.is_empty() { status.get().concat() } else { work }
                    })
                />
            </Show>
            {move || {
                failure
                    .get()
                    .map(|error| {
                        view! {
                            <Failure error>
                                <div class="failure-tools">
                                    <button
                                        type="button"
                                        class="button"
                                        data-testid="try-again"
                                        on:click=move |_| classify.run(Session::start_over)
                                    >
                                        {t!("try-again")}
                                    </button>
                                    {(!bundled.get() && !classify.standalone)
                                        .then(|| {
                                            view! {
                                                <button
                                                    type="button"
                                                    class="button secondary"
                                                    on:click=move |_| classify.open_place(None, None)
                                                >
                                                    {t!("use-bundled")}
                                                </button>
                                            }
                                        })}
                                    {offer_cpu
                                        .get()
                                        .then(|| {
                                            view! {
                                                <button
                                                    type="button"
                                                    class="button secondary"
                                                    on:click=move |_| classify.choose(DeviceChoice::Cpu)
                                                >
                                                    {t!("use-cpu")}
                                                </button>
                                            }
                                        })}
                                </div>
                            </Failure>
                        }
                    })
            }}
            {move || {
                question_error
                    .get()
                    .map(|error| {
                        view! {
                            <Failure error>
                                <button
                                    type="button"
                                    class="button secondary small"
                                    data-testid="ask-again"
                                    on:click=move |_| classify.run(Session::ask_once_more)
                                >
                                    {t!("try-again")}
                                </button>
                            </Failure>
                        }
                    })
            }}
        </section>
    }
}

fn choice_value(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Auto => "auto",
        DeviceChoice::Gpu => "gpu",
        DeviceChoice::Cpu => "cpu",
    }
}

fn choice_text(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Auto => t!("auto"),
        DeviceChoice::Gpu => "GPU",
        DeviceChoice::Cpu => "CPU",
    }
}

fn choice_of(value: &str) -> DeviceChoice {
    match value {
        "gpu" => DeviceChoice::Gpu,
        "cpu" => DeviceChoice::Cpu,
        _ => DeviceChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::DeviceInfo;

    #[test]
    fn the_status_says_where_and_why() {
        let mut session = Session::new(DeviceChoice::Auto);
        assert_eq!(state_name(&session), "loading");
        session.worker.state = WorkerState::Ready;
        session.worker.device = Some(DeviceInfo {
            gpu: false,
            name: "the CPU".into(),
            reason: "this browser has no WebGPU".into(),
        });
        assert_eq!(state_name(&session), "ready");
        let status = status_parts(&session).concat();
        assert_eq!(status, "Running on the CPU: this browser has no WebGPU");
        session.worker.gpu_disabled_reason = Some("the GPU failed twice".into());
        assert!(
            status_parts(&session)
                .concat()
                .ends_with("the GPU failed twice")
        );
    }

    #[test]
    fn loading_names_stage_and_bytes() {
        let text = loading_text(Some(LoadStage::Download), 12_300_000, 49_000_000, false);
        assert_eq!(text, "Loading the model: 12.3 MB of 49.0 MB");
        assert_eq!(
            loading_text(Some(LoadStage::Download), 0, 0, false),
            "Loading the model…"
        );
    }

    #[test]
    fn the_bar_follows_pictures_only_when_there_are_some() {
        let mut session = Session::new(DeviceChoice::Auto);
        session.worker.state = WorkerState::Ready;
        session.pictures.add_batch(["a".into()]);
        assert_eq!(progress(&session), None);
        session.pictures.add_batch(["b".into()]);
        assert_eq!(progress(&session), Some(0.0));
        session.question.prompts = PromptStatus::Pending { done: 3, total: 4 };
        assert_eq!(progress(&session), Some(0.75));
    }

    #[test]
    fn the_device_chooser_reads_what_it_writes() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Gpu, DeviceChoice::Cpu] {
            assert_eq!(choice_of(choice_value(choice)), choice);
        }
    }
}
