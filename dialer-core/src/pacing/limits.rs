//! Everything here has a limit, and this is where it is named.

/// Campaigns remembered at most; the events of further ones are not learned from (they still get decisions,
/// progressive ones).
pub const CAMPAIGNS_MAX: usize = 4_096;

/// Agents remembered at most (their speed); further agents are taken as average.
pub const AGENTS_MAX: usize = 65_536;

/// Calls in flight whose predicted risk is remembered at most.
pub const CALLS_MAX: usize = 65_536;

/// Dials in one decision at most, whatever the other limits say.
pub const BURST_MAX: u32 = 5_000;

/// Lines per agent at most, whatever the campaign says.
pub const LINES_PER_AGENT_MAX: f64 = 50.0;
