//! The law of abandoned calls: who counts, over which time, and what follows.
//!
//! * A live answer that is not joined to an agent within the campaign's `bridge_deadline_ms` (2 s by 16 CFR
//!   310.4(b)(4)(iii) and Ofcom's statement) is **abandoned**: it is entered in the ledger, hears the
//!   safe-harbour message, and its lead is dialled again only with an agent guaranteed for 72 hours.
//! * A live answer that is joined in time is entered as live.
//! * A callee who hangs up before the deadline without having been joined was not abandoned by us; nor was an
//!   agent there. Such a call is entered neither way, so that it cannot make the rate look better.
//! * Machines and faxes are no live answers. Where the agent is joined first and the machine is heard later, the
//!   entry waits for the verdict.
//! * People whom machine detection takes for machines are abandoned without anyone having seen it. Their share, as
//!   measured or as the rule book has it estimated, is reserved in the budget in advance and added to the rate that is
//!   shown beside the counted one.

mod ledger;
mod profile;

pub(crate) use ledger::{Ledger, window_of};
pub(crate) use profile::{check_policy, false_machine};

/// After an abandoned call the lead is dialled only with an agent guaranteed, for this long (Ofcom: 72 hours).
pub(crate) const AGENT_GUARANTEED_MS: i64 = 72 * 3_600_000;
