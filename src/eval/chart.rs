//! Charts as SVG, in the manner of the paper's figure 6.

use std::fmt::Write;

/// A chart of accuracies over numbers of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Heading.
    pub title: String,
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis.
    pub y: String,
    /// Where the horizontal axis has its marks, from left to right, evenly.
    pub ticks: Vec<f64>,
    /// Lines, in the order of the legend.
    pub lines: Vec<Line>,
}

/// Line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Place on the axis (one of the ticks), mean, and how far the runs spread
    /// around it. One point alone is drawn as a star.
    pub points: Vec<[f64; 3]>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Told apart by the colour-blind, too (Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a String does not fail.
        let _ = self.draw(&mut svg);
        svg
    }

    fn draw(&self, out: &mut String) -> std::fmt::Result {
        let scale = Scale::new(self);
        let (x_end, y_end) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>",
            escaped(&self.title)
        )?;
        for value in scale.marks() {
            let y = scale.y(value);
            writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{x_end}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
                LEFT - 8.0,
                y + 4.0
            )?;
        }
        for (index, tick) in self.ticks.iter().enumerate() {
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
                scale.x(index),
                y_end + 20.0
            )?;
        }
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + x_end) / 2.0,
            HEIGHT - 12.0,
            escaped(&self.x),
            (TOP + y_end) / 2.0,
            escaped(&self.y)
        )?;
        let mut labels = Vec::new();
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let places: Vec<(f64, f64, f64)> = (line.points.iter())
                .filter_map(|[tick, mean, spread]| {
                    let index = self.ticks.iter().position(|t| t == tick)?;
                    Some((scale.x(index), *mean, *spread))
                })
                .collect();
            scale.draw(out, &places, colour)?;
            if let Some((x, mean, _)) = places.last() {
                labels.push((scale.y(*mean), *x, &line.name, *colour));
            }
        }
        // Names beside the ends of the lines, none over another that ends there.
        labels.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
        let mut above = (f64::MIN, f64::MIN);
        for (y, x, name, colour) in labels {
            let y = if x == above.1 {
                y.max(above.0 + 16.0)
            } else {
                y
            };
            above = (y, x);
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                x + 12.0,
                y + 4.0,
                escaped(name)
            )?;
        }
        writeln!(out, "</svg>")
    }
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
    ticks: usize,
}

impl Scale {
    /// Percentages, in tens or fives around what is there.
    fn new(chart: &Chart) -> Self {
        let ends = (chart.lines.iter().flat_map(|line| &line.points))
            .flat_map(|[_, mean, spread]| [mean - spread, mean + spread]);
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        let (low, high) = if low > high {
            (0.0, 100.0)
        } else {
            (low, high)
        };
        let step = if high - low > 30.0 { 10.0 } else { 5.0 };
        let low = (low / step).floor() * step;
        Self {
            low,
            high: ((high / step).ceil() * step).max(low + step),
            step,
            ticks: chart.ticks.len(),
        }
    }

    fn x(&self, index: usize) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        LEFT + width * (index as f64 + 0.5) / self.ticks.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let height = HEIGHT - TOP - BOTTOM;
        TOP + height * (self.high - value) / (self.high - self.low)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| self.low + self.step * i as f64)
    }

    fn draw(&self, out: &mut String, places: &[(f64, f64, f64)], colour: &str) -> std::fmt::Result {
        if let [(x, mean, _)] = places {
            let y = self.y(*mean) + 7.0;
            return writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"22\" \
                 fill=\"{colour}\">★</text>"
            );
        }
        let upper = places.iter().map(|(x, mean, spread)| (x, mean + spread));
        let lower = places
            .iter()
            .rev()
            .map(|(x, mean, spread)| (x, mean - spread));
        let band: Vec<String> = (upper.chain(lower))
            .map(|(x, value)| format!("{x:.1},{:.1}", self.y(value)))
            .collect();
        let line: Vec<String> = (places.iter())
            .map(|(x, mean, _)| format!("{x:.1},{:.1}", self.y(*mean)))
            .collect();
        writeln!(
            out,
            "<polygon points=\"{}\" fill=\"{colour}\" opacity=\"0.15\"/>\n\
             <polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            band.join(" "),
            line.join(" ")
        )?;
        for (x, mean, _) in places {
            writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                self.y(*mean)
            )?;
        }
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    (text.replace('&', "&amp;").replace('<', "&lt;")).replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_stars_are_drawn_within_the_frame() {
        let chart = Chart {
            title: "a < b".into(),
            x: "shots".into(),
            y: "%".into(),
            ticks: vec![0.0, 1.0, 2.0],
            lines: vec![
                Line {
                    name: "zero-shot".into(),
                    points: vec![[0.0, 41.0, 0.0]],
                },
                Line {
                    name: "probe".into(),
                    points: vec![[1.0, 20.0, 3.0], [2.0, 60.0, 2.0]],
                },
            ],
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b") && svg.contains('★') && svg.contains("polyline"));
        let scale = Scale::new(&chart);
        assert_eq!(
            scale.marks().collect::<Vec<_>>(),
            [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
        );
        assert!(scale.y(70.0) >= TOP && scale.y(10.0) <= HEIGHT - BOTTOM);
        // Nothing to draw is no reason to fail.
        let empty = Chart {
            ticks: vec![],
            lines: vec![],
            ..chart
        };
        assert!(empty.svg().contains("</svg>"));
    }
}
