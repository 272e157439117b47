//! What a seed makes of the world: its size, its people, and which faults exist in it.

use super::caller::CallerPlan;
use super::carrier::CarrierPlan;
use super::disk::DiskPlan;
use super::net::NetPlan;
use super::phone::PhonePlan;
use super::pipes::PipePlan;
use super::zone::Zone;
use dialer_core::config::{
    AmdMode, AutoAnswer, CampaignConfig, CapStyle, ConnectAt, DialMode, RetryRule, SessionKind, SmallTeam,
    TrunkConfig, TrunkTransport,
};
use dialer_core::outcome::Outcome;
use sansio::{Instant, Rng};

/// A trunk and what is behind it.
#[derive(Clone, Debug)]
pub(crate) struct TrunkScene {
    pub(crate) config: TrunkConfig,
    pub(crate) carrier: CarrierPlan,
    pub(crate) reached: Reached,
}

/// By what a peer is reached, and under which name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) by: By,
    /// The trunk has a name, and these hosts stand before the carrier in its service: most of them are good for
    /// nothing.
    pub(crate) named: Option<Vec<CarrierPlan>>,
}

/// A transport, as a peer speaks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum By {
    #[default]
    Udp,
    Tcp,
    /// Like TCP, but for a longer handshake and records that come whole.
    Tls,
}

impl By {
    /// As in a Via.
    pub(crate) fn in_via(self) -> &'static str {
        match self {
            By::Udp => "UDP",
            By::Tcp => "TCP",
            By::Tls => "TLS",
        }
    }

    /// As a parameter of a URI.
    pub(crate) fn in_uri(self) -> &'static str {
        match self {
            By::Udp => "",
            By::Tcp => ";transport=tcp",
            By::Tls => ";transport=tls",
        }
    }

    pub(crate) fn is_stream(self) -> bool {
        self != By::Udp
    }
}

/// An agent and the phone on the desk.
#[derive(Clone, Debug)]
pub(crate) struct AgentScene {
    pub(crate) username: String,
    pub(crate) session: SessionKind,
    pub(crate) auto_answer: AutoAnswer,
    pub(crate) phone: PhonePlan,
    pub(crate) by: By,
    /// Mean talk before this agent hangs up, milliseconds.
    pub(crate) talk_ms: f64,
    /// Mean time of readiness before a break; 0: none.
    pub(crate) break_ms: f64,
    /// Logs out now and then.
    pub(crate) restless: bool,
}

/// A campaign and its list.
#[derive(Clone, Debug)]
pub(crate) struct CampaignScene {
    pub(crate) config: CampaignConfig,
    pub(crate) leads: u32,
    /// All trunks, or only the first.
    pub(crate) first_trunk_only: bool,
}

/// The whole world of a seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    pub(crate) minutes: u64,
    pub(crate) trunks: Vec<TrunkScene>,
    pub(crate) agents: Vec<AgentScene>,
    pub(crate) campaigns: Vec<CampaignScene>,
    /// Callers of a trunk of their own, and the carrier their calls pass on to.
    pub(crate) transit: Option<TransitScene>,
    pub(crate) net: NetPlan,
    pub(crate) pipes: PipePlan,
    pub(crate) zone: Zone,
    pub(crate) disk: DiskPlan,
    /// The process dies, and is started again after so many milliseconds.
    pub(crate) crashes: Vec<(Instant, u64)>,
    /// A shard panics.
    pub(crate) panics: Vec<Instant>,
    /// The system's clock is set: by so many milliseconds, then.
    pub(crate) clock_sets: Vec<(Instant, i64)>,
    pub(crate) ports_fail: f64,
    pub(crate) recordings_fail: f64,
    /// Someone without business here sends INVITEs and rubbish.
    pub(crate) stranger: bool,
    /// Mean time between two acts of the operator; 0: lets it run.
    pub(crate) operator_ms: f64,
    /// The drain at the end is cut short by a second signal.
    pub(crate) impatient_end: bool,
    /// Names of the faults that exist.
    pub(crate) faults: Vec<&'static str>,
}

