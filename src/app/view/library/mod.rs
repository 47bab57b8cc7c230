//! Library side of the page: search, duplicates and sorting in a folder of the visitor's.
//!
//! | module | contents |
//! | --- | --- |
//! | [`folder`] | the choice of a folder, and how far its index is |
//! | [`filters`] | which images are looked at |
//! | [`search`], [`duplicates`], [`sort`] | what is done with the images |
//! | [`picture`] | an image in any of these |

mod duplicates;
mod filters;
mod folder;
mod picture;
mod search;
mod sort;

use leptos::prelude::*;

use crate::app::controller::App;
use crate::app::domain::library::Task;
use crate::app::i18n::{self, t};
use duplicates::Duplicates;
use filters::Filters;
use folder::ChooseFolder;
use search::Search;
use sort::Sort;

/// The whole side.
#[component]
pub fn Library(app: App) -> impl IntoView {
    let library = app.library;
    let session = library.session;
    let open = Memo::new(move |_| session.with(|s| s.folder.is_some()));
    let task = Memo::new(move |_| session.with(|s| s.task));
    view! {
        <section class="library" data-testid="library">
            <ChooseFolder library open />
            <Show when=move || open.get()>
                <Filters library />
                <div class="tasks" role="group" aria-label=t!("tasks")>
                    {Task::ALL
                        .map(|this| {
                            view! {
                                <button
                                    type="button"
                                    class="task"
                                    data-testid=format!("task-{}", this.name())
                                    aria-pressed=move || (task.get() == this).to_string()
                                    on:click=move |_| session.update(|s| s.task = this)
                                >
                                    {this.title()}
                                </button>
                            }
                        })
                        .collect_view()}
                </div>
                <h2 class="sr-only">{move || task.get().title()}</h2>
                {move || session.with(|s| s.error.clone()).map(|error| {
                    view! { <p class="failure" role="alert" data-testid="library-error">{i18n::sentence(&error)}</p> }
                })}
                {move || match task.get() {
                    Task::Search => view! { <Search library /> }.into_any(),
                    Task::Duplicates => view! { <Duplicates library /> }.into_any(),
                    Task::Sort => view! { <Sort app /> }.into_any(),
                }}
            </Show>
        </section>
    }
}
