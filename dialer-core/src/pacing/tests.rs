//! The house rules of every mode, held against arbitrary views and events.

use super::foresee::THIN_ANSWERS;
use super::*;
use core::time::Duration;
use proptest::prelude::*;

const ONE: CampaignRef = CampaignRef(1);
const SERVES: &[CampaignRef] = &[ONE];

fn agents(idle: u32, talking: u32) -> Vec<AgentView<'static>> {
    (0..idle + talking)
        .map(|i| AgentView {
            agent: AgentRef(i),
            state: if i < idle { AgentState::Idle } else { AgentState::Talking },
            since: Instant::ZERO,
            campaign: Some(ONE),
            serves: SERVES,
            leaving: false,
            free_at: None,
            busy_until: None,
            leaves_at: None,
        })
        .collect()
}

fn in_flight(calls: u32) -> Vec<CallView> {
    (0..calls)
        .map(|i| CallView {
            call: CallRef(u64::from(i)),
            campaign: ONE,
            dialed_at: Instant::from_millis(99_000),
            alerting_at: None,
            detecting_since: None,
            answered_at: None,
            traits: DialTraits::default(),
            answer_probability: None,
        })
        .collect()
}

fn view<'a>(
    agents: &'a [AgentView<'a>],
    calls: &'a [CallView],
    windows: &'a [WindowCount],
) -> PacingView<'a> {
    PacingView {
        campaign: ONE,
        agents,
        calls,
        inbound_waiting: 0,
        limits: DialLimits {
            lines_free: 1_000,
            cps_allowance: 1_000,
            hopper: 1_000,
            max_lines_per_agent: 10.0,
        },
        leads_left: None,
        idle_share: None,
        next: DialTraits::default(),
        next_answer: None,
        shift_left: None,
        windows,
        hold: None,
    }
}

fn floor(mode: Mode) -> Floor {
    let mut floor = Floor::new();
    assert!(floor.set_campaign(ONE, CampaignPacing { mode, ..CampaignPacing::default() }));
    floor
}

fn dials(mode: Mode, idle: u32, talking: u32, calls: u32) -> (u32, LimitedBy) {
    let (agents, calls) = (agents(idle, talking), in_flight(calls));
    let decision = floor(mode).decide(Instant::from_millis(100_000), &view(&agents, &calls, &[]));
    (decision.dial, decision.limited_by)
}

/// Some weeks of history: p = 0.25, answers after 8 s, talk 100 s, wrap-up 20 s.
fn experienced() -> Floor {
    let mut floor = floor(Mode::Predictive);
    for i in 0..600_u64 {
        let (call, now) = (CallRef(i), Instant::from_millis(i * 120));
        floor.observe(now, &PacingEvent::Dialed { call, campaign: ONE, traits: DialTraits::default() });
        let (outcome, after) = match i % 4 {
            0 => (Outcome::Human, Duration::from_millis(6_000 + i % 100 * 40)),
            1 => (Outcome::Busy, Duration::from_secs(3)),
            _ => (Outcome::NoAnswer, Duration::from_secs(25)),
        };
        floor.observe(now, &PacingEvent::Resolved { call, campaign: ONE, outcome, after });
        if outcome == Outcome::Human {
            let agent = AgentRef((i % 20) as u32);
            let waited = Duration::ZERO;
            floor.observe(now, &PacingEvent::Connected { call, campaign: ONE, agent, waited });
            let lasted = Duration::from_secs(20 + i % 160);
            floor.observe(now, &PacingEvent::TalkEnded { agent, campaign: ONE, lasted });
            let lasted = Duration::from_secs(10 + i % 20);
            floor.observe(now, &PacingEvent::WrapUpEnded { agent, campaign: ONE, lasted });
        }
    }
    floor
}

fn shift(live: u64, abandoned: u64) -> WindowCount {
    let left = Some(Duration::from_secs(20_000));
    WindowCount { live, abandoned, cap: 0.03, style: CapStyle::Average, left, of_group: false }
}

