//! `clip pretrain`: contrastive pre-training, as used for the bundled model.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use clap::Args;
use clip::eval::{Accuracy, accuracy};
use clip::hub::{self, Folder};
use clip::model::{
    Activation, BUNDLED_NAME, Clip, ClipConfig, ResNetConfig, TextConfig, TextPooling, TokenBatch,
    VisionConfig, VitConfig, normalize,
};
use clip::preprocess::{PreprocessConfig, decode, preprocess};
use clip::tokenizer::{SpecialIds, Tokenizer};
use clip::train::{
    AdamWHyperParameters, Augment, Encode, EncodeError, ImageKind, LabelledImage, PretrainData,
    PretrainOptions, PretrainOrigin, SharedName, WarmupCosine, init_from_seed, pretrain,
    resize_positional_embedding,
};
use clip::weights::{KeyMap, Precision, save};

use crate::Failure;
use crate::output::write_file;

#[derive(Args)]
pub struct Pretrain {
    /// Folders written by scripts/drawings/fetch.py and scripts/photos/fetch.py
    #[arg(long, required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Tokenizer of the model; `tokenizer.json` in the first data folder by default
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// Output folder for the model, its training curve and its checkpoint
    #[arg(long)]
    out: PathBuf,
    /// Training steps
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// Image-text pairs per batch
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Warm-up steps
    #[arg(long, default_value_t = 60)]
    warmup_steps: usize,
    /// Weight decay
    #[arg(long, default_value_t = 0.1)]
    weight_decay: f32,
    /// Input size in pixels
    #[arg(long, default_value_t = 64)]
    image_size: usize,
    /// Size of the joint embedding
    #[arg(long, default_value_t = 192)]
    embed_dim: usize,
    /// Blocks of the image encoder: one number for a ViT, four for a ResNet
    #[arg(long, value_delimiter = ',', default_value = "1,1,1,1")]
    layers: Vec<usize>,
    /// Width of the image encoder
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// Patch size of a ViT
    #[arg(long, default_value_t = 16)]
    patch_size: usize,
    /// Width of the text encoder
    #[arg(long, default_value_t = 128)]
    text_width: usize,
    /// Blocks of the text encoder
    #[arg(long, default_value_t = 2)]
    text_layers: usize,
    /// Batches per step, each on its own thread
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Model folder to start from: the same architecture, at any image size
    #[arg(long, conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Resume the interrupted run in --out, with the same options except --steps
    #[arg(long)]
    resume: bool,
    /// Discard the run in --out and start over
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps between evaluations and checkpoints
    #[arg(long, default_value_t = 300)]
    every: usize,
}

/// Width of an attention head in both encoders.
const HEAD_WIDTH: usize = 64;
const CONTEXT_LENGTH: usize = 32;
const MEAN: [f32; 3] = [0.5; 3];
const STD: [f32; 3] = [0.25; 3];
/// Shows through where a drawing is empty.
const BACKGROUND: [u8; 3] = [255; 3];
const STATE: &str = "state.safetensors";

