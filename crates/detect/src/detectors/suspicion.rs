//! Weighs what speaks for and against an act being meant to happen.
//!
//! Each sign is worth so many bits: the logarithm to base 2 of how many times likelier it is with an intruder than
//! with somebody who is meant to do it (I. J. Good, "Probability and the Weighing of Evidence", 1950). Who it is and
//! how it is done are weighed apart: that the right one does it excuses nothing that is wrong with the way. Signs that
//! go together are no independent witnesses: the strongest counts whole, the next half, the third a quarter.

use model::{Host, Role, Timestamp};

use super::habit::{PAIRS, Standing, is_new};
use crate::hosts::Addr;
use crate::judge::{Alarm, Out};
use crate::rule::Threshold;
use crate::table::Table;

/// An act is told from so many bits on: the odds for it being meant to happen are eight to one and worse.
pub(super) const SUSPICION: Threshold = Threshold {
    name: "suspicion",
    about: "what speaks against an act being meant to happen",
    unit: "bits",
    usual: 3.0,
};
/// From so many on it is as bad as its kind can be; below, one step less.
const SURE: f64 = 3.5;

/// The share of the limit below which one who was told of is not told of any more: the same act once more is no excuse
/// for the first.
pub(super) const STILL: f64 = 0.5;

const EXTERNAL: f64 = 5.0;
const SUSPECT: f64 = 4.0;
const PERHAPS_SUSPECT: f64 = 2.0;
const NEWCOMER: f64 = 3.0;
const OTHER_KIND: f64 = 3.0;
const APART: f64 = 2.0;
const STRANGER: f64 = 1.0;
const CLIENT: f64 = -1.0;
const NAMED: f64 = -2.0;
const DONE_HERE: f64 = -2.0;
const DONE_ELSEWHERE: f64 = -1.0;

/// Whoever has asked a controller for something for less than that is a stranger to it, in seconds.
const STRANGE_FOR: u64 = 60;
/// And whoever has for longer than that is a client of it.
const CLIENT_AFTER: u64 = 600;

/// Things that have nothing to say to controllers.
const NO_BUSINESS: &[Role] =
    &[Role::Camera, Role::Printer, Role::Media, Role::Phone, Role::Mobile, Role::PointOfSale];

#[derive(Clone)]
struct Sign {
    bits: f64,
    name: &'static str,
    seen: String,
    usual: &'static str,
}

/// What was known of an actor holds for so long, in seconds: bursts of acts are not looked into one by one.
const HOLDS: u64 = 10;

/// What was found out lately about who does something to whom.
pub(super) struct Cases(Table<(Addr, Addr), (Timestamp, Case)>);

impl Default for Cases {
    fn default() -> Self {
        Self(Table::new(PAIRS))
    }
}

impl Cases {
    /// Weighs who it is, or takes what was found out a moment ago.
    pub(super) fn of(&mut self, pair: (Addr, Addr), actor: &Actor<'_>, out: &Out<'_>) -> Case {
        match self.0.get(&pair) {
            Some((then, case)) if actor.now.since(*then).as_secs() < HOLDS => case.clone(),
            _ => {
                let case = Case::of(actor, out);
                *self.0.entry(pair, || (actor.now, Case::default())).0 = (actor.now, case.clone());
                case
            }
        }
    }
}

/// One act, and what speaks for and against it.
#[derive(Clone, Default)]
pub(super) struct Case {
    who: Vec<Sign>,
    how: Vec<Sign>,
}

/// What is known of one who does something.
pub(super) struct Actor<'a> {
    pub(super) host: &'a Host,
    /// To whom it does it.
    pub(super) whom: &'a Host,
    pub(super) now: Timestamp,
    /// When the watch began.
    pub(super) watch: Timestamp,
    /// When it first asked this controller for anything.
    pub(super) met: Timestamp,
    /// Since when both have been here, where it is known that they had nothing to do with each other until they met.
    pub(super) both: Option<Timestamp>,
    pub(super) standing: Standing,
    /// The parts whose work this is.
    pub(super) meant: &'static [Role],
    /// Whether newcomers may be meant: operators' stations are switched on and off, programs are not changed by
    /// whoever came just now.
    pub(super) newcomers_may: bool,
}

/// So many seconds in words.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}

/// What it is worth that something was absent for so long: nothing at first, half of the most after `half` seconds, all
/// of it after three times as long. At the beginning of a watch everything comes for the first time.
fn weight(absent: u64, half: u64, most: f64) -> f64 {
    (most / 2.0 * (1.0 + absent as f64 / half as f64).log2()).min(most)
}

