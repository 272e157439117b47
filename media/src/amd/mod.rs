//! Answering-machine detection.

use sansio::Duration;

/// When to call an answer a machine. The defaults are those that did best of three settings on synthetic calls;
/// they prove nothing about a given country's callers, so they are all settable.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AmdConfig {
    /// Speech that goes on this long (short pauses included) is a machine's greeting.
    pub machine_speech_min: Duration,
    /// A first utterance no longer than this may be a person's.
    pub human_speech_max: Duration,
    /// … when this much silence follows.
    pub human_silence_min: Duration,
    /// Nobody says anything for this long: unsure.
    pub initial_silence_max: Duration,
    /// No verdict after this long: unsure.
    pub listen_max: Duration,
    /// How far over the noise floor a frame must be to count as voice, decibels.
    pub voice_over_floor_db: f32,
    /// Frames under this are silence whatever the floor, dBm0.
    pub voice_level_min_dbm0: f32,
}

impl Default for AmdConfig {
    fn default() -> Self {
        AmdConfig {
            machine_speech_min: Duration::from_millis(2000),
            human_speech_max: Duration::from_millis(1800),
            human_silence_min: Duration::from_millis(600),
            initial_silence_max: Duration::from_millis(4000),
            listen_max: Duration::from_millis(6000),
            voice_over_floor_db: 9.0,
            voice_level_min_dbm0: -48.0,
        }
    }
}
