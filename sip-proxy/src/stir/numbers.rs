//! For whom a certificate may speak: the TN Authorization List (RFC 8226 §9).
//!
//! ```text
//! TNAuthorizationList ::= SEQUENCE SIZE (1..MAX) OF TNEntry
//! TNEntry ::= CHOICE { spc [0] IA5String, range [1] SEQUENCE { start IA5String, count INTEGER }, one [2] IA5String }
//! ```
//! The tags are explicit.

use x509_parser::asn1_rs::{Any, FromDer as _, Tag};

/// 1.3.6.1.5.5.7.1.26, id-pe-TNAuthList, as in DER.
const EXTENSION: [u8; 8] = [0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1A];
/// Digits of a telephone number (RFC 8226 §9: `SIZE (1..15)`).
const DIGITS_MAX: usize = 15;

/// Whether this is the name of the extension.
pub(super) fn is_named(oid: &[u8]) -> bool {
    oid == EXTENSION
}

/// Whether a list lets its holder speak for a number (canonical, RFC 8224 §8.3). A service provider's code does: which
/// numbers a provider has stands in no certificate. `None` when it is no such list.
pub(super) fn allows(list: &[u8], number: &str) -> Option<bool> {
    let mut rest = inside(list, |any| any.header.is_universal() && any.tag() == Tag::Sequence)?;
    if rest.is_empty() {
        return None;
    }
    let mut allowed = false;
    while !rest.is_empty() {
        let (after, entry) = Any::from_der(rest).ok()?;
        rest = after;
        if !entry.header.is_contextspecific() {
            return None;
        }
        allowed |= match entry.tag().0 {
            0 => !text(entry.data)?.is_empty(),
            1 => in_range(entry.data, number)?,
            2 => telephone_number(entry.data)? == number,
            _ => return None,
        };
    }
    Some(allowed)
}

/// The contents of the one value that these bytes are.
fn inside<'a>(bytes: &'a [u8], wanted: impl Fn(&Any<'a>) -> bool) -> Option<&'a [u8]> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    (rest.is_empty() && wanted(&any)).then_some(any.data)
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(inside(bytes, |any| any.tag() == Tag::Ia5String)?).ok()
}

fn telephone_number(bytes: &[u8]) -> Option<&str> {
    let number = text(bytes)?;
    let known = |digit: u8| digit.is_ascii_digit() || matches!(digit, b'*' | b'#');
    ((1..=DIGITS_MAX).contains(&number.len()) && number.bytes().all(known)).then_some(number)
}

/// So many numbers from the first on, of its length.
fn in_range(bytes: &[u8], number: &str) -> Option<bool> {
    let contents = inside(bytes, |any| any.tag() == Tag::Sequence)?;
    let (rest, _) = Any::from_der(contents).ok()?;
    let start = telephone_number(contents.get(..contents.len() - rest.len())?)?;
    // What may follow the count in a later edition (`...`) is passed over.
    let (_, count) = Any::from_der(rest).ok()?;
    if count.tag() != Tag::Integer || count.data.is_empty() || count.data.len() > 8 {
        return None;
    }
    let count = count.data.iter().fold(0_u64, |count, byte| count << 8 | u64::from(*byte));
    if count < 2 || count > i64::MAX as u64 {
        return None;
    }
    let (Ok(first), Ok(number_value)) = (start.parse::<u64>(), number.parse::<u64>()) else {
        return Some(false);
    };
    let last = first.saturating_add(count - 1);
    Some(number.len() == start.len() && (first..=last).contains(&number_value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, u8::try_from(data.len()).expect("short")];
        out.extend_from_slice(data);
        out
    }

    fn entry(tag: u8, data: &[u8]) -> Vec<u8> {
        tagged(0xA0 | tag, data)
    }

    fn list(entries: &[Vec<u8>]) -> Vec<u8> {
        tagged(0x30, &entries.concat())
    }

    fn range(start: &str, count: &[u8]) -> Vec<u8> {
        entry(1, &tagged(0x30, &[tagged(0x16, start.as_bytes()), tagged(0x02, count)].concat()))
    }

    #[test]
    fn numbers_and_ranges_bind_and_a_providers_code_does_not() {
        let one = list(&[entry(2, &tagged(0x16, b"12155551212"))]);
        assert_eq!(allows(&one, "12155551212"), Some(true));
        assert_eq!(allows(&one, "12155551213"), Some(false));
        let many = list(&[range("12155551000", &[100])]);
        for (number, is) in [
            ("12155551000", true),
            ("12155551099", true),
            ("12155551100", false),
            ("12155550999", false),
            ("2155551000", false),
            ("1215555100#", false),
        ] {
            assert_eq!(allows(&many, number), Some(is), "{number}");
        }
        let both = list(&[entry(2, &tagged(0x16, b"1")), entry(0, &tagged(0x16, b"709J"))]);
        assert_eq!(allows(&both, "12155551212"), Some(true));
    }

    #[test]
    fn what_is_no_list() {
        let good = list(&[entry(2, &tagged(0x16, b"12155551212"))]);
        for cut in 0..good.len() {
            assert_eq!(allows(&good[..cut], "12155551212"), None, "{cut}");
        }
        for bad in [
            list(&[]),
            list(&[entry(3, &tagged(0x16, b"1"))]),
            list(&[tagged(0x16, b"12155551212")]),
            list(&[entry(2, &tagged(0x16, b"+1"))]),
            list(&[entry(2, &tagged(0x16, b"1234567890123456"))]),
            list(&[range("1", &[1])]),
            list(&[range("1", &[0xFF; 8])]),
            list(&[range("1", &[1; 9])]),
            [good.clone(), vec![0]].concat(),
        ] {
            assert_eq!(allows(&bad, "1"), None, "{bad:02x?}");
        }
        assert_eq!(allows(&list(&[range("999999999999999", &[0x7F; 8])]), "999999999999999"), Some(true));
    }
}
