//! How fast a GPU is, and whether it computes correctly:
//!
//! ```sh
//! cargo bench --bench gpu -- [--tasks vit-b-32,rn50,…] [--kernels chosen,direct,…] [--batches 1,8,64]
//! ```
//!
//! Models with random weights, since times do not depend on them. Each task with each choice of
//! kernels is a process of its own with a time limit: what fails or hangs is told, and the others
//! go on. `benches/gpu.py` measures the same in PyTorch.
//!
//! - *alone*: from the input on the GPU to the features in memory, one batch at a time;
//! - *in a row*: batches that follow each other without waiting, by which TFLOP/s are counted;
//! - *farthest*: greatest difference of the normalised features from the CPU's.
//!
//! A training step is the whole of `clip pretrain`'s: pixels to the GPU, both encoders there and
//! back, clipping, AdamW.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, open_device};
use clip::hub::{self, Bundled, Folder};
use clip::model::{
    Clip, ClipConfig, ParamMapper, ResNetConfig, TextConfig, TokenBatch, VisionConfig, VitConfig,
    WeightPrecision, map_params, read_back,
};
use clip::ops::{KernelChoice, MatmulKernel, choose_kernels};
use clip::train::{Lora, RECIPES, TrainMode, TrainOptions, TrainableParams, Trainer, WarmupCosine};
use cubecl::logging::{LaunchObservation, LaunchObserver, TimingRequest};
use cubecl::profile::ProfileDuration;
use half::f16;
use pollster::block_on;
use serde::Deserialize;
use serde_json::{Value, json};

use common::pairs;

mod common;
#[path = "../tests/common/mod.rs"]
mod golden;

/// Untimed runs before those that count: they compile kernels and find room.
const WARM_UP: usize = 3;
/// Timed runs of a figure at most.
const RUNS: usize = 30;
/// Kernels in the list of the costliest.
const COSTLIEST: usize = 8;

