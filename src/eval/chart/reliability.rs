//! Reliability diagram: share of right answers by their probability.

use super::super::Reliability;
use super::{Anchor, GAIN, GRID, INK, LOSS, MUTED, Svg, WIDTH};

/// Reliability before and after temperature scaling.
#[derive(Clone, Copy, Debug)]
pub struct ReliabilityDiagram<'a> {
    /// What a screen reader says.
    pub label: &'a str,
    /// As the classifier is: bars.
    pub before: &'a Reliability,
    /// With the temperature: a line.
    pub after: &'a Reliability,
}

const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;
const SIDE: f64 = 300.0;
const COUNTS: f64 = 56.0;

impl ReliabilityDiagram<'_> {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let width = WIDTH - LEFT - 16.0;
        let x = |share: f64| LEFT + width * share;
        let y = |share: f64| TOP + SIDE * (1.0 - share);
        let counts_end = TOP + SIDE + 34.0 + COUNTS;
        let mut svg = Svg::new(counts_end + 44.0, self.label);
        for mark in 0..=5 {
            let share = f64::from(mark) / 5.0;
            svg.line((LEFT, y(share)), (x(1.0), y(share)), GRID, 1.0, false);
            let text = format!("{:.0}", 100.0 * share);
            svg.text((LEFT - 8.0, y(share) + 4.0), Anchor::End, MUTED, &text);
            svg.text((x(share), TOP + SIDE + 18.0), Anchor::Middle, MUTED, &text);
        }
        let most = self
            .before
            .bins
            .iter()
            .map(|bin| bin.images)
            .max()
            .unwrap_or(0)
            .max(1);
        for bin in self.before.bins.iter().filter(|bin| bin.images > 0) {
            let (from, to) = (x(bin.low) + 1.0, x(bin.high) - 1.0);
            let hint = format!(
                "probability {:.0} % on average, {:.0} % right, {} answers",
                100.0 * bin.confidence,
                100.0 * bin.accuracy,
                bin.images
            );
            svg.bar((from, y(0.0)), (to, y(bin.accuracy)), GAIN, 0.55, &hint);
            let high = COUNTS * bin.images as f64 / most as f64;
            svg.bar(
                (from, counts_end - high),
                (to, counts_end),
                MUTED,
                0.6,
                &hint,
            );
        }
        svg.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), INK, 1.5, true);
        let filled = self.after.bins.iter().filter(|bin| bin.images > 0);
        let places: Vec<(f64, f64, usize)> = (filled)
            .map(|bin| (x(bin.confidence), y(bin.accuracy), bin.images))
            .collect();
        for pair in places.windows(2) {
            svg.line(
                (pair[0].0, pair[0].1),
                (pair[1].0, pair[1].1),
                LOSS,
                1.2,
                false,
            );
        }
        // Few answers say little: their points are small.
        let most = places.iter().map(|place| place.2).max().unwrap_or(1);
        for (x, y, images) in places {
            let radius = 2.0 + 5.0 * (images as f64 / most as f64).sqrt();
            svg.circle((x, y), radius, LOSS);
        }
        svg.line((LEFT, counts_end), (x(1.0), counts_end), GRID, 1.0, false);
        svg.text((LEFT - 8.0, counts_end), Anchor::End, MUTED, "count");
        let below = counts_end + 26.0;
        svg.text(
            (LEFT + width / 2.0, below),
            Anchor::Middle,
            MUTED,
            "probability of the answer (%)",
        );
        svg.add(format_args!(
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\" style=\"fill:{MUTED}\">share that is right (%)</text>",
            TOP + SIDE / 2.0
        ));
        svg.bar((LEFT, 10.0), (LEFT + 12.0, 22.0), GAIN, 0.55, "");
        svg.text((LEFT + 18.0, 20.0), Anchor::Start, INK, "as it is");
        svg.line((LEFT + 86.0, 16.0), (LEFT + 104.0, 16.0), LOSS, 2.0, false);
        svg.text(
            (LEFT + 110.0, 20.0),
            Anchor::Start,
            INK,
            "with the temperature",
        );
        svg.line((LEFT + 252.0, 16.0), (LEFT + 272.0, 16.0), INK, 1.5, true);
        svg.text((LEFT + 278.0, 20.0), Anchor::Start, INK, "perfect");
        svg.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_with_answers_is_a_bar_and_a_point() {
        let before = Reliability::new(&[&[2.0, 0.0], &[0.5, 0.0]], &[0, 1], 1.0);
        let after = Reliability::new(&[&[2.0, 0.0], &[0.5, 0.0]], &[0, 1], 2.0);
        let diagram = ReliabilityDiagram {
            label: "reliability",
            before: &before,
            after: &after,
        };
        let svg = diagram.svg();
        assert_eq!(svg.matches("<title>").count(), 4);
        assert_eq!(svg.matches("<circle").count(), 2);
        let none = Reliability::default();
        let empty = ReliabilityDiagram {
            before: &none,
            after: &none,
            ..diagram
        };
        assert!(!empty.svg().contains("NaN"));
    }
}
