//! Whether a text is E.164 as it stands, told without the library's parser: an import of a million rows, of which nearly all
//! are, need not take each apart and put it together again.
//!
//! What this says yes to is what the parser would leave as it is, by the same tables; whatever else, the parser decides.

use super::TYPES;
use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;
use regex::{Regex, RegexBuilder};
use std::sync::OnceLock;

/// Country codes have 1 to 3 digits.
const CODES: usize = 1_000;

/// The numbers of a country code, as the tables of its regions describe them.
struct Shapes {
    /// Lengths that some sort of number has (bit n: n digits), and what numbers of such lengths begin like.
    plans: Vec<(u32, Regex)>,
    /// What is left out behind the country code: digits in front.
    prefixes: Vec<String>,
    /// … and patterns.
    prefix_patterns: Vec<Regex>,
}

fn bits(lengths: &[u16]) -> u32 {
    lengths.iter().filter(|length| **length < 32).fold(0, |bits, length| bits | 1 << length)
}

/// The pattern at the beginning of a text. Blanks in the tables' patterns mean nothing.
fn at_start(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{pattern})")).ignore_whitespace(true).build().ok()
}

impl Shapes {
    /// `None`: no country has the code, or its tables are of another kind than those that are known here.
    fn of(code: u16) -> Option<Shapes> {
        let mut shapes = Shapes { plans: Vec::new(), prefixes: Vec::new(), prefix_patterns: Vec::new() };
        for plan in DATABASE.by_code(&code)? {
            shapes.add_plan(plan)?;
            if let Some(prefix) = plan.national_prefix()
                && !shapes.prefixes.iter().any(|known| known == prefix)
            {
                shapes.prefixes.push(prefix.to_owned());
            }
            if let Some(pattern) = plan.national_prefix_for_parsing() {
                let pattern = at_start(pattern.as_str())?;
                if !shapes.prefix_patterns.iter().any(|known| known.as_str() == pattern.as_str()) {
                    shapes.prefix_patterns.push(pattern);
                }
            }
        }
        Some(shapes)
    }

    fn add_plan(&mut self, plan: &Metadata) -> Option<()> {
        let general = plan.descriptors().general();
        // A sort of number without lengths has to be matched by its pattern; that is left to the parser.
        let lengths = TYPES.iter().filter_map(|kind| plan.descriptors().get(*kind));
        let mut lengths = lengths.fold(0, |all, kind| all | bits(kind.possible_length()));
        if !general.possible_length().is_empty() {
            lengths &= bits(general.possible_length());
        }
        let pattern = at_start(general.national_number().as_str())?;
        if !self.plans.iter().any(|(known, of)| *known == lengths && of.as_str() == pattern.as_str()) {
            self.plans.push((lengths, pattern));
        }
        Some(())
    }

    fn fits(&self, national: &str) -> bool {
        let length = 1_u32.checked_shl(national.len() as u32).unwrap_or(0);
        self.plans.iter().any(|(lengths, pattern)| lengths & length != 0 && pattern.is_match(national))
    }

    /// The parser might leave something out.
    fn has_prefix(&self, national: &str) -> bool {
        self.prefixes.iter().any(|prefix| national.starts_with(prefix))
            || self.prefix_patterns.iter().any(|pattern| {
                // One that matches nothing at all leaves nothing out.
                pattern.captures(national).is_some_and(|found| {
                    found.get(0).is_some_and(|all| !all.is_empty())
                        || found.iter().skip(1).any(|group| group.is_some())
                })
            })
    }
}

/// What is known of each country code that was asked for.
fn shapes_of(code: u16) -> Option<&'static Shapes> {
    static SHAPES: [OnceLock<Option<Shapes>>; CODES] = [const { OnceLock::new() }; CODES];
    SHAPES.get(usize::from(code))?.get_or_init(|| Shapes::of(code)).as_ref()
}

/// Whether a text is a plus and the digits of a number that fits its country, with nothing to be left out.
pub(super) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    let is_number = (7..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    // The first of these that is a country's is the only one: no code begins with another.
    let found = || (1..=3).find_map(|length| Some((length, shapes_of(digits[..length].parse().ok()?)?)));
    is_number
        && found().is_some_and(|(length, shapes)| {
            let national = &digits[length..];
            shapes.fits(national) && !shapes.has_prefix(national)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::normalise_by_parser;
    use phonenumber::Type;
    use proptest::prelude::*;

    /// Example numbers of all regions.
    fn examples() -> Vec<(u16, String)> {
        let mut all: Vec<(u16, String)> = DATABASE
            .iter()
            .flat_map(|plan| {
                let of = move |kind: Type| {
                    Some((plan.country_code(), plan.descriptors().get(kind)?.example()?.to_owned()))
                };
                TYPES.iter().filter_map(move |kind| of(*kind))
            })
            .collect();
        all.sort();
        all
    }

    fn check(text: &str) {
        if is_e164(text) {
            assert_eq!(normalise_by_parser(text, None).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_told_at_once_is_what_the_parser_tells() {
        let examples = examples();
        let mut told = 0;
        for (code, national) in &examples {
            let text = format!("+{code}{national}");
            check(&text);
            told += usize::from(is_e164(&text));
            // Neighbours: a digit less, one more, another first one.
            check(&text[..text.len() - 1]);
            for digit in 0..=9 {
                check(&format!("{text}{digit}"));
                check(&format!("+{code}{digit}{national}"));
                check(&format!("+{code}{digit}{}", &national[1..]));
            }
        }
        assert!(told * 10 > examples.len() * 9, "{told} of {}", examples.len());
        for text in ["+12025550101", "+8613800138000", "+442079460018", "+4915123456789", "+33612345678"] {
            assert!(is_e164(text), "{text}");
        }
        for text in [
            "12025550101",
            "+1 2025550101",
            "+02025550101",
            "+1202555010",
            "+4402079460018",
            "+",
            "+99912345678",
        ] {
            assert!(!is_e164(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_digits(digits in "[1-9][0-9]{6,14}") {
            check(&format!("+{digits}"));
        }
    }
}
