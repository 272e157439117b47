//! Small checks of settings, each naming the field by JSON pointer.

use crate::command::CommandError;
use std::fmt::Display;

pub(crate) type Checked = Result<(), CommandError>;

pub(crate) fn invalid<T>(pointer: &str, expected: impl Display) -> Result<T, CommandError> {
    Err(CommandError::Invalid { pointer: pointer.into(), expected: expected.to_string() })
}

pub(crate) fn range<N: PartialOrd + Display>(pointer: &str, value: N, low: N, high: N) -> Checked {
    if value < low || value > high {
        return invalid(pointer, format_args!("a number from {low} to {high}, not {value}"));
    }
    Ok(())
}

/// As [`range`], and refuses what is not a number.
pub(crate) fn range_f64(pointer: &str, value: f64, low: f64, high: f64) -> Checked {
    if value.is_finite() {
        range(pointer, value, low, high)
    } else {
        invalid(pointer, format_args!("a number from {low} to {high}"))
    }
}

/// Text of `low` to `high` characters without control characters, not blank (unless `low` is 0).
pub(crate) fn text(pointer: &str, value: &str, low: usize, high: usize) -> Checked {
    let length = value.chars().count();
    if length < low || length > high || (low > 0 && value.trim().is_empty()) {
        return invalid(pointer, format_args!("text of {low} to {high} characters"));
    }
    if value.chars().any(char::is_control) {
        return invalid(pointer, "text without control characters");
    }
    Ok(())
}

/// Text that stands in a signalling header: printable, without blanks.
pub(crate) fn one_line(pointer: &str, value: &str, low: usize, high: usize) -> Checked {
    text(pointer, value, low, high)?;
    if value.chars().any(char::is_whitespace) {
        return invalid(pointer, "text without blanks");
    }
    Ok(())
}

/// A caller ID: a number in E.164 or national form, or `anonymous`.
pub(crate) fn caller_id(pointer: &str, value: &str) -> Checked {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let is_number = (2..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || value == "anonymous" {
        return Ok(());
    }
    invalid(pointer, "a phone number of 2 to 20 digits, with or without a plus, or \"anonymous\"")
}

/// A number in E.164: plus, 3 to 15 digits, the first not 0 (ITU-T E.164 §6.1).
pub(crate) fn e164(pointer: &str, value: &str) -> Checked {
    let digits = value.strip_prefix('+').unwrap_or_default();
    let good = (3..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if good { Ok(()) } else { invalid(pointer, "a number in E.164, e.g. +8613800138000") }
}
