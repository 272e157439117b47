//! What was forecast against what came: whether the pacer can be believed.
//!
//! One look ahead at a time: at a decision the forecast of live answers (from the calls then in flight) and of freed
//! agents is kept; when the horizon has passed, what came is known.

use crate::dialer::{Cx, Dialer};
use crate::id::{AgentId, CampaignId};
use crate::pacing::Decision;
use crate::view::ForecastAccuracy;
use core::time::Duration;
use sansio::Instant;

/// Weight of the last look in the smoothed error.
const LATELY: f64 = 0.1;

/// A campaign's forecasts under test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forecast {
    pub(crate) accuracy: ForecastAccuracy,
    look: Option<Look>,
}

/// A look ahead under way.
#[derive(Clone, Copy, Debug)]
struct Look {
    until: Instant,
    /// Calls up to this number were in flight.
    last_number: u64,
    answers: f64,
    freed: f64,
    answers_seen: u64,
    freed_seen: u64,
}

impl Forecast {
    /// Closes the look whose time is over.
    fn close(&mut self, now: Instant) {
        let Some(look) = self.look.filter(|look| look.until <= now) else { return };
        self.look = None;
        let accuracy = &mut self.accuracy;
        let error = look.answers - look.answers_seen as f64;
        accuracy.looks += 1;
        accuracy.answers_forecast += look.answers;
        accuracy.answers_seen += look.answers_seen;
        accuracy.freed_forecast += look.freed;
        accuracy.freed_seen += look.freed_seen;
        accuracy.answers_error += error.abs();
        let weight = if accuracy.looks == 1 { 1.0 } else { LATELY };
        accuracy.error_lately += weight * (error - accuracy.error_lately);
    }

    fn begin(&mut self, now: Instant, last_number: u64, decision: &Decision) {
        let explain = &decision.explain;
        let reach = Duration::try_from_secs_f64(explain.answer_time_s).unwrap_or_default();
        if self.look.is_some() || reach.is_zero() || explain.in_flight == 0 {
            return;
        }
        let (answers, freed) = (explain.answers_expected, explain.agents_freeing);
        let look = Look { until: now + reach, last_number, answers, freed, answers_seen: 0, freed_seen: 0 };
        self.look = Some(look);
    }
}

impl Dialer {
    /// Keeps what a decision forecasts; what the one before forecast is judged when its time has come.
    pub(super) fn expect(&mut self, cx: &Cx<'_>, id: CampaignId, decision: &Decision) {
        let last_number = self.last_number;
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        campaign.forecast.close(cx.now);
        campaign.forecast.begin(cx.now, last_number, decision);
    }

    /// A person answered a call of a campaign.
    pub(crate) fn note_answer(&mut self, cx: &Cx<'_>, id: CampaignId, number: u64) {
        let risk = self.pacer.risk_of(crate::pacing::CallRef(number)).unwrap_or(0.0);
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        let bias = campaign.report.as_ref().map_or(0.0, |report| report.detail.bias);
        campaign.forecast.accuracy.abandons_forecast += risk * bias;
        campaign.forecast.close(cx.now);
        if let Some(look) = campaign.forecast.look.as_mut().filter(|look| number <= look.last_number) {
            look.answers_seen += 1;
        }
    }

    /// A busy agent became ready.
    pub(crate) fn note_freed(&mut self, now: Instant, agent: AgentId) {
        let Some(agent) = self.agents.get(&agent) else { return };
        for campaign in self.campaigns.values_mut().filter(|campaign| campaign.is_served_by(agent)) {
            campaign.forecast.close(now);
            if let Some(look) = campaign.forecast.look.as_mut() {
                look.freed_seen += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pacing::{Explain, LimitedBy};

    fn decision(answers_expected: f64) -> Decision {
        let explain = Explain {
            answer_time_s: 10.0,
            in_flight: 3,
            answers_expected,
            agents_freeing: 0.5,
            ..Explain::default()
        };
        Decision { dial: 0, cancel: Vec::new(), limited_by: LimitedBy::Risk, explain }
    }

    #[test]
    fn a_look_ends_with_its_horizon_and_not_before() {
        let at = Instant::from_millis;
        let mut forecast = Forecast::default();
        forecast.begin(at(0), 5, &decision(1.5));
        forecast.begin(at(1_000), 9, &decision(7.0));
        forecast.look.as_mut().unwrap().answers_seen += 2;
        forecast.close(at(9_999));
        assert_eq!(forecast.accuracy.looks, 0);
        forecast.close(at(10_000));
        let accuracy = forecast.accuracy;
        assert_eq!((accuracy.looks, accuracy.answers_seen, accuracy.answers_forecast), (1, 2, 1.5));
        assert_eq!((accuracy.error_lately, accuracy.answers_error), (-0.5, 0.5));
        assert!(forecast.look.is_none());
    }
}
