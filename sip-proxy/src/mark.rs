//! What we write into branches, tags and Call-IDs so that what comes back finds its home without a search.

/// Bytes of a mark in text: of our tags, for one.
pub const MARK_BYTES: usize = 29;

/// A shard, a key of that shard, and a random part that a stranger cannot guess. In text: three, thirteen and
/// thirteen digits of base 32 (`0`-`9`, `a`-`v`), so that a peer which changes case does no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// 0 to 32,767.
    pub(crate) shard: u16,
    /// The bits of a [`sansio::Key`].
    pub(crate) key: u64,
    pub(crate) random: u64,
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

impl Mark {
    pub(crate) fn text(self) -> [u8; MARK_BYTES] {
        let mut text = [0; MARK_BYTES];
        base32(&mut text[..3], u64::from(self.shard));
        base32(&mut text[3..16], self.key);
        base32(&mut text[16..], self.random);
        text
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != MARK_BYTES {
            return None;
        }
        Some(Mark {
            shard: u16::try_from(from_base32(&text[..3])?).ok()?,
            key: from_base32(&text[3..16])?,
            random: from_base32(&text[16..])?,
        })
    }
}

/// Writes `value` in base 32, highest digit first; digits that do not fit are left out.
pub(crate) fn base32(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
}

fn from_base32(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'v' => digit - b'a' + 10,
            b'A'..=b'V' => digit - b'A' + 10,
            _ => return None,
        };
        if value >> 59 != 0 {
            return None;
        }
        Some(value << 5 | u64::from(digit))
    })
}

/// The shard whose mark a branch, tag or Call-ID of ours carries; `None` when it is not one of ours. Lets the
/// ground hand a datagram that came in at the wrong shard to the right one.
#[must_use]
pub fn shard_of(text: &[u8]) -> Option<u16> {
    let text = text.strip_prefix(crate::wire::BRANCH_COOKIE).unwrap_or(text);
    Mark::parse(text).map(|mark| mark.shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    #[test]
    fn there_and_back() {
        let mut rng = Rng::from_seed(3);
        for _ in 0..1000 {
            let mark =
                Mark { shard: (rng.next_u32() & 0x7fff) as u16, key: rng.next_u64(), random: rng.next_u64() };
            assert_eq!(Mark::parse(&mark.text()), Some(mark));
            assert_eq!(Mark::parse(&mark.text().to_ascii_uppercase()), Some(mark));
            assert_eq!(shard_of(&mark.text()), Some(mark.shard));
        }
        let mark = Mark { shard: 1, key: u64::MAX, random: 0 };
        assert_eq!(Mark::parse(&mark.text()), Some(mark));
        for text in ["", "0", "000zzzzzzzzzzzzz0000000000000", "000vvvvvvvvvvvvv0000000000000"] {
            assert_eq!(Mark::parse(text.as_bytes()), None, "{text}");
        }
    }
}
