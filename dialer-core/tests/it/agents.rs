//! Which agent gets a call: orders, ranks, skills.

use crate::house::{House, START};
use crate::ladder::progressive;
use dialer_core::config::{AgentConfig, CampaignConfig};
use dialer_core::disposition::{Demand, DispositionRule, Said};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::pop::ScreenPop;
use dialer_core::record::LeadState;
use dialer_core::serving::{AfterPause, AfterWrapUp, AgentOrder, LateCallback, Membership, Serving};
use dialer_core::view::AgentState;
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, CommandError, Event, Input, LeadId,
    ListId, Reply,
};
use std::collections::BTreeMap;

fn change(house: &mut House, agent: AgentId, change: impl FnOnce(&mut AgentConfig)) {
    let mut config = house.store.agents[&agent].config.clone();
    change(&mut config);
    let reply = house.command(Command::UpdateAgent { agent, config, if_version: None });
    assert!(matches!(reply, Ok(Reply::Agent(..))), "{reply:?}");
}

fn skills(of: &[(&str, u8)]) -> BTreeMap<String, u8> {
    of.iter().map(|(skill, level)| ((*skill).to_owned(), *level)).collect()
}

/// Three agents who are ready, anna longest, and a campaign that is not started yet.
fn three(order: AgentOrder) -> (House, CampaignId, [AgentId; 3], ListId) {
    let mut house = House::new();
    house.plain_trunk();
    let mut agents = Vec::new();
    for name in ["anna", "bert", "cora"] {
        agents.push(house.ready_agent(name));
        house.pass(10);
    }
    let list = house.list(60);
    let campaign = house.campaign(CampaignConfig {
        serving: Box::new(Serving { order, ..Serving::default() }),
        ..no_wrap_up(list)
    });
    (house, campaign, [agents[0], agents[1], agents[2]], list)
}

fn no_wrap_up(list: ListId) -> CampaignConfig {
    let mut config = progressive(list);
    config.record = false;
    config.timers.wrap_up_ms = 0;
    config
}

/// Starts the campaign and answers so many calls, one after the other; who was joined to each.
fn joined(house: &mut House, campaign: CampaignId, calls: usize) -> Vec<AgentId> {
    house.command(Command::StartCampaign(campaign)).unwrap();
    let mut found = Vec::new();
    for _ in 0..calls {
        house.pass(100);
        let call = house.open()[0];
        house.join(call);
        house.pass(1_000);
        house.end(call, Party::Customer, EndCause::Normal);
        found.push(house.record(call).agent.unwrap());
    }
    found
}

#[test]
fn who_is_idle_longest_comes_first_and_takes_turns() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::LongestIdle);
    assert_eq!(joined(&mut house, campaign, 4), [anna, bert, cora, anna]);
}

#[test]
fn a_rank_in_the_campaign_goes_before_the_agents_own() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::Rank);
    change(&mut house, anna, |config| config.rank = 3);
    change(&mut house, bert, |config| config.rank = 5);
    change(&mut house, cora, |config| {
        config.rank = 9;
        config.memberships.insert(campaign, Membership { rank: -1, position: None });
    });
    assert_eq!(joined(&mut house, campaign, 3), [bert, bert, bert]);
    house.command(Command::AgentPause { agent: bert, code: "tea".into() }).unwrap();
    house.command(Command::PauseCampaign(campaign)).unwrap();
    house.command(Command::StopCampaign(campaign)).unwrap();
    let open = house.open();
    for call in open {
        house.end(call, Party::Api, EndCause::Cancelled);
    }
    assert_eq!(joined(&mut house, campaign, 2), [anna, anna]);
}

