//! The whole way from a model's folder to features and probabilities, against
//! what open_clip and transformers computed (`tests/golden/`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, EngineError, OpenedDevice, open_device};
use clip::hub::{self, Folder, HubError};
use clip::model::{
    Activation, Clip, ClipConfig, StoredPrecision, TokenBatch, VisionConfig, WeightPrecision,
    read_back,
};
use clip::preprocess::decode;
use clip::tokenizer::{SpecialIds, Tokenizer};
use clip::train::{
    AdamWHyperParameters, TrainError, TrainMode, TrainOptions, TrainableParams, Trainer,
    WarmupCosine,
};
use clip::weights::{
    CopyOptions, FileCopier, Header, HeaderReader, KeyMap, Loader, Precision, WeightsError, infer,
    load, save,
};
use clip::zero_shot;
use pollster::block_on;
use serde::Deserialize;

use common::{config_of, formula, golden, pixels};

mod common;

/// Normalised features on the CPU.
const CPU: f32 = 1e-4;
/// Normalised features on a GPU, and probabilities everywhere.
const GPU: f32 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    image_shape: Vec<usize>,
    /// What the tokens are of, if they are of a text.
    #[serde(default)]
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    image_features: Vec<Vec<f32>>,
    text_features: Vec<Vec<f32>>,
    logit_scale: f32,
    probabilities: Vec<Vec<f32>>,
    pictures: Vec<String>,
    picture_features: Vec<Vec<f32>>,
}

impl Expected {
    fn read(folder: &Path) -> Self {
        serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap()
    }

    /// The pictures as the script made them: a formula, no file.
    fn images(&self) -> Vec<Vec<f32>> {
        let [count, 3, height, width] = self.image_shape[..] else {
            panic!("no shape of images")
        };
        assert_eq!(height, width);
        pixels(count, height)
    }
}

fn open(folder: &Path, device: DeviceChoice) -> Engine {
    open_packed(folder, device, WeightPrecision::AsStored)
}

fn open_packed(folder: &Path, device: DeviceChoice, packing: WeightPrecision) -> Engine {
    let opened = block_on(open_device(device, |_| ())).unwrap();
    open_on(folder, opened, packing).unwrap()
}

fn open_on(
    folder: &Path,
    opened: OpenedDevice,
    packing: WeightPrecision,
) -> Result<Engine, EngineError> {
    block_on(async {
        let files = Folder::new(folder).unwrap();
        let bundle = hub::open(&files, None).await.unwrap();
        Engine::load(&files, bundle, opened, packing, &mut |_| ()).await
    })
}

fn farthest(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).flat_map(|(f, e)| {
        assert_eq!(f.len(), e.len());
        f.iter().zip(e)
    });
    pairs.map(|(f, e)| (f - e).abs()).fold(0.0, f32::max)
}

fn agrees(model: &str, device: DeviceChoice, tolerance: f32) {
    let opened = block_on(open_device(device, |_| ())).unwrap();
    agrees_on(model, opened, tolerance);
}

fn agrees_on(model: &str, opened: OpenedDevice, tolerance: f32) {
    let folder = golden("models").join(model);
    let expected = Expected::read(&folder);
    let engine = open_on(&folder, opened, WeightPrecision::AsStored).unwrap();

    let images = block_on(engine.image_features(&expected.images())).unwrap();
    let distance = farthest(&images, &expected.image_features);
    assert!(
        distance < tolerance,
        "{model}: image features differ by {distance}"
    );

    let texts = block_on(engine.token_features(&expected.tokens)).unwrap();
    let distance = farthest(&texts, &expected.text_features);
    assert!(
        distance < tolerance,
        "{model}: text features differ by {distance}"
    );

    assert!((engine.logit_scale() - expected.logit_scale).abs() < 1e-5);
    let labels: Vec<String> = (0..texts.len()).map(|i| i.to_string()).collect();
    for (image, expected) in images.iter().zip(&expected.probabilities) {
        for ranked in engine.rank(image, &labels, &texts) {
            let expected = expected[ranked.label.parse::<usize>().unwrap()];
            assert!(
                (ranked.probability - expected).abs() < GPU,
                "{model}: probabilities"
            );
        }
    }

    // From the picture's file on, with the folder's own preprocessing.
    let pixels: Vec<Vec<f32>> = (expected.pictures.iter())
        .map(|name| fs::read(golden("pictures").join(name)).unwrap())
        .map(|file| engine.pixels(&decode(&file).unwrap()))
        .collect();
    let found = block_on(engine.image_features(&pixels)).unwrap();
    // A pixel may differ by 1/255 where a JPEG decoder rounds otherwise.
    let distance = farthest(&found, &expected.picture_features);
    assert!(
        distance < 1e-2,
        "{model}: picture features differ by {distance}"
    );
}