/// Calls that pass through.
#[derive(Clone, Debug)]
pub(crate) struct TransitScene {
    pub(crate) callers: CallerPlan,
    pub(crate) callees: TrunkScene,
    pub(crate) callers_by: By,
}

/// Worlds of these seeds may have connections, names and changed sessions; those before, of which some are kept for what
/// they once broke, stay what they were.
const ROADS_FROM: u64 = 10_000;

/// The first minute has no accidents: the house is being set up.
const QUIET_MS: u64 = 60_000;

impl Scene {
    /// Draws the world of a seed.
    pub(crate) fn draw(seed: u64) -> Scene {
        let root = Rng::from_seed(seed);
        let mut rng = root.child("scene");
        let minutes = 10 + rng.below(14);
        let mut scene = Scene { minutes, ..Scene::default() };
        let calm = rng.chance(0.12);
        let mut draw = Draw { rng: root.child("faults"), calm, minutes, names: Vec::new() };
        scene.net = draw.net();
        scene.disk = draw.disk();
        draw.accidents(&mut scene);
        let trunks = 1 + rng.below(2) as usize;
        scene.trunks = (0..trunks).map(|n| draw.trunk(n, &mut rng)).collect();
        scene.net.cuts = draw.cuts(trunks);
        let agents = 3 + rng.below(8) as usize;
        let mostly_nailed_up = rng.chance(0.7);
        scene.agents = (0..agents).map(|n| draw.agent(n, mostly_nailed_up, &mut rng)).collect();
        let mut modes = root.child("modes");
        let campaigns = 1 + usize::from(rng.chance(0.3)) + usize::from(modes.chance(0.2));
        scene.campaigns = (0..campaigns)
            .map(|n| {
                let mut scene = campaign(n, agents, &mut rng);
                draw_mode(&mut scene.config, &mut modes);
                scene
            })
            .collect();
        if scene.campaigns.iter().any(|campaign| campaign.config.amd != AmdMode::Off) {
            for trunk in &mut scene.trunks {
                trunk.carrier.sound_ms = 3_500;
            }
        }
        scene.transit = draw.transit(&mut root.child("transit"));
        if seed >= ROADS_FROM {
            draw.roads(&mut scene, &root);
            draw.glare(&mut scene, &root);
            draw.closed(&mut scene, &root);
        }
        scene.faults = draw.names;
        scene
    }

    /// How long the world turns before it is drained.
    pub(crate) fn end(&self) -> Instant {
        Instant::from_millis(self.minutes * 60_000)
    }
}

struct Draw {
    rng: Rng,
    calm: bool,
    minutes: u64,
    names: Vec<&'static str>,
}

impl Draw {
    /// Whether a fault exists in this world.
    fn is(&mut self, name: &'static str, share: f64) -> bool {
        let exists = self.rng.chance(share) && !self.calm;
        if exists {
            self.names.push(name);
        }
        exists
    }

    fn or(&mut self, name: &'static str, share: f64, value: f64) -> f64 {
        if self.is(name, share) { value } else { 0.0 }
    }

    /// A time within the shift.
    fn time(&mut self) -> Instant {
        Instant::from_millis(QUIET_MS + self.rng.below(self.minutes * 60_000 - QUIET_MS))
    }

    fn spans(&mut self, count: u64, ms_max: u64) -> Vec<(Instant, Instant)> {
        let count = 1 + self.rng.below(count);
        let span = |draw: &mut Draw| {
            let from = draw.time();
            (from, from + sansio::Duration::from_millis(500 + draw.rng.below(ms_max)))
        };
        (0..count).map(|_| span(self)).collect()
    }

    fn net(&mut self) -> NetPlan {
        let delay_ms = 1 + self.rng.below(40);
        let jitter_ms = if self.is("jitter", 0.4) { 1 + self.rng.below(200) } else { self.rng.below(3) };
        let loss = self.or("loss", 0.3, 0.08);
        let duplicate = self.or("duplicates", 0.3, 0.1);
        NetPlan { delay_ms, jitter_ms, loss: loss * self.rng.unit(), duplicate, cuts: Vec::new() }
    }

