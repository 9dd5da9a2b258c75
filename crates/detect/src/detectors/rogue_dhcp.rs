//! A second server gives out addresses: see [`DETECTOR`].

use std::net::Ipv4Addr;
use std::time::Duration;

use model::{Host, Operation, Severity, Timestamp, Value, What};

use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds DHCP servers that contradict the one that was there before.
pub(super) const DETECTOR: Rule = Rule {
    id: "rogue-dhcp",
    title: "Rogue DHCP server",
    severity: Severity::Medium,
    attack: &["T1557.003", "T0830"],
    finds: "A second DHCP server answers a client, or serves a network, that another serves, and names another router \
            or another resolver. Servers that share the work (RFC 3074, failover) name the same ones.",
    matters: "Whoever answers first decides through whom a device talks. Attackers name themselves as router or \
              resolver; a home router that was plugged in the wrong way round takes a network down.",
    fix: "Find the switch port of the server that came later and shut it. Switches can keep such servers out (DHCP \
          snooping). If you have replaced the server, switch the old one off.",
    thresholds: &[Threshold {
        name: "answers",
        about: "answers that contradict those of the server that was there before",
        unit: "answers",
        usual: 2.0,
    }],
    listens: &[Kind::Operation],
    keeps: "the last 1024 transactions, 1024 networks and 256 servers",
    start: || {
        Box::new(RogueDhcp {
            transactions: Table::new(MAX_ANSWERS),
            networks: Table::new(MAX_ANSWERS),
            servers: Table::new(MAX_SERVERS),
        })
    },
};

const ANSWERS: usize = 0;
const MAX_ANSWERS: usize = 1024;
const MAX_SERVERS: usize = 256;

/// A server that was silent for so long is not there any more: the longest lease that is common.
const GONE: Duration = Duration::from_secs(24 * 3600);
/// A client's question is answered within this time (RFC 2131 clause 4.1: it asks again after a minute at most).
const TRANSACTION: Duration = Duration::from_secs(120);

/// What a server told a client.
#[derive(Clone, Copy)]
struct Answer {
    server: Host,
    at: Timestamp,
    address: Ipv4Addr,
    router: Option<Ipv4Addr>,
    resolver: Option<Ipv4Addr>,
    xid: u64,
}

impl Answer {
    fn read(operation: &Operation, at: Timestamp) -> Option<Self> {
        let Some(Value::Record(lease)) = &operation.value else { return None };
        let address = |name| lease.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
        Some(Self {
            server: operation.flow.endpoint(operation.from).host,
            at,
            // Servers that only tell where to boot from give no address.
            address: address("address").filter(|address: &Ipv4Addr| !address.is_unspecified())?,
            router: address("router"),
            resolver: address("resolver"),
            xid: lease.get("xid").and_then(Value::as_u64)?,
        })
    }

    fn contradicts(&self, other: &Self) -> bool {
        let differ =
            |one: Option<Ipv4Addr>, other: Option<Ipv4Addr>| one.is_some() && other.is_some() && one != other;
        Addr::of(&self.server) != Addr::of(&other.server)
            && (differ(self.router, other.router) || differ(self.resolver, other.resolver))
    }
}

#[derive(Default)]
struct Server {
    first: Timestamp,
    contradictions: u32,
}

struct RogueDhcp {
    /// By transaction and client.
    transactions: Table<(u64, u64), Answer>,
    /// By VLAN and the first three bytes of the addresses that are given out.
    networks: Table<(Option<u16>, [u8; 3]), Answer>,
    servers: Table<Addr, Server>,
}

