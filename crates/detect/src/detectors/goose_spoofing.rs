//! Somebody else publishes what a protection relay publishes: see [`DETECTOR`].

use model::{Anomaly, FlowId, Host, Operation, OperationKind, Severity, Timestamp, What};

use crate::hosts::{Addr, digest_of};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds forged GOOSE messages.
pub(super) const DETECTOR: Rule = Rule {
    id: "goose-spoofing",
    title: "Forged GOOSE messages",
    severity: Severity::High,
    attack: &["T0856", "T0855", "T0831"],
    finds: "Two senders publish the same GOOSE control block: its counters jump and then go on where they were, which they \
            never do for one (IEC 61850-8-1 clause 18.1), so that somebody forges the publisher's messages under its address, \
            or sends old ones among the new ones; or it comes from another address than before, high once the first one \
            publishes as well. Or its state changes more often in a second than anything that is switched.",
    matters: "Subscribers believe the highest state and ask nobody who sent it: a forged message opens a breaker, or keeps \
              the next true one from being believed.",
    fix: "Find the port of the switch from which the other messages come and shut it. Look at the state of the breakers \
          and the bay. If a device was replaced, declare it as expected.",
    thresholds: &[
        Threshold {
            name: "contradictions",
            about: "how often counters went on where they were before, within a minute; the first time it is medium",
            unit: "times",
            usual: 2.0,
        },
        Threshold {
            name: "changes",
            about: "changes of the state of one control block within a second",
            unit: "changes",
            usual: 100.0,
        },
    ],
    listens: &[Kind::Anomaly, Kind::Operation],
    keeps: "1024 control blocks with their publishers, and 1024 senders that were contradicted",
    start: || {
        Box::new(GooseSpoofing { blocks: Table::new(MAX_BLOCKS), contradictions: Table::new(MAX_BLOCKS) })
    },
};

const CONTRADICTIONS: usize = 0;
const CHANGES: usize = 1;
const MAX_BLOCKS: usize = 1024;
/// Contradictions within so many seconds belong together.
const MINUTE: u64 = 60;
/// Whoever published so many seconds ago still does; repetitions come more often by far, but only changes are told.
const HOUR: u64 = 3600;

struct GooseSpoofing {
    /// By a digest of the control block's name and of the group that it is published to.
    blocks: Table<u64, Block>,
    /// How often counters jumped and went on, since when, by sender.
    contradictions: Table<Addr, (Timestamp, u32)>,
}

/// A control block.
struct Block {
    publisher: Host,
    /// Another one that publishes it, since when, and where that shows.
    rival: Option<(Host, Timestamp, FlowId)>,
    /// How often its state changed in the second that began then.
    changes: (Timestamp, u32),
}

