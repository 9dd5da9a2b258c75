//! Real packets: what is allowed passes, all else does not.

use enforce::{
    Allow, Class, Depth, End, Family, Firewall, Mode, Ports, Ruleset, Service, TABLE, compile, support,
};
use testkit::namespaces::Namespaces;

use crate::networks::{bridged, firewall, routed};

fn class(name: &str, members: &[&str]) -> Class {
    Class { name: name.into(), members: members.iter().map(|text| text.parse().unwrap()).collect() }
}

fn allow(name: &str, from: &str, to: End, service: Service) -> Allow {
    Allow { name: name.into(), from: End::Class(from.into()), to, service }
}

fn tcp(port: u16) -> Service {
    Service::Tcp(vec![Ports::one(port)])
}

fn udp(port: u16) -> Service {
    Service::Udp(vec![Ports::one(port)])
}

/// a may open TCP 80 and UDP 80 to b, by IPv4 and IPv6; b may open nothing.
fn scene(family: Family, mode: Mode, members: &[&str], networks: &[&str]) -> Ruleset {
    let to = || End::Networks(networks.iter().map(|text| text.parse().unwrap()).collect());
    Ruleset {
        family,
        mode,
        classes: vec![class("a", members)],
        allows: vec![allow("web", "a", to(), tcp(80)), allow("time", "a", to(), udp(80))],
        ..Ruleset::default()
    }
}

/// Asks all that can be asked of the scene, with b's addresses and a's.
fn asked(names: &Namespaces, a_at: [&str; 2], b_at: [&str; 2], enforced: bool) {
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    for (a_at, b_at) in a_at.iter().zip(b_at) {
        for port in [80, 81] {
            b.serve(&format!("{b_at}:{port}"));
            a.serve(&format!("{a_at}:{port}"));
        }
        assert!(a.connect(&format!("{b_at}:80")), "allowed TCP to {b_at}");
        assert_eq!(a.say(), "ok", "the answer comes back from {b_at}");
        assert!(a.udp(&format!("{b_at}:80")), "allowed UDP to {b_at}");
        assert!(a.large_udp(&format!("{b_at}:80")), "allowed UDP in fragments to {b_at}");
        for peer in [&mut a, &mut b] {
            peer.expect(!enforced);
        }
        assert_eq!(
            a.connect(&format!("{b_at}:81")),
            !enforced,
            "TCP to a port that is not allowed at {b_at}"
        );
        assert_eq!(a.udp(&format!("{b_at}:81")), !enforced, "UDP to a port that is not allowed at {b_at}");
        assert_eq!(a.large_udp(&format!("{b_at}:81")), !enforced, "the same in fragments at {b_at}");
        assert_eq!(b.connect(&format!("{a_at}:80")), !enforced, "TCP opened from the other end to {a_at}");
        assert_eq!(b.udp(&format!("{a_at}:80")), !enforced, "UDP opened from the other end to {a_at}");
        a.expect(true);
    }
}

const ROUTED_A: [&str; 2] = ["10.9.1.2", "[fd09:1::2]"];
const ROUTED_B: [&str; 2] = ["10.9.2.2", "[fd09:2::2]"];

#[test]
fn a_router_passes_what_is_allowed_only() {
    let Some(names) = routed("a_router_passes_what_is_allowed_only") else { return };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    // A single device with exact rules, one with networks, and a class of several.
    for (members, networks) in [
        (&["10.9.1.2", "fd09:1::2"][..], &["10.9.2.2", "fd09:2::2"][..]),
        (&["10.9.1.2", "fd09:1::2"], &["10.9.2.0/24", "fd09:2::/64"]),
        (&["10.9.1.0/24", "fd09:1::/64", "10.7.7.7"], &["10.9.2.0/24", "fd09:2::/64", "10.7.7.8"]),
    ] {
        let compiled = compile(&scene(Family::Routed, Mode::Enforce, members, networks), support).unwrap();
        nft.apply(&compiled.table.replace()).unwrap();
        asked(&names, ROUTED_A, ROUTED_B, true);
    }
}

