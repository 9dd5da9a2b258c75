//! Alerts in the shape of Suricata's EVE JSON (its user guide, section "EVE JSON Format"), for those who read that already.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Endpoint, FlowHead, Host, Severity, Side, Timestamp, Transport};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

use crate::notify::{MESSAGE_MAX, Mark, Reporter, TEXT_MAX, Told, line};

/// The numbers of signatures that Suricata leaves to whoever writes rules for himself.
const LOCAL: std::ops::Range<u32> = 1_000_000..2_000_000;
/// So many techniques are named with one alert.
const TECHNIQUES_MAX: usize = 16;

/// A technique of MITRE ATT&CK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// Its id: `T1046`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The tactic that it serves.
    pub tactic: &'static str,
}

/// What an alert says besides the finding or incident itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alert<'a> {
    /// Which message it is.
    pub mark: Option<Mark<'a>>,
    /// What attackers do so for.
    pub techniques: &'a [Technique],
    /// A conversation that shows it, where its ends are known.
    pub conversation: Option<&'a FlowHead>,
}

/// The number of a detector's signature, the same for ever: a digest (FNV-1a) within the numbers for local use.
pub fn signature_id(detector: &str) -> u32 {
    let digest = detector
        .bytes()
        .fold(0x811c_9dc5_u32, |digest, byte| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    LOCAL.start + digest % (LOCAL.end - LOCAL.start)
}

/// A finding or an incident as an event of type `alert`. What EVE has no field for is in the object `pavise`; the message's id is
/// `pavise.id`. Severity is 1 (highest) to 4.
pub fn eve(told: Told<'_>, reporter: Reporter<'_>, alert: &Alert<'_>) -> Value {
    let facts = told.facts();
    let mut out = Map::new();
    out.insert("timestamp".into(), time(facts.at).into());
    let conversation = alert.conversation.map(|head| head.id).or_else(|| first_flow(told));
    // Readers take it for a signed number of 64 bits.
    let number = conversation.map(|id| id.0 & i64::MAX.unsigned_abs());
    out.extend(number.map(|number| ("flow_id".to_owned(), number.into())));
    out.insert("event_type".into(), "alert".into());
    out.insert("host".into(), reporter.host.into());
    ends(&mut out, facts.actor, facts.victim, alert.conversation);
    if let Some(id) = alert.conversation.and_then(community_id) {
        out.insert("community_id".into(), id.into());
    }
    let of = |get: fn(&Technique) -> &'static str| -> Vec<Value> {
        alert.techniques.iter().take(TECHNIQUES_MAX).map(|technique| get(technique).into()).collect()
    };
    let mut metadata =
        json!({ "detector": [facts.class], "signature_severity": [severity_name(facts.severity)] });
    if let (Some(all), false) = (metadata.as_object_mut(), alert.techniques.is_empty()) {
        // The names that rules of the Emerging Threats set have for them.
        all.insert("mitre_technique_id".into(), of(|technique| technique.id).into());
        all.insert("mitre_technique_name".into(), of(|technique| technique.name).into());
        all.insert("mitre_tactic_name".into(), of(|technique| technique.tactic).into());
    }
    out.insert(
        "alert".into(),
        json!({
            "action": "allowed",
            "gid": 1,
            "signature_id": signature_id(facts.class),
            "rev": 1,
            "signature": format!("PAVISE {}", line(facts.title, TEXT_MAX)),
            "category": facts.class,
            "severity": severity(facts.severity),
            "metadata": metadata,
        }),
    );
    let mut own = json!({
        "kind": facts.kind,
        "subject": facts.id,
        "severity": facts.severity.name(),
        "count": facts.count,
        "first": facts.first,
        "last": facts.last,
        "text": line(facts.text, MESSAGE_MAX),
    });
    if let Some(own) = own.as_object_mut() {
        if let Some(mark) = alert.mark {
            own.insert("id".into(), mark.id.into());
            own.insert("change".into(), mark.change.into());
        }
        own.extend(conversation.map(|id| ("conversation".to_owned(), id.to_string().into())));
        if !facts.matter.is_empty() {
            own.insert("matter".into(), line(facts.matter, TEXT_MAX).into());
        }
        own.extend(facts.incident.map(|incident| ("incident".to_owned(), incident.into())));
        if let Told::Finding(finding) = told {
            own.extend(
                finding.judgement.as_ref().map(|said| ("verdict".to_owned(), said.verdict.name().into())),
            );
        }
    }
    out.insert("pavise".into(), own);
    out.into()
}

fn first_flow(told: Told<'_>) -> Option<model::FlowId> {
    match told {
        Told::Finding(finding) => finding.conversations.first().copied(),
        Told::Incident(_) => None,
    }
}

