//! Playing a scenario with several policies over several seeds, and saying what came out.

use super::baselines::{Baseline, Drop, Rule};
use super::policy::House;
use super::scenario::Scenario;
use super::world::{Day, Dialler, World, assignment};
use dialer_core::pacing::Mode;
use serde::Serialize;
use std::fmt::Write as _;

/// A policy that can be played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// This house's pacer in a mode.
    House(Mode),
    /// This house's predictive pacer, allowed to give up ringing calls after 15 s.
    HouseCancelling,
    /// One of the field.
    Baseline(Rule),
}

/// All policies of the comparison, by name.
pub const POLICIES: &[(&str, Policy)] = &[
    ("predictive", Policy::House(Mode::Predictive)),
    ("predictive-cancel", Policy::HouseCancelling),
    ("progressive", Policy::House(Mode::Progressive)),
    ("ratio-1.5", Policy::House(Mode::Ratio(1.5))),
    ("ratio-2", Policy::House(Mode::Ratio(2.0))),
    ("ratio-3", Policy::House(Mode::Ratio(3.0))),
    ("lines-1.5", Policy::Baseline(Rule::FixedRatio(1.5))),
    ("lines-2", Policy::Baseline(Rule::FixedRatio(2.0))),
    ("lines-3", Policy::Baseline(Rule::FixedRatio(3.0))),
    ("adaptive-hard", Policy::Baseline(Rule::Adaptive(Drop::HardLimit))),
    ("adaptive-average", Policy::Baseline(Rule::Adaptive(Drop::Average))),
    ("adaptive-tapered", Policy::Baseline(Rule::Adaptive(Drop::Tapered))),
    ("erlang-c", Policy::Baseline(Rule::ErlangC)),
    ("pi", Policy::Baseline(Rule::Pi)),
    ("clairvoyant", Policy::Baseline(Rule::Clairvoyant)),
];

/// The policy of this name.
#[must_use]
pub fn policy(name: &str) -> Option<Policy> {
    POLICIES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
}

fn dialler(scenario: &Scenario, policy: Policy) -> Box<dyn Dialler> {
    match policy {
        Policy::House(mode) => Box::new(House::new(scenario, mode, false)),
        Policy::HouseCancelling => Box::new(House::new(scenario, Mode::Predictive, true)),
        Policy::Baseline(rule) => Box::new(Baseline::new(scenario, rule)),
    }
}

/// A mean and half the width of its 95 % interval over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// Half of the 95 % interval; 0 with one seed.
    pub half: f64,
}

impl Figure {
    fn of(values: &[f64]) -> Figure {
        let n = values.len() as f64;
        if values.is_empty() {
            return Figure::default();
        }
        let mean = values.iter().sum::<f64>() / n;
        if values.len() < 2 {
            return Figure { mean, half: 0.0 };
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Figure { mean, half: student(values.len() - 1) * (variance / n).sqrt() }
    }
}

/// 97.5 % quantile of Student's t.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    match freedom {
        0 => 0.0,
        1..=10 => TABLE[freedom - 1],
        11..=30 => 2.1,
        _ => 1.96 + 2.4 / freedom as f64,
    }
}

/// What one policy did in one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Scenario.
    pub scenario: String,
    /// Agents.
    pub agents: u32,
    /// Policy.
    pub policy: String,
    /// (Talk + wrap-up) ÷ (logged in and not on a break).
    pub utilisation: Figure,
    /// The same on the first day, when nothing is known.
    pub utilisation_first_day: Figure,
    /// Abandoned ÷ live over all days.
    pub abandonment: Figure,
    /// The worst campaign-day's.
    pub worst_day: f64,
    /// Campaign-days over the cap …
    pub days_over: u32,
    /// … of so many.
    pub campaign_days: u32,
    /// Abandonment in the first half hour of the first day, all seeds together.
    pub first_half_hour: f64,
    /// Conversations with people per agent and hour worked.
    pub connects_per_hour: Figure,
    /// Calls dialled per live answer.
    pub dials_per_live: f64,
    /// Share of inbound calls that gave up.
    pub inbound_lost: f64,
}

