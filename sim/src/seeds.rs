//! Seeds worth keeping: each once broke something.

use std::fmt;
use std::path::Path;

/// A seed and why it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The seed.
    pub seed: u64,
    /// What it broke.
    pub why: String,
}

/// Why a file of seeds cannot be used.
#[derive(Debug)]
pub enum SeedsError {
    /// It cannot be read.
    Io(std::io::Error),
    /// A line (from 1) does not begin with a number.
    Line(usize),
}

impl fmt::Display for SeedsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedsError::Io(error) => error.fmt(f),
            SeedsError::Line(line) => write!(f, "line {line}: expected a seed and why it is kept"),
        }
    }
}
impl std::error::Error for SeedsError {}

/// Reads a file of seeds. Empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// When it cannot be read, or a line does not begin with a number.
pub fn read(file: &Path) -> Result<Vec<Kept>, SeedsError> {
    parse(&std::fs::read_to_string(file).map_err(SeedsError::Io)?)
}

fn parse(text: &str) -> Result<Vec<Kept>, SeedsError> {
    let mut kept = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (seed, why) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let seed = seed.parse().map_err(|_| SeedsError::Line(number + 1))?;
        kept.push(Kept { seed, why: why.trim().into() });
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_seed() {
        let kept = parse("# kept\n\n17 a CANCEL met its 200\n4\n").unwrap();
        assert_eq!(kept[0], Kept { seed: 17, why: "a CANCEL met its 200".into() });
        assert_eq!((kept.len(), kept[1].seed), (2, 4));
        assert!(matches!(parse("1 x\nseed 2"), Err(SeedsError::Line(2))));
    }
}
