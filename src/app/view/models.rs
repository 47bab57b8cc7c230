//! Which model: the bundled one, a published one, any other, the visitor's own
//! files; and what this browser keeps of them.

use leptos::{html, prelude::*};
use web_sys::KeyboardEvent;

use super::dropping::files;
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::device_profile::device_profile;
use crate::app::domain::session::Session;
use crate::app::domain::{format, recommendation};
use crate::app::i18n::{self, t};
use crate::catalogue::{Published, Recommended, published, recommend, recommended};
use crate::engine::messages::{
    Activation, CachedModel, ModelLocation, ModelSource, StoredPrecision,
};

/// Offer of the model that the page's link was made with.
#[component]
pub fn LinkedModel(classify: ClassifyController) -> impl IntoView {
    let wanted = Memo::new(move |_| {
        let model = classify.link.with(|link| link.as_ref()?.model.clone())?;
        let used = classify.session.with(|session| {
            matches!(&session.worker.source, ModelSource::Place(place) if *place == model)
        });
        (!used).then_some(model)
    });
    move || {
        wanted.get().map(|place| {
            let known = published().iter().find(|model| model.place() == place);
            let name = known.map_or_else(|| place.to_string(), |model| model.name.clone());
            let load = match known {
                Some(model) => {
                    t!(
                        "load-linked-bytes",
                        name = name,
                        bytes = format::bytes(model.bytes)
                    )
                }
                None => t!("load-linked", name = name),
            };
            view! {
                <aside class="knows" aria-label=t!("model-of-the-link")>
                    <p>{t!("linked-model")}</p>
                    <button
                        type="button"
                        class="button small"
                        data-testid="load-linked"
                        on:click=move |_| classify.open_place(Some(place.clone()), None)
                    >
                        {load}
                    </button>
                </aside>
            }
        })
    }
}

/// What the bundled model covers, and larger models.
#[component]
pub fn ModelScopeNote(classify: ClassifyController) -> impl IntoView {
    let bundled = Memo::new(move |_| {
        classify
            .session
            .with(|s| s.worker.source == ModelSource::Bundled)
    });
    view! {
        <Show when=move || bundled.get()>
            <aside class="knows" aria-label=t!("what-bundled-covers")>
                <p>{t!("bundled-scope")}</p>
                {recommended()
                    .map(|model| {
                        let place = model.place();
                        view! {
                            <button
                                type="button"
                                class="button secondary small"
                                data-testid="load-recommended"
                                data-model=model.id.clone()
                                on:click=move |_| classify.open_place(Some(place.clone()), None)
                            >
                                {t!("recommended-model", name = short_name(model), bytes = format::bytes(model.bytes), merit = i18n::foreign(&model.merit()), license = model.license)}
                            </button>
                        }
                    })
                    .collect_view()}
            </aside>
        </Show>
    }
}

/// The panel with everything about models.
#[component]
pub fn ModelPanel(classify: ClassifyController) -> impl IntoView {
    let current = Memo::new(move |_| classify.session.with(source_text));
    let bundled = Memo::new(move |_| {
        classify
            .session
            .with(|s| s.worker.source == ModelSource::Bundled)
    });
    view! {
        <details class="panel models" data-testid="models">
            <summary>
                <span class="summary-title">{t!("model")}</span>
                <span class="summary-value" data-testid="model-source">
                    {move || current.get()}
                </span>
            </summary>
            <Show when=move || !bundled.get()>
                <p>
                    <button
                        type="button"
                        class="button secondary small"
                        data-testid="load-bundled"
                        on:click=move |_| classify.open_place(None, None)
                    >
                        {t!("back-to-bundled")}
                    </button>
                </p>
            </Show>
            <DeviceRecommendation classify />
            <DownloadOptions classify />
            <Catalogue classify />
            <CustomModelForm classify />
            <DownloadedModels classify />
        </details>
    }
}

/// Name without what stands in brackets or after a comma.
fn short_name(model: &Published) -> &str {
    model
        .name
        .split([',', '('])
        .next()
        .unwrap_or_default()
        .trim()
}

