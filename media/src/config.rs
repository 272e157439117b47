//! What the plane is told: its limits, and the commands' plain data.

use crate::amd::AmdConfig;
use crate::srtp::SrtpKeys;
use crate::webrtc::Dtls;
use crate::{Coded, StreamKey};
use core::ops::RangeInclusive;
use sansio::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The limits and addresses of one plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// UDP ports for media. RTP takes the even ones, RTCP the odd one above (RFC 3550 §11).
    /// An odd first port and an even last one are left unused. Each plane (shard) needs a range of its own.
    pub ports: RangeInclusive<u16>,
    /// Port pairs that are bound ahead of the streams that will have them ([`crate::Output::HoldPorts`]): one that
    /// another program has costs no call then. Zero: none.
    pub ports_held: usize,
    /// The address the edge binds media sockets to.
    pub local_address: IpAddr,
    /// Streams open at once; more are refused with [`crate::MediaError::StreamsExhausted`].
    pub streams_max: usize,
    /// Recordings running at once; more are refused with [`crate::MediaError::RecordingsExhausted`].
    pub recordings_max: usize,
    /// A stream that should receive and gets nothing for this long makes [`crate::Event::MediaTimeout`],
    /// again after each such time. Zero turns it off.
    pub media_timeout: Duration,
    /// A closed port is not used again for this long, so that late packets of the old call find nobody.
    pub port_quarantine: Duration,
    /// How long the latched source must be silent before another address may take its place.
    pub relatch_after: Duration,
    /// The same, when the newcomer goes on with the SSRC and sequence of the old source (a NAT that gave the
    /// peer another port): a stranger who cannot see the stream cannot know them.
    pub relatch_after_same_ssrc: Duration,
    /// A stream that was sent nothing for this long is sent one frame of silence, so that NATs and firewalls on
    /// the way stay open and a far end that waits for us to speak first hears something (RFC 6263 §4.1). Zero
    /// turns it off.
    pub keepalive_after: Duration,
    /// Reports to a far end that gets none from its peer are sent this often, give or take a half (RFC 3550 §6.2).
    /// Zero: never.
    pub rtcp_interval: Duration,
    /// A bridged stream that should send and does not for so long makes [`crate::Event::Audio`]. Zero: never.
    pub no_packets_after: Duration,
    /// The same for one that sends nothing but silence.
    pub no_sound_after: Duration,
    /// From whom digits are heard in the sound itself.
    pub in_band_digits: InBandDigits,
    /// The edge can relay plain streams by itself ([`crate::Output::Offload`]).
    pub offload: bool,
    /// What is said before the answer and not known, and a greeting's beginning, is given out ([`crate::Event::Utterance`]).
    pub utterances: bool,
}

/// From whom digits are heard in the sound itself, where [`Ears::dtmf`] asks for digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InBandDigits {
    /// From far ends that did not agree on telephone-event.
    #[default]
    Auto,
    /// From all.
    Always,
    /// From none.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ports: 20_000..=29_999,
            ports_held: 0,
            local_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            streams_max: 10_000,
            recordings_max: 5_000,
            media_timeout: Duration::from_secs(60),
            port_quarantine: Duration::from_secs(5),
            relatch_after: Duration::from_secs(3),
            relatch_after_same_ssrc: Duration::from_millis(200),
            keepalive_after: Duration::from_secs(15),
            rtcp_interval: Duration::from_secs(5),
            no_packets_after: Duration::from_secs(5),
            no_sound_after: Duration::from_secs(20),
            in_band_digits: InBandDigits::Auto,
            offload: false,
            utterances: false,
        }
    }
}

/// The audio codecs the plane can read and write (RFC 3551 §4.5.14), both at 8,000 Hz, one byte per sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Codec {
    /// G.711 µ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
}

impl Codec {
    /// The static payload type of RFC 3551 table 4.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }
}

/// Which of a stream's two ports a packet came in on or leaves from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PacketKind {
    /// The even port.
    Rtp,
    /// The odd port.
    Rtcp,
}

/// What offer and answer settled about the far end of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote {
    /// Where its SDP says it wants RTP. Used until a first valid packet shows the real address.
    pub rtp: SocketAddr,
    /// Where it wants RTCP; `None` means the RTP port plus one (RFC 3550 §11).
    pub rtcp: Option<SocketAddr>,
    /// The codec agreed; where [`Remote::coded`] says otherwise, that of its sound inside.
    pub codec: Codec,
    /// It agreed on another coding than G.711.
    pub coded: Option<Coded>,
    /// The payload type it wants for that codec.
    pub payload_type: u8,
    /// It takes comfort noise (RFC 3389), payload type 13.
    pub comfort_noise: bool,
    /// The payload type it wants for telephone-event; `None` when it takes none.
    pub dtmf_payload_type: Option<u8>,
    /// The telephone-event payload type our own SDP named, if other than that: the far end may send with it
    /// (RFC 3264 §6.1 lets answer and offer number differently).
    pub dtmf_payload_type_local: Option<u8>,
    /// RTCP comes and goes on the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// It sends to us (its direction is sendrecv or sendonly).
    pub sends: bool,
    /// It wants to hear us (sendrecv or recvonly); false while it holds us.
    pub receives: bool,
    /// Whether sound and reports are encrypted.
    pub security: Security,
}

