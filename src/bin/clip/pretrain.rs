//! `clip pretrain`: how the bundled model was made.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use clap::Args;
use clip::eval::{Accuracy, accuracy};
use clip::model::{
    Activation, Clip, ClipConfig, ResNetConfig, TextConfig, TokenBatch, VisionConfig, VitConfig,
    normalize,
};
use clip::train::{
    AdamWHyperParameters, Augment, Drawings, Encode, PretrainOptions, SharedName, WarmupCosine,
    fresh, pretrain,
};
use clip::weights::{Layout, Precision, load, save};

use crate::Failure;

#[derive(Args)]
pub struct Pretrain {
    /// Folder that scripts/drawings/fetch.py wrote
    #[arg(long)]
    data: PathBuf,
    /// Folder for the model, its curve and its settings
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    #[arg(long, default_value_t = 60)]
    warmup_steps: usize,
    #[arg(long, default_value_t = 0.1)]
    weight_decay: f32,
    #[arg(long, default_value_t = 64)]
    image_size: usize,
    #[arg(long, default_value_t = 192)]
    embed_dim: usize,
    /// Blocks of the image encoder: one number for a ViT, four for a ResNet
    #[arg(long, value_delimiter = ',', default_value = "1,1,1,1")]
    layers: Vec<usize>,
    /// Width of the image encoder
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// Of a ViT
    #[arg(long, default_value_t = 16)]
    patch_size: usize,
    #[arg(long, default_value_t = 128)]
    text_width: usize,
    #[arg(long, default_value_t = 2)]
    text_layers: usize,
    /// Batches of a step, each on a thread of its own
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Folder of a model to go on from, of the same shape
    #[arg(long)]
    from: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Measure and save every so many steps
    #[arg(long, default_value_t = 300)]
    every: usize,
}

/// Width of an attention head in both encoders.
const HEAD_WIDTH: usize = 64;
const NAME: &str = "clip-drawings";
const CONTEXT_LENGTH: usize = 32;
/// White paper is nothing: only ink is seen.
const MEAN: [f32; 3] = [1.0; 3];
const STD: [f32; 3] = [0.3; 3];

pub async fn run(arguments: &Pretrain) -> Result<(), Failure> {
    fs::create_dir_all(&arguments.out)?;
    let tokenizer_json = fs::read(arguments.data.join("tokenizer.json"))?;
    let tokenizer =
        tokenizers::Tokenizer::from_bytes(&tokenizer_json).map_err(|e| e.to_string())?;
    let config = config(arguments, tokenizer.get_vocab_size(true))?;
    let encode = |text: &str| {
        let encoding = tokenizer.encode(text, true).map_err(|e| e.to_string())?;
        let mut ids = encoding.get_ids().to_vec();
        let end = ids.last().copied().unwrap_or(0);
        ids.truncate(CONTEXT_LENGTH);
        if let Some(last) = ids.last_mut() {
            *last = end;
        }
        let last = ids.len() - 1;
        Ok((ids, last))
    };
    let augment = Augment {
        image_size: arguments.image_size,
        mean: MEAN,
        std: STD,
    };
    let train = Drawings::open(&arguments.data, "train.jsonl")?;
    let held_out = Drawings::open(&arguments.data, "held_out.jsonl")?;
    let names = Drawings::shared_names(&arguments.data)?;
    let exam = Exam::new(&held_out, &names, &augment);
    println!(
        "{} drawings of {} concepts; held out: {} drawings, {} names",
        train.drawings.len(),
        train.concept_count(),
        exam.truth.len(),
        names.len()
    );

    let options = PretrainOptions {
        batch_size: arguments.batch_size,
        schedule: WarmupCosine {
            learning_rate: arguments.learning_rate,
            warmup_steps: arguments.warmup_steps,
            steps: arguments.steps,
        },
        optimizer: AdamWHyperParameters {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: arguments.weight_decay,
        },
        replicas: arguments.replicas,
        beginner: arguments.from.is_none(),
        seed: arguments.seed,
    };
    let mut curve = fs::File::create(arguments.out.join("curve.csv"))?;
    writeln!(
        curve,
        "step,minutes,loss,logit_scale_exp,learning_rate,top_1,top_5,among_10"
    )?;
    let start = Instant::now();
    let (mut sum, mut count, mut recent) = (0.0f32, 0, Vec::new());
    let mut failed = None;
    let model = match &arguments.from {
        None => fresh(&config, arguments.seed, &Device::flex()),
        Some(folder) => {
            let weights = fs::read(folder.join(weights_file(&config)))?;
            load(&config, &weights, &Device::flex())?
        }
    };
    let model = pretrain(
        model,
        &config,
        &train,
        &augment,
        &encode,
        &options,
        |progress, trainer| {
            (sum, count) = (sum + progress.loss, count + 1);
            let last = progress.step == arguments.steps;
            recent.push(progress.loss);
            if progress.step % 20 == 0 || last {
                println!(
                    "step {} loss {:.4} scale {:.2} lr {:.6} {:.1} min",
                    progress.step,
                    recent.iter().sum::<f32>() / recent.len() as f32,
                    progress.scale,
                    progress.learning_rate,
                    start.elapsed().as_secs_f64() / 60.0
                );
                recent.clear();
            }
            if progress.step % arguments.every != 0 && !last {
                return;
            }
            let model = trainer.model();
            let measured = exam.sit(&model, &encode).and_then(|found| {
                writeln!(
                    curve,
                    "{},{:.2},{:.4},{:.3},{:.7},{:.4},{:.4},{:.4}",
                    progress.step,
                    start.elapsed().as_secs_f64() / 60.0,
                    sum / count as f32,
                    progress.scale,
                    progress.learning_rate,
                    found.top_1,
                    found.top_5,
                    found.among_10
                )?;
                println!("held out: {found:?}");
                write(&arguments.out, &model, &config, &tokenizer_json)
            });
            (sum, count) = (0.0, 0);
            if let Err(error) = measured {
                failed = Some(error);
            }
        },
    )
    .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    write(&arguments.out, &model, &config, &tokenizer_json)
}

