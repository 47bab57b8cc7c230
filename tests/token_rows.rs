//! Models that are downloaded without their token embedding, of which rows are fetched as texts
//! use them: features are those of the whole model, bit by bit. The browser's part of it is in
//! `tests/browser/models.test.mjs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clip::engine::messages::DeviceChoice;
use clip::engine::{Engine, EngineError, open_device};
use clip::hub::{
    self, Chunk, ChunkSink, Folder, HubError, LoadTarget, ModelFiles, RowsFuture, TokenRows,
};
use clip::model::StoredPrecision;
use clip::model::WeightPrecision;
use clip::weights::{CopyLayout, CopyOptions, FileCopier, OmittedTable};
use pollster::block_on;
use serde_json::{Value, json};

/// Models whose table is at least a fifth of their weights: f32, f16, bf16, causal, BERT.
const MODELS: &[&str] = &[
    "chinese-clip-f32",
    "hf-legacy-eos-f32",
    "hf-tokenizer-bf16",
    "metaclip2-f16",
    "siglip-f32",
    "siglip2-f16",
];

const USED: CopyOptions = CopyOptions {
    precision: StoredPrecision::AsDownloaded,
    omit_table: true,
};

/// Folder whose weights are passed on as copies, with what is asked for of them counted.
struct Copies {
    folder: PathBuf,
    options: CopyOptions,
    /// Bytes of the weights that were asked for, without those of rows.
    asked: Cell<usize>,
    rows: RefCell<Option<Rc<Rows>>>,
}

/// Rows of a file.
struct Rows {
    file: Vec<u8>,
    table: OmittedTable,
    /// Ids that were asked for.
    asked: RefCell<BTreeSet<u32>>,
    /// Whether nothing can be fetched.
    offline: Cell<bool>,
}

impl Copies {
    fn of(folder: &Path, options: CopyOptions) -> Self {
        Self {
            folder: folder.into(),
            options,
            asked: Cell::new(0),
            rows: RefCell::default(),
        }
    }

    fn rows(&self) -> Rc<Rows> {
        self.rows.borrow().clone().unwrap()
    }
}

impl ModelFiles for Copies {
    fn name(&self) -> String {
        "model".into()
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        Ok(fs::read(self.folder.join(file)).ok())
    }

    /// In the ranges that a download asks for.
    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        let Ok(bytes) = fs::read(self.folder.join(file)) else {
            return Ok(false);
        };
        let mut copier = FileCopier::new(bytes.len() as u64, self.options);
        let mut offset = 0;
        loop {
            let (from, to) = copier.seek(offset);
            let to = to.unwrap_or(u64::MAX).min(bytes.len() as u64);
            if from >= to {
                break;
            }
            for piece in bytes[from as usize..to as usize].chunks(1000) {
                self.asked.set(self.asked.get() + piece.len());
                let mut copy = Vec::new();
                copier.push(piece, &mut copy).unwrap();
                let layout = copier.layout();
                if let Some(table) = layout.and_then(CopyLayout::table)
                    && self.rows.borrow().is_none()
                {
                    self.rows.replace(Some(Rc::new(Rows {
                        file: bytes.clone(),
                        table: table.clone(),
                        asked: RefCell::default(),
                        offline: Cell::new(false),
                    })));
                }
                let total = layout.map_or(bytes.len() as u64, CopyLayout::copy_bytes);
                let chunk = Chunk::new(offset, &copy, total);
                if !copy.is_empty() && sink(chunk)?.is_break() {
                    return Ok(true);
                }
                offset += copy.len() as u64;
                if copier.at_gap() {
                    break;
                }
            }
        }
        Ok(true)
    }

    fn token_rows(&self) -> Option<Rc<dyn TokenRows>> {
        let rows = self.rows.borrow().clone();
        rows.map(|rows| rows as Rc<dyn TokenRows>)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        Folder::new(&self.folder)?.clip_vocabulary().await
    }
}

impl TokenRows for Rows {
    fn count(&self) -> usize {
        self.table.rows() as usize
    }

    fn fetch<'a>(&'a self, ids: &'a [u32]) -> RowsFuture<'a> {
        Box::pin(async move {
            if self.offline.get() {
                return Err(HubError::Read {
                    file: "the words".into(),
                    why: "no network".into(),
                });
            }
            self.asked.borrow_mut().extend(ids);
            let row = |id: &u32| {
                let (from, to) = self.table.byte_range(*id, id + 1);
                let row = self.file[from as usize..to as usize].to_vec();
                self.table.convert(row).unwrap()
            };
            Ok(ids.iter().flat_map(row).collect())
        })
    }
}

fn golden(model: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/models").join(model)
}

/// Copy of a model's folder, to change.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

fn open(files: &impl ModelFiles, device: DeviceChoice) -> Engine {
    block_on(async {
        let opened = open_device(device, |_| ()).await.unwrap();
        let bundle = hub::open(files, None).await.unwrap();
        let precision = WeightPrecision::AsStored;
        let engine = Engine::load(files, bundle, opened, precision, &mut |_| ()).await;
        engine.unwrap()
    })
}

