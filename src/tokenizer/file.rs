//! `tokenizer.json`, read part by part. The crate's reader of the whole file panics on a broken
//! decoder, on a broken table of a normaliser and on merges that do not fit their vocabulary,
//! and in a browser a panic ends the program. Decoders are left out: ids are never turned back
//! into text here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::normalizers::Precompiled;
use tokenizers::{
    AddedToken, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

use super::TokenizerError;

/// The parts that matter for ids.
#[derive(serde::Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    padding: Option<Padding>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Option<Value>,
    #[serde(default)]
    pre_tokenizer: Option<PreTokenizerWrapper>,
    #[serde(default)]
    post_processor: Option<Value>,
    model: ModelWrapper,
}

#[derive(serde::Deserialize)]
struct Padding {
    pad_id: u32,
}

/// Tokenizer of a file without its truncation and padding, and the id that it pads with.
pub(super) fn read(bytes: &[u8]) -> Result<(tokenizers::Tokenizer, Option<u32>), TokenizerError> {
    let lengths: Lengths = serde_json::from_slice(bytes).map_err(json)?;
    lengths.model.check()?;
    let file: TokenizerFile = serde_json::from_slice(bytes).map_err(json)?;
    if let Some(version) = file.version.filter(|version| version != "1.0") {
        return Err(broken(format!("its version is {version}")));
    }
    let mut tokenizer = tokenizers::Tokenizer::new(file.model);
    let normalizer: Option<NormalizerWrapper> = file.normalizer.map(part).transpose()?;
    let post_processor: Option<PostProcessorWrapper> = file.post_processor.map(part).transpose()?;
    (tokenizer.with_normalizer(normalizer))
        .map_err(TokenizerError::from_crate)?
        .with_pre_tokenizer(file.pre_tokenizer)
        .with_post_processor(post_processor)
        .add_tokens(file.added_tokens)
        .map_err(TokenizerError::from_crate)?;
    Ok((tokenizer, file.padding.map(|padding| padding.pad_id)))
}

/// A part of the file, after a look at what its reader would panic on.
fn part<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, TokenizerError> {
    check(&value)?;
    serde_json::from_value(value).map_err(json)
}

/// Refuses broken tables of characters and templates with tokens that are not listed, however
/// deep in a sequence of parts.
fn check(value: &Value) -> Result<(), TokenizerError> {
    match value {
        Value::Object(fields) => {
            match fields.get("type").and_then(Value::as_str) {
                Some("Precompiled") => {
                    let table = serde_json::from_value::<Precompiled>(value.clone());
                    table.map_err(|_| broken("its table of characters is broken".into()))?;
                }
                Some("TemplateProcessing") => check_template(value)?,
                _ => {}
            }
            fields.values().try_for_each(check)
        }
        Value::Array(parts) => parts.iter().try_for_each(check),
        _ => Ok(()),
    }
}

fn check_template(template: &Value) -> Result<(), TokenizerError> {
    let pieces = |key: &str| template.get(key).and_then(Value::as_array);
    let pieces = ["single", "pair"].into_iter().filter_map(pieces).flatten();
    for id in pieces.filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str()) {
        let listed = template.get("special_tokens").and_then(|all| all.get(id));
        if listed.is_none() {
            return Err(broken(format!(
                "its template has {id}, which is not listed"
            )));
        }
    }
    Ok(())
}

/// Lengths of a byte-pair encoding's entries, bytes.
#[derive(serde::Deserialize)]
struct Lengths {
    model: ModelLengths,
}

#[derive(serde::Deserialize)]
struct ModelLengths {
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    vocab: LongestKey,
    #[serde(default)]
    merges: Vec<MergeLengths>,
}

impl ModelLengths {
    /// Refuses merges that give a longer entry than there is, or one without its prefix: the
    /// crate reads beyond its buffer.
    fn check(&self) -> Result<(), TokenizerError> {
        let prefix = (self.continuing_subword_prefix.as_ref()).map_or(0, String::len);
        let fits = |merge: &MergeLengths| {
            merge.second >= prefix && merge.first + merge.second - prefix <= self.vocab.0
        };
        match self.merges.iter().position(|merge| !fits(merge)) {
            None => Ok(()),
            Some(number) => Err(broken(format!(
                "merge {} gives no entry of its vocabulary",
                number + 1
            ))),
        }
    }
}

/// Length of a vocabulary's longest key; 0 of a list.
#[derive(Default)]
struct LongestKey(usize);

impl<'de> Deserialize<'de> for LongestKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = LongestKey;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LongestKey, A::Error> {
                let mut longest = 0;
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    longest = longest.max(key.len());
                }
                Ok(LongestKey(longest))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LongestKey, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LongestKey(0))
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// Lengths of the two parts of a merge: `"a b"`, or `["a", "b"]`.
struct MergeLengths {
    first: usize,
    second: usize,
}

impl<'de> Deserialize<'de> for MergeLengths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Line(String),
            Pair(String, String),
        }
        Ok(match Merge::deserialize(deserializer)? {
            Merge::Line(line) => {
                let (first, second) = line.split_once(' ').unwrap_or((&line, ""));
                Self {
                    first: first.len(),
                    second: second.len(),
                }
            }
            Merge::Pair(first, second) => Self {
                first: first.len(),
                second: second.len(),
            },
        })
    }
}

fn json(error: serde_json::Error) -> TokenizerError {
    broken(error.to_string())
}

fn broken(why: String) -> TokenizerError {
    TokenizerError::Json(why)
}
