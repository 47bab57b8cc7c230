//! What there is to learn from, as it is seen and changed: a card for each
//! class, pictures with captions, and what of it cannot be used.

use std::collections::HashMap;

use leptos::{html, prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;

use super::camera::Camera;
use crate::app::controller::training::{Derived, ProjectOffer, TrainingController};
use crate::app::domain::training::project::{Class, ClassId, Part, Role, TrainingSample};
use crate::app::i18n::{self, t};
use crate::app::view::dropping::{ACCEPT, files};
use crate::app::view::widgets::{ChooseFiles, CloseIcon, RemoveButton, StepTitle};
use crate::diagnostic::ToDiagnostic;
use crate::engine::messages::SampleId;

/// Thumbnails of a card at first, and more with each click: a thousand pictures
/// at once would bring the browser down.
const SHOWN: usize = 12;
const MORE: usize = 48;

/// The first part of the training side.
#[component]
pub fn DataSection(trainer: TrainingController, derived: Derived) -> impl IntoView {
    let training = trainer.session;
    let Derived {
        revision,
        roles,
        amount,
    } = derived;
    let classes = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| {
            t.project
                .classes
                .iter()
                .map(|class| class.id)
                .collect::<Vec<_>>()
        })
    });
    let captions = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| t.project.captioned().count())
    });
    let empty = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| t.project.is_empty())
    });
    let waiting = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| t.project.waiting())
    });
    let places = Memo::new(move |_| {
        roles.with(|roles| roles.iter().cloned().collect::<HashMap<SampleId, Role>>())
    });
    let said = move || {
        let amount = amount.get();
        if amount.train + amount.held_out == 0 {
            return String::new();
        }
        let held = match amount.held_out {
            0 => t!("none-held-out").into(),
            held => t!("held-out-for-testing", held = held),
        };
        t!("training-amount", count = amount.train, held = held)
    };
    let unready = move || waiting.get() > 0 || training.with(|t| t.exporting);
    let add_class = move |_| {
        let id = training.try_update(|t| t.edit(|project| project.new_class()));
        if let Some(id) = id {
            request_animation_frame(move || focus_name(id));
        }
    };

    view! {
        <section class="train-part" aria-labelledby="data-title" data-testid="train-data">
            <div class="part-head">
                <StepTitle number=1 id="data-title" title=t!("training-images") />
                <p class="part-note" data-testid="data-amount">{said}</p>
                <Show when=move || !empty.get()>
                    <div class="tools">
                        <button
                            type="button"
                            class="quiet"
                            data-testid="save-project"
                            title=t!("save-project-help")
                            disabled=unready
                            on:click=move |_| trainer.save_project()
                        >
                            {t!("save-project")}
                        </button>
                        <button
                            type="button"
                            class="quiet"
                            data-testid="clear-data"
                            on:click=move |_| trainer.run(|t| t.take(Part::All))
                        >
                            {t!("clear-all")}
                        </button>
                    </div>
                </Show>
            </div>
            <ProjectForOtherModel trainer />
            <ImportData trainer empty />
            <p class="sr-only" role="status">
                {move || match waiting.get() {
                    0 => String::new(),
                    _ => t!("reading-images").into(),
                }}
            </p>
            <Show when=move || { waiting.get() > 0 }>
                <p class="help" data-testid="reading" aria-hidden="true">
                    {move || t!("reading-images-left", count = waiting.get())}
                </p>
            </Show>
            <ul class="class-cards">
                <For
                    each=move || classes.get()
                    key=|id| *id
                    children=move |id| view! { <ClassCard trainer id revision places /> }
                />
                <Show when=move || !empty.get() && (captions.get() == 0 || !classes.with(Vec::is_empty))>
                    <li class="class-new">
                        <button
                            type="button"
                            class="button secondary"
                            data-testid="add-class"
                            on:click=add_class
                        >
                            {t!("add-class")}
                        </button>
                    </li>
                </Show>
            </ul>
            <Show when=move || { captions.get() > 0 }>
                <Captions trainer revision places total=captions />
            </Show>
            <Problems trainer derived />
            <Show when=move || !empty.get()>
                <HeldOut trainer />
            </Show>
        </section>
    }
}

