//! One tab at a time trains: what is kept has one place in a browser, and two
//! that write there would destroy each other's. A lock decides, which the
//! browser holds for a tab until it lets go or is closed; who wants it waits,
//! and may ask for it over a channel.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Of the lock and of the channel.
const NAME: &str = "clip.training";

#[wasm_bindgen]
extern "C" {
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        granted: &JsValue,
    ) -> Result<Promise, JsValue>;

    type BroadcastChannel;
    #[wasm_bindgen(constructor, catch)]
    fn new(name: &str) -> Result<BroadcastChannel, JsValue>;
    #[wasm_bindgen(method, catch, js_name = postMessage)]
    fn post_message(this: &BroadcastChannel, message: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &BroadcastChannel, hear: &JsValue);
}

/// The lock, held until it is released.
pub struct TrainingLock(Option<Function>);

impl TrainingLock {
    /// Releases the lock to the next tab.
    pub fn release(self) {
        if let Some(release) = self.0 {
            // A promise's resolver does not throw.
            let _ = release.call0(&JsValue::NULL);
        }
    }
}

/// Acquires the lock; where another tab holds it, after that one if `wait`, else not
/// at all. A browser without locks cannot tell: there every tab has it.
pub async fn take(wait: bool) -> Option<TrainingLock> {
    let Some(locks) = locks() else {
        return Some(TrainingLock(None));
    };
    let (held, release) = promise();
    let (answered, answer) = promise();
    // The lock is held for as long as the promise that this returns is open.
    let granted = Closure::once_into_js(move |lock: JsValue| {
        if let Some(answer) = answer {
            let _ = answer.call1(&JsValue::NULL, &lock);
        }
        match lock.is_object() {
            true => JsValue::from(held),
            false => JsValue::UNDEFINED,
        }
    });
    let options = Object::new();
    let _ = Reflect::set(&options, &"ifAvailable".into(), &(!wait).into());
    let Ok(ended) = locks.request(NAME, &options, &granted) else {
        return Some(TrainingLock(None));
    };
    // Where locks are forbidden there is no answer, but an error.
    let first = Promise::race(&Array::of2(&answered, &ended));
    match JsFuture::from(first).await {
        Ok(lock) if lock.is_object() => Some(TrainingLock(release)),
        Ok(_) => None,
        Err(_) => Some(TrainingLock(None)),
    }
}

fn locks() -> Option<LockManager> {
    let navigator = web_sys::window()?.navigator();
    let locks = Reflect::get(&navigator, &"locks".into()).ok()?;
    locks.is_object().then(|| locks.unchecked_into())
}

/// A promise and what resolves it.
fn promise() -> (Promise, Option<Function>) {
    let mut resolver = None;
    let promise = Promise::new(&mut |resolve, _| resolver = Some(resolve));
    (promise, resolver)
}

/// Channel on which tabs request the lock from each other.
pub struct Channel(Option<BroadcastChannel>);

impl Channel {
    /// `asked` is called when another tab asks.
    pub fn open(asked: impl Fn() + 'static) -> Self {
        let channel = BroadcastChannel::new(NAME).ok();
        if let Some(channel) = &channel {
            let on_event = Closure::<dyn Fn(JsValue)>::new(move |_| asked());
            // As long as the page.
            channel.set_onmessage(&on_event.into_js_value());
        }
        Self(channel)
    }

    /// Requests the lock from the tab that holds it.
    pub fn ask(&self) {
        if let Some(channel) = &self.0 {
            let _ = channel.post_message(&"let go".into());
        }
    }
}
