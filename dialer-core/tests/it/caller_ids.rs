//! Caller IDs: whose pool a call shows a number of, caps that hold over a crash, and numbers left alone.

use crate::house::{House, request};
use dialer_core::caller_id::{CallerIdPoolConfig, CallerIdReport, NumberCaps, Quarantine, Strategy};
use dialer_core::config::{CampaignConfig, DialMode};
use dialer_core::view::LimitedBy;
use dialer_core::{
    AgentId, CallId, CallerIdPoolId, CampaignId, Command, CommandError, EndCause, Event, ListId,
    OriginateRequest, Party, Reply,
};

const NORTH: [&str; 2] = ["+49301", "+49302"];

fn pool(
    house: &mut House,
    name: &str,
    numbers: &[&str],
    change: impl FnOnce(&mut CallerIdPoolConfig),
) -> CallerIdPoolId {
    let numbers = numbers.iter().map(|number| (*number).to_owned()).collect();
    let mut config = CallerIdPoolConfig { name: name.into(), numbers, ..CallerIdPoolConfig::default() };
    change(&mut config);
    match house.command(Command::CreateCallerIdPool(config)) {
        Ok(Reply::CallerIdPool(id, 1)) => id,
        other => panic!("{other:?}"),
    }
}

fn progressive(list: ListId, pool: CallerIdPoolId) -> CampaignConfig {
    CampaignConfig {
        name: "c".into(),
        mode: DialMode::Progressive,
        lists: vec![list],
        caller_id: Some("+4999".into()),
        caller_id_pool: Some(pool),
        ..CampaignConfig::default()
    }
}

