//! Click-to-call: the agent first, then the customer.
//!
//! A nailed-up agent is there already, so the customer is dialled at once; otherwise the agent's phone rings and
//! the customer is dialled when it is picked up. Either side failing ends the call.

use crate::attempt::attempt_row;
use crate::check::{caller_id, e164, invalid, range, text};
use crate::command::{CommandError, OriginateRequest, Reply};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{CallId, CampaignId, LeadId, TrunkId};
use crate::outcome::{EndCause, Party};
use crate::record::{CallKindTag, Lead, Record};
use crate::tenant::Tenant;
use crate::trunk::NoTrunk;
use crate::view::{AgentState, CallState};
use sansio::Instant;

/// Beyond the ring time the agent's phone was given, the engine must have spoken after this long, milliseconds.
const AGENT_GRACE_MS: u64 = 5_000;

impl Dialer {
    pub(crate) fn originate(
        &mut self,
        cx: &mut Cx<'_>,
        request: OriginateRequest,
    ) -> Result<Reply, CommandError> {
        self.check_originate(&request)?;
        let may_override = request.override_reason.is_some();
        let tenant = self.tenant_of(request.campaign, Some(request.agent));
        let whose = (request.campaign, tenant.as_ref());
        let of_whom = request.lead.as_deref().or(request.known.as_deref());
        let breach = self.breach_by_hand(whose, of_whom, &request.to, cx.wall);
        let breach = self.refuse(breach, may_override)?;
        let trunk = self.originate_trunk(cx, &request)?;
        // A number that was asked for is shown as it is; else the pool of the agent, of the lead's list, of the
        // group or of the campaign gives one.
        let shown = match (&request.caller_id, request.caller_id_pool) {
            (Some(_), _) => None,
            (None, Some((pool, own))) => {
                let shown = self.take_from_pool(cx, pool, own, &request.to);
                Some(shown.ok_or(CommandError::Limit { what: "caller IDs of the pool" })?)
            }
            (None, None) => {
                let list = request.lead.as_ref().map(|lead| lead.list);
                self.take_caller_id(cx, request.campaign, Some(request.agent), list, &request.to)
            }
        };
        let campaign = request.campaign.and_then(|id| self.campaigns.get(&id));
        let wants_pool = campaign.is_some_and(|campaign| self.pool_of_campaign(campaign).is_some());
        if shown.is_none() && request.caller_id.is_none() && wants_pool {
            return Err(CommandError::Limit { what: "caller IDs of the campaign's pool" });
        }
        let caller_id = request
            .caller_id
            .clone()
            .or_else(|| shown.as_ref().map(|shown| shown.number.clone()))
            .or_else(|| campaign.and_then(|campaign| campaign.row.config.caller_id.clone()));
        let shows_trunk = caller_id.is_none();
        let caller_id = caller_id.or_else(|| self.trunks[&trunk].config().caller_id.clone());
        let agent = request.agent;
        let lead = self.take_lead_by_hand(cx, &request);
        let noted = self.note_call_of_known(cx, &request, tenant.as_ref());
        let mut call = self.new_call(cx, CallKindTag::ClickToCall, trunk, request.to.clone());
        call.campaign = request.campaign;
        call.caller_id = caller_id;
        call.shows_trunk = shows_trunk;
        call.trunk_fixed = request.trunk.is_some();
        call.shown = shown;
        call.ring_timeout_ms = request.ring_timeout_ms;
        call.client_state = request.client_state;
        call.record_it = request.record;
        call.notice = request.notice;
        call.agent = Some(agent);
        call.last_agent = Some(agent);
        call.number_of_attempt = lead.as_ref().map_or(0, |lead| lead.progress.attempts);
        call.lead = lead;
        let mut records = vec![Record::AttemptStarted(attempt_row(&call))];
        records.extend(call.lead.as_ref().map(|lead| Record::LeadChanged(lead.progress.clone())));
        records.extend(noted);
        records.extend(call.shown_record());
        let id = self.add_call(call);
        self.agents.get_mut(&agent).expect("checked above").call = Some(id);
        self.journal(cx, records);
        self.tell_call(cx, id, Event::CallCreated { to: request.to, mode: None });
        if let Some(breach) = breach {
            self.tell_override(cx, id, &breach, request.override_reason.unwrap_or_default());
        }
        if self.agents[&agent].is_on_line() {
            self.set_agent_state(cx, agent, AgentState::Reserved, "click_to_call", None);
            self.dial_customer_now(cx, id);
        } else {
            self.calls.get_mut(&id).expect("just added").agent_legs += 1;
            self.set_call_state(id, CallState::CallingAgent);
            let ring_ms = u64::from(self.agent_ring_ms(id, agent));
            self.set_call_timer(cx.now, id, Some(ring_ms + AGENT_GRACE_MS));
            self.order_ring(cx, id, agent);
            self.set_agent_state(cx, agent, AgentState::Ringing, "click_to_call", None);
        }
        Ok(Reply::Call(id))
    }

