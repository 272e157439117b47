//! SIP as seen on the wire: each request of the daemon is held against what it had been told by then.

use super::{Book, Findings};
use crate::signalling::caller::{BYPASS, RELAY};
use crate::signalling::sip::{self, GIVE_UP_MS};
use dialer_core::CallId;
use sansio::Instant;
use sip_proxy::wire::{HeaderName, Message, Method};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A dialog made by a 2xx.
#[derive(Debug, Default)]
struct Dialog {
    route: Vec<String>,
    target: String,
    bye: Option<String>,
    bye_answered: bool,
    hung_up_by_peer: bool,
    cseq: u32,
    /// Number of the INVITE that made it.
    invite_cseq: u32,
    /// The answer came when the daemon need not have listened any more.
    optional: bool,
}

impl Dialog {
    fn is_over(&self) -> bool {
        self.bye.is_some() || self.hung_up_by_peer
    }
}

/// One INVITE transaction of the daemon.
#[derive(Debug, Default)]
struct Transaction {
    /// Which peer it went to.
    host: usize,
    sent_at: Instant,
    provisional_at: Option<Instant>,
    /// A provisional response came when the transaction had been given up.
    heard_late: bool,
    /// More than 100 came.
    rings: bool,
    /// The network has said that nobody is there.
    refused_at: Option<Instant>,
    final_at: Option<(Instant, u16)>,
}

/// A host that has said nothing for so long may be given up for the next one (`target_time_max` of the worlds' user agents).
const SILENT_MIN: sansio::Duration = sansio::Duration::from_secs(4);

/// A call whose INVITE found nobody has gone elsewhere, or is over, after so long: the next host of a name waits for its turn in
/// the trunk's calls per second, and the end of a call for the disk.
const GONE_MAX: sansio::Duration = sansio::Duration::from_secs(20);

/// A leg that the daemon began.
#[derive(Debug)]
struct Outgoing {
    life: u32,
    peer: usize,
    by_stream: bool,
    number: String,
    call: Option<CallId>,
    /// The core holds its call to be over.
    over: bool,
    /// Its call goes on over another trunk.
    moved: bool,
    /// Takes a channel of its trunk.
    open: bool,
    branch: String,
    cseq: u32,
    transactions: BTreeMap<String, Transaction>,
    ringing_at: Option<Instant>,
    cancelled_at: Option<Instant>,
    dialogs: BTreeMap<String, Dialog>,
}

impl Outgoing {
    /// The peer has said something: a leg given up before that was never there.
    /// A leg of a call that passes through, of which the core says nothing: the INVITE, or the CANCEL, was never
    /// responded to (RFC 3261 §17.1.1.2, §9.1).
    fn is_given_up(&self, now: Instant) -> bool {
        let long_ago = |at: Instant| now.millis_since(at) + 500 >= GIVE_UP_MS;
        let sent_at = self.transactions.get(&self.branch).map(|transaction| transaction.sent_at);
        let unheard = !self.is_heard() && sent_at.is_some_and(long_ago);
        self.call.is_none() && (unheard || self.cancelled_at.is_some_and(long_ago))
    }

    /// The trunk has said that it has no room, could not be reached, or was silent for long: another one may get the call.
    fn was_not_taken(&self, now: Instant) -> bool {
        self.transactions.get(&self.branch).is_some_and(|last| match last.final_at {
            Some((_, status)) => status == 503 && !last.rings,
            None => {
                let gone = last.refused_at.is_some() || self.by_stream;
                !last.rings && (gone || now.since(last.sent_at) >= SILENT_MIN)
            }
        })
    }

    fn is_heard(&self) -> bool {
        let heard = |t: &Transaction| t.provisional_at.is_some() || t.final_at.is_some();
        self.transactions.get(&self.branch).is_some_and(heard)
    }
}

/// A re-INVITE of the daemon.
#[derive(Debug)]
struct Change {
    call_id: String,
    cseq: u32,
    sent_at: Instant,
    /// A final response came.
    ended: bool,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Road {
    /// To whom.
    pub(crate) peer: usize,
    /// Over a connection, on which nothing is repeated that was sent after this.
    pub(crate) once_since: Option<Instant>,
}

/// What the daemon owes an answer for within the turn.
#[derive(Debug)]
enum Owed {
    AckToAnswer { call_id: String, tag: String },
    AckToRefusal { branch: String, why: String },
    Response { branch: String, method: String },
}

/// A trunk's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrunkLimits {
    pub(crate) channels_max: u32,
    pub(crate) cps_max: f64,
}

