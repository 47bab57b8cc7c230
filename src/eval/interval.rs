//! Confidence intervals of 95 %: Wilson's for a plain proportion, the percentile bootstrap
//! for anything else.

use serde::{Deserialize, Serialize};

/// Value with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalEstimate {
    /// The value on the data.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl IntervalEstimate {
    /// Proportion with Wilson's score interval; 0 to 1 where there is no trial.
    pub fn proportion(successes: usize, trials: usize) -> Self {
        if trials == 0 {
            return Self {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let n = trials as f64;
        let p = successes as f64 / n;
        let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self {
            value: p,
            // Rounding must not put the ends beyond the value.
            low: (centre - half).clamp(0.0, p),
            high: (centre + half).clamp(p, 1.0),
        }
    }

    /// Difference of two proportions of the same trials, with Wald's interval for pairs.
    /// `gained` trials are successes of the second alone, `lost` of the first alone.
    pub fn paired_difference(gained: usize, lost: usize, trials: usize) -> Self {
        if trials == 0 {
            return Self::default();
        }
        let (gained, lost, n) = (gained as f64, lost as f64, trials as f64);
        let value = (gained - lost) / n;
        let half = Z
            * (gained + lost - (gained - lost).powi(2) / n)
                .max(0.0)
                .sqrt()
            / n;
        Self {
            value,
            low: (value - half).max(-1.0),
            high: (value + half).min(1.0),
        }
    }

    /// Value with the percentiles 2.5 and 97.5 of its `resampled` values, interpolated as
    /// NumPy does.
    pub fn percentiles(value: f64, mut resampled: Vec<f64>) -> Self {
        resampled.sort_by(f64::total_cmp);
        let quantile = |share: f64| match resampled.len() {
            0 => value,
            count => {
                let at = share * (count - 1) as f64;
                let (below, above) = (at.floor() as usize, at.ceil() as usize);
                let rest = at - below as f64;
                resampled[below] * (1.0 - rest) + resampled[above] * rest
            }
        };
        Self {
            value,
            low: quantile(0.025),
            high: quantile(0.975),
        }
    }
}

/// Resamples of a bootstrap.
pub(super) const RESAMPLES: usize = 1000;

/// SplitMix64: the same numbers in every build, also without the library for them, which
/// the page is built without.
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half of a 128-bit product: no division, and no bias to speak of.
        ((u128::from(mixed) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_proportion_stay_within_0_and_1() {
        let none = IntervalEstimate::proportion(0, 10);
        assert_eq!((none.value, none.low), (0.0, 0.0));
        assert!((none.high - 0.277_533).abs() < 1e-5, "{}", none.high);
        let all = IntervalEstimate::proportion(10, 10);
        assert_eq!((all.value, all.high), (1.0, 1.0));
        assert_eq!(IntervalEstimate::proportion(0, 0).high, 1.0);
    }

    #[test]
    fn percentiles_are_interpolated() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let found = IntervalEstimate::percentiles(50.0, values);
        assert_eq!((found.low, found.high), (2.5, 97.5));
        let none = IntervalEstimate::percentiles(0.3, Vec::new());
        assert_eq!((none.low, none.high), (0.3, 0.3));
    }

    #[test]
    fn equal_models_do_not_differ() {
        let same = IntervalEstimate::paired_difference(0, 0, 5);
        assert_eq!((same.value, same.low, same.high), (0.0, 0.0, 0.0));
        let better = IntervalEstimate::paired_difference(30, 10, 100);
        assert!((better.value - 0.2).abs() < 1e-12 && better.low > 0.0);
    }

    #[test]
    fn draws_are_even() {
        let mut random = SplitMix::new(1);
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[random.below(7)] += 1);
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }
}
