//! Live classification of a camera or a video: one frame at a time is with the worker, and when
//! its answer is there, the newest one goes. Nothing waits in a queue.

use std::collections::VecDeque;

use super::ranking::{Ranking, SharedLabels};
use super::session::Session;
use super::worker::WorkerState;
use crate::app::i18n::t;
use crate::diagnostic::Diagnostic;
use crate::engine::rankings::Rankings;

/// Up to this many labels are shown in their own order, so that only bars move…
const CALM: usize = 8;
/// …and of more than that so many, the most likely ones.
const TOP: usize = 5;

/// The rate is that of this time, in milliseconds.
const RATE_WINDOW_MS: f64 = 2_000.0;

/// Between two announcements to a screen reader, in milliseconds.
const ANNOUNCE_MS: f64 = 1_000.0;

/// Ranking of the latest frame that was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveAnswer {
    /// Number of the question.
    pub question: u32,
    pub ranking: Ranking,
    /// What to say when no label fits.
    pub none_fits: Option<String>,
}

/// State of the live classification.
#[derive(Debug, Default)]
pub struct Live {
    /// The latest answer.
    pub answer: Option<LiveAnswer>,
    /// Why frames cannot be classified; none is sent after that.
    pub error: Option<String>,
    /// Frames so far: the latest one's number.
    frames: u32,
    /// Frame that is with the worker.
    in_flight: Option<u32>,
    /// Position in the video and question of the latest frame: it is not sent twice.
    latest: Option<(f64, u32)>,
    /// When the latest frames were answered.
    answered_ms: VecDeque<f64>,
    /// What a screen reader was told, and when.
    announced: Option<(String, f64)>,
    labels: SharedLabels,
    /// Images that were kept.
    kept: u32,
}

impl Live {
    /// Another video, or none any more.
    pub fn begin(&mut self) {
        *self = Self {
            // An answer to the video before is known by its number.
            frames: self.frames,
            kept: self.kept,
            ..Self::default()
        };
    }

    /// A fresh worker knows nothing of the frame.
    pub fn restart(&mut self) {
        self.in_flight = None;
        self.latest = None;
        self.error = None;
    }

    /// Number of the frame to send now, if one is to be sent: the one at `position`, which tells the
    /// video's frames apart.
    pub fn next(&mut self, session: &Session, position: f64) -> Option<u32> {
        let question = &session.question;
        let answerable = session.worker.ready()
            && question.asked.is_some()
            && question.error.is_none()
            && !question.cancelled();
        let latest = Some((position, question.number));
        if !answerable || self.error.is_some() || self.in_flight.is_some() || self.latest == latest
        {
            return None;
        }
        self.latest = latest;
        self.frames += 1;
        self.in_flight = Some(self.frames);
        self.in_flight
    }

    /// The worker has answered. `fit` is the share of the labels among everyday words.
    pub fn answered(
        &mut self,
        session: &Session,
        frame: u32,
        question: u32,
        rankings: &Rankings,
        fit: Option<f32>,
        now_ms: f64,
    ) {
        if self.in_flight != Some(frame) {
            return;
        }
        self.in_flight = None;
        let ranking = self
            .labels
            .read(rankings)
            .next()
            .map(|(_, ranking)| ranking);
        let Some(ranking) = ranking.filter(|ranking| {
            // The labels have changed meanwhile.
            question == session.question.number && !ranking.is_empty()
        }) else {
            self.latest = None;
            return;
        };
        self.answered_ms.push_back(now_ms);
        while self.answered_ms.len() > 2
            && (self.answered_ms.front()).is_some_and(|first| now_ms - first > RATE_WINDOW_MS)
        {
            self.answered_ms.pop_front();
        }
        let none_fits = session.none_fits(&ranking, fit);
        self.announce(&ranking, none_fits.is_some(), now_ms);
        self.answer = Some(LiveAnswer {
            question,
            ranking,
            none_fits,
        });
    }

    fn announce(&mut self, ranking: &Ranking, none_fits: bool, now_ms: f64) {
        let text = match (none_fits, ranking.iter().next()) {
            (false, Some(top)) => top.label,
            _ => t!("none-fits-live"),
        };
        let due = (self.announced.as_ref())
            .is_none_or(|(before, when)| before != text && now_ms - when >= ANNOUNCE_MS);
        if due {
            self.announced = Some((text.into(), now_ms));
        }
    }

    /// The worker cannot classify a frame.
    pub fn failed(&mut self, frame: u32, error: &Diagnostic) {
        if self.in_flight == Some(frame) {
            self.in_flight = None;
            self.error = Some(t!("live-not-classified", error = error));
        }
    }

