//! What is told, and its words for each kind of receiver.

use std::sync::Arc;

use enforce::notify::{
    Alert, Mark, Reporter, Technique, Told, carried, cef, detection_finding, eve, incident_finding, leef,
    otlp_record, syslog,
};
use model::{ActionTaken, Change, Event, Finding, FlowHead, Incident, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Letter;
use crate::mail;

/// By which techniques of MITRE ATT&CK a detector's findings go: whoever knows the detectors says so.
pub type Catalogue = fn(detector: &str) -> Vec<Technique>;

/// What is told of.
#[derive(Clone, Debug)]
pub enum About {
    /// Something was done about an incident, or asked, refused, undone.
    Action {
        /// What, as `pavise watch --json` tells it.
        event: Arc<Event>,
        /// The incident that it is about.
        incident: Option<Arc<Incident>>,
    },
    /// A finding, with what an analyst has said of it.
    Finding {
        /// The finding.
        finding: Arc<Finding>,
        /// A conversation that shows it, if its ends are known by now.
        conversation: Option<Arc<FlowHead>>,
    },
    /// An incident.
    Incident(Arc<Incident>),
}

/// Why a finding or an incident is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was not told before.
    Raised,
    /// It is more severe than when it was told last, or, of an incident, has come further.
    Worse,
    /// An analyst has judged it, or has taken a verdict back.
    Judged,
}

impl Reason {
    /// The name as it stands in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Worse => "worse",
            Self::Judged => "judged",
        }
    }
}

/// Something that is told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Names it, the same however often it is sent: `msg_` and 32 hexadecimal digits.
    pub id: String,
    /// What it is about.
    pub about: About,
    /// Why it is told; of an action it is what came of it.
    pub reason: Option<Reason>,
    /// What happened, in a few words.
    pub headline: Arc<str>,
    /// The same with all that belongs to it.
    pub text: Arc<str>,
}

impl Notice {
    /// Of something that was done. `seed` is that of the outbox ([`crate::Outbox::seed`]).
    pub fn action(
        seed: u64,
        event: Arc<Event>,
        incident: Option<Arc<Incident>>,
        headline: Arc<str>,
        text: Arc<str>,
    ) -> Self {
        let told = serde_json::to_string(&*event).unwrap_or_default();
        Self {
            id: message_id(seed, &told),
            about: About::Action { event, incident },
            reason: None,
            headline,
            text,
        }
    }

    /// Of a finding; what came before it of this finding has another `revision`.
    pub fn finding(
        seed: u64,
        finding: Arc<Finding>,
        conversation: Option<Arc<FlowHead>>,
        reason: Reason,
        revision: u32,
    ) -> Self {
        let told = format!("{} {revision} {}", finding.id, reason.name());
        let mut headline = format!("{}: {}", finding.title, finding.actor);
        if let Some(victim) = &finding.victim {
            headline += &format!(" to {victim}");
        }
        if reason != Reason::Raised {
            headline +=
                &format!(" ({})", said(reason, finding.judgement.as_ref().map(|said| said.verdict.name())));
        }
        let text = (*finding.summary).into();
        let about = About::Finding { finding, conversation };
        Self { id: message_id(seed, &told), about, reason: Some(reason), headline: headline.into(), text }
    }

    /// Of an incident; what came before it of this incident has another `revision`.
    pub fn incident(seed: u64, incident: Arc<Incident>, reason: Reason, revision: u32) -> Self {
        let told = format!("{} {revision} {}", incident.id, reason.name());
        let mut headline = incident.title.to_string();
        if reason != Reason::Raised {
            headline += &format!(" ({})", said(reason, None));
        }
        let text = (*incident.response).into();
        let (id, about) = (message_id(seed, &told), About::Incident(incident));
        Self { id, about, reason: Some(reason), headline: headline.into(), text }
    }

    /// What was done, if it is about that.
    pub(crate) fn taken(&self) -> Option<&ActionTaken> {
        match &self.about {
            About::Action { event, .. } => match &event.change {
                Change::ActionTaken { action } => Some(action),
                _ => None,
            },
            _ => None,
        }
    }

    /// The incident that an action is about, with what was done as its response.
    fn answered(&self) -> Option<Incident> {
        match &self.about {
            About::Action { incident, .. } => {
                Some(Incident { response: (*self.text).into(), ..(**incident.as_ref()?).clone() })
            }
            _ => None,
        }
    }

    /// How severe it is, where that can be said.
    pub(crate) fn severity(&self) -> Option<Severity> {
        match &self.about {
            About::Action { incident, .. } => incident.as_ref().map(|incident| incident.severity),
            About::Finding { finding, .. } => Some(finding.severity),
            About::Incident(incident) => Some(incident.severity),
        }
    }

    fn change(&self) -> &str {
        match self.reason {
            Some(reason) => reason.name(),
            None => self.taken().map_or("told", |taken| &*taken.outcome),
        }
    }