/// Texts of different lengths, as ids.
fn texts(engine: &Engine) -> Vec<Vec<u32>> {
    let texts = ["a cat", "a photo of a red house", "dogs"];
    let ids = |text: &&str| engine.tokens(text).unwrap().ids;
    texts.iter().map(ids).collect()
}

fn same_features(folder: &Path, options: CopyOptions, device: DeviceChoice) {
    let part = Copies::of(folder, options);
    let engine = open(&part, device);
    let whole_options = CopyOptions {
        omit_table: false,
        ..options
    };
    let whole = open(&Copies::of(folder, whole_options), device);
    let texts = texts(&whole);
    let name = folder.display();
    let expected = block_on(whole.token_features(&texts)).unwrap();
    assert_eq!(
        block_on(engine.token_features(&texts)).unwrap(),
        expected,
        "{name}"
    );
    // One by one, too: other rows are fetched together.
    for (ids, expected) in texts.iter().zip(&expected) {
        let found = block_on(engine.token_features(std::slice::from_ref(ids))).unwrap();
        let alone = block_on(whole.token_features(std::slice::from_ref(ids))).unwrap();
        assert_eq!(found, alone, "{name}");
        assert_eq!(found[0].len(), expected.len());
    }
    let used: BTreeSet<u32> = texts.iter().flatten().copied().collect();
    assert_eq!(*part.rows().asked.borrow(), used, "{name}");
    let (here, there) = (engine.model_info(), whole.model_info());
    assert_eq!(here.parameters, there.parameters);
    assert_eq!(here.precision, there.precision);
    assert!(here.bytes < there.bytes);
}

#[test]
fn features_are_those_of_the_whole_model() {
    for model in MODELS {
        same_features(&golden(model), USED, DeviceChoice::Cpu);
    }
}

#[test]
fn features_of_a_smaller_copy_are_those_of_the_whole_copy() {
    for precision in [StoredPrecision::F16, StoredPrecision::Int8] {
        let options = CopyOptions { precision, ..USED };
        for model in ["chinese-clip-f32", "siglip-f32"] {
            same_features(&golden(model), options, DeviceChoice::Cpu);
        }
    }
}

/// As on a GPU whose tensors are smaller than the table.
fn with_limit(files: &impl ModelFiles, limit: u64) -> Result<Engine, EngineError> {
    block_on(async {
        let bundle = hub::open(files, None).await.unwrap();
        let mut opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
        opened.max_tensor_bytes = Some(limit);
        let precision = WeightPrecision::AsStored;
        Engine::load(files, bundle, opened, precision, &mut |_| ()).await
    })
}

/// The same features with the table in memory, where its values have so many bytes each.
fn same_features_held(files: &impl ModelFiles, value: usize) {
    let whole = with_limit(files, u64::MAX).unwrap();
    let text = &whole.config().text;
    let table = (text.vocab_size * text.width * value) as u64;
    let held = with_limit(files, table - 1).unwrap();
    let texts = texts(&whole);
    let [expected, found] =
        [&whole, &held].map(|engine| block_on(engine.token_features(&texts)).unwrap());
    assert_eq!(found, expected);
    let [there, here] = [&whole, &held].map(Engine::model_info);
    assert_eq!(here.parameters, there.parameters);
    assert_eq!(here.precision, there.precision);
}

#[test]
fn a_table_that_is_too_large_for_the_device_stays_in_memory() {
    for model in ["openclip-gelu-f16", "hf-legacy-eos-f32", "metaclip2-f16"] {
        let files = Folder::new(&golden(model)).unwrap();
        let value = match model.ends_with("f16") {
            true => 2,
            false => 4,
        };
        same_features_held(&files, value);

        // To train it, the table has to be on the device.
        let whole = with_limit(&files, u64::MAX).unwrap();
        let text = &whole.config().text;
        let table = (text.vocab_size * text.width * value) as u64;
        let engine = with_limit(&files, table - 1).unwrap();
        let bundle = block_on(hub::open(&files, None)).unwrap();
        let target = engine.target_for_training();
        let loaded = block_on(hub::load(
            &files,
            &bundle,
            engine.device(),
            target,
            &mut |_| (),
        ));
        let Err(error) = loaded else {
            panic!("{model}: loaded for training");
        };
        assert!(
            error.to_string().contains("the CPU has no such limit"),
            "{error}"
        );

        let Err(error) = with_limit(&files, 100) else {
            panic!("{model}: loaded");
        };
        assert!(error.is_of_the_device(), "{error}");
        assert!(
            error
                .to_string()
                .contains("a tensor of the model has 1 MiB"),
            "{error}"
        );
    }
}

#[test]
fn a_table_of_a_smaller_copy_or_of_several_files_stays_in_memory() {
    for (precision, value) in [(StoredPrecision::F16, 2), (StoredPrecision::Int8, 2)] {
        let options = CopyOptions {
            precision,
            omit_table: false,
        };
        for model in ["chinese-clip-f32", "siglip-f32"] {
            same_features_held(&Copies::of(&golden(model), options), value);
        }
    }
    let folder = in_several_files("siglip2-f16");
    same_features_held(&Folder::new(folder.path()).unwrap(), 2);
}

