//! Threat intelligence: indicators that others have found, from STIX 2.1 bundles and plain lists.
//!
//! A plain list has one indicator a line: a network address or network, a domain, a URL, a JA4 fingerprint; what
//! follows a comma or blank is a note, lines that begin with `#` are none. A bundle's indicators are read whose
//! patterns (STIX 2.1 clause 9) are comparisons with `=` joined by `OR`; of others it is said that they were not
//! understood. Indicators hold from `valid_from` to `valid_until`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use model::Timestamp;
use serde::Deserialize;

use crate::settings::Network;

/// So many indicators are held; more are refused.
pub const MAX_INDICATORS: usize = 1 << 21;
/// A domain has at most so many labels that are looked at.
const MAX_LABELS: usize = 16;

/// What is known of one indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// What it is called, or what the list says of it.
    pub name: Box<str>,
    /// The file that it comes from.
    pub source: Box<str>,
    /// From when it holds.
    pub from: Option<Timestamp>,
    /// Until when it holds.
    pub until: Option<Timestamp>,
}

impl Indicator {
    fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }
}

/// Indicators, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indicators {
    addresses: BTreeMap<IpAddr, Indicator>,
    networks: Vec<(Network, Indicator)>,
    domains: BTreeMap<Box<str>, Indicator>,
    urls: BTreeMap<Box<str>, Indicator>,
    fingerprints: BTreeMap<Box<str>, Indicator>,
}

/// What became of a file of indicators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Indicators that are held now.
    pub taken: usize,
    /// Those that were not understood, or of a kind that is not seen in traffic (file hashes, mail addresses).
    pub passed_over: usize,
}

/// A file of indicators cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelError(String);

impl fmt::Display for IntelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IntelError {}

#[derive(Deserialize)]
struct Bundle {
    objects: Vec<Object>,
}

/// An object of a bundle, as far as indicators need it (STIX 2.1 clause 4.7).
#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    pattern_type: Option<String>,
    #[serde(default)]
    valid_from: Option<Timestamp>,
    #[serde(default)]
    valid_until: Option<Timestamp>,
    #[serde(default)]
    revoked: bool,
}

