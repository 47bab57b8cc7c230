//! Tables of pictures with labels or captions: CSV, TSV, JSONL.

use std::collections::HashSet;

use serde_json::Value;

use super::names::{folded, split_extension};
use super::{DataError, Problem};
use crate::diagnostic::diagnostic;

/// Row of a table: a picture with its label or caption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1.
    pub line: usize,
    pub image: String,
    pub caption: Option<String>,
    pub class: Option<String>,
    /// Training, validation or test, as the table names it.
    pub subset: Option<String>,
}

/// Names of the picture column: Hugging Face's, OpenCLIP's, others'.
const IMAGE: &[&str] = &[
    "file_name",
    "filepath",
    "image",
    "image_path",
    "filename",
    "file",
    "path",
    "image_file",
    "image_name",
    "image_id",
];
const CAPTION: &[&str] = &["text", "caption", "title", "description"];
/// A name before a number, where a table has both.
const CLASS: &[&str] = &["class_name", "label_name", "label", "class", "category"];
const SUBSET: &[&str] = &["split", "subset", "partition"];
/// Columns that an error names.
const MAX_NAMED: usize = 30;
/// Fallback names.
const NAME: &[&str] = &["name"];

/// Whether a file name is that of a table.
pub fn is_table(path: &str) -> bool {
    Format::of(path).is_some()
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Separated(u8),
    JsonLines,
}

impl Format {
    fn of(path: &str) -> Option<Self> {
        match split_extension(path).1.as_str() {
            "csv" => Some(Self::Separated(b',')),
            "tsv" | "tab" => Some(Self::Separated(b'\t')),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Rows of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub rows: Vec<Row>,
    /// Rows that had to be left out.
    pub problems: Vec<Problem>,
    /// Assumptions about the file, for display.
    pub notes: Vec<String>,
}

/// Parses the table `file`. `exists` checks for a picture: a table without a heading is
/// recognised by its first row, which names one.
pub fn parse(file: &str, bytes: &[u8], exists: impl Fn(&str) -> bool) -> Result<Table, DataError> {
    let text = decode(file, bytes)?;
    // UTF-16 without a byte-order mark, UTF-32, or no text at all.
    if text.lines().next().is_some_and(|line| line.contains('\0')) {
        return Err(DataError::Encoding {
            file: file.into(),
            line: 1,
        });
    }
    match Format::of(file) {
        Some(Format::JsonLines) => json_lines(file, &text),
        Some(Format::Separated(delimiter)) => separated(file, &text, delimiter, exists),
        None => separated(file, &text, b',', exists),
    }
}

/// Text in UTF-8, or in UTF-16 with a byte-order mark ("Unicode text" of spreadsheets).
fn decode(file: &str, bytes: &[u8]) -> Result<String, DataError> {
    let wrong = |valid: &[u8]| DataError::Encoding {
        file: file.into(),
        line: 1 + valid.iter().filter(|byte| **byte == b'\n').count(),
    };
    let wide = |rest: &[u8], read: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks();
        let text: Result<String, _> =
            char::decode_utf16(units.iter().map(|unit| read(*unit))).collect();
        match (text, odd) {
            (Ok(text), []) => Ok(text),
            _ => Err(wrong(&[])),
        }
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => decode(file, rest),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(error) => Err(wrong(&bytes[..error.valid_up_to()])),
        },
    }
}

/// Column indices.
struct Columns {
    image: usize,
    caption: Option<usize>,
    class: Option<usize>,
    subset: Option<usize>,
}

impl Columns {
    fn find(file: &str, names: &[String]) -> Result<Self, DataError> {
        // Once each: there may be millions.
        let known: Vec<String> = (names.iter())
            .map(|name| folded(name).replace([' ', '-'], "_"))
            .collect();
        let column = |wanted: &[&str]| {
            (wanted.iter()).find_map(|wanted| known.iter().position(|name| name == wanted))
        };
        let missing = |missing, expected: &[&str]| DataError::Column {
            file: file.into(),
            missing,
            expected: expected.join(" or "),
            found: names.iter().take(MAX_NAMED).cloned().collect(),
        };
        let image = column(IMAGE).ok_or_else(|| missing("the images", IMAGE))?;
        let class = column(CLASS);
        let caption = column(CAPTION).or_else(|| match class {
            Some(_) => None,
            None => column(NAME),
        });
        if caption.is_none() && class.is_none() {
            return Err(missing("the captions", &[CAPTION, CLASS].concat()));
        }
        Ok(Self {
            image,
            caption,
            class,
            subset: column(SUBSET),
        })
    }

