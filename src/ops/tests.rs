//! Fast paths against the reference implementations.

use burn::module::Param;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::*;
use crate::kernels::simd::level::at_every_level;

/// Equal values in every run, independent of other tests: close to a ReLU's kink,
/// rounding decides which side a value falls on.
fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(
        Initializer::Normal(1.0)
            .init(shape, device)
            .val()
            .into_data(),
        device,
    )
}

fn uniform(count: usize, low: f64, high: f64, device: &Device) -> Tensor<1> {
    let around_zero = Initializer::Uniform((high - low) / 2.0).init([count], device);
    Tensor::from_data(around_zero.val().into_data(), device) + (low + high) / 2.0
}

#[track_caller]
fn same<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let distance = (found - expected).abs().max().into_scalar::<f32>();
    assert!(distance < 2e-4, "{what}: {distance}");
}

const EPILOGUES: [fn(Tensor<3>) -> Epilogue<3>; 7] = [
    |_| Epilogue::None,
    |_| Epilogue::QuickGelu,
    |_| Epilogue::Gelu,
    |_| Epilogue::GeluTanh,
    |_| Epilogue::Relu,
    Epilogue::Add,
    Epilogue::AddRelu,
];

fn linear(device: &Device) {
    for [rows, d_input, d_output] in [[1, 64, 8], [3, 100, 36], [50, 96, 132], [130, 768, 64]] {
        let normal = Initializer::Normal((d_input as f64).powf(-0.5));
        let mut layer = Linear::init([d_input, d_output], normal, true, device);
        layer.bias = Some(Param::from_tensor(random([d_output], device)));
        let mut fast = layer.clone();
        fast.pack(WeightPrecision::AsStored);
        let mut half = layer.clone();
        half.weight = half.weight.map(|weight| weight.cast(DType::F16));
        let mut fast_half = half.clone();
        fast_half.pack(WeightPrecision::AsStored);
        let x = random([2, rows, d_input], device);
        for epilogue in EPILOGUES {
            let epilogue = || epilogue(random([2, rows, d_output], device).zeros_like() + 0.5);
            let what = format!(
                "{rows} x {d_input} x {d_output}, {:?}",
                epilogue().split().1
            );
            let expected = layer.reference(x.clone(), epilogue());
            same(fast.forward_fused(x.clone(), epilogue()), expected, &what);
            let expected = half.reference(x.clone(), epilogue());
            same(
                fast_half.forward_fused(x.clone(), epilogue()),
                expected,
                &what,
            );
        }
        assert!(fast.fast(&x, &Epilogue::None).is_some(), "not fast");
    }
}

fn conv(device: &Device) {
    for ([input, out], kernel, stride, size) in [
        ([3, 8], 3, 2, [12, 12]),
        ([8, 16], 3, 1, [5, 7]),
        ([20, 36], 1, 1, [4, 3]),
        ([16, 64], 3, 1, [1, 2]),
        // Large enough for Winograd everywhere, and of a size that vectors do not
        // divide.
        ([16, 16], 3, 1, [9, 6]),
        ([40, 24], 3, 1, [7, 29]),
        ([64, 64], 3, 1, [28, 28]),
    ] {
        let mut layer = ConvNorm::init([input, out], kernel, stride, device);
        let vector = |low, high| uniform(out, low, high, device);
        layer.norm.gamma = Param::from_tensor(vector(0.5, 1.5));
        layer.norm.beta = Param::from_tensor(vector(-1.0, 1.0));
        layer.norm.running_mean = burn::module::RunningState::new(vector(-1.0, 1.0));
        layer.norm.running_var = burn::module::RunningState::new(vector(0.5, 2.0));
        let mut fast = layer.clone();
        fast.pack(WeightPrecision::AsStored);
        let x = random([2, size[0], size[1], input], device);
        let shape = layer.reference(x.clone(), Epilogue::None).dims();
        let other = random(shape, device);
        for epilogue in [|| Epilogue::None, || Epilogue::Relu] {
            let expected = layer.reference(x.clone(), epilogue());
            same(fast.forward_fused(x.clone(), epilogue()), expected, "conv");
        }
        let expected = layer.reference(x.clone(), Epilogue::AddRelu(other.clone()));
        let found = fast.forward_residual_relu(x.clone(), other);
        same(found, expected, "conv, add");
        assert!(fast.fast(&x, &Epilogue::None).is_some(), "not fast");
    }
    let x = random([2, 6, 8, 12], device);
    // A transposed view is not contiguous.
    let transposed = x.clone().permute([0, 3, 1, 2]).mul_scalar(1.0);
    let found = average_pool(x, 2);
    same(
        found,
        average_pool(transposed.permute([0, 2, 3, 1]), 2),
        "pool",
    );
}

