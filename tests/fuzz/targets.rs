//! What fuzzing gives changed files to: every reader of something that comes from outside.
//!
//! `tests/robustness.rs` calls these functions with a few thousand changed files each,
//! `scripts/fuzz` with as many as there is time for, led by coverage. A reader may refuse; it
//! must not panic, take long, or take memory that the file does not account for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::tensor::Device;
use clip::data::{
    DataError, DataFiles, Dataset, InMemory, ShardFolder, WebDataset, ZipFiles, csv_field,
    file_safe,
};
use clip::engine::defaults::{DatasetStats, training_settings};
use clip::engine::evaluation::kept::KeptDataset;
use clip::engine::messages::{
    Event, LibraryRequest, PlannedSample, Problem, Request, SearchTerm, TermKind, TrainingPlan,
    TrainingRequest,
};
use clip::engine::rankings::Rankings;
use clip::hub::{self, Bundled, Chunk, ChunkSink, HubError, ModelFiles};
use clip::library::{
    Entry, FileStamp, Filter, ImageFacts, Index, IndexSummary, ModelFingerprint, Sign, date_span,
    difference_hash, duplicates, parse_query,
};
use clip::model::{Clip, ClipConfig, StoredPrecision};
use clip::preprocess::{PreprocessConfig, decode, preprocess};
use clip::tokenizer::{Cleaning, SpecialIds, Tokenizer, TokenizerFile};
use clip::train::{
    AdamWHyperParameters, ClassFit, Head, Lora, Method, PeftFiles, Sampler, TrainMode,
    TrainOptions, TrainableParams, Trainer, TrainingReport, WarmupCosine, load_peft, save_peft,
};
use clip::weights::{CopyOptions, FileCopier};
use pollster::block_on;

/// Reader of files of a kind.
pub struct Target {
    pub name: &'static str,
    pub read: fn(&[u8]),
    /// Files to change, with their names.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// Memory that a small file may take, MiB.
    #[allow(dead_code)] // libFuzzer has one limit for all
    pub memory: usize,
}

pub const TARGETS: [Target; 12] = [
    Target {
        name: "images",
        read: images,
        seeds: image_seeds,
        memory: 1024,
    },
    Target {
        name: "weights",
        read: weights,
        seeds: weight_seeds,
        memory: 64,
    },
    Target {
        name: "configs",
        read: configs,
        seeds: config_seeds,
        memory: 64,
    },
    Target {
        name: "tokenizers",
        read: tokenizers,
        seeds: tokenizer_seeds,
        memory: 64,
    },
    Target {
        name: "texts",
        read: texts,
        seeds: text_seeds,
        memory: 64,
    },
    Target {
        name: "tables",
        read: tables,
        seeds: table_seeds,
        memory: 64,
    },
    Target {
        name: "zips",
        read: zips,
        seeds: zip_seeds,
        memory: 64,
    },
    Target {
        name: "shards",
        read: shards,
        seeds: shard_seeds,
        memory: 64,
    },
    Target {
        name: "checkpoints",
        read: checkpoints,
        seeds: checkpoint_seeds,
        memory: 64,
    },
    Target {
        name: "indexes",
        read: indexes,
        seeds: index_seeds,
        memory: 64,
    },
    Target {
        name: "messages",
        read: messages,
        seeds: message_seeds,
        memory: 64,
    },
    Target {
        name: "adapters",
        read: adapters,
        seeds: adapter_seeds,
        memory: 64,
    },
];

/// Files to begin with: those of the repository, and those that an earlier run broke something
/// with.
pub fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut files = (target.seeds)();
    let found = root().join("tests/fuzz/corpus").join(target.name);
    files.extend(folder(found));
    files
}

fn root() -> PathBuf {
    // The package is the repository itself, or the one in this folder.
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match package.join("tests/golden").exists() {
        true => package,
        false => package.join("../.."),
    }
}

