//! The time by which what different processes did is compared.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of the wall clock since 1970.
pub(crate) type Moment = u64;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "a drill measures what happens in real time")]
pub(crate) fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Seconds from one moment to a later one.
pub(crate) fn seconds(from: Moment, to: Moment) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
