//! Times: file times as they are on disk, and the moments that the core is told.
//!
//! `chrono` is used here only, to write times for people. The core never reads a clock: a
//! [`Moment`] arrives with every event.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::limits::TOLD_MICROS_MAX;

/// The last nanosecond of a second.
pub const NANOS_MAX: u32 = 999_999_999;

/// A file's time: seconds since 1970 (may be negative) and nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "(i64, u32)", into = "(i64, u32)")]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub seconds: i64,
    /// Nanoseconds within the second, below one billion.
    pub nanos: u32,
}

/// More nanoseconds than a second has, which to a system call may mean something else than a time,
/// are taken to be its last one.
impl From<(i64, u32)> for Timestamp {
    fn from((seconds, nanos): (i64, u32)) -> Timestamp {
        Timestamp { seconds, nanos: nanos.min(NANOS_MAX) }
    }
}

impl From<Timestamp> for (i64, u32) {
    fn from(time: Timestamp) -> (i64, u32) {
        (time.seconds, time.nanos)
    }
}

impl Timestamp {
    /// The wall clock's time now. For records that people read; it never decides anything.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    pub fn now() -> Timestamp {
        let now = Utc::now();
        Timestamp { seconds: now.timestamp(), nanos: now.timestamp_subsec_nanos().min(NANOS_MAX) }
    }

    /// `2026-11-21T09:50:00.123456789Z`; times that no calendar has are given as seconds.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        match DateTime::<Utc>::from_timestamp(self.seconds, self.nanos) {
            Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            None => format!("@{}.{:09}", self.seconds, self.nanos),
        }
    }

    /// Reads a time as [`Timestamp::rfc3339`] writes it, in any zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Timestamp> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        let nanos = time.timestamp_subsec_nanos().min(NANOS_MAX);
        Some(Timestamp { seconds: time.timestamp(), nanos })
    }

    /// `20261121-095000`, in UTC, for names of conflict copies.
    #[must_use]
    pub fn compact(&self) -> String {
        match DateTime::<Utc>::from_timestamp(self.seconds, 0) {
            Some(time) => time.format("%Y%m%d-%H%M%S").to_string(),
            None => format!("@{}", self.seconds),
        }
    }

    /// `2026-11-21 09:50:00` in the reader's own time zone.
    #[must_use]
    pub fn local(&self) -> String {
        match DateTime::<Utc>::from_timestamp(self.seconds, 0) {
            Some(time) => {
                time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()
            }
            None => format!("@{}", self.seconds),
        }
    }
}

/// A moment of a clock that only runs forward, in milliseconds since some start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `ms` milliseconds later.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; zero when it is not earlier.
    #[must_use]
    pub fn ms_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How long something took, in microseconds, on the clock of who says so. Never more than an hour:
/// whoever says more, over the wire too, is taken to have said that.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "u64")]
pub struct Micros(u64);

impl Micros {
    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Micros {
    fn from(micros: u64) -> Micros {
        Micros(micros.min(TOLD_MICROS_MAX))
    }
}

impl From<Duration> for Micros {
    fn from(took: Duration) -> Micros {
        Micros::from(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
    }
}

impl std::iter::Sum for Micros {
    fn sum<I: Iterator<Item = Micros>>(parts: I) -> Micros {
        Micros::from(parts.fold(0, |sum: u64, part| sum.saturating_add(part.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_longer_than_an_hour() {
        let hour = Micros::from(Duration::from_secs(3600));
        assert_eq!(Micros::from(u64::MAX), hour);
        assert_eq!(Micros::from(Duration::MAX), hour);
        assert_eq!([hour, Micros::from(1)].into_iter().sum::<Micros>(), hour);
        assert_eq!([2, 3].map(Micros::from).into_iter().sum::<Micros>().get(), 5);
    }

    #[test]
    fn times_before_1970_and_beyond_calendars_are_written() {
        let before = Timestamp { seconds: -1, nanos: 999_999_999 };
        assert_eq!(before.rfc3339(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(before.compact(), "19691231-235959");
        let beyond = Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(beyond.rfc3339().starts_with('@'));
    }
}
