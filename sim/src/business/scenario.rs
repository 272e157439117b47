//! A scenario: the world a campaign is played in, as data.

use sansio::Rng;
use serde::{Deserialize, Serialize};

/// How long something lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Lasts {
    /// Lognormal.
    Lognormal {
        /// Mean, seconds.
        mean_s: f64,
        /// Coefficient of variation.
        cv: f64,
    },
    /// One of two lognormals.
    Mixture {
        /// Share of the first, 0..=1.
        first: f64,
        /// Mean of the first, seconds.
        mean_s: f64,
        /// Mean of the second, seconds.
        other_mean_s: f64,
        /// Coefficient of variation of both.
        cv: f64,
    },
    /// Evenly spread.
    Uniform {
        /// At least, seconds.
        from_s: f64,
        /// At most, seconds.
        to_s: f64,
    },
    /// As recorded; each draw picks one.
    Recorded {
        /// Seconds.
        seconds: Vec<f64>,
    },
}

impl Lasts {
    /// Mean, seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Lasts::Lognormal { mean_s, .. } => *mean_s,
            Lasts::Mixture { first, mean_s, other_mean_s, .. } => {
                first * mean_s + (1.0 - first) * other_mean_s
            }
            Lasts::Uniform { from_s, to_s } => 0.5 * (from_s + to_s),
            Lasts::Recorded { seconds } => seconds.iter().sum::<f64>() / seconds.len().max(1) as f64,
        }
    }

    /// Draws one, seconds.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        let value = match self {
            Lasts::Lognormal { mean_s, cv } => rng.lognormal(*mean_s, *cv),
            Lasts::Mixture { first, mean_s, other_mean_s, cv } => {
                let mean = if rng.chance(*first) { *mean_s } else { *other_mean_s };
                rng.lognormal(mean, *cv)
            }
            Lasts::Uniform { from_s, to_s } => rng.between(*from_s, *to_s),
            Lasts::Recorded { seconds } => seconds[rng.below(seconds.len() as u64) as usize],
        };
        value.clamp(0.1, 36_000.0)
    }

    fn check(&self, what: &str) -> Result<(), ScenarioError> {
        let good = match self {
            Lasts::Lognormal { mean_s, cv } => positive(*mean_s) && (0.0..10.0).contains(cv),
            Lasts::Mixture { first, mean_s, other_mean_s, cv } => {
                (0.0..=1.0).contains(first)
                    && positive(*mean_s)
                    && positive(*other_mean_s)
                    && (0.0..10.0).contains(cv)
            }
            Lasts::Uniform { from_s, to_s } => (0.0..1e6).contains(from_s) && from_s <= to_s && *to_s < 1e6,
            Lasts::Recorded { seconds } => {
                !seconds.is_empty() && seconds.iter().all(|s| (0.0..1e6).contains(s))
            }
        };
        if good {
            Ok(())
        } else {
            Err(ScenarioError(format!("{what}: {self:?} is not a duration distribution")))
        }
    }
}

/// From this hour of the shift on, these factors hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Hours after the shift began.
    pub at_h: f64,
    /// Factor on the answer probability.
    #[serde(default = "one")]
    pub answer: f64,
    /// Factor on talk times.
    #[serde(default = "one")]
    pub talk: f64,
}

/// Short spells in which more people answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// Mean time between spells, seconds.
    pub every_s: f64,
    /// Length of a spell, seconds.
    pub lasts_s: f64,
    /// Factor on the answer probability.
    pub answer: f64,
}

/// Answering-machine detection as it errs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// Seconds from answer to verdict.
    #[serde(default)]
    pub delay_s: f64,
    /// Share of people taken for machines and hung up on. They count as live and abandoned.
    #[serde(default)]
    pub false_machine: f64,
    /// Share of machines taken for people and given to agents.
    #[serde(default)]
    pub missed_machine: f64,
}