    fn check_lead_by_hand(&self, request: &OriginateRequest) -> Result<(), CommandError> {
        let Some(lead) = &request.lead else { return Ok(()) };
        if !lead.phones.iter().any(|phone| phone.number == request.to) {
            return invalid("/to", "one of the lead's numbers");
        }
        let waits =
            |holder| self.campaigns.get(&holder).is_some_and(|campaign| campaign.hopper.holds(lead.id));
        match self.leads.holder(lead.id) {
            Some(holder) if !waits(holder) => {
                let detail = "the lead is being called, or an agent looks at it".into();
                Err(CommandError::InvalidState { detail })
            }
            _ => Ok(()),
        }
    }

    /// Takes the lead that an agent calls by hand, from a hopper if it waits there. How often it is tried in all does not bind
    /// a person who dials, and a lead that is done with stays so, whatever comes of it.
    fn take_lead_by_hand(&mut self, cx: &Cx<'_>, request: &OriginateRequest) -> Option<Lead> {
        let mut lead = (**request.lead.as_ref()?).clone();
        if let Some(newest) = self.leads.newest(lead.id) {
            lead.progress = newest.clone();
        }
        self.take_from_hopper(lead.id);
        self.leads.hold(lead.id, request.campaign.unwrap_or(CampaignId::from_bits(0)));
        let over = lead.progress.is_over().then_some(lead.progress.state);
        lead.begin_attempt(cx.wall);
        if let Some(state) = over {
            lead.progress.state = state;
        }
        let place = lead.phones.iter().position(|phone| phone.number == request.to).unwrap_or(0);
        lead.progress.next_phone = u32::try_from(place).unwrap_or(0);
        self.leads.moved(&lead.progress);
        Some(lead)
    }

    fn take_from_hopper(&mut self, lead: LeadId) {
        if let Some(holder) = self.leads.holder(lead) {
            if let Some(campaign) = self.campaigns.get_mut(&holder) {
                campaign.hopper.take(lead);
            }
            self.dirty.campaigns.insert(holder);
            self.leads.release(lead);
        }
    }

    /// Counts a call to a lead's number in the lead's limits per time, although nobody named the lead. One that waits in a
    /// hopper is read again, with what it says now; one that is in a call or with an agent is left alone, and so is a lead that
    /// no campaign of this tenant dials.
    fn note_call_of_known(
        &mut self,
        cx: &Cx<'_>,
        request: &OriginateRequest,
        tenant: Option<&Tenant>,
    ) -> Option<Record> {
        let known = request.known.as_deref().filter(|_| request.lead.is_none())?;
        if self.bound_by(None, tenant, Some(known)).is_empty() {
            return None;
        }
        if let Some(holder) = self.leads.holder(known.id) {
            let campaign = self.campaigns.get_mut(&holder).filter(|holder| holder.hopper.holds(known.id))?;
            campaign.hopper.more = true;
            self.take_from_hopper(known.id);
        }
        let mut lead = known.clone();
        if let Some(newest) = self.leads.newest(lead.id) {
            lead.progress = newest.clone();
        }
        lead.note_attempt(cx.wall);
        self.leads.moved(&lead.progress);
        Some(Record::LeadChanged(lead.progress))
    }