#[test]
fn the_modes_without_a_forecast() {
    assert_eq!(dials(Mode::Preview, 5, 0, 0), (0, LimitedBy::Mode));
    assert_eq!(dials(Mode::Progressive, 5, 3, 2), (3, LimitedBy::Agents));
    assert_eq!(dials(Mode::Progressive, 2, 3, 9), (0, LimitedBy::Agents));
    assert_eq!(dials(Mode::Ratio(1.5), 5, 3, 2), (5, LimitedBy::Agents));
    assert_eq!(dials(Mode::Ratio(f64::NAN), 5, 3, 2), (3, LimitedBy::Agents));
    assert_eq!(dials(Mode::Agentless(7), 0, 0, 2), (5, LimitedBy::Mode));
    assert_eq!(dials(Mode::Progressive, 0, 0, 0), (0, LimitedBy::NoAgents));
    assert_eq!(dials(Mode::Predictive, 5, 3, 2), (3, LimitedBy::ColdStart));
}

#[test]
fn thin_history_falls_back_to_erlang_c() {
    let now = Instant::from_millis(100_000);
    let cold = |idle, talking, calls| {
        let (agents, calls) = (agents(idle, talking), in_flight(calls));
        let windows = [shift(0, 0)];
        let decision = floor(Mode::Predictive).decide(now, &view(&agents, &calls, &windows));
        (decision.dial, decision.limited_by, decision.explain)
    };
    // A handful of agents bears nothing ahead by Erlang C: one call per idle agent.
    assert_eq!((cold(0, 5, 0).0, cold(0, 5, 0).1), (0, LimitedBy::ColdStart));
    assert_eq!((cold(3, 2, 1).0, cold(3, 2, 1).1), (2, LimitedBy::ColdStart));
    // Three hundred do: as many answers as the steady state takes, if people answer as often as is feared.
    let (ahead, limited_by, explain) = cold(0, 300, 0);
    assert_eq!(limited_by, LimitedBy::ColdStart);
    let bears = explain.steady_answers_per_s * explain.answer_time_s;
    let most = bears / THIN_ANSWERS;
    assert!(ahead > 0 && f64::from(ahead) <= most && bears > 10.0, "{ahead} of {most}");
    let (further, ..) = cold(0, 300, ahead - 4);
    assert!((1..=4).contains(&further), "calls in flight are counted: {further}");
    assert!(cold(290, 10, 0).0 >= 290, "one per idle agent where that is more");
}

#[test]
fn a_cap_that_is_reached_holds_before_anything_is_learned() {
    let now = Instant::from_millis(100_000);
    let cold = |(idle, talking), calls, (live, abandoned)| {
        let (agents, calls) = (agents(idle, talking), in_flight(calls));
        let windows = [shift(live, abandoned)];
        let decision = floor(Mode::Predictive).decide(now, &view(&agents, &calls, &windows));
        (decision.dial, decision.limited_by)
    };
    // Everyone who answered was abandoned: one call per idle agent, none ahead, however many the steady state would bear.
    assert_eq!(cold((2, 0), 0, (4, 4)), (2, LimitedBy::AbandonCap));
    assert_eq!(cold((2, 0), 2, (4, 4)), (0, LimitedBy::AbandonCap));
    assert_eq!(cold((0, 300), 0, (4, 4)), (0, LimitedBy::AbandonCap));
    // Both sides of the cap of 3 %.
    assert_eq!(cold((0, 300), 0, (100, 3)), (0, LimitedBy::AbandonCap));
    let (ahead, limited_by) = cold((0, 300), 0, (101, 3));
    assert!(ahead > 0 && limited_by == LimitedBy::ColdStart, "{ahead} {limited_by:?}");
    // Of several windows the one that is reached binds.
    let (agents, calls) = (agents(0, 300), in_flight(0));
    let windows = [shift(1_000, 1), shift(10, 1)];
    let decision = floor(Mode::Predictive).decide(now, &view(&agents, &calls, &windows));
    assert_eq!((decision.dial, decision.limited_by), (0, LimitedBy::AbandonCap));
}

#[test]
fn predictive_dials_ahead_with_a_budget_and_like_progressive_without() {
    let (agents, calls) = (agents(3, 17), in_flight(2));
    let now = Instant::from_millis(100_000);
    let mut floor = experienced();
    let windows = [shift(500, 5)];
    let rich = floor.decide(now, &view(&agents, &calls, &windows));
    assert!(rich.dial > 1, "{rich:?}");
    assert_eq!(rich.limited_by, LimitedBy::Risk);
    let over = [shift(500, 5), WindowCount { left: None, ..shift(500, 40) }];
    let poor = experienced().decide(now, &view(&agents, &calls, &over));
    assert!(poor.dial < rich.dial && poor.dial >= 1, "{poor:?}");
    assert_eq!(poor.limited_by, LimitedBy::AbandonCap);
    assert!(poor.explain.risk_limit < 1e-3);
}

