//! CLIP in Rust, for the browser and the command line.
//!
//! Data flows one way: bytes -> tensors -> features -> answer.
//!
//! | module | contents |
//! | --- | --- |
//! | [`model`] | CLIP's forward pass in burn: config, transformer, image and text encoder |
//! | [`ops`] | operations of the forward pass: reference implementations and fast paths |
//! | [`kernels`] | CPU kernels over plain slices, and a worker pool for browsers |
//! | [`weights`] | safetensors checkpoints, in OpenCLIP's and Hugging Face's naming |
//! | [`preprocess`] | picture file -> `[3, height, width]`, as in the reference |
//! | [`tokenizer`] | text -> token ids `[context_length]` |
//! | [`zero_shot`] | prompt templates, ensembles, the classifier |
//! | [`data`] | training data: folders, tables, zips; held-out splits |
//! | [`train`] | probe and adapter; contrastive loss, batches of any size, optimiser, LoRA, pre-training |
//! | [`eval`] | how good a model is |
//! | [`catalogue`] | published models by name |
//! | [`hub`] | sources of model files: disk, HTTP, a hub, the browser's cache |
//! | [`engine`] | inference engine, training jobs, and the messages between page and worker |
//! | [`app`] | the page (Leptos); it speaks to the engine by messages |

#[cfg(feature = "page")]
pub mod app;
pub mod catalogue;
pub mod data;
pub mod engine;
pub mod eval;
pub mod hub;
#[cfg(feature = "kernels")]
pub mod kernels;
pub mod model;
#[cfg(feature = "compute")]
pub mod ops;
#[cfg(feature = "compute")]
pub mod preprocess;
#[cfg(feature = "compute")]
pub mod tokenizer;
pub mod train;
#[cfg(feature = "compute")]
pub mod weights;
pub mod zero_shot;
