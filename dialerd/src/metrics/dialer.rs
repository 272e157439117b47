//! Numbers of the call centre: campaigns, agents, outcomes, trunks.

use super::family::Families;
use control_api::ReadModel;
use dialer_core::caller_id::NumberUse;
use dialer_core::counters::{
    AMD_VERDICTS, Counters, EARLY_MEDIA_CLASSES, Histogram, INBOUND_STEPS, PARTIES, QUARANTINE_REASONS, RULES,
};
use dialer_core::outcome::{Outcome, Party};
use dialer_core::view::{AgentState, CampaignView, LimitedBy, PacingReport};
use dialer_core::{CampaignId, TrunkId};
use std::collections::{BTreeMap, BTreeSet};

/// What is told in two places under one name.
pub const ABANDON_RATIO_HELP: &str = "Abandoned among live answers in the window.";

/// The label that all other campaigns share: numbers of theirs are added up.
const OTHER: &str = "__other__";

/// Labels of campaigns; few, whatever is configured.
pub struct CampaignNames {
    own: BTreeSet<CampaignId>,
}

impl CampaignNames {
    /// These have a label of their own.
    pub fn of(ids: Vec<CampaignId>) -> Self {
        CampaignNames { own: ids.into_iter().collect() }
    }

    /// It does not share its label.
    pub fn has_own(&self, campaign: CampaignId) -> bool {
        self.own.contains(&campaign)
    }

    pub fn name(&self, campaign: Option<CampaignId>) -> String {
        match campaign {
            Some(id) if self.own.contains(&id) => id.to_string(),
            Some(_) => OTHER.into(),
            None => "none".into(),
        }
    }
}

fn trunk_name(read_model: &ReadModel, trunk: Option<TrunkId>) -> String {
    match trunk {
        Some(id) => {
            read_model.trunk(id).map_or_else(|| "__deleted__".into(), |view| view.row.config.name.clone())
        }
        None => "none".into(),
    }
}

fn histogram(families: &mut Families, name: &'static str, help: &'static str, values: &Histogram) {
    families.histogram(name, help, &[], values.bounds.iter().copied(), &values.buckets, values.sum);
}

/// How long decisions took.
pub fn export_decisions(times: &Histogram, families: &mut Families) {
    let help = "Time of a pacing decision, with what it caused at once.";
    histogram(families, "dialer_decision_seconds", help, times);
}

