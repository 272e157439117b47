//! Live answers against free agents: two distributions that meet.
//!
//! For six moments τ at which the next dial may be answered, the number of agents freed by then is a sum of
//! independent chances (Poisson-binomial), and so is the number of live answers that come before, given what the
//! answer probability is; that probability is uncertain, which is three beliefs side by side. The next dial finds
//! no agent if the answers before it take every agent: its *risk*.

/// Moments at which the next dial may be answered: the middles of six equal shares of live answers.
pub(super) const MOMENTS: usize = 6;
/// Values of the answer probability that are believed possible.
pub(super) const BELIEFS: usize = 3;
/// Up to so many chances the sum is exact; beyond, a binomial with the same first two moments.
const EXACT_MAX: usize = 20;
/// What is less probable than this is left out.
const NEVER: f64 = 1e-10;

/// The jump of the answer rate that is feared: odds multiplied by this.
const JUMP_ODDS: f64 = 4.0;

/// A risk so many times over the limit is reason to give up a ringing call.
const FAR_OVER: f64 = 6.0;

/// Chances that something has happened by each moment.
pub(super) type ByMoment = [f64; MOMENTS];

/// A workspace, reused from decision to decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Meeting {
    agents: Vec<ByMoment>,
    /// With the caller's mark of those that may be given up.
    calls: Vec<(Option<usize>, [ByMoment; BELIEFS])>,
    belief: [f64; BELIEFS],
    /// Agents free now, less the answered calls that wait for one.
    free_now: i64,
    /// Answers too many that are told apart.
    beyond: u32,
    /// P(s agents freed) per moment.
    freed: [Vec<f64>; MOMENTS],
    /// P(c answers) per belief and moment, up to the greatest count that matters.
    answers: [[Vec<f64>; MOMENTS]; BELIEFS],
    /// The same if the answer rate has just jumped; told only while an overrun is looked for.
    feared: [Vec<f64>; MOMENTS],
}

impl Meeting {
    /// Starts a new forecast.
    pub(super) fn begin(&mut self, free_now: i64, belief: [f64; BELIEFS]) {
        self.free_now = free_now;
        self.belief = belief;
        self.agents.clear();
        self.calls.clear();
    }

    /// A busy agent is free by each moment with these chances.
    pub(super) fn agent(&mut self, free_by: ByMoment) {
        if free_by[MOMENTS - 1] > 1e-5 {
            self.agents.push(free_by);
        }
    }

    /// A call in flight is a live answer by each moment with these chances, per belief.
    pub(super) fn call(&mut self, mark: Option<usize>, live_by: [ByMoment; BELIEFS]) {
        if live_by.iter().any(|by| by[MOMENTS - 1] > 1e-6) {
            self.calls.push((mark, live_by));
        }
    }

    /// Sums up what was given, so that [`Meeting::overrun`] can tell up to `beyond` answers too many apart.
    pub(super) fn sum(&mut self, beyond: u32) {
        self.beyond = beyond;
        let most_freed = self.agents.len();
        for (moment, freed) in self.freed.iter_mut().enumerate() {
            sum_of(self.agents.iter().map(|by| by[moment]), most_freed, most_freed, freed);
        }
        for freed in &mut self.freed {
            // Counts that never come need no room.
            while freed.len() > 1 && freed.last().is_some_and(|p| *p < NEVER) {
                freed.pop();
            }
        }
        let longest = self.freed.iter().map(|freed| freed.len()).max().unwrap_or(1) as i64 - 1;
        // Counts of answers from this one on always exceed the agents; their chances need no telling apart.
        let matters = (self.free_now + longest + i64::from(beyond)).max(0) as usize;
        for (belief, moments) in self.answers.iter_mut().enumerate() {
            for (moment, answers) in moments.iter_mut().enumerate() {
                let chances = self.calls.iter().map(|(_, by)| by[belief][moment]);
                sum_of(chances, self.calls.len(), matters, answers);
            }
        }
        if beyond > 0 {
            let belief = self.belief;
            for (moment, answers) in self.feared.iter_mut().enumerate() {
                let chances = self.calls.iter().map(|(_, by)| jumped(&mean_of(by, belief), moment));
                sum_of(chances, self.calls.len(), matters, answers);
            }
        }
    }

