//! Folding of what a file has apart and a model computes as one layer: convolutions with batch
//! normalisation, several of them added (Ding et al. 2021, RepVGG), the input itself beside
//! them, and a scale of the sum. All of it is linear.

use std::collections::HashMap;

/// Epsilon of the batch normalisation of timm's convolutions.
const EPSILON: f32 = 1e-5;

/// Sum of branches, scaled, whose weight or bias is a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// Whether the bias is wanted, not the weight.
    pub bias: bool,
    /// What is added.
    pub branches: Vec<Branch>,
    /// Tensor of factors of the sum, one for each output channel.
    pub scale: Option<String>,
    /// Whether the input is added to the sum.
    pub skip: bool,
}

/// Convolution, or the input as it is, with or without batch normalisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Tensor of the convolution's weights; `None`: the input.
    pub kernel: Option<String>,
    /// Tensor of the convolution's bias.
    pub bias: Option<String>,
    /// What the names of the batch normalisation's tensors begin with.
    pub norm: Option<String>,
    /// Whether the branch is subtracted.
    pub minus: bool,
}

/// Tensor of a file: its shape and its values.
pub(super) struct Part<'a> {
    pub shape: &'a [usize],
    pub values: &'a [f32],
}

impl Fold {
    /// Tensors that are needed, each once; of a weight the kernel of the first branch first.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for branch in &self.branches {
            let own = match self.bias {
                true => &branch.bias,
                false => &branch.kernel,
            };
            names.extend(own.clone());
            let statistics: &[&str] = match self.bias {
                true => &["weight", "bias", "running_mean", "running_var"],
                false => &["weight", "running_var"],
            };
            let norm = branch.norm.iter();
            names.extend(
                norm.flat_map(|norm| statistics.iter().map(move |name| format!("{norm}.{name}"))),
            );
        }
        names.extend(self.scale.clone());
        names
    }

    /// Shape of the weight or bias, given those of the tensors; if they do not fit together,
    /// the name of one that does not.
    pub fn shape(&self, shape_of: impl Fn(&str) -> Vec<usize>) -> Result<Vec<usize>, String> {
        let names = self.names();
        let first = names.first().map(|name| shape_of(name)).unwrap_or_default();
        let out = first.first().copied().unwrap_or_default();
        let kernel = |name: &str| {
            self.branches
                .iter()
                .any(|b| b.kernel.as_deref() == Some(name))
        };
        for name in &names {
            let shape = shape_of(name);
            let fits = match kernel(name) {
                // A smaller kernel is at the middle of the first.
                true => {
                    shape.len() == first.len()
                        && shape.get(..2) == first.get(..2)
                        && (shape.iter().zip(&first).skip(2))
                            .all(|(side, most)| side <= most && (most - side) % 2 == 0)
                        && shape.get(2) == shape.get(3)
                }
                false => shape.first() == Some(&out) && shape.iter().product::<usize>() == out,
            };
            if !fits {
                return Err(name.clone());
            }
        }
        Ok(first)
    }

    /// Weight or bias of a shape that [`Self::shape`] gave.
    pub(super) fn values(&self, shape: &[usize], parts: &HashMap<&str, Part>) -> Vec<f32> {
        let out = shape[0];
        let size = shape.iter().product::<usize>() / out;
        let mut sum = vec![0.0; shape.iter().product()];
        for branch in &self.branches {
            let sign = if branch.minus { -1.0 } else { 1.0 };
            let statistic = |name: &str, index: usize, default: f32| match &branch.norm {
                Some(norm) => value(parts, &format!("{norm}.{name}"), index).unwrap_or(default),
                None => default,
            };
            let kernel = branch.kernel.as_deref().and_then(|name| parts.get(name));
            for (index, sum) in sum.chunks_mut(size).enumerate() {
                let gain = match branch.norm {
                    Some(_) => {
                        let variance = statistic("running_var", index, 1.0);
                        statistic("weight", index, 1.0) / (variance + EPSILON).sqrt()
                    }
                    None => 1.0,
                };
                if self.bias {
                    let bias = branch.bias.as_deref();
                    let own = bias
                        .and_then(|name| value(parts, name, index))
                        .unwrap_or(0.0);
                    let centred = own - statistic("running_mean", index, 0.0);
                    sum[0] += sign * (centred * gain + statistic("bias", index, 0.0));
                    continue;
                }
                match kernel {
                    Some(kernel) => add_kernel(sum, shape, kernel, index, sign * gain),
                    None => add_input(sum, shape, index, sign * gain),
                }
            }
        }
        for (index, sum) in sum.chunks_mut(size).enumerate() {
            if let Some(scale) = self.scale.as_deref()
                && let Some(scale) = value(parts, scale, index)
            {
                sum.iter_mut().for_each(|value| *value *= scale);
            }
            if self.skip && !self.bias {
                add_input(sum, shape, index, 1.0);
            }
        }
        sum
    }
}

