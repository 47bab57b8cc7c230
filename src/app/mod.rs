//! The page, in three layers: a module may import those above it.
//!
//! | layer | contents |
//! | --- | --- |
//! | [`domain`] | state as plain data, and all reducers; no browser |
//! | [`controller`] | signals, files, the worker; carries out what the reducers ask for |
//! | [`view`] | components |

pub mod controller;
pub mod domain;
pub mod view;

pub use controller::standalone::{named_in_page, open};
pub use view::Page;
pub use view::standalone::{StandalonePage, StandalonePageProps};
