//! Session timers (RFC 4028): who refreshes, when, and what happens when nobody does.
//!
//! ```text
//!   we refresh      ├──── interval/2 ────► UPDATE, or re-INVITE ──2xx──► again
//!                                            └─ refused, never 2xx ──────────► expires_at: BYE
//!   peer refreshes  ├──────────── interval − min(32 s, interval/3) ──────────► expires_at: BYE
//! ```

use bytes::Bytes;
use sansio::{Duration, Instant, Outbox};

use super::config::{Refresher, SessionTimers, SessionUse};
use super::leg::{Leg, Offer, SessionTimer, State};
use super::{Arrival, EndedBy, How, LegKey, Output, UserAgent};
use crate::status::reason_phrase;
use crate::transaction::Why;
use crate::wire::{HeaderName, Message, Method, Params, Writer};

/// The option tag.
pub(super) const TIMER: &str = "timer";

/// Why a session without a refresh is ended, as the BYE says.
const EXPIRED: &[u8] = b"SIP;cause=408;text=\"Session expired\"";

/// Times an INVITE is sent again with a longer interval.
const INTERVALS_REFUSED_MAX: u8 = 3;

/// The longest interval a peer may talk us into, seconds: a day.
const INTERVAL_S_MAX: u32 = 86_400;

/// Who sends the request that a Session-Expires belongs to: `uac` and `uac` only mean something by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// We.
    Us,
    /// The peer.
    Peer,
}

impl SessionTimers {
    fn interval_s(&self) -> u32 {
        seconds(self.interval).max(self.interval_s_min())
    }

    fn interval_s_min(&self) -> u32 {
        seconds(self.interval_min)
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).clamp(1, INTERVAL_S_MAX)
}

impl SessionTimer {
    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval_s))
    }

    /// RFC 4028 §10: BYE goes out a little before the interval is over: 32 s, or a third of a short interval.
    fn longest(&self) -> Duration {
        let interval = self.interval();
        interval - (interval / 3).min(Duration::from_secs(32))
    }

    /// Session-Expires, with Min-SE in a request.
    pub(super) fn write(&self, sender: Sender, request: bool, writer: &mut Writer<'_>) {
        let uac = self.local == (sender == Sender::Us);
        write_interval(self.interval_s, Some(if uac { &b"uac"[..] } else { b"uas" }), writer);
        if request {
            writer.header_number(HeaderName::MinSe, u64::from(self.interval_s_min));
        } else if uac {
            // RFC 4028 §9: the request's sender is to refresh: it has to know what that means.
            writer.header(HeaderName::Require, TIMER.as_bytes());
        }
    }
}

fn write_interval(interval_s: u32, refresher: Option<&[u8]>, writer: &mut Writer<'_>) {
    let Some(refresher) = refresher else {
        writer.header_number(HeaderName::SessionExpires, u64::from(interval_s));
        return;
    };
    let mut digits = [0; 10];
    let digits = decimal(interval_s, &mut digits);
    writer.header_parts(HeaderName::SessionExpires, &[digits, b";refresher=", refresher]);
}

