//! `clip embed --data`: features of many images in clip-retrieval's layout, a shard per machine.
//!
//! `img_emb/img_emb_0.npy` is `[images, embed_dim]` in f16, and `metadata/metadata_0.parquet` has a row for
//! each, with its `image_path`, `width`, `height` and `sha256`. FAISS, Qdrant, LanceDB and others read both.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clip::engine::Engine;
use half::f16;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use crate::Failure;
use crate::encode::{Encoded, Unusable, encode_files};
use crate::index::image_paths;
use crate::output::write_file;
use crate::session::json_path;

/// Part of a data set: `1/4` is the first of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    number: usize,
    count: usize,
}

impl Shard {
    pub const WHOLE: Self = Self {
        number: 0,
        count: 1,
    };

    /// Its part of a sorted list.
    fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let end = |number: usize| number * all.len() / self.count;
        &all[end(self.number)..end(self.number + 1)]
    }

    /// Number in file names: with zeros, so that names sort as numbers do.
    fn suffix(&self) -> String {
        let digits = (self.count - 1).to_string().len();
        format!("{:0digits$}", self.number)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a shard: write I/N, from 1/N to N/N");
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let number: usize = number.parse().map_err(|_| wrong())?;
        let count: usize = count.parse().map_err(|_| wrong())?;
        match (1..=count).contains(&number) {
            true => Ok(Self {
                number: number - 1,
                count,
            }),
            false => Err(wrong()),
        }
    }
}

/// Encodes a shard of the images of `data`, a folder or a text file with a path per line.
pub fn run(engine: &Engine, data: &Path, out: &Path, shard: Shard) -> Result<(), Failure> {
    let (root, paths) = images(data)?;
    let part: Vec<&str> = shard.of(&paths).iter().map(String::as_str).collect();
    if paths.is_empty() {
        return Err(format!("{}: there are no images", data.display()).into());
    }
    let mut found: Vec<Option<Encoded>> = part.iter().map(|_| None).collect();
    let mut skipped = Vec::new();
    encode_files(engine, &root, &part, |number, result| {
        match result {
            Ok(encoded) => found[number] = Some(encoded),
            Err(Unusable::NoImage(reason)) => skipped.push((part[number], reason.to_string())),
            Err(Unusable::Unread(error)) => skipped.push((part[number], error.to_string())),
        }
        Ok(())
    })?;
    let images: Vec<(&str, Encoded)> = (part.iter().zip(found))
        .filter_map(|(path, encoded)| Some((*path, encoded?)))
        .collect();
    let suffix = shard.suffix();
    let write = |folder: &str, name: String, bytes: &[u8]| -> Result<PathBuf, Failure> {
        let file = out.join(folder).join(name);
        write_file(&file, bytes)?;
        Ok(file)
    };
    // The features come last: where they are, the shard is complete.
    write(
        "metadata",
        format!("metadata_{suffix}.parquet"),
        &metadata(&images)?,
    )?;
    let features = npy(engine.config().embed_dim, &images);
    let file = write("img_emb", format!("img_emb_{suffix}.npy"), &features)?;
    for (path, reason) in skipped.iter().take(10) {
        tell!("skipped: {path}: {reason}");
    }
    say!(
        "{}",
        json!({
            "model": engine.model_info().name,
            "features": json_path(&file),
            "shard": format!("{}/{}", shard.number + 1, shard.count),
            "images": images.len(),
            "skipped": skipped.len(),
        })
    )
}

/// Folder that paths are relative to, and the paths in order.
fn images(data: &Path) -> Result<(PathBuf, Vec<String>), Failure> {
    if data.is_dir() {
        return Ok((data.into(), image_paths(data)?));
    }
    let list = fs::read_to_string(data).map_err(|error| {
        format!(
            "{}: {error}; --data takes a folder, or a text file with the path of an image per line",
            data.display()
        )
    })?;
    let folder = data.parent().unwrap_or(Path::new("")).to_path_buf();
    let paths = (list.lines().map(str::trim))
        .filter(|line| !line.is_empty())
        .map(String::from);
    Ok((folder, paths.collect()))
}

/// NumPy's format, version 1.0.
fn npy(embed_dim: usize, images: &[(&str, Encoded)]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let mut header = format!(
        "{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, {embed_dim}), }}",
        images.len()
    );
    // Magic, length and header together are a multiple of 64 bytes; a line break ends it.
    let length = (MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 2;
    header = format!("{header:<width$}\n", width = length - 1);
    let mut bytes = MAGIC.to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.bytes());
    for (_, image) in images {
        bytes.extend((image.features.iter()).flat_map(|v| f16::from_f32(*v).to_le_bytes()));
    }
    bytes
}

fn metadata(images: &[(&str, Encoded)]) -> Result<Vec<u8>, Failure> {
    let schema = parse_message_type(
        "message images {
            REQUIRED BYTE_ARRAY image_path (UTF8);
            REQUIRED INT32 width;
            REQUIRED INT32 height;
            REQUIRED BYTE_ARRAY sha256 (UTF8);
        }",
    )?;
    let properties = Arc::new(WriterProperties::new());
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties)?;
    let mut rows = writer.next_row_group()?;
    let text = |text: &str| ByteArray::from(text);
    let texts = [
        images
            .iter()
            .map(|(path, _)| text(path))
            .collect::<Vec<_>>(),
        images
            .iter()
            .map(|(_, image)| text(&image.image.sha256))
            .collect(),
    ];
    let numbers = [
        images
            .iter()
            .map(|(_, image)| image.image.width as i32)
            .collect::<Vec<_>>(),
        images
            .iter()
            .map(|(_, image)| image.image.height as i32)
            .collect(),
    ];
    let (mut texts, mut numbers) = (texts.into_iter(), numbers.into_iter());
    while let Some(mut column) = rows.next_column()? {
        match column.untyped() {
            parquet::column::writer::ColumnWriter::ByteArrayColumnWriter(_) => {
                let values = texts.next().unwrap_or_default();
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&values, None, None)?;
            }
            _ => {
                let values = numbers.next().unwrap_or_default();
                column
                    .typed::<Int32Type>()
                    .write_batch(&values, None, None)?;
            }
        }
        column.close()?;
    }
    rows.close()?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_written_as_people_count() {
        assert_eq!("1/1".parse(), Ok(Shard::WHOLE));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_make_up_the_whole_in_order() {
        let all: Vec<usize> = (0..103).collect();
        let parts = (1..=12).flat_map(|i| {
            let shard: Shard = format!("{i}/12").parse().unwrap();
            shard.of(&all).to_vec()
        });
        assert_eq!(parts.collect::<Vec<_>>(), all);
        let third: Shard = "3/12".parse().unwrap();
        assert_eq!(third.suffix(), "02");
        assert_eq!(Shard::WHOLE.suffix(), "0");
    }
}
