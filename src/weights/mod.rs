//! Weights as safetensors, in the two namings that CLIP's files have.
//!
//! [`load`] fills a [`Clip`] from a file, [`save`] writes one. Which tensor of
//! a file is which parameter is data, in [`layout`].

mod file;
mod layout;
mod load;
mod save;

pub use file::{TensorFile, WeightsError};
pub use layout::Layout;
pub use load::load;
pub use save::{Precision, save};
