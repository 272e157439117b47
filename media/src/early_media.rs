//! What is heard before the answer: tones by their frequencies and cadence, announcements that were taught by their
//! sound, else voice.
//!
//! | plan | ringback | busy | congestion |
//! |---|---|---|---|
//! | CN | 450 Hz, 1 s on 4 s off | 450 Hz, 0.35/0.35 | 450 Hz, 0.7/0.7 |
//! | EU | 425 Hz, 1 s on 3–5 s off | 425 Hz, 0.5/0.5 | 425 Hz, 0.25/0.25 |
//! | US | 440+480 Hz, 2 s on 4 s off | 480+620 Hz, 0.5/0.5 | 480+620 Hz, 0.25/0.25 |
//! | UK | 400+450 Hz, 0.4 on 0.2 off 0.4 on 2 off | 400 Hz, 0.375/0.375 | 400 Hz, 0.4 on 0.35 off 0.225 on 0.525 off |
//! | JP | 400 Hz modulated by 16 Hz, 1 s on 2 s off | 400 Hz, 0.5/0.5 | as busy |
//! | AU | 413+438 Hz, 400+450 Hz or 400 Hz modulated, 0.4 on 0.2 off 0.4 on 2 off | 425 Hz, 0.375/0.375 | the same, every other burst 10 dB softer |
//! | IN | 400 Hz modulated by 25 Hz, 0.4 on 0.2 off 0.4 on 2 off | 400 Hz, 0.75/0.75 | 400 Hz, 0.25/0.25 |
//! | ES | 425 Hz, 1.5 s on 3 s off | 425 Hz, 0.2/0.2 | 425 Hz, 0.2/0.2 twice, 0.2/0.6 |
//! | BR | 425 Hz, 1 s on 4 s off | 425 Hz, 0.25/0.25 | 425 Hz, 0.25/0.25 0.75/0.25 |
//!
//! The tones of the last five are heard by their own plans alone: the same cadence means something else elsewhere.
//!
//! Special information tones are 950, 1,400, 1,800 Hz one after the other, 330 ms each (ITU-T E.180, Q.35).
//!
//! A cadence needs two bursts alike, since single bursts of speech look like tones now and then; ringback is
//! therefore known only after a ring and its pause, 5–7 s. Limits: 425 and 450 Hz are one class; tones
//! of other plans come out as voice or as nothing; a coloured ringback (music)
//! and an announcement are both voice, unless they were taught ([`crate::announcement`]).

use crate::EarlyMediaClass;
use crate::amd::FRAME;
use crate::amd::vad::{Activity, Vad};
use crate::announcement::{Book, Found, Matcher};
use crate::dsp::goertzel::Goertzel;
use crate::dsp::level::{QUIETEST_DBM0, level_dbm0};
use crate::utterance::Catcher;
use core::ops::RangeInclusive;
use std::sync::Arc;

/// Two frames: 25 Hz of resolution.
const WINDOW: usize = 2 * FRAME;
/// Quieter than this is silence, dBm0.
const SOUND_MIN_DBM0: f32 = -45.0;
/// Share of the energy a tone (or both of a pair) must hold.
const TONE_SHARE_MIN: f32 = 0.65;
/// Share that 362 to 462 Hz must hold to be one tone.
const BAND_SHARE_MIN: f32 = 0.75;
/// Bursts that differ by so much are loud and soft ones, decibels (they are 10 dB apart).
const SOFTER_MIN_DB: f32 = 6.0;
/// Share that each of a pair must hold.
const PAIR_SHARE_MIN: f32 = 0.2;
/// A run shorter than this many frames (60 ms) does not end the run before it.
const FLICKER_FRAMES: u32 = 3;
/// Frames of each special information tone that must be heard (160 ms of its 330).
const SIT_FRAMES_MIN: u32 = 8;
/// Frames between two of them, or lost to a change of tone (60 ms; the gap is up to 32 ms).
const SIT_GAP_FRAMES_MAX: u32 = 3;
/// Sound this much quieter than a tone that ended no longer ago than so many frames (700 ms) is its pause.
const BEHIND_DB: f32 = 6.0;
const BEHIND_FRAMES_MAX: u32 = 35;
/// How far over its noise floor a voice must be, decibels.
const VOICE_OVER_FLOOR_DB: f32 = 9.0;
/// Frames of sound that is no tone, within [`VOICE_WINDOW_FRAMES`], that make a voice.
const VOICE_FRAMES_MIN: u32 = 50;
const VOICE_WINDOW_FRAMES: u32 = 200;

