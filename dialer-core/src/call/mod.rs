//! The life of one call, step by step; one file per step.
//!
//! | state | waits for | goes on to |
//! |---|---|---|
//! | `Queued` | its attempt to be durable and the INVITE to leave | `Dialing` |
//! | `CallingAgent` | the agent's phone (click-to-call) | `Queued`, `Ending` |
//! | `Dialing` | ringing | `Ringing`, `Waiting`, `Ending` |
//! | `Ringing` | the answer (an agent may listen already) | `Waiting`, `Offering`, `Ending` |
//! | `Waiting` | the machine verdict, then an agent | `Offering`, `Message`, `Ending` |
//! | `Offering` | the agent's leg and the bridge | `Bridged`, `Waiting`, `Message`, `Ending` |
//! | `Bridged` | someone to hang up | `Parked`, `Ending` |
//! | `Parked` | somebody to take the customer back | `Offering`, `Ending` |
//! | `Message` | the end of the safe-harbour or agentless message | `Ending` |
//! | `Ending` | the engine's word that all is gone | (record) |
//!
//! The engine's `Ended` closes a call from every state, exactly once; whatever comes afterwards finds nothing.
//!
//! ```text
//!  attempt.rs   start ──▶ progress.rs  dialled, ringing, early media
//!                               │ answered
//!                         answer.rs    machine? wait for an agent; none within the deadline: abandoned
//!                               │ agent chosen
//!                         early.rs     agents joined at ringing, and their hop; message.rs: no agent at all
//!                         turn.rs      a machine or an assistant, and what is said to it
//!                         connect.rs   session or ringing phone, missed offers, bridge, hold, digits
//!                         ring_all.rs  many phones at once, and the first to answer
//!                         tracked.rs   how commands with a name came out
//!                         park.rs      the customer is set aside
//!                         conduct.rs   supervisors, third parties, and what is done with a joined call from above
//!                               │ someone hangs up
//!                         end.rs       release all, record, retry ──▶ late.rs  recording, disposition
//! ```
//!
//! Calls that only pass through have no steps here: transit.rs.

mod answer;
mod conduct;
mod connect;
mod early;
mod end;
mod fork;
mod late;
mod media;
mod message;
mod originate;
mod outcome;
mod park;
mod progress;
mod recording;
mod ring_all;
mod taps;
mod tracked;
mod transfer;
mod transit;
mod turn;
mod verbs;

pub(crate) use conduct::Participant;
pub(crate) use late::{EndedCall, EndedCalls, Noted};
pub(crate) use outcome::{End, conclude};
pub(crate) use recording::RunningRecording;
pub(crate) use taps::Taps;
pub(crate) use tracked::TrackedCommand;
pub(crate) use transit::{TransitCall, TransitViews};

use crate::config::{AmdMode, DialMode};
use crate::dialer::{About, Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, AttemptId, CallId, CampaignId, TrunkId};
use crate::input::CallFact;
use crate::outcome::{AmdVerdict, EarlyMediaClass, EndCause, Evidence, Outcome, Party};
use crate::pacing::DialTraits;
use crate::record::{AmdDetail, CallKindTag, Callback, EarlyMediaDetail, EndReason, Lead, LegMedia};
use crate::view::CallState;
use sansio::{Instant, TimerKey, WallTime};

/// A point in time on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: WallTime,
}

/// Where a live answer stands with the abandonment ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LedgerEntryState {
    /// Nothing to enter (yet).
    #[default]
    Open,
    /// Joined in time, but a machine may still be heard.
    AwaitsVerdict,
    /// Entered.
    Entered,
}

