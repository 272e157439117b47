//! Who may be dialled: do-not-call lists, windows on the callee's clock, limits, filters, and who may break them.

use crate::house::{House, START, request};
use dialer_core::compliance::{CallingWindows, DayHours, EVERY_DAY};
use dialer_core::config::{CampaignConfig, DialMode, DncListConfig, Policy};
use dialer_core::disposition::{DispositionRule, Said};
use dialer_core::record::{DncNumbers, LeadState};
use dialer_core::screen::{Filter, Frequency};
use dialer_core::{
    AgentId, CampaignId, Command, CommandError, DncListId, EndCause, Event, LeadId, ListId, OriginateRequest,
    Party, Recycle, Reply,
};

fn progressive(list: ListId) -> CampaignConfig {
    CampaignConfig {
        name: "c".into(),
        mode: DialMode::Progressive,
        lists: vec![list],
        ..CampaignConfig::default()
    }
}

pub(crate) fn dnc_list(house: &mut House, everywhere: bool) -> DncListId {
    let config = DncListConfig { name: "internal".into(), everywhere, ..DncListConfig::default() };
    match house.command(Command::CreateDncList(config)) {
        Ok(Reply::DncList(id, 1)) => id,
        other => panic!("{other:?}"),
    }
}

fn number_of(house: &House, lead: u128) -> u64 {
    house.store.leads[&LeadId::from_bits(lead)].phones[0].number[1..].parse().unwrap()
}

pub(crate) fn block(house: &mut House, list: DncListId, numbers: Vec<u64>) {
    let entries = DncNumbers { numbers, ..DncNumbers::default() };
    house.command(Command::AddDnc { list, entries }).unwrap();
}

fn states(house: &House) -> Vec<LeadState> {
    house.store.leads.values().map(|lead| lead.progress.state).collect()
}

fn change(house: &mut House, campaign: CampaignId, change: impl FnOnce(&mut CampaignConfig)) {
    let mut config = house.store.campaigns[&campaign].config.clone();
    change(&mut config);
    let command = Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None };
    house.command(command).unwrap();
}

fn click(agent: AgentId, to: u64, campaign: Option<CampaignId>, reason: Option<&str>) -> Command {
    let override_reason = reason.map(str::to_owned);
    Command::Originate(OriginateRequest { campaign, override_reason, ..request(agent, format!("+{to}")) })
}

#[test]
fn listed_numbers_are_not_dialled_whenever_they_were_listed() {
    let mut house = House::new();
    house.plain_trunk();
    let everywhere = dnc_list(&mut house, true);
    let own = dnc_list(&mut house, false);
    let list = house.list(4);
    let (first, second, third) = (number_of(&house, 1), number_of(&house, 2), number_of(&house, 3));
    block(&mut house, everywhere, vec![first]);
    block(&mut house, own, vec![second]);
    let campaign = house.running(CampaignConfig { dnc_lists: vec![own], ..progressive(list) });
    // The third is in the hopper when its number is listed.
    block(&mut house, everywhere, vec![third]);
    house.ready_agent("anna");
    house.ready_agent("bert");
    house.pass(3_000);
    assert_eq!(states(&house), [LeadState::Dnc, LeadState::Dnc, LeadState::Dnc, LeadState::Dialing]);
    assert_eq!(house.dialled().len(), 1);
    let told = house.store.events.iter().filter(|event| matches!(event.event, Event::LeadDnc { .. })).count();
    assert_eq!(told, 3);
    assert!(matches!(
        house.command(Command::DeleteDncList(own)),
        Err(CommandError::InvalidState { detail }) if detail.contains(&campaign.to_string())
    ));
    // What was listed is listed after a crash.
    let store = std::mem::take(&mut house.store);
    let mut after = House::restarted(store, 10_000);
    let entries = DncNumbers { numbers: vec![first], ..DncNumbers::default() };
    let again = after.command(Command::AddDnc { list: everywhere, entries });
    assert_eq!(again, Ok(Reply::Count(0)));
}

#[test]
fn a_number_after_one_that_is_listed_is_dialled() {
    let mut house = House::new();
    house.plain_trunk();
    let dnc = dnc_list(&mut house, true);
    let list = house.list(1);
    let lead = house.store.leads.get_mut(&LeadId::from_bits(1)).unwrap();
    let mut other = lead.phones[0].clone();
    other.number = "+4930999999".into();
    lead.phones.push(other);
    let first = number_of(&house, 1);
    block(&mut house, dnc, vec![first]);
    house.running(progressive(list));
    house.ready_agent("anna");
    house.pass(1_500);
    let call = house.last_dialled();
    house.end(call, Party::Customer, EndCause::Busy);
    assert_eq!(house.record(call).to, "+4930999999");
}

