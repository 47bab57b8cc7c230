//! CLIP in Rust, for the browser and the command line: images and texts as vectors of one
//! space, in which what belongs together is close (Radford et al. 2021).
//!
//! ```
//! let mut model = clip::load("bundled", clip::DeviceChoice::Cpu)?;
//! let cat = std::fs::read("assets/samples/cat.jpg")?;
//! for ranked in model.classify(&cat, &["cat", "dog", "rabbit"])? {
//!     println!("{:.0} % {}", 100.0 * ranked.probability, ranked.label);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`load`] takes the name of any CLIP on the Hugging Face hub, a folder, or `"bundled"`;
//! the [`ClipModel`] gives features and rankings. The folder `examples` has whole programs:
//! `classify`, `embed`, `search` and `train_probe`. In a browser, or to go further, use
//! [`engine::Engine`], which is inside.
//!
//! # Modules
//!
//! Data flows one way: bytes -> tensors -> features -> answer.
//!
//! | module | contents |
//! | --- | --- |
//! | [`model`] | CLIP's forward pass in burn: config, transformer, image and text encoder |
//! | [`ops`] | operations of the forward pass: reference implementations and fast paths |
//! | `kernels` | CPU kernels over plain slices, and a worker pool for browsers |
//! | [`weights`] | safetensors checkpoints, in OpenCLIP's and Hugging Face's naming |
//! | `onnx` | the image encoder with a classifier, as an ONNX file |
//! | [`preprocess`] | picture file -> `[3, height, width]`, as in the reference |
//! | [`tokenizer`] | text -> token ids `[context_length]` |
//! | [`diagnostic`] | errors and notes for people, with codes for other languages |
//! | [`zero_shot`] | prompt templates, ensembles, the classifier |
//! | [`data`] | training data: folders, tables, zips; held-out splits |
//! | [`library`] | index of one's own images: search, duplicates |
//! | [`train`] | probe and adapter; contrastive loss, batches of any size, optimiser, LoRA, pre-training |
//! | [`eval`] | how good a model is |
//! | [`catalogue`] | published models by name, and which one suits a device |
//! | [`hub`] | sources of model files: disk, HTTP, a hub, the browser's cache |
//! | [`engine`] | inference engine, training jobs, and the messages between page and worker |
//! | `app` | the page (Leptos); it speaks to the engine by messages |
//!
//! # Features
//!
//! | feature | what it switches on |
//! | --- | --- |
//! | `cpu`, `gpu` | backends; at least one for anything that computes (each switches on `compute`) |
//! | `hub` | models by their name on the Hugging Face hub, natively |
//! | `training` | training, from a probe to pre-training |
//! | `library` | an index of one's own images: search, duplicates |
//! | `command` | the command `clip`: `cpu`, `hub`, `library` and `training` |
//! | `page`, `worker`, `compute-worker`, `decoder` | the programs of the web page |
//! | `relaxed-simd` | fused multiply-adds in the browser's CPU programs, where it has them |
//!
//! The default features build the command with both backends. A program that uses the library
//! takes `default-features = false` and names what it needs, such as `["cpu", "hub"]`.

#![warn(missing_docs)]

// A program, for `src/bin/web.rs` alone.
#[cfg(feature = "page")]
#[allow(missing_docs)]
pub mod app;
pub mod catalogue;
pub mod data;
pub mod diagnostic;
pub mod engine;
pub mod eval;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
mod facade;
pub mod hub;
// Only the CPU engine of a browser uses all of it.
#[cfg(feature = "kernels")]
#[cfg_attr(
    not(all(feature = "cpu", feature = "compute-worker", feature = "training")),
    allow(dead_code, unused_imports)
)]
pub(crate) mod kernels;
pub mod library;
pub mod model;
#[cfg(feature = "training")]
pub mod onnx;
#[cfg(feature = "compute")]
pub mod ops;
#[cfg(feature = "preprocess")]
pub mod preprocess;
#[cfg(feature = "compute")]
pub mod tokenizer;
pub mod train;
#[cfg(feature = "compute")]
pub mod weights;
pub mod zero_shot;

pub use engine::messages::DeviceChoice;
#[cfg(all(feature = "compute", not(target_arch = "wasm32")))]
pub use facade::{ClipError, ClipModel, LoadOptions, load};
