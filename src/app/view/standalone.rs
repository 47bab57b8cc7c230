//! Page of one classifier: its title, images or the camera, and the answers.

use leptos::prelude::*;

use super::add_pictures::AddPictures;
use super::answers::Answers;
use super::dropping::DropAnywhere;
use super::header::{EngineBar, Logo, ThemeButton};
use super::notices::{Notes, NoticeList};
use super::undo::UndoList;
use crate::app::controller::App;
use crate::app::controller::standalone::OpenedClassifier;

/// The whole page.
#[component]
pub fn StandalonePage(opened: OpenedClassifier) -> impl IntoView {
    let title = opened.classifier.title.clone();
    let labels = opened.classifier.named_labels();
    let app = App::new(Some(opened));
    app.start();
    let App {
        notices,
        classify,
        tab,
        ..
    } = app;
    view! {
        <DropAnywhere app />
        <div class="page" data-testid="standalone">
            <header class="top">
                <div class="brand">
                    <Logo />
                    <h1>{title}</h1>
                </div>
                <ThemeButton />
                <p class="promise">
                    "Add an image and see which of these it shows: " <span data-testid="standalone-labels">{labels}</span>
                    ". " <strong>"Nothing is uploaded"</strong> ": everything runs on your own device."
                </p>
            </header>
            <EngineBar classify />
            <NoticeList notices />
            <main class="classify alone">
                <AddPictures app />
                <Answers classify tab />
                <Notes classify />
            </main>
        </div>
        <UndoList undo=app.undo />
    }
}
