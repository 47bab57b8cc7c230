//! Files as people really have them: each case with the value that is right, or with the
//! words that a user needs.

use std::io::{Cursor, Write};

use clip::data::{DataError, DataFiles, Dataset, InMemory, LeftOut, ZipFiles};
use pollster::block_on;

/// Contents of a file: `#7` is a picture of one colour, `latin:` text in Latin-1, `utf16:`
/// text in UTF-16 with a byte-order mark, anything else text.
fn contents(text: &str) -> Vec<u8> {
    if let Some(grey) = text.strip_prefix('#') {
        let grey = image::Luma([grey.parse().unwrap()]);
        let mut bytes = Cursor::new(Vec::new());
        let picture = image::GrayImage::from_pixel(2, 2, grey);
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    } else if let Some(text) = text.strip_prefix("latin:") {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect()
    } else if let Some(text) = text.strip_prefix("utf16:") {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    } else {
        text.into()
    }
}

type Files<'a> = &'a [(&'a str, &'a str)];

fn in_memory(files: Files) -> InMemory {
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

struct Case<'a> {
    name: &'a str,
    files: Files<'a>,
    expected: &'a str,
    /// Words that are told; none where nothing may be told.
    words: &'a [&'a str],
}

const fn case<'a>(
    name: &'a str,
    files: Files<'a>,
    expected: &'a str,
    words: &'a [&'a str],
) -> Case<'a> {
    Case {
        name,
        files,
        expected,
        words,
    }
}

