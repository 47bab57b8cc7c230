//! Texts of the page in the visitor's language. They stand in `locales/*.ftl`, in the syntax of
//! Project Fluent; [`t`] looks one up. Tests compare the languages with each other and with what the
//! page asks for.

use std::cell::Cell;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};
use fluent_syntax::parser::parse;
use unic_langid::LanguageIdentifier;

use crate::diagnostic::{Diagnostic, ToDiagnostic};

/// Language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    /// In simplified characters.
    Chinese,
}

impl Language {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Its tag by BCP 47, as the page's `lang` attribute has it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// The language that a tag names, whatever the region.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        (Self::ALL.into_iter()).find(|known| known.tag().split('-').next() == Some(language))
    }

    /// Its name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// Its texts, in Fluent's syntax.
    const fn texts(self) -> &'static str {
        match self {
            Self::English => include_str!("../../locales/en.ftl"),
            Self::Chinese => include_str!("../../locales/zh.ftl"),
        }
    }
}

type Texts = FluentBundle<FluentResource>;

thread_local! {
    static CURRENT: Cell<Language> = const { Cell::new(Language::English) };
    // They live as long as the page, so that texts without variables need not be copied.
    static ENGLISH: &'static Texts = Box::leak(Box::new(open(Language::English)));
    static CHINESE: &'static Texts = Box::leak(Box::new(open(Language::Chinese)));
}

fn open(language: Language) -> Texts {
    let id: LanguageIdentifier = language.tag().parse().unwrap_or_default();
    let mut texts = FluentBundle::new(vec![id]);
    // Marks around variables are for mixed directions of writing.
    texts.set_use_isolating(false);
    texts.set_formatter(Some(grouped));
    // What cannot be read is left out; a test sees to it that there is nothing of the kind.
    let read = FluentResource::try_new(language.texts().to_owned());
    texts.add_resource_overriding(read.unwrap_or_else(|(part, _)| part));
    texts
}

/// A whole number in groups of three digits, which English and Chinese separate alike.
fn grouped<M>(value: &FluentValue, _: &M) -> Option<String> {
    let FluentValue::Number(number) = value else {
        return None;
    };
    let whole = number.value.fract() == 0.0 && number.value.abs() < 1e15;
    whole.then(|| {
        let digits = format!("{:.0}", number.value.abs());
        let mut text = String::from(if number.value < 0.0 { "-" } else { "" });
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    })
}

/// Language that texts are given in.
pub fn language() -> Language {
    CURRENT.get()
}

/// Gives texts in another language from now on. What is on the page already has to be drawn anew.
pub fn set_language(language: Language) {
    CURRENT.set(language);
}

/// Texts that a step asks for, in a language that need not be the page's.
pub fn in_language<T>(language: Language, step: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(language);
    let done = step();
    CURRENT.set(before);
    done
}

fn texts() -> &'static Texts {
    match language() {
        Language::English => ENGLISH.with(|texts| *texts),
        Language::Chinese => CHINESE.with(|texts| *texts),
    }
}

