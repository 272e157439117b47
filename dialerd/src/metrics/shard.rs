//! Numbers of signalling and media, summed over the shards.

use super::family::{Families, Labels};
use crate::shard_thread::{FORWARD_BOUNDS_US, ShardGauges};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a loop's turns take: what comes in meanwhile waits that long.
pub fn turns(name: &str, turns: &runtime::TurnTimes, families: &mut Families) {
    let labels = [("loop", name)];
    let longest = turns.take_longest_ns() as f64 / 1e9;
    let help = "Longest turn of a loop since the last scrape.";
    families.gauge("event_loop_lag_seconds_max", help, &labels, longest);
    let (counts, sum_ns) = turns.counts();
    let bounds = runtime::TURN_BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
    let help = "Turns of a loop by their length.";
    families.histogram("event_loop_lag_seconds", help, &labels, bounds, &counts, sum_ns as f64 / 1e9);
}

/// Everything the shards show.
pub fn export(shards: &[Arc<ShardGauges>], media_ports: (u16, u16), families: &mut Families) {
    for (number, gauges) in shards.iter().enumerate() {
        let name = format!("shard-{number}");
        turns(&name, &gauges.turns, families);
        families.counter(
            "task_panics_total",
            "Times a shard panicked and began anew; must stay 0.",
            &[("task", &name)],
            gauges.panics.load(Ordering::Relaxed),
        );
    }
    // Facts that never reached the control thread.
    let refused = shards.iter().map(|gauges| gauges.events_refused.load(Ordering::Relaxed)).sum();
    let help = "Facts or orders lost between threads; must stay 0.";
    families.counter("events_dropped_total", help, &[("reason", "to_control")], refused);

    let over = |counter: fn(&ShardGauges) -> &std::sync::atomic::AtomicU64| {
        shards.iter().map(|gauges| counter(gauges).load(Ordering::Relaxed)).sum()
    };
    families.counter(
        "sip_datagrams_handed_over_total",
        "Datagrams that one shard received and another one deals with.",
        &[],
        over(|gauges| &gauges.handed_over),
    );
    families.counter(
        "events_dropped_total",
        help,
        &[("reason", "to_other_shard")],
        over(|gauges| &gauges.hand_over_losses),
    );

    let sip = |counter: fn(&sip_proxy::ua::Counters) -> u64| {
        shards.iter().map(|gauges| gauges.counters.lock().map_or(0, |known| counter(&known.0.sip))).sum()
    };
    families.counter(
        "sip_targets_tried_total",
        "Further hosts of a trunk's name that an INVITE was sent to.",
        &[],
        sip(|counters| counters.targets_tried),
    );
    families.counter(
        "sip_requests_undelivered_total",
        "Requests that did not arrive, as the network said: nobody at the port, no way to the host.",
        &[],
        sip(|counters| counters.requests_undelivered),
    );

    let taken: Vec<_> =
        shards.iter().filter_map(|gauges| gauges.counters.lock().ok().map(|counters| *counters)).collect();
    let sum = |get: &dyn Fn(&engine::ShardCounters, &runtime::GroundCounters) -> u64| -> u64 {
        taken.iter().map(|(shard, ground)| get(shard, ground)).sum()
    };
    signalling(families, &sum);
    media(families, &sum, media_ports);
    translated(shards, families);
    let mut forwarded = ([0; FORWARD_BOUNDS_US.len() + 1], 0);
    for gauges in shards {
        let (counts, sum_ns) = gauges.forwarded.counts();
        forwarded.0.iter_mut().zip(counts).for_each(|(all, one)| *all += one);
        forwarded.1 += sum_ns;
    }
    let bounds = FORWARD_BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
    let help = "One in 16 packets that went through the sockets: from the look at the clock after which it was read \
                until the kernel had it.";
    let (counts, sum_ns) = forwarded;
    families.histogram("rtp_forward_latency_seconds", help, &[], bounds, &counts, sum_ns as f64 / 1e9);
}

