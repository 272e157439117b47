//! Callee data that must not reach a log by accident.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked() {
        assert_eq!(Pii("+8613812345678").to_string(), "+86138****5678");
        assert_eq!(Pii("+14155550123").to_string(), "+141****0123");
        assert_eq!(format!("{:?}", Pii("1234567")), "1****67");
        assert_eq!(Pii("911").to_string(), "****");
    }
}
