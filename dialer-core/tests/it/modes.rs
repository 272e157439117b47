//! Every mode and every setting that shapes how much is dialled, from outside.

use crate::house::House;
use crate::ladder::progressive;
use dialer_core::config::{
    AbandonWindow, AmdMode, CampaignConfig, Concurrency, ConcurrencyKind, ConnectAt, DialMode, HoldBack,
    Policy, SmallTeam, TrunkConfig,
};
use dialer_core::outcome::{AmdEvidence, AmdVerdict, EndCause, Outcome, Party};
use dialer_core::view::LimitedBy;
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, CommandError, Event, Input, ListId,
};
use expect_test::expect;

pub(crate) fn with_mode(list: ListId, mode: DialMode) -> CampaignConfig {
    CampaignConfig { mode, record: false, ..progressive(list) }
}

fn agentless(list: ListId, lines: u32) -> CampaignConfig {
    let mut config = with_mode(list, DialMode::Agentless);
    config.message_prompt = Some("announcement".into());
    config.concurrency.lines = Some(lines);
    config
}

/// The last decision told of a campaign.
fn last_report(house: &House, campaign: CampaignId) -> dialer_core::view::PacingReport {
    let told = house.store.events.iter().rev().find_map(|envelope| match &envelope.event {
        Event::CampaignPacing { report } if envelope.campaign == Some(campaign) => Some((**report).clone()),
        _ => None,
    });
    told.expect("a decision was told")
}

fn dialled_for(house: &House, campaign: CampaignId) -> usize {
    let of = |order: &&CallOrder| matches!(order, CallOrder::DialCustomer { campaign: Some(c), .. } if *c == campaign);
    house.orders.iter().filter(of).count()
}

pub(crate) fn rings(house: &mut House, call: CallId) {
    house.call_fact(CallFact::Dialled { call });
    house.call_fact(CallFact::Ringing { call, early_media: true });
}

#[test]
fn agentless_keeps_its_lines_up_and_plays_the_message() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(10);
    house.running(agentless(list, 2));
    house.pass(2_000);
    let calls = house.dialled();
    assert_eq!(calls.len(), 2, "two lines, no agent at work");
    house.log();
    house.answer(calls[0]);
    house.pass(4_000);
    house.call_fact(CallFact::MessagePlayed { call: calls[0] });
    house.end(calls[0], Party::System, EndCause::Normal);
    let log = house.log();
    for wanted in [
        "order   Play { call: call1, prompt: \"announcement\", repeat: false }",
        "call.message",
        "CallEnded(connected)",
    ] {
        assert!(log.contains(wanted), "{wanted:?} is missing:\n{log}");
    }
    assert!(!log.contains("Ledger"), "nobody can be abandoned where no agent is wanted:\n{log}");
    assert_eq!(house.record(calls[0]).outcome, Outcome::Connected);
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 3, "the free line is used again");
}

#[test]
fn agentless_leaves_the_message_on_a_machine_and_says_so() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(2);
    house.running(CampaignConfig { amd: AmdMode::Async, ..agentless(list, 1) });
    house.pass(1_000);
    let call = house.last_dialled();
    house.answer(call);
    let verdict = AmdVerdict::Machine;
    house.call_fact(CallFact::Amd {
        call,
        verdict,
        confidence: 0.9,
        evidence: AmdEvidence::ShortGreeting,
        after_answer_ms: 900,
    });
    house.pass(5_000);
    house.call_fact(CallFact::MessagePlayed { call });
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::Machine);
}

#[test]
fn agentless_whose_prompt_is_not_there_does_not_say_it_was_heard() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(2);
    house.running(agentless(list, 1));
    house.pass(1_000);
    let call = house.last_dialled();
    house.answer(call);
    house.call_fact(CallFact::MessagePlayed { call });
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::Cancelled);
    assert_eq!(house.dialer.counters().messages_missing, 1);
}

