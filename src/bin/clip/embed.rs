//! `clip embed`: features of images and texts, as JSON, or of many images as NumPy and Parquet files.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::session::{Session, all_image_features, json_path, number, numbers};
use crate::shards::{self, Shard};

#[derive(Args)]
pub struct Embed {
    #[command(flatten)]
    session: Session,
    /// Images: PNG, JPEG, WebP, GIF, BMP, TIFF, camera raw
    #[arg(long, num_args = 1.., required_unless_present_any = ["texts", "data"])]
    images: Vec<PathBuf>,
    /// Texts, used as is
    #[arg(long, num_args = 1..)]
    texts: Vec<String>,
    /// Many images: a folder with its subfolders, or a text file with the path of an image per line. Needs --out
    #[arg(long, requires = "out", conflicts_with_all = ["images", "texts", "json"])]
    data: Option<PathBuf>,
    /// Output folder for the features of --data, in clip-retrieval's layout
    #[arg(long, requires = "data")]
    out: Option<PathBuf>,
    /// Shard of --data to encode, as I/N: 1/4 on the first of four machines
    #[arg(long, requires = "data")]
    shard: Option<Shard>,
    /// Print JSON (the only output format for --images and --texts)
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Embed) -> Result<(), Failure> {
    if let (Some(data), Some(out)) = (&arguments.data, &arguments.out) {
        let engine = arguments.session.open().await?;
        let shard = arguments.shard.unwrap_or(Shard::WHOLE);
        return shards::run(&engine, data, out, shard);
    }
    if !arguments.json {
        return Err("features are printed as JSON only: add --json".into());
    }
    let mut engine = arguments.session.open().await?;
    let mut images = Vec::new();
    let done = all_image_features(&engine, &arguments.images, |path, features| {
        let path = json_path(path);
        images.push(match features {
            Ok(features) => json!({ "path": path, "features": numbers(&features) }),
            Err(error) => json!({ "path": path, "error": error }),
        });
        Ok(())
    })
    .await;
    let known = engine.text_features(&arguments.texts).await?;
    for note in engine.truncation_notes(&arguments.texts) {
        tell!("note: {note}");
    }
    let texts: Vec<_> = (arguments.texts.iter().zip(known))
        .map(|(text, known)| {
            json!({
                "text": text,
                "token_ids": known.tokens.ids,
                "features": numbers(&known.features),
            })
        })
        .collect();
    let answer = json!({
        "model": engine.model_info().name,
        "device": engine.device_info().name,
        "images": images,
        "texts": texts,
        "logit_scale": number(engine.logit_scale()),
        "logit_bias": engine.logit_bias().map(number),
    });
    say!("{answer}")?;
    done
}
