//! Numbers of connections.

use super::family::Families;
use runtime::stream::StreamCounters;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything the thread of connections counts.
pub fn export(counters: &StreamCounters, families: &mut Families) {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    families.gauge("sip_connections", "Connections that stand.", &[], value(&counters.open) as f64);
    let (open, established) = (value(&counters.open), value(&counters.established));
    let help = "Connections by their state: those that carry messages, and those that are being made or shake hands.";
    for (state, count) in [("established", established), ("connecting", open.saturating_sub(established))] {
        families.gauge("sip_tcp_connections", help, &[("state", state)], count as f64);
    }
    let help = "Connections taken and made.";
    for (direction, counter) in [("in", &counters.accepted), ("out", &counters.connected)] {
        families.counter("sip_connections_total", help, &[("direction", direction)], value(counter));
    }
    let help = "Connections that were refused, failed, or were given up.";
    for (reason, counter) in [
        ("limit", &counters.refused),
        ("connect", &counters.connect_failures),
        ("handshake", &counters.handshake_failures),
        ("stalled", &counters.stalled),
        ("idle", &counters.idle),
    ] {
        families.counter("sip_connection_failures_total", help, &[("reason", reason)], value(counter));
    }
    let help = "Messages over connections.";
    for (direction, counter) in [("in", &counters.messages_received), ("out", &counters.messages_sent)] {
        families.counter("sip_stream_messages_total", help, &[("direction", direction)], value(counter));
    }
    families.counter(
        "events_dropped_total",
        "Facts or orders lost between threads; must stay 0.",
        &[("reason", "to_streams")],
        value(&counters.orders_lost),
    );
}
