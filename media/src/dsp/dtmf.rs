//! Digits heard as sound: two tones at once, one of four low ones and one of four high ones (ITU-T Q.23).
//!
//! Sound is cut into blocks of 102 samples (12.75 ms, 78 Hz of resolution). A block is a hit when two tones hold most
//! of its energy, no other of their group comes near, and neither is much louder than the other (twist). A digit is two
//! hits in a row whose phases run on as two steady tones of that pitch would: this tells 1.5 % off (to be taken,
//! Q.24) from 3.5 % (to be refused), and a telephone from a voice. It ends with two blocks that are no hit.

use crate::dsp::sum::dot;
use core::f32::consts::{PI, TAU};

/// Samples of a block.
const BLOCK: usize = 102;
/// Low tones, hertz.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// High tones, hertz.
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
/// Share of a block's energy that the two tones must hold. Each 1.5 % off, they still hold 0.78.
const SHARE_MIN: f32 = 0.7;
/// The strongest tone of a group over the next one: 8 dB.
const LEAD_MIN: f32 = 6.3;
/// High over low tone at most, 6 dB (Q.24: 4 dB to be taken) …
const TWIST_MAX: f32 = 4.0;
/// … and low over high tone, 10 dB (8 dB to be taken).
const TWIST_REVERSE_MAX: f32 = 10.0;
/// Mean square of the weaker tone at least: -40 dBm0.
const POWER_MIN: f32 = 26_000.0;
/// How far off its pitch a tone may be: between 1.5 % and 3.5 %.
const OFF_PITCH_MAX: f32 = 0.025;
/// Least length in blocks, 33 ms: 40 ms are to be taken and 20 ms to be refused (Q.24).
const LENGTH_MIN: f32 = 2.6;
/// Blocks without a hit that end a digit.
const MISSES_TO_END: u8 = 2;

/// Listens for digits on one stream.
#[derive(Clone, Debug)]
pub struct InBand {
    block: [f32; BLOCK],
    filled: usize,
    /// The last block's tones.
    tones: Tones,
    /// The last block's key (row, column) and the phases of its tones.
    last: Option<Hit>,
    pressed: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    row: usize,
    column: usize,
    /// `None` behind a gap: the next hit has nothing to run on from.
    phases: Option<(f32, f32)>,
    /// Amplitude of the two tones, and in the block before.
    amplitude: f32,
    amplitude_before: f32,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    row: usize,
    column: usize,
    blocks: u32,
    misses: u8,
    /// Sum of the blocks' amplitudes, those at the ends included, and the largest: their quotient is the length, since
    /// a block that holds the tones in part shows them as much weaker.
    amplitudes: f32,
    amplitude_max: f32,
}

/// A digit that was pressed and let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeardDigit {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// How long, to about 13 ms.
    pub duration_ms: u32,
}

impl Default for InBand {
    fn default() -> Self {
        InBand { block: [0.0; BLOCK], filled: 0, tones: Tones::default(), last: None, pressed: None }
    }
}

impl InBand {
    /// Feeds sound, a sample for each byte or whatever else it is made of; gives a digit when it has been let go. At most
    /// one can be within 120 ms.
    pub fn hear<T: Copy>(&mut self, mut sound: &[T], sample_of: impl Fn(T) -> i16) -> Option<HeardDigit> {
        let mut heard = None;
        while !sound.is_empty() {
            let (next, rest) = sound.split_at(sound.len().min(BLOCK - self.filled));
            for (place, sample) in self.block[self.filled..].iter_mut().zip(next) {
                *place = f32::from(sample_of(*sample));
            }
            (self.filled, sound) = (self.filled + next.len(), rest);
            if self.filled == BLOCK {
                self.filled = 0;
                heard = self.block_is_full().or(heard);
            }
        }
        heard
    }

    /// Sound is missing here: a digit that is being pressed may go on behind it.
    pub fn gap(&mut self) {
        self.filled = 0;
        match &mut self.last {
            Some(hit) if self.pressed.is_some() => hit.phases = None,
            _ => self.last = None,
        }
    }

    /// True while a digit is being pressed.
    #[must_use]
    pub fn pressing(&self) -> bool {
        self.pressed.is_some()
    }

    /// No more sound comes: the digit that is being pressed, if any, is over.
    pub fn finish(&mut self) -> Option<HeardDigit> {
        (self.filled, self.last) = (0, None);
        self.pressed.take().and_then(Press::heard)
    }

