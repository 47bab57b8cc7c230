//! Result of a training run: held-out accuracy before and after, class by
//! class, the confusion matrix and the most confident mistakes; use and export.

use std::collections::HashMap;

use leptos::prelude::*;

use crate::app::controller::current_tab::CurrentTab;
use crate::app::controller::training::TrainingController;
use crate::app::domain::format;
use crate::app::domain::tab::Tab;
use crate::app::domain::training::recommendation;
use crate::app::domain::training::session::Share;
use crate::app::i18n::{self, t};
use crate::app::view::page_download::PageDownload;
use crate::app::view::widgets::{LineChart, NoteList, StepTitle, figures, percent};
use crate::engine::messages::{Export, HeldOutAnswer, Outcome, SampleId, Trained};
use crate::eval::Evaluation;
use crate::train::Method;

/// Mistakes that are shown at first.
const WORST: usize = 12;

/// Before and after of one class.
#[derive(Clone, Debug, PartialEq)]
struct ClassRow {
    name: String,
    images: usize,
    before: Option<f64>,
    after: f64,
}

/// The classes that something was held out of, those that gained least first.
fn class_rows(before: Option<&Evaluation>, after: &Evaluation) -> Vec<ClassRow> {
    let share = |right: usize, images: usize| right as f64 / images.max(1) as f64;
    let known: HashMap<&str, f64> = (before.into_iter())
        .flat_map(|evaluation| &evaluation.classes)
        .map(|class| (class.name.as_str(), share(class.right, class.images)))
        .collect();
    (after.classes.iter())
        .filter(|class| class.images > 0)
        .map(|class| ClassRow {
            name: class.name.clone(),
            images: class.images,
            before: known.get(class.name.as_str()).copied(),
            after: share(class.right, class.images),
        })
        .collect()
}

/// How the answers changed, in a sentence.
fn verdict(outcome: &Outcome) -> String {
    let Some(after) = &outcome.report.after else {
        return t!("not-evaluated").into();
    };
    let of = t!("held-out-images", count = after.images);
    match &outcome.report.before {
        Some(before) => t!(
            "accuracy-before-after",
            of = of,
            before = percent(before.top_1),
            after = percent(after.top_1)
        ),
        None => t!("accuracy-after", of = of, after = percent(after.top_1)),
    }
}

/// Wrong answers, the most confident first.
fn mistakes(answers: &[HeldOutAnswer]) -> Vec<HeldOutAnswer> {
    let mut wrong: Vec<HeldOutAnswer> = (answers.iter())
        .filter(|a| a.truth != a.after)
        .copied()
        .collect();
    wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    wrong
}

/// The fourth part of the training side; nothing before there is a result.
#[component]
pub fn OutcomeSection(trainer: TrainingController, tab: CurrentTab) -> impl IntoView {
    let training = trainer.session;
    let outcome = Memo::new(move |_| training.with(|t| t.outcome.clone()));
    let trained = Memo::new(move |_| training.with(|t| t.trained.clone()));
    view! {
        <Show when=move || trained.get().is_some() || outcome.get().is_some()>
            <section class="train-part" aria-labelledby="outcome-title" data-testid="train-outcome">
                <div class="part-head">
                    <StepTitle number=4 id="outcome-title" title=t!("result") />
                </div>
                {move || outcome.get().map(|outcome| view! { <ResultSummary outcome /> })}
                {move || trained.get().map(|trained| view! { <ResultActions trainer tab trained /> })}
                {move || outcome.get().map(|outcome| view! { <ResultDetails trainer outcome /> })}
            </section>
        </Show>
    }
}

