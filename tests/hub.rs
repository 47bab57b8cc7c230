//! The command and a hub that behaves, and misbehaves, like the real one
//! (`tests/hub/server.py`).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use burn::tensor::Device;
use clip::hub::{self, Folder};
use clip::weights::{KeyMap, Precision, save};
use serde_json::Value;
use tempfile::TempDir;

/// A hub with one repository, and a cache of its own.
struct Hub {
    server: Child,
    url: String,
    models: TempDir,
    home: TempDir,
}

const MODEL: &str = "someone/tiny-clip";

impl Hub {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let models = tempfile::tempdir().unwrap();
        let repository = models.path().join(MODEL);
        fs::create_dir_all(&repository).unwrap();
        let golden = root.join("tests/golden/models/hf-tokenizer-bf16");
        for file in [
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "tokenizer.json",
        ] {
            fs::copy(golden.join(file), repository.join(file)).unwrap();
        }
        let mut server = Command::new("python3")
            .arg(root.join("tests/hub/server.py"))
            .args(["--port", "0", "--models"])
            .arg(models.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            server,
            url: url.trim().into(),
            models,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// `clip embed` of one text with a model of the hub that behaves as told.
    fn embed(&self, behaviour: &str, model: &str) -> Result<Value, String> {
        self.embed_with_notes(behaviour, model)
            .map(|(answer, _)| answer)
    }

    /// The same, and what was said on the way.
    fn embed_with_notes(&self, behaviour: &str, model: &str) -> Result<(Value, String), String> {
        let output = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args([
                "embed", "--device", "cpu", "--texts", "a cat", "--json", "--model", model,
            ])
            .env("HF_ENDPOINT", format!("{}{behaviour}", self.url))
            .env("HF_HOME", self.home.path())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("panicked"), "{errors}");
        match output.status.success() {
            true => Ok((serde_json::from_slice(&output.stdout).unwrap(), errors)),
            false => Err(errors),
        }
    }

