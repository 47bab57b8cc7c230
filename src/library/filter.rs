//! Filters: the part of a library that is looked at.

use serde::{Deserialize, Serialize};

/// What an image must fulfil to be looked at. The default lets all images pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Folder in the indexed one, with its subfolders, `/` between them.
    pub folder: Option<String>,
    /// Earliest date, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Date that is too late, milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// The image's label must be one of these, if there are any.
    pub labels: Vec<String>,
}

impl Filter {
    /// Whether all images pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an image passes: its path in the indexed folder, its date (`Entry::date_ms`)
    /// and its label, the most probable one or that of the group that it was sorted into.
    pub fn passes(&self, path: &str, date_ms: i64, label: Option<&str>) -> bool {
        self.folder
            .as_deref()
            .is_none_or(|folder| within(path, folder))
            && self.from_ms.is_none_or(|from| date_ms >= from)
            && self.before_ms.is_none_or(|before| date_ms < before)
            && (self.labels.is_empty()
                || label.is_some_and(|label| self.labels.iter().any(|wanted| wanted == label)))
    }
}

/// Whether a path lies in a folder. The folder may be written with `./` before it and `/`
/// after it; a part of a name is not a folder.
fn within(path: &str, folder: &str) -> bool {
    let folder = folder.trim_start_matches("./").trim_matches('/');
    folder.is_empty()
        || folder == "."
        || (path.strip_prefix(folder)).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_whole_names() {
        let passes = |folder: &str, path: &str| {
            let folder = Some(folder.to_owned());
            let filter = Filter {
                folder,
                ..Filter::default()
            };
            filter.passes(path, 0, None)
        };
        for folder in ["2021/夏", "2021/夏/", "./2021", "2021", "", ".", "/"] {
            assert!(passes(folder, "2021/夏/a.jpg"), "{folder}");
        }
        for folder in ["202", "2021/夏/a.jpg", "夏", "2021/s"] {
            assert!(!passes(folder, "2021/夏/a.jpg"), "{folder}");
        }
    }

    #[test]
    fn dates_and_labels_bound_what_is_seen() {
        let filter = Filter {
            from_ms: Some(10),
            before_ms: Some(20),
            labels: vec!["cat".into(), "dog".into()],
            ..Filter::default()
        };
        assert!(filter.passes("a.jpg", 10, Some("dog")));
        assert!(!filter.passes("a.jpg", 9, Some("dog")));
        assert!(!filter.passes("a.jpg", 20, Some("dog")));
        assert!(!filter.passes("a.jpg", 15, Some("doghouse")));
        assert!(!filter.passes("a.jpg", 15, None));
        assert!(Filter::default().passes("a.jpg", -5, None));
        assert!(Filter::default().is_empty() && !filter.is_empty());
    }
}