/// Attention pooling, reference against fast path.
fn pool(device: &Device) {
    for ([batch, length, heads, head_dim], half) in
        [([3, 10, 3, 32], false), ([1, 50, 2, 64], true)]
    {
        let width = heads * head_dim;
        let normal = Initializer::Normal((width as f64).powf(-0.5));
        let projection = || {
            let mut layer = Linear::init([width, width], normal, true, device);
            layer.bias = Some(Param::from_tensor(random([width], device)));
            if half {
                layer.weight = layer.weight.map(|weight| weight.cast(DType::F16));
            }
            layer
        };
        let [mut key, mut value] = [projection(), projection()];
        let tokens = random([batch, length, width], device);
        let query = random([batch, 1, width], device) * 3.0;
        let mixed = |key: &Linear, value: &Linear, packed| {
            pool_attention(tokens.clone(), query.clone(), [key, value], &packed, heads)
        };
        let expected = mixed(&key, &value, None);
        let packed = PackedPool::new([&mut key, &mut value], heads);
        assert!(packed.is_some(), "not packed");
        same(mixed(&key, &value, packed), expected, "pool");
    }
}

fn others(device: &Device) {
    for [batch, length, heads, head_dim] in
        [[1, 50, 3, 64], [3, 50, 3, 64], [2, 77, 2, 32], [3, 1, 1, 8]]
    {
        let width = heads * head_dim;
        let qkv = random([batch, length, 3 * width], device);
        for causal in [false, true] {
            let expected = attention::reference(qkv.clone(), heads, causal);
            let found = attention::fast(&qkv, heads, causal).expect("not fast");
            same(found, expected, "attention");
        }
        let mut norm = LayerNorm::init(width, 1e-5, device);
        norm.gamma = Param::from_tensor(random([width], device));
        norm.beta = Param::from_tensor(random([width], device));
        let x = random([batch, length, width], device) * 3.0 + 7.0;
        same(
            norm.fast(&x).expect("not fast"),
            norm.reference(x),
            "layer norm",
        );
    }
    let table = random([11, 12], device).cast(DType::F16);
    let ids = TensorData::new(vec![10, 0, 7, 7, 3, 9], [2, 3]);
    let ids = Tensor::<2, Int>::from_data(ids, device);
    let embedding = Embedding {
        weight: Param::from_tensor(table.clone()),
    };
    let positions = random([3, 12], device);
    let rows = table.select(0, ids.clone().reshape([6])).cast(DType::F32);
    let expected = rows.reshape([2, 3, 12]) + positions.clone().unsqueeze::<3>();
    same(embedding.forward(ids, positions), expected, "rows");
}

/// Int8 weights against exact ones: the error is below a hundredth of a typical
/// output.
fn eight_bits(device: &Device) {
    #[track_caller]
    fn near<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        let usual = expected.clone().powf_scalar(2.0).mean().sqrt();
        let off = (found - expected).powf_scalar(2.0).mean().sqrt();
        let off = (off / usual).into_scalar::<f32>();
        assert!(off < 1e-2, "{off}");
    }
    for [rows, d_input, d_output] in [[1, 64, 8], [50, 96, 132]] {
        let normal = Initializer::Normal((d_input as f64).powf(-0.5));
        let mut layer = Linear::init([d_input, d_output], normal, true, device);
        layer.bias = Some(Param::from_tensor(random([d_output], device)));
        let mut half = layer.clone();
        half.weight = half.weight.map(|weight| weight.cast(DType::F16));
        let x = random([2, rows, d_input], device);
        let other = random([2, rows, d_output], device);
        let expected = layer.reference(x.clone(), Epilogue::Add(other.clone()));
        for mut packed in [layer, half] {
            packed.pack(WeightPrecision::Int8);
            let found = packed.fast(&x, &Epilogue::Add(other.clone()));
            near(found.expect("not fast"), expected.clone());
        }
    }
    for ([input, out], kernel, stride) in [([8, 16], 3, 1), ([20, 36], 1, 1), ([8, 16], 3, 2)] {
        let mut layer = ConvNorm::init([input, out], kernel, stride, device);
        let vector = uniform(out, 0.5, 1.5, device);
        layer.norm.gamma = Param::from_tensor(vector);
        let x = random([2, 5, 7, input], device);
        let expected = layer.reference(x.clone(), Epilogue::Relu);
        layer.pack(WeightPrecision::Int8);
        near(layer.fast(&x, &Epilogue::Relu).expect("not fast"), expected);
    }
}

