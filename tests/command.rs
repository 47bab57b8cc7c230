//! The command as people and scripts use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn clip(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clip"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = clip(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line that a failure prints.
fn failure(arguments: &[&str]) -> String {
    // On the CPU: the device is not what fails here.
    let output = clip(&[arguments, &["--device", "cpu"]].concat());
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(!line.contains("panicked"), "{line}");
    line
}

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(path).display().to_string()
}

#[test]
fn the_bundled_model_knows_its_samples() {
    let samples: Value =
        serde_json::from_slice(&std::fs::read(file("assets/samples/samples.json")).unwrap())
            .unwrap();
    let mut right = 0;
    let samples = samples.as_array().unwrap();
    for sample in samples {
        let labels: Vec<&str> = sample["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_str().unwrap())
            .collect();
        let image = file(&format!("assets/{}", sample["file"].as_str().unwrap()));
        let answer = json(&[
            "classify",
            "--images",
            &image,
            "--labels",
            &labels.join(","),
            "--device",
            "cpu",
            "--json",
        ]);
        let ranking = answer["images"][0]["labels"].as_array().unwrap();
        assert_eq!(ranking.len(), labels.len());
        let probabilities: Vec<f64> = ranking
            .iter()
            .map(|r| r["probability"].as_f64().unwrap())
            .collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(probabilities.is_sorted_by(|a, b| a >= b));
        right += usize::from(ranking[0]["label"] == labels[0]);
    }
    // Four labels each: chance would be a quarter.
    assert!(
        right * 10 >= samples.len() * 8,
        "{right} of {} are right",
        samples.len()
    );
}

#[test]
fn features_equal_the_reference() {
    let model = file("tests/golden/models/hf-tokenizer-bf16");
    let expected: Value = serde_json::from_slice(
        &std::fs::read(PathBuf::from(&model).join("expected.json")).unwrap(),
    )
    .unwrap();
    let picture = format!(
        "tests/golden/pictures/{}",
        expected["pictures"][0].as_str().unwrap()
    );
    let found = json(&[
        "embed",
        "--model",
        &model,
        "--images",
        &file(&picture),
        "--texts",
        "a cat",
        "a dog",
        "--device",
        "cpu",
        "--json",
    ]);
    let numbers = |value: &Value| -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    };
    let features = numbers(&found["images"][0]["features"]);
    let reference = numbers(&expected["picture_features"][0]);
    assert_eq!(features.len(), reference.len());
    for (a, b) in features.iter().zip(&reference) {
        assert!((a - b).abs() < 1e-4);
    }
    let scale = found["logit_scale"].as_f64().unwrap();
    assert!((scale - expected["logit_scale"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(found["texts"][1]["text"], "a dog");
    let length: f64 = numbers(&found["texts"][0]["features"])
        .iter()
        .map(|v| v * v)
        .sum();
    assert!((length - 1.0).abs() < 1e-5);
    assert_eq!(found["texts"][0]["token_ids"].as_array().unwrap().len(), 24);
}

#[test]
fn bad_input_is_one_line_and_a_failure() {
    let cat = file("assets/samples/cat.png");
    let no_file = failure(&["classify", "--images", "no-such.png", "--labels", "cat"]);
    assert!(
        no_file.contains("no-such.png") && no_file.lines().count() == 1,
        "{no_file}"
    );
    let no_picture = failure(&[
        "classify",
        "--images",
        &file("README.md"),
        "--labels",
        "cat",
    ]);
    assert!(
        no_picture.contains("README.md") && no_picture.lines().count() == 1,
        "{no_picture}"
    );
    let no_labels = failure(&["classify", "--images", &cat, "--labels", " , "]);
    assert!(no_labels.contains("no labels"), "{no_labels}");
    let template = [
        "classify",
        "--images",
        &cat,
        "--labels",
        "cat",
        "--template",
        "a photo",
    ];
    assert!(failure(&template).contains("{label}"));
    let model = failure(&[
        "embed",
        "--model",
        "no/such/model",
        "--texts",
        "a",
        "--json",
    ]);
    assert!(model.contains("no/such/model"), "{model}");
    let empty = file("tests/golden/pictures");
    assert!(
        failure(&["embed", "--model", &empty, "--texts", "a", "--json"]).contains("holds no CLIP")
    );
}
