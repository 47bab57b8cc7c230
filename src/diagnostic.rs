//! Errors, warnings and notes for people, which a page can say in another language.
//!
//! The engine speaks English. What it says travels as a [`Diagnostic`]: the sentence, a code by which
//! a page finds its own sentence, and the values that both have in them. `diagnostic!` makes one, so
//! that each English sentence stands in one place, in the code that says it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// [`Diagnostic`] of a code and a sentence, with values in the place of their names:
/// `diagnostic!("empty-class", "the class {class} is empty", class = name)`. A name alone stands for a
/// variable of that name.
///
/// Code and sentence are literals, and every name in the sentence is given: a test of the page compares
/// them with its texts (`diagnostic-` and the code, in `locales`).
macro_rules! diagnostic {
    ($code:literal, $text:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        $(let $name = $crate::diagnostic::ToDiagnostic::to_diagnostic(
            &$crate::diagnostic::diagnostic!(@value $name $(= $value)?),
        );)*
        let text = format!($text $(, $name = $name)*);
        $crate::diagnostic::Diagnostic::new($code, [$((stringify!($name), $name)),*], text)
    }};
    (@value $name:ident = $value:expr) => {
        $value
    };
    (@value $name:ident) => {
        $name
    };
}
pub(crate) use diagnostic;

/// Sentence for people, in English, with the code and the values by which it can be said in another
/// language. Its `Display` is the sentence.
///
/// One without a code is a text as it is, such as the reason that a library gives. As JSON it is a
/// string, which is also what earlier versions stored; one with a code is
/// `{"code": …, "values": [[name, value], …], "text": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Diagnostic {
    code: Cow<'static, str>,
    values: Vec<(Cow<'static, str>, Diagnostic)>,
    text: String,
}

/// A [`Diagnostic`] in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Coded {
        code: Cow<'static, str>,
        values: Vec<(Cow<'static, str>, Diagnostic)>,
        text: String,
    },
}

impl Diagnostic {
    /// Sentence `text` with the values that are in it. For `diagnostic!`.
    pub fn new<const N: usize>(
        code: &'static str,
        values: [(&'static str, Diagnostic); N],
        text: String,
    ) -> Self {
        let values = values.map(|(name, value)| (name.into(), value));
        Self {
            code: code.into(),
            values: values.into(),
            text,
        }
    }

    /// Code of the sentence, such as `image-too-large`; empty if it has none.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Names and values of what the sentence has in it. A value may have a code of its own, such as a
    /// reason.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Diagnostic)> {
        (self.values.iter()).map(|(name, value)| (&**name, value))
    }

    /// The sentence, in English.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sentence without its code, for files that other programs read.
    pub fn plain(&self) -> Self {
        self.text().into()
    }

    /// Several in one sentence, with semicolons; empty if there are none.
    pub fn list(several: impl IntoIterator<Item = Self>) -> Self {
        let joined = several
            .into_iter()
            .reduce(|before, next| diagnostic!("and-next", "{before}; {next}", before, next));
        joined.unwrap_or_default()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq<str> for Diagnostic {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}

impl PartialEq<&str> for Diagnostic {
    fn eq(&self, text: &&str) -> bool {
        self.text == *text
    }
}

impl From<Form> for Diagnostic {
    fn from(form: Form) -> Self {
        match form {
            Form::Text(text) => text.into(),
            Form::Coded { code, values, text } => Self { code, values, text },
        }
    }
}

impl From<Diagnostic> for Form {
    fn from(Diagnostic { code, values, text }: Diagnostic) -> Self {
        match code.is_empty() {
            true => Self::Text(text),
            false => Self::Coded { code, values, text },
        }
    }
}

/// Text without a code.
impl From<String> for Diagnostic {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

/// Text without a code.
impl From<&str> for Diagnostic {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Error or value that can be said to people.
pub trait ToDiagnostic {
    /// What is said of it.
    fn to_diagnostic(&self) -> Diagnostic;
}

impl ToDiagnostic for Diagnostic {
    fn to_diagnostic(&self) -> Diagnostic {
        self.clone()
    }
}

impl<T: ToDiagnostic + ?Sized> ToDiagnostic for &T {
    fn to_diagnostic(&self) -> Diagnostic {
        (**self).to_diagnostic()
    }
}

impl<T: ToDiagnostic + ?Sized> ToDiagnostic for Box<T> {
    fn to_diagnostic(&self) -> Diagnostic {
        (**self).to_diagnostic()
    }
}

macro_rules! values {
    ($($value:ty)*) => {
        $(impl ToDiagnostic for $value {
            fn to_diagnostic(&self) -> Diagnostic {
                self.to_string().into()
            }
        })*
    };
}
values!(str String u8 u16 u32 u64 usize f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(reason: &str) -> Diagnostic {
        let reason = diagnostic!("reason", "it says {reason}", reason);
        diagnostic!(
            "damaged",
            "{file} is damaged ({reason})",
            file = "a.png",
            reason
        )
    }

    #[test]
    fn a_sentence_is_said_with_its_values() {
        let said = damaged("no");
        assert_eq!(said, "a.png is damaged (it says no)");
        assert_eq!(said.to_string(), "a.png is damaged (it says no)");
        assert_eq!(said.code(), "damaged");
        let values: Vec<_> = said.values().collect();
        assert_eq!(values.len(), 2);
        assert_eq!(said.plain().code(), "");
        assert_eq!(said.plain(), "a.png is damaged (it says no)");
        assert_eq!((values[0].0, values[0].1.text()), ("file", "a.png"));
        assert_eq!((values[1].0, values[1].1.code()), ("reason", "reason"));
        assert_eq!(diagnostic!("plain", "as it is").code(), "plain");
        let list = Diagnostic::list(["a", "b", "c"].map(Diagnostic::from));
        assert_eq!(list, "a; b; c");
        assert_eq!(Diagnostic::list([]), "");
    }

    #[test]
    fn json_has_the_code_and_a_stored_string_is_read() {
        let said = damaged("no");
        let json = serde_json::to_string(&said).unwrap();
        assert_eq!(
            json,
            r#"{"code":"damaged","values":[["file","a.png"],["reason",{"code":"reason","values":[["reason","no"]],"text":"it says no"}]],"text":"a.png is damaged (it says no)"}"#
        );
        assert_eq!(serde_json::from_str::<Diagnostic>(&json).unwrap(), said);
        let stored: Diagnostic = serde_json::from_str("\"the file is empty\"").unwrap();
        assert_eq!(stored, Diagnostic::from("the file is empty"));
        assert_eq!(stored.code(), "");
        assert_eq!(
            serde_json::to_string(&stored).unwrap(),
            "\"the file is empty\""
        );
    }
}
