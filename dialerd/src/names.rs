//! Names of trunks, looked up for the shards.

use crate::shard_thread::ShardOrder;
use runtime::dns::{Dns, DnsAnswer, DnsRecord, RecordKind};
use runtime::mailbox;
use sip_proxy::transport::locate::{Answer, Naptr, Question, Srv};
use std::time::Duration;

/// Asks; the answer comes as an order to the shard.
pub fn ask(dns: Option<&Dns>, shard: mailbox::Sender<ShardOrder>, question: Question) {
    let Some(dns) = dns else {
        // Its own ring: there is room, or the shard is beyond help anyway.
        let _ = shard.try_send(ShardOrder::Located(question, Answer::Failed, Duration::ZERO));
        return;
    };
    let (name, kind) = match &question {
        Question::Naptr(name) => (name.clone(), RecordKind::Naptr),
        Question::Srv(name) => (name.clone(), RecordKind::Srv),
        Question::A(name) => (name.clone(), RecordKind::A),
        Question::Aaaa(name) => (name.clone(), RecordKind::Aaaa),
    };
    dns.ask(name, kind, move |found| async move {
        let (answer, ttl) = read(kind, found);
        let _ = shard.send(ShardOrder::Located(question, answer, ttl)).await;
    });
}

fn read(kind: RecordKind, found: DnsAnswer) -> (Answer, Duration) {
    let DnsAnswer::Records(records, ttl) = found else { return (Answer::Failed, Duration::ZERO) };
    let answer = match kind {
        RecordKind::Naptr => Answer::Naptr(records.into_iter().filter_map(naptr).collect()),
        RecordKind::Srv => Answer::Srv(records.into_iter().filter_map(srv).collect()),
        RecordKind::A | RecordKind::Aaaa => {
            let address = |record| match record {
                DnsRecord::Address(ip) => Some(ip),
                _ => None,
            };
            Answer::Addresses(records.into_iter().filter_map(address).collect())
        }
    };
    (answer, ttl)
}

fn naptr(record: DnsRecord) -> Option<Naptr> {
    match record {
        DnsRecord::Naptr(order, preference, flags, service, replacement) => {
            Some(Naptr { order, preference, flags, service, replacement })
        }
        _ => None,
    }
}

fn srv(record: DnsRecord) -> Option<Srv> {
    match record {
        DnsRecord::Srv(priority, weight, port, target) => Some(Srv { priority, weight, port, target }),
        _ => None,
    }
}
