//! How fast each agent is, against the campaign's average.

use crate::pacing::AgentRef;
use crate::pacing::limits::AGENTS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Variance of the logarithm of speed between agents, believed before anything is seen.
const BETWEEN: f64 = 0.04;
/// How much of an agent's past counts after one more call.
const KEEP: f64 = 0.998;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Evidence {
    /// Precision-weighted sum of log-ratios.
    sum: f64,
    /// Sum of precisions.
    precision: f64,
}

/// Log-ratios of each agent's times to the campaign's, shrunk towards none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
    agents: BTreeMap<AgentRef, Evidence>,
}

impl Speeds {
    /// The agent took `seconds` for something whose logarithm has these moments in the campaign.
    pub fn took(&mut self, agent: AgentRef, seconds: f64, log_mean: f64, log_variance: f64) {
        let ratio = seconds.max(0.5).ln() - log_mean;
        if !(ratio.is_finite() && log_variance.is_finite() && log_variance > 0.0) {
            return;
        }
        if self.agents.len() >= AGENTS_MAX && !self.agents.contains_key(&agent) {
            return;
        }
        let evidence = self.agents.entry(agent).or_default();
        // One call is bounded evidence: a nap in wrap-up does not make a slow agent.
        let sd = log_variance.sqrt();
        evidence.sum = evidence.sum * KEEP + ratio.clamp(-3.0 * sd, 3.0 * sd) / log_variance.max(0.05);
        evidence.precision = evidence.precision * KEEP + 1.0 / log_variance.max(0.05);
    }

    /// The agent's times ÷ the campaign's, 0.5..=2.
    #[must_use]
    pub fn factor(&self, agent: AgentRef) -> f64 {
        match self.agents.get(&agent) {
            Some(evidence) => (evidence.sum / (evidence.precision + 1.0 / BETWEEN)).exp().clamp(0.5, 2.0),
            None => 1.0,
        }
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.agents.len() <= AGENTS_MAX
            && self
                .agents
                .values()
                .all(|e| e.sum.is_finite() && e.precision.is_finite() && e.precision >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    #[test]
    fn a_slow_agent_is_found_out_slowly() {
        let mut rng = Rng::from_seed(9);
        let mut speeds = Speeds::default();
        let variance: f64 = (2.0_f64).ln();
        let mean = 120.0_f64.ln() - variance / 2.0;
        let agent = AgentRef(1);
        assert_eq!(speeds.factor(agent), 1.0);
        speeds.took(agent, 1e9, mean, variance);
        assert!(speeds.factor(agent) < 1.2);
        for _ in 0..300 {
            speeds.took(agent, 1.4 * rng.lognormal(120.0, 1.0), mean, variance);
        }
        assert!((1.2..1.6).contains(&speeds.factor(agent)), "{}", speeds.factor(agent));
        speeds.took(agent, f64::NAN, mean, variance);
        speeds.took(agent, 5.0, mean, 0.0);
        assert!(speeds.is_sound());
    }
}