    /// One more call: it counts for all after it.
    pub(super) fn add(&mut self, live_by: &[ByMoment; BELIEFS]) {
        for (moments, by) in self.answers.iter_mut().zip(live_by) {
            for (answers, &p) in moments.iter_mut().zip(by) {
                add_chance(answers, p);
            }
        }
        if self.beyond > 0 {
            let mean = mean_of(live_by, self.belief);
            for (moment, answers) in self.feared.iter_mut().enumerate() {
                add_chance(answers, jumped(&mean, moment));
            }
        }
    }

    /// So many more dials are surely safe: even if all calls are answered, an agent is free for each.
    pub(super) fn surely_safe(&self) -> u32 {
        u32::try_from(self.free_now - self.calls.len() as i64).unwrap_or(0)
    }

    /// P(the next dial, if answered, finds every agent taken), 0..=1.
    pub(super) fn risk(&self) -> f64 {
        let mut risk = 0.0;
        for (moments, belief) in self.answers.iter().zip(self.belief) {
            let mut sum = 0.0;
            for (answers, freed) in moments.iter().zip(&self.freed) {
                sum += all_taken(answers, freed, self.free_now);
            }
            risk += belief * sum;
        }
        (risk / MOMENTS as f64).clamp(0.0, 1.0)
    }

    /// P(`many` answers or more find no agent), at the worst of the moments, once a dial more is answered with
    /// probability `p`, 0..=1. `many` is at least 1, and at most what [`Meeting::sum`] was told.
    pub(super) fn overrun(&self, many: u32, p: f64) -> f64 {
        let many = i64::from(many.clamp(1, self.beyond.max(1)));
        let mut worst = 0.0_f64;
        for moment in 0..MOMENTS {
            let mut sum = 0.0;
            for (moments, belief) in self.answers.iter().zip(self.belief) {
                let (answers, freed) = (&moments[moment], &self.freed[moment]);
                let without = all_taken(answers, freed, self.free_now + many);
                let with = all_taken(answers, freed, self.free_now + many - 1);
                sum += belief * (without + p * (with - without));
            }
            worst = worst.max(sum);
        }
        worst.clamp(0.0, 1.0)
    }

    /// The same if the answer rate has just jumped.
    pub(super) fn feared_overrun(&self, many: u32, p: f64) -> f64 {
        let many = i64::from(many.clamp(1, self.beyond.max(1)));
        let p = jumped(&[p; MOMENTS], 0);
        self.feared.iter().zip(&self.freed).fold(0.0_f64, |worst, (answers, freed)| {
            let without = all_taken(answers, freed, self.free_now + many);
            let with = all_taken(answers, freed, self.free_now + many - 1);
            worst.max(without + p * (with - without))
        })
    }

    /// Gives up calls, those first that were given first, while the risk of one more would be far over `limit`, and
    /// counts no longer on them. `may` is asked with the mark.
    pub(super) fn give_up(&mut self, limit: f64, mut may: impl FnMut(usize) -> bool) {
        let mut place = 0;
        while place < self.calls.len() && self.risk() > FAR_OVER * limit {
            if self.calls[place].0.is_some_and(&mut may) {
                self.calls.remove(place);
                self.sum(self.beyond);
            } else {
                place += 1;
            }
        }
    }

    /// Expected live answers and freed agents by the middle of the moments.
    pub(super) fn expected(&self) -> (f64, f64) {
        let moment = MOMENTS / 2;
        let answers = self
            .calls
            .iter()
            .map(|(_, by)| by.iter().zip(self.belief).map(|(by, belief)| by[moment] * belief).sum::<f64>())
            .sum();
        (answers, self.agents.iter().map(|by| by[moment]).sum())
    }
}

/// Chances by each moment, over all beliefs.
fn mean_of(by: &[ByMoment; BELIEFS], belief: [f64; BELIEFS]) -> ByMoment {
    core::array::from_fn(|j| by.iter().zip(belief).map(|(by, weight)| by[j] * weight).sum())
}

