//! A classifier as a page of its own: what such a page is told of it, and what of this page's files
//! go with it.

use serde::{Deserialize, Serialize};

use super::labels;
use super::link::ClassifierLink;
use crate::app::i18n::{self, t};
use crate::data::file_safe;
use crate::engine::messages::{Export, ModelLocation, Trained};

/// File beside the page that describes its classifier.
pub const FILE: &str = "classifier.json";

/// Name of the tag in the page's head that names [`FILE`].
pub const TAG: &str = "classifier";

/// File with the weights of a probe or an adapter.
const HEAD: &str = "classifier.safetensors";

/// Folder of the bundled model.
const MODEL: &str = "model/";

/// The page itself, and the other files of it that are changed for a page of its own.
pub const INDEX: &str = "index.html";
pub const MANIFEST: &str = "manifest.webmanifest";
/// List of all files, for the service worker.
pub const LIST: &str = "files.json";

/// Labels that the page's description names.
const NAMED: usize = 12;

/// A classifier that has a page of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandaloneClassifier {
    /// Title of the page.
    pub title: String,
    /// Class names, at least one.
    pub labels: Vec<String>,
    /// Prompt templates; none: the default one.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The model's name on the hub, or its address; `None`: the one in the folder `model`.
    #[serde(default)]
    pub model: Option<String>,
    /// File of a probe or an adapter; `None`: the labels are compared as texts.
    #[serde(default)]
    pub head: Option<String>,
}

impl StandaloneClassifier {
    /// What was trained, with the title, templates and model of `self`, and its labels where it was
    /// trained without classes.
    pub fn with_trained(self, trained: &Trained) -> Self {
        let is_head = trained.exports.contains(&Export::Head);
        Self {
            labels: match trained.classes.is_empty() {
                true => self.labels,
                false => trained.classes.clone(),
            },
            // A LoRA or a whole model goes with the page.
            model: self.model.filter(|_| is_head),
            head: is_head.then(|| HEAD.into()),
            ..self
        }
    }

    /// Where an exported file of what was trained lies beside the page.
    pub fn place_of(&self, exported: &str) -> String {
        match &self.head {
            Some(head) => head.clone(),
            None => format!("{MODEL}{exported}"),
        }
    }

