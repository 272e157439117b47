//! What is known about a browser's way to a stream.

use crate::StreamKey;
use crate::srtp::KeySource;
use bytes::Bytes;
use sansio::{Duration, Instant};
use std::fmt;
use std::net::SocketAddr;

/// Addresses of one far end whose checks were good; a browser has a handful.
const VALID_MAX: usize = 16;
/// A browser to which there is no way after so long has none.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(40);
/// RFC 7675 §5.1.
pub(crate) const CONSENT_LASTS: Duration = Duration::from_secs(30);

/// Our name and password in connectivity checks (RFC 8839 §5.4). The password is not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IceCredentials {
    fragment: [u8; 8],
    password: [u8; 24],
}

impl IceCredentials {
    /// New ones: 48 and 144 bits that nobody can guess.
    pub fn draw(source: &mut KeySource) -> Self {
        const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut fragment, mut password) = ([0; 8], [0; 24]);
        source.fill(&mut fragment);
        source.fill(&mut password);
        for byte in fragment.iter_mut().chain(&mut password) {
            *byte = CHARACTERS[usize::from(*byte & 63)];
        }
        IceCredentials { fragment, password }
    }

    /// `ice-ufrag`.
    #[must_use]
    pub fn fragment(&self) -> &str {
        std::str::from_utf8(&self.fragment).expect("made of ASCII")
    }

    /// `ice-pwd`.
    #[must_use]
    pub fn password(&self) -> &str {
        std::str::from_utf8(&self.password).expect("made of ASCII")
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, ***)", self.fragment())
    }
}

/// What offer and answer settled about a browser's way to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dtls {
    /// Ours.
    pub ice: IceCredentials,
    /// SHA-256 of the certificate that we show.
    pub ours: [u8; 32],
    /// SHA-256 of the certificate that the far end must show.
    pub fingerprint: [u8; 32],
    /// We begin the handshake.
    pub active: bool,
}

/// What the edge is to do about a stream's handshake. For one stream: `Open`, any number of `Packet`, `Close`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DtlsOrder {
    /// Make one ready.
    Open {
        /// The stream.
        stream: StreamKey,
        /// SHA-256 of the certificate that we show.
        ours: [u8; 32],
        /// SHA-256 of the certificate that the far end must show.
        fingerprint: [u8; 32],
        /// We begin it.
        active: bool,
    },
    /// This came for it.
    Packet {
        /// The stream.
        stream: StreamKey,
        /// What.
        packet: Bytes,
    },
    /// It is of no more use.
    Close {
        /// The stream; its key may be stale already.
        stream: StreamKey,
    },
}

/// The state of one stream's way.
#[derive(Debug)]
pub(crate) struct Webrtc {
    pub(crate) dtls: Dtls,
    valid: Vec<SocketAddr>,
    /// Where to send: what the far end has chosen, until then where its first check came from.
    pub(crate) selected: Option<SocketAddr>,
    nominated: bool,
    pub(crate) checked_at: Instant,
    /// The edge knows of it.
    pub(crate) opened: bool,
    pub(crate) begun_at: Instant,
    /// Its failure has been told.
    pub(crate) given_up: bool,
}

impl Webrtc {
    pub(crate) fn new(dtls: Dtls, now: Instant) -> Self {
        Webrtc {
            dtls,
            valid: Vec::new(),
            selected: None,
            nominated: false,
            checked_at: Instant::ZERO,
            opened: false,
            begun_at: now,
            given_up: false,
        }
    }

    /// A good check came from there. True: the first one.
    pub(crate) fn checked(&mut self, now: Instant, source: SocketAddr, nominates: bool) -> bool {
        self.checked_at = now;
        if !self.valid.contains(&source) {
            if self.valid.len() >= VALID_MAX {
                self.valid.remove(0);
            }
            self.valid.push(source);
        }
        // A far end that has chosen another address has moved to another network.
        if nominates || !self.nominated && self.selected.is_none() {
            self.selected = Some(source);
            self.nominated |= nominates;
        }
        !std::mem::replace(&mut self.opened, true)
    }

    pub(crate) fn is_valid(&self, source: SocketAddr) -> bool {
        self.valid.contains(&source)
    }

    pub(crate) fn forget(&mut self) {
        self.valid.clear();
        self.selected = None;
        self.nominated = false;
    }
}
