//! `clip models`: the published models.

use clip::catalogue::{Published, published};

use crate::Failure;

pub fn run() -> Result<(), Failure> {
    say!("  ImageNet  parameters  download  name for --model")?;
    for model in published().iter().filter(|model| model.purpose.is_none()) {
        let accuracy = model.imagenet_top_1.unwrap_or_default();
        say!("  {:6.1} %  {}", accuracy * 100.0, facts(model))?;
    }
    say!("\n  trained for one purpose:")?;
    for model in published() {
        if let Some(purpose) = &model.purpose {
            say!("            {}: {purpose}", facts(model))?;
        }
    }
    Ok(())
}

fn facts(model: &Published) -> String {
    format!(
        "{:>8.0} M  {:>5.0} MB  {}  ({}; {})",
        model.parameters as f64 / 1e6,
        model.bytes as f64 / 1e6,
        model.place(),
        model.name,
        model.license,
    )
}
