//! Header of a safetensors file, parsed before any tensor data arrive.

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value, json};

use super::int8_rows::{self, int8_tensors};
use super::key_map::Source;
use super::metadata::{LENGTH_BYTES, Metadata};
use super::{KeyMap, WeightsError};

/// A CLIP's header has some 100 kB; the format allows 100 MB.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// Prefixes of all names in a file, which wrappers of a model leave behind.
const PREFIXES: &[&str] = &["module.", "_orig_mod.", "model.", "clip.", "clip_model."];

/// Header of a file with a model's weights.
#[derive(Clone, Debug)]
pub struct Header {
    metadata: Metadata,
    /// Those that are stored as int8, with their own shapes.
    int8: BTreeMap<String, TensorInfo>,
    key_map: KeyMap,
    /// Prefix of all names, which is not part of them here.
    prefix: String,
    /// Offset of the first tensor.
    pub(super) data_start: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, WeightsError> {
        let metadata = parse_metadata(bytes)?;
        let names: Vec<&str> = metadata.tensors().map(|(name, _)| name).collect();
        let prefix = common_prefix(&names);
        let key_map = KeyMap::detect(names.iter().map(|name| &name[prefix.len()..]));
        let key_map = key_map.ok_or_else(|| {
            if metadata.remarks().contains_key("clip_head") {
                WeightsError::Head
            } else if names.iter().any(|name| name.contains(".lora_A.")) {
                WeightsError::Adapter
            } else {
                WeightsError::NotClip
            }
        })?;
        Ok(Self {
            int8: int8_tensors(&metadata)?,
            metadata,
            key_map,
            prefix,
            data_start: bytes.len() as u64,
        })
    }

    /// Naming of the tensors.
    pub fn key_map(&self) -> KeyMap {
        self.key_map
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.data_start + self.metadata.data_len() as u64
    }

    /// Shape of the tensor of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.info(name).map(|info| info.shape.as_slice())
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        let name = self.name_in_file(name);
        let int8 = self.int8.get(&*name);
        int8.or_else(|| self.metadata.info(&name))
    }

    /// Whether the tensor of that name is a matrix of floats that is stored as int8.
    pub(super) fn is_int8(&self, name: &str) -> bool {
        self.int8.contains_key(&*self.name_in_file(name))
    }

    /// Name of a tensor with the prefix that all have.
    fn name_in_file<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.prefix.is_empty() {
            true => Cow::Borrowed(name),
            false => Cow::Owned(format!("{}{name}", self.prefix)),
        }
    }

    /// In file order.
    pub fn names(&self) -> Vec<String> {
        let without_prefix = |(name, _): (&str, _)| name[self.prefix.len()..].to_owned();
        self.metadata.tensors().map(without_prefix).collect()
    }

    /// Source of the parameter at `path`: of those that the key map has, the one that is in
    /// the file, or else the first.
    pub(super) fn source(&self, path: &str) -> Option<Source> {
        let mut sources = self.key_map.sources(path);
        let here = |source: &Source| source.names.iter().all(|name| self.info(name).is_some());
        let found = sources.iter().position(here).unwrap_or(0);
        (found < sources.len()).then(|| sources.swap_remove(found))
    }
}

/// Prefix of all names that is none of theirs.
fn common_prefix(names: &[&str]) -> String {
    let mut prefix = String::new();
    while let Some(next) = PREFIXES.iter().find(|next| {
        (!names.is_empty()) && (names.iter()).all(|name| name[prefix.len()..].starts_with(**next))
    }) {
        prefix.push_str(next);
    }
    prefix
}

/// Header of one of several files that a model's weights are in. It is not known of which
/// kind the model is.
pub struct ShardHeader {
    metadata: Metadata,
    data_start: u64,
}

impl ShardHeader {
    /// From the start of a file; `None` until the header is complete.
    pub fn parse(start: &[u8]) -> Result<Option<Self>, WeightsError> {
        let mut reader = HeaderReader::default();
        let Some(rest) = reader.take(start)? else {
            return Ok(None);
        };
        let metadata = parse_metadata(&reader.bytes)?;
        Ok(Some(Self {
            metadata,
            data_start: (start.len() - rest.len()) as u64,
        }))
    }

    /// Offset of the first tensor.
    pub fn data_start(&self) -> u64 {
        self.data_start
    }

    /// Length of all tensors.
    pub fn data_bytes(&self) -> u64 {
        self.metadata.data_len() as u64
    }

