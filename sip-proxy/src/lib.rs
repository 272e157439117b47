//! SIP: wire format, transactions, dialogs, user agents, registrar. No sockets.

mod hash;
mod mark;
pub mod status;
pub mod ua;
pub mod wire;

pub use mark::shard_of;
pub use ua::UserAgent;
