//! One side of a transit call gives its place to someone else (RFC 3515, 3891).
//!
//! ```text
//!   blind      A ══ us ══ B      B: REFER to C     A ══ us ══ C   (we call C, then B gets NOTIFY 200 and BYE)
//!   attended   A ══ us ══ B      B: REFER to the   A ══ us ══ C   (both calls of B are joined)
//!              C ══ us ══ B      other call
//!   Replaces   A ══ us ══ B      C: INVITE         A ══ us ══ C
//! ```
//! Where the sound goes past us a REFER is passed to the other side, which then calls through us; two calls that are
//! joined get to know each other's descriptions by re-INVITE (`rejoin.rs`).
//!
//! The two calls of an attended transfer may live on different shards. Then the shard that has heard the REFER calls the
//! other one by an INVITE with Replaces, like any third party:
//! ```text
//!   A ══ shard 1 ══ B            A ══ shard 1 ══ shard 2 ══ C
//!   C ══ shard 2 ══ B   REFER
//! ```
//! It is refused (603) where sound goes past us in either: a shard knows nothing of the descriptions that another has
//! passed, and where one call is relayed and the other is not.

use super::{Sound, TransitSound};
use crate::call::{AgentLink, Transit};
use crate::doors::ShardEffect;
use crate::shard::asks::Ask;
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner};
use crate::translate::address::{uri_of, user_of};
use crate::translate::cause::{Said, passed_code, q850_of};
use crate::translate::format::CODECS;
use crate::translate::sdp;
use dialer_core::config::Srtp;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::recording::RecordAct;
use sansio::{Instant, Key, Outbox};
use sip_proxy::ua::{Ended, Invite, LegKey, Reason, Replaced};
use sip_proxy::wire::Message;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Someone is called to take a side's place.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The caller gives its place away, not the callee.
    from_caller: bool,
    pub(crate) leg: LegKey,
    pub(crate) sound: Sound,
    trunk: TrunkKey,
    /// Who gave its place away has hung up since.
    asker_gone: bool,
}

impl Transit {
    pub(super) fn leg_of(&self, caller: bool) -> LegKey {
        if caller { self.caller } else { self.callee }
    }

    fn sound_of(&self, caller: bool) -> Option<Sound> {
        match &self.sound {
            TransitSound::Relay { caller: sound, .. } if caller => Some(*sound),
            TransitSound::Relay { callee: sound, .. } => Some(*sound),
            TransitSound::Bypass => None,
        }
    }

    /// The called leg of a call that is not answered, and its sound where that goes through us.
    pub(crate) fn ringing_callee(&mut self) -> Option<(&mut LegKey, Sound)> {
        let sound = self.sound_of(false).filter(|_| self.answered.is_none())?;
        Some((&mut self.callee, sound))
    }

    /// Takes the called side out of an answered call whose sound goes through us: the number, and leg, sound and trunk.
    pub(crate) fn give_callee(&mut self) -> Option<(String, (LegKey, Sound, TrunkKey))> {
        let free = self.answered.is_some() && self.transfer.is_none();
        self.sound_of(false).filter(|_| free)?;
        let nobody = (LegKey::from_bits(0), Sound::none(), TrunkKey::from_bits(0));
        Some((self.number.clone(), self.seat(false, nobody.0, nobody.1, nobody.2)))
    }

    /// Puts another leg into a side's place; gives what was there.
    pub(super) fn seat(
        &mut self,
        caller: bool,
        leg: LegKey,
        sound: Sound,
        trunk: TrunkKey,
    ) -> (LegKey, Sound, TrunkKey) {
        let (leg_there, trunk_there) =
            if caller { (&mut self.caller, &mut self.from) } else { (&mut self.callee, &mut self.to) };
        let leg = std::mem::replace(leg_there, leg);
        let trunk = std::mem::replace(trunk_there, trunk);
        let sound = match &mut self.sound {
            TransitSound::Relay { caller: there, .. } if caller => std::mem::replace(there, sound),
            TransitSound::Relay { callee: there, .. } => std::mem::replace(there, sound),
            TransitSound::Bypass => Sound::none(),
        };
        (leg, sound, trunk)
    }
}