    /// What a screen reader is told: the most likely label, at most once a second.
    pub fn announcement(&self) -> &str {
        self.announced.as_ref().map_or("", |(text, _)| text)
    }

    /// Frames answered per second, lately; `None` before the second one.
    pub fn images_per_second(&self) -> Option<f64> {
        let elapsed = self.answered_ms.back()? - self.answered_ms.front()?;
        (elapsed > 0.0).then(|| (self.answered_ms.len() - 1) as f64 * 1e3 / elapsed)
    }

    /// Labels to show, of all those that are asked for. Few are shown in their order, of many the
    /// most likely ones.
    pub fn shown(&self, labels: &[String]) -> Vec<String> {
        match &self.answer {
            None => Vec::new(),
            Some(_) if labels.len() <= CALM => labels.to_vec(),
            Some(answer) => (answer.ranking.iter().take(TOP))
                .map(|ranked| ranked.label.to_owned())
                .collect(),
        }
    }

    /// Probability of a label, and whether it is the most likely one.
    pub fn score(&self, label: &str) -> Option<(f32, bool)> {
        let ranking = &self.answer.as_ref()?.ranking;
        let place = ranking.iter().position(|ranked| ranked.label == label)?;
        Some((ranking.iter().nth(place)?.probability, place == 0))
    }

    /// What the video waits for; nothing while there are answers.
    pub fn status(&self, session: &Session) -> &'static str {
        let question = &session.question;
        let current =
            (self.answer.as_ref()).is_some_and(|answer| answer.question == question.number);
        match &session.worker.state {
            _ if self.error.is_some() || question.error.is_some() => "",
            WorkerState::Failed(_) | WorkerState::Stopped => t!("waiting-no-model"),
            WorkerState::Loading { .. } => t!("waiting-for-model"),
            WorkerState::Ready if question.asked.is_none() => t!("live-no-label"),
            WorkerState::Ready if question.cancelled() => t!("cancelled-before"),
            WorkerState::Ready if current => "",
            WorkerState::Ready => t!("comparing"),
        }
    }

    /// Number of the next image that is kept, from 1.
    pub fn count_kept(&mut self) -> u32 {
        self.kept += 1;
        self.kept
    }
}

