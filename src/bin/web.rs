//! The page's program.

use clip::app::Page;
use leptos::mount::mount_to_body;

fn main() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        show_breakdown();
    }));
    if let Some(placeholder) = element("starting") {
        placeholder.remove();
    }
    mount_to_body(Page);
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
