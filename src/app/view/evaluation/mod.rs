//! The evaluating side of the page: the model on labelled images.
//!
//! | module | contents |
//! | --- | --- |
//! | [`data`] | the choice of images and templates |
//! | [`progress`] | what is going on, and what went wrong |
//! | [`results`] | accuracy, mistakes, confusion matrix, calibration |
//! | [`parts`] | prompts, few images, limits: on demand |
//! | [`section`] | part of the report |

mod data;
mod parts;
mod progress;
mod results;
mod section;

use leptos::prelude::*;

use crate::app::controller::App;
use data::DataSection;
use parts::{FewImages, Limits, Prompts};
use results::{Mistakes, Overview, WhatIsTaken};
use section::{ReportPart, Sections};

/// The whole side.
#[component]
pub fn Evaluation(app: App) -> impl IntoView {
    let evaluation = app.evaluation;
    let session = evaluation.session;
    let revision = Memo::new(move |_| session.with(|s| s.revision));
    // Charts are drawn once for each change of the report, not for each step of a bar.
    let sections: Sections = Memo::new(move |_| {
        revision.get();
        session.with_untracked(|s| {
            let results = s.results.as_ref();
            results.map_or_else(Vec::new, |found| found.report.sections(&s.pictures))
        })
    });
    let found = Memo::new(move |_| sections.with(|sections| !sections.is_empty()));
    view! {
        <DataSection app />
        <Show when=move || found.get()>
            <Overview evaluation revision />
            <ReportPart sections id="models" />
            <ReportPart sections id="classes" />
            <WhatIsTaken evaluation sections revision />
            <Mistakes sections />
            <ReportPart sections id="calibration" />
            <Prompts evaluation sections />
            <FewImages evaluation sections />
            <Limits evaluation sections />
            <ReportPart sections id="method" />
        </Show>
    }
}
