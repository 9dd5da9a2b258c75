use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

fn status(receiver: &str, waiting: u64, oldest: Option<Timestamp>) -> Status {
    Status {
        receiver: receiver.into(),
        name: "udp://10.10.0.5:514".into(),
        waiting,
        bytes: waiting * 100,
        oldest,
        failures: 3,
        next_try: None,
        last_error: None,
        failed_at: None,
        delivered: 40,
        given_up: 2,
        dropped: 1,
        drop_reason: None,
    }
}

fn numbers() -> Numbers {
    let now = Timestamp::from_secs(1_700_000_100);
    Numbers {
        version: "0.1.0".into(),
        packets: 12_345,
        bytes: 9_876_543_210,
        dropped: 7,
        latest: Some(Timestamp::from_nanos(1_700_000_099_000_000_005)),
        devices: [("full".into(), 40), ("quarantine".into(), 1)].into(),
        findings: [((Severity::High, "host-scan".into()), 2), ((Severity::Low, "odd\\ \"one\"\n".into()), 1)]
            .into(),
        incidents: [(Severity::Critical, 1)].into(),
        limits: [("flows".into(), 3)].into(),
        receivers: vec![
            status("syslog", 0, None),
            status("webhook", 5, Some(Timestamp::from_secs(1_700_000_000))),
        ],
        now,
    }
}

#[test]
fn the_page_of_a_site() {
    insta::assert_snapshot!(write(&numbers()));
}

/// Labels with their values.
type Labels = BTreeSet<(String, String)>;

/// The labels at the beginning of a text, and what is left of it.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let mut all = BTreeSet::new();
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((all, text)) };
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("{name:?} is no label"));
        }
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (_, '\\') => match chars.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some(c @ ('\\' | '"')) => value.push(c),
                    other => return Err(format!("{other:?} is no escape")),
                },
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        if !all.insert((name.to_owned(), value)) {
            return Err(format!("{name} comes twice"));
        }
        rest = after.get(end + 1..).unwrap_or_default();
        match rest.chars().next() {
            Some(',') => rest = &rest[1..],
            Some('}') => return Ok((all, &rest[1..])),
            other => return Err(format!("{other:?} after a label")),
        }
    }
}

/// What `promtool check metrics` asks of a page: each metric has help and a type, once and before its samples, which stand
/// together and are all different; counters end with `_total`, nothing else does; names and values can be read.
fn check(page: &str) -> Result<HashMap<String, usize>, String> {
    let (mut kinds, mut samples) = (HashMap::<String, String>::new(), HashMap::<String, usize>::new());
    let (mut helped, mut seen, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    if !page.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("no help")?;
            if help.is_empty() || !helped.insert(name.to_owned()) {
                return Err(format!("help of {name}"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            let is_counter = kind == "counter";
            if !helped.contains(name)
                || is_counter != name.ends_with("_total")
                || !["counter", "gauge"].contains(&kind)
            {
                return Err(format!("type of {name}"));
            }
            if kinds.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(format!("{name} comes twice"));
            }
            current = name.to_owned();
        } else {
            let end = line.find(['{', ' ']).ok_or("no value")?;
            let (name, rest) = line.split_at(end);
            if name != current {
                return Err(format!("{name} is not among its own"));
            }
            let (labels, value) = labels(rest)?;
            value
                .strip_prefix(' ')
                .and_then(|value| value.parse::<f64>().ok())
                .ok_or_else(|| format!("value of {name}"))?;
            if !seen.insert((name.to_owned(), labels)) {
                return Err(format!("{line} comes twice"));
            }
            *samples.entry(name.to_owned()).or_default() += 1;
        }
    }
    Ok(samples)
}

#[test]
fn the_check_finds_what_is_wrong() {
    for bad in [
        "a 1",
        "a 1\n",
        "# HELP a b\n# TYPE a gauge\na{b=\"\"\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a counter\na 1\n",
        "# HELP a_total b\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a b\n# TYPE a gauge\na x\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a b\n# TYPE a gauge\n# HELP c d\n# TYPE c gauge\nc 1\na 1\n",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn very_many_labels_are_told_together() {
    let devices: BTreeMap<_, _> = (0..LABELS_MAX + 10).map(|number| (format!("{number:06}"), 2)).collect();
    let page = write(&Numbers { devices, ..Numbers::default() });
    assert_eq!(check(&page).unwrap()["pavise_devices"], LABELS_MAX + 1);
    assert!(page.contains("pavise_devices{trust=\"other\"} 20\n"), "the rest");
}

proptest! {
    #[test]
    fn whatever_the_names_are_the_page_is_well_formed(
        names in prop::collection::btree_map("\\PC{0,12}|[\\\\\"\n{}=,# ]{0,6}", any::<u64>(), 0..8),
        packets: u64,
        at in prop::option::of(any::<u64>()),
    ) {
        let findings = names.iter().map(|(name, count)| ((Severity::High, name.clone()), *count)).collect();
        let receivers = names.keys().map(|name| status(name, 1, at.map(Timestamp::from_nanos))).collect();
        let numbers = Numbers {
            packets,
            latest: at.map(Timestamp::from_nanos),
            devices: names.clone(),
            findings,
            limits: names.clone(),
            receivers,
            ..Numbers::default()
        };
        let samples = check(&write(&numbers));
        prop_assert!(samples.is_ok(), "{samples:?}");
        prop_assert_eq!(samples.unwrap().get("pavise_outbox_messages").copied().unwrap_or(0), names.len());
    }
}
