//! The page's two sides: classify and train.

use leptos::{ev, html, prelude::*};
use web_sys::KeyboardEvent;

use super::state::App;
use super::training::session::Run;

/// What is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Classify,
    Train,
}

/// In the page's address, so that it can be linked to.
const TRAIN: &str = "#train";

impl Tab {
    pub fn of_address() -> Self {
        let address = web_sys::window().and_then(|window| window.location().hash().ok());
        match address.as_deref() {
            Some(TRAIN) => Self::Train,
            _ => Self::Classify,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Train => "train",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Classify => "Classify",
            Self::Train => "Train",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Classify => Self::Train,
            Self::Train => Self::Classify,
        }
    }
}

impl App {
    /// Shows a tab.
    pub fn show(self, tab: Tab) {
        self.tab.set(tab);
        let address = match tab {
            Tab::Classify => "",
            Tab::Train => TRAIN,
        };
        if let Some(window) = web_sys::window() {
            let _ = window.location().set_hash(address);
        }
    }
}

/// The two tabs, as the ARIA pattern has them: arrows move between them.
#[component]
pub fn Tabs(app: App) -> impl IntoView {
    let buttons = [Tab::Classify, Tab::Train].map(|tab| (tab, NodeRef::<html::Button>::new()));
    let changed = window_event_listener(ev::hashchange, move |_| app.tab.set(Tab::of_address()));
    on_cleanup(move || changed.remove());
    let on_key = move |event: KeyboardEvent| {
        if matches!(event.key().as_str(), "ArrowLeft" | "ArrowRight") {
            event.prevent_default();
            let next = app.tab.get_untracked().other();
            app.show(next);
            let button = buttons.iter().find(|(tab, _)| *tab == next);
            if let Some(button) = button.and_then(|(_, button)| button.get_untracked()) {
                let _ = button.focus();
            }
        }
    };
    let training = Memo::new(move |_| {
        app.training.with(|t| match &t.run {
            Run::Running | Run::Pausing | Run::Stopping => "running",
            Run::Paused => "paused",
            _ => "",
        })
    });
    view! {
        <div class="tabs" role="tablist" aria-label="Mode" on:keydown=on_key>
            {buttons
                .map(|(tab, node)| {
                    let shown = move || app.tab.get() == tab;
                    view! {
                        <button
                            node_ref=node
                            type="button"
                            role="tab"
                            id=format!("tab-{}", tab.name())
                            data-testid=format!("tab-{}", tab.name())
                            aria-controls=format!("panel-{}", tab.name())
                            aria-selected=move || shown().to_string()
                            tabindex=move || if shown() { "0" } else { "-1" }
                            on:click=move |_| app.show(tab)
                        >
                            {tab.title()}
                            {(tab == Tab::Train)
                                .then(|| {
                                    view! {
                                        <Show when=move || !training.get().is_empty()>
                                            <span class="tab-note">{move || training.get()}</span>
                                        </Show>
                                    }
                                })}
                        </button>
                    }
                })
                .collect_view()}
        </div>
    }
}
