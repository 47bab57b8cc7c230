//! Decoders in workers of their own, so that the engine encodes while they decode.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Float32Array, Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ErrorEvent, File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::{Prepared, Unusable};
use crate::preprocess::PreprocessConfig;

/// Script that loads a decoder's WebAssembly.
const LOADER: &str = "decoder-loader.js";
/// More of them would take more memory than they save time.
const MAX_DECODERS: usize = 4;
/// Files that a decoder has at once: the next one is there when one is done.
const AT_ONCE: usize = 2;
/// Files from this size on, in bytes, are decoded one at a time: 50 megapixels take 150 MB.
const LARGE_FILE: f64 = 8e6;
/// A decoder with more memory than this, in bytes, is replaced: WebAssembly gives none back.
const MAX_MEMORY: f64 = 192e6;
/// Time in which a decoder starts, in milliseconds.
const STARTUP_TIMEOUT_MS: f64 = 10_000.0;

/// File that a decoder is done with; `T` is what it was sent with.
pub struct DecodedFile<T> {
    /// What it was sent with.
    pub tag: T,
    /// The image, or why there is none.
    pub image: Result<Prepared, Unusable>,
}

/// Several decoders. They end when it is dropped.
pub struct DecoderPool<T: 'static> {
    state: Rc<RefCell<State<T>>>,
    config: JsValue,
    now: fn() -> f64,
    created_ms: f64,
}

struct State<T> {
    decoders: Vec<Decoder<T>>,
    done: Vec<DecodedFile<T>>,
    /// Whether one has started, and whether one could not.
    started: bool,
    failed: bool,
    /// Resolver of [`DecoderPool::wait`].
    wake: Option<Function>,
}

struct Decoder<T> {
    worker: Worker,
    /// The first is being decoded.
    files: VecDeque<(T, File)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

impl<T> Drop for Decoder<T> {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl<T: 'static> DecoderPool<T> {
    /// As many as the machine has cores; none if it has one, or if they cannot be started.
    /// `now` is in milliseconds.
    pub fn start(config: &PreprocessConfig, now: fn() -> f64) -> Option<Self> {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
        let cores = Reflect::get(&navigator, &"hardwareConcurrency".into()).ok()?;
        let count = (cores.as_f64().unwrap_or(1.0) as usize).min(MAX_DECODERS);
        if count < 2 {
            return None;
        }
        let pool = Self {
            state: Rc::new(RefCell::new(State {
                decoders: Vec::new(),
                done: Vec::new(),
                started: false,
                failed: false,
                wake: None,
            })),
            config: serde_wasm_bindgen::to_value(config).ok()?,
            now,
            created_ms: now(),
        };
        for number in 0..count {
            let decoder = spawn(&pool.state, &pool.config, number).ok()?;
            pool.state.borrow_mut().decoders.push(decoder);
        }
        Some(pool)
    }

    /// Whether a file of this size can be sent now.
    pub fn has_room_for(&self, file: &File) -> bool {
        let state = self.state.borrow();
        let all = || state.decoders.iter().flat_map(|decoder| &decoder.files);
        let large = |file: &File| file.size() > LARGE_FILE;
        let room = state.decoders.len() * AT_ONCE;
        all().count() + state.done.len() < room && !(large(file) && all().any(|(_, f)| large(f)))
    }

    /// Sends a file to the decoder with the fewest.
    pub fn send(&self, tag: T, file: File) {
        let mut state = self.state.borrow_mut();
        let fewest = (state.decoders.iter_mut()).min_by_key(|decoder| decoder.files.len());
        if let Some(decoder) = fewest {
            decoder.files.push_back((tag, file));
            let sent = (decoder.files.back())
                .is_some_and(|(_, file)| post(&decoder.worker, file, &self.config).is_ok());
            state.failed |= !sent;
        }
    }

    /// Waits until a file is done, but not for longer than `milliseconds`.
    pub async fn wait(&self, milliseconds: u32) {
        if !self.state.borrow().done.is_empty() {
            return;
        }
        let done = Promise::new(&mut |resolve, _| self.state.borrow_mut().wake = Some(resolve));
        let timeout = Promise::new(&mut |resolve: Function, _| {
            wasm_bindgen_futures::spawn_local(async move {
                TimeoutFuture::new(milliseconds).await;
                // A promise's resolver does not throw.
                let _ = resolve.call0(&JsValue::NULL);
            });
        });
        // Neither is rejected.
        let _ = JsFuture::from(Promise::race(&Array::of2(&done, &timeout))).await;
    }

    /// Up to `most` files that are done.
    pub fn take(&self, most: usize) -> Vec<DecodedFile<T>> {
        let done = &mut self.state.borrow_mut().done;
        let count = most.min(done.len());
        done.drain(..count).collect()
    }

