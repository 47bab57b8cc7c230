//! Library of one's own images: features that are computed once and kept, and what can be
//! done with them. Search by words and by images, duplicates, sorting by labels.
//!
//! Search is exact: a query is compared with every image. 100,000 features of length 512
//! are one matrix-vector product of 0.1 GFLOP.

mod duplicates;
mod hash;
mod index;
mod search;

pub use duplicates::{Duplicates, Group, duplicates};
pub use hash::{difference_hash, file_hash};
pub use index::{Entry, FileStamp, Index, IndexError, ModelFingerprint, Skipped};
pub use search::{Hit, Sign, Term, combine, parse_query};
