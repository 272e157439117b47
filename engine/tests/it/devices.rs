//! Agents whose device does not register: a phone at an address, a telephone number over a trunk.

use crate::dialled::{AGENT, CALL, TRUNK, dial, hangup, own_phone, ring};
use crate::sessions::agent_facts;
use crate::world::{Callee, World};
use dialer_core::config::{AgentConfig, TrunkTransport};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::Way;
use dialer_core::record::AgentRow;
use dialer_core::{AgentDevice, AgentFact, CallFact, CallId, CallOrder, TrunkId};
use engine::ShardCommand;
use expect_test::{Expect, expect};
use sansio::WallTime;

const OTHERS: TrunkId = TrunkId::from_bits(2);

fn agent_with(w: &mut World, device: AgentDevice) {
    let config =
        AgentConfig { name: "alice".into(), username: "alice".into(), device, ..AgentConfig::default() };
    let row = AgentRow { id: AGENT, config, version: 1, created_at: WallTime::default() };
    w.command(ShardCommand::ApplyAgent(Box::new(row)));
}

/// The customers' carrier (peer 0), and where the agent is called: a peer that registers nowhere (peer 1).
fn at_address(device: Callee) -> World {
    let mut w = World::new(7);
    w.carrier("carrier", TRUNK, |_| {});
    let phone = w.carrier_peer("phone");
    let address = w.peers[phone].address.to_string();
    let transport = TrunkTransport::Udp;
    agent_with(&mut w, AgentDevice::Address { user: "1001".into(), address, transport });
    w.peers[phone].default = device;
    w
}

/// … or a carrier that reaches the agent's number.
fn at_number(device: Callee) -> World {
    let mut w = World::new(7);
    w.carrier("carrier", TRUNK, |_| {});
    let others = w.carrier("others", OTHERS, |config| config.caller_id = Some("+498912340".into()));
    let number = "+4915112345678".to_owned();
    agent_with(
        &mut w,
        AgentDevice::Number { number, trunk: Some(OTHERS), caller_id: None, confirm_key: None },
    );
    w.peers[others].default = device;
    w
}

fn to_number() -> Way {
    Way::Number { trunk: OTHERS, to: "+4915112345678".into(), caller_id: None, confirm_key: None }
}

fn join() -> CallOrder {
    CallOrder::Bridge { call: CALL, tone: true, record: None }
}

type Made = (fn(Callee) -> World, fn() -> Way);

const BOTH: [Made; 2] = [(at_address, || own_phone(AGENT, "")), (at_number, to_number)];

fn open(way: Way) -> ShardCommand {
    ShardCommand::OpenSession { agent: AGENT, way, ring_timeout_ms: 8_000 }
}

