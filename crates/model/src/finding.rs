//! What is wrong, how we know, and what to do about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{DeviceId, FlowId, Host, Name, Timestamp};

/// So many low bits of a finding's or incident's number are used.
const BITS: u32 = 48;

/// A number as text: a letter and 12 hexadecimal digits.
fn parse(text: &str, letter: char) -> Option<u64> {
    let digits = text.strip_prefix(letter).filter(|digits| digits.len() == 12)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Declares an id that is 48 bits of a digest, with its letter.
macro_rules! id {
    ($(#[$about:meta])* $name:ident, $letter:literal, $error:ident, $what:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id of a digest, of which the low 48 bits are used.
            pub const fn from_digest(digest: u64) -> Self {
                Self(digest & ((1 << BITS) - 1))
            }

            /// The id as a number below 2⁴⁸.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{:012x}"), self.0)
            }
        }

        #[doc = concat!("The text is not ", $what, ".")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $error;

        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!("not ", $what, ": expected ", $letter, " and 12 hexadecimal digits"))
            }
        }

        impl std::error::Error for $error {}

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                parse(text, $letter).map(Self).ok_or($error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id! {
    /// Names a finding for good: a digest of the detector, of who did it to whom, and of the matter. The same
    /// packets give the same id, today or in a replay next year.
    FindingId, 'f', FindingIdError, "a finding's id"
}

id! {
    /// Names an incident for good: a digest of the finding with which it began.
    IncidentId, 'i', IncidentIdError, "an incident's id"
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// A weakness, or something unusual that is harmless by itself.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now: an attack is likely.
    High,
    /// An attack has reached its aim, or lives or processes are in danger.
    Critical,
}

impl Severity {
    /// All, from the least.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name as it stands in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who has a part in a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The device, where one was known when the finding was raised.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<DeviceId>,
    /// The addresses under which it took part.
    #[serde(flatten)]
    pub host: Host,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)
    }
}

/// A limit that was crossed, and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossed {
    /// Which threshold, by the name under which it can be set.
    pub threshold: Name,
    /// What it is set to for this device.
    pub limit: f64,
    /// What was seen.
    pub seen: f64,
    /// In what it is measured.
    pub unit: Name,
    /// For whom the settings have set it so: a zone, a network, the site; nothing where it is as the detector says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set_for: Option<Box<str>>,
}

/// One of the things that made something look wrong, and what would have been usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// What was looked at.
    pub name: Name,
    /// What was seen.
    pub seen: Box<str>,
    /// What would have been normal.
    pub usual: Box<str>,
}

/// The packets that show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Slice {
    /// They are still being gathered.
    #[default]
    Open,
    /// They are kept.
    Kept {
        /// How many.
        packets: u64,
        /// SHA-256 of the capture file that holds them, in hexadecimal digits.
        sha256: Box<str>,
        /// Whether they yield the finding by themselves: they were played to a Pavise that knew nothing else. If
        /// not, it takes what was learnt before, or more packets than were kept.
        replays: bool,
    },
    /// They were not kept, and why.
    Missing {
        /// Why.
        reason: Box<str>,
    },
}

/// What an analyst says of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is what it says.
    True,
    /// It happened, and it is meant to.
    Expected,
    /// It did not happen, or it is not what it says.
    False,
}

impl Verdict {
    /// The name as it stands in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Expected => "expected",
            Self::False => "false",
        }
    }

    /// Whether what it is said of is no longer to be told.
    pub const fn silences(self) -> bool {
        matches!(self, Self::Expected | Self::False)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// For what a verdict holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
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

impl Scope {
    /// Whether a verdict on one finding holds for another one, too.
    pub fn covers(self, one: About<'_>, other: About<'_>) -> bool {
        let ((detector, actor, victim), (other, its_actor, its_victim)) = (one, other);
        detector == other
            && match self {
                Self::Finding => false,
                Self::Actor => actor.is_same(its_actor),
                Self::Victim => {
                    victim.zip(its_victim).is_some_and(|(victim, its_victim)| victim.is_same(its_victim))
                }
                Self::Detector => true,
            }
    }

    /// The name as it stands in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Actor => "actor",
            Self::Victim => "victim",
            Self::Detector => "detector",
        }
    }
}

