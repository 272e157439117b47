//! Where the rooms' words are turned into each other's.

pub(crate) mod address;
pub(crate) mod browser;
pub(crate) mod cause;
pub(crate) mod crypto;
pub(crate) mod dtmf;
pub(crate) mod effect;
pub(crate) mod format;
pub(crate) mod sdp;
