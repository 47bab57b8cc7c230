//! Weights in several files (`model.safetensors.index.json`), read as if they were one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Deserialize;

use super::{Chunk, ChunkSink, HubError, LoadProgress, ModelFiles};
use crate::weights::ShardHeader;

/// More files than any model has.
const MOST_SHARDS: usize = 1000;

#[derive(Deserialize)]
struct Index {
    /// File by tensor name.
    weight_map: BTreeMap<String, String>,
}

/// File name of the index of weights of that name.
pub(super) fn index_of(weights: &str) -> String {
    format!("{weights}.index.json")
}

/// Streams the files that an index names to `sink`, as one file with a joined header;
/// `false` if there is no index.
pub(super) async fn stream(
    files: &impl ModelFiles,
    weights: &str,
    sink: &mut ChunkSink<'_>,
) -> Result<bool, HubError> {
    let index = index_of(weights);
    let Some(json) = files.read(&index).await? else {
        return Ok(false);
    };
    let wrong = |why: String| HubError::Index {
        index: index.clone(),
        why,
    };
    let names = names(&json).map_err(&wrong)?;
    let mut headers = Vec::new();
    let mut progress = LoadProgress::default();
    for name in &names {
        let header = header(files, name).await?;
        let (header, bytes) =
            header.ok_or_else(|| wrong(format!("it names {name}, which is not there")))?;
        headers.push(header);
        progress.total_bytes += bytes;
    }
    let joined = ShardHeader::join(&headers)?;
    let data: u64 = headers.iter().map(ShardHeader::data_bytes).sum();
    let total = joined.len() as u64 + data;
    let mut position = joined.len() as u64;
    let head = Chunk {
        offset: 0,
        bytes: &joined,
        total,
        progress,
    };
    if sink(head)?.is_break() {
        return Ok(true);
    }
    for (name, header) in names.iter().zip(&headers) {
        let mut begun = false;
        let mut stopped = false;
        let start = header.data_start();
        let before = progress.bytes;
        let mut part = |chunk: Chunk| {
            // What came before cannot be taken back.
            if std::mem::replace(&mut begun, true) && chunk.offset == 0 {
                return Err(HubError::Read {
                    file: name.clone(),
                    why: "it changed while it was read; try again".into(),
                });
            }
            progress.bytes = before + chunk.progress.bytes;
            let skip = start
                .saturating_sub(chunk.offset)
                .min(chunk.bytes.len() as u64);
            let bytes = &chunk.bytes[skip as usize..];
            if bytes.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let offset = position;
            position += bytes.len() as u64;
            let flow = sink(Chunk {
                offset,
                bytes,
                total,
                progress,
            })?;
            stopped = flow.is_break();
            Ok(flow)
        };
        if !files.stream(name, &mut part).await? {
            return Err(wrong(format!("it names {name}, which is not there")));
        }
        if stopped {
            break;
        }
    }
    Ok(true)
}

/// Files of an index, each once.
fn names(json: &[u8]) -> Result<Vec<String>, String> {
    let index: Index = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    let plain = |name: &String| {
        name.ends_with(".safetensors")
            && !name.starts_with('.')
            && (name.chars()).all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match names.iter().find(|name| !plain(name)) {
        _ if names.is_empty() => Err("it names no files".into()),
        _ if names.len() > MOST_SHARDS => Err(format!("it names {} files", names.len())),
        Some(name) => Err(format!(
            "\"{name}\" is not the name of a safetensors file beside it"
        )),
        None => Ok(names),
    }
}

/// Header of a file, and how much is to be read of it.
async fn header(
    files: &impl ModelFiles,
    name: &str,
) -> Result<Option<(ShardHeader, u64)>, HubError> {
    let mut start = Vec::new();
    let mut header = None;
    let mut total = 0;
    let mut sink = |chunk: Chunk| {
        if chunk.offset == 0 {
            start.clear();
        }
        start.extend_from_slice(chunk.bytes);
        total = chunk.progress.total_bytes;
        header = ShardHeader::parse(&start)?;
        Ok(match header {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    };
    match files.stream(name, &mut sink).await? {
        true => match header {
            Some(header) => Ok(Some((header, total))),
            None => Err(HubError::Read {
                file: name.into(),
                why: "it ends before its header does".into(),
            }),
        },
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_beside_it() {
        let of = |files: &[&str]| {
            let map: BTreeMap<String, &str> = (files.iter().enumerate())
                .map(|(i, file)| (i.to_string(), *file))
                .collect();
            names(
                serde_json::json!({ "metadata": {}, "weight_map": map })
                    .to_string()
                    .as_bytes(),
            )
        };
        assert_eq!(
            of(&["b.safetensors", "a.safetensors", "b.safetensors"]).unwrap(),
            ["a.safetensors", "b.safetensors"]
        );
        assert!(of(&[]).is_err());
        for wrong in [
            "../a.safetensors",
            "a/b.safetensors",
            "a.bin",
            ".safetensors",
            "",
        ] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        assert!(names(b"{}").is_err());
    }
}
