//! Agents who are called at an address or at a telephone number.

use crate::compliance::{block, dnc_list};
use crate::house::House;
use crate::ladder::{check, progressive};
use dialer_core::config::{AgentConfig, CampaignConfig, SessionKind, TrunkConfig, TrunkTransport};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::Way;
use dialer_core::view::AgentState;
use dialer_core::{
    AgentDevice, AgentFact, AgentId, CallFact, CallOrder, Command, CommandError, Input, Reply, TrunkId,
};
use expect_test::expect;

const NUMBER: &str = "+4915112345678";

fn number(trunk: Option<TrunkId>) -> AgentDevice {
    AgentDevice::Number {
        number: NUMBER.into(),
        trunk,
        caller_id: Some("+498912340".into()),
        confirm_key: None,
    }
}

fn config(device: AgentDevice) -> AgentConfig {
    AgentConfig {
        name: "anna".into(),
        username: "anna".into(),
        destinations: vec!["+4915".into()],
        device,
        ..AgentConfig::default()
    }
}

fn agent(house: &mut House, device: AgentDevice) -> AgentId {
    match house.command(Command::CreateAgent(config(device))) {
        Ok(Reply::Agent(id, 1)) => {
            house.names.insert(id.to_string(), "anna".into());
            id
        }
        other => panic!("{other:?}"),
    }
}

fn log_in(house: &mut House, agent: AgentId, session: SessionKind) {
    house.command(Command::AgentLogin { agent, session }).unwrap();
}

fn down(house: &mut House, agent: AgentId, cause: EndCause) {
    house.input(Input::Agent(AgentFact::SessionDown { agent, cause, by: Party::Agent }));
}

#[test]
fn a_number_is_dialled_once_at_login_and_held() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let anna = agent(&mut house, number(None));
    house.log();
    log_in(&mut house, anna, SessionKind::NailedUp);
    // Again while it rings: nothing more is dialled.
    log_in(&mut house, anna, SessionKind::NailedUp);
    assert_eq!(house.dialer.alive().channels, 1);
    assert!(matches!(house.command(Command::DeleteTrunk(trunk)), Err(CommandError::InvalidState { .. })));
    house.input(Input::Agent(AgentFact::SessionUp { agent: anna }));
    house.pass(60_000);
    house.command(Command::AgentLogout(anna)).unwrap();
    down(&mut house, anna, EndCause::Normal);
    house.pass(60_000);
    assert_eq!((house.dialer.alive().channels, house.dialer.alive().sessions), (0, 0));
    check(
        &mut house,
        &expect![[r#"
        0.000  journal AgentStatusChanged
        0.000  event   agent.logged_in
        0.000  effect  OpenSession { agent: anna, way: Number { trunk: trk1, to: "+4915112345678", caller_id: Some("+498912340"), confirm_key: None }, ring_timeout_ms: 30000 }
        0.000  event   agent.state logged_out -> unreachable (login)
        0.000  reply   Done
        0.000  reply   Done
        0.000  refused the trunk carries 1 calls; disable it and wait for their end
        0.000  event   agent.state unreachable -> ready (session_up)
        60.000  journal AgentStatusChanged
        60.000  event   agent.state ready -> logged_out (logout)
        60.000  effect  CloseSession { agent: anna }
        60.000  event   agent.logged_out
        60.000  reply   Done
    "#]],
    );
}

#[test]
fn a_number_that_is_busy_or_not_answered_or_hangs_up_is_not_dialled_again_by_itself() {
    for cause in [EndCause::Busy, EndCause::NoAnswer, EndCause::InvalidNumber, EndCause::Normal] {
        let mut house = House::new();
        house.plain_trunk();
        let anna = agent(&mut house, number(None));
        log_in(&mut house, anna, SessionKind::NailedUp);
        if cause == EndCause::Normal {
            house.input(Input::Agent(AgentFact::SessionUp { agent: anna }));
        }
        house.log();
        down(&mut house, anna, cause);
        house.pass(600_000);
        assert_eq!(house.agent_state(anna), AgentState::LoggedOut, "{cause:?}");
        assert_eq!(house.dialer.alive().channels, 0);
        let log = house.log();
        assert!(!log.contains("OpenSession"), "{log}");
        log_in(&mut house, anna, SessionKind::NailedUp);
        assert!(house.log().contains("OpenSession"), "the agent asks for it");
    }
}

/// What the network or the trunk could not do says nothing of the agent.
#[test]
fn a_number_is_tried_again_after_congestion_and_when_there_is_a_trunk() {
    let mut house = House::new();
    let trunk = house.trunk(TrunkConfig {
        name: "carrier".into(),
        address: "192.0.2.1:5060".into(),
        ..TrunkConfig::default()
    });
    let anna = agent(&mut house, number(Some(trunk)));
    house.log();
    log_in(&mut house, anna, SessionKind::NailedUp);
    assert_eq!(house.dialer.alive().channels, 0, "the trunk is not up");
    down(&mut house, anna, EndCause::NoTrunk);
    house.trunk_up(trunk, true);
    house.log();
    house.pass(1_100);
    assert!(house.log().contains("OpenSession"));
    assert_eq!(house.dialer.alive().channels, 1);
    down(&mut house, anna, EndCause::Congestion);
    house.pass(2_100);
    assert!(house.log().contains("OpenSession"));
    assert_eq!(house.dialer.alive().channels, 1);
}

#[test]
fn logging_out_while_the_number_rings_ends_the_dialling_once() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = agent(&mut house, number(None));
    log_in(&mut house, anna, SessionKind::NailedUp);
    house.log();
    house.command(Command::AgentLogout(anna)).unwrap();
    house.command(Command::AgentLogout(anna)).unwrap();
    // In again before the end of the first leg is told: the second waits for it.
    log_in(&mut house, anna, SessionKind::NailedUp);
    let log = house.log();
    assert_eq!((log.matches("CloseSession").count(), log.matches("OpenSession").count()), (1, 0), "{log}");
    down(&mut house, anna, EndCause::Cancelled);
    // As soon as the trunk's calls per second let it.
    house.pass(100);
    assert_eq!(house.log().matches("OpenSession").count(), 1);
    assert_eq!(house.dialer.alive().channels, 1);
}