/// One campaign's callees and conversations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Campaign {
    /// Probability that a dial is answered by a person, given endless ringing.
    pub answer: f64,
    /// Factors on it over the shift, evenly spaced, interpolated.
    pub profile: Vec<f64>,
    /// Standard deviation of slow noise on its logit …
    pub noise_sd: f64,
    /// … and the noise's correlation time, seconds.
    pub noise_s: f64,
    /// Change of its logit over the shift, as when a list is sorted.
    pub trend: f64,
    /// Sudden changes.
    pub jumps: Vec<Jump>,
    /// Spells of many answers.
    pub bursts: Option<Bursts>,
    /// Of the rest: share answered by machines, …
    pub machine: f64,
    /// … busy, …
    pub busy: f64,
    /// … not reachable; the others ring out.
    pub sit: f64,
    /// From dialling to ringing, seconds.
    pub post_dial_delay_s: f64,
    /// Mean ring time of an answer, seconds.
    pub ring_mean_s: f64,
    /// Erlang shape of the ring time.
    pub ring_shape: u32,
    /// Mean ring time until a machine answers, seconds.
    pub machine_ring_mean_s: f64,
    /// Ring time of an answer as given or recorded, instead of the Erlang distribution.
    pub ring: Option<Lasts>,
    /// The same until a machine answers.
    pub machine_ring: Option<Lasts>,
    /// Ringing is given up after, seconds.
    pub ring_limit_s: f64,
    /// Conversation.
    pub talk: Lasts,
    /// Wrap-up.
    pub wrap_up: Lasts,
    /// Answering-machine detection.
    pub detection: Detection,
    /// Leads to dial per day; none: endless.
    pub leads: Option<u64>,
    /// Weight against the other campaigns.
    pub weight: f64,
}

impl Default for Campaign {
    fn default() -> Self {
        Campaign {
            answer: 0.25,
            profile: Vec::new(),
            noise_sd: 0.0,
            noise_s: 300.0,
            trend: 0.0,
            jumps: Vec::new(),
            bursts: None,
            machine: 0.40,
            busy: 0.08,
            sit: 0.07,
            post_dial_delay_s: 2.5,
            ring_mean_s: 7.5,
            ring_shape: 3,
            machine_ring_mean_s: 13.5,
            ring: None,
            machine_ring: None,
            ring_limit_s: 25.0,
            talk: Lasts::Lognormal { mean_s: 120.0, cv: 1.0 },
            wrap_up: Lasts::Lognormal { mean_s: 20.0, cv: 0.8 },
            detection: Detection::default(),
            leads: None,
            weight: 1.0,
        }
    }
}

/// Inbound calls that the same agents take first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// Arrivals per hour.
    pub per_hour: f64,
    /// Mean patience, seconds.
    #[serde(default = "minute")]
    pub patience_s: f64,
    /// Conversation.
    pub talk: Lasts,
    /// Wrap-up.
    pub wrap_up: Lasts,
}

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Shown in reports.
    pub name: String,
    /// Agents.
    pub agents: u32,
    /// Length of the shift, hours.
    pub shift_h: f64,
    /// Days played, history kept from one to the next.
    pub days: u32,
    /// All agents log in within, seconds.
    pub login_s: f64,
    /// Mean working time between breaks, hours; 0: none.
    pub break_every_h: f64,
    /// Mean break, minutes.
    pub break_min: f64,
    /// Standard deviation of the logarithm of agents' speed.
    pub speed_sd: f64,
    /// Lines per agent …
    pub lines_per_agent: f64,
    /// … but at least.
    pub lines_min: u32,
    /// New calls per second at most; 0: no limit.
    pub calls_per_second: f64,
    /// From answer to abandonment, seconds.
    pub patience_s: f64,
    /// Greatest abandonment rate per campaign and day.
    pub cap: f64,
    /// Time between decisions, seconds.
    pub tick_s: f64,
    /// Is the dialler told when the shift ends?
    pub end_known: bool,
    /// Share of agents that serve each pair of neighbouring campaigns; the others serve one. With one campaign of
    /// no meaning.
    pub shared: f64,
    /// The campaigns.
    pub campaigns: Vec<Campaign>,
    /// Inbound calls.
    pub inbound: Option<Inbound>,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            name: "standard".into(),
            agents: 20,
            shift_h: 8.0,
            days: 5,
            login_s: 120.0,
            break_every_h: 2.0,
            break_min: 10.0,
            speed_sd: 0.2,
            lines_per_agent: 12.0,
            lines_min: 60,
            calls_per_second: 0.0,
            patience_s: 2.0,
            cap: 0.03,
            tick_s: 1.0,
            end_known: true,
            shared: 1.0,
            campaigns: vec![Campaign::default()],
            inbound: None,
        }
    }
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(pub String);

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

const fn one() -> f64 {
    1.0
}

