//! What is shown: the shapes of the answers.

use std::collections::BTreeMap;

use model::{
    Attribute, Device, EndReason, Evidence, Finding, FlowRecord, Incident, NextStep, Party, Severity, Slice,
    TcpState, Verdict,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::estate::Estate;

/// How bad something is, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Good to know.
    Info,
    /// A weakness, or something unusual that is harmless by itself.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
    /// An attack has reached its aim, or lives or processes are in danger.
    Critical,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

/// How far a device is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// All that the policy allows.
    Full,
    /// What it needs for its task.
    Limited,
    /// Nothing but what is needed to mend it.
    Quarantine,
}

impl From<model::Access> for Trust {
    fn from(access: model::Access) -> Self {
        match access {
            model::Access::Full => Self::Full,
            model::Access::Limited => Self::Limited,
            model::Access::Quarantine => Self::Quarantine,
        }
    }
}

/// Where a device stands, seen from the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Locality {
    /// On a link that the sensor watches.
    OnLink,
    /// In the organisation's networks, beyond a router.
    Routed,
    /// Elsewhere in the Internet.
    External,
}

impl From<model::Locality> for Locality {
    fn from(locality: model::Locality) -> Self {
        match locality {
            model::Locality::OnLink => Self::OnLink,
            model::Locality::Routed => Self::Routed,
            model::Locality::External => Self::External,
        }
    }
}

/// What an analyst says of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictView {
    /// It is what it says.
    True,
    /// It happened, and it is meant to.
    Expected,
    /// It did not happen, or it is not what it says.
    False,
}

impl From<VerdictView> for Verdict {
    fn from(verdict: VerdictView) -> Self {
        match verdict {
            VerdictView::True => Self::True,
            VerdictView::Expected => Self::Expected,
            VerdictView::False => Self::False,
        }
    }
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::True => Self::True,
            Verdict::Expected => Self::Expected,
            Verdict::False => Self::False,
        }
    }
}

/// For what a verdict holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeView {
    /// For this finding alone.
    #[default]
    Finding,
    /// For whatever the same detector finds of the same actor.
    Actor,
    /// For whatever the same detector finds of the same victim.
    Victim,
    /// For whatever the same detector finds.
    Detector,
}

impl From<ScopeView> for model::Scope {
    fn from(scope: ScopeView) -> Self {
        match scope {
            ScopeView::Finding => Self::Finding,
            ScopeView::Actor => Self::Actor,
            ScopeView::Victim => Self::Victim,
            ScopeView::Detector => Self::Detector,
        }
    }
}

impl From<model::Scope> for ScopeView {
    fn from(scope: model::Scope) -> Self {
        match scope {
            model::Scope::Finding => Self::Finding,
            model::Scope::Actor => Self::Actor,
            model::Scope::Victim => Self::Victim,
            model::Scope::Detector => Self::Detector,
        }
    }
}

/// A device in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceRow {
    /// Its name for good.
    #[schema(example = "d26859f460050")]
    pub id: String,
    /// What people call it; absent where nobody does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The part that it plays before all others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vendor: Option<String>,
    /// Its model or product name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub firmware: Option<String>,
    /// Its operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operating_system: Option<String>,
    /// Its network addresses, the latest used first.
    pub addresses: Vec<String>,
    /// Its link-layer addresses.
    pub macs: Vec<String>,
    /// Where it stands.
    pub locality: Locality,
    /// The zone that it is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zone: Option<String>,
    /// Protocols that it speaks.
    pub protocols: Vec<String>,
    /// How far it is trusted.
    pub trust: Trust,
    /// How many findings are open in which it has a part.
    pub findings: u32,
    /// How bad the worst of them is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worst: Option<Level>,
    /// When it was first seen.
    #[schema(format = DateTime)]
    pub first: String,
    /// When it was last seen.
    #[schema(format = DateTime)]
    pub last: String,
    /// Bytes that it sent.
    pub bytes_out: u64,
    /// Bytes that it was sent.
    pub bytes_in: u64,
}

impl DeviceRow {
    /// The fields that a list may be asked for.
    pub const FIELDS: &[&str] = &[
        "id",
        "name",
        "role",
        "vendor",
        "model",
        "firmware",
        "operating_system",
        "addresses",
        "macs",
        "locality",
        "zone",
        "protocols",
        "trust",
        "findings",
        "worst",
        "first",
        "last",
        "bytes_out",
        "bytes_in",
    ];

