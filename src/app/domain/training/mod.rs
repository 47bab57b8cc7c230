//! State of the training side as plain data.
//!
//! | module | contents |
//! | --- | --- |
//! | [`session`] | requests to the worker and its answers |
//! | [`project`] | classes, pictures, captions |
//! | [`project_file`] | a project as one file |
//! | [`recommendation`] | recommended method and settings |

pub mod project;
pub mod project_file;
pub mod recommendation;
pub mod session;
