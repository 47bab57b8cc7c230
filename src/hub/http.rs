//! Model files by HTTP: the page's own, a hub's, or those at any address.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use super::cache::{CacheError, CachedFile, ModelCache, describe, not_saved};
use super::http_request::{
    FIRST_WAIT_MS, fetch, header, identity, out_of_reach, starts_at, total_of_range,
};
use super::http_rows::HttpRows;
use super::{
    BUNDLED_FILES, Chunk, ChunkSink, HubError, ModelFiles, ModelLocation, TokenRows, conversion,
};
use crate::diagnostic::{Diagnostic, diagnostic};
use crate::model::StoredPrecision;
use crate::weights::{CopyLayout, CopyOptions, FileCopier, WeightsError};

/// URL of CLIP's own vocabulary, relative to the page.
const CLIP_VOCABULARY: &str = "clip_vocabulary/merges.txt.gz";

/// Consecutive failures before giving up: after some data arrived, and before.
const MAX_TRIES: [u32; 2] = [6, 3];

/// Why nothing is left out of a download.
fn no_parts() -> Diagnostic {
    diagnostic!("no-parts", "its server gives no parts of a file")
}

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
    /// How the copy of weights that is passed on and cached differs from the server's file.
    copy: CopyOptions,
    /// Rows that the weights were passed on without.
    rows: Rc<RefCell<Option<Rc<HttpRows>>>>,
    /// Whether the visitor was told that nothing is left out.
    told_whole: Cell<bool>,
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
            copy: CopyOptions::default(),
            rows: Rc::default(),
            told_whole: Cell::new(false),
            notify: Rc::new(|_| ()),
            offline: Cell::new(false),
        }
    }

    /// Model at a location. Files are cached in `cache`, weights as a `copy`; `notify` gets messages
    /// for the visitor.
    pub fn at(
        location: &ModelLocation,
        hub: &str,
        cache: Option<Rc<ModelCache>>,
        copy: CopyOptions,
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
            copy,
            rows: Rc::default(),
            told_whole: Cell::new(false),
            notify,
            offline: Cell::new(false),
        }
    }

    /// Another model of the same hub. Rows of a token embedding are those of the last weights that were opened.
    fn of(&self, location: &ModelLocation) -> Self {
        let (cache, notify) = (self.cache.clone(), self.notify.clone());
        Self {
            rows: self.rows.clone(),
            ..Self::at(location, &self.hub, cache, self.copy, notify)
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
        match fetch(url, "HEAD", 0, None).await {
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

    /// Tells why a file is downloaded as a whole, though its words were to be left out.
    fn tell_whole(&self, reason: Diagnostic) {
        if !self.told_whole.replace(true) {
            (self.notify)(diagnostic!(
                "downloaded-whole",
                "{name} is downloaded as a whole: {reason}.",
                name = self.name,
                reason
            ));
        }
    }

    /// Reports that a file cannot be cached.
    fn report_cache_error(&self, error: CacheError) {
        (self.notify)(not_saved(&self.name, error));
    }
}

/// State of a download.
struct Download<'a, 'b> {
    url: String,
    /// Bytes that the sink has; of the copy, if there is one.
    offset: u64,
    /// Length of what the sink gets; 0 if unknown.
    total: u64,
    identity: Option<String>,
    cached: Option<CachedFile<'a>>,
    /// Converter of the server's file to a copy that differs.
    copier: Option<FileCopier>,
    /// Whether all of it is cached.
    stored: bool,
    sink: &'b mut ChunkSink<'b>,
}

/// Outcome of one request.
enum Outcome {
    /// Complete, or the sink has seen enough.
    Done,
    /// The part that was asked for is there, and the next is wanted.
    Part,
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
        let begun = cached.as_ref().filter(|cached| cached.kept_bytes() > 0);
        let copier = match begun.map(CachedFile::copy) {
            Some(layout) => layout.cloned().map(FileCopier::with_layout),
            None => {
                let copy = match cached {
                    Some(_) => self.copy,
                    None => CopyOptions {
                        precision: StoredPrecision::AsDownloaded,
                        ..self.copy
                    },
                };
                (file.ends_with(".safetensors") && copy != CopyOptions::default())
                    .then(|| FileCopier::new(0, copy))
            }
        };
        let mut download = Download {
            url,
            offset: 0,
            stored: cached.as_ref().is_some_and(CachedFile::complete),
            total: cached.as_ref().map_or(0, CachedFile::total),
            identity: (cached.as_ref()).and_then(|cached| cached.identity().map(str::to_owned)),
            cached,
            copier,
            sink: &mut *sink,
        };
        let found = self.run(&mut download).await;
        match (&found, &mut download.cached) {
            // Nothing is wrong with the file.
            (Err(HubError::Weights(WeightsError::OmittedTable)), _) => {}
            // A cached copy would be rejected on every further visit.
            (Err(HubError::Weights(_)), Some(cached)) => cached.discard().await,
            _ => {}
        }
        let layout = download.copier.as_ref().and_then(FileCopier::layout);
        if let Some(table) = layout.and_then(CopyLayout::table) {
            let rows = HttpRows::new(
                [&self.name, file, &download.url],
                table.clone(),
                download.identity,
                self.cache.clone(),
                self.notify.clone(),
            );
            self.rows.replace(Some(Rc::new(rows)));
        }
        found
    }

    fn token_rows(&self) -> Option<Rc<dyn TokenRows>> {
        let rows = self.rows.borrow().clone();
        rows.map(|rows| rows as Rc<dyn TokenRows>)
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        page_file(CLIP_VOCABULARY).await
    }

    fn other(&self, name: &str) -> Result<Option<Self>, HubError> {
        Ok(ModelLocation::parse(name)
            .ok()
            .map(|location| self.of(&location)))
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
        Ok(found.map(|number| self.of(&conversion::location(id, number))))
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
                Outcome::Part => continue,
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
        let (from, to) = match &mut download.copier {
            Some(copier) => copier.seek(download.offset),
            None => (download.offset, None),
        };
        let response = match fetch(&download.url, "GET", from, to).await {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Broken(out_of_reach(&describe(&error)))),
        };
        let refused = |why: String| HubError::Read {
            file: download.url.clone(),
            why,
        };
        let now = identity(&response);
        let same = download.identity.is_some() && now == download.identity;
        let first = download.offset == 0;
        let mut skip = 0;
        let mut asked = to.map(|to| to - from);
        match response.status() {
            404 => return Ok(Outcome::Absent),
            206 if starts_at(&response) == Some(from) && (same || first || now.is_none()) => (),
            // The answer's range is not to be read by other sites: nothing may be left out.
            206 if first && starts_at(&response).is_none() => {
                download.do_not_omit();
                self.tell_whole(no_parts());
                return Ok(Outcome::Part);
            }
            // The file changed, or the range is another than requested.
            206 | 416 => {
                download.begin_anew().await;
                return Ok(Outcome::Broken(
                    "the file changed on the server during the download".into(),
                ));
            }
            // The server ignores ranges: skip what is here already.
            200..=299 if from > 0 && same => (skip, asked) = (from, None),
            200..=299 => {
                download.begin_anew().await;
                asked = None;
                if download.do_not_omit() {
                    self.tell_whole(no_parts());
                }
            }
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
            let length = match response.status() {
                206 => total_of_range(&response),
                _ => header(&response, "content-length").and_then(|length| length.parse().ok()),
            };
            download.total = length.filter(|_| !encoded).unwrap_or(0);
            match &mut download.copier {
                // Its length is known with the header.
                Some(copier) => copier.begin_anew(download.total),
                None => self.begin_cached(download).await,
            }
        }
        self.body(download, &response, skip, asked).await
    }

    /// Starts the cached file over, as the download's first bytes are known.
    async fn begin_cached(&self, download: &mut Download<'_, '_>) {
        let layout = (download.copier.as_ref()).and_then(|copier| copier.layout().cloned());
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

    /// Takes the body of a response. Of it the first `skip` bytes are here already; `asked` is its
    /// length if only a part of the file was asked for.
    async fn body(
        &self,
        download: &mut Download<'_, '_>,
        response: &Response,
        mut skip: u64,
        asked: Option<u64>,
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
        let mut received = 0;
        loop {
            match next_piece(&reader, &mut bytes).await {
                Ok(true) => (),
                Ok(false) => break,
                Err(error) => return broken(error),
            }
            received += bytes.len() as u64;
            let over = skip.min(bytes.len() as u64) as usize;
            skip -= over as u64;
            let mut new = &bytes[over..];
            let mut at_gap = false;
            if let Some(copier) = &mut download.copier {
                copy.clear();
                if let Err(error) = copier.push(new, &mut copy) {
                    (self.notify)(diagnostic!(
                        "stored-f32",
                        "{name} is stored as f32: {error}.",
                        name = self.name,
                        error
                    ));
                    let options = CopyOptions {
                        precision: StoredPrecision::AsDownloaded,
                        ..copier.options()
                    };
                    download.begin_anew().await;
                    download.copier = Some(FileCopier::new(0, options));
                    return Ok(Outcome::Broken(error.to_string()));
                }
                at_gap = copier.at_gap();
                new = &copy;
            }
            if new.is_empty() && !at_gap {
                continue;
            }
            if download.offset == 0
                && let Some(copier) = &download.copier
            {
                if copier.has_small_table() {
                    self.tell_whole(diagnostic!(
                        "few-words",
                        "its words are only a small part of it"
                    ));
                }
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
            if at_gap && download.offset != download.total {
                let _ = JsFuture::from(reader.cancel()).await; // the rest is not wanted
                return Ok(Outcome::Part);
            }
        }
        match download.total {
            total if total > 0 && download.offset == total => Ok(Outcome::Done),
            _ if asked == Some(received) => Ok(Outcome::Part),
            0 => Ok(Outcome::Done),
            total => Ok(Outcome::Broken(format!(
                "only {} of {total} bytes were received",
                download.offset
            ))),
        }
    }
}

impl Download<'_, '_> {
    fn give(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>, HubError> {
        let mut chunk = Chunk::new(self.offset, bytes, self.total);
        let layout = self.copier.as_ref().and_then(FileCopier::layout);
        if let Some(layout) = layout.filter(|_| !self.stored) {
            (chunk.progress.bytes, chunk.progress.total_bytes) = layout.progress(chunk.done());
        }
        self.offset = chunk.done();
        (self.sink)(chunk)
    }

    /// Passes the cached bytes to the sink. `Break` if it has seen enough.
    async fn take_cached(&mut self) -> Result<ControlFlow<()>, HubError> {
        let ask = |download: &Self, from| download.cached.as_ref()?.request(from);
        let mut next = ask(self, 0);
        while let Some(asked) = next.take() {
            next = ask(self, asked.end());
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

    /// Downloads the file as a whole. Returns whether a part was to be left out.
    fn do_not_omit(&mut self) -> bool {
        let Some(copier) = &mut self.copier else {
            return false;
        };
        let options = copier.options();
        let omit_table = false;
        *copier = FileCopier::new(
            0,
            CopyOptions {
                omit_table,
                ..options
            },
        );
        options.omit_table
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
    let response = fetch(url, "GET", 0, None).await?;
    if !response.ok() {
        return Ok(None);
    }
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Some(Uint8Array::new(&buffer).to_vec()))
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
