//! Leads held ready to be dialled.

use super::Clearance;
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::effect::Effect;
use crate::id::{CampaignId, LeadId, ListId};
use crate::record::{Lead, LeadState, Record};
use sansio::{Instant, WallTime};
use std::collections::VecDeque;

/// A campaign's leads that may be dialled now, best first.
#[derive(Debug)]
pub(crate) struct Hopper {
    leads: VecDeque<Lead>,
    /// A load was asked for then and has not come.
    loading: Option<Instant>,
    /// After a load that brought nothing new: not again before.
    not_before: Option<Instant>,
    /// The lists may hold more that may be dialled now.
    pub(crate) more: bool,
    /// When the next waiting lead becomes due, as far as known.
    pub(crate) next_due: Option<WallTime>,
    /// The soonest due time that arose while a load was under way, which the load may not know.
    due_meanwhile: Option<WallTime>,
}

impl Default for Hopper {
    fn default() -> Self {
        Hopper {
            leads: VecDeque::new(),
            loading: None,
            not_before: None,
            more: true,
            next_due: None,
            due_meanwhile: None,
        }
    }
}

impl Hopper {
    pub(crate) fn len(&self) -> usize {
        self.leads.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lead> {
        self.leads.iter()
    }

    pub(crate) fn lead_mut(&mut self, id: LeadId) -> Option<&mut Lead> {
        self.leads.iter_mut().find(|lead| lead.id == id)
    }

    /// Nothing is held, nothing is on the way, and nothing is known to come.
    pub(crate) fn is_dry(&self) -> bool {
        self.leads.is_empty() && self.loading.is_none() && !self.more && self.next_due.is_none()
    }

    /// Puts a lead back where it came from.
    pub(crate) fn put_first(&mut self, lead: Lead) {
        self.leads.push_front(lead);
    }

    /// Puts leads back where they came from, in their order.
    pub(crate) fn put_back(&mut self, leads: Vec<Lead>) {
        for lead in leads.into_iter().rev() {
            self.leads.push_front(lead);
        }
    }

    /// Puts a lead behind all others.
    pub(crate) fn put_last(&mut self, lead: Lead) {
        self.leads.push_back(lead);
    }

    /// Puts a lead behind all others; one whose callback is due goes behind the callbacks that are, before all others.
    fn enqueue(&mut self, lead: Lead) {
        if lead.progress.callback.is_none() {
            return self.leads.push_back(lead);
        }
        let place = self.leads.partition_point(|held| held.progress.callback.is_some());
        self.leads.insert(place, lead);
    }

    /// Takes in a lead whose callback is due. If the hopper is full, its last lead is given back for it.
    pub(super) fn take_in_callback(&mut self, lead: Lead, most: usize) -> Option<Lead> {
        let last = if self.leads.len() >= most { self.leads.pop_back() } else { None };
        self.more |= last.is_some();
        self.enqueue(lead);
        last
    }

    pub(crate) fn holds(&self, lead: LeadId) -> bool {
        self.leads.iter().any(|held| held.id == lead)
    }

    /// Takes a lead out.
    pub(crate) fn take(&mut self, lead: LeadId) -> Option<Lead> {
        let place = self.leads.iter().position(|held| held.id == lead)?;
        self.leads.remove(place)
    }

    /// The lists may hold leads that a load under way does not know.
    pub(crate) fn look_again(&mut self, now: WallTime) {
        self.more = true;
        if self.loading.is_some() {
            self.note_due(now);
        }
    }

    /// A lead of these lists will be due then.
    fn note_due(&mut self, at: WallTime) {
        let sooner = |old: Option<WallTime>| Some(old.map_or(at, |old| old.min(at)));
        self.next_due = sooner(self.next_due);
        if self.loading.is_some() {
            self.due_meanwhile = sooner(self.due_meanwhile);
        }
    }
}

impl Dialer {
    /// The leads held ready, the next first.
    pub(crate) fn look_into_hopper(&self, id: CampaignId, limit: u32) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(CommandError::NotFound { what: "campaign" })?;
        let leads = campaign.hopper.leads.iter().take(limit as usize);
        Ok(Reply::Leads(leads.map(|lead| lead.id).collect()))
    }

