//! Commands about live calls that have a name: how each came out is told, once.
//!
//! ```text
//!   granted ──► command.completed                        at once, where nothing has to follow
//!           └─► awaits ──► command.completed | failed    by what is told of the call, at the latest by its end
//! ```
//!
//! What is refused was never taken, and is told of by nobody but its answer. A call that a crash cut off takes its
//! commands with it: its end says so.

use crate::check::text;
use crate::command::{Command, CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{CallId, ForkId, LegId, RecordingId};
use crate::participant::CallWish;
use crate::recording::RecordWish;

/// Commands of one call whose end has not been told.
const PENDING_MAX: usize = 64;
/// Longest name of a command, characters.
const NAME_MAX: usize = 128;

/// A command whose end has not been told.
#[derive(Clone, Debug)]
pub(crate) struct TrackedCommand {
    name: String,
    verb: &'static str,
    awaits: Awaits,
}

/// What has to be told of the call before the command has come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaits {
    /// The customer is on hold, or back.
    Hold(bool),
    /// Who was called answers.
    Joined(LegId),
    /// … is gone.
    Left(LegId),
    /// Someone took the agent's place.
    Transferred,
    /// The caller is answered.
    Answered,
    /// Customer and agent are joined.
    Bridged,
    /// The digits are taken in.
    Collected,
    /// The sound is kept.
    Recorded(RecordingId),
    /// The sound goes out.
    Forked(ForkId),
    /// … no longer.
    ForkOver,
    /// The call's end.
    End,
}

/// The name of what is wished, as the path of the API has it.
const fn verb(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Hangup(_) => "hangup",
        Command::Call { wish, .. } => match wish {
            CallWish::Join(joining) => match joining.mode {
                Some(_) => "supervise",
                None => "add_participant",
            },
            CallWish::SetMode { .. } => "supervise",
            CallWish::Drop(_) => "remove_participant",
            CallWish::Hold(true) => "hold",
            CallWish::Hold(false) => "unhold",
            CallWish::Mute { muted: true, .. } => "mute",
            CallWish::Mute { muted: false, .. } => "unmute",
            CallWish::Press { .. } => "dtmf",
            CallWish::Play { .. } => "play",
            CallWish::StopPlay(_) => "stop_play",
            CallWish::Answer => "answer",
            CallWish::Bridge(_) => "bridge",
            CallWish::Park { .. } => "park",
            CallWish::Consult(_) => "consult",
            CallWish::Merge => "merge",
            CallWish::Collect(_) => "collect",
            CallWish::Transfer(_) => "transfer",
            CallWish::Record(RecordWish::Start) => "record",
            CallWish::Record(RecordWish::Pause(_)) => "record_pause",
            CallWish::Record(RecordWish::Resume) => "record_resume",
            CallWish::Record(RecordWish::Stop) => "record_stop",
            CallWish::StartFork(_) => "fork_start",
            CallWish::StopFork(_) => "fork_stop",
        },
        _ => return None,
    })
}

impl Awaits {
    /// How a command comes out by what is told of its call: why it failed, if it did; `None`: not by this.
    fn outcome(self, told: &Event) -> Option<Result<(), String>> {
        match (self, told) {
            (Awaits::Hold(true), Event::CallHeld { .. })
            | (Awaits::Hold(false), Event::CallResumed { .. })
            | (Awaits::Transferred, Event::CallTransferred { .. })
            | (Awaits::ForkOver, Event::CallForkEnded { .. }) => Some(Ok(())),
            (Awaits::Answered, Event::CallAnswered { .. }) | (Awaits::Bridged, Event::CallBridged { .. }) => {
                Some(Ok(()))
            }
            (Awaits::Bridged, Event::CallAgentMissed { cause, .. }) => Some(Err(cause.as_str().into())),
            (Awaits::Collected, Event::CallCollected { digits, ended_by }) => {
                Some(if digits.is_empty() { Err(ended_by.clone()) } else { Ok(()) })
            }
            (Awaits::Transferred, Event::CallTransferFailed { sip_code, .. }) => {
                Some(Err(format!("refused with {sip_code}")))
            }
            (
                Awaits::Joined(wanted),
                Event::CallSupervisionStarted { leg, .. } | Event::CallParticipantJoined { leg, .. },
            ) => (*leg == wanted).then_some(Ok(())),
            (
                Awaits::Joined(wanted),
                Event::CallSupervisionEnded { leg, cause, .. }
                | Event::CallParticipantLeft { leg, cause, .. },
            ) => (*leg == wanted).then(|| Err(cause.as_str().into())),
            (
                Awaits::Left(wanted),
                Event::CallSupervisionEnded { leg, .. } | Event::CallParticipantLeft { leg, .. },
            ) => (*leg == wanted).then_some(Ok(())),
            (Awaits::Recorded(wanted), Event::RecordingStarted { recording }) => {
                (*recording == wanted).then_some(Ok(()))
            }
            (Awaits::Recorded(wanted), Event::RecordingFailed { recording, reason }) => {
                (*recording == wanted).then(|| Err(reason.clone()))
            }
            (Awaits::Forked(wanted), Event::CallForkStarted { fork, .. }) => {
                (*fork == wanted).then_some(Ok(()))
            }
            (Awaits::Forked(wanted), Event::CallForkEnded { fork, reason, .. }) => {
                (*fork == wanted).then(|| Err(reason.clone().unwrap_or_else(|| "ended".into())))
            }
            _ => None,
        }
    }
}

