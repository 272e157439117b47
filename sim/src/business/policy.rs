//! The dialler of this house, as one of the diallers under test.

use super::scenario::Scenario;
use super::world::{Dialler, Snapshot};
use dialer_core::pacing::ledger::{Ledger, Plan, WindowKind, WindowRule};
use dialer_core::pacing::{
    CallRef, CampaignPacing, CampaignRef, CancelPolicy, CapStyle, Decision, DialLimits, DialTraits, Floor,
    Mode, Outcome, Pacer, PacingEvent, PacingView, WindowCount,
};
use sansio::{Duration, Instant, WallTime};

/// A [`Floor`] with a day's ledger per campaign, fed as the daemon feeds it.
pub struct House {
    floor: Floor,
    ledgers: Vec<Ledger>,
    answered: Vec<(CallRef, WallTime)>,
    windows: Vec<WindowCount>,
    max_lines_per_agent: f64,
    cap: f64,
    last: Option<Decision>,
}

fn wall(now: Instant) -> WallTime {
    WallTime::from_unix_millis(now.as_millis() as i64)
}

impl House {
    /// For a scenario, all campaigns in `mode`; `cancel`: may ringing calls be given up?
    #[must_use]
    pub fn new(scenario: &Scenario, mode: Mode, cancel: bool) -> Self {
        let mut floor = Floor::new();
        let rule = WindowRule {
            kind: WindowKind::Day { utc_offset_s: 0 },
            cap: scenario.cap,
            style: CapStyle::Average,
            of_group: false,
        };
        let mut ledgers = Vec::new();
        for (index, campaign) in scenario.campaigns.iter().enumerate() {
            // What a house knows of its detection from listening to samples.
            let machines = (1.0 - campaign.answer) * campaign.machine * campaign.detection.missed_machine;
            let pacing = CampaignPacing {
                mode,
                cancel: CancelPolicy { allowed: cancel, ..CancelPolicy::default() },
                patience: Duration::from_secs_f64(scenario.patience_s),
                weight: campaign.weight,
                false_machine: campaign.detection.false_machine,
                missed_machine: machines / (campaign.answer + machines).max(1e-9),
                ..CampaignPacing::default()
            };
            floor.set_campaign(CampaignRef(index as u32), pacing);
            ledgers.extend(Ledger::new(&[rule], WallTime::from_unix_millis(0)));
        }
        House {
            floor,
            ledgers,
            answered: Vec::new(),
            windows: Vec::new(),
            max_lines_per_agent: scenario.lines_per_agent,
            cap: scenario.cap,
            last: None,
        }
    }

    /// With caps of this style.
    #[must_use]
    pub fn with_style(mut self, style: CapStyle) -> Self {
        let rule =
            WindowRule { kind: WindowKind::Day { utc_offset_s: 0 }, cap: self.cap, style, of_group: false };
        let ledgers =
            (0..self.ledgers.len()).filter_map(|_| Ledger::new(&[rule], WallTime::from_unix_millis(0)));
        self.ledgers = ledgers.collect();
        self
    }

    /// The latest decision.
    #[must_use]
    pub fn last(&self) -> Option<&Decision> {
        self.last.as_ref()
    }

    /// The pacer inside.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        &self.floor
    }
}

impl Dialler for House {
    fn observe(&mut self, now: Instant, event: &PacingEvent) {
        self.floor.observe(now, event);
        match *event {
            PacingEvent::DayStarted { .. } => self.answered.clear(),
            PacingEvent::Resolved { call, campaign, outcome: Outcome::Human, .. } => {
                self.answered.push((call, wall(now)));
                if let Some(ledger) = self.ledgers.get_mut(campaign.0 as usize) {
                    ledger.live(wall(now));
                }
            }
            PacingEvent::Connected { call, .. } => self.answered.retain(|(answered, _)| *answered != call),
            PacingEvent::Abandoned { call, campaign, .. } => {
                if let Some(place) = self.answered.iter().position(|(answered, _)| *answered == call) {
                    let (_, at) = self.answered.swap_remove(place);
                    if let Some(ledger) = self.ledgers.get_mut(campaign.0 as usize) {
                        ledger.abandoned(at);
                    }
                }
            }
            _ => {}
        }
    }

    fn decide(&mut self, campaign: CampaignRef, snapshot: &Snapshot<'_>, cancel: &mut Vec<CallRef>) -> u32 {
        let index = campaign.0 as usize;
        let shift_left =
            snapshot.shift_s.map(|shift| Duration::from_secs_f64((shift - snapshot.second).max(0.0)));
        if let Some(ledger) = self.ledgers.get_mut(index) {
            let plan = Plan { shift_left, shift: Duration::ZERO };
            ledger.windows(wall(snapshot.now), plan, &mut self.windows);
        }
        let leads = snapshot.leads_left.get(index).copied().flatten();
        let view = PacingView {
            campaign,
            agents: snapshot.agents,
            calls: snapshot.calls,
            inbound_waiting: snapshot.inbound_waiting,
            limits: DialLimits {
                lines_free: snapshot.lines_free,
                cps_allowance: snapshot.cps_allowance,
                hopper: leads.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX)),
                max_lines_per_agent: self.max_lines_per_agent,
            },
            leads_left: leads.map(|_| 0),
            idle_share: None,
            next: DialTraits::default(),
            next_answer: None,
            shift_left,
            windows: &self.windows,
            hold: None,
        };
        let decision = self.floor.decide(snapshot.now, &view);
        cancel.extend(&decision.cancel);
        let dial = decision.dial;
        self.last = Some(decision);
        dial
    }
}
