//! How long the native library takes for a picture and for texts:
//!
//! ```sh
//! cargo bench --bench native -- [--device cpu|gpu] [--model DIR] [--runs N] [--json]
//! ```
//!
//! Prints Markdown; `scripts/bench` puts it into `benches/README.md`. With `--json`, lines that
//! `benches/rival/native.py` compares with other programs'. Every time includes the way
//! to the device and back, since features are read back before a call returns. Nothing is asserted.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, EngineError, OpenedDevice, open_device};
use clip::hub::{self, Bundled, Folder, ModelFiles};
use clip::model::WeightPrecision;
use clip::preprocess::{PreprocessError, decode};
use pollster::block_on;

/// Timed runs of each figure…
const RUNS: u32 = 20;
/// …and on a program that imitates a GPU, which is slow.
const RUNS_IMITATED: u32 = 5;
/// Runs before those: a GPU compiles and tunes its kernels anew for each batch size.
const UNTIMED: u32 = 3;

/// Pictures at once.
const BATCH: usize = 8;
/// Texts at once, where they are made up.
const TEXTS: usize = 16;

/// Sixteen labels.
const LABELS: &str = "cat dog horse fish car bicycle aeroplane ship house bridge tree flower apple \
                      guitar telephone umbrella";

#[derive(Parser)]
struct Options {
    /// Where to compute; when left out, on the CPU and then on a GPU if there is one
    #[arg(long, value_enum)]
    device: Option<Processor>,
    /// Folder of a model, or its weights file; the bundled one when left out
    #[arg(long)]
    model: Option<PathBuf>,
    /// Timed runs of each figure
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Weights of 8 bits, on the CPU
    #[arg(long)]
    int8: bool,
    /// A line of JSON for each task, on made-up pictures and texts of full length
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

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.device {
        Some(Processor::Cpu) => measure_on(DeviceChoice::Cpu, &options),
        Some(Processor::Gpu) => measure_on(DeviceChoice::Gpu, &options),
        None => measure_on(DeviceChoice::Cpu, &options).map(|()| {
            if let Err(error) = measure_on(DeviceChoice::Gpu, &options) {
                eprintln!("bench: nothing measured on a GPU: {error}");
            }
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints all figures of one device. A process can open its GPU once only.
fn measure_on(choice: DeviceChoice, options: &Options) -> Result<(), Box<dyn Error>> {
    let opened = block_on(open_device(choice, |why| {
        eprintln!("bench: the GPU was lost ({why})");
    }))?;
    let imitated = opened.info.gpu && is_imitation(&opened.info.name);
    let runs = options
        .runs
        .unwrap_or(if imitated { RUNS_IMITATED } else { RUNS });

    let packing = WeightPrecision::from_int8(options.int8);
    let mut engine = match options.model.as_deref() {
        None => block_on(load(&Bundled, opened, packing))?,
        Some(path) => block_on(load(&Folder::new(path)?, opened, packing))?,
    };
    block_on(engine.warm_up())?;
    if options.json {
        return Ok(print_json(&engine, runs)?);
    }

    let files = samples()?;
    let pixels = (files.iter())
        .map(|file| Ok(engine.pixels(&decode(file)?)))
        .collect::<Result<Vec<_>, PreprocessError>>()?;
    let batch: Vec<Vec<f32>> = pixels.iter().cycle().take(BATCH).cloned().collect();
    // Tokens rather than texts: the engine knows a text the second time.
    let tokens = (LABELS.split_whitespace())
        .map(|label| Ok(engine.tokens(&format!("a photo of a {label}."))?.ids))
        .collect::<Result<Vec<_>, EngineError>>()?;

    let prepare = time(runs, || {
        for file in &files {
            black_box(engine.pixels(&decode(file)?));
        }
        Ok::<(), PreprocessError>(())
    })?;
    let single = time(runs, || {
        block_on(engine.image_features(&batch[..1])).map(drop)
    })?;
    let batched = time(runs, || block_on(engine.image_features(&batch)).map(drop))?;
    let texts = time(runs, || block_on(engine.token_features(&tokens)).map(drop))?;

    let (model, device) = (engine.model_info(), engine.device_info());
    // Of a path its end: where somebody keeps a model is nobody's business.
    let name = match options.model.as_deref().and_then(Path::file_name) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => model.name.clone(),
    };
    println!(
        "Model: {name}, {:.1} million parameters, pictures of {size} × {size}, texts of {} tokens.",
        model.parameters as f64 / 1e6,
        model.context_length,
        size = model.image_size,
    );
    println!("Device: {}.", device.name);
    if imitated {
        println!("**This is no GPU**: a program on the CPU imitates one, so there are few runs.");
    }
    println!("\n| | median | fastest | slowest | runs |\n| --- | --: | --: | --: | --: |");
    row("decode and prepare a picture", prepare, files.len());
    row("encode a picture, alone", single, 1);
    row(
        &format!("encode a picture, {BATCH} at once"),
        batched,
        BATCH,
    );
    row(
        &format!("encode {} prompts, together", tokens.len()),
        texts,
        1,
    );
    Ok(())
}

/// Times and features of [`Engine::measure`], one task after the other.
fn print_json(engine: &Engine, runs: u32) -> Result<(), EngineError> {
    let start = Instant::now();
    let now = || start.elapsed().as_secs_f64() * 1e3;
    for (images, texts) in [(1, 0), (BATCH, 0), (0, TEXTS)] {
        block_on(engine.measure(images, texts, UNTIMED as usize, now))?;
        let measured = block_on(engine.measure(images, texts, runs as usize, now))?;
        let device = &engine.device_info().name;
        let line = serde_json::json!({
            "device": device, "images": images, "texts": texts, "measured": measured,
        });
        println!("{line}");
    }
    Ok(())
}

async fn load(
    files: &impl ModelFiles,
    opened: OpenedDevice,
    packing: WeightPrecision,
) -> Result<Engine, EngineError> {
    let bundle = hub::open(files, None).await?;
    Engine::load(files, bundle, opened, packing, &mut |_| ()).await
}

/// The files of the page's sample pictures.
fn samples() -> io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples");
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "png" || extension == "jpg")
    });
    paths.sort();
    if paths.is_empty() {
        return Err(io::Error::other("there are no pictures in assets/samples"));
    }
    paths.iter().map(fs::read).collect()
}

/// By the names that such programs go by; the engine does not tell the kind of adapter.
fn is_imitation(device: &str) -> bool {
    ["llvmpipe", "lavapipe", "SwiftShader", "Basic Render Driver"]
        .iter()
        .any(|name| device.contains(name))
}

/// Milliseconds of each run.
fn time<E>(runs: u32, mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    for _ in 0..UNTIMED {
        work()?;
    }
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

/// Prints a row of the table; `share` things were done in each run.
fn row(what: &str, mut times: Vec<f64>, share: usize) {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    let median = match times.len() % 2 {
        0 => (times[middle - 1] + times[middle]) / 2.0,
        _ => times[middle],
    };
    let [median, fastest, slowest] =
        [median, times[0], times[times.len() - 1]].map(|time| milliseconds(time / share as f64));
    println!(
        "| {what} | {median} | {fastest} | {slowest} | {} |",
        times.len()
    );
}

fn milliseconds(time: f64) -> String {
    match time {
        ..10.0 => format!("{time:.2} ms"),
        ..100.0 => format!("{time:.1} ms"),
        _ => format!("{time:.0} ms"),
    }
}