fn read(path: &str) -> Vec<u8> {
    let path = root().join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of a folder, by name; none where there is no folder.
fn folder(path: PathBuf) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap_or_default())
        })
        .collect();
    files.sort();
    files
}

fn named(files: &[&str]) -> Vec<(String, Vec<u8>)> {
    let files = files.iter().map(|file| (file.to_string(), read(file)));
    files.collect()
}

fn images(bytes: &[u8]) {
    let Ok(picture) = decode(bytes) else { return };
    let pixels = picture.width() as usize * picture.height() as usize;
    assert_eq!(picture.samples().len(), pixels * picture.channels());
    // A large one is resized as a small one is, only longer.
    if pixels < 1 << 20 {
        let config = PreprocessConfig::openai(32);
        assert_eq!(preprocess(&picture, &config).len(), 3 * 32 * 32);
        difference_hash(&picture);
    }
}

fn image_seeds() -> Vec<(String, Vec<u8>)> {
    let mut files = folder(root().join("tests/golden/pictures"));
    files.extend(folder(root().join("tests/fixtures")));
    files.retain(|(name, bytes)| !name.ends_with(".json") && bytes.len() < 20_000);
    files
}

/// Model's files in memory.
struct Memory(BTreeMap<&'static str, Vec<u8>>);

impl ModelFiles for Memory {
    fn name(&self) -> String {
        "model".into()
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        Ok(self.0.get(file).cloned())
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        let Some(bytes) = self.0.get(file) else {
            return Ok(false);
        };
        // Chunks end anywhere in a tensor.
        for (number, part) in bytes.chunks(10_007).enumerate() {
            let chunk = Chunk::new((number * 10_007) as u64, part, bytes.len() as u64);
            if let ControlFlow::Break(()) = sink(chunk)? {
                break;
            }
        }
        Ok(true)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Bundled.clip_vocabulary().await
    }
}

impl Memory {
    /// Config and model, or what is wrong with the files.
    fn open(&self) -> Result<(ClipConfig, Clip), HubError> {
        block_on(async {
            let bundle = hub::open(self, None).await?;
            let loaded = hub::load(
                self,
                &bundle,
                &Device::flex(),
                hub::LoadTarget::default(),
                &mut |_| (),
            )
            .await?;
            Ok((bundle.config, loaded.model))
        })
    }
}

const CONFIG: &str = "open_clip_config.json";
const WEIGHTS: &str = "open_clip_model.safetensors";
const SMALL: &str = "tests/golden/models/openclip-eos-f16";
const TRANSFORMERS: &str = "tests/golden/models/hf-gelu-f16";

thread_local! {
    static SMALL_MODEL: [Vec<u8>; 3] =
        [CONFIG, WEIGHTS, "tokenizer.json"].map(|file| read(&format!("{SMALL}/{file}")));
    static TRANSFORMERS_MODEL: [Vec<u8>; 4] =
        ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"]
            .map(|file| read(&format!("{TRANSFORMERS}/{file}")));
    static OPENED: (ClipConfig, Clip) = small(|files| files)
        .open()
        .unwrap_or_else(|error| panic!("{SMALL}: {error}"));
}

/// A small model whose files `change` changes.
fn small(change: impl FnOnce(Memory) -> Memory) -> Memory {
    let files = SMALL_MODEL.with(|files| files.clone());
    let names = [CONFIG, WEIGHTS, "tokenizer.json"];
    change(Memory(names.into_iter().zip(files).collect()))
}

fn transformers() -> Memory {
    let files = TRANSFORMERS_MODEL.with(|files| files.clone());
    let names = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "preprocessor_config.json",
    ];
    Memory(names.into_iter().zip(files).collect())
}

fn with(mut files: Memory, name: &'static str, bytes: &[u8]) -> Memory {
    files.0.insert(name, bytes.into());
    files
}

