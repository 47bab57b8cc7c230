//! Shards in CLIP_benchmark's layout at an address: downloaded piece by piece into files of the
//! browser's, which keeps large ones on disk.

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, ReadableStreamDefaultReader, Response};

use super::engine::describe;
use super::files::text_of;
use crate::app::domain::evaluation::Download;
use crate::app::i18n::message;
use crate::diagnostic::Diagnostic;

/// Files of a data set, by path.
type Found = Vec<(String, Option<File>)>;

/// Reply of a server that has the file.
enum Reply {
    Here(Response),
    /// There is no such file.
    Absent,
}

/// Downloads the test part of a data set, with its class names and templates, from the folder
/// `base`. `on_progress` says whether to go on; without that, nothing is returned.
pub async fn download_shards(
    base: &str,
    on_progress: impl Fn(Download) -> bool,
) -> Result<Found, Diagnostic> {
    let mut found = Found::new();
    let mut at = Download::default();
    for path in ["classnames.txt", "zeroshot_classification_templates.txt"] {
        if let Reply::Here(response) = request(base, path).await? {
            let blob = body(&response, path, |_, _| on_progress(at)).await?;
            found.extend(blob.map(|blob| named(path, &blob)).transpose()?);
        }
    }
    let counted = "test/nshards.txt";
    if let Reply::Here(response) = request(base, counted).await?
        && let Some(blob) = body(&response, counted, |_, _| on_progress(at)).await?
    {
        let text = text_of(&blob).await?;
        let total = text
            .trim()
            .parse()
            .map_err(|_| message!("shards-number-wrong", base = base, counted = counted))?;
        at.total_shards = Some(total);
    }
    while at.total_shards.is_none_or(|total| at.shards < total) {
        let path = format!("test/{}.tar", at.shards);
        let response = match (request(base, &path).await?, at.total_shards) {
            (Reply::Here(response), _) => response,
            (Reply::Absent, None) if at.shards > 0 => break,
            (Reply::Absent, Some(total)) if at.shards > 0 => {
                return Err(message!(
                    "shards-missing",
                    base = base,
                    path = path,
                    total = total
                ));
            }
            (Reply::Absent, _) => {
                return Err(message!("shards-none", base = base, path = path));
            }
        };
        let before = at.bytes;
        let blob = body(&response, &path, |bytes, share| {
            at.bytes = before + bytes;
            at.of_shard = share;
            on_progress(at)
        });
        let Some(blob) = blob.await? else {
            return Ok(Found::new());
        };
        found.push(named(&path, &blob)?);
        at.shards += 1;
        at.of_shard = Some(0.0);
    }
    Ok(found)
}

fn named(path: &str, blob: &Blob) -> Result<(String, Option<File>), Diagnostic> {
    let file = File::new_with_blob_sequence(&Array::of1(blob), path);
    Ok((path.into(), Some(file.map_err(|error| describe(&error))?)))
}

async fn request(base: &str, path: &str) -> Result<Reply, Diagnostic> {
    let address = format!("{base}{path}");
    let window = web_sys::window().ok_or("no window")?;
    let response = JsFuture::from(window.fetch_with_str(&address)).await;
    // The browser does not tell which of the two it is.
    let response: Response = response.and_then(JsCast::dyn_into).map_err(|error| {
        message!(
            "shards-unreachable",
            address = address,
            error = describe(&error)
        )
    })?;
    match response.status() {
        404 => Ok(Reply::Absent),
        401 | 403 => Err(message!(
            "shards-restricted",
            address = address,
            status = response.status()
        )),
        _ if response.ok() => Ok(Reply::Here(response)),
        code => Err(message!("shards-refused", address = address, code = code)),
    }
}

/// Body of a response. `on_bytes` gets the bytes so far and the share of the whole, if known,
/// and says whether to go on; `None` if not.
async fn body(
    response: &Response,
    path: &str,
    mut on_bytes: impl FnMut(u64, Option<f64>) -> bool,
) -> Result<Option<Blob>, Diagnostic> {
    let broken = |error| message!("shards-broke-off", path = path, error = describe(&error));
    let stream = response
        .body()
        .ok_or_else(|| message!("shards-empty", path = path))?;
    let reader: ReadableStreamDefaultReader = stream
        .get_reader()
        .dyn_into()
        .map_err(|other| broken(other.into()))?;
    // The length of a compressed response is not that of its content.
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let total: Option<f64> = header("content-length")
        .filter(|_| header("content-encoding").is_none())
        .and_then(|length| length.parse().ok());
    let pieces = Array::new();
    let mut bytes = 0;
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(broken)?;
        if Reflect::get(&part, &"done".into())
            .map_err(broken)?
            .is_truthy()
        {
            break;
        }
        let piece: Uint8Array = (Reflect::get(&part, &"value".into()))
            .and_then(JsCast::dyn_into)
            .map_err(broken)?;
        bytes += u64::from(piece.length());
        pieces.push(&piece);
        let share = total
            .filter(|total| *total > 0.0)
            .map(|total| bytes as f64 / total);
        if !on_bytes(bytes, share) {
            // Nobody listens any more.
            let _ = JsFuture::from(reader.cancel()).await;
            return Ok(None);
        }
    }
    Blob::new_with_u8_array_sequence(&pieces)
        .map(Some)
        .map_err(broken)
}
