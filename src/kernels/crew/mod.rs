//! Several threads where a program has only one: in a browser. Every hand is a
//! worker with a program and a memory of its own, that keeps a share of each large
//! matrix; the boss, which is the program that runs the model, keeps one, too. For
//! a product all get the same order and the same numbers, each computes its share,
//! and the boss puts the results together. They meet in a [`Window`].

mod hand;
mod order;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::conv::Places;
use super::gemm::Finish;
use super::math;
use super::simd::{Lanes, Work, dispatch};
pub use hand::Hand;
pub use order::Word;
use order::{Kind, Members, Order};

/// Memory that all members see, and their signals. Places count in f32.
pub trait Window {
    /// How many numbers the boss can lay out for all.
    fn room(&self) -> usize;
    fn write(&self, place: usize, numbers: &[f32]);
    fn read(&self, place: usize, numbers: &mut [f32]);
    /// How many numbers each hand has room for,
    fn room_of_results(&self) -> usize;
    /// to lay out what it found,
    fn write_result(&self, hand: usize, numbers: &[f32]);
    /// for the boss.
    fn read_result(&self, hand: usize, numbers: &mut [f32]);
    /// Gives all hands an order, once they have done the last one.
    fn give(&self, order: &str);
    /// Waits until all hands have done what they were told.
    fn wait(&self);
}

thread_local! {
    static CREW: RefCell<Option<Crew>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct Crew {
    window: Rc<dyn Window>,
    hands: usize,
}

/// From now on `hands` hands work at the other side of `window`.
pub fn hire(window: Rc<dyn Window>, hands: usize) {
    CREW.set(Some(Crew { window, hands }));
}

/// Boss and hands together.
pub fn members() -> usize {
    CREW.with_borrow(|crew| crew.as_ref().map_or(1, |crew| crew.hands + 1))
}

/// Work of fewer multiplications is done before it is handed out.
const WORTH_IT: usize = if cfg!(test) { 1 } else { 1 << 20 };

/// A matrix of which every member of the crew has its part. The hands let go of
/// theirs when the last of these is gone.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Matrix>);

#[derive(Debug)]
struct Matrix {
    number: u32,
    columns: usize,
    members: Members,
    /// Everybody has all of it: rows are shared then.
    whole: bool,
    int8: bool,
}

impl Drop for Matrix {
    fn drop(&mut self) {
        // Where there is no crew any more there is nothing to let go of.
        if let Some(crew) = CREW.try_with(|crew| crew.borrow().clone()).ok().flatten() {
            crew.give(&Order::Forget {
                matrix: self.number,
            });
        }
    }
}

/// Gives every hand its part of a packed matrix `[depth, columns]`, if there are hands,
/// and leaves the boss's.
pub fn share<T: Word>(
    mut packed: Vec<T>,
    [depth, columns]: [usize; 2],
) -> (Vec<T>, Option<Shares>) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let crew = CREW
        .with_borrow(Option::clone)
        .filter(|_| !packed.is_empty());
    let Some(crew) = crew else {
        return (packed, None);
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let (members, whole) = (crew.members(), order::is_whole(depth * columns, T::KIND));
    let part = |member| Members::numbers(depth, &members.keeps(columns, whole, member));
    let receivers = if whole { 1 } else { crew.hands };
    let parts: Vec<_> = (0..receivers)
        .map(|hand| T::to_words(&packed[part(hand)]))
        .collect();
    let most = parts.iter().map(|part| part.len()).max().unwrap_or(0);
    let at_once = (crew.window.room() / receivers).max(1);
    // Even hands that get nothing are to know of it.
    for first in (0..most.max(1)).step_by(at_once) {
        let words = first..most.min(first + at_once);
        crew.window.wait();
        for (hand, part) in parts.iter().enumerate() {
            let here = words.start.min(part.len())..words.end.min(part.len());
            crew.window.write(hand * words.len(), &part[here]);
        }
        crew.give(&Order::Keep {
            matrix: number,
            shape: [depth, columns],
            kind: T::KIND,
            whole,
            words,
        });
    }
    drop(parts);
    let matrix = Matrix {
        number,
        columns,
        members,
        whole,
        int8: T::KIND == Kind::Int8,
    };
    if !whole {
        packed = packed.split_off(part(members.boss()).start);
    }
    (packed, Some(Shares(Arc::new(matrix))))
}

impl Crew {
    fn members(&self) -> Members {
        Members(self.hands + 1)
    }

    fn give(&self, order: &Order) {
        // Orders are plain numbers, which can always be written down.
        let order = serde_json::to_string(order).unwrap_or_default();
        self.window.give(&order);
    }
}

/// What the boss is to compute itself: some rows, or lines of a convolution's result,
/// with the columns that it has.
pub struct Mine<'a> {
    pub units: Range<usize>,
    pub finish: Finish<'a>,
}

