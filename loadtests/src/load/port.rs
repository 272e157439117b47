//! A UDP port that sends in batches.

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use runtime::udp::{bind, send_batch};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

/// Receive and send buffer: what a whole run may have on the way.
const BUFFER_BYTES: usize = 16 << 20;
/// Datagrams gathered before they are sent even within one turn.
const GATHER: usize = 32;

/// One side's socket and what is about to leave by it.
pub struct Port {
    /// The socket, non-blocking.
    pub socket: Rc<UdpSocket>,
    /// Its address.
    pub address: SocketAddr,
    /// Datagrams the kernel did not take.
    pub lost: u64,
    buffer: BytesMut,
    waiting: Vec<(SocketAddr, Bytes)>,
}

impl Port {
    /// Binds a port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = bind(address, BUFFER_BYTES).with_context(|| format!("binding UDP {address}"))?;
        let address = socket.local_addr()?;
        Ok(Port { socket: Rc::new(socket), address, lost: 0, buffer: BytesMut::new(), waiting: Vec::new() })
    }

    /// Sends what `write` writes; gives a copy that can be sent again.
    pub fn send(&mut self, to: SocketAddr, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.buffer.capacity() < 4096 {
            self.buffer = BytesMut::with_capacity(1 << 20);
        }
        write(&mut self.buffer);
        let bytes = self.buffer.split().freeze();
        self.resend(to, bytes.clone());
        bytes
    }

    /// Sends a datagram again.
    pub fn resend(&mut self, to: SocketAddr, bytes: Bytes) {
        self.waiting.push((to, bytes));
        if self.waiting.len() >= GATHER {
            self.flush();
        }
    }

    /// Hands everything to the kernel.
    pub fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.lost += send_batch(&self.socket, &self.waiting, |_, _| {});
            self.waiting.clear();
        }
    }
}