fn first_lines(w: &World, peer: usize, wanted: &[&str], expected: Expect) {
    let invite = w.peers[peer].invites.first().expect("it was called");
    let is_wanted = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> =
        invite.lines().filter(is_wanted).map(|line| line.split(";tag").next().unwrap()).collect();
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn a_phone_at_an_address_is_called_there_and_asked_to_answer() {
    let mut w = at_address(Callee::answers(100));
    w.command(open(own_phone(AGENT, "")));
    w.run_for(300);
    assert_eq!(agent_facts(&w), [&AgentFact::SessionUp { agent: AGENT }]);
    first_lines(
        &w,
        1,
        &["INVITE", "To:", "Call-Info:"],
        expect![[r#"
            INVITE sip:1001@192.0.2.11:5060 SIP/2.0
            To: <sip:alice@house.example>
            Call-Info: <sip:192.0.2.1:5060>;answer-after=0
        "#]],
    );
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_number_is_called_over_its_trunk_and_shown_the_trunks_caller_id() {
    let mut w = at_number(Callee::answers(100));
    w.command(open(to_number()));
    w.run_for(300);
    assert_eq!(agent_facts(&w), [&AgentFact::SessionUp { agent: AGENT }]);
    first_lines(
        &w,
        1,
        &["INVITE", "To:", "From:", "Call-Info:"],
        expect![[r#"
            INVITE sip:+4915112345678@192.0.2.11:5060 SIP/2.0
            From: <sip:+498912340@192.0.2.1:5060>
            To: <sip:+4915112345678@192.0.2.11:5060>
        "#]],
    );
    assert!(w.peers[0].invites.is_empty(), "not over the customers' trunk");
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_session_holds_from_call_to_call_and_ends_once_when_hung_up() {
    for (world, way) in BOTH {
        let mut w = world(Callee::answers(100));
        w.command(open(way()));
        w.run_for(300);
        for number in 1..=2 {
            let call = CallId::from_bits(number);
            let mut order = dial();
            if let CallOrder::DialCustomer { call: name, .. } = &mut order {
                *name = call;
            }
            w.order(order, true);
            w.run_for(300);
            w.order(CallOrder::UseSession { call, agent: AGENT }, false);
            w.order(CallOrder::Bridge { call, tone: true, record: None }, false);
            w.run_for(300);
            w.order(CallOrder::Hangup { call, cause: EndCause::Normal, by: Party::Api }, false);
            w.run_for(300);
        }
        assert_eq!(w.peers[1].invites.len(), 1, "called once, whatever the calls");
        w.peer_hangup(1);
        w.run_for(300);
        let down = AgentFact::SessionDown { agent: AGENT, cause: EndCause::Normal, by: Party::Agent };
        assert_eq!(agent_facts(&w), [&AgentFact::SessionUp { agent: AGENT }, &down]);
        w.assert_at_rest();
    }
}

#[test]
fn a_device_that_is_busy_or_rings_out_or_is_silent_ends_once() {
    for (world, way) in BOTH {
        for (callee, cause, by) in [
            (Callee::refuses(50, 486), EndCause::Busy, Party::Agent),
            (Callee::rings(), EndCause::NoAnswer, Party::System),
            (Callee::silent(), EndCause::NoAnswer, Party::System),
        ] {
            let mut w = world(callee);
            w.command(open(way()));
            w.run_for(40_000);
            assert_eq!(agent_facts(&w), [&AgentFact::SessionDown { agent: AGENT, cause, by }]);
            w.assert_at_rest();
        }
    }
}

/// The answer may be on its way already.
#[test]
fn a_session_that_is_closed_while_it_rings_ends_once_at_any_moment() {
    for (world, way) in BOTH {
        for after_ms in (0..130).step_by(5) {
            let mut w = world(Callee::answers(100));
            w.command(open(way()));
            w.run_for(after_ms);
            // Ordered once more while it rings: nothing else is called.
            w.command(open(way()));
            w.command(ShardCommand::CloseSession { agent: AGENT });
            w.run_for(1_000);
            let facts = agent_facts(&w);
            let downs = facts.iter().filter(|fact| matches!(fact, AgentFact::SessionDown { .. })).count();
            assert_eq!(downs, 1, "after {after_ms} ms: {facts:?}");
            assert_eq!(w.peers[1].invites.len(), 1);
            assert!(w.peers[1].legs.is_empty());
            w.assert_at_rest();
        }
    }
}

fn ring_by(way: Way) -> CallOrder {
    let mut order = ring(AGENT);
    if let CallOrder::RingAgent { way: by, .. } = &mut order {
        *by = way;
    }
    order
}

#[test]
fn a_device_is_rung_call_by_call_and_each_of_its_legs_ends_once() {
    for (world, way) in BOTH {
        for (callee, told) in [
            (Callee::answers(100), "AgentRinging AgentAnswered Bridged LegEnded LegEnded Ended"),
            (Callee::talks(100, 500), "AgentRinging AgentAnswered Bridged LegEnded LegEnded Ended"),
            (Callee::refuses(100, 486), "AgentRinging LegEnded AgentFailed LegEnded Ended"),
            (Callee::rings(), "AgentRinging LegEnded AgentFailed LegEnded Ended"),
        ] {
            let mut w = world(callee);
            w.peers[0].default = Callee::answers(50);
            w.order(dial(), true);
            w.run_for(300);
            w.order(ring_by(way()), false);
            w.run_for(300);
            w.order(join(), false);
            w.run_for(9_000);
            w.order(hangup(), false);
            w.run_for(300);
            let names = w.fact_names(CALL).replace("Audio ", "");
            assert_eq!(names, format!("Dialled Ringing Answered {told}"));
            w.assert_at_rest();
        }
    }
}

#[test]
fn a_call_that_ends_while_the_device_rings_stops_it() {
    for (world, way) in BOTH {
        let mut w = world(Callee::rings());
        w.peers[0].default = Callee::answers(50);
        w.order(dial(), true);
        w.run_for(300);
        w.order(ring_by(way()), false);
        w.run_for(500);
        w.order(CallOrder::ReleaseAgent { call: CALL, agent: AGENT }, false);
        w.run_for(300);
        assert!(w.peers[1].legs.is_empty());
        w.order(hangup(), false);
        assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered AgentRinging LegEnded LegEnded Ended");
        w.assert_at_rest();
    }
}

#[test]
fn what_has_no_room_is_not_called() {
    let mut w = at_number(Callee::answers(100));
    w.command(ShardCommand::RemoveTrunk(OTHERS));
    w.command(open(to_number()));
    let down = AgentFact::SessionDown { agent: AGENT, cause: EndCause::NoTrunk, by: Party::System };
    assert_eq!(agent_facts(&w), [&down]);
    w.order(dial(), true);
    w.run_for(300);
    w.order(ring_by(to_number()), false);
    let failed = w.facts_of(CALL).into_iter().last();
    assert!(matches!(failed, Some(CallFact::AgentFailed { cause: EndCause::NoTrunk, .. })), "{failed:?}");
    w.order(hangup(), false);
    w.assert_at_rest();
    assert!(w.peers[1].invites.is_empty());
}

fn to_confirmed() -> Way {
    let Way::Number { trunk, to, caller_id, .. } = to_number() else { unreachable!("it is one") };
    Way::Number { trunk, to, caller_id, confirm_key: Some('1') }
}

/// Whoever answers for an agent presses the key, or is not the agent: a mailbox gets no customer.
#[test]
fn who_answers_has_to_press_the_key() {
    for pressed in [Some(1), Some(2), None] {
        let mut w = at_number(Callee::answers(100));
        w.peers[0].default = Callee::answers(50);
        w.order(dial(), true);
        w.run_for(300);
        w.order(ring_by(to_confirmed()), false);
        w.run_for(500);
        assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered AgentRinging", "answered is not enough");
        if let Some(key) = pressed {
            w.peer_presses(1, key);
            w.run_for(700);
        }
        if pressed == Some(1) {
            w.order(join(), false);
            w.run_for(300);
        } else {
            w.run_for(9_000);
        }
        w.order(hangup(), false);
        w.run_for(300);
        let told = match pressed {
            Some(1) => "AgentAnswered Bridged LegEnded LegEnded",
            _ => "LegEnded AgentFailed LegEnded",
        };
        let names = w.fact_names(CALL).replace("Audio ", "");
        assert_eq!(names, format!("Dialled Ringing Answered AgentRinging {told} Ended"));
        w.assert_at_rest();
    }
}

#[test]
fn a_session_stands_when_the_key_was_pressed() {
    let mut w = at_number(Callee::answers(100));
    w.command(open(to_confirmed()));
    w.run_for(500);
    assert!(agent_facts(&w).is_empty());
    w.peer_presses(1, 1);
    w.run_for(700);
    assert_eq!(agent_facts(&w), [&AgentFact::SessionUp { agent: AGENT }]);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
    let mut w = at_number(Callee::answers(100));
    w.command(open(to_confirmed()));
    w.run_for(20_000);
    let down = AgentFact::SessionDown { agent: AGENT, cause: EndCause::NoAnswer, by: Party::System };
    assert_eq!(agent_facts(&w), [&down]);
    w.assert_at_rest();
}
