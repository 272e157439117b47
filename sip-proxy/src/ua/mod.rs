//! The user agent of one shard: every dialog, transaction, registration and health check, without a socket.

mod config;
mod door;
mod leg;

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use sansio::{Instant, Outbox, Rng};

pub use config::{Config, Limits, Listener, Register, Timers};
pub use door::{
    Account, Audit, Caller, Contact, Counters, Ended, EndedBy, Event, Invite, InviteError, LegError, LegKey,
    Login, Output, Reason, Requests, Trunk,
};
pub use leg::Leg;

/// The user agent of one shard.
#[derive(Debug)]
pub struct UserAgent {
    config: Config,
    counters: Counters,
}

impl UserAgent {
    /// A user agent that knows nobody yet. `rng` must be seeded with entropy where strangers are about.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        let _ = rng;
        UserAgent { config, counters: Counters::default() }
    }

    /// A datagram has come in.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        datagram: Bytes,
        out: &mut Outbox<Output>,
    ) {
        let _ = (now, listener, source, datagram, out, &self.config);
    }

    /// When to call [`UserAgent::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let _ = (now, out);
    }

    /// Calls someone.
    ///
    /// # Errors
    /// When a limit is reached; nothing has been sent then, and no event will come.
    pub fn invite(
        &mut self,
        now: Instant,
        invite: &Invite<'_>,
        out: &mut Outbox<Output>,
    ) -> Result<LegKey, InviteError> {
        let _ = (now, invite, out);
        Err(InviteError::Limit)
    }

    /// Says whose an incoming leg is; its later events carry `owner`.
    pub fn adopt(&mut self, leg: LegKey, owner: u64) {
        let _ = (leg, owner);
    }

    /// Sends 101 to 199 on an incoming leg.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn provisional(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        sdp: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, code, sdp, out);
        Err(LegError::Gone)
    }

    /// Answers an incoming leg with 200.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn answer(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, sdp, out);
        Err(LegError::Gone)
    }

    /// Refuses an incoming leg with 300 to 699; `Ended` follows.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn reject(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        reason: Reason<'_>,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, code, reason, out);
        Err(LegError::Gone)
    }

    /// Ends a leg, whatever its state: CANCEL, BYE or a final response, each when it is in order. `Ended` follows,
    /// at once for a leg that was answered or came in, else with the final response to the INVITE.
    /// Does nothing to a leg that has ended.
    pub fn hangup(&mut self, now: Instant, leg: LegKey, reason: Reason<'_>, out: &mut Outbox<Output>) {
        let _ = (now, leg, reason, out);
    }

    /// Offers a new session on a confirmed leg. `ReofferAnswered` or `ReofferRejected` follows, or `Ended`.
    ///
    /// # Errors
    /// When the leg is not confirmed or another offer is under way.
    pub fn reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, sdp, out);
        Err(LegError::Gone)
    }

    /// Answers a `Reoffer`.
    ///
    /// # Errors
    /// When none is open.
    pub fn answer_reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, sdp, out);
        Err(LegError::Gone)
    }

    /// Refuses a `Reoffer` with 300 to 699.
    ///
    /// # Errors
    /// When none is open.
    pub fn reject_reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let _ = (now, leg, code, out);
        Err(LegError::Gone)
    }

    /// Adds a trunk or changes it: its health and registration start anew.
    pub fn set_trunk(&mut self, now: Instant, trunk: Trunk, out: &mut Outbox<Output>) {
        let _ = (now, trunk, out);
    }

    /// Forgets a trunk; unregisters there if registered. Its calls go on.
    pub fn remove_trunk(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        let _ = (now, trunk, out);
    }

    /// Adds an account or changes its name or password; its contacts stay.
    pub fn set_account(&mut self, account: Account) {
        let _ = account;
    }

    /// Forgets an account and its contacts. No event. Its calls go on.
    pub fn remove_account(&mut self, account: u64) {
        let _ = account;
    }

    /// Puts back a contact that was known before a restart. No event.
    pub fn restore_contact(&mut self, now: Instant, account: u64, contact: Contact) {
        let _ = (now, account, contact);
    }

    /// Where to reach a phone: the contact it refreshed last.
    #[must_use]
    pub fn contact_of(&self, now: Instant, account: u64) -> Option<Contact> {
        let _ = (now, account);
        None
    }

    /// While draining OPTIONS and new INVITEs get 503 with Retry-After.
    pub fn set_draining(&mut self, draining: bool) {
        let _ = draining;
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What lives, for leak checks.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let _ = Duration::ZERO;
        Audit::default()
    }
}
