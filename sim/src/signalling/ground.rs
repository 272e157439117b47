//! The ground under the daemon: what its two machines want done, done in the world.

use super::Sabotage;
use super::happening::Happening;
use super::world::World;
use dialer_core::record::Record;
use dialer_core::view::ViewChange;
use dialer_core::{CallFact, Event};
use engine::{ControlEffect, PacketKind, RecordOp, ShardEffect, ShardEvent, WrittenFile};
use sansio::Duration;

impl World {
    pub(super) fn control_effect(&mut self, effect: ControlEffect) {
        let now = self.now;
        let life = self.life;
        self.trace.thing(&effect);
        match effect {
            ControlEffect::Journal { seq, records } => {
                self.book.journalled(now, seq, &mut self.found);
                for record in &records {
                    if let Record::CallEnded(record) = record {
                        self.wire.call_over(record.call);
                    }
                }
                if self.sabotage == Sabotage::EarlyDurable {
                    self.at(now, Happening::Durable { life, seq });
                }
                if let Some(at) = self.disk.append(now, seq, records) {
                    self.at(at, Happening::Commit { life });
                }
            }
            ControlEffect::ToShard { command, .. } => self.order(command),
            ControlEffect::Publish(envelope) => {
                self.book.publish(now, &envelope, &mut self.found);
                if let Event::AgentState { reason, .. } = &envelope.event
                    && ["session_down", "unregistered", "missed_offer", "missed_offers"]
                        .contains(&reason.as_str())
                {
                    self.agents_lost.push(now);
                }
                if !matches!(envelope.event, Event::CampaignPacing { .. }) {
                    let id = envelope.call.map(|call| call.to_string()).unwrap_or_default();
                    let tail = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
                    let detail = told(&envelope.event);
                    self.trace
                        .note(now, format_args!("event {} {tail} {detail}", envelope.event.type_name()));
                }
            }
            ControlEffect::Reply { tag, result } => {
                if let Err(error) = &result {
                    self.trace.note(now, format_args!("command {tag} is refused: {error}"));
                }
                self.book.answered(now, tag, &result, &mut self.found);
                self.setup_reply(tag, &result);
            }
            ControlEffect::View(change) => self.see(&change),
            // No campaign of the simulated world takes dial requests, and none of its numbers is called.
            ControlEffect::FindCallbacks { at: due, limit } => {
                let (leads, next) = self.disk.store.callbacks(due, limit as usize);
                let at = now + self.disk.read_time();
                self.at(at, Happening::Callbacks { life, leads, next });
            }
            ControlEffect::FindExpired { .. } | ControlEffect::RecallCaller { .. } => {}
            ControlEffect::LoadLeads { campaign, lists, limit, due_at, .. } => {
                let (leads, more, next_due) = self.disk.store.load(&lists, limit as usize, due_at);
                let at = now + self.disk.read_time();
                self.at(at, Happening::Leads { life, campaign, leads, more, next_due });
            }
        }
    }

    fn see(&mut self, change: &ViewChange) {
        match change {
            ViewChange::Agent(view) => {
                let person = self.people.iter().position(|person| person.id == Some(view.row.id));
                let Some(person) = person else { return };
                if let Some(ms) = self.people[person].sees(view) {
                    let mood = self.people[person].mood;
                    self.after(ms, Happening::Mood { person, mood });
                }
            }
            ViewChange::Call(view) => drop(self.operator.calls.insert(view.id, view.kind)),
            ViewChange::CallGone(call) => drop(self.operator.calls.remove(call)),
            _ => {}
        }
    }

