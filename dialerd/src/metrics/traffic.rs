//! Messages, transactions, registrations: what OPERATIONS calls SIP, summed over the shards.

use super::family::Families;
use crate::shard_thread::ShardGauges;
use sip_proxy::ua::Counters;
use sip_proxy::{SIZE_BOUNDS, Traffic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that has more labels than a plain counter.
pub fn export(shards: &[Arc<ShardGauges>], families: &mut Families) {
    let traffic: Vec<Traffic> = shards
        .iter()
        .filter_map(|gauges| gauges.traffic.lock().ok().map(|traffic| traffic.clone()))
        .collect();
    messages(&traffic, families);
    let counters: Vec<Counters> =
        shards.iter().filter_map(|gauges| gauges.counters.lock().ok().map(|both| both.0.sip)).collect();
    let sum = |get: &dyn Fn(&Counters) -> u64| -> u64 { counters.iter().map(get).sum() };
    repeated_and_late(&sum, families);
    let mut transactions = BTreeMap::new();
    for one in &traffic {
        for (side, method, count) in one.transactions() {
            *transactions.entry((side.as_str(), name(method.as_str()))).or_insert(0) += count;
        }
    }
    for ((kind, method), count) in &transactions {
        let labels = [("kind", *kind), ("method", method)];
        families.gauge("sip_transactions_active", "Transactions alive.", &labels, f64::from(*count));
    }
    let contacts: usize =
        shards.iter().filter_map(|gauges| gauges.audit.lock().ok().map(|audit| audit.contacts)).sum();
    families.gauge("sip_registrations_active", "Contacts of phones.", &[], contacts as f64);
}

fn messages(traffic: &[Traffic], families: &mut Families) {
    let mut requests = BTreeMap::new();
    let mut responses = BTreeMap::new();
    let mut malformed = BTreeMap::new();
    let (mut sizes, mut bytes) = (vec![0_u64; SIZE_BOUNDS.len() + 1], 0);
    for one in traffic {
        for (direction, transport, method, count) in one.requests() {
            let key = (direction.as_str(), transport.as_str().to_ascii_lowercase(), name(method.as_str()));
            *requests.entry(key).or_insert(0) += count;
        }
        for (direction, method, code, count) in one.responses() {
            *responses.entry((direction.as_str(), name(method.as_str()), code)).or_insert(0) +=
                u64::from(count);
        }
        for (reason, count) in one.malformed_by_reason() {
            *malformed.entry(reason).or_insert(0) += count;
        }
        let (by_size, sum) = one.sizes();
        sizes.iter_mut().zip(by_size).for_each(|(all, one)| *all += one);
        bytes += sum;
    }
    for ((direction, transport, method), count) in &requests {
        let labels = [("direction", *direction), ("method", method), ("transport", transport)];
        families.counter("sip_requests_total", "Requests, repeated ones included.", &labels, *count);
    }
    for ((direction, method, code), count) in &responses {
        let code = code.to_string();
        let labels = [("direction", *direction), ("method", method), ("code", &code)];
        families.counter("sip_responses_total", "Responses, repeated ones included.", &labels, *count);
    }
    for (reason, count) in &malformed {
        let labels = [("reason", *reason)];
        families.counter("sip_parse_errors_total", "Malformed messages.", &labels, *count);
    }
    let bounds = SIZE_BOUNDS.iter().map(|bound| f64::from(*bound));
    families.histogram("sip_message_bytes", "Size of messages.", &[], bounds, &sizes, bytes as f64);
}

fn name(method: &str) -> &str {
    if method.is_empty() { "OTHER" } else { method }
}

type Sum<'a> = dyn Fn(&dyn Fn(&Counters) -> u64) -> u64 + 'a;

fn repeated_and_late(sum: &Sum<'_>, families: &mut Families) {
    let received = sum(&|sip| sip.retransmissions_received);
    let sent = sum(&|sip| sip.retransmissions_sent);
    let (requests_in, responses_out) =
        (sum(&|sip| sip.requests_repeated), sum(&|sip| sip.responses_repeated));
    for (direction, kind, count) in [
        ("in", "request", requests_in),
        ("in", "response", received.saturating_sub(requests_in)),
        ("out", "request", sent.saturating_sub(responses_out)),
        ("out", "response", responses_out),
    ] {
        let labels = [("direction", direction), ("kind", kind)];
        families.counter("sip_retransmissions_total", "Repeated messages.", &labels, count);
    }
    let (all, invite, ack) =
        (sum(&|sip| sip.timeouts), sum(&|sip| sip.timeouts_invite), sum(&|sip| sip.timeouts_ack));
    for (timer, count) in [("B", invite), ("F", all.saturating_sub(invite + ack)), ("H", ack)] {
        let help = "Nobody answered an INVITE (B), another request (F), or acknowledged a response (H).";
        families.counter("sip_transaction_timeouts_total", help, &[("timer", timer)], count);
    }
    let (ended, answered) = (sum(&|sip| sip.legs_ended), sum(&|sip| sip.legs_answered));
    for (result, count) in [("answered", answered), ("failed", ended.saturating_sub(answered))] {
        families.counter("sip_dialogs_total", "Legs ended, both ways.", &[("result", result)], count);
    }
}
