//! Token ids against those of `open_clip` and `transformers` (`tests/golden/tokens.json`).
#![cfg(feature = "compute")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use clip::tokenizer::{
    CLIP_VOCABULARY_SIZE, Cleaning, SpecialIds, TokenIds, Tokenizer, TokenizerError, TokenizerFile,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    open_clip_77: Vec<Vec<u32>>,
    open_clip_16: Vec<Vec<u32>>,
    hugging_face_77: Vec<Vec<u32>>,
    hugging_face_tiny_24: Vec<Vec<u32>>,
}

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> Vec<u8> {
    fs::read(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn golden() -> Golden {
    serde_json::from_slice(&read("tests/golden/tokens.json")).expect("tokens.json")
}

fn merges_gz() -> Vec<u8> {
    read("assets/clip_vocabulary/merges.txt.gz")
}

fn clip(context_length: usize) -> Tokenizer {
    Tokenizer::clip(&merges_gz(), context_length).expect("CLIP's vocabulary")
}

fn compare(tokenizer: &Tokenizer, texts: &[String], expected: &[Vec<u32>]) {
    assert!(texts.len() >= 200);
    assert_eq!(texts.len(), expected.len());
    for (text, expected) in texts.iter().zip(expected) {
        let TokenIds {
            ids,
            length,
            truncated,
        } = tokenizer.encode(text).expect("ids");
        assert_eq!(&ids[..length], expected, "{text:?}");
        assert!(ids[length..].iter().all(|&id| id == tokenizer.pad()));
        assert_eq!(ids.len(), tokenizer.context_length());
        assert!(!truncated || length == tokenizer.context_length());
        assert_eq!(ids[length - 1], tokenizer.end_of_text());
    }
}

#[derive(Deserialize)]
struct SentencePieceGolden {
    extra_texts: Vec<String>,
    #[serde(flatten)]
    ids: BTreeMap<String, serde_json::Value>,
}

#[test]
fn sentence_piece_models_have_the_ids_of_sentencepiece() {
    let golden_ids: SentencePieceGolden =
        serde_json::from_slice(&read("tests/golden/tokens_sentence_piece.json"))
            .expect("tokens_sentence_piece.json");
    let texts = [golden().texts, golden_ids.extra_texts].concat();
    for (file, name) in [
        ("tiny_spiece.model", "spiece"),
        ("tiny_gemma.model", "gemma"),
    ] {
        let model = read(&format!("tests/golden/{file}"));
        for (form, cleaning) in [
            ("", Cleaning::None),
            ("_lower", Cleaning::Lower),
            ("_canonical", Cleaning::Siglip),
        ] {
            let file = TokenizerFile::SentencePiece(&model);
            let tokenizer = Tokenizer::siglip(file, 4096, Some(cleaning)).expect("tokenizer");
            assert_eq!(
                (tokenizer.end_of_text(), tokenizer.pad()),
                (1, u32::from(name == "spiece"))
            );
            let rows = golden_ids.ids[&format!("{name}{form}")].clone();
            let expected: Vec<Vec<u32>> = serde_json::from_value(rows).expect("rows of ids");
            assert_eq!(texts.len(), expected.len());
            let mut other = Vec::new();
            for (text, expected) in texts.iter().zip(&expected) {
                let found = tokenizer.encode(text).expect("ids");
                let ids = &found.ids[..found.length - 1];
                // Of a run of one letter many splits are equally likely.
                let run = name == "spiece" && has_run(text);
                if ids != expected && !run {
                    other.push((text, ids.to_vec(), expected));
                }
            }
            assert!(other.is_empty(), "{name}{form}: {other:?}");
        }
    }
    assert!(texts.iter().filter(|text| has_run(text)).count() < 30);
}

/// Whether a character comes three times in a row.
fn has_run(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (characters.windows(3))
        .any(|three| three[0] == three[1] && three[1] == three[2] && three[0] != ' ')
}

#[test]
fn broken_sentence_piece_models_are_refused() {
    let model = read("tests/golden/tiny_spiece.model");
    let open = |bytes: &[u8]| Tokenizer::siglip(TokenizerFile::SentencePiece(bytes), 16, None);
    for bytes in [&b""[..], b"{}", &model[..1000], &model[1..]] {
        let error = open(bytes).err().expect("refused").to_string();
        assert!(error.contains("SentencePiece"), "{error}");
    }
    // As deep as a piece is long would be the crate's trie.
    for kind in [1, 2] {
        let mut piece = vec![0x0a, 0x80, 0x80, 0x40];
        piece.extend([b'a'; 1 << 20]);
        let length = [0x84, 0x80, 0x40];
        let unknown = [0x0a, 9, 0x0a, 5, b'<', b'u', b'n', b'k', b'>', 0x18, 2];
        let trainer = [0x12, 2, 0x18, kind];
        let file = [&[0x0a][..], &length, &piece, &unknown, &trainer].concat();
        let error = open(&file).err().expect("refused").to_string();
        assert!(error.contains("too long"), "{error}");
    }
    // The table of characters is cut short, or points beyond its end: an error, or other ids.
    for at in (0..model.len()).step_by(997) {
        let mut changed = model.clone();
        changed[at] ^= 0xff;
        if let Ok(tokenizer) = open(&changed) {
            for text in ["a photo of a cat", "\u{fb01}\u{301} \u{ff76}\u{ff9e}"] {
                assert!(tokenizer.encode(text).is_ok());
            }
        }
    }
}

#[derive(Deserialize)]
struct SiglipGolden {
    siglip_transformers: Vec<Vec<u32>>,
    siglip_open_clip: Vec<Vec<u32>>,
    siglip2_transformers: Vec<Vec<u32>>,
    siglip2_open_clip: Vec<Vec<u32>>,
}

#[test]
fn siglip_ids_are_cleaned_and_padded_as_by_the_references() {
    let golden_ids: SiglipGolden = serde_json::from_slice(&read("tests/golden/tokens_siglip.json"))
        .expect("tokens_siglip.json");
    let texts = golden().texts;
    let open_clip = Some(Cleaning::OpenClipCanonicalize);
    for (file, cleaning, pad, expected) in [
        ("tiny_unigram.json", None, 1, golden_ids.siglip_transformers),
        (
            "tiny_unigram.json",
            open_clip,
            1,
            golden_ids.siglip_open_clip,
        ),
        ("tiny_gemma.json", None, 0, golden_ids.siglip2_transformers),
        (
            "tiny_gemma.json",
            open_clip,
            0,
            golden_ids.siglip2_open_clip,
        ),
    ] {
        let json = read(&format!("tests/golden/{file}"));
        let tokenizer =
            Tokenizer::siglip(TokenizerFile::Json(&json), 16, cleaning).expect("tokenizer");
        assert_eq!((tokenizer.end_of_text(), tokenizer.pad()), (1, pad));
        assert_eq!(texts.len(), expected.len());
        let mut other = Vec::new();
        for (text, expected) in texts.iter().zip(&expected) {
            let found = tokenizer.encode(text).expect("ids");
            // Of a run of one letter many splits are equally likely.
            let first = text.chars().next();
            let run = text.chars().count() > 20 && text.chars().all(|c| Some(c) == first);
            if &found.ids != expected && !run {
                other.push((text, found.ids, expected));
            }
        }
        assert!(other.is_empty(), "{file} {cleaning:?}: {other:?}");
    }
    let clip = read("tests/golden/tiny_tokenizer.json");
    let refused = Tokenizer::siglip(TokenizerFile::Json(&clip), 16, None);
    assert!(matches!(refused, Err(TokenizerError::NoEnd)));
}

#[test]
fn clip_ids_are_those_of_open_clip() {
    let golden = golden();
    compare(&clip(77), &golden.texts, &golden.open_clip_77);
    compare(&clip(16), &golden.texts, &golden.open_clip_16);
}

#[test]
fn tokenizer_json_ids_are_those_of_transformers() {
    let golden = golden();
    let file = read("tests/golden/tiny_tokenizer.json");
    let tokenizer = Tokenizer::from_json(&file, 24, SpecialIds::default()).expect("tokenizer.json");
    assert_eq!(
        (
            tokenizer.end_of_text(),
            tokenizer.pad(),
            tokenizer.vocabulary_size()
        ),
        (599, 599, 600)
    );
    compare(&tokenizer, &golden.texts, &golden.hugging_face_tiny_24);
}

#[test]
fn vocabulary_and_merges_ids_are_those_of_transformers() {
    let golden = golden();
    let tiny = read("tests/golden/tiny_vocabulary/vocab.json");
    let merges =
        fs::read_to_string(root("tests/golden/tiny_vocabulary/merges.txt")).expect("merges.txt");
    let tokenizer =
        Tokenizer::from_vocabulary(&tiny, &merges, 24, SpecialIds::default()).expect("vocabulary");
    compare(&tokenizer, &golden.texts, &golden.hugging_face_tiny_24);

    // The vocabulary in full: the letters from the tiny one, the merges from the asset.
    let mut vocabulary: BTreeMap<String, usize> =
        serde_json::from_slice(&tiny).expect("vocab.json");
    vocabulary.retain(|_, id| *id < 512);
    let mut merges = String::new();
    flate2::read::GzDecoder::new(&merges_gz()[..])
        .read_to_string(&mut merges)
        .expect("merges");
    for line in merges.lines() {
        vocabulary.insert(line.replace(' ', ""), vocabulary.len());
    }
    for special in ["<|startoftext|>", "<|endoftext|>"] {
        vocabulary.insert(special.to_owned(), vocabulary.len());
    }
    assert_eq!(vocabulary.len(), CLIP_VOCABULARY_SIZE);
    let vocabulary = json!(vocabulary).to_string();
    let tokenizer =
        Tokenizer::from_vocabulary(vocabulary.as_bytes(), &merges, 77, SpecialIds::default())
            .expect("vocabulary");
    assert_eq!(
        (tokenizer.end_of_text(), tokenizer.vocabulary_size()),
        (49_407, CLIP_VOCABULARY_SIZE)
    );
    compare(&tokenizer, &golden.texts, &golden.hugging_face_77);
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let tokenizer = clip(8);
    let fits = tokenizer
        .encode("one two three four five six")
        .expect("ids");
    assert_eq!((fits.length, fits.truncated), (8, false));
    let cut = tokenizer
        .encode("one two three four five six seven")
        .expect("ids");
    assert_eq!((cut.length, cut.truncated), (8, true));
    assert_eq!(cut.ids, fits.ids);
    let short = &tokenizer.encode_batch(&["", "one"]).expect("ids")[0];
    assert_eq!(short.ids, [49_406, 49_407, 0, 0, 0, 0, 0, 0]);
    assert_eq!((short.length, short.truncated), (2, false));
}

#[test]
fn hints_win_over_the_file() {
    let file = read("tests/golden/tiny_tokenizer.json");
    let special = SpecialIds {
        end_of_text: Some(7),
        pad: Some(1),
    };
    let tokenizer = Tokenizer::from_json(&file, 4, special).expect("tokenizer.json");
    assert_eq!((tokenizer.end_of_text(), tokenizer.pad()), (7, 1));
    assert_eq!(tokenizer.encode("a b c d e").expect("ids").ids[3], 7);
}

#[test]
fn the_files_own_cutting_and_padding_is_not_used() {
    let mut file: serde_json::Value =
        serde_json::from_slice(&read("tests/golden/tiny_tokenizer.json")).expect("json");
    file["truncation"] =
        json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = json!({
        "strategy": {"Fixed": 5}, "direction": "Left", "pad_to_multiple_of": null,
        "pad_id": 3, "pad_type_id": 0, "pad_token": "!",
    });
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), 8, SpecialIds::default())
        .expect("tokenizer.json");
    let tokens = tokenizer.encode("the cat").expect("ids");
    assert_eq!(
        (tokens.ids[0], tokens.ids[7], tokens.truncated),
        (598, 3, false)
    );
    assert_eq!(tokens.ids[tokens.length - 1], 599);
}

