//! WGSL kernels against burn on the CPU.

use std::sync::LazyLock;

use burn::tensor::activation::{gelu, relu, sigmoid, softmax};
use burn::tensor::module::{avg_pool2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use half::f16;

use super::{AdamWStep, KernelChoice, MatmulKernel, choose_kernels};
use crate::engine::messages::DeviceChoice;
use crate::engine::open_device;
use crate::kernels::ActivationFunction;
use crate::kernels::conv::ConvParams;

/// One device for all tests.
static GPU: LazyLock<Option<Device>> = LazyLock::new(|| {
    let opened = pollster::block_on(open_device(DeviceChoice::Gpu, |_| ()));
    match opened {
        Ok(opened) => Some(opened.device),
        Err(error) => {
            eprintln!("not tested: {error}");
            None
        }
    }
});

/// GPU to test on, if there is one.
pub fn device() -> Option<&'static Device> {
    GPU.as_ref()
}

/// A tensor on the CPU and on a GPU.
struct Both<const D: usize> {
    cpu: Tensor<D>,
    gpu: Tensor<D>,
}

/// Pseudo-random values between -1 and 1, by `seed`.
fn noise<const D: usize>(shape: [usize; D], seed: usize, gpu: &Device) -> Both<D> {
    let number = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    let data = TensorData::new(numbers, shape);
    Both {
        cpu: Tensor::from_data(data.clone(), &Device::flex()),
        gpu: Tensor::from_data(data, gpu),
    }
}

/// [`Both`] rounded to f16, stored so on the GPU only.
fn short_noise(shape: [usize; 2], seed: usize, gpu: &Device) -> Both<2> {
    let numbers = noise(shape, seed, gpu).cpu.into_data();
    let numbers: Vec<f16> = numbers.iter::<f32>().map(f16::from_f32).collect();
    let long: Vec<f32> = numbers.iter().map(|number| number.to_f32()).collect();
    Both {
        cpu: Tensor::from_data(TensorData::new(long, shape), &Device::flex()),
        gpu: Tensor::from_data(TensorData::new(numbers, shape), (gpu, DType::F16)),
    }
}

fn assert_close<const D: usize>(found: Option<Tensor<D>>, expected: Tensor<D>, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what}: not taken"));
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let expected: Vec<f32> = expected.into_data().iter().collect();
    let greatest = expected.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    for (i, (found, expected)) in found.into_data().iter::<f32>().zip(expected).enumerate() {
        let off = (found - expected).abs() / greatest;
        assert!(off < 1e-5, "{what}: {found} and not {expected} at {i}");
    }
}

fn activated<const D: usize>(x: Tensor<D>, activation: ActivationFunction) -> Tensor<D> {
    match activation {
        ActivationFunction::Identity => x,
        ActivationFunction::QuickGelu => x.clone() * sigmoid(x * 1.702),
        ActivationFunction::Gelu => gelu(x),
        ActivationFunction::GeluTanh => {
            let inner = x.clone() + x.clone().powi_scalar(3) * 0.044_715;
            x * sigmoid(inner * 1.595_769)
        }
        ActivationFunction::Relu => relu(x),
    }
}

/// Kernels for any GPU.
const ALL_MATMULS: [MatmulKernel; 4] = [
    MatmulKernel::Direct,
    MatmulKernel::Shared,
    MatmulKernel::Sliced,
    MatmulKernel::BySize,
];

/// Runs `test` with other kernels. Tests beside it may get them, too, and must pass all the
/// same.
fn with_kernels(choice: KernelChoice, test: impl FnOnce()) {
    choose_kernels(choice);
    test();
    choose_kernels(KernelChoice::ANY);
}

#[test]
fn linear_and_conv_by_every_kernel() {
    for matmul in ALL_MATMULS {
        let choice = KernelChoice {
            matmul,
            ..KernelChoice::ANY
        };
        with_kernels(choice, || {
            linear();
            conv();
        });
    }
}

