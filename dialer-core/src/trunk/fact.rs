//! What is heard of trunks: health, registration.

use crate::dialer::{About, Cx, Dialer};
use crate::event::Event;
use crate::id::TrunkId;
use crate::input::TrunkFact;

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
}
