//! Worker pool for programs with a single thread: WebAssembly in a browser. Each compute
//! worker is a program with its own memory and holds a shard of every large matrix; the
//! coordinator, which runs the model, holds one, too. For each operation all threads get
//! the same command and the same input, each computes its part, and the coordinator
//! assembles the result. They communicate through [`SharedMemory`].

mod command;
mod compute_worker;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::conv::ConvGeometry;
use super::gemm::Epilogue;
use super::math;
use super::simd::{SimdF32, SimdJob, dispatch};
pub use command::Transport;
use command::{EpilogueDesc, PackedDtype, Partition, PoolCommand};
pub use compute_worker::ComputeWorker;

/// Memory shared by all threads, with their signals. Offsets count in f32.
pub trait SharedMemory {
    /// Capacity of the input area, which the coordinator writes.
    fn input_capacity(&self) -> usize;
    fn write(&self, place: usize, values: &[f32]);
    fn read(&self, place: usize, values: &mut [f32]);
    /// Capacity of a worker's output area.
    fn output_capacity(&self) -> usize;
    /// Writes a worker's output.
    fn write_output(&self, worker: usize, values: &[f32]);
    /// Reads a worker's output, in the coordinator.
    fn read_output(&self, worker: usize, values: &mut [f32]);
    /// Sends a command to all workers, once they have completed the last one.
    fn broadcast(&self, command: &str);
    /// Barrier: waits until all workers have completed the last command.
    fn wait_all(&self);
}

thread_local! {
    static POOL: RefCell<Option<WorkerPool>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct WorkerPool {
    memory: Rc<dyn SharedMemory>,
    workers: usize,
}

/// Installs a pool of `workers` workers behind `memory`.
pub fn install_pool(memory: Rc<dyn SharedMemory>, workers: usize) {
    POOL.set(Some(WorkerPool { memory, workers }));
}

/// Number of threads, the coordinator included.
pub fn threads() -> usize {
    POOL.with_borrow(|pool| pool.as_ref().map_or(1, |pool| pool.workers + 1))
}

/// Minimum multiply-accumulates of an operation that is shared.
const MIN_PARALLEL_MACS: usize = if cfg!(test) { 1 } else { 1 << 20 };

/// Matrix that is sharded among the pool. The workers drop their shards with the last
/// clone.
#[derive(Clone, Debug)]
pub struct ShardedMatrix(Arc<ShardInfo>);

#[derive(Debug)]
struct ShardInfo {
    id: u32,
    columns: usize,
    partition: Partition,
    /// Every thread has the whole matrix, and rows are partitioned.
    replicated: bool,
    int8: bool,
}

impl Drop for ShardInfo {
    fn drop(&mut self) {
        // Without a pool there are no shards to drop.
        if let Some(pool) = POOL.try_with(|pool| pool.borrow().clone()).ok().flatten() {
            pool.broadcast(&PoolCommand::DropShard { matrix: self.id });
        }
    }
}

/// Uploads a packed matrix `[depth, columns]` to the workers, if there is a pool, and
/// returns the coordinator's shard.
pub fn shard<T: Transport>(
    mut packed: Vec<T>,
    [depth, columns]: [usize; 2],
) -> (Vec<T>, Option<ShardedMatrix>) {
    static NEXT_ID: AtomicU32 = AtomicU32::new(0);
    let pool = POOL
        .with_borrow(Option::clone)
        .filter(|_| !packed.is_empty());
    let Some(pool) = pool else {
        return (packed, None);
    };
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let (partition, replicated) = (
        pool.partition(),
        command::is_replicated(depth * columns, T::DTYPE),
    );
    let part =
        |thread| Partition::packed_range(depth, &partition.columns_of(columns, replicated, thread));
    let receivers = if replicated { 1 } else { pool.workers };
    let parts: Vec<_> = (0..receivers)
        .map(|worker| T::to_words(&packed[part(worker)]))
        .collect();
    let longest = parts.iter().map(|part| part.len()).max().unwrap_or(0);
    let at_once = (pool.memory.input_capacity() / receivers).max(1);
    // A worker with an empty shard must know of it, too.
    for first in (0..longest.max(1)).step_by(at_once) {
        let words = first..longest.min(first + at_once);
        pool.memory.wait_all();
        for (worker, part) in parts.iter().enumerate() {
            let range = words.start.min(part.len())..words.end.min(part.len());
            pool.memory.write(worker * words.len(), &part[range]);
        }
        pool.broadcast(&PoolCommand::UploadShard {
            matrix: id,
            shape: [depth, columns],
            dtype: T::DTYPE,
            replicated,
            words,
        });
    }
    drop(parts);
    let matrix = ShardInfo {
        id,
        columns,
        partition,
        replicated,
        int8: T::DTYPE == PackedDtype::Int8,
    };
    if !replicated {
        packed = packed.split_off(part(partition.coordinator()).start);
    }
    (packed, Some(ShardedMatrix(Arc::new(matrix))))
}

impl WorkerPool {
    fn partition(&self) -> Partition {
        Partition(self.workers + 1)
    }

    fn broadcast(&self, command: &PoolCommand) {
        // Commands are plain numbers, which always serialise.
        let command = serde_json::to_string(command).unwrap_or_default();
        self.memory.broadcast(&command);
    }
}

/// Part that the coordinator computes: a range of rows, or of a convolution's output
/// rows, with its own columns.
pub struct LocalPart<'a> {
    pub units: Range<usize>,
    pub epilogue: Epilogue<'a>,
}

