//! Tokenizers: text to token ids `[context_length]`.
//!
//! By the model's files:
//! - [`Tokenizer::clip`]: the byte-pair encoding that OpenAI's and OpenCLIP's models were
//!   trained with. Ids equal those of `open_clip.tokenize` 3.3.
//! - [`Tokenizer::from_json`] and [`Tokenizer::from_vocabulary`]: those of a Hugging Face
//!   folder. Ids equal those of `transformers.CLIPTokenizer` 5.23. For most texts they are
//!   the same as CLIP's own, but Hugging Face applies neither ftfy nor HTML unescaping.
//!
//! - [`Tokenizer::siglip`]: SigLIP's, a SentencePiece model, as it is or in a `tokenizer.json`.
//!
//! Texts are wrapped in start and end-of-text tokens; SigLIP's have no start. One that is
//! too long is truncated, with end-of-text as its last token, others are padded; a causal
//! mask of the text encoder hides the padding.

mod cleaning;
mod clip;
mod code_pages;
mod entities;
mod file;
mod ftfy;
mod sentence_piece;

use serde_json::{Value, json};
use thiserror::Error;

pub use cleaning::Cleaning;
use clip::ClipBpe;
use sentence_piece::SentencePieceTokenizer;

use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Number of entries in CLIP's own vocabulary.
pub const CLIP_VOCABULARY_SIZE: usize = clip::MERGES + 514;

/// Maximum context length: bounds the memory that a broken config can ask for.
const MAX_CONTEXT: usize = 1 << 16;

/// Error of a tokenizer's files, or of a text.
#[derive(Debug, Error)]
#[error("{}", self.to_diagnostic())]
pub enum TokenizerError {
    /// Merges of CLIP's own vocabulary that cannot be used.
    Merges(String),
    /// `tokenizer.json` that cannot be used.
    Json(String),
    /// `vocab.json` that cannot be used.
    Vocabulary(String),
    /// SentencePiece model that cannot be used.
    SentencePiece(String),
    /// Tokenizer of a config that is not supported.
    Config(String),
    /// Context length that is not supported.
    Context(usize),
    /// Tokenizer without an end-of-text token.
    NoEnd,
    /// Text that cannot be tokenised.
    Encode(String),
}

impl ToDiagnostic for TokenizerError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Merges(reason) => diagnostic!(
                "merges-unusable",
                "CLIP's BPE merges cannot be used: {reason}; download them again",
                reason
            ),
            Self::Json(reason) => diagnostic!(
                "tokenizer-unusable",
                "tokenizer.json cannot be used: {reason}; use the file that belongs to the model",
                reason
            ),
            Self::Vocabulary(reason) => diagnostic!(
                "vocabulary-unusable",
                "vocab.json cannot be used: {reason}; use the file that belongs to the model",
                reason
            ),
            Self::SentencePiece(reason) => diagnostic!(
                "sentence-piece-unusable",
                "the SentencePiece model of the tokenizer cannot be used: {reason}; use the file that belongs to the model",
                reason
            ),
            Self::Config(reason) => diagnostic!(
                "tokenizer-unsupported",
                "the tokenizer that the model's config describes is not supported: {reason}",
                reason
            ),
            Self::Context(length) => diagnostic!(
                "context-length",
                "a context of {length} tokens is not supported: use at least 2, for start and end of text, and at most 65536",
                length
            ),
            Self::NoEnd => diagnostic!(
                "no-end-of-text",
                "the tokenizer does not say which token ends a text: set it in the model's config as eos_token_id"
            ),
            Self::Encode(reason) => diagnostic!(
                "text-not-tokenised",
                "the text cannot be tokenised: {reason}",
                reason
            ),
        }
    }
}

impl TokenizerError {
    /// What the crate says of a file.
    fn from_crate(error: tokenizers::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// Token ids of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIds {
    /// `[context_length]`: start of text, the text, end of text, padding.
    pub ids: Vec<u32>,
    /// Number of ids before the padding, including start and end of text.
    pub length: usize,
    /// Whether the text was truncated.
    pub truncated: bool,
}

/// Special ids from the model's other files, for tokenizer files that lack them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// End-of-text id. Default: the tokenizer's last token.
    pub end_of_text: Option<u32>,
    /// Padding id. Default: that of the file's padding section, or end of text.
    pub pad: Option<u32>,
}

