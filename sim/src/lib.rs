//! See the crate description.

pub mod business;
