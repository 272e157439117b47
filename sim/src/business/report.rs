//! Saying what came out of a comparison: a table for a terminal, comma-separated values, and an answer to the question
//! that was asked.

use super::play::Row;
use std::fmt::Write as _;

/// A table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "scenario      agents policy              utilisation      first day  abandonment      worst day  over cap  \
         1st ½h  connects/h  dials/live  known\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:<13} {:>6} {:<18} {:>6.2} % ±{:<5.2} {:>8.2} %  {:>6.2} % ±{:<5.2} {:>7.2} %  {:>4}/{:<4} {:>6.2} % \
             {:>8.1}  {:>9.2}{}",
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
            known(row),
        );
    }
    out
}

/// How far the row is from the policy that knows every distribution.
fn known(row: &Row) -> String {
    row.known_utilisation.map_or_else(String::new, |known| {
        let share = 100.0 * row.utilisation.mean / known.max(1e-9);
        format!(
            "  {:.2} % ({:+.2} points, {share:.1} % of it)",
            100.0 * known,
            100.0 * (row.utilisation.mean - known)
        )
    })
}

/// The same as comma-separated values with a head.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::from(
        "scenario,agents,policy,utilisation,utilisation_half,utilisation_first_day,abandonment,abandonment_half,\
         worst_day,days_over,campaign_days,first_half_hour,connects_per_hour,connects_per_day,dials_per_live,\
         inbound_lost,known_utilisation\n",
    );
    for row in rows {
        let name = if row.scenario.contains([',', '"', '\n']) {
            format!("\"{}\"", row.scenario.replace('"', "\"\""))
        } else {
            row.scenario.clone()
        };
        let _ = writeln!(
            out,
            "{},{},{},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{},{},{:.5},{:.3},{:.1},{:.3},{:.5},{}",
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
            row.connects_per_day,
            row.dials_per_live,
            row.inbound_lost,
            row.known_utilisation.map_or_else(String::new, |known| format!("{known:.5}")),
        );
    }
    out
}

/// How many agents, which mode, what occupancy and abandonment: the answer in words, a line per scenario. With
/// `wanted` conversations a day it is the smallest number of agents played that has them within the cap.
#[must_use]
pub fn answer(rows: &[Row], wanted: Option<f64>) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
    }
    let mut out = String::new();
    for scenario in scenarios {
        // What a campaign can be set to, and kept within its cap.
        let lawful: Vec<&Row> = rows
            .iter()
            .filter(|row| row.scenario == scenario && row.is_lawful())
            .filter(|row| {
                !matches!(row.policy.as_str(), "known" | "clairvoyant" | "erlang-c" | "pi" | "stdio")
            })
            .filter(|row| !row.policy.starts_with("adaptive-") && !row.policy.starts_with("lines-"))
            .collect();
        let enough = lawful.iter().filter(|row| wanted.is_none_or(|wanted| row.connects_per_day >= wanted));
        let best = if wanted.is_some() {
            enough.min_by(|a, b| {
                a.agents.cmp(&b.agents).then(b.utilisation.mean.total_cmp(&a.utilisation.mean))
            })
        } else {
            enough.max_by(|a, b| a.utilisation.mean.total_cmp(&b.utilisation.mean))
        };
        let _ = match best {
            Some(row) => writeln!(
                out,
                "{scenario}: {} agents, {} mode: occupancy {:.1} %, abandonment {:.2} % (worst day {:.2} %), {:.0} \
                 conversations a day, {:.1} per agent and hour.",
                row.agents,
                row.policy,
                100.0 * row.utilisation.mean,
                100.0 * row.abandonment.mean,
                100.0 * row.worst_day,
                row.connects_per_day,
                row.connects_per_hour.mean,
            ),
            None => writeln!(
                out,
                "{scenario}: none of the numbers of agents and modes played {} within the cap on every day.",
                if wanted.is_some() { "has so many conversations" } else { "stays" }
            ),
        };
    }
    out.trim_end().to_owned()
}