/// With 8-bit weights the features point where those of the exact ones do, with a cosine of `least`.
fn nearly_agrees(folder: &Path, pictures: &[Vec<f32>], tokens: &[Vec<u32>], least: f32) {
    let [exact, int8] = [WeightPrecision::AsStored, WeightPrecision::Int8]
        .map(|packing| open_packed(folder, DeviceChoice::Cpu, packing));
    assert_eq!(int8.model_info().precision, "8-bit");
    let features = |engine: &Engine| {
        let images = block_on(engine.image_features(pictures)).unwrap();
        let texts = block_on(engine.token_features(tokens)).unwrap();
        [images, texts].concat()
    };
    for (found, expected) in features(&int8).iter().zip(features(&exact)) {
        let cosine: f32 = found.iter().zip(&expected).map(|(f, e)| f * e).sum();
        assert!(cosine > least, "{}: {cosine}", folder.display());
        assert_ne!(found, &expected, "nothing has 8 bits");
    }
}

/// Copy of a file of weights with less precise matrices, made in pieces as they come over a network.
fn copied(bytes: &[u8], precision: StoredPrecision) -> Vec<u8> {
    let options = CopyOptions {
        precision,
        omit_table: false,
    };
    let mut copier = FileCopier::new(bytes.len() as u64, options);
    let mut copy = Vec::new();
    for piece in bytes.chunks(1001) {
        copier.push(piece, &mut copy).unwrap();
    }
    assert_eq!(copy.len() as u64, copier.layout().unwrap().copy_bytes());
    assert!(copy.len() < bytes.len(), "it has no matrix for that");
    copy
}

/// Farthest that a feature of an f16 copy may be from the exact one.
const F16_COPY: f32 = 1e-3;

/// The same of an int8 copy.
const INT8_COPY: f32 = 2e-2;

#[test]
fn an_f16_copy_of_f32_weights_has_nearly_the_same_features() {
    has_nearly_the_same_features(StoredPrecision::F16, F16_COPY);
}

#[test]
fn so_has_an_int8_copy() {
    has_nearly_the_same_features(StoredPrecision::Int8, INT8_COPY);
}

fn has_nearly_the_same_features(precision: StoredPrecision, tolerance: f32) {
    for model in [
        "chinese-clip-f32",
        "hf-legacy-eos-f32",
        "metaclip2-f32",
        "openclip-quick-f32",
        "siglip-f32",
        "siglip2-f32",
    ] {
        let folder = golden("models").join(model);
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap();
            let mut bytes = fs::read(file.path()).unwrap();
            if file.path().extension().is_some_and(|e| e == "safetensors") {
                bytes = copied(&bytes, precision);
            }
            fs::write(copy.path().join(file.file_name()), bytes).unwrap();
        }
        let expected = Expected::read(&folder);
        let engine = open(copy.path(), DeviceChoice::Cpu);
        let shown = match precision {
            StoredPrecision::Int8 => "8-bit",
            _ => "f16",
        };
        assert_eq!(engine.model_info().precision, shown);
        let images = block_on(engine.image_features(&expected.images())).unwrap();
        let texts = block_on(engine.token_features(&expected.tokens)).unwrap();
        let distance = farthest(&images, &expected.image_features)
            .max(farthest(&texts, &expected.text_features));
        println!("{model}: {distance}");
        assert!(distance < tolerance, "{model}: {distance}");
        assert!((engine.logit_scale() - expected.logit_scale).abs() < 1e-5);
    }
}

