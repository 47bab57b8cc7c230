//! Models that the page's server has beside the page.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response, WorkerGlobalScope};

use super::{HubError, ModelFiles};

/// A model's folder on a web server.
pub struct Fetched {
    /// Address of the folder, with a slash at its end.
    base: String,
    /// What is in it: nothing else is asked for.
    files: &'static [&'static str],
    /// Address of CLIP's own vocabulary.
    clip_vocabulary: String,
}

impl Fetched {
    /// Addresses as `fetch` in a worker takes them.
    pub fn new(base: String, files: &'static [&'static str], clip_vocabulary: String) -> Self {
        Self {
            base,
            files,
            clip_vocabulary,
        }
    }
}

impl ModelFiles for Fetched {
    fn name(&self) -> String {
        let folder = self.base.trim_end_matches('/');
        folder.rsplit('/').next().unwrap_or(folder).to_owned()
    }

    async fn read(
        &self,
        file: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Vec<u8>>, HubError> {
        match self.files.contains(&file) {
            true => fetch(&format!("{}{file}", self.base), progress).await,
            false => Ok(None),
        }
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        (fetch(&self.clip_vocabulary, &mut |_, _| ()).await?).ok_or_else(|| HubError::Read {
            file: self.clip_vocabulary.clone(),
            why: "the server does not have it".into(),
        })
    }
}

async fn fetch(url: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Option<Vec<u8>>, HubError> {
    let failed = |why: String| HubError::Read {
        file: url.to_owned(),
        why,
    };
    let js = |error: JsValue| failed(describe(&error));
    let scope: WorkerGlobalScope = (js_sys::global().dyn_into())
        .map_err(|_| failed("models are fetched in a worker only".into()))?;
    let response: Response = JsFuture::from(scope.fetch_with_str(url))
        .await
        .map_err(js)?
        .dyn_into()
        .map_err(js)?;
    if response.status() == 404 {
        return Ok(None);
    }
    if !response.ok() {
        return Err(failed(format!("the server answered {}", response.status())));
    }
    // A compressed answer's length is not that of what comes out.
    let encoded = response
        .headers()
        .get("content-encoding")
        .map_err(js)?
        .is_some();
    let length = response.headers().get("content-length").map_err(js)?;
    let total = (length.filter(|_| !encoded))
        .and_then(|length| length.parse().ok())
        .unwrap_or(0u64);
    let Some(body) = response.body() else {
        return Err(failed("the answer has no body".into()));
    };
    let reader: ReadableStreamDefaultReader =
        body.get_reader().dyn_into().map_err(|e| js(e.into()))?;
    // The header is the server's word: it is a hint for room, within reason.
    let mut bytes = Vec::with_capacity(total.min(1 << 28) as usize);
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(js)?;
        if Reflect::get(&part, &"done".into()).map_err(js)?.is_truthy() {
            break;
        }
        let chunk: Uint8Array = (Reflect::get(&part, &"value".into()).map_err(js)?)
            .dyn_into()
            .map_err(js)?;
        let start = bytes.len();
        bytes.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        progress(bytes.len() as u64, total);
    }
    if total != 0 && bytes.len() as u64 != total {
        return Err(failed(format!("{} of {total} bytes arrived", bytes.len())));
    }
    Ok(Some(bytes))
}

fn describe(error: &JsValue) -> String {
    (error.dyn_ref::<js_sys::Error>())
        .map(|error| String::from(error.message()))
        .unwrap_or_else(|| format!("{error:?}"))
}
