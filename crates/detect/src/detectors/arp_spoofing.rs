//! One host poses as another on the link: see [`DETECTOR`].

use model::{Host, Role, Severity};

use super::claims::{Claims, Contest};
use super::few::Few;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, Site};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds hosts that claim the addresses of others.
pub(super) const DETECTOR: Rule = Rule {
    id: "arp-spoofing",
    title: "ARP or neighbour spoofing",
    severity: Severity::High,
    attack: &["T1557.002", "T0830"],
    finds: "A host that has an address of its own claims the address of another, of a router or of several, while \
            their owners are alive and claim them back.",
    matters: "What is meant for the owner goes through the attacker, who can read it, change it or keep it back: \
              passwords, measured values, commands.",
    fix: "Find the switch port of the link-layer address that claims the addresses and shut it. Then look at what the \
          host is. Switches can refuse false claims (dynamic ARP inspection, RA guard).",
    thresholds: &[Threshold {
        name: "changes",
        about: "how often an address goes back and forth within ten minutes",
        unit: "changes",
        usual: 3.0,
    }],
    listens: &[Kind::Binding, Kind::Ended],
    keeps: "16384 addresses and as many stations, and 4 victims of each of the 256 stations that attacked last",
    start: || Box::new(ArpSpoofing { claims: Claims::default(), few: Table::new(MAX_ACTORS) }),
};

const CHANGES: usize = 0;
const MAX_ACTORS: usize = 256;

struct ArpSpoofing {
    claims: Claims,
    few: Table<model::MacAddr, Few>,
}

/// Whether a contest is an attack and no mistake: who is set up with the address of another by mistake has no other
/// address, and wants only this one.
pub(super) fn is_spoofing(contest: &Contest, site: Site<'_>) -> bool {
    contest.contested > 1
        || contest.own.is_some()
        || site.is_one_of(&Host::from_ip(contest.ip), &[Role::Router, Role::Gateway])
}

impl Detector for ArpSpoofing {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let Some(contest) = self.claims.take(seen.what, seen.at) else { return };
        let Contest { ip, owner, claimant, own, contested, changes, since } = contest;
        let actor = Host { mac: Some(claimant), ip: own };
        let victim = Host { mac: Some(owner), ip: Some(ip) };
        if (changes as f64) < out.limit(CHANGES, &actor) || !is_spoofing(&contest, seen.site) {
            return;
        }
        let mut alarm = Alarm::about(actor)
            .since(since)
            .crossed(CHANGES, changes as f64)
            .factor("addresses of others that it claims", contested, 0)
            .factor("changes of hands within ten minutes", changes, "none, or one when a card is replaced");
        let (few, _) = self.few.entry(claimant, Few::default);
        if Addr::of(&victim).is_some_and(|addr| few.names(addr.digest())) {
            alarm = alarm.to(victim);
        }
        out.raise(alarm, || {
            let also = if contested > 1 {
                format!(", as it does with {contested} addresses")
            } else {
                String::new()
            };
            format!("{claimant} claims {ip}, which belongs to {owner}, again and again{also}")
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use model::{BindingSource, MacAddr};

    use super::DETECTOR;
    use crate::testing::{Story, answered, mac_of};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn claim(story: Story, ip: IpAddr, mac: MacAddr) -> Story {
        story.bound(ip, mac, BindingSource::Arp)
    }

    #[test]
    fn a_host_between_two_others_is_found_and_named() {
        let [attacker, router, camera] = ["10.0.0.66", "10.0.0.1", "10.0.0.9"].map(ip);
        let mut story =
            Story::of(&DETECTOR).with_host("10.0.0.66").with_host("10.0.0.1").with_host("10.0.0.9");
        for _ in 0..10 {
            story = claim(story.wait(10), attacker, mac_of(attacker));
            for address in [router, camera] {
                story = claim(story, address, mac_of(attacker));
                story = claim(story, address, mac_of(address));
            }
        }
        let findings = story.findings();
        assert_eq!(findings.len(), 2, "{findings:#?}");
        assert!(findings.iter().all(|finding| finding.actor.host.ip == Some(attacker)));
    }

    #[test]
    fn an_owner_that_is_only_heard_to_talk_is_alive_too() {
        let [attacker, camera] = ["10.0.0.66", "10.0.0.9"].map(ip);
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.66").with_host("10.0.0.9");
        for _ in 0..4 {
            story = claim(claim(story.wait(5), attacker, mac_of(attacker)), camera, mac_of(attacker)).wait(5);
            let mut talk = answered("10.0.0.9", "10.0.0.20", 80, "http");
            talk.head.client.host.mac = Some(mac_of(camera));
            story = story.flow(talk);
        }
        assert_eq!(story.only().victim.unwrap().host.ip, Some(camera));
    }

    #[test]
    fn what_moves_for_good_reasons_is_silent() {
        let [one, other, shared, card] = ["10.0.0.2", "10.0.0.3", "10.0.0.100", "10.0.0.50"].map(ip);
        let mut story =
            Story::of(&DETECTOR).with_host("10.0.0.2").with_host("10.0.0.3").with_host("10.0.0.50");
        // A cluster fails over, and hours later back.
        story = claim(story, shared, mac_of(one));
        story = claim(story.wait(9), shared, mac_of(other));
        story = claim(story.wait(9000), shared, mac_of(one));
        // A card is replaced.
        story = claim(story, card, MacAddr([0, 1, 2, 3, 4, 5]));
        for number in 0..20 {
            // Routers share an address by VRRP, and a server answers from any of its ports.
            story = claim(story.wait(1), ip("10.0.0.1"), MacAddr([0, 0, 0x5e, 0, 1, 7]));
            story = claim(story, ip("10.0.0.1"), mac_of(ip("10.0.0.1")));
            story = claim(story, ip("10.0.0.30"), MacAddr([0, 0x1b, 9, 9, 9, number % 2]));
            // Leases wander.
            story = claim(story.wait(3600), ip("10.0.0.90"), MacAddr([0, 0x1b, 9, 9, number, 0]));
        }
        story.silent();
    }
}
