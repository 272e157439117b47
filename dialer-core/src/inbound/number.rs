//! Numbers as carriers write them, made E.164.

/// Most digits of an E.164 number.
const DIGITS_MAX: usize = 15;

/// The E.164 numbers (with the plus) that a carrier may mean by a user part, the likeliest first.
///
/// Carriers write `+442079460123`, `00442079460123`, `442079460123` or `02079460123`; the last needs the trunk's
/// `country_code` (digits, empty: unknown). A name, or a number too short to be one, gives nothing.
#[must_use]
pub fn e164_candidates(user: &str, country_code: &str) -> Vec<String> {
    // RFC 3966 §5.1.1: visual separators mean nothing; parameters behind `;` are no part of the number.
    let user = user.split(';').next().unwrap_or_default();
    let bare: String = user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
    let (plus, digits) = match bare.strip_prefix('+') {
        Some(digits) => (true, digits),
        None => (false, bare.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let mut found: Vec<String> = Vec::new();
    let mut add = |digits: String| {
        let fits = (3..=DIGITS_MAX).contains(&digits.len()) && !digits.starts_with('0');
        let number = format!("+{digits}");
        if fits && !found.contains(&number) {
            found.push(number);
        }
    };
    if plus {
        add(digits.to_owned());
        return found;
    }
    if let Some(international) = digits.strip_prefix("00") {
        add(international.to_owned());
        return found;
    }
    let national = digits.strip_prefix('0');
    if !country_code.is_empty() {
        // A national number that begins like the country code is rarer than one written without the plus.
        if national.is_none() && digits.starts_with(country_code) && digits.len() > 9 {
            add(digits.to_owned());
        }
        add(format!("{country_code}{}", national.unwrap_or(digits)));
    }
    add(digits.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carriers_write() {
        let check = |user: &str, country_code: &str, expected: &[&str]| {
            assert_eq!(e164_candidates(user, country_code), expected, "{user} in {country_code:?}");
        };
        check("+442079460123", "", &["+442079460123"]);
        check("+44 (20) 7946-0123", "1", &["+442079460123"]);
        check("00442079460123", "49", &["+442079460123"]);
        check("442079460123", "", &["+442079460123"]);
        check("442079460123", "44", &["+442079460123", "+44442079460123"]);
        check("02079460123", "44", &["+442079460123"]);
        check("02079460123", "", &[]);
        check("2025550123", "1", &["+12025550123", "+2025550123"]);
        check("12025550123", "1", &["+12025550123", "+112025550123"]);
        check("+12025550123;npdi", "1", &["+12025550123"]);
        for odd in ["", "+", "anonymous", "+1234567890123456", "+0123456", "12", "1a"] {
            check(odd, "", &[]);
        }
    }
}