#[derive(Parser)]
struct Options {
    /// What to measure
    #[arg(long, value_delimiter = ',', default_values = ["vit-b-32", "vit-l-14", "rn50", "texts", "training"])]
    tasks: Vec<Task>,
    /// Images at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    batches: Vec<usize>,
    /// Texts at once
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64])]
    texts: Vec<usize>,
    /// Pairs of a training step
    #[arg(long, default_value_t = 256)]
    pairs: usize,
    /// Kernels: `chosen` for those that fit the GPU, or `direct`, `shared`, `sliced`, `by-size` or
    /// `tensor`, with `+queries` for attention with its query in registers; `+f16` stores weights in
    /// 16 bits
    #[arg(long, value_delimiter = ',', default_values = ["chosen"])]
    kernels: Vec<String>,
    /// Seconds for each figure, about
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds after which a task is stopped
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Time every kernel of the largest batch
    #[arg(long)]
    profile: bool,
    /// Compare the features of two images or texts with the CPU's
    #[arg(long)]
    check: bool,
    /// Compare the features of the golden models in this folder with the reference's
    #[arg(long)]
    golden: Option<PathBuf>,
    /// File for one line of JSON for each figure
    #[arg(long)]
    json: Option<PathBuf>,
    /// Task of this process, whose figures are lines of JSON.
    #[arg(long, hide = true)]
    child: bool,
    /// Cargo says this to every benchmark.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    #[value(name = "vit-b-32")]
    VitB32,
    #[value(name = "vit-l-14")]
    VitL14,
    Rn50,
    /// The text encoder of ViT-B/32.
    Texts,
    /// Training steps of the bundled model's size.
    Training,
    /// The same of a LoRA.
    Lora,
    /// Training steps of a ViT-B/32 with the text encoder of the paper.
    TrainingVit,
    /// The bundled model's image encoder, to try the benchmark out.
    Bundled,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::VitB32 => "vit-b-32",
            Self::VitL14 => "vit-l-14",
            Self::Rn50 => "rn50",
            Self::Texts => "texts",
            Self::Training => "training",
            Self::Lora => "lora",
            Self::TrainingVit => "training-vit",
            Self::Bundled => "bundled",
        }
    }

    /// The model, whose other encoder is made small where it is not used.
    fn config(self) -> Result<ClipConfig, Box<dyn Error>> {
        let mut config = match self {
            Self::VitB32 | Self::Texts | Self::TrainingVit => common::vit_b_32()?,
            Self::VitL14 => common::vit_l_14()?,
            Self::Rn50 => common::rn50()?,
            Self::Training | Self::Lora | Self::Bundled => {
                block_on(hub::open(&Bundled, None))?.config
            }
        };
        match (self, &mut config.vision) {
            (Self::Training | Self::Lora | Self::TrainingVit, _) => {}
            (Self::Texts, VisionConfig::Vit(vision)) => vision.layers = 1,
            _ => config.text.layers = 1,
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match (options.child, &options.golden) {
        (true, Some(folder)) => compare_golden(folder),
        (true, None) => measure(&options),
        (false, _) => run_all(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every task in a process of its own and prints what they say as Markdown.
fn run_all(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut file = options.json.as_ref().map(File::create).transpose()?;
    let mut tell = |line: &Value| -> Result<(), Box<dyn Error>> {
        if let Some(file) = &mut file {
            writeln!(file, "{line}")?;
        }
        Ok(())
    };
    let limit = Duration::from_secs(options.limit);
    if let Some(folder) = &options.golden {
        let arguments = ["--golden".into(), folder.display().to_string()];
        println!("| golden model | farthest image | farthest text |\n| --- | --: | --: |");
        let end = run(&arguments, limit, |line| {
            let [image, text] = ["image", "text"].map(|of| line[of].as_f64().unwrap_or(f64::NAN));
            let name = line["golden"].as_str().unwrap_or_default();
            println!("| {name} | {image:.1e} | {text:.1e} |");
            tell(&line)
        })?;
        println!("{end}");
        return Ok(());
    }
    println!(
        "| | kernels | batch | alone | in a row | TFLOP/s | launches | farthest |\n| --- | --- | --: | --: | --: | --: | --: | --: |"
    );
    let mut profiles = Vec::new();
    for task in &options.tasks {
        for kernels in &options.kernels {
            let mut arguments = vec![
                format!("--tasks={}", task.name()),
                format!("--kernels={kernels}"),
                format!("--batches={}", join(&options.batches)),
                format!("--texts={}", join(&options.texts)),
                format!("--pairs={}", options.pairs),
                format!("--seconds={}", options.seconds),
            ];
            arguments.extend(options.profile.then(|| "--profile".to_owned()));
            arguments.extend(options.check.then(|| "--check".to_owned()));
            let end = run(&arguments, limit, |line| {
                tell(&line)?;
                match line.get("kernels_ms") {
                    Some(_) => profiles.push(line),
                    None => print_row(&line),
                }
                Ok(())
            })?;
            if !end.is_empty() {
                println!("| {} | {kernels} | {end} | | | | | |", task.name());
                tell(&json!({"task": task.name(), "kernels": kernels, "failed": end}))?;
            }
        }
    }
    profiles.iter().for_each(print_profile);
    Ok(())
}

fn join(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(",")
}

/// Runs this program with `arguments`, for at most `limit`, and passes on the lines that it
/// says. Returns what went wrong, or nothing.
fn run(
    arguments: &[String],
    limit: Duration,
    mut tell: impl FnMut(Value) -> Result<(), Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--child")
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take().ok_or("no output")?;
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + limit;
    let timed_out = loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(line) => tell(line)?,
                Err(_) => eprintln!("{line}"),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
    };
    if timed_out {
        child.kill()?;
    }
    let status = child.wait()?;
    drop(receiver);
    // Only a grandchild could keep the pipe open.
    let _ = reader.join();
    Ok(match (timed_out, status.success()) {
        (true, _) => format!("stopped after {} s", limit.as_secs()),
        (false, true) => String::new(),
        (false, false) => format!("failed, {status}"),
    })
}

fn print_row(line: &Value) {
    let number = |name: &str| line[name].as_f64();
    let milliseconds = |name| number(name).map_or(String::new(), |time| format!("{time:.2} ms"));
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        line["task"].as_str().unwrap_or_default(),
        line["kernels"].as_str().unwrap_or_default(),
        line["batch"],
        milliseconds("alone_ms"),
        milliseconds("row_ms"),
        number("tflops").map_or(String::new(), |tera| format!("{tera:.2}")),
        line["launches"]
            .as_u64()
            .map_or(String::new(), |n| n.to_string()),
        line.get("farthest").map_or(String::new(), |off| {
            // JSON has no infinity.
            format!("{:.1e}", off.as_f64().unwrap_or(f64::INFINITY))
        }),
    );
}

fn print_profile(line: &Value) {
    println!(
        "\n{}, {}, batch {}, timed by the {}: {:.2} ms of kernels\n\n| kernel | launches | ms |\n| --- | --: | --: |",
        line["task"].as_str().unwrap_or_default(),
        line["kernels"].as_str().unwrap_or_default(),
        line["batch"],
        line["clock"].as_str().unwrap_or_default(),
        line["total_ms"].as_f64().unwrap_or(f64::NAN),
    );
    for kernel in line["kernels_ms"]
        .as_array()
        .into_iter()
        .flatten()
        .take(COSTLIEST)
    {
        println!(
            "| {} | {} | {:.3} |",
            kernel[0].as_str().unwrap_or_default(),
            kernel[1],
            kernel[2].as_f64().unwrap_or(f64::NAN)
        );
    }
}

/// The one task of this process.
fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let task = *options.tasks.first().ok_or("no task")?;
    let kernels = options.kernels.first().ok_or("no kernels")?;
    let choice = kernel_choice(kernels)?;
    let short = kernels.split('+').any(|part| part == "f16");
    let opened = block_on(open_device(DeviceChoice::Gpu, |why| {
        eprintln!("bench: the GPU was lost ({why})");
    }))?;
    let gpu = opened.device;
    let config = task.config()?;
    if let Some(choice) = choice {
        choose_kernels(choice);
    }
    let say = |mut line: Value| {
        line["task"] = task.name().into();
        line["kernels"] = kernels.as_str().into();
        line["device"] = opened.info.name.as_str().into();
        println!("{line}");
    };
    let trained = match task {
        Task::Training | Task::TrainingVit => Some(TrainMode::Full(TrainableParams::ALL)),
        Task::Lora => Some(TrainMode::Lora(Lora::default())),
        _ => None,
    };
    if let Some(method) = trained {
        return measure_training(options, config, method, &gpu, say);
    }

    let cpu = Device::flex();
    clip::ops::seed(0);
    let model = Clip::init(&config, &cpu);
    let on_gpu = match short {
        false => model.clone().to_device(&gpu),
        true => map_params(model.clone(), &mut Halved(&gpu)).to_device(&gpu),
    };
    let on_gpu = on_gpu.valid().pack(WeightPrecision::AsStored);
    let batches = match task {
        Task::Texts => &options.texts,
        _ => &options.batches,
    };
    if options.check {
        let input = Input::new(task, &config, 2);
        let [found, expected] = [(&on_gpu, &gpu), (&model.valid(), &cpu)]
            .map(|(model, device)| block_on(read_back(input.on(device).features(model))));
        let (found, expected) = (found?, expected?);
        say(json!({"batch": 2, "farthest": farthest(&found, &expected)}));
    }
    for &batch in batches {
        let input = Input::new(task, &config, batch).on(&gpu);
        let forward = || input.features(&on_gpu);
        let read = |features| block_on(read_back::<2>(features)).map(drop);
        for _ in 0..WARM_UP {
            read(forward())?;
        }
        let counted = Launches::of(TimingRequest::None, || read(forward()))?;
        let launches = counted.launched;
        let mut times = Vec::new();
        let start = Instant::now();
        while times.is_empty()
            || times.len() < RUNS && start.elapsed().as_secs_f64() < options.seconds / 2.0
        {
            let start = Instant::now();
            read(forward())?;
            times.push(start.elapsed().as_secs_f64());
        }
        let alone = median(times);
        let row = ((options.seconds / 2.0 / alone) as usize).clamp(1, RUNS);
        let start = Instant::now();
        let mut last = None;
        for _ in 0..row {
            last = Some(forward());
        }
        last.map(read).transpose()?;
        let in_a_row = start.elapsed().as_secs_f64() / row as f64;
        let operations = match task {
            Task::Texts => text_operations(&config.text, config.embed_dim),
            _ => image_operations(&config.vision, config.embed_dim),
        };
        say(json!({
            "batch": batch,
            "alone_ms": 1e3 * alone,
            "row_ms": 1e3 * in_a_row,
            "tflops": operations * batch as f64 / in_a_row / 1e12,
            "gflop": operations * batch as f64 / 1e9,
            "launches": launches,
        }));
    }
    if let (true, Some(&batch)) = (options.profile, batches.iter().max()) {
        let input = Input::new(task, &config, batch).on(&gpu);
        let forward = || block_on(read_back(input.features(&on_gpu))).map(drop);
        say(profile(batch, forward)?);
    }
    Ok(())
}

/// What `--kernels` names; `None` for what was chosen when the GPU was opened.
fn kernel_choice(text: &str) -> Result<Option<KernelChoice>, String> {
    let mut choice = KernelChoice::ANY;
    for part in text.split('+') {
        match part {
            "chosen" => return Ok(None),
            "direct" => choice.matmul = MatmulKernel::Direct,
            "shared" => choice.matmul = MatmulKernel::Shared,
            "sliced" => choice.matmul = MatmulKernel::Sliced,
            "by-size" => choice.matmul = MatmulKernel::BySize,
            "tensor" => choice.matmul = MatmulKernel::Tensor,
            "queries" => choice.queries_in_registers = true,
            "f16" => {}
            _ => return Err(format!("no kernels are called '{part}'")),
        }
    }
    Ok(Some(choice))
}

/// Stores the matrices of linear layers and the token embedding in f16, on a device.
struct Halved<'a>(&'a Device);

