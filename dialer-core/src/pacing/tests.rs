//! The house rules of every mode, held against arbitrary views and events.

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

#[test]
fn one_more_free_agent_never_means_fewer_dials() {
    let windows = [shift(500, 5)];
    let now = Instant::from_millis(100_000);
    let history = experienced();
    for (busy, calls) in [(0, 0), (0, 5), (3, 0), (4, 9), (12, 3), (20, 20), (50, 40)] {
        let calls = in_flight(calls);
        let mut last = 0;
        for idle in 0..12 {
            let agents = agents(idle, busy);
            let dial = history.clone().decide(now, &view(&agents, &calls, &windows)).dial;
            assert!(dial >= last, "{busy} {idle}: {dial} after {last}");
            last = dial;
        }
    }
}
