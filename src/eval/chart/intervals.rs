//! Values with their confidence intervals, a row each, and changes to both sides of zero.

use super::super::IntervalEstimate;
use super::{
    Anchor, Axis, COLOURS, GAIN, GRID, INK, LOSS, MUTED, Svg, WIDTH, fitted, percent, text_width,
};

/// Shares with their intervals, one below the other.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    /// What a screen reader says.
    pub label: String,
    /// From the top.
    pub rows: Vec<IntervalRow>,
    /// Name and value of an upright line.
    pub level: Option<(String, f64)>,
    /// Whether bars from 0 are drawn; else points on an axis around the values.
    pub bars: bool,
}

/// Row of the chart [`Intervals`].
#[derive(Clone, Debug)]
pub struct IntervalRow {
    /// Name at the left.
    pub name: String,
    /// The share, from 0 to 1.
    pub share: IntervalEstimate,
    /// Another share, drawn as a small diamond.
    pub mark: Option<f64>,
}

const TOP: f64 = 12.0;
const RIGHT: f64 = 64.0;
const BOTTOM: f64 = 30.0;

fn left_of<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    names.map(text_width).fold(40.0, f64::max).min(180.0) + 16.0
}

impl Intervals {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let row_height = if self.bars { 22.0 } else { 30.0 };
        let named = if self.level.is_some() { 16.0 } else { 0.0 };
        let top = TOP + named;
        let y_end = top + row_height * self.rows.len() as f64;
        let left = left_of(self.rows.iter().map(|row| row.name.as_str()));
        let x_end = WIDTH - RIGHT;
        let axis = match self.bars {
            true => Axis::around([0.0, 100.0].into_iter()),
            false => {
                let ends = self
                    .rows
                    .iter()
                    .flat_map(|row| [row.share.low, row.share.high]);
                let level = self.level.iter().map(|(_, value)| *value);
                Axis::around(ends.chain(level).map(|share| 100.0 * share))
            }
        };
        let x = |share: f64| left + (x_end - left) * axis.share(100.0 * share);

        let mut svg = Svg::new(y_end + BOTTOM, &self.label);
        for value in axis.marks() {
            let at = x(value / 100.0);
            svg.line((at, top), (at, y_end), GRID, 1.0, false);
            svg.text(
                (at, y_end + 20.0),
                Anchor::Middle,
                MUTED,
                &format!("{value:.0}"),
            );
        }
        if let Some((name, value)) = &self.level {
            svg.line((x(*value), top - 4.0), (x(*value), y_end), INK, 1.5, true);
            let width = text_width(name) / 2.0;
            let at = x(*value).clamp(width, WIDTH - width);
            svg.text((at, top - 8.0), Anchor::Middle, INK, name);
        }
        let colour = COLOURS[0];
        for (index, row) in self.rows.iter().enumerate() {
            let y = top + row_height * (index as f64 + 0.5);
            let share = row.share;
            svg.text(
                (left - 10.0, y + 4.0),
                Anchor::End,
                INK,
                &fitted(&row.name, left - 14.0),
            );
            let (whisker, cap) = match self.bars {
                true => {
                    svg.bar(
                        (x(0.0), y - 7.0),
                        (x(share.value), y + 7.0),
                        colour,
                        0.75,
                        "",
                    );
                    (INK, 3.0)
                }
                false => (colour, 5.0),
            };
            let (low, high) = (x(share.low), x(share.high));
            svg.line(
                (low, y),
                (high, y),
                whisker,
                if self.bars { 1.0 } else { 2.0 },
                false,
            );
            for end in [low, high] {
                svg.line((end, y - cap), (end, y + cap), whisker, 1.0, false);
            }
            if !self.bars {
                svg.circle((x(share.value), y), 5.0, colour);
            }
            if let Some(mark) = row.mark {
                let x = x(mark);
                svg.add(format_args!(
                    "<path d=\"M{:.1} {y:.1}l5 -5l5 5l-5 5z\" style=\"fill:{LOSS}\"/>",
                    x - 5.0
                ));
            }
            svg.text(
                (WIDTH - 4.0, y + 4.0),
                Anchor::End,
                INK,
                &percent(share.value),
            );
        }
        svg.end()
    }
}

/// Changes to both sides of zero, in percentage points.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What a screen reader says.
    pub label: String,
    /// Name, and change from -1 to 1.
    pub rows: Vec<(String, f64)>,
}

impl Changes {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        const ROW: f64 = 20.0;
        let y_end = TOP + ROW * self.rows.len() as f64;
        let left = left_of(self.rows.iter().map(|(name, _)| name.as_str()));
        let x_end = WIDTH - RIGHT;
        let most = self
            .rows
            .iter()
            .map(|(_, change)| change.abs())
            .fold(0.0, f64::max);
        let step = match 100.0 * most {
            most if most > 60.0 => 50.0,
            most if most > 30.0 => 20.0,
            most if most > 12.0 => 10.0,
            _ => 5.0,
        };
        let end = (100.0 * most / step).ceil().max(1.0) * step;
        let x = |points: f64| left + (x_end - left) * (points + end) / (2.0 * end);

        let mut svg = Svg::new(y_end + BOTTOM, &self.label);
        let marks = (end / step) as i32;
        for mark in -marks..=marks {
            let value = step * f64::from(mark);
            let colour = if mark == 0 { INK } else { GRID };
            svg.line((x(value), TOP), (x(value), y_end), colour, 1.0, false);
            svg.text(
                (x(value), y_end + 20.0),
                Anchor::Middle,
                MUTED,
                &format!("{value:+.0}"),
            );
        }
        for (index, (name, change)) in self.rows.iter().enumerate() {
            let y = TOP + ROW * (index as f64 + 0.5);
            let points = 100.0 * change;
            let colour = if *change < 0.0 { LOSS } else { GAIN };
            svg.text(
                (left - 10.0, y + 4.0),
                Anchor::End,
                INK,
                &fitted(name, left - 14.0),
            );
            svg.bar((x(0.0), y - 7.0), (x(points), y + 7.0), colour, 0.85, "");
            svg.text(
                (WIDTH - 4.0, y + 4.0),
                Anchor::End,
                INK,
                &format!("{points:+.1}"),
            );
        }
        svg.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_whiskers_and_values() {
        let chart = Intervals {
            label: "by template".into(),
            rows: vec![
                IntervalRow {
                    name: "label".into(),
                    share: IntervalEstimate::proportion(60, 100),
                    mark: None,
                },
                IntervalRow {
                    name: "a photo of a {label}.".into(),
                    share: IntervalEstimate::proportion(80, 100),
                    mark: Some(0.5),
                },
            ],
            level: Some(("chance 50 %".into(), 0.5)),
            bars: false,
        };
        let svg = chart.svg();
        assert!(svg.contains("60.0 %") && svg.contains("80.0 %") && svg.contains("chance"));
        assert_eq!(svg.matches("<circle").count(), 2);
        let bars = Intervals {
            bars: true,
            ..chart
        }
        .svg();
        assert!(bars.contains(">100<") && bars.matches("<rect").count() == 3);
        assert!(!Intervals::default().svg().contains("NaN"));
    }

    #[test]
    fn gains_and_losses_go_to_their_sides() {
        let chart = Changes {
            label: "changes".into(),
            rows: vec![("cat".into(), 0.5), ("dog".into(), -0.25)],
        };
        let svg = chart.svg();
        assert!(svg.contains("+50.0") && svg.contains("-25.0") && svg.contains(">+60<"));
        assert!(!Changes::default().svg().contains("NaN"));
    }
}
