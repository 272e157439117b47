//! In which order leads of one priority come, and how lists share.

use crate::id::ListId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In which order leads of one priority are dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadOrder {
    /// As they were imported.
    #[default]
    Imported,
    /// By chance, over the whole of each list.
    Random,
}

/// So many leads of a list, picked up all over it, are shuffled at once.
pub const RANDOM_AMONG: u32 = 5_000;

/// How the leads of a campaign's lists follow each other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sequence {
    /// Leads of one priority.
    pub order: LeadOrder,
    /// Shares of lists; one that is not named has 1. Empty: all leads are one queue.
    pub mix: BTreeMap<ListId, u32>,
}

impl Sequence {
    /// The place of a lead among those of its priority, for an order by chance: the same at every look.
    #[must_use]
    pub const fn chance(number: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): neighbours come far apart.
        let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Puts queues together so that each comes in its share at every moment, as long as it lasts (smooth weighted round
    /// robin). Each queue has a share and keeps its order.
    #[must_use]
    pub fn mixed<T>(queues: Vec<(u32, Vec<T>)>) -> Vec<T> {
        let count = queues.iter().map(|(_, queue)| queue.len()).sum();
        let mut queues: Vec<(i64, i64, std::vec::IntoIter<T>)> =
            queues.into_iter().map(|(share, queue)| (i64::from(share), 0, queue.into_iter())).collect();
        let mut all = Vec::with_capacity(count);
        loop {
            queues.retain(|(_, _, queue)| queue.len() > 0);
            if let [(_, _, last)] = &mut queues[..] {
                all.extend(last);
                return all;
            }
            let whole: i64 = queues.iter().map(|(share, _, _)| share).sum();
            for (share, credit, _) in &mut queues {
                *credit += *share;
            }
            // Of equals the first.
            let Some((_, credit, queue)) = queues.iter_mut().rev().max_by_key(|(_, credit, _)| *credit)
            else {
                return all;
            };
            *credit -= whole;
            all.extend(queue.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_in_their_shares() {
        let queues = vec![(3, vec!['a'; 9]), (1, vec!['b'; 9])];
        let all: String = Sequence::mixed(queues).into_iter().collect();
        assert_eq!(all, "aabaaabaaababbbbbb");
        assert_eq!(Sequence::mixed(vec![(7, vec![3, 1, 2])]), [3, 1, 2]);
        assert!(Sequence::mixed(Vec::<(u32, Vec<u8>)>::new()).is_empty());
    }

    #[test]
    fn chance_moves_neighbours_apart() {
        let mut order: Vec<u64> = (0..100).collect();
        order.sort_unstable_by_key(|number| Sequence::chance(*number));
        let next = order.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(next < 10, "{order:?}");
    }
}