/// A number in decimal.
pub(super) fn decimal(mut value: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

/// What a Session-Expires says: seconds, and whether the request's sender is to refresh, if it says.
fn session_expires(message: &Message) -> Option<(u32, Option<bool>)> {
    let interval_s = message.seconds(HeaderName::SessionExpires)?;
    let value = message.header(HeaderName::SessionExpires)?;
    let refresher = value.split(|byte| *byte == b';').skip(1).find_map(|parameter| {
        let at = memchr::memchr(b'=', parameter)?;
        let name = parameter[..at].trim_ascii();
        name.eq_ignore_ascii_case(b"refresher").then(|| parameter[at + 1..].trim_ascii())
    });
    let uac = match refresher {
        Some(value) if value.eq_ignore_ascii_case(b"uac") => Some(true),
        Some(value) if value.eq_ignore_ascii_case(b"uas") => Some(false),
        _ => None,
    };
    Some((interval_s.min(INTERVAL_S_MAX), uac))
}

/// Whether Session-Expires and Min-SE are what RFC 4028 §4 and §5 say, and not only begin so.
fn is_sound(request: &Message) -> bool {
    let seconds = |name: HeaderName| {
        request.headers(name).all(|value| {
            let at = memchr::memchr(b';', value).unwrap_or(value.len());
            let digits = value[..at].trim_ascii();
            let params = Params::of(value);
            let refresher = params.get("refresher").unwrap_or(Some(b"uac")).unwrap_or_default();
            !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
                && params.are_sound()
                && (refresher.eq_ignore_ascii_case(b"uac") || refresher.eq_ignore_ascii_case(b"uas"))
        })
    };
    seconds(HeaderName::SessionExpires)
        && seconds(HeaderName::MinSe)
        && request.headers(HeaderName::SessionExpires).nth(1).is_none()
}

impl UserAgent {
    /// What our first INVITE of a leg says about session timers; `interval_s` where a 422 has asked for more.
    pub(super) fn write_session_wish(
        timers: &SessionTimers,
        interval_s: Option<u32>,
        writer: &mut Writer<'_>,
    ) {
        if timers.use_with == SessionUse::Off {
            return;
        }
        let refresher: Option<&[u8]> = match timers.refresher {
            Refresher::Any => None,
            Refresher::Local => Some(b"uac"),
            Refresher::Remote => Some(b"uas"),
        };
        write_interval(interval_s.unwrap_or(timers.interval_s()), refresher, writer);
        let least = interval_s.unwrap_or(0).max(timers.interval_s_min());
        writer.header_number(HeaderName::MinSe, u64::from(least));
    }

    /// The interval that a 422 to our INVITE asks for, if we are to try it (RFC 4028 §7.4).
    pub(super) fn longer_interval(
        &mut self,
        key: LegKey,
        request: &Message,
        response: &Message,
    ) -> Option<u32> {
        let calling = self.legs.get_mut(key)?.calling.as_mut()?;
        let wanted = response.seconds(HeaderName::MinSe)?;
        let had = request.seconds(HeaderName::SessionExpires)?;
        if wanted <= had || wanted > INTERVAL_S_MAX || calling.intervals_refused >= INTERVALS_REFUSED_MAX {
            return None;
        }
        calling.intervals_refused += 1;
        Some(wanted)
    }

    /// Our INVITE was answered: does the session have a timer? (RFC 4028 §7.2)
    pub(super) fn session_agreed(
        &mut self,
        now: Instant,
        key: LegKey,
        request: Option<&Message>,
        response: &Message,
    ) {
        let timers = self.config.session_timers;
        if timers.use_with == SessionUse::Off {
            return;
        }
        let granted = session_expires(response);
        if granted.is_none() && timers.use_with != SessionUse::Always {
            return;
        }
        let (interval_s, uac) = granted.unwrap_or((timers.interval_s(), None));
        let interval_s_min =
            request.and_then(|request| request.seconds(HeaderName::MinSe)).unwrap_or(timers.interval_s_min());
        // §7.2: a 2xx without `refresher` is not allowed; then it is better that somebody refreshes.
        let local = uac.unwrap_or(true);
        let offer = request.filter(|_| local).and_then(Message::session_description);
        // A copy: a held call is not to keep its old datagrams alive.
        let offer = offer.map(|offer| Bytes::copy_from_slice(&offer));
        let timer = SessionTimer {
            interval_s: interval_s.max(3),
            interval_s_min,
            local,
            known: granted.is_some(),
            sdp: offer.unwrap_or_default(),
            expires_at: now,
            key: None,
        };
        if let Some(leg) = self.legs.get_mut(key) {
            leg.timer = Some(Box::new(timer));
        }
        self.session_refreshed(now, key);
    }

    /// RFC 4028 §9: an interval that is too short gets 422, if the sender knows what that means; one that is none 400.
    pub(super) fn has_long_enough_interval(
        &mut self,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let timers = self.config.session_timers;
        if !request.has(HeaderName::SessionExpires) || timers.use_with == SessionUse::Off {
            return true;
        }
        if !is_sound(request) {
            self.reply_with(arrival, request, 400, "Bad Session-Expires", |_| {}, out);
            return false;
        }
        let least = timers.interval_s_min();
        let short = session_expires(request).is_some_and(|(interval_s, _)| interval_s < least);
        if !short || !request.lists(HeaderName::Supported, TIMER) {
            return true;
        }
        let more = |writer: &mut Writer<'_>| {
            writer.header_number(HeaderName::MinSe, u64::from(least));
        };
        self.reply_with(arrival, request, 422, reason_phrase(422), more, out);
        false
    }

    /// The timer that a request of the peer, INVITE or UPDATE, asks for or admits (RFC 4028 §9, table 2). It runs
    /// from our 2xx on.
    pub(super) fn note_session_wish(&mut self, key: LegKey, request: &Message) {
        let timers = self.config.session_timers;
        let wish = session_expires(request);
        let known = request.has(HeaderName::Supported) && request.lists(HeaderName::Supported, TIMER);
        let Some(leg) = self.legs.get_mut(key) else { return };
        let wanted = match timers.use_with {
            SessionUse::Off => false,
            SessionUse::Supported => known || wish.is_some(),
            SessionUse::Always => true,
        };
        if !wanted {
            if let Some(mut timer) = leg.timer.take() {
                self.layer.disarm(&mut timer.key);
            }
            return;
        }
        let asked_min = request.seconds(HeaderName::MinSe).unwrap_or(0);
        let interval_s_min = timers.interval_s_min().max(asked_min.min(INTERVAL_S_MAX));
        let before = leg.timer.take();
        let longest = before.as_ref().map_or(timers.interval_s(), |timer| timer.interval_s);
        let interval_s = match wish {
            // It may be shortened, not below Min-SE, and never prolonged.
            Some((wished, _)) => wished.min(longest.max(interval_s_min)),
            None => longest.max(interval_s_min),
        };
        let uac = match (known, wish.and_then(|(_, uac)| uac)) {
            (false, _) => false,
            (true, Some(uac)) => uac,
            (true, None) => match (&before, timers.refresher) {
                (Some(timer), _) => !timer.local,
                (None, Refresher::Remote) => true,
                (None, Refresher::Any | Refresher::Local) => false,
            },
        };
        // Should the request be refused, the session goes on as it was.
        let (sdp, expires_at, timer_key) = before
            .map_or((Bytes::new(), Instant::ZERO, None), |timer| (timer.sdp, timer.expires_at, timer.key));
        leg.timer = Some(Box::new(SessionTimer {
            interval_s: interval_s.max(3),
            interval_s_min,
            local: !uac,
            known: known || wish.is_some(),
            sdp,
            expires_at,
            key: timer_key,
        }));
    }

    /// The peer's 2xx to our re-INVITE or UPDATE: the timer it grants from now on.
    pub(super) fn note_session_grant(&mut self, now: Instant, key: LegKey, response: &Message) {
        let Some(timer) = self.legs.get_mut(key).and_then(|leg| leg.timer.as_mut()) else { return };
        if let Some((interval_s, uac)) = session_expires(response) {
            timer.interval_s = interval_s.max(3);
            timer.local = uac.unwrap_or(true);
            timer.known = true;
        }
        self.session_refreshed(now, key);
    }

    /// A 2xx to INVITE or UPDATE, either way: the interval begins anew.
    pub(super) fn session_refreshed(&mut self, now: Instant, key: LegKey) {
        let Some(timer) = self.legs.get_mut(key).and_then(|leg| leg.timer.as_mut()) else { return };
        timer.expires_at = now + timer.longest();
        let due = if timer.local { now + timer.interval() / 2 } else { timer.expires_at };
        self.layer.disarm(&mut timer.key);
        timer.key = Some(self.layer.deadlines.arm(due, Why::Session(key)));
    }

    /// The session is to be refreshed by us, or has not been refreshed by anybody.
    pub(super) fn session_due(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let busy = leg.is_negotiating();
        let (state, allows_update) = (leg.state, leg.allows_update);
        let Some(timer) = &mut leg.timer else { return };
        timer.key = None;
        if !matches!(state, State::Confirmed | State::Answered) {
            return;
        }
        if now >= timer.expires_at {
            return self.end_with_bye(now, key, How::by(EndedBy::Timeout), EXPIRED, out);
        }
        if busy || state != State::Confirmed {
            // What is under way refreshes the session when it succeeds.
            let again = (now + Duration::from_secs(1)).min(timer.expires_at);
            timer.key = Some(self.layer.deadlines.arm(again, Why::Session(key)));
            return;
        }
        timer.key = Some(self.layer.deadlines.arm(timer.expires_at, Why::Session(key)));
        // Without a description of ours a re-INVITE would ask the peer for an offer.
        let update = allows_update || timer.sdp.is_empty();
        let method = if update { Method::Update } else { Method::Invite };
        self.send_refresh(now, key, method, out);
    }

    /// A refresh of ours: UPDATE without an offer, or a re-INVITE with the last one.
    pub(super) fn send_refresh(
        &mut self,
        now: Instant,
        key: LegKey,
        method: Method,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let sdp = match (&leg.timer, method) {
            (Some(timer), Method::Invite) => timer.sdp.clone(),
            _ => Bytes::new(),
        };
        leg.begin_offer(Offer::new(method, true, sdp));
        if !self.send_offer(now, key, out)
            && let Some(leg) = self.legs.get_mut(key)
        {
            leg.offer = None;
        }
    }

    /// What a refresh of ours was refused with. True when it goes on in another way.
    pub(super) fn refresh_refused(
        &mut self,
        now: Instant,
        key: LegKey,
        method: Method,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return true };
        let Some(timer) = &mut leg.timer else { return false };
        if response.status() == 422
            && let Some(wanted) = response.seconds(HeaderName::MinSe)
            && (timer.interval_s + 1..=INTERVAL_S_MAX).contains(&wanted)
        {
            timer.interval_s = wanted;
            timer.interval_s_min = wanted;
            return self.send_offer(now, key, out);
        }
        if method == Method::Update && matches!(response.status(), 405 | 501) {
            leg.allows_update = false;
            if !timer.sdp.is_empty() {
                leg.offer = None;
                self.send_refresh(now, key, Method::Invite, out);
                return true;
            }
        }
        false
    }

    /// Remembers our last description: how many streams it has, and for a refresh of ours by re-INVITE all of it.
    pub(super) fn note_local_description(&mut self, key: LegKey, sdp: &[u8]) {
        self.note_media_lines(key, sdp);
        if let Some(timer) = self.legs.get_mut(key).and_then(|leg| leg.timer.as_mut())
            && timer.local
            && !sdp.is_empty()
            && timer.sdp != sdp
        {
            timer.sdp = Bytes::copy_from_slice(sdp);
        }
    }
}

impl Leg {
    /// An offer, or an answer that needs an ACK, is under way.
    pub(super) fn is_negotiating(&self) -> bool {
        self.offer.is_some() || self.server.is_some() || self.update.is_some() || self.success.is_some()
    }

    /// Begins an offer of ours; credentials may be asked for anew.
    pub(super) fn begin_offer(&mut self, offer: Offer) {
        self.offer = Some(Box::new(offer));
        self.challenges = 0;
        self.answerers.iter_mut().for_each(super::digest::Answerer::begin);
    }
}