/// Plays `policy` in `scenario` with seeds 1..=`seeds`; `progress` is told after each day played.
#[must_use]
pub fn play(scenario: &Scenario, name: &str, policy: Policy, seeds: u64, progress: &mut dyn FnMut()) -> Row {
    let serves = assignment(scenario);
    let (mut utilisation, mut first_day, mut abandonment, mut connects) = (vec![], vec![], vec![], vec![]);
    let (mut worst_day, mut days_over, mut campaign_days) = (0.0_f64, 0, 0);
    let (mut first_live, mut first_abandoned, mut dialed, mut all_live) = (0, 0, 0, 0);
    let mut inbound = (0, 0);
    for seed in 1..=seeds.max(1) {
        let mut dialler = dialler(scenario, policy);
        let mut world = World::new(scenario, &serves, seed);
        let (mut busy_s, mut working_s, mut live, mut abandoned) = (0.0, 0.0, 0, 0);
        for number in 0..scenario.days {
            let day: Day = world.play(dialler.as_mut());
            busy_s += day.busy_s;
            working_s += day.working_s;
            if number == 0 {
                first_day.push(day.busy_s / day.working_s.max(1.0));
            }
            inbound.0 += day.inbound.0;
            inbound.1 += day.inbound.1;
            for campaign in &day.campaigns {
                campaign_days += 1;
                live += campaign.live;
                abandoned += campaign.abandoned;
                dialed += campaign.dialed;
                let rate = campaign.abandoned as f64 / campaign.live.max(1) as f64;
                worst_day = worst_day.max(rate);
                days_over += u32::from(rate > scenario.cap);
                if number == 0 {
                    first_live += campaign.first_live;
                    first_abandoned += campaign.first_abandoned;
                }
            }
            progress();
        }
        utilisation.push(busy_s / working_s.max(1.0));
        abandonment.push(abandoned as f64 / live.max(1) as f64);
        connects.push((live - abandoned) as f64 / (working_s / 3_600.0).max(1e-9));
        all_live += live;
    }
    Row {
        scenario: scenario.name.clone(),
        agents: scenario.agents,
        policy: name.to_owned(),
        utilisation: Figure::of(&utilisation),
        utilisation_first_day: Figure::of(&first_day),
        abandonment: Figure::of(&abandonment),
        worst_day,
        days_over,
        campaign_days,
        first_half_hour: first_abandoned as f64 / first_live.max(1) as f64,
        connects_per_hour: Figure::of(&connects),
        dials_per_live: dialed as f64 / all_live.max(1) as f64,
        inbound_lost: inbound.1 as f64 / inbound.0.max(1) as f64,
    }
}

/// A table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "scenario      agents policy              utilisation      first day  abandonment      worst day  over cap  \
         1st ½h  connects/h  dials/live\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:<13} {:>6} {:<18} {:>6.2} % ±{:<5.2} {:>8.2} %  {:>6.2} % ±{:<5.2} {:>7.2} %  {:>4}/{:<4} {:>6.2} % \
             {:>8.1}  {:>9.2}",
            row.scenario,
            row.agents,
            row.policy,
            100.0 * row.utilisation.mean,
            100.0 * row.utilisation.half,
            100.0 * row.utilisation_first_day.mean,
            100.0 * row.abandonment.mean,
            100.0 * row.abandonment.half,
            100.0 * row.worst_day,
            row.days_over,
            row.campaign_days,
            100.0 * row.first_half_hour,
            row.connects_per_hour.mean,
            row.dials_per_live,
        );
    }
    out
}

/// The same as comma-separated values with a head.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::from(
        "scenario,agents,policy,utilisation,utilisation_half,utilisation_first_day,abandonment,abandonment_half,\
         worst_day,days_over,campaign_days,first_half_hour,connects_per_hour,dials_per_live,inbound_lost\n",
    );
    for row in rows {
        let name = if row.scenario.contains([',', '"', '\n']) {
            format!("\"{}\"", row.scenario.replace('"', "\"\""))
        } else {
            row.scenario.clone()
        };
        let _ = writeln!(
            out,
            "{},{},{},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{},{},{:.5},{:.3},{:.3},{:.5}",
            name,
            row.agents,
            row.policy,
            row.utilisation.mean,
            row.utilisation.half,
            row.utilisation_first_day.mean,
            row.abandonment.mean,
            row.abandonment.half,
            row.worst_day,
            row.days_over,
            row.campaign_days,
            row.first_half_hour,
            row.connects_per_hour.mean,
            row.dials_per_live,
            row.inbound_lost,
        );
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The same as one HTML page that needs nothing else: a chart of utilisation against abandonment per scenario and
/// number of agents, and the table.
#[must_use]
pub fn html(rows: &[Row], cap: f64) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>dialerd simulate</title><style>\
         body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:70em;color:#222}\
         table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
         td:first-child,th:first-child{text-align:left}.over{color:#b00020}svg{background:#fafafa}\
         </style></head><body><h1>dialerd simulate</h1>\n",
    );
    let mut shown: Vec<(&str, u32)> = Vec::new();
    for row in rows {
        if !shown.contains(&(row.scenario.as_str(), row.agents)) {
            shown.push((&row.scenario, row.agents));
        }
    }
    for (scenario, agents) in shown {
        let of: Vec<&Row> =
            rows.iter().filter(|row| row.scenario == scenario && row.agents == agents).collect();
        let _ = writeln!(out, "<h2>{}, {agents} agents</h2>", escaped(scenario));
        chart(&mut out, &of, cap);
        out.push_str(
            "<table><tr><th>policy</th><th>utilisation</th><th>abandonment</th><th>worst day</th>\
             <th>days over the cap</th><th>first half hour</th><th>connects per agent-hour</th></tr>\n",
        );
        for row in of {
            let over = if row.days_over > 0 { " class=\"over\"" } else { "" };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{:.1} % ± {:.1}</td><td>{:.2} % ± {:.2}</td><td>{:.2} %</td><td{over}>{} of {}</td>\
                 <td>{:.2} %</td><td>{:.1}</td></tr>",
                escaped(&row.policy),
                100.0 * row.utilisation.mean,
                100.0 * row.utilisation.half,
                100.0 * row.abandonment.mean,
                100.0 * row.abandonment.half,
                100.0 * row.worst_day,
                row.days_over,
                row.campaign_days,
                100.0 * row.first_half_hour,
                row.connects_per_hour.mean,
            );
        }
        out.push_str("</table>\n");
    }
    out.push_str("</body></html>\n");
    out
}