    fn cuts(&mut self, trunks: usize) -> Vec<(Option<usize>, Instant, Instant)> {
        if !self.is("cuts", 0.2) {
            return Vec::new();
        }
        let whose = self.rng.chance(0.6).then(|| self.rng.below(trunks as u64 + 2) as usize);
        self.spans(3, 20_000).into_iter().map(|(from, to)| (whose, from, to)).collect()
    }

    fn disk(&mut self) -> DiskPlan {
        let slow = self.is("slow disk", 0.25);
        let stalls = if self.is("disk stalls", 0.2) { self.spans(3, 15_000) } else { Vec::new() };
        let (commit_ms_min, commit_ms_max) = if slow { (20, 900) } else { (1, 8) };
        DiskPlan { commit_ms_min, commit_ms_max, stalls }
    }

    fn accidents(&mut self, scene: &mut Scene) {
        if self.is("crash", 0.35) {
            let count = 1 + self.rng.below(3);
            scene.crashes = (0..count).map(|_| (self.time(), 200 + self.rng.below(15_000))).collect();
            scene.crashes.sort_unstable();
        }
        if self.is("shard panic", 0.2) {
            let count = 1 + self.rng.below(2);
            scene.panics = (0..count).map(|_| self.time()).collect();
        }
        scene.ports_fail = self.or("ports fail", 0.15, 0.05);
        scene.recordings_fail = self.or("recordings fail", 0.15, 0.3);
        scene.stranger = self.is("stranger", 0.3);
        scene.operator_ms = self.or("busy operator", 0.5, 20_000.0);
        scene.impatient_end = self.rng.chance(0.3);
        self.clock(scene);
    }

    /// The clock is found to be off, and is put right after a while: what is drawn here moves nothing else.
    fn clock(&mut self, scene: &mut Scene) {
        let mut rng = self.rng.child("clock");
        if self.calm || !rng.chance(0.2) {
            return;
        }
        self.names.push("clock set");
        let sizes = [1_000, 300_000, 7_200_000, 86_400_000];
        let mut at_ms = QUIET_MS;
        for _ in 0..=rng.below(2) {
            let by_ms = sizes[rng.below(4) as usize] * if rng.chance(0.5) { 1 } else { -1 };
            for by_ms in [by_ms, -by_ms] {
                at_ms += 5_000 + rng.below(60_000);
                scene.clock_sets.push((Instant::from_millis(at_ms), by_ms));
            }
        }
    }

    fn trunk(&mut self, n: usize, rng: &mut Rng) -> TrunkScene {
        let mut config = TrunkConfig {
            name: format!("carrier-{n}"),
            channels_max: if self.is("few channels", 0.2) { 3 + rng.below(5) as u32 } else { 60 },
            cps_max: if self.is("few calls per second", 0.3) { 1.0 } else { 5.0 },
            options_interval_ms: [0, 10_000, 30_000][rng.below(3) as usize],
            caller_id: Some(format!("+4930900{n}")),
            ..TrunkConfig::default()
        };
        let answered = rng.between(0.15, 0.6);
        let mut carrier = CarrierPlan {
            answered,
            busy: rng.between(0.05, 0.2),
            refused: rng.between(0.0, 0.1),
            machine: rng.between(0.0, 0.4),
            talk_ms: rng.between(15_000.0, 60_000.0),
            ring_ms: rng.between(3_000.0, 14_000.0),
            early_media: rng.between(0.0, 0.5),
            asks_as_proxy: rng.chance(0.5),
            ..CarrierPlan::default()
        };
        if self.is("digest", 0.35) || rng.chance(0.1) {
            let wrong = self.is("wrong trunk password", 0.05);
            config.username = Some("house".into());
            config.password = Some(if wrong { "wrong".into() } else { "right".into() });
            config.register = rng.chance(0.4);
            config.register_expires_s = 90;
            carrier.credentials = Some(("house".into(), "right".into()));
        }
        carrier.cps_max = self.is("carrier's own limit", 0.15).then_some(1);
        carrier.late_answer = self.or("late answers", 0.3, 0.5);
        carrier.no_end_after_cancel = self.or("no end after CANCEL", 0.1, 0.3);
        carrier.forked_ringing = self.or("forked ringing", 0.2, 0.3);
        carrier.forked_answer = self.or("forked answers", 0.15, 0.2);
        carrier.final_twice = self.or("finals twice", 0.2, 0.3);
        carrier.bye_at_once = self.or("BYE at once", 0.25, 0.15);
        carrier.silent_call = self.or("silent calls", 0.15, 0.1);
        carrier.mute = self.or("mute callees", 0.15, 0.1);
        carrier.odd = self.or("odd SIP", 0.25, 0.6);
        carrier.record_route = self.is("record-route", 0.25);
        if self.is("silent trunk", 0.15) {
            carrier.silent = self.spans(2, 60_000);
        }
        TrunkScene { config, carrier, reached: Reached::default() }
    }

