//! Sound put in order to be mixed: packets in, one frame out per tick.
//!
//! Used only where sound is decoded. A sample is placed by its RTP timestamp, [`PREFILL`] ahead of where the next frame
//! is taken from, so that packets may come up to that late. A sender whose clock runs fast is caught up with by
//! leaving a frame out; one that runs slow, or that leaps, is followed by placing its next packet anew. What never
//! came is made up ([`crate::conceal`]); who said that it is silent is heard as noise of that level (RFC 3389).

use crate::conceal::Concealer;
use crate::player::FRAME_SAMPLES;
use crate::{Codec, codec};

/// Samples held; a power of two, so that timestamps wrap with it.
const CAPACITY: usize = 2_048;
const MASK: u32 = CAPACITY as u32 - 1;
/// How far ahead of the next frame a source's first packet is placed: 40 ms.
const PREFILL: u32 = 320;
/// A packet further ahead than this (120 ms) is a leap of its sender's.
const AHEAD_MAX: i32 = 960;
/// The longest payload that is taken whole: 120 ms.
const PAYLOAD_MAX: usize = 960;
/// So many packets in a row that came too late: the sender's clock is behind.
const LATE_MAX: u8 = 3;
/// After so many frames without a packet (200 ms) the next one is placed anew.
const DRY_MAX: u8 = 10;
/// Noise is never louder than this (-30 dB): nobody's silence is.
const NOISE_PEAK_MAX: i16 = 1_794;
/// Drift is looked at over so many frames: 5 s.
const WINDOW: u16 = 250;

/// One source's sound.
#[derive(Debug)]
pub(crate) struct Jitter {
    ring: Box<[i16; CAPACITY]>,
    /// Which samples of the ring came.
    came: Box<[bool; CAPACITY]>,
    concealer: Concealer,
    /// Peak of the noise that is heard until sound comes again, and what it is drawn from.
    noise: Option<i16>,
    noise_seed: u32,
    /// Timestamp of the next frame's first sample.
    due: u32,
    ssrc: u32,
    placed: bool,
    /// Something of this source has been heard: what is missing from now on is missing.
    heard: bool,
    late: u8,
    dry: u8,
    /// The least a packet was ahead in this window, samples.
    ahead_min: i32,
    frames: u16,
    /// The frame of this tick.
    frame: [i16; FRAME_SAMPLES],
}

impl Jitter {
    pub(crate) fn new() -> Self {
        Jitter {
            ring: Box::new([0; CAPACITY]),
            came: Box::new([false; CAPACITY]),
            concealer: Concealer::new(),
            noise: None,
            noise_seed: 1,
            due: 0,
            ssrc: 0,
            placed: false,
            heard: false,
            late: 0,
            dry: 0,
            ahead_min: i32::MAX,
            frames: 0,
            frame: [0; FRAME_SAMPLES],
        }
    }

    /// Takes a packet's sound.
    pub(crate) fn push(&mut self, (ssrc, timestamp): (u32, u32), from: Codec, payload: &[u8]) {
        let payload = &payload[..payload.len().min(PAYLOAD_MAX)];
        if !self.placed || ssrc != self.ssrc {
            self.place(ssrc, timestamp);
        }
        let mut ahead = timestamp.wrapping_sub(self.due) as i32;
        if !(-2 * AHEAD_MAX..=AHEAD_MAX).contains(&ahead) {
            self.place(ssrc, timestamp);
            ahead = PREFILL as i32;
        } else if ahead + payload.len() as i32 <= 0 {
            self.late += 1;
            if self.late < LATE_MAX {
                return;
            }
            self.place(ssrc, timestamp);
            ahead = PREFILL as i32;
        }
        (self.late, self.dry, self.noise) = (0, 0, None);
        self.ahead_min = self.ahead_min.min(ahead);
        let table = codec::table(from);
        let skipped = usize::try_from(-ahead).unwrap_or(0);
        for (offset, &byte) in payload.iter().enumerate().skip(skipped) {
            let place = timestamp.wrapping_add(offset as u32) & MASK;
            self.ring[place as usize] = table[usize::from(byte)];
            self.came[place as usize] = true;
        }
    }

    /// Moves on to the next frame.
    pub(crate) fn next_frame(&mut self) {
        if !self.placed {
            self.frame.fill(0);
            self.add_noise(|_| false);
            return;
        }
        let mut has = [false; FRAME_SAMPLES];
        for (sample, has) in self.frame.iter_mut().zip(&mut has) {
            let place = (self.due & MASK) as usize;
            *sample = std::mem::take(&mut self.ring[place]);
            *has = std::mem::take(&mut self.came[place]);
            self.due = self.due.wrapping_add(1);
        }
        if has.iter().all(|has| *has) {
            self.concealer.came(&mut self.frame);
        } else if self.noise.is_some() {
            self.add_noise(|i| has[i]);
        } else if self.heard {
            self.concealer.fill(&mut self.frame, |i| has[i]);
        }
        self.heard |= has.contains(&true);
        self.dry += 1;
        if self.dry > DRY_MAX {
            self.placed = false;
        }
        self.frames += 1;
        if self.frames >= WINDOW {
            if self.ahead_min != i32::MAX && self.ahead_min > PREFILL as i32 + FRAME_SAMPLES as i32 {
                self.leave_out_frame();
            }
            (self.frames, self.ahead_min) = (0, i32::MAX);
        }
    }

    /// The far end is silent: noise of so many dB under full scale is heard until it speaks again.
    pub(crate) fn comfort(&mut self, level_below: u8) {
        // Evenly drawn noise has a root mean square of its peak over the root of three.
        let peak = f32::from(i16::MAX) * 3_f32.sqrt() * 10_f32.powf(-f32::from(level_below & 0x7F) / 20.0);
        self.noise = Some(peak.min(f32::from(NOISE_PEAK_MAX)) as i16);
    }