/// A live call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) attempt: AttemptId,
    /// Its number for the pacer.
    pub(crate) number: u64,
    pub(crate) kind: CallKindTag,
    pub(crate) campaign: Option<CampaignId>,
    pub(crate) lead: Option<Lead>,
    pub(crate) number_of_attempt: u32,
    /// The agent reserved for it or joined to it.
    pub(crate) agent: Option<AgentId>,
    /// Agents besides that one whose phones ring for it: the first to answer gets it.
    pub(crate) rung_too: Vec<AgentId>,
    /// The last agent it had, for the record.
    pub(crate) last_agent: Option<AgentId>,
    pub(crate) trunk: TrunkId,
    pub(crate) to: String,
    pub(crate) caller_id: Option<String>,
    /// It is the number of its trunk, for want of another.
    pub(crate) shows_trunk: bool,
    /// It goes over the trunk that was asked for or not at all.
    pub(crate) trunk_fixed: bool,
    /// It goes over another trunk than the one that was chosen for it.
    pub(crate) moved: bool,
    /// The number of a pool that it holds from the attempt to its end.
    pub(crate) shown: Option<crate::caller_id::Shown>,
    /// What is particular of a call that came in.
    pub(crate) inbound: Option<Box<crate::inbound::InboundCall>>,
    /// What its campaign learns from it.
    pub(crate) tried: Option<crate::best_time::Tried>,
    pub(crate) mode: Option<DialMode>,
    /// What its chance of an answer may depend on.
    pub(crate) traits: DialTraits,
    pub(crate) ring_timeout_ms: Option<u32>,
    pub(crate) client_state: Option<String>,
    pub(crate) amd_mode: AmdMode,
    pub(crate) record_it: bool,
    /// A prompt that says so.
    pub(crate) notice: Option<String>,
    pub(crate) state: CallState,
    pub(crate) started: Moment,
    /// When the customer leg was ordered.
    pub(crate) dial_ordered: Option<Instant>,
    pub(crate) dialled: Option<Moment>,
    pub(crate) ringing: Option<Moment>,
    pub(crate) answered: Option<Moment>,
    /// Joined to an agent for the first time.
    pub(crate) bridged: Option<Moment>,
    /// Joined to its agent now, since then.
    pub(crate) joined: Option<Instant>,
    /// The talk with its agent is over, and lasted so long, milliseconds.
    pub(crate) talked_ms: Option<u64>,
    /// Its customer is set aside.
    pub(crate) parked: Option<park::Parked>,
    /// Its agent was joined while it rings.
    pub(crate) joined_early: bool,
    /// Its place in the queue for agents.
    pub(crate) waits_since: Option<Instant>,
    /// That it waits was told.
    pub(crate) queued_told: bool,
    pub(crate) early_media: Option<EarlyMediaClass>,
    pub(crate) amd: Option<AmdVerdict>,
    pub(crate) amd_detail: Option<AmdDetail>,
    /// What the customer's last word gave as its reason.
    pub(crate) reason: Option<EndReason>,
    pub(crate) early_media_detail: Option<EarlyMediaDetail>,
    /// How its legs sounded, as far as they have ended.
    pub(crate) media: Vec<LegMedia>,
    pub(crate) ledger: LedgerEntryState,
    pub(crate) abandoned: bool,
    /// The safe-harbour message was ordered then.
    pub(crate) message_since: Option<Instant>,
    pub(crate) safe_harbour_played: bool,
    /// Who hears the message has asked, by a key, not to be called again.
    pub(crate) opted_out: bool,
    /// A machine or an assistant speaks, or is spoken to.
    pub(crate) turn: Option<turn::Turn>,
    pub(crate) held_by: Option<Party>,
    /// Its agent has given the customer to this number or phone.
    pub(crate) transferred_to: Option<String>,
    /// Someone is being called to take the agent's place, over this trunk or at an agent's phone.
    pub(crate) transferring: Option<Option<TrunkId>>,
    /// Who has the agent's seat holds a channel of this trunk.
    pub(crate) guest_trunk: Option<TrunkId>,
    /// Who takes part besides customer and agent.
    pub(crate) participants: Vec<Participant>,
    /// … and did.
    pub(crate) left: Vec<crate::participant::ParticipantRecord>,
    /// The customer was put on hold from above.
    pub(crate) held: bool,
    /// Nobody hears the customer; nobody hears the agent.
    pub(crate) muted: (bool, bool),
    pub(crate) digits: String,
    /// Digits of the customer are being taken in.
    pub(crate) collecting: Option<Box<verbs::Collecting>>,
    /// The leg of who is asked while the customer is held.
    pub(crate) consulting: Option<crate::id::LegId>,
    pub(crate) taps: Taps,
    /// The customer leg exists.
    pub(crate) customer_leg: bool,
    /// Agent legs that were ordered and not told to have ended.
    pub(crate) agent_legs: u32,
    /// The pacer was told how dialling ended.
    pub(crate) resolved: bool,
    pub(crate) callback: Option<Callback>,
    /// What the agent said of it before it was over.
    pub(crate) said: Option<Noted>,
    /// Decided before the end was told: what became of it.
    pub(crate) conclusion: Option<(Outcome, Evidence)>,
    /// We ordered the end, with this cause, on behalf of this party.
    pub(crate) hung_up: Option<(EndCause, Party)>,
    /// The deadline of the present phase.
    pub(crate) timer: Option<TimerKey>,
    /// Place of its last event in its stream.
    pub(crate) seq: u32,
}

