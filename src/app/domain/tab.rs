//! The page's two sides.

/// Tab that is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Classify,
    Train,
}

impl Tab {
    /// The tab that an address's hash names.
    pub fn of_hash(hash: &str) -> Self {
        match hash {
            "#train" => Self::Train,
            _ => Self::Classify,
        }
    }

    /// The hash in the page's address, so that the tab can be linked to.
    pub fn hash(self) -> &'static str {
        match self {
            Self::Classify => "",
            Self::Train => "#train",
        }
    }

    /// Name in ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Train => "train",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classify => "Classify",
            Self::Train => "Train",
        }
    }

    /// The tab beside it.
    pub fn other(self) -> Self {
        match self {
            Self::Classify => Self::Train,
            Self::Train => Self::Classify,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_is_found_by_its_address() {
        for tab in [Tab::Classify, Tab::Train] {
            assert_eq!(Tab::of_hash(tab.hash()), tab);
        }
        assert_eq!(Tab::of_hash("#elsewhere"), Tab::Classify);
    }
}
