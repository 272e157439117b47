//! Campaigns that begin and end by the clock, are dialled anew, and whose callees want no more calls.

use crate::compliance::dnc_list;
use crate::house::{House, START};
use crate::ladder::progressive;
use dialer_core::config::{CampaignConfig, CampaignState, DialMode};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::record::{Lead, LeadState};
use dialer_core::{
    CallFact, CampaignId, Command, CommandError, DncListId, Event, LeadId, ListId, OptOut, Recycle, Reply,
    Schedule,
};

fn between(start_ms: i64, end_ms: i64) -> Schedule {
    Schedule { start: Some(START.plus_millis(start_ms)), end: Some(START.plus_millis(end_ms)) }
}

fn state(house: &House, campaign: CampaignId) -> CampaignState {
    house.store.campaigns[&campaign].state
}

#[test]
fn nothing_is_dialled_before_the_start_and_from_the_end_on() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(50);
    let campaign = house.running(CampaignConfig { schedule: between(60_000, 120_000), ..progressive(list) });
    house.pass(59_999);
    assert_eq!(house.dialled(), []);
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 1);
    house.pass(57_000);
    assert_eq!(state(&house, campaign), CampaignState::Running);
    house.pass(2_000);
    assert_eq!(state(&house, campaign), CampaignState::Stopped);
    assert!(house.hung_up(house.last_dialled()), "who still rings is not left ringing");
    let dialled = house.dialled().len();
    house.pass(600_000);
    assert_eq!(house.dialled().len(), dialled);
    let again = house.command(Command::StartCampaign(campaign));
    assert!(matches!(again, Err(CommandError::InvalidState { .. })), "{again:?}");
    let mut config = house.store.campaigns[&campaign].config.clone();
    config.schedule.end = None;
    let update = Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None };
    house.command(update).unwrap();
    house.command(Command::StartCampaign(campaign)).unwrap();
}

/// One that is paused at its end is stopped as well, though nothing else runs; with a later end it can begin again.
#[test]
fn the_end_comes_to_a_paused_campaign_too() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(5);
    let campaign = house.running(CampaignConfig { schedule: between(0, 120_000), ..progressive(list) });
    house.pass(1_000);
    house.command(Command::PauseCampaign(campaign)).unwrap();
    house.pass(118_000);
    assert_eq!(state(&house, campaign), CampaignState::Paused);
    house.pass(2_000);
    assert_eq!(state(&house, campaign), CampaignState::Stopped);
    let told = |event: &&dialer_core::EventEnvelope| event.event.type_name() == "campaign.stopped";
    assert_eq!(house.store.events.iter().filter(told).count(), 1);
    let mut config = house.store.campaigns[&campaign].config.clone();
    config.schedule = between(300_000, 400_000);
    let update = Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None };
    house.command(update).unwrap();
    house.command(Command::StartCampaign(campaign)).unwrap();
    let before = house.dialled().len();
    let first = house.last_dialled();
    house.end(first, Party::Customer, EndCause::Busy);
    house.pass(178_000);
    assert_eq!(house.dialled().len(), before, "its new start has not come");
    house.pass(4_000);
    assert_eq!(house.dialled().len(), before + 1);
}

/// A node that was down when the end came dials nothing when it is back.
#[test]
fn an_end_that_a_crash_has_hidden_is_kept() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(5);
    let campaign = house.running(CampaignConfig { schedule: between(0, 120_000), ..progressive(list) });
    let store = std::mem::take(&mut house.store);
    let mut after = House::restarted(store, 120_000);
    after.ready_agent("anna");
    after.pass(5_000);
    assert_eq!((after.dialled(), state(&after, campaign)), (vec![], CampaignState::Stopped));
}

fn lead(house: &House, bits: u128) -> Lead {
    house.store.leads[&LeadId::from_bits(bits)].clone()
}

fn recycle(house: &House, list: ListId, outcomes: Vec<Outcome>) -> Command {
    let leads = house.store.leads.values().cloned().collect();
    Command::RecycleLeads(Box::new(Recycle { list, leads, states: vec![LeadState::Exhausted], outcomes }))
}

/// A campaign of two leads that get one attempt each: one is busy, one rings on.
fn spent() -> (House, ListId) {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(2);
    house.running(CampaignConfig { attempts_max: 1, ..progressive(list) });
    house.pass(1_000);
    let first = house.last_dialled();
    house.end(first, Party::Customer, EndCause::Busy);
    house.pass(1_000);
    (house, list)
}

