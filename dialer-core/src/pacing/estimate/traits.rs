//! How much likelier an answer is for a list, an hour or a trunk than for the campaign as a whole.

use crate::pacing::DialTraits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Standard deviation of the offsets believed before anything is seen, on the logit scale.
const PRIOR_SD: f64 = 0.35;
/// Variance an offset gains per observation of its kind: what is known of it ages.
const DRIFT: f64 = 2e-6;
/// Offsets remembered per campaign at most; further ones count as none.
const OFFSETS_MAX: usize = 512;
/// No offset is believed beyond this.
const OFFSET_MAX: f64 = 3.0;

/// What an offset belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Of {
    List(u32),
    Trunk(u32),
    Hour(u8),
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct Offset {
    mean: f64,
    variance: f64,
}

/// Offsets on logit p by list, hour and trunk: random effects around the campaign's own p, shrunk towards none, so that
/// a list of ten dials says little and one of ten thousand what it is.
///
/// Learned by an extended Kalman step per dial (Laplace's approximation of the logistic likelihood), the surprise
/// shared among the traits in proportion to how little is known of each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraitOffsets {
    offsets: Vec<(Of, Offset)>,
}

fn kinds(traits: DialTraits) -> impl Iterator<Item = Of> {
    [traits.list.map(Of::List), traits.trunk.map(Of::Trunk), traits.hour.map(|hour| Of::Hour(hour % 24))]
        .into_iter()
        .flatten()
}

impl TraitOffsets {
    fn find(&self, of: Of) -> Result<usize, usize> {
        self.offsets.binary_search_by(|(known, _)| known.cmp(&of))
    }

    /// Sum of what is known of a dial's traits, and its variance: logit p of the dial less that of the campaign.
    #[must_use]
    pub fn of(&self, traits: DialTraits) -> (f64, f64) {
        let (mut mean, mut variance) = (0.0, 0.0);
        for of in kinds(traits) {
            if let Ok(place) = self.find(of) {
                mean += self.offsets[place].1.mean;
                variance += self.offsets[place].1.variance;
            } else {
                variance += PRIOR_SD * PRIOR_SD;
            }
        }
        (mean, variance)
    }

    /// A dial with these traits, answered with probability `p` as believed before (variance of its logit without the
    /// traits' own: `variance`), was a live answer or not.
    pub fn resolved(&mut self, traits: DialTraits, p: f64, variance: f64, live: bool) {
        if !(p.is_finite() && variance.is_finite()) {
            return;
        }
        let p = p.clamp(1e-4, 1.0 - 1e-4);
        let (_, own) = self.of(traits);
        let information = p * (1.0 - p);
        let surprise = f64::from(u8::from(live)) - p;
        let scale = 1.0 / (1.0 + (own + variance.max(0.0)) * information);
        for of in kinds(traits) {
            let place = match self.find(of) {
                Ok(place) => place,
                Err(_) if self.offsets.len() >= OFFSETS_MAX => continue,
                Err(place) => {
                    let fresh = Offset { mean: 0.0, variance: PRIOR_SD * PRIOR_SD };
                    self.offsets.insert(place, (of, fresh));
                    place
                }
            };
            let offset = &mut self.offsets[place].1;
            let gain = offset.variance * scale;
            offset.mean = (offset.mean + gain * surprise).clamp(-OFFSET_MAX, OFFSET_MAX);
            offset.variance = (offset.variance - gain * offset.variance * information + DRIFT)
                .clamp(1e-6, PRIOR_SD * PRIOR_SD);
        }
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let rising = self.offsets.windows(2).all(|pair| pair[0].0 < pair[1].0);
        rising
            && self.offsets.len() <= OFFSETS_MAX
            && self.offsets.iter().all(|(_, offset)| {
                offset.mean.abs() <= OFFSET_MAX && offset.variance > 0.0 && offset.variance <= 1.0
            })
    }
}

impl TraitOffsets {
    /// Every offset by name (`list 3`, `trunk 1`, `hour 9`), logit.
    #[must_use]
    pub fn named(&self) -> BTreeMap<String, f64> {
        let name = |of: Of| match of {
            Of::List(id) => format!("list {id}"),
            Of::Trunk(id) => format!("trunk {id}"),
            Of::Hour(hour) => format!("hour {hour}"),
        };
        self.offsets.iter().map(|(of, offset)| (name(*of), offset.mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    #[test]
    fn a_rich_list_is_told_from_a_poor_one() {
        let mut rng = Rng::from_seed(3);
        let mut offsets = TraitOffsets::default();
        let rich = DialTraits { list: Some(1), trunk: Some(1), hour: Some(9) };
        let poor = DialTraits { list: Some(2), ..rich };
        let seldom = DialTraits { list: Some(3), ..rich };
        let believed = |offsets: &TraitOffsets, traits| {
            let x = (0.25_f64 / 0.75).ln() + offsets.of(traits).0;
            1.0 / (1.0 + (-x).exp())
        };
        for number in 0..4_000 {
            let (traits, truth) = if number % 2 == 0 { (rich, 0.4) } else { (poor, 0.15) };
            let p = believed(&offsets, traits);
            offsets.resolved(traits, p, 0.01, rng.chance(truth));
        }
        offsets.resolved(seldom, 0.25, 0.01, true);
        assert!((believed(&offsets, rich) - 0.4).abs() < 0.06, "{:?}", offsets.named());
        assert!((believed(&offsets, poor) - 0.15).abs() < 0.04, "{:?}", offsets.named());
        assert!(offsets.of(seldom).0 < offsets.of(rich).0, "one dial says little");
        assert!(offsets.of(rich).1 < 0.2 * offsets.of(seldom).1 + 0.1);
        assert_eq!(offsets.of(DialTraits::default()), (0.0, 0.0));
        assert!(offsets.is_sound());
    }

    #[test]
    fn it_is_bounded() {
        let mut offsets = TraitOffsets::default();
        for list in 0..2_000 {
            let traits = DialTraits { list: Some(list), trunk: Some(list), hour: Some(200) };
            offsets.resolved(traits, f64::NAN, 0.0, true);
            offsets.resolved(traits, 2.0, f64::INFINITY, true);
            offsets.resolved(traits, -1.0, -1.0, true);
        }
        assert!(offsets.is_sound() && offsets.named().len() <= OFFSETS_MAX);
    }
}
