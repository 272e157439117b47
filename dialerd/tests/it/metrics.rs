//! The metrics: names and labels as agreed on with those who watch, and that what happens moves them.

use crate::harness::{Place, Setting, block_on, until};
use crate::raw::{self, End, Pair};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One series: its name with all labels, and its value.
type Series = Vec<(String, BTreeMap<String, String>, f64)>;

async fn told(place: &Place) -> Series {
    let (status, text) = place.api().admin("/metrics").await.unwrap();
    assert_eq!(status, 200);
    text.lines().filter(|line| !line.starts_with('#')).map(series).collect()
}

fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let Some((name, labels)) = series.split_once('{') else { return (series.into(), BTreeMap::new(), value) };
    let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
    let labels = pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
    (name.into(), labels.collect(), value)
}

/// The sum of what is told under a name and these labels; `None`: nothing is.
fn value(told: &Series, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |has: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| has.get(*name).is_some_and(|has| has == value))
    };
    let found: Vec<f64> =
        told.iter().filter(|(of, has, _)| of == name && fits(has)).map(|(.., value)| *value).collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

/// Every name that was agreed on, with its labels: documented, with these labels, and told so wherever it is told.
const AGREED: &str = "
build_info{version,commit,rustc} uptime_seconds node_state{state} config_last_reload_success_timestamp_seconds
event_loop_lag_seconds task_panics_total sip_requests_total{direction,method,transport}
sip_responses_total{direction,method,code} sip_transactions_active{kind,method} sip_retransmissions_total{direction,kind}
sip_transaction_timeouts_total{timer} sip_parse_errors_total{reason} sip_dialogs_active sip_dialogs_total{result}
sip_message_bytes sip_socket_receive_drops_total sip_tcp_connections{state} sip_rate_limited_total{reason}
sip_registrations_active trunk_up{trunk} trunk_options_rtt_seconds{trunk} trunk_calls_active{trunk,direction}
trunk_calls_limit{trunk} trunk_cps{trunk} trunk_cps_limit{trunk} trunk_rejects_total{trunk,reason} calls_active{kind}
call_attempts_total{trunk,campaign} call_answers_total{trunk,campaign} call_outcomes_total{campaign,trunk,outcome}
call_setup_seconds call_pdd_seconds call_ring_seconds call_talk_seconds call_ended_by_total{party}
sip_final_codes_total{trunk,code} q850_causes_total{trunk,cause} false_answer_suspected_total{trunk}
short_calls_total{trunk,lt} rtp_sessions_active rtp_packets_total{direction} rtp_bytes_total{direction}
rtp_packets_lost_total{direction,trunk} rtp_jitter_seconds rtp_round_trip_seconds rtp_mos{trunk} rtp_reordered_total
rtp_duplicates_total rtp_one_way_sessions_total rtp_no_media_sessions_total rtp_source_changes_total rtp_ports_in_use
rtp_ports_total rtp_forward_latency_seconds transcoding_sessions_active{from,to} recording_active recording_bytes_total
recording_failures_total{reason} dialer_campaign_state{campaign,state} dialer_pacing_lines_per_agent{campaign}
dialer_dialing{campaign} dialer_target_dialing{campaign} dialer_limited_by{campaign,reason} dialer_hopper_size{campaign}
dialer_leads{campaign,state} dialer_answers_total{campaign,class} dialer_abandoned_total{campaign}
dialer_abandon_ratio{campaign,window,policy} dialer_abandon_budget_remaining{campaign} dialer_answer_to_bridge_seconds
dialer_agent_wait_seconds dialer_predicted_answer_probability{campaign} dialer_pacing_error{campaign}
dialer_decision_seconds dialer_safe_harbor_played_total dialer_opt_out_total amd_decisions_total{result,engine}
amd_decision_seconds amd_overruled_total{from,to} early_media_classified_total{class} caller_id_calls_total{pool}
caller_id_numbers{pool,state} caller_id_blocked_total{pool,code} best_time_explore_total agents{group,state}
agent_state_seconds_total{group,state} agent_offers_total{group,result} agent_reservation_expired_total
agent_stuck_recovered_total http_requests_total{route,method,code} http_request_seconds ws_clients
events_published_total{type} event_stream_lag{consumer} events_dropped_total{reason}
webhook_deliveries_total{endpoint,result} webhook_delivery_seconds webhook_backlog{endpoint} journal_bytes
journal_fsync_seconds import_rows_total{result}";

