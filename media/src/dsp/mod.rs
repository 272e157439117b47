//! Signal processing: oscillators and Goertzel filters.

pub mod oscillator;