/// How the packets of a stream are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Security {
    /// Not at all.
    #[default]
    Plain,
    /// By SRTP under keys that the descriptions held (RFC 4568). Nothing plain is taken or sent.
    Srtp(SrtpKeys),
    /// By SRTP under keys that a handshake gives, once connectivity checks have shown the way (a browser).
    Dtls(Dtls),
}

impl Remote {
    /// A two-way remote with the codec's static payload type and no telephone-event.
    #[must_use]
    pub const fn new(rtp: SocketAddr, codec: Codec) -> Self {
        Remote {
            rtp,
            rtcp: None,
            codec,
            coded: None,
            payload_type: codec.payload_type(),
            comfort_noise: false,
            dtmf_payload_type: None,
            dtmf_payload_type_local: None,
            rtcp_mux: false,
            sends: true,
            receives: true,
            security: Security::Plain,
        }
    }

    /// The same with telephone-event under `payload_type`.
    #[must_use]
    pub const fn with_dtmf(mut self, payload_type: u8) -> Self {
        self.dtmf_payload_type = Some(payload_type);
        self
    }

    /// The same with sound that is not G.711, under its usual payload type.
    #[must_use]
    pub const fn with_coded(mut self, coded: Coded) -> Self {
        self.coded = Some(coded);
        self.payload_type = coded.payload_type();
        self
    }

    /// The same with packets protected under these keys.
    #[must_use]
    pub const fn with_srtp(mut self, keys: SrtpKeys) -> Self {
        self.security = Security::Srtp(keys);
        self
    }

    /// Where RTCP goes before any came.
    #[must_use]
    pub fn rtcp_address(&self) -> SocketAddr {
        self.rtcp.unwrap_or_else(|| SocketAddr::new(self.rtp.ip(), self.rtp.port().saturating_add(1)))
    }
}

/// Something to play to a stream instead of what its peer says.
#[derive(Clone, Debug)]
pub struct PlayRequest {
    /// Comes back in [`crate::Event::PlayDone`].
    pub tag: u64,
    /// Linear PCM at 8,000 Hz, one channel.
    pub samples: Arc<[i16]>,
    /// Start again at the end, until stopped, replaced, connected or closed.
    pub repeat: bool,
}

/// A short beep, mixed over whatever the stream hears.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tone {
    /// Hertz, 1..=3,999.
    pub frequency_hz: u16,
    /// Milliseconds, 1..=10,000 (longer ones are cut).
    pub duration_ms: u16,
    /// Level in dBm0, -60..=0 (clamped). 0 dBm0 is 3.14 dB under full scale in G.711.
    pub level_dbm0: i8,
}

impl Default for Tone {
    fn default() -> Self {
        Tone { frequency_hz: 1000, duration_ms: 150, level_dbm0: -18 }
    }
}

/// A fork that is to start: see [`crate::Plane::start_fork`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForkWish {
    /// Comes back in every [`crate::ForkOp`].
    pub id: u64,
    /// Whose sound.
    pub stream: StreamKey,
    /// What its far end says.
    pub inbound: bool,
    /// What its far end hears.
    pub outbound: bool,
    /// What is said from outside is heard over what the far end would hear without it, not in its place.
    pub mix: bool,
}

/// A stereo recording of what two streams say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Chosen by the caller, unique among running recordings.
    pub id: u64,
    /// Recorded into the left channel: the customer. When this stream closes the recording ends.
    pub left: StreamKey,
    /// Recorded into the right channel: the agent, once there is one. What the plane itself plays to the left
    /// stream goes into the right channel too, since that is what the customer hears.
    pub right: Option<StreamKey>,
}

/// What stands in a recording for the time in which it was paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PauseBehavior {
    /// Silence: the recording is as long as the talk.
    #[default]
    Silence,
    /// Nothing: the recording is as much shorter.
    Skip,
}

/// What to listen for on a stream.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Ears {
    /// Report digits: RFC 4733, and those in the sound as [`Config::in_band_digits`] says.
    pub dtmf: bool,
    /// Ready answering-machine detection; it starts at [`crate::Plane::amd_start`].
    pub amd: Option<AmdConfig>,
    /// Classify what is heard before the answer (ends at [`crate::Plane::amd_start`] or with other ears).
    pub early_media: bool,
    /// … by the tones of this plan.
    pub tones: crate::early_media::TonePlan,
}
