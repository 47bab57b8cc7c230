//! The page's sides: classify, library, train and evaluate.

use std::time::Duration;

use leptos::{ev, html, prelude::*};
use web_sys::KeyboardEvent;

use crate::app::controller::current_tab::CurrentTab;
use crate::app::controller::training::TrainingController;
use crate::app::domain::tab::Tab;
use crate::app::domain::training::session::Run;
use crate::app::i18n::t;

/// The tabs, as the ARIA pattern has them: arrows move between them.
#[component]
pub fn Tabs(tab: CurrentTab, training: TrainingController) -> impl IntoView {
    let buttons = Tab::ALL.map(|this| (this, NodeRef::<html::Button>::new()));
    let changed = window_event_listener(ev::hashchange, move |_| tab.follow_address());
    on_cleanup(move || changed.remove());
    let on_key = move |event: KeyboardEvent| {
        let steps = match event.key().as_str() {
            "ArrowLeft" => -1,
            "ArrowRight" => 1,
            _ => 0,
        };
        if steps != 0 {
            event.prevent_default();
            let next = tab.get_untracked().beside(steps);
            tab.show(next);
            let button = buttons.iter().find(|(this, _)| *this == next);
            if let Some(button) = button.and_then(|(_, button)| button.get_untracked()) {
                let _ = button.focus();
            }
        }
    };
    let training = training.session;
    let state = Memo::new(move |_| {
        training.with(|t| match &t.run {
            Run::Running | Run::Pausing | Run::Stopping => t!("tab-running"),
            Run::Paused => t!("tab-paused"),
            _ => "",
        })
    });
    view! {
        <div class="tabs" role="tablist" aria-label=t!("tabs") on:keydown=on_key>
            {buttons
                .map(|(this, node)| {
                    let shown = move || tab.get() == this;
                    view! {
                        <button
                            node_ref=node
                            type="button"
                            role="tab"
                            id=format!("tab-{}", this.name())
                            data-testid=format!("tab-{}", this.name())
                            aria-controls=format!("panel-{}", this.name())
                            aria-selected=move || shown().to_string()
                            tabindex=move || if shown() { "0" } else { "-1" }
                            on:click=move |_| tab.show(this)
                        >
                            {this.title()}
                            {(this == Tab::Train)
                                .then(|| {
                                    view! {
                                        <Show when=move || !state.get().is_empty()>
                                            <span class="tab-note">{move || state.get()}</span>
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

/// Panel of a tab. What is in it is drawn at once if the tab is in sight, and otherwise in a task of its
/// own after the next frame: nobody waits for what is out of sight, at first and in another language.
#[component]
pub fn Panel(
    tab: CurrentTab,
    of: Tab,
    #[prop(optional)] class: Option<&'static str>,
    children: ChildrenFn,
) -> impl IntoView {
    let later = RwSignal::new(false);
    request_animation_frame(move || {
        let draw = move || {
            let _ = later.try_set(true);
        };
        set_timeout(draw, Duration::ZERO);
    });
    let drawn = Memo::new(move |_| later.get() || tab.get() == of);
    view! {
        <div
            id=format!("panel-{}", of.name())
            class=class
            role="tabpanel"
            aria-labelledby=format!("tab-{}", of.name())
            hidden=move || tab.get() != of
        >
            <Show when=move || drawn.get()>{children()}</Show>
        </div>
    }
}
