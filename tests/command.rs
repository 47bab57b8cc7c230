//! The command as people and scripts use it.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{file, pretraining_data};
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
    common::failure(clip(&[arguments, &["--device", "cpu"]].concat()))
}

/// Answers the samples of the page with labels of theirs: the first one of each is right.
fn assert_samples_are_known(labels_of: impl Fn(&Value) -> &Value, template: &str) {
    let samples = std::fs::read(file("assets/samples/samples.json")).unwrap();
    let samples: Value = serde_json::from_slice(&samples).unwrap();
    let samples = samples.as_array().unwrap();
    assert_eq!(samples.len(), 12);
    for sample in samples {
        let labels: Vec<String> = serde_json::from_value(labels_of(sample).clone()).unwrap();
        let image = file(&format!("assets/{}", sample["file"].as_str().unwrap()));
        let answer = json(&[
            "classify",
            "--images",
            &image,
            "--labels",
            &labels.join(","),
            "--template",
            template,
            "--device",
            "cpu",
            "--json",
        ]);
        let ranking = answer["images"][0]["labels"].as_array().unwrap();
        assert_eq!(ranking.len(), labels.len());
        let probabilities: Vec<f64> = (ranking.iter())
            .map(|ranked| ranked["probability"].as_f64().unwrap())
            .collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(probabilities.is_sorted_by(|a, b| a >= b));
        assert_eq!(ranking[0]["label"], labels[0].as_str(), "{image}");
    }
}

#[test]
fn the_bundled_model_knows_its_samples() {
    assert_samples_are_known(|sample| &sample["labels"], "A photo of a {label}.");
}

#[test]
fn the_bundled_model_knows_its_samples_in_chinese() {
    assert_samples_are_known(|sample| &sample["zh"]["labels"], "一张{label}的照片");
}

#[test]
fn labelled_images_are_evaluated_from_folders_tables_and_zips() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza", "guitar"], 2);
    std::fs::write(data.join("cat/broken.png"), b"no image").unwrap();
    let table = folder.path().join("labels.csv");
    let rows = ["cat", "pizza", "guitar"].map(|class| format!("data/{class}/0.png,{class}\n"));
    std::fs::write(&table, format!("file,label\n{}", rows.concat())).unwrap();
    let evaluate = |data: &Path, more: &[&str]| {
        let data = data.display().to_string();
        let arguments = ["evaluate", "--data", &data, "--device", "cpu"];
        clip(&[&arguments, more].concat())
    };

    let found = evaluate(&data, &["--template", "A drawing of a {label}.", "--json"]);
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    assert!(String::from_utf8_lossy(&found.stderr).contains("cat/broken.png"));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let evaluation = &found["evaluation"];
    assert_eq!(evaluation["images"], 6);
    assert_eq!(evaluation["top_5"], 1.0);
    let right: u64 = (evaluation["classes"].as_array().unwrap().iter())
        .map(|class| class["right"].as_u64().unwrap())
        .sum();
    assert_eq!(evaluation["top_1"].as_f64().unwrap(), right as f64 / 6.0);
    assert_eq!(found["left_out"][0]["problem"], "unreadable");

    let found = evaluate(&table, &[]);
    let shown = String::from_utf8(found.stdout).unwrap();
    assert!(shown.starts_with("3 images, 3 classes\n"), "{shown}");
    for line in ["top-1", "top-5", "mean per class", "among 10", " guitar"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }

    let packed = file("assets/samples/training.zip");
    let found = evaluate(Path::new(&packed), &["--json"]);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["evaluation"]["images"], 96);

    let only = failure(&[
        "evaluate",
        "--data",
        &data.join("cat").display().to_string(),
    ]);
    assert!(only.contains("contains no usable images"), "{only}");
    let none = failure(&["evaluate", "--data", "no-such-folder"]);
    assert!(none.contains("no-such-folder"), "{none}");
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
fn published_models_are_listed_with_one_for_this_machine() {
    let found = json(&["models", "--json"]);
    let models = found["models"].as_array().unwrap();
    let name = found["recommended"]["model"].as_str().unwrap();
    let known = |model: &&Value| model["model"] == name;
    match models.iter().find(known) {
        Some(model) => {
            assert!(model["bytes"].as_u64().unwrap() <= 1_000_000_000);
            assert!(model["license"].as_str().is_some_and(|l| !l.is_empty()));
            assert!(model["imagenet_top_1"].as_f64().unwrap() > 0.3);
            assert!(found["recommended"]["reason"]["best_within"]["limit"].is_object());
        }
        None => assert_eq!(name, "bundled"),
    }
    assert!(found["device"]["memory_gb"].as_f64().unwrap() > 0.1);
    assert!(found["device"]["gpu"].is_boolean());

    let output = clip(&["models"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("  for this machine: {name} (")),
        "{last}"
    );
    assert!(
        models
            .iter()
            .all(|model| text.contains(model["model"].as_str().unwrap()))
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut clip = Command::new(env!("CARGO_BIN_EXE_clip"))
        .arg("models")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(clip.stdout.take());
    let output = clip.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
}

#[test]
fn bad_input_is_one_line_and_a_failure() {
    let cat = file("tests/fixtures/drawings/cat.png");
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
        failure(&["embed", "--model", &empty, "--texts", "a", "--json"])
            .contains("does not contain a CLIP model")
    );
}

