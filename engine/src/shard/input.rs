//! What comes in, and what signalling and sound make of it.

use super::{CallShard, Why};
use crate::doors::{ShardEffect, ShardInput};
use crate::translate::cause::Said;
use crate::translate::effect::{media_kind, of_media, stream_key};
use dialer_core::outcome::{EndCause, Party};
use sansio::{Instant, Outbox};
use sip_proxy::ua;

impl CallShard {
    pub(super) fn take_input(&mut self, now: Instant, input: ShardInput<'_>, out: &mut Outbox<ShardEffect>) {
        match input {
            ShardInput::Datagram { listener, source, bytes } => {
                self.trace.note(now, false, listener, source, &bytes);
                self.heard = bytes.clone();
                self.ua.handle_datagram(now, listener, source, bytes, &mut self.sip_out);
            }
            ShardInput::Located { question, answer, ttl } => {
                self.ua.located(now, &question, answer, ttl, &mut self.sip_out);
            }
            ShardInput::FlowOpened { listener, peer, names } => {
                self.trace.connected(now, listener, peer);
                self.ua.flow_opened(listener, peer, names);
            }
            ShardInput::FlowClosed { listener, peer } => {
                self.ua.flow_closed(now, listener, peer, &mut self.sip_out);
            }
            ShardInput::FlowRefused { listener, peer } => {
                self.trace.refused(listener, peer);
                self.ua.flow_refused(now, listener, peer, &mut self.sip_out);
            }
            ShardInput::Unsent { listener, peer, bytes, no_way } => {
                self.trace.unsent(listener, peer, &bytes);
                if no_way {
                    self.ua.undelivered(now, listener, peer, &bytes, &mut self.sip_out);
                }
            }
            ShardInput::Undelivered { listener, peer, quoted } => {
                self.ua.undelivered(now, listener, peer, &quoted, &mut self.sip_out);
            }
            ShardInput::FlowBroken { listener, peer, head, fault } => {
                self.ua.flow_broken(listener, peer, head, fault, &mut self.sip_out);
            }
            ShardInput::Packet { stream, kind, source, packet } => {
                let (stream, kind) = (stream_key(stream), media_kind(kind));
                self.plane.handle_packet(now, stream, kind, source, packet, &mut self.media_out);
            }
            ShardInput::Tapped { stream, packet } => {
                self.plane.heard(now, stream_key(stream), packet, &mut self.media_out);
            }
            ShardInput::OffloadCounted { stream, counts } => {
                self.plane.offload_counted(stream_key(stream), &counts);
            }
            ShardInput::OffloadEnded { stream, counts } => {
                self.plane.offload_ended(stream_key(stream), &counts);
            }
            ShardInput::OffloadRefused { stream } => self.plane.offload_refused(now, stream_key(stream)),
            ShardInput::DtlsPacket { stream, packet } => {
                self.plane.dtls_send(stream_key(stream), packet, &mut self.media_out);
            }
            ShardInput::DtlsDone { stream, keys } => self.plane.dtls_done(now, stream_key(stream), &keys),
            ShardInput::DtlsFailed { stream } => {
                self.plane.dtls_failed(stream_key(stream), &mut self.media_out);
            }
            ShardInput::DtlsRenewed { fingerprint } => self.config.dtls_fingerprint = Some(fingerprint),
            ShardInput::Command(command) => self.take_command(now, command, out),
            ShardInput::PortsFailed { stream } => {
                self.plane.ports_failed(now, stream_key(stream), &mut self.media_out);
            }
            ShardInput::PortsNotHeld { rtp_port, taken } => {
                self.plane.ports_not_held(now, rtp_port, taken, &mut self.media_out);
            }
            ShardInput::Certificate { url, file } => self.certificate_came(now, url, file, out),
            ShardInput::Fork { fork, input } => self.fork_input(fork, input, out),
            ShardInput::RecordingWritten { recording, result } => {
                self.recording_written(now, recording, result, out);
            }
        }
    }

    pub(super) fn deadline_passed(&mut self, now: Instant, why: Why, out: &mut Outbox<ShardEffect>) {
        match why {
            Why::CustomerRingsTooLong(key) => self.end_call(now, key, Party::System, EndCause::NoAnswer, out),
            Why::CallTooLong(key) => self.end_call(now, key, Party::System, EndCause::MaxDuration, out),
            Why::AgentRingsTooLong(key, leg) => {
                if self.calls.get_mut(key).is_some_and(|call| call.seat_leg(leg)) {
                    self.agent_failed(now, key, EndCause::NoAnswer, None, out);
                }
            }
            Why::GuestRingsTooLong(key) => {
                if let Some(transfer) = self.calls.get_mut(key).and_then(|call| call.transfer.as_mut()) {
                    transfer.deadline_passed();
                    self.guest_failed(now, key, 408, out);
                }
            }
            Why::ParticipantRingsTooLong(key) => self.drop_participant(now, key, EndCause::NoAnswer, out),
            Why::SessionRingsTooLong(key) => {
                self.end_session(now, key, Party::System, EndCause::NoAnswer, out);
            }
            Why::TransitTooLong(key) => {
                self.end_transit(now, key, Party::System, EndCause::MaxDuration, Some(408), Said::default());
            }
            Why::TrunkOpens(trunk) => self.trunk_opens(now, trunk, out),
            Why::CertificateCame => self.carry_on_certified(now, out),
            Why::TellTransit => self.flush_transit_facts(out),
        }
    }

    /// Carries on what signalling and sound put out, until both are quiet.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Outbox<ShardEffect>) {
        loop {
            self.plane.settle_offload(now, &mut self.media_out);
            if self.media_out.is_empty() && self.sip_out.is_empty() {
                break;
            }
            // Ports are asked for before the message that names them leaves.
            if !self.media_out.is_empty() {
                let spare = std::mem::take(&mut self.media_spare);
                let mut batch = std::mem::replace(&mut self.media_out, spare);
                for output in batch.drain() {
                    match of_media(output) {
                        Ok(effect) => out.push(effect),
                        Err(media::Output::Record(op)) => self.pass_record_op(op, out),
                        Err(media::Output::Fork(op)) => self.pass_fork_op(op, out),
                        Err(media::Output::Event(event)) => self.media_event(now, event, out),
                        Err(_) => {}
                    }
                }
                self.media_spare = batch;
                continue;
            }
            let spare = std::mem::take(&mut self.sip_spare);
            let mut batch = std::mem::replace(&mut self.sip_out, spare);
            for output in batch.drain() {
                match output {
                    ua::Output::Send { listener, to, bytes } => {
                        if self.ua.leaves_at_once(listener, to) {
                            self.trace.note(now, true, listener, to, &bytes);
                        } else {
                            self.trace.note_waiting(now, listener, to, &bytes);
                        }
                        out.push(ShardEffect::SendSip { listener, to, bytes });
                    }
                    ua::Output::Close { listener, peer } => {
                        out.push(ShardEffect::CloseFlow { listener, peer });
                    }
                    ua::Output::Ask(question) => out.push(ShardEffect::Ask(question)),
                    ua::Output::ServerName { listener, to, name, answers } => {
                        out.push(ShardEffect::ServerName { listener, to, name, answers });
                    }
                    ua::Output::Event(event) => self.sip_event(now, event, out),
                }
            }
            self.sip_spare = batch;
        }
    }
}
