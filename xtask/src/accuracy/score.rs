//! Comparing what Pavise found with what is true.

use std::collections::BTreeMap;

use model::FlowId;

use super::auc::{Scores, auc};
use super::finding::{Devices, Finding, Score};
use super::label::{Attack, End, Ends, Unit, seconds, shared, union};
use super::trial::Trial;

/// Hits and misses, and the figures that follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Positives that were found.
    pub(crate) found: usize,
    /// Positives that were not.
    pub(crate) missed: usize,
    /// Alarms that were right. For units the same as `found`; several findings may be right about one
    /// attack.
    pub(crate) right: usize,
    /// Alarms that were wrong.
    pub(crate) wrong: usize,
    /// Negatives without an alarm. Only units have negatives that can be counted.
    pub(crate) quiet: usize,
}

fn share(part: usize, rest: usize) -> Option<f64> {
    (part + rest > 0).then(|| part as f64 / (part + rest) as f64)
}

impl Counts {
    pub(crate) fn positives(self) -> usize {
        self.found + self.missed
    }

    /// The share of alarms that were right; none without alarms.
    pub(crate) fn precision(self) -> Option<f64> {
        share(self.right, self.wrong)
    }

    /// The share of positives that were found; none without positives.
    pub(crate) fn recall(self) -> Option<f64> {
        share(self.found, self.missed)
    }

    /// The share of negatives with an alarm; none without negatives. Only units have it.
    pub(crate) fn false_positive_rate(self) -> Option<f64> {
        share(self.wrong, self.quiet)
    }

    /// The harmonic mean of precision and recall. Without alarms precision says nothing and the mean is
    /// 0 if there was something to find.
    pub(crate) fn f1(self) -> Option<f64> {
        let recall = self.recall()?;
        let precision = self.precision().unwrap_or(0.0);
        Some(if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 })
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.missed += other.missed;
        self.right += other.right;
        self.wrong += other.wrong;
        self.quiet += other.quiet;
    }
}

/// What came of a set's trials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By attack: alarms are findings.
    pub(crate) attacks: Counts,
    /// By unit: an alarm is a unit that a finding points at.
    pub(crate) units: Counts,
    /// From the beginning of each attack that was found to when the first finding was raised, in seconds.
    pub(crate) delays_s: Vec<f64>,
    /// Found and all attacks of each kind.
    pub(crate) kinds: BTreeMap<String, (usize, usize)>,
    /// Wrong findings of each detector.
    pub(crate) wrong_by_detector: BTreeMap<String, usize>,
    /// Time without attacks.
    pub(crate) clean_s: f64,
    /// Of that, how much lies within findings.
    pub(crate) alarmed_s: f64,
    /// Time without attacks, times devices on the watched link.
    pub(crate) clean_device_s: f64,
    /// The score of each unit, from 0 to 2, and whether it is malicious.
    pub(super) scores: Vec<(f64, bool)>,
    /// Whether a finding points at each unit of the trial.
    pub(super) alarmed: Vec<bool>,
}

impl Tally {
    /// Compares the findings of one trial with its labels. Findings below the severity that counts
    /// have been left out.
    pub(crate) fn of(trial: &Trial, findings: &[Finding], devices_on_link: usize) -> Self {
        let mut tally = Self::default();
        tally.judge_attacks(trial, findings);
        tally.judge_units(&trial.units, findings);
        let watched = union(trial.watched.clone());
        let attacked = union(trial.attacks.iter().map(|attack| attack.span.grown(trial.tolerance)).collect());
        let found = union(findings.iter().map(|finding| finding.span).collect());
        let alarmed = shared(&watched, &found);
        tally.clean_s = seconds(&watched) - seconds(&shared(&watched, &attacked));
        tally.alarmed_s = seconds(&alarmed) - seconds(&shared(&alarmed, &attacked));
        tally.clean_device_s = tally.clean_s * devices_on_link.max(1) as f64;
        tally
    }

    fn judge_attacks(&mut self, trial: &Trial, findings: &[Finding]) {
        let hits = |attack: &Attack, finding: &Finding| {
            attack.span.grown(trial.tolerance).overlaps(finding.span)
                && (attack.hosts.is_empty()
                    || finding.sides.is_empty()
                    || attack.hosts.iter().any(|host| finding.names(host)))
        };
        for attack in &trial.attacks {
            let raised =
                findings.iter().filter(|finding| hits(attack, finding)).map(|finding| finding.raised).min();
            let (found, all) = self.kinds.entry(attack.kind.clone()).or_default();
            *all += 1;
            if let Some(raised) = raised {
                *found += 1;
                self.attacks.found += 1;
                self.delays_s.push(raised.since(attack.span.first).as_secs_f64());
            } else {
                self.attacks.missed += 1;
            }
        }
        for finding in findings {
            if trial.attacks.iter().any(|attack| hits(attack, finding)) {
                self.attacks.right += 1;
            } else {
                self.attacks.wrong += 1;
                *self.wrong_by_detector.entry(finding.detector.clone()).or_default() += 1;
            }
        }
    }