/// Directions of calls whose sides speak different codecs.
fn translated(shards: &[Arc<ShardGauges>], families: &mut Families) {
    let taken: Vec<_> = shards.iter().filter_map(|gauges| gauges.translated.lock().ok()).collect();
    for ((from, to), count) in taken.iter().flat_map(|translated| translated.iter()) {
        let help = "Directions of calls whose sound is turned from one codec into another now.";
        let labels = [("from", *from), ("to", *to)];
        families.gauge("transcoding_sessions_active", help, &labels, *count as f64);
    }
}

/// Name, help, labels, value.
type Counter<'a> = (&'static str, &'static str, Labels<'a>, u64);

type Sum<'a> = dyn Fn(&dyn Fn(&engine::ShardCounters, &runtime::GroundCounters) -> u64) -> u64 + 'a;

fn signalling(families: &mut Families, sum: &Sum<'_>) {
    let counters: [Counter<'_>; 30] = [
        (
            "sip_datagrams_total",
            "Datagrams.",
            &[("direction", "in")],
            sum(&|_, ground| ground.signalling_received),
        ),
        (
            "sip_datagrams_total",
            "Datagrams.",
            &[("direction", "out")],
            sum(&|_, ground| ground.signalling_sent),
        ),
        (
            "sip_responses_stray_total",
            "Responses that match nothing.",
            &[],
            sum(&|shard, _| shard.sip.responses_stray),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "unknown_source")],
            sum(&|shard, _| shard.sip.refused_unknown),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "busy")],
            sum(&|shard, _| shard.sip.refused_busy),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "slowed")],
            sum(&|shard, _| shard.sip.slowed),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "denied")],
            sum(&|shard, _| shard.sip.unheard.denied),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "banned")],
            sum(&|shard, _| shard.sip.unheard.banned),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "source")],
            sum(&|shard, _| shard.sip.unheard.source),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "strangers")],
            sum(&|shard, _| shard.sip.unheard.strangers),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "scanner")],
            sum(&|shard, _| shard.sip.scanners),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "dialogs")],
            sum(&|shard, _| shard.sip.crowded),
        ),
        (
            "sip_rate_limited_total",
            "Requests refused cheaply.",
            &[("reason", "overload")],
            sum(&|shard, _| shard.sip.shed),
        ),
        (
            "sip_requests_withheld_total",
            "New calls not sent to a target that had asked for less (RFC 7339).",
            &[],
            sum(&|shard, _| shard.sip.withheld),
        ),
        (
            "sip_overload_feedback_total",
            "Times a target began to ask for less, or asked for another share (RFC 7339).",
            &[],
            sum(&|shard, _| shard.sip.overload_heard),
        ),
        ("sip_bans_total", "Times a source was banned.", &[], sum(&|shard, _| shard.sip.bans)),
        ("sip_challenges_total", "Passwords asked for.", &[], sum(&|shard, _| shard.sip.challenges_sent)),
        (
            "sip_nonces_stale_total",
            "Right passwords with a nonce too old or used before.",
            &[],
            sum(&|shard, _| shard.sip.nonces_stale),
        ),
        ("sip_auth_failures_total", "Wrong passwords.", &[], sum(&|shard, _| shard.sip.auth_failures)),
        (
            "sip_socket_receive_drops_total",
            "Datagrams lost because a listener's buffer was full.",
            &[],
            sum(&|_, ground| ground.signalling_receive_drops),
        ),
        (
            "sip_send_failures_total",
            "Datagrams the kernel refused to send.",
            &[],
            sum(&|_, ground| ground.signalling_send_failures),
        ),
        ("transit_calls_total", "Transit calls carried on.", &[], sum(&|shard, _| shard.transits_started)),
        (
            "transit_calls_rerouted_total",
            "Times a transit call went to the next trunk of its route, because the one before did not take it.",
            &[],
            sum(&|shard, _| shard.transits_rerouted),
        ),
        (
            "dialled_calls_rerouted_total",
            "Times a dialled call went to the next trunk of its campaign, because the one before did not take it.",
            &[],
            sum(&|shard, _| shard.dials_rerouted),
        ),
        (
            "transit_refused_total",
            "Transit calls refused.",
            &[("reason", "route")],
            sum(&|shard, _| shard.transits_refused_route),
        ),
        (
            "transit_refused_total",
            "Transit calls refused.",
            &[("reason", "busy")],
            sum(&|shard, _| shard.transits_refused_busy),
        ),
        (
            "agent_calls_refused_total",
            "Calls and transfers of agents' phones refused.",
            &[("reason", "destination")],
            sum(&|shard, _| shard.agent_calls_refused_destination),
        ),
        (
            "agent_calls_refused_total",
            "Calls and transfers of agents' phones refused.",
            &[("reason", "limit")],
            sum(&|shard, _| shard.agent_calls_refused_limit),
        ),
        (
            "agent_calls_refused_total",
            "Calls and transfers of agents' phones refused.",
            &[("reason", "dnc")],
            sum(&|shard, _| shard.agent_calls_refused_dnc),
        ),
        (
            "calls_transferred_total",
            "Customers that agents have given to someone else.",
            &[],
            sum(&|shard, _| shard.calls_transferred),
        ),
    ];
    for (name, help, labels, value) in counters {
        families.counter(name, help, labels, value);
    }
    let dialogs = sum(&|shard, _| shard.sip.legs.saturating_sub(shard.sip.legs_ended));
    families.gauge("sip_dialogs_active", "Legs alive.", &[], dialogs as f64);
    let help = "Live calls.";
    families.gauge("calls_active", help, &[("kind", "transit")], sum(&|shard, _| shard.transits_live) as f64);
    let sessions = sum(&|shard, _| shard.sessions_live);
    families.gauge("agent_sessions_active", "Nailed-up agent legs.", &[], sessions as f64);
}

