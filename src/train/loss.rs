//! Losses of a batch's logits: symmetric cross-entropy (the paper's figure 3), and SigLIP's sigmoid
//! loss ([Zhai et al. 2023](https://arxiv.org/abs/2303.15343), algorithm 1).

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Tensor, TensorData};

/// Mask value far below every logit. Finite, since some GPUs turn an infinity into NaN.
const NOTHING: f32 = -1e9;

/// Contrastive loss: `logits` is `[N, N]`, images by texts, with the true pairs on the
/// diagonal; the result is the mean of both directions' cross-entropies, `[1]`. Entries
/// with `ignored(image, text)`, where a text of another pair may be true of the image,
/// are masked out.
pub fn contrastive_loss(logits: Tensor<2>, ignored: impl Fn(usize, usize) -> bool) -> Tensor<1> {
    let [n, _] = logits.dims();
    let device = logits.device();
    let ignored = |i: usize, j: usize| i != j && ignored(i, j);
    let logits = match (0..n).any(|i| (0..n).any(|j| ignored(i, j))) {
        true => logits + matrix(n, &device, |i, j| if ignored(i, j) { NOTHING } else { 0.0 }),
        false => logits,
    };
    let diagonal = matrix(n, &device, |i, j| if i == j { 1.0 } else { 0.0 });
    let per_image = log_softmax(logits.clone(), 1);
    let per_text = log_softmax(logits, 0);
    ((per_image + per_text) * diagonal).sum() / -(2.0 * n as f64)
}

/// Sigmoid loss: each of the `[N, N]` logits is a question of its own, whether this text is that
/// image's. The result is the sum of the answers' log losses, divided by N, `[1]`. Entries with
/// `ignored(image, text)` are left out.
pub fn sigmoid_loss(logits: Tensor<2>, ignored: impl Fn(usize, usize) -> bool) -> Tensor<1> {
    let [n, _] = logits.dims();
    let device = logits.device();
    let signs = matrix(n, &device, |i, j| if i == j { 1.0 } else { -1.0 });
    let counted = |i: usize, j: usize| i == j || !ignored(i, j);
    let weights = matrix(n, &device, |i, j| if counted(i, j) { 1.0 } else { 0.0 });
    (log_sigmoid(logits * signs) * weights).sum() / -(n as f64)
}

/// `[n, n]` from its values by row and column.
fn matrix(n: usize, device: &Device, value: impl Fn(usize, usize) -> f32) -> Tensor<2> {
    let values: Vec<f32> = (0..n * n).map(|i| value(i / n, i % n)).collect();
    Tensor::from_data(TensorData::new(values, [n, n]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss<const N: usize>(rows: [[f32; N]; N], captions: [u64; N]) -> f32 {
        let logits = Tensor::<2>::from_data(rows, &Device::flex());
        contrastive_loss(logits, |i, j| captions[i] == captions[j])
            .into_data()
            .try_into_vec::<f32>()
            .unwrap()[0]
    }

    #[test]
    fn no_preference_costs_the_logarithm_of_the_choices() {
        assert!((loss([[0.0, 0.0], [0.0, 0.0]], [0, 1]) - 2f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn both_directions_count() {
        // Image to text: ln(1 + e^-2), ln(1 + e^0); text to image: ln(1 + e^-1), ln(1 + e^-1).
        let expected = [(-2f32).exp(), 1.0, (-1f32).exp(), (-1f32).exp()];
        let expected = expected.iter().map(|e| (1.0 + e).ln()).sum::<f32>() / 4.0;
        assert!((loss([[2.0, 0.0], [1.0, 1.0]], [0, 1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn what_is_ignored_may_be_one_sided() {
        let rows = |ignored: f32| [[2.0, ignored], [1.0, 1.5]];
        let loss = |rows: [[f32; 2]; 2]| {
            let logits = Tensor::<2>::from_data(rows, &Device::flex());
            let loss = contrastive_loss(logits, |i, j| (i, j) == (0, 1));
            loss.into_data().try_into_vec::<f32>().unwrap()[0]
        };
        assert_eq!(loss(rows(9.0)), loss(rows(-9.0)));
        // Image 0 and text 1 have no negative; image 1 has one, and so has text 0.
        let expected = ((1.0f32 - 1.5).exp().ln_1p() + (1.0f32 - 2.0).exp().ln_1p()) / 4.0;
        assert!((loss(rows(0.0)) - expected).abs() < 1e-6);
    }

    #[test]
    fn the_same_caption_again_is_no_negative() {
        // Pairs 0 and 2 have one caption: what they make of each other is of no account.
        let rows = |of_each_other: f32| {
            [
                [2.0, 1.0, of_each_other],
                [0.0, 3.0, 0.5],
                [of_each_other, 1.5, 1.0],
            ]
        };
        let found = loss(rows(50.0), [7, 8, 7]);
        assert!((found - loss(rows(-50.0), [7, 8, 7])).abs() < 1e-6);
        let row = |own: f32, others: &[f32]| {
            others
                .iter()
                .map(|other| (other - own).exp())
                .sum::<f32>()
                .ln_1p()
        };
        let expected = [
            row(2.0, &[1.0]),
            row(3.0, &[0.0, 0.5]),
            row(1.0, &[1.5]),
            row(2.0, &[0.0]),
            row(3.0, &[1.0, 1.5]),
            row(1.0, &[0.5]),
        ];
        assert!((found - expected.iter().sum::<f32>() / 6.0).abs() < 1e-6);
    }

    #[test]
    fn each_logit_of_a_sigmoid_loss_is_a_question_of_its_own() {
        let rows = |ignored: f32| [[2.0, ignored], [1.0, -3.0]];
        let loss = |rows: [[f32; 2]; 2]| {
            let logits = Tensor::<2>::from_data(rows, &Device::flex());
            let loss = sigmoid_loss(logits, |i, j| (i, j) == (0, 1));
            loss.into_data().try_into_vec::<f32>().unwrap()[0]
        };
        assert_eq!(loss(rows(9.0)), loss(rows(-9.0)));
        // ln(1 + e^-z) of what is true, ln(1 + e^z) of what is not.
        let log_loss = |z: f32| (-z).exp().ln_1p();
        let expected = (log_loss(2.0) + log_loss(-1.0) + log_loss(-3.0)) / 2.0;
        assert!((loss(rows(0.0)) - expected).abs() < 1e-6);
    }
}