#[test]
fn attention_with_queries_in_registers() {
    let choice = KernelChoice {
        queries_in_registers: true,
        ..KernelChoice::ANY
    };
    with_kernels(choice, attention);
}

#[test]
fn linear() {
    let Some(gpu) = device() else { return };
    let activations = [
        ActivationFunction::Identity,
        ActivationFunction::QuickGelu,
        ActivationFunction::Gelu,
        ActivationFunction::GeluTanh,
        ActivationFunction::Relu,
    ];
    let shapes = [
        (1, 64, 64),
        (3, 27, 12),
        (50, 64, 4),
        (50, 3 * 32 * 32, 36),
        (77, 27, 64),
        (77, 64, 128),
        // Enough for the large tile.
        (611, 12, 512),
    ];
    for (i, (rows, inputs, outputs)) in shapes.into_iter().enumerate() {
        let x = noise([rows, inputs], 1, gpu);
        let bias = noise([outputs], 3, gpu);
        let residual = noise([rows, outputs], 4, gpu);
        for short in [false, true] {
            let weight = match short {
                false => noise([inputs, outputs], 5, gpu),
                true => short_noise([inputs, outputs], 5, gpu),
            };
            for with in 0..4 {
                let activation = activations[(i + with) % 4];
                let what =
                    format!("{rows} x {inputs} x {outputs}, {with}, {activation:?}, {short}");
                let mut expected = x.cpu.clone().matmul(weight.cpu.clone());
                if with & 1 != 0 {
                    expected = expected + bias.cpu.clone().unsqueeze();
                }
                if with & 2 != 0 {
                    expected = expected + residual.cpu.clone();
                }
                let found = super::linear(
                    x.gpu.clone(),
                    weight.gpu.clone(),
                    (with & 1 != 0).then(|| bias.gpu.clone()),
                    (with & 2 != 0).then(|| residual.gpu.clone()),
                    activation,
                );
                assert_close(found, activated(expected, activation), &what);
            }
        }
    }
}

#[test]
fn linear_over_parts_of_tensors() {
    let Some(gpu) = device() else { return };
    let x = noise([9, 200], 1, gpu);
    let weight = noise([64, 200], 2, gpu);
    let part = |x: Tensor<2>| x.narrow(0, 2, 5).narrow(1, 64, 64);
    let strided = |weight: Tensor<2>| weight.narrow(1, 3, 32).narrow(0, 0, 64);
    let found = super::linear(
        part(x.gpu),
        strided(weight.gpu),
        None,
        None,
        ActivationFunction::Identity,
    );
    assert_close(found, part(x.cpu).matmul(strided(weight.cpu)), "parts");
}

#[test]
fn conv() {
    let Some(gpu) = device() else { return };
    let shapes = [
        // batch, side, channels, kernel, stride, out
        (2, 15, 3, 3, 2, 8),
        (1, 16, 3, 3, 2, 32),
        (2, 9, 8, 3, 1, 12),
        (1, 7, 16, 1, 1, 64),
        (1, 40, 4, 3, 1, 256),
    ];
    for (batch, side, channels, kernel, stride, out) in shapes {
        let what = format!("{batch} x {side}² x {channels}, {kernel}²/{stride} to {out}");
        let x = noise([batch, side, side, channels], 1, gpu);
        let weight = noise([1, 1, kernel * kernel * channels, out], 2, gpu);
        let scale = noise([out], 3, gpu);
        let bias = noise([out], 4, gpu);
        let wide = (side - 1) / stride + 1;
        let residual = noise([batch, wide, wide, out], 5, gpu);

        let options = ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
        let square = [kernel, kernel, channels, out];
        let expected = conv2d(
            x.cpu.permute([0, 3, 1, 2]),
            weight.cpu.reshape(square).permute([3, 2, 0, 1]),
            None,
            options,
        );
        let expected = expected.permute([0, 2, 3, 1]) * scale.cpu.unsqueeze();
        let expected = relu(expected + bias.cpu.unsqueeze() + residual.cpu);
        let shape = ConvParams {
            kernel,
            stride,
            out,
        };
        let found = super::conv(
            &x.gpu,
            &weight.gpu,
            shape,
            &scale.gpu,
            &bias.gpu,
            &Some(residual.gpu),
            ActivationFunction::Relu,
        );
        assert_close(found, expected, &what);
    }
}

