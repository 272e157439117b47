//! Plain counts for the metrics; the edge turns them into Prometheus.

use crate::id::{CallerIdPoolId, CampaignId, InboundRouteId, TrunkId};
use crate::outcome::{AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, Outcome, Party};
use crate::record::{CallKindTag, CallRecord, LegMedia};
use crate::view::AgentState;
use std::collections::BTreeMap;

/// A histogram over fixed bounds, in seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets, ascending; one more bucket takes the rest.
    pub bounds: &'static [f64],
    /// How many fell into each bucket (not cumulated); one longer than `bounds`.
    pub buckets: Vec<u64>,
    /// Sum of all values.
    pub sum: f64,
    /// How many values.
    pub count: u64,
}

impl Histogram {
    /// Empty, with these bounds (ascending).
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Histogram { bounds, buckets: vec![0; bounds.len() + 1], sum: 0.0, count: 0 }
    }

    /// Adds a value, seconds.
    pub fn observe(&mut self, seconds: f64) {
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.buckets[place] += 1;
        self.sum += seconds;
        self.count += 1;
    }

    fn observe_ms(&mut self, ms: u64) {
        self.observe(ms as f64 / 1000.0);
    }
}

const BRIDGE_BOUNDS: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
const SETUP_BOUNDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0];
const TALK_BOUNDS: &[f64] = &[1.0, 3.0, 6.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
const WAIT_BOUNDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

const MOS_BOUNDS: &[f64] = &[1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.3, 4.4, 4.5, 5.0];
const LOSS_BOUNDS: &[f64] = &[0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const JITTER_BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];
const RTT_BOUNDS: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0];

/// Calls shorter than this (after the answer) count as short, milliseconds.
const SHORT_CALL_MS: u64 = 6_000;

/// An answer that comes sooner than this without ringing is suspicious: a phone has to be found and rung. Milliseconds.
const FALSE_ANSWER_WITHIN_MS: i64 = 3_000;
/// Someone who really answered is heard within so long, milliseconds.
const FALSE_ANSWER_SILENT_MS: i64 = 1_000;

/// Counts of one campaign over one trunk. `None` stands for calls without one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PathCounters {
    /// Dialled.
    pub attempts: u64,
    /// Answered by anyone or anything.
    pub answers: u64,
    /// Ended, by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 21],
}

/// Counts of one campaign.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CampaignCounters {
    /// Answered by a person (or what is treated as one).
    pub answers_human: u64,
    /// … by a machine.
    pub answers_machine: u64,
    /// … by a fax.
    pub answers_fax: u64,
    /// … by an assistant that asks who is calling; what was thought before is counted too.
    pub answers_screening: u64,
    /// … and the verdict was unsure.
    pub answers_unsure: u64,
    /// Live answers without an agent in time.
    pub abandoned: u64,
    /// Leads whose time had passed before they were reached.
    pub leads_expired: u64,
    /// People who asked by a key, while a message was played, not to be called again.
    pub opt_outs: u64,
}

/// Counts of one trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrunkCounters {
    /// Final SIP codes of customer legs.
    pub final_codes: BTreeMap<u16, u64>,
    /// Q.850 causes.
    pub q850: BTreeMap<u16, u64>,
    /// Answered calls shorter than six seconds.
    pub short_calls: u64,
    /// Answers that look false (see [`is_false_answer`]).
    pub false_answers: u64,
    /// Dials that found no free channel.
    pub rejects_capacity: u64,
    /// Dials put off because no further call could start this moment.
    pub rejects_cps: u64,
    /// Dials that found no trunk up.
    pub rejects_down: u64,
    /// Transit calls that came in here.
    pub transit: u64,
}

/// Counts of one pool of caller IDs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallerIdCounters {
    /// Calls that showed a number of it.
    pub calls: u64,
    /// Of these blocked by analytics, by final code.
    pub blocked: BTreeMap<u16, u64>,
    /// Numbers put into quarantine, in the order of [`QUARANTINE_REASONS`].
    pub quarantines: [u64; 4],
}

/// Counts of one route of inbound calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InboundCounters {
    /// Calls that came in.
    pub arrived: u64,
    /// Joined to an agent, by the step that brought the caller there: last agent, owner, group (also out of a menu).
    pub connected: [u64; 3],
    /// Ended without an agent.
    pub unanswered: u64,
}

