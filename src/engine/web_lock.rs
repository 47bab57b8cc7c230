//! Lock that one tab of the browser holds at a time (Web Locks).

use std::cell::Cell;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(this: &LockManager, name: &str, granted: &JsValue) -> Result<Promise, JsValue>;
}

/// The browser grants a free lock long before.
const GRANTED_AFTER_MS: u32 = 500;
const LOOK_EVERY_MS: u32 = 20;

/// Lock, or a place in the queue for it. It is released when this is dropped, and by the
/// browser when the tab is closed.
pub struct WebLock {
    held: Rc<Cell<bool>>,
    /// Time that was spent waiting for it.
    waited_ms: Cell<u32>,
    release: Option<Function>,
}

impl WebLock {
    /// Requests the lock. In a browser without locks every tab holds it.
    pub fn request(name: &str) -> Self {
        let mut release = None;
        // The browser holds the lock for as long as this promise is open.
        let open = Promise::new(&mut |resolve, _| release = Some(resolve));
        let held = Rc::new(Cell::new(false));
        let granted = {
            let held = held.clone();
            Closure::once_into_js(move |_: JsValue| {
                held.set(true);
                open
            })
        };
        let asked = || {
            let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
            let locks = Reflect::get(&navigator, &"locks".into())?;
            (locks.unchecked_into::<LockManager>()).request(name, &granted)
        };
        match asked() {
            Ok(ended) => {
                // Where locks are forbidden, nobody else has it either.
                let held = held.clone();
                wasm_bindgen_futures::spawn_local(async move {
                    if wasm_bindgen_futures::JsFuture::from(ended).await.is_err() {
                        held.set(true);
                    }
                });
            }
            Err(_) => held.set(true),
        }
        Self {
            held,
            waited_ms: Cell::new(0),
            release,
        }
    }

    /// Whether this tab has it. Waits for a free lock, which is granted a moment after the request.
    pub async fn is_held(&self) -> bool {
        while !self.held.get() && self.waited_ms.get() < GRANTED_AFTER_MS {
            TimeoutFuture::new(LOOK_EVERY_MS).await;
            self.waited_ms.set(self.waited_ms.get() + LOOK_EVERY_MS);
        }
        self.held.get()
    }
}

impl Drop for WebLock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            // A promise's resolver does not throw.
            let _ = release.call0(&JsValue::NULL);
        }
    }
}
