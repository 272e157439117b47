//! How a call sounds: the E-model of ITU-T G.107, in the short form of Cole & Rosenbluth, "Voice over IP
//! performance monitoring" (2001), from delay and loss.

use crate::Codec;

/// R of a call without delay or loss (G.107 default values).
const R_BEST: f32 = 93.2;
/// Milliseconds from mouth to packet and from packet to ear besides network and jitter: one frame on each side.
const FRAMES_MS: f32 = 40.0;

/// What a codec loses by itself, and how well it bears loss.
///
/// Equipment impairment and packet-loss robustness of ITU-T G.113 appendix I; G.711 with the concealment that phones
/// have. For G.722 the narrow-band equivalent is taken, so that numbers of all codecs compare.
const fn impairment(codec: Codec) -> (f32, f32) {
    match codec {
        Codec::Pcmu | Codec::Pcma => (0.0, 25.1),
    }
}

/// Mean opinion score, 1..=4.41, of one direction.
///
/// * `loss` share of packets that did not come, 0..=1
/// * `jitter_ms` interarrival jitter: a receiver waits for about twice that
/// * `rtt_ms` to the far end and back, if known
#[must_use]
pub fn mos(codec: Codec, loss: f32, jitter_ms: f32, rtt_ms: Option<f32>) -> f32 {
    let delay = rtt_ms.unwrap_or(0.0) / 2.0 + 2.0 * jitter_ms + FRAMES_MS;
    // G.107 §7.4 by Cole & Rosenbluth: delay is hardly felt up to 177 ms.
    let by_delay = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let (by_codec, robustness) = impairment(codec);
    let percent = 100.0 * loss.clamp(0.0, 1.0);
    // G.107 §7.5, loss taken as random (BurstR = 1).
    let by_loss = by_codec + (95.0 - by_codec) * percent / (percent + robustness);
    from_r(R_BEST - by_delay - by_loss)
}

/// G.107 annex B.
fn from_r(r: f32) -> f32 {
    let r = r.clamp(0.0, 100.0);
    // The curve dips below 1 for small r.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_s_table() {
        // G.107 annex B, table B.1: R and MOS.
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((from_r(r) - mos).abs() < 0.01, "{r}: {}", from_r(r));
        }
        assert_eq!((from_r(0.0), from_r(-9.0), from_r(3.0)), (1.0, 1.0, 1.0));
    }

    #[test]
    fn loss_and_delay_make_it_worse() {
        let score = |loss, jitter, rtt| mos(Codec::Pcma, loss, jitter, rtt);
        assert!(score(0.0, 0.0, None) > 4.35);
        let mut before = 5.0;
        for loss in [0.0, 0.01, 0.05, 0.1, 0.3, 1.0] {
            assert!(score(loss, 0.0, None) < before);
            before = score(loss, 0.0, None);
        }
        assert!(score(0.0, 0.0, Some(500.0)) < score(0.0, 0.0, Some(100.0)));
        assert!(score(0.0, 60.0, None) < score(0.0, 5.0, None));
        // 5 % of random loss with concealment: R = 93.2 - 0.96 - 15.8.
        assert!((score(0.05, 0.0, None) - 3.89).abs() < 0.05, "{}", score(0.05, 0.0, None));
    }
}
