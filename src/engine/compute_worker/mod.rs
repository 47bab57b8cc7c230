//! Compute workers of [`crate::kernels::pool`] as Web Workers, and the memory that they
//! share with the engine, which browsers grant only to cross-origin isolated pages (two
//! headers, see the README).

#[cfg(feature = "worker")]
mod spawn;
#[cfg(feature = "worker")]
pub use spawn::{available_threads, spawn_workers};

use std::cell::Cell;

use js_sys::{Atomics, Float32Array, Int32Array, SharedArrayBuffer, Uint8Array};

use crate::kernels::pool::{ComputeWorker, SharedMemory};

/// Capacities of the input area and of each worker's output area, in f32. Memory that is
/// never written is not committed.
const INPUT_CAPACITY: u32 = 8 << 20;
const OUTPUT_CAPACITY: u32 = 4 << 20;

/// Offsets in the shared memory, in bytes.
const COMMAND: u32 = 64;
const DATA: u32 = 4096;

/// Indices of the atomics at the start of the memory: the command's sequence number, how
/// many workers have completed it, its length, and whether a worker has failed.
const SEQUENCE: u32 = 0;
const COMPLETED: u32 = 1;
const LENGTH: u32 = 2;
const FAILED: u32 = 3;

/// Executes commands until the worker is terminated.
pub fn work(buffer: SharedArrayBuffer, index: usize, workers: usize) {
    let memory = WasmSharedMemory::new(&buffer, workers);
    let mut worker = ComputeWorker::new(index, workers + 1);
    let mut seen = 0;
    loop {
        // Atomics throw only for an index out of bounds.
        let _ = Atomics::wait(&memory.signals, SEQUENCE, seen);
        let sequence = memory.load(SEQUENCE);
        if sequence == seen {
            continue;
        }
        seen = sequence;
        let mut command = vec![0; memory.load(LENGTH) as usize];
        (memory.command.subarray(0, command.len() as u32)).copy_to(&mut command);
        let done = match String::from_utf8(command) {
            Ok(command) => (worker.execute(&command, &memory)).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = done {
            memory.fail();
            wasm_bindgen::throw_str(&error);
        }
        let _ = Atomics::add(&memory.signals, COMPLETED, 1);
        let _ = Atomics::notify(&memory.signals, COMPLETED);
    }
}

/// Tells the coordinator that this worker has failed.
pub fn fail(buffer: SharedArrayBuffer) {
    WasmSharedMemory::new(&buffer, 0).fail();
}

struct WasmSharedMemory {
    workers: usize,
    signals: Int32Array,
    command: Uint8Array,
    numbers: Float32Array,
    /// Whether a command was broadcast that nobody has waited for.
    pending: Cell<bool>,
}

impl WasmSharedMemory {
    fn new(buffer: &SharedArrayBuffer, workers: usize) -> Self {
        Self {
            signals: Int32Array::new_with_byte_offset_and_length(buffer, 0, COMMAND / 4),
            command: Uint8Array::new_with_byte_offset_and_length(buffer, COMMAND, DATA - COMMAND),
            numbers: Float32Array::new_with_byte_offset(buffer, DATA),
            workers,
            pending: Cell::new(false),
        }
    }

    fn load(&self, signal: u32) -> i32 {
        // Throws only for an index out of bounds.
        Atomics::load(&self.signals, signal).unwrap_or_default()
    }

    fn store(&self, signal: u32, value: i32) {
        let _ = Atomics::store(&self.signals, signal, value);
    }

    fn fail(&self) {
        self.store(FAILED, 1);
        let _ = Atomics::notify(&self.signals, COMPLETED);
    }

    fn part(&self, offset: usize, numbers: usize) -> Float32Array {
        (self.numbers).subarray(offset as u32, (offset + numbers) as u32)
    }

    fn output_offset(worker: usize) -> usize {
        (INPUT_CAPACITY + worker as u32 * OUTPUT_CAPACITY) as usize
    }
}

impl SharedMemory for WasmSharedMemory {
    fn input_capacity(&self) -> usize {
        INPUT_CAPACITY as usize
    }

    fn write(&self, offset: usize, numbers: &[f32]) {
        self.part(offset, numbers.len()).copy_from(numbers);
    }

    fn read(&self, offset: usize, numbers: &mut [f32]) {
        self.part(offset, numbers.len()).copy_to(numbers);
    }

    fn output_capacity(&self) -> usize {
        OUTPUT_CAPACITY as usize
    }

    fn write_output(&self, worker: usize, numbers: &[f32]) {
        self.write(Self::output_offset(worker), numbers);
    }

    fn read_output(&self, worker: usize, numbers: &mut [f32]) {
        self.read(Self::output_offset(worker), numbers);
    }

    fn broadcast(&self, command: &str) {
        self.wait_all();
        let length = command.len() as u32;
        self.command
            .subarray(0, length)
            .copy_from(command.as_bytes());
        self.store(LENGTH, length as i32);
        self.store(COMPLETED, 0);
        self.store(SEQUENCE, self.load(SEQUENCE).wrapping_add(1));
        let _ = Atomics::notify(&self.signals, SEQUENCE);
        self.pending.set(true);
    }

    fn wait_all(&self) {
        if !self.pending.replace(false) {
            return;
        }
        loop {
            let done = self.load(COMPLETED);
            if self.load(FAILED) != 0 {
                // Its shards are lost: the page restarts the engine.
                panic!("a compute thread failed, possibly out of memory");
            }
            if done as usize == self.workers {
                return;
            }
            // Woken when a worker completes; the timeout covers a failure just before
            // this.
            let _ = Atomics::wait_with_timeout(&self.signals, COMPLETED, done, 1000.0);
        }
    }
}
