//! Callee data that must not reach a log by accident.

use std::fmt;
use std::ops::Range;

/// A phone number (or name) whose `Display` and `Debug` are masked: `+86138****5678`.
///
/// The full value is had only by naming [`Pii::expose`], which is easy to search for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pii<T>(pub T);

impl<T: AsRef<str>> Pii<T> {
    /// The value itself.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }
}

impl<T: AsRef<str>> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_number(self.0.as_ref()))
    }
}

impl<T: AsRef<str>> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Masks a number: the last four digits and at most the first six characters stay, at least four characters
/// are hidden. Short values are hidden whole.
#[must_use]
pub fn mask_number(number: &str) -> String {
    let characters: Vec<char> = number.chars().collect();
    let total = characters.len();
    if total < 6 {
        return "****".into();
    }
    let tail = if total >= 8 { 4 } else { 2 };
    let head = (total - tail).saturating_sub(4).min(6);
    let mut masked: String = characters[..head].iter().collect();
    masked.push_str("****");
    masked.extend(&characters[total - tail..]);
    masked
}

/// The value of a digit as people type it: ASCII, full-width (East Asian keyboards), Arabic-Indic and Persian.
#[must_use]
pub fn digit(c: char) -> Option<u8> {
    const ZEROS: [char; 4] = ['0', '０', '٠', '۰'];
    ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero))?;
        u8::try_from(value).ok().filter(|value| *value < 10)
    })
}

/// Characters that people put between the digits of a number.
#[must_use]
pub fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-'
            | '.'
            | '('
            | ')'
            | '/'
            | '\u{a0}'
            | '\u{3000}'
            | '‐'
            | '‑'
            | '–'
            | '－'
            | '．'
            | '（'
            | '）'
            | '／'
    )
}

/// So many separators may stand between two digits of one number.
const SEPARATORS_MAX: usize = 3;

/// Length in bytes of the run of digits that `text` begins with: a plus, digits, and separators that are followed by a
/// digit; and how many digits are in it.
#[must_use]
pub fn digit_run(text: &str) -> (usize, usize) {
    let (mut end, mut digits, mut separators) = (0, 0, 0);
    for (at, c) in text.char_indices() {
        if at == 0 && matches!(c, '+' | '＋') {
            end = c.len_utf8();
        } else if digit(c).is_some() {
            (end, digits, separators) = (at + c.len_utf8(), digits + 1, 0);
        } else if is_separator(c) && separators < SEPARATORS_MAX {
            separators += 1;
        } else {
            break;
        }
    }
    (end, digits)
}

/// `2026-11-26`: a date, not a number.
#[must_use]
pub fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && matches!(&bytes[..2], b"19" | b"20" | b"21")
        && (*b"01"..=*b"12").contains(&[bytes[5], bytes[6]])
        && (*b"01"..=*b"31").contains(&[bytes[8], bytes[9]])
}

/// One number in all ways it is written, to find it in texts: digits only, with or without country code, whatever stands
/// between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spellings {
    e164: String,
    /// Values of digits; the longest first.
    digits: Vec<Vec<u8>>,
}

/// A spelling of fewer digits is none: it would be found in every other text.
const SPELLING_DIGITS_MIN: usize = 6;