/// Actions on the result: classify with it, export it.
#[component]
fn ResultActions(trainer: TrainingController, tab: CurrentTab, trained: Trained) -> impl IntoView {
    let training = trainer.session;
    let in_use = Memo::new(move |_| training.with(|t| t.in_use.is_some()));
    let exporting = Memo::new(move |_| training.with(|t| t.exporting));
    let classes = trained.classes.clone();
    let labels = Signal::derive(move || match classes.is_empty() {
        true => trainer.classify.labels.get(),
        false => classes.clone(),
    });
    let reported = Memo::new(move |_| training.with(|t| t.outcome.is_some()));
    let what = match trained.classes.len() {
        0 => t!(
            "trained-on",
            method = recommendation::title(trained.method),
            model = trained.model
        ),
        classes => t!(
            "trained-for",
            method = recommendation::title(trained.method),
            classes = t!("classes", count = classes),
            model = trained.model
        ),
    };
    // A head on features has no weights of the model, and a new model has none to go back to.
    let mixable = matches!(trained.method, Method::Lora | Method::Full);
    let export = move |what: Export| {
        view! {
            <button
                type="button"
                class="button secondary small"
                data-testid="export"
                data-export=format!("{what:?}")
                disabled=move || exporting.get()
                on:click=move |_| trainer.run(|t| t.export(what))
            >
                {export_text(what)}
            </button>
        }
    };
    view! {
        <div class="way-on">
            <p data-testid="trained">{what}</p>
            <div class="run-tools">
                <Show
                    when=move || !in_use.get()
                    fallback=move || {
                        view! {
                            <button
                                type="button"
                                class="button secondary"
                                data-testid="use-before"
                                on:click=move |_| trainer.run(|t| t.put_to_use(false))
                            >
                                {t!("use-original")}
                            </button>
                        }
                    }
                >
                    <button
                        type="button"
                        class="button"
                        data-testid="use-trained"
                        on:click=move |_| {
                            trainer.run(|t| t.put_to_use(true));
                            tab.show(Tab::Classify);
                        }
                    >
                        {t!("classify-with-trained")}
                    </button>
                </Show>
            </div>
            <div class="run-tools" role="group" aria-label=t!("export")>
                <span class="help">{t!("export-colon")}</span>
                {trained.exports.into_iter().map(export).collect_view()}
                <Show when=move || reported.get()>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="save-report"
                        on:click=move |_| trainer.save_report()
                    >
                        {t!("report-json")}
                    </button>
                </Show>
                <Show when=move || exporting.get()>
                    <span class="help" role="status">{t!("exporting")}</span>
                </Show>
            </div>
            {mixable.then(|| view! { <Mixture trainer /> })}
            <PageDownload
                packager=trainer.packager
                id="trained-page-title"
                labels
                busy=exporting
                download=Callback::new(move |title| trainer.save_page(title))
            />
        </div>
    }
}

/// A slider between the weights before and after training, with the accuracies along it.
#[component]
fn Mixture(trainer: TrainingController) -> impl IntoView {
    let training = trainer.session;
    let share = Memo::new(move |_| training.with(|t| t.share));
    let points = Memo::new(move |_| training.with(|t| t.mixtures()));
    let shown = move || t!("percent", value = share.get().0);
    let row = move |[at, accuracy]: [f64; 2]| {
        view! {
            <tr data-testid="mixture">
                <th scope="row">{t!("percent", value = format!("{at:.0}"))}</th>
                <td>{percent(accuracy)}</td>
            </tr>
        }
    };
    view! {
        <div class="mixture">
            <label for="mixture-share">{t!("share-of-trained")} <strong>{shown}</strong></label>
            <input
                type="range"
                id="mixture-share"
                data-testid="mixture-share"
                min="0"
                max="100"
                step="5"
                prop:value=move || share.get().0.to_string()
                on:change=move |event| {
                    if let Ok(percent) = event_target_value(&event).parse() {
                        trainer.run(|t| t.mix(Share(percent)));
                    }
                }
            />
            <p class="help">
                {t!("wise-ft-help")}
            </p>
            <Show when=move || !points.with(Vec::is_empty)>
                <div class="charts">
                    <LineChart
                        title=t!("accuracy-by-share")
                        about=t!("accuracy-by-share-help")
                        points
                        format=percent
                        range=[0.0, 1.0]
                        axis=t!("share-axis")
                    />
                    <table class="class-table">
                        <thead>
                            <tr>
                                <th scope="col">{t!("share")}</th>
                                <th scope="col">{t!("accuracy")}</th>
                            </tr>
                        </thead>
                        <tbody>{move || points.get().into_iter().map(row).collect_view()}</tbody>
                    </table>
                </div>
            </Show>
        </div>
    }
}