    fn block_is_full(&mut self) -> Option<HeardDigit> {
        let tones = Tones::of(&self.block);
        let hit = tones.hit(&std::mem::replace(&mut self.tones, tones));
        let runs_on = match (&self.last, &hit) {
            (Some(before), Some(hit)) => goes_on(before, hit),
            _ => false,
        };
        let before = std::mem::replace(&mut self.last, hit);
        let Some(press) = &mut self.pressed else {
            if let (true, Some(first), Some(second)) = (runs_on, before, hit) {
                self.pressed = Some(Press::new(&first, &second));
            }
            return None;
        };
        match hit {
            Some(hit)
                if (hit.row, hit.column) == (press.row, press.column) && (runs_on || press.misses > 0) =>
            {
                press.blocks += 1 + u32::from(std::mem::take(&mut press.misses));
                press.amplitudes += hit.amplitude;
                press.amplitude_max = press.amplitude_max.max(hit.amplitude);
                None
            }
            _ => {
                press.misses += 1;
                if press.misses == 1 {
                    press.amplitudes += tones.amplitude(press.row, press.column);
                }
                (press.misses >= MISSES_TO_END).then(|| self.pressed.take()?.heard()).flatten()
            }
        }
    }
}

impl Press {
    fn new(first: &Hit, second: &Hit) -> Self {
        Press {
            row: second.row,
            column: second.column,
            blocks: 2,
            misses: 0,
            amplitudes: first.amplitude_before + first.amplitude + second.amplitude,
            amplitude_max: first.amplitude.max(second.amplitude),
        }
    }

    fn heard(self) -> Option<HeardDigit> {
        let digit = KEYS[self.row][self.column];
        let long_enough = self.amplitudes >= LENGTH_MIN * self.amplitude_max;
        long_enough.then_some(HeardDigit { digit, duration_ms: self.blocks * (BLOCK as u32) / 8 })
    }
}

/// The eight tones' parts in a block, and its energy.
#[derive(Clone, Copy, Debug, Default)]
struct Tones {
    rows: [Tone; 4],
    columns: [Tone; 4],
    energy: f32,
}

impl Tones {
    fn of(block: &[f32; BLOCK]) -> Self {
        let energy = dot(block, block);
        // Pauses are most of a call.
        if energy < POWER_MIN * BLOCK as f32 {
            return Tones { energy, ..Tones::default() };
        }
        let [rows, columns] = BANK.tones(block);
        Tones { rows, columns, energy }
    }

    fn amplitude(&self, row: usize, column: usize) -> f32 {
        (self.rows[row].power() + self.columns[column].power()).sqrt()
    }

    /// The key the block holds, if it holds one.
    fn hit(&self, before: &Tones) -> Option<Hit> {
        let (row, row_power) = strongest(&self.rows)?;
        let (column, column_power) = strongest(&self.columns)?;
        let fits = row_power.min(column_power) >= POWER_MIN
            && column_power <= TWIST_MAX * row_power
            && row_power <= TWIST_REVERSE_MAX * column_power
            && (row_power + column_power) * BLOCK as f32 >= SHARE_MIN * self.energy;
        fits.then(|| Hit {
            row,
            column,
            phases: Some((self.rows[row].phase(), self.columns[column].phase())),
            amplitude: self.amplitude(row, column),
            amplitude_before: before.amplitude(row, column),
        })
    }
}

/// The strongest tone of a group, if it stands out.
fn strongest(tones: &[Tone; 4]) -> Option<(usize, f32)> {
    let powers = tones.map(|tone| tone.power());
    let (place, power) = powers.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let stands_out =
        powers.iter().enumerate().all(|(other, rival)| other == place || rival * LEAD_MIN <= *power);
    stands_out.then_some((place, *power))
}

/// Whether two neighbouring blocks hold the same key, and tones of its pitch that run on.
fn goes_on(before: &Hit, now: &Hit) -> bool {
    if (before.row, before.column) != (now.row, now.column) {
        return false;
    }
    let (Some(before), Some(phases)) = (before.phases, now.phases) else { return true };
    let on_pitch = |frequency: f32, before: f32, phase: f32| {
        let span = BLOCK as f32 / 8000.0;
        let off = wrapped(phase - before - TAU * (frequency * span).fract()) / (TAU * span);
        off.abs() <= OFF_PITCH_MAX * frequency
    };
    on_pitch(ROWS[now.row], before.0, phases.0) && on_pitch(COLUMNS[now.column], before.1, phases.1)
}

