//! ARP spoofing: a host puts itself between two others by lying about their addresses.
//!
//! Modelled on: S. Whalen, "An Introduction to ARP Spoofing" (2001); the documentation of D. Song's
//! dsniff (2000) and of Ettercap. What is passed on is seen twice, once to and once from the host between,
//! with a time to live that is one less.

use std::net::{IpAddr, Ipv4Addr};

use super::{AttackKind, AttackStep, Script};
use crate::frame;
use crate::net::{HostId, Net, Relay, SECOND};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "arp-spoof",
    about: "a host puts itself between two others by false ARP answers, and reads what they say",
    scenes: &["home", "plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "host-discovery",
            about: "The host that was taken over asks for every address of its net, to learn who is there.",
            techniques: &["T1018", "T0846"],
        },
        AttackStep {
            name: "cache-poisoning",
            about: "Every other second it tells both victims by ARP that the other's address is its own. \
                    When it has heard enough it puts things right, so that nobody asks.",
            techniques: &["T1557.002", "T0830"],
        },
        AttackStep {
            name: "interception",
            about: "What the victims send each other now goes to it, and is passed on: it reads passwords \
                    and process values, and could change them.",
            techniques: &["T1040", "T0842", "T0830"],
        },
    ],
    set_up,
};

/// Tells `to` by ARP that `owner`'s address belongs to the link-layer address of `claimed`.
fn claim(net: &mut Net, by: HostId, to: HostId, owner: HostId, claimed: HostId) {
    if let (IpAddr::V4(said), IpAddr::V4(own)) = (net.v4(owner, to), net.v4(to, owner)) {
        let [of, mac] = [claimed, to].map(|host| net.hosts[host].mac);
        let vlan = net.hosts[by].vlan;
        net.arp(by, mac, vlan, frame::arp(2, (of, said), (mac, own)));
    }
}

fn set_up(net: &mut Net, script: Script) {
    let names =
        if net.has("hmi") { ["remote-gateway", "hmi", "plc-pump"] } else { ["tv", "laptop", "router"] };
    let [by, first, second] = names.map(|name| net.host(name));
    let ends = [first, second];

    script.act(net, ("host-discovery", 0), (by, &ends), move |net| {
        let Some(own) = net.hosts[by].v4 else { return };
        let [a, b, c, last] = own.octets();
        for other in (1..=254).filter(|other| *other != last) {
            net.who_has(by, Ipv4Addr::new(a, b, c, other));
            net.pause_us(2_000, 9_000);
        }
    });
    let poisoning = script.stage(net, "cache-poisoning", by, &ends);
    let ends_at = script.at(85);
    net.during(poisoning, |net| {
        net.session(
            (script.at(20), ends_at, 2 * SECOND),
            |_| (),
            move |net, ()| {
                claim(net, by, first, second, by);
                claim(net, by, second, first, by);
            },
            move |net, ()| {
                net.undivert();
                for _ in 0..3 {
                    net.pause_us(900_000, 1_100_000);
                    claim(net, by, first, second, second);
                    claim(net, by, second, first, first);
                }
            },
        );
    });
    let interception = script.stage(net, "interception", by, &ends);
    let begins = script.at(20) + SECOND;
    net.once(begins, move |net| {
        if begins + 5 * SECOND < ends_at {
            for (from, to) in [(first, second), (second, first)] {
                net.divert(Relay { from, to, by, beyond: false, stage: interception });
            }
        }
    });
}