#[test]
fn one_broken_image_hides_no_answer() {
    let cat = file("tests/fixtures/drawings/cat.png");
    let pizza = file("tests/fixtures/drawings/pizza.png");
    let broken = file("README.md");
    let images = ["--images", &cat, &broken, &pizza, "--device", "cpu"];
    let labels = ["classify", "--labels", "cat,pizza"];
    let found = clip(&[&labels[..], &images, &["--json"]].concat());
    assert_eq!(found.status.code(), Some(1));
    let errors = String::from_utf8(found.stderr).unwrap();
    assert!(
        errors.contains("README.md") && errors.lines().count() == 1,
        "{errors}"
    );
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let answers = found["images"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    for (answer, path) in answers.iter().zip([&cat, &broken, &pizza]) {
        assert_eq!(answer["path"], path.as_str());
        assert_eq!(answer["labels"].is_array(), path != &broken);
        assert_eq!(answer["error"].is_string(), path == &broken);
    }
    let error = answers[1]["error"].as_str().unwrap();
    assert!(error.contains("not a readable image"), "{error}");

    let found = clip(&[&labels[..], &images].concat());
    assert_eq!(found.status.code(), Some(1));
    let shown = String::from_utf8(found.stdout).unwrap();
    assert!(shown.contains(&cat) && shown.contains(&pizza) && !shown.contains(&broken));

    let found = clip(&[&["embed", "--json"], &images[..]].concat());
    assert_eq!(found.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let lengths: Vec<_> = (found["images"].as_array().unwrap().iter())
        .map(|image| image["features"].as_array().map(Vec::len))
        .collect();
    assert_eq!(lengths, [Some(256), None, Some(256)]);
    assert!(found["images"][1]["error"].is_string());
}

#[test]
fn a_label_that_is_too_long_is_told() {
    let cat = file("tests/fixtures/drawings/cat.png");
    let long = format!("a very {} cat", "small ".repeat(100));
    let found = clip(&[
        "classify",
        "--images",
        &cat,
        "--labels",
        &format!("{long},dog"),
        "--device",
        "cpu",
    ]);
    assert!(found.status.success());
    let told = String::from_utf8(found.stderr).unwrap();
    assert!(told.contains("\"A photo of a a very small"), "{told}");
    assert!(
        told.contains("tokens and was truncated") && told.lines().count() == 1,
        "{told}"
    );
    let short = clip(&[
        "classify", "--images", &cat, "--labels", "cat,dog", "--device", "cpu",
    ]);
    assert!(short.stderr.is_empty());
    let found = clip(&["embed", "--texts", &long, "--json", "--device", "cpu"]);
    assert!(
        String::from_utf8(found.stderr)
            .unwrap()
            .contains("was truncated")
    );
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_is_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join(OsStr::from_bytes(b"caf\xe9.png"));
    if std::fs::copy(file("tests/fixtures/drawings/cat.png"), &image).is_err() {
        return; // the file system has no such names
    }
    for arguments in [&["classify", "--labels", "cat,dog"][..], &["embed"]] {
        let found = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(arguments)
            .args(["--json", "--device", "cpu", "--images"])
            .arg(&image)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "{errors}");
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        let path = found["images"][0]["path"].as_str().unwrap();
        assert!(path.ends_with("caf\u{fffd}.png"), "{path}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let cat = file("tests/fixtures/drawings/cat.png");
    let classify = [
        "classify", "--images", &cat, "--labels", "cat,dog", "--device", "cpu",
    ];
    for (arguments, more) in [
        (&["models"][..], &[][..]),
        (&classify, &[]),
        (&classify, &["--json"]),
        (&["embed", "--texts", "a", "--json", "--device", "cpu"], &[]),
    ] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let found = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(arguments)
            .args(more)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(found.status.code(), Some(1), "{arguments:?}");
        let errors = String::from_utf8(found.stderr).unwrap();
        assert!(
            errors.starts_with("clip: the standard output cannot be written:"),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    // Nobody reads what goes wrong: it fails all the same, and no panic says so.
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_clip"))
        .args([
            "classify",
            "--images",
            "no-such.png",
            "--labels",
            "cat,dog",
            "--device",
            "cpu",
        ])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

/// A limit on the size of files stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    pictures(&data, &["cat", "pizza"], 2);
    let command = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} train --device cpu --method probe --data {} --out {}",
        env!("CARGO_BIN_EXE_clip"),
        data.display(),
        out.display()
    );
    let found = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(found.status.code(), Some(1));
    let errors = String::from_utf8(found.stderr).unwrap();
    assert!(
        errors.contains("head.safetensors cannot be written"),
        "{errors}"
    );
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn names_in_a_zip_are_read_and_told() {
    use rawzip::path::EntryPath;
    use std::io::Write;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza"], 2);
    let zip = folder.path().join("data.zip");
    let mut writer = rawzip::ZipArchiveWriter::new(std::fs::File::create(&zip).unwrap());
    // A cat and a pizza in GBK.
    for (class, name) in [("cat", &b"\xc3\xa8"[..]), ("pizza", b"\xc5\xfb\xc8\xf8")] {
        for number in 0..2 {
            let bytes = std::fs::read(data.join(format!("{class}/{number}.png"))).unwrap();
            let path = [name, format!("/{number}.png").as_bytes()].concat();
            let (mut entry, config) = writer.new_file(EntryPath::verbatim(path)).start().unwrap();
            let mut file = config.wrap(&mut entry);
            file.write_all(&bytes).unwrap();
            let (_, descriptor) = file.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
    }
    writer.finish().unwrap();
    let zip = zip.display().to_string();
    let out = folder.path().join("out").display().to_string();
    let same = ["--method", "adapter", "--data", &zip, "--out", &out];
    for (more, classes, told) in [
        (
            &[][..],
            ["披萨", "猫"],
            Some("they were read as GBK (Chinese)"),
        ),
        (&["--zip-encoding", "gb18030"], ["披萨", "猫"], None),
        (&["--zip-encoding", "koi8-r"], ["еШхЬ", "ц╗"], None),
    ] {
        let output = train(&[&same, more].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        let report = std::fs::read(Path::new(&out).join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let notes = report["notes"].to_string();
        match told {
            Some(words) => assert!(errors.contains(words) && notes.contains(words), "{errors}"),
            None => assert!(!errors.contains("does not say how"), "{errors}"),
        }
        let found: Vec<_> = (report["data"]["classes"].as_array().unwrap().iter())
            .map(|class| class["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, classes);
    }
    let output = train(&[&same[..], &["--zip-encoding", "klingon"]].concat());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(errors.contains("name an encoding of the web"), "{errors}");
}

#[test]
fn a_failure_names_what_was_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat"], 2);
    let table = "file,label\ncat/0.png,cat\ncat/1.png,cat\n../dog.png,dog\na\u{1b}[2Jb.png,dog\n";
    std::fs::write(data.join("t.csv"), table).unwrap();
    let (data, out) = (data.display().to_string(), folder.path().join("out"));
    let out = out.display().to_string();
    for method in ["probe", "lora"] {
        let output = train(&["--method", method, "--data", &data, "--out", &out]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let outside =
            "left out: ../dog.png, listed in line 4 of the table, lies outside of the data";
        assert!(errors.contains(outside), "{errors}");
        // What a terminal would obey.
        assert!(errors.contains("a\\u{1b}[2Jb.png, listed"), "{errors}");
        let last = errors.lines().last().unwrap();
        assert!(
            !last.contains("left out"),
            "the reason comes last: {errors}"
        );
    }
}

#[cfg(unix)]
#[test]
fn linked_folders_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    pictures(&data, &["cat"], 3);
    pictures(&elsewhere, &["pizza"], 3);
    symlink(elsewhere.join("pizza"), data.join("pizza")).unwrap();
    symlink("..", data.join("cat/up")).unwrap();
    symlink("nowhere", data.join("cat/broken.png")).unwrap();
    let (data, out) = (data.display().to_string(), folder.path().join("out"));
    let out = out.display().to_string();
    let output = train(&["--method", "probe", "--data", &data, "--out", &out]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.starts_with("trained on 4 images, tested on 2; 2 left out;"),
        "{shown}"
    );
    let circle = "cat/up/ is not used: it is a link to a folder that it lies in";
    assert!(errors.contains(circle), "{errors}");
    assert!(errors.contains("cat/broken.png: "), "{errors}");
}

#[test]
fn a_pretraining_goes_on_with_its_own_data_only() {
    let folder = tempfile::tempdir().unwrap();
    let [data, more, out] = ["data", "more", "out"].map(|name| folder.path().join(name));
    pretraining_data(&data, 8);
    pretraining_data(&more, 12);
    let pretrain = |data: &Path, more: &[&str]| {
        let tokenizer = file("assets/model/tokenizer.json");
        let (data, out) = (data.display().to_string(), out.display().to_string());
        let same = [
            "pretrain",
            "--data",
            &data,
            "--tokenizer",
            &tokenizer,
            "--out",
            &out,
        ];
        let small = [
            "--batch-size",
            "4",
            "--image-size",
            "32",
            "--width",
            "8",
            "--embed-dim",
            "64",
        ];
        let text = [
            "--text-width",
            "64",
            "--text-layers",
            "1",
            "--every",
            "1",
            "--warmup-steps",
            "1",
        ];
        clip(&[&same[..], &small, &text, more].concat())
    };
    let succeeds = |output: Output| {
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        errors
    };
    let line = refused_at_last(&pretrain(&data, &["--steps", "1", "--resume"]));
    assert!(line.contains("is not there"), "{line}");
    std::fs::write(out.join("curve.csv"), "step,minutes").unwrap();
    let line = refused_at_last(&pretrain(&data, &["--steps", "1", "--resume"]));
    assert!(line.contains("before its first step"), "{line}");
    succeeds(pretrain(&data, &["--steps", "1"]));
    // Over an existing run only when asked.
    let line = refused_at_last(&pretrain(&data, &["--steps", "2"]));
    assert!(line.contains("add --resume"), "{line}");
    for (data, options, words) in [
        (
            &more,
            &["--steps", "2"][..],
            "lists 12 images, not 8 as before",
        ),
        (
            &data,
            &["--steps", "2", "--replicas", "2"],
            "--replicas was 1, not 2",
        ),
        (
            &data,
            &["--steps", "2", "--seed", "5"],
            "--seed was 0, not 5",
        ),
        (
            &data,
            &["--steps", "2", "--weight-decay", "0.5"],
            "--weight-decay was 0.1, not 0.5",
        ),
    ] {
        let line = refused_at_last(&pretrain(data, &[options, &["--resume"]].concat()));
        assert!(
            line.contains("belongs to another run") && line.contains(words),
            "{line}"
        );
    }
    // As many images, but others.
    let list = std::fs::read_to_string(data.join("train.jsonl")).unwrap();
    std::fs::write(
        data.join("train.jsonl"),
        list.replace("\"guitar\"", "\"lute\""),
    )
    .unwrap();
    let line = refused_at_last(&pretrain(&data, &["--steps", "2", "--resume"]));
    assert!(
        line.contains("train.jsonl has other contents than before"),
        "{line}"
    );
    std::fs::write(data.join("train.jsonl"), list).unwrap();
    assert_eq!(succeeds(pretrain(&data, &["--steps", "2", "--resume"])), "");

    // A state of an earlier version knows nothing of its data.
    let state = out.join("state.safetensors");
    let bytes = std::fs::read(&state).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let known = header["__metadata__"]["clip.training"].as_str().unwrap();
    let mut known: Value = serde_json::from_str(known).unwrap();
    known
        .as_object_mut()
        .unwrap()
        .remove("pretraining")
        .unwrap();
    header["__metadata__"]["clip.training"] = known.to_string().into();
    let header = header.to_string().into_bytes();
    let older = [
        &(header.len() as u64).to_le_bytes()[..],
        &header,
        &bytes[8 + length..],
    ]
    .concat();
    std::fs::write(&state, older).unwrap();
    let errors = succeeds(pretrain(&data, &["--steps", "3", "--resume"]));
    assert!(errors.contains("started by an earlier version"), "{errors}");
    // From then on it is known.
    let line = refused_at_last(&pretrain(&more, &["--steps", "4", "--resume"]));
    assert!(line.contains("lists 12 images"), "{line}");

    // A row that was written before a kill comes again.
    let curve = out.join("curve.csv");
    let rows = std::fs::read_to_string(&curve).unwrap();
    std::fs::write(&curve, format!("{rows}4,0.00,cut")).unwrap();
    succeeds(pretrain(&data, &["--steps", "4", "--resume"]));
    let rows = std::fs::read_to_string(&curve).unwrap();
    let steps: Vec<&str> = rows
        .lines()
        .filter_map(|row| row.split(',').next())
        .collect();
    assert_eq!(steps, ["step", "1", "2", "3", "4"], "{rows}");
    assert!(!rows.contains("cut"), "{rows}");
    // What is discarded is not resumed, however soon the new run ends.
    succeeds(pretrain(&data, &["--steps", "0", "--restart"]));
    assert!(!state.exists());
}

#[test]
fn parts_of_the_data_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data.join("train"), &["cat", "pizza", "guitar"], 4);
    for class in ["cat", "pizza", "guitar"] {
        std::fs::create_dir_all(data.join("test").join(class)).unwrap();
        let from = data.join("train").join(class).join("3.png");
        std::fs::rename(from, data.join("test").join(class).join("3.png")).unwrap();
    }
    std::fs::write(data.join("test/cat/broken.png"), b"no image").unwrap();
    let data = data.display().to_string();
    let found = json(&["evaluate", "--data", &data, "--device", "cpu", "--json"]);
    assert_eq!(found["evaluation"]["images"], 3);
    assert_eq!(found["evaluation"]["classes"].as_array().unwrap().len(), 3);
    assert_eq!(found["left_out_by_reason"][0]["problem"], "unreadable");
    assert_eq!(found["left_out_by_reason"][0]["count"], 1);
    let notes = found["notes"].to_string();
    assert!(notes.contains("test, train are splits"), "{notes}");

    let shown = clip(&["evaluate", "--data", &data, "--device", "cpu"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.starts_with("3 images, 3 classes, 1 left out\n"),
        "{shown}"
    );

    let out = folder.path().join("out").display().to_string();
    let output = train(&["--method", "probe", "--data", &data, "--out", &out]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("are splits (train, validation, test), not classes"),
        "{errors}"
    );
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.starts_with("trained on 9 images, tested on 3; 1 left out;"),
        "{shown}"
    );
    let report = std::fs::read(Path::new(&out).join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["data"]["held_out"], 3);
    assert_eq!(report["data"]["left_out"][0]["count"], 1);
}

#[test]
fn what_is_left_out_is_counted_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza"], 2);
    for number in 0..12 {
        std::fs::write(data.join(format!("cat/broken-{number}.png")), b"no image").unwrap();
    }
    std::fs::write(data.join("stray.png"), b"").unwrap();
    let (data, out) = (data.display().to_string(), folder.path().join("out"));
    let out = out.display().to_string();
    let output = train(&["--method", "probe", "--data", &data, "--out", &out]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let counts = "left out: 13 in all: 12 not readable (first: cat/broken-0.png: this is not";
    assert!(errors.contains(counts), "{errors}");
    assert!(
        errors.contains("1 without a class or caption (stray.png"),
        "{errors}"
    );
}

/// A folder with `count` pictures of each sample, in margins of all sizes.
fn pictures(folder: &Path, classes: &[&str], count: u32) {
    for class in classes {
        let sample = image::open(file(&format!("tests/fixtures/drawings/{class}.png"))).unwrap();
        let sample = sample.to_rgba8();
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for margin in 0..count {
            let (width, height) = (sample.width() + 6 * margin, sample.height() + 4 * margin);
            let white = image::Rgba([255; 4]);
            let mut picture = image::RgbaImage::from_pixel(width, height, white);
            image::imageops::overlay(&mut picture, &sample, i64::from(5 * margin), 3);
            picture
                .save(folder.join(class).join(format!("{margin}.png")))
                .unwrap();
        }
    }
}

fn train(arguments: &[&str]) -> Output {
    clip(&[&["train", "--device", "cpu"], arguments].concat())
}

#[test]
fn a_classifier_is_trained_written_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza", "guitar"], 6);
    std::fs::write(data.join("cat/broken.png"), b"\x89PNG\r\n\x1a\nnot").unwrap();
    std::fs::copy(data.join("cat/0.png"), data.join("cat/again.png")).unwrap();
    std::fs::create_dir(data.join("unicorn")).unwrap();
    for method in ["probe", "adapter"] {
        let out = folder.path().join(method);
        // The run of another method that may lie here is none of its business.
        let kept = out.join("state/run-0");
        std::fs::create_dir_all(out.join("state")).unwrap();
        std::fs::write(&kept, b"kept").unwrap();
        let (data, out) = (data.display().to_string(), out.display().to_string());
        let output = train(&["--method", method, "--data", &data, "--out", &out]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        assert_eq!(std::fs::read(kept).unwrap(), b"kept");
        let state = std::fs::read_dir(Path::new(&out).join("state")).unwrap();
        assert_eq!(state.count(), 1);
        for named in ["broken.png", "again.png is a duplicate of", "unicorn"] {
            assert!(errors.contains(named), "{errors}");
        }
        let report = std::fs::read(Path::new(&out).join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["method"], method);
        assert_eq!(report["data"]["train"], 15);
        assert_eq!(report["data"]["held_out"], 3);
        assert_eq!(report["data"]["problems"].as_array().unwrap().len(), 3);
        let (before, after) = (&report["before"]["top_1"], &report["after"]["top_1"]);
        assert!(after.as_f64() >= before.as_f64());
        assert_eq!(after, 1.0);
        // A name without pictures is of use to an adapter, to a probe it is not.
        let classes = report["data"]["classes"].as_array().unwrap().len();
        assert_eq!(classes, if method == "probe" { 3 } else { 4 });

        let head = Path::new(&out).join("head.safetensors");
        let head = head.display().to_string();
        let guitar = file("tests/fixtures/drawings/guitar.png");
        let answer = json(&[
            "classify", "--head", &head, "--images", &guitar, "--device", "cpu", "--json",
        ]);
        let labels = answer["images"][0]["labels"].as_array().unwrap();
        assert_eq!(labels.len(), classes);
        assert_eq!(labels[0]["label"], "guitar");

        let other = file("tests/golden/models/hf-tokenizer-bf16");
        let refused = failure(&[
            "classify", "--head", &head, "--images", &guitar, "--model", &other,
        ]);
        assert!(refused.contains("features of length 256"), "{refused}");
    }
}

/// A tiny random SigLIP: probabilities by the sigmoid of each logit, heads on its features,
/// and no fine-tuning.
#[test]
fn siglip_is_classified_with_and_trained_on() {
    let model = file("tests/golden/models/siglip-f32");
    let picture = file("tests/golden/pictures/rgb_61x40.png");
    let labels = ["cat", "dog", "a house"];
    let with = |arguments: &[&str]| {
        let cpu = ["--model", &model, "--images", &picture, "--device", "cpu"];
        let mut all = vec![arguments[0]];
        all.extend(cpu);
        all.extend(&arguments[1..]);
        all.iter()
            .map(|argument| argument.to_string())
            .collect::<Vec<_>>()
    };
    let found = |arguments: &[&str]| {
        let all = with(arguments);
        json(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let answer = found(&["classify", "--labels", &labels.join(","), "--json"]);
    assert_eq!(answer["independent"], true);
    let embedded = found(&["embed", "--texts", "a cat", "--json"]);
    let [scale, bias] = ["logit_scale", "logit_bias"].map(|key| embedded[key].as_f64().unwrap());
    for ranked in answer["images"][0]["labels"].as_array().unwrap() {
        let logit = scale.exp() * ranked["similarity"].as_f64().unwrap() + bias;
        let expected = 1.0 / (1.0 + (-logit).exp());
        assert!((ranked["probability"].as_f64().unwrap() - expected).abs() < 1e-4);
    }

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza"], 4);
    let data = data.display().to_string();
    for method in ["probe", "adapter"] {
        let out = folder.path().join(method).display().to_string();
        let output = train(&[
            "--method", method, "--data", &data, "--out", &out, "--model", &model,
        ]);
        assert!(output.status.success(), "{output:?}");
        let head = format!("{out}/head.safetensors");
        let answer = found(&["classify", "--head", &head, "--json"]);
        assert_eq!(answer["independent"], false);
        let ranked = answer["images"][0]["labels"].as_array().unwrap();
        let sum: f64 = ranked
            .iter()
            .map(|r| r["probability"].as_f64().unwrap())
            .sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
    let out = folder.path().join("lora").display().to_string();
    let output = train(&[
        "--method", "lora", "--data", &data, "--out", &out, "--model", &model, "--epochs", "2",
    ]);
    assert!(output.status.success(), "{output:?}");
    assert!(Path::new(&out).join("lora/adapter_config.json").exists());
    // Its config and its tokenizer are the model's own.
    let whole = format!("{out}/transformers");
    for name in ["tokenizer.json", "preprocessor_config.json"] {
        let [found, expected] =
            [&whole, &model].map(|folder| std::fs::read(format!("{folder}/{name}")));
        assert_eq!(found.unwrap(), expected.unwrap(), "{name}");
    }
    let answer = json(&[
        "classify", "--model", &whole, "--images", &picture, "--device", "cpu", "--labels",
        "cat,dog", "--json",
    ]);
    assert_eq!(answer["independent"], true);
}

#[test]
fn one_picture_of_each_class_is_enough_for_an_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza"], 1);
    // Labels in a table, and everything in one folder.
    std::fs::copy(data.join("cat/0.png"), data.join("a.png")).unwrap();
    std::fs::copy(data.join("pizza/0.png"), data.join("b.png")).unwrap();
    let table = data.join("labels.csv");
    std::fs::write(&table, "image,label\na.png,cat\nb.png,pizza\n").unwrap();
    let out = folder.path().join("out").display().to_string();
    let table = table.display().to_string();
    let output = train(&["--method", "adapter", "--data", &table, "--out", &out]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("one image per class"), "{errors}");
    assert!(errors.contains("was not evaluated"), "{errors}");
}

/// Each method that trains the model writes what other programs open, and the
/// command opens it again.
#[test]
fn the_model_itself_is_trained_and_taken_away() {
    let data = file("assets/samples/training.zip");
    let cat = file("tests/fixtures/drawings/cat.png");
    for (method, files) in [
        ("lora", ["lora/adapter_model.safetensors", "open_clip"]),
        (
            "full",
            ["open_clip/open_clip_model.safetensors", "open_clip"],
        ),
        (
            "pretrain",
            ["transformers/model.safetensors", "transformers"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().display().to_string();
        let few = ["--epochs", "2", "--batch-size", "16", "--micro-batch", "8"];
        let output = train(
            &[
                &["--method", method, "--data", &data, "--out", &out],
                &few[..],
            ]
            .concat(),
        );
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{method}: {errors}");
        let report = std::fs::read(folder.path().join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["method"], method);
        assert_eq!(report["data"]["held_out"], 18);
        let [written, model] = files.map(|file| folder.path().join(file));
        assert!(written.exists(), "{method}: no {}", written.display());
        assert!(!folder.path().join("state").exists(), "{method}");
        let model = model.display().to_string();
        let answer = json(&[
            "classify",
            "--model",
            &model,
            "--images",
            &cat,
            "--labels",
            "animal,food",
            "--device",
            "cpu",
            "--json",
        ]);
        assert_eq!(answer["images"][0]["labels"].as_array().unwrap().len(), 2);
    }
}

fn as_texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The last line of a failure.
fn refused_at_last(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    errors.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_training_that_broke_off_goes_on_with_the_same_losses() {
    let data = file("assets/samples/training.zip");
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, more: &[&str]| {
        let out = folder.path().join(out).display().to_string();
        let same = [
            "--method", "lora", "--data", &data, "--out", &out, "--epochs", "60",
        ];
        let same = [&same[..], &["--batch-size", "16", "--micro-batch", "16"]].concat();
        (same.into_iter().map(str::to_owned))
            .chain(more.iter().map(|more| (*more).to_owned()))
            .collect::<Vec<_>>()
    };
    let start = |arguments: &[String]| {
        Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(["train", "--device", "cpu"])
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    // Killed as soon as something is kept to go on from.
    let mut broken = start(&run("broken", &[]));
    let state = folder.path().join("broken/state");
    let kept = |state: &Path| {
        ["run-0", "run-1"]
            .iter()
            .any(|name| state.join(name).exists())
    };
    for _ in 0..1200 {
        if kept(&state) || broken.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let refused = |arguments: &[String]| {
        let output = train(&as_texts(arguments));
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    let two_at_once = match broken.try_wait().unwrap() {
        None if kept(&state) => Some([
            refused(&run("broken", &["--restart"])),
            refused(&run("broken", &[])),
            refused(&run("broken", &["--resume"])),
        ]),
        _ => None,
    };
    let _ = broken.kill();
    broken.wait().unwrap();
    if !kept(&state) {
        // A machine so fast that nothing had to be kept has nothing to go on from.
        return;
    }
    for line in two_at_once.into_iter().flatten() {
        assert!(line.contains("another process is training into"), "{line}");
    }
    // What does not go with the run is refused, and nothing of it is lost.
    let line = refused(&run("broken", &[]));
    assert!(
        line.contains("holds an interrupted run (lora, step"),
        "{line}"
    );
    assert!(
        line.contains("--resume") && line.contains("--restart"),
        "{line}"
    );
    let other = folder.path().join("other");
    pictures(&other, &["cat", "pizza"], 4);
    let other = other.display().to_string();
    for (change, words) in [
        (&["--epochs", "7"][..], "--epochs was 60, not 7"),
        (
            &["--learning-rate", "0.5"],
            "--learning-rate was 0.001, not 0.5",
        ),
        (&["--seed", "9"], "--seed was 0, not 9"),
        (
            &["--template", "{label}"],
            "its templates are \"A photo of a {label}.\"",
        ),
        (&["--method", "full"], "it is lora, not full"),
        (
            &["--data", &other],
            "8 images were added (first: cat/0.png)",
        ),
    ] {
        let mut arguments = run("broken", &["--resume"]);
        match arguments.iter().position(|known| known == change[0]) {
            Some(at) => arguments[at + 1] = change[1].into(),
            None => arguments.extend(change.iter().map(|text| text.to_string())),
        }
        let line = refused(&arguments);
        assert!(
            line.contains("does not fit") && line.contains(words),
            "{line}"
        );
        assert!(kept(&state));
    }
    // A result that cannot be written is not lost.
    let in_the_way = folder.path().join("broken/lora");
    std::fs::write(&in_the_way, b"").unwrap();
    let line = refused_at_last(&train(&as_texts(&run("broken", &["--resume"]))));
    let words = "; what was learnt is kept: make room and add --resume";
    assert!(
        line.contains("cannot be written") && line.ends_with(words),
        "{line}"
    );
    assert!(kept(&state));
    std::fs::remove_file(in_the_way).unwrap();
    assert!(
        start(&run("broken", &["--resume"]))
            .wait()
            .unwrap()
            .success()
    );
    assert!(!state.exists());
    assert!(start(&run("whole", &[])).wait().unwrap().success());
    let losses = |out: &str| {
        let report = std::fs::read(folder.path().join(out).join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let curves = report["curves"].as_array().unwrap();
        let loss = curves.iter().find(|curve| curve["name"] == "loss").unwrap();
        loss["points"].as_array().unwrap().clone()
    };
    let (resumed, whole) = (losses("broken"), losses("whole"));
    assert_eq!(resumed.len(), whole.len());
    assert_eq!(resumed.last(), whole.last());
}

#[test]
fn training_that_cannot_be_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let out = path("out");
    let refused = |method: &str, data: &str, more: &[&str]| {
        let output = train(&[&["--method", method, "--data", data, "--out", &out], more].concat());
        assert!(!output.status.success());
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(
            line.lines().count() == 1 && !line.contains("panicked"),
            "{line}"
        );
        line
    };
    assert!(refused("probe", &path("none"), &[]).contains("none"));
    assert!(refused("probe", &file("README.md"), &[]).contains("neither a folder"));
    std::fs::create_dir(path("empty")).unwrap();
    assert!(refused("probe", &path("empty"), &[]).contains("contains no usable images"));
    pictures(&folder.path().join("one"), &["cat"], 3);
    assert!(refused("adapter", &path("one"), &[]).contains("at least two classes"));
    std::fs::write(path("one/captions.csv"), "image,text\ncat/0.png,a cat\n").unwrap();
    assert!(refused("probe", &path("one"), &[]).contains("captions, not classes"));
    assert!(refused("probe", &path("one"), &["--resume"]).contains("--resume"));
    let samples = file("assets/samples/training.zip");
    assert!(refused("lora", &samples, &["--resume"]).contains("start it again"));
    // Killed before its first checkpoint: there is but the folder, and it begins again.
    std::fs::create_dir_all(path("out/state")).unwrap();
    let again = train(&[
        "--method",
        "lora",
        "--data",
        &path("empty"),
        "--out",
        &out,
        "--resume",
    ]);
    let again = String::from_utf8(again.stderr).unwrap();
    assert!(
        again.contains("it begins again") && again.contains("no usable images"),
        "{again}"
    );
    let _ = std::fs::remove_dir_all(path("out"));
    for (option, value, words) in [
        ("--batch-size", "1", "batch size must be at least 2, not 1"),
        (
            "--epochs",
            "0",
            "number of epochs must be at least 1, not 0",
        ),
        (
            "--weight-decay",
            "nan",
            "weight decay must be a number from 0 on, not NaN",
        ),
        (
            "--learning-rate",
            "inf",
            "learning rate must be a number above 0, not inf",
        ),
        ("--rank", "0", "LoRA rank must be at least 1"),
    ] {
        let line = refused("lora", &samples, &[option, value]);
        assert!(line.contains(words), "{line}");
        assert!(
            !Path::new(&out).join("state").exists(),
            "nothing is left behind"
        );
    }
    assert!(refused("probe", &path("one"), &["--held-out", "1.5"]).contains("share"));
    std::fs::write(path("broken.zip"), b"PK\x03\x04").unwrap();
    assert!(refused("probe", &path("broken.zip"), &[]).contains("not a readable zip"));
    let head = failure(&[
        "classify",
        "--head",
        &file("assets/model/open_clip_model.safetensors"),
        "--images",
        &file("tests/fixtures/drawings/cat.png"),
    ]);
    assert!(
        head.contains("not a classifier trained with this program"),
        "{head}"
    );
}

#[test]
fn images_that_no_label_fits_are_rejected() {
    let ask = |labels: &str, more: &[&str]| {
        let image = file("assets/samples/coffee.jpg");
        let arguments = [
            "classify", "--device", "cpu", "--images", &image, "--labels", labels,
        ];
        clip(&[&arguments, more].concat())
    };
    let text = |output: Output| String::from_utf8(output.stdout).unwrap();
    let found: Value =
        serde_json::from_str(&text(ask("cup of coffee,cat", &["--reject", "--json"]))).unwrap();
    let image = &found["images"][0];
    assert_eq!(image["rejected"], false, "{image}");
    assert!(image["fit"].as_f64().unwrap() > 0.3);
    let found = text(ask("motorcycle,cow", &["--reject"]));
    assert!(
        found.contains("none of these fits well") && found.contains("closest: "),
        "{found}"
    );
    // Without the option, and with a threshold of 0, nothing is.
    for more in [&[][..], &["--reject", "0"]] {
        assert!(!text(ask("motorcycle,cow", more)).contains("none of these"));
    }
    let error = failure(&[
        "classify", "--images", "x.png", "--labels", "a", "--reject", "2",
    ]);
    assert!(error.contains("no number from 0 to 1"), "{error}");
}

#[test]
fn a_head_tells_when_none_of_its_classes_fits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, &["cat", "pizza"], 10);
    // As the page saves it: names and parts of its own, and the trained head beside the folders.
    let image = |class: &str, index: usize| {
        serde_json::json!({"file": format!("{class}/{index}.png"), "class": format!("{class}/s"),
            "split": if index < 8 { "train" } else { "test" }})
    };
    let images = ["cat", "pizza"].map(|class| (0..10).map(move |index| image(class, index)));
    let project = serde_json::json!({"format": "clip-project", "version": 1, "name": "food",
        "classes": ["pizza/s", "cat/s"], "images": images.into_iter().flatten().collect::<Vec<_>>()});
    std::fs::write(data.join("project.json"), project.to_string()).unwrap();
    std::fs::write(data.join("probe.safetensors"), b"an older head").unwrap();
    let out = folder.path().join("out").display().to_string();
    let data = data.display().to_string();
    let output = train(&["--method", "probe", "--data", &data, "--out", &out]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report = std::fs::read(Path::new(&out).join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(
        (&report["data"]["train"], &report["data"]["held_out"]),
        (&16.into(), &4.into())
    );
    assert_eq!(report["data"]["classes"][1]["name"], "pizza/s");

    let head = Path::new(&out).join("head.safetensors");
    let [pizza, other] = [
        "tests/fixtures/drawings/pizza.png",
        "assets/samples/coffee.jpg",
    ]
    .map(file);
    let ask = |head: &Path, more: &[&str]| {
        let head = head.display().to_string();
        let arguments = [
            "classify", "--device", "cpu", "--head", &head, "--images", &pizza, &other,
        ];
        clip(&[&arguments, more].concat())
    };
    let found: Value = serde_json::from_slice(&ask(&head, &["--reject", "--json"]).stdout).unwrap();
    let [kept, rejected] = [0, 1].map(|index| &found["images"][index]);
    assert_eq!(
        (&kept["rejected"], &rejected["rejected"]),
        (&false.into(), &true.into()),
        "{found}"
    );
    assert!(kept["fit"].as_f64().unwrap() >= 0.05 && rejected["fit"] == 0.0);
    let text = String::from_utf8(ask(&head, &["--reject"]).stdout).unwrap();
    assert_eq!(
        text.matches("none of these fits well (0 %); closest: ")
            .count(),
        1,
        "{text}"
    );
    let text = String::from_utf8(ask(&head, &[]).stdout).unwrap();
    assert!(!text.contains("none of these"), "{text}");

    // A head without the means, as they were before.
    let few = folder.path().join("few");
    pictures(&few, &["cat", "pizza"], 2);
    let (few, out) = (
        few.display().to_string(),
        folder.path().join("old").display().to_string(),
    );
    assert!(
        train(&["--method", "probe", "--data", &few, "--out", &out])
            .status
            .success()
    );
    let old = Path::new(&out).join("head.safetensors");
    assert!(ask(&old, &[]).status.success());
    let refused = common::failure(ask(&old, &["--reject"]));
    assert!(refused.contains("Train it again"), "{refused}");
}

/// Two drawings on white, far from each other: each label's place is in its own.
#[test]
fn labels_are_located() {
    let folder = tempfile::tempdir().unwrap();
    let scene = folder.path().join("scene.png");
    let mut canvas = image::RgbImage::from_pixel(480, 320, image::Rgb([255; 3]));
    for (name, x) in [("pizza", 30), ("guitar", 270)] {
        let drawing = image::open(file(&format!("assets/samples/{name}.png"))).unwrap();
        let drawing = drawing.resize_exact(180, 180, image::imageops::FilterType::Triangle);
        let mut layer = image::DynamicImage::ImageRgb8(canvas);
        image::imageops::overlay(&mut layer, &drawing, x, 70);
        canvas = layer.into_rgb8();
    }
    canvas.save(&scene).unwrap();
    let out = folder.path().join("maps");
    let scene = scene.display().to_string();
    let out = out.display().to_string();
    let locate = [
        "locate",
        &scene,
        "--labels",
        "pizza,guitar",
        "--device",
        "cpu",
    ];

    let found = json(&[&locate[..], &["--json", "--out", &out]].concat());
    let image = &found["images"][0];
    assert_eq!([&image["width"], &image["height"]], [480, 320]);
    let inside = |label: &Value, from: f64| {
        let [x, y] = ["x", "y"].map(|key| label[key].as_f64().unwrap());
        let (x, y) = (x * 480.0, y * 320.0);
        assert!(
            (from..from + 180.0).contains(&x) && (70.0..250.0).contains(&y),
            "{label}"
        );
    };
    let labels = image["labels"].as_array().unwrap();
    assert_eq!(
        [&labels[0]["label"], &labels[1]["label"]],
        ["pizza", "guitar"]
    );
    inside(&labels[0], 30.0);
    inside(&labels[1], 270.0);
    for label in labels {
        let rows = label["map"].as_array().unwrap();
        assert_eq!(rows.len(), 12);
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 18));
        let highest = (rows.iter().flat_map(|row| row.as_array().unwrap()))
            .map(|similarity| similarity.as_f64().unwrap())
            .fold(-1.0, f64::max);
        assert_eq!(label["similarity"].as_f64().unwrap(), highest);
        let picture = image::open(label["file"].as_str().unwrap()).unwrap();
        assert_eq!([picture.width(), picture.height()], [480, 320]);
    }
    assert_ne!(labels[0]["file"], labels[1]["file"]);

    let shown = clip(&locate);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("% from the left") && shown.contains("pizza"),
        "{shown}"
    );

    let none = failure(&["locate", &scene, "--labels", " , "]);
    assert!(none.contains("enter at least one"), "{none}");
    let bad = failure(&["locate", "no-such-image.png", "--labels", "cat"]);
    assert!(bad.contains("no-such-image.png"), "{bad}");
}

/// What ONNX Runtime makes of the files is compared by `tests/golden/check_onnx.py`.
#[test]
fn image_encoders_are_exported_as_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let export = |more: &[&str]| {
        let output = clip(&[&["export", "--device", "cpu"], more].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (alone, labels, trained) = (path("a.onnx"), path("sub/b.onnx"), path("c.onnx"));
    let said = export(&["--onnx", &alone]);
    assert!(said.ends_with("image_features [batch, 256]\n"), "{said}");
    let said = export(&["--onnx", &labels, "--labels", "cat,dog,pizza"]);
    assert!(said.contains("probabilities [batch, 3]"), "{said}");
    let size = |path: &str| std::fs::metadata(path).unwrap().len();
    // Three rows of features, a bias, and words about them.
    assert!((3072..6000).contains(&(size(&labels) - size(&alone))));

    let data = file("tests/fixtures/drawings");
    for (class, picture) in [("cat", "cat.png"), ("tree", "tree.png")] {
        let place = folder.path().join("data").join(class);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(Path::new(&data).join(picture), place.join(picture)).unwrap();
    }
    let (images, out) = (path("data"), path("trained"));
    let train = ["train", "--method", "adapter", "--device", "cpu"];
    let output = clip(&[&train[..], &["--data", &images, "--out", &out]].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let files: Vec<_> = (std::fs::read_dir(&out).unwrap())
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        files
            .iter()
            .all(|name| !name.to_string_lossy().ends_with(".onnx"))
    );
    let head = path("trained/head.safetensors");
    let said = export(&["--onnx", &trained, "--head", &head]);
    assert!(said.contains("probabilities [batch, 2]"), "{said}");

    let none = failure(&["export", "--onnx", &alone, "--labels", " , "]);
    assert!(none.contains("enter at least one"), "{none}");
    let template = [
        "export",
        "--onnx",
        &alone,
        "--labels",
        "a",
        "--template",
        "b",
    ];
    assert!(failure(&template).contains("{label}"));
    let missing = failure(&["export", "--onnx", &alone, "--head", "no-such-head"]);
    assert!(missing.contains("no-such-head"), "{missing}");
}
