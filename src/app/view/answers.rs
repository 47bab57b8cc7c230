//! The pictures with their answers.

use leptos::prelude::*;

use super::widgets::RemoveButton;
use crate::app::controller::classify::ClassifyController;
use crate::app::domain::format;
use crate::app::domain::session::{Picture, PictureState, PromptStatus, Ranking, Session, Worker};
use crate::engine::messages::{ImageId, Ranked};

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
    let current = session.answer_of(picture).is_some();
    match (&picture.state, &session.worker) {
        (PictureState::Failed { .. }, _) => "",
        (PictureState::Cancelled, _) => "Cancelled.",
        (_, _) if current => "",
        (_, Worker::Failed(_) | Worker::Stopped) => "Waiting: no model is loaded.",
        (PictureState::Waiting | PictureState::Sent, Worker::Loading { .. }) => {
            "Waiting for the model…"
        }
        (PictureState::Waiting | PictureState::Sent, Worker::Ready) => "Queued…",
        (PictureState::Encoding, _) => "Encoding the image…",
        (PictureState::Encoded, _) => {
            if session.asked.is_none() {
                "Encoded. Add a label to classify it."
            } else if session.question_error.is_some() {
                ""
            } else if session.texts == PromptStatus::Cancelled {
                "Cancelled before it was classified."
            } else {
                "Comparing with the labels…"
            }
        }
    }
}

/// What a screen reader is told when answers have come in.
fn announcement(session: &Session) -> String {
    let answered = session.answered();
    if session.busy() || answered == 0 {
        return String::new();
    }
    let tops = session
        .pictures
        .iter()
        .filter_map(|picture| {
            let top = session.answer_of(picture)?.first()?;
            Some(format!(
                "{}: {}, {}.",
                picture.name,
                top.label,
                format::percent(top.probability)
            ))
        })
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    format!("{} classified. {tops}", format::count(answered, "image"))
}

/// All pictures, with the tools that act on all of them.
#[component]
pub fn Answers(classify: ClassifyController) -> impl IntoView {
    let session = classify.session;
    let ids = Memo::new(move |_| session.with(Session::shown));
    let any_answer = Memo::new(move |_| session.with(|s| s.answered() > 0));
    let said = Memo::new(move |_| session.with(announcement));

    view! {
        <section class="answers" aria-labelledby="answers-title">
            <p class="sr-only" aria-live="polite" data-testid="announcement">
                {move || said.get()}
            </p>
            <Show
                when=move || ids.with(|ids| !ids.is_empty())
                fallback=|| view! { <h2 id="answers-title" class="sr-only">"Results"</h2> }
            >
                <div class="answers-head">
                    <h2 id="answers-title">
                        "Results" <span class="count">{move || ids.with(Vec::len).to_string()}</span>
                    </h2>
                    <div class="tools">
                        <label class="tick">
                            <input
                                type="checkbox"
                                data-testid="similarity-toggle"
                                prop:checked=move || classify.similarity.get()
                                on:change=move |event| {
                                    classify.similarity.set(event_target_checked(&event));
                                }
                            />
                            <span>"Show cosine similarity"</span>
                        </label>
                        <Show when=move || any_answer.get()>
                            <button
                                type="button"
                                class="quiet"
                                data-testid="download-csv"
                                on:click=move |_| classify.save_csv()
                            >
                                "Download results (CSV)"
                            </button>
                            <button
                                type="button"
                                class="quiet"
                                data-testid="download-json"
                                aria-label="Download results as JSON"
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
                            "Remove all"
                        </button>
                    </div>
                </div>
            </Show>
            <ul class="cards">
                <For
                    each=move || ids.get()
                    key=|id| *id
                    children=move |id| view! { <Card classify id /> }
                />
            </ul>
        </section>
    }
}