/// With a config, and alone: then the shapes tell what the model is.
fn weights(bytes: &[u8]) {
    let _ = small(|files| with(files, WEIGHTS, bytes)).open();
    let alone = BTreeMap::from([("model.safetensors", bytes.to_vec())]);
    let _ = Memory(alone).open();
    for precision in [StoredPrecision::F16, StoredPrecision::Int8] {
        copied(bytes, precision);
    }
}

/// Copy of weights as a browser stores them, up to what cannot be converted.
fn copied(bytes: &[u8], precision: StoredPrecision) -> Vec<u8> {
    let options = CopyOptions {
        precision,
        omit_table: true,
    };
    let mut copier = FileCopier::new(0, options);
    let mut copy = Vec::new();
    for piece in bytes.chunks(1 << 16) {
        if copier.push(piece, &mut copy).is_err() {
            break;
        }
    }
    copy
}

/// The smallest one of each family, and a copy in 8 bits.
fn weight_seeds() -> Vec<(String, Vec<u8>)> {
    let mut files = named(&[
        "tests/golden/models/openclip-eos-f16/open_clip_model.safetensors",
        "tests/golden/models/hf-gelu-f16/model.safetensors",
        "tests/golden/models/siglip2-f16/model.safetensors",
        "tests/golden/models/timm-siglip-f16/open_clip_model.safetensors",
        "tests/golden/models/openclip-xlm-roberta-f16/open_clip_model.safetensors",
    ]);
    let int8 = named(&["tests/golden/models/openclip-eos-f16/open_clip_model.safetensors"]);
    files.extend((int8.into_iter()).map(|(name, bytes)| {
        let copy = copied(&bytes, StoredPrecision::Int8);
        (format!("int8-{name}"), copy)
    }));
    files
}

fn configs(bytes: &[u8]) {
    for read in [ClipConfig::from_hugging_face, ClipConfig::from_open_clip] {
        if let Ok(config) = read(bytes) {
            let _ = (config.to_hugging_face(), config.to_open_clip());
        }
    }
    let _ = small(|files| with(files, CONFIG, bytes)).open();
    let _ = with(transformers(), "config.json", bytes).open();
    let _ = with(transformers(), "preprocessor_config.json", bytes).open();
    let _ = with(transformers(), "processor_config.json", bytes).open();
    let index = "model.safetensors.index.json";
    let mut files = with(transformers(), index, bytes);
    files.0.remove("model.safetensors");
    let _ = files.open();
}

fn config_seeds() -> Vec<(String, Vec<u8>)> {
    let models = fs::read_dir(root().join("tests/golden/models"));
    let mut files = Vec::new();
    for model in models.into_iter().flatten().flatten() {
        for (name, bytes) in folder(model.path()) {
            if name.ends_with("config.json") {
                files.push((format!("{}-{name}", model.file_name().display()), bytes));
            }
        }
    }
    files.sort();
    let parts = r#"{"weight_map":{"a":"model.safetensors","b":"../model.safetensors"}}"#;
    files.push(("index.json".into(), parts.into()));
    files
}

const TEXTS: [&str; 4] = [
    "",
    "a photo of a cat",
    "一只猫 Ünïcödé 👩‍🚀\u{0}\u{feff}",
    "  <|endoftext|> </s>",
];

fn tokenizers(bytes: &[u8]) {
    let special = SpecialIds::default();
    let (vocabulary, merges) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let merges = String::from_utf8_lossy(merges);
    for tokenizer in [
        Tokenizer::from_json(bytes, 16, special),
        Tokenizer::siglip(TokenizerFile::Json(bytes), 16, None),
        Tokenizer::siglip(TokenizerFile::SentencePiece(bytes), 16, None),
        Tokenizer::from_vocabulary(vocabulary, &merges, 16, special),
    ] {
        for text in TEXTS {
            let ids = tokenizer.as_ref().map(|tokenizer| tokenizer.encode(text));
            if let Ok(Ok(tokens)) = ids {
                assert!(tokens.ids.len() <= 16 && tokens.length <= 16);
            }
        }
    }
}

