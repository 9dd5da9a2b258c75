//! What is questionable in a policy that can be compiled.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::{Compiled, Entry};
use crate::sets::{AtomId, SetId};
use crate::syntax::{Level, Term, Verdict};
use crate::view::View;
use crate::{Map, Place, Problem, Severity};

/// So many problems of each kind are told.
pub const MAX_TOLD: usize = 100;
/// So many examples are named in one problem.
const EXAMPLES: usize = 3;
/// A rule that goes beyond so many tenths of a level leaves out one in between.
const ONE_LEVEL: u8 = 10;

impl Compiled {
    /// Looks at what the policy comes to for the devices that there are: zones that overlap, rules that do nothing, crossings
    /// without a conduit, levels that are skipped, invariants that do not hold, expectations that are not met. The worst
    /// come first, then by line.
    pub fn lint(&self) -> Vec<Problem> {
        let view = self.view();
        let lint = Lint { compiled: self, view: &view, supersets: Map::default() };
        lint.run()
    }
}

struct Lint<'a> {
    compiled: &'a Compiled,
    view: &'a View<'a>,
    /// Sets that hold all that another does, by that other.
    supersets: Map<SetId, Vec<SetId>>,
}

impl Lint<'_> {
    fn run(mut self) -> Vec<Problem> {
        let parts = [
            self.empty(),
            self.overlaps(),
            self.without_port(),
            self.crossings(),
            self.levels(),
            self.useless(),
            self.invariants(),
            self.expectations(),
        ];
        let mut problems: Vec<Problem> =
            parts.into_iter().flat_map(|part| part.into_iter().take(MAX_TOLD)).collect();
        problems.sort_by(|a, b| {
            let key = |problem: &Problem| (problem.severity, problem.place.line, problem.place.column);
            key(a).cmp(&key(b)).then_with(|| a.what.cmp(&b.what))
        });
        problems
    }

    fn zone(&self, at: u32) -> &str {
        self.compiled.policy.zones.get(at as usize).map_or("", |zone| &zone.name)
    }

    /// Zones and groups in which nobody is, and could not be by their address either.
    fn empty(&self) -> Vec<Problem> {
        let zones = self.compiled.policy.zones.iter().map(|zone| ("zone", &zone.name, zone.place));
        let groups = self.compiled.policy.groups.iter().map(|group| ("group", &group.name, group.place));
        let nobody = |name: &str| {
            let set = self.compiled.sets.named(name);
            set.is_some_and(|set| {
                let atoms = self.compiled.sets.sets.get(set as usize).map_or(&[][..], |set| &set.atoms);
                let by_name = atoms.iter().filter_map(|atom| self.compiled.sets.atoms.get(*atom as usize));
                // A name may have no address yet.
                self.view.classes(set).is_empty()
                    && !by_name.into_iter().any(|term| matches!(term, Term::Domain(_)))
            })
        };
        zones
            .chain(groups)
            .filter(|(_, name, _)| nobody(name))
            .map(|(kind, name, place)| {
                let what = format!("nobody is in the {kind} `{name}`");
                Problem::warning(place, what, "its rules do nothing until somebody is")
            })
            .collect()
    }

    /// Devices in two zones.
    fn overlaps(&self) -> Vec<Problem> {
        let mut pairs: BTreeMap<(u32, u32), (usize, String)> = BTreeMap::new();
        for (id, class) in (0..).zip(&self.compiled.classes) {
            let members = self.view.members(id);
            for (at, one) in class.zones.iter().enumerate().filter(|_| !members.is_empty()) {
                for other in class.zones.iter().skip(at + 1) {
                    let found = pairs.entry((*one, *other)).or_insert_with(|| (0, self.view.example(id)));
                    found.0 += members.len();
                }
            }
        }
        let problem = |((one, other), (count, example)): ((u32, u32), (usize, String))| {
            let place =
                self.compiled.policy.zones.get(other as usize).map_or_else(Place::default, |zone| zone.place);
            let more = if count > 1 { format!(", {count} in all") } else { String::new() };
            let what =
                format!("{example} is in the zones `{}` and `{}`{more}", self.zone(one), self.zone(other));
            Problem::error(
                place,
                what,
                "zones must not overlap: take it out of one, with `and not` or by another property",
            )
        };
        pairs.into_iter().map(problem).collect()
    }

    /// Protocols that no port tells.
    fn without_port(&self) -> Vec<Problem> {
        let rules = self.compiled.policy.rules.iter().zip(&self.compiled.entries);
        rules
            .filter_map(|(rule, entry)| {
                let unseen = self.compiled.services.get(entry.services as usize)?.unseen().next()?;
                let what = format!(
                    "no usual port is known for {unseen}: conversations are told by what they say alone"
                );
                Some(Problem::warning(rule.place, what, "name the port as well, such as tcp/8080"))
            })
            .collect()
    }

    /// The zones of those who are in a set, and whether some of them are in the Internet.
    fn zones_in(&self, set: SetId, known: &mut Map<SetId, (BTreeSet<u32>, bool)>) -> (BTreeSet<u32>, bool) {
        let found = known.entry(set).or_insert_with(|| {
            let classes = self.view.classes(set);
            let zones =
                classes.iter().flat_map(|class| self.compiled.class(*class).zones.iter().copied()).collect();
            (zones, classes.iter().any(|class| self.view.is_internet(*class)))
        });
        found.clone()
    }

    /// Every `allow` with the zones between which it leads.
    fn leads(&self) -> Vec<(&Entry, Place, Sides, Sides)> {
        let mut known = Map::default();
        let rules = self.compiled.policy.rules.iter().zip(&self.compiled.entries);
        rules
            .filter(|(rule, _)| rule.verdict == Verdict::Allow)
            .map(|(rule, entry)| {
                (
                    entry,
                    rule.place,
                    self.zones_in(entry.from, &mut known),
                    self.zones_in(entry.to, &mut known),
                )
            })
            .collect()
    }

    fn crossings(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (entry, place, (from, _), (to, _)) in self.leads() {
            let (mut without, mut outside, mut partly) = (Vec::new(), Vec::new(), Vec::new());
            let Some(services) = self.compiled.services.get(entry.services as usize) else { continue };
            let pairs = from.iter().flat_map(|from| to.iter().map(|to| (*from, *to)));
            for (from, to) in pairs.filter(|(from, to)| from != to) {
                let name = format!("{} -> {}", self.zone(from), self.zone(to));
                let Some(crossings) = self.compiled.crossings.get(&(from, to)) else {
                    without.push(name);
                    continue;
                };
                let bounds: Vec<_> = crossings
                    .iter()
                    .filter_map(|crossing| self.compiled.services.get(crossing.services as usize))
                    .collect();
                if bounds.iter().any(|bound| bound.cover(services)) {
                    continue;
                }
                let common = bounds.iter().any(|bound| !bound.ports.intersection(&services.ports).is_empty());
                if common { &mut partly } else { &mut outside }.push(name);
            }
            if !without.is_empty() {
                let what = format!("the rule crosses between zones without a conduit: {}", some(&without));
                problems.push(Problem::warning(
                    place,
                    what,
                    "declare a conduit that says all that may cross, or narrow the rule",
                ));
            }
            if !partly.is_empty() {
                let what =
                    format!("the rule allows more than the conduit has a place for: {}", some(&partly));
                problems.push(Problem::warning(place, what, "what the conduit does not name stays denied"));
            }
            if !outside.is_empty() {
                let what = format!("the conduit has no place for what the rule allows: {}", some(&outside));
                let all = from.len() * to.len() == outside.len();
                let mut problem = Problem::warning(
                    place,
                    what,
                    "there the rule does nothing: add its services to the conduit, or narrow it",
                );
                problem.severity = if all { Severity::Error } else { Severity::Warning };
                problems.push(problem);
            }
        }
        problems
    }

    fn levels(&self) -> Vec<Problem> {
        let level = |zone: u32| self.compiled.policy.zones.get(zone as usize).and_then(|zone| zone.level);
        let named = |(zones, internet): &Sides| {
            let mut named: Vec<(String, Level)> =
                zones.iter().filter_map(|zone| Some((self.zone(*zone).to_owned(), level(*zone)?))).collect();
            if *internet {
                named.push(("internet".into(), Level::INTERNET));
            }
            named
        };
        let mut problems = Vec::new();
        for (_, place, from, to) in self.leads() {
            let (from, to) = (named(&from), named(&to));
            let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
            let far: Vec<String> = pairs
                .filter(|((_, from), (_, to))| from.tenths().abs_diff(to.tenths()) > ONE_LEVEL)
                .map(|((from, low), (to, high))| format!("{from} ({low}) -> {to} ({high})"))
                .collect();
            if !far.is_empty() {
                let what = format!("the rule skips a level of the Purdue model: {}", some(&far));
                problems.push(Problem::warning(place, what, "lead it through the level in between"));
            }
        }
        problems
    }

    /// Sets that hold everybody whom a set holds, whoever there is.
    fn supersets(&mut self, set: SetId) -> Vec<SetId> {
        if let Some(known) = self.supersets.get(&set) {
            return known.clone();
        }
        let sets = &self.compiled.sets;
        let atoms = |set: SetId| sets.sets.get(set as usize).map_or(&[][..], |set| &*set.atoms);
        let inner = atoms(set);
        let mut found = Vec::new();
        if let Some(first) = inner.first() {
            let wider = |atom: &AtomId| sets.within(*first, *atom);
            let mut candidates: Vec<SetId> = sets
                .around(*first)
                .filter(wider)
                .flat_map(|atom| sets.holding(atom).iter().copied())
                .collect();
            candidates.sort_unstable();
            candidates.dedup();
            found = candidates;
            found.retain(|outer| {
                inner.iter().all(|one| atoms(*outer).iter().any(|other| sets.within(*one, *other)))
            });
        }
        self.supersets.insert(set, found.clone());
        found
    }

    /// Rules that another one covers, or that are denied altogether.
    fn useless(&mut self) -> Vec<Problem> {
        let compiled = self.compiled;
        let mut problems = Vec::new();
        for (number, (rule, entry)) in (0_u32..).zip(compiled.policy.rules.iter().zip(&compiled.entries)) {
            if rule.verdict != Verdict::Allow || problems.len() >= MAX_TOLD {
                continue;
            }
            let (sources, destinations) = (self.supersets(entry.from), self.supersets(entry.to));
            let pairs = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
            let others =
                pairs.flat_map(|(from, to)| compiled.of_pair(from, to)).filter(|other| **other != number);
            let (mut denied, mut covered) = (None, None);
            for other in others {
                let Some(by) = compiled.entries.get(*other as usize) else { continue };
                let worked = |entry: &Entry| compiled.services.get(entry.services as usize);
                let (Some(mine), Some(theirs)) = (worked(entry), worked(by)) else { continue };
                if by.verdict == Verdict::Deny && by.operations == 0 && theirs.smother(mine) {
                    denied = denied.min(Some(*other)).or(Some(*other));
                }
                let covers = |by: &Entry, entry: &Entry| {
                    worked(by).zip(worked(entry)).is_some_and(|(by, entry)| by.cover(entry))
                        && self.operations_cover(by, entry)
                };
                // Of two that say the same the first stays.
                let same = by.from == entry.from && by.to == entry.to && covers(entry, by) && *other > number;
                if by.verdict == Verdict::Allow && covers(by, entry) && !same {
                    covered = covered.min(Some(*other)).or(Some(*other));
                }
            }
            let line =
                |other: u32| compiled.policy.rules.get(other as usize).map_or(0, |rule| rule.place.line);
            if let Some(other) = denied {
                let what =
                    format!("the rule never allows anything: all of it is denied in line {}", line(other));
                problems.push(Problem::error(
                    rule.place,
                    what,
                    "deny overrides allow: narrow the one or leave out the other",
                ));
            } else if let Some(other) = covered {
                let what = format!("the rule adds nothing: line {} allows all of it", line(other));
                problems.push(Problem::warning(rule.place, what, "leave one of them out"));
            }
        }
        problems
    }

    fn operations_cover(&self, by: &Entry, entry: &Entry) -> bool {
        let operations = |entry: &Entry| {
            self.compiled.operations.get(entry.operations as usize).map_or(&[][..], Vec::as_slice)
        };
        let (outer, inner) = (operations(by), operations(entry));
        outer.is_empty()
            || !inner.is_empty()
                && inner.iter().all(|(kind, target)| {
                    outer.iter().filter(|(other, _)| other == kind).any(|(_, other)| match (other, target) {
                        (None, _) => true,
                        (Some(other), Some(target)) => other.contains(target),
                        (Some(_), None) => false,
                    })
                })
    }

    fn invariants(&self) -> Vec<Problem> {
        let violations = self.view.violations().into_iter();
        violations
            .filter_map(|violation| {
                let invariant = self.compiled.policy.invariants.get(violation.invariant)?;
                let line = |rule: u32| {
                    self.compiled.policy.rules.get(rule as usize).map_or(0, |rule| rule.place.line)
                };
                let lines: Vec<String> =
                    violation.way.hops.iter().map(|hop| line(hop.rule).to_string()).collect();
                let what = format!("`{invariant}` does not hold: {}", violation.way);
                let help = format!("allowed by line {}", lines.join(", then line "));
                Some(Problem::error(invariant.place, what, help))
            })
            .collect()
    }

    fn expectations(&self) -> Vec<Problem> {
        let failures = self.view.failures().into_iter();
        failures
            .filter_map(|failure| {
                let rule = self.compiled.policy.expectations.get(failure.expectation)?;
                let what = format!("expected {}, but {}", rule.verdict, failure.what);
                Some(Problem::error(rule.place, what, "change the rules or the expectation"))
            })
            .collect()
    }
}

/// Zones of those who are on a side of a rule, and whether some are in the Internet.
type Sides = (BTreeSet<u32>, bool);

/// The first few, and how many more.
fn some(all: &[String]) -> String {
    let shown = all.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(EXAMPLES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