/// Pieces of a voice that are given out for its words: announcements say what they mean in their first sentences.
const PIECES: u32 = 2;

/// Frames without any sound that may be lost packets (60 ms), and the first that is not.
const LOST_FRAMES_MAX: u32 = 3;
const FIRST_SILENT: u32 = LOST_FRAMES_MAX + 1;
/// No sound at all: A-law has no zero.
const LOST_PEAK_MAX: u16 = 8;

/// What a window sounds like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Sound {
    #[default]
    Silence,
    /// One tone of 400–450 Hz.
    Single,
    /// 440+480 Hz.
    RingPair,
    /// 400+450 Hz.
    BritishRingPair,
    /// 480+620 Hz.
    BusyPair,
    /// The first, second or third special information tone.
    Sit(u8),
    Other,
}

/// Whose tones mean something; those of other networks are heard, and say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TonePlan {
    /// Any of the table above.
    #[default]
    Any,
    /// China's.
    Cn,
    /// Those of most of Europe.
    Eu,
    /// North America's.
    Us,
    /// The United Kingdom's.
    Gb,
    /// Japan's.
    Jp,
    /// Australia's.
    Au,
    /// India's.
    In,
    /// Spain's.
    Es,
    /// Brazil's.
    Br,
}

/// One burst of a tone.
#[derive(Clone, Copy, Debug)]
struct Burst {
    sound: Sound,
    frames: u32,
    /// Level of its loudest frame, dBm0.
    peak_dbm0: f32,
}

impl TonePlan {
    /// Its ringing tone grows and fades, or is two tones close by each other: what lies around 400 Hz is one tone.
    const fn warbles(self) -> bool {
        matches!(self, TonePlan::Jp | TonePlan::Au | TonePlan::In)
    }

    /// Its cadences have a table of their own.
    const fn is_national(self) -> bool {
        matches!(self, TonePlan::Jp | TonePlan::Au | TonePlan::In | TonePlan::Es | TonePlan::Br)
    }

    /// Whether a class that bursts of so many frames would mean is meant in this plan.
    fn means(self, sound: Sound, class: EarlyMediaClass, burst: u32) -> bool {
        let congested = class == EarlyMediaClass::Congestion;
        match self {
            TonePlan::Any => true,
            TonePlan::Cn => sound == Sound::Single && (!congested || burst >= LONG_CONGESTION),
            TonePlan::Eu => sound == Sound::Single && (!congested || burst < LONG_CONGESTION),
            TonePlan::Us => matches!(sound, Sound::RingPair | Sound::BusyPair),
            TonePlan::Gb => match sound {
                Sound::BritishRingPair => true,
                Sound::Single => class == EarlyMediaClass::Busy,
                _ => false,
            },
            TonePlan::Jp | TonePlan::Au | TonePlan::In | TonePlan::Es | TonePlan::Br => {
                sound == Sound::Single
            }
        }
    }
}

/// A class heard, and how sure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Heard {
    /// What.
    pub class: EarlyMediaClass,
    /// 0..=1, a score.
    pub confidence: f32,
    /// Its place in [`Book::announcements`] when it is known by its sound, not by a tone.
    pub announcement: Option<usize>,
}

impl Heard {
    /// Known by its frequencies and cadence, or by being neither.
    const fn tone(class: EarlyMediaClass, confidence: f32) -> Heard {
        Heard { class, confidence, announcement: None }
    }
}

