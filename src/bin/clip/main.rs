//! `clip`: the native command.

// First: its macros print.
#[macro_use]
mod output;

mod classify;
mod cluster;
mod duplicates;
mod embed;
mod encode;
mod evaluate;
mod export;
mod fewshot;
mod filter;
mod index;
mod index_file;
mod locate;
mod models;
mod pretrain;
mod search;
mod session;
mod shards;
mod sort;
mod train;
mod wise_ft;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "clip",
    version,
    about = "Classify, search, sort and train on images with CLIP"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Classify images with your own labels, zero-shot
    Classify(classify::Classify),
    /// Find where in images labels fit, and draw heat maps
    Locate(locate::Locate),
    /// Compute the features of images and texts
    Embed(embed::Embed),
    /// Index the images of a folder for search, duplicates, sorting and clusters
    Index(index::IndexFolder),
    /// Search a folder by text or by example images
    Search(search::Search),
    /// Find identical, near-identical and similar images in a folder
    Duplicates(duplicates::FindDuplicates),
    /// Sort the images of a folder into one folder for each label
    Sort(sort::Sort),
    /// Group the images of a folder by what they show, without labels
    Cluster(cluster::FindClusters),
    /// List published models with their size, accuracy and license, and the one for this machine
    Models(models::Models),
    /// Train a classifier or a model on your own images
    Train(train::Train),
    /// Write the image encoder, with labels or a trained classifier, as an ONNX file
    Export(export::Export),
    /// Evaluate few-shot accuracy by number of images, as in figure 6 of the paper
    Fewshot(fewshot::Fewshot),
    /// Pre-train a CLIP model from scratch on labelled photographs and drawings
    Pretrain(pretrain::Pretrain),
    /// Evaluate zero-shot accuracy on labelled images
    Evaluate(evaluate::Evaluate),
    /// Mix the weights before and after fine-tuning, and measure each mixture (WiSE-FT)
    WiseFt(wise_ft::WiseFt),
}

/// Linux drivers look for a desktop's socket in this folder and complain on
/// stderr, once for each, where no desktop has named it (servers, containers).
fn quiet_graphics_drivers() {
    const FOLDER: &str = "XDG_RUNTIME_DIR";
    if cfg!(target_os = "linux") && std::env::var_os(FOLDER).is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var(FOLDER, std::env::temp_dir()) };
    }
}

/// Whatever went wrong, in one line for people.
type Failure = Box<dyn std::error::Error>;

/// Failure that has been told already.
#[derive(Debug, thiserror::Error)]
#[error("some of the images could not be used")]
struct AlreadyReported;

fn main() -> ExitCode {
    quiet_graphics_drivers();
    let done = match Arguments::parse().command {
        Command::Classify(arguments) => pollster::block_on(classify::run(&arguments)),
        Command::Locate(arguments) => pollster::block_on(locate::run(&arguments)),
        Command::Embed(arguments) => pollster::block_on(embed::run(&arguments)),
        Command::Index(arguments) => pollster::block_on(index::run(&arguments)),
        Command::Search(arguments) => pollster::block_on(search::run(&arguments)),
        Command::Duplicates(arguments) => pollster::block_on(duplicates::run(&arguments)),
        Command::Sort(arguments) => pollster::block_on(sort::run(&arguments)),
        Command::Cluster(arguments) => pollster::block_on(cluster::run(&arguments)),
        Command::Models(arguments) => pollster::block_on(models::run(&arguments)),
        Command::Train(arguments) => pollster::block_on(train::run(&arguments)),
        Command::Export(arguments) => pollster::block_on(export::run(&arguments)),
        Command::Fewshot(arguments) => pollster::block_on(fewshot::run(&arguments)),
        Command::Pretrain(arguments) => pollster::block_on(pretrain::run(&arguments)),
        Command::Evaluate(arguments) => pollster::block_on(evaluate::run(&arguments)),
        Command::WiseFt(arguments) => pollster::block_on(wise_ft::run(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<AlreadyReported>() {
                tell!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}