#[test]
fn every_hard_limit_is_named() {
    let (agents, calls) = (agents(10, 0), Vec::new());
    let base = view(&agents, &calls, &[]);
    let check = |view: PacingView<'_>, dial, by| {
        for mode in [Mode::Progressive, Mode::Ratio(2.0), Mode::Predictive] {
            let decision = floor(mode).decide(Instant::ZERO, &view);
            assert_eq!((decision.dial, decision.limited_by), (dial, by), "{mode:?}");
        }
    };
    check(PacingView { limits: DialLimits { lines_free: 2, ..base.limits }, ..base }, 2, LimitedBy::Lines);
    check(PacingView { limits: DialLimits { cps_allowance: 3, ..base.limits }, ..base }, 3, LimitedBy::Cps);
    check(PacingView { limits: DialLimits { hopper: 4, ..base.limits }, ..base }, 4, LimitedBy::Hopper);
    let limits = DialLimits { max_lines_per_agent: 0.5, ..base.limits };
    check(PacingView { limits, ..base }, 5, LimitedBy::MaxLinesPerAgent);
    check(PacingView { hold: Some(Hold::Paused), ..base }, 0, LimitedBy::Paused);
    check(PacingView { hold: Some(Hold::Window), ..base }, 0, LimitedBy::Window);
    check(PacingView { hold: Some(Hold::Draining), ..base }, 0, LimitedBy::Draining);
}

#[test]
fn inbound_goes_first() {
    let agents = agents(3, 0);
    let decision = floor(Mode::Progressive)
        .decide(Instant::ZERO, &PacingView { inbound_waiting: 3, ..view(&agents, &[], &[]) });
    assert_eq!((decision.dial, decision.limited_by), (0, LimitedBy::Inbound));
}

#[test]
fn another_campaigns_calls_claim_the_agents_they_share() {
    let both: &[CampaignRef] = &[ONE, CampaignRef(2)];
    let mut agents = agents(4, 0);
    agents[0].serves = both;
    agents[1].serves = both;
    agents[2].serves = &both[1..];
    // Three calls of campaign 2: one for its own agent, two for the shared ones.
    let calls: Vec<_> =
        in_flight(3).into_iter().map(|call| CallView { campaign: CampaignRef(2), ..call }).collect();
    let decision =
        floor(Mode::Progressive).decide(Instant::from_millis(100_000), &view(&agents, &calls, &[]));
    assert_eq!(decision.dial, 1);
}

#[test]
fn what_was_learned_survives_a_restart() {
    let before = experienced();
    let mut after = floor(Mode::Predictive);
    assert!(after.restore(before.sketch()));
    let (agents, calls, windows) = (agents(3, 17), in_flight(2), [shift(500, 5)]);
    let view = view(&agents, &calls, &windows);
    let now = Instant::from_millis(100_000);
    let (mut a, mut b) = (before.clone(), after);
    // Residual tables are rebuilt on restore, a little fresher than those in use.
    let (a, b) = (a.decide(now, &view), b.decide(now, &view));
    assert!(a.dial.abs_diff(b.dial) <= 1, "{a:?} {b:?}");
    assert!((a.explain.p_answer - b.explain.p_answer).abs() < 0.02);
}

#[derive(Clone, Debug)]
enum Step {
    Observe(u64, PacingEvent),
    Decide(u64, Vec<(u8, u64, bool)>, Vec<(u64, u64, bool)>, [u32; 3], f64, f64),
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![(0..100_000_u64).prop_map(Duration::from_millis), Just(Duration::MAX), Just(Duration::ZERO)]
}