/// Text without variables. For [`t`].
pub fn text(key: &'static str) -> &'static str {
    let texts = texts();
    let Some(pattern) = texts.get_message(key).and_then(|message| message.value()) else {
        return key;
    };
    match texts.format_pattern(pattern, None, &mut Vec::new()) {
        std::borrow::Cow::Borrowed(text) => text,
        std::borrow::Cow::Owned(text) => kept(key, text),
    }
}

/// Text that is composed (several lines, or braces), once for each key and language.
fn kept(key: &'static str, text: String) -> &'static str {
    use std::cell::RefCell;
    use std::collections::HashMap;
    thread_local! {
        static KEPT: RefCell<HashMap<(&'static str, &'static str), &'static str>> =
            RefCell::default();
    }
    let place = (language().tag(), key);
    KEPT.with_borrow_mut(|kept| *kept.entry(place).or_insert_with(|| Box::leak(text.into())))
}

/// Text with values in the place of its variables. For [`t`].
pub fn text_with(key: &'static str, values: &[(&'static str, FluentValue<'_>)]) -> String {
    let texts = texts();
    let Some(pattern) = texts.get_message(key).and_then(|message| message.value()) else {
        return key.to_owned();
    };
    let args: FluentArgs = values.iter().cloned().collect();
    (texts.format_pattern(pattern, Some(&args), &mut Vec::new())).into_owned()
}

/// Piece of a pattern that texts are compared with.
enum Piece {
    Text(&'static str),
    Variable(&'static str),
}

/// Patterns of English texts that are not the page's own, with their keys.
fn foreign_patterns() -> Vec<(&'static str, Vec<Piece>)> {
    let read = parse(Language::English.texts()).unwrap_or_else(|(part, _)| part);
    let messages = read.body.into_iter().filter_map(|entry| match entry {
        Entry::Message(message) if message.id.name.starts_with("foreign-") => Some(message),
        _ => None,
    });
    let pattern = |pattern: Pattern<&'static str>| {
        let pieces = pattern
            .elements
            .into_iter()
            .filter_map(|element| match element {
                PatternElement::TextElement { value } => Some(Piece::Text(value)),
                PatternElement::Placeable {
                    expression: Expression::Inline(InlineExpression::VariableReference { id }),
                } => Some(Piece::Variable(id.name)),
                PatternElement::Placeable {
                    expression: Expression::Inline(InlineExpression::StringLiteral { value }),
                } => Some(Piece::Text(value)),
                PatternElement::Placeable { .. } => None,
            });
        pieces.collect()
    };
    (messages.filter_map(|message| Some((message.id.name, pattern(message.value?))))).collect()
}

/// Values of the variables if a text is of this pattern. Variables whose name begins with `number` hold
/// nothing else.
fn matched<'a>(pieces: &[Piece], text: &'a str, values: &mut Vec<(&'static str, &'a str)>) -> bool {
    let number = |c: char| c.is_ascii_digit() || " .,+-−%<>".contains(c);
    match pieces {
        [] => text.is_empty(),
        [Piece::Text(piece), rest @ ..] => {
            (text.strip_prefix(piece)).is_some_and(|text| matched(rest, text, values))
        }
        [Piece::Variable(name), rest @ ..] => {
            let ends = (text.char_indices().map(|(at, _)| at).skip(1)).chain([text.len()]);
            let fits =
                |end: &usize| !name.starts_with("number") || text[..*end].chars().all(number);
            ends.take_while(fits).any(|end| {
                values.push((name, &text[..end]));
                let fits = matched(rest, &text[end..], values);
                if !fits {
                    values.pop();
                }
                fits
            })
        }
    }
}

/// A text without a code, of the catalogue or of a report, which are in English: in the page's language
/// if `locales` knows it (keys that begin with `foreign-`), otherwise as it is.
pub fn foreign(text: &str) -> String {
    translated(text, "foreign-").unwrap_or_else(|| text.to_owned())
}

/// A text in another language than English, by the patterns whose keys begin with `prefix`.
fn translated(text: &str, prefix: &str) -> Option<String> {
    thread_local! {
        static PATTERNS: Vec<(&'static str, Vec<Piece>)> = foreign_patterns();
    }
    if language() == Language::English {
        return None;
    }
    PATTERNS.with(|patterns| {
        let mut patterns = patterns.iter().filter(|(key, _)| key.starts_with(prefix));
        patterns.find_map(|(key, pieces)| {
            let mut values = Vec::new();
            matched(pieces, text, &mut values).then(|| text_with(key, &inner(&values)))
        })
    })
}

/// HTML of the library in the page's language: what is between the tags, and the labels for screen
/// readers, as far as [`foreign`] knows them. Single words among names of rows and in charts may be the
/// visitor's: of those only a chart's own are translated.
pub fn foreign_html(html: &str) -> String {
    if language() == Language::English {
        return html.to_owned();
    }
    let mut translated_html = String::with_capacity(html.len());
    let mut names = false;
    for part in html.split_inclusive('>') {
        let (text, tag) = part.split_at(part.find('<').unwrap_or(part.len()));
        let inner = text.trim();
        let prefix = match names && !inner.contains(' ') {
            true => "foreign-chart-",
            false => "foreign-",
        };
        match translated(&unescaped(inner), prefix).filter(|_| !inner.is_empty()) {
            Some(known) => {
                let (before, after) = text.split_once(inner).unwrap_or_default();
                translated_html.extend([before, &escaped(&known), after]);
            }
            None => translated_html.push_str(text),
        }
        names = ["<th scope=\"row\"", "<b>", "<text", "<code>"]
            .iter()
            .any(|start| tag.starts_with(start));
        const LABEL: &str = " aria-label=\"";
        let labelled = tag.split_once(LABEL);
        match labelled.and_then(|(start, rest)| Some((start, rest.split_once('"')?))) {
            Some((start, (label, end))) => {
                let label = escaped(&foreign(&unescaped(label)));
                translated_html.extend([start, LABEL, &label, "\"", end]);
            }
            None => translated_html.push_str(tag),
        }
    }
    translated_html
}

/// Text for HTML, also within double quotes.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// The text that [`escaped`] was given.
fn unescaped(html: &str) -> String {
    let text = html.replace("&quot;", "\"").replace("&gt;", ">");
    text.replace("&lt;", "<").replace("&amp;", "&")
}

/// What the engine says, in the page's language: by its code, of which `locales` has the sentence
/// (`diagnostic-` and the code). In English it is as the engine says it.
pub fn said(diagnostic: &Diagnostic) -> String {
    by_code(diagnostic).unwrap_or_else(|| diagnostic.text().to_owned())
}

/// [`Diagnostic`] of a text of the page: `message!("note", note = text)`. What is said once and shown
/// for longer, such as a notice, is so worded in the language that the page has when it is shown.
macro_rules! message {
    ($key:literal $(, $name:ident = $value:expr)* $(,)?) => {
        match ($(&$value,)*) {
            ($($name,)*) => $crate::diagnostic::Diagnostic::new(
                concat!("page:", $key),
                [$((stringify!($name), $crate::diagnostic::ToDiagnostic::to_diagnostic($name))),*],
                $crate::app::i18n::in_language($crate::app::i18n::Language::English, || {
                    String::from($crate::app::i18n::t!($key $(, $name = $name)*))
                }),
            ),
        }
    };
}
pub(crate) use message;

/// A diagnostic in another language than English; `None` without a code that is known.
fn by_code(diagnostic: &Diagnostic) -> Option<String> {
    if language() == Language::English || diagnostic.code().is_empty() {
        return None;
    }
    let texts = texts();
    let message = match diagnostic.code().strip_prefix("page:") {
        Some(key) => texts.get_message(key),
        None => texts.get_message(&format!("diagnostic-{}", diagnostic.code())),
    }?;
    let values = diagnostic.values();
    let args: FluentArgs = values
        .map(|(name, value)| (name.to_owned(), FluentValue::from(said(value))))
        .collect();
    let text = texts.format_pattern(message.value()?, Some(&args), &mut Vec::new());
    Some(text.into_owned())
}

/// An error in the page's language. One that has no code, such as a browser's own, stays in English,
/// and is said to be.
pub fn error(error: &impl ToDiagnostic) -> String {
    let error = error.to_diagnostic();
    let chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    if language() == Language::English || error.text().contains(chinese) && error.code().is_empty()
    {
        return error.text().to_owned();
    }
    by_code(&error).unwrap_or_else(|| t!("error-in-english", error = error.text()))
}

/// An error as a sentence of its own, with a full stop.
pub fn sentence(error: &impl ToDiagnostic) -> String {
    let text = self::error(error);
    match text.ends_with(['.', '!', '?', '。', '！', '？']) {
        true => text,
        false if language() == Language::English => text + ".",
        false => text + "。",
    }
}

/// Values of variables, which may be such texts themselves.
fn inner(values: &[(&'static str, &str)]) -> Vec<(&'static str, FluentValue<'static>)> {
    (values.iter())
        .map(|(name, value)| (*name, foreign(value).into()))
        .collect()
}

/// Value of a variable in a text: a number, by which plural forms go, or a text.
pub trait Value {
    fn value(&self) -> FluentValue<'_>;
}

impl<T: Value + ?Sized> Value for &T {
    fn value(&self) -> FluentValue<'_> {
        (**self).value()
    }
}

impl Value for str {
    fn value(&self) -> FluentValue<'_> {
        self.into()
    }
}

impl Value for Diagnostic {
    fn value(&self) -> FluentValue<'_> {
        said(self).into()
    }
}

impl Value for String {
    fn value(&self) -> FluentValue<'_> {
        self.as_str().into()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Value for $number {
            fn value(&self) -> FluentValue<'_> {
                (*self).into()
            }
        })*
    };
}
numbers!(u16 u32 u64 usize f32 f64);

