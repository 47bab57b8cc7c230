//! Files as people really have them: each case with the value that is right, or with the
//! words that a user needs.
//!
//! The cases are in `tests/fixtures/files.json`, from where `tests/browser/files.test.mjs`
//! takes them, too.

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

mod common;

use clip::data::{DataError, DataFiles, Dataset, InMemory, LeftOut, ZipFiles};
use pollster::block_on;
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    folders: Vec<Case>,
    parts: Vec<Case>,
    names: Vec<Case>,
    tables: Vec<Case>,
    pictures: Vec<PictureCase>,
    zips: Vec<ZipCase>,
}

/// Data set of a few files.
#[derive(Deserialize)]
struct Case {
    name: String,
    files: Vec<(String, String)>,
    expected: String,
    /// Words that are told; none where nothing may be told.
    words: Vec<String>,
}

#[derive(Deserialize)]
struct PictureCase {
    name: String,
    contents: String,
    /// Words of the error; none for a picture that can be read.
    words: Option<String>,
}

#[derive(Deserialize)]
struct ZipCase {
    name: String,
    entries: Vec<ZipEntry>,
    paths: Vec<String>,
    /// Words that are told; none where nothing may be told.
    words: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ZipEntry {
    /// Name, a byte for each character.
    raw: String,
    contents: String,
    /// Whether its flags say that the name is UTF-8.
    utf8: bool,
    /// Name in a Unicode Path field.
    unicode: Option<String>,
    /// Whether that field belongs to another name.
    outdated: bool,
    encrypted: bool,
    /// Compression method that is claimed.
    method: u16,
    /// Whether the checksum is of other contents.
    damaged: bool,
}

static CASES: LazyLock<Cases> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
});

/// Contents of a file: `#7` is a picture of one colour, `latin:` text in Latin-1, `utf16:`
/// text in UTF-16 with a byte-order mark, `hex:` bytes, `file:` a file beside the cases,
/// `cut:40:` its first 40 bytes, anything else text.
fn contents(text: &str) -> Vec<u8> {
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        std::fs::read(folder.join(name)).unwrap()
    };
    if let Some(grey) = text.strip_prefix('#') {
        let grey = image::Luma([grey.parse().unwrap()]);
        let mut bytes = Cursor::new(Vec::new());
        let picture = image::GrayImage::from_pixel(2, 2, grey);
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    } else if let Some(text) = text.strip_prefix("latin:") {
        latin(text)
    } else if let Some(text) = text.strip_prefix("utf16:") {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    } else if let Some(digits) = text.strip_prefix("hex:") {
        let digits = digits.as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(pair).collect()
    } else if let Some(name) = text.strip_prefix("file:") {
        fixture(name)
    } else if let Some((length, name)) = (text.strip_prefix("cut:")).and_then(|t| t.split_once(':'))
    {
        fixture(name)[..length.parse().unwrap()].to_vec()
    } else {
        text.into()
    }
}

/// A byte for each character.
fn latin(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
    bytes.collect()
}

type Files = [(String, String)];

fn in_memory(files: &Files) -> InMemory {
    InMemory {
        name: "data".into(),
        files: (files.iter())
            .map(|(path, text)| (path.to_string(), contents(text)))
            .collect(),
    }
}

/// What a data set is in one line, and all that it tells.
fn read(files: &impl DataFiles) -> (String, Vec<String>) {
    let read = block_on(async {
        let dataset = Dataset::open(files, None).await?;
        dataset
            .read(files, async |_, _| Ok::<_, DataError>(()))
            .await
    });
    let dataset = match read {
        Ok(dataset) => dataset,
        Err(error) => return ("refused".into(), vec![error.to_string()]),
    };
    let mut parts = Vec::new();
    let count = |class| dataset.examples.iter().filter(|e| e.class == class).count();
    let classes: Vec<String> = (dataset.classes.iter().enumerate())
        .map(|(index, name)| format!("{name} {}", count(Some(index))))
        .collect();
    parts.push(match classes.is_empty() {
        true => format!("{} captions", count(None)),
        false => classes.join(", "),
    });
    match dataset
        .held_out
        .iter()
        .filter(|held_out| **held_out)
        .count()
    {
        0 => {}
        count => parts.push(format!("held out {count}")),
    }
    let mut left_out: Vec<String> = (LeftOut::count(&dataset.problems).iter())
        .map(|reason| format!("{} {}", reason.count, reason.problem))
        .collect();
    left_out.sort();
    if !left_out.is_empty() {
        parts.push(format!("left out {}", left_out.join(", ")));
    }
    let told = dataset.problems.iter().map(ToString::to_string);
    (
        parts.join("; "),
        told.chain(dataset.notes.clone()).collect(),
    )
}

