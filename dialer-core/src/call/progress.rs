//! Before the answer: dialled, ringing, early media.

use super::{Call, Moment};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{CallId, TrunkId};
use crate::outcome::{AmdEvidence, AmdVerdict, EarlyMediaClass, EndCause, Evidence, Outcome, Party};
use crate::pacing::{CallRef, PacingEvent};
use crate::record::{AmdDetail, EarlyMediaDetail};
use crate::view::CallState;
use sansio::Instant;

/// How sure words are: a recogniser may mishear.
const WORDS_CONFIDENCE: f32 = 0.7;
/// A tone or announcement is believed from this confidence on.
const TONE_CONFIDENCE_MIN: f32 = 0.5;

impl Dialer {
    pub(super) fn on_dialled(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.dialled.is_some() {
            return;
        }
        call.dialled = Some(Moment { at: cx.now, wall: cx.wall });
        call.customer_leg = true;
        let event = Event::CallDialing {
            to: call.to.clone(),
            caller_id: call.caller_id.clone(),
            trunk: call.trunk,
            attempt: call.number_of_attempt,
        };
        if call.state == CallState::Queued {
            self.set_call_state(id, CallState::Dialing);
        }
        self.tell_call(cx, id, event);
    }

    /// Its channel is one of another trunk; nothing else of it has changed.
    pub(super) fn on_moved(
        &mut self,
        id: CallId,
        trunk: TrunkId,
        caller_id: Option<String>,
        sip_code: Option<u16>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.trunk, trunk);
        call.caller_id = caller_id;
        call.moved = true;
        let campaign = call.campaign;
        self.free_channel(before);
        self.take_channel(trunk);
        self.lines_were_freed();
        self.counters.left_trunk(before, sip_code);
        self.counters.attempt(campaign, trunk);
        self.dirty.calls.insert(id);
    }

    pub(super) fn on_progress(&mut self, cx: &mut Cx<'_>, id: CallId, sip_code: u16, early_media: bool) {
        let Some(call) = self.calls.get(&id).filter(|call| call.answered.is_none()) else { return };
        let after_dial_ms = call.dialled_at().map_or(0, |at| cx.now.millis_since(at));
        self.tell_call(cx, id, Event::CallProgress { sip_code, after_dial_ms, early_media });
    }

    pub(super) fn on_ringing(&mut self, cx: &mut Cx<'_>, id: CallId, early_media: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before_ringing = matches!(call.state, CallState::Queued | CallState::Dialing);
        if call.ringing.is_some() || !before_ringing {
            return;
        }
        call.customer_leg = true;
        call.ringing = Some(Moment { at: cx.now, wall: cx.wall });
        let pdd_ms = call.pdd_ms().unwrap_or(0);
        let (paced, number) = (call.is_paced(), call.number);
        self.set_call_state(id, CallState::Ringing);
        self.tell_call(cx, id, Event::CallRinging { pdd_ms, early_media });
        if paced {
            self.observe(cx.now, &PacingEvent::Alerting { call: CallRef(number) });
        }
    }

    /// What was said is known by its words: before the answer an announcement, behind it an assistant.
    pub(super) fn on_words(&mut self, cx: &mut Cx<'_>, id: CallId, class: EarlyMediaClass, phrase: &str) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(answered) = call.answered else {
            let name = format!("words/{phrase}");
            return self.on_early_media(cx, id, class, WORDS_CONFIDENCE, Some(&name));
        };
        if class == EarlyMediaClass::Screening {
            let after_answer_ms = cx.now.millis_since(answered.at);
            let evidence = AmdEvidence::Words;
            let detail = AmdDetail { evidence, confidence: WORDS_CONFIDENCE, after_answer_ms, left_ms: None };
            self.on_amd(cx, id, AmdVerdict::Screening, detail);
        }
    }

    /// A tone or announcement that says the call will not be answered ends it, also before the least ringing time: nobody is
    /// being rung.
    pub(super) fn on_early_media(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        class: EarlyMediaClass,
        confidence: f32,
        announcement: Option<&str>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.answered.is_some() || call.state == CallState::Ending {
            return;
        }
        call.early_media = Some(class);
        let after_dial_ms = call.dialled_at().map_or(0, |at| cx.now.millis_since(at));
        let announcement = announcement.map(str::to_owned);
        call.early_media_detail =
            Some(EarlyMediaDetail { confidence, announcement: announcement.clone(), after_dial_ms });
        let evidence = if announcement.is_some() { Evidence::Announcement } else { Evidence::Tone };
        let listens = call
            .campaign
            .and_then(|id| self.campaigns.get(&id))
            .is_some_and(|campaign| campaign.row.config.early_media);
        self.counters.heard(class);
        self.tell_call(cx, id, Event::CallEarlyMedia { class, confidence, announcement });
        let Some((outcome, cause)) = meaning(class) else { return };
        if listens && confidence >= TONE_CONFIDENCE_MIN {
            self.hang_up(cx, id, cause, Party::System, Some((outcome, evidence)));
        }
    }
}

/// What becomes of a call in whose early media this is heard; `None`: it may still be answered.
const fn meaning(class: EarlyMediaClass) -> Option<(Outcome, EndCause)> {
    Some(match class {
        EarlyMediaClass::Busy => (Outcome::Busy, EndCause::Busy),
        EarlyMediaClass::Congestion => (Outcome::NetworkCongestion, EndCause::Congestion),
        EarlyMediaClass::Sit | EarlyMediaClass::InvalidNumber => {
            (Outcome::InvalidNumber, EndCause::InvalidNumber)
        }
        EarlyMediaClass::Suspended => (Outcome::Suspended, EndCause::Unreachable),
        EarlyMediaClass::PowerOff => (Outcome::PowerOff, EndCause::Unreachable),
        EarlyMediaClass::Unreachable => (Outcome::Unreachable, EndCause::Unreachable),
        EarlyMediaClass::InCall => (Outcome::InCall, EndCause::Busy),
        EarlyMediaClass::NoAnswer => (Outcome::NoAnswer, EndCause::NoAnswer),
        EarlyMediaClass::CallForbidden => (Outcome::CallForbidden, EndCause::Forbidden),
        EarlyMediaClass::Ringback
        | EarlyMediaClass::ColouredRingback
        | EarlyMediaClass::Voice
        | EarlyMediaClass::Screening => {
            return None;
        }
    })
}

impl Call {
    /// From the INVITE to the first ringing.
    pub(crate) fn pdd_ms(&self) -> Option<u64> {
        Some(self.ringing?.at.millis_since(self.dialled_at()?))
    }

    /// When its INVITE left; until that is known, when it was ordered.
    fn dialled_at(&self) -> Option<Instant> {
        self.dialled.map(|moment| moment.at).or(self.dial_ordered)
    }
}
