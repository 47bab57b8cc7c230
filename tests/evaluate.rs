//! `clip evaluate` as people and scripts use it.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::file;
use serde_json::Value;

fn evaluate(data: &Path, more: &[&str]) -> Output {
    let data = data.display().to_string();
    let arguments = ["evaluate", "--data", &data, "--device", "cpu"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_clip"));
    command.args([&arguments, more].concat()).output().unwrap()
}

fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(data: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&text(evaluate(data, &[more, &["--json"]].concat()))).unwrap()
}

/// The one line that a failure prints.
fn failure(data: &Path, more: &[&str]) -> String {
    common::failure(evaluate(data, more))
}

/// So many different pictures of each of the classes.
fn pictures(classes: &[&str], count: u32, mut keep: impl FnMut(&str, u32, Vec<u8>)) {
    for class in classes {
        let sample = image::open(file(&format!("tests/fixtures/drawings/{class}.png"))).unwrap();
        let sample = sample.to_rgba8();
        for margin in 0..count {
            let (width, height) = (sample.width() + 6 * margin, sample.height() + 4 * margin);
            let white = image::Rgba([255; 4]);
            let mut picture = image::RgbaImage::from_pixel(width, height, white);
            image::imageops::overlay(&mut picture, &sample, i64::from(5 * margin), 3);
            let mut png = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            keep(class, margin, png.into_inner());
        }
    }
}

const CLASSES: [&str; 3] = ["cat", "pizza", "guitar"];

fn folder_of_classes(data: &Path, count: u32) {
    pictures(&CLASSES, count, |class, number, png| {
        fs::create_dir_all(data.join(class)).unwrap();
        fs::write(data.join(class).join(format!("{number}.png")), png).unwrap();
    });
}

#[test]
fn a_report_has_every_part_and_the_same_figures_as_the_json() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    folder_of_classes(&data, 8);
    let page = folder.path().join("new/report.html");
    let found = json(
        &data,
        &[
            "--report",
            &page.display().to_string(),
            "--shots",
            "1,2,all",
            "--draws",
            "2",
            "--templates",
            "cifar10",
            "--compare",
            "bundled",
            "--limits",
        ],
    );
    assert_eq!(found["templates"].as_array().unwrap().len(), 18);
    let metrics = &found["metrics"];
    assert_eq!(metrics["images"], 24);
    assert_eq!(metrics["top_1"]["value"], found["evaluation"]["top_1"]);
    assert_eq!(
        metrics["mean_per_class"]["value"],
        found["evaluation"]["mean_per_class"]
    );
    for name in ["top_1", "top_5", "mean_per_class", "macro_f1"] {
        let [low, value, high] =
            ["low", "value", "high"].map(|end| metrics[name][end].as_f64().unwrap());
        assert!(
            (0.0..=1.0).contains(&low) && low <= value && value <= high && high <= 1.0,
            "{name}"
        );
    }
    let names: Vec<&str> = (found["prompts"]["sets"].as_array().unwrap().iter())
        .map(|set| set["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "label only",
            "A photo of a {label}.",
            "cifar10 (18)",
            "imagenet (80)"
        ]
    );
    assert_eq!(found["prompts"]["sets"][2]["top_1"], metrics["top_1"]);

    // Half of the 24 are tested on, two draws of one and two shots, one of all.
    let shots = &found["shots"];
    assert_eq!((&shots["tested"], &shots["pool"]), (&12.into(), &12.into()));
    for method in shots["methods"].as_array().unwrap() {
        let draws: Vec<usize> = (method["points"].as_array().unwrap().iter())
            .map(|point| point["accuracies"].as_array().unwrap().len())
            .collect();
        assert_eq!(draws, [2, 2, 1], "{}", method["method"]);
    }
    // The same model on both sides.
    let test = &found["comparison"]["test"];
    assert_eq!(
        (&test["only_first"], &test["only_second"]),
        (&0.into(), &0.into())
    );
    assert_eq!(test["p_value"], 1.0);
    let limits: Vec<&str> = (found["limits"].as_array().unwrap().iter())
        .map(|limit| limit["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        limits,
        [
            "Counting",
            "Left and right",
            "Nearest and farthest",
            "Digits",
            "Handwritten digits",
            "Written words",
            "Unusual styles",
            "Negation",
            "Bias"
        ]
    );
    assert_eq!(found["limits"][5]["images"], 24);

    let page = fs::read_to_string(&page).unwrap();
    let sections = [
        "prompts",
        "shots",
        "models",
        "calibration",
        "classes",
        "confusion",
        "limits",
        "method",
    ];
    for section in sections {
        assert!(
            page.contains(&format!("<section id=\"{section}\"")),
            "{section}"
        );
    }
    let top_1 = 100.0 * metrics["top_1"]["value"].as_f64().unwrap();
    assert!(page.contains(&format!("<dt>Top-1</dt><dd>{top_1:.1} %")));
    assert!(!page.contains("<script"));
}

