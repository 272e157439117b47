//! What is heard of trunks: health, registration, transit calls.

use crate::call::EndedCall;
use crate::dialer::{About, Cx, Dialer};
use crate::event::Event;
use crate::id::{CallId, TrunkId};
use crate::input::TrunkFact;
use crate::record::{CallRecord, Record};

impl Dialer {
    pub(crate) fn on_trunk(&mut self, cx: &mut Cx<'_>, fact: TrunkFact) {
        match fact {
            TrunkFact::Health { trunk, up, reason, rtt_ms } => {
                let before = self.trunks.get(&trunk).is_some_and(super::Trunk::usable);
                let Some(found) = self.trunks.get_mut(&trunk) else { return };
                found.up = up || found.row.config.options_interval_ms == 0;
                found.rtt_ms = rtt_ms.or(found.rtt_ms.filter(|_| up));
                found.down_reason =
                    if found.up { None } else { Some(reason.unwrap_or_else(|| "no answer".into())) };
                self.trunk_changed(cx, trunk, before);
            }
            TrunkFact::Closed { trunk, closed } => {
                let before = self.trunks.get(&trunk).is_some_and(super::Trunk::usable);
                let Some(found) = self.trunks.get_mut(&trunk) else { return };
                found.closed = closed;
                self.trunk_changed(cx, trunk, before);
            }
            TrunkFact::Overload { trunk, loss_percent } => {
                let Some(found) = self.trunks.get_mut(&trunk) else { return };
                found.overload_loss_percent = loss_percent;
                self.dirty.trunks.insert(trunk);
            }
            TrunkFact::Registration { trunk, registered, reason } => {
                let before = self.trunks.get(&trunk).is_some_and(super::Trunk::usable);
                let Some(found) = self.trunks.get_mut(&trunk) else { return };
                if !found.row.config.register {
                    return;
                }
                found.registered = Some(registered);
                if !registered {
                    found.down_reason = reason.or_else(|| Some("not registered".into()));
                } else if found.up {
                    found.down_reason = None;
                }
                self.trunk_changed(cx, trunk, before);
            }
        }
    }

    /// Tells of a trunk that became usable or ceased to be.
    fn trunk_changed(&mut self, cx: &mut Cx<'_>, id: TrunkId, usable_before: bool) {
        self.dirty.trunks.insert(id);
        let trunk = &self.trunks[&id];
        let usable = trunk.usable();
        if usable == usable_before {
            return;
        }
        let reason = trunk.down_reason.clone().unwrap_or_default();
        let event =
            if usable { Event::TrunkUp { trunk: id } } else { Event::TrunkDown { trunk: id, reason } };
        self.tell(cx, About::default(), event);
        self.want_all_decisions();
    }

    pub(crate) fn on_transit_started(&mut self, cx: &Cx<'_>, call: CallId, from: TrunkId, to: TrunkId) {
        if self.transit.insert(call, (from, to)).is_none() {
            for trunk in [from, to] {
                self.count_transit(cx.now, trunk, |active| active + 1);
            }
        }
    }

    /// A transit call is told of once, when it is over; its only event is its end.
    pub(crate) fn on_transit_ended(&mut self, cx: &mut Cx<'_>, from: TrunkId, record: CallRecord) {
        if let Some((from, to)) = self.transit.remove(&record.call) {
            for trunk in [from, to] {
                self.count_transit(cx.now, trunk, |active| active.saturating_sub(1));
            }
        }
        self.counters.record_ended(&record);
        self.counters.transit_from(from);
        self.journal(cx, vec![Record::CallEnded(Box::new(record.clone()))]);
        // Only a recording can be told of later; its event goes on counting.
        if record.recording.is_some() {
            self.ended.insert(record.call, EndedCall::cut_off(&record, None, 1));
        }
        let about = About { call: Some(record.call), seq: Some(1), ..About::default() };
        self.tell(cx, about, Event::CallEnded { record: Box::new(record) });
    }
}
