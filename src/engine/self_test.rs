//! Self-test of a GPU: tiny models must have the features there that they have on the CPU.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::f16;

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::model::{
    Clip, ClipConfig, ParamMapper, TokenBatch, WeightPrecision, map_params, read_back,
};

/// Result of a self-test that failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum SelfTestError {
    /// The device failed while computing, with its reason.
    Device(String),
    /// Greatest difference of a feature from the CPU's.
    Wrong(f32),
    /// Seconds for the same product, on the GPU and on the CPU.
    Slow {
        /// Of the GPU.
        gpu: f64,
        /// Of the CPU.
        cpu: f64,
    },
}

impl ToDiagnostic for SelfTestError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Device(error) => diagnostic!(
                "gpu-test-failed",
                "the GPU failed its self-test ({error})",
                error
            ),
            Self::Wrong(off) => diagnostic!(
                "gpu-test-wrong",
                "the GPU failed its self-test: it computes wrongly, by {number}",
                number = format!("{off:.3}")
            ),
            Self::Slow { gpu, cpu } => diagnostic!(
                "gpu-slow",
                "the GPU is slower than the CPU: {gpu} ms in place of {cpu} for the same matrix product",
                gpu = format!("{:.0}", 1e3 * gpu),
                cpu = format!("{:.0}", 1e3 * cpu)
            ),
        }
    }
}

/// Greatest difference that a GPU may have.
const TOLERANCE: f32 = 1e-3;

/// Images at once: 2,176 rows, so that the first product of an MLP has 136 tiles of 64 by 64, and 34 of
/// 128 by 128. From 128 and 32 on, the kernels for large products run (`src/ops/gpu/matmul_conv.rs`).
const IMAGES: usize = 128;
const TEXTS: usize = 4;
const EMBED_DIM: usize = 8;
const IMAGE_SIZE: usize = 32;
const VOCABULARY: usize = 64;
const CONTEXT: usize = 8;

/// Features of the last image with either image encoder, and of the last text, as the CPU
/// computes them.
const EXPECTED: [[f32; EMBED_DIM]; 3] = [
    [
        0.111_337, 0.074_577, -0.221_050, 0.489_920, 0.486_041, 0.528_759, 0.177_932, 0.381_675,
    ],
    [
        0.379_643, 0.358_221, 0.484_765, 0.346_866, 0.565_645, 0.224_382, 0.031_371, 0.030_835,
    ],
    [
        -0.427_176, -0.122_145, -0.233_402, -0.205_134, -0.211_389, -0.485_715, -0.569_744,
        -0.317_541,
    ],
];

/// Runs the tiny models on `device`, which takes milliseconds once its kernels are compiled.
pub async fn self_test(device: &Device) -> Result<(), SelfTestError> {
    check(features(device).await?)
}

/// Features of the last image of both models, and of the last text.
async fn features(device: &Device) -> Result<[Vec<f32>; 3], SelfTestError> {
    let [vit, resnet] = [
        r#"{"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}"#,
        r#"{"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}"#,
    ]
    .map(|vision| model(vision, device));
    let (vit, resnet) = (vit?, resnet?);
    let pixels = (0..IMAGES * 3 * IMAGE_SIZE * IMAGE_SIZE).map(|i| (i as f32 / 100.0).sin());
    let shape = [IMAGES, 3, IMAGE_SIZE, IMAGE_SIZE];
    let images = Tensor::from_data(TensorData::new(pixels.collect(), shape), device);
    let texts: Vec<(Vec<u32>, usize)> = (0..TEXTS)
        .map(|text| {
            let ids = (0..CONTEXT).map(|i| ((7 * i + 11 * text) % VOCABULARY) as u32);
            (ids.collect(), CONTEXT - 1)
        })
        .collect();
    let tokens = TokenBatch::new(&texts, true, device);
    let few = images.clone().narrow(0, IMAGES - 2, 2);
    Ok([
        last(vit.image_features(images)).await?,
        last(resnet.image_features(few)).await?,
        last(vit.text_features(tokens)).await?,
    ])
}

/// Last row.
async fn last(features: Tensor<2>) -> Result<Vec<f32>, SelfTestError> {
    let values = read_back(features).await;
    let values = values.map_err(|error| SelfTestError::Device(error.to_string()))?;
    Ok(values[values.len().saturating_sub(EMBED_DIM)..].to_vec())
}

