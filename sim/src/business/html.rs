//! The comparison as one HTML page that needs nothing else: charts as inline SVG, and the table.

use super::play::Row;
use super::report::answer;
use std::fmt::Write as _;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:76em;color:#222}\
    table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}.over{color:#b00020}svg{background:#fafafa;margin:.3em .6em .3em 0}\
    .answer{background:#eef5ee;padding:.6em 1em}";

const GOOD: &str = "#6b9e78";
const BAD: &str = "#d98c8c";

fn colour(row: &Row) -> &'static str {
    if row.is_lawful() && row.abandonment.mean <= row.cap { GOOD } else { BAD }
}

/// The whole page; `wanted` conversations a day, if that was asked.
#[must_use]
pub fn html(rows: &[Row], wanted: Option<f64>) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>dialerd simulate</title><style>{STYLE}\
         </style></head><body><h1>dialerd simulate</h1>\n"
    );
    let _ = writeln!(out, "<p class=\"answer\">{}</p>", escaped(&answer(rows, wanted)).replace('\n', "<br>"));
    let mut scenarios: Vec<&str> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
    }
    for scenario in scenarios {
        let of: Vec<&Row> = rows.iter().filter(|row| row.scenario == scenario).collect();
        let mut staffings: Vec<u32> = of.iter().map(|row| row.agents).collect();
        staffings.dedup();
        if staffings.len() > 1 {
            let _ = writeln!(out, "<h2>{}: staffing</h2>", escaped(scenario));
            staffing(&mut out, &of, "utilisation, %", |row| 100.0 * row.utilisation.mean);
            staffing(&mut out, &of, "conversations a day", |row| row.connects_per_day);
        }
        for agents in staffings {
            let of: Vec<&Row> = of.iter().copied().filter(|row| row.agents == agents).collect();
            let _ = writeln!(out, "<h2>{}, {agents} agents</h2>", escaped(scenario));
            bars(&mut out, &of);
            scatter(&mut out, &of);
            table(&mut out, &of);
        }
    }
    out.push_str("</body></html>\n");
    out
}

fn table(out: &mut String, rows: &[&Row]) {
    out.push_str(
        "<table><tr><th>policy</th><th>utilisation</th><th>first day</th><th>abandonment</th><th>worst day</th>\
         <th>days over the cap</th><th>first half hour</th><th>conversations per agent-hour</th><th>a day</th>\
         <th>knowing all</th></tr>\n",
    );
    for row in rows {
        let over = if row.is_lawful() { "" } else { " class=\"over\"" };
        let known = row.known_utilisation.map_or_else(String::new, |known| format!("{:.1} %", 100.0 * known));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{:.1} % ± {:.1}</td><td>{:.1} %</td><td>{:.2} % ± {:.2}</td><td>{:.2} %</td>\
             <td{over}>{} of {}</td><td>{:.2} %</td><td>{:.1}</td><td>{:.0}</td><td>{known}</td></tr>",
            escaped(&row.policy),
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
            row.connects_per_day,
        );
    }
    out.push_str("</table>\n");
}

/// Bars of utilisation with their intervals, one per policy; red for those with a campaign-day over the cap.
fn bars(out: &mut String, rows: &[&Row]) {
    let height = 24 * rows.len() + 30;
    let _ = writeln!(
        out,
        "<svg width=\"720\" height=\"{height}\" role=\"img\" aria-label=\"utilisation per policy\">"
    );
    for (index, row) in rows.iter().enumerate() {
        let y = 24 * index + 6;
        let width = (380.0 * row.utilisation.mean).clamp(0.0, 380.0);
        let half = (380.0 * row.utilisation.half).clamp(0.0, 190.0);
        let _ = writeln!(
            out,
            "<text x=\"150\" y=\"{}\" text-anchor=\"end\" font-size=\"13\">{}</text>\
             <rect x=\"160\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#333\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"12\">{:.1} %, abandoned {:.2} %</text>",
            y + 13,
            escaped(&row.policy),
            colour(row),
            160.0 + width - half,
            160.0 + width + half,
            y + 8,
            y + 8,
            170.0 + width + half,
            y + 13,
            100.0 * row.utilisation.mean,
            100.0 * row.abandonment.mean,
        );
    }
    let cap = rows.first().map_or(0.0, |row| row.cap);
    let _ = writeln!(
        out,
        "<text x=\"160\" y=\"{}\" font-size=\"12\" fill=\"#666\">red: a campaign-day over the cap of {:.1} %</text></svg>",
        height - 6,
        100.0 * cap,
    );
}

