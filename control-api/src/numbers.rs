//! Phone numbers: from what people write to E.164.

mod shape;

use phonenumber::country;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Type};
use sansio::pii::Spellings;

/// Why a text is no number that can be dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberFault {
    /// Nothing there.
    Empty,
    /// Not digits and the usual separators.
    NotANumber,
    /// No country code, and no region is known to complete it.
    RegionMissing,
    /// No such country code.
    UnknownCountry,
    /// Too short or too long for its country.
    WrongLength,
    /// The right length, but no such number can be in its region.
    NotInPlan,
}

impl NumberFault {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NumberFault::Empty => "empty",
            NumberFault::NotANumber => "not_e164",
            NumberFault::RegionMissing => "region_missing",
            NumberFault::UnknownCountry => "unknown_country",
            NumberFault::WrongLength => "wrong_length",
            NumberFault::NotInPlan => "not_in_plan",
        }
    }

    /// Words for a person.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            NumberFault::Empty => "a number is expected",
            NumberFault::NotANumber => {
                "expected digits, perhaps with a plus before them and separators between"
            }
            NumberFault::RegionMissing => {
                "no country code: write it with a plus, or name a region in the request or the list"
            }
            NumberFault::UnknownCountry => "no country has this code",
            NumberFault::WrongLength => "too short or too long for its country",
            NumberFault::NotInPlan => "no such number exists in its region's plan",
        }
    }
}

/// Longest text that is looked at, bytes.
const RAW_LENGTH_MAX: usize = 64;

/// Whether this names a region (ISO 3166-1 alpha-2, upper case).
#[must_use]
pub(crate) fn is_region(text: &str) -> bool {
    text.len() == 2
        && text.bytes().all(|byte| byte.is_ascii_uppercase())
        && text.parse::<country::Id>().is_ok()
}

/// E.164 with the plus.
///
/// A number with its country code must have a shape its country uses; whether the range is assigned is left to
/// the carrier, since plans change faster than tables. One without is read in `region`, and there it must be a
/// valid number: that catches local numbers and typing errors.
///
/// # Errors
/// Why it is none.
pub fn normalise(raw: &str, region: Option<&str>) -> Result<String, NumberFault> {
    let text = raw.trim();
    if text.is_empty() {
        return Err(NumberFault::Empty);
    }
    if shape::is_e164(text) {
        return Ok(text.to_owned());
    }
    normalise_by_parser(text, region)
}

/// The same by the library alone. `text` has no blanks around it.
fn normalise_by_parser(text: &str, region: Option<&str>) -> Result<String, NumberFault> {
    if text.len() > RAW_LENGTH_MAX {
        return Err(NumberFault::NotANumber);
    }
    let text = ascii_digits(text);
    if !text.chars().all(|c| c.is_ascii_digit() || " +-./()\u{a0}".contains(c))
        || text.rfind('+').is_some_and(|at| at > 0)
    {
        return Err(NumberFault::NotANumber);
    }
    let region = region.and_then(|region| region.parse::<country::Id>().ok());
    if !text.starts_with('+') && region.is_none() {
        return Err(NumberFault::RegionMissing);
    }
    let international = text.starts_with('+');
    // A number with its country code is read by the rules of that country: those of another would take what its own numbers
    // begin with for a prefix (+49 151… read in the US would lose the 1).
    let region = region.filter(|_| !international);
    let number = phonenumber::parse(region, &text).map_err(|error| match error {
        phonenumber::ParseError::InvalidCountryCode => NumberFault::UnknownCountry,
        phonenumber::ParseError::TooShortNsn
        | phonenumber::ParseError::TooLong
        | phonenumber::ParseError::TooShortAfterIdd => NumberFault::WrongLength,
        _ => NumberFault::NotANumber,
    })?;
    let code = number.code().value();
    let national = number.national().to_string();
    let plans = DATABASE.by_code(&code).ok_or(NumberFault::UnknownCountry)?;
    let shape_fits = plans.iter().any(|plan| fits(plan, &national));
    let e164 = format!("+{code}{national}");
    // E.164 §6.2.1: at most 15 digits.
    if !shape_fits || !(8..=16).contains(&e164.len()) {
        return Err(NumberFault::WrongLength);
    }
    if !international && !phonenumber::is_valid(&number) {
        return Err(NumberFault::NotInPlan);
    }
    Ok(e164)
}

/// The region (ISO 3166-1 alpha-2) of an E.164 number, where its plan tells it.
#[must_use]
pub(crate) fn region_of(e164: &str) -> Option<String> {
    let number = phonenumber::parse(None, e164).ok()?;
    number.country().id().map(|id| id.as_ref().to_owned())
}