/// The side of a transit call that an owner is.
pub(super) fn side_of(owner: u64) -> Option<(Key<Transit>, bool)> {
    match Owner::from_bits(owner)? {
        Owner::TransitIn(key) => Some((key, true)),
        Owner::TransitOut(key) => Some((key, false)),
        _ => None,
    }
}

pub(super) fn owner_of(key: Key<Transit>, caller: bool) -> Owner {
    if caller { Owner::TransitIn(key) } else { Owner::TransitOut(key) }
}

impl CallShard {
    /// A peer asks to be replaced by someone else.
    #[expect(clippy::too_many_arguments, reason = "the fields of one REFER")]
    pub(crate) fn refer_asked(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: u64,
        target: &[u8],
        replaces: Option<Replaced>,
        referred_by: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let number = user_of(target);
        let result = match self.transfers_to_number(owner, &number, replaces.as_ref()) {
            None => self.refer_now(now, leg, owner, target, replaces, referred_by, out),
            Some(agent) => {
                let (target, referred_by) = (target.to_vec(), referred_by.map(<[u8]>::to_vec));
                let ask = Ask::Refers { leg, owner, target, referred_by };
                self.ask(agent, &number, ask, out).then_some(()).ok_or(503)
            }
        };
        self.refuse_refer(now, leg, result);
    }

    /// Answers a REFER whose wish came to nothing.
    pub(crate) fn refuse_refer(&mut self, now: Instant, leg: LegKey, result: Result<(), u16>) {
        if let Err(code) = result {
            let _ = self.ua.reject_refer(now, leg, code, &mut self.sip_out);
        }
    }

