//! Data that leaves by way of names: see [`DETECTOR`].

use std::time::Duration;

use model::{FlowId, OperationKind, Role, Severity, Timestamp, Value, What};

use super::domains;
use crate::hosts::Who;
use crate::judge::{Alarm, Out, Seen};
use crate::ledger::digest;
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds tunnels through the domain name system.
pub(super) const DETECTOR: Rule = Rule {
    id: "dns-tunnel",
    title: "Tunnel through DNS",
    severity: Severity::High,
    attack: &["T1071.004", "T1572", "T1048"],
    finds: "A host asks for ever new, long and random-looking names below one domain: they carry data. Measured is how \
            much information the names, and answers that may hold any bytes, carry within a day (Paxson et al., \"Practical Comprehensive Bounds on \
            Surreptitious Communication over DNS\", USENIX Security 2013).",
    matters: "Names are resolved nearly everywhere, also where nothing else may leave. Attackers steer devices and take \
              data out through them.",
    fix: "Find out which program of the host asks. Some virus scanners look files up this way: if it is one of these, \
          declare it as expected. If not, take the host off the network and block the domain.",
    thresholds: &[
        Threshold {
            name: "information",
            about: "information in distinct names below one domain, and in answers to them, within a day",
            unit: "bytes",
            usual: 4096.0,
        },
        Threshold {
            name: "information-per-name",
            about: "names with less than this do not count",
            unit: "bytes",
            usual: 15.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "a sketch of the names below each of the 4096 domains of hosts that were asked for last",
    start: || Box::new(DnsTunnel { domains: Table::new(MAX_DOMAINS) }),
};

const INFORMATION: usize = 0;
const PER_NAME: usize = 1;

/// So many domains of hosts are watched.
const MAX_DOMAINS: usize = 4096;
/// Names are told apart by so many bits (Whang et al., "A Linear-Time Probabilistic Counting Algorithm", 1990).
const SKETCH: usize = 2048;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Services that are meant to be asked this way: reputation of files, mail and addresses.
const REPUTATION: [&str; 9] = [
    "mcafee.com",
    "sophosxl.net",
    "e5.sk",
    "spamhaus.org",
    "senderbase.org",
    "sorbs.net",
    "spamcop.net",
    "barracudacentral.org",
    "surbl.org",
];

/// Answers up to this length carry little, in bytes.
const MAX_PLAIN: u64 = 128;

struct Domain {
    begun: Timestamp,
    seen: [u64; SKETCH / 64],
    names: u32,
    /// Bytes in them.
    information: f64,
    length: u64,
    /// Questions for records that carry more than addresses.
    roomy: u32,
    first_flow: FlowId,
}

impl Domain {
    fn new(begun: Timestamp, first_flow: FlowId) -> Self {
        Self { begun, seen: [0; SKETCH / 64], names: 0, information: 0.0, length: 0, roomy: 0, first_flow }
    }
}

struct DnsTunnel {
    domains: Table<(Who, u64), Domain>,
}

impl Detector for DnsTunnel {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.protocol != "dns" || operation.kind != OperationKind::Discover {
            return;
        }
        let asked = seen.asked(operation);
        let Some((before, domain)) = operation.target.as_deref().and_then(domains::split) else { return };
        // Addresses in names are looked up in lists of bad senders.
        let is_address = before.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !asked.who.is_somebody() || is_address || REPUTATION.contains(&domain) {
            return;
        }
        let key = (asked.who, digest(domain.as_bytes()));
        let (state, _) = self.domains.entry(key, || Domain::new(seen.at, operation.flow.id));
        if seen.at.since(state.begun) > DAY {
            *state = Domain::new(seen.at, operation.flow.id);
        }
        let bit = digest(before.as_bytes()) as usize % SKETCH;
        if state.seen[bit / 64] & 1 << (bit % 64) != 0 {
            return;
        }
        state.seen[bit / 64] |= 1 << (bit % 64);
        let client = &asked.asker.host;
        // Names of hosts and of content networks are shorter.
        let mut information = domains::information(before) / 8.0;
        if information < out.limit(PER_NAME, client) {
            information = 0.0;
        }
        // Answers that hold any bytes bring in what names take out.
        let holds_any = matches!(&*operation.name, "query-null" | "query-txt" | "query-other");
        let answer = operation
            .value
            .as_ref()
            .and_then(Value::as_u64)
            .filter(|length| holds_any && *length > MAX_PLAIN);
        information += answer.unwrap_or(0) as f64;
        if information == 0.0 {
            return;
        }
        state.names += 1;
        state.information += information;
        state.length += before.len() as u64;
        state.roomy += u32::from(matches!(
            &*operation.name,
            "query-txt" | "query-null" | "query-cname" | "query-mx" | "query-any" | "query-srv"
        ));
        let names = f64::from(state.names);
        let bytes = state.information;
        // A resolver asks for all that ask it.
        let crowd = if seen.site.is_one_of(client, &[Role::DnsServer]) { 10.0 } else { 1.0 };
        if bytes < crowd * out.limit(INFORMATION, client) {
            return;
        }
        let length = state.length as f64 / names;
        let alarm = Alarm::about(*client)
            .matter(domain)
            .since(state.begun)
            .flows(std::slice::from_ref(&state.first_flow))
            .flow(operation.flow.id)
            .crossed(INFORMATION, bytes)
            .factor("distinct long names", state.names, "a few")
            .factor("characters before the domain, on average", format_args!("{length:.0}"), "about 10")
            .factor("information in a name", format_args!("{:.0} bytes", bytes / names), "about 5 bytes")
            .factor(
                "questions for other than addresses",
                format_args!("{:.0} %", 100.0 * f64::from(state.roomy) / names),
                "few",
            );
        let names = state.names;
        out.raise(alarm, || format!("{client} exchanged about {bytes:.0} bytes in {names} names below {domain} and the answers to them"));
    }

    fn forget(&mut self, who: Who) {
        for ((client, _), domain) in self.domains.iter_mut() {
            if *client == who {
                *domain = Domain::new(Timestamp::EPOCH, FlowId(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome, Value};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn asks(story: Story, name: &'static str, target: &str) -> Story {
        let query = operation("10.0.0.5", "10.0.0.1", "dns", OperationKind::Discover, name, Outcome::Done);
        story.asks(query.at_port(53).on(target))
    }

    /// A text that follows from a number and looks random.
    fn random(number: u64, length: usize) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(LETTERS[(state >> 40) as usize % 32])
            })
            .collect()
    }

    #[test]
    fn a_tunnel_is_found_within_some_hundred_names_and_told_once() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..500 {
            let name = format!("{}.{}.t.example.com", random(number, 50), random(number + 1000, 50));
            story = asks(story.wait(1), "query-txt", &name);
        }
        let finding = story.only();
        assert_eq!(finding.matter.as_ref(), "example.com");
        assert!(finding.count > 300, "{}", finding.count);
    }

    #[test]
    fn a_tunnel_that_brings_in_is_found_by_its_answers() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..50 {
            let query = operation(
                "10.0.0.5",
                "10.0.0.1",
                "dns",
                OperationKind::Discover,
                "query-null",
                Outcome::Done,
            );
            let query = query.on(&format!("p{number}.t.example.com")).writing(Value::Unsigned(800));
            story = story.wait(1).asks(query);
        }
        assert_eq!(story.findings().len(), 1);
    }

    #[test]
    fn content_networks_lists_of_senders_and_virus_scanners_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..2000 {
            story = asks(story.wait(2), "query-a", &format!("d{}.cloudfront.net", random(number, 13)));
            story = asks(story, "query-a", &format!("{}.{}.3.2.zen.example.org", number % 256, number / 256));
            story = asks(story, "query-txt", &format!("{}.avqs.mcafee.com", random(number, 60)));
            let same = "a-very-long-name-of-a-load-balancer-in-some-region.elb.eu-central-1.amazonaws.com";
            story = asks(story, "query-aaaa", same);
        }
        story.silent();
    }
}
