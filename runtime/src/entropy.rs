//! Randomness from the operating system.

use std::io;

/// A seed that cannot be guessed.
///
/// # Errors
/// When the operating system gives none.
pub fn seed() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Fills `bytes` with secrets.
///
/// # Errors
/// When the operating system gives none.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::other)
}
