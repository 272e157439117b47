//! Who may see whole phone numbers.

use sansio::pii::{digit, digit_run, is_date, mask_number};

/// Digits in a run of text from which on it is taken for a phone number.
const PHONE_DIGITS_MIN: usize = 7;
/// Digits without anything between them from which on a figure in words of ours is taken for a number.
const NATIONAL_DIGITS: usize = 10;

/// Shows phone numbers whole or masked (`+86138****5678`), by the caller's scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masker {
    whole: bool,
}

impl Masker {
    /// `whole`: the caller has `leads:pii`.
    #[must_use]
    pub const fn new(whole: bool) -> Self {
        Masker { whole }
    }

    /// Numbers are shown whole.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.whole
    }

    /// Masks everything: for callers not known yet, and for errors.
    pub const MASKED: Masker = Masker { whole: false };

    /// A field that holds a phone number.
    #[must_use]
    pub fn number(self, number: &str) -> String {
        if self.whole { number.to_owned() } else { mask_number(number) }
    }

    /// A field that may hold a phone number.
    #[must_use]
    pub fn number_option(self, number: Option<&str>) -> Option<String> {
        number.map(|number| self.number(number))
    }

    /// Free text of people: each run of at least seven digits, in whatever writing (spaces, dots, dashes and brackets
    /// between them do not end a run) is masked. Ids, dates with times, and IP addresses with a port stay.
    #[must_use]
    pub fn text(self, text: &str) -> String {
        if self.whole { text.to_owned() } else { mask_text(text, false) }
    }

    /// Words of ours, in which figures and addresses stay: what is quoted from elsewhere is masked as [`Self::text`] does,
    /// and so are numbers with a plus.
    #[must_use]
    pub fn words(self, text: &str) -> String {
        if self.whole { text.to_owned() } else { mask_text(text, true) }
    }

    /// Free text that may be absent.
    #[must_use]
    pub fn text_option(self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(text))
    }
}

/// Masks what looks like a phone number inside a text. `ours`: only what is quoted in it is not ours.
fn mask_text(text: &str, ours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut at, mut quoted) = (0, false);
    while let Some(found) = text[at..].find(|c: char| matches!(c, '+' | '＋') || digit(c).is_some()) {
        let start = at + found;
        let between = &text[at..start];
        out.push_str(between);
        quoted ^= between.chars().filter(|c| matches!(c, '"' | '`')).count() % 2 == 1;
        let length = match kept(text, start) {
            0 if ours && !quoted => figure(&text[start..]),
            length => length,
        };
        if length > 0 {
            out.push_str(&text[start..start + length]);
            at = start + length;
            continue;
        }
        let (length, digits) = digit_run(&text[start..]);
        let run = &text[start..start + length];
        out.push_str(&if digits >= PHONE_DIGITS_MIN { mask_number(run) } else { run.to_owned() });
        at = start + length;
    }
    out.push_str(&text[at..]);
    out
}

/// Length of what begins here and is no phone number, whoever wrote it; 0: it may be one.
fn kept(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    // RFC 8866 §5.7: `IP4` is a word.
    if text[..start].ends_with("IP") && (rest.starts_with("4 ") || rest.starts_with("6 ")) {
        return 1;
    }
    [in_name(text, start), uuid(text, start), time(rest), address(text, start, true)]
        .into_iter()
        .max()
        .unwrap_or(0)
}

/// Length of a figure in words of ours: an address, or digits that are too few, or are counted in something.
fn figure(text: &str) -> usize {
    const UNITS: [&str; 10] = ["bytes", "B", "kB", "KiB", "MiB", "ms", "µs", "ns", "s", "samples"];
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit: String = text[length..].trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
    let counts = UNITS.contains(&unit.as_str());
    let is_figure = length < NATIONAL_DIGITS || counts;
    address(text, 0, false).max(if is_figure { length } else { 0 })
}

