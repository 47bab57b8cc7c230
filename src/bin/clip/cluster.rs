//! `clip cluster`: groups of images that look alike, without labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clip::data::{file_name, file_safe};
use clip::library::{Cluster, Index, cluster_words, clusters, vocabulary};
use clip::zero_shot::DEFAULT_TEMPLATE;
use serde_json::json;

use crate::Failure;
use crate::filter::FilterOptions;
use crate::index::IndexedFolder;
use crate::session::number;
use crate::sort::{Destination, Sorted, free_name};

#[derive(Args)]
pub struct FindClusters {
    #[command(flatten)]
    folder: IndexedFolder,
    #[command(flatten)]
    filter: FilterOptions,
    /// Number of clusters; by default the one that parts the images most clearly, at most 50
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1000))]
    clusters: Option<u32>,
    /// Copy the images to a folder for each cluster, in this one
    #[arg(long)]
    out: Option<PathBuf>,
    /// Move the images to --out instead of copying them
    #[arg(long = "move", requires = "out")]
    move_files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Words that a cluster is named by.
const WORDS: usize = 3;
/// Images that are shown of a cluster.
const SHOWN: usize = 5;

pub async fn run(arguments: &FindClusters) -> Result<(), Failure> {
    let filter = arguments.filter.filter(&arguments.folder.folder)?;
    let (mut engine, index, update) = arguments.folder.update().await?;
    update.tell_unkept();
    let passing = (arguments.filter)
        .passing(&filter, &index, &mut engine)
        .await?;
    let out = (arguments.out.as_ref())
        .map(|out| Destination::new(&arguments.folder.folder, out, arguments.move_files));
    let entries: Vec<usize> = (0..passing.len())
        .filter(|entry| passing[*entry])
        // What an earlier run has sorted stays where it is.
        .filter(|entry| {
            let path = &index.entries()[*entry].file.path;
            out.as_ref().is_none_or(|out| !out.holds(path))
        })
        .collect();
    if entries.is_empty() {
        return Err("there are no images to cluster (clip index lists what was skipped)".into());
    }
    let found = clusters(
        &index,
        &entries,
        arguments.clusters.map(|count| count as usize),
    );
    let words = vocabulary(&engine.model_info().name);
    let features = (engine.classifier(&words, &[DEFAULT_TEMPLATE.to_owned()])).await?;
    let names: Vec<Vec<&str>> = (cluster_words(&found, &features, WORDS).into_iter())
        .map(|of| of.into_iter().map(|word| words[word].as_str()).collect())
        .collect();
    let copied = match &out {
        Some(out) => {
            let sorted = sorted(&index, &found, &names, out);
            out.carry_out(&sorted)?;
            Some(sorted.len())
        }
        None => None,
    };
    if arguments.json {
        let clusters: Vec<_> = (found.iter().zip(&names))
            .map(|(cluster, words)| {
                json!({
                    "words": words,
                    "cohesion": number(cluster.cohesion),
                    "images": paths(&index, cluster).collect::<Vec<_>>(),
                })
            })
            .collect();
        return say!(
            "{}",
            json!({
                "model": index.model().name,
                "images": entries.len(),
                "skipped": index.skipped().len(),
                "clusters": clusters,
            })
        );
    }
    for (cluster, words) in found.iter().zip(&names) {
        say!("{:6}  {}", cluster.entries.len(), words.join(", "))?;
        for path in paths(&index, cluster).take(SHOWN) {
            say!("        {path}")?;
        }
    }
    if let (Some(count), Some(out)) = (copied, &out) {
        let done = if out.move_files { "moved" } else { "copied" };
        say!("{count} images {done} to {}", out.out.display())?;
    }
    Ok(())
}

/// Paths of a cluster's images, the most typical first.
fn paths<'a>(index: &'a Index, cluster: &'a Cluster) -> impl Iterator<Item = &'a str> {
    (cluster.entries.iter()).map(|entry| index.entries()[*entry].file.path.as_str())
}

/// A folder for each cluster, named by its first word.
fn sorted(
    index: &Index,
    clusters: &[Cluster],
    names: &[Vec<&str>],
    out: &Destination,
) -> Vec<Sorted> {
    let mut taken = BTreeMap::new();
    (clusters.iter().zip(names).enumerate())
        .flat_map(|(number, (cluster, words))| {
            let word = words.first().copied().unwrap_or("cluster");
            // With more clusters than words a name may come again.
            let folder = match names[..number].iter().any(|n| n.first() == words.first()) {
                true => format!("{} {}", file_safe(word), number + 1),
                false => file_safe(word),
            };
            (cluster.entries.iter().zip(&cluster.similarities))
                .map(|(entry, similarity)| {
                    let path = &index.entries()[*entry].file.path;
                    Sorted {
                        path: path.clone(),
                        label: Some(word.to_owned()),
                        score: *similarity,
                        target: free_name(out.out, &folder, file_name(path), &mut taken),
                    }
                })
                .collect::<Vec<_>>()
        })
        .collect()
}
