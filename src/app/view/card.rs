//! Card of a picture: thumbnail, facts, answer.

use leptos::prelude::*;

use super::widgets::RemoveButton;
use crate::app::controller::classify::ClassifyController;
use crate::app::domain::format;
use crate::app::domain::pictures::{Heat, HeatState, Picture, PictureState};
use crate::app::domain::ranking::{RankedLabel, Ranking};
use crate::app::domain::rejection::{FitKind, RejectionSettings};
use crate::app::domain::session::Session;
use crate::app::domain::worker::WorkerState;
use crate::app::i18n::{self, t};
use crate::engine::messages::ImageId;
use crate::zero_shot::HEAT_COLOURS;

/// More labels than this are folded away…
const FOLD_ABOVE: usize = 8;
/// …to this many.
const FOLDED: usize = 5;

/// How many rows of a ranking to show.
fn visible_rows(total: usize, unfolded: bool) -> usize {
    if unfolded || total <= FOLD_ABOVE {
        total
    } else {
        FOLDED
    }
}

/// What a card says about its picture; nothing when the answer speaks for itself.
fn card_status(session: &Session, picture: &Picture) -> &'static str {
    let current = session.pictures.answer_of(picture).is_some();
    match (&picture.state, &session.worker.state) {
        (PictureState::Failed { .. }, _) => "",
        (PictureState::Cancelled, _) => t!("cancelled"),
        (_, _) if current => "",
        (_, WorkerState::Failed(_) | WorkerState::Stopped) => t!("waiting-no-model"),
        (PictureState::Waiting | PictureState::Sent, WorkerState::Loading { .. }) => {
            t!("waiting-for-model")
        }
        (PictureState::Waiting | PictureState::Sent, WorkerState::Ready) => t!("queued"),
        (PictureState::Encoding, _) => t!("encoding-image"),
        (PictureState::Encoded, _) => {
            if session.question.asked.is_none() {
                t!("encoded-no-label")
            } else if session.question.error.is_some() {
                ""
            } else if session.question.cancelled() {
                t!("cancelled-before")
            } else {
                t!("comparing")
            }
        }
    }
}

/// What of the whole page the cards show; few things, so that they change seldom.
#[derive(Clone, Debug, PartialEq)]
pub struct CardContext {
    worker: std::mem::Discriminant<WorkerState>,
    question: u32,
    asked: bool,
    refused: bool,
    cancelled: bool,
    rejection: RejectionSettings,
    fit_kind: FitKind,
}

impl CardContext {
    /// The context of all cards.
    pub fn of(session: &Session) -> Self {
        Self {
            worker: std::mem::discriminant(&session.worker.state),
            question: session.question.number,
            asked: session.question.asked.is_some(),
            refused: session.question.error.is_some(),
            cancelled: session.question.cancelled(),
            rejection: session.rejection,
            fit_kind: session.fit_kind(),
        }
    }
}

/// What a card says when no label fits its picture.
fn none_fits(session: &Session, picture: &Picture) -> Option<String> {
    let ranking = session.pictures.answer_of(picture)?;
    session.none_fits(ranking, session.pictures.fit_of(picture))
}