/// An angle in -π..=π.
fn wrapped(angle: f32) -> f32 {
    (angle + PI).rem_euclid(TAU) - PI
}

/// One tone's part in a block.
#[derive(Clone, Copy, Debug, Default)]
struct Tone {
    real: f32,
    imaginary: f32,
}

impl Tone {
    /// Mean square. A sine of amplitude A gives |X| = A·N/2, and its mean square is A²/2.
    fn power(self) -> f32 {
        let length = BLOCK as f32;
        2.0 * (self.real * self.real + self.imaginary * self.imaginary) / (length * length)
    }

    /// At the block's end, radians.
    fn phase(self) -> f32 {
        self.imaginary.atan2(self.real)
    }
}

/// Goertzel's algorithm for all eight tones at once, with the phase kept: each sample waits for the one before, so eight take
/// as long as one.
struct Bank {
    sines: [f32; 8],
    cosines: [f32; 8],
}

/// Sine and cosine of what each tone turns by in a sample, 2π · frequency ÷ 8,000.
const BANK: Bank = Bank {
    sines: [
        0.520_488_13,
        0.568_561_85,
        0.620_326_76,
        0.673_593_2,
        0.813_151_56,
        0.867_070_7,
        0.916_816_3,
        0.958_745_36,
    ],
    cosines: [
        0.853_868_9,
        0.822_640_5,
        0.784_343_5,
        0.739_102_3,
        0.582_052,
        0.498_185_1,
        0.399_309_2,
        0.284_266_35,
    ],
};

