//! State of the page as plain data, and all reducers. No browser in here: a step changes
//! the data and returns commands, which the controllers carry out.
//!
//! | module | contents |
//! | --- | --- |
//! | [`session`] | classification: combines the next three |
//! | [`worker`] | life of the worker, with [`restart`] after a crash and [`meter`] of a download |
//! | [`pictures`] | the pictures and their queue, with a [`ranking`] for each |
//! | [`live`] | frames of a video, one after the other |
//! | [`grid`] | which of the pictures are on the page |
//! | [`rejection`] | when to say that no label fits |
//! | [`question`] | labels, templates and their prompts |
//! | [`labels`], [`templates`], [`link`], [`sample`], [`tab`], [`tour`], [`notice`] | smaller parts of the state |
//! | [`training`], [`library`], [`evaluation`] | the other sides of the page |
//! | [`standalone`] | a classifier as a page of its own |
//! | [`recommendation`] | which published model suits the device |
//! | [`export`], [`zip`], [`format`] | results as files, files as one, numbers as text |

pub mod evaluation;
pub mod export;
pub mod format;
pub mod grid;
pub mod labels;
pub mod library;
pub mod link;
pub mod live;
pub mod meter;
pub mod notice;
pub mod pictures;
pub mod question;
pub mod ranking;
pub mod recommendation;
pub mod rejection;
pub mod restart;
pub mod sample;
pub mod session;
pub mod standalone;
pub mod tab;
pub mod templates;
pub mod tour;
pub mod training;
pub mod worker;
pub mod zip;
