//! The engine's words about sound that is relayed below it, in the ground's, and back.

use engine::{OffloadCounts, OffloadRule, OffloadStart};
use runtime::relay::{RelayCounts, RelayRule, RelayStart, told_at};

/// A rule for the ground.
pub fn rule(rule: &OffloadRule) -> RelayRule {
    let OffloadRule { source, port, ssrc, payload_type, destination, out_port, .. } = *rule;
    let OffloadRule { out_ssrc, out_payload_type, sequence_delta, timestamp_delta, sound, tap, .. } = *rule;
    RelayRule {
        source,
        port,
        ssrc,
        payload_type,
        destination,
        out_port,
        out_ssrc,
        out_payload_type,
        sequence_delta,
        timestamp_delta,
        sound,
        tap,
    }
}

/// Where it begins to count.
pub fn start(start: &OffloadStart) -> RelayStart {
    let OffloadStart { highest, transit, jitter, timestamp } = *start;
    RelayStart { highest, transit, jitter, timestamp }
}

/// What it has counted.
pub fn counts(counts: &RelayCounts) -> OffloadCounts {
    let RelayCounts { packets, bytes, octets, highest, transit, jitter, timestamp, samples, .. } = *counts;
    OffloadCounts {
        packets,
        bytes,
        octets,
        last_at: told_at(counts.last_ns),
        sound_at: told_at(counts.sound_ns),
        highest,
        transit,
        jitter,
        timestamp,
        samples,
    }
}
