//! The figures as a document.

use super::announcements::Announcements;
use super::assistants::Assistants;
use super::measure::{Figures, WAIT_MAX_S};
use std::fmt::{self, Write};

/// So many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    /// Those that are.
    pub count: u64,
    /// All.
    pub of: u64,
}

impl Rate {
    /// Counts what is true.
    pub fn of(all: impl Iterator<Item = bool>) -> Rate {
        all.fold(Rate::default(), |rate, is| Rate { count: rate.count + u64::from(is), of: rate.of + 1 })
    }

    /// The share, 0..=1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.count as f64 / (self.of.max(1)) as f64
    }

    /// Wilson's interval at 95 % (Wilson 1927): where the true share lies.
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, p, z) = (self.of as f64, self.share(), 1.959_964);
        let centre = p + z * z / (2.0 * n);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        let percent = |share: f64| 100.0 * share;
        write!(
            f,
            "{:.1} % [{:.1}–{:.1}] ({}/{})",
            percent(self.share()),
            percent(low),
            percent(high),
            self.count,
            self.of
        )
    }
}

/// The page in `docs/`.
///
/// # Errors
/// None that can happen: the text grows in memory.
pub fn document(figures: &Figures) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let (clips, hours) = figures.clips;
    write!(
        text,
        "# How well the ears hear\n\n\
         Made by `make ears`. Do not edit by hand.\n\n\
         {clips} calls, {hours:.2} hours, in voices and sentences that nothing was learned from, English and Chinese, of \
         three text-to-speech programs (espeak-ng, flite, festival): half people, half machines. Of the people one in eight is \
         an office with a long greeting; of those at home six of ten say a word or two (less than 0.8 s), the rest up to a \
         sentence. Of the machines one in eight is an assistant that asks who is calling, without a beep; all others end with \
         a beep of 620 to 2,000 Hz, 0.2 to 0.9 s. Quiet, hiss, street, hum, and four people talking behind, at 5 to 25 dB under \
         the voice; both laws of G.711 (and Opus, where that is said), levels over 18 dB; in two of ten calls one packet in a hundred is lost, in one of ten \
         three. Brackets hold Wilson's interval at 95 %.\n\n\
         No weight was learned from these voices, but their figures were seen before pauses were varied in the training and the \
         odds that make a person were last set: they flatter a little.\n\n\
         **What this does not prove:** anything about real callers. The voices are programs', the rooms are made, people and \
         machines are as talkative and as frequent as was assumed here, and no network's own recordings are among them. \
         Label recordings of your own calls by what agents said before you believe a rate.\n\n\
         Machine detection looks at loudness over time: every 80 ms at twenty numbers, among them the length of what was said \
         and of its pauses, its share above a threshold that follows the room and the voice, and how far it has fallen. A small \
         net learned from the training voices, made to speak faster, slower and with longer pauses, makes odds of them, and the odds, held against two limits, the verdict. A \
         recording of one word is a person to it, a receptionist who talks for five seconds a machine. An assistant that \
         asks who is calling sounds like a machine or like an office; only its words tell, and these are not understood here: \
         it is known by its sound where that was taught, or by its waiting in silence (below).\n\n\
         ## People and machines\n\n\
         | | |\n|---|---|\n"
    )?;
    let [quiet, crowd] = &figures.people_as_machines;
    writeln!(text, "| people called machines, no crowd behind | {quiet} |")?;
    writeln!(text, "| people called machines, a crowd behind | {crowd} |")?;
    let [quiet, crowd] = &figures.homes_as_machines;
    writeln!(text, "| … those at home, no crowd behind; a crowd behind | {quiet}; {crowd} |")?;
    let [quiet, crowd] = &figures.offices_as_machines;
    writeln!(text, "| … offices (long greetings), no crowd behind; a crowd behind | {quiet}; {crowd} |")?;
    writeln!(text, "| people unsure (treated as people, but late) | {} |", figures.people_unsure)?;
    writeln!(text, "| machines recognised (the rest is treated as a person) | {} |", figures.machines)?;
    writeln!(text, "| machines called people | {} |", figures.machines_as_people)?;
    let in_time = &figures.machines_in_time;
    writeln!(
        text,
        "| … within {WAIT_MAX_S:.0} s of the answer (`amd.mode: fast` waits no longer) | {in_time} |"
    )?;
    let (calls, [people, machines, beeps]) = &figures.opus;
    writeln!(
        text,
        "| {calls} other calls over Opus: people called machines; machines recognised; beeps found | {people}; {machines}; {beeps} |"
    )?;
    let [machines, people] = &figures.screening;
    writeln!(text, "| screening assistants called machines; called people | {machines}; {people} |")?;
    let [people_s, machines_s] = figures.median_s;
    writeln!(text, "| median time from the first word, all people | {people_s:.2} s |")?;
    writeln!(text, "| median time from the first word, all machines | {machines_s:.2} s |")?;
    text.push_str(
        "\n| behind the voice | people called machines | machines recognised | beeps found |\n|---|---|---|---|\n",
    );
    for (noise, [people, machines, beeps]) in &figures.by_noise {
        writeln!(text, "| {} | {people} | {machines} | {beeps} |", format!("{noise:?}").to_lowercase())?;
    }
    text.push_str(
        "\nThe operating characteristic: how much likelier a machine must be than a person (natural logarithm, \
         `machine_log_odds_min`).\n\n\
         | odds | people called machines, no crowd | … with a crowd | machines recognised | median time, machines |\n\
         |---|---|---|---|---|\n",
    );
    for (odds, [quiet, crowd, machines], seconds) in &figures.roc {
        writeln!(text, "| {odds:.1} | {quiet} | {crowd} | {machines} | {seconds:.2} s |")?;
    }
    write!(
        text,
        "\n## Beeps, tones, digits\n\n| | |\n|---|---|\n| beeps found | {} |\n| beeps heard where there are none | {} in {:.2} h |\n\
         | calls of speech in which a network's tone was heard | {} |\n\
         | calls that ring with music in which a network's tone was heard | {} |\n| digits heard in speech | {} in {:.2} h |\n",
        figures.beeps,
        figures.beeps_false.0,
        figures.beeps_false.1,
        figures.speech_as_tone,
        figures.music_as_tone,
        figures.digits_false.0,
        figures.digits_false.1
    )?;
    text.push_str(
        "\nTones of networks, 1.2 % off pitch at most, 10 dB over hiss at least: named rightly and nothing else.\n\n\
         | tone | |\n|---|---|\n",
    );
    for (name, rate) in &figures.tones {
        writeln!(text, "| {name} | {rate} |")?;
    }
    assistants(&mut text, &figures.assistants)?;
    announcements(&mut text, &figures.announcements)?;
    Ok(text)
}