/// Holds the predictive rows of a suite against what is asked of them: days over the cap (none on the standard
/// scenario, at most 1 % elsewhere), the first half hour (at most 4 %), and at least 95 % of the utilisation that the
/// policy with everything known has at the same abandonment. Where the pacer was also played over lines of text, it must
/// have done the same. A line per row, and whether all are met.
#[must_use]
pub fn verdict(rows: &[Row]) -> (String, bool) {
    let mut out = String::new();
    let mut all = true;
    for row in rows.iter().filter(|row| row.policy == "predictive") {
        let standard = row.scenario == "standard";
        let share = f64::from(row.days_over) / f64::from(row.campaign_days.max(1));
        let days = if standard { row.days_over == 0 } else { share <= 0.01 };
        let begin = !standard || row.first_half_hour <= 0.04;
        let floor = [(5, 0.785), (20, 0.880), (100, 0.958)];
        let busy = !standard
            || floor.iter().all(|(agents, least)| *agents != row.agents || row.utilisation.mean >= *least);
        let near = row.known_utilisation.is_none_or(|known| row.utilisation.mean >= 0.95 * known);
        let over_lines = rows.iter().find(|other| {
            other.policy == "stdio" && other.scenario == row.scenario && other.agents == row.agents
        });
        let same = over_lines.is_none_or(|other| is_same_play(row, other));
        let met = days && begin && busy && near && same;
        all &= met;
        let word = |good: bool| if good { "" } else { " MISSED" };
        let _ = writeln!(
            out,
            "{} {} agents: {} of {} campaign-days over{}, utilisation {:.2} %{}, first half hour {:.2} %{}{}{}",
            row.scenario,
            row.agents,
            row.days_over,
            row.campaign_days,
            word(days),
            100.0 * row.utilisation.mean,
            word(busy),
            100.0 * row.first_half_hour,
            word(begin),
            row.known_utilisation.map_or_else(String::new, |known| format!(
                ", {:.1} % of what knowing all has{}",
                100.0 * row.utilisation.mean / known.max(1e-9),
                word(near)
            )),
            over_lines.map_or("", |_| if same {
                ", the same over lines"
            } else {
                ", otherwise over lines MISSED"
            }),
        );
    }
    (out, all)
}

/// True if two policies met the same fate in every figure.
fn is_same_play(one: &Row, other: &Row) -> bool {
    let named = Row { policy: one.policy.clone(), known_utilisation: one.known_utilisation, ..other.clone() };
    *one == named
}

#[cfg(test)]
mod tests {
    use super::super::html::html;
    use super::super::play::{Effort, POLICIES, Policy, compare, play, policy};
    use super::super::scenario::{NAMES, Scenario, named};
    use super::*;
    use dialer_core::pacing::Mode;

    fn short_day(name: &str, agents: u32) -> Scenario {
        Scenario { agents, shift_h: 1.0, days: 1, ..named(name).expect("a named scenario") }
    }

    fn predictive(scenario: &Scenario) -> Row {
        play(scenario, "predictive", Policy::House(Mode::Predictive), &Effort::quiet(1))
    }