fn event() -> impl Strategy<Value = PacingEvent> {
    let call = || (0..12_u64).prop_map(CallRef);
    let campaign = || (0..3_u32).prop_map(CampaignRef);
    let agent = || (0..8_u32).prop_map(AgentRef);
    let outcome = prop_oneof![
        Just(Outcome::Human),
        Just(Outcome::Machine),
        Just(Outcome::Busy),
        Just(Outcome::NoAnswer),
        Just(Outcome::Cancelled)
    ];
    prop_oneof![
        (call(), campaign()).prop_map(|(call, campaign)| PacingEvent::Dialed {
            call,
            campaign,
            traits: DialTraits::default()
        }),
        (call(), campaign(), outcome, duration()).prop_map(|(call, campaign, outcome, after)| {
            PacingEvent::Resolved { call, campaign, outcome, after }
        }),
        (call(), campaign(), agent(), duration()).prop_map(|(call, campaign, agent, waited)| {
            PacingEvent::Connected { call, campaign, agent, waited }
        }),
        (call(), campaign(), duration()).prop_map(|(call, campaign, waited)| PacingEvent::Abandoned {
            call,
            campaign,
            waited
        }),
        (agent(), campaign(), duration()).prop_map(|(agent, campaign, lasted)| PacingEvent::TalkEnded {
            agent,
            campaign,
            lasted
        }),
        (agent(), campaign(), duration()).prop_map(|(agent, campaign, lasted)| PacingEvent::WrapUpEnded {
            agent,
            campaign,
            lasted
        }),
        (agent(), duration()).prop_map(|(agent, lasted)| PacingEvent::InboundTalkEnded { agent, lasted }),
        Just(PacingEvent::InboundArrived),
        Just(PacingEvent::DayStarted { day: 1 }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![0.0..20.0_f64, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)];
    prop_oneof![
        3 => (0..200_000_u64, event()).prop_map(|(at, event)| Step::Observe(at, event)),
        1 => (
            0..200_000_u64,
            prop::collection::vec((0..8_u8, 0..200_000_u64, any::<bool>()), 0..40),
            prop::collection::vec((0..12_u64, 0..200_000_u64, any::<bool>()), 0..40),
            [0..50_u32, 0..50, 0..50],
            number(),
            number(),
        )
            .prop_map(|(at, agents, calls, limits, lines, cap)| Step::Decide(at, agents, calls, limits, lines, cap)),
    ]
}

fn state(code: u8) -> AgentState {
    [
        AgentState::Idle,
        AgentState::Reserved,
        AgentState::Talking,
        AgentState::WrapUp,
        AgentState::InboundTalking,
        AgentState::InboundWrapUp,
        AgentState::OnBreak,
        AgentState::LoggedOut,
    ][usize::from(code)]
}

fn run(mode: Mode, steps: &[Step]) -> Vec<Decision> {
    let mut floor = floor(mode);
    let mut decisions = Vec::new();
    for step in steps {
        match step {
            Step::Observe(at, event) => floor.observe(Instant::from_millis(*at), event),
            Step::Decide(at, agents, calls, [lines_free, cps_allowance, hopper], lines, cap) => {
                let agents: Vec<_> = agents
                    .iter()
                    .enumerate()
                    .map(|(i, &(code, since, leaving))| AgentView {
                        agent: AgentRef(i as u32),
                        state: state(code),
                        since: Instant::from_millis(since),
                        campaign: Some(CampaignRef(u32::from(code) % 3)),
                        serves: if code == 7 { &[] } else { SERVES },
                        leaving,
                        free_at: leaving.then(|| Instant::from_millis(since)),
                        busy_until: None,
                        leaves_at: None,
                    })
                    .collect();
                let calls: Vec<_> = calls
                    .iter()
                    .map(|&(call, dialed, answered)| CallView {
                        call: CallRef(call),
                        campaign: CampaignRef((call % 2) as u32 + 1),
                        dialed_at: Instant::from_millis(dialed),
                        alerting_at: None,
                        detecting_since: None,
                        answered_at: answered.then_some(Instant::from_millis(dialed)),
                        traits: DialTraits::default(),
                        answer_probability: (call == 3).then_some(*lines as f32),
                    })
                    .collect();
                let windows = [WindowCount { cap: *cap, ..shift(100, 2) }];
                let limits = DialLimits {
                    lines_free: *lines_free,
                    cps_allowance: *cps_allowance,
                    hopper: *hopper,
                    max_lines_per_agent: *lines,
                };
                let view = PacingView { limits, ..view(&agents, &calls, &windows) };
                let decision = floor.decide(Instant::from_millis(*at), &view);
                let working = agents.iter().filter(|a| a.state.is_working() && !a.serves.is_empty()).count();
                assert!(decision.dial <= *lines_free.min(cps_allowance).min(hopper));
                if !matches!(mode, Mode::Agentless(_)) {
                    assert!(working > 0 || decision.dial == 0, "{decision:?}");
                    assert!(f64::from(decision.dial) <= working as f64 * 50.0);
                }
                let e = &decision.explain;
                for value in [
                    e.p_answer,
                    e.risk_next,
                    e.target,
                    e.budget,
                    e.bias,
                    e.answers_expected,
                    e.agents_freeing,
                ] {
                    assert!(value.is_finite(), "{e:?}");
                }
                decisions.push(decision);
            }
        }
    }
    decisions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn never_beyond_the_limits_and_always_the_same(
        steps in prop::collection::vec(step(), 1..60),
        mode in prop_oneof![
            Just(Mode::Predictive), Just(Mode::Progressive), Just(Mode::Ratio(2.5)), Just(Mode::Agentless(9))],
    ) {
        prop_assert_eq!(run(mode, &steps), run(mode, &steps));
    }

}

/// One idle agent more, everything else alike.
fn with_one_more(agents: &[AgentView<'static>], idle: &AgentView<'static>) -> Vec<AgentView<'static>> {
    let mut more = agents.to_vec();
    more.push(AgentView { agent: AgentRef(9_999), state: AgentState::Idle, leaving: false, ..*idle });
    more
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn one_more_free_agent_never_means_fewer_dials(
        idle in 0..20_u32,
        busy in 0..40_u32,
        calls in 0..50_u32,
        live in 0..3_000_u64,
        abandoned in 0..60_u64,
        left_s in 0..28_800_u64,
        mode in prop_oneof![
            Just(Mode::Predictive), Just(Mode::Progressive), Just(Mode::Ratio(1.7)), Just(Mode::PreConnected(2.0))],
    ) {
        let mut history = experienced();
        history.set_campaign(ONE, CampaignPacing { mode, ..CampaignPacing::default() });
        let left = Some(Duration::from_secs(left_s));
        let windows = [WindowCount { left, ..shift(live, abandoned.min(live)) }];
        let now = Instant::from_millis(100_000);
        let (few, calls) = (agents(idle + 1, busy), in_flight(calls));
        let more = with_one_more(&few, &few[0]);
        let dial = |agents: &[AgentView<'_>]| history.clone().decide(now, &view(agents, &calls, &windows)).dial;
        let (less, more) = (dial(&few), dial(&more));
        prop_assert!(more >= less, "{less} with {} idle, {more} with one more", idle + 1);
    }
}

#[test]
fn a_team_too_small_dials_like_progressive() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let mut floor = experienced();
    let pacing = CampaignPacing { mode: Mode::Predictive, small_team: 8, ..CampaignPacing::default() };
    floor.set_campaign(ONE, pacing);
    let team = agents(6, 1);
    let decision = floor.decide(now, &view(&team, &[], &windows));
    assert_eq!((decision.dial, decision.limited_by), (6, LimitedBy::SmallTeam));
    let team = agents(6, 2);
    let decision = floor.decide(now, &view(&team, &[], &windows));
    assert!(decision.dial > 6 && decision.limited_by != LimitedBy::SmallTeam, "{decision:?}");
}

#[test]
fn while_inbound_waits_the_campaign_holds_back() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let team = agents(4, 16);
    let dial = |hold_back, inbound_waiting| {
        let mut floor = experienced();
        let pacing =
            CampaignPacing { mode: Mode::Predictive, inbound: hold_back, ..CampaignPacing::default() };
        floor.set_campaign(ONE, pacing);
        let decision = floor.decide(now, &PacingView { inbound_waiting, ..view(&team, &[], &windows) });
        (decision.dial, decision.limited_by)
    };
    let (free, _) = dial(InboundHoldBack::NoOverdial, 0);
    assert!(free > 4);
    assert_eq!(dial(InboundHoldBack::NoOverdial, 1), (3, LimitedBy::Inbound));
    assert_eq!(dial(InboundHoldBack::NoDial, 1), (0, LimitedBy::Inbound));
    let (off, _) = dial(InboundHoldBack::Off, 1);
    assert!(off > 3 && off < free, "{off} {free}");
}

