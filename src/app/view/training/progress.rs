//! From the start to the end of a training: what it takes, how far it is, its
//! curves.

use leptos::prelude::*;

use crate::app::controller::training::{Derived, TrainingController};
use crate::app::domain::format;
use crate::app::domain::session::Session;
use crate::app::domain::training::recommendation;
use crate::app::domain::training::session::{Run, TrainingSession, stage_text};
use crate::app::domain::worker::WorkerState;
use crate::app::i18n::t;
use crate::app::view::widgets::{
    Failure, LineChart, ProgressBar, StepTitle, figures, percent, small,
};
use crate::engine::messages::{Estimate, Interrupted, TrainingSettings};

/// Value of `data-state`: what kind of state a training is in.
fn run_name(run: &Run) -> &'static str {
    match run {
        Run::Idle => "idle",
        Run::Running => "running",
        Run::Pausing => "pausing",
        Run::Paused => "paused",
        Run::Stopping => "stopping",
        Run::Failed(_) => "failed",
    }
}

/// What goes on, in a line.
fn run_text(training: &TrainingSession) -> String {
    match (&training.run, &training.progress) {
        (Run::Stopping, _) => t!("stopping").into(),
        (Run::Paused, _) => t!("paused").into(),
        (Run::Pausing, _) => t!("pausing").into(),
        (Run::Running, Some(progress)) => stage_text(progress),
        (Run::Running, None) => t!("starting").into(),
        (Run::Idle | Run::Failed(_), _) => String::new(),
    }
}

/// Speed, time left, and what is kept.
fn pace_text(training: &TrainingSession) -> String {
    let mut parts = Vec::new();
    if let Some(progress) = training
        .progress
        .as_ref()
        .filter(|_| training.run == Run::Running)
    {
        if let Some(speed) = progress.images_per_second.filter(|speed| *speed > 0.0) {
            parts.push(t!("images-per-second-short", speed = figures(speed)));
        }
        if let Some(left) = progress.seconds_left.filter(|left| *left >= 1.0) {
            parts.push(format::time_left(left));
        }
    }
    if let Some(step) = training.kept.filter(|_| training.run.active()) {
        parts.push(t!("checkpoint-at", step = step));
    }
    parts.join(" · ")
}

/// For a screen reader: what begins and ends, and every tenth of the way.
fn spoken(training: &TrainingSession) -> String {
    match (&training.run, &training.progress) {
        (Run::Running, Some(progress)) if progress.total > 0 => {
            let tenths = 10 * progress.done / progress.total;
            t!("training-percent", percent = 10 * tenths)
        }
        (Run::Idle, _) if training.outcome.is_some() => t!("training-finished").into(),
        _ => run_text(training),
    }
}

fn share(training: &TrainingSession) -> Option<f64> {
    let progress = training.progress.as_ref()?;
    (progress.total > 0).then(|| f64::from(progress.done) / f64::from(progress.total))
}

/// What a training takes, in a sentence.
fn estimate_text(estimate: &Estimate) -> String {
    let memory = format::bytes(estimate.memory_bytes);
    let time = match estimate.seconds {
        Some(seconds) if seconds < 1.5 => t!("a-second").into(),
        Some(seconds) if seconds < 90.0 => t!("about-seconds", seconds = format!("{:.0}", seconds)),
        Some(seconds) if seconds < 5_400.0 => {
            t!("about-minutes", minutes = format!("{:.0}", seconds / 60.0))
        }
        Some(seconds) => t!("about-hours", hours = format!("{:.1}", seconds / 3_600.0)),
        None => return t!("takes-memory", memory = memory),
    };
    t!("takes-time-and-memory", time = time, memory = memory)
}

/// When something was kept, as people say it.
fn ago(then_ms: f64, now_ms: f64) -> String {
    let minutes = (now_ms - then_ms) / 60e3;
    match minutes {
        ..2.0 => t!("a-minute-ago").into(),
        ..120.0 => t!("minutes-ago", minutes = format!("{:.0}", minutes)),
        ..2_880.0 => t!("hours-ago", hours = format!("{:.0}", minutes / 60.0)),
        _ => t!("days-ago", days = format!("{:.0}", minutes / 1_440.0)),
    }
}