/// Listens to one stream before its answer.
#[derive(Clone, Debug)]
pub struct EarlyMedia {
    bank: Bank,
    window: [f32; WINDOW],
    /// The sound now going on, and for how many frames.
    current: (Sound, u32),
    /// Another sound that has begun, not yet long enough to be believed.
    candidate: (Sound, u32),
    /// The last finished runs: burst, pause (frames).
    burst: Option<Burst>,
    pause: u32,
    /// The two pauses before that one, the older first; 0: there was none.
    pauses: [u32; 2],
    /// Level of the loudest frame of the tone now going on, dBm0.
    peak_dbm0: f32,
    /// Special information tone heard last, its frames, and frames since it.
    sit: (u8, u32, u32),
    vad: Vad,
    /// Level of the last frame of a tone, dBm0, and frames since.
    last_tone: (f32, u32),
    /// Frames of voice, and frames looked at, in the current window.
    voice: (u32, u32),
    reported: Option<EarlyMediaClass>,
    /// What was reported is a known announcement.
    known: bool,
    plan: TonePlan,
    /// Knows announcements, if any were taught.
    matcher: Option<Matcher>,
    /// Catches voices that are not known, for who understands words.
    catcher: Option<Catcher>,
    /// Frames without any sound, up to the first that is silence for certain.
    lost: u32,
    /// What the last frame with sound was: level, sound, whether it was over the floor.
    before: (f32, Sound, bool),
}

#[derive(Clone, Copy, Debug)]
struct Bank {
    low: [Goertzel; 6],
    /// Around 400 Hz, each as wide as the next is away.
    band: [Goertzel; 4],
    sit: [[Goertzel; 4]; 3],
}

impl Default for EarlyMedia {
    fn default() -> Self {
        EarlyMedia {
            bank: Bank {
                low: [400.0, 425.0, 440.0, 450.0, 480.0, 620.0].map(Goertzel::new),
                band: [375.0, 400.0, 425.0, 450.0].map(Goertzel::new),
                // The tones may be 50 Hz off (E.180); North America uses 913.8/985.2, 1370.6/1428.5, 1776.7.
                sit: [950.0, 1400.0, 1800.0]
                    .map(|tone| [-45.0, -15.0, 15.0, 45.0].map(|off| Goertzel::new(tone + off))),
            },
            window: [0.0; WINDOW],
            current: (Sound::Silence, 0),
            candidate: (Sound::Silence, 0),
            burst: None,
            pause: 0,
            pauses: [0; 2],
            peak_dbm0: QUIETEST_DBM0,
            sit: (0, 0, 0),
            vad: Vad::new(VOICE_OVER_FLOOR_DB, SOUND_MIN_DBM0),
            last_tone: (0.0, u32::MAX),
            voice: (0, 0),
            reported: None,
            known: false,
            plan: TonePlan::Any,
            matcher: None,
            catcher: None,
            lost: 0,
            before: (QUIETEST_DBM0, Sound::Silence, false),
        }
    }
}

impl EarlyMedia {
    /// Knows also the announcements of a book.
    #[must_use]
    pub fn new(book: &Arc<Book>) -> Self {
        let matcher = (!book.is_empty()).then(|| Matcher::new(Arc::clone(book)));
        EarlyMedia { matcher, ..EarlyMedia::default() }
    }

    /// … and takes tones as this plan has them.
    #[must_use]
    pub fn by(self, plan: TonePlan) -> Self {
        EarlyMedia { plan, ..self }
    }

    /// … and catches what is said.
    #[must_use]
    pub(crate) fn catching(self) -> Self {
        EarlyMedia { catcher: Some(Catcher::new(PIECES)), ..self }
    }

    /// A piece of a voice that is not known, if one has ended with the frame just fed.
    pub(crate) fn utterance(&mut self, samples: &[i16; FRAME]) -> Option<Arc<[i16]>> {
        let (_, sound, active) = self.before;
        let catcher = self.catcher.as_mut().filter(|_| !self.known)?;
        let voice = self.lost == 0 && active && sound == Sound::Other;
        catcher.frame(samples, voice)
    }

    /// Feeds the next 20 ms; gives a class when it is found and is not the one given last.
    ///
    /// A frame or a few without any sound are lost packets if sound goes on behind them, and are then heard as what was
    /// before; so what is said of them is said when that is known.
    pub fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Heard> {
        let found = self.matcher.as_mut().and_then(|matcher| matcher.frame(samples));
        let tone = self.tone_or_voice(samples);
        let known = found.map(|Found { announcement, class, confidence }| Heard {
            class: class.into(),
            confidence,
            announcement: Some(announcement),
        });
        let heard = known.or(tone)?;
        // An announcement that is known is a voice as well, all the time.
        if heard.class == EarlyMediaClass::Voice && self.known {
            return None;
        }
        self.known = heard.announcement.is_some();
        (self.reported.replace(heard.class) != Some(heard.class)).then_some(heard)
    }