#[test]
fn broken_files_are_refused_with_a_reason() {
    let special = SpecialIds::default();
    let message = |result: Result<Tokenizer, TokenizerError>| match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    assert!(message(Tokenizer::clip(&[], 77)).contains("merges"));
    assert!(message(Tokenizer::clip(&merges_gz()[..1000], 77)).contains("merges"));
    assert!(message(Tokenizer::clip(&merges_gz(), 1)).contains("context of 1"));
    assert!(message(Tokenizer::from_json(b"{", 77, special)).contains("tokenizer.json"));
    assert!(message(Tokenizer::from_json(b"{}", 77, special)).contains("tokenizer.json"));
    assert!(
        message(Tokenizer::from_vocabulary(b"[]", "", 77, special)).contains("<|startoftext|>")
    );
    assert!(message(Tokenizer::from_vocabulary(b"no", "", 77, special)).contains("vocab.json"));
    // A tokenizer without start and end: then somebody has to say what ends a text.
    let bare = json!({"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}});
    let bare = bare.to_string();
    assert!(matches!(
        Tokenizer::from_json(bare.as_bytes(), 77, special),
        Err(TokenizerError::NoEnd)
    ));
    let special = SpecialIds {
        end_of_text: Some(0),
        ..special
    };
    assert!(Tokenizer::from_json(bare.as_bytes(), 77, special).is_ok());
}
