//! The domain name system: names of trunks, their services and hosts; it is slow, forgets, and fails.

use super::happening::Happening;
use super::scene::By;
use super::world::World;
use sansio::{Duration, Rng};
use sip_proxy::transport::locate::{Answer, Naptr, Question, Srv};
use std::net::SocketAddr;

/// How the names are served. Shares are 0..=1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    /// Domains say by NAPTR which transport they speak.
    naptr: bool,
    /// Questions that nobody answers.
    fails: f64,
    /// Questions that are answered late.
    slow: f64,
    /// How long an answer may be believed, seconds.
    ttl_s: u64,
}

/// A trunk with a name.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) by: By,
    /// In order of their priorities.
    pub(super) hosts: Vec<SocketAddr>,
}

impl Zone {
    pub(crate) fn draw(rng: &mut Rng, calm: bool) -> Zone {
        let fails = if rng.chance(0.3) && !calm { 0.2 } else { 0.0 };
        let slow = if rng.chance(0.4) && !calm { 0.3 } else { 0.0 };
        Zone { naptr: rng.chance(0.5), fails, slow, ttl_s: 5 + rng.below(120) }
    }
}

impl World {
    /// The daemon asks; the answer is under way.
    pub(super) fn ask(&mut self, question: Question) {
        self.trace.note(self.now, format_args!("asks for {question:?}"));
        let late = self.zone_rng.chance(self.scene.zone.slow);
        let ms = if late { 500 + self.zone_rng.below(2_500) } else { 1 + self.zone_rng.below(30) };
        let life = self.life;
        self.after(ms, Happening::Located { life, question });
    }

    /// What the question is answered with.
    pub(super) fn look_up(&mut self, question: &Question) -> (Answer, Duration) {
        let ttl = Duration::from_secs(self.scene.zone.ttl_s);
        if !self.closing && self.zone_rng.chance(self.scene.zone.fails) {
            return (Answer::Failed, Duration::ZERO);
        }
        let found = self.domains.iter().find_map(|domain| domain.answer(question, self.scene.zone.naptr));
        (found.unwrap_or(Answer::Nothing), ttl)
    }
}

impl Domain {
    fn service(&self) -> String {
        let service = match self.by {
            By::Udp => "_sip._udp",
            By::Tcp => "_sip._tcp",
            By::Tls => "_sips._tcp",
        };
        format!("{service}.{}", self.name)
    }

    fn answer(&self, question: &Question, naptr: bool) -> Option<Answer> {
        match question {
            Question::Naptr(name) if naptr && *name == self.name => {
                let service = match self.by {
                    By::Udp => "SIP+D2U",
                    By::Tcp => "SIP+D2T",
                    By::Tls => "SIPS+D2T",
                };
                Some(Answer::Naptr(vec![Naptr {
                    order: 10,
                    preference: 10,
                    flags: "S".into(),
                    service: service.into(),
                    replacement: self.service(),
                }]))
            }
            Question::Srv(name) if *name == self.service() => {
                let record = |(n, host): (usize, &SocketAddr)| Srv {
                    priority: n as u16,
                    weight: 0,
                    port: host.port(),
                    target: format!("h{n}.{}", self.name),
                };
                Some(Answer::Srv(self.hosts.iter().enumerate().map(record).collect()))
            }
            Question::A(name) => {
                let n: usize =
                    name.strip_suffix(&format!(".{}", self.name))?.strip_prefix('h')?.parse().ok()?;
                self.hosts.get(n).map(|host| Answer::Addresses(vec![host.ip()]))
            }
            _ => None,
        }
    }
}
