//! Accounts and where their phones are (RFC 3261 §10).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use sansio::{Instant, TimerKey};

use crate::transaction::ClientKey;
use crate::ua::{Account, Contact};
use crate::wire::Uri;

/// All accounts of a shard.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    accounts: BTreeMap<u64, Entry>,
    by_name: BTreeMap<String, u64>,
    /// Accounts that have registered over a connection that stands.
    by_flow: BTreeMap<(u8, SocketAddr), Vec<u64>>,
    /// Refreshes so far: the order of contacts.
    refreshes: u64,
}

/// An account.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    bindings: Vec<Binding>,
    /// Armed for the binding that lapses first.
    pub(crate) lapse: Option<TimerKey>,
    /// What OPTIONS to its phone have shown.
    pub(crate) probe: Probe,
}

/// What OPTIONS to a phone have shown.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Armed for the next one, while there is a contact.
    pub(crate) timer: Option<TimerKey>,
    /// The one that is not answered yet.
    pub(crate) ping: Option<ClientKey>,
    /// Without a good answer, one after the other.
    pub(crate) misses: u32,
    /// The phone has missed too many: this was told.
    pub(crate) silent: bool,
}

/// One contact of an account.
#[derive(Debug, Clone)]
struct Binding {
    uri: Box<str>,
    flow: Option<FlowName>,
    source: SocketAddr,
    listener: u8,
    lapses: Instant,
    call_id: Box<[u8]>,
    cseq: u32,
    refresh: u64,
}

/// Which of a phone's ways a contact is (RFC 5626): its instance (`+sip.instance`, as written) and the number of the way
/// (`reg-id`). A new contact by the same way takes the place of the old one, whatever its URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowName {
    pub(crate) instance: Box<[u8]>,
    pub(crate) reg_id: u32,
}

/// One wish in a REGISTER.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) uri: Box<str>,
    pub(crate) flow: Option<FlowName>,
    /// Zero removes.
    pub(crate) expires: Duration,
}

/// Where a REGISTER came from and its place in the order of REGISTERs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) listener: u8,
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: u32,
}

