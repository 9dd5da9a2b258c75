//! A device offers or uses what it never did: see [`DETECTOR`].

use model::{FlowRecord, Host, What};

use super::channel::{HOST_TRIAL, How, Sets, digest_of, is_controller, is_industrial, key_of, severity};
use super::contacts::Contact;
use crate::hosts::{MAX_HOSTS, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds services that a device never offered or used.
pub(super) const DETECTOR: Rule = Rule {
    id: "new-service",
    title: "New service",
    severity: model::Severity::Medium,
    attack: &["T0886", "T1505", "T1571"],
    finds: "A device offers a service that it never offered, or uses one that it never used, although what it offers \
            and uses has been the same for so long that hardly anything else was to come.",
    matters: "Devices do the same all their lives. A service that appears is an update, a change of settings, or a back \
              door; one that is used for the first time is a new task, or somebody else's.",
    fix: "Find out what changed on the device. If it is an update or a new task, declare it as expected.",
    thresholds: &[Threshold {
        name: "level",
        about: "how likely a new service may be in a minute of activity, for it to be told",
        unit: "",
        usual: 0.01,
    }],
    listens: &[Kind::Ended, Kind::Samples],
    keeps: "32 services offered and 32 used of each watched host",
    start: || Box::new(Services { sets: Sets::new(MAX_HOSTS, MAX_SERVICES, HOST_TRIAL) }),
};

const LEVEL: usize = 0;
const MAX_SERVICES: usize = 32;

/// The two sets of each host: what it offers, and what it uses.
const OFFERS: usize = 0;
const USES: usize = 1;
const VERBS: [&str; 2] = ["offers", "uses"];

struct Services {
    sets: Sets<Who>,
}

/// A service as it is told apart and named: the protocol where it is known, and the port.
fn service(record: &FlowRecord) -> String {
    let (transport, port) = (record.head.transport, record.head.server.port);
    match (&record.protocol, port) {
        (Some(protocol), 0) => format!("{protocol} {transport}"),
        (Some(protocol), port) => format!("{protocol} {transport}/{port}"),
        (None, port) => format!("{transport}/{port}"),
    }
}

impl Services {
    fn look(
        &mut self,
        who: Who,
        [host, peer]: [&Host; 2],
        which: usize,
        (record, name): (&FlowRecord, &str),
        seen: &Seen<'_>,
        out: &mut Out<'_>,
    ) {
        let is_machine =
            is_controller(&seen.site, host) || record.protocol.as_deref().is_some_and(is_industrial);
        let how = How::between([host, peer], out.limit(LEVEL, host), is_machine, out);
        let Some(surprise) =
            self.sets.look(who, || key_of(host), which, digest_of(&[name.as_bytes()]), seen.at, &how)
        else {
            return;
        };
        let verb = VERBS[which];
        let matter = format!("{verb} {name}");
        out.score(1.0 - surprise.unseen, Some(record.head.id), Some(*host));
        let alarm = Alarm::about(*host)
            .matter(&matter)
            .flow(record.head.id)
            .anomaly()
            .severity(severity(is_machine))
            .factor("service", name, surprise.usual());
        out.raise(alarm, || format!("{host} {verb} {name}, which it never did, with {peer}"));
    }
}

impl Detector for Services {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            What::FlowEnded(record) if Contact::of(record) == Some(Contact::Answered) => {
                let (client, server) = (&record.head.client.host, &record.head.server.host);
                let watches = |who: Who, host: &Host| who.is_somebody() && !seen.site.is_external(host);
                let (is_offered, is_used) = (watches(seen.server, server), watches(seen.client, client));
                if !is_offered && !is_used {
                    return;
                }
                let service = service(record);
                if is_offered {
                    self.look(seen.server, [server, client], OFFERS, (record, &service), seen, out);
                }
                if is_used {
                    self.look(seen.client, [client, server], USES, (record, &service), seen, out);
                }
            }
            What::Samples(_) => {
                self.sets.active(seen.server, &[OFFERS], seen.at);
                self.sets.active(seen.client, &[USES], seen.at);
            }
            _ => {}
        }
    }

    fn forget(&mut self, who: Who) {
        self.sets.forget(who);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.sets.save()
    }

    fn restore(&mut self, learnt: &[u8]) {
        self.sets.restore(learnt);
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered};

    fn plant(minutes: u64) -> Story {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9").with_host("10.0.0.5");
        for _ in 0..minutes {
            story = story.wait(60).flow(answered("10.0.0.5", "10.0.0.9", 502, "modbus"));
        }
        story
    }

    #[test]
    fn what_is_offered_and_used_for_the_first_time_is_told_once_the_rest_is_known() {
        let story = plant(400).flow(answered("10.0.0.5", "10.0.0.9", 44818, "enip"));
        let matters: Vec<_> = story.findings().into_iter().map(|finding| finding.matter).collect();
        assert_eq!(matters.len(), 2);
        assert!(
            matters.contains(&"offers enip tcp/44818".into())
                && matters.contains(&"uses enip tcp/44818".into())
        );
        plant(30).flow(answered("10.0.0.5", "10.0.0.9", 44818, "enip")).silent();
    }

    #[test]
    fn people_are_not_told_of_at_an_hour_that_is_not_known() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9").with_host("10.0.0.5");
        for _ in 0..400 {
            story = story.wait(60).flow(answered("10.0.0.5", "10.0.0.9", 80, "http"));
        }
        story.flow(answered("10.0.0.5", "10.0.0.9", 22, "ssh")).silent();
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = plant(400);
        let saved = story.detect().save();
        let mut other = plant(0).wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        assert_eq!(other.flow(answered("10.0.0.5", "10.0.0.9", 44818, "enip")).findings().len(), 2);
    }
}
