//! Models that come over the network: from beside the page, a hub, any address.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, RequestInit, Response, WorkerGlobalScope};

use super::kept::{KeepError, KeptFile, Shelf, describe};
use super::{BUNDLED_FILES, HubError, ModelFiles, Piece, Take};
use crate::engine::Place;

/// Address of CLIP's own vocabulary, relative to the page.
const CLIP_VOCABULARY: &str = "clip_vocabulary/merges.txt.gz";

/// How often in a row a connection may fail before it is given up: where
/// something has come already, and where nothing ever did.
const TRIES: [u32; 2] = [6, 3];
/// Before the second of these tries; doubled for each further one.
const FIRST_WAIT_MS: u32 = 400;

/// A model's folder on a web server.
pub struct Fetched {
    /// For people, and the name that it is kept under.
    name: String,
    /// Address of the folder, with a slash at its end.
    base: String,
    /// The weights' address, where it was named.
    weights: Option<String>,
    /// All there is in it, where that is known: nothing else is asked for.
    files: Option<&'static [&'static str]>,
    /// Never changes (a commit): what is kept need not be compared.
    fixed: bool,
    shelf: Option<Rc<Shelf>>,
    /// What the visitor should know of how it went.
    tell: Rc<dyn Fn(String)>,
    /// The network is not there; what is kept has to do.
    offline: Cell<bool>,
}

impl Fetched {
    /// The model that ships with the page, in the folder `base`.
    pub fn bundled(base: &str) -> Self {
        Self {
            name: "bundled".into(),
            base: base.into(),
            weights: None,
            files: Some(BUNDLED_FILES),
            fixed: true,
            shelf: None,
            tell: Rc::new(|_| ()),
            offline: Cell::new(false),
        }
    }

    /// A place on the network. What comes is kept on `shelf`; `tell` hears what
    /// a visitor should know of how it goes.
    pub fn place(
        place: &Place,
        hub: &str,
        shelf: Option<Rc<Shelf>>,
        tell: Rc<dyn Fn(String)>,
    ) -> Self {
        let (base, weights, fixed) = match place {
            Place::Hub { id, revision } => {
                let fixed = revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit());
                // A revision is one part of the path, whatever slashes are in it.
                let revision = revision.replace('/', "%2F");
                let hub = hub.trim_end_matches('/');
                (format!("{hub}/{id}/resolve/{revision}/"), None, fixed)
            }
            Place::Url(url) if url.ends_with('/') => (url.clone(), None, false),
            Place::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
                (folder.to_owned(), Some(url.clone()), false)
            }
        };
        Self {
            name: place.to_string(),
            base,
            weights,
            files: None,
            fixed,
            shelf,
            tell,
            offline: Cell::new(false),
        }
    }

    fn address(&self, file: &str) -> String {
        match &self.weights {
            Some(url) if self.weights().as_deref() == Some(file) => url.clone(),
            _ => format!("{}{file}", self.base),
        }
    }

    /// `false` when what is kept is no longer what the server has.
    async fn still_current(&self, url: &str, kept: &KeptFile<'_>) -> bool {
        if self.fixed || self.offline.get() {
            return true;
        }
        match fetch(url, "HEAD", 0).await {
            Ok(response) if response.status() == 404 => kept.absent(),
            Ok(response) if response.ok() => {
                let (now, total) = (identity(&response), header(&response, "content-length"));
                let same_identity = match (now.as_deref(), kept.identity()) {
                    (Some(now), Some(then)) => now == then,
                    _ => true,
                };
                let same_length = total.is_none_or(|total| total == kept.total().to_string());
                !kept.absent() && same_identity && same_length
            }
            // Refused or out of reach: what is here still works.
            Ok(_) => true,
            Err(_) => {
                self.offline.set(true);
                true
            }
        }
    }

    /// Gives up keeping a file, and says so once it matters.
    fn cannot_keep(&self, error: KeepError) {
        let why = match error {
            KeepError::Full => "not enough storage space: delete other models".into(),
            KeepError::Other(why) => why,
        };
        (self.tell)(format!(
            "{} could not be saved for the next visit ({why}). You can still use it now.",
            self.name
        ));
    }
}

/// Where a download stands.
struct Download<'a, 'b> {
    url: String,
    offset: u64,
    total: u64,
    identity: Option<String>,
    kept: Option<KeptFile<'a>>,
    take: &'b mut Take<'b>,
}

