//! Spawns compute workers from the engine.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Promise, Reflect, SharedArrayBuffer};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageEvent, WorkerOptions, WorkerType};

use super::{DATA, INPUT_CAPACITY, OUTPUT_CAPACITY, WasmSharedMemory};
use crate::kernels::pool;
use crate::model::{ClipConfig, FastVitConfig, VisionConfig};

/// Script that loads a worker's WebAssembly.
const LOADER: &str = "compute-worker-loader.js";

/// Beyond this the parts are too small.
const MAX_THREADS: usize = 8;
/// Timeout for the workers to start.
const STARTUP_TIMEOUT_MS: u32 = 10_000;

/// Spawns workers for `threads` threads, the engine included; by default as many as suit
/// the machine and the model. None without shared memory. Call once per engine, before
/// the model is packed.
pub async fn spawn_workers(config: &ClipConfig, threads: Option<u32>) {
    let threads = match threads {
        Some(threads) => (threads as usize).clamp(1, MAX_THREADS),
        None if largest_matrix(config) < MIN_MATRIX_FOR_POOL => 1,
        None => default_threads(),
    };
    if threads > 1 && shares_memory() {
        let workers = threads - 1;
        // Without workers the engine computes everything itself.
        if let Ok(memory) = start(workers).await {
            pool::install_pool(Rc::new(memory), workers);
        }
    }
}

/// Threads that a large model has on the CPU of this machine.
pub fn available_threads() -> usize {
    match shares_memory() {
        true => default_threads(),
        false => 1,
    }
}

fn shares_memory() -> bool {
    get(&js_sys::global(), "crossOriginIsolated").is_truthy()
}

/// Above four logical cores, half are usually SMT siblings or efficiency cores.
fn default_threads() -> usize {
    let cores = get(&get(&js_sys::global(), "navigator"), "hardwareConcurrency").as_f64();
    let cores = cores.map_or(1, |cores| cores as usize);
    cores.min(4).max(cores / 2).min(MAX_THREADS)
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or_default()
}

/// A smaller matrix is multiplied before a worker wakes up.
const MIN_MATRIX_FOR_POOL: usize = 500_000;

/// Elements of the largest matrix in a block.
fn largest_matrix(config: &ClipConfig) -> usize {
    let image = match &config.vision {
        VisionConfig::Vit(vision) => vision.width * vision.mlp_width,
        // The last stage's 3 x 3 convolutions.
        VisionConfig::ResNet(vision) => 9 * (8 * vision.width).pow(2),
        VisionConfig::FastVit(vision) => {
            FastVitConfig::MLP_RATIO * vision.channels(FastVitConfig::STAGES - 1).pow(2)
        }
    };
    image.max(config.text.width * config.text.mlp_width)
}

async fn start(count: usize) -> Result<WasmSharedMemory, JsValue> {
    let numbers = INPUT_CAPACITY + count as u32 * OUTPUT_CAPACITY;
    let buffer = SharedArrayBuffer::new(DATA + 4 * numbers);
    let mut workers = Vec::new();
    for index in 0..count {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = web_sys::Worker::new_with_options(LOADER, &options)?;
        worker.post_message(&Array::of3(
            &buffer,
            &(index as u32).into(),
            &(count as u32).into(),
        ))?;
        workers.push(worker);
    }
    // A worker's first message says that it has started, or why not.
    let replies: Array = (workers.iter())
        .map(|worker| {
            Promise::new(&mut |resolve: Function, reject: Function| {
                let on_message = Closure::once_into_js(move |event: MessageEvent| {
                    let settled = match event.data().as_string() {
                        None => resolve.call0(&JsValue::NULL),
                        Some(error) => reject.call1(&JsValue::NULL, &error.into()),
                    };
                    // A promise's two functions do not throw.
                    let _ = settled;
                });
                worker.set_onmessage(on_message.dyn_ref());
            })
        })
        .collect();
    let timeout = Promise::new(&mut |_, reject: Function| {
        wasm_bindgen_futures::spawn_local(async move {
            TimeoutFuture::new(STARTUP_TIMEOUT_MS).await;
            let _ = reject.call0(&JsValue::NULL);
        });
    });
    let started = Promise::race(&Array::of2(&Promise::all(&replies), &timeout));
    let started = JsFuture::from(started).await;
    if started.is_err() {
        workers.iter().for_each(web_sys::Worker::terminate);
    }
    started.map(|_| WasmSharedMemory::new(&buffer, count))
}