#[test]
fn leads_are_dialled_when_their_own_clock_allows() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(3);
    // 01:00 UTC: 9:00 in Shanghai, 10:00 in Tokyo; the third number is in no plan.
    for (lead, number) in [(1, "+8613800138000"), (2, "+819012345678"), (3, "+999123456789")] {
        house.store.leads.get_mut(&LeadId::from_bits(lead)).unwrap().phones[0].number = number.into();
    }
    let hours = vec![DayHours { days: EVERY_DAY, from_minute: 10 * 60, to_minute: 20 * 60 }];
    let windows = CallingWindows { hours, ..CallingWindows::default() };
    let campaign =
        house.running(CampaignConfig { calling_windows: Some(Box::new(windows)), ..progressive(list) });
    for name in ["anna", "bert", "cora"] {
        house.ready_agent(name);
    }
    house.pass(2_000);
    assert_eq!(states(&house), [LeadState::New, LeadState::Dialing, LeadState::New], "only Tokyo is open");
    house.pass(3_600_000 - 5_000);
    assert_eq!(states(&house)[0], LeadState::New);
    house.pass(5_000);
    assert_eq!(states(&house)[0], LeadState::Dialing, "Shanghai opens at its ten o'clock");
    assert_eq!(states(&house)[2], LeadState::New, "who cannot be placed is not called");
    // The rule book's hours hold beside the campaign's own: it is noon in Tokyo and on to the evening there.
    change(&mut house, campaign, |config| {
        config.pacing.policy = Policy::UsTsr;
        config.pacing.window = dialer_core::config::AbandonWindow::Days30;
    });
    assert_eq!(states(&house)[2], LeadState::New);
}

