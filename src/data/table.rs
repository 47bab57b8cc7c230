//! Tables of pictures with labels or captions: CSV, TSV, JSONL.

use serde_json::Value;

use super::DataError;

/// Row of a table: a picture with its label or caption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1.
    pub line: usize,
    pub image: String,
    pub caption: Option<String>,
    pub class: Option<String>,
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
];
const CAPTION: &[&str] = &["text", "caption", "title", "description"];
const CLASS: &[&str] = &["label", "class", "category"];
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
        let (_, extension) = path.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Separated(b',')),
            "tsv" | "tab" => Some(Self::Separated(b'\t')),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Parses the table `file`. `exists` checks for a picture: a table without a heading is
/// recognised by its first row, which names one.
pub fn parse(
    file: &str,
    bytes: &[u8],
    exists: impl Fn(&str) -> bool,
) -> Result<Vec<Row>, DataError> {
    let text = (std::str::from_utf8(bytes)).map_err(|_| DataError::Encoding(file.into()))?;
    match Format::of(file) {
        Some(Format::JsonLines) => json_lines(file, text),
        Some(Format::Separated(delimiter)) => separated(file, text, delimiter, exists),
        None => separated(file, text, b',', exists),
    }
}

/// Column indices.
struct Columns {
    image: usize,
    caption: Option<usize>,
    class: Option<usize>,
}

impl Columns {
    fn find(file: &str, names: &[String]) -> Result<Self, DataError> {
        let column = |wanted: &[&str]| {
            (wanted.iter()).find_map(|wanted| {
                (names.iter()).position(|name| name.trim().eq_ignore_ascii_case(wanted))
            })
        };
        let missing = |missing, expected: &[&str]| DataError::Column {
            file: file.into(),
            missing,
            expected: expected.join(" or "),
            found: names.to_vec(),
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
        })
    }

    fn row(&self, line: usize, fields: &[String]) -> Row {
        let field = |index: usize| {
            let text = fields.get(index).map(|field| field.trim());
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Row {
            line,
            image: field(self.image).unwrap_or_default(),
            caption: self.caption.and_then(field),
            class: self.class.and_then(field),
        }
    }
}

fn separated(
    file: &str,
    text: &str,
    delimiter: u8,
    exists: impl Fn(&str) -> bool,
) -> Result<Vec<Row>, DataError> {
    let mut records = records(text, delimiter).into_iter();
    let Some((_, heading)) = records.next() else {
        return Ok(Vec::new());
    };
    let headless = heading.len() >= 2 && exists(&heading[0]);
    let columns = match headless {
        true => Columns {
            image: 0,
            caption: Some(1),
            class: None,
        },
        false => Columns::find(file, &heading)?,
    };
    let first = headless.then_some((1, heading));
    Ok((first.into_iter().chain(records))
        .map(|(line, fields)| columns.row(line, &fields))
        .collect())
}

/// Records with their first line, counted from 1.
fn records(text: &str, delimiter: u8) -> Vec<(usize, Vec<String>)> {
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
                fields.push(String::from_utf8_lossy(&field[..length]).into_owned());
                length = 0;
                if record_end {
                    records.push((line, std::mem::take(&mut fields)));
                }
            }
            ReadFieldResult::End => return records,
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
        }
    }
}

fn json_lines(file: &str, text: &str) -> Result<Vec<Row>, DataError> {
    let mut rows = Vec::new();
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
            Ok(_) => return Err(failed("it is not a JSON object".into())),
            Err(error) => return Err(failed(format!("it is not valid JSON: {error}"))),
        };
        let (names, fields): (Vec<String>, Vec<String>) = (object.into_iter())
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                Value::Number(number) => Some((name, number.to_string())),
                _ => None,
            })
            .unzip();
        let columns = Columns::find(file, &names).map_err(|error| failed(error.to_string()))?;
        rows.push(columns.row(line, &fields));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: usize, image: &str, caption: &str) -> Row {
        Row {
            line,
            image: image.into(),
            caption: Some(caption.into()),
            class: None,
        }
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let csv = "\u{feff}file_name,text\r\na.png,\"a cat, \"\"asleep\"\"\nby the fire\"\r\nb.png,a dog\r\n";
        let tsv = "title\tfilepath\n\"a cat, \"\"asleep\"\"\nby the fire\"\ta.png\na dog\tb.png";
        let cat = "a cat, \"asleep\"\nby the fire";
        let expected = [row(2, "a.png", cat), row(4, "b.png", "a dog")];
        assert_eq!(parse("x.csv", csv.as_bytes(), |_| false).unwrap(), expected);
        assert_eq!(parse("x.TSV", tsv.as_bytes(), |_| false).unwrap(), expected);
        let jsonl = "{\"image\": \"a.png\", \"caption\": \"a dog\", \"tags\": [1]}\n\n";
        assert_eq!(
            parse("x.jsonl", jsonl.as_bytes(), |_| false).unwrap(),
            [row(1, "a.png", "a dog")]
        );
    }

    #[test]
    fn a_table_without_a_heading_is_told_by_its_first_picture() {
        let found = parse("x.csv", b"a.png,a cat\nb.png,a dog", |path| path == "a.png");
        assert_eq!(
            found.unwrap(),
            [row(1, "a.png", "a cat"), row(2, "b.png", "a dog")]
        );
    }

    #[test]
    fn labels_are_classes() {
        let found = parse("x.csv", b"path,Label\na.png,cat\n", |_| false).unwrap();
        assert_eq!(found[0].class.as_deref(), Some("cat"));
        assert_eq!(found[0].caption, None);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        let wrong = |file: &str, text: &[u8]| parse(file, text, |_| false).unwrap_err().to_string();
        assert!(wrong("x.csv", b"picture,text\n").contains("file_name or"));
        assert!(wrong("x.csv", b"image,words\n").contains("found: image, words"));
        assert!(wrong("x.jsonl", b"{}\n[1]").contains("line 1"));
        assert!(wrong("x.csv", b"image,text\n\xff,\xfe").contains("UTF-8"));
        assert_eq!(parse("x.csv", b"", |_| false).unwrap(), []);
    }
}
