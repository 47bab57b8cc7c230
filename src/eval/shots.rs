//! Zero-shot against learning from few images (paper, figures 6 and 7).

use serde::{Deserialize, Serialize};

/// Accuracy by number of labelled images per class, for several methods on the same
/// features, with zero-shot as baseline. Accuracies are means over the classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShotsCurve {
    /// Number of classes.
    pub classes: usize,
    /// Number of images to draw the shots from.
    pub pool: usize,
    /// Number of images that are tested on, the same in every draw.
    pub tested: usize,
    /// Accuracy of the zero-shot classifier.
    pub zero_shot: f64,
    /// Curves of the methods.
    pub methods: Vec<MethodCurve>,
}

/// Accuracies of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodCurve {
    /// The method.
    pub method: FewShotMethod,
    /// By number of shots, ascending.
    pub points: Vec<ShotPoint>,
}

/// Method that learns from labelled images, given their features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FewShotMethod {
    /// Logistic regression.
    Probe,
    /// Zero-shot classifier with a correction.
    Adapter,
    /// Zero-shot classifier with Gaussian discriminant analysis.
    Gda,
}

impl FewShotMethod {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Probe, Self::Adapter, Self::Gda];

    /// Name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "linear probe",
            Self::Adapter => "adapter",
            Self::Gda => "GDA",
        }
    }
}

/// Accuracies of a method with one number of shots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShotPoint {
    /// Images per class; `None` for all.
    pub shots: Option<usize>,
    /// Images per class that there were, on average: a class may have fewer.
    pub per_class: f64,
    /// Accuracy of each draw.
    pub accuracies: Vec<f64>,
}

impl ShotPoint {
    /// Mean of the draws, and their standard deviation.
    pub fn mean_and_spread(&self) -> (f64, f64) {
        mean_and_spread(&self.accuracies)
    }
}

/// Mean and standard deviation (of the population, as NumPy's `std`).
pub fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// Number of labelled images per class at which a method reaches zero-shot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// The method is above it with as many, the fewest that were tried.
    AtMost(f64),
    /// Between the numbers that were tried, interpolated on a logarithmic axis.
    About(f64),
    /// The method is below it with as many, the most that were tried.
    MoreThan(f64),
}

impl ShotsCurve {
    /// What zero-shot is worth in images per class, by a method's mean accuracies.
    pub fn worth(&self, method: FewShotMethod) -> Option<Worth> {
        let curve = self.methods.iter().find(|curve| curve.method == method)?;
        let points: Vec<(f64, f64)> = (curve.points.iter())
            .map(|point| (point.per_class, point.mean_and_spread().0))
            .collect();
        let (first, last) = (points.first()?, points.last()?);
        if first.1 >= self.zero_shot {
            return Some(Worth::AtMost(first.0));
        }
        // The last crossing: from there on the method stays above.
        let crossing = (points.windows(2).rev())
            .find(|pair| pair[0].1 < self.zero_shot && pair[1].1 >= self.zero_shot);
        Some(match crossing {
            Some(pair) if last.1 >= self.zero_shot => {
                let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
                let share = (self.zero_shot - y0) / (y1 - y0);
                Worth::About((x0.ln() + share * (x1.ln() - x0.ln())).exp())
            }
            _ => Worth::MoreThan(last.0),
        })
    }

    /// The few-shot dip of a method: the number of shots at which its mean is furthest
    /// below zero-shot, and by how much; `None` if it never is.
    pub fn dip(&self, method: FewShotMethod) -> Option<(Option<usize>, f64)> {
        let curve = self.methods.iter().find(|curve| curve.method == method)?;
        let gaps = (curve.points.iter())
            .map(|point| (point.shots, point.mean_and_spread().0 - self.zero_shot));
        gaps.filter(|(_, gap)| *gap < 0.0)
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(accuracies: &[(usize, f64)]) -> ShotsCurve {
        ShotsCurve {
            zero_shot: 0.6,
            methods: vec![MethodCurve {
                method: FewShotMethod::Probe,
                points: (accuracies.iter())
                    .map(|(shots, accuracy)| ShotPoint {
                        shots: Some(*shots),
                        per_class: *shots as f64,
                        accuracies: vec![accuracy - 0.1, accuracy + 0.1],
                    })
                    .collect(),
            }],
            ..ShotsCurve::default()
        }
    }

    #[test]
    fn zero_shot_is_worth_the_shots_at_the_crossing() {
        let probe = FewShotMethod::Probe;
        let crossing = curve(&[(1, 0.3), (2, 0.5), (4, 0.7)]);
        let Some(Worth::About(worth)) = crossing.worth(probe) else {
            panic!("{:?}", crossing.worth(probe));
        };
        assert!((worth - 8f64.sqrt()).abs() < 1e-9, "{worth}");
        let (shots, gap) = crossing.dip(probe).unwrap();
        assert_eq!(shots, Some(1));
        assert!((gap + 0.3).abs() < 1e-9);
        assert_eq!(
            curve(&[(1, 0.7), (2, 0.8)]).worth(probe),
            Some(Worth::AtMost(1.0))
        );
        assert_eq!(curve(&[(1, 0.7)]).dip(probe), None);
        assert_eq!(
            curve(&[(1, 0.3), (2, 0.4)]).worth(probe),
            Some(Worth::MoreThan(2.0))
        );
        assert_eq!(curve(&[(1, 0.3)]).worth(FewShotMethod::Gda), None);
        assert_eq!(curve(&[]).worth(probe), None);
    }

    #[test]
    fn the_spread_is_that_of_the_draws() {
        let (mean, spread) = mean_and_spread(&[0.5, 0.7]);
        assert!((mean - 0.6).abs() < 1e-12 && (spread - 0.1).abs() < 1e-12);
        assert_eq!(mean_and_spread(&[]), (0.0, 0.0));
    }
}
