//! How the call sounds.

use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::CallId;
use crate::outcome::{AudioState, Party};
use crate::record::LegMedia;
use crate::view::CallState;

/// Legs whose sound is kept; a call that had more agents than this keeps the first ones.
const LEGS_MAX: usize = 8;

impl Dialer {
    /// Sound is missed only where someone is there to hear it.
    pub(super) fn on_audio(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        party: Party,
        state: AudioState,
        one_way: bool,
    ) {
        let transit = self.transit.get(&id).map(|call| call.state());
        if self.calls.get(&id).map(|call| call.state).or(transit) == Some(CallState::Bridged) {
            self.counters.audio(party, state);
            self.tell_call(cx, id, Event::CallAudio { party, state, one_way });
        }
    }

    pub(super) fn on_media(&mut self, id: CallId, media: LegMedia) {
        if let Some(call) = self.calls.get_mut(&id)
            && call.media.len() < LEGS_MAX
        {
            call.media.push(media);
        }
    }
}