    pub(crate) fn of(device: &Device, estate: &Estate, app: &App) -> Self {
        let best = |attribute| device.best(attribute).map(str::to_owned);
        let mut addresses: Vec<_> = device.addresses.iter().collect();
        addresses.sort_by_key(|known| std::cmp::Reverse(known.last));
        let open = estate.open.get(&device.id);
        Self {
            id: device.id.to_string(),
            name: best(Attribute::Hostname).or_else(|| best(Attribute::Label)),
            role: best(Attribute::Role),
            vendor: best(Attribute::Vendor),
            model: best(Attribute::Model),
            firmware: best(Attribute::Firmware),
            operating_system: best(Attribute::OperatingSystem),
            addresses: addresses.into_iter().map(|known| known.ip.to_string()).collect(),
            macs: device.macs.iter().map(ToString::to_string).collect(),
            locality: device.locality.into(),
            zone: app.zone_of(device).map(str::to_owned),
            protocols: device.protocols.iter().map(ToString::to_string).collect(),
            trust: device.access.into(),
            findings: open.map_or(0, |(count, _)| *count),
            worst: open.map(|(_, worst)| (*worst).into()),
            first: device.first.to_string(),
            last: device.last.to_string(),
            bytes_out: device.bytes_out,
            bytes_in: device.bytes_in,
        }
    }
}

/// What was said of an attribute, and by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// The value.
    pub value: String,
    /// Where it stood: protocol and field.
    #[schema(example = "s7comm.copyright")]
    pub source: String,
    /// What it is worth, in per cent.
    #[schema(minimum = 1, maximum = 100)]
    pub confidence: u8,
    /// When it was first said.
    #[schema(format = DateTime)]
    pub first: String,
    /// When it was last said.
    #[schema(format = DateTime)]
    pub last: String,
    /// How often.
    pub count: u64,
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        Self {
            value: evidence.value.to_string(),
            source: evidence.source.to_string(),
            confidence: evidence.confidence.get(),
            first: evidence.first.to_string(),
            last: evidence.last.to_string(),
            count: evidence.count,
        }
    }
}

/// A service that a device offers or uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// The protocol, or the transport where none was recognised.
    pub protocol: String,
    /// The transport.
    pub transport: String,
    /// The server's port; 0 where the transport has none.
    pub port: u16,
    /// How many conversations.
    pub conversations: u64,
}

/// Somebody a device talks to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerView {
    /// The device.
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// How many conversations.
    pub conversations: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Bytes that it sent.
    pub bytes_in: u64,
    /// When they last spoke.
    #[schema(format = DateTime)]
    pub last: String,
}

/// Everything about one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// As in a list.
    #[serde(flatten)]
    pub row: DeviceRow,
    /// What it is, attribute by attribute, the best evidence first. Conflicts stay side by side.
    pub attributes: BTreeMap<String, Vec<EvidenceView>>,
    /// Services that it offers.
    pub offers: Vec<ServiceView>,
    /// Services that it uses.
    pub uses: Vec<ServiceView>,
    /// Whom it talks to, the most first; at most 256.
    pub peers: Vec<PeerView>,
    /// Packets that it sent.
    pub packets_out: u64,
    /// Packets that it was sent.
    pub packets_in: u64,
}

/// So many peers of a device are told.
const PEERS_TOLD: usize = 256;

impl DeviceView {
    pub(crate) fn of(device: &Device, estate: &Estate, app: &App) -> Self {
        let services = |all: &BTreeMap<model::Service, u64>| {
            let view = |(service, count): (&model::Service, &u64)| ServiceView {
                protocol: service.protocol.to_string(),
                transport: service.transport.to_string(),
                port: service.port,
                conversations: *count,
            };
            all.iter().map(view).collect()
        };
        let mut peers: Vec<_> = device.peers.iter().collect();
        peers.sort_by_key(|(id, peer)| {
            (std::cmp::Reverse(peer.bytes_out.saturating_add(peer.bytes_in)), **id)
        });
        let name = |id| {
            let peer = estate.device(id)?;
            peer.best(Attribute::Hostname).or_else(|| peer.best(Attribute::Label)).map(str::to_owned)
        };
        Self {
            row: DeviceRow::of(device, estate, app),
            attributes: device
                .attributes
                .iter()
                .map(|(attribute, evidence)| {
                    (attribute.to_string(), evidence.iter().map(Into::into).collect())
                })
                .collect(),
            offers: services(&device.offers),
            uses: services(&device.uses),
            peers: peers
                .into_iter()
                .take(PEERS_TOLD)
                .map(|(id, peer)| PeerView {
                    id: id.to_string(),
                    name: name(*id),
                    conversations: peer.flows,
                    bytes_out: peer.bytes_out,
                    bytes_in: peer.bytes_in,
                    last: peer.last.to_string(),
                })
                .collect(),
            packets_out: device.packets_out,
            packets_in: device.packets_in,
        }
    }
}

