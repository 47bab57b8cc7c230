//! The pictures with their answers.

use leptos::prelude::*;

use super::picture_grid::PictureGrid;
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::current_tab::CurrentTab;
use crate::app::domain::format;
use crate::app::domain::rejection::{FitKind, RejectionSettings};
use crate::app::domain::session::Session;
use crate::app::i18n::t;

/// What a screen reader is told when answers have come in.
fn announcement(session: &Session) -> String {
    let answered = session.pictures.answered();
    if session.busy() || answered == 0 {
        return String::new();
    }
    let tops = session
        .pictures
        .iter()
        .filter_map(|picture| {
            let top = session.pictures.answer_of(picture)?.iter().next()?;
            if session.fit(picture).is_some_and(|(rejected, _)| rejected) {
                return Some(t!("none-fits-said", name = picture.name));
            }
            Some(t!(
                "answer-said",
                name = picture.name,
                label = top.label,
                percent = format::percent(top.probability)
            ))
        })
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    t!(
        "classified",
        images = t!("images", count = answered),
        answers = tops
    )
}

/// All pictures, with the tools that act on all of them.
#[component]
pub fn Answers(classify: ClassifyController, tab: CurrentTab) -> impl IntoView {
    let session = classify.session;
    let total = Memo::new(move |_| session.with(|s| s.pictures.len()));
    let any_answer = Memo::new(move |_| session.with(|s| s.pictures.answered() > 0));
    let said = Memo::new(move |_| session.with(announcement));
    let rejection = Memo::new(move |_| session.with(|s| s.rejection));
    let independent = Memo::new(move |_| session.with(Session::independent));
    let kind = Memo::new(move |_| session.with(Session::fit_kind));

    view! {
        <section class="answers" aria-labelledby="answers-title">
            <p class="sr-only" aria-live="polite" data-testid="announcement">
                {move || said.get()}
            </p>
            <Show
                when=move || { total.get() > 0 }
                fallback=|| view! { <h2 id="answers-title" class="sr-only">{t!("results")}</h2> }
            >
                <div class="answers-head">
                    <h2 id="answers-title">
                        {t!("results")} <span class="count">{move || total.get().to_string()}</span>
                    </h2>
                    <div class="tools">
                        <label class="tick" hidden=classify.standalone>
                            <input
                                type="checkbox"
                                data-testid="similarity-toggle"
                                prop:checked=move || classify.similarity.get()
                                on:change=move |event| {
                                    classify.similarity.set(event_target_checked(&event));
                                }
                            />
                            <span>{t!("show-cosine")}</span>
                        </label>
                        <label class="tick" hidden=classify.standalone>
                            <input
                                type="checkbox"
                                data-testid="reject-toggle"
                                prop:checked=move || rejection.get().on
                                on:change=move |event| {
                                    let on = event_target_checked(&event);
                                    classify.set_rejection(RejectionSettings {
                                        on,
                                        ..rejection.get_untracked()
                                    });
                                }
                            />
                            <span>{t!("say-when-none-fits")}</span>
                        </label>
                        <Show when=move || any_answer.get()>
                            <button
                                type="button"
                                class="quiet"
                                data-testid="download-csv"
                                on:click=move |_| classify.save_csv()
                            >
                                {t!("download-results-csv")}
                            </button>
                            <button
                                type="button"
                                class="quiet"
                                data-testid="download-json"
                                aria-label=t!("download-results-json")
                                on:click=move |_| classify.save_json()
                            >
                                "JSON"
                            </button>
                        </Show>
                        <button
                            type="button"
                            class="quiet"
                            data-testid="images-clear"
                            on:click=move |_| classify.run(Session::remove_all)
                        >
                            {t!("remove-all")}
                        </button>
                    </div>
                </div>
                <Show when=move || rejection.get().on>
                    <Threshold classify rejection kind />
                </Show>
                <Show when=move || any_answer.get()>
                    <p class="help" data-testid="answers-help">
                        {t!("click-a-label")}
                        {move || {
                            independent
                                .get()
                                .then_some(
                                    t!("independent-help"),
                                )
                        }}
                    </p>
                </Show>
            </Show>
            <PictureGrid classify tab />
        </section>
    }
}

/// Slider of the threshold below which no label fits.
#[component]
fn Threshold(
    classify: ClassifyController,
    rejection: Memo<RejectionSettings>,
    kind: Memo<FitKind>,
) -> impl IntoView {
    let percent = move || (100.0 * rejection.get().threshold(kind.get())).round();
    let meaning = move || match kind.get() {
        FitKind::Words => t!("fits-by-share"),
        FitKind::Probability => t!("fits-by-probability"),
        FitKind::Head => t!("fits-by-head"),
        FitKind::Unknown => t!("fit-unknown"),
    };
    let unknown = move || kind.get() == FitKind::Unknown;
    view! {
        <div class="threshold">
            <label hidden=unknown for="reject-threshold">{t!("least-fit")}</label>
            <input
                id="reject-threshold"
                hidden=unknown
                data-testid="reject-threshold"
                type="range"
                min="0"
                max="100"
                step="1"
                aria-describedby="reject-meaning"
                aria-valuetext=move || t!("percent", value = percent())
                prop:value=move || percent().to_string()
                on:input=move |event| {
                    if let Ok(percent) = event_target_value(&event).parse::<f32>() {
                        let settings = rejection.get_untracked();
                        let kind = kind.get_untracked();
                        classify.set_rejection(settings.with_threshold(kind, percent / 100.0));
                    }
                }
            />
            <output for="reject-threshold" hidden=unknown>{move || t!("percent", value = percent())}</output>
            <p id="reject-meaning" class="help">{meaning}</p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::domain::worker::WorkerState;
    use crate::engine::messages::{DeviceChoice, Event};
    use crate::engine::rankings::Rankings;

    #[test]
    fn answers_are_announced_when_the_work_is_done() {
        let mut session = Session::new(DeviceChoice::Auto);
        let images = session.pictures.add_batch(["a.png".into()]);
        session.worker.state = WorkerState::Ready;
        session.ask(vec!["cat".into()], vec!["{label}".into()]);
        assert_eq!(announcement(&session), "");
        let question = session.question.number;
        let mut rankings = Rankings::default();
        rankings.push(images[0], [("cat".into(), 1.0, 0.2)]);
        for event in [
            Event::ImageEncoded {
                image: images[0],
                width: 4,
                height: 3,
                preprocess_ms: 1.0,
                encode_ms: 1.0,
            },
            Event::Answers { question, rankings },
            Event::TextsEncoded {
                question,
                encoded: 1,
                encode_ms: 1.0,
                notes: Vec::new(),
            },
        ] {
            session.on_event(event, 0.0);
        }
        assert_eq!(
            announcement(&session),
            "1 image classified. a.png: cat, 100 %."
        );
    }
}