#[test]
fn the_text_has_intervals_and_comparisons() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    folder_of_classes(&data, 4);
    let templates = folder.path().join("mine.txt");
    fs::write(&templates, "# mine\na drawing of a {c}\n").unwrap();
    let shown = text(evaluate(
        &data,
        &[
            "--templates",
            &templates.display().to_string(),
            "--shots",
            "1",
        ],
    ));
    assert!(shown.starts_with("12 images, 3 classes\n"), "{shown}");
    for line in [
        "top-1 ",
        "macro F1 ",
        "ECE ",
        "mine.txt (1)",
        "imagenet (80)",
        "linear probe",
        "GDA",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let plain = text(evaluate(&data, &["--template", "A drawing of a {label}."]));
    assert!(!plain.contains("by templates"), "{plain}");

    let wrong = failure(&data, &["--templates", "no-such-set"]);
    assert!(
        wrong.contains("no-such-set") && wrong.contains("imagenet-simple"),
        "{wrong}"
    );
    fs::write(&templates, "a drawing\n").unwrap();
    let wrong = failure(&data, &["--templates", &templates.display().to_string()]);
    assert!(wrong.contains("\"a drawing\" has no {label}"), "{wrong}");
    let wrong = failure(&data, &["--shots", "1,none"]);
    assert!(wrong.contains("neither a number"), "{wrong}");
    let wrong = failure(&data, &["--shots", "64"]);
    assert!(wrong.contains("no class has so many images"), "{wrong}");
    let wrong = failure(&data, &["--class-names", "mnist"]);
    assert!(
        wrong.contains("\"cat\" is none of these numbers"),
        "{wrong}"
    );
}

