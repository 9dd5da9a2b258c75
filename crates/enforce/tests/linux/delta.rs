//! What changes a table gives the same as putting the new one in place.

use enforce::{
    Address, Allow, Class, Compiled, Depth, End, Family, Firewall, KeepError, Keeper, Listing,
    MemoryFirewall, OnDrift, Ruleset, Support, TABLE, Table, Transaction, compile, support,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};

use crate::generate::ruleset;
use testkit::namespaces::Namespaces;

use crate::networks::firewall;

/// So many times the real program is asked; each takes some tens of milliseconds.
const CASES: usize = 40;

fn compiled(ruleset: &Ruleset, support: Support) -> Compiled {
    let compiled = compile(ruleset, support).unwrap();
    assert_eq!(compiled, compile(ruleset, support).unwrap(), "the same ruleset gives the same table");
    compiled
}

fn applied(table: Option<&Table>, transaction: &Transaction) -> Table {
    Table::after(table, transaction).unwrap().unwrap()
}

fn supports() -> impl Strategy<Value = Support> {
    any::<bool>().prop_map(|conntrack| Support { conntrack, reject: true })
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(&[Family::Routed, Family::Bridged][..])
}

proptest! {
    #[test]
    fn a_delta_gives_the_new_table(
        (old, new) in family().prop_flat_map(|family| (ruleset(family), ruleset(family))), support in supports()
    ) {
        let (old, new) = (compiled(&old, support).table, compiled(&new, support).table);
        let in_force = applied(None, &old.replace());
        prop_assert_eq!(&in_force, &old);
        prop_assert_eq!(&applied(Some(&in_force), &new.replace()), &new);
        if let Some(delta) = old.delta(&new) {
            prop_assert_eq!(applied(Some(&in_force), &delta), new.clone().with_room_of(&old));
        }
        prop_assert!(new.delta(&new).unwrap().is_empty());
    }
}

/// The part of a ruleset that is about a class: it, all allows that name it, and the classes that these name or those of the
/// other ruleset.
fn part(ruleset: &Ruleset, other: &Ruleset, class: &str) -> Ruleset {
    let is = |end: &End, class: &str| matches!(end, End::Class(name) if name == class);
    let about = |ruleset: &Ruleset| -> Vec<Allow> {
        ruleset
            .allows
            .iter()
            .filter(|allow| is(&allow.from, class) || is(&allow.to, class))
            .cloned()
            .collect()
    };
    let (allows, others) = (about(ruleset), about(other));
    let named = |name: &str| {
        name == class
            || allows.iter().chain(&others).any(|allow| is(&allow.from, name) || is(&allow.to, name))
    };
    let classes: Vec<Class> = ruleset.classes.iter().filter(|class| named(&class.name)).cloned().collect();
    Ruleset { classes, allows, ..ruleset.clone() }
}

/// Only devices with addresses of their own, and rules between them and others.
fn hosts_only(mut ruleset: Ruleset) -> Ruleset {
    for class in &mut ruleset.classes {
        class.members.retain(|member| !matches!(member, Address::Net(network) if !network.is_host()));
    }
    ruleset
}