/// Who has a part in a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartyView {
    /// The device, where one was known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Its network address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<String>,
    /// Its link-layer address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<String>,
}

impl PartyView {
    fn of(party: &Party, estate: &Estate) -> Self {
        let known = party.device.and_then(|id| estate.device(id));
        let name =
            known.and_then(|known| known.best(Attribute::Hostname).or_else(|| known.best(Attribute::Label)));
        Self {
            device: party.device.map(|id| id.to_string()),
            name: name.map(str::to_owned),
            ip: party.host.ip.map(|ip| ip.to_string()),
            mac: party.host.mac.map(|mac| mac.to_string()),
        }
    }
}

/// The packets that show a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum EvidenceState {
    /// They are still being gathered.
    Open,
    /// They are kept: `/api/v1/findings/{id}/evidence`.
    Kept {
        /// How many.
        packets: u64,
        /// SHA-256 of the capture, in hexadecimal digits.
        sha256: String,
        /// Whether they yield the finding by themselves.
        replays: bool,
    },
    /// They were not kept, and why.
    Missing {
        /// Why.
        reason: String,
    },
}

/// An analyst's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JudgementView {
    /// The verdict.
    pub verdict: VerdictView,
    /// For what it holds.
    pub scope: ScopeView,
    /// Why, in the analyst's words.
    pub reason: String,
    /// The finding of which it was said, where that is another one whose scope covers this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Whether the settings declare it as expected.
    pub declared: bool,
}

/// A threshold that was crossed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CrossedView {
    /// Its name, by which it can be set.
    pub threshold: String,
    /// What it is set to.
    pub limit: f64,
    /// What was seen.
    pub seen: f64,
    /// In what it is measured.
    pub unit: String,
    /// For whom it is set so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set_for: Option<String>,
}

/// One of the things that made something look wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactorView {
    /// What was looked at.
    pub name: String,
    /// What was seen.
    pub seen: String,
    /// What would have been usual.
    pub usual: String,
}

/// A finding in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingRow {
    /// Its id.
    #[schema(example = "f0123456789ab")]
    pub id: String,
    /// The detector that found it.
    pub detector: String,
    /// How bad it is.
    pub severity: Level,
    /// What kind of thing it is.
    pub title: String,
    /// What happened, in one sentence.
    pub summary: String,
    /// Who did it, or whose state is wrong.
    pub actor: PartyView,
    /// To whom it was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub victim: Option<PartyView>,
    /// When what shows it began.
    #[schema(format = DateTime)]
    pub first: String,
    /// When there was enough to say so.
    #[schema(format = DateTime)]
    pub raised: String,
    /// When it was last seen.
    #[schema(format = DateTime)]
    pub last: String,
    /// How often.
    pub count: u64,
    /// The incident of which it is a part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<String>,
    /// What an analyst said of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judgement: Option<JudgementView>,
    /// The packets that show it.
    pub evidence: EvidenceState,
}

impl FindingRow {
    /// The fields that a list may be asked for.
    pub const FIELDS: &[&str] = &[
        "id",
        "detector",
        "severity",
        "title",
        "summary",
        "actor",
        "victim",
        "first",
        "raised",
        "last",
        "count",
        "incident",
        "judgement",
        "evidence",
    ];

    pub(crate) fn of(finding: &Finding, estate: &Estate) -> Self {
        Self {
            id: finding.id.to_string(),
            detector: finding.detector.to_string(),
            severity: finding.severity.into(),
            title: finding.title.to_string(),
            summary: finding.summary.to_string(),
            actor: PartyView::of(&finding.actor, estate),
            victim: finding.victim.as_ref().map(|victim| PartyView::of(victim, estate)),
            first: finding.first.to_string(),
            raised: finding.raised.to_string(),
            last: finding.last.to_string(),
            count: finding.count,
            incident: finding.incident.map(|id| id.to_string()),
            judgement: finding.judgement.as_ref().map(|said| JudgementView {
                verdict: said.verdict.into(),
                scope: said.scope.into(),
                reason: said.reason.to_string(),
                by: said.by.map(|id| id.to_string()),
                declared: said.declared,
            }),
            evidence: match &finding.evidence {
                Slice::Open => EvidenceState::Open,
                Slice::Kept { packets, sha256, replays } => {
                    EvidenceState::Kept { packets: *packets, sha256: sha256.to_string(), replays: *replays }
                }
                Slice::Missing { reason } => EvidenceState::Missing { reason: reason.to_string() },
            },
        }
    }
}