/// Inbound calls make every dial a little risky; an idle agent is dialled for all the same, so that a blended campaign
/// without history or plan does not stand still for ever.
#[test]
fn expected_inbound_does_not_stop_a_campaign() {
    let mut floor = floor(Mode::Predictive);
    for call in 0..30 {
        floor.observe(Instant::from_millis(call * 3_000), &PacingEvent::InboundArrived);
    }
    let team = agents(2, 3);
    let window = |live, abandoned| [WindowCount { left: None, ..shift(live, abandoned) }];
    let now = Instant::from_millis(100_000);
    let mut dial = |windows: &[WindowCount]| floor.decide(now, &view(&team, &[], windows)).dial;
    assert_eq!((dial(&[]), dial(&window(0, 0)), dial(&window(20, 0))), (2, 2, 2));
    assert_eq!(dial(&window(20, 1)), 0, "over its cap: not while inbound may well take the agent");
}

#[test]
fn pre_connected_agents_count_as_free_and_lines_are_bounded() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let mut floor = experienced();
    floor.set_campaign(ONE, CampaignPacing { mode: Mode::PreConnected(2.0), ..CampaignPacing::default() });
    let mut team = agents(3, 0);
    team[0].state = AgentState::Listening;
    let decision = floor.decide(now, &view(&team, &in_flight(1), &windows));
    assert_eq!(decision.explain.agents_idle, 3);
    assert!((2..=5).contains(&decision.dial), "{decision:?}");
    // Without a budget it is one call per agent, and another campaign's listener is nobody's.
    let decision = floor.decide(now, &view(&team, &in_flight(1), &[]));
    assert_eq!(decision.dial, 2);
    team[0].campaign = Some(CampaignRef(2));
    assert_eq!(floor.decide(now, &view(&team, &in_flight(1), &[])).dial, 1);
}

