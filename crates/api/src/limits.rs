//! How often somebody may ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;

/// So many requests somebody may make at once.
pub const BURST: f64 = 200.0;
/// And so many a second from then on.
pub const PER_SECOND: f64 = 50.0;
/// So many who ask are remembered at a time; those who have all their requests left are forgotten first.
pub const ASKING_MAX: usize = 16_384;

/// A token bucket for each who asks, by token, session or address.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    left: Mutex<HashMap<String, (f64, Timestamp)>>,
}

impl Rates {
    /// Takes one request of `who`; seconds to wait if he has none left.
    pub(crate) fn take(&self, who: &str, now: Timestamp) -> Result<(), u64> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |left: f64, since: Duration| PER_SECOND.mul_add(since.as_secs_f64(), left).min(BURST);
        if left.len() >= ASKING_MAX && !left.contains_key(who) {
            left.retain(|_, (left, at)| refilled(*left, now.since(*at)) < BURST);
            if left.len() >= ASKING_MAX {
                // More ask at once than are remembered: newcomers wait.
                return Err(1);
            }
        }
        let (have, at) = left.entry(who.to_owned()).or_insert((BURST, now));
        *have = refilled(*have, now.since(*at));
        *at = now;
        if *have < 1.0 {
            return Err(1);
        }
        *have -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_others_do_not() {
        let rates = Rates::default();
        let at = |millis: u64| Timestamp::from_nanos(1_000_000 * millis);
        let taken = (0..300).filter(|_| rates.take("a", at(0)).is_ok()).count();
        assert_eq!(taken, 200);
        assert!(rates.take("b", at(0)).is_ok());
        assert_eq!(rates.take("a", at(10)), Err(1));
        assert_eq!((0..300).filter(|_| rates.take("a", at(1_010)).is_ok()).count(), 50);
    }

    #[test]
    fn those_who_ask_are_bounded() {
        let rates = Rates::default();
        for number in 0..ASKING_MAX {
            rates.take(&number.to_string(), Timestamp::from_secs(1)).unwrap();
        }
        assert!(rates.take("new", Timestamp::from_secs(1)).is_err());
        assert!(rates.take("7", Timestamp::from_secs(1)).is_ok());
        assert!(rates.take("new", Timestamp::from_secs(9)).is_ok(), "the others have all of theirs left");
    }
}
