//! What the plane says: prompts and beeps, all from one tick.

use super::Plane;
use super::secure::seal;
use crate::coded::FRAME_BYTES_MAX;
use crate::jitter::FRAME_SAMPLES_MAX;
use crate::player::{Beep, FRAME_SAMPLES, Player};
use crate::presses::Step;
use crate::recorder::Side;
use crate::rtp::HEADER_BYTES;
use crate::rtp::telephone_event::Digit;
use crate::sender::Sender;
use crate::{Counters, DigitSource, Event, Output, PacketKind, PlayRequest, Stream, StreamKey, Tone, codec};
use bytes::BytesMut;
use sansio::{Duration, Instant, Outbox};

/// One frame.
const TICK: Duration = Duration::from_millis(20);
/// Frames sent at once to catch up with a tick that came late; beyond that the prompt is paused instead.
const CATCH_UP_FRAMES_MAX: u64 = 5;
/// A beep rides on relayed packets while they come this often; else it is sent by itself.
const RELAY_IS_FLOWING: Duration = Duration::from_millis(45);

impl Plane {
    /// Plays samples to a stream, at once; what was playing to it ends. Its peer is not heard meanwhile.
    pub fn play(&mut self, now: Instant, stream: StreamKey, request: PlayRequest, out: &mut Outbox<Output>) {
        self.stop_playing(now, stream, out);
        if let Some(state) = self.streams.get_mut(stream) {
            state.player = Some(Player::new(request));
            self.needs_tick(now, stream);
            self.touch(stream);
        }
    }

    /// Stops what plays to a stream, if anything; its peer is heard with the next packet.
    pub fn stop_playing(&mut self, _now: Instant, stream: StreamKey, out: &mut Outbox<Output>) {
        if let Some(state) = self.streams.get_mut(stream)
            && let Some(player) = state.player.take()
        {
            done(stream, state.owner, &player, false, out);
            self.touch(stream);
        }
    }