#[test]
fn what_is_done_with_is_dialled_anew() {
    let (mut house, list) = spent();
    assert_eq!(lead(&house, 1).progress.state, LeadState::Exhausted);
    assert_eq!(lead(&house, 2).progress.state, LeadState::Dialing);
    let other = recycle(&house, list, vec![Outcome::NoAnswer]);
    assert_eq!(house.command(other), Ok(Reply::Count(0)), "its last attempt was busy");
    let wish = recycle(&house, list, vec![Outcome::Busy]);
    assert_eq!(house.command(wish), Ok(Reply::Count(1)), "who is in a call is not touched");
    let progress = lead(&house, 1).progress;
    assert_eq!((progress.state, progress.attempts, progress.recent.len()), (LeadState::New, 0, 1));
    assert_eq!(progress.history.len(), 1, "what agents are told stays");
    let told = |event: &&dialer_core::EventEnvelope| matches!(event.event, Event::ListRecycled { count: 1, list: of } if of == list);
    assert_eq!(house.store.events.iter().filter(told).count(), 1);
    let second = house.last_dialled();
    house.end(second, Party::Customer, EndCause::Busy);
    house.pass(1_000);
    assert_eq!(house.dialled().len(), 3, "the first is dialled again");
    assert_eq!(house.views[&house.last_dialled()].lead, Some(LeadId::from_bits(1)));
}

/// What the asker had read may be older than what the dialer knows.
#[test]
fn a_lead_that_has_moved_on_stays_where_it_is() {
    let (mut house, list) = spent();
    let old = recycle(&house, list, Vec::new());
    let wish = recycle(&house, list, Vec::new());
    house.command(wish).unwrap();
    assert_eq!(house.command(old), Ok(Reply::Count(0)));
    let elsewhere = house.list(0);
    let wish = recycle(&house, elsewhere, Vec::new());
    assert_eq!(house.command(wish), Ok(Reply::Count(0)), "leads of another list");
}

fn with_message() -> CampaignConfig {
    CampaignConfig {
        mode: DialMode::Agentless,
        message_prompt: Some("news".into()),
        ..CampaignConfig::default()
    }
}

fn opted_out(house: &mut House, list: ListId, dnc: DncListId, config: CampaignConfig) -> dialer_core::CallId {
    let opt_out = Some(OptOut { digit: '9', list: dnc });
    house.running(CampaignConfig { name: "news".into(), opt_out, lists: vec![list], ..config });
    house.pass(1_000);
    let call = house.last_dialled();
    house.answer(call);
    house.pass(3_000);
    for digit in ['1', '9', '9'] {
        let party = Party::Customer;
        house.call_fact(CallFact::Dtmf { call, party, digit, duration_ms: 100 });
    }
    call
}

fn opt_outs(house: &House) -> usize {
    let told = |event: &&dialer_core::EventEnvelope| matches!(event.event, Event::CallOptedOut { .. });
    house.store.events.iter().filter(told).count()
}

/// The key is listened to in the message; the number is on the list at once, whatever happens then.
#[test]
fn who_presses_the_key_is_not_called_again() {
    let mut house = House::new();
    house.plain_trunk();
    let dnc = dnc_list(&mut house, true);
    let list = house.list(1);
    let call = opted_out(&mut house, list, dnc, with_message());
    assert_eq!(opt_outs(&house), 1, "once");
    assert!(!house.hung_up(call), "the message is heard to its end");
    let number: u64 = lead(&house, 1).phones[0].number[1..].parse().unwrap();
    let entries = dialer_core::record::DncNumbers { numbers: vec![number], ..Default::default() };
    let again = house.command(Command::AddDnc { list: dnc, entries });
    assert_eq!(again, Ok(Reply::Count(0)), "it is there already");
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(lead(&house, 1).progress.state, LeadState::Dnc);
    assert_eq!(house.dialer.counters().campaigns.values().map(|of| of.opt_outs).sum::<u64>(), 1);
    let delete = house.command(Command::DeleteDncList(dnc));
    assert!(matches!(delete, Err(CommandError::InvalidState { .. })), "a campaign puts numbers on it");
}

#[test]
fn a_crash_in_the_message_forgets_no_wish() {
    let mut house = House::new();
    house.plain_trunk();
    let dnc = dnc_list(&mut house, true);
    let list = house.list(1);
    opted_out(&mut house, list, dnc, with_message());
    let store = std::mem::take(&mut house.store);
    let mut after = House::restarted(store, 10_000);
    after.pass(3_600_000);
    assert_eq!(after.dialled(), []);
    assert_eq!(lead(&after, 1).progress.state, LeadState::Dnc);
}

