//! The choice of labelled images, and of the templates to evaluate with.

use leptos::{ev::SubmitEvent, prelude::*};

use super::progress::Working;
use crate::app::controller::App;
use crate::app::controller::evaluation::EvaluationController;
use crate::app::domain::evaluation::{
    DataSource, EvaluationSession, EvaluationTask, NameChoice, TemplateChoice,
};
use crate::app::i18n::{self, t};
use crate::app::view::widgets::{ChooseFiles, FileInput, NoteList};
use crate::data::LeftOut;
use crate::diagnostic::{Diagnostic, ToDiagnostic};
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
        let notes: Vec<String> = (problems.iter())
            .map(|reason| i18n::said(&reason.to_diagnostic()))
            .collect();
        (!notes.is_empty()).then(|| {
            view! {
                <p class="help">{t!("left-out")}</p>
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
                <h2 id="evaluate-data-title">{t!("labelled-images")}</h2>
                <p class="part-note" data-testid="evaluate-name">{move || data.get()}</p>
                <Show when=move || !empty.get()>
                    <div class="tools">
                        <button
                            type="button"
                            class="quiet"
                            data-testid="evaluate-close"
                            on:click=move |_| evaluation.close()
                        >
                            {t!("close")}
                        </button>
                    </div>
                </Show>
            </div>
            <Kept evaluation />
            <Choose app empty />
            <Templates evaluation />
            <ClassNames evaluation />
            <Working evaluation of=|task| task == EvaluationTask::Evaluate />
            {left_out}
            <Visits evaluation />
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
                                    {t!("evaluate-model", model = model)}
                                </button>
                                <span class="help">
                                    {t!("evaluate-again-help")}
                                </span>
                            </p>
                        }
                    })
            }}
        </section>
    }
}

/// The evaluation of an earlier visit.
#[component]
fn Kept(evaluation: EvaluationController) -> impl IntoView {
    let session = evaluation.session;
    let kept = Memo::new(move |_| {
        session.with(|s| {
            let free = s.data.is_none() && s.task.is_none();
            let kept = s.kept.as_ref().filter(|_| free)?;
            let report = kept.results.as_ref().map(|found| &found.report);
            let images = report.map(|report| (report.evaluation.images, report.model.clone()));
            Some((kept.name.clone(), kept.source == DataSource::Disk, images))
        })
    });
    let text = move |name: &str, on_disk: bool, images: Option<(usize, String)>| match images {
        Some((images, model)) => t!(
            "evaluated-with",
            images = t!("images", count = images),
            model = model
        ),
        None if on_disk => t!("interrupted-choose", name = name),
        None => t!("interrupted-evaluation").into(),
    };
    move || {
        let (name, on_disk, images) = kept.get()?;
        let goes_on = images.is_some() || !on_disk;
        let text = text(&name, on_disk, images);
        Some(view! {
            <div class="kept-evaluation" data-testid="evaluate-kept">
                <p>
                    <strong>{name}</strong>
                    " "
                    <span class="help">{text}</span>
                </p>
                <p class="ways">
                    {goes_on
                        .then(|| {
                            view! {
                                <button
                                    type="button"
                                    class="button small"
                                    data-testid="evaluate-continue"
                                    on:click=move |_| evaluation.run(EvaluationSession::restore)
                                >
                                    {t!("continue")}
                                </button>
                            }
                        })}
                    <button
                        type="button"
                        class="quiet"
                        data-testid="evaluate-forget"
                        on:click=move |_| evaluation.run(EvaluationSession::forget)
                    >
                        {t!("forget")}
                    </button>
                </p>
            </div>
        })
    }
}

/// What a reload took away, and what it will.
#[component]
fn Visits(evaluation: EvaluationController) -> impl IntoView {
    let session = evaluation.session;
    let gone = Memo::new(move |_| {
        session.with(|s| {
            let name = s.data.clone().filter(|_| s.restored && s.held)?;
            Some(match s.source {
                DataSource::Disk => t!("earlier-choose", name = name),
                _ => t!("earlier-open").into(),
            })
        })
    });
    let not_kept = Memo::new(move |_| session.with(|s| s.not_kept.clone()));
    view! {
        {move || gone.get().map(|text| view! { <p class="help" data-testid="evaluate-restored">{text}</p> })}
        {move || {
            not_kept
                .get()
                .map(|why| {
                    view! {
                        <p class="help" role="status" data-testid="evaluate-not-kept">
                            {t!("evaluation-not-kept", why = why)}
                        </p>
                    }
                })
        }}
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
                    <span class="if-mouse">{t!("drop-class-folders")}</span>
                    <span class="if-touch">{t!("choose-labelled")}</span>
                </h3>
                <p class="help">
                    {t!("evaluate-help")}
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
                    {t!("use-training-images")}
                </button>
                <button
                    type="button"
                    class="button secondary"
                    data-testid="evaluate-samples"
                    on:click=move |_| evaluation.open_samples()
                >
                    {t!("try-sample-images")}
                </button>
            </p>
            <Address evaluation />
        </div>
    }
}

