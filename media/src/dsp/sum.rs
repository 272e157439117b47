//! Sums over many samples, in as many parts as a processor adds at once: the order is written down, so that they are the
//! same on every machine.

/// Parts of a sum.
const LANES: usize = 8;

/// The sum of the products of two sounds, as far as the shorter one goes.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (a[..length].as_chunks::<LANES>(), b[..length].as_chunks::<LANES>());
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out() {
        for length in 0..40 {
            let numbers: Vec<f32> = (1..=length).map(|number| number as f32).collect();
            // The sum of squares up to n.
            let expected = (length * (length + 1) * (2 * length + 1) / 6) as f32;
            assert_eq!(dot(&numbers, &numbers), expected, "{length}");
        }
        assert_eq!(dot(&[1.0, 2.0, 3.0], &[2.0]), 2.0);
    }
}
