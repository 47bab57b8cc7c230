//! CLIP's byte-pair encoding, as in `open_clip`'s `SimpleTokenizer`.

use std::io::Read;

use flate2::read::GzDecoder;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{Model, SplitDelimiterBehavior};

use super::TokenizerError;
use super::cleaning::Cleaning;

/// Merges in CLIP's vocabulary: 49,408 entries minus 2 x 256 bytes and two special
/// tokens.
pub(super) const MERGES: usize = 48_894;
pub(super) const START_OF_TEXT: u32 = 49_406;
pub(super) const END_OF_TEXT: u32 = 49_407;

/// Decompressed merges are half a megabyte; a much larger file is something else.
const LIMIT: u64 = 4 << 20;

/// Special tokens as `open_clip` spells them, recognised inside texts, too.
const SPECIAL: [(&str, u32); 2] = [
    ("<start_of_text>", START_OF_TEXT),
    ("<end_of_text>", END_OF_TEXT),
];

/// Suffix of tokens that end a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// Pre-tokenisation: words, single digits, runs of signs, and English contractions.
///
/// U+0345, an accent with an upper-case letter, matches nothing: Python's
/// case-insensitive classes have it neither among the letters nor outside.
const PIECES: &str = r"<start_of_text>|<end_of_text>|(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+";

pub(super) struct ClipBpe {
    bpe: BPE,
    pieces: Split,
    /// `byte_letters`, in the order of the bytes.
    letters: [char; 256],
}

impl ClipBpe {
    /// From the gzipped list of merges: a line `left right` each, by priority.
    pub fn new(merges_gz: &[u8]) -> Result<Self, TokenizerError> {
        let merges = read_merges(merges_gz)?;
        let letters = byte_letters();
        let mut alphabet = letters;
        alphabet.sort_unstable(); // by letter, not by byte: the printable ones come first
        let bytes = alphabet.iter().map(char::to_string);
        let ends = alphabet
            .iter()
            .map(|letter| format!("{letter}{END_OF_WORD}"));
        let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
        // Ids are indices into this order; no merge yields the special tokens at its end.
        let vocabulary: Vocab = bytes.chain(ends).chain(merged).zip(0..).collect();
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .end_of_word_suffix(END_OF_WORD.to_owned())
            .build()
            .map_err(|error| TokenizerError::Merges(error.to_string()))?;
        let pieces = Split::new(
            SplitPattern::Regex(PIECES.to_owned()),
            SplitDelimiterBehavior::Removed,
            true,
        )
        .map_err(|error| TokenizerError::Merges(error.to_string()))?;
        Ok(Self {
            bpe,
            pieces,
            letters,
        })
    }

    /// Ids of a text, without start and end.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let text = Cleaning::OpenClipLower.apply(text);
        let mut ids = Vec::new();
        for (start, end) in self.pieces.regex.find_iter(&text) {
            let piece = text.get(start..end).unwrap_or_default();
            if let Some((_, id)) = SPECIAL.iter().find(|(name, _)| *name == piece) {
                ids.push(*id);
                continue;
            }
            let spelled: String = piece
                .bytes()
                .map(|b| self.letters[usize::from(b)])
                .collect();
            let tokens = self
                .bpe
                .tokenize(&spelled)
                .map_err(|error| TokenizerError::Encode(error.to_string()))?;
            ids.extend(tokens.iter().map(|token| token.id));
        }
        Ok(ids)
    }
}

/// Printable character for each byte: itself if printable, else one from U+0100 on.
///
/// GPT-2's scheme, which keeps vocabulary entries readable.
fn byte_letters() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        printable @ (b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) => char::from(printable),
        _ => others.next().unwrap_or_default(),
    })
}

fn read_merges(gz: &[u8]) -> Result<Merges, TokenizerError> {
    let mut text = String::new();
    GzDecoder::new(gz)
        .take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| TokenizerError::Merges(error.to_string()))?;
    let merges = parse_merges(&text)?;
    if merges.len() == MERGES {
        Ok(merges)
    } else {
        Err(TokenizerError::Merges(format!(
            "it has {} merges, CLIP has {MERGES}",
            merges.len()
        )))
    }
}

/// Lines `left right`, by priority; a first line that starts with `#version` is a
/// comment.
pub(super) fn parse_merges(text: &str) -> Result<Merges, TokenizerError> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("#version"))
        .enumerate()
        .map(|(index, line)| match line.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.trim_end().to_owned())),
            None => Err(TokenizerError::Merges(format!(
                "line {}, {line:?}, is not two entries with a space between",
                index + 1
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_bytes() {
        let letters = byte_letters();
        assert_eq!(letters[usize::from(b'a')], 'a');
        assert_eq!(letters[0], 'Ā');
        assert_eq!(letters[usize::from(b' ')], 'Ġ');
        assert_eq!(letters[0xad], 'Ń');
    }

    #[test]
    fn cleans() {
        let clean = |text| Cleaning::OpenClipLower.apply(text);
        assert_eq!(clean("  A\t&amp;lt;B&amp;gt;\n ﬁne  "), "a <b> fine");
        assert_eq!(clean("don\u{e2}\u{20ac}\u{2122}t"), "don't");
        assert_eq!(clean(" \r\n "), "");
    }

    #[test]
    fn refuses_what_are_no_merges() {
        for bytes in [&b""[..], b"i n\n", &[0x1f, 0x8b, 8, 0]] {
            assert!(matches!(
                ClipBpe::new(bytes),
                Err(TokenizerError::Merges(_))
            ));
        }
        assert!(parse_merges("#version: 0.2\ni n\nth\n").is_err());
    }
}
