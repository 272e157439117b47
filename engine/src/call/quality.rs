//! How the sides of a call sound: told while it lasts, and once more before a leg ends.

use super::transit::{Transit, TransitSound};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner};
use crate::translate::cause::audio_state;
use crate::translate::format::{Format, Wish};
use dialer_core::outcome::{AudioState, Party};
use dialer_core::record::LegMedia;
use dialer_core::{CallFact, CallId};
use media::StreamKey;
use sansio::{Instant, Key, Outbox};

impl CallShard {
    /// A side's sound stopped or came back.
    pub(crate) fn audio_changed(
        &mut self,
        owner: u64,
        state: media::AudioState,
        one_way: bool,
        out: &mut Outbox<ShardEffect>,
    ) {
        let (key, party) = match Owner::from_bits(owner) {
            Some(Owner::Customer(key)) => (Some(key), Party::Customer),
            Some(Owner::Agent(key)) => (Some(key), Party::Agent),
            Some(Owner::Session(key)) => {
                (self.sessions.get(key).and_then(|session| session.call), Party::Agent)
            }
            Some(Owner::TransitIn(key)) => {
                return self.transit_audio(key, Party::Caller, audio_state(state), one_way, out);
            }
            Some(Owner::TransitOut(key)) => {
                return self.transit_audio(key, Party::Customer, audio_state(state), one_way, out);
            }
            Some(Owner::TransitThird(_) | Owner::Guest(_) | Owner::Participant(_)) | None => return,
        };
        if let Some(call) = key.and_then(|key| self.calls.get(key)) {
            let state = audio_state(state);
            self.tell(CallFact::Audio { call: call.id, party, state, one_way }, out);
        }
    }

    /// A side of an answered transit call: told where sound was ever heard of it, for there are calls that carry none.
    fn transit_audio(
        &mut self,
        key: Key<Transit>,
        party: Party,
        state: AudioState,
        one_way: bool,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(transit) = self.transits.get(key).filter(|transit| transit.is_answered()) else { return };
        let TransitSound::Relay { caller, callee, .. } = &transit.sound else { return };
        let heard = |stream| self.plane.stats(stream).is_some_and(|stats| stats.last_packet_at.is_some());
        if heard(caller.stream) || heard(callee.stream) {
            let call = transit.id;
            // That it began is known before.
            self.flush_transit_facts(out);
            self.tell(CallFact::Audio { call, party, state, one_way }, out);
        }
    }

    /// Both sides of a transit call are there: what is not heard from now on is missed.
    pub(crate) fn watch_transit(&mut self, now: Instant, key: Key<Transit>) {
        if let Some(TransitSound::Relay { caller, callee, .. }) = self.transits.get(key).map(|t| &t.sound) {
            let streams = [caller.stream, callee.stream];
            streams.into_iter().for_each(|stream| self.plane.watch_anew(now, stream));
        }
    }

    /// Tells how a leg sounded, before its stream closes or goes on to another call.
    pub(crate) fn tell_media(
        &mut self,
        now: Instant,
        call: CallId,
        party: Party,
        stream: StreamKey,
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Some(media) = self.leg_media(now, party, stream) {
            self.tell(CallFact::Media { call, media: Box::new(media) }, out);
        }
    }

    /// How both sides of a transit call sounded; nothing where the sound did not go through us.
    pub(crate) fn transit_media(&self, now: Instant, transit: &Transit) -> Vec<LegMedia> {
        let TransitSound::Relay { caller, callee, .. } = &transit.sound else { return Vec::new() };
        let sides = [(Party::Caller, caller.stream), (Party::Customer, callee.stream)];
        sides.into_iter().filter_map(|(party, stream)| self.leg_media(now, party, stream)).collect()
    }

    /// What a stream's far end speaks; `None` before that is settled.
    pub(crate) fn spoken(&self, stream: StreamKey) -> Option<Format> {
        self.plane.coding(stream).map(|(codec, coded)| Format::of(codec, coded))
    }

    /// What an answer for a stream that is joined to another had best choose.
    pub(crate) fn wish_for(&self, stream: StreamKey) -> Wish {
        let codec = self.plane.peer(stream).and_then(|peer| self.spoken(peer)).or(self.spoken(stream));
        Wish { codec, comfort_noise: false }
    }

    fn leg_media(&self, now: Instant, party: Party, stream: StreamKey) -> Option<LegMedia> {
        let quality = self.plane.quality(now, stream)?;
        Some(LegMedia {
            party,
            codec: Format::of(quality.codec, quality.coded).encoding().into(),
            packets_received: quality.received,
            packets_lost: quality.lost,
            packets_sent: quality.sent,
            loss: quality.loss,
            jitter_ms: quality.jitter_ms,
            jitter_ms_max: quality.jitter_max_ms,
            rtt_ms: quality.rtt_ms,
            remote_loss: quality.remote_loss,
            remote_jitter_ms: quality.remote_jitter_ms,
            mos: quality.mos,
            remote_mos: quality.remote_mos,
            audio: audio_state(quality.audio),
        })
    }
}
