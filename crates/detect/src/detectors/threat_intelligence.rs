//! Somebody talks to what others have warned of: see [`DETECTOR`].

use model::{Attribute, Host, OperationKind, Severity, What};

use crate::intel::Indicator;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds what matches indicators that were given.
pub(super) const DETECTOR: Rule = Rule {
    id: "threat-intelligence",
    title: "Known malicious peer",
    severity: Severity::High,
    attack: &["T1071", "T0869"],
    finds: "A host talks to an address, asks for a name, fetches a URL or shows a TLS fingerprint (JA4) that stands on \
            a list of indicators given with --intel: STIX 2.1 bundles or plain lists. Indicators hold as long as \
            they say.",
    matters: "Others have seen the same in attacks. A match is no proof, for addresses change hands, but it is the \
              quickest way to learn of an attack that others know.",
    fix: "See which list it comes from and what it says. Look at what else the host did at that time, block the peer, and \
          if the list is wrong, say so with a verdict.",
    thresholds: &[],
    listens: &[Kind::Opened, Kind::Ended, Kind::Operation, Kind::Fact],
    keeps: "nothing of its own; at most 2,097,152 indicators are held",
    start: || Box::new(ThreatIntelligence),
};

struct ThreatIntelligence;

fn of(indicator: &Indicator) -> String {
    match &*indicator.name {
        "" => format!("stands in {}", indicator.source),
        name => format!("stands in {} as {name}", indicator.source),
    }
}

impl Detector for ThreatIntelligence {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let indicators = seen.site.indicators();
        if indicators.is_empty() {
            return;
        }
        let at = seen.at;
        match seen.what {
            What::FlowOpened(head) => addresses(seen, [&head.client.host, &head.server.host], head.id, out),
            What::FlowEnded(record) => {
                let head = &record.head;
                addresses(seen, [&head.client.host, &head.server.host], head.id, out);
            }
            What::Operation(operation) => {
                let Some(target) = operation.target.as_deref() else { return };
                let host = operation.flow.endpoint(operation.from).host;
                let named = match operation.kind {
                    OperationKind::Discover => indicators.of_domain(target, at),
                    _ => None,
                };
                if let Some((domain, indicator)) = named {
                    let alarm = Alarm::about(host).matter(domain).flow(operation.flow.id);
                    out.raise(alarm, || format!("{host} asks for {target}; {domain} {}", of(indicator)));
                } else if let Some(indicator) = indicators.of_url(target, at) {
                    let alarm = Alarm::about(host).matter(target).flow(operation.flow.id);
                    out.raise(alarm, || format!("{host} fetches {target}, which {}", of(indicator)));
                }
            }
            What::Fact(fact) if fact.attribute == Attribute::Fingerprint => {
                if let Some(indicator) = indicators.of_fingerprint(&fact.value, at) {
                    let (host, ja4) = (fact.about, &*fact.value);
                    let alarm = Alarm::about(host).matter(ja4);
                    out.raise(alarm, || {
                        format!("{host} shows the TLS fingerprint {ja4}, which {}", of(indicator))
                    });
                }
            }
            _ => {}
        }
    }
}

fn addresses(seen: &Seen<'_>, [client, server]: [&Host; 2], flow: model::FlowId, out: &mut Out<'_>) {
    let indicators = seen.site.indicators();
    for (known, other, asks) in [(server, client, true), (client, server, false)] {
        let Some(indicator) = known.ip.and_then(|ip| indicators.of_address(ip, seen.at)) else { continue };
        let alarm = Alarm::about(if asks { *other } else { *known })
            .to(if asks { *known } else { *other })
            .flow(flow);
        out.raise(alarm, || match asks {
            true => format!("{other} talks to {known}, which {}", of(indicator)),
            false => format!("{known}, which {}, talks to {other}", of(indicator)),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Outcome, Severity};

    use super::*;
    use crate::intel::Indicators;
    use crate::settings::Settings;
    use crate::testing::{On, Story, answered, operation};

    fn story(list: &str) -> Story {
        let mut indicators = Indicators::default();
        indicators.read(list, "feed.txt").unwrap();
        Story::set(&DETECTOR, Settings { indicators: Arc::new(indicators), ..Settings::default() })
    }

    #[test]
    fn a_peer_on_a_list_is_found_whoever_began() {
        let out = story("198.51.100.7,c2").flow(answered("10.0.0.5", "198.51.100.7", 443, "tls"));
        let finding = out.only();
        assert_eq!((finding.actor.to_string().as_str(), finding.severity), ("10.0.0.5", Severity::High));
        assert!(finding.summary.contains("stands in feed.txt as c2"), "{}", finding.summary);
        let inwards = story("198.51.100.0/24").flow(answered("198.51.100.7", "10.0.0.5", 23, "telnet"));
        assert_eq!(inwards.only().actor.to_string(), "198.51.100.7");
    }

    #[test]
    fn a_name_on_a_list_is_found_and_others_are_not() {
        let asks = |name: &str| {
            operation("10.0.0.5", "10.0.0.1", "dns", OperationKind::Discover, "query-a", Outcome::Done)
                .on(name)
        };
        let story = story("evil.example").asks(asks("good.example")).asks(asks("x.evil.example"));
        assert_eq!(&*story.only().matter, "evil.example");
    }

    #[test]
    fn without_a_list_nothing_is_said() {
        story("").flow(answered("10.0.0.5", "198.51.100.7", 443, "tls")).silent();
    }
}
