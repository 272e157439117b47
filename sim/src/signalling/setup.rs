//! The first minute: trunks, agents, lists and campaigns are made through commands, one after the other.

use super::caller::{BYPASS, RELAY};
use super::check::TrunkLimits;
use super::happening::Happening;
use super::scene::{Scene, TransitScene, TrunkScene, transport_of};
use super::world::World;
use dialer_core::config::{AgentConfig, ListConfig, TrunkConfig};
use dialer_core::record::{Lead, LeadProgress, Phone};
use dialer_core::serving::AgentOrder;
use dialer_core::{Command, CommandError, LeadId, ListId, Reply, TrunkId};
use engine::{Route, ShardCommand, TransitMedia};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
enum Step {
    Trunk(usize),
    Agent(usize),
    List(usize),
    Import(usize),
    Campaign(usize),
    Start(usize),
    /// The trunk of the callers, …
    Callers,
    /// … and the one their calls pass on to.
    Callees,
}

/// How far the setting up has come.
#[derive(Debug)]
pub(super) struct Setup {
    steps: Vec<Step>,
    done: usize,
    tag: u64,
    trunks: Vec<TrunkId>,
    lists: Vec<ListId>,
    callers: Option<TrunkId>,
    callees: Option<TrunkId>,
}

const ORDERS: [AgentOrder; 7] = [
    AgentOrder::LongestIdle,
    AgentOrder::FewestCalls,
    AgentOrder::Rank,
    AgentOrder::SkillRank,
    AgentOrder::Random,
    AgentOrder::TopDown,
    AgentOrder::RingAll,
];

impl Setup {
    pub(super) fn new(scene: &Scene) -> Setup {
        let mut steps: Vec<Step> = (0..scene.trunks.len()).map(Step::Trunk).collect();
        steps.extend((0..scene.agents.len()).map(Step::Agent));
        for n in 0..scene.campaigns.len() {
            steps.extend([Step::List(n), Step::Import(n), Step::Campaign(n), Step::Start(n)]);
        }
        if scene.transit.is_some() {
            steps.extend([Step::Callers, Step::Callees]);
        }
        Setup { steps, done: 0, tag: 0, trunks: Vec::new(), lists: Vec::new(), callers: None, callees: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.steps.len()
    }
}

impl World {
    /// Gives the command of the next step.
    pub(super) fn set_up(&mut self) {
        let Some(step) = self.setup.steps.get(self.setup.done).copied() else { return };
        let command = match step {
            Step::Trunk(n) => {
                let mut config = self.scene.trunks[n].config.clone();
                config.address = self.trunk_address(n, n, &self.scene.trunks[n].reached);
                Command::CreateTrunk(config)
            }
            Step::Agent(n) => {
                let agent = &self.scene.agents[n];
                Command::CreateAgent(AgentConfig {
                    name: agent.username.clone(),
                    username: agent.username.clone(),
                    password: format!("secret-{}", agent.username),
                    auto_answer: agent.auto_answer,
                    ..AgentConfig::default()
                })
            }
            Step::List(n) => {
                Command::CreateList(ListConfig { name: format!("list-{n}"), ..ListConfig::default() })
            }
            Step::Import(n) => {
                let accepted = u64::from(self.scene.campaigns[n].leads);
                self.import(n);
                Command::LeadsImported { list: self.setup.lists[n], accepted }
            }
            Step::Campaign(n) => {
                let scene = &self.scene.campaigns[n];
                let mut config = scene.config.clone();
                config.lists = vec![self.setup.lists[n]];
                // Any order will do, and one that draws nothing leaves the scene as it is.
                config.serving.order = ORDERS[scene.leads as usize % ORDERS.len()];
                let trunks = if scene.first_trunk_only { 1 } else { self.setup.trunks.len() };
                config.trunks = self.setup.trunks[..trunks].to_vec();
                Command::CreateCampaign(Box::new(config))
            }
            Step::Start(n) => Command::StartCampaign(self.operator.campaigns[n]),
            Step::Callers => Command::CreateTrunk(TrunkConfig {
                name: "callers".into(),
                address: self.peers[self.peers.len() - 2].endpoint().address.to_string(),
                channels_max: 100,
                cps_max: 50.0,
                options_interval_ms: 0,
                transport: self.scene.transit.as_ref().and_then(|transit| transport_of(transit.callers_by)),
                ..TrunkConfig::default()
            }),
            Step::Callees => {
                let reached = self.scene.transit.as_ref().map(|transit| transit.callees.reached.clone());
                let address = self.trunk_address(9, self.peers.len() - 1, &reached.unwrap_or_default());
                let config = self.scene.transit.as_ref().map(|transit| transit.callees.config.clone());
                Command::CreateTrunk(TrunkConfig { address, ..config.unwrap_or_default() })
            }
        };
        self.setup.tag = self.next_tag + 1;
        self.command(command);
    }

