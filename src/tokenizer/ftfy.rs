//! Port of ftfy's `fix_text`, which repairs mojibake (text decoded with the wrong
//! encoding) before CLIP's tokenizer.
//!
//! "donâ€™t" is "don’t" encoded as UTF-8 and decoded as Windows-1252. The heuristics for
//! when to undo that, and the small fixes around it (curly quotes, ligatures, full-width
//! letters, control characters), are those of ftfy 6.3 by Robyn Speer
//! (<https://github.com/rspeer/python-ftfy>, Apache-2.0). OpenAI's tokenizer calls
//! `fix_text`, so tokens match only if the fixed text does. `tests/tokenizer.rs` compares
//! the two.

use std::borrow::Cow;

use tokenizers::NormalizedString;

use super::code_pages::{LIKE_LATIN_1, PAGES, WINDOWS_1252};
use super::entities::unescape_certain;
use super::is_space;

/// Fixes enable each other ("&amp;eacute;"), so they run until nothing changes. Three
/// rounds are many; the bound stops adversarial texts.
const ROUNDS: usize = 64;

/// `fix_text` with ftfy's default settings.
pub(super) fn fix_text(text: &str) -> String {
    // Entities are kept from the first line on that looks like HTML.
    let mut entities = true;
    text.split_inclusive('\n')
        .map(|line| {
            entities &= !line.contains('<');
            mend_line(line, entities)
        })
        .collect()
}

fn mend_line(line: &str, entities: bool) -> String {
    let mut text = line.to_owned();
    for _ in 0..ROUNDS {
        let mut next = match entities {
            true => unescape_certain(&text).into_owned(),
            false => text.clone(),
        };
        next = mend_encoding(&next);
        next = next
            .chars()
            .map(windows_if_control)
            .flat_map(Replaced::of)
            .collect();
        next = without_escapes(&unix_lines(&next));
        next.retain(|c| !is_unwanted(c));
        let mut normalised = NormalizedString::from(next);
        normalised.nfc();
        let next = normalised.get();
        if next == text {
            break;
        }
        text = next.to_owned();
    }
    text
}

/// Replaces ligatures, width variants and curly quotes by plain characters.
enum Replaced {
    One(Option<char>),
    Many(std::vec::IntoIter<char>),
}

impl Replaced {
    fn of(character: char) -> Self {
        let many = |text: &str| Self::Many(text.chars().collect::<Vec<_>>().into_iter());
        match character {
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => Self::One(Some('\'')),
            '\u{201c}'..='\u{201f}' => Self::One(Some('"')),
            '\u{3000}' => Self::One(Some(' ')),
            // Half- and full-width characters: compatibility normalisation.
            '\u{ff01}'..='\u{ffef}' => {
                let mut wide = NormalizedString::from(character.to_string());
                wide.nfkc();
                many(wide.get())
            }
            'Ĳ' => many("IJ"),
            'ĳ' => many("ij"),
            'ŉ' => many("'n"),
            'Ǳ' => many("DZ"),
            'ǲ' => many("Dz"),
            'ǳ' => many("dz"),
            'Ǆ' => many("DŽ"),
            'ǅ' => many("Dž"),
            'ǆ' => many("dž"),
            'Ǉ' => many("LJ"),
            'ǈ' => many("Lj"),
            'ǉ' => many("lj"),
            'Ǌ' => many("NJ"),
            'ǋ' => many("Nj"),
            'ǌ' => many("nj"),
            'ﬀ' => many("ff"),
            'ﬁ' => many("fi"),
            'ﬂ' => many("fl"),
            'ﬃ' => many("ffi"),
            'ﬄ' => many("ffl"),
            'ﬅ' => many("ſt"),
            'ﬆ' => many("st"),
            _ => Self::One(Some(character)),
        }
    }
}

impl Iterator for Replaced {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::One(character) => character.take(),
            Self::Many(characters) => characters.next(),
        }
    }
}

fn windows_if_control(character: char) -> char {
    match character {
        '\u{80}'..='\u{9f}' => WINDOWS_1252.decode(character as u8).unwrap_or(character),
        _ => character,
    }
}

fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n")
}

/// Removes ANSI colour sequences: escape, `[`, numbers, a letter.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        let after = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        if after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push_str(&rest[..at]);
            rest = &after[1..];
        } else {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
        }
    }
    out.push_str(rest);
    out
}

