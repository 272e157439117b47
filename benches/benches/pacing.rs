//! The pacer: one decision at 20, 100 and 1,000 agents, 200 campaigns in one tick, and the simulator that plays it.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dialer_core::pacing::{
    AgentRef, AgentState, AgentView, CallRef, CallView, CampaignPacing, CampaignRef, CapStyle, DialLimits,
    DialTraits, Floor, Mode, Outcome, Pacer, PacingEvent, PacingView, WindowCount,
};
use sansio::{Duration, Instant, Rng};
use sim::business::policy::House;
use sim::business::scenario::{Scenario, named};
use sim::business::world::{World, assignment};
use std::hint::black_box;

/// A pacer with some days of history in each campaign.
fn experienced(campaigns: u32) -> Floor {
    let mut floor = Floor::new();
    let mut rng = Rng::from_seed(1);
    for campaign in (0..campaigns).map(CampaignRef) {
        floor.set_campaign(campaign, CampaignPacing { mode: Mode::Predictive, ..CampaignPacing::default() });
        for number in 0..400 {
            let (call, now) = (CallRef(number), Instant::from_millis(number * 100));
            floor.observe(now, &PacingEvent::Dialed { call, campaign, traits: DialTraits::default() });
            let (outcome, after) = if rng.chance(0.25) {
                (Outcome::Human, 2.5 + rng.between(2.0, 15.0))
            } else {
                (Outcome::NoAnswer, 25.0)
            };
            let after = Duration::from_secs_f64(after);
            floor.observe(now, &PacingEvent::Resolved { call, campaign, outcome, after });
            let agent = AgentRef(number as u32 % 20);
            let lasted = Duration::from_secs_f64(rng.lognormal(120.0, 1.0));
            floor.observe(now, &PacingEvent::TalkEnded { agent, campaign, lasted });
            let lasted = Duration::from_secs_f64(rng.lognormal(20.0, 0.8));
            floor.observe(now, &PacingEvent::WrapUpEnded { agent, campaign, lasted });
        }
    }
    floor
}

/// A floor at work: 9 of 10 agents busy, one call in flight for three agents.
fn busy(agents: u32, campaign: CampaignRef, serves: &[CampaignRef]) -> (Vec<AgentView<'_>>, Vec<CallView>) {
    let mut rng = Rng::from_seed(u64::from(agents));
    let at = |rng: &mut Rng, back: f64| Instant::from_millis(1_000_000 - (rng.unit() * back * 1e3) as u64);
    let views = (0..agents)
        .map(|number| {
            let state = match number % 10 {
                0 => AgentState::Idle,
                1 | 2 => AgentState::WrapUp,
                _ => AgentState::Talking,
            };
            AgentView {
                agent: AgentRef(number),
                state,
                since: at(&mut rng, 150.0),
                campaign: Some(campaign),
                serves,
                leaving: false,
                free_at: None,
                busy_until: None,
                leaves_at: None,
            }
        })
        .collect();
    let calls = (0..agents / 3)
        .map(|number| CallView {
            call: CallRef(1 << 40 | u64::from(number)),
            campaign,
            dialed_at: at(&mut rng, 20.0),
            alerting_at: None,
            detecting_since: None,
            answered_at: None,
            traits: DialTraits::default(),
            answer_probability: None,
        })
        .collect();
    (views, calls)
}

fn view<'a>(
    campaign: CampaignRef,
    agents: &'a [AgentView<'a>],
    calls: &'a [CallView],
    windows: &'a [WindowCount],
) -> PacingView<'a> {
    PacingView {
        campaign,
        agents,
        calls,
        inbound_waiting: 0,
        limits: DialLimits {
            lines_free: 5_000,
            cps_allowance: 500,
            hopper: 5_000,
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

fn window() -> WindowCount {
    let left = Some(Duration::from_secs(14_400));
    WindowCount { live: 2_000, abandoned: 50, cap: 0.03, style: CapStyle::Average, left, of_group: false }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pacing/decide");
    let campaign = CampaignRef(0);
    let serves = [campaign];
    let windows = [window()];
    for agents in [20, 100, 1_000] {
        let (views, calls) = busy(agents, campaign, &serves);
        let floor = experienced(1);
        let now = Instant::from_millis(1_000_000);
        group.bench_function(format!("{agents} agents"), |bencher| {
            bencher.iter_batched_ref(
                || floor.clone(),
                |floor| black_box(floor.decide(now, &view(campaign, &views, &calls, &windows))),
                BatchSize::SmallInput,
            );
        });
    }
    let all: Vec<CampaignRef> = (0..200).map(CampaignRef).collect();
    let own: Vec<[CampaignRef; 1]> = all.iter().map(|campaign| [*campaign]).collect();
    let floors: Vec<_> = own.iter().map(|serves| busy(50, serves[0], serves)).collect();
    let floor = experienced(200);
    let now = Instant::from_millis(1_000_000);
    group.bench_function("200 campaigns of 50 agents", |bencher| {
        bencher.iter_batched_ref(
            || floor.clone(),
            |floor| {
                for (campaign, (views, calls)) in all.iter().zip(&floors) {
                    black_box(floor.decide(now, &view(*campaign, views, calls, &windows)));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn simulator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pacing/simulate");
    group.sample_size(10);
    let scenario = Scenario { days: 1, shift_h: 2.0, ..named("standard").expect("it is built in") };
    let serves = assignment(&scenario);
    // One element is one agent-hour.
    group.throughput(Throughput::Elements(u64::from(scenario.agents) * 2));
    for (name, mode) in [("progressive", Mode::Progressive), ("predictive", Mode::Predictive)] {
        group.bench_function(format!("{name}, agent-hours"), |bencher| {
            bencher.iter(|| {
                let mut house = House::new(&scenario, mode, false);
                black_box(World::new(&scenario, &serves, 1).play(&mut house))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, simulator);
criterion_main!(benches);
