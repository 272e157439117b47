//! A person who is to be forgotten: none of their leads is dialled any more.

use crate::command::{CommandError, Reply};
use crate::dialer::Dialer;
use crate::id::LeadId;

impl Dialer {
    /// Takes a person's leads out of the hoppers, for good, and forgets what is remembered of their last calls.
    pub(crate) fn let_go_of_person(&mut self, number: &str, leads: &[LeadId]) -> Result<Reply, CommandError> {
        let busy = |detail: &str| Err(CommandError::InvalidState { detail: detail.into() });
        let in_call = self.calls.values().any(|call| {
            let of_lead = call.lead.as_ref().is_some_and(|lead| leads.contains(&lead.id));
            let guest = call.participants.iter().any(|guest| guest.to.as_deref() == Some(number));
            of_lead || guest || call.to == number || call.caller_id.as_deref() == Some(number)
        });
        if in_call {
            return busy("the person is in a call: hang up or wait, then erase");
        }
        if self.tasks.values().any(|task| leads.contains(&task.lead.id)) {
            return busy("an agent looks at the person's lead: skip the task, then erase");
        }
        for lead in leads {
            if let Some(holder) = self.leads.holder(*lead) {
                self.campaigns.get_mut(&holder).and_then(|campaign| campaign.hopper.take(*lead));
                self.dirty.campaigns.insert(holder);
            }
            self.leads.forget(*lead);
            self.ended.forget_lead(*lead);
        }
        Ok(Reply::Done)
    }
}
