//! Of which streams the ground is asked what it has relayed, before an input is handled after which a record may tell it.

use super::{CallShard, Owner};
use crate::call::transit::{Transit, TransitSound};
use crate::call::{AgentLink, Call, Session};
use crate::doors::{ShardCommand, ShardInput, StreamId, call_of_order};
use crate::translate::effect::stream_id;
use dialer_core::{CallId, CallOrder};
use media::StreamKey;
use sansio::Key;
use sip_proxy::ua::Concern;

/// Streams to be counted: give [`ShardInput::OffloadCounted`] of those that you relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CountsWanted {
    /// These. Most inputs want none.
    Of(Vec<StreamId>),
    /// Whatever you relay.
    All,
}

impl CallShard {
    /// What is to be counted before this input is handed in.
    #[must_use]
    pub fn counts_wanted(&self, input: &ShardInput<'_>) -> CountsWanted {
        let mut streams = Vec::new();
        match input {
            ShardInput::Datagram { bytes, .. } => match self.ua.concern_of(bytes) {
                Concern::Nobody => {}
                Concern::Leg(leg) => {
                    if let Some(owner) = self.ua.owner(leg).and_then(Owner::from_bits) {
                        self.streams_of_owner(owner, &mut streams);
                    }
                }
                Concern::Several => return CountsWanted::All,
            },
            // Those begin something.
            ShardInput::Command(ShardCommand::Call {
                order: CallOrder::DialCustomer { .. } | CallOrder::RingAgent { .. },
                ..
            }) => {}
            ShardInput::Command(ShardCommand::Call { order, .. }) => {
                self.streams_of_named(call_of_order(order), &mut streams);
            }
            ShardInput::Command(ShardCommand::EndTransit { call, .. }) => {
                if let Some(key) = self.transit_key(*call) {
                    self.streams_of_transit(key, &mut streams);
                }
            }
            ShardInput::Command(ShardCommand::CloseSession { agent }) => {
                if let Some(session) = self.agents.session_of(*agent) {
                    self.streams_of_session(session, &mut streams);
                }
            }
            ShardInput::Command(ShardCommand::HangupAll) => return CountsWanted::All,
            _ => {}
        }
        // What a stream has sent is counted where it came in: at its peer.
        let peers: Vec<StreamKey> = streams.iter().filter_map(|stream| self.plane.peer(*stream)).collect();
        streams.extend(peers);
        streams.sort_unstable();
        streams.dedup();
        CountsWanted::Of(streams.into_iter().map(stream_id).collect())
    }

    fn streams_of_owner(&self, owner: Owner, streams: &mut Vec<StreamKey>) {
        match owner {
            Owner::Customer(key) | Owner::Agent(key) | Owner::Guest(key) => {
                self.streams_of_call(key, streams);
            }
            Owner::Session(key) => self.streams_of_session(key, streams),
            Owner::TransitIn(key) | Owner::TransitOut(key) | Owner::TransitThird(key) => {
                self.streams_of_transit(key, streams);
            }
            Owner::Participant(key) => {
                if let Some(participant) = self.participants.get(key) {
                    self.streams_of_call(participant.call(), streams);
                }
            }
        }
    }

    fn streams_of_named(&self, call: CallId, streams: &mut Vec<StreamKey>) {
        if let Some(key) = self.call_keys.get(&call) {
            self.streams_of_call(*key, streams);
        }
    }

    fn streams_of_session(&self, key: Key<Session>, streams: &mut Vec<StreamKey>) {
        let Some(session) = self.sessions.get(key) else { return };
        streams.push(session.sound.stream);
        if let Some(call) = session.call {
            self.streams_of_call(call, streams);
        }
    }

    fn streams_of_call(&self, key: Key<Call>, streams: &mut Vec<StreamKey>) {
        let Some(call) = self.calls.get(key) else { return };
        streams.extend(call.customer.as_ref().map(|side| side.sound.stream));
        match call.agent.as_ref().map(|side| &side.link) {
            Some(AgentLink::Ringing { sound, .. } | AgentLink::Up { sound, .. }) => {
                streams.push(sound.stream)
            }
            Some(AgentLink::Session(session)) => {
                streams.extend(self.sessions.get(*session).map(|session| session.sound.stream));
            }
            None => {}
        }
        let others = call.participants.iter().filter_map(|key| self.participants.get(*key));
        streams.extend(others.map(|participant| participant.calling.sound.stream));
    }

    fn streams_of_transit(&self, key: Key<Transit>, streams: &mut Vec<StreamKey>) {
        if let Some(TransitSound::Relay { caller, callee, .. }) =
            self.transits.get(key).map(|transit| &transit.sound)
        {
            streams.extend([caller.stream, callee.stream]);
        }
    }
}
