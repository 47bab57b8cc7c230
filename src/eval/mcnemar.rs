//! McNemar's test: whether two models differ on the same images.

use serde::{Deserialize, Serialize};

use super::IntervalEstimate;

/// Two models on the same images, with McNemar's test of their difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Images that both name right.
    pub both: usize,
    /// Images that only the first names right.
    pub only_first: usize,
    /// Images that only the second names right.
    pub only_second: usize,
    /// Images that both name wrong.
    pub neither: usize,
    /// Accuracy of the second less that of the first; Wald's interval for pairs.
    pub difference: IntervalEstimate,
    /// Chi-squared with continuity correction; `None` for the exact test.
    pub statistic: Option<f64>,
    /// Probability of such a difference, or a greater one, between equal models.
    pub p_value: f64,
}

impl McNemar {
    /// Below this number of images on which the two disagree the test is the exact
    /// binomial one, else chi-squared with continuity correction.
    pub const EXACT_BELOW: usize = 25;

    /// Test of two models, from whether each named each image right.
    pub fn new(first: &[bool], second: &[bool]) -> Self {
        let count = |wanted: (bool, bool)| {
            let pairs = first.iter().copied().zip(second.iter().copied());
            pairs.filter(|pair| *pair == wanted).count()
        };
        let (only_first, only_second) = (count((true, false)), count((false, true)));
        let disagreements = only_first + only_second;
        let statistic = (disagreements >= Self::EXACT_BELOW).then(|| {
            let distance = only_first.abs_diff(only_second) as f64;
            (distance - 1.0).max(0.0).powi(2) / disagreements as f64
        });
        Self {
            both: count((true, true)),
            only_first,
            only_second,
            neither: count((false, false)),
            difference: IntervalEstimate::paired_difference(
                only_second,
                only_first,
                first.len().min(second.len()),
            ),
            statistic,
            p_value: match statistic {
                // Chi-squared of one degree of freedom is a squared normal variable.
                Some(statistic) => libm::erfc((statistic / 2.0).sqrt()),
                None => binomial(only_first.min(only_second), disagreements),
            },
        }
    }
}

/// Two-sided probability of at most `least` heads or tails in a few tosses of a coin.
fn binomial(least: usize, tosses: usize) -> f64 {
    let (mut term, mut sum) = (0.5f64.powi(tosses as i32), 0.0);
    for heads in 0..=least {
        sum += term;
        term *= (tosses - heads) as f64 / (heads + 1) as f64;
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(only_first: usize, only_second: usize) -> McNemar {
        let first: Vec<bool> = (0..only_first + only_second + 20)
            .map(|i| i < only_first || i % 2 == 0 && i >= only_first + only_second)
            .collect();
        let second: Vec<bool> = (0..only_first + only_second + 20)
            .map(|i| {
                (only_first..only_first + only_second).contains(&i)
                    || i % 2 == 0 && i >= only_first + only_second
            })
            .collect();
        McNemar::new(&first, &second)
    }

    #[test]
    fn equal_models_are_equal() {
        let found = pairs(0, 0);
        assert_eq!((found.p_value, found.both, found.neither), (1.0, 10, 10));
        assert_eq!(pairs(5, 5).p_value, 1.0);
        assert_eq!(pairs(50, 50).p_value, 1.0);
    }

    #[test]
    fn the_second_is_better_if_it_gains() {
        let found = pairs(3, 15);
        assert!(found.difference.value > 0.0 && found.statistic.is_none());
        // 2 * (1 + 18 + 153 + 816) / 2^18
        assert!((found.p_value - 2.0 * 988.0 / 262_144.0).abs() < 1e-12);
    }
}
