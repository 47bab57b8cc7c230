//! Training by gradients: against what open_clip and PyTorch computed
//! (`tests/golden/`), and against itself in other ways.

use std::fs;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use clip::model::{Clip, ClipConfig, WeightPrecision};
use clip::train::{
    AdamWHyperParameters, Batch, FrozenPrefix, Gradients, Lora, PeftFiles, Sampler, Target,
    TrainError, TrainMode, TrainOptions, TrainableParams, Trainer, Unfreeze, WarmupCosine,
    load_peft, loss_and_gradients, merge_lora, save_peft,
};
use clip::weights::{KeyMap, Precision, load, save};
use pollster::block_on;
use serde::Deserialize;

use common::{config_of, golden, pixels};

mod common;

const VIT: &str = "openclip-quick-f32";
const RESNET: &str = "openclip-resnet-f16";

fn model(name: &str, device: &Device) -> (Clip, ClipConfig) {
    let folder = golden("models").join(name);
    let config = config_of(name);
    let weights = (["model.safetensors", "open_clip_model.safetensors"].iter())
        .find_map(|file| fs::read(folder.join(file)).ok())
        .unwrap();
    let model = load(&config, &weights, device).unwrap();
    (model, config)
}

/// Pairs whose texts all differ.
fn batch(count: usize, config: &ClipConfig) -> Batch {
    let text = |n: usize| {
        let vocabulary = config.text.vocab_size as u32;
        let length = 1 + n % 8;
        let word = |k: usize| (37 * (k + 1) * (n + 3)) as u32 % (vocabulary - 4) + 1;
        let mut ids = vec![vocabulary - 2];
        ids.extend((0..length).map(word));
        ids.push(vocabulary - 1);
        (ids, length + 1)
    };
    Batch {
        pixels: pixels(count, config.vision.image_size()),
        texts: (0..count).map(text).collect(),
        captions: (0..count as u64).collect(),
        prefix: None,
        false_negatives: Vec::new(),
    }
}

/// Some of a batch's pairs.
fn some(batch: &Batch, indices: &[usize]) -> Batch {
    Batch {
        pixels: indices.iter().map(|i| batch.pixels[*i].clone()).collect(),
        texts: indices.iter().map(|i| batch.texts[*i].clone()).collect(),
        captions: indices.iter().map(|i| batch.captions[*i]).collect(),
        prefix: None,
        false_negatives: Vec::new(),
    }
}

fn options(method: TrainMode) -> TrainOptions {
    TrainOptions {
        method,
        schedule: WarmupCosine {
            learning_rate: 1e-3,
            warmup_steps: 2,
            steps: 40,
        },
        optimizer: AdamWHyperParameters {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: 0.2,
        },
        clip_norm: Some(1.0),
        micro_batch: 64,
        gradient_checkpointing: false,
        seed: 3,
    }
}

fn trainer(name: &str, options: TrainOptions) -> Trainer {
    let (model, config) = model(name, &Device::flex());
    Trainer::new(model, config, options).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// Every parameter and statistic by path.
fn parameters(model: &Clip) -> Vec<(String, Vec<f32>)> {
    #[derive(Default)]
    struct All(Vec<String>, Vec<(String, Vec<f32>)>);
    impl ModuleVisitor for All {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.join("."), values(param.val().inner())));
        }
    }
    let mut all = All::default();
    model.visit(&mut all);
    all.1
}

/// Names of parameters that differ between two models of one shape.
fn changed(before: &Clip, after: &Clip) -> Vec<String> {
    let pairs = parameters(before).into_iter().zip(parameters(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((path, _), _)| path)
        .collect()
}

fn farthest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let distances = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    distances.fold(0.0, f32::max)
}

fn features(model: &Clip, batch: &Batch, size: usize) -> [Vec<f32>; 2] {
    let device = model.logit_scale.val().device();
    let pixels = TensorData::new(batch.pixels.concat(), [batch.len(), 3, size, size]);
    let images = model.image_features(Tensor::from_data(pixels, &device));
    let texts = model.encode_texts(&batch.texts, &device);
    [values(images), values(texts)]
}

mod reference {
    use super::*;

    #[derive(Deserialize)]
    struct Expected {
        model: String,
        beta1: f32,
        beta2: f32,
        epsilon: f32,
        weight_decay: f32,
        learning_rate: f64,
        warmup_steps: usize,
        steps: usize,
        clip_norm: f64,
        /// Where the run starts, if not at the model's own.
        logit_scale: Option<f32>,
        /// Which of the pictures, for each of the tokens.
        pictures: Vec<usize>,
        tokens: Vec<Vec<u32>>,
        losses: Vec<f32>,
        scales: Vec<f32>,
        gradient_norms: Vec<f32>,
    }

    fn file(name: &str, ending: &str) -> Vec<u8> {
        fs::read(golden("training").join(format!("{name}{ending}"))).unwrap()
    }

    fn norm(values: impl Iterator<Item = f32>) -> f32 {
        values.map(|value| value * value).sum::<f32>().sqrt()
    }

