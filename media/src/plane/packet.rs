//! The hot path: one packet in, edited in place, sent on.

use super::Plane;
use super::secure::{open, resend, resend_reports};
use crate::dsp::dtmf::HeardDigit;
use crate::latch::{Admission, Known, Signalled};
use crate::recorder::{Recorder, Side};
use crate::rtp::report;
use crate::rtp::rtcp::{self, Translation};
use crate::rtp::stats::Step;
use crate::rtp::telephone_event::Digit;
use crate::rtp::{self, Header};
use crate::sender::Source;
use crate::{
    Codec, Coded, Config, DigitSource, Event, InBandDigits, Output, PacketKind, Stream, StreamKey, codec,
};
use sansio::{Instant, Key, Outbox};
use std::net::SocketAddr;

/// The longest payload that is decoded in one go: 120 ms (RFC 3551 lets ptime be anything; 20 ms is the rule).
const SAMPLES_MAX: usize = 960;

/// What kind of sound a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    Audio(Codec),
    /// Sound that is not G.711.
    Coded(Coded),
    TelephoneEvent,
    /// RFC 3389: the far end is silent and says so.
    ComfortNoise,
}

/// The static payload type of comfort noise at 8,000 Hz.
const COMFORT_NOISE: u8 = 13;

/// What is known about an admitted packet when it is passed on.
pub(super) struct Incoming {
    pub(super) header: Header,
    pub(super) content: Content,
    pub(super) step: Step,
    /// It came as SRTP: it is no longer as long as it was.
    pub(super) encrypted: bool,
}

