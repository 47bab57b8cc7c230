//! `clip duplicates`: equal, nearly equal and similar images of a folder.

use clap::Args;
use clip::library::duplicates;
use serde_json::json;

use crate::Failure;
use crate::index::IndexedFolder;

#[derive(Args)]
pub struct FindDuplicates {
    #[command(flatten)]
    folder: IndexedFolder,
    /// Minimum cosine similarity of similar images
    #[arg(long, default_value_t = 0.96)]
    similar: f32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &FindDuplicates) -> Result<(), Failure> {
    if !(-1.0..=1.0).contains(&arguments.similar) {
        return Err("--similar must be from -1 to 1, such as 0.96".into());
    }
    let (_, index, update) = arguments.folder.update().await?;
    update.tell_unkept();
    let found = duplicates(&index, arguments.similar);
    let kinds = [
        ("identical", "Identical files", &found.identical),
        (
            "near_identical",
            "The same image, resized or recompressed",
            &found.near_identical,
        ),
        ("similar", "Similar images", &found.similar),
    ];
    if arguments.json {
        let mut answer = json!({
            "model": index.model().name,
            "images": index.entries().len(),
            "skipped": index.skipped().len(),
        });
        for (key, _, groups) in kinds {
            answer[key] = groups.iter().map(|group| group.paths(&index)).collect();
        }
        return say!("{answer}");
    }
    for (_, title, groups) in kinds {
        let copies: usize = groups.iter().map(|group| group.entries.len() - 1).sum();
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let (groups_text, copies) = (count(groups.len(), "group"), count(copies, "duplicate"));
        say!("{title}: {groups_text}, {copies}")?;
        for group in groups {
            for (position, entry) in group.entries.iter().enumerate() {
                let entry = &index.entries()[*entry];
                let mark = if position == 0 { "-" } else { " " };
                say!(
                    "  {mark} {}  ({} x {}, {} kB)",
                    entry.file.path,
                    entry.image.width,
                    entry.image.height,
                    entry.file.size.div_ceil(1000)
                )?;
            }
        }
    }
    Ok(())
}
