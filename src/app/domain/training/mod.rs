//! State of the training side as plain data.
//!
//! | module | contents |
//! | --- | --- |
//! | [`session`] | requests to the worker and its answers |
//! | [`project`] | classes, pictures, captions |
//! | [`recommendation`] | recommended method and settings |

pub mod project;
pub mod recommendation;
pub mod session;