macro_rules! models {
    ($($test:ident: $folder:literal),* $(,)?) => {
        mod cpu {
            use super::*;
            $(#[test] fn $test() { agrees($folder, DeviceChoice::Cpu, CPU) })*

            #[test]
            fn in_eight_bits() {
                for folder in [$($folder),*] {
                    let folder = golden("models").join(folder);
                    let expected = Expected::read(&folder);
                    nearly_agrees(&folder, &expected.images(), &expected.tokens, 0.999);
                }
            }

            #[test]
            fn the_bundled_model_in_eight_bits() {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/model");
                let engine = open(&folder, DeviceChoice::Cpu);
                // Of pictures that show nothing it makes less.
                let samples = ["cat.jpg", "coffee.jpg", "rocket.jpg", "guitar.png", "pizza.png"];
                let pictures: Vec<Vec<f32>> = (samples.iter())
                    .map(|name| fs::read(folder.join("../samples").join(name)).unwrap())
                    .map(|file| engine.pixels(&decode(&file).unwrap()))
                    .collect();
                let tokens = ["A photo of a cat.", "A drawing of an old house by the sea."]
                    .map(|text| engine.tokens(text).unwrap().ids);
                // Ten blocks of few channels; top-1 differs by less than 0.6 points.
                nearly_agrees(&folder, &pictures, &tokens, 0.998);
            }
        }

        /// On whatever GPU there is; a software one will do.
        #[cfg(feature = "gpu")]
        mod gpu {
            use burn::tensor::wgpu::{WgpuSetup, wgpu};
            use clip::engine::messages::DeviceInfo;

            use super::*;

            /// One test, since a driver may not be opened by several threads at once.
            #[test]
            fn every_layout() {
                if let Err(error) = block_on(open_device(DeviceChoice::Gpu, |_| ())) {
                    eprintln!("skipped: {error}");
                    return;
                }
                $(agrees($folder, DeviceChoice::Gpu, GPU);)*
                let (device, limits) = least_device();
                let opened = |max_tensor_bytes| OpenedDevice {
                    device: device.clone(),
                    info: DeviceInfo {
                        gpu: true,
                        name: "no more than WebGPU guarantees".into(),
                        reason: Default::default(),
                    },
                    max_tensor_bytes: Some(max_tensor_bytes),
                };
                $(agrees_on($folder, opened(limits.max_storage_buffer_binding_size), GPU);)*
                // Each image by itself.
                agrees_on("openclip-quick-f32", opened(200_000), GPU);
                let too_large = open_on(
                    &golden("models").join("openclip-quick-f32"),
                    opened(1000),
                    WeightPrecision::AsStored,
                );
                assert!(too_large.is_err_and(|error| error.is_of_the_device()));
                for model in small_models() {
                    model.computes(&device, GPU);
                }
                vit_l_14(opened(limits.max_storage_buffer_binding_size));
            }

            /// ViT-L/14 with two blocks of each encoder, against the CPU. In f32 its token embedding alone
            /// is larger than a binding may be.
            fn vit_l_14(opened: OpenedDevice) {
                let config = r#"{
                    "embed_dim": 768,
                    "vision_cfg": {"image_size": 224, "layers": 2, "width": 1024, "patch_size": 14},
                    "text_cfg": {
                        "context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 2
                    }
                }"#;
                let model = ClipConfig::from_open_clip(config.as_bytes()).unwrap();
                let table = 4 * model.text.vocab_size * model.text.width;
                assert!(table as u64 > opened.max_tensor_bytes.unwrap());
                let folder = tempfile::tempdir().unwrap();
                let clip = Clip::init(&model, &Device::flex());
                let weights = save(&clip, &model, KeyMap::OpenClip, Precision::F32);
                let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
                write("open_clip_model.safetensors", &block_on(weights).unwrap());
                let config = format!(r#"{{"model_cfg": {config}, "preprocess_cfg": {{}}}}"#);
                write("open_clip_config.json", config.as_bytes());

                let gpu = open_on(folder.path(), opened, WeightPrecision::AsStored).unwrap();
                let cpu = open(folder.path(), DeviceChoice::Cpu);
                let texts = ["a photo of a cat", "2 + 2 = 4"].map(|text| cpu.tokens(text).unwrap().ids);
                let [found, expected] = [&gpu, &cpu].map(|engine| {
                    let images = block_on(engine.image_features(&pixels(2, 224))).unwrap();
                    let texts = block_on(engine.token_features(&texts)).unwrap();
                    [images, texts].concat()
                });
                let distance = farthest(&found, &expected);
                assert!(distance < GPU, "ViT-L/14: {distance}");
            }

            /// Device with the limits that every adapter has, and without WebGPU's optional features.
            fn least_device() -> (Device, wgpu::Limits) {
                let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
                    backends: wgpu::Backends::PRIMARY,
                    ..wgpu::InstanceDescriptor::new_without_display_handle()
                });
                let adapter = block_on(instance.request_adapter(&Default::default())).unwrap();
                let limits = wgpu::Limits::default();
                assert_eq!(limits.max_storage_buffer_binding_size, 128 << 20);
                assert_eq!(limits.max_storage_buffers_per_shader_stage, 8);
                assert_eq!(limits.max_compute_workgroup_storage_size, 16_384);
                assert_eq!(limits.max_compute_invocations_per_workgroup, 256);
                let descriptor = wgpu::DeviceDescriptor {
                    // burn uses it where the adapter has it, which none has in a browser.
                    required_features: adapter.features() & wgpu::Features::SHADER_INT64,
                    required_limits: limits.clone(),
                    ..Default::default()
                };
                let (device, queue) = block_on(adapter.request_device(&descriptor)).unwrap();
                let setup = WgpuSetup {
                    backend: adapter.get_info().backend,
                    instance,
                    adapter,
                    device,
                    queue,
                };
                (Device::wgpu_options().setup(setup).init().unwrap(), limits)
            }
        }
    };
}

models! {
    open_clip_quick_gelu_f32: "openclip-quick-f32",
    open_clip_gelu_f16: "openclip-gelu-f16",
    open_clip_custom_text_f16: "openclip-custom-text-f16",
    open_clip_custom_text_f32: "openclip-custom-text-f32",
    open_clip_resnet_f16: "openclip-resnet-f16",
    open_clip_resnet_f32: "openclip-resnet-f32",
    hugging_face_legacy_eos_f32: "hf-legacy-eos-f32",
    hugging_face_gelu_f16: "hf-gelu-f16",
    hugging_face_tokenizer_bf16: "hf-tokenizer-bf16",
    open_clip_variants_f32: "openclip-variants-f32",
    open_clip_eos_f16: "openclip-eos-f16",
    open_clip_first_f16: "openclip-first-f16",
    siglip_f32: "siglip-f32",
    siglip_f16: "siglip-f16",
    siglip_2_f32: "siglip2-f32",
    siglip_2_f16: "siglip2-f16",
    metaclip_2_f32: "metaclip2-f32",
    metaclip_2_f16: "metaclip2-f16",
    chinese_clip_f32: "chinese-clip-f32",
    chinese_clip_f16: "chinese-clip-f16",
}