    /// Row of the fields that `text_of` gives by their columns.
    fn row(&self, line: usize, text_of: impl Fn(usize) -> String) -> Row {
        let field = |index: usize| {
            let text = text_of(index);
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        Row {
            line,
            image: field(self.image).unwrap_or_default(),
            caption: self.caption.and_then(field),
            class: self.class.and_then(field),
            subset: self.subset.and_then(field),
        }
    }
}

/// Delimiters of CSV files: a comma by the standard, a semicolon where numbers have
/// decimal commas, and others.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Dialect of a CSV file.
struct Dialect {
    delimiter: u8,
    columns: Columns,
    has_heading: bool,
}

impl Dialect {
    /// The delimiter is `usual`, unless the heading has the right columns with another one.
    fn find(
        file: &str,
        text: &str,
        usual: u8,
        exists: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>, DataError> {
        let others = DELIMITERS.into_iter().filter(|other| *other != usual);
        let mut error: Option<(usize, DataError)> = None;
        for delimiter in [usual].into_iter().chain(others) {
            let Some((_, heading)) = records(text, delimiter, 1).into_iter().next() else {
                return Ok(None);
            };
            if heading.len() >= 2 && exists(&heading[0]) {
                let columns = Columns {
                    image: 0,
                    caption: Some(1),
                    class: None,
                    subset: None,
                };
                return Ok(Some(Self {
                    delimiter,
                    columns,
                    has_heading: false,
                }));
            }
            match Columns::find(file, &heading) {
                Ok(columns) => {
                    return Ok(Some(Self {
                        delimiter,
                        columns,
                        has_heading: true,
                    }));
                }
                // What is most likely the right delimiter names the columns in the message.
                Err(failed) => {
                    if error.as_ref().is_none_or(|(most, _)| *most < heading.len()) {
                        error = Some((heading.len(), failed));
                    }
                }
            }
        }
        match error {
            Some((_, error)) => Err(error),
            None => Ok(None),
        }
    }
}

fn separated(
    file: &str,
    text: &str,
    usual: u8,
    exists: impl Fn(&str) -> bool,
) -> Result<Table, DataError> {
    // Excel's first line, which says how the others are separated.
    let (usual, text, skipped) = match named_delimiter(text) {
        Some((delimiter, rest)) => (delimiter, rest, 1),
        None => (usual, text, 0),
    };
    let mut table = Table::default();
    let Some(dialect) = Dialect::find(file, text, usual, exists)? else {
        return Ok(table);
    };
    if dialect.delimiter != usual {
        let name = match dialect.delimiter {
            b'\t' => "tabs".into(),
            delimiter => format!("\"{}\"", char::from(delimiter)),
        };
        table.notes.push(format!("{file} is separated by {name}"));
    }
    let records = records(text, dialect.delimiter, usize::MAX);
    if let Some((line, fields)) = records.last() {
        let across_lines = fields.iter().any(|field| field.contains('\n'));
        // Each field that needs them has two, and twice as many inside.
        if across_lines && !text.matches('"').count().is_multiple_of(2) {
            return Err(DataError::Line {
                file: file.into(),
                line: line + skipped,
                why: "a quotation mark is not closed".into(),
            });
        }
    }
    let heading = records.first().map_or(&[][..], |(_, fields)| fields);
    let columns = &dialect.columns;
    let used = [
        Some(columns.image),
        columns.caption,
        columns.class,
        columns.subset,
    ];
    for name in used
        .into_iter()
        .flatten()
        .filter_map(|index| heading.get(index))
    {
        let this = folded(name);
        let namesakes = heading.iter().filter(|other| folded(other) == this);
        if dialect.has_heading && namesakes.count() > 1 {
            table.notes.push(format!(
                "{file} has several columns named {name}: the first was used"
            ));
        }
    }
    let width = heading.len();
    for (line, fields) in (records.iter()).skip(usize::from(dialect.has_heading)) {
        let field = |index: usize| fields.get(index).cloned().unwrap_or_default();
        let row = dialect.columns.row(line + skipped, field);
        let more = (fields.get(width..)).is_some_and(|more| more.iter().any(|f| !f.is_empty()));
        if more {
            table.problems.push(Problem::Ignored {
                path: row.image,
                why: diagnostic!(
                    "fields-of-line",
                    "line {line} of {file} has {fields} fields, not {width}: put quotation marks around texts that contain the separator",
                    line = row.line,
                    file,
                    fields = fields.len(),
                    width
                ),
            });
        } else if fields.iter().any(|field| !field.trim().is_empty()) {
            table.rows.push(row);
        }
    }
    Ok(table)
}

/// The delimiter in a first line such as `sep=;`, and the lines after it.
fn named_delimiter(text: &str) -> Option<(u8, &str)> {
    let (first, rest) = text.split_once('\n')?;
    let first = first.trim_end_matches('\r').trim_matches('"');
    let named = (first.strip_prefix("sep=")).or_else(|| first.strip_prefix("SEP="))?;
    match named.as_bytes() {
        [delimiter] => Some((*delimiter, rest)),
        _ => None,
    }
}

/// The first `most` records, each with its first line, counted from 1.
fn records(text: &str, delimiter: u8, most: usize) -> Vec<(usize, Vec<String>)> {
    use csv_core::ReadFieldResult;

    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    let mut rest = text.as_bytes();
    // No field is longer than the text.
    let mut field = vec![0; text.len() + 1];
    let (mut length, mut counted) = (0, 0);
    let (mut records, mut fields, mut line) = (Vec::new(), Vec::new(), 1);
    loop {
        if fields.is_empty() && length == 0 {
            // Between records: the parser leaves a line's end to the next one.
            let breaks = rest
                .iter()
                .take_while(|byte| b"\r\n".contains(byte))
                .count();
            rest = &rest[breaks..];
            let before = &text.as_bytes()[..text.len() - rest.len()];
            line += before[counted..]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            counted = before.len();
        }
        let (result, read, written) = reader.read_field(rest, &mut field[length..]);
        rest = &rest[read..];
        length += written;
        match result {
            ReadFieldResult::Field { record_end } => {
                fields.push(unmarked(&String::from_utf8_lossy(&field[..length])).to_owned());
                length = 0;
                if record_end {
                    records.push((line, std::mem::take(&mut fields)));
                    if records.len() == most {
                        return records;
                    }
                }
            }
            ReadFieldResult::End => return records,
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
        }
    }
}

fn json_lines(file: &str, text: &str) -> Result<Table, DataError> {
    let mut table = Table::default();
    let mut objects = Vec::new();
    // Every name that any object has: those without a value leave it out.
    let mut names: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        if text.trim().is_empty() {
            continue;
        }
        let failed = |why: String| DataError::Line {
            file: file.into(),
            line,
            why,
        };
        let object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            Ok(Value::Array(_)) => {
                let why = "it is a JSON list: write one object in each line, without brackets";
                return Err(failed(why.into()));
            }
            Ok(_) => return Err(failed("it is not a JSON object".into())),
            Err(_) if index == 0 && ["[", "{"].contains(&text.trim()) => {
                let why = "it is JSON over several lines: write one object in each line";
                return Err(failed(why.into()));
            }
            Err(error) => return Err(failed(format!("it is not valid JSON: {error}"))),
        };
        for name in object.keys() {
            if !known.contains(name) {
                known.insert(name.clone());
                names.push(name.clone());
            }
        }
        objects.push((line, object));
    }
    if objects.is_empty() {
        return Ok(table);
    }
    let columns = Columns::find(file, &names)?;
    for (line, object) in objects {
        // Several captions of one image are several rows.
        let count = match columns.caption.and_then(|index| object.get(&names[index])) {
            Some(Value::Array(texts)) => texts.len().max(1),
            _ => 1,
        };
        for number in 0..count {
            let field = |index: usize| match object.get(&names[index]) {
                Some(Value::Array(texts)) if Some(index) == columns.caption => {
                    text_of(texts.get(number))
                }
                value => text_of(value),
            };
            table.rows.push(columns.row(line, field));
        }
    }
    Ok(table)
}

