//! The Open Cybersecurity Schema Framework, version 1.3: bodies for webhooks and data lakes.

use model::{Finding, Host, Incident, Severity};
use serde_json::{Map, Value, json};

use crate::notify::{PRODUCT, Reporter, millis};

/// The version of the schema.
const VERSION: &str = "1.3.0";

const fn severity_id(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

fn metadata(reporter: Reporter<'_>, uid: String) -> Value {
    json!({
        "version": VERSION,
        "uid": uid,
        "log_provider": reporter.host,
        "product": { "name": PRODUCT, "vendor_name": PRODUCT, "version": reporter.version },
    })
}

fn endpoint(host: &Host) -> Value {
    let mut out = Map::new();
    out.extend(host.ip.map(|ip| ("ip".to_owned(), ip.to_string().into())));
    out.extend(host.mac.map(|mac| ("mac".to_owned(), mac.to_string().into())));
    out.into()
}

/// A Detection Finding (class 2004): activity 1 (create) the first time, 2 (update) after that.
pub fn detection_finding(finding: &Finding, reporter: Reporter<'_>, is_new: bool) -> Value {
    let activity = if is_new { 1 } else { 2 };
    let mut evidence = Map::new();
    evidence.insert("src_endpoint".into(), endpoint(&finding.actor.host));
    evidence
        .extend(finding.victim.as_ref().map(|victim| ("dst_endpoint".to_owned(), endpoint(&victim.host))));
    if !finding.matter.is_empty() {
        evidence.insert("data".into(), json!({ "matter": finding.matter }));
    }
    let status = match &finding.judgement {
        // 3: suppressed, somebody has said that it is expected or false; 2: in progress, that it is true; 1: new.
        Some(_) if finding.is_silenced() => (3, "Suppressed"),
        Some(_) => (2, "In Progress"),
        None => (1, "New"),
    };
    let mut out = json!({
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "activity_id": activity,
        "activity_name": if is_new { "Create" } else { "Update" },
        "type_uid": 200_400 + activity,
        "severity_id": severity_id(finding.severity),
        "severity": severity(finding.severity),
        "status_id": status.0,
        "status": status.1,
        "time": millis(finding.raised),
        "start_time": millis(finding.first),
        "end_time": millis(finding.last),
        "count": finding.count,
        "message": finding.summary,
        "metadata": metadata(reporter, finding.id.to_string()),
        "finding_info": {
            "uid": finding.id.to_string(),
            "title": finding.title,
            "desc": finding.summary,
            "created_time": millis(finding.raised),
            "first_seen_time": millis(finding.first),
            "last_seen_time": millis(finding.last),
            "analytic": { "name": finding.detector, "uid": finding.detector, "type_id": 1, "type": "Rule" },
        },
        "evidences": [evidence],
    });
    if let (Some(incident), Some(info)) = (finding.incident, out["finding_info"].as_object_mut()) {
        info.insert("related_events".into(), json!([{ "uid": incident.to_string(), "type_uid": 200_501 }]));
    }
    out
}

/// An Incident Finding (class 2005): activity 1 (create) the first time, 2 (update) after that.
pub fn incident_finding(incident: &Incident, reporter: Reporter<'_>, is_new: bool) -> Value {
    let activity = if is_new { 1 } else { 2 };
    let findings: Vec<Value> = incident
        .findings
        .iter()
        .map(|finding| json!({ "uid": finding.to_string(), "title": incident.title }))
        .collect();
    let hosts: Vec<Value> = incident.victims.iter().map(|victim| endpoint(&victim.host)).collect();
    let actors: Vec<Value> = incident.actors.iter().map(|actor| endpoint(&actor.host)).collect();
    json!({
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2005,
        "class_name": "Incident Finding",
        "activity_id": activity,
        "activity_name": if is_new { "Create" } else { "Update" },
        "type_uid": 200_500 + activity,
        "severity_id": severity_id(incident.severity),
        "severity": severity(incident.severity),
        "status_id": 1,
        "status": "New",
        "time": millis(incident.last),
        "start_time": millis(incident.first),
        "end_time": millis(incident.last),
        "message": incident.title,
        "desc": incident.response,
        "metadata": metadata(reporter, incident.id.to_string()),
        "finding_info_list": findings,
        "attacks": [{ "tactics": [{ "name": incident.stage }] }],
        "unmapped": { "actors": actors, "victims": hosts },
    })
}
