//! Model files by HTTP: the page's own, a hub's, or those at any address.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, RequestInit, Response, WorkerGlobalScope};

use super::cache::{CacheError, CachedFile, ModelCache, describe};
use super::{BUNDLED_FILES, Chunk, ChunkSink, HubError, ModelFiles, ModelLocation, conversion};
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::weights::ToF16;

/// URL of CLIP's own vocabulary, relative to the page.
const CLIP_VOCABULARY: &str = "clip_vocabulary/merges.txt.gz";

/// Consecutive failures before giving up: after some data arrived, and before.
const MAX_TRIES: [u32; 2] = [6, 3];
/// Delay before the second try; doubled for each further one.
const FIRST_WAIT_MS: u32 = 400;

/// Model folder on a web server.
pub struct HttpFiles {
    /// Display name, and key in the cache.
    name: String,
    /// URL of the hub.
    hub: String,
    /// URL of the folder, with a trailing slash.
    base: String,
    /// URL of the weights, if it was given.
    weights: Option<String>,
    /// Files of the folder, if known: others are not requested.
    files: Option<&'static [&'static str]>,
    /// Immutable (a commit): cached files need no revalidation.
    fixed: bool,
    cache: Option<Rc<ModelCache>>,
    /// Whether f32 weights are cached as f16.
    f16: bool,
    /// Sink of messages for the visitor.
    notify: Rc<dyn Fn(Diagnostic)>,
    /// Offline: only the cache is used.
    offline: Cell<bool>,
}

impl HttpFiles {
    /// The bundled model, in the folder `base`.
    pub fn bundled(base: &str) -> Self {
        Self {
            name: "bundled".into(),
            hub: String::new(),
            base: base.into(),
            weights: None,
            files: Some(BUNDLED_FILES),
            fixed: true,
            cache: None,
            f16: false,
            notify: Rc::new(|_| ()),
            offline: Cell::new(false),
        }
    }

    /// Model at a location. Files are cached in `cache`, f32 weights as `f16` if that is wanted;
    /// `notify` gets messages for the visitor.
    pub fn at(
        location: &ModelLocation,
        hub: &str,
        cache: Option<Rc<ModelCache>>,
        f16: bool,
        notify: Rc<dyn Fn(Diagnostic)>,
    ) -> Self {
        let (base, weights, fixed) = match location {
            ModelLocation::Hub { id, revision } => {
                let fixed = revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit());
                // A revision is a single path segment, even with slashes in it.
                let revision = revision.replace('/', "%2F");
                let hub = hub.trim_end_matches('/');
                (format!("{hub}/{id}/resolve/{revision}/"), None, fixed)
            }
            ModelLocation::Url(url) if url.ends_with('/') => (url.clone(), None, false),
            ModelLocation::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
                (folder.to_owned(), Some(url.clone()), false)
            }
        };
        Self {
            name: location.to_string(),
            hub: hub.into(),
            base,
            weights,
            files: None,
            fixed,
            cache,
            f16,
            notify,
            offline: Cell::new(false),
        }
    }

    fn address(&self, file: &str) -> String {
        match &self.weights {
            Some(url) if self.weights().as_deref() == Some(file) => url.clone(),
            _ => format!("{}{file}", self.base),
        }
    }

    /// Revalidates a cached file; `false` if the server's differs.
    async fn is_current(&self, url: &str, cached: &CachedFile<'_>) -> bool {
        if self.fixed || self.offline.get() {
            return true;
        }
        match fetch(url, "HEAD", 0).await {
            Ok(response) if response.status() == 404 => cached.absent(),
            Ok(response) if response.ok() => {
                let (now, total) = (identity(&response), header(&response, "content-length"));
                let same_identity = match (now.as_deref(), cached.identity()) {
                    (Some(now), Some(then)) => now == then,
                    _ => true,
                };
                let same_length =
                    total.is_none_or(|total| total == cached.file_bytes().to_string());
                !cached.absent() && same_identity && same_length
            }
            // Refused or unreachable: the cached file still works.
            Ok(_) => true,
            Err(_) => {
                self.offline.set(true);
                true
            }
        }
    }

    /// Reports that a file cannot be cached.
    fn report_cache_error(&self, error: CacheError) {
        let reason = match error {
            CacheError::Full => diagnostic!(
                "delete-other-models",
                "not enough storage space: delete other models"
            ),
            CacheError::Other(why) => why.into(),
        };
        (self.notify)(diagnostic!(
            "not-stored",
            "{name} could not be saved for the next visit ({reason}). You can still use it now.",
            name = self.name,
            reason
        ));
    }
}