impl Plane {
    /// Handles a packet that came in on one of the stream's sockets. It is edited in place; when it is to be
    /// sent on, [`Output::Forward`] says where.
    ///
    /// Anything may come from the network: what is not understood is counted and dropped.
    #[inline]
    pub fn handle_packet(
        &mut self,
        now: Instant,
        stream: StreamKey,
        kind: PacketKind,
        source: SocketAddr,
        packet: &mut [u8],
        out: &mut Outbox<Output>,
    ) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += packet.len() as u64;
        match kind {
            PacketKind::Rtp if packet.first().is_some_and(|byte| *byte < 64) => {
                self.handle_setup(now, stream, source, packet, out);
            }
            PacketKind::Rtp if rtp::looks_like_rtcp(packet) => {
                self.handle_muxed(now, stream, source, packet, out);
            }
            PacketKind::Rtp => {
                self.handle_rtp(now, stream, source, packet, out);
                if self.config.offload {
                    self.touch(stream);
                    self.settle_offload(now, out);
                }
            }
            PacketKind::Rtcp => self.handle_rtcp(now, stream, source, packet, out),
        }
    }

    fn handle_rtp(
        &mut self,
        now: Instant,
        key: StreamKey,
        source: SocketAddr,
        packet: &mut [u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            self.counters.dropped_no_stream += 1;
            return;
        };
        if stream.remote.is_none() {
            self.counters.dropped_no_remote += 1;
            return;
        }
        let Some(packet) = open(stream, PacketKind::Rtp, packet, &mut self.counters) else { return };
        let Some(header) = Header::read(packet) else {
            self.counters.dropped_malformed += 1;
            return;
        };
        let encrypted = stream.secure.is_some();
        let Some(remote) = &stream.remote else {
            self.counters.dropped_no_remote += 1;
            return;
        };
        let number = header.payload_type;
        let content = if number == remote.payload_type {
            remote.coded.map_or(Content::Audio(remote.codec), Content::Coded)
        } else if Some(number) == remote.dtmf_payload_type || Some(number) == remote.dtmf_payload_type_local {
            Content::TelephoneEvent
        } else if let Some(codec) = static_codec(number) {
            // Both laws are in nearly every offer; a sender may use the other one at any packet.
            Content::Audio(codec)
        } else if number == COMFORT_NOISE {
            Content::ComfortNoise
        } else {
            self.counters.dropped_payload_type += 1;
            return;
        };
        let place = stream.rtp.address;
        let admission = match &stream.webrtc {
            Some(webrtc) if webrtc.is_valid(source) => Admission::Known,
            Some(_) => Admission::Refused,
            None => {
                let known = Known {
                    signalled: Signalled { rtp: remote.rtp, signaller: stream.signaller },
                    reception: &stream.reception,
                    proven: encrypted,
                    sends: remote.sends,
                    ticks: stream.sender.ticks,
                };
                stream.rtp.admit(now, source, &header, &known, &self.config)
            }
        };
        match admission {
            Admission::Known => {}
            Admission::Latched { first } => {
                if first {
                    self.counters.latched += 1;
                } else {
                    self.counters.relatched += 1;
                    self.counters.address_changes += u64::from(place != Some(source));
                }
                out.push(Output::Latched { stream: key, kind: PacketKind::Rtp, destination: source });
            }
            Admission::Refused => {
                self.counters.dropped_foreign_source += 1;
                return;
            }
        }
        let sends = remote.sends;
        let before = stream.last_packet_at.replace(now);
        stream.silent_since = now;
        let sampled = content != Content::TelephoneEvent;
        let step = stream.reception.count_by(now, &header, stream.sender.ticks, sampled);
        stream.quality.goes_on(now, before, step, header.marker);
        if step == Step::Late {
            self.counters.duplicates += u64::from(stream.reception.was_repeated());
            self.counters.reordered += u64::from(!stream.reception.was_repeated());
        }
        if !sends {
            self.counters.dropped_on_hold += 1;
            return;
        }
        let peer = stream.peer;
        let recording = stream.recording;
        let listening = stream.listening.is_some();
        let (muted, mixed) = (stream.muted, stream.voice.is_some());
        let incoming = Incoming { header, content, step, encrypted };
        let hidden = muted && peer.is_some();
        match content {
            Content::TelephoneEvent => self.telephone_event(now, key, &incoming, packet, out),
            // Who was not asked whether it knows it knows a pause.
            Content::ComfortNoise => {
                stream.rtp.heard_noise();
                stream.quality.heard_noise();
                self.hear_noise(key, &packet[header.payload()]);
            }
            Content::Coded(_) => {
                stream.quality.last_sound_at = Some(now);
                let wanted = listening || mixed || recording.is_some() || wants_digits(stream, &self.config);
                if (wanted || self.is_forked(key)) && step != Step::Late {
                    self.listen_to_coded(now, key, &incoming, packet, out);
                }
                // There is no silence to put in its place; a pause does as well.
                if hidden {
                    return;
                }
            }
            Content::Audio(codec) => {
                stream.quality.hear(now, codec::table(codec), &packet[header.payload()]);
                if wants_digits(stream, &self.config) {
                    self.hear_digits(now, key, &incoming, codec, packet, out);
                }
                if listening {
                    self.hear(now, key, codec, &packet[header.payload()], out);
                }
                if mixed {
                    self.hear_voice(key, &header, codec, &packet[header.payload()]);
                }
                if self.forks > 0 {
                    self.hear_forks(key, &header, codec, &packet[header.payload()]);
                }
                if let Some(recording) = recording.filter(|_| !muted) {
                    self.record(now, recording, &header, codec, &packet[header.payload()]);
                }
            }
        }
        match peer {
            Some(peer) => {
                if muted && let Content::Audio(codec) = content {
                    packet[header.payload()].fill(codec::silence(codec));
                }
                self.relay(now, key, peer, &incoming, packet, out);
            }
            None if mixed => {}
            None => self.counters.dropped_unbridged += 1,
        }
    }

    #[inline]
    fn relay(
        &mut self,
        now: Instant,
        from: StreamKey,
        to: StreamKey,
        incoming: &Incoming,
        packet: &mut [u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(to) else { return };
        if stream.hears_own() {
            let hears_it = stream.mix.is_some() && stream.player.is_none();
            self.counters.dropped_while_playing += u64::from(!hears_it);
            return;
        }
        let Some(destination) = stream.destination() else {
            self.counters.dropped_unbridged += 1;
            return;
        };
        let header = &incoming.header;
        let payload_type = match incoming.content {
            Content::Audio(_) if destination.coded.is_none() => Some(destination.payload_type),
            Content::Coded(coded) if destination.coded == Some(coded) => Some(destination.payload_type),
            Content::Audio(_) | Content::Coded(_) => None,
            Content::TelephoneEvent => destination.dtmf_payload_type,
            // It has no place of its own on a clock that runs at another rate.
            Content::ComfortNoise if stream.sender.ticks != 1 => None,
            Content::ComfortNoise => destination.comfort_noise.then_some(COMFORT_NOISE),
        };
        let Some(payload_type) = payload_type else {
            self.counters.dropped_payload_type += 1;
            return;
        };
        let source = Source::Stream(from.to_bits(), header.ssrc);
        let changes = &mut self.counters.source_changes;
        if !stream.sender.relay(now, source, incoming.step, header, payload_type, packet, changes) {
            self.counters.dropped_late += 1;
            return;
        }
        if let Content::Audio(codec) = incoming.content {
            let payload = &mut packet[header.payload()];
            if codec != destination.codec {
                codec::transcode(codec, destination.codec, payload);
                self.counters.transcoded += 1;
            }
            if stream.beep.is_some() {
                mix_beep(stream, destination.codec, payload);
            }
        }
        let route = (to, PacketKind::Rtp, destination.address);
        let sent = if incoming.encrypted || stream.secure.is_some() {
            resend(stream, route, packet, &mut self.arena, &mut self.counters, out)
        } else {
            self.counters.bytes_out += packet.len() as u64;
            out.push(Output::Forward { to, kind: PacketKind::Rtp, destination: destination.address });
            true
        };
        self.counters.forwarded_rtp += u64::from(sent);
        self.counters.packets_out += u64::from(sent);
    }

    /// Sound that others hear in their mixes.
    pub(super) fn hear_voice(&mut self, key: StreamKey, header: &Header, codec: Codec, payload: &[u8]) {
        let stream = self.streams.get_mut(key).filter(|stream| !stream.muted);
        if let Some(voice) = stream.and_then(|stream| stream.voice.as_mut()) {
            voice.jitter.push((header.ssrc, header.timestamp), codec, payload);
        }
    }

    pub(super) fn record(
        &mut self,
        now: Instant,
        (recorder, side): (Key<Recorder>, Side),
        header: &Header,
        codec: Codec,
        payload: &[u8],
    ) {
        let Some(recorder) = self.recorders.get_mut(recorder) else { return };
        // While the plane itself speaks to the left side, that is what the right channel holds.
        if side == Side::Right && self.streams.get(recorder.left).is_some_and(Stream::hears_own) {
            return;
        }
        if !recorder.write_encoded(now, side, (header.ssrc, header.timestamp), codec, payload) {
            self.counters.recording_late_packets += 1;
        }
    }

    #[cold]
    fn telephone_event(
        &mut self,
        now: Instant,
        key: StreamKey,
        incoming: &Incoming,
        packet: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let stale = if incoming.step == Step::Restart { stream.digits.restart() } else { None };
        let payload = &packet[incoming.header.payload()];
        let [unfinished, whole] = stream.digits.packet(now, incoming.header.timestamp, payload);
        let pressed = [stale, unfinished, whole];
        for digit in pressed.into_iter().flatten() {
            self.counters.dtmf_digits += 1;
            report_digit(key, stream, digit, DigitSource::Event, out);
        }
        let peer = stream.peer;
        if stream.digits.pressing() {
            self.needs_tick(now, key);
        }
        self.press_on(now, peer, &pressed);
    }

    /// A peer that hears a mix is not sent the event's packets: the digit is pressed for it anew.
    pub(super) fn press_on(&mut self, now: Instant, peer: Option<StreamKey>, digits: &[Option<Digit>]) {
        let Some(peer) = peer.filter(|peer| self.streams.get(*peer).is_some_and(|peer| peer.mix.is_some()))
        else {
            return;
        };
        for digit in digits.iter().flatten() {
            self.press(now, peer, digit.digit.encode_utf8(&mut [0; 4]), digit.duration_ms);
        }
    }

    pub(super) fn hear_digits(
        &mut self,
        now: Instant,
        key: StreamKey,
        incoming: &Incoming,
        codec: Codec,
        packet: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let ear = stream.in_band.get_or_insert_default();
        let heard = ear.hear(&incoming.header, incoming.step, codec, &packet[incoming.header.payload()]);
        let pressing = ear.pressing();
        if let Some(HeardDigit { digit, duration_ms }) = heard {
            self.counters.dtmf_digits += 1;
            report_digit(key, stream, Digit { digit, duration_ms }, DigitSource::InBand, out);
        }
        if pressing {
            self.needs_tick(now, key);
        }
    }

    fn handle_rtcp(
        &mut self,
        now: Instant,
        key: StreamKey,
        source: SocketAddr,
        packet: &mut [u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            self.counters.dropped_no_stream += 1;
            return;
        };
        let Some(packet) = open(stream, PacketKind::Rtcp, packet, &mut self.counters) else { return };
        if !rtcp::is_valid(packet) {
            self.counters.dropped_malformed += 1;
            return;
        }
        let Some(remote) = &stream.remote else {
            self.counters.dropped_no_remote += 1;
            return;
        };
        // Reports come from where the RTP comes from, unless the SDP named another host for them (RFC 3605).
        let host = match (remote.rtcp, stream.rtp.address) {
            (Some(named), _) if named.ip() == source.ip() => named,
            (_, Some(latched)) => latched,
            (_, None) => remote.rtcp_address(),
        };
        match stream.rtcp.admit_rtcp(now, source, host, &self.config) {
            Admission::Known => {}
            Admission::Latched { .. } => {
                out.push(Output::Latched { stream: key, kind: PacketKind::Rtcp, destination: source });
            }
            Admission::Refused => {
                self.counters.dropped_foreign_source += 1;
                return;
            }
        }
        self.pass_reports(now, key, packet, out);
    }

    /// RTCP on the RTP port (RFC 5761), where that was agreed: from where the RTP comes, or nobody.
    #[cold]
    fn handle_muxed(
        &mut self,
        now: Instant,
        key: StreamKey,
        source: SocketAddr,
        packet: &mut [u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            self.counters.dropped_no_stream += 1;
            return;
        };
        let Some(packet) = open(stream, PacketKind::Rtcp, packet, &mut self.counters) else { return };
        if !stream.remote.is_some_and(|remote| remote.rtcp_mux) || !rtcp::is_valid(packet) {
            self.counters.dropped_malformed += 1;
            return;
        }
        if stream.rtp.address != Some(source) {
            self.counters.dropped_foreign_source += 1;
            return;
        }
        self.pass_reports(now, key, packet, out);
    }

    /// Notes what an admitted compound says, and sends it on to the peer.
    fn pass_reports(&mut self, now: Instant, key: StreamKey, packet: &mut [u8], out: &mut Outbox<Output>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.rtp.reported(now);
        let heard = report::read(packet, stream.sender.ssrc);
        stream.quality.reported(now, &heard, stream.sender.ticks);
        let mixed = stream.mix.is_some();
        let reported_ssrc = stream.sender.ssrc;
        let sequence_delta = stream.sender.sequence_delta;
        let encrypted = stream.secure.is_some();
        let Some(peer_key) = stream.peer else {
            self.counters.dropped_unbridged += 1;
            return;
        };
        let Some(peer) = self.streams.get_mut(peer_key) else { return };
        // What they say of numbers and times is of a line that does not go through: each is reported to by us.
        if peer.mix.is_some() || mixed {
            return;
        }
        let translation = Translation {
            sender_ssrc: peer.sender.ssrc,
            timestamp_delta: peer.sender.timestamp_delta,
            reported_ssrc,
            source_ssrc: peer.reception.ssrc,
            sequence_delta,
        };
        match peer.rtcp_destination() {
            Some((kind, destination)) if rtcp::translate(packet, &translation) => {
                peer.quality.relayed(now, heard.sender_report);
                let sent = if encrypted || peer.secure.is_some() {
                    let route = (peer_key, kind, destination);
                    resend_reports(peer, route, packet, &mut self.arena, &mut self.counters, out)
                } else {
                    self.counters.bytes_out += packet.len() as u64;
                    out.push(Output::Forward { to: peer_key, kind, destination });
                    true
                };
                self.counters.forwarded_rtcp += u64::from(sent);
                self.counters.packets_out += u64::from(sent);
            }
            _ => self.counters.dropped_unbridged += 1,
        }
    }
}