#[test]
fn the_fewest_calls_since_login_come_first() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::FewestCalls);
    let of = joined(&mut house, campaign, 6);
    assert_eq!(of[..3], [anna, bert, cora]);
    for agent in [anna, bert, cora] {
        assert_eq!(of.iter().filter(|who| **who == agent).count(), 2);
    }
    house.command(Command::AgentLogout(cora)).unwrap();
    house.input(dialer_core::Input::Agent(dialer_core::AgentFact::SessionDown {
        agent: cora,
        cause: EndCause::Normal,
        by: Party::System,
    }));
    house.command(Command::AgentLogin { agent: cora, session: Default::default() }).unwrap();
    house.input(dialer_core::Input::Agent(dialer_core::AgentFact::SessionUp { agent: cora }));
    house.command(Command::StopCampaign(campaign)).unwrap();
    let open = house.open();
    for call in open {
        house.end(call, Party::Api, EndCause::Cancelled);
    }
    assert_eq!(joined(&mut house, campaign, 2), [cora, cora], "logged in anew, with none taken");
}

#[test]
fn the_best_in_the_skills_asked_for_come_first() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::SkillRank);
    change(&mut house, anna, |config| config.skills = skills(&[("french", 4), ("golf", 9)]));
    change(&mut house, bert, |config| config.skills = skills(&[("french", 7)]));
    change(&mut house, cora, |config| {
        config.skills = skills(&[("french", 7)]);
        config.rank = 1;
    });
    let mut config = house.store.campaigns[&campaign].config.clone();
    config.serving.skills = skills(&[("french", 2)]);
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    assert_eq!(joined(&mut house, campaign, 2), [cora, cora]);
}

#[test]
fn from_the_top_by_position_then_by_who_was_made_first() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::TopDown);
    change(&mut house, anna, |config| config.position = 2);
    change(&mut house, bert, |config| config.position = 1);
    change(&mut house, cora, |config| config.position = 1);
    assert_eq!(joined(&mut house, campaign, 3), [bert, bert, bert]);
}

#[test]
fn chance_gives_everyone_a_share_and_the_same_seed_the_same_choice() {
    let play = || {
        let (mut house, campaign, agents, _) = three(AgentOrder::Random);
        let of = joined(&mut house, campaign, 30);
        agents.map(|agent| of.iter().filter(|who| **who == agent).count())
    };
    let shares = play();
    assert!(shares.iter().all(|share| (3..=20).contains(share)), "{shares:?}");
    assert_eq!(shares, play());
}

/// One agent speaks French well enough: one call is dialled, not three, and it is hers.
#[test]
fn agents_without_the_skills_are_not_dialled_for() {
    let (mut house, campaign, [_, bert, cora], list) = three(AgentOrder::LongestIdle);
    change(&mut house, bert, |config| config.skills = skills(&[("french", 4)]));
    change(&mut house, cora, |config| config.skills = skills(&[("french", 5)]));
    let mut config = no_wrap_up(list);
    config.serving.skills = skills(&[("french", 5)]);
    let update = |config: &CampaignConfig| Command::UpdateCampaign {
        campaign,
        config: Box::new(config.clone()),
        if_version: None,
    };
    house.command(update(&config)).unwrap();
    house.command(Command::StartCampaign(campaign)).unwrap();
    house.pass(1_000);
    assert_eq!(house.dialled().len(), 1, "as many as there are agents with the skill");
    let call = house.last_dialled();
    house.join(call);
    house.pass(5_000);
    assert_eq!(house.dialled().len(), 1, "who cannot take a call is not dialled for");

    // Less is asked for while it runs: bert is dialled for at the next decision.
    config.serving.skills = skills(&[("french", 4)]);
    house.command(update(&config)).unwrap();
    house.pass(100);
    assert_eq!(house.dialled().len(), 2);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(cora));
    let call = house.open()[0];
    house.join(call);
    assert_eq!(
        house.store.events.iter().filter_map(joined_agent).collect::<Vec<_>>(),
        [cora, bert],
        "longest idle of the two"
    );
}

fn joined_agent(event: &dialer_core::EventEnvelope) -> Option<AgentId> {
    match event.event {
        Event::CallBridged { agent, .. } => Some(agent),
        _ => None,
    }
}

#[test]
fn an_agents_own_ring_time_goes_before_the_campaigns() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.on_demand_agent("anna");
    change(&mut house, anna, |config| config.ring_ms = Some(3_000));
    let list = house.list(1);
    house.running(no_wrap_up(list));
    house.pass(100);
    let call = house.last_dialled();
    house.answer(call);
    let rings = |order: &CallOrder| matches!(order, CallOrder::RingAgent { ring_timeout_ms: 3_000, .. });
    assert!(house.orders.iter().any(rings));
    house.call_fact(CallFact::AgentAnswered { call, agent: anna });
}

