//! SentencePiece models: `spiece.model` of SigLIP, `tokenizer.model` of SigLIP 2, which has an eighth of
//! the bytes of its `tokenizer.json`. The format is `sentencepiece_model.proto` of
//! [SentencePiece](https://github.com/google/sentencepiece).

use std::collections::{HashMap, HashSet};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::{AddedToken, ModelWrapper};

use super::TokenizerError;

/// What stands for a space in pieces.
const SPACE: char = '\u{2581}';

/// Longest piece, bytes: the crate's trie is as deep, and there are as many ways to make it of two. Trainers
/// make none above 16 characters.
const MAX_PIECE_BYTES: usize = 256;

/// The parts of `ModelProto` that matter for ids.
#[derive(Default)]
struct ModelProto {
    pieces: Vec<SentencePiece>,
    trainer_spec: TrainerSpec,
    normalizer_spec: NormalizerSpec,
}

#[derive(Default)]
struct SentencePiece {
    piece: String,
    score: f32,
    kind: PieceType,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum PieceType {
    #[default]
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct TrainerSpec {
    model_type: u64,
    treat_whitespace_as_suffix: bool,
    byte_fallback: bool,
}

/// Types of a model.
const UNIGRAM: u64 = 1;
const BPE_MODEL: u64 = 2;

impl Default for TrainerSpec {
    fn default() -> Self {
        Self {
            model_type: UNIGRAM,
            treat_whitespace_as_suffix: false,
            byte_fallback: false,
        }
    }
}

struct NormalizerSpec {
    precompiled_charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
}

impl Default for NormalizerSpec {
    fn default() -> Self {
        Self {
            precompiled_charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl ModelProto {
    fn read(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut model = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => model.pieces.push(SentencePiece::read(piece)?),
                (2, Field::Bytes(spec)) => model.trainer_spec = TrainerSpec::read(spec)?,
                (3, Field::Bytes(spec)) => model.normalizer_spec = NormalizerSpec::read(spec)?,
                _ => {}
            }
        }
        Ok(model)
    }
}

impl SentencePiece {
    fn read(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut piece = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(text)) => {
                    piece.piece = String::from_utf8(text.into())
                        .map_err(|_| broken("a piece is not UTF-8".into()))?;
                }
                (2, Field::Fixed32(bits)) => piece.score = f32::from_bits(bits),
                (3, Field::Varint(kind)) => {
                    piece.kind = match kind {
                        1 => PieceType::Normal,
                        2 => PieceType::Unknown,
                        3 => PieceType::Control,
                        4 => PieceType::UserDefined,
                        5 => PieceType::Unused,
                        6 => PieceType::Byte,
                        _ => return Err(broken(format!("a piece is of type {kind}"))),
                    }
                }
                _ => {}
            }
        }
        Ok(piece)
    }
}

impl TrainerSpec {
    fn read(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut spec = Self::default();
        for field in Fields(bytes) {
            match field? {
                (3, Field::Varint(value)) => spec.model_type = value,
                (24, Field::Varint(value)) => spec.treat_whitespace_as_suffix = value != 0,
                (35, Field::Varint(value)) => spec.byte_fallback = value != 0,
                _ => {}
            }
        }
        Ok(spec)
    }
}

impl NormalizerSpec {
    fn read(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut spec = Self::default();
        for field in Fields(bytes) {
            match field? {
                (2, Field::Bytes(charsmap)) => spec.precompiled_charsmap = charsmap.into(),
                (3, Field::Varint(value)) => spec.add_dummy_prefix = value != 0,
                (4, Field::Varint(value)) => spec.remove_extra_whitespaces = value != 0,
                (5, Field::Varint(value)) => spec.escape_whitespaces = value != 0,
                _ => {}
            }
        }
        Ok(spec)
    }
}

/// Fields of a protocol buffer, with their numbers.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Field::Fixed64)?,
            2 => {
                let count = self.varint()?;
                Field::Bytes(self.bytes(count)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), TokenizerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| broken("it is no SentencePiece model, or cut off".into())))
    }
}

