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
use crate::app::i18n::t;

/// The whole page.
#[component]
pub fn StandalonePage(opened: OpenedClassifier) -> impl IntoView {
    let title = opened.classifier.title.clone();
    let classifier = opened.classifier.clone();
    let app = App::new(Some(opened));
    // In the language that the page now has.
    let labels = classifier.named_labels();
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
                    {t!("standalone-what")} <span data-testid="standalone-labels">{labels}</span>
                    {t!("standalone-end")} <strong>{t!("standalone-local")}</strong> {t!("standalone-where")}
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
