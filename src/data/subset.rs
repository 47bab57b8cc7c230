//! Subsets that a data set is published in: training, validation, test.

use super::names::{file_name, split_extension};

/// Subset named by a folder, a table's file or a cell, as PyTorch's and Hugging Face's data
/// sets name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subset {
    Train,
    Validation,
    Test,
}

impl Subset {
    /// Subset of a whole name, such as that of a folder.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "eval" | "evaluation" => Some(Self::Test),
            _ => None,
        }
    }

    /// Subset of a table, if a word of its name says one: `train.csv`, `labels_test.csv`.
    pub fn of_table(path: &str) -> Option<Self> {
        let (stem, _) = split_extension(file_name(path));
        let mut named = (stem.split(|c: char| !c.is_alphanumeric())).filter_map(Self::named);
        let only = named.next()?;
        named.next().is_none().then_some(only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_known_by_their_usual_names() {
        for (name, subset) in [
            ("train", Some(Subset::Train)),
            ("Training", Some(Subset::Train)),
            ("VAL", Some(Subset::Validation)),
            ("dev", Some(Subset::Validation)),
            ("test", Some(Subset::Test)),
            ("trains", None),
            ("latest", None),
        ] {
            assert_eq!(Subset::named(name), subset, "{name}");
        }
        for (path, subset) in [
            ("set/train.csv", Some(Subset::Train)),
            ("labels_test.csv", Some(Subset::Test)),
            ("val-metadata.jsonl", Some(Subset::Validation)),
            ("train_test.csv", None),
            ("labels.csv", None),
        ] {
            assert_eq!(Subset::of_table(path), subset, "{path}");
        }
    }
}
