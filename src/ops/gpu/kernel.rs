//! WGSL templates, compiled and launched through burn's runtime.

use burn::backend::Wgpu;
use burn::backend::wgpu::{CubeTensor, SourceTemplate, into_contiguous};
use burn::tensor::{DType, Shape, Tensor};
use cubecl::dry_run::DryRun;
use cubecl::ir::metadata::Info;
use cubecl::ir::{ElemType, UIntKind};
use cubecl::prelude::*;
use cubecl::server::{KernelArguments, MetadataBindingInfo};
use cubecl::{CubeKernel, PrecompiledSource};

/// WGSL template with its definitions. Kernels that differ in any of these are compiled
/// separately, so whatever differs between calls is an argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    name: &'static str,
    source: &'static str,
    workgroup: [u32; 2],
    definitions: Vec<(String, String)>,
    unrolled: Vec<(&'static str, usize)>,
}

impl Kernel {
    /// Defines `{{ workgroup }}` and `{{ read }}`, the access mode of the inputs. `name` is
    /// for profiles.
    pub fn new(name: &'static str, source: &'static str, workgroup: [u32; 2]) -> Self {
        // In a browser every tensor has its own buffer. Elsewhere inputs and output may
        // share one, and all bindings need the same access mode.
        let read = match cfg!(target_arch = "wasm32") {
            true => "read",
            false => "read_write",
        };
        Self {
            name,
            source,
            workgroup,
            definitions: Vec::new(),
            unrolled: Vec::new(),
        }
        .define("read", read)
        .define("workgroup", format!("{}, {}", workgroup[0], workgroup[1]))
    }

    /// Replaces `{{ name }}` by `word`.
    pub fn define(mut self, name: &str, word: impl ToString) -> Self {
        self.definitions.push((name.into(), word.to_string()));
        self
    }

    /// Unrolls lines that contain `mark` into `count` lines, with 0, 1, … in its place.
    pub fn unroll(mut self, mark: &'static str, count: usize) -> Self {
        self.unrolled.push((mark, count));
        self
    }

    /// Defines the type of a matrix in f32 or f16, read as vectors of four and computed
    /// in f32: `{{ name }}` is the bound type, `{{ as_name }}` converts a `v` of it to
    /// `vec4f`. f16 is an optional feature of WebGPU.
    pub fn dtype_template(self, name: &str, dtype: DType) -> Option<Self> {
        let (bound, taken) = match dtype {
            DType::F32 => ("vec4f", "v"),
            DType::F16 => ("vec2u", "vec4f(unpack2x16float(v.x), unpack2x16float(v.y))"),
            _ => return None,
        };
        Some(
            self.define(name, bound)
                .define(&format!("as_{name}"), taken),
        )
    }

    /// Launches the kernel in `groups` workgroups, with an output of `shape`. Bindings:
    /// the inputs, the output, the arguments. `None` beyond WebGPU's limit on workgroups.
    pub fn run<const D: usize>(
        self,
        inputs: &[CubeTensor],
        arguments: &[u32],
        groups: [usize; 3],
        shape: [usize; D],
    ) -> Option<Tensor<D>> {
        let [result] = self.launch(inputs, arguments, groups, [shape.into()])?;
        Some(Tensor::from_primitive::<Wgpu>(result))
    }

    /// Compiles the kernel without launching it.
    pub fn compile(self, client: &Client) {
        let _dry = DryRun::new();
        client.launch(
            Box::new(self),
            CubeCount::Static(1, 1, 1),
            KernelArguments::new(),
        );
    }

    fn cube_dim(&self) -> CubeDim {
        CubeDim::new_2d(self.workgroup[0], self.workgroup[1])
    }

    /// [`Self::run`] with several outputs, all f32.
    pub fn launch<const N: usize>(
        self,
        inputs: &[CubeTensor],
        arguments: &[u32],
        groups: [usize; 3],
        shapes: [Shape; N],
    ) -> Option<[CubeTensor; N]> {
        if groups
            .iter()
            .any(|count| !(1..=MAX_WORKGROUPS).contains(count))
        {
            return None;
        }
        let [x, y, z] = groups.map(|count| count as u32);
        let CubeTensor { client, device, .. } = inputs.first()?;
        let outputs = shapes.map(|shape| {
            let memory = client.empty(shape.num_elements() * size_of::<f32>());
            CubeTensor::new_contiguous(client.clone(), device.clone(), shape, memory, DType::F32)
        });
        let mut bound = KernelArguments::new();
        for input in inputs {
            let buffer = input.handle.clone().binding();
            bound = bound.with_buffer_io(buffer, BufferIOAttr::ReadOnly);
        }
        for output in &outputs {
            let buffer = output.handle.clone().binding();
            bound = bound.with_buffer_io(buffer, BufferIOAttr::WriteOnly);
        }
        let bound = bound.with_info(MetadataBindingInfo::custom(uniform(arguments)));
        client.launch(Box::new(self), CubeCount::Static(x, y, z), bound);
        Some(outputs)
    }
}