#[test]
fn names_and_labels_are_those_agreed_on() {
    block_on(async {
        let place = Place::new();
        raw::configure(&place, "relay = \"sockets\"\n");
        let _daemon = place.start().await;
        let setting = Setting::make(&place, 1, 3, json!({ "mode": "predictive" })).await;
        let pair = Pair::up(&place, [0, 8]);
        until("the campaign is paced, and the call is seen", async || {
            let told = told(&place).await;
            value(&told, "dialer_limited_by", &[("campaign", &setting.campaign)]).is_some()
                && value(&told, "transcoding_sessions_active", &[]) == Some(2.0)
        })
        .await;
        pair.hang_up(&place);
        until("the call is counted", async || value(&told(&place).await, "rtp_mos_count", &[]).is_some())
            .await;
        let told = told(&place).await;
        let documents =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md"))
                .unwrap();
        let mut seen = 0;
        for agreed in AGREED.split_whitespace() {
            let (name, labels) = agreed.trim_end_matches('}').split_once('{').unwrap_or((agreed, ""));
            let labels: Vec<&str> = labels.split(',').filter(|label| !label.is_empty()).collect();
            let quoted = documents.split('`').find(|word| word.split('{').next() == Some(name));
            assert!(quoted.is_some(), "{name} is not in docs/OPERATING.md");
            let of_name = |of: &str| {
                of == name
                    || ["_bucket", "_sum", "_count"].iter().any(|end| of.strip_suffix(end) == Some(name))
            };
            for (series, has, _) in told.iter().filter(|(of, ..)| of_name(of)) {
                seen += 1;
                for label in &labels {
                    assert!(has.contains_key(*label), "{series} has no label {label}: {has:?}");
                }
            }
        }
        assert!(seen > 300, "{seen} series");
        let values = |name: &str, label: &str| -> BTreeSet<&str> {
            told.iter().filter(|(of, ..)| of == name).map(|(_, has, _)| has[label].as_str()).collect()
        };
        for (name, label, wanted) in [
            ("dialer_limited_by", "reason", "agents lines cps abandon_cap hopper window paused"),
            ("dialer_abandon_ratio", "window", "24h 30d campaign"),
            ("dialer_leads", "state", "new retry_wait callback dialing done exhausted dnc out_of_window"),
            ("agents", "state", "logged_out ready reserved ringing talking hold wrap_up paused unreachable"),
            ("dialer_answer_to_bridge_seconds_bucket", "le", "0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 +Inf"),
            ("node_state", "state", "ready draining drained"),
            ("trunk_calls_active", "direction", "in out"),
            ("rtp_packets_lost_total", "direction", "in out"),
            ("call_ended_by_total", "party", "customer agent system"),
        ] {
            for wanted in wanted.split(' ') {
                assert!(
                    values(name, label).contains(wanted),
                    "{name}: no {wanted} in {:?}",
                    values(name, label)
                );
            }
        }
        let commit = values("build_info", "commit");
        let rustc = values("build_info", "rustc");
        assert!(
            commit.iter().chain(&rustc).all(|value| !value.is_empty() && *value != "unknown"),
            "{commit:?} {rustc:?}"
        );
    });
}

/// A packet of a receiver's report: so many of 256 packets of this source are lost.
fn report(about: u32, lost_of_256: u8) -> Vec<u8> {
    let mut bytes = vec![0x81, 201, 0, 7];
    for word in [0x2222_0000, about, u32::from(lost_of_256) << 24, 0, 0, 0, 0] {
        bytes.extend(u32::to_be_bytes(word));
    }
    bytes
}

fn ssrc_of(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[8..12].try_into().unwrap())
}

