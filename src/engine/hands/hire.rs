//! The engine's side: as many workers as are of use.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Promise, Reflect, SharedArrayBuffer};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageEvent, WorkerOptions, WorkerType};

use super::{NUMBERS, ROOM, ROOM_OF_RESULTS, SharedWindow};
use crate::kernels::crew;
use crate::model::{ClipConfig, VisionConfig};

/// The script that loads a hand's WebAssembly.
const LOADER: &str = "hand-loader.js";

/// Beyond this the parts are too small.
const MOST_MEMBERS: usize = 8;
/// Longer than a hand takes to start.
const PATIENCE_MS: u32 = 10_000;

/// Starts as many hands as make `threads` with the engine itself; if that is not said,
/// as many as this machine and a model of this kind have use for. Without shared memory
/// none. Once in a worker, before the model is packed.
pub async fn hire(config: &ClipConfig, threads: Option<u32>) {
    let get = |object: &JsValue, key: &str| Reflect::get(object, &key.into()).unwrap_or_default();
    let global = js_sys::global();
    let members = match threads {
        Some(threads) => (threads as usize).clamp(1, MOST_MEMBERS),
        None if largest_matrix(config) < WORTH_IT => 1,
        None => {
            let cores = get(&get(&global, "navigator"), "hardwareConcurrency").as_f64();
            members(cores.map_or(1, |cores| cores as usize))
        }
    };
    if members > 1 && get(&global, "crossOriginIsolated").is_truthy() {
        let hands = members - 1;
        // Without them the engine does everything itself.
        if let Ok(window) = start(hands).await {
            crew::hire(Rc::new(window), hands);
        }
    }
}

/// Of many cores half are often another's second half, or slow ones that the
/// others would wait for.
fn members(cores: usize) -> usize {
    cores.min(4).max(cores / 2).min(MOST_MEMBERS)
}

/// A model of smaller matrices is through with one before a hand is awake.
const WORTH_IT: usize = 500_000;

/// Numbers in the largest matrix of a block.
fn largest_matrix(config: &ClipConfig) -> usize {
    let image = match &config.vision {
        VisionConfig::Vit(vision) => vision.width * vision.mlp_width,
        // The last stage's 3 x 3 convolutions.
        VisionConfig::ResNet(vision) => 9 * (8 * vision.width).pow(2),
    };
    image.max(config.text.width * config.text.mlp_width)
}

async fn start(hands: usize) -> Result<SharedWindow, JsValue> {
    let numbers = ROOM + hands as u32 * ROOM_OF_RESULTS;
    let buffer = SharedArrayBuffer::new(NUMBERS + 4 * numbers);
    let mut workers = Vec::new();
    for number in 0..hands {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = web_sys::Worker::new_with_options(LOADER, &options)?;
        worker.post_message(&Array::of3(
            &buffer,
            &(number as u32).into(),
            &(hands as u32).into(),
        ))?;
        workers.push(worker);
    }
    // The first thing that each says is that it is there, or why it is not.
    let answers: Array = (workers.iter())
        .map(|worker| {
            Promise::new(&mut |resolve: Function, reject: Function| {
                let heard = Closure::once_into_js(move |event: MessageEvent| {
                    let answered = match event.data().as_string() {
                        None => resolve.call0(&JsValue::NULL),
                        Some(error) => reject.call1(&JsValue::NULL, &error.into()),
                    };
                    // A promise's two functions do not throw.
                    let _ = answered;
                });
                worker.set_onmessage(heard.dyn_ref());
            })
        })
        .collect();
    let late = Promise::new(&mut |_, reject: Function| {
        wasm_bindgen_futures::spawn_local(async move {
            TimeoutFuture::new(PATIENCE_MS).await;
            let _ = reject.call0(&JsValue::NULL);
        });
    });
    let started = Promise::race(&Array::of2(&Promise::all(&answers), &late));
    let started = JsFuture::from(started).await;
    if started.is_err() {
        workers.iter().for_each(web_sys::Worker::terminate);
    }
    started.map(|_| SharedWindow::new(&buffer, hands))
}