/// Tokenizer of a SentencePiece model.
pub(super) struct SentencePieceTokenizer {
    normalizer: Normalizer,
    /// Without a normaliser of its own.
    tokenizer: tokenizers::Tokenizer,
    /// Ids of the pieces that no text has.
    control: HashMap<String, u32>,
    size: usize,
}

impl SentencePieceTokenizer {
    /// Tokenizer of a model file.
    pub fn read(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let file = ModelProto::read(bytes)?;
        let trainer = &file.trainer_spec;
        if trainer.treat_whitespace_as_suffix {
            return Err(broken("its spaces end a word".into()));
        }
        let mut known = HashSet::new();
        for (id, piece) in file.pieces.iter().enumerate() {
            if piece.piece.len() > MAX_PIECE_BYTES {
                return Err(broken(format!("piece {id} is too long")));
            }
            if piece.piece.is_empty() || !known.insert(piece.piece.as_str()) {
                return Err(broken(format!("piece {id} is empty or there twice")));
            }
            if !piece.score.is_finite() {
                return Err(broken(format!("the score of piece {id} is no number")));
            }
        }
        let mut pieces = file.pieces.iter();
        let Some(unknown) = pieces.position(|piece| piece.kind == PieceType::Unknown) else {
            return Err(broken("it has no piece for what is unknown".into()));
        };
        let control = (file.pieces.iter().zip(0..))
            .filter(|(piece, _)| piece.kind == PieceType::Control)
            .map(|(piece, id)| (piece.piece.clone(), id));
        let model = match trainer.model_type {
            UNIGRAM => unigram(&file.pieces, unknown, trainer.byte_fallback)?,
            BPE_MODEL => bpe(&file.pieces, unknown, trainer.byte_fallback)?,
            other => {
                return Err(broken(format!("models of type {other} are not supported")));
            }
        };
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        let user_defined = (file.pieces.iter())
            .filter(|piece| piece.kind == PieceType::UserDefined)
            .map(|piece| AddedToken::from(piece.piece.clone(), false));
        tokenizer
            .add_tokens(user_defined.collect::<Vec<_>>())
            .map_err(TokenizerError::from_crate)?;
        Ok(Self {
            control: control.collect(),
            size: file.pieces.len(),
            normalizer: Normalizer::new(file.normalizer_spec)?,
            tokenizer,
        })
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let text = self.normalizer.apply(text);
        let encoding = self.tokenizer.encode_fast(text, false);
        (encoding.map(|encoding| encoding.get_ids().to_vec()))
            .map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    /// Id of a piece that no text has, such as `</s>`.
    pub fn control(&self, name: &str) -> Option<u32> {
        self.control.get(name).copied()
    }

    /// Number of pieces.
    pub fn size(&self) -> usize {
        self.size
    }
}

fn unigram(
    pieces: &[SentencePiece],
    unknown: usize,
    byte_fallback: bool,
) -> Result<ModelWrapper, TokenizerError> {
    let scores = pieces.iter().enumerate().map(|(id, piece)| {
        let text = match piece.kind {
            PieceType::Normal | PieceType::Byte => piece.piece.clone(),
            PieceType::UserDefined => {
                return Err(broken("it has symbols of its user, but is no BPE".into()));
            }
            // Not to be found in a text, which has no space once it is normalised.
            PieceType::Control | PieceType::Unknown | PieceType::Unused => format!(" {id}"),
        };
        Ok((text, f64::from(piece.score)))
    });
    let model = Unigram::from(
        scores.collect::<Result<_, _>>()?,
        Some(unknown),
        byte_fallback,
    );
    Ok(model.map_err(TokenizerError::from_crate)?.into())
}

fn bpe(
    pieces: &[SentencePiece],
    unknown: usize,
    byte_fallback: bool,
) -> Result<ModelWrapper, TokenizerError> {
    let ids = pieces.iter().zip(0..);
    let vocabulary: Vocab = ids.map(|(piece, id)| (piece.piece.clone(), id)).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges(pieces))
        .unk_token(pieces[unknown].piece.clone())
        .fuse_unk(true)
        .byte_fallback(byte_fallback)
        .build();
    Ok(model.map_err(TokenizerError::from_crate)?.into())
}

