//! Reading and writing files, invented and real ones.

use std::path::{Path, PathBuf};

use mud::{Forwarding, Initiator, L4, Ports, ReadError, read, write};
use proptest::prelude::*;
use serde_json::{Value, json};

const LAMP: &str = include_str!("lamp.json");

fn lamp() -> Value {
    serde_json::from_str(LAMP).unwrap()
}

/// The lamp's description with another value at a place.
fn with(path: &str, value: Value) -> Vec<u8> {
    let mut lamp = lamp();
    let (parent, name) = path.rsplit_once('/').unwrap();
    match lamp.pointer_mut(parent).unwrap() {
        Value::Object(fields) => _ = fields.insert(name.replace("~1", "/"), value),
        Value::Array(values) => values[name.parse::<usize>().unwrap()] = value,
        other => panic!("{other}"),
    }
    lamp.to_string().into_bytes()
}

/// The faults of a file that is refused.
fn faults(bytes: &[u8]) -> Vec<String> {
    match read(bytes) {
        Err(ReadError::Invalid(faults)) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// The warnings of a file that is taken; it comes back from writing as it is, without the sloppiness.
fn warnings(bytes: &[u8]) -> Vec<String> {
    let taken = read(bytes).unwrap();
    assert_eq!(read(&write(&taken.file)).unwrap().file, taken.file);
    taken.warnings.iter().map(ToString::to_string).collect()
}

const ACE: &str = "/ietf-access-control-list:acls/acl/0/aces/ace/0";

#[test]
fn a_good_file_comes_back_byte_for_byte() {
    let taken = read(LAMP.as_bytes()).unwrap();
    assert_eq!(taken.warnings, []);
    assert_eq!(taken.extensions.len(), 2, "as it is declared and as the module is called");
    assert!(taken.extensions.iter().all(|(_, what)| what.is_some_and(|what| what.contains("RFC 9472"))));
    assert_eq!(String::from_utf8(write(&taken.file)).unwrap(), LAMP);
    assert_eq!(taken.file.authority().as_deref(), Some("lamps.example"));
    let ace = &taken.file.acls[0].aces[0];
    assert_eq!(ace.forwarding, Forwarding::Accept);
    let expected =
        L4::Tcp { source: None, destination: Some(Ports::Eq(8883)), initiated: Some(Initiator::Device) };
    assert_eq!(ace.matches.l4, Some(expected));
}

#[test]
fn the_order_of_fields_does_not_matter() {
    // The map of serde_json has another order than the module.
    let shuffled = lamp().to_string();
    assert_ne!(shuffled, LAMP);
    assert_eq!(write(&read(shuffled.as_bytes()).unwrap().file), LAMP.as_bytes());
}

#[test]
fn faults_name_the_place_what_is_wrong_and_the_clause() {
    for (path, value, expected) in [
        (
            "/ietf-mud:mud/mud-version",
            json!(2),
            "a number from 1 to 1 is expected, not 2 (RFC 8520, section 3.1)",
        ),
        (
            "/ietf-mud:mud/mud-url",
            json!("http://lamps.example/x"),
            "\"http://lamps.example/x\" is no https URL with the name of a host (RFC 8520, section 3.2)",
        ),
        (
            "/ietf-mud:mud/last-update",
            json!("2026-03-02T08:00:00"),
            "\"2026-03-02T08:00:00\" is no date and time of RFC 3339 since 1970 (RFC 8520, section 3.4)",
        ),
        (
            "/ietf-mud:mud/cache-validity",
            json!(0),
            "a number from 1 to 168 is expected, not 0 (RFC 8520, section 3.5)",
        ),
        (
            "/ietf-mud:mud/cache-validity",
            json!(169),
            "a number from 1 to 168 is expected, not 169 (RFC 8520, section 3.5)",
        ),
        (
            "/ietf-mud:mud/is-supported",
            json!("yes"),
            "true or false is expected, not \"yes\" (RFC 8520, section 3.6)",
        ),
        (
            "/ietf-mud:mud/from-device-policy/access-lists/access-list/0",
            json!({}),
            "name is missing (RFC 8520, section 3.3)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/type",
            json!("ip"),
            "\"ip\" is no kind of access list (RFC 8519, section 4.1)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/actions/forwarding",
            json!("maybe"),
            "accept, drop or reject is expected, not \"maybe\" (RFC 8519, section 4.1)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ipv4/protocol",
            json!(256),
            "a number from 0 to 255 is expected, not 256 (RFC 8519, section 4.2)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ipv4/ietf-acldns:dst-dnsname",
            json!("*.lamps.example"),
            "\"*.lamps.example\" is no name of a host; there are no patterns, list the names (RFC 8520, section 8)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ipv4/source-ipv4-network",
            json!("192.0.2.0/33"),
            "a network such as 192.0.2.0/24 is expected, not \"192.0.2.0/33\" (RFC 8519, section 4.2)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/tcp/ietf-mud:direction-initiated",
            json!("both"),
            "from-device or to-device is expected (RFC 8520, section 4.8)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ietf-mud:mud",
            json!({"local-networks": [false]}),
            "[null] is expected, not a list (RFC 7951, section 6.9)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ietf-mud:mud",
            json!({"manufacturer": "a/b"}),
            "\"a/b\" is no authority of a URL (RFC 8520, section 4.1)",
        ),
        (
            "/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ietf-mud:mud",
            json!({"controller": "no uri"}),
            "\"no uri\" is no URI (RFC 8520, section 4.6)",
        ),
    ] {
        let found = faults(&with(path, value));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(path), "{found:?}");
        assert!(found[0].ends_with(expected), "{found:?}\n{expected}");
    }
}

#[test]
fn what_can_mean_more_than_one_thing_is_refused() {
    let ports = format!("{ACE}/matches/tcp/destination-port");
    for value in [
        json!({"operator": "eq"}),
        json!({"lower-port": 9, "upper-port": 8}),
        json!({"lower-port": 9}),
        json!({"lower-port": 8, "upper-port": 9, "port": 8}),
        json!({"operator": "range", "port": 8}),
        json!({"operator": "eq", "port": 65_536}),
        json!({"operator": "eq", "port": -1}),
        json!("http"),
    ] {
        assert!(!faults(&with(&ports, value.clone())).is_empty(), "{value}");
    }
    let both = with(&format!("{ACE}/matches/ipv6"), json!({}));
    assert!(faults(&both)[0].contains("about ipv4 or about ipv6"));
    let both = with(&format!("{ACE}/matches/udp"), json!({}));
    assert!(faults(&both)[0].contains("one of tcp, udp and icmp"));
    let never = with(&format!("{ACE}/matches/ipv4/protocol"), json!(17));
    assert!(faults(&never)[0].contains("can never hold"));
    let twice = with("/ietf-access-control-list:acls/acl/1/name", json!("from-4"));
    assert!(faults(&twice).iter().any(|fault| fault.contains("two lists of the name")));
    let nowhere = with("/ietf-mud:mud/from-device-policy/access-lists/access-list/0/name", json!("x"));
    assert!(faults(&nowhere).iter().any(|fault| fault.contains("no access list \"x\"")));
    let twice = LAMP.replacen("\"mud-version\": 1,", "\"mud-version\": 1, \"mud-version\": 1,", 1);
    let error = read(twice.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("line 3, column 35: \"mud-version\" stands twice"), "{error}");
    for missing in ["mud-version", "mud-url", "last-update", "is-supported"] {
        let mut lamp = lamp();
        lamp["ietf-mud:mud"].as_object_mut().unwrap().remove(missing);
        assert!(faults(lamp.to_string().as_bytes())[0].contains(missing));
    }
    assert_eq!(faults(b"{}").len(), 2);
    assert_eq!(faults(b"[]").len(), 1);
}

#[test]
fn what_can_mean_one_thing_only_is_taken_with_a_warning() {
    let ports = format!("{ACE}/matches/tcp/destination-port");
    let in_ace = |below: &str| format!("{ACE}/{below}");
    for (path, value, expected) in [
        (ports.clone(), json!({"operator": "eq", "port": "8883"}), "taken as a number"),
        (ports.clone(), json!(8883), "one that must be equal"),
        (
            ports.clone(),
            json!({"operator": "eq", "lower-port": 8, "upper-port": 9}),
            "no place beside a range",
        ),
        (ports, json!({"operator": "range", "lower-port": 8, "upper-port": 9}), "no place beside a range"),
        (in_ace("matches/ipv4/protocol"), json!("TCP"), "the name was taken as the number 6"),
        (in_ace("matches/ipv4/protocol"), json!("6"), "taken as a number"),
        (in_ace("matches/ietf-mud:mud"), json!({"local-networks": []}), "taken as [null]"),
        (in_ace("matches/ipv4/destination-ipv4-network"), json!("192.0.2.1"), "taken as 192.0.2.1/32"),
        (in_ace("matches/ipv4/destination-ipv4-network"), json!("192.0.2.1/24"), "taken as 192.0.2.0/24"),
        (in_ace("matches/ipv4/src-dnsname"), json!("x.example"), "taken as ietf-acldns:src-dnsname"),
        (in_ace("matches/ipv4/ietf-acldns:src-dnsname"), json!("192.0.2.1"), "network of one"),
        (in_ace("name"), json!(""), "it was named \"ace-1\""),
        (in_ace("actions/forwarding"), json!("permit"), "accept or drop"),
        ("/ietf-mud:mud/is-supported".into(), json!("true"), "taken as a truth value"),
        ("/ietf-mud:mud/cache-validity".into(), json!("48"), "taken as a number"),
        ("/ietf-mud:mud/systeminfo".into(), json!("x".repeat(61)), "more than 60 characters"),
        ("/ietf-mud:mud/mud-signature".into(), json!(""), "no signature"),
        ("/ietf-mud:mud/extensions".into(), json!([]), "used and not named"),
    ] {
        let found = warnings(&with(&path, value));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
    let bom = [b"\xef\xbb\xbf", LAMP.as_bytes()].concat();
    assert_eq!(warnings(&bom).len(), 1);
    // The second of two equal rules goes; of two of one name the second gets another.
    let mut twice = lamp();
    let aces =
        twice.pointer_mut("/ietf-access-control-list:acls/acl/0/aces/ace").unwrap().as_array_mut().unwrap();
    aces.push(aces[0].clone());
    aces[1]["name"] = json!("cloud");
    let taken = read(twice.to_string().as_bytes()).unwrap();
    let names: Vec<_> = taken.file.acls[0].aces.iter().map(|ace| ace.name.as_str()).collect();
    assert_eq!((names, taken.warnings.len()), (vec!["cloud", "cloud-2"], 2));
}

#[test]
fn what_is_not_understood_is_kept_where_it_stood_and_gives_no_access() {
    for (path, is_partial) in [
        ("/x:root", false),
        ("/ietf-mud:mud/x:mud", false),
        ("/ietf-mud:mud/from-device-policy/x:policy", false),
        ("/ietf-mud:mud/to-device-policy/access-lists/x:lists", false),
        ("/ietf-access-control-list:acls/x:acls", false),
        ("/ietf-access-control-list:acls/acl/0/x:acl", false),
        ("/ietf-access-control-list:acls/acl/0/aces/x:aces", false),
        ("/ietf-access-control-list:acls/acl/0/aces/ace/0/x~1ace", false),
        ("/ietf-access-control-list:acls/acl/0/aces/ace/0/actions/logging", false),
        ("/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/x:matches", true),
        ("/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/ipv4/dscp", true),
        ("/ietf-access-control-list:acls/acl/0/aces/ace/0/matches/tcp/destination-port/x:port", true),
    ] {
        let value = json!({"b": [1.5, {"d": null, "c": "~/"}], "a": -3});
        let bytes = with(path, value.clone());
        let taken = read(&bytes).unwrap();
        let text = write(&taken.file);
        let again: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(again.pointer(path), Some(&value), "{path}");
        assert_eq!(again, serde_json::from_slice::<Value>(&bytes).unwrap(), "{path}");
        assert_eq!(read(&text).unwrap().file, taken.file);
        assert_eq!(taken.file.acls[0].aces[0].is_partial(), is_partial, "{path}");
    }
    // An address of the other family can be no packet's.
    let never = with(&format!("{ACE}/matches/ipv4/source-ipv4-network"), json!("2001:db8::/32"));
    let taken = read(&never).unwrap();
    assert!(taken.file.acls[0].aces[0].is_partial() && taken.warnings.len() == 1);
}

#[test]
fn limits_hold() {
    let refused = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(refused(&vec![b' '; mud::MAX_BYTES + 1]).contains("at most 1048576 are read"));
    for deep in ["[".repeat(500_000), "{\"a\":".repeat(200_000)] {
        assert!(refused(deep.as_bytes()).contains("nested more than 32 deep"));
    }
    let nested = (1..mud::MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    assert!(read(&with("/x:y", nested.clone())).is_ok());
    assert!(refused(&with("/x:y", json!([nested]))).contains("nested more than 32 deep"));
    let acl = lamp().pointer("/ietf-access-control-list:acls/acl/0").unwrap().clone();
    let acls = |count: usize| {
        let many: Vec<Value> = (0..count)
            .map(|number| {
                let mut acl = acl.clone();
                acl["name"] = ["from-4", "from-6", "to-4"]
                    .get(number)
                    .map_or(json!(number.to_string()), |name| json!(name));
                acl
            })
            .collect();
        with("/ietf-access-control-list:acls/acl", many.into())
    };
    assert!(read(&acls(mud::MAX_ACLS)).is_ok());
    assert!(refused(&acls(mud::MAX_ACLS + 1)).contains("65 entries, of which at most 64"));
    let aces = |count: usize| {
        let ace = |number: usize| json!({"name": number.to_string(), "actions": {"forwarding": "drop"}});
        with("/ietf-access-control-list:acls/acl/0/aces/ace", (0..count).map(ace).collect())
    };
    // The other lists have three.
    assert!(read(&aces(mud::MAX_ACES - 3)).is_ok());
    assert!(refused(&aces(mud::MAX_ACES - 2)).contains("at most 4096 rules"));
    let name = |length: usize| with(&format!("{ACE}/name"), "x".repeat(length).into());
    assert!(read(&name(mud::MAX_NAME)).is_ok());
    assert!(refused(&name(mud::MAX_NAME + 1)).contains("256 bytes, of which at most 255"));
    let text = |length: usize| with("/ietf-mud:mud/mfg-name", "x".repeat(length).into());
    assert!(read(&text(mud::MAX_TEXT)).is_ok());
    assert!(refused(&text(mud::MAX_TEXT + 1)).contains("4097 bytes"));
    let extensions = |count: usize| with("/ietf-mud:mud/extensions", vec!["transparency"; count].into());
    assert!(read(&extensions(mud::MAX_EXTENSIONS)).is_ok());
    assert!(refused(&extensions(mud::MAX_EXTENSIONS + 1)).contains("at most 64"));
    let wrong: Vec<Value> = (0..2 * mud::MAX_FAULTS).map(|_| json!(7)).collect();
    assert_eq!(
        faults(&with("/ietf-access-control-list:acls/acl/0/aces/ace", wrong.into())).len(),
        mud::MAX_FAULTS
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    /// So does a file of which some bytes were replaced.
    #[test]
    fn any_damage_is_refused_or_comes_back(
        damage in proptest::collection::vec((0..LAMP.len(), proptest::sample::select(b" \"{}[],:0129aefx-\\\xff".to_vec())), 1..4),
    ) {
        let mut bytes = LAMP.as_bytes().to_vec();
        for (place, byte) in damage {
            bytes[place] = byte;
        }
        if let Ok(taken) = read(&bytes) {
            let text = write(&taken.file);
            let again = read(&text).unwrap();
            prop_assert_eq!(&again.file, &taken.file);
            prop_assert_eq!(write(&again.file), text);
        }
    }

    /// A file of which one value was replaced is refused or comes back.
    #[test]
    fn any_change_is_refused_or_comes_back(place in 0_usize..200, choice in 0_usize..14) {
        fn count(value: &mut Value, left: &mut usize, new: &Value) -> bool {
            if *left == 0 {
                *value = new.clone();
                return true;
            }
            *left -= 1;
            match value {
                Value::Object(fields) => fields.iter_mut().any(|(_, value)| count(value, left, new)),
                Value::Array(values) => values.iter_mut().any(|value| count(value, left, new)),
                _ => false,
            }
        }
        let values = [
            json!(null), json!(true), json!(0), json!(-1), json!(80), json!("80"), json!(65_536), json!(1.5), json!(""),
            json!("x"), json!([]), json!([null]), json!({}), json!({"port": 80}),
        ];
        let mut lamp = lamp();
        count(&mut lamp, &mut { place }, &values[choice]);
        if let Ok(taken) = read(lamp.to_string().as_bytes()) {
            let text = write(&taken.file);
            let again = read(&text).unwrap();
            prop_assert_eq!(&again.file, &taken.file);
            prop_assert_eq!(write(&again.file), text);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if std::fs::read_to_string(&path)
            .is_ok_and(|text| text.contains("\"ietf-mud:mud\"") && text.trim_start().starts_with('{'))
        {
            found.push(path);
        }
    }
}

#[test]
fn real_files_are_read_and_come_back() {
    let Some(folder) = testkit::corpus("real_files_are_read_and_come_back", "mud") else { return };
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    assert!(found.len() >= 30, "{}", found.len());
    let mut rules = 0;
    for path in found {
        let taken = read(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = write(&taken.file);
        let again = read(&text).unwrap();
        assert_eq!(again.file, taken.file, "{}", path.display());
        assert_eq!(write(&again.file), text);
        rules += taken.file.aces().count();
    }
    assert!(rules > 700, "{rules}");
}