/// How one connection ended.
enum End {
    /// The file is whole, or the taker has seen enough.
    Done,
    /// There is no such file.
    Absent,
    /// It may work the next time.
    Broken(String),
}

impl ModelFiles for Fetched {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn weights(&self) -> Option<String> {
        let path = self.weights.as_ref()?.split(['?', '#']).next()?;
        path.rsplit('/').next().map(str::to_owned)
    }

    async fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HubError> {
        /// No config or tokenizer is larger.
        const MOST: usize = 64 << 20;
        let mut bytes = Vec::new();
        let mut take = |piece: Piece| {
            if piece.offset == 0 {
                bytes.clear();
            }
            bytes.extend_from_slice(piece.bytes);
            match bytes.len() <= MOST {
                true => Ok(ControlFlow::Continue(())),
                false => Err(HubError::Read {
                    file: file.into(),
                    why: "it is too large for a file of this kind".into(),
                }),
            }
        };
        let found = self.stream(file, &mut take).await?;
        Ok(found.then_some(bytes))
    }

    async fn stream(&self, file: &str, take: &mut Take<'_>) -> Result<bool, HubError> {
        if self.files.is_some_and(|files| !files.contains(&file)) {
            return Ok(false);
        }
        let url = self.address(file);
        let mut kept = match &self.shelf {
            Some(shelf) => Some(KeptFile::open(shelf, &self.name, file).await),
            None => None,
        };
        if let Some(kept) = kept.as_mut().filter(|kept| kept.known()) {
            if !self.still_current(&url, kept).await {
                if !kept.absent() {
                    (self.tell)(format!(
                        "{file} of {} has changed since the last visit and was downloaded again.",
                        self.name
                    ));
                }
                kept.discard().await;
            } else if kept.absent() {
                return Ok(false);
            }
        }
        let mut download = Download {
            url,
            offset: 0,
            total: kept.as_ref().map_or(0, KeptFile::total),
            identity: (kept.as_ref()).and_then(|kept| kept.identity().map(str::to_owned)),
            kept,
            take: &mut *take,
        };
        let found = self.run(&mut download).await;
        if let (Err(HubError::Weights(_)), Some(kept)) = (&found, &mut download.kept) {
            // Kept like this it would be refused on every further visit.
            kept.discard().await;
        }
        found
    }

    async fn clip_vocabulary(&self) -> Result<Vec<u8>, HubError> {
        let page = Self {
            files: None,
            ..Self::bundled("")
        };
        (Box::pin(page.read(CLIP_VOCABULARY)).await?).ok_or_else(|| HubError::Read {
            file: CLIP_VOCABULARY.into(),
            why: "the page's server does not have it".into(),
        })
    }
}

impl Fetched {
    async fn run(&self, download: &mut Download<'_, '_>) -> Result<bool, HubError> {
        if download.take_kept().await?.is_break() {
            return Ok(true);
        }
        let mut failures = 0;
        loop {
            let before = download.offset;
            let why = match self.connect(download).await? {
                End::Done => return Ok(true),
                End::Absent => {
                    if let Some(kept) = &mut download.kept
                        && let Err(error) = kept.begin_absent().await
                    {
                        download.kept = None;
                        self.cannot_keep(error);
                    }
                    return Ok(false);
                }
                End::Broken(why) => why,
            };
            failures = if download.offset > before {
                1
            } else {
                failures + 1
            };
            if failures >= TRIES[usize::from(download.offset == 0)] {
                return Err(HubError::Read {
                    file: download.url.clone(),
                    why,
                });
            }
            TimeoutFuture::new(FIRST_WAIT_MS << (failures - 1)).await;
        }
    }

