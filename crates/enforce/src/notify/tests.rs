use model::{FindingId, FlowHead, IncidentId, Judgement, MacAddr, Reach, Scope, Slice, Transport, Verdict};
use proptest::prelude::*;

use super::*;

const REPORTER: Reporter<'static> = Reporter { host: "sensor 1.plant", version: "0.1.0" };

fn party(ip: &str, last: u8) -> Party {
    Party {
        device: None,
        host: Host { mac: Some(MacAddr([2, 0, 0, 0, 0, last])), ip: Some(ip.parse().unwrap()) },
    }
}

fn finding() -> Finding {
    let at = Timestamp::from_nanos(1_700_000_000_123_456_789);
    Finding {
        id: FindingId::from_digest(7),
        detector: "plc-stop".into(),
        severity: Severity::High,
        title: "PLC stopped".into(),
        summary: "10.0.0.5 stopped the PLC \"press|3\"] = a\\b\nForged: line".into(),
        actor: party("10.0.0.5", 5),
        victim: Some(party("fd00::9", 9)),
        matter: "slot=2".into(),
        first: at - std::time::Duration::from_secs(60),
        raised: at,
        last: at + std::time::Duration::from_secs(5),
        count: 3,
        crossed: None,
        factors: vec![],
        conversations: vec![],
        evidence: Slice::Open,
        incident: Some(IncidentId::from_digest(9)),
        because: vec![],
        judgement: None,
    }
}

fn incident() -> Incident {
    let finding = finding();
    Incident {
        id: IncidentId::from_digest(9),
        severity: Severity::Critical,
        title: "10.0.0.5 stops controllers".into(),
        stage: "impact".into(),
        first: finding.first,
        last: finding.last,
        findings: vec![finding.id],
        actors: vec![finding.actor],
        victims: finding.victim.into_iter().collect(),
        response: "Take 10.0.0.5 off the network.".into(),
        next: vec![],
    }
}

