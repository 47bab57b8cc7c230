//! `clip evaluate` as people and scripts use it.
