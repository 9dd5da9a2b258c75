//! How the detectors are set: thresholds, what is switched off, what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use model::{Host, MacAddr, Role, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::detectors::{self, DETECTORS};
use crate::intel::Indicators;
use crate::rule::Rule;

/// Everything that can be set. What is not set is as each detector's descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the place is called, for whoever reads what was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Parts of the place that have a name, for scopes.
    #[serde(default, rename = "zone", skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
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

/// A part of the place that has a name: a cell, a floor, a security zone in the sense of IEC 62443-3-2. Whoever has an
/// address in one of the networks, or one of the link-layer addresses, or plays one of the roles is in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name: there is one zone of it.
    pub name: String,
    /// Networks and addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Link-layer addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<MacAddr>,
    /// Parts that devices play: `plc`, `camera`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
}

impl Zone {
    /// Whether a host that plays a part is in it.
    pub fn holds(&self, host: &Host, role: Option<&str>) -> bool {
        host.ip.is_some_and(|ip| self.networks.iter().any(|network| network.contains(ip)))
            || host.mac.is_some_and(|mac| self.macs.contains(&mac))
            || role.is_some_and(|role| self.roles.contains(role))
    }
}

/// Settings for some hosts only. What is not given does not restrict, but something must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoped {
    /// For whoever is in this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For addresses in this network, or for one address.
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

impl fmt::Display for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |what: &str, value: Option<&dyn fmt::Display>| value.map(|value| format!("{what} {value}"));
        let zone = self.zone.as_ref().map(|zone| zone as &dyn fmt::Display);
        let network = self.network.as_ref().map(|network| network as &dyn fmt::Display);
        let mac = self.mac.as_ref().map(|mac| mac as &dyn fmt::Display);
        let role = self.role.as_ref().map(|role| role as &dyn fmt::Display);
        let kind = self.kind.as_ref().map(|kind| kind as &dyn fmt::Display);
        let parts = [("zone", zone), ("network", network), ("MAC", mac), ("role", role), ("type", kind)];
        let parts: Vec<_> = parts.into_iter().filter_map(|(what, value)| of(what, value)).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Something that is meant to happen. What is not given does not restrict, but something must be. What is meant to happen
/// without an end is a habit, and counts as learnt; what is until some time is an exception.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Who may do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Network>,
    /// The zone of those who may do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_zone: Option<String>,
    /// To whom it may be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<Network>,
    /// The zone of those to whom it may be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim_zone: Option<String>,
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

/// One step towards a place in settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// A place in a list, counted from 0.
    Item(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(place: usize) -> Self {
        Self::Item(place)
    }
}

/// Settings name something that does not exist, or restrict nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// What is wrong.
    why: String,
    /// Where.
    place: Vec<Step>,
}

