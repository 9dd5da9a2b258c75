//! Networks of a test's own do what their documentation says.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::namespaces::{End, Namespaces, connect, play, serve};

const A: End<'_> = End { name: "a", mac: "02:00:00:00:00:0a", addresses: &["10.9.1.2/24", "fd09:1::2/64"] };

/// Not a test but the other side of the peers, which is this program started again in a namespace.
#[test]
fn a_peer() {
    play(&[
        ("hang-up", |at: SocketAddr, _: Duration| serve(at, |_| Ok(()))),
        ("open", |at, wait| connect(at, wait).map(drop)),
    ]);
}

/// a asks b, and nobody where nobody is.
fn talk(names: &Namespaces, b_at: [&str; 2], nobody: &str) {
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    for at in b_at {
        let to = format!("{at}:80");
        b.serve(&to);
        assert!(a.connect(&to) && a.udp(&to) && a.large_udp(&to), "{to}");
        assert!(a.local().parse::<SocketAddr>().is_ok());
        assert!(!a.reaches(&format!("{at}:81")), "nobody listens there");
        assert_eq!(a.say(), "ok", "what is kept goes on");
    }
    a.expect(false);
    let to = format!("{nobody}:80");
    assert!(!a.connect(&to) && !a.reaches(&to) && !a.udp(&to), "{to}");
    assert_eq!(a.say(), "ok");
}

#[test]
fn a_bridge_leads_from_end_to_end() {
    let Some(names) = Namespaces::new("a_bridge_leads_from_end_to_end", &["a", "r", "b"]) else { return };
    let b = End { name: "b", mac: "02:00:00:00:00:0b", addresses: &["10.9.1.3/24", "fd09:1::3/64"] };
    names.bridge("r", &[A, b]);
    talk(&names, ["10.9.1.3", "[fd09:1::3]"], "10.9.1.4");
    assert!(names.run("a", "ip", &["neigh", "show", "10.9.1.3"]).contains(b.mac));
}

#[test]
fn a_router_leads_from_network_to_network() {
    let test = "a_router_leads_from_network_to_network";
    let Some(names) = Namespaces::new(test, &["a", "r", "b"]) else { return };
    let b = End { name: "b", mac: "02:00:00:00:00:0b", addresses: &["10.9.2.2/24", "fd09:2::2/64"] };
    names.router("r", &[A, b]);
    talk(&names, ["10.9.2.2", "[fd09:2::2]"], "10.9.2.4");
}

#[test]
fn a_test_has_parts_of_its_own_played() {
    let Some(names) = Namespaces::new("a_test_has_parts_of_its_own_played", &["a"]) else { return };
    let mut a = names.peer("a");
    assert_eq!(a.ask("open 127.0.0.1:80"), "ConnectionRefused");
    assert_eq!(a.ask("hang-up 127.0.0.1:80"), "ok");
    assert_eq!(a.ask("open 127.0.0.1:80"), "ok");
    assert!(a.connect("127.0.0.1:80"));
    assert_ne!(a.say(), "ok");
}

#[test]
fn namespaces_are_each_tests_own_and_are_deleted_with_it() {
    let test = "namespaces_are_each_tests_own_and_are_deleted_with_it";
    let (Some(one), Some(other)) = (Namespaces::new(test, &["a"]), Namespaces::new(test, &["a"])) else {
        return;
    };
    assert_ne!(one.full("a"), other.full("a"));
    let exist = [&one, &other].map(|names| std::path::Path::new("/run/netns").join(names.full("a")));
    assert!(exist.iter().all(|path| path.exists()));
    drop(one);
    assert_eq!(exist.each_ref().map(|path| path.exists()), [false, true]);
}