    /// What a REFER asks for; else the code that refuses it.
    #[expect(clippy::too_many_arguments, reason = "the fields of one REFER")]
    pub(crate) fn refer_now(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: u64,
        target: &[u8],
        replaces: Option<Replaced>,
        referred_by: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        match side_of(owner) {
            None => self.agent_refers(now, leg, owner, target, replaces, referred_by, out),
            Some((key, caller)) => self.transfer(now, leg, key, caller, target, replaces, referred_by, out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one REFER")]
    fn transfer(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: Key<Transit>,
        caller: bool,
        target: &[u8],
        replaces: Option<Replaced>,
        referred_by: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let transit = self.transits.get(key).ok_or(481_u16)?;
        if transit.transfer.is_some() || transit.answered.is_none() {
            return Err(491);
        }
        let number = user_of(target);
        if let (Some(agent), true, None) = (transit.agent, caller, &replaces) {
            self.may_call(agent, &number, out)?;
        }
        let transit = self.transits.get(key).ok_or(481_u16)?;
        match (&transit.sound, replaces) {
            (TransitSound::Bypass, None) => {
                let other = transit.leg_of(!caller);
                let uri = uri_of(&number, self.host_text(0));
                self.ua.refer(now, other, uri.as_bytes(), referred_by, &mut self.sip_out).map_err(|_| 603)
            }
            (TransitSound::Bypass, Some(Replaced::Leg(named))) => {
                self.join_bypassed(now, leg, key, caller, named)
            }
            (TransitSound::Relay { .. }, Some(Replaced::Sibling(replaces))) => {
                let transfer = self.call_sibling(now, key, caller, &replaces, referred_by)?;
                self.begin_transfer(now, leg, key, transfer);
                Ok(())
            }
            (TransitSound::Bypass, Some(_)) | (_, Some(Replaced::Elsewhere(_))) => Err(603),
            (TransitSound::Relay { .. }, Some(Replaced::Leg(named))) => {
                self.join_transits(now, leg, key, caller, named, out)
            }
            (TransitSound::Relay { .. }, None) => {
                let transfer = self.call_third(now, key, caller, &number, referred_by)?;
                self.begin_transfer(now, leg, key, transfer);
                Ok(())
            }
        }
    }

    /// Who is to take a place is being called; who has asked for it is told.
    fn begin_transfer(&mut self, now: Instant, leg: LegKey, key: Key<Transit>, transfer: Transfer) {
        if let Some(transit) = self.transits.get_mut(key) {
            transit.transfer = Some(Box::new(transfer));
        }
        let _ = self.ua.accept_refer(now, leg, &mut self.sip_out);
    }

    /// Calls the shard on which the other call of an attended transfer lives, to take the asker's place there.
    fn call_sibling(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        caller: bool,
        replaces: &[u8],
        referred_by: Option<&[u8]>,
    ) -> Result<Transfer, u16> {
        let transit = self.transits.get(key).ok_or(481_u16)?;
        let text = std::str::from_utf8(replaces).map_err(|_| 400_u16)?;
        let stays = if caller { Some(transit.number.as_str()) } else { transit.caller_id.as_deref() };
        let from_uri = uri_of(stays.unwrap_or("anonymous"), self.host_text(0));
        let request_uri = uri_of("transfer", self.host_text(0));
        let own = *self.config.listeners.first().ok_or(503_u16)?;
        let destination = match own.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), own.port()),
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), own.port()),
            _ => own,
        };
        let security = self.local_security(Srtp::Off);
        let sound = self.open_sound(now, owner_of(key, caller).to_bits(), security).ok_or(503_u16)?;
        let (proof, proven) = self.ua.sibling_proof(replaces);
        let referred_by = referred_by.and_then(|value| std::str::from_utf8(value).ok());
        let referred_by = referred_by.map(|value| ("Referred-By", value));
        let headers: Vec<(&str, &str)> =
            [Some(("Replaces", text)), Some((proof, proven.as_str())), referred_by]
                .into_iter()
                .flatten()
                .collect();
        let invite = Invite {
            owner: Owner::TransitThird(key).to_bits(),
            listener: 0,
            destination,
            trunk: None,
            symmetric: true,
            replaceable: false,
            request_uri: &request_uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &request_uri,
            p_asserted_identity: None,
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp: sdp::offer(&sound.local, &CODECS),
        };
        let leg = self.invite_third(now, key, &invite, &sound)?;
        // No key has generation 0: another shard is no trunk.
        Ok(Transfer { from_caller: caller, leg, sound, trunk: TrunkKey::from_bits(0), asker_gone: false })
    }

    /// Sends the INVITE of a transfer; its sound is closed if that cannot be done.
    fn invite_third(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        invite: &Invite<'_>,
        sound: &Sound,
    ) -> Result<LegKey, u16> {
        let Ok(leg) = self.ua.invite(now, invite, &mut self.sip_out) else {
            self.plane.close(now, sound.stream, &mut self.media_out);
            return Err(503);
        };
        if let Some(transit) = self.transits.get(key) {
            self.trace.note_leg(self.ua.tag_of(leg), transit.id);
        }
        Ok(leg)
    }

    /// Calls the number that a side is to be replaced by, along the routes of that side's trunk.
    fn call_third(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        caller: bool,
        number: &str,
        referred_by: Option<&[u8]>,
    ) -> Result<Transfer, u16> {
        let transit = self.transits.get(key).ok_or(481_u16)?;
        let asks = if caller { transit.from } else { transit.to };
        let from = self.trunks.get(asks).map(|trunk| trunk.id);
        let route = self.routes.iter().find(|route| {
            route.from_trunk.is_none_or(|wanted| Some(wanted) == from) && number.starts_with(&route.prefix)
        });
        let is_down = |key: TrunkKey| self.ua.is_down(now, key.to_bits());
        let chosen = self.trunks.choose(now, &route.ok_or(404_u16)?.to_trunks, &mut self.rng, is_down);
        let (trunk_key, _) = chosen.ok_or(503_u16)?;
        // Who stays is who calls.
        let stays = if caller { Some(transit.number.as_str()) } else { transit.caller_id.as_deref() };
        let from_uri = uri_of(stays.unwrap_or("anonymous"), self.host_text(0));
        let trunk = self.trunks.get(trunk_key).ok_or(503_u16)?;
        let (listener, destination) = trunk.address.ok_or(503_u16)?;
        let request_uri = uri_of(&trunk.row.config.number_for(number), trunk.host());
        let (policy, srtp) = (Arc::clone(&trunk.policy), trunk.row.config.srtp);
        let security = self.local_security(srtp);
        let sound = self.open_sound(now, owner_of(key, caller).to_bits(), security).ok_or(503_u16)?;
        let referred_by = referred_by.and_then(|value| std::str::from_utf8(value).ok());
        let referred_by = referred_by.map(|value| ("Referred-By", value));
        let headers: Vec<(&str, &str)> = referred_by.into_iter().chain(policy.added()).collect();
        let invite = Invite {
            owner: Owner::TransitThird(key).to_bits(),
            listener,
            destination,
            trunk: Some(trunk_key.to_bits()),
            symmetric: false,
            replaceable: false,
            request_uri: &request_uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &request_uri,
            p_asserted_identity: None,
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp: sdp::offer(&sound.local, &CODECS),
        };
        let leg = self.invite_third(now, key, &invite, &sound)?;
        if let Some(trunk) = self.trunks.get_mut(trunk_key) {
            trunk.take(now);
        }
        Ok(Transfer { from_caller: caller, leg, sound, trunk: trunk_key, asker_gone: false })
    }

    pub(crate) fn third_progress(&mut self, now: Instant, key: Key<Transit>, code: u16) {
        self.tell_asker(now, key, code);
    }

    fn tell_asker(&mut self, now: Instant, key: Key<Transit>, code: u16) {
        let Some(transit) = self.transits.get(key) else { return };
        let Some(transfer) = transit.transfer.as_ref().filter(|transfer| !transfer.asker_gone) else {
            return;
        };
        let asker = transit.leg_of(transfer.from_caller);
        let _ = self.ua.notify_refer(now, asker, code, &mut self.sip_out);
    }

    /// The third party answered: it takes the place.
    pub(crate) fn third_answered(&mut self, now: Instant, key: Key<Transit>, body: Option<&[u8]>) {
        let transfer = self.transits.get(key).and_then(|transit| transit.transfer.as_ref());
        let Some(local) = transfer.map(|transfer| transfer.sound.local) else { return };
        let Some(plan) = body.and_then(|body| sdp::read_answer(&local, body).ok()) else {
            self.transfer_failed(now, key, 488);
            return;
        };
        self.tell_asker(now, key, 200);
        let Some(transit) = self.transits.get_mut(key) else { return };
        let Some(transfer) = transit.transfer.take() else { return };
        let Transfer { from_caller, leg, sound, trunk, .. } = *transfer;
        self.ua.adopt(leg, owner_of(key, from_caller).to_bits());
        self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        self.take_seat(now, key, from_caller, leg, sound, trunk);
    }

    /// Puts a leg into a side's place and lets go of who sat there.
    fn take_seat(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        caller: bool,
        leg: LegKey,
        sound: Sound,
        trunk: TrunkKey,
    ) {
        let Some(transit) = self.transits.get_mut(key) else { return };
        let (gone, its_sound, its_trunk) = transit.seat(caller, leg, sound, trunk);
        let (call, stays) = (transit.id, transit.sound_of(!caller));
        // Whoever listens to the call listens on.
        self.plane.hand_over_recording(its_sound.stream, sound.stream);
        self.move_fork(now, call, its_sound.stream, sound.stream);
        if let Some(stays) = stays {
            self.plane.connect(now, stays.stream, sound.stream, &mut self.media_out);
        }
        let reason = Reason { q850: Some(q850_of(EndCause::Normal)), ..Reason::default() };
        self.ua.adopt(gone, 0);
        self.ua.hangup(now, gone, reason, &mut self.sip_out);
        self.plane.close(now, its_sound.stream, &mut self.media_out);
        self.trunks.release(its_trunk);
    }

    /// The third party's leg is over before it took the place.
    pub(crate) fn third_ended(&mut self, now: Instant, key: Key<Transit>, ended: &Ended) {
        self.transfer_failed(now, key, passed_code(ended));
    }

    fn transfer_failed(&mut self, now: Instant, key: Key<Transit>, code: u16) {
        self.tell_asker(now, key, code);
        let asker_gone = self
            .transits
            .get(key)
            .and_then(|transit| transit.transfer.as_ref())
            .is_some_and(|t| t.asker_gone);
        self.drop_transfer(now, key);
        if asker_gone {
            // Nobody is left to talk to.
            self.end_transit(now, key, Party::System, EndCause::Normal, Some(200), Said::default());
        }
    }

    /// A side of a call has hung up. True when someone is being called in its place, so that the call goes on.
    pub(super) fn transfer_goes_on(&mut self, key: Key<Transit>, from_caller: bool) -> bool {
        let transfer = self.transits.get_mut(key).and_then(|transit| transit.transfer.as_mut());
        let Some(transfer) = transfer.filter(|transfer| transfer.from_caller == from_caller) else {
            return false;
        };
        transfer.asker_gone = true;
        true
    }

    /// Gives a transfer up: the third party is called no more.
    pub(super) fn drop_transfer(&mut self, now: Instant, key: Key<Transit>) {
        let transfer = self.transits.get_mut(key).and_then(|transit| transit.transfer.take());
        let Some(transfer) = transfer else { return };
        let reason = Reason { q850: Some(q850_of(EndCause::Normal)), ..Reason::default() };
        self.ua.hangup(now, transfer.leg, reason, &mut self.sip_out);
        self.plane.close(now, transfer.sound.stream, &mut self.media_out);
        self.trunks.release(transfer.trunk);
    }

    /// Attended: the other parties of two calls of one peer are joined, and the peer is let go of in both.
    fn join_transits(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: Key<Transit>,
        caller: bool,
        named: LegKey,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let (other_key, other_caller) = self.ua.owner(named).and_then(side_of).ok_or(603_u16)?;
        let other = self.transits.get_mut(other_key).ok_or(603_u16)?;
        let joinable = other.answered.is_some() && other.transfer.is_none() && other_key != key;
        if !joinable || other.leg_of(other_caller) != named {
            return Err(603);
        }
        other.sound_of(!other_caller).ok_or(603_u16)?;
        // What was made of that call ends with it, so that its other party is free to be heard in this one.
        let (other_call, recording) = (other.id, other.recording.take());
        if let Some(recording) = recording {
            self.change_recording(now, RecordAct::Stop(recording));
        }
        self.end_fork_named(other_call, out);
        let other = self.transits.get_mut(other_key).ok_or(603_u16)?;
        let nobody = (LegKey::from_bits(0), Sound::none(), TrunkKey::from_bits(0));
        let (far, sound, trunk) = other.seat(!other_caller, nobody.0, nobody.1, nobody.2);
        let owner = owner_of(key, caller).to_bits();
        self.ua.adopt(far, owner);
        self.plane.adopt(sound.stream, owner);
        let _ = self.ua.accept_refer(now, leg, &mut self.sip_out);
        let _ = self.ua.notify_refer(now, leg, 200, &mut self.sip_out);
        self.take_seat(now, key, caller, far, sound, trunk);
        let by = if other_caller { Party::Caller } else { Party::Customer };
        self.end_transit(now, other_key, by, EndCause::Normal, Some(200), Said::default());
        Ok(())
    }

    /// What became of a REFER that was passed to the other side.
    pub(crate) fn refer_passed(&mut self, now: Instant, owner: u64, code: u16, answer: bool) {
        let Some((key, caller)) = side_of(owner) else { return };
        let Some(asker) = self.transits.get(key).map(|transit| transit.leg_of(!caller)) else { return };
        let _ = match (answer, code) {
            (true, ..=299) => self.ua.accept_refer(now, asker, &mut self.sip_out),
            (true, code) => self.ua.reject_refer(now, asker, code, &mut self.sip_out),
            // Told with the acceptance.
            (false, 100) => Ok(()),
            (false, code) => self.ua.notify_refer(now, asker, code, &mut self.sip_out),
        };
    }

    /// INFO goes to the other side as it is.
    pub(crate) fn transit_info(&mut self, now: Instant, owner: u64, content_type: &[u8], body: &[u8]) {
        let Some((key, caller)) = side_of(owner) else { return };
        let Some(other) = self.transits.get(key).map(|transit| transit.leg_of(!caller)) else { return };
        let _ = self.ua.info(now, other, content_type, body, &mut self.sip_out);
    }

    /// An INVITE that is to take a leg's place (RFC 3891): its sound goes where that leg's went.
    pub(crate) fn replace_leg(
        &mut self,
        now: Instant,
        leg: LegKey,
        replaced: LegKey,
        request: &Message,
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Err(code) = self.try_replace_leg(now, leg, replaced, request, out) {
            let _ = self.ua.reject(now, leg, code, Reason::default(), &mut self.sip_out);
        }
    }

    fn try_replace_leg(
        &mut self,
        now: Instant,
        leg: LegKey,
        replaced: LegKey,
        request: &Message,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let owner = self.ua.owner(replaced).and_then(Owner::from_bits).ok_or(481_u16)?;
        if self.ua.is_calling(replaced) {
            return self.pick_up(now, leg, owner, replaced, request, out);
        }
        if let Some((key, caller)) = side_of(owner.to_bits()) {
            let transit = self.transits.get(key).ok_or(481_u16)?;
            if matches!(transit.sound, TransitSound::Bypass) {
                return self.replace_bypassed(now, leg, key, caller, replaced, request);
            }
        }
        let mut sound = self.seated_sound(owner, replaced).ok_or(488_u16)?;
        sound.local.version += 1;
        // Someone else's numbers begin anew, and no key may see one twice.
        sound.local.security = self.renewed(&sound.local.security);
        let offer = request.session_description().unwrap_or_default();
        let (plan, text) =
            sdp::answer(&offer, &sound.local, self.wish_for(sound.stream)).map_err(|_| 488_u16)?;
        self.ua.adopt(leg, owner.to_bits());
        self.ua.answer(now, leg, &text, &mut self.sip_out).map_err(|_| 500_u16)?;
        self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        self.reseat(owner, leg, sound);
        self.note_signaller(leg);
        let reason = Reason { q850: Some(q850_of(EndCause::Normal)), ..Reason::default() };
        self.ua.adopt(replaced, 0);
        self.ua.hangup(now, replaced, reason, &mut self.sip_out);
        Ok(())
    }

    /// The sound of the place that a leg has; `None` where the sound goes past us or the leg is about to go.
    pub(crate) fn seated_sound(&self, owner: Owner, leg: LegKey) -> Option<Sound> {
        match owner {
            Owner::TransitIn(key) | Owner::TransitOut(key) => {
                let transit = self.transits.get(key)?;
                let caller = matches!(owner, Owner::TransitIn(_));
                (transit.leg_of(caller) == leg).then(|| transit.sound_of(caller))?
            }
            Owner::TransitThird(_) | Owner::Guest(_) | Owner::Participant(_) => None,
            Owner::Customer(key) => {
                let side = self.calls.get(key)?.customer.as_ref()?;
                (side.leg == leg).then_some(side.sound)
            }
            Owner::Agent(key) => match self.calls.get(key)?.agent.as_ref()?.link {
                AgentLink::Up { leg: there, sound, .. } if there == leg => Some(sound),
                _ => None,
            },
            Owner::Session(key) => {
                let session = self.sessions.get(key)?;
                (session.leg == leg).then_some(session.sound)
            }
        }
    }

    fn reseat(&mut self, owner: Owner, newcomer: LegKey, newcomers: Sound) {
        match owner {
            Owner::TransitIn(key) | Owner::TransitOut(key) => {
                let Some(transit) = self.transits.get_mut(key) else { return };
                let caller = matches!(owner, Owner::TransitIn(_));
                let trunk = if caller { transit.from } else { transit.to };
                transit.seat(caller, newcomer, newcomers, trunk);
            }
            Owner::TransitThird(_) | Owner::Guest(_) | Owner::Participant(_) => {}
            Owner::Customer(key) => {
                if let Some(side) = self.calls.get_mut(key).and_then(|call| call.customer.as_mut()) {
                    (side.leg, side.sound) = (newcomer, newcomers);
                }
            }
            Owner::Agent(key) => {
                if let Some(side) = self.calls.get_mut(key).and_then(|call| call.agent.as_mut())
                    && let AgentLink::Up { leg, sound, .. } = &mut side.link
                {
                    (*leg, *sound) = (newcomer, newcomers);
                }
            }
            Owner::Session(key) => {
                if let Some(session) = self.sessions.get_mut(key) {
                    (session.leg, session.sound) = (newcomer, newcomers);
                }
            }
        }
    }
}