fn value(parts: &HashMap<&str, Part>, name: &str, index: usize) -> Option<f32> {
    parts.get(name)?.values.get(index).copied()
}

/// Adds the kernel of an output channel to the middle of another.
fn add_kernel(sum: &mut [f32], shape: &[usize], kernel: &Part, index: usize, factor: f32) {
    let [side, small] = [shape, kernel.shape].map(|shape| shape.get(2).copied().unwrap_or(1));
    let margin = (side - small) / 2;
    let own = sum.len() / (side * side) * small * small;
    let values = kernel.values[index * own..].chunks(small).take(own / small);
    for (row, values) in values.enumerate() {
        let (channel, row) = (row / small, row % small + margin);
        let start = (channel * side + row) * side + margin;
        for (sum, value) in sum[start..].iter_mut().zip(values) {
            *sum += factor * value;
        }
    }
}

/// Adds the input: a one at the middle of the kernel of an output channel's own input.
fn add_input(sum: &mut [f32], shape: &[usize], index: usize, factor: f32) {
    let inputs = shape.get(1).copied().unwrap_or(1);
    let side = shape.get(2).copied().unwrap_or(1);
    let middle = side / 2 * side + side / 2;
    sum[index % inputs * side * side + middle] += factor;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_kernel_and_the_input_are_at_the_middle() {
        let fold = Fold {
            branches: vec![
                Branch {
                    kernel: Some("large".into()),
                    ..Branch::default()
                },
                Branch {
                    kernel: Some("small".into()),
                    minus: true,
                    ..Branch::default()
                },
            ],
            scale: Some("scale".into()),
            skip: true,
            bias: false,
        };
        assert_eq!(fold.names(), ["large", "small", "scale"]);
        let shapes = |small: usize| {
            move |name: &str| match name {
                "large" => vec![2, 2, 3, 3],
                "small" => vec![2, 2, small, small],
                _ => vec![2, 1, 1],
            }
        };
        assert_eq!(fold.shape(shapes(2)), Err("small".into()));
        let shape = fold.shape(shapes(1)).unwrap();
        assert_eq!(shape, [2, 2, 3, 3]);
        let large: Vec<f32> = (0..36).map(|value| value as f32).collect();
        let parts = HashMap::from([
            ("large", (vec![2, 2, 3, 3], large.clone())),
            (
                "small",
                (vec![2, 2, 1, 1], vec![100.0, 200.0, 300.0, 400.0]),
            ),
            ("scale", (vec![2, 1, 1], vec![1.0, 2.0])),
        ]);
        let parts = (parts.iter())
            .map(|(name, (shape, values))| (*name, Part { shape, values }))
            .collect();
        let found = fold.values(&shape, &parts);
        let mut expected: Vec<f32> = (large.iter().enumerate())
            .map(|(index, value)| value * if index < 18 { 1.0 } else { 2.0 })
            .collect();
        expected[4] += 1.0 - 100.0;
        expected[13] -= 200.0;
        expected[22] -= 600.0;
        expected[31] += 1.0 - 800.0;
        assert_eq!(found, expected);
    }
}