#[test]
fn bad_places_are_refused_and_good_ones_survive_a_crash() {
    let (mut house, campaign, [anna, ..], _) = three(AgentOrder::Rank);
    let good = house.store.agents[&anna].config.clone();
    let pointer = |house: &mut House, config: AgentConfig| match house.command(Command::UpdateAgent {
        agent: anna,
        config,
        if_version: None,
    }) {
        Err(CommandError::Invalid { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    };
    let config = AgentConfig { rank: 10, ..good.clone() };
    assert_eq!(pointer(&mut house, config), "/rank");
    let config = AgentConfig { skills: skills(&[("french", 10)]), ..good.clone() };
    assert_eq!(pointer(&mut house, config), "/skills/french");
    let config = AgentConfig { skills: skills(&[("a/b", 1)]), ..good.clone() };
    assert_eq!(pointer(&mut house, config), "/skills");
    let unknown = CampaignId::from_bits(7);
    let config =
        AgentConfig { memberships: BTreeMap::from([(unknown, Membership::default())]), ..good.clone() };
    assert_eq!(pointer(&mut house, config), format!("/campaigns/{unknown}"));
    let config = AgentConfig { ring_ms: Some(1), ..good };
    assert_eq!(pointer(&mut house, config), "/ring_ms");

    change(&mut house, anna, |config| {
        config.memberships.insert(campaign, Membership { rank: 4, position: Some(2) });
    });
    let mut house = House::restarted(house.store.clone(), 1_000);
    assert_eq!(house.store.agents[&anna].config.memberships[&campaign].rank, 4);
    house.command(Command::DeleteCampaign(campaign)).unwrap();
    assert!(house.store.agents[&anna].config.memberships.is_empty(), "gone with its campaign");
}

/// What the last offer told, and where in the house's log it and the order to ring stand.
fn last_pop(house: &House) -> ScreenPop {
    let pop = |event: &dialer_core::EventEnvelope| match &event.event {
        Event::CallAgentOffered { pop, .. } | Event::TaskOffered { pop, .. } => pop.clone(),
        _ => None,
    };
    *house.store.events.iter().rev().find_map(pop).expect("something was offered")
}

#[test]
fn the_screen_is_told_before_the_phone_rings_with_all_that_was_said_before() {
    let mut house = House::new();
    house.plain_trunk();
    house.on_demand_agent("anna");
    let list = house.list(1);
    let lead = house.store.leads.values_mut().next().unwrap();
    lead.fields.insert("name".into(), "王".into());
    let lead = lead.id;
    let mut config = no_wrap_up(list);
    config.timers.wrap_up_ms = 60_000;
    config.serving.pop_url = Some("https://crm.example/{lead_id}?n={fields.name}".into());
    let campaign = house.running(config);
    house.pass(100);
    let first = house.last_dialled();
    house.log();
    house.answer(first);
    let log = house.log();
    let (told, rung) = (log.find("call.agent_offered").unwrap(), log.find("order   RingAgent").unwrap());
    assert!(told < rung, "{log}");
    let pop = last_pop(&house);
    assert_eq!((pop.attempt, pop.agent_username.as_str()), (1, "anna"));
    assert_eq!(pop.url.as_deref(), Some("https://crm.example/{lead_id}?n={fields.name}"));
    assert_eq!(pop.lead.as_ref().unwrap().fields["name"], "王");
    assert!(pop.lead.unwrap().history.is_empty());

    let anna = house.agent_named("anna");
    house.call_fact(CallFact::AgentAnswered { call: first, agent: anna });
    house.call_fact(CallFact::Bridged { call: first });
    house.pass(3_000);
    house.end(first, Party::Customer, EndCause::Normal);
    let again = START.plus_millis(house.now.as_millis() as i64 + 60_000);
    house
        .command(Command::SetDisposition {
            call: first,
            said: dialer_core::disposition::Said {
                answered_by: None,
                code: "later".into(),
                notes: Some("wants blue".into()),
                callback_at: Some(again),
                ..Default::default()
            },
        })
        .unwrap();
    let past = house.store.leads[&lead].progress.history.clone();
    assert_eq!(past.len(), 1);
    assert_eq!((past[0].call, past[0].agent, past[0].talk_ms), (first, Some(anna), 3_000));
    assert_eq!(
        (past[0].disposition.as_deref(), past[0].notes.as_deref()),
        (Some("later"), Some("wants blue"))
    );

    // The node goes down and up; what was said is on the screen of the next call.
    let mut house = House::restarted(house.store.clone(), house.now.as_millis());
    house.register(anna);
    house.pass(62_000);
    let second = house.last_dialled();
    house.answer(second);
    let pop = last_pop(&house);
    assert_eq!(pop.attempt, 2);
    assert_eq!(pop.lead.unwrap().history, past);
    house.command(Command::StopCampaign(campaign)).unwrap();
}

#[test]
fn a_preview_task_shows_the_lead_and_a_late_note_reaches_it() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let mut config = no_wrap_up(list);
    config.mode = dialer_core::config::DialMode::Preview;
    config.retry = vec![dialer_core::config::RetryRule::new(dialer_core::Outcome::Connected, 1_000, 5)];
    house.running(config);
    house.pass(100);
    assert_eq!(last_pop(&house).attempt, 1);
    let task = *house.tasks.last().unwrap();
    house.command(Command::TaskDial { task, phone: None }).unwrap();
    let call = house.last_dialled();
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    house.pass(3_000);
    assert_eq!(house.tasks.len(), 2, "the lead is offered again");
    assert_eq!(last_pop(&house).lead.unwrap().history[0].disposition, None);
    let said = Command::SetDisposition {
        call,
        said: dialer_core::disposition::Said {
            answered_by: None,
            code: "late".into(),
            notes: None,
            callback_at: None,
            ..Default::default()
        },
    };
    house.command(said).unwrap();
    let task = *house.tasks.last().unwrap();
    house.command(Command::TaskDial { task, phone: None }).unwrap();
    let call = house.last_dialled();
    house.join(call);
    let history = last_pop(&house).lead.unwrap().history;
    assert_eq!(history[0].disposition.as_deref(), Some("late"), "though it was held meanwhile");
}

#[test]
fn break_codes_come_from_the_campaigns_list_where_there_is_one() {
    let (mut house, campaign, [anna, ..], list) = three(AgentOrder::LongestIdle);
    let pause = |code: &str| Command::AgentPause { agent: anna, code: code.into() };
    house.command(pause("anything")).unwrap();
    house.command(Command::AgentReady(anna)).unwrap();
    let mut config = no_wrap_up(list);
    config.serving.pause_codes = vec!["lunch".into(), "training".into()];
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    match house.command(pause("anything")) {
        Err(CommandError::Invalid { pointer, expected }) => {
            assert_eq!((pointer.as_str(), expected.as_str()), ("/code", "one of: lunch, training"));
        }
        other => panic!("{other:?}"),
    }
    house.command(pause("lunch")).unwrap();
    assert_eq!(house.store.status[&anna].paused.as_deref(), Some("lunch"));
}

#[test]
fn a_break_lasts_as_long_as_it_may_also_over_a_crash() {
    for then in [AfterPause::Ready, AfterPause::Logout] {
        let (mut house, _, [anna, ..], _) = three(AgentOrder::LongestIdle);
        change(&mut house, anna, |config| {
            config.pause_max_ms = Some(60_000);
            config.pause_then = then;
        });
        house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
        house.pass(20_000);
        let mut house = House::restarted(house.store.clone(), house.now.as_millis());
        house.pass(39_999);
        assert_eq!(house.store.status[&anna].paused.as_deref(), Some("tea"));
        house.log();
        house.pass(1);
        assert!(house.log().contains("(pause_max)") || then == AfterPause::Logout);
        let status = &house.store.status[&anna];
        match then {
            AfterPause::Ready => assert_eq!((&status.paused, status.session.is_some()), (&None, true)),
            AfterPause::Logout => assert_eq!(status.session, None),
        }
    }
}

#[test]
fn after_call_work_that_lasts_its_whole_time_may_end_in_a_break() {
    let (mut house, campaign, [anna, ..], list) = three(AgentOrder::LongestIdle);
    let mut config = no_wrap_up(list);
    config.timers.wrap_up_ms = 5_000;
    config.serving.wrap_up_then = AfterWrapUp::Pause;
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    assert_eq!(joined(&mut house, campaign, 1), [anna]);
    house.pass(4_999);
    assert_eq!(house.store.status[&anna].paused, None);
    house.pass(1);
    assert_eq!(house.store.status[&anna].paused.as_deref(), Some("wrap_up_max"));
    house.command(Command::AgentReady(anna)).unwrap();
    assert_eq!(house.store.status[&anna].paused, None);
}

/// One lead was called by anna, who promised to call again in a minute; anna goes on a break.
fn promised(late: LateCallback) -> (House, CampaignId, [AgentId; 3], CallId) {
    let (mut house, campaign, agents, list) = three(AgentOrder::LongestIdle);
    house.store.leads.retain(|id, _| *id == LeadId::from_bits(1));
    let mut config = no_wrap_up(list);
    config.serving.callback_late = late;
    config.serving.callback_late_after_ms = 120_000;
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    assert_eq!(joined(&mut house, campaign, 1), [agents[0]]);
    let call = house.last_dialled();
    let at = START.plus_millis(house.now.as_millis() as i64 + 60_000);
    let said =
        Said { code: "later".into(), callback_at: Some(at), callback_by_agent: true, ..Said::default() };
    house.command(Command::SetDisposition { call, said }).unwrap();
    house.command(Command::AgentPause { agent: agents[0], code: "tea".into() }).unwrap();
    (house, campaign, agents, call)
}

#[test]
fn a_promised_callback_waits_for_its_agent_and_is_anyones_when_it_is_late() {
    let (mut house, _, [_, bert, cora], _) = promised(LateCallback::Anyone);
    house.pass(179_000);
    assert_eq!(house.dialled().len(), 1, "bert and cora are free, and it is not theirs yet");
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 2, "late: anyone may");
    let call = house.last_dialled();
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert!([bert, cora].contains(&house.record(call).agent.unwrap()));
}

