//! Finding the bytes that structure a message, sixteen or eight at a time.
//!
//! A message is searched some fifty times over a few dozen bytes each; at that length the call of a general
//! search costs more than the search. So the few searches needed are here, small enough to be inlined.
//!
//! On x86-64 sixteen bytes are compared at once (SSE2, which every such processor has). Elsewhere, and for texts
//! shorter than that, eight bytes are taken as one number, and arithmetic sets the top bit of each byte that may
//! be meant: no byte that is meant goes without (borrows run upwards only); what is not meant is sorted out byte
//! by byte.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;
const WORD: usize = 8;

/// The bytes that a search looks for.
trait Class: Copy {
    /// Top bits at bytes of the class, and at some others.
    fn word(self, word: u64) -> u64;

    /// One bit for each byte of the class and for no other.
    #[cfg(target_arch = "x86_64")]
    fn wide(self, wide: wide::Wide) -> wide::Wide;

    fn has(self, byte: u8) -> bool;
}

/// Sixteen bytes at once.
#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "the processor's own instructions; each is safe where SSE2 is, as on every x86-64"
)]
mod wide {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    pub(super) const WIDE: usize = 16;

    #[derive(Clone, Copy)]
    pub(super) struct Wide(__m128i);

    impl Wide {
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; WIDE]) -> Self {
            // SAFETY: SSE2 is part of x86-64; sixteen bytes are there, and they need no alignment.
            Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        #[inline(always)]
        pub(super) fn equal(self, byte: u8) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { _mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte.cast_signed())) })
        }

        #[inline(always)]
        pub(super) fn at_most(self, limit: u8) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { _mm_cmpeq_epi8(_mm_min_epu8(self.0, _mm_set1_epi8(limit.cast_signed())), self.0) })
        }

        #[inline(always)]
        pub(super) fn or(self, other: Self) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { _mm_or_si128(self.0, other.0) })
        }

        /// Sets the bits of `ones` in each byte.
        #[inline(always)]
        pub(super) fn with(self, ones: u8) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { _mm_or_si128(self.0, _mm_set1_epi8(ones.cast_signed())) })
        }

        /// One bit for each byte that a comparison found, the first byte lowest.
        #[inline(always)]
        pub(super) fn mask(self) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { _mm_movemask_epi8(self.0) }.cast_unsigned()
        }
    }
}

/// The first byte of the class in the first sixteen, or 16; `None` where there are not so many.
#[inline(always)]
fn find_in_sixteen(text: &[u8], class: impl Class) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    {
        let mask = class.wide(wide::Wide::load(text.first_chunk()?)).mask();
        Some((mask | (1 << wide::WIDE)).trailing_zeros() as usize)
    }
    #[cfg(not(target_arch = "x86_64"))]
    Some(find_word(text.first_chunk::<16>()?, class).unwrap_or(16))
}

/// The first byte of the class.
#[inline(always)]
fn find(text: &[u8], class: impl Class) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut rest = text;
        while let Some((chunk, more)) = rest.split_first_chunk::<{ wide::WIDE }>() {
            let mask = class.wide(wide::Wide::load(chunk)).mask();
            if mask != 0 {
                return Some(text.len() - rest.len() + mask.trailing_zeros() as usize);
            }
            rest = more;
        }
        if let Some(last) = text.last_chunk::<{ wide::WIDE }>() {
            // The last bytes again with those before them, which are not of the class.
            let mask = class.wide(wide::Wide::load(last)).mask();
            return (mask != 0).then(|| text.len() - wide::WIDE + mask.trailing_zeros() as usize);
        }
    }
    find_word(text, class)
}

