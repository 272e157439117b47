//! Everything here has a limit, and this is where it is named.

/// Limits and timers of the whole dialer. What is a matter of one campaign is in its own configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct DialerConfig {
    /// Nothing is dialled unless an agent says so for that call: no campaign but preview, and no preview by a timer.
    pub manual_only: bool,
    /// Live calls at once, of all kinds but transit; at the limit nothing is dialled and API calls are refused.
    pub calls_max: u32,
    /// Calls dialled per second by the whole node.
    pub cps_max: f64,
    /// Trunks.
    pub trunks_max: usize,
    /// Agents.
    pub agents_max: usize,
    /// Lists.
    pub lists_max: usize,
    /// Campaigns.
    pub campaigns_max: usize,
    /// Leads held ready per campaign.
    pub hopper_max: usize,
    /// A hopper with fewer leads than this asks for more.
    pub hopper_low: usize,
    /// A load of leads that was not answered after this long is asked for again, milliseconds.
    pub load_timeout_ms: u64,
    /// Time between two regular pacing decisions of a campaign, milliseconds.
    pub tick_ms: u64,
    /// Least time between two decisions of one campaign that are caused by events, milliseconds.
    pub decision_gap_ms: u64,
    /// Least time between two `campaign.pacing` events of one campaign, milliseconds.
    pub pacing_event_gap_ms: u64,
    /// Ringing of an agent's phone when a nailed-up session is opened, milliseconds.
    pub session_ring_ms: u32,
    /// First wait before a lost session is opened again, milliseconds; doubles up to `session_retry_max_ms`.
    pub session_retry_min_ms: u64,
    /// Longest wait before a lost session is opened again, milliseconds.
    pub session_retry_max_ms: u64,
    /// First pause of an agent who did not take an offer, milliseconds; doubles up to `offer_backoff_max_ms`.
    pub offer_backoff_min_ms: u64,
    /// Longest pause of an agent who did not take an offer, milliseconds.
    pub offer_backoff_max_ms: u64,
    /// Offers missed in a row after which the agent is put on a break (code `missed_offers`).
    pub offers_missed_max: u32,
    /// Longest wait for a machine-detection verdict before the answer is taken as a person's, milliseconds.
    pub amd_wait_max_ms: u64,
    /// Longest safe-harbour message, milliseconds.
    pub message_max_ms: u64,
    /// A call that was ordered to end and is not told to be over after this long is taken as over, milliseconds.
    /// Longer than 64·T1 (32 s), after which signalling gives up by itself.
    pub ending_max_ms: u64,
    /// How long a drain waits for agents' sessions to end after the last call, milliseconds.
    pub session_close_max_ms: u64,
    /// Ended calls remembered for dispositions, recordings and the numbering of their late events.
    pub ended_calls_max: usize,
    /// Leads whose newest progress is remembered against loads that were read before it was written.
    pub recent_leads_max: usize,
    /// Digits kept per call.
    pub digits_max: usize,
}

impl Default for DialerConfig {
    fn default() -> Self {
        DialerConfig {
            manual_only: false,
            calls_max: 20_000,
            cps_max: 1_000.0,
            trunks_max: 1_000,
            agents_max: 20_000,
            lists_max: 10_000,
            campaigns_max: 1_000,
            hopper_max: 500,
            hopper_low: 250,
            load_timeout_ms: 30_000,
            tick_ms: 1_000,
            decision_gap_ms: 50,
            pacing_event_gap_ms: 1_000,
            session_ring_ms: 30_000,
            session_retry_min_ms: 1_000,
            session_retry_max_ms: 30_000,
            offer_backoff_min_ms: 5_000,
            offer_backoff_max_ms: 60_000,
            offers_missed_max: 5,
            amd_wait_max_ms: 5_000,
            message_max_ms: 60_000,
            ending_max_ms: 70_000,
            session_close_max_ms: 2_000,
            ended_calls_max: 20_000,
            recent_leads_max: 100_000,
            digits_max: 64,
        }
    }
}
