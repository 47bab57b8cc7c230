//! Handle to the worker: starts it, sends requests, passes on its events, terminates it.

use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Object, Reflect};
use leptos::prelude::{LocalStorage, SetValue, StoredValue, UpdateValue, WithValue};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, File, MessageEvent, WorkerOptions, WorkerType};

use crate::app::i18n::message;
use crate::diagnostic::Diagnostic;
use crate::engine::messages::{Event, OpenFailure, Request};

/// The script that loads the worker's WebAssembly.
const LOADER: &str = "worker-loader.js";

/// The messages' two fields.
const MESSAGE: &str = "message";
const BYTES: &str = "bytes";
const FILES: &str = "files";

/// Attachments of a message.
pub enum Attachments {
    Nothing,
    /// Moved over, not copied.
    Bytes(ArrayBuffer),
    /// Handles: their bytes stay where they are.
    Files(Vec<File>),
}

/// An event of the worker with its attachments.
pub struct Incoming {
    pub event: Event,
    pub bytes: Vec<ArrayBuffer>,
    pub files: Vec<File>,
}

impl From<Event> for Incoming {
    fn from(event: Event) -> Self {
        Self {
            event,
            bytes: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// What listeners of the engine hear.
pub enum Heard {
    /// A fresh worker is about to start: it knows nothing yet.
    Starting,
    /// The visitor chose another model.
    ModelChosen,
    Event(Incoming),
    /// A message could not be sent, and why.
    Unreachable(Diagnostic),
}

type Listener = Rc<dyn Fn(Heard)>;

/// Handle to the worker, shared by the controllers.
#[derive(Clone, Copy)]
pub struct EngineHandle {
    client: StoredValue<EngineClient, LocalStorage>,
    listener: StoredValue<Option<Listener>, LocalStorage>,
}

impl EngineHandle {
    /// Without a worker.
    pub fn new() -> Self {
        Self {
            client: StoredValue::new_local(EngineClient::default()),
            listener: StoredValue::new_local(None),
        }
    }

    /// Tells `listener` about the worker from here on.
    pub fn listen(self, listener: impl Fn(Heard) + 'static) {
        self.listener.set_value(Some(Rc::new(listener)));
    }

    /// Tells the listener.
    pub fn announce(self, heard: Heard) {
        // Cloned, since the listener may start another worker.
        let listener = self.listener.try_with_value(Option::clone).flatten();
        if let Some(listener) = listener {
            listener(heard);
        }
    }

    /// Ends the worker, if there is one, and starts a fresh one.
    pub fn start(self) -> Result<(), String> {
        self.announce(Heard::Starting);
        let on_event = move |incoming| self.announce(Heard::Event(incoming));
        (self.client)
            .try_update_value(|client| client.start(on_event))
            .unwrap_or(Ok(()))
    }

    /// Ends the worker at once, whatever it is at.
    pub fn stop(self) {
        self.client.update_value(EngineClient::stop);
    }

    /// Whether there is a worker.
    pub fn is_running(self) -> bool {
        (self
            .client
            .try_with_value(|client| client.running.is_some()))
        .unwrap_or_default()
    }

    /// Sends a message.
    pub fn send(self, request: &Request, attachments: Attachments) {
        let sent = (self.client).try_with_value(|client| client.send(request, attachments));
        if let Some(Err(error)) = sent {
            self.announce(Heard::Unreachable(error.into()));
        }
    }
}

impl Default for EngineHandle {
    fn default() -> Self {
        Self::new()
    }
}

/// At most one worker.
#[derive(Default)]
struct EngineClient {
    running: Option<Running>,
}

impl EngineClient {
    /// Ends the worker, if there is one, and starts a fresh one. What it says,
    /// and what the browser says about it, goes to `on_event`.
    fn start(&mut self, on_event: impl Fn(Incoming) + Clone + 'static) -> Result<(), String> {
        self.stop();
        self.running = Some(Running::start(on_event).map_err(|error| describe(&error))?);
        Ok(())
    }

    /// Ends the worker at once, whatever it is at.
    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
            // This may run inside one of the callbacks that `running` owns.
            leptos::task::spawn_local(async move { drop(running) });
        }
    }

    /// Sends a message and what goes with it.
    fn send(&self, request: &Request, attachments: Attachments) -> Result<(), String> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        running
            .send(request, attachments)
            .map_err(|error| describe(&error))
    }
}