fn media(families: &mut Families, sum: &Sum<'_>, media_ports: (u16, u16)) {
    families.gauge(
        "rtp_sessions_active",
        "Streams open.",
        &[],
        sum(&|shard, _| shard.media.streams_open) as f64,
    );
    families.gauge(
        "forks_active",
        "Calls whose sound goes to someone outside.",
        &[],
        sum(&|shard, _| shard.media.forks_active) as f64,
    );
    let in_use = 2 * sum(&|shard, _| shard.media.port_pairs_in_use);
    families.gauge("rtp_ports_in_use", "Media ports in use.", &[], in_use as f64);
    let total = u32::from(media_ports.1 - media_ports.0) + 1;
    families.gauge("rtp_ports_total", "Media ports in all.", &[], f64::from(total));
    let open = sum(&|shard, _| shard.recordings_open);
    families.gauge("recording_active", "Recordings not complete yet.", &[], open as f64);
    let counters: [Counter<'_>; 31] = [
        (
            "media_relay_kernel_packets_total",
            "RTP packets relayed in the kernel; they are counted in rtp_packets_total too.",
            &[],
            sum(&|shard, _| shard.media.offloaded_rtp),
        ),
        (
            "rtp_packets_total",
            "RTP and RTCP packets.",
            &[("direction", "in")],
            sum(&|shard, _| shard.media.packets_in),
        ),
        (
            "rtp_packets_total",
            "RTP and RTCP packets.",
            &[("direction", "out")],
            sum(&|shard, _| shard.media.packets_out),
        ),
        ("rtp_bytes_total", "Bytes of those.", &[("direction", "in")], sum(&|shard, _| shard.media.bytes_in)),
        (
            "rtp_bytes_total",
            "Bytes of those.",
            &[("direction", "out")],
            sum(&|shard, _| shard.media.bytes_out),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "malformed")],
            sum(&|shard, _| shard.media.dropped_malformed),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "foreign_source")],
            sum(&|shard, _| shard.media.dropped_foreign_source),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "payload_type")],
            sum(&|shard, _| shard.media.dropped_payload_type),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "srtp_malformed")],
            sum(&|shard, _| shard.media.dropped_srtp_malformed),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "srtp_replayed")],
            sum(&|shard, _| shard.media.dropped_srtp_replayed),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "srtp_forged")],
            sum(&|shard, _| shard.media.dropped_srtp_forged),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "srtp_early")],
            sum(&|shard, _| shard.media.dropped_srtp_early),
        ),
        (
            "rtp_dropped_total",
            "Packets not taken.",
            &[("reason", "stun")],
            sum(&|shard, _| shard.media.dropped_checks),
        ),
        (
            "dtls_handshakes_total",
            "Handshakes with browsers.",
            &[("result", "done")],
            sum(&|shard, _| shard.media.dtls_done),
        ),
        (
            "dtls_handshakes_total",
            "Handshakes with browsers.",
            &[("result", "failed")],
            sum(&|shard, _| shard.media.dtls_failed),
        ),
        (
            "srtp_packets_total",
            "Encrypted RTP and RTCP packets.",
            &[("direction", "in")],
            sum(&|shard, _| shard.media.srtp_in),
        ),
        (
            "srtp_packets_total",
            "Encrypted RTP and RTCP packets.",
            &[("direction", "out")],
            sum(&|shard, _| shard.media.srtp_out),
        ),
        (
            "rtp_transcoded_packets_total",
            "Packets whose sound was turned from one law of G.711 into the other, or decoded from another codec.",
            &[],
            sum(&|shard, _| shard.media.transcoded),
        ),
        (
            "rtp_recovered_packets_total",
            "Lost packets of Opus that were heard from what the packet after them says.",
            &[],
            sum(&|shard, _| shard.media.recovered),
        ),
        (
            "mixed_frames_total",
            "Frames of 20 ms summed from several far ends (supervision, three-way, conference).",
            &[],
            sum(&|shard, _| shard.media.frames_mixed),
        ),
        (
            "rtp_source_changes_total",
            "Times a far end's sound began to come from another address than before.",
            &[],
            sum(&|shard, _| shard.media.address_changes),
        ),
        (
            "rtp_speaker_changes_total",
            "Times someone else began to speak into a stream (peer, prompt, new SSRC); numbers and times go on.",
            &[],
            sum(&|shard, _| shard.media.source_changes),
        ),
        (
            "rtp_reordered_total",
            "RTP packets that came behind one with a higher number.",
            &[],
            sum(&|shard, _| shard.media.reordered),
        ),
        (
            "rtp_duplicates_total",
            "RTP packets that had come before.",
            &[],
            sum(&|shard, _| shard.media.duplicates),
        ),
        (
            "rtp_no_media_sessions_total",
            "Streams closed that were joined for 3 s or more, should have heard something, and never did.",
            &[],
            sum(&|shard, _| shard.media.no_media),
        ),
        (
            "rtp_media_timeouts_total",
            "Times a far end that should send was not heard for `media.timeout_s`.",
            &[],
            sum(&|shard, _| shard.media.media_timeouts),
        ),
        (
            "rtp_one_way_sessions_total",
            "Times one side of a joined call fell silent while the other was sending.",
            &[],
            sum(&|shard, _| shard.media.audio_one_way),
        ),
        ("rtp_dtmf_digits_total", "Digits heard.", &[], sum(&|shard, _| shard.media.dtmf_digits)),
        ("forks_total", "Forks begun.", &[], sum(&|shard, _| shard.media.forks_started)),
        (
            "fork_samples_refused_total",
            "Samples from outside for which there was no room.",
            &[],
            sum(&|shard, _| shard.media.fork_samples_refused),
        ),
        ("recordings_total", "Recordings begun.", &[], sum(&|shard, _| shard.recordings_started)),
    ];
    for (at, reason) in engine::RECORDING_FAILURES.iter().enumerate() {
        let count = sum(&|shard, _| shard.recordings_failed[at]);
        let help = "Recordings lost, or cut off by the disk.";
        families.counter("recording_failures_total", help, &[("reason", reason)], count);
    }
    for (name, help, labels, value) in counters {
        families.counter(name, help, labels, value);
    }
}