#[test]
fn siglip_in_the_names_of_timm() {
    for model in ["timm-siglip-f32", "timm-siglip-f16"].map(SmallModel::new) {
        let header = model.header();
        assert_eq!(header.key_map(), KeyMap::OpenClipTimm);
        let inferred = infer(&header, Some(Activation::GeluTanh)).unwrap();
        assert_eq!(
            without_heads(inferred.config),
            without_heads(model.config.clone())
        );
        model.computes(&Device::flex(), CPU);
    }
}

/// Models whose config names an image or text encoder that is made small here.
const MADE_SMALL: &[&str] = &["eva02", "pe-core", "mobileclip-b", "mobileclip-s0"];

/// Every small model.
fn small_models() -> Vec<SmallModel> {
    let families = MADE_SMALL
        .iter()
        .chain(&["timm-siglip", "openclip-xlm-roberta"]);
    let names = families.flat_map(|name| ["f32", "f16"].map(|dtype| format!("{name}-{dtype}")));
    (names.chain(["mobileclip-s2-f16", "mobileclip-s2-f32"].map(Into::into)))
        .map(|name| SmallModel::new(&name))
        .collect()
}

/// Model without a config of its size in its folder.
struct SmallModel {
    name: String,
    config: ClipConfig,
    weights: Vec<u8>,
    expected: Expected,
}

impl SmallModel {
    fn new(name: &str) -> Self {
        let folder = golden("models").join(name);
        Self {
            name: name.into(),
            config: config_of(name),
            weights: fs::read(folder.join("open_clip_model.safetensors")).unwrap(),
            expected: Expected::read(&folder),
        }
    }

    fn header(&self) -> Header {
        let (header, _) = HeaderReader::default()
            .push(&self.weights)
            .unwrap()
            .unwrap();
        header
    }

    /// The features of a model and of its packed twin are those that are expected.
    fn computes(&self, device: &Device, tolerance: f32) {
        let Self { name, config, .. } = self;
        for packed in [false, true] {
            let mut loader = Loader::new(config, device, 0);
            if packed {
                loader = loader.packed(WeightPrecision::AsStored);
            }
            loader.push(&self.weights).unwrap();
            let model = loader.finish().unwrap();
            let size = config.vision.image_size();
            let pixels = TensorData::new(self.expected.images().concat(), [3, 3, size, size]);
            let images = model.image_features(Tensor::from_data(pixels, device));
            // Each by itself, without its padding where that is masked.
            let texts = self.expected.tokens.iter().map(|ids| {
                let ids = config.text.unmasked(ids);
                let row = [(ids.to_vec(), config.text.pool_index(ids))];
                model.text_features(TokenBatch::new(&row, config.text.causal, device))
            });
            let texts = Tensor::cat(texts.collect(), 0);
            for (found, expected) in [
                (images, &self.expected.image_features),
                (texts, &self.expected.text_features),
            ] {
                let found = found.into_data().try_into_vec::<f32>().unwrap();
                let rows: Vec<_> = found
                    .chunks(config.embed_dim)
                    .map(<[f32]>::to_vec)
                    .collect();
                let distance = farthest(&rows, expected);
                assert!(distance < tolerance, "{name}, packed: {packed}, {distance}");
            }
        }
    }
}

/// `tolerances`: farthest that a feature of an f16 copy, and of an int8 one, may be, of some 12 in a vector of unit
/// length.
fn agrees_when_small(name: &str, tolerances: &[f32]) {
    assert!(MADE_SMALL.contains(&name));
    let device = Device::flex();
    for dtype in ["f32", "f16"] {
        let mut model = SmallModel::new(&format!("{name}-{dtype}"));
        let header = model.header();
        assert_eq!(header.key_map(), KeyMap::OpenClipTimm);
        let error = infer(&header, None).unwrap_err().to_string();
        assert!(error.contains("image encoder"), "{error}");
        model.computes(&device, CPU);
        if dtype == "f32" {
            let weights = model.weights.clone();
            let copies = [StoredPrecision::F16, StoredPrecision::Int8];
            for (precision, tolerance) in copies.into_iter().zip(tolerances) {
                model.weights = copied(&weights, precision);
                model.computes(&device, *tolerance);
            }
        }
    }
}

#[test]
fn eva02_has_rotary_positions_and_gated_mlps() {
    agrees_when_small("eva02", &[F16_COPY, INT8_COPY]);
}

#[test]
fn perception_encoder_pools_its_class_token_too() {
    agrees_when_small("pe-core", &[F16_COPY, INT8_COPY]);
}

#[test]
fn mobile_clip_b_has_a_stem_of_convolutions() {
    agrees_when_small("mobileclip-b", &[F16_COPY, INT8_COPY]);
}

#[test]
fn mobile_clip_s0_is_folded_as_it_is_loaded() {
    // Each layer adds up branches, with batch norms of random statistics, which magnify what is rounded to int8 beyond
    // use. At full size the cosine is 0.9998 (benches/int8.md).
    agrees_when_small("mobileclip-s0", &[5.0 * F16_COPY]);
}

/// The image encoder of MobileCLIP 2's S2, mci2.
#[test]
fn mobile_clip_s2_is_as_s0_with_other_stages() {
    for name in ["mobileclip-s2-f16", "mobileclip-s2-f32"] {
        SmallModel::new(name).computes(&Device::flex(), CPU);
    }
}

