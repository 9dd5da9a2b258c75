//! What the policy of the place denies happens all the same: see [`DETECTOR`].

use model::{Denied, DeniedBy, Ground, Severity, What};

use super::denials::{Denials, IN_VAIN, TIMES};
use super::new_operation::changes;
use crate::hosts::Who;
use crate::judge::{Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds what the policy denies.
pub(super) const DETECTOR: Rule = Rule {
    id: "policy-violation",
    title: "Violation of the policy",
    severity: Severity::Medium,
    attack: &["T0886", "T0855", "T1021", "T1071"],
    finds: "A conversation, or something that is asked in one, which the policy of the place denies (`pavise watch --policy`). \
            It is high if a rule denies it and it crosses from one zone to another or changes something; medium if a rule \
            denies it, if it leads from one zone to another without a place in a conduit, if it leads to or from the Internet, \
            or changes something that no rule names; low if no rule is about it. What a host does in its first five \
            minutes is judged after them, when it is known what it is.",
    matters: "The policy says what may talk to what (IEC 62443-3-3, SR 5.1 and SR 5.2). What happens besides is either an \
              attack, or something that would be cut once the policy is enforced.",
    fix: "Ask `pavise policy explain` why. If it is meant to be, add a rule for it, and see with `pavise policy diff` what else \
          that opens; if not, find out what runs on the host. The decision was recorded only: nothing was cut.",
    thresholds: &[TIMES, IN_VAIN],
    listens: &[Kind::Denied],
    keeps: "16 kinds of what is denied of each watched host",
    start: || Box::<PolicyViolation>::default(),
};

#[derive(Default)]
struct PolicyViolation {
    denials: Denials,
}

impl Detector for PolicyViolation {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Denied(denied) = seen.what else { return };
        if denied.by != DeniedBy::Policy {
            return;
        }
        let severity = severity(denied, seen);
        self.denials.take(denied, severity, seen, out, || {
            let Denied { flow, why, .. } = &**denied;
            let (client, server) = (&flow.client, &flow.server);
            let target = denied.target.as_ref().map_or_else(String::new, |target| format!(" {target}"));
            let zones = denied.zones.as_ref().map_or_else(String::new, |zones| format!(" ({zones})"));
            format!("{} to {server}, {}{target}{zones}: {why}", client.host, denied.service)
        });
    }

    fn forget(&mut self, who: Who) {
        self.denials.forget(who);
    }
}

