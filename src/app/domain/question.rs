//! The question to the worker: labels and templates, and where their prompts stand.

use crate::diagnostic::Diagnostic;
use crate::engine::messages::Request;

/// Labels and templates to classify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the visitor wants to tell apart.
    pub labels: Vec<String>,
    /// Each holds `{label}`.
    pub templates: Vec<String>,
}

/// State of the question's prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptStatus {
    /// Nothing to do.
    Idle,
    /// Waiting or being encoded; `total` is 0 until the worker has begun.
    Pending {
        /// Prompts encoded so far.
        done: u32,
        /// All prompts that have to be encoded.
        total: u32,
    },
    /// The visitor cancelled them.
    Cancelled,
}

/// The current question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// `None` without labels.
    pub asked: Option<Asked>,
    /// Number in the protocol; tells late answers.
    pub number: u32,
    pub prompts: PromptStatus,
    /// What the worker had to say about the prompts.
    pub notes: Vec<String>,
    /// Why the question cannot be answered.
    pub error: Option<Diagnostic>,
}

impl Question {
    const PENDING: PromptStatus = PromptStatus::Pending { done: 0, total: 0 };

    /// Without labels.
    pub fn new() -> Self {
        Self {
            asked: None,
            number: 0,
            prompts: PromptStatus::Idle,
            notes: Vec::new(),
            error: None,
        }
    }

    /// Whether prompts wait or are being encoded.
    pub fn pending(&self) -> bool {
        matches!(self.prompts, PromptStatus::Pending { .. })
    }

    /// Whether the visitor cancelled the prompts.
    pub fn cancelled(&self) -> bool {
        self.prompts == PromptStatus::Cancelled
    }

    /// Labels and templates from now on; without labels there is no question. Returns
    /// whether they differ from before.
    pub fn set(&mut self, labels: Vec<String>, templates: Vec<String>) -> bool {
        let asked = (!labels.is_empty()).then_some(Asked { labels, templates });
        let differs = asked != self.asked;
        self.asked = asked;
        differs
    }

    /// Asks anew. Counted up even without labels, so that late answers are known as late.
    pub fn renew(&mut self) {
        self.number += 1;
        self.notes.clear();
        self.error = None;
        self.prompts = match self.asked {
            Some(_) => Self::PENDING,
            None => PromptStatus::Idle,
        };
    }

    /// A fresh worker will be asked again, unless the visitor cancelled.
    pub fn restart(&mut self) {
        if self.asked.is_some() && !self.cancelled() {
            self.prompts = Self::PENDING;
        }
    }

    /// The visitor cancels.
    pub fn cancel(&mut self) {
        if self.pending() {
            self.prompts = PromptStatus::Cancelled;
        }
    }

    /// The message that asks, if there is something to ask.
    pub fn request(&self) -> Option<Request> {
        let asked = self.asked.as_ref().filter(|_| !self.cancelled())?;
        Some(Request::Classify {
            question: self.number,
            labels: asked.labels.clone(),
            templates: asked.templates.clone(),
        })
    }

    /// Prompts were encoded.
    pub fn progress(&mut self, number: u32, done: u32, total: u32) {
        if number == self.number && self.pending() {
            self.prompts = PromptStatus::Pending { done, total };
        }
    }

    /// All prompts are encoded.
    pub fn encoded(&mut self, number: u32, notes: Vec<String>) {
        if number == self.number {
            self.prompts = PromptStatus::Idle;
            self.notes = notes;
        }
    }

    /// The question cannot be answered.
    pub fn failed(&mut self, number: u32, error: Diagnostic) {
        if number == self.number {
            self.prompts = PromptStatus::Idle;
            self.error = Some(error);
        }
    }
}

impl Default for Question {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_older_question_is_not_heard() {
        let mut question = Question::new();
        assert!(question.set(vec!["cat".into()], vec!["{label}".into()]));
        question.renew();
        assert!(question.set(vec!["dog".into()], vec!["{label}".into()]));
        question.renew();
        question.progress(1, 3, 4);
        question.failed(1, "no".into());
        assert_eq!(question.prompts, Question::PENDING);
        assert_eq!(question.error, None);
        question.progress(2, 3, 4);
        assert_eq!(
            question.prompts,
            PromptStatus::Pending { done: 3, total: 4 }
        );
        question.encoded(2, vec!["cut".into()]);
        assert!(!question.pending());
        assert_eq!(question.notes, ["cut"]);
    }

    #[test]
    fn a_cancelled_question_is_asked_again_only_on_request() {
        let mut question = Question::new();
        question.set(vec!["cat".into()], vec!["{label}".into()]);
        question.renew();
        question.cancel();
        question.restart();
        assert!(question.cancelled());
        assert_eq!(question.request(), None);
        question.renew();
        assert!(question.request().is_some());
    }
}