/// Steps of a route that join callers to agents, in the order of [`InboundCounters::connected`].
pub const INBOUND_STEPS: [&str; 3] = ["last_agent", "owner", "group"];

/// Why numbers are in quarantine, in the order of [`CallerIdCounters::quarantines`].
pub const QUARANTINE_REASONS: [&str; 4] = ["answer_rate", "blocked", "by_hand", "reputation"];

/// What became of offers to the agents of one group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupCounters {
    /// Taken.
    pub offers_answered: u64,
    /// Rung out.
    pub offers_no_answer: u64,
    /// Declined.
    pub offers_rejected: u64,
    /// Could not be made.
    pub offers_failed: u64,
    /// Phones that did not answer OPTIONS any more …
    pub phones_lost: u64,
    /// … and that were there again.
    pub phones_back: u64,
    /// Taken by another of the agents who were rung.
    pub offers_taken_elsewhere: u64,
    /// Milliseconds spent in each state, in the order of [`AgentState::ALL`], as far as the states have ended.
    pub state_ms: [u64; 10],
}

/// How legs of one party over one trunk sounded.
#[derive(Clone, PartialEq, Debug)]
pub struct SoundCounters {
    /// Mean opinion scores of what came from it.
    pub mos: Histogram,
    /// Shares of packets lost on the way from it.
    pub loss: Histogram,
    /// Jitter of what came from it.
    pub jitter: Histogram,
    /// Round trips to it, of legs that reported.
    pub rtt: Histogram,
    /// Packets lost on the way from it.
    pub lost_in: u64,
    /// Packets lost on the way to it, as it reported.
    pub lost_out: u64,
}

impl Default for SoundCounters {
    fn default() -> Self {
        SoundCounters {
            mos: Histogram::new(MOS_BOUNDS),
            loss: Histogram::new(LOSS_BOUNDS),
            jitter: Histogram::new(JITTER_BOUNDS),
            rtt: Histogram::new(RTT_BOUNDS),
            lost_in: 0,
            lost_out: 0,
        }
    }
}

/// Times the sound of one party was missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LegCounters {
    /// It sent no packets while joined.
    pub no_packets: u64,
    /// It sent only silence while joined.
    pub no_sound: u64,
}

