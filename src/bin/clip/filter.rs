//! Options that choose some of the images of an index.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clip::engine::Engine;
use clip::library::{Filter, Index, date_span, vocabulary};
use clip::zero_shot::DEFAULT_TEMPLATE;

use crate::Failure;
use crate::classify::labels;

#[derive(Args)]
pub struct FilterOptions {
    /// Only images in this folder of the indexed one, with its subfolders
    #[arg(long = "in", value_name = "FOLDER")]
    inside: Option<PathBuf>,
    /// Only images from this day, month or year on, such as 2024-06-01 or 2024: when they were taken, or else
    /// when the file was changed
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Only images up to this day, month or year, which counts
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Only images with this label as the most probable one; repeat the option to allow several
    #[arg(long = "label", value_name = "LABEL")]
    wanted: Vec<String>,
    /// Labels that --label is compared with, separated by commas; everyday words by default
    #[arg(long, requires = "wanted")]
    labels: Option<String>,
}

impl FilterOptions {
    /// Refuses options that cannot be read, before anything is done.
    pub fn filter(&self, indexed: &Path) -> Result<Filter, Failure> {
        let span = |date: &Option<String>| match date {
            None => Ok(None),
            Some(date) => date_span(date).map(Some).ok_or_else(|| {
                format!("\"{date}\" is not a date: write 2024-06-01, 2024-06 or 2024")
            }),
        };
        Ok(Filter {
            folder: self.inside.as_ref().map(|folder| inner(folder, indexed)),
            from_ms: span(&self.from)?.map(|span| span.start),
            before_ms: span(&self.to)?.map(|span| span.end),
            labels: self.wanted.clone(),
        })
    }

    /// Whether each image of the index passes.
    pub async fn passing(
        &self,
        filter: &Filter,
        index: &Index,
        engine: &mut Engine,
    ) -> Result<Vec<bool>, Failure> {
        let mut names = Vec::new();
        let mut best = Vec::new();
        if !self.wanted.is_empty() {
            names = match &self.labels {
                Some(list) => labels(list),
                None => vocabulary(&engine.model_info().name),
            };
            for label in &self.wanted {
                if !names.contains(label) {
                    names.push(label.clone());
                }
            }
            let classifier = (engine.classifier(&names, &[DEFAULT_TEMPLATE.to_owned()])).await?;
            let scoring = engine.scoring();
            best = index.best_labels(&classifier, scoring).unwrap_or_default();
        }
        Ok((index.entries().iter().enumerate())
            .map(|(place, entry)| {
                let label = best.get(place).map(|(label, _)| names[*label].as_str());
                filter.passes(&entry.file.path, entry.date_ms(), label)
            })
            .collect())
    }
}

/// A folder as paths in the index are written. It may be given as it is on disk.
fn inner(folder: &Path, indexed: &Path) -> String {
    let within = || {
        let folder = fs::canonicalize(folder).ok()?;
        let folder = folder.strip_prefix(fs::canonicalize(indexed).ok()?).ok()?;
        Some(folder.to_path_buf())
    };
    let inner = match indexed.join(folder).is_dir() && folder.is_relative() {
        true => folder.to_path_buf(),
        false => within().unwrap_or_else(|| folder.to_path_buf()),
    };
    inner.to_string_lossy().replace('\\', "/")
}