impl Bank {
    /// Of the rows, and of the columns.
    fn tones(&self, block: &[f32; BLOCK]) -> [[Tone; 4]; 2] {
        let twice = self.cosines.map(|cosine| 2.0 * cosine);
        let (mut one, mut two) = ([0.0_f32; 8], [0.0_f32; 8]);
        for &sample in block {
            for place in 0..8 {
                let next = sample + twice[place] * one[place] - two[place];
                two[place] = one[place];
                one[place] = next;
            }
        }
        let tone = |place: usize| Tone {
            real: one[place] - two[place] * self.cosines[place],
            imaginary: two[place] * self.sines[place],
        };
        [core::array::from_fn(tone), core::array::from_fn(|place| tone(4 + place))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::oscillator::{Oscillator, mix};
    use sansio::Rng;

    #[test]
    fn the_bank_is_of_these_tones() {
        for (place, frequency) in ROWS.iter().chain(&COLUMNS).enumerate() {
            let (sine, cosine) = (TAU * frequency / 8000.0).sin_cos();
            assert!((BANK.sines[place] - sine).abs() < 1e-6 && (BANK.cosines[place] - cosine).abs() < 1e-6);
        }
    }

    struct Line {
        samples: Vec<i16>,
        rng: Rng,
        noise_dbm0: f32,
    }

    impl Line {
        fn new(noise_dbm0: f32) -> Self {
            Line { samples: Vec::new(), rng: Rng::from_seed(7), noise_dbm0 }
        }

        fn pair(&mut self, low: (f32, f32), high: (f32, f32), ms: u32) {
            let (mut a, mut b) = (Oscillator::new(low.0, low.1), Oscillator::new(high.0, high.1));
            for _ in 0..ms * 8 {
                let noise = self.noise();
                self.samples.push(mix(0, a.next_sample() + b.next_sample() + noise));
            }
        }

        fn pause(&mut self, ms: u32) {
            for _ in 0..ms * 8 {
                let noise = self.noise();
                self.samples.push(noise as i16);
            }
        }

        fn noise(&mut self) -> f32 {
            // White, with the root mean square of a sine of that level.
            let rms = 16_141.0 * 10_f32.powf(self.noise_dbm0 / 20.0);
            self.rng.normal() as f32 * rms
        }

        fn heard(&self) -> String {
            let mut ears = InBand::default();
            let mut digits: String = self
                .samples
                .chunks(160)
                .filter_map(|sound| ears.hear(sound, |s| s))
                .map(|d| d.digit)
                .collect();
            digits.extend(ears.finish().map(|d| d.digit));
            digits
        }
    }

    fn place(key: char) -> (f32, f32) {
        for (row, keys) in KEYS.iter().enumerate() {
            if let Some(column) = keys.iter().position(|known| *known == key) {
                return (ROWS[row], COLUMNS[column]);
            }
        }
        panic!("no key {key}")
    }

    const ALL: &str = "123A456B789C*0#D";

    /// All keys, each for `ms`, with `pause` between, off pitch and twisted as said.
    fn dialled(ms: u32, pause: u32, off: f32, levels: (f32, f32), noise: f32) -> String {
        let mut line = Line::new(noise);
        line.pause(23);
        for key in ALL.chars() {
            let (low, high) = place(key);
            line.pair((low * (1.0 + off), levels.0), (high * (1.0 + off), levels.1), ms);
            line.pause(pause);
        }
        line.heard()
    }

    #[test]
    fn every_key_is_heard_long_and_short_loud_and_quiet() {
        for (ms, pause) in [(40, 40), (50, 45), (70, 70), (100, 60), (1_000, 100)] {
            for level in [-3.0, -10.0, -25.0, -33.0] {
                let heard = dialled(ms, pause, 0.0, (level, level), -60.0);
                assert_eq!(heard, ALL, "{ms} ms, {pause} ms between, {level} dBm0");
            }
        }
        assert_eq!(dialled(100, 60, 0.0, (-10.0, -10.0), -25.0), ALL, "15 dB over noise");
        let mut line = Line::new(-60.0);
        for _ in 0..4 {
            line.pair((770.0, -10.0), (1336.0, -10.0), 60);
            line.pause(45);
        }
        assert_eq!(line.heard(), "5555", "the same key four times");
    }

    #[test]
    fn the_pitch_may_be_off_by_one_and_a_half_percent_and_not_by_three_and_a_half() {
        for off in [-0.015, -0.008, 0.008, 0.015] {
            assert_eq!(dialled(60, 60, off, (-10.0, -10.0), -55.0), ALL, "{off}");
        }
        for off in [-0.035, 0.035, -0.05, 0.05] {
            assert_eq!(dialled(60, 60, off, (-10.0, -10.0), -55.0), "", "{off}");
        }
    }

    #[test]
    fn twist() {
        // Low and high tone, dBm0.
        for levels in [(-14.0, -10.0), (-10.0, -18.0), (-10.0, -10.0)] {
            assert_eq!(dialled(60, 60, 0.0, levels, -60.0), ALL, "{levels:?}");
            assert_eq!(dialled(60, 60, 0.015, levels, -60.0), ALL, "{levels:?}, off pitch");
        }
        for levels in [(-20.0, -11.0), (-10.0, -23.0), (-10.0, -60.0), (-60.0, -10.0)] {
            assert_eq!(dialled(60, 60, 0.0, levels, -60.0), "", "{levels:?}");
        }
    }

    #[test]
    fn bursts_too_short_and_tones_alone_are_no_digits() {
        assert_eq!(dialled(20, 60, 0.0, (-10.0, -10.0), -60.0), "");
        for frequency in ROWS.iter().chain(&COLUMNS).chain(&[350.0, 425.0, 1000.0, 1400.0, 2100.0]) {
            let mut line = Line::new(-60.0);
            line.pair((*frequency, -10.0), (*frequency, -10.0), 500);
            assert_eq!(line.heard(), "", "{frequency}");
        }
        // Dial tone, ringing and busy of North America.
        for (low, high) in [(350.0, 440.0), (440.0, 480.0), (480.0, 620.0)] {
            let mut line = Line::new(-60.0);
            line.pair((low, -13.0), (high, -13.0), 2_000);
            assert_eq!(line.heard(), "");
        }
        let mut line = Line::new(-12.0);
        line.pause(600_000);
        assert_eq!(line.heard(), "", "ten minutes of noise");
    }

    #[test]
    fn a_packet_lost_within_a_press_does_not_make_two_of_it() {
        let mut line = Line::new(-60.0);
        line.pair((770.0, -10.0), (1336.0, -10.0), 160);
        line.pause(100);
        let mut ears = InBand::default();
        let mut heard = Vec::new();
        for (packet, samples) in line.samples.chunks(160).enumerate() {
            if packet == 3 {
                ears.gap();
                continue;
            }
            heard.extend(samples.chunks(160).filter_map(|sound| ears.hear(sound, |s| s)));
        }
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].digit, '5');
        assert!((110..=170).contains(&heard[0].duration_ms), "{heard:?}");
    }
}