    #[test]
    fn every_policy_plays_every_scenario_and_comes_out_the_same_twice() {
        for name in NAMES {
            let scenario = Scenario { shift_h: 0.03, login_s: 5.0, ..short_day(name, 5) };
            for (label, policy) in POLICIES.iter().filter(|(_, policy)| *policy != Policy::Known(None)) {
                let row = play(&scenario, label, *policy, &Effort::quiet(1));
                assert!((0.0..=1.0).contains(&row.utilisation.mean), "{name} {label}: {row:?}");
                assert_eq!(row, play(&scenario, label, *policy, &Effort::quiet(1)), "{name} {label}");
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let scenario = Scenario { shift_h: 0.1, ..short_day("standard", 4) };
        let policy = policy("predictive").expect("it is listed");
        let alone = play(&scenario, "p", policy, &Effort::quiet(3));
        let beside = Effort { threads: 3, ..Effort::quiet(3) };
        assert_eq!(alone, play(&scenario, "p", policy, &beside));
    }

    #[test]
    fn the_policy_that_knows_is_held_against_the_one_that_learns() {
        let scenario = Scenario { shift_h: 0.5, ..short_day("standard", 6) };
        let policies = [("known", Policy::Known(None)), ("predictive", Policy::House(Mode::Predictive))];
        let rows = compare(&scenario, &policies, &Effort::quiet(1));
        let names: Vec<&str> = rows.iter().map(|row| row.policy.as_str()).collect();
        assert_eq!(names, ["predictive", "known"], "the one that knows comes last");
        let known = rows[0].known_utilisation.expect("it was played");
        assert!((known - rows[1].utilisation.mean).abs() < 1e-12 && (0.6..0.95).contains(&known), "{rows:?}");
    }

    #[test]
    fn progressive_abandons_almost_nobody_and_predictive_does_better() {
        let scenario = Scenario { break_every_h: 0.0, ..short_day("standard", 10) };
        let progressive = play(&scenario, "p", Policy::House(Mode::Progressive), &Effort::quiet(1));
        assert_eq!(progressive.abandonment.mean, 0.0);
        assert!((0.6..0.75).contains(&progressive.utilisation.mean), "{progressive:?}");
        let predictive = predictive(&scenario);
        assert!(predictive.utilisation.mean > progressive.utilisation.mean + 0.06, "{predictive:?}");
        assert_eq!(predictive.days_over, 0, "{predictive:?}");
        let bound = play(&scenario, "c", policy("clairvoyant").expect("it is listed"), &Effort::quiet(1));
        assert!(bound.utilisation.mean > 0.98 && bound.abandonment.mean == 0.0, "{bound:?}");
    }

    #[test]
    fn reports_name_what_they_show() {
        let base = Scenario { name: "a,<b>".into(), shift_h: 0.1, ..short_day("standard", 4) };
        let mut rows = Vec::new();
        for agents in [4, 6] {
            let policies = [("progressive", Policy::House(Mode::Progressive))];
            rows.extend(compare(&base.clone().with_agents(agents), &policies, &Effort::quiet(2)));
        }
        assert!(table(&rows).contains("progressive"));
        let csv = csv(&rows);
        assert!(csv.starts_with("scenario,agents,policy,") && csv.contains("\"a,<b>\",4,progressive,"));
        let columns = |line: &str| line.replace("\"a,<b>\"", "a").split(',').count();
        let mut lines = csv.lines();
        let head = lines.next().map(columns);
        assert!(lines.all(|line| Some(columns(line)) == head), "{csv}");
        let page = html(&rows, Some(1.0));
        assert!(page.contains("a,&lt;b&gt;, 4 agents") && page.contains("staffing") && page.contains("<svg"));
        assert!(!page.contains("http") && !page.contains("<script"), "it needs nothing else");
        assert!(
            answer(&rows, Some(1.0)).contains("4 agents, progressive mode"),
            "{}",
            answer(&rows, Some(1.0))
        );
        assert!(answer(&rows, Some(1e9)).contains("none of"));
    }

    #[test]
    fn a_verdict_names_what_was_missed() {
        let row = predictive(&Scenario { shift_h: 0.1, ..short_day("standard", 5) });
        let good = Row {
            utilisation: super::super::play::Figure { mean: 0.79, half: 0.0 },
            days_over: 0,
            first_half_hour: 0.0,
            known_utilisation: Some(0.8),
            ..row
        };
        assert!(verdict(std::slice::from_ref(&good)).1);
        let over = Row { days_over: 1, ..good.clone() };
        let (text, met) = verdict(&[over]);
        assert!(!met && text.contains("over MISSED"));
        assert!(!verdict(&[Row { known_utilisation: Some(0.9), ..good.clone() }]).1);
        assert!(!verdict(&[Row { first_half_hour: 0.05, ..good.clone() }]).1);
        let lines = Row { policy: "stdio".into(), known_utilisation: None, ..good.clone() };
        assert!(verdict(&[good.clone(), lines.clone()]).1);
        assert!(!verdict(&[good, Row { connects_per_day: 1.0, ..lines }]).1);
    }
}