impl GooseSpoofing {
    fn contradicts(&mut self, anomaly: &Anomaly, at: Timestamp, out: &mut Out<'_>) {
        let host = anomaly.host;
        let Some(sender) = Addr::of(&host) else { return };
        let (counted, _) = self.contradictions.entry(sender, || (at, 0));
        if at.since(counted.0).as_secs() >= MINUTE {
            *counted = (at, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        let (since, times) = *counted;
        let is_sure = f64::from(times) >= out.limit(CONTRADICTIONS, &host);
        let severity = if is_sure { Severity::High } else { Severity::Medium };
        let mut alarm = Alarm::about(host).matter("counters").since(since).severity(severity).factor(
            "counters",
            &anomaly.detail,
            "they only go up",
        );
        if is_sure {
            alarm = alarm.crossed(CONTRADICTIONS, times.into());
        }
        if let Some(flow) = &anomaly.flow {
            alarm = alarm.flow(flow.id);
        }
        out.raise(alarm, || {
            format!(
                "Somebody else sends GOOSE messages under the address of {host}, or sends old ones again: {}",
                anomaly.detail
            )
        });
    }

    fn publishes(&mut self, seen: &Seen<'_>, operation: &Operation, out: &mut Out<'_>) {
        let (at, asked, flow) = (seen.at, seen.asked(operation), operation.flow.id);
        let host = asked.asker.host;
        let (Some(sender), Some(name)) = (Addr::of(&host), operation.target.as_deref()) else { return };
        let group = asked.asked.host.mac.map_or([0; 6], |mac| mac.0);
        let make = || Block { publisher: host, rival: None, changes: (at, 0) };
        let (block, _) = self.blocks.entry(digest_of(&[name.as_bytes(), &group]), make);
        if at.since(block.changes.0).as_secs() >= 1 {
            block.changes = (at, 0);
        }
        block.changes.1 = block.changes.1.saturating_add(1);
        let (since, changes) = block.changes;
        if f64::from(changes) >= out.limit(CHANGES, &host) {
            let alarm =
                Alarm::about(host).matter(name).since(since).flow(flow).crossed(CHANGES, changes.into());
            out.raise(alarm, || {
                format!("{host} changed the state of {name} {changes} times within a second")
            });
        }
        let is_publisher = Addr::of(&block.publisher) == Some(sender);
        if !is_publisher && block.rival.is_none_or(|(rival, ..)| Addr::of(&rival) != Some(sender)) {
            block.rival = Some((host, at, flow));
        }
        let Some((rival, since, shown)) = block.rival else { return };
        let shown = [shown];
        if is_publisher && at.since(since).as_secs() >= HOUR {
            block.rival = None;
            return;
        }
        let publisher = block.publisher;
        let severity = if is_publisher { Severity::High } else { Severity::Medium };
        let alarm = Alarm::about(rival)
            .to(publisher)
            .matter(name)
            .since(since)
            .flows(&shown)
            .flow(flow)
            .severity(severity)
            .factor("publishers", format_args!("{publisher} and {rival}"), "one");
        out.raise(alarm, || {
            let still = if is_publisher { " as well" } else { " until now" };
            format!("{rival} publishes {name}, which {publisher} publishes{still}")
        });
    }
}

impl Detector for GooseSpoofing {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            What::Anomaly(anomaly) if &*anomaly.kind == "goose.two-publishers" => {
                self.contradicts(anomaly, seen.at, out);
            }
            What::Operation(operation)
                if &*operation.protocol == "goose" && operation.kind == OperationKind::Publish =>
            {
                self.publishes(seen, operation, out);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Anomaly, MacAddr, Operation, Outcome, Value};

    use super::*;
    use crate::testing::{On, Story, operation};

    const RELAY: MacAddr = MacAddr([0, 0x1b, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([0, 0x1b, 0, 0, 0, 2]);

    fn change(sender: MacAddr, block: &str, state: u64) -> Operation {
        let mut change =
            operation("10.0.0.1", "10.0.0.2", "goose", OperationKind::Publish, "goose", Outcome::Asked)
                .on(block)
                .writing(Value::Unsigned(state));
        change.flow.client.host = Host::from_mac(sender);
        change.flow.server.host = Host::from_mac(MacAddr([1, 0x0c, 0xcd, 1, 0, 1]));
        change
    }

    fn contradiction(sender: MacAddr) -> What {
        What::Anomaly(Box::new(Anomaly {
            flow: None,
            host: Host::from_mac(sender),
            kind: "goose.two-publishers".into(),
            detail: "BAY1/LLN0$GO$trip: state 8 goes on after 9, and neither began anew".into(),
        }))
    }

    #[test]
    fn publishers_that_change_their_state_are_silent_and_so_are_those_of_other_blocks() {
        let mut story = Story::of(&DETECTOR);
        for state in 1..500 {
            story = story.wait_ms(50).asks(change(RELAY, "BAY1/LLN0$GO$trip", state));
            story = story.asks(change(OTHER, "BAY2/LLN0$GO$trip", state));
        }
        story.silent();
    }

    #[test]
    fn counters_that_contradict_each_other_once_are_looked_at_and_twice_are_forged() {
        let story = Story::of(&DETECTOR).then(contradiction(RELAY));
        assert_eq!(story.only().severity, Severity::Medium);
        // One an hour is no more than one.
        let story = story.wait(3600).then(contradiction(RELAY));
        assert_eq!((story.only().severity, story.only().count), (Severity::Medium, 2));
        let finding = story.wait(10).then(contradiction(RELAY)).only();
        assert_eq!((finding.severity, finding.actor.host.mac), (Severity::High, Some(RELAY)));
    }

    #[test]
    fn another_publisher_is_told_and_is_worse_if_the_first_is_still_there() {
        let block = "BAY1/LLN0$GO$trip";
        let story = Story::of(&DETECTOR).asks(change(RELAY, block, 5)).wait(600);
        let story = story.asks(change(OTHER, block, 6));
        let finding = story.only();
        assert_eq!((finding.severity, finding.actor.host.mac), (Severity::Medium, Some(OTHER)));
        let replaced = story.wait(60).asks(change(OTHER, block, 7));
        assert_eq!(replaced.only().severity, Severity::Medium);
        let finding = replaced.wait(60).asks(change(RELAY, block, 6)).only();
        assert_eq!(
            (finding.severity, finding.victim.and_then(|known| known.host.mac)),
            (Severity::High, Some(RELAY))
        );
    }

    #[test]
    fn a_storm_of_changes_is_told() {
        let mut story = Story::of(&DETECTOR);
        for state in 1..300 {
            story = story.wait_ms(5).asks(change(RELAY, "BAY1/LLN0$GO$trip", state));
        }
        assert_eq!(story.only().severity, Severity::High);
    }
}
