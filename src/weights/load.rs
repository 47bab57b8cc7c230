//! Streaming loader: file bytes to model parameters.

use std::collections::{HashMap, HashSet};

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::fold::{Fold, Part};
use super::header::{Header, HeaderReader};
use super::int8_rows::{self, stored_rows};
use super::key_map::{Source, Transform};
use super::{RowFormat, WeightsError, in_units, transpose};
use crate::model::{
    Clip, ClipConfig, ParamMapper, ParamVisitor, StoredPrecision, WeightPrecision, map_params,
    visit_params,
};
use crate::ops;

/// Loads a model from a whole safetensors file.
pub fn load(config: &ClipConfig, file: &[u8], device: &Device) -> Result<Clip, WeightsError> {
    let mut loader = Loader::new(config, device, file.len() as u64);
    loader.push(file)?;
    loader.finish()
}

/// Streaming loader for a safetensors file, in chunks of any size. Each parameter is
/// uploaded when its last byte arrives, and its bytes are freed, so one parameter is in
/// memory at a time. All names, shapes and dtypes are validated before anything is
/// allocated. Weights stay as in the file, or are packed with [`Loader::packed`].
pub struct Loader {
    model: Clip,
    device: Device,
    /// Announced file size; 0 if unknown.
    expected_bytes: u64,
    /// Precision of the packed weights, for inference only.
    precision: Option<WeightPrecision>,
    max_tensor_bytes: Option<u64>,
    head: HeaderReader,
    body: Option<Body>,
}

impl Loader {
    /// `file_bytes` is the announced file size, 0 if unknown.
    pub fn new(config: &ClipConfig, device: &Device, file_bytes: u64) -> Self {
        Self {
            // burn's parameters are lazy: no initialiser runs.
            model: Clip::init(config, device),
            device: device.clone(),
            expected_bytes: file_bytes,
            precision: None,
            max_tensor_bytes: None,
            head: HeaderReader::default(),
            body: None,
        }
    }

    /// Packs the weights, for inference only: matrices of f16 and bf16 files stay f16,
    /// half the memory, and a transformer's are packed as they arrive.
    pub fn packed(mut self, precision: WeightPrecision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Keeps within the largest tensor of the device, bytes. A larger token embedding of a packed model
    /// stays in memory, see [`Loader::take_held_rows`]; any other parameter is an error as soon as the
    /// header is read.
    pub fn max_tensor_bytes(mut self, limit: Option<u64>) -> Self {
        self.max_tensor_bytes = limit;
        self
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        if let Some(body) = &mut self.body {
            return body.push(bytes, &mut self.model, &self.device);
        }
        if let Some((header, rest)) = self.head.push(bytes)? {
            let (found, expected) = (self.expected_bytes, header.file_bytes());
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
                self.precision,
                self.max_tensor_bytes,
                &self.device,
            )?);
            body.push(rest, &mut self.model, &self.device)?;
        }
        Ok(())
    }

    /// Precision of the matrices: int8 if they come from such a copy, f16 if they stay so.
    pub fn stored_precision(&self) -> StoredPrecision {
        match &self.body {
            Some(body) if body.int8 => StoredPrecision::Int8,
            Some(body) if body.parameters.iter().any(|parameter| parameter.f16) => {
                StoredPrecision::F16
            }
            _ => StoredPrecision::AsDownloaded,
        }
    }

    /// Format of the rows of the token embedding, if the model has a placeholder for it: the file has
    /// no rows, or the device has no tensors of their size.
    pub fn row_format(&self) -> Option<&RowFormat> {
        self.body.as_ref()?.row_format.as_ref()
    }

    /// Rows of a token embedding that is too large for the device, as in the file.
    pub fn take_held_rows(&mut self) -> Option<Vec<u8>> {
        self.body.as_mut()?.held_rows.take()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        let count = |body: &Body| body.parameters.iter().map(Parameter::count).sum();
        self.body.as_ref().map_or(0, count)
    }

    /// Returns the model after the last byte.
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
        let mut filler = ParamFiller {
            loaded: body.loaded,
            packed: body.packed,
            placeholder: body.row_format.is_some(),
            missing: None,
        };
        let model = map_params(self.model, &mut filler);
        match (filler.missing, self.precision) {
            (Some(path), _) => Err(WeightsError::Missing(path)),
            (None, Some(precision)) => Ok(model.pack(precision)),
            (None, None) => Ok(model),
        }
    }
}

/// Parameter being loaded.
struct Parameter {
    path: String,
    transform: Transform,
    f16: bool,
    /// Rows and columns in the file, with all parts concatenated.
    rows: usize,
    columns: usize,
    /// Values by part; parts arrive in any order.
    parts: Vec<Option<Values>>,
    folding: Option<Folding>,
}

