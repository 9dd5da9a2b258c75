//! Somebody new talks to a device that has few peers: see [`DETECTOR`].

use model::{FlowHead, Host, What};

use super::channel::{HOST_TRIAL, How, Sets, is_controller, is_industrial, key_of, severity};
use super::contacts::Contact;
use crate::hosts::{MAX_HOSTS, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds peers that a device never had.
pub(super) const DETECTOR: Rule = Rule {
    id: "new-peer",
    title: "New peer",
    severity: model::Severity::Medium,
    attack: &["T0848", "T0886", "T1021"],
    finds: "A device talks to one it never talked to before, although it has had the same few peers for so long that \
            hardly another was to come.",
    matters: "A controller, a camera or a pump talks to those for whom it was set up. Another one is a new machine, a \
              laptop for maintenance, or an intruder who has arrived.",
    fix: "Find out what the new peer is and what it did. If it belongs there, declare it as expected.",
    thresholds: &[Threshold {
        name: "level",
        about: "how likely a new peer may be in a minute of activity, for it to be told",
        unit: "",
        usual: 0.01,
    }],
    listens: &[Kind::Identified, Kind::Ended, Kind::Samples],
    keeps: "32 peers of each watched host",
    start: || Box::new(Peers { sets: Sets::new(MAX_HOSTS, MAX_PEERS, HOST_TRIAL) }),
};

const LEVEL: usize = 0;
/// Who has more peers has no few.
const MAX_PEERS: usize = 32;

struct Peers {
    sets: Sets<Who>,
}

impl Peers {
    fn look(
        &mut self,
        who: Who,
        ([host, peer], thing): ([&Host; 2], u64),
        (head, protocol): (&FlowHead, &str),
        seen: &Seen<'_>,
        out: &mut Out<'_>,
    ) {
        if thing == 0 {
            return;
        }
        // Who talks to whom by such a protocol was laid out when the plant was built, for stations as for controllers.
        let is_machine = is_industrial(protocol) || is_controller(&seen.site, host);
        let how = How::between([host, peer], out.limit(LEVEL, host), is_machine, out);
        let Some(surprise) = self.sets.look(who, || key_of(host), 0, thing, seen.at, &how) else { return };
        let (client, server) = (head.client.host, head.server.host);
        out.score(1.0 - surprise.unseen, Some(head.id), Some(*host));
        let alarm = Alarm::about(client)
            .to(server)
            .flow(head.id)
            .anomaly()
            .severity(severity(is_machine))
            .factor("peers", peer, surprise.usual());
        out.raise(alarm, || {
            format!("{host} has a new peer, {peer}; it had the same {} for long", surprise.known)
        });
    }

    fn both(&mut self, head: &FlowHead, protocol: &str, seen: &Seen<'_>, out: &mut Out<'_>) {
        let (client, server) = (&head.client.host, &head.server.host);
        let watches = |who: Who, host: &Host| who.is_somebody() && !seen.site.is_external(host);
        if watches(seen.server, server) {
            self.look(seen.server, ([server, client], seen.keys[0]), (head, protocol), seen, out);
        }
        if watches(seen.client, client) {
            self.look(seen.client, ([client, server], seen.keys[1]), (head, protocol), seen, out);
        }
    }
}

impl Detector for Peers {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            // Who is only knocked at, or refuses, is no peer: anybody can make up senders.
            What::FlowIdentified(identified) if identified.flow.server_reach != model::Reach::Unknown => {
                self.both(&identified.flow, &identified.protocol, seen, out);
            }
            What::FlowEnded(record) if Contact::of(record) == Some(Contact::Answered) => {
                self.both(&record.head, record.protocol.as_deref().unwrap_or_default(), seen, out);
            }
            What::Samples(_) => {
                for who in [seen.client, seen.server] {
                    self.sets.active(who, &[0], seen.at);
                }
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
    use model::{Attribute, Confidence, Fact, Host, Severity, What};

    use super::DETECTOR;
    use crate::settings::{Expected, Settings};
    use crate::testing::{Story, answered};

    /// A controller that two stations ask every minute.
    fn plant(minutes: u64) -> Story {
        plant_of(Story::of(&DETECTOR), minutes)
    }

    fn plant_of(story: Story, minutes: u64) -> Story {
        let mut story = story.with_host("10.0.0.9").with_host("10.0.0.5").with_host("10.0.0.6");
        story = story.then(What::Fact(Box::new(Fact {
            about: Host::from_ip([10, 0, 0, 9].into()),
            attribute: Attribute::Role,
            value: "plc".into(),
            source: "modbus.response".into(),
            confidence: Confidence::LIKELY,
        })));
        for _ in 0..minutes {
            story = story.wait(60);
            for client in ["10.0.0.5", "10.0.0.6"] {
                story = story.flow(answered(client, "10.0.0.9", 502, "modbus"));
            }
        }
        story
    }

    #[test]
    fn a_new_peer_of_a_controller_is_told_once_its_peers_are_known() {
        let story = plant(400).with_host("10.0.0.77").flow(answered("10.0.0.77", "10.0.0.9", 502, "modbus"));
        let finding = story.only();
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(finding.actor.to_string(), "10.0.0.77");
        plant(30).with_host("10.0.0.77").flow(answered("10.0.0.77", "10.0.0.9", 502, "modbus")).silent();
    }

    #[test]
    fn a_peer_that_is_declared_counts_as_learnt() {
        let expected = |from: &str, to: &str| {
            let [actor, victim] = [from, to].map(|ip| Some(ip.parse().unwrap()));
            let expected = vec![Expected { actor, victim, ..Expected::default() }];
            Settings { expected, ..Settings::default() }
        };
        let comes = |settings| {
            let plant = plant_of(Story::set(&DETECTOR, settings), 400).with_host("10.0.0.77");
            plant.flow(answered("10.0.0.77", "10.0.0.9", 502, "modbus"))
        };
        comes(expected("10.0.0.77", "10.0.0.9")).silent();
        comes(expected("10.0.0.77", "10.0.0.8")).only();
    }

    #[test]
    fn a_new_station_that_a_supervisor_begins_to_ask_is_told() {
        let mut story = Story::of(&DETECTOR);
        for address in ["10.0.0.5", "10.0.0.9", "10.0.0.10", "10.0.0.66"] {
            story = story.with_host(address);
        }
        for _ in 0..400 {
            story = story.wait(60).flow(answered("10.0.0.5", "10.0.0.9", 2404, "iec104"));
            story = story.flow(answered("10.0.0.5", "10.0.0.10", 2404, "iec104"));
        }
        let finding = story.flow(answered("10.0.0.5", "10.0.0.66", 2404, "iec104")).only();
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(finding.victim.map(|victim| victim.host.to_string()).as_deref(), Some("10.0.0.66"));
    }

    #[test]
    fn who_has_ever_new_peers_is_not_told_of() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for minute in 0..3000_u32 {
            let peer = format!("93.184.{}.{}", minute / 7 / 200, minute / 7 % 200 + 1);
            story = story.wait(60).flow(answered("10.0.0.5", &peer, 443, "tls"));
        }
        story.silent();
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = plant(400);
        let saved = story.detect().save();
        let mut other = plant(0).wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let other = other.with_host("10.0.0.77").flow(answered("10.0.0.77", "10.0.0.9", 502, "modbus"));
        assert_eq!(other.only().severity, Severity::Medium);
    }
}