fn check(cases: &[Case], open: impl Fn(Files) -> (String, Vec<String>)) {
    let mut wrong = Vec::new();
    for case in cases {
        let (found, told) = open(case.files);
        let all = told.join("\n");
        let missing = case.words.iter().filter(|words| !all.contains(**words));
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

const FOLDERS: &[Case] = &[
    case(
        "class folders",
        &[
            ("cat/1.png", "#1"),
            ("cat/2.png", "#2"),
            ("dog/1.png", "#3"),
        ],
        "cat 2, dog 1",
        &[],
    ),
    case(
        "a folder around",
        &[("set/cat/1.png", "#1"), ("set/dog/1.png", "#3")],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "two folders around",
        &[("a/b/cat/1.png", "#1"), ("a/b/dog/1.png", "#3")],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a README beside",
        &[("README.md", "x"), ("cat/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a README beside the folder around",
        &[
            ("README.md", "x"),
            ("set/cat/1.png", "#1"),
            ("set/dog/1.png", "#3"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "files of systems",
        &[
            ("__MACOSX/cat/._1.png", "x"),
            ("cat/.DS_Store", "x"),
            ("cat/Thumbs.db", "x"),
            ("cat/desktop.ini", "x"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "hidden folders",
        &[
            (".git/1.png", "#9"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "underscores",
        &[("black_cat/1.png", "#1"), ("dog/1.png", "#3")],
        "black cat 1, dog 1",
        &[],
    ),
    case(
        "one class in two spellings",
        &[
            ("Cat/1.png", "#1"),
            ("cat/2.png", "#2"),
            ("dog/1.png", "#3"),
        ],
        "Cat 2, dog 1",
        &["\"Cat\" and \"cat\" are one class"],
    ),
    case(
        "one class composed and decomposed",
        &[
            ("caf\u{e9}/1.png", "#1"),
            ("cafe\u{301}/2.png", "#2"),
            ("dog/1.png", "#3"),
        ],
        "cafe\u{301} 2, dog 1",
        &["are one class"],
    ),
    case(
        "other scripts",
        &[("猫/1.png", "#1"), ("🐶/1.png", "#3")],
        "猫 1, 🐶 1",
        &[],
    ),
    case(
        "an empty class",
        &[("cat/1.png", "#1"), ("dog/1.png", "#3"), ("unicorn/", "")],
        "cat 1, dog 1, unicorn 0; left out 1 empty_class",
        &["\"unicorn\" has no usable images"],
    ),
    case(
        "pictures deeper",
        &[("cat/a/b/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a text in a class",
        &[
            ("cat/1.png", "#1"),
            ("cat/notes.txt", "x"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unreadable",
        &["cat/notes.txt: this is not a readable image"],
    ),
    case(
        "an empty file",
        &[("cat/1.png", "#1"), ("cat/2.png", ""), ("dog/1.png", "#3")],
        "cat 1, dog 1; left out 1 unreadable",
        &["cat/2.png: the file is empty"],
    ),
    case(
        "a web page",
        &[
            ("cat/1.png", "#1"),
            ("cat/2.png", "<!DOCTYPE html>"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unreadable",
        &["web page"],
    ),
    case(
        "a picture twice",
        &[
            ("cat/1.png", "#1"),
            ("cat/2.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 duplicate",
        &["cat/2.png is a duplicate of cat/1.png"],
    ),
    case(
        "a picture in two classes",
        &[
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
            ("dog/2.png", "#1"),
        ],
        "cat 1, dog 1; left out 1 contradiction",
        &["in another class"],
    ),
    case(
        "a picture at the top",
        &[("1.png", "#9"), ("cat/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1; left out 1 unlabelled",
        &["1.png has neither a class nor a caption"],
    ),
    case(
        "a HEIC at the top",
        &[("1.heic", "x"), ("cat/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1; left out 1 unlabelled",
        &["1.heic"],
    ),
    case(
        "a zip at the top",
        &[("more.zip", "x"), ("cat/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1; left out 1 ignored",
        &["more.zip is not used: an archive inside the data is not opened: unpack it"],
    ),
    case(
        "a zip in a class",
        &[
            ("cat/more.zip", "PK\u{3}\u{4}"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unreadable",
        &["ZIP archive", "unpack it"],
    ),
    case(
        "a spreadsheet",
        &[
            ("labels.xlsx", "x"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &["save the table as CSV (UTF-8)"],
    ),
    case(
        "parquet",
        &[
            ("train.parquet", "x"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &["export it as CSV or JSON Lines"],
    ),
    case(
        "a table about something else",
        &[
            ("prices.csv", "name,price\ncat,3\n"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &["prices.csv is not used", "no column for the images"],
    ),
    case(
        "a table of other pictures",
        &[
            ("old.csv", "file,label\nx.png,bird\n"),
            ("cat/1.png", "#1"),
            ("dog/1.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &["it names no file of the data"],
    ),
    case(
        "an empty table",
        &[("new.csv", ""), ("cat/1.png", "#1"), ("dog/1.png", "#3")],
        "cat 1, dog 1; left out 1 ignored",
        &["new.csv"],
    ),
    case(
        "one class",
        &[("cat/1.png", "#1"), ("cat/2.png", "#2")],
        "cat 2",
        &[],
    ),
    case(
        "no files",
        &[],
        "refused",
        &["data contains no usable images", "It has no files"],
    ),
    case(
        "texts only",
        &[("a.txt", "x"), ("b.txt", "y")],
        "refused",
        &["None of its 2 files is an image in a folder (first: a.txt)"],
    ),
    case(
        "pictures without classes",
        &[("a.png", "#1"), ("b.png", "#2")],
        "refused",
        &["2 without a class or caption (first: a.png has neither a class nor a caption)"],
    ),
    case(
        "a zip only",
        &[("data.zip", "x")],
        "refused",
        &["1 not used (data.zip is not used: an archive"],
    ),
];

const PARTS: &[Case] = &[
    case(
        "train and test",
        &[
            ("train/cat/1.png", "#1"),
            ("train/dog/1.png", "#2"),
            ("test/cat/1.png", "#3"),
            ("test/dog/1.png", "#4"),
        ],
        "cat 2, dog 2; held out 2",
        &[
            "test, train are parts of the data, not classes",
            "holds out 2 of its 4 images itself",
        ],
    ),
    case(
        "train and val",
        &[
            ("train/cat/1.png", "#1"),
            ("train/dog/1.png", "#2"),
            ("val/dog/1.png", "#4"),
        ],
        "cat 1, dog 2; held out 1",
        &["train, val are parts"],
    ),
    case(
        "capital names around",
        &[
            ("set/Training/cat/1.png", "#1"),
            ("set/Training/dog/1.png", "#2"),
            ("set/Testing/dog/1.png", "#4"),
        ],
        "cat 1, dog 2; held out 1",
        &["Testing, Training are parts"],
    ),
    case(
        "three parts",
        &[
            ("train/cat/1.png", "#1"),
            ("train/dog/1.png", "#2"),
            ("val/cat/1.png", "#5"),
            ("test/dog/1.png", "#4"),
        ],
        "cat 1, dog 2; held out 1",
        &["1 examples for validation are not used"],
    ),
    case(
        "only train",
        &[("train/cat/1.png", "#1"), ("train/dog/1.png", "#2")],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a part beside classes is a class",
        &[
            ("train/1.png", "#1"),
            ("bus/1.png", "#2"),
            ("test/1.png", "#3"),
        ],
        "bus 1, test 1, train 1",
        &[],
    ),
    case(
        "parts in classes",
        &[
            ("cat/train/1.png", "#1"),
            ("cat/test/1.png", "#2"),
            ("dog/train/1.png", "#3"),
            ("dog/test/1.png", "#4"),
        ],
        "cat 2, dog 2; held out 2",
        &["the folders inside each class are parts"],
    ),
    case(
        "a picture in both parts",
        &[
            ("train/cat/1.png", "#1"),
            ("train/dog/1.png", "#2"),
            ("test/cat/9.png", "#1"),
            ("test/dog/1.png", "#4"),
        ],
        "cat 1, dog 2; held out 2; left out 1 duplicate",
        &["train/cat/1.png is a duplicate of test/cat/9.png"],
    ),
    case(
        "parts without classes",
        &[("train/1.png", "#1"), ("test/2.png", "#2")],
        "refused",
        &["2 without a class or caption"],
    ),
    case(
        "two tables",
        &[
            ("train.csv", "file,label\na.png,cat\nb.png,dog\n"),
            ("test.csv", "file,label\nc.png,cat\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 2, dog 1; held out 1",
        &["holds out 1 of its 3"],
    ),
    case(
        "two tables with long names",
        &[
            (
                "labels_train.jsonl",
                "{\"file\":\"a.png\",\"label\":\"cat\"}\n{\"file\":\"b.png\",\"label\":\"dog\"}",
            ),
            ("labels_val.jsonl", "{\"file\":\"c.png\",\"label\":\"cat\"}"),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 2, dog 1; held out 1",
        &["holds out 1 of its 3"],
    ),
    case(
        "a test table without labels",
        &[
            ("train.csv", "id,image,label\n1,a.png,cat\n2,b.png,dog\n"),
            ("test.csv", "id,image\n3,c.png\n"),
            ("train/a.png", "#1"),
            ("train/b.png", "#2"),
            ("test/c.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &[
            "test.csv is not used",
            "2 files were found under another name than train.csv gives, the first as train/a.png, not a.png",
        ],
    ),
    case(
        "a table in each part",
        &[
            (
                "train/metadata.csv",
                "file_name,label\na.png,cat\nb.png,dog\n",
            ),
            ("train/a.png", "#1"),
            ("train/b.png", "#2"),
            ("test/metadata.csv", "file_name,label\na.png,dog\n"),
            ("test/a.png", "#3"),
        ],
        "cat 1, dog 2; held out 1",
        &["test, train are parts"],
    ),
    case(
        "a column for the parts",
        &[
            (
                "t.csv",
                "file,label,split\na.png,cat,train\nb.png,dog,train\nc.png,dog,test\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 2; held out 1",
        &["holds out 1"],
    ),
    case(
        "an odd part",
        &[
            (
                "t.csv",
                "file,label,split\na.png,cat,train\nb.png,dog,test\nc.png,dog,maybe\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 1; held out 1; left out 1 ignored",
        &["\"maybe\" is not train, validation or test"],
    ),
    case(
        "no part",
        &[
            (
                "t.csv",
                "file,label,split\na.png,cat,train\nb.png,dog,test\nc.png,dog,\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 1; held out 1; left out 1 ignored",
        &["c.png is not used: it is in no part"],
    ),
    case(
        "all train",
        &[
            (
                "t.csv",
                "file,label,split\na.png,cat,train\nb.png,dog,train\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "two tables that are no parts",
        &[
            ("a.csv", "file,label\nx.png,cat\n"),
            ("b.csv", "file,label\nx.png,dog\n"),
            ("x.png", "#1"),
        ],
        "refused",
        &["contains several tables (a.csv, b.csv): choose one"],
    ),
    case(
        "two tables, one of them of other files",
        &[
            ("a.csv", "file,label\nx.png,cat\ny.png,dog\n"),
            ("b.csv", "file,label\nz.png,dog\n"),
            ("x.png", "#1"),
            ("y.png", "#2"),
        ],
        "cat 1, dog 1; left out 1 ignored",
        &["b.csv is not used: it names no file of the data"],
    ),
];

const NAMES: &[Case] = &[
    case(
        "a missing file with a namesake",
        &[
            (
                "t.csv",
                "file,label\ncats/001.png,cat\ncats/005.png,cat\ndogs/005.png,dog\n",
            ),
            ("cats/001.png", "#1"),
            ("dogs/005.png", "#2"),
        ],
        "cat 1, dog 1; left out 1 missing",
        &[
            "cats/005.png, listed in line 3 of the table, does not exist; there is dogs/005.png, in another folder",
        ],
    ),
    case(
        "a name without its folder",
        &[
            ("t.csv", "file,label\na.png,cat\nb.png,dog\n"),
            ("images/a.png", "#1"),
            ("images/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[
            "2 files were found under another name than t.csv gives, the first as images/a.png, not a.png",
        ],
    ),
    case(
        "a name without its folder, twice there",
        &[
            ("t.csv", "file,label\na.png,cat\nb.png,dog\n"),
            ("x/a.png", "#1"),
            ("y/a.png", "#3"),
            ("x/b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["2 files in other folders have that name: write the folder, too"],
    ),
    case(
        "dot and slash",
        &[
            ("t.csv", "file,label\n./a.png,cat\n./x/b.png,dog\n"),
            ("a.png", "#1"),
            ("x/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "backslashes",
        &[
            ("t.csv", "file,label\nx\\a.png,cat\nx\\b.png,dog\n"),
            ("x/a.png", "#1"),
            ("x/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "up and down",
        &[
            (
                "labels/t.csv",
                "file,label\n../images/a.png,cat\n../images/b.png,dog\n",
            ),
            ("images/a.png", "#1"),
            ("images/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "from the top",
        &[
            (
                "labels/t.csv",
                "file,label\nimages/a.png,cat\nimages/b.png,dog\n",
            ),
            ("images/a.png", "#1"),
            ("images/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "doubled slashes",
        &[
            ("t.csv", "file,label\nx//a.png,cat\nx/./b.png,dog\n"),
            ("x/a.png", "#1"),
            ("x/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "composed and decomposed",
        &[
            ("t.csv", "file,label\ncafé.png,cat\nb.png,dog\n"),
            ("cafe\u{301}.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "case",
        &[
            ("t.csv", "file,label\nA.PNG,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["1 files were found under another name than t.csv gives, the first as a.png, not A.PNG"],
    ),
    case(
        "case, two files",
        &[
            ("t.csv", "file,label\nA.PNG,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("a.PNG", "#3"),
            ("b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["A.PNG, listed in line 2"],
    ),
    case(
        "no extension",
        &[
            ("t.csv", "image_id,label\na,cat\nb,dog\n"),
            ("a.jpg", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["the first as a.jpg, not a"],
    ),
    case(
        "no extension, two files",
        &[
            ("t.csv", "image_id,label\na,cat\nb,dog\n"),
            ("a.jpg", "#1"),
            ("a.png", "#3"),
            ("b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["the first as b.png, not b"],
    ),
    case(
        "another machine's folders",
        &[
            (
                "t.csv",
                "file,label\n/home/me/set/x/a.png,cat\n/home/me/set/y/b.png,dog\n",
            ),
            ("x/a.png", "#1"),
            ("y/b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["the folders of another machine (/home/me/set/x/a.png)"],
    ),
    case(
        "another machine's disk",
        &[
            (
                "t.csv",
                "file,label\nC:\\me\\a.png,cat\nC:\\me\\b.png,dog\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["the folders of another machine"],
    ),
    case(
        "another machine's folders, one file gone",
        &[
            (
                "t.csv",
                "file,label\n/d/cats/1.png,cat\n/d/cats/5.png,cat\n/d/dogs/5.png,dog\n",
            ),
            ("cats/1.png", "#1"),
            ("dogs/5.png", "#2"),
        ],
        "cat 1, dog 1; left out 1 missing",
        &["/d/cats/5.png, listed in line 3", "there is dogs/5.png"],
    ),
    case(
        "another machine's file elsewhere",
        &[
            ("t.csv", "file,label\nC:\\old\\a.png,cat\nb.png,dog\n"),
            ("x/a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["there is x/a.png, in another folder"],
    ),
    case(
        "an address",
        &[
            (
                "t.csv",
                "file,label\nhttps://example.org/a.png,cat\nb.png,dog\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["is an address, not a file: download it first"],
    ),
    case(
        "no name",
        &[("t.csv", "file,label\n,cat\nb.png,dog\n"), ("b.png", "#2")],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["line 2 of the table, names no file"],
    ),
    case(
        "a folder in the place of a file",
        &[
            ("t.csv", "file,label\nx,cat\nb.png,dog\n"),
            ("x/", ""),
            ("b.png", "#2"),
        ],
        "cat 0, dog 1; left out 1 empty_class, 1 missing",
        &["x, listed in line 2 of the table, does not exist"],
    ),
    case(
        "nothing is there",
        &[("t.csv", "file,label\na.png,cat\nb.png,dog\n")],
        "refused",
        &[
            "2 listed in the table, but missing (first: a.png, listed in line 2 of the table, does not exist)",
        ],
    ),
];

const TABLES: &[Case] = &[
    case(
        "commas",
        &[
            ("t.csv", "file,label\na.png,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "semicolons",
        &[
            ("t.csv", "file;label\na.png;cat\nb.png;dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["t.csv is separated by \";\""],
    ),
    case(
        "tabs in a CSV",
        &[
            ("t.csv", "file\tlabel\na.png\tcat\nb.png\tdog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["t.csv is separated by tabs"],
    ),
    case(
        "bars",
        &[
            ("t.csv", "file|label\na.png|cat\nb.png|dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["separated by \"|\""],
    ),
    case(
        "sep=;",
        &[
            ("t.csv", "sep=;\r\nfile;label\r\na.png;cat\r\nb.png;dog\r\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a byte-order mark",
        &[
            ("t.csv", "\u{feff}file,label\na.png,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "UTF-16",
        &[
            ("t.csv", "utf16:file\tlabel\r\na.png\tcat\r\nb.png\tdog\r\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &["separated by tabs"],
    ),
    case(
        "Latin-1",
        &[
            ("t.csv", "latin:file,label\na.png,k\u{e4}fer\n"),
            ("a.png", "#1"),
        ],
        "refused",
        &["t.csv, line 2, is not UTF-8 text: save it as CSV UTF-8"],
    ),
    case(
        "old line ends",
        &[
            ("t.csv", "file,label\ra.png,cat\rb.png,dog\r"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "blank lines",
        &[
            ("t.csv", "\nfile,label\n\na.png,cat\n\nb.png,dog\n\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "rows of commas",
        &[
            ("t.csv", "file,label\na.png,cat\nb.png,dog\n,\n,\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "columns of commas",
        &[
            ("t.csv", "file,label,,\na.png,cat,,\nb.png,dog,,\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "spaces",
        &[
            ("t.csv", " File , Label \n a.png , cat \nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "headings in words",
        &[
            ("t.csv", "File Name,Class Name\na.png,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "a name before a number",
        &[
            ("t.csv", "file,label,label_name\na.png,0,cat\nb.png,1,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "labels in two spellings",
        &[
            ("t.csv", "file,label\na.png,Cat\nb.png,cat\nc.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "Cat 2, dog 1",
        &["\"Cat\" and \"cat\" are one class"],
    ),
    case(
        "an empty label",
        &[
            ("t.csv", "file,label\na.png,cat\nb.png,\nc.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unlabelled",
        &["b.png has neither"],
    ),
    case(
        "two labels",
        &[
            ("t.csv", "file,label\na.png,cat\na.png,dog\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1; left out 1 contradiction",
        &["a.png is a duplicate of a.png in another class"],
    ),
    case(
        "a row twice",
        &[
            ("t.csv", "file,label\na.png,cat\na.png,cat\nb.png,dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1; left out 1 duplicate",
        &["a.png is a duplicate"],
    ),
    case(
        "a comma that is not quoted",
        &[
            ("t.csv", "file,text\na.png,a cat, asleep\nb.png,a dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "1 captions; left out 1 ignored",
        &["line 2 of t.csv has 3 fields, not 2: put quotation marks"],
    ),
    case(
        "a quotation mark that is not closed",
        &[
            ("t.csv", "file,text\na.png,\"a cat\nb.png,a dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "refused",
        &["t.csv, line 2: a quotation mark is not closed"],
    ),
    case(
        "quoted lines",
        &[
            (
                "t.csv",
                "file,text\na.png,\"a cat,\nasleep\"\nb.png,\"a \"\"dog\"\"\"\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "2 captions",
        &[],
    ),
    case(
        "no heading",
        &[
            ("t.csv", "a.png,a cat\nb.png,a dog\n"),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "2 captions",
        &[],
    ),
    case(
        "no column for images",
        &[("t.csv", "picture;label\na.png;cat\n"), ("a.png", "#1")],
        "refused",
        &[
            "t.csv has no column for the images",
            "found: picture, label",
        ],
    ),
    case(
        "no column for labels",
        &[("t.csv", "file,price\na.png,3\n"), ("a.png", "#1")],
        "refused",
        &["t.csv has no column for the captions", "found: file, price"],
    ),
    case(
        "a heading alone",
        &[("t.csv", "file,label\n"), ("a.png", "#1")],
        "refused",
        &["contains no usable images"],
    ),
    case(
        "JSON Lines",
        &[
            (
                "t.jsonl",
                "{\"file\":\"a.png\",\"label\":\"cat\"}\n{\"file\":\"b.png\",\"label\":\"dog\"}\n",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "JSON Lines with a byte-order mark",
        &[
            (
                "t.jsonl",
                "\u{feff}{\"file\":\"a.png\",\"label\":\"cat\"}\r\n{\"file\":\"b.png\",\"label\":\"dog\"}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "cat 1, dog 1",
        &[],
    ),
    case(
        "null",
        &[
            (
                "t.jsonl",
                "{\"file\":\"a.png\",\"label\":\"cat\"}\n{\"file\":\"b.png\",\"label\":null}\n{\"file\":\"c.png\",\"label\":\"dog\"}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unlabelled",
        &["b.png has neither"],
    ),
    case(
        "no label in one object",
        &[
            (
                "t.jsonl",
                "{\"file\":\"b.png\"}\n{\"file\":\"a.png\",\"label\":\"cat\"}\n{\"file\":\"c.png\",\"label\":\"dog\"}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
            ("c.png", "#3"),
        ],
        "cat 1, dog 1; left out 1 unlabelled",
        &["b.png has neither"],
    ),
    case(
        "numbers and truth",
        &[
            (
                "t.jsonl",
                "{\"file\":\"a.png\",\"label\":7}\n{\"file\":\"b.png\",\"label\":true}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "7 1, true 1",
        &[],
    ),
    case(
        "a list of captions",
        &[
            (
                "t.jsonl",
                "{\"file\":\"a.png\",\"text\":[\"a cat\",\"a pet\"]}\n{\"file\":\"b.png\",\"text\":\"a dog\"}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "3 captions",
        &[],
    ),
    case(
        "a JSON list",
        &[
            ("t.jsonl", "[{\"file\":\"a.png\",\"label\":\"cat\"}]"),
            ("a.png", "#1"),
        ],
        "refused",
        &["t.jsonl, line 1: it is a JSON list: write one object in each line"],
    ),
    case(
        "JSON over lines",
        &[
            ("t.jsonl", "{\n\"file\":\"a.png\",\"label\":\"cat\"\n}"),
            ("a.png", "#1"),
        ],
        "refused",
        &["JSON over several lines: write one object in each line"],
    ),
    case(
        "NaN",
        &[
            (
                "t.jsonl",
                "{\"file\":\"a.png\",\"label\":\"cat\"}\n{\"file\":\"b.png\",\"label\":NaN}",
            ),
            ("a.png", "#1"),
            ("b.png", "#2"),
        ],
        "refused",
        &["t.jsonl, line 2: it is not valid JSON"],
    ),
];

#[test]
fn folders_are_read_as_people_have_them() {
    check(FOLDERS, |files| read(&in_memory(files)));
}

#[test]
fn parts_of_the_data_are_not_classes() {
    check(PARTS, |files| read(&in_memory(files)));
}

#[test]
fn names_are_found_or_told() {
    check(NAMES, |files| read(&in_memory(files)));
}

#[test]
fn tables_are_read_in_every_dialect() {
    check(TABLES, |files| read(&in_memory(files)));
}

/// The same cases in a zip: where the files lie makes no difference.
#[test]
fn a_zip_is_like_a_folder() {
    let zipped = |files: Files| {
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (path, text) in files {
            if path.ends_with('/') {
                zip.new_dir(*path).create().unwrap();
                continue;
            }
            let (mut entry, config) = zip.new_file(*path).start().unwrap();
            let mut writer = config.wrap(&mut entry);
            writer.write_all(&contents(text)).unwrap();
            let (_, descriptor) = writer.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        zip.finish().unwrap();
        read(&ZipFiles::open("data".into(), Cursor::new(bytes)).unwrap())
    };
    for cases in [FOLDERS, PARTS, NAMES, TABLES] {
        check(cases, zipped);
    }
    let count: usize = [FOLDERS, PARTS, NAMES, TABLES]
        .iter()
        .map(|cases| cases.len())
        .sum();
    assert!(count >= 100, "{count} cases");
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

    use burn::tensor::Device;
    use clip::hub::{self, Chunk, ChunkSink, HubError, ModelFiles};
    use pollster::block_on;

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

        /// Config and notes, or the error, after all of the weights.
        fn open(&self) -> Result<hub::ModelBundle, String> {
            block_on(async {
                let bundle = hub::open(self, None).await?;
                hub::load(self, &bundle, &Device::flex(), None, &mut |_| ()).await?;
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
                let chunk = Chunk {
                    offset: (number << 16) as u64,
                    bytes: part,
                    total: bytes.len() as u64,
                };
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
            assert!(found.notes[0].starts_with(&told), "{:?}", found.notes);
            assert!(found.notes[1].contains("no config with the weights"));
        }
        // A broken config is told, too.
        let files = Memory::golden(OPEN_CLIP).with(CONFIG, "{");
        let found = files.named(WEIGHTS).open().unwrap();
        assert!(found.notes[0].contains("was not used"), "{:?}", found.notes);
        // In a folder nothing is guessed: a config that does not fit is an error.
        let files = Memory::golden(OPEN_CLIP).with(CONFIG, other(CONFIG));
        let error = files.open().err().unwrap();
        assert!(error.contains("the model's config requires"), "{error}");
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
                whole()
                    .without(WEIGHTS)
                    .with("open_clip_model.safetensors.index.json", "{}"),
                "save_pretrained",
            ),
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