#[test]
fn fast_paths_on_the_cpu() {
    let device = Device::flex();
    at_every_level(|| {
        linear(&device);
        conv(&device);
        pool(&device);
        others(&device);
        eight_bits(&device);
    });
}

#[test]
fn fast_paths_shared_with_others() {
    let device = Device::flex();
    use crate::kernels::pool;
    for workers in [1, 2, 5] {
        pool::tests::with_workers(workers, || {
            assert_eq!(pool::threads(), workers + 1);
            linear(&device);
            conv(&device);
            others(&device);
            eight_bits(&device);
        });
    }
}

#[test]
#[cfg(all(feature = "gpu", feature = "command"))]
fn fast_paths_on_the_gpu() {
    if let Some(device) = gpu::tests::device() {
        linear(device);
        conv(device);
        others(device);
    }
}

/// Gradients of every input of a convolution and its epilogue, for several batch
/// sizes, against the reference.
#[test]
#[cfg(feature = "training")]
fn fast_ways_back_on_the_cpu() {
    at_every_level(convolutions_back);
}

#[cfg(feature = "training")]
fn convolutions_back_on(device: &Device) {
    for ([input, out], kernel, stride, size, batch) in [
        ([3, 8], 3, 2, [12, 12], 3),
        ([8, 16], 3, 1, [5, 7], 2),
        ([20, 36], 1, 1, [4, 3], 37),
        ([16, 64], 3, 1, [1, 2], 5),
        ([32, 80], 1, 1, [2, 2], 70),
    ] {
        for batch_stats in [true, false] {
            for epilogue in [0, 1, 2, 3] {
                conv_back(
                    [input, out],
                    kernel,
                    stride,
                    [batch, size[0], size[1]],
                    batch_stats,
                    epilogue,
                    device,
                );
            }
        }
    }
}

/// The same on a GPU.
#[test]
#[cfg(all(feature = "training", feature = "gpu", feature = "command"))]
fn fast_ways_back_on_a_gpu() {
    let Some(gpu) = gpu::tests::device() else {
        return;
    };
    let many = [1, 5000].map(|count| random([count], gpu));
    let expected = many.iter().map(|x| x.clone().square().sum());
    let expected = expected.reduce(|sum, more| sum + more).unwrap();
    let found = sum_of_squares(&many).expect("not fast");
    compare("sum of squares", vec![found], vec![expected]);
    let device = gpu.clone().autodiff();
    for device in [device.clone(), device.gradient_checkpointing()] {
        convolutions_back_on(&device);
        for shape in [[3, 64, 8], [7, 100, 36], [300, 96, 132]] {
            linear_back(shape, &device);
            layer_norm_back([2, shape[0], shape[1]], &device);
        }
        for shape in [[2, 1, 3, 8], [1, 7, 2, 4], [3, 50, 2, 20], [2, 77, 3, 64]] {
            attention_back(shape, &device);
        }
    }
}

#[cfg(feature = "training")]
fn convolutions_back() {
    for device in [
        Device::flex().autodiff(),
        Device::flex().autodiff().gradient_checkpointing(),
    ] {
        convolutions_back_on(&device);
        let x = random([3, 7, 4, 20], &device).require_grad();
        let grad_output = random([3, 3, 2, 20], &device);
        let reference = x.clone().narrow(1, 0, 6).reshape([3, 3, 2, 2, 2, 20]);
        let reference = reference.mean_dim(2).mean_dim(4).reshape([3, 3, 2, 20]);
        let [found, expected] = [average_pool(x.clone(), 2), reference].map(|y| {
            let gradients = (y.clone() * grad_output.clone()).sum().backward();
            [y.inner(), x.grad(&gradients).expect("no gradient")]
        });
        for (found, expected) in found.into_iter().zip(expected) {
            same(found, expected, "pool");
        }
    }
}