#[test]
fn what_happens_to_packets_moves_their_numbers() {
    block_on(async {
        let place = Place::new();
        raw::configure(&place, "relay = \"sockets\"\n");
        let _daemon = place.start().await;
        let mut pair = Pair::up(&place, [0, 8]);
        let (caller, callee) = (&mut pair.caller, &mut pair.callee);
        let mut last = Vec::new();
        for _ in 0..64 {
            caller.say();
            last = callee.hear();
            callee.say();
            caller.hear();
        }
        // Of eight packets the second comes behind the third, the fifth twice, and the seventh never.
        let packets: Vec<Vec<u8>> = (0..8).map(|_| caller.next()).collect();
        for place in [0, 2, 1, 3, 4, 4, 5, 7] {
            caller.sound.send_to(&packets[place], caller.ours).unwrap();
            callee.hear();
        }
        // The callee says that it has lost a quarter.
        let reports =
            raw::bound(&format!("{}:{}", place.carrier, callee.sound.local_addr().unwrap().port() + 1));
        let mut ours = callee.ours;
        ours.set_port(ours.port() + 1);
        reports.send_to(&report(ssrc_of(&last), 64), ours).unwrap();
        // The caller goes on from another port.
        let moved = raw::bound(&format!("{}:0", place.phones));
        let before = std::mem::replace(&mut caller.sound, moved);
        until("it is heard from there", async || {
            End::take(&callee.sound);
            caller.say();
            value(&told(&place).await, "rtp_source_changes_total", &[]) == Some(1.0)
        })
        .await;
        drop(before);
        until("what is translated is told", async || {
            let told = told(&place).await;
            let between =
                |from, to| value(&told, "transcoding_sessions_active", &[("from", from), ("to", to)]);
            (between("PCMU", "PCMA"), between("PCMA", "PCMU")) == (Some(1.0), Some(1.0))
        })
        .await;
        pair.hang_up(&place);
        until("the call is counted", async || {
            let told = told(&place).await;
            value(&told, "rtp_sessions_active", &[]) == Some(0.0)
                && value(&told, "transcoding_sessions_active", &[]) == Some(0.0)
                && value(&told, "rtp_mos_count", &[]) == Some(2.0)
        })
        .await;
        let told = told(&place).await;
        let is = |name: &str, labels: &[(&str, &str)]| {
            value(&told, name, labels).unwrap_or_else(|| panic!("no {name}"))
        };
        assert_eq!(is("rtp_reordered_total", &[]), 1.0);
        assert_eq!(is("rtp_duplicates_total", &[]), 1.0);
        for (trunk, party) in [("callers", "caller"), ("callees", "customer")] {
            let labels = [("trunk", trunk), ("party", party)];
            assert_eq!(is("rtp_mos_count", &labels), 1.0);
            assert_eq!(is("rtp_jitter_seconds_count", &labels), 1.0);
        }
        let lost =
            |direction, trunk| is("rtp_packets_lost_total", &[("direction", direction), ("trunk", trunk)]);
        // One never came and one came twice; of those from the new place the first were not believed.
        assert!(lost("in", "callers") >= 1.0);
        assert_eq!(lost("in", "callees"), 0.0);
        assert!(lost("out", "callees") >= 16.0, "{}", lost("out", "callees"));
        assert_eq!(lost("out", "callers"), 0.0);
        assert!(is("rtp_bytes_total", &[("direction", "in")]) > 64.0 * 2.0 * 172.0);
        assert!(is("rtp_forward_latency_seconds_count", &[]) >= 8.0);
        assert_eq!(is("rtp_no_media_sessions_total", &[]), 0.0);
        assert_eq!(is("rtp_ports_total", &[]) % 2.0, 0.0);
    });
}

#[test]
fn a_side_that_never_speaks_is_a_session_without_media() {
    block_on(async {
        let place = Place::new();
        raw::configure(&place, "relay = \"sockets\"\n");
        let _daemon = place.start().await;
        let mut pair = Pair::up(&place, [0, 0]);
        until("the caller has waited", async || {
            pair.caller.say();
            End::hear(&pair.callee);
            value(&told(&place).await, "rtp_one_way_sessions_total", &[]) == Some(1.0)
        })
        .await;
        pair.hang_up(&place);
        until("it is counted", async || {
            value(&told(&place).await, "rtp_no_media_sessions_total", &[]) == Some(1.0)
        })
        .await;
    });
}
