//! What was measured, as numbers: a row is one value beside others, or many measurements of one
//! thing with their percentiles.

/// The parts of a row that any reader needs.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// The scenario it belongs to.
    pub(crate) scenario: String,
    /// What was measured.
    pub(crate) name: String,
    /// `ms`, `s`, `bytes`, `MiB`, `times`.
    pub(crate) unit: &'static str,
    /// The numbers.
    pub(crate) value: Value,
}

/// The numbers of a row.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// One number, and what others took for the same.
    One { value: f64, beside: Vec<(String, f64)> },
    /// Each single measurement, in the order in which they were made.
    Many(Vec<f64>),
}

/// What most readers want to know of many measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Half of them are not above it.
    pub(crate) p50: f64,
    /// Of twenty, nineteen are not above it.
    pub(crate) p95: f64,
    /// Of a hundred, ninety-nine are not above it.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// None when nothing was measured.
    pub(crate) fn of(samples: &[f64]) -> Option<Spread> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let max = *sorted.last()?;
        let at = |percent| sorted[rank(sorted.len(), percent)];
        Some(Spread { p50: at(50), p95: at(95), p99: at(99), max })
    }
}

/// The place of a percentile in a sorted list that is not empty: the smallest element that so many
/// percent are not above. It is always a measurement, never something between two.
fn rank(length: usize, percent: usize) -> usize {
    (length * percent).div_ceil(100).clamp(1, length) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_that_so_many_are_not_above() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let spread = Spread::of(&hundred);
        assert_eq!(spread, Some(Spread { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 }));
        let three = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!(three, Some(Spread { p50: 2.0, p95: 3.0, p99: 3.0, max: 3.0 }));
    }

    #[test]
    fn one_measurement_is_every_percentile_and_none_is_no_spread() {
        assert_eq!(Spread::of(&[7.0]), Some(Spread { p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn percentiles_are_in_order_for_every_length() {
        for length in 1..300 {
            let samples: Vec<f64> = (0..length).map(|n| f64::from(n * 7919 % 300)).collect();
            let Spread { p50, p95, p99, max } = Spread::of(&samples).expect("not empty");
            assert!(p50 <= p95 && p95 <= p99 && p99 <= max, "{length}");
            let above = samples.iter().filter(|sample| **sample > p50).count();
            assert!(above * 2 <= samples.len(), "{length}");
        }
    }
}