fn export_text(what: Export) -> &'static str {
    match what {
        Export::Head => t!("export-head"),
        Export::Onnx => t!("export-onnx"),
        Export::Lora => t!("export-lora"),
        Export::HuggingFace => t!("export-transformers"),
        Export::OpenClip => t!("export-open-clip"),
    }
}

/// Accuracy before and after.
#[component]
fn ResultSummary(outcome: Outcome) -> impl IntoView {
    let words = verdict(&outcome);
    let report = outcome.report;
    let scores = report.after.clone().map(|after| {
        let before = report.before.clone();
        let gain = before.as_ref().map(|before| after.top_1 - before.top_1);
        view! {
            <div class="scores" aria-hidden="true">
                {before
                    .map(|before| {
                        view! {
                            <div class="score">
                                <span>{t!("before")}</span>
                                <strong data-testid="before">{percent(before.top_1)}</strong>
                            </div>
                            <span class="score-arrow">"→"</span>
                        }
                    })}
                <div class="score now">
                    <span>{t!("after")}</span>
                    <strong data-testid="after">{percent(after.top_1)}</strong>
                </div>
                {gain
                    .map(|gain| {
                        view! {
                            <span class="gain" class:loss={gain < -0.004}>
                                {t!("points", points = format!("{:+.0}", gain * 100.0))}
                            </span>
                        }
                    })}
            </div>
        }
    });
    // Features that were known already took no time.
    let speed = match report.images_per_second {
        speed if speed > 0.0 => t!("speed", speed = figures(speed)),
        _ => String::new(),
    };
    let tested = match report.data.held_out {
        0 => String::new(),
        held_out => t!("tested-on", held_out = held_out),
    };
    let facts = t!(
        "trained-facts",
        images = t!("images", count = report.data.train),
        tested = tested,
        seconds = format::milliseconds(report.seconds * 1e3),
        speed = speed,
        device = i18n::foreign(&report.device)
    );
    view! {
        <p class="verdict" role="status" data-testid="verdict">{words}</p>
        {scores}
        <p class="help">{facts}</p>
    }
}

/// The evaluation in full.
#[component]
fn ResultDetails(trainer: TrainingController, outcome: Outcome) -> impl IntoView {
    let Outcome {
        report, answers, ..
    } = outcome;
    let notes = report.notes.clone();
    let details = report.after.clone().map(|after| {
        let rows = class_rows(report.before.as_ref(), &after);
        let names: Vec<String> = after
            .classes
            .iter()
            .map(|class| class.name.clone())
            .collect();
        let before = report.before.is_some();
        // Of captions there is one for each picture: no table of those.
        let classes = !report.data.classes.is_empty();
        let tables = classes.then(|| {
            view! {
                <div class="findings">
                    <ClassTable rows before />
                    <ConfusionMatrix trainer names=names.clone() answers=answers.clone() />
                </div>
            }
        });
        view! {
            {tables}
            <Mistakes trainer names answers />
        }
    });
    view! {
        {(!notes.is_empty())
            .then(|| view! { <NoteList notes /> })}
        {details}
    }
}

