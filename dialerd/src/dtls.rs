//! Handshakes with browsers: orders of a shard's machine to the library, and what comes of them back.

use crate::shard_thread::Shard;
use bytes::Bytes;
use engine::{DtlsOrder, MasterKey, ShardInput, SrtpKeys, StreamId, Suite};
use runtime::Ground;
use runtime::dtls::{Happened, Profile};
use sansio::Instant;

impl Shard {
    pub(crate) fn dtls(&mut self, now: Instant, order: DtlsOrder, ground: &mut Ground) {
        let mut happened = Vec::new();
        let Some(handshakes) = &mut self.handshakes else { return };
        match order {
            DtlsOrder::Open { stream, ours, fingerprint, active } => {
                handshakes.open(now, stream.0, ours, fingerprint, active, &mut happened);
            }
            DtlsOrder::Packet { stream, packet } => handshakes.packet(stream.0, &packet, &mut happened),
            DtlsOrder::Close { stream } => handshakes.close(stream.0),
        }
        self.tell_handshakes(now, happened, ground);
    }

    /// Another certificate takes the place of one whose end is near; descriptions name it from then on.
    pub(crate) fn renew_identity(&mut self, now: Instant, ground: &mut Ground) {
        let Some(handshakes) = &mut self.handshakes else { return };
        match handshakes.renew(self.clock.wall()) {
            Ok(None) => {}
            Ok(Some(fingerprint)) => {
                tracing::info!(shard = self.number, "a new certificate for handshakes with browsers");
                self.feed(now, ShardInput::DtlsRenewed { fingerprint }, ground);
            }
            Err(error) => tracing::warn!(%error, "no new certificate for handshakes with browsers"),
        }
    }

    /// What was not answered is said again.
    pub(crate) fn handshakes_due(&mut self, now: Instant, ground: &mut Ground) {
        let mut happened = Vec::new();
        if let Some(handshakes) = &mut self.handshakes {
            handshakes.handle_timeout(now, &mut happened);
        }
        self.tell_handshakes(now, happened, ground);
    }

    fn tell_handshakes(&mut self, now: Instant, happened: Vec<Happened>, ground: &mut Ground) {
        for one in happened {
            let input = match one {
                Happened::Send { stream, packet } => {
                    ShardInput::DtlsPacket { stream: StreamId(stream), packet: Bytes::from(packet) }
                }
                Happened::Done { stream, profile, inbound, outbound } => {
                    let suite = suite(profile);
                    let stream = StreamId(stream);
                    match (MasterKey::new(suite, &inbound), MasterKey::new(suite, &outbound)) {
                        (Some(inbound), Some(outbound)) => {
                            let keys = Box::new(SrtpKeys { inbound, outbound });
                            ShardInput::DtlsDone { stream, keys }
                        }
                        _ => ShardInput::DtlsFailed { stream },
                    }
                }
                Happened::Failed { stream } => ShardInput::DtlsFailed { stream: StreamId(stream) },
            };
            self.feed(now, input, ground);
        }
    }
}

fn suite(profile: Profile) -> Suite {
    match profile {
        Profile::Aes128CmSha1_80 => Suite::AesCm128Sha1_80,
        Profile::AeadAes128Gcm => Suite::AeadAes128Gcm,
        Profile::AeadAes256Gcm => Suite::AeadAes256Gcm,
    }
}