/// A REGISTER older than one already seen (RFC 3261 §10.3 step 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Registrar {
    pub(crate) fn set(&mut self, account: Account) {
        if let Some(entry) = self.accounts.get_mut(&account.key) {
            if self.by_name.get(&entry.account.login.username) == Some(&account.key) {
                self.by_name.remove(&entry.account.login.username);
            }
            self.by_name.insert(account.login.username.clone(), account.key);
            entry.account = account;
            return;
        }
        self.by_name.insert(account.login.username.clone(), account.key);
        let entry = Entry { account, bindings: Vec::new(), lapse: None, probe: Probe::default() };
        self.accounts.insert(entry.account.key, entry);
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<Entry> {
        let entry = self.accounts.remove(&key)?;
        if self.by_name.get(&entry.account.login.username) == Some(&key) {
            self.by_name.remove(&entry.account.login.username);
        }
        Some(entry)
    }

    pub(crate) fn by_name(&self, username: &[u8]) -> Option<&Account> {
        let key = self.by_name.get(core::str::from_utf8(username).ok()?)?;
        self.accounts.get(key).map(|entry| &entry.account)
    }

    pub(crate) fn entry_mut(&mut self, key: u64) -> Option<&mut Entry> {
        self.accounts.get_mut(&key)
    }

    pub(crate) fn contacts(&self) -> usize {
        self.accounts.values().map(|entry| entry.bindings.len()).sum()
    }

    /// The contact that was refreshed last and has not lapsed.
    pub(crate) fn best(&self, now: Instant, key: u64) -> Option<Contact> {
        self.accounts.get(&key)?.best(now)
    }

    /// The contacts of an account that have not lapsed, the one refreshed last first.
    pub(crate) fn all(&self, now: Instant, key: u64) -> Vec<Contact> {
        let Some(entry) = self.accounts.get(&key) else { return Vec::new() };
        let mut bindings: Vec<&Binding> =
            entry.bindings.iter().filter(|binding| now < binding.lapses).collect();
        bindings.sort_by_key(|binding| core::cmp::Reverse(binding.refresh));
        bindings.into_iter().map(|binding| binding.contact(now)).collect()
    }

    /// Whether a contact of the account is registered from this address.
    pub(crate) fn is_at(&self, now: Instant, key: u64, source: SocketAddr) -> bool {
        let bindings = self.accounts.get(&key).map_or(&[][..], |entry| &entry.bindings);
        bindings.iter().any(|binding| binding.source == source && now < binding.lapses)
    }

    /// Carries out all wishes of one REGISTER or none (RFC 3261 §10.3 steps 6 and 7).
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        key: u64,
        wishes: &[Wish],
        remove_all: bool,
        origin: Origin<'_>,
        contacts_max: usize,
    ) -> Result<(), OutOfOrder> {
        let Some(entry) = self.accounts.get_mut(&key) else { return Ok(()) };
        entry.forget_lapsed(now);
        let affected = |binding: &Binding| remove_all || wishes.iter().any(|wish| binding.is_of(wish));
        let late = entry.bindings.iter().any(|binding| {
            affected(binding) && *binding.call_id == *origin.call_id && origin.cseq <= binding.cseq
        });
        if late {
            return Err(OutOfOrder);
        }
        if remove_all {
            entry.bindings.clear();
            return Ok(());
        }
        for wish in wishes {
            entry.bindings.retain(|binding| !binding.is_of(wish));
            if wish.expires.is_zero() {
                continue;
            }
            self.refreshes += 1;
            entry.add(
                Binding {
                    uri: wish.uri.clone(),
                    flow: wish.flow.clone(),
                    source: origin.source,
                    listener: origin.listener,
                    lapses: now + wish.expires,
                    call_id: origin.call_id.into(),
                    cseq: origin.cseq,
                    refresh: self.refreshes,
                },
                contacts_max,
            );
        }
        Ok(())
    }

    /// A connection is no more: the contacts registered over it go. Gives the accounts that lost one, and where each
    /// can still be reached.
    pub(crate) fn flow_closed(
        &mut self,
        now: Instant,
        listener: u8,
        peer: SocketAddr,
    ) -> Vec<(u64, Option<Contact>)> {
        let Some(accounts) = self.by_flow.remove(&(listener, peer)) else { return Vec::new() };
        let mut lost = Vec::new();
        for key in accounts {
            let Some(entry) = self.accounts.get_mut(&key) else { continue };
            let before = entry.bindings.len();
            entry.bindings.retain(|binding| (binding.listener, binding.source) != (listener, peer));
            if entry.bindings.len() < before {
                lost.push((key, entry.best(now)));
            }
        }
        lost
    }

    /// Remembers that an account is registered over a connection.
    pub(crate) fn note_flow(&mut self, key: u64, listener: u8, peer: SocketAddr) {
        let accounts = self.by_flow.entry((listener, peer)).or_default();
        if !accounts.contains(&key) {
            accounts.push(key);
        }
    }

    /// Puts a contact back that was known before.
    pub(crate) fn restore(&mut self, now: Instant, key: u64, contact: Contact, contacts_max: usize) {
        let Some(entry) = self.accounts.get_mut(&key) else { return };
        entry.bindings.retain(|binding| !same(&contact.uri, &binding.uri));
        self.refreshes += 1;
        entry.add(
            Binding {
                uri: contact.uri.into_boxed_str(),
                flow: None,
                source: contact.source,
                listener: contact.listener,
                lapses: now + contact.expires,
                call_id: Box::default(),
                cseq: 0,
                refresh: self.refreshes,
            },
            contacts_max,
        );
    }
}

impl Entry {
    fn best(&self, now: Instant) -> Option<Contact> {
        let usable = self.bindings.iter().filter(|binding| now < binding.lapses);
        usable.max_by_key(|binding| binding.refresh).map(|binding| binding.contact(now))
    }

    fn add(&mut self, binding: Binding, contacts_max: usize) {
        while self.bindings.len() >= contacts_max.max(1) {
            let oldest = (0..self.bindings.len()).min_by_key(|index| self.bindings[*index].refresh);
            self.bindings.swap_remove(oldest.expect("not empty"));
        }
        self.bindings.push(binding);
    }

