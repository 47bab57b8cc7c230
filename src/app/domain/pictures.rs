//! The pictures and the queue in which they go to the worker.
//!
//! There may be ten thousand, and the worker says something about each several times. So
//! an event must touch the picture that it is about and no other: pictures are found by
//! their number, those that wait are listed, and what is shown as a count is counted along.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use super::ranking::Ranking;
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{ImageId, Peak};

/// Pictures that are with the worker at once: one being encoded and the next.
/// More would only fill the memory with files that wait.
const MAX_IN_FLIGHT: usize = 2;

/// Where a picture stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureState {
    /// Waits on the page.
    Waiting,
    /// With the worker.
    Sent,
    /// The worker is at it.
    Encoding,
    /// The worker knows its features.
    Encoded,
    /// The visitor cancelled before its turn came.
    Cancelled,
    /// It cannot be used.
    Failed {
        /// Why, in plain words.
        error: Diagnostic,
        /// Whether another try makes sense.
        retry: bool,
    },
}

/// Heat map that the visitor asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Question of the label.
    question: u32,
    /// Label that it is of.
    pub label: String,
    pub state: HeatState,
}

/// State of a heat map.
#[derive(Clone, Debug, PartialEq)]
pub enum HeatState {
    /// The worker is at it.
    Asked,
    /// It lies over the picture; its colours are kept by the controller.
    Shown(Peak),
    /// There is none, and why.
    Failed(Diagnostic),
}

/// How long a picture took, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Decoding and resizing.
    pub preprocess_ms: f64,
    /// The image encoder alone.
    pub encode_ms: f64,
    /// Name of the device.
    pub device: String,
}

/// One picture of the visitor's. Its file is kept by the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its number in the protocol.
    pub id: ImageId,
    /// File name.
    pub name: String,
    /// Counts the times pictures were added: those added together share it.
    batch: u32,
    /// Where it stands.
    pub state: PictureState,
    /// Width and height in pixels, once known.
    pub size: Option<(u32, u32)>,
    /// Known once it is encoded.
    pub timing: Option<Timing>,
    /// The latest answer and the question it belongs to.
    pub answer: Option<(u32, Ranking)>,
    /// How well the labels of a question fit: their share among everyday words, 0 to 1.
    pub fit: Option<(u32, f32)>,
    /// Heat map over the picture.
    pub heat: Option<Heat>,
}

impl Picture {
    fn pending(&self) -> bool {
        self.state == PictureState::Waiting || self.with_worker()
    }

    fn with_worker(&self) -> bool {
        matches!(self.state, PictureState::Sent | PictureState::Encoding)
    }

    /// Whether the worker has it or its features.
    pub fn known_to_worker(&self) -> bool {
        self.with_worker() || self.state == PictureState::Encoded
    }
}

/// Which pictures are in which state, kept along with them.
#[derive(Debug, Default)]
struct Lists {
    /// Those that wait: without an answer, and with one.
    waiting: [BTreeSet<ImageId>; 2],
    in_flight: BTreeSet<ImageId>,
    cancelled: BTreeSet<ImageId>,
    /// Number of the current question.
    question: u32,
    /// Pictures with an answer to it.
    answered: usize,
}

impl Lists {
    fn list_of(&mut self, picture: &Picture) -> Option<&mut BTreeSet<ImageId>> {
        match picture.state {
            PictureState::Waiting => Some(&mut self.waiting[usize::from(picture.answer.is_some())]),
            PictureState::Sent | PictureState::Encoding => Some(&mut self.in_flight),
            PictureState::Cancelled => Some(&mut self.cancelled),
            PictureState::Encoded | PictureState::Failed { .. } => None,
        }
    }

    fn answers(&self, picture: &Picture) -> bool {
        (picture.answer.as_ref()).is_some_and(|(question, _)| *question == self.question)
    }

    fn add(&mut self, picture: &Picture) {
        if let Some(list) = self.list_of(picture) {
            list.insert(picture.id);
        }
        self.answered += usize::from(self.answers(picture));
    }

