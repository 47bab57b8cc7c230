//! Which images are looked at: those of a folder, of some days, with a label.

use leptos::prelude::*;

use crate::app::controller::library::LibraryController;
use crate::app::domain::library::FilterInput;
use crate::app::i18n::t;

/// Filters of search, sorting and groups.
#[component]
pub fn Filters(library: LibraryController) -> impl IntoView {
    let session = library.session;
    let filter = Memo::new(move |_| session.with(|s| s.filter.clone()));
    let set = move |change: &dyn Fn(&mut FilterInput)| {
        session.update(|s| change(&mut s.filter));
        library.search();
    };
    let folders = Memo::new(move |_| {
        session.with(|s| {
            s.folder
                .as_ref()
                .map(|f| f.subfolders.clone())
                .unwrap_or_default()
        })
    });
    let labels = Memo::new(move |_| {
        session.with(|s| {
            s.sorted
                .as_ref()
                .map(|sorted| sorted.labels.clone())
                .unwrap_or_default()
        })
    });
    let options = |values: Vec<String>, chosen: String| {
        values
            .into_iter()
            .map(|value| {
                let selected = value == chosen;
                view! {
                    <option value=value.clone() selected=selected>
                        {value.clone()}
                    </option>
                }
            })
            .collect_view()
    };
    let date = move |text: &'static str,
                     testid: &'static str,
                     get: fn(&FilterInput) -> &String,
                     put: fn(&mut FilterInput, String)| {
        view! {
            <label>
                {text}
                <input
                    type="date"
                    data-testid=testid
                    prop:value=move || filter.with(|f| get(f).clone())
                    on:change:target=move |event| {
                        let date = event.target().value();
                        set(&|filter| put(filter, date.clone()));
                    }
                />
            </label>
        }
    };
    view! {
        <div class="filters" role="group" aria-label=t!("filters")>
            <Show when=move || !folders.with(Vec::is_empty)>
                <label>
                    {t!("filter-folder")}
                    <select
                        data-testid="filter-folder"
                        on:change:target=move |event| {
                            let folder = event.target().value();
                            set(&|filter| filter.folder.clone_from(&folder));
                        }
                    >
                        <option value="">{t!("all-folders")}</option>
                        {move || options(folders.get(), filter.with_untracked(|f| f.folder.clone()))}
                    </select>
                </label>
            </Show>
            {date(t!("filter-from"), "filter-from", |filter| &filter.from, |filter, date| filter.from = date)}
            {date(t!("filter-to"), "filter-to", |filter| &filter.to, |filter, date| filter.to = date)}
            <Show when=move || !labels.with(Vec::is_empty)>
                <label>
                    {t!("filter-label")}
                    <select
                        data-testid="filter-label"
                        on:change:target=move |event| {
                            let label = event.target().value();
                            session.update(|s| s.filter.label.clone_from(&label));
                        }
                    >
                        <option value="">{t!("any-label")}</option>
                        {move || options(labels.get(), filter.with_untracked(|f| f.label.clone()))}
                    </select>
                </label>
            </Show>
            <Show when=move || filter.with(|f| *f != FilterInput::default())>
                <button
                    type="button"
                    class="quiet"
                    data-testid="filter-clear"
                    on:click=move |_| set(&|filter| *filter = FilterInput::default())
                >
                    {t!("filter-clear")}
                </button>
            </Show>
        </div>
    }
}
