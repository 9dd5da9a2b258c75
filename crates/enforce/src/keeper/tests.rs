use super::*;
use crate::{Allow, Class, Difference, End, MemoryFirewall, Mode, Ports, Rule, Service};

fn ruleset(ports: &[u16]) -> Ruleset {
    let allow = |name: &str, to: End, service: Service| Allow {
        name: name.into(),
        from: End::Class("camera".into()),
        to,
        service,
    };
    let mut allows: Vec<Allow> = ports
        .iter()
        .map(|&port| {
            let to = End::Networks(vec!["10.0.0.9".parse().unwrap()]);
            allow(&format!("port {port}"), to, Service::Tcp(vec![Ports::one(port)]))
        })
        .collect();
    allows.push(allow("time", End::Name("time.example".into()), Service::Udp(vec![Ports::one(123)])));
    let class = Class { name: "camera".into(), members: vec!["10.0.0.5".parse().unwrap()] };
    Ruleset { mode: Mode::Enforce, classes: vec![class], allows, ..Ruleset::default() }
}

fn keeper(on_drift: OnDrift) -> Keeper<MemoryFirewall> {
    let mut keeper = Keeper::new(MemoryFirewall::new(), Family::Routed, on_drift).unwrap();
    keeper.apply(&ruleset(&[80])).unwrap();
    keeper
}

fn table(keeper: &mut Keeper<MemoryFirewall>) -> Table {
    keeper.firewall().table(Family::Routed, TABLE).unwrap().clone()
}

fn is_in_force(keeper: &mut Keeper<MemoryFirewall>, ruleset: &Ruleset) -> bool {
    let mut in_force = table(keeper);
    let meant = compile(ruleset, Support::FULL).unwrap().table;
    for (name, set) in in_force.sets.iter_mut().filter(|(_, set)| set.spec.live) {
        set.elements = meant.sets[name].elements.clone();
    }
    in_force == meant
}

#[test]
fn a_change_of_one_rule_is_a_few_elements() {
    let mut keeper = keeper(OnDrift::Repair);
    let change = Change { whole: false, added: 1, removed: 0, rules: 0, notes: vec![] };
    assert_eq!(keeper.dry_run(&ruleset(&[80, 81])).unwrap(), change);
    assert!(is_in_force(&mut keeper, &ruleset(&[80])), "a dry run changes nothing");
    assert_eq!(keeper.apply(&ruleset(&[80, 81])).unwrap(), change);
    assert!(is_in_force(&mut keeper, &ruleset(&[80, 81])));
}

#[test]
fn a_failure_at_any_point_leaves_the_set_before_in_force() {
    let errors = [
        FirewallError::Refused("no".into()),
        FirewallError::TimedOut { program: "nft".into(), limit_ms: 1 },
        FirewallError::NotStarted { program: "nft".into(), reason: "gone".into() },
    ];
    for error in errors {
        let mut keeper = keeper(OnDrift::Repair);
        keeper.answered("time.example", "192.0.2.1".parse().unwrap(), Duration::from_secs(300)).unwrap();
        let before = table(&mut keeper);
        // A delta that is refused is followed by the whole, which must fail, too.
        for nth in 0..2 {
            keeper.firewall().fail(nth, error.clone());
        }
        assert_eq!(keeper.apply(&ruleset(&[81])), Err(error.clone().into()));
        assert_eq!(table(&mut keeper), before);
        let _ = keeper.firewall().apply(&Table::remove(Family::Routed, "other"));
        keeper.apply(&ruleset(&[81])).unwrap();
        assert!(is_in_force(&mut keeper, &ruleset(&[81])), "what follows is put in force");
        let names = keeper.kept.as_ref().unwrap().compiled.names["time.example"].clone();
        assert_eq!(table(&mut keeper).sets[&names[0]], before.sets[&names[0]], "what was answered goes on");
    }
}

/// Of so many hosts that its elements are more than one piece.
fn large() -> Ruleset {
    let member = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a01_0000 + number)).into();
    let hosts = u32::try_from(PIECE_ELEMENTS).unwrap() + 2;
    let members = (0..hosts).map(member).collect();
    Ruleset { classes: vec![Class { name: "camera".into(), members }], ..ruleset(&[80]) }
}