#[test]
fn shards_in_the_layout_of_clip_benchmark_are_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shards");
    fs::create_dir_all(data.join("test")).unwrap();
    fs::write(data.join("classnames.txt"), CLASSES.join("\n")).unwrap();
    fs::write(
        data.join("zeroshot_classification_templates.txt"),
        "a drawing of {c}",
    )
    .unwrap();
    fs::write(data.join("test/nshards.txt"), "2").unwrap();
    let shard = |number: usize| {
        let file = fs::File::create(data.join(format!("test/{number}.tar"))).unwrap();
        tar::Builder::new(file)
    };
    let mut shards = [shard(0), shard(1)];
    pictures(&CLASSES, 4, |class, number, png| {
        let shard = &mut shards[number as usize % 2];
        let label = CLASSES.iter().position(|known| *known == class).unwrap();
        for (extension, bytes) in [("png", png), ("cls", label.to_string().into_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let name = format!("s{label}{number}.{extension}");
            shard
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
    });
    shards
        .into_iter()
        .for_each(|mut shard| shard.finish().unwrap());
    let page = folder.path().join("report.html").display().to_string();
    let found = json(&data, &["--report", &page]);
    assert_eq!(found["evaluation"]["images"], 12);
    let classes: Vec<&str> = (found["evaluation"]["classes"].as_array().unwrap().iter())
        .map(|class| class["name"].as_str().unwrap())
        .collect();
    assert_eq!(classes, ["cat", "guitar", "pizza"]);
    assert_eq!(found["prompts"]["sets"][2]["name"], "the data set's own");
    assert_eq!(
        found["prompts"]["sets"][2]["templates"][0],
        "a drawing of {label}"
    );

    // Mixtures of a model with itself are measured on them, too.
    let path = data.display().to_string();
    let mut wise_ft = Command::new(env!("CARGO_BIN_EXE_clip"));
    wise_ft.args(["wise-ft", "--data", &path, "--device", "cpu"]);
    wise_ft.args(["--alphas", "0,1", "--json"]);
    let mixed: Value = serde_json::from_str(&text(wise_ft.output().unwrap())).unwrap();
    for mixture in mixed["mixtures"].as_array().unwrap() {
        assert_eq!(mixture["top_1"][0], found["metrics"]["top_1"], "{mixed}");
    }

    // Without their names the classes are numbers, which a list may name.
    fs::remove_file(data.join("classnames.txt")).unwrap();
    let names = folder.path().join("names.txt");
    fs::write(&names, CLASSES.join("\n")).unwrap();
    let named = json(&data, &["--class-names", &names.display().to_string()]);
    assert_eq!(named["evaluation"], found["evaluation"]);
    fs::remove_file(data.join("test/1.tar")).unwrap();
    let missing = failure(&data, &[]);
    assert!(missing.contains("1.tar"), "{missing}");
}

/// A model like the bundled one, but for the values of a tensor.
fn changed_model(out: &Path, tensor: &str, change: impl Fn(f32) -> f32) {
    use half::f16;
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    fs::create_dir_all(out).unwrap();
    let bundled = |name: &str| file(&format!("assets/model/{name}"));
    for name in ["open_clip_config.json", "tokenizer.json"] {
        fs::copy(bundled(name), out.join(name)).unwrap();
    }
    let bytes = fs::read(bundled("open_clip_model.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = (weights.iter())
        .map(|(name, view)| (name.into(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    let (_, _, values) = (tensors.iter_mut())
        .find(|(name, ..)| name == tensor)
        .unwrap();
    for value in values.as_chunks_mut::<2>().0 {
        *value = f16::from_f32(change(f16::from_le_bytes(*value).to_f32())).to_le_bytes();
    }
    let views: Vec<_> = (tensors.iter())
        .map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F16, shape.clone(), data).unwrap();
            (name.clone(), view)
        })
        .collect();
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(out.join("open_clip_model.safetensors"), file).unwrap();
}

#[test]
fn weights_are_mixed_and_the_best_mixture_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (data, tuned, out) = (
        folder.path().join("data"),
        folder.path().join("tuned"),
        folder.path().join("out"),
    );
    folder_of_classes(&data, 3);
    // What a fine-tuning may have lost: texts point the other way.
    changed_model(&tuned, "text_projection", |value| -value);
    let wise_ft = |more: &[&str]| {
        let [data, tuned, out] = [&data, &tuned, &out].map(|path| path.display().to_string());
        let arguments = [
            "wise-ft",
            "--model",
            &tuned,
            "--data",
            &data,
            "--device",
            "cpu",
            "--template",
            "A drawing of a {label}.",
            "--out",
            &out,
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip"));
        command.args([&arguments, more].concat()).output().unwrap()
    };
    let found: Value =
        serde_json::from_str(&text(wise_ft(&["--json", "--alphas", "0,0.2,1"]))).unwrap();
    let top_1 = |mixture: usize| {
        found["mixtures"][mixture]["top_1"][0]["value"]
            .as_f64()
            .unwrap()
    };
    let template = ["--template", "A drawing of a {label}."];
    let bundled = json(&data, &template);
    assert_eq!(
        Some(top_1(0)),
        bundled["metrics"]["top_1"]["value"].as_f64()
    );
    assert!(top_1(2) < top_1(0), "{found}");
    assert!(found["best"].as_f64().unwrap() < 0.5, "{found}");
    // The written model is the best mixture.
    let written = out.display().to_string();
    let written = json(&data, &[&template[..], &["--model", &written]].concat());
    let best = (0..3).map(top_1).fold(0.0, f64::max);
    assert_eq!(written["metrics"]["top_1"]["value"].as_f64(), Some(best));

    let error = common::failure(wise_ft(&["--alphas", "1.5"]));
    assert!(error.contains("no number from 0 to 1"), "{error}");
}