/// One picture: thumbnail, facts, answer.
#[component]
pub fn Card(
    classify: ClassifyController,
    id: ImageId,
    context: Memo<CardContext>,
) -> impl IntoView {
    let session = classify.session;
    let picture = classify.picture(id);
    let status = Memo::new(move |_| {
        context.track();
        picture.with(|p| {
            p.as_ref()
                .map_or("", |p| session.with_untracked(|s| card_status(s, p)))
        })
    });
    let stale = Memo::new(move |_| {
        context.track();
        picture.with(|p| {
            p.as_ref()
                .is_some_and(|p| session.with_untracked(|s| s.pictures.answer_of(p).is_none()))
        })
    });
    let ranking = Memo::new(move |_| {
        picture.with(|p| {
            p.as_ref()
                .and_then(|p| p.answer.as_ref().map(|(_, r)| r.clone()))
        })
    });
    let heat = Memo::new(move |_| {
        context.track();
        let picture = picture.get()?;
        session.with_untracked(|session| session.pictures.heat_of(&picture).cloned())
    });
    let unfit = Memo::new(move |before: Option<&Option<String>>| {
        context.track();
        let picture = picture.get()?;
        session.with_untracked(|session| match session.fit_is_pending(&picture) {
            // Until then nothing moves away under the pointer.
            true => before.cloned().flatten(),
            false => none_fits(session, &picture),
        })
    });
    let failure = Memo::new(move |_| {
        picture.with(|p| match p.as_ref().map(|p| &p.state) {
            Some(PictureState::Failed { error, retry }) => Some((error.clone(), *retry)),
            _ => None,
        })
    });
    let cancelled = Memo::new(move |_| {
        picture.with(|p| {
            p.as_ref()
                .is_some_and(|p| p.state == PictureState::Cancelled)
        })
    });
    let state_name = move || {
        picture.with(|p| match p.as_ref().map(|p| &p.state) {
            Some(PictureState::Encoded) => "encoded",
            Some(PictureState::Encoding) => "encoding",
            Some(PictureState::Failed { .. }) => "failed",
            Some(PictureState::Cancelled) => "cancelled",
            _ => "waiting",
        })
    };

    // It does not change while the card lives.
    let name = picture.with_untracked(|p| p.as_ref().map(|p| p.name.clone()).unwrap_or_default());
    let thumbnail = classify.thumbnail(id);
    let broken = RwSignal::new(false);
    let facts = move || {
        picture.with(|p| {
            let Some((width, height)) = p.as_ref().and_then(|p| p.size) else {
                return String::new();
            };
            t!(
                "pixels",
                width = width.to_string(),
                height = height.to_string()
            )
        })
    };
    let timing = move || {
        picture
            .with(|p| p.as_ref().and_then(|p| p.timing.clone()))
            .map(|timing| {
                view! {
                    <p class="timing" data-testid="timing">
                        {t!("timing", preprocess = format::milliseconds(timing.preprocess_ms), encode = format::milliseconds(timing.encode_ms), device = i18n::foreign(&timing.device))}
                    </p>
                }
            })
    };
    let shared_name = StoredValue::new(name.clone());
    let retry = move || {
        view! {
            <button
                type="button"
                class="button secondary small"
                aria-label=shared_name.with_value(|name| t!("try-image-again", name = name))
                on:click=move |_| classify.run(|session| session.retry(id))
            >
                {t!("try-again")}
            </button>
        }
    };

    view! {
        <li
            class="card"
            class:heated=move || heat.with(Option::is_some)
            data-testid="image-card"
            data-state=state_name
            data-name=name.clone()
        >
            <div class="thumb">
                <Show
                    when=move || !broken.get()
                    fallback=|| view! { <span class="no-thumb" aria-hidden="true">"?"</span> }
                >
                    {move || {
                        thumbnail
                            .get()
                            .map(|url| {
                                view! {
                                    <img
                                        src=url
                                        alt=""
                                        decoding="async"
                                        on:error=move |_| broken.set(true)
                                    />
                                }
                            })
                    }}
                </Show>
                {move || {
                    heat.with(|heat| matches!(heat, Some(Heat { state: HeatState::Shown(_), .. })))
                        .then(|| classify.heat_map(id))
                        .flatten()
                        .map(|url| {
                            view! { <img class="heat" data-testid="heat-map" src=url alt="" /> }
                        })
                }}
            </div>
            <div class="card-body">
                <div class="card-head">
                    <div>
                        <h3 title=name.clone()>{name.clone()}</h3>
                        <p class="facts">{facts}</p>
                    </div>
                    <RemoveButton
                        label=t!("remove-image", name = name)
                        title=t!("remove")
                        testid="image-remove"
                        remove=move || classify.run(|session| session.remove(id))
                    />
                </div>
                {move || {
                    failure
                        .get()
                        .map(|(error, again)| {
                            view! {
                                <div class="card-error">
                                    <p data-testid="error" role="alert">
                                        {i18n::error(&error)}
                                    </p>
                                    {again.then(retry)}
                                </div>
                            }
                        })
                }}
                <Show when=move || !status.with(|status| status.is_empty())>
                    <p class="card-status" class:still=move || cancelled.get()>
                        {move || status.get()}
                    </p>
                </Show>
                {move || cancelled.get().then(retry)}
                {move || {
                    unfit.get().map(|text| view! { <p class="unfit" data-testid="none-fits">{text}</p> })
                }}
                {move || {
                    ranking
                        .get()
                        .map(|ranking| {
                            view! {
                                <RankingList classify id heat ranking name=shared_name.get_value() stale />
                            }
                        })
                }}
                <p class="sr-only" aria-live="polite">
                    {move || heat.with(|heat| heat.as_ref().map_or(String::new(), heat_text))}
                </p>
                {move || {
                    heat.get().map(|heat| view! { <HeatLegend classify id heat /> })
                }}
                {timing}
            </div>
        </li>
    }
}