    /// Half of the worlds have transit calls. What the carrier behind them is like is drawn as any other's.
    fn transit(&mut self, rng: &mut Rng) -> Option<TransitScene> {
        let exists = rng.chance(0.5);
        let mut draw =
            Draw { rng: rng.child("faults"), calm: self.calm, minutes: self.minutes, names: Vec::new() };
        let mut callees = draw.trunk(9, rng);
        callees.config.options_interval_ms = 0;
        callees.config.register = false;
        let callers = CallerPlan {
            every_ms: rng.between(2_000.0, 20_000.0),
            hold_ms: rng.between(5_000.0, 40_000.0),
            cancels: rng.between(0.0, 0.3),
            without_offer: rng.between(0.0, 0.2),
            reinvites: 0.0,
        };
        exists.then_some(TransitScene { callers, callees, callers_by: By::Udp })
    }

    /// Some worlds have connections beside datagrams, and trunks with names.
    fn roads(&mut self, scene: &mut Scene, root: &Rng) {
        let mut rng = root.child("roads");
        self.rng = rng.child("faults");
        if rng.chance(0.45) {
            self.names.push("streams");
            let pick = |rng: &mut Rng, share: f64| match (rng.chance(share), rng.chance(0.4)) {
                (false, _) => By::Udp,
                (true, false) => By::Tcp,
                (true, true) => By::Tls,
            };
            for trunk in &mut scene.trunks {
                trunk.reached.by = pick(&mut rng, 0.7);
            }
            for agent in &mut scene.agents {
                agent.by = pick(&mut rng, 0.4);
            }
            if let Some(transit) = &mut scene.transit {
                transit.callees.reached.by = pick(&mut rng, 0.6);
                transit.callers_by = pick(&mut rng, 0.6);
            }
            scene.pipes = self.pipes(&mut rng);
        }
        if rng.chance(0.35) {
            self.names.push("named trunks");
            let transit = scene.transit.as_mut().map(|transit| &mut transit.callees);
            for trunk in scene.trunks.iter_mut().chain(transit).filter(|_| rng.chance(0.7)) {
                let members = (0..self.rng.below(4)).map(|_| self.member(&trunk.carrier)).collect();
                trunk.reached.named = Some(members);
            }
            scene.zone = Zone::draw(&mut rng.child("zone"), self.calm);
        }
        for trunk in &mut scene.trunks {
            trunk.config.transport = transport_of(trunk.reached.by);
        }
        if let Some(transit) = &mut scene.transit {
            transit.callees.config.transport = transport_of(transit.callees.reached.by);
        }
    }

    fn pipes(&mut self, rng: &mut Rng) -> PipePlan {
        let resets = if self.is("resets", 0.5) {
            (0..1 + self.rng.below(4))
                .map(|_| (self.rng.chance(0.5), self.rng.next_u32(), self.time()))
                .collect()
        } else {
            Vec::new()
        };
        PipePlan {
            pieces_max: rng.below(6) as u32,
            stall: self.or("stalls", 0.4, 0.03),
            resets,
            refused: if self.is("refused connections", 0.3) { self.spans(2, 30_000) } else { Vec::new() },
        }
    }

