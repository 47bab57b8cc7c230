//! The symmetric cross-entropy of the paper's figure 3.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// Pulls the N true pairs of a batch together and pushes the N² - N others
/// apart. `logits` is `[N, N]`, images by texts, the true pairs on its
/// diagonal; the result has one element: the mean of both directions'
/// cross-entropies.
pub fn contrastive_loss(logits: Tensor<2>) -> Tensor<1> {
    let [n, _] = logits.dims();
    let mut diagonal = vec![0f32; n * n];
    diagonal.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
    let diagonal = Tensor::<2>::from_data(TensorData::new(diagonal, [n, n]), &logits.device());
    let per_image = log_softmax(logits.clone(), 1);
    let per_text = log_softmax(logits, 0);
    ((per_image + per_text) * diagonal).sum() / -(2.0 * n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(rows: [[f32; 2]; 2]) -> f32 {
        let logits = Tensor::<2>::from_data(rows, &Device::flex());
        contrastive_loss(logits)
            .into_data()
            .try_into_vec::<f32>()
            .unwrap()[0]
    }

    #[test]
    fn no_preference_costs_the_logarithm_of_the_choices() {
        assert!((loss([[0.0, 0.0], [0.0, 0.0]]) - 2f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn both_directions_count() {
        // Image to text: ln(1 + e^-2), ln(1 + e^0); text to image: ln(1 + e^-1), ln(1 + e^-1).
        let expected = [(-2f32).exp(), 1.0, (-1f32).exp(), (-1f32).exp()];
        let expected = expected.iter().map(|e| (1.0 + e).ln()).sum::<f32>() / 4.0;
        assert!((loss([[2.0, 0.0], [1.0, 1.0]]) - expected).abs() < 1e-6);
    }
}