#[test]
fn a_bridge_passes_what_is_allowed_only() {
    let Some(names) = bridged("a_bridge_passes_what_is_allowed_only") else { return };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Bridged).unwrap();
    for (members, networks) in [
        (&["10.9.1.2", "fd09:1::2"][..], &["10.9.1.3", "fd09:1::3"][..]),
        (&["02:00:00:00:00:0a"], &["10.9.1.3", "fd09:1::3"]),
        (&["02:00:00:00:00:0a", "10.9.1.2", "fd09:1::2"], &["10.9.1.0/24", "fd09:1::/64"]),
    ] {
        let compiled = compile(&scene(Family::Bridged, Mode::Enforce, members, networks), support).unwrap();
        assert_eq!(compiled.notes.is_empty(), support.conntrack, "{:?}", compiled.notes);
        nft.apply(&compiled.table.replace()).unwrap();
        asked(&names, ["10.9.1.2", "[fd09:1::2]"], ["10.9.1.3", "[fd09:1::3]"], true);
    }
}

#[test]
fn observing_cuts_nothing_and_says_what_it_would_cut() {
    let Some(names) = routed("observing_cuts_nothing_and_says_what_it_would_cut") else { return };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    let ruleset =
        scene(Family::Routed, Mode::Observe, &["10.9.1.2", "fd09:1::2"], &["10.9.2.2", "fd09:2::2"]);
    nft.apply(&compile(&ruleset, support).unwrap().table.replace()).unwrap();
    asked(&names, ROUTED_A, ROUTED_B, false);
    let listing = nft.list(Family::Routed, TABLE, Depth::Elements).unwrap().unwrap();
    let cut = &listing.sets["cut4"].elements;
    let [tcp, udp] = ["10.9.1.2 . 10.9.2.2 . 6 . 81", "10.9.1.2 . 10.9.2.2 . 17 . 81"]
        .map(|key| cut[key].counter.unwrap());
    assert!(tcp.packets >= 1 && udp.packets == 2, "{tcp:?} {udp:?}");
    assert!(!cut.keys().any(|key| key.starts_with("10.9.1.2") && key.ends_with(" . 80")), "{cut:?}");
    let total = listing.chains["cut"].rules.last().unwrap().counter.unwrap();
    assert!(total.packets >= 8, "TCP and UDP, both ways, by IPv4 and IPv6: {total:?}");
}

#[test]
fn guarded_hosts_are_never_cut() {
    let Some(names) = routed("guarded_hosts_are_never_cut") else { return };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    let mut ruleset = scene(Family::Routed, Mode::Enforce, &["10.9.1.2", "fd09:1::2"], &[]);
    ruleset.allows.clear();
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    b.serve("10.9.2.2:80");
    nft.apply(&compile(&ruleset, support).unwrap().table.replace()).unwrap();
    a.expect(false);
    assert!(!a.connect("10.9.2.2:80"));
    a.expect(true);
    ruleset.guard = vec!["10.9.2.0/24".parse().unwrap()];
    nft.apply(&compile(&ruleset, support).unwrap().table.replace()).unwrap();
    assert!(a.connect("10.9.2.2:80"));
}

#[test]
fn hosts_of_no_class_are_left_alone_unless_it_is_strict() {
    let Some(names) = routed("hosts_of_no_class_are_left_alone_unless_it_is_strict") else {
        return;
    };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    b.serve("10.9.2.2:80");
    for strict in [false, true] {
        let ruleset =
            Ruleset { strict, ..scene(Family::Routed, Mode::Enforce, &["10.7.7.7"], &["10.9.2.2"]) };
        nft.apply(&compile(&ruleset, support).unwrap().table.replace()).unwrap();
        a.expect(!strict);
        assert_eq!(a.connect("10.9.2.2:80"), !strict);
    }
}

#[test]
fn an_established_conversation_survives_a_change_of_rules() {
    let Some(names) = routed("an_established_conversation_survives_a_change_of_rules") else {
        return;
    };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    let before = scene(Family::Routed, Mode::Enforce, &["10.9.1.2"], &["10.9.2.2"]);
    let mut after = before.clone();
    after.classes.push(class("other", &["10.9.1.3", "10.9.1.4"]));
    let [before, after] = [before, after].map(|ruleset| compile(&ruleset, support).unwrap().table);
    nft.apply(&before.replace()).unwrap();
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    b.serve("10.9.2.2:80");
    assert!(a.connect("10.9.2.2:80"));
    nft.apply(&before.delta(&after).unwrap()).unwrap();
    assert_eq!(a.say(), "ok");
    nft.apply(&before.replace()).unwrap();
    assert_eq!(a.say(), "ok");
}
