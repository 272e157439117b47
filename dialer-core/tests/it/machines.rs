//! Machines that are left a message, and assistants that are answered.

use crate::house::House;
use crate::ladder::one_call;
use dialer_core::config::{AmdMode, CampaignConfig};
use dialer_core::machine::{AssistantThen, MachinePolicy};
use dialer_core::outcome::{
    AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Outcome, Party, TurnCue,
};
use dialer_core::record::LegMedia;
use dialer_core::{CallFact, CallId, CallOrder};

fn verdict(house: &mut House, call: CallId, verdict: AmdVerdict, evidence: AmdEvidence) {
    house.call_fact(CallFact::Amd { call, verdict, confidence: 0.9, evidence, after_answer_ms: 3_000 });
}

fn turn(house: &mut House, call: CallId, cue: TurnCue) {
    house.pass(4_000);
    house.call_fact(CallFact::Turn { call, cue, after_answer_ms: 7_000 });
}

fn played(house: &House) -> Vec<&str> {
    fn prompt(order: &CallOrder) -> Option<&str> {
        match order {
            CallOrder::Play { prompt, .. } => Some(prompt),
            _ => None,
        }
    }
    house.orders.iter().filter_map(prompt).collect()
}

fn with(amd: AmdMode, policy: MachinePolicy) -> (House, CallId) {
    let (house, _, call) = one_call(|config: &mut CampaignConfig| {
        config.amd = amd;
        *config.machine_policy = policy;
    });
    (house, call)
}

fn leaving() -> MachinePolicy {
    MachinePolicy { leave: Some("leave".into()), ..MachinePolicy::default() }
}

fn answering(then: AssistantThen) -> MachinePolicy {
    MachinePolicy { say: Some("say".into()), then, ..MachinePolicy::default() }
}

#[test]
fn a_message_is_left_behind_the_beep_and_the_agent_is_free_before() {
    let (mut house, call) = with(AmdMode::Async, leaving());
    house.join(call);
    verdict(&mut house, call, AmdVerdict::Machine, AmdEvidence::LongGreeting);
    assert!(house.orders.iter().any(|order| matches!(order, CallOrder::ReleaseAgent { .. })));
    assert!(!house.hung_up(call) && played(&house).is_empty(), "it still speaks");
    turn(&mut house, call, TurnCue::Beep);
    assert_eq!(played(&house), ["leave"]);
    house.pass(6_000);
    house.call_fact(CallFact::MessagePlayed { call });
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::Normal);
    let record = house.record(call);
    assert_eq!(record.outcome, Outcome::Machine);
    assert_eq!(record.amd_detail.and_then(|detail| detail.left_ms), Some(4_000));
    assert!(!record.safe_harbour_played);
    assert!(house.store.ledger.is_empty(), "no live answer");
    assert_eq!(house.dialer.counters().messages_left, 1);
}

#[test]
fn a_beep_that_tells_the_machine_is_the_turn_too_and_no_prompt_is_no_message() {
    let (mut house, call) = with(AmdMode::BeforeBridge, leaving());
    house.answer(call);
    verdict(&mut house, call, AmdVerdict::Machine, AmdEvidence::Beep);
    assert_eq!(played(&house), ["leave"]);
    house.call_fact(CallFact::MessagePlayed { call });
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).amd_detail.and_then(|detail| detail.left_ms), None);
    assert_eq!(house.dialer.counters().messages_missing, 1);
}

#[test]
fn what_asks_and_then_is_silent_is_an_assistant_and_is_answered() {
    let (mut house, call) = with(AmdMode::BeforeBridge, answering(AssistantThen::Hangup));
    house.answer(call);
    verdict(&mut house, call, AmdVerdict::Machine, AmdEvidence::LongGreeting);
    turn(&mut house, call, TurnCue::Silence);
    assert_eq!(played(&house), ["say"]);
    house.pass(3_000);
    house.call_fact(CallFact::MessagePlayed { call });
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::Normal);
    let record = house.record(call);
    assert_eq!((record.outcome, record.amd), (Outcome::Screening, Some(AmdVerdict::Screening)));
    assert_eq!(record.amd_detail.map(|detail| detail.evidence), Some(AmdEvidence::WaitsForAnswer));

    let (mut house, call) = with(AmdMode::BeforeBridge, answering(AssistantThen::Hangup));
    house.answer(call);
    verdict(&mut house, call, AmdVerdict::Machine, AmdEvidence::LongGreeting);
    turn(&mut house, call, TurnCue::Beep);
    assert!(played(&house).is_empty() && house.hung_up(call), "a beep is a machine's");
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::Machine);
}

