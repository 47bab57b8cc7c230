//! Speed of a GPU beside that of the CPU: a slower one is of no use.

use burn::tensor::{Device, Tensor, TensorData};
use web_time::Instant;

use super::self_test::SelfTestError;
use crate::kernels::gemm::{Epilogue, PackedData};
use crate::kernels::packed_weights::{self, PackedWeights};
use crate::ops::{Initializer, Linear, WeightPrecision, read_back};

/// Inputs and outputs of the product: the MLP of a ViT-B.
const WIDTH: usize = 768;
const MLP_WIDTH: usize = 3072;
/// Ten images of ViT-B/32, so that a fast GPU does not mostly wait for its commands.
const GPU_ROWS: usize = 500;
const CPU_ROWS: usize = 64;
/// The best of these counts: at the start of a page much else is going on.
const RUNS: usize = 3;
/// Products of the shorter run and of the longer: the difference has no part of the reading, which takes some
/// browsers a tenth of a second.
const PRODUCTS: [usize; 2] = [1, 3];
/// What a further thread of the CPU adds, of one thread's speed.
const THREAD_SHARE: f64 = 0.7;
/// So much longer a GPU may take: it leaves the CPU to the visitor.
const TOLERANCE: f64 = 1.5;
/// So many times as slow as that, one run is enough.
const CLEARLY: f64 = 3.0;

/// Multiplies the same matrix on `device` and on the CPU, which takes milliseconds.
pub async fn speed_test(device: &Device) -> Result<(), SelfTestError> {
    let cpu = cpu_seconds();
    compare(gpu_seconds(device, TOLERANCE * cpu).await?, cpu)
}

fn compare(gpu: f64, cpu: f64) -> Result<(), SelfTestError> {
    match gpu <= TOLERANCE * cpu {
        true => Ok(()),
        false => Err(SelfTestError::Slow { gpu, cpu }),
    }
}

/// Seconds of the GPU for a product of its rows, of which `limit` are allowed.
async fn gpu_seconds(device: &Device, limit: f64) -> Result<f64, SelfTestError> {
    let layer = |[inputs, outputs]: [usize; 2]| {
        let mut layer = Linear::init([inputs, outputs], Initializer::Zeros, false, device);
        layer.pack(WeightPrecision::AsStored);
        layer
    };
    let product = layer([WIDTH, MLP_WIDTH]);
    // So that little has to be read back.
    let narrow = layer([MLP_WIDTH, 4]);
    let values = TensorData::new(vec![1.0_f32; GPU_ROWS * WIDTH], [GPU_ROWS, WIDTH]);
    let x = Tensor::<2>::from_data(values, device);
    let run = async |count: usize| {
        let started = Instant::now();
        let mut y = narrow.forward(product.forward(x.clone()));
        for _ in 1..count {
            y = narrow.forward(product.forward(x.clone()));
        }
        let read = read_back(y).await;
        read.map_err(|error| SelfTestError::Device(error.to_string()))?;
        Ok(started.elapsed().as_secs_f64())
    };
    // The kernels are compiled in the first run, which does not count.
    run(1).await?;
    let [fewer, more] = PRODUCTS;
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let difference = run(more).await? - run(fewer).await?;
        best = best.min(difference.max(0.0) / (more - fewer) as f64);
        // Nobody waits for a verdict that is clear.
        if best <= limit || best > CLEARLY * limit {
            break;
        }
    }
    Ok(best)
}

/// Seconds of the CPU for as many rows, with all of its threads.
fn cpu_seconds() -> f64 {
    let shape = [WIDTH, MLP_WIDTH];
    let weights = packed_weights::pack(&vec![1.0_f32; WIDTH * MLP_WIDTH], shape, MLP_WIDTH);
    let weights = PackedWeights::Exact(PackedData::F32(&weights));
    let x = vec![1.0_f32; CPU_ROWS * WIDTH];
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let started = Instant::now();
        std::hint::black_box(weights.linear(&x, shape, &Epilogue::NONE));
        best = best.min(started.elapsed().as_secs_f64());
    }
    best * GPU_ROWS as f64 / CPU_ROWS as f64 / (1.0 + THREAD_SHARE * further_threads() as f64)
}

/// Threads that a model would have beside this one, with which the product was not computed: natively it has
/// them all.
fn further_threads() -> usize {
    #[cfg(all(target_arch = "wasm32", feature = "worker"))]
    return super::compute_worker::available_threads().saturating_sub(1);
    #[cfg(not(all(target_arch = "wasm32", feature = "worker")))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_may_be_a_little_slower() {
        assert_eq!(compare(0.001, 0.020), Ok(()));
        assert_eq!(compare(0.028, 0.020), Ok(()));
        let slow = compare(0.4, 0.020).unwrap_err();
        assert_eq!(
            slow.to_string(),
            "the GPU is slower than the CPU: 400 ms in place of 20 for the same matrix product"
        );
    }

    #[test]
    fn the_cpu_takes_some_time() {
        let seconds = cpu_seconds();
        assert!(seconds.is_finite() && seconds > 0.0, "{seconds}");
    }
}
