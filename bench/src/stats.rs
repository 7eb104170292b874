//! What becomes of several samples of one measure.

/// The middle one; of an even number the mean of the two in the middle.
///
/// # Panics
/// Without samples.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The value below which `share` of the samples lie, interpolated between neighbours.
///
/// # Panics
/// Without samples.
pub fn percentile(samples: &[f64], share: f64) -> f64 {
    assert!(!samples.is_empty(), "no samples");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

/// Of each round, one side by the other; rounds lie close together in time, so what slows the machine for a while
/// falls out. The median of them.
///
/// # Panics
/// Without rounds.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let each: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    median(&each)
}

#[cfg(test)]
mod tests {
    use super::{median, percentile, ratio};

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[0.0, 10.0], 0.99), 9.9);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // In the second round the machine was ten times slower, for both.
        assert_eq!(ratio(&[20.0, 2.0, 20.0], &[10.0, 1.0, 10.0]), 2.0);
    }
}
