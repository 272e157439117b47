//! Signal processing: oscillators, Goertzel filters, levels.

pub mod goertzel;
pub mod level;
pub mod oscillator;