/// A value as the cell of a CSV file would have it: nothing for `null`.
fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => String::new(),
    }
}

/// Characters that begin a formula in a spreadsheet, or come before one that it trims. With East Asian
/// settings the wide forms do, too.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Field of a CSV file to write, quoted where it has to be. What a spreadsheet would compute gets
/// an apostrophe before it, which marks a text there; reading a table takes it away again.
pub fn csv_field(text: &str) -> String {
    let mark = if text.starts_with(FORMULA) { "'" } else { "" };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{mark}{}\"", text.replace('"', "\"\"")),
        false => format!("{mark}{text}"),
    }
}

/// A field without the apostrophe of [`csv_field`].
fn unmarked(field: &str) -> &str {
    match field.strip_prefix('\'') {
        Some(text) if text.starts_with(FORMULA) => text,
        _ => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: usize, image: &str, caption: &str) -> Row {
        Row {
            line,
            image: image.into(),
            caption: Some(caption.into()),
            ..Row::default()
        }
    }

    fn rows(file: &str, bytes: impl AsRef<[u8]>) -> Vec<Row> {
        parse(file, bytes.as_ref(), |_| false).unwrap().rows
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let csv = "\u{feff}file_name,text\r\na.png,\"a cat, \"\"asleep\"\"\nby the fire\"\r\nb.png,a dog\r\n";
        let tsv = "title\tfilepath\n\"a cat, \"\"asleep\"\"\nby the fire\"\ta.png\na dog\tb.png";
        let cat = "a cat, \"asleep\"\nby the fire";
        let expected = [row(2, "a.png", cat), row(4, "b.png", "a dog")];
        assert_eq!(rows("x.csv", csv), expected);
        assert_eq!(rows("x.TSV", tsv), expected);
        let jsonl = "{\"image\": \"a.png\", \"caption\": \"a dog\", \"tags\": [1]}\n\n";
        assert_eq!(rows("x.jsonl", jsonl), [row(1, "a.png", "a dog")]);
    }

    #[test]
    fn a_formula_is_written_as_a_text_and_read_as_it_was() {
        let formula = "=HYPERLINK(\"http://a\",\"b\")";
        let field = csv_field(formula);
        assert!(field.starts_with("\"'="), "{field}");
        assert_eq!(csv_field("-1"), "'-1");
        assert_eq!(csv_field("＝1+1"), "'＝1+1");
        assert_eq!(csv_field("\n=1"), "\"'\n=1\"");
        let table = format!("image,text\na.png,{field}\nb.png,{}\n", csv_field("'tis"));
        let found = rows("x.csv", table);
        assert_eq!(found, [row(2, "a.png", formula), row(3, "b.png", "'tis")]);
    }

    #[test]
    fn a_table_without_a_heading_is_told_by_its_first_picture() {
        let found = parse("x.csv", b"a.png,a cat\nb.png,a dog", |path| path == "a.png");
        assert_eq!(
            found.unwrap().rows,
            [row(1, "a.png", "a cat"), row(2, "b.png", "a dog")]
        );
    }

    #[test]
    fn labels_are_classes() {
        let found = rows("x.csv", "path,Label\na.png,cat\n");
        assert_eq!(found[0].class.as_deref(), Some("cat"));
        assert_eq!(found[0].caption, None);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        let wrong = |file: &str, text: &[u8]| parse(file, text, |_| false).unwrap_err().to_string();
        assert!(wrong("x.csv", b"picture,text\n").contains("file_name or"));
        assert!(wrong("x.csv", b"image,words\n").contains("found: image, words"));
        assert!(wrong("x.jsonl", b"{}\n[1]").contains("line 2"));
        assert!(wrong("x.jsonl", b"{\"a\": 1}\n").contains("file_name or"));
        assert!(wrong("x.csv", b"image,text\n\xff,\xfe").contains("UTF-8"));
        assert!(wrong("x.csv", b"image,text\na,b\n\xff,b").contains("line 3"));
        assert!(wrong("x.csv", b"i\0m\0a\0g\0e\0,\0").contains("line 1, is not UTF-8 text"));
        assert!(wrong("x.csv", b"\xff\xfe\0\0i\0\0\0").contains("line 1, is not UTF-8 text"));
        assert!(wrong("x.csv", b"image,text\na.png,\"a cat\nb.png,c\n").contains("line 2: a quot"));
        assert!(wrong("x.csv", b"picture;text\n").contains("found: picture, text"));
        assert!(wrong("x.jsonl", b"[{\"image\": 1}]").contains("one object in each line"));
        assert!(wrong("x.jsonl", b"[\n{}\n]").contains("over several lines"));
        assert_eq!(parse("x.csv", b"", |_| false).unwrap(), Table::default());
    }

    #[test]
    fn every_dialect_is_found() {
        let expected = [row(2, "a.png", "a cat"), row(3, "b.png", "a dog, two")];
        let utf_16 = |text: &str, big: bool| -> Vec<u8> {
            let units = text.encode_utf16();
            (units.flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            }))
            .collect()
        };
        for (file, text) in [
            ("x.csv", "image;text\na.png;a cat\nb.png;a dog, two\n"),
            ("x.csv", "image\ttext\r\na.png\ta cat\r\nb.png\ta dog, two"),
            ("x.csv", "image|text\na.png|a cat\nb.png|a dog, two\n"),
            ("x.tsv", "image,text\na.png,a cat\nb.png,\"a dog, two\"\n"),
            (
                "x.csv",
                "IMAGE , Text\na.png, a cat \n b.png,\"a dog, two\"\n",
            ),
            (
                "x.csv",
                "image,text,\na.png,a cat,\nb.png,\"a dog, two\",\n",
            ),
        ] {
            assert_eq!(rows(file, text), expected, "{text}");
            assert_eq!(rows(file, format!("\u{feff}{text}")), expected, "{text}");
            for big in [false, true] {
                assert_eq!(
                    rows(file, utf_16(&format!("\u{feff}{text}"), big)),
                    expected
                );
            }
        }
        let twice = parse("x.csv", b"image,text,Text\na.png,a cat,b\n", |_| false).unwrap();
        assert_eq!(twice.rows, [row(2, "a.png", "a cat")]);
        assert_eq!(
            twice.notes,
            ["x.csv has several columns named text: the first was used"]
        );
        let with_line = "sep=;\nimage;text\na.png;a cat\nb.png;a dog, two\n";
        let shifted = [row(3, "a.png", "a cat"), row(4, "b.png", "a dog, two")];
        assert_eq!(rows("x.csv", with_line), shifted);
        let told = parse("x.csv", b"image;text\n", |_| false).unwrap().notes;
        assert_eq!(told, ["x.csv is separated by \";\""]);
    }

    #[test]
    fn a_text_that_is_not_quoted_is_not_cut() {
        let text = b"image,text\na.png,a cat, asleep\nb.png,a dog\n\n,\n";
        let table = parse("x.csv", text, |_| false).unwrap();
        assert_eq!(table.rows, [row(3, "b.png", "a dog")]);
        assert_eq!(table.problems.len(), 1);
        let said = table.problems[0].to_string();
        assert!(said.contains("a.png") && said.contains("line 2 of x.csv has 3 fields, not 2"));
    }

    #[test]
    fn an_object_without_a_value_is_like_an_empty_cell() {
        let lines = "{\"image\": \"a.png\", \"label\": null}\n{\"image\": \"b.png\"}\n\
                     {\"image\": \"c.png\", \"label\": 3, \"split\": \"test\"}\n";
        for start in ["", "\u{feff}"] {
            let found = rows("x.jsonl", format!("{start}{lines}"));
            let classes: Vec<_> = found.iter().map(|row| row.class.as_deref()).collect();
            assert_eq!(classes, [None, None, Some("3")]);
            assert_eq!(found[2].subset.as_deref(), Some("test"));
        }
        let several = rows(
            "x.jsonl",
            "{\"image\": \"a.png\", \"text\": [\"a cat\", \"a pet\"]}",
        );
        assert_eq!(
            several,
            [row(1, "a.png", "a cat"), row(1, "a.png", "a pet")]
        );
    }
}