    /// A host that stands before the carrier: silent, without room, for some time or for ever; or as good as it.
    fn member(&mut self, carrier: &CarrierPlan) -> CarrierPlan {
        let mut member = CarrierPlan { silent: Vec::new(), ..carrier.clone() };
        match self.rng.below(5) {
            0 => member.silent = vec![(Instant::ZERO, Instant::from_millis(self.minutes * 60_000))],
            1 => member.silent = self.spans(2, 120_000),
            2 | 3 => member.cps_max = Some(0),
            _ => {}
        }
        member
    }

    /// In some worlds nobody is at the port of a trunk for a while, or never at that of a host before it. Only of datagrams
    /// the sender is told.
    fn closed(&mut self, scene: &mut Scene, root: &Rng) {
        let mut rng = root.child("closed");
        if self.calm || !rng.chance(0.35) {
            return;
        }
        self.names.push("closed ports");
        self.rng = rng.child("times");
        let transit = scene.transit.as_mut().map(|transit| &mut transit.callees);
        let trunks = scene.trunks.iter_mut().chain(transit);
        for trunk in trunks.filter(|trunk| trunk.reached.by == By::Udp) {
            if rng.chance(0.6) {
                trunk.carrier.closed = self.spans(3, 60_000);
            }
            for member in trunk.reached.named.iter_mut().flatten().filter(|_| rng.chance(0.4)) {
                member.closed = vec![(Instant::ZERO, Instant::from_millis(self.minutes * 60_000))];
            }
        }
    }

    /// In some worlds both sides of a passing call, and callees and phones, change their sessions, at times at once.
    fn glare(&mut self, scene: &mut Scene, root: &Rng) {
        let mut rng = root.child("glare");
        if !rng.chance(0.4) {
            return;
        }
        self.names.push("re-INVITEs");
        for trunk in &mut scene.trunks {
            trunk.carrier.reinvites = if rng.chance(0.5) { 0.3 } else { 0.0 };
        }
        for agent in &mut scene.agents {
            agent.phone.reinvites = if rng.chance(0.3) { 0.3 } else { 0.0 };
        }
        if let Some(transit) = &mut scene.transit {
            transit.callees.carrier.reinvites = 0.6;
            transit.callers.reinvites = 0.6;
        }
    }

    fn agent(&mut self, n: usize, mostly_nailed_up: bool, rng: &mut Rng) -> AgentScene {
        let kinds = [AutoAnswer::Default, AutoAnswer::CallInfo, AutoAnswer::Yealink, AutoAnswer::None];
        let nailed_up = rng.chance(if mostly_nailed_up { 0.9 } else { 0.2 });
        let mut phone = PhonePlan { expires_s: 60 + rng.below(120) as u32, ..PhonePlan::default() };
        phone.busy = self.or("busy phones", 0.08, 0.3);
        phone.unanswered = self.or("unanswered phones", 0.08, 0.3);
        phone.hangs_up_ms = self.or("phones hang up", 0.1, 90_000.0);
        phone.mute = self.or("mute phones", 0.05, 0.3);
        phone.odd = self.or("odd phones", 0.1, 0.6);
        if self.is("phones die", 0.1) {
            phone.dead = vec![(self.time(), 1_000 + self.rng.below(90_000))];
        }
        if self.is("wrong phone password", 0.03) {
            phone.wrong_password_until = Some(self.time());
        }
        AgentScene {
            username: format!("agent{n}"),
            session: if nailed_up { SessionKind::NailedUp } else { SessionKind::OnDemand },
            auto_answer: kinds[rng.below(4) as usize],
            phone,
            by: By::Udp,
            talk_ms: rng.between(20_000.0, 70_000.0),
            break_ms: if rng.chance(0.4) { rng.between(60_000.0, 300_000.0) } else { 0.0 },
            restless: rng.chance(0.15),
        }
    }
}