impl Indicators {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
            + self.networks.len()
            + self.domains.len()
            + self.urls.len()
            + self.fingerprints.len()
    }

    /// Takes a bundle or a list in; what begins with a brace is a bundle.
    pub fn read(&mut self, text: &str, source: &str) -> Result<Read, IntelError> {
        if text.trim_start().starts_with('{') { self.bundle(text, source) } else { self.list(text, source) }
    }

    fn bundle(&mut self, text: &str, source: &str) -> Result<Read, IntelError> {
        let bundle: Bundle = serde_json::from_str(text)
            .map_err(|error| IntelError(format!("{source} is no STIX 2.1 bundle: {error}")))?;
        let mut read = Read::default();
        for object in bundle.objects {
            if object.kind != "indicator" || object.revoked {
                continue;
            }
            let pattern =
                object.pattern.filter(|_| object.pattern_type.as_deref().is_none_or(|kind| kind == "stix"));
            let Some(terms) = pattern.as_deref().and_then(comparisons) else {
                read.passed_over += 1;
                continue;
            };
            let indicator = Indicator {
                name: object.name.unwrap_or_default().into(),
                source: source.into(),
                from: object.valid_from,
                until: object.valid_until,
            };
            for (path, value) in terms {
                let taken = match path {
                    "ipv4-addr:value" | "ipv6-addr:value" => self.address(&value, &indicator),
                    "domain-name:value" => self.domain(&value, &indicator),
                    "url:value" => self.url(&value, &indicator),
                    _ => false,
                };
                *if taken { &mut read.taken } else { &mut read.passed_over } += 1;
            }
            self.check(source)?;
        }
        Ok(read)
    }

    fn list(&mut self, text: &str, source: &str) -> Result<Read, IntelError> {
        let mut read = Read::default();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (value, note) = line.split_once([',', ' ', '\t']).unwrap_or((line, ""));
            let indicator = Indicator {
                name: note.trim().trim_matches('"').into(),
                source: source.into(),
                from: None,
                until: None,
            };
            let value = value.trim_matches('"');
            let taken = if value.contains("://") {
                self.url(value, &indicator)
            } else if is_ja4(value) {
                self.fingerprints.insert(value.into(), indicator);
                true
            } else {
                self.address(value, &indicator) || self.domain(value, &indicator)
            };
            *if taken { &mut read.taken } else { &mut read.passed_over } += 1;
            self.check(source)?;
        }
        Ok(read)
    }

    fn check(&self, source: &str) -> Result<(), IntelError> {
        if self.len() > MAX_INDICATORS {
            return Err(IntelError(format!("with {source} there are more than {MAX_INDICATORS} indicators")));
        }
        Ok(())
    }

    fn address(&mut self, value: &str, indicator: &Indicator) -> bool {
        if let Ok(ip) = value.parse::<IpAddr>() {
            self.addresses.insert(ip.to_canonical(), indicator.clone());
            return true;
        }
        let Ok(network) = value.parse() else { return false };
        self.networks.push((network, indicator.clone()));
        true
    }

    fn domain(&mut self, value: &str, indicator: &Indicator) -> bool {
        let name = value.trim_end_matches('.').trim_start_matches("*.").to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let is_name = name.contains('.') && name.split('.').all(is_label);
        // A hash has no dots; numbers alone are an address that was mistyped.
        if !is_name || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return false;
        }
        self.domains.insert(name.into(), indicator.clone());
        true
    }

    fn url(&mut self, value: &str, indicator: &Indicator) -> bool {
        let Some((_, rest)) = value.split_once("://") else { return false };
        self.urls.insert(rest.trim_end_matches('/').into(), indicator.clone());
        true
    }

    /// What is known of an address.
    pub fn of_address(&self, ip: IpAddr, at: Timestamp) -> Option<&Indicator> {
        let ip = ip.to_canonical();
        let found = self.addresses.get(&ip).or_else(|| {
            self.networks.iter().find(|(network, _)| network.contains(ip)).map(|(_, indicator)| indicator)
        });
        found.filter(|indicator| indicator.holds(at))
    }

    /// What is known of a domain, or of one that it lies in; also which that is.
    pub fn of_domain<'a>(&self, name: &'a str, at: Timestamp) -> Option<(&'a str, &Indicator)> {
        if self.domains.is_empty() {
            return None;
        }
        let mut rest = name.trim_end_matches('.');
        for _ in 0..MAX_LABELS {
            let found = match rest.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => self.domains.get(rest.to_ascii_lowercase().as_str()),
                false => self.domains.get(rest),
            };
            if let Some(indicator) = found.filter(|indicator| indicator.holds(at)) {
                return Some((rest, indicator));
            }
            rest = rest.split_once('.')?.1;
        }
        None
    }

    /// What is known of a URL without its scheme: host and path.
    pub fn of_url(&self, url: &str, at: Timestamp) -> Option<&Indicator> {
        let url = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
        self.urls.get(url).filter(|indicator| indicator.holds(at))
    }

    /// What is known of a JA4 fingerprint.
    pub fn of_fingerprint(&self, ja4: &str, at: Timestamp) -> Option<&Indicator> {
        self.fingerprints.get(ja4).filter(|indicator| indicator.holds(at))
    }
}

/// Whether text has the form of a JA4 fingerprint: 10 characters, two digests of 12 hexadecimal digits.
fn is_ja4(text: &str) -> bool {
    let mut parts = text.split('_');
    let hex = |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.next().is_some_and(|part| part.len() == 10)
        && parts.next().is_some_and(hex)
        && parts.next().is_some_and(hex)
        && parts.next().is_none()
}