#[test]
fn a_promised_callback_is_kept_by_its_agent_over_a_crash() {
    let (house, _, [anna, ..], _) = promised(LateCallback::Wait);
    let at = house.now.as_millis();
    let mut house = House::restarted(house.store.clone(), at);
    for name in ["anna", "bert", "cora"] {
        let agent = house.agent_named(name);
        house.register(agent);
        house.input(dialer_core::Input::Agent(dialer_core::AgentFact::SessionUp { agent }));
    }
    house.pass(600_000);
    assert_eq!(house.dialled().len(), 0, "it waits, however late");
    house.command(Command::AgentReady(anna)).unwrap();
    house.pass(2_000);
    let call = house.last_dialled();
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(anna));
    assert_eq!(house.store.leads[&LeadId::from_bits(1)].progress.callback, None, "kept");
}

#[test]
fn the_fewest_calls_are_still_known_after_a_crash() {
    let (mut house, campaign, [anna, bert, cora], _) = three(AgentOrder::FewestCalls);
    assert_eq!(joined(&mut house, campaign, 2), [anna, bert]);
    let at = house.now.as_millis();
    let mut house = House::restarted(house.store.clone(), at);
    for agent in [anna, bert, cora] {
        house.register(agent);
        house.input(dialer_core::Input::Agent(dialer_core::AgentFact::SessionUp { agent }));
    }
    house.pass(2_000);
    let call = house.open()[0];
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(cora));
}