#[test]
fn agents_who_leave_are_not_counted_on() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let history = experienced();
    let dial = |team: &[AgentView<'_>]| history.clone().decide(now, &view(team, &[], &windows)).dial;
    let mut stay = agents(6, 14);
    for agent in stay.iter_mut().skip(6) {
        (agent.state, agent.since) = (AgentState::WrapUp, Instant::from_millis(80_000));
    }
    let mut leave = stay.clone();
    leave.iter_mut().for_each(|agent| agent.leaving = true);
    assert!(dial(&stay) > 6);
    assert_eq!(dial(&leave), 0);
    let mut soon = stay.clone();
    soon.iter_mut().for_each(|agent| agent.leaves_at = Some(Instant::from_millis(102_000)));
    assert_eq!(dial(&soon), 0, "gone before an answer comes");
    let mut later = stay.clone();
    later.iter_mut().skip(6).for_each(|agent| agent.busy_until = Some(Instant::from_millis(400_000)));
    assert!(dial(&later) < dial(&stay), "two minutes more are two minutes more");
}

#[test]
fn a_share_of_the_idle_agents_is_all_a_campaign_counts_on() {
    let now = Instant::from_millis(100_000);
    let team = agents(6, 0);
    for mode in [Mode::Progressive, Mode::Predictive] {
        let base = view(&team, &[], &[]);
        let decision = floor(mode).decide(now, &PacingView { idle_share: Some(2), ..base });
        assert_eq!(decision.dial, 2, "{mode:?}");
    }
}

#[test]
fn only_calls_that_rang_long_enough_are_given_up_and_only_if_allowed() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let team = agents(0, 4);
    let mut calls = in_flight(30);
    for call in &mut calls {
        call.dialed_at = Instant::from_millis(80_000);
        // Even ones have rung for 16 s, odd ones for 14 s.
        let rung_ms = if call.call.0 % 2 == 0 { 16_000 } else { 14_000 };
        call.alerting_at = Some(Instant::from_millis(100_000 - rung_ms));
    }
    let cancelled = |allowed| {
        let mut floor = experienced();
        let cancel = CancelPolicy { allowed, ..CancelPolicy::default() };
        floor.set_campaign(
            ONE,
            CampaignPacing { mode: Mode::Predictive, cancel, ..CampaignPacing::default() },
        );
        floor.decide(now, &view(&team, &calls, &windows)).cancel
    };
    assert!(cancelled(false).is_empty());
    let given_up = cancelled(true);
    assert!(!given_up.is_empty() && given_up.iter().all(|call| call.0 % 2 == 0), "{given_up:?}");
}

