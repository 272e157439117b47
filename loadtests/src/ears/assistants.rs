//! Assistants that ask who is calling: known by their sound, or by their waiting in silence; and the turn to speak.

use super::clips::{self, Clip, Coding};
use super::corpus::{Corpus, Kind};
use super::measure::median;
use super::report::Rate;
use media::amd::AmdHeard;
use media::announcement::{AnnouncementClass, Book};
use media::{AmdCause, AmdConfig, AmdVerdict, TurnCue};
use sansio::Rng;
use std::sync::Arc;

/// How well assistants are told from all others.
pub struct Assistants {
    /// Recordings that were taught.
    pub taught: usize,
    /// Assistants that were taught and are named so; and those of them that were taken for something else at first.
    pub named: [Rate; 2],
    /// Median time from their first word to that, seconds.
    pub named_median_s: f64,
    /// Machines and people named as an assistant.
    pub others_named: Rate,
    /// By waiting in silence, where nothing was taught: assistants, machines with a beep, offices, people at home.
    pub by_silence: [Rate; 4],
    /// Machines whose turn was told by their beep; before it; behind it.
    pub turns: [Rate; 3],
}

/// What was said of one clip, and when.
struct Followed {
    kind: Kind,
    onset_s: f64,
    beep_s: Option<(f64, f64)>,
    verdicts: Vec<(AmdVerdict, AmdCause, f64)>,
    turn: Option<(TurnCue, f64)>,
}

impl Followed {
    fn new(clip: &Clip, book: &Arc<Book>) -> Followed {
        let mut detector = AmdConfig { await_turn: true, ..AmdConfig::default() }.detector(book);
        let (mut verdicts, mut turn) = (Vec::new(), None);
        for (i, frame) in clip.frames.iter().enumerate() {
            let at_s = (i + 1) as f64 / 50.0;
            match detector.frame(frame) {
                Some(AmdHeard::Verdict(said)) => verdicts.push((said.verdict, said.cause, at_s)),
                Some(AmdHeard::Turn(cue)) => turn = Some((cue, at_s)),
                None => {}
            }
            if detector.is_over() {
                break;
            }
        }
        Followed { kind: clip.kind, onset_s: clip.onset_s, beep_s: clip.beep_s, verdicts, turn }
    }

    fn named_at(&self) -> Option<f64> {
        let named = |(verdict, _, at_s): &(AmdVerdict, AmdCause, f64)| {
            (*verdict == AmdVerdict::Screening).then_some(*at_s)
        };
        self.verdicts.iter().find_map(named)
    }

    /// Taken for a machine, and then silent: as the daemon tells an assistant that was not taught.
    fn waits(&self) -> bool {
        let machine = self.verdicts.first().is_some_and(|(verdict, ..)| *verdict == AmdVerdict::Machine);
        machine && matches!(self.turn, Some((TurnCue::Silence, _)))
    }

    /// When it was our turn to speak, as far as a machine was recognised.
    fn turn_at(&self) -> Option<f64> {
        let (verdict, cause, at_s) = *self.verdicts.first()?;
        let by_beep = verdict == AmdVerdict::Machine && cause == AmdCause::Beep;
        by_beep.then_some(at_s).or(self.turn.map(|(_, at_s)| at_s))
    }
}

/// The same calls with the assistants' recordings taught, and without.
pub(super) fn assistants(corpus: &Corpus, count: usize, rng: &mut Rng) -> Assistants {
    let mut book = Book::default();
    let prompts = corpus.speech.iter().filter(|speech| speech.kind == Kind::Screening);
    for (number, speech) in prompts.enumerate() {
        let samples: Vec<i16> = speech.samples.iter().map(|sample| *sample as i16).collect();
        // None of the corpus' sentences is too short or mostly silence.
        let _ = book.teach(number.to_string(), AnnouncementClass::Screening, &samples);
    }
    let (book, nothing) = (Arc::new(book), Arc::default());
    let clips: Vec<Clip> = clips::calls(corpus, count, Coding::G711, false, rng).collect();
    let taught: Vec<Followed> = clips.iter().map(|clip| Followed::new(clip, &book)).collect();
    let untaught: Vec<Followed> = clips.iter().map(|clip| Followed::new(clip, &nothing)).collect();
    let assistants = || taught.iter().filter(|heard| heard.kind == Kind::Screening);
    let times = assistants().filter_map(|heard| Some(heard.named_at()? - heard.onset_s));
    let waits =
        |kind: Kind| Rate::of(untaught.iter().filter(|heard| heard.kind == kind).map(Followed::waits));
    let machines = || {
        untaught.iter().filter_map(|heard| {
            let (begin, end) = heard.beep_s.filter(|_| heard.kind == Kind::Machine)?;
            Some((begin, end, heard.turn_at()?))
        })
    };
    Assistants {
        taught: book.len(),
        named: [
            Rate::of(assistants().map(|heard| heard.named_at().is_some())),
            Rate::of(assistants().map(|heard| heard.named_at().is_some() && heard.verdicts.len() > 1)),
        ],
        named_median_s: median(times.collect()),
        others_named: Rate::of(
            taught
                .iter()
                .filter(|heard| heard.kind != Kind::Screening)
                .map(|heard| heard.named_at().is_some()),
        ),
        by_silence: [Kind::Screening, Kind::Machine, Kind::Office, Kind::Person].map(waits),
        turns: [
            Rate::of(machines().map(|(_, end, at)| (end..=end + 0.3).contains(&at))),
            Rate::of(machines().map(|(_, end, at)| at < end)),
            Rate::of(machines().map(|(_, end, at)| at > end + 0.3)),
        ],
    }
}
