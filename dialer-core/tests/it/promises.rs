//! Promised callbacks: told once when due, made first, at their time and within the windows, kept over a crash.

use crate::house::{House, START};
use crate::ladder::progressive;
use dialer_core::compliance::{CallingWindows, DayHours, EVERY_DAY};
use dialer_core::config::CampaignConfig;
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::record::{Callback, LeadState};
use dialer_core::{
    AgentId, CallFact, CallbackRequest, CampaignId, Command, CommandError, DialerConfig, Event, LeadId,
    ListId, Reply,
};
use sansio::WallTime;

fn lead(number: u128) -> LeadId {
    LeadId::from_bits(number)
}

fn after(house: &House, ms: i64) -> WallTime {
    START.plus_millis(house.now.as_millis() as i64 + ms)
}

fn set(house: &mut House, id: LeadId, promise: Callback, moves: bool) -> Result<Reply, CommandError> {
    let lead = house.store.leads[&id].clone();
    let request = CallbackRequest { lead, promise, moves, if_version: None };
    house.command(Command::SetCallback(Box::new(request)))
}

fn promise(house: &mut House, id: LeadId, ms: i64, agent: Option<AgentId>) {
    let at = after(house, ms);
    assert_eq!(set(house, id, Callback::new(at, agent, None), false), Ok(Reply::Callback(id, 1)));
}

/// What was told of a lead's callback being due, one entry each time.
fn told(house: &House, id: LeadId) -> Vec<Option<AgentId>> {
    let due = |event: &Event| matches!(event, Event::LeadCallbackDue { .. });
    let of = house.store.events.iter().filter(|event| event.lead == Some(id) && due(&event.event));
    of.map(|event| event.agent).collect()
}

fn state(house: &House, id: LeadId) -> LeadState {
    house.store.leads[&id].progress.state
}

fn running(
    house: &mut House,
    change: impl FnOnce(&mut CampaignConfig),
    leads: usize,
) -> (CampaignId, ListId) {
    house.plain_trunk();
    let list = house.list(leads);
    let mut config = progressive(list);
    config.record = false;
    config.timers.wrap_up_ms = 0;
    change(&mut config);
    let Ok(Reply::Campaign(campaign, _)) = house.command(Command::CreateCampaign(Box::new(config))) else {
        panic!()
    };
    house.command(Command::StartCampaign(campaign)).unwrap();
    (campaign, list)
}

fn busy(house: &mut House) {
    let call = house.last_dialled();
    house.call_fact(CallFact::Ended {
        call,
        by: Party::Customer,
        cause: EndCause::Busy,
        sip_code: Some(486),
        q850: None,
    });
}

#[test]
fn a_callback_is_told_when_due_and_made_before_all_else() {
    let config = DialerConfig { hopper_max: 10, hopper_low: 2, ..DialerConfig::default() };
    let mut house = House::with(config);
    running(&mut house, |_| {}, 200);
    promise(&mut house, lead(150), 60_000, None);
    house.pass(59_999);
    assert_eq!((told(&house, lead(150)).len(), house.dialled().len()), (0, 0), "nobody works yet");
    house.pass(1);
    assert_eq!(told(&house, lead(150)), [None], "told, whoever is there");
    house.ready_agent("anna");
    house.pass(100);
    let call = house.last_dialled();
    let of = house.store.open.values().find(|row| row.call == call).unwrap();
    assert_eq!(
        of.lead,
        Some(lead(150)),
        "before the 150 that came earlier, and the ten that were held ready"
    );
    house.pass(30_000);
    assert_eq!(told(&house, lead(150)).len(), 1, "once");
}