impl Spellings {
    /// Of `e164`, and of other spellings of the same number (`0171 …`).
    pub fn new<'t>(e164: &'t str, others: impl IntoIterator<Item = &'t str>) -> Self {
        let mut all: Vec<Vec<u8>> = [e164]
            .into_iter()
            .chain(others)
            .map(|text| text.chars().filter_map(digit).collect::<Vec<u8>>())
            .filter(|digits| digits.len() >= SPELLING_DIGITS_MIN)
            .collect();
        if let Some(whole) = all.first().cloned().filter(|_| e164.starts_with('+')) {
            // ITU-T E.123: international prefixes, of most countries and of North America.
            all.push([&[0, 0][..], &whole].concat());
            all.push([&[0, 1, 1][..], &whole].concat());
        }
        all.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        all.dedup();
        Spellings { e164: e164.to_owned(), digits: all }
    }

    /// The number itself.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.e164
    }

    /// Each spelling as digits.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        self.digits.iter().map(|digits| digits.iter().map(|digit| char::from(b'0' + digit)).collect())
    }

    /// Where the number stands first: all of its digits, and no more.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        let mut before: Option<(usize, char)> = None;
        for (at, c) in text.char_indices() {
            if digit(c).is_some()
                && before.is_none_or(|(_, before)| digit(before).is_none())
                && let Some(length) = self.length_at(&text[at..])
                && !is_date(&text[at..at + length])
            {
                let start =
                    before.filter(|(_, before)| matches!(before, '+' | '＋')).map_or(at, |(at, _)| at);
                return Some(start..at + length);
            }
            before = Some((at, c));
        }
        None
    }

    fn length_at(&self, text: &str) -> Option<usize> {
        self.digits.iter().find_map(|wanted| {
            let (mut wanted, mut separators) = (wanted.iter().peekable(), 0);
            for (at, c) in text.char_indices() {
                match (digit(c), wanted.peek()) {
                    (Some(found), Some(digit)) if found == **digit => {
                        wanted.next();
                        separators = 0;
                    }
                    (Some(_), _) => return None,
                    (None, None) => return Some(at),
                    (None, Some(_)) if is_separator(c) && separators < SEPARATORS_MAX => separators += 1,
                    (None, Some(_)) => return None,
                }
                if wanted.peek().is_none() && at + c.len_utf8() == text.len() {
                    return Some(text.len());
                }
            }
            None
        })
    }

    /// Whether a text names the number.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    /// The text with `instead` wherever it names the number.
    #[must_use]
    pub fn replaced(&self, text: &str, instead: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(found) = self.find(rest) {
            out.push_str(&rest[..found.start]);
            out.push_str(instead);
            rest = &rest[found.end..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_all_its_spellings_and_no_longer_one_is() {
        let spellings = Spellings::new("+49301234567", ["0301234567", "301234567"]);
        for text in [
            "+49301234567",
            "call +49 30 1234567, please",
            "0049-30-1234567",
            "(030) 123-45-67",
            "３０１２３４５６７",
            "7 301234567",
            "sip:301234567@host",
            "＋４９　３０　１２３４５６７",
            "011 49 30 1234567",
            "x301234567x",
            "+493012345678 or +49301234567",
        ] {
            assert!(spellings.is_in(text), "{text}");
        }
        for text in
            ["", "+493012345678", "1301234567", "30123456", "30 1234 .... 567", "30x1234567", "2026-11-26"]
        {
            assert!(!spellings.is_in(text), "{text}");
        }
        let text = "+493012345678 or (030) 1234567, +49301234567";
        assert_eq!(spellings.replaced(text, "erased"), "+493012345678 or (erased, erased");
        assert!(!Spellings::new("+4520261126", ["20261126"]).is_in("at 2026-11-26T01:02:03Z"), "a date");
        assert!(!Spellings::new("+8212", ["12"]).is_in("12 of 8212"), "too short to be told from figures");
    }

    #[test]
    fn runs_of_digits_are_measured() {
        assert_eq!(digit_run("+86 138-0013-8000 back"), (17, 13));
        assert_eq!(digit_run("１２３x"), (9, 3));
        assert_eq!(digit_run("12    3"), (2, 2));
        assert_eq!(digit_run("+"), (1, 0));
        assert!(
            is_date("2026-11-26")
                && !is_date("2026-13-26")
                && !is_date("1380-01-01")
                && !is_date("２０２６-11")
        );
    }

    #[test]
    fn numbers_are_masked() {
        assert_eq!(Pii("+8613812345678").to_string(), "+86138****5678");
        assert_eq!(Pii("+14155550123").to_string(), "+141****0123");
        assert_eq!(format!("{:?}", Pii("1234567")), "1****67");
        assert_eq!(Pii("911").to_string(), "****");
    }
}