    fn tone_or_voice(&mut self, samples: &[i16; FRAME]) -> Option<Heard> {
        if samples.iter().all(|sample| sample.unsigned_abs() <= LOST_PEAK_MAX) {
            self.lost += 1;
            return match self.lost {
                0..=LOST_FRAMES_MAX => None,
                FIRST_SILENT => (0..FIRST_SILENT).fold(None, |heard, _| self.sound(samples).or(heard)),
                _ => {
                    self.lost = FIRST_SILENT;
                    self.sound(samples)
                }
            };
        }
        let lost = std::mem::take(&mut self.lost);
        let mut heard = None;
        if lost <= LOST_FRAMES_MAX {
            let (level, sound, active) = self.before;
            for _ in 0..lost {
                self.vad.frame(level, level);
                heard = self.follow(level, sound, active).or(heard);
            }
        }
        self.sound(samples).or(heard)
    }

    fn sound(&mut self, samples: &[i16; FRAME]) -> Option<Heard> {
        self.window.copy_within(FRAME.., 0);
        for (kept, &sample) in self.window[FRAME..].iter_mut().zip(samples) {
            *kept = f32::from(sample);
        }
        let level = level_dbm0(samples);
        let active = self.vad.frame(level, level) == Activity::Voice;
        // What is no tone and no voice is the line's own noise: a pause, however loud it hisses. Bursts may be too short
        // for the floor to be learned; hiss is then known by how much quieter it is than the tone just before.
        let sound = match if level < SOUND_MIN_DBM0 { Sound::Silence } else { self.identify() } {
            Sound::Other if !active || self.is_behind_a_tone(level) => Sound::Silence,
            sound => sound,
        };
        self.before = (level, sound, active);
        self.follow(level, sound, active)
    }

    fn follow(&mut self, level: f32, sound: Sound, active: bool) -> Option<Heard> {
        self.last_tone = match sound {
            Sound::Silence | Sound::Other => (self.last_tone.0, self.last_tone.1.saturating_add(1)),
            _ => (level, 0),
        };
        if self.last_tone.1 == 0 {
            self.peak_dbm0 = self.peak_dbm0.max(level);
        }
        let special = self.special_information(sound);
        let voice = self.voice(active && sound == Sound::Other);
        let tone = self.cadence(sound);
        special.or(tone).or(voice)
    }

    fn is_behind_a_tone(&self, level: f32) -> bool {
        let (tone, frames) = self.last_tone;
        frames < BEHIND_FRAMES_MAX && level < tone - BEHIND_DB
    }

    fn identify(&self) -> Sound {
        let energy: f32 = self.window.iter().map(|sample| sample * sample).sum();
        let share = |filter: &Goertzel| filter.share(&self.window, energy);
        let [s400, s425, s440, s450, s480, s620] = [0, 1, 2, 3, 4, 5].map(|i| share(&self.bank.low[i]));
        let pair = |a: f32, b: f32| a.min(b) > PAIR_SHARE_MIN && a + b > TONE_SHARE_MIN;
        if self.plan.warbles() && self.bank.band.iter().map(share).sum::<f32>() > BAND_SHARE_MIN {
            return Sound::Single;
        }
        if pair(s440, s480) {
            Sound::RingPair
        } else if pair(s480, s620) {
            Sound::BusyPair
        } else if s425.max(s440).max(s450).max(s400) > TONE_SHARE_MIN {
            Sound::Single
        } else if pair(s400, s450) {
            Sound::BritishRingPair
        } else {
            // These last 330 ms and may be off frequency: the last frame alone is looked at (50 Hz of resolution).
            let frame = &self.window[FRAME..];
            let energy: f32 = frame.iter().map(|sample| sample * sample).sum();
            let tones = self.bank.sit.iter().zip(1..);
            let loudest = |group: &[Goertzel; 4]| {
                group.iter().map(|filter| filter.share(frame, energy)).fold(0.0, f32::max)
            };
            tones
                .filter(|(group, _)| loudest(group) > TONE_SHARE_MIN)
                .map(|(_, number)| Sound::Sit(number))
                .next()
                .unwrap_or(Sound::Other)
        }
    }