    fn add_noise(&mut self, has: impl Fn(usize) -> bool) {
        let Some(peak) = self.noise else { return };
        for (i, sample) in self.frame.iter_mut().enumerate() {
            // Numerical Recipes' quick generator: noise need not be better than that.
            self.noise_seed = self.noise_seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if !has(i) {
                let drawn = i32::from((self.noise_seed >> 16) as i16);
                *sample = (drawn * i32::from(peak) / 32_768) as i16;
            }
        }
    }

    /// The frame of this tick.
    pub(crate) fn frame(&self) -> &[i16; FRAME_SAMPLES] {
        &self.frame
    }

    fn place(&mut self, ssrc: u32, timestamp: u32) {
        if ssrc != self.ssrc || !self.placed {
            self.concealer.forget();
            self.heard = false;
        }
        self.ring.fill(0);
        self.came.fill(false);
        self.ssrc = ssrc;
        self.due = timestamp.wrapping_sub(PREFILL);
        self.placed = true;
        (self.late, self.dry, self.frames, self.ahead_min) = (0, 0, 0, i32::MAX);
    }

    fn leave_out_frame(&mut self) {
        for _ in 0..FRAME_SAMPLES {
            self.ring[(self.due & MASK) as usize] = 0;
            self.came[(self.due & MASK) as usize] = false;
            self.due = self.due.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A-law 0x2A decodes to something loud; what counts is whether a frame has it.
    const LOUD: [u8; 160] = [0x2A; 160];

    fn heard(jitter: &mut Jitter) -> usize {
        jitter.next_frame();
        jitter.frame().iter().filter(|sample| **sample != 0).count()
    }

    #[test]
    fn packets_out_of_order_and_doubled_are_heard_once_in_order() {
        let mut jitter = Jitter::new();
        let ts = |n: u32| (u32::MAX - 200).wrapping_add(160 * n);
        jitter.push((1, ts(0)), Codec::Pcma, &LOUD);
        jitter.push((1, ts(2)), Codec::Pcma, &LOUD);
        jitter.push((1, ts(1)), Codec::Pcma, &LOUD);
        jitter.push((1, ts(1)), Codec::Pcma, &LOUD);
        let frames: Vec<usize> = (0..9).map(|_| heard(&mut jitter)).collect();
        // Behind the last one 60 ms are made up.
        assert_eq!(frames[..5], [0, 0, 160, 160, 160]);
        assert!(frames[5] > 150, "{frames:?}");
        assert_eq!(frames[8], 0);
    }

    #[test]
    fn a_slow_clock_is_followed_and_a_fast_one_caught_up_with() {
        let mut jitter = Jitter::new();
        jitter.push((1, 1_000), Codec::Pcma, &LOUD);
        (0..9).for_each(|_| jitter.next_frame());
        // 9 frames later its second packet comes: too late, and so do the next; the third is placed anew.
        for n in 1..=3 {
            jitter.push((1, 1_000 + 160 * n), Codec::Pcma, &LOUD);
        }
        assert_eq!([heard(&mut jitter), heard(&mut jitter), heard(&mut jitter)], [0, 0, 160]);

        let mut fast = Jitter::new();
        fast.push((1, 0), Codec::Pcma, &LOUD);
        let mut n = 0;
        let mut most = 0;
        for tick in 0..20_000_u32 {
            // One packet in 400 is one too many.
            for _ in 0..1 + u32::from(tick % 400 == 399) {
                n += 1;
                fast.push((1, 160 * n), Codec::Pcma, &LOUD);
            }
            fast.next_frame();
            most = most.max((160 * n).wrapping_sub(fast.due));
        }
        assert!(most < 960, "{most} samples of delay");
    }

    #[test]
    fn whatever_the_timestamps_nothing_breaks_and_new_sources_are_heard() {
        let mut jitter = Jitter::new();
        let mut rng = sansio::Rng::from_seed(4);
        for _ in 0..2_000 {
            let length = rng.below(1_400) as usize;
            jitter.push((rng.below(3) as u32, rng.next_u32()), Codec::Pcmu, &vec![7; length]);
            jitter.next_frame();
        }
        jitter.push((9, 77), Codec::Pcma, &LOUD);
        assert_eq!([heard(&mut jitter), heard(&mut jitter), heard(&mut jitter)], [0, 0, 160]);
    }

    #[test]
    fn a_lost_packet_is_made_up_for() {
        let mut jitter = Jitter::new();
        let mut quiet = 0;
        for n in 0..50_u32 {
            if n != 20 && n != 33 {
                jitter.push((1, 160 * n), Codec::Pcma, &LOUD);
            }
            let loud = heard(&mut jitter);
            quiet += usize::from(n > 2 && loud < 160);
        }
        assert_eq!(quiet, 0, "frames with silence in them");
    }

    #[test]
    fn who_is_silent_is_heard_as_noise_of_that_level() {
        let mut jitter = Jitter::new();
        jitter.push((1, 0), Codec::Pcma, &LOUD);
        jitter.comfort(50);
        (0..30).for_each(|_| jitter.next_frame());
        let power: f64 = jitter.frame().iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let level = 10.0 * (power / 160.0).log10() - 20.0 * 32_767_f64.log10();
        assert!((-52.0..-48.0).contains(&level), "{level} dB");
        jitter.push((1, 160 * 40), Codec::Pcma, &LOUD);
        (0..3).for_each(|_| jitter.next_frame());
        assert_eq!(jitter.frame()[80], codec::table(Codec::Pcma)[0x2A]);
    }
}