/// File of a tokenizer.
#[derive(Clone, Copy, Debug)]
pub enum TokenizerFile<'a> {
    /// `tokenizer.json`
    Json(&'a [u8]),
    /// `spiece.model` or `tokenizer.model`
    SentencePiece(&'a [u8]),
}

/// Text to ids `[context_length]`.
pub struct Tokenizer {
    kind: Kind,
    cleaning: Cleaning,
    context_length: usize,
    end_of_text: u32,
    pad: u32,
}

enum Kind {
    Clip(Box<ClipBpe>),
    File(Box<tokenizers::Tokenizer>),
    Siglip(Box<tokenizers::Tokenizer>),
    SentencePiece(Box<SentencePieceTokenizer>),
}

impl Tokenizer {
    /// CLIP's own tokenizer: 49,408 entries, padded with 0.
    ///
    /// `merges_gz`: the bytes of `assets/clip_vocabulary/merges.txt.gz`. `context_length`: 77 in
    /// every published CLIP.
    pub fn clip(merges_gz: &[u8], context_length: usize) -> Result<Self, TokenizerError> {
        Ok(Self {
            kind: Kind::Clip(Box::new(ClipBpe::new(merges_gz)?)),
            cleaning: Cleaning::None,
            context_length: checked(context_length)?,
            end_of_text: clip::END_OF_TEXT,
            pad: 0,
        })
    }

    /// Tokenizer from a model's `tokenizer.json`, except for truncation and padding,
    /// which follow `context_length`.
    pub fn from_json(
        bytes: &[u8],
        context_length: usize,
        special: SpecialIds,
    ) -> Result<Self, TokenizerError> {
        let context_length = checked(context_length)?;
        let (tokenizer, own_pad) = file::read(bytes)?;
        let empty = tokenizer
            .encode_fast("", true)
            .map_err(TokenizerError::from_crate)?;
        let named = || {
            ["<|endoftext|>", "<end_of_text>", "</s>"]
                .iter()
                .find_map(|name| tokenizer.token_to_id(name))
        };
        let end_of_text = special
            .end_of_text
            .or_else(|| empty.get_ids().last().copied())
            .or_else(named)
            .ok_or(TokenizerError::NoEnd)?;
        Ok(Self {
            kind: Kind::File(Box::new(tokenizer)),
            cleaning: Cleaning::None,
            context_length,
            end_of_text,
            pad: special.pad.or(own_pad).unwrap_or(end_of_text),
        })
    }

    /// SigLIP's tokenizer: no start, one token at the end, padding.
    /// SigLIP's own vocabulary pads with the end of text, SigLIP 2's (Gemma's) has `<pad>`.
    /// `cleaning` is by default what transformers does for the one or the other.
    pub fn siglip(
        file: TokenizerFile,
        context_length: usize,
        cleaning: Option<Cleaning>,
    ) -> Result<Self, TokenizerError> {
        let context_length = checked(context_length)?;
        let kind = match file {
            TokenizerFile::Json(bytes) => Kind::Siglip(Box::new(file::read(bytes)?.0)),
            TokenizerFile::SentencePiece(bytes) => {
                Kind::SentencePiece(Box::new(SentencePieceTokenizer::read(bytes)?))
            }
        };
        let id = |name: &str| match &kind {
            Kind::SentencePiece(tokenizer) => tokenizer.control(name),
            Kind::Siglip(tokenizer) | Kind::File(tokenizer) => tokenizer.token_to_id(name),
            Kind::Clip(_) => None,
        };
        let (end_of_text, pad, usual) = match (id("<eos>"), id("</s>")) {
            (Some(end), _) => (end, id("<pad>").unwrap_or(end), Cleaning::Lower),
            (None, Some(end)) => (end, end, Cleaning::Siglip),
            (None, None) => return Err(TokenizerError::NoEnd),
        };
        Ok(Self {
            kind,
            cleaning: cleaning.unwrap_or(usual),
            context_length,
            end_of_text,
            pad,
        })
    }

    /// With texts cleaned first.
    pub fn cleaned(mut self, cleaning: Cleaning) -> Self {
        self.cleaning = cleaning;
        self
    }

    /// Tokenizer of a Hugging Face folder without `tokenizer.json`, assembled from
    /// `vocab.json` and `merges.txt` as in `transformers.CLIPTokenizer`.
    pub fn from_vocabulary(
        vocabulary_json: &[u8],
        merges: &str,
        context_length: usize,
        special: SpecialIds,
    ) -> Result<Self, TokenizerError> {
        const START: &str = "<|startoftext|>";
        const END: &str = "<|endoftext|>";
        const PIECES: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

        let vocabulary: Value = serde_json::from_slice(vocabulary_json)
            .map_err(|error| TokenizerError::Vocabulary(error.to_string()))?;
        let id = |name: &str| {
            let id = vocabulary.get(name).and_then(Value::as_u64);
            id.ok_or_else(|| TokenizerError::Vocabulary(format!("it has no {name}")))
        };
        let (start, end) = (id(START)?, id(END)?);
        let added = |id: u64, content: &str| {
            json!({
                "id": id, "content": content, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            })
        };
        let file = json!({
            "version": "1.0",
            "added_tokens": [added(start, START), added(end, END)],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            ]},
            "post_processor": {
                "type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
                "trim_offsets": false, "add_prefix_space": false,
            },
            "model": {
                "type": "BPE", "unk_token": END, "continuing_subword_prefix": "",
                "end_of_word_suffix": clip::END_OF_WORD, "fuse_unk": false,
                "vocab": vocabulary, "merges": clip::parse_merges(merges)?,
            },
        });
        Self::from_json(file.to_string().as_bytes(), context_length, special)
    }

    /// Ids of a text, `[context_length]`.
    pub fn encode(&self, text: &str) -> Result<TokenIds, TokenizerError> {
        let cleaned;
        let text = match self.cleaning {
            Cleaning::None => text,
            cleaning => {
                cleaned = cleaning.apply(text);
                &cleaned
            }
        };
        let tokens = |tokenizer: &tokenizers::Tokenizer, special| {
            (tokenizer.encode_fast(text, special))
                .map(|encoding| encoding.get_ids().to_vec())
                .map_err(|error| TokenizerError::Encode(error.to_string()))
        };
        let mut ids = match &self.kind {
            Kind::Clip(bpe) => {
                let mut ids = vec![clip::START_OF_TEXT];
                ids.extend(bpe.encode(text)?);
                ids.push(clip::END_OF_TEXT);
                ids
            }
            Kind::File(tokenizer) => tokens(tokenizer, true)?,
            Kind::Siglip(tokenizer) => {
                let mut ids = tokens(tokenizer, false)?;
                ids.push(self.end_of_text);
                ids
            }
            Kind::SentencePiece(tokenizer) => {
                let mut ids = tokenizer.encode(text)?;
                ids.push(self.end_of_text);
                ids
            }
        };
        let truncated = ids.len() > self.context_length;
        ids.truncate(self.context_length);
        if let (true, Some(last)) = (truncated, ids.last_mut()) {
            *last = self.end_of_text;
        }
        let length = ids.len();
        ids.resize(self.context_length, self.pad);
        Ok(TokenIds {
            ids,
            length,
            truncated,
        })
    }

    /// [`Self::encode`] for each text.
    pub fn encode_batch<T: AsRef<str>>(
        &self,
        texts: &[T],
    ) -> Result<Vec<TokenIds>, TokenizerError> {
        texts
            .iter()
            .map(|text| self.encode(text.as_ref()))
            .collect()
    }

    /// Context length.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// End-of-text id.
    pub fn end_of_text(&self) -> u32 {
        self.end_of_text
    }

    /// Padding id.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Vocabulary size: an upper bound of the ids. A model's token table needs at least
    /// as many rows.
    pub fn vocabulary_size(&self) -> usize {
        match &self.kind {
            Kind::Clip(_) => CLIP_VOCABULARY_SIZE,
            Kind::File(tokenizer) | Kind::Siglip(tokenizer) => {
                let ids = tokenizer.get_vocab(true).into_values();
                ids.max().map_or(0, |id| id as usize + 1)
            }
            Kind::SentencePiece(tokenizer) => tokenizer.size(),
        }
    }
}

fn checked(context_length: usize) -> Result<usize, TokenizerError> {
    if (2..=MAX_CONTEXT).contains(&context_length) {
        Ok(context_length)
    } else {
        Err(TokenizerError::Context(context_length))
    }
}

/// Python's definition of white space: Unicode's, plus the four separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}
