//! Queries of words and images, as people write them.

use serde::{Deserialize, Serialize};

/// Whether a term of a query is looked for or kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// Looked for.
    Plus,
    /// Kept out.
    Minus,
}

/// Term of a query, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Looked for, or kept out.
    pub sign: Sign,
    /// Words, or what stands for an image.
    pub text: String,
}

/// The terms of `dog + beach - people`. Signs stand between spaces, so that "black-and-white"
/// is one term.
pub fn parse_query(query: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    let (mut sign, mut words) = (Sign::Plus, Vec::new());
    let mut finish = |sign, words: &mut Vec<&str>| {
        if !words.is_empty() {
            let text = words.join(" ");
            terms.push(Term { sign, text });
            words.clear();
        }
    };
    for word in query.split_whitespace() {
        let next = match word {
            "+" => Sign::Plus,
            "-" | "−" | "–" => Sign::Minus,
            _ => {
                words.push(word);
                continue;
            }
        };
        finish(sign, &mut words);
        sign = next;
    }
    finish(sign, &mut words);
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(sign: Sign, text: &str) -> Term {
        let text = text.into();
        Term { sign, text }
    }

    #[test]
    fn signs_between_spaces_part_terms() {
        let expected = [
            term(Sign::Plus, "black-and-white dog"),
            term(Sign::Plus, "beach"),
            term(Sign::Minus, "people"),
        ];
        assert_eq!(
            parse_query("black-and-white  dog + beach - people"),
            expected
        );
        assert_eq!(parse_query("- people"), [term(Sign::Minus, "people")]);
        assert_eq!(parse_query("+ - "), []);
        assert_eq!(parse_query("c++ -x"), [term(Sign::Plus, "c++ -x")]);
    }
}
