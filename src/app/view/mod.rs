//! Components. Each takes the controllers that it needs.
//!
//! | module | contents |
//! | --- | --- |
//! | [`header`], [`tabs`], [`tour`], [`notices`], [`undo`] | around the sides of the page |
//! | [`dropping`], [`add_pictures`] | files: dropped, pasted, picked |
//! | [`live`] | a camera or a video with its answers |
//! | [`labels`], [`templates`], [`models`] | what to classify with |
//! | [`answers`], [`picture_grid`], [`card`] | pictures with their answers |
//! | [`standalone`], [`page_download`] | the page of one classifier, and its zip |
//! | [`training`], [`library`], [`evaluation`] | the other sides of the page |
//! | [`widgets`] | components that are used in several places |

pub mod add_pictures;
pub mod answers;
pub mod card;
pub mod dropping;
pub mod evaluation;
pub mod header;
pub mod labels;
pub mod library;
pub mod live;
pub mod models;
pub mod notices;
pub mod page_download;
pub mod picture_grid;
pub mod standalone;
pub mod tabs;
pub mod templates;
pub mod tour;
pub mod training;
pub mod undo;
pub mod widgets;

use leptos::prelude::*;

use crate::app::controller::App;
use crate::app::domain::tab::Tab;
use crate::app::domain::tour::TourStep;
use crate::app::domain::training::session::TrainingSession;
use crate::app::i18n::t;
use crate::train::Method;

use add_pictures::AddPictures;
use answers::Answers;
use dropping::DropAnywhere;
use evaluation::Evaluation;
use header::{EngineBar, Header};
use labels::LabelPanel;
use library::Library;
use models::{LinkedModel, ModelPanel, ModelScopeNote};
use notices::{Notes, NoticeList};
use tabs::{Panel, Tabs};
use templates::TemplatePanel;
use tour::{TourStrip, shown_step};
use training::{ActiveModelNote, Training};
use undo::UndoList;

/// The whole page. In another language it is drawn anew; what the controllers hold stays.
#[component]
pub fn Page() -> impl IntoView {
    let app = App::new(None);
    app.start();
    move || {
        app.language.get();
        view! { <Content app /> }
    }
}

#[component]
fn Content(app: App) -> impl IntoView {
    let App {
        notices,
        classify,
        training,
        tab,
        ..
    } = app;
    let own_classes = Memo::new(move |_| {
        let in_use = |t: &TrainingSession| t.in_use.as_ref().map(|trained| trained.method);
        matches!(
            app.training.session.with(in_use),
            Some(Method::Probe | Method::Adapter)
        )
    });
    let step = shown_step(app);
    view! {
        <DropAnywhere app />
        <div class="page" data-tour=move || step.get().map(TourStep::name)>
            <Header app />
            <EngineBar classify />
            <main>
                <Tabs tab training />
                <TourStrip app shown=step />
                <NoticeList notices />
                <Panel tab of=Tab::Classify class="classify">
                    <AddPictures app />
                    <div class="side">
                        <ActiveModelNote trainer=training />
                        // A classifier of one's own knows its classes only.
                        <Show when=move || !own_classes.get()>
                            <LabelPanel classify />
                            <TemplatePanel classify />
                        </Show>
                        <ModelPanel classify />
                        <div class="remarks">
                            <LinkedModel classify />
                            <Notes classify />
                            <ModelScopeNote classify />
                        </div>
                    </div>
                    <Answers classify tab />
                </Panel>
                <Panel tab of=Tab::Library>
                    <Library app />
                </Panel>
                <Panel tab of=Tab::Train class="train">
                    <Training trainer=training tab />
                </Panel>
                <Panel tab of=Tab::Evaluate class="train">
                    <Evaluation app />
                </Panel>
            </main>
            <footer>
                <p>
                    {t!("footer")}
                </p>
            </footer>
        </div>
        <UndoList undo=app.undo />
    }
}