pub async fn run(arguments: &Pretrain) -> Result<(), Failure> {
    fs::create_dir_all(&arguments.out)?;
    let state_file = arguments.out.join(STATE);
    let curve_file = arguments.out.join("curve.csv");
    if arguments.resume && !state_file.exists() {
        let out = arguments.out.display();
        let why = match curve_file.exists() {
            true => "was interrupted before its first step",
            false => "is not there",
        };
        return Err(format!("the run in {out} {why}: start it again without --resume").into());
    }
    if state_file.exists() && !arguments.resume && !arguments.restart {
        return Err(format!(
            "{} holds the state of a run: add --resume to continue it, or --restart to discard it",
            arguments.out.display()
        )
        .into());
    }
    let tokenizer = match &arguments.tokenizer {
        Some(file) => file.clone(),
        None => arguments.data[0].join("tokenizer.json"),
    };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", tokenizer.display());
    let tokenizer_json = fs::read(&tokenizer).map_err(|error| named(&error))?;
    let tokenizer = Tokenizer::from_json(&tokenizer_json, CONTEXT_LENGTH, SpecialIds::default())
        .map_err(|error| named(&error))?;
    let config = config(arguments, tokenizer.vocabulary_size())?;
    let encode = |text: &str| -> Result<_, EncodeError> {
        let mut tokens = tokenizer.encode(text)?;
        tokens.ids.truncate(tokens.length);
        Ok((tokens.ids, tokens.length.saturating_sub(1)))
    };
    let train = PretrainData::open(&arguments.data, arguments.image_size)?;
    let held_out = HeldOut::open(&arguments.data, arguments.image_size)?;
    say!(
        "{} images of {} classes; held out: {}",
        train.image_count(),
        train.concept_count(),
        (held_out.iter())
            .map(|set| format!(
                "{} ({}, {} names)",
                set.name,
                set.truth.len(),
                set.labels.len()
            ))
            .collect::<Vec<_>>()
            .join(", ")
    )?;

    let options = PretrainOptions {
        augment: Augment {
            image_size: arguments.image_size,
            mean: MEAN,
            std: STD,
        },
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
    let state = match arguments.resume {
        true => Some(fs::read(&state_file).map_err(|error| {
            let file = state_file.display();
            format!("{file}: {error}")
        })?),
        false => None,
    };
    // A run that began from another model stays such a run.
    let mut origin = PretrainOrigin::new(&train, &options);
    if let Some(state) = &state {
        match PretrainOrigin::of_state(state)? {
            Some(known) => origin.beginner = known.beginner,
            None => tell!(
                "note: the run in {} was started by an earlier version, which did not keep what its \
                 data were: that these are the same is not checked",
                arguments.out.display()
            ),
        }
    }
    let sets: String = (held_out.iter())
        .map(|set| format!(",{0} top-1,{0} top-5,{0} among 10", set.name))
        .collect();
    let mut rows = format!("step,minutes,loss,logit_scale_exp,learning_rate{sets}\n");
    if let Some(state) = &state {
        let kept = fs::read_to_string(&curve_file).unwrap_or_default();
        rows = rows_until(&kept, PretrainOrigin::step_of_state(state)?).unwrap_or(rows);
    }
    if arguments.restart && state_file.exists() {
        fs::remove_file(&state_file)?;
    }
    write_file(&curve_file, rows.as_bytes())?;
    let mut curve = fs::OpenOptions::new().append(true).open(&curve_file)?;
    let start = Instant::now();
    let (mut sum, mut count, mut recent) = (0.0f32, 0, Vec::new());
    let mut failed = None;
    let model = match &arguments.from {
        None => init_from_seed(&config, arguments.seed, &Device::flex()),
        Some(folder) => {
            let files = Folder::new(folder)?;
            let bundle = hub::open(&files, None).await?;
            let loaded = hub::load(
                &files,
                &bundle,
                &Device::flex(),
                hub::LoadTarget::default(),
                &mut |_| (),
            )
            .await?;
            resize_positional_embedding(loaded.model, &config)
        }
    };
    let model = pretrain(
        model,
        &config,
        &train,
        &encode,
        &options,
        state.as_deref(),
        |progress, trainer| {
            (sum, count) = (sum + progress.loss, count + 1);
            let last = progress.step == arguments.steps;
            recent.push(progress.loss);
            if progress.step % 20 == 0 || last {
                // A long run does not end because no one can read about it.
                let _ = say!(
                    "step {} loss {:.4} scale {:.2} lr {:.6} {:.1} min",
                    progress.step,
                    recent.iter().sum::<f32>() / recent.len() as f32,
                    progress.scale,
                    progress.learning_rate,
                    start.elapsed().as_secs_f64() / 60.0
                );
                recent.clear();
            }
            // After the first step, too: a run that is killed soon can be resumed.
            let due = progress.step == 1 || progress.step % arguments.every == 0;
            if !due && !last {
                return true;
            }
            let mut keep = || -> Result<(), Failure> {
                let model = trainer.model();
                write(&arguments.out, &model, &config, &tokenizer_json)?;
                let mut row = format!(
                    "{},{:.2},{:.4},{:.3},{:.7}",
                    progress.step,
                    start.elapsed().as_secs_f64() / 60.0,
                    sum / count as f32,
                    progress.scale,
                    progress.learning_rate
                );
                for set in &held_out {
                    let found = set.evaluate(&model, &encode)?;
                    let percent =
                        [found.top_1, found.top_5, found.among_10].map(|share| 100.0 * share);
                    row.push_str(&format!(
                        ",{:.2},{:.2},{:.2}",
                        percent[0], percent[1], percent[2]
                    ));
                    let _ = say!(
                        "{:>16}: top-1 {:5.2} %, top-5 {:5.2} %, among 10 {:5.2} %",
                        set.name,
                        percent[0],
                        percent[1],
                        percent[2]
                    );
                }
                // The state last: a run that is killed before it comes to this row again.
                curve.write_all(format!("{row}\n").as_bytes())?;
                let state = pollster::block_on(trainer.pretraining_state(&origin))?;
                write_file(&state_file, &state)
            };
            let kept = keep();
            (sum, count) = (0.0, 0);
            failed = kept.err();
            failed.is_none()
        },
    )
    .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    write(&arguments.out, &model, &config, &tokenizer_json)
}

/// Header and rows of a curve up to a step; `None` for a file that is none. What a killed run
/// wrote after its last state comes again.
fn rows_until(curve: &str, step: usize) -> Option<String> {
    let (header, rows) = curve.split_once('\n')?;
    let kept = rows.split_inclusive('\n').filter(|row| {
        let at = row.split(',').next().and_then(|at| at.parse().ok());
        row.ends_with('\n') && at.is_some_and(|at: usize| at <= step)
    });
    Some(format!("{header}\n{}", kept.collect::<String>()))
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
            ..VitConfig::VIT_B_32
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
            causal: true,
            pooling: TextPooling::EndOfText,
            projection_bias: false,
            layer_scale: false,
            bert: None,
            projection_width: None,
        },
        logit_bias: false,
    };
    Ok(config.checked("the options")?)
}