impl ShardedMatrix {
    /// Columns of the coordinator's shard.
    pub fn local_columns(&self) -> Range<usize> {
        let ShardInfo {
            columns,
            partition,
            replicated,
            ..
        } = *self.0;
        partition.columns_of(columns, replicated, partition.coordinator())
    }

    /// `x`, rows of length `depth`, times the matrix; `compute` computes the
    /// coordinator's part.
    pub fn linear(
        &self,
        x: &[f32],
        depth: usize,
        epilogue: &Epilogue,
        compute: impl Fn(LocalPart) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let columns = self.0.columns;
        let fit = |memory: &dyn SharedMemory| {
            let rows = memory.input_capacity().saturating_sub(2 * columns) / depth;
            rows.min(memory.output_capacity() / columns)
        };
        let command = |rows: Range<usize>| {
            let command = PoolCommand::Linear {
                matrix: self.0.id,
                shape: [rows.len(), depth],
                epilogue: EpilogueDesc::of(epilogue),
            };
            (&x[rows.start * depth..rows.end * depth], command)
        };
        self.run([x.len() / depth, 1, depth], epilogue, fit, command, compute)
    }

    /// Convolution of `picture`; `compute` computes the coordinator's part.
    pub fn conv(
        &self,
        picture: &[f32],
        geometry: ConvGeometry,
        epilogue: &Epilogue,
        compute: impl Fn(LocalPart) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let [height, across] = geometry.output_size();
        let (row_len, results) = (geometry.row_len(), across * self.0.columns);
        // Split by images, or by rows of one that is too large. In int8 an image has one
        // scale; those are small enough in every CLIP.
        let fit = |memory: &dyn SharedMemory| {
            let input_rows = memory.input_capacity().saturating_sub(2 * self.0.columns) / row_len;
            let max_rows = memory.output_capacity() / results;
            match (input_rows / geometry.height).min(max_rows / height) {
                0 if self.0.int8 => height,
                0 => (input_rows / geometry.stride)
                    .saturating_sub(geometry.kernel)
                    .min(max_rows),
                pictures => pictures * height,
            }
        };
        let command = |output_rows: Range<usize>| {
            let read = geometry.input_rows(&output_rows);
            let command = PoolCommand::Conv {
                matrix: self.0.id,
                geometry,
                output_rows,
                epilogue: EpilogueDesc::of(epilogue),
            };
            (&picture[read.start * row_len..read.end * row_len], command)
        };
        let output_rows = geometry.batch * height;
        self.run(
            [output_rows, across, geometry.depth()],
            epilogue,
            fit,
            command,
            compute,
        )
    }