/// All counts since the node started. Only ever grow.
#[derive(Clone, PartialEq, Debug)]
pub struct Counters {
    /// By campaign and trunk.
    pub paths: BTreeMap<(Option<CampaignId>, Option<TrunkId>), PathCounters>,
    /// By campaign.
    pub campaigns: BTreeMap<CampaignId, CampaignCounters>,
    /// By pool of caller IDs.
    pub caller_ids: BTreeMap<CallerIdPoolId, CallerIdCounters>,
    /// By route of inbound calls.
    pub inbound: BTreeMap<InboundRouteId, InboundCounters>,
    /// Inbound calls that were not taken: draining, no room, records cannot be written.
    pub inbound_refused: u64,
    /// Time from our answer until a caller was joined to an agent.
    pub inbound_wait: Histogram,
    /// By trunk.
    pub trunks: BTreeMap<TrunkId, TrunkCounters>,
    /// By the agent's first group (empty: none).
    pub groups: BTreeMap<String, GroupCounters>,
    /// How legs sounded, by trunk (`None`: they are on none) and place in [`PARTIES`].
    pub sound: BTreeMap<(Option<TrunkId>, usize), SoundCounters>,
    /// Where sound was missing, in the order of [`PARTIES`].
    pub legs: [LegCounters; 5],
    /// Who ended calls: customer, agent, system, api, caller.
    pub ended_by: [u64; 5],
    /// INVITE to answer.
    pub setup: Histogram,
    /// INVITE to first ringing.
    pub pdd: Histogram,
    /// First ringing to answer or end.
    pub ring: Histogram,
    /// Bridge to end.
    pub talk: Histogram,
    /// Answer to bridge.
    pub answer_to_bridge: Histogram,
    /// Time an agent was ready before the next call was offered.
    pub agent_wait: Histogram,
    /// Safe-harbour messages played to their end.
    pub safe_harbour_played: u64,
    /// Agentless messages played to their end (or to a hang-up behind it).
    pub messages_played: u64,
    /// Messages left on machines, to their end.
    pub messages_left: u64,
    /// Agentless messages, and those to be left, whose prompt does not exist.
    pub messages_missing: u64,
    /// Early media heard, in the order of [`EARLY_MEDIA_CLASSES`].
    pub early_media: [u64; EARLY_MEDIA_CLASSES.len()],
    /// Machine-detection verdicts: human, machine, fax, unsure, screening.
    pub amd: [u64; 5],
    /// Time from answer to verdict.
    pub amd_decision: Histogram,
    /// Reservations ended because their time was over while the agent was rung: the bridge deadline of a dialled call, the
    /// ringing time of a caller's.
    pub reservations_expired: u64,
    /// Calls taken as over because the end that was ordered was never told.
    pub calls_forced_over: u64,
    /// Pacing decisions made.
    pub decisions: u64,
    /// Leads and calls that a rule kept from being dialled, in the order of [`RULES`].
    pub rule_hits: [u64; 4],
    /// Calls made although a rule forbids them.
    pub overrides: u64,
    /// Callbacks that fell due.
    pub callbacks_due: u64,
    /// Calls dialled in an hour that, as far as is known, is worse for the lead than others.
    pub best_time_explored: u64,
    /// Agents set free from a call whose end was never told.
    pub agents_unstuck: u64,
    /// Verdicts of machine detection that an agent has corrected: by verdict, by what the agent said, both in the order of
    /// [`AMD_VERDICTS`].
    pub amd_overruled: [[u64; 5]; 5],
    /// Bytes of complete recordings.
    pub recording_bytes: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            paths: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            caller_ids: BTreeMap::new(),
            inbound: BTreeMap::new(),
            inbound_refused: 0,
            inbound_wait: Histogram::new(WAIT_BOUNDS),
            trunks: BTreeMap::new(),
            groups: BTreeMap::new(),
            sound: BTreeMap::new(),
            legs: Default::default(),
            ended_by: [0; 5],
            setup: Histogram::new(SETUP_BOUNDS),
            pdd: Histogram::new(SETUP_BOUNDS),
            ring: Histogram::new(SETUP_BOUNDS),
            talk: Histogram::new(TALK_BOUNDS),
            answer_to_bridge: Histogram::new(BRIDGE_BOUNDS),
            agent_wait: Histogram::new(WAIT_BOUNDS),
            safe_harbour_played: 0,
            messages_played: 0,
            messages_left: 0,
            messages_missing: 0,
            early_media: [0; EARLY_MEDIA_CLASSES.len()],
            amd: [0; 5],
            amd_decision: Histogram::new(SETUP_BOUNDS),
            reservations_expired: 0,
            calls_forced_over: 0,
            decisions: 0,
            rule_hits: [0; 4],
            overrides: 0,
            callbacks_due: 0,
            best_time_explored: 0,
            agents_unstuck: 0,
            amd_overruled: [[0; 5]; 5],
            recording_bytes: 0,
        }
    }
}

/// The rules in the order of [`Counters::rule_hits`], by name.
pub const RULES: [&str; 4] = ["dnc", "calling_window", "time_zone_unknown", "frequency"];

/// The parties in the order of [`Counters::ended_by`].
pub const PARTIES: [Party; 5] = [Party::Customer, Party::Agent, Party::System, Party::Api, Party::Caller];

/// The classes in the order of [`Counters::early_media`], by name.
pub const EARLY_MEDIA_CLASSES: [&str; 14] = [
    "ringback",
    "busy",
    "congestion",
    "sit",
    "voice",
    "invalid_number",
    "suspended",
    "power_off",
    "unreachable",
    "in_call",
    "no_answer",
    "call_forbidden",
    "coloured_ringback",
    "screening",
];

/// The verdicts in the order of [`Counters::amd`], by name.
pub const AMD_VERDICTS: [&str; 5] = ["human", "machine", "fax", "unsure", "screening"];

impl Counters {
    pub(crate) fn rule_hit(&mut self, rule: &str) {
        if let Some(place) = RULES.iter().position(|known| *known == rule) {
            self.rule_hits[place] += 1;
        }
    }

    pub(crate) fn attempt(&mut self, campaign: Option<CampaignId>, trunk: TrunkId) {
        self.paths.entry((campaign, Some(trunk))).or_default().attempts += 1;
    }

    pub(crate) fn answer(&mut self, campaign: Option<CampaignId>, trunk: TrunkId, setup_ms: u64) {
        self.paths.entry((campaign, Some(trunk))).or_default().answers += 1;
        self.setup.observe_ms(setup_ms);
    }