/// A rate, for display.
pub fn rate_text(images_per_second: f64) -> String {
    match images_per_second {
        rate if rate < 9.95 => t!("images-per-second", rate = format!("{rate:.1}")),
        rate => t!("images-per-second", rate = format!("{rate:.0}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::DeviceChoice;

    fn session(labels: &[&str]) -> Session {
        let mut session = Session::new(DeviceChoice::Auto);
        session.worker.state = WorkerState::Ready;
        ask(&mut session, labels);
        session
    }

    fn ask(session: &mut Session, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).into()).collect();
        session.ask(labels, vec!["{label}".into()]);
    }

    fn rankings(ranked: &[(&str, f32)]) -> Rankings {
        let mut rankings = Rankings::default();
        let scores = ranked.iter().map(|(label, p)| ((*label).into(), *p, 0.2));
        rankings.push(1, scores);
        rankings
    }

    fn answer(live: &mut Live, session: &Session, frame: u32, top: &str, now_ms: f64) {
        let question = session.question.number;
        live.answered(
            session,
            frame,
            question,
            &rankings(&[(top, 0.75)]),
            None,
            now_ms,
        );
    }

    #[test]
    fn one_frame_is_with_the_worker_and_the_newest_goes_next() {
        let (mut live, session) = (Live::default(), session(&["cat"]));
        assert_eq!(live.next(&session, 0.0), Some(1));
        assert_eq!(live.next(&session, 0.1), None, "one is with the worker");
        assert_eq!(live.next(&session, 0.2), None);
        answer(&mut live, &session, 1, "cat", 0.0);
        assert_eq!(live.next(&session, 0.0), None, "it was answered");
        assert_eq!(live.next(&session, 0.3), Some(2));
        answer(&mut live, &session, 1, "cat", 0.0);
        assert_eq!(live.next(&session, 0.4), None, "a late answer to another");
    }

    #[test]
    fn nothing_is_sent_that_cannot_be_answered() {
        let (mut live, mut session) = (Live::default(), session(&[]));
        assert_eq!(live.next(&session, 0.0), None);
        assert!(live.status(&session).contains("label"));
        ask(&mut session, &["cat"]);
        session.worker.state = WorkerState::Stopped;
        assert_eq!(live.next(&session, 0.0), None);
        assert!(live.status(&session).contains("no model"));
        session.worker.state = WorkerState::Ready;
        session.question.cancel();
        assert_eq!(live.next(&session, 0.0), None);
        session.question.renew();
        assert!(live.status(&session).contains("Comparing"));
        assert_eq!(live.next(&session, 0.0), Some(1));
        live.failed(1, &"no".into());
        assert!(
            live.error
                .as_ref()
                .is_some_and(|error| error.contains("(no)"))
        );
        assert_eq!(live.next(&session, 1.0), None);
        live.begin();
        assert_eq!(live.next(&session, 1.0), Some(2));
    }

    #[test]
    fn other_labels_are_answered_even_when_the_video_pauses() {
        let (mut live, mut session) = (Live::default(), session(&["cat"]));
        assert_eq!(live.next(&session, 0.5), Some(1));
        let before = session.question.number;
        ask(&mut session, &["dog"]);
        live.answered(&session, 1, before, &rankings(&[("cat", 1.0)]), None, 0.0);
        assert_eq!(live.answer, None, "the answer to another question");
        assert_eq!(live.next(&session, 0.5), Some(2));
        answer(&mut live, &session, 2, "dog", 0.0);
        assert_eq!(live.status(&session), "");
        assert_eq!(live.next(&session, 0.5), None);
        ask(&mut session, &["bird"]);
        assert_eq!(live.next(&session, 0.5), Some(3));
        // Without an answer, since the worker had lost the question.
        let number = session.question.number;
        live.answered(&session, 3, number, &Rankings::default(), None, 0.0);
        assert_eq!(live.next(&session, 0.5), Some(4));
    }

    #[test]
    fn a_fresh_worker_gets_a_frame_and_another_video_no_old_answer() {
        let (mut live, session) = (Live::default(), session(&["cat"]));
        assert_eq!(live.next(&session, 0.5), Some(1));
        live.restart();
        assert_eq!(live.next(&session, 0.5), Some(2));
        live.begin();
        answer(&mut live, &session, 2, "cat", 0.0);
        assert_eq!(live.answer, None);
        assert_eq!(live.next(&session, 0.5), Some(3));
    }

    #[test]
    fn the_rate_is_that_of_the_latest_frames() {
        let (mut live, session) = (Live::default(), session(&["cat"]));
        let frame = |live: &mut Live, now_ms: f64| {
            let number = live
                .next(&session, now_ms)
                .expect("none is with the worker");
            answer(live, &session, number, "cat", now_ms);
        };
        frame(&mut live, 0.0);
        assert_eq!(live.images_per_second(), None);
        for tenth in 1..=40 {
            frame(&mut live, f64::from(tenth) * 100.0);
        }
        assert_eq!(live.images_per_second(), Some(10.0));
        assert_eq!(live.answered_ms.len(), 21);
        // A slow device.
        frame(&mut live, 8_000.0);
        frame(&mut live, 12_000.0);
        assert_eq!(live.images_per_second(), Some(0.25));
        assert_eq!(rate_text(0.25), "0.2 images per second");
        assert_eq!(rate_text(29.7), "30 images per second");
    }

    #[test]
    fn a_screen_reader_is_told_of_changes_once_a_second() {
        let (mut live, session) = (Live::default(), session(&["cat", "dog"]));
        let mut told = |top: &str, now_ms: f64| {
            let number = live
                .next(&session, now_ms)
                .expect("none is with the worker");
            answer(&mut live, &session, number, top, now_ms);
            live.announcement().to_owned()
        };
        assert_eq!(told("cat", 0.0), "cat");
        assert_eq!(told("dog", 400.0), "cat");
        assert_eq!(told("dog", 1_000.0), "dog");
        assert_eq!(told("cat", 1_900.0), "dog");
        assert_eq!(told("cat", 2_100.0), "cat");
    }

    #[test]
    fn few_labels_keep_their_places_and_many_are_cut() {
        let (mut live, session) = (Live::default(), session(&["a", "b"]));
        let labels: Vec<String> = (0..9).map(|n| format!("label {n}")).collect();
        assert_eq!(live.shown(&labels), Vec::<String>::new());
        live.next(&session, 0.0);
        let ranked: Vec<(&str, f32)> = (labels.iter().rev()).map(|l| (l.as_str(), 0.1)).collect();
        let number = session.question.number;
        live.answered(&session, 1, number, &rankings(&ranked), None, 0.0);
        assert_eq!(live.shown(&labels[..8]), labels[..8]);
        assert_eq!(live.shown(&labels)[0], "label 8");
        assert_eq!(live.shown(&labels).len(), TOP);
        assert_eq!(live.score("label 8"), Some((0.1, true)));
        assert_eq!(live.score("label 0"), Some((0.1, false)));
        assert_eq!(live.score("label 9"), None);
    }
}
