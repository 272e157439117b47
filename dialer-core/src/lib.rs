//! See the crate description.

pub mod pacing;