    pub(crate) fn campaign(&mut self, campaign: CampaignId) -> &mut CampaignCounters {
        self.campaigns.entry(campaign).or_default()
    }

    pub(crate) fn trunk(&mut self, trunk: TrunkId) -> &mut TrunkCounters {
        self.trunks.entry(trunk).or_default()
    }

    pub(crate) fn group(&mut self, group: &str) -> &mut GroupCounters {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.into(), GroupCounters::default());
        }
        self.groups.get_mut(group).expect("just made")
    }

    pub(crate) fn inbound(&mut self, route: InboundRouteId) -> &mut InboundCounters {
        self.inbound.entry(route).or_default()
    }

    pub(crate) fn caller_id(&mut self, pool: CallerIdPoolId) -> &mut CallerIdCounters {
        self.caller_ids.entry(pool).or_default()
    }

    pub(crate) fn heard(&mut self, class: EarlyMediaClass) {
        self.early_media[match class {
            EarlyMediaClass::Ringback => 0,
            EarlyMediaClass::Busy => 1,
            EarlyMediaClass::Congestion => 2,
            EarlyMediaClass::Sit => 3,
            EarlyMediaClass::Voice => 4,
            EarlyMediaClass::InvalidNumber => 5,
            EarlyMediaClass::Suspended => 6,
            EarlyMediaClass::PowerOff => 7,
            EarlyMediaClass::Unreachable => 8,
            EarlyMediaClass::InCall => 9,
            EarlyMediaClass::NoAnswer => 10,
            EarlyMediaClass::CallForbidden => 11,
            EarlyMediaClass::ColouredRingback => 12,
            EarlyMediaClass::Screening => 13,
        }] += 1;
    }

    pub(crate) fn verdict(&mut self, campaign: Option<CampaignId>, verdict: AmdVerdict, after_ms: u64) {
        self.amd_decision.observe_ms(after_ms);
        let mut unknown = CampaignCounters::default();
        let campaign = match campaign {
            Some(campaign) => self.campaigns.entry(campaign).or_default(),
            None => &mut unknown,
        };
        let count = match verdict {
            AmdVerdict::Human => &mut campaign.answers_human,
            AmdVerdict::Machine => &mut campaign.answers_machine,
            AmdVerdict::Fax => &mut campaign.answers_fax,
            AmdVerdict::Unsure => &mut campaign.answers_unsure,
            AmdVerdict::Screening => &mut campaign.answers_screening,
        };
        *count += 1;
        self.amd[verdict_index(verdict)] += 1;
    }

    /// An agent heard who answered; a verdict that says otherwise was wrong.
    pub(crate) fn heard_by_agent(&mut self, verdict: Option<AmdVerdict>, heard: Option<AmdVerdict>) {
        if let (Some(verdict), Some(heard)) = (verdict, heard)
            && verdict != heard
        {
            self.amd_overruled[verdict_index(verdict)][verdict_index(heard)] += 1;
        }
    }

    pub(crate) fn agent_state(&mut self, group: &str, state: AgentState, ms: u64) {
        self.group(group).state_ms[state_index(state)] += ms;
    }

    pub(crate) fn audio(&mut self, party: Party, state: AudioState) {
        let leg = &mut self.legs[party_index(party)];
        match state {
            AudioState::Flowing => {}
            AudioState::NoPackets => leg.no_packets += 1,
            AudioState::NoSound => leg.no_sound += 1,
        }
    }

    fn leg_ended(&mut self, trunk: Option<TrunkId>, media: &LegMedia) {
        let sound = self.sound.entry((trunk, party_index(media.party))).or_default();
        sound.lost_in += u64::try_from(media.packets_lost).unwrap_or(0);
        let lost_out = f64::from(media.remote_loss.unwrap_or(0.0)) * media.packets_sent as f64;
        sound.lost_out += lost_out.round() as u64;
        if let Some(rtt_ms) = media.rtt_ms {
            sound.rtt.observe(f64::from(rtt_ms) / 1000.0);
        }
        // A leg that never sent anything has no sound to be judged.
        let Some(mos) = media.mos else { return };
        sound.mos.observe(f64::from(mos));
        sound.loss.observe(f64::from(media.loss));
        sound.jitter.observe(f64::from(media.jitter_ms) / 1000.0);
    }

    /// Counts all that the record of a call tells that has come in over a trunk and gone out over another.
    pub(crate) fn transit_ended(&mut self, record: &CallRecord, from: TrunkId) {
        self.ended(record, Some(from));
        self.trunk(from).transit += 1;
    }

    /// Counts all that a finished call's record tells.
    pub(crate) fn record_ended(&mut self, record: &CallRecord) {
        self.ended(record, None);
    }

    /// * `from` the trunk of the caller's leg, if any
    fn ended(&mut self, record: &CallRecord, from: Option<TrunkId>) {
        let path = self.paths.entry((record.campaign, record.trunk)).or_default();
        path.outcomes[outcome_index(record.outcome)] += 1;
        self.ended_by[party_index(record.ended_by)] += 1;
        for media in &record.media {
            let trunk = match media.party {
                Party::Customer => record.trunk,
                Party::Caller => from,
                Party::Agent | Party::System | Party::Api => None,
            };
            self.leg_ended(trunk, media);
        }
        if let Some(ms) = record.pdd_ms {
            self.pdd.observe_ms(ms);
        }
        if let Some(ms) = record.ring_ms {
            self.ring.observe_ms(ms);
        }
        if record.bridged_at.is_some() {
            self.talk.observe_ms(record.talk_ms);
        }
        if let Some(trunk) = record.trunk {
            let answered_ms = record.answered_at.map(|at| record.ended_at.millis_since(at).max(0) as u64);
            let trunk = self.trunk(trunk);
            trunk.said(record.sip_code);
            if let Some(cause) = record.q850 {
                *trunk.q850.entry(cause).or_default() += 1;
            }
            trunk.false_answers += u64::from(is_false_answer(record));
            trunk.short_calls += u64::from(answered_ms.is_some_and(|ms| ms < SHORT_CALL_MS));
        }
    }
}