    /// Asks for leads if the hopper is low and there may be some.
    pub(crate) fn refill(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let held = self.leads.held();
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        if !campaign.is_running() || campaign.row.config.lists.is_empty() {
            return;
        }
        let hopper = &mut campaign.hopper;
        if hopper.next_due.is_some_and(|due| due <= cx.wall) {
            hopper.next_due = None;
            hopper.more = true;
        }
        let late = |since: Instant| cx.now.millis_since(since) >= self.config.load_timeout_ms;
        if !hopper.more
            || hopper.leads.len() >= self.config.hopper_low
            || hopper.loading.is_some_and(|since| !late(since))
            || hopper.not_before.is_some_and(|at| at > cx.now)
            || !self.node.store_healthy
            || self.node.draining
        {
            return;
        }
        hopper.loading = Some(cx.now);
        hopper.due_meanwhile = None;
        // Held leads may be read again and are passed over, so they are asked for on top.
        let room = self.config.hopper_max - hopper.leads.len() + held;
        let lists = campaign.row.config.lists.clone();
        let wanted = self.leads_to_read(id, room);
        let screen = self.screen_for_load(id, cx.wall);
        cx.out.push(Effect::LoadLeads {
            campaign: id,
            lists,
            limit: u32::try_from(wanted).unwrap_or(u32::MAX),
            due_at: cx.wall,
            screen: Box::new(screen),
        });
    }

    pub(crate) fn on_leads_loaded(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        leads: Vec<Lead>,
        more: bool,
        next_due: Option<WallTime>,
    ) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        let hopper = &mut campaign.hopper;
        hopper.loading = None;
        hopper.more = more;
        hopper.next_due = match (next_due, hopper.due_meanwhile.take()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if !campaign.is_running() {
            // What was read is not kept; it is read again when the campaign goes on.
            campaign.hopper.more = true;
            return;
        }
        let screen = campaign.screen.clone();
        let mut screener = screen.at(cx.wall);
        let (mut over, mut dnc, mut expired) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = 0;
        let leads = self.best_first(cx, id, leads);
        for mut lead in leads {
            let campaign = self.campaigns.get_mut(&id).expect("found above");
            if campaign.hopper.leads.len() >= self.config.hopper_max {
                campaign.hopper.more = true;
                break;
            }
            if !campaign.row.config.lists.contains(&lead.list) {
                continue;
            }
            if let Some(newest) = self.leads.newest(lead.id) {
                lead.progress = newest.clone();
            }
            let clearance = self.clear(id, &mut screener, &mut lead, cx.wall);
            let enough = self.owner_has_enough(id, &lead);
            let campaign = self.campaigns.get_mut(&id).expect("found above");
            match clearance {
                // Read again when there is room for it.
                Clearance::Dial if enough => campaign.hopper.more = true,
                Clearance::Dial if self.leads.hold(lead.id, id) => {
                    campaign.hopper.enqueue(lead);
                    taken += 1;
                }
                Clearance::Dial | Clearance::Passed => {}
                Clearance::NotBefore(at) => {
                    if let Some(at) = at {
                        campaign.hopper.note_due(at);
                    }
                }
                Clearance::Dnc(list) if !self.leads.is_held(lead.id) => dnc.push((lead, list)),
                Clearance::Over if !self.leads.is_held(lead.id) => {
                    lead.close(LeadState::Exhausted);
                    self.leads.moved(&lead.progress);
                    over.push(Record::LeadChanged(lead.progress));
                }
                Clearance::Expired if !self.leads.is_held(lead.id) => expired.push(lead),
                Clearance::Over | Clearance::Dnc(_) | Clearance::Expired => {}
            }
        }
        for (lead, list) in dnc {
            self.mark_dnc(cx, id, lead, list);
        }
        for lead in expired {
            self.mark_expired(cx, id, lead);
        }
        if !over.is_empty() {
            self.journal(cx, over);
        }
        let campaign = self.campaigns.get_mut(&id).expect("found above");
        // All that came is held elsewhere or just moved: reading again at once would bring the same.
        campaign.hopper.not_before =
            (taken == 0).then(|| cx.now + core::time::Duration::from_millis(self.config.tick_ms));
        if taken > 0 {
            campaign.completed = false;
        }
        self.dirty.campaigns.insert(id);
        self.wanted.insert(id);
        self.check_completed(cx, id);
    }

