//! Encodings of the names in a zip.
//!
//! A zip that does not say so has names in the encoding of the system that packed it. All
//! of its names together show which one that is: under the right one they are frequent
//! characters of one language, under the others rare ones and symbols.

use std::fmt;

use oem_cp::code_table::{
    DECODING_TABLE_CP_MAP, DECODING_TABLE_CP437, DECODING_TABLE_CP850, DECODING_TABLE_CP852,
};
use oem_cp::code_table_type::TableType;

use super::frequent;

/// Encoding of names in a zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEncoding {
    /// Name for display.
    name: String,
    table: Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// Encoding of the web (<https://encoding.spec.whatwg.org>), by its label.
    Web(&'static str),
    /// Code page of DOS, which the web does not know.
    Dos(u16),
}

impl fmt::Display for NameEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl NameEncoding {
    /// Code page 437, which the specification of zips prescribes.
    pub fn prescribed() -> Self {
        Self::of(&KNOWN[0])
    }

    /// Encoding of that label: one of the web's (`gbk`, `shift_jis`, `windows-1252`), or a
    /// code page of DOS (`cp850`).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn by_label(label: &str) -> Option<Self> {
        if let Some(encoding) = encoding_rs::Encoding::for_label(label.trim().as_bytes()) {
            let name = encoding.name();
            let byte_wise = encoding.is_ascii_compatible();
            return byte_wise.then(|| Self {
                name: name.into(),
                table: Table::Web(name),
            });
        }
        let label = label.trim().to_ascii_lowercase();
        let digits = ["cp", "ibm", "dos-", "oem", ""]
            .iter()
            .find_map(|start| label.strip_prefix(start)?.parse().ok());
        digits
            .filter(|page| DECODING_TABLE_CP_MAP.contains_key(page))
            .map(|page| Self {
                name: format!("code page {page}"),
                table: Table::Dos(page),
            })
    }

    /// Encoding that makes the most sense of all names together.
    pub fn detect(names: &[&[u8]]) -> Self {
        // Of many names, a thousand show it as well.
        let step = names.len().div_ceil(1000).max(1);
        let names: Vec<&[u8]> = names.iter().step_by(step).copied().collect();
        let bytes: usize = names.iter().map(|name| high_bytes(name)).sum();
        let mut best = (PLAUSIBLE * bytes as f32, &KNOWN[0]);
        for known in KNOWN {
            let cost = known.cost(&names);
            if cost < best.0 {
                best = (cost, known);
            }
        }
        Self::of(best.1)
    }

    /// Text of a name; `None` where its bytes are none of this encoding.
    pub fn decode(&self, bytes: &[u8]) -> Option<String> {
        self.table.decode(bytes)
    }

    /// Whether a name, which is UTF-8, too, is rather in this encoding, which was
    /// [detected](Self::detect). Long ones are UTF-8 by chance hardly ever.
    pub(super) fn goes_before_utf_8(&self, name: &[u8]) -> bool {
        let known = KNOWN.iter().find(|known| known.table == self.table);
        let high = high_bytes(name);
        high < 6 && known.is_some_and(|known| known.cost(&[name]) <= PLAUSIBLE * high as f32)
    }

    fn of(known: &Known) -> Self {
        Self {
            name: known.name.into(),
            table: known.table,
        }
    }
}

impl Table {
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Web(label) => decode_web(label, bytes),
            Self::Dos(page) => decode_dos(page, bytes),
        }
    }
}

fn decode_dos(page: u16, bytes: &[u8]) -> Option<String> {
    let table = match page {
        437 => TableType::Complete(&DECODING_TABLE_CP437),
        850 => TableType::Complete(&DECODING_TABLE_CP850),
        852 => TableType::Complete(&DECODING_TABLE_CP852),
        other => {
            return DECODING_TABLE_CP_MAP
                .get(&other)?
                .decode_string_checked(bytes);
        }
    };
    table.decode_string_checked(bytes)
}

#[cfg(not(target_arch = "wasm32"))]
fn decode_web(label: &str, bytes: &[u8]) -> Option<String> {
    encoding_rs::Encoding::for_label(label.as_bytes())?
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
}

