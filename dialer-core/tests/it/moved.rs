//! A dialled call that its trunk does not take: the order names who is asked next, and the call goes on over that one.

use crate::house::{House, request};
use dialer_core::config::TrunkConfig;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{CallFact, CallOrder, Command, OriginateRequest, OtherTrunk, Reply, TrunkId};
use std::collections::BTreeMap;

fn trunk(house: &mut House, name: &str, priority: u16) -> TrunkId {
    house.trunk(TrunkConfig {
        name: name.into(),
        address: "192.0.2.1:5060".into(),
        options_interval_ms: 0,
        channels_max: 1,
        priority,
        caller_id: Some(format!("+49{priority}")),
        ..TrunkConfig::default()
    })
}

/// The trunk of the last order to dial, who is asked next, and the number shown.
fn last_dial(house: &House) -> (TrunkId, Vec<OtherTrunk>, Option<String>) {
    let dial = |order: &CallOrder| match order {
        CallOrder::DialCustomer { trunk, others, caller_id, .. } => {
            Some((*trunk, others.clone(), caller_id.clone()))
        }
        _ => None,
    };
    house.orders.iter().rev().find_map(dial).expect("an order to dial")
}

fn shown(number: &str) -> Option<String> {
    Some(number.to_owned())
}

/// Its channel, its number, its view and its record are those of the trunk that carries it; the house sees to it that no
/// channel is counted twice.
#[test]
fn a_call_goes_on_over_another_trunk() {
    let mut house = House::new();
    let [first, second, third] =
        [("first", 1), ("second", 2), ("third", 3)].map(|(name, priority)| trunk(&mut house, name, priority));
    let agent = house.ready_agent("anna");
    let Ok(Reply::Call(call)) = house.command(Command::Originate(request(agent, "+4930123456"))) else {
        panic!("an agent and trunks are there")
    };
    let other = |trunk, number: &str| OtherTrunk { trunk, caller_id: shown(number) };
    let others = vec![other(second, "+492"), other(third, "+493")];
    assert_eq!(last_dial(&house), (first, others, shown("+491")));
    house.call_fact(CallFact::Dialled { call });
    for (trunk, number) in [(second, "+492"), (third, "+493")] {
        house.call_fact(CallFact::Moved { call, trunk, caller_id: shown(number), sip_code: Some(503) });
        let view = &house.views[&call];
        assert_eq!((view.trunk, view.caller_id.clone()), (Some(trunk), shown(number)));
    }
    house.answer(call);
    house.end(call, Party::Customer, EndCause::Normal);
    let record = house.record(call);
    assert_eq!((record.trunk, record.caller_id.clone()), (Some(third), shown("+493")));
    let said = |trunk| house.dialer.counters().trunks[&trunk].final_codes.clone();
    assert_eq!([first, second].map(said), [BTreeMap::from([(503, 1)]), BTreeMap::from([(503, 1)])]);
}

/// A number that was asked for is shown over every trunk, a trunk that was asked for is the only one, and one without a
/// free channel is not named.
#[test]
fn who_is_asked_next() {
    let mut house = House::new();
    let [first, second] =
        [("first", 1), ("second", 2)].map(|(name, priority)| trunk(&mut house, name, priority));
    let [anna, bert, cora] = ["anna", "bert", "cora"].map(|name| house.ready_agent(name));
    let asked = OriginateRequest { caller_id: shown("+4940"), ..request(anna, "+4930123456") };
    assert!(house.command(Command::Originate(asked)).is_ok());
    let next = OtherTrunk { trunk: second, caller_id: shown("+4940") };
    assert_eq!(last_dial(&house), (first, vec![next], shown("+4940")));
    let asked = OriginateRequest { trunk: Some(second), ..request(bert, "+4930123457") };
    assert!(house.command(Command::Originate(asked)).is_ok());
    assert_eq!(last_dial(&house), (second, Vec::new(), shown("+492")));
    let third = trunk(&mut house, "third", 3);
    assert!(house.command(Command::Originate(request(cora, "+4930123458"))).is_ok());
    assert_eq!(last_dial(&house), (third, Vec::new(), shown("+493")));
}