#[inline(always)]
fn find_word(text: &[u8], class: impl Class) -> Option<usize> {
    let mut rest = text;
    while let Some((chunk, more)) = rest.split_first_chunk::<WORD>() {
        let flagged = class.word(u64::from_le_bytes(*chunk)) & TOPS;
        if flagged == 0 {
            rest = more;
            continue;
        }
        let at = text.len() - rest.len() + flagged.trailing_zeros() as usize / WORD;
        if class.has(text[at]) {
            return Some(at);
        }
        rest = &text[at + 1..];
    }
    let done = text.len() - rest.len();
    if !rest.is_empty()
        && let Some(last) = text.last_chunk::<WORD>()
        && class.word(u64::from_le_bytes(*last)) & (TOPS << (8 * (WORD - rest.len()))) == 0
    {
        return None;
    }
    rest.iter().position(|byte| class.has(*byte)).map(|at| done + at)
}

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

/// Bytes that [`Lines`] looks at in one go: one bit of a word for each.
const BLOCK: usize = 64;
/// Line ends that are found in one go: more than the head of an ordinary message has.
const FEEDS: usize = 32;

/// The lines of a message, whose ends are found 64 bytes at a time and ahead of their use, to the end of the head.
///
/// A line ends with LF, and a CR before it is part of the end. Messages are at most 65,535 bytes long.
pub(crate) struct Lines<'t> {
    text: &'t [u8],
    /// Where the next block begins.
    next: usize,
    /// LFs of the block before it that had no room: one bit for each byte, the first byte lowest.
    left: u64,
    /// 1 if the last byte of the block before it is a CR.
    carried: u64,
    /// In what was looked at there is a CR that is not before an LF.
    strays: bool,
    /// Places of LFs that were found, then zeros: no line of a message ends at its first byte.
    feeds: [u16; FEEDS + 1],
    /// How many of them were given out.
    taken: usize,
}

impl<'t> Lines<'t> {
    /// From the line that begins at `at`, where no line ends.
    #[inline]
    pub(crate) const fn new(text: &'t [u8], at: usize) -> Self {
        Self { text, next: at, left: 0, carried: 0, strays: false, feeds: [0; FEEDS + 1], taken: 0 }
    }

    /// Where the LF is that ends the next line; `None` when none follows.
    #[inline(always)]
    pub(crate) fn next_feed(&mut self) -> Option<usize> {
        let mut feed = self.feeds[self.taken];
        if feed == 0 {
            self.find_more();
            feed = self.feeds[0];
            if feed == 0 {
                return None;
            }
        }
        self.taken += 1;
        Some(usize::from(feed))
    }

    /// Whether there may be a CR in the lines given out that is not before an LF: then they have to be looked through.
    #[inline]
    pub(crate) const fn may_have_stray_returns(&self) -> bool {
        self.strays
    }

    #[inline(never)]
    fn find_more(&mut self) {
        self.taken = 0;
        self.feeds = [0; FEEDS + 1];
        let mut found = 0;
        let mut left = self.left;
        loop {
            // Two line ends side by side end the head: nobody may ask for what follows.
            let ended = left & ((left << 1) | (left << 2)) != 0;
            while left != 0 {
                if found == FEEDS {
                    self.left = left;
                    return;
                }
                self.feeds[found] = (self.next - BLOCK + left.trailing_zeros() as usize) as u16;
                left &= left - 1;
                found += 1;
            }
            if ended {
                break;
            }
            let rest = self.text.get(self.next..).unwrap_or_default();
            let (returns, feeds) = match rest.first_chunk() {
                Some(block) => (bits(block, b'\r'), bits(block, b'\n')),
                None if rest.is_empty() => break,
                None => short_block(rest),
            };
            self.next += BLOCK;
            self.strays |= ((returns << 1) | self.carried) & !feeds != 0;
            self.carried = returns >> (BLOCK - 1);
            left = feeds;
        }
        self.left = 0;
    }
}

/// CRs and LFs of the last block, which is not full.
#[inline(never)]
fn short_block(rest: &[u8]) -> (u64, u64) {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    (bits(&block, b'\r'), bits(&block, b'\n'))
}

