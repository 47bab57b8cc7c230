//! Index, search, duplicates and sorting, as people and scripts use them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of images with an index of its own.
struct Library {
    folder: TempDir,
}

impl Library {
    /// The samples of the page, by folders.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = Self { folder };
        for (from, to) in [
            ("cat.jpg", "animals/cat.jpg"),
            ("raccoon.jpg", "animals/raccoon.jpg"),
            ("coffee.jpg", "kitchen/coffee.jpg"),
            ("pizza.png", "kitchen/pizza.png"),
            ("rocket.jpg", "rocket.jpg"),
            ("flower.jpg", "花/flower, red.jpg"),
        ] {
            library.add(from, to);
        }
        library
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    fn add(&self, sample: &str, to: &str) {
        let to = self.images().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(sample_file(sample), to).unwrap();
    }

    fn clip(&self, command: &str, more: &[&str]) -> Output {
        let index = self.folder.path().join("index.safetensors");
        Command::new(env!("CARGO_BIN_EXE_clip"))
            .arg(command)
            .args(["--device", "cpu", "--index"])
            .arg(index)
            .args(more)
            .output()
            .unwrap()
    }

    fn json(&self, command: &str, more: &[&str]) -> Value {
        let images = self.images().display().to_string();
        let place: &[&str] = match command {
            "search" => &["--json", "--data", &images],
            _ => &["--json", &images],
        };
        let output = self.clip(command, &[place, more].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Paths that a search finds, nearest first.
    fn search(&self, more: &[&str]) -> Vec<String> {
        let found = self.json("search", more);
        let images = found["images"].as_array().unwrap();
        let scores: Vec<f64> = (images.iter())
            .map(|image| image["score"].as_f64().unwrap())
            .collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        (images.iter())
            .map(|image| image["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn sample_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets/samples")
        .join(name)
}

fn failure(output: &Output) -> String {
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

#[test]
fn only_what_changed_is_encoded_again() {
    let library = Library::new();
    fs::write(library.images().join("broken.jpg"), b"no image").unwrap();
    fs::write(library.images().join("notes.txt"), b"text").unwrap();
    fs::write(
        library.images().join("photo.heic"),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    )
    .unwrap();
    let first = library.json("index", &[]);
    assert_eq!((&first["images"], &first["new"]), (&6.into(), &6.into()));
    assert_eq!(first["other_files"], 1);
    let skipped = first["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 2);
    assert_eq!(skipped[0]["path"], "broken.jpg");
    assert!(skipped[1]["reason"].as_str().unwrap().contains("HEIC"));

    let again = library.json("index", &[]);
    assert_eq!((&again["images"], &again["new"]), (&6.into(), &0.into()));
    assert_eq!(again["skipped"].as_array().unwrap().len(), 2);

    fs::remove_file(library.images().join("rocket.jpg")).unwrap();
    library.add("umbrella.png", "umbrella.png");
    library.add("umbrella.png", "broken.jpg");
    let changed = library.json("index", &[]);
    assert_eq!(changed["images"], 7);
    assert_eq!(
        (&changed["new"], &changed["removed"]),
        (&2.into(), &1.into())
    );
    assert_eq!(changed["skipped"].as_array().unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let library = Library::new();
    let odd = |name: &'static [u8]| library.images().join(OsStr::from_bytes(name));
    if fs::copy(sample_file("cat.jpg"), odd(b"caf\xe9.jpg")).is_err() {
        return; // the file system has no such names
    }
    fs::write(odd(b"caf\xe9.txt"), b"text").unwrap();
    fs::create_dir(odd(b"ol\xe9")).unwrap();
    let found = library.json("index", &[]);
    assert_eq!(found["images"], 6);
    let skipped: Vec<[&str; 2]> = (found["skipped"].as_array().unwrap().iter())
        .map(|skipped| ["path", "reason"].map(|key| skipped[key].as_str().unwrap()))
        .collect();
    let why = "its name is not UTF-8: rename it";
    assert_eq!(skipped, [["caf\\xE9.jpg", why], ["ol\\xE9/", why]]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let library = Library::new();
    let images = library.images().display().to_string();
    let out = library.folder.path().join("sorted").display().to_string();
    let index = library.folder.path().join("index.safetensors");
    let shard = ["embed", "--device", "cpu", "--data", &images, "--out", &out];
    let place = ["--device", "cpu", "--index", index.to_str().unwrap()];
    let with_index = |command: &[&'static str]| [command, &place].concat();
    for arguments in [
        [&with_index(&["index"])[..], &[&images]].concat(),
        [&with_index(&["index", "--json"])[..], &[&images]].concat(),
        [&with_index(&["search", "cat"])[..], &["--data", &images]].concat(),
        [&with_index(&["duplicates"])[..], &[&images]].concat(),
        [
            &with_index(&["sort", "--labels", "cat,dog", "--dry-run"])[..],
            &["--out", &out, &images],
        ]
        .concat(),
        shard.to_vec(),
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let found = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(&arguments)
            .stdout(full)
            .output()
            .unwrap();
        let errors = failure(&found);
        assert!(
            errors.contains("clip: the standard output cannot be written:"),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn words_and_images_find_images() {
    let library = Library::new();
    assert_eq!(
        library.search(&["a photo of a rocket", "--top", "1"]),
        ["rocket.jpg"]
    );
    assert_eq!(
        library.search(&["cup of coffee", "--top", "1", "--no-update"]),
        ["kitchen/coffee.jpg"]
    );
    let all = library.search(&["cat"]);
    assert_eq!(all.len(), 6);
    assert!(library.search(&["cat", "--min-score", "0.999"]).is_empty());

    // By an image: itself is no answer, and taken away it comes last.
    let cat = sample_file("cat.jpg").display().to_string();
    let like = library.search(&["--image", &cat]);
    assert_eq!(like.len(), 5);
    assert!(!like.contains(&"animals/cat.jpg".into()));
    let with = library.search(&[&format!(
        "animal + {}",
        library.images().join("rocket.jpg").display()
    )]);
    assert!(!with.contains(&"rocket.jpg".into()));
    let place = |found: &[String], path: &str| found.iter().position(|p| p == path).unwrap();
    let (coffee, pizza) = ("kitchen/coffee.jpg", library.search(&["pizza"]));
    let without = library.search(&["pizza - cup of coffee"]);
    assert!(place(&without, coffee) > place(&pizza, coffee));

    let found = library.json("search", &["dog + beach - people"]);
    let signs: Vec<&str> = (found["query"].as_array().unwrap().iter())
        .map(|term| term["sign"].as_str().unwrap())
        .collect();
    assert_eq!(signs, ["+", "+", "-"]);
}

#[test]
fn queries_without_an_answer_are_refused() {
    let library = Library::new();
    let images = library.images().display().to_string();
    let refused =
        |more: &[&str]| failure(&library.clip("search", &[more, &["--data", &images]].concat()));
    assert!(refused(&[" - "]).contains("the query is empty"));
    assert!(refused(&["cat - cat"]).contains("cancel"));
    assert!(refused(&["cat", "--min-score", "nan"]).contains("--min-score"));
    assert!(refused(&["cat", "--template", "a photo"]).contains("{label}"));
    assert!(refused(&["--image", "nowhere.jpg"]).contains("nowhere.jpg"));
    assert!(failure(&library.clip("search", &["cat", "--data", "nowhere"])).contains("nowhere"));
    let empty = library.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    let index = library.folder.path().join("other.safetensors");
    let index = index.display().to_string();
    let none = Command::new(env!("CARGO_BIN_EXE_clip"))
        .args(["search", "cat", "--data", &empty, "--device", "cpu"])
        .args(["--index", &index])
        .output()
        .unwrap();
    assert!(failure(&none).contains("no images"));
    fs::write(&index, b"no index").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_clip"))
        .args(["index", &images, "--device", "cpu", "--index", &index])
        .output()
        .unwrap();
    assert!(failure(&output).contains("not an index"));
    assert_eq!(fs::read(&index).unwrap(), b"no index");
}

#[test]
fn copies_are_found_and_told_apart() {
    let library = Library::new();
    library.add("cat.jpg", "backup/cat (copy).jpg");
    let found = library.json("duplicates", &[]);
    let identical = serde_json::json!([["animals/cat.jpg", "backup/cat (copy).jpg"]]);
    assert_eq!(found["identical"], identical);
    assert_eq!(found["near_identical"], serde_json::json!([]));
    let images = library.images().display().to_string();
    let text = library.clip("duplicates", &[&images, "--similar", "1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("Identical files: 1 group, 1 duplicate\n"),
        "{text}"
    );
    assert!(
        failure(&library.clip("duplicates", &[&images, "--similar", "2"])).contains("--similar")
    );
}

#[test]
fn images_are_sorted_into_folders_and_nothing_is_overwritten() {
    let library = Library::new();
    library.add("coffee.jpg", "coffee.jpg");
    let out = library.folder.path().join("sorted");
    let place = out.display().to_string();
    let arguments = ["--labels", "cup of coffee, pizza, rocket", "--out", &place];
    let planned = library.json("sort", &[&arguments[..], &["--dry-run"]].concat());
    assert!(!out.exists());
    let done = library.json("sort", &arguments);
    assert_eq!(done["images"], planned["images"]);
    let target = |path: &str| {
        let images = done["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["path"] == path).unwrap();
        image["sorted_to"].as_str().unwrap().to_owned()
    };
    assert_eq!(target("coffee.jpg"), "cup of coffee/coffee.jpg");
    assert_eq!(target("kitchen/coffee.jpg"), "cup of coffee/coffee (2).jpg");
    assert_eq!(target("kitchen/pizza.png"), "pizza/pizza.png");
    // Seven images and the list; the originals are where they were.
    assert_eq!(files(&out).len(), 8);
    assert_eq!(files(&library.images()).len(), 7);
    let list = fs::read_to_string(out.join("sorted.csv")).unwrap();
    assert_eq!(list.lines().count(), 8);
    assert!(list.contains("\"花/flower, red.jpg\","), "{list}");

    // A second time: beside the first, not over it.
    library.json("sort", &arguments);
    assert_eq!(files(&out).len(), 16);

    let uncertain = library.json(
        "sort",
        &[&arguments[..], &["--min-probability", "1", "--dry-run"]].concat(),
    );
    let images = uncertain["images"].as_array().unwrap();
    let below = |image: &&Value| image["probability"].as_f64().unwrap() < 1.0;
    assert!(images.iter().filter(below).count() > 3);
    for image in images.iter().filter(below) {
        assert!(
            image["sorted_to"]
                .as_str()
                .unwrap()
                .starts_with("unsorted/"),
            "{image}"
        );
    }
}

#[test]
fn images_are_moved_within_their_folder_once() {
    let library = Library::new();
    let out = library.images().join("by label").display().to_string();
    let arguments = ["--labels", "cat,pizza", "--out", &out, "--move"];
    library.json("sort", &arguments);
    let moved = files(&library.images());
    assert_eq!(moved.len(), 7);
    assert!(
        moved.iter().all(|path| path.contains("by label")),
        "{moved:?}"
    );
    // What is sorted stays.
    let again = library.json("sort", &arguments);
    assert_eq!(again["images"], serde_json::json!([]));
    let refused = library.clip("sort", &["--labels", "a/b,a_b", "--out", &out]);
    assert!(failure(&refused).contains("a_b"));
}

#[test]
fn shards_make_up_what_one_machine_encodes() {
    let library = Library::new();
    fs::write(library.images().join("broken.jpg"), b"no image").unwrap();
    let images = library.images().display().to_string();
    let embed = |out: &str, shard: Option<&str>| {
        let out = library.folder.path().join(out);
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip"));
        command
            .args(["embed", "--device", "cpu", "--data", &images, "--out"])
            .arg(&out);
        if let Some(shard) = shard {
            command.args(["--shard", shard]);
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        out
    };
    // Header and rows of a .npy file.
    let read = |file: PathBuf| {
        let bytes = fs::read(file).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!(length % 64, 0);
        let header = String::from_utf8(bytes[10..length].to_vec()).unwrap();
        (header, bytes[length..].to_vec())
    };
    let whole = embed("whole", None);
    let (header, features) = read(whole.join("img_emb/img_emb_0.npy"));
    assert!(header.contains("'shape': (6, 256)"), "{header}");
    assert_eq!(features.len(), 6 * 256 * 2);
    let mut parts = Vec::new();
    for shard in ["1/2", "2/2"] {
        embed("parts", Some(shard));
    }
    for number in 0..2 {
        let folder = library.folder.path().join("parts");
        assert!(
            folder
                .join(format!("metadata/metadata_{number}.parquet"))
                .exists()
        );
        parts.extend(read(folder.join(format!("img_emb/img_emb_{number}.npy"))).1);
    }
    assert_eq!(parts.len(), features.len());
    // Batches differ, so rounding may.
    let value = |bytes: &[u8]| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    for (part, whole) in parts.chunks(2).zip(features.chunks(2)) {
        assert!((value(part) - value(whole)).abs() < 2e-3);
    }
}

/// A JPEG with the date of the shutter.
fn dated(jpeg: &[u8], date: &str) -> Vec<u8> {
    let field = |tag: u16, kind: u16, count: u32, value: u32| {
        let head = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        [
            head,
            count.to_le_bytes().to_vec(),
            value.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    // Two directories of one field each, at 8 and at 26.
    let exif = [
        b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec(),
        field(0x8769, 4, 1, 26),
        b"\0\0\0\0\x01\0".to_vec(),
        field(0x9003, 2, date.len() as u32 + 1, 44),
        [0; 4].to_vec(),
        date.as_bytes().to_vec(),
        vec![0],
    ]
    .concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [b"\xff\xd8\xff\xe1", &length[..], &exif, &jpeg[2..]].concat()
}

#[test]
fn filters_choose_by_folder_date_and_label() {
    let library = Library::new();
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    let in_folder = |folder: &str| sorted(library.search(&["cat", "--in", folder]));
    assert_eq!(
        in_folder("animals"),
        ["animals/cat.jpg", "animals/raccoon.jpg"]
    );
    assert_eq!(in_folder("花/"), ["花/flower, red.jpg"]);
    let whole = library.images().join("kitchen").display().to_string();
    assert_eq!(in_folder(&whole).len(), 2);
    assert!(in_folder("nowhere").is_empty());

    // The camera's date counts before the file's.
    let cat = fs::read(sample_file("cat.jpg")).unwrap();
    let old = library.images().join("old.jpg");
    fs::write(&old, dated(&cat, "2001:05:06 07:08:09")).unwrap();
    let older = fs::File::create(library.images().join("older.jpg")).unwrap();
    std::io::Write::write_all(&mut &older, &cat).unwrap();
    // 1999-12-31
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(946_598_400);
    older.set_modified(time).unwrap();
    drop(older);
    let dates = |more: &[&str]| sorted(library.search(&[&["cat"], more].concat()));
    assert_eq!(dates(&["--to", "2002"]), ["old.jpg", "older.jpg"]);
    assert_eq!(
        dates(&["--from", "2001", "--to", "2001-05-06"]),
        ["old.jpg"]
    );
    assert_eq!(dates(&["--to", "2001-05-05"]), ["older.jpg"]);
    assert_eq!(dates(&["--from", "2002"]).len(), 6);

    let labels = [
        "--labels",
        "rocket, cat, pizza, flower, cup of coffee, raccoon",
    ];
    let rockets = library.search(&[&["cat", "--label", "rocket"], &labels[..]].concat());
    assert_eq!(rockets, ["rocket.jpg"]);
    let two = [
        "cat", "--label", "rocket", "--label", "pizza", "--in", "kitchen",
    ];
    let two = library.search(&[&two, &labels[..]].concat());
    assert_eq!(two, ["kitchen/pizza.png"]);
    // Among the words of the vocabulary.
    let coffee = library.search(&["cat", "--label", "coffee"]);
    assert_eq!(coffee, ["kitchen/coffee.jpg"]);

    let images = library.images().display().to_string();
    let refused = |more: &[&str]| {
        failure(&library.clip("search", &[&["cat", "--data", &images], more].concat()))
    };
    assert!(refused(&["--from", "yesterday"]).contains("\"yesterday\" is not a date"));
    assert!(refused(&["--to", "2024-02-30"]).contains("2024-06-01"));
    assert!(refused(&["--labels", "cat"]).contains("--label"));
    let none = library.clip("search", &["cat", "--data", &images, "--from", "2900"]);
    let text = String::from_utf8(none.stdout).unwrap();
    assert!(text.contains("no image passes the filters"), "{text}");
}

#[test]
fn clusters_are_named_and_copied() {
    let library = Library::new();
    for (copy, sample) in ["coffee.jpg", "bicycle.png", "soccer.png"]
        .iter()
        .enumerate()
    {
        for more in 0..3 {
            // Other bytes, the same picture: nothing reads what follows its end.
            let mut bytes = fs::read(sample_file(sample)).unwrap();
            bytes.push(more);
            let name = format!("more/{copy}-{more}.{}", &sample[sample.len() - 3..]);
            let to = library.images().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
    }
    let found = library.json("cluster", &["--in", "more"]);
    assert_eq!(found["images"], 9);
    let clusters = found["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 3, "{found}");
    let mut words = Vec::new();
    for cluster in clusters {
        let images = cluster["images"].as_array().unwrap();
        assert_eq!(images.len(), 3);
        let kind = |path: &Value| path.as_str().unwrap()[.."more/0".len()].to_owned();
        assert!(images.iter().all(|path| kind(path) == kind(&images[0])));
        assert_eq!(cluster["words"].as_array().unwrap().len(), 3);
        assert!(cluster["cohesion"].as_f64().unwrap() > 0.99);
        words.push(cluster["words"][0].as_str().unwrap().to_owned());
    }
    assert!(words.contains(&"bicycle".into()), "{words:?}");
    assert_eq!(library.json("cluster", &["--in", "more"]), found);

    let out = library.folder.path().join("clusters");
    let place = out.display().to_string();
    let four = ["--clusters", "4", "--out", &place];
    let found = library.json("cluster", &four);
    assert_eq!(found["clusters"].as_array().unwrap().len(), 4);
    assert_eq!(files(&out).len(), 15 + 1);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4 + 1);
    assert_eq!(files(&library.images()).len(), 15);
    let images = library.images().display().to_string();
    let text = library.clip("cluster", &[&images, "--clusters", "2"]);
    let text = String::from_utf8(text.stdout).unwrap();
    // A line for each cluster, and below it some of its images.
    let images_of = |line: &&str| line.starts_with("        ");
    assert_eq!(text.lines().filter(|line| !images_of(line)).count(), 2);
    assert!(
        (6..=10).contains(&text.lines().filter(images_of).count()),
        "{text}"
    );
    failure(&library.clip("cluster", &[&images, "--clusters", "0"]));
    let none = library.clip("cluster", &[&images, "--from", "2900"]);
    assert!(failure(&none).contains("no images"));
}

/// Parts of an index as a run leaves them that is broken off.
#[test]
fn a_run_that_was_broken_off_goes_on() {
    use clip::library::Index;

    let library = Library::new();
    library.json("index", &[]);
    let file = library.folder.path().join("index.safetensors");
    let beside = |suffix: &str| {
        library
            .folder
            .path()
            .join(format!("index.safetensors{suffix}"))
    };
    let whole = Index::read(&fs::read(&file).unwrap()).unwrap();
    let part = |entries: std::ops::Range<usize>| {
        let mut part = Index::new(whole.folder(), whole.model().clone());
        let images = entries.map(|i| (whole.entries()[i].clone(), whole.features_of(i)));
        part.extend(images.collect(), Vec::new());
        part.write().unwrap()
    };
    fs::write(&file, part(0..2)).unwrap();
    fs::write(beside(".part-1"), part(1..4)).unwrap();
    fs::write(beside(".part-2"), &part(4..5)[..1000]).unwrap();
    fs::write(beside(".part-3"), part(5..6)).unwrap();
    let found = library.search(&["cat", "--no-update"]);
    assert_eq!(found.len(), 5);
    let again = library.json("index", &[]);
    assert_eq!((&again["images"], &again["new"]), (&6.into(), &1.into()));
    assert_eq!(
        Index::read(&fs::read(&file).unwrap()).unwrap().entries(),
        whole.entries()
    );
    assert!((1..=3).all(|number| !beside(&format!(".part-{number}")).exists()));

    // Before the first whole index.
    fs::remove_file(&file).unwrap();
    fs::write(beside(".part-1"), part(2..6)).unwrap();
    let again = library.json("index", &[]);
    assert_eq!((&again["images"], &again["new"]), (&6.into(), &2.into()));
}

#[test]
fn a_killed_command_leaves_an_index_that_is_read() {
    let library = Library::new();
    library.json("index", &[]);
    let images = library.images();
    let index = library.folder.path().join("index.safetensors");
    for round in 0..6 {
        for copy in 0..20 {
            library.add("cat.jpg", &format!("{round}/{copy}.jpg"));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip"))
            .args(["index", "--device", "cpu", "--index"])
            .args([&index, &images])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Sometimes before it writes, sometimes meanwhile, sometimes after.
        std::thread::sleep(std::time::Duration::from_millis(40 + 50 * round));
        command.kill().unwrap();
        command.wait().unwrap();
        clip::library::Index::read(&fs::read(&index).unwrap()).unwrap();
    }
    assert_eq!(library.json("index", &[])["images"], 126);
}

#[test]
fn two_commands_do_not_write_one_index() {
    let library = Library::new();
    library.json("index", &[]);
    let lock = library.folder.path().join("index.safetensors.lock");
    let lock = fs::File::create(lock).unwrap();
    if lock.try_lock().is_err() {
        return; // the file system has no locks
    }
    let images = library.images().display().to_string();
    let refused = library.clip("index", &[&images]);
    assert!(failure(&refused).contains("another clip"));
    assert_eq!(library.search(&["cat", "--no-update"]).len(), 6);
    drop(lock);
    library.json("index", &[]);
}

/// The limit of file sizes stands in for a full disk: writing fails in the same way.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let library = Library::new();
    library.json("index", &[]);
    library.add("umbrella.png", "umbrella.png");
    let index = library.folder.path().join("index.safetensors");
    let before = fs::read(&index).unwrap();
    let limited = |command: &str, more: &[&str]| {
        // Without the signal that would end it.
        Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_clip"))
            .args([
                command,
                "--device",
                "cpu",
                "--index",
                index.to_str().unwrap(),
            ])
            .args(more)
            .output()
            .unwrap()
    };
    let images = library.images().display().to_string();
    let full = failure(&limited("index", &[&images]));
    assert!(
        full.contains("index.safetensors cannot be written"),
        "{full}"
    );
    assert_eq!(fs::read(&index).unwrap(), before);
    // A search is answered all the same.
    let found = limited("search", &["umbrella", "--top", "1", "--data", &images]);
    let errors = String::from_utf8_lossy(&found.stderr);
    assert!(
        found.status.success() && errors.contains("encoded again next time"),
        "{errors}"
    );
    assert!(String::from_utf8_lossy(&found.stdout).contains("umbrella.png"));
    assert_eq!(fs::read(&index).unwrap(), before);
    assert_eq!(
        files(library.folder.path()).len(),
        7 + 2,
        "no part of a file is left"
    );
    assert_eq!(library.json("index", &[])["new"], 1);
}

#[test]
fn an_empty_folder_does_not_empty_its_index() {
    let library = Library::new();
    library.json("index", &[]);
    let away = library.folder.path().join("away");
    fs::rename(library.images(), &away).unwrap();
    fs::create_dir(library.images()).unwrap();
    let images = library.images().display().to_string();
    let refused = failure(&library.clip("index", &[&images]));
    assert!(refused.contains("is empty, but 6 images"), "{refused}");
    fs::remove_dir(library.images()).unwrap();
    fs::rename(&away, library.images()).unwrap();
    assert_eq!(library.json("index", &[])["new"], 0);
}

#[cfg(unix)]
#[test]
fn a_folder_that_vanishes_loses_nothing() {
    let library = Library::new();
    // Many large pictures: the command is at work for seconds.
    let large = image::RgbImage::new(4000, 4000);
    let first = library.images().join("large-0.png");
    large.save(&first).unwrap();
    for number in 1..200 {
        let copy = library.images().join(format!("large-{number}.png"));
        fs::hard_link(&first, copy).unwrap();
    }
    let index = library.folder.path().join("index.safetensors");
    let command = Command::new(env!("CARGO_BIN_EXE_clip"))
        .args(["index", "--device", "cpu", "--index"])
        .args([&index, &library.images()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The lock is taken just before the folder is listed.
    let lock = library.folder.path().join("index.safetensors.lock");
    let pause = |milliseconds| std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    for _ in 0..6000 {
        if lock.exists() {
            break;
        }
        pause(10);
    }
    pause(500);
    let away = library.folder.path().join("away");
    fs::rename(library.images(), &away).unwrap();
    let vanished = failure(&command.wait_with_output().unwrap());
    assert!(
        vanished.contains("has vanished while it was read"),
        "{vanished}"
    );
    let kept = clip::library::Index::read(&fs::read(&index).unwrap()).unwrap();
    fs::rename(&away, library.images()).unwrap();
    for number in 0..200 {
        fs::remove_file(library.images().join(format!("large-{number}.png"))).unwrap();
    }
    let again = library.json("index", &[]);
    assert_eq!(again["images"], 6);
    let small = |entry: &&clip::library::Entry| !entry.file.path.starts_with("large");
    let kept = kept.entries().iter().filter(small).count();
    assert_eq!(again["new"], 6 - kept);
}

#[test]
fn camera_raw_files_are_seen_by_their_preview() {
    let library = Library::new();
    let cat = fs::read(sample_file("cat.jpg")).unwrap();
    let raw = [b"IIRO\x08\0\0\0\0\0\0\0\0\0", cat.as_slice(), &[0x55; 3000]].concat();
    fs::write(library.images().join("P1010001.ORF"), raw).unwrap();
    fs::write(library.images().join("empty.NEF"), b"II*\0\x08\0\0\0").unwrap();
    let found = library.json("index", &[]);
    assert_eq!(
        (&found["images"], found["skipped"].as_array().unwrap().len()),
        (&7.into(), 1)
    );
    let twins = library.json("duplicates", &[]);
    let paths = ["P1010001.ORF", "animals/cat.jpg"];
    assert_eq!(twins["near_identical"], serde_json::json!([paths]));
}
