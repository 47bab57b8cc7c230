//! Rows of a token embedding by HTTP ranges, kept in the browser.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use super::HubError;
use super::cache::{ModelCache, describe, not_saved};
use super::http_request::{FIRST_WAIT_MS, identity, out_of_reach, request, starts_at};
use super::token_rows::{KnownRows, RowsFuture, TokenRows, row_ranges};
use crate::diagnostic::Diagnostic;
use crate::weights::OmittedTable;

/// Requests at once.
const AT_ONCE: usize = 6;
/// Rows between two that are wanted which are fetched with them: 32 of SigLIP 2's B models have
/// 100 kB, and take less time than a request.
const APART: u32 = 32;
/// Tries of a request.
const MAX_TRIES: u32 = 3;

/// Rows of a table in a file on a server.
pub struct HttpRows {
    /// Display name of the model, and key in the cache.
    model: String,
    /// Name of the file.
    file: String,
    url: String,
    table: OmittedTable,
    /// Validator of the version that the rest of the weights is from.
    identity: Option<String>,
    cache: Option<Rc<ModelCache>>,
    /// Sink of messages for the visitor.
    notify: Rc<dyn Fn(Diagnostic)>,
    /// Rows of this and of earlier visits, read on first use.
    known: RefCell<Option<KnownRows>>,
}

impl HttpRows {
    /// Rows of the `table` of a file: name of the model, of the file, and its URL.
    pub fn new(
        [model, file, url]: [&str; 3],
        table: OmittedTable,
        identity: Option<String>,
        cache: Option<Rc<ModelCache>>,
        notify: Rc<dyn Fn(Diagnostic)>,
    ) -> Self {
        Self {
            model: model.into(),
            file: file.into(),
            url: url.into(),
            table,
            identity,
            cache,
            notify,
            known: RefCell::default(),
        }
    }

    /// Reads the rows that earlier visits have kept.
    async fn read_kept(&self) {
        if self.known.borrow().is_some() {
            return;
        }
        let kept = match &self.cache {
            Some(cache) => cache.rows(&self.model, &self.file).await,
            None => None,
        };
        let row_bytes = self.table.copied_row_bytes();
        let known = KnownRows::read(row_bytes, &kept.unwrap_or_default());
        self.known.replace(Some(known));
    }

    /// Keeps all rows that are known.
    async fn keep(&self) {
        let rows = self.known.borrow().as_ref().map(KnownRows::write);
        if let (Some(cache), Some(rows)) = (&self.cache, rows)
            && let Err(error) = cache.put_rows(&self.model, &self.file, &rows).await
        {
            (self.notify)(not_saved(&self.model, error));
        }
    }

    /// Fetches ranges of rows, several at once. What has come is kept even if one fails.
    async fn fetch_ranges(&self, ranges: Vec<Range<u32>>) -> Result<(), HubError> {
        let mut waiting = ranges.into_iter();
        let mut begun = VecDeque::new();
        loop {
            while begun.len() < AT_ONCE
                && let Some(range) = waiting.next()
            {
                begun.push_back((range.clone(), self.request(&range)));
            }
            let Some((range, asked)) = begun.pop_front() else {
                return Ok(());
            };
            let bytes = self.rows(&range, asked).await?;
            let rows =
                (self.table.convert(bytes)).map_err(|error| self.error(error.to_string()))?;
            if let Some(known) = &mut *self.known.borrow_mut() {
                known.insert(range.start, &rows);
            }
        }
    }

    /// Response to come; the request is on its way.
    fn request(&self, range: &Range<u32>) -> Result<JsFuture, JsValue> {
        let (from, to) = self.table.byte_range(range.start, range.end);
        request(&self.url, "GET", from, Some(to)).map(JsFuture::from)
    }

    /// Bytes of a range of rows, of which the first request is on its way.
    async fn rows(
        &self,
        range: &Range<u32>,
        mut asked: Result<JsFuture, JsValue>,
    ) -> Result<Vec<u8>, HubError> {
        let mut tries = 1;
        loop {
            let why = match self.receive(range, asked).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(why)) => why,
                Err(error) => out_of_reach(&describe(&error)),
            };
            if tries == MAX_TRIES {
                return Err(self.error(why));
            }
            TimeoutFuture::new(FIRST_WAIT_MS << (tries - 1)).await;
            tries += 1;
            asked = self.request(range);
        }
    }

    /// Bytes of a response, or why they are not to be used.
    async fn receive(
        &self,
        range: &Range<u32>,
        asked: Result<JsFuture, JsValue>,
    ) -> Result<Result<Vec<u8>, String>, JsValue> {
        let (from, to) = self.table.byte_range(range.start, range.end);
        let response: Response = asked?.await?.dyn_into()?;
        let now = identity(&response);
        match response.status() {
            206 if starts_at(&response) != Some(from) => {
                return Ok(Err("the server gave another part of the file".into()));
            }
            206 if now.is_some() && self.identity.is_some() && now != self.identity => {
                return Ok(Err(
                    "the file has changed on the server: load the model again".into(),
                ));
            }
            206 => {}
            200..=299 => {
                return Ok(Err("the server gives no parts of the file any more".into()));
            }
            code => return Ok(Err(format!("the server responded with status {code}"))),
        }
        let buffer = JsFuture::from(response.array_buffer()?).await?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        match bytes.len() as u64 == to - from {
            true => Ok(Ok(bytes)),
            false => Ok(Err(format!(
                "only {} of {} bytes were received",
                bytes.len(),
                to - from
            ))),
        }
    }

    fn error(&self, why: String) -> HubError {
        HubError::Read {
            file: format!("{} of {}", self.file, self.model),
            why,
        }
    }
}

impl TokenRows for HttpRows {
    fn count(&self) -> usize {
        self.table.rows() as usize
    }

    fn fetch<'a>(&'a self, ids: &'a [u32]) -> RowsFuture<'a> {
        Box::pin(async move {
            self.read_kept().await;
            let missing = (self.known.borrow().as_ref()).map(|known| known.missing(ids));
            let missing = missing.unwrap_or_default();
            let rows = self.table.rows();
            if let Some(id) = missing.iter().find(|id| **id >= rows) {
                return Err(self.error(format!("it has no word {id}, only {rows}")));
            }
            if !missing.is_empty() {
                let mut ranges = row_ranges(missing, APART);
                ranges
                    .iter_mut()
                    .for_each(|range| range.end = range.end.min(rows));
                let fetched = self.fetch_ranges(ranges).await;
                self.keep().await;
                fetched?;
            }
            let rows = (self.known.borrow().as_ref()).map(|known| known.concat(ids));
            Ok(rows.unwrap_or_default())
        })
    }
}
