//! The hands of [`crate::kernels::crew`] as workers of a browser, and what they and
//! the engine share: memory, which browsers lend only to pages that are isolated from
//! other origins (two headers, see the README).

#[cfg(feature = "worker")]
mod hire;
#[cfg(feature = "worker")]
pub use hire::hire;

use std::cell::Cell;

use js_sys::{Atomics, Float32Array, Int32Array, SharedArrayBuffer, Uint8Array};

use crate::kernels::crew::{Hand, Window};

/// Numbers that the boss can lay out, and those that a hand can. Memory that is
/// never written takes no room.
const ROOM: u32 = 8 << 20;
const ROOM_OF_RESULTS: u32 = 4 << 20;

/// Where things lie in the shared memory, in bytes.
const ORDER: u32 = 64;
const NUMBERS: u32 = 4096;

/// Signals, each a whole number at the memory's beginning: how many orders were
/// given, how many hands have done the last one, how long it is, and whether a hand
/// has failed.
const GIVEN: u32 = 0;
const DONE: u32 = 1;
const LENGTH: u32 = 2;
const FAILED: u32 = 3;

/// Works until the worker is ended.
pub fn work(buffer: SharedArrayBuffer, number: usize, hands: usize) {
    let window = SharedWindow::new(&buffer, hands);
    let mut hand = Hand::new(number, hands + 1);
    let mut seen = 0;
    loop {
        // Only an index outside the memory makes any of these throw.
        let _ = Atomics::wait(&window.signals, GIVEN, seen);
        let given = window.load(GIVEN);
        if given == seen {
            continue;
        }
        seen = given;
        let mut order = vec![0; window.load(LENGTH) as usize];
        (window.order.subarray(0, order.len() as u32)).copy_to(&mut order);
        let done = match String::from_utf8(order) {
            Ok(order) => hand.obey(&order, &window),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = done {
            window.fail();
            wasm_bindgen::throw_str(&error);
        }
        let _ = Atomics::add(&window.signals, DONE, 1);
        let _ = Atomics::notify(&window.signals, DONE);
    }
}

/// Tells the boss that this hand can do no more.
pub fn fail(buffer: SharedArrayBuffer) {
    SharedWindow::new(&buffer, 0).fail();
}

struct SharedWindow {
    hands: usize,
    signals: Int32Array,
    order: Uint8Array,
    numbers: Float32Array,
    /// Whether an order was given that nobody has waited for.
    waiting: Cell<bool>,
}

impl SharedWindow {
    fn new(buffer: &SharedArrayBuffer, hands: usize) -> Self {
        Self {
            signals: Int32Array::new_with_byte_offset_and_length(buffer, 0, ORDER / 4),
            order: Uint8Array::new_with_byte_offset_and_length(buffer, ORDER, NUMBERS - ORDER),
            numbers: Float32Array::new_with_byte_offset(buffer, NUMBERS),
            hands,
            waiting: Cell::new(false),
        }
    }

    fn load(&self, signal: u32) -> i32 {
        // Only an index outside the memory makes it throw.
        Atomics::load(&self.signals, signal).unwrap_or_default()
    }

    fn store(&self, signal: u32, value: i32) {
        let _ = Atomics::store(&self.signals, signal, value);
    }

    fn fail(&self) {
        self.store(FAILED, 1);
        let _ = Atomics::notify(&self.signals, DONE);
    }

    fn part(&self, place: usize, numbers: usize) -> Float32Array {
        (self.numbers).subarray(place as u32, (place + numbers) as u32)
    }

    fn result(hand: usize) -> usize {
        (ROOM + hand as u32 * ROOM_OF_RESULTS) as usize
    }
}

impl Window for SharedWindow {
    fn room(&self) -> usize {
        ROOM as usize
    }

    fn write(&self, place: usize, numbers: &[f32]) {
        self.part(place, numbers.len()).copy_from(numbers);
    }

    fn read(&self, place: usize, numbers: &mut [f32]) {
        self.part(place, numbers.len()).copy_to(numbers);
    }

    fn room_of_results(&self) -> usize {
        ROOM_OF_RESULTS as usize
    }

    fn write_result(&self, hand: usize, numbers: &[f32]) {
        self.write(Self::result(hand), numbers);
    }

    fn read_result(&self, hand: usize, numbers: &mut [f32]) {
        self.read(Self::result(hand), numbers);
    }

    fn give(&self, order: &str) {
        self.wait();
        let length = order.len() as u32;
        self.order.subarray(0, length).copy_from(order.as_bytes());
        self.store(LENGTH, length as i32);
        self.store(DONE, 0);
        self.store(GIVEN, self.load(GIVEN).wrapping_add(1));
        let _ = Atomics::notify(&self.signals, GIVEN);
        self.waiting.set(true);
    }

    fn wait(&self) {
        if !self.waiting.replace(false) {
            return;
        }
        loop {
            let done = self.load(DONE);
            if self.load(FAILED) != 0 {
                // Its share of the weights is gone: the page starts the engine anew.
                panic!("a compute thread failed, possibly out of memory");
            }
            if done as usize == self.hands {
                return;
            }
            // Wakes up when one is done, or has failed a moment before this.
            let _ = Atomics::wait_with_timeout(&self.signals, DONE, done, 1000.0);
        }
    }
}
