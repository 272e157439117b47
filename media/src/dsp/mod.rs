//! Signal processing: digits, oscillators, Goertzel filters, levels.

pub mod double;
pub mod dtmf;
pub mod goertzel;
pub mod halve;
pub mod level;
pub mod oscillator;
pub mod sum;