/// The third part of the training side.
#[component]
pub fn RunSection(
    trainer: TrainingController,
    derived: Derived,
    settings: Memo<TrainingSettings>,
) -> impl IntoView {
    let training = trainer.session;
    let amount = derived.amount;
    let state = Memo::new(move |_| training.with(|t| run_name(&t.run)));
    let active = Memo::new(move |_| training.with(|t| t.run.active()));
    // By itself, since the session changes with every picture that is classified.
    let no_model = Memo::new(move |_| {
        let state = |session: &Session| match session.worker.state {
            WorkerState::Ready => None,
            WorkerState::Loading { .. } => Some(t!("model-still-loading")),
            _ => Some(t!("no-model-see-top")),
        };
        trainer.classify.session.with(state)
    });
    let refusal = Memo::new(move |_| {
        let method = settings.with(|s| s.method);
        if let Some(why) = recommendation::blocking_reason(method, amount.get()) {
            return Some(why.to_owned());
        }
        if settings.with(|s| !recommendation::validate(s).is_empty()) {
            return Some(t!("invalid-settings").into());
        }
        if training.with(|t| t.project.classes.iter().any(|class| class.name.is_empty())) {
            return Some(t!("class-without-name").into());
        }
        // What is not read yet would silently be missing from what is learnt.
        match training.with(|t| t.project.waiting()) {
            0 => {}
            waiting => return Some(t!("images-being-read", count = waiting)),
        }
        no_model.get().map(str::to_owned)
    });
    let estimate = Memo::new(move |_| {
        let now = settings.get();
        training
            .with(|t| t.estimate.clone())
            .filter(|estimate| estimate.settings == now)
    });
    let start = move |_| {
        let model = trainer
            .classify
            .session
            .with_untracked(|session| session.worker.model.clone());
        let templates = trainer
            .classify
            .templates
            .with_untracked(|book| book.active());
        trainer.run(|t| t.start(model.as_ref(), templates));
    };
    let failure = Memo::new(move |_| {
        training.with(|t| match &t.run {
            Run::Failed(error) => Some(error.clone()),
            _ => None,
        })
    });
    let text = Memo::new(move |_| training.with(run_text));
    let pace = Memo::new(move |_| training.with(pace_text));
    let bar = Memo::new(move |_| training.with(share));
    let said = Memo::new(move |_| training.with(spoken));
    // Without a step nothing was learnt that could count as a result.
    let steps = Memo::new(move |_| training.with(|t| !t.curves.loss.is_empty()));

    view! {
        <section
            class="train-part"
            aria-labelledby="run-title"
            data-testid="train-run"
            data-state=state
        >
            <div class="part-head">
                <StepTitle number=3 id="run-title" title=t!("train") />
            </div>
            <p class="sr-only" role="status" data-testid="train-spoken">
                {move || said.get()}
            </p>
            <InterruptedNotice trainer />
            <Show when=move || !active.get()>
                <div class="start">
                    <button
                        type="button"
                        class="button large"
                        data-testid="train-start"
                        disabled=move || refusal.with(Option::is_some)
                        aria-describedby="train-refusal"
                        on:click=start
                    >
                        {t!("start-training")}
                    </button>
                    <div>
                        <p id="train-refusal" data-testid="train-refusal">
                            {move || refusal.get()}
                        </p>
                        <EstimateLine trainer estimate refusal />
                    </div>
                </div>
            </Show>
            {move || {
                failure
                    .get()
                    .map(|error| view! { <Failure error testid="train-error" /> })
            }}
            <Show when=move || active.get()>
                <div class="running">
                    <p class="running-text" aria-hidden="true">
                        <strong data-testid="train-progress">{move || text.get()}</strong>
                        <span data-testid="train-pace">{move || pace.get()}</span>
                    </p>
                    <ProgressBar
                        class="train-bar"
                        label=t!("training")
                        share=bar
                        text=Signal::derive(move || format!("{} {}", text.get(), pace.get()))
                    />
                    <div class="run-tools">
                        <Show
                            when=move || matches!(state.get(), "paused" | "pausing")
                            fallback=move || {
                                view! {
                                    <button
                                        type="button"
                                        class="button secondary small"
                                        data-testid="train-pause"
                                        disabled=move || state.get() != "running"
                                        on:click=move |_| trainer.run(|t| t.pause())
                                    >
                                        {t!("pause")}
                                    </button>
                                }
                            }
                        >
                            <button
                                type="button"
                                class="button small"
                                data-testid="train-resume"
                                on:click=move |_| trainer.run(|t| t.resume())
                            >
                                {t!("resume")}
                            </button>
                        </Show>
                        <Show when=move || steps.get()>
                            <button
                                type="button"
                                class="button secondary small"
                                data-testid="train-finish"
                                title=t!("finish-help")
                                on:click=move |_| trainer.run(|t| t.stop(false))
                            >
                                {t!("finish-now")}
                            </button>
                        </Show>
                        <button
                            type="button"
                            class="button secondary small"
                            data-testid="train-stop"
                            title=t!("cancel-training-help")
                            on:click=move |_| trainer.run(|t| t.stop(true))
                        >
                            {t!("cancel-training")}
                        </button>
                    </div>
                </div>
            </Show>
            <Charts trainer />
        </section>
    }
}

