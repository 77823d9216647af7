//! Pure: how queues and priorities share what a worker takes.

/// Splits `max` in proportion to `weights`: the sum is `max`, and over many calls each gets its share even where `max`
/// is 1. `dice` is a random number in 0..1 per call: it decides who gets what the whole numbers leave over.
pub fn shares(weights: &[u32], max: usize, dice: f64) -> Vec<usize> {
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    if total <= 0.0 {
        return vec![0; weights.len()];
    }
    // Systematic sampling: the cumulated shares, shifted by one throw, rounded down; each share is off by less than 1.
    let mut reached = dice.clamp(0.0, 1.0 - f64::EPSILON);
    let mut taken = 0usize;
    let mut shares: Vec<usize> = weights
        .iter()
        .map(|&weight| {
            reached += f64::from(weight) / total * max as f64;
            let upto = (reached as usize).min(max);
            let share = upto - taken;
            taken = upto;
            share
        })
        .collect();
    // What rounding errors left over goes to the last that has a weight.
    if let Some(last) = weights.iter().rposition(|&w| w > 0) {
        shares[last] += max - taken;
    }
    shares
}

/// Weights of the priorities high, normal, low.
pub const PRIORITIES: [u32; 3] = [6, 3, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_keep_the_ratio() {
        let mut sums = [0usize; 3];
        for step in 0..1_000 {
            let dice = f64::from(step) / 1_000.0;
            for max in [0, 1, 2, 7, 10, 64] {
                assert_eq!(shares(&PRIORITIES, max, dice).iter().sum::<usize>(), max);
            }
            for (sum, share) in sums.iter_mut().zip(shares(&PRIORITIES, 1, dice)) {
                *sum += share;
            }
        }
        assert!(sums.iter().zip([600usize, 300, 100]).all(|(sum, want)| sum.abs_diff(want) <= 2), "{sums:?}");
        assert_eq!(shares(&[6, 3, 1], 10, 0.0), [6, 3, 1]);
        assert_eq!(shares(&[5], 3, 0.9), [3]);
        assert_eq!(shares(&[], 3, 0.5), [] as [usize; 0]);
    }
}
