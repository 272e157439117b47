//! Leads whose time has passed: told so once, and never dialled.
//!
//! A hopper lets go of what has expired when it comes to it. A campaign that takes dial requests has to say so in time,
//! whoever is free to dial them and whether it runs or not: it asks its lists for what has expired when requests come, and
//! again when the next of them expires.

use crate::dialer::{About, Cx, Dialer, Why};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{CampaignId, ListId};
use crate::lead::{Verdict, verdict};
use crate::record::{Lead, LeadState, Record};
use sansio::{TimerKey, WallTime};

/// Leads told of in one answer at most.
const FOUND_MAX: u32 = 500;
/// When some of what has expired could not be marked (it is being looked at, or there is more): look again, milliseconds.
const AGAIN_MS: u64 = 250;

/// What a campaign knows of the expiry of its leads.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// A question is under way.
    asked: bool,
    /// Requests came meanwhile: its answer may not know them.
    again: bool,
    /// When to ask: the next expiry, or a question that got no answer.
    timer: Option<TimerKey>,
}

impl Expiry {
    /// When it is to ask next; void when the campaign is gone.
    pub(super) fn timer(&self) -> Option<TimerKey> {
        self.timer
    }
}

impl Dialer {
    /// Asks for what has expired in the lists of a campaign that takes dial requests.
    pub(crate) fn find_expired(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        let lists = campaign.row.config.lists.clone();
        if campaign.row.config.push.is_none() || lists.is_empty() {
            let timer = campaign.expiry.timer.take();
            return self.disarm(timer);
        }
        if campaign.expiry.asked {
            campaign.expiry.again = true;
            return;
        }
        campaign.expiry.again = false;
        let healthy = self.node.store_healthy;
        self.campaigns.get_mut(&id).expect("found above").expiry.asked = healthy;
        self.look_again_at(cx, id, self.config.load_timeout_ms);
        if healthy {
            cx.out.push(Effect::FindExpired { campaign: id, lists, at: cx.wall, limit: FOUND_MAX });
        }
    }

    /// Leads of these lists came: some of them may expire soon.
    pub(crate) fn leads_may_expire(&mut self, cx: &mut Cx<'_>, list: ListId) {
        let users: Vec<CampaignId> = self.users_of(&[list]);
        for id in users {
            self.find_expired(cx, id);
        }
    }

    /// The clock was set, or the store is back.
    pub(crate) fn find_all_expired(&mut self, cx: &mut Cx<'_>) {
        for id in self.campaigns.keys().copied().collect::<Vec<_>>() {
            self.find_expired(cx, id);
        }
    }

    fn look_again_at(&mut self, cx: &Cx<'_>, id: CampaignId, after_ms: u64) {
        let timer = self.arm(cx.now, after_ms, Why::Expiry(id));
        let old = self.campaigns.get_mut(&id).and_then(|campaign| campaign.expiry.timer.replace(timer));
        self.disarm(old);
    }

    pub(crate) fn on_expiry_timer(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        (campaign.expiry.timer, campaign.expiry.asked) = (None, false);
        self.find_expired(cx, id);
    }

    /// The answer: what has expired, and when the next will.
    pub(crate) fn on_expired_found(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        leads: Vec<Lead>,
        next: Option<WallTime>,
    ) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        if !std::mem::take(&mut campaign.expiry.asked) {
            return;
        }
        let again = std::mem::take(&mut campaign.expiry.again);
        let timer = campaign.expiry.timer.take();
        self.disarm(timer);
        let any = !leads.is_empty();
        for lead in leads {
            self.expire(cx, id, lead);
        }
        if again {
            return self.find_expired(cx, id);
        }
        let until = next.map(|at| u64::try_from(at.millis_since(cx.wall)).unwrap_or(0).max(1));
        let after_ms = if any { Some(until.map_or(AGAIN_MS, |until| until.min(AGAIN_MS))) } else { until };
        if let Some(after_ms) = after_ms {
            self.look_again_at(cx, id, after_ms);
        }
        self.check_completed(cx, id);
    }

    /// Marks a lead that the store says has expired, wherever it is held ready. One that an agent looks at or that is
    /// being called goes on.
    fn expire(&mut self, cx: &mut Cx<'_>, id: CampaignId, mut lead: Lead) {
        if let Some(newest) = self.leads.newest(lead.id) {
            lead.progress = newest.clone();
        }
        if verdict(&lead, u32::MAX, cx.wall) != Verdict::Expired {
            return;
        }
        match self.leads.holder(lead.id) {
            None => self.mark_expired(cx, id, lead),
            Some(holder) => {
                let held = self.campaigns.get_mut(&holder).and_then(|campaign| campaign.hopper.take(lead.id));
                if held.is_some() {
                    self.leads.release(lead.id);
                    self.dirty.campaigns.insert(holder);
                    self.mark_expired(cx, id, lead);
                }
            }
        }
    }

    /// A lead whose time has passed is told to be so, and is not dialled any more.
    pub(crate) fn mark_expired(&mut self, cx: &mut Cx<'_>, id: CampaignId, mut lead: Lead) {
        lead.close(LeadState::Expired);
        self.leads.moved(&lead.progress);
        self.counters.campaign(id).leads_expired += 1;
        let (attempts, last_outcome) = (lead.progress.attempts, lead.progress.last_outcome);
        let about = About { campaign: Some(id), lead: Some(lead.id), ..About::default() };
        self.journal(cx, vec![Record::LeadChanged(lead.progress)]);
        let external_id = lead.external_id;
        self.tell(cx, about, Event::LeadExpired { external_id, attempts, outcome: last_outcome });
    }
}