/// The part about assistants, and the turn to speak.
fn assistants(text: &mut String, figures: &Assistants) -> fmt::Result {
    let Assistants { taught, named, named_median_s, others_named, by_silence, turns } = figures;
    let [named, revised] = named;
    let [assistants, machines, offices, homes] = by_silence;
    let [behind, early, late] = turns;
    write!(
        text,
        "\n## Assistants that ask who is calling, and the turn to speak\n\n\
         As many calls again. First the {taught} recordings of assistants were taught (`dialerd teach-announcement FILE screening`): \
         such an assistant says the same in the same voice to all who call, until it is changed. Then nothing was taught: who is taken \
         for a machine, does not beep, and is silent for 2.4 s is taken for an assistant (`classify.screening.by_silence`). It finds \
         only those that sounded like a machine before; an office that says its long greeting and waits looks the same, which is why \
         an agent, and not a hang-up, is what it should get. No real assistant is among them.\n\n\
         | | |\n|---|---|\n| taught: assistants named; … taken for something else at first | {named}; {revised} |\n\
         | taught: median time from the first word | {named_median_s:.2} s |\n\
         | taught: machines and people named as one | {others_named} |\n\
         | by silence: assistants found | {assistants} |\n\
         | by silence: machines; offices; people at home taken for one | {machines}; {offices}; {homes} |\n\
         | machines recognised: a message would begin behind the beep; before its end; later than 0.3 s behind it | {behind}; {early}; {late} |\n"
    )
}

/// The part about announcements.
///
/// # Errors
/// None that can happen: the text grows in memory.
pub fn announcements(text: &mut String, figures: &Announcements) -> fmt::Result {
    let Announcements { taught, named, misnamed, unknown_named, median_s } = figures;
    write!(
        text,
        "\n## Announcements\n\n\
         {taught} sentences of these voices were taught as announcements (`dialerd teach-announcement`), each with one of ten \
         meanings, and heard again 20 times each from anywhere in their first half: levels over 18 dB, hiss 10 to 40 dB under \
         the voice, both laws of G.711, lost packets as above. As many other sentences of the same voices were never taught.\n\n\
         | | |\n|---|---|\n| named rightly | {named} |\n| named as something else | {misnamed} |\n\
         | sentences never taught, named | {unknown_named} |\n| median time to the name | {median_s:.2} s |\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_s_interval_is_that_of_the_books() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let (low, high) = Rate { count: 81, of: 263 }.interval();
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = Rate { count: 0, of: 20 }.interval();
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
        assert_eq!(Rate::of([true, false, true].into_iter()), Rate { count: 2, of: 3 });
    }
}