/// An analyst's verdict, for what it holds, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// For what it holds.
    pub scope: Scope,
    /// Why, in the analyst's words.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub reason: Box<str>,
    /// The finding of which it was said, where that is another one whose scope covers this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<FindingId>,
    /// Whether nobody said so, but the settings declare it as expected: it holds as long as they do.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub declared: bool,
}

/// What a verdict on a finding goes by: its detector, its actor and its victim.
pub type About<'a> = (&'a str, &'a Host, Option<&'a Host>);

/// Something that is wrong. Repetitions count up, they do not repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// The detector that found it.
    pub detector: Name,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub title: Name,
    /// What happened here, in one sentence.
    pub summary: Box<str>,
    /// Who did it, or whose state is wrong.
    pub actor: Party,
    /// To whom it was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub victim: Option<Party>,
    /// What else tells it from others of its kind: a port, a block, a domain.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub matter: Box<str>,
    /// When what shows it began.
    pub first: Timestamp,
    /// When there was enough to say so.
    pub raised: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
    /// The threshold that was crossed, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crossed: Option<Crossed>,
    /// What drove it, the most important first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub factors: Vec<Factor>,
    /// Conversations that show it, the first ones of them.
    pub conversations: Vec<FlowId>,
    /// The packets that show it.
    #[serde(default)]
    pub evidence: Slice,
    /// The incident of which it is a part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentId>,
    /// The findings because of which it is told, and without which it would not be: at most [`Finding::MAX_CAUSES`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub because: Vec<FindingId>,
    /// What an analyst has said of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judgement: Option<Judgement>,
}

impl Finding {
    /// So many findings are named because of which one is told.
    pub const MAX_CAUSES: usize = 8;

    /// What follows for it from what is `said` of the findings because of which it is told: when none of them stands any
    /// more, it does not either. One of which nothing is known stands.
    pub fn withdrawn<'a>(&self, said: impl Fn(FindingId) -> Option<&'a Judgement>) -> Option<Judgement> {
        let withdraws = |id: &FindingId| said(*id).filter(|said| said.verdict.silences());
        let first = *self.because.first()?;
        let said = withdraws(&first)?;
        let falls = self.because.iter().all(|id| withdraws(id).is_some());
        falls.then(|| Judgement { scope: Scope::Finding, by: Some(first), declared: false, ..said.clone() })
    }

    /// What verdicts go by.
    pub fn about(&self) -> About<'_> {
        (&self.detector, &self.actor.host, self.victim.as_ref().map(|victim| &victim.host))
    }

    /// Whether somebody has said that it is expected or false.
    pub fn is_silenced(&self) -> bool {
        self.judgement.as_ref().is_some_and(|judgement| judgement.verdict.silences())
    }
}

/// Where an attacker is likely to go next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextStep {
    /// From where.
    pub from: Party,
    /// To where.
    pub to: Party,
    /// By which service.
    pub service: Box<str>,
    /// How likely, compared with the others: from 0 to 1.
    pub weight: f64,
    /// Why.
    pub reason: Box<str>,
}

/// Findings that belong together: one actor, one victim, or one leads to the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// That of its worst finding; one more if it has gone through three stages or more.
    pub severity: Severity,
    /// What it is, in one line.
    pub title: Box<str>,
    /// How far it has come: the latest tactic of MITRE ATT&CK among its findings.
    pub stage: Name,
    /// When its first finding began.
    pub first: Timestamp,
    /// When its last finding was last seen.
    pub last: Timestamp,
    /// Its findings, in the order in which they were raised: its timeline.
    pub findings: Vec<FindingId>,
    /// Who attacks.
    pub actors: Vec<Party>,
    /// Who was attacked: the blast radius so far.
    pub victims: Vec<Party>,
    /// The one thing to do first.
    pub response: Box<str>,
    /// Where it is likely to go next, the most likely first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub next: Vec<NextStep>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_from_their_text_and_nonsense_is_refused() {
        let id = FindingId::from_digest(0xffff_0123_4567_89ab);
        assert_eq!(id.to_string(), "f0123456789ab");
        assert_eq!("f0123456789ab".parse(), Ok(id));
        for bad in ["", "f", "i0123456789ab", "f0123456789", "f0123456789abc", "f0123456789xy"] {
            assert_eq!(bad.parse::<FindingId>(), Err(FindingIdError), "{bad}");
        }
        assert_eq!(serde_json::to_string(&IncidentId::from_digest(7)).unwrap(), "\"i000000000007\"");
    }
}
