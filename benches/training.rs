//! How long a training step takes:
//!
//! ```sh
//! cargo bench --bench training -- [--device cpu|gpu] [--model vit-b-32|bundled] [--batch N] [--runs N]
//! ```
//!
//! A step is the whole of it: both towers there and back, clipping, AdamW, for new models and made-up
//! pairs of full length. `benches/training.py` puts it beside PyTorch's. Prints a Markdown table, or with
//! `--json` milliseconds and MiB; nothing is asserted.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::open_device;
use clip::hub::{self, Bundled};
use clip::model::Clip;
use clip::train::{
    Lora, RECIPES, TrainMode, TrainOptions, TrainableParams, Trainer, WarmupCosine, estimate_memory,
};
use pollster::block_on;

use common::{pairs, vit_b_32};

mod common;

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value = "cpu")]
    device: Processor,
    #[arg(long, value_enum, default_value = "bundled")]
    model: Model,
    #[arg(long, value_enum, default_value = "full")]
    method: Way,
    /// Pairs in a step
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Pairs computed at once; the batch when left out
    #[arg(long)]
    micro_batch: Option<usize>,
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Timed steps
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[arg(long)]
    json: bool,
    /// Cargo says this to every benchmark.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Processor {
    Cpu,
    Gpu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Model {
    #[value(name = "vit-b-32")]
    VitB32,
    Bundled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Full,
    Lora,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let choice = match options.device {
        Processor::Cpu => DeviceChoice::Cpu,
        Processor::Gpu => DeviceChoice::Gpu,
    };
    let opened = block_on(open_device(choice, |_| ()))?;
    let config = match options.model {
        Model::VitB32 => vit_b_32()?,
        Model::Bundled => block_on(hub::open(&Bundled, None))?.config,
    };
    let method = match options.method {
        Way::Full => TrainMode::Full(TrainableParams::ALL),
        Way::Lora => TrainMode::Lora(Lora::default()),
    };
    let micro_batch = options.micro_batch.unwrap_or(options.batch);
    let estimate = estimate_memory(
        &config,
        &method,
        options.batch,
        micro_batch,
        options.gradient_checkpointing,
        &opened.device,
    );
    let recipe = &RECIPES[5];
    let model = Clip::init(&config, &opened.device);
    let batch = pairs(options.batch, &config);
    let settings = TrainOptions {
        method,
        schedule: WarmupCosine {
            learning_rate: recipe.learning_rate,
            warmup_steps: recipe.warmup_steps,
            steps: 100_000,
        },
        optimizer: recipe.optimizer,
        clip_norm: Some(1.0),
        micro_batch,
        gradient_checkpointing: options.gradient_checkpointing,
        seed: 0,
    };
    let mut trainer = Trainer::new(model, config, settings)?;
    let mut times = Vec::with_capacity(options.runs);
    for run in 0..options.runs + 1 {
        let report = block_on(trainer.step(&batch))?;
        // The first one makes room for moments, and a GPU's kernels.
        if run > 0 {
            times.push(report.milliseconds);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let peak = peak_memory().map(|bytes| bytes >> 20);
    if options.json {
        println!("[{median}, {}]", peak.unwrap_or(0));
        return Ok(());
    }
    let Options { model, batch, .. } = options;
    println!(
        "| {} | a step | pairs a second | memory at its peak | as estimated |",
        opened.info.name
    );
    println!("| --- | --: | --: | --: | --: |");
    println!(
        "| {model:?}, {:?}, batch {batch} | {median:.0} ms | {:.1} | {} MiB | {} MiB |",
        options.method,
        1e3 * *batch as f64 / median,
        peak.map_or("–".into(), |peak| peak.to_string()),
        estimate.total() >> 20,
    );
    Ok(())
}

/// The most memory that this process held, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}
