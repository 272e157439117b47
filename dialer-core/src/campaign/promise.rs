//! Callbacks at their time: told once when each falls due, and put before all else that is dialled. And those that come
//! and go by the API.
//!
//! What was promised is in the store with its lead. The dialer asks for what is due when the next promise falls due, and
//! again every few seconds while some of it could not be dialled: its agent is not there, its window is closed.

use super::{CalledBy, Clearance};
use crate::check::invalid;
use crate::command::{CallbackRequest, CommandError, Reply};
use crate::dialer::{About, Cx, Dialer, Why, check_version};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{CampaignId, LeadId};
use crate::record::{Callback, HISTORY_NOTES_MAX, Lead, LeadProgress, LeadState, Record};
use sansio::{Instant, TimerKey, WallTime};

/// Callbacks told of in one answer at most.
const FOUND_MAX: u32 = 500;
/// Some that are due could not be dialled: look again, milliseconds.
const STUCK_MS: u64 = 5_000;
/// Agents who come together are asked for together, milliseconds.
const GATHER_MS: u64 = 100;
/// A promise whose time came before it was surely written down: look again, milliseconds.
const AGAIN_MS: u64 = 1_000;
/// A promise reaches at most so far ahead, milliseconds: a year.
const AHEAD_MS_MAX: i64 = 366 * 24 * 3_600_000;

/// What is known of the callbacks in the store.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    /// A question is under way.
    asked: bool,
    /// Something changed meanwhile: its answer may not know it.
    again: bool,
    /// When to ask.
    timer: Option<(Instant, TimerKey)>,
    /// The soonest promise made since the last answer.
    soonest: Option<WallTime>,
    /// There was one since the start.
    any: bool,
}

impl Callbacks {
    /// Whether there may be callbacks.
    pub(super) fn any(&self) -> bool {
        self.any
    }
}

impl Dialer {
    /// A callback was promised for then.
    pub(crate) fn watch_callback(&mut self, cx: &Cx<'_>, at: WallTime) {
        self.callbacks.any = true;
        let soonest = self.callbacks.soonest.map_or(at, |old| old.min(at));
        self.callbacks.soonest = Some(soonest);
        if !self.callbacks.asked {
            self.ask_callbacks_in(cx, millis_until(cx.wall, at));
        }
    }

    /// An agent came, who may have promised some.
    pub(crate) fn callbacks_may_be_made(&mut self, cx: &Cx<'_>) {
        if self.callbacks.asked {
            self.callbacks.again = true;
        } else if self.callbacks.any {
            self.ask_callbacks_in(cx, GATHER_MS);
        }
    }

    /// Asks then, or sooner if that is planned already.
    fn ask_callbacks_in(&mut self, cx: &Cx<'_>, after_ms: u64) {
        let at = cx.now + core::time::Duration::from_millis(after_ms);
        if self.callbacks.timer.is_some_and(|(planned, _)| planned <= at) {
            return;
        }
        let timer = self.timers.arm(at, Why::Callbacks);
        let old = self.callbacks.timer.replace((at, timer));
        self.disarm(old.map(|(_, key)| key));
    }

    pub(crate) fn on_callbacks_timer(&mut self, cx: &mut Cx<'_>) {
        self.callbacks.timer = None;
        self.callbacks.asked = false;
        self.find_callbacks(cx);
    }

    /// Asks for the callbacks that are due.
    pub(crate) fn find_callbacks(&mut self, cx: &mut Cx<'_>) {
        if self.callbacks.asked {
            self.callbacks.again = true;
            return;
        }
        if !self.node.restored || !self.node.store_healthy {
            return;
        }
        self.callbacks.asked = true;
        self.callbacks.again = false;
        let old = self.callbacks.timer.take();
        self.disarm(old.map(|(_, key)| key));
        self.ask_callbacks_in(cx, self.config.load_timeout_ms);
        cx.out.push(Effect::FindCallbacks { at: cx.wall, limit: FOUND_MAX });
    }

