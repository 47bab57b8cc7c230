//! Headers of safetensors files. The crate's own reader and writer count bits in a `usize`: in a browser,
//! where that has 32 bits, they refuse tensors of 512 MiB or more, such as SigLIP 2's token embedding in f32.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value, json};

use super::WeightsError;

/// Size of the length field.
pub const LENGTH_BYTES: usize = 8;

/// Names, shapes, dtypes and offsets of a file's tensors, validated: contiguous without gap or overlap,
/// and as long as their shapes say.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Text entries of the file.
    remarks: HashMap<String, String>,
    /// In file order.
    tensors: Vec<(String, TensorInfo)>,
    /// Places in `tensors`.
    index: HashMap<String, usize>,
}

#[derive(serde::Deserialize)]
struct Json {
    #[serde(rename = "__metadata__", default)]
    remarks: Option<HashMap<String, String>>,
    #[serde(flatten)]
    tensors: HashMap<String, JsonTensor>,
}

#[derive(serde::Deserialize)]
struct JsonTensor {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Metadata {
    /// From the JSON of a header.
    pub fn parse(json: &[u8]) -> Result<Self, WeightsError> {
        Self::within(json, usize::MAX as u64)
    }

    /// From the JSON of a header, of a file with at most so many bytes of tensors.
    fn within(json: &[u8], limit: u64) -> Result<Self, WeightsError> {
        let json: Json = serde_json::from_slice(json)
            .map_err(|error| WeightsError::Header(error.to_string()))?;
        let mut tensors: Vec<_> = json.tensors.into_iter().collect();
        tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
        let mut start = 0;
        for (name, tensor) in &tensors {
            start = tensor.end(name, start)?;
        }
        if start > limit {
            return Err(WeightsError::FileTooLarge(start));
        }
        let tensors = (tensors.into_iter())
            .map(|(name, tensor)| Ok((name, tensor.info()?)))
            .collect::<Result<Vec<_>, WeightsError>>()?;
        let places = tensors.iter().enumerate();
        Ok(Self {
            remarks: json.remarks.unwrap_or_default(),
            index: places
                .map(|(place, (name, _))| (name.clone(), place))
                .collect(),
            tensors,
        })
    }

    /// Text entries of the file.
    pub fn remarks(&self) -> &HashMap<String, String> {
        &self.remarks
    }

    /// Tensors in file order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        (self.tensors.iter()).map(|(name, info)| (name.as_str(), info))
    }

    /// The tensor of that name.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        let place = *self.index.get(name)?;
        self.tensors.get(place).map(|(_, info)| info)
    }

    /// Length of all tensors, bytes.
    pub fn data_len(&self) -> usize {
        (self.tensors.last()).map_or(0, |(_, info)| info.data_offsets.1)
    }
}

impl JsonTensor {
    /// Where it ends, if it begins at `start`.
    fn end(&self, name: &str, start: u64) -> Result<u64, WeightsError> {
        let damaged = |what: &str| WeightsError::Header(format!("`{name}` {what}"));
        let (from, to) = self.data_offsets;
        if from != start || to < from {
            return Err(damaged("does not begin where the tensor before it ends"));
        }
        let bits = (self.shape.iter()).try_fold(self.dtype.bitsize() as u64, |bits, length| {
            bits.checked_mul(*length)
        });
        match bits {
            Some(bits) if bits % 8 == 0 && bits / 8 == to - from => Ok(to),
            _ => Err(damaged("has another length than its shape says")),
        }
    }

    fn info(self) -> Result<TensorInfo, WeightsError> {
        let length = |length: u64| {
            usize::try_from(length).map_err(|error| WeightsError::Header(error.to_string()))
        };
        Ok(TensorInfo {
            dtype: self.dtype,
            shape: (self.shape.into_iter())
                .map(length)
                .collect::<Result<_, _>>()?,
            data_offsets: (length(self.data_offsets.0)?, length(self.data_offsets.1)?),
        })
    }
}

/// Start of a file: its header, with room for the values of `tensors` (name, dtype of whole bytes, shape),
/// which follow in that order. `remarks`: text entries, an object. An error if there is no memory.
pub fn begin_file<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>,
    remarks: Value,
) -> Result<Vec<u8>, WeightsError> {
    let mut entries = Map::from_iter([("__metadata__".to_owned(), remarks)]);
    let mut end = 0;
    for (name, dtype, shape) in tensors {
        let values: u64 = shape.iter().map(|length| *length as u64).product();
        let start = end;
        end += values * dtype.bitsize() as u64 / 8;
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        entries.insert(name.into(), entry);
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    // Values begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    let bytes = (LENGTH_BYTES + header.len()) as u64 + end;
    let mut file = Vec::new();
    let room = usize::try_from(bytes).unwrap_or(usize::MAX);
    file.try_reserve_exact(room)
        .map_err(|_| WeightsError::NoMemory(bytes))?;
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_counted_is_refused() {
        let tensor = r#""dtype":"F32","shape":[901629,512],"data_offsets":[0,1846536192]"#;
        let json = format!(r#"{{"a":{{{tensor}}}}}"#);
        let metadata = Metadata::within(json.as_bytes(), u64::from(u32::MAX)).unwrap();
        assert_eq!(metadata.info("a").unwrap().shape, [901_629, 512]);
        assert!(matches!(
            Metadata::within(json.as_bytes(), 1_846_536_191),
            Err(WeightsError::FileTooLarge(1_846_536_192))
        ));
    }

    #[test]
    fn a_file_that_is_begun_has_its_header() {
        let tensors = [("b", Dtype::F16, &[3, 1][..]), ("a", Dtype::F32, &[])];
        let mut file = begin_file(tensors.into_iter(), json!({ "format": "pt" })).unwrap();
        assert_eq!(file.len() % LENGTH_BYTES, 0);
        file.extend([1; 10]);
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.tensor("b").unwrap().shape(), [3, 1]);
        assert_eq!(file.tensor("a").unwrap().data(), [1; 4]);

        let tensors = [("a", Dtype::F32, &[usize::MAX >> 4][..])];
        let refused = begin_file(tensors.into_iter(), json!({}));
        assert!(matches!(refused, Err(WeightsError::NoMemory(_))));
    }

    #[test]
    fn tensors_are_in_file_order() {
        let json = r#"{"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]},
            "none":{"dtype":"F16","shape":[0,3],"data_offsets":[1,1]},
            "a":{"dtype":"F16","shape":[3],"data_offsets":[1,7]},
            "__metadata__":{"format":"pt"}}"#;
        let metadata = Metadata::parse(json.as_bytes()).unwrap();
        let names: Vec<&str> = metadata.tensors().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "none", "a"]);
        assert_eq!(metadata.data_len(), 7);
        assert_eq!(metadata.remarks()["format"], "pt");
    }
}