fn focus_name(id: ClassId) {
    let field = (web_sys::window().and_then(|window| window.document()))
        .and_then(|document| document.get_element_by_id(&format!("class-{id}")))
        .and_then(|field| field.dyn_into::<HtmlInputElement>().ok());
    if let Some(field) = field {
        let _ = field.focus();
        field.select();
    }
}

/// Buttons and drop zone for training data.
#[component]
fn ImportData(trainer: TrainingController, empty: Memo<bool>) -> impl IntoView {
    let take = move |found| spawn_local(async move { trainer.add_data(found, None).await });
    view! {
        <div class="bring" class:first=move || empty.get() data-testid="bring">
            <Show when=move || empty.get()>
                <h3>
                    <span class="if-mouse">{t!("drop-class-folders")}</span>
                    <span class="if-touch">{t!("add-class-images")}</span>
                </h3>
                <p class="help">
                    {t!("captions-help")}
                </p>
            </Show>
            <p class="ways">
                <Show when=move || empty.get()>
                    <button
                        type="button"
                        class="button"
                        data-testid="first-classes"
                        on:click=move |_| {
                            let first = trainer.session
                                .try_update(|t| {
                                    t.edit(|project| {
                                        let first = project.new_class();
                                        project.new_class();
                                        first
                                    })
                                });
                            if let Some(first) = first {
                                request_animation_frame(move || focus_name(first));
                            }
                        }
                    >
                        {t!("create-classes")}
                    </button>
                </Show>
                <ChooseFiles side="train" take />
                <button
                    type="button"
                    class="button secondary"
                    data-testid="sample-data"
                    on:click=move |_| trainer.add_sample_data()
                >
                    {t!("try-sample-data")}
                </button>
            </p>
        </div>
    }
}

/// What to do with a project for another model than the one that is open.
#[component]
fn ProjectForOtherModel(trainer: TrainingController) -> impl IntoView {
    let offer = move |offer: ProjectOffer| {
        let (name, model) = (offer.name, offer.model.name.clone());
        let text = t!(
            "project-other-model",
            name = name,
            model = model,
            open = offer.open
        );
        let can_open = offer.model.location().is_some();
        let from = match can_open {
            true => offer
                .model
                .place
                .filter(|place| *place != model && place != "bundled"),
            false => None,
        };
        view! {
            <div class="interrupted" role="alert" data-testid="project-offer">
                <p>
                    {text} " "
                    {match (can_open, from) {
                        (false, _) => t!("project-open-files").to_owned(),
                        (true, Some(place)) => t!("project-model-from", place = place),
                        (true, None) => String::new(),
                    }}
                </p>
                <div class="run-tools">
                    <Show when=move || can_open>
                        <button
                            type="button"
                            class="button small"
                            data-testid="project-open-model"
                            on:click=move |_| trainer.open_project_model()
                        >
                            {t!("project-open-model")}
                        </button>
                    </Show>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="project-without-trained"
                        on:click=move |_| trainer.open_project(false)
                    >
                        {t!("project-without-trained")}
                    </button>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="project-dismiss"
                        on:click=move |_| trainer.dismiss_project()
                    >
                        {t!("project-dismiss")}
                    </button>
                </div>
            </div>
        }
    };
    view! { {move || trainer.project_offer.get().map(offer)} }
}

