//! The short tour of a first visit: a strip above the work, which it pushes down and never covers.
//! What a step is about is marked by the style (`data-tour`).

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::app::controller::App;
use crate::app::domain::tab::Tab;
use crate::app::domain::tour::TourStep;
use crate::app::i18n::t;

/// The step that is shown: on the first tab only, which the first steps are about.
pub fn shown_step(app: App) -> Memo<Option<TourStep>> {
    Memo::new(move |_| (app.tour.step.get()).filter(|_| app.tab.get() == Tab::Classify))
}

/// The strip with the step's words.
#[component]
pub fn TourStrip(app: App, shown: Memo<Option<TourStep>>) -> impl IntoView {
    let tour = app.tour;
    let last = move || shown.get().is_some_and(|step| step.next().is_none());
    // The button that has the focus goes away: back to where the page begins.
    let focus_tab = move || {
        let id = format!("tab-{}", app.tab.get_untracked().name());
        let button = document().get_element_by_id(&id);
        if let Some(button) = button.and_then(|button| button.dyn_into::<HtmlElement>().ok()) {
            let _ = button.focus();
        }
    };
    view! {
        <Show when=move || shown.get().is_some()>
            <section class="tour" aria-label=t!("tour") data-testid="tour">
                <p aria-live="polite">
                    {move || {
                        shown
                            .get()
                            .map(|step| {
                                let place = t!("tour-step", step = step.number(), of = TourStep::ALL.len());
                                view! {
                                    <span class="tour-place">{place}</span>
                                    " "
                                    {step.text()}
                                }
                            })
                    }}
                </p>
                <div class="tour-tools">
                    <Show when=move || !last()>
                        <button
                            type="button"
                            class="quiet"
                            data-testid="tour-skip"
                            on:click=move |_| {
                                focus_tab();
                                tour.end();
                            }
                        >
                            {t!("tour-skip")}
                        </button>
                    </Show>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="tour-next"
                        on:click=move |_| {
                            if last() {
                                focus_tab();
                            }
                            tour.advance();
                        }
                    >
                        {move || if last() { t!("tour-done") } else { t!("tour-next") }}
                    </button>
                </div>
            </section>
        </Show>
    }
}
