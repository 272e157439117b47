//! A key that takes who hears a message off the list for good.

use crate::call::Call;
use crate::check::{Checked, invalid};
use crate::compliance::number_key;
use crate::config::CampaignConfig;
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{CallId, DncListId};
use crate::record::{DncNumbers, LeadProgress, LeadState};
use crate::view::CallState;
use serde::{Deserialize, Serialize};

/// What who hears a campaign's message presses so as not to be called again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OptOut {
    /// The key: 0–9, `*` or `#`.
    pub digit: char,
    /// The do-not-call list that the number is put on: one that holds for the campaign.
    pub list: DncListId,
}

impl Dialer {
    pub(super) fn check_opt_out(&self, config: &CampaignConfig) -> Checked {
        let Some(OptOut { digit, list }) = config.opt_out else { return Ok(()) };
        if !(digit.is_ascii_digit() || matches!(digit, '*' | '#')) {
            return invalid("/on_no_agent/collect_opt_out", "one of 0 to 9, * and #");
        }
        let everywhere = self.dnc.lists.get(&list).is_some_and(|list| list.holds_for(Some(&config.tenant)));
        if !everywhere && !config.dnc_lists.contains(&list) {
            return invalid(
                "/on_no_agent/opt_out_list_id",
                "the id of a do-not-call list that holds everywhere, or of one of dnc_lists",
            );
        }
        Ok(())
    }

    /// Who hears the message has pressed a key. The number is on the list before anything else happens; the message is
    /// heard to its end.
    pub(crate) fn on_message_digit(&mut self, cx: &mut Cx<'_>, id: CallId, digit: char) {
        let hears =
            |call: &&Call| call.state == CallState::Message && call.inbound.is_none() && !call.opted_out;
        let Some(call) = self.calls.get(&id).filter(hears) else { return };
        let Some(campaign) = call.line_of() else { return };
        let wanted = self.campaigns.get(&campaign).and_then(|campaign| campaign.row.config.opt_out);
        let Some(OptOut { list, .. }) = wanted.filter(|opt_out| opt_out.digit == digit) else { return };
        let Some(number) = number_key(&call.to) else { return };
        let entries = DncNumbers { numbers: vec![number], ..DncNumbers::default() };
        if self.add_dnc(cx, list, entries).is_err() {
            return;
        }
        self.calls.get_mut(&id).expect("found above").opted_out = true;
        self.counters.campaign(campaign).opt_outs += 1;
        self.tell_call(cx, id, Event::CallOptedOut { list });
    }
}

/// Who does not want to be called is not called again, at any number and whatever was promised.
pub(crate) fn close_for_good(progress: &mut LeadProgress) {
    progress.state = LeadState::Dnc;
    progress.next_at = None;
    progress.callback = None;
}