#[test]
fn the_texts_of_a_finding_and_an_incident() {
    let (finding, incident) = (finding(), incident());
    let both = [Told::Finding(&finding), Told::Incident(&incident)];
    let lines: Vec<String> = both
        .into_iter()
        .flat_map(|told| [syslog(told, REPORTER, None), cef(told, REPORTER), leef(told, REPORTER)])
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_bodies_for_a_webhook() {
    let mut judged = finding();
    let judgement = Judgement {
        verdict: Verdict::Expected,
        scope: Scope::Finding,
        reason: "".into(),
        by: None,
        declared: false,
    };
    judged.judgement = Some(judgement);
    let bodies = [
        detection_finding(&finding(), REPORTER, true),
        detection_finding(&judged, REPORTER, false),
        incident_finding(&incident(), REPORTER, true),
    ];
    insta::assert_snapshot!(bodies.map(|body| format!("{body:#}")).join("\n"));
}

const MARK: Mark<'static> = Mark { id: "msg_0\"]1", change: "raised" };

#[test]
fn the_bodies_for_readers_of_eve_and_of_opentelemetry() {
    let finding = Finding { conversations: vec![model::FlowId(u64::MAX)], ..finding() };
    let techniques =
        [Technique { id: "T0816", name: "Device Restart/Shutdown", tactic: "inhibit response function" }];
    let end = |party: &Party, port| model::Endpoint { host: party.host, port };
    let head = FlowHead {
        id: model::FlowId(0x1234),
        transport: Transport::Tcp,
        vlan: None,
        client: end(&finding.actor, 40_000),
        server: end(&party("10.0.0.9", 9), 102),
        client_reach: Reach::default(),
        server_reach: Reach::default(),
    };
    let alert = Alert { mark: Some(MARK), techniques: &techniques, conversation: Some(&head) };
    let bodies = [
        eve(Told::Finding(&finding), REPORTER, &alert),
        eve(Told::Finding(&finding), REPORTER, &Alert::default()),
        eve(Told::Incident(&incident()), REPORTER, &Alert { mark: Some(MARK), ..Alert::default() }),
        otlp(&[otlp_record(Told::Finding(&finding), Some(MARK))], REPORTER),
    ];
    insta::assert_snapshot!(bodies.map(|body| format!("{body:#}")).join("\n"));
}

#[test]
fn who_answers_is_the_source_if_it_is_the_actor() {
    let finding = Finding { victim: None, ..finding() };
    let head = FlowHead {
        id: model::FlowId(1),
        transport: Transport::Udp,
        vlan: None,
        client: model::Endpoint { host: party("10.0.0.7", 7).host, port: 50_000 },
        server: model::Endpoint { host: finding.actor.host, port: 53 },
        client_reach: Reach::default(),
        server_reach: Reach::default(),
    };
    let told =
        eve(Told::Finding(&finding), REPORTER, &Alert { conversation: Some(&head), ..Alert::default() });
    assert_eq!((&told["src_ip"], &told["src_port"]), (&"10.0.0.5".into(), &53.into()));
    assert_eq!((&told["dest_ip"], &told["dest_port"]), (&"10.0.0.7".into(), &50_000.into()));
    assert_eq!(told["proto"], "UDP");
    // With somebody else than the victim, or of somebody else than the actor: that tells nothing of ports.
    let other = Finding { victim: Some(party("10.0.0.8", 8)), ..finding.clone() };
    let told = eve(Told::Finding(&other), REPORTER, &Alert { conversation: Some(&head), ..Alert::default() });
    assert_eq!((&told["dest_ip"], told.get("dest_port")), (&"10.0.0.8".into(), None));
    let other = Finding { actor: party("10.0.0.8", 8), ..finding };
    let told = eve(Told::Finding(&other), REPORTER, &Alert { conversation: Some(&head), ..Alert::default() });
    assert_eq!((told.get("src_port"), told.get("dest_ip")), (None, None));
}

#[test]
fn what_an_analyst_has_said_is_told_in_all_words() {
    let said = Judgement {
        verdict: Verdict::False,
        scope: Scope::Finding,
        reason: "".into(),
        by: None,
        declared: false,
    };
    let (open, judged) = (finding(), Finding { judgement: Some(said), ..finding() });
    let texts = |finding: &Finding| {
        let told = Told::Finding(finding);
        [
            (syslog(told, REPORTER, None), "verdict=\"false\""),
            (cef(told, REPORTER), "cs3=false cs3Label=Verdict"),
            (leef(told, REPORTER), "verdict=false\t"),
            (eve(told, REPORTER, &Alert::default()).to_string(), "\"verdict\":\"false\""),
            (
                otlp_record(told, None).to_string(),
                "{\"key\":\"pavise.verdict\",\"value\":{\"stringValue\":\"false\"}}",
            ),
        ]
    };
    for ((with, part), (without, _)) in texts(&judged).into_iter().zip(texts(&open)) {
        assert!(with.contains(part) && !without.contains(part), "{with}");
    }
}

#[test]
fn a_message_is_named_in_structured_data_whatever_carries_it() {
    let finding = finding();
    let told = Told::Finding(&finding);
    let element = "[message@32473 id=\"msg_0\\\"\\]1\" change=\"raised\"]";
    let plain = syslog(told, REPORTER, Some(MARK));
    assert!(plain.contains(&format!("]{element} \u{feff}PLC stopped")), "{plain}");
    let cef = carried(told, REPORTER, Some(MARK), &cef(told, REPORTER));
    assert!(cef.contains(&format!(" plc-stop {element} CEF:0|")), "{cef}");
    assert!(carried(told, REPORTER, None, "x").ends_with(" plc-stop - x"));
}

/// The values of the structured data, read by RFC 5424, section 6.3.3, or `None` if it is not well-formed.
fn structured(message: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut rest = message.split_once(" [")?.1;
    rest = rest.split_once(' ')?.1;
    let mut out = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => value.push(chars.next()?.1),
                (at, '"') => break at,
                (_, ']') => return None,
                (_, c) => value.push(c),
            }
        };
        out.push((name.to_owned(), value));
        rest = &after[end + 1..];
        match rest.strip_prefix(' ') {
            Some(more) => rest = more,
            None => return Some((out, rest.strip_prefix("] ")?)),
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_its_field(text in "\\PC{0,40}|[\\]\\[\"|=\\\\\n\r\t a]{0,40}") {
        let mut finding = finding();
        finding.summary = text.as_str().into();
        finding.matter = text.as_str().into();
        let told = Told::Finding(&finding);
        let clean = line(&text, TEXT_MAX);
        let (syslog, cef, leef) = (syslog(told, REPORTER, None), cef(told, REPORTER), leef(told, REPORTER));
        prop_assert!(!syslog.contains('\n') && !cef.contains('\n') && !leef.contains('\n'));
        let (values, message) = structured(&syslog).unwrap();
        let matter = values.iter().find(|(name, _)| name == "matter").map(|(_, value)| value.as_str());
        prop_assert_eq!(matter.unwrap_or(""), &clean);
        prop_assert_eq!(message, format!("\u{feff}PLC stopped: {clean}"));
        // Of CEF: seven bars that are not escaped end the head.
        let head = cef.replace("\\\\", "").replace("\\|", "");
        prop_assert!(head.split('|').count() >= 8);
        let extension = cef.splitn(8, '|').nth(7).unwrap();
        let unescaped = extension.replace("\\\\", "").replace("\\=", "");
        let keys = unescaped.split(' ').filter_map(|part| part.split_once('=')).count();
        prop_assert_eq!(keys, 13 + 3 * usize::from(!clean.is_empty()));
        prop_assert_eq!(leef.matches('\t').count(), 11 + 2 * usize::from(!clean.is_empty()));
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let mut finding = finding();
    finding.summary = "ü".repeat(10_000).into();
    finding.matter = "]".repeat(10_000).into();
    for message in [
        syslog(Told::Finding(&finding), REPORTER, None),
        cef(Told::Finding(&finding), REPORTER),
        leef(Told::Finding(&finding), REPORTER),
    ] {
        assert!(message.len() <= MESSAGE_MAX, "{}", message.len());
    }
    assert_eq!(line("aü", 2), "a");
    assert_eq!(line(&"a".repeat(TEXT_MAX + 1), TEXT_MAX).len(), TEXT_MAX);
}
