//! Announcements that were taught, heard again over other lines; and what was never taught.

use super::clips;
use super::corpus::Corpus;
use super::report::Rate;
use media::announcement::{AnnouncementClass, Book};
use media::early_media::EarlyMedia;
use sansio::Rng;
use std::sync::Arc;

/// How often each sentence is heard.
const TIMES: usize = 20;
/// A sentence shorter than this is no announcement (3 s).
const SAMPLES_MIN: usize = 24_000;

/// How well announcements are known again.
pub struct Announcements {
    /// Sentences taught.
    pub taught: usize,
    /// Heard again and named rightly.
    pub named: Rate,
    /// Heard again and named as one that means something else.
    pub misnamed: Rate,
    /// Sentences that were not taught, by the same voices, named.
    pub unknown_named: Rate,
    /// Median time from its beginning to its name, seconds.
    pub median_s: f64,
}

/// Teaches every other long sentence, each with the next meaning, and listens to all.
pub fn announcements(corpus: &Corpus, rng: &mut Rng) -> Announcements {
    let long: Vec<&[f32]> = corpus
        .speech
        .iter()
        .map(|speech| &speech.samples[..])
        .filter(|samples| samples.len() >= SAMPLES_MIN)
        .collect();
    let taught: Vec<&[f32]> = long.iter().copied().step_by(2).collect();
    let unknown: Vec<&[f32]> = long.iter().copied().skip(1).step_by(2).collect();
    let class = |number: usize| AnnouncementClass::ALL[number % AnnouncementClass::ALL.len()];
    let mut book = Book::default();
    for (number, samples) in taught.iter().enumerate() {
        let samples: Vec<i16> = samples.iter().map(|sample| *sample as i16).collect();
        // A sentence that is mostly silence cannot be taught; none of the corpus is.
        let _ = book.teach(number.to_string(), class(number), &samples);
    }
    let book = Arc::new(book);
    let mut times = Vec::new();
    let heard: Vec<_> = taught
        .iter()
        .enumerate()
        .flat_map(|(number, samples)| (0..TIMES).map(move |_| (number, *samples)))
        .map(|(number, samples)| {
            let found = hear(&book, samples, rng);
            times.extend(found.map(|(_, seconds)| seconds));
            found.map(|(announcement, _)| class(announcement) == class(number))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let unknown = unknown.iter().flat_map(|samples| (0..TIMES).map(move |_| *samples));
    Announcements {
        taught: taught.len(),
        named: Rate::of(heard.iter().map(|named| *named == Some(true))),
        misnamed: Rate::of(heard.iter().map(|named| *named == Some(false))),
        unknown_named: Rate::of(unknown.map(|samples| hear(&book, samples, rng).is_some())),
        median_s: times.get(times.len() / 2).copied().unwrap_or(f64::NAN),
    }
}

/// Twice the sentence over a line, begun anywhere in its first half: the announcement found first, and when.
fn hear(book: &Arc<Book>, samples: &[f32], rng: &mut Rng) -> Option<(usize, f64)> {
    let skip = rng.below(samples.len() as u64 / 2) as usize;
    let level = 10_f64.powf(rng.between(-18.0, 0.0) / 20.0);
    let voice = |sample: &f32| f64::from(*sample) * level;
    let mut sound: Vec<f64> = samples[skip..].iter().map(voice).collect();
    sound.resize(sound.len() + 4_000, 0.0);
    sound.extend(samples.iter().map(voice));
    // The voice is loud at half of full scale, about -9 dBm0; hiss is 10 to 40 dB under it.
    clips::hiss(&mut sound, -9.0 + 20.0 * level.log10() - rng.between(10.0, 40.0), rng);
    let mut ears = EarlyMedia::new(book);
    clips::line(&sound, rng).iter().zip(1..).find_map(|(frame, frames)| {
        let announcement = ears.frame(frame)?.announcement?;
        Some((announcement, f64::from(frames) * 0.02))
    })
}