/// Who did it to whom: the source is the actor, whichever of the two opened the conversation.
fn ends(out: &mut Map<String, Value>, actor: Option<&Host>, victim: Option<&Host>, head: Option<&FlowHead>) {
    // Which end the actor is; if he is neither, the conversation shows something else of him.
    let own = head.zip(actor).and_then(|(head, actor)| {
        [Side::Client, Side::Server].into_iter().find(|side| head.endpoint(*side).host.is_same(actor))
    });
    let ends = head.zip(own).map(|(head, own)| (head.endpoint(own), head.endpoint(own.other())));
    let other =
        ends.map(|(_, other)| other).filter(|other| victim.is_none_or(|victim| other.host.is_same(victim)));
    let mut say = |host: Option<&Host>, ip: &str, port: &str, end: Option<&Endpoint>| {
        out.extend(host.and_then(|host| host.ip).map(|address| (ip.to_owned(), address.to_string().into())));
        let end = end.filter(|_| head.is_some_and(|head| has_ports(head.transport)));
        out.extend(end.map(|end| (port.to_owned(), end.port.into())));
    };
    say(actor, "src_ip", "src_port", ends.map(|(own, _)| own));
    say(victim.or(other.map(|other| &other.host)), "dest_ip", "dest_port", other);
    let mut ether = Map::new();
    for (name, host) in [("src_mac", actor), ("dest_mac", victim)] {
        ether.extend(host.and_then(|host| host.mac).map(|mac| (name.to_owned(), mac.to_string().into())));
    }
    if !ether.is_empty() {
        out.insert("ether".into(), ether.into());
    }
    out.extend(head.and_then(|head| proto(head.transport)).map(|proto| ("proto".to_owned(), proto.into())));
}

const fn has_ports(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp | Transport::Udp | Transport::Sctp)
}

/// A transport in Suricata's words.
const fn proto(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Tcp => Some("TCP"),
        Transport::Udp => Some("UDP"),
        Transport::Sctp => Some("SCTP"),
        Transport::Icmp => Some("ICMP"),
        Transport::Icmpv6 => Some("IPv6-ICMP"),
        Transport::Ip(_) | Transport::Ether(_) | Transport::Can | Transport::Wpan => None,
    }
}

/// The Community ID of a conversation (its specification, version 1, with the seed 0), by which those who watch the same network
/// find it again; nothing where it has no ports.
pub fn community_id(head: &FlowHead) -> Option<String> {
    let number: u8 = match head.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
        _ => return None,
    };
    let mut ends = [(head.client.host.ip?, head.client.port), (head.server.host.ip?, head.server.port)];
    if ends[0].0.is_ipv4() != ends[1].0.is_ipv4() {
        return None;
    }
    // The lesser end comes first: addresses of one version are ordered by their bytes.
    ends.sort();
    let mut digest = Sha1::new();
    // The seed.
    digest.update([0, 0]);
    for (ip, _) in &ends {
        match ip {
            IpAddr::V4(ip) => digest.update(ip.octets()),
            IpAddr::V6(ip) => digest.update(ip.octets()),
        }
    }
    digest.update([number, 0]);
    for (_, port) in &ends {
        digest.update(port.to_be_bytes());
    }
    Some(format!("1:{}", STANDARD.encode(digest.finalize())))
}

/// A moment as EVE has it: six digits of a second's fraction, and the zone without a colon.
fn time(at: Timestamp) -> String {
    let micros = at.as_nanos() / 1_000 % 1_000_000;
    let second = Timestamp::from_secs(at.as_secs()).to_string();
    format!("{}.{micros:06}+0000", second.trim_end_matches('Z'))
}

/// Priorities as Suricata's classification has them.
const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical | Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
        Severity::Info => 4,
    }
}

/// In the words of the Emerging Threats set.
const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "Major",
        Severity::Medium | Severity::Low => "Minor",
        Severity::Info => "Informational",
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowId, Reach};

    use super::*;

    fn head(transport: Transport, client: (&str, u16), server: (&str, u16)) -> FlowHead {
        let end = |(ip, port): (&str, u16)| Endpoint {
            host: Host { mac: None, ip: Some(ip.parse().unwrap()) },
            port,
        };
        let (client, server) = (end(client), end(server));
        let reach = Reach::default();
        FlowHead {
            id: FlowId(1),
            transport,
            vlan: None,
            client,
            server,
            client_reach: reach,
            server_reach: reach,
        }
    }

    #[test]
    fn community_ids_are_those_of_the_reference() {
        // The baseline of the specification's repository, for version 1 and seed 0; each from both ends.
        for (transport, one, other, expected) in [
            (
                Transport::Tcp,
                ("128.232.110.120", 34_855),
                ("66.35.250.204", 80),
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (Transport::Udp, ("192.168.1.52", 54_585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (Transport::Sctp, ("192.168.170.8", 7), ("192.168.170.56", 7), "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
        ] {
            assert_eq!(community_id(&head(transport, one, other)).as_deref(), Some(expected));
            assert_eq!(community_id(&head(transport, other, one)).as_deref(), Some(expected));
        }
        assert_eq!(community_id(&head(Transport::Icmp, ("10.0.0.1", 0), ("10.0.0.2", 0))), None);
    }

    #[test]
    fn time_is_written_as_suricata_does() {
        assert_eq!(time(Timestamp::from_nanos(1_700_000_000_000_012_999)), "2023-11-14T22:13:20.000012+0000");
        assert_eq!(time(Timestamp::EPOCH), "1970-01-01T00:00:00.000000+0000");
    }

    #[test]
    fn numbers_of_signatures_are_for_local_use_and_stay() {
        assert_eq!(signature_id("host-scan"), signature_id("host-scan"));
        for name in ["", "host-scan", "plc-stop", "ü"] {
            assert!(LOCAL.contains(&signature_id(name)), "{name}");
        }
    }
}