    /// How far a run is from the reference's, in units of what rounding explains: below 1
    /// it agrees. `change` alters the options before.
    fn distance(name: &str, change: impl Fn(&mut TrainOptions)) -> f32 {
        let expected: Expected = serde_json::from_slice(&file(name, ".json")).unwrap();
        let mut options = options(TrainMode::Full(TrainableParams::ALL));
        options.schedule = WarmupCosine {
            learning_rate: expected.learning_rate,
            warmup_steps: expected.warmup_steps,
            steps: expected.steps,
        };
        options.optimizer = AdamWHyperParameters {
            beta1: expected.beta1,
            beta2: expected.beta2,
            epsilon: expected.epsilon,
            weight_decay: expected.weight_decay,
        };
        options.clip_norm = Some(expected.clip_norm);
        change(&mut options);
        let device = Device::flex();
        let (mut start, config) = model(&expected.model, &device);
        if let Some(scale) = expected.logit_scale {
            start.logit_scale = Param::from_tensor(Tensor::from_floats([scale], &device));
        }
        let mut trainer = Trainer::new(start.clone(), config.clone(), options).unwrap();
        let all = pixels(8, config.vision.image_size());
        let ends = |ids: &Vec<u32>| config.text.pool_index(ids);
        let batch = Batch {
            pixels: expected.pictures.iter().map(|i| all[*i].clone()).collect(),
            texts: (expected.tokens.iter())
                .map(|ids| (ids.clone(), ends(ids)))
                .collect(),
            captions: (0..expected.tokens.len() as u64).collect(),
            prefix: None,
            false_negatives: Vec::new(),
        };
        let mut apart: Vec<(String, f32)> = Vec::new();
        let parameters_of = |ending: &str| {
            let model = load(&config, &file(name, ending), &device).unwrap();
            parameters(&model)
        };
        // At the cap of the temperature every rounding is multiplied by 100: two steps.
        let steps = match expected.logit_scale {
            Some(_) => 2,
            None => expected.losses.len(),
        };
        for step in 0..steps {
            let report = block_on(trainer.step(&batch)).unwrap();
            let (loss, norm) = (expected.losses[step], expected.gradient_norms[step]);
            let mut note = |what: &str, found: f32, expected: f32, tolerance: f32| {
                let what = format!("{what} of step {step}");
                apart.push((what, (found - expected).abs() / tolerance));
            };
            // Later steps carry the rounding of the first ones with them.
            let relative = if step == 0 { 1e-5 } else { 1e-4 };
            if expected.logit_scale.is_none() || step == 0 {
                note("loss", report.loss, loss, relative * loss.max(1.0));
                note("norm", report.gradient_norm, norm, 1e-3 * norm);
            }
            note("scale", report.scale, expected.scales[step], 1e-4);
            if step == 0 && expected.logit_scale.is_none() {
                let found = parameters(&trainer.model());
                for ((path, found), (_, after)) in found.iter().zip(parameters_of(".safetensors")) {
                    apart.push((path.clone(), farthest(found, &after) / 1e-4));
                }
            }
        }
        if expected.logit_scale.is_none() {
            let ending = format!("-{steps}.safetensors");
            let (before, after) = (parameters(&start), parameters_of(&ending));
            let found = parameters(&trainer.model());
            // Of the whole way, the share that is off.
            let ways = || before.iter().zip(&found).zip(&after);
            let [off, way] = [true, false].map(|off| {
                norm(ways().flat_map(|((before, found), after)| {
                    (before.1.iter().zip(&found.1).zip(&after.1)).map(
                        move |((before, found), after)| match off {
                            true => found - after,
                            false => before - after,
                        },
                    )
                }))
            });
            apart.push(("the whole way".into(), off / way / 2e-3));
            // Embeddings of tokens that no text has know nothing but the weight decay.
            let width = config.text.width;
            let unused = (0..config.text.vocab_size)
                .find(|id| {
                    !expected
                        .tokens
                        .iter()
                        .flatten()
                        .any(|used| *used == *id as u32)
                })
                .unwrap();
            let row = |all: &[(String, Vec<f32>)]| {
                let path = "text.token_embedding.weight";
                let (_, values) = all.iter().find(|(p, _)| p == path).unwrap();
                values[unused * width..][..width].to_vec()
            };
            let [before, found, after] = [row(&before), row(&found), row(&after)];
            let off = norm(found.iter().zip(&after).map(|(a, b)| a - b));
            let way = norm(before.iter().zip(&after).map(|(a, b)| a - b));
            apart.push(("the decay".into(), off / way / 1e-2));
        }
        let (what, farthest) = (apart.into_iter())
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        eprintln!("{name}: {what} is farthest, {farthest}");
        farthest
    }

    #[test]
    fn steps_of_a_vit_are_open_clips() {
        assert!(distance("vit", |_| ()) < 1.0);
    }

    #[test]
    fn steps_of_a_resnet_are_open_clips_with_its_statistics() {
        assert!(distance("resnet", |_| ()) < 1.0);
    }

