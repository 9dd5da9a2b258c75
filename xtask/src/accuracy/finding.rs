//! What Pavise said, as it prints it.

use std::collections::{BTreeMap, BTreeSet};

use model::{FlowId, Timestamp};
use serde_json::Value;

use super::label::{Name, Span};
use crate::run::Failure;

/// Severities as they grow.
pub(crate) const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// A finding lists at most so many conversations, so a list of that length may be cut.
pub(crate) const CONVERSATIONS_MAX: usize = 64;

/// The names of each device, by its id.
pub(crate) type Devices = BTreeMap<String, BTreeSet<Name>>;

/// A finding, as far as it can be compared with labels.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) detector: String,
    /// Its place in [`SEVERITIES`].
    pub(crate) severity: usize,
    pub(crate) span: Span,
    /// When it could be known.
    pub(crate) raised: Timestamp,
    /// The names of its actor and of its victim, those of their devices among them; sides without a
    /// name are left out.
    pub(crate) sides: Vec<BTreeSet<Name>>,
    pub(crate) conversations: BTreeSet<FlowId>,
}

impl Finding {
    /// Reads what `pavise findings --json` prints.
    pub(crate) fn read_all(text: &str, devices: &Devices) -> Result<Vec<Self>, Failure> {
        let all: Vec<Value> = serde_json::from_str(text)?;
        all.iter().map(|value| Self::read(value, devices)).collect()
    }

    /// Reads one of them.
    fn read(value: &Value, devices: &Devices) -> Result<Self, Failure> {
        let severity = value["severity"].as_str().unwrap_or_default();
        let severity = SEVERITIES
            .iter()
            .position(|known| *known == severity)
            .ok_or_else(|| Failure(format!("no severity of a finding: {severity:?}")))?;
        // On a bus nobody has an address: the identifier is the matter.
        let matter = value["matter"].as_str().and_then(|matter| Name::read(&format!("0x{matter}")));
        let is_bus = value["actor"].as_object().is_some_and(serde_json::Map::is_empty);
        let bus = matter.filter(|_| is_bus).map(|name| BTreeSet::from([name]));
        let sides = ["actor", "victim"].iter().map(|side| names(&value[*side], devices)).chain(bus);
        Ok(Self {
            detector: value["detector"].as_str().unwrap_or_default().to_owned(),
            severity,
            span: Span { first: time(&value["first"])?, last: time(&value["last"])? },
            raised: time(&value["raised"]).or_else(|_| time(&value["first"]))?,
            sides: sides.filter(|names| !names.is_empty()).collect(),
            conversations: serde_json::from_value::<Option<Vec<FlowId>>>(value["conversations"].clone())?
                .into_iter()
                .flatten()
                .collect(),
        })
    }

    /// Whether its actor or its victim has this name.
    pub(crate) fn names(&self, name: &Name) -> bool {
        self.sides.iter().any(|side| side.contains(name))
    }

    /// Whether all conversations are listed.
    pub(crate) fn lists_all(&self) -> bool {
        (1..CONVERSATIONS_MAX).contains(&self.conversations.len())
    }
}

fn time(value: &Value) -> Result<Timestamp, Failure> {
    Ok(serde_json::from_value(value.clone())?)
}

fn names(side: &Value, devices: &Devices) -> BTreeSet<Name> {
    let hosts = ["ip", "mac"].iter().filter_map(|key| side[*key].as_str().and_then(Name::read));
    let device = side["device"].as_str().and_then(|id| devices.get(id));
    hosts.chain(device.into_iter().flatten().copied()).collect()
}

/// One line of what `pavise watch --scores` writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Score {
    pub(crate) at: Timestamp,
    pub(crate) flow: Option<FlowId>,
    pub(crate) device: Option<String>,
    /// 0 for what is usual, 1 for what is most unusual.
    pub(crate) score: f64,
}

impl Score {
    /// Reads one line.
    pub(crate) fn read(line: &str) -> Result<Self, Failure> {
        let value: Value = serde_json::from_str(line)?;
        Ok(Self {
            at: time(&value["at"])?,
            flow: serde_json::from_value(value["flow"].clone())?,
            device: value["device"].as_str().map(str::to_owned),
            score: value["score"].as_f64().ok_or_else(|| Failure(format!("no score in {line}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_the_names_of_its_hosts_and_of_their_devices() {
        let mac = Name::read("02:00:00:00:00:01").unwrap();
        let devices = Devices::from([("d1".to_owned(), [mac].into())]);
        let text = r#"[{"id":"f1","detector":"scan","severity":"high","title":"","summary":"",
            "actor":{"device":"d1","ip":"10.0.0.1"},"first":"1970-01-01T00:00:01Z",
            "last":"1970-01-01T00:00:02Z","count":3,"conversations":["00000000000000ff"]}]"#;
        let all = Finding::read_all(text, &devices).map_err(|failure| failure.0).unwrap();
        let finding = &all[0];
        assert_eq!(finding.sides, [[Name::read("10.0.0.1").unwrap(), mac].into()]);
        assert!(finding.names(&mac));
        assert_eq!((finding.severity, finding.detector.as_str()), (3, "scan"));
        assert_eq!(finding.raised, finding.span.first);
        let told = text.replace(r#""count""#, r#""raised":"1970-01-01T00:00:02Z","count""#);
        let all = Finding::read_all(&told, &devices).map_err(|failure| failure.0).unwrap();
        assert_eq!(all[0].raised, Timestamp::from_secs(2));
        assert_eq!(finding.conversations, [FlowId(255)].into());
        assert!(finding.lists_all());
        assert!(Finding::read_all(&text.replace("high", "grave"), &devices).is_err());
        assert!(Finding::read_all("{}", &devices).is_err());
        let bus = text.replace(r#"{"device":"d1","ip":"10.0.0.1"}"#, r#"{},"matter":"0E5""#);
        let all = Finding::read_all(&bus, &devices).map_err(|failure| failure.0).unwrap();
        assert!(all[0].names(&Name::read("0xe5").unwrap()));
    }

    #[test]
    fn a_score_is_of_a_conversation_of_a_device_or_of_all() {
        let read = |text| Score::read(text).map_err(|failure| failure.0);
        let score = read(r#"{"at":"1970-01-01T00:00:01Z","flow":null,"device":"d1","score":0.5}"#).unwrap();
        assert_eq!((score.flow, score.device.as_deref(), score.score), (None, Some("d1"), 0.5));
        assert!(read(r#"{"at":"1970-01-01T00:00:01Z"}"#).is_err());
    }
}
