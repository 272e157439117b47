//! Who may see whole phone numbers.

use sansio::pii::mask_number;

/// Digits in a run of text from which on it is taken for a phone number.
const PHONE_DIGITS_MIN: usize = 7;

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

    /// Free text: each run of at least seven digits (spaces, dots, dashes and brackets between them do not end a
    /// run) is masked.
    #[must_use]
    pub fn text(self, text: &str) -> String {
        if self.whole { text.to_owned() } else { mask_text(text) }
    }

    /// Free text that may be absent.
    #[must_use]
    pub fn text_option(self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(text))
    }
}

/// Masks what looks like a phone number inside a text. Names of ours (`call_01JC…`) and times stay as they are.
fn mask_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find(|c: char| c == '+' || c.is_ascii_digit()) {
        let start = at + found;
        let end = start + phone_run(&text[start..]);
        let candidate = &text[start..end];
        out.push_str(&text[at..start]);
        let digits = candidate.bytes().filter(u8::is_ascii_digit).count();
        let is_ours = in_name(text.as_bytes(), start, end) || is_time(candidate, &text[end..]);
        if digits >= PHONE_DIGITS_MIN && !is_ours {
            out.push_str(&mask_number(candidate));
        } else {
            out.push_str(candidate);
        }
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

/// Length in bytes of the run that starts here: a plus, digits, and separators that are followed by a digit.
fn phone_run(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = usize::from(bytes.first() == Some(&b'+'));
    let mut at = end;
    while at < bytes.len() {
        match bytes[at] {
            b'0'..=b'9' => end = at + 1,
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if at - end < 3 => {}
            _ => break,
        }
        at += 1;
    }
    end.max(1)
}

/// Digits inside one of our own names: an underscore and a word of 26 letters and digits.
fn in_name(text: &[u8], start: usize, end: usize) -> bool {
    let before = text[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let after = text[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let underscore = text[..start - before].last() == Some(&b'_');
    underscore && before + after == 26 && end <= start + after
}

/// `2026-10-01` before a `T` is a date, not a number.
fn is_time(candidate: &str, after: &str) -> bool {
    candidate.len() == 10 && candidate.as_bytes()[4] == b'-' && after.starts_with('T')
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
