//! Responses with real packets.

use std::time::{Duration, Instant};

use enforce::respond::{Action, ActionId, Handed, Hands, Need, Request, Responder, Session};
use enforce::{Address, Depth, Family, Firewall, Nft, Ports};
use model::Timestamp;
use testkit::namespaces::{Namespaces, Peer, until};

use crate::networks::{bridged, firewall, routed};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
/// Longer than any test takes.
const LONG: u64 = 3_600;
/// Within this an established conversation must have ended.
const END: Duration = Duration::from_secs(1);

struct Nobody;

impl Hands for Nobody {
    fn revoke(&mut self, _: ActionId, _: &Request) -> Result<Handed, String> {
        Err("nobody issues credentials here".into())
    }

    fn ask(&mut self, _: ActionId, _: &str) -> Result<(), String> {
        Err("nobody is asked here".into())
    }

    fn notify(&mut self, _: &str) -> Result<(), String> {
        Err("nobody is told here".into())
    }
}

struct Scene {
    names: Namespaces,
    a: Peer,
    b: Peer,
    responder: Responder<Nft, Nobody>,
    folder: tempfile::TempDir,
}

const A: &str = "10.9.1.2";

impl Scene {
    /// b serves TCP and UDP on 80 and 81.
    fn new(test: &str, family: Family) -> Option<(Self, &'static str)> {
        let (names, b_at) = match family {
            Family::Routed => (routed(test)?, "10.9.2.2"),
            Family::Bridged => (bridged(test)?, "10.9.1.3"),
        };
        let (a, mut b) = (names.peer("a"), names.peer("b"));
        for port in [80, 81] {
            b.serve(&format!("{b_at}:{port}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let responder =
            Responder::open(firewall(&names, "r"), Nobody, family, vec![], &journal, NOW).unwrap();
        Some((Self { names, a, b, responder, folder }, b_at))
    }

    fn act(&mut self, action: Action, seconds: u64) -> ActionId {
        let id = action.id();
        let request =
            Request { action, life: Duration::from_secs(seconds), reason: "test".into(), incident: None };
        self.responder.act(request, NOW).unwrap();
        id
    }

    /// Speaks until the conversation is over; how it ended.
    fn ends(&mut self) -> String {
        self.a.expect(false);
        let start = Instant::now();
        loop {
            let said = self.a.say();
            if said != "ok" {
                assert!(start.elapsed() < END, "ended after {:?}", start.elapsed());
                return said;
            }
        }
    }

    fn answers(&mut self, to: &str, expected: bool) -> bool {
        self.a.expect(expected);
        self.a.connect(to)
    }
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn quarantine_ends_an_established_conversation_and_expires_by_itself() {
    let test = "quarantine_ends_an_established_conversation_and_expires_by_itself";
    let Some((mut scene, b_at)) = Scene::new(test, Family::Routed) else { return };
    let to = format!("{b_at}:80");
    assert!(scene.answers(&to, true));
    assert_eq!(scene.a.say(), "ok");
    scene.act(Action::Quarantine { device: addresses(&[A]) }, LONG);
    assert_eq!(scene.ends(), "ConnectionReset");
    assert!(!scene.answers(&to, false));
    scene.b.expect(false);
    scene.a.serve(&format!("{A}:80"));
    assert!(!scene.b.connect(&format!("{A}:80")), "nor is it reached");
    // It is let out without anybody doing anything: the kernel does it.
    let id = Action::Quarantine { device: addresses(&[A]) }.id();
    scene.responder.revert(id, NOW).unwrap();
    assert!(scene.answers(&to, true));
    scene.act(Action::Quarantine { device: addresses(&[A]) }, 5);
    let Scene { names, mut a, b, responder, folder } = scene;
    drop(responder);
    a.expect(false);
    assert!(!a.connect(&to));
    until("the kernel lets it out", || a.connect(&to));
    // A restart knows that its time is over, or puts back what is left of it.
    let journal = folder.path().join("journal");
    for (later, left) in [(4, 1), (5, 0)] {
        let now = NOW + Duration::from_secs(later);
        let mut again =
            Responder::open(firewall(&names, "r"), Nobody, Family::Routed, vec![], &journal, now).unwrap();
        assert_eq!(again.active().len(), left);
        let listing = again.firewall().list(Family::Routed, "pavise_response", Depth::Structure).unwrap();
        assert!(listing.is_some());
    }
    drop(b);
}

#[test]
fn quarantine_by_link_layer_address_on_a_bridge() {
    let test = "quarantine_by_link_layer_address_on_a_bridge";
    let Some((mut scene, b_at)) = Scene::new(test, Family::Bridged) else { return };
    let to = format!("{b_at}:80");
    assert!(scene.answers(&to, true));
    assert_eq!(scene.a.say(), "ok");
    let id = scene.act(Action::Quarantine { device: addresses(&["02:00:00:00:00:0a"]) }, LONG);
    scene.ends();
    assert!(!scene.answers(&to, false));
    scene.responder.revert(id, NOW).unwrap();
    assert!(scene.answers(&to, true));
}

#[test]
fn a_contained_device_does_what_it_needs_only() {
    for family in [Family::Routed, Family::Bridged] {
        let test = "a_contained_device_does_what_it_needs_only";
        let Some((mut scene, b_at)) = Scene::new(test, family) else { return };
        let need = |device_opens, port| Need {
            peer: b_at.parse().unwrap(),
            protocol: 6,
            ports: Ports::one(port),
            device_opens,
        };
        for port in [80, 81] {
            scene.a.serve(&format!("{A}:{port}"));
        }
        assert!(scene.answers(&format!("{b_at}:81"), true));
        assert_eq!(scene.a.say(), "ok");
        let needed = vec![need(true, 80), need(false, 81)];
        scene.act(Action::Contain { device: addresses(&[A]), needed }, LONG);
        scene.ends();
        assert!(scene.answers(&format!("{b_at}:80"), true), "{family:?}");
        assert_eq!(scene.a.say(), "ok");
        assert!(!scene.answers(&format!("{b_at}:81"), false));
        assert!(!scene.a.udp(&format!("{b_at}:80")));
        assert!(scene.b.connect(&format!("{A}:81")), "{family:?}");
        scene.b.expect(false);
        assert!(!scene.b.connect(&format!("{A}:80")));
    }
}

#[test]
fn one_conversation_ends_and_another_goes_on() {
    let test = "one_conversation_ends_and_another_goes_on";
    let Some((mut scene, b_at)) = Scene::new(test, Family::Routed) else { return };
    let mut other = scene.names.peer("a");
    assert!(other.connect(&format!("{b_at}:80")));
    assert!(scene.answers(&format!("{b_at}:80"), true));
    let session = Session {
        protocol: 6,
        client: scene.a.local().parse().unwrap(),
        server: format!("{b_at}:80").parse().unwrap(),
    };
    scene.act(Action::KillSession { session }, LONG);
    assert_eq!(scene.ends(), "ConnectionReset");
    assert_eq!(other.say(), "ok");
}

#[test]
fn a_destination_is_blocked_for_one_or_for_all() {
    let test = "a_destination_is_blocked_for_one_or_for_all";
    let Some((mut scene, b_at)) = Scene::new(test, Family::Routed) else { return };
    let to = format!("{b_at}:80");
    let block = |device: &[&str]| Action::BlockDestination {
        device: device.iter().map(|text| text.parse().unwrap()).collect(),
        to: vec!["10.9.2.0/24".parse().unwrap()],
    };
    scene.act(block(&["10.9.1.3"]), LONG);
    assert!(scene.answers(&to, true), "another device is not meant");
    let id = scene.act(block(&[A]), LONG);
    assert!(!scene.answers(&to, false));
    scene.responder.revert(id, NOW).unwrap();
    assert!(scene.answers(&to, true));
    scene.act(block(&[]), LONG);
    assert!(!scene.answers(&to, false));
}

#[test]
fn what_is_beyond_a_rate_is_dropped() {
    let test = "what_is_beyond_a_rate_is_dropped";
    let Some((mut scene, b_at)) = Scene::new(test, Family::Routed) else { return };
    scene.act(Action::RateLimit { device: addresses(&[A]), packets_per_s: 1 }, LONG);
    scene.a.expect(false);
    let to = format!("{b_at}:80");
    let mut answered = [0, 0];
    until("some pass and some do not", || {
        answered[usize::from(scene.a.udp(&to))] += 1;
        answered[0] > 0 && answered[1] > 0
    });
}

#[test]
fn the_kernel_takes_all_actions_at_once() {
    let test = "the_kernel_takes_all_actions_at_once";
    let Some(names) = Namespaces::new(test, &["r"]) else { return };
    let device = || addresses(&["10.0.0.5", "fd00::5", "02:00:00:00:00:05"]);
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let need = |peer: &str, first, last, device_opens| Need {
        peer: peer.parse().unwrap(),
        protocol: 6,
        ports: Ports { first, last },
        device_opens,
    };
    let needed = vec![
        need("10.0.0.0/24", 1, 100, true),
        need("10.0.0.9", 50, 150, true),
        need("fd00::/64", 1, 100, true),
        need("fd00::9", 50, 150, false),
    ];
    let session = |client: &str, server: &str| Action::KillSession {
        session: Session { protocol: 17, client: client.parse().unwrap(), server: server.parse().unwrap() },
    };
    let actions = [
        Action::Contain { device: device(), needed },
        Action::Quarantine { device: device() },
        Action::RateLimit { device: device(), packets_per_s: 100 },
        Action::BlockDestination { device: vec![], to: networks(&["192.0.2.0/24", "2001:db8::/32"]) },
        Action::BlockDestination {
            device: vec![],
            to: networks(&["192.0.2.128/25", "192.0.2.1", "2001:db8::1"]),
        },
        Action::BlockDestination {
            device: networks(&["10.0.0.5", "fd00::5"]),
            to: networks(&["192.0.2.0/30", "2001:db8::/64"]),
        },
        Action::BlockDestination { device: networks(&["10.0.0.5"]), to: networks(&["192.0.2.1"]) },
        session("10.0.0.5:1", "10.0.0.6:2"),
        session("[fd00::5]:1", "[fd00::6]:2"),
    ];
    for family in [Family::Routed, Family::Bridged] {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let mut responder =
            Responder::open(firewall(&names, "r"), Nobody, family, vec![], &journal, NOW).unwrap();
        for (number, action) in (0..).zip(actions.clone()) {
            // Each lasts longer than the one before, so that what overlaps has different ends.
            let life = Duration::from_secs(LONG + 100 * number);
            let request = Request { action, life, reason: "test".into(), incident: None };
            responder.dry_run(&request, &[], NOW).unwrap();
            responder.act(request, NOW).unwrap();
            assert!(!responder.look_after(NOW).unwrap(), "{family:?}: nothing is missing");
        }
        for meddling in [["flush", "set"], ["delete", "table"]] {
            let mut command = [
                &meddling[..],
                &[if family == Family::Routed { "inet" } else { "bridge" }, "pavise_response"],
            ]
            .concat();
            if meddling[0] == "flush" {
                command.push("quarantine4");
            }
            names.run("r", "nft", &command);
            assert!(responder.look_after(NOW).unwrap(), "{meddling:?} is seen and put right");
            assert!(!responder.look_after(NOW).unwrap());
        }
        for id in responder.active().keys().copied().collect::<Vec<_>>() {
            responder.revert(id, NOW).unwrap();
        }
        let listing = responder.firewall().list(family, "pavise_response", Depth::Elements).unwrap().unwrap();
        assert!(listing.sets.values().all(|set| set.elements.is_empty()));
    }
}