impl Shares {
    /// The columns that the boss has.
    pub fn mine(&self) -> Range<usize> {
        let Matrix {
            columns,
            members,
            whole,
            ..
        } = *self.0;
        members.keeps(columns, whole, members.boss())
    }

    /// `x`, rows of `depth` numbers, times the matrix; `here` computes the boss's part.
    pub fn linear(
        &self,
        x: &[f32],
        depth: usize,
        finish: &Finish,
        here: impl Fn(Mine) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let columns = self.0.columns;
        let fit = |window: &dyn Window| {
            let rows = window.room().saturating_sub(2 * columns) / depth;
            rows.min(window.room_of_results() / columns)
        };
        let order = |rows: Range<usize>| {
            let order = Order::Linear {
                matrix: self.0.number,
                shape: [rows.len(), depth],
                then: order::Then::of(finish),
            };
            (&x[rows.start * depth..rows.end * depth], order)
        };
        self.product([x.len() / depth, 1, depth], finish, fit, order, here)
    }

    /// A convolution over `picture`; `here` computes the boss's part.
    pub fn conv(
        &self,
        picture: &[f32],
        places: Places,
        finish: &Finish,
        here: impl Fn(Mine) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let [height, across] = places.size();
        let (line, results) = (places.line(), across * self.0.columns);
        // By pictures, or by the lines of one where it is too large. In 8 bits a
        // picture has one scale, and is small enough in every CLIP.
        let fit = |window: &dyn Window| {
            let lines = window.room().saturating_sub(2 * self.0.columns) / line;
            let most = window.room_of_results() / results;
            match (lines / places.height).min(most / height) {
                0 if self.0.int8 => height,
                0 => (lines / places.stride)
                    .saturating_sub(places.kernel)
                    .min(most),
                pictures => pictures * height,
            }
        };
        let order = |lines: Range<usize>| {
            let read = places.reads(&lines);
            let order = Order::Conv {
                matrix: self.0.number,
                places,
                lines,
                then: order::Then::of(finish),
            };
            (&picture[read.start * line..read.end * line], order)
        };
        let lines = places.batch * height;
        self.product([lines, across, places.depth()], finish, fit, order, here)
    }

    /// A product of `count` times `unit` rows of `depth` numbers. As many units go
    /// together as `fit` the window; `order` says what to lay out for some of them,
    /// and what to tell the hands.
    fn product<'a>(
        &self,
        [count, unit, depth]: [usize; 3],
        finish: &Finish,
        fit: impl Fn(&dyn Window) -> usize,
        order: impl Fn(Range<usize>) -> (&'a [f32], Order),
        here: impl Fn(Mine) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let Matrix {
            columns,
            members,
            whole,
            ..
        } = *self.0;
        let work = count * unit * depth * columns;
        if whole && (count < members.0 || work < WORTH_IT) {
            return Some(here(Mine {
                units: 0..count,
                finish: *finish,
            }));
        }
        let crew = CREW.with_borrow(Option::clone)?;
        let window = &*crew.window;
        let mut out = vec![0.0; count * unit * columns];
        let mut part = Vec::new();
        let mine = self.mine();
        let at_once = fit(window).max(1);
        for first in (0..count).step_by(at_once) {
            let units = first..count.min(first + at_once);
            let (numbers, order) = order(units.clone());
            window.wait();
            window.write(0, numbers);
            let mut place = numbers.len();
            for more in [finish.scale, finish.bias].into_iter().flatten() {
                window.write(place, more);
                place += more.len();
            }
            crew.give(&order);
            let share = |member| match whole {
                true => {
                    let part = members.part(units.len(), member);
                    (units.start + part.start..units.start + part.end, 0..columns)
                }
                false => (units.clone(), members.columns(columns, member)),
            };
            let mut lay = |(units, columns): (Range<usize>, Range<usize>), part: &[f32]| {
                dispatch(Lay {
                    out: &mut out,
                    stride: self.0.columns,
                    first: units.start * unit,
                    columns,
                    part,
                    finish,
                })
            };
            let own = share(members.boss());
            let found = here(Mine {
                units: own.0.clone(),
                finish: order::Then::of(finish).finish(
                    finish.scale.map(|scale| &scale[mine.clone()]),
                    finish.bias.map(|bias| &bias[mine.clone()]),
                ),
            });
            lay(own, &found);
            window.wait();
            for hand in 0..crew.hands {
                let share = share(hand);
                part.resize(share.0.len() * unit * share.1.len(), 0.0);
                window.read_result(hand, &mut part);
                lay(share, &part);
            }
        }
        Some(out)
    }
}