/// transformers has no ResNets in its CLIP; OpenCLIP's files then.
fn weights_file(config: &ClipConfig) -> &'static str {
    match config.vision {
        VisionConfig::Vit(_) => "model.safetensors",
        VisionConfig::ResNet(_) | VisionConfig::FastVit(_) => "open_clip_model.safetensors",
    }
}

/// A model's folder, as transformers (ViT) or OpenCLIP (ResNet) opens it.
fn write(out: &Path, model: &Clip, config: &ClipConfig, tokenizer: &[u8]) -> Result<(), Failure> {
    let json = |value: &serde_json::Value| serde_json::to_vec_pretty(value);
    let size = config.vision.image_size();
    let key_map = match config.to_hugging_face() {
        Some(mut described) => {
            described["_name_or_path"] = BUNDLED_NAME.into();
            let preprocessor = serde_json::json!({
                "image_processor_type": "CLIPImageProcessor",
                "do_resize": true, "size": {"shortest_edge": size}, "resample": 3,
                "do_center_crop": true, "crop_size": {"height": size, "width": size},
                "do_rescale": true, "rescale_factor": 1.0 / 255.0,
                "do_normalize": true, "image_mean": MEAN, "image_std": STD,
                "do_convert_rgb": true,
                "background": BACKGROUND, // a key of our own
            });
            write_file(&out.join("config.json"), &json(&described)?)?;
            write_file(&out.join("preprocessor_config.json"), &json(&preprocessor)?)?;
            KeyMap::HuggingFace
        }
        None => {
            let model_cfg = config.to_open_clip();
            let model_cfg = model_cfg.ok_or("OpenCLIP has no model of these sizes")?;
            let described = serde_json::json!({
                "_name_or_path": BUNDLED_NAME,
                "model_cfg": model_cfg,
                "preprocess_cfg": {
                    "mean": MEAN, "std": STD,
                    "interpolation": "bicubic", "resize_mode": "shortest",
                    "background": BACKGROUND, // a key of our own
                },
            });
            write_file(&out.join(hub::OPEN_CLIP_CONFIG), &json(&described)?)?;
            KeyMap::OpenClip
        }
    };
    write_file(&out.join("tokenizer.json"), tokenizer)?;
    let weights = pollster::block_on(save(model, config, key_map, Precision::F16))?;
    write_file(&out.join(weights_file(config)), &weights)
}