#[test]
fn a_disposition_asks_for_what_its_rule_says_and_moves_the_lead() {
    let (mut house, campaign, _, list) = three(AgentOrder::LongestIdle);
    let mut config = no_wrap_up(list);
    config.dispositions = vec![
        "no_interest".into(),
        DispositionRule {
            required_fields: vec!["order".into()],
            notes: Demand::Required,
            callback: Demand::Forbidden,
            lead: Some(LeadState::Dnc),
            ..DispositionRule::from("never_again")
        },
        DispositionRule { callback: Demand::Required, ..DispositionRule::from("later") },
    ];
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    joined(&mut house, campaign, 1);
    let call = *house.store.ended.keys().next().unwrap();
    let lead = house.record(call).lead.unwrap();
    let said = Said { code: "never_again".into(), ..Said::default() };
    let order: BTreeMap<String, String> = [("order".to_owned(), "A-1".to_owned())].into();
    let at = Some(START.plus_millis(1_000_000_000));
    let refused = |house: &mut House, said: Said| match house.command(Command::SetDisposition { call, said })
    {
        Err(CommandError::Invalid { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut house, Said { code: "sale".into(), ..said.clone() }), "/code");
    assert_eq!(refused(&mut house, said.clone()), "/fields/order");
    let said = Said { fields: order, ..said };
    assert_eq!(refused(&mut house, said.clone()), "/notes");
    let said = Said { notes: Some("asked twice".into()), ..said };
    assert_eq!(refused(&mut house, Said { callback_at: at, ..said.clone() }), "/callback_at");
    assert_eq!(refused(&mut house, Said { code: "later".into(), ..Said::default() }), "/callback_at");
    assert_eq!(house.store.leads[&lead].progress.history[0].disposition, None, "nothing was kept of these");
    house.command(Command::SetDisposition { call, said }).unwrap();
    let progress = &house.store.leads[&lead].progress;
    assert_eq!((progress.state, progress.next_at), (LeadState::Dnc, None));
    assert_eq!(progress.history[0].notes.as_deref(), Some("asked twice"));
}

/// Three agents whose phones are rung, and an answered call under `ring_all`.
fn three_phones() -> (House, CampaignId, [AgentId; 3], CallId) {
    let mut house = House::new();
    house.plain_trunk();
    let mut agents = Vec::new();
    for name in ["anna", "bert", "cora"] {
        agents.push(house.on_demand_agent(name));
        house.pass(10);
    }
    let list = house.list(1);
    let campaign = house.running(CampaignConfig {
        serving: Box::new(Serving { order: AgentOrder::RingAll, ..Serving::default() }),
        ..no_wrap_up(list)
    });
    house.pass(100);
    let call = house.last_dialled();
    house.log();
    house.answer(call);
    (house, campaign, [agents[0], agents[1], agents[2]], call)
}

fn states(house: &House, agents: [AgentId; 3]) -> [AgentState; 3] {
    agents.map(|agent| house.agent_state(agent))
}

fn rung(house: &House, of: CallId) -> Vec<AgentId> {
    let rung = |order: &CallOrder| match order {
        CallOrder::RingAgent { call, agent, .. } if *call == of => Some(*agent),
        _ => None,
    };
    house.orders.iter().filter_map(rung).collect()
}

#[test]
fn all_phones_ring_and_who_answers_first_has_the_call() {
    let (mut house, _, agents @ [anna, bert, cora], call) = three_phones();
    assert_eq!(rung(&house, call), agents);
    assert_eq!(states(&house, agents), [AgentState::Ringing; 3]);
    let log = house.log();
    assert_eq!(log.matches("call.agent_offered").count(), 3, "each screen is told: {log}");
    for agent in agents {
        house.call_fact(CallFact::AgentRinging { call, agent });
    }
    // Below, the others' legs end with the answer.
    for _ in 0..2 {
        let (party, cause) = (Party::Agent, EndCause::Cancelled);
        house.call_fact(CallFact::LegEnded { call, party, cause, sip_code: None, q850: None });
    }
    house.call_fact(CallFact::AgentAnswered { call, agent: bert });
    house.call_fact(CallFact::Bridged { call });
    assert_eq!(states(&house, agents), [AgentState::Ready, AgentState::Talking, AgentState::Ready]);
    let log = house.log();
    assert_eq!(log.matches("ringing -> ready (answered_elsewhere)").count(), 2, "{log}");
    assert!(!log.contains("missed_offer"), "nobody has missed anything: {log}");
    let offers = house.dialer.counters().groups.values().next().unwrap();
    assert_eq!((offers.offers_answered, offers.offers_taken_elsewhere), (1, 2));
    house.call_fact(CallFact::AgentFailed { call, agent: cora, cause: EndCause::NoAnswer, sip_code: None });
    assert_eq!(states(&house, agents)[2], AgentState::Ready, "what comes late changes nothing");
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(bert));
    let log = house.log();
    assert_eq!(log.matches("leg.ended").count(), 2, "two of the four have ended before: {log}");
    assert_eq!(states(&house, [anna, bert, cora]), [AgentState::Ready; 3]);
    assert_eq!(house.dialer.alive().calls, 0);
}

