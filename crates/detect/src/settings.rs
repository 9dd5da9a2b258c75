//! How the detectors are set: thresholds, what is switched off, what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use model::{Host, MacAddr, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::detectors::DETECTORS;
use crate::intel::Indicators;

/// Everything that can be set. What is not set is as each detector's descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Thresholds for everybody, by `detector.threshold`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f64>,
    /// Detectors that are switched off.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub off: BTreeSet<String>,
    /// Thresholds and detectors for some; of several that match, the later one holds.
    #[serde(default, rename = "scope", skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scoped>,
    /// What is meant to happen: an authorised scanner, a maintenance window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Expected>,
    /// Indicators that others have found; they come from files of their own.
    #[serde(skip)]
    pub indicators: Arc<Indicators>,
}

/// Settings for some hosts only. What is not given does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoped {
    /// For addresses in this network: a zone, a site, one device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// For this link-layer address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// For devices that play this part: `plc`, `camera`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// For devices of this type: `ip camera`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Thresholds, by `detector.threshold`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f64>,
    /// Detectors that are switched off.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub off: BTreeSet<String>,
}

/// Something that is meant to happen. What is not given does not restrict, but something must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Who may do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Network>,
    /// To whom it may be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<Network>,
    /// Which detectors may be right about it; all if none is named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub detectors: BTreeSet<String>,
    /// From when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why: it stands with what is silenced by it.
    pub reason: String,
}

/// A network in CIDR notation (RFC 4632), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (bits, of, width) = match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => (u128::from(network.to_bits()), ip.to_bits().into(), 32),
            (IpAddr::V6(network), IpAddr::V6(ip)) => (network.to_bits(), ip.to_bits(), 128),
            _ => return false,
        };
        let shift = width - u32::from(self.length);
        shift == 128 || bits >> shift == of >> shift
    }
}

/// The text is not a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(String);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network: expected an address such as 10.0.0.5 or a network such as 10.0.0.0/24",
            self.0
        )
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.into());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(most);
        if length > most { Err(wrong()) } else { Ok(Self { address, length }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.length) {
            (IpAddr::V4(ip), 32) => ip.fmt(f),
            (IpAddr::V6(ip), 128) => ip.fmt(f),
            (ip, length) => write!(f, "{ip}/{length}"),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Settings name something that does not exist, or restrict nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Whether everything that is named exists.
    pub fn check(&self) -> Result<(), SettingsError> {
        let thresholds = self.scopes.iter().map(|scope| &scope.thresholds).chain([&self.thresholds]);
        for (name, value) in thresholds.flatten() {
            if find(name).is_none() {
                return Err(SettingsError(format!(
                    "no threshold is called {name:?}: `pavise detectors` lists those that are"
                )));
            }
            if !value.is_finite() || *value < 0.0 {
                return Err(SettingsError(format!("the threshold {name} cannot be {value}")));
            }
        }
        let scopes = self.scopes.iter().flat_map(|scope| &scope.off);
        let expected = self.expected.iter().flat_map(|expected| &expected.detectors);
        for name in scopes.chain(expected).chain(&self.off) {
            if !DETECTORS.iter().any(|rule| rule.id == name) {
                return Err(SettingsError(format!(
                    "no detector is called {name:?}: `pavise detectors` lists those that are"
                )));
            }
        }
        for expected in &self.expected {
            if expected.actor.is_none() && expected.victim.is_none() && expected.detectors.is_empty() {
                return Err(SettingsError(format!(
                    "what is expected ({:?}) needs an actor, a victim or detectors",
                    expected.reason
                )));
            }
        }
        Ok(())
    }
}

/// The detector and the threshold of a name such as `host-scan.failures`.
fn find(name: &str) -> Option<(usize, usize)> {
    let (detector, threshold) = name.split_once('.')?;
    let rule = DETECTORS.iter().position(|rule| rule.id == detector)?;
    let threshold = DETECTORS[rule].thresholds.iter().position(|known| known.name == threshold)?;
    Some((rule, threshold))
}

impl Expected {
    /// Whether what a detector found is meant to happen.
    pub(crate) fn covers(&self, detector: &str, actor: &Host, victim: Option<&Host>, at: Timestamp) -> bool {
        let within = |network: &Option<Network>, host: Option<&Host>| {
            network.is_none_or(|network| host.and_then(|host| host.ip).is_some_and(|ip| network.contains(ip)))
        };
        (self.detectors.is_empty() || self.detectors.contains(detector))
            && within(&self.actor, Some(actor))
            && within(&self.victim, victim)
            && self.from.is_none_or(|from| at >= from)
            && self.until.is_none_or(|until| at <= until)
    }
}

/// Settings as detectors ask for them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// By detector, then by threshold.
    usual: Vec<Vec<f64>>,
    on: Vec<bool>,
    settings: Settings,
}

impl Limits {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut usual: Vec<Vec<f64>> = DETECTORS
            .iter()
            .map(|rule| rule.thresholds.iter().map(|threshold| threshold.usual).collect())
            .collect();
        for (name, value) in &settings.thresholds {
            if let Some((rule, threshold)) = find(name) {
                usual[rule][threshold] = *value;
            }
        }
        let on = DETECTORS.iter().map(|rule| !settings.off.contains(rule.id)).collect();
        Self { usual, on, settings }
    }

    pub(crate) fn is_on(&self, rule: usize) -> bool {
        self.on[rule]
    }

    /// Whether nothing is set for some hosts only.
    pub(crate) fn are_plain(&self) -> bool {
        self.settings.scopes.is_empty()
    }

    /// A threshold for everybody.
    pub(crate) fn usual(&self, rule: usize, threshold: usize) -> f64 {
        self.usual[rule][threshold]
    }

    /// The scopes that match a host, the one that holds first.
    pub(crate) fn scopes<'a>(
        &'a self,
        host: &'a Host,
        role: Option<&'a str>,
        kind: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Scoped> {
        self.settings.scopes.iter().rev().filter(move |scope| {
            scope.network.is_none_or(|network| host.ip.is_some_and(|ip| network.contains(ip)))
                && scope.mac.is_none_or(|mac| host.mac == Some(mac))
                && scope.role.as_deref().is_none_or(|wanted| role == Some(wanted))
                && scope.kind.as_deref().is_none_or(|wanted| kind == Some(wanted))
        })
    }

    pub(crate) fn indicators(&self) -> &Indicators {
        &self.settings.indicators
    }

    pub(crate) fn expected(&self) -> &[Expected] {
        &self.settings.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_lies_in_them() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/24").contains(ip("10.0.0.255")));
        assert!(!network("10.0.0.0/24").contains(ip("10.0.1.0")));
        assert!(
            network("10.0.0.7").contains(ip("10.0.0.7")) && !network("10.0.0.7").contains(ip("10.0.0.6"))
        );
        assert!(network("0.0.0.0/0").contains(ip("8.8.8.8")) && !network("0.0.0.0/0").contains(ip("::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")) && network("fd00::/8").contains(ip("fd12::1")));
        for bad in ["", "10.0.0.0/33", "10.0.0", "10.0.0.0/", "::/129", "a/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        let set =
            |name: &str, value| Settings { thresholds: [(name.into(), value)].into(), ..Settings::default() };
        assert_eq!(set("host-scan.failures", 3.0).check(), Ok(()));
        assert!(set("host-scan.nothing", 3.0).check().is_err());
        assert!(set("host-scan.failures", f64::NAN).check().is_err());
        let off = Settings { off: ["no-such".into()].into(), ..Settings::default() };
        assert!(off.check().unwrap_err().to_string().contains("no-such"));
    }
}
