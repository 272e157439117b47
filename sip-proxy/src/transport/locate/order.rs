//! The order of SRV records (RFC 2782).

use sansio::Rng;

use super::Srv;

/// Lower priorities first; among equals by chance, in proportion to the weights. A weight of 0 next to others has
/// hardly a chance of being first, as the RFC wants it.
pub(super) fn in_order(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let equals = records.iter().take_while(|record| record.priority == priority).count();
        let sum: u64 = records[..equals].iter().map(|record| u64::from(record.weight)).sum();
        let mut mark = rng.below(sum + 1);
        // The first one whose running sum reaches the mark; those of weight 0 stand first.
        let chosen = records[..equals]
            .iter()
            .position(|record| {
                let reached = u64::from(record.weight) >= mark;
                mark = mark.saturating_sub(u64::from(record.weight));
                reached
            })
            .unwrap_or(equals - 1);
        ordered.push(records.remove(chosen));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16) -> Srv {
        Srv { priority, weight, port: weight, target: "h".into() }
    }

    #[test]
    fn weights_share_what_priorities_leave() {
        let mut rng = Rng::from_seed(1);
        let mut first = [0_u32; 2];
        for _ in 0..10_000 {
            let records = vec![record(20, 5), record(10, 30), record(10, 10), record(5, 0)];
            let ordered = in_order(records, &mut rng);
            let priorities: Vec<u16> = ordered.iter().map(|record| record.priority).collect();
            assert_eq!(priorities, [5, 10, 10, 20]);
            first[usize::from(ordered[1].weight == 30)] += 1;
        }
        // 30 of 40 and a little: the mark may be anything from 0 to 40.
        assert!((7_200..7_900).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn weights_of_zero_are_not_left_out() {
        let mut rng = Rng::from_seed(2);
        let mut last_first = 0;
        for _ in 0..1_000 {
            let ordered = in_order(vec![record(1, 0), record(1, 100)], &mut rng);
            assert_eq!(ordered.len(), 2);
            last_first += u32::from(ordered[0].weight == 0);
        }
        assert!((1..60).contains(&last_first), "{last_first}");
        assert!(in_order(Vec::new(), &mut rng).is_empty());
    }
}