/// Length of the rest of one of our own names, if these digits are in one: an underscore and 26 letters and digits.
fn in_name(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let before = bytes[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let after = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let underscore = bytes[..start - before].last() == Some(&b'_');
    if underscore && before + after == 26 { after } else { 0 }
}

/// Length of the rest of a UUID (RFC 9562), if these digits are in one.
fn uuid(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let part = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b'-';
    let before = bytes[..start].iter().rev().take_while(part).count();
    let after = bytes[start..].iter().take_while(part).count();
    let whole = &text[start - before..start + after];
    let lengths = whole.split('-').map(str::len);
    if whole.len() == 36 && lengths.eq([8, 4, 4, 4, 12]) { after } else { 0 }
}

/// Length of a date, with a time if there is one (RFC 3339, or with a space between).
fn time(text: &str) -> usize {
    let Some(date) = text.get(..10).filter(|date| is_date(date)) else { return 0 };
    let rest = &text[date.len()..];
    let clock = rest.strip_prefix(['T', 't', ' ']).unwrap_or_default();
    let is_clock = clock.len() >= 5
        && clock.bytes().take(5).enumerate().all(|(at, byte)| match at {
            2 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if is_clock {
        let clock_length =
            clock.bytes().take_while(|byte| byte.is_ascii_digit() || b":.".contains(byte)).count();
        return date.len() + 1 + clock_length;
    }
    let goes_on = digit_run(text).0 > date.len();
    if goes_on { 0 } else { date.len() }
}

/// Length of an IPv4 address, with its port or prefix. `sure`: only where it can be nothing else, since people also put dots
/// into phone numbers.
fn address(text: &str, start: usize, sure: bool) -> usize {
    let rest = &text[start..];
    let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let length = rest[..length].trim_end_matches('.').len();
    if rest[..length].parse::<std::net::Ipv4Addr>().is_err() {
        return 0;
    }
    let port = rest[length..]
        .strip_prefix([':', '/'])
        .map_or(0, |port| port.bytes().take_while(u8::is_ascii_digit).count());
    let before = &text[..start];
    let named = before.ends_with('@') || before.ends_with("//") || before.ends_with("IP4 ");
    match port {
        0 if sure && !named => 0,
        0 => length,
        port => length + 1 + port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_text_are_masked() {
        let masked = Masker::MASKED;
        assert_eq!(masked.text("call +86 138-0013-8000 back"), "call +86 13****8000 back");
        assert_eq!(masked.text("ticket:88231"), "ticket:88231");
        assert_eq!(masked.text("13800138000"), "138****8000");
        assert_eq!(masked.text("(021) 5555.6666x"), "(021) 5****6666x");
        assert_eq!(masked.text("at 2026-10-01T02:03:04Z"), "at 2026-10-01T02:03:04Z");
        assert_eq!(masked.text("call_01234567ABCDEFGHJKMNPQRSTV"), "call_01234567ABCDEFGHJKMNPQRSTV");
        assert_eq!(masked.text("lead13800138000x"), "lead138****8000x");
        assert_eq!(masked.text("a_13800138000"), "a_138****8000");
        assert_eq!(masked.text(""), "");
        assert_eq!(masked.text("+"), "+");
        assert_eq!(masked.text("王 0"), "王 0");
        assert_eq!(masked.text("电话１３８００１３８０００。"), "电话１３８****８０００。");
        assert_eq!(masked.text("（０１０）８８８８－９９９９"), "（０１０）８****９９９９");
        assert_eq!(masked.text("12.34.56.78 or 91.123.45.67"), "12.****6.78 or 91.1****5.67");
    }

    #[test]
    fn what_is_no_number_stays() {
        let masked = Masker::MASKED;
        for text in [
            "2026-11-26 08:31:35.123456 and 2026-11-26 at noon",
            "2026-11-26T08:31:35.123456Z",
            "550e8400-e29b-41d4-a716-446655440000",
            "to 192.168.100.200:5060, 192.168.100.200/24",
            "c=IN IP4 192.168.100.200",
            "https://192.168.100.200/a",
        ] {
            assert_eq!(masked.text(text), text);
        }
        assert_eq!(masked.text("2026-11-26 13800138000"), "2026-1****8000");
        assert_eq!(masked.text("2026-11-26: 13800138000"), "2026-11-26: 138****8000");
    }

    #[test]
    fn figures_in_words_of_ours_stay() {
        let masked = Masker::MASKED;
        for text in [
            "the data claims 9000000 bytes",
            "found 3600001, expected 0 to 3600000",
            "no space: 123456789012 bytes are needed",
            "192.168.100.200 did not answer within 1500000 ms",
            "5.123456 s",
        ] {
            assert_eq!(masked.words(text), text);
        }
        for (text, shown) in [
            ("503 to +8613800138000", "503 to +86138****8000"),
            (
                "invalid type: string \"138 0013 8000\", expected u32",
                "invalid type: string \"138 0****8000\", expected u32",
            ),
            ("unknown field `1380013`, expected 9000000", "unknown field `1****13`, expected 9000000"),
            ("line 13800138000 is busy", "line 138****8000 is busy"),
        ] {
            assert_eq!(masked.words(text), shown);
        }
    }

    proptest::proptest! {
        /// Whatever is around it, a number of eleven digits is not told.
        #[test]
        fn a_number_is_hidden_in_any_text(before in "[a-z_ :王+.-]{0,8}", after in "[a-z_ :王+.-]{0,8}") {
            let text = format!("{before}13800138000{after}");
            proptest::prop_assert!(!Masker::MASKED.text(&text).contains("13800138000"), "{}", text);
        }

        /// Any text can be masked.
        #[test]
        fn any_text_can_be_masked(text in ".{0,40}") {
            let _ = Masker::MASKED.text(&text);
        }
    }

    #[test]
    fn with_the_scope_everything_is_whole() {
        assert_eq!(Masker::new(true).text("+8613800138000"), "+8613800138000");
        assert_eq!(Masker::new(true).number("+8613800138000"), "+8613800138000");
        assert_eq!(Masker::new(false).number("+8613800138000"), "+86138****8000");
    }
}