/// One picture: thumbnail, facts, answer.
#[component]
fn Card(classify: ClassifyController, id: ImageId) -> impl IntoView {
    let session = classify.session;
    let picture = Memo::new(move |_| session.with(|s| s.picture(id).cloned()));
    let status = Memo::new(move |_| {
        session.with(|s| s.picture(id).map_or("", |picture| card_status(s, picture)))
    });
    let stale = Memo::new(move |_| {
        session.with(|s| s.picture(id).is_some_and(|p| s.answer_of(p).is_none()))
    });
    let ranking = Memo::new(move |_| {
        picture.with(|p| {
            p.as_ref()
                .and_then(|p| p.answer.as_ref().map(|(_, r)| r.clone()))
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

    // Neither changes while the card lives.
    let (name, thumbnail) = picture.with_untracked(|p| {
        p.as_ref()
            .map(|p| (p.name.clone(), p.thumbnail.clone()))
            .unwrap_or_default()
    });
    let broken = RwSignal::new(false);
    let facts = move || {
        picture.with(|p| {
            let Some((width, height)) = p.as_ref().and_then(|p| p.size) else {
                return String::new();
            };
            format!("{width} × {height} pixels")
        })
    };
    let timing = move || {
        picture
            .with(|p| p.as_ref().and_then(|p| p.timing.clone()))
            .map(|timing| {
                view! {
                    <p class="timing" data-testid="timing">
                        {format!(
                            "Preprocessed in {}, encoded in {} on {}",
                            format::milliseconds(timing.preprocess_ms),
                            format::milliseconds(timing.encode_ms),
                            timing.device,
                        )}
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
                aria-label=shared_name.with_value(|name| format!("Try {name} again"))
                on:click=move |_| classify.run(|session| session.retry(id))
            >
                "Try again"
            </button>
        }
    };

    view! {
        <li class="card" data-testid="image-card" data-state=state_name data-name=name.clone()>
            <div class="thumb">
                <Show
                    when=move || !broken.get()
                    fallback=|| view! { <span class="no-thumb" aria-hidden="true">"?"</span> }
                >
                    <img
                        src=thumbnail.clone()
                        alt=""
                        decoding="async"
                        on:error=move |_| broken.set(true)
                    />
                </Show>
            </div>
            <div class="card-body">
                <div class="card-head">
                    <div>
                        <h3 title=name.clone()>{name.clone()}</h3>
                        <p class="facts">{facts}</p>
                    </div>
                    <RemoveButton
                        label=format!("Remove {name}")
                        title="Remove"
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
                                        {error}
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
                    ranking
                        .get()
                        .map(|ranking| {
                            view! {
                                <RankingList ranking name=shared_name.get_value() stale similarity=classify.similarity />
                            }
                        })
                }}
                {timing}
            </div>
        </li>
    }
}

/// The labels of one answer, most likely first.
#[component]
fn RankingList(
    ranking: Ranking,
    name: String,
    stale: Memo<bool>,
    similarity: RwSignal<bool>,
) -> impl IntoView {
    let unfolded = RwSignal::new(false);
    let total = ranking.len();
    let rows = move || {
        ranking
            .iter()
            .take(visible_rows(total, unfolded.get()))
            .map(|ranked| row(ranked, similarity))
            .collect_view()
    };
    view! {
        <ol
            class="ranking"
            class:stale=move || stale.get()
            data-testid="ranking"
            data-stale=move || stale.get().to_string()
            aria-label=format!("Labels for {name}, most likely first")
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
                        format!("Show the top {FOLDED}")
                    } else {
                        format!("Show all {total}")
                    }
                }}
            </button>
        </Show>
    }
}

fn row(ranked: &Ranked, similarity: RwSignal<bool>) -> impl IntoView + use<> {
    let Ranked {
        label,
        probability,
        similarity: cosine,
    } = ranked.clone();
    let percent = format::percent(probability);
    let width = format!("{:.2}%", (probability * 100.0).clamp(0.0, 100.0));
    view! {
        <li
            data-testid="ranking-row"
            data-label=label.clone()
            data-probability=format!("{probability:.6}")
            data-similarity=format!("{cosine:.6}")
        >
            <span class="row-label">{label.clone()}</span>
            <Show when=move || similarity.get()>
                <span class="row-cosine" title="Cosine similarity of image and label">
                    <span class="sr-only">"cosine similarity "</span>
                    {format!("{cosine:.3}")}
                </span>
            </Show>
            <span
                class="row-percent"
                role="meter"
                aria-label="probability"
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

    #[test]
    fn long_rankings_are_folded() {
        assert_eq!(visible_rows(8, false), 8);
        assert_eq!(visible_rows(9, false), 5);
        assert_eq!(visible_rows(9, true), 9);
    }

    #[test]
    fn a_card_says_what_it_waits_for() {
        let mut session = Session::new(DeviceChoice::Auto);
        let image = session.add("a.png".into(), String::new());
        let status = |session: &Session| card_status(session, &session.pictures[0]);
        assert!(status(&session).contains("model"));
        session.worker = Worker::Ready;
        session.pictures[0].state = PictureState::Encoded;
        assert!(status(&session).contains("Add a label"));
        session.ask(vec!["cat".into()], vec!["{label}".into()]);
        assert!(status(&session).contains("Comparing"));
        assert_eq!(announcement(&session), "");
        let question = session.question;
        let ranking = vec![Ranked {
            label: "cat".into(),
            probability: 1.0,
            similarity: 0.2,
        }];
        session.on_event(
            Event::Answer {
                question,
                image,
                ranking,
            },
            0.0,
        );
        session.on_event(
            Event::TextsEncoded {
                question,
                encoded: 1,
                encode_ms: 1.0,
                notes: Vec::new(),
            },
            0.0,
        );
        assert_eq!(status(&session), "");
        assert_eq!(
            announcement(&session),
            "1 image classified. a.png: cat, 100 %."
        );
    }
}
