//! One path at a time, as readable lines.

use crate::house::{House, START, request, transit_start};
use dialer_core::config::{
    AmdMode, CallingHours, CampaignConfig, DialMode, RetryRule, SessionKind, TrunkConfig,
};
use dialer_core::fork::{ForkConfig, ForkEnd, ForkFormat, ForkSpeech, ForkTracks};
use dialer_core::outcome::{
    AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Evidence, Outcome, Party,
};
use dialer_core::participant::CallWish;
use dialer_core::record::{CallKindTag, CallRecord, LeadState, LegMedia};
use dialer_core::recording::{PauseBehavior, RecordWish, RecordedFile};
use dialer_core::view::{CallState, LimitedBy};
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, Command, CommandError, DialerConfig, Event, Input,
    LeadId, ListId, OriginateRequest, Reply, TransitStart, TrunkId,
};
use expect_test::{Expect, expect};
use sansio::Duration;
use std::collections::BTreeMap;

pub(crate) fn check(house: &mut House, expected: &Expect) {
    expected.assert_eq(&house.log());
}

pub(crate) fn progressive(list: ListId) -> CampaignConfig {
    CampaignConfig {
        name: "renewals".into(),
        mode: DialMode::Progressive,
        lists: vec![list],
        ..CampaignConfig::default()
    }
}