    fn remove(&mut self, picture: &Picture) {
        if let Some(list) = self.list_of(picture) {
            list.remove(&picture.id);
        }
        self.answered -= usize::from(self.answers(picture));
    }
}

/// All pictures on the page.
#[derive(Debug)]
pub struct Pictures {
    /// By number, counted from `first`; `None` where one was removed.
    slots: Vec<Option<Picture>>,
    first: ImageId,
    /// Numbers in the order in which they are shown: the latest batch first, so that it is
    /// in sight, and each batch as it came.
    order: VecDeque<ImageId>,
    /// Counts the changes of the order.
    version: u32,
    batch: u32,
    lists: Lists,
    /// Pictures that changed since they were last asked for.
    changed: Vec<ImageId>,
}

impl Pictures {
    /// Without pictures.
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            first: 1,
            order: VecDeque::new(),
            version: 0,
            batch: 0,
            lists: Lists::default(),
            changed: Vec::new(),
        }
    }

    fn slot(&self, id: ImageId) -> Option<usize> {
        id.checked_sub(self.first).map(|slot| slot as usize)
    }

    /// The picture with this number.
    pub fn get(&self, id: ImageId) -> Option<&Picture> {
        work::visit();
        self.slots.get(self.slot(id)?)?.as_ref()
    }

    /// All, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Picture> {
        self.slots.iter().flatten().inspect(|_| work::visit())
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The numbers in the order in which they are shown.
    pub fn shown(&self) -> &VecDeque<ImageId> {
        &self.order
    }

    /// Differs when the order that is shown has changed.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The pictures that changed since the last call; one may be among them twice.
    pub fn take_changed(&mut self) -> Vec<ImageId> {
        std::mem::take(&mut self.changed)
    }

    /// Pictures that are waiting or being encoded.
    pub fn pending(&self) -> usize {
        let waiting = self.lists.waiting.iter().map(BTreeSet::len).sum::<usize>();
        waiting + self.lists.in_flight.len()
    }

    /// Pictures that the visitor cancelled.
    pub fn cancelled(&self) -> usize {
        self.lists.cancelled.len()
    }

    /// Pictures with an answer to the current question.
    pub fn answered(&self) -> usize {
        self.lists.answered
    }

    /// A picture's answer, when it is one to the current question.
    pub fn answer_of<'a>(&self, picture: &'a Picture) -> Option<&'a Ranking> {
        let current = self.lists.answers(picture);
        (picture.answer.as_ref()).and_then(|(_, ranking)| current.then_some(ranking))
    }

    /// Adds pictures that came together, by their names; returns their numbers.
    pub fn add_batch(&mut self, names: impl IntoIterator<Item = String>) -> Vec<ImageId> {
        self.batch += 1;
        self.version += 1;
        let mut ids = Vec::new();
        for name in names {
            let id = self.first + self.slots.len() as ImageId;
            let picture = Picture {
                id,
                name,
                batch: self.batch,
                state: PictureState::Waiting,
                size: None,
                timing: None,
                answer: None,
                fit: None,
                heat: None,
            };
            self.lists.add(&picture);
            self.slots.push(Some(picture));
            ids.push(id);
        }
        for id in ids.iter().rev() {
            self.order.push_front(*id);
        }
        ids
    }

    /// Removes and returns a picture.
    pub fn remove(&mut self, id: ImageId) -> Option<Picture> {
        let slot = self.slot(id)?;
        let picture = self.slots.get_mut(slot)?.take()?;
        self.lists.remove(&picture);
        self.version += 1;
        let key = (Reverse(picture.batch), id);
        let slots = &self.slots;
        let key_of = |other: &ImageId| {
            let other_slot = (other - self.first) as usize;
            let other_batch = slots.get(other_slot).and_then(Option::as_ref);
            let batch = other_batch.map_or(picture.batch, |picture| picture.batch);
            (Reverse(batch), *other)
        };
        if let Ok(place) = self.order.binary_search_by_key(&key, key_of) {
            self.order.remove(place);
        }
        Some(picture)
    }

    /// Removes and returns all.
    pub fn clear(&mut self) -> Vec<Picture> {
        self.first += self.slots.len() as ImageId;
        let all = std::mem::take(&mut self.slots);
        self.order.clear();
        self.version += 1;
        self.lists = Lists {
            question: self.lists.question,
            ..Lists::default()
        };
        all.into_iter().flatten().collect()
    }

    /// Brings pictures that were removed back to their places. The worker has forgotten them.
    pub fn restore(&mut self, pictures: Vec<Picture>) {
        for mut picture in pictures {
            if picture.known_to_worker() {
                picture.state = PictureState::Waiting;
            }
            picture.heat = None;
            if picture.id < self.first {
                let missing = (picture.id..self.first).map(|_| None);
                self.slots.splice(0..0, missing);
                self.first = picture.id;
            }
            let slot = (picture.id - self.first) as usize;
            if let Some(place @ None) = self.slots.get_mut(slot) {
                self.lists.add(&picture);
                self.order.push_back(picture.id);
                *place = Some(picture);
            }
        }
        let (slots, first) = (&self.slots, self.first);
        self.order.make_contiguous().sort_by_key(|id| {
            let picture = slots.get((id - first) as usize).and_then(Option::as_ref);
            (Reverse(picture.map(|picture| picture.batch)), *id)
        });
        self.version += 1;
    }

    /// Changes a picture, and with it the lists.
    fn change(&mut self, id: ImageId, change: impl FnOnce(&mut Picture)) {
        work::visit();
        let slot = self.slot(id).and_then(|slot| self.slots.get_mut(slot));
        if let Some(picture) = slot.and_then(Option::as_mut) {
            self.lists.remove(picture);
            change(picture);
            self.lists.add(picture);
            self.changed.push(id);
        }
    }

    fn change_all(&mut self, ids: impl IntoIterator<Item = ImageId>, state: &PictureState) {
        for id in ids {
            self.change(id, |picture| picture.state = state.clone());
        }
    }

    /// Sends as many waiting pictures as the window allows: returns numbers and names.
    /// Those without an answer come first: after a restart the others are only encoded
    /// again.
    pub fn send(&mut self) -> Vec<(ImageId, String)> {
        let mut sent = Vec::new();
        while self.lists.in_flight.len() < MAX_IN_FLIGHT {
            let next = self.lists.waiting.iter().find_map(BTreeSet::first).copied();
            let Some(id) = next else {
                break;
            };
            self.change(id, |picture| {
                picture.state = PictureState::Sent;
                sent.push((id, picture.name.clone()));
            });
        }
        sent
    }

    /// The worker begins with a picture.
    pub fn begin(&mut self, id: ImageId) {
        self.change(id, |picture| {
            if picture.with_worker() {
                picture.state = PictureState::Encoding;
            }
        });
    }

    /// The worker has encoded a picture.
    pub fn encoded(&mut self, id: ImageId, size: (u32, u32), timing: Timing) {
        self.change(id, |picture| {
            picture.state = PictureState::Encoded;
            picture.size = Some(size);
            picture.timing = Some(timing);
        });
    }

    /// A picture cannot be used; `retry`: whether another try makes sense.
    pub fn fail(&mut self, id: ImageId, error: Diagnostic, retry: bool) {
        self.change(id, |picture| {
            picture.state = PictureState::Failed { error, retry };
            picture.answer = None;
        });
    }

    /// Another try with a picture that failed or was cancelled.
    pub fn retry(&mut self, id: ImageId) {
        self.change(id, |picture| {
            if !picture.pending() && picture.state != PictureState::Encoded {
                picture.state = PictureState::Waiting;
            }
        });
    }

    /// A fresh worker knows none of them.
    pub fn restart(&mut self) {
        let known = self.iter().filter(|picture| picture.known_to_worker());
        let known: Vec<ImageId> = known.map(|picture| picture.id).collect();
        for id in known {
            self.change(id, |picture| {
                picture.state = PictureState::Waiting;
                picture.heat = None;
            });
        }
    }

    /// Cancels those that wait.
    pub fn cancel_waiting(&mut self) {
        let waiting = self.lists.waiting.iter().flatten().copied();
        let waiting: Vec<ImageId> = waiting.collect();
        self.change_all(waiting, &PictureState::Cancelled);
    }

    /// Cancels those that wait, and those that are with the worker.
    pub fn cancel_pending(&mut self) {
        self.cancel_waiting();
        let in_flight = self.lists.in_flight.clone();
        self.change_all(in_flight, &PictureState::Cancelled);
    }

    /// The worker has dropped these before it came to them.
    pub fn dropped(&mut self, ids: Vec<ImageId>) {
        for id in ids {
            self.change(id, |picture| {
                if picture.pending() {
                    picture.state = PictureState::Cancelled;
                }
            });
        }
    }

    /// Takes up again what was cancelled.
    pub fn resume(&mut self) {
        let cancelled = std::mem::take(&mut self.lists.cancelled);
        self.change_all(cancelled, &PictureState::Waiting);
    }

    /// The question from now on: no answer so far is one to it.
    pub fn ask(&mut self, question: u32) {
        self.lists.question = question;
        self.lists.answered = 0;
    }

    /// An answer to the current question.
    pub fn answer(&mut self, id: ImageId, ranking: Ranking) {
        let question = self.lists.question;
        self.change(id, |picture| picture.answer = Some((question, ranking)));
    }

    /// How well the labels of the current question fit.
    pub fn fits(&mut self, id: ImageId, fit: f32) {
        let question = self.lists.question;
        self.change(id, |picture| picture.fit = Some((question, fit)));
    }

    /// How well the labels fit a picture, as far as it is known for the current question.
    pub fn fit_of(&self, picture: &Picture) -> Option<f32> {
        let (question, fit) = picture.fit?;
        (question == self.lists.question).then_some(fit)
    }

    /// Shows a label's heat map over a picture, or takes it away; returns whether it has to be
    /// asked for.
    pub fn toggle_heat(&mut self, id: ImageId, label: &str) -> bool {
        let mut asked = false;
        let question = self.lists.question;
        self.change(id, |picture| {
            let heat = picture.heat.as_ref();
            let shown = heat.is_some_and(|heat| heat.question == question && heat.label == label);
            asked = !shown && picture.state == PictureState::Encoded;
            picture.heat = asked.then(|| Heat {
                question,
                label: label.into(),
                state: HeatState::Asked,
            });
        });
        asked
    }

    /// The worker has answered for a heat map, unless another one is wanted by now.
    pub fn heat(&mut self, id: ImageId, label: &str, found: HeatState) {
        self.change(id, |picture| {
            if let Some(heat) = picture.heat.as_mut().filter(|heat| heat.label == label) {
                heat.state = found;
            }
        });
    }

    /// A picture's heat map, when it is one of the current question.
    pub fn heat_of<'a>(&self, picture: &'a Picture) -> Option<&'a Heat> {
        (picture.heat.as_ref()).filter(|heat| heat.question == self.lists.question)
    }

    /// Forgets all answers, and how well labels fit.
    pub fn forget_answers(&mut self) {
        let told = |picture: &&Picture| picture.answer.is_some() || picture.fit.is_some();
        let told: Vec<ImageId> = self.iter().filter(told).map(|picture| picture.id).collect();
        for id in told {
            self.change(id, |picture| {
                picture.answer = None;
                picture.fit = None;
            });
        }
    }

    /// The picture that the worker was at. It says when it begins with one; should it
    /// have died before that, it is the first it holds, unless there were prompts to
    /// encode (`prompts_first`): those come before pictures.
    pub fn at_work(&self, prompts_first: bool) -> Option<ImageId> {
        let find = |state: PictureState| {
            let mut in_flight = self.lists.in_flight.iter().copied();
            in_flight.find(|id| self.get(*id).is_some_and(|picture| picture.state == state))
        };
        find(PictureState::Encoding).or_else(|| find(PictureState::Sent).filter(|_| !prompts_first))
    }
}

