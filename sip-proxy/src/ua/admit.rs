//! What is read at all, and what is not worth an answer.

use core::net::SocketAddr;

use sansio::Instant;

use super::{Arrival, UserAgent};
use crate::transport::{Dropped, Standing};
use crate::wire::Message;

impl UserAgent {
    /// Asks the guard whether a message is to be read.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        bytes: &[u8],
    ) -> Option<Standing> {
        let any_port = self.layer.is_reliable(listener);
        let (guard, sources, outlets) = (&mut self.guard, &self.sources, &self.layer.outlets);
        let names = || if any_port { outlets.names(listener, source) } else { &[] };
        let is_trunk = || sources.trunk_of(source, any_port, names()).is_some();
        let verdict = guard.admit(now, &self.layer.secret, source, bytes, is_trunk);
        let unheard = &mut self.layer.counters.unheard;
        match verdict {
            Ok(standing) => return Some(standing),
            Err(Dropped::Denied) => unheard.denied += 1,
            Err(Dropped::Banned) => unheard.banned += 1,
            Err(Dropped::Source) => unheard.source += 1,
            Err(Dropped::Strangers) => unheard.strangers += 1,
        }
        None
    }

    /// Whether a stranger's request is not worth an answer: a scanner's, or one within a dialog that is none of ours
    /// from a source that has used up its share.
    pub(super) fn is_worthless(&mut self, now: Instant, arrival: Arrival, request: &Message) -> bool {
        match arrival.standing {
            Standing::Trunk => false,
            Standing::OnlyInDialog => {
                let worthless = self.leg_of(request).is_none();
                self.layer.counters.unheard.source += u64::from(worthless);
                worthless
            }
            Standing::Stranger => {
                if !self.guard.is_scanner(request) {
                    return false;
                }
                self.layer.counters.scanners += 1;
                let banned = self.guard.ban(now, &self.layer.secret, arrival.source.ip());
                self.layer.counters.bans += u64::from(banned);
                true
            }
        }
    }
}