fn source_text(session: &Session) -> String {
    match &session.worker.source {
        ModelSource::Bundled => t!("source-bundled").into(),
        ModelSource::Files => t!("source-files").into(),
        ModelSource::Place(place) => {
            let known = published().iter().find(|model| model.place() == *place);
            known.map_or_else(|| place.to_string(), |model| model.name.clone())
        }
    }
}

/// Model for the visitor's device: `None` is the bundled one.
fn for_this_device(classify: ClassifyController) -> Memo<(Option<&'static Published>, String)> {
    // On its own: the session changes with every picture.
    let gpu = Memo::new(move |_| {
        classify.session.with(|session| {
            let loaded = session.worker.device.as_ref().map(|device| device.gpu);
            loaded.or_else(|| session.worker.on_cpu().then_some(false))
        })
    });
    Memo::new(move |_| {
        let found = recommend(&device_profile(gpu.get()));
        (found.model, recommendation::reason(found.reason))
    })
}

/// Which model suits the visitor's device, and why.
#[component]
fn DeviceRecommendation(classify: ClassifyController) -> impl IntoView {
    let found = for_this_device(classify);
    move || {
        let (model, reason) = found.get();
        let name = model.map_or(t!("recommended-bundled"), |model| &model.name);
        let why = match model {
            Some(model) => t!(
                "recommendation-facts",
                merit = i18n::foreign(&model.merit()),
                bytes = format::bytes(model.bytes),
                license = model.license,
                reason = reason
            ),
            None => reason,
        };
        let place = model.map(Published::place);
        let used = {
            let place = place.clone();
            Memo::new(move |_| {
                classify
                    .session
                    .with(|session| match &session.worker.source {
                        ModelSource::Bundled => place.is_none(),
                        ModelSource::Place(used) => place.as_ref() == Some(used),
                        ModelSource::Files => false,
                    })
            })
        };
        view! {
            <div class="for-this-device" data-testid="recommendation">
                <p class="published-name">
                    <em>{t!("for-this-device")}</em>
                    {name}
                </p>
                <p class="published-facts">{why}</p>
                <button
                    type="button"
                    class="quiet"
                    data-testid="load-for-this-device"
                    aria-label=t!("load-name", name = name)
                    disabled=move || used.get()
                    on:click=move |_| classify.open_place(place.clone(), None)
                >
                    {move || if used.get() { t!("in-use") } else { t!("load") }}
                </button>
            </div>
        }
    }
}

/// How models are downloaded and stored.
#[component]
fn DownloadOptions(classify: ClassifyController) -> impl IntoView {
    let stored = classify.stored_precision;
    view! {
        <p class="ways">
            <label class="device">
                <span>{t!("store-downloads")}</span>
                <select
                    data-testid="stored-precision"
                    on:change=move |event| {
                        let value = event_target_value(&event);
                        let chosen = PRECISIONS.into_iter().find(|(_, known)| *known == value);
                        classify.choose_stored_precision(chosen.unwrap_or_default().0);
                    }
                >
                    {PRECISIONS
                        .map(|(precision, value)| {
                            let text = match precision {
                                StoredPrecision::AsDownloaded => t!("stored-as-downloaded"),
                                StoredPrecision::F16 => t!("stored-f16"),
                                StoredPrecision::Int8 => t!("stored-int8"),
                            };
                            view! {
                                <option value=value selected=move || stored.get() == precision>
                                    {text}
                                </option>
                            }
                        })}
                </select>
            </label>
        </p>
        <p class="help">
            {move || match stored.get() {
                StoredPrecision::AsDownloaded => t!("stored-as-downloaded-help"),
                StoredPrecision::F16 => t!("stored-f16-help"),
                StoredPrecision::Int8 => t!("stored-int8-help"),
            }}
        </p>
        <label class="tick">
            <input
                type="checkbox"
                data-testid="used-words"
                prop:checked=move || classify.used_words.get()
                on:change=move |event| classify.choose_used_words(event_target_checked(&event))
            />
            <span>{t!("used-words")}</span>
        </label>
        <p class="help">{t!("used-words-help")}</p>
    }
}

