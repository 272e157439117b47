//! The relay in the kernel: a TC BPF program that sends established plain RTP streams on without waking anybody, and
//! its loader.
//!
//! Nothing here decides anything. [`Relay::arm`] gives the kernel one rule for one direction of sound; a packet that
//! fits it in every point is rewritten and sent on where it came in, is counted, and is copied to us when someone
//! listens. Every other packet goes to the socket, as if the program were not there.
//!
//! [`Reports`] gives the reports of all calls to one socket, so that a call needs a socket for its sound alone.
//!
//! Program, maps and rules belong to the process: its end takes them away, however it comes. On kernels before 6.6
//! the attachment itself outlives a killed process; there the program stops relaying a few seconds after the daemon
//! no longer says that it is alive, and the next start removes what was left.

mod layout;
mod relay;
mod reports;
mod route;

pub use layout::clock_ns;
pub use relay::{Counts, NotPossible, Options, Relay, Rule, Start};
pub use reports::Reports;