struct Running {
    worker: web_sys::Worker,
    // The browser calls these for as long as the worker lives.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
    _on_garbled: Closure<dyn FnMut(MessageEvent)>,
}

impl Running {
    fn start(on_event: impl Fn(Incoming) + Clone + 'static) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = web_sys::Worker::new_with_options(LOADER, &options)?;

        let on_message = {
            let on_event = on_event.clone();
            Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
                on_event(read(&event.data()).unwrap_or_else(|error| {
                    let failure = OpenFailure::new(message!("worker-version", error = error));
                    Incoming::from(Event::OpenFailed(failure))
                }));
            })
        };
        let on_error = {
            let on_event = on_event.clone();
            Closure::<dyn FnMut(_)>::new(move |event: ErrorEvent| {
                event.prevent_default();
                on_event(Incoming::from(Event::Died {
                    error: error_text(&event),
                    gpu: false,
                }));
            })
        };
        let on_garbled = Closure::<dyn FnMut(_)>::new(move |_: MessageEvent| {
            on_event(Incoming::from(Event::Died {
                error: message!("worker-message-unreadable"),
                gpu: false,
            }));
        });

        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        worker.set_onmessageerror(Some(on_garbled.as_ref().unchecked_ref()));
        Ok(Self {
            worker,
            _on_message: on_message,
            _on_error: on_error,
            _on_garbled: on_garbled,
        })
    }

    fn send(&self, request: &Request, attachments: Attachments) -> Result<(), JsValue> {
        let message = request.serialize(&serde_wasm_bindgen::Serializer::new())?;
        let envelope = Object::new();
        Reflect::set(&envelope, &MESSAGE.into(), &message)?;
        match attachments {
            Attachments::Bytes(bytes) => {
                Reflect::set(&envelope, &BYTES.into(), &bytes)?;
                self.worker
                    .post_message_with_transfer(&envelope, &Array::of1(&bytes))
            }
            Attachments::Files(files) => {
                let files = Array::from_iter(files);
                Reflect::set(&envelope, &FILES.into(), &files)?;
                self.worker.post_message(&envelope)
            }
            Attachments::Nothing => self.worker.post_message(&envelope),
        }
    }

    fn end(&self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.set_onmessageerror(None);
        self.worker.terminate();
    }
}

fn read(data: &JsValue) -> Result<Incoming, String> {
    let get = |key: &str| Reflect::get(data, &key.into()).map_err(|error| describe(&error));
    let event = serde_wasm_bindgen::from_value(get(MESSAGE)?).map_err(|error| error.to_string())?;
    Ok(Incoming {
        event,
        bytes: list(get(BYTES)?),
        files: list(get(FILES)?),
    })
}

/// The things of one kind in an array; none where there is no array.
fn list<T: JsCast>(value: JsValue) -> Vec<T> {
    (value.dyn_into::<Array>().into_iter())
        .flat_map(|array| array.to_vec())
        .filter_map(|item| item.dyn_into().ok())
        .collect()
}

/// The browser gives a script that cannot be loaded no text at all.
fn error_text(event: &ErrorEvent) -> Diagnostic {
    let text = Reflect::get(event, &MESSAGE.into())
        .ok()
        .and_then(|text| text.as_string());
    match text {
        Some(text) if !text.is_empty() => {
            // Browsers put the kind of error first: nothing a visitor could use.
            let text = text
                .rsplit_once("Error: ")
                .map_or(text.as_str(), |(_, rest)| rest);
            text.trim_start_matches("Uncaught ")
                .trim_end_matches('.')
                .into()
        }
        _ => message!("worker-script-not-loaded"),
    }
}

/// A JavaScript error as text.
pub fn describe(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    }
}
