//! Tests that every kernel becomes a shader of each graphics API, and keeps within what WebGPU
//! guarantees: no GPU is needed for them.

use std::fs;
use std::path::PathBuf;

use burn::tensor::DType;
use naga::back::{hlsl, msl, spv};
use naga::front::wgsl;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

use super::kernel::Kernel;
use super::{adamw, attention, gather, kernel, matmul_conv, norm, tokens};

/// WebGPU's limits that every adapter has.
const WORKGROUP_STORAGE: u32 = 16_384;
const WORKGROUP_INVOCATIONS: u32 = 256;
const STORAGE_BUFFERS: usize = 8;

/// Every kernel that the page may run, with a name.
fn kernels() -> Vec<(String, Kernel)> {
    let mut kernels = vec![
        ("adamw".into(), adamw::adamw_kernel()),
        ("layer norm".into(), norm::layer_norm_kernel()),
        ("normalize".into(), norm::normalize_kernel()),
        ("fold".into(), norm::fold_kernel()),
        ("tokens".into(), tokens::add_cls_and_position_kernel()),
        ("average pool".into(), tokens::average_pool_kernel()),
        ("contiguous".into(), kernel::into_contiguous_kernel()),
    ];
    #[cfg(feature = "training")]
    kernels.extend(
        (super::training::kernels().into_iter()).map(|(name, kernel)| (name.into(), kernel)),
    );
    for head_dim in [4, 32, 64, 80, 128] {
        for held in [false, true] {
            let name = format!("attention, heads of {head_dim}, {held}");
            kernels.push((name, attention::kernel(head_dim, held)));
        }
    }
    for weight in [DType::F32, DType::F16] {
        let mut push = |name: &str, kernel: Option<Kernel>| {
            kernels.push((format!("{name}, {weight:?}"), kernel.unwrap()));
        };
        push("gather", gather::kernel(weight));
        for (tile, step) in [(4, 1), (8, 1), (4, 4), (8, 4)] {
            let name = format!("matmul, {tile} rows, {step} channels");
            push(&name, matmul_conv::direct(tile, step, weight));
        }
        push("shared", matmul_conv::shared(weight));
        push("sliced", matmul_conv::sliced(weight));
    }
    kernels
}

/// Module and its properties. WebGPU without any extension: no subgroups either.
fn parse(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module = wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    // naga's word for `unpack2x16float`, which WebGPU always has.
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    (module, info)
}

#[test]
fn every_kernel_becomes_spirv_msl_and_hlsl() {
    for (name, kernel) in kernels() {
        // As natively, and as in a browser.
        for read in ["read_write", "read"] {
            let (module, info) = parse(&name, &kernel.clone().define("read", read).wgsl());
            let options = spv::Options::default();
            let words = spv::write_vec(&module, &info, &options, None);
            assert!(!words.unwrap().is_empty(), "{name}");
            let options = msl::Options {
                fake_missing_bindings: true,
                ..Default::default()
            };
            let (text, _) =
                msl::write_string(&module, &info, &options, &Default::default()).unwrap();
            assert!(text.contains("kernel void"), "{name}");
            let options = hlsl::Options {
                fake_missing_bindings: true,
                ..Default::default()
            };
            let pipeline = hlsl::PipelineOptions::default();
            let mut text = String::new();
            (hlsl::Writer::new(&mut text, &options, &pipeline))
                .write(&module, &info, None)
                .unwrap();
            assert!(text.contains("[numthreads("), "{name}");
        }
    }
}

/// For a compiler that is not at hand here: the browser tests give them to Chromium's.
#[test]
fn every_kernel_can_be_written_to_a_folder() {
    let Some(folder) = std::env::var_os("CLIP_WGSL").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).unwrap();
    for (number, (name, kernel)) in kernels().into_iter().enumerate() {
        let file = format!("{number:02} {name}.wgsl");
        fs::write(folder.join(file), kernel.define("read", "read").wgsl()).unwrap();
    }
}

#[test]
fn every_kernel_keeps_within_the_guaranteed_limits() {
    for (name, kernel) in kernels() {
        let (module, _) = parse(&name, &kernel.wgsl());
        let threads: u32 = module.entry_points[0].workgroup_size.iter().product();
        assert!(
            threads <= WORKGROUP_INVOCATIONS,
            "{name}: {threads} threads"
        );
        let variables = |space: fn(&AddressSpace) -> bool| {
            let all = module.global_variables.iter().map(|(_, variable)| variable);
            all.filter(move |variable| space(&variable.space))
        };
        let bytes: u32 = variables(|space| *space == AddressSpace::WorkGroup)
            .map(|variable| module.types[variable.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(bytes <= WORKGROUP_STORAGE, "{name}: {bytes} bytes");
        let buffers = variables(|space| matches!(space, AddressSpace::Storage { .. })).count();
        assert!(buffers <= STORAGE_BUFFERS, "{name}: {buffers} buffers");
    }
}
