//! How well scores tell what is malicious, whatever the threshold.

use std::collections::BTreeMap;

use model::{FlowId, Timestamp};

use super::finding::{Devices, Score};
use super::label::Unit;

/// Scores by what they are of, in the order of time.
pub(super) struct Scores<'a> {
    flows: BTreeMap<FlowId, Vec<(Timestamp, f64)>>,
    devices: BTreeMap<&'a str, Vec<(Timestamp, f64)>>,
    all: Vec<(Timestamp, f64)>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(scores: &'a [Score]) -> Self {
        let mut sorted: Vec<&Score> = scores.iter().collect();
        sorted.sort_by_key(|score| score.at);
        let mut by = Self { flows: BTreeMap::new(), devices: BTreeMap::new(), all: Vec::new() };
        for score in sorted {
            let told = match (score.flow, &score.device) {
                (Some(flow), _) => by.flows.entry(flow).or_default(),
                (None, Some(device)) => by.devices.entry(device).or_default(),
                (None, None) => &mut by.all,
            };
            told.push((score.at, score.score));
        }
        by
    }

    /// The score of a unit: the greatest of those of its conversation, of its hosts' devices and of all that were
    /// told of what was observed in its time; where there is none, the first that was told afterwards, for what is
    /// said of a whole conversation is said when it is over. 0 if nothing was told.
    pub(super) fn of(&self, unit: &Unit, devices: &Devices) -> f64 {
        let of_flow = unit.flow.and_then(|flow| self.flows.get(&flow));
        let of_devices = devices
            .iter()
            .filter(|(_, names)| unit.hosts.iter().any(|host| names.contains(host)))
            .filter_map(|(device, _)| self.devices.get(device.as_str()));
        of_flow
            .into_iter()
            .chain(of_devices)
            .chain([&self.all])
            .filter_map(|told| {
                let first = told.partition_point(|(at, _)| *at < unit.span.first);
                let over = told.partition_point(|(at, _)| *at <= unit.span.last);
                let greatest = told[first..over].iter().map(|(_, score)| *score).reduce(f64::max);
                greatest.or(told.get(over).or(told.last()).map(|(_, score)| *score))
            })
            .fold(0.0, f64::max)
    }
}

/// The probability that a malicious unit has a greater score than another one, equal scores counting
/// half (Mann and Whitney's U over the number of pairs). None unless there are units of both sorts.
pub(super) fn auc(scores: &[(f64, bool)]) -> Option<f64> {
    let positives = scores.iter().filter(|(_, malicious)| *malicious).count();
    let negatives = scores.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = 0.0;
    let mut before = 0;
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        ranks += rank * equal.iter().filter(|(_, malicious)| *malicious).count() as f64;
        before += equal.len();
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::super::label::{Name, Span};
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_the_right_order() {
        assert_eq!(auc(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]), Some(1.0));
        assert_eq!(auc(&[(0.9, false), (0.1, true)]), Some(0.0));
        assert_eq!(auc(&[(0.5, false), (0.5, true), (0.5, true)]), Some(0.5));
        // Pairs (malicious, other): (0.4, 0.1) right, (0.4, 0.5) wrong, (0.6, 0.1) and (0.6, 0.5) right.
        assert_eq!(auc(&[(0.1, false), (0.4, true), (0.5, false), (0.6, true)]), Some(0.75));
        assert_eq!(auc(&[(0.5, true)]), None);
        assert_eq!(auc(&[]), None);
    }

    #[test]
    fn a_unit_has_the_greatest_score_of_its_time_and_else_the_first_that_was_told_afterwards() {
        let host = Name::Can(1);
        let unit = |first, last, flow: Option<u64>, hosts: &[Name]| Unit {
            span: Span { first: Timestamp::from_secs(first), last: Timestamp::from_secs(last) },
            flow: flow.map(FlowId),
            ends: None,
            hosts: hosts.to_vec(),
            malicious: true,
        };
        let devices = Devices::from([("d1".to_owned(), [host].into())]);
        let score = |at, flow: Option<u64>, device: Option<&str>, score| Score {
            at: Timestamp::from_secs(at),
            flow: flow.map(FlowId),
            device: device.map(str::to_owned),
            score,
        };
        let told = [
            score(3, Some(1), None, 0.9),
            score(3, Some(1), None, 0.1),
            score(6, Some(1), None, 0.2),
            score(6, None, Some("d1"), 0.4),
            score(6, None, Some("d2"), 0.8),
        ];
        let scores = Scores::new(&told);
        assert_eq!(scores.of(&unit(3, 3, Some(1), &[]), &devices), 0.9);
        assert_eq!(scores.of(&unit(2, 6, Some(1), &[]), &devices), 0.9);
        assert_eq!(scores.of(&unit(4, 5, Some(1), &[]), &devices), 0.2);
        assert_eq!(scores.of(&unit(4, 5, Some(1), &[host]), &devices), 0.4);
        assert_eq!(scores.of(&unit(9, 9, Some(1), &[]), &devices), 0.2);
        assert_eq!(scores.of(&unit(4, 5, Some(9), &[Name::Can(9)]), &devices), 0.0);
    }
}