    /// One request, from where the download stands.
    async fn connect(&self, download: &mut Download<'_, '_>) -> Result<End, HubError> {
        let response = match fetch(&download.url, "GET", download.offset).await {
            Ok(response) => response,
            Err(error) => return Ok(End::Broken(out_of_reach(&describe(&error)))),
        };
        let refused = |why: String| HubError::Read {
            file: download.url.clone(),
            why,
        };
        let now = identity(&response);
        let same = download.identity.is_some() && now == download.identity;
        let mut skip = 0;
        match response.status() {
            404 => return Ok(End::Absent),
            206 if starts_at(&response) == Some(download.offset) && (same || now.is_none()) => (),
            // Another file by now, or other bytes of it than were asked for.
            206 | 416 => {
                download.begin_anew().await;
                return Ok(End::Broken(
                    "the file changed on the server during the download".into(),
                ));
            }
            // Ranges are not understood: what is here already is passed over.
            200..=299 if download.offset > 0 && same => skip = download.offset,
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
                return Ok(End::Broken(match code {
                    429 => "too many requests: wait a while and try again".into(),
                    code => format!("the server responded with status {code}"),
                }));
            }
            code => return Err(refused(format!("the server responded with status {code}"))),
        }
        if download.offset == 0 {
            download.identity = now;
            // A compressed answer's length is not that of what comes out.
            let encoded = header(&response, "content-encoding").is_some();
            download.total = header(&response, "content-length")
                .filter(|_| !encoded)
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            let begun = match (&mut download.kept, download.total) {
                // Without its length a whole file cannot be told from a broken one.
                (Some(_), 0) => Err(None),
                (Some(kept), total) => {
                    (kept.begin(download.identity.clone(), total).await).map_err(Some)
                }
                (None, _) => Ok(()),
            };
            if let Err(error) = begun {
                download.kept = None;
                error.into_iter().for_each(|error| self.cannot_keep(error));
            }
        }
        self.body(download, &response, skip).await
    }

    async fn body(
        &self,
        download: &mut Download<'_, '_>,
        response: &Response,
        mut skip: u64,
    ) -> Result<End, HubError> {
        let broken = |error: JsValue| Ok(End::Broken(out_of_reach(&describe(&error))));
        let Some(body) = response.body() else {
            return Ok(End::Broken("the response has no body".into()));
        };
        let reader = match body.get_reader().dyn_into::<ReadableStreamDefaultReader>() {
            Ok(reader) => reader,
            Err(error) => return broken(error.into()),
        };
        let mut bytes = Vec::new();
        loop {
            match next_piece(&reader, &mut bytes).await {
                Ok(true) => (),
                Ok(false) => break,
                Err(error) => return broken(error),
            }
            let over = (skip as usize).min(bytes.len());
            skip -= over as u64;
            let new = &bytes[over..];
            if new.is_empty() {
                continue;
            }
            if let Some(kept) = &mut download.kept
                && kept.position() == download.offset
                && let Err(error) = kept.append(new).await
            {
                download.kept = None;
                self.cannot_keep(error);
            }
            if download.give(new)?.is_break() {
                let _ = JsFuture::from(reader.cancel()).await; // nobody listens any more
                return Ok(End::Done);
            }
        }
        match download.total {
            0 => Ok(End::Done),
            total if download.offset == total => Ok(End::Done),
            total => Ok(End::Broken(format!(
                "only {} of {total} bytes were received",
                download.offset
            ))),
        }
    }
}

impl Download<'_, '_> {
    fn give(&mut self, bytes: &[u8]) -> Result<ControlFlow<()>, HubError> {
        let piece = Piece {
            offset: self.offset,
            bytes,
            total: self.total,
        };
        self.offset += bytes.len() as u64;
        (self.take)(piece)
    }

    /// What is kept already. `Break` when that is all that is wanted.
    async fn take_kept(&mut self) -> Result<ControlFlow<()>, HubError> {
        let chunks = self.kept.as_ref().map_or(0, KeptFile::chunks);
        let ask = |download: &Self, index| {
            let kept = download.kept.as_ref().filter(|_| index < chunks);
            kept.map(|kept| kept.ask(index))
        };
        let mut next = ask(self, 0);
        for index in 0..chunks {
            let Some(asked) = next.take() else { break };
            next = ask(self, index + 1);
            let Some(chunk) = asked.read().await else {
                // Damaged: all of it comes again.
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
        if let Some(kept) = &mut self.kept {
            kept.discard().await;
        }
        (self.offset, self.total, self.identity) = (0, 0, None);
    }
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

/// The next bytes into `bytes`; `false` at the end.
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

/// What tells this file from a later one of the same name.
fn identity(response: &Response) -> Option<String> {
    header(response, "etag")
        .map(|etag| etag.trim_start_matches("W/").to_owned())
        .or_else(|| header(response, "last-modified"))
}

/// Where a part of a file begins: `Content-Range: bytes 100-199/200`.
fn starts_at(response: &Response) -> Option<u64> {
    match header(response, "content-range") {
        Some(range) => range
            .strip_prefix("bytes ")?
            .split('-')
            .next()?
            .parse()
            .ok(),
        // Not every server lets a page see it; then its word has to do.
        None => None,
    }
}

fn out_of_reach(error: &str) -> String {
    format!("the server cannot be reached, or does not allow other sites to read from it ({error})")
}