    /// The answer: what is due, and when the next will be.
    pub(crate) fn on_callbacks_found(&mut self, cx: &mut Cx<'_>, leads: Vec<Lead>, next: Option<WallTime>) {
        if !std::mem::take(&mut self.callbacks.asked) {
            return;
        }
        let old = self.callbacks.timer.take();
        self.disarm(old.map(|(_, key)| key));
        self.callbacks.any |= !leads.is_empty() || next.is_some();
        let mut stuck = false;
        for lead in leads {
            stuck |= !self.callback_due(cx, lead);
        }
        if std::mem::take(&mut self.callbacks.again) {
            return self.find_callbacks(cx);
        }
        if stuck {
            self.ask_callbacks_in(cx, STUCK_MS);
        }
        if let Some(at) = next {
            self.ask_callbacks_in(cx, millis_until(cx.wall, at));
        }
        match self.callbacks.soonest {
            Some(at) if at <= cx.wall => {
                self.callbacks.soonest = None;
                self.ask_callbacks_in(cx, AGAIN_MS);
            }
            Some(at) => self.ask_callbacks_in(cx, millis_until(cx.wall, at)),
            None => {}
        }
    }

    /// A callback that the store says is due: told, and held ready before all others where it may be dialled. False: it
    /// could not be, now.
    fn callback_due(&mut self, cx: &mut Cx<'_>, mut lead: Lead) -> bool {
        if let Some(newest) = self.leads.newest(lead.id) {
            lead.progress = newest.clone();
        }
        let waits = matches!(lead.progress.state, LeadState::New | LeadState::RetryWait);
        let due = lead.progress.callback.as_ref().is_some_and(|promise| promise.at <= cx.wall);
        if !waits || !due {
            return true;
        }
        if let Some(held) = self.held_progress(lead.id) {
            let mut progress = held.clone();
            self.tell_if_due(cx, None, lead.id, &mut progress);
            if let Some(held) = self.held_progress(lead.id) {
                *held = progress;
            }
            return true;
        }
        self.tell_if_due(cx, None, lead.id, &mut lead.progress);
        let users = self.users_of(&[lead.list]);
        users.into_iter().any(|id| self.hold_callback(cx, id, &lead))
    }

    fn hold_callback(&mut self, cx: &mut Cx<'_>, id: CampaignId, lead: &Lead) -> bool {
        let Some(promise) = lead.progress.callback.as_ref().filter(|_| self.campaigns[&id].is_running())
        else {
            return false;
        };
        let absent = || promise.agent.is_some_and(|agent| self.is_absent(id, agent));
        let nobody = self.called_by(id, lead, cx.wall) == CalledBy::NotNow;
        if self.node.draining || nobody && (self.is_elsewhere(id, promise, lead) || absent()) {
            return false;
        }
        let screen = self.campaigns[&id].screen.clone();
        let mut lead = lead.clone();
        let clearance = self.clear(id, &mut screen.at(cx.wall), &mut lead, cx.wall);
        if clearance != Clearance::Dial || !self.leads.hold(lead.id, id) {
            return false;
        }
        let most = self.config.hopper_max;
        let campaign = self.campaigns.get_mut(&id).expect("listed by the caller");
        campaign.completed = false;
        if let Some(last) = campaign.hopper.take_in_callback(lead, most) {
            self.leads.release(last.id);
        }
        self.dirty.campaigns.insert(id);
        self.wanted.insert(id);
        true
    }

    /// Tells, once, that a lead's callback is due.
    pub(crate) fn tell_if_due(
        &mut self,
        cx: &mut Cx<'_>,
        campaign: Option<CampaignId>,
        lead: LeadId,
        progress: &mut LeadProgress,
    ) {
        let attempts = progress.attempts;
        let Some(promise) = progress.callback.as_mut().filter(|it| !it.told && it.at <= cx.wall) else {
            return;
        };
        promise.told = true;
        let told = promise.clone();
        self.leads.moved(progress);
        self.counters.callbacks_due += 1;
        self.journal(cx, vec![Record::LeadChanged(progress.clone())]);
        let about = About {
            campaign: told.campaign.or(campaign),
            lead: Some(lead),
            agent: told.agent,
            ..About::default()
        };
        let event = Event::LeadCallbackDue { at: told.at, agent: told.agent, notes: told.notes, attempts };
        self.tell(cx, about, event);
    }

    /// Promises a callback, or moves one.
    pub(crate) fn set_callback(
        &mut self,
        cx: &mut Cx<'_>,
        request: CallbackRequest,
    ) -> Result<Reply, CommandError> {
        let CallbackRequest { lead, promise, moves, if_version } = request;
        let mut progress = self.free_progress(&lead)?;
        let version = match (&progress.callback, moves) {
            (None, true) => return Err(CommandError::NotFound { what: "callback" }),
            (Some(_), false) => {
                let detail = "the lead has a callback already, which can be moved".into();
                return Err(CommandError::Conflict { pointer: "/lead_id".into(), detail });
            }
            (Some(old), true) => {
                check_version(old.version, if_version)?;
                old.version.saturating_add(1)
            }
            (None, false) => 1,
        };
        self.check_promise(&lead, &progress, &promise, cx.wall)?;
        let at = promise.at;
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(at);
        progress.callback = Some(Callback { told: false, version, ..promise.clone() });
        self.take_back(cx, &lead, &progress);
        self.lead_due(lead.list, at);
        self.watch_callback(cx, at);
        let about = About {
            campaign: promise.campaign,
            lead: Some(lead.id),
            agent: promise.agent,
            ..About::default()
        };
        self.tell(cx, about, Event::LeadCallbackSet { at, agent: promise.agent, notes: promise.notes });
        Ok(Reply::Callback(lead.id, version))
    }