    /// Three tones rising, each long enough, nothing but short gaps between.
    fn special_information(&mut self, sound: Sound) -> Option<Heard> {
        let (number, frames, gap) = self.sit;
        self.sit = match sound {
            Sound::Sit(heard) if heard == number => (number, frames + 1, 0),
            Sound::Sit(heard) if heard == number + 1 && (number == 0 || frames >= SIT_FRAMES_MIN) => {
                (heard, 1, 0)
            }
            Sound::Sit(1) => (1, 1, 0),
            _ if number > 0 && gap < SIT_GAP_FRAMES_MAX => (number, frames, gap + 1),
            _ => (0, 0, 0),
        };
        let found = self.sit.0 == 3 && self.sit.1 >= SIT_FRAMES_MIN;
        if found {
            self.sit = (0, 0, 0);
        }
        found.then_some(Heard::tone(EarlyMediaClass::Sit, 0.95))
    }

    fn voice(&mut self, active: bool) -> Option<Heard> {
        let (voiced, frames) = self.voice;
        self.voice = (voiced + u32::from(active), frames + 1);
        if self.voice.0 >= VOICE_FRAMES_MIN {
            self.voice = (0, 0);
            return Some(Heard::tone(EarlyMediaClass::Voice, 0.6));
        }
        if self.voice.1 >= VOICE_WINDOW_FRAMES {
            self.voice = (0, 0);
        }
        None
    }

    fn cadence(&mut self, sound: Sound) -> Option<Heard> {
        if sound == self.current.0 {
            // A flicker belongs to the run it interrupted.
            self.current.1 += 1 + std::mem::take(&mut self.candidate).1;
            return self.second_ring();
        }
        // Whatever it is, it is not the current sound: the latest one wins when it lasts.
        self.candidate = (sound, self.candidate.1 + 1);
        if self.candidate.1 < FLICKER_FRAMES {
            return None;
        }
        let (ended, frames) = std::mem::replace(&mut self.current, std::mem::take(&mut self.candidate));
        match ended {
            Sound::Silence => {
                self.pause = frames;
                None
            }
            Sound::Single | Sound::RingPair | Sound::BritishRingPair | Sound::BusyPair => {
                let peak_dbm0 = std::mem::replace(&mut self.peak_dbm0, QUIETEST_DBM0);
                let burst = Burst { sound: ended, frames, peak_dbm0 };
                let before = self.burst.replace(burst);
                let pause = std::mem::take(&mut self.pause);
                let pauses = self.pauses;
                self.pauses = [pauses[1], pause];
                match before {
                    Some(before) if before.sound == ended && pause > 0 => match self.plan.is_national() {
                        true => national(self.plan, before, [pauses[0], pauses[1], pause], burst),
                        false => classify(self.plan, ended, before.frames, pause, frames),
                    },
                    _ => None,
                }
            }
            Sound::Sit(_) | Sound::Other => {
                self.burst = None;
                self.pause = 0;
                self.pauses = [0; 2];
                None
            }
        }
    }

    /// Ringback need not wait for the end of its second burst.
    fn second_ring(&self) -> Option<Heard> {
        let (sound, frames) = self.current;
        let Burst { sound: before, frames: burst, .. } = self.burst?;
        let rings = matches!(sound, Sound::Single | Sound::RingPair)
            && sound == before
            && !matches!(self.plan, TonePlan::Au | TonePlan::In)
            && self.plan.means(sound, EarlyMediaClass::Ringback, burst);
        let cadence = RING_BURST.contains(&burst) && RING_PAUSE.contains(&self.pause);
        (rings && cadence && frames == *RING_BURST.start())
            .then_some(Heard::tone(EarlyMediaClass::Ringback, 0.9))
    }
}

/// Frames from which a burst is China's congestion tone, not Europe's busy or congestion tone.
const LONG_CONGESTION: u32 = 31;
/// Frames of a ring, 0.7–2.6 s.
const RING_BURST: RangeInclusive<u32> = 35..=130;
/// Frames of the pause between rings, 1.5–6 s.
const RING_PAUSE: RangeInclusive<u32> = 75..=300;