/// One bit for each byte that is `needle`, the first byte lowest.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn bits(block: &[u8; BLOCK], needle: u8) -> u64 {
    let (chunks, _) = block.as_chunks();
    let mut bits = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        bits |= u64::from(wide::Wide::load(chunk).equal(needle).mask()) << (index * wide::WIDE);
    }
    bits
}

/// One bit for each byte that is `needle`, the first byte lowest.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn bits(block: &[u8; BLOCK], needle: u8) -> u64 {
    bits_by_words(block, needle)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn bits_by_words(block: &[u8; BLOCK], needle: u8) -> u64 {
    /// Gathers the lowest bits of eight bytes in the highest byte of the product.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = block.as_chunks::<WORD>();
    let mut bits = 0;
    for (index, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(needle));
        // The top bit of each byte that differs: set by the sum if any lower bit is, or there already.
        let tops = ((differs & !TOPS) + !TOPS) | differs;
        bits |= (((!tops & TOPS) >> 7).wrapping_mul(GATHER) >> 56) << (index * WORD);
    }
    bits
}

/// The first `needle` in sixteen bytes, or 16.
#[inline(always)]
pub(crate) fn byte_of_sixteen(needle: u8, sixteen: &[u8; 16]) -> usize {
    find_in_sixteen(sixteen, Needle(needle)).unwrap_or(16)
}

/// Whether no byte is a space or a control byte below it.
#[inline]
pub(crate) fn is_solid(text: &[u8]) -> bool {
    find(text, Blank).is_none()
}

#[derive(Clone, Copy)]
struct Blank;

impl Class for Blank {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        below(word, b'!')
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        wide.at_most(b' ')
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        byte <= b' '
    }
}

/// The first CR or LF.
#[inline]
pub(crate) fn line_end(text: &[u8]) -> Option<usize> {
    find(text, LineEnd)
}

#[derive(Clone, Copy)]
struct LineEnd;

impl Class for LineEnd {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        equal(word, b'\r') | equal(word, b'\n')
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        wide.equal(b'\r').or(wide.equal(b'\n'))
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        matches!(byte, b'\r' | b'\n')
    }
}

/// The first CR, LF or NUL.
#[inline]
pub(crate) fn line_end_or_nul(text: &[u8]) -> Option<usize> {
    find(text, LineEndOrNul)
}

#[derive(Clone, Copy)]
struct LineEndOrNul;

impl Class for LineEndOrNul {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        LineEnd.word(word) | equal(word, 0)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        LineEnd.wide(wide).or(wide.equal(0))
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        matches!(byte, b'\r' | b'\n' | 0)
    }
}

/// The first `needle`.
#[inline]
pub(crate) fn byte(needle: u8, text: &[u8]) -> Option<usize> {
    find(text, Needle(needle))
}

#[derive(Clone, Copy)]
struct Needle(u8);

impl Class for Needle {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        equal(word, self.0)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        wide.equal(self.0)
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        byte == self.0
    }
}

/// How far a URI reaches: to the first space, control byte, quote or angle bracket.
#[inline]
pub(crate) fn uri_end(text: &[u8]) -> usize {
    find(text, UriEnd).unwrap_or(text.len())
}

#[derive(Clone, Copy)]
struct UriEnd;

impl Class for UriEnd {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        // `<` and `>` differ in one bit, which is set for both. `!` is flagged with the quote below it.
        below(word, b'#') | equal(word | (ONES * 2), b'>')
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        wide.at_most(b' ').or(wide.equal(b'"')).or(wide.with(2).equal(b'>'))
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        matches!(byte, 0..=b' ' | b'"' | b'<' | b'>')
    }
}

/// How far an unquoted parameter value reaches: to the first space, control byte, quote, semicolon or comma.
#[inline]
pub(crate) fn param_value_end(text: &[u8]) -> usize {
    find(text, ParamValueEnd).unwrap_or(text.len())
}

#[derive(Clone, Copy)]
struct ParamValueEnd;

