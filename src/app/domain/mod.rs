//! State of the page as plain data, and all reducers. No browser in here: a step changes
//! the data and returns commands, which the controllers carry out.
//!
//! | module | contents |
//! | --- | --- |
//! | [`session`] | classification: worker, pictures and question together |
//! | [`restart`], [`meter`] | what follows a crash; speed of a download |
//! | [`labels`], [`templates`], [`sample`], [`tab`], [`notice`] | smaller parts of the state |
//! | [`training`], [`library`] | the other sides of the page |
//! | [`export`], [`format`] | results as files, numbers as text |

pub mod export;
pub mod format;
pub mod labels;
pub mod library;
pub mod meter;
pub mod notice;
pub mod restart;
pub mod sample;
pub mod session;
pub mod tab;
pub mod templates;
pub mod training;