/// A class: its name, its pictures, and ways to more of them.
#[component]
fn ClassCard(
    trainer: TrainingController,
    id: ClassId,
    revision: Memo<u32>,
    places: Memo<HashMap<SampleId, Role>>,
) -> impl IntoView {
    let training = trainer.session;
    let class = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| t.project.class(id).cloned())
    });
    let name = move || {
        class
            .get()
            .map(|Class { name, .. }| name)
            .unwrap_or_default()
    };
    let samples = Memo::new(move |_| {
        revision.get();
        training.with_untracked(|t| t.project.of_class(id).cloned().collect::<Vec<_>>())
    });
    let input = NodeRef::<html::Input>::new();
    let camera = RwSignal::new(false);
    let picked = move |_| {
        if let Some(input) = input.get_untracked() {
            trainer.add_samples(Some(id), files(input.files()));
            input.set_value("");
        }
    };
    view! {
        <li class="class-card" data-class=id.to_string() data-testid="class-card" data-name=name>
            <div class="class-head">
                <input
                    id=format!("class-{id}")
                    type="text"
                    class="class-name"
                    data-testid="class-name"
                    aria-label=t!("class-name")
                    autocomplete="off"
                    prop:value=name
                    on:change=move |event| {
                        let name = event_target_value(&event);
                        training.update(|t| t.edit(|project| project.rename(id, &name)));
                    }
                />
                <span class="count" data-testid="class-count">
                    {move || samples.with(Vec::len).to_string()}
                </span>
                <RemoveButton
                    label=move || t!("remove-class-name", name = name())
                    title=t!("remove-class")
                    testid="class-remove"
                    remove=move || {
                        trainer.run(|t| t.take(Part::Class(id)));
                    }
                />
            </div>
            <Show when=move || camera.get()>
                <Camera trainer class=id close=Callback::new(move |()| camera.set(false)) />
            </Show>
            <Thumbnails trainer samples places />
            <p class="class-ways">
                <label class="button secondary small" for=format!("files-{id}")>
                    {t!("add-images")}
                </label>
                <input
                    node_ref=input
                    id=format!("files-{id}")
                    data-testid="class-files"
                    class="sr-only"
                    type="file"
                    multiple
                    accept=ACCEPT
                    on:change=picked
                />
                <Show when=move || !camera.get()>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="camera-open"
                        on:click=move |_| camera.set(true)
                    >
                        {t!("use-camera-here")}
                    </button>
                </Show>
            </p>
        </li>
    }
}

/// A card's pictures, as many as a browser bears.
#[component]
fn Thumbnails(
    trainer: TrainingController,
    samples: Memo<Vec<TrainingSample>>,
    places: Memo<HashMap<SampleId, Role>>,
) -> impl IntoView {
    let most = RwSignal::new(SHOWN);
    // Those added last are seen first: what was just done shows.
    let shown = move || {
        samples.with(|samples| {
            let newest = samples.iter().rev().take(most.get());
            newest.cloned().collect::<Vec<_>>()
        })
    };
    let hidden = move || samples.with(Vec::len).saturating_sub(most.get());
    view! {
        <Show
            when=move || samples.with(|samples| !samples.is_empty())
            fallback=|| view! { <p class="class-empty help">{t!("drop-images-here")}</p> }
        >
            <ul class="thumbs">
                <For
                    each=shown
                    key=|sample| (sample.id, sample.thumbnail.clone())
                    children=move |sample| view! { <Thumbnail trainer sample places /> }
                />
            </ul>
        </Show>
        <Show when=move || { hidden() > 0 }>
            <button type="button" class="quiet fold" on:click=move |_| most.update(|m| *m += MORE)>
                {move || t!("show-more-count", count = hidden().min(MORE))}
            </button>
        </Show>
    }
}

/// What a thumbnail says about its picture: a class of style, and words.
fn standing(role: Option<&Role>) -> (&'static str, String) {
    match role {
        Some(Role::HeldOut) => ("held-out", t!("role-held-out").into()),
        Some(Role::LeftOut(problem)) => (
            "left-out",
            t!("role-left-out", problem = problem.to_diagnostic()),
        ),
        Some(Role::Train) => ("train", String::new()),
        Some(Role::Waiting) | None => ("waiting", t!("role-waiting").into()),
    }
}

#[component]
fn Thumbnail(
    trainer: TrainingController,
    sample: TrainingSample,
    places: Memo<HashMap<SampleId, Role>>,
) -> impl IntoView {
    let id = sample.id;
    let state = Memo::new(move |_| places.with(|places| standing(places.get(&id))));
    let name = sample.name.clone();
    let title = move || {
        let (_, words) = state.get();
        if words.is_empty() {
            name.clone()
        } else {
            format!("{name}: {words}")
        }
    };
    let alt = title.clone();
    view! {
        <li class="thumb-small" data-testid="sample-thumb" data-role=move || state.get().0 title=title>
            <img src=sample.thumbnail alt=alt loading="lazy" decoding="async" width="56" height="56" />
            <button
                type="button"
                class="thumb-remove"
                aria-label=t!("remove-image", name = sample.name)
                on:click=move |_| trainer.run(|t| t.take(Part::Sample(id)))
            >
                <CloseIcon />
            </button>
        </li>
    }
}