/// What has been counted since the start.
pub fn export_counters(
    counters: &Counters,
    campaigns: &CampaignNames,
    read_model: &ReadModel,
    families: &mut Families,
) {
    export_paths(counters, campaigns, read_model, families);
    for (campaign, counts) in &counters.campaigns {
        let campaign = campaigns.name(Some(*campaign));
        for (class, count) in [
            ("human", counts.answers_human),
            ("machine", counts.answers_machine),
            ("fax", counts.answers_fax),
            ("screening", counts.answers_screening),
            ("unknown", counts.answers_unsure),
        ] {
            families.counter(
                "dialer_answers_total",
                "Answers by what answered, as detection said; one whose verdict is revised counts in both.",
                &[("campaign", &campaign), ("class", class)],
                count,
            );
        }
        families.counter(
            "dialer_abandoned_total",
            "Live answers without an agent in time.",
            &[("campaign", &campaign)],
            counts.abandoned,
        );
        families.counter(
            "dialer_opt_out_total",
            "People who asked by a key, while a message was played, not to be called again.",
            &[("campaign", &campaign)],
            counts.opt_outs,
        );
        families.counter(
            "dialer_leads_expired_total",
            "Leads whose time passed before they were reached.",
            &[("campaign", &campaign)],
            counts.leads_expired,
        );
    }
    export_trunk_counters(counters, read_model, families);
    export_inbound(counters, read_model, families);
    for (group, counts) in &counters.groups {
        for (result, count) in [
            ("answered", counts.offers_answered),
            ("no_answer", counts.offers_no_answer),
            ("rejected", counts.offers_rejected),
            ("failed", counts.offers_failed),
            ("answered_elsewhere", counts.offers_taken_elsewhere),
        ] {
            let labels = [("group", group.as_str()), ("result", result)];
            families.counter("agent_offers_total", "Calls offered to agents.", &labels, count);
        }
        for (change, count) in [("lost", counts.phones_lost), ("back", counts.phones_back)] {
            let labels = [("group", group.as_str()), ("change", change)];
            let help = "Agents' phones that did not answer OPTIONS any more, and that did so again.";
            families.counter("agent_phone_changes_total", help, &labels, count);
        }
        for (state, ms) in AgentState::ALL.iter().zip(counts.state_ms) {
            let labels = [("group", group.as_str()), ("state", state.as_str())];
            let help = "Time agents spent in each state, as far as the states have ended.";
            families.counter_f64("agent_state_seconds_total", help, &labels, ms as f64 / 1000.0);
        }
    }
    for (party, count) in PARTIES.iter().zip(counters.ended_by) {
        families.counter("call_ended_by_total", "Who ended calls.", &[("party", party.as_str())], count);
    }
    for (class, count) in EARLY_MEDIA_CLASSES.iter().zip(counters.early_media) {
        let help = "What was heard before the answer.";
        families.counter("early_media_classified_total", help, &[("class", class)], count);
    }
    for (verdict, count) in AMD_VERDICTS.iter().zip(counters.amd) {
        let labels = [("result", *verdict), ("engine", "cadence")];
        families.counter(
            "amd_decisions_total",
            "Machine-detection verdicts, revised ones too.",
            &labels,
            count,
        );
    }
    export_sound(counters, read_model, families);
    export_caller_ids(counters, read_model, families);
    for (rule, count) in RULES.iter().zip(counters.rule_hits) {
        let help = "Leads and calls that a rule of compliance kept from being dialled at the last moment.";
        families.counter("dialer_compliance_blocks_total", help, &[("rule", rule)], count);
    }
    let help = "Calls made although a rule of compliance forbids them.";
    families.counter("dialer_compliance_overrides_total", help, &[], counters.overrides);
    let help = "Callbacks that fell due.";
    families.counter("dialer_callbacks_due_total", help, &[], counters.callbacks_due);
    for (from, row) in AMD_VERDICTS.iter().zip(counters.amd_overruled) {
        for (to, count) in AMD_VERDICTS.iter().zip(row).filter(|(to, _)| *to != from && *to != &"unsure") {
            let help = "Verdicts of machine detection that agents have corrected in their dispositions.";
            families.counter("amd_overruled_total", help, &[("from", from), ("to", to)], count);
        }
    }
    let help = "Calls dialled in an hour that is expected to be worse for the lead than others: to learn of it, or \
                because the lead has waited.";
    families.counter("best_time_explore_total", help, &[], counters.best_time_explored);
    let help = "Agents set free from a call whose end was never told; must stay 0.";
    families.counter("agent_stuck_recovered_total", help, &[], counters.agents_unstuck);
    let help = "Bytes of complete recordings.";
    families.counter("recording_bytes_total", help, &[], counters.recording_bytes);
    histogram(families, "call_setup_seconds", "INVITE to answer.", &counters.setup);
    histogram(families, "call_pdd_seconds", "INVITE to first ringing.", &counters.pdd);
    histogram(families, "call_ring_seconds", "First ringing to answer or end.", &counters.ring);
    histogram(families, "call_talk_seconds", "Bridge to end.", &counters.talk);
    let help = "Customer's answer to the bridge with an agent.";
    histogram(families, "dialer_answer_to_bridge_seconds", help, &counters.answer_to_bridge);
    let help = "Time an agent was ready before the next call was offered.";
    histogram(families, "dialer_agent_wait_seconds", help, &counters.agent_wait);
    histogram(families, "amd_decision_seconds", "Answer to verdict.", &counters.amd_decision);
    let help = "Safe-harbour messages played to their end.";
    families.counter("dialer_safe_harbor_played_total", help, &[], counters.safe_harbour_played);
    let help = "Messages of agentless campaigns played to their end.";
    families.counter("dialer_messages_played_total", help, &[], counters.messages_played);
    let help = "Messages left on machines, to their end.";
    families.counter("dialer_messages_left_total", help, &[], counters.messages_left);
    let help =
        "Messages of agentless campaigns, and those to be left, whose prompt does not exist; must stay 0.";
    families.counter("dialer_messages_missing_total", help, &[], counters.messages_missing);
    let help = "Reservations that ran out while the agent's phone rang.";
    families.counter("agent_reservation_expired_total", help, &[], counters.reservations_expired);
    let help = "Calls taken as over because their end was never told; must stay 0.";
    families.counter("calls_forced_over_total", help, &[], counters.calls_forced_over);
    families.counter("dialer_decisions_total", "Pacing decisions.", &[], counters.decisions);
}