#[test]
fn an_agent_is_joined_at_ringing_and_the_answer_needs_only_the_bridge() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(2);
    house
        .running(CampaignConfig { connect_at: ConnectAt::Ringing, ..with_mode(list, DialMode::Progressive) });
    house.pass(1_000);
    let call = house.last_dialled();
    house.log();
    rings(&mut house, call);
    house.pass(5_000);
    house.call_fact(CallFact::Answered { call });
    house.call_fact(CallFact::Bridged { call });
    let log: String =
        house.log().lines().filter(|line| !line.contains("pacing")).map(|line| format!("{line}\n")).collect();
    expect![[r#"
        1.000  event   call.dialing #2
        1.000  event   call.ringing #3
        1.000  event   call.agent_offered #4
        1.000  order   UseSession { call: call1, agent: anna }
        1.000  order   LetHear { call: call1 }
        1.000  event   agent.state ready -> ringing (joined_early)
        6.000  event   call.answered #5
        6.000  order   Bridge { call: call1, tone: true, record: None }
        6.000  event   agent.state ringing -> reserved (answered)
        6.000  event   agent.state reserved -> talking (bridged)
        6.000  journal Ledger(live)
        6.000  event   call.bridged #6 after Some(0) ms
    "#]]
    .assert_eq(&log);
}

/// Two lines ring for one agent; both calls are of one campaign.
fn two_lines_for_one_agent() -> (House, AgentId, CallId, CallId) {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.ready_agent("anna");
    let list = house.list(4);
    let mut config = with_mode(list, DialMode::Ratio);
    config.connect_at = ConnectAt::Ringing;
    config.concurrency =
        Concurrency { kind: ConcurrencyKind::Fixed, lines: Some(2), ..Concurrency::default() };
    house.running(config);
    house.pass(3_000);
    let calls = house.dialled();
    assert_eq!(calls.len(), 2);
    rings(&mut house, calls[0]);
    house.pass(1_000);
    rings(&mut house, calls[1]);
    house.log();
    (house, anna, calls[0], calls[1])
}

#[test]
fn a_surplus_answer_takes_the_agent_who_listens_to_a_line_that_still_rings() {
    let (mut house, anna, first, second) = two_lines_for_one_agent();
    house.call_fact(CallFact::Answered { call: second });
    let log = house.log();
    let released = house.orders.contains(&CallOrder::ReleaseAgent { call: first, agent: anna });
    assert!(released && log.contains("call.agent_hopped"), "{log}");
    house.call_fact(CallFact::Bridged { call: second });
    assert!(house.log().contains("agent.state reserved -> talking (bridged)"));
    // The line she listened to rings on; its answer finds nobody and is abandoned after the deadline.
    house.call_fact(CallFact::Answered { call: first });
    house.pass(2_000);
    house.call_fact(CallFact::MessagePlayed { call: first });
    house.end(first, Party::System, EndCause::Normal);
    assert_eq!(house.record(first).outcome, Outcome::Abandoned);
    assert_eq!(house.record(first).agent, None, "nobody was there");
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn an_agent_who_listens_may_go_on_a_break_at_once() {
    let (mut house, anna, first, _) = two_lines_for_one_agent();
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    assert!(house.orders.contains(&CallOrder::ReleaseAgent { call: first, agent: anna }));
    assert!(house.log().contains("agent.state ringing -> paused (pause)"));
    assert!(!house.hung_up(first), "the customer's phone rings as long as it must");
}

#[test]
fn a_listening_agent_is_free_again_when_nobody_answers_and_when_the_session_is_lost() {
    let (mut house, anna, first, second) = two_lines_for_one_agent();
    house.end(first, Party::System, EndCause::NoAnswer);
    let log = house.log();
    assert!(log.contains("ringing -> ready") && log.contains("ready -> ringing (joined_early)"), "{log}");
    house.input(Input::Agent(AgentFact::SessionDown {
        agent: anna,
        cause: EndCause::Timeout,
        by: Party::Agent,
    }));
    house.call_fact(CallFact::Answered { call: second });
    house.pass(2_000);
    house.call_fact(CallFact::MessagePlayed { call: second });
    house.end(second, Party::System, EndCause::Normal);
    assert_eq!(house.record(second).outcome, Outcome::Abandoned);
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn a_fixed_number_of_lines_needs_an_agent_at_work_and_yields_to_lines_per_agent() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(20);
    let mut config = with_mode(list, DialMode::Ratio);
    config.concurrency = Concurrency {
        kind: ConcurrencyKind::Fixed,
        lines: Some(6),
        max_lines_per_agent: 2.5,
        cps_max: 100.0,
        ..Concurrency::default()
    };
    let campaign = house.running(config);
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 0);
    assert_eq!(last_report(&house, campaign).limited_by, LimitedBy::Agents);
    house.ready_agent("anna");
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 2, "2.5 lines for one agent, rounded down");
    house.ready_agent("bert");
    house.ready_agent("cleo");
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 6);
}