/// Two INVITEs may come closer together on the wire than they left the control core, by what a ring takes.
const RING_MS: u64 = 3;

/// The watcher at the wire.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Counts the daemon's lives: a crash or a shard's restart begins a new one.
    life: u32,
    legs: BTreeMap<String, Outgoing>,
    trunks: BTreeMap<usize, (TrunkLimits, VecDeque<Instant>)>,
    /// Which trunk a host that stands under its name belongs to.
    hosts: BTreeMap<usize, usize>,
    /// Calls that go on over another trunk, by the number that is called there.
    moving: BTreeMap<String, CallId>,
    /// Re-INVITEs by branch.
    changes: BTreeMap<String, Change>,
    /// Call-IDs of dialogs in which a BYE was seen.
    byes: BTreeSet<String>,
    owed: Vec<Owed>,
    pub(crate) invites: u64,
    pub(crate) cancels: u64,
    pub(crate) messages: u64,
}

impl Wire {
    /// The peer is a trunk with these limits.
    pub(crate) fn add_trunk(&mut self, peer: usize, limits: TrunkLimits) {
        self.trunks.insert(peer, (limits, VecDeque::new()));
    }

    /// These hosts stand under the name of one trunk.
    pub(crate) fn add_hosts(&mut self, trunk: usize, hosts: &[usize]) {
        self.hosts.extend(hosts.iter().map(|host| (*host, trunk)));
    }

    /// The daemon, or its shard, lost its memory.
    pub(crate) fn reborn(&mut self) {
        self.life += 1;
        self.owed.clear();
        self.changes.clear();
        self.moving.clear();
        for leg in self.legs.values_mut() {
            leg.open = false;
        }
    }