/// Bars of utilisation, one per policy; those of policies with days over the cap are hatched in red.
fn chart(out: &mut String, rows: &[&Row], cap: f64) {
    let height = 24 * rows.len() + 30;
    let _ = writeln!(
        out,
        "<svg width=\"760\" height=\"{height}\" role=\"img\" aria-label=\"utilisation per policy\">"
    );
    for (index, row) in rows.iter().enumerate() {
        let y = 24 * index + 6;
        let width = (400.0 * row.utilisation.mean).clamp(0.0, 400.0);
        let colour = if row.abandonment.mean > cap || row.days_over > 0 { "#d98c8c" } else { "#6b9e78" };
        let _ = writeln!(
            out,
            "<text x=\"150\" y=\"{}\" text-anchor=\"end\" font-size=\"13\">{}</text>\
             <rect x=\"160\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"12\">{:.1} %, abandoned {:.2} %</text>",
            y + 13,
            escaped(&row.policy),
            168.0 + width,
            y + 13,
            100.0 * row.utilisation.mean,
            100.0 * row.abandonment.mean,
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"160\" y=\"{}\" font-size=\"12\" fill=\"#666\">red: a campaign-day over the cap of {:.1} %</text></svg>",
        height - 6,
        100.0 * cap,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::scenario::named;

    fn short_day(name: &str, agents: u32) -> Scenario {
        Scenario { agents, shift_h: 1.0, days: 1, ..named(name).expect("a named scenario") }
    }

    #[test]
    fn every_policy_plays_every_scenario_and_comes_out_the_same_twice() {
        for name in crate::business::scenario::NAMES {
            let scenario = Scenario { shift_h: 0.03, login_s: 5.0, ..short_day(name, 5) };
            for (label, policy) in POLICIES {
                let row = play(&scenario, label, *policy, 1, &mut || {});
                assert!((0.0..=1.0).contains(&row.utilisation.mean), "{name} {label}: {row:?}");
                assert_eq!(row, play(&scenario, label, *policy, 1, &mut || {}), "{name} {label}");
            }
        }
    }

    #[test]
    fn progressive_abandons_almost_nobody_and_predictive_does_better() {
        let scenario = Scenario { break_every_h: 0.0, shift_h: 1.0, ..short_day("standard", 10) };
        let progressive = play(&scenario, "p", Policy::House(Mode::Progressive), 1, &mut || {});
        assert_eq!(progressive.abandonment.mean, 0.0);
        assert!((0.6..0.75).contains(&progressive.utilisation.mean), "{progressive:?}");
        let predictive = play(&scenario, "p", Policy::House(Mode::Predictive), 1, &mut || {});
        assert!(predictive.utilisation.mean > progressive.utilisation.mean + 0.06, "{predictive:?}");
        assert_eq!(predictive.days_over, 0, "{predictive:?}");
        let bound = play(&scenario, "c", Policy::Baseline(Rule::Clairvoyant), 1, &mut || {});
        assert!(bound.utilisation.mean > 0.98 && bound.abandonment.mean == 0.0, "{bound:?}");
    }

    #[test]
    fn reports_name_what_they_show() {
        let scenario = Scenario { name: "a,<b>".into(), shift_h: 0.1, ..short_day("standard", 4) };
        let rows = vec![play(&scenario, "progressive", Policy::House(Mode::Progressive), 2, &mut || {})];
        assert!(table(&rows).contains("progressive"));
        let csv = csv(&rows);
        assert!(csv.starts_with("scenario,agents,policy,") && csv.contains("\"a,<b>\",4,progressive,"));
        let page = html(&rows, 0.03);
        assert!(page.contains("a,&lt;b&gt;, 4 agents") && page.contains("<svg") && !page.contains("http"));
    }

    #[test]
    fn intervals() {
        assert_eq!(Figure::of(&[2.0]), Figure { mean: 2.0, half: 0.0 });
        let figure = Figure::of(&[1.0, 3.0]);
        assert!((figure.mean - 2.0).abs() < 1e-12 && (figure.half - 12.706).abs() < 1e-2);
    }
}
