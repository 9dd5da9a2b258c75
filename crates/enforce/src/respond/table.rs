//! The table that holds what is done about incidents. It is apart from that of the ruleset and is asked before it, so each
//! changes without the other; what it cuts no later table lets through.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Timestamp;

use crate::compile::{Support, subtract};
use crate::respond::action::{Action, Need};
use crate::table::{Chain, Entry, Rule, Set, SetSpec, Table};
use crate::{Address, Family, Network, Ports};

/// The name of the table.
pub const TABLE: &str = "pavise_response";

/// An action and when it ends.
pub(crate) type InForce<'a> = (&'a Action, Timestamp);

/// Makes the table for what is in force at a moment.
pub(crate) fn table<'a>(
    family: Family,
    support: Support,
    actions: impl IntoIterator<Item = InForce<'a>>,
    now: Timestamp,
) -> Table {
    let mut builder = Builder {
        table: Table::empty(family, TABLE),
        support,
        now,
        nets: BTreeMap::new(),
        needs: BTreeMap::new(),
    };
    builder.scaffold();
    for (action, expires) in actions {
        if expires > now {
            builder.action(action, expires);
        }
    }
    builder.close();
    builder.table
}

struct Builder {
    table: Table,
    support: Support,
    now: Timestamp,
    /// Blocked networks with their ends, by set and by the device before them in the key.
    nets: BTreeMap<(&'static str, String), Vec<(Network, Timestamp)>>,
    /// What contained devices need, by set, device and protocol.
    needs: BTreeMap<(&'static str, Network, u8), BTreeMap<Network, Vec<Ports>>>,
}

const fn suffix(network: &Network) -> usize {
    if network.is_ipv4() { 0 } else { 1 }
}

impl Builder {
    fn set(&mut self, name: &str, key: &'static str, flags: &'static str, more: &'static str) {
        // Elements with a time to live come and go by themselves.
        let live = flags.contains("timeout");
        self.table
            .sets
            .insert(name.into(), Set::new(SetSpec { key, flags, more, live, ..SetSpec::default() }));
    }

    fn rule(&mut self, chain: &str, text: String) {
        self.table.chains.entry(chain.into()).or_default().rules.push(Rule::new(text));
    }

    fn scaffold(&mut self) {
        let base = Some("type filter hook forward priority -10; policy accept;");
        self.table.chains.insert("forward".into(), Chain { base, rules: Vec::new() });
        let bridged = self.table.family == Family::Bridged;
        for (name, more) in [("quarantine", ""), ("contain", ""), ("limit", "limit rate over 1/second;")] {
            self.set(&format!("{name}4"), "ipv4_addr", "timeout", more);
            self.set(&format!("{name}6"), "ipv6_addr", "timeout", more);
            self.set(&format!("{name}l"), "ether_addr", "timeout", more);
        }
        for (suffix, address, two, session, need) in [
            (
                "4",
                "ipv4_addr",
                "ipv4_addr . ipv4_addr",
                "ipv4_addr . inet_service . ipv4_addr . inet_service . inet_proto",
                "ipv4_addr . ipv4_addr . inet_proto . inet_service",
            ),
            (
                "6",
                "ipv6_addr",
                "ipv6_addr . ipv6_addr",
                "ipv6_addr . inet_service . ipv6_addr . inet_service . inet_proto",
                "ipv6_addr . ipv6_addr . inet_proto . inet_service",
            ),
        ] {
            self.set(&format!("block{suffix}"), address, "interval,timeout", "");
            self.set(&format!("blockfrom{suffix}"), two, "interval,timeout", "");
            self.set(&format!("kill{suffix}"), session, "timeout", "");
            // These matter while the device is contained only, so they need no time of their own.
            self.set(&format!("needed{suffix}"), need, "interval", "");
            self.set(&format!("neededin{suffix}"), need, "interval", "");
        }
        let layers = [("ip", "4"), ("ip6", "6")];
        for (field, suffix) in layers {
            for side in ["saddr", "daddr"] {
                self.rule("forward", format!("{field} {side} @quarantine{suffix} goto end"));
            }
        }
        self.rule("forward", "ether saddr @quarantinel goto end".into());
        if bridged {
            self.rule("forward", "ether daddr @quarantinel goto end".into());
        }
        for (field, suffix) in layers {
            let key = format!("{field} saddr . th sport . {field} daddr . th dport . meta l4proto");
            self.rule("forward", format!("{key} @kill{suffix} goto end"));
            for (one, other) in [("saddr", "daddr"), ("daddr", "saddr")] {
                self.rule("forward", format!("{field} {other} @block{suffix} goto end"));
                self.rule("forward", format!("{field} {one} . {field} {other} @blockfrom{suffix} goto end"));
            }
        }
        for (field, suffix) in layers {
            for side in ["saddr", "daddr"] {
                self.rule("forward", format!("{field} {side} @contain{suffix} jump contained"));
            }
            // What a device opens and the replies to it, then what is opened to it and its replies.
            for (set, one, other, port) in [
                ("needed", "saddr", "daddr", "dport"),
                ("needed", "daddr", "saddr", "sport"),
                ("neededin", "daddr", "saddr", "dport"),
                ("neededin", "saddr", "daddr", "sport"),
            ] {
                let key = format!("{field} {one} . {field} {other} . meta l4proto . th {port}");
                self.rule("contained", format!("{key} @{set}{suffix} return"));
            }
        }
        self.rule("forward", "ether saddr @containl jump contained".into());
        if bridged {
            self.rule("forward", "ether daddr @containl jump contained".into());
            // Those who may be found may still not be spoken to.
            self.table
                .chains
                .entry("contained".into())
                .or_default()
                .rules
                .insert(0, Rule::new("ether type 0x0806 return"));
            self.rule("contained", "icmpv6 type { 133, 134, 135, 136 } return".into());
        }
        self.rule("contained", "goto end".into());
        for (field, suffix) in [("ip", "4"), ("ip6", "6"), ("ether", "l")] {
            self.rule("forward", format!("{field} saddr @limit{suffix} counter drop"));
        }
        if self.support.reject {
            // Both ends learn with their next packet that the conversation is over (RFC 9293, section 3.5.2).
            self.rule("end", "meta l4proto 6 tcp flags & rst != rst counter reject with tcp reset".into());
        }
        self.rule("end", "counter drop".into());
    }

    /// Whole seconds that are left, at least one.
    fn left_s(&self, expires: Timestamp) -> u32 {
        let left = expires.since(self.now);
        u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX).max(1)
    }

    /// Puts an element in; of two with one key, the one that lasts longer holds.
    fn put(&mut self, set: &str, key: String, statement: Option<Arc<str>>, expires: Timestamp) {
        let life_s = Some(self.left_s(expires));
        let entry = Entry { statement, life_s, ..Entry::default() };
        if let Some(set) = self.table.sets.get_mut(set) {
            let kept = set.elements.entry(key.into()).or_insert_with(|| entry.clone());
            if kept.life_s < life_s {
                *kept = entry;
            }
        }
    }

    fn device(&mut self, set: &str, device: &[Address], statement: Option<Arc<str>>, expires: Timestamp) {
        for address in device {
            match address {
                Address::Mac(mac) => {
                    self.put(&format!("{set}l"), mac.to_string(), statement.clone(), expires);
                }
                Address::Net(network) => {
                    let suffix = if network.is_ipv4() { "4" } else { "6" };
                    self.put(&format!("{set}{suffix}"), network.to_string(), statement.clone(), expires);
                }
            }
        }
    }

    fn action(&mut self, action: &Action, expires: Timestamp) {
        match action {
            Action::Quarantine { device } => self.device("quarantine", device, None, expires),
            Action::RateLimit { device, packets_per_s } => {
                let limit = format!("limit rate over {packets_per_s}/second burst {packets_per_s} packets");
                self.device("limit", device, Some(limit.into()), expires);
            }
            Action::Contain { device, needed } => {
                self.device("contain", device, None, expires);
                for address in device {
                    if let Address::Net(device) = address {
                        self.need(*device, needed);
                    }
                }
            }
            Action::BlockDestination { device, to } => {
                for network in to {
                    if device.is_empty() {
                        let set = ["block4", "block6"][suffix(network)];
                        self.nets.entry((set, String::new())).or_default().push((*network, expires));
                    }
                    for device in device.iter().filter(|device| device.is_ipv4() == network.is_ipv4()) {
                        let set = ["blockfrom4", "blockfrom6"][suffix(network)];
                        self.nets.entry((set, format!("{device} . "))).or_default().push((*network, expires));
                    }
                }
            }
            Action::KillSession { session } => {
                let set = if session.client.ip().to_canonical().is_ipv4() { "kill4" } else { "kill6" };
                for (from, to) in [(session.client, session.server), (session.server, session.client)] {
                    let [one, other] = [from, to].map(|end| end.ip().to_canonical());
                    let key =
                        format!("{one} . {} . {other} . {} . {}", from.port(), to.port(), session.protocol);
                    self.put(set, key, None, expires);
                }
            }
            Action::RevokeCredential { .. } | Action::AskPerson { .. } | Action::Notify { .. } => {}
        }
    }

    fn need(&mut self, device: Network, needed: &[Need]) {
        for need in needed.iter().filter(|need| need.peer.is_ipv4() == device.is_ipv4()) {
            let sets = if need.device_opens { ["needed4", "needed6"] } else { ["neededin4", "neededin6"] };
            let of_device = self.needs.entry((sets[suffix(&device)], device, need.protocol)).or_default();
            of_device.entry(need.peer).or_default().push(need.ports);
        }
    }

    fn close(&mut self) {
        for ((set, before), networks) in std::mem::take(&mut self.nets) {
            for (network, expires) in longest(networks) {
                self.put(set, format!("{before}{network}"), None, expires);
            }
        }
        for ((set, device, protocol), by_peer) in std::mem::take(&mut self.needs) {
            let by_peer = by_peer
                .into_iter()
                .map(|(peer, ports)| (peer, ports.into_iter().map(|ports| (ports, None)).collect()))
                .collect();
            for (peer, ports, _) in crate::compile::without_overlap(by_peer) {
                let key = format!("{device} . {peer} . {protocol} . {ports}").into();
                if let Some(set) = self.table.sets.get_mut(set) {
                    set.elements.insert(key, Entry::default());
                }
            }
        }
    }
}

/// Networks so that no two overlap, each with the latest end of those that hold it.
fn longest(networks: Vec<(Network, Timestamp)>) -> Vec<(Network, Timestamp)> {
    let mut ends: BTreeMap<Network, Timestamp> = BTreeMap::new();
    for &(network, _) in &networks {
        let latest =
            networks.iter().filter(|(wide, _)| wide.holds(&network)).map(|(_, expires)| *expires).max();
        ends.insert(network, latest.unwrap_or(Timestamp::EPOCH));
    }
    let mut out = Vec::new();
    for (&network, expires) in &ends {
        let inner: Vec<Network> =
            ends.keys().copied().filter(|inner| *inner != network && network.holds(inner)).collect();
        subtract(network, &inner, expires, &mut out);
    }
    out
}