#[test]
fn a_call_listened_to_weighs_more_than_a_ringing_one() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let team = agents(8, 12);
    let ringing = in_flight(4);
    let listened: Vec<CallView> = ringing
        .iter()
        .map(|call| CallView { detecting_since: Some(Instant::from_millis(99_500)), ..*call })
        .collect();
    let ask = |calls: &[CallView]| experienced().decide(now, &view(&team, calls, &windows));
    let (ringing, listened) = (ask(&ringing), ask(&listened));
    assert!(listened.explain.answers_expected > ringing.explain.answers_expected);
    assert!(listened.dial < ringing.dial, "{} {}", listened.dial, ringing.dial);
}

#[test]
fn a_rich_list_is_dialled_with_more_care() {
    let mut floor = floor(Mode::Predictive);
    let list = |number| DialTraits { list: Some(number), ..DialTraits::default() };
    for i in 0..2_000_u64 {
        let (call, now) = (CallRef(i), Instant::from_millis(i * 40));
        let traits = list((i % 2) as u32);
        floor.observe(now, &PacingEvent::Dialed { call, campaign: ONE, traits });
        let live = if i % 2 == 0 { i % 10 < 6 } else { i % 10 == 1 };
        let outcome = if live { Outcome::Human } else { Outcome::NoAnswer };
        let after = Duration::from_secs(if live { 8 } else { 25 });
        floor.observe(now, &PacingEvent::Resolved { call, campaign: ONE, outcome, after });
    }
    let (team, windows) = (agents(5, 15), [shift(500, 5)]);
    let now = Instant::from_millis(100_000);
    let mut ask = |traits| floor.decide(now, &PacingView { next: traits, ..view(&team, &[], &windows) });
    let (rich, poor) = (ask(list(0)), ask(list(1)));
    assert!(rich.explain.p_answer > 2.0 * poor.explain.p_answer, "{:?} {:?}", rich.explain, poor.explain);
    assert!(rich.dial < poor.dial, "{} {}", rich.dial, poor.dial);
}

/// An hour without an answer, then everybody answers: the calls ahead stay bounded all the time.
#[test]
fn silence_and_then_a_flood_of_answers_start_no_burst() {
    let mut floor = experienced();
    let windows = [shift(2_000, 10)];
    let team = agents(10, 10);
    let (mut call, mut flying): (u64, Vec<(u64, CallView)>) = (10_000, Vec::new());
    let (mut dialled_at_once, mut worst) = (0, 0);
    for second in (100..3_900_u64).step_by(2) {
        let now = Instant::from_millis(second * 1_000);
        let silent = second < 3_700;
        flying.retain(|(end, view)| {
            if *end > second {
                return true;
            }
            let outcome = if silent { Outcome::NoAnswer } else { Outcome::Human };
            let after = Duration::from_secs(25);
            floor.observe(now, &PacingEvent::Resolved { call: view.call, campaign: ONE, outcome, after });
            false
        });
        let calls: Vec<CallView> = flying.iter().map(|(_, view)| *view).collect();
        let decision = floor.decide(now, &view(&team, &calls, &windows));
        assert!(decision.explain.risk_next.is_finite() && decision.explain.p_answer > 0.0);
        dialled_at_once = dialled_at_once.max(decision.dial);
        worst = worst.max(calls.len() as u32 + decision.dial);
        for _ in 0..decision.dial {
            call += 1;
            let call = CallRef(call);
            floor.observe(now, &PacingEvent::Dialed { call, campaign: ONE, traits: DialTraits::default() });
            flying.push((second + 25, CallView { call, dialed_at: now, ..in_flight(1)[0] }));
        }
    }
    assert!(dialled_at_once <= 10 + 2 + 30, "{dialled_at_once} at once by 20 agents");
    assert!(worst <= 200, "{worst}: the campaign's lines per agent");
    let decision = floor.decide(Instant::from_millis(3_900_000), &view(&team, &[], &windows));
    assert!(decision.explain.p_answer > 0.5, "{:?}", decision.explain);
}

