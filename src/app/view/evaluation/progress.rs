//! What is going on, and what went wrong.

use leptos::prelude::*;

use crate::app::controller::evaluation::EvaluationController;
use crate::app::domain::evaluation::{
    Download, EvaluationSession, EvaluationTask, sentence, stage_text,
};
use crate::app::domain::format;
use crate::app::i18n::t;
use crate::app::view::widgets::{Failure, ProgressBar};

fn text(session: &EvaluationSession) -> String {
    if let Some(download) = &session.download {
        return download_text(download);
    }
    match (&session.progress, session.paused) {
        (_, true) => t!("paused").into(),
        (Some(progress), false) => stage_text(progress),
        (None, false) if session.waits() => t!("waiting-for-model").into(),
        (None, false) => t!("starting").into(),
    }
}

fn download_text(at: &Download) -> String {
    let bytes = format::bytes(at.bytes);
    match at.total_shards {
        Some(total) if at.shards < total => {
            t!(
                "downloading-shard-of",
                shard = at.shards + 1,
                total = total,
                bytes = bytes
            )
        }
        _ => t!("downloading-shard", shard = at.shards + 1, bytes = bytes),
    }
}

/// For a screen reader: what begins, and every tenth of the way.
fn spoken(session: &EvaluationSession) -> String {
    if session.download.is_some() {
        return t!("downloading").into();
    }
    match &session.progress {
        Some(progress) if progress.total > 0 && !session.paused => {
            t!(
                "percent-done",
                percent = 10 * (10 * progress.done / progress.total)
            )
        }
        _ => text(session),
    }
}

/// Progress of the tasks that `of` picks, with their errors.
#[component]
pub fn Working(evaluation: EvaluationController, of: fn(EvaluationTask) -> bool) -> impl IntoView {
    let session = evaluation.session;
    let active = Memo::new(move |_| session.with(|s| s.task.is_some_and(of)));
    let can_pause = Memo::new(move |_| session.with(EvaluationSession::can_pause));
    let paused = Memo::new(move |_| session.with(|s| s.paused));
    let share = Memo::new(move |_| {
        session.with(|s| {
            if let Some(download) = &s.download {
                return download.share();
            }
            let progress = s.progress.filter(|progress| progress.total > 0)?;
            Some(f64::from(progress.done) / f64::from(progress.total))
        })
    });
    let line = Memo::new(move |_| session.with(text));
    let spoken = Memo::new(move |_| session.with(spoken));
    let error = Memo::new(move |_| {
        session.with(|s| {
            let (_, error) = s.error.as_ref().filter(|(task, _)| of(*task))?;
            Some(sentence(error))
        })
    });
    view! {
        <Show when=move || active.get()>
            <div class="working" data-testid="evaluate-working">
                <p aria-hidden="true" data-testid="evaluate-progress">{move || line.get()}</p>
                <p class="sr-only" role="status">{move || spoken.get()}</p>
                <ProgressBar class="progress" label=t!("evaluation") share text=line />
                <p class="ways">
                    <Show when=move || can_pause.get()>
                        <button
                            type="button"
                            class="button secondary small"
                            data-testid="evaluate-pause"
                            on:click=move |_| evaluation.run(|s| s.pause(!s.paused))
                        >
                            {move || if paused.get() { t!("continue") } else { t!("pause") }}
                        </button>
                    </Show>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="evaluate-cancel"
                        on:click=move |_| evaluation.cancel()
                    >
                        {t!("cancel")}
                    </button>
                </p>
            </div>
        </Show>
        {move || error.get().map(|error| view! { <Failure error testid="evaluate-error" /> })}
    }
}