/// A chance by a moment, once the odds of an answer are multiplied; the share that has come by then stays.
fn jumped(by: &ByMoment, moment: usize) -> f64 {
    (JUMP_ODDS * by[moment] / (1.0 + (JUMP_ODDS - 1.0) * by[MOMENTS - 1])).clamp(0.0, 1.0)
}

/// P(answers ≥ free_now + freed).
fn all_taken(answers: &[f64], freed: &[f64], free_now: i64) -> f64 {
    let mut below = 0.0; // P(answers < free_now + s) as s grows
    let mut counted = 0_usize;
    let mut taken = 0.0;
    for (s, &p) in freed.iter().enumerate() {
        let agents = (free_now + s as i64).max(0) as usize;
        while counted < agents && counted < answers.len() {
            below += answers[counted];
            counted += 1;
        }
        if p > NEVER {
            taken += p * (1.0 - below).max(0.0);
        }
    }
    taken
}

/// Distribution of the number of chances that come true, counts 0..`matters` (greater ones cut off), into `out`.
/// For freed agents `matters` is their number, and the last count is kept too.
fn sum_of(chances: impl Iterator<Item = f64> + Clone, count: usize, matters: usize, out: &mut Vec<f64>) {
    out.clear();
    if count > EXACT_MAX {
        let (mut mean, mut squares) = (0.0, 0.0);
        for p in chances {
            mean += p;
            squares += p * p;
        }
        binomial(mean, squares, matters + 1, out);
        return;
    }
    out.resize(matters.min(count) + 1, 0.0);
    out[0] = 1.0;
    for (so_far, p) in chances.enumerate() {
        let top = (so_far + 1).min(out.len() - 1);
        for k in (1..=top).rev() {
            out[k] = out[k] * (1.0 - p) + out[k - 1] * p;
        }
        out[0] *= 1.0 - p;
    }
    // Room for the calls that may be added.
    out.resize(matters + 1, 0.0);
}

fn add_chance(answers: &mut [f64], p: f64) {
    for k in (1..answers.len()).rev() {
        answers[k] = answers[k] * (1.0 - p) + answers[k - 1] * p;
    }
    if let Some(none) = answers.first_mut() {
        *none *= 1.0 - p;
    }
}