/// The labels of one answer, most likely first.
#[component]
fn RankingList(
    classify: ClassifyController,
    id: ImageId,
    heat: Memo<Option<Heat>>,
    ranking: Ranking,
    name: String,
    stale: Memo<bool>,
) -> impl IntoView {
    let unfolded = RwSignal::new(false);
    let total = ranking.len();
    let rows = move || {
        ranking
            .iter()
            .take(visible_rows(total, unfolded.get()))
            .map(|ranked| row(ranked, classify, id, heat))
            .collect_view()
    };
    view! {
        <ol
            class="ranking"
            class:stale=move || stale.get()
            data-testid="ranking"
            data-stale=move || stale.get().to_string()
            aria-label=t!("labels-for", name = name)
            aria-busy=move || stale.get().to_string()
        >
            {rows}
        </ol>
        <Show when=move || { total > FOLD_ABOVE }>
            <button
                type="button"
                class="quiet fold"
                data-testid="show-all"
                aria-expanded=move || unfolded.get().to_string()
                on:click=move |_| unfolded.update(|unfolded| *unfolded = !*unfolded)
            >
                {move || {
                    if unfolded.get() {
                        t!("show-top", FOLDED = FOLDED)
                    } else {
                        t!("show-all-labels", total = total)
                    }
                }}
            </button>
        </Show>
    }
}

/// What a heat map shows, in words.
fn heat_text(heat: &Heat) -> String {
    let label = &heat.label;
    match &heat.state {
        HeatState::Asked => t!("looking-for", label = label),
        HeatState::Shown(peak) => {
            let percent = |share: f64| (100.0 * share).round();
            t!(
                "where-it-fits",
                label = label,
                x = percent(peak.x),
                y = percent(peak.y)
            )
        }
        HeatState::Failed(error) => t!("not-located", label = label, error = error),
    }
}

/// Legend of a heat map, and a button to save it.
#[component]
fn HeatLegend(classify: ClassifyController, id: ImageId, heat: Heat) -> impl IntoView {
    let stops = HEAT_COLOURS.map(|([red, green, blue], _)| format!("rgb({red} {green} {blue})"));
    let scale = format!(
        "background: linear-gradient(to right, {})",
        stops.join(", ")
    );
    let shown = matches!(heat.state, HeatState::Shown(_));
    let failed = matches!(heat.state, HeatState::Failed(_));
    view! {
        <div class="heat-legend" class:failed=failed data-testid="heat-legend">
            // Read aloud by the line before.
            <p aria-hidden="true">{heat_text(&heat)}</p>
            {shown
                .then(|| {
                    view! {
                        <p class="heat-scale" aria-hidden="true">
                            <span>{t!("less")}</span>
                            <span class="heat-colours" style=scale></span>
                            <span>{t!("more")}</span>
                        </p>
                        <button
                            type="button"
                            class="quiet"
                            data-testid="heat-save"
                            on:click=move |_| classify.run(|session| session.save_heat(id))
                        >
                            {t!("save-png")}
                        </button>
                    }
                })}
        </div>
    }
}

