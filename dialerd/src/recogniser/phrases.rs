//! What words mean: phrases by class, built in and of the operator's own.

use media::announcement::AnnouncementClass;
use std::collections::BTreeMap;
use std::path::Path;

/// The phrases that are built in.
const BUILT_IN: &str = include_str!("phrases.toml");
/// The longest file of an operator's own.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All phrases, the longest first.
#[derive(Clone, Debug, Default)]
pub struct Phrases(Vec<(String, AnnouncementClass)>);

/// A phrase that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPhrase {
    /// Its words, small.
    pub phrase: String,
    pub class: AnnouncementClass,
}

impl Phrases {
    /// The built-in ones, and those in a file, whose classes win.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(file: Option<&Path>) -> Result<Phrases, String> {
        let mut all: BTreeMap<String, AnnouncementClass> = read(BUILT_IN)?;
        if let Some(path) = file {
            let failed = |error: std::io::Error| format!("{}: {error}", path.display());
            if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
                return Err(format!("{}: more than a megabyte", path.display()));
            }
            let text = std::fs::read_to_string(path).map_err(failed)?;
            all.extend(read(&text).map_err(|error| format!("{}: {error}", path.display()))?);
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.chars().count()));
        Ok(Phrases(all))
    }

    /// The longest phrase in a text; `None` where none is, or two as long mean different things.
    pub fn find(&self, text: &str) -> Option<FoundPhrase> {
        let text = plain(text);
        let mut found = self.0.iter().filter(|(phrase, _)| text.contains(phrase.as_str()));
        let (phrase, class) = found.next()?;
        let long = phrase.chars().count();
        let rival =
            found.take_while(|(other, _)| other.chars().count() == long).any(|(_, other)| other != class);
        (!rival).then(|| FoundPhrase { phrase: phrase.trim().to_owned(), class: *class })
    }
}

fn read(text: &str) -> Result<BTreeMap<String, AnnouncementClass>, String> {
    let table: BTreeMap<String, Vec<String>> =
        toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
    let mut all = BTreeMap::new();
    for (name, phrases) in table {
        let class = AnnouncementClass::from_name(&name).ok_or_else(|| {
            let names = AnnouncementClass::ALL.map(AnnouncementClass::as_str).join(", ");
            format!("found class {name:?}, expected one of {names}")
        })?;
        for phrase in phrases {
            let small = pattern(&phrase);
            if small.trim().chars().count() < 2 {
                return Err(format!("{name}: found phrase {phrase:?}, expected two letters or more"));
            }
            all.insert(small, class);
        }
    }
    Ok(all)
}

/// Words only, small, a space at each of their ends: recognisers differ in the rest. What is written without spaces, as
/// Chinese is, has none inside.
fn plain(text: &str) -> String {
    let mut plain = String::from(" ");
    let mut before = None;
    for letter in text.chars().flat_map(char::to_lowercase) {
        if !letter.is_alphanumeric() {
            // Chinese written with spaces or commas is the same.
            before = before.filter(|before| is_chinese(*before));
            continue;
        }
        let joined = before.is_some_and(|before| is_chinese(before) == is_chinese(letter));
        if !joined && !plain.ends_with(' ') {
            plain.push(' ');
        }
        plain.push(letter);
        before = Some(letter);
    }
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
    plain
}

/// Written without spaces between words.
fn is_chinese(letter: char) -> bool {
    letter >= '\u{2E80}'
}

/// A phrase is made of whole words, where there are words.
fn pattern(phrase: &str) -> String {
    let plain = plain(phrase);
    if plain.trim().chars().all(is_chinese) { plain.trim().to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phrase_says_what_a_text_means() {
        let phrases = Phrases::load(None).unwrap();
        let class = |text: &str| phrases.find(text).map(|found| found.class);
        for (text, expected) in [
            ("您好,您拨打的号码是空号,请核对后再拨。", AnnouncementClass::InvalidNumber),
            ("对不起,您拨打的电话已关机", AnnouncementClass::PowerOff),
            ("您拨打的用户已停机", AnnouncementClass::Suspended),
            ("您拨打的电话正在通话中,请稍后再拨。", AnnouncementClass::InCall),
            ("您拨打的电话暂时无法接通", AnnouncementClass::Unreachable),
            ("The number you have dialed is NOT in service.", AnnouncementClass::InvalidNumber),
            ("Sorry, the subscriber's phone is switched off.", AnnouncementClass::PowerOff),
            ("All circuits are busy now.", AnnouncementClass::Congestion),
            ("Please state your name and why you're calling.", AnnouncementClass::Screening),
            ("您好,我是机主的智能助理,请问您是哪位", AnnouncementClass::Screening),
            ("你拨打的号码 是 空 号", AnnouncementClass::InvalidNumber),
        ] {
            assert_eq!(class(text), Some(expected), "{text}");
        }
        for text in ["", "Hello?", "喂,你好", "Please leave a message after the tone.", "Noanswer sbusy"] {
            assert_eq!(class(text), None, "{text}");
        }
    }

    #[test]
    fn an_operator_s_own_phrases_are_added_and_win_and_bad_ones_name_the_fault() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("own.toml");
        std::fs::write(&path, "no_answer = [\"关机\", \"ring ring\"]\n").unwrap();
        let phrases = Phrases::load(Some(&path)).unwrap();
        assert_eq!(phrases.find("已关机").map(|found| found.class), Some(AnnouncementClass::NoAnswer));
        assert_eq!(phrases.find("Ring, ring!").map(|found| found.class), Some(AnnouncementClass::NoAnswer));
        std::fs::write(&path, "nonsense = [\"x y\"]\n").unwrap();
        assert!(Phrases::load(Some(&path)).unwrap_err().contains("\"nonsense\", expected one of"));
        std::fs::write(&path, "busy = [\"-\"]\n").unwrap();
        assert!(Phrases::load(Some(&path)).unwrap_err().contains("two letters or more"));
        assert!(Phrases::load(Some(&place.path().join("none.toml"))).is_err());
    }
}
