//! `kill -9` of the command at any moment: a run that is resumed afterwards ends as one that
//! nobody touched.
//!
//! A few kills by default; `scripts/fuzz kills` sets `CLIP_KILLS`, the kills of each test. The
//! moments follow from `CLIP_SEED`.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clip::library::Index;
use common::{Random, file, golden, pretraining_data};
use serde_json::Value;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn clip(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clip"));
    command.args(arguments).stdout(Stdio::null());
    command
}

/// Runs a command to its end; the time that it took.
fn to_the_end(arguments: &[String]) -> Duration {
    let begun = Instant::now();
    let output = clip(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    begun.elapsed()
}

/// Kills a command after a time. Whether it was still running.
fn kill(arguments: &[String], after: Duration) -> bool {
    let mut child = clip(arguments).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let runs = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    runs
}

/// Kills runs of one kind, each up to five times before it may come to its end. `run` gives the
/// command's arguments for a folder, as they are then; `check` sees the folder after every kill,
/// and `result` reads what a run ended with.
fn kill_and_resume<R: PartialEq + std::fmt::Debug>(
    name: &str,
    few: u64,
    run: impl Fn(&Path) -> Vec<String>,
    check: impl Fn(&Path),
    result: impl Fn(&Path) -> R,
) {
    let kills = setting("CLIP_KILLS").unwrap_or(few);
    if kills == 0 {
        return;
    }
    let mut random = Random::new(setting("CLIP_SEED").unwrap_or(22));
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let time = to_the_end(&run(&whole));
    let expected = result(&whole);
    let (mut hit, mut runs) = (0, 0);
    while hit < kills {
        let out = folder.path().join(format!("broken-{runs}"));
        fs::create_dir(&out).unwrap();
        for _ in 0..(kills - hit).min(5) {
            let after = time.mul_f64(random.below(1000) as f64 / 1000.0);
            if !kill(&run(&out), after) {
                break;
            }
            hit += 1;
            check(&out);
        }
        to_the_end(&run(&out));
        assert!(
            result(&out) == expected,
            "{name}, run {runs}: another result"
        );
        fs::remove_dir_all(&out).unwrap();
        runs += 1;
        assert!(runs < 20 + 4 * kills, "{name}: too fast to be killed");
    }
    eprintln!("kills: {name}: {hit} kills, {runs} runs ended the same");
}

/// Arguments by words, and such as contain spaces.
fn arguments(words: &str, more: &[&str]) -> Vec<String> {
    let words = words.split_whitespace().chain(more.iter().copied());
    words.map(str::to_owned).collect()
}

/// Header and tensors of all weights below a folder, by path.
fn weights(folder: &Path) -> BTreeMap<String, (Value, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            let inner = weights(&path).into_iter();
            found.extend(inner.map(|(path, weights)| (format!("{name}/{path}"), weights)));
        } else if name.ends_with(".safetensors") {
            let bytes = fs::read(path).unwrap();
            let (length, rest) = bytes.split_first_chunk().unwrap();
            // Metadata have no order.
            let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
            found.insert(
                name,
                (serde_json::from_slice(header).unwrap(), tensors.into()),
            );
        }
    }
    found
}

/// A tiny model: a run takes seconds.
fn tiny_model() -> String {
    golden("models/hf-tokenizer-bf16").display().to_string()
}

/// Kills `clip train`, which saves checkpoints all along.
fn train(method: &str, words: &str) {
    let (data, model) = (file("assets/samples/training.zip"), tiny_model());
    kill_and_resume(
        &format!("train --method {method}"),
        2,
        |out| {
            let path = out.display().to_string();
            let mut all = arguments(
                "train --device cpu --save-every 0.05 --method",
                &[method, "--data", &data, "--model", &model],
            );
            all.extend(arguments(words, &["--out", &path]));
            if out.join("state").exists() {
                all.push("--resume".into());
            }
            all
        },
        |_| (),
        |out| {
            let report: Value =
                serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
            let found = weights(out);
            assert!(!found.is_empty() && !out.join("state").exists());
            (report["curves"][0].clone(), report["after"].clone(), found)
        },
    );
}

/// A kill between two checkpoints of the bundled model is in `tests/command.rs`.
#[test]
fn a_killed_lora_is_resumed() {
    train("lora", "--epochs 60 --batch-size 16 --micro-batch 16");
}

#[test]
fn a_killed_fine_tuning_is_resumed() {
    train("full", "--epochs 60 --batch-size 16 --micro-batch 8");
}

/// They keep no state: a run begins again, whatever a kill has left.
#[test]
fn a_killed_head_is_trained_again() {
    train("probe", "");
    train("adapter", "");
}

#[test]
fn a_killed_pretraining_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    pretraining_data(folder.path(), 8);
    let data = folder.path().display().to_string();
    let tokenizer = file("assets/model/tokenizer.json");
    kill_and_resume(
        "pretrain",
        5,
        |out| {
            let path = out.display().to_string();
            let words = "pretrain --batch-size 4 --image-size 32 --width 8 --embed-dim 64 --steps 40 \
                         --text-width 64 --text-layers 1 --every 4 --warmup-steps 1";
            let places = ["--data", &data, "--tokenizer", &tokenizer, "--out", &path];
            let mut all = arguments(words, &places);
            if out.join("state.safetensors").exists() {
                all.push("--resume".into());
            }
            all
        },
        |_| (),
        |out| {
            let curve = fs::read_to_string(out.join("curve.csv")).unwrap();
            // Without the minutes.
            let rows = curve.lines().map(|row| {
                let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
                cells.remove(1);
                cells
            });
            (rows.collect::<Vec<_>>(), weights(out))
        },
    );
}

#[test]
fn a_killed_indexing_is_resumed() {
    let images = tempfile::tempdir().unwrap();
    let samples = ["cat.jpg", "pizza.png", "rocket.jpg", "flower.jpg"];
    for copy in 0..25 {
        for sample in samples {
            let to = images.path().join(format!("{copy}-{sample}"));
            fs::copy(file(&format!("assets/samples/{sample}")), to).unwrap();
        }
    }
    let (folder, model) = (images.path().display().to_string(), tiny_model());
    let index = |out: &Path| out.join("index.safetensors");
    kill_and_resume(
        "index",
        2,
        |out| {
            let index = index(out).display().to_string();
            let places = ["--model", &model, "--index", &index, &folder];
            arguments("index --device cpu --save-every 0.05", &places)
        },
        // The index and its parts are whole at any moment.
        |out| {
            for entry in fs::read_dir(out).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with("index.safetensors") && !name.ends_with(".lock") {
                    Index::read(&fs::read(entry.path()).unwrap()).unwrap();
                }
            }
        },
        |out| {
            let left = fs::read_dir(out).unwrap().map(Result::unwrap);
            let names: Vec<_> = left.map(|entry| entry.file_name()).collect();
            assert!(
                !names
                    .iter()
                    .any(|name| name.to_string_lossy().contains(".part-")),
                "{names:?}"
            );
            let found = Index::read(&fs::read(index(out)).unwrap()).unwrap();
            let entries: Vec<_> = found.entries().to_vec();
            (entries, found.features().to_vec())
        },
    );
}