    fn mark(&self) -> Mark<'_> {
        Mark { id: &self.id, change: self.change() }
    }

    /// Hands it to somebody as a finding or an incident, if it can be told as such.
    fn told<T>(&self, tell: impl FnOnce(Told<'_>) -> T) -> Option<T> {
        match &self.about {
            About::Action { .. } => self.answered().map(|incident| tell(Told::Incident(&incident))),
            About::Finding { finding, .. } => Some(tell(Told::Finding(finding))),
            About::Incident(incident) => Some(tell(Told::Incident(incident))),
        }
    }

    /// As Pavise's own JSON tells it: an event, with what is told about the message in `told`.
    fn event(&self) -> Option<String> {
        let event = match &self.about {
            About::Action { event, .. } => return serde_json::to_string(&**event).ok(),
            About::Finding { finding, .. } => {
                json!({ "at": finding.last, "event": "finding", "finding": **finding })
            }
            About::Incident(incident) => {
                json!({ "at": incident.last, "event": "incident", "incident": **incident })
            }
        };
        let mut event = event;
        event["told"] = json!({ "id": self.id, "change": self.change() });
        Some(event.to_string())
    }

    fn ocsf(&self, reporter: Reporter<'_>) -> Option<String> {
        let is_new = self.reason == Some(Reason::Raised);
        let mut out = self.told(|told| match told {
            Told::Finding(finding) => detection_finding(finding, reporter, is_new),
            Told::Incident(incident) => incident_finding(incident, reporter, is_new),
        })?;
        // `metadata.uid` names the event; what it is about is named by `finding_info.uid`.
        out["metadata"]["uid"] = self.id.as_str().into();
        Some(out.to_string())
    }

    fn eve(&self, reporter: Reporter<'_>, catalogue: Catalogue) -> Option<String> {
        let (conversation, techniques) = match &self.about {
            About::Finding { finding, conversation } => {
                (conversation.as_deref(), catalogue(&finding.detector))
            }
            _ => (None, Vec::new()),
        };
        let alert = Alert { mark: Some(self.mark()), techniques: &techniques, conversation };
        self.told(|told| eve(told, reporter, &alert)).map(|value: Value| value.to_string())
    }
}

fn said(reason: Reason, verdict: Option<&str>) -> String {
    match (reason, verdict) {
        (Reason::Judged, Some(verdict)) => format!("judged {verdict}"),
        (Reason::Judged, None) => "verdict taken back".to_owned(),
        (reason, _) => reason.name().to_owned(),
    }
}

/// Names a message of this outbox.
fn message_id(seed: u64, told: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(seed.to_be_bytes());
    digest.update(told.as_bytes());
    digest.finalize().iter().take(16).fold(String::from("msg_"), |text, byte| format!("{text}{byte:02x}"))
}

/// What a syslog message says it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// Structured data of RFC 5424, and a sentence.
    #[default]
    Rfc5424,
    /// The Common Event Format.
    Cef,
    /// The Log Event Extended Format 2.0.
    Leef,
}

/// The words in which JSON is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Json {
    /// The event, as `pavise watch --json` tells it.
    #[default]
    Action,
    /// The finding, or the incident with what was done about it, as findings of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// An alert in the shape of Suricata's EVE.
    Eve,
}

/// In whose words a receiver is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Syslog(Format),
    Json(Json),
    /// A log record of OTLP.
    Record,
    /// A mail for people.
    Mail,
}

/// Puts what is told into a receiver's words.
#[derive(Clone, Debug)]
pub struct Packer {
    pub(crate) words: Words,
    pub(crate) catalogue: Catalogue,
    /// Who tells it.
    pub(crate) host: Arc<str>,
}

impl Packer {
    /// Whether it says which conversation shows a finding.
    pub(crate) fn names_conversations(&self) -> bool {
        self.words == Words::Json(Json::Eve)
    }

    /// What is sent, if it can be said in these words at all: syslog and OCSF, for example, know actions only as what was done
    /// about an incident.
    pub fn pack(&self, notice: &Notice) -> Option<Letter> {
        let reporter = Reporter { host: &self.host, version: env!("CARGO_PKG_VERSION") };
        let mark = Some(notice.mark());
        let body = match self.words {
            Words::Syslog(format) => notice.told(|told| match format {
                Format::Rfc5424 => syslog(told, reporter, mark),
                Format::Cef => carried(told, reporter, mark, &cef(told, reporter)),
                Format::Leef => carried(told, reporter, mark, &leef(told, reporter)),
            }),
            Words::Json(Json::Action) => notice.event(),
            Words::Json(Json::Ocsf) => notice.ocsf(reporter),
            Words::Json(Json::Eve) => notice.eve(reporter, self.catalogue),
            Words::Record => notice.told(|told| otlp_record(told, mark).to_string()),
            Words::Mail => mail::written(notice, &self.host),
        };
        Some(Letter { id: notice.id.clone(), body: body? })
    }
}