    /// Parses [`FILE`]. The error is in words, without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        (read.labels, _) = labels::merge(Vec::new(), read.labels);
        read.labels.retain(|label| !label.trim().is_empty());
        if read.labels.is_empty() {
            return Err("it has no labels".into());
        }
        if let Some(model) = &read.model {
            ModelLocation::parse(model).map_err(|error| i18n::error(&error))?;
        }
        Ok(read)
    }

    /// Labels, templates and model as a link has them.
    pub fn link(&self) -> ClassifierLink {
        ClassifierLink {
            labels: self.labels.clone(),
            templates: self.templates.clone(),
            model: self
                .model
                .as_ref()
                .and_then(|model| ModelLocation::parse(model).ok()),
        }
    }

    /// Which of this page's files go with it; `own`: files that it brings.
    pub fn files(&self, of_this_page: &[String], own: &[String]) -> Vec<String> {
        let own_model = self.model.is_some() || own.iter().any(|path| path.starts_with(MODEL));
        (of_this_page.iter())
            .filter(|path| !path.starts_with("samples/") && !path.starts_with("limits/"))
            .filter(|path| !(own_model && path.starts_with(MODEL)))
            .filter(|path| !own.contains(path) && path.as_str() != LIST)
            .cloned()
            .collect()
    }

    /// This page's `index.html` for that of the classifier: with its title, with the tag that names
    /// [`FILE`], and without this page's head; `None` if the text is not such a page.
    pub fn index(&self, of_this_page: &str) -> Option<String> {
        let (before, rest) = of_this_page.split_once("<title>")?;
        let (_, rest) = rest.split_once("</title>")?;
        let (between, rest) = rest.split_once("name=\"description\"")?;
        let (to_content, rest) = rest.split_once("content=\"")?;
        let (_, rest) = rest.split_once('"')?;
        let (to_head, rest) = rest.split_once("<!-- The head of the page")?;
        let (_, after) = rest.split_once("<!-- The end of the head -->")?;
        let (title, description) = (escaped(&self.title), escaped(&self.description()));
        Some(format!(
            "{before}<meta name=\"{TAG}\" content=\"{FILE}\" />\n    <title>{title}</title>{between}\
             name=\"description\"{to_content}content=\"{description}\"{to_head}{after}"
        ))
    }

    /// The same of this page's manifest, which names it where it is installed.
    pub fn manifest(&self, of_this_page: &str) -> Option<String> {
        let mut manifest: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(of_this_page).ok()?;
        for key in ["name", "short_name"] {
            manifest.insert(key.into(), self.title.as_str().into());
        }
        manifest.remove("description");
        serde_json::to_string_pretty(&manifest).ok()
    }

    /// Name of the zip.
    pub fn zip_name(&self) -> String {
        format!("{}.zip", file_safe(self.title.trim_end_matches('?')))
    }

    /// What the page does, in one sentence.
    fn description(&self) -> String {
        t!("page-description", labels = self.named_labels())
    }

    /// The labels in a row, not too many.
    pub fn named_labels(&self) -> String {
        let named = self.labels.iter().take(NAMED).cloned().collect::<Vec<_>>();
        match self.labels.len() - named.len() {
            0 => named.join(t!("comma")),
            more => t!(
                "and-more-labels",
                named = named.join(t!("comma")),
                count = more
            ),
        }
    }

    /// How to publish the page, for its `README.txt`.
    pub fn readme(&self) -> String {
        let model = match &self.model {
            Some(model) => t!("page-readme-model", model = model),
            None => String::new(),
        };
        let (title, what) = (&self.title, self.description());
        format!(
            "{title}: {what}\n{}\n{}{model}\n",
            t!("page-readme-publish"),
            t!("page-readme-local"),
        )
    }
}

/// Title that is suggested for a page with these labels.
pub fn suggested_title(labels: &[String]) -> String {
    match labels {
        [] => String::new(),
        [only] => only.clone(),
        [first, second] => t!("title-of-two", first = first, second = second),
        [first, second, third] => {
            t!(
                "title-of-three",
                first = first,
                second = second,
                third = third
            )
        }
        [first, second, third, ..] => {
            t!(
                "title-of-more",
                first = first,
                second = second,
                third = third
            )
        }
    }
}

