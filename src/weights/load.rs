//! From a file into a model, piece by piece as the bytes come.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;

use super::header::{Header, HeaderReader};
use super::layout::{Change, Source};
use super::{WeightsError, transpose};
use crate::model::{Clip, ClipConfig, WeightPrecision};
use crate::ops;

/// Builds the model that `config` describes from a whole safetensors file.
pub fn load(config: &ClipConfig, file: &[u8], device: &Device) -> Result<Clip, WeightsError> {
    let mut loader = Loader::new(config, device, file.len() as u64);
    loader.push(file)?;
    loader.finish()
}

/// Takes a safetensors file in pieces of any size. Every parameter goes to the
/// device when its last byte has come, and the bytes are let go: what is held
/// meanwhile is one parameter. All names, shapes and types are checked before
/// the first of them is made room for. The model is as the file has it, or, after
/// [`Loader::packed`], packed.
pub struct Loader {
    model: Clip,
    device: Device,
    /// What the sender says of the file's length; 0 when it says nothing.
    announced: u64,
    /// For a model that only answers.
    packing: Option<WeightPrecision>,
    head: HeaderReader,
    body: Option<Body>,
}

impl Loader {
    /// `file_bytes` is the length that the file is said to have, 0 when unknown.
    pub fn new(config: &ClipConfig, device: &Device, file_bytes: u64) -> Self {
        Self {
            // burn's parameters are lazy: the initialisation is described, not run.
            model: Clip::init(config, device),
            device: device.clone(),
            announced: file_bytes,
            packing: None,
            head: HeaderReader::default(),
            body: None,
        }
    }

    /// For a model that only answers: matrices of f16 and bf16 files stay f16, half
    /// of the room, and all are packed, a transformer's as they come.
    pub fn packed(mut self, packing: WeightPrecision) -> Self {
        self.packing = Some(packing);
        self
    }

    /// The next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        if let Some(body) = &mut self.body {
            return body.push(bytes, &mut self.model, &self.device);
        }
        if let Some((header, rest)) = self.head.push(bytes)? {
            let (found, expected) = (self.announced, header.file_bytes());
            match found {
                1.. if found < expected => {
                    return Err(WeightsError::Truncated { found, expected });
                }
                1.. if found > expected => return Err(WeightsError::Length { found, expected }),
                _ => (),
            }
            let body = self.body.insert(Body::plan(
                &self.model,
                &header,
                self.packing,
                &self.device,
            )?);
            body.push(rest, &mut self.model, &self.device)?;
        }
        Ok(())
    }

    /// Whether some of it is kept as f16.
    pub fn keeps_f16(&self) -> bool {
        let short = |body: &Body| body.parameters.iter().any(|parameter| parameter.f16);
        self.body.as_ref().is_some_and(short)
    }

    /// How many numbers the model has.
    pub fn parameters(&self) -> u64 {
        let count = |body: &Body| body.parameters.iter().map(Parameter::count).sum();
        self.body.as_ref().map_or(0, count)
    }

    /// The model, once the file has come to its end.
    pub fn finish(self) -> Result<Clip, WeightsError> {
        let Some(body) = self.body else {
            return Err(WeightsError::NotSafetensors(
                "it ends before its header does",
            ));
        };
        if body.position != body.file_bytes {
            return Err(WeightsError::Truncated {
                found: body.position,
                expected: body.file_bytes,
            });
        }
        let mut filler = Filler {
            path: Vec::new(),
            loaded: body.loaded,
            packed: body.packed,
            missing: None,
        };
        let model = self.model.map(&mut filler);
        match (filler.missing, self.packing) {
            (Some(path), _) => Err(WeightsError::Missing(path)),
            (None, Some(packing)) => Ok(model.pack(packing)),
            (None, None) => Ok(model),
        }
    }
}

