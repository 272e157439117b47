//! The daemon as a process: started, used, stopped and killed.

mod api;
mod crash;
mod harness;
mod life;
