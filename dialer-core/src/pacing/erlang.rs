//! Erlang's formulas: blocking (B), waiting (C), and waiting with impatient customers (A).
//!
//! They describe a floor in its steady state from three means, and so serve to plan, and as the fallback when
//! history is thin; a running dialer knows each agent and each call, and does better.
//!
//! Loads are in erlangs (arrival rate × mean service time). Nonsense (negative, NaN) counts as no load.

fn load(offered: f64) -> f64 {
    if offered.is_finite() && offered > 0.0 { offered } else { 0.0 }
}

/// Erlang B: share of calls blocked by `servers` without a queue. Source: Erlang 1917; the recursion
/// 1/B(n) = 1 + n/(a·B(n−1)) is stable for every size.
#[must_use]
pub fn erlang_b(servers: u32, offered: f64) -> f64 {
    let a = load(offered);
    if a == 0.0 {
        return if servers == 0 { 1.0 } else { 0.0 };
    }
    let mut inverse = 1.0;
    for n in 1..=servers {
        inverse = 1.0 + inverse * f64::from(n) / a;
        if inverse.is_infinite() {
            return 0.0;
        }
    }
    1.0 / inverse
}

/// Erlang C: share of calls that wait for one of `servers`, patience without end. 1 when overloaded.
#[must_use]
pub fn erlang_c(servers: u32, offered: f64) -> f64 {
    let a = load(offered);
    let n = f64::from(servers);
    if a >= n {
        return 1.0;
    }
    let b = erlang_b(servers, a);
    n * b / (n - a * (1.0 - b))
}

/// P(wait > `seconds`) with mean service time `service_s`: C(n, a)·e^(−(n − a)·t/s).
#[must_use]
pub fn wait_exceeds(servers: u32, offered: f64, seconds: f64, service_s: f64) -> f64 {
    let a = load(offered);
    let n = f64::from(servers);
    if a >= n {
        return 1.0;
    }
    if service_s.is_nan() || service_s <= 0.0 {
        return 0.0;
    }
    let t = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    (erlang_c(servers, a) * (-(n - a) * t / service_s).exp()).clamp(0.0, 1.0)
}

/// The greatest load at which P(wait > `seconds`) ≤ `share`: the classical Erlang C dialer.
#[must_use]
pub fn greatest_load(servers: u32, seconds: f64, service_s: f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, f64::from(servers));
    // To a thousand-millionth of the servers: each halving costs a step for every server.
    for _ in 0..30 {
        let middle = 0.5 * (low + high);
        if wait_exceeds(servers, middle, seconds, service_s) <= share { low = middle } else { high = middle }
    }
    low
}

/// Results of the M/M/n + M queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ErlangA {
    /// Share of calls that wait at all.
    pub waiting: f64,
    /// Share of calls that give up.
    pub abandoned: f64,
    /// Mean number of busy servers ÷ servers.
    pub occupancy: f64,
}

