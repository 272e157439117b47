//! Stereo recordings: what each side said, where on one time line it was heard.
//!
//! The time line starts with the recording and runs with the clock at 8,000 frames a second. A packet is placed by
//! its RTP timestamp, so that jitter and reordering do not move it; where the timestamps lie on the time line is
//! learned from arrival, and corrected when the smallest delay of some seconds shows that the sender's clock has
//! drifted. What never came is silence. Frames are handed out some three quarters of a second at a time,
//! [`HOLD_BACK_FRAMES`] behind the clock, so that late packets still find their place: what a crash takes is less than
//! a second.
//!
//! ```text
//!   said      1 2 3 4 5 6 7 8 9        pause after 3, resume before 7
//!   silence   1 2 3 · · · 7 8 9        as long as the talk
//!   skip      1 2 3 7 8 9              as long as what was kept
//! ```
//!
//! Packets are kept as they came, one behind the other, until a batch is due: then they are decoded to their places in one
//! go. To put each packet's samples there at once, among hundreds of recordings, is to wait for memory that was last
//! touched most of a second ago (sampled: nearly half of the shard's time for recording).
//!
//! While it is paused nothing that is said is kept anywhere, and what was said then and comes late is not let in
//! afterwards.

use crate::{Codec, Output, PauseBehavior, RecordOp, StreamKey, codec};
use bytes::BytesMut;
use sansio::{Instant, Outbox};

/// Frames per second.
const RATE: u64 = 8_000;
/// Frames handed out at once, at least: with what is held back less than a second.
const BATCH_FRAMES: u64 = 6_000;
/// How far behind the clock frames are final: 200 ms.
const HOLD_BACK_FRAMES: u64 = 1_600;
/// Bytes of a frame: a sample of each side, as they are in the file.
const FRAME_BYTES: usize = 4;
/// Room for what gathers between two batches.
const BUFFER_BYTES: usize = FRAME_BYTES * (BATCH_FRAMES + 2 * HOLD_BACK_FRAMES) as usize;
/// Bytes of packets kept before they are put to their places, at most: of a batch of both sides, and some more.
const KEPT_BYTES_MAX: usize = 2 * (BATCH_FRAMES + 2 * HOLD_BACK_FRAMES) as usize;
/// Frames held at most; sound beyond that is dropped (the clock was not looked at for long).
const BUFFER_FRAMES_MAX: u64 = 10 * RATE;
/// Distance between timestamp and arrival beyond which the sender must have leapt: 1 s.
const LEAP_FRAMES: i64 = RATE as i64;
/// Drift is looked at over this many packets (5 s of 20 ms) …
const DRIFT_WINDOW_PACKETS: u16 = 250;
/// … and corrected when larger than this: 30 ms.
const DRIFT_FRAMES_MAX: i64 = 240;

/// Which channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
}

/// One running recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) id: u64,
    pub(crate) left: StreamKey,
    pub(crate) right: Option<StreamKey>,
    started_at: Instant,
    paused: Option<Pause>,
    /// Nothing is written before this frame: there the last pause ended.
    floor: i64,
    /// Frames in which it was paused, as far as these pauses have ended.
    paused_frames: u64,
    /// … of these, those that were left out of the file.
    skipped: u64,
    /// Something came that cannot be decoded: silence stands in its place.
    pub(crate) undecodable: bool,
    /// Frames handed out; the buffer begins here.
    flushed: u64,
    /// Frames as they go into the file; as long as the farthest sound that was put there.
    buffer: BytesMut,
    /// Packets that were not put there yet, in the order in which they came, and their sound.
    packets: Vec<Packet>,
    kept: Vec<u8>,
    tracks: [Track; 2],
}

/// A packet whose sound is kept and not at its place yet.
#[derive(Clone, Copy, Debug)]
struct Packet {
    side: Side,
    /// How its sound is written; `None`: in 16 bits, little endian.
    codec: Option<Codec>,
    /// Its first frame in the buffer.
    start: u32,
    /// Frames.
    count: u32,
}

/// A pause that has not ended.
#[derive(Clone, Copy, Debug)]
struct Pause {
    since: u64,
    behavior: PauseBehavior,
}

/// Where one side's timestamps lie on the time line.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    anchored: bool,
    ssrc: u32,
    timestamp: u32,
    /// Frame of `timestamp`.
    position: i64,
    /// Smallest delay (arrival minus place) in the current window.
    delay_min: i64,
    packets: u16,
}

impl Track {
    /// The frame a packet belongs to.
    fn place(&mut self, arrival: i64, ssrc: u32, timestamp: u32) -> i64 {
        let step = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        let place = self.position + step;
        let delay = arrival - place;
        if !self.anchored || ssrc != self.ssrc || delay.abs() > LEAP_FRAMES {
            let (position, delay_min) = (arrival, i64::MAX);
            *self = Track { anchored: true, ssrc, timestamp, position, delay_min, packets: 0 };
            return arrival;
        }
        self.delay_min = self.delay_min.min(delay);
        self.packets += 1;
        if step > 0 {
            (self.timestamp, self.position) = (timestamp, place);
        }
        if self.packets >= DRIFT_WINDOW_PACKETS {
            if self.delay_min.abs() > DRIFT_FRAMES_MAX {
                self.position += self.delay_min;
            }
            (self.delay_min, self.packets) = (i64::MAX, 0);
        }
        place
    }
}