/// Images that are not trained on, with the names that they are told apart by.
struct HeldOut {
    name: String,
    labels: Vec<String>,
    template: &'static str,
    size: usize,
    /// `[images, 3, size, size]`
    pixels: Vec<f32>,
    /// Index of each image's label.
    truth: Vec<usize>,
}

impl HeldOut {
    /// The sets in `held_out.jsonl` of every folder. Where there is a `names.json`, only what it names.
    fn open(folders: &[PathBuf], size: usize) -> Result<Vec<Self>, Failure> {
        let preprocessing = PreprocessConfig {
            mean: MEAN,
            std: STD,
            background: Some(BACKGROUND),
            ..PreprocessConfig::openai(size)
        };
        let mut sets: Vec<Self> = Vec::new();
        for folder in folders {
            let names = match folder.join("names.json").exists() {
                true => Some(SharedName::list(folder)?),
                false => None,
            };
            for image in LabelledImage::list(folder, "held_out.jsonl")? {
                let set = match sets.iter_mut().find(|set| set.name == image.style) {
                    Some(set) => set,
                    None => sets.push_mut(Self {
                        name: image.style.clone(),
                        labels: (names.iter().flatten())
                            .map(|name| name.name.clone())
                            .collect(),
                        template: match image.kind {
                            ImageKind::Drawing => "A drawing of a {label}.",
                            ImageKind::Photo => "A photo of a {label}.",
                        },
                        size,
                        pixels: Vec::new(),
                        truth: Vec::new(),
                    }),
                };
                let label = match &names {
                    Some(names) => names.iter().position(|name| name.concept == image.concept),
                    None => set
                        .labels
                        .iter()
                        .position(|label| *label == image.name)
                        .or_else(|| {
                            set.labels.push(image.name.clone());
                            Some(set.labels.len() - 1)
                        }),
                };
                let Some(label) = label else { continue };
                let path = folder.join(&image.image);
                let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let file = fs::read(&path).map_err(|error| named(&error))?;
                let picture = decode(&file).map_err(|error| named(&error))?;
                set.pixels.extend(preprocess(&picture, &preprocessing));
                set.truth.push(label);
            }
        }
        Ok(sets)
    }

    fn evaluate(&self, model: &Clip, encode: &Encode) -> Result<Accuracy, Failure> {
        const BATCH: usize = 128;
        let device = Device::flex();
        let rows = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>();
        let mut texts = Vec::new();
        for labels in self.labels.chunks(BATCH) {
            let tokens = (labels.iter())
                .map(|label| encode(&self.template.replace("{label}", label)))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| -> Failure { error })?;
            texts.push(model.text_features(TokenBatch::new(&tokens, true, &device)));
        }
        let texts = normalize(Tensor::cat(texts, 0)).transpose();
        let mut similarities = Vec::new();
        let image = 3 * self.size * self.size;
        for pixels in self.pixels.chunks(BATCH * image) {
            let shape = [pixels.len() / image, 3, self.size, self.size];
            let images = Tensor::from_data(TensorData::new(pixels.to_vec(), shape), &device);
            let found = normalize(model.image_features(images)).matmul(texts.clone());
            similarities.extend(rows(found).map_err(|error| format!("{error:?}"))?);
        }
        Ok(accuracy(&similarities, self.labels.len(), &self.truth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_on_at_the_state() {
        let curve = "step,loss\n10,3.5\n20,3.1\n30,2.";
        assert_eq!(
            rows_until(curve, 20).unwrap(),
            "step,loss\n10,3.5\n20,3.1\n"
        );
        assert_eq!(rows_until(curve, 19).unwrap(), "step,loss\n10,3.5\n");
        assert_eq!(
            rows_until(curve, 30).unwrap(),
            "step,loss\n10,3.5\n20,3.1\n"
        );
        assert_eq!(rows_until("step,lo", 30), None);
    }
}