/// Retry-After of a phone: it is left alone for that long, and for ten minutes at most.
#[test]
fn a_phone_that_asks_for_rest_gets_it() {
    for (wait_ms, rests_ms) in [(0, 5_000), (1_000, 5_000), (120_000, 120_000), (u64::MAX, 600_000)] {
        let (mut house, _, [anna, bert, cora], call) = three_phones();
        house.input(Input::Agent(AgentFact::AsksForRest { agent: anna, wait_ms }));
        for agent in [anna, bert, cora] {
            let cause = EndCause::Rejected;
            house.call_fact(CallFact::AgentFailed { call, agent, cause, sip_code: Some(480) });
        }
        house.end(call, Party::Customer, EndCause::Normal);
        let state = |house: &House| states(house, [anna, bert, cora])[0];
        house.pass(rests_ms - 1);
        assert_eq!(state(&house), AgentState::Unreachable, "{wait_ms}");
        house.pass(1);
        assert_eq!(state(&house), AgentState::Ready, "{wait_ms}");
    }
}

#[test]
fn who_refuses_misses_the_offer_and_the_others_ring_on() {
    let (mut house, _, agents @ [anna, bert, cora], call) = three_phones();
    let fail = |house: &mut House, agent, cause| {
        house.call_fact(CallFact::AgentFailed { call, agent, cause, sip_code: None });
    };
    fail(&mut house, anna, EndCause::Rejected);
    assert_eq!(
        states(&house, agents),
        [AgentState::Unreachable, AgentState::Ringing, AgentState::Ringing],
        "the one who was asked first"
    );
    fail(&mut house, cora, EndCause::NoAnswer);
    assert_eq!(rung(&house, call).len(), 3, "nobody is rung anew while a phone rings");
    fail(&mut house, bert, EndCause::NoAnswer);
    assert_eq!(states(&house, agents), [AgentState::Unreachable; 3]);
    let log = house.log();
    assert_eq!(log.matches("agent.missed_offer").count(), 3, "{log}");
    house.pass(5_000);
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::Abandoned);
}