/// Each tensor of a folded layer is needed, and must have its shape.
#[test]
fn what_is_folded_is_not_guessed() {
    let folder = golden("models/mobileclip-s0-f32");
    let config = config_of("mobileclip-s0-f32");
    let file = fs::read(folder.join("open_clip_model.safetensors")).unwrap();
    let device = burn::tensor::Device::flex();
    let names: Vec<String> = (HeaderReader::default()
        .push(&file)
        .unwrap()
        .unwrap()
        .0
        .names())
    .into_iter()
    .filter(|name| name.starts_with("visual.") && !name.ends_with("num_batches_tracked"))
    .collect();
    assert!(names.len() > 150);
    for name in &names {
        // Of the same length, so that the header stays as long as it is.
        let other = format!("{}_", &name[..name.len() - 1]);
        let start = file.windows(name.len() + 2);
        let quoted = format!("\"{name}\"");
        let at = start
            .into_iter()
            .position(|w| w == quoted.as_bytes())
            .unwrap();
        let mut renamed = file.clone();
        renamed[at + 1..at + 1 + name.len()].copy_from_slice(other.as_bytes());
        let error = load(&config, &renamed, &device).unwrap_err().to_string();
        let stem = name.rsplit_once('.').unwrap().0;
        assert!(error.contains("the weights have no"), "{name}: {error}");
        assert!(error.contains(stem.split('.').next().unwrap()), "{error}");
    }
    let shape = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8_lossy(&file[8..]).into_owned();
        let at = 8 + text.find(&format!("\"{name}\"")).unwrap();
        let from_at = at + text[at - 8..].find(from).unwrap();
        let mut changed = file.clone();
        changed[from_at..from_at + from.len()].copy_from_slice(to.as_bytes());
        load(&config, &changed, &device).unwrap_err().to_string()
    };
    let stem = "visual.trunk.stem.1";
    for (name, from, to) in [
        ("conv_scale.conv.weight", "[8,1,1,1]", "[4,2,1,1]"),
        ("conv_kxk.0.conv.weight", "[8,1,3,3]", "[8,1,1,9]"),
    ] {
        let error = shape(&format!("{stem}.{name}"), from, to);
        assert!(error.contains("has shape"), "{name}: {error}");
    }
}

#[test]
fn xlm_roberta_as_a_text_encoder() {
    for name in ["openclip-xlm-roberta-f32", "openclip-xlm-roberta-f16"] {
        let model = SmallModel::new(name);
        let json = fs::read(golden("models").join(name).join("tokenizer.json")).unwrap();
        let special = SpecialIds {
            end_of_text: None,
            pad: model.config.text.bert.map(|bert| bert.pad),
        };
        let tokenizer = Tokenizer::from_json(&json, 16, special).unwrap();
        assert_eq!(tokenizer.vocabulary_size(), model.config.text.vocab_size);
        for (text, ids) in model.expected.texts.iter().zip(&model.expected.tokens) {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{text}");
        }
        let header = model.header();
        assert_eq!(header.key_map(), KeyMap::OpenClipBert);
        let error = infer(&header, None).unwrap_err().to_string();
        assert!(error.contains("config"), "{error}");
        model.computes(&Device::flex(), CPU);
    }
}

#[test]
fn chinese_clip_reads_chinese() {
    for name in ["chinese-clip-f32", "chinese-clip-f16"] {
        let folder = golden("models").join(name);
        let expected = Expected::read(&folder);
        let engine = open(&folder, DeviceChoice::Cpu);
        for (text, ids) in expected.texts.iter().zip(&expected.tokens) {
            assert_eq!(&engine.tokens(text).unwrap().ids, ids, "{name}: {text}");
        }
    }
}

/// "None of these" is an answer of its own: what a text is given does not depend on others.
#[test]
fn siglip_answers_each_label_by_itself() {
    let engine = open(&golden("models/siglip-f32"), DeviceChoice::Cpu);
    assert!(engine.scoring().is_independent() && engine.model_info().independent);
    let expected = Expected::read(&golden("models/siglip-f32"));
    let images = block_on(engine.image_features(&expected.images())).unwrap();
    let texts = block_on(engine.token_features(&expected.tokens)).unwrap();
    let labels: Vec<String> = (0..texts.len()).map(|i| i.to_string()).collect();
    let all = engine.rank(&images[0], &labels, &texts);
    let one = engine.rank(&images[0], &labels[..1], &texts[..1]);
    let same = all.iter().find(|ranked| ranked.label == one[0].label);
    assert_eq!(same, Some(&one[0]));
}

#[test]
fn mobile_clip_is_trained_by_its_features_only() {
    for name in ["mobileclip-b-f32", "mobileclip-s0-f32"] {
        let small = SmallModel::new(name);
        let model = load(&small.config, &small.weights, &Device::flex()).unwrap();
        let options = TrainOptions {
            method: TrainMode::Full(TrainableParams::ALL),
            schedule: WarmupCosine {
                learning_rate: 1e-3,
                warmup_steps: 1,
                steps: 2,
            },
            optimizer: AdamWHyperParameters {
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-6,
                weight_decay: 0.0,
            },
            clip_norm: None,
            micro_batch: 2,
            gradient_checkpointing: false,
            seed: 0,
        };
        let refused = Trainer::new(model.clone(), small.config.clone(), options);
        assert!(matches!(refused, Err(TrainError::Folded)));
        let saved = block_on(save(
            &model,
            &small.config,
            KeyMap::open_clip(&small.config),
            Precision::F32,
        ));
        assert!(matches!(saved, Err(WeightsError::Unknown(_))));
    }
}