#[test]
fn a_hung_up_number_ends_the_call_then_the_shift_and_ready_dials_it_again() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = agent(&mut house, number(None));
    log_in(&mut house, anna, SessionKind::NailedUp);
    house.input(Input::Agent(AgentFact::SessionUp { agent: anna }));
    let list = house.list(1);
    house.running(progressive(list));
    house.pass(60);
    let call = house.last_dialled();
    house.join(call);
    down(&mut house, anna, EndCause::Normal);
    house.end(call, Party::Agent, EndCause::Normal);
    assert_eq!(house.agent_state(anna), AgentState::WrapUp);
    house.log();
    house.command(Command::AgentReady(anna)).unwrap();
    house.pass(100);
    assert!(house.log().contains("OpenSession"));
    down(&mut house, anna, EndCause::NoAnswer);
    assert_eq!(house.agent_state(anna), AgentState::LoggedOut);
    assert_eq!(house.dialer.alive().channels, 0);
}

#[test]
fn a_number_is_rung_for_each_call_and_gives_its_channel_back_on_every_path() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = agent(&mut house, number(None));
    log_in(&mut house, anna, SessionKind::OnDemand);
    assert_eq!(house.agent_state(anna), AgentState::Ready, "nothing has to register");
    let list = house.list(9);
    house.running(CampaignConfig { record: false, ..progressive(list) });
    house.pass(60);
    let call = house.last_dialled();
    house.answer(call);
    assert_eq!(house.agent_state(anna), AgentState::Ringing);
    assert_eq!(house.dialer.alive().channels, 2);
    let way = house.orders.iter().find_map(|order| match order {
        CallOrder::RingAgent { way, .. } => Some(way.clone()),
        _ => None,
    });
    let Some(Way::Number { to, caller_id, .. }) = way else { panic!("{way:?}") };
    assert_eq!((to.as_str(), caller_id.as_deref()), (NUMBER, Some("+498912340")));
    // Busy, not answered: a missed offer each.
    house.call_fact(CallFact::AgentFailed { call, agent: anna, cause: EndCause::Busy, sip_code: Some(486) });
    assert_eq!((house.dialer.alive().channels, house.agent_state(anna)), (1, AgentState::Unreachable));
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.dialer.alive().channels, 0);
}