#[test]
fn a_patch_gives_what_the_whole_would() {
    let patched = std::cell::Cell::new(0);
    proptest!(|(old in ruleset(Family::Routed), new in ruleset(Family::Routed), number in 0usize..5)| {
        let (old, new) = (hosts_only(old), hosts_only(new));
        // One class gets other members, and may open something else.
        let mut changed = old.clone();
        let class = changed.classes[number].name.clone();
        let taken: Vec<Address> = old
            .classes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .flat_map(|(_, class)| class.members.clone())
            .collect();
        changed.classes[number].members =
            new.classes[number].members.iter().filter(|member| !taken.contains(member)).copied().collect();
        let opens = |allow: &Allow| allow.from == End::Class(class.clone());
        changed.allows.retain(|allow| !opens(allow));
        changed.allows.extend(new.allows.iter().filter(|allow| opens(allow)).cloned());
        let mut keeper = Keeper::new(MemoryFirewall::new(), Family::Routed, OnDrift::Repair).unwrap();
        keeper.apply(&old).unwrap();
        let before = keeper.firewall().table(Family::Routed, TABLE).cloned();
        match keeper.patch(&part(&old, &changed, &class), &part(&changed, &old, &class)) {
            Ok(_) => {
                patched.set(patched.get() + 1);
                // Sets that are used no longer go with the next whole.
                let meant = compile(&changed, Support::FULL).unwrap().table;
                let mut in_force = keeper.firewall().table(Family::Routed, TABLE).unwrap().clone();
                in_force.sets.retain(|name, _| meant.sets.contains_key(name));
                prop_assert_eq!(&in_force.chains, &meant.chains);
                for (name, set) in &meant.sets {
                    let keys = |set: &enforce::Set| {
                        set.elements.iter().map(|(key, entry)| (key.clone(), entry.verdict.clone())).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(keys(&in_force.sets[name]), keys(set), "{}", name);
                }
                prop_assert!(keeper.look_after(Depth::Elements).unwrap().is_empty());
            }
            Err(error) => {
                prop_assert!(matches!(error, KeepError::NoPatch(_)), "{}", error);
                prop_assert_eq!(keeper.firewall().table(Family::Routed, TABLE).cloned(), before);
            }
        }
        keeper.apply(&changed).unwrap();
        let meant = compile(&changed, Support::FULL).unwrap().table;
        let in_force = keeper.firewall().table(Family::Routed, TABLE).unwrap().clone();
        prop_assert_eq!(in_force.sets.keys().collect::<Vec<_>>(), meant.sets.keys().collect::<Vec<_>>());
        prop_assert_eq!(in_force.chains, meant.chains);
    });
    let patched = patched.get();
    assert!(patched > 25, "only {patched} changes were patches");
}

/// Where the kernel numbers anonymous sets, the texts of rules differ; nothing else does.
fn comparable(mut listing: Listing) -> Listing {
    listing.sets.retain(|name, _| !name.starts_with("__"));
    for rule in listing.chains.values_mut().flat_map(|chain| &mut chain.rules) {
        rule.counter = rule.counter.map(|_| Default::default());
    }
    listing
}

#[test]
fn nft_does_what_the_model_does() {
    let Some(names) = Namespaces::new("nft_does_what_the_model_does", &["one", "two"]) else { return };
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut deltas = 0;
    for family in [Family::Routed, Family::Bridged] {
        let (mut one, mut two) = (firewall(&names, "one"), firewall(&names, "two"));
        let support = support(&mut one, family).unwrap();
        let mut current: Option<Table> = None;
        for case in 0..CASES {
            let ruleset = ruleset(family).new_tree(&mut runner).unwrap().current();
            let new = compiled(&ruleset, support).table;
            let whole = new.replace();
            two.check(&whole).unwrap();
            two.apply(&whole).unwrap();
            let delta = current.as_ref().and_then(|current| current.delta(&new));
            deltas += usize::from(delta.is_some());
            let change = delta.unwrap_or(whole);
            if let Err(error) = one.apply(&change) {
                panic!("case {case}: {error}\n{}", change.text());
            }
            current = Some(new.clone());
            let [one, two] = [&mut one, &mut two]
                .map(|nft| comparable(nft.list(family, TABLE, Depth::Elements).unwrap().unwrap()));
            assert_eq!(one, two, "case {case}: {}", change.text());
            for (name, set) in &new.sets {
                let listed = &two.sets[name].elements;
                let keys: Vec<_> = set.elements.keys().collect();
                assert_eq!(listed.keys().collect::<Vec<_>>(), keys, "case {case}, set {name}");
                for (key, entry) in &set.elements {
                    assert_eq!(listed[key].verdict.as_deref(), entry.verdict.as_deref(), "{name} {key}");
                }
            }
            for (name, chain) in &new.chains {
                let comments: Vec<_> = chain.rules.iter().map(|rule| rule.comment.as_deref()).collect();
                let listed: Vec<_> =
                    two.chains[name].rules.iter().map(|rule| rule.comment.as_deref()).collect();
                assert_eq!(listed, comments, "case {case}, chain {name}");
            }
        }
    }
    assert!(deltas > CASES / 4, "only {deltas} changes were deltas");
}