#[test]
fn all_are_let_go_when_the_customer_goes_and_all_have_missed_it_when_time_is_up() {
    let (mut house, _, agents, call) = three_phones();
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(states(&house, agents), [AgentState::Ready; 3]);
    assert!(!house.log().contains("missed_offer"));

    let (mut house, _, agents, call) = three_phones();
    house.pass(2_100);
    let log = house.log();
    assert_eq!(log.matches("ReleaseAgent").count(), 3, "{log}");
    assert_eq!(log.matches("agent.missed_offer").count(), 3, "{log}");
    assert_eq!(states(&house, agents), [AgentState::Unreachable; 3]);
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.dialer.alive().calls, 0);
}

#[test]
fn a_nailed_up_agent_gets_it_at_once_and_other_groups_are_not_rung() {
    let (mut house, campaign, [anna, bert, cora], list) = three(AgentOrder::RingAll);
    let dora = house.on_demand_agent("dora");
    let first = joined(&mut house, campaign, 1);
    assert_eq!(first, [anna], "idle longest of those on the line");
    assert!(!house.orders.iter().any(|order| matches!(order, CallOrder::RingAgent { .. })));
    for agent in [anna, bert, cora] {
        house.command(Command::AgentLogout(agent)).unwrap();
        let (cause, by) = (EndCause::Normal, Party::System);
        house.input(Input::Agent(AgentFact::SessionDown { agent, cause, by }));
    }
    let emil = house.on_demand_agent("emil");
    change(&mut house, emil, |config| config.groups = vec!["sales".into()]);
    let mut config = house.store.campaigns[&campaign].config.clone();
    config.agent_group = Some("sales".into());
    config.lists = vec![list];
    house.command(Command::UpdateCampaign { campaign, config: Box::new(config), if_version: None }).unwrap();
    house.pass(1_000);
    let call = *house.open().last().expect("dialled for emil");
    house.answer(call);
    assert_eq!(rung(&house, call), [emil]);
    assert_eq!(house.agent_state(dora), AgentState::Ready);
}

