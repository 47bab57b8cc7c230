//! The engine in a Web Worker: a loop that takes [`Request`]s and posts
//! [`Event`]s, one small piece of work at a time, so that a new request is
//! heard between any two pieces.

#[cfg(target_arch = "wasm32")]
fn main() {
    worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("the worker runs in a browser: build it for wasm32-unknown-unknown");
}

#[cfg(target_arch = "wasm32")]
mod worker {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use clip::engine::messages::{DeviceChoice, DeviceInfo, Event, ImageId, LoadStage, Request};
    use clip::engine::{Engine, open_device};
    use clip::hub::{self, Fetched};
    use clip::preprocess::decode;
    use clip::zero_shot;
    use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
    use wasm_bindgen::prelude::*;
    use wasm_bindgen_futures::{JsFuture, spawn_local};
    use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

    /// Starts listening. Everything else happens in [`run`].
    pub fn start() {
        std::panic::set_hook(Box::new(|panic| {
            post(&Event::Died {
                error: panic.to_string(),
            });
        }));
        let inbox: Inbox = Rc::default();
        let listener = {
            let inbox = inbox.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                match parse(&event.data()) {
                    Ok(message) => inbox.borrow_mut().push(message),
                    Err(error) => post(&Event::Died {
                        error: format!("a message could not be read: {error}"),
                    }),
                }
            })
        };
        if let Some(scope) = scope() {
            scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
        }
        listener.forget(); // lives as long as the worker
        spawn_local(run(inbox));
    }

    type Inbox = Rc<RefCell<Mailbox>>;

    #[derive(Default)]
    struct Mailbox {
        messages: VecDeque<(Request, Option<Vec<u8>>)>,
        /// Ends the wait of [`wait`].
        wake: Option<Function>,
    }

    impl Mailbox {
        fn push(&mut self, message: (Request, Option<Vec<u8>>)) {
            self.messages.push_back(message);
            if let Some(wake) = self.wake.take() {
                // A promise's resolver does not throw.
                let _ = wake.call0(&JsValue::NULL);
            }
        }
    }

    /// What is known and what waits.
    #[derive(Default)]
    struct State {
        engine: Option<Engine>,
        /// Pictures to encode: number and file.
        waiting: VecDeque<(ImageId, Vec<u8>)>,
        /// Encoded pictures and their features.
        encoded: Vec<(ImageId, Vec<f32>)>,
        question: Option<Question>,
    }

    struct Question {
        number: u32,
        labels: Vec<String>,
        templates: Vec<String>,
        prompts: Vec<String>,
        /// Prompts encoded for this question, and the time that took.
        encoded: u32,
        encode_ms: f64,
        /// One feature for each label, once all prompts are encoded.
        classifier: Option<Vec<Vec<f32>>>,
    }

    async fn run(inbox: Inbox) {
        let mut state = State::default();
        loop {
            let message = inbox.borrow_mut().messages.pop_front();
            if let Some((request, bytes)) = message {
                state.take(request, bytes).await;
                continue;
            }
            if state.work().await {
                breathe().await;
            } else {
                wait(&inbox).await;
            }
        }
    }

    impl State {
        async fn take(&mut self, request: Request, bytes: Option<Vec<u8>>) {
            match request {
                Request::Open { device, model } => match open(device, &model).await {
                    Ok(engine) => {
                        post(&Event::Ready {
                            model: engine.model_info().clone(),
                            device: engine.device_info().clone(),
                        });
                        self.engine = Some(engine);
                    }
                    Err(error) => post(&Event::OpenFailed { error }),
                },
                Request::AddImage { image, name } => match bytes {
                    Some(bytes) => self.waiting.push_back((image, bytes)),
                    None => post(&Event::ImageFailed {
                        image,
                        error: format!("the file of {name} did not arrive: add it again"),
                    }),
                },
                Request::RemoveImage { image } => {
                    self.waiting.retain(|(id, _)| *id != image);
                    self.encoded.retain(|(id, _)| *id != image);
                }
                Request::Classify {
                    question: number,
                    labels,
                    templates,
                } => {
                    self.question = None;
                    if let Err(error) = zero_shot::check(&labels, &templates) {
                        post(&Event::QuestionFailed {
                            question: number,
                            error: error.to_string(),
                        });
                        return;
                    }
                    let prompts = (labels.iter())
                        .flat_map(|label| zero_shot::prompts(label, &templates))
                        .collect();
                    self.question = Some(Question {
                        number,
                        labels,
                        templates,
                        prompts,
                        encoded: 0,
                        encode_ms: 0.0,
                        classifier: None,
                    });
                }
                Request::Cancel => {
                    if (self.question.as_ref()).is_some_and(|q| q.classifier.is_none()) {
                        self.question = None;
                    }
                    let images = self.waiting.drain(..).map(|(id, _)| id).collect();
                    post(&Event::Cancelled { images });
                }
            }
        }

        /// One piece of work; `false` when there is none.
        async fn work(&mut self) -> bool {
            let Some(engine) = &mut self.engine else {
                return false;
            };
            if let Some(question) = &mut self.question
                && question.classifier.is_none()
            {
                if let Err(error) = question.advance(engine).await {
                    post(&Event::QuestionFailed {
                        question: question.number,
                        error,
                    });
                    self.question = None;
                    return true;
                }
                for (image, features) in &self.encoded {
                    question.answer(engine, *image, features);
                }
                return true;
            }
            let Some((image, file)) = self.waiting.pop_front() else {
                return false;
            };
            match encode(engine, image, &file).await {
                Ok(features) => {
                    if let Some(question) = &self.question {
                        question.answer(engine, image, &features);
                    }
                    self.encoded.push((image, features));
                }
                Err(error) => post(&Event::ImageFailed { image, error }),
            }
            true
        }
    }

    impl Question {
        /// Encodes one batch of prompts, or makes the classifier once none is left.
        async fn advance(&mut self, engine: &mut Engine) -> Result<(), String> {
            let start = now();
            let count = (engine.encode_some(&self.prompts).await).map_err(|e| e.to_string())?;
            if count > 0 {
                self.encode_ms += now() - start;
                self.encoded += count as u32;
                let left = self.prompts.iter().filter(|p| !engine.knows(p)).count() as u32;
                post(&Event::EncodingTexts {
                    question: self.number,
                    done: self.encoded,
                    total: self.encoded + left,
                });
                return Ok(());
            }
            let notes = self.notes(engine)?;
            let classifier = (engine.classifier(&self.labels, &self.templates).await)
                .map_err(|e| e.to_string())?;
            self.classifier = Some(classifier);
            post(&Event::TextsEncoded {
                question: self.number,
                encoded: self.encoded,
                encode_ms: self.encode_ms,
                notes,
            });
            Ok(())
        }

        /// Prompts that do not fit the model.
        fn notes(&self, engine: &Engine) -> Result<Vec<String>, String> {
            let length = engine.model_info().context_length;
            let mut notes = Vec::new();
            for prompt in &self.prompts {
                if engine.tokens(prompt).map_err(|e| e.to_string())?.truncated {
                    let start: String = prompt.chars().take(40).collect();
                    notes.push(format!(
                        "\"{start}…\" is longer than the {length} tokens that this model reads; \
                         its end was left out"
                    ));
                }
            }
            Ok(notes)
        }

        fn answer(&self, engine: &Engine, image: ImageId, features: &[f32]) {
            if let Some(classifier) = &self.classifier {
                post(&Event::Answer {
                    question: self.number,
                    image,
                    ranking: engine.rank(features, &self.labels, classifier),
                });
            }
        }
    }

    async fn encode(engine: &Engine, image: ImageId, file: &[u8]) -> Result<Vec<f32>, String> {
        post(&Event::EncodingImage { image });
        let start = now();
        let picture = decode(file).map_err(|e| e.to_string())?;
        let pixels = engine.pixels(&picture);
        let (width, height) = (picture.width(), picture.height());
        let prepared = now();
        let features = (engine.image_features(&[pixels]).await)
            .map_err(|e| e.to_string())?
            .pop()
            .ok_or("the image encoder gave no answer")?;
        post(&Event::ImageEncoded {
            image,
            width,
            height,
            preprocess_ms: prepared - start,
            encode_ms: now() - prepared,
        });
        Ok(features)
    }

    /// Opens the model on the device that was asked for; left to itself, it
    /// goes to the CPU when the GPU fails its first run.
    async fn open(choice: DeviceChoice, model: &str) -> Result<Engine, String> {
        let mut shown = 0.0;
        let files = Fetched::new(
            model.into(),
            hub::BUNDLED_FILES,
            "clip_vocabulary/merges.txt.gz".into(),
        );
        let mut downloading = |done, total| {
            // Chunks come by the thousand; a bar needs ten a second.
            if now() - shown > 100.0 || done == total {
                shown = now();
                loading(LoadStage::Download, done, total);
            }
        };
        loading(LoadStage::Download, 0, 0);
        let bundle = (hub::open(&files, &mut downloading).await).map_err(|e| e.to_string())?;
        loading(LoadStage::Device, 0, 0);
        match start_engine(choice, bundle.clone()).await {
            Err(error) if choice == DeviceChoice::Auto => {
                let mut engine = start_engine(DeviceChoice::Cpu, bundle).await?;
                engine.set_device_reason(format!("the GPU did not work: {error}"));
                Ok(engine)
            }
            started => started,
        }
    }

    async fn start_engine(
        choice: DeviceChoice,
        bundle: hub::ModelBundle,
    ) -> Result<Engine, String> {
        let lost = |why| {
            post(&Event::Died {
                error: format!("the GPU was lost ({why})"),
            });
        };
        let opened = open_device(choice, lost).await.map_err(|e| e.to_string())?;
        let DeviceInfo { gpu, .. } = opened.info;
        let progress = |done, total| loading(LoadStage::Weights, done as u64, total as u64);
        let mut engine =
            (Engine::load(bundle, opened, progress).await).map_err(|e| e.to_string())?;
        if gpu {
            loading(LoadStage::WarmUp, 0, 0);
            engine.warm_up().await.map_err(|e| e.to_string())?;
        }
        Ok(engine)
    }

    fn loading(stage: LoadStage, done: u64, total: u64) {
        post(&Event::Loading { stage, done, total });
    }

    fn parse(data: &JsValue) -> Result<(Request, Option<Vec<u8>>), String> {
        let get = |key: &str| Reflect::get(data, &key.into()).map_err(|e| format!("{e:?}"));
        let request = serde_wasm_bindgen::from_value(get("message")?).map_err(|e| e.to_string())?;
        let bytes =
            (get("bytes")?.dyn_ref::<ArrayBuffer>()).map(|buffer| Uint8Array::new(buffer).to_vec());
        Ok((request, bytes))
    }

    fn post(event: &Event) {
        let posted = || -> Result<(), JsValue> {
            let message = serde_wasm_bindgen::to_value(event)?;
            let envelope = Object::new();
            Reflect::set(&envelope, &"message".into(), &message)?;
            scope().map_or(Ok(()), |scope| scope.post_message(&envelope))
        };
        // Nothing else is left to tell the page with; the console at least shows it.
        if let Err(error) = posted() {
            wasm_bindgen::throw_val(error);
        }
    }

    fn scope() -> Option<DedicatedWorkerGlobalScope> {
        js_sys::global().dyn_into().ok()
    }

    fn now() -> f64 {
        scope()
            .and_then(|scope| scope.performance())
            .map_or(0.0, |clock| clock.now())
    }

    /// Lets the browser deliver messages that came in the meantime.
    async fn breathe() {
        let promise = Promise::new(&mut |resolve, _| {
            if let Some(scope) = scope() {
                let _ = scope.set_timeout_with_callback_and_timeout_and_arguments(
                    &resolve,
                    0,
                    &Array::new(),
                );
            }
        });
        // The promise is never rejected.
        let _ = JsFuture::from(promise).await;
    }

    /// Until the next message.
    async fn wait(inbox: &Inbox) {
        let promise = Promise::new(&mut |resolve, _| {
            inbox.borrow_mut().wake = Some(resolve);
        });
        // The promise is never rejected.
        let _ = JsFuture::from(promise).await;
    }
}
