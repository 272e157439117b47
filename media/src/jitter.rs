//! Sound put in order to be mixed: packets in, one frame out per tick.
//!
//! Used only where sound is decoded. A sample is placed by its RTP timestamp, [`PREFILL`] ahead of where the next frame
//! is taken from, so that packets may come up to that late. A sender whose clock runs fast is caught up with by
//! leaving a frame out; one that runs slow, or that leaps, is followed by placing its next packet anew. What never
//! came is made up ([`crate::conceal`]); who said that it is silent is heard as noise of that level (RFC 3389). Lengths
//! here are in samples of 8,000 Hz; a voice of 16,000 Hz has twice as many, and its timestamps count them.

use crate::conceal::Concealer;
use crate::player::FRAME_SAMPLES;
use crate::{Codec, codec};

/// Samples held; a power of two, so that timestamps wrap with it.
const CAPACITY: usize = 2_048;
/// Samples of a frame at most.
pub(crate) const FRAME_SAMPLES_MAX: usize = 2 * FRAME_SAMPLES;
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
    /// Its samples by those of 8,000 Hz: 1 or 2.
    scale: usize,
    ring: Box<[i16]>,
    /// Which samples of the ring came.
    came: Box<[bool]>,
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
    frame: [i16; FRAME_SAMPLES_MAX],
}

impl Jitter {
    /// Of a voice of 8,000 samples a second.
    pub(crate) fn new() -> Self {
        Self::scaled(1)
    }

    /// Of a voice of 16,000 samples a second.
    pub(crate) fn wide() -> Self {
        Self::scaled(2)
    }

    fn scaled(scale: usize) -> Self {
        Jitter {
            scale,
            ring: vec![0; CAPACITY * scale].into_boxed_slice(),
            came: vec![false; CAPACITY * scale].into_boxed_slice(),
            concealer: Concealer::new(scale),
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
            frame: [0; FRAME_SAMPLES_MAX],
        }
    }

    /// Takes a packet's sound.
    pub(crate) fn push(&mut self, id: (u32, u32), from: Codec, payload: &[u8]) {
        let table = codec::table(from);
        self.push_samples(id, payload.iter().map(|byte| table[usize::from(*byte)]));
    }

    /// The same, decoded.
    pub(crate) fn push_samples(
        &mut self,
        (ssrc, timestamp): (u32, u32),
        samples: impl ExactSizeIterator<Item = i16>,
    ) {
        let (prefill, ahead_max) = (self.prefill(), AHEAD_MAX * self.scale as i32);
        let count = samples.len().min(PAYLOAD_MAX * self.scale);
        if !self.placed || ssrc != self.ssrc {
            self.place(ssrc, timestamp);
        }
        let mut ahead = timestamp.wrapping_sub(self.due) as i32;
        if !(-2 * ahead_max..=ahead_max).contains(&ahead) {
            self.place(ssrc, timestamp);
            ahead = prefill as i32;
        } else if ahead + count as i32 <= 0 {
            self.late += 1;
            if self.late < LATE_MAX {
                return;
            }
            self.place(ssrc, timestamp);
            ahead = prefill as i32;
        }
        (self.late, self.dry, self.noise) = (0, 0, None);
        self.ahead_min = self.ahead_min.min(ahead);
        let skipped = usize::try_from(-ahead).unwrap_or(0);
        for (offset, sample) in samples.enumerate().take(count).skip(skipped) {
            let place = self.at(timestamp.wrapping_add(offset as u32));
            self.ring[place] = sample;
            self.came[place] = true;
        }
    }

    fn prefill(&self) -> u32 {
        PREFILL * self.scale as u32
    }

    fn frame_samples(&self) -> usize {
        FRAME_SAMPLES * self.scale
    }

    /// Where a timestamp's sample lies in the ring.
    fn at(&self, timestamp: u32) -> usize {
        timestamp as usize & (self.ring.len() - 1)
    }

    /// Moves on to the next frame.
    pub(crate) fn next_frame(&mut self) {
        if !self.placed {
            self.frame.fill(0);
            self.add_noise(|_| false);
            return;
        }
        let count = self.frame_samples();
        let mut has = [false; FRAME_SAMPLES_MAX];
        let has = &mut has[..count];
        for (offset, has) in has.iter_mut().enumerate() {
            let place = self.at(self.due.wrapping_add(offset as u32));
            self.frame[offset] = std::mem::take(&mut self.ring[place]);
            *has = std::mem::take(&mut self.came[place]);
        }
        self.due = self.due.wrapping_add(count as u32);
        if has.iter().all(|has| *has) {
            self.concealer.came(&mut self.frame[..count]);
        } else if self.noise.is_some() {
            self.add_noise(|i| has[i]);
        } else if self.heard {
            self.concealer.fill(&mut self.frame[..count], |i| has[i]);
        }
        self.heard |= has.contains(&true);
        self.dry += 1;
        if self.dry > DRY_MAX {
            self.placed = false;
        }
        self.frames += 1;
        if self.frames >= WINDOW {
            if self.ahead_min != i32::MAX && self.ahead_min > self.prefill() as i32 + count as i32 {
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
        let count = self.frame_samples();
        for (i, sample) in self.frame[..count].iter_mut().enumerate() {
            // Numerical Recipes' quick generator: noise need not be better than that.
            self.noise_seed = self.noise_seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if !has(i) {
                let drawn = i32::from((self.noise_seed >> 16) as i16);
                *sample = (drawn * i32::from(peak) / 32_768) as i16;
            }
        }
    }

    /// The frame of this tick, of 8,000 samples a second.
    pub(crate) fn frame(&self) -> &[i16; FRAME_SAMPLES] {
        self.frame.first_chunk().expect("a frame is no longer than the longest")
    }

    /// The frame of this tick, of 16,000 samples a second.
    pub(crate) fn wide_frame(&self) -> &[i16; FRAME_SAMPLES_MAX] {
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
        self.due = timestamp.wrapping_sub(self.prefill());
        self.placed = true;
        (self.late, self.dry, self.frames, self.ahead_min) = (0, 0, 0, i32::MAX);
    }

    fn leave_out_frame(&mut self) {
        for _ in 0..self.frame_samples() {
            let place = self.at(self.due);
            self.ring[place] = 0;
            self.came[place] = false;
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

    /// Twice as many samples in the same time, late, lost and in order.
    #[test]
    fn a_wide_voice_is_put_in_order_as_well() {
        let mut jitter = Jitter::wide();
        let sample = |n: u32, i: u32| (n * 100 + i) as i16;
        let packet = |n: u32| (0..320).map(move |i| sample(n, i));
        for n in [0, 2, 1] {
            jitter.push_samples((1, 320 * n), packet(n));
        }
        let mut frames = Vec::new();
        for n in 3..43 {
            if n != 20 {
                jitter.push_samples((1, 320 * n), packet(n));
            }
            jitter.next_frame();
            frames.push(jitter.wide_frame().to_vec());
        }
        assert!(frames[1].iter().all(|sample| *sample == 0), "40 ms are held");
        for n in 0..20 {
            assert_eq!(frames[2 + n as usize], packet(n).collect::<Vec<_>>(), "{n}");
        }
        assert!(frames[22].iter().any(|sample| *sample != 0), "made up");
        assert_eq!(frames[24], packet(22).collect::<Vec<_>>());
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
