//! Agents: at work or not (status), doing what (state), reached how (session), chosen when.
//!
//! *Status* is what the agent wants: logged out, available, on a break. *State* is what the agent does. While
//! nothing keeps the agent busy (call, task, after-call work) the state follows from status and phone:
//! [`Agent::rest_state`].

mod command;
pub(crate) mod device;
mod pause;
mod select;
mod session;
mod state;
mod wrap_up;

pub(crate) use session::Line;
pub(crate) use wrap_up::{BY_TIMER, WrapUp};

use crate::call::Moment;
use crate::config::SessionKind;
use crate::id::{CallId, TaskId};
use crate::record::{AgentRow, ContactRow};
use crate::view::AgentState;
use sansio::{TimerKey, WallTime};

/// An agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) row: AgentRow,
    /// Its number for the pacer.
    pub(crate) number: u32,
    /// Logged in, and how.
    pub(crate) session: Option<SessionKind>,
    /// On a break (or on one as soon as the present work is over), with this code.
    pub(crate) paused: Option<String>,
    /// When the break has lasted as long as it may.
    pub(crate) pause_timer: Option<TimerKey>,
    /// Logs out as soon as the present work is over.
    pub(crate) leaving: bool,
    /// The registered phone.
    pub(crate) phone: Option<ContactRow>,
    /// The phone is registered and does not answer OPTIONS.
    pub(crate) silent: bool,
    /// The leg of the nailed-up session, or of a phone rung early.
    pub(crate) line: Line,
    pub(crate) channels: device::Channels,
    /// A phone that is rung call by call was rung because lines ring ([`crate::ConnectAt::Ringing`]): the agent hears
    /// them and keeps the leg until one conversation is over or nothing rings any more.
    pub(crate) rung_early: bool,
    /// Sessions lost in a row, for the back-off.
    pub(crate) reopenings: u32,
    pub(crate) reopen: Option<TimerKey>,
    pub(crate) state: AgentState,
    pub(crate) since: Moment,
    /// When the state ends by itself.
    pub(crate) expires_at: Option<WallTime>,
    pub(crate) call: Option<CallId>,
    pub(crate) task: Option<TaskId>,
    pub(crate) wrap_up: Option<WrapUp>,
    /// Offers missed in a row.
    pub(crate) missed: u32,
    /// The phone has asked for so long a rest with the offer that it refuses, milliseconds.
    pub(crate) rest_ms: u64,
    /// Gets no offers until this fires.
    pub(crate) backoff: Option<(TimerKey, WallTime)>,
    pub(crate) state_ms: [u64; 10],
    pub(crate) calls_taken: u32,
}

impl Agent {
    pub(crate) fn new(row: AgentRow, number: u32, now: Moment) -> Self {
        Agent {
            row,
            number,
            session: None,
            paused: None,
            pause_timer: None,
            leaving: false,
            phone: None,
            silent: false,
            line: Line::Closed,
            channels: device::Channels::default(),
            rung_early: false,
            reopenings: 0,
            reopen: None,
            state: AgentState::LoggedOut,
            since: now,
            expires_at: None,
            call: None,
            task: None,
            wrap_up: None,
            missed: 0,
            rest_ms: 0,
            backoff: None,
            state_ms: [0; 10],
            calls_taken: 0,
        }
    }

    /// A call can reach the agent: the session is up, or the phone is there, and it has not fallen silent.
    pub(crate) fn phone_is_there(&self) -> bool {
        match self.session {
            _ if self.silent => false,
            Some(SessionKind::NailedUp) => self.line == Line::Up,
            Some(SessionKind::OnDemand) => self.has_phone(),
            None => false,
        }
    }

    /// Calls are joined to a leg that is up; no phone is rung for them.
    pub(crate) fn is_on_line(&self) -> bool {
        self.session == Some(SessionKind::NailedUp) || self.line == Line::Up
    }

    /// The phone is being rung early.
    pub(crate) fn is_being_rung_early(&self) -> bool {
        self.session == Some(SessionKind::OnDemand) && self.line == Line::Opening
    }

    /// Nothing keeps the agent busy.
    pub(crate) fn is_free(&self) -> bool {
        self.call.is_none() && self.task.is_none() && self.wrap_up.is_none()
    }

    /// The state of an agent whom nothing keeps busy.
    pub(crate) fn rest_state(&self) -> AgentState {
        if self.session.is_none() {
            AgentState::LoggedOut
        } else if self.paused.is_some() {
            AgentState::Paused
        } else if !self.phone_is_there() || self.backoff.is_some() {
            AgentState::Unreachable
        } else if self.is_being_rung_early() {
            AgentState::Ringing
        } else if self.line == Line::Closing {
            AgentState::Reserved
        } else {
            AgentState::Ready
        }
    }

    /// The label in metrics.
    pub(crate) fn first_group(&self) -> &str {
        self.row.config.groups.first().map_or("", String::as_str)
    }
}
