//! The page.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`session`] | what was asked and answered, as plain data; what to do next |
//! | [`meter`] | how fast a download goes |
//! | [`restart`] | what to do when the worker dies |
//! | [`state`] | files, worker and signals around the session |
//! | [`engine_client`] | the worker, seen from the page |
//! | [`training`] | the other side of the page: from pictures to a classifier of one's own |
//! | [`tabs`], [`header`], [`images`], [`labels`], [`templates`], [`models`], [`answers`], [`notices`] | what is seen |
//! | [`download`], [`export`], [`format`], [`storage`] | results as files, numbers as text, what is kept |

pub mod answers;
pub mod download;
pub mod engine_client;
pub mod export;
pub mod format;
pub mod header;
pub mod images;
pub mod labels;
pub mod meter;
pub mod models;
pub mod notices;
pub mod restart;
pub mod session;
pub mod state;
pub mod storage;
pub mod tabs;
pub mod templates;
pub mod training;

use leptos::prelude::*;

use crate::train::Method;

use answers::Answers;
use header::{EngineBar, Header};
use images::{AddPictures, DropAnywhere};
use labels::LabelPanel;
use models::{ModelPanel, ModelScopeNote};
use notices::{Notes, Notices};
use state::App;
use tabs::{Tab, Tabs};
use templates::TemplatePanel;
use training::session::TrainingSession;
use training::{ActiveModelNote, Training};

/// The whole page.
#[component]
pub fn Page() -> impl IntoView {
    let app = App::new();
    app.start();
    let own_classes = Memo::new(move |_| {
        let in_use = |t: &TrainingSession| t.in_use.as_ref().map(|trained| trained.method);
        matches!(
            app.training.with(in_use),
            Some(Method::Probe | Method::Adapter)
        )
    });
    view! {
        <DropAnywhere app />
        <div class="page">
            <Header />
            <EngineBar app />
            <Tabs app />
            <Notices app />
            <main
                id="panel-classify"
                class="classify"
                role="tabpanel"
                aria-labelledby="tab-classify"
                hidden=move || app.tab.get() != Tab::Classify
            >
                <AddPictures app />
                <div class="side">
                    <ActiveModelNote app />
                    // A classifier of one's own knows its classes only.
                    <Show when=move || !own_classes.get()>
                        <LabelPanel app />
                        <TemplatePanel app />
                    </Show>
                    <ModelPanel app />
                    <div class="remarks">
                        <Notes app />
                        <ModelScopeNote app />
                    </div>
                </div>
                <Answers app />
            </main>
            <main
                id="panel-train"
                class="train"
                role="tabpanel"
                aria-labelledby="tab-train"
                hidden=move || app.tab.get() != Tab::Train
            >
                <Training app />
            </main>
            <footer>
                <p>
                    "CLIP compares an image with text prompts and ranks your labels without being trained on them: zero-shot classification. Written in Rust, runs on WebAssembly and WebGPU, needs no server."
                </p>
            </footer>
        </div>
    }
}