/// How the parts of a parameter become one.
struct Folding {
    fold: Fold,
    /// Names and shapes of the parts.
    parts: Vec<(String, Vec<usize>)>,
    /// Shape before the parameter's transform.
    shape: Vec<usize>,
}

impl Folding {
    /// From the parts in their order; f32 all.
    fn values(&self, parts: &[Values]) -> Values {
        let parts = (self.parts.iter().zip(parts))
            .filter_map(|((name, shape), values)| match values {
                Values::F32(values) => Some((name.as_str(), Part { shape, values })),
                Values::F16(_) => None,
            })
            .collect();
        Values::F32(self.fold.values(&self.shape, &parts))
    }
}

impl Parameter {
    fn count(&self) -> u64 {
        self.rows as u64 * self.columns as u64
    }
}

/// Values in their storage precision.
#[derive(Clone)]
pub(super) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Values {
    pub(super) fn with_capacity(f16: bool, count: usize) -> Self {
        match f16 {
            true => Self::F16(Vec::with_capacity(count)),
            false => Self::F32(Vec::with_capacity(count)),
        }
    }

    /// Appends whole values of a dtype that [`LoadPlanner`] accepted, or whole rows of int8, of
    /// `row_bytes` each; `false` if one is not finite.
    pub(super) fn append(&mut self, dtype: Dtype, row_bytes: usize, bytes: &[u8]) -> bool {
        let halves = || bytes.as_chunks().0.iter();
        match (self, dtype) {
            (Self::F32(values), Dtype::I8) => stored_rows(bytes, row_bytes)
                .all(|row| extend(values, int8_rows::values(row), |v| v.is_finite())),
            (Self::F16(values), Dtype::I8) => stored_rows(bytes, row_bytes)
                .map(|row| int8_rows::values(row).map(f16::from_f32))
                .all(|rounded| extend(values, rounded, |v| v.is_finite())),
            (Self::F16(values), Dtype::F16) => {
                extend(values, halves().map(|b| f16::from_le_bytes(*b)), |v| {
                    v.is_finite()
                })
            }
            (Self::F16(values), _) => {
                let rounded = halves().map(|b| f16::from_f32(bf16::from_le_bytes(*b).to_f32()));
                extend(values, rounded, |v| v.is_finite())
            }
            (Self::F32(values), _) => widen(dtype, bytes, values),
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
            // All parts of a parameter have the same precision.
            (a, _) => a,
        }
    }

    fn transpose(self, rows: usize, columns: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(transpose(&values, rows, columns)),
            Self::F16(values) => Self::F16(transpose(&values, rows, columns)),
        }
    }

    pub(super) fn tensor(self, device: &Device) -> Tensor<1> {
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

/// Appends values of a float dtype as f32; `false` if one is not finite.
pub(super) fn widen(dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) -> bool {
    let halves = || bytes.as_chunks().0.iter();
    let finite = |value: &f32| value.is_finite();
    match dtype {
        Dtype::F16 => extend(
            values,
            halves().map(|b| f16::from_le_bytes(*b).to_f32()),
            finite,
        ),
        Dtype::BF16 => extend(
            values,
            halves().map(|b| bf16::from_le_bytes(*b).to_f32()),
            finite,
        ),
        _ => {
            let as_is = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
            extend(values, as_is, finite)
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
    // Checking all values is faster than stopping at the first.
    (values[start..].iter()).fold(true, |all, value| all & finite(value))
}

/// Tensor of the file.
struct FileTensor {
    name: String,
    dtype: Dtype,
    /// Bytes that are read together: a value, or a row of int8.
    unit: usize,
    /// End offset in the file.
    end: u64,
    values: usize,
    /// Indices of the parameters and of their parts; none if the model does not use it.
    targets: Vec<Target>,
}

/// Index of a parameter and of its part.
type Target = (usize, usize);

struct Body {
    /// Whether the file has matrices as int8.
    int8: bool,
    file_bytes: u64,
    position: u64,
    /// In reverse file order.
    tensors: Vec<FileTensor>,
    parameters: Vec<Parameter>,
    /// Values of the current tensor so far, and the bytes of an incomplete value.
    values: Option<Values>,
    partial: Vec<u8>,
    precision: Option<WeightPrecision>,
    /// Token embedding that the model has a placeholder for.
    row_format: Option<RowFormat>,
    /// Its rows so far, if the file has them.
    held_rows: Option<Vec<u8>>,
    /// Paths of layers that are packed already.
    packed: HashSet<String>,
    /// Flat tensors by path; reshaped at the end.
    loaded: HashMap<String, Tensor<1>>,
}

impl Body {
    /// Plans and validates the loading of a file.
    fn plan(
        model: &Clip,
        header: &Header,
        precision: Option<WeightPrecision>,
        max_tensor_bytes: Option<u64>,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let mut planner = LoadPlanner {
            header,
            f16: precision.is_some(),
            cpu: ops::is_cpu(device),
            max_tensor_bytes,
            parameters: Vec::new(),
            targets: HashMap::new(),
            row_format: None,
            held: false,
            error: None,
        };
        visit_params(model, &mut planner);
        if let Some(error) = planner.error {
            return Err(error);
        }
        let mut unused = (header.names().into_iter())
            .filter(|name| !planner.targets.contains_key(name) && !is_useless(name));
        if let Some(name) = unused.next() {
            let others = unused.count();
            return Err(WeightsError::Unused { name, others });
        }
        let mut tensors: Vec<FileTensor> = (header.names().into_iter())
            .filter_map(|name| {
                let info = header.info(&name)?;
                Some(FileTensor {
                    dtype: info.dtype,
                    unit: unit_bytes(info),
                    end: header.data_start + info.data_offsets.1 as u64,
                    values: info.shape.iter().product(),
                    targets: planner.targets.get(&name).cloned().unwrap_or_default(),
                    name,
                })
            })
            .collect();
        tensors.reverse();
        let held_rows = match (&planner.row_format, max_tensor_bytes) {
            (Some(format), Some(limit)) if planner.held => {
                let bytes = format.vocab_size() * format.row_bytes();
                let mut rows = Vec::new();
                let too_large = |_| WeightsError::TooLarge {
                    bytes: bytes as u64,
                    limit,
                };
                rows.try_reserve_exact(bytes).map_err(too_large)?;
                Some(rows)
            }
            _ => None,
        };
        Ok(Self {
            int8: tensors
                .iter()
                .any(|tensor| tensor.dtype == Dtype::I8 && !tensor.targets.is_empty()),
            file_bytes: header.file_bytes(),
            position: header.data_start,
            tensors,
            parameters: planner.parameters,
            values: None,
            partial: Vec::new(),
            precision,
            held_rows,
            row_format: planner.row_format,
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
            let Some(tensor) = self.tensors.last_mut() else {
                if bytes.is_empty() {
                    return Ok(());
                }
                return Err(WeightsError::Length {
                    found: self.position + bytes.len() as u64,
                    expected: self.file_bytes,
                });
            };
            let missing = tensor.end - self.position;
            let count = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(count);
            let target = tensor.targets.first();
            let path = target.map(|(parameter, _)| self.parameters[*parameter].path.as_str());
            if let (Some(rows), Some(TOKEN_TABLE)) = (&mut self.held_rows, path) {
                rows.extend_from_slice(now);
            } else if let Some((parameter, _)) = target {
                let f16 = self.parameters[*parameter].f16;
                let empty = || Values::with_capacity(f16, tensor.values);
                let values = self.values.get_or_insert_with(empty);
                append(tensor, now, &mut self.partial, values)?;
            }
            self.position += count as u64;
            bytes = later;
            if self.position < tensor.end {
                return Ok(()); // all bytes are consumed
            }
            if let (Some(rows), Some(TOKEN_TABLE)) = (&self.held_rows, path)
                && !(self.row_format.as_ref()).is_some_and(|format| format.are_finite(rows))
            {
                return Err(WeightsError::NotFinite(tensor.name.clone()));
            }
            let mut targets = std::mem::take(&mut tensor.targets);
            self.tensors.pop();
            let Some((parameter, part)) = targets.pop() else {
                continue;
            };
            let none = || Values::F32(Vec::new());
            let values = self.values.take().unwrap_or_else(none);
            for (parameter, part) in targets {
                self.parameters[parameter].parts[part] = Some(values.clone());
                self.send(parameter, model, device);
            }
            self.parameters[parameter].parts[part] = Some(values);
            self.send(parameter, model, device);
        }
    }

    /// Uploads a parameter once all of its parts are there.
    fn send(&mut self, parameter: usize, model: &mut Clip, device: &Device) {
        let parameter = &mut self.parameters[parameter];
        if parameter.parts.iter().any(Option::is_none) {
            return;
        }
        let mut parts: Vec<Values> = (std::mem::take(&mut parameter.parts).into_iter())
            .flatten()
            .collect();
        if parameter.transform == Transform::WithoutKeyBias {
            parts.insert(1, Values::F32(vec![0.0; parameter.rows / 2]));
        }
        if let Some(table) = self
            .row_format
            .as_ref()
            .filter(|_| parameter.path == TOKEN_TABLE)
        {
            parts = vec![Values::F32(vec![0.0; table.width])];
        }
        let folded = (parameter.folding.as_ref()).map(|folding| folding.values(&parts));
        let joined = || parts.into_iter().reduce(Values::join);
        let Some(mut values) = folded.or_else(joined) else {
            return;
        };
        let transposed = matches!(
            parameter.transform,
            Transform::Transpose | Transform::FlattenTranspose
        );
        let path = parameter.path.strip_suffix(".weight");
        let layer = (self.precision.zip(path))
            .and_then(|(precision, path)| Some((precision, path, model.linear(path)?)));
        // On the CPU a layer is packed from a view of its transpose, without a copy.
        let view = transposed && layer.is_some() && ops::is_cpu(device);
        if transposed && !view {
            values = values.transpose(parameter.rows, parameter.columns);
        }
        let tensor = values.tensor(device);
        if let Some((precision, path, layer)) = layer {
            let weight = match view {
                true => (tensor.reshape([parameter.rows, parameter.columns])).transpose(),
                false => tensor.reshape(layer.weight.lazy_shape()),
            };
            layer.weight = Param::initialized(layer.weight.id, weight);
            layer.pack(precision);
            self.packed.insert(path.into());
            return;
        }
        self.loaded.insert(parameter.path.clone(), tensor);
    }
}

/// Appends values of a tensor; an incomplete one waits in `partial`.
fn append(
    tensor: &FileTensor,
    bytes: &[u8],
    partial: &mut Vec<u8>,
    values: &mut Values,
) -> Result<(), WeightsError> {
    in_units(bytes, tensor.unit, partial, |units| {
        match values.append(tensor.dtype, tensor.unit, units) {
            true => Ok(()),
            false => Err(WeightsError::NotFinite(tensor.name.clone())),
        }
    })
}

/// Bytes that are read together, of a tensor that [`LoadPlanner`] accepts: a value, or a row of int8.
fn unit_bytes(info: &TensorInfo) -> usize {
    match info.dtype {
        Dtype::I8 => int8_rows::stored_shape(&info.shape).map_or(1, |[_, bytes]| bytes),
        Dtype::F32 => 4,
        _ => 2,
    }
}

/// Whether a tensor is a constant or a counter that files carry, and no model needs.
fn is_useless(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name);
    matches!(
        name,
        "position_ids"
            | "attn_mask"
            | "input_resolution"
            | "context_length"
            | "vocab_size"
            | "num_batches_tracked"
    )
}

/// Whether a parameter may stay f16: matrices, which the forward pass reads in either
/// precision, and on the CPU convolutions, too.
fn may_be_f16(path: &str, shape: &[usize], cpu: bool) -> bool {
    let matrix = path.ends_with(".weight") && shape.len() == 2 && shape[1].is_multiple_of(4);
    matrix || (cpu && path.ends_with(".conv.weight"))
}

/// Maps tensors of a header to parameters.
struct LoadPlanner<'a> {
    header: &'a Header,
    f16: bool,
    cpu: bool,
    max_tensor_bytes: Option<u64>,
    parameters: Vec<Parameter>,
    /// By tensor name.
    targets: HashMap<String, Vec<Target>>,
    /// Of a token embedding that stays out of the model.
    row_format: Option<RowFormat>,
    /// Whether it does so for its size.
    held: bool,
    error: Option<WeightsError>,
}

/// Path of the token embedding.
const TOKEN_TABLE: &str = "text.token_embedding.weight";

impl LoadPlanner<'_> {
    fn add(&mut self, path: String, expected: &[usize]) -> Result<(), WeightsError> {
        let Some(source) = self.header.source(&path) else {
            return Err(WeightsError::Unknown(path));
        };
        let Source {
            names,
            transform,
            fold,
        } = source;
        let mut shape: Vec<usize> = Vec::new();
        for (part, name) in names.iter().enumerate() {
            let info =
                (self.header.info(name)).ok_or_else(|| WeightsError::Missing(name.clone()))?;
            let floats = matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
            if !floats && !self.header.is_int8(name) {
                return Err(WeightsError::Dtype {
                    name: name.clone(),
                    found: format!("{:?}", info.dtype),
                });
            }
            if part == 0 {
                shape = info.shape.clone();
            } else if fold.is_some() {
                // All shapes are compared below.
            } else if info.shape.get(1..) == shape.get(1..) && !shape.is_empty() {
                shape[0] += info.shape[0];
            } else {
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    found: info.shape.clone(),
                    expected: shape,
                });
            }
            let targets = self.targets.entry(name.clone()).or_default();
            targets.push((self.parameters.len(), part));
        }
        let shape_of = |name: &str| self.header.shape(name).unwrap_or_default().to_vec();
        let folding = match fold {
            None => None,
            Some(fold) => {
                let unfit = |name: String| WeightsError::Shape {
                    found: shape_of(&name),
                    name,
                    expected: expected.to_vec(),
                };
                shape = fold.shape(shape_of).map_err(unfit)?;
                Some(Folding {
                    parts: (names.iter())
                        .map(|name| (name.clone(), shape_of(name)))
                        .collect(),
                    shape: shape.clone(),
                    fold,
                })
            }
        };
        let first = names.first().and_then(|name| self.header.info(name));
        let dtype = first.map_or(Dtype::F32, |info| info.dtype);
        let stored_as_less = dtype != Dtype::F32;
        let f16 = self.f16
            && stored_as_less
            && folding.is_none()
            && may_be_f16(&path, expected, self.cpu);
        let size_of_value = if f16 {
            size_of::<half::f16>()
        } else {
            size_of::<f32>()
        };
        let bytes = expected.iter().product::<usize>() as u64 * size_of_value as u64;
        let too_large = self.max_tensor_bytes.filter(|limit| bytes > *limit);
        // Only an engine, which packs its model, knows of rows out of it.
        let may_be_held = self.f16 && path == TOKEN_TABLE;
        if let (Some(limit), false) = (too_large, may_be_held) {
            return Err(WeightsError::TooLarge { bytes, limit });
        }
        if let (TOKEN_TABLE, &[vocab_size, width], [name]) = (path.as_str(), expected, &names[..])
            && (shape == [0, width] || too_large.is_some() && shape == expected)
            && let Some(info) = first
        {
            if !self.f16 {
                return Err(WeightsError::OmittedTable);
            }
            self.held = shape == expected;
            self.row_format = Some(RowFormat {
                name: name.clone(),
                vocab_size,
                width,
                dtype,
                row_bytes: match dtype {
                    Dtype::I8 => unit_bytes(info),
                    _ => width * unit_bytes(info),
                },
                f16,
            });
            shape = expected.to_vec();
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns: usize = shape.iter().skip(1).product();
        let (loaded_shape, rank_fits) = match transform {
            Transform::Identity => (shape.clone(), true),
            Transform::Flatten => (vec![rows * columns], true),
            Transform::Squeeze => {
                let (ones, rest) = shape.split_at(shape.len().saturating_sub(expected.len()));
                let fits = shape.len() == 3 && ones.iter().all(|axis| *axis == 1);
                (rest.to_vec(), fits)
            }
            Transform::Transpose => (vec![columns, rows], shape.len() == 2),
            Transform::FlattenTranspose => (vec![columns, rows], shape.len() == 4),
            Transform::WithoutKeyBias => {
                let query = names.first().and_then(|name| self.header.shape(name));
                (vec![rows / 2 * 3], query == Some(&[rows / 2]))
            }
        };
        if loaded_shape != expected || !rank_fits {
            return Err(WeightsError::Shape {
                name: names.join(" + "),
                found: shape,
                expected: expected.to_vec(),
            });
        }
        self.parameters.push(Parameter {
            f16,
            path,
            transform,
            rows,
            columns,
            parts: names.iter().map(|_| None).collect(),
            folding,
        });
        Ok(())
    }
}

impl ParamVisitor for LoadPlanner<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        if self.error.is_none() {
            let shape = param.lazy_shape();
            self.error = self.add(path.into(), shape.as_slice()).err();
        }
    }
}

/// Sets the loaded values in the model.
struct ParamFiller {
    loaded: HashMap<String, Tensor<1>>,
    packed: HashSet<String>,
    /// Whether the token embedding is one row that stands in for all.
    placeholder: bool,
    missing: Option<String>,
}

impl ParamFiller {
    /// Whether a path is inside a packed layer.
    fn is_packed(&self, path: &str) -> bool {
        path.match_indices('.')
            .any(|(end, _)| self.packed.contains(&path[..end]))
    }
}

impl ParamMapper for ParamFiller {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.loaded.remove(path) else {
            if !self.is_packed(path) {
                self.missing.get_or_insert_with(|| path.into());
            }
            return param;
        };
        let mut shape = param.lazy_shape();
        if self.placeholder && path == TOKEN_TABLE {
            shape[0] = 1;
        }
        Param::initialized(param.id, values.reshape(shape))
    }
}