#[test]
fn the_least_number_of_lines_yields_to_the_abandonment_cap() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(20);
    let mut config = with_mode(list, DialMode::Predictive);
    config.concurrency.lines_min = 3;
    config.concurrency.max_lines_per_agent = 4.0;
    let campaign = house.running(config);
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 3, "before any answer is known, as told");
    let calls = house.dialled();
    house.join(calls[0]);
    house.answer(calls[1]);
    house.pass(2_100);
    house.end(calls[1], Party::System, EndCause::Normal);
    house.end(calls[2], Party::System, EndCause::NoAnswer);
    let before = house.dialled().len();
    for call in house.open() {
        house.end(call, Party::System, EndCause::NoAnswer);
    }
    house.pass(3_000);
    assert_eq!(house.dialled().len(), before, "one of two answers was abandoned: nothing more is risked");
    let report = last_report(&house, campaign);
    assert_eq!((report.live, report.abandoned), (2, 1));
}

#[test]
fn a_small_team_dials_as_it_is_told() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(20);
    let mut config = with_mode(list, DialMode::Ratio);
    config.ratio = 3.0;
    config.concurrency.cps_max = 100.0;
    config.pacing.small_team = Some(SmallTeam { below_agents: 2, mode: DialMode::Progressive });
    let campaign = house.running(config.clone());
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 1);
    let report = last_report(&house, campaign);
    assert_eq!((report.limited_by, report.detail.mode), (LimitedBy::SmallTeam, DialMode::Progressive));
    assert!(report.detail.small_team);
    // The second agent makes it a team.
    house.ready_agent("bert");
    house.pass(3_000);
    assert_eq!(house.dialled().len(), 6);
    assert!(!last_report(&house, campaign).detail.small_team);
}

#[test]
fn ringing_calls_are_given_up_only_if_allowed_and_only_past_the_minimum() {
    let given_up = |allowed: bool| {
        let mut house = House::new();
        house.plain_trunk();
        let agents: Vec<AgentId> =
            ["anna", "bert", "cleo", "dora"].map(|name| house.ready_agent(name)).to_vec();
        let list = house.list(400);
        let mut config = with_mode(list, DialMode::Predictive);
        config.concurrency.cps_max = 100.0;
        config.concurrency.lines_min = 12;
        config.pacing.cancel_ringing = allowed;
        config.pacing.abandon_cap = 0.5;
        config.pacing.abandon_target = 0.5;
        house.running(config);
        // Many answers teach that nearly everyone answers.
        for _ in 0..20 {
            house.pass(1_000);
            let open: Vec<CallId> = house.open();
            for call in open.into_iter().take(1) {
                house.join(call);
                house.pass(500);
                house.end(call, Party::Customer, EndCause::Normal);
            }
            for agent in &agents {
                let _ = house.command(Command::AgentReady(*agent));
            }
        }
        for call in house.open() {
            rings(&mut house, call);
        }
        for agent in &agents[1..] {
            house.command(Command::AgentPause { agent: *agent, code: "tea".into() }).unwrap();
        }
        let ringing = house.open();
        assert!(ringing.len() >= 4, "{}", ringing.len());
        house.pass(14_900);
        assert!(ringing.iter().all(|call| !house.hung_up(*call)), "none before 15 s");
        house.pass(5_000);
        ringing.iter().filter(|call| house.hung_up(**call)).count()
    };
    assert_eq!(given_up(false), 0);
    assert!(given_up(true) > 0);
}

#[test]
fn inbound_calls_that_wait_hold_back_what_was_chosen() {
    for (hold_back, expected) in [(HoldBack::Off, 1), (HoldBack::NoOverdial, 1), (HoldBack::NoDial, 0)] {
        let mut house = House::new();
        house.plain_trunk();
        house.ready_agent("anna");
        house.ready_agent("bert");
        let wait = Command::SetInboundWaiting { group: None, waiting: 1, for_ms: 60_000 };
        house.command(wait).unwrap();
        let list = house.list(20);
        let mut config = with_mode(list, DialMode::Progressive);
        config.pacing.hold_back = hold_back;
        house.running(config);
        house.pass(3_000);
        assert_eq!(
            house.dialled().len(),
            expected,
            "{hold_back:?}: one of two agents is for the inbound call"
        );
        // What was said lapses by itself.
        house.pass(60_000);
        assert_eq!(house.dialled().len(), 2, "{hold_back:?}");
    }
}

