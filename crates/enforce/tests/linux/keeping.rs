//! The keeper with the real program, and what the program does wrong.

use std::time::Duration;

use enforce::{
    Allow, Class, Depth, End, Family, Firewall, FirewallError, Keeper, Mode, Nft, OnDrift, Ports, Ruleset,
    Service, Table,
};
use testkit::namespaces::Namespaces;

use crate::networks::{firewall, routed};

fn ruleset(port: u16, count_singles: bool) -> Ruleset {
    let allow = |name: &str, to: End, service: Service| Allow {
        name: name.into(),
        from: End::Class("a".into()),
        to,
        service,
    };
    Ruleset {
        mode: Mode::Enforce,
        count_singles,
        classes: vec![Class { name: "a".into(), members: vec!["10.9.1.2".parse().unwrap()] }],
        allows: vec![
            allow(
                "web",
                End::Networks(vec!["10.9.2.2".parse().unwrap()]),
                Service::Tcp(vec![Ports::one(port)]),
            ),
            allow("time", End::Name("time.example".into()), Service::Udp(vec![Ports::one(123)])),
        ],
        ..Ruleset::default()
    }
}

#[test]
fn what_somebody_else_changes_is_put_right() {
    let Some(names) = Namespaces::new("what_somebody_else_changes_is_put_right", &["r"]) else { return };
    let mut keeper = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair).unwrap();
    keeper.apply(&ruleset(80, false)).unwrap();
    assert!(keeper.answered("time.example", "192.0.2.1".parse().unwrap(), Duration::from_secs(600)).unwrap());
    assert!(keeper.answered("time.example", "192.0.2.1".parse().unwrap(), Duration::from_secs(900)).unwrap());
    assert!(keeper.look_after(Depth::Elements).unwrap().is_empty(), "nothing differs after an apply");
    for (meddling, told) in [
        (&["flush", "ruleset"][..], "the table is gone"),
        (&["delete", "table", "inet", "pavise"], "the table is gone"),
        (&["insert", "rule", "inet", "pavise", "forward", "accept"], "rule 0 of chain forward is now"),
        (&["flush", "chain", "inet", "pavise", "cut"], "of chain cut is gone"),
        (&["flush", "set", "inet", "pavise", "exact_tcp4"], "of exact_tcp4 is gone"),
        (
            &["add", "element", "inet", "pavise", "open_tcp4", "{ 10.9.1.2 . 22 }"],
            "10.9.1.2 . 22 of open_tcp4",
        ),
        (&["add", "set", "inet", "pavise", "mine", "{ type ipv4_addr; }"], "the set mine was added"),
    ] {
        names.run("r", "nft", meddling);
        let drift = keeper.look_after(Depth::Elements).unwrap();
        assert!(drift.to_string().contains(told), "{meddling:?}: {drift}");
        assert!(keeper.look_after(Depth::Elements).unwrap().is_empty(), "{meddling:?} is put right");
    }
    // A change that no longer fits what is there is put in place whole.
    names.run("r", "nft", &["delete", "table", "inet", "pavise"]);
    assert!(keeper.apply(&ruleset(81, false)).unwrap().whole);
    assert!(!keeper.apply(&ruleset(82, false)).unwrap().whole);
    // Another table is nobody's business.
    names.run("r", "nft", &["add", "table", "inet", "other"]);
    let (drift, _) = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair)
        .unwrap()
        .resume(&ruleset(82, false))
        .unwrap();
    assert!(drift.is_empty(), "{drift}");
    names.run("r", "nft", &["list", "table", "inet", "other"]);
    keeper.remove().unwrap();
    assert_eq!(keeper.firewall().list(Family::Routed, "pavise", Depth::Structure), Ok(None));
    keeper.remove().unwrap();
}

#[test]
fn conversations_are_counted_by_rule() {
    let Some(names) = routed("conversations_are_counted_by_rule") else { return };
    let (mut a, mut b) = (names.peer("a"), names.peer("b"));
    b.serve("10.9.2.2:80");
    b.serve("10.9.2.2:123");
    let mut keeper = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair).unwrap();
    keeper.apply(&ruleset(80, true)).unwrap();
    a.expect(false);
    assert!(!a.udp("10.9.2.2:123"), "no answer has named the address yet");
    keeper.answered("time.example", "10.9.2.2".parse().unwrap(), Duration::from_secs(600)).unwrap();
    a.expect(true);
    assert!(a.udp("10.9.2.2:123"));
    assert!(a.connect("10.9.2.2:80"));
    let counts = keeper.counts(Depth::Elements).unwrap();
    assert_eq!(counts.rules["web"].packets, 1);
    assert_eq!(counts.rules["time"].packets, 1);
    assert_eq!(counts.cut.packets, 1);
    assert_eq!(counts.cut_by["10.9.1.2 . 10.9.2.2 . 17 . 123"].packets, 1);
    // A change of elements alone, and what is carried over, leaves the name's address in force.
    keeper.apply(&ruleset(81, true)).unwrap();
    names.run("r", "nft", &["flush", "chain", "inet", "pavise", "forward"]);
    keeper.look_after(Depth::Structure).unwrap();
    assert!(a.udp("10.9.2.2:123"));
}

#[test]
fn a_program_that_fails_is_told_and_changes_nothing() {
    let Some(names) = Namespaces::new("a_program_that_fails_is_told_and_changes_nothing", &["r"]) else {
        return;
    };
    let mut real = firewall(&names, "r");
    let mut keeper = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair).unwrap();
    keeper.apply(&ruleset(80, false)).unwrap();
    let before = real.list(Family::Routed, "pavise", Depth::Elements).unwrap();
    let transaction = Table::remove(Family::Routed, "pavise");
    let brief = Duration::from_millis(200);
    let failing = [
        (Nft::new("/no/such/program"), "could not be started"),
        (Nft::new("false"), "refused"),
        (Nft::new("tail").with_arguments(["-f", "/dev/null"]).with_limits(brief, 1_000), "within 200 ms"),
        (
            Nft::new("sh")
                .with_arguments(["-c", "cat /dev/zero"])
                .with_limits(Duration::from_secs(10), 1_000),
            "more than 1000 bytes",
        ),
    ];
    for (mut nft, told) in failing {
        let error = nft.apply(&transaction).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = Nft::new("echo").list(Family::Routed, "pavise", Depth::Structure).unwrap_err();
    assert!(matches!(error, FirewallError::Unreadable(_)), "{error}");
    // Wherever in the batch the kernel finds something wrong, nothing of it is done.
    let whole = real.list(Family::Routed, "pavise", Depth::Structure).unwrap().unwrap();
    let compiled = enforce::compile(&ruleset(443, false), keeper.support()).unwrap().table.replace();
    for position in 0..=compiled.commands.len() {
        let mut broken = compiled.clone();
        broken.commands.insert(position, enforce::Command::DeleteSet("no_such_set".into()));
        assert!(matches!(real.apply(&broken), Err(FirewallError::Refused(_))), "{position}");
    }
    assert!(!whole.chains.is_empty());
    assert_eq!(real.list(Family::Routed, "pavise", Depth::Elements).unwrap(), before);
}
