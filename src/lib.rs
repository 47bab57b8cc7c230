//! CLIP in Rust, for the browser and the command line.
//!
//! Data flows one way: bytes -> tensors -> features -> answer.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`model`] | CLIP's forward pass in burn: config, transformer, image and text encoder |
//! | [`ops`] | the operations that the forward pass is made of, each with its fast paths |
//! | [`kernels`] | the CPU's fast paths over plain slices, and threads for them in a browser |
//! | [`weights`] | safetensors in and out, in OpenCLIP's and Hugging Face's naming |
//! | [`preprocess`] | picture file -> `[3, height, width]` as the reference prepares it |
//! | [`tokenizer`] | text -> token ids `[context_length]` |
//! | [`zero_shot`] | prompt templates, ensembles, the classifier |
//! | [`data`] | pictures to learn from: folders, tables, zips; held-out parts |
//! | [`train`] | probe and adapter; contrastive loss, batches of any size, optimiser, LoRA, pre-training |
//! | [`eval`] | how good a model is |
//! | [`catalogue`] | published models by name |
//! | [`hub`] | where the files of a model come from |
//! | [`engine`] | device + model as one session, and the messages it understands |
//! | [`app`] | the page (Leptos); it speaks to the engine by messages |

#[cfg(feature = "page")]
pub mod app;
pub mod catalogue;
#[cfg(feature = "data")]
pub mod data;
pub mod engine;
pub mod eval;
#[cfg(feature = "compute")]
pub mod hub;
#[cfg(feature = "kernels")]
pub mod kernels;
#[cfg(feature = "compute")]
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