#[test]
#[cfg(feature = "training")]
fn fast_ways_back_of_transformers_on_the_cpu() {
    at_every_level(transformers_back);
}

/// Gradients of the `inputs` of `run`, and its output.
#[cfg(feature = "training")]
fn differentiate(inputs: &[Tensor<1>], run: impl Fn(&[Tensor<1>]) -> Tensor<3>) -> Vec<Tensor<1>> {
    let inputs: Vec<_> = (inputs.iter())
        .map(|input| input.clone().require_grad())
        .collect();
    let y = run(&inputs);
    let numbers = 0..y.shape().num_elements() as i64;
    let grad_output = Tensor::<1, Int>::arange(numbers, &y.device());
    let grad_output = (grad_output.float() * 0.7).sin().reshape(y.dims());
    let mut gradients = (y.clone() * grad_output).sum().backward();
    let found = inputs.iter().map(|input| {
        let found = input.grad_remove(&mut gradients);
        found.expect("no gradient")
    });
    let mut found: Vec<_> = found.collect();
    found.push(y.inner().reshape([-1]));
    found
}

#[cfg(feature = "training")]
#[track_caller]
fn compare(what: &str, found: Vec<Tensor<1>>, expected: Vec<Tensor<1>>) {
    for (index, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        // Sums of many values have larger errors.
        let size = expected.clone().abs().max().into_scalar::<f32>().max(1.0);
        same(found / size, expected / size, &format!("{what}: {index}"));
    }
}

#[cfg(feature = "training")]
fn layer_norm_back([batch, length, width]: [usize; 3], device: &Device) {
    let x = random([batch * length * width], device) * 3.0 + 7.0;
    let inputs = [x, random([width], device), random([width], device)];
    let run = |fast: bool| {
        differentiate(&inputs, |inputs| {
            let mut norm = LayerNorm::init(width, 1e-5, device);
            norm.gamma = Param::from_tensor(inputs[1].clone());
            norm.beta = Param::from_tensor(inputs[2].clone());
            let x = inputs[0].clone().reshape([batch, length, width]);
            match fast {
                true => norm.fast(&x).expect("not fast"),
                false => norm.reference(x),
            }
        })
    };
    compare("layer norm", run(true), run(false));
}

/// With and without a mask; and with a few queries to all keys.
#[cfg(all(feature = "training", feature = "gpu", feature = "command"))]
fn attention_back([batch, length, heads, head_dim]: [usize; 4], device: &Device) {
    use super::attention::{fast, multi_head_reference, reference};

    let width = heads * head_dim;
    let qkv = random([batch * length * 3 * width], device) * 2.0;
    for causal in [false, true] {
        let run = |accelerated: bool| {
            differentiate(std::slice::from_ref(&qkv), |inputs| {
                let qkv = inputs[0].clone().reshape([batch, length, 3 * width]);
                match accelerated {
                    true => fast(&qkv, heads, causal).expect("not fast"),
                    false => reference(qkv, heads, causal),
                }
            })
        };
        compare("attention", run(true), run(false));
    }
    for queries in [1, 3] {
        let inputs = [queries, length, length].map(|rows| random([batch * rows * width], device));
        let run = |accelerated: bool| {
            differentiate(&inputs, |inputs| {
                let input = |i: usize, rows: usize| inputs[i].clone().reshape([batch, rows, width]);
                let [query, key, value] = [input(0, queries), input(1, length), input(2, length)];
                match accelerated {
                    true => gpu::training::multi_head(query, key, value, heads).expect("not fast"),
                    false => multi_head_reference(query, key, value, heads),
                }
            })
        };
        compare("pool", run(true), run(false));
    }
}

/// Parameter of a tensor that may depend on others.
#[cfg(all(feature = "training", feature = "gpu", feature = "command"))]
fn param<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(burn::module::ParamId::new(), tensor)
}

