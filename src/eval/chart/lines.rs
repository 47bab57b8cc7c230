//! Line chart in the manner of the paper's figure 6.

use super::{Anchor, Axis, COLOURS, GRID, INK, MUTED, Svg, WIDTH, fitted, text_width};

/// A chart of accuracies over numbers of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Heading.
    pub title: String,
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis.
    pub y: String,
    /// Marks of the horizontal axis, from left to right, evenly.
    pub ticks: Vec<String>,
    /// Lines, in the order of the legend.
    pub lines: Vec<Line>,
    /// Name and value of a level line through the whole chart.
    pub level: Option<(String, f64)>,
}

/// Line of a chart. One point alone is drawn as a star.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points, from left to right.
    pub points: Vec<Point>,
}

/// Point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Index of the tick.
    pub tick: usize,
    /// In per cent.
    pub mean: f64,
    /// How far the runs spread around it.
    pub spread: f64,
}

const HEIGHT: f64 = 330.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 54.0;
/// Distance of names beside the ends of the lines.
const LINE_HEIGHT: f64 = 16.0;

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let level = self.level.iter().map(|(_, value)| *value);
        let points = self.lines.iter().flat_map(|line| &line.points);
        let ends = (points.filter(|point| point.tick < self.ticks.len()))
            .flat_map(|point| [point.mean - point.spread, point.mean + point.spread]);
        let axis = Axis::around(ends.chain(level));
        let names = self.lines.iter().map(|line| line.name.as_str());
        let names = names.chain(self.level.iter().map(|(name, _)| name.as_str()));
        let right = names.map(text_width).fold(40.0, f64::max).min(130.0) + 22.0;
        let (x_end, y_end) = (WIDTH - right, HEIGHT - BOTTOM);
        let x = |tick: usize| {
            LEFT + (x_end - LEFT) * (tick as f64 + 0.5) / self.ticks.len().max(1) as f64
        };
        let y = |value: f64| y_end - (y_end - TOP) * axis.share(value);

        let mut svg = Svg::new(HEIGHT, &self.title);
        svg.text((12.0, 22.0), Anchor::Start, INK, &self.title);
        for value in axis.marks() {
            svg.line((LEFT, y(value)), (x_end, y(value)), GRID, 1.0, false);
            svg.text(
                (LEFT - 8.0, y(value) + 4.0),
                Anchor::End,
                MUTED,
                &format!("{value:.0}"),
            );
        }
        for (index, tick) in self.ticks.iter().enumerate() {
            svg.text((x(index), y_end + 20.0), Anchor::Middle, MUTED, tick);
        }
        svg.text(
            ((LEFT + x_end) / 2.0, HEIGHT - 10.0),
            Anchor::Middle,
            MUTED,
            &self.x,
        );
        svg.add(format_args!(
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\" style=\"fill:{MUTED}\">{}</text>",
            (TOP + y_end) / 2.0,
            super::escaped(&self.y)
        ));
        let mut labels: Vec<(f64, f64, &str, &str)> = Vec::new();
        if let Some((name, value)) = &self.level {
            svg.line((LEFT, y(*value)), (x_end, y(*value)), INK, 1.5, true);
            labels.push((y(*value), x_end - 4.0, name, INK));
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points = line
                .points
                .iter()
                .filter(|point| point.tick < self.ticks.len());
            let places: Vec<(f64, f64, f64)> = (points)
                .map(|p| (x(p.tick), y(p.mean), y(p.mean - p.spread) - y(p.mean)))
                .collect();
            draw(&mut svg, &places, colour);
            if let Some((x, y, _)) = places.last() {
                labels.push((*y, *x, &line.name, colour));
            }
        }
        // Names beside the ends of the lines, none over another.
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut above = f64::MIN;
        for label in &mut labels {
            label.0 = label.0.max(above + LINE_HEIGHT);
            above = label.0;
        }
        // What is pushed out at the bottom moves up again.
        let mut below = y_end + LINE_HEIGHT;
        for label in labels.iter_mut().rev() {
            label.0 = label.0.min(below - LINE_HEIGHT);
            below = label.0;
        }
        for (y, x, name, colour) in labels {
            let name = fitted(name, WIDTH - x_end - 8.0);
            svg.text(
                (x.max(x_end - 16.0) + 12.0, y + 4.0),
                Anchor::Start,
                colour,
                &name,
            );
        }
        svg.end()
    }
}

/// Places and the half widths of their bands.
fn draw(svg: &mut Svg, places: &[(f64, f64, f64)], colour: &str) {
    if let [(x, y, _)] = places {
        svg.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"22\" style=\"fill:{colour}\">★</text>",
            y + 7.0
        ));
        return;
    }
    let upper = places.iter().map(|(x, y, band)| (x, y - band));
    let lower = places.iter().rev().map(|(x, y, band)| (x, y + band));
    let list = |points: &mut dyn Iterator<Item = (&f64, f64)>| -> String {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        points.join(" ")
    };
    svg.add(format_args!(
        "<polygon points=\"{}\" style=\"fill:{colour}\" opacity=\"0.15\"/>\n\
         <polyline points=\"{}\" fill=\"none\" style=\"stroke:{colour}\" stroke-width=\"2\"/>",
        list(&mut upper.chain(lower)),
        list(&mut places.iter().map(|(x, y, _)| (x, *y)))
    ));
    for (x, y, _) in places {
        svg.circle((*x, *y), 3.5, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(tick: usize, mean: f64, spread: f64) -> Point {
        Point { tick, mean, spread }
    }

    fn line(name: &str, points: &[Point]) -> Line {
        Line {
            name: name.into(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn lines_and_stars_are_drawn_within_the_frame() {
        let chart = Chart {
            title: "a < b".into(),
            x: "shots".into(),
            y: "%".into(),
            ticks: ["0", "1", "all"].map(String::from).to_vec(),
            lines: vec![
                line("zero-shot", &[point(0, 41.0, 0.0)]),
                line(
                    "probe",
                    &[point(1, 20.0, 3.0), point(2, 60.0, 2.0), point(9, 1.0, 1.0)],
                ),
            ],
            level: Some(("chance".into(), 10.0)),
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b") && svg.contains('★') && svg.contains("polyline"));
        assert!(svg.contains("stroke-dasharray") && svg.contains(">chance<"));
        assert!(svg.contains(">10<") && svg.contains(">70<") && !svg.contains("NaN"));
        // Nothing to draw is no reason to fail.
        let empty = Chart {
            ticks: vec![],
            lines: vec![],
            level: None,
            ..chart
        };
        assert!(empty.svg().contains("</svg>") && !empty.svg().contains("NaN"));
    }

    #[test]
    fn names_of_lines_do_not_overlap() {
        let lines =
            ["a", "b", "c"].map(|name| line(name, &[point(0, 50.0, 1.0), point(1, 50.0, 1.0)]));
        let chart = Chart {
            title: String::new(),
            x: String::new(),
            y: String::new(),
            ticks: vec!["1".into(), "2".into()],
            lines: lines.to_vec(),
            level: None,
        };
        let svg = chart.svg();
        let mut places: Vec<f64> = (["a", "b", "c"].iter())
            .map(|name| {
                let text = svg
                    .lines()
                    .find(|line| line.ends_with(&format!(">{name}</text>")))
                    .unwrap();
                text.split("y=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        places.sort_by(f64::total_cmp);
        assert!(
            places.windows(2).all(|pair| pair[1] - pair[0] >= 15.9),
            "{places:?}"
        );
    }
}