impl Case {
    /// Weighs who it is.
    pub(super) fn of(actor: &Actor<'_>, out: &Out<'_>) -> Self {
        let mut case = Self::default();
        let Actor { host, whom, now, watch, met, both, standing, .. } = *actor;
        let site = out.site();
        let known = site.glance(host);
        let mut is_bad = false;
        // Plants that use public addresses of their own are told by the controller's.
        if site.is_external(host) && !site.is_external(whom) {
            is_bad = true;
            case.who(
                EXTERNAL,
                "where it is",
                "it is outside, in the Internet".into(),
                "on the plant's network",
            );
        }
        if let Some(suspicion) = out.suspect(host) {
            is_bad |= suspicion.is_strong;
            let bits = if suspicion.is_strong { SUSPECT } else { PERHAPS_SUSPECT };
            let did = if suspicion.did { "it was found before" } else { "it was attacked before" };
            case.who(bits, "other findings", format!("{did}: {}", suspicion.title), "none");
        }
        if site.is_one_of(host, NO_BUSINESS) {
            let role = known.and_then(|known| known.role).unwrap_or_default();
            case.who(
                OTHER_KIND,
                "what it is",
                format!("it is a {role}"),
                "a station that works with controllers",
            );
        }
        // A host that is new is new to the controller, and has never done so: three signs of one thing.
        let mut new = Vec::new();
        // Of whom nothing is known but this, that is when it appeared.
        let appeared = known.map_or(met, |known| known.first);
        let is_newcomer = is_new(appeared, watch, now);
        if is_newcomer {
            is_bad |= !actor.newcomers_may;
            let seen = format!("it appeared only {} before", span(now.since(appeared).as_secs()));
            let bits = weight(appeared.since(watch).as_secs(), STRANGE_FOR, NEWCOMER);
            new.push((bits, "how long it has been here", seen, "long before"));
        }
        if let Some(both) = both.filter(|both| !is_newcomer && is_new(met, *both, now)) {
            let absent = met.since(both).as_secs();
            let seen = format!("for {} it had nothing to do with this controller", span(absent));
            let bits = weight(absent, CLIENT_AFTER, APART);
            new.push((bits, "what the two had to do with each other", seen, "what they always do"));
        }
        let met_for = now.since(met).as_secs();
        if is_new(met, watch, now) || met_for < STRANGE_FOR {
            let seen = format!("it first asked this controller for anything {} before", span(met_for));
            new.push((STRANGER, "how long it has been a client", seen, "for long"));
        } else if !is_bad && met_for > CLIENT_AFTER {
            case.who(CLIENT, "how long it has been a client", span(met_for), "for long");
        }
        if standing.surprise >= 0.5 {
            let seen = format!("it has never done so, others have on {} occasions", standing.others);
            new.push((standing.surprise, "who does so", seen, "those who always do"));
        }
        new.sort_by(|one, other| other.0.total_cmp(&one.0));
        for ((bits, name, seen, usual), share) in new.into_iter().zip([1.0, 0.5, 0.25]) {
            case.who(bits * share, name, seen, usual);
        }
        for (bits, when) in [(standing.hour, "hour"), (standing.day, "day of the week")] {
            if bits >= 0.5 {
                case.who(
                    bits,
                    "when",
                    format!("at this {when} such work is not usual here"),
                    "when it is usual",
                );
            }
        }
        if is_bad {
            return case;
        }
        match (standing.here, standing.anywhere) {
            (0, 0) => {}
            (0, times) => {
                case.who(DONE_ELSEWHERE, "did so to others before", format!("on {times} occasions"), "often");
            }
            (times, _) => case.who(DONE_HERE, "did so before", format!("on {times} occasions"), "often"),
        }
        // Costs most, and tips the scales only if something speaks against it.
        if case.bits() > 0.0 && site.is_named(host, actor.meant) {
            case.who(NAMED, "what it says that it is", "one whose work this is".into(), "the same");
        }
        case
    }

    fn who(&mut self, bits: f64, name: &'static str, seen: String, usual: &'static str) {
        self.who.push(Sign { bits, name, seen, usual });
    }

    /// Weighs how it is done.
    pub(super) fn how(&mut self, bits: f64, name: &'static str, seen: String, usual: &'static str) {
        self.how.push(Sign { bits, name, seen, usual });
    }

    /// What speaks against it, less what speaks for it.
    pub(super) fn bits(&self) -> f64 {
        let sum = |signs: &[Sign]| signs.iter().map(|sign| sign.bits).sum::<f64>();
        sum(&self.who).max(0.0) + sum(&self.how)
    }

    /// Whether it is less bad than its kind can be.
    pub(super) fn is_unsure(&self) -> bool {
        self.bits() < SURE
    }

    /// The signs, what speaks most against it first.
    fn signs(&self) -> Vec<&Sign> {
        let mut signs: Vec<_> = self.who.iter().chain(&self.how).collect();
        signs.sort_by(|one, other| other.bits.total_cmp(&one.bits));
        signs
    }

    /// The reasons in words, the strongest first.
    pub(super) fn because(&self) -> String {
        let against = self.signs().into_iter().filter(|sign| sign.bits > 0.0).take(3);
        against.map(|sign| sign.seen.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// Adds the signs to what is said of the act.
    pub(super) fn explain<'a>(&self, alarm: Alarm<'a>) -> Alarm<'a> {
        self.signs().into_iter().fold(alarm, |alarm, sign| {
            alarm.factor(sign.name, format_args!("{} ({:+.1} bits)", sign.seen, sign.bits), sign.usual)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_says_the_more_the_longer_it_was() {
        let bits = [0, 60, 180, 86_400].map(|absent| weight(absent, STRANGE_FOR, NEWCOMER));
        assert_eq!(bits, [0.0, 1.5, 3.0, 3.0]);
    }
}
