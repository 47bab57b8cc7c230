//! HTML entities as Python's `html.unescape` replaces them.

use std::borrow::Cow;

/// Replace every entity and character reference, with or without its semicolon, once.
///
/// As Python's `html.unescape`, which follows HTML 5 but drops references to control characters and
/// non-characters.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = reference_length(rest).max(1);
        let (reference, after) = rest.split_at(length);
        match number(reference) {
            Some(number) => out.extend(character(number)),
            None => out.push_str(&named(reference)),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Replace only what is beyond doubt: known entities that end in a semicolon, and their upper-case
/// spellings (`&EACUTE;`), as ftfy does before it looks at the encoding.
pub(super) fn unescape_certain(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = certain_length(rest);
        let (reference, after) = rest.split_at(length.max(1));
        match (length > 0).then(|| certain(reference)).flatten() {
            Some(replacement) => out.push_str(&replacement),
            None => out.push_str(reference),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Length in bytes of what may be a reference at the start of `text` (which starts with `&`), or 0.
fn reference_length(text: &str) -> usize {
    let after = &text[1..];
    let body = match after.as_bytes() {
        [b'#', b'x' | b'X', digits @ ..] => match leading(digits, u8::is_ascii_hexdigit) {
            0 => 0,
            n => n + 2,
        },
        [b'#', digits @ ..] => match leading(digits, u8::is_ascii_digit) {
            0 => 0,
            n => n + 1,
        },
        _ => after
            .char_indices()
            .take(32)
            .take_while(|(_, c)| !matches!(c, '\t' | '\n' | '\x0c' | ' ' | '<' | '&' | '#' | ';'))
            .last()
            .map_or(0, |(at, c)| at + c.len_utf8()),
    };
    match body {
        0 => 0,
        _ => 1 + body + usize::from(after[body..].starts_with(';')),
    }
}

/// Length in bytes of `&name;` or `&#digits;` at the start of `text`, 1 to 24 letters or digits, or 0.
fn certain_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let start = 1 + usize::from(bytes.get(1) == Some(&b'#'));
    let name = leading(&bytes[start..], u8::is_ascii_alphanumeric);
    let ends = bytes.get(start + name) == Some(&b';');
    if ends && (1..=24).contains(&name) {
        start + name + 1
    } else {
        0
    }
}

fn leading(bytes: &[u8], is: fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|b| is(b)).count()
}

/// The number of a numeric reference; what does not fit is surely no character.
fn number(reference: &str) -> Option<u32> {
    let body = reference.strip_prefix("&#")?.trim_end_matches(';');
    let (digits, radix) = match body.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (body, 10),
    };
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    valid.then(|| u32::from_str_radix(digits, radix).unwrap_or(u32::MAX))
}

/// The character that a number stands for: HTML reads 0x80 to 0x9F as Windows-1252.
fn character(number: u32) -> Option<char> {
    match number {
        0 => Some('\u{fffd}'),
        0x80..=0x9f => super::code_pages::WINDOWS_1252.decode(number as u8),
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        0x1_0000..=0x10_ffff if number & 0xfffe == 0xfffe => None,
        0xfffe | 0xffff => None,
        _ => Some(char::from_u32(number).unwrap_or('\u{fffd}')),
    }
}

/// `&name;` or `&name` and what follows it, by HTML's own table; unknown names stay.
fn named(reference: &str) -> Cow<'_, str> {
    htmlize::unescape(reference)
}

/// The replacement of a reference that `certain_length` accepted.
fn certain(reference: &str) -> Option<String> {
    if reference.starts_with("&#") {
        // Only if all of it is meant, semicolon included ("&#59;" is a semicolon: it stays).
        let whole = unescape(reference);
        return (!whole.contains(';')).then(|| whole.into_owned());
    }
    exact(reference).or_else(|| {
        let lower = reference.to_ascii_lowercase();
        let shouted = reference == reference.to_ascii_uppercase() && reference != lower;
        // "&LTIMES;" is "<IMES;" to HTML: ambiguous, so it stays.
        if shouted && named(reference) == reference {
            exact(&lower).map(|replacement| replacement.to_uppercase())
        } else {
            None
        }
    })
}

/// The replacement of `&name;` if that very name is known, not only its beginning.
fn exact(reference: &str) -> Option<String> {
    let replacement = named(reference);
    let whole = reference == "&semi;" || !replacement.ends_with(';');
    whole.then(|| replacement.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_like_python() {
        for (text, expected) in [
            ("", ""),
            ("a & b", "a & b"),
            ("&lt;&amp;lt;", "<&lt;"),
            ("&notit; &notin; &not", "¬it; ∉ ¬"),
            ("&#65;&#x41 &#X41g &#; &#x; &#xg;", "AA Ag &#; &#x; &#xg;"),
            ("&#128;&#129;&#150;", "€\u{81}–"),
            (
                "&#0;&#1;&#xb;&#xfdd0;&#xffff;&#x1fffe;|&#13;|&#xd800;&#x110000;&#99999999999;",
                "\u{fffd}|\r|\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("&bne;&NotEqualTilde;", "=\u{20e5}≂\u{338}"),
            ("&é;", "&é;"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn unescapes_only_what_is_certain() {
        for (text, expected) in [
            ("&amp &reg AT&T &notit;", "&amp &reg AT&T &notit;"),
            ("&amp;lt; &EACUTE; &SZLIG; &LT;", "&lt; É SS <"),
            (
                "&LTIMES; &nTILDE; &#59; &semi;",
                "&LTIMES; &nTILDE; &#59; ;",
            ),
            ("&#233; &#xE9; &#;", "é é &#;"),
        ] {
            assert_eq!(unescape_certain(text), expected, "{text}");
        }
    }
}