impl ParamMapper for Halved<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D != 2 || !path.ends_with("weight") {
            return param;
        }
        let values = param.val().into_data();
        let shape = values.shape().clone();
        let values: Vec<f16> = values.iter::<f32>().map(f16::from_f32).collect();
        let values = TensorData::new(values, shape);
        Param::from_tensor(Tensor::from_data(values, (self.0, DType::F16)))
    }
}

/// Made-up input of a task.
enum Input {
    /// `[batch, 3, image_size, image_size]`
    Images(TensorData),
    /// Token ids of full length, and the index of the last one.
    Texts(Vec<(Vec<u32>, usize)>),
}

/// [`Input`] on a device.
enum Placed {
    Images(Tensor<4>),
    Texts(TokenBatch),
}

impl Input {
    fn new(task: Task, config: &ClipConfig, batch: usize) -> Self {
        match task {
            Task::Texts => Self::Texts(pairs(batch, config).texts),
            _ => {
                let size = config.vision.image_size();
                let pixels = golden::formula(batch * 3 * size * size);
                Self::Images(TensorData::new(pixels, [batch, 3, size, size]))
            }
        }
    }

    fn on(&self, device: &Device) -> Placed {
        match self {
            Self::Images(pixels) => Placed::Images(Tensor::from_data(pixels.clone(), device)),
            Self::Texts(texts) => Placed::Texts(TokenBatch::new(texts, true, device)),
        }
    }
}