/// Pictures with captions.
#[component]
fn Captions(
    trainer: TrainingController,
    revision: Memo<u32>,
    places: Memo<HashMap<SampleId, Role>>,
    total: Memo<usize>,
) -> impl IntoView {
    let most = RwSignal::new(SHOWN);
    let shown = Memo::new(move |_| {
        revision.get();
        trainer.session.with_untracked(|t| {
            t.project
                .captioned()
                .take(most.get())
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    view! {
        <div class="captions" data-testid="captions">
            <h3>
                {t!("captioned-images")} <span class="count">{move || total.get().to_string()}</span>
            </h3>
            <ul>
                <For
                    each=move || shown.get()
                    key=|sample| (sample.id, sample.thumbnail.clone(), sample.captions.clone())
                    children=move |sample| {
                        let id = sample.id;
                        let captions = sample.captions.join("\n");
                        let label = t!("caption-of", name = sample.name);
                        view! {
                            <li class="caption-row">
                                <ul class="thumbs">
                                    <Thumbnail trainer sample places />
                                </ul>
                                <textarea
                                    rows="2"
                                    aria-label=label
                                    prop:value=captions
                                    on:change=move |event| {
                                        let text = event_target_value(&event);
                                        trainer.session.update(|t| t.edit(|project| project.caption(id, &text)));
                                    }
                                ></textarea>
                            </li>
                        }
                    }
                />
            </ul>
            <Show when=move || { total.get() > most.get() }>
                <button type="button" class="quiet fold" on:click=move |_| most.update(|m| *m += MORE)>
                    {t!("show-more")}
                </button>
            </Show>
        </div>
    }
}

/// Duplicates, unreadable files, empty classes.
#[component]
fn Problems(trainer: TrainingController, derived: Derived) -> impl IntoView {
    /// Told at once; the rest by number.
    const MOST: usize = 100;
    let problems = Memo::new(move |_| {
        // A class without pictures changes nothing else.
        derived.revision.get();
        derived.roles.with(|roles| {
            trainer
                .session
                .with_untracked(|t| t.project.problems(roles))
        })
    });
    let count = move || problems.with(Vec::len);
    let few = move || problems.with_untracked(Vec::len) <= 3;
    view! {
        <div aria-live="polite">
            <Show when=move || { count() > 0 }>
                <details class="problems" data-testid="data-problems" open=few()>
                    <summary>
                        {move || t!("problems", count = count())}
                    </summary>
                    <ul>
                        {move || {
                            problems
                                .with(|problems| {
                                    (problems.iter().take(MOST))
                                        .map(|problem| view! { <li>{i18n::said(&problem.to_diagnostic())}</li> })
                                        .collect_view()
                                })
                        }}
                        <Show when=move || { count() > MOST }>
                            <li>{move || t!("and-more", count = count() - MOST)}</li>
                        </Show>
                    </ul>
                </details>
            </Show>
        </div>
    }
}

/// How much is kept apart.
#[component]
fn HeldOut(trainer: TrainingController) -> impl IntoView {
    let share = Memo::new(move |_| trainer.session.with(|t| t.project.held_out));
    view! {
        <div class="held-out">
            <label for="held-out">
                <span class="legend-held" aria-hidden="true"></span>
                {t!("held-out-share")}
                <strong>{move || t!("percent", value = format!("{:.0}", share.get() * 100.0))}</strong>
            </label>
            <input
                id="held-out"
                data-testid="held-out"
                type="range"
                min="0"
                max="50"
                step="5"
                prop:value=move || format!("{:.0}", share.get() * 100.0)
                on:input=move |event| {
                    if let Ok(percent) = event_target_value(&event).parse::<f64>() {
                        trainer.session.update(|t| t.edit(|project| project.held_out = percent / 100.0));
                    }
                }
            />
            <p class="help">
                {t!("held-out-help")}
            </p>
        </div>
    }
}