#[test]
fn attention() {
    let Some(gpu) = device() else { return };
    for (batch, length, heads, head_dim) in
        [(2, 1, 2, 8), (1, 3, 3, 4), (2, 50, 2, 64), (1, 77, 4, 32)]
    {
        for causal in [false, true] {
            let what = format!("{batch} x {length}, {heads} heads of {head_dim}, {causal}");
            let width = heads * head_dim;
            let qkv = noise([batch, length, 3 * width], 1, gpu);
            let found = super::attention(qkv.gpu * 3, heads, causal);
            let part = |i: usize| {
                let part = qkv.cpu.clone().narrow(2, i * width, width) * 3;
                part.reshape([batch, length, heads, head_dim])
                    .swap_dims(1, 2)
            };
            let scores = part(0).matmul(part(1).swap_dims(2, 3)) * (head_dim as f32).powf(-0.5);
            let later = |i: usize| if i % length > i / length { -1e9 } else { 0.0 };
            let mask: Vec<f32> = (0..length * length).map(later).collect();
            let mask = TensorData::new(mask, [1, 1, length, length]);
            let scores = match causal {
                true => scores + Tensor::from_data(mask, &Device::flex()),
                false => scores,
            };
            let expected = softmax(scores, 3).matmul(part(2)).swap_dims(1, 2);
            assert_close(found, expected.reshape([batch, length, width]), &what);
        }
    }
}

#[test]
fn layer_norm() {
    let Some(gpu) = device() else { return };
    for (rows, width) in [(1, 768), (50, 64), (3, 132), (7, 4)] {
        let x = noise([rows, width], 1, gpu);
        let gamma = noise([width], 2, gpu);
        let beta = noise([width], 3, gpu);
        // Far from zero, where a naive sum of squares loses precision.
        let found = super::layer_norm(x.gpu + 10, gamma.gpu, beta.gpu, 1e-5);
        let far = x.cpu + 10;
        let off = far.clone() - far.clone().mean_dim(1);
        let variance = off.clone().square().mean_dim(1);
        let expected =
            off / (variance + 1e-5).sqrt() * gamma.cpu.unsqueeze() + beta.cpu.unsqueeze();
        assert_close(found, expected, &format!("{rows} x {width}"));
    }
}

#[test]
fn gather() {
    let Some(gpu) = device() else { return };
    let ids = |device: &Device| Tensor::<1, Int>::from_data([0, 89, 7, 7, 50, 1], device);
    let positions = noise([3, 20], 2, gpu);
    for table in [noise([90, 20], 1, gpu), short_noise([90, 20], 1, gpu)] {
        let expected = table.cpu.select(0, ids(&Device::flex()));
        let found = super::gather(table.gpu.clone(), ids(gpu), None);
        assert_close(found, expected.clone(), "rows");
        let found = super::gather(table.gpu, ids(gpu), Some(positions.gpu.clone()));
        let expected = expected + positions.cpu.clone().repeat_dim(0, 2);
        assert_close(found, expected, "rows and positions");
    }
}

#[test]
fn normalize() {
    let Some(gpu) = device() else { return };
    let x = noise([3, 132], 1, gpu);
    let norm = x.cpu.clone().square().sum_dim(1).sqrt();
    assert_close(super::normalize(x.gpu), x.cpu / norm, "unit length");
}

#[test]
fn fold() {
    let Some(gpu) = device() else { return };
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|seed| noise([70], seed, gpu));
    let [scale, bias] = super::fold(gamma.gpu, beta.gpu, mean.gpu, variance.gpu + 2, 1e-5).unwrap();
    let expected = gamma.cpu / (variance.cpu + 2 + 1e-5).sqrt();
    assert_close(Some(scale), expected.clone(), "scale");
    assert_close(Some(bias), beta.cpu - mean.cpu * expected, "bias");
}

