//! The page's sides.

use crate::app::i18n::t;

/// Tab that is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Classify,
    Train,
    Library,
    Evaluate,
}

impl Tab {
    pub const ALL: [Self; 4] = [Self::Classify, Self::Library, Self::Train, Self::Evaluate];

    /// The tab that an address's hash names.
    pub fn of_hash(hash: &str) -> Self {
        match hash {
            "#train" => Self::Train,
            "#library" => Self::Library,
            "#evaluate" => Self::Evaluate,
            _ => Self::Classify,
        }
    }

    /// The hash in the page's address, so that the tab can be linked to.
    pub fn hash(self) -> &'static str {
        match self {
            Self::Classify => "",
            Self::Train => "#train",
            Self::Library => "#library",
            Self::Evaluate => "#evaluate",
        }
    }

    /// Name in ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Train => "train",
            Self::Library => "library",
            Self::Evaluate => "evaluate",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classify => t!("classify"),
            Self::Train => t!("train"),
            Self::Library => t!("library"),
            Self::Evaluate => t!("evaluate"),
        }
    }

    /// The tab so many places to the right, around the end.
    pub fn beside(self, steps: isize) -> Self {
        let place = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        let count = Self::ALL.len() as isize;
        Self::ALL[(place as isize + steps).rem_euclid(count) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_is_found_by_its_address() {
        for tab in Tab::ALL {
            assert_eq!(Tab::of_hash(tab.hash()), tab);
        }
        assert_eq!(Tab::of_hash("#elsewhere"), Tab::Classify);
    }

    #[test]
    fn arrows_go_around() {
        assert_eq!(Tab::Classify.beside(1), Tab::Library);
        assert_eq!(Tab::Classify.beside(-1), Tab::Evaluate);
        assert_eq!(Tab::Evaluate.beside(1), Tab::Classify);
    }
}
