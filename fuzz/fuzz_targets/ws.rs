//! What a browser's connection may hold behind its handshake: frames, whole, in parts, masked or not, and messages in
//! them. Read as the edge reads them, with its limits.

#![no_main]

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip_proxy::wire::{Limits, parse};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// As in `runtime/src/stream/websocket.rs`.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Bytes to be read, some at a time; what is written is counted.
struct Wire<'d> {
    data: Cursor<&'d [u8]>,
    written: usize,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(97);
        self.data.read(&mut buffer[..length])
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0);
    let wire = Wire { data: Cursor::new(data), written: 0 };
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        let _ = sip_proxy::shard_for(&bytes, 4);
        let _ = parse(bytes, &Limits::default());
    }
    // Answers to pings and the closing frame are never longer than what asked for them, but for their heads.
    assert!(socket.get_ref().written <= 4 * data.len() + 64);
});