/// A technique of MITRE ATT&CK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TechniqueView {
    /// Its id.
    #[schema(example = "T0846")]
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Everything about one finding: what, why it matters, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// As in a list.
    #[serde(flatten)]
    pub row: FindingRow,
    /// What else tells it from others of its kind: a port, a block, a domain.
    pub matter: String,
    /// The threshold that was crossed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crossed: Option<CrossedView>,
    /// What drove it, the most important first.
    pub factors: Vec<FactorView>,
    /// Conversations that show it, the first ones of them.
    pub conversations: Vec<String>,
    /// The findings because of which it is told.
    pub because: Vec<String>,
    /// What the detector looks for.
    pub finds: String,
    /// Why that matters.
    pub matters: String,
    /// What to do about it.
    pub fix: String,
    /// Techniques that it shows.
    pub techniques: Vec<TechniqueView>,
}

impl FindingView {
    pub(crate) fn of(finding: &Finding, estate: &Estate) -> Self {
        let rule = detect::DETECTORS.iter().find(|rule| rule.id == finding.detector);
        let text = |of: fn(&detect::Rule) -> &'static str| rule.map_or("", |rule| of(rule)).to_owned();
        Self {
            row: FindingRow::of(finding, estate),
            matter: finding.matter.to_string(),
            crossed: finding.crossed.as_ref().map(|crossed| CrossedView {
                threshold: crossed.threshold.to_string(),
                limit: crossed.limit,
                seen: crossed.seen,
                unit: crossed.unit.to_string(),
                set_for: crossed.set_for.as_deref().map(str::to_owned),
            }),
            factors: finding
                .factors
                .iter()
                .map(|factor| FactorView {
                    name: factor.name.to_string(),
                    seen: factor.seen.to_string(),
                    usual: factor.usual.to_string(),
                })
                .collect(),
            conversations: finding.conversations.iter().map(ToString::to_string).collect(),
            because: finding.because.iter().map(ToString::to_string).collect(),
            finds: text(|rule| rule.finds),
            matters: text(|rule| rule.matters),
            fix: text(|rule| rule.fix),
            techniques: rule
                .map_or(&[][..], |rule| rule.attack)
                .iter()
                .map(|id| TechniqueView {
                    id: (*id).into(),
                    name: detect::technique(id).map_or("", |technique| technique.name).into(),
                })
                .collect(),
        }
    }
}

/// An incident in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentRow {
    /// Its id.
    #[schema(example = "i0123456789ab")]
    pub id: String,
    /// How bad it is.
    pub severity: Level,
    /// What it is, in one line.
    pub title: String,
    /// How far it has come: a tactic of MITRE ATT&CK.
    pub stage: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub first: String,
    /// When it was last seen.
    #[schema(format = DateTime)]
    pub last: String,
    /// Who attacks.
    pub actors: Vec<PartyView>,
    /// Who was attacked.
    pub victims: Vec<PartyView>,
    /// How many findings it has.
    pub findings: u64,
    /// How many of them are open: nobody has said that they are expected or false.
    pub open: u64,
    /// The one thing to do first.
    pub response: String,
}

impl IncidentRow {
    /// The fields that a list may be asked for.
    pub const FIELDS: &[&str] = &[
        "id", "severity", "title", "stage", "first", "last", "actors", "victims", "findings", "open",
        "response",
    ];

    pub(crate) fn of(incident: &Incident, estate: &Estate) -> Self {
        let parties = |all: &[Party]| all.iter().map(|party| PartyView::of(party, estate)).collect();
        let is_open =
            |id: &&model::FindingId| estate.finding(**id).is_some_and(|finding| !finding.is_silenced());
        Self {
            id: incident.id.to_string(),
            severity: incident.severity.into(),
            title: incident.title.to_string(),
            stage: incident.stage.to_string(),
            first: incident.first.to_string(),
            last: incident.last.to_string(),
            actors: parties(&incident.actors),
            victims: parties(&incident.victims),
            findings: incident.findings.len() as u64,
            open: incident.findings.iter().filter(is_open).count() as u64,
            response: incident.response.to_string(),
        }
    }
}

