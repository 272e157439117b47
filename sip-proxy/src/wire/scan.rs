//! Finding the bytes that structure a message, eight at a time.
//!
//! A message is searched some fifty times over a few dozen bytes each; at that length the call of a general
//! search costs more than the search. So the few searches needed are here, small enough to be inlined: eight
//! bytes are taken as one number, and arithmetic sets the top bit of each byte that may be meant. No byte that is
//! meant goes without (borrows run upwards only); what is not meant is sorted out byte by byte.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;
const WORD: usize = 8;

/// Top bits at bytes below `limit` (at most 0x7f), and at some above 0x7f: it costs less to look at those again
/// than to tell them apart here, text being ASCII nearly always.
#[inline(always)]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64)
}

/// Top bits at bytes equal to `byte`, and at some above 0x7f.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// The first byte for which `stop` holds. `flags` sets a top bit for each such byte, and may for others.
#[inline(always)]
fn find(text: &[u8], flags: impl Fn(u64) -> u64, stop: impl Fn(u8) -> bool) -> Option<usize> {
    let mut rest = text;
    while let Some((chunk, more)) = rest.split_first_chunk::<WORD>() {
        let flagged = flags(u64::from_le_bytes(*chunk)) & TOPS;
        if flagged == 0 {
            rest = more;
            continue;
        }
        let at = text.len() - rest.len() + flagged.trailing_zeros() as usize / WORD;
        if stop(text[at]) {
            return Some(at);
        }
        rest = &text[at + 1..];
    }
    let done = text.len() - rest.len();
    if !rest.is_empty()
        && let Some(last) = text.last_chunk::<WORD>()
        && flags(u64::from_le_bytes(*last)) & (TOPS << (8 * (WORD - rest.len()))) == 0
    {
        return None;
    }
    rest.iter().position(|byte| stop(*byte)).map(|at| done + at)
}

/// The first CR or LF.
#[inline]
pub(crate) fn line_end(text: &[u8]) -> Option<usize> {
    control(text, |byte| matches!(byte, b'\r' | b'\n'))
}

/// The first CR, LF or NUL.
#[inline]
pub(crate) fn line_end_or_nul(text: &[u8]) -> Option<usize> {
    control(text, |byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// The first of some control bytes. Lines are some dozens of bytes long: two words at a time.
#[inline(always)]
fn control(text: &[u8], stop: impl Fn(u8) -> bool) -> Option<usize> {
    let mut rest = text;
    while let Some((low, after)) = rest.split_first_chunk::<WORD>()
        && let Some((high, more)) = after.split_first_chunk::<WORD>()
    {
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        let (in_low, in_high) = (below(low, b' '), below(high, b' '));
        if (in_low | in_high) & TOPS == 0 {
            rest = more;
            continue;
        }
        // All control bytes are flagged: tabs are rare, the others rarer. Bytes above 0x7f are not rare in names
        // and subjects; here they are told apart.
        let at = match (in_low & !low & TOPS, in_high & !high & TOPS) {
            (0, 0) => {
                rest = more;
                continue;
            }
            (0, flagged) => WORD + flagged.trailing_zeros() as usize / WORD,
            (flagged, _) => flagged.trailing_zeros() as usize / WORD,
        };
        if stop(rest[at]) {
            return Some(text.len() - rest.len() + at);
        }
        rest = &rest[at + 1..];
    }
    let done = text.len() - rest.len();
    rest.iter().position(|byte| stop(*byte)).map(|at| done + at)
}

/// The first `needle`.
#[inline]
pub(crate) fn byte(needle: u8, text: &[u8]) -> Option<usize> {
    find(text, |word| equal(word, needle), |byte| byte == needle)
}

/// How far a URI reaches: to the first space, control byte, quote or angle bracket.
#[inline]
pub(crate) fn uri_end(text: &[u8]) -> usize {
    // `<` and `>` differ in one bit, which is set for both. `!` is flagged with the quote below it.
    find(
        text,
        |word| below(word, b'#') | equal(word | (ONES * 2), b'>'),
        |byte| matches!(byte, 0..=b' ' | b'"' | b'<' | b'>'),
    )
    .unwrap_or(text.len())
}

/// How far an unquoted parameter value reaches: to the first space, control byte, quote, semicolon or comma.
#[inline]
pub(crate) fn param_value_end(text: &[u8]) -> usize {
    find(
        text,
        |word| below(word, b'#') | equal(word, b';') | equal(word, b','),
        |byte| matches!(byte, 0..=b' ' | b'"' | b';' | b','),
    )
    .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length up to some words, every place of the byte looked for, among bytes that look like it.
    #[test]
    fn finds_the_first_at_any_place_and_length() {
        for length in 0..40 {
            for place in 0..=length {
                for filler in [b'a', b'!', b'\t', 0xa0, 0xff, b'#', b'=', b'A'] {
                    let with = |stop: u8| {
                        let mut text = vec![filler; length];
                        if place < length {
                            text[place] = stop;
                            text[length - 1] = stop;
                        }
                        text
                    };
                    let expected = (place < length).then_some(place);
                    assert_eq!(byte(b'@', &with(b'@')), expected);
                    assert_eq!(line_end(&with(b'\r')), expected);
                    assert_eq!(line_end(&with(b'\n')), expected);
                    assert_eq!(line_end(&with(0)), None);
                    assert_eq!(line_end_or_nul(&with(0)), expected);
                    if filler == b'\t' {
                        continue;
                    }
                    for stop in [b' ', b'\r', 0, b'<', b'>', b'"', b';', b','] {
                        let in_uri = matches!(stop, b';' | b',');
                        let in_value = matches!(stop, b'<' | b'>');
                        let text = with(stop);
                        assert_eq!(uri_end(&text), if in_uri { length } else { place }, "{text:?}");
                        assert_eq!(param_value_end(&text), if in_value { length } else { place }, "{text:?}");
                    }
                }
            }
        }
    }
}