fn severity(denied: &Denied, seen: &Seen<'_>) -> Severity {
    let crosses = denied.zones.is_some();
    let changes = denied.operation.is_some_and(changes);
    let ends = [&denied.flow.client.host, &denied.flow.server.host];
    let is_outside = ends.iter().any(|host| seen.site.is_external(host));
    match (denied.ground, denied.answered) {
        (Ground::Rule, true) if crosses || changes => Severity::High,
        (Ground::Rule, _) => Severity::Medium,
        (_, true) if crosses || changes || is_outside || denied.ground == Ground::Conduit => Severity::Medium,
        _ => Severity::Low,
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowId, OperationKind, Side, Timestamp, Transport};

    use super::*;
    use crate::testing::{Story, head};

    pub(super) fn denied(client: &str, server: &str, port: u16, ground: Ground) -> Denied {
        let flow =
            model::FlowHead { id: FlowId(u64::from(port)), ..head(client, server, port, Transport::Tcp) };
        Denied {
            flow,
            by: DeniedBy::Policy,
            ground,
            rule: if ground == Ground::Rule { "no cameras".into() } else { "".into() },
            why: "denied: no rule allows it".into(),
            zones: None,
            service: format!("tcp/{port}").into(),
            operation: None,
            target: None,
            answered: true,
            since: Timestamp::from_secs(1_772_438_400),
            times: 1,
        }
    }

    fn told(story: Story, denied: Denied) -> Story {
        story.then(What::Denied(Box::new(denied)))
    }

    fn story() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9")
    }

    #[test]
    fn how_bad_it_is_follows_from_what_it_is() {
        let severity = |denied| told(story(), denied).only().severity;
        let plain = |ground| denied("10.0.0.5", "10.0.0.9", 502, ground);
        assert_eq!(severity(plain(Ground::Unlisted)), Severity::Low);
        assert_eq!(severity(plain(Ground::Rule)), Severity::Medium);
        assert_eq!(severity(plain(Ground::Conduit)), Severity::Medium);
        let zones = || Some("office -> field".into());
        assert_eq!(severity(Denied { zones: zones(), ..plain(Ground::Unlisted) }), Severity::Medium);
        assert_eq!(severity(Denied { zones: zones(), ..plain(Ground::Rule) }), Severity::High);
        let write = |ground| Denied { operation: Some(OperationKind::Write), ..plain(ground) };
        assert_eq!(severity(write(Ground::Operation)), Severity::Medium);
        assert_eq!(severity(write(Ground::Rule)), Severity::High);
        let read = Denied { operation: Some(OperationKind::Read), ..plain(Ground::Operation) };
        assert_eq!(severity(read), Severity::Low);
        assert_eq!(severity(denied("10.0.0.5", "203.0.113.7", 443, Ground::Unlisted)), Severity::Medium);
    }

    #[test]
    fn what_is_the_same_counts_up_and_others_are_told_together() {
        let mut one = story();
        for _ in 0..5 {
            one = told(one, denied("10.0.0.5", "10.0.0.9", 502, Ground::Unlisted));
        }
        let finding = one.only();
        assert_eq!((finding.count, &*finding.matter), (5, "tcp/502"));
        assert!(finding.summary.contains("no rule allows it"), "{}", finding.summary);
        let mut many = story();
        for port in 1..=100 {
            many = told(many, denied("10.0.0.5", "10.0.0.9", port, Ground::Unlisted));
        }
        let findings = many.findings();
        assert_eq!(findings.len(), super::super::denials::NAMED + 1);
        let more = findings.iter().find(|finding| &*finding.matter == "more").unwrap();
        assert_eq!((more.count, more.victim), (84, None));
    }

    #[test]
    fn strangers_are_counted_at_whom_they_visit() {
        let mut story = story();
        for last in 1..=100 {
            let stranger = format!("203.0.113.{last}");
            story = told(story, denied(&stranger, "10.0.0.9", 23, Ground::Unlisted));
        }
        assert_eq!(story.findings().len(), super::super::denials::NAMED + 1);
    }

    #[test]
    fn what_is_tried_in_vain_is_told_when_it_recurs() {
        let vain = || Denied { answered: false, ..denied("10.0.0.5", "10.0.0.9", 502, Ground::Unlisted) };
        let mut story = story();
        for _ in 0..11 {
            story = told(story, vain());
        }
        story.silent();
        story = told(story, vain());
        assert_eq!((story.only().count, story.only().severity), (12, Severity::Low));
        story = told(story, vain());
        assert_eq!(story.only().count, 13);
        // With whom does not matter.
        let other = Denied { answered: false, ..denied("10.0.0.5", "10.0.0.10", 502, Ground::Unlisted) };
        story = told(story, other);
        assert_eq!((story.only().count, story.only().victim), (14, None));
        // Many that are tried once leave room for what is done.
        for port in 1000..1100 {
            let one = denied("10.0.0.5", "10.0.0.9", port, Ground::Unlisted);
            story = told(story, Denied { answered: false, ..one });
        }
        story = told(story, denied("10.0.0.5", "10.0.0.9", 4444, Ground::Unlisted));
        assert!(story.findings().iter().any(|finding| &*finding.matter == "tcp/4444"));
        assert_eq!(story.findings().len(), 2);
        // The Internet tries everybody.
        let mut story = self::story();
        for _ in 0..20 {
            let stranger = denied("203.0.113.5", "10.0.0.9", 502, Ground::Unlisted);
            story = told(story, Denied { answered: false, ..stranger });
        }
        story.silent();
    }

    #[test]
    fn what_makers_say_and_who_is_not_there_is_none_of_it() {
        let by = DeniedBy::Profile(Side::Client);
        told(story(), Denied { by, ..denied("10.0.0.5", "10.0.0.9", 502, Ground::Rule) }).silent();
        told(Story::of(&DETECTOR), denied("10.0.0.5", "10.0.0.9", 502, Ground::Rule)).silent();
    }
}