fn health(house: &mut House, agent: AgentId, reachable: bool) {
    let reason = (!reachable).then(|| "no answer".to_owned());
    house.input(Input::Agent(AgentFact::PhoneHealth { agent, reachable, reason }));
}

#[test]
fn a_phone_that_does_not_answer_options_makes_its_agent_unreachable_until_it_does() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.on_demand_agent("anna");
    let list = house.list(3);
    house.running(no_wrap_up(list));
    health(&mut house, anna, true);
    assert_eq!(house.agent_state(anna), AgentState::Ready, "no news");
    health(&mut house, anna, false);
    health(&mut house, anna, false);
    assert_eq!(house.agent_state(anna), AgentState::Unreachable);
    let log = house.log();
    assert_eq!(log.matches("agent.phone_lost").count(), 1, "{log}");
    assert_eq!(log.matches("ready -> unreachable (phone_lost)").count(), 1, "{log}");
    house.pass(60_000);
    assert!(house.dialled().is_empty(), "nobody is dialled for her");
    house.command(Command::AgentReady(anna)).unwrap();
    assert_eq!(house.agent_state(anna), AgentState::Unreachable, "wishing does not help");
    health(&mut house, anna, true);
    assert_eq!(house.agent_state(anna), AgentState::Ready);
    house.pass(1_000);
    assert_eq!(house.dialled().len(), 1);
    // Gone while she talks: the conversation goes on, then she is unreachable.
    let call = house.dialled()[0];
    house.answer(call);
    house.call_fact(CallFact::AgentAnswered { call, agent: anna });
    house.call_fact(CallFact::Bridged { call });
    health(&mut house, anna, false);
    assert_eq!(house.agent_state(anna), AgentState::Talking);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.agent_state(anna), AgentState::Unreachable);
    // What is not registered is not reachable either; registered again it is asked anew.
    house.input(Input::Agent(AgentFact::Unregistered { agent: anna }));
    house.register(anna);
    assert_eq!(house.agent_state(anna), AgentState::Ready);
    let offers = house.dialer.counters().groups.values().next().unwrap();
    assert_eq!((offers.phones_lost, offers.phones_back), (2, 1));
}

#[test]
fn the_session_of_a_silent_phone_is_ended_and_made_anew() {
    let (mut house, _, [anna, bert, _], _) = three(AgentOrder::LongestIdle);
    house.log();
    let down = |house: &mut House, agent| {
        let (cause, by) = (EndCause::Normal, Party::System);
        house.input(Input::Agent(AgentFact::SessionDown { agent, cause, by }));
    };
    health(&mut house, anna, false);
    assert_eq!(house.agent_state(anna), AgentState::Unreachable);
    down(&mut house, anna);
    house.pass(60_000);
    let log = house.log();
    assert!(log.contains("CloseSession { agent: anna }") && !log.contains("OpenSession"), "{log}");
    health(&mut house, anna, true);
    assert!(house.log().contains("OpenSession { agent: anna"));
    house.input(Input::Agent(AgentFact::SessionUp { agent: anna }));
    assert_eq!(house.agent_state(anna), AgentState::Ready);
    // In a conversation the session stays until that is over.
    let list = house.list(1);
    house.running(no_wrap_up(list));
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    house.pass(1_000);
    let call = house.last_dialled();
    house.join(call);
    let talks = if house.agent_state(bert) == AgentState::Talking { bert } else { panic!("bert is first") };
    health(&mut house, talks, false);
    assert!(!house.log().contains("CloseSession"));
    house.end(call, Party::Customer, EndCause::Normal);
    assert!(house.log().contains("CloseSession { agent: bert }"));
    assert_eq!(house.agent_state(talks), AgentState::Unreachable);
}
