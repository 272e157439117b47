//! The live view: a block that is drawn over, or a line every few seconds.

use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is shown while it runs.
pub struct View {
    live: bool,
    drawn_lines: usize,
    last_line: Option<Instant>,
}

impl View {
    /// Draws over itself on a terminal, unless told to be plain.
    pub fn new(plain: bool) -> Self {
        View { live: !plain && std::io::stdout().is_terminal(), drawn_lines: 0, last_line: None }
    }

    /// Shows how it stands.
    pub fn show(&mut self, elapsed: Duration, look: &Look<'_>) {
        let lines = look.lines(elapsed);
        if self.live {
            let mut out = std::io::stdout().lock();
            if self.drawn_lines > 0 {
                let _ = write!(out, "\x1b[{}A", self.drawn_lines);
            }
            for line in &lines {
                let _ = writeln!(out, "\x1b[2K{line}");
            }
            let _ = out.flush();
            self.drawn_lines = lines.len();
        } else if self.last_line.is_none_or(|at| at.elapsed() >= Duration::from_secs(10)) {
            self.last_line = Some(Instant::now());
            println!("{}", lines.join(" | "));
        }
    }

    /// Leaves the last picture standing.
    pub fn end(&mut self) {
        self.drawn_lines = 0;
    }
}

/// One look at the campaign.
pub struct Look<'a> {
    /// `/v1/campaigns/…/stats`.
    pub stats: &'a Value,
    /// `/v1/campaigns/…/pacing`.
    pub pacing: &'a Value,
    /// `/v1/agents`.
    pub agents: &'a Value,
    /// Mean answer to bridge.
    pub bridge_ms: Option<f64>,
}

impl Look<'_> {
    fn lines(&self, elapsed: Duration) -> Vec<String> {
        let Look { stats, pacing, agents, .. } = self;
        let count = |state: &str| {
            agents["data"].as_array().into_iter().flatten().filter(|agent| agent["state"] == state).count()
        };
        let number =
            |from: &Value, pointer: &str| from.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        let talking = count("talking") + count("hold");
        let seconds = elapsed.as_secs();
        vec![
            format!("{}:{:02}", seconds / 60, seconds % 60),
            format!(
                "agents: {} ready, {talking} talking, {} wrap-up, {} other",
                count("ready"),
                count("wrap_up"),
                agents["data"].as_array().map_or(0, Vec::len) - count("ready") - talking - count("wrap_up"),
            ),
            format!(
                "lines: {} ringing, {} waiting; limited by {}",
                number(stats, "/now/dialing"),
                number(stats, "/now/waiting"),
                pacing.pointer("/decision/limited_by").and_then(Value::as_str).unwrap_or("-"),
            ),
            format!(
                "attempts {}, answers {}, connected {}, machines {}",
                number(stats, "/attempts"),
                number(stats, "/answers"),
                number(stats, "/connected"),
                number(stats, "/machines"),
            ),
            format!(
                "abandoned {} of {} live ({:.1} %, cap {:.1} %)",
                number(stats, "/abandonment/abandoned"),
                number(stats, "/abandonment/live"),
                100.0 * number(stats, "/abandonment/rate"),
                100.0 * super::ABANDON_CAP,
            ),
            format!(
                "forecast: answer probability {:.2}, {:.1} answers against {:.1} free agents",
                number(pacing, "/decision/p_answer"),
                number(pacing, "/decision/forecast_answers"),
                number(pacing, "/decision/forecast_free_agents"),
            ),
            format!(
                "so far forecast / came: answers {:.0} / {}, agents free {:.0} / {}, abandoned {:.1} / {}",
                number(pacing, "/accuracy/answers_forecast"),
                number(pacing, "/accuracy/answers_seen"),
                number(pacing, "/accuracy/freed_forecast"),
                number(pacing, "/accuracy/freed_seen"),
                number(pacing, "/accuracy/abandons_forecast"),
                number(pacing, "/accuracy/abandons_seen"),
            ),
            format!("busy {:.0} %, answer to bridge {}", 100.0 * busy_share(agents), self.bridge_text()),
        ]
    }

    fn bridge_text(&self) -> String {
        match self.bridge_ms {
            Some(ms) => format!("{ms:.1} ms (mean)"),
            None => "-".into(),
        }
    }
}

/// Share of logged-in time off breaks that agents spent in talk, hold and wrap-up.
pub fn busy_share(agents: &Value) -> f64 {
    let (mut busy, mut idle) = (0.0, 0.0);
    for agent in agents["data"].as_array().into_iter().flatten() {
        for (state, ms) in agent["state_ms"].as_object().into_iter().flatten() {
            let ms = ms.as_f64().unwrap_or(0.0);
            match state.as_str() {
                "talking" | "hold" | "wrap_up" => busy += ms,
                "logged_out" | "paused" => {}
                _ => idle += ms,
            }
        }
    }
    if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 }
}