    /// Mixes a beep into what the stream hears, without delaying it; with nothing to hear the beep is sent alone.
    pub fn tone(&mut self, now: Instant, stream: StreamKey, tone: Tone, _out: &mut Outbox<Output>) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.beep = Some(Box::new(Beep::new(tone)));
            self.needs_tick(now, stream);
            self.touch(stream);
        }
    }

    /// Puts a stream on the list of those that need the tick, and starts the tick.
    pub(super) fn needs_tick(&mut self, now: Instant, stream: StreamKey) {
        if let Some(state) = self.streams.get_mut(stream)
            && !state.ticking
        {
            state.ticking = true;
            self.ticking.push(stream);
        }
        if self.next_tick.is_none() {
            self.next_tick = Some(now);
        }
    }

    pub(super) fn tick(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let mut due = self.next_tick.unwrap_or(now);
        let behind = (now.since(due).as_nanos() / TICK.as_nanos()) as u64;
        if behind >= CATCH_UP_FRAMES_MAX {
            // The prompt goes on where it was, and its timestamps leap over the time that was lost.
            for stream in &self.ticking {
                let Some(stream) = self.streams.get_mut(*stream) else { continue };
                if let Some(fork) = &mut stream.fork {
                    fork.frames += behind;
                }
                if stream.hears_own() {
                    stream.sender.forget_source();
                    self.counters.playout_frames_skipped += behind;
                }
            }
            due = now;
        }
        while due <= now && !self.ticking.is_empty() {
            self.tick_once(now, out);
            due += TICK;
        }
        self.next_tick = (!self.ticking.is_empty()).then_some(due);
    }

    /// Sends one frame of silence to a stream that was sent nothing for long.
    pub(super) fn keep_alive(&mut self, now: Instant, key: StreamKey, out: &mut Outbox<Output>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let samples = [0; FRAME_SAMPLES];
        if send_frame(now, key, stream, (&samples, None), &mut self.arena, &mut self.counters, out) {
            stream.sender.forget_source();
        }
    }

    fn tick_once(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let mut ticking = std::mem::take(&mut self.ticking);
        let mut passed_on: Vec<(StreamKey, Digit)> = Vec::new();
        let mut turned: Vec<StreamKey> = Vec::new();
        self.arena.reserve(ticking.len() * (HEADER_BYTES + FRAME_SAMPLES));
        self.next_voices();
        ticking.retain(|key| {
            let mut samples = [0_i16; FRAME_SAMPLES];
            let mixed = super::mix::sum(&self.streams, *key, &mut samples);
            let mut wide = [0_i16; FRAME_SAMPLES_MAX];
            let wide = super::mix::wide(&self.streams, *key, &mut wide).then_some(&wide[..]);
            let Some(stream) = self.streams.get_mut(*key) else { return false };
            self.counters.frames_mixed += u64::from(mixed);
            let arena = &mut self.arena;
            let spoken_to = stream.fork.as_ref().is_some_and(|fork| fork.speech.is_speaking());
            let mut without_outside = None;
            let counters = &mut self.counters;
            let sent = speak(
                now,
                *key,
                stream,
                (mixed, wide),
                &mut samples,
                &mut without_outside,
                arena,
                counters,
                out,
            );
            if sent
                && let Some((recorder, Side::Left)) = stream.recording
                && let Some(recorder) = self.recorders.get_mut(recorder)
            {
                let Sender { ssrc, timestamp, .. } = stream.sender;
                recorder.write_own_voice(now, ssrc, timestamp, &samples);
            }
            if let Some(fork) = &stream.fork {
                let speaks = fork.speech.is_speaking();
                if speaks != spoken_to {
                    turned.push(*key);
                }
                let own = sent.then_some(without_outside.as_ref().unwrap_or(&samples));
                super::fork::give_out(stream, own, out);
            }
            if let Some(digit) = stream.digits.handle_timeout(now) {
                self.counters.dtmf_digits += 1;
                super::packet::report_digit(*key, stream, digit, DigitSource::Event, out);
                if let Some(peer) = stream.peer {
                    passed_on.push((peer, digit));
                }
            }
            let last = stream.last_packet_at;
            if let Some(heard) = stream.in_band.as_mut().and_then(|ear| ear.handle_timeout(now, last)) {
                let digit = Digit { digit: heard.digit, duration_ms: heard.duration_ms };
                self.counters.dtmf_digits += 1;
                super::packet::report_digit(*key, stream, digit, DigitSource::InBand, out);
            }
            super::listen::catch_up(now, *key, stream, out);
            stream.ticking = stream.needs_tick();
            stream.ticking
        });
        self.ticking = ticking;
        turned.into_iter().for_each(|stream| self.touch(stream));
        for (peer, digit) in passed_on {
            self.press_on(now, Some(peer), &[Some(digit)]);
        }
    }
}

/// Makes one frame of prompt and beep, over what is mixed. True: a frame of sound was sent.
///
/// * `wide` what is mixed with twice as many samples, for a coding that carries them; with nothing else over it
#[expect(clippy::too_many_arguments, reason = "parts of the plane that are borrowed one by one")]
fn speak(
    now: Instant,
    key: StreamKey,
    stream: &mut Stream,
    (mixed, wide): (bool, Option<&[i16]>),
    samples: &mut [i16; FRAME_SAMPLES],
    without_outside: &mut Option<[i16; FRAME_SAMPLES]>,
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let mut has_sound = mixed;
    if stream.player.is_none()
        && stream.presses.is_none()
        && let Some(fork) = &mut stream.fork
    {
        *without_outside = fork.say(samples, mixed);
        has_sound |= without_outside.is_some();
    }
    let alone = stream.player.is_none() && stream.beep.is_none() && without_outside.is_none();
    let wide = wide.filter(|_| alone);
    if let Some(player) = &mut stream.player {
        has_sound = true;
        if player.frame(samples)
            && let Some(player) = stream.player.take()
        {
            done(key, stream.owner, &player, true, out);
        }
    }
    let relayed = stream.coded().is_none()
        && stream.sender.relayed_at.is_some_and(|at| now.since(at) < RELAY_IS_FLOWING);
    if let Some(beep) = &mut stream.beep
        && (has_sound || !relayed)
    {
        has_sound = true;
        if beep.mix_into(samples) {
            stream.beep = None;
        }
    }
    if stream.presses.is_some() {
        return press(now, key, stream, samples, arena, counters, out);
    }
    has_sound && send_frame(now, key, stream, (samples, wide), arena, counters, out)
}