#[test]
fn a_device_at_an_address_needs_no_registration() {
    let mut house = House::new();
    house.plain_trunk();
    let device = AgentDevice::Address {
        user: "1001".into(),
        address: "198.51.100.9:5060".into(),
        transport: TrunkTransport::Udp,
    };
    let anna = agent(&mut house, device);
    house.log();
    log_in(&mut house, anna, SessionKind::NailedUp);
    down(&mut house, anna, EndCause::Busy);
    house.pass(1_100);
    // As a registered phone: it costs nothing to try again.
    check(
        &mut house,
        &expect![[r#"
        0.000  journal AgentStatusChanged
        0.000  event   agent.logged_in
        0.000  effect  OpenSession { agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
        0.000  event   agent.state logged_out -> unreachable (login)
        0.000  reply   Done
        1.000  effect  OpenSession { agent: anna, way: Phone { agent: anna, auto_answer: Default, display: "" }, ring_timeout_ms: 30000 }
    "#]],
    );
}

#[test]
fn what_a_device_must_be() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let refused = |house: &mut House, config: AgentConfig| match house.command(Command::CreateAgent(config)) {
        Err(CommandError::Invalid { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    };
    let elsewhere = AgentConfig { destinations: vec!["+44".into()], ..config(number(Some(trunk))) };
    assert_eq!(refused(&mut house, elsewhere), "/device/number");
    let nowhere = AgentConfig { destinations: Vec::new(), ..config(number(None)) };
    assert_eq!(refused(&mut house, nowhere), "/device/number");
    assert_eq!(refused(&mut house, config(number(Some(TrunkId::from_bits(9))))), "/device/trunk_id");
    assert_eq!(refused(&mut house, config(AgentDevice::Registered)), "/password");
    let address = |address: &str| AgentDevice::Address {
        user: String::new(),
        address: address.into(),
        transport: TrunkTransport::Udp,
    };
    for wrong in ["host.example:5060", "192.0.2.1", "192.0.2.1:0", "0.0.0.0:5060"] {
        assert_eq!(refused(&mut house, config(address(wrong))), "/device/uri", "{wrong}");
    }
}

#[test]
fn a_number_on_a_do_not_call_list_is_not_called() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = agent(&mut house, number(None));
    let list = dnc_list(&mut house, true);
    block(&mut house, list, vec![NUMBER[1..].parse().unwrap()]);
    log_in(&mut house, anna, SessionKind::NailedUp);
    assert_eq!(house.dialer.alive().channels, 0, "no trunk carries it");
    let bert = AgentConfig { username: "bert".into(), ..config(number(None)) };
    let refused = house.command(Command::CreateAgent(bert));
    assert!(matches!(refused, Err(CommandError::Compliance { rule: "dnc", .. })), "{refused:?}");
}

#[test]
fn a_device_is_changed_by_who_is_logged_out() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = agent(&mut house, number(None));
    log_in(&mut house, anna, SessionKind::NailedUp);
    let config = AgentConfig { password: "secret".into(), ..config(AgentDevice::Registered) };
    let change = Command::UpdateAgent { agent: anna, config, if_version: None };
    assert!(matches!(house.command(change.clone()), Err(CommandError::InvalidAgentState { .. })));
    house.command(Command::AgentLogout(anna)).unwrap();
    assert!(matches!(house.command(change.clone()), Err(CommandError::InvalidAgentState { .. })));
    down(&mut house, anna, EndCause::Cancelled);
    house.command(change).unwrap();
}