#[test]
fn a_filter_takes_effect_while_the_campaign_runs() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(6);
    for (lead, segment) in
        [(1, "gold"), (2, "silver"), (3, "gold"), (4, "silver"), (5, "silver"), (6, "silver")]
    {
        let fields = &mut house.store.leads.get_mut(&LeadId::from_bits(lead)).unwrap().fields;
        fields.insert("segment".into(), segment.into());
    }
    let filter = |text: &str| Some(Filter::parse(text).unwrap());
    let campaign =
        house.running(CampaignConfig { filter: filter(r#"fields.segment = "gold""#), ..progressive(list) });
    for name in ["anna", "bert", "cora", "dora"] {
        house.ready_agent(name);
    }
    house.pass(2_000);
    let dialing =
        |house: &House| states(house).iter().map(|state| *state == LeadState::Dialing).collect::<Vec<_>>();
    assert_eq!(dialing(&house), [true, false, true, false, false, false]);
    change(&mut house, campaign, |config| config.filter = filter(r#"fields.segment != "gold""#));
    house.pass(2_000);
    assert_eq!(dialing(&house).iter().filter(|dialing| **dialing).count(), 4, "as many as there are agents");
}

#[test]
fn a_lead_is_not_dialled_more_often_than_allowed() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(1);
    let mut config = CampaignConfig {
        frequency: Box::new(Frequency { per_24h: Some(2), ..Frequency::default() }),
        ..progressive(list)
    };
    config.retry = vec![dialer_core::config::RetryRule::new(dialer_core::Outcome::Busy, 1_000, 100)];
    config.attempts_max = 100;
    house.running(config);
    house.ready_agent("anna");
    for _ in 0..3 {
        house.pass(10_000);
        for call in house.open() {
            house.end(call, Party::Customer, EndCause::Busy);
        }
    }
    assert_eq!(house.dialled().len(), 2);
    house.pass(24 * 3_600_000 - 60_000);
    assert_eq!(house.dialled().len(), 2);
    house.pass(60_000);
    assert_eq!(house.dialled().len(), 3, "a day after the first there is room for one more");
}

#[test]
fn a_call_from_the_api_is_checked_as_a_dial_is() {
    let mut house = House::new();
    house.plain_trunk();
    let dnc = dnc_list(&mut house, true);
    let list = house.list(1);
    let anna = house.ready_agent("anna");
    let number = number_of(&house, 1);
    let hours = vec![DayHours { days: EVERY_DAY, from_minute: 10 * 60, to_minute: 20 * 60 }];
    let windows = Some(Box::new(CallingWindows { hours, ..CallingWindows::default() }));
    let campaign = house.campaign(CampaignConfig { calling_windows: windows, ..progressive(list) });
    let rule = |result: Result<Reply, CommandError>| match result {
        Err(CommandError::Compliance { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    // 2:00 at night in Berlin.
    assert_eq!(rule(house.command(click(anna, number, Some(campaign), None))), "calling_window");
    assert_eq!(rule(house.command(click(anna, 999_123_456_789, Some(campaign), None))), "time_zone_unknown");
    block(&mut house, dnc, vec![number]);
    assert_eq!(rule(house.command(click(anna, number, None, None))), "dnc");
    assert_eq!(house.dialer.counters().rule_hits, [1, 1, 1, 0]);
    let Ok(Reply::Call(call)) = house.command(click(anna, number, None, Some("asked to be called"))) else {
        panic!()
    };
    let told: Vec<_> = house.store.events.iter().filter(|event| event.call == Some(call)).collect();
    assert!(told.iter().any(|event| {
        event.event == Event::ComplianceOverridden { rule: "dnc".into(), reason: "asked to be called".into() }
    }));
    assert_eq!(house.dialer.counters().overrides, 1);
}

/// A call to the first lead, named or known by its number alone.
fn by_hand(house: &House, agent: AgentId, campaign: Option<CampaignId>, named: bool) -> Command {
    let lead = Some(Box::new(house.store.leads[&LeadId::from_bits(1)].clone()));
    let to = lead.as_ref().map(|lead| lead.phones[0].number.clone()).unwrap_or_default();
    let (lead, known) = if named { (lead, None) } else { (None, lead) };
    Command::Originate(OriginateRequest { campaign, lead, known, ..request(agent, to) })
}

fn refused(house: &mut House, command: Command) -> &'static str {
    match house.command(command) {
        Err(CommandError::Compliance { rule, .. }) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_escapes_a_campaigns_rules_by_naming_none_or_another() {
    let mut house = House::new();
    house.plain_trunk();
    let (list, other_list) = (house.list(1), house.list(1));
    let anna = house.ready_agent("anna");
    let hours = vec![DayHours { days: EVERY_DAY, from_minute: 10 * 60, to_minute: 20 * 60 }];
    let windows = Some(Box::new(CallingWindows { hours, ..CallingWindows::default() }));
    let strict = house.campaign(CampaignConfig { calling_windows: windows, ..progressive(list) });
    let lax = house.campaign(progressive(other_list));
    // 2:00 at night in Berlin, where the lead's campaign may not call.
    for campaign in [None, Some(strict), Some(lax)] {
        for named in [true, false] {
            let command = by_hand(&house, anna, campaign, named);
            assert_eq!(refused(&mut house, command), "calling_window", "{campaign:?} {named}");
        }
    }
    // It is ten in the morning where the lead says it is.
    let lead = house.store.leads.get_mut(&LeadId::from_bits(1)).expect("it was made");
    lead.time_zone = Some("Asia/Tokyo".into());
    let command = by_hand(&house, anna, None, false);
    assert!(matches!(house.command(command), Ok(Reply::Call(_))));
}

#[test]
fn calls_by_hand_keep_to_limits_per_time_and_count_in_them() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(1);
    let anna = house.ready_agent("anna");
    let frequency = Box::new(Frequency { per_24h: Some(2), ..Frequency::default() });
    let campaign = house.campaign(CampaignConfig { frequency, ..progressive(list) });
    for named in [false, true] {
        let command = by_hand(&house, anna, None, named);
        let Ok(Reply::Call(call)) = house.command(command) else { panic!("{named}") };
        house.pass(1_000);
        house.end(call, Party::Customer, EndCause::Busy);
        house.pass(1_000);
        house.command(Command::AgentReady(anna)).ok();
    }
    for named in [false, true] {
        for campaign in [None, Some(campaign)] {
            let command = by_hand(&house, anna, campaign, named);
            assert_eq!(refused(&mut house, command), "frequency", "{campaign:?} {named}");
        }
    }
    let lead = &house.store.leads[&LeadId::from_bits(1)];
    assert_eq!((lead.progress.attempts, lead.progress.recent.len()), (1, 2), "one named the lead");
    house.pass(24 * 3_600_000);
    let command = by_hand(&house, anna, None, false);
    assert!(matches!(house.command(command), Ok(Reply::Call(_))), "a day later there is room again");
}

#[test]
fn a_number_is_not_dialled_more_often_than_allowed_whoever_has_it() {
    let mut house = House::new();
    house.plain_trunk();
    let (first, second) = (house.list(1), house.list(1));
    let number = house.store.leads[&LeadId::from_bits(1)].phones[0].clone();
    house.store.leads.get_mut(&LeadId::from_bits(2)).expect("it was made").phones = vec![number];
    let frequency = Box::new(Frequency { per_number_24h: Some(1), ..Frequency::default() });
    let config = |list| CampaignConfig { frequency: frequency.clone(), ..progressive(list) };
    let campaign = house.running(config(first));
    let anna = house.ready_agent("anna");
    house.pass(1_000);
    assert_eq!(house.dialled().len(), 1);
    for call in house.open() {
        house.end(call, Party::Customer, EndCause::Rejected);
    }
    let other = house.running(config(second));
    house.pass(60_000);
    assert_eq!(house.dialled().len(), 1, "the same number, of another lead in another campaign");
    let to = house.store.leads[&LeadId::from_bits(2)].phones[0].number.clone();
    let by_hand = request(anna, to.clone());
    let command = Command::Originate(OriginateRequest { campaign: Some(campaign), ..by_hand });
    assert_eq!(refused(&mut house, command), "frequency", "nor by hand");
    // A new start does not forget it.
    let after_ms = house.now.as_millis() + 1_000;
    let mut house = House::restarted(house.store.clone(), after_ms);
    let bert = house.ready_agent("bert");
    let command = Command::Originate(OriginateRequest { campaign: Some(campaign), ..request(bert, to) });
    assert_eq!(refused(&mut house, command.clone()), "frequency");
    for campaign in [campaign, other] {
        house.command(Command::StopCampaign(campaign)).unwrap();
    }
    house.pass(24 * 3_600_000);
    let reply = house.command(command);
    assert!(!matches!(reply, Err(CommandError::Compliance { .. })), "a day later there is room: {reply:?}");
}

#[test]
fn who_has_refused_is_not_called_for_as_long_as_the_rule_book_asks_for() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(1);
    let refusal = DispositionRule { refusal: true, ..DispositionRule::from("not interested") };
    let mut config = progressive(list);
    config.frequency = Box::new(Frequency { refusal_days: Some(60), ..Frequency::default() });
    config.dispositions = vec![refusal];
    config.record = false;
    house.running(config);
    let anna = house.ready_agent("anna");
    house.pass(1_000);
    let call = house.last_dialled();
    house.join(call);
    house.pass(10_000);
    house.end(call, Party::Customer, EndCause::Normal);
    let said = Said { code: "not interested".into(), ..Said::default() };
    house.command(Command::SetDisposition { call, said }).unwrap();
    let wish = Recycle {
        list,
        leads: vec![house.store.leads[&LeadId::from_bits(1)].clone()],
        states: vec![LeadState::Done],
        outcomes: Vec::new(),
    };
    house.command(Command::RecycleLeads(Box::new(wish))).unwrap();
    house.pass(3_600_000);
    assert_eq!(house.dialled().len(), 1, "not even when the list is dialled anew");
    let command = by_hand(&house, anna, None, false);
    assert_eq!(refused(&mut house, command), "frequency", "nor by hand");
    house.pass(60 * 24 * 3_600_000);
    assert_eq!(house.dialled().len(), 2, "60 days later it is");
}

#[test]
fn a_phone_is_told_what_nobody_may_call_however_it_is_dialled() {
    let mut house = House::new();
    house.plain_trunk();
    let (ours, own) = (dnc_list(&mut house, true), dnc_list(&mut house, false));
    let anna = house.ready_agent("anna");
    block(&mut house, ours, vec![4_930_123_456]);
    block(&mut house, own, vec![4_930_123_457]);
    let wall = START.plus_millis(house.now.as_millis() as i64);
    for dialled in ["+4930123456", "4930123456", "004930123456", "0114930123456"] {
        assert_eq!(house.dialer.forbids(anna, dialled, wall), Some("dnc"), "{dialled}");
    }
    for dialled in ["+4930123457", "+4930123458", "7300", "alice", ""] {
        assert_eq!(house.dialer.forbids(anna, dialled, wall), None, "{dialled}");
    }
}