impl Detector for RogueDhcp {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.protocol != "dhcp" || !matches!(&*operation.name, "offer" | "ack") {
            return;
        }
        let Some(answer) = Answer::read(operation, seen.at) else { return };
        let Some(server) = Addr::of(&answer.server) else { return };
        self.servers.entry(server, || Server { first: seen.at, contradictions: 0 });
        let client = crate::ledger::digest(operation.target.as_deref().unwrap_or_default().as_bytes());
        let [a, b, c, _] = answer.address.octets();
        let (asked, _) = self.transactions.entry((answer.xid, client), || answer);
        if seen.at.since(asked.at) > TRANSACTION {
            *asked = answer;
        }
        let asked = *asked;
        let (served, _) = self.networks.entry((operation.flow.vlan, [a, b, c]), || answer);
        if Addr::of(&served.server) == Some(server) || seen.at.since(served.at) > GONE {
            *served = answer;
        }
        let Some(other) = [asked, *served].into_iter().find(|other| other.contradicts(&answer)) else {
            return;
        };
        let first =
            |host: &Host| Addr::of(host).and_then(|addr| self.servers.get(&addr)).map(|server| server.first);
        let (rogue, known) =
            if first(&answer.server) >= first(&other.server) { (answer, other) } else { (other, answer) };
        let Some(state) = Addr::of(&rogue.server).and_then(|addr| self.servers.get_mut(&addr)) else {
            return;
        };
        state.contradictions += 1;
        let count = f64::from(state.contradictions);
        if count < out.limit(ANSWERS, &rogue.server) {
            return;
        }
        let own = |address: Option<Ipv4Addr>| address.is_some() && rogue.server.ip == address.map(Into::into);
        let severity =
            if own(rogue.router) || own(rogue.resolver) { Severity::High } else { Severity::Medium };
        let shown =
            |address: Option<Ipv4Addr>| address.map_or("none".to_owned(), |address| address.to_string());
        let alarm = Alarm::about(rogue.server)
            .to(known.server)
            .flow(operation.flow.id)
            .severity(severity)
            .crossed(ANSWERS, count)
            .factor("router", shown(rogue.router), shown(known.router))
            .factor("resolver", shown(rogue.resolver), shown(known.resolver));
        out.raise(alarm, || {
            format!(
                "{} gives out addresses where {} does, and names {} as router and {} as resolver",
                rogue.server,
                known.server,
                shown(rogue.router),
                shown(rogue.resolver)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome, Record, Severity, Side, Value};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    /// An offer to a client, who asked with the number `xid`.
    fn offer(story: Story, server: &str, xid: u64, address: &str, router: &str, resolver: &str) -> Story {
        let text = |text: &str| Value::Text(text.into());
        let lease = Record(vec![
            ("xid".into(), Value::Unsigned(xid)),
            ("address".into(), text(address)),
            ("router".into(), text(router)),
            ("resolver".into(), text(resolver)),
        ]);
        let mut offer = operation("0.0.0.0", server, "dhcp", OperationKind::Publish, "offer", Outcome::Done);
        offer.from = Side::Server;
        story.asks(offer.on("00:1b:00:00:00:01").writing(Value::Record(lease)))
    }

    #[test]
    fn a_server_that_names_itself_is_told() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.2").with_host("10.0.0.66");
        for xid in 0..3 {
            story = offer(story.wait(600), "10.0.0.2", xid, "10.0.0.50", "10.0.0.1", "10.0.0.2");
        }
        for xid in 3..6 {
            story = offer(story.wait(600), "10.0.0.2", xid, "10.0.0.50", "10.0.0.1", "10.0.0.2");
            story = offer(story, "10.0.0.66", xid, "10.0.0.77", "10.0.0.66", "10.0.0.2");
        }
        let finding = story.only();
        assert_eq!(finding.actor.to_string(), "10.0.0.66");
        assert_eq!(finding.severity, Severity::High);
    }

    #[test]
    fn a_home_router_plugged_in_the_wrong_way_round_is_told() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.2").with_host("192.168.1.1");
        story = offer(story, "10.0.0.2", 1, "10.0.0.50", "10.0.0.1", "10.0.0.2");
        for xid in 2..5 {
            story = offer(story.wait(9), "192.168.1.1", xid, "192.168.1.50", "192.168.1.1", "192.168.1.1");
            story = offer(story, "10.0.0.2", xid, "10.0.0.50", "10.0.0.1", "10.0.0.2");
        }
        assert_eq!(story.only().actor.to_string(), "192.168.1.1");
    }

    #[test]
    fn failover_pairs_boot_servers_and_successors_are_silent() {
        let mut story =
            Story::of(&DETECTOR).with_host("10.0.0.2").with_host("10.0.0.3").with_host("10.0.0.4");
        for xid in 0..9 {
            story = offer(story.wait(9), "10.0.0.2", xid, "10.0.0.50", "10.0.0.1", "10.0.0.2");
            story = offer(story, "10.0.0.3", xid, "10.0.0.150", "10.0.0.1", "10.0.0.2");
            story = offer(story, "10.0.0.4", xid, "0.0.0.0", "0.0.0.0", "0.0.0.0");
        }
        // Another server has taken over after the holidays, with another router.
        story = story.wait(3 * 86_400);
        for xid in 20..29 {
            story = offer(story.wait(9), "10.0.0.9", xid, "10.0.0.50", "10.0.0.254", "10.0.0.254");
        }
        story.silent();
    }
}
