//! Rotary position embedding (Su et al. 2021) of a grid of patches, as EVA02 and Perception
//! Encoder have it: each pair of numbers of a query and a key is turned by an angle that
//! grows with the row or the column, so that their product depends on the distance.

use burn::tensor::{Device, Tensor, TensorData};

use super::RotaryConfig;
use crate::ops::into_contiguous;

/// Base of the angles' geometric series.
const TEMPERATURE: f64 = 10_000.0;

/// Cosines and sines by which the queries and keys of a grid of patches are turned.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// `[1, length, 1, head_width]`
    cos: Tensor<4>,
    /// `[1, length, 1, head_width]`, negative for the first number of a pair.
    sin: Tensor<4>,
}

impl Rotation {
    /// Turns of a grid of patches after `first` tokens that are not turned.
    pub(super) fn new(
        config: &RotaryConfig,
        first: usize,
        [rows, columns]: [usize; 2],
        head_width: usize,
        device: &Device,
    ) -> Self {
        let place = |number: usize, count: usize| {
            (number + config.first) as f64 * config.grid as f64 / count as f64
        };
        let bands = head_width / 4;
        let bands: Vec<f64> = (0..bands)
            .map(|band| TEMPERATURE.powf(-(band as f64) / bands as f64))
            .collect();
        let (mut cos, mut sin) = (vec![1.0; first * head_width], vec![0.0; first * head_width]);
        for row in 0..rows {
            for column in 0..columns {
                let (down, across) = (place(row, rows), place(column, columns));
                let places = match config.column_first {
                    true => [across, down],
                    false => [down, across],
                };
                for angle in places
                    .iter()
                    .flat_map(|at| bands.iter().map(move |b| at * b))
                {
                    let (y, x) = angle.sin_cos();
                    cos.extend([x as f32, x as f32]);
                    sin.extend([-y as f32, y as f32]);
                }
            }
        }
        let shape = [1, first + rows * columns, 1, head_width];
        let [cos, sin] =
            [cos, sin].map(|values| Tensor::from_data(TensorData::new(values, shape), device));
        Self { cos, sin }
    }

    /// Turns queries and keys, not values: `[batch, length, 3 * width]`, in and out.
    pub fn apply(&self, qkv: Tensor<3>) -> Tensor<3> {
        let [batch, length, triple] = qkv.dims();
        let (turned, head_width) = (triple / 3 * 2, self.cos.dims()[3]);
        let heads = [batch, length, turned / head_width, head_width];
        let x = into_contiguous(qkv.clone().narrow(2, 0, turned));
        let swapped = (x.clone().reshape([batch, length, turned / 2, 2])).flip([3]);
        let swapped = into_contiguous(swapped).reshape(heads);
        let x = x.reshape(heads) * self.cos.clone() + swapped * self.sin.clone();
        let value = qkv.narrow(2, turned, triple - turned);
        Tensor::cat(vec![x.reshape([batch, length, turned]), value], 2)
    }
}