    /// Runs `count` units of `unit` rows of length `depth`, as many at a time as `fit`
    /// the shared memory; `command` returns the input and the command for a range of
    /// units.
    fn run<'a>(
        &self,
        [count, unit, depth]: [usize; 3],
        epilogue: &Epilogue,
        fit: impl Fn(&dyn SharedMemory) -> usize,
        command: impl Fn(Range<usize>) -> (&'a [f32], PoolCommand),
        compute: impl Fn(LocalPart) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        let ShardInfo {
            columns,
            partition,
            replicated,
            ..
        } = *self.0;
        let work = count * unit * depth * columns;
        if replicated && (count < partition.0 || work < MIN_PARALLEL_MACS) {
            return Some(compute(LocalPart {
                units: 0..count,
                epilogue: *epilogue,
            }));
        }
        let pool = POOL.with_borrow(Option::clone)?;
        let memory = &*pool.memory;
        let mut out = vec![0.0; count * unit * columns];
        let mut part = Vec::new();
        let local_columns = self.local_columns();
        let at_once = fit(memory).max(1);
        for first in (0..count).step_by(at_once) {
            let units = first..count.min(first + at_once);
            let (values, command) = command(units.clone());
            memory.wait_all();
            memory.write(0, values);
            let mut place = values.len();
            for more in [epilogue.scale, epilogue.bias].into_iter().flatten() {
                memory.write(place, more);
                place += more.len();
            }
            pool.broadcast(&command);
            let tile = |thread| match replicated {
                true => {
                    let part = partition.range(units.len(), thread);
                    (units.start + part.start..units.start + part.end, 0..columns)
                }
                false => (units.clone(), partition.columns(columns, thread)),
            };
            let mut scatter = |(units, columns): (Range<usize>, Range<usize>), part: &[f32]| {
                dispatch(ScatterTile {
                    out: &mut out,
                    stride: self.0.columns,
                    first: units.start * unit,
                    columns,
                    part,
                    epilogue,
                })
            };
            let own = tile(partition.coordinator());
            let found = compute(LocalPart {
                units: own.0.clone(),
                epilogue: EpilogueDesc::of(epilogue).to_epilogue(
                    epilogue.scale.map(|scale| &scale[local_columns.clone()]),
                    epilogue.bias.map(|bias| &bias[local_columns.clone()]),
                ),
            });
            scatter(own, &found);
            memory.wait_all();
            for worker in 0..pool.workers {
                let tile = tile(worker);
                part.resize(tile.0.len() * unit * tile.1.len(), 0.0);
                memory.read_output(worker, &mut part);
                scatter(tile, &part);
            }
        }
        Some(out)
    }
}

/// Attention of `count` heads, `[count, length, head_dim]`, on all threads: `copy` appends
/// query, key and value of a head, `head` computes one, and `put` takes the result of each.
/// `false`, and nothing is computed, without a pool or if it is too little work.
pub fn attention(
    [count, length, head_dim]: [usize; 3],
    causal: bool,
    copy: impl Fn(usize, &mut Vec<f32>),
    head: impl Fn(usize) -> Vec<f32>,
    put: impl Fn(usize, &[f32]),
) -> bool {
    let size = length * head_dim;
    let work = 2 * count * length * size;
    let Some(pool) = POOL.with_borrow(Option::clone) else {
        return false;
    };
    let (memory, partition) = (&*pool.memory, pool.partition());
    let at_once = (memory.input_capacity() / (3 * size).max(1))
        .min(memory.output_capacity() / size.max(1) * partition.0);
    if work < MIN_PARALLEL_MACS || at_once < partition.0 {
        return false;
    }
    let (mut qkv, mut part) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(at_once) {
        let heads = first..count.min(first + at_once);
        let of = |thread| {
            let part = partition.range(heads.len(), thread);
            heads.start + part.start..heads.start + part.end
        };
        let own = of(partition.coordinator());
        qkv.clear();
        (heads.start..own.start).for_each(|index| copy(index, &mut qkv));
        memory.wait_all();
        memory.write(0, &qkv);
        pool.broadcast(&PoolCommand::Attention {
            shape: [heads.len(), length, head_dim],
            causal,
        });
        own.for_each(|index| put(index, &head(index)));
        memory.wait_all();
        for worker in 0..pool.workers {
            part.resize(of(worker).len() * size, 0.0);
            memory.read_output(worker, &mut part);
            let results = of(worker).zip(part.chunks_exact(size));
            results.for_each(|(index, values)| put(index, values));
        }
    }
    true
}

/// Copies a part into the output, and adds the residual.
struct ScatterTile<'a> {
    out: &'a mut [f32],
    stride: usize,
    /// First row of the part.
    first: usize,
    /// Columns of the part.
    columns: Range<usize>,
    part: &'a [f32],
    epilogue: &'a Epilogue<'a>,
}