#[test]
fn a_large_table_is_filled_before_packets_pass_it() {
    let mut keeper = Keeper::new(MemoryFirewall::new(), Family::Routed, OnDrift::Repair).unwrap();
    let steps = compile(&large(), Support::FULL).unwrap().table.build();
    let transactions = steps.iter().flatten().count();
    assert!(steps[1].len() > 2, "{} pieces", steps[1].len());
    let last = steps[2][0].commands.iter().filter(|c| matches!(c, Command::AddChain(_, Some(_)))).count();
    let all = steps.iter().flatten().flat_map(|step| &step.commands);
    assert_eq!(
        all.filter(|c| matches!(c, Command::AddChain(_, Some(_)))).count(),
        last,
        "all in one transaction"
    );
    let error = FirewallError::TimedOut { program: "nft".into(), limit_ms: 1 };
    for nth in 0..transactions {
        keeper.firewall().fail(nth, error.clone());
        assert_eq!(keeper.apply(&large()), Err(error.clone().into()));
        assert!(keeper.firewall().table(Family::Routed, TABLE).is_none(), "nothing is left of {nth} steps");
    }
    let change = keeper.apply(&large()).unwrap();
    assert!(change.whole && change.added > PIECE_ELEMENTS);
    assert!(is_in_force(&mut keeper, &large()));
}

#[test]
fn what_a_kill_leaves_of_a_large_table_filters_nothing_and_is_replaced() {
    let [frame, elements, _] = compile(&large(), Support::FULL).unwrap().table.build();
    let mut firewall = MemoryFirewall::new();
    firewall.apply_each(&frame).unwrap();
    firewall.apply_each(&elements[..1]).unwrap();
    let left = firewall.table(Family::Routed, TABLE).unwrap();
    assert!(left.chains.values().all(|chain| chain.base.is_none() && chain.rules.is_empty()));
    let mut keeper = Keeper::new(firewall, Family::Routed, OnDrift::Repair).unwrap();
    let (drift, change) = keeper.resume(&large()).unwrap();
    assert!(!drift.is_empty() && change.whole);
    assert!(is_in_force(&mut keeper, &large()));
}

#[test]
fn a_ruleset_that_cannot_be_changes_nothing() {
    let mut keeper = keeper(OnDrift::Repair);
    let mut bad = ruleset(&[80]);
    bad.classes.clear();
    assert!(matches!(keeper.apply(&bad), Err(KeepError::Ruleset(RulesetError::NoClass { .. }))));
    let other = Ruleset { family: Family::Bridged, ..ruleset(&[80]) };
    assert!(matches!(keeper.apply(&other), Err(KeepError::Family { .. })));
    assert!(is_in_force(&mut keeper, &ruleset(&[80])));
}

type Meddle = fn(&mut MemoryFirewall);

#[test]
fn what_somebody_else_changes_is_told_and_repaired_or_handed_over() {
    fn table(firewall: &mut MemoryFirewall) -> &mut Table {
        firewall.table_mut(Family::Routed, TABLE).unwrap()
    }
    let meddlers: [(&str, Meddle); 8] = [
        ("the table is gone", |firewall| firewall.flush()),
        ("the set exact_tcp4 is gone", |firewall| {
            table(firewall).sets.remove("exact_tcp4");
        }),
        ("the set open_tcp4 is now", |firewall| {
            table(firewall).sets.get_mut("open_tcp4").unwrap().spec.size = Some(1);
        }),
        ("the chain mine was added", |firewall| {
            table(firewall).chains.insert("mine".into(), Default::default());
        }),
        ("rule 0 of chain forward is now accept", |firewall| {
            table(firewall).chains.get_mut("forward").unwrap().rules.insert(0, Rule::new("accept"));
        }),
        ("of chain single is gone", |firewall| {
            table(firewall).chains.get_mut("single").unwrap().rules.pop();
        }),
        ("the element 10.0.0.5 . 10.0.0.9 . 80 of exact_tcp4 is gone", |firewall| {
            table(firewall).sets.get_mut("exact_tcp4").unwrap().elements.clear();
        }),
        ("the element 10.0.0.5 of from4 was added or changed", |firewall| {
            let entry = Entry { verdict: Some("goto onward".into()), ..Entry::default() };
            table(firewall).sets.get_mut("from4").unwrap().elements.insert("10.0.0.5".into(), entry);
        }),
    ];
    for (told, meddle) in meddlers {
        for on_drift in [OnDrift::Repair, OnDrift::HandOver] {
            let mut keeper = keeper(on_drift);
            assert!(keeper.look_after(Depth::Elements).unwrap().is_empty());
            meddle(keeper.firewall());
            let drift = keeper.look_after(Depth::Elements).unwrap();
            assert!(drift.to_string().contains(told), "{drift}");
            let again = keeper.look_after(Depth::Elements).unwrap();
            assert_eq!(again.is_empty(), on_drift == OnDrift::Repair, "{told}");
            if on_drift == OnDrift::Repair {
                assert!(is_in_force(&mut keeper, &ruleset(&[80])));
            }
            // Whatever there is, the next ruleset is put in force.
            keeper.apply(&ruleset(&[80, 90])).unwrap();
        }
    }
}