fn check(cases: &[Case], open: impl Fn(&Files) -> (String, Vec<String>)) {
    let mut wrong = Vec::new();
    for case in cases {
        let (found, told) = open(&case.files);
        let all = told.join("\n");
        let missing = case.words.iter().filter(|words| !all.contains(*words));
        let missing: Vec<_> = missing.collect();
        let silent = case.words.is_empty() == told.is_empty();
        if found != case.expected || !missing.is_empty() || !silent {
            wrong.push(format!(
                "{}: {found}, not {}; told: {told:?}",
                case.name, case.expected
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn folders_are_read_as_people_have_them() {
    check(&CASES.folders, |files| read(&in_memory(files)));
}

#[test]
fn parts_of_the_data_are_not_classes() {
    check(&CASES.parts, |files| read(&in_memory(files)));
}

#[test]
fn names_are_found_or_told() {
    check(&CASES.names, |files| read(&in_memory(files)));
}

#[test]
fn tables_are_read_in_every_dialect() {
    check(&CASES.tables, |files| read(&in_memory(files)));
}

/// The same cases in a zip: where the files lie makes no difference.
#[test]
fn a_zip_is_like_a_folder() {
    let zipped = |files: &Files| {
        let entries: Vec<ZipEntry> = (files.iter())
            .map(|(path, contents)| ZipEntry {
                raw: String::from_utf8_lossy(path.as_bytes()).into(),
                contents: contents.clone(),
                utf8: true,
                ..ZipEntry::default()
            })
            .collect();
        let bytes = zip(&entries, |entry| entry.raw.clone().into_bytes());
        read(&ZipFiles::open("data".into(), Cursor::new(bytes)).unwrap())
    };
    let Cases {
        folders,
        parts,
        names,
        tables,
        pictures,
        zips,
    } = &*CASES;
    for cases in [folders, parts, names, tables] {
        check(cases, zipped);
    }
    let files = folders.len() + parts.len() + names.len() + tables.len();
    assert!(files >= 100 && pictures.len() >= 60 && zips.len() >= 20);
}

#[test]
fn pictures_are_read_or_named() {
    let mut wrong = Vec::new();
    for case in &CASES.pictures {
        let found = clip::preprocess::decode(&contents(&case.contents));
        let right = match (&found, &case.words) {
            (Ok(_), None) => true,
            (Err(error), Some(words)) => error.to_string().contains(words),
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {:?}", case.name, found.map(|_| "read")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_in_a_zip_are_read_as_they_were_written() {
    let mut wrong = Vec::new();
    for case in &CASES.zips {
        let bytes = zip(&case.entries, |entry| latin(&entry.raw));
        let files = ZipFiles::open("data.zip".into(), Cursor::new(bytes)).unwrap();
        let mut paths = files.paths();
        paths.sort();
        let mut expected = case.paths.clone();
        expected.sort();
        let (_, told) = read(&files);
        let all = told.join("\n");
        let missing = case.words.iter().any(|words| !all.contains(words));
        if paths != expected || missing || case.words.is_empty() != told.is_empty() {
            wrong.push(format!("{}: {paths:?}; told: {told:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A zip of entries that are stored as they are.
fn zip(entries: &[ZipEntry], name_of: impl Fn(&ZipEntry) -> Vec<u8>) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    };
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let name = name_of(entry);
        let bytes = match name.ends_with(b"/") {
            true => Vec::new(),
            false => contents(&entry.contents),
        };
        let flags = u16::from(entry.encrypted) | u16::from(entry.utf8) << 11;
        let extra = match &entry.unicode {
            Some(text) => {
                let of = checksum(&name) ^ u32::from(entry.outdated);
                let field = [&[1][..], &of.to_le_bytes(), text.as_bytes()].concat();
                let length = (field.len() as u16).to_le_bytes();
                [&0x7075u16.to_le_bytes()[..], &length, &field].concat()
            }
            None => Vec::new(),
        };
        let size = (bytes.len() as u32).to_le_bytes();
        let common = [
            &20u16.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &entry.method.to_le_bytes(),
            &[0; 4], // time and date
            &(checksum(&bytes) ^ u32::from(entry.damaged)).to_le_bytes(),
            &size,
            &size,
            &(name.len() as u16).to_le_bytes(),
            &(extra.len() as u16).to_le_bytes(),
        ]
        .concat();
        let offset = (zip.len() as u32).to_le_bytes();
        // Comment, disk and attributes: none.
        directory.extend(
            [
                b"PK\x01\x02\x14\0",
                &common[..],
                &[0; 10],
                &offset,
                &name,
                &extra,
            ]
            .concat(),
        );
        zip.extend([b"PK\x03\x04", &common[..], &name, &extra, &bytes].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, length) = (zip.len() as u32, directory.len() as u32);
    zip.extend(directory);
    zip.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &length.to_le_bytes(),
            &start.to_le_bytes(),
            &[0; 2],
        ]
        .concat(),
    );
    zip
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_named() {
    use clip::data::Directory;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("cat/1.png", "#1"), ("dog/1.png", "#2")] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents(text)).unwrap();
    }
    let odd = OsStr::from_bytes(b"caf\xe9");
    let made = std::fs::create_dir(folder.path().join(odd));
    if made.is_err() {
        return; // the file system has no such names
    }
    std::fs::write(folder.path().join(odd).join("1.png"), contents("#3")).unwrap();
    std::fs::write(folder.path().join("cat").join(odd), contents("#4")).unwrap();
    let (found, told) = read(&Directory::open(folder.path()).unwrap());
    assert_eq!(found, "cat 1, dog 1; left out 2 ignored");
    assert!(told.contains(&"caf\\xE9/ is not used: its name is not UTF-8: rename it".into()));
    assert!(told.contains(&"cat/caf\\xE9 is not used: its name is not UTF-8: rename it".into()));
}

mod models {
    use std::collections::BTreeMap;
    use std::fs;
    use std::ops::ControlFlow;
    use std::path::Path;

    use burn::tensor::{Device, Tensor, TensorData};
    use clip::hub::{self, Chunk, ChunkSink, HubError, ModelFiles};
    use clip::model::TokenBatch;
    use pollster::block_on;
    use serde_json::{Value, json};

    use super::common::{golden, pixels};

    /// A model's files in memory.
    #[derive(Default)]
    struct Memory {
        files: BTreeMap<String, Vec<u8>>,
        weights: Option<String>,
    }

    impl Memory {
        fn golden(model: &str) -> Self {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
            let entries = fs::read_dir(folder.join(model))
                .unwrap()
                .map(Result::unwrap);
            let files = entries.map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            });
            Self {
                files: files.collect(),
                weights: None,
            }
        }

        fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
            self.files.insert(name.into(), bytes.into());
            self
        }

        fn moved(mut self, from: &str, to: &str) -> Self {
            let bytes = self.files.remove(from).unwrap();
            self.with(to, bytes)
        }

        fn without(mut self, name: &str) -> Self {
            self.files.remove(name).unwrap();
            self
        }

        fn named(mut self, weights: &str) -> Self {
            self.weights = Some(weights.into());
            self
        }

        /// Features of an image and of a text, by a model on the CPU.
        fn features(&self) -> Result<[Vec<f32>; 2], String> {
            let numbers = |features: Tensor<2>| features.into_data().try_into_vec::<f32>().unwrap();
            block_on(async {
                let bundle = hub::open(self, None).await?;
                let device = Device::flex();
                let loaded = hub::load(
                    self,
                    &bundle,
                    &device,
                    hub::LoadTarget::default(),
                    &mut |_| (),
                )
                .await?;
                let size = bundle.config.vision.image_size();
                let pixels = TensorData::new(pixels(1, size).concat(), [1, 3, size, size]);
                let image = loaded
                    .model
                    .image_features(Tensor::from_data(pixels, &device));
                let text = &bundle.config.text;
                let ids: Vec<u32> = (0..text.context_length as u32)
                    .map(|i| 11 * i % 300)
                    .collect();
                let rows = [(ids.clone(), text.pool_index(&ids))];
                let batch = TokenBatch::new(&rows, text.causal, &device);
                Ok([image, loaded.model.text_features(batch)].map(numbers))
            })
            .map_err(|error: HubError| error.to_string())
        }

        /// Config and notes, or the error, after all of the weights.
        fn open(&self) -> Result<hub::ModelBundle, String> {
            block_on(async {
                let bundle = hub::open(self, None).await?;
                hub::load(
                    self,
                    &bundle,
                    &Device::flex(),
                    hub::LoadTarget::default(),
                    &mut |_| (),
                )
                .await?;
                Ok::<_, HubError>(bundle)
            })
            .map_err(|error| error.to_string())
        }
    }

    impl ModelFiles for Memory {
        fn name(&self) -> String {
            "model".into()
        }

        fn weights(&self) -> Option<String> {
            self.weights.clone()
        }

        async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
            Ok(self.files.get(file).cloned())
        }

        async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
            let Some(bytes) = self.files.get(file) else {
                return Ok(false);
            };
            for (number, part) in bytes.chunks(1 << 16).enumerate() {
                let chunk = Chunk::new((number << 16) as u64, part, bytes.len() as u64);
                if let ControlFlow::Break(()) = sink(chunk)? {
                    break;
                }
            }
            Ok(true)
        }

        async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
            hub::Bundled.clip_vocabulary().await
        }
    }

    const OPEN_CLIP: &str = "openclip-quick-f32";
    const WEIGHTS: &str = "open_clip_model.safetensors";
    const CONFIG: &str = "open_clip_config.json";
    const INDEX: &str = "open_clip_model.safetensors.index.json";

    fn other(file: &str) -> Vec<u8> {
        Memory::golden("openclip-gelu-f16").files[file].clone()
    }

    #[test]
    fn a_config_beside_named_weights_counts_where_it_fits() {
        let own = Memory::golden(OPEN_CLIP).open().unwrap();
        // Under another name, with its own config: like the folder.
        let files = Memory::golden(OPEN_CLIP).moved(WEIGHTS, "mine.safetensors");
        let found = files.named("mine.safetensors").open().unwrap();
        assert_eq!(
            (found.config, found.notes),
            (own.config.clone(), Vec::new())
        );

        // Beside another model's config of the other layout, which goes first in a folder.
        let config = Memory::golden("hf-gelu-f16").files["config.json"].clone();
        let files = Memory::golden(OPEN_CLIP).with("config.json", config.clone());
        let found = files.named(WEIGHTS).open().unwrap();
        assert_eq!(
            (found.config, found.notes),
            (own.config.clone(), Vec::new())
        );

        // Beside another model's config only: told, and taken from the shapes.
        for (file, config) in [(CONFIG, other(CONFIG)), ("config.json", config)] {
            let files = Memory::golden(OPEN_CLIP).without(CONFIG).with(file, config);
            let found = files.named(WEIGHTS).open().unwrap();
            assert_eq!(found.config.embed_dim, own.config.embed_dim);
            let told = format!("{file} beside the weights belongs to another model");
            assert!(
                found.notes[0].text().starts_with(&told),
                "{:?}",
                found.notes
            );
            assert!(found.notes[1].text().contains("no config with the weights"));
        }
        // A broken config, or one with a key that is not known, may be that of the weights.
        let mut unknown: Value =
            serde_json::from_slice(&Memory::golden(OPEN_CLIP).files[CONFIG]).unwrap();
        unknown["model_cfg"]["text_cfg"]["pooling"] = json!(1);
        for (config, says) in [("{".to_owned(), CONFIG), (unknown.to_string(), "pooling")] {
            let files = Memory::golden(OPEN_CLIP).with(CONFIG, config);
            let error = files.named(WEIGHTS).open().err().unwrap();
            assert!(error.contains(says), "{error}");
        }
        // In a folder nothing is guessed: a config that does not fit is an error.
        let files = Memory::golden(OPEN_CLIP).with(CONFIG, other(CONFIG));
        let error = files.open().err().unwrap();
        assert!(error.contains("the model's config requires"), "{error}");
    }

    /// Splits a file of weights in two, each a file of its own.
    fn halves(weights: &[u8]) -> [Vec<u8>; 2] {
        let tensors = safetensors::SafeTensors::deserialize(weights).unwrap();
        let mut names: Vec<String> = tensors.names().into_iter().map(String::from).collect();
        names.sort_unstable();
        let (first, second) = names.split_at(names.len() / 2);
        [first, second].map(|names| {
            let part = names
                .iter()
                .map(|name| (name, tensors.tensor(name).unwrap()));
            safetensors::serialize(part, None).unwrap()
        })
    }

    #[test]
    fn weights_in_several_files_are_read_as_one() {
        for model in ["openclip-quick-f32", "hf-gelu-f16", "siglip-f32"] {
            let whole = Memory::golden(model);
            let weights = match model.starts_with("openclip") {
                true => WEIGHTS,
                false => "model.safetensors",
            };
            let [first, second] = halves(&whole.files[weights]);
            let index = json!({ "weight_map": {
                "a": "part-00001-of-00002.safetensors", "b": "part-00002-of-00002.safetensors",
            }});
            let expected = whole.features().unwrap();
            let files = whole
                .without(weights)
                .with(&format!("{weights}.index.json"), index.to_string())
                .with("part-00001-of-00002.safetensors", first.clone())
                .with("part-00002-of-00002.safetensors", second);
            assert_eq!(files.features().unwrap(), expected, "{model}");
            let twice = files.with("part-00002-of-00002.safetensors", first);
            assert!(twice.features().unwrap_err().contains("in two files"));
        }
    }

    #[test]
    fn every_pair_of_a_folder_is_tried() {
        let own = Memory::golden(OPEN_CLIP).features().unwrap();
        let marqo =
            r#"{"model_type":"clip","auto_map":{"AutoModel":"m.M"},"open_clip_model_name":"x"}"#;
        let siglip = Memory::golden("siglip-f32").files;
        for (config, weights) in [
            // Somebody else's config, with or without their weights.
            (marqo.as_bytes().to_vec(), None),
            (br#"{"model_type":"bert"}"#.to_vec(), None),
            (siglip["config.json"].clone(), None),
            // Weights that do not fit their config, or are no model.
            (
                br#"{"model_type":"clip"}"#.to_vec(),
                Some(&siglip["model.safetensors"]),
            ),
            (siglip["config.json"].clone(), Some(&b"<html>".to_vec())),
        ] {
            let mut files = Memory::golden(OPEN_CLIP).with("config.json", config);
            if let Some(weights) = weights {
                files = files.with("model.safetensors", weights.clone());
            }
            assert_eq!(files.features().unwrap(), own);
            let told = &files.open().unwrap().notes[0];
            assert!(told.text().starts_with("not used: "), "{told}");
        }
        // A good pair goes first, and none is told apart from the other.
        let files = Memory::golden("siglip-f32")
            .with(CONFIG, Memory::golden(OPEN_CLIP).files[CONFIG].clone());
        let expected = Memory::golden("siglip-f32").features().unwrap();
        assert_eq!(files.features().unwrap(), expected);
        // Where none is good, each says why.
        let files = Memory::golden(OPEN_CLIP)
            .with("config.json", marqo)
            .with(CONFIG, r#"{"embed_dim":8}"#);
        let error = files.features().unwrap_err();
        assert!(
            error.contains("auto_map") && error.contains("vision_cfg"),
            "{error}"
        );
    }

    #[test]
    fn tensors_without_a_place_are_named() {
        let config = |layers: u64| {
            let mut files = Memory::golden(OPEN_CLIP);
            let mut config: Value = serde_json::from_slice(&files.files[CONFIG]).unwrap();
            config["model_cfg"]["vision_cfg"]["layers"] = layers.into();
            files = files.with(CONFIG, config.to_string());
            files.features()
        };
        let error = config(1).unwrap_err();
        assert!(error.contains("visual.transformer.resblocks.1"), "{error}");
        assert!(error.contains("11 more tensors"), "{error}");
        assert!(
            config(3)
                .unwrap_err()
                .contains("have no `visual.transformer.resblocks.2")
        );
        assert!(config(2).is_ok());
    }

    #[test]
    fn a_lone_file_tells_its_assumptions() {
        let files = Memory::golden(OPEN_CLIP).without(CONFIG);
        let notes = files.open().unwrap().notes;
        assert!(
            notes[0]
                .text()
                .contains("1 heads for images and 1 for texts"),
            "{notes:?}"
        );
    }

    /// Keys that change what is computed, as they do in the reference, and are therefore
    /// neither refused nor without effect.
    const MEANT: &[&str] = &[
        "act_kwargs",
        "approximate",
        "context_length",
        "eos_id",
        "eos_token_id",
        "eps",
        "head_width",
        "heads",
        "hidden_act",
        "image_size",
        "layer_norm_eps",
        "max_position_embeddings",
        "model_cfg",
        "model_type",
        "no_causal_mask",
        "norm_kwargs",
        "num_attention_heads",
        "pool_type",
        "quick_gelu",
        "text_config",
        "vision_config",
        "text_cfg",
        "vision_cfg",
    ];

    /// Paths of all keys in an object.
    fn keys(value: &Value, at: &str, found: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            found.push(format!("{at}/{key}"));
            keys(value, &format!("{at}/{key}"), found);
        }
    }

    /// Opens what was changed: refused in words, or the same as before. Returns whether it
    /// was refused.
    fn refused_or_same(files: &Memory, expected: Option<&[Vec<f32>; 2]>, what: &str) -> bool {
        match (files.features(), expected) {
            (Err(error), _) => {
                assert!(error.len() > 20, "{what}: {error}");
                true
            }
            (Ok(found), Some(expected)) => {
                for (found, expected) in found.iter().zip(expected) {
                    assert_eq!(found.len(), expected.len(), "{what}");
                    let off = (found.iter().zip(expected)).map(|(a, b)| (a - b).abs());
                    assert!(off.fold(0.0, f32::max) < 1e-6, "{what}: other features");
                }
                false
            }
            (Ok(_), None) => false,
        }
    }

    #[test]
    fn changed_configs_are_obeyed_or_refused() {
        let values = || {
            [
                json!(null),
                json!(0),
                json!(1),
                json!(2),
                json!(-1),
                json!(7),
                json!(0.5),
                json!(1e300),
                json!(u64::MAX),
                json!(true),
                json!(false),
                json!("other"),
                json!(""),
                json!([]),
                json!([1, 2]),
                json!({}),
                json!({ "unknown": 1 }),
            ]
        };
        let (mut tried, mut refused) = (0, 0);
        for (model, file) in [
            ("openclip-variants-f32", CONFIG),
            ("openclip-first-f16", CONFIG),
            ("openclip-resnet-f16", CONFIG),
            ("hf-gelu-f16", "config.json"),
            ("siglip-f32", "config.json"),
            ("metaclip2-f16", "config.json"),
            ("chinese-clip-f32", "config.json"),
        ] {
            let files = Memory::golden(model);
            let expected = files.features().unwrap();
            let config: Value = serde_json::from_slice(&files.files[file]).unwrap();
            let mut all = Vec::new();
            keys(&config, "", &mut all);
            let mut files = files;
            for path in &all {
                let (parent, key) = path.rsplit_once('/').unwrap();
                if parent.starts_with("/preprocess_cfg") || key == "preprocess_cfg" {
                    continue;
                }
                let meant = MEANT.contains(&key);
                let mut changes: Vec<(String, Value)> = (values().into_iter())
                    .map(|value| (key.to_owned(), value))
                    .collect();
                changes.push((format!("{key}_"), json!(1)));
                for (key, value) in changes {
                    let what = format!("{model} {parent}/{key} = {value}");
                    let mut changed = config.clone();
                    let object = changed.pointer_mut(parent).unwrap();
                    object.as_object_mut().unwrap().insert(key.clone(), value);
                    files = files.with(file, changed.to_string());
                    let known = !key.ends_with('_');
                    let expected = (!(meant && known)).then_some(&expected);
                    tried += 1;
                    let was_refused = refused_or_same(&files, expected, &what);
                    // Beside `model_cfg` anything may stand.
                    assert!(known || was_refused || key == "model_cfg_", "{what}");
                    refused += usize::from(was_refused);
                }
            }
        }
        assert!(tried > 1500 && refused > tried / 3, "{refused} of {tried}");
    }

    /// A value that is obeyed means what it means to open_clip or transformers; what they refuse
    /// is refused.
    #[test]
    fn changed_values_mean_what_they_mean_to_the_reference() {
        #[derive(serde::Deserialize)]
        struct Golden {
            changes: Vec<Change>,
        }
        #[derive(serde::Deserialize)]
        struct Change {
            model: String,
            path: String,
            value: Value,
            features: Option<[Vec<f32>; 2]>,
        }
        let json = std::fs::read(golden("configs.json")).unwrap();
        let golden: Golden = serde_json::from_slice(&json).unwrap();
        let (mut obeyed, mut refused) = (0, 0);
        for Change {
            model,
            path,
            value,
            features,
        } in golden.changes
        {
            let files = Memory::golden(&model);
            let file = match files.files.contains_key(CONFIG) {
                true => CONFIG,
                false => "config.json",
            };
            let mut config: Value = serde_json::from_slice(&files.files[file]).unwrap();
            let (parent, key) = path.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[key] = value.clone();
            let what = format!("{model} {path} = {value}");
            match (files.with(file, config.to_string()).features(), features) {
                (Ok(_), None) => panic!("{what} is refused by the reference"),
                (Err(_), _) => refused += 1,
                (Ok(found), Some(expected)) => {
                    obeyed += 1;
                    for (found, expected) in found.iter().zip(&expected) {
                        assert_eq!(found.len(), expected.len(), "{what}");
                        let off = (found.iter().zip(expected)).map(|(a, b)| (a - b).abs());
                        let off = off.fold(0.0, f32::max);
                        assert!(off < 1e-4, "{what}: {off}");
                    }
                }
            }
        }
        assert!(
            obeyed > 180 && refused > 38,
            "{obeyed} obeyed, {refused} refused"
        );
    }

    /// Numbers below a bound, always the same.
    fn random() -> impl FnMut(usize) -> usize {
        let mut state = 1u64;
        move |below| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn changed_headers_are_refused_or_harmless() {
        let mut random = random();
        let mut refused = 0;
        for (model, weights) in [
            ("openclip-eos-f16", WEIGHTS),
            ("hf-legacy-eos-f32", "model.safetensors"),
            ("siglip-f32", "model.safetensors"),
            ("chinese-clip-f32", "model.safetensors"),
        ] {
            let mut files = Memory::golden(model);
            let expected = files.features().unwrap();
            let original = files.files[weights].clone();
            let length = u64::from_le_bytes(*original.first_chunk().unwrap()) as usize;
            for _ in 0..2000 {
                let mut changed = original.clone();
                let place = random(8 + length);
                let byte = match random(3) {
                    0 => b"0123456789"[random(10)],
                    1 => b"abnqkvwFIBTF_.\"[]{},:"[random(21)],
                    _ => random(256) as u8,
                };
                let what = format!("{model}: byte {place} = {byte}");
                changed[place] = byte;
                files = files.with(weights, changed);
                refused += usize::from(refused_or_same(&files, Some(&expected), &what));
            }
        }
        assert!(refused > 3000, "{refused}");
    }

    #[test]
    fn the_processor_of_transformers_5_goes_first() {
        let processor = |size: u32| {
            format!(
                r#"{{"image_processor": {{"size": {{"shortest_edge": {size}}},
                "crop_size": {{"height": {size}, "width": {size}}}, "image_mean": [0.1, 0.2, 0.3]}}}}"#
            )
        };
        let files = || Memory::golden("hf-gelu-f16");
        let size = files().open().unwrap().preprocess.image_size;
        let both = files().with("processor_config.json", processor(size as u32));
        assert_eq!(both.open().unwrap().preprocess.mean, [0.1, 0.2, 0.3]);
        let older = files().with(
            "processor_config.json",
            r#"{"processor_class": "CLIPProcessor"}"#,
        );
        let before = files().open().unwrap().preprocess;
        assert_eq!(older.open().unwrap().preprocess, before);
        let wrong = files().with("processor_config.json", processor(size as u32 + 8));
        assert!(wrong.open().err().unwrap().contains("do not match"));
        let broken = files().with("processor_config.json", "{");
        assert!(broken.open().err().unwrap().contains("preprocessor config"));
    }

    #[test]
    fn any_file_of_siglips_tokenizer_will_do() {
        const JSON: &str = "tokenizer.json";
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let spiece = fs::read(golden.join("tiny_spiece.model")).unwrap();
        let without = || Memory::golden("siglip-f32").without(JSON);
        without()
            .with("spiece.model", spiece.clone())
            .open()
            .unwrap();
        let gemma = fs::read(golden.join("tiny_gemma.model")).unwrap();
        without().with("tokenizer.model", gemma).open().unwrap();
        // What a server answers in place of a file that it has not.
        let page = without().with(JSON, "<!doctype html>");
        let error = page.open().err().unwrap();
        assert!(error.contains(JSON), "{error}");
        let beside = without().with(JSON, "<!doctype html>");
        beside.with("spiece.model", spiece).open().unwrap();
    }

    #[test]
    fn what_is_no_model_is_named() {
        let safetensors = |name: &str, metadata: &str| {
            let header = format!(
                r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"__metadata__":{metadata}}}"#
            );
            [
                &(header.len() as u64).to_le_bytes(),
                header.as_bytes(),
                &[0; 4],
            ]
            .concat()
        };
        let none = Memory::default;
        let whole = || Memory::golden(OPEN_CLIP);
        let lora = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight";
        let mut cut = whole().files[WEIGHTS].clone();
        cut.truncate(cut.len() - 100);
        for (files, words) in [
            (none(), "does not contain a CLIP model"),
            (
                none().with("adapter_config.json", "{}"),
                "this is a LoRA adapter, not a model",
            ),
            (
                none()
                    .with("a.safetensors", safetensors(lora, "{}"))
                    .named("a.safetensors"),
                "this is a LoRA adapter",
            ),
            (
                none()
                    .with(
                        "h.safetensors",
                        safetensors("weight", r#"{"clip_head":"1"}"#),
                    )
                    .named("h.safetensors"),
                "use it with `--head`",
            ),
            (
                none()
                    .with("x.safetensors", safetensors("weight", "{}"))
                    .named("x.safetensors"),
                "not a CLIP model",
            ),
            (
                none().with("model.safetensors.index.json", "{}"),
                "the weights are in several files",
            ),
            (
                whole().without(WEIGHTS).with(INDEX, "{}"),
                "index.json cannot be used",
            ),
            (
                whole().without(WEIGHTS).with(
                    INDEX,
                    r#"{"weight_map":{"a":"a-00001-of-00002.safetensors"}}"#,
                ),
                "which is not there",
            ),
            (whole().without("tokenizer.json"), "no file of a tokenizer"),
            (
                whole()
                    .moved(WEIGHTS, "model-00001-of-00002.safetensors")
                    .named("model-00001-of-00002.safetensors"),
                "several files (model-00001-of-00002.safetensors)",
            ),
            (whole().without(WEIGHTS), "but its weights"),
            (whole().with(WEIGHTS, ""), "it is empty"),
            (whole().with(WEIGHTS, cut), "download the file again"),
            (
                whole().with(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid"),
                "Git LFS pointer",
            ),
            (
                whole().with(WEIGHTS, "<!DOCTYPE html><html>"),
                "it is a web page",
            ),
            (
                whole().with(WEIGHTS, b"PK\x03\x04\x14\0\0\0\0\0\0\0".to_vec()),
                "PyTorch's pickle format",
            ),
            (
                whole().with(WEIGHTS, b"GGUF\x03\0\0\0\0\0\0\0".to_vec()),
                "GGUF",
            ),
            (whole().with(CONFIG, "{"), "JSON"),
            (whole().with("tokenizer.json", "{"), "tokenizer"),
        ] {
            let error = files
                .open()
                .err()
                .unwrap_or_else(|| panic!("opened: {words}"));
            assert!(error.contains(words), "{words}: {error}");
        }
        // A name that only looks like that of a part.
        let files = whole().moved(WEIGHTS, "vit-1-of-2.safetensors");
        assert!(files.named("vit-1-of-2.safetensors").open().is_ok());
    }
}
