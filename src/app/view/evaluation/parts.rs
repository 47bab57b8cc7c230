//! Parts that are worked out on demand: prompts, learning from few images, limits.

use leptos::prelude::*;

use super::progress::Working;
use super::section::{Sections, html};
use crate::app::controller::evaluation::EvaluationController;
use crate::app::domain::evaluation::{EvaluationSession, EvaluationTask, SHOTS, parse_shots};
use crate::app::i18n::{self, t};
use crate::eval::Limit;

/// Draws of each number of images.
const DRAWS: u32 = 5;
const MAX_DRAWS: u32 = 20;

/// Sets of templates compared.
#[component]
pub fn Prompts(evaluation: EvaluationController, sections: Sections) -> impl IntoView {
    let ready = Memo::new(move |_| evaluation.session.with(EvaluationSession::can_start));
    let html = html(sections, "prompts");
    view! {
        <section
            class="train-part"
            aria-labelledby="evaluate-prompts"
            data-testid="evaluate-prompts"
        >
            <h2 id="evaluate-prompts">{t!("prompts")}</h2>
            <p class="help">
                {t!("prompts-help")}
            </p>
            <p class="ways">
                <button
                    type="button"
                    class="button secondary"
                    data-testid="prompts-start"
                    disabled=move || !ready.get()
                    on:click=move |_| evaluation.run(EvaluationSession::compare_prompts)
                >
                    {t!("compare-prompts")}
                </button>
            </p>
            <Working evaluation of=|task| task == EvaluationTask::Prompts />
            <div class="report" inner_html=move || html.get()></div>
        </section>
    }
}

/// Zero-shot against learning from few images.
#[component]
pub fn FewImages(evaluation: EvaluationController, sections: Sections) -> impl IntoView {
    let ready = Memo::new(move |_| evaluation.session.with(EvaluationSession::can_start));
    let html = html(sections, "shots");
    let shots = RwSignal::new(SHOTS.to_owned());
    let draws = RwSignal::new(DRAWS);
    let problem = Memo::new(move |_| shots.with(|text| parse_shots(text).err()));
    let start = move |_| {
        if let Ok(numbers) = shots.with_untracked(|text| parse_shots(text)) {
            evaluation.run(|s| s.learn(numbers, draws.get_untracked()));
        }
    };
    view! {
        <section class="train-part" aria-labelledby="evaluate-shots" data-testid="evaluate-shots">
            <h2 id="evaluate-shots">{t!("few-shot")}</h2>
            <p class="help">
                {t!("few-shot-help")}
            </p>
            <div class="settings">
                <div class="setting">
                    <label for="shots-numbers">{t!("images-per-class")}</label>
                    <input
                        id="shots-numbers"
                        data-testid="shots-numbers"
                        type="text"
                        autocomplete="off"
                        aria-describedby="shots-problem"
                        prop:value=move || shots.get()
                        on:input=move |event| shots.set(event_target_value(&event))
                    />
                    <p id="shots-problem" class="help problem">{move || problem.get()}</p>
                </div>
                <div class="setting">
                    <label for="shots-draws">{t!("random-draws")}</label>
                    <input
                        id="shots-draws"
                        data-testid="shots-draws"
                        type="number"
                        min="1"
                        max=MAX_DRAWS.to_string()
                        prop:value=move || draws.get().to_string()
                        on:change=move |event| {
                            let number: u32 = event_target_value(&event).parse().unwrap_or(DRAWS);
                            draws.set(number.clamp(1, MAX_DRAWS));
                        }
                    />
                </div>
            </div>
            <p class="ways">
                <button
                    type="button"
                    class="button secondary"
                    data-testid="shots-start"
                    disabled=move || !ready.get() || problem.with(Option::is_some)
                    on:click=start
                >
                    {t!("learn-from-few")}
                </button>
            </p>
            <Working evaluation of=|task| task == EvaluationTask::Shots />
            <div class="report" inner_html=move || html.get()></div>
        </section>
    }
}

/// Known limits, tried.
#[component]
pub fn Limits(evaluation: EvaluationController, sections: Sections) -> impl IntoView {
    let ready = Memo::new(move |_| evaluation.session.with(EvaluationSession::can_start));
    let html = html(sections, "limits");
    view! {
        <section class="train-part" aria-labelledby="evaluate-limits" data-testid="evaluate-limits">
            <h2 id="evaluate-limits">{t!("limits")}</h2>
            <p class="help">
                {t!("limits-help")}
            </p>
            <p class="ways">
                {Limit::ALL
                    .map(|limit| {
                        view! {
                            <button
                                type="button"
                                class="button secondary"
                                data-testid="limit"
                                data-limit=limit.name()
                                disabled=move || !ready.get()
                                on:click=move |_| evaluation.run(|s| s.try_limit(limit))
                            >
                                {i18n::foreign(limit.name())}
                            </button>
                        }
                    })
                    .collect_view()}
            </p>
            <Working evaluation of=|task| matches!(task, EvaluationTask::Limit(_)) />
            <div class="report" inner_html=move || html.get()></div>
        </section>
    }
}
