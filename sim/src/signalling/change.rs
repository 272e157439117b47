//! A peer changes the session of a leg that is up (re-INVITE): it may meet the daemon's own change half-way.

use super::endpoint::{Act, Endpoint, LegState, Timer};
use super::sip;
use bytes::Bytes;
use sansio::Instant;
use sip_proxy::wire::{HeaderName, Message};

/// How long who owns the Call-ID waits after a 491 (RFC 3261 §14.1), milliseconds; the daemon does in the legs it
/// began.
const OWNER_WAITS_MS: (u64, u64) = (2_100, 4_000);
/// … and who does not.
const OTHER_WAITS_MS: (u64, u64) = (0, 2_000);

/// How long to wait after a 491.
pub(super) fn wait_ms(owns_call_id: bool, rng: &mut sansio::Rng) -> u64 {
    let (from, to) = if owns_call_id { OWNER_WAITS_MS } else { OTHER_WAITS_MS };
    from + rng.below(to - from + 1)
}

impl Endpoint {
    /// Accepts a re-INVITE, once and for all its copies.
    pub(super) fn accept(&mut self, request: &Message, extra: &str, sdp: &str, out: &mut Vec<Act>) {
        let bytes = Bytes::from(sip::response(request, 200, "OK", "", extra, sdp));
        let key = (sip::branch(request), sip::text(request.method_text()));
        self.given.insert(key, bytes.clone());
        out.push(Act::Send(bytes));
    }

    /// Sends a re-INVITE, unless one is under way or the leg is not there.
    pub(super) fn change(&mut self, now: Instant, id: u64, again: bool, out: &mut Vec<Act>) {
        if again {
            out.push(Act::After(4_000 + self.rng.below(16_000), Timer::Change(id, true)));
        }
        let branch = format!("z9hG4bKi{:x}", self.rng.next_u64());
        let direction = if self.rng.chance(0.5) { "sendonly" } else { "sendrecv" };
        let up = |leg: &&mut super::endpoint::Leg| leg.state == LegState::Up { acked: true };
        let Some(leg) = self.legs.get_mut(&id).filter(up).filter(|leg| leg.changing.is_none()) else {
            return;
        };
        leg.cseq += 1;
        leg.changing = Some(branch.clone());
        let sdp = sip::description(leg.rtp, leg.cseq + 10, direction);
        let text = self.in_leg(id, "INVITE", &branch, &sdp);
        self.start_request(now, text, &branch, Some(id), out);
    }

    /// A request within the dialog of a leg, with the number it has now.
    fn in_leg(&self, id: u64, method: &str, branch: &str, sdp: &str) -> String {
        let Some(leg) = self.legs.get(&id) else { return String::new() };
        sip::request(&sip::Outline {
            method,
            uri: &leg.target,
            sent_by: self.address,
            by: self.by,
            user: "gw",
            branch,
            from: &format!("{};tag={}", sip::header(&leg.invite, HeaderName::To), leg.tag),
            to: &sip::header(&leg.invite, HeaderName::From),
            call_id: &leg.call_id,
            cseq: leg.cseq,
            extra: "",
            sdp,
        })
    }

    /// A response to a re-INVITE.
    pub(super) fn change_responded(&mut self, response: &Message, out: &mut Vec<Act>) {
        let branch = sip::branch(response);
        if let Some(ack) = self.acks.get(&branch) {
            out.push(Act::Send(ack.clone()));
            return;
        }
        if response.status() < 200 {
            if let Some(pending) = self.pending.get_mut(&branch) {
                pending.heard = true;
            }
            return;
        }
        let Some(id) = self.pending.remove(&branch).and_then(|pending| pending.leg) else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.changing = None;
        let up = matches!(leg.state, LegState::Up { .. });
        let cseq = std::mem::replace(&mut leg.cseq, response.cseq().0);
        let of = if response.status() < 300 { format!("{branch}a") } else { branch.clone() };
        let ack = Bytes::from(self.in_leg(id, "ACK", &of, ""));
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.cseq = cseq;
        }
        out.push(Act::Send(ack.clone()));
        self.acks.insert(branch, ack);
        if response.status() == 491 && up {
            let ms = wait_ms(false, &mut self.rng);
            out.push(Act::After(ms, Timer::Change(id, false)));
        }
    }

    /// No final response came to a request.
    pub(super) fn given_up(&mut self, now: Instant, leg: Option<u64>, branch: &str) {
        let Some(id) = leg else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.changing.as_deref() != Some(branch) {
            return self.leg_over(now, Some(id));
        }
        leg.changing = None;
        if matches!(leg.state, LegState::Up { .. }) {
            leg.unanswered.get_or_insert(leg.began);
        }
    }
}
