//! Time: UTC to the millisecond, from a clock that the host gives.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;

/// A moment in UTC, to the millisecond, from the year 0000 to the year 9999.
///
/// Its text, and so its JSON, is ISO 8601 with exactly three fraction digits and `Z`. On input the internet's profile of
/// ISO 8601 is accepted (RFC 3339: with a zone, with or without a fraction): it is converted to UTC, and what is finer
/// than a millisecond is cut off.
///
/// ```
/// use perfectpay::Timestamp;
///
/// let moment: Timestamp = "2027-01-01T01:30:00+01:30".parse()?;
/// assert_eq!(moment.to_string(), "2027-01-01T00:00:00.000Z");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00.000Z in Unix milliseconds.
const FIRST: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z in Unix milliseconds.
const LAST: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The beginning of Unix time.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The first moment, 0000-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(FIRST);
    /// The last moment, 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(LAST);

    /// The moment so many milliseconds after the beginning of Unix time; `None` outside the years 0000 to 9999.
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&millis).then_some(Self(millis))
    }

    /// Milliseconds since the beginning of Unix time, negative before it.
    pub fn unix_millis(self) -> i64 {
        self.0
    }

    /// The year and the month, by UTC.
    pub(crate) fn year_and_month(self) -> (i32, u32) {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        (moment.year(), moment.month())
    }

    /// The moment `seconds` later, at most the last that can be represented.
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds).saturating_mul(1000)).min(LAST))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("timestamp.malformed", "must be an ISO 8601 date and time with a zone");
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| fault())?;
        Self::from_unix_millis(moment.timestamp_millis()).ok_or_else(fault)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// Where the library reads the time. Nothing else in it does.
///
/// The clock may step back: what decides on expiry takes the later of the clock and the newest moment seen in the
/// store's log, so that a clock that was set back revives nothing.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
        let now = SystemTime::now();
        let millis = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Timestamp(millis.clamp(FIRST, LAST))
    }
}

/// Where the library draws randomness for ids, keys and nonces. Nothing else in it does.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `bytes` from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}

/// The thread's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        use rand::Rng as _;
        #[allow(clippy::disallowed_methods, reason = "the one place that draws randomness")]
        rand::rng().fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_iso_form_with_a_zone_is_read_and_written_with_three_fraction_digits() {
        for (text, written) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T00:00:00.5Z", "2027-01-01T00:00:00.500Z"),
            ("2027-01-01T00:00:00.123999Z", "2027-01-01T00:00:00.123Z"),
            ("2026-12-31T23:00:00-01:00", "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn a_moment_without_a_zone_is_refused() {
        for text in ["2027-01-01T00:00:00", "2027-01-01", "never", ""] {
            assert_eq!(text.parse::<Timestamp>().unwrap_err().code(), "timestamp.malformed");
        }
    }

    #[test]
    fn the_ends_of_the_range_round_trip_and_nothing_passes_them() {
        for millis in [FIRST, LAST] {
            let moment = Timestamp::from_unix_millis(millis).unwrap();
            assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        }
        assert_eq!(Timestamp::from_unix_millis(LAST + 1), None);
        assert_eq!(Timestamp::from_unix_millis(FIRST - 1), None);
        assert_eq!(Timestamp(LAST).plus_seconds(u32::MAX), Timestamp(LAST));
    }
}