/// State of a download.
struct Download<'a, 'b> {
    url: String,
    /// Bytes that the sink has; of the f16 copy, if there is one.
    offset: u64,
    /// Length of what the sink gets; 0 if unknown.
    total: u64,
    identity: Option<String>,
    cached: Option<CachedFile<'a>>,
    /// Converter of the server's file.
    to_f16: Option<ToF16>,
    sink: &'b mut ChunkSink<'b>,
}

/// Outcome of one request.
enum Outcome {
    /// Complete, or the sink has seen enough.
    Done,
    /// No such file.
    Absent,
    /// Worth another try.
    Broken(String),
}

impl ModelFiles for HttpFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn weights(&self) -> Option<String> {
        let path = self.weights.as_ref()?.split(['?', '#']).next()?;
        path.rsplit('/').next().map(str::to_owned)
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        /// No config or tokenizer is larger.
        const MAX_BYTES: usize = 64 << 20;
        let mut bytes = Vec::new();
        let mut sink = |chunk: Chunk| {
            if chunk.offset == 0 {
                bytes.clear();
            }
            bytes.extend_from_slice(chunk.bytes);
            match bytes.len() <= MAX_BYTES {
                true => Ok(ControlFlow::Continue(())),
                false => Err(HubError::Read {
                    file: file.into(),
                    why: "it is too large for a file of this kind".into(),
                }),
            }
        };
        let found = self.stream(file, &mut sink).await?;
        Ok(found.then_some(bytes))
    }

    async fn stream(&self, file: &str, sink: &mut ChunkSink<'_>) -> Result<bool, HubError> {
        if self.files.is_some_and(|files| !files.contains(&file)) {
            return Ok(false);
        }
        let url = self.address(file);
        let mut cached = match &self.cache {
            Some(cache) => Some(CachedFile::open(cache, &self.name, file).await),
            None => None,
        };
        if let Some(cached) = cached.as_mut().filter(|cached| cached.known()) {
            if !self.is_current(&url, cached).await {
                if !cached.absent() {
                    (self.notify)(diagnostic!(
                        "changed-on-hub",
                        "{file} of {name} has changed since the last visit and was downloaded again.",
                        file,
                        name = self.name
                    ));
                }
                cached.discard().await;
            } else if cached.absent() {
                return Ok(false);
            }
        }
        // What is cached in part goes on as it began.
        let begun = cached.as_ref().filter(|cached| cached.chunks() > 0);
        let to_f16 = match begun.map(CachedFile::f16) {
            Some(layout) => layout.cloned().map(ToF16::with_layout),
            None => (cached.as_ref())
                .filter(|_| self.f16 && file.ends_with(".safetensors"))
                .map(|_| ToF16::default()),
        };
        let mut download = Download {
            url,
            offset: 0,
            total: cached.as_ref().map_or(0, CachedFile::total),
            identity: (cached.as_ref()).and_then(|cached| cached.identity().map(str::to_owned)),
            cached,
            to_f16,
            sink: &mut *sink,
        };
        let found = self.run(&mut download).await;
        if let (Err(HubError::Weights(_)), Some(cached)) = (&found, &mut download.cached) {
            // A cached copy would be rejected on every further visit.
            cached.discard().await;
        }
        found
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        page_file(CLIP_VOCABULARY).await
    }

    async fn converted(&self) -> Result<Option<Self>, HubError> {
        let location = ModelLocation::parse(&self.name).ok();
        let Some(id) = location.as_ref().and_then(conversion::main_branch) else {
            return Ok(None);
        };
        let found = match get(&conversion::url(&self.hub, id)).await {
            Ok(answer) => answer.as_deref().and_then(conversion::pull_request),
            // Offline, the one that was taken before.
            Err(error) => match self.cached_pull_request(id).await {
                Some(cached) => Some(cached),
                None => {
                    return Err(HubError::PullRequests {
                        name: id.into(),
                        why: out_of_reach(&describe(&error)),
                    });
                }
            },
        };
        Ok(found.map(|number| {
            let location = conversion::location(id, number);
            let (cache, notify) = (self.cache.clone(), self.notify.clone());
            Self::at(&location, &self.hub, cache, self.f16, notify)
        }))
    }
}

/// File that the page's own server has, by its path relative to the page.
pub async fn page_file(path: &str) -> Result<Vec<u8>, HubError> {
    let page = HttpFiles {
        files: None,
        ..HttpFiles::bundled("")
    };
    (Box::pin(page.read(path)).await?).ok_or_else(|| HubError::Read {
        file: path.into(),
        why: "the page's server does not have it".into(),
    })
}

impl HttpFiles {
    /// Newest pull request of a model that the cache knows.
    async fn cached_pull_request(&self, id: &str) -> Option<u64> {
        let cached = self.cache.as_ref()?.list().await;
        let number = |model: &str| {
            let revision = model.strip_prefix(id)?.strip_prefix("@refs/pr/")?;
            revision.parse().ok()
        };
        (cached.iter())
            .filter_map(|model| number(&model.model))
            .max()
    }