impl SimdJob for ScatterTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        if self.columns.is_empty() {
            return;
        }
        for (i, values) in self.part.chunks_exact(self.columns.len()).enumerate() {
            let place = (self.first + i) * self.stride + self.columns.start;
            let to = &mut self.out[place..place + values.len()];
            match self.epilogue.residual {
                None => to.copy_from_slice(values),
                Some(residual) => {
                    let residual = &residual[place..place + values.len()];
                    let sums = values
                        .iter()
                        .zip(residual)
                        .map(|(value, residual)| value + residual);
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
                    math::activate(self.epilogue.activation, to);
                }
            }
        }
    }
}

/// Worker pool of this process's threads, for tests without a browser.
#[cfg(test)]
pub mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    const INPUT_CAPACITY: usize = 40_000;
    const OUTPUT_CAPACITY: usize = 20_000;

    struct Threads {
        workers: usize,
        values: Mutex<Vec<f32>>,
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct State {
        command: String,
        sequence: usize,
        /// Workers that have completed the last command.
        done: usize,
    }

    impl Threads {
        fn until(&self, ready: impl Fn(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
            // A timeout means that a worker has failed.
            let timeout = Duration::from_secs(60);
            let state = self.state.lock().unwrap();
            let waiting = |state: &mut State| !ready(state);
            let (state, waited) =
                (self.changed.wait_timeout_while(state, timeout, waiting)).unwrap();
            assert!(!waited.timed_out(), "somebody never finished");
            state
        }
    }

    impl SharedMemory for Arc<Threads> {
        fn input_capacity(&self) -> usize {
            INPUT_CAPACITY
        }
        fn write(&self, place: usize, values: &[f32]) {
            let all = &mut self.values.lock().unwrap()[..INPUT_CAPACITY];
            all[place..place + values.len()].copy_from_slice(values);
        }
        fn read(&self, place: usize, values: &mut [f32]) {
            let all = &self.values.lock().unwrap()[..INPUT_CAPACITY];
            values.copy_from_slice(&all[place..place + values.len()]);
        }
        fn output_capacity(&self) -> usize {
            OUTPUT_CAPACITY
        }
        fn write_output(&self, worker: usize, values: &[f32]) {
            let all = &mut self.values.lock().unwrap()[INPUT_CAPACITY + worker * OUTPUT_CAPACITY..]
                [..OUTPUT_CAPACITY];
            all[..values.len()].copy_from_slice(values);
        }
        fn read_output(&self, worker: usize, values: &mut [f32]) {
            let all = &self.values.lock().unwrap()[INPUT_CAPACITY + worker * OUTPUT_CAPACITY..]
                [..OUTPUT_CAPACITY];
            values.copy_from_slice(&all[..values.len()]);
        }
        fn broadcast(&self, command: &str) {
            let mut state = self.until(|state| state.sequence == 0 || state.done == self.workers);
            (state.command, state.done) = (command.into(), 0);
            state.sequence += 1;
            self.changed.notify_all();
        }
        fn wait_all(&self) {
            drop(self.until(|state| state.sequence == 0 || state.done == self.workers));
        }
    }

    /// Runs `work` with a pool of `workers` workers.
    pub fn with_workers(workers: usize, work: impl FnOnce()) {
        let memory = Arc::new(Threads {
            workers,
            values: Mutex::new(vec![0.0; INPUT_CAPACITY + workers * OUTPUT_CAPACITY]),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        std::thread::scope(|scope| {
            for id in 0..workers {
                let memory = memory.clone();
                scope.spawn(move || {
                    let mut worker = ComputeWorker::new(id, workers + 1);
                    for seen in 1.. {
                        let command = memory.until(|state| state.sequence >= seen).command.clone();
                        if command.is_empty() {
                            break;
                        }
                        worker.execute(&command, &memory).unwrap();
                        memory.state.lock().unwrap().done += 1;
                        memory.changed.notify_all();
                    }
                });
            }
            install_pool(Rc::new(memory.clone()), workers);
            let worked = catch_unwind(AssertUnwindSafe(work));
            POOL.take();
            memory.broadcast("");
            worked.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
}
