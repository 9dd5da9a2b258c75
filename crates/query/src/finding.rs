//! What can be asked of findings and incidents.

use model::{Finding, Incident, Party, Severity, Slice, Verdict};

use crate::device::{field, text};
use crate::expr::{Datum, Field, Fields, Kind};

/// Severities, from the least.
const SEVERITIES: &[&str] = &["info", "low", "medium", "high", "critical"];

/// The fields of a finding.
pub static FINDING: &[Field] = &[
    field("id", &["finding"], Kind::Text, "its id"),
    field("detector", &[], Kind::Text, "the detector that found it"),
    field("severity", &[], Kind::Level(SEVERITIES), "how bad it is: info, low, medium, high or critical"),
    field("title", &[], Kind::Text, "what kind of thing it is"),
    field("summary", &[], Kind::Text, "what happened"),
    field("matter", &[], Kind::Text, "what tells it from others of its kind"),
    field("actor", &[], Kind::Text, "who did it: device id, address or link-layer address"),
    field("victim", &[], Kind::Text, "to whom it was done: device id, address or link-layer address"),
    field("device", &[], Kind::Text, "the id of either"),
    field("ip", &["address"], Kind::Address, "the network address of either"),
    field("mac", &[], Kind::Text, "the link-layer address of either"),
    field("incident", &[], Kind::Text, "the id of its incident"),
    field("verdict", &[], Kind::Text, "what an analyst said: none, true, expected or false"),
    field("evidence", &[], Kind::Text, "whether its packets are open, kept or missing"),
    field("count", &[], Kind::Number, "how often it was seen"),
    field("seen", &["last"], Kind::Age, "when it was last seen"),
    field("raised", &[], Kind::Age, "when there was enough to say so"),
    field("first", &[], Kind::Age, "when what shows it began"),
];

/// The fields of an incident.
pub static INCIDENT: &[Field] = &[
    field("id", &["incident"], Kind::Text, "its id"),
    field("severity", &[], Kind::Level(SEVERITIES), "how bad it is: info, low, medium, high or critical"),
    field("title", &[], Kind::Text, "what it is"),
    field("stage", &[], Kind::Text, "how far it has come: a tactic of MITRE ATT&CK"),
    field("actor", &[], Kind::Text, "who attacks: device id, address or link-layer address"),
    field("victim", &[], Kind::Text, "who was attacked: device id, address or link-layer address"),
    field("device", &[], Kind::Text, "the id of one who has a part in it"),
    field("ip", &["address"], Kind::Address, "the network address of one who has a part in it"),
    field("mac", &[], Kind::Text, "the link-layer address of one who has a part in it"),
    field("finding", &[], Kind::Text, "the id of one of its findings"),
    field("findings", &[], Kind::Number, "how many findings it has"),
    field("seen", &["last"], Kind::Age, "when it was last seen"),
    field("first", &[], Kind::Age, "when it began"),
];

const fn place(severity: Severity) -> u64 {
    severity as u64
}

/// A party by whatever it is known by.
fn party(party: &Party, buffer: &mut String, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
    party.device.is_some_and(|id| text(id, buffer, test))
        || party.host.ip.is_some_and(|ip| test(Datum::Address(ip)) || text(ip, buffer, test))
        || party.host.mac.is_some_and(|mac| text(mac, buffer, test))
}

/// One thing that is asked of any of several parties.
fn of_parties<'a>(
    name: &str,
    mut parties: impl Iterator<Item = &'a Party>,
    buffer: &mut String,
    test: &mut dyn FnMut(Datum<'_>) -> bool,
) -> bool {
    parties.any(|party| match name {
        "device" => party.device.is_some_and(|id| text(id, buffer, test)),
        "ip" => party.host.ip.is_some_and(|ip| test(Datum::Address(ip))),
        _ => party.host.mac.is_some_and(|mac| text(mac, buffer, test)),
    })
}

impl Fields for Finding {
    fn any(&self, field: Option<&str>, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
        let mut buffer = String::new();
        let Some(field) = field else {
            let texts = ["id", "detector", "title", "summary", "matter", "actor", "victim", "incident"];
            return test(Datum::Text(self.severity.name()))
                || texts.iter().any(|field| self.any(Some(field), test));
        };
        match field {
            "id" => text(self.id, &mut buffer, test),
            "detector" => test(Datum::Text(&self.detector)),
            "severity" => test(Datum::Number(place(self.severity))),
            "title" => test(Datum::Text(&self.title)),
            "summary" => test(Datum::Text(&self.summary)),
            "matter" => test(Datum::Text(&self.matter)),
            "actor" => party(&self.actor, &mut buffer, test),
            "victim" => self.victim.as_ref().is_some_and(|victim| party(victim, &mut buffer, test)),
            "incident" => self.incident.is_some_and(|id| text(id, &mut buffer, test)),
            "verdict" => {
                test(Datum::Text(self.judgement.as_ref().map_or("none", |said| Verdict::name(said.verdict))))
            }
            "evidence" => test(Datum::Text(match self.evidence {
                Slice::Open => "open",
                Slice::Kept { .. } => "kept",
                Slice::Missing { .. } => "missing",
            })),
            "count" => test(Datum::Number(self.count)),
            "seen" => test(Datum::Moment(self.last)),
            "raised" => test(Datum::Moment(self.raised)),
            "first" => test(Datum::Moment(self.first)),
            name => of_parties(name, std::iter::once(&self.actor).chain(&self.victim), &mut buffer, test),
        }
    }
}