/// A part of a product into its place, with what is to be added to it.
struct Lay<'a> {
    out: &'a mut [f32],
    stride: usize,
    /// Where the part begins: its row,
    first: usize,
    /// and its columns.
    columns: Range<usize>,
    part: &'a [f32],
    finish: &'a Finish<'a>,
}

impl Work for Lay<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        if self.columns.is_empty() {
            return;
        }
        for (i, values) in self.part.chunks_exact(self.columns.len()).enumerate() {
            let place = (self.first + i) * self.stride + self.columns.start;
            let to = &mut self.out[place..place + values.len()];
            match self.finish.add {
                None => to.copy_from_slice(values),
                Some(add) => {
                    let add = &add[place..place + values.len()];
                    let sums = values.iter().zip(add).map(|(value, add)| value + add);
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
                    math::bend(self.finish.curve, to);
                }
            }
        }
    }
}

/// A crew of this process's threads, to be tried without a browser.
#[cfg(test)]
pub mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    const ROOM: usize = 40_000;
    const RESULTS: usize = 20_000;

    struct Threads {
        hands: usize,
        numbers: Mutex<Vec<f32>>,
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct State {
        order: String,
        given: usize,
        /// By how many hands the last order was done.
        done: usize,
    }

    impl Threads {
        fn until(&self, ready: impl Fn(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
            // Longer than anything takes: whoever is waited for has failed.
            let patience = Duration::from_secs(60);
            let state = self.state.lock().unwrap();
            let waiting = |state: &mut State| !ready(state);
            let (state, waited) =
                (self.changed.wait_timeout_while(state, patience, waiting)).unwrap();
            assert!(!waited.timed_out(), "somebody never finished");
            state
        }
    }

    impl Window for Arc<Threads> {
        fn room(&self) -> usize {
            ROOM
        }
        fn write(&self, place: usize, numbers: &[f32]) {
            let all = &mut self.numbers.lock().unwrap()[..ROOM];
            all[place..place + numbers.len()].copy_from_slice(numbers);
        }
        fn read(&self, place: usize, numbers: &mut [f32]) {
            let all = &self.numbers.lock().unwrap()[..ROOM];
            numbers.copy_from_slice(&all[place..place + numbers.len()]);
        }
        fn room_of_results(&self) -> usize {
            RESULTS
        }
        fn write_result(&self, hand: usize, numbers: &[f32]) {
            let all = &mut self.numbers.lock().unwrap()[ROOM + hand * RESULTS..][..RESULTS];
            all[..numbers.len()].copy_from_slice(numbers);
        }
        fn read_result(&self, hand: usize, numbers: &mut [f32]) {
            let all = &self.numbers.lock().unwrap()[ROOM + hand * RESULTS..][..RESULTS];
            numbers.copy_from_slice(&all[..numbers.len()]);
        }
        fn give(&self, order: &str) {
            let mut state = self.until(|state| state.given == 0 || state.done == self.hands);
            (state.order, state.done) = (order.into(), 0);
            state.given += 1;
            self.changed.notify_all();
        }
        fn wait(&self) {
            drop(self.until(|state| state.given == 0 || state.done == self.hands));
        }
    }

    /// Runs `work` with `hands` hands at its side.
    pub fn with_hands(hands: usize, work: impl FnOnce()) {
        let window = Arc::new(Threads {
            hands,
            numbers: Mutex::new(vec![0.0; ROOM + hands * RESULTS]),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        std::thread::scope(|scope| {
            for number in 0..hands {
                let window = window.clone();
                scope.spawn(move || {
                    let mut hand = Hand::new(number, hands + 1);
                    for seen in 1.. {
                        let order = window.until(|state| state.given >= seen).order.clone();
                        if order.is_empty() {
                            break;
                        }
                        hand.obey(&order, &window).unwrap();
                        window.state.lock().unwrap().done += 1;
                        window.changed.notify_all();
                    }
                });
            }
            hire(Rc::new(window.clone()), hands);
            let worked = catch_unwind(AssertUnwindSafe(work));
            CREW.take();
            window.give("");
            worked.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
}