fn config(arguments: &Pretrain, vocab_size: usize) -> Result<ClipConfig, Failure> {
    let (image_size, width) = (arguments.image_size, arguments.width);
    let vision = match *arguments.layers.as_slice() {
        [layers] => VisionConfig::Vit(VitConfig {
            image_size,
            patch_size: arguments.patch_size,
            width,
            layers,
            heads: width / HEAD_WIDTH,
            mlp_width: 4 * width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }),
        [a, b, c, d] => VisionConfig::ResNet(ResNetConfig {
            image_size,
            layers: [a, b, c, d],
            width,
            heads: width * 32 / HEAD_WIDTH,
        }),
        _ => return Err("--layers takes one number (a ViT) or four (a ResNet)".into()),
    };
    let config = ClipConfig {
        embed_dim: arguments.embed_dim,
        vision,
        text: TextConfig {
            vocab_size,
            context_length: CONTEXT_LENGTH,
            width: arguments.text_width,
            layers: arguments.text_layers,
            heads: arguments.text_width / HEAD_WIDTH,
            mlp_width: 4 * arguments.text_width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: Some(vocab_size as u32 - 1),
        },
    };
    Ok(config.checked("the options")?)
}

/// transformers has no ResNets in its CLIP; OpenCLIP's files then.
fn weights_file(config: &ClipConfig) -> &'static str {
    match config.vision {
        VisionConfig::Vit(_) => "model.safetensors",
        VisionConfig::ResNet(_) => "open_clip_model.safetensors",
    }
}

/// A model's folder, as transformers (ViT) or OpenCLIP (ResNet) opens it.
fn write(out: &Path, model: &Clip, config: &ClipConfig, tokenizer: &[u8]) -> Result<(), Failure> {
    let json = |value: &serde_json::Value| serde_json::to_vec_pretty(value);
    let size = config.vision.image_size();
    // Our own key: the colour that shows through where a drawing is empty.
    let background = [255, 255, 255];
    let layout = match config.to_hugging_face() {
        Some(mut described) => {
            described["_name_or_path"] = NAME.into();
            let preprocessor = serde_json::json!({
                "image_processor_type": "CLIPImageProcessor",
                "do_resize": true, "size": {"shortest_edge": size}, "resample": 3,
                "do_center_crop": true, "crop_size": {"height": size, "width": size},
                "do_rescale": true, "rescale_factor": 1.0 / 255.0,
                "do_normalize": true, "image_mean": MEAN, "image_std": STD,
                "do_convert_rgb": true,
                "background": background,
            });
            fs::write(out.join("config.json"), json(&described)?)?;
            fs::write(out.join("preprocessor_config.json"), json(&preprocessor)?)?;
            Layout::HuggingFace
        }
        None => {
            let described = serde_json::json!({
                "_name_or_path": NAME,
                "model_cfg": config.to_open_clip(),
                "preprocess_cfg": {
                    "mean": MEAN, "std": STD,
                    "interpolation": "bicubic", "resize_mode": "shortest",
                    "background": background,
                },
            });
            fs::write(out.join("open_clip_config.json"), json(&described)?)?;
            Layout::OpenClip
        }
    };
    fs::write(out.join("tokenizer.json"), tokenizer)?;
    let weights = pollster::block_on(save(model, config, layout, Precision::F16))?;
    fs::write(out.join(weights_file(config)), weights)?;
    Ok(())
}

/// The held-out style: one drawing for each shared name, and all names as classes.
struct Exam<'a> {
    names: &'a [SharedName],
    /// `[drawings, 3, size, size]`
    pixels: Vec<f32>,
    size: usize,
    truth: Vec<usize>,
}

impl<'a> Exam<'a> {
    fn new(drawings: &Drawings, names: &'a [SharedName], augment: &Augment) -> Self {
        let (mut pixels, mut truth) = (Vec::new(), Vec::new());
        for (drawing, sprite) in drawings.drawings.iter().zip(&drawings.sprites) {
            if let Some(class) = names.iter().position(|n| n.concept == drawing.concept) {
                pixels.extend(augment.plain(sprite));
                truth.push(class);
            }
        }
        Self {
            names,
            pixels,
            size: augment.image_size,
            truth,
        }
    }

    fn sit(&self, model: &Clip, encode: &Encode) -> Result<Accuracy, Failure> {
        const BATCH: usize = 128;
        let device = Device::flex();
        let rows = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>();
        let mut texts = Vec::new();
        for names in self.names.chunks(BATCH) {
            let tokens = (names.iter())
                .map(|name| encode(&format!("A drawing of a {}.", name.name)))
                .collect::<Result<Vec<_>, _>>()?;
            texts.push(model.text_features(TokenBatch::new(&tokens, &device)));
        }
        let texts = normalize(Tensor::cat(texts, 0)).transpose();
        let mut similarities = Vec::new();
        let image = 3 * self.size * self.size;
        for pixels in self.pixels.chunks(BATCH * image) {
            let shape = [pixels.len() / image, 3, self.size, self.size];
            let images = Tensor::from_data(TensorData::new(pixels.to_vec(), shape), &device);
            let found = model.image_features(images).matmul(texts.clone());
            similarities.extend(rows(found).map_err(|error| format!("{error:?}"))?);
        }
        Ok(accuracy(&similarities, self.names.len(), &self.truth))
    }
}