impl Kernel {
    /// WGSL.
    pub fn wgsl(&self) -> String {
        let mut source = self.source.to_owned();
        for &(mark, count) in &self.unrolled {
            source = (source.lines())
                .flat_map(|line| {
                    let code = line.contains(mark) && !line.starts_with("//");
                    (0..if code { count } else { 1 }).map(move |i| match code {
                        true => line.replace(mark, &i.to_string()) + "\n",
                        false => line.to_owned() + "\n",
                    })
                })
                .collect();
        }
        (self.definitions.iter())
            .fold(SourceTemplate::new(source), |source, (name, word)| {
                source.register(name, word)
            })
            .complete()
    }
}

impl CubeKernel for Kernel {
    fn define(&self) -> KernelDefinition {
        let settings = KernelSettings::new(
            self.cube_dim().into(),
            ExecutionMode::Checked,
            AddressType::U32,
        );
        KernelDefinition {
            body: Scope::root(settings.clone()),
            settings,
            info: Info::default(),
        }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        Some(PrecompiledSource {
            source: self.wgsl(),
            entrypoint_name: "main".into(),
            lang: "wgsl",
        })
    }
}

impl KernelMetadata for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .info(self.clone())
            .cube_dim(self.cube_dim().into())
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

/// Contiguous tensor of a data type on the GPU. `None` for any other tensor, such as a
/// tracked one.
pub fn on_gpu<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Option<CubeTensor> {
    if tensor.dtype() != dtype {
        return None;
    }
    let tensor = tensor.try_into_primitive::<Wgpu>().ok()?;
    match dtype {
        DType::F32 => contiguous(tensor),
        _ => Some(into_contiguous(tensor)),
    }
}

/// Contiguous copy of an f32 tensor, or the tensor itself.
pub fn contiguous(tensor: CubeTensor) -> Option<CubeTensor> {
    const AXES: usize = 8;

    if tensor.is_contiguous() {
        return Some(tensor);
    }
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let count = shape.num_elements();
    let (mut sizes, mut steps) = ([1; AXES], [0; AXES]);
    if shape.num_dims() > AXES {
        return None;
    }
    for (to, (size, step)) in shape.iter().zip(strides.iter()).rev().enumerate() {
        (sizes[to], steps[to]) = (*size as u32, *step as u32);
    }
    let (groups, row) = rows_of_workgroups(count);
    let mut arguments = [sizes, steps].concat();
    arguments.extend([count as u32, row]);
    let shape = shape.clone();
    let [output] = into_contiguous_kernel().launch(&[tensor], &arguments, groups, [shape])?;
    Some(output)
}

/// Workgroups of [`WORKGROUP_SIZE`] for `count` threads, and the threads in a row of them: a
/// single row may not have so many.
pub fn rows_of_workgroups(count: usize) -> ([usize; 3], u32) {
    /// Workgroups in a row.
    const ROW: usize = 1 << 12;

    let row = count.div_ceil(WORKGROUP_SIZE).min(ROW);
    let rows = count.div_ceil(row * WORKGROUP_SIZE);
    ([row, rows, 1], (row * WORKGROUP_SIZE) as u32)
}

/// Workgroups along an axis that WebGPU guarantees.
pub const MAX_WORKGROUPS: usize = 65_535;

/// Threads of a workgroup of elementwise kernels.
pub const WORKGROUP_SIZE: usize = 64;

pub fn into_contiguous_kernel() -> Kernel {
    Kernel::new(
        "into_contiguous",
        include_str!("into_contiguous.wgsl"),
        [WORKGROUP_SIZE as u32, 1],
    )
}

/// Uniform buffer of 32-bit values, padded to 16 bytes.
fn uniform(numbers: &[u32]) -> Vec<u64> {
    let mut numbers = numbers.to_vec();
    numbers.resize(numbers.len().next_multiple_of(4), 0);
    (numbers.as_chunks().0.iter())
        .map(|[low, high]| u64::from(*low) | u64::from(*high) << 32)
        .collect()
}