impl Default for Pictures {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts how often a picture is looked at, for tests of how the work grows.
#[cfg(test)]
pub mod work {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub fn visit() {
        VISITS.set(VISITS.get() + 1);
    }

    /// Visits of this thread so far.
    pub fn visits() -> usize {
        VISITS.get()
    }
}

#[cfg(not(test))]
mod work {
    pub fn visit() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(count: usize) -> Pictures {
        let mut pictures = Pictures::new();
        pictures.add_batch((0..count).map(|n| format!("{n}.png")));
        pictures
    }

    #[test]
    fn the_latest_batch_is_shown_first() {
        let mut pictures = pictures(2);
        let version = pictures.version();
        assert_eq!(pictures.add_batch(["c".into(), "d".into()]), [3, 4]);
        assert_eq!(*pictures.shown(), [3, 4, 1, 2]);
        assert_ne!(pictures.version(), version);
    }

    #[test]
    fn removed_pictures_leave_the_order_and_their_numbers_do_not_come_back() {
        let mut pictures = pictures(3);
        pictures.add_batch(["d".into(), "e".into(), "f".into()]);
        for id in [5, 1, 6] {
            let removed = pictures.remove(id).map(|picture| picture.id);
            assert_eq!(removed, Some(id));
        }
        assert_eq!(pictures.remove(5), None);
        assert_eq!(*pictures.shown(), [4, 2, 3]);
        assert_eq!(pictures.pending(), 3);
        let cleared: Vec<ImageId> = pictures.clear().iter().map(|picture| picture.id).collect();
        assert_eq!(cleared, [2, 3, 4]);
        assert_eq!(pictures.pending(), 0);
        assert_eq!(pictures.add_batch(["g".into()]), [7]);
        assert_eq!(pictures.get(7).map(|p| p.name.as_str()), Some("g"));
        assert!(pictures.get(6).is_none());
    }