/// The class of two bursts of a tone and the pause between them, all in frames.
fn classify(plan: TonePlan, sound: Sound, first: u32, pause: u32, second: u32) -> Option<Heard> {
    let british = matches!(plan, TonePlan::Any | TonePlan::Gb);
    if british && sound == Sound::Single && is_british_congestion(first, pause, second) {
        return Some(Heard::tone(EarlyMediaClass::Congestion, 0.9));
    }
    if first.abs_diff(second) > 3 + first / 5 {
        return None;
    }
    let both = |range: RangeInclusive<u32>| range.contains(&second) && range.contains(&pause);
    let class = match sound {
        Sound::Single | Sound::RingPair if RING_BURST.contains(&second) && RING_PAUSE.contains(&pause) => {
            EarlyMediaClass::Ringback
        }
        Sound::BritishRingPair if (15..=27).contains(&second) && (6..=15).contains(&pause) => {
            EarlyMediaClass::Ringback
        }
        Sound::Single if both(14..=30) => EarlyMediaClass::Busy,
        Sound::Single if both(LONG_CONGESTION..=45) || both(7..=15) => EarlyMediaClass::Congestion,
        Sound::BusyPair if both(18..=35) => EarlyMediaClass::Busy,
        Sound::BusyPair if both(7..=17) => EarlyMediaClass::Congestion,
        _ => return None,
    };
    if !plan.means(sound, class, second) {
        return None;
    }
    let alike = first.abs_diff(second) <= 1 + first / 10;
    Some(Heard::tone(class, if alike { 0.9 } else { 0.75 }))
}

/// The same for the plans that have a table of their own, whose tones are all of one kind.
///
/// * `pauses` the last three, the newest last, frames; 0: there were fewer
fn national(plan: TonePlan, first: Burst, pauses: [u32; 3], second: Burst) -> Option<Heard> {
    use EarlyMediaClass::{Busy, Congestion, Ringback};
    if second.sound != Sound::Single {
        return None;
    }
    let (short, long, pause) = (first.frames.min(second.frames), first.frames.max(second.frames), pauses[2]);
    let alike = long - short <= 3 + first.frames / 5;
    let rings = alike && RING_BURST.contains(&second.frames) && RING_PAUSE.contains(&pause);
    let rings_twice = alike && (15..=27).contains(&second.frames) && (6..=15).contains(&pause);
    let both = |range: RangeInclusive<u32>| alike && range.contains(&second.frames) && range.contains(&pause);
    let class = match plan {
        TonePlan::Jp if rings => Ringback,
        TonePlan::Jp if both(18..=32) => Busy,
        TonePlan::Au | TonePlan::In if rings_twice => Ringback,
        TonePlan::Au if both(16..=23) => {
            let softer = (first.peak_dbm0 - second.peak_dbm0).abs() >= SOFTER_MIN_DB;
            if softer { Congestion } else { Busy }
        }
        TonePlan::In if both(31..=45) => Busy,
        TonePlan::In if both(8..=16) => Congestion,
        TonePlan::Es | TonePlan::Br if rings => Ringback,
        // Only the longer pause behind every third burst tells one from the other.
        TonePlan::Es if alike && (7..=14).contains(&second.frames) => {
            let longer = pauses.iter().filter(|pause| (24..=36).contains(*pause)).count();
            let usual = pauses.iter().filter(|pause| (6..=14).contains(*pause)).count();
            match (usual, longer) {
                (3, 0) => Busy,
                (2, 1) => Congestion,
                _ => return None,
            }
        }
        TonePlan::Br if both(9..=16) => Busy,
        TonePlan::Br
            if (9..=16).contains(&short) && (33..=42).contains(&long) && (9..=16).contains(&pause) =>
        {
            Congestion
        }
        _ => return None,
    };
    Some(Heard::tone(class, 0.9))
}

/// The one cadence whose bursts are not alike.
fn is_british_congestion(first: u32, pause: u32, second: u32) -> bool {
    let (long, short) = (18..=23, 9..=14);
    (long.contains(&first) && (15..=20).contains(&pause) && short.contains(&second))
        || (short.contains(&first) && (23..=29).contains(&pause) && long.contains(&second))
}
