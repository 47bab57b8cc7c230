//! The choice of labelled images, and of the templates to evaluate with.

use leptos::prelude::*;

use super::progress::Working;
use crate::app::controller::App;
use crate::app::controller::evaluation::EvaluationController;
use crate::app::domain::evaluation::{EvaluationSession, EvaluationTask, TemplateChoice};
use crate::app::view::widgets::{ChooseFiles, NoteList};
use crate::data::LeftOut;
use crate::zero_shot::DEFAULT_TEMPLATE;

/// First part of the side.
#[component]
pub fn DataSection(app: App) -> impl IntoView {
    let evaluation = app.evaluation;
    let session = evaluation.session;
    let data = Memo::new(move |_| session.with(|s| s.data.clone()));
    let empty = Memo::new(move |_| data.with(Option::is_none));
    let revision = Memo::new(move |_| session.with(|s| s.revision));
    let left_out = move || {
        revision.get();
        let problems = session.with_untracked(|s| {
            let results = s.results.as_ref();
            results.map_or_else(Vec::new, |found| LeftOut::count(&found.problems))
        });
        let notes: Vec<String> = problems.iter().map(LeftOut::to_string).collect();
        (!notes.is_empty()).then(|| {
            view! {
                <p class="help">"Left out:"</p>
                <NoteList notes testid="evaluate-left-out" />
            }
        })
    };
    // Another model was loaded since.
    let again = Memo::new(move |_| {
        let stale = session.with(|s| s.results.is_some() && !s.held && s.task.is_none());
        let model = app.classify.session.with(|s| {
            let model = s.worker.model.as_ref();
            model.map(|model| model.name.clone())
        });
        model.filter(|_| stale)
    });
    view! {
        <section class="train-part" aria-labelledby="evaluate-data-title" data-testid="evaluate-data">
            <div class="part-head">
                <h2 id="evaluate-data-title">"Labelled images"</h2>
                <p class="part-note" data-testid="evaluate-name">{move || data.get()}</p>
                <Show when=move || !empty.get()>
                    <div class="tools">
                        <button
                            type="button"
                            class="quiet"
                            data-testid="evaluate-close"
                            on:click=move |_| evaluation.close()
                        >
                            "Close"
                        </button>
                    </div>
                </Show>
            </div>
            <Choose app empty />
            <Templates evaluation />
            <Working evaluation of=|task| task == EvaluationTask::Evaluate />
            {left_out}
            {move || {
                again
                    .get()
                    .map(|model| {
                        view! {
                            <p class="again">
                                <button
                                    type="button"
                                    class="button"
                                    data-testid="evaluate-again"
                                    on:click=move |_| evaluation.run(EvaluationSession::evaluate)
                                >
                                    {format!("Evaluate {model}")}
                                </button>
                                <span class="help">
                                    "The figures below are from before the model was loaded. If it is another one, the two are compared."
                                </span>
                            </p>
                        }
                    })
            }}
        </section>
    }
}

/// Ways to bring images.
#[component]
fn Choose(app: App, empty: Memo<bool>) -> impl IntoView {
    let evaluation = app.evaluation;
    view! {
        <div class="bring" class:first=move || empty.get()>
            <Show when=move || empty.get()>
                <h3>
                    <span class="if-mouse">"Drop a folder with one subfolder per class"</span>
                    <span class="if-touch">"Choose images with labels"</span>
                </h3>
                <p class="help">
                    "or images with a table of labels (CSV, TSV, JSONL), a zip of either, or CLIP_benchmark’s shards. See how often the model is right, where it errs, and what it cannot do. Nothing leaves this device."
                </p>
            </Show>
            <p class="ways">
                <ChooseFiles side="evaluate" take=move |found| evaluation.open(found) />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="evaluate-training"
                    on:click=move |_| evaluation.open_training_images()
                >
                    "Use the Train tab’s images"
                </button>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="evaluate-samples"
                    on:click=move |_| evaluation.open_samples()
                >
                    "Try sample images"
                </button>
            </p>
        </div>
    }
}

/// Templates to evaluate with.
#[component]
fn Templates(evaluation: EvaluationController) -> impl IntoView {
    let session = evaluation.session;
    let choice = Memo::new(move |_| session.with(|s| s.templates.clone()));
    let own = Memo::new(move |_| {
        session.with(|s| (s.results.as_ref()).is_some_and(|found| !found.own_templates.is_empty()))
    });
    let written = Memo::new(move |_| choice.with(|choice| *choice == TemplateChoice::Written));
    let problem = Memo::new(move |_| session.with(EvaluationSession::problem));
    let option = move |this: TemplateChoice, text: String| {
        let value = this.value();
        view! {
            <option value=value prop:selected=move || choice.with(|choice| *choice == this)>
                {text}
            </option>
        }
    };
    let chosen = move |value: String| {
        evaluation.run(|s| {
            s.templates = TemplateChoice::of_value(&value);
            s.use_templates()
        });
    };
    let sets = session.with_untracked(EvaluationSession::set_names);
    view! {
        <div class="setting">
            <label for="evaluate-templates">"Prompt templates"</label>
            <select
                id="evaluate-templates"
                data-testid="evaluate-templates"
                on:change=move |event| chosen(event_target_value(&event))
            >
                {option(TemplateChoice::Default, DEFAULT_TEMPLATE.into())}
                {option(TemplateChoice::LabelOnly, "The label alone".into())}
                {move || own.get().then(|| option(TemplateChoice::Own, "The data set’s own".into()))}
                {option(TemplateChoice::Written, "Your own".into())}
                {sets
                    .into_iter()
                    .map(|(name, count)| {
                        let text = match count {
                            1 => format!("{name} (1 template)"),
                            count => format!("{name} ({count} templates)"),
                        };
                        option(TemplateChoice::Set(name), text)
                    })
                    .collect_view()}
            </select>
            <Show when=move || written.get()>
                <label class="sr-only" for="evaluate-written">
                    "Your own templates, one a line"
                </label>
                <textarea
                    id="evaluate-written"
                    data-testid="evaluate-written"
                    rows="3"
                    placeholder="A sketch of a {label}."
                    aria-describedby="evaluate-written-problem"
                    prop:value=move || session.with_untracked(|s| s.written.clone())
                    on:change=move |event| {
                        let text = event_target_value(&event);
                        evaluation
                            .run(|s| {
                                s.written = text;
                                s.use_templates()
                            });
                    }
                ></textarea>
                <p id="evaluate-written-problem" class="help problem">{move || problem.get()}</p>
            </Show>
        </div>
    }
}