impl Recorder {
    pub(crate) fn new(now: Instant, id: u64, left: StreamKey, right: Option<StreamKey>) -> Self {
        Recorder {
            id,
            left,
            right,
            started_at: now,
            paused: None,
            floor: 0,
            paused_frames: 0,
            skipped: 0,
            undecodable: false,
            flushed: 0,
            buffer: BytesMut::new(),
            packets: Vec::new(),
            kept: Vec::new(),
            tracks: [Track::default(); 2],
        }
    }

    /// Writes a packet's sound. False: it came too late (or far too early) to be kept whole.
    pub(crate) fn write_encoded(
        &mut self,
        now: Instant,
        side: Side,
        (ssrc, timestamp): (u32, u32),
        from: Codec,
        payload: &[u8],
    ) -> bool {
        let Some(place) = self.place(now, side, (ssrc, timestamp), payload.len()) else { return false };
        self.keep(side, Some(from), &place, &payload[place.skipped..]);
        place.is_whole
    }

    /// Writes a frame the plane played to the left side: into the right channel.
    pub(crate) fn write_own_voice(
        &mut self,
        now: Instant,
        ssrc: u32,
        timestamp: u32,
        samples: &[i16],
    ) -> bool {
        let side = Side::Right;
        let Some(place) = self.place(now, side, (ssrc, timestamp), samples.len()) else { return false };
        let samples = &samples[place.skipped..];
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.keep(side, None, &place, &bytes);
        place.is_whole
    }

    /// Where in the buffer a packet of so many samples belongs. `None`: farther ahead than anything is held.
    fn place(
        &mut self,
        now: Instant,
        side: Side,
        (ssrc, timestamp): (u32, u32),
        count: usize,
    ) -> Option<Place> {
        let arrival = self.elapsed(now) as i64;
        let place = self.tracks[side as usize].place(arrival, ssrc, timestamp);
        if self.paused.is_some() {
            return Some(Place { start: 0, skipped: count, is_whole: true });
        }
        let masked = usize::try_from(self.floor - place).unwrap_or(0).min(count);
        let offset = place - self.skipped as i64 - self.flushed as i64;
        let late = usize::try_from(-offset).unwrap_or(0).min(count);
        let skipped = late.max(masked);
        let start = usize::try_from(offset + skipped as i64).unwrap_or(0);
        if (start + count - skipped) as u64 > BUFFER_FRAMES_MAX {
            return None;
        }
        Some(Place { start, skipped, is_whole: late <= masked })
    }

    /// Keeps a packet's sound until [`Recorder::put_in_place`].
    fn keep(&mut self, side: Side, codec: Option<Codec>, place: &Place, sound: &[u8]) {
        if sound.is_empty() {
            return;
        }
        if self.kept.len() + sound.len() > KEPT_BYTES_MAX {
            self.put_in_place();
        }
        let count = if codec.is_some() { sound.len() } else { sound.len() / 2 };
        // Both are less than BUFFER_FRAMES_MAX.
        let (start, count) = (place.start as u32, count as u32);
        self.packets.push(Packet { side, codec, start, count });
        self.kept.extend_from_slice(sound);
    }

    /// Decodes what was kept to where it belongs. What came later stands over what came before.
    fn put_in_place(&mut self) {
        let mut kept = &self.kept[..];
        for packet in self.packets.drain(..) {
            let (start, end) = (packet.start as usize, (packet.start + packet.count) as usize);
            if self.buffer.len() < FRAME_BYTES * end {
                if self.buffer.capacity() == 0 {
                    self.buffer.reserve(BUFFER_BYTES.max(FRAME_BYTES * end));
                }
                self.buffer.resize(FRAME_BYTES * end, 0);
            }
            let frames = &mut self.buffer[FRAME_BYTES * start..FRAME_BYTES * end];
            let (sound, rest) =
                kept.split_at(packet.count as usize * if packet.codec.is_some() { 1 } else { 2 });
            kept = rest;
            match packet.codec {
                Some(codec) => {
                    let table = codec::table(codec);
                    put(
                        packet.side,
                        frames,
                        sound.iter().map(|byte| table[usize::from(*byte)].to_le_bytes()),
                    );
                }
                None => put(packet.side, frames, sound.chunks_exact(2).map(|both| [both[0], both[1]])),
            }
        }
        self.kept.clear();
    }

    /// Keeps nothing from now on. Nothing if it is paused already.
    pub(crate) fn pause(&mut self, now: Instant, behavior: PauseBehavior) {
        let since = self.elapsed(now);
        self.paused.get_or_insert(Pause { since, behavior });
    }