/// The comparisons of a pattern, if it is nothing but such, joined by `OR`: object path and value of each.
fn comparisons(pattern: &str) -> Option<Vec<(&str, String)>> {
    let mut rest = pattern.trim();
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(['[', '(']).trim_start();
        let (path, after) = rest.split_once('=')?;
        let path = path.trim();
        if path.is_empty() || path.contains([' ', '!', '<', '>']) {
            return None;
        }
        let after = after.trim_start().strip_prefix('\'')?;
        // Within quotes, a backslash stands before a quote or a backslash.
        let (mut value, mut characters) = (String::new(), after.char_indices());
        let end = loop {
            match characters.next()? {
                (_, '\\') => value.push(characters.next()?.1),
                (at, '\'') => break at,
                (_, other) => value.push(other),
            }
        };
        found.push((path, value));
        rest = after.get(end + 1..)?.trim_start().trim_start_matches([']', ')']).trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix("OR")?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUNDLE: &str = r#"{"type": "bundle", "id": "bundle--1", "objects": [
        {"type": "malware", "name": "x"},
        {"type": "indicator", "name": "master", "pattern_type": "stix",
         "pattern": "[ipv4-addr:value = '198.51.100.7' OR domain-name:value = 'Master.example']",
         "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-06-01T00:00:00Z"},
        {"type": "indicator", "pattern": "[url:value = 'http://it\\'s.example/a/']", "pattern_type": "stix"},
        {"type": "indicator", "pattern": "[file:hashes.'SHA-256' = 'aa']", "pattern_type": "stix"},
        {"type": "indicator", "pattern": "[ipv4-addr:value = '1.2.3.4'] FOLLOWEDBY [ipv4-addr:value = '1.2.3.5']"},
        {"type": "indicator", "pattern": "[ipv4-addr:value = '198.51.100.9']", "revoked": true}]}"#;

    fn at(text: &str) -> Timestamp {
        serde_json::from_str(&format!("\"{text}\"")).unwrap()
    }

    #[test]
    fn a_bundle_is_read_and_its_indicators_expire() {
        let mut indicators = Indicators::default();
        let read = indicators.read(BUNDLE, "feed.json").unwrap();
        assert_eq!(read, Read { taken: 3, passed_over: 2 });
        let (march, july) = (at("2026-03-01T00:00:00Z"), at("2026-07-01T00:00:00Z"));
        let master: IpAddr = "198.51.100.7".parse().unwrap();
        assert_eq!(indicators.of_address(master, march).map(|known| &*known.name), Some("master"));
        assert_eq!(indicators.of_address(master, july), None);
        assert_eq!(indicators.of_address("198.51.100.9".parse().unwrap(), march), None);
        let (domain, _) = indicators.of_domain("a.b.MASTER.example.", march).unwrap();
        assert_eq!(domain, "MASTER.example");
        assert_eq!(indicators.of_domain("notmaster.example", march), None);
        assert!(indicators.of_url("it's.example/a", july).is_some());
        assert!(Indicators::default().read("{\"objects\": 1}", "x").is_err());
    }

    #[test]
    fn a_list_is_read_by_the_form_of_its_lines() {
        let mut indicators = Indicators::default();
        let text = "# list\n203.0.113.0/24, botnet\n2001:db8::1\nevil.example  c2\nhttp://evil.example/x\n\
                    t13d1516h2_8daaf6152771_02713d6af862\nd41d8cd98f00b204e9800998ecf8427e\n1.2.3\n";
        assert_eq!(indicators.read(text, "list").unwrap(), Read { taken: 5, passed_over: 2 });
        let now = Timestamp::EPOCH;
        let known = indicators.of_address("203.0.113.200".parse().unwrap(), now).unwrap();
        assert_eq!((&*known.name, &*known.source), ("botnet", "list"));
        assert!(indicators.of_fingerprint("t13d1516h2_8daaf6152771_02713d6af862", now).is_some());
        assert!(indicators.of_domain("evil.example", now).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}", pattern in "[\\[\\]()'=OR a-z:\\\\.]{0,60}") {
            let mut indicators = Indicators::default();
            let _ = indicators.read(&text, "x");
            let _ = comparisons(&pattern);
            let quoted = serde_json::to_string(&pattern).unwrap();
            let bundle = format!(r#"{{"objects": [{{"type": "indicator", "pattern": {quoted}}}]}}"#);
            prop_assert!(indicators.read(&bundle, "x").is_ok());
        }
    }
}
