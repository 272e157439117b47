//! The relay in the kernel, over real sockets: on loopback and across network namespaces.

mod relay;
mod reports;
mod world;