fn row(
    ranked: RankedLabel<'_>,
    classify: ClassifyController,
    id: ImageId,
    heat: Memo<Option<Heat>>,
) -> impl IntoView + use<> {
    let RankedLabel {
        label,
        probability,
        similarity: cosine,
    } = ranked;
    let label = label.to_owned();
    let located = label.clone();
    let toggle = {
        let label = label.clone();
        move |_| classify.run(|session| session.toggle_heat(id, label.clone()))
    };
    let pressed = move || heat.with(|heat| heat.as_ref().is_some_and(|heat| heat.label == located));
    let similarity = classify.similarity;
    let percent = format::percent(probability);
    let width = format!("{:.2}%", (probability * 100.0).clamp(0.0, 100.0));
    view! {
        <li
            data-testid="ranking-row"
            data-label=label.clone()
            data-probability=format!("{probability:.6}")
            data-similarity=format!("{cosine:.6}")
            // The whole row for the mouse; the button in it for the keyboard.
            on:click=toggle
        >
            <button
                type="button"
                class="row-label"
                title=t!("show-where")
                aria-pressed=move || pressed().to_string()
            >
                {label.clone()}
            </button>
            <Show when=move || similarity.get()>
                <span class="row-cosine" title=t!("cosine-of-image-and-label")>
                    <span class="sr-only">{t!("cosine-before")}</span>
                    {format!("{cosine:.3}")}
                </span>
            </Show>
            <span
                class="row-percent"
                role="meter"
                aria-label=t!("probability")
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=format!("{:.1}", probability * 100.0)
                aria-valuetext=percent.clone()
            >
                {percent.clone()}
            </span>
            <span class="bar" aria-hidden="true">
                <span style:width=width></span>
            </span>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::{DeviceChoice, Event};
    use crate::engine::rankings::Rankings;

    #[test]
    fn long_rankings_are_folded() {
        assert_eq!(visible_rows(8, false), 8);
        assert_eq!(visible_rows(9, false), 5);
        assert_eq!(visible_rows(9, true), 9);
    }

    #[test]
    fn a_card_says_what_it_waits_for() {
        let mut session = Session::new(DeviceChoice::Auto);
        let image = session.pictures.add_batch(["a.png".into()])[0];
        let status = |session: &Session| {
            let picture = session.pictures.get(image).expect("it is there");
            card_status(session, picture)
        };
        assert!(status(&session).contains("model"));
        session.worker.state = WorkerState::Ready;
        let encoded = Event::ImageEncoded {
            image,
            width: 4,
            height: 3,
            preprocess_ms: 1.0,
            encode_ms: 1.0,
        };
        session.on_event(encoded, 0.0);
        assert!(status(&session).contains("Add a label"));
        let before = CardContext::of(&session);
        session.ask(vec!["cat".into()], vec!["{label}".into()]);
        assert!(status(&session).contains("Comparing"));
        assert_ne!(CardContext::of(&session), before);
        let question = session.question.number;
        let mut rankings = Rankings::default();
        rankings.push(image, [("cat".into(), 1.0, 0.2)]);
        session.on_event(Event::Answers { question, rankings }, 0.0);
        assert_eq!(status(&session), "");
        let fits = vec![(image, 0.125)];
        session.on_event(Event::Fits { question, fits }, 0.0);
        let before = CardContext::of(&session);
        session.reject_by(RejectionSettings {
            on: true,
            ..RejectionSettings::default()
        });
        assert_ne!(CardContext::of(&session), before);
        let picture = session.pictures.get(image).expect("it is there");
        let said = none_fits(&session, picture).unwrap_or_default();
        assert_eq!(said, "None of these fits well (12.5 %); closest: cat.");
    }
}