    /// Whether the decoders are of no use: their program could not be loaded.
    pub fn is_broken(&self) -> bool {
        let state = self.state.borrow();
        state.failed || (!state.started && (self.now)() - self.created_ms > STARTUP_TIMEOUT_MS)
    }

    /// Ends the decoders. Returns what was not [taken](Self::take).
    pub fn end(self) -> Vec<T> {
        let mut state = self.state.borrow_mut();
        let done = std::mem::take(&mut state.done)
            .into_iter()
            .map(|done| done.tag);
        let decoders = std::mem::take(&mut state.decoders).into_iter();
        let files = decoders.flat_map(|mut decoder| std::mem::take(&mut decoder.files));
        done.chain(files.map(|(tag, _)| tag)).collect()
    }
}

fn post(worker: &Worker, file: &File, config: &JsValue) -> Result<(), JsValue> {
    worker.post_message(&Array::of2(file, config))
}

/// Starts the decoder of a number.
fn spawn<T: 'static>(
    state: &Rc<RefCell<State<T>>>,
    config: &JsValue,
    number: usize,
) -> Result<Decoder<T>, JsValue> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(LOADER, &options)?;
    let hear = |heard: fn(JsValue) -> Heard| {
        let (state, config) = (Rc::downgrade(state), config.clone());
        move |data: JsValue| {
            if let Some(state) = state.upgrade() {
                on_reply(&state, &config, number, heard(data));
            }
        }
    };
    let on_message = hear(Heard::read);
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        on_message(event.data());
    });
    let on_error = hear(|_| Heard::Crashed);
    let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
        event.prevent_default();
        on_error(JsValue::NULL);
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    Ok(Decoder {
        worker,
        files: VecDeque::new(),
        _on_message: on_message,
        _on_error: on_error,
    })
}

/// What a decoder says.
enum Heard {
    Started,
    NotStarted,
    Done(Result<Prepared, Unusable>, f64),
    Crashed,
}

impl Heard {
    fn read(data: JsValue) -> Self {
        let reply = match data.dyn_into::<Array>() {
            Ok(reply) => reply,
            // The first message: nothing, or why its program could not be loaded.
            Err(first) if first.is_null() => return Self::Started,
            Err(_) => return Self::NotStarted,
        };
        let memory = reply.pop().as_f64().unwrap_or_default();
        let number = |place: u32| reply.get(place).as_f64().unwrap_or_default() as u32;
        let image = match reply.get(0).dyn_into::<Float32Array>() {
            Ok(pixels) => Ok(Prepared {
                pixels: pixels.to_vec(),
                width: number(1),
                height: number(2),
                sha256: reply.get(3).as_string().unwrap_or_default(),
                difference_hash: u64::try_from(reply.get(4)).unwrap_or_default(),
                taken_ms: reply.get(5).as_f64().map(|taken| taken as i64),
            }),
            Err(null) if null.is_null() => Err(Unusable::Unread),
            Err(why) => {
                let why = serde_wasm_bindgen::from_value(why);
                Err(why.map_or(Unusable::Unread, Unusable::NoImage))
            }
        };
        Self::Done(image, memory)
    }
}

fn on_reply<T: 'static>(
    shared: &Rc<RefCell<State<T>>>,
    config: &JsValue,
    number: usize,
    heard: Heard,
) {
    let state = &mut *shared.borrow_mut();
    let Some(decoder) = state.decoders.get_mut(number) else {
        return;
    };
    let (image, replace) = match heard {
        Heard::Started => {
            state.started = true;
            return;
        }
        Heard::Done(image, memory) => (Some(image), memory > MAX_MEMORY),
        Heard::Crashed if state.started && !decoder.files.is_empty() => {
            (Some(Err(Unusable::Crashed)), true)
        }
        Heard::NotStarted | Heard::Crashed => {
            state.failed = true;
            (None, false)
        }
    };
    if let Some(image) = image
        && let Some((tag, _)) = decoder.files.pop_front()
    {
        state.done.push(DecodedFile { tag, image });
    }
    if replace {
        match spawn(shared, config, number) {
            Ok(mut fresh) => {
                fresh.files = std::mem::take(&mut decoder.files);
                let posted =
                    (fresh.files.iter()).all(|(_, file)| post(&fresh.worker, file, config).is_ok());
                state.failed |= !posted;
                let old = std::mem::replace(decoder, fresh);
                // This runs inside of one of its callbacks.
                wasm_bindgen_futures::spawn_local(async move { drop(old) });
            }
            Err(_) => state.failed = true,
        }
    }
    if let Some(wake) = state.wake.take() {
        // A promise's resolver does not throw.
        let _ = wake.call0(&JsValue::NULL);
    }
}