/// Text of the page by its key, in the visitor's language: `t!("labels")`. With variables it is a
/// `String`: `t!("remove-label", label = name)`.
macro_rules! t {
    ($key:literal) => {
        $crate::app::i18n::text($key)
    };
    ($key:literal, $($name:ident = $value:expr),+ $(,)?) => {
        $crate::app::i18n::text_with(
            $key,
            &[$((stringify!($name), $crate::app::i18n::Value::value(&$value))),+],
        )
    };
}
pub(crate) use t;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use fluent_syntax::ast::CallArguments;

    use super::*;
    use crate::diagnostic::diagnostic;

    #[test]
    fn numbers_are_in_groups() {
        let said = |number: f64| grouped(&FluentValue::from(number), &());
        assert_eq!(said(999.0).as_deref(), Some("999"));
        assert_eq!(said(1_000.0).as_deref(), Some("1,000"));
        assert_eq!(said(-1_234_567.0).as_deref(), Some("-1,234,567"));
        assert_eq!(said(0.5), None);
        assert_eq!(grouped(&FluentValue::from("1000"), &()), None);
        assert_eq!(t!("bytes", count = 4_096_usize), "4,096 bytes");
    }

    /// Names of the variables of a pattern.
    fn variables(pattern: &Pattern<&str>, found: &mut BTreeSet<String>) {
        for element in &pattern.elements {
            if let PatternElement::Placeable { expression } = element {
                match expression {
                    Expression::Inline(inline) => inline_variables(inline, found),
                    Expression::Select { selector, variants } => {
                        inline_variables(selector, found);
                        for variant in variants {
                            variables(&variant.value, found);
                        }
                    }
                }
            }
        }
    }

    fn inline_variables(inline: &InlineExpression<&str>, found: &mut BTreeSet<String>) {
        match inline {
            InlineExpression::VariableReference { id } => {
                found.insert(id.name.to_owned());
            }
            InlineExpression::FunctionReference {
                arguments: CallArguments { positional, .. },
                ..
            } => positional
                .iter()
                .for_each(|inline| inline_variables(inline, found)),
            InlineExpression::Placeable { expression } => {
                if let Expression::Inline(inline) = &**expression {
                    inline_variables(inline, found);
                }
            }
            _ => {}
        }
    }

    /// Keys of a language with their variables.
    fn keys(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let resource = parse(language.texts()).unwrap_or_else(|(_, errors)| {
            panic!("locales/{}: {errors:?}", language.tag());
        });
        let mut keys = BTreeMap::new();
        for entry in &resource.body {
            let Entry::Message(message) = entry else {
                continue;
            };
            let mut found = BTreeSet::new();
            variables(message.value.as_ref().unwrap(), &mut found);
            let before = keys.insert(message.id.name.to_owned(), found);
            assert!(before.is_none(), "{} is there twice", message.id.name);
        }
        keys
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    /// Code of a file, without comments and without what only tests say.
    fn code(file: &Path) -> String {
        let text = std::fs::read_to_string(file).unwrap();
        (text.lines().take_while(|line| *line != "mod tests {"))
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// The arguments of a call of `t!`, which `text` begins with: up to the bracket that closes it.
    fn arguments(text: &str) -> &str {
        let (mut depth, mut quoted, mut before) = (0, false, ' ');
        for (at, c) in text.char_indices() {
            match c {
                '"' if before != '\\' => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted && depth == 0 => return &text[..at],
                ')' | ']' | '}' if !quoted => depth -= 1,
                _ => {}
            }
            before = c;
        }
        panic!("no end: {text}");
    }

    /// Arguments between commas at the outermost level.
    fn split(arguments: &str) -> Vec<&str> {
        let (mut depth, mut quoted, mut start, mut before) = (0, false, 0, ' ');
        let mut parts = Vec::new();
        for (at, c) in arguments.char_indices() {
            match c {
                '"' if before != '\\' => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => {
                    parts.push(&arguments[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
            before = c;
        }
        parts.push(&arguments[start..]);
        parts
    }

    /// Names before `=` at the outermost level.
    fn names(arguments: &str) -> BTreeSet<String> {
        (split(arguments).iter().skip(1))
            .filter_map(|part| part.split_once('='))
            .map(|(name, _)| name.trim().to_owned())
            .collect()
    }

    #[test]
    fn the_page_says_the_same_before_the_program_is_there() {
        let page = include_str!("../../www/index.html");
        for language in [Language::English, Language::Chinese] {
            in_language(language, || {
                let title = format!("<span lang=\"{}\">{}</span>", language.tag(), t!("title"));
                let promise = format!(
                    "{}<strong>{}</strong>{}\n",
                    t!("promise-what"),
                    t!("promise-local"),
                    t!("promise-where")
                );
                for words in [title, promise] {
                    assert!(page.contains(&words), "{words}");
                }
            });
        }
    }

    #[test]
    fn the_languages_have_the_same_keys_and_variables() {
        let english = keys(Language::English);
        let mut chinese = keys(Language::Chinese);
        assert!(english.len() > 50);
        for (key, variables) in &english {
            let other = chinese.get(key);
            assert_eq!(other, Some(variables), "`{key}` in locales/zh.ftl");
        }
        // In English they are the engine's.
        chinese.retain(|key, _| !key.starts_with("diagnostic-"));
        for key in chinese.keys() {
            assert!(
                english.contains_key(key),
                "`{key}` is in locales/zh.ftl only"
            );
        }
    }

    /// The arguments of every call of a macro in a folder, with the file.
    fn calls(folder: &str, name: &str) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        sources(&root.join(folder), &mut files);
        let mut calls = Vec::new();
        for file in files {
            let source = code(&file);
            for (at, start) in source.match_indices(&format!("{name}!(")) {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let rest = &source[at + start.len()..];
                if !source[..at].ends_with(word) && rest.trim_start().starts_with('"') {
                    calls.push((file.clone(), arguments(rest).to_owned()));
                }
            }
        }
        calls
    }

    /// Names in braces of a format string; two braces stand for one.
    fn names_in(template: &str) -> BTreeSet<String> {
        let plain = template.replace("{{", "").replace("}}", "");
        let names = plain.split('{').skip(1);
        names
            .map(|rest| rest.split('}').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_the_engine_says_is_there_in_every_other_language() {
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        for (file, call) in calls("src", "diagnostic") {
            let parts = split(&call);
            let literal = |part: &str| part.trim().trim_matches('"').to_owned();
            let (code, sentence) = (literal(parts[0]), literal(parts[1]));
            let given: BTreeSet<String> = (parts[2..].iter())
                .map(|part| part.split('=').next().unwrap().trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            let place = file.display();
            assert_eq!(names_in(&sentence), given, "`{code}` in {place}");
            let before = said.insert(code.clone(), sentence.clone());
            let same = before.is_none_or(|before| before == sentence);
            assert!(same, "`{code}` in {place} says something else elsewhere");
        }
        assert!(said.len() > 150, "the calls were not found");
        // The worker's loader speaks before the engine is there.
        let loader = include_str!("../../www/worker-loader.js");
        for call in loader.split("diagnostic(\"").skip(1) {
            let mut quoted = call.split('"').step_by(2);
            let [code, sentence] = [(); 2].map(|()| quoted.next().unwrap().to_owned());
            said.insert(code, sentence);
        }
        let key = |code: &str| format!("diagnostic-{code}");
        for language in Language::ALL.into_iter().skip(1) {
            let there = keys(language);
            let texts = open(language);
            for (code, sentence) in &said {
                let variables = there.get(&key(code));
                let expected = names_in(sentence);
                let tag = language.tag();
                assert_eq!(variables, Some(&expected), "`{code}` in {tag}: {sentence}");
                if language == Language::Chinese {
                    check_words(code, sentence, &bare(&texts, &key(code)));
                }
            }
            for found in there.keys() {
                if let Some(code) = found.strip_prefix("diagnostic-") {
                    assert!(said.contains_key(code), "nothing says `{code}`");
                }
            }
        }
        let english = keys(Language::English);
        let twice = (english.keys()).find(|found| found.starts_with("diagnostic-"));
        assert_eq!(twice, None, "English is the engine's own");
    }

    #[test]
    fn the_page_asks_for_what_is_there_and_nothing_else_is() {
        let english = keys(Language::English);
        let mut used = BTreeSet::new();
        let kept = calls("src/app", "message");
        for (file, call) in calls("src/app", "t").into_iter().chain(kept) {
            let key = call.split('"').nth(1).unwrap();
            let place = file.display();
            let variables = english.get(key);
            assert_eq!(variables, Some(&names(&call)), "`{key}` in {place}");
            used.insert(key.to_owned());
        }
        let own = |key: &&String| !key.starts_with("foreign-");
        let unused: Vec<_> = (english.keys().filter(own))
            .filter(|key| !used.contains(*key))
            .collect();
        assert!(unused.is_empty(), "nothing asks for {unused:?}");
    }

    /// Text of a language without values in the place of its variables.
    fn bare(texts: &Texts, key: &str) -> String {
        let pattern = texts.get_message(key).unwrap().value().unwrap();
        (texts.format_pattern(pattern, None, &mut Vec::new())).into_owned()
    }

    /// Fails on an English text that is left so in Chinese. Names and formats have no other word.
    fn check_words(key: &str, english: &str, chinese: &str) {
        assert!(!english.trim().is_empty(), "{key}");
        let words = english.split(|c: char| !c.is_ascii_lowercase());
        if words.filter(|word| word.len() > 3).count() > 3 {
            let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
            assert!(chinese.contains(han), "{key}: {chinese}");
        }
    }

    #[test]
    fn no_text_is_empty_or_left_in_english() {
        let [english, chinese] = [Language::English, Language::Chinese].map(open);
        for key in keys(Language::English).keys() {
            check_words(key, &bare(&english, key), &bare(&chinese, key));
        }
    }

    #[test]
    fn texts_from_elsewhere_are_still_said_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("assets/catalogue.json")];
        sources(&root.join("src"), &mut files);
        let said: String = (files.iter()).map(|file| code(file)).collect();
        // Long literals go on in the next line.
        let said = (said.split("\\\n").map(str::trim_start))
            .collect::<String>()
            .replace("\\\"", "\"");
        for (key, pieces) in foreign_patterns() {
            for piece in pieces {
                if let Piece::Text(text) = piece {
                    assert!(said.contains(text), "{key}: nothing says {text:?} any more");
                }
            }
        }
    }

    #[test]
    fn texts_from_elsewhere_are_translated_with_what_is_in_them() {
        let text = "CPU (4 threads, SIMD)";
        assert_eq!(foreign(text), text);
        set_language(Language::Chinese);
        assert_eq!(foreign(text), "CPU（4 线程，SIMD）");
        assert_eq!(foreign("something else"), "something else");
        set_language(Language::English);
    }

    #[test]
    fn what_the_engine_says_is_said_by_its_code() {
        let reason = diagnostic!("no-gpu", "WebGPU found no GPU");
        let nested = diagnostic!("gpu-unusable", "the GPU cannot be used: {reason}", reason);
        assert_eq!(said(&nested), "the GPU cannot be used: WebGPU found no GPU");
        assert_eq!(
            t!("not-located", label = "cat", error = reason),
            "“cat” could not be located: WebGPU found no GPU."
        );
        set_language(Language::Chinese);
        assert_eq!(said(&nested), "GPU 无法使用：WebGPU 没有找到 GPU");
        assert!(t!("not-located", label = "cat", error = reason).contains("没有找到"));
        // What a value says without a code is not looked up: it may be the visitor's.
        let path = diagnostic!(
            "gpu-unusable",
            "the GPU cannot be used: {reason}",
            reason = "recall"
        );
        assert_eq!(said(&path), "GPU 无法使用：recall");
        // The page and the worker are of different versions.
        let unknown = Diagnostic::new("unheard-of", [], "Unheard of.".into());
        assert_eq!(said(&unknown), "Unheard of.");
        assert_eq!(error(&unknown), "出错了，原文是：Unheard of.");
        set_language(Language::English);
    }

    #[test]
    fn a_message_is_worded_when_it_is_shown() {
        let nested = message!("images", count = 1usize);
        let kept = message!("removed-images", images = nested);
        let failed = message!("sample-not-loaded", error = "no {such} file");
        let english = [said(&kept), said(&failed)];
        assert_eq!(english[0], "1 image removed.");
        set_language(Language::Chinese);
        // Said while the page is in Chinese, and shown in either language.
        let later = message!(
            "removed-images",
            images = message!("images", count = 1usize)
        );
        assert_eq!(later, kept);
        assert_eq!(error(&later), "已移除 1 张图片。");
        assert!(error(&failed).contains("no {such} file"));
        assert!(!error(&failed).contains("原文"));
        set_language(Language::English);
        assert_eq!([said(&later), said(&failed)], english);
    }

    #[test]
    fn parts_of_the_report_are_translated_around_what_is_the_visitors() {
        let html = "<p>Below:</p>\n<div aria-label=\"Confusion matrix\"><table>\n<tr><th scope=\"col\">\
                    recall</th></tr>\n<tr><th scope=\"row\">right</th><td>93.3 %</td></tr></table></div>\n\
                    <b>right</b> has 93.3 %: +1.2 points against <b>a &lt;b&gt;</b>, which may be chance (p = 0.2).\
                    <p>from here to there</p><text x=\"1\">true</text><text>right</text><p>58.5 to 76.2</p>\
                    <p>It is best at &quot;&lt;i&gt;&quot; (9 %) and worst at &quot;b&quot; (1 %): a high share of one answer \
                    may only mean that it is always given.</p>";
        assert_eq!(foreign_html(html), html);
        set_language(Language::Chinese);
        assert_eq!(
            foreign_html(html),
            "<p>Below:</p>\n<div aria-label=\"混淆矩阵\"><table>\n<tr><th scope=\"col\">\
             召回率</th></tr>\n<tr><th scope=\"row\">right</th><td>93.3%</td></tr></table></div>\n\
             <b>right</b> 的准确率为 93.3%，变化 +1.2 个百分点，基准为 <b>a &lt;b&gt;</b>，差异不显著（p = 0.2）。\
             <p>from here to there</p><text x=\"1\">真实</text><text>right</text><p>58.5 至 76.2</p>\
             <p>最擅长“&lt;i&gt;”（9%），最不擅长“b”（1%）；某个回答占比高，也可能只是总给这个回答。</p>"
        );
        set_language(Language::English);
    }

    #[test]
    fn an_error_is_in_chinese_or_says_why_not() {
        let known = diagnostic!("no-gpu", "WebGPU found no GPU");
        assert_eq!(error(&known), "WebGPU found no GPU");
        assert_eq!(sentence(&known), "WebGPU found no GPU.");
        assert_eq!(sentence(&"It failed."), "It failed.");
        set_language(Language::Chinese);
        assert_eq!(error(&known), "WebGPU 没有找到 GPU");
        assert_eq!(sentence(&known), "WebGPU 没有找到 GPU。");
        let unknown = Diagnostic::from("Unheard of.");
        assert_eq!(error(&unknown), "出错了，原文是：Unheard of.");
        assert_eq!(error(&"不太合适"), "不太合适");
        set_language(Language::English);
    }

    #[test]
    fn plural_forms_follow_the_number() {
        assert_eq!(t!("images", count = 1usize), "1 image");
        assert_eq!(t!("images", count = 0usize), "0 images");
        set_language(Language::Chinese);
        assert_eq!(t!("images", count = 1usize), "1 张图片");
        set_language(Language::English);
    }

    #[test]
    fn tags_name_a_language_whatever_the_region() {
        assert_eq!(Language::of_tag("zh"), Some(Language::Chinese));
        assert_eq!(Language::of_tag("zh-Hans-SG"), Some(Language::Chinese));
        assert_eq!(Language::of_tag("en-GB"), Some(Language::English));
        assert_eq!(Language::of_tag("de"), None);
    }
}