    /// Drops what has lapsed; true when that was the last contact.
    pub(crate) fn forget_lapsed(&mut self, now: Instant) -> bool {
        let before = self.bindings.len();
        self.bindings.retain(|binding| now < binding.lapses);
        before > 0 && self.bindings.is_empty()
    }

    pub(crate) fn next_lapse(&self) -> Option<Instant> {
        self.bindings.iter().map(|binding| binding.lapses).min()
    }
}

impl Binding {
    /// Whether a wish is about this contact.
    fn is_of(&self, wish: &Wish) -> bool {
        (self.flow.is_some() && self.flow == wish.flow) || same(&wish.uri, &self.uri)
    }

    fn contact(&self, now: Instant) -> Contact {
        Contact {
            uri: self.uri.to_string(),
            source: self.source,
            listener: self.listener,
            expires: self.lapses.since(now),
        }
    }
}

/// RFC 3261 §10.3 step 7: contacts are compared as URIs.
fn same(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    match (Uri::parse(left.as_bytes()), Uri::parse(right.as_bytes())) {
        (Ok(left), Ok(right)) => left.equivalent(&right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::Login;

    const KEY: u64 = 7;

    fn registrar() -> Registrar {
        let mut registrar = Registrar::default();
        let login = Login { username: "1001".into(), password: "x".into() };
        registrar.set(Account { key: KEY, login });
        registrar
    }

    fn register(
        registrar: &mut Registrar,
        at_s: u64,
        cseq: u32,
        wishes: &[(&str, u64)],
    ) -> Result<(), OutOfOrder> {
        let wishes: Vec<Wish> = wishes
            .iter()
            .map(|(uri, expires)| Wish {
                uri: (*uri).into(),
                flow: None,
                expires: Duration::from_secs(*expires),
            })
            .collect();
        let source = "192.0.2.1:5060".parse().expect("an address");
        let origin = Origin { source, listener: 0, call_id: b"c", cseq };
        registrar.apply(Instant::from_millis(at_s * 1000), KEY, &wishes, false, origin, 2)
    }

    fn uris(registrar: &Registrar, at_s: u64) -> Vec<String> {
        registrar.all(Instant::from_millis(at_s * 1000), KEY).into_iter().map(|contact| contact.uri).collect()
    }

    #[test]
    fn the_newest_contact_is_the_best_and_the_oldest_goes() {
        let mut registrar = registrar();
        register(&mut registrar, 0, 1, &[("sip:a@h", 60)]).expect("in order");
        register(&mut registrar, 1, 2, &[("sip:b@h", 60)]).expect("in order");
        assert_eq!(uris(&registrar, 2), ["sip:b@h", "sip:a@h"]);
        register(&mut registrar, 2, 3, &[("sip:A@H;x=1", 60), ("sip:a@H", 60)]).expect("in order");
        assert_eq!(uris(&registrar, 3), ["sip:a@H", "sip:A@H;x=1"]);
        assert_eq!(uris(&registrar, 61), ["sip:a@H", "sip:A@H;x=1"]);
        assert_eq!(uris(&registrar, 62), Vec::<String>::new());
        register(&mut registrar, 3, 4, &[("sip:a@h", 0)]).expect("in order");
        assert_eq!(uris(&registrar, 4), ["sip:A@H;x=1"]);
    }

    #[test]
    fn an_older_request_of_the_same_call_id_changes_nothing() {
        let mut registrar = registrar();
        register(&mut registrar, 0, 5, &[("sip:a@h", 60)]).expect("in order");
        assert_eq!(register(&mut registrar, 1, 5, &[("sip:a@h", 0)]), Err(OutOfOrder));
        assert_eq!(register(&mut registrar, 1, 4, &[("sip:b@h", 60), ("sip:a@h", 0)]), Err(OutOfOrder));
        assert_eq!(uris(&registrar, 1), ["sip:a@h"]);
    }

    #[test]
    fn a_new_name_takes_the_place_of_the_old() {
        let mut registrar = registrar();
        let login = Login { username: "1002".into(), password: "y".into() };
        registrar.set(Account { key: KEY, login });
        assert!(registrar.by_name(b"1001").is_none());
        assert_eq!(registrar.by_name(b"1002").map(|account| account.key), Some(KEY));
        registrar.remove(KEY);
        assert!(registrar.by_name(b"1002").is_none());
    }
}
