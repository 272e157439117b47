//! The registrar: agents' phones say where they are (RFC 3261 §10.3).

use sansio::{Duration, Instant, Outbox};

use super::uas::Identity;
use super::{Account, Arrival, Contact, Event, Output, UserAgent};
use crate::registrar::{FlowName, Origin, Wish};
use crate::status::reason_phrase;
use crate::transaction::{ClientUser, Why};
use crate::wire::{self, HeaderName, Message, NameAddr, Scheme, Uri, Writer, host_ip};

/// What a REGISTER wants.
enum Wanted {
    /// Contacts added, refreshed and removed; none only asks.
    Contacts(Vec<Wish>),
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// 423.
    TooBrief,
    /// 400 with this reason.
    Bad(&'static str),
    /// 439: it came by somebody who does not keep ways open (RFC 5626 §6).
    NotFirstHop,
}

/// The option tag of RFC 5626.
const OUTBOUND: &str = "outbound";

/// Instance and number of the way; one without the other is neither (RFC 5626 §6).
fn flow_name(address: &NameAddr<'_>, bytes_max: usize) -> Option<FlowName> {
    let instance = address.params.value("+sip.instance").filter(|text| text.len() <= bytes_max)?;
    let digits = core::str::from_utf8(address.params.value("reg-id")?).ok()?;
    let reg_id = digits.parse().ok().filter(|number| *number > 0)?;
    Some(FlowName { instance: instance.into(), reg_id })
}

/// Whether two hosts of URIs are the same: the same address, or the same name in any case.
fn same_host(left: &[u8], right: &[u8]) -> bool {
    let name = |host: &'_ [u8]| host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase();
    match (host_ip(left), host_ip(right)) {
        (None, None) => name(left) == name(right),
        (left, right) => left == right,
    }
}

/// Host of `host[:port]`.
fn host_of(advertised: &str) -> &[u8] {
    let end = match advertised.find(']') {
        Some(bracket) => bracket + 1,
        None => advertised.find(':').unwrap_or(advertised.len()),
    };
    &advertised.as_bytes()[..end]
}

impl UserAgent {
    pub(super) fn register(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        if !self.has_known_scheme(arrival, request, out) || !self.has_known_extensions(arrival, request, out)
        {
            return;
        }
        // RFC 3261 §10.2: an address of record is a SIP or SIPS URI (RFC 4475 §3.3.4 shows another) …
        let to = request.to().ok().and_then(|to| to.uri().ok());
        let Some(record) = to.filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips)) else {
            return self.reply_with(arrival, request, 400, "Bad To", |_| {}, out);
        };
        // … and, §10.3 step 5, one of ours.
        let Some(user) = self.user_of_record(request, &record) else {
            return self.reply(arrival, request, 404, out);
        };
        let account = match self.identify(now, arrival, request, out) {
            Identity::Account(account) => account,
            Identity::Dealt => return,
        };
        // RFC 3261 §10.3 step 4: nobody registers for someone else.
        if self.registrar.by_name(user).map(|other| other.key) != Some(account) {
            return self.answer_request(now, arrival, request, 403, |_| {}, out);
        }
        let (wishes, remove_all) = match self.wanted(request) {
            Wanted::Contacts(wishes) => (wishes, false),
            Wanted::RemoveAll => (Vec::new(), true),
            Wanted::Bad(reason) => return self.reply_with(arrival, request, 400, reason, |_| {}, out),
            Wanted::NotFirstHop => return self.reply(arrival, request, 439, out),
            Wanted::TooBrief => {
                let seconds = self.config.register.expires_min.as_secs();
                let more = |writer: &mut Writer<'_>| {
                    writer.header_number(HeaderName::MinExpires, seconds);
                };
                return self.reply_with(arrival, request, 423, reason_phrase(423), more, out);
            }
        };
        self.bind(now, arrival, account, request, &wishes, remove_all, out);
    }

    /// The user in the address of record of a REGISTER, where that is an address in a domain of ours. While none is
    /// named, whatever domain the REGISTER is for is one, so is the realm, and a REGISTER for an address of ours may be for
    /// any.
    fn user_of_record<'m>(&self, request: &'m Message, record: &Uri<'m>) -> Option<&'m [u8]> {
        let domain = Uri::parse(request.request_uri()).ok()?;
        let served = if self.config.domains.is_empty() {
            same_host(record.host, domain.host) || self.is_ours(record.host) || self.is_ours(domain.host)
        } else {
            self.is_ours(domain.host) && self.is_ours(record.host)
        };
        if served { record.user } else { None }
    }

    /// Whether a host is a domain of ours or an address of ours.
    fn is_ours(&self, host: &[u8]) -> bool {
        let named = self.config.domains.iter().chain([&self.config.realm]);
        let addresses = self.config.listeners.iter();
        named.map(String::as_bytes).any(|domain| same_host(domain, host))
            || addresses.clone().any(|listener| host_ip(host) == Some(listener.address.ip()))
            || addresses.clone().any(|listener| same_host(host_of(&listener.advertised), host))
    }

    #[allow(clippy::too_many_arguments, reason = "one REGISTER, taken apart")]
    fn bind(
        &mut self,
        now: Instant,
        arrival: Arrival,
        account: u64,
        request: &Message,
        wishes: &[Wish],
        remove_all: bool,
        out: &mut Outbox<Output>,
    ) {
        let origin = Origin {
            source: arrival.source,
            listener: arrival.listener,
            call_id: request.call_id(),
            cseq: request.cseq().0,
        };
        let had = self.registrar.best(now, account);
        let contacts_max = self.config.limits.contacts_max;
        if self.registrar.apply(now, account, wishes, remove_all, origin, contacts_max).is_err() {
            // RFC 3261 §10.3 step 7: an older REGISTER that came late changes nothing.
            return self.answer_request(now, arrival, request, 500, |_| {}, out);
        }
        if self.layer.outlets.flow(arrival.listener, arrival.source).is_some() {
            self.registrar.note_flow(account, arrival.listener, arrival.source);
        }
        self.arm_lapse(account);
        let contacts = self.registrar.all(now, account);
        let flow_timer = self.config.register.flow_timer.as_secs();
        let by_flow = wishes.iter().any(|wish| wish.flow.is_some());
        let more = |writer: &mut Writer<'_>| {
            if by_flow {
                // RFC 5626 §6, §5.4: it was understood, and how often the way is to be kept open.
                writer.header(HeaderName::Require, OUTBOUND.as_bytes());
                writer.header_text("Flow-Timer", flow_timer.to_string().as_bytes());
            }
            for contact in &contacts {
                let seconds = contact.expires.as_secs().to_string();
                let parts: [&[u8]; 4] = [b"<", contact.uri.as_bytes(), b">;expires=", seconds.as_bytes()];
                writer.header_parts(HeaderName::Contact, &parts);
            }
        };
        self.answer_request(now, arrival, request, 200, more, out);
        let added = wishes.iter().any(|wish| !wish.expires.is_zero());
        match contacts.into_iter().next() {
            Some(contact) if added || had.as_ref().is_some_and(|had| had.uri != contact.uri) => {
                let known = had.is_some_and(|had| had.uri == contact.uri && had.source == contact.source);
                out.push(Output::Event(Event::Registered { account, contact }));
                self.keep_probing(now, account);
                if !known {
                    self.phone_is_back(account, None, out);
                }
            }
            Some(_) => {}
            None if had.is_some() => out.push(Output::Event(Event::Unregistered { account })),
            None => {}
        }
    }

    fn wanted(&self, request: &Message) -> Wanted {
        let default = self.config.register.expires_default.as_secs();
        let common = request.expires().map_or(default, u64::from);
        let outbound = request.lists(HeaderName::Supported, OUTBOUND);
        let mut wishes = Vec::new();
        let mut star = false;
        for contact in request.contacts() {
            match contact {
                Ok(wire::Contact::Star) => star = true,
                Ok(wire::Contact::Address(address)) => match self.wish(&address, common, outbound) {
                    Ok(wish) => wishes.push(wish),
                    Err(wanted) => return wanted,
                },
                Err(_) => return Wanted::Bad("Bad Contact"),
            }
            if request.vias().count() > 1 && wishes.last().is_some_and(|wish| wish.flow.is_some()) {
                return Wanted::NotFirstHop;
            }
            if wishes.len() > self.config.limits.contacts_max.max(1) {
                return Wanted::Bad("Too Many Contacts");
            }
        }
        match (star, wishes.is_empty(), request.expires()) {
            (false, _, _) => Wanted::Contacts(wishes),
            // RFC 3261 §10.3 step 6.
            (true, true, Some(0)) => Wanted::RemoveAll,
            (true, _, _) => Wanted::Bad("Bad Use Of Contact *"),
        }
    }

    fn wish(&self, address: &NameAddr<'_>, common_s: u64, outbound: bool) -> Result<Wish, Wanted> {
        let register = self.config.register;
        let known = address.uri().is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
        let short = address.uri_text.len() <= self.config.limits.contact_bytes_max;
        let uri = core::str::from_utf8(address.uri_text).ok().filter(|_| known && short);
        let Some(uri) = uri else { return Err(Wanted::Bad("Bad Contact")) };
        // RFC 3261 §10.2.1.1: a malformed value counts as 3600.
        let seconds = address.params.value("expires").map_or(common_s, |digits| {
            let text = core::str::from_utf8(digits).unwrap_or_default();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                3600
            } else {
                text.parse().unwrap_or(u64::MAX)
            }
        });
        let wanted = Duration::from_secs(seconds);
        if !wanted.is_zero() && wanted < register.expires_min {
            return Err(Wanted::TooBrief);
        }
        let flow = if outbound { flow_name(address, self.config.limits.contact_bytes_max) } else { None };
        Ok(Wish { uri: uri.into(), flow, expires: wanted.min(register.expires_max) })
    }

    /// Arms the deadline of the contact that lapses first.
    pub(super) fn arm_lapse(&mut self, account: u64) {
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        self.layer.disarm(&mut entry.lapse);
        if let Some(at) = entry.next_lapse() {
            entry.lapse = Some(self.layer.deadlines.arm(at, Why::ContactLapse(account)));
        }
    }

    pub(super) fn contacts_due(&mut self, now: Instant, account: u64, out: &mut Outbox<Output>) {
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        entry.lapse = None;
        if entry.forget_lapsed(now) {
            out.push(Output::Event(Event::Unregistered { account }));
        }
        self.arm_lapse(account);
    }

    /// Adds an account or changes its name or password; its contacts stay.
    pub fn set_account(&mut self, account: Account) {
        self.registrar.set(account);
    }

    /// Forgets an account and its contacts. No event. Its calls go on.
    pub fn remove_account(&mut self, account: u64) {
        let Some(mut entry) = self.registrar.remove(account) else { return };
        self.layer.disarm(&mut entry.lapse);
        self.layer.disarm(&mut entry.probe.timer);
        if let Some(ping) = entry.probe.ping {
            self.layer.set_client_user(ping, ClientUser::Nobody);
        }
    }

    /// Puts back a contact that was known before a restart. No event.
    pub fn restore_contact(&mut self, now: Instant, account: u64, contact: Contact) {
        let lasts = self.config.register.expires_max;
        self.guard.befriend(now, &self.layer.secret, contact.source.ip(), lasts);
        self.registrar.restore(now, account, contact, self.config.limits.contacts_max);
        self.arm_lapse(account);
        self.keep_probing(now, account);
    }

    /// Where to reach a phone: the contact it refreshed last.
    #[must_use]
    pub fn contact_of(&self, now: Instant, account: u64) -> Option<Contact> {
        self.registrar.best(now, account)
    }
}