/// With every epilogue, with and without LoRA. The reference runs on the CPU: burn's gradient of
/// GELU is that of its tanh approximation on a GPU.
#[cfg(all(feature = "training", feature = "gpu", feature = "command"))]
fn linear_back([rows, d_input, d_output]: [usize; 3], gpu: &Device) {
    let cpu = Device::flex().autodiff();
    let inputs = [
        random([rows * d_input], &cpu),
        random([d_input * d_output], &cpu) * (d_input as f64).powf(-0.5),
        random([d_output], &cpu),
        random([rows * d_output], &cpu),
        random([d_input * 4], &cpu),
        random([4 * d_output], &cpu) * 0.1,
    ];
    let run = |device: &Device, epilogue: fn(Tensor<3>) -> Epilogue<3>, lora: bool| {
        let inputs = (inputs.clone()).map(|input| Tensor::from_data(input.into_data(), device));
        let found = differentiate(&inputs, |inputs| {
            let [x, weight, bias, other, a, b] = inputs else {
                unreachable!()
            };
            let normal = Initializer::Normal(1.0);
            let mut layer = Linear::init([d_input, d_output], normal, true, device);
            layer.weight = param(weight.clone().reshape([d_input, d_output]));
            layer.bias = Some(param(bias.clone()));
            if lora {
                let a = param(a.clone().reshape([d_input, 4]));
                let b = param(b.clone().reshape([4, d_output]));
                layer.lora = vec![Some(LowRank::new(a, b, 0.5))];
            }
            let x = x.clone().reshape([1, rows, d_input]);
            let other = other.clone().reshape([1, rows, d_output]);
            let epilogue = epilogue(other.clone());
            let y = match device == gpu {
                true => layer.accelerated_training(&x, &epilogue).expect("not fast"),
                false => layer.reference(x, epilogue),
            };
            // Every input takes part, so that it has a gradient.
            y + other + (a.clone().sum() + b.clone().sum()).unsqueeze()
        });
        (found.into_iter())
            .map(|tensor| Tensor::from_data(tensor.into_data(), &cpu))
            .collect()
    };
    for (index, epilogue) in EPILOGUES.into_iter().enumerate() {
        for lora in [false, true] {
            let (found, expected) = (run(gpu, epilogue, lora), run(&cpu, epilogue, lora));
            compare(&format!("linear {index}, {lora}"), found, expected);
        }
    }
}

#[cfg(feature = "training")]
fn transformers_back() {
    let device = Device::flex().autodiff();
    for [batch, length, heads, head_dim] in [[1, 50, 3, 64], [2, 77, 2, 36], [3, 1, 1, 8]] {
        let width = heads * head_dim;
        let qkv = random([batch * length * 3 * width], &device);
        for causal in [false, true] {
            let run = |fast: bool| {
                differentiate(std::slice::from_ref(&qkv), |inputs| {
                    let qkv = inputs[0].clone().reshape([batch, length, 3 * width]);
                    match fast {
                        true => attention::fast(&qkv, heads, causal).expect("not fast"),
                        false => attention::reference(qkv, heads, causal),
                    }
                })
            };
            compare("attention", run(true), run(false));
        }
        layer_norm_back([batch, length, width], &device);
    }
    for [rows, columns] in [[3, 36], [700, 132]] {
        let (x, bias) = (
            random([rows * columns], &device),
            random([columns], &device),
        );
        let inputs = [x, bias, random([rows * columns], &device)];
        for (index, epilogue) in EPILOGUES.into_iter().enumerate() {
            let run = |fast: bool| {
                differentiate(&inputs, |inputs| {
                    let [x, bias, other] = inputs else {
                        unreachable!()
                    };
                    let x = x.clone().reshape([rows, columns]);
                    let epilogue = epilogue(other.clone().reshape([1, rows, columns]));
                    let y = match fast {
                        true => cpu::training::bias_act(&x, bias.clone(), &epilogue),
                        false => None,
                    };
                    let y = match y {
                        Some(y) => y.reshape([1, rows, columns]),
                        None => {
                            // A residual before an activation, the last, has no fast way.
                            assert!(!fast || index + 1 == EPILOGUES.len(), "not fast");
                            let y = x + bias.clone().unsqueeze();
                            epilogue.reference(y.reshape([1, rows, columns]))
                        }
                    };
                    // Every input takes part, so that it has a gradient.
                    y + other.clone().reshape([1, rows, columns])
                })
            };
            compare(&format!("finish {index}"), run(true), run(false));
        }
    }
}