#[test]
fn a_queue_that_is_told_wrongly_is_refused_with_the_field() {
    let mut house = House::new();
    let mut refused = |group: Option<&str>, waiting, for_ms| {
        let command = Command::SetInboundWaiting { group: group.map(str::to_owned), waiting, for_ms };
        match house.command(command) {
            Err(CommandError::Invalid { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(Some(""), 1, 1_000), "/group");
    assert_eq!(refused(None, 100_001, 1_000), "/waiting");
    assert_eq!(refused(None, 1, 99), "/for_ms");
}

/// Two campaigns for the same agents, each call talking at once and for a second; dials of each after a while.
fn race(change: impl Fn(&mut CampaignConfig, &mut CampaignConfig)) -> (usize, usize) {
    let mut house = House::new();
    house.plain_trunk();
    for n in 0..4 {
        house.ready_agent(&format!("agent{n}"));
    }
    let lists = [house.list(400), house.list(400)];
    let mut one = with_mode(lists[0], DialMode::Progressive);
    let mut other = with_mode(lists[1], DialMode::Progressive);
    one.timers.wrap_up_ms = 0;
    other.timers.wrap_up_ms = 0;
    change(&mut one, &mut other);
    let (one, other) = (house.running(one), house.running(other));
    for _ in 0..400 {
        house.pass(100);
        // At most as many calls as agents, whoever dialled them.
        let open = house.open();
        assert!(open.len() <= 4, "{} calls for 4 agents", open.len());
        for call in open.into_iter().take(1) {
            house.join(call);
            house.pass(50);
            house.end(call, Party::Customer, EndCause::Normal);
        }
    }
    (dialled_for(&house, one), dialled_for(&house, other))
}

#[test]
fn shared_agents_are_shared_by_weight_and_never_dialled_for_twice() {
    let (one, other) = race(|one, other| {
        one.concurrency.weight = 300.0;
        other.concurrency.weight = 100.0;
    });
    let share = one as f64 / (one + other) as f64;
    assert!((0.70..0.80).contains(&share), "{one} and {other} dials for weights 3 and 1");
    let (one, other) = race(|_, _| {});
    assert!(one.abs_diff(other) <= 4, "{one} and {other} dials for equal weights");
}

#[test]
fn a_higher_priority_goes_first_whatever_the_weights() {
    let (one, other) = race(|one, other| {
        one.concurrency.priority = 10;
        other.concurrency.priority = 90;
        one.concurrency.weight = 1_000.0;
    });
    assert!(one <= 4, "{one} dials of the lower priority against {other}");
}

/// A campaign that dials and one that shows leads, for one agent: how many dials and tasks each had after a while in which
/// everything ends at once.
fn blended(priorities: [u32; 2]) -> (usize, usize) {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let lists = [house.list(100), house.list(100)];
    let mut dials = with_mode(lists[0], DialMode::Progressive);
    let mut shows = with_mode(lists[1], DialMode::Preview);
    (dials.concurrency.priority, shows.concurrency.priority) = (priorities[0], priorities[1]);
    dials.timers.wrap_up_ms = 0;
    let (dials, shows) = (house.running(dials), house.running(shows));
    let mut skipped = 0;
    for _ in 0..60 {
        house.pass(100);
        let (rings, tasks) = (house.open(), house.tasks[skipped..].to_vec());
        assert!(rings.len() + tasks.len() <= 1, "{} calls and {} tasks for one", rings.len(), tasks.len());
        for call in rings {
            house.end(call, Party::Customer, EndCause::NoAnswer);
        }
        for task in tasks {
            skipped += 1;
            house.command(Command::TaskSkip(task)).unwrap();
        }
    }
    assert_eq!(dialled_for(&house, shows), 0);
    (dialled_for(&house, dials), house.tasks.len())
}

#[test]
fn an_agent_on_whom_a_call_counts_is_shown_no_lead_and_each_campaign_has_its_turn() {
    let (dials, tasks) = blended([50, 50]);
    assert!(dials >= 10 && tasks >= 10, "{dials} dials and {tasks} tasks");
    let (dials, tasks) = blended([50, 60]);
    assert!(dials <= 1 && tasks >= 20, "{dials} dials and {tasks} tasks");
    let (dials, tasks) = blended([60, 50]);
    assert!(dials >= 20 && tasks <= 1, "{dials} dials and {tasks} tasks");
}

#[test]
fn scarce_lines_are_shared_from_the_first_moment() {
    let mut house = House::new();
    house.trunk(TrunkConfig {
        name: "narrow".into(),
        address: "192.0.2.1:5060".into(),
        options_interval_ms: 0,
        channels_max: 8,
        cps_max: 1_000.0,
        ..TrunkConfig::default()
    });
    let lists = [house.list(50), house.list(50)];
    let campaign = |house: &mut House, list, weight| {
        let mut config = agentless(list, 100);
        config.concurrency.weight = weight;
        config.concurrency.cps_max = 1_000.0;
        house.campaign(config)
    };
    let (one, other) = (campaign(&mut house, lists[0], 300.0), campaign(&mut house, lists[1], 100.0));
    // Nothing is dialled before both are there: leads come later.
    house.loads = false;
    for id in [one, other] {
        house.command(Command::StartCampaign(id)).unwrap();
    }
    house.load_all();
    house.pass(1_000);
    let dials = (dialled_for(&house, one), dialled_for(&house, other));
    assert_eq!(dials.0 + dials.1, 8, "every channel is used: {dials:?}");
    assert!(dials.1 >= 2, "the lighter campaign has its share: {dials:?}");
}

#[test]
fn a_group_of_campaigns_shares_one_budget() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let lists = [house.list(40), house.list(40)];
    let grouped = |list, group: &str| {
        let mut config = with_mode(list, DialMode::Progressive);
        config.pacing.budget_group = Some(group.into());
        config.timers.wrap_up_ms = 0;
        config
    };
    let one = house.running(grouped(lists[0], "shop"));
    house.pass(1_000);
    // Anna goes home while it rings: abandoned.
    let call = house.last_dialled();
    let agent = house.agent_named("anna");
    house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
    house.answer(call);
    house.pass(2_100);
    house.end(call, Party::System, EndCause::Normal);
    house.command(Command::StopCampaign(one)).unwrap();
    let other = house.running(grouped(lists[1], "shop"));
    house.pass(1_100);
    let report = last_report(&house, other);
    assert_eq!((report.live, report.abandoned), (0, 0), "its own");
    assert_eq!(report.detail.group, Some((1, 1)), "and the group's");
    assert!(report.budget_remaining < 0.0, "{}", report.budget_remaining);
    assert_eq!(report.detail.day, (0, 0));
}

#[test]
fn the_end_of_the_calling_hours_is_the_end_of_the_shift() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(5);
    let mut config = with_mode(list, DialMode::Predictive);
    // The house starts at 01:00 UTC.
    let hours =
        dialer_core::config::CallingHours { from_minute: 0, to_minute: 90, days: 127, utc_offset_minutes: 0 };
    config.calling_hours = Some(hours);
    let campaign = house.running(config);
    house.ready_agent("anna");
    house.pass(60_000);
    let left = last_report(&house, campaign).detail.shift_left_s.unwrap();
    assert!((1_735..=1_800).contains(&left), "{left}");
}

#[test]
fn false_positives_of_detection_are_reserved_as_the_rule_book_says() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(5);
    let mut config = with_mode(list, DialMode::Predictive);
    config.amd = AmdMode::BeforeBridge;
    config.pacing.policy = Policy::GbOfcom;
    let campaign = house.running(config);
    house.pass(2_000);
    let call = house.last_dialled();
    house.answer(call);
    house.call_fact(CallFact::Amd {
        call,
        verdict: AmdVerdict::Human,
        confidence: 0.9,
        evidence: AmdEvidence::ShortGreeting,
        after_answer_ms: 700,
    });
    house.call_fact(CallFact::Bridged { call });
    house.pass(2_000);
    let report = last_report(&house, campaign);
    assert_eq!((report.live, report.abandonment_rate, report.detail.false_machine), (1, 0.0, 0.01));
    assert!((report.detail.abandonment_rate_estimated - 0.01).abs() < 1e-9);
}

