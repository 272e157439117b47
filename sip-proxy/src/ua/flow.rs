//! Connections: what comes over them, and what their end means (RFC 3261 §18, RFC 5626).

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::{Arrival, Event, LegKey, Output, UserAgent};
use crate::steer::sent_branch;
use crate::transaction::Unanswered;
use crate::transport::{Flow, FrameFault, Standing, answer_stun};
use crate::wire::{Message, Transport, parse};

impl UserAgent {
    /// A connection stands, whoever made it. Until [`UserAgent::flow_closed`] the address of its peer stands for it.
    ///
    /// * `names` what the certificate that the peer has shown is for, when it was asked for one and that was good
    pub fn flow_opened(&mut self, listener: u8, peer: SocketAddr, names: Vec<String>) {
        if self.layer.outlets.transport(listener).is_reliable() {
            self.layer.outlets.opened(listener, peer, Flow { names });
        }
    }

    /// Whether what is sent to `peer` leaves at once: over UDP, or over a connection that stands.
    #[must_use]
    pub fn leaves_at_once(&self, listener: u8, peer: SocketAddr) -> bool {
        let outlets = &self.layer.outlets;
        !outlets.transport(listener).is_reliable() || outlets.flow(listener, peer).is_some()
    }

    /// A connection is no more. The contacts that were registered over it die with it (RFC 5626 §4.2.1), requests
    /// that may not have arrived are sent once more over a new one.
    pub fn flow_closed(&mut self, now: Instant, listener: u8, peer: SocketAddr, out: &mut Outbox<Output>) {
        self.layer.outlets.closed(listener, peer);
        for (account, left) in self.registrar.flow_closed(now, listener, peer) {
            self.arm_lapse(account);
            out.push(Output::Event(match left {
                Some(contact) => Event::Registered { account, contact },
                None => Event::Unregistered { account },
            }));
        }
        let failed = self.layer.flow_lost(now, listener, peer, false, out);
        self.undeliverable(now, failed, out);
    }

    /// A connection that a dialog was spoken over may be no more: its requests go to where its remote target, or its first
    /// route, says (RFC 3261 §12.2.1.1), over a new one. Who can be reached in no other way stays where it is.
    pub(super) fn renew_hop(&mut self, key: LegKey) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| !leg.symmetric) else { return };
        let outlets = &self.layer.outlets;
        let is_gone =
            outlets.transport(leg.listener).is_reliable() && outlets.flow(leg.listener, leg.peer).is_none();
        if let Some(dialog) = leg.dialog.as_ref().filter(|_| is_gone) {
            (leg.listener, leg.peer) = outlets.hop(dialog.next_hop(), leg.listener, leg.peer);
        }
    }

    /// A connection that was to carry something to `peer` cannot be made.
    pub fn flow_refused(&mut self, now: Instant, listener: u8, peer: SocketAddr, out: &mut Outbox<Output>) {
        self.layer.counters.connections_refused += 1;
        let failed = self.layer.flow_lost(now, listener, peer, true, out);
        self.undeliverable(now, failed, out);
    }

    /// The network says that a datagram did not arrive, or that there is no way for it (RFC 3261 §18.4).
    ///
    /// * `datagram` its beginning; only whoever saw it knows its branch, so that nobody else can say this
    pub fn undelivered(
        &mut self,
        now: Instant,
        listener: u8,
        to: SocketAddr,
        datagram: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let sent = sent_branch(datagram);
        if let Some(failed) = sent.and_then(|sent| self.layer.undelivered(now, listener, to, sent)) {
            self.unanswered(now, failed, out);
        }
    }

    /// What a connection carried cannot be cut into messages any more. The sender of the request it broke in is
    /// told, if it can be read that far; then the connection is closed.
    pub fn flow_broken(
        &mut self,
        listener: u8,
        peer: SocketAddr,
        head: Bytes,
        fault: FrameFault,
        out: &mut Outbox<Output>,
    ) {
        if usize::from(listener) >= self.config.listeners.len() {
            return;
        }
        self.layer.counters.streams_broken += 1;
        let arrival = Arrival { listener, source: peer, standing: Standing::Stranger, overload: None };
        let (status, reason) = fault.answer();
        let request = match parse(head, &self.config.limits.message) {
            Ok(message) => Some(message).filter(|message| message.is_request()),
            Err(error) => error.answer().and(error.partial),
        };
        if let Some(request) = request.filter(|request| request.method() != crate::wire::Method::Ack) {
            self.reply_with(arrival, &request, status, reason, |_| {}, out);
        }
        out.push(Output::Close { listener, peer });
    }

    /// The first listener of a transport and family; requests over it leave by that one.
    #[must_use]
    pub fn listener_for(&self, transport: Transport, ipv4: bool) -> Option<u8> {
        self.layer.outlets.listener_for(transport, ipv4)
    }

    /// The names in the certificate that the peer at the other end of a connection has shown; none for a connection
    /// without one, or that is no more.
    #[must_use]
    pub fn certificate_names(&self, listener: u8, peer: SocketAddr) -> &[String] {
        self.layer.outlets.names(listener, peer)
    }

    /// A trunk may let us use its connection for our requests to it (RFC 5923). Nobody else is believed that.
    pub(super) fn note_alias(&mut self, arrival: Arrival, request: &Message) {
        let Arrival { listener, source, standing, .. } = arrival;
        let transport = self.layer.outlets.transport(listener);
        if standing != Standing::Trunk || !matches!(transport, Transport::Tcp | Transport::Tls) {
            return;
        }
        let Some(Ok(via)) = request.vias().next() else { return };
        if via.params.get("alias").is_some() {
            self.layer.outlets.alias(listener, source, via.port.unwrap_or(transport.default_port()));
        }
    }

    /// A datagram that is no SIP: answered when it is the keep-alive of a phone that is known, or of a trunk.
    pub(super) fn keep_alive(
        &mut self,
        now: Instant,
        arrival: Arrival,
        datagram: &[u8],
        out: &mut Outbox<Output>,
    ) {
        self.layer.counters.datagrams_ignored += 1;
        let Arrival { listener, source, standing, .. } = arrival;
        let mut known = || self.guard.is_friend(now, &self.layer.secret, source.ip());
        if self.layer.is_reliable(listener) || !(standing == Standing::Trunk || known()) {
            return;
        }
        if let Some(bytes) = answer_stun(datagram, source) {
            out.push(Output::Send { listener, to: source, bytes });
        }
    }

    fn undeliverable(&mut self, now: Instant, failed: Vec<Unanswered>, out: &mut Outbox<Output>) {
        for unanswered in failed {
            self.unanswered(now, unanswered, out);
        }
    }
}
