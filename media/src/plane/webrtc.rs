//! A browser's way to us: connectivity checks that we answer (ICE-lite, RFC 8445), and the handshake that gives the keys
//! (DTLS-SRTP, RFC 5764), which the edge makes.

use super::Plane;
use crate::srtp::{Secure, SrtpKeys};
use crate::stun;
use crate::webrtc::{CONSENT_LASTS, Dtls, DtlsOrder, HANDSHAKE_WITHIN, Webrtc};
use crate::{Event, FailedReason, Output, PacketKind, Stream, StreamKey};
use bytes::Bytes;
use sansio::{Instant, Outbox};
use std::net::SocketAddr;

impl Plane {
    /// What came to the RTP port and is neither RTP nor RTCP (RFC 7983).
    #[cold]
    pub(super) fn handle_setup(
        &mut self,
        now: Instant,
        key: StreamKey,
        source: SocketAddr,
        packet: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            self.counters.dropped_no_stream += 1;
            return;
        };
        let Some(webrtc) = &mut stream.webrtc else {
            self.counters.dropped_malformed += 1;
            return;
        };
        if stun::looks_like_stun(packet) {
            let ice = webrtc.dtls.ice;
            let (fragment, password) = (ice.fragment().as_bytes(), ice.password().as_bytes());
            let Ok(check) = stun::read_check(packet, fragment, password) else {
                self.counters.dropped_checks += 1;
                return;
            };
            let first = webrtc.checked(now, source, check.nominates);
            let mut answer = Vec::with_capacity(96);
            stun::write_success(&check, source, password, &mut answer);
            stream.rtp.address = webrtc.selected;
            self.counters.checks_answered += 1;
            let packet = Bytes::from(answer);
            out.push(Output::Send { from: key, kind: PacketKind::Rtp, destination: source, packet });
            if first {
                let Dtls { ours, fingerprint, active, .. } = webrtc.dtls;
                out.push(Output::Dtls(DtlsOrder::Open { stream: key, ours, fingerprint, active }));
            }
        } else if packet.first().is_some_and(|byte| (20..64).contains(byte)) && webrtc.is_valid(source) {
            let packet = Bytes::copy_from_slice(packet);
            out.push(Output::Dtls(DtlsOrder::Packet { stream: key, packet }));
        } else {
            self.counters.dropped_foreign_source += 1;
        }
    }

    /// The edge's side of a handshake has something to say.
    pub fn dtls_send(&mut self, stream: StreamKey, packet: Bytes, out: &mut Outbox<Output>) {
        let Some(state) = self.streams.get(stream) else { return };
        if let Some(destination) = state.webrtc.as_ref().and_then(|webrtc| webrtc.selected) {
            out.push(Output::Send { from: stream, kind: PacketKind::Rtp, destination, packet });
        }
    }

    /// A handshake is done, and the far end has shown the certificate it had named.
    pub fn dtls_done(&mut self, now: Instant, stream: StreamKey, keys: &SrtpKeys) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.webrtc.is_some() && state.secure.is_none() {
            state.secure = Some(Box::new(Secure::new(keys)));
            state.sender.begin_low();
            state.silent_since = now;
            self.counters.dtls_done += 1;
        }
    }

    /// A handshake has failed: the stream cannot work.
    pub fn dtls_failed(&mut self, stream: StreamKey, out: &mut Outbox<Output>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.webrtc.as_mut().is_some_and(|webrtc| !std::mem::replace(&mut webrtc.given_up, true)) {
            self.counters.dtls_failed += 1;
            let reason = FailedReason::Handshake;
            out.push(Output::Event(Event::Failed { stream, owner: state.owner, reason }));
        }
    }
}

/// There is no way to the far end, or no key, after so long: it has failed. Told once.
pub(super) fn gives_up(now: Instant, stream: &mut Stream) -> bool {
    let waits = stream.secure.is_none();
    stream.webrtc.as_mut().is_some_and(|webrtc| {
        waits
            && now.since(webrtc.begun_at) >= HANDSHAKE_WITHIN
            && !std::mem::replace(&mut webrtc.given_up, true)
    })
}

/// Consent is over where no check has come for long: nothing more is sent there (RFC 7675 §5.1).
pub(super) fn lapse(now: Instant, stream: &mut Stream) {
    if let Some(webrtc) = &mut stream.webrtc
        && webrtc.selected.is_some()
        && now.since(webrtc.checked_at) >= CONSENT_LASTS
    {
        webrtc.forget();
        stream.rtp.address = None;
    }
}

/// Ends a handshake that was begun, when the stream has no use for it any more.
pub(super) fn leave(key: StreamKey, before: Option<Box<Webrtc>>, out: &mut Outbox<Output>) {
    if before.is_some_and(|webrtc| webrtc.opened) {
        out.push(Output::Dtls(DtlsOrder::Close { stream: key }));
    }
}