impl Placed {
    fn features(&self, model: &Clip) -> Tensor<2> {
        match self {
            Self::Images(images) => model.image_features(images.clone()),
            Self::Texts(tokens) => model.text_features(tokens.clone()),
        }
    }
}

fn measure_training(
    options: &Options,
    config: ClipConfig,
    method: TrainMode,
    gpu: &Device,
    say: impl Fn(Value),
) -> Result<(), Box<dyn Error>> {
    let operations = 3.0
        * options.pairs as f64
        * (image_operations(&config.vision, config.embed_dim)
            + text_operations(&config.text, config.embed_dim));
    let batch = pairs(options.pairs, &config);
    let recipe = &RECIPES[0];
    let settings = TrainOptions {
        method,
        schedule: WarmupCosine {
            learning_rate: recipe.learning_rate,
            warmup_steps: recipe.warmup_steps,
            steps: 100_000,
        },
        optimizer: recipe.optimizer,
        clip_norm: Some(1.0),
        micro_batch: options.pairs,
        gradient_checkpointing: false,
        seed: 0,
    };
    let mut trainer = Trainer::new(Clip::init(&config, gpu), config, settings)?;
    let mut losses = Vec::new();
    for _ in 0..WARM_UP {
        losses.push(block_on(trainer.step(&batch))?.loss);
    }
    let counted = Launches::of(TimingRequest::None, || {
        block_on(trainer.step(&batch)).map(drop)
    })?;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || times.len() < RUNS && start.elapsed().as_secs_f64() < options.seconds
    {
        let report = block_on(trainer.step(&batch))?;
        losses.push(report.loss);
        times.push(report.milliseconds / 1e3);
    }
    // A step begins with what the one before left the GPU to do.
    let step = median(times);
    say(json!({
        "batch": options.pairs,
        "row_ms": 1e3 * step,
        "tflops": operations / step / 1e12,
        "gflop": operations / 1e9,
        "launches": counted.launched,
        "losses": losses,
    }));
    if options.profile {
        let line = profile(options.pairs, || block_on(trainer.step(&batch)).map(drop))?;
        say(line);
    }
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Kernels that are launched while it is installed.
struct Launches {
    request: TimingRequest,
    kernels: Mutex<(usize, Vec<(&'static str, ProfileDuration)>)>,
}

/// Result of [`Launches::of`].
struct Launched {
    launched: usize,
    timed: Vec<(&'static str, ProfileDuration)>,
}

impl Launches {
    fn of<E>(request: TimingRequest, work: impl FnOnce() -> Result<(), E>) -> Result<Launched, E> {
        let launches = Arc::new(Self {
            request,
            kernels: Mutex::default(),
        });
        let observation = LaunchObservation::new(launches.clone());
        let result = work();
        drop(observation);
        let kernels = &mut *(launches.kernels.lock()).unwrap_or_else(PoisonError::into_inner);
        let (launched, timed) = std::mem::take(kernels);
        result.map(|()| Launched { launched, timed })
    }
}

impl LaunchObserver for Launches {
    fn launched(&self, _: &'static str) {
        (self.kernels.lock().unwrap_or_else(PoisonError::into_inner)).0 += 1;
    }

    fn timing(&self) -> TimingRequest {
        self.request
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.1.push((kernel, profile));
    }
}

/// Milliseconds of each kernel of `work`, by name, the costliest first; and one by one, in
/// their order.
fn profile<E>(batch: usize, work: impl FnOnce() -> Result<(), E>) -> Result<Value, E> {
    let launched = Launches::of(TimingRequest::Deferred, work)?;
    let mut clock = "GPU";
    let mut each = Vec::new();
    let mut kernels: HashMap<String, (usize, f64)> = HashMap::new();
    for (name, profile) in launched.timed {
        if format!("{:?}", profile.timing_method()).contains("System") {
            clock = "CPU";
        }
        let Some(ticks) = block_on(profile.resolve()) else {
            continue;
        };
        let time = 1e3 * ticks.duration().as_secs_f64();
        let name = short_name(name);
        let total = kernels.entry(name.clone()).or_default();
        *total = (total.0 + 1, total.1 + time);
        each.push(json!([name, time]));
    }
    let mut kernels: Vec<_> = kernels.into_iter().collect();
    kernels.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
    let total: f64 = kernels.iter().map(|(_, (_, time))| time).sum();
    let kernels: Vec<_> = (kernels.into_iter())
        .map(|(name, (count, time))| json!([name, count, time]))
        .collect();
    Ok(json!({
        "batch": batch, "clock": clock, "total_ms": total, "kernels_ms": kernels, "each_ms": each,
    }))
}

/// Type without its path and parameters.
fn short_name(name: &str) -> String {
    let name = name.split('<').next().unwrap_or_default();
    name.rsplit("::").next().unwrap_or_default().to_owned()
}

/// Operations of an image, as the configuration has them: two for each multiplication with its
/// addition in matmuls, convolutions and attention. What the library leaves out, such as the last
/// block's tokens that are not pooled, counts nevertheless.
fn image_operations(vision: &VisionConfig, embed_dim: usize) -> f64 {
    match vision {
        VisionConfig::Vit(vit) => {
            let VitConfig {
                width, patch_size, ..
            } = *vit;
            let embedding = vit.grid().pow(2) * 3 * patch_size.pow(2) * width;
            let blocks = blocks(vit.tokens(), width, vit.mlp_width, vit.layers);
            2.0 * (embedding + blocks + width * embed_dim) as f64
        }
        VisionConfig::ResNet(resnet) => 2.0 * resnet_products(resnet, embed_dim) as f64,
        // Not among this benchmark's models.
        VisionConfig::FastVit(_) => f64::NAN,
    }
}

fn text_operations(text: &TextConfig, embed_dim: usize) -> f64 {
    let blocks = blocks(text.context_length, text.width, text.mlp_width, text.layers);
    2.0 * (blocks + text.width * embed_dim) as f64
}

/// Multiplications of a transformer.
fn blocks(tokens: usize, width: usize, mlp_width: usize, layers: usize) -> usize {
    layers * tokens * (4 * width * width + 2 * width * mlp_width + 2 * tokens * width)
}

fn resnet_products(resnet: &ResNetConfig, embed_dim: usize) -> usize {
    let ResNetConfig {
        image_size, width, ..
    } = *resnet;
    let half = width / 2;
    let stem = (image_size / 2).pow(2) * 9 * (3 * half + half * half + half * width);
    let mut side = image_size / 4;
    let mut channels = width;
    let mut products = stem;
    for (stage, blocks) in resnet.layers.into_iter().enumerate() {
        let planes = width << stage;
        for block in 0..blocks {
            let strided = block == 0 && stage > 0;
            // The stride is an average pooling before the third convolution.
            products += side * side * (channels * planes + 9 * planes * planes);
            side /= if strided { 2 } else { 1 };
            products += side * side * 4 * planes * planes;
            if block == 0 {
                products += side * side * channels * 4 * planes;
            }
            channels = 4 * planes;
        }
    }
    let tokens = side * side + 1;
    products
        + 2 * tokens * channels * channels
        + channels * channels
        + 2 * tokens * channels
        + channels * embed_dim
}

/// What the golden models' references computed.
#[derive(Deserialize)]
struct Expected {
    image_shape: Vec<usize>,
    tokens: Vec<Vec<u32>>,
    image_features: Vec<Vec<f32>>,
    text_features: Vec<Vec<f32>>,
}

/// Features of the golden models on the GPU beside the reference's, a line of JSON for each.
/// Models that need more than their folder to be opened are left out.
fn compare_golden(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    folders.sort();
    for folder in folders {
        let Ok(expected) = fs::read(folder.join("expected.json")) else {
            continue;
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        match compare(&folder, &serde_json::from_slice(&expected)?) {
            Ok([image, text]) => {
                println!("{}", json!({"golden": name, "image": image, "text": text}));
            }
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
    Ok(())
}

fn compare(folder: &Path, expected: &Expected) -> Result<[f32; 2], Box<dyn Error>> {
    let files = Folder::new(folder)?;
    let engine = block_on(async {
        let bundle = hub::open(&files, None).await?;
        let opened = open_device(DeviceChoice::Gpu, |_| ()).await?;
        let packing = WeightPrecision::AsStored;
        let engine = Engine::load(&files, bundle, opened, packing, &mut |_| ()).await?;
        Ok::<_, Box<dyn Error>>(engine)
    })?;
    let [count, _, size, _] = expected.image_shape[..] else {
        return Err("no shape of images".into());
    };
    let images = block_on(engine.image_features(&golden::pixels(count, size)))?;
    let texts = block_on(engine.token_features(&expected.tokens))?;
    Ok([
        farthest(&images.concat(), &expected.image_features.concat()),
        farthest(&texts.concat(), &expected.text_features.concat()),
    ])
}

/// Greatest difference; infinite where a number is none.
fn farthest(found: &[f32], expected: &[f32]) -> f32 {
    let pairs = found.iter().zip(expected);
    let differences = pairs.map(|(found, expected)| (found - expected).abs());
    differences.fold(0.0, |most: f32, off| match off.is_finite() {
        true => most.max(off),
        false => f32::INFINITY,
    })
}