impl Call {
    /// The campaign whose line it takes: click-to-call is only counted for its campaign.
    pub(crate) fn line_of(&self) -> Option<CampaignId> {
        self.campaign.filter(|_| self.kind == CallKindTag::Campaign)
    }

    /// Dialled in a mode in which the pacer learns.
    pub(crate) fn is_paced(&self) -> bool {
        self.kind == CallKindTag::Campaign && crate::attempt::is_paced(self.mode)
    }

    /// The customer's number.
    pub(crate) fn customer_number(&self) -> &str {
        match self.kind {
            CallKindTag::Inbound => self.caller_id.as_deref().unwrap_or("anonymous"),
            _ => &self.to,
        }
    }

    /// An agent is looked for when one fails: dialled by a campaign, or came in.
    pub(crate) fn seeks_agents(&self) -> bool {
        matches!(self.kind, CallKindTag::Campaign | CallKindTag::Inbound)
    }

    /// What its next event is about.
    pub(crate) fn next_about(&mut self) -> About {
        self.seq += 1;
        About {
            tenant: None,
            call: Some(self.id),
            seq: Some(self.seq),
            campaign: self.campaign,
            lead: self.lead.as_ref().map(|lead| lead.id),
            agent: self.agent.or(self.last_agent),
            client_state: self.client_state.clone(),
            post_call: false,
        }
    }
}

