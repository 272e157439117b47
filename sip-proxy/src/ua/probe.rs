//! Phones that are registered and cannot be reached: a registration says only where a phone was. OPTIONS to the contact that
//! a call would go to say whether it is still there (RFC 3261 §11).
//!
//! ```text
//!   registered ─► half an interval to a whole one ─► OPTIONS ─► a tenth more or less than an interval ─► OPTIONS …
//!       answered (whatever, but 408 and 503): there         so many in a row not answered: gone, told once
//!       gone: an answer, or a registration from elsewhere, and it is there again
//! ```

use core::time::Duration;

use sansio::{Instant, Outbox};

use super::trunk::Asked;
use super::{Event, Output, UserAgent};
use crate::transaction::{ClientUser, Why};
use crate::wire::Method;

/// No phone is asked more often.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// As whom we ask; that is also who calls a phone.
const ASKER: &str = "dialerd@";

impl UserAgent {
    fn probe_interval(&self) -> Option<Duration> {
        self.config.probing.interval.map(|interval| interval.max(INTERVAL_MIN))
    }

    /// An account has a contact: it is asked from now on. At first after half an interval to a whole one, so that the
    /// phones of a whole house, which register at once after a restart, are not asked at once.
    pub(super) fn keep_probing(&mut self, now: Instant, account: u64) {
        let Some(interval) = self.probe_interval() else { return };
        let wait = interval.mul_f64(0.5 + 0.5 * self.layer.rng.unit());
        self.arm_probe(now + wait, account);
    }

    fn arm_probe(&mut self, at: Instant, account: u64) {
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        if entry.probe.timer.is_none() {
            entry.probe.timer = Some(self.layer.deadlines.arm(at, Why::PhoneOptions(account)));
        }
    }

    pub(super) fn phone_options_due(&mut self, now: Instant, account: u64, out: &mut Outbox<Output>) {
        let contact = self.registrar.best(now, account);
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        entry.probe.timer = None;
        let waits = entry.probe.ping.take();
        if let Some(ping) = waits {
            // A whole interval without an answer is a miss; timer F would take longer to say so.
            self.layer.set_client_user(ping, ClientUser::Nobody);
        }
        let (Some(contact), Some(interval)) = (contact, self.probe_interval()) else {
            // It is asked again when it registers again; that it is not registered was told.
            if let Some(entry) = self.registrar.entry_mut(account) {
                (entry.probe.misses, entry.probe.silent) = (0, false);
            }
            return;
        };
        if waits.is_some() {
            self.phone_options_missed(account, None, out);
        }
        let wait = interval.mul_f64(0.9 + 0.2 * self.layer.rng.unit());
        self.arm_probe(now + wait, account);
        let user = ClientUser::PhoneOptions(account);
        let Some((client, branch)) =
            self.layer.reserve(Method::Options, contact.listener, contact.source, user)
        else {
            return;
        };
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        entry.probe.ping = Some(client);
        let to = format!("sip:{}@{}", entry.account.login.username, self.config.realm);
        let asked = Asked { uri: &contact.uri, to: &to, user: ASKER, overload_control: false };
        let request = self.options_request(contact.listener, &branch, &asked);
        self.layer.start(now, client, request, out);
    }

    /// Any final response but 408 and 503 shows a phone that lives, even 404 or 486.
    pub(super) fn phone_options_final(&mut self, account: u64, status: u16, out: &mut Outbox<Output>) {
        if matches!(status, 408 | 503) {
            return self.phone_options_missed(account, Some(status), out);
        }
        self.phone_is_back(account, Some(status), out);
    }

    pub(super) fn phone_options_missed(&mut self, account: u64, code: Option<u16>, out: &mut Outbox<Output>) {
        let misses_max = self.config.probing.misses_max.max(1);
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        let probe = &mut entry.probe;
        probe.ping = None;
        probe.misses = probe.misses.saturating_add(1);
        if probe.misses >= misses_max && !core::mem::replace(&mut probe.silent, true) {
            out.push(Output::Event(Event::PhoneHealth { account, reachable: false, code }));
        }
    }

    /// It has answered, or has registered from elsewhere.
    pub(super) fn phone_is_back(&mut self, account: u64, code: Option<u16>, out: &mut Outbox<Output>) {
        let Some(entry) = self.registrar.entry_mut(account) else { return };
        let probe = &mut entry.probe;
        if code.is_some() {
            probe.ping = None;
        } else if let Some(ping) = probe.ping.take() {
            // That one went to where the phone was before.
            self.layer.set_client_user(ping, ClientUser::Nobody);
        }
        probe.misses = 0;
        if core::mem::take(&mut probe.silent) {
            out.push(Output::Event(Event::PhoneHealth { account, reachable: true, code }));
        }
    }
}
