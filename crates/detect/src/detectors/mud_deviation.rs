//! A device does what its maker does not say: see [`DETECTOR`].

use model::{Denied, DeniedBy, Ground, Severity, Side, What};

use super::denials::{Denials, IN_VAIN, TIMES};
use crate::hosts::Who;
use crate::judge::{Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds what a device's profile does not allow.
pub(super) const DETECTOR: Rule = Rule {
    id: "mud-deviation",
    title: "Deviation from the manufacturer's profile",
    severity: Severity::Medium,
    attack: &["T1071", "T0869", "T1021", "T0886"],
    finds: "A device for which there is a manufacturer's usage description (MUD, RFC 8520; `pavise watch --mud`) has a \
            conversation that the description does not allow. It is medium if it leads to or from the Internet, or a rule \
            forbids it, and low if it stays within or nobody answers. What a device does in its first five minutes is judged \
            after them, when it is known what it is.",
    matters: "A device that serves one purpose does little, and its maker knows what. What it does besides, somebody else may \
              make it do.",
    fix: "See with `pavise mud compare` what else it does. If it is meant to be, tell the maker, or use a description of your own; \
          if not, find out what runs on the device. The decision was recorded only: nothing was cut.",
    thresholds: &[TIMES, IN_VAIN],
    listens: &[Kind::Denied],
    keeps: "16 kinds of what is denied of each watched host",
    start: || Box::<MudDeviation>::default(),
};

#[derive(Default)]
struct MudDeviation {
    denials: Denials,
}

impl Detector for MudDeviation {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Denied(denied) = seen.what else { return };
        let DeniedBy::Profile(side) = denied.by else { return };
        let (own, other) = (&denied.flow.endpoint(side).host, &denied.flow.endpoint(side.other()).host);
        let is_worse = denied.ground == Ground::Rule || seen.site.is_external(other);
        let severity = if denied.answered && is_worse { Severity::Medium } else { Severity::Low };
        self.denials.take(denied, severity, seen, out, || {
            let Denied { flow, why, .. } = &**denied;
            match side {
                Side::Client => format!("{own} to {}, {}: {why}", flow.server, denied.service),
                Side::Server => format!("{own} is asked by {other}, {}: {why}", denied.service),
            }
        });
    }

    fn forget(&mut self, who: Who) {
        self.denials.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{Timestamp, Transport};

    use super::*;
    use crate::testing::{Story, head};

    fn denied(client: &str, server: &str, side: Side) -> What {
        What::Denied(Box::new(Denied {
            flow: head(client, server, 4444, Transport::Tcp),
            by: DeniedBy::Profile(side),
            ground: Ground::Unlisted,
            rule: "".into(),
            why: "no rule of https://lamps.example/lamp.json allows it".into(),
            zones: None,
            service: "tcp/4444".into(),
            operation: None,
            target: None,
            answered: true,
            since: Timestamp::from_secs(1_772_438_400),
            times: 1,
        }))
    }

    #[test]
    fn a_stranger_weighs_more_than_a_neighbour_and_each_side_is_told() {
        let story = || Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        let out = story().then(denied("10.0.0.5", "203.0.113.7", Side::Client)).only();
        assert_eq!((out.severity, &*out.matter), (Severity::Medium, "tcp/4444"));
        assert!(out.summary.contains("no rule of https://lamps.example"), "{}", out.summary);
        let within = story().then(denied("10.0.0.9", "10.0.0.5", Side::Server)).only();
        assert_eq!(within.severity, Severity::Low);
        assert!(within.summary.starts_with("10.0.0.5 is asked by 10.0.0.9"), "{}", within.summary);
    }
}