fn click(house: &mut House, agent: AgentId, campaign: Option<CampaignId>) -> Result<CallId, CommandError> {
    let request = OriginateRequest { campaign, ..request(agent, "+4930123456") };
    let reply = house.command(Command::Originate(request));
    match reply {
        Ok(Reply::Call(call)) => Ok(call),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

fn numbers(house: &House) -> Vec<String> {
    let mut shown: Vec<(u128, String)> = house
        .store
        .ended
        .values()
        .filter_map(|record| Some((record.call.to_bits(), record.caller_id.clone()?)))
        .collect();
    shown.sort();
    shown.into_iter().map(|(_, number)| number).collect()
}

fn events(house: &House, name: &str) -> usize {
    house.store.events.iter().filter(|event| event.event.type_name() == name).count()
}

/// Lets the one agent's calls be dialled and end with `cause`, until `count` have ended or nothing is dialled any more.
fn run(house: &mut House, count: usize, cause: EndCause) {
    let wanted = house.store.ended.len() + count;
    for _ in 0..count * 4 {
        for call in house.open() {
            house.end(call, Party::Customer, cause);
        }
        if house.store.ended.len() >= wanted {
            return;
        }
        house.pass(1_000);
    }
}

#[test]
fn a_campaign_rotates_its_pool_and_stops_at_the_caps_also_after_a_crash() {
    let mut house = House::new();
    house.plain_trunk();
    let north = pool(&mut house, "north", &NORTH, |config| {
        config.strategy = Strategy::RotateCalls;
        config.caps = NumberCaps { per_hour: Some(2), ..NumberCaps::default() };
    });
    let list = house.list(10);
    house.ready_agent("anna");
    let campaign = house.running(progressive(list, north));
    run(&mut house, 3, EndCause::Busy);
    assert_eq!(numbers(&house), ["+49301", "+49302", "+49301"]);
    // The crash comes while the fourth call rings: its number was shown, and it ends once.
    house.pass(2_000);
    assert_eq!((house.open().len(), house.store.ended.len()), (1, 3));
    let mut house = House::restarted(house.store.clone(), 1_000);
    assert_eq!(numbers(&house), ["+49301", "+49302", "+49301", "+49302"]);
    house.ready_agent("bert");
    house.pass(60_000);
    assert_eq!(house.store.attempts, 4, "both numbers have had their two calls of this hour");
    let shown = house.store.events.iter().rev().find_map(|event| match &event.event {
        Event::CampaignPacing { report } if event.campaign == Some(campaign) => Some(report.limited_by),
        _ => None,
    });
    assert_eq!(shown, Some(LimitedBy::CallerIds));
    house.pass(3_600_000);
    assert!(house.store.attempts > 4, "an hour after the first call a number may be shown again");
}

#[test]
fn the_agents_pool_goes_before_the_groups_and_the_campaigns() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(1);
    let anna = house.ready_agent("anna");
    let own = pool(&mut house, "own", &["+111"], |config| {
        config.agents = vec![anna];
        config.caps.per_day = Some(1);
    });
    let north = pool(&mut house, "north", &["+222"], |config| config.caps.per_day = Some(1));
    let campaign = house.campaign(progressive(list, north));
    let mut shown = Vec::new();
    for _ in 0..2 {
        let call = click(&mut house, anna, Some(campaign)).unwrap();
        house.pass(1_500);
        house.end(call, Party::Customer, EndCause::Busy);
        house.pass(1_500);
        shown.push(house.record(call).caller_id.clone().unwrap());
    }
    assert_eq!(shown, ["+111", "+222"], "a pool with none to show passes the call on");
    let none = click(&mut house, anna, Some(campaign));
    assert_eq!(none, Err(CommandError::Limit { what: "caller IDs of the campaign's pool" }));
    let in_use = house.command(Command::DeleteCallerIdPool(north));
    assert!(matches!(in_use, Err(CommandError::InvalidState { .. })), "{in_use:?}");
    assert_eq!(house.command(Command::DeleteCallerIdPool(own)), Ok(Reply::Done));
    let gone = house.command(Command::ReleaseCallerId { pool: own, number: "+111".into() });
    assert_eq!(gone, Err(CommandError::NotFound { what: "caller-ID pool" }));
}

#[test]
fn the_pool_of_the_leads_list_goes_before_the_campaigns_and_is_forgotten_with_the_list() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let (own, other) = (house.list(1), house.list(1));
    let of_list = pool(&mut house, "of list", &["+111"], |config| config.lists = vec![own]);
    let north = pool(&mut house, "north", &["+222"], |_| {});
    let campaign = house.running(CampaignConfig { lists: vec![own, other], ..progressive(own, north) });
    run(&mut house, 2, EndCause::Busy);
    let shown = |of: ListId| {
        let of_list = |record: &&dialer_core::CallRecord| house.store.leads[&record.lead.unwrap()].list == of;
        house.store.ended.values().find(of_list).unwrap().caller_id.clone().unwrap()
    };
    assert_eq!((shown(own), shown(other)), ("+111".into(), "+222".into()));
    house.command(Command::StopCampaign(campaign)).unwrap();
    for call in house.open() {
        house.end(call, Party::Api, EndCause::Cancelled);
    }
    let numbers = vec!["+333".into()];
    let gone = CallerIdPoolConfig { name: "x".into(), numbers, lists: vec![own], ..Default::default() };
    house.command(Command::DeleteList(own)).unwrap();
    assert!(house.store.pools[&of_list].row.config.lists.is_empty(), "it names what there is");
    match house.command(Command::CreateCallerIdPool(gone)) {
        Err(CommandError::Invalid { pointer, .. }) => assert_eq!(pointer, "/lists/0"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocked_numbers_are_left_alone_over_a_crash_and_come_back_after_their_time_or_by_hand() {
    let mut house = House::new();
    house.plain_trunk();
    let north = pool(&mut house, "north", &NORTH, |config| {
        config.quarantine = Some(Quarantine { blocks_max: 2, lasts_ms: 600_000, ..Quarantine::default() });
    });
    let list = house.list(20);
    house.ready_agent("anna");
    house.running(progressive(list, north));
    run(&mut house, 2, EndCause::Blocked);
    assert_eq!(numbers(&house), ["+49301", "+49301"]);
    assert_eq!(events(&house, "caller_id.quarantined"), 1);
    run(&mut house, 1, EndCause::Busy);
    assert_eq!(numbers(&house)[2..], ["+49302"]);
    let mut house = House::restarted(house.store.clone(), 1_000);
    let release = |house: &mut House, number: &str| {
        house.command(Command::ReleaseCallerId { pool: north, number: number.into() })
    };
    let free = release(&mut house, "+49302");
    assert!(matches!(free, Err(CommandError::InvalidState { .. })), "{free:?}");
    assert_eq!(release(&mut house, "+49301"), Ok(Reply::Done));
    assert_eq!(events(&house, "caller_id.restored"), 1);
    let by_hand = Command::QuarantineCallerId { pool: north, number: "+49301".into() };
    assert_eq!(house.command(by_hand.clone()), Ok(Reply::Done));
    assert!(matches!(house.command(by_hand), Err(CommandError::InvalidState { .. })));
    house.pass(599_000);
    assert_eq!(events(&house, "caller_id.restored"), 1);
    house.pass(2_000);
    assert_eq!(events(&house, "caller_id.restored"), 2);
    let told =
        |event: &Event| matches!(event, Event::CallerIdQuarantined { reason, .. } if reason == "by_hand");
    assert!(house.store.events.iter().any(|event| told(&event.event)));
}

#[test]
fn a_bad_reputation_leaves_a_number_alone_until_it_is_taken_back() {
    let mut house = House::new();
    house.plain_trunk();
    let north = pool(&mut house, "north", &NORTH, |_| {});
    let report = |house: &mut House, source: &str, score: Option<f64>, label: Option<&str>| {
        let label = label.map(str::to_owned);
        let report = CallerIdReport { number: "+49301".into(), source: source.into(), score, label };
        house.command(Command::ReportCallerIds { pool: north, reports: vec![report] })
    };
    assert_eq!(report(&mut house, "a", Some(0.3), Some("telemarketer")), Ok(Reply::Count(0)), "good enough");
    assert_eq!(report(&mut house, "a", Some(0.29), None), Ok(Reply::Count(1)));
    assert_eq!(report(&mut house, "b", Some(0.9), Some("Spam")), Ok(Reply::Count(0)), "it is already");
    let list = house.list(5);
    house.ready_agent("anna");
    house.running(progressive(list, north));
    run(&mut house, 1, EndCause::Busy);
    assert_eq!(numbers(&house), ["+49302"]);
    let mut house = House::restarted(house.store.clone(), 1_000);
    assert_eq!(report(&mut house, "a", Some(0.8), None), Ok(Reply::Count(0)), "b says so still");
    assert_eq!(report(&mut house, "b", None, None), Ok(Reply::Count(1)), "nobody does");
    assert_eq!(events(&house, "caller_id.restored"), 1);
    let told =
        |event: &Event| matches!(event, Event::CallerIdQuarantined { reason, .. } if reason == "reputation");
    assert_eq!(house.store.events.iter().filter(|event| told(&event.event)).count(), 1);
    // By hand is by hand.
    house.command(Command::QuarantineCallerId { pool: north, number: "+49301".into() }).unwrap();
    assert_eq!(report(&mut house, "a", Some(1.0), None), Ok(Reply::Count(0)));
    for (number, score, pointer) in [("+1", 0.5, "/reports/1/number"), ("+49302", 1.1, "/reports/1/score")] {
        let one = |number: &str, score| CallerIdReport {
            number: number.into(),
            source: "a".into(),
            score: Some(score),
            label: None,
        };
        let reports = vec![one("+49302", 0.0), one(number, score)];
        let refused = house.command(Command::ReportCallerIds { pool: north, reports }).unwrap_err();
        assert!(matches!(refused, CommandError::Invalid { pointer: at, .. } if at == pointer));
    }
    assert_eq!(events(&house, "caller_id.quarantined"), 2, "all of them or none");
}

#[test]
fn settings_that_do_not_fit_are_refused_with_their_place() {
    let mut house = House::new();
    let anna = house.agent("anna");
    let good = CallerIdPoolConfig {
        name: "p".into(),
        numbers: vec!["+49301".into()],
        ..CallerIdPoolConfig::default()
    };
    assert!(house.command(Command::CreateCallerIdPool(good.clone())).is_ok());
    let mut refused = |change: &dyn Fn(&mut CallerIdPoolConfig)| {
        let mut config = CallerIdPoolConfig { name: "q".into(), ..good.clone() };
        change(&mut config);
        match house.command(Command::CreateCallerIdPool(config)) {
            Err(CommandError::Invalid { pointer, .. } | CommandError::Conflict { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|c| c.name = "p".into()), "/name");
    assert_eq!(refused(&|c| c.numbers = Vec::new()), "/numbers");
    assert_eq!(refused(&|c| c.numbers.push("+49301".into())), "/numbers/1");
    assert_eq!(refused(&|c| c.numbers.push("anonymous".into())), "/numbers/1");
    assert_eq!(refused(&|c| c.rotate_every = 0), "/rotate_every");
    assert_eq!(refused(&|c| c.caps.per_hour = Some(0)), "/caps/per_hour");
    assert_eq!(refused(&|c| c.caps.per_day = Some(10_001)), "/caps/per_day");
    assert_eq!(refused(&|c| c.agents = vec![anna, AgentId::from_bits(7)]), "/agents/1");
    assert_eq!(refused(&|c| c.quarantine.as_mut().unwrap().blocks_max = 0), "/quarantine/blocks_max");
    let unknown = CampaignConfig {
        name: "c".into(),
        caller_id_pool: Some(CallerIdPoolId::from_bits(9)),
        ..CampaignConfig::default()
    };
    match house.command(Command::CreateCampaign(Box::new(unknown))) {
        Err(CommandError::Invalid { pointer, .. }) => assert_eq!(pointer, "/caller_id_pool"),
        other => panic!("{other:?}"),
    }
}