/// Pools of caller IDs, by name: names are unique.
fn export_caller_ids(counters: &Counters, read_model: &ReadModel, families: &mut Families) {
    for (pool, counts) in &counters.caller_ids {
        let Some(view) = read_model.caller_id_pool(*pool) else { continue };
        let pool = view.row.config.name.as_str();
        let help = "Calls that showed a number of the pool.";
        families.counter("caller_id_calls_total", help, &[("pool", pool)], counts.calls);
        for (code, count) in &counts.blocked {
            let labels = [("pool", pool), ("code", &*code.to_string())];
            families.counter("caller_id_blocked_total", "Of these blocked by analytics.", &labels, *count);
        }
        for (reason, count) in QUARANTINE_REASONS.iter().zip(counts.quarantines) {
            let help = "Numbers put into quarantine.";
            let labels = [("pool", pool), ("reason", *reason)];
            families.counter("caller_id_quarantines_total", help, &labels, count);
        }
    }
}

/// How legs sounded.
fn export_sound(counters: &Counters, read_model: &ReadModel, families: &mut Families) {
    for ((trunk, party), sound) in &counters.sound {
        let (trunk, party) = (trunk_name(read_model, *trunk), PARTIES[*party].as_str());
        let labels = [("trunk", trunk.as_str()), ("party", party)];
        for (name, help, values) in [
            ("rtp_mos", "Mean opinion score of what came from a leg (E-model).", &sound.mos),
            ("rtp_packet_loss_ratio", "Share of a leg's packets that did not come.", &sound.loss),
            ("rtp_jitter_seconds", "Interarrival jitter of a leg.", &sound.jitter),
            ("rtp_round_trip_seconds", "Round trip to a leg, where it reports by RTCP.", &sound.rtt),
        ] {
            let bounds = values.bounds.iter().copied();
            families.histogram(name, help, &labels, bounds, &values.buckets, values.sum);
        }
        for (direction, count) in [("in", sound.lost_in), ("out", sound.lost_out)] {
            let labels = [("direction", direction), labels[0], labels[1]];
            let help =
                "Packets of legs that have ended that did not come; out: as their far ends reported (RTCP).";
            families.counter("rtp_packets_lost_total", help, &labels, count);
        }
    }
    for (party, leg) in PARTIES.iter().zip(&counters.legs) {
        // The others have no legs.
        if !matches!(party, Party::Customer | Party::Agent | Party::Caller) {
            continue;
        }
        let party = party.as_str();
        for (kind, count) in [("no_packets", leg.no_packets), ("no_sound", leg.no_sound)] {
            let help = "Times a joined side sent nothing, or nothing but silence.";
            families.counter("call_audio_lost_total", help, &[("party", party), ("kind", kind)], count);
        }
    }
}

fn export_paths(
    counters: &Counters,
    campaigns: &CampaignNames,
    read_model: &ReadModel,
    families: &mut Families,
) {
    for ((campaign, trunk), path) in &counters.paths {
        let (campaign, trunk) = (campaigns.name(*campaign), trunk_name(read_model, *trunk));
        let labels = [("campaign", campaign.as_str()), ("trunk", trunk.as_str())];
        let help = "Calls dialled, counted for each trunk that they were dialled over.";
        families.counter("call_attempts_total", help, &labels, path.attempts);
        let help = "Calls answered by anyone or anything.";
        families.counter("call_answers_total", help, &labels, path.answers);
        for (outcome, count) in Outcome::ALL.iter().zip(path.outcomes).filter(|(_, count)| *count > 0) {
            let labels = [labels[0], labels[1], ("outcome", outcome.as_str())];
            families.counter("call_outcomes_total", "Calls ended, by outcome.", &labels, count);
        }
    }
}