/// All ways in which this number (E.164) is written: also as people of its country do, with and without the prefix of
/// national calls.
#[must_use]
pub(crate) fn spellings(e164: &str) -> Spellings {
    let Ok(number) = phonenumber::parse(None, e164) else { return Spellings::new(e164, []) };
    let (code, national) = (number.code().value(), number.national().to_string());
    // 0 in most countries, 8 in some of the former Soviet Union, 1 in North America (there it is the country code too).
    let mut others = vec![national.clone(), format!("0{national}"), format!("{code}0{national}")];
    if code == 7 {
        others.push(format!("8{national}"));
    }
    Spellings::new(e164, others.iter().map(String::as_str))
}

/// Sorts of numbers that have lengths of their own in the tables.
const TYPES: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::PersonalNumber,
    Type::Voip,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];

/// A national number of a length that some sort of number has, beginning as numbers do.
fn fits(plan: &Metadata, national: &str) -> bool {
    let descriptors = plan.descriptors();
    let length_fits = TYPES.iter().filter_map(|kind| descriptors.get(*kind)).any(|descriptor| {
        let lengths = descriptor.possible_length();
        lengths.is_empty() && descriptor.is_match(national) || lengths.contains(&(national.len() as u16))
    });
    length_fits && descriptors.general().is_match(national)
}

/// Full-width digits and the full-width plus, as typed on East Asian keyboards, become ASCII.
fn ascii_digits(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '０'..='９' => char::from(b'0' + (c as u32 - '０' as u32) as u8),
            '＋' => '+',
            '－' | '‐' | '‑' | '–' => '-',
            '（' => '(',
            '）' => ')',
            '\u{3000}' => ' ',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_e164() {
        for (raw, region, e164) in [
            ("13800138000", Some("CN"), "+8613800138000"),
            ("021-55556666", Some("CN"), "+862155556666"),
            ("+86 138 0013 8000", None, "+8613800138000"),
            ("＋８６１３８００１３８０００", None, "+8613800138000"),
            ("(415) 555-0123", Some("US"), "+14155550123"),
            ("+1 415 555 0123", Some("CN"), "+14155550123"),
            ("020 7946 0018", Some("GB"), "+442079460018"),
            ("+49 30 123456", None, "+4930123456"),
            ("+49 151 23456789", Some("US"), "+4915123456789"),
            ("+4915123456789", Some("US"), "+4915123456789"),
            ("+49 (0)151 23456789", Some("US"), "+4915123456789"),
            ("+33 1 23 45 67 89", Some("US"), "+33123456789"),
            ("+39 06 1234 5678", Some("DE"), "+390612345678"),
        ] {
            assert_eq!(normalise(raw, region).as_deref(), Ok(e164), "{raw}");
        }
    }

    #[test]
    fn a_number_is_known_as_its_country_writes_it() {
        for (e164, text) in [
            ("+8613800138000", "138 0013 8000"),
            ("+442079460018", "020 7946 0018"),
            ("+442079460018", "+44 (0)20 7946 0018"),
            ("+74951234567", "8 (495) 123-45-67"),
            ("+14155550123", "(415) 555-0123"),
        ] {
            assert!(spellings(e164).is_in(text), "{text}");
        }
        assert!(!spellings("+14155550123").is_in("415 555 01234"));
    }

    #[test]
    fn what_is_no_number_says_why() {
        for (raw, region, fault) in [
            ("", Some("CN"), NumberFault::Empty),
            ("   ", None, NumberFault::Empty),
            ("hello", Some("CN"), NumberFault::NotANumber),
            ("13800138000", None, NumberFault::RegionMissing),
            ("+999 12345678", None, NumberFault::UnknownCountry),
            ("+1415555012", None, NumberFault::WrongLength),
            ("+141555501234", None, NumberFault::WrongLength),
            ("+86138001380001234", None, NumberFault::WrongLength),
            ("12", Some("US"), NumberFault::WrongLength),
            ("1-800-FLOWERS", Some("US"), NumberFault::NotANumber),
            ("+1+4155550123", Some("US"), NumberFault::NotANumber),
            ("tel:+14155550123", Some("US"), NumberFault::NotANumber),
        ] {
            assert_eq!(normalise(raw, region), Err(fault), "{raw}");
        }
        assert!(normalise(&"1".repeat(10_000), Some("US")).is_err());
        assert!(is_region("CN") && !is_region("cn") && !is_region("XX") && !is_region("USA"));
    }
}
