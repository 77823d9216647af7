//! Pure: how queues and priorities share what a worker takes.

/// Splits `max` in proportion to `weights`: who is asked for how many, in the order in which they are asked. The sum is
/// `max`, and over many calls each gets its share even where `max` is 1. `dice` is a random number in 0..1 per call: it
/// decides who gets what the whole numbers leave over, and who is asked first, in proportion to the shares: where all of
/// them want the same few places of one handler, whoever comes first has them all.
pub fn shares(weights: &[u32], max: usize, dice: f64) -> Vec<(usize, usize)> {
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let dice = dice.clamp(0.0, 1.0 - f64::EPSILON);
    // Systematic sampling: the cumulated shares, shifted by one throw, rounded down; each share is off by less than 1.
    let mut reached = dice;
    let mut taken = 0usize;
    let mut shares = Vec::with_capacity(weights.len());
    for (index, &weight) in weights.iter().enumerate().filter(|&(_, &weight)| weight > 0) {
        reached += f64::from(weight) / total * max as f64;
        let upto = (reached as usize).min(max);
        shares.push((index, upto - taken));
        taken = upto;
    }
    // What rounding errors left over goes to the last.
    if let Some((_, share)) = shares.last_mut() {
        *share += max - taken;
    }
    // Any of the `max` may come first; a throw that has nothing to do with the other one says which.
    let first = ((dice * 65_537.0).fract() * max as f64) as usize;
    let mut passed = 0;
    let asked_first = shares.iter().position(|&(_, share)| {
        passed += share;
        first < passed
    });
    shares.rotate_left(asked_first.unwrap_or(0));
    shares.retain(|&(_, share)| share > 0);
    shares
}

/// Weights of the priorities high, normal, low.
pub const PRIORITIES: [u32; 3] = [6, 3, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_keep_the_ratio() {
        let (mut sums, mut firsts) = ([0usize; 3], [0usize; 3]);
        for step in 0..1_000 {
            let dice = f64::from(step) / 1_000.0;
            for max in [0, 1, 2, 7, 10, 64] {
                assert_eq!(shares(&PRIORITIES, max, dice).iter().map(|&(_, share)| share).sum::<usize>(), max);
            }
            for (index, share) in shares(&PRIORITIES, 1, dice) {
                sums[index] += share;
            }
            firsts[shares(&PRIORITIES, 64, dice)[0].0] += 1;
        }
        for counts in [sums, firsts] {
            assert!(
                counts.iter().zip([600usize, 300, 100]).all(|(count, want)| count.abs_diff(want) <= 2),
                "{counts:?}"
            );
        }
        assert_eq!(shares(&[6, 3, 1], 10, 0.0), [(0, 6), (1, 3), (2, 1)]);
        assert_eq!(shares(&[6, 0, 4], 10, 0.7), [(2, 4), (0, 6)]);
        assert_eq!(shares(&[5], 3, 0.9), [(0, 3)]);
        assert_eq!(shares(&[], 3, 0.5), []);
        assert_eq!(shares(&[0, 0], 3, 0.5), []);
    }
}