fn tokenizer_seeds() -> Vec<(String, Vec<u8>)> {
    let mut files = named(&[
        "tests/golden/tiny_tokenizer.json",
        "tests/golden/tiny_unigram.json",
        "tests/golden/tiny_gemma.json",
        "tests/golden/tiny_gemma.model",
        "tests/golden/tiny_spiece.model",
        "tests/golden/models/chinese-clip-f32/tokenizer.json",
        "tests/golden/models/openclip-xlm-roberta-f16/tokenizer.json",
    ]);
    let vocabulary = read("tests/golden/tiny_vocabulary/vocab.json");
    let merges = read("tests/golden/tiny_vocabulary/merges.txt");
    files.push((
        "vocabulary".into(),
        [&vocabulary[..], b"\0", &merges].concat(),
    ));
    files
}

/// Labels, queries and names.
fn texts(bytes: &[u8]) {
    thread_local! {
        static CLIP: Vec<Tokenizer> = {
            let merges = read("assets/clip_vocabulary/merges.txt.gz");
            let clip = || Tokenizer::clip(&merges, 77).unwrap_or_else(|error| panic!("{error}"));
            [Cleaning::None, Cleaning::Lower, Cleaning::Siglip]
                .into_iter()
                .map(|cleaning| clip().cleaned(cleaning))
                .collect()
        };
    }
    let text = String::from_utf8_lossy(bytes);
    CLIP.with(|tokenizers| {
        for tokenizer in tokenizers {
            if let Ok(tokens) = tokenizer.encode(&text) {
                assert_eq!(tokens.ids.len(), 77);
            }
        }
    });
    parse_query(&text);
    date_span(&text);
    csv_field(&text);
    assert!(!file_safe(&text).contains(['/', '\\', '\0']));
}

fn text_seeds() -> Vec<(String, Vec<u8>)> {
    let texts: serde_json::Value =
        serde_json::from_slice(&read("tests/golden/texts.json")).unwrap_or_default();
    let mut found = Vec::new();
    collect(&texts, &mut found);
    for text in [
        "cat -dog \"two words\"",
        "2024-02-30",
        "../a/b\\c:d*?.png",
        "=1+1",
    ] {
        found.push(text.into());
    }
    let texts = found.into_iter().enumerate();
    texts
        .map(|(number, text)| (number.to_string(), text.into_bytes()))
        .collect()
}

/// All strings of a value.
fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|v| collect(v, found)),
        serde_json::Value::Object(values) => values.values().for_each(|v| collect(v, found)),
        _ => {}
    }
}

/// Opens a data set and reads its pictures.
fn use_up(files: &impl DataFiles) {
    block_on(async {
        for path in files.paths() {
            assert!(!path.split('/').any(|part| part == ".."), "{path}");
        }
        let dataset = Dataset::open(files, None).await?;
        dataset
            .read(files, async |_, _| Ok::<_, DataError>(()))
            .await
    })
    .ok();
}

fn tables(bytes: &[u8]) {
    for table in ["data.csv", "data.tsv", "data.jsonl"] {
        let picture = SMALL_PICTURE.with(Clone::clone);
        use_up(&InMemory {
            name: "data".into(),
            files: vec![
                (table.into(), bytes.into()),
                ("cat/1.png".into(), picture.clone()),
                ("2.png".into(), [&picture[..], b" "].concat()),
            ],
        });
    }
}

thread_local! {
    static SMALL_PICTURE: Vec<u8> = read("tests/golden/pictures/grey1_key_45x39.png");
}