#[cfg(feature = "training")]
#[track_caller]
fn conv_back(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    [batch, height, width]: [usize; 3],
    batch_stats: bool,
    epilogue: usize,
    device: &Device,
) {
    use burn::module::RunningState;
    let [input, out] = channels;
    let what = format!(
        "{channels:?}, kernel {kernel}, stride {stride}, batch statistics: {batch_stats}, {epilogue}"
    );
    let vector = |low, high| {
        let inner = device.clone().inner();
        uniform(out, low, high, &inner).into_data()
    };
    let (gamma, beta) = (vector(-1.5, 1.5), vector(-1.0, 1.0));
    let (mean, variance) = (vector(-1.0, 1.0), vector(0.5, 2.0));
    let leaf = |data: &TensorData| Tensor::from_data(data.clone(), device).require_grad();
    let x = (random([batch, height, width, input], device) * 2.0 + 5.0).into_data();
    let weight = random([out, input, kernel, kernel], device).into_data();
    let layer = || {
        let mut layer = ConvNorm::init(channels, kernel, stride, device);
        layer.conv.weight =
            Param::from_tensor(Tensor::from_data(weight.clone(), device).require_grad());
        layer.norm.gamma = Param::from_tensor(leaf(&gamma));
        layer.norm.beta = Param::from_tensor(leaf(&beta));
        layer.norm.running_mean = RunningState::new(Tensor::from_data(mean.clone(), device));
        layer.norm.running_var = RunningState::new(Tensor::from_data(variance.clone(), device));
        layer.norm.training = Param::from_bool(batch_stats);
        layer
    };
    let shape = layer()
        .reference(Tensor::from_data(x.clone(), device), Epilogue::None)
        .dims();
    let add = random(shape, device).into_data();
    let grad_output = random(shape, device);
    // A strided convolution's input is an image, which needs no gradient.
    let input = || {
        let x = Tensor::<4>::from_data(x.clone(), device);
        if stride == 1 { x.require_grad() } else { x }
    };
    let run = |fast: bool| {
        let (layer, x) = (layer(), input());
        let add = Tensor::<4>::from_data(add.clone(), device).require_grad();
        let epilogue = match epilogue {
            0 => Epilogue::None,
            1 => Epilogue::Relu,
            2 => Epilogue::Add(add.clone()),
            _ => Epilogue::AddRelu(add.clone()),
        };
        let y = match fast {
            true => layer.accelerated_training(&x, &epilogue).expect("not fast"),
            false => layer.reference(x.clone(), epilogue),
        };
        let mut gradients = (y.clone() * grad_output.clone()).sum().backward();
        let norm = &layer.norm;
        let mut flat = vec![y.inner().reshape([-1])];
        flat.extend(x.grad_remove(&mut gradients).map(|g| g.reshape([-1])));
        flat.extend(add.grad_remove(&mut gradients).map(|g| g.reshape([-1])));
        flat.extend(
            layer
                .conv
                .weight
                .val()
                .grad_remove(&mut gradients)
                .map(|g| g.reshape([-1])),
        );
        flat.extend(norm.gamma.val().grad_remove(&mut gradients));
        flat.extend(norm.beta.val().grad_remove(&mut gradients));
        flat.extend([
            norm.running_mean.value_sync().inner(),
            norm.running_var.value_sync().inner(),
        ]);
        flat
    };
    let (found, expected) = (run(true), run(false));
    assert_eq!(found.len(), expected.len(), "{what}");
    compare(&what, found, expected);
}

#[test]
#[cfg(feature = "training")]
fn what_is_differentiated_has_gradients() {
    let device = Device::flex().autodiff();
    let layer = Linear::init([8, 4], Initializer::Normal(0.1), true, &device);
    let x = random([3, 8], &device);
    let gradients = layer.forward_fused(x, Epilogue::Relu).sum().backward();
    assert!(layer.weight.val().grad(&gradients).is_some());
}