#[test]
fn a_list_that_does_not_hold_takes_no_numbers() {
    let mut house = House::new();
    let dnc = dnc_list(&mut house, false);
    let list = house.list(1);
    let opt_out = Some(OptOut { digit: '9', list: dnc });
    let config = CampaignConfig { opt_out, ..progressive(list) };
    let refused = house.command(Command::CreateCampaign(Box::new(config.clone())));
    assert!(
        matches!(&refused, Err(CommandError::Invalid { pointer, .. }) if pointer == "/on_no_agent/opt_out_list_id"),
        "{refused:?}"
    );
    house.campaign(CampaignConfig { dnc_lists: vec![dnc], ..config });
}

/// A preview campaign's leads come back from agents who have not called them.
#[test]
fn leads_are_taken_back_from_agents() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(3);
    let campaign = house.running(CampaignConfig { mode: DialMode::Preview, ..progressive(list) });
    let (anna, _) = (house.ready_agent("anna"), house.ready_agent("bert"));
    house.pass(1_000);
    assert_eq!(house.tasks.len(), 2);
    let hopper = house.command(Command::LookIntoHopper { campaign, limit: 10 });
    assert_eq!(hopper, Ok(Reply::Leads(vec![LeadId::from_bits(3)])));
    let taken = house.command(Command::TakeBackTasks { campaign, agent: Some(anna) });
    assert_eq!(taken, Ok(Reply::Count(1)));
    // Anna gets the next one, hers waits behind all others.
    house.pass(1_000);
    let hopper = house.command(Command::LookIntoHopper { campaign, limit: 10 });
    assert_eq!(hopper, Ok(Reply::Leads(vec![LeadId::from_bits(1)])));
    let taken = house.command(Command::TakeBackTasks { campaign, agent: None });
    assert_eq!(taken, Ok(Reply::Count(2)));
}

#[test]
fn a_copy_has_the_settings_and_nothing_else() {
    let mut house = House::new();
    let list = house.list(1);
    let campaign = house.running(CampaignConfig { attempts_max: 2, ..progressive(list) });
    let Ok(Reply::Campaign(copy, 1)) =
        house.command(Command::CopyCampaign { campaign, name: "again".into() })
    else {
        panic!()
    };
    let row = &house.store.campaigns[&copy];
    assert_eq!((row.config.name.as_str(), row.config.attempts_max), ("again", 2));
    assert_eq!(
        (state(&house, copy), state(&house, campaign)),
        (CampaignState::Stopped, CampaignState::Running)
    );
}

/// A node that dials by hand alone: an agent's word dials, nothing else does, whatever it was set to before.
#[test]
fn nothing_dials_by_itself_where_agents_dial_by_hand() {
    use dialer_core::DialerConfig;
    let mut house = House::with(DialerConfig { manual_only: true, ..DialerConfig::default() });
    house.plain_trunk();
    let list = house.list(3);
    let mut timed = CampaignConfig { mode: DialMode::Preview, ..progressive(list) };
    timed.timers.preview_auto_dial_ms = 5_000;
    for (config, pointer) in [(progressive(list), "/mode"), (timed, "/timers/preview_auto_dial_ms")] {
        let refused = house.command(Command::CreateCampaign(Box::new(config)));
        assert!(
            matches!(&refused, Err(CommandError::Invalid { pointer: at, .. }) if at == pointer),
            "{refused:?}"
        );
    }
    house.running(CampaignConfig { mode: DialMode::Preview, ..progressive(list) });
    house.ready_agent("anna");
    house.pass(60_000);
    assert_eq!(house.dialled(), []);
    let task = house.tasks[0];
    house.command(Command::TaskDial { task, phone: None }).unwrap();
    assert_eq!(house.dialled().len(), 1);

    // Campaigns of a node that dialled by itself, on the same store.
    let mut before = House::new();
    before.plain_trunk();
    let list = before.list(3);
    let campaign = before.running(progressive(list));
    let snapshot = before.store.snapshot();
    let mut house = House::with(DialerConfig { manual_only: true, ..DialerConfig::default() });
    house.store = std::mem::take(&mut before.store);
    house.dialer = dialer_core::Dialer::new(
        DialerConfig { manual_only: true, ..DialerConfig::default() },
        sansio::Rng::from_seed(3),
    );
    let base = sansio::time::ClockBase { instant: house.now, wall: START };
    house.input(dialer_core::Input::Clock(base));
    house.input(dialer_core::Input::Restore(Box::new(snapshot)));
    house.ready_agent("bert");
    house.pass(60_000);
    assert_eq!(house.dialled(), []);
    house.command(Command::StopCampaign(campaign)).unwrap();
    let again = house.command(Command::StartCampaign(campaign));
    assert!(matches!(again, Err(CommandError::InvalidState { .. })), "{again:?}");
}
