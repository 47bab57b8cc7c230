//! Safetensors weights, in the naming schemes of CLIP and SigLIP checkpoints.
//!
//! [`Loader`] streams a file into a [`crate::model::Clip`], [`save()`] writes one. The
//! mapping of tensor names to parameters is data, in [`key_map`].

mod error;
mod file_copy;
mod fold;
mod header;
mod infer;
mod int8_rows;
mod key_map;
mod load;
mod metadata;
mod save;
mod token_rows;

pub use error::WeightsError;
pub use file_copy::{CopyLayout, CopyOptions, F16Overflow, FileCopier, OmittedTable};
pub use header::{Header, HeaderReader, ShardHeader};
pub use infer::{Inferred, infer, misfit};
pub use key_map::KeyMap;
pub use load::{Loader, load};
pub use metadata::begin_file;
pub use save::{Precision, save};
pub use token_rows::RowFormat;

/// Passes on bytes that come in pieces as whole units of `size` bytes, one or several at a time. An
/// incomplete one waits in `partial`.
fn in_units<E>(
    mut bytes: &[u8],
    size: usize,
    partial: &mut Vec<u8>,
    mut pass: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if !partial.is_empty() {
        let (rest, later) = bytes.split_at((size - partial.len()).min(bytes.len()));
        partial.extend_from_slice(rest);
        bytes = later;
        if partial.len() == size {
            pass(partial)?;
            partial.clear();
        }
    }
    let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % size);
    pass(whole)?;
    partial.extend_from_slice(rest);
    Ok(())
}

/// Transposes a row-major `[rows, columns]` matrix.
fn transpose<T: Copy + Default>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    // In tiles that fit the L1 cache, written row by row.
    const TILE: usize = 16;
    let mut transposed = vec![T::default(); values.len()];
    for top in (0..rows).step_by(TILE) {
        let bottom = (top + TILE).min(rows);
        for left in (0..columns).step_by(TILE) {
            for column in left..(left + TILE).min(columns) {
                let row = &mut transposed[column * rows + top..column * rows + bottom];
                let from = values[top * columns + column..].iter().step_by(columns);
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
    transposed
}