impl Class for ParamValueEnd {
    #[inline(always)]
    fn word(self, word: u64) -> u64 {
        below(word, b'#') | equal(word, b';') | equal(word, b',')
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn wide(self, wide: wide::Wide) -> wide::Wide {
        wide.at_most(b' ').or(wide.equal(b'"')).or(wide.equal(b';').or(wide.equal(b',')))
    }

    #[inline(always)]
    fn has(self, byte: u8) -> bool {
        matches!(byte, 0..=b' ' | b'"' | b';' | b',')
    }
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
                    assert_eq!(find_word(&with(b'@'), Needle(b'@')), expected);
                    assert_eq!(find_word(&with(b'\r'), LineEndOrNul), expected);
                    assert_eq!(line_end(&with(b'\r')), expected);
                    assert_eq!(line_end(&with(b'\n')), expected);
                    assert_eq!(line_end(&with(0)), None);
                    assert_eq!(line_end_or_nul(&with(0)), expected);
                    if filler == b'\t' {
                        continue;
                    }
                    for stop in [b' ', b'\r', 0] {
                        assert_eq!(is_solid(&with(stop)), place == length);
                        assert_eq!(find_word(&with(stop), Blank), expected);
                    }
                    for stop in [b' ', b'\r', 0, b'<', b'>', b'"', b';', b','] {
                        let in_uri = matches!(stop, b';' | b',');
                        let in_value = matches!(stop, b'<' | b'>');
                        let text = with(stop);
                        assert_eq!(uri_end(&text), if in_uri { length } else { place }, "{text:?}");
                        assert_eq!(param_value_end(&text), if in_value { length } else { place }, "{text:?}");
                        assert_eq!(find_word(&text, UriEnd), (uri_end(&text) < length).then_some(place));
                        assert_eq!(
                            find_word(&text, ParamValueEnd),
                            (param_value_end(&text) < length).then_some(place)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn bits_are_those_of_the_bytes() {
        for place in 0..BLOCK {
            for (needle, filler) in
                [(b'\r', b'\n'), (b'\n', b'\r'), (b'\n', 0x8a), (0xff, 0x7f), (0, 0x80), (0, 1)]
            {
                let mut block = [filler; BLOCK];
                block[place] = needle;
                block[BLOCK - 1] = needle;
                let expected = (1 << place) | (1 << (BLOCK - 1));
                assert_eq!((bits(&block, needle), bits_by_words(&block, needle)), (expected, expected));
            }
        }
    }

    /// Lines of every length up to some blocks, with CRs of every kind in the second.
    #[test]
    fn lines_end_where_they_end() {
        for length in 0..200 {
            for (end, stray) in
                [("\n", false), ("\r\n", false), ("\r\r\n", true), ("\ra\n", true), ("\r\n\rb", true)]
            {
                let text = format!("ab\r\n{}{end}\ncd", "x".repeat(length));
                let text = text.as_bytes();
                let mut lines = Lines::new(text, 0);
                assert_eq!(lines.next_feed(), Some(3));
                let feed = 4 + length + end.find('\n').expect("a line end");
                assert_eq!(lines.next_feed(), Some(feed), "{length} {end:?}");
                assert_eq!(lines.next_feed(), Some(4 + length + end.len()), "{length} {end:?}");
                assert_eq!(lines.next_feed(), None);
                assert_eq!(lines.next_feed(), None);
                assert_eq!(lines.may_have_stray_returns(), stray, "{length} {end:?}");
            }
        }
    }

    #[test]
    fn more_lines_than_are_found_in_one_go() {
        for unit in ["\r\n", "a\n", "abcd\r\n", "a line that is longer than the sixteen bytes\n"] {
            let text = unit.repeat(3 * FEEDS + 1);
            let mut lines = Lines::new(text.as_bytes(), 0);
            for line in 1..=3 * FEEDS + 1 {
                assert_eq!(lines.next_feed(), Some(line * unit.len() - 1), "{unit:?}");
            }
            assert_eq!(lines.next_feed(), None);
            assert!(!lines.may_have_stray_returns());
        }
    }
}