/// Precisions to choose from, with their values in the form.
const PRECISIONS: [(StoredPrecision, &str); 3] = [
    (StoredPrecision::AsDownloaded, ""),
    (StoredPrecision::F16, "f16"),
    (StoredPrecision::Int8, "int8"),
];

/// Published models, one click each.
#[component]
fn Catalogue(classify: ClassifyController) -> impl IntoView {
    let found = for_this_device(classify);
    let row = move |model: &'static Published| {
        let place = model.place();
        let this = place.clone();
        let in_use = Memo::new(move |_| {
            classify
                .session
                .with(|s| matches!(&s.worker.source, ModelSource::Place(place) if *place == this))
        });
        let note = i18n::foreign(&model.note);
        let about = [model.id.as_str(), note.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" · ");
        let facts = move || {
            let table = model
                .token_table_bytes
                .filter(|_| classify.used_words.get());
            let bytes = model.bytes - table.unwrap_or_default();
            let stored = model.stored_bytes(bytes, classify.stored_precision.get());
            let kept = (stored < bytes).then_some(stored);
            let bytes = match table {
                Some(_) => t!("bytes-and-words", bytes = format::bytes(bytes)),
                None => format::bytes(bytes),
            };
            let bytes = match kept.map(format::bytes) {
                Some(kept) => t!("bytes-stored", bytes = bytes, kept = kept),
                None => bytes,
            };
            t!(
                "published-facts",
                bytes = bytes,
                parameters = format!("{:.0}", model.parameters as f64 / 1e6),
                pixels = model.image_size
            )
        };
        let source =
            (model.imagenet_top_1).map(|_| t!("imagenet-source", source = model.imagenet_source));
        view! {
            <li class:recommended=model.recommended.is_some() title=about>
                <p class="published-name">
                    {model.name.clone()}
                    {model
                        .recommended
                        .map(|why| match why {
                            Recommended::SmallDownload => t!("small-download"),
                            Recommended::BestForItsSize => t!("best-for-its-size"),
                        })
                        .map(|why| view! { <em>{why}</em> })}
                    <Show when=move || found.with(|(best, _)| *best == Some(model))>
                        <em data-testid="recommended-here">{t!("recommended-here")}</em>
                    </Show>
                </p>
                <p class="published-facts">
                    <span title=source>{i18n::foreign(&model.merit())}</span>
                    " · "
                    {facts}
                    " · "
                    {t!("published-license", license = model.license)}
                </p>
                <button
                    type="button"
                    class="quiet"
                    data-testid="load-published"
                    data-model=model.id.clone()
                    aria-label=t!("load-name", name = model.name)
                    disabled=move || in_use.get()
                    on:click=move |_| classify.open_place(Some(place.clone()), None)
                >
                    {move || if in_use.get() { t!("in-use") } else { t!("load") }}
                </button>
            </li>
        }
    };
    let (special, mut general): (Vec<_>, Vec<_>) = published()
        .iter()
        .partition(|model| model.purpose.is_some());
    general.sort_by_key(|model| model.recommended.is_none());
    let list = move |title: &'static str, models: Vec<&'static Published>| {
        view! {
            <h3>{title}</h3>
            <ul class="published" tabindex="0" aria-label=title>
                {models.into_iter().map(row).collect_view()}
            </ul>
        }
    };
    view! {
        {list(t!("published-models"), general)}
        {list(t!("special-models"), special)}
    }
}

