//! SIP: wire format, transactions, dialogs, user agents, registrar. No sockets.

mod dialog;
mod hash;
mod mark;
mod registrar;
pub mod status;
mod steer;
pub mod stir;
mod transaction;
pub mod transport;
pub mod ua;
pub mod wire;

pub use mark::{MARK_BYTES, shard_of};
pub use steer::{marked_shard, sending_shard, shard_for};
pub use transaction::{Direction, SIZE_BOUNDS, Side, Traffic};
pub use transport::{Network, NetworkError, SCANNERS};
pub use ua::UserAgent;