/// Binomial with Σp and Σp² given, trials not whole, built from its peak so that nothing underflows.
fn binomial(mean: f64, squares: f64, most: usize, out: &mut Vec<f64>) {
    if mean < 1e-9 {
        out.push(1.0);
        out.resize(most, 0.0);
        return;
    }
    let trials = (mean * mean / squares).max(1.0);
    let p = (mean / trials).min(1.0 - 1e-9);
    let odds = p / (1.0 - p);
    let reach = (mean + 8.0 * (mean * (1.0 - p)).sqrt() + 10.0).min(trials.floor()) as usize;
    let peak = (((trials + 1.0) * p).floor() as usize).min(reach);
    out.resize(reach + 1, 0.0);
    out[peak] = 1.0;
    let mut sum = 1.0;
    for k in peak..reach {
        let k_f = k as f64;
        out[k + 1] = (out[k] * (trials - k_f) / (k_f + 1.0) * odds).max(0.0);
        sum += out[k + 1];
    }
    for k in (0..peak).rev() {
        let k_f = k as f64;
        out[k] = out[k + 1] * (k_f + 1.0) / ((trials - k_f) * odds);
        sum += out[k];
    }
    let scale = 1.0 / sum;
    out.iter_mut().for_each(|value| *value *= scale);
    out.resize(most, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(p: f64) -> ByMoment {
        [p; MOMENTS]
    }

    fn meeting(free_now: i64, agents: &[f64], calls: &[f64]) -> Meeting {
        let mut meeting = Meeting::default();
        meeting.begin(free_now, [1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0]);
        agents.iter().for_each(|&p| meeting.agent(by(p)));
        calls.iter().for_each(|&p| meeting.call(None, [by(p); BELIEFS]));
        meeting.sum(0);
        meeting
    }

    #[test]
    fn fewer_calls_than_agents_run_no_risk() {
        assert_eq!(meeting(2, &[], &[0.9]).risk(), 0.0);
        assert!((meeting(2, &[], &[0.5, 0.5]).risk() - 0.25).abs() < 1e-12);
        assert_eq!(meeting(0, &[], &[]).risk(), 1.0);
        assert_eq!(meeting(-1, &[1.0], &[]).risk(), 1.0);
        assert!((meeting(0, &[0.8], &[]).risk() - 0.2).abs() < 1e-12);
        // Freed 0.8, one answer before with 0.25: free unless (none freed) or (answered first).
        assert!((meeting(0, &[0.8], &[0.25]).risk() - (1.0 - 0.8 * 0.75)).abs() < 1e-12);
    }

    #[test]
    fn adding_equals_having_had() {
        let calls = [0.3, 0.2, 0.4, 0.1];
        let mut grown = meeting(1, &[0.4, 0.6, 0.1], &calls[..2]);
        grown.add(&[by(0.4); BELIEFS]);
        grown.add(&[by(0.1); BELIEFS]);
        let whole = meeting(1, &[0.4, 0.6, 0.1], &calls);
        assert!((grown.risk() - whole.risk()).abs() < 1e-12);
    }

    #[test]
    fn the_binomial_stands_in_for_many() {
        let chances: Vec<f64> = (0..60).map(|i| 0.05 + 0.3 * f64::from(i % 10) / 10.0).collect();
        let (mut near, mut exact) = (Vec::new(), vec![1.0]);
        sum_of(chances.iter().copied(), chances.len(), 60, &mut near);
        exact.resize(61, 0.0);
        chances.iter().for_each(|&p| add_chance(&mut exact, p));
        for (a, b) in near.iter().zip(&exact) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
        let many = meeting(3, &vec![0.2; 500], &vec![0.2; 500]);
        assert!((0.3..0.5).contains(&many.risk()), "{}", many.risk());
        let (answers, freed) = many.expected();
        assert!((answers - 100.0).abs() < 1e-6 && (freed - 100.0).abs() < 1e-6);
    }

    #[test]
    fn calls_are_given_up_until_the_rest_is_safe() {
        let mut meeting = Meeting::default();
        meeting.begin(1, [1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0]);
        (0..6).for_each(|mark| meeting.call(Some(mark), [by(0.3); BELIEFS]));
        meeting.sum(0);
        let mut given_up = Vec::new();
        meeting.give_up(0.1, |mark| {
            let may = mark != 1;
            if may {
                given_up.push(mark);
            }
            may
        });
        assert_eq!(given_up, [0, 2, 3, 4]);
        assert!(meeting.risk() <= 0.6);
    }

    #[test]
    fn an_overrun_counts_answers_too_many() {
        let mut one = Meeting::default();
        one.begin(1, [1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0]);
        (0..2).for_each(|_| one.call(None, [by(0.5); BELIEFS]));
        one.sum(3);
        // One agent, two calls with 0.5: one too many with 0.25; with a third call of 0.5 likewise with 0.5, two too
        // many with 0.125.
        assert!((one.overrun(1, 0.0) - 0.25).abs() < 1e-12);
        assert!((one.overrun(1, 0.5) - 0.5).abs() < 1e-12);
        assert!((one.overrun(2, 0.5) - 0.125).abs() < 1e-12);
        assert_eq!(one.overrun(3, 0.5), 0.0);
        one.add(&[by(0.5); BELIEFS]);
        assert!((one.overrun(1, 0.0) - 0.5).abs() < 1e-12);
        assert!(one.feared_overrun(1, 0.5) > one.overrun(1, 0.5), "a jump makes it likelier");
        assert!(one.overrun(0, f64::from(0.0_f32)) <= 1.0 && one.overrun(99, 1.0) <= 1.0);
    }

    #[test]
    fn more_agents_never_raise_the_risk() {
        for n in 0..40 {
            let agents = vec![0.3; n];
            let calls = vec![0.25; 12];
            let (less, more) = (meeting(1, &agents, &calls), meeting(2, &agents, &calls));
            assert!(more.risk() <= less.risk() + 1e-12);
        }
    }
}