    fn check_originate(&self, request: &OriginateRequest) -> Result<(), CommandError> {
        if self.node.draining {
            return Err(CommandError::Draining);
        }
        e164("/to", &request.to)?;
        if let Some(number) = &request.caller_id {
            caller_id("/caller_id", number)?;
        }
        if let Some((pool, own)) = &request.caller_id_pool {
            own.check()?;
            if request.caller_id.is_some() || !self.pools.contains_key(pool) {
                return invalid("/caller_id/pool", "the id of an existing caller-ID pool");
            }
        }
        if let Some(ms) = request.ring_timeout_ms {
            range("/ring_timeout_ms", ms, 1_000, 180_000)?;
        }
        if let Some(reason) = &request.override_reason {
            text("/override_reason", reason, 1, 256)?;
        }
        if let Some(state) = &request.client_state {
            text("/client_state", state, 0, 1_024)?;
        }
        if let Some(campaign) = request.campaign
            && !self.campaigns.contains_key(&campaign)
        {
            return invalid("/campaign_id", "the id of an existing campaign");
        }
        if let Some(trunk) = request.trunk
            && !self.trunks.contains_key(&trunk)
        {
            return invalid("/trunk_id", "the id of an existing trunk");
        }
        let agent = self.agents.get(&request.agent).ok_or(CommandError::NotFound { what: "agent" })?;
        let free = matches!(agent.state, AgentState::Ready | AgentState::Paused);
        if !free || !agent.phone_is_there() {
            let detail = if agent.session.is_some() && !agent.phone_is_there() {
                "the agent's phone is not connected"
            } else {
                "click-to-call needs an agent who is ready or on a break"
            };
            return Err(CommandError::InvalidAgentState { state: agent.state, detail: detail.into() });
        }
        if self.calls_free() == 0 {
            return Err(CommandError::Limit { what: "live calls" });
        }
        self.check_lead_by_hand(request)
    }

    fn originate_trunk(&mut self, cx: &Cx<'_>, request: &OriginateRequest) -> Result<TrunkId, CommandError> {
        let campaign = request.campaign.and_then(|id| self.campaigns.get(&id));
        let wanted = match (request.trunk, campaign) {
            (Some(trunk), _) => vec![trunk],
            (None, Some(campaign)) => campaign.row.config.trunks.clone(),
            (None, None) => Vec::new(),
        };
        self.trunk_among(cx.now, &wanted)
    }

    /// A trunk for a call that is asked for, of these or of all; its turn may come a little later.
    pub(crate) fn trunk_among(&mut self, now: Instant, wanted: &[TrunkId]) -> Result<TrunkId, CommandError> {
        match self.choose_trunk(now, wanted) {
            Ok(trunk) => Ok(trunk),
            Err(NoTrunk::Down) => Err(CommandError::InvalidState { detail: "no trunk is up".into() }),
            Err(NoTrunk::Channels) => Err(CommandError::Limit { what: "trunk channels" }),
            // Its turn comes within a second; the call waits for it with its agent.
            Err(NoTrunk::Cps) => {
                self.first_with_room(wanted).ok_or(CommandError::Limit { what: "trunk channels" })
            }
        }
    }

    /// Dials the customer of a click-to-call as soon as the calls-per-second limits let it.
    pub(super) fn dial_customer_now(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.dial_ordered.is_some() || call.kind != CallKindTag::ClickToCall {
            return;
        }
        let trunk_id = call.trunk;
        let Some(trunk) = self.trunks.get(&trunk_id) else {
            self.hang_up(cx, id, EndCause::NoTrunk, Party::System, None);
            return;
        };
        let at = trunk.cps.next_at(cx.now).max(self.cps.next_at(cx.now));
        if at > cx.now {
            self.set_call_timer(cx.now, id, Some(at.millis_since(cx.now) + 1));
            return;
        }
        self.take_cps(cx, None, trunk_id);
        self.order_dial(cx, id);
    }

    /// The engine said nothing of the agent's phone for too long.
    pub(super) fn on_agent_overdue(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.hang_up(cx, id, EndCause::NoAnswer, Party::Agent, None);
    }
}
