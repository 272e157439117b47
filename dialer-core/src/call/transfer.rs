//! The agent gives the customer to someone else and is free; the call goes on without an agent.

use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{AgentId, CallId};
use crate::view::CallState;

impl Dialer {
    pub(super) fn on_transferred(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId, to: String) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state != CallState::Bridged || call.agent != Some(agent) {
            return;
        }
        call.transferred_to = Some(to.clone());
        (call.held, call.muted.1) = (false, false);
        // Its channel is held to the end of the call.
        if let Some(trunk) = call.transferring.take().flatten() {
            call.guest_trunk = Some(trunk);
        }
        self.tell_call(cx, id, Event::CallTransferred { agent, to });
        let talk_ms = self.tell_unbridged(cx, id, "transferred");
        let call = self.calls.get_mut(&id).expect("found above");
        (call.agent, call.talked_ms) = (None, None);
        call.held_by = None;
        let campaign = call.campaign;
        self.leave_call(agent);
        let inbound = self.calls[&id].inbound.is_some();
        self.begin_wrap_up(cx, agent, (id, campaign, inbound), talk_ms);
    }
}
