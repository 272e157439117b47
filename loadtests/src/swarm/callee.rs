//! What happens when a number is dialled, drawn from the seed and the number, so that it does not depend on when.

use crate::swarm::voice::Script;
use sansio::{Duration, Rng};

/// How callees are, in life; times are divided by `speed`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// How much faster than life.
    pub speed: f64,
    /// Share that a person answers.
    pub human: f64,
    /// Share that a machine answers.
    pub machine: f64,
    /// Share that is busy.
    pub busy: f64,
    /// Share of numbers that do not exist.
    pub invalid: f64,
    /// From INVITE to ringing, seconds.
    pub post_dial_delay_s: f64,
    /// Mean ringing before an answer, seconds.
    pub ring_mean_s: f64,
    /// The network gives up unanswered ringing after this, seconds.
    pub ring_limit_s: f64,
    /// Mean talk before the person hangs up, seconds.
    pub talk_mean_s: f64,
}

impl Default for Population {
    fn default() -> Self {
        Population {
            speed: 1.0,
            human: 0.42,
            machine: 0.10,
            busy: 0.10,
            invalid: 0.05,
            post_dial_delay_s: 1.5,
            ring_mean_s: 8.0,
            ring_limit_s: 45.0,
            talk_mean_s: 120.0,
        }
    }
}

/// What one dial will meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fate {
    /// From INVITE to 180.
    pub rings_after: Duration,
    /// What comes after the ringing.
    pub then: Then,
}

/// The end of the ringing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// Refused with this code; without ringing if the code says so.
    Refuse {
        /// From INVITE.
        after: Duration,
        /// Final code.
        code: u16,
        /// Whether it rings before.
        rings: bool,
    },
    /// Answered.
    Answer {
        /// From 180.
        after: Duration,
        /// What is said.
        script: Script,
        /// Hangs up this long after the answer.
        hangs_up_after: Duration,
    },
}

impl Population {
    /// Draws the fate of the `attempt`th dial (from 0) of `number`.
    #[must_use]
    pub fn fate(&self, world: &Rng, number: &str, attempt: u32) -> Fate {
        let mut rng = world.child(number).child(&attempt.to_string());
        let seconds = |life: f64| Duration::from_secs_f64((life / self.speed).clamp(0.0, 3600.0));
        let rings_after = seconds(rng.between(0.6, 1.4) * self.post_dial_delay_s);
        let draw = rng.unit();
        let (human, machine) = (self.human, self.human + self.machine);
        let then = if draw < human {
            Then::Answer {
                after: seconds(rng.lognormal(self.ring_mean_s, 0.6).clamp(1.0, self.ring_limit_s * 0.6)),
                script: Script::Human,
                hangs_up_after: seconds(rng.lognormal(self.talk_mean_s, 0.7).max(20.0)),
            }
        } else if draw < machine {
            let greeting_ms = rng.between(4000.0, 9000.0) as u64;
            Then::Answer {
                after: seconds(rng.between(15.0, 22.0)),
                script: Script::Machine { greeting_ms },
                // A machine does not listen faster than life.
                hangs_up_after: Duration::from_millis(greeting_ms + 15_000),
            }
        } else if draw < machine + self.busy {
            Then::Refuse { after: rings_after, code: 486, rings: false }
        } else if draw < machine + self.busy + self.invalid {
            Then::Refuse { after: rings_after, code: 404, rings: false }
        } else {
            Then::Refuse { after: rings_after + seconds(self.ring_limit_s), code: 480, rings: true }
        };
        Fate { rings_after, then }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_meets_the_same_fate_whenever_it_is_dialled_and_shares_are_as_told() {
        let world = Rng::from_seed(5);
        let population = Population::default();
        let fate = population.fate(&world, "+12025550100", 0);
        assert_eq!(population.fate(&world, "+12025550100", 0), fate);
        let humans = (0..4000)
            .filter(|n| {
                let fate = population.fate(&world, &format!("+1202555{n:04}"), 0);
                matches!(fate.then, Then::Answer { script: Script::Human, .. })
            })
            .count();
        assert!((1550..=1810).contains(&humans), "{humans} of 4000");
    }
}