#[test]
fn a_group_spends_one_budget_at_one_rate() {
    let two = CampaignRef(2);
    let mut floor = experienced();
    for campaign in [ONE, two] {
        let pacing = CampaignPacing { mode: Mode::Predictive, group: Some(7), ..CampaignPacing::default() };
        floor.set_campaign(campaign, pacing);
    }
    let team = agents(2, 8);
    let now = Instant::from_millis(100_000);
    // The other campaign is at work too: its answers to come are part of the plan.
    let others: Vec<AgentView<'_>> =
        team.iter().map(|agent| AgentView { serves: &[CampaignRef(2)], ..*agent }).collect();
    floor.decide(now, &PacingView { campaign: two, ..view(&others, &[], &[]) });
    let alone = [shift(500, 14)];
    let group = [WindowCount { of_group: true, ..alone[0] }];
    let alone = floor.clone().decide(now, &view(&team, &[], &alone)).explain;
    let group = floor.decide(now, &view(&team, &[], &group)).explain;
    assert!(group.budget > 1.5 * alone.budget, "{group:?} {alone:?}");
    assert!((group.target / alone.target - 1.0).abs() < 0.3, "{group:?} {alone:?}");
}

#[test]
fn what_is_expected_of_a_new_campaign_is_where_it_begins() {
    let mut floor = Floor::new();
    let expected = Some(Expected { answer: 0.08, talk_s: 300.0, wrap_up_s: 60.0 });
    floor.set_campaign(ONE, CampaignPacing { mode: Mode::Predictive, expected, ..CampaignPacing::default() });
    let team = agents(2, 2);
    let explain = floor.decide(Instant::from_millis(1_000), &view(&team, &[], &[])).explain;
    assert!((0.06..0.12).contains(&explain.p_answer), "{explain:?}");
    let nonsense = Some(Expected { answer: f64::NAN, talk_s: -1.0, wrap_up_s: f64::INFINITY });
    floor.set_campaign(ONE, CampaignPacing { expected: nonsense, ..floor.campaign(ONE) });
    assert_eq!(floor.decide(Instant::from_millis(2_000), &view(&team, &[], &[])).dial, 2);
}

#[test]
fn duplicates_strangers_and_disorder_change_nothing_that_binds() {
    let windows = [shift(500, 5)];
    let team = agents(3, 17);
    let now = Instant::from_millis(100_000);
    let mut floor = experienced();
    let before = floor.clone().decide(now, &view(&team, &[], &windows));
    let (stranger, late) = (CallRef(77_777), Instant::from_millis(1));
    let resolved = |outcome, after| PacingEvent::Resolved { call: stranger, campaign: ONE, outcome, after };
    for _ in 0..1_000 {
        floor.observe(late, &resolved(Outcome::Human, Duration::MAX));
        let (call, waited) = (stranger, Duration::ZERO);
        floor.observe(late, &PacingEvent::Abandoned { call, campaign: ONE, waited });
        floor.observe(
            late,
            &PacingEvent::Connected { call, campaign: ONE, agent: AgentRef(u32::MAX), waited },
        );
        floor.observe(late, &PacingEvent::Detecting { call });
    }
    // One call answered, and said to be answered and abandoned again and again: learned from once.
    let traits = DialTraits::default();
    floor.observe(now, &PacingEvent::Dialed { call: stranger, campaign: ONE, traits });
    for _ in 0..1_000 {
        floor.observe(now, &resolved(Outcome::Human, Duration::from_secs(8)));
        floor.observe(now, &PacingEvent::Dialed { call: stranger, campaign: ONE, traits });
    }
    let after = floor.decide(now, &view(&team, &[], &windows));
    assert!(after.dial.abs_diff(before.dial) <= 1, "{before:?} {after:?}");
    assert!((after.explain.p_answer - before.explain.p_answer).abs() < 0.05);
    // The same agent twice in the view is dialled for twice at most, a call twice counts twice: bounded, explained.
    let twice = [team.as_slice(), team.as_slice()].concat();
    let decision = floor.decide(now, &view(&twice, &in_flight(2).repeat(2), &windows));
    assert!(decision.dial <= 60 && decision.explain.agents_working == 40);
}