fn escaped(text: &str) -> String {
    (text.replace('&', "&amp;"))
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Method;

    fn classifier() -> StandaloneClassifier {
        StandaloneClassifier {
            title: "Cats & \"dogs\" <script>".into(),
            labels: vec!["cat".into(), "dog".into()],
            templates: vec!["A photo of a {label}.".into()],
            model: Some("owner/name".into()),
            head: None,
        }
    }

    fn trained(method: Method, exports: &[Export]) -> Trained {
        Trained {
            tells_fit: false,
            method,
            model: "owner/name".into(),
            classes: vec!["oak".into(), "elm".into()],
            exports: exports.into(),
        }
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| path.to_string()).collect()
    }

    #[test]
    fn what_is_written_is_read_and_what_is_wrong_is_told() {
        let text = serde_json::to_string(&classifier()).unwrap();
        assert_eq!(StandaloneClassifier::parse(&text), Ok(classifier()));
        let small = StandaloneClassifier::parse(r#"{"title": "", "labels": ["a", "A", " "]}"#);
        let small = small.unwrap();
        assert_eq!(small.labels, ["a"]);
        assert_eq!(small.link().model, None);
        for (text, word) in [
            ("", "EOF"),
            (r#"{"title": ""}"#, "labels"),
            (r#"{"title": "", "labels": [" "]}"#, "no labels"),
            (r#"{"title": "", "labels": ["a"], "model": "?"}"#, "`?`"),
        ] {
            let error = StandaloneClassifier::parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_head_needs_its_model_and_whole_models_go_along() {
        let head = trained(Method::Probe, &[Export::Head]);
        let head = classifier().with_trained(&head);
        assert_eq!(head.labels, ["oak", "elm"]);
        assert_eq!(head.model.as_deref(), Some("owner/name"));
        assert_eq!(head.place_of("probe.safetensors"), "classifier.safetensors");

        let exports = [Export::Lora, Export::HuggingFace, Export::OpenClip];
        let mut lora = trained(Method::Lora, &exports);
        let page = classifier().with_trained(&lora);
        assert_eq!((page.model.clone(), page.head.clone()), (None, None));
        assert_eq!(page.place_of("tokenizer.json"), "model/tokenizer.json");
        lora.classes.clear();
        assert_eq!(classifier().with_trained(&lora).labels, ["cat", "dog"]);
    }

    #[test]
    fn the_page_goes_with_the_model_that_it_needs() {
        let all = paths(&[
            "files.json",
            "index.html",
            "model/tokenizer.json",
            "model/README.md",
            "samples/cat.jpg",
            "limits/people.zip",
            "worker-gpu.js",
        ]);
        let bundled = StandaloneClassifier {
            model: None,
            ..classifier()
        };
        assert_eq!(
            classifier().files(&all, &[]),
            ["index.html", "worker-gpu.js"]
        );
        assert_eq!(
            bundled.files(&all, &paths(&["classifier.safetensors"])),
            [
                "index.html",
                "model/tokenizer.json",
                "model/README.md",
                "worker-gpu.js"
            ]
        );
        assert_eq!(
            bundled.files(&all, &paths(&["model/tokenizer.json"])),
            ["index.html", "worker-gpu.js"]
        );
    }

    #[test]
    fn the_page_has_the_title_and_names_its_classifier() {
        let page = include_str!("../../../www/index.html");
        let own = classifier().index(page).unwrap();
        assert!(own.contains("<title>Cats &amp; &quot;dogs&quot; &lt;script></title>"));
        assert!(own.contains("<meta name=\"classifier\" content=\"classifier.json\" />"));
        assert!(
            own.contains("content=\"Add an image and see which of these it shows: cat, dog.\"")
        );
        assert!(!own.contains("CLIP in your browser") && own.contains("id=\"starting-text\""));
        // Everything else is as it was: the content security policy has hashes of the scripts.
        let scripts = |page: &str| {
            (page.split("<script>").skip(1))
                .filter_map(|rest| Some(rest.split_once("</script>")?.0.to_owned()))
                .collect::<Vec<_>>()
        };
        assert!(scripts(page).len() > 3);
        assert_eq!(scripts(&own), scripts(page));
        assert_eq!(classifier().index("<html>"), None);

        let manifest = include_str!("../../../www/manifest.webmanifest");
        let own = classifier().manifest(manifest).unwrap();
        let own: serde_json::Value = serde_json::from_str(&own).unwrap();
        assert_eq!(own["short_name"], classifier().title);
        assert_eq!(
            own["start_url"],
            serde_json::from_str::<serde_json::Value>(manifest).unwrap()["start_url"]
        );
    }

    #[test]
    fn the_readme_has_three_lines() {
        let readme = classifier().readme();
        assert_eq!(readme.lines().count(), 3);
        for part in [
            "cat, dog",
            "GitHub Pages",
            "Nothing is uploaded",
            "owner/name",
        ] {
            assert!(readme.contains(part), "{part}");
        }
    }

    #[test]
    fn a_title_is_suggested() {
        let labels: Vec<String> = ["a", "b", "c", "d"].map(Into::into).into();
        let titles: Vec<String> = (0..5).map(|n| suggested_title(&labels[..n])).collect();
        assert_eq!(
            titles,
            ["", "a", "a or b?", "a, b or c?", "a, b, c and more"]
        );
        assert_eq!(classifier().zip_name(), "Cats & _dogs_ _script_.zip");
        let asked = StandaloneClassifier {
            title: titles[2].clone(),
            ..classifier()
        };
        assert_eq!(asked.zip_name(), "a or b.zip");
        let many = StandaloneClassifier {
            labels: (0..15).map(|n| n.to_string()).collect(),
            ..classifier()
        };
        assert!(many.named_labels().ends_with("10, 11 and 3 more"));
    }
}
