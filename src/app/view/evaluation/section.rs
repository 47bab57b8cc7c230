//! Parts of the report, which `eval` writes as HTML.

use leptos::prelude::*;

use crate::app::i18n;
use crate::eval::ReportSection;

/// Parts of the report, as far as there are any.
pub type Sections = Memo<Vec<ReportSection>>;

/// HTML of a part; empty without it.
pub fn html(sections: Sections, id: &'static str) -> Memo<String> {
    Memo::new(move |_| {
        sections.with(|sections| {
            let section = sections.iter().find(|section| section.id == id);
            section.map_or_else(String::new, |section| i18n::foreign_html(&section.html))
        })
    })
}

/// A part under its heading, if the report has it.
#[component]
pub fn ReportPart(
    sections: Sections,
    id: &'static str,
    #[prop(optional)] children: Option<ChildrenFn>,
) -> impl IntoView {
    let html = html(sections, id);
    let heading = move || {
        sections.with(|sections| {
            let section = sections.iter().find(|section| section.id == id);
            section.map_or_else(String::new, |section| i18n::foreign(section.heading))
        })
    };
    let children = StoredValue::new(children);
    view! {
        <Show when=move || !html.with(String::is_empty)>
            <section
                class="train-part"
                aria-labelledby=format!("evaluate-{id}")
                data-testid=format!("evaluate-{id}")
            >
                <h2 id=format!("evaluate-{id}")>{heading}</h2>
                <div class="report" inner_html=move || html.get()></div>
                {children.with_value(|children| children.as_ref().map(|children| children()))}
            </section>
        </Show>
    }
}
