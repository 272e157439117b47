//! The end of a transit call, and its record.

use super::{Sound, Transit, TransitSound};
use crate::doors::{ShardEffect, ShardEvent};
use crate::shard::{CallShard, Why};
use crate::translate::cause::{Said, cause_of, passed_code, q850_of, transit_outcome};
use dialer_core::CallFact;
use dialer_core::outcome::{EndCause, Evidence, Party};
use dialer_core::record::{CallKindTag, CallRecord};
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::{Ended, EndedBy, LegKey, Reason};

/// Transit facts wait this long for company on their way to the control core: what they cost there and in the store is
/// the wake-up and the commit, much more than the record.
const GATHER: Duration = Duration::from_millis(100);

impl CallShard {
    /// One of the legs is over; so is the call.
    pub(crate) fn transit_leg_ended(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        from_caller: bool,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) {
        if !from_caller
            && ended.retry_after.is_some()
            && let Some(to) = self.transits.get(key).map(|transit| transit.to)
        {
            self.heed_retry_after(now, to, ended, out);
        }
        if self.transfer_goes_on(key, from_caller) || (!from_caller && self.call_elsewhere(now, key, ended)) {
            return;
        }
        let answered = self.transits.get(key).is_some_and(|transit| transit.answered.is_some());
        if let (false, Some(transit)) = (from_caller, self.transits.get_mut(key)) {
            transit.callee_over = true;
        }
        if ended.by == EndedBy::Remote {
            let refused = !from_caller && !answered && ended.code.is_some();
            self.pass_along_end(key, from_caller, refused.then(|| passed_code(ended)));
        }
        let by = match (ended.by, from_caller) {
            (EndedBy::Remote, true) => Party::Caller,
            (EndedBy::Remote, false) => Party::Customer,
            (EndedBy::Local | EndedBy::Timeout | EndedBy::Protocol, _) => Party::System,
        };
        let said = Said::of(ended);
        if from_caller {
            let cancelled = ended.by == EndedBy::Remote && !answered;
            let cause = if cancelled { EndCause::Cancelled } else { cause_of(ended) };
            let code = if answered { 200 } else { ended.code.unwrap_or(487) };
            self.end_transit(now, key, by, cause, Some(code), said);
        } else {
            let code = if answered { 200 } else { passed_code(ended) };
            self.end_transit(now, key, by, cause_of(ended), Some(code), said);
        }
    }

    /// The called leg of a call that is over has come to its end.
    pub(crate) fn cancelled_transit_ended(&mut self, leg: LegKey) {
        if let Some(trunk) = self.cancelled_transits.remove(&leg.to_bits()) {
            self.trunks.release(trunk);
        }
    }

    /// Ends a transit call: both legs (what has ended already stays as it is), both streams, its record.
    pub(crate) fn end_transit(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        by: Party,
        cause: EndCause,
        code: Option<u16>,
        said: Said,
    ) {
        self.drop_transfer(now, key);
        let Some(transit) = self.transits.remove(key) else { return };
        // Its INVITE was answered with 200, whatever has ended it since.
        let code = if transit.answered.is_some() { Some(200) } else { code };
        if let Some(deadline) = transit.deadline {
            self.deadlines.cancel(deadline);
        }
        // What one side has said goes on to the other; where it has said nothing, we do.
        let told = said.reason();
        let nothing = told.q850.is_none() && told.sip.is_none() && told.passed.is_empty();
        let reason = if nothing { Reason { q850: Some(q850_of(cause)), ..told } } else { told };
        self.ua.hangup(now, transit.callee, reason, &mut self.sip_out);
        match code {
            Some(code @ 300..) if transit.answered.is_none() => {
                let _ = self.ua.reject(now, transit.caller, code, told, &mut self.sip_out);
            }
            _ => self.ua.hangup(now, transit.caller, reason, &mut self.sip_out),
        }
        let media = self.transit_media(now, &transit);
        self.close_transit_sound(now, &transit.sound);
        self.trunks.release(transit.from);
        if transit.callee_over || transit.answered.is_some() {
            self.trunks.release(transit.to);
        } else {
            // The carrier counts a cancelled call until it has said its last word.
            self.cancelled_transits.insert(transit.callee.to_bits(), transit.to);
        }
        if let Some(agent) = transit.agent {
            self.agents.end_call(agent);
        }
        self.counters.transits_ended += 1;
        let from = transit.from_id;
        let record = CallRecord { media, ..self.transit_record(now, transit, by, cause, code, &said) };
        let record = Box::new(record);
        self.tell_transit(now, CallFact::TransitEnded { from, record });
    }