    /// Trunks are no longer pinged or registered with, so that the daemon can come to rest.
    pub(super) fn quiet_trunks(&mut self) {
        for (n, trunk) in self.setup.trunks.clone().into_iter().enumerate() {
            let mut config = self.scene.trunks[n].config.clone();
            config.address = self.trunk_address(n, n, &self.scene.trunks[n].reached);
            config.options_interval_ms = 0;
            config.register = false;
            self.command(Command::UpdateTrunk { trunk, config, if_version: None });
        }
    }

    /// The answer to a step's command; refusals are tried again.
    pub(super) fn setup_reply(&mut self, tag: u64, result: &Result<Reply, CommandError>) {
        if tag != self.setup.tag || self.setup.is_done() {
            return;
        }
        match result {
            Ok(reply) => {
                let step = self.setup.steps[self.setup.done];
                self.setup_granted(step, reply);
                self.setup.done += 1;
                self.after(200, Happening::Setup);
            }
            Err(error) => self.found.add(self.now, "the house can be set up", error.to_string()),
        }
    }

    fn setup_granted(&mut self, step: Step, reply: &Reply) {
        match (step, reply) {
            (Step::Trunk(n), Reply::Trunk(id, _)) => {
                let config = &self.scene.trunks[n].config;
                let limits = TrunkLimits { channels_max: config.channels_max, cps_max: config.cps_max };
                self.wire.add_trunk(n, limits);
                self.setup.trunks.push(*id);
            }
            (Step::Agent(n), Reply::Agent(id, _)) => {
                self.people[n].id = Some(*id);
                self.operator.agents.push(*id);
                // The view came before the name was known.
                let mood = self.people[n].mood;
                if let Some(ms) = self.people[n].think() {
                    self.after(8_000 + ms, Happening::Mood { person: n, mood });
                }
            }
            (Step::List(_), Reply::List(id, _)) => self.setup.lists.push(*id),
            (Step::Campaign(_), Reply::Campaign(id, _)) => self.operator.campaigns.push(*id),
            (Step::Callers, Reply::Trunk(id, _)) => {
                let limits = TrunkLimits { channels_max: 100, cps_max: 50.0 };
                self.wire.add_trunk(self.peers.len() - 2, limits);
                self.setup.callers = Some(*id);
            }
            (Step::Callees, Reply::Trunk(id, _)) => {
                let limits = match &self.scene.transit {
                    Some(TransitScene { callees: TrunkScene { config, .. }, .. }) => {
                        // Nobody tells the checker when the core holds a leg of a passing call to be over, so its
                        // channels are only judged by the shard's own audit.
                        TrunkLimits { channels_max: u32::MAX, cps_max: config.cps_max }
                    }
                    None => return,
                };
                self.wire.add_trunk(self.peers.len() - 1, limits);
                self.setup.callees = Some(*id);
                self.tell_routes();
            }
            (Step::Import(_) | Step::Start(_), _) => {}
            (step, reply) => {
                self.found.add(self.now, "replies fit their commands", format!("{step:?} {reply:?}"))
            }
        }
    }

    /// Where calls that come in go to; told to each shard that starts.
    pub(super) fn tell_routes(&mut self) {
        let (Some(from), Some(to)) = (self.setup.callers, self.setup.callees) else { return };
        let route = |prefix: &str, media| Route {
            from_trunk: Some(from),
            prefix: prefix.into(),
            to_trunks: vec![to],
            media,
            record: media == TransitMedia::Relay,
        };
        let routes = vec![route(BYPASS, TransitMedia::Bypass), route(RELAY, TransitMedia::Relay)];
        self.order(ShardCommand::SetRoutes(routes));
    }

    /// Leads go into the store directly, as an import puts them there.
    fn import(&mut self, n: usize) {
        let list = self.setup.lists[n];
        let wall = self.wall();
        for place in 0..self.scene.campaigns[n].leads {
            let id = LeadId::generate(wall, &mut self.rng);
            let number = format!("+86138{n}{place:07}");
            let lead = Lead {
                id,
                list,
                external_id: None,
                phones: vec![Phone { number: number.clone(), raw: number, kind: None }],
                priority: self.rng.below(3) as i32,
                time_zone: None,
                fields: BTreeMap::new(),
                expires_at: None,
                progress: LeadProgress::fresh(id),
            };
            self.disk.store.leads.insert(id, lead);
        }
    }
}