    /// A message leaves the daemon for a peer.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        road: Road,
        message: &Message,
        book: &mut Book,
        found: &mut Findings,
    ) {
        self.messages += 1;
        let branch = sip::branch(message);
        if !message.is_request() {
            let method = sip::text(message.method_text());
            self.owed.retain(|owed| {
                !matches!(owed, Owed::Response { branch: b, method: m } if *b == branch && *m == method)
            });
            return;
        }
        match message.method() {
            Method::Invite if message.to_tag().is_none() => {
                self.invite(now, road, &branch, message, book, found);
            }
            Method::Ack => self.ack(now, &branch, message, found),
            Method::Cancel => self.cancel(now, &branch, message, book, found),
            _ if message.to_tag().is_some() => self.in_dialog(now, &branch, message, found),
            _ => {}
        }
    }

    fn invite(
        &mut self,
        now: Instant,
        road: Road,
        branch: &str,
        message: &Message,
        book: &mut Book,
        found: &mut Findings,
    ) {
        let host = road.peer;
        let peer = self.hosts.get(&host).copied().unwrap_or(host);
        let call_id = sip::header(message, HeaderName::CallId);
        let life = self.life;
        if let Some(leg) = self.legs.get_mut(&call_id) {
            if let Some(transaction) = leg.transactions.get(branch) {
                if transaction.refused_at.is_some() {
                    found.add(now, "an INVITE that found nobody is not repeated", call_id);
                } else if transaction.provisional_at.is_some() || transaction.final_at.is_some() {
                    found.add(now, "an INVITE is not repeated once it was responded to", call_id);
                } else if road.once_since.is_some_and(|broken| broken < transaction.sent_at) {
                    found.add(now, "nothing is repeated over a connection", call_id);
                }
                return;
            }
            // The same INVITE once more, with credentials; or to the next host of a name (RFC 3263 §4.3), when the
            // one before was silent or said 503.
            let last = leg.transactions.get(&leg.branch);
            let before = last.and_then(|transaction| transaction.final_at);
            let cancelled_at = leg.cancelled_at;
            let elsewhere = last.is_some_and(|last| {
                // Given up as silent, and ringing after all: cancelled, while the next host waits for its turn in the
                // trunk's calls per second. Its answer may cross the CANCEL, and is hung up.
                let given_up = matches!(before, None | Some((_, 200 | 487)))
                    && cancelled_at.is_some_and(|at| at.since(last.sent_at) >= SILENT_MIN);
                let failed =
                    matches!(before, Some((_, 503))) || (before.is_none() && !last.rings) || given_up;
                last.host != host && self.hosts.contains_key(&host) && failed
            });
            leg.cancelled_at = cancelled_at.filter(|_| !elsewhere);
            let challenged = matches!(before, Some((_, 401 | 407)));
            if !(challenged || elsewhere) || message.cseq().0 <= leg.cseq {
                found.add(
                    now,
                    "a second INVITE follows only a challenge",
                    format!("{call_id} after {before:?}"),
                );
            }
            leg.branch = branch.to_owned();
            leg.cseq = message.cseq().0;
            let transaction = Transaction { host, sent_at: now, ..Transaction::default() };
            leg.transactions.insert(branch.to_owned(), transaction);
            return;
        }
        self.invites += 1;
        let uri = sip::text(message.request_uri());
        let number = sip::user_of(&uri).to_owned();
        let mut call = None;
        let moved = self.moving.remove(&number).filter(|_| self.trunks.contains_key(&peer));
        if let Some((limits, recent)) = self.trunks.get_mut(&peer) {
            // A call that passes through is nobody's attempt.
            if ![BYPASS, RELAY].iter().any(|prefix| number.starts_with(prefix)) {
                call = moved.or_else(|| book.dialled(now, &number, found));
            }
            while recent.front().is_some_and(|at| now.millis_since(*at) + RING_MS >= 1000) {
                recent.pop_front();
            }
            recent.push_back(now);
            if recent.len() as f64 > limits.cps_max.max(1.0) {
                let detail = format!("{} INVITEs within a second, {} allowed", recent.len(), limits.cps_max);
                found.add(now, "calls per second of a trunk", detail);
            }
            let open = |leg: &&Outgoing| leg.open && leg.peer == peer && !leg.is_given_up(now);
            let open = self.legs.values().filter(open).count();
            if open >= limits.channels_max as usize {
                let detail = format!("{} at once, {} allowed", open + 1, limits.channels_max);
                found.add(now, "channels of a trunk", detail);
            }
        } else if let Some((other, _)) = self.legs.iter().find(|(_, leg)| {
            leg.open && leg.peer == peer && leg.life == life && leg.cancelled_at.is_none() && leg.is_heard()
        }) {
            found.add(now, "a phone has one leg at a time", format!("{call_id} while there is {other}"));
        }
        let mut transactions = BTreeMap::new();
        transactions.insert(branch.to_owned(), Transaction { host, sent_at: now, ..Transaction::default() });
        let leg = Outgoing {
            life,
            peer,
            by_stream: road.once_since.is_some(),
            number,
            call,
            over: false,
            moved: false,
            open: true,
            branch: branch.to_owned(),
            cseq: message.cseq().0,
            transactions,
            ringing_at: None,
            cancelled_at: None,
            dialogs: BTreeMap::new(),
        };
        self.legs.insert(call_id, leg);
    }

    /// The daemon says that a call goes on over another trunk: the one before must not have taken it. (Of one that it could
    /// not be sent to nothing was seen.)
    pub(crate) fn moves(&mut self, now: Instant, call: CallId, found: &mut Findings) {
        let life = self.life;
        let is_it = |leg: &&mut Outgoing| leg.call == Some(call) && leg.life == life && !leg.moved;
        let Some(leg) = self.legs.values_mut().find(is_it) else { return };
        if !leg.was_not_taken(now) {
            found.add(now, "a trunk keeps the call that it has taken", format!("{call}"));
        }
        (leg.moved, leg.open) = (true, false);
        self.moving.insert(leg.number.clone(), call);
    }

    /// The network has told the daemon that a message found nobody.
    pub(crate) fn refused(&mut self, now: Instant, message: &Message) {
        if !message.is_request() || message.method() != Method::Invite {
            return;
        }
        let leg = self.legs.get_mut(&sip::header(message, HeaderName::CallId));
        let life = self.life;
        let leg = leg.filter(|leg| leg.life == life);
        if let Some(transaction) = leg.and_then(|leg| leg.transactions.get_mut(&sip::branch(message)))
            && transaction.provisional_at.is_none()
            && transaction.final_at.is_none()
        {
            transaction.refused_at.get_or_insert(now);
        }
    }

    /// Who is called where nobody is gets the next host or trunk, or is not called at all: nobody waits for it.
    pub(crate) fn check_refused(&self, now: Instant, found: &mut Findings) {
        for (call_id, leg) in self.legs.iter().filter(|(_, leg)| leg.life == self.life) {
            let last = leg.transactions.get(&leg.branch).and_then(|last| last.refused_at);
            let waits = last.is_some_and(|at| now.since(at) >= GONE_MAX);
            if waits && leg.call.is_some() && leg.open && !leg.over && !leg.moved {
                found.add(now, "nobody waits for a place that is closed", call_id.clone());
            }
        }
    }

    fn ack(&mut self, now: Instant, branch: &str, message: &Message, found: &mut Findings) {
        let call_id = sip::header(message, HeaderName::CallId);
        let tag = sip::text(message.to_tag().unwrap_or_default());
        if self.changes.contains_key(branch) {
            self.owed.retain(|owed| !matches!(owed, Owed::AckToRefusal { branch: b, .. } if b == branch));
            return;
        }
        let cseq = message.cseq().0;
        let changes = self.changes.values();
        let of_change = changes.filter(|change| change.call_id == call_id).any(|change| change.cseq == cseq);
        let Some(leg) = self.legs.get(&call_id) else {
            self.owed.retain(|owed| !matches!(owed, Owed::AckToAnswer { call_id: c, .. } if *c == call_id));
            if !of_change {
                found.add(now, "an ACK belongs to an INVITE", call_id);
            }
            return;
        };
        if leg.transactions.contains_key(branch) {
            self.owed.retain(|owed| !matches!(owed, Owed::AckToRefusal { branch: b, .. } if b == branch));
            return;
        }
        let Some(dialog) = leg.dialogs.get(&tag) else {
            return found.add(now, "an ACK belongs to an answer", format!("{call_id} tag {tag}"));
        };
        check_route(now, message, dialog, found);
        if cseq != dialog.invite_cseq && !of_change {
            found.add(now, "an ACK has the number of its INVITE", call_id.clone());
        }
        self.owed.retain(
            |owed| !matches!(owed, Owed::AckToAnswer { call_id: c, tag: t } if *c == call_id && *t == tag),
        );
    }

    fn cancel(&mut self, now: Instant, branch: &str, message: &Message, book: &Book, found: &mut Findings) {
        let call_id = sip::header(message, HeaderName::CallId);
        let Some(leg) = self.legs.get_mut(&call_id) else {
            return found.add(now, "a CANCEL belongs to an INVITE", call_id);
        };
        let Some(transaction) = leg.transactions.get(branch) else {
            return found.add(now, "a CANCEL has the branch of its INVITE", call_id);
        };
        // RFC 3261 §9.1: not before a provisional response, and not after a final one.
        if transaction.provisional_at.is_none() && !transaction.heard_late {
            found.add(now, "a CANCEL waits for a provisional response", call_id.clone());
        }
        // A host that was given up for the next one, and rings all the same.
        if leg.cancelled_at.is_some() || branch != leg.branch {
            return;
        }
        if let Some((_, status)) = transaction.final_at {
            found.add(now, "no CANCEL after a final response", format!("{call_id} after {status}"));
        }
        leg.cancelled_at = Some(now);
        self.cancels += 1;
        if let (Some(call), Some(ringing)) = (leg.call, leg.ringing_at) {
            book.cancelled(now, call, ringing, found);
        }
    }

    fn in_dialog(&mut self, now: Instant, branch: &str, message: &Message, found: &mut Findings) {
        let call_id = sip::header(message, HeaderName::CallId);
        let tag = sip::text(message.to_tag().unwrap_or_default());
        let method = sip::text(message.method_text());
        let cseq = message.cseq().0;
        match message.method() {
            Method::Invite => {
                let change = || Change { call_id: call_id.clone(), cseq, sent_at: now, ended: false };
                self.changes.entry(branch.to_owned()).or_insert_with(change);
            }
            Method::Bye => drop(self.byes.insert(call_id.clone())),
            _ => {}
        }
        let Some(leg) = self.legs.get_mut(&call_id) else { return };
        let Some(dialog) = leg.dialogs.get_mut(&tag) else {
            return found.add(
                now,
                "a request in a dialog that is there",
                format!("{method} {call_id} tag {tag}"),
            );
        };
        if dialog.bye.as_deref() == Some(branch) {
            if dialog.bye_answered {
                found.add(now, "a BYE is not repeated once it was answered", call_id);
            }
            return;
        }
        if dialog.is_over() {
            found.add(now, "nothing is sent on an ended dialog", format!("{method} {call_id} tag {tag}"));
        }
        if cseq < dialog.cseq || (cseq == dialog.cseq && message.method() == Method::Bye) {
            found.add(now, "numbers rise within a dialog", format!("{method} {call_id} {cseq}"));
        }
        dialog.cseq = cseq;
        check_route(now, message, dialog, found);
        if message.method() == Method::Bye {
            dialog.bye = Some(branch.to_owned());
            // A twin of a forked answer is hung up without freeing the leg.
            leg.open = leg.open && leg.dialogs.values().any(|dialog| !dialog.is_over());
        }
    }

    /// A message is about to reach the daemon.
    pub(crate) fn arrives(&mut self, now: Instant, message: &Message, over_stream: bool) {
        self.owed.clear();
        if message.is_request() {
            self.request_arrives(message);
            return;
        }
        let call_id = sip::header(message, HeaderName::CallId);
        let branch = sip::branch(message);
        let life = self.life;
        if let Some(change) = self.changes.get_mut(&branch) {
            if message.status() < 200 || message.cseq().1 != Method::Invite {
                return;
            }
            let again = std::mem::replace(&mut change.ended, true);
            let late = now.millis_since(change.sent_at) >= GIVE_UP_MS - 500;
            let copy = over_stream && again && message.status() >= 300;
            if !(late || copy || self.byes.contains(&call_id)) {
                let tag = sip::text(message.to_tag().unwrap_or_default());
                self.owed.push(match message.status() {
                    ..300 => Owed::AckToAnswer { call_id, tag },
                    status => Owed::AckToRefusal { branch, why: format!("{status} in {call_id}") },
                });
            }
            return;
        }
        let Some(leg) = self.legs.get_mut(&call_id).filter(|leg| leg.life == life) else { return };
        let tag = sip::text(message.to_tag().unwrap_or_default());
        match message.cseq().1 {
            Method::Invite => {}
            Method::Bye => {
                if let Some(dialog) = leg.dialogs.get_mut(&tag)
                    && message.status() >= 200
                {
                    dialog.bye_answered = true;
                }
                return;
            }
            _ => return,
        }
        let Some(transaction) = leg.transactions.get_mut(&branch) else { return };
        let status = message.status();
        // What comes after the transaction was given up, or long after its end, may go unheard.
        let unheard = transaction.provisional_at.is_none()
            && transaction.final_at.is_none()
            && now.millis_since(transaction.sent_at) >= GIVE_UP_MS;
        if status < 200 && unheard {
            transaction.heard_late = true;
            return;
        }
        if status < 200 {
            transaction.provisional_at.get_or_insert(now);
            if status > 100 {
                transaction.rings = true;
                leg.ringing_at.get_or_insert(now);
            }
            return;
        }
        let late = |at: Option<Instant>| at.is_some_and(|at| now.millis_since(at) >= GIVE_UP_MS - 500);
        let optional = unheard || late(transaction.final_at.map(|(at, _)| at)) || late(leg.cancelled_at);
        let before = transaction.final_at.map(|(_, status)| status);
        transaction.final_at.get_or_insert((now, status));
        match (status, before) {
            // What contradicts an earlier final response belongs to nobody.
            (..300, Some(300..)) | (300.., Some(..300)) => {}
            (..300, _) => {
                let dialog = || Dialog { optional, ..dialog_of(message) };
                leg.dialogs.entry(tag.clone()).or_insert_with(dialog);
                if !optional {
                    self.owed.push(Owed::AckToAnswer { call_id, tag });
                }
            }
            (300.., _) => {
                leg.open = leg.open && matches!(status, 401 | 407);
                // RFC 3261 §17.1.1.2: Timer D is nothing over a connection, so a copy finds nobody.
                if !(optional || over_stream && before.is_some()) {
                    self.owed.push(Owed::AckToRefusal { branch, why: format!("{status} of {call_id}") });
                }
            }
        }
    }

    fn request_arrives(&mut self, message: &Message) {
        let call_id = sip::header(message, HeaderName::CallId);
        let tag = sip::text(message.from_tag().unwrap_or_default());
        if message.method() == Method::Bye {
            self.byes.insert(call_id.clone());
            if let Some(leg) = self.legs.get_mut(&call_id)
                && let Some(dialog) = leg.dialogs.get_mut(&tag)
            {
                dialog.hung_up_by_peer = true;
                leg.open = leg.open && leg.dialogs.values().any(|dialog| !dialog.is_over());
            } else if let Some(leg) = self.legs.get_mut(&call_id) {
                // It came before the 200 did: the early dialog is over, and with it the ringing.
                leg.ringing_at = None;
            }
            let branch = sip::branch(message);
            self.owed.push(Owed::Response { branch, method: "BYE".into() });
        }
    }

    /// The daemon has done all it does about the message that arrived last.
    pub(crate) fn turn_over(&mut self, now: Instant, found: &mut Findings) {
        for owed in self.owed.drain(..) {
            let (rule, detail) = match owed {
                Owed::AckToAnswer { call_id, tag } => {
                    ("every 2xx gets an ACK", format!("{call_id} tag {tag}"))
                }
                Owed::AckToRefusal { branch, why } => {
                    ("every final refusal gets an ACK", format!("{branch}: {why}"))
                }
                Owed::Response { branch, method } => ("every BYE is answered", format!("{method} {branch}")),
            };
            found.add(now, rule, detail);
        }
    }

    /// The core counts the call as over.
    pub(crate) fn call_over(&mut self, call: CallId) {
        for leg in self.legs.values_mut().filter(|leg| leg.call == Some(call)) {
            (leg.open, leg.over) = (false, true);
        }
    }

    /// Nothing moves any more: every leg of this life must have come to its end.
    pub(crate) fn at_rest(&self, now: Instant, found: &mut Findings) {
        for (call_id, leg) in self.legs.iter().filter(|(_, leg)| leg.life == self.life) {
            if let Some((tag, _)) =
                leg.dialogs.iter().find(|(_, dialog)| !dialog.is_over() && !dialog.optional)
            {
                found.add(now, "every answered leg is hung up", format!("{call_id} tag {tag}"));
            }
            let last = leg.transactions.get(&leg.branch);
            let ended = last.is_some_and(|last| last.final_at.is_some() || last.provisional_at.is_none());
            if !ended && leg.cancelled_at.is_none() {
                found.add(now, "every INVITE comes to an end", format!("{call_id} {last:?}"));
            }
        }
    }
}

/// RFC 3261 §12.1.2: the route set is the Record-Route of the answer, in reverse; the target its Contact.
fn dialog_of(answer: &Message) -> Dialog {
    let mut route: Vec<String> =
        answer.values(HeaderName::RecordRoute).map(|value| sip::uri_in(&sip::text(value))).collect();
    route.reverse();
    let target = sip::uri_in(&sip::header(answer, HeaderName::Contact));
    let cseq = answer.cseq().0;
    Dialog { route, target, cseq, invite_cseq: cseq, ..Dialog::default() }
}

fn check_route(now: Instant, message: &Message, dialog: &Dialog, found: &mut Findings) {
    let route: Vec<String> =
        message.values(HeaderName::Route).map(|value| sip::uri_in(&sip::text(value))).collect();
    let uri = sip::text(message.request_uri());
    if route != dialog.route || uri != dialog.target {
        let detail = format!(
            "{} {uri} by {route:?}, expected {} by {:?}",
            sip::text(message.method_text()),
            dialog.target,
            dialog.route
        );
        found.add(now, "requests in a dialog follow its route and target", detail);
    }
}
