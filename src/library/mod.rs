//! Library of one's own images: features that are computed once and kept, and what can be
//! done with them. Search by words and by images, duplicates, sorting by labels, clusters.
//!
//! Search is exact: a query is compared with every image. 100,000 features of length 512
//! are one matrix-vector product of 0.1 GFLOP.

#[cfg(feature = "library")]
mod clusters;
mod date;
#[cfg(feature = "library")]
mod duplicates;
mod file_stamp;
mod filter;
#[cfg(any(feature = "library", feature = "decoder"))]
mod hash;
#[cfg(feature = "library")]
mod index;
mod query;
#[cfg(feature = "library")]
mod search;
#[cfg(feature = "library")]
mod similarities;

#[cfg(feature = "library")]
pub use clusters::{Cluster, cluster_words, clusters, vocabulary};
pub use date::date_span;
#[cfg(feature = "library")]
pub use duplicates::{Duplicates, Group, duplicates};
pub use file_stamp::FileStamp;
pub use filter::Filter;
// Which files are images is decided in one place.
pub use crate::data::is_image_name;
#[cfg(any(feature = "library", feature = "decoder"))]
pub use hash::{difference_hash, file_hash};
#[cfg(feature = "library")]
pub use index::{Entry, ImageFacts, Index, IndexError, IndexSummary, ModelFingerprint, Skipped};
pub use query::{Sign, Term, parse_query};
#[cfg(feature = "library")]
pub use search::{Hit, combine};
#[cfg(feature = "library")]
pub use similarities::{Rows, similarities};