const fn minute() -> f64 {
    60.0
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// Agents in one scenario at most.
pub const AGENTS_MAX: u32 = 20_000;
/// Campaigns in one scenario at most.
pub const CAMPAIGNS_MAX: usize = 64;

impl Scenario {
    /// Reads and checks a scenario in TOML.
    ///
    /// # Errors
    /// What is wrong, with the place for errors of syntax.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|error| ScenarioError(error.to_string().trim_end().to_owned()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks every number's range.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let range = |name: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ScenarioError(format!("{name} = {value}: expected {low} to {high}")))
            }
        };
        range("agents", f64::from(self.agents), 1.0, f64::from(AGENTS_MAX))?;
        range("shift_h", self.shift_h, 0.01, 24.0)?;
        range("days", f64::from(self.days), 1.0, 3_660.0)?;
        range("login_s", self.login_s, 0.0, 3_600.0)?;
        range("break_every_h", self.break_every_h, 0.0, 1e3)?;
        range("break_min", self.break_min, 0.0, 1e3)?;
        range("speed_sd", self.speed_sd, 0.0, 1.0)?;
        range("lines_per_agent", self.lines_per_agent, 0.0, 100.0)?;
        range("calls_per_second", self.calls_per_second, 0.0, 1e6)?;
        range("patience_s", self.patience_s, 0.0, 60.0)?;
        range("cap", self.cap, 0.0, 1.0)?;
        range("tick_s", self.tick_s, 0.05, 60.0)?;
        range("shared", self.shared, 0.0, 1.0)?;
        range("number of campaigns", self.campaigns.len() as f64, 1.0, CAMPAIGNS_MAX as f64)?;
        for campaign in &self.campaigns {
            range("answer", campaign.answer, 0.0, 1.0)?;
            range("noise_sd", campaign.noise_sd, 0.0, 5.0)?;
            range("noise_s", campaign.noise_s, 1.0, 1e6)?;
            range("trend", campaign.trend, -10.0, 10.0)?;
            range("machine + busy + sit", campaign.machine + campaign.busy + campaign.sit, 0.0, 1.0)?;
            range("post_dial_delay_s", campaign.post_dial_delay_s, 0.0, 60.0)?;
            range("ring_mean_s", campaign.ring_mean_s, 0.01, 120.0)?;
            range("machine_ring_mean_s", campaign.machine_ring_mean_s, 0.01, 120.0)?;
            range("ring_shape", f64::from(campaign.ring_shape), 1.0, 50.0)?;
            range("ring_limit_s", campaign.ring_limit_s, 1.0, 300.0)?;
            range("weight", campaign.weight, 1e-6, 1e6)?;
            for factor in &campaign.profile {
                range("profile", *factor, 0.0, 100.0)?;
            }
            for jump in &campaign.jumps {
                range("jumps.answer", jump.answer, 0.0, 100.0)?;
                range("jumps.talk", jump.talk, 0.01, 100.0)?;
            }
            for ring in campaign.ring.iter().chain(&campaign.machine_ring) {
                ring.check("ring")?;
            }
            campaign.talk.check("talk")?;
            campaign.wrap_up.check("wrap_up")?;
        }
        if let Some(inbound) = &self.inbound {
            range("inbound.per_hour", inbound.per_hour, 0.0, 1e6)?;
            range("inbound.patience_s", inbound.patience_s, 1.0, 3_600.0)?;
            inbound.talk.check("inbound.talk")?;
            inbound.wrap_up.check("inbound.wrap_up")?;
        }
        Ok(())
    }

    /// Lines there are.
    #[must_use]
    pub fn lines(&self) -> u32 {
        ((f64::from(self.agents) * self.lines_per_agent) as u32).max(self.lines_min)
    }

    /// The same with so many agents.
    #[must_use]
    pub fn with_agents(mut self, agents: u32) -> Self {
        self.agents = agents;
        self
    }
}

/// The named scenarios.
pub const NAMES: &[&str] = &[
    "standard",
    "short",
    "long",
    "easy",
    "hard",
    "heavy",
    "answer_shock",
    "talk_shock",
    "bursts",
    "sorted",
    "tiny",
    "breaks",
    "mixed",
    "shared",
    "blended",
    "amd",
    "trunk",
    "demo",
];

