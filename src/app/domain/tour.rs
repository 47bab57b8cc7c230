//! The short tour of a first visit: three things to do, one after the other.

use crate::app::i18n::t;

/// Step of the tour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TourStep {
    /// Add an image.
    Image,
    /// Type labels.
    Labels,
    /// Train a classifier of one's own.
    Train,
}

impl TourStep {
    pub const ALL: [Self; 3] = [Self::Image, Self::Labels, Self::Train];

    /// Its place, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Name in the page's markup, by which the style shows what it is about.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Labels => "labels",
            Self::Train => "train",
        }
    }

    /// What to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::Image => t!("tour-image"),
            Self::Labels => t!("tour-labels"),
            Self::Train => t!("tour-train"),
        }
    }

    /// The step after it.
    pub fn next(self) -> Option<Self> {
        Self::ALL.get(self.number()).copied()
    }

    /// Where the tour is once the visitor has done by themselves what steps ask for.
    pub fn caught_up(self, has_images: bool, has_own_labels: bool) -> Self {
        match self {
            Self::Image if has_images => Self::Labels.caught_up(has_images, has_own_labels),
            Self::Labels if has_own_labels => Self::Train,
            step => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_follow_each_other() {
        let mut step = TourStep::Image;
        let mut seen = vec![step];
        while let Some(next) = step.next() {
            step = next;
            seen.push(step);
        }
        assert_eq!(seen, TourStep::ALL);
        assert_eq!(TourStep::ALL.map(TourStep::number), [1, 2, 3]);
    }

    #[test]
    fn what_is_done_is_not_asked_for() {
        use TourStep::{Image, Labels, Train};
        assert_eq!(Image.caught_up(false, true), Image);
        assert_eq!(Image.caught_up(true, false), Labels);
        assert_eq!(Image.caught_up(true, true), Train);
        assert_eq!(Labels.caught_up(false, true), Train);
        assert_eq!(Train.caught_up(false, false), Train);
    }
}