impl Dialer {
    pub(crate) fn on_call(&mut self, cx: &mut Cx<'_>, fact: CallFact) {
        match fact {
            CallFact::InboundArrived { call, trunk, from, to, verstat } => {
                self.on_inbound_arrived(cx, call, trunk, (from.as_deref(), &to), verstat);
            }
            CallFact::Dialled { call } => self.on_dialled(cx, call),
            CallFact::Moved { call, trunk, caller_id, sip_code } => {
                self.on_moved(call, trunk, caller_id, sip_code);
            }
            CallFact::Ringing { call, early_media } => self.on_ringing(cx, call, early_media),
            CallFact::Progress { call, sip_code, early_media } => {
                self.on_progress(cx, call, sip_code, early_media);
            }
            CallFact::EarlyMedia { call, class, confidence, announcement } => {
                self.on_early_media(cx, call, class, confidence, announcement.as_deref());
            }
            CallFact::Answered { call } => self.on_answered(cx, call),
            CallFact::Amd { call, verdict, confidence, evidence, after_answer_ms } => {
                let detail = AmdDetail { evidence, confidence, after_answer_ms, left_ms: None };
                self.on_amd(cx, call, verdict, detail);
            }
            CallFact::Words { call, class, phrase } => self.on_words(cx, call, class, &phrase),
            CallFact::Turn { call, cue, after_answer_ms } => self.on_turn(cx, call, cue, after_answer_ms),
            CallFact::Audio { call, party, state, one_way } => {
                self.on_audio(cx, call, party, state, one_way);
            }
            CallFact::Media { call, media } => self.on_media(call, *media),
            CallFact::Reason { call, reason } => {
                if let Some(call) = self.calls.get_mut(&call) {
                    call.reason = Some(*reason);
                }
            }
            CallFact::AgentRinging { call, agent } => self.on_agent_ringing(call, agent),
            CallFact::AgentAnswered { call, agent } => self.on_agent_answered(cx, call, agent),
            CallFact::AgentFailed { call, agent, cause, sip_code: _ } => {
                self.on_agent_failed(cx, call, agent, cause);
            }
            CallFact::Bridged { call } => self.on_bridged(cx, call),
            CallFact::Dtmf { call, party, digit, duration_ms } => {
                self.on_dtmf(cx, call, party, digit, duration_ms);
            }
            CallFact::Held { call, party } => self.on_held(cx, call, party),
            CallFact::Resumed { call, party } => self.on_resumed(cx, call, party),
            CallFact::Transferred { call, agent, to } => self.on_transferred(cx, call, agent, to),
            CallFact::TransferFailed { call, to, sip_code } => {
                self.on_transfer_failed(cx, call, to, sip_code);
            }
            CallFact::ParticipantJoined { call, leg } => self.on_participant_joined(cx, call, leg),
            CallFact::ParticipantLeft { call, leg, cause, took_over } => {
                self.on_participant_left(cx, call, leg, cause, took_over);
            }
            CallFact::ForkStarted { call, fork } => self.on_fork_started(cx, call, fork),
            CallFact::ForkInterrupted { call, fork, reason } => {
                self.on_fork_interrupted(cx, call, fork, reason);
            }
            CallFact::ForkEnded { call, fork, cause, reason } => {
                self.on_fork_ended(cx, call, fork, cause, reason);
            }
            CallFact::MessagePlayed { call } => self.on_message_played(cx, call),
            CallFact::RecordingStarted { call, recording, file } => {
                self.on_recording_started(cx, call, recording, file);
            }
            CallFact::RecordingReady { call, recording, sound } => {
                self.on_recording_ready(cx, call, recording, sound);
            }
            CallFact::RecordingFailed { call, recording, reason } => {
                self.on_recording_failed(cx, call, recording, reason);
            }
            CallFact::LegEnded { call, party, cause, sip_code, q850 } => {
                self.on_leg_ended(cx, call, party, cause, sip_code, q850);
            }
            CallFact::Ended { call, by, cause, sip_code, q850 } => {
                self.finish(cx, call, End { by, cause, sip_code, q850 });
            }
            CallFact::TransitStarted { call, start } => self.on_transit_started(cx, call, start),
            CallFact::TransitMoved { call, to, sip_code } => self.on_transit_moved(cx, call, to, sip_code),
            CallFact::TransitRinging { call } => self.on_transit_ringing(cx, call),
            CallFact::TransitAnswered { call, at } => self.on_transit_answered(cx, call, at),
            CallFact::TransitEnded { from, record } => self.on_transit_ended(cx, from, *record),
        }
    }

