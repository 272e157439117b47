//! How rule books count abandoned calls.

use crate::pacing::ledger;

/// What happened in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// Calls answered by a person and joined to an agent.
    pub live: u64,
    /// Calls dropped after the answer without an agent, whoever answered.
    pub dropped: u64,
    /// Calls that machine detection gave to machines.
    pub machines: u64,
}

/// Share of live answers that were abandoned, by 16 CFR 310.4(b)(4)(i), 47 CFR 64.1200(a)(7) and the CRTC's rules:
/// `abandoned / (abandoned + live)`. Zero while nothing was answered. `dropped` counts people only.
#[must_use]
pub fn abandoned_share(answers: Answers) -> f64 {
    let (abandoned, live) = (answers.dropped as f64, answers.live as f64);
    if abandoned + live > 0.0 { abandoned / (abandoned + live) } else { 0.0 }
}

/// The abandoned call rate by Ofcom's formula for users of machine detection who cannot tell how many of the dropped
/// calls were machines: `A' = A - A * AM / (AM + L)`, `ACR = A' / (L + A')`, with `A` dropped, `L` live and `AM` machines.
/// (Ofcom, revised statement of policy on the persistent misuse of an electronic communications network, annex.)
#[must_use]
pub fn ofcom_rate(answers: Answers) -> f64 {
    ledger::ofcom_rate(answers.dropped, answers.live, answers.machines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that Ofcom published: 29 dropped, 9 live, 7 machines.
    #[test]
    fn ofcoms_worked_example() {
        let rate = ofcom_rate(Answers { live: 9, dropped: 29, machines: 7 });
        assert_eq!((rate * 10_000.0).round(), 6_444.0, "64.44 %");
    }

    #[test]
    fn without_machines_both_rules_agree() {
        for (live, dropped) in [(97, 3), (0, 0), (0, 5), (100, 0)] {
            let answers = Answers { live, dropped, machines: 0 };
            assert_eq!(ofcom_rate(answers), abandoned_share(answers));
        }
        assert_eq!(abandoned_share(Answers { live: 97, dropped: 3, machines: 50 }), 0.03);
        assert_eq!(
            ofcom_rate(Answers { live: 0, dropped: 4, machines: 6 }),
            0.0,
            "all dropped were machines"
        );
    }
}
