//! `clip index`: the features of a folder's images, kept for search, duplicates and sorting.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Args;
use clip::data::{DataFiles, Directory, Problem};
use clip::engine::Engine;
use clip::library::{Entry, FileStamp, Index, ModelFingerprint, Skipped, file_hash, is_image_name};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::Failure;
use crate::encode::{Unusable, encode_files};
use crate::index_file::IndexFile;
use crate::output::seconds;
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
    pub session: Session,
    #[command(flatten)]
    place: IndexPlace,
    /// Folder of images, with its subfolders
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

impl IndexedFolder {
    /// Opens the model and brings the index up to date.
    pub async fn update(&self) -> Result<(Engine, Index, Update), Failure> {
        update(self.session.open().await?, &self.folder, &self.place).await
    }
}

#[derive(Args)]
pub struct IndexPlace {
    /// Index file; default: one per folder and model in the user's cache folder
    #[arg(long)]
    index: Option<PathBuf>,
    /// Seconds between two saves of an index that grows
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    save_every: Duration,
}

/// How an index came up to date.
pub struct Update {
    pub file: PathBuf,
    pub new: usize,
    pub removed: usize,
    /// Images that could not be read this time, with the reason.
    pub unread: Vec<(String, String)>,
    /// Files that are no images by their name.
    pub other_files: usize,
    /// Why the index is not on disk as it is in memory.
    unkept: Option<String>,
    pub seconds: f64,
}

impl Update {
    /// Tells people if the index could not be written: what was asked for can be answered all
    /// the same.
    pub fn tell_unkept(&self) {
        if let Some(why) = &self.unkept {
            tell!("note: {why}; the new images are encoded again next time");
        }
    }
}

pub async fn run(arguments: &IndexFolder) -> Result<(), Failure> {
    let (_, index, update) = arguments.folder.update().await?;
    let skipped: Vec<(&str, &str)> = (index.skipped().iter())
        .map(|skipped| (skipped.file.path.as_str(), skipped.reason.text()))
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
        say!(
            "{}",
            json!({
                "index": json_path(&update.file),
                "model": index.model().name,
                "images": index.entries().len(),
                "new": update.new,
                "removed": update.removed,
                "skipped": skipped,
                "other_files": update.other_files,
                "seconds": update.seconds,
            })
        )?;
        return update.unkept.map_or(Ok(()), |why| Err(why.into()));
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
    match update.unkept {
        Some(why) => Err(why.into()),
        None => say!("index: {}", update.file.display()),
    }
}

/// Where the index of a folder is, and the model that it belongs to.
struct Place {
    /// Whole path of the folder.
    root: String,
    model: ModelFingerprint,
    file: IndexFile,
}

impl Place {
    async fn find(engine: &mut Engine, folder: &Path, place: &IndexPlace) -> Result<Self, Failure> {
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
        Ok(Self {
            root: root.display().to_string(),
            model,
            file: IndexFile::new(file),
        })
    }

    /// The index as it is on disk, or an empty one. An index of another model is not used.
    fn read(&mut self, place: &IndexPlace) -> Result<Index, Failure> {
        match self.file.read(&self.model)? {
            Some(index) if index.model().matches(&self.model) => Ok(index),
            // An index that was asked for by name may have been made at great cost.
            Some(index) if place.index.is_some() => Err(format!(
                "{}: this index was made with another model ({}): open that one with --model, or choose \
                 another file with --index",
                self.file.path().display(),
                index.model().name
            )
            .into()),
            _ => Ok(Index::new(self.root.clone(), self.model.clone())),
        }
    }
}

/// The index of a folder as it is on disk.
pub async fn open(
    engine: &mut Engine,
    folder: &Path,
    place: &IndexPlace,
) -> Result<Index, Failure> {
    Place::find(engine, folder, place).await?.read(place)
}

/// Brings the index of a folder up to date: new and changed images are encoded, missing ones leave it. What
/// is done is kept if this is interrupted.
pub async fn update(
    mut engine: Engine,
    folder: &Path,
    place: &IndexPlace,
) -> Result<(Engine, Index, Update), Failure> {
    let start = Instant::now();
    let mut found = Place::find(&mut engine, folder, place).await?;
    let _lock = found.file.lock()?;
    let mut index = found.read(place)?;
    let mut file = found.file;
    let mut update = Update {
        file: file.path().into(),
        new: 0,
        removed: 0,
        unread: Vec::new(),
        other_files: 0,
        unkept: None,
        seconds: 0.0,
    };
    let listing = Listing::new(folder)?;
    if listing.is_empty() && !index.entries().is_empty() {
        return Err(format!(
            "{} is empty, but {} images of it are indexed. If its drive is not connected, connect it; if \
             they are gone for good, delete the index: {}",
            folder.display(),
            index.entries().len(),
            file.path().display()
        )
        .into());
    }
    let stamps = stamps(folder, listing, &mut update);
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
    // What is new since the last write.
    let mut new = Index::new(index.folder(), index.model().clone());
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
        if saved.elapsed() > place.save_every {
            new.extend(std::mem::take(&mut images), std::mem::take(&mut skipped));
            // A full disk may have room again next time.
            if file.add(&new).is_ok() {
                let empty = Index::new(index.folder(), index.model().clone());
                index.merge(std::mem::replace(&mut new, empty));
            }
            saved = Instant::now();
        }
        Ok(())
    });
    new.extend(images, skipped);
    index.merge(new);
    if changed || file.has_parts() {
        update.unkept = file.replace(&index).err().map(|error| error.to_string());
    }
    encoded?;
    progress.finish_and_clear();
    if !folder.is_dir() {
        update.tell_unkept();
        return Err(format!(
            "{} has vanished while it was read: {} images are in the index and stay there. Run the \
             command again when the folder is back",
            folder.display(),
            index.entries().len()
        )
        .into());
    }
    update.seconds = start.elapsed().as_secs_f64();
    Ok((engine, index, update))
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
                listing.unusable.push((path, why.to_string()));
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

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.other == 0 && self.unusable.is_empty()
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
fn stamps(folder: &Path, listing: Listing, update: &mut Update) -> Vec<FileStamp> {
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
    stamps
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