#[component]
fn EstimateLine(
    trainer: TrainingController,
    estimate: Memo<Option<Estimate>>,
    refusal: Memo<Option<String>>,
) -> impl IntoView {
    view! {
        <div aria-live="polite">
            {move || {
                let estimate = estimate.get().filter(|_| refusal.with(Option::is_none))?;
                let text = estimate_text(&estimate);
                let warning = estimate
                    .too_large
                    .then(|| match estimate.available_bytes {
                        Some(bytes) => {
                            t!("more-than-available", bytes = format::bytes(bytes))
                        }
                        None => t!("more-than-likely").into(),
                    });
                let offer = estimate
                    .smaller
                    .map(|smaller| {
                        let settings = estimate.settings.clone();
                        view! {
                            <button
                                type="button"
                                class="button secondary small"
                                data-testid="smaller-batch"
                                on:click=move |_| {
                                    let mut settings = settings.clone();
                                    settings.micro_batch = smaller;
                                    trainer.session.update(|t| t.settings = Some(settings));
                                }
                            >
                                {t!("use-micro-batch", smaller = smaller)}
                            </button>
                        }
                    });
                let warns = warning.is_some();
                Some(
                    view! {
                        <p class="estimate" data-testid="estimate" class:warning=warns>
                            {text} " " {warning}
                        </p>
                        {offer}
                    },
                )
            }}
        </div>
    }
}

/// An earlier visit's training that can go on.
#[component]
fn InterruptedNotice(trainer: TrainingController) -> impl IntoView {
    let interrupted = Memo::new(move |_| {
        trainer
            .session
            .with(|t| t.interrupted.clone().filter(|_| !t.run.active()))
    });
    let model = Memo::new(move |_| {
        trainer.classify.session.with(|session| {
            session
                .worker
                .model
                .as_ref()
                .map(|model| model.name.clone())
        })
    });
    let notice = move |interrupted: Interrupted| {
        let Interrupted {
            method,
            model: of,
            step,
            steps,
            kept_ms,
        } = interrupted;
        let when = ago(kept_ms, js_sys::Date::now());
        let what = recommendation::title(method);
        let text = match steps {
            0 => t!("run-interrupted", what = what, when = when),
            steps => {
                t!(
                    "run-interrupted-at",
                    what = what,
                    step = step,
                    steps = steps,
                    when = when
                )
            }
        };
        let other = model
            .get()
            .filter(|model| *model != of)
            .map(|_| t!("uses-another-model", of = of));
        let blocked = other.is_some();
        view! {
            <div class="interrupted" role="status" data-testid="interrupted">
                <p>{text} " " {other}</p>
                <div class="run-tools">
                    <button
                        type="button"
                        class="button small"
                        data-testid="interrupted-resume"
                        disabled=blocked
                        on:click=move |_| trainer.run(|t| t.resume())
                    >
                        {t!("resume-training")}
                    </button>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="interrupted-discard"
                        on:click=move |_| trainer.run(|t| t.discard())
                    >
                        {t!("discard")}
                    </button>
                </div>
            </div>
        }
    };
    view! { {move || interrupted.get().map(notice)} }
}