#[test]
fn a_table_in_memory_has_finite_values() {
    let from = golden("hf-legacy-eos-f32");
    let folder = copy_of(&from);
    let weights = folder.path().join("model.safetensors");
    let mut file = fs::read(&weights).unwrap();
    let part = Copies::of(&from, USED);
    open(&part, DeviceChoice::Cpu);
    let table = &part.rows().table;
    let (start, end) = table.byte_range(0, table.rows());
    // In the last row, which no text uses.
    file[end as usize - 4..end as usize].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(&weights, file).unwrap();
    let files = Folder::new(folder.path()).unwrap();
    let Err(error) = with_limit(&files, end - start - 1) else {
        panic!("loaded");
    };
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn the_table_is_not_asked_for() {
    for model in MODELS {
        let folder = golden(model);
        let part = Copies::of(&folder, USED);
        open(&part, DeviceChoice::Cpu);
        let weights = fs::metadata(folder.join("model.safetensors")).unwrap();
        let (from, to) = part.rows().table.byte_range(0, part.rows().table.rows());
        // The table comes in pieces of 1000 bytes, of which one reaches into it.
        let rest = (weights.len() - (to - from)) as usize;
        let asked = part.asked.get();
        assert!((rest..=rest + 1000).contains(&asked), "{model}: {asked}");
    }
}

/// Folder of a model with the weights of its text encoder in one file, and the rest in another.
fn in_several_files(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = golden(model);
    for file in ["config.json", "preprocessor_config.json", "tokenizer.json"] {
        fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    let file = fs::read(from.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let mut weight_map = BTreeMap::new();
    for (name, text) in [("a.safetensors", true), ("b.safetensors", false)] {
        let mut tensors = BTreeMap::new();
        let mut data: Vec<u8> = Vec::new();
        for (tensor, info) in &header {
            if tensor == "__metadata__" || tensor.starts_with("text_model") != text {
                continue;
            }
            let at = |i: usize| info["data_offsets"][i].as_u64().unwrap() as usize;
            let bytes = &file[8 + length + at(0)..8 + length + at(1)];
            let offsets = [data.len(), data.len() + bytes.len()];
            data.extend(bytes);
            let mut info = info.clone();
            info["data_offsets"] = json!(offsets);
            tensors.insert(tensor, info);
            weight_map.insert(tensor, name);
        }
        let json = serde_json::to_vec(&tensors).unwrap();
        let bytes = [&(json.len() as u64).to_le_bytes()[..], &json, &data].concat();
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let index = json!({ "weight_map": weight_map }).to_string();
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    folder
}

#[test]
fn weights_in_several_files_work_too() {
    let folder = in_several_files("siglip2-f16");
    same_features(folder.path(), USED, DeviceChoice::Cpu);
}

#[test]
fn words_that_cannot_be_fetched_are_an_error_of_their_texts_only() {
    let files = Copies::of(&golden("siglip2-f16"), USED);
    let mut engine = open(&files, DeviceChoice::Cpu);
    files.rows().offline.set(true);
    let labels = ["cat".to_owned()];
    let Err(error) = block_on(engine.text_features(&labels)) else {
        panic!("encoded without its rows");
    };
    assert!(matches!(error, EngineError::TokenRows(_)));
    let text = error.to_string();
    assert!(text.contains("could not be: the words"), "{text}");
    block_on(engine.warm_up()).unwrap();
    files.rows().offline.set(false);
    let found = block_on(engine.text_features(&labels)).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn what_needs_the_whole_model_is_refused() {
    let files = Copies::of(&golden("siglip2-f16"), USED);
    let engine = open(&files, DeviceChoice::Cpu);
    let bundle = block_on(hub::open(&files, None)).unwrap();
    let loaded = block_on(hub::load(
        &files,
        &bundle,
        engine.device(),
        LoadTarget::default(),
        &mut |_| (),
    ));
    let Err(error) = loaded else {
        panic!("loaded for training");
    };
    let text = error.to_string();
    assert!(text.contains("download it again as a whole"), "{text}");
}

#[test]
fn a_table_of_another_size_is_refused() {
    let folder = copy_of(&golden("siglip2-f16"));
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let larger = text.replace("\"vocab_size\": 600", "\"vocab_size\": 700");
    assert_ne!(larger, text);
    fs::write(&config, larger).unwrap();
    let files = Copies::of(folder.path(), USED);
    let result = block_on(async {
        let bundle = hub::open(&files, None).await?;
        let device = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap().device;
        let target = LoadTarget {
            packing: Some(WeightPrecision::AsStored),
            ..Default::default()
        };
        hub::load(&files, &bundle, &device, target, &mut |_| ()).await
    });
    let Err(error) = result else {
        panic!("loaded");
    };
    assert!(error.to_string().contains("[600, 16]"), "{error}");
}