/// Sends one tick's part of a digit; other sound waits. True: a frame of tones was sent.
fn press(
    now: Instant,
    key: StreamKey,
    stream: &mut Stream,
    samples: &mut [i16; FRAME_SAMPLES],
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let Some(presses) = &mut stream.presses else { return false };
    let to = stream.remote.filter(|remote| remote.receives);
    let event = to.and_then(|remote| remote.dtmf_payload_type);
    let step = presses.step(event.is_some());
    if presses.is_done() {
        stream.presses = None;
    }
    match (step, event, stream.destination()) {
        (Step::Tones(tones), ..) => {
            *samples = *tones;
            return send_frame(now, key, stream, (samples, None), arena, counters, out);
        }
        (Step::Event { first, payload, samples: so_far }, Some(payload_type), Some(to)) => {
            let changes = &mut counters.source_changes;
            let header = stream.sender.event_header(now, payload_type, first, so_far, changes);
            let start = arena.len();
            arena.extend_from_slice(&header);
            arena.extend_from_slice(&payload);
            if !seal(stream, arena, start, counters) {
                return false;
            }
            let packet = arena.split().freeze();
            counters.packets_out += 1;
            counters.bytes_out += packet.len() as u64;
            let destination = to.address;
            out.push(Output::Send { from: key, kind: PacketKind::Rtp, destination, packet });
        }
        (Step::Event { .. } | Step::Pause, ..) => {}
    }
    false
}

/// Sends a frame of our own. False: the stream cannot be sent to now.
fn send_frame(
    now: Instant,
    key: StreamKey,
    stream: &mut Stream,
    (samples, wide): (&[i16; FRAME_SAMPLES], Option<&[i16]>),
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let Some(to) = stream.destination() else { return false };
    let mut coded = [0; FRAME_BYTES_MAX];
    let length = match (to.coded, &mut stream.transcoder) {
        (None, _) => FRAME_SAMPLES,
        (Some(_), Some(transcoder)) => match transcoder.write(samples, wide, &mut coded) {
            Some(length) => length,
            None => return false,
        },
        (Some(_), None) => return false,
    };
    let changes = &mut counters.source_changes;
    let header = stream.sender.own_header(now, to.payload_type, FRAME_SAMPLES as u32, changes);
    arena.extend_from_slice(&header);
    let start = arena.len();
    if to.coded.is_some() {
        arena.extend_from_slice(&coded[..length]);
    } else {
        arena.resize(start + length, codec::silence(to.codec));
        codec::encode(to.codec, samples, &mut arena[start..]);
    }
    if !seal(stream, arena, start - header.len(), counters) {
        return false;
    }
    let packet = arena.split().freeze();
    counters.frames_played += 1;
    counters.packets_out += 1;
    counters.bytes_out += packet.len() as u64;
    out.push(Output::Send { from: key, kind: PacketKind::Rtp, destination: to.address, packet });
    true
}

fn done(stream: StreamKey, owner: u64, player: &Player, completed: bool, out: &mut Outbox<Output>) {
    if !player.request.repeat {
        let tag = player.request.tag;
        out.push(Output::Event(Event::PlayDone { stream, owner, tag, completed }));
    }
}