#[test]
fn a_callback_waits_for_its_window_and_is_made_when_it_opens() {
    let mut house = House::new();
    house.ready_agent("anna");
    // 12:00 to 13:00 in Germany from the next full hour on; the leads' numbers are German.
    let minute = (START.unix_millis() / 60_000).rem_euclid(1_440) as u16 + 60;
    let from = (minute + 60) % 1_440;
    let hours = vec![DayHours { days: EVERY_DAY, from_minute: from, to_minute: from + 120 }];
    let windows = CallingWindows { hours, ..CallingWindows::default() };
    running(&mut house, |config| config.calling_windows = Some(Box::new(windows)), 1);
    promise(&mut house, lead(1), 60_000, None);
    house.pass(59 * 60_000);
    assert_eq!((told(&house, lead(1)).len(), house.dialled().len()), (1, 0), "due, and closed");
    house.pass(61_000);
    assert_eq!(house.dialled().len(), 1, "it opens");
}

#[test]
fn a_callback_that_reaches_nobody_stays_with_its_agent() {
    let mut house = House::new();
    let [anna, bert] = ["anna", "bert"].map(|name| house.ready_agent(name));
    house.command(Command::AgentPause { agent: bert, code: "tea".into() }).unwrap();
    running(&mut house, |_| {}, 1);
    house.pass(100);
    let call = house.last_dialled();
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(state(&house, lead(1)), LeadState::Done);
    promise(&mut house, lead(1), 60_000, Some(bert));
    assert_eq!(state(&house, lead(1)), LeadState::RetryWait, "a lead that was done with is called again");
    house.pass(120_000);
    assert_eq!(house.dialled().len(), 1, "bert is not there");
    assert_eq!(told(&house, lead(1)), [Some(bert)]);
    house.command(Command::AgentReady(bert)).unwrap();
    house.pass(200);
    assert_eq!(house.dialled().len(), 2, "as soon as bert is");
    busy(&mut house);
    let kept = house.store.leads[&lead(1)].progress.callback.clone().unwrap();
    assert_eq!((kept.agent, kept.told), (Some(bert), false));
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    house.pass(15 * 60_000 + 1_000);
    assert_eq!(house.dialled().len(), 3, "a quarter of an hour later, as the rules say for busy");
    assert_eq!(told(&house, lead(1)).len(), 2);
    let call = house.last_dialled();
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(bert));
    assert_eq!(house.store.leads[&lead(1)].progress.callback, None, "kept");
}

#[test]
fn a_callback_survives_a_crash_before_during_and_after_its_time() {
    let mut house = House::new();
    let (campaign, _) = running(&mut house, |_| {}, 2);
    promise(&mut house, lead(1), 60_000, None);
    promise(&mut house, lead(2), 600_000, None);
    // Down when it falls due.
    let mut house = House::restarted(house.store.clone(), 90_000);
    assert_eq!(told(&house, lead(1)), [None], "told after the start");
    assert_eq!(told(&house, lead(2)), []);
    let mut again = House::restarted(house.store.clone(), 95_000);
    assert_eq!(told(&again, lead(1)).len(), 1, "not twice");
    again.ready_agent("anna");
    again.pass(6_000);
    assert_eq!(again.dialled().len(), 1);
    // Down while it is being made.
    let cut = House::restarted(again.store.clone(), 120_000);
    let progress = &cut.store.leads[&lead(1)].progress;
    assert_eq!(progress.last_outcome, Some(Outcome::NodeRestart));
    assert_eq!(progress.callback.as_ref().map(|it| Some(it.at)), Some(progress.next_at), "it is still owed");
    house.command(Command::StopCampaign(campaign)).unwrap();
    house.pass(600_000);
    assert_eq!(told(&house, lead(2)).len(), 1, "told although the campaign is stopped");
}

#[test]
fn a_callback_of_one_campaign_is_not_made_by_another_while_that_one_runs() {
    let mut house = House::new();
    house.ready_agent("anna");
    let (first, list) = running(&mut house, |config| config.trunks = Vec::new(), 0);
    house.leads(list, 1);
    let mut config = progressive(list);
    config.name = "other".into();
    let Ok(Reply::Campaign(other, _)) = house.command(Command::CreateCampaign(Box::new(config))) else {
        panic!()
    };
    let at = after(&house, 10_000);
    set(&mut house, lead(1), Callback::new(at, None, Some(other)), false).unwrap();
    house.command(Command::StartCampaign(other)).unwrap();
    house.pass(10_200);
    let call = house.last_dialled();
    let of = |house: &House| house.store.open.values().find(|row| row.call == call).unwrap().campaign;
    assert_eq!(of(&house), Some(other));
    busy(&mut house);
    house.command(Command::StopCampaign(other)).unwrap();
    house.pass(16 * 60_000);
    let call = house.last_dialled();
    let row = house.store.open.values().find(|row| row.call == call).unwrap();
    assert_eq!(row.campaign, Some(first), "who dials the list, when the other does not");
}