impl Dialer {
    /// Carries out a command about a live call and remembers to tell how it came out.
    pub(crate) fn tracked(
        &mut self,
        cx: &mut Cx<'_>,
        name: String,
        command: Command,
    ) -> Result<Reply, CommandError> {
        text("/command_id", &name, 1, NAME_MAX)?;
        let call = match &command {
            Command::Hangup(call) | Command::Call { call, .. } => *call,
            _ => return self.command(cx, command),
        };
        if self.tracked.get(&call).is_some_and(|pending| pending.len() >= PENDING_MAX) {
            return Err(CommandError::Limit { what: "commands of a call under way" });
        }
        let Some(verb) = verb(&command) else { return self.command(cx, command) };
        let waits = self.waits_for(call, &command);
        let reply = self.command(cx, command)?;
        let awaits = match (&reply, waits) {
            (Reply::Leg(leg), Some(Awaits::Joined(_))) if !self.has_joined(call, *leg) => {
                Some(Awaits::Joined(*leg))
            }
            (_, Some(Awaits::Joined(_))) => None,
            (Reply::Recording(recording), Some(Awaits::Recorded(_))) => Some(Awaits::Recorded(*recording)),
            (Reply::Fork(fork), Some(Awaits::Forked(_))) => Some(Awaits::Forked(*fork)),
            (_, waits) => waits,
        };
        match awaits {
            Some(awaits) => {
                self.tracked.entry(call).or_default().push(TrackedCommand { name, verb, awaits });
            }
            None => self.tell_call(cx, call, Event::CommandCompleted { name, verb: verb.into() }),
        }
        Ok(reply)
    }

    /// What would have to follow the command before it has come out, the names that it will give left open.
    fn waits_for(&self, id: CallId, command: &Command) -> Option<Awaits> {
        let Command::Call { wish, .. } = command else { return Some(Awaits::End) };
        match wish {
            CallWish::Hold(on) => {
                let call = self.calls.get(&id)?;
                let follows = call.held != *on && (*on || call.held_by.is_some());
                follows.then_some(Awaits::Hold(*on))
            }
            CallWish::Join(_) | CallWish::Consult(_) => Some(Awaits::Joined(LegId::from_bits(0))),
            CallWish::Merge => {
                let held = self.calls.get(&id).is_some_and(|call| call.held);
                held.then_some(Awaits::Hold(false))
            }
            CallWish::Answer => {
                let answered = self.calls.get(&id).is_some_and(|call| call.answered.is_some());
                (!answered).then_some(Awaits::Answered)
            }
            CallWish::Bridge(_) => Some(Awaits::Bridged),
            CallWish::Collect(_) => Some(Awaits::Collected),
            CallWish::Drop(leg) => Some(Awaits::Left(*leg)),
            CallWish::Transfer(_) => Some(Awaits::Transferred),
            CallWish::Record(RecordWish::Start) => Some(Awaits::Recorded(RecordingId::from_bits(0))),
            CallWish::StartFork(_) => Some(Awaits::Forked(ForkId::from_bits(0))),
            CallWish::StopFork(_) => Some(Awaits::ForkOver),
            CallWish::SetMode { .. }
            | CallWish::Park { .. }
            | CallWish::Mute { .. }
            | CallWish::Press { .. }
            | CallWish::Play { .. }
            | CallWish::StopPlay(_)
            | CallWish::Record(_) => None,
        }
    }

    fn has_joined(&self, id: CallId, leg: LegId) -> bool {
        let call = self.calls.get(&id);
        call.is_some_and(|call| call.participants.iter().any(|one| one.leg == leg && one.has_joined()))
    }

    /// Tells of the commands that have come out by what was told of their call just now.
    pub(super) fn settle_tracked(&mut self, cx: &mut Cx<'_>, id: CallId, told: &Event) {
        let Some(pending) = self.tracked.get_mut(&id) else { return };
        let mut over = Vec::new();
        pending.retain(|command| match command.awaits.outcome(told) {
            Some(outcome) => {
                over.push((command.clone(), outcome));
                false
            }
            None => true,
        });
        if pending.is_empty() {
            self.tracked.remove(&id);
        }
        for (command, outcome) in over {
            self.tell_outcome(cx, id, command, outcome);
        }
    }

    /// Tells, before the end of a call, how the commands came out that waited for something.
    pub(super) fn end_tracked(&mut self, cx: &mut Cx<'_>, id: CallId) {
        for command in self.tracked.remove(&id).unwrap_or_default() {
            let outcome = match command.awaits {
                Awaits::End | Awaits::Left(_) | Awaits::ForkOver => Ok(()),
                _ => Err("call_ended".into()),
            };
            self.tell_outcome(cx, id, command, outcome);
        }
    }

    fn tell_outcome(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        TrackedCommand { name, verb, .. }: TrackedCommand,
        outcome: Result<(), String>,
    ) {
        let verb = verb.into();
        let event = match outcome {
            Ok(()) => Event::CommandCompleted { name, verb },
            Err(reason) => Event::CommandFailed { name, verb, reason },
        };
        self.tell_call(cx, id, event);
    }
}
