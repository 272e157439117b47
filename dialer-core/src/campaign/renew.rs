//! Leads that are done with are dialled anew.

use crate::command::{CommandError, Reply};
use crate::dialer::{About, Cx, Dialer};
use crate::event::Event;
use crate::id::ListId;
use crate::outcome::Outcome;
use crate::record::{Lead, LeadProgress, LeadState, Record};

/// Leads of one list that are to be as if they had never been dialled.
#[derive(Clone, PartialEq, Debug)]
pub struct Recycle {
    /// Of this list.
    pub list: ListId,
    /// The leads, as stored. One that is held, or that has moved on meanwhile, stays as it is.
    pub leads: Vec<Lead>,
    /// Those that stand so.
    pub states: Vec<LeadState>,
    /// Those whose last attempt came to one of these; empty: whatever it came to.
    pub outcomes: Vec<Outcome>,
}

impl Recycle {
    /// Whether a lead that stands so is meant. Who was promised a callback is waited with.
    fn means(&self, progress: &LeadProgress) -> bool {
        let outcome = progress.last_outcome;
        self.states.contains(&progress.state)
            && progress.callback.is_none()
            && (self.outcomes.is_empty() || outcome.is_some_and(|last| self.outcomes.contains(&last)))
    }
}

impl LeadProgress {
    /// As if it had never been dialled, but for what the law and its agents want to know: when it was dialled, what became of
    /// it, and the lock after an abandoned call.
    fn renewed(self) -> Self {
        LeadProgress {
            last_outcome: self.last_outcome,
            last_attempt_at: self.last_attempt_at,
            recent: self.recent,
            agent_guaranteed_until: self.agent_guaranteed_until,
            history: self.history,
            ..LeadProgress::fresh(self.lead)
        }
    }
}

impl Dialer {
    /// Has leads dialled anew; tells how many.
    pub(crate) fn recycle_leads(&mut self, cx: &mut Cx<'_>, wish: &Recycle) -> Result<Reply, CommandError> {
        let list = wish.list;
        let Some(row) = self.lists.get(&list) else { return Err(CommandError::NotFound { what: "list" }) };
        let tenant = Some(row.config.tenant.clone());
        let mut records = Vec::new();
        for lead in wish.leads.iter().filter(|lead| lead.list == list && !self.leads.is_held(lead.id)) {
            let progress = self.leads.newest(lead.id).unwrap_or(&lead.progress);
            if wish.means(progress) {
                records.push(Record::LeadChanged(progress.clone().renewed()));
            }
        }
        for record in &records {
            if let Record::LeadChanged(progress) = record {
                self.leads.moved(progress);
            }
        }
        let count = records.len() as u64;
        if count > 0 {
            self.journal(cx, records);
            self.leads_may_be_there(cx, &[list]);
            self.leads_may_expire(cx, list);
            self.tell(cx, About { tenant, ..About::default() }, Event::ListRecycled { list, count });
        }
        Ok(Reply::Count(count))
    }
}