/// A parameter on its way.
struct Parameter {
    path: String,
    change: Change,
    f16: bool,
    /// Rows and columns of what the file has, all parts joined.
    rows: usize,
    columns: usize,
    /// Values by part; parts may come in any order.
    parts: Vec<Option<Numbers>>,
}

impl Parameter {
    fn count(&self) -> u64 {
        self.rows as u64 * self.columns as u64
    }
}

/// Numbers in the precision that they will be kept in.
enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Numbers {
    fn with_capacity(f16: bool, count: usize) -> Self {
        match f16 {
            true => Self::F16(Vec::with_capacity(count)),
            false => Self::F32(Vec::with_capacity(count)),
        }
    }

    /// Appends whole numbers of a type that [`Planner`] let pass; `false` if one
    /// of them is not finite.
    fn append(&mut self, dtype: Dtype, bytes: &[u8]) -> bool {
        let short = || bytes.as_chunks().0.iter();
        match (self, dtype) {
            (Self::F16(values), Dtype::F16) => {
                extend(values, short().map(|b| f16::from_le_bytes(*b)), |v| {
                    v.is_finite()
                })
            }
            (Self::F16(values), _) => {
                let rounded = short().map(|b| f16::from_f32(bf16::from_le_bytes(*b).to_f32()));
                extend(values, rounded, |v| v.is_finite())
            }
            (Self::F32(values), Dtype::F16) => {
                let wide = short().map(|b| f16::from_le_bytes(*b).to_f32());
                extend(values, wide, |v| v.is_finite())
            }
            (Self::F32(values), Dtype::BF16) => {
                let wide = short().map(|b| bf16::from_le_bytes(*b).to_f32());
                extend(values, wide, |v| v.is_finite())
            }
            (Self::F32(values), _) => {
                let as_is = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                extend(values, as_is, |v| v.is_finite())
            }
        }
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::F32(mut a), Self::F32(b)) => {
                a.extend(b);
                Self::F32(a)
            }
            (Self::F16(mut a), Self::F16(b)) => {
                a.extend(b);
                Self::F16(a)
            }
            // All parts of a parameter are made for its precision.
            (a, _) => a,
        }
    }

    fn transpose(self, rows: usize, columns: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(transpose(&values, rows, columns)),
            Self::F16(values) => Self::F16(transpose(&values, rows, columns)),
        }
    }

    fn tensor(self, device: &Device) -> Tensor<1> {
        match self {
            Self::F32(values) => {
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), device)
            }
            Self::F16(values) => {
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), (device, DType::F16))
            }
        }
    }
}

fn extend<T: Copy>(
    values: &mut Vec<T>,
    more: impl Iterator<Item = T>,
    finite: impl Fn(&T) -> bool,
) -> bool {
    let start = values.len();
    values.extend(more);
    // All of them are looked at, which is faster than to stop at the first one.
    (values[start..].iter()).fold(true, |all, value| all & finite(value))
}

/// A tensor of the file.
struct Piece {
    name: String,
    dtype: Dtype,
    /// Where its bytes end in the file.
    end: u64,
    values: usize,
    /// Which part of which parameter it is; none if the model has no use for it.
    wanted: Option<(usize, usize)>,
}

struct Body {
    file_bytes: u64,
    position: u64,
    /// In the file's order, the next one last.
    pieces: Vec<Piece>,
    parameters: Vec<Parameter>,
    /// Values of the current piece so far, and the bytes of a number cut in two.
    values: Option<Numbers>,
    cut: Vec<u8>,
    packing: Option<WeightPrecision>,
    /// Paths of layers whose weights the model has already.
    packed: HashSet<String>,
    /// Flat, by path: shape is given when all are there.
    loaded: HashMap<String, Tensor<1>>,
}