    /// Keeps what is said from now on. Nothing if it is not paused.
    pub(crate) fn resume(&mut self, now: Instant) {
        let Some(pause) = self.paused.take() else { return };
        let end = self.elapsed(now);
        self.paused_frames += end - pause.since;
        if pause.behavior == PauseBehavior::Skip {
            self.skipped += end - pause.since;
        }
        self.floor = end as i64;
    }

    /// Frames of the file up to now.
    fn length(&self, now: Instant) -> u64 {
        let to = match self.paused {
            Some(Pause { since, behavior: PauseBehavior::Skip }) => since,
            _ => self.elapsed(now),
        };
        to - self.skipped
    }

    /// Hands out what is final, when a batch of it is there.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let final_to = self.length(now).saturating_sub(HOLD_BACK_FRAMES);
        if final_to >= self.flushed + BATCH_FRAMES {
            self.append_to(final_to, out);
        }
    }

    /// Hands out the rest: the recording is as long as it ran, but for what was skipped.
    pub(crate) fn finish(mut self, now: Instant, out: &mut Outbox<Output>) {
        self.resume(now);
        let frames = self.length(now);
        self.append_to(frames, out);
        let Recorder { id, paused_frames, undecodable, .. } = self;
        out.push(Output::Record(RecordOp::Finish { id, frames, paused_frames, undecodable }));
    }

    fn append_to(&mut self, to: u64, out: &mut Outbox<Output>) {
        self.put_in_place();
        while self.flushed < to {
            let frames = (to - self.flushed).min(BUFFER_FRAMES_MAX) as usize;
            if self.buffer.len() < FRAME_BYTES * frames {
                self.buffer.resize(FRAME_BYTES * frames, 0);
            }
            // What is handed out is not copied; what is not final yet moves into a buffer of its own.
            let rest = &self.buffer[FRAME_BYTES * frames..];
            let mut next = BytesMut::new();
            if !rest.is_empty() {
                next.reserve(BUFFER_BYTES.max(rest.len()));
                next.extend_from_slice(rest);
            }
            self.buffer.truncate(FRAME_BYTES * frames);
            let samples = std::mem::replace(&mut self.buffer, next).freeze();
            self.flushed += frames as u64;
            out.push(Output::Record(RecordOp::Append { id: self.id, samples }));
        }
    }

    /// Frames since the start.
    fn elapsed(&self, now: Instant) -> u64 {
        (now.since(self.started_at).as_nanos() / 125_000) as u64
    }
}

/// Where a packet's sound belongs.
struct Place {
    /// First frame in the buffer.
    start: usize,
    /// Samples at its beginning that are not kept.
    skipped: usize,
    /// All of it is, but for what was said while nothing is to be kept.
    is_whole: bool,
}

/// Puts samples into their channel of some frames. A loop for each side: where a sample goes is known when it is compiled.
#[inline]
fn put(side: Side, frames: &mut [u8], samples: impl Iterator<Item = [u8; 2]>) {
    let frames = frames.chunks_exact_mut(FRAME_BYTES);
    match side {
        Side::Left => frames.zip(samples).for_each(|(frame, sample)| frame[..2].copy_from_slice(&sample)),
        Side::Right => frames.zip(samples).for_each(|(frame, sample)| frame[2..].copy_from_slice(&sample)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Duration;

    /// A peer that sends the same packet over and over takes no more memory than one that speaks; what came last stands.
    #[test]
    fn what_is_kept_is_bounded_and_the_last_word_stands() {
        let now = Instant::ZERO;
        let mut recorder = Recorder::new(now, 1, StreamKey::from_bits(1), None);
        for byte in (0..=u8::MAX).cycle().take(10_000) {
            assert!(recorder.write_encoded(now, Side::Left, (7, 0), Codec::Pcmu, &[byte; 160]));
            assert!(recorder.kept.len() <= KEPT_BYTES_MAX);
        }
        assert!(recorder.write_own_voice(now, 8, 0, &[-2; 80]));
        assert!(recorder.write_encoded(now, Side::Left, (7, 80), Codec::Pcma, &[0x55; 80]));
        let mut out = Outbox::default();
        recorder.finish(now + Duration::from_millis(25), &mut out);
        let Some(Output::Record(RecordOp::Append { samples, .. })) = out.drain().next() else {
            panic!("sound")
        };
        let frames: Vec<[i16; 2]> = samples
            .chunks_exact(FRAME_BYTES)
            .map(|four| [i16::from_le_bytes([four[0], four[1]]), i16::from_le_bytes([four[2], four[3]])])
            .collect();
        // The 10,000th byte of the cycle.
        let last = codec::table(Codec::Pcmu)[9_999 % 256];
        let later = codec::table(Codec::Pcma)[0x55];
        let expected = [vec![[last, -2]; 80], vec![[later, 0]; 80], vec![[0, 0]; 40]].concat();
        assert_eq!(frames, expected);
    }
}