#[test]
fn an_assistant_that_was_answered_gets_an_agent() {
    let (mut house, call) = with(AmdMode::BeforeBridge, answering(AssistantThen::Agent));
    house.answer(call);
    verdict(&mut house, call, AmdVerdict::Screening, AmdEvidence::Announcement);
    turn(&mut house, call, TurnCue::Silence);
    house.pass(3_000);
    assert!(!house.orders.iter().any(|order| matches!(order, CallOrder::Bridge { .. })));
    house.call_fact(CallFact::MessagePlayed { call });
    house.pass(100);
    house.call_fact(CallFact::Bridged { call });
    house.pass(1_000);
    house.end(call, Party::Customer, EndCause::Normal);
    let record = house.record(call);
    assert_eq!((record.outcome, record.amd), (Outcome::Connected, Some(AmdVerdict::Screening)));
}

#[test]
fn an_agent_who_is_there_answers_the_assistant_or_is_free_when_it_is_to_be_hung_up_on() {
    let then = MachinePolicy { then: AssistantThen::Agent, ..MachinePolicy::default() };
    let (mut house, call) = with(AmdMode::Async, then);
    house.join(call);
    verdict(&mut house, call, AmdVerdict::Human, AmdEvidence::ShortGreeting);
    verdict(&mut house, call, AmdVerdict::Screening, AmdEvidence::Announcement);
    assert!(!house.hung_up(call));
    house.end(call, Party::Customer, EndCause::Normal);
    let record = house.record(call);
    assert_eq!((record.outcome, record.amd), (Outcome::Connected, Some(AmdVerdict::Screening)));

    let (mut house, call) = with(AmdMode::Async, MachinePolicy::default());
    house.join(call);
    verdict(&mut house, call, AmdVerdict::Screening, AmdEvidence::Announcement);
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::Screening);
}

#[test]
fn a_turn_that_never_comes_ends_the_call() {
    let (mut house, call) = with(AmdMode::BeforeBridge, leaving());
    house.answer(call);
    verdict(&mut house, call, AmdVerdict::Machine, AmdEvidence::LongGreeting);
    house.pass(60_000);
    assert!(house.hung_up(call));
}

/// An answer that came so and so long after the dialling, and what was then heard until the end.
struct Answered {
    rings: bool,
    early: bool,
    setup_ms: u64,
    lasts_ms: u64,
    packets: u64,
    waits: bool,
}

fn suspected(what: &Answered) -> u64 {
    let (mut house, call) = with(AmdMode::Async, MachinePolicy::default());
    house.call_fact(CallFact::Dialled { call });
    if what.rings {
        house.call_fact(CallFact::Ringing { call, early_media: false });
    }
    if what.early {
        let (class, confidence) = (EarlyMediaClass::Ringback, 0.9);
        house.call_fact(CallFact::EarlyMedia { call, class, confidence, announcement: None });
    }
    house.pass(what.setup_ms);
    house.call_fact(CallFact::Answered { call });
    house.call_fact(CallFact::Bridged { call });
    if what.waits {
        verdict(&mut house, call, AmdVerdict::Unsure, AmdEvidence::InitialSilence);
    }
    house.pass(what.lasts_ms);
    let leg = LegMedia {
        party: Party::Customer,
        codec: "PCMA".into(),
        packets_received: what.packets,
        packets_lost: 0,
        packets_sent: 50,
        loss: 0.0,
        jitter_ms: 0.0,
        jitter_ms_max: 0.0,
        rtt_ms: None,
        remote_loss: None,
        remote_jitter_ms: None,
        mos: None,
        remote_mos: None,
        audio: AudioState::Flowing,
    };
    house.call_fact(CallFact::Media { call, media: Box::new(leg) });
    house.end(call, Party::Customer, EndCause::Normal);
    let trunk = house.record(call).trunk.expect("it was dialled");
    house.dialer.counters().trunks[&trunk].false_answers
}

#[test]
fn an_answer_at_once_unannounced_and_then_silent_is_suspected_to_be_nobodys() {
    let false_answer =
        || Answered { rings: false, early: false, setup_ms: 400, lasts_ms: 4_000, packets: 0, waits: false };
    assert_eq!(suspected(&false_answer()), 1);
    assert_eq!(suspected(&Answered { packets: 200, waits: true, ..false_answer() }), 1, "silence is sent");
    // Each sign alone makes it an answer like others.
    assert_eq!(suspected(&Answered { rings: true, ..false_answer() }), 0);
    assert_eq!(suspected(&Answered { early: true, ..false_answer() }), 0);
    assert_eq!(suspected(&Answered { setup_ms: 3_100, ..false_answer() }), 0);
    assert_eq!(suspected(&Answered { lasts_ms: 500, ..false_answer() }), 0);
    assert_eq!(suspected(&Answered { packets: 200, ..false_answer() }), 0);
}
