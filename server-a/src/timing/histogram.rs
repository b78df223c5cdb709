//! How durations are spread, in bounded memory. Pure.
//!
//! A bucket is as wide as a sixty-fourth of what is in it, at most, and a percentile is the middle
//! of a bucket: less than one percent from the measurement that it stands for. The longest is
//! exact.

use common::limits::TOLD_MICROS_MAX;
use common::time::Micros;
use common::wire::client::timed::Spread;

/// Durations below twice this have buckets of their own.
const PARTS: u64 = 64;
/// Buckets for all durations there are.
const BUCKETS: usize = bucket(TOLD_MICROS_MAX) + 1;

/// How often which durations occurred. It takes no memory before the first.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: Micros,
}

impl Histogram {
    /// One more.
    pub fn record(&mut self, took: Micros) {
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        let bucket = &mut self.buckets[bucket(took.get())];
        if let Some(more) = bucket.checked_add(1) {
            *bucket = more;
            self.count += 1;
        }
        self.max = self.max.max(took);
    }

    /// What most readers want to know.
    #[must_use]
    pub fn spread(&self) -> Spread {
        let [p50, p95, p99] = [50, 95, 99].map(|percent| self.percentile(percent));
        Spread { count: self.count, p50, p95, p99, max: self.max }
    }

    /// A duration that so many percent are not above.
    fn percentile(&self, percent: u64) -> Micros {
        let rank = (self.count * percent).div_ceil(100);
        let mut passed = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= rank {
                return Micros::from(middle(at as u64)).min(self.max);
            }
        }
        self.max
    }
}

/// Where a duration is counted.
const fn bucket(micros: u64) -> usize {
    if micros < 2 * PARTS {
        return micros as usize;
    }
    let shift = micros.ilog2() - PARTS.ilog2();
    (shift as u64 * PARTS + (micros >> shift)) as usize
}

/// The middle of what a bucket counts.
const fn middle(bucket: u64) -> u64 {
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let low = (bucket % PARTS + PARTS) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact percentile: the smallest of all that so many percent are not above.
    fn exact(sorted: &[u64], percent: usize) -> u64 {
        sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn near(found: Micros, exact: u64) -> bool {
        let found = found.get();
        found.abs_diff(exact) * 100 <= exact
    }

    #[test]
    fn every_duration_has_its_bucket_and_every_bucket_its_middle() {
        assert_eq!(bucket(0), 0);
        let mut last = 0;
        for at in (0..100_000).chain((17..32).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            let found = bucket(at.min(TOLD_MICROS_MAX));
            assert!(found >= last && found < BUCKETS, "{at}");
            last = found;
            assert!(near(Micros::from(middle(found as u64)), at.min(TOLD_MICROS_MAX)), "{at}");
        }
        for at in 0..BUCKETS {
            assert_eq!(bucket(middle(at as u64)), at);
        }
    }

    #[test]
    fn percentiles_are_within_one_percent_of_the_exact_ones() {
        let mut seed = 7_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for count in [1, 2, 19, 20, 100, 101, 5000] {
            // Some are a few microseconds, some are seconds.
            let mut all: Vec<u64> = (0..count).map(|_| next() >> (next() % 28)).collect();
            let mut histogram = Histogram::default();
            all.iter().for_each(|took| histogram.record(Micros::from(*took)));
            all.sort_unstable();
            let spread = histogram.spread();
            assert_eq!((spread.count, spread.max.get()), (count, all[all.len() - 1]));
            for (found, percent) in [(spread.p50, 50), (spread.p95, 95), (spread.p99, 99)] {
                let exact = exact(&all, percent);
                assert!(near(found, exact), "{count}: p{percent} {found:?}, not {exact}");
            }
            assert!(spread.p50 <= spread.p95 && spread.p95 <= spread.p99);
            assert!(spread.p99 <= spread.max);
        }
    }

    #[test]
    fn nothing_was_measured_is_no_error_and_an_hour_is_the_most() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.spread(), Spread::default());
        histogram.record(Micros::from(u64::MAX));
        let spread = histogram.spread();
        assert_eq!((spread.count, spread.max.get()), (1, TOLD_MICROS_MAX));
        assert!(near(spread.p50, TOLD_MICROS_MAX));
    }
}