#[test]
fn a_progressive_call_from_start_to_wrap_up() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(2);
    let campaign = house.campaign(progressive(list));
    house.log();
    house.command(Command::StartCampaign(campaign)).unwrap();
    check(
        &mut house,
        &expect![[r#"
            0.000  journal CampaignPut
            0.000  event   campaign.started
            0.000  load    500 leads
            0.000  event   campaign.pacing dialing 0 target 0 limited by hopper
            0.000  reply   Campaign(camp1, 2)
        "#]],
    );
    house.pass(50);
    let call = house.last_dialled();
    house.pass(300);
    house.call_fact(CallFact::Dialled { call });
    house.pass(2000);
    house.call_fact(CallFact::Ringing { call, early_media: false });
    house.pass(5000);
    house.call_fact(CallFact::Answered { call });
    house.pass(4);
    house.call_fact(CallFact::Bridged { call });
    check(
        &mut house,
        &expect![[r#"
            0.050  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            0.050  order   DialCustomer { call: call1, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000001", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.050  event   call.created #1
            0.350  event   call.dialing #2
            1.000  event   campaign.pacing dialing 1 target 1 limited by agents
            2.350  event   call.ringing #3
            7.350  event   call.answered #4
            7.350  event   call.agent_offered #5
            7.350  order   UseSession { call: call1, agent: anna }
            7.350  order   Bridge { call: call1, tone: true, record: Some(rec1) }
            7.350  event   agent.state ready -> reserved (offered)
            7.350  event   campaign.pacing dialing 0 target 0 limited by agents
            7.354  event   agent.state reserved -> talking (bridged)
            7.354  journal Ledger(live)
            7.354  event   call.bridged #6 after Some(4) ms
        "#]],
    );
    house.pass(60_000);
    house.call_fact(CallFact::LegEnded {
        call,
        party: Party::Customer,
        cause: EndCause::Normal,
        sip_code: None,
        q850: None,
    });
    house.end(call, Party::Customer, EndCause::Normal);
    check(
        &mut house,
        &expect![[r#"
            9.000  event   campaign.pacing dialing 0 target 0 limited by agents
            60.000  journal PacerSketch
            67.354  event   call.unbridged #7
            67.354  event   leg.ended #8 customer normal
            67.354  event   leg.ended #9 agent normal
            67.354  event   agent.state talking -> wrap_up (call_ended)
            67.354  journal CallEnded(connected) LeadChanged(done, 1 attempts)
            67.354  event   call.ended #10 connected
            67.354  event   lead.updated #11 (late) done
            67.354  event   campaign.pacing dialing 0 target 0 limited by agents
        "#]],
    );
    house.pass(20_000);
    check(
        &mut house,
        &expect![[r#"
            87.354  journal WrapUpEnded(20000)
            87.354  event   agent.state wrap_up -> ready (wrap_up_over)
            87.354  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            87.354  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            87.354  event   call.created #1
            87.354  event   campaign.pacing dialing 1 target 1 limited by agents
        "#]],
    );
}

/// A house with one agent and one running progressive campaign, whose first call is dialled.
pub(crate) fn one_call(change: impl FnOnce(&mut CampaignConfig)) -> (House, AgentId, CallId) {
    let mut house = House::new();
    house.plain_trunk();
    let agent = house.ready_agent("anna");
    let list = house.list(3);
    let mut config = progressive(list);
    config.record = false;
    change(&mut config);
    house.running(config);
    house.pass(60);
    let call = house.last_dialled();
    house.log();
    (house, agent, call)
}

fn legs_end(house: &mut House, call: CallId, by: Party) {
    house.call_fact(CallFact::LegEnded {
        call,
        party: by,
        cause: EndCause::Normal,
        sip_code: None,
        q850: None,
    });
    house.end(call, by, EndCause::Normal);
}

#[test]
fn a_busy_number_is_tried_again_by_the_rule() {
    let (mut house, _, call) = one_call(|config| {
        config.retry = vec![RetryRule::new(Outcome::Busy, 90_000, 1)];
    });
    house.call_fact(CallFact::Dialled { call });
    house.pass(500);
    house.call_fact(CallFact::Ended {
        call,
        by: Party::Customer,
        cause: EndCause::Busy,
        sip_code: Some(486),
        q850: Some(17),
    });
    check(
        &mut house,
        &expect![[r#"
            0.060  event   call.dialing #2
            0.560  event   leg.ended #3 customer busy
            0.560  journal CallEnded(busy) LeadChanged(retry_wait, 1 attempts, in 90 s)
            0.560  event   call.ended #4 busy
            0.560  event   lead.updated #5 (late) retry_wait
            0.560  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            0.560  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.560  event   call.created #1
        "#]],
    );
    // The next lead is on its way at once; the first one comes back after 90 seconds.
    let lead = house.record(call).lead.unwrap();
    assert_eq!(house.store.leads[&lead].progress.state, LeadState::RetryWait);
    for _ in 0..2 {
        let other = house.last_dialled();
        house.end(other, Party::Customer, EndCause::InvalidNumber);
        house.pass(200);
    }
    house.pass(85_000);
    let before = house.dialled().len();
    house.pass(10_000);
    assert_eq!(house.dialled().len(), before + 1);
    let again = house.last_dialled();
    house.end(again, Party::Customer, EndCause::Busy);
    assert_eq!(house.record(again).number_of_attempt, 2);
    assert_eq!(house.store.leads[&lead].progress.state, LeadState::Exhausted);
}

#[test]
fn no_agent_in_time_is_abandoned_with_the_message() {
    let (mut house, agent, call) = one_call(|_| {});
    house.call_fact(CallFact::Dialled { call });
    house.call_fact(CallFact::Ringing { call, early_media: false });
    house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
    house.log();
    house.call_fact(CallFact::Answered { call });
    house.pass(1_999);
    check(
        &mut house,
        &expect![[r#"
            0.060  event   call.answered #4
            0.060  event   call.queued #5
            1.000  event   campaign.pacing dialing 0 target 0 limited by agents
        "#]],
    );
    house.pass(1);
    check(
        &mut house,
        &expect![[r#"
            2.060  journal Ledger(abandoned)
            2.060  event   campaign.abandon_cap_reached
            2.060  order   Play { call: call1, prompt: "safe_harbour", repeat: false }
            2.060  event   call.safe_harbour #6
            2.060  event   campaign.pacing dialing 0 target 0 limited by agents
        "#]],
    );
    // An agent who becomes ready now is too late for this call.
    house.command(Command::AgentReady(agent)).unwrap();
    house.pass(6_000);
    house.log();
    house.call_fact(CallFact::MessagePlayed { call });
    house.end(call, Party::System, EndCause::Normal);
    check(
        &mut house,
        &expect![[r#"
            8.060  order   Hangup { call: call1, cause: Normal, by: System }
            8.060  event   leg.ended #7 customer normal
            8.060  journal CallEnded(abandoned) LeadChanged(retry_wait, 1 attempts, in 86408 s)
            8.060  event   call.ended #8 abandoned
            8.060  event   lead.updated #9 (late) retry_wait
        "#]],
    );
    let record = house.record(call);
    assert!(record.abandoned && record.safe_harbour_played);
    let lead = &house.store.leads[&record.lead.unwrap()].progress;
    let lock = lead.agent_guaranteed_until.unwrap();
    assert_eq!(lock.millis_since(START) / 3_600_000, 72);
}

#[test]
fn an_agent_who_comes_in_time_gets_the_call_that_waited_longest() {
    let mut house = House::new();
    house.plain_trunk();
    let agents = ["anna", "bert"].map(|name| house.ready_agent(name));
    let list = house.list(2);
    house.running(progressive(list));
    house.pass(200);
    let calls = house.dialled();
    for agent in agents {
        house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
    }
    house.answer(calls[1]);
    house.pass(500);
    house.answer(calls[0]);
    house.pass(500);
    house.log();
    house.command(Command::AgentReady(agents[0])).unwrap();
    let used = |call: CallId| move |order: &CallOrder| matches!(order, CallOrder::UseSession { call: c, .. } if *c == call);
    assert!(house.orders.iter().any(used(calls[1])));
    assert!(!house.orders.iter().any(used(calls[0])));
    house.call_fact(CallFact::Bridged { call: calls[1] });
    house.pass(1_400);
    house.command(Command::AgentReady(agents[1])).unwrap();
    assert!(house.orders.iter().any(used(calls[0])));
    house.call_fact(CallFact::Bridged { call: calls[0] });
    assert!(house.store.ledger.iter().all(|entry| !entry.abandoned) && house.store.ledger.len() == 2);
}

#[test]
fn a_callee_who_hangs_up_before_the_deadline_is_neither_live_nor_abandoned() {
    let (mut house, agent, call) = one_call(|_| {});
    house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
    house.answer(call);
    house.pass(1_500);
    legs_end(&mut house, call, Party::Customer);
    let record = house.record(call);
    assert_eq!((record.outcome, record.abandoned), (Outcome::Rejected, false));
    assert!(house.store.ledger.is_empty());
    assert_eq!(house.dialer.alive().calls, 0);
}

#[test]
fn a_phone_that_is_not_picked_up_gives_way_to_the_next_agent() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.on_demand_agent("anna");
    house.pass(10);
    let bert = house.on_demand_agent("bert");
    let list = house.list(2);
    house.running(CampaignConfig { record: false, ..progressive(list) });
    house.pass(60);
    let call = house.dialled()[0];
    house.log();
    house.answer(call);
    house.pass(700);
    let cause = EndCause::Rejected;
    house.call_fact(CallFact::AgentFailed { call, agent: anna, cause, sip_code: Some(603) });
    house.pass(300);
    house.call_fact(CallFact::AgentRinging { call, agent: bert });
    house.pass(200);
    house.call_fact(CallFact::AgentAnswered { call, agent: bert });
    house.call_fact(CallFact::Bridged { call });
    check(
        &mut house,
        &expect![[r#"
            0.070  event   call.dialing #2
            0.070  event   call.ringing #3
            0.070  event   call.answered #4
            0.070  event   call.agent_offered #5
            0.070  order   RingAgent { call: call1, agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "+493****0001" }, ring_timeout_ms: 8000 }
            0.070  event   agent.state ready -> ringing (offered)
            0.160  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            0.160  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.160  event   call.created #1
            0.770  event   agent.missed_offer #6 rejected
            0.770  event   agent.state ringing -> unreachable (missed_offer)
            0.770  event   call.agent_offered #7
            0.770  order   RingAgent { call: call1, agent: bert, way: Phone { agent: bert, auto_answer: Default, display: "+493****0001" }, ring_timeout_ms: 8000 }
            0.770  event   agent.state ready -> ringing (offered)
            1.010  event   campaign.pacing dialing 1 target 1 limited by agents
            1.270  order   Bridge { call: call1, tone: true, record: None }
            1.270  event   agent.state ringing -> talking (bridged)
            1.270  journal Ledger(live)
            1.270  event   call.bridged #8 after Some(1200) ms
        "#]],
    );
    house.pass(5_000);
    check(
        &mut house,
        &expect![[r#"
            2.010  event   campaign.pacing dialing 1 target 1 limited by agents
            5.770  event   agent.state unreachable -> ready (back_off_over)
            5.770  event   campaign.pacing dialing 1 target 1 limited by agents
        "#]],
    );
}

#[test]
fn offers_missed_again_and_again_put_the_agent_on_a_break() {
    let mut house = House::with(DialerConfig { offers_missed_max: 2, ..DialerConfig::default() });
    house.plain_trunk();
    let anna = house.on_demand_agent("anna");
    let list = house.list(9);
    house.running(progressive(list));
    for _ in 0..2 {
        house.pass(6_000);
        let call = house.last_dialled();
        house.answer(call);
        house.pass(2_000);
        assert!(house.orders.iter().any(|order| matches!(order, CallOrder::ReleaseAgent { .. })));
        house.call_fact(CallFact::MessagePlayed { call });
        house.end(call, Party::System, EndCause::Normal);
    }
    let status = &house.store.status[&anna];
    assert_eq!(status.paused.as_deref(), Some("missed_offers"));
    let before = house.dialled().len();
    house.pass(120_000);
    assert_eq!(house.dialled().len(), before);
    house.command(Command::AgentReady(anna)).unwrap();
    house.pass(100);
    assert_eq!(house.dialled().len(), before + 1);
}

#[test]
fn a_machine_heard_first_costs_no_agent() {
    let (mut house, _, call) = one_call(|config| config.amd = AmdMode::BeforeBridge);
    house.answer(call);
    house.pass(1_800);
    house.log();
    let verdict = AmdVerdict::Machine;
    house.call_fact(CallFact::Amd {
        call,
        verdict,
        confidence: 0.9,
        evidence: AmdEvidence::ShortGreeting,
        after_answer_ms: 1_800,
    });
    house.end(call, Party::System, EndCause::Normal);
    check(
        &mut house,
        &expect![[r#"
            1.860  event   call.classified #5
            1.860  order   Hangup { call: call1, cause: Normal, by: System }
            1.860  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            1.860  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: true, await_turn: false, call_max_ms: 14400000, not_after: None }
            1.860  event   call.created #1
            1.860  event   leg.ended #6 customer normal
            1.860  journal CallEnded(machine) LeadChanged(retry_wait, 1 attempts, in 14401 s)
            1.860  event   call.ended #7 machine
            1.860  event   lead.updated #8 (late) retry_wait
        "#]],
    );
    assert!(house.store.ledger.is_empty());
}

#[test]
fn the_deadline_runs_from_the_verdict_when_machines_are_ruled_out_first() {
    let (mut house, agent, call) = one_call(|config| config.amd = AmdMode::BeforeBridge);
    house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
    house.answer(call);
    house.pass(1_800);
    let verdict = AmdVerdict::Human;
    house.call_fact(CallFact::Amd {
        call,
        verdict,
        confidence: 0.9,
        evidence: AmdEvidence::ShortGreeting,
        after_answer_ms: 1_800,
    });
    house.pass(1_999);
    assert!(house.store.ledger.is_empty());
    house.pass(1);
    assert!(house.store.ledger[0].abandoned);
}

#[test]
fn a_verdict_that_never_comes_is_taken_as_a_person() {
    let (mut house, _, call) = one_call(|config| config.amd = AmdMode::BeforeBridge);
    house.answer(call);
    house.pass(5_000);
    assert!(house.orders.iter().any(|order| matches!(order, CallOrder::Bridge { .. })));
}

#[test]
fn a_machine_heard_beside_frees_the_agent_at_once() {
    let (mut house, _, call) = one_call(|config| config.amd = AmdMode::Async);
    house.join(call);
    assert!(house.store.ledger.is_empty(), "the entry waits for the verdict");
    house.pass(900);
    house.log();
    let verdict = AmdVerdict::Machine;
    house.call_fact(CallFact::Amd {
        call,
        verdict,
        confidence: 0.9,
        evidence: AmdEvidence::ShortGreeting,
        after_answer_ms: 900,
    });
    house.pass(60);
    house.end(call, Party::System, EndCause::Normal);
    check(
        &mut house,
        &expect![[r#"
            0.960  event   call.classified #7
            0.960  order   ReleaseAgent { call: call1, agent: anna }
            0.960  event   agent.state talking -> ready (machine)
            0.960  order   Hangup { call: call1, cause: Normal, by: System }
            0.960  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            0.960  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: true, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.960  event   call.created #1
            1.010  event   campaign.pacing dialing 1 target 1 limited by agents
            1.020  event   call.unbridged #8
            1.020  event   leg.ended #9 customer normal
            1.020  event   leg.ended #10 agent normal
            1.020  journal CallEnded(machine) LeadChanged(retry_wait, 1 attempts, in 14401 s)
            1.020  event   call.ended #11 machine
            1.020  event   lead.updated #12 (late) retry_wait
        "#]],
    );
    assert!(house.store.ledger.is_empty());
    assert_eq!(house.record(call).outcome, Outcome::Machine);
}

#[test]
fn a_person_heard_beside_is_entered_at_the_verdict_or_at_the_end() {
    for verdict in [true, false] {
        let (mut house, _, call) = one_call(|config| config.amd = AmdMode::Async);
        house.join(call);
        if verdict {
            let verdict = AmdVerdict::Human;
            house.call_fact(CallFact::Amd {
                call,
                verdict,
                confidence: 0.9,
                evidence: AmdEvidence::ShortGreeting,
                after_answer_ms: 900,
            });
            assert_eq!(house.store.ledger.len(), 1);
        }
        legs_end(&mut house, call, Party::Customer);
        assert_eq!(house.store.ledger.len(), 1);
        assert!(!house.store.ledger[0].abandoned);
    }
}

#[test]
fn a_dead_tone_ends_the_call_before_the_least_ringing_time() {
    let (mut house, _, call) = one_call(|_| {});
    house.call_fact(CallFact::Dialled { call });
    house.call_fact(CallFact::Ringing { call, early_media: true });
    house.pass(800);
    house.call_fact(CallFact::EarlyMedia {
        call,
        class: EarlyMediaClass::Ringback,
        confidence: 0.9,
        announcement: None,
    });
    house.call_fact(CallFact::EarlyMedia {
        call,
        class: EarlyMediaClass::Sit,
        confidence: 0.4,
        announcement: None,
    });
    assert!(!house.hung_up(call));
    house.call_fact(CallFact::EarlyMedia {
        call,
        class: EarlyMediaClass::Sit,
        confidence: 0.9,
        announcement: None,
    });
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::InvalidNumber);
    assert_eq!(house.record(call).outcome, Outcome::InvalidNumber);
}

#[test]
fn a_known_announcement_ends_the_call_with_what_it_means() {
    for (class, outcome) in [
        (EarlyMediaClass::PowerOff, Outcome::PowerOff),
        (EarlyMediaClass::Suspended, Outcome::Suspended),
        (EarlyMediaClass::InvalidNumber, Outcome::InvalidNumber),
        (EarlyMediaClass::InCall, Outcome::InCall),
        (EarlyMediaClass::Unreachable, Outcome::Unreachable),
        (EarlyMediaClass::CallForbidden, Outcome::CallForbidden),
        (EarlyMediaClass::NoAnswer, Outcome::NoAnswer),
        (EarlyMediaClass::Busy, Outcome::Busy),
    ] {
        let (mut house, _, call) = one_call(|_| {});
        house.call_fact(CallFact::Dialled { call });
        house.call_fact(CallFact::Ringing { call, early_media: true });
        house.pass(800);
        let heard =
            |class| CallFact::EarlyMedia { call, class, confidence: 0.7, announcement: Some("x/y".into()) };
        house.call_fact(heard(EarlyMediaClass::ColouredRingback));
        assert!(!house.hung_up(call));
        house.pass(2_000);
        house.call_fact(heard(class));
        assert!(house.hung_up(call), "{class:?}");
        house.end(call, Party::System, EndCause::Cancelled);
        let record = house.record(call);
        assert_eq!((record.outcome, record.evidence), (outcome, Evidence::Announcement));
        let detail = record.early_media_detail.as_ref().expect("what it rests on");
        assert_eq!((detail.announcement.as_deref(), detail.confidence), (Some("x/y"), 0.7));
        assert!(detail.after_dial_ms >= 2_800, "{detail:?}");
    }
}

#[test]
fn a_stopped_campaign_cancels_what_rings_and_lets_people_talk() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    house.ready_agent("bert");
    let list = house.list(5);
    let campaign = house.running(progressive(list));
    house.pass(200);
    let [talking, ringing] = house.dialled()[..] else { panic!() };
    house.join(talking);
    house.call_fact(CallFact::Dialled { call: ringing });
    house.command(Command::StopCampaign(campaign)).unwrap();
    assert!(house.hung_up(ringing) && !house.hung_up(talking));
    house.end(ringing, Party::System, EndCause::Cancelled);
    assert_eq!(house.record(ringing).outcome, Outcome::Cancelled);
    assert!(matches!(
        house.command(Command::DeleteCampaign(campaign)),
        Err(CommandError::InvalidState { .. })
    ));
    legs_end(&mut house, talking, Party::Agent);
    assert_eq!(house.record(talking).outcome, Outcome::Connected);
    assert_eq!(house.dialer.alive().leads_held, 0);
    house.command(Command::DeleteCampaign(campaign)).unwrap();
}

#[test]
fn click_to_call_with_a_session_and_with_a_phone() {
    let request = |agent| OriginateRequest {
        ring_timeout_ms: Some(20_000),
        record: true,
        client_state: Some("ticket".into()),
        ..request(agent, "+4930123456")
    };
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.ready_agent("anna");
    let bert = house.on_demand_agent("bert");
    house.log();
    let Ok(Reply::Call(call)) = house.command(Command::Originate(request(anna))) else { panic!() };
    house.join(call);
    legs_end(&mut house, call, Party::Agent);
    check(
        &mut house,
        &expect![[r#"
            0.000  journal AttemptStarted(0)
            0.000  event   call.created #1
            0.000  event   agent.state ready -> reserved (click_to_call)
            0.000  order   DialCustomer { call: call1, campaign: None, trunk: trk1, others: [], to: "+4930123456", caller_id: None, ring_timeout_ms: 20000, early_media: false, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.000  reply   Call(call1)
            0.000  event   call.dialing #2
            0.000  event   call.ringing #3
            0.000  event   call.answered #4
            0.000  event   call.agent_offered #5
            0.000  order   UseSession { call: call1, agent: anna }
            0.000  order   Bridge { call: call1, tone: true, record: Some(rec1) }
            0.000  event   agent.state reserved -> talking (bridged)
            0.000  event   call.bridged #6 after Some(0) ms
            0.000  event   call.unbridged #7
            0.000  event   leg.ended #8 agent normal
            0.000  order   Hangup { call: call1, cause: Normal, by: Agent }
            0.000  event   leg.ended #9 customer normal
            0.000  journal WrapUpEnded(0)
            0.000  event   agent.state talking -> ready (call_ended)
            0.000  journal CallEnded(connected)
            0.000  event   call.ended #10 connected
        "#]],
    );
    house.pass(1_000);
    let Ok(Reply::Call(call)) = house.command(Command::Originate(request(bert))) else { panic!() };
    house.pass(10);
    house.call_fact(CallFact::AgentRinging { call, agent: bert });
    house.call_fact(CallFact::AgentAnswered { call, agent: bert });
    house.join(call);
    check(
        &mut house,
        &expect![[r#"
            1.000  journal AttemptStarted(0)
            1.000  event   call.created #1
            1.000  order   RingAgent { call: call2, agent: bert, way: Phone { agent: bert, auto_answer: Default, display: "+49****3456" }, ring_timeout_ms: 8000 }
            1.000  event   agent.state ready -> ringing (click_to_call)
            1.000  reply   Call(call2)
            1.010  event   agent.state ringing -> reserved (answered)
            1.010  order   DialCustomer { call: call2, campaign: None, trunk: trk1, others: [], to: "+4930123456", caller_id: None, ring_timeout_ms: 20000, early_media: false, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            1.010  event   call.dialing #2
            1.010  event   call.ringing #3
            1.010  event   call.answered #4
            1.010  order   Bridge { call: call2, tone: true, record: Some(rec2) }
            1.010  event   agent.state reserved -> talking (bridged)
            1.010  event   call.bridged #5 after Some(0) ms
        "#]],
    );
    assert!(matches!(
        house.command(Command::Originate(request(bert))),
        Err(CommandError::InvalidAgentState { .. })
    ));
    house.command(Command::Hangup(call)).unwrap();
    house.end(call, Party::Api, EndCause::Normal);
    assert_eq!(house.record(call).ended_by, Party::Api);
    assert_eq!(house.record(call).client_state.as_deref(), Some("ticket"));
    assert_eq!(house.dialer.alive().calls, 0);
}

#[test]
fn click_to_call_ends_when_the_agent_does_not_pick_up() {
    let mut house = House::new();
    house.plain_trunk();
    let bert = house.on_demand_agent("bert");
    let request = Command::Originate(request(bert, "+4930123456"));
    let Ok(Reply::Call(call)) = house.command(request) else { panic!() };
    let cause = EndCause::NoAnswer;
    house.call_fact(CallFact::AgentFailed { call, agent: bert, cause, sip_code: None });
    assert!(house.hung_up(call));
    assert!(house.dialled().is_empty());
    house.end(call, Party::Agent, EndCause::NoAnswer);
    assert_eq!(house.dialer.alive().calls, 0);
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn preview_shows_first_and_dials_on_the_agents_word() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(3);
    let config = CampaignConfig { mode: DialMode::Preview, record: false, ..progressive(list) };
    let campaign = house.campaign(config);
    house.log();
    house.command(Command::StartCampaign(campaign)).unwrap();
    house.pass(60);
    let first = house.tasks[0];
    house.command(Command::TaskSkip(first)).unwrap();
    let second = house.tasks[1];
    assert_eq!(
        house.command(Command::TaskDial { task: first, phone: None }),
        Err(CommandError::NotFound { what: "task" })
    );
    let Ok(Reply::Call(call)) = house.command(Command::TaskDial { task: second, phone: None }) else {
        panic!()
    };
    house.join(call);
    check(
        &mut house,
        &expect![[r#"
            0.000  journal CampaignPut
            0.000  event   campaign.started
            0.000  load    500 leads
            0.000  event   campaign.pacing dialing 0 target 0 limited by hopper
            0.000  reply   Campaign(camp1, 2)
            0.000  event   agent.state ready -> preview (task_offered)
            0.000  event   task.offered
            0.060  event   task.ended
            0.060  event   agent.state preview -> ready (task_skipped)
            0.060  event   agent.state ready -> preview (task_offered)
            0.060  event   task.offered
            0.060  reply   Done
            0.060  refused no such task
            0.060  event   task.ended
            0.060  event   agent.state preview -> reserved (dialling)
            0.060  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
            0.060  order   DialCustomer { call: call1, campaign: Some(camp1), trunk: trk1, others: [], to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, tone_plan: Any, amd: false, await_turn: false, call_max_ms: 14400000, not_after: None }
            0.060  event   call.created #1
            0.060  reply   Call(call1)
            0.060  event   call.dialing #2
            0.060  event   call.ringing #3
            0.060  event   call.answered #4
            0.060  event   call.agent_offered #5
            0.060  order   UseSession { call: call1, agent: anna }
            0.060  order   Bridge { call: call1, tone: true, record: None }
            0.060  event   agent.state reserved -> talking (bridged)
            0.060  journal Ledger(live)
            0.060  event   call.bridged #6 after Some(0) ms
        "#]],
    );
}

#[test]
fn preview_dials_by_itself_after_its_time() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let mut config = CampaignConfig { mode: DialMode::Preview, ..progressive(list) };
    config.timers.preview_auto_dial_ms = 5_000;
    house.running(config);
    house.pass(4_990);
    assert!(house.dialled().is_empty());
    house.pass(20);
    assert_eq!(house.dialled().len(), 1);
}

#[test]
fn a_lost_session_is_opened_again_with_patience() {
    let mut house = House::new();
    let anna = house.ready_agent("anna");
    house.log();
    for _ in 0..3 {
        let fact = AgentFact::SessionDown { agent: anna, cause: EndCause::NoAnswer, by: Party::System };
        house.input(Input::Agent(fact));
        house.pass(4_000);
    }
    house.input(Input::Agent(AgentFact::SessionUp { agent: anna }));
    check(
        &mut house,
        &expect![[r#"
            0.000  event   agent.state ready -> unreachable (session_down)
            1.000  effect  OpenSession { agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
            6.000  effect  OpenSession { agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
            12.000  effect  OpenSession { agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
            12.000  event   agent.state unreachable -> ready (session_up)
        "#]],
    );
}

#[test]
fn an_agent_in_a_call_leaves_after_it() {
    let (mut house, agent, call) = one_call(|_| {});
    house.join(call);
    house.log();
    house.command(Command::AgentLogout(agent)).unwrap();
    legs_end(&mut house, call, Party::Customer);
    house
        .command(Command::SetDisposition {
            call,
            said: dialer_core::disposition::Said {
                answered_by: None,
                code: "sold".into(),
                notes: None,
                callback_at: None,
                ..Default::default()
            },
        })
        .unwrap();
    check(
        &mut house,
        &expect![[r#"
            0.060  journal AgentStatusChanged
            0.060  reply   Done
            0.060  event   call.unbridged #7
            0.060  event   leg.ended #8 customer normal
            0.060  event   leg.ended #9 agent normal
            0.060  event   agent.state talking -> wrap_up (call_ended)
            0.060  journal CallEnded(connected) LeadChanged(done, 1 attempts)
            0.060  event   call.ended #10 connected
            0.060  event   lead.updated #11 (late) done
            0.060  journal DispositionSet LeadChanged(done, 1 attempts)
            0.060  event   disposition.set #12 (late)
            0.060  journal WrapUpEnded(0)
            0.060  event   agent.state wrap_up -> logged_out (logout)
            0.060  effect  CloseSession { agent: anna }
            0.060  event   agent.logged_out
            0.060  reply   Done
        "#]],
    );
    house.input(Input::Agent(AgentFact::SessionDown { agent, cause: EndCause::Normal, by: Party::System }));
    assert_eq!(house.dialer.alive().sessions, 0);
}

#[test]
fn a_promised_callback_brings_the_lead_back() {
    let (mut house, _, call) = one_call(|_| {});
    house.join(call);
    legs_end(&mut house, call, Party::Customer);
    let lead = house.record(call).lead.unwrap();
    assert_eq!(house.store.leads[&lead].progress.state, LeadState::Done);
    let at = START.plus_millis(3_600_000);
    let command = |at| Command::SetDisposition {
        call,
        said: dialer_core::disposition::Said {
            answered_by: None,
            code: "later".into(),
            notes: None,
            callback_at: Some(at),
            ..Default::default()
        },
    };
    assert!(matches!(house.command(command(START)), Err(CommandError::Invalid { .. })));
    house.command(command(at)).unwrap();
    let progress = &house.store.leads[&lead].progress;
    assert_eq!((progress.state, progress.next_at), (LeadState::RetryWait, Some(at)));
}

#[test]
fn a_campaign_is_completed_once_and_goes_on_with_new_leads() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    house.running(progressive(list));
    house.pass(60);
    let call = house.last_dialled();
    house.join(call);
    legs_end(&mut house, call, Party::Customer);
    house.pass(30_000);
    let completed = |house: &House| {
        house.store.events.iter().filter(|event| event.event == Event::CampaignCompleted).count()
    };
    assert_eq!(completed(&house), 1);
    house.leads(list, 1);
    house.pass(1_100);
    assert_eq!(house.dialled().len(), 2);
    let call = house.last_dialled();
    house.end(call, Party::Customer, EndCause::InvalidNumber);
    house.pass(10_000);
    assert_eq!(completed(&house), 2);
}

fn limited_by(house: &House) -> LimitedBy {
    let report = house.store.events.iter().rev().find_map(|event| match &event.event {
        Event::CampaignPacing { report } => Some(report.limited_by),
        _ => None,
    });
    report.expect("a decision was told")
}

#[test]
fn every_reason_not_to_dial_is_told() {
    let mut house = House::new();
    let trunk = house.trunk(TrunkConfig {
        name: "carrier".into(),
        address: "192.0.2.1:5060".into(),
        ..TrunkConfig::default()
    });
    let list = house.list(50);
    house.running(progressive(list));
    house.pass(2_000);
    assert_eq!(limited_by(&house), LimitedBy::Trunk);
    house.trunk_up(trunk, true);
    house.pass(2_000);
    assert_eq!(limited_by(&house), LimitedBy::Agents);
    let agent = house.agent_with_phone("anna");
    house.input(Input::StoreHealth { healthy: false });
    let refused = house.command(Command::AgentLogin { agent, session: SessionKind::NailedUp });
    assert_eq!(refused, Err(CommandError::StoreUnavailable));
    house.pass(2_000);
    assert_eq!(limited_by(&house), LimitedBy::Store);
}

#[test]
fn hours_open_and_close() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(3);
    let mut config = progressive(list);
    // The clock starts at nine in the morning there.
    config.calling_hours =
        Some(CallingHours { from_minute: 541, to_minute: 542, days: 0b1_0000, utc_offset_minutes: 480 });
    house.running(config);
    house.pass(59_000);
    assert!(house.dialled().is_empty());
    assert_eq!(limited_by(&house), LimitedBy::Window);
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 1);
    house.pass(60_000);
    let call = house.last_dialled();
    house.end(call, Party::System, EndCause::NoAnswer);
    house.pass(5_000);
    assert_eq!(house.dialled().len(), 1);
    assert_eq!(limited_by(&house), LimitedBy::Window);
}

#[test]
fn a_crash_ends_every_attempt_once_and_its_lead_goes_on() {
    let (house, _, call) = one_call(|_| {});
    let snapshot = house.store.snapshot();
    assert_eq!(snapshot.open_attempts.len(), 1);
    let mut house = House::restarted(house.store, 90_000);
    check(
        &mut house,
        &expect![[r#"
            90.000  effect  ApplyTrunk(TrunkRow { id: trk1, config: TrunkConfig { name: "carrier", address: "192.0.2.1:5060", transport: None, listener: None, priority: 0, weight: 0, number_format: AsIs, country_code: "", prefix: "", sources: [], certificate_names: [], trusted: true, identity: Asserted, headers_pass: [], headers_remove: [], headers_add: [], username: None, password: None, register: false, register_expires_s: 300, channels_max: 100, channels_elsewhere: 0, cps_max: 30.0, options_interval_ms: 0, overload_control: true, caller_id: None, srtp: Off, enabled: true }, version: 1, created_at: WallTime(1795136400000) })
            90.000  effect  ApplyAgent(AgentRow { id: agt1, config: AgentConfig { name: "anna", username: "anna", password: "secret", tenant: default, device: Registered, groups: [], auto_answer: Default, wrap_up_ms: None, destinations: [], calls_max: 2, skills: {}, rank: 0, position: 0, memberships: {}, ring_ms: None, srtp: Off, pause_max_ms: None, pause_then: Ready }, version: 1, created_at: WallTime(1795136400000) })
            90.000  journal CallEnded(node_restart) LeadChanged(retry_wait, 1 attempts, in 390 s)
            90.000  event   call.ended #2 node_restart
            90.000  event   lead.updated #3 (late) retry_wait
            90.000  effect  RestoreContact(ContactRow { agent: agt1, uri: "sip:agent@198.51.100.7", source: "198.51.100.7:5060", listener: 0, expires_at: WallTime(1795140000000) })
            90.000  event   node.started
            90.000  effect  OpenSession { agent: agt1, way: Phone { agent: agt1, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
            90.000  event   agent.state logged_out -> unreachable (node_started)
            90.000  load    500 leads
            90.000  effect  FindCallbacks { at: WallTime(1795136490000), limit: 500 }
            90.000  event   campaign.pacing dialing 0 target 0 limited by agents
        "#]],
    );
    assert_eq!(house.record(call).outcome, Outcome::NodeRestart);
    assert!(house.store.open.is_empty());
    let lead = &house.store.leads[&LeadId::from_bits(1)].progress;
    assert_eq!((lead.state, lead.attempts), (LeadState::RetryWait, 1));
}

#[test]
fn drain_waits_for_calls_then_hangs_up() {
    let (mut house, _, call) = one_call(|_| {});
    house.join(call);
    house.log();
    house.command(Command::Drain { deadline: Duration::from_secs(30) }).unwrap();
    house.pass(29_000);
    assert!(!house.hung_up(call));
    house.pass(1_000);
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::Normal);
    house.pass(2_000);
    check(
        &mut house,
        &expect![[r#"
            0.060  event   node.draining
            0.060  reply   Done
            1.000  event   campaign.pacing dialing 0 target 0 limited by draining
            30.060  order   Hangup { call: call1, cause: Normal, by: System }
            30.060  event   call.unbridged #7
            30.060  event   leg.ended #8 customer normal
            30.060  event   leg.ended #9 agent normal
            30.060  event   agent.state talking -> wrap_up (call_ended)
            30.060  journal CallEnded(connected) LeadChanged(done, 1 attempts)
            30.060  event   call.ended #10 connected
            30.060  event   lead.updated #11 (late) done
            30.060  event   campaign.pacing dialing 0 target 0 limited by draining
            30.060  effect  CloseSession { agent: anna }
            32.060  event   node.drained
        "#]],
    );
}

#[test]
fn a_locked_lead_is_dialled_only_with_an_agent_reserved() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let lead = house.store.leads.get_mut(&LeadId::from_bits(1)).unwrap();
    lead.progress.agent_guaranteed_until = Some(START.plus_millis(3_600_000));
    house.running(CampaignConfig { mode: DialMode::Ratio, ratio: 3.0, ..progressive(list) });
    house.pass(60);
    let row = house.store.open.values().next().unwrap();
    assert!(row.agent.is_some());
    let call = house.last_dialled();
    house.join(call);
    assert_eq!(house.store.ledger.len(), 1);
}

#[test]
fn two_campaigns_never_dial_for_one_agent_twice() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let lists = [house.list(5), house.list(5)];
    for list in lists {
        house.running(progressive(list));
    }
    house.pass(5_000);
    assert_eq!(house.dialled().len(), 1);
}

#[test]
fn a_load_that_is_older_than_the_call_does_not_dial_a_lead_again() {
    let mut house = House::with(DialerConfig { hopper_low: 1, hopper_max: 1, ..DialerConfig::default() });
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let campaign = house.running(progressive(list));
    let stale: Vec<_> = house.store.leads.values().cloned().collect();
    house.pass(60);
    let call = house.last_dialled();
    house.end(call, Party::Customer, EndCause::InvalidNumber);
    house.input(Input::LeadsLoaded { campaign, leads: stale, more: false, next_due: None });
    house.pass(5_000);
    assert_eq!(house.dialled().len(), 1);
}

#[test]
fn bad_settings_name_the_field() {
    let mut house = House::new();
    let list = house.list(1);
    let refused = |house: &mut House, change: &dyn Fn(&mut CampaignConfig)| {
        let mut config = progressive(list);
        change(&mut config);
        match house.command(Command::CreateCampaign(Box::new(config))) {
            Err(CommandError::Invalid { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    };
    let mut pointers = vec![
        refused(&mut house, &|c| c.name = " ".into()),
        refused(&mut house, &|c| c.ratio = 0.5),
        refused(&mut house, &|c| c.ratio = f64::NAN),
        refused(&mut house, &|c| c.lists.push(ListId::from_bits(7))),
        refused(&mut house, &|c| c.pacing.abandon_cap = 1.5),
        refused(&mut house, &|c| c.pacing.abandon_target = 0.04),
        refused(&mut house, &|c| c.timers.ring_min_ms = 29_000),
        refused(&mut house, &|c| c.timers.ring_max_ms = 0),
        refused(&mut house, &|c| c.concurrency.lines_max = 0),
        refused(&mut house, &|c| c.caller_id = Some("a\r\nb".into())),
        refused(&mut house, &|c| c.attempts_max = 0),
    ];
    let rule = RetryRule::new(Outcome::Busy, 1, 1);
    pointers.push(refused(&mut house, &|c| c.retry = vec![rule.clone(), rule.clone()]));
    expect![[r#"
        /name
        /ratio
        /ratio
        /lists/1
        /pacing/abandon_cap
        /pacing/abandon_target
        /timers/ring_min_ms
        /timers/ring_max_ms
        /concurrency/max
        /caller_id
        /attempts_max
        /retry/1/outcome"#]]
    .assert_eq(&pointers.join("\n"));
    house.plain_trunk();
    let again =
        TrunkConfig { name: "carrier".into(), address: "192.0.2.9:5060".into(), ..TrunkConfig::default() };
    assert!(matches!(house.command(Command::CreateTrunk(again)), Err(CommandError::Conflict { .. })));
    assert!(!house.store.campaigns.values().any(|row| row.version == 0));
    assert!(house.store.events.iter().all(|event| !matches!(event.event, Event::CampaignChanged { .. })));
}

#[test]
fn a_version_that_is_not_the_current_one_is_refused() {
    let mut house = House::new();
    let list = house.list(1);
    let campaign = house.campaign(progressive(list));
    let update = |if_version| Command::UpdateCampaign {
        campaign,
        config: Box::new(progressive(list)),
        if_version: Some(if_version),
    };
    assert_eq!(house.command(update(1)), Ok(Reply::Campaign(campaign, 2)));
    assert_eq!(house.command(update(1)), Err(CommandError::VersionMismatch { current: 2 }));
}

/// A house after a call, its trunk, and a record as a call that passes through has one.
fn and_a_record() -> (House, TrunkId, CallRecord) {
    let (mut house, _, call) = one_call(|_| {});
    house.join(call);
    legs_end(&mut house, call, Party::Customer);
    let record = CallRecord { call: CallId::from_bits(99), attempt: None, ..house.record(call).clone() };
    (house, record.trunk.expect("it was dialled"), record)
}

#[test]
fn a_transit_call_holds_channels_and_leaves_one_record() {
    let (mut house, from, record) = and_a_record();
    let start = Box::new(transit_start(from, record.started_at));
    house.call_fact(CallFact::TransitStarted { call: record.call, start });
    assert_eq!(house.dialer.alive().transit, 1);
    house.log();
    let record = Box::new(record);
    house.call_fact(CallFact::TransitEnded { from, record });
    check(
        &mut house,
        &expect![[r#"
        0.060  journal CallEnded(connected)
        0.060  event   call.ended #1 connected
    "#]],
    );
    assert_eq!(house.dialer.alive().transit, 0);
}

/// It is shown while it lives, a little later than it changes; hung up once, whoever asks again; and nothing else can be
/// done with it.
#[test]
fn a_transit_call_is_seen_and_hung_up() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let call = CallId::from_bits(99);
    let state = |house: &House| house.views.get(&call).map(|view| view.state);
    let start = Box::new(transit_start(trunk, START));
    house.call_fact(CallFact::TransitStarted { call, start });
    assert_eq!(state(&house), None, "not for each of a thousand calls a second");
    house.pass(100);
    let view = house.views[&call].clone();
    assert_eq!((view.kind, view.state), (CallKindTag::Transit, CallState::Dialing));
    assert_eq!((view.from_trunk, view.trunk, view.agent), (Some(trunk), Some(trunk), None));
    assert_eq!((view.to.as_str(), view.caller_id.as_deref()), ("+4930123", Some("+4940456")));
    // To the next trunk of its route, and that was the last one.
    for to in [TrunkId::from_bits(77), trunk] {
        house.call_fact(CallFact::TransitMoved { call, to, sip_code: Some(503) });
        house.pass(100);
        assert_eq!(house.views[&call].trunk, Some(to));
    }
    house.call_fact(CallFact::TransitRinging { call });
    house.pass(100);
    assert_eq!(state(&house), Some(CallState::Ringing));
    house.call_fact(CallFact::TransitAnswered { call, at: START.plus_millis(700) });
    house.call_fact(CallFact::TransitRinging { call });
    house.pass(100);
    assert_eq!(state(&house), Some(CallState::Bridged));
    assert_eq!(house.views[&call].answered_at, Some(START.plus_millis(700)));
    let act = Command::Call { call, wish: CallWish::Hold(true) };
    assert!(matches!(house.command(act), Err(CommandError::InvalidCallState { .. })));
    for _ in 0..2 {
        assert_eq!(house.command(Command::Hangup(call)), Ok(Reply::Done));
        assert_eq!(state(&house), Some(CallState::Ending));
    }
    let wanted = CallOrder::Hangup { call, cause: EndCause::Normal, by: Party::Api };
    assert_eq!(house.orders.iter().filter(|order| **order == wanted).count(), 1);
    assert_eq!(house.dialer.transit(call).map(|start| start.to), Some(trunk));
}

/// As far as its sound goes through us; what runs when it ends, ends with it, once.
#[test]
fn a_transit_call_is_recorded_and_forked() {
    let (mut house, trunk, record) = and_a_record();
    let wish = |house: &mut House, call, wish| house.command(Command::Call { call, wish });
    let fork = || {
        CallWish::StartFork(Box::new(ForkConfig {
            url: "ws://bot.example/".into(),
            format: ForkFormat::Twilio,
            sample_rate_hz: 8_000,
            tracks: ForkTracks::Both,
            speech: ForkSpeech::Instead,
            control_messages: true,
            parameters: BTreeMap::new(),
            authorization: None,
            reconnects_max: 0,
        }))
    };
    let past_us = CallId::from_bits(98);
    let start = Box::new(TransitStart { relayed: false, ..transit_start(trunk, START) });
    house.call_fact(CallFact::TransitStarted { call: past_us, start });
    house.call_fact(CallFact::TransitAnswered { call: past_us, at: START });
    for refused in [CallWish::Record(RecordWish::Start), fork(), CallWish::StopFork(None)] {
        match wish(&mut house, past_us, refused) {
            Err(CommandError::InvalidCallState { detail, .. }) => {
                assert!(detail.contains("past us"), "{detail}")
            }
            other => panic!("{other:?}"),
        }
    }

    let call = CallId::from_bits(99);
    let start = Box::new(transit_start(trunk, START));
    house.call_fact(CallFact::TransitStarted { call, start });
    for early in [CallWish::Record(RecordWish::Start), fork()] {
        assert!(matches!(wish(&mut house, call, early), Err(CommandError::InvalidCallState { .. })));
    }
    house.call_fact(CallFact::TransitAnswered { call, at: START });
    house.log();
    let Ok(Reply::Recording(recording)) = wish(&mut house, call, CallWish::Record(RecordWish::Start)) else {
        panic!("it can be recorded")
    };
    assert_eq!(house.views[&call].recording.map(|running| running.recording), Some(recording));
    house.call_fact(CallFact::RecordingStarted { call, recording, file: "a.wav".into() });
    let pause = CallWish::Record(RecordWish::Pause(PauseBehavior::Skip));
    assert_eq!(wish(&mut house, call, pause), Ok(Reply::Recording(recording)));
    assert_eq!(wish(&mut house, call, CallWish::Record(RecordWish::Resume)), Ok(Reply::Recording(recording)));
    let Ok(Reply::Fork(started)) = wish(&mut house, call, fork()) else { panic!("it can be forked") };
    house.call_fact(CallFact::ForkStarted { call, fork: started });
    house.pass(1_000);
    // A shard that begins anew knows nothing of it any more.
    let record = Box::new(CallRecord { recording: None, ..record });
    house.call_fact(CallFact::TransitEnded { from: trunk, record });
    let kept = house.store.events.iter().rev().find_map(|envelope| match &envelope.event {
        Event::CallEnded { record } => Some(record.recording),
        _ => None,
    });
    assert_eq!(kept, Some(Some(recording)));
    // Told again by a shard that did not know.
    let (cause, reason) = (ForkEnd::CallEnded, None);
    house.call_fact(CallFact::ForkEnded { call, fork: started, cause, reason });
    let sound = RecordedFile {
        file: "a.wav".into(),
        duration_ms: 1_000,
        paused_ms: 0,
        bytes: 32_044,
        undecodable: false,
        cut_off: false,
    };
    house.call_fact(CallFact::RecordingReady { call, recording, sound });
    check(
        &mut house,
        &expect![[r#"
            0.060  order   Act { call: call2, act: Record(Start(rec1)) }
            0.060  reply   Recording(rec1)
            0.060  journal RecordingStarted
            0.060  journal AttemptStarted(0)
            0.060  event   recording.started #1
            0.060  journal RecordingStarted
            0.060  event   recording.paused #2
            0.060  order   Act { call: call2, act: Record(Pause(rec1, Skip)) }
            0.060  reply   Recording(rec1)
            0.060  journal RecordingStarted
            0.060  event   recording.resumed #3
            0.060  order   Act { call: call2, act: Record(Resume(rec1)) }
            0.060  reply   Recording(rec1)
            0.060  order   Act { call: call2, act: StartFork(ForkOrder { fork: fork1, config: ForkConfig { url: "ws://bot.example/", format: Twilio, sample_rate_hz: 8000, tracks: Both, speech: Instead, control_messages: true, parameters: {}, authorization: None, reconnects_max: 0 } }) }
            0.060  reply   Fork(fork1)
            0.060  event   call.fork_started #4
            1.000  event   campaign.pacing dialing 0 target 0 limited by agents
            1.060  event   call.fork_ended #5
            1.060  journal CallEnded(connected)
            1.060  event   call.ended #6 connected
            1.060  journal RecordingReady
            1.060  event   recording.ready #7 (late)
        "#]],
    );
    assert_eq!(house.dialer.alive().transit, 1, "the other one");
}

#[test]
fn what_the_pacer_learned_survives_a_restart() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(200);
    let config = CampaignConfig { mode: DialMode::Predictive, ..progressive(list) };
    let campaign = house.running(config);
    while house.now.as_millis() < 600_000 {
        house.pass(1_000);
        let open: Vec<CallId> = house.store.open.values().map(|row| row.call).collect();
        for (place, call) in open.into_iter().enumerate() {
            match place % 3 {
                0 | 1 => {
                    house.join(call);
                    legs_end(&mut house, call, Party::Customer);
                }
                _ => house.end(call, Party::System, EndCause::NoAnswer),
            }
        }
    }
    let bytes = house.store.sketches[&campaign].len();
    assert!(bytes < 100_000, "a sketch of {bytes} bytes");
    let believed = |store: &crate::fold::Store| {
        let mut house = House::restarted(store.clone(), 700_000);
        let agent = *house.store.agents.keys().next().unwrap();
        house.input(Input::Agent(AgentFact::SessionUp { agent }));
        house.pass(2_000);
        let report = house.store.events.iter().rev().find_map(|event| match &event.event {
            Event::CampaignPacing { report } => Some(report.answer_probability),
            _ => None,
        });
        report.unwrap()
    };
    let learned = believed(&house.store);
    house.store.sketches.clear();
    let fresh = believed(&house.store);
    assert!(learned > 0.5 && fresh < 0.5, "{learned} {fresh}");
}

#[test]
fn how_a_call_sounded_is_in_its_record_and_silence_is_told_while_joined() {
    let (mut house, _, call) = one_call(|_| {});
    let audio = |state| CallFact::Audio { call, party: Party::Customer, state, one_way: true };
    house.call_fact(audio(AudioState::NoPackets));
    house.join(call);
    house.call_fact(audio(AudioState::NoSound));
    let leg = LegMedia {
        party: Party::Customer,
        codec: "PCMA".into(),
        packets_received: 990,
        packets_lost: 10,
        packets_sent: 1_000,
        loss: 0.01,
        jitter_ms: 3.0,
        jitter_ms_max: 8.0,
        rtt_ms: Some(40.0),
        remote_loss: Some(0.02),
        remote_jitter_ms: None,
        mos: Some(4.2),
        remote_mos: None,
        audio: AudioState::NoSound,
    };
    house.call_fact(CallFact::Media { call, media: Box::new(leg.clone()) });
    house.end(call, Party::Customer, EndCause::Normal);
    let events = house.store.events.clone();
    let told: Vec<&Event> = events.iter().map(|envelope| &envelope.event).collect();
    let states: Vec<AudioState> = told
        .iter()
        .filter_map(|event| match event {
            Event::CallAudio { party: Party::Customer, state, one_way: true } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [AudioState::NoSound], "before it was joined nobody missed anything");
    let record = told.iter().find_map(|event| match event {
        Event::CallEnded { record } => Some(record),
        _ => None,
    });
    assert_eq!(record.expect("it ended").media, [leg]);
    let trunk = record.expect("it ended").trunk;
    let counters = house.dialer.counters();
    let (sound, missing) = (&counters.sound[&(trunk, 0)], counters.legs[0]);
    assert_eq!((sound.mos.count, sound.rtt.count, sound.jitter.count, sound.loss.count), (1, 1, 1, 1));
    assert_eq!((sound.lost_in, sound.lost_out), (10, 20));
    assert_eq!((missing.no_sound, missing.no_packets), (1, 0));
}

/// Who took part in a call that a crash cut off stands in its record: who had left, and who was there to the end.
#[test]
fn participants_of_a_call_are_kept_over_a_crash() {
    use dialer_core::participant::{CallWish, Joining, Target};
    let (mut house, agent, call) = one_call(|_| {});
    house.join(call);
    let third = |number: &str| Joining {
        target: Target::Number(number.into()),
        known: None,
        mode: None,
        trunk: None,
        caller_id: None,
        ring_timeout_ms: None,
        override_reason: None,
    };
    let mut legs = Vec::new();
    for number in ["+493011", "+493012", "+493013"] {
        match house.command(Command::Call { call, wish: CallWish::Join(third(number)) }) {
            Ok(Reply::Leg(leg)) => legs.push(leg),
            other => panic!("{other:?}"),
        }
    }
    house.pass(1_000);
    house.call_fact(CallFact::ParticipantJoined { call, leg: legs[0] });
    house.call_fact(CallFact::ParticipantJoined { call, leg: legs[1] });
    house.pass(1_000);
    let (leg, cause) = (legs[0], EndCause::Normal);
    house.call_fact(CallFact::ParticipantLeft { call, leg, cause, took_over: false });
    let after_ms = house.now.as_millis() + 60_000;
    let house = House::restarted(house.store.clone(), after_ms);
    let record = house.record(call);
    assert_eq!((record.outcome, record.agent), (Outcome::NodeRestart, Some(agent)));
    let kept: Vec<_> = record
        .participants
        .iter()
        .map(|one| {
            let cut_off = one.left_at == record.ended_at;
            (one.to.as_deref().unwrap(), one.joined_at.is_some(), one.cause, cut_off)
        })
        .collect();
    assert_eq!(
        kept,
        [
            ("+493011", true, EndCause::Normal, false),
            ("+493012", true, EndCause::NodeRestart, true),
            ("+493013", false, EndCause::NodeRestart, true),
        ]
    );
}
