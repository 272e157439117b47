//! One stream: the state kept per far end.

use crate::coded::{Coded, Transcoder};
use crate::ears::{InBandEar, Listening};
use crate::fork::Fork;
use crate::jitter::Jitter;
use crate::latch::Latch;
use crate::offload::Offload;
use crate::plane::Voice;
use crate::player::{Beep, Player};
use crate::presses::Presses;
use crate::quality::Quality;
use crate::recorder::{Recorder, Side};
use crate::rtp::stats::Reception;
use crate::rtp::telephone_event::Digits;
use crate::sender::Sender;
use crate::srtp::Secure;
use crate::webrtc::Webrtc;
use crate::{Codec, Ears, PacketKind, Remote, Security, StreamKey};
use sansio::{Instant, Key, Rng};
use std::net::{IpAddr, SocketAddr};

/// One far end: its ports, addresses, and what it hears and says. Opaque; see [`crate::Plane`].
#[derive(Debug)]
pub struct Stream {
    pub(crate) owner: u64,
    pub(crate) rtp_port: u16,
    pub(crate) opened_at: Instant,
    pub(crate) ports_failed: bool,
    /// In the plane's list of streams that need the playout tick.
    pub(crate) ticking: bool,
    pub(crate) remote: Option<Remote>,
    /// The host its signalling comes from.
    pub(crate) signaller: Option<IpAddr>,
    pub(crate) rtp: Latch,
    pub(crate) rtcp: Latch,
    pub(crate) reception: Reception,
    pub(crate) quality: Quality,
    pub(crate) last_packet_at: Option<Instant>,
    /// From when silence is counted for the media timeout.
    pub(crate) silent_since: Instant,
    pub(crate) peer: Option<StreamKey>,
    pub(crate) sender: Sender,
    pub(crate) recording: Option<(Key<Recorder>, Side)>,
    pub(crate) player: Option<Player>,
    pub(crate) beep: Option<Box<Beep>>,
    pub(crate) digits: Digits,
    pub(crate) in_band: Option<Box<InBandEar>>,
    pub(crate) ears: Ears,
    pub(crate) listening: Option<Box<Listening>>,
    pub(crate) offload: Offload,
    /// Whom it hears instead of its peer.
    pub(crate) mix: Option<Vec<StreamKey>>,
    /// That set is its peer alone, whose sound is coded in another way.
    pub(crate) translated: bool,
    /// What reads and writes its sound, where that is not G.711.
    pub(crate) transcoder: Option<Box<Transcoder>>,
    /// Its sound as others hear it in their mixes.
    pub(crate) voice: Option<Box<Voice>>,
    /// Its sound is given out, and someone outside may speak to it.
    pub(crate) fork: Option<Box<Fork>>,
    /// Nobody hears it.
    pub(crate) muted: bool,
    /// Digits being sent to it.
    pub(crate) presses: Option<Box<Presses>>,
    /// Its packets are SRTP.
    pub(crate) secure: Option<Box<Secure>>,
    /// Its far end is a browser: nothing goes before checks and handshake.
    pub(crate) webrtc: Option<Box<Webrtc>>,
}

/// Where and how to send to a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination {
    pub(crate) address: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) coded: Option<Coded>,
    pub(crate) payload_type: u8,
    pub(crate) comfort_noise: bool,
    pub(crate) dtmf_payload_type: Option<u8>,
}

impl Stream {
    pub(crate) fn new(owner: u64, rtp_port: u16, now: Instant, rng: &mut Rng) -> Self {
        Stream {
            owner,
            rtp_port,
            opened_at: now,
            ports_failed: false,
            ticking: false,
            remote: None,
            signaller: None,
            rtp: Latch::default(),
            rtcp: Latch::default(),
            reception: Reception::default(),
            quality: Quality::default(),
            last_packet_at: None,
            silent_since: now,
            peer: None,
            sender: Sender::new(rng),
            recording: None,
            player: None,
            beep: None,
            digits: Digits::default(),
            in_band: None,
            ears: Ears::default(),
            listening: None,
            offload: Offload::None,
            mix: None,
            translated: false,
            transcoder: None,
            voice: None,
            fork: None,
            muted: false,
            presses: None,
            secure: None,
            webrtc: None,
        }
    }

    /// A browser to which there is no way yet, or no key.
    fn is_waiting(&self) -> bool {
        self.webrtc.is_some() && (self.secure.is_none() || self.rtp.address.is_none())
    }

    /// Where audio for this stream goes now; `None` while it cannot be sent to or does not want to hear.
    #[inline]
    pub(crate) fn destination(&self) -> Option<Destination> {
        let remote = self.remote.as_ref()?;
        if self.is_waiting() {
            return None;
        }
        let address = self.rtp.address.unwrap_or(remote.rtp);
        if !remote.receives || self.ports_failed || !is_reachable(address) {
            return None;
        }
        let Remote { codec, coded, payload_type, comfort_noise, dtmf_payload_type, .. } = *remote;
        Some(Destination { address, codec, coded, payload_type, comfort_noise, dtmf_payload_type })
    }