/// Pairs of pieces that make another, that with the best score first: SentencePiece merges any two
/// neighbours that do.
fn merges(pieces: &[SentencePiece]) -> Vec<(String, String)> {
    let mut normal: Vec<&SentencePiece> = (pieces.iter())
        .filter(|piece| piece.kind == PieceType::Normal)
        .collect();
    let known: HashSet<&str> = normal.iter().map(|piece| piece.piece.as_str()).collect();
    normal.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut merges = Vec::new();
    for whole in normal {
        let whole = whole.piece.as_str();
        for (at, _) in whole.char_indices().skip(1) {
            let (left, right) = whole.split_at(at);
            if known.contains(left) && known.contains(right) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    merges
}

/// What happens to a text before it is split.
struct Normalizer {
    charsmap: Option<Charsmap>,
    spec: NormalizerSpec,
}

impl Normalizer {
    fn new(spec: NormalizerSpec) -> Result<Self, TokenizerError> {
        if !spec.escape_whitespaces {
            return Err(broken("its pieces have spaces".into()));
        }
        let bytes = &spec.precompiled_charsmap;
        let charsmap = match bytes.is_empty() {
            true => None,
            false => Some(
                Charsmap::read(bytes)
                    .ok_or_else(|| broken("its table of characters is broken".into()))?,
            ),
        };
        Ok(Self { charsmap, spec })
    }

    fn apply(&self, text: &str) -> String {
        let mut normal = String::with_capacity(text.len() + SPACE.len_utf8());
        let mut rest = text;
        while !rest.is_empty() {
            let (mut chunk, after) = match &self.charsmap {
                Some(charsmap) => charsmap.next(rest),
                None => rest.split_at(rest.chars().next().map_or(0, char::len_utf8)),
            };
            rest = after;
            if self.spec.remove_extra_whitespaces && (normal.is_empty() || normal.ends_with(' ')) {
                chunk = chunk.trim_start_matches(' ');
            }
            normal.push_str(chunk);
        }
        if self.spec.remove_extra_whitespaces {
            normal.truncate(normal.trim_end_matches(' ').len());
        }
        if self.spec.add_dummy_prefix && !normal.is_empty() {
            normal.insert(0, ' ');
        }
        normal.replace(' ', SPACE.encode_utf8(&mut [0; 4]))
    }
}

/// Replacements of characters and of runs of them, in a double-array trie (that of
/// [Darts-clone](https://github.com/s-yata/darts-clone)): its length in bytes, its units, and the
/// replacements, each with a zero after it.
struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// `None` if it is broken.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (trie, replacements) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let (units, []) = trie.as_chunks() else {
            return None;
        };
        Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: String::from_utf8(replacements.into()).ok()?,
        })
    }

    /// What the beginning of a text becomes, by the longest run that has a replacement, and the rest. Without one
    /// a character stays.
    fn next<'a>(&'a self, text: &'a str) -> (&'a str, &'a str) {
        let mut longest = None;
        let mut at = 0;
        let offset = |unit: u32| ((unit >> 10) << ((unit & 0x200) >> 6)) as usize;
        let mut unit = self.units.first().copied().unwrap_or_default();
        for (index, byte) in text.bytes().enumerate() {
            at ^= offset(unit) ^ usize::from(byte);
            let Some(&next) = self.units.get(at) else {
                break;
            };
            // The label of a leaf has a bit that no byte has.
            if next & 0x8000_00ff != u32::from(byte) {
                break;
            }
            unit = next;
            let has_leaf = unit & 0x100 != 0;
            let leaf = self.units.get(at ^ offset(unit)).filter(|_| has_leaf);
            if let (Some(leaf), true) = (leaf, text.is_char_boundary(index + 1)) {
                longest = Some((leaf & 0x7fff_ffff, index + 1));
            }
        }
        let replacement = longest.and_then(|(start, end)| {
            let replacement = self.replacements.get(start as usize..)?;
            let (replacement, _) = replacement.split_once('\0')?;
            Some((replacement, &text[end..]))
        });
        replacement.unwrap_or_else(|| text.split_at(text.chars().next().map_or(0, char::len_utf8)))
    }
}

fn broken(why: String) -> TokenizerError {
    TokenizerError::SentencePiece(why)
}
