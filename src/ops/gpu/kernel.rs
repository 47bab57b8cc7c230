//! How a text in WGSL becomes a kernel that burn runs among its own.

use burn::backend::Wgpu;
use burn::backend::wgpu::{
    CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous,
};
use burn::tensor::{DType, Shape, Tensor};
use cubecl::dry_run::DryRun;
use cubecl::prelude::{BufferIOAttr, Client, CubeCount, CubeDim, KernelId};
use cubecl::server::{KernelArguments, MetadataBindingInfo};

/// A text and what is filled into it. Kernels that differ in any of this are
/// compiled one by one, so what differs from call to call is an argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    text: &'static str,
    workgroup: [u32; 2],
    words: Vec<(String, String)>,
    lines: Vec<(&'static str, usize)>,
}

impl Kernel {
    /// `{{ workgroup }}` in the text stands for `workgroup`, `{{ read }}` for how the
    /// inputs are bound.
    pub fn new(text: &'static str, workgroup: [u32; 2]) -> Self {
        // In a browser every tensor has a buffer of its own. Elsewhere inputs and result
        // may be parts of one, and then all of them have to be bound alike.
        let read = match cfg!(target_arch = "wasm32") {
            true => "read",
            false => "read_write",
        };
        Self {
            text,
            workgroup,
            words: Vec::new(),
            lines: Vec::new(),
        }
        .word("read", read)
        .word("workgroup", format!("{}, {}", workgroup[0], workgroup[1]))
    }

    /// `{{ name }}` in the text stands for `word`.
    pub fn word(mut self, name: &str, word: impl ToString) -> Self {
        self.words.push((name.into(), word.to_string()));
        self
    }

    /// A line with `mark` in it stands for `count` lines, with 0, 1, … for the mark.
    pub fn lines(mut self, mark: &'static str, count: usize) -> Self {
        self.lines.push((mark, count));
        self
    }

    /// For a matrix in f32 or f16, which is read by fours and computed with in f32:
    /// `{{ name }}` stands for the type that it is bound as, `{{ as_name }}` for how
    /// such a `v` becomes a `vec4f`. WebGPU has f16 only as an extra.
    pub fn numbers(self, name: &str, dtype: DType) -> Option<Self> {
        let (bound, taken) = match dtype {
            DType::F32 => ("vec4f", "v"),
            DType::F16 => ("vec2u", "vec4f(unpack2x16float(v.x), unpack2x16float(v.y))"),
            _ => return None,
        };
        Some(self.word(name, bound).word(&format!("as_{name}"), taken))
    }

    /// Runs it, in `groups` workgroups, for a result of `shape`. The text binds the
    /// inputs, then the result, then the arguments. `None` where no GPU can count
    /// that far.
    pub fn run<const D: usize>(
        self,
        inputs: &[CubeTensor],
        arguments: &[u32],
        groups: [usize; 3],
        shape: [usize; D],
    ) -> Option<Tensor<D>> {
        let result = self.launch(inputs, arguments, groups, shape.into())?;
        Some(Tensor::from_primitive::<Wgpu>(result))
    }

    /// Has it compiled, and runs nothing.
    pub fn compile(self, client: &Client) {
        let _dry = DryRun::new();
        let kernel = Box::new(SourceKernel::new(self.clone(), self.cube_dim()));
        client.launch(kernel, CubeCount::Static(1, 1, 1), KernelArguments::new());
    }

    fn cube_dim(&self) -> CubeDim {
        CubeDim::new_2d(self.workgroup[0], self.workgroup[1])
    }

    fn launch(
        self,
        inputs: &[CubeTensor],
        arguments: &[u32],
        groups: [usize; 3],
        shape: Shape,
    ) -> Option<CubeTensor> {
        /// What WebGPU promises everywhere.
        const MOST_GROUPS: usize = 65_535;

        if groups
            .iter()
            .any(|count| !(1..=MOST_GROUPS).contains(count))
        {
            return None;
        }
        let [x, y, z] = groups.map(|count| count as u32);
        let CubeTensor { client, device, .. } = inputs.first()?;
        let memory = client.empty(shape.num_elements() * size_of::<f32>());
        let mut bound = KernelArguments::new();
        for input in inputs {
            let buffer = input.handle.clone().binding();
            bound = bound.with_buffer_io(buffer, BufferIOAttr::ReadOnly);
        }
        let bound = (bound.with_buffer_io(memory.clone().binding(), BufferIOAttr::WriteOnly))
            .with_info(MetadataBindingInfo::custom(uniform(arguments)));
        let kernel = Box::new(SourceKernel::new(self.clone(), self.cube_dim()));
        client.launch(kernel, CubeCount::Static(x, y, z), bound);
        let (client, device) = (client.clone(), device.clone());
        Some(CubeTensor::new_contiguous(
            client,
            device,
            shape,
            memory,
            DType::F32,
        ))
    }
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        let mut text = self.text.to_owned();
        for &(mark, count) in &self.lines {
            text = (text.lines())
                .flat_map(|line| {
                    let code = line.contains(mark) && !line.starts_with("//");
                    (0..if code { count } else { 1 }).map(move |i| match code {
                        true => line.replace(mark, &i.to_string()) + "\n",
                        false => line.to_owned() + "\n",
                    })
                })
                .collect();
        }
        (self.words.iter()).fold(SourceTemplate::new(text), |text, (name, word)| {
            text.register(name, word)
        })
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .info(self.clone())
            .cube_dim(self.cube_dim().into())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// A tensor of that type on the GPU, in the order of its axes. `None` for any other
/// tensor, such as one that is to be differentiated.
pub fn on_gpu<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Option<CubeTensor> {
    if tensor.dtype() != dtype {
        return None;
    }
    let tensor = tensor.try_into_primitive::<Wgpu>().ok()?;
    match tensor.is_contiguous() {
        true => Some(tensor),
        false if dtype == DType::F32 => in_order(tensor),
        false => Some(into_contiguous(tensor)),
    }
}

fn in_order(tensor: CubeTensor) -> Option<CubeTensor> {
    const AXES: usize = 8;
    /// Workgroups in a row, where there is more than one row.
    const ROW: usize = 1 << 12;

    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let count = shape.num_elements();
    let (mut sizes, mut steps) = ([1; AXES], [0; AXES]);
    if shape.num_dims() > AXES {
        return None;
    }
    for (to, (size, step)) in shape.iter().zip(strides.iter()).rev().enumerate() {
        (sizes[to], steps[to]) = (*size as u32, *step as u32);
    }
    let row = count.div_ceil(TOGETHER).min(ROW);
    let mut arguments = [sizes, steps].concat();
    arguments.extend([count as u32, (row * TOGETHER) as u32]);
    let groups = [row, count.div_ceil(row * TOGETHER), 1];
    let shape = shape.clone();
    in_order_kernel().launch(&[tensor], &arguments, groups, shape)
}

const TOGETHER: usize = 64;

pub fn in_order_kernel() -> Kernel {
    Kernel::new(include_str!("in_order.wgsl"), [TOGETHER as u32, 1])
}

/// Numbers of 32 bits as a uniform buffer has them: in sixteens of bytes.
fn uniform(numbers: &[u32]) -> Vec<u64> {
    let mut numbers = numbers.to_vec();
    numbers.resize(numbers.len().next_multiple_of(4), 0);
    (numbers.as_chunks().0.iter())
        .map(|[low, high]| u64::from(*low) | u64::from(*high) << 32)
        .collect()
}