fn check(found: [Vec<f32>; 3]) -> Result<(), SelfTestError> {
    let pairs = (found.iter().flatten()).zip(EXPECTED.iter().flatten());
    let farthest = pairs.fold(0.0, |farthest: f32, (found, expected)| {
        match (found - expected).abs() {
            off if off.is_finite() => farthest.max(off),
            _ => f32::INFINITY,
        }
    });
    match farthest < TOLERANCE && found.iter().all(|row| row.len() == EMBED_DIM) {
        true => Ok(()),
        false => Err(SelfTestError::Wrong(farthest)),
    }
}

/// Model whose weights are a formula: f16 in the text encoder, f32 in the image encoder.
fn model(vision: &str, device: &Device) -> Result<Clip, SelfTestError> {
    let config = format!(
        r#"{{
            "embed_dim": {EMBED_DIM},
            "vision_cfg": {vision},
            "text_cfg": {{
                "context_length": {CONTEXT}, "vocab_size": {VOCABULARY}, "width": 32, "heads": 1, "layers": 2
            }}
        }}"#
    );
    let config = ClipConfig::from_open_clip(config.as_bytes())
        .map_err(|error| SelfTestError::Device(error.to_string()))?;
    let mut formula = Formula { device, seed: 0 };
    let model = map_params(Clip::init(&config, device), &mut formula);
    Ok(model.pack(WeightPrecision::AsStored))
}

struct Formula<'a> {
    device: &'a Device,
    seed: usize,
}

impl ParamMapper for Formula<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seed += 1;
        // Without drawing the random values that it would have.
        let shape = param.lazy_shape();
        let inputs = match shape.as_slice() {
            [_, rest @ ..] if D == 4 => rest.iter().product(),
            [inputs, ..] => *inputs,
            [] => 1,
        };
        let (middle, spread) = match D {
            1 if path.ends_with("gamma") || path.ends_with("running_var") => (1.0, 0.3),
            1 => (0.0, 0.1),
            _ => (0.0, 1.7 / (inputs as f32).sqrt()),
        };
        let value = |i: usize| {
            let step = ((i * 7919 + self.seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
            middle + spread * step
        };
        let values = (0..shape.num_elements()).map(value);
        let halved = D == 2 && path.starts_with("text.") && path.ends_with("weight");
        let tensor = match halved {
            true => {
                let values: Vec<f16> = values.map(f16::from_f32).collect();
                Tensor::from_data(TensorData::new(values, shape), (self.device, DType::F16))
            }
            false => {
                let values: Vec<f32> = values.collect();
                Tensor::from_data(TensorData::new(values, shape), self.device)
            }
        };
        Param::from_tensor(tensor)
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_the_features_that_are_expected() {
        let found = pollster::block_on(features(&Device::flex())).unwrap();
        let differences = found.iter().flatten().zip(EXPECTED.iter().flatten());
        let farthest = differences.map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(farthest < 1e-5, "{farthest}: {found:?}");
        assert_eq!(check(found), Ok(()));
    }

    #[test]
    fn wrong_features_are_found() {
        let exact = EXPECTED.map(|row| row.to_vec());
        for wrong in [2e-3, f32::NAN, f32::INFINITY] {
            let mut found = exact.clone();
            found[2][7] += wrong;
            assert!(matches!(check(found), Err(SelfTestError::Wrong(_))));
        }
        let mut short = exact;
        short[1].pop();
        assert!(check(short).is_err());
    }

    #[test]
    #[cfg(feature = "gpu")]
    fn a_gpu_passes() {
        use crate::engine::messages::DeviceChoice;
        use crate::engine::speed_test::speed_test;
        use crate::engine::{DeviceError, GpuUnavailable, open_device};
        match pollster::block_on(open_device(DeviceChoice::Gpu, |_| ())) {
            Ok(opened) => {
                assert_eq!(pollster::block_on(self_test(&opened.device)), Ok(()));
                // Here too, since a process opens its GPU once.
                let speed = pollster::block_on(speed_test(&opened.device));
                if opened.info.name.contains("llvmpipe") {
                    assert!(
                        matches!(speed, Err(SelfTestError::Slow { .. })),
                        "{speed:?}"
                    );
                }
            }
            Err(DeviceError::Gpu(GpuUnavailable::NotFound)) => eprintln!("not tested: no GPU"),
            Err(error) => panic!("{error}"),
        }
    }
}