impl Body {
    /// What of the file goes where. Everything is checked here.
    fn plan(
        model: &Clip,
        header: &Header,
        packing: Option<WeightPrecision>,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let mut planner = Planner {
            header,
            f16: packing.is_some(),
            cpu: ops::is_cpu(device),
            path: Vec::new(),
            parameters: Vec::new(),
            wanted: HashMap::new(),
            error: None,
        };
        model.visit(&mut planner);
        if let Some(error) = planner.error {
            return Err(error);
        }
        let mut pieces: Vec<Piece> = (header.names().into_iter())
            .filter_map(|name| {
                let info = header.info(&name)?;
                Some(Piece {
                    dtype: info.dtype,
                    end: header.data_start + info.data_offsets.1 as u64,
                    values: info.shape.iter().product(),
                    wanted: planner.wanted.get(&name).copied(),
                    name,
                })
            })
            .collect();
        pieces.reverse();
        Ok(Self {
            file_bytes: header.file_bytes(),
            position: header.data_start,
            pieces,
            parameters: planner.parameters,
            values: None,
            cut: Vec::new(),
            packing,
            packed: HashSet::new(),
            loaded: HashMap::new(),
        })
    }

    fn push(
        &mut self,
        mut bytes: &[u8],
        model: &mut Clip,
        device: &Device,
    ) -> Result<(), WeightsError> {
        loop {
            let Some(piece) = self.pieces.last() else {
                if bytes.is_empty() {
                    return Ok(());
                }
                return Err(WeightsError::Length {
                    found: self.position + bytes.len() as u64,
                    expected: self.file_bytes,
                });
            };
            let missing = piece.end - self.position;
            let count = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some((parameter, _)) = piece.wanted {
                let f16 = self.parameters[parameter].f16;
                let room = || Numbers::with_capacity(f16, piece.values);
                let values = self.values.get_or_insert_with(room);
                append(piece, now, &mut self.cut, values)?;
            }
            self.position += count as u64;
            bytes = later;
            if self.position < piece.end {
                return Ok(()); // all bytes are taken
            }
            if let Some((parameter, part)) = piece.wanted {
                let none = || Numbers::F32(Vec::new());
                let values = self.values.take().unwrap_or_else(none);
                self.parameters[parameter].parts[part] = Some(values);
                self.send(parameter, model, device);
            }
            self.pieces.pop();
        }
    }

    /// To the device, if all of its parts are there.
    fn send(&mut self, parameter: usize, model: &mut Clip, device: &Device) {
        let parameter = &mut self.parameters[parameter];
        if parameter.parts.iter().any(Option::is_none) {
            return;
        }
        let parts = std::mem::take(&mut parameter.parts).into_iter().flatten();
        let Some(mut values) = parts.reduce(Numbers::join) else {
            return;
        };
        if matches!(
            parameter.change,
            Change::Transpose | Change::FlattenTranspose
        ) {
            values = values.transpose(parameter.rows, parameter.columns);
        }
        let tensor = values.tensor(device);
        if let Some(packing) = self.packing
            && let Some(path) = parameter.path.strip_suffix(".weight")
            && let Some(layer) = model.linear(path)
        {
            let shape = layer.weight.lazy_shape();
            layer.weight = Param::initialized(layer.weight.id, tensor.reshape(shape));
            layer.pack(packing);
            self.packed.insert(path.into());
            return;
        }
        self.loaded.insert(parameter.path.clone(), tensor);
    }
}

/// Appends numbers of a piece; one that is cut in two waits in `cut` for its rest.
fn append(
    piece: &Piece,
    mut bytes: &[u8],
    cut: &mut Vec<u8>,
    values: &mut Numbers,
) -> Result<(), WeightsError> {
    let size = if piece.dtype == Dtype::F32 { 4 } else { 2 };
    let mut finite = true;
    if !cut.is_empty() {
        let (rest, later) = bytes.split_at((size - cut.len()).min(bytes.len()));
        cut.extend_from_slice(rest);
        bytes = later;
        if cut.len() == size {
            finite &= values.append(piece.dtype, cut);
            cut.clear();
        }
    }
    let whole = bytes.len() - bytes.len() % size;
    finite &= values.append(piece.dtype, &bytes[..whole]);
    cut.extend_from_slice(&bytes[whole..]);
    match finite {
        true => Ok(()),
        false => Err(WeightsError::NotFinite(piece.name.clone())),
    }
}

