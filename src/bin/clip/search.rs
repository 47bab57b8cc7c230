//! `clip search`: the images of a folder that are nearest to words and images.

use std::path::{Path, PathBuf};

use clap::Args;
use clip::library::{Sign, Term, combine, file_hash, parse_query};
use clip::preprocess::decode;
use serde_json::json;

use crate::Failure;
use crate::filter::FilterOptions;
use crate::index::{self, IndexPlace};
use crate::session::{Session, number};

#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    session: Session,
    #[command(flatten)]
    place: IndexPlace,
    /// Words to look for. " + " and " - " between them add and take away: "dog + beach - people". A term that
    /// is the path of an image stands for the image
    #[arg(required_unless_present = "images", allow_hyphen_values = true)]
    query: Option<String>,
    /// Image to find similar ones of; repeat the option to add several
    #[arg(long = "image")]
    images: Vec<PathBuf>,
    /// Folder of images, with its subfolders
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// How many images to show
    #[arg(long, default_value_t = 20)]
    top: usize,
    /// Minimum cosine similarity of the images to show
    #[arg(long, default_value_t = -1.0, allow_hyphen_values = true)]
    min_score: f32,
    /// Prompt template for the words, containing {label}
    #[arg(long, default_value = "{label}")]
    template: String,
    #[command(flatten)]
    filter: FilterOptions,
    /// Search what is indexed, without looking for new images
    #[arg(long)]
    no_update: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Search) -> Result<(), Failure> {
    let mut terms = parse_query(arguments.query.as_deref().unwrap_or_default());
    if terms.is_empty() && arguments.images.is_empty() {
        return Err("the query is empty: give some words, or an image with --image".into());
    }
    if !arguments.min_score.is_finite() {
        return Err("--min-score must be a number from -1 to 1".into());
    }
    if !arguments.template.contains(clip::zero_shot::PLACEHOLDER) {
        return Err("--template must contain {label}".into());
    }
    let filter = arguments.filter.filter(&arguments.data)?;
    let mut engine = arguments.session.open().await?;
    let index = match arguments.no_update {
        true => index::open(&mut engine, &arguments.data, &arguments.place).await?,
        false => {
            let (same, index, update) =
                index::update(engine, &arguments.data, &arguments.place).await?;
            engine = same;
            update.tell_unkept();
            if update.new > 0 {
                tell!("note: {} new or changed images were indexed", update.new);
            }
            index
        }
    };
    let skipped = index.skipped().len();
    if index.entries().is_empty() {
        return Err(match arguments.no_update {
            true => format!(
                "{}: nothing is indexed yet: run clip index",
                arguments.data.display()
            ),
            false => format!(
                "{}: there are no images in this folder ({skipped} files were skipped)",
                arguments.data.display()
            ),
        }
        .into());
    }

    let mut features = Vec::new();
    // Files of images in the query: they are no answers to it.
    let mut asked_with = Vec::new();
    terms.extend(arguments.images.iter().map(|image| Term {
        sign: Sign::Plus,
        text: image.display().to_string(),
    }));
    let words = terms.len() - arguments.images.len();
    for (position, term) in terms.iter().enumerate() {
        let path = Path::new(&term.text);
        let known = match position < words && !path.is_file() {
            true => {
                let prompt = arguments
                    .template
                    .replace(clip::zero_shot::PLACEHOLDER, &term.text);
                let found = engine.text_features(&[prompt]).await?;
                if found.iter().any(|found| found.tokens.truncated) {
                    tell!(
                        "note: \"{}\" is longer than the model reads and was cut off",
                        term.text
                    );
                }
                found
                    .into_iter()
                    .next()
                    .map(|found| found.features)
                    .unwrap_or_default()
            }
            false => {
                let path = match position.checked_sub(words) {
                    Some(image) => &arguments.images[image],
                    None => path,
                };
                let bytes =
                    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                asked_with.push(file_hash(&bytes));
                let picture =
                    decode(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
                let features = engine.image_features(&[engine.pixels(&picture)]).await?;
                features.concat()
            }
        };
        features.push((term.sign, known));
    }
    let query = combine(&features).ok_or("the terms of the query cancel each other out")?;
    let passing = (arguments.filter)
        .passing(&filter, &index, &mut engine)
        .await?;
    let hits = index.search(&query, arguments.top, arguments.min_score, |entry| {
        passing[entry] && !asked_with.contains(&index.entries()[entry].image.sha256)
    });
    if arguments.json {
        let images: Vec<_> = (hits.iter())
            .map(|hit| {
                let entry = &index.entries()[hit.entry];
                json!({
                    "path": entry.file.path,
                    "score": number(hit.score),
                    "width": entry.image.width,
                    "height": entry.image.height,
                })
            })
            .collect();
        let query: Vec<_> = (terms.iter())
            .map(|term| {
                let sign = match term.sign {
                    Sign::Plus => "+",
                    Sign::Minus => "-",
                };
                json!({ "sign": sign, "term": term.text })
            })
            .collect();
        return say!(
            "{}",
            json!({
                "model": index.model().name,
                "query": query,
                "indexed": index.entries().len(),
                "skipped": skipped,
                "images": images,
            })
        );
    }
    for hit in &hits {
        say!(
            "{:+.4}  {}",
            hit.score,
            index.entries()[hit.entry].file.path
        )?;
    }
    if hits.is_empty() && !passing.contains(&true) {
        say!("no image passes the filters")?;
    } else if hits.is_empty() {
        say!("no image has a score of {} or more", arguments.min_score)?;
    }
    Ok(())
}