impl TrunkCounters {
    /// A final code, if it said one.
    fn said(&mut self, sip_code: Option<u16>) {
        if let Some(code) = sip_code {
            *self.final_codes.entry(code).or_default() += 1;
        }
    }
}

impl Counters {
    /// A call goes to another trunk than this one, which said so.
    pub(crate) fn left_trunk(&mut self, trunk: TrunkId, sip_code: Option<u16>) {
        self.trunk(trunk).said(sip_code);
    }
}

/// Whether a carrier may have answered in the callee's place, to be paid for a call that nobody took: the answer came
/// within three seconds of the dialling, without a word of ringing or any sound before it, and then nothing was heard
/// for as long as the call lasted, a second at least: no packet, or nothing but silence. Calls that came in or passed
/// through are never suspected, nor is one whose sound did not go through us.
#[must_use]
pub fn is_false_answer(record: &CallRecord) -> bool {
    let dialled = matches!(record.kind, CallKindTag::Campaign | CallKindTag::ClickToCall);
    let unannounced = record.ringing_at.is_none() && record.early_media.is_none();
    let (Some(answered_at), true, true) = (record.answered_at, dialled, unannounced) else { return false };
    let soon = answered_at.millis_since(record.started_at) < FALSE_ANSWER_WITHIN_MS;
    let lasted = record.ended_at.millis_since(answered_at) >= FALSE_ANSWER_SILENT_MS;
    let silent = |leg: &LegMedia| {
        let waits = record.amd_detail.is_some_and(|detail| detail.evidence == AmdEvidence::InitialSilence);
        leg.packets_received == 0 || leg.audio == AudioState::NoSound || waits
    };
    let mut customer = record.media.iter().filter(|leg| leg.party == Party::Customer).peekable();
    soon && lasted && customer.peek().is_some() && customer.all(silent)
}

const fn verdict_index(verdict: AmdVerdict) -> usize {
    match verdict {
        AmdVerdict::Human => 0,
        AmdVerdict::Machine => 1,
        AmdVerdict::Fax => 2,
        AmdVerdict::Unsure => 3,
        AmdVerdict::Screening => 4,
    }
}

fn party_index(party: Party) -> usize {
    PARTIES.iter().position(|known| *known == party).expect("all parties are listed")
}

/// The place of an outcome in [`Outcome::ALL`].
#[must_use]
pub fn outcome_index(outcome: Outcome) -> usize {
    Outcome::ALL.iter().position(|known| *known == outcome).expect("ALL holds every outcome")
}

/// The place of a state in [`AgentState::ALL`].
#[must_use]
pub fn state_index(state: AgentState) -> usize {
    AgentState::ALL.iter().position(|known| *known == state).expect("ALL holds every state")
}