/// Curves that grow while the training runs, and stay when it has ended.
#[component]
fn Charts(trainer: TrainingController) -> impl IntoView {
    let training = trainer.session;
    let curve = move |get: fn(&TrainingSession) -> &Vec<[f64; 2]>| {
        Signal::derive(move || training.with(|t| get(t).clone()))
    };
    let any = Memo::new(move |_| training.with(|t| !t.curves.loss.is_empty()));
    let measured = Memo::new(move |_| training.with(|t| !t.curves.accuracy.is_empty()));
    view! {
        <Show when=move || any.get()>
            <div class="charts" data-testid="charts">
                <LineChart
                    title=t!("loss")
                    about=t!("loss-help")
                    points=curve(|t| &t.curves.loss)
                    format=figures
                    smooth=true
                />
                <Show when=move || measured.get()>
                    <LineChart
                        title=t!("held-out-accuracy")
                        about=t!("held-out-accuracy-help")
                        points=curve(|t| &t.curves.accuracy)
                        format=percent
                        range=[0.0, 1.0]
                    />
                </Show>
                <LineChart
                    title=t!("temperature")
                    about=t!("temperature-help")
                    points=Signal::derive(move || {
                        let scale = training.with(|t| t.curves.scale.clone());
                        scale.into_iter().map(|[x, scale]| [x, 1.0 / scale]).collect()
                    })
                    format=small
                />
                <LineChart
                    title=t!("learning-rate")
                    about=t!("learning-rate-about")
                    points=curve(|t| &t.curves.learning_rate)
                    format=small
                />
            </div>
        </Show>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::{TrainingProgress, TrainingStage};
    use crate::train::Method;

    #[test]
    fn a_running_training_says_how_far_it_is() {
        let mut training = TrainingSession {
            run: Run::Running,
            ..TrainingSession::default()
        };
        assert_eq!(run_text(&training), "Starting…");
        training.progress = Some(TrainingProgress {
            stage: TrainingStage::Steps,
            done: 30,
            total: 120,
            images_per_second: Some(21.53),
            seconds_left: Some(125.0),
        });
        training.kept = Some(20);
        assert_eq!(run_text(&training), "Step 30 of 120");
        assert_eq!(
            pace_text(&training),
            "21.5 images/s · 2 min left · checkpoint at step 20"
        );
        assert_eq!(spoken(&training), "Training, 20 % of this stage");
        assert_eq!(share(&training), Some(0.25));
        training.run = Run::Paused;
        assert_eq!(run_text(&training), "Paused");
    }

    #[test]
    fn times_are_rough() {
        assert_eq!(ago(0.0, 30e3), "a minute ago");
        assert_eq!(ago(0.0, 20.0 * 60e3), "20 minutes ago");
        assert_eq!(ago(0.0, 5.0 * 3_600e3), "5 hours ago");
        let mut estimate = Estimate {
            settings: recommendation::defaults(
                Method::Lora,
                recommendation::DatasetStats::default(),
                None,
            ),
            memory_bytes: 250_000_000,
            available_bytes: None,
            seconds: Some(400.0),
            smaller: None,
            too_large: false,
        };
        assert_eq!(
            estimate_text(&estimate),
            "Takes about 7 minutes and 250.0 MB of memory."
        );
        estimate.seconds = None;
        assert_eq!(estimate_text(&estimate), "Takes about 250.0 MB of memory.");
    }
}
