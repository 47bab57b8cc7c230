//! `clip models`: the published models.

use clip::catalogue::published;

use crate::Failure;

pub fn run() -> Result<(), Failure> {
    say!("  ImageNet  parameters  download  name for --model")?;
    for model in published() {
        say!(
            "  {:6.1} %  {:>8.0} M  {:>5.0} MB  {}  ({})",
            model.imagenet_top_1 * 100.0,
            model.parameters as f64 / 1e6,
            model.bytes as f64 / 1e6,
            model.place(),
            model.name,
        )?;
    }
    Ok(())
}