    fn judge_units(&mut self, units: &[Unit], findings: &[Finding]) {
        let mut order: Vec<(usize, &Unit)> = units.iter().enumerate().collect();
        order.sort_by_key(|(_, unit)| unit.span);
        self.alarmed = vec![false; units.len()];
        let ends: BTreeMap<FlowId, &Ends> =
            units.iter().filter_map(|unit| Some((unit.flow?, unit.ends.as_ref()?))).collect();
        let mut coming: Vec<(&Finding, Option<End>)> =
            findings.iter().map(|finding| (finding, service(finding, &ends))).collect();
        coming.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.span));
        let mut open: Vec<(&Finding, Option<End>)> = Vec::new();
        for (place, unit) in order {
            while let Some(finding) = coming.pop_if(|(finding, _)| finding.span.first <= unit.span.last) {
                open.push(finding);
            }
            open.retain(|(finding, _)| finding.span.last >= unit.span.first);
            let alarmed = open.iter().any(|(finding, service)| {
                finding.span.overlaps(unit.span) && points(finding, service.as_ref(), unit)
            });
            self.alarmed[place] = alarmed;
            match (unit.malicious, alarmed) {
                (true, true) => self.units.found += 1,
                (true, false) => self.units.missed += 1,
                (false, true) => self.units.wrong += 1,
                (false, false) => self.units.quiet += 1,
            }
        }
        self.units.right = self.units.found;
    }

    /// Takes the scores that Pavise gave in the trial; units that a finding points at come before all others.
    /// Those that were learnt from say nothing of how well others are told apart.
    pub(crate) fn take_scores(&mut self, trial: &Trial, scores: &[Score], devices: &Devices) {
        let scores = Scores::new(scores);
        let is_ranked =
            |(unit, _): &(&Unit, &bool)| trial.ranked_from.is_none_or(|from| unit.span.first >= from);
        let score = |(unit, alarmed): (&Unit, &bool)| {
            (f64::from(u8::from(*alarmed)) + scores.of(unit, devices), unit.malicious)
        };
        let units = trial.units.iter().zip(&self.alarmed);
        self.scores.extend(units.filter(is_ranked).map(score));
    }

    /// The area under the receiver operating characteristic of the scores.
    pub(crate) fn auc(&self) -> Option<f64> {
        auc(&self.scores)
    }

    /// Adds what came of another trial.
    pub(crate) fn add(&mut self, other: Self) {
        self.attacks.add(other.attacks);
        self.units.add(other.units);
        self.delays_s.extend(other.delays_s);
        for (kind, (found, all)) in other.kinds {
            let known = self.kinds.entry(kind).or_default();
            *known = (known.0 + found, known.1 + all);
        }
        for (detector, wrong) in other.wrong_by_detector {
            *self.wrong_by_detector.entry(detector).or_default() += wrong;
        }
        self.clean_s += other.clean_s;
        self.alarmed_s += other.alarmed_s;
        self.clean_device_s += other.clean_device_s;
        self.scores.extend(other.scores);
    }

    /// Wrong findings for each device and day without attacks; none if nothing clean was watched.
    pub(crate) fn wrong_per_device_day(&self) -> Option<f64> {
        (self.clean_device_s > 0.0).then(|| self.attacks.wrong as f64 * 86_400.0 / self.clean_device_s)
    }

    /// The share of the time without attacks that lies within findings.
    pub(crate) fn alarmed_share(&self) -> Option<f64> {
        (self.clean_s > 0.0).then(|| self.alarmed_s / self.clean_s)
    }
}

/// Where all conversations that a finding lists go to, if that is one port of its victim: then the finding is about that.
fn service(finding: &Finding, ends: &BTreeMap<FlowId, &Ends>) -> Option<End> {
    let [_, victim] = &finding.sides[..] else { return None };
    let mut listed = finding.conversations.iter().filter_map(|flow| ends.get(flow));
    let [one, other] = **listed.next()?;
    let end = [one, other].into_iter().find(|(name, _)| victim.contains(name))?;
    listed.all(|ends| ends.contains(&end)).then_some(end)
}

