//! The dialer from outside: inputs in, effects out.

mod fold;
mod fuzz;
mod house;
mod ladder;
mod modes;
mod shift;