#[test]
fn settings_that_do_not_fit_name_the_field() {
    let mut house = House::new();
    let list = house.list(1);
    let mut refused = |change: &dyn Fn(&mut CampaignConfig)| {
        let mut config = with_mode(list, DialMode::Predictive);
        change(&mut config);
        match house.command(Command::CreateCampaign(Box::new(config))) {
            Err(CommandError::Invalid { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    };
    let pointers = [
        refused(&|c| c.mode = DialMode::Agentless),
        refused(&|c| c.concurrency.kind = ConcurrencyKind::Fixed),
        refused(&|c| {
            c.mode = DialMode::Ratio;
            c.concurrency.kind = ConcurrencyKind::Fixed;
        }),
        refused(&|c| c.concurrency.lines_min = 101),
        refused(&|c| c.concurrency.weight = f64::NAN),
        refused(&|c| c.concurrency.weight = 0.0),
        refused(&|c| c.concurrency.priority = 101),
        refused(&|c| c.concurrency.max_lines_per_agent = 0.9),
        refused(&|c| c.pacing.budget_group = Some(" ".into())),
        refused(&|c| c.pacing.small_team = Some(SmallTeam { below_agents: 0, mode: DialMode::Progressive })),
        refused(&|c| c.pacing.small_team = Some(SmallTeam { below_agents: 5, mode: DialMode::Preview })),
        refused(&|c| c.pacing.amd_false_machine = Some(0.6)),
        refused(&|c| {
            c.pacing.policy = Policy::UsTsr;
            c.pacing.window = AbandonWindow::Hours24;
        }),
        refused(&|c| {
            c.connect_at = ConnectAt::Ringing;
            c.amd = AmdMode::BeforeBridge;
        }),
        refused(&|c| {
            c.connect_at = ConnectAt::Ringing;
            c.mode = DialMode::Preview;
        }),
    ];
    expect![[r#"
        /on_answer/play
        /concurrency/kind
        /concurrency/lines
        /concurrency/min
        /concurrency/weight
        /concurrency/weight
        /concurrency/priority
        /concurrency/max_lines_per_agent
        /pacing/budget_group
        /pacing/small_team/below_agents
        /pacing/small_team/mode
        /classify/amd/false_machine_rate
        /pacing/window
        /connect_at
        /connect_at"#]]
    .assert_eq(&pointers.join("\n"));
}

#[test]
fn lines_that_another_server_lets_go_are_dialled_on_at_once() {
    let mut house = House::new();
    let config = TrunkConfig {
        name: "carrier".into(),
        address: "192.0.2.1:5060".into(),
        options_interval_ms: 0,
        channels_max: 6,
        channels_elsewhere: 5,
        ..TrunkConfig::default()
    };
    let trunk = house.trunk(config.clone());
    let list = house.list(20);
    let campaign = house.running(agentless(list, 6));
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 1);
    assert_eq!(last_report(&house, campaign).limited_by, LimitedBy::Lines);
    let update = |channels_elsewhere| Command::UpdateTrunk {
        trunk,
        config: TrunkConfig { channels_elsewhere, ..config.clone() },
        if_version: None,
    };
    house.command(update(2)).expect("it fits");
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 4);
    // Taken back: nothing that is up ends, and nothing is added.
    house.command(update(6)).expect("it fits");
    house.pass(2_000);
    assert_eq!((house.dialled().len(), house.open().len()), (4, 4));
    let refused = house.command(update(1_000_001));
    assert!(
        matches!(refused, Err(CommandError::Invalid { pointer, .. }) if pointer == "/channels_elsewhere")
    );
}

#[test]
fn what_was_forecast_is_held_against_what_came() {
    let mut house = House::new();
    house.plain_trunk();
    for n in 0..6 {
        house.ready_agent(&format!("agent{n}"));
    }
    let list = house.list(400);
    let mut config = with_mode(list, DialMode::Predictive);
    config.timers.wrap_up_ms = 1_000;
    config.concurrency.cps_max = 100.0;
    let campaign = house.running(config);
    for round in 0..120 {
        house.pass(500);
        for (n, call) in house.open().into_iter().enumerate() {
            if (n + round) % 4 == 0 {
                house.join(call);
                house.pass(200);
                house.end(call, Party::Customer, EndCause::Normal);
            }
        }
    }
    let accuracy = last_report(&house, campaign).detail.accuracy;
    assert!(accuracy.looks >= 3, "{accuracy:?}");
    assert!(accuracy.answers_seen > 0 && accuracy.answers_forecast > 0.0, "{accuracy:?}");
    let state = house.dialer.audit();
    assert!(state.is_empty(), "{state:?}");
}

#[test]
fn after_a_crash_the_ledger_is_exact_and_what_was_learned_is_there() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    house.ready_agent("bert");
    let list = house.list(200);
    let mut config = with_mode(list, DialMode::Predictive);
    config.timers.wrap_up_ms = 1_000;
    let campaign = house.running(config);
    for round in 0..80 {
        house.pass(1_000);
        for call in house.open().into_iter().take(1 + round % 2) {
            house.join(call);
            house.pass(300);
            house.end(call, Party::Customer, EndCause::Normal);
        }
    }
    let before = last_report(&house, campaign);
    let learned = house.learned(campaign).expect("something was learned");
    assert!(before.live >= 20 && learned.answers_seen >= 20, "{before:?} {learned:?}");
    let store = std::mem::take(&mut house.store);
    let now_ms = house.now.as_millis() + 5_000;
    let after = House::restarted(store, now_ms);
    let again = after.learned(campaign).expect("it is still known");
    // The sketch is written once a minute: what was learned since is lost, the rest is not.
    assert!(again.answers_seen * 2 > learned.answers_seen, "{again:?} of {learned:?}");
    assert!((again.talk_s - learned.talk_s).abs() < 0.5 * learned.talk_s);
    let told = last_report(&after, campaign);
    assert_eq!((told.live, told.abandoned), (before.live, before.abandoned), "the ledger lost nothing");
}

fn owned_by(house: &mut House, owner: &str, leads: std::ops::RangeInclusive<u128>) {
    for bits in leads {
        let lead = house.store.leads.get_mut(&dialer_core::LeadId::from_bits(bits)).unwrap();
        lead.fields.insert("owner".into(), owner.into());
    }
}

fn dialled_lead(house: &House) -> (Option<dialer_core::LeadId>, Option<AgentId>) {
    let view = &house.views[&house.last_dialled()];
    (view.lead, view.agent)
}

/// Leads with an owner wait for that agent, and nobody else's wait behind them.
#[test]
fn leads_of_an_owner_are_called_by_that_agent_alone() {
    for mode in [DialMode::Progressive, DialMode::Preview] {
        let lead = |bits: u128| Some(dialer_core::LeadId::from_bits(bits));
        let mut house = House::new();
        house.plain_trunk();
        let anna = house.ready_agent("anna");
        let ben = house.agent_with_phone("ben");
        let list = house.list(411);
        owned_by(&mut house, "ben", 1..=400);
        owned_by(&mut house, "nobody", 401..=410);
        owned_by(&mut house, "anna", 411..=411);
        let mut config = with_mode(list, mode);
        config.serving.owner_only = true;
        config.timers.preview_auto_dial_ms = 1;
        house.running(config);
        house.pass(1_000);
        assert_eq!(
            dialled_lead(&house),
            (lead(411), Some(anna)),
            "{mode:?}: the one who is there has her own"
        );
        let login = Command::AgentLogin { agent: ben, session: dialer_core::config::SessionKind::NailedUp };
        house.command(login).unwrap();
        house.input(Input::Agent(AgentFact::SessionUp { agent: ben }));
        house.pass(2_000);
        assert_eq!(dialled_lead(&house), (lead(1), Some(ben)), "{mode:?}");
        // Anna goes on with what is anyone's, whatever of his and of nobody's lies before it.
        house.leads(list, 1);
        let first = house.dialled()[0];
        house.end(first, Party::Customer, EndCause::Busy);
        house.pass(2_000);
        let (next, agent) = dialled_lead(&house);
        assert_eq!(next, lead(412), "{mode:?}");
        assert!(mode == DialMode::Progressive || agent == Some(anna));
    }
}
