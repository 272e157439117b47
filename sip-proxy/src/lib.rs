//! SIP: wire format, transactions, dialogs, user agents, registrar. No sockets.

pub mod wire;