/// Stray control characters, byte-order marks and annotation marks.
fn is_unwanted(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}

/// Undoes wrong decodings, one after the other, while the text looks like mojibake.
fn mend_encoding(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match mend_encoding_once(&text) {
            Some(better) if better != text => text = Cow::Owned(better),
            _ => break,
        }
    }
    text.into_owned()
}

fn mend_encoding_once(text: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    if text.is_ascii() || !is_bad(&characters) {
        return None;
    }
    // The usual case: UTF-8 decoded as a one-byte encoding. Encode it back and decode it
    // as UTF-8.
    for page in PAGES {
        let Some(mut bytes) = page.encode_all(text) else {
            continue;
        };
        if page.spaces && holds_spaces_for_a0(&bytes) {
            bytes = restore_a0(&bytes);
        }
        if page.lossy {
            bytes = replace_lost(&bytes);
        }
        if let Some(decoded) = decode_utf8(&bytes) {
            return Some(decoded);
        }
    }
    // The same in a part of the text only.
    let fixed = mend_parts(&characters);
    if fixed != text {
        return Some(fixed);
    }
    // Latin-1 with control characters in it was Windows-1252.
    if text.chars().any(|c| matches!(c, '\u{80}'..='\u{9f}')) {
        return Some(text.chars().map(windows_if_control).collect());
    }
    None
}

/// Decodes UTF-8, or its variants CESU-8 and Java's modified UTF-8.
fn decode_utf8(bytes: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        match *rest {
            [0xc0, 0x80, ..] => {
                plain.push(0);
                rest = &rest[2..];
            }
            [
                0xed,
                a @ 0xa0..=0xaf,
                b @ 0x80..=0xbf,
                0xed,
                c @ 0xb0..=0xbf,
                d @ 0x80..=0xbf,
                ..,
            ] => {
                let [a, b, c, d] = [a & 0x0f, b & 0x3f, c & 0x0f, d & 0x3f].map(u32::from);
                let character = char::from_u32(0x1_0000 + (a << 16) + (b << 10) + (c << 6) + d)?;
                plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[6..];
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(plain).ok()
}

/// Length of a UTF-8 sequence at the start of `bytes` whose byte 0xA0 was replaced by a
/// space, or 0.
///
/// Only sequences of likely characters; a lone "Å " may be intended.
fn altered_length(bytes: &[u8]) -> usize {
    let tail = |b: u8| matches!(b, 0x80..=0x84 | 0x86..=0x9f | 0xa1..=0xbf);
    let any = |b: u8| matches!(b, 0x80..=0xbf);
    match *bytes {
        [0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9, b' ', ..] => 2,
        [0xe2 | 0xe3, b' ', b, ..] if tail(b) => 3,
        [0xe0..=0xe3, b, b' ', ..] if tail(b) => 3,
        [0xf0, b' ', b, c, ..] if any(b) && any(c) => 4,
        [0xf0, b, b' ', c, ..] if any(b) && any(c) => 4,
        [0xf0, b, c, b' ', ..] if any(b) && any(c) => 4,
        _ => 0,
    }
}

fn holds_spaces_for_a0(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| altered_length(&bytes[at..]) > 0)
}

fn restore_a0(bytes: &[u8]) -> Vec<u8> {
    // "Ã " alone is the word "à" with its own space; not before Portuguese words that
    // start with it.
    let mut words = Vec::with_capacity(bytes.len() + 8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let after = bytes.get(at + 2..).unwrap_or_default();
        let continued = [&b" "[..], b"quele", b"quela", b"quilo", b"s "]
            .iter()
            .any(|start| after.starts_with(start));
        if bytes[at..].starts_with(b"\xc3 ") && !continued {
            words.extend_from_slice(b"\xc3\xa0 ");
            at += 2;
        } else {
            words.push(byte);
            at += 1;
        }
    }
    let mut at = 0;
    while at < words.len() {
        let length = altered_length(&words[at..]);
        for byte in &mut words[at..at + length] {
            if *byte == b' ' {
                *byte = 0xa0;
            }
        }
        at += length.max(1);
    }
    words
}

/// Length of a UTF-8 sequence at the start of `bytes` with a lost byte (0x1A, or `?`), or
/// 0.
fn lost_length(bytes: &[u8]) -> usize {
    let gone = |b: u8| matches!(b, 0x1a | b'?');
    let tail = |b: u8| matches!(b, 0x1a | 0x80..=0xbf);
    let either = |b: u8| gone(b) || tail(b);
    match *bytes {
        [0xc2..=0xdf, 0x1a, ..] | [0xc2 | 0xc3, b'?', ..] => 2,
        [0xed, 0xa0..=0xaf, b, 0xed, 0xb0..=0xbf, c, ..]
            if (gone(b) && either(c)) || (either(b) && gone(c)) =>
        {
            6
        }
        [0xe0..=0xef, b, c, ..] if (gone(b) && tail(c)) || (tail(b) && gone(c)) => 3,
        [0xf0..=0xf4, b, c, d, ..]
            if (gone(b) && tail(c) && tail(d))
                || (tail(b) && gone(c) && tail(d))
                || (tail(b) && tail(c) && gone(d)) =>
        {
            4
        }
        [0x1a, ..] => 1,
        _ => 0,
    }
}

fn replace_lost(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match lost_length(&bytes[at..]) {
            0 => {
                out.push(byte);
                at += 1;
            }
            length => {
                out.extend_from_slice("\u{fffd}".as_bytes());
                at += length;
            }
        }
    }
    out
}

