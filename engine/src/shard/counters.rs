//! Plain numbers of a shard, for metrics.

/// Why recordings fail, by name: too many at once, the call is recorded already, its codec cannot be decoded, a leg was
/// gone, its file could not be written (to its end).
pub const RECORDING_FAILURES: [&str; 5] = ["limit", "recorded_already", "codec", "leg_gone", "disk"];

/// A place in [`RECORDING_FAILURES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordingFailure {
    Limit,
    RecordedAlready,
    Codec,
    LegGone,
    Disk,
}

impl ShardCounters {
    pub(crate) fn recording_failed(&mut self, why: RecordingFailure) {
        self.recordings_failed[why as usize] += 1;
    }
}

/// Counts since the shard was made, and gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardCounters {
    /// Gauge: dialled calls.
    pub calls_live: u64,
    /// Gauge: nailed-up sessions, ringing or up.
    pub sessions_live: u64,
    /// Gauge: transit calls.
    pub transits_live: u64,
    /// Gauge: legs on trunks.
    pub channels_used: u64,
    /// Gauge: recordings whose file is not complete.
    pub recordings_open: u64,
    /// INVITEs sent to customers.
    pub calls_dialled: u64,
    /// … and answered.
    pub calls_answered: u64,
    /// Dialled calls ended.
    pub calls_ended: u64,
    /// Calls to our own numbers that were taken.
    pub inbound_started: u64,
    /// … and that were refused: no room, draining, an offer of no use.
    pub inbound_refused: u64,
    /// Transit calls carried on.
    pub transits_started: u64,
    /// Times one of them went to the next trunk of its route, because the one before did not take it.
    pub transits_rerouted: u64,
    /// Dialled calls that the next trunk got, because the one before did not take them.
    pub dials_rerouted: u64,
    /// … and answered.
    pub transits_answered: u64,
    /// … and ended.
    pub transits_ended: u64,
    /// Transit calls without a route.
    pub transits_refused_route: u64,
    /// Transit calls whose request could not be carried on (hops, session description).
    pub transits_refused_request: u64,
    /// Transit calls refused by a limit, or while draining.
    pub transits_refused_busy: u64,
    /// Calls and transfers of agents' phones refused because of the number.
    pub agent_calls_refused_destination: u64,
    /// … and because the agent has as many as allowed.
    pub agent_calls_refused_limit: u64,
    /// … and because the number is on a do-not-call list.
    pub agent_calls_refused_dnc: u64,
    /// Customers that agents have given to someone else.
    pub calls_transferred: u64,
    /// Orders that came too late for their call.
    pub orders_late: u64,
    /// Recordings begun.
    pub recordings_started: u64,
    /// Recordings lost or cut off, in the order of [`RECORDING_FAILURES`].
    pub recordings_failed: [u64; RECORDING_FAILURES.len()],
    /// Signalling.
    pub sip: sip_proxy::ua::Counters,
    /// Sound.
    pub media: media::Counters,
}
