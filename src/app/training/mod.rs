//! The training side of the page.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`project`] | what there is to learn from, as plain data |
//! | [`recommendation`] | which method, and with which settings |
//! | [`session`] | what was asked of the worker and what it said, as plain data |
//! | [`state`] | files, worker and signals around the session |
//! | [`cards`], [`camera`], [`method`], [`progress`], [`chart`], [`outcome`] | what is seen |
//! | [`tab_lock`] | one tab at a time |
//! | [`zip`] | samples and models as one file |

pub mod camera;
pub mod cards;
pub mod chart;
pub mod method;
pub mod outcome;
pub mod progress;
pub mod project;
pub mod recommendation;
pub mod session;
pub mod state;
pub mod tab_lock;
pub mod zip;

use leptos::{html, prelude::*};

use super::images::files;
use super::state::App;
use cards::DataSection;
use method::MethodSection;
use outcome::OutcomeSection;
use progress::RunSection;
use session::TrainingSession;

/// Everything about training, from the pictures to the result.
#[component]
pub fn Training(app: App) -> impl IntoView {
    let derived = app.derived();
    let settings = Memo::new(move |_| {
        let amount = derived.amount.get();
        app.session.with(|session| {
            app.training
                .with(|t| t.settings(amount, session.model.as_ref()))
        })
    });
    let away = Memo::new(move |_| app.training.with(TrainingSession::locked_elsewhere));
    view! {
        <Show when=move || !away.get() fallback=move || view! { <LockedByOtherTab app /> }>
            <DataSection app derived />
            <MethodSection app derived settings />
            <RunSection app derived settings />
            <OutcomeSection app />
            <Import app />
        </Show>
    }
}

/// Shown instead of everything while another tab holds the lock.
#[component]
fn LockedByOtherTab(app: App) -> impl IntoView {
    let asked = RwSignal::new(false);
    let ask = move |_| {
        app.request_lock();
        asked.set(true);
    };
    view! {
        <section class="train-part" aria-labelledby="elsewhere-title" data-testid="elsewhere">
            <h2 id="elsewhere-title">"Training is open in another tab"</h2>
            <p>
                "Your images and the current run are in that tab. Close it to continue here, or take over now: the other tab saves everything and stops."
            </p>
            <p>
                <button type="button" class="button" data-testid="take-turn" on:click=ask>
                    "Train in this tab"
                </button>
            </p>
            <p class="help" role="status">
                {move || {
                    asked
                        .get()
                        .then_some(
                            "Waiting for the other tab. If it does not respond, close it.",
                        )
                }}
            </p>
        </section>
    }
}

/// Imports a trained classifier or LoRA.
#[component]
fn Import(app: App) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            app.import(files(input.files()));
            input.set_value("");
        }
    };
    view! {
        <p class="import help">
            <label class="button secondary small" for="import-files">
                "Import a trained classifier or LoRA"
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
                "Choose the exported file or zip; for a LoRA, adapter_model.safetensors with adapter_config.json works too. Open full models under “Model” on the Classify tab."
            </span>
        </p>
    }
}

/// Shown instead of the labels while a trained model with its own classes is in use.
#[component]
pub fn ActiveModelNote(app: App) -> impl IntoView {
    let in_use = Memo::new(move |_| app.training.with(|t| t.in_use.clone()));
    view! {
        {move || {
            in_use
                .get()
                .map(|trained| {
                    let what = recommendation::title(trained.method);
                    view! {
                        <section class="panel in-use" aria-label="Trained model" data-testid="in-use">
                            <p>
                                "Using your trained model: "
                                <strong>{what}</strong>
                            </p>
                            <p class="help">{trained.classes.join(", ")}</p>
                            <button
                                type="button"
                                class="button secondary small"
                                data-testid="back-to-before"
                                on:click=move |_| app.train(|t| t.put_to_use(false))
                            >
                                "Use the original model"
                            </button>
                        </section>
                    }
                })
        }}
    }
}
