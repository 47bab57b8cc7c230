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
    // In tiles that fit a processor's first cache, written in a row.
    const TILE: usize = 16;
    let mut turned = vec![T::default(); values.len()];
    for top in (0..rows).step_by(TILE) {
        let bottom = (top + TILE).min(rows);
        for left in (0..columns).step_by(TILE) {
            for column in left..(left + TILE).min(columns) {
                let row = &mut turned[column * rows + top..column * rows + bottom];
                let from = values[top * columns + column..].iter().step_by(columns);
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
    turned
}
