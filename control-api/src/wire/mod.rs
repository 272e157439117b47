//! The shapes of the API: what a client sends and sees. Contract; changes are additive only.

pub mod agent;
pub mod audit;
pub mod best_time;
pub mod calendar;
pub mod call;
pub mod call_media;
pub mod callback;
pub mod caller_id;
pub mod calling_hours;
pub mod calling_windows;
pub mod campaign;
pub mod conduct;
pub mod device;
pub mod dial_request;
pub mod disposition;
pub mod dnc;
pub mod event;
pub(crate) mod event_samples;
pub mod fork;
pub mod inbound;
pub mod lead;
pub mod leg;
pub mod list;
pub mod node;
pub mod pacing;
pub mod person;
pub mod policy;
pub mod pop;
pub mod prompt;
pub mod recording;
pub(crate) mod recycle;
pub mod report;
pub mod schedule;
pub mod screened;
pub mod serving;
pub mod token;
pub mod trace;
pub mod trunk;
pub mod webhook;

/// An enum of the wire that mirrors one of dialer-core, both ways, in snake_case.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident = $core:path { $($(#[$doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }
        impl From<$core> for $name {
            fn from(core: $core) -> Self {
                use $core as Core;
                match core { $(Core::$variant => Self::$variant,)* }
            }
        }
        impl From<$name> for $core {
            fn from(wire: $name) -> Self {
                match wire { $($name::$variant => Self::$variant,)* }
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What became of a call.
    Outcome = dialer_core::Outcome {
        /// A person and an agent were connected.
        Connected,
        /// A person answered and no agent was there within the limit.
        Abandoned,
        /// An answering machine.
        Machine,
        /// A call-screening assistant.
        Screening,
        /// A fax.
        Fax,
        /// Nobody answered.
        NoAnswer,
        /// Busy.
        Busy,
        /// The callee declined.
        Rejected,
        /// The number does not exist (空号).
        InvalidNumber,
        /// Service suspended (停机).
        Suspended,
        /// Powered off (关机).
        PowerOff,
        /// Out of reach (无法接通).
        Unreachable,
        /// The line forbids incoming calls (呼入限制).
        CallForbidden,
        /// In another call (通话中).
        InCall,
        /// Congestion.
        NetworkCongestion,
        /// Blocked by analytics (603+, 607, 608).
        BlockedByAnalytics,
        /// Another refusal or failure of the carrier.
        CarrierError,
        /// Given up before an answer.
        Cancelled,
        /// On a do-not-call list.
        Dnc,
        /// Outside the calling window.
        OutOfWindow,
        /// Cut off by a restart of the node.
        NodeRestart,
    }
}

wire_enum! {
    /// From what an outcome was concluded.
    Evidence = dialer_core::Evidence {
        /// The signalling's final code.
        Sip,
        /// A Q.850 cause.
        Q850,
        /// A tone in early media.
        Tone,
        /// A network announcement.
        Announcement,
        /// Answering-machine detection.
        Amd,
        /// A timer or decision of ours.
        Timer,
    }
}

wire_enum! {
    /// Whether sound is encrypted under keys that the session descriptions hold (SRTP, RFC 4568).
    Srtp = dialer_core::config::Srtp {
        /// Never.
        Off,
        /// Where the other side takes it (RFC 8643).
        Optional,
        /// Always: who cannot is not spoken with.
        Required,
    }
}

impl Default for Srtp {
    fn default() -> Self {
        dialer_core::config::Srtp::default().into()
    }
}

wire_enum! {
    /// Who did it.
    Party = dialer_core::Party {
        /// The called person.
        Customer,
        /// The agent.
        Agent,
        /// The system.
        System,
        /// An API client.
        Api,
        /// The caller of a transit call.
        Caller,
    }
}

wire_enum! {
    /// What answering-machine detection concluded.
    Classification = dialer_core::outcome::AmdVerdict {
        /// A person.
        Human,
        /// A machine.
        Machine,
        /// A fax.
        Fax,
        /// Not told apart in time; treated as a person.
        Unsure,
        /// An assistant that asks who is calling.
        Screening,
    }
}
