//! `project.json`, which the Train tab of the page writes beside the images of a project: what each of
//! them shows, and which are held out. The page keeps more in it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::listing::Listing;
use super::{DataError, DataFiles};
use crate::diagnostic::diagnostic;

/// Name of the file, at the top of the images' folders.
pub const PROJECT_FILE: &str = "project.json";

/// Tells it from other files of this name.
const FORMAT: &str = "clip-project";

/// Raised when an older reader would misread the file.
const VERSION: u32 = 1;

/// What a project says of its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectImages {
    format: String,
    version: u32,
    /// For people.
    pub name: String,
    /// Names of the classes, in the visitor's order.
    pub classes: Vec<String>,
    /// The images.
    pub images: Vec<ProjectImage>,
}

/// Image of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectImage {
    /// Path from the folder of the project.
    pub file: String,
    /// What it is called on the page, where that is not the path's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its class, by name.
    pub class: Option<String>,
    /// Captions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<String>,
    /// Part that it belongs to.
    pub split: ProjectSplit,
    /// Number by which chance took it into its part; `None` where the data say the part themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
}

/// Part of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectSplit {
    /// To learn from.
    #[default]
    Train,
    /// Held out.
    Test,
}

impl ProjectSplit {
    /// Name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl ProjectImages {
    /// Images with their classes.
    pub fn new(name: String, classes: Vec<String>, images: Vec<ProjectImage>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            name,
            classes,
            images,
        }
    }
}

/// The project that some files are, with its folder, which is empty or ends with `/`; `None` for other
/// files.
pub async fn open_project<T: DeserializeOwned>(
    files: &impl DataFiles,
) -> Result<Option<(String, T)>, DataError> {
    find_project(files, &Listing::new(files.paths())).await
}

/// The same of files that are listed.
pub(super) async fn find_project<T: DeserializeOwned>(
    files: &impl DataFiles,
    listing: &Listing,
) -> Result<Option<(String, T)>, DataError> {
    let Some(path) = (listing.paths.iter()).find(|path| listing.inner(path) == PROJECT_FILE) else {
        return Ok(None);
    };
    let project = read_project(path, &files.read(path).await?)?;
    let folder = path.strip_suffix(PROJECT_FILE).unwrap_or_default();
    Ok(project.map(|project| (folder.to_owned(), project)))
}

/// Parses the file at `path`, with what `T` knows of it; `None` for a file of other programs.
fn read_project<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<Option<T>, DataError> {
    let wrong = |why| DataError::Project {
        file: path.into(),
        why,
    };
    let damaged = |error: serde_json::Error| {
        let reason = error.to_string();
        wrong(diagnostic!(
            "project-damaged",
            "it is damaged ({reason})",
            reason
        ))
    };
    let read: Value = serde_json::from_slice(bytes).map_err(damaged)?;
    if read["format"] != FORMAT {
        return Ok(None);
    }
    match read["version"].as_u64() {
        Some(version) if version > VERSION.into() => Err(wrong(diagnostic!(
            "project-newer",
            "a newer version of this program wrote it (format {version}): update, or reload the page",
            version
        ))),
        _ => serde_json::from_value(read).map(Some).map_err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_read_as_it_was_written_and_others_are_told_apart() {
        let image = ProjectImage {
            file: "cat/1.png".into(),
            class: Some("cat".into()),
            captions: vec!["a cat".into()],
            split: ProjectSplit::Test,
            draw: Some(7),
            name: None,
        };
        let project = ProjectImages::new("pets".into(), vec!["cat".into()], vec![image]);
        let text = serde_json::to_string(&project).unwrap();
        let read = |text: &str| read_project::<ProjectImages>("a/project.json", text.as_bytes());
        assert_eq!(read(&text).unwrap().unwrap(), project);
        // Written by hand.
        let short = r#"{"format": "clip-project", "version": 1, "name": "", "classes": [],
            "images": [{"file": "1.png", "class": "cat", "more": 1}]}"#;
        let images = read(short).unwrap().unwrap().images;
        assert_eq!(
            (images[0].split, images[0].draw),
            (ProjectSplit::Train, None)
        );
        for other in ["{}", "[]", r#"{"format": "tm", "version": 9}"#] {
            assert!(read(other).unwrap().is_none(), "{other}");
        }
        let refused = |text: &str| read(text).unwrap_err().to_string();
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(
            refused(&newer).contains("a newer version"),
            "{}",
            refused(&newer)
        );
        for broken in [
            &text[..text.len() / 2],
            &text.replace("\"images\"", "\"pictures\""),
        ] {
            assert!(
                refused(broken).contains("a/project.json cannot be opened: it is damaged"),
                "{broken}"
            );
        }
    }
}
