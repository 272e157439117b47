//! The dialer from outside: inputs in, effects out.

mod fold;
mod house;
mod ladder;