fn table_seeds() -> Vec<(String, Vec<u8>)> {
    let cases: serde_json::Value =
        serde_json::from_slice(&read("tests/fixtures/files.json")).unwrap_or_default();
    let mut found = Vec::new();
    let cases = cases["tables"].as_array().into_iter().flatten();
    for file in cases.filter_map(|case| case["files"].as_array()).flatten() {
        let (name, text) = (file[0].as_str(), file[1].as_str());
        let (name, text) = (name.unwrap_or_default(), text.unwrap_or_default());
        if [".csv", ".tsv", ".jsonl"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            found.push((format!("{}-{name}", found.len()), text.as_bytes().to_vec()));
        }
    }
    found
}

fn zips(bytes: &[u8]) {
    if let Ok(files) = ZipFiles::open("data.zip".into(), Cursor::new(bytes)) {
        use_up(&files);
    }
}

/// A stored and a deflated file, a table, and a comment at the end.
fn zip_seeds() -> Vec<(String, Vec<u8>)> {
    let picture = SMALL_PICTURE.with(Clone::clone);
    let table = b"file,label\ncat/1.png,cat\ndog/2.png,dog\n";
    let names: [(&[u8], &[u8], bool); 4] = [
        (b"cat/1.png", &picture, false),
        (b"dog/2.png", &picture, true),
        (b"labels.csv", table, true),
        (b"caf\x82/\x84.png", &picture, false),
    ];
    vec![
        ("small.zip".into(), zip(&names)),
        ("one.zip".into(), zip(&names[..1])),
    ]
}

/// A zip of files, each with its name, bytes, and whether it is deflated.
fn zip(files: &[(&[u8], &[u8], bool)]) -> Vec<u8> {
    use std::io::Write;
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes, deflated) in files {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let packed = match deflated {
            true => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
                // Writing to memory does not fail.
                let _ = encoder.write_all(bytes);
                encoder.finish().unwrap_or_default()
            }
            false => bytes.to_vec(),
        };
        let common = [
            &[20, 0, 0, 0][..],
            &[if *deflated { 8 } else { 0 }, 0],
            &[0; 4], // time and date
            &crc.sum().to_le_bytes(),
            &(packed.len() as u32).to_le_bytes(),
            &(bytes.len() as u32).to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let offset = (zip.len() as u32).to_le_bytes();
        directory.extend([&b"PK\x01\x02\x14\0"[..], &common, &[0; 10], &offset, name].concat());
        zip.extend([&b"PK\x03\x04"[..], &common, name, &packed].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (start, length) = (zip.len() as u32, directory.len() as u32);
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &length.to_le_bytes(),
        &start.to_le_bytes(),
        &[0; 2],
    ];
    [zip, directory, end.concat()].concat()
}

/// Folder of one shard.
struct OneShard<'a>(&'a [u8]);

impl<'a> ShardFolder for OneShard<'a> {
    type Shard = Cursor<&'a [u8]>;

    fn name(&self) -> String {
        "shards".into()
    }

    fn has(&self, path: &str) -> bool {
        path == "test/0.tar"
    }

    async fn text(&self, path: &str) -> Result<Option<String>, DataError> {
        Ok((path == "classnames.txt").then(|| "cat\ndog".into()))
    }

    async fn open(&self, _: &str) -> Result<(Self::Shard, u64), DataError> {
        Ok((Cursor::new(self.0), self.0.len() as u64))
    }

    async fn slice(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
        let end = offset.saturating_add(length);
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(start, end)| self.0.get(start..end));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| DataError::Read {
            file: path.into(),
            why: "beyond its end".into(),
        })
    }
}

fn shards(bytes: &[u8]) {
    if let Ok(files) = block_on(WebDataset::open(OneShard(bytes))) {
        use_up(&files);
    }
}

