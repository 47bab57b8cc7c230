//! Grid of the pictures. Few are all on the page. Many stand in blocks of equal height, of
//! which only those near the viewport hold cards, so that what is not seen costs nothing.

use std::ops::Range;

use leptos::{ev, html, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{Element, EventTarget};

use super::card::{Card, CardContext};
use crate::app::controller::classify::ClassifyController;
use crate::app::controller::current_tab::CurrentTab;
use crate::app::domain::grid;
use crate::app::i18n::t;
use crate::engine::messages::ImageId;

/// Space between blocks, in pixels, as in www/style.css.
const GAP: f64 = 16.0;

/// Attribute with the number of a block.
const BLOCK: &str = "data-block";

/// Cards of the pictures, the latest first.
#[component]
pub fn PictureGrid(classify: ClassifyController, tab: CurrentTab) -> impl IntoView {
    let session = classify.session;
    let context = Memo::new(move |_| session.with(CardContext::of));
    // Changes when pictures come, go or move, and with no event about one.
    let order = Memo::new(move |_| session.with(|s| (s.pictures.version(), s.pictures.len())));
    let many = Memo::new(move |_| order.get().1 > grid::ALL);
    // None where there are many, since these are about to give way to blocks.
    let all = Memo::new(move |_| match order.get() {
        (_, total @ 0..=grid::ALL) => ids(classify, 0..total),
        _ => Vec::new(),
    });
    view! {
        <Show
            when=move || many.get()
            fallback=move || {
                view! {
                    <ul class="cards">
                        <For
                            each=move || all.get()
                            key=|id| *id
                            children=move |id| view! { <Card classify id context /> }
                        />
                    </ul>
                }
            }
        >
            <Blocks classify tab context order />
        </Show>
    }
}

/// Pictures at some places of the order that is shown.
fn ids(classify: ClassifyController, places: Range<usize>) -> Vec<ImageId> {
    classify.session.with_untracked(|session| {
        let shown = session.pictures.shown();
        let places = places.start.min(shown.len())..places.end.min(shown.len());
        shown.range(places).copied().collect()
    })
}

/// All blocks, most of them empty.
#[component]
fn Blocks(
    classify: ClassifyController,
    tab: CurrentTab,
    context: Memo<CardContext>,
    order: Memo<(u32, usize)>,
) -> impl IntoView {
    let list = NodeRef::<html::Div>::new();
    let total = Memo::new(move |_| grid::blocks(order.get().1));
    // From one block to the next, in pixels; 0 before one was seen.
    let pitch = RwSignal::new(0.0);
    let near = RwSignal::new(0..1usize);
    let focused = RwSignal::new(None::<usize>);

    let look = move || {
        // A frame that was asked for may come when the blocks are gone.
        let Some(list) = list.try_get_untracked().flatten() else {
            return;
        };
        // Only the last block may be lower than the others.
        let last = total.get_untracked().saturating_sub(1);
        let full = near.get_untracked().find(|block| *block != last);
        let seen = full.and_then(|block| {
            list.query_selector(&format!("[{BLOCK}=\"{block}\"]"))
                .ok()?
        });
        if let Some(seen) = seen {
            let height = seen.get_bounding_client_rect().height();
            if height > 0.0 && pitch.get_untracked() != height + GAP {
                pitch.set(height + GAP);
            }
        }
        let screen = window()
            .inner_height()
            .ok()
            .and_then(|height| height.as_f64());
        let top = list.get_bounding_client_rect().top();
        let now = grid::near(
            top,
            screen.unwrap_or_default(),
            pitch.get_untracked(),
            total.get_untracked(),
        );
        if near.get_untracked() != now {
            near.set(now);
        }
    };
    let look_soon = move || request_animation_frame(look);
    let scrolled = window_event_listener(ev::scroll, move |_| look());
    let resized = window_event_listener(ev::resize, move |_| look());
    on_cleanup(move || {
        scrolled.remove();
        resized.remove();
    });
    // When pictures come or go, when the first blocks are there to be measured, and when
    // the tab comes back: the page may have been scrolled meanwhile.
    Effect::new(move |_| {
        order.track();
        pitch.track();
        tab.get();
        look_soon();
    });

    let block_of = |element: Option<EventTarget>| {
        let element: Element = element?.dyn_into().ok()?;
        let block = element.closest(&format!("[{BLOCK}]")).ok()??;
        block.get_attribute(BLOCK)?.parse().ok()
    };
    view! {
        <div
            node_ref=list
            class="blocks"
            style=move || format!("--block-height: {}px", (pitch.get() - GAP).max(0.0))
            on:focusin=move |event| focused.set(block_of(event.target()))
            // To where it goes: that block must not be emptied before it gets there.
            on:focusout=move |event| focused.set(block_of(event.related_target()))
        >
            <For
                each=move || 0..total.get()
                key=|block| *block
                children=move |block| {
                    // Also where the focus is, and where Tab would take it.
                    let shown = Memo::new(move |_| {
                        near.with(|near| near.contains(&block))
                            || focused.get().is_some_and(|focused| focused.abs_diff(block) <= 1)
                    });
                    view! { <Block classify context order block shown /> }
                }
            />
        </div>
    }
}

/// Some rows of cards, or as much empty space. There are hundreds, most of them empty: the
/// height of these is the style sheet's affair, and their label never changes.
#[component]
fn Block(
    classify: ClassifyController,
    context: Memo<CardContext>,
    order: Memo<(u32, usize)>,
    block: usize,
    shown: Memo<bool>,
) -> impl IntoView {
    let pictures = Memo::new(move |_| match shown.get() {
        true => ids(classify, grid::places(block, order.get().1)),
        false => Vec::new(),
    });
    view! {
        <ul
            class="cards block"
            data-block=block.to_string()
            aria-label=t!("images-from", number = block * grid::BLOCK + 1)
        >
            <For
                each=move || pictures.get()
                key=|id| *id
                children=move |id| view! { <Card classify id context /> }
            />
        </ul>
    }
}