#[test]
fn no_more_differences_than_the_limit_are_told() {
    let mut keeper = keeper(OnDrift::HandOver);
    let count = DRIFTS + 7;
    let table = keeper.firewall().table_mut(Family::Routed, TABLE).unwrap();
    let elements = &mut table.sets.get_mut("exact_tcp4").unwrap().elements;
    elements.extend((0..count).map(|number| (format!("{number:04}").into(), Entry::default())));
    let drift = keeper.look_after(Depth::Elements).unwrap();
    assert_eq!((drift.differences.len(), drift.more), (DRIFTS, 7));
}

const DRIFTS: usize = crate::DRIFT_MAX;

#[test]
fn after_a_restart_what_is_found_is_compared_and_put_right() {
    let mut keeper = keeper(OnDrift::Repair);
    keeper.answered("TIME.example.", "192.0.2.1".parse().unwrap(), Duration::from_secs(300)).unwrap();
    let names = keeper.kept.as_ref().unwrap().compiled.names["time.example"].clone();
    let table = keeper.firewall().table_mut(Family::Routed, TABLE).unwrap();
    table.sets.get_mut("exact_tcp4").unwrap().elements.clear();
    let mut firewall = keeper.firewall().clone();
    firewall.pass(Duration::from_secs(100));
    let mut restarted = Keeper::new(firewall, Family::Routed, OnDrift::Repair).unwrap();
    let (drift, change) = restarted.resume(&ruleset(&[80])).unwrap();
    assert!(matches!(drift.differences[..], [Difference::NoElement { .. }]), "{drift}");
    assert!(change.whole);
    assert!(is_in_force(&mut restarted, &ruleset(&[80])));
    let table = restarted.firewall().table(Family::Routed, TABLE).unwrap();
    assert_eq!(table.sets[&names[0]].elements["192.0.2.1"].life_s, Some(200));
}

#[test]
fn addresses_of_names_live_as_long_as_their_answers_say() {
    let mut keeper = keeper(OnDrift::Repair);
    let names = keeper.kept.as_ref().unwrap().compiled.names["time.example"].clone();
    for (ttl, life) in [(0, 60), (300, 300), (1_000_000, 86_400)] {
        assert!(
            keeper.answered("time.example", "192.0.2.1".parse().unwrap(), Duration::from_secs(ttl)).unwrap()
        );
        assert_eq!(table(&mut keeper).sets[&names[0]].elements["192.0.2.1"].life_s, Some(life));
    }
    assert!(keeper.answered("time.example", "2001:db8::1".parse().unwrap(), NAME_LIFE_MIN).unwrap());
    assert!(table(&mut keeper).sets[&names[1]].elements.contains_key("2001:db8::1"));
    assert!(!keeper.answered("other.example", "192.0.2.1".parse().unwrap(), NAME_LIFE_MIN).unwrap());
    keeper.firewall().pass(NAME_LIFE_MAX);
    assert!(table(&mut keeper).sets[&names[0]].elements.is_empty());
    // More addresses than there is room for are refused, and what is there stays.
    for number in 0..crate::NAME_ADDRESSES_MAX {
        keeper.answered("time.example", IpAddr::V4((0x0a00_0000 + number).into()), NAME_LIFE_MIN).unwrap();
    }
    let error = keeper.answered("time.example", "192.0.2.1".parse().unwrap(), NAME_LIFE_MIN);
    assert!(matches!(error, Err(KeepError::Firewall(FirewallError::Refused(_)))));
}