/// Every browser has the web's encodings: no tables of our own to download.
#[cfg(all(target_arch = "wasm32", feature = "browser"))]
fn decode_web(label: &str, bytes: &[u8]) -> Option<String> {
    let options = web_sys::TextDecoderOptions::new();
    options.set_fatal(true);
    let decoder = web_sys::TextDecoder::new_with_label_and_options(label, &options).ok()?;
    // A copy: a decoder takes no memory that is shared between threads.
    let bytes = js_sys::Uint8Array::from(bytes);
    decoder.decode_with_buffer_source(&bytes).ok()
}

#[cfg(all(target_arch = "wasm32", not(feature = "browser")))]
fn decode_web(_: &str, _: &[u8]) -> Option<String> {
    None
}

fn high_bytes(name: &[u8]) -> usize {
    name.iter().filter(|byte| !byte.is_ascii()).count()
}

/// Encoding that is looked for, with what is written in it.
struct Known {
    name: &'static str,
    table: Table,
    languages: &'static [Language],
    /// Cost of its being there at all.
    prior: f32,
}

/// The first of equally good ones is taken.
const KNOWN: &[Known] = &[
    known("code page 437", Table::Dos(437), WESTERN, 0.0),
    known("code page 850", Table::Dos(850), WESTERN, 0.0),
    known("Windows-1252", Table::Web("windows-1252"), WESTERN, 0.0),
    known("code page 852", Table::Dos(852), CENTRAL, 0.8),
    known("Windows-1250", Table::Web("windows-1250"), CENTRAL, 0.8),
    known(
        "code page 866 (Cyrillic)",
        Table::Web("ibm866"),
        CYRILLIC,
        0.0,
    ),
    known(
        "Windows-1251 (Cyrillic)",
        Table::Web("windows-1251"),
        CYRILLIC,
        0.0,
    ),
    known("KOI8-U (Cyrillic)", Table::Web("koi8-u"), CYRILLIC, 0.0),
    known(
        "GBK (Chinese)",
        Table::Web("gb18030"),
        &[Language::Chinese],
        0.0,
    ),
    known(
        "Big5 (Chinese)",
        Table::Web("big5"),
        &[Language::TraditionalChinese],
        0.0,
    ),
    known(
        "Shift_JIS (Japanese)",
        Table::Web("shift_jis"),
        &[Language::Japanese],
        0.0,
    ),
    known(
        "EUC-JP (Japanese)",
        Table::Web("euc-jp"),
        &[Language::Japanese],
        0.0,
    ),
    known(
        "EUC-KR (Korean)",
        Table::Web("euc-kr"),
        &[Language::Korean],
        0.0,
    ),
];

const fn known(
    name: &'static str,
    table: Table,
    languages: &'static [Language],
    prior: f32,
) -> Known {
    Known {
        name,
        table,
        languages,
        prior,
    }
}

impl Known {
    /// Cost of names in the language that fits them best.
    fn cost(&self, names: &[&[u8]]) -> f32 {
        let texts: Vec<_> = names.iter().map(|name| self.table.decode(name)).collect();
        let cost = |language: &Language| -> f32 {
            let of_name = |(name, text): (&&[u8], &Option<String>)| match text {
                Some(text) => language.cost(name, text),
                None => RARE * high_bytes(name) as f32,
            };
            names.iter().zip(&texts).map(of_name).sum()
        };
        let costs = self.languages.iter().map(cost);
        self.prior + costs.fold(f32::INFINITY, f32::min)
    }
}

/// What names are written in.
#[derive(Clone, Copy)]
enum Language {
    /// Letters beyond ASCII, each group with the cost of one of them.
    Latin(&'static [(&'static str, f32)]),
    Cyrillic(&'static [(&'static str, f32)]),
    Chinese,
    TraditionalChinese,
    Japanese,
    Korean,
}