#[component]
fn ClassTable(rows: Vec<ClassRow>, before: bool) -> impl IntoView {
    let row = move |row: ClassRow| {
        let width = format!("{:.1}%", row.after * 100.0);
        view! {
            <tr data-testid="class-result" data-class-name=row.name.clone()>
                <th scope="row">{row.name.clone()}</th>
                <td class="images">{row.images}</td>
                {before.then(|| view! { <td>{row.before.map(percent)}</td> })}
                <td class="class-after">
                    <span>{percent(row.after)}</span>
                    <span class="bar" aria-hidden="true">
                        <span style:width=width></span>
                    </span>
                </td>
            </tr>
        }
    };
    view! {
        <div class="scroll" tabindex="0" role="group" aria-label=t!("accuracy-by-class")>
            <table class="class-table">
                <caption>{t!("accuracy-by-class")}</caption>
                <thead>
                    <tr>
                        <th scope="col">{t!("class")}</th>
                        <th scope="col">{t!("images-column")}</th>
                        {before.then(|| view! { <th scope="col">{t!("before")}</th> })}
                        <th scope="col">{t!("after")}</th>
                    </tr>
                </thead>
                <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

/// The confusion matrix. A cell shows its images.
#[component]
fn ConfusionMatrix(
    trainer: TrainingController,
    names: Vec<String>,
    answers: Vec<HeldOutAnswer>,
) -> impl IntoView {
    let chosen = RwSignal::new(None::<(u32, u32)>);
    let mut cells: HashMap<(u32, u32), usize> = HashMap::new();
    let mut rows: HashMap<u32, usize> = HashMap::new();
    for answer in &answers {
        *cells.entry((answer.truth, answer.after)).or_default() += 1;
        *rows.entry(answer.truth).or_default() += 1;
    }
    // Only what is there or was named: a thousand classes would not fit.
    let shown: Vec<u32> = (0..names.len() as u32)
        .filter(|class| {
            answers
                .iter()
                .any(|a| a.truth == *class || a.after == *class)
        })
        .collect();
    let name = {
        let names = names.clone();
        move |class: u32| names.get(class as usize).cloned().unwrap_or_default()
    };
    let cell = |truth: u32, answer: u32| {
        let count = cells.get(&(truth, answer)).copied().unwrap_or(0);
        if count == 0 {
            return view! { <td class="none">"·"</td> }.into_any();
        }
        let share = count as f64 / rows.get(&truth).copied().unwrap_or(1) as f64;
        let label = t!(
            "confusion-cell",
            images = t!("images", count = count),
            truth = name(truth),
            answer = name(answer)
        );
        view! {
            <td class:right={truth == answer} style=format!("--share: {share:.3}")>
                <button
                    type="button"
                    data-testid="confusion-cell"
                    data-truth=name(truth)
                    data-answer=name(answer)
                    aria-label=label.clone()
                    title=label
                    aria-pressed=move || (chosen.get() == Some((truth, answer))).to_string()
                    on:click=move |_| {
                        chosen
                            .update(|chosen| {
                                let this = Some((truth, answer));
                                *chosen = if *chosen == this { None } else { this };
                            });
                    }
                >
                    {count}
                </button>
            </td>
        }
        .into_any()
    };
    let head = shown.iter().map(|class| {
        let text = name(*class);
        view! { <th scope="col" title=text.clone()><span>{text.clone()}</span></th> }
    });
    let body = shown.iter().map(|truth| {
        let text = name(*truth);
        view! {
            <tr>
                <th scope="row" title=text.clone()>{text.clone()}</th>
                {shown.iter().map(|answer| cell(*truth, *answer)).collect_view()}
            </tr>
        }
    });
    let table = view! {
        <table class="matrix" data-testid="confusion">
            <caption>{t!("confusion-matrix")}</caption>
            <thead>
                <tr>
                    <th class="corner">{t!("actual-predicted")}</th>
                    {head.collect_view()}
                </tr>
            </thead>
            <tbody>{body.collect_view()}</tbody>
        </table>
    };
    let pictures = move || {
        chosen.get().map(|(truth, answer)| {
            let these: Vec<HeldOutAnswer> = (answers.iter())
                .filter(|a| a.truth == truth && a.after == answer)
                .copied()
                .collect();
            let title = match truth == answer {
                true => t!("correct", name = name(truth)),
                false => t!("predicted-as", truth = name(truth), answer = name(answer)),
            };
            view! {
                <div class="cell-pictures" data-testid="cell-pictures">
                    <h3>{title}</h3>
                    <Gallery trainer names=names.clone() answers=these />
                </div>
            }
        })
    };
    view! {
        <div class="matrix-part">
            <div class="scroll" tabindex="0" role="group" aria-label=t!("confusion-matrix")>
                {table}
            </div>
            <p class="help">{t!("click-a-number")}</p>
            <div aria-live="polite">{pictures}</div>
        </div>
    }
}

/// Wrong answers of which the model was surest.
#[component]
fn Mistakes(
    trainer: TrainingController,
    names: Vec<String>,
    answers: Vec<HeldOutAnswer>,
) -> impl IntoView {
    let wrong = mistakes(&answers);
    let total = wrong.len();
    let all = RwSignal::new(false);
    (total > 0).then(move || {
        view! {
            <div class="mistakes" data-testid="mistakes">
                <h3>
                    {t!("worst-mistakes")} <span class="count">{total}</span>
                </h3>
                {move || {
                    let most = if all.get() { total } else { WORST };
                    let these = wrong.iter().take(most).copied().collect();
                    view! { <Gallery trainer names=names.clone() answers=these /> }
                }}
                <Show when=move || { total > WORST && !all.get() }>
                    <button type="button" class="quiet fold" on:click=move |_| all.set(true)>
                        {t!("show-all")}
                    </button>
                </Show>
            </div>
        }
    })
}

/// Pictures with what they are and what they are called.
#[component]
fn Gallery(
    trainer: TrainingController,
    names: Vec<String>,
    answers: Vec<HeldOutAnswer>,
) -> impl IntoView {
    let files: HashMap<SampleId, (String, String)> = trainer.session.with_untracked(|t| {
        (t.project.samples.iter())
            .map(|sample| (sample.id, (sample.thumbnail.clone(), sample.name.clone())))
            .collect()
    });
    let name = |class: u32| names.get(class as usize).cloned().unwrap_or_default();
    let picture = |answer: HeldOutAnswer| {
        let (thumbnail, file) = files.get(&answer.sample).cloned().unwrap_or_default();
        let (truth, called) = (name(answer.truth), name(answer.after));
        let wrong = answer.truth != answer.after;
        let title = file.clone();
        view! {
            <li class="judged" title=title>
                <span class="thumb">
                    <img src=thumbnail alt=file loading="lazy" decoding="async" />
                </span>
                <span class="judged-called" class:wrong=wrong>
                    {called}
                    " "
                    <span class="judged-sure">{format::percent(answer.probability)}</span>
                </span>
                {wrong.then(|| view! { <span class="judged-truth">{t!("actual", truth = truth)}</span> })}
            </li>
        }
    };
    view! { <ul class="gallery">{answers.into_iter().map(picture).collect_view()}</ul> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ClassResult;

    fn answer(truth: u32, after: u32, probability: f32) -> HeldOutAnswer {
        HeldOutAnswer {
            sample: 1,
            truth,
            before: 0,
            after,
            probability,
        }
    }

    #[test]
    fn the_surest_mistakes_come_first() {
        let wrong = mistakes(&[answer(0, 1, 0.5), answer(1, 1, 1.0), answer(1, 0, 0.9)]);
        let sure: Vec<f32> = wrong.iter().map(|a| a.probability).collect();
        assert_eq!(sure, [0.9, 0.5]);
    }

    #[test]
    fn classes_are_compared_by_name() {
        let evaluation = |classes: &[(&str, usize, usize)]| Evaluation {
            classes: (classes.iter())
                .map(|(name, images, right)| ClassResult {
                    name: name.to_string(),
                    images: *images,
                    right: *right,
                })
                .collect(),
            ..Evaluation::default()
        };
        let before = evaluation(&[("dog", 4, 1), ("cat", 2, 2)]);
        let after = evaluation(&[("cat", 2, 1), ("dog", 4, 4), ("fox", 0, 0)]);
        let rows = class_rows(Some(&before), &after);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].before, rows[0].after), (Some(1.0), 0.5));
        assert_eq!((rows[1].before, rows[1].after), (Some(0.25), 1.0));
    }
}