#[test]
fn callbacks_are_moved_and_taken_back() {
    let mut house = House::new();
    house.ready_agent("anna");
    let (campaign, list) = running(&mut house, |config| config.attempts_max = 1, 0);
    house.command(Command::PauseCampaign(campaign)).unwrap();
    house.leads(list, 3);
    house.store.leads.get_mut(&lead(3)).unwrap().expires_at = Some(after(&house, 500_000));
    promise(&mut house, lead(1), 60_000, None);
    let refused =
        |house: &mut House, id, promise: Callback, moves| set(house, id, promise, moves).unwrap_err();
    let soon = Callback::new(after(&house, 90_000), None, None);
    assert!(matches!(refused(&mut house, lead(1), soon.clone(), false), CommandError::Conflict { .. }));
    assert!(matches!(refused(&mut house, lead(2), soon.clone(), true), CommandError::NotFound { .. }));
    for (id, wrong, place) in [
        (lead(2), Callback { at: after(&house, 0), ..soon.clone() }, "/at"),
        (lead(2), Callback { at: after(&house, 367 * 86_400_000), ..soon.clone() }, "/at"),
        (lead(3), Callback { at: after(&house, 500_000), ..soon.clone() }, "/at"),
        (lead(2), Callback { agent: Some(AgentId::from_bits(9)), ..soon.clone() }, "/agent_id"),
        (lead(2), Callback { campaign: Some(CampaignId::from_bits(9)), ..soon.clone() }, "/campaign_id"),
        (lead(2), Callback { notes: Some("x".repeat(501)), ..soon.clone() }, "/notes"),
    ] {
        let CommandError::Invalid { pointer, .. } = refused(&mut house, id, wrong, false) else { panic!() };
        assert_eq!(pointer, place);
    }
    assert_eq!(set(&mut house, lead(1), soon, true), Ok(Reply::Callback(lead(1), 2)));
    house.pass(60_000);
    assert_eq!(told(&house, lead(1)).len(), 0, "it was moved");
    house.pass(30_000);
    assert_eq!(told(&house, lead(1)).len(), 1);
    let cancel = |house: &mut House, if_version| {
        let lead = Box::new(house.store.leads[&lead(1)].clone());
        house.command(Command::CancelCallback { lead, if_version })
    };
    assert_eq!(cancel(&mut house, Some(1)), Err(CommandError::VersionMismatch { current: 2 }));
    assert_eq!(cancel(&mut house, Some(2)), Ok(Reply::Done));
    assert!(matches!(cancel(&mut house, None), Err(CommandError::NotFound { .. })));
    assert_eq!(
        state(&house, lead(1)),
        LeadState::New,
        "it was never dialled, and is dialled as the others are"
    );
    assert_eq!(house.store.leads[&lead(1)].progress.next_at, None);

    // Attempts that are used up do not keep a promise from being kept.
    house.store.leads.get_mut(&lead(2)).unwrap().progress.attempts = 1;
    house.store.leads.retain(|id, _| *id == lead(2));
    promise(&mut house, lead(2), 1_000, None);
    house.command(Command::ResumeCampaign(campaign)).unwrap();
    let before = house.dialled().len();
    house.pass(7_000);
    assert_eq!(house.dialled().len(), before + 1);
    let lead = house.store.leads[&lead(2)].clone();
    let busy = house.command(Command::CancelCallback { lead: Box::new(lead), if_version: None });
    assert!(matches!(busy, Err(CommandError::InvalidState { .. })), "{busy:?}");
}