pub(crate) fn transport_of(by: By) -> Option<TrunkTransport> {
    match by {
        By::Udp => None,
        By::Tcp => Some(TrunkTransport::Tcp),
        By::Tls => Some(TrunkTransport::Tls),
    }
}

/// What else a campaign may be: without agents, with agents joined at ringing, giving up what rings too long, lighter
/// or heavier than the others it shares agents and lines with.
fn draw_mode(config: &mut CampaignConfig, rng: &mut Rng) {
    if rng.chance(0.15) {
        config.mode = DialMode::Agentless;
        config.message_prompt = Some("safe_harbour".into());
        config.concurrency.lines = Some(2 + rng.below(6) as u32).filter(|_| config.concurrency.lines_max > 8);
    }
    let joins = matches!(config.mode, DialMode::Progressive | DialMode::Ratio | DialMode::Predictive);
    if joins && config.amd != AmdMode::BeforeBridge && rng.chance(0.3) {
        config.connect_at = ConnectAt::Ringing;
    }
    config.pacing.cancel_ringing = rng.chance(0.4);
    config.pacing.budget_group = rng.chance(0.3).then(|| "shared".into());
    if rng.chance(0.3) {
        let below_agents = 2 + rng.below(6) as u32;
        config.pacing.small_team = Some(SmallTeam { below_agents, mode: DialMode::Progressive });
    }
    config.pacing.style = [CapStyle::Average, CapStyle::Hard, CapStyle::Tapered][rng.below(3) as usize];
    config.concurrency.weight = rng.between(50.0, 500.0);
    config.concurrency.priority = [50, 50, 20, 80][rng.below(4) as usize];
}

fn campaign(n: usize, agents: usize, rng: &mut Rng) -> CampaignScene {
    let modes = [
        DialMode::Predictive,
        DialMode::Predictive,
        DialMode::Progressive,
        DialMode::Ratio,
        DialMode::Preview,
    ];
    let mode = modes[rng.below(5) as usize];
    let amds = [AmdMode::Off, AmdMode::Off, AmdMode::Off, AmdMode::Async, AmdMode::BeforeBridge];
    let mut config = CampaignConfig {
        name: format!("campaign-{n}"),
        mode,
        ratio: rng.between(1.0, 2.5),
        amd: amds[rng.below(5) as usize],
        early_media: rng.chance(0.7),
        record: rng.chance(0.7),
        safe_harbour_prompt: rng.chance(0.8).then(|| "safe_harbour".into()),
        attempts_max: 2 + rng.below(3) as u32,
        ..CampaignConfig::default()
    };
    let fits = |ms: u64| RetryRule::new(Outcome::Busy, ms, 2);
    config.retry = vec![
        fits(30_000 + rng.below(60_000)),
        RetryRule { outcome: Outcome::NoAnswer, ..fits(60_000) },
        RetryRule { outcome: Outcome::CarrierError, ..fits(20_000) },
        RetryRule { outcome: Outcome::NetworkCongestion, ..fits(10_000) },
        RetryRule { outcome: Outcome::NodeRestart, ..fits(5_000) },
        RetryRule { outcome: Outcome::Abandoned, ..fits(60_000) },
    ];
    config.timers.wrap_up_ms = 2_000 + rng.below(10_000) as u32;
    config.timers.call_max_ms = if rng.chance(0.2) { 45_000 } else { 240_000 };
    config.timers.ring_max_ms = 18_000 + rng.below(15_000) as u32;
    config.timers.preview_auto_dial_ms = if rng.chance(0.5) { 4_000 } else { 0 };
    config.concurrency.lines_max = if rng.chance(0.2) { 3 } else { 60 };
    if n > 0 {
        config.caller_id = Some("+4930123456".into());
    }
    CampaignScene {
        config,
        leads: 60 + rng.below(30 * agents as u64) as u32,
        first_trunk_only: rng.chance(0.3),
    }
}
