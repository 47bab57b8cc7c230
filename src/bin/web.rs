//! The page's program.

use clip::app::{Page, StandalonePage, StandalonePageProps, named_in_page, open};
use leptos::mount::mount_to_body;
use wasm_bindgen_futures::spawn_local;

fn main() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        show_breakdown();
    }));
    match named_in_page() {
        None => {
            started();
            mount_to_body(Page);
        }
        // The page of one classifier.
        Some(file) => spawn_local(async move {
            match open(&file).await {
                Ok(opened) => {
                    started();
                    mount_to_body(|| StandalonePage(StandalonePageProps { opened }));
                }
                Err(why) => say(&why),
            }
        }),
    }
}

/// Takes the placeholder away.
fn started() {
    if let Some(placeholder) = element("starting") {
        placeholder.remove();
    }
}

/// Says in the place of the page why there is none.
fn say(why: &str) {
    if let Some(text) = element("starting-text") {
        text.set_text_content(Some(why));
    }
}

fn element(id: &str) -> Option<web_sys::Element> {
    web_sys::window()?.document()?.get_element_by_id(id)
}

/// After a panic nothing on the page reacts any more: the visitor has to know.
/// The message is part of the page's HTML, so that showing it takes no code of ours.
fn show_breakdown() {
    if let Some(message) = element("breakdown") {
        let _ = message.remove_attribute("hidden");
    }
}