/// Samples with short names, with a long one and with one of PAX.
fn shard_seeds() -> Vec<(String, Vec<u8>)> {
    let picture = SMALL_PICTURE.with(Clone::clone);
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("./{}/s1.png", "folder/".repeat(20));
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Writing to memory does not fail.
        let _ = tar.append_data(&mut header, name, bytes);
    };
    add("s0.png", &picture);
    add("s0.cls", b"0");
    add(&long, &picture);
    add(&long.replace(".png", ".cls"), b"1");
    let mut pax = tar::Builder::new(Vec::new());
    let _ = pax.append_pax_extensions([("path", &b"s2.png"[..]), ("size", b"222")]);
    let mut header = tar::Header::new_ustar();
    header.set_size(picture.len() as u64);
    let _ = pax.append_data(&mut header, "short", &picture[..]);
    [("gnu.tar", tar), ("pax.tar", pax)]
        .map(|(name, tar)| (name.into(), tar.into_inner().unwrap_or_default()))
        .into()
}

fn checkpoints(bytes: &[u8]) {
    let (config, model) = OPENED.with(Clone::clone);
    let _ = Trainer::resume(model, config, bytes);
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

fn lora() -> TrainMode {
    TrainMode::Lora(Lora {
        rank: 1,
        ..Lora::default()
    })
}

fn trainer(method: TrainMode) -> Trainer {
    let (config, model) = OPENED.with(Clone::clone);
    Trainer::new(model, config, options(method)).unwrap_or_else(|error| panic!("{error}"))
}

fn checkpoint_seeds() -> Vec<(String, Vec<u8>)> {
    let sampler = Sampler::new(10, 4, 1);
    [
        ("lora", lora()),
        ("full", TrainMode::Full(TrainableParams::ALL)),
    ]
    .map(|(name, method)| {
        let state = block_on(trainer(method).state(Some(&sampler)));
        let state = state.unwrap_or_else(|error| panic!("{error}"));
        (name.into(), state)
    })
    .into()
}

fn indexes(bytes: &[u8]) {
    if let Some(first) = bytes.first_chunk()
        && let Some(length) = IndexSummary::length(*first)
    {
        IndexSummary::read(&bytes[..length.min(bytes.len())]);
    }
    let Ok(mut index) = Index::read(bytes) else {
        return;
    };
    let query = vec![1.0; index.model().embed_dim()];
    assert_eq!(index.scores(&query).len(), index.entries().len());
    duplicates(&index, 0.9);
    let again = index.write().unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = Index::read(&again) {
        panic!("what was written is not read: {error}");
    }
    index.sync(Vec::new());
}

fn index_seeds() -> Vec<(String, Vec<u8>)> {
    let model = ModelFingerprint {
        name: "model".into(),
        image: vec![0.5; 4],
        text: vec![-0.5; 4],
    };
    let mut index = Index::new("/images", model);
    let images = ["a.png", "b/ä.jpg"].map(|path| {
        let entry = Entry {
            file: FileStamp {
                path: path.into(),
                size: 1000,
                modified_ms: 1_700_000_000_000,
            },
            image: ImageFacts {
                width: 640,
                height: 480,
                sha256: "0".repeat(64),
                difference_hash: 0x1234_5678_9abc_def0,
                taken_ms: Some(1_600_000_000_000),
            },
        };
        (entry, vec![0.5; 4])
    });
    index.extend(images.into(), Vec::new());
    let bytes = index.write().unwrap_or_else(|error| panic!("{error}"));
    vec![("two".into(), bytes)]
}

/// Messages of page and worker, and what both keep as JSON.
fn messages(bytes: &[u8]) {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
        if let Ok(read) = serde_json::from_slice::<T>(bytes) {
            let written = serde_json::to_vec(&read).unwrap_or_else(|error| panic!("{error}"));
            assert!(serde_json::from_slice::<T>(&written).is_ok());
        }
    }
    again::<Request>(bytes);
    if let Ok(Event::Answers { rankings, .. }) = serde_json::from_slice(bytes) {
        assert!(rankings.iter().count() <= rankings.images.len());
    }
    again::<Event>(bytes);
    again::<TrainingPlan>(bytes);
    again::<TrainingReport>(bytes);
    again::<KeptDataset>(bytes);
}