/// Matrices, which are most of a model, and which the forward pass takes in
/// either precision; of convolutions that is so on the CPU.
fn may_be_f16(path: &str, shape: &[usize], cpu: bool) -> bool {
    let matrix = path.ends_with(".weight") && shape.len() == 2 && shape[1].is_multiple_of(4);
    matrix || (cpu && path.ends_with(".conv.weight"))
}

/// Finds every parameter's tensors in a header.
struct Planner<'a> {
    header: &'a Header,
    f16: bool,
    cpu: bool,
    path: Vec<String>,
    parameters: Vec<Parameter>,
    /// Which part of which parameter a name is.
    wanted: HashMap<String, (usize, usize)>,
    error: Option<WeightsError>,
}

impl Planner<'_> {
    fn add(&mut self, path: String, expected: &[usize]) -> Result<(), WeightsError> {
        let Some(Source { names, change }) = self.header.layout().source(&path) else {
            return Err(WeightsError::Unknown(path));
        };
        let mut shape: Vec<usize> = Vec::new();
        for (part, name) in names.iter().enumerate() {
            let info =
                (self.header.info(name)).ok_or_else(|| WeightsError::Missing(name.clone()))?;
            if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(WeightsError::Dtype {
                    name: name.clone(),
                    found: format!("{:?}", info.dtype),
                });
            }
            if part == 0 {
                shape = info.shape.clone();
            } else if info.shape.get(1..) == shape.get(1..) && !shape.is_empty() {
                shape[0] += info.shape[0];
            } else {
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    found: info.shape.clone(),
                    expected: shape,
                });
            }
            let place = (self.parameters.len(), part);
            self.wanted.insert(name.clone(), place);
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns: usize = shape.iter().skip(1).product();
        let (becomes, rank_fits) = match change {
            Change::Keep => (shape.clone(), true),
            Change::Scalar => (vec![rows * columns], true),
            Change::Transpose => (vec![columns, rows], shape.len() == 2),
            Change::FlattenTranspose => (vec![columns, rows], shape.len() == 4),
        };
        if becomes != expected || !rank_fits {
            return Err(WeightsError::Shape {
                name: names.join(" + "),
                found: shape,
                expected: expected.to_vec(),
            });
        }
        let dtype = names.first().and_then(|name| self.header.info(name));
        let stored_short = dtype.is_some_and(|info| info.dtype != Dtype::F32);
        self.parameters.push(Parameter {
            f16: self.f16 && stored_short && may_be_f16(&path, expected, self.cpu),
            path,
            change,
            rows,
            columns,
            parts: names.iter().map(|_| None).collect(),
        });
        Ok(())
    }
}

impl ModuleVisitor for Planner<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none() {
            let shape = param.lazy_shape();
            self.error = self.add(self.path.join("."), shape.as_slice()).err();
        }
    }
}

/// Puts what was loaded into the model.
struct Filler {
    path: Vec<String>,
    loaded: HashMap<String, Tensor<1>>,
    packed: HashSet<String>,
    missing: Option<String>,
}

impl Filler {
    /// Whether it is within a layer that is packed already.
    fn is_packed(&self) -> bool {
        let within = |depth| self.packed.contains(&self.path[..depth].join("."));
        (1..self.path.len()).any(within)
    }
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(values) = self.loaded.remove(&path) else {
            if !self.is_packed() {
                self.missing.get_or_insert(path);
            }
            return param;
        };
        let shape = param.lazy_shape();
        Param::initialized(param.id, values.reshape(shape))
    }
}
