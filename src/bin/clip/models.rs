//! `clip models`: the published models, and the one for this machine.

use clap::Args;
use clip::catalogue::{
    DeviceProfile, Published, Reason, Recommendation, SizeLimit, published, recommend,
};
use clip::engine::messages::DeviceChoice;
use clip::engine::open_device;
use clip::hub::NativeModelFiles;
use serde::Serialize;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::Failure;

#[derive(Args)]
pub struct Models {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The list in JSON.
#[derive(Serialize)]
struct List {
    device: Device,
    recommended: Recommended,
    models: Vec<Listed>,
}

#[derive(Serialize)]
struct Device {
    memory_gb: Option<f64>,
    gpu: bool,
}

#[derive(Serialize)]
struct Recommended {
    /// Name for `--model`.
    model: String,
    reason: Reason,
}

#[derive(Serialize)]
struct Listed {
    /// Name for `--model`.
    model: String,
    #[serde(flatten)]
    facts: &'static Published,
}

pub async fn run(arguments: &Models) -> Result<(), Failure> {
    let device = this_machine().await;
    let recommended = recommend(&device);
    if arguments.json {
        let models: Vec<Listed> = (published().iter())
            .map(|facts| Listed {
                model: facts.place().to_string(),
                facts,
            })
            .collect();
        let list = List {
            device: Device {
                memory_gb: device.memory_gb,
                gpu: device.gpu,
            },
            recommended: Recommended {
                model: name(&recommended),
                reason: recommended.reason,
            },
            models,
        };
        return say!("{}", serde_json::to_string_pretty(&list)?);
    }
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
    say!(
        "\n  for this machine: {} ({})",
        name(&recommended),
        why(&recommended)
    )
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

/// Name for `--model`.
fn name(recommended: &Recommendation) -> String {
    match recommended.model {
        Some(model) => model.place().to_string(),
        None => NativeModelFiles::BUNDLED.into(),
    }
}

fn why(recommended: &Recommendation) -> String {
    let (limit, gpu) = match recommended.reason {
        Reason::SaveData => return "the connection is set to save data".into(),
        Reason::SlowConnection => return "the connection is slow".into(),
        Reason::LittleMemory => return "no published model fits the memory".into(),
        Reason::BestWithin { limit, gpu } => (limit, gpu),
    };
    let limit = match limit {
        SizeLimit::MemoryGb(gb) => format!("a quarter of its memory ({gb:.1} GB)"),
        SizeLimit::ConnectionBytes(bytes) | SizeLimit::DownloadBytes(bytes) => {
            format!("a download of {} MB", bytes / 1_000_000)
        }
    };
    let speed = match gpu {
        true => "fast on the GPU",
        false => "fast enough on the CPU",
    };
    format!("the most accurate for its size within {limit} that is {speed}")
}

/// Memory and GPU of this machine.
async fn this_machine() -> DeviceProfile {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    // A container may have less than its machine.
    let limit = system.cgroup_limits().map(|limits| limits.total_memory);
    let bytes = limit.map_or(system.total_memory(), |limit| {
        limit.min(system.total_memory())
    });
    let opened = open_device(DeviceChoice::Auto, |_| ()).await;
    DeviceProfile {
        memory_gb: (bytes > 0).then_some(bytes as f64 / 1e9),
        gpu: opened.is_ok_and(|opened| opened.info.gpu),
        ..DeviceProfile::default()
    }
}