/// The codecs with a static payload type that both SDP and senders take for granted.
const fn static_codec(payload_type: u8) -> Option<Codec> {
    match payload_type {
        0 => Some(Codec::Pcmu),
        8 => Some(Codec::Pcma),
        _ => None,
    }
}

#[cold]
fn mix_beep(stream: &mut Stream, codec: Codec, payload: &mut [u8]) {
    let Some(beep) = &mut stream.beep else { return };
    let mut buffer = [0_i16; SAMPLES_MAX];
    let count = payload.len().min(SAMPLES_MAX);
    let samples = &mut buffer[..count];
    codec::decode(codec, &payload[..count], samples);
    let over = beep.mix_into(samples);
    codec::encode(codec, samples, &mut payload[..count]);
    if over {
        stream.beep = None;
    }
}

/// Digits are listened for in the sound of those who cannot send them otherwise.
#[inline]
pub(super) fn wants_digits(stream: &Stream, config: &Config) -> bool {
    stream.ears.dtmf
        && match config.in_band_digits {
            InBandDigits::Auto => stream.remote.is_some_and(|remote| remote.dtmf_payload_type.is_none()),
            InBandDigits::Always => true,
            InBandDigits::Never => false,
        }
}

pub(super) fn report_digit(
    key: StreamKey,
    stream: &Stream,
    digit: Digit,
    source: DigitSource,
    out: &mut Outbox<Output>,
) {
    if stream.ears.dtmf {
        let Digit { digit, duration_ms } = digit;
        out.push(Output::Event(Event::Dtmf { stream: key, owner: stream.owner, digit, duration_ms, source }));
    }
}