/// Calls that came in on our own numbers.
fn export_inbound(counters: &Counters, read_model: &ReadModel, families: &mut Families) {
    for (route, counts) in &counters.inbound {
        let name =
            read_model.inbound_route(*route).map_or_else(|| route.to_string(), |row| row.config.name.clone());
        let route = ("route", name.as_str());
        let help = "Calls that came in on numbers of ours.";
        families.counter("inbound_calls_total", help, &[route], counts.arrived);
        for (step, count) in INBOUND_STEPS.iter().zip(counts.connected) {
            let help = "Callers who were joined to an agent, by the step that brought them there.";
            families.counter("inbound_connected_total", help, &[route, ("step", step)], count);
        }
        let help = "Callers whom no agent has answered.";
        families.counter("inbound_unanswered_total", help, &[route], counts.unanswered);
    }
    let help = "Inbound calls that were not taken: draining, no room, records cannot be written.";
    families.counter("inbound_refused_total", help, &[], counters.inbound_refused);
    let help = "Time from our answer until a caller was joined to an agent.";
    let wait = &counters.inbound_wait;
    let bounds = wait.bounds.iter().copied();
    families.histogram("inbound_wait_seconds", help, &[], bounds, &wait.buckets, wait.sum);
}

fn export_trunk_counters(counters: &Counters, read_model: &ReadModel, families: &mut Families) {
    for (trunk, counts) in &counters.trunks {
        let name = trunk_name(read_model, Some(*trunk));
        for (code, count) in &counts.final_codes {
            let labels = [("trunk", name.as_str()), ("code", &code.to_string())];
            families.counter("sip_final_codes_total", "Final codes of customer legs.", &labels, *count);
        }
        for (cause, count) in &counts.q850 {
            let labels = [("trunk", name.as_str()), ("cause", &cause.to_string())];
            families.counter("q850_causes_total", "Q.850 causes told by trunks.", &labels, *count);
        }
        for (reason, count) in [
            ("capacity", counts.rejects_capacity),
            ("cps", counts.rejects_cps),
            ("down", counts.rejects_down),
        ] {
            let labels = [("trunk", name.as_str()), ("reason", reason)];
            families.counter("trunk_rejects_total", "Dials a trunk could not take.", &labels, count);
        }
        let help =
            "Answers that may be the carrier's own and nobody's: at once, unannounced, and then silent.";
        let labels = [("trunk", name.as_str())];
        families.counter("false_answer_suspected_total", help, &labels, counts.false_answers);
        let labels = [("trunk", name.as_str()), ("lt", "6s")];
        families.counter(
            "short_calls_total",
            "Answered calls shorter than six seconds.",
            &labels,
            counts.short_calls,
        );
    }
}

/// What is now.
pub fn export_views(read_model: &ReadModel, campaigns: &CampaignNames, families: &mut Families) {
    for trunk in read_model.trunks() {
        let labels = [("trunk", trunk.row.config.name.as_str())];
        families.gauge("trunk_up", "1 while the trunk answers.", &labels, f64::from(trunk.up));
        let limit = f64::from(trunk.row.config.channels_max);
        families.gauge(
            "trunk_overload_loss_ratio",
            "Share of new calls the trunk has asked not to be sent (RFC 7339).",
            &labels,
            f64::from(trunk.overload_loss_percent) / 100.0,
        );
        families.gauge("trunk_calls_limit", "Most calls at once.", &labels, limit);
        families.gauge("trunk_cps_limit", "Most new calls per second.", &labels, trunk.row.config.cps_max);
        if let Some(rtt) = trunk.options_rtt_ms {
            families.gauge(
                "trunk_options_rtt_seconds",
                "Round trip of the last ping.",
                &labels,
                rtt / 1000.0,
            );
        }
        if let Some(registered) = trunk.registered {
            families.gauge("trunk_registered", "1 while we are registered.", &labels, f64::from(registered));
        }
    }
    export_campaigns(read_model, campaigns, families);
    for pool in read_model.caller_id_pools() {
        for state in [NumberUse::Active, NumberUse::Cooling, NumberUse::Quarantined] {
            let labels = [("pool", pool.row.config.name.as_str()), ("state", state.as_str())];
            let count = pool.numbers.iter().filter(|number| number.state == state).count();
            families.gauge("caller_id_numbers", "Numbers of the pool.", &labels, count as f64);
        }
    }
    let mut by_group: BTreeMap<(String, AgentState), u32> = BTreeMap::new();
    for agent in read_model.agents() {
        let group = agent.row.config.groups.first().cloned().unwrap_or_default();
        for state in AgentState::ALL {
            *by_group.entry((group.clone(), state)).or_default() += u32::from(agent.state == state);
        }
    }
    for ((group, state), count) in &by_group {
        let labels = [("group", group.as_str()), ("state", state.as_str())];
        families.gauge("agents", "Agents by state.", &labels, f64::from(*count));
    }
    families.gauge("calls_active", "Live calls.", &[("kind", "dialled")], read_model.dialled_len() as f64);
}