/// Fixes substrings that look like UTF-8 decoded as a one-byte encoding, if they are
/// mojibake by themselves.
fn mend_parts(characters: &[char]) -> String {
    let mut out = String::with_capacity(characters.len());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let inside = at > 0 && is_continuation(characters[at - 1], true);
        let length = if inside {
            0
        } else {
            stretch(&characters[at..])
        };
        let part = &characters[at..at + length];
        if length == 0 {
            out.push(character);
            at += 1;
            continue;
        }
        let text: String = part.iter().collect();
        // Strictly shorter, so that the recursion ends.
        if length < characters.len() && is_bad(part) {
            out.push_str(&mend_encoding(&text));
        } else {
            out.push_str(&text);
        }
        at += length;
    }
    out
}

/// Number of characters at the start of `characters` that may be consecutive UTF-8
/// sequences.
fn stretch(characters: &[char]) -> usize {
    let mut length = 0;
    'sequences: loop {
        let rest = &characters[length..];
        for (count, leads) in [(2, 0xc2..=0xdf), (3, 0xe0..=0xef), (4, 0xf0..=0xf4)] {
            let Some(sequence) = rest.get(..count) else {
                break;
            };
            if is_lead(sequence[0], *leads.start(), *leads.end())
                && sequence[1..].iter().all(|&c| is_continuation(c, false))
            {
                length += count;
                continue 'sequences;
            }
        }
        return length;
    }
}

/// Whether one of the Latin-1-like encodings maps a UTF-8 lead byte to the character.
fn is_lead(character: char, first: u8, last: u8) -> bool {
    // The encodings agree on few letters for the rare four-byte sequences; these are
    // ftfy's.
    if first == 0xf0 {
        return "ðóđğšπσру".contains(character);
    }
    LIKE_LATIN_1
        .iter()
        .any(|page| page.range(first, last).any(|c| c == character))
}

/// Whether one of them maps a continuation byte to it; `strict` excludes spaces, dashes,
/// quotes, bullets and ellipses, which are common in correct text.
fn is_continuation(character: char, strict: bool) -> bool {
    match character {
        ' ' => !strict,
        '–' | '—' | '―' | '‘' | '’' | '‚' | '“' | '”' | '„' | '•' | '…' if strict => {
            false
        }
        _ => LIKE_LATIN_1
            .iter()
            .any(|page| page.range(0x80, 0xbf).any(|c| c == character)),
    }
}

// Bit flags of character classes that occur in mojibake; some characters are in two.
const COMMON: u16 = 1;
const C1: u16 = 1 << 1;
const BAD: u16 = 1 << 2;
const LAW: u16 = 1 << 3;
const MONEY: u16 = 1 << 4;
const START: u16 = 1 << 5;
const END: u16 = 1 << 6;
const NUMBER: u16 = 1 << 7;
const FACE: u16 = 1 << 8;
const UPPER: u16 = 1 << 9;
const LOWER: u16 = 1 << 10;
const UPPER_COMMON: u16 = 1 << 11;
const LOWER_COMMON: u16 = 1 << 12;
const BOX: u16 = 1 << 13;

