//! Digits that come as INFO.

/// The digit of an INFO body, and how long it was held in milliseconds.
///
/// `application/dtmf-relay`: lines `Signal=5` and `Duration=160`. `application/dtmf`: the digit alone.
pub(crate) fn digit_of_info(content_type: &[u8], body: &[u8]) -> Option<(char, u32)> {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/dtmf") {
        return digit(body.trim_ascii()).map(|digit| (digit, DURATION_MS));
    }
    if !kind.eq_ignore_ascii_case(b"application/dtmf-relay") {
        return None;
    }
    let value = |name: &str| {
        body.split(|byte| matches!(byte, b'\r' | b'\n')).find_map(|line| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            line[..at].trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then(|| line[at + 1..].trim_ascii())
        })
    };
    let held = value("Duration").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    digit(value("Signal")?).map(|digit| (digit, held.unwrap_or(DURATION_MS)))
}

/// Told when the sender gives no duration, milliseconds.
const DURATION_MS: u32 = 100;

fn digit(text: &[u8]) -> Option<char> {
    match text {
        b"10" => Some('*'),
        b"11" => Some('#'),
        [one @ (b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D' | b'a'..=b'd')] => {
            Some(char::from(one.to_ascii_uppercase()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_info() {
        let relay = |body: &str| digit_of_info(b"application/dtmf-relay", body.as_bytes());
        assert_eq!(relay("Signal=5\r\nDuration=160\r\n"), Some(('5', 160)));
        assert_eq!(relay("Signal= #\r\n"), Some(('#', 100)));
        assert_eq!(relay("Signal=11\r\nDuration=x"), Some(('#', 100)));
        assert_eq!(relay("Duration=160"), None);
        assert_eq!(relay("Signal=55"), None);
        assert_eq!(digit_of_info(b"Application/DTMF ; q=1", b" d\r\n"), Some(('D', 100)));
        assert_eq!(digit_of_info(b"text/plain", b"5"), None);
        assert_eq!(digit_of_info(b"", b""), None);
    }
}
