//! Sources of model files, and the bundle of a model's config, tokenizer and
//! preprocessing.
//!
//! A model is a folder with config, weights, and optionally a tokenizer and preprocessing
//! config; or a weights file alone. The same code opens the bundled model, a folder on
//! disk, files from the visitor, and a repository of a hub, through [`ModelFiles`].

#[cfg(feature = "compute")]
mod bundle;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod cache;
mod cached_model;
#[cfg(any(
    all(target_arch = "wasm32", feature = "worker"),
    all(feature = "hub", not(target_arch = "wasm32"))
))]
mod conversion;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod files;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod http;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod http_request;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod http_rows;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
mod local;
mod model_location;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
mod native;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
mod remote;
#[cfg(feature = "compute")]
mod shards;
#[cfg(feature = "compute")]
mod token_rows;
#[cfg(feature = "compute")]
mod twins;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod web;

#[cfg(feature = "compute")]
pub use bundle::{
    BUNDLED_FILES, Chunk, ChunkSink, HUGGING_FACE_CONFIG, HubError, LoadProgress, LoadTarget,
    Loaded, ModelBundle, ModelFiles, OPEN_CLIP_CONFIG, load, open, stream_weights,
};
pub use cached_model::CachedModel;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub use files::BrowserFiles;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub use http::{HttpFiles, page_file};
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
pub use local::{Bundled, Folder};
pub use model_location::{ModelLocation, ModelLocationError, hub_dataset, is_hub_dataset};
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
pub use native::NativeModelFiles;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub use remote::{Remote, fetch_shards};
#[cfg(feature = "compute")]
pub use token_rows::{RowsFuture, TokenRows, TokenTable};
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub use web::WebModelFiles;
