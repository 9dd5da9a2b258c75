//! What is questionable in a policy that can be compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compile::{Compiled, Entry};
use crate::sets::{AtomId, SetId};
use crate::syntax::{Level, Term, Verdict};
use crate::view::{Member, View};
use crate::{Estate, Map, Place, Policy, Problem, Protocols, Severity};

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

    /// Compiles a policy and looks at it; gives it with its warnings.
    ///
    /// # Errors
    ///
    /// All problems, if one of them is an error: the policy means nothing, contradicts itself, or does not do what it says
    /// that it does.
    pub fn checked(
        policy: impl Into<Arc<Policy>>,
        protocols: &Protocols,
        estate: Estate,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let compiled = Self::new(policy, protocols, estate)?;
        let problems = compiled.lint();
        match problems.iter().any(|problem| problem.severity == Severity::Error) {
            true => Err(problems),
            false => Ok((compiled, problems)),
        }
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
        // Of each kind the worst are told.
        let worst = |mut part: Vec<Problem>| {
            part.sort_by_key(|problem| problem.severity);
            part.truncate(MAX_TOLD);
            part
        };
        let mut problems: Vec<Problem> = parts.into_iter().flat_map(worst).collect();
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
                    found.0 += members.iter().filter(|member| matches!(member, Member::Device(_))).count();
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

    /// What crosses between zones for the same two sides and services.
    fn crossing(&self, entry: &Entry, from: &BTreeSet<u32>, to: &BTreeSet<u32>) -> Crossed {
        let mut crossed = Crossed::default();
        let Some(services) = self.compiled.services.get(entry.services as usize) else { return crossed };
        let pairs = from.iter().flat_map(|from| to.iter().map(|to| (*from, *to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let name = || format!("{} -> {}", self.zone(from), self.zone(to));
            let Some(crossings) = self.compiled.crossings.get(&(from, to)) else {
                crossed.without.add(name);
                continue;
            };
            let bounds =
                || crossings.iter().filter_map(|one| self.compiled.services.get(one.services as usize));
            if bounds().any(|bound| bound.cover(services)) {
                continue;
            }
            let common = bounds().any(|bound| !bound.ports.intersection(&services.ports).is_empty());
            if common { crossed.partly.add(name) } else { crossed.outside.add(name) }
        }
        crossed.all = from.len() * to.len() == crossed.outside.count;
        crossed
    }

    fn crossings(&self) -> Vec<Problem> {
        let mut known: Map<(SetId, SetId, u32), Crossed> = Map::default();
        let mut problems = Vec::new();
        for (entry, place, (from, _), (to, _)) in self.leads() {
            let key = (entry.from, entry.to, entry.services);
            let Crossed { without, partly, outside, all } =
                known.entry(key).or_insert_with(|| self.crossing(entry, &from, &to));
            if without.count > 0 {
                let what = format!("the rule crosses between zones without a conduit: {without}");
                let help = "declare a conduit that says all that may cross, or narrow the rule";
                problems.push(Problem::warning(place, what, help));
            }
            if partly.count > 0 {
                let what = format!("the rule allows more than the conduit has a place for: {partly}");
                problems.push(Problem::warning(place, what, "what the conduit does not name stays denied"));
            }
            if outside.count > 0 {
                let what = format!("the conduit has no place for what the rule allows: {outside}");
                let help = "there the rule does nothing: add its services to the conduit, or narrow it";
                let make = if *all { Problem::error } else { Problem::warning };
                problems.push(make(place, what, help));
            }
        }
        problems
    }

    fn levels(&self) -> Vec<Problem> {
        let level = |zone: u32| self.compiled.policy.zones.get(zone as usize).and_then(|zone| zone.level);
        let named = |(zones, internet): &Sides| {
            let zones = zones.iter().filter_map(|zone| Some((self.zone(*zone), level(*zone)?)));
            zones.chain(internet.then_some(("internet", Level::INTERNET))).collect::<Vec<_>>()
        };
        let mut known: Map<(SetId, SetId), Examples> = Map::default();
        let mut problems = Vec::new();
        for (entry, place, from, to) in self.leads() {
            let far = known.entry((entry.from, entry.to)).or_insert_with(|| {
                let (from, to) = (named(&from), named(&to));
                let mut far = Examples::default();
                for ((from, low), (to, high)) in
                    from.iter().flat_map(|from| to.iter().map(move |to| (from, to)))
                {
                    if low.tenths().abs_diff(high.tenths()) > ONE_LEVEL {
                        far.add(|| format!("{from} ({low}) -> {to} ({high})"));
                    }
                }
                far
            });
            if far.count > 0 {
                let what = format!("the rule skips a level of the Purdue model: {far}");
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
            if rule.verdict != Verdict::Allow {
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

/// What a rule crosses.
#[derive(Default)]
struct Crossed {
    /// Between zones that no conduit joins.
    without: Examples,
    /// Where a conduit has a place for some of it.
    partly: Examples,
    /// Where it has none.
    outside: Examples,
    /// Whether it has none anywhere.
    all: bool,
}

/// The first few, and how many there are.
#[derive(Default)]
struct Examples {
    shown: Vec<String>,
    count: usize,
}

impl Examples {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < EXAMPLES {
            self.shown.push(example());
        }
    }
}

impl std::fmt::Display for Examples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.count - self.shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