fn message_seeds() -> Vec<(String, Vec<u8>)> {
    let stats = DatasetStats {
        classes: 2,
        train: 1,
        ..DatasetStats::default()
    };
    let plan = TrainingPlan {
        name: "data".into(),
        settings: training_settings(Method::Lora, stats, None),
        classes: vec!["cat".into(), "dog".into()],
        templates: vec!["a photo of a {label}.".into()],
        samples: vec![PlannedSample {
            sample: 0,
            path: "cat/1.png".into(),
            class: Some(0),
            captions: vec!["a cat".into()],
            held_out: false,
        }],
        problems: vec![Problem::Ignored {
            path: "x".into(),
            why: "y".into(),
        }],
        notes: Vec::new(),
    };
    let mut rankings = Rankings::default();
    rankings.push(7, [("cat".into(), 0.75, 0.3), ("dog".into(), 0.25, 0.2)]);
    let requests = [
        Request::Classify {
            question: 1,
            labels: plan.classes.clone(),
            templates: plan.templates.clone(),
        },
        Request::AddImage {
            image: 7,
            name: "cat.png".into(),
        },
        Request::Library(LibraryRequest::Search {
            number: 1,
            terms: vec![SearchTerm {
                sign: Sign::Minus,
                text: "cat".into(),
                kind: TermKind::Words,
            }],
            top: 10,
            filter: Filter::default(),
        }),
        Request::Training(TrainingRequest::Start { plan: plan.clone() }),
    ];
    let answers = Event::Answers {
        question: 1,
        rankings,
    };
    let mut found: Vec<serde_json::Result<Vec<u8>>> =
        requests.iter().map(serde_json::to_vec).collect();
    found.extend([serde_json::to_vec(&answers), serde_json::to_vec(&plan)]);
    let found = found.into_iter().flatten().enumerate();
    found
        .map(|(number, bytes)| (number.to_string(), bytes))
        .collect()
}

/// Heads and LoRA: what a training gave, opened again.
fn adapters(bytes: &[u8]) {
    if let Ok(head) = Head::read(bytes) {
        let features = vec![0.5; head.embed_dim()];
        let ranking = head.rank(&features);
        assert_eq!(ranking.len(), head.classes.len());
        if let Some(fit) = &head.class_fit {
            assert!((0.0..=1.0).contains(&fit.share(&features)));
        }
        assert!(head.write().is_ok());
    }
    thread_local! {
        static LORA: PeftFiles = block_on(save_peft(&trainer(lora()).model(), None))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let mut files = LORA.with(Clone::clone);
    match bytes.first() {
        Some(b'{') => files.config = bytes.into(),
        _ => files.weights = bytes.into(),
    }
    let model = OPENED.with(|(_, model)| model.clone());
    let _ = load_peft(model, &files);
    let _ = files.scaled(0.5);
}

fn adapter_seeds() -> Vec<(String, Vec<u8>)> {
    let head = Head {
        method: Method::Adapter,
        model: "model".into(),
        classes: vec!["cat".into(), "dog".into()],
        templates: vec!["{label}".into()],
        zero_shot: vec![vec![0.5; 4]; 2],
        scale: 100.0,
        weight: vec![vec![0.25; 4]; 2],
        bias: vec![0.0; 2],
        alpha: 1.0,
        beta: 1.0,
        class_fit: Some(ClassFit {
            means: vec![vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 0.0]],
            quantiles: vec![0.5, 0.75, 1.0],
        }),
    };
    let failed = |error: &dyn std::fmt::Display| -> ! { panic!("{error}") };
    let files =
        block_on(save_peft(&trainer(lora()).model(), None)).unwrap_or_else(|error| failed(&error));
    vec![
        (
            "head".into(),
            head.write().unwrap_or_else(|error| failed(&error)),
        ),
        ("adapter_config.json".into(), files.config),
        ("adapter_model.safetensors".into(), files.weights),
    ]
}