    async fn run(&self, download: &mut Download<'_, '_>) -> Result<bool, HubError> {
        if download.take_cached().await?.is_break() {
            return Ok(true);
        }
        let mut failures = 0;
        loop {
            let before = download.offset;
            let why = match self.connect(download).await? {
                Outcome::Done => return Ok(true),
                Outcome::Absent => {
                    if let Some(cached) = &mut download.cached
                        && let Err(error) = cached.begin_absent().await
                    {
                        download.cached = None;
                        self.report_cache_error(error);
                    }
                    return Ok(false);
                }
                Outcome::Broken(why) => why,
            };
            failures = if download.offset > before {
                1
            } else {
                failures + 1
            };
            if failures >= MAX_TRIES[usize::from(download.offset == 0)] {
                return Err(HubError::Read {
                    file: download.url.clone(),
                    why,
                });
            }
            TimeoutFuture::new(FIRST_WAIT_MS << (failures - 1)).await;
        }
    }

    /// One request, from the download's offset on.
    async fn connect(&self, download: &mut Download<'_, '_>) -> Result<Outcome, HubError> {
        let from = match &mut download.to_f16 {
            Some(to_f16) => to_f16.seek(download.offset),
            None => download.offset,
        };
        let response = match fetch(&download.url, "GET", from).await {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Broken(out_of_reach(&describe(&error)))),
        };
        let refused = |why: String| HubError::Read {
            file: download.url.clone(),
            why,
        };
        let now = identity(&response);
        let same = download.identity.is_some() && now == download.identity;
        let mut skip = 0;
        match response.status() {
            404 => return Ok(Outcome::Absent),
            206 if starts_at(&response) == Some(from) && (same || now.is_none()) => (),
            // The file changed, or the range is another than requested.
            206 | 416 => {
                download.begin_anew().await;
                return Ok(Outcome::Broken(
                    "the file changed on the server during the download".into(),
                ));
            }
            // The server ignores ranges: skip what is here already.
            200..=299 if from > 0 && same => skip = from,
            200..=299 => download.begin_anew().await,
            401 => {
                return Err(refused(
                    "the hub has no such model, or it is private".into(),
                ));
            }
            403 => {
                return Err(refused(
                    "access is restricted: agree to the terms on its hub page first".into(),
                ));
            }
            code @ (408 | 429 | 500..) => {
                return Ok(Outcome::Broken(match code {
                    429 => "too many requests: wait a while and try again".into(),
                    code => format!("the server responded with status {code}"),
                }));
            }
            code => return Err(refused(format!("the server responded with status {code}"))),
        }
        if download.offset == 0 {
            download.identity = now;
            // The length of a compressed response is not that of its content.
            let encoded = header(&response, "content-encoding").is_some();
            download.total = header(&response, "content-length")
                .filter(|_| !encoded)
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            match &mut download.to_f16 {
                // Its length is known with the header.
                Some(to_f16) => *to_f16 = ToF16::new(download.total),
                None => self.begin_cached(download).await,
            }
        }
        self.body(download, &response, skip).await
    }

    /// Starts the cached file over, as the download's first bytes are known.
    async fn begin_cached(&self, download: &mut Download<'_, '_>) {
        let layout = download.to_f16.as_ref().and_then(ToF16::layout).cloned();
        if let Some(layout) = &layout {
            download.total = layout.copy_bytes();
        }
        let begun = match (&mut download.cached, download.total) {
            // Without a length, an incomplete file could not be detected.
            (Some(_), 0) => Err(None),
            (Some(cached), total) => {
                let identity = download.identity.clone();
                (cached.begin(identity, total, layout).await).map_err(Some)
            }
            (None, _) => Ok(()),
        };
        if let Err(error) = begun {
            download.cached = None;
            error
                .into_iter()
                .for_each(|error| self.report_cache_error(error));
        }
    }

    async fn body(
        &self,
        download: &mut Download<'_, '_>,
        response: &Response,
        mut skip: u64,
    ) -> Result<Outcome, HubError> {
        let broken = |error: JsValue| Ok(Outcome::Broken(out_of_reach(&describe(&error))));
        let Some(body) = response.body() else {
            return Ok(Outcome::Broken("the response has no body".into()));
        };
        let reader = match body.get_reader().dyn_into::<ReadableStreamDefaultReader>() {
            Ok(reader) => reader,
            Err(error) => return broken(error.into()),
        };
        let mut bytes = Vec::new();
        let mut copy = Vec::new();
        loop {
            match next_piece(&reader, &mut bytes).await {
                Ok(true) => (),
                Ok(false) => break,
                Err(error) => return broken(error),
            }
            let over = (skip as usize).min(bytes.len());
            skip -= over as u64;
            let mut new = &bytes[over..];
            if let Some(to_f16) = &mut download.to_f16 {
                copy.clear();
                if let Err(error) = to_f16.push(new, &mut copy) {
                    (self.notify)(diagnostic!(
                        "stored-f32",
                        "{name} is stored as f32: {error}.",
                        name = self.name,
                        error
                    ));
                    download.begin_anew().await;
                    download.to_f16 = None;
                    return Ok(Outcome::Broken(error.to_string()));
                }
                new = &copy;
            }
            if new.is_empty() {
                continue;
            }
            if download.offset == 0 && download.to_f16.is_some() {
                self.begin_cached(download).await;
            }
            if let Some(cached) = &mut download.cached
                && cached.position() == download.offset
                && let Err(error) = cached.append(new).await
            {
                download.cached = None;
                self.report_cache_error(error);
            }
            if download.give(new)?.is_break() {
                let _ = JsFuture::from(reader.cancel()).await; // nobody listens any more
                return Ok(Outcome::Done);
            }
        }
        match download.total {
            0 => Ok(Outcome::Done),
            total if download.offset == total => Ok(Outcome::Done),
            total => Ok(Outcome::Broken(format!(
                "only {} of {total} bytes were received",
                download.offset
            ))),
        }
    }
}