    fn log(&self) -> Vec<Value> {
        let log = ureq::get(format!("{}/log", self.url)).call().unwrap();
        serde_json::from_reader(log.into_body().into_reader()).unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn features(answer: &Value) -> &Value {
    &answer["texts"][0]["features"]
}

#[test]
fn a_model_comes_from_the_hub_and_is_kept_where_others_keep_theirs() {
    let hub = Hub::start();
    let folder = hub.models.path().join(MODEL);
    let expected = hub.embed("", folder.to_str().unwrap()).unwrap();
    let fetched = hub.embed("", MODEL).unwrap();
    assert_eq!(features(&fetched), features(&expected));
    let kept = hub.home.path().join("hub/models--someone--tiny-clip");
    assert!(kept.join("refs/main").exists());
    assert_eq!(fs::read_dir(kept.join("snapshots")).unwrap().count(), 1);

    // Again: the weights are not fetched a second time.
    let sent = |log: &[Value]| -> u64 { log.iter().filter_map(|r| r["sent"].as_u64()).sum() };
    let before = sent(&hub.log());
    assert_eq!(
        features(&hub.embed("", MODEL).unwrap()),
        features(&expected)
    );
    let weights = fs::metadata(folder.join("model.safetensors"))
        .unwrap()
        .len();
    assert!(sent(&hub.log()) - before < weights / 2);

    // And without a network.
    assert_eq!(
        features(&hub.embed("/offline", MODEL).unwrap()),
        features(&expected)
    );
    let commit = fs::read_to_string(kept.join("refs/main")).unwrap();
    let pinned = format!("{MODEL}@{commit}");
    assert_eq!(
        features(&hub.embed("", &pinned).unwrap()),
        features(&expected)
    );
}

#[test]
fn a_broken_download_is_taken_up_where_it_stopped() {
    let hub = Hub::start();
    let folder = hub.models.path().join(MODEL);
    let expected = hub.embed("", folder.to_str().unwrap()).unwrap();
    let fetched = hub.embed("/break-once-30000", MODEL).unwrap();
    assert_eq!(features(&fetched), features(&expected));
    let ranges: Vec<String> = (hub.log().iter())
        .filter_map(|request| request["range"].as_str().map(str::to_owned))
        .collect();
    assert!(
        ranges.iter().any(|range| range == "bytes=30000-"),
        "{ranges:?}"
    );
}

#[test]
fn a_newer_file_on_the_hub_is_fetched() {
    let hub = Hub::start();
    let folder = hub.models.path().join(MODEL);
    let first = hub.embed("", MODEL).unwrap();
    let weights = folder.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    // Another temperature: logit_scale lies first, as bf16.
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    bytes[data..data + 2].copy_from_slice(&[0x00, 0x40]);
    fs::write(&weights, bytes).unwrap();
    let second = hub.embed("", MODEL).unwrap();
    assert_ne!(first["logit_scale"], 2.0);
    assert_eq!(second["logit_scale"], 2.0);
}

#[test]
fn what_goes_wrong_is_said() {
    let hub = Hub::start();
    let says = |behaviour: &str, model: &str, word: &str| {
        let error = hub.embed(behaviour, model).unwrap_err();
        assert!(error.contains(word), "{behaviour} {model}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    says("", "someone/else", "no such repository");
    says("", "no-such-folder", "neither");
    says("/gated", MODEL, "agree");
    says("/error-500", MODEL, "500");
    says("/error-429", MODEL, "wait");
    says("/offline", MODEL, MODEL);
    says("/html", MODEL, MODEL);
    says("/truncated-20000", MODEL, "end after 20000");
}

#[test]
fn the_same_weights_of_another_repository_are_taken_and_told_of() {
    const PICKLED: &str = "openai/clip-vit-base-patch32";
    const TWIN: &str = "timm/vit_base_patch32_clip_224.openai";
    let hub = Hub::start();
    let expected = hub.embed("", MODEL).unwrap();
    let tiny = hub.models.path().join(MODEL);
    let [pickled, twin] = [PICKLED, TWIN].map(|name| hub.models.path().join(name));
    fs::create_dir_all(&pickled).unwrap();
    fs::create_dir_all(&twin).unwrap();
    for file in ["config.json", "preprocessor_config.json", "tokenizer.json"] {
        fs::copy(tiny.join(file), pickled.join(file)).unwrap();
    }
    fs::write(pickled.join("pytorch_model.bin"), b"\x80\x02").unwrap();
    let missing = hub.embed("", PICKLED).unwrap_err();
    assert!(missing.contains(TWIN), "{missing}");

    // In OpenCLIP's names, as timm has them.
    let weights = pollster::block_on(async {
        let files = Folder::new(&tiny).unwrap();
        let bundle = hub::open(&files, None).await.unwrap();
        let device = Device::flex();
        let loaded = hub::load(&files, &bundle, &device, Default::default(), &mut |_| ()).await;
        let model = loaded.unwrap().model;
        let saved = save(&model, &bundle.config, KeyMap::OpenClip, Precision::F32);
        saved.await.unwrap()
    });
    fs::write(twin.join("open_clip_model.safetensors"), weights).unwrap();
    for behaviour in ["", "/offline"] {
        let (found, notes) = hub.embed_with_notes(behaviour, PICKLED).unwrap();
        let [found, expected] =
            [&found, &expected].map(|answer| features(answer).as_array().unwrap());
        assert_eq!(found.len(), expected.len());
        let pairs = found.iter().zip(expected);
        let distance = pairs
            .map(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1e-6, "{distance}");
        assert!(notes.contains(TWIN), "{notes}");
    }
}

#[test]
fn weights_that_the_hubs_bot_has_converted_are_taken_and_told_of() {
    let hub = Hub::start();
    let expected = hub.embed("", MODEL).unwrap();
    let owner = hub.models.path().join("someone");
    // A repository as it was, and the bot's pull request beside that of somebody else.
    let pickled = owner.join("pickled");
    for (name, has_weights) in [
        ("pickled", false),
        ("pickled@refs-pr-1", true),
        ("pickled@refs-pr-2", false),
    ] {
        fs::create_dir(owner.join(name)).unwrap();
        for file in fs::read_dir(owner.join("tiny-clip")).unwrap() {
            let file = file.unwrap();
            if has_weights || file.file_name() != "model.safetensors" {
                fs::copy(file.path(), owner.join(name).join(file.file_name())).unwrap();
            }
        }
    }
    fs::write(pickled.join("pytorch_model.bin"), b"\x80\x02").unwrap();
    fs::write(owner.join("pickled@refs-pr-2/model.safetensors"), b"other").unwrap();
    let list = |pull_requests: &[(u64, &str)]| {
        let discussions: Vec<Value> = (pull_requests.iter())
            .map(|(num, author)| {
                serde_json::json!({
                    "num": num, "author": { "name": author }, "status": "open",
                    "isPullRequest": true, "title": "Adding `safetensors` variant of this model",
                })
            })
            .collect();
        let text = Value::from(discussions).to_string();
        fs::write(owner.join("pickled.discussions.json"), text).unwrap();
    };
    let missing = hub.embed("", "someone/pickled").unwrap_err();
    assert!(missing.contains("pytorch_model.bin"), "{missing}");
    list(&[(2, "somebody")]);
    let missing = hub.embed("", "someone/pickled").unwrap_err();
    assert!(missing.contains("pytorch_model.bin"), "{missing}");

    list(&[(2, "somebody"), (1, "SFconvertbot")]);
    let (found, notes) = hub.embed_with_notes("", "someone/pickled").unwrap();
    assert_eq!(features(&found), features(&expected));
    assert!(notes.contains("someone/pickled@refs/pr/1"), "{notes}");
    // Again, without a network.
    let (found, notes) = hub.embed_with_notes("/offline", "someone/pickled").unwrap();
    assert_eq!(features(&found), features(&expected));
    assert!(notes.contains("someone/pickled@refs/pr/1"), "{notes}");

    // With two configs, neither of which has weights beside it.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let config = golden.join("openclip-gelu-f16/open_clip_config.json");
    fs::copy(config, pickled.join("open_clip_config.json")).unwrap();
    let found = hub.embed("", "someone/pickled").unwrap();
    assert_eq!(features(&found), features(&expected));
}

#[test]
fn data_sets_of_the_hub_are_fetched_once_and_evaluated() {
    let hub = Hub::start();
    let set = hub.models.path().join("someone/shapes");
    fs::create_dir_all(set.join("test")).unwrap();
    fs::write(set.join("classnames.txt"), "cat\npizza\n").unwrap();
    fs::write(set.join("test/nshards.txt"), "2").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (shard, class) in ["cat", "pizza"].iter().enumerate() {
        let file = fs::File::create(set.join(format!("test/{shard}.tar"))).unwrap();
        let mut tar = tar::Builder::new(file);
        let image = fs::read(root.join(format!("tests/fixtures/drawings/{class}.png"))).unwrap();
        for (name, bytes) in [("s0.png", image), ("s0.cls", shard.to_string().into())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        tar.finish().unwrap();
    }
    let evaluate = |behaviour: &str, address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(["evaluate", "--device", "cpu", "--json", "--data", address])
            .env("HF_ENDPOINT", format!("{}{behaviour}", hub.url))
            .env("HF_HOME", hub.home.path())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    };
    let found = evaluate("", "hf://datasets/someone/shapes").unwrap();
    assert_eq!(found["evaluation"]["images"], 2);
    let sent = || -> u64 {
        hub.log()
            .iter()
            .map(|entry| entry["sent"].as_u64().unwrap())
            .sum()
    };
    let before = sent();
    let again = evaluate("", "https://huggingface.co/datasets/someone/shapes").unwrap();
    assert_eq!(again["metrics"], found["metrics"]);
    assert!(sent() - before < 1000, "the shards are cached");

    let error = evaluate("", &format!("hf://datasets/{MODEL}")).unwrap_err();
    assert!(error.contains("CLIP_benchmark"), "{error}");
    let error = evaluate("", "hf://datasets/someone").unwrap_err();
    assert!(error.contains("hf://datasets/owner/name"), "{error}");
}
