//! `ctl why CAMPAIGN`: what the campaign does, what limits it, and the numbers behind that, in plain words.

use super::client::{Client, Refusal, escape};
use serde_json::Value;
use std::fmt::Write;

/// Asks for the diagnosis and puts it into words.
pub async fn ask(client: &Client, wanted: &str, json: bool) -> Result<String, Refusal> {
    let campaign = client.campaign(wanted).await?;
    let id = campaign["id"].as_str().unwrap_or(wanted);
    let diagnosis = client.get(&format!("/v1/campaigns/{}/diagnostics", escape(id))).await?;
    if json {
        return Ok(serde_json::to_string_pretty(&diagnosis).unwrap_or_default());
    }
    let pacing = client.get(&format!("/v1/campaigns/{}/pacing?limit=1", escape(id))).await?;
    Ok(words(&campaign, &diagnosis, &pacing))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("?")
}

fn number(value: &Value, pointer: &str) -> f64 {
    let number = value.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    // What is nothing but a rounding error is told as nothing.
    if number.abs() < 1e-9 { 0.0 } else { number }
}

fn words(campaign: &Value, diagnosis: &Value, pacing: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!(
        "{} ({}): {}, {} mode",
        text(campaign, "/name"),
        text(campaign, "/id"),
        text(diagnosis, "/state"),
        text(campaign, "/mode")
    ));
    line(format!("{} [{}]", text(diagnosis, "/summary"), text(diagnosis, "/limited_by")));
    line(String::new());
    let of = |pointer: &str| number(diagnosis, pointer);
    line(format!(
        "agents     {} logged in: {} ready, {} reserved or rung, {} talking, {} in wrap-up, {} on a break, {} \
         without a phone in reach",
        of("/agents/logged_in"),
        of("/agents/ready"),
        of("/agents/ringing"),
        of("/agents/talking"),
        of("/agents/wrap_up"),
        of("/agents/paused"),
        of("/agents/unreachable")
    ));
    line(format!(
        "lines      {} of {} of the campaign in use; trunks: {} of {} up, {} of {} channels in use",
        of("/lines_in_use"),
        of("/lines_max"),
        of("/trunks/up"),
        of("/trunks/total"),
        of("/trunks/calls_active"),
        of("/trunks/channels_max")
    ));
    let due = diagnosis.pointer("/leads/next_due").and_then(Value::as_str);
    line(format!(
        "leads      {}: {} due now ({} in the hopper), {} wait for their next try{}, {} being dialled, {} done, {} \
         without attempts left, {} not to be called, {} expired",
        of("/leads/total"),
        of("/leads/due"),
        of("/leads/hopper"),
        of("/leads/retry_wait"),
        due.map(|at| format!(" (the first at {at})")).unwrap_or_default(),
        of("/leads/dialing"),
        of("/leads/done"),
        of("/leads/exhausted") + of("/leads/attempts_spent"),
        of("/leads/dnc"),
        of("/leads/expired")
    ));
    let open = diagnosis["within_calling_hours"].as_bool().unwrap_or(true);
    line(format!("hours      {}", if open { "open" } else { "closed: outside the calling hours" }));
    line(format!(
        "abandoned  {} of {} live answers in {}: {:.2} %; aimed at {:.2} %, never over {:.2} %",
        of("/abandonment/abandoned"),
        of("/abandonment/live"),
        text(diagnosis, "/abandonment/window"),
        100.0 * of("/abandonment/rate"),
        100.0 * of("/abandonment/target"),
        100.0 * of("/abandonment/cap")
    ));
    decision_words(diagnosis, &mut line);
    pacing_words(pacing, &mut line);
    out
}

/// The last decision, if there was one.
fn decision_words(diagnosis: &Value, line: &mut impl FnMut(String)) {
    let Some(decision) = diagnosis.get("decision").filter(|decision| decision.is_object()) else {
        line("decision   none yet".into());
        return;
    };
    let of = |pointer: &str| number(decision, pointer);
    line(format!(
        "decision   at {}: {} in flight ({} dialled now), {} wanted, {:.2} per agent",
        text(decision, "/at"),
        of("/dialing"),
        of("/dialled_now"),
        of("/target"),
        of("/lines_per_agent")
    ));
    if decision["small_team"] == true {
        line(format!("           in {} mode, because the team is small", text(decision, "/mode")));
    }
    line(format!(
        "room       {} lines free, {} calls may start this moment, {} leads ready, {} inbound calls go first{}",
        of("/limits/lines_free"),
        of("/limits/cps_allowance"),
        of("/limits/hopper"),
        of("/limits/inbound_waiting"),
        match decision.pointer("/limits/shift_left_s").and_then(Value::as_u64) {
            Some(seconds) => format!("; the calling hours end in {} min", seconds / 60),
            None => String::new(),
        }
    ));
    if text(decision, "/mode") != "predictive" {
        return;
    }
    line(format!(
        "forecast   in {:.0} s: {:.2} answers against {:.2} free agents; a dial is answered with probability {:.2} ± {:.2}",
        of("/horizon_s"),
        of("/forecast_answers"),
        of("/forecast_free_agents"),
        of("/p_answer"),
        of("/p_answer_sd")
    ));
    line(format!(
        "risk       the next call would find no agent with probability {:.4}; {:.4} is allowed now; {:.1} more calls may \
         be abandoned",
        of("/risk_next"),
        of("/risk_limit"),
        of("/abandon/budget_remaining")
    ));
}

/// What was learned, and whether the forecasts came true.
fn pacing_words(pacing: &Value, line: &mut impl FnMut(String)) {
    let of = |pointer: &str| number(pacing, pointer);
    if of("/learned/answers_seen") > 0.0 {
        line(format!(
            "learned    from {} answers: {:.0} s to an answer (90 % within {:.0} s), talk {:.0} s, wrap-up {:.0} s",
            of("/learned/answers_seen"),
            of("/learned/answer_time_s/p50"),
            of("/learned/answer_time_s/p90"),
            of("/learned/talk_s"),
            of("/learned/wrap_up_s")
        ));
    }
    if of("/accuracy/looks") > 0.0 {
        line(format!(
            "came true  forecast {:.1} answers, came {}; forecast {:.1} agents free, came {}; forecast {:.1} abandoned, \
             came {}",
            of("/accuracy/answers_forecast"),
            of("/accuracy/answers_seen"),
            of("/accuracy/freed_forecast"),
            of("/accuracy/freed_seen"),
            of("/accuracy/abandons_forecast"),
            of("/accuracy/abandons_seen")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_campaign_without_a_decision_is_told_too() {
        let campaign = json!({ "id": "camp_1", "name": "renewals", "mode": "predictive" });
        let diagnosis = json!({ "state": "paused", "limited_by": "paused", "summary": "It is paused.",
            "leads": { "total": 5, "retry_wait": 2, "next_due": "2026-10-01T02:03:04.000Z" },
            "within_calling_hours": false, "decision": null });
        let told = words(&campaign, &diagnosis, &json!({}));
        let wanted = [
            "renewals (camp_1): paused, predictive mode",
            "It is paused. [paused]",
            "closed",
            "2 wait for their next try (the first at 2026-10-01T02:03:04.000Z)",
            "decision   none yet",
        ];
        for wanted in wanted {
            assert!(told.contains(wanted), "{wanted:?} is missing:\n{told}");
        }
    }
}
