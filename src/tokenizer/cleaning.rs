//! Cleaning of texts before a tokenizer that a file describes, as the references do it.

use serde_json::Value;

use super::entities::unescape;
use super::ftfy::fix_text;
use super::{TokenizerError, is_space};

/// Cleaning of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleaning {
    /// None: what the file's own normaliser does is all.
    #[default]
    None,
    /// Lower case: SigLIP 2 in transformers.
    Lower,
    /// Lower case, no punctuation, single spaces: SigLIP in transformers.
    Siglip,
    /// OpenCLIP's `whitespace`: mojibake and HTML repaired, single spaces.
    OpenClipWhitespace,
    /// OpenCLIP's `lower`: the same, in lower case.
    OpenClipLower,
    /// OpenCLIP's `canonicalize`: the same, `_` to a space, and no punctuation.
    OpenClipCanonicalize,
}

impl Cleaning {
    /// What `open_clip_config.json` says of a tokenizer that is transformers'; `None` if the
    /// tokenizer is CLIP's own.
    pub fn from_open_clip(json: &[u8]) -> Result<Option<Self>, TokenizerError> {
        let config: Value =
            serde_json::from_slice(json).map_err(|e| TokenizerError::Config(e.to_string()))?;
        let text = (config.get("model_cfg").unwrap_or(&config)).get("text_cfg");
        let key = |key: &str| text?.get(key).filter(|value| !value.is_null());
        let refused =
            |key: &str, value: &Value| Err(TokenizerError::Config(format!("`{key}` is {value}")));
        let transformers = key("hf_tokenizer_name").is_some();
        if let Some(mode) = key("tokenizer_mode").filter(|mode| *mode != "") {
            return refused("tokenizer_mode", mode);
        }
        let mut cleaning = match transformers {
            true => Self::OpenClipWhitespace,
            false => Self::OpenClipLower,
        };
        let none = Value::Object(serde_json::Map::new());
        let arguments = key("tokenizer_kwargs").unwrap_or(&none);
        let Value::Object(arguments) = arguments else {
            return refused("tokenizer_kwargs", arguments);
        };
        for (key, value) in arguments {
            cleaning = match (key.as_str(), value.as_str()) {
                _ if value.is_null() || *value == false => continue,
                ("clean", Some("whitespace")) => Self::OpenClipWhitespace,
                ("clean", Some("lower")) => Self::OpenClipLower,
                ("clean", Some("canonicalize")) => Self::OpenClipCanonicalize,
                _ => return refused(&format!("tokenizer_kwargs.{key}"), value),
            };
        }
        match (transformers, cleaning) {
            (true, cleaning) => Ok(Some(cleaning)),
            (false, Self::OpenClipLower) => Ok(None),
            (false, _) => Err(TokenizerError::Config(
                "`tokenizer_kwargs.clean` is not `lower`, which CLIP's own tokenizer needs".into(),
            )),
        }
    }

    /// The text, cleaned.
    pub(super) fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.into(),
            Self::Lower => text.to_lowercase(),
            Self::Siglip => single_spaces(&without_punctuation(&text.to_lowercase())),
            Self::OpenClipWhitespace => single_spaces(&repaired(text)),
            Self::OpenClipLower => single_spaces(&repaired(text)).to_lowercase(),
            Self::OpenClipCanonicalize => {
                let text = repaired(text).replace('_', " ");
                single_spaces(&without_punctuation(&text).to_lowercase())
            }
        }
    }
}

/// ftfy, and HTML unescaping twice: web texts are often escaped twice.
fn repaired(text: &str) -> String {
    unescape(&unescape(&fix_text(text))).into()
}

/// Words with a space between.
fn single_spaces(text: &str) -> String {
    let words: Vec<&str> = text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// Without the punctuation of ASCII, as Python's `string.punctuation`.
fn without_punctuation(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_by_the_references() {
        let text = " A\tphoto_of  &amp;lt;B&amp;gt;: it's Straße! ";
        assert_eq!(Cleaning::None.apply(text), text);
        assert_eq!(
            Cleaning::Siglip.apply(text),
            "a photoof ampltbampgt its straße"
        );
        assert_eq!(
            Cleaning::OpenClipCanonicalize.apply(text),
            "a photo of b its straße"
        );
        assert_eq!(
            Cleaning::OpenClipWhitespace.apply(text),
            "A photo_of <B>: it's Straße!"
        );
        assert_eq!(
            Cleaning::OpenClipLower.apply(text),
            "a photo_of <b>: it's straße!"
        );
        assert_eq!(Cleaning::Lower.apply("A Photo."), "a photo.");
    }

    #[test]
    fn what_a_config_says_is_obeyed_or_refused() {
        let read = |text: &str| {
            Cleaning::from_open_clip(format!("{{\"text_cfg\":{{{text}}}}}").as_bytes())
        };
        let named = r#""hf_tokenizer_name":"a/b""#;
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read(named).unwrap(), Some(Cleaning::OpenClipWhitespace));
        let with = |arguments: &str| read(&format!("{named},\"tokenizer_kwargs\":{arguments}"));
        assert_eq!(
            with(r#"{"clean":"canonicalize"}"#).unwrap(),
            Some(Cleaning::OpenClipCanonicalize)
        );
        let refusal = |arguments: &str| with(arguments).unwrap_err().to_string();
        assert!(refusal(r#"{"strip_sep_token":true}"#).contains("strip_sep_token"));
        assert!(refusal(r#"{"clean":"none"}"#).contains("clean"));
        assert!(refusal("[]").contains("tokenizer_kwargs"));
        assert!(read(r#""tokenizer_kwargs":{"clean":"canonicalize"}"#).is_err());
    }
}