    #[test]
    fn the_temperature_is_capped_as_open_clips() {
        assert!(distance("capped", |_| ()) < 1.0);
        let expected: Expected = serde_json::from_slice(&file("capped", ".json")).unwrap();
        // It wanted to rise further than to the cap: a missing one would show.
        let risen = expected.logit_scale.unwrap() + 0.5 * expected.learning_rate as f32;
        assert!((expected.scales[1] - 100.0).abs() < 1e-4);
        assert!(risen.exp() - 100.0 > 1e-2);
    }

    /// Each constant of the recipe, changed a little, is told from the right one.
    #[test]
    fn the_steps_tell_every_constant_of_the_recipe() {
        type Change = fn(&mut TrainOptions);
        let changes: [(&str, Change); 9] = [
            ("beta1", |o| o.optimizer.beta1 = 0.89),
            ("beta2", |o| o.optimizer.beta2 = 0.97),
            ("epsilon", |o| o.optimizer.epsilon = 1e-5),
            ("weight decay", |o| o.optimizer.weight_decay = 0.15),
            ("learning rate", |o| o.schedule.learning_rate *= 1.02),
            ("warm-up", |o| o.schedule.warmup_steps = 3),
            ("steps", |o| o.schedule.steps = 11),
            ("clipping", |o| o.clip_norm = Some(4.4)),
            ("no clipping", |o| o.clip_norm = None),
        ];
        for (what, change) in changes {
            let distance = distance("vit", change);
            assert!(distance > 1.0, "{what}: {distance}");
        }
    }
}