    /// The next lead to dial. Leads whose time has passed while they were held are let go.
    pub(crate) fn next_lead(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Option<Lead> {
        let screen = self.campaigns.get(&id)?.screen.clone();
        let mut screener = screen.at(cx.wall);
        loop {
            let campaign = self.campaigns.get_mut(&id)?;
            let mut lead = campaign.hopper.leads.pop_front()?;
            self.dirty.campaigns.insert(id);
            match self.clear(id, &mut screener, &mut lead, cx.wall) {
                Clearance::Dial => {
                    self.tell_if_due(cx, Some(id), lead.id, &mut lead.progress);
                    return Some(lead);
                }
                Clearance::Passed => self.leads.release(lead.id),
                Clearance::NotBefore(at) => {
                    self.leads.release(lead.id);
                    if let Some(at) = at {
                        self.campaigns.get_mut(&id)?.hopper.note_due(at);
                    }
                }
                Clearance::Dnc(list) => {
                    self.leads.release(lead.id);
                    self.mark_dnc(cx, id, lead, list);
                }
                Clearance::Over => {
                    self.leads.release(lead.id);
                    lead.close(LeadState::Exhausted);
                    self.leads.moved(&lead.progress);
                    self.journal(cx, vec![Record::LeadChanged(lead.progress)]);
                }
                Clearance::Expired => {
                    self.leads.release(lead.id);
                    self.mark_expired(cx, id, lead);
                }
            }
        }
    }

    /// Lets go of all leads held ready.
    pub(crate) fn empty_hopper(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        let mut lists: Vec<ListId> = Vec::new();
        for lead in campaign.hopper.leads.drain(..) {
            self.leads.release(lead.id);
            if !lists.contains(&lead.list) {
                lists.push(lead.list);
            }
        }
        campaign.hopper.look_again(cx.wall);
        campaign.hopper.not_before = None;
        self.dirty.campaigns.insert(id);
        self.leads_may_be_there(cx, &lists);
    }

    /// Leads of these lists came, or were let go of.
    pub(crate) fn leads_may_be_there(&mut self, cx: &mut Cx<'_>, lists: &[ListId]) {
        let ids: Vec<CampaignId> = self.users_of(lists);
        for id in ids {
            let campaign = self.campaigns.get_mut(&id).expect("listed above");
            campaign.hopper.look_again(cx.wall);
            campaign.hopper.not_before = None;
            campaign.completed = false;
            self.refill(cx, id);
        }
    }

    /// A lead of this list is to be dialled again then.
    pub(crate) fn lead_due(&mut self, list: ListId, at: WallTime) {
        for id in self.users_of(&[list]) {
            let campaign = self.campaigns.get_mut(&id).expect("listed above");
            campaign.hopper.note_due(at);
            campaign.completed = false;
        }
    }

    /// The campaigns that dial from one of these lists.
    pub(super) fn users_of(&self, lists: &[ListId]) -> Vec<CampaignId> {
        self.campaigns
            .values()
            .filter(|campaign| campaign.row.config.lists.iter().any(|list| lists.contains(list)))
            .map(|campaign| campaign.row.id)
            .collect()
    }
}
