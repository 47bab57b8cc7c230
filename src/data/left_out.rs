//! Counts of what a data set had to leave out, by reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Number of files or rows left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Reason, by the tag that [`Problem`] has in JSON.
    pub problem: String,
    /// How many there are.
    pub count: usize,
    /// First of them, in words.
    pub first: Diagnostic,
}

impl LeftOut {
    /// Counts by reason, the most frequent first.
    pub fn count(problems: &[Problem]) -> Vec<Self> {
        let mut counts: BTreeMap<&str, Self> = BTreeMap::new();
        for problem in problems {
            let reason = tag(problem);
            counts
                .entry(reason)
                .and_modify(|known| known.count += 1)
                .or_insert_with(|| Self {
                    problem: reason.into(),
                    count: 1,
                    first: problem.to_diagnostic(),
                });
        }
        let mut counts: Vec<Self> = counts.into_values().collect();
        counts.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        counts
    }

    /// Reason in words, after a number: "3 listed in the table, but missing".
    fn reason(&self) -> Diagnostic {
        match self.problem.as_str() {
            "duplicate" => diagnostic!("left-out-duplicates", "duplicates"),
            "contradiction" => {
                diagnostic!("left-out-contradictions", "duplicates in different classes")
            }
            "unreadable" => diagnostic!("left-out-unreadable", "not readable"),
            "missing" => diagnostic!("left-out-missing", "listed in the table, but missing"),
            "unlabelled" => diagnostic!("left-out-unlabelled", "without a class or caption"),
            "empty_class" => diagnostic!("left-out-empty-classes", "classes without usable images"),
            _ => diagnostic!("left-out-not-used", "not used"),
        }
    }

    /// The same with the first one as a text alone, for files that other programs read.
    pub fn plain(&self) -> Self {
        Self {
            first: self.first.plain(),
            ..self.clone()
        }
    }

    /// Several in one sentence.
    pub fn list(counts: &[Self]) -> Diagnostic {
        Diagnostic::list(counts.iter().map(Self::to_diagnostic))
    }
}

impl ToDiagnostic for LeftOut {
    fn to_diagnostic(&self) -> Diagnostic {
        let (count, reason, first) = (self.count, self.reason(), &self.first);
        match count {
            1 => diagnostic!("left-out-one", "1 {reason} ({first})", reason, first),
            _ => diagnostic!(
                "left-out-many",
                "{count} {reason} (first: {first})",
                count,
                reason,
                first
            ),
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_diagnostic().fmt(f)
    }
}

/// The tag of a problem in JSON.
fn tag(problem: &Problem) -> &'static str {
    match problem {
        Problem::Duplicate { .. } => "duplicate",
        Problem::Contradiction { .. } => "contradiction",
        Problem::Unreadable { .. } => "unreadable",
        Problem::Missing { .. } => "missing",
        Problem::Unlabelled { .. } => "unlabelled",
        Problem::EmptyClass { .. } => "empty_class",
        Problem::Ignored { .. } => "ignored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_with_the_first_of_each() {
        let unreadable = |path: &str| Problem::Unreadable {
            path: path.into(),
            why: "the file is empty".into(),
        };
        let problems = [
            Problem::Unlabelled {
                path: "a.png".into(),
            },
            unreadable("b.png"),
            unreadable("c.png"),
        ];
        let counts = LeftOut::count(&problems);
        let said: Vec<String> = counts.iter().map(LeftOut::to_string).collect();
        assert_eq!(
            said,
            [
                "2 not readable (first: b.png: the file is empty)",
                "1 without a class or caption (a.png has neither a class nor a caption)",
            ]
        );
        // The tag is that of the problem itself.
        for problem in &problems {
            let json = serde_json::to_value(problem).unwrap();
            assert_eq!(json["problem"], tag(problem));
        }
    }
}
