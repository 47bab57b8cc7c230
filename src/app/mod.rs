//! The page, in four layers: a module may import those above it.
//!
//! | layer | contents |
//! | --- | --- |
//! | [`i18n`] | texts in the visitor's language |
//! | [`domain`] | state as plain data, and all reducers; no browser |
//! | [`controller`] | signals, files, the worker; carries out what the reducers ask for |
//! | [`view`] | components |

pub mod controller;
pub mod domain;
pub mod i18n;
pub mod view;

pub use controller::standalone::{named_in_page, open};
pub use view::Page;
pub use view::standalone::{StandalonePage, StandalonePageProps};
