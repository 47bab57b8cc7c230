//! Accuracy at a glance, the confusion matrix with its images, the worst mistakes.

use leptos::{ev::MouseEvent, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::Element;

use super::section::{ReportPart, Sections};
use crate::app::controller::evaluation::EvaluationController;
use crate::app::domain::evaluation::EvaluationSession;
use crate::app::i18n::{self, t};

/// Figures at a glance, and the report to take away.
#[component]
pub fn Overview(evaluation: EvaluationController, revision: Memo<u32>) -> impl IntoView {
    let session = evaluation.session;
    let of_report = move |get: fn(&crate::eval::Report) -> String| {
        Memo::new(move |_| {
            revision.get();
            session.with_untracked(|s| s.results.as_ref().map(|r| get(&r.report)))
        })
    };
    let title = of_report(|report| t!("model-on-data", model = report.model, data = report.data));
    let summary = of_report(crate::eval::Report::summary);
    view! {
        <section
            class="train-part"
            aria-labelledby="evaluate-overview-title"
            data-testid="evaluate-overview"
        >
            <div class="part-head">
                <h2 id="evaluate-overview-title" data-testid="evaluate-title">
                    {move || title.get()}
                </h2>
                <div class="tools">
                    <button
                        type="button"
                        class="quiet"
                        data-testid="evaluate-html"
                        on:click=move |_| evaluation.save_html()
                    >
                        {t!("download-report")}
                    </button>
                    <button
                        type="button"
                        class="quiet"
                        data-testid="evaluate-json"
                        on:click=move |_| evaluation.save_json()
                    >
                        {t!("download-json")}
                    </button>
                </div>
            </div>
            <div class="report" inner_html=move || summary.get().map(|html| i18n::foreign_html(&html)).unwrap_or_default()></div>
            <p class="help">
                {t!("compare-models-help")}
            </p>
        </section>
    }
}

/// Cell of the confusion matrix that was clicked: true class and answer.
fn clicked_cell(event: &MouseEvent) -> Option<(usize, usize)> {
    let target: Element = event.target()?.dyn_into().ok()?;
    let cell = target.closest("[data-cell]").ok()??;
    let cell = cell.get_attribute("data-cell")?;
    let (truth, answer) = cell.split_once(',')?;
    Some((truth.parse().ok()?, answer.parse().ok()?))
}

/// The confusion matrix, and the images of one of its cells.
#[component]
pub fn WhatIsTaken(
    evaluation: EvaluationController,
    sections: Sections,
    revision: Memo<u32>,
) -> impl IntoView {
    let on_click = move |event: MouseEvent| {
        if let Some((truth, answer)) = clicked_cell(&event) {
            evaluation.run(|s| s.show_cell(truth, answer));
        }
    };
    view! {
        <div class="cells" on:click=on_click>
            <ReportPart sections id="confusion">
                <Cell evaluation revision />
            </ReportPart>
        </div>
    }
}

/// Images of a cell, which can also be chosen by its classes.
#[component]
fn Cell(evaluation: EvaluationController, revision: Memo<u32>) -> impl IntoView {
    let session = evaluation.session;
    let names = Memo::new(move |_| {
        revision.get();
        session.with_untracked(|s| {
            let classes = s.results.as_ref().map(|r| &r.report.evaluation.classes);
            let names = classes
                .into_iter()
                .flatten()
                .map(|class| class.name.clone());
            names.collect::<Vec<String>>()
        })
    });
    let cell = Memo::new(move |_| session.with(|s| s.cell));
    let paths = Memo::new(move |_| {
        revision.get();
        cell.get();
        session.with_untracked(EvaluationSession::cell_paths)
    });
    let shown = Memo::new(move |_| session.with(|s| s.shown));
    let known = Memo::new(move |_| session.with(|s| s.pictures.len()));
    let name =
        move |class: usize| names.with(|names| names.get(class).cloned().unwrap_or_default());
    let title = move || {
        let (truth, answer) = cell.get()?;
        let images = t!("images", count = paths.with(Vec::len));
        Some(if truth == answer {
            t!("named-right", class = name(truth), images = images)
        } else {
            t!(
                "named-as",
                truth = name(truth),
                answer = name(answer),
                images = images
            )
        })
    };
    let choose = move |truth: Option<usize>, answer: Option<usize>| {
        let (before_truth, before_answer) = cell.get_untracked().unwrap_or_default();
        evaluation.run(|s| {
            s.show_cell(
                truth.unwrap_or(before_truth),
                answer.unwrap_or(before_answer),
            )
        });
    };
    let options = move |this: fn((usize, usize)) -> usize| {
        move || {
            (names.get().into_iter().enumerate())
                .map(|(class, name)| {
                    view! {
                        <option
                            value=class.to_string()
                            prop:selected=move || cell.get().is_some_and(|cell| this(cell) == class)
                        >
                            {name}
                        </option>
                    }
                })
                .collect_view()
        }
    };
    let pictures = move || {
        known.get();
        let (paths, shown) = (paths.get(), shown.get());
        session.with_untracked(|s| {
            (paths.into_iter().take(shown))
                .map(|path| {
                    let address = s.pictures.get(&path).cloned();
                    let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
                    view! {
                        <li data-testid="cell-picture" title=path>
                            {address.map(|address| view! { <img src=address alt=file.clone() /> })}
                            <span>{file}</span>
                        </li>
                    }
                })
                .collect_view()
        })
    };
    view! {
        <div class="cell-choice">
            <p class="help">{t!("click-a-cell")}</p>
            <label>
                {t!("true-class")}
                <select
                    data-testid="cell-truth"
                    on:change=move |event| choose(event_target_value(&event).parse().ok(), None)
                >
                    {options(|(truth, _)| truth)}
                </select>
            </label>
            <label>
                {t!("named")}
                <select
                    data-testid="cell-answer"
                    on:change=move |event| choose(None, event_target_value(&event).parse().ok())
                >
                    {options(|(_, answer)| answer)}
                </select>
            </label>
        </div>
        <div aria-live="polite" data-testid="cell-title">
            {move || title().map(|title| view! { <h3>{title}</h3> })}
        </div>
        <ul class="cell-images">{pictures}</ul>
        <Show when=move || { paths.with(Vec::len) > shown.get() }>
            <button
                type="button"
                class="quiet"
                data-testid="cell-more"
                on:click=move |_| evaluation.run(EvaluationSession::show_more)
            >
                {t!("show-more")}
            </button>
        </Show>
    }
}

/// The worst mistakes with their images.
#[component]
pub fn Mistakes(sections: Sections) -> impl IntoView {
    view! { <ReportPart sections id="mistakes" /> }
}