impl Fields for Incident {
    fn any(&self, field: Option<&str>, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
        let mut buffer = String::new();
        let Some(field) = field else {
            let texts = ["id", "title", "stage", "actor", "victim"];
            return test(Datum::Text(self.severity.name()))
                || texts.iter().any(|field| self.any(Some(field), test));
        };
        match field {
            "id" => text(self.id, &mut buffer, test),
            "severity" => test(Datum::Number(place(self.severity))),
            "title" => test(Datum::Text(&self.title)),
            "stage" => test(Datum::Text(&self.stage)),
            "actor" => self.actors.iter().any(|actor| party(actor, &mut buffer, test)),
            "victim" => self.victims.iter().any(|victim| party(victim, &mut buffer, test)),
            "finding" => self.findings.iter().any(|id| text(id, &mut buffer, test)),
            "findings" => test(Datum::Number(self.findings.len() as u64)),
            "seen" => test(Datum::Moment(self.last)),
            "first" => test(Datum::Moment(self.first)),
            name => of_parties(name, self.actors.iter().chain(&self.victims), &mut buffer, test),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{FindingId, Host, IncidentId, Judgement, Name, Scope, Timestamp};

    use super::*;
    use crate::parse;

    fn party(ip: &str, device: u64) -> Party {
        Party { device: Some(model::DeviceId(device)), host: Host { ip: ip.parse().ok(), mac: None } }
    }

    fn finding() -> Finding {
        Finding {
            id: FindingId::from_digest(1),
            detector: Name::from("host-scan"),
            severity: Severity::High,
            title: Name::from("Host scan"),
            summary: "10.0.0.5 tried to reach 12 hosts".into(),
            actor: party("10.0.0.5", 5),
            victim: Some(party("10.1.0.6", 6)),
            matter: "tcp/23".into(),
            first: Timestamp::from_secs(100),
            raised: Timestamp::from_secs(160),
            last: Timestamp::from_secs(400),
            count: 12,
            crossed: None,
            factors: Vec::new(),
            conversations: Vec::new(),
            evidence: Slice::Open,
            incident: Some(IncidentId::from_digest(9)),
            because: Vec::new(),
            judgement: None,
        }
    }

    #[test]
    fn findings_are_selected_by_what_is_known_of_them() {
        let (finding, now) = (finding(), Timestamp::from_secs(1_000));
        let holds = |text: &str| parse(text, FINDING).unwrap().matches(&finding, now);
        for text in [
            "severity>=medium",
            "severity:high",
            "severity<critical",
            "not severity:low",
            "detector:host-*",
            "actor:10.0.0.5",
            "actor:d000000000005",
            "victim:10.1.0.6",
            "device:d000000000006",
            "ip:10.1.0.0/16",
            "incident:i000000000009",
            "verdict:none",
            "evidence:open",
            "count>10",
            "seen<15m",
            "seen>5m",
            "scan",
            "tcp/23 or nothing",
            "SEVERITY:HIGH",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "severity>high",
            "severity!=high",
            "actor:10.1.0.6",
            "verdict:true",
            "seen>15m",
            "ip:10.2.0.0/16",
        ] {
            assert!(!holds(text), "{text}");
        }
        let mut with_mac = finding.clone();
        with_mac.actor.host.mac = Some(model::MacAddr([2; 6]));
        crate::device::tests::shows_all(&with_mac, FINDING);
        let judged = Finding {
            judgement: Some(Judgement {
                verdict: Verdict::Expected,
                scope: Scope::Actor,
                reason: "".into(),
                by: None,
                declared: false,
            }),
            ..finding.clone()
        };
        assert!(parse("verdict:expected", FINDING).unwrap().matches(&judged, now));
        let error = parse("severity:awful", FINDING).unwrap_err().to_string();
        assert!(error.contains("one of info, low, medium, high, critical"), "{error}");
        assert_eq!(parse("severity >= Medium", FINDING).unwrap().to_string(), "severity>=medium");
    }

    #[test]
    fn incidents_are_selected_by_who_has_a_part_in_them() {
        let incident = Incident {
            id: IncidentId::from_digest(9),
            severity: Severity::Critical,
            title: "Spreading worm from 10.0.0.5".into(),
            stage: Name::from("lateral-movement"),
            first: Timestamp::from_secs(100),
            last: Timestamp::from_secs(400),
            findings: vec![FindingId::from_digest(1)],
            actors: vec![party("10.0.0.5", 5)],
            victims: vec![party("10.1.0.6", 6), party("10.1.0.7", 7)],
            response: "contain it".into(),
            next: Vec::new(),
        };
        let mut with_mac = incident.clone();
        with_mac.actors[0].host.mac = Some(model::MacAddr([2; 6]));
        crate::device::tests::shows_all(&with_mac, INCIDENT);
        let now = Timestamp::from_secs(1_000);
        let holds = |text: &str| parse(text, INCIDENT).unwrap().matches(&incident, now);
        for text in [
            "severity:critical",
            "stage:lateral*",
            "victim:10.1.0.7",
            "device:d000000000005",
            "findings=1",
            "finding:f000000000001",
            "worm",
            "ip:10.1.0.0/24",
        ] {
            assert!(holds(text), "{text}");
        }
        assert!(!holds("actor:10.1.0.7") && !holds("findings>1"));
    }
}