    #[test]
    fn removed_pictures_come_back_to_their_places() {
        let mut pictures = pictures(3);
        pictures.add_batch(["d".into(), "e".into(), "f".into()]);
        assert_eq!(pictures.send().len(), 2);
        let gone: Vec<Picture> = [5, 1]
            .into_iter()
            .flat_map(|id| pictures.remove(id))
            .collect();
        assert!(gone[1].known_to_worker());
        pictures.restore(gone.clone());
        pictures.restore(gone);
        assert_eq!(*pictures.shown(), [4, 5, 6, 1, 2, 3]);
        assert_eq!(
            pictures.get(1).map(|p| &p.state),
            Some(&PictureState::Waiting)
        );
        assert_eq!(pictures.pending(), 6);

        // All, while others were added.
        let all = pictures.clear();
        pictures.add_batch(["g".into()]);
        pictures.restore(all);
        assert_eq!(*pictures.shown(), [7, 4, 5, 6, 1, 2, 3]);
        assert_eq!(pictures.get(7).map(|p| p.name.as_str()), Some("g"));
        assert_eq!(pictures.add_batch(["h".into()]), [8]);
    }

    #[test]
    fn counts_follow_what_happens() {
        let mut pictures = pictures(4);
        pictures.ask(1);
        let sent: Vec<ImageId> = pictures.send().into_iter().map(|(id, _)| id).collect();
        assert_eq!(sent, [1, 2]);
        assert!(pictures.send().is_empty());
        pictures.fail(1, "bad".into(), true);
        assert_eq!(pictures.pending(), 3);
        pictures.cancel_waiting();
        assert_eq!((pictures.pending(), pictures.cancelled()), (1, 2));
        pictures.dropped(vec![2]);
        assert_eq!((pictures.pending(), pictures.cancelled()), (0, 3));
        pictures.retry(1);
        pictures.resume();
        assert_eq!((pictures.pending(), pictures.cancelled()), (4, 0));
        assert_eq!(pictures.at_work(false), None);
    }
}