const WESTERN: &[Language] = &[
    // German
    Language::Latin(&[("äöüß", 2.4), ("éèàç", 5.5)]),
    // The Nordic languages
    Language::Latin(&[("åäöøæ", 2.5), ("éüðþáíóúý", 5.5)]),
    // French, Dutch
    Language::Latin(&[("é", 1.8), ("èêàçëï", 3.0), ("âîôûùœ", 4.2)]),
    // Spanish, Catalan
    Language::Latin(&[("áéíóúñ", 2.4), ("çàèòüï", 4.5)]),
    // Portuguese
    Language::Latin(&[("ãçáéíóõêâôàú", 2.7)]),
    // Italian
    Language::Latin(&[("àèìòùé", 2.2)]),
];
const CENTRAL: &[Language] = &[
    // Czech, Slovak, the languages of former Yugoslavia
    Language::Latin(&[("áíéýěščřžů", 2.9), ("úťďňôľćđĺŕóä", 4.6)]),
    // Polish
    Language::Latin(&[("łąęśżćńóź", 2.6)]),
    // Hungarian
    Language::Latin(&[("áéíóöőúüű", 2.6)]),
];
const CYRILLIC: &[Language] = &[Language::Cyrillic(&[
    ("оеаинтсрвлкмдпу", 2.8),
    ("бгжзчшёіїєґў", 4.5),
    ("йыьъэюяхцщф", 5.2),
])];

/// Cost of what no name has: controls, box drawings, other scripts.
const RARE: f32 = 14.0;
/// Cost of a byte from which on nothing makes sense.
const PLAUSIBLE: f32 = 6.0;

/// What a byte of ASCII costs that is half of a character in another encoding.
const ASCII: f32 = 3.3;

/// Cost of a plain letter beside one of another script.
const MIXED: f32 = 3.5;
/// Punctuation of word processors.
const TYPOGRAPHIC: &str = "’‘“”„–—…";

impl Language {
    /// Cost of a name that reads as `text`: minus the logarithm of the likelihood of its
    /// characters, roughly. ASCII costs nothing, since all encodings share it.
    fn cost(self, name: &[u8], text: &str) -> f32 {
        let mut before = ' ';
        let mut cost = 0.0;
        let mut ascii = 0;
        for character in text.chars() {
            if !character.is_ascii() {
                cost += self.character(before, character);
            } else {
                ascii += 1;
                let is_slash = |c: char| c == '/' || c == '\\';
                if is_slash(character) && is_slash(before) {
                    // A folder without a name.
                    cost += RARE;
                } else if character.is_ascii_alphabetic() && !before.is_ascii() {
                    cost += self.before_ascii(before, character);
                }
            }
            before = character;
        }
        // In the other double-byte encodings such characters are the rare ones.
        let consumed = match self {
            Self::Japanese | Self::TraditionalChinese => {
                (name.len() - high_bytes(name)).saturating_sub(ascii)
            }
            _ => 0,
        };
        cost - ASCII * consumed as f32
    }

    /// Cost of a plain letter behind one beyond ASCII.
    fn before_ascii(self, before: char, letter: char) -> f32 {
        match self {
            // A capital inside of a word.
            Self::Latin(_) if letter.is_ascii_uppercase() && before.is_lowercase() => 4.0,
            Self::Latin(_) => 0.0,
            _ if before.is_alphabetic() => MIXED,
            _ => 0.0,
        }
    }

    fn character(self, before: char, character: char) -> f32 {
        let is_han = ('\u{4e00}'..='\u{9fff}').contains(&character);
        // Punctuation of full width, or an ideographic space.
        let is_wide = matches!(character, '\u{3000}'..='\u{3017}' | '\u{ff01}'..='\u{ff5e}');
        let mixed = match before.is_ascii_alphabetic() && !matches!(self, Self::Latin(_)) {
            true => MIXED,
            false => 0.0,
        };
        let cost = match self {
            Self::Latin(alphabet) => letter(before, character, alphabet).or_else(|| {
                // A letter of another language.
                matches!(character, 'À'..='ž').then_some(8.0)
            }),
            Self::Cyrillic(alphabet) => letter(before, character, alphabet),
            // The frequent ones are three quarters of Chinese texts, and nearly all of Korean.
            Self::Chinese => by_rank(frequent::CHINESE, character, 1.9).or(is_han.then_some(9.6)),
            Self::TraditionalChinese => {
                by_rank(frequent::TRADITIONAL_CHINESE, character, 1.9).or(is_han.then_some(9.9))
            }
            Self::Japanese => match character {
                '\u{3041}'..='\u{30ff}' => Some(5.8),
                '\u{ff61}'..='\u{ff9f}' => Some(9.0),
                _ => by_rank(frequent::JAPANESE, character, 2.4).or(is_han.then_some(10.4)),
            },
            Self::Korean => {
                let is_syllable = ('\u{ac00}'..='\u{d7a3}').contains(&character);
                by_rank(frequent::KOREAN, character, 1.6).or(is_syllable.then_some(10.2))
            }
        };
        let is_mark = match self {
            Self::Latin(_) | Self::Cyrillic(_) => TYPOGRAPHIC.contains(character),
            _ => is_wide,
        };
        mixed + cost.unwrap_or(if is_mark { 6.5 } else { RARE })
    }
}

