//! Names of trunks, looked up for the shards.

use crate::shard_thread::ShardOrder;
use runtime::dns::{Dns, DnsAnswer, DnsRecord, RecordKind};
use runtime::mailbox;
use sip_proxy::transport::locate::{Answer, Naptr, Question, Srv};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Looks names up for all shards together: what several ask for is asked once, and what one is told all are told.
#[derive(Clone)]
pub struct Names {
    dns: Option<Dns>,
    shards: Vec<mailbox::Sender<ShardOrder>>,
    /// Questions that wait for their answers.
    asked: Arc<Mutex<HashSet<Question>>>,
}

impl Names {
    /// * `dns` who can be asked; `None` when the system does not say
    /// * `shards` all, by number
    pub fn new(dns: Option<Dns>, shards: Vec<mailbox::Sender<ShardOrder>>) -> Self {
        Names { dns, shards, asked: Arc::default() }
    }

    /// Asks for a shard; the answer comes as an order to all shards.
    pub fn ask(&self, shard: u16, question: Question) {
        let Some(dns) = &self.dns else {
            // Its own ring: there is room, or the shard is beyond help anyway.
            let order = ShardOrder::Located(question, Answer::Failed, Duration::ZERO);
            let _ = self.shards[usize::from(shard)].try_send(order);
            return;
        };
        if !self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(question.clone()) {
            return;
        }
        let (name, kind) = match &question {
            Question::Naptr(name) => (name.clone(), RecordKind::Naptr),
            Question::Srv(name) => (name.clone(), RecordKind::Srv),
            Question::A(name) => (name.clone(), RecordKind::A),
            Question::Aaaa(name) => (name.clone(), RecordKind::Aaaa),
        };
        let names = self.clone();
        dns.ask(name, kind, move |found| async move {
            let (answer, ttl) = read(kind, found);
            // Whoever asks from now on asks anew: it may have been told already.
            names.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&question);
            for shard in names.shards {
                let order = ShardOrder::Located(question.clone(), answer.clone(), ttl);
                // Nobody waits because another shard has no room yet; one that has stopped needs no answer.
                tokio::spawn(async move { shard.send(order).await });
            }
        });
    }
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