/// Name, shape and values of every tensor of a file, but for those that no model uses.
fn tensors(file: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let file = safetensors::SafeTensors::deserialize(file).unwrap();
    (file.iter())
        .filter(|(name, _)| !name.ends_with("position_ids"))
        .map(|(name, view)| (name.into(), (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

/// What is saved is the file that the reference wrote, tensor by tensor.
#[test]
fn every_family_is_saved_as_its_library_names_it() {
    for (name, file, names) in [
        ("siglip-f32", "model.safetensors", KeyMap::HuggingFaceSiglip),
        (
            "siglip2-f32",
            "model.safetensors",
            KeyMap::HuggingFaceSiglip,
        ),
        (
            "chinese-clip-f32",
            "model.safetensors",
            KeyMap::HuggingFaceBert,
        ),
        ("metaclip2-f32", "model.safetensors", KeyMap::HuggingFace),
        ("openclip-variants-f32", OPEN_CLIP, KeyMap::OpenClip),
        ("openclip-xlm-roberta-f32", OPEN_CLIP, KeyMap::OpenClipBert),
        ("eva02-f32", OPEN_CLIP, KeyMap::OpenClipTimm),
        ("pe-core-f32", OPEN_CLIP, KeyMap::OpenClipTimm),
        ("timm-siglip-f32", OPEN_CLIP, KeyMap::OpenClipTimm),
    ] {
        let config = config_of(name);
        let expected = match file {
            OPEN_CLIP => KeyMap::open_clip(&config),
            _ => KeyMap::hugging_face(&config),
        };
        assert_eq!(names, expected, "{name}");
        let file = fs::read(golden("models").join(name).join(file)).unwrap();
        let model = load(&config, &file, &Device::flex()).unwrap();
        let saved = block_on(save(&model, &config, names, Precision::F32)).unwrap();
        let (saved, expected) = (tensors(&saved), tensors(&file));
        for (tensor, value) in &expected {
            let found = saved
                .get(tensor)
                .unwrap_or_else(|| panic!("{name}: no {tensor}"));
            assert_eq!(found.0, value.0, "{name}: {tensor}");
            assert!(found.1 == value.1, "{name}: {tensor}");
        }
        assert_eq!(saved.len(), expected.len(), "{name}");
    }
}

const OPEN_CLIP: &str = "open_clip_model.safetensors";

/// What is written of a CLIP says the same as what was read; of others nothing is.
#[test]
fn configs_of_clip_are_written_as_they_are_read() {
    let folders = fs::read_dir(golden("models")).unwrap();
    let mut written = Vec::new();
    for folder in folders.map(|entry| entry.unwrap().path()) {
        let read = |file: &str| fs::read(folder.join(file)).ok();
        let config = match (read("config.json"), read("open_clip_config.json")) {
            (Some(json), _) => ClipConfig::from_hugging_face(&json).unwrap(),
            (_, Some(json)) => ClipConfig::from_open_clip(&json).unwrap(),
            _ => continue,
        };
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(json) = config.to_hugging_face() {
            let again = ClipConfig::from_hugging_face(json.to_string().as_bytes()).unwrap();
            assert_eq!(again, config, "{name}");
            written.push(format!("{name}, transformers"));
        }
        if let Some(json) = config.to_open_clip() {
            let mut again = ClipConfig::from_open_clip(json.to_string().as_bytes()).unwrap();
            // OpenCLIP looks for the highest id unasked.
            again.text.eos_token_id = config.text.eos_token_id;
            assert_eq!(again, config, "{name}");
            written.push(format!("{name}, OpenCLIP"));
        }
    }
    written.sort();
    let others = [
        "siglip",
        "chinese",
        "metaclip2",
        "xlm",
        "eva02",
        "pe-core",
        "mobileclip",
        "variants",
    ];
    assert!(
        written
            .iter()
            .all(|name| others.iter().all(|other| !name.contains(other)))
    );
    assert!(written.len() >= 12, "{written:?}");
}

/// Saves a model of `folder` in `key_map` and opens that again.
fn saved_and_opened(folder: &str, key_map: KeyMap) {
    let folder = golden("models").join(folder);
    let bundle = block_on(hub::open(&Folder::new(&folder).unwrap(), None)).unwrap();
    let device = burn::tensor::Device::flex();
    let weights = fs::read(folder.join(&bundle.weights[0])).unwrap();
    let model = load(&bundle.config, &weights, &device).unwrap();
    let saved = |model| block_on(save(model, &bundle.config, key_map, Precision::F32)).unwrap();
    let bytes = saved(&model);
    let (header, _) = HeaderReader::default().push(&bytes).unwrap().unwrap();
    assert_eq!(header.key_map(), key_map);
    let again = load(&bundle.config, &bytes, &device).unwrap();
    assert_eq!(bytes, saved(&again));
    let expected = Expected::read(&folder);
    let size = bundle.config.vision.image_size();
    let pixels = burn::tensor::TensorData::new(expected.images().concat(), [3, 3, size, size]);
    let features = again.image_features(burn::tensor::Tensor::from_data(pixels, &device));
    let features = features.into_data().try_into_vec::<f32>().unwrap();
    let rows: Vec<Vec<f32>> = features
        .chunks(features.len() / 3)
        .map(<[f32]>::to_vec)
        .collect();
    assert!(farthest(&rows, &expected.image_features) < CPU);
}

#[test]
fn what_is_saved_loads_to_the_same_model() {
    saved_and_opened("openclip-quick-f32", KeyMap::HuggingFace);
    saved_and_opened("openclip-quick-f32", KeyMap::OpenClip);
    saved_and_opened("openclip-resnet-f16", KeyMap::OpenClip);
}

#[test]
fn a_file_in_pieces_gives_the_same_model() {
    let folder = golden("models/hf-gelu-f16");
    let config = block_on(hub::open(&Folder::new(&folder).unwrap(), None))
        .unwrap()
        .config;
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let device = burn::tensor::Device::flex();
    let saved =
        |model| block_on(save(&model, &config, KeyMap::HuggingFace, Precision::F32)).unwrap();
    let whole = saved(load(&config, &bytes, &device).unwrap());
    // Numbers cut in two, tensors cut in pieces, several tensors in a piece.
    for size in [1, 7, 1000, 65_536] {
        let mut loader = Loader::new(&config, &device, 0);
        for piece in bytes.chunks(size) {
            loader.push(piece).unwrap();
        }
        assert!(saved(loader.finish().unwrap()) == whole, "pieces of {size}");
    }
}

/// What no shape shows, and tiny models have otherwise than published ones.
fn without_heads(mut config: ClipConfig) -> ClipConfig {
    match &mut config.vision {
        VisionConfig::Vit(vision) => vision.heads = 0,
        VisionConfig::ResNet(vision) => vision.heads = 0,
        VisionConfig::FastVit(_) => {}
    }
    config.text.heads = 0;
    config.text.eos_token_id = None;
    config
}

#[test]
fn the_architecture_is_read_from_names_and_shapes() {
    // Not openclip-custom-text-f16: of its picture, a rim belongs to no patch.
    for name in [
        "openclip-quick-f32",
        "openclip-gelu-f16",
        "openclip-resnet-f16",
        "hf-legacy-eos-f32",
        "hf-gelu-f16",
        "siglip-f32",
        "siglip-f16",
        "siglip2-f32",
        "siglip2-f16",
    ] {
        let files = Folder::new(&golden("models").join(name)).unwrap();
        let bundle = block_on(hub::open(&files, None)).unwrap();
        let weights = fs::read(golden("models").join(name).join(&bundle.weights[0])).unwrap();
        let (header, _) = HeaderReader::default().push(&weights).unwrap().unwrap();
        let activation = bundle.config.text.activation;
        let inferred = infer(&header, Some(activation)).unwrap();
        let expected = without_heads(bundle.config);
        assert_eq!(without_heads(inferred.config), expected, "{name}");
    }
}

#[test]
fn a_lone_file_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("assets/model")
            .join(from);
        fs::copy(from, folder.path().join(to)).unwrap();
    };
    copy("open_clip_model.safetensors", "weights.safetensors");
    copy("tokenizer.json", "tokenizer.json");
    let bundled = block_on(hub::open(&hub::Bundled, None)).unwrap();
    let files = Folder::new(&folder.path().join("weights.safetensors")).unwrap();
    let lone = block_on(hub::open(&files, Some(Activation::QuickGelu))).unwrap();
    assert_eq!(lone.config, bundled.config);
    assert_eq!(lone.notes.len(), 1);
    let guessed = block_on(hub::open(&files, None)).unwrap();
    assert!(guessed.notes[0].text().contains("assuming"));
    block_on(async {
        let opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
        let mut engine = Engine::load(&files, lone, opened, WeightPrecision::AsStored, &mut |_| ())
            .await
            .unwrap();
        let texts = engine.text_features(&["cat".into()]).await.unwrap();
        let opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
        let mut engine = (Engine::load(
            &hub::Bundled,
            bundled,
            opened,
            WeightPrecision::AsStored,
            &mut |_| (),
        )
        .await)
            .unwrap();
        let expected = engine.text_features(&["cat".into()]).await.unwrap();
        assert_eq!(texts[0].features, expected[0].features);
    });
}

#[test]
fn an_ensemble_averages_features_and_known_prompts_cost_nothing() {
    let mut engine = open(&golden("models/hf-tokenizer-bf16"), DeviceChoice::Cpu);
    let templates = ["a {label}".to_string(), "the {label}".to_string()];
    let classifier = block_on(engine.classifier(&["cat".into()], &templates)).unwrap();
    let prompts = zero_shot::prompts("cat", &templates);
    assert!(engine.pending_prompts(&prompts).unwrap().is_empty());
    let known = block_on(engine.text_features(&prompts)).unwrap();
    let mean = zero_shot::ensemble(&[&known[0].features, &known[1].features]);
    assert_eq!(classifier, [mean]);
}

/// What a folder's files say when they are opened, in words.
fn refusal(files: &[(&str, &[u8])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    block_on(async {
        let files = Folder::new(folder.path()).unwrap();
        let bundle = match hub::open(&files, None).await {
            Ok(bundle) => bundle,
            Err(error) => return error.to_string(),
        };
        let opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
        match Engine::load(
            &files,
            bundle,
            opened,
            WeightPrecision::AsStored,
            &mut |_| (),
        )
        .await
        {
            Ok(_) => "opened".into(),
            Err(error) => error.to_string(),
        }
    })
}

#[test]
fn damaged_models_are_refused_in_words() {
    let folder = golden("models/hf-tokenizer-bf16");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (config, weights) = (read("config.json"), read("model.safetensors"));
    let tokenizer = read("tokenizer.json");

    assert!(refusal(&[]).contains("does not contain a CLIP model"));
    assert!(
        refusal(&[("config.json", b"{\"model_type\":")]).contains("does not contain a CLIP model")
    );
    let bert = br#"{"model_type":"bert"}"#;
    assert!(refusal(&[("config.json", bert)]).contains("`bert`"));
    let whole = [("config.json", &config[..]), ("tokenizer.json", &tokenizer)];
    assert!(refusal(&whole).contains("model.safetensors"));
    let with = |weights: &[u8]| {
        let mut files = whole.to_vec();
        files.push(("model.safetensors", weights));
        refusal(&files)
    };
    assert_eq!(with(&weights), "opened");
    assert!(with(&weights[..weights.len() / 2]).contains("the weights end after"));
    assert!(with(&[&weights[..], &[0; 7]].concat()).contains("it is damaged"));
    assert!(with(&weights[..20]).contains("ends before its header"));
    assert!(with(b"<html>not found</html>").contains("web page"));
    assert!(with(b"").contains("empty"));
    let mut not_a_number = weights.clone();
    let end = not_a_number.len();
    not_a_number[end - 2..].copy_from_slice(&[0xff, 0xff]);
    assert!(with(&not_a_number).contains("not finite"));
    let smaller = String::from_utf8(config.clone())
        .unwrap()
        .replace("\"vocab_size\": 600", "\"vocab_size\": 500");
    assert_ne!(smaller.as_bytes(), config);
    let mut files = vec![
        ("config.json", smaller.as_bytes()),
        ("tokenizer.json", &tokenizer),
    ];
    files.push(("model.safetensors", &weights));
    assert!(refusal(&files).contains("token_embedding"));
    let missing = Folder::new(Path::new("no/such/folder"));
    assert!(matches!(missing, Err(HubError::Read { .. })));
}

#[derive(Deserialize)]
struct DensePlaces {
    grid: [usize; 2],
    features: Vec<Vec<f32>>,
}

fn of_timm(name: &str) -> bool {
    ["eva02", "pe-core", "mobileclip"]
        .iter()
        .any(|family| name.starts_with(family))
}

/// Features of places, at the model's size and at another one.
#[test]
fn dense_features_equal_the_reference() {
    let file = fs::read(golden("dense.json")).unwrap();
    let expected: BTreeMap<String, Vec<DensePlaces>> = serde_json::from_slice(&file).unwrap();
    assert_eq!(expected.len(), 8);
    for (name, cases) in expected {
        for packing in [None, Some(WeightPrecision::AsStored)] {
            let path = golden("models").join(&name);
            let model = match fs::read(path.join("open_clip_model.safetensors")) {
                Ok(weights) if of_timm(&name) => {
                    let mut loader = Loader::new(&config_of(&name), &Device::flex(), 0);
                    if let Some(packing) = packing {
                        loader = loader.packed(packing);
                    }
                    loader.push(&weights).unwrap();
                    loader.finish().unwrap()
                }
                _ => block_on(async {
                    let folder = Folder::new(&path).unwrap();
                    let bundle = hub::open(&folder, None).await.unwrap();
                    let device = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap().device;
                    let loaded = hub::load(
                        &folder,
                        &bundle,
                        &device,
                        hub::LoadTarget {
                            packing,
                            ..Default::default()
                        },
                        &mut |_| (),
                    )
                    .await;
                    loaded.unwrap().model
                }),
            };
            let step = match name.as_str() {
                "openclip-resnet-f16" | "mobileclip-s0-f32" => 32,
                "mobileclip-b-f32" => 16,
                _ => 8,
            };
            for DensePlaces { grid, features } in &cases {
                let [height, width] = grid.map(|places| places * step);
                let image = TensorData::new(formula(3 * height * width), [1, 3, height, width]);
                let image = Tensor::<4>::from_data(image, &Device::flex());
                let places = model.dense_image_features(image);
                let [_, rows, columns, embed_dim] = places.dims();
                assert_eq!([rows, columns], *grid, "{name}");
                let found = block_on(read_back(places)).unwrap();
                let found: Vec<_> = found.chunks(embed_dim).map(<[f32]>::to_vec).collect();
                let distance = farthest(&found, features);
                assert!(distance < CPU, "{name} {grid:?}: {distance}");
            }
        }
    }
}