/// Character set: single characters, and ranges such as `a-z`.
const KINDS: [(u16, &str); 14] = [
    (COMMON, "\u{a0}\u{ad}´·–-―’…"),
    (C1, "\u{80}-\u{9f}"),
    (BAD, "¤¦¨ª¬¯¸ºƒˆ-ˇ˘˛-˜†-‡‰⌐◊\u{fffd}"),
    (LAW, "§¶"),
    (MONEY, "¢-£¥₧€"),
    (START, "¡©«¿΄-΅‘‚“„•‹\u{f8ff}"),
    (END, "®»˝”›™"),
    (NUMBER, "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠-≡≤-≥"),
    // Letters used in emoticons (òÖó), anywhere.
    (FACE, "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ"),
    (UPPER, "À-ÑØÜ-ÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸ-ŹŻŽҐ"),
    (LOWER, "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁ-ﬂ"),
    (UPPER_COMMON, "ÞΆΈ-ΊΌΎ-ΏΑ-ΫЁ-Я"),
    (LOWER_COMMON, "ά-ωа-џ"),
    (BOX, "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓"),
];

fn kinds(character: char) -> u16 {
    if character.is_ascii() {
        return 0;
    }
    KINDS
        .iter()
        .filter(|(_, members)| is_member(character, members))
        .fold(0, |all, (kind, _)| all | kind)
}

fn is_member(character: char, members: &str) -> bool {
    let mut rest = members.chars();
    while let Some(first) = rest.next() {
        let mut after = rest.clone();
        let last = match (after.next(), after.next()) {
            (Some('-'), Some(last)) => {
                rest = after;
                last
            }
            _ => first,
        };
        if (first..=last).contains(&character) {
            return true;
        }
    }
    false
}

/// Whether a text contains a sequence that is hardly ever intended.
fn is_bad(text: &[char]) -> bool {
    let kinds: Vec<u16> = text.iter().map(|&c| kinds(c)).collect();
    (0..text.len()).any(|at| is_bad_at(text, &kinds, at))
}

