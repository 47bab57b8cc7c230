//! Weights as safetensors, in the two namings that CLIP's files have.
//!
//! [`Loader`] fills a [`crate::model::Clip`] from a file while its bytes come,
//! [`save`] writes one. Which tensor of a file is which parameter is data, in
//! [`layout`].

mod error;
mod header;
mod infer;
mod layout;
mod load;
mod save;

pub use error::WeightsError;
pub use header::{Header, HeaderReader};
pub use infer::{Inferred, infer};
pub use layout::Layout;
pub use load::{Loader, load};
pub use save::{Precision, save};

/// `[rows, columns]` to `[columns, rows]`, both row by row.
fn transpose<T: Copy + Default>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    // In tiles that fit a processor's first cache.
    const TILE: usize = 32;
    let mut turned = vec![T::default(); values.len()];
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for row in top..(top + TILE).min(rows) {
                for column in left..(left + TILE).min(columns) {
                    turned[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    turned
}