/// Erlang A: `servers`, `offered` load, and patience exponential with mean `patience` service times.
///
/// Source: Palm 1957; Mandelbaum and Zeltyn, "Service engineering in action: the Palm/Erlang-A queue" (2007).
/// The birth–death chain is summed state by state around its peak, until terms vanish.
#[must_use]
pub fn erlang_a(servers: u32, offered: f64, patience: f64) -> ErlangA {
    let a = load(offered);
    let n = f64::from(servers);
    if a == 0.0 {
        return ErlangA { waiting: 0.0, abandoned: 0.0, occupancy: 0.0 };
    }
    if servers == 0 {
        return ErlangA { waiting: 1.0, abandoned: 1.0, occupancy: 0.0 };
    }
    let theta = if patience.is_finite() && patience > 0.0 { 1.0 / patience } else { 1e9 };
    // Weights relative to state `servers`: below by k/a, above by a/(n + j·theta).
    let (mut below, mut busy_below, mut weight) = (0.0, 0.0, 1.0);
    for k in (1..=servers).rev() {
        weight *= f64::from(k) / a;
        below += weight;
        busy_below += weight * f64::from(k - 1);
        if weight < below * 1e-16 && weight.is_finite() && f64::from(k) < a {
            break;
        }
        if below.is_infinite() {
            return ErlangA { waiting: 0.0, abandoned: 0.0, occupancy: a / n };
        }
    }
    let (mut above, mut queue, mut weight, mut j) = (1.0, 0.0, 1.0, 0.0);
    while j < 10_000_000.0 {
        j += 1.0;
        weight *= a / (n + j * theta);
        above += weight;
        queue += weight * j;
        if weight < above * 1e-16 && n + j * theta > a {
            break;
        }
    }
    let total = below + above;
    let abandoned = (theta * queue / total / a).clamp(0.0, 1.0);
    ErlangA {
        waiting: above / total,
        abandoned,
        occupancy: ((busy_below + n * above) / total / n).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, published: f64, digits: f64) {
        assert!((found - published).abs() < 0.6 * digits, "found {found}, published {published}");
    }

    /// Erlang B tables as printed: load that N servers carry at a given blocking.
    #[test]
    fn erlang_b_tables() {
        for (servers, blocking, offered) in [
            (1, 0.01, 0.0101),
            (2, 0.01, 0.153),
            (5, 0.01, 1.36),
            (10, 0.01, 4.46),
            (20, 0.01, 12.0),
            (30, 0.01, 20.3),
            (50, 0.01, 37.9),
            (100, 0.01, 84.1),
            (5, 0.05, 2.22),
            (10, 0.05, 6.22),
            (20, 0.05, 15.2),
            (10, 0.001, 3.09),
            (100, 0.001, 75.2),
        ] {
            // Printed to three figures: the blocking at the ends of the rounding must enclose the heading.
            let half = 0.5 * 10_f64.powf(f64::log10(offered).floor() - 2.0);
            assert!(erlang_b(servers, offered - half) <= blocking * 1.0005, "{servers} {blocking}");
            assert!(erlang_b(servers, offered + half) >= blocking * 0.9995, "{servers} {blocking}");
        }
        assert_eq!(erlang_b(0, 3.0), 1.0);
        assert_eq!(erlang_b(5, f64::NAN), 0.0);
    }

    #[test]
    fn erlang_c_known_values() {
        close(erlang_c(1, 0.5), 0.5, 1e-9); // M/M/1: rho
        close(erlang_c(2, 1.0), 1.0 / 3.0, 1e-9); // M/M/2: 2·rho²/(1 + rho)
        close(erlang_c(5, 4.0), 0.5541, 1e-4); // textbook M/M/5, rho = 0.8
        close(erlang_c(10, 8.0), 0.4092, 1e-4); // textbook M/M/10, rho = 0.8
        // 100 calls in half an hour of 3 minutes each by 14 agents: waits 17.4 %, within 20 s 88.8 %.
        close(erlang_c(14, 10.0), 0.174, 1e-3);
        close(1.0 - wait_exceeds(14, 10.0, 20.0, 180.0), 0.888, 1e-3);
        assert_eq!(erlang_c(5, 5.0), 1.0);
        assert_eq!(erlang_c(0, 1.0), 1.0);
    }

    #[test]
    fn greatest_load_is_on_the_boundary() {
        let most = greatest_load(20, 2.0, 140.0, 0.03);
        assert!(wait_exceeds(20, most, 2.0, 140.0) <= 0.03 + 1e-9);
        assert!(wait_exceeds(20, most + 0.01, 2.0, 140.0) > 0.03);
        assert!((0.5..0.7).contains(&(most / 20.0)), "{most}");
    }

    #[test]
    fn erlang_a_lies_between_its_limits() {
        // Patience equal to the service time: the number in system is Poisson, so everything is closed form.
        let a: f64 = 10.0;
        let n = 10;
        let mut term = (-a).exp();
        let (mut below, mut busy) = (0.0, 0.0);
        for k in 0..n {
            below += term;
            busy += term * f64::from(k);
            term *= a / f64::from(k + 1);
        }
        let result = erlang_a(10, a, 1.0);
        close(result.waiting, 1.0 - below, 1e-9);
        close(result.occupancy, (busy + 10.0 * (1.0 - below)) / 10.0, 1e-9);
        close(result.abandoned, 1.0 - result.occupancy * 10.0 / a, 1e-9);
        // No patience: blocking. Endless patience: waiting.
        close(erlang_a(10, 8.0, 1e-9).abandoned, erlang_b(10, 8.0), 1e-6);
        close(erlang_a(10, 8.0, 1e7).waiting, erlang_c(10, 8.0), 1e-5);
        assert!(erlang_a(1_000, 990.0, 2.0).abandoned < 0.03);
        assert_eq!(erlang_a(0, 1.0, 1.0).abandoned, 1.0);
        assert_eq!(erlang_a(5, f64::INFINITY, 1.0).abandoned, 0.0);
    }
}
