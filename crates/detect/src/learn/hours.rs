//! Hours of the week that are known.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Hours in a week.
const WEEK: u64 = 168;

/// The hours of the week in which something was active. Days and nights, working days and weekends are not assumed:
/// an hour is known once it has passed with activity on such a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hours {
    /// One bit for each hour that has passed, from Monday 0:00 UTC.
    known: [u64; 3],
    /// The hour that has not passed yet, since the epoch.
    now: u64,
}

impl Hours {
    /// Takes note that there is activity.
    pub(crate) fn learn(&mut self, at: Timestamp) {
        let hour = at.as_secs() / 3600;
        if hour > self.now {
            if self.now > 0 {
                let passed = of_week(self.now);
                self.known[passed / 64] |= 1 << (passed % 64);
            }
            self.now = hour;
        }
    }

    /// Whether there was activity at such an hour before: in the same hour of that day of the week, or of another
    /// working day if it is one, or of the other day of the weekend.
    pub(crate) fn knows(&self, at: Timestamp) -> bool {
        let hour = of_week(at.as_secs() / 3600);
        let (day, hour) = (hour / 24, hour % 24);
        let days = if day < 5 { 0..5 } else { 5..7 };
        days.map(|day| day * 24 + hour).any(|hour| self.known[hour / 64] >> (hour % 64) & 1 == 1)
    }
}

/// The hour of the week; the epoch was a Thursday.
const fn of_week(hour: u64) -> usize {
    ((hour + 3 * 24) % WEEK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_known_once_it_has_passed_on_such_a_day() {
        // Monday, 2 March 2026, 8:00 UTC.
        let hour = |hour: u64| Timestamp::from_secs(1_772_438_400 + hour * 3600);
        let mut hours = Hours::default();
        hours.learn(hour(0));
        assert!(!hours.knows(hour(0)), "it has not passed");
        hours.learn(hour(1));
        assert!(hours.knows(hour(0)) && hours.knows(hour(24)), "on Tuesday too");
        assert!(!hours.knows(hour(2)) && !hours.knows(hour(5 * 24)), "neither later nor on Saturday");
        hours.learn(hour(5 * 24));
        hours.learn(hour(5 * 24 + 1));
        assert!(hours.knows(hour(6 * 24)), "Sunday is like Saturday");
    }
}