    /// One of the streams has been silent for too long. The call ends when the other is silent too, since its last sound or,
    /// where none ever came, since its answer: one-way announcements are calls.
    pub(crate) fn transit_silent(&mut self, now: Instant, key: Key<Transit>) {
        let Some(transit) = self.transits.get(key) else { return };
        let TransitSound::Relay { caller, callee, .. } = &transit.sound else { return };
        let heard = |sound: &Sound| self.plane.stats(sound.stream).and_then(|stats| stats.last_packet_at);
        let Some(last) = heard(caller).max(heard(callee)).or(transit.answered) else { return };
        if now.since(last) >= self.config.media_timeout {
            self.end_transit(now, key, Party::System, EndCause::MediaTimeout, Some(408), Said::default());
        }
    }

    pub(in crate::call) fn close_transit_sound(&mut self, now: Instant, sound: &TransitSound) {
        if let TransitSound::Relay { caller, callee, .. } = sound {
            self.plane.close(now, caller.stream, &mut self.media_out);
            self.plane.close(now, callee.stream, &mut self.media_out);
        }
    }

    fn transit_record(
        &self,
        now: Instant,
        transit: Transit,
        by: Party,
        cause: EndCause,
        sip_code: Option<u16>,
        said: &Said,
    ) -> CallRecord {
        let wall = |at: Instant| self.clock.wall_at(at);
        let answered = transit.answered;
        CallRecord {
            call: transit.id,
            tenant: None,
            attempt: None,
            campaign: None,
            lead: None,
            agent: transit.agent,
            trunk: Some(transit.to_id),
            kind: CallKindTag::Transit,
            mode: None,
            to: transit.number,
            caller_id: transit.caller_id,
            number_of_attempt: 0,
            started_at: wall(transit.started),
            ringing_at: transit.ringing.map(wall),
            answered_at: answered.map(wall),
            bridged_at: answered.map(wall),
            ended_at: wall(now),
            outcome: transit_outcome(answered.is_some(), cause),
            evidence: if sip_code.is_some() { Evidence::Sip } else { Evidence::Timer },
            cause,
            ended_by: by,
            sip_code,
            q850: said.q850.map(u16::from),
            pdd_ms: transit.ringing.map(|at| at.millis_since(transit.started)),
            ring_ms: transit.ringing.map(|at| answered.unwrap_or(now).millis_since(at)),
            answer_to_bridge_ms: answered.map(|_| 0),
            talk_ms: answered.map_or(0, |at| now.millis_since(at)),
            amd: None,
            early_media: None,
            abandoned: false,
            safe_harbour_played: false,
            digits: String::new(),
            recording: transit.first_recording,
            more_recordings: Vec::new(),
            client_state: None,
            verstat: transit.verstat,
            reason: said.record(),
            transferred_to: None,
            participants: Vec::new(),
            amd_detail: None,
            early_media_detail: None,
            media: Vec::new(),
        }
    }

    /// Transit facts are gathered, so that a thousand calls a second cross the ring in a few pieces.
    pub(super) fn tell_transit(&mut self, now: Instant, fact: CallFact) {
        if self.transit_facts.is_empty() {
            self.transit_facts_due = Some(self.deadlines.arm(now + GATHER, Why::TellTransit));
        }
        self.transit_facts.push(fact);
    }

    /// Passes on what was gathered.
    pub(crate) fn flush_transit_facts(&mut self, out: &mut Outbox<ShardEffect>) {
        if let Some(due) = self.transit_facts_due.take() {
            self.deadlines.cancel(due);
        }
        if !self.transit_facts.is_empty() {
            let facts = std::mem::take(&mut self.transit_facts);
            out.push(ShardEffect::Event(ShardEvent::Transit(facts)));
        }
    }
}
