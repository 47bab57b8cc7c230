//! `clip sort`: a folder's images into one folder for each label.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clip::data::{csv_field, file_name, file_safe, numbered};
use clip::zero_shot;
use serde_json::json;

use crate::Failure;
use crate::classify::labels;
use crate::index::IndexedFolder;
use crate::output::write_file;
use crate::session::number;

#[derive(Args)]
pub struct Sort {
    #[command(flatten)]
    folder: IndexedFolder,
    /// Labels, separated by commas: a folder each
    #[arg(long)]
    labels: String,
    /// Output folder
    #[arg(long)]
    out: PathBuf,
    /// Move the images instead of copying them
    #[arg(long = "move")]
    move_files: bool,
    /// Images whose best label is less probable go to a folder "unsorted"
    #[arg(long, default_value_t = 0.0)]
    min_probability: f32,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = "A photo of a {label}.")]
    templates: Vec<String>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Folder of images that no label fits.
const UNSORTED: &str = "unsorted";
/// List of what went where, in the output folder.
const LIST: &str = "sorted.csv";

/// Image and the place that it gets.
pub struct Sorted {
    pub path: String,
    pub label: Option<String>,
    /// How well the label fits.
    pub score: f32,
    /// Relative to the output folder.
    pub target: String,
}

pub async fn run(arguments: &Sort) -> Result<(), Failure> {
    let labels = labels(&arguments.labels);
    zero_shot::check(&labels, &arguments.templates)?;
    if !(0.0..=1.0).contains(&arguments.min_probability) {
        return Err("--min-probability must be from 0 to 1".into());
    }
    let folders: Vec<String> = labels.iter().map(|label| file_safe(label)).collect();
    for (i, folder) in folders.iter().enumerate() {
        if folder == UNSORTED || folders[..i].contains(folder) {
            return Err(format!(
                "the label \"{}\" would use the folder \"{folder}\", which is already taken: rename the label",
                labels[i]
            )
            .into());
        }
    }
    let (mut engine, index, update) = arguments.folder.update().await?;
    update.tell_unkept();
    let classifier = engine.classifier(&labels, &arguments.templates).await?;
    let best = index
        .best_labels(&classifier, engine.scoring())
        .unwrap_or_default();

    let destination = Destination::new(
        &arguments.folder.folder,
        &arguments.out,
        arguments.move_files,
    );
    let mut sorted = Vec::new();
    let mut taken = BTreeMap::new();
    for (entry, (label, probability)) in index.entries().iter().zip(best) {
        // What an earlier run has sorted stays where it is.
        if destination.holds(&entry.file.path) {
            continue;
        }
        let fits = probability >= arguments.min_probability;
        let folder = if fits {
            folders[label].as_str()
        } else {
            UNSORTED
        };
        let name = file_name(&entry.file.path);
        let target = free_name(&arguments.out, folder, name, &mut taken);
        sorted.push(Sorted {
            path: entry.file.path.clone(),
            label: fits.then(|| labels[label].clone()),
            score: probability,
            target,
        });
    }
    if !arguments.dry_run {
        destination.carry_out(&sorted)?;
    }
    report(arguments, &labels, &sorted, index.skipped().len())
}

/// Where images go.
pub struct Destination<'a> {
    /// Folder that they are in.
    from: &'a Path,
    /// Folder of the folders that they are sorted into.
    pub out: &'a Path,
    pub move_files: bool,
    /// `out` as a prefix of paths in `from`, if it lies there.
    inside: Option<String>,
}

impl<'a> Destination<'a> {
    pub fn new(from: &'a Path, out: &'a Path, move_files: bool) -> Self {
        Self {
            from,
            out,
            move_files,
            inside: inside(from, out),
        }
    }

    /// Whether an image is already there.
    pub fn holds(&self, path: &str) -> bool {
        (self.inside.as_ref()).is_some_and(|inside| path.starts_with(inside))
    }

