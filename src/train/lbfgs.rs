//! L-BFGS, the quasi-Newton method that the paper fits its probes with (Nocedal and
//! Wright, Numerical Optimization, algorithm 7.4).

use std::collections::VecDeque;

/// History size of the curvature estimate, as in SciPy.
const MEMORY: usize = 10;
/// Constants of the Wolfe conditions: sufficient decrease, curvature.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Maximum step-size evaluations of a line search.
const TRIES: usize = 40;

/// State of a minimisation.
pub struct Lbfgs {
    pub point: Vec<f64>,
    pub value: f64,
    gradient: Vec<f64>,
    /// Latest last.
    memory: VecDeque<Update>,
}

/// Change of point and gradient in one step.
struct Update {
    point: Vec<f64>,
    gradient: Vec<f64>,
    /// Inverse of their dot product.
    rho: f64,
}

impl Lbfgs {
    /// `objective` writes the gradient at a point and returns the value there.
    pub fn new(point: Vec<f64>, objective: impl Fn(&[f64], &mut [f64]) -> f64) -> Self {
        let mut gradient = vec![0.0; point.len()];
        let value = objective(&point, &mut gradient);
        Self {
            point,
            value,
            gradient,
            memory: VecDeque::with_capacity(MEMORY),
        }
    }

    /// Maximum norm of the gradient: 0 at the minimum.
    pub fn slope(&self) -> f64 {
        self.gradient.iter().fold(0.0, |most, g| most.max(g.abs()))
    }

    /// One iteration; `false` if the line search finds no decrease.
    pub fn step(&mut self, objective: impl Fn(&[f64], &mut [f64]) -> f64) -> bool {
        let mut direction = self.direction();
        let mut slope = dot(&direction, &self.gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the estimate: restart with steepest descent.
            self.memory.clear();
            direction = self.direction();
            slope = dot(&direction, &self.gradient);
        }
        if slope >= 0.0 || !slope.is_finite() {
            return false;
        }
        // Bisection between a step that is too short and one that is too long.
        let (mut short, mut long) = (0.0, f64::INFINITY);
        let mut length = match self.memory.is_empty() {
            true => 1.0 / dot(&direction, &direction).sqrt().max(1.0),
            false => 1.0,
        };
        let mut point = vec![0.0; self.point.len()];
        let mut gradient = vec![0.0; self.point.len()];
        for _ in 0..TRIES {
            for ((new, old), d) in point.iter_mut().zip(&self.point).zip(&direction) {
                *new = old + length * d;
            }
            let value = objective(&point, &mut gradient);
            // In this order, so that NaN counts as too long.
            let decreases = value <= self.value + DECREASE * length * slope;
            if !decreases {
                long = length;
            } else if dot(&gradient, &direction) < CURVATURE * slope {
                short = length;
            } else {
                self.accept(point, value, gradient);
                return true;
            }
            length = match long.is_finite() {
                true => (short + long) / 2.0,
                false => 2.0 * short,
            };
        }
        false
    }

    fn accept(&mut self, point: Vec<f64>, value: f64, gradient: Vec<f64>) {
        let change = |new: &[f64], old: &[f64]| -> Vec<f64> {
            new.iter().zip(old).map(|(new, old)| new - old).collect()
        };
        let step = change(&point, &self.point);
        let gradient_change = change(&gradient, &self.gradient);
        let curvature = dot(&step, &gradient_change);
        if curvature > 0.0 {
            if self.memory.len() == MEMORY {
                self.memory.pop_front();
            }
            self.memory.push_back(Update {
                point: step,
                gradient: gradient_change,
                rho: 1.0 / curvature,
            });
        }
        (self.point, self.value, self.gradient) = (point, value, gradient);
    }

    /// Descent direction, by the two-loop recursion.
    fn direction(&self) -> Vec<f64> {
        let mut direction: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(self.memory.len());
        for update in self.memory.iter().rev() {
            let alpha = update.rho * dot(&update.point, &direction);
            add(&mut direction, -alpha, &update.gradient);
            alphas.push(alpha);
        }
        if let Some(last) = self.memory.back() {
            let scale = 1.0 / (last.rho * dot(&last.gradient, &last.gradient));
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for (update, alpha) in self.memory.iter().zip(alphas.iter().rev()) {
            let beta = update.rho * dot(&update.gradient, &direction);
            add(&mut direction, alpha - beta, &update.point);
        }
        direction
    }
}

/// Eight partial sums, which compilers vectorise.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// `to += factor * from`.
pub fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_walked_to_its_end() {
        let objective = |p: &[f64], g: &mut [f64]| {
            let (x, y) = (p[0], p[1]);
            g[0] = -400.0 * x * (y - x * x) - 2.0 * (1.0 - x);
            g[1] = 200.0 * (y - x * x);
            100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
        };
        let mut minimum = Lbfgs::new(vec![-1.2, 1.0], objective);
        let mut steps = 0;
        while minimum.slope() > 1e-9 && minimum.step(objective) {
            steps += 1;
        }
        assert!(steps < 60, "{steps} steps");
        assert!((minimum.point[0] - 1.0).abs() < 1e-8);
        assert!((minimum.point[1] - 1.0).abs() < 1e-8);
    }

    #[test]
    fn a_cliff_of_no_numbers_is_stepped_back_from() {
        let objective = |p: &[f64], g: &mut [f64]| {
            g[0] = 1.0 - 1.0 / p[0];
            p[0] - p[0].ln() // no number below 0
        };
        let mut minimum = Lbfgs::new(vec![100.0], objective);
        while minimum.slope() > 1e-9 && minimum.step(objective) {}
        assert!((minimum.point[0] - 1.0).abs() < 1e-6);
        // At the minimum there is nothing left to do.
        minimum.gradient = vec![0.0];
        assert!(!minimum.step(objective));
    }
}
