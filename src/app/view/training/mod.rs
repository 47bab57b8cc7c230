//! The training side of the page.
//!
//! | module | contents |
//! | --- | --- |
//! | [`cards`], [`camera`] | training images |
//! | [`method`] | method and settings |
//! | [`progress`] | start, progress, curves |
//! | [`outcome`] | result |

pub mod camera;
pub mod cards;
pub mod method;
pub mod outcome;
pub mod progress;

use leptos::{html, prelude::*};

use super::dropping::files;
use crate::app::controller::current_tab::CurrentTab;
use crate::app::controller::training::TrainingController;
use crate::app::domain::training::recommendation;
use crate::app::domain::training::session::TrainingSession;
use crate::app::i18n::{self, t};
use cards::DataSection;
use method::MethodSection;
use outcome::OutcomeSection;
use progress::RunSection;

/// Everything about training, from the pictures to the result.
#[component]
pub fn Training(trainer: TrainingController, tab: CurrentTab) -> impl IntoView {
    let derived = trainer.derived();
    let settings = Memo::new(move |_| {
        let amount = derived.amount.get();
        trainer.classify.session.with(|session| {
            trainer
                .session
                .with(|t| t.settings(amount, session.worker.model.as_ref()))
        })
    });
    let away = Memo::new(move |_| trainer.session.with(TrainingSession::locked_elsewhere));
    view! {
        <Show when=move || !away.get() fallback=move || view! { <LockedByOtherTab trainer /> }>
            <DataSection trainer derived />
            <MethodSection trainer derived settings />
            <RunSection trainer derived settings />
            <OutcomeSection trainer tab />
            <Import trainer />
        </Show>
    }
}

/// Shown instead of everything while another tab holds the lock.
#[component]
fn LockedByOtherTab(trainer: TrainingController) -> impl IntoView {
    let asked = RwSignal::new(false);
    let ask = move |_| {
        trainer.request_lock();
        asked.set(true);
    };
    view! {
        <section class="train-part" aria-labelledby="elsewhere-title" data-testid="elsewhere">
            <h2 id="elsewhere-title">{t!("open-elsewhere")}</h2>
            <p>
                {t!("open-elsewhere-help")}
            </p>
            <p>
                <button type="button" class="button" data-testid="take-turn" on:click=ask>
                    {t!("train-here")}
                </button>
            </p>
            <p class="help" role="status">
                {move || {
                    asked
                        .get()
                        .then_some(
                            t!("waiting-for-other-tab"),
                        )
                }}
            </p>
        </section>
    }
}

/// Imports a trained classifier or LoRA.
#[component]
fn Import(trainer: TrainingController) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            trainer.import(files(input.files()));
            input.set_value("");
        }
    };
    view! {
        <p class="import help">
            <label class="button secondary small" for="import-files">
                {t!("import-trained")}
            </label>
            <input
                node_ref=input
                id="import-files"
                data-testid="import-files"
                class="sr-only"
                type="file"
                multiple
                accept=".safetensors,.json,.zip"
                on:change=picked
            />
            <span>
                {t!("import-help")}
            </span>
        </p>
    }
}

/// Shown instead of the labels while a trained model with its own classes is in use.
#[component]
pub fn ActiveModelNote(trainer: TrainingController) -> impl IntoView {
    let in_use = Memo::new(move |_| trainer.session.with(|t| t.in_use.clone()));
    view! {
        {move || {
            in_use
                .get()
                .map(|trained| {
                    let what = i18n::said(&recommendation::title(trained.method));
                    view! {
                        <section class="panel in-use" aria-label=t!("trained-model") data-testid="in-use">
                            <p>
                                {t!("using-trained")}
                                <strong>{what}</strong>
                            </p>
                            <p class="help">{trained.classes.join(", ")}</p>
                            <button
                                type="button"
                                class="button secondary small"
                                data-testid="back-to-before"
                                on:click=move |_| trainer.run(|t| t.put_to_use(false))
                            >
                                {t!("use-original")}
                            </button>
                        </section>
                    }
                })
        }}
    }
}