    /// From which port and to where RTCP for this stream goes. Reports flow on hold too (RFC 3264 §5.1).
    pub(crate) fn rtcp_destination(&self) -> Option<(PacketKind, SocketAddr)> {
        let remote = self.remote.as_ref()?;
        if self.is_waiting() {
            return None;
        }
        if remote.rtcp_mux {
            let address = self.rtp.address.unwrap_or(remote.rtp);
            return (!self.ports_failed && is_reachable(address)).then_some((PacketKind::Rtp, address));
        }
        let address = self.rtcp.address.unwrap_or_else(|| remote.rtcp_address());
        (!self.ports_failed && is_reachable(address)).then_some((PacketKind::Rtcp, address))
    }

    /// Follows what was agreed on about encryption; gives a browser's state that is over.
    pub(crate) fn secure_as(&mut self, now: Instant, security: Security) -> Option<Box<Webrtc>> {
        let before = match security {
            Security::Dtls(dtls) => {
                let goes_on = self.webrtc.as_mut().filter(|webrtc| {
                    let same = (webrtc.dtls.ours, webrtc.dtls.fingerprint, webrtc.dtls.active);
                    same == (dtls.ours, dtls.fingerprint, dtls.active)
                });
                if let Some(webrtc) = goes_on {
                    // The same handshake; perhaps a new name for checks (an ICE restart).
                    webrtc.dtls = dtls;
                    self.rtp.address = webrtc.selected;
                    return None;
                }
                self.secure = None;
                self.rtp.address = None;
                self.webrtc.replace(Box::new(Webrtc::new(dtls, now)))
            }
            Security::Plain | Security::Srtp(_) => self.webrtc.take(),
        };
        match (security, &mut self.secure) {
            (Security::Dtls(_), _) => {}
            (Security::Plain, secure) => *secure = None,
            (Security::Srtp(keys), Some(secure)) => secure.rekey(&keys),
            (Security::Srtp(keys), secure @ None) => {
                *secure = Some(Box::new(Secure::new(&keys)));
                self.sender.begin_low();
            }
        }
        before
    }

    /// It was joined and should have sent something for so long that this is no chance, and no packet ever came.
    pub(crate) fn never_heard(&self) -> bool {
        self.last_packet_at.is_none() && self.quality.has_missed()
    }

    /// Sound that should come is watched for while someone is there to hear it. Called when that may have changed.
    pub(crate) fn rewatch(&mut self, now: Instant) {
        let watched = self.peer.is_some() && self.remote.is_some_and(|remote| remote.sends);
        self.quality.note_absence(now, self.last_packet_at);
        self.quality.watched_since = watched.then_some(now);
        self.quality.audio = crate::AudioState::Flowing;
    }

    pub(crate) fn latch_mut(&mut self, kind: PacketKind) -> &mut Latch {
        match kind {
            PacketKind::Rtp => &mut self.rtp,
            PacketKind::Rtcp => &mut self.rtcp,
        }
    }

    /// It hears what the plane itself says, and not what its peer sends.
    pub(crate) fn hears_own(&self) -> bool {
        // A beep cannot be laid over sound that is not decoded: it goes alone.
        let beeps_alone = self.beep.is_some() && self.coded().is_some();
        let speaks = self.fork.as_ref().is_some_and(|fork| fork.speech.is_speaking());
        self.player.is_some() || self.mix.is_some() || self.presses.is_some() || beeps_alone || speaks
    }

    /// How its sound is coded, where that is not G.711.
    #[inline]
    pub(crate) fn coded(&self) -> Option<Coded> {
        self.remote.as_ref().and_then(|remote| remote.coded)
    }

    /// Its sound is read with 16,000 samples a second, too, for a peer that can be told them; or no longer.
    pub(crate) fn widen(&mut self, wide: bool) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.widen(wide);
        }
        if let Some(voice) = &mut self.voice {
            match wide {
                true => drop(voice.wide.get_or_insert_with(|| Box::new(Jitter::wide()))),
                false => voice.wide = None,
            }
        }
    }

    /// Follows what was agreed on about coding.
    pub(crate) fn code_as(&mut self, coded: Option<Coded>) {
        if self.transcoder.as_ref().map(|transcoder| transcoder.coded()) != coded {
            self.transcoder = coded.map(|coded| Box::new(Transcoder::new(coded)));
        }
        self.sender.ticks_by(coded.map_or(1, Coded::ticks));
    }

    /// True while the stream needs the playout tick.
    pub(crate) fn needs_tick(&self) -> bool {
        self.player.is_some()
            || self.mix.is_some()
            || self.presses.is_some()
            || self.beep.is_some()
            || self.fork.is_some()
            || self.digits.pressing()
            || self.in_band.as_ref().is_some_and(|ear| ear.pressing())
            || self.listening.as_ref().is_some_and(|listening| listening.is_amd())
    }
}

/// False for `0.0.0.0` (the hold of RFC 2543) and port 0: sent there, packets would come back to this machine.
#[inline]
fn is_reachable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
