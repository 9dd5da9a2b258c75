//! Guessing made slow, without locking anybody out for good.
//!
//! Failures are counted for each pair of user and network, and for each network whoever is tried. After
//! [`FREE_FAILURES`] each further one doubles the time until the next try is heard, from a second to [`DELAY_MAX`]. For a user as a
//! whole, wherever the tries come from, the delay is at most [`DELAY_OF_USER_MAX`]: an attacker who tries from everywhere is
//! held to two guesses a minute, and the user himself gets in between.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use model::Timestamp;

/// So many failures cost nothing.
pub const FREE_FAILURES: u32 = 5;
/// The longest time until the next try from one network.
pub const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// The longest time until the next try for one user from a network that has not failed.
pub(crate) const DELAY_OF_USER_MAX: Duration = Duration::from_secs(30);
/// Failures of a user as a whole that cost nothing.
pub(crate) const FREE_FAILURES_OF_USER: u32 = 20;
/// After so long without a failure those before are forgotten.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// So many pairs and networks are watched; the ones that failed longest ago are forgotten first.
pub const WATCHED_MAX: usize = 65_536;

/// The network from which somebody comes: an IPv4 address, or the /64 of an IPv6 one, which one customer has.
pub(crate) fn network(of: IpAddr) -> String {
    match of.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// How long to wait after the latest of so many failures.
pub(crate) fn delay(failures: u32, free: u32, most: Duration) -> Duration {
    match failures.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(more) => Duration::from_secs(1_u64 << (more - 1).min(20)).min(most),
    }
}

/// Seconds until the next try is heard, if it is not heard now.
pub(crate) fn wait(failures: u32, free: u32, most: Duration, last: Timestamp, now: Timestamp) -> Option<u64> {
    let left = delay(failures, free, most).checked_sub(now.since(last))?;
    (!left.is_zero()).then(|| left.as_secs() + u64::from(left.subsec_nanos() > 0))
}

/// Failures that are remembered, by user and network and by network alone.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: HashMap<(Option<String>, String), (u32, Timestamp)>,
}

impl Throttle {
    /// Seconds until somebody from this network is heard again about this user.
    pub(crate) fn wait(&self, user: &str, network: &str, now: Timestamp) -> Option<u64> {
        let of = |key: (Option<String>, String), free| {
            let (failures, last) = self.failures.get(&key)?;
            wait(*failures, free, DELAY_MAX, *last, now)
        };
        // Many people may sign in from one network.
        of((Some(user.into()), network.into()), FREE_FAILURES)
            .max(of((None, network.into()), 4 * FREE_FAILURES))
    }

    pub(crate) fn failed(&mut self, user: &str, network: &str, now: Timestamp) {
        for key in [(Some(user.to_owned()), network.to_owned()), (None, network.to_owned())] {
            if self.failures.len() >= WATCHED_MAX && !self.failures.contains_key(&key) {
                self.make_room(now);
            }
            let (failures, last) = self.failures.entry(key).or_insert((0, now));
            if now.since(*last) > FORGOTTEN_AFTER {
                *failures = 0;
            }
            (*failures, *last) = (failures.saturating_add(1), now);
        }
    }

    /// The user himself was there. What the network has tried with others stays.
    pub(crate) fn succeeded(&mut self, user: &str, network: &str) {
        self.failures.remove(&(Some(user.to_owned()), network.to_owned()));
    }

    /// Forgets what failed long ago, and if that is not enough, the older half.
    fn make_room(&mut self, now: Timestamp) {
        self.failures.retain(|_, (_, last)| now.since(*last) <= FORGOTTEN_AFTER);
        if self.failures.len() >= WATCHED_MAX {
            let mut times: Vec<Timestamp> = self.failures.values().map(|(_, last)| *last).collect();
            let half = times.len() / 2;
            let (_, middle, _) = times.select_nth_unstable(half);
            let middle = *middle;
            self.failures.retain(|_, (_, last)| *last > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + second)
    }

    #[test]
    fn delays_double_and_have_an_end() {
        let delays: Vec<u64> = (4..=10).map(|failures| delay(failures, 5, DELAY_MAX).as_secs()).collect();
        assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16]);
        assert_eq!(delay(u32::MAX, 5, DELAY_MAX), DELAY_MAX);
    }

    #[test]
    fn one_who_guesses_waits_and_others_do_not() {
        let mut throttle = Throttle::default();
        for second in 0..5 {
            assert_eq!(throttle.wait("alice", "192.0.2.1", at(second)), None);
            throttle.failed("alice", "192.0.2.1", at(second));
        }
        throttle.failed("alice", "192.0.2.1", at(10));
        assert_eq!(throttle.wait("alice", "192.0.2.1", at(10)), Some(1));
        assert_eq!(throttle.wait("alice", "192.0.2.1", at(11)), None);
        assert_eq!(throttle.wait("alice", "192.0.2.2", at(10)), None, "from elsewhere");
        assert_eq!(throttle.wait("bob", "192.0.2.1", at(10)), None, "somebody else of the same network");
        throttle.succeeded("alice", "192.0.2.1");
        assert_eq!(throttle.wait("alice", "192.0.2.1", at(10)), None);
        // Spraying: one try for each of many users.
        for user in 0..40 {
            throttle.failed(&format!("user{user}"), "192.0.2.9", at(20));
        }
        assert_eq!(throttle.wait("carol", "192.0.2.9", at(20)), Some(900));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stay() {
        let mut throttle = Throttle::default();
        for number in 0..u32::try_from(WATCHED_MAX).unwrap() {
            let ip = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            throttle.failed("alice", &network(ip), at(number.into()));
        }
        assert!(throttle.failures.len() <= WATCHED_MAX);
        let last = IpAddr::from(std::net::Ipv4Addr::from_bits(65_535));
        assert!(throttle.failures.contains_key(&(Some("alice".into()), network(last))));
    }

    #[test]
    fn addresses_of_one_customer_are_one_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::5"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::5"), of("2001:db8:1:3::5"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
