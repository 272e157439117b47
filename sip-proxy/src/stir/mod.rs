//! Who says who calls: PASSporT (RFC 8225) in the Identity header (RFC 8224), by certificates for telephone numbers
//! (RFC 8226), as SHAKEN uses it (RFC 8588).
//!
//! Everything here is a function of its arguments: the time is one, certificates are handed in, and signatures are
//! deterministic (RFC 6979).

mod certificate;
mod numbers;
mod passport;
mod sign;
mod verify;

pub use certificate::{Chain, ChainError, Trust};
pub use sign::{KeyError, SignedCall, Signer};
pub use verify::{Checked, Failure, Identity, ReceivedCall};

/// How sure the signer is of the caller (RFC 8588 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attestation {
    /// Full: the signer knows the customer and that the number is theirs.
    A,
    /// Partial: it knows the customer, not whether the number is theirs.
    B,
    /// Gateway: it knows only where the call came in.
    C,
}

impl Attestation {
    /// `A`, `B` or `C`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Attestation::A => "A",
            Attestation::B => "B",
            Attestation::C => "C",
        }
    }

    /// The attestation of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Attestation::A, Attestation::B, Attestation::C].into_iter().find(|known| known.as_str() == name)
    }
}

/// A telephone number as both sides put it into a PASSporT: digits, `*` and `#` (RFC 8224 §8.3). `None` when the text
/// is none.
#[must_use]
pub fn canonical_number(text: &str) -> Option<String> {
    let mut number = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' | '*' | '#' => number.push(character),
            '+' | '-' | '.' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    (!number.is_empty() && number.len() <= 32).then_some(number)
}

#[cfg(test)]
mod tests;