    /// A call that is in no table yet.
    pub(crate) fn new_call(&mut self, cx: &Cx<'_>, kind: CallKindTag, trunk: TrunkId, to: String) -> Call {
        let id = CallId::generate(cx.wall, &mut self.ids);
        let attempt = AttemptId::generate(cx.wall, &mut self.ids);
        Call {
            id,
            attempt,
            number: self.next_number(),
            kind,
            campaign: None,
            lead: None,
            number_of_attempt: 0,
            agent: None,
            rung_too: Vec::new(),
            last_agent: None,
            trunk,
            to,
            caller_id: None,
            shows_trunk: false,
            trunk_fixed: false,
            moved: false,
            shown: None,
            inbound: None,
            tried: None,
            mode: None,
            traits: DialTraits::default(),
            ring_timeout_ms: None,
            client_state: None,
            amd_mode: AmdMode::Off,
            record_it: false,
            notice: None,
            state: CallState::Queued,
            started: Moment { at: cx.now, wall: cx.wall },
            dial_ordered: None,
            dialled: None,
            ringing: None,
            answered: None,
            bridged: None,
            joined: None,
            talked_ms: None,
            parked: None,
            joined_early: false,
            waits_since: None,
            queued_told: false,
            early_media: None,
            amd: None,
            amd_detail: None,
            reason: None,
            early_media_detail: None,
            media: Vec::new(),
            ledger: LedgerEntryState::Open,
            abandoned: false,
            message_since: None,
            safe_harbour_played: false,
            opted_out: false,
            turn: None,
            held_by: None,
            transferred_to: None,
            transferring: None,
            guest_trunk: None,
            participants: Vec::new(),
            left: Vec::new(),
            held: false,
            muted: (false, false),
            digits: String::new(),
            collecting: None,
            consulting: None,
            taps: Taps::default(),
            customer_leg: false,
            agent_legs: 0,
            resolved: false,
            callback: None,
            said: None,
            conclusion: None,
            hung_up: None,
            timer: None,
            seq: 0,
        }
    }

    /// Moves a call to another state, keeping its campaign's counts.
    pub(crate) fn set_call_state(&mut self, id: CallId, to: CallState) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let from = std::mem::replace(&mut call.state, to);
        self.dirty.calls.insert(id);
        if from != to
            && let Some(campaign) = call.line_of().and_then(|id| self.campaigns.get_mut(&id))
        {
            campaign.by_state[from as usize] -= 1;
            campaign.by_state[to as usize] += 1;
            self.dirty.campaigns.insert(campaign.row.id);
        }
    }

    /// Sets the deadline of the call's present phase; the one before is void.
    pub(crate) fn set_call_timer(&mut self, now: Instant, id: CallId, after_ms: Option<u64>) {
        let timer = after_ms.map(|ms| self.arm(now, ms, Why::Call(id)));
        let old = match self.calls.get_mut(&id) {
            Some(call) => std::mem::replace(&mut call.timer, timer),
            None => timer,
        };
        self.disarm(old);
    }

    /// Tells an event of a live call, with the next number of its stream.
    pub(crate) fn tell_call(&mut self, cx: &mut Cx<'_>, id: CallId, event: Event) {
        let about = match self.calls.get_mut(&id) {
            Some(call) => call.next_about(),
            None => {
                self.write_down_transit(cx, id);
                let Some(call) = self.transit.get_mut(&id) else { return };
                call.next_about(id)
            }
        };
        self.dirty.calls.insert(id);
        // Nobody waits, as a rule.
        let told = self.tracked.contains_key(&id).then(|| event.clone());
        self.tell(cx, about, event);
        if let Some(told) = told {
            self.settle_tracked(cx, id, &told);
        }
    }

    /// The present phase of a call has lasted as long as it may.
    pub(crate) fn on_call_timer(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timer = None;
        if call.parked.is_some() && call.state != CallState::Ending {
            return self.on_park_timer(cx, id);
        }
        if call.inbound.is_some() && call.state != CallState::Ending {
            return self.on_inbound_timer(cx, id);
        }
        match call.state {
            CallState::Waiting if call.amd_mode == AmdMode::BeforeBridge && call.amd.is_none() => {
                self.on_amd_overdue(cx, id);
            }
            CallState::Waiting | CallState::Offering => self.abandon(cx, id),
            CallState::Message => self.end_message(cx, id),
            CallState::Queued => self.dial_customer_now(cx, id),
            CallState::CallingAgent => self.on_agent_overdue(cx, id),
            CallState::Ending => self.force_over(cx, id),
            CallState::Dialing | CallState::Ringing | CallState::Bridged | CallState::Parked => {}
        }
    }
}