/// Cost of a character by its rank among the frequent ones, by the law of Zipf and
/// Mandelbrot.
fn by_rank(frequent: &str, character: char, most: f32) -> Option<f32> {
    let rank = frequent.chars().position(|known| known == character)?;
    Some(most + (rank as f32 + 3.7).ln())
}

/// Cost of a letter in its word, if it is one of an alphabet, whose letters are given by
/// how often they come.
fn letter(before: char, letter: char, alphabet: &[(&str, f32)]) -> Option<f32> {
    let lower = letter.to_lowercase().next()?;
    let (_, cost) = alphabet
        .iter()
        .find(|(letters, _)| letters.contains(lower))?;
    let case = match (letter.is_lowercase(), before.is_lowercase()) {
        (true, _) => 0.0,
        // A capital inside of a word.
        (false, true) => 5.0,
        (false, false) => 1.0,
    };
    // It follows a vowel; in other code pages, its byte is one.
    let sharp = match lower == 'ß' && !"aeiouäöü".contains(before) {
        true => 5.0,
        false => 0.0,
    };
    // Accents stand alone among plain letters.
    let run = match lower < '\u{250}' && before.is_alphabetic() && !before.is_ascii() {
        true => 1.5,
        false => 0.0,
    };
    Some(cost + run + sharp + case)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    /// Names in an encoding of the web, or else a code page of DOS.
    fn encoded(label: &str, names: &[&str]) -> Vec<Vec<u8>> {
        let encode = |name: &&str| match encoding_rs::Encoding::for_label(label.as_bytes()) {
            Some(encoding) => {
                let (bytes, _, unmappable) = encoding.encode(name);
                assert!(!unmappable, "{name} in {label}");
                bytes.into_owned()
            }
            None => {
                let page = label.trim_start_matches("cp").parse().unwrap();
                let table = oem_cp::code_table::ENCODING_TABLE_CP_MAP[&page];
                oem_cp::encode_string_checked(name, table).unwrap()
            }
        };
        names.iter().map(encode).collect()
    }

    #[test]
    fn the_encoding_shows_in_the_names() {
        let mut wrong = Vec::new();
        for (label, names) in [
            ("gbk", &["猫/1.png", "狗/1.png"][..]),
            ("gbk", &["花/1.jpg", "树/2.jpg", "汽车/新建文件夹/3.jpg"]),
            ("gbk", &["训练集/苹果/001.jpg", "训练集/香蕉/001.jpg"]),
            ("gbk", &["图片.png"]),
            ("gbk", &["猫/0.png", "披萨/0.png"]),
            ("gbk", &["玫瑰/1.jpg", "向日葵/1.jpg", "郁金香/1.jpg"]),
            ("gbk", &["螺丝/1.jpg", "螺母/2.jpg"]),
            ("euc-kr", &["나사/1.jpg", "너트/2.jpg"]),
            ("euc-kr", &["장미/1.jpg", "해바라기/1.jpg", "튤립/1.jpg"]),
            ("shift_jis", &["薔薇/1.jpg", "向日葵/1.jpg"]),
            ("big5", &["玫瑰/1.jpg", "向日葵/1.jpg", "鬱金香/1.jpg"]),
            ("gb18030", &["微信图片_20240101.jpg"]),
            ("big5", &["貓/1.png", "狗/1.png"]),
            ("big5", &["新增資料夾/照片.jpg", "花/圖片.jpg"]),
            ("big5", &["蘋果/1.jpg", "香蕉/1.jpg", "芒果/1.jpg"]),
            ("shift_jis", &["猫/1.png", "犬/1.png", "ねこ/2.png"]),
            ("shift_jis", &["写真/りんご.jpg", "写真/表.jpg"]),
            ("shift_jis", &["新しいフォルダー/テスト.png"]),
            ("shift_jis", &["ネコ/1.png", "イヌ/1.png"]),
            ("euc-jp", &["ねこ/1.png", "いぬ/1.png"]),
            ("euc-kr", &["고양이/1.png", "개/1.png"]),
            ("euc-kr", &["새 폴더/사진.jpg"]),
            ("euc-kr", &["사과/1.jpg", "바나나/1.jpg"]),
            ("ibm866", &["кошка/1.png", "собака/1.png"]),
            ("ibm866", &["Новая папка/Фото.jpg"]),
            ("ibm866", &["КОШКА.PNG"]),
            ("windows-1251", &["кошка/1.png", "собака/1.png"]),
            ("windows-1251", &["Новая папка/Фото.jpg"]),
            ("windows-1251", &["КОШКИ/1.PNG", "СОБАКИ/1.PNG"]),
            ("koi8-u", &["кошка/1.png", "собака/1.png"]),
            ("koi8-u", &["Новая папка/Фото.jpg"]),
            ("cp437", &["Käse/1.png"]),
            ("cp437", &["Vögel/Übung.png", "Hunde/straße.png"]),
            ("cp437", &["pâté/1.png", "garçon/1.png"]),
            ("cp437", &["niño/1.png"]),
            ("cp850", &["São Paulo/coração.jpg", "pão/1.jpg"]),
            ("cp850", &["rødgrød/1.jpg", "ål/1.jpg"]),
            ("windows-1252", &["Käse/1.png", "Vögel/1.png"]),
            ("windows-1252", &["été/forêt.jpg", "garçon/1.jpg"]),
            ("windows-1252", &["rødgrød/smørrebrød.jpg"]),
            ("windows-1252", &["l’été/cœur.jpg"]),
            ("cp852", &["kočka/1.png", "pes/žlutý.png"]),
            ("cp852", &["książka/źdźbło.jpg"]),
            ("windows-1250", &["kočka/1.png", "pes/žlutý.png"]),
            ("windows-1250", &["książka/źdźbło.jpg"]),
        ] {
            let bytes = encoded(label, names);
            let raw: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
            let found = NameEncoding::detect(&raw);
            let read: Vec<_> = raw.iter().map(|name| found.decode(name)).collect();
            let expected: Vec<_> = names.iter().map(|name| Some(name.to_string())).collect();
            if read != expected {
                wrong.push(format!("{label}: {found}: {read:?}, not {names:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_makes_no_sense_is_as_the_specification_says() {
        for name in [&b"\xb0\xb1\xb2.png"[..], b"\xff\xfe\xff", b"\x81"] {
            let found = NameEncoding::detect(&[name]);
            assert!(found.decode(name).is_some(), "{}", name.escape_ascii());
        }
        let all: Vec<u8> = (0x80..=0xff).collect();
        assert_eq!(NameEncoding::detect(&[&all]), NameEncoding::prescribed());
        let text = NameEncoding::prescribed().decode(b"\x81\x84\x94\xe1\xfe.png");
        assert_eq!(text.as_deref(), Some("üäöß■.png"));
    }

    #[test]
    fn labels_are_those_of_the_web_and_code_pages() {
        for (label, bytes, text) in [
            ("GBK", &b"\xc3\xa8"[..], "猫"),
            ("sjis", b"\x94\x4c", "猫"),
            ("cp850", b"\x9b", "ø"),
            ("850", b"\x9b", "ø"),
            ("ibm866", b"\xaa", "к"),
            ("cp866", b"\xaa", "к"),
            (" utf-8", "猫".as_bytes(), "猫"),
            ("cp862", b"\x80", "א"),
        ] {
            let encoding = NameEncoding::by_label(label).unwrap();
            assert_eq!(encoding.decode(bytes).as_deref(), Some(text), "{label}");
        }
        for label in ["klingon", "cp999", "", "utf-16le", "replacement"] {
            assert_eq!(NameEncoding::by_label(label), None, "{label}");
        }
        // Half a character.
        let gbk = NameEncoding::by_label("gbk").unwrap();
        assert_eq!(gbk.decode(b"\xc3/1.png"), None);
    }
}