    /// Header of a file that has the tensors of all, one after the other.
    pub fn join(headers: &[Self]) -> Result<Vec<u8>, WeightsError> {
        let wrong = |error: serde_json::Error| WeightsError::Header(error.to_string());
        let mut tensors = Map::new();
        let mut int8_shapes = BTreeMap::new();
        let mut base = 0_usize;
        for header in headers {
            let int8 = int8_tensors(&header.metadata)?.into_iter();
            int8_shapes.extend(int8.map(|(name, info)| (name, info.shape)));
            let Some(end) = base.checked_add(header.metadata.data_len()) else {
                let bytes = headers.iter().map(Self::data_bytes).sum();
                return Err(WeightsError::FileTooLarge(bytes));
            };
            for (name, info) in header.metadata.tensors() {
                let (start, end) = info.data_offsets;
                let joined = TensorInfo {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    data_offsets: (base + start, base + end),
                };
                let joined = serde_json::to_value(joined).map_err(wrong)?;
                if tensors.insert(name.into(), joined).is_some() {
                    return Err(WeightsError::Header(format!("`{name}` is in two files")));
                }
            }
            base = end;
        }
        if !int8_shapes.is_empty() {
            let shapes = serde_json::to_string(&int8_shapes).map_err(wrong)?;
            tensors.insert("__metadata__".into(), json!({ int8_rows::SHAPES: shapes }));
        }
        let json = Value::Object(tensors).to_string();
        Ok([&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat())
    }
}

/// From the bytes of a whole header.
pub(super) fn parse_metadata(bytes: &[u8]) -> Result<Metadata, WeightsError> {
    Metadata::parse(&bytes[LENGTH_BYTES..])
}

/// Incremental header parser.
#[derive(Default)]
pub struct HeaderReader {
    bytes: Vec<u8>,
}

impl HeaderReader {
    /// Takes the next bytes. Returns the header once complete, with the bytes after it.
    pub fn push<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Header, &'a [u8])>, WeightsError> {
        match self.take(bytes)? {
            Some(rest) => Ok(Some((Header::parse(&self.bytes)?, rest))),
            None => Ok(None),
        }
    }

    /// Bytes of the header so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of the header, with its length field, once that is there.
    pub(super) fn expected_bytes(&self) -> Option<u64> {
        let length = self.bytes.first_chunk::<LENGTH_BYTES>()?;
        u64::from_le_bytes(*length).checked_add(LENGTH_BYTES as u64)
    }

    /// Takes the next bytes. Returns those after the header once that is complete.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, WeightsError> {
        let bytes = self.fill(LENGTH_BYTES, bytes);
        let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = match usize::try_from(u64::from_le_bytes(*length)) {
            Ok(length) if length <= MAX_HEADER_BYTES => length,
            _ => return Err(WeightsError::NotSafetensors(looks_like(&self.bytes))),
        };
        let bytes = self.fill(LENGTH_BYTES + length, bytes);
        Ok((self.bytes.len() == LENGTH_BYTES + length).then_some(bytes))
    }

    /// Buffers bytes up to a total of `count`; returns the rest.
    fn fill<'a>(&mut self, count: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = count.saturating_sub(self.bytes.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.bytes.extend_from_slice(taken);
        rest
    }
}

/// Description of other file formats, by their magic bytes.
fn looks_like(start: &[u8]) -> &'static str {
    match start {
        [b'<', ..] => "it is a web page: the address may need a login, or a proxy answered",
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => {
            "it is PyTorch's pickle format: look for a file that ends in .safetensors"
        }
        [b'G', b'G', b'U', b'F', ..] => "it is a GGUF file",
        b"version " => "it is a Git LFS pointer: run `git lfs pull`, or download the real file",
        [b'{', ..] => "it is a JSON file",
        _ => "its first bytes match no known format",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
    }

    #[test]
    fn a_header_in_pieces_is_the_same() {
        let mut bytes = file(
            r#"{"visual.proj":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}"#,
        );
        let head = bytes.len();
        bytes.extend([7; 8]);
        for step in [1, 3, 50, bytes.len()] {
            let mut reader = HeaderReader::default();
            let mut found = None;
            let mut behind = Vec::new();
            for piece in bytes.chunks(step) {
                match found {
                    Some(_) => behind.extend_from_slice(piece),
                    None => {
                        if let Some((header, rest)) = reader.push(piece).unwrap() {
                            behind.extend_from_slice(rest);
                            found = Some(header);
                        }
                    }
                }
            }
            let header = found.unwrap();
            assert_eq!(header.data_start as usize, head);
            assert_eq!(header.file_bytes() as usize, bytes.len());
            assert_eq!(header.shape("visual.proj"), Some(&[2, 1][..]));
            assert_eq!(behind, [7; 8]);
        }
    }

    #[test]
    fn hostile_headers_are_refused_in_words() {
        let refused = |bytes: &[u8]| match HeaderReader::default().push(bytes) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("taken"),
        };
        let tensor = |shape: &str, offsets: &str| {
            refused(&file(&format!(
                r#"{{"visual.proj":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#
            )))
        };
        assert!(refused(b"<!DOCTYPE html>").contains("web page"));
        assert!(refused(b"version https://git-lfs").contains("git lfs"));
        assert!(refused(b"PK\x03\x04\0\0\0\0\x7f").contains("PyTorch"));
        assert!(refused(&file("{")).contains("header"));
        // The length is right, the offsets are not.
        assert!(tensor("[2]", "[4,12]").contains("header"));
        assert!(tensor("[2]", "[0,4]").contains("header"));
        assert!(tensor("[2]", "[8,0]").contains("header"));
        // More values than there are bytes.
        assert!(tensor("[4294967296,4294967296,4294967296]", "[0,8]").contains("header"));
        assert!(tensor("[-1]", "[0,4]").contains("header"));
        let overlapping = r#"{"visual.proj":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(refused(&file(overlapping)).contains("header"));
        assert!(refused(&file("{}")).contains("CLIP"));
        let named = |name: &str, metadata: &str| {
            refused(&file(&format!(
                r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"__metadata__":{metadata}}}"#
            )))
        };
        let adapter =
            "base_model.model.vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight";
        assert!(named(adapter, "{}").contains("LoRA adapter"));
        assert!(named("weight", r#"{"clip_head":"1"}"#).contains("--head"));
        assert!(named("weight", "{}").contains("not a CLIP model"));
    }
}
