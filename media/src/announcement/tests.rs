use super::*;
use crate::codec::g711;
use sansio::Rng;

/// Something like speech: syllables of 60–260 ms, each with a spectrum of its own, and pauses.
fn speech(seed: u64, duration_ms: usize) -> Vec<i16> {
    let mut rng = Rng::from_seed(seed);
    let mut share = move || (rng.next_u64() >> 40) as f32 / (1_u64 << 24) as f32;
    let mut samples = Vec::new();
    while samples.len() < duration_ms * 8 {
        let partials: Vec<(f32, f32)> =
            (0..12).map(|_| (250.0 + 3_000.0 * share() * share(), 300.0 + 2_500.0 * share())).collect();
        let length = 480 + (1_600.0 * share()) as usize;
        for n in 0..length {
            let rise = (n.min(length - n) as f32 / 160.0).min(1.0);
            let sum: f32 = partials
                .iter()
                .map(|(hz, peak)| peak * (core::f32::consts::TAU * hz * n as f32 / 8_000.0).sin())
                .sum();
            samples.push((sum * rise * 0.6).clamp(-30_000.0, 30_000.0) as i16);
        }
        samples.extend(vec![0; (400.0 * share()) as usize]);
    }
    samples.truncate(duration_ms * 8);
    samples
}

/// As a line brings it: begun elsewhere, fainter, with noise, in A-law.
fn over_a_line(samples: &[i16], skip: usize, seed: u64) -> Vec<i16> {
    let mut rng = Rng::from_seed(seed);
    samples[skip..]
        .iter()
        .map(|&sample| {
            let noise = (rng.next_u64() % 601) as f32 - 300.0;
            let faint = (f32::from(sample) * 0.4 + noise) as i16;
            g711::ALAW_TO_LINEAR[usize::from(g711::linear_to_alaw(faint))]
        })
        .collect()
}

fn book(announcements: &[(&str, AnnouncementClass, &[i16])]) -> Arc<Book> {
    let mut book = Book::default();
    for (name, class, samples) in announcements {
        book.teach(*name, *class, samples).unwrap();
    }
    Arc::new(book)
}

#[test]
fn what_was_taught_is_known_again_wherever_it_begins_and_nothing_else_is() {
    let (off, gone) = (speech(1, 6_000), speech(2, 5_000));
    let book = book(&[
        ("off", AnnouncementClass::PowerOff, &off),
        ("gone", AnnouncementClass::InvalidNumber, &gone),
    ]);
    for skip in [0, 37, 800, 8_111, 20_000] {
        let found = book.find(&over_a_line(&off, skip, 3)).unwrap();
        assert_eq!((found.announcement, found.class), (0, AnnouncementClass::PowerOff), "{skip}");
        assert!(found.confidence > 0.4, "{found:?}");
        let found = book.find(&over_a_line(&gone, skip.min(12_000), 4)).unwrap();
        assert_eq!(found.class, AnnouncementClass::InvalidNumber, "{skip}");
    }
    for seed in 10..30 {
        assert_eq!(book.find(&over_a_line(&speech(seed, 10_000), 0, seed)), None, "{seed}");
    }
}

#[test]
fn a_common_beginning_says_nothing() {
    let prefix = speech(5, 3_600);
    let with = |seed: u64| [prefix.clone(), speech(seed, 3_000)].concat();
    let (off, busy) = (with(6), with(7));
    let classes =
        [("off", AnnouncementClass::PowerOff, &off[..]), ("busy", AnnouncementClass::Busy, &busy[..])];
    let book = book(&classes);
    assert_eq!(book.find(&over_a_line(&prefix, 0, 1)), None);
    assert_eq!(book.find(&over_a_line(&off, 0, 1)).unwrap().class, AnnouncementClass::PowerOff);
    assert_eq!(book.find(&over_a_line(&busy, 0, 1)).unwrap().class, AnnouncementClass::Busy);
    // Two of one meaning may sound alike.
    let mut one = Book::default();
    one.teach("a", AnnouncementClass::Busy, &off).unwrap();
    one.teach("b", AnnouncementClass::Busy, &busy).unwrap();
    assert_eq!(Arc::new(one).find(&over_a_line(&prefix, 0, 1)).unwrap().class, AnnouncementClass::Busy);
}

#[test]
fn what_cannot_be_taught_is_refused_and_silence_is_never_found() {
    let mut book = Book::default();
    let teach = |book: &mut Book, samples: &[i16]| book.teach("x", AnnouncementClass::Busy, samples);
    assert_eq!(teach(&mut book, &[]), Err(AnnouncementError::TooShort));
    assert_eq!(teach(&mut book, &speech(1, 1_999)), Err(AnnouncementError::TooShort));
    assert_eq!(teach(&mut book, &vec![0; 61 * 8_000]), Err(AnnouncementError::TooLong));
    assert_eq!(teach(&mut book, &vec![3; 8_000 * 4]), Err(AnnouncementError::Silent));
    assert!(book.is_empty());
    let short = speech(1, 2_000);
    book.words = BOOK_WORDS_MAX - 150;
    assert_eq!(teach(&mut book, &short), Ok(()));
    assert_eq!((book.len(), teach(&mut book, &short)), (1, Err(AnnouncementError::BookFull)));
    assert_eq!(Arc::new(book).find(&vec![0; 80_000]), None);
}