#[test]
fn add_cls_and_position() {
    let Some(gpu) = device() else { return };
    let places = noise([2, 9, 12], 1, gpu);
    let positions = noise([10, 12], 2, gpu);
    let class = noise([12], 3, gpu);
    let mean = places.cpu.clone().mean_dim(1);
    let given = class.cpu.unsqueeze::<3>().repeat_dim(0, 2);
    for (first, expected) in [(None, mean), (Some(class.gpu), given)] {
        let expected = Tensor::cat(vec![expected, places.cpu.clone()], 1);
        let expected = expected + positions.cpu.clone().unsqueeze::<3>();
        let found = super::add_cls_and_position(first, places.gpu.clone(), positions.gpu.clone());
        assert_close(found, expected, "tokens");
    }
}

#[test]
fn into_contiguous() {
    let Some(gpu) = device() else { return };
    let x = noise([2, 3, 8, 12], 1, gpu);
    let permuted =
        |x: Tensor<4>| (x.narrow(2, 2, 4).reshape([2, 3, 2, 2, 4, 3])).permute([0, 2, 4, 1, 3, 5]);
    let found = super::into_contiguous(permuted(x.gpu));
    assert_close(found, permuted(x.cpu), "turned");
}

#[test]
fn adamw() {
    let Some(gpu) = device() else { return };
    for count in [1, 70, (1 << 18) + 3] {
        let [values, gradient, first] = [1, 2, 3].map(|seed| noise([count], seed, gpu));
        let second = noise([count], 4, gpu);
        let step = AdamWStep {
            factor: 0.3,
            beta1: 0.9,
            beta2: 0.98,
            correction2: 1.7,
            epsilon: 1e-3,
            rate: 0.05,
            kept: 0.99,
        };
        let found = super::adamw(
            [values.gpu, gradient.gpu, first.gpu, second.gpu.square()],
            step,
        );
        let [new_values, new_first, new_second] = found.unwrap();
        let g = gradient.cpu * 0.3;
        let m = first.cpu * 0.9 + g.clone() * 0.1;
        let v = second.cpu.square() * 0.98 + g.square() * 0.02;
        let change = m.clone() / ((v.clone() * 1.7).sqrt() + 1e-3) * 0.05;
        assert_close(Some(new_values), values.cpu * 0.99 - change, "values");
        assert_close(Some(new_first), m, "first moments");
        assert_close(Some(new_second), v, "second moments");
    }
}

#[test]
fn average_pool() {
    let Some(gpu) = device() else { return };
    for (side, height, width) in [(2, 8, 8), (2, 9, 5), (7, 7, 7)] {
        let x = noise([2, height, width, 12], 1, gpu);
        let found = super::average_pool(x.gpu, side);
        let options = AvgPoolOptions::new([side, side]);
        let expected = avg_pool2d(x.cpu.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1]);
        assert_close(found, expected, &format!("{height} x {width}, {side}"));
    }
}

#[test]
fn what_is_not_for_it_is_left() {
    let Some(gpu) = device() else { return };
    let linear = |x: Tensor<2>, weight: Tensor<2>| {
        super::linear(x, weight, None, None, ActivationFunction::Identity).is_some()
    };
    let (x, weight, odd) = (
        noise([2, 8], 1, gpu),
        noise([8, 4], 2, gpu),
        noise([8, 3], 2, gpu),
    );
    assert!(linear(x.gpu.clone(), weight.gpu.clone()));
    assert!(!linear(x.gpu.clone(), odd.gpu), "columns that are no fours");
    assert!(!linear(x.cpu, weight.cpu), "tensors on the CPU");
    let learning = |x: Tensor<2>| Tensor::from_data(x.into_data(), &gpu.clone().autodiff());
    assert!(
        !linear(learning(x.gpu), learning(weight.gpu)),
        "tensors to be differentiated"
    );
}
