//! Following 3xx (RFC 3261 §8.1.3.4): within limits, and by policy to the trunk's own addresses only.

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::leg::Target;
use super::{Arrival, LegKey, Output, UserAgent};
use crate::transport::Standing;
use crate::wire::{Contact, Limits, Message, Scheme, Uri, host_ip, parse};

impl UserAgent {
    /// A failure of our INVITE: notes where a 3xx leads to and tries the best target that is left. False when there
    /// is none, and the failure stands.
    pub(super) fn redirected(
        &mut self,
        now: Instant,
        key: LegKey,
        request: &Bytes,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let status = response.status();
        let waiting = self
            .legs
            .get(key)
            .and_then(|leg| leg.calling.as_ref())
            .is_some_and(|calling| !calling.targets.is_empty());
        // RFC 3261 §16.7 step 5: a 6xx speaks for all targets.
        if status >= 600 || !(matches!(status, 300..=302) || waiting) {
            return false;
        }
        let Ok(old) = parse(request.clone(), &Limits::default()) else { return false };
        if status < 400 {
            self.note_targets(key, &old, response);
        }
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let Some(target) = leg.calling.as_mut().and_then(|calling| calling.targets.pop()) else {
            return false;
        };
        leg.peer = target.address;
        if let Some(state) = leg.trunk.and_then(|trunk| self.trunks.get_mut(&trunk)) {
            // It is another call to the trunk, and follows at once: what comes after it waits for longer.
            state.trunk.pace.spend(now);
            state.cps.spend(now);
        }
        leg.challenges = 0;
        leg.answerers.clear();
        self.resend_invite(now, key, &old, None, Some(&target.uri), out).is_some()
    }

    fn note_targets(&mut self, key: LegKey, old: &Message, response: &Message) {
        let policy = self.config.redirects;
        for contact in response.contacts() {
            let Ok(Contact::Address(contact)) = contact else { continue };
            let Ok(uri) = contact.uri() else { continue };
            let Some(address) = self.redirect_address(key, &uri) else { continue };
            let q = contact.params.value("q").map_or(1000, thousandths);
            let Some(calling) = self.legs.get_mut(key).and_then(|leg| leg.calling.as_mut()) else { return };
            // Header fields of the URI would be ours to send: they are left out with the URI that has them.
            let double = contact.uri_text == old.request_uri()
                || calling.targets.iter().any(|target| *target.uri == *contact.uri_text);
            if double || uri.headers.is_some() || calling.targets_known >= policy.targets_max {
                continue;
            }
            calling.targets_known += 1;
            // Tried from the end: the best stands there, among equals the one named first.
            let at = calling.targets.partition_point(|target| target.q < q);
            calling.targets.insert(at, Target { uri: contact.uri_text.into(), address, q });
        }
    }

    /// Where a redirection may lead to.
    fn redirect_address(&self, key: LegKey, uri: &Uri<'_>) -> Option<SocketAddr> {
        let leg = self.legs.get(key)?;
        if uri.scheme == Scheme::Tel {
            return Some(leg.peer);
        }
        if uri.scheme != Scheme::Sip {
            return None;
        }
        let trunk = leg.trunk.and_then(|trunk| self.trunks.get(&trunk)).map(|state| &state.trunk);
        let Some(ip) = host_ip(uri.host) else {
            let own = trunk.is_some_and(|trunk| uri.host.eq_ignore_ascii_case(trunk.domain.as_bytes()));
            return (own || self.config.redirects.anywhere).then_some(leg.peer);
        };
        let address = SocketAddr::new(ip, uri.port.unwrap_or(5060));
        let own = address == leg.peer
            || trunk.is_some_and(|trunk| address == trunk.address)
            || leg.trunk.is_some()
                && self.trunk_of(Arrival {
                    listener: leg.listener,
                    source: address,
                    standing: Standing::Stranger,
                    overload: None,
                }) == leg.trunk;
        (own || self.config.redirects.anywhere && address.is_ipv4() == leg.peer.is_ipv4()).then_some(address)
    }

    /// Whether an INVITE from outside is one of ours on its way back to us: the same call, for the same number, while
    /// ours is still out. (One for another number is a spiral and may go on, RFC 3261 §16.3.) Of one that another shard has
    /// sent a Via of ours tells, and for which number, its To.
    pub(super) fn is_own_call(&self, request: &Message) -> bool {
        let Some(mark) = request.from_tag().and_then(crate::mark::Mark::parse) else { return false };
        let user = |uri: &[u8]| Uri::parse(uri).ok().and_then(|uri| uri.user.map(<[u8]>::to_vec));
        if mark.shard != self.layer.shard {
            let number = request.to().ok().and_then(|to| user(to.uri_text));
            return self.has_own_via(request) && number.is_some() && number == user(request.request_uri());
        }
        let Some(leg) = self.legs.get(LegKey::from_bits(mark.key)) else { return false };
        if leg.random != mark.random {
            return false;
        }
        let Some(sent) = leg.invite.and_then(|client| self.layer.client(client)) else { return false };
        let Ok(sent) = parse(sent.request.clone(), &Limits::default()) else { return false };
        user(sent.request_uri()) == user(request.request_uri())
    }

    /// It has passed through this node.
    fn has_own_via(&self, request: &Message) -> bool {
        let mut vias = request.vias().filter_map(Result::ok);
        vias.any(|via| {
            let port = via.port.unwrap_or(via.transport.default_port());
            let address = host_ip(via.host).map(|ip| SocketAddr::new(ip, port));
            self.config.listeners.iter().any(|own| {
                let advertised: Option<SocketAddr> = own.advertised.parse().ok();
                advertised.is_some() && advertised == address
            })
        })
    }

    /// The status for a request that is larger than we take.
    pub(super) fn too_large(&self, request: &Message) -> Option<u16> {
        let limits = &self.config.limits;
        if request.request_uri().len() > limits.uri_bytes_max {
            Some(414)
        } else if request.body().len() > limits.body_bytes_max {
            Some(413)
        } else {
            None
        }
    }
}

/// A q value, 0 to 1 with three places; what is none counts as 0.
fn thousandths(value: &[u8]) -> u16 {
    let value = core::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok());
    (value.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u16
}