    /// Copies or moves. A list of what went where is written first, so that moves can be undone. What
    /// cannot be copied is named, and the rest goes on.
    pub fn carry_out(&self, sorted: &[Sorted]) -> Result<(), Failure> {
        let mut list = String::from("image,label,probability,sorted_to\r\n");
        for image in sorted {
            list.push_str(&format!(
                "{},{},{:.4},{}\r\n",
                csv_field(&image.path),
                csv_field(image.label.as_deref().unwrap_or_default()),
                image.score,
                csv_field(&image.target)
            ));
        }
        let list_file = free_name(self.out, "", LIST, &mut BTreeMap::new());
        write_file(&self.out.join(list_file), list.as_bytes())?;
        let mut failed = 0;
        for image in sorted {
            let (from, to) = (self.from.join(&image.path), self.out.join(&image.target));
            let made = to.parent().map_or(Ok(()), fs::create_dir_all);
            // Never over another file, even one that came after the look.
            let moved = made.and_then(|()| match self.move_files {
                true => move_file(&from, &to),
                false => copy_new(&from, &to),
            });
            let Err(error) = moved else {
                continue;
            };
            if error.kind() == io::ErrorKind::StorageFull {
                return Err(format!(
                    "{}: {error}. The images before it are sorted; make room and run the command again \
                     for the rest",
                    to.display()
                )
                .into());
            }
            tell!("{}: {error}", from.display());
            failed += 1;
        }
        match failed {
            0 => Ok(()),
            _ => Err(format!(
                "{failed} of {} images were left where they are",
                sorted.len()
            )
            .into()),
        }
    }
}

fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)?;
    let copied = fs::File::open(from).and_then(|mut source| io::copy(&mut source, &mut target));
    if copied.is_err() {
        // Half a copy is worse than none.
        let _ = fs::remove_file(to);
    }
    copied?;
    // As photo programs go by it; not all file systems can keep it.
    if let Ok(modified) = fs::metadata(from).and_then(|metadata| metadata.modified()) {
        let _ = target.set_modified(modified);
    }
    Ok(())
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} was created in the meantime", to.display()),
        ));
    }
    fs::rename(from, to).or_else(|error| match error.kind() {
        io::ErrorKind::CrossesDevices => copy_new(from, to).and_then(|()| fs::remove_file(from)),
        _ => Err(error),
    })
}

fn report(
    arguments: &Sort,
    labels: &[String],
    sorted: &[Sorted],
    skipped: usize,
) -> Result<(), Failure> {
    if arguments.json {
        let images: Vec<_> = (sorted.iter())
            .map(|image| {
                json!({
                    "path": image.path,
                    "label": image.label,
                    "probability": number(image.score),
                    "sorted_to": image.target,
                })
            })
            .collect();
        return say!(
            "{}",
            json!({ "images": images, "skipped": skipped, "dry_run": arguments.dry_run })
        );
    }
    let count = |label: Option<&str>| {
        (sorted
            .iter()
            .filter(|image| image.label.as_deref() == label))
        .count()
    };
    for label in labels {
        say!("{:6}  {label}", count(Some(label)))?;
    }
    if count(None) > 0 {
        say!("{:6}  ({UNSORTED})", count(None))?;
    }
    let done = match (arguments.dry_run, arguments.move_files) {
        (true, _) => "would be sorted",
        (false, true) => "moved",
        (false, false) => "copied",
    };
    say!(
        "{} images {done} to {}",
        sorted.len(),
        arguments.out.display()
    )?;
    if skipped > 0 {
        say!("{skipped} files skipped (clip index lists them)")?;
    }
    Ok(())
}

/// `out` as a prefix of paths in `folder`, if it lies there.
fn inside(folder: &Path, out: &Path) -> Option<String> {
    let out = fs::canonicalize(out).ok()?;
    let inner = out
        .strip_prefix(fs::canonicalize(folder).ok()?)
        .ok()?
        .to_str()?;
    (!inner.is_empty()).then(|| format!("{}/", inner.replace('\\', "/")))
}

/// A path in `out` that nothing has yet: "name (2).jpg" beside "name.jpg".
pub fn free_name(
    out: &Path,
    folder: &str,
    name: &str,
    taken: &mut BTreeMap<String, usize>,
) -> String {
    let path = match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    // Many images may have one name: go on where the last one found a place.
    let first = path.to_lowercase();
    let mut copy = taken.get(&first).copied().unwrap_or(1);
    loop {
        let target = match copy {
            1 => path.clone(),
            copy => numbered(&path, copy),
        };
        copy += 1;
        let key = target.to_lowercase();
        if !taken.contains_key(&key) && !out.join(&target).exists() {
            taken.insert(key, 1);
            taken.insert(first, copy);
            return target;
        }
    }
}