/// Whether a finding is about a unit of its time: by conversation where the finding lists them all and
/// the unit's is known, else by hosts: actor and victim, if both are named, must both be of the unit, and so must be
/// the port of the victim to which all conversations go that are listed. A finding that names nobody is about all.
fn points(finding: &Finding, service: Option<&End>, unit: &Unit) -> bool {
    if let Some(flow) = unit.flow
        && !finding.conversations.is_empty()
        && (finding.lists_all() || finding.conversations.contains(&flow))
    {
        return finding.conversations.contains(&flow);
    }
    let elsewhere = unit.ends.zip(service).is_some_and(|(ends, service)| !ends.contains(service));
    !elsewhere && finding.sides.iter().all(|side| unit.hosts.iter().any(|host| side.contains(host)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{FlowId, Timestamp};

    use super::super::label::{Name, Span};
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first: Timestamp::from_secs(first), last: Timestamp::from_secs(last) }
    }

    fn host(number: u32) -> Name {
        Name::Can(number)
    }

    fn finding(first: u64, last: u64, names: &[u32], flows: &[u64]) -> Finding {
        Finding {
            detector: "test".into(),
            severity: 3,
            span: span(first, last),
            raised: Timestamp::from_secs(first),
            sides: names.iter().map(|name| [host(*name)].into()).collect(),
            conversations: flows.iter().copied().map(FlowId).collect(),
        }
    }

    fn attack(first: u64, last: u64, hosts: &[u32]) -> Attack {
        Attack {
            kind: "flood".into(),
            span: span(first, last),
            hosts: hosts.iter().copied().map(host).collect(),
        }
    }

    fn unit(second: u64, flow: Option<u64>, hosts: &[u32], malicious: bool) -> Unit {
        Unit {
            span: span(second, second),
            flow: flow.map(FlowId),
            ends: None,
            hosts: hosts.iter().copied().map(host).collect(),
            malicious,
        }
    }

    fn trial(attacks: Vec<Attack>, units: Vec<Unit>) -> Trial {
        Trial {
            attacks,
            units,
            tolerance: Duration::from_secs(1),
            watched: vec![span(0, 100)],
            ..Trial::default()
        }
    }

    #[test]
    fn an_attack_is_found_by_a_finding_that_overlaps_it_and_names_one_of_its_hosts() {
        let trial =
            trial(vec![attack(10, 20, &[1, 2]), attack(40, 50, &[1]), attack(60, 61, &[])], Vec::new());
        let findings = [
            finding(21, 30, &[2], &[]),
            Finding { raised: Timestamp::from_secs(17), ..finding(15, 15, &[2], &[]) },
            finding(45, 46, &[7], &[]),
            finding(62, 62, &[7], &[]),
            finding(64, 66, &[1], &[]),
            // Whoever it was.
            finding(12, 12, &[], &[]),
        ];
        let tally = Tally::of(&trial, &findings, 2);
        assert_eq!(tally.attacks, Counts { found: 2, missed: 1, right: 4, wrong: 2, quiet: 0 });
        assert_eq!(tally.delays_s, [2.0, 2.0]);
        assert_eq!(tally.kinds["flood"], (2, 3));
        assert_eq!(tally.wrong_by_detector["test"], 2);
        // Attacks and what is tolerated: 12 + 12 + 3 seconds. Findings outside: 21 to 30 and 64 to 66.
        assert_eq!((tally.clean_s, tally.alarmed_s, tally.clean_device_s), (73.0, 11.0, 146.0));
        assert_eq!(tally.wrong_per_device_day(), Some(2.0 * 86_400.0 / 146.0));
    }

    #[test]
    fn a_unit_is_told_by_its_conversation_if_all_are_listed_and_by_its_hosts_else() {
        let both = finding(0, 10, &[1, 2], &[]);
        let units = vec![
            unit(5, Some(1), &[1, 2], true),
            unit(5, Some(2), &[1, 2], false),
            unit(6, None, &[1, 3], false),
            unit(6, Some(3), &[4], true),
            unit(50, Some(1), &[1, 2], true),
        ];
        let tally = Tally::of(&trial(Vec::new(), units.clone()), &[finding(0, 10, &[1], &[1])], 1);
        assert_eq!(tally.units, Counts { found: 1, missed: 2, right: 1, wrong: 1, quiet: 1 });

        let listed: Vec<u64> = (100..164).collect();
        let tally = Tally::of(&trial(Vec::new(), units.clone()), &[finding(0, 10, &[1], &listed)], 1);
        assert_eq!(tally.units, Counts { found: 1, missed: 2, right: 1, wrong: 2, quiet: 0 });

        let tally = Tally::of(&trial(Vec::new(), units.clone()), &[both], 1);
        assert_eq!(tally.units, Counts { found: 1, missed: 2, right: 1, wrong: 1, quiet: 1 });

        let tally = Tally::of(&trial(Vec::new(), units), &[finding(0, 10, &[], &[])], 1);
        assert_eq!(tally.units, Counts { found: 2, missed: 1, right: 2, wrong: 2, quiet: 0 });
    }

    #[test]
    fn a_finding_whose_conversations_all_go_to_one_port_is_about_that() {
        let to = |port: u16, number: u64, malicious| Unit {
            ends: Some([(host(1), 40_000), (host(2), port)]),
            ..unit(5, Some(number), &[1, 2], malicious)
        };
        let mut units: Vec<Unit> = (0..70).map(|number| to(6667, number, true)).collect();
        units.push(to(80, 99, false));
        let listed: Vec<u64> = (0..64).collect();
        let found = finding(0, 10, &[1, 2], &listed);
        let tally = Tally::of(&trial(Vec::new(), units.clone()), &[found], 1);
        assert_eq!(tally.units, Counts { found: 70, missed: 0, right: 70, wrong: 0, quiet: 1 });
        // Conversations with several ports: whatever the two have to do with each other.
        units[3] = to(81, 3, true);
        let found = finding(0, 10, &[1, 2], &listed);
        let tally = Tally::of(&trial(Vec::new(), units), &[found], 1);
        assert_eq!((tally.units.found, tally.units.wrong), (70, 1));
    }

    #[test]
    fn figures_are_absent_where_there_is_nothing_to_divide_by() {
        let counts = |found, missed, right, wrong| Counts { found, missed, right, wrong, quiet: 0 };
        let nothing = Counts::default();
        assert_eq!((nothing.precision(), nothing.recall(), nothing.f1()), (None, None, None));
        let silent = counts(0, 4, 0, 0);
        assert_eq!((silent.precision(), silent.recall(), silent.f1()), (None, Some(0.0), Some(0.0)));
        let noise = counts(0, 0, 0, 3);
        assert_eq!((noise.precision(), noise.recall(), noise.f1()), (Some(0.0), None, None));
        let some = counts(1, 1, 3, 1);
        assert_eq!((some.precision(), some.recall(), some.f1()), (Some(0.75), Some(0.5), Some(0.6)));
        assert_eq!((nothing.false_positive_rate(), noise.false_positive_rate()), (None, Some(1.0)));
        assert_eq!(Counts { quiet: 3, ..some }.false_positive_rate(), Some(0.25));
        let empty = Tally::of(&Trial::default(), &[], 0);
        assert_eq!((empty.wrong_per_device_day(), empty.alarmed_share(), empty.auc()), (None, None, None));
    }

    #[test]
    fn tallies_of_trials_add_up() {
        let one = || trial(vec![attack(10, 20, &[])], vec![unit(15, None, &[1], true)]);
        let mut sum = Tally::of(&one(), &[finding(12, 12, &[], &[])], 1);
        sum.add(Tally::of(&one(), &[finding(30, 30, &[], &[])], 1));
        assert_eq!(sum.attacks, Counts { found: 1, missed: 1, right: 1, wrong: 1, quiet: 0 });
        assert_eq!(sum.kinds["flood"], (1, 2));
        assert_eq!(sum.units.missed, 2);
        assert_eq!(sum.clean_s, 176.0);
    }

    #[test]
    fn units_that_are_pointed_at_come_first_and_those_that_were_learnt_from_not_at_all() {
        let units =
            vec![unit(5, Some(1), &[], false), unit(50, Some(1), &[], false), unit(60, Some(1), &[], true)];
        let mut trial = trial(Vec::new(), units);
        trial.ranked_from = Some(Timestamp::from_secs(10));
        let score =
            |at, score| Score { at: Timestamp::from_secs(at), flow: Some(FlowId(1)), device: None, score };
        let mut tally = Tally::of(&trial, &[finding(60, 60, &[], &[])], 1);
        tally.take_scores(&trial, &[score(5, 1.0), score(50, 0.9), score(60, 0.1)], &Devices::new());
        assert_eq!(tally.auc(), Some(1.0));
        let mut tally = Tally::of(&trial, &[], 1);
        tally.take_scores(&trial, &[score(5, 1.0), score(50, 0.9), score(60, 0.1)], &Devices::new());
        assert_eq!(tally.auc(), Some(0.0));
    }
}
