//! `clip index`: the features of a folder's images, kept for search, duplicates and sorting.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Args;
use clip::data::{DataFiles, Directory, Problem};
use clip::engine::Engine;
use clip::library::{Entry, FileStamp, Index, Skipped, file_hash, is_image_name};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::Failure;
use crate::encode::{Unusable, encode_files};
use crate::output::write_file;
use crate::session::{Session, json_path};

#[derive(Args)]
pub struct IndexFolder {
    #[command(flatten)]
    folder: IndexedFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What every command over a folder's index begins with.
#[derive(Args)]
pub struct IndexedFolder {
    #[command(flatten)]
    session: Session,
    #[command(flatten)]
    place: IndexPlace,
    /// Folder of images, with its subfolders
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

impl IndexedFolder {
    /// Opens the model and brings the index up to date.
    pub async fn update(&self) -> Result<(Engine, Index, Update, PathBuf), Failure> {
        update(self.session.open().await?, &self.folder, &self.place).await
    }
}

#[derive(Args)]
pub struct IndexPlace {
    /// Index file; by default one in the user's cache folder, for each folder and model
    #[arg(long)]
    index: Option<PathBuf>,
}

/// How an index came up to date.
#[derive(Default)]
pub struct Update {
    pub new: usize,
    pub removed: usize,
    /// Images that could not be read this time, with the reason.
    pub unread: Vec<(String, String)>,
    /// Files that are no images by their name.
    pub other_files: usize,
    pub seconds: f64,
}

/// Time between two writes of the index while it grows.
const SAVE_EVERY: Duration = Duration::from_secs(20);

pub async fn run(arguments: &IndexFolder) -> Result<(), Failure> {
    let (_, index, update, file) = arguments.folder.update().await?;
    let skipped: Vec<(&str, &str)> = (index.skipped().iter())
        .map(|skipped| (skipped.file.path.as_str(), skipped.reason.as_str()))
        .chain(
            update
                .unread
                .iter()
                .map(|(path, why)| (path.as_str(), why.as_str())),
        )
        .collect();
    if arguments.json {
        let skipped: Vec<_> = (skipped.iter())
            .map(|(path, reason)| json!({ "path": path, "reason": reason }))
            .collect();
        return say!(
            "{}",
            json!({
                "index": json_path(&file),
                "model": index.model().name,
                "images": index.entries().len(),
                "new": update.new,
                "removed": update.removed,
                "skipped": skipped,
                "other_files": update.other_files,
                "seconds": update.seconds,
            })
        );
    }
    say!(
        "{} images in the index ({} new or changed, {} removed), {:.1} s",
        index.entries().len(),
        update.new,
        update.removed,
        update.seconds
    )?;
    const SHOWN: usize = 10;
    if !skipped.is_empty() {
        say!("{} files skipped:", skipped.len())?;
        for (path, reason) in skipped.iter().take(SHOWN) {
            say!("  {path}: {reason}")?;
        }
        if skipped.len() > SHOWN {
            say!(
                "  and {} more (--json lists them all)",
                skipped.len() - SHOWN
            )?;
        }
    }
    say!("index: {}", file.display())
}

/// The index of a folder as it is on disk, or an empty one; with the file that keeps it. An index of another
/// model is not used.
pub async fn open(
    engine: &mut Engine,
    folder: &Path,
    place: &IndexPlace,
) -> Result<(Index, PathBuf), Failure> {
    let root =
        fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if !root.is_dir() {
        return Err(format!("{} is not a folder", folder.display()).into());
    }
    let model = engine.fingerprint().await?;
    let file = match &place.index {
        Some(file) => file.clone(),
        None => default_file(&root, &model.name)?,
    };
    let index = match fs::read(&file) {
        Ok(bytes) => {
            let index = Index::read(&bytes).map_err(|error| {
                format!(
                    "{}: {error}. Delete the file to build the index again, or choose another with --index",
                    file.display()
                )
            })?;
            match index.model().matches(&model) {
                true => index,
                // An index that was asked for by name may have been made at great cost.
                false if place.index.is_some() => {
                    return Err(format!(
                        "{}: this index was made with another model ({}): open that one with --model, or choose \
                         another file with --index",
                        file.display(),
                        index.model().name
                    )
                    .into());
                }
                false => Index::new(root.display().to_string(), model),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Index::new(root.display().to_string(), model)
        }
        Err(error) => return Err(format!("{}: {error}", file.display()).into()),
    };
    Ok((index, file))
}

/// Brings the index of a folder up to date: new and changed images are encoded, missing ones leave it. What
/// is done is kept if this is interrupted.
pub async fn update(
    mut engine: Engine,
    folder: &Path,
    place: &IndexPlace,
) -> Result<(Engine, Index, Update, PathBuf), Failure> {
    let start = Instant::now();
    let (mut index, file) = open(&mut engine, folder, place).await?;
    let mut update = Update::default();
    let stamps = stamps(folder, &mut update)?;
    let (to_read, removed) = index.sync(stamps);
    update.removed = removed;
    let changed = removed > 0 || !to_read.is_empty();
    let paths: Vec<&str> = to_read.iter().map(|stamp| stamp.path.as_str()).collect();
    let progress = match std::io::stderr().is_terminal() && !paths.is_empty() {
        true => ProgressBar::new(paths.len() as u64).with_style(ProgressStyle::with_template(
            "{bar:30} {pos} of {len} images, {per_sec}, {eta} left",
        )?),
        false => ProgressBar::hidden(),
    };
    let (mut images, mut skipped) = (Vec::new(), Vec::new());
    let mut saved = Instant::now();
    let encoded = encode_files(&engine, folder, &paths, |number, result| {
        let stamp = to_read[number].clone();
        match result {
            Ok(found) => {
                update.new += 1;
                let entry = Entry {
                    file: stamp,
                    image: found.image,
                };
                images.push((entry, found.features));
            }
            Err(Unusable::NoImage(reason)) => skipped.push(Skipped {
                file: stamp,
                reason,
            }),
            Err(Unusable::Unread(error)) => update.unread.push((stamp.path, error.to_string())),
        }
        progress.inc(1);
        if saved.elapsed() > SAVE_EVERY {
            index.extend(std::mem::take(&mut images), std::mem::take(&mut skipped));
            save(&index, &file)?;
            saved = Instant::now();
        }
        Ok(())
    });
    index.extend(images, skipped);
    if changed {
        save(&index, &file)?;
    }
    encoded?;
    progress.finish_and_clear();
    update.seconds = start.elapsed().as_secs_f64();
    Ok((engine, index, update, file))
}

fn save(index: &Index, file: &Path) -> Result<(), Failure> {
    write_file(file, &index.write()?)
}

/// Files of a folder by what their names say.
struct Listing {
    /// Paths of images, in order.
    images: Vec<String>,
    /// Number of other files.
    other: usize,
    /// Images and folders that cannot be read by their name, with the reason.
    unusable: Vec<(String, String)>,
}

impl Listing {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let mut listing = Self {
            images: Vec::new(),
            other: 0,
            unusable: Vec::new(),
        };
        let directory = Directory::open(folder)?;
        for problem in directory.unusable() {
            if let Problem::Ignored { path, why } = problem
                && (path.ends_with('/') || is_image_name(&path))
            {
                listing.unusable.push((path, why));
            }
        }
        for path in directory.paths() {
            let hidden = path.split('/').any(|part| part.starts_with('.'));
            if path.ends_with('/') || hidden {
                continue;
            }
            match is_image_name(&path) {
                true => listing.images.push(path),
                false => listing.other += 1,
            }
        }
        listing.images.sort();
        Ok(listing)
    }
}

/// Paths of the images in a folder and its subfolders, in order. Tells which have no usable
/// name.
pub fn image_paths(folder: &Path) -> Result<Vec<String>, Failure> {
    let listing = Listing::new(folder)?;
    for (path, why) in &listing.unusable {
        tell!("skipped: {path}: {why}");
    }
    Ok(listing.images)
}

/// Size and time of every image in a folder.
fn stamps(folder: &Path, update: &mut Update) -> Result<Vec<FileStamp>, Failure> {
    let listing = Listing::new(folder)?;
    update.other_files = listing.other;
    update.unread.extend(listing.unusable);
    let mut stamps = Vec::with_capacity(listing.images.len());
    for path in listing.images {
        match fs::metadata(folder.join(&path)) {
            Ok(metadata) => stamps.push(FileStamp {
                size: metadata.len(),
                modified_ms: (metadata.modified().ok())
                    .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                    .map_or(0, |time| time.as_millis() as i64),
                path,
            }),
            Err(error) => update.unread.push((path, error.to_string())),
        }
    }
    Ok(stamps)
}

/// In the user's cache, named after folder and model.
fn default_file(root: &Path, model: &str) -> Result<PathBuf, Failure> {
    let cache = dirs::cache_dir()
        .ok_or("there is no cache folder for the index: name a file with --index")?;
    let named = format!("{}\n{model}", root.display());
    let hash = file_hash(named.as_bytes());
    Ok(cache
        .join("clip/indexes")
        .join(format!("{}.safetensors", &hash[..20])))
}