/// Shards at an address.
#[component]
fn Address(evaluation: EvaluationController) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let problem = RwSignal::new(None::<Diagnostic>);
    let open = move |event: SubmitEvent| {
        event.prevent_default();
        problem.set(
            text.with_untracked(|text| evaluation.open_address(text))
                .err(),
        );
    };
    view! {
        <details class="address">
            <summary data-testid="evaluate-address-open">{t!("open-address")}</summary>
            <form class="ways" on:submit=open>
                <label class="sr-only" for="evaluate-address">
                    {t!("data-set-address")}
                </label>
                <input
                    id="evaluate-address"
                    data-testid="evaluate-address"
                    type="text"
                    inputmode="url"
                    autocomplete="off"
                    spellcheck="false"
                    placeholder="hf://datasets/clip-benchmark/wds_cifar10"
                    aria-describedby="evaluate-address-help"
                    prop:value=move || text.get()
                    on:input=move |event| text.set(event_target_value(&event))
                />
                <button type="submit" class="button secondary" data-testid="evaluate-download">
                    {t!("download")}
                </button>
            </form>
            <p id="evaluate-address-help" class="help" class:problem=move || problem.with(Option::is_some)>
                {move || {
                    problem
                        .with(|problem| problem.as_ref().map(i18n::error))
                        .unwrap_or_else(|| t!("address-help").into())
                }}
            </p>
        </details>
    }
}

/// Names for classes that are numbers.
#[component]
fn ClassNames(evaluation: EvaluationController) -> impl IntoView {
    let session = evaluation.session;
    let choice = Memo::new(move |_| session.with(|s| s.names.clone()));
    let written = Memo::new(move |_| choice.with(|choice| *choice == NameChoice::Written));
    let text = Memo::new(move |_| session.with(|s| s.written_names.clone()));
    let problem = Memo::new(move |_| session.with(EvaluationSession::names_problem));
    let option = move |this: NameChoice, text: String| {
        let value = this.value();
        view! {
            <option value=value prop:selected=move || choice.with(|choice| *choice == this)>
                {text}
            </option>
        }
    };
    let sets = session.with_untracked(EvaluationSession::names_sets);
    view! {
        <div class="setting">
            <label for="evaluate-names">{t!("class-names")}</label>
            <select
                id="evaluate-names"
                data-testid="evaluate-names"
                aria-describedby="evaluate-names-help"
                on:change=move |event| {
                    let value = event_target_value(&event);
                    evaluation
                        .run(|s| {
                            s.names = NameChoice::of_value(&value);
                            s.use_choices()
                        });
                }
            >
                {option(NameChoice::Own, t!("own-names").into())}
                {option(NameChoice::Written, t!("written-names").into())}
                {sets
                    .into_iter()
                    .map(|(name, count)| {
                        let text = t!("names-of-set", name = name, count = count);
                        option(NameChoice::Set(name), text)
                    })
                    .collect_view()}
            </select>
            <Show when=move || written.get()>
                <label class="sr-only" for="evaluate-written-names">
                    {t!("your-names")}
                </label>
                <textarea
                    id="evaluate-written-names"
                    data-testid="evaluate-written-names"
                    rows="3"
                    placeholder=t!("names-example")
                    aria-describedby="evaluate-names-help"
                    prop:value=move || text.get()
                    on:change=move |event| {
                        let text = event_target_value(&event);
                        evaluation
                            .run(|s| {
                                s.written_names = text;
                                s.use_choices()
                            });
                    }
                ></textarea>
                <p class="ways import">
                    <label class="button secondary small" for="evaluate-names-file">
                        {t!("names-file")}
                    </label>
                    <FileInput
                        id="evaluate-names-file"
                        take=move |found| {
                            if let Some((_, Some(file))) = found.into_iter().next() {
                                evaluation.read_names(file);
                            }
                        }
                    />
                </p>
            </Show>
            <p id="evaluate-names-help" class="help" class:problem=move || problem.with(Option::is_some)>
                {move || problem.get()}
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
            s.use_choices()
        });
    };
    let sets = session.with_untracked(EvaluationSession::set_names);
    view! {
        <div class="setting">
            <label for="evaluate-templates">{t!("prompt-templates")}</label>
            <select
                id="evaluate-templates"
                data-testid="evaluate-templates"
                on:change=move |event| chosen(event_target_value(&event))
            >
                {option(TemplateChoice::Default, DEFAULT_TEMPLATE.into())}
                {option(TemplateChoice::LabelOnly, t!("label-alone").into())}
                {move || own.get().then(|| option(TemplateChoice::Own, t!("own-templates").into()))}
                {option(TemplateChoice::Written, t!("written-templates").into())}
                {sets
                    .into_iter()
                    .map(|(name, count)| {
                        let text = t!("templates-of-set", name = name, count = count);
                        option(TemplateChoice::Set(name), text)
                    })
                    .collect_view()}
            </select>
            <Show when=move || written.get()>
                <label class="sr-only" for="evaluate-written">
                    {t!("your-templates")}
                </label>
                <textarea
                    id="evaluate-written"
                    data-testid="evaluate-written"
                    rows="3"
                    placeholder=t!("template-example")
                    aria-describedby="evaluate-written-problem"
                    prop:value=move || session.with(|s| s.written.clone())
                    on:change=move |event| {
                        let text = event_target_value(&event);
                        evaluation
                            .run(|s| {
                                s.written = text;
                                s.use_choices()
                            });
                    }
                ></textarea>
                <p id="evaluate-written-problem" class="help problem">{move || problem.get()}</p>
            </Show>
        </div>
    }
}
