//! Log records of OpenTelemetry, as OTLP/HTTP carries them in JSON (OTLP 1.x, "JSON Protobuf Encoding"; `opentelemetry-proto`,
//! `logs/v1/logs.proto`): names in lowerCamelCase, 64-bit numbers as text.

use model::Severity;
use serde_json::{Value, json};

use crate::notify::{Mark, PRODUCT, Reporter, Told};

/// The name of the scope under which records stand.
pub const OTLP_SCOPE: &str = "pavise.tell";

/// One log record. Its attributes have the names of the semantic conventions where there are some, and others under `pavise.`.
pub fn otlp_record(told: Told<'_>, mark: Option<Mark<'_>>) -> Value {
    let facts = told.facts();
    let mut attributes = Vec::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            attributes.push(json!({ "key": name, "value": { "stringValue": value } }));
        }
    };
    say("pavise.id", mark.map_or("", |mark| mark.id));
    say("pavise.change", mark.map_or("", |mark| mark.change));
    say("pavise.kind", facts.kind);
    say("pavise.subject", &facts.id);
    say("pavise.class", facts.class);
    say("pavise.title", facts.title);
    say("pavise.matter", facts.matter);
    say("pavise.incident", facts.incident.as_deref().unwrap_or_default());
    for (ip, mac, host) in [
        ("source.address", "pavise.source.mac", facts.actor),
        ("destination.address", "pavise.destination.mac", facts.victim),
    ] {
        let Some(host) = host else { continue };
        say(ip, &host.ip.map(|ip| ip.to_string()).unwrap_or_default());
        say(mac, &host.mac.map(|mac| mac.to_string()).unwrap_or_default());
    }
    say("pavise.verdict", facts.verdict);
    attributes.push(json!({ "key": "pavise.count", "value": { "intValue": facts.count.to_string() } }));
    let (number, text) = severity(facts.severity);
    json!({
        "timeUnixNano": facts.at.as_nanos().to_string(),
        "observedTimeUnixNano": facts.at.as_nanos().to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("pavise.{}", facts.kind),
        "body": { "stringValue": format!("{}: {}", facts.title, facts.text) },
        "attributes": attributes,
    })
}

/// What is posted to `/v1/logs`: records under one resource and one scope.
pub fn otlp(records: &[Value], reporter: Reporter<'_>) -> Value {
    json!({
        "resourceLogs": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": PRODUCT.to_lowercase() } },
                { "key": "service.version", "value": { "stringValue": reporter.version } },
                { "key": "host.name", "value": { "stringValue": reporter.host } },
            ] },
            "scopeLogs": [{ "scope": { "name": OTLP_SCOPE, "version": reporter.version }, "logRecords": records }],
        }],
    })
}

/// `SeverityNumber` of `logs.proto` and its short name: INFO is 9, INFO2 10, WARN 13, ERROR 17, FATAL 21.
const fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Info => (9, "INFO"),
        Severity::Low => (10, "INFO2"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
        Severity::Critical => (21, "FATAL"),
    }
}