impl SettingsError {
    /// The way from the root of the settings to what is wrong.
    pub fn place(&self) -> &[Step] {
        &self.place
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for SettingsError {}

/// Refuses what is at a place.
fn refuse<const N: usize>(place: [Step; N], why: String) -> Result<(), SettingsError> {
    Err(SettingsError { why, place: place.into() })
}

impl Settings {
    /// Whether everything that is named exists, and everything that is to restrict does.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.check_zones()?;
        check_thresholds(&self.thresholds, &[])?;
        check_detectors(&self.off, &["off".into()])?;
        for (number, scope) in self.scopes.iter().enumerate() {
            let place = ["scope".into(), number.into()];
            if scope.to_string().is_empty() {
                let why = "a scope needs a zone, network, mac, role or type: what holds for everybody stands \
                           outside of scopes";
                return refuse(place, why.into());
            }
            self.check_zone(scope.zone.as_deref(), ["scope".into(), number.into(), "zone".into()])?;
            check_role(scope.role.as_deref(), &["scope".into(), number.into(), "role".into()])?;
            check_thresholds(&scope.thresholds, &place)?;
            check_detectors(&scope.off, &["scope".into(), number.into(), "off".into()])?;
        }
        for (number, expected) in self.expected.iter().enumerate() {
            check_detectors(&expected.detectors, &["expected".into(), number.into(), "detectors".into()])?;
            for (zone, key) in [(&expected.actor_zone, "actor_zone"), (&expected.victim_zone, "victim_zone")]
            {
                self.check_zone(zone.as_deref(), ["expected".into(), number.into(), key.into()])?;
            }
            let whom = [expected.actor.is_some(), expected.victim.is_some()];
            let zones = [expected.actor_zone.is_some(), expected.victim_zone.is_some()];
            if whom == [false; 2] && zones == [false; 2] && expected.detectors.is_empty() {
                let why = format!(
                    "what is expected ({:?}) needs an actor, a victim, a zone of either or detectors",
                    expected.reason
                );
                return refuse(["expected".into(), number.into()], why);
            }
        }
        Ok(())
    }

    fn check_zones(&self) -> Result<(), SettingsError> {
        for (number, zone) in self.zones.iter().enumerate() {
            let name = ["zone".into(), number.into(), "name".into()];
            if zone.name.trim().is_empty() {
                return refuse(name, "a zone needs a name".into());
            }
            if self.zone(&zone.name) != Some(number) {
                return refuse(name, format!("there are two zones called {:?}", zone.name));
            }
            if zone.networks.is_empty() && zone.macs.is_empty() && zone.roles.is_empty() {
                let why = format!("nobody is in the zone {:?}: it needs networks, macs or roles", zone.name);
                return refuse(["zone".into(), number.into()], why);
            }
            for role in &zone.roles {
                check_role(Some(role), &["zone".into(), number.into(), "roles".into()])?;
            }
        }
        Ok(())
    }

    /// Whether the zone that is named, if one is, exists.
    fn check_zone(&self, name: Option<&str>, place: [Step; 3]) -> Result<(), SettingsError> {
        let Some(name) = name.filter(|name| self.zone(name).is_none()) else { return Ok(()) };
        let known: Vec<_> = self.zones.iter().map(|zone| format!("{:?}", zone.name)).collect();
        let known = match known.is_empty() {
            true => "there are no zones; [[zone]] makes one".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        refuse(place, format!("no zone is called {name:?}: {known}"))
    }

    /// The place of the zone of that name.
    fn zone(&self, name: &str) -> Option<usize> {
        self.zones.iter().position(|zone| zone.name == name)
    }
}

fn check_role(role: Option<&str>, place: &[Step]) -> Result<(), SettingsError> {
    let Some(role) = role.filter(|name| !Role::ALL.iter().any(|role| role.name() == *name)) else {
        return Ok(());
    };
    let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    let why = format!("no role is called {role:?}: there are {}", known.join(", "));
    Err(SettingsError { why, place: place.into() })
}

fn check_thresholds(thresholds: &BTreeMap<String, f64>, within: &[Step]) -> Result<(), SettingsError> {
    for (name, value) in thresholds {
        let place = || within.iter().cloned().chain(["thresholds".into(), name.as_str().into()]).collect();
        if find(name).is_none() {
            let why = format!("no threshold is called {name:?}: `pavise detectors` lists those that are");
            return Err(SettingsError { why, place: place() });
        }
        if !value.is_finite() || *value < 0.0 {
            let why = format!("the threshold {name} cannot be {value}");
            return Err(SettingsError { why, place: place() });
        }
    }
    Ok(())
}

fn check_detectors(names: &BTreeSet<String>, place: &[Step]) -> Result<(), SettingsError> {
    match names.iter().find(|name| !DETECTORS.iter().any(|rule| rule.id == **name)) {
        Some(name) => {
            let why = format!("no detector is called {name:?}: `pavise detectors` lists those that are");
            Err(SettingsError { why, place: place.into() })
        }
        None => Ok(()),
    }
}

/// The detector and the threshold of a name such as `host-scan.failures`.
fn find(name: &str) -> Option<(usize, usize)> {
    let (detector, threshold) = name.split_once('.')?;
    let rule = DETECTORS.iter().position(|rule| rule.id == detector)?;
    let threshold = DETECTORS[rule].thresholds.iter().position(|known| known.name == threshold)?;
    Some((rule, threshold))
}

/// A host, and the part that it plays.
pub(crate) type Player<'a> = (&'a Host, Option<&'a str>);

impl Expected {
    /// Whether it is meant to happen for good.
    pub(crate) const fn is_habit(&self) -> bool {
        self.until.is_none()
    }

    /// Whether what a detector found is meant to happen.
    fn covers(
        &self,
        settings: &Settings,
        detector: &str,
        (actor, victim): (Player<'_>, Option<Player<'_>>),
        at: Timestamp,
    ) -> bool {
        let within = |network: &Option<Network>, zone: &Option<String>, player: Option<Player<'_>>| {
            let is_there = |network: &Network| {
                player.and_then(|(host, _)| host.ip).is_some_and(|ip| network.contains(ip))
            };
            // A zone that does not exist holds nobody.
            let is_in = |zone: &String| {
                let zone = settings.zone(zone).map(|place| &settings.zones[place]);
                player.zip(zone).is_some_and(|((host, role), zone)| zone.holds(host, role))
            };
            network.as_ref().is_none_or(is_there) && zone.as_ref().is_none_or(is_in)
        };
        (self.detectors.is_empty() || self.detectors.contains(detector))
            && within(&self.actor, &self.actor_zone, Some(actor))
            && within(&self.victim, &self.victim_zone, victim)
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
    /// The zone of each scope, by its place in the settings.
    zones: Vec<Option<usize>>,
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
        let zone_of = |scope: &Scoped| scope.zone.as_ref().and_then(|name| settings.zone(name));
        let zones = settings.scopes.iter().map(zone_of).collect();
        Self { usual, on, zones, settings }
    }

    pub(crate) fn is_on(&self, rule: usize) -> bool {
        self.on[rule]
    }

    /// Whether a detector has anything to judge by: others may have warned of nothing.
    pub(crate) fn has_use_for(&self, rule: &Rule) -> bool {
        rule.id != detectors::BY_WARNINGS || !self.indicators().is_empty()
    }

    /// Whether nothing is set for some hosts only.
    pub(crate) fn are_plain(&self) -> bool {
        self.settings.scopes.is_empty()
    }

    /// A threshold for everybody.
    pub(crate) fn usual(&self, rule: usize, threshold: usize) -> f64 {
        self.usual[rule][threshold]
    }

    /// For whom a threshold that holds for everybody is set, if it is not as the detector says.
    pub(crate) fn site(&self, threshold: &str) -> Option<String> {
        self.settings.thresholds.contains_key(threshold).then(|| match &self.settings.site {
            Some(name) => format!("site {name}"),
            None => "the whole site".into(),
        })
    }

    /// The scopes that match a host, the one that holds first.
    pub(crate) fn scopes<'a>(
        &'a self,
        host: &'a Host,
        role: Option<&'a str>,
        kind: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Scoped> {
        let scopes = self.settings.scopes.iter().zip(&self.zones).rev();
        let matching = scopes.filter(move |(scope, zone)| {
            // A zone that does not exist holds nobody.
            let is_there = |zone: usize| self.settings.zones[zone].holds(host, role);
            scope.zone.as_ref().is_none_or(|_| zone.is_some_and(is_there))
                && scope.network.is_none_or(|network| host.ip.is_some_and(|ip| network.contains(ip)))
                && scope.mac.is_none_or(|mac| host.mac == Some(mac))
                && scope.role.as_deref().is_none_or(|wanted| role == Some(wanted))
                && scope.kind.as_deref().is_none_or(|wanted| kind == Some(wanted))
        });
        matching.map(|(scope, _)| scope)
    }

    pub(crate) fn indicators(&self) -> &Indicators {
        &self.settings.indicators
    }

    /// Whether anything is meant to happen.
    pub(crate) fn expect_anything(&self) -> bool {
        !self.settings.expected.is_empty()
    }

    /// Because of which of the settings what a detector found is meant to happen; what is meant for good goes before.
    pub(crate) fn expected(
        &self,
        detector: &str,
        players: (Player<'_>, Option<Player<'_>>),
        at: Timestamp,
    ) -> Option<&Expected> {
        let all = self.settings.expected.iter();
        let covering = all.filter(|expected| expected.covers(&self.settings, detector, players, at));
        covering.min_by_key(|expected| !expected.is_habit())
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

    fn zone(name: &str, network: &str) -> Zone {
        Zone { name: name.into(), networks: vec![network.parse().unwrap()], ..Zone::default() }
    }

    fn scope(zone: &str, value: f64) -> Scoped {
        let thresholds = [("host-scan.failures".into(), value)].into();
        Scoped { zone: Some(zone.into()), thresholds, ..Scoped::default() }
    }

    #[test]
    fn a_zone_holds_whoever_has_an_address_or_a_role_of_it_and_the_later_scope_holds() {
        let limits = Limits::new(Settings {
            zones: vec![
                Zone {
                    macs: vec![MacAddr([2, 0, 0, 0, 0, 1])],
                    roles: ["plc".into()].into(),
                    ..zone("cell-3", "10.0.3.0/24")
                },
                zone("hall", "10.0.0.0/16"),
            ],
            scopes: vec![scope("hall", 30.0), scope("cell-3", 50.0)],
            ..Settings::default()
        });
        let host = |ip: &str| Host::from_ip(ip.parse().unwrap());
        let set = |host: &Host, role| {
            let set = limits.scopes(host, role, None).next();
            set.map(|scope| (scope.to_string(), scope.thresholds["host-scan.failures"]))
        };
        assert_eq!(set(&host("10.0.3.9"), None), Some(("zone cell-3".into(), 50.0)));
        assert_eq!(set(&host("10.0.4.9"), None), Some(("zone hall".into(), 30.0)));
        assert_eq!(set(&host("10.0.4.9"), Some("plc")), Some(("zone cell-3".into(), 50.0)));
        assert_eq!(
            set(&Host::from_mac(MacAddr([2, 0, 0, 0, 0, 1])), None),
            Some(("zone cell-3".into(), 50.0))
        );
        assert_eq!(set(&host("192.168.0.1"), Some("camera")), None);
    }

    #[test]
    fn what_is_expected_of_a_zone_holds_for_those_in_it() {
        let expected = Expected {
            actor_zone: Some("office".into()),
            victim_zone: Some("cell-3".into()),
            detectors: ["new-peer".into()].into(),
            ..Expected::default()
        };
        let cell = Zone { roles: ["plc".into()].into(), ..zone("cell-3", "10.0.3.0/24") };
        let zones = vec![zone("office", "10.0.9.0/24"), cell];
        let limits = Limits::new(Settings { zones, expected: vec![expected], ..Settings::default() });
        let host = |ip: &str| Host::from_ip(ip.parse().unwrap());
        let holds = |detector: &str, actor: &str, victim: Option<(&str, Option<&str>)>| {
            let (actor, victim) = (host(actor), victim.map(|(ip, role)| (host(ip), role)));
            let players = ((&actor, None), victim.as_ref().map(|(host, role)| (host, *role)));
            limits.expected(detector, players, Timestamp::EPOCH).is_some()
        };
        assert!(holds("new-peer", "10.0.9.7", Some(("10.0.3.1", None))));
        assert!(holds("new-peer", "10.0.9.7", Some(("10.0.4.1", Some("plc")))));
        assert!(!holds("new-peer", "10.0.9.7", Some(("10.0.4.1", Some("camera")))));
        assert!(!holds("new-peer", "10.0.8.7", Some(("10.0.3.1", None))));
        assert!(!holds("new-peer", "10.0.9.7", None));
        assert!(!holds("host-scan", "10.0.9.7", Some(("10.0.3.1", None))));
    }

    #[test]
    fn a_zone_that_is_not_there_twice_there_or_empty_is_refused_at_its_place() {
        let refused = |settings: Settings| {
            let error = settings.check().unwrap_err();
            (error.to_string(), error.place().to_vec())
        };
        let zones = vec![zone("cell-3", "10.0.3.0/24"), zone("hall", "10.0.0.0/16")];
        let (why, place) =
            refused(Settings { zones, scopes: vec![scope("cell-4", 1.0)], ..Settings::default() });
        assert_eq!(why, "no zone is called \"cell-4\": there are \"cell-3\", \"hall\"");
        assert_eq!(place, ["scope".into(), 0.into(), "zone".into()]);
        let (why, _) = refused(Settings { scopes: vec![scope("cell-4", 1.0)], ..Settings::default() });
        assert!(why.ends_with("there are no zones; [[zone]] makes one"), "{why}");
        let zones = vec![zone("hall", "10.0.3.0/24"), zone("hall", "10.0.0.0/16")];
        let (why, place) = refused(Settings { zones, ..Settings::default() });
        assert_eq!((why.as_str(), &place[1]), ("there are two zones called \"hall\"", &1.into()));
        let zones = vec![Zone { name: "hall".into(), ..Zone::default() }];
        assert!(refused(Settings { zones, ..Settings::default() }).0.contains("nobody is in the zone"));
        let scopes = vec![Scoped::default()];
        assert!(refused(Settings { scopes, ..Settings::default() }).0.starts_with("a scope needs a zone"));
        let expected = vec![Expected { victim_zone: Some("yard".into()), ..Expected::default() }];
        let zones = vec![zone("hall", "10.0.0.0/16")];
        let (why, place) = refused(Settings { zones, expected, ..Settings::default() });
        assert_eq!(why, "no zone is called \"yard\": there are \"hall\"");
        assert_eq!(place, ["expected".into(), 0.into(), "victim_zone".into()]);
        let expected = vec![Expected { reason: "all".into(), ..Expected::default() }];
        assert!(refused(Settings { expected, ..Settings::default() }).0.contains("needs an actor"));
        let scopes = vec![Scoped { role: Some("robot".into()), ..Scoped::default() }];
        let (why, _) = refused(Settings { scopes, ..Settings::default() });
        assert!(why.starts_with("no role is called \"robot\": there are ") && why.contains("plc"), "{why}");
    }
}