fn is_bad_at(text: &[char], kinds: &[u16], at: usize) -> bool {
    // Whether the character at offset `i` is one of these, of these classes, of either.
    let one = |i: usize, set: &str| text.get(at + i).is_some_and(|&c| set.contains(c));
    let kind = |i: usize, set: u16| kinds.get(at + i).is_some_and(|k| k & set != 0);
    let either = |i: usize, of: u16, set: &str| kind(i, of) || one(i, set);
    let latin = |i: usize| text.get(at + i).is_some_and(char::is_ascii_alphabetic);
    let small = |i: usize| text.get(at + i).is_some_and(char::is_ascii_lowercase);
    let space = |i: usize| text.get(at + i).is_some_and(|&c| is_space(c));
    let word = |i: usize| {
        text.get(at + i)
            .is_some_and(|&c| c.is_alphanumeric() || c == '_')
    };
    let exists = |i: usize| at + i < text.len();

    const SIGNS: u16 = LOWER | UPPER | BOX | START | END | MONEY | NUMBER | LAW;
    kind(0, C1)
        || kind(0, SIGNS | BAD) && kind(1, BAD)
        || latin(0) && kind(1, LOWER_COMMON | UPPER_COMMON) && kind(2, BAD)
        || kind(0, BAD) && kind(1, SIGNS)
        || kind(0, LOWER | LOWER_COMMON | BOX | END | MONEY | NUMBER) && kind(1, UPPER)
        || kind(0, BOX | END | MONEY | NUMBER) && kind(1, LOWER)
        || kind(0, LOWER | BOX | END) && kind(1, MONEY)
        || space(0) && kind(1, UPPER) && kind(2, MONEY)
        || kind(0, UPPER | BOX) && kind(1, NUMBER | LAW)
        || kind(0, LOWER | UPPER | BOX | MONEY | END) && kind(1, START) && kind(2, NUMBER)
        || kind(0, LOWER | UPPER | MONEY | NUMBER | BOX | LAW) && kind(1, END) && kind(2, START)
        || kind(0, MONEY | NUMBER | BOX) && kind(1, START)
        || small(0) && kind(1, UPPER) && kind(2, START | MONEY)
        || kind(0, BOX) && kind(1, FACE)
        || kind(0, LOWER | UPPER | MONEY | NUMBER | START | END | LAW) && kind(1, BOX)
        || kind(0, BOX) && kind(1, END)
        || kind(0, LOWER | UPPER) && kind(1, START | END) && word(2)
        // The ligature but not in a word.
        || one(0, "Œœ") && exists(1) && !latin(1)
        || kind(0, UPPER) && one(1, "°")
        // Windows-1252, two bytes.
        || one(0, "ÂÃÎÐ") && either(1, START | END, "€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»–—´")
        || one(0, "×") && one(1, "²³")
        // Arabic letters read so, two in a row.
        || [0, 2].into_iter().all(|i| {
            one(i, "ØÙ") && either(i + 1, COMMON | MONEY | BAD | NUMBER | START, "ŸŠ®°µ»")
        })
        // Scripts of South Asia, three bytes.
        || one(0, "à") && one(1, "²µ¹¼½¾")
        // Mac Roman.
        || one(0, "√") && one(1, "±∂†≠®™´≤≥¥µø")
        || one(0, "≈") && one(1, "°¢")
        || one(0, "‚") && one(1, "Ä") && one(2, "ìîïòôúùû†°¢π")
        || one(0, "‚") && one(1, "âó") && one(2, "àä°ê")
        // Windows-1251.
        || one(0, "в") && one(1, "Ђ")
        || one(0, "ВГРС") && either(1, C1 | BAD | START | END | MONEY, "°µ") && one(2, "ВГРС")
        || text[at..].starts_with(&['Г', 'ў', 'В', 'Ђ', 'В'])
            && text.get(at + 5).is_some_and(|&c| c != '\n')
            && (latin(6) || one(6, " "))
        // "à", "á" and the fixed space in Windows-1252.
        || one(0, "Ã") && one(1, "\u{a0}¡")
        || small(0) && one(1, "ÃÂ") && one(2, " ")
        || small(0) && space(1) && one(2, "ÃÂ") && one(3, " ")
        || at == 0 && one(0, "ÃÂ") && one(1, " ")
        // "Â" before the very sign that it belongs to.
        || (small(0) || either(0, END, ".,?!")) && one(1, "Â") && either(2, START | END, " ")
        // Windows-1253 and Windows-1257.
        || one(0, "β") && one(1, "€") && one(2, "™\u{a0}Ά\u{ad}®°")
        || one(0, "ΒΓΞΟ") && either(1, C1 | BAD | START | END | MONEY, "°") && one(2, "ΒΓΞΟ")
        || one(0, "ā") && one(1, "€")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mends_as_ftfy_documents_it() {
        for (broken, fixed) in [
            ("âœ” No problems", "✔ No problems"),
            ("l’humanitÃ©", "l'humanité"),
            ("Ã perturber la rÃ©flexion", "à perturber la réflexion"),
            ("voilÃ le travail", "voilà le travail"),
            ("â€œ like this â€\u{fffd}", "\" like this \u{fffd}"),
            ("P&EACUTE;REZ", "PÉREZ"),
            ("<a>&amp;</a>", "<a>&amp;</a>"),
            ("ﬂuﬃeﬆ ＬＯＵＤ　ﾀ", "fluffiest LOUD タ"),
            ("\x1b[36;44mblue\x1b[0m \x1b[1é", "blue [1é"),
            ("a\r\nb\rc\u{2028}d", "a\nb\nc\nd"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(fix_text(broken), fixed, "{broken:?}");
        }
    }

    #[test]
    fn leaves_good_text_alone() {
        for text in [
            "Ænima © 2001 ½ £5 “x”".replace(['“', '”'], "\""),
            "Привет мир — Ελληνικά, 你好 😀".to_owned(),
            "Å ở là Ã".to_owned(),
        ] {
            assert_eq!(fix_text(&text), text);
        }
    }

    #[test]
    fn reads_the_dialects_of_utf8() {
        assert_eq!(
            decode_utf8(b"\xed\xa0\xbd\xed\xb8\x80\xc0\x80").as_deref(),
            Some("😀\0")
        );
        assert_eq!(decode_utf8(b"\xed\xa0\xbd"), None);
        assert_eq!(decode_utf8(b"\xc3"), None);
    }
}
