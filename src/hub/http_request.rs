//! HTTP requests of a worker for files and parts of them.

use js_sys::{Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response, WorkerGlobalScope};

/// Delay before the second try; doubled for each further one.
pub const FIRST_WAIT_MS: u32 = 400;

/// Response to a request for the bytes `from..to` of a file, or to its end.
pub async fn fetch(
    url: &str,
    method: &str,
    from: u64,
    to: Option<u64>,
) -> Result<Response, JsValue> {
    (JsFuture::from(request(url, method, from, to)?).await?).dyn_into()
}

/// Promise of the response; the request is on its way.
pub fn request(url: &str, method: &str, from: u64, to: Option<u64>) -> Result<Promise, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().dyn_into()?;
    let options = RequestInit::new();
    options.set_method(method);
    if from > 0 || to.is_some() {
        let last = to.map(|to| (to - 1).to_string()).unwrap_or_default();
        let headers = js_sys::Object::new();
        let range = format!("bytes={from}-{last}");
        Reflect::set(&headers, &"Range".into(), &range.into())?;
        options.set_headers(&headers);
    }
    Ok(scope.fetch_with_str_and_init(url, &options))
}

/// Header of a response, if the server lets other sites read it.
pub fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok()?
}

/// Validator of a file's version (ETag or similar).
pub fn identity(response: &Response) -> Option<String> {
    header(response, "etag")
        .map(|etag| etag.trim_start_matches("W/").to_owned())
        .or_else(|| header(response, "last-modified"))
}

/// Start of a range: `Content-Range: bytes 100-199/200`.
pub fn starts_at(response: &Response) -> Option<u64> {
    match header(response, "content-range") {
        Some(range) => range
            .strip_prefix("bytes ")?
            .split('-')
            .next()?
            .parse()
            .ok(),
        // Not every server exposes the header; then the status has to do.
        None => None,
    }
}

/// Length of the file that a range is of: `Content-Range: bytes 100-199/200`.
pub fn total_of_range(response: &Response) -> Option<u64> {
    let range = header(response, "content-range")?;
    range.split_once('/')?.1.trim().parse().ok()
}

/// Why a request failed, for display.
pub fn out_of_reach(error: &str) -> String {
    format!("the server cannot be reached, or does not allow other sites to read from it ({error})")
}