/// Where an attacker is likely to go next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextView {
    /// From where.
    pub from: PartyView,
    /// To where.
    pub to: PartyView,
    /// By which service.
    pub service: String,
    /// How likely, compared with the others: from 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub weight: f64,
    /// Why.
    pub reason: String,
}

/// Everything about one incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentView {
    /// As in a list.
    #[serde(flatten)]
    pub row: IncidentRow,
    /// Its findings, in the order in which they were raised.
    pub timeline: Vec<FindingRow>,
    /// Where it is likely to go next, the most likely first.
    pub next: Vec<NextView>,
}

impl IncidentView {
    pub(crate) fn of(incident: &Incident, estate: &Estate) -> Self {
        let next = |step: &NextStep| NextView {
            from: PartyView::of(&step.from, estate),
            to: PartyView::of(&step.to, estate),
            service: step.service.to_string(),
            weight: step.weight,
            reason: step.reason.to_string(),
        };
        let findings = incident.findings.iter().filter_map(|id| estate.finding(*id));
        Self {
            row: IncidentRow::of(incident, estate),
            timeline: findings.map(|finding| FindingRow::of(finding, estate)).collect(),
            next: incident.next.iter().map(next).collect(),
        }
    }
}

/// One end of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndView {
    /// Its network address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<String>,
    /// Its link-layer address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<String>,
    /// Its port; 0 where the transport has none.
    pub port: u16,
}

/// What one end sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeView {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes above the transport header.
    pub payload: u64,
}

/// A conversation, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowView {
    /// Names the conversation; parts of a long one share it.
    pub id: String,
    /// What carries it.
    #[schema(example = "tcp")]
    pub transport: String,
    /// Its protocol, where one was recognised.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// Its VLAN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vlan: Option<u16>,
    /// The end that opened it.
    pub client: EndView,
    /// The end that was asked.
    pub server: EndView,
    /// When it began.
    #[schema(format = DateTime)]
    pub first: String,
    /// When it was last seen.
    #[schema(format = DateTime)]
    pub last: String,
    /// What the client sent.
    pub sent: VolumeView,
    /// What the server sent.
    pub received: VolumeView,
    /// Where a TCP conversation stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "established")]
    pub state: Option<String>,
    /// Why its record was closed.
    #[schema(example = "finished")]
    pub end: String,
}

impl FlowView {
    /// The fields that a list may be asked for.
    pub const FIELDS: &[&str] = &[
        "id",
        "transport",
        "protocol",
        "vlan",
        "client",
        "server",
        "first",
        "last",
        "sent",
        "received",
        "state",
        "end",
    ];
}

impl From<&FlowRecord> for FlowView {
    fn from(flow: &FlowRecord) -> Self {
        let end = |end: &model::Endpoint| EndView {
            ip: end.host.ip.map(|ip| ip.to_string()),
            mac: end.host.mac.map(|mac| mac.to_string()),
            port: end.port,
        };
        let volume =
            |of: model::Volume| VolumeView { packets: of.packets, bytes: of.bytes, payload: of.payload };
        let state = |state| match state {
            TcpState::SynSent => "syn-sent",
            TcpState::SynReceived => "syn-received",
            TcpState::Established => "established",
            TcpState::Closing => "closing",
            TcpState::Closed => "closed",
            TcpState::Reset => "reset",
            TcpState::Refused => "refused",
            TcpState::Midstream => "midstream",
        };
        let closed = match flow.end {
            EndReason::Finished => "finished",
            EndReason::Idle => "idle",
            EndReason::Active => "active",
            EndReason::Evicted => "evicted",
            EndReason::SourceEnd => "source-end",
        };
        Self {
            id: flow.head.id.to_string(),
            transport: flow.head.transport.to_string(),
            protocol: flow.protocol.as_deref().map(str::to_owned),
            vlan: flow.head.vlan,
            client: end(&flow.head.client),
            server: end(&flow.head.server),
            first: flow.first.to_string(),
            last: flow.last.to_string(),
            sent: volume(flow.sent),
            received: volume(flow.received),
            state: flow.tcp.map(|tcp| state(tcp.state).to_owned()),
            end: closed.into(),
        }
    }
}