/// Utilisation against abandonment (square-root scale), with the cap as a line.
fn scatter(out: &mut String, rows: &[&Row]) {
    let most = rows.iter().fold(0.04_f64, |most, row| most.max(row.abandonment.mean)) * 1.1;
    let x = |share: f64| 45.0 + 380.0 * (share.max(0.0) / most).sqrt();
    let y = |share: f64| 270.0 - 250.0 * share.clamp(0.0, 1.0);
    out.push_str(
        "<svg width=\"520\" height=\"310\" role=\"img\" aria-label=\"utilisation against abandonment\">\n",
    );
    for tenth in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        let _ = writeln!(
            out,
            "<line x1=\"45\" x2=\"425\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#e4e4e4\"/><text x=\"40\" y=\"{1:.1}\" \
             text-anchor=\"end\" font-size=\"11\">{2:.0} %</text>",
            y(tenth),
            y(tenth) + 4.0,
            100.0 * tenth,
        );
    }
    let cap = rows.first().map_or(0.0, |row| row.cap);
    let _ = writeln!(
        out,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"20\" y2=\"270\" stroke=\"#b00020\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{0:.1}\" y=\"15\" font-size=\"11\" fill=\"#b00020\" text-anchor=\"middle\">cap {1:.1} %</text>",
        x(cap),
        100.0 * cap,
    );
    for row in rows {
        let (at_x, at_y) = (x(row.abandonment.mean), y(row.utilisation.mean));
        let _ = writeln!(
            out,
            "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"4\" fill=\"{}\"><title>{}: {:.1} %, abandoned {:.2} %</title>\
             </circle><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#555\">{}</text>",
            colour(row),
            escaped(&row.policy),
            100.0 * row.utilisation.mean,
            100.0 * row.abandonment.mean,
            at_x + 6.0,
            at_y + 3.0,
            escaped(&row.policy),
        );
    }
    out.push_str(
        "<text x=\"235\" y=\"300\" font-size=\"12\" text-anchor=\"middle\">abandonment (root scale) → · utilisation ↑\
         </text></svg>\n",
    );
}

/// One line per policy over the numbers of agents.
fn staffing(out: &mut String, rows: &[&Row], what: &str, value: impl Fn(&Row) -> f64) {
    const HUES: [&str; 8] =
        ["#3b6ea5", "#6b9e78", "#c98a2b", "#8a5fa8", "#b00020", "#4f9aa8", "#7a6a53", "#999999"];
    let agents_most = rows.iter().fold(1, |most, row| most.max(row.agents));
    let value_most = rows.iter().fold(1e-9, |most: f64, row| most.max(value(row)));
    let x = |agents: u32| 50.0 + 400.0 * f64::from(agents) / f64::from(agents_most);
    let y = |at: f64| 270.0 - 240.0 * (at / value_most).clamp(0.0, 1.0);
    let mut policies: Vec<&str> = Vec::new();
    for row in rows {
        if !policies.contains(&row.policy.as_str()) {
            policies.push(&row.policy);
        }
    }
    let height = 300.max(18 * policies.len() + 30);
    let _ = writeln!(
        out,
        "<svg width=\"640\" height=\"{height}\" role=\"img\" aria-label=\"{what} by number of agents\">\
         <text x=\"50\" y=\"15\" font-size=\"12\">{what}, by number of agents (dotted: over the cap)</text>\
         <line x1=\"50\" x2=\"450\" y1=\"270\" y2=\"270\" stroke=\"#999\"/>\
         <text x=\"45\" y=\"34\" text-anchor=\"end\" font-size=\"11\">{value_most:.0}</text>"
    );
    for (number, policy) in policies.iter().enumerate() {
        let hue = HUES[number % HUES.len()];
        let of: Vec<&&Row> = rows.iter().filter(|row| row.policy == *policy).collect();
        let points: Vec<String> =
            of.iter().map(|row| format!("{:.1},{:.1}", x(row.agents), y(value(row)))).collect();
        let dash = if of.iter().all(|row| row.is_lawful()) { "" } else { " stroke-dasharray=\"3 3\"" };
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{hue}\" stroke-width=\"2\"{dash}/>\
             <text x=\"465\" y=\"{}\" font-size=\"12\" fill=\"{hue}\">{}</text>",
            points.join(" "),
            34 + 18 * number,
            escaped(policy),
        );
    }
    let mut agents: Vec<u32> = rows.iter().map(|row| row.agents).collect();
    agents.sort_unstable();
    agents.dedup();
    for agents in agents {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"285\" font-size=\"11\" text-anchor=\"middle\">{agents}</text>",
            x(agents)
        );
    }
    out.push_str("</svg>\n");
}