    /// Takes a promise back. A lead that was never reached goes on being dialled.
    pub(crate) fn cancel_callback(
        &mut self,
        cx: &mut Cx<'_>,
        lead: &Lead,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let mut progress = self.free_progress(lead)?;
        let Some(promise) = progress.callback.take() else {
            return Err(CommandError::NotFound { what: "callback" });
        };
        check_version(promise.version, if_version)?;
        let reached = progress.outcomes.contains_key(&crate::outcome::Outcome::Connected);
        progress.state = match progress.attempts {
            _ if reached => LeadState::Done,
            0 => LeadState::New,
            _ => LeadState::RetryWait,
        };
        progress.next_at = None;
        self.take_back(cx, lead, &progress);
        if !reached {
            self.leads_may_be_there(cx, &[lead.list]);
        }
        let about = About {
            campaign: promise.campaign,
            lead: Some(lead.id),
            agent: promise.agent,
            ..About::default()
        };
        self.tell(cx, about, Event::LeadCallbackCancelled { at: promise.at, agent: promise.agent });
        Ok(Reply::Done)
    }

    /// The newest progress of a lead that is not being called and that no agent looks at.
    fn free_progress(&self, lead: &Lead) -> Result<LeadProgress, CommandError> {
        let waits = |holder| self.campaigns.get(&holder).is_some_and(|of| of.hopper.holds(lead.id));
        match self.leads.holder(lead.id) {
            Some(holder) if !waits(holder) => {
                let detail = "the lead is being called, or an agent looks at it".into();
                Err(CommandError::InvalidState { detail })
            }
            _ => Ok(self.leads.newest(lead.id).unwrap_or(&lead.progress).clone()),
        }
    }

    fn check_promise(
        &self,
        lead: &Lead,
        progress: &LeadProgress,
        promise: &Callback,
        now: WallTime,
    ) -> Result<(), CommandError> {
        if progress.state == LeadState::Dnc {
            let detail = "the lead is on a do-not-call list".into();
            return Err(CommandError::Compliance { rule: "dnc", detail });
        }
        if promise.at <= now || promise.at > now.plus_millis(AHEAD_MS_MAX) {
            return invalid("/at", "a time in the future, within a year");
        }
        if lead.expires_at.is_some_and(|expires_at| expires_at <= promise.at) {
            return invalid("/at", "a time before the lead expires");
        }
        if promise.agent.is_some_and(|agent| !self.agents.contains_key(&agent)) {
            return invalid("/agent_id", "the id of an existing agent");
        }
        let dials = |id| {
            self.campaigns
                .get(&id)
                .is_some_and(|of: &super::Campaign| of.row.config.lists.contains(&lead.list))
        };
        if promise.campaign.is_some_and(|id| !dials(id)) {
            return invalid("/campaign_id", "the id of a campaign that dials the lead's list");
        }
        if promise.notes.as_ref().is_some_and(|notes| notes.chars().count() > HISTORY_NOTES_MAX) {
            return invalid("/notes", format_args!("text of at most {HISTORY_NOTES_MAX} characters"));
        }
        Ok(())
    }

    /// Gives a lead its new progress, out of the hopper it may wait in.
    fn take_back(&mut self, cx: &mut Cx<'_>, lead: &Lead, progress: &LeadProgress) {
        if let Some(holder) = self.leads.holder(lead.id) {
            self.campaigns.get_mut(&holder).and_then(|campaign| campaign.hopper.take(lead.id));
            self.dirty.campaigns.insert(holder);
            self.leads.release(lead.id);
        }
        self.leads.moved(progress);
        self.journal(cx, vec![Record::LeadChanged(progress.clone())]);
    }
}

/// Milliseconds from now, at least one.
fn millis_until(now: WallTime, at: WallTime) -> u64 {
    u64::try_from(at.millis_since(now)).unwrap_or(0).max(1)
}