/// Families other than CLIP's own.
mod families {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Deserialize)]
    struct Families {
        learning_rate: f64,
        warmup_steps: usize,
        steps: usize,
        weight_decay: f32,
        beta1: f32,
        beta2: f32,
        epsilon: f32,
        clip_norm: f64,
        runs: BTreeMap<String, Run>,
    }

    #[derive(Deserialize)]
    struct Run {
        tokens: Vec<Vec<u32>>,
        losses: Vec<f32>,
        scales: Vec<f32>,
        gradient_norms: Vec<f32>,
        /// Names of PEFT's tensors, if it knows the model.
        #[serde(default)]
        lora: Vec<String>,
    }

    fn expected() -> Families {
        let json = fs::read(golden("training/families.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn batch(run: &Run, config: &ClipConfig) -> Batch {
        let text = |ids: &Vec<u32>| {
            let ids = config.text.unmasked(ids);
            (ids.to_vec(), config.text.pool_index(ids))
        };
        Batch {
            pixels: pixels(run.tokens.len(), config.vision.image_size()),
            texts: run.tokens.iter().map(text).collect(),
            captions: (0..run.tokens.len() as u64).collect(),
            prefix: None,
            false_negatives: Vec::new(),
        }
    }

    fn options(method: TrainMode, from: &Families) -> TrainOptions {
        TrainOptions {
            schedule: WarmupCosine {
                learning_rate: from.learning_rate,
                warmup_steps: from.warmup_steps,
                steps: from.steps,
            },
            optimizer: AdamWHyperParameters {
                beta1: from.beta1,
                beta2: from.beta2,
                epsilon: from.epsilon,
                weight_decay: from.weight_decay,
            },
            clip_norm: Some(from.clip_norm),
            ..super::options(method)
        }
    }

    /// Losses, gradient norms and scales are those of the model's library and PyTorch; in parts of
    /// three pairs, too, and with checkpointing.
    #[test]
    fn steps_of_every_family_are_its_librarys() {
        let families = expected();
        for (name, run) in &families.runs {
            for (micro_batch, gradient_checkpointing) in [(64, false), (3, false), (64, true)] {
                let (model, config) = model(name, &Device::flex());
                let batch = batch(run, &config);
                let options = TrainOptions {
                    micro_batch,
                    gradient_checkpointing,
                    ..options(TrainMode::Full(TrainableParams::ALL), &families)
                };
                let mut trainer = Trainer::new(model, config, options).unwrap();
                for (step, loss) in run.losses.iter().enumerate() {
                    let report = block_on(trainer.step(&batch)).unwrap();
                    let of = format!("{name}, {micro_batch}, step {step}: {report:?}");
                    // Later steps carry the rounding of the first ones with them.
                    let relative = if step == 0 { 1e-5 } else { 1e-3 };
                    assert!((report.loss - loss).abs() < relative * loss, "{of}, {loss}");
                    let norm = run.gradient_norms[step];
                    let off = (report.gradient_norm - norm).abs();
                    assert!(off < 10.0 * relative * norm, "{of}, {norm}");
                    assert!((report.scale - run.scales[step]).abs() < 1e-3, "{of}");
                }
            }
        }
    }

    #[test]
    fn an_adapter_of_every_family_is_kept_under_its_librarys_names() {
        let families = expected();
        for (name, run) in &families.runs {
            let lora = Lora {
                targets: Target::ALL.to_vec(),
                ..Lora::default()
            };
            let (before, config) = model(name, &Device::flex());
            let batch = batch(run, &config);
            let options = options(TrainMode::Lora(lora), &families);
            let mut trainer = Trainer::new(before.clone(), config.clone(), options).unwrap();
            let mut losses = Vec::new();
            for _ in 0..4 {
                losses.push(block_on(trainer.step(&batch)).unwrap().loss);
            }
            assert!(
                (losses[0] - run.losses[0]).abs() < 1e-4 * losses[0],
                "{name}"
            );
            assert!(losses[3] < losses[0], "{name}: {losses:?}");
            let trained = trainer.model();
            let kept = block_on(save_peft(&trained, None)).unwrap();
            let again = load_peft(before.clone(), &kept).unwrap();
            assert_eq!(changed(&trained, &again), [""; 0]);
            let size = config.vision.image_size();
            let beside = features(&trained, &batch, size);
            for (a, b) in beside
                .iter()
                .zip(features(&merge_lora(again), &batch, size))
            {
                assert!(farthest(a, &b) < 1e-5, "{name}");
            }
            if !run.lora.is_empty() {
                let file = safetensors::SafeTensors::deserialize(&kept.weights).unwrap();
                let mut names = file.names();
                names.sort();
                assert_eq!(names, run.lora, "{name}");
            }
        }
    }

    /// EVA02's keys have no bias, for which its file has no place.
    #[test]
    fn a_trained_model_of_every_family_is_kept_whole() {
        let families = expected();
        for (name, run) in &families.runs {
            let (before, config) = model(name, &Device::flex());
            let batch = batch(run, &config);
            let options = options(TrainMode::Full(TrainableParams::ALL), &families);
            let mut trainer = Trainer::new(before, config.clone(), options).unwrap();
            for _ in 0..2 {
                block_on(trainer.step(&batch)).unwrap();
            }
            let trained = trainer.model();
            let names = KeyMap::open_clip(&config);
            let kept = block_on(save(&trained, &config, names, Precision::F32)).unwrap();
            let again = load(&config, &kept, &Device::flex()).unwrap();
            assert_eq!(changed(&trained, &again), [""; 0], "{name}");
        }
    }
}

mod gradients {
    use super::*;

    /// Largest difference of any gradient, relative to the longest of them.
    fn distance(model: &Clip, found: &Gradients, expected: &Gradients) -> f32 {
        let (mut apart, mut longest) = (0f32, 0f32);
        for (path, _) in parameters(model) {
            let (found, expected) = (found.get(&path), expected.get(&path));
            assert_eq!(found.is_some(), expected.is_some(), "{path}");
            if let (Some(found), Some(expected)) = (found, expected) {
                let (found, expected) = (values(found.clone()), values(expected.clone()));
                apart = apart.max(farthest(&found, &expected));
                longest = expected.iter().fold(longest, |l, e| l.max(e.abs()));
            }
        }
        apart / longest
    }

    /// Of the one large batch, and of that batch in parts of three.
    fn both_ways(name: &str, parts: TrainableParams) -> f32 {
        let (model, config) = model(name, &Device::flex());
        let trainer = Trainer::new(model, config.clone(), options(TrainMode::Full(parts))).unwrap();
        let (model, size) = (trainer.model().train(), config.vision.image_size());
        let model = match parts.batch_statistics {
            true => model,
            false => model.map(&mut Still),
        };
        let mut batch = batch(8, &config);
        batch.captions[5] = 2; // a caption that is there twice
        let (loss, whole) = loss_and_gradients(&model, &batch, size, 8);
        let (loss_of_parts, of_parts) = loss_and_gradients(&model, &batch, size, 3);
        assert!((values(loss)[0] - values(loss_of_parts)[0]).abs() < 1e-5);
        distance(&model, &of_parts, &whole)
    }

    /// Batch normalisation by the running statistics.
    struct Still;

    impl burn::module::ModuleMapper for Still {
        fn map_flag(&mut self, flag: Param<burn::module::Flag>) -> Param<burn::module::Flag> {
            flag.with_value(false)
        }
    }

    #[test]
    fn a_batch_in_parts_has_the_gradient_of_the_whole() {
        assert!(both_ways(VIT, TrainableParams::ALL) < 1e-4);
        let parts = TrainableParams {
            batch_statistics: false,
            ..TrainableParams::ALL
        };
        assert!(both_ways(RESNET, parts) < 1e-4);
    }

    #[test]
    fn statistics_are_noted_once_however_many_passes() {
        let (after, config) = {
            let mut options = options(TrainMode::Full(TrainableParams::ALL));
            options.micro_batch = 4;
            let mut trainer = trainer(RESNET, options);
            let config = trainer.config().clone();
            let batch = batch(8, &config);
            block_on(trainer.step(&batch)).unwrap();
            (trainer.model(), config)
        };
        // The stem's first statistics see nothing but pixels: noted for both
        // halves in turn they are known.
        let (before, _) = model(RESNET, &Device::flex());
        let running = |model: &Clip| {
            let path = "visual.ResNet.conv1.norm.running_mean";
            parameters(model)
                .into_iter()
                .find(|(p, _)| p == path)
                .unwrap()
                .1
        };
        let half = |from: usize| {
            let batch = some(&batch(8, &config), &[from, from + 1, from + 2, from + 3]);
            let (model, config) = model(RESNET, &Device::flex());
            let mut trainer = Trainer::new(
                model,
                config,
                options(TrainMode::Full(TrainableParams::ALL)),
            )
            .unwrap();
            let start = running(&trainer.model());
            block_on(trainer.step(&batch)).unwrap();
            let end = running(&trainer.model());
            // 0.9 start + 0.1 mean
            let mean = end.iter().zip(start).map(|(e, s)| (e - 0.9 * s) / 0.1);
            mean.collect::<Vec<f32>>()
        };
        let expected: Vec<f32> = (running(&before).iter().zip(half(0)).zip(half(4)))
            .map(|((start, first), second)| 0.9 * (0.9 * start + 0.1 * first) + 0.1 * second)
            .collect();
        assert!(farthest(&running(&after), &expected) < 1e-5);
    }

    /// Steps with what the frozen part made of the images are those with the images.
    #[test]
    fn a_frozen_part_is_computed_once() {
        let frozen = |image| {
            TrainMode::Full(TrainableParams {
                image,
                ..TrainableParams::ALL
            })
        };
        let lora = TrainMode::Lora(Lora::default());
        let texts = TrainMode::Lora(Lora {
            image: false,
            ..Lora::default()
        });
        use FrozenPrefix::{Tower, Trunk};
        for (name, method, prefix) in [
            (RESNET, lora.clone(), Some(Trunk)),
            (RESNET, frozen(Unfreeze::LastBlocks(0)), Some(Trunk)),
            (RESNET, frozen(Unfreeze::Frozen), Some(Tower)),
            (RESNET, frozen(Unfreeze::LastBlocks(1)), None),
            (VIT, lora, None),
            (VIT, frozen(Unfreeze::LastBlocks(0)), None),
            (VIT, texts, Some(Tower)),
            (VIT, frozen(Unfreeze::Frozen), Some(Tower)),
        ] {
            for micro_batch in [64, 3] {
                let mut options = options(method.clone());
                options.micro_batch = micro_batch;
                let [mut whole, mut cut] = [(); 2].map(|()| trainer(name, options.clone()));
                let config = whole.config().clone();
                assert_eq!(
                    FrozenPrefix::of(&config, &method),
                    prefix,
                    "{name} {method:?}"
                );
                let Some(prefix) = prefix else { continue };
                let batch = batch(8, &config);
                let outputs = block_on(cut.encode_prefix(prefix, &batch.pixels)).unwrap();
                assert_eq!(outputs[0].len(), prefix.output_len(&config));
                let after = Batch {
                    pixels: outputs,
                    prefix: Some(prefix),
                    ..batch.clone()
                };
                for _ in 0..3 {
                    let [a, b] = [(&mut whole, &batch), (&mut cut, &after)]
                        .map(|(trainer, batch)| block_on(trainer.step(batch)).unwrap());
                    assert!(
                        (a.loss - b.loss).abs() < 1e-5 * a.loss,
                        "{name}: {a:?} {b:?}"
                    );
                    let off = (a.gradient_norm - b.gradient_norm).abs();
                    assert!(off < 1e-4 * a.gradient_norm, "{name}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn checkpointing_changes_nothing_but_memory() {
        for name in [VIT, RESNET] {
            let losses = |gradient_checkpointing| {
                let mut options = options(TrainMode::Full(TrainableParams::ALL));
                options.gradient_checkpointing = gradient_checkpointing;
                options.micro_batch = 3;
                let mut trainer = trainer(name, options);
                let batch = batch(6, trainer.config());
                (0..4)
                    .map(|_| block_on(trainer.step(&batch)).unwrap().loss)
                    .collect::<Vec<f32>>()
            };
            assert!(farthest(&losses(true), &losses(false)) < 1e-4, "{name}");
        }
    }

    #[test]
    fn batches_that_cannot_teach_are_refused() {
        let mut trainer = trainer(VIT, options(TrainMode::Full(TrainableParams::ALL)));
        let good = batch(4, trainer.config());
        let mut refused = |change: &dyn Fn(&mut Batch)| {
            let mut batch = good.clone();
            change(&mut batch);
            block_on(trainer.step(&batch)).unwrap_err()
        };
        let one = refused(&|batch| batch.captions.fill(1));
        assert!(matches!(one, TrainError::NoNegatives(1)));
        assert!(matches!(
            refused(&|b| *b = Batch::default()),
            TrainError::NoNegatives(0)
        ));
        for change in [
            &(|b: &mut Batch| b.texts.truncate(1)) as &dyn Fn(&mut Batch),
            &|b| b.pixels[0].truncate(1),
            &|b| b.texts[0].1 = 99,
        ] {
            assert!(matches!(refused(change), TrainError::Batch(_)));
        }
    }
}

mod resuming {
    use super::*;

    /// Losses of eight steps, unbroken, and with a break after five.
    fn goes_on(name: &str, method: TrainMode, break_at: usize) {
        let mut options = options(method);
        options.micro_batch = 3;
        let (before, config) = model(name, &Device::flex());
        let all = batch(12, &config);
        let step = |trainer: &mut Trainer, sampler: &mut Sampler| {
            let batch = some(&all, &sampler.draw().indices);
            block_on(trainer.step(&batch)).unwrap().loss
        };
        let mut trainer = Trainer::new(before.clone(), config.clone(), options).unwrap();
        let mut sampler = Sampler::new(all.len(), 5, 11);
        let mut state = Vec::new();
        let unbroken: Vec<f32> = (0..8)
            .map(|n| {
                if n == break_at {
                    state = block_on(trainer.state(Some(&sampler))).unwrap();
                }
                step(&mut trainer, &mut sampler)
            })
            .collect();
        let (mut again, sampler) = Trainer::resume(before, config, &state).unwrap();
        let mut sampler = sampler.unwrap();
        assert_eq!(again.steps(), break_at);
        let resumed: Vec<f32> = (break_at..8)
            .map(|_| step(&mut again, &mut sampler))
            .collect();
        assert_eq!(resumed, unbroken[break_at..], "{name}");
        assert_eq!(changed(&trainer.model(), &again.model()), [""; 0]);
    }

    #[test]
    fn a_resumed_run_has_the_same_losses() {
        goes_on(VIT, TrainMode::Full(TrainableParams::ALL), 5);
        goes_on(RESNET, TrainMode::Full(TrainableParams::ALL), 5);
        goes_on(VIT, TrainMode::Lora(Lora::default()), 5);
        goes_on(VIT, TrainMode::Lora(Lora::default()), 0);
        let parts = TrainableParams {
            image: Unfreeze::Frozen,
            ..TrainableParams::ALL
        };
        goes_on(RESNET, TrainMode::Full(parts), 1);
    }

    #[test]
    fn other_states_are_refused_in_words() {
        let (vit, config) = model(VIT, &Device::flex());
        let trainer = trainer(RESNET, options(TrainMode::Full(TrainableParams::ALL)));
        let state = block_on(trainer.state(None)).unwrap();
        let refused = |state: &[u8]| match Trainer::resume(vit.clone(), config.clone(), state) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("taken"),
        };
        assert!(refused(&state).contains("`visual.Vit"));
        assert!(refused(&state[..state.len() / 2]).contains("cannot be loaded"));
        let weights = block_on(save(&vit, &config, KeyMap::OpenClip, Precision::F32)).unwrap();
        assert!(refused(&weights).contains("not written by this program"));

        // Sizes that the file does not have are not made.
        let trainer = self::trainer(VIT, options(TrainMode::Lora(Lora::default())));
        let state = block_on(trainer.state(None)).unwrap();
        for rank in ["9", "1000000000", "18446744073709551615"] {
            let length = u64::from_le_bytes(state[..8].try_into().unwrap()) as usize;
            let (header, rest) = state[8..].split_at(length);
            let header = std::str::from_utf8(header).unwrap();
            let with_rank = header.replace(r#"\"rank\":8"#, &format!(r#"\"rank\":{rank}"#));
            assert_ne!(with_rank, header);
            let length = (with_rank.len() as u64).to_le_bytes();
            let changed = [&length[..], with_rank.as_bytes(), rest].concat();
            assert!(refused(&changed).contains(&format!("a LoRA of rank {rank} is not in it")));
        }
    }
}

mod parts {
    use super::*;

    fn learned(name: &str, method: TrainMode) -> Vec<String> {
        let mut trainer = trainer(name, options(method));
        let before = trainer.model();
        let batch = batch(6, trainer.config());
        for _ in 0..2 {
            block_on(trainer.step(&batch)).unwrap();
        }
        changed(&before, &trainer.model())
    }

    const NOTHING: TrainableParams = TrainableParams {
        image: Unfreeze::Frozen,
        text: Unfreeze::Frozen,
        temperature: false,
        batch_statistics: true,
    };

    #[test]
    fn what_is_frozen_stays() {
        let locked = learned(
            VIT,
            TrainMode::Full(TrainableParams {
                text: Unfreeze::All,
                ..NOTHING
            }),
        );
        assert!(locked.iter().all(|path| path.starts_with("text.")));
        assert!(
            locked
                .iter()
                .any(|path| path == "text.token_embedding.weight")
        );

        let last = learned(
            VIT,
            TrainMode::Full(TrainableParams {
                image: Unfreeze::LastBlocks(1),
                temperature: true,
                ..NOTHING
            }),
        );
        let learns = |path: &String| {
            ["transformer.resblocks.1", "ln_post", "proj"]
                .iter()
                .any(|part| path.starts_with(&format!("visual.Vit.{part}")))
                || path == "logit_scale"
        };
        assert!(last.iter().all(learns), "{last:?}");
        assert!(last.len() > 10);

        // Statistics of frozen stages stay, too.
        let pool = learned(
            RESNET,
            TrainMode::Full(TrainableParams {
                image: Unfreeze::LastBlocks(1),
                ..NOTHING
            }),
        );
        let learns = |path: &String| {
            path.starts_with("visual.ResNet.layer4") || path.starts_with("visual.ResNet.attnpool")
        };
        assert!(pool.iter().all(learns), "{pool:?}");
        assert!(pool.iter().any(|path| path.ends_with("running_var")));
    }

    #[test]
    fn everything_learns_where_nothing_is_frozen() {
        for name in [VIT, RESNET] {
            let (model, _) = model(name, &Device::flex());
            let all = parameters(&model).len();
            assert_eq!(
                learned(name, TrainMode::Full(TrainableParams::ALL)).len(),
                all
            );
        }
    }

    #[test]
    fn nothing_to_train_is_said() {
        let (model, config) = model(VIT, &Device::flex());
        let error = Trainer::new(model, config, options(TrainMode::Full(NOTHING))).err();
        assert!(matches!(error, Some(TrainError::NothingToTrain)));
    }

    #[test]
    fn lora_leaves_the_weights_alone() {
        for name in [VIT, RESNET] {
            let learned = learned(name, TrainMode::Lora(Lora::default()));
            assert!(learned.iter().all(|path| path.contains(".lora.")));
            assert!(learned.len() > 4, "{learned:?}");
        }
    }
}

mod lora {
    use super::*;

    fn trained(name: &str, lora: Lora) -> (Trainer, Batch) {
        let mut trainer = trainer(name, options(TrainMode::Lora(lora)));
        let batch = batch(6, trainer.config());
        let losses: Vec<f32> = (0..6)
            .map(|_| block_on(trainer.step(&batch)).unwrap().loss)
            .collect();
        assert!(losses[5] < losses[0], "{losses:?}");
        (trainer, batch)
    }

    #[test]
    fn it_changes_nothing_before_it_learns() {
        let (plain, config) = model(VIT, &Device::flex());
        let with = Lora::default().attach(plain.clone(), 1).unwrap();
        let (batch, size) = (batch(3, &config), config.vision.image_size());
        assert_eq!(
            features(&plain, &batch, size),
            features(&with, &batch, size)
        );
    }

    #[test]
    fn merged_it_does_the_same() {
        for name in [VIT, RESNET] {
            let lora = Lora {
                targets: Target::ALL.to_vec(),
                ..Lora::default()
            };
            let (trainer, batch) = trained(name, lora);
            let size = trainer.config().vision.image_size();
            let beside = features(&trainer.model(), &batch, size);
            let (before, _) = model(name, &Device::flex());
            let merged = merge_lora(trainer.model());
            assert_eq!(parameters(&merged).len(), parameters(&before).len());
            for model in [merged, trainer.model().pack(WeightPrecision::AsStored)] {
                for (a, b) in beside.iter().zip(features(&model, &batch, size)) {
                    assert!(farthest(a, &b) < 1e-5);
                }
            }
            for (a, b) in beside.iter().zip(features(&before, &batch, size)) {
                assert!(farthest(a, &b) > 1e-4);
            }
        }
    }
}

mod peft {
    use super::*;

    #[derive(Deserialize)]
    struct Expected {
        model: String,
        tokens: Vec<Vec<u32>>,
        image_features: Vec<Vec<f32>>,
        text_features: Vec<Vec<f32>>,
    }

    fn files() -> PeftFiles {
        let read = |name: &str| fs::read(golden("training/peft").join(name)).unwrap();
        PeftFiles {
            config: read("adapter_config.json"),
            weights: read("adapter_model.safetensors"),
        }
    }

    fn tensors(files: &PeftFiles) -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let file = safetensors::SafeTensors::deserialize(&files.weights).unwrap();
        let mut tensors: Vec<_> = (file.iter())
            .map(|(name, view)| (name.into(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        tensors.sort();
        tensors
    }

    #[test]
    fn an_adapter_of_peft_does_what_it_does_there() {
        let expected = fs::read(golden("training/peft/expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&expected).unwrap();
        let (plain, config) = model(&expected.model, &Device::flex());
        let model = load_peft(plain, &files()).unwrap();
        let size = config.vision.image_size();
        let ends = |ids: &Vec<u32>| config.text.pool_index(ids);
        let texts = (expected.tokens.iter()).map(|ids| (ids.clone(), ends(ids)));
        let batch = Batch {
            pixels: pixels(3, size),
            texts: texts.collect(),
            captions: vec![0, 1, 2],
            prefix: None,
            false_negatives: Vec::new(),
        };
        let [images, texts] = features(&model, &batch, size);
        assert!(farthest(&images, &expected.image_features.concat()) < 1e-4);
        assert!(farthest(&texts, &expected.text_features.concat()) < 1e-4);

        // And back, number for number.
        let saved = block_on(save_peft(&model, Some("a base"))).unwrap();
        assert_eq!(tensors(&saved), tensors(&files()));
        let config: serde_json::Value = serde_json::from_slice(&saved.config).unwrap();
        assert_eq!(config["peft_type"], "LORA");
        assert_eq!(
            (&config["r"], &config["lora_alpha"]),
            (&3.into(), &5.0.into())
        );
        assert_eq!(config["base_model_name_or_path"], "a base");
    }

    #[test]
    fn a_trained_adapter_is_kept_and_goes_on() {
        for name in [VIT, RESNET] {
            let mut first = trainer(name, options(TrainMode::Lora(Lora::default())));
            let config = first.config().clone();
            let batch = batch(6, &config);
            block_on(first.step(&batch)).unwrap();
            let kept = block_on(save_peft(&first.model(), None)).unwrap();
            let (plain, _) = model(name, &Device::flex());
            let again = load_peft(plain, &kept).unwrap();
            assert_eq!(changed(&first.model(), &again), [""; 0]);
            let options = options(TrainMode::Lora(Lora::default()));
            let mut second = Trainer::with_adapter(again, config, options).unwrap();
            let loss = block_on(second.step(&batch)).unwrap().loss;
            assert_eq!(loss, block_on(first.step(&batch)).unwrap().loss);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let (plain, _) = model("hf-legacy-eos-f32", &Device::flex());
        let refused = |model: &Clip, change: &dyn Fn(&mut serde_json::Value)| {
            let mut files = files();
            let mut config = serde_json::from_slice(&files.config).unwrap();
            change(&mut config);
            files.config = serde_json::to_vec(&config).unwrap();
            load_peft(model.clone(), &files).unwrap_err().to_string()
        };
        assert!(refused(&plain, &|c| c["use_dora"] = true.into()).contains("DoRA"));
        assert!(refused(&plain, &|c| c["bias"] = "all".into()).contains("biases"));
        assert!(refused(&plain, &|c| c["peft_type"] = "IA3".into()).contains("not a LoRA"));
        let (resnet, _) = model(RESNET, &Device::flex());
        assert!(refused(&resnet, &|_| ()).contains("no layer for"));
        let (other, _) = model("openclip-gelu-f16", &Device::flex());
        assert!(refused(&other, &|_| ()).contains("does not fit"));
        let mut cut = files();
        cut.weights.truncate(500);
        assert!(load_peft(plain.clone(), &cut).is_err());
        // An empty matrix of any length.
        let mut empty = files();
        let length = u64::from_le_bytes(empty.weights[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value =
            serde_json::from_slice(&empty.weights[8..8 + length]).unwrap();
        let mut names = header.as_object().unwrap().keys();
        let name = names.find(|name| name.contains("lora_A")).unwrap();
        let empty_matrix = serde_json::json!({
            "dtype": "F32", "shape": [0, 1u64 << 60], "data_offsets": [0, 0]
        });
        let header = serde_json::json!({ name.as_str(): empty_matrix }).to_string();
        empty.weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let error = load_peft(plain.clone(), &empty).unwrap_err().to_string();
        assert!(error.contains("is empty"), "{error}");
        assert!(block_on(save_peft(&plain, None)).is_err());
    }
}

/// On whatever GPU there is; a software one will do.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_learns_as_the_cpu_does() {
    use clip::engine::messages::DeviceChoice;
    use clip::engine::open_device;
    let opened = match block_on(open_device(DeviceChoice::Gpu, |_| ())) {
        Ok(opened) => opened,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let full = TrainMode::Full(TrainableParams::ALL);
    for (name, method) in [
        (Some(VIT), full.clone()),
        (Some(VIT), TrainMode::Lora(Lora::default())),
        (Some("siglip-f32"), full.clone()),
        (Some("eva02-f32"), full.clone()),
        (Some("pe-core-f32"), TrainMode::Lora(Lora::default())),
        (Some("chinese-clip-f32"), full.clone()),
        // A ResNet that knows something. In a random one units stand at the edge
        // of their ReLU, and rounding decides on which side.
        (None, full),
    ] {
        let losses = |device: &Device| {
            let (model, config) = match name {
                Some(name) => model(name, device),
                None => bundled(device),
            };
            let mut batch = batch(8, &config);
            batch.pixels = waves(8, config.vision.image_size());
            let mut options = options(method.clone());
            // Where the loss falls steeply, rounding grows from step to step.
            options.schedule.learning_rate = match name {
                Some(_) => 3e-5,
                None => 3e-6,
            };
            let mut trainer = Trainer::new(model, config, options).unwrap();
            (0..20)
                .map(|_| block_on(trainer.step(&batch)).unwrap().loss)
                .collect::<Vec<f32>>()
        };
        let (gpu, cpu) = (losses(&opened.device), losses(&Device::flex()));
        let distance = farthest(&gpu, &cpu);
        eprintln!("{name:?}: {distance}");
        assert!(distance < 1e-3, "{name:?}: {gpu:?} {cpu:?}");
        assert!(cpu[19] < cpu[0], "{cpu:?}");
    }
}

#[cfg(feature = "gpu")]
fn bundled(device: &Device) -> (Clip, ClipConfig) {
    use clip::hub::{self, Bundled, ModelFiles};
    block_on(async {
        let bundle = hub::open(&Bundled, None).await.unwrap();
        let weights = Bundled.read(&bundle.weights[0]).await.unwrap().unwrap();
        let model = load(&bundle.config, &weights, device).unwrap();
        (model, bundle.config)
    })
}

/// Pictures without edges.
#[cfg(feature = "gpu")]
fn waves(count: usize, size: usize) -> Vec<Vec<f32>> {
    let value = |n: usize, i: usize| {
        let (channel, row, column) = (i / (size * size), i / size % size, i % size);
        let phase = (n + 1) as f32 * row as f32 * 0.05 + (column * (channel + 1)) as f32 * 0.07;
        2.0 * phase.sin() - 1.0
    };
    (0..count)
        .map(|n| (0..3 * size * size).map(|i| value(n, i)).collect())
        .collect()
}