impl Download<'_, '_> {
    fn give(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>, HubError> {
        let chunk = Chunk {
            offset: self.offset,
            bytes,
            total: self.total,
        };
        self.offset += bytes.len() as u64;
        (self.sink)(chunk)
    }

    /// Passes the cached bytes to the sink. `Break` if it has seen enough.
    async fn take_cached(&mut self) -> Result<ControlFlow<()>, HubError> {
        let chunks = self.cached.as_ref().map_or(0, CachedFile::chunks);
        let ask = |download: &Self, index| {
            let cached = download.cached.as_ref().filter(|_| index < chunks);
            cached.map(|cached| cached.request_chunk(index))
        };
        let mut next = ask(self, 0);
        for index in 0..chunks {
            let Some(asked) = next.take() else { break };
            next = ask(self, index + 1);
            let Some(chunk) = asked.read().await else {
                // Damaged: downloaded again.
                self.begin_anew().await;
                return Ok(ControlFlow::Continue(()));
            };
            if self.give(&chunk)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        match self.total > 0 && self.offset == self.total {
            true => Ok(ControlFlow::Break(())),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    async fn begin_anew(&mut self) {
        if let Some(cached) = &mut self.cached {
            cached.discard().await;
        }
        (self.offset, self.total, self.identity) = (0, 0, None);
    }
}

/// Contents at a URL; `None` if the server does not give them.
async fn get(url: &str) -> Result<Option<Vec<u8>>, JsValue> {
    let response = fetch(url, "GET", 0).await?;
    if !response.ok() {
        return Ok(None);
    }
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Some(Uint8Array::new(&buffer).to_vec()))
}

async fn fetch(url: &str, method: &str, offset: u64) -> Result<Response, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().dyn_into()?;
    let options = RequestInit::new();
    options.set_method(method);
    if offset > 0 {
        let headers = js_sys::Object::new();
        Reflect::set(
            &headers,
            &"Range".into(),
            &format!("bytes={offset}-").into(),
        )?;
        options.set_headers(&headers);
    }
    JsFuture::from(scope.fetch_with_str_and_init(url, &options))
        .await?
        .dyn_into()
}

/// Reads the next bytes; `false` at the end.
async fn next_piece(
    reader: &ReadableStreamDefaultReader,
    bytes: &mut Vec<u8>,
) -> Result<bool, JsValue> {
    let part = JsFuture::from(reader.read()).await?;
    if Reflect::get(&part, &"done".into())?.is_truthy() {
        return Ok(false);
    }
    let chunk: Uint8Array = Reflect::get(&part, &"value".into())?.dyn_into()?;
    bytes.resize(chunk.length() as usize, 0);
    chunk.copy_to(bytes);
    Ok(true)
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok()?
}

/// Validator of a file's version (ETag or similar).
fn identity(response: &Response) -> Option<String> {
    header(response, "etag")
        .map(|etag| etag.trim_start_matches("W/").to_owned())
        .or_else(|| header(response, "last-modified"))
}

/// Start of a range: `Content-Range: bytes 100-199/200`.
fn starts_at(response: &Response) -> Option<u64> {
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

fn out_of_reach(error: &str) -> String {
    format!("the server cannot be reached, or does not allow other sites to read from it ({error})")
}
