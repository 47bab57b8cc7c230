//! Position embeddings for pictures of another size than the model's.

use burn::tensor::{Tensor, TensorData};

use crate::ops::select_rows;

/// Position embedding of a grid of another size, bilinear like PyTorch's `interpolate`: `[first + grid²,
/// width]` to `[first + rows * columns, width]`. The first `first` rows, of a class or mean token, stay.
pub(super) fn resize_positions(
    positions: Tensor<2>,
    first: usize,
    [rows, columns]: [usize; 2],
) -> Tensor<2> {
    let grid = (positions.dims()[0] - first).isqrt();
    if [rows, columns] == [grid; 2] {
        return positions;
    }
    let (down, across) = (neighbours(grid, rows), neighbours(grid, columns));
    let length = first + rows * columns;
    // The four corners around each place, weighted.
    let corner = |lower: usize, right: usize| {
        let fixed = (0..first).map(|row| (row, [1.0, 0.0][lower.max(right)]));
        let places = down.iter().flat_map(|y| {
            across.iter().map(move |x| {
                let (y, x) = (y[lower], x[right]);
                (first + y.0 * grid + x.0, y.1 * x.1)
            })
        });
        let (ids, weights): (Vec<i32>, Vec<f32>) = (fixed.chain(places))
            .map(|(row, weight)| (row as i32, weight))
            .unzip();
        let device = positions.device();
        let ids = Tensor::from_data(TensorData::new(ids, [length]), &device);
        let weights = TensorData::new(weights, [length, 1]);
        select_rows(positions.clone(), ids) * Tensor::<2>::from_data(weights, &device)
    };
    corner(0, 0) + corner(0, 1) + corner(1, 0) + corner(1, 1)
}

/// For each of `count` samples of a side of `grid` embeddings, the two around it with their weights.
fn neighbours(grid: usize, count: usize) -> Vec<[(usize, f32); 2]> {
    let scale = grid as f32 / count as f32;
    (0..count)
        .map(|sample| {
            let at = ((sample as f32 + 0.5) * scale - 0.5).max(0.0);
            let before = (at as usize).min(grid - 1);
            let share = at - before as f32;
            [(before, 1.0 - share), ((before + 1).min(grid - 1), share)]
        })
        .collect()
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn positions_are_interpolated_between_the_centres() {
        // A token apart, then a grid of 2 x 2 with its own row and column as embedding.
        let values = vec![9.0f32, 9.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        let positions = Tensor::from_data(TensorData::new(values, [5, 2]), &Device::flex());
        let same = resize_positions(positions.clone(), 1, [2, 2]);
        assert_eq!(same.to_data(), positions.to_data());
        let found = resize_positions(positions, 1, [4, 1]).to_data();
        let found: Vec<f32> = found.iter::<f32>().collect();
        // As torch.nn.functional.interpolate gives them, align_corners=False.
        let expected = [9.0, 9.0, 0.0, 0.5, 0.25, 0.5, 0.75, 0.5, 1.0, 0.5];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