    pub(super) fn shard_effect(&mut self, effect: ShardEffect, packet: Option<&[u8]>) {
        let now = self.now;
        let shard_life = self.shard_life;
        match effect {
            ShardEffect::SendSip { listener, to, bytes } => self.transmit_to_peer(listener, to, &bytes),
            ShardEffect::Ask(question) => self.ask(question),
            ShardEffect::CloseFlow { listener, peer } => self.at(now, Happening::Hung { key: (listener, peer) }),
            ShardEffect::HoldPorts { rtp_port, .. } => {
                self.trace.word(u64::from(rtp_port));
                if self.ports.contains_key(&rtp_port) {
                    self.found.add(now, "no port is held that is open", format!("{rtp_port}"));
                }
                if self.rng.chance(self.scene.ports_fail) {
                    self.trace.note(now, format_args!("ports {rtp_port} cannot be held"));
                    let taken = self.rng.chance(0.8);
                    self.at(now, Happening::PortsNotHeld { shard_life, rtp_port, taken });
                }
            }
            ShardEffect::OpenPorts { stream, rtp_port, rtcp_port } => {
                self.trace.word(u64::from(rtp_port));
                if self.rng.chance(self.scene.ports_fail) {
                    self.trace.note(now, format_args!("ports {rtp_port} cannot be bound"));
                    self.ports_failing.insert(stream);
                    return self.at(now, Happening::PortsFailed { shard_life, stream });
                }
                for (port, kind) in [(rtp_port, PacketKind::Rtp), (rtcp_port, PacketKind::Rtcp)] {
                    if self.ports.insert(port, (stream, kind)).is_some() {
                        self.found.add(now, "a port is opened once", format!("{port}"));
                    }
                }
            }
            ShardEffect::ClosePorts { stream } => {
                let before = self.ports.len();
                self.ports.retain(|_, (of, _)| *of != stream);
                // The shard may close a stream before it hears that its ports were never open.
                if before - self.ports.len() != 2 && !self.ports_failing.remove(&stream) {
                    self.found.add(now, "open ports are closed, once", format!("{stream:?}"));
                }
            }
            ShardEffect::Forward { to, .. } => {
                self.packets_sent += 1;
                self.trace.word(to.0);
                if packet.is_none() {
                    self.found.add(now, "only a packet at hand is forwarded", format!("{to:?}"));
                }
            }
            ShardEffect::SendPacket { from, packet, .. } => {
                self.packets_sent += 1;
                self.trace.word(from.0);
                self.trace.bytes(&packet);
            }
            // No rule of the simulated world has signatures checked.
            ShardEffect::FetchCertificate { .. }
            | ShardEffect::Words { .. }
            | ShardEffect::ServerName { .. }
            | ShardEffect::Latched { .. }
            | ShardEffect::Unlatched { .. }
            // Only where the ground has said that it can.
            | ShardEffect::Offload { .. }
            | ShardEffect::Reclaim { .. }
            | ShardEffect::CountOffload { .. }
            | ShardEffect::Dtls(_) => {}
            // Nobody in this world asks for a fork.
            ShardEffect::Fork(_) => {}
            ShardEffect::Record(op) => self.record(op),
            ShardEffect::Event(event) => {
                self.trace.thing(&event);
                if let ShardEvent::Call(CallFact::Moved { call, .. }) = &event {
                    self.wire.moves(now, *call, &mut self.found);
                }
                if let ShardEvent::Call(fact) = &event {
                    self.trace.note(now, format_args!("fact {}", fact_in_short(&format!("{fact:?}"))));
                }
                self.tell_control(event);
            }
        }
    }

    fn record(&mut self, op: RecordOp) {
        let (now, shard_life) = (self.now, self.shard_life);
        match op {
            RecordOp::Open { recording, file } => {
                if self.recordings.insert(recording, (file, 0)).is_some() {
                    self.found.add(now, "a recording is opened once", format!("{recording}"));
                }
                if self.rng.chance(self.scene.recordings_fail / 3.0) {
                    self.recordings.remove(&recording);
                    let result = Err("no space left".to_owned());
                    self.after(30, Happening::Written { shard_life, recording, result });
                }
            }
            // A recording that has failed may be written to until the shard has heard of it.
            RecordOp::Append { recording, samples } => {
                if let Some((_, bytes)) = self.recordings.get_mut(&recording) {
                    *bytes += samples.len() as u64;
                }
            }
            RecordOp::Finish { recording, frames } => {
                let Some((file, bytes)) = self.recordings.remove(&recording) else { return };
                if bytes != frames * 4 {
                    self.found.add(
                        now,
                        "a recording holds its frames",
                        format!("{recording}: {bytes} for {frames}"),
                    );
                }
                let fails = self.rng.chance(self.scene.recordings_fail);
                let result = if fails {
                    Err("the disk is gone".to_owned())
                } else {
                    Ok(WrittenFile { file, bytes: bytes + 44, cut_off_after_ms: None })
                };
                let ms = 1 + self.rng.below(50);
                self.after(ms, Happening::Written { shard_life, recording, result });
            }
        }
    }

    /// A commit has ended.
    pub(super) fn commit(&mut self) {
        let life = self.life;
        let (done, next) = self.disk.commit(self.now);
        for (seq, records) in &done {
            self.written(*seq, records);
        }
        if let Some((seq, _)) = done.last() {
            self.at(self.now + Duration::from_micros(50), Happening::Durable { life, seq: *seq });
        }
        if let Some(at) = next {
            self.at(at, Happening::Commit { life });
        }
    }

    /// These records are on the disk.
    pub(super) fn written(&mut self, _seq: u64, records: &[Record]) {
        let forgets = self.sabotage == Sabotage::ForgetsEnds;
        for record in records.iter().filter(|record| !(forgets && matches!(record, Record::CallEnded(_)))) {
            self.book.durable(self.now, record, &mut self.found);
        }
    }
}

/// The part of a fact's debug text that a ladder needs.
fn fact_in_short(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("call_") {
        out.push_str(&rest[..at]);
        let id_end = (at + 31).min(rest.len());
        out.push_str(rest.get(id_end.saturating_sub(6)..id_end).unwrap_or_default());
        rest = rest.get(id_end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn told(event: &Event) -> String {
    match event {
        Event::CallEnded { record } => {
            format!("{} {} by {}", record.outcome.as_str(), record.cause.as_str(), record.ended_by.as_str())
        }
        Event::AgentState { from, to, reason, .. } => {
            format!("{} -> {} ({reason})", from.as_str(), to.as_str())
        }
        Event::LegEnded { party, cause, .. } => format!("{} {}", party.as_str(), cause.as_str()),
        _ => String::new(),
    }
}