/// Form for any other model: by name, by URL or from files.
#[component]
fn CustomModelForm(classify: ClassifyController) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let picker = NodeRef::<html::Input>::new();
    let problem = RwSignal::new(String::new());
    let activation = RwSignal::new(None);
    let load = move || {
        let Some(input) = input.get_untracked() else {
            return;
        };
        match ModelLocation::parse(&input.value()) {
            Ok(place) => {
                problem.set(String::new());
                classify.open_place(Some(place), activation.get_untracked());
            }
            Err(error) => problem.set(i18n::error(&error)),
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            load();
        }
    };
    let picked = move |_| {
        if let Some(picker) = picker.get_untracked() {
            classify.open_files(files(picker.files()), activation.get_untracked());
            picker.set_value("");
        }
    };
    view! {
        <h3>{t!("other-models")}</h3>
        <div class="field-row">
            <input
                node_ref=input
                type="text"
                data-testid="model-input"
                aria-label=t!("model-input")
                placeholder=t!("model-input-example")
                autocomplete="off"
                autocapitalize="none"
                spellcheck="false"
                aria-invalid=move || (!problem.with(String::is_empty)).to_string()
                on:keydown=on_key
            />
            <button
                type="button"
                class="button small"
                data-testid="model-load"
                on:click=move |_| load()
            >
                {t!("load")}
            </button>
        </div>
        <p class="problem" role="alert" data-testid="model-problem">
            {move || problem.get()}
        </p>
        <p class="ways">
            <label class="button secondary small" for="model-files">
                {t!("choose-model-files")}
            </label>
            <input
                node_ref=picker
                id="model-files"
                data-testid="model-files"
                class="sr-only"
                type="file"
                multiple
                accept=".safetensors,.json,.txt,.model"
                on:change=picked
            />
            <span>{t!("or-drop-model")}</span>
            <label class="device">
                <span>{t!("activation")}</span>
                <select
                    data-testid="activation"
                    on:change=move |event| {
                        activation
                            .set(
                                match event_target_value(&event).as_str() {
                                    "quick_gelu" => Some(Activation::QuickGelu),
                                    "gelu" => Some(Activation::Gelu),
                                    _ => None,
                                },
                            )
                    }
                >
                    <option value="">{t!("automatic")}</option>
                    <option value="quick_gelu">{t!("quick-gelu")}</option>
                    <option value="gelu">{t!("gelu")}</option>
                </select>
            </label>
        </p>
    }
}

/// Models stored in this browser.
#[component]
fn DownloadedModels(classify: ClassifyController) -> impl IntoView {
    let kept = Memo::new(move |_| classify.session.with(|s| s.worker.kept.clone()));
    let total = move || kept.with(|kept| kept.iter().map(|model| model.bytes).sum::<u64>());
    let row = move |model: CachedModel| {
        let name = model.model.clone();
        let place = ModelLocation::parse(&name).ok();
        let mut bytes = format::bytes(model.bytes);
        bytes = match model.precision {
            StoredPrecision::AsDownloaded => bytes,
            StoredPrecision::F16 => t!("bytes-f16", bytes = bytes),
            StoredPrecision::Int8 => t!("bytes-int8", bytes = bytes),
        };
        if model.used_words {
            bytes = t!("bytes-used-words", bytes = bytes);
        }
        let size = match model.complete {
            true => bytes,
            false => t!("bytes-so-far", bytes = bytes),
        };
        view! {
            <li data-testid="kept-model" data-model=name.clone()>
                <span class="kept-name">{name.clone()}</span>
                <span class="kept-size">{size}</span>
                {place
                    .map(|place| {
                        view! {
                            <button
                                type="button"
                                class="quiet"
                                on:click=move |_| classify.open_place(Some(place.clone()), None)
                            >
                                {if model.complete { t!("load") } else { t!("resume-download") }}
                            </button>
                        }
                    })}
                <button
                    type="button"
                    class="quiet"
                    data-testid="kept-delete"
                    aria-label=t!("delete-name", name = name)
                    on:click=move |_| classify.run(|session| session.delete_kept(model.model.clone()))
                >
                    {t!("delete")}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || kept.with(|kept| !kept.is_empty())>
            <h3>
                {t!("downloaded-models")} <span class="count">{move || format::bytes(total())}</span>
            </h3>
            <ul class="kept">
                <For each=move || kept.get() key=|model| (model.model.clone(), model.bytes) children=row />
            </ul>
            <p class="help">{t!("downloaded-help")}</p>
        </Show>
    }
}
