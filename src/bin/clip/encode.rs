//! Many image files through the image encoder: all cores read and decode, one feeds the model.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use clip::diagnostic::{Diagnostic, ToDiagnostic};
use clip::engine::Engine;
use clip::library::ImageFacts;
use clip::preprocess::{decode, preprocess};

use crate::Failure;

/// Image with its features.
pub struct Encoded {
    pub image: ImageFacts,
    /// Normalised, `[embed_dim]`.
    pub features: Vec<f32>,
}

/// Why a file has no features.
pub enum Unusable {
    /// It could not be read, this time.
    Unread(io::Error),
    /// It is no image, or one that is damaged or not supported.
    NoImage(Diagnostic),
}

/// Images that go through the encoder together.
const BATCH: usize = 16;

/// Encodes `files`, paths relative to `root`. `take` gets the index of each file and its result, in no
/// particular order.
pub fn encode_files(
    engine: &Engine,
    root: &Path,
    files: &[&str],
    mut take: impl FnMut(usize, Result<Encoded, Unusable>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let config = engine.preprocess();
    let next = AtomicUsize::new(0);
    // Few: a decoded image may take hundreds of megabytes, a preprocessed one takes one.
    let (sender, receiver) = sync_channel(BATCH);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = files.get(index) else {
                        break;
                    };
                    let prepared = fs::read(root.join(path))
                        .map_err(Unusable::Unread)
                        .and_then(|bytes| {
                            let picture = decode(&bytes)
                                .map_err(|error| Unusable::NoImage(error.to_diagnostic()))?;
                            Ok((
                                ImageFacts::new(&bytes, &picture),
                                preprocess(&picture, config),
                            ))
                        });
                    // The receiver is gone after an error.
                    if sender.send((index, prepared)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        pollster::block_on(async {
            let mut batch = Vec::with_capacity(BATCH);
            let mut pixels = Vec::with_capacity(BATCH);
            loop {
                let received = receiver.recv().ok();
                let ended = received.is_none();
                match received {
                    Some((index, Ok((image, preprocessed)))) => {
                        batch.push((index, image));
                        pixels.push(preprocessed);
                    }
                    Some((index, Err(error))) => take(index, Err(error))?,
                    None => {}
                }
                if batch.len() == BATCH || (ended && !batch.is_empty()) {
                    let features = engine.image_features(&pixels).await?;
                    pixels.clear();
                    for ((index, image), features) in batch.drain(..).zip(features) {
                        take(index, Ok(Encoded { image, features }))?;
                    }
                }
                if ended {
                    return Ok(());
                }
            }
        })
    })
}
