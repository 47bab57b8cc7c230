//! Charts as SVG, alone or within a page. Their colours are CSS variables with fallbacks:
//! alone they are dark on white, in a page they follow its light or dark scheme.

mod intervals;
mod lines;
mod matrix;
mod reliability;

use std::fmt::Write;

pub use intervals::{Changes, IntervalRow, Intervals};
pub use lines::{Chart, Line, Point};
pub use matrix::MatrixChart;
pub use reliability::ReliabilityDiagram;

/// Width of every chart, narrow enough to be read on a phone.
const WIDTH: f64 = 440.0;
const FONT_SIZE: f64 = 13.0;

const INK: &str = "var(--ink,#1f2328)";
const MUTED: &str = "var(--muted,#59636e)";
const GRID: &str = "var(--grid,#d9dee3)";
const PAPER: &str = "var(--paper,#fff)";
const GAIN: &str = "var(--c0,#0072b2)";
const LOSS: &str = "var(--c1,#d55e00)";
/// Told apart by the colour-blind, too (Okabe and Ito).
const COLOURS: [&str; 6] = [
    GAIN,
    LOSS,
    "var(--c2,#009e73)",
    "var(--c3,#cc79a7)",
    "var(--c4,#b07d00)",
    "var(--c5,#56b4e9)",
];

/// Where a text is fastened.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// SVG document that is being written. Writing to a String does not fail.
struct Svg(String);

impl Svg {
    /// `label` is what a screen reader says of the whole; the marks are not read.
    fn new(height: f64, label: &str) -> Self {
        let mut svg = Self(String::new());
        svg.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
             aria-label=\"{}\" font-family=\"system-ui, sans-serif\" font-size=\"{FONT_SIZE}\">\n\
             <rect width=\"{WIDTH}\" height=\"{height:.0}\" style=\"fill:{PAPER}\"/>",
            escaped(label)
        ));
        svg
    }

    fn add(&mut self, text: std::fmt::Arguments) {
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, colour: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" style=\"fill:{colour}\">{}</text>",
            escaped(text)
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashed: bool) {
        let dashes = if dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        self.add(format_args!(
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" style=\"stroke:{colour}\" stroke-width=\"{width}\"{dashes}/>",
            from.0, from.1, to.0, to.1
        ));
    }

    fn circle(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        self.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" style=\"fill:{colour}\"/>"
        ));
    }

    /// Rectangle between two corners; `hint` is shown under a mouse.
    fn bar(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, opacity: f64, hint: &str) {
        let hint = match hint {
            "" => String::new(),
            hint => format!("<title>{}</title>", escaped(hint)),
        };
        self.add(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" style=\"fill:{colour}\" \
             fill-opacity=\"{opacity:.2}\">{hint}</rect>",
            from.0.min(to.0),
            from.1.min(to.1),
            (to.0 - from.0).abs(),
            (to.1 - from.1).abs()
        ));
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// Text for HTML and SVG, also within double quotes.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// Estimated width of a text: Chinese characters are twice as wide.
fn text_width(text: &str) -> f64 {
    let units = text
        .chars()
        .map(|c| if (c as u32) < 0x2e80 { 0.54 } else { 1.0 });
    FONT_SIZE * units.sum::<f64>()
}

/// Text that is cut to a width.
fn fitted(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.into();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        if text_width(&cut) + 2.0 * FONT_SIZE * 0.54 > width {
            break;
        }
        cut.push(letter);
    }
    format!("{}…", cut.trim_end())
}

/// Percentage with the digits that matter.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Axis of percentages, in fives, tens or twenties around what is there.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        let (low, high) = if low > high {
            (0.0, 100.0)
        } else {
            (low, high)
        };
        let step = match high - low {
            range if range > 60.0 => 20.0,
            range if range > 25.0 => 10.0,
            _ => 5.0,
        };
        let low = (low / step).floor() * step;
        Self {
            low,
            high: ((high / step).ceil() * step).max(low + step),
            step,
        }
    }

    /// From 0 to 1.
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn marks(&self) -> impl Iterator<Item = f64> + use<> {
        let Self { low, high, step } = *self;
        (0..=((high - low) / step).round() as usize).map(move |i| low + step * i as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_escaped() {
        assert_eq!(fitted("cat", 100.0), "cat");
        let cut = fitted("a very long name of a class", 80.0);
        assert!(cut.ends_with('…') && text_width(&cut) <= 80.0, "{cut}");
        assert_eq!(fitted("猫", 1.0), "…");
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }

    #[test]
    fn an_axis_is_around_its_values() {
        let axis = Axis::around([17.0, 73.0].into_iter());
        assert_eq!(
            axis.marks().collect::<Vec<_>>(),
            [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
        );
        assert_eq!(axis.share(80.0), 1.0);
        let none = Axis::around([].into_iter());
        assert_eq!((none.low, none.high), (0.0, 100.0));
        let one = Axis::around([50.0].into_iter());
        assert!(one.high > one.low);
    }
}