fn export_campaigns(read_model: &ReadModel, campaigns: &CampaignNames, families: &mut Families) {
    for view in read_model.campaigns() {
        let name = campaigns.name(Some(view.row.id));
        let labels = [("campaign", name.as_str())];
        for state in ["stopped", "running", "paused"] {
            let labels = [("campaign", name.as_str()), ("state", state)];
            let on = f64::from(view.state().as_str() == state);
            families.gauge("dialer_campaign_state", "1 for the state it is in.", &labels, on);
        }
        families.gauge("dialer_hopper_size", "Leads ready to dial.", &labels, f64::from(view.hopper));
        families.gauge("dialer_dialing", "Calls ringing.", &labels, f64::from(view.dialing));
        families.gauge(
            "dialer_waiting",
            "Answered calls without an agent yet.",
            &labels,
            f64::from(view.waiting),
        );
        let Some(report) = &view.pacing else { continue };
        let help = "Dials in flight the last decision wanted.";
        families.gauge("dialer_target_dialing", help, &labels, f64::from(report.target));
        for reason in LimitedBy::ALL {
            let labels = [("campaign", name.as_str()), ("reason", reason.as_str())];
            let on = f64::from(report.limited_by == reason);
            families.gauge("dialer_limited_by", "What limited the last decision (1 the one).", &labels, on);
        }
        // Sums of these would say nothing.
        if name != OTHER {
            export_pacing(&view, report, &name, families);
        }
    }
}

/// A campaign's last decision.
fn export_pacing(view: &CampaignView, report: &PacingReport, name: &str, families: &mut Families) {
    let labels = [("campaign", name)];
    let detail = &report.detail;
    let help = "In flight per agent who is ready or about to be.";
    families.gauge("dialer_pacing_lines_per_agent", help, &labels, report.lines_per_agent);
    let help = "Believed probability that a dial is answered.";
    families.gauge("dialer_predicted_answer_probability", help, &labels, report.answer_probability);
    let policy = view.row.config.pacing.policy.as_str();
    let counts = [("24h", detail.day), ("30d", detail.month), ("month", detail.calendar_month)];
    for (window, (live, abandoned)) in counts {
        let labels = [("campaign", name), ("window", window), ("policy", policy)];
        let rate = if live == 0 { 0.0 } else { abandoned as f64 / live as f64 };
        families.gauge("dialer_abandon_ratio", ABANDON_RATIO_HELP, &labels, rate);
    }
    let help = "The greatest allowed abandoned ÷ live in the campaign's window.";
    families.gauge("dialer_abandon_cap", help, &labels, view.row.config.pacing.abandon_cap);
    let help = "Abandonments the budget still bears.";
    families.gauge("dialer_abandon_budget_remaining", help, &labels, report.budget_remaining);
    let help = "Live answers forecast within the horizon.";
    families.gauge("dialer_forecast_answers", help, &labels, report.forecast_answers);
    let help = "Free agents forecast within the horizon.";
    families.gauge("dialer_forecast_free_agents", help, &labels, report.forecast_free_agents);
    let help =
        "Forecast answers less answers that came, within the horizon, smoothed over about ten looks ahead.";
    families.gauge("dialer_pacing_error", help, &labels, detail.accuracy.error_lately);
    let help = "Abandonments that the calls answered so far were forecast to bring.";
    let forecast = detail.accuracy.abandons_forecast;
    families.counter_f64("dialer_forecast_abandons_total", help, &labels, forecast);
    let help = "Greatest risk of finding no agent that a dial could run in the last decision.";
    families.gauge("dialer_risk_limit", help, &labels, detail.risk_limit);
}
