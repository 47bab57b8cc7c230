//! Confusion matrix as a heat map.

use super::{Anchor, GAIN, GRID, INK, LOSS, MUTED, Svg, WIDTH, escaped, fitted, text_width};

/// Counts by true class and answer.
#[derive(Clone, Debug, Default)]
pub struct MatrixChart {
    /// What a screen reader says.
    pub label: String,
    /// Names of the classes.
    pub names: Vec<String>,
    /// `[truth][answer]`
    pub counts: Vec<Vec<usize>>,
}

/// Above so many classes they have no names at the sides.
const NAMED: usize = 40;
/// Above so many, cells have no counts.
const COUNTED: usize = 16;
/// Room for an axis's name and the gaps around those of the classes.
const AXIS: f64 = 24.0;

impl MatrixChart {
    /// The chart as an SVG document. A cell's strength is its share of the true class;
    /// right answers and wrong ones differ in colour.
    pub fn svg(&self) -> String {
        let classes = self.names.len();
        let named = classes <= NAMED;
        let widest = self
            .names
            .iter()
            .map(|name| text_width(name))
            .fold(20.0, f64::max);
        let margin = if named {
            widest.min(118.0) + AXIS
        } else {
            30.0
        };
        let side = (WIDTH - margin - 6.0) / classes.max(1) as f64;
        let font = if named {
            (side * 0.8).clamp(5.0, 13.0)
        } else {
            13.0
        };
        let top = if named {
            28.0 + (margin - AXIS) * 0.77
        } else {
            30.0
        };
        let length = side * classes as f64;
        let mut svg = Svg::new(top + length + 8.0, &self.label);
        svg.text(
            (margin + length / 2.0, 14.0),
            Anchor::Middle,
            MUTED,
            "named",
        );
        svg.add(format_args!(
            "<text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\" style=\"fill:{MUTED}\">true</text>",
            top + length / 2.0
        ));
        if named {
            svg.add(format_args!("<g font-size=\"{font:.1}\">"));
            for (index, name) in self.names.iter().enumerate() {
                let at = side * (index as f64 + 0.5);
                let name = fitted(name, (margin - AXIS + 0.5) * 13.0 / font);
                svg.text(
                    (margin - 5.0, top + at + font * 0.35),
                    Anchor::End,
                    INK,
                    &name,
                );
                svg.add(format_args!(
                    "<text transform=\"translate({:.1} {:.1}) rotate(-50)\" style=\"fill:{INK}\">{}</text>",
                    margin + at + font * 0.3,
                    top - 5.0,
                    escaped(&name)
                ));
            }
            svg.add(format_args!("</g>"));
        }
        for (truth, row) in self.counts.iter().enumerate() {
            let total = row.iter().sum::<usize>();
            let y = top + side * truth as f64;
            for (answer, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                let share = *count as f64 / total as f64;
                let colour = if truth == answer { GAIN } else { LOSS };
                let x = margin + side * answer as f64;
                let hint = format!(
                    "{} named {}: {count} of {total}",
                    self.names[truth], self.names[answer]
                );
                // A page finds out by it which cell was clicked.
                svg.add(format_args!("<g data-cell=\"{truth},{answer}\">"));
                svg.bar(
                    (x, y),
                    (x + side, y + side),
                    colour,
                    0.12 + 0.78 * share,
                    &hint,
                );
                if classes <= COUNTED {
                    let place = (x + side / 2.0, y + side / 2.0 + 4.0);
                    // In a light scheme and in a dark one each is easier to read so.
                    let colour = if share > 0.8 { super::PAPER } else { INK };
                    svg.text(place, Anchor::Middle, colour, &count.to_string());
                }
                svg.add(format_args!("</g>"));
            }
        }
        let lines = if classes <= NAMED { classes } else { 1 };
        for index in 0..=lines {
            let at = length * index as f64 / lines.max(1) as f64;
            svg.line(
                (margin, top + at),
                (margin + length, top + at),
                GRID,
                1.0,
                false,
            );
            svg.line(
                (margin + at, top),
                (margin + at, top + length),
                GRID,
                1.0,
                false,
            );
        }
        svg.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cells_with_images_are_drawn() {
        let matrix = MatrixChart {
            label: "confusion".into(),
            names: vec!["cat".into(), "dog".into()],
            counts: vec![vec![3, 1], vec![0, 4]],
        };
        let svg = matrix.svg();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("cat named dog: 1 of 4"));
        assert!(svg.contains("data-cell=\"0,1\"") && !svg.contains("data-cell=\"1,0\""));
        assert!(!MatrixChart::default().svg().contains("NaN"));
        // Names for which there is room are whole.
        for length in 1..16 {
            let name = "x".repeat(length);
            let named = MatrixChart {
                names: vec![name.clone(), "y".into()],
                ..matrix.clone()
            };
            let whole = format!(">{name}<");
            assert_eq!(named.svg().matches(&whole).count(), 2, "{name}");
        }
        let large = MatrixChart {
            names: (0..300).map(|i| i.to_string()).collect(),
            counts: vec![vec![0; 300]; 300],
            ..matrix
        };
        assert!(!large.svg().contains("rotate(-50)"));
    }
}