/// A named scenario.
#[must_use]
pub fn named(name: &str) -> Option<Scenario> {
    let base = Campaign::default();
    let one = |campaign: Campaign| Scenario { campaigns: vec![campaign], ..Scenario::default() };
    let lognormal = |mean_s, cv| Lasts::Lognormal { mean_s, cv };
    let scenario = match name {
        "standard" => Scenario::default(),
        "short" => {
            let (talk, wrap_up) = (lognormal(60.0, 1.3), lognormal(10.0, 0.8));
            one(Campaign { answer: 0.15, talk, wrap_up, ..base })
        }
        "long" => {
            let (talk, wrap_up) = (lognormal(300.0, 1.0), lognormal(45.0, 0.8));
            one(Campaign { answer: 0.35, talk, wrap_up, ..base })
        }
        "easy" => one(Campaign { answer: 0.5, talk: lognormal(180.0, 0.7), ..base }),
        "hard" => one(Campaign {
            answer: 0.20,
            profile: vec![0.7, 0.9, 1.2, 1.5, 1.2, 0.9, 1.1, 1.3, 0.8],
            noise_sd: 0.15,
            jumps: vec![
                Jump { at_h: 2.0, answer: 1.8, talk: 1.0 },
                Jump { at_h: 3.5, answer: 1.8 * 0.8, talk: 1.0 },
                Jump { at_h: 5.0, answer: 1.6, talk: 1.3 },
                Jump { at_h: 6.5, answer: 1.0, talk: 0.8 },
            ],
            talk: Lasts::Mixture { first: 0.35, mean_s: 20.0, other_mean_s: 170.0, cv: 0.8 },
            ..base
        }),
        "heavy" => one(Campaign {
            talk: Lasts::Mixture { first: 0.85, mean_s: 60.0, other_mean_s: 500.0, cv: 1.5 },
            ..base
        }),
        "answer_shock" => one(Campaign {
            jumps: vec![
                Jump { at_h: 1.5, answer: 2.5, talk: 1.0 },
                Jump { at_h: 3.0, answer: 0.5, talk: 1.0 },
                Jump { at_h: 5.0, answer: 2.0, talk: 1.0 },
                Jump { at_h: 7.0, answer: 1.0, talk: 1.0 },
            ],
            ..base
        }),
        "talk_shock" => one(Campaign {
            jumps: vec![
                Jump { at_h: 2.0, answer: 1.0, talk: 2.5 },
                Jump { at_h: 4.0, answer: 1.0, talk: 0.5 },
                Jump { at_h: 6.0, answer: 1.0, talk: 1.0 },
            ],
            ..base
        }),
        "bursts" => {
            let bursts = Some(Bursts { every_s: 400.0, lasts_s: 40.0, answer: 2.5 });
            one(Campaign { answer: 0.18, bursts, ..base })
        }
        "sorted" => one(Campaign { answer: 0.4, trend: -1.8, ..base }),
        "tiny" => Scenario { agents: 3, ..Scenario::default() },
        "breaks" => Scenario { break_every_h: 0.5, break_min: 8.0, ..Scenario::default() },
        "mixed" => Scenario { speed_sd: 0.5, ..Scenario::default() },
        "shared" => Scenario {
            shared: 0.6,
            campaigns: vec![
                Campaign { talk: lognormal(90.0, 1.0), ..base.clone() },
                Campaign { answer: 0.35, talk: lognormal(200.0, 0.8), ..base.clone() },
                Campaign { answer: 0.15, ..base },
            ],
            ..Scenario::default()
        },
        "blended" => Scenario {
            inbound: Some(Inbound {
                per_hour: 40.0,
                patience_s: 60.0,
                talk: lognormal(150.0, 1.0),
                wrap_up: lognormal(20.0, 0.8),
            }),
            ..Scenario::default()
        },
        "amd" => one(Campaign {
            detection: Detection { delay_s: 1.5, false_machine: 0.01, missed_machine: 0.08 },
            ..base
        }),
        "trunk" => {
            Scenario { lines_per_agent: 2.0, lines_min: 0, calls_per_second: 0.7, ..Scenario::default() }
        }
        "demo" => Scenario {
            name: String::new(),
            agents: 5,
            shift_h: 2.0 / 60.0,
            days: 1,
            login_s: 2.0,
            break_every_h: 0.0,
            speed_sd: 0.1,
            tick_s: 0.25,
            end_known: false,
            campaigns: vec![Campaign {
                answer: 0.42,
                machine: 0.17,
                busy: 0.17,
                sit: 0.09,
                post_dial_delay_s: 0.2,
                ring_mean_s: 1.0,
                machine_ring_mean_s: 2.3,
                ring_limit_s: 5.6,
                talk: lognormal(22.5, 0.8),
                wrap_up: lognormal(2.3, 0.6),
                leads: Some(300),
                ..base
            }],
            ..Scenario::default()
        },
        _ => return None,
    };
    Some(Scenario { name: name.to_owned(), ..scenario })
}
