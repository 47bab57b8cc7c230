//! How a text in WGSL becomes a kernel that burn runs among its own.

use burn::backend::Wgpu;
use burn::backend::wgpu::{
    CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous,
};
use burn::tensor::{DType, Shape, Tensor};
use cubecl::prelude::{BufferIOAttr, CubeCount, CubeDim, KernelId};
use cubecl::server::{KernelArguments, MetadataBindingInfo};

/// A text and what is filled into it. Kernels that differ in any of this are
/// compiled one by one, so what differs from call to call is an argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    text: &'static str,
    workgroup: [u32; 2],
    words: Vec<(&'static str, String)>,
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
    pub fn word(mut self, name: &'static str, word: impl ToString) -> Self {
        self.words.push((name, word.to_string()));
        self
    }

    /// A line with `mark` in it stands for `count` lines, with 0, 1, … for the mark.
    pub fn lines(mut self, mark: &'static str, count: usize) -> Self {
        self.lines.push((mark, count));
        self
    }

    /// Runs it `groups` times its workgroup, for a result of `shape`. The text binds
    /// the inputs, then the result, then the numbers of `arguments`. `None` where no
    /// GPU can count that far.
    pub fn run<const D: usize>(
        self,
        inputs: &[CubeTensor],
        arguments: &[u32],
        groups: [usize; 3],
        shape: [usize; D],
    ) -> Option<Tensor<D>> {
        /// What WebGPU promises everywhere.
        const MOST_GROUPS: usize = 65_535;

        let first = inputs.first()?;
        let result = CubeTensor::new_contiguous(
            first.client.clone(),
            first.device.clone(),
            Shape::from(shape),
            (first.client).empty(shape.iter().product::<usize>() * size_of::<f32>()),
            DType::F32,
        );
        if groups
            .iter()
            .any(|count| !(1..=MOST_GROUPS).contains(count))
        {
            return None;
        }
        let [x, y, z] = groups.map(|count| count as u32);
        let mut bound = KernelArguments::new();
        for input in inputs {
            let buffer = input.handle.clone().binding();
            bound = bound.with_buffer_io(buffer, BufferIOAttr::ReadOnly);
        }
        let buffer = result.handle.clone().binding();
        let bound = (bound.with_buffer_io(buffer, BufferIOAttr::WriteOnly))
            .with_info(MetadataBindingInfo::custom(uniform(arguments)));
        let dim = CubeDim::new_2d(self.workgroup[0], self.workgroup[1]);
        let kernel = Box::new(SourceKernel::new(self, dim));
        (first.client).launch(kernel, CubeCount::Static(x, y, z), bound);
        Some(Tensor::from_primitive::<Wgpu>(result))
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
            text.register(*name, word)
        })
    }

    fn id(&self) -> KernelId {
        let [x, y] = self.workgroup;
        KernelId::new::<Self>()
            .info(self.clone())
            .cube_dim((x, y, 1).into())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// A tensor of that type on the GPU, without gaps. `None` for any other tensor, for
/// instance one that is to be differentiated.
pub fn on_gpu<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Option<CubeTensor> {
    if tensor.dtype() != dtype {
        return None;
    }
    tensor
        .try_into_primitive::<Wgpu>()
        .ok()
        .map(into_contiguous)
}

/// Numbers of 32 bits as a uniform buffer has them: in sixteens of bytes.
fn uniform(numbers: &[u32]) -> Vec<u64> {
    let mut numbers = numbers.to_vec();
    numbers.resize(numbers.len().next_multiple_of(4), 0);
    (numbers.as_chunks().0.iter())
        .map(|[low, high]| u64::from(*low) | u64::from(*high) << 32)
        .collect()
}
