//! A ruleset as a table of nftables.
//!
//! A packet is looked at in this order: guarded hosts pass; established conversations and what is related to them (ICMP
//! errors) pass; the sender's class decides, found by one look into a map; then that of the receiver; what neither allows is
//! counted and, if rules are enforced, dropped. A class of one device has no chain of its own for TCP, UDP and SCTP: what it
//! may do lies in sets that all single devices share, exact ones apart from those with networks and port ranges, which the
//! kernel searches more slowly. So the work for one packet does not grow with the number of devices.
//!
//! Where the kernel cannot follow conversations on a bridge, replies are known by their addresses and ports turned round;
//! [`Compiled::notes`] says so, and whatever else cannot be done here as it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::outermost;
use crate::ruleset::{dns_name, joined};
use crate::table::{Chain, Entry, Rule, Set, SetSpec, Table};
use crate::{Address, Allow, Class, End, Family, Mode, Network, Ports, Ruleset, RulesetError, Service};

/// The name of the table that holds a ruleset.
pub const TABLE: &str = "pavise";
/// Most elements that one allow of a single device becomes; more become a rule in a chain of its own.
pub const EXPANSION_MAX: usize = 256;
/// Most addresses that are kept for one DNS name.
pub const NAME_ADDRESSES_MAX: u32 = 1_024;
/// Most different conversations that are kept of what was cut.
pub const CUT_MAX: u32 = 65_535;
/// Least room in a set for a single device's rules; the room doubles as it is outgrown.
const ROOM_MIN: u32 = 1_024;

/// What the kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Follow conversations where the packets pass.
    pub conntrack: bool,
    /// Answer with a TCP reset where the packets pass.
    pub reject: bool,
}

impl Support {
    /// All of it.
    pub const FULL: Self = Self { conntrack: true, reject: true };
}

/// A ruleset, ready to be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The table.
    pub table: Table,
    /// The names of rules, to which the elements of sets refer.
    pub rules: Vec<Arc<str>>,
    /// What cannot be done here as it was asked for, each in one sentence.
    pub notes: Vec<String>,
    /// For each DNS name the sets that its addresses go into: IPv4 and IPv6.
    pub names: BTreeMap<String, [String; 2]>,
}

/// What kind of address a rule goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    V4,
    V6,
    Link,
}

const LAYERS: [Layer; 3] = [Layer::V4, Layer::V6, Layer::Link];

impl Layer {
    const fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
            Self::Link => "l",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
            Self::Link => "ether_addr",
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
            Self::Link => "ether",
        }
    }

    const fn of(address: &Address) -> Self {
        match address {
            Address::Net(network) if network.is_ipv4() => Self::V4,
            Address::Net(_) => Self::V6,
            Address::Mac(_) => Self::Link,
        }
    }
}

/// Whether rules are for packets of who opens a conversation, or for replies, told by addresses and ports turned round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forth,
    Back,
}

impl Way {
    /// The field for whom a conversation is opened to.
    const fn to(self) -> &'static str {
        match self {
            Self::Forth => "daddr",
            Self::Back => "saddr",
        }
    }

    const fn from(self) -> &'static str {
        match self {
            Self::Forth => "saddr",
            Self::Back => "daddr",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Forth => "dport",
            Self::Back => "sport",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Forth => "",
            Self::Back => "re_",
        }
    }
}

/// A name as nftables takes it: what can be read of it, and a digest (64-bit FNV-1a) that keeps different names apart.
fn identifier(kind: &str, name: &str) -> String {
    let readable: String =
        name.chars().take(32).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let digest = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{kind}_{readable}_{digest:016x}")
}

/// One value, or several as a set.
fn one_or_set(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        many => format!("{{ {} }}", many.join(", ")),
    }
}

/// Makes the table of a ruleset.
///
/// # Errors
///
/// What [`Ruleset::validate`] says.
pub fn compile(ruleset: &Ruleset, support: Support) -> Result<Compiled, RulesetError> {
    ruleset.validate()?;
    let mut compiler = Compiler::new(ruleset, support);
    compiler.scaffold();
    compiler.classes();
    compiler.close();
    Ok(Compiled {
        table: compiler.table,
        rules: compiler.rules,
        notes: compiler.notes.into_iter().collect(),
        names: compiler.names,
    })
}

/// Ports, and the rule that they are of, by receiver.
pub(crate) type ByReceiver = BTreeMap<Network, Vec<(Ports, Option<u32>)>>;

/// Elements before they are in order.
type Elements = Vec<(Box<str>, Entry)>;

struct Compiler<'a> {
    ruleset: &'a Ruleset,
    support: Support,
    classes: BTreeMap<&'a str, &'a Class>,
    groups: BTreeMap<&'a str, &'a [Network]>,
    /// Outward and inward allows, by the class that they are of.
    outward: BTreeMap<&'a str, Vec<&'a Allow>>,
    inward: BTreeMap<&'a str, Vec<&'a Allow>>,
    table: Table,
    rules: Vec<Arc<str>>,
    rule_of: BTreeMap<&'a str, u32>,
    notes: BTreeSet<String>,
    names: BTreeMap<String, [String; 2]>,
    /// Elements of the sets that single devices share, by set, protocol and whether they are of IPv6.
    shared: BTreeMap<(&'static str, u8, bool), Elements>,
    /// What single devices may do to networks or by ranges of ports, by device and protocol: it must not overlap.
    ranges: BTreeMap<(Network, u8), ByReceiver>,
    /// Networks of classes and the verdict for them, by map.
    networks: BTreeMap<String, Vec<(Network, Arc<str>)>>,
}

impl<'a> Compiler<'a> {
    fn new(ruleset: &'a Ruleset, support: Support) -> Self {
        let mut outward: BTreeMap<&str, Vec<&Allow>> = BTreeMap::new();
        let mut inward: BTreeMap<&str, Vec<&Allow>> = BTreeMap::new();
        let mut rules: Vec<Arc<str>> = Vec::new();
        let mut rule_of = BTreeMap::new();
        for allow in &ruleset.allows {
            match (&allow.from, &allow.to) {
                (End::Class(class), _) => outward.entry(class).or_default().push(allow),
                (_, End::Class(class)) => inward.entry(class).or_default().push(allow),
                _ => {}
            }
            rule_of.entry(allow.name.as_str()).or_insert_with(|| {
                rules.push(allow.name.as_str().into());
                u32::try_from(rules.len() - 1).unwrap_or(u32::MAX)
            });
        }
        Self {
            ruleset,
            support,
            classes: ruleset.classes.iter().map(|class| (class.name.as_str(), class)).collect(),
            groups: ruleset.groups.iter().map(|group| (group.name.as_str(), &*group.networks)).collect(),
            outward,
            inward,
            table: Table::empty(ruleset.family, TABLE),
            rules,
            rule_of,
            notes: BTreeSet::new(),
            names: BTreeMap::new(),
            shared: BTreeMap::new(),
            ranges: BTreeMap::new(),
            networks: BTreeMap::new(),
        }
    }

    fn stateless(&self) -> bool {
        !self.support.conntrack
    }

    fn set(&mut self, name: impl Into<String>, spec: SetSpec) -> &mut Set {
        self.table.sets.entry(name.into()).or_insert_with(|| Set::new(spec))
    }

    fn rule(&mut self, chain: &str, text: impl Into<String>) {
        self.table.chains.entry(chain.into()).or_default().rules.push(Rule::new(text));
    }

    /// Whoever looks a class up: a map from hosts and one from networks for each layer.
    fn directory(&mut self, name: &str) {
        for layer in LAYERS {
            let spec = SetSpec { key: layer.key(), verdicts: true, ..SetSpec::default() };
            self.set(format!("{name}{}", layer.suffix()), spec.clone());
            if layer != Layer::Link {
                self.set(format!("{name}net{}", layer.suffix()), SetSpec { flags: "interval", ..spec });
            }
        }
    }

    /// Looks a class up. The narrower holds: an address before a network, and both before a link-layer address.
    fn look(&mut self, chain: &str, name: &str, side: &str) {
        for layer in [Layer::V4, Layer::V6] {
            let (field, suffix) = (layer.field(), layer.suffix());
            self.rule(chain, format!("{field} {side} vmap @{name}{suffix}"));
            self.rule(chain, format!("{field} {side} vmap @{name}net{suffix}"));
        }
        // On the way through a router the receiver's link-layer address is not known yet.
        if self.ruleset.family == Family::Bridged || side == "saddr" {
            self.rule(chain, format!("ether {side} vmap @{name}l"));
        }
    }

    /// What every ruleset has, so that one device more is a few elements more.
    fn scaffold(&mut self) {
        let bridged = self.ruleset.family == Family::Bridged;
        self.table.chains.insert(
            "forward".into(),
            Chain { base: Some("type filter hook forward priority 0; policy accept;"), rules: Vec::new() },
        );
        for name in ["from", "to"] {
            self.directory(name);
            if self.stateless() {
                self.directory(&format!("re_{name}"));
            }
        }
        self.guard();
        if bridged {
            self.essentials();
        }
        if self.stateless() {
            self.replies();
        } else {
            self.rule("forward", "ct state established,related counter accept");
        }
        self.look("forward", "from", "saddr");
        self.look("forward", "to", "daddr");
        if self.ruleset.strict {
            self.rule("forward", "goto cut");
        }
        self.singles();
        // From a class, if none of its own rules allowed it: whoever is asked may allow it to anyone.
        self.look("onward", "to", "daddr");
        self.rule("onward", "goto cut");
        self.cut();
    }

    fn guard(&mut self) {
        for layer in LAYERS {
            let flags = if layer == Layer::Link { "" } else { "interval" };
            let name = format!("guard{}", layer.suffix());
            let of_layer = self.ruleset.guard.iter().filter(|address| Layer::of(address) == layer);
            let keys: Vec<Box<str>> = match layer {
                Layer::Link => of_layer.map(|address| address.to_string().into()).collect(),
                _ => outermost(of_layer.filter_map(|address| match address {
                    Address::Net(network) => Some(*network),
                    Address::Mac(_) => None,
                }))
                .into_iter()
                .map(|network| network.to_string().into())
                .collect(),
            };
            let set = self.set(name.clone(), SetSpec { key: layer.key(), flags, ..SetSpec::default() });
            set.elements.extend(keys.into_iter().map(|key| (key, Entry::default())));
            for side in ["saddr", "daddr"] {
                if layer != Layer::Link || side == "saddr" || self.ruleset.family == Family::Bridged {
                    self.rule("forward", format!("{} {side} @{name} counter accept", layer.field()));
                }
            }
        }
        if self.ruleset.family == Family::Routed {
            let macs = |address: &Address| matches!(address, Address::Mac(_));
            if self.ruleset.guard.iter().any(macs)
                || self.ruleset.classes.iter().any(|class| class.members.iter().any(macs))
            {
                self.notes.insert(
                    "behind a router nobody is asked by link-layer address: such members are known by what they send only"
                        .into(),
                );
            }
        }
    }

    /// Without these nobody on a link finds anybody, so they pass a bridge: ARP (RFC 826), neighbour discovery (RFC 4861),
    /// multicast listeners (RFC 2710, RFC 3810), IGMP (RFC 3376), DHCP (RFC 2131), DHCPv6 (RFC 8415), EAPOL (IEEE 802.1X).
    fn essentials(&mut self) {
        for text in [
            "ether type { 0x0806, 0x888e } accept",
            "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept",
            "meta l4proto 2 accept",
            "udp sport { 67, 68 } udp dport { 67, 68 } accept",
            "udp sport { 546, 547 } udp dport { 546, 547 } accept",
        ] {
            self.rule("forward", text);
        }
    }

    /// Replies without the kernel's help: whatever was allowed, with addresses and ports turned round.
    fn replies(&mut self) {
        self.notes.insert(
            "the kernel does not follow conversations here: replies are told by addresses and ports turned round, TCP ones also \
             by not opening a conversation; later fragments and ICMP errors pass"
                .into(),
        );
        for text in [
            // A first fragment so small that the second one holds TCP's flags (RFC 1858, section 4.2).
            "ip frag-off & 8191 == 1 meta l4proto 6 goto cut",
            "ip frag-off & 8191 != 0 counter accept",
            "frag frag-off != 0 counter accept",
            // Errors (RFC 792: 3, 11, 12; RFC 4443, section 2.1: 1 to 4).
            "icmp type { 3, 11, 12 } counter accept",
            "icmpv6 type { 1, 2, 3, 4 } counter accept",
        ] {
            self.rule("forward", text);
        }
        self.look("forward", "re_from", "daddr");
        self.look("forward", "re_to", "saddr");
    }

    /// The chain of all single devices, and that of their replies.
    fn singles(&mut self) {
        let ways = if self.stateless() { &[Way::Forth, Way::Back][..] } else { &[Way::Forth][..] };
        for &way in ways {
            let chain = format!("{}single", way.prefix());
            self.open(&chain, way);
            let (from, to, port) = (way.from(), way.to(), way.port());
            let opening = if way == Way::Back { "goto re_open" } else { "accept" };
            for layer in [Layer::V4, Layer::V6] {
                let (field, suffix) = (layer.field(), layer.suffix());
                for (word, _) in WITH_PORTS {
                    for (set, receiver) in [
                        ("exact", format!(" . {field} {to}")),
                        ("open", String::new()),
                        ("range", format!(" . {field} {to}")),
                    ] {
                        let key = format!("{field} {from}{receiver} . {word} {port}");
                        self.rule(&chain, format!("{key} @{set}_{word}{suffix} counter {opening}"));
                    }
                }
            }
            if way == Way::Forth {
                self.rule(&chain, "goto onward");
            } else {
                self.rule("re_open", "tcp flags & (syn | ack) == syn return");
                self.rule("re_open", "accept");
            }
        }
    }

    /// The head of a class's chain.
    fn open(&mut self, chain: &str, way: Way) {
        self.table.chains.entry(chain.into()).or_default();
        if way == Way::Forth && self.support.conntrack {
            self.rule(chain, "ct state invalid counter goto cut");
        }
    }

    /// What is done with what is not allowed, and what is kept of it.
    fn cut(&mut self) {
        for layer in [Layer::V4, Layer::V6] {
            let name = format!("cut{}", layer.suffix());
            let key = match layer {
                Layer::V4 => "ipv4_addr . ipv4_addr . inet_proto . inet_service",
                _ => "ipv6_addr . ipv6_addr . inet_proto . inet_service",
            };
            let more = "timeout 1h; counter;";
            let spec = SetSpec {
                key,
                flags: "dynamic,timeout",
                size: Some(CUT_MAX),
                more,
                live: true,
                ..SetSpec::default()
            };
            self.set(name.clone(), spec);
            let field = layer.field();
            self.rule(
                "cut",
                format!(
                    "meta l4proto {{ 6, 17, 132 }} update @{name} {{ {field} saddr . {field} daddr . meta l4proto . th dport }}"
                ),
            );
        }
        let verdict = match self.ruleset.mode {
            Mode::Observe => "accept",
            Mode::Enforce => "drop",
        };
        let rule = Rule { text: format!("counter {verdict}"), comment: Some("cut".into()) };
        self.table.chains.entry("cut".into()).or_default().rules.push(rule);
    }

    fn classes(&mut self) {
        for class in &self.ruleset.classes {
            let outward = self.outward.get(class.name.as_str()).cloned().unwrap_or_default();
            let inward = self.inward.get(class.name.as_str()).cloned().unwrap_or_default();
            self.outward_of(class, &outward);
            self.inward_of(class, &inward);
        }
    }

    /// What the members of a class may open.
    fn outward_of(&mut self, class: &'a Class, allows: &[&'a Allow]) {
        let single = class.members.iter().all(|member| matches!(member, Address::Net(net) if net.is_host()))
            && class.members.len() <= 4;
        let mut rest = Vec::new();
        for allow in allows {
            if !(single && self.expand(class, allow)) {
                rest.push(*allow);
            }
        }
        let target = if single && rest.is_empty() { "single".into() } else { identifier("c", &class.name) };
        self.enter(class, "from", Way::Forth, &target);
        if !rest.is_empty() || !single {
            self.open(&target, Way::Forth);
            for allow in &rest {
                self.allow_rules(&target, allow, &allow.to, "daddr", Way::Forth);
            }
            self.rule(&target, if single { "goto single" } else { "goto onward" });
        }
        if self.stateless() && !allows.is_empty() {
            let back = format!("re_{target}");
            self.enter(class, "re_from", Way::Back, &back);
            if !rest.is_empty() || !single {
                for allow in &rest {
                    self.allow_rules(&back, allow, &allow.to, "saddr", Way::Back);
                }
                if single {
                    self.rule(&back, "jump re_single");
                }
                self.table.chains.entry(back).or_default();
            }
        }
    }

    /// What others, of no class, may open to members of a class.
    fn inward_of(&mut self, class: &'a Class, allows: &[&'a Allow]) {
        let target = if allows.is_empty() { "cut".into() } else { identifier("i", &class.name) };
        self.enter(class, "to", Way::Forth, &target);
        if allows.is_empty() {
            return;
        }
        self.open(&target, Way::Forth);
        for allow in allows {
            self.allow_rules(&target, allow, &allow.from, "saddr", Way::Forth);
        }
        self.rule(&target, "goto cut");
        if self.stateless() {
            let back = format!("re_{target}");
            self.enter(class, "re_to", Way::Back, &back);
            for allow in allows {
                self.allow_rules(&back, allow, &allow.from, "daddr", Way::Back);
            }
            self.table.chains.entry(back).or_default();
        }
    }

    /// Sends the members of a class to a chain.
    fn enter(&mut self, class: &Class, directory: &str, way: Way, chain: &str) {
        let word = if way == Way::Forth { "goto" } else { "jump" };
        let verdict: Arc<str> = format!("{word} {chain}").into();
        for member in &class.members {
            let suffix = Layer::of(member).suffix();
            match member {
                Address::Net(network) if !network.is_host() => {
                    let map = format!("{directory}net{suffix}");
                    self.networks.entry(map).or_default().push((*network, verdict.clone()));
                }
                _ => {
                    let entry = Entry { verdict: Some(verdict.clone()), ..Entry::default() };
                    if let Some(set) = self.table.sets.get_mut(&format!("{directory}{suffix}")) {
                        set.elements.insert(member.to_string().into(), entry);
                    }
                }
            }
        }
    }

    /// Puts an allow of a single device into the sets that all share; false if it does not fit there.
    fn expand(&mut self, class: &Class, allow: &'a Allow) -> bool {
        let Some((protocol, ports)) = allow.service.ports() else { return false };
        let ports = joined(ports);
        let networks = match &allow.to {
            End::Anyone => vec![Network::ALL_IPV4, Network::ALL_IPV6],
            End::Networks(networks) => outermost(networks.iter().copied()),
            End::Group(name) => outermost(self.group(name).iter().copied()),
            End::Class(name) => match self.members(name) {
                Some(networks) => networks,
                None => return false,
            },
            End::Name(_) => return false,
        };
        let hosts = networks.iter().all(Network::is_host);
        let each = if hosts { ports.iter().map(|ports| ports.count()).sum() } else { ports.len() };
        if each * networks.len() > EXPANSION_MAX && !(hosts && ports.len() * networks.len() <= EXPANSION_MAX)
        {
            return false;
        }
        let exact = hosts && each * networks.len() <= EXPANSION_MAX;
        let rule = self.rule_of.get(allow.name.as_str()).copied();
        for member in &class.members {
            let Address::Net(from) = member else { continue };
            for to in networks.iter().filter(|to| to.is_ipv4() == from.is_ipv4()) {
                for &ports in &ports {
                    if to.length() == 0 && ports.is_one() {
                        self.share(("open", protocol), to, format!("{from} . {ports}"), rule);
                    } else if exact {
                        for port in ports.first..=ports.last {
                            self.share(("exact", protocol), to, format!("{from} . {to} . {port}"), rule);
                        }
                    } else {
                        let of_device = self.ranges.entry((*from, protocol)).or_default();
                        of_device.entry(*to).or_default().push((ports, rule));
                    }
                }
            }
        }
        true
    }

    fn share(&mut self, (set, protocol): (&'static str, u8), to: &Network, key: String, rule: Option<u32>) {
        let entry = Entry { rule, ..Entry::default() };
        self.shared.entry((set, protocol, !to.is_ipv4())).or_default().push((key.into(), entry));
    }

    fn group(&self, name: &str) -> &'a [Network] {
        self.groups.get(name).copied().unwrap_or_default()
    }

    /// The networks of a class, or `None` if members are known by link-layer address.
    fn members(&self, class: &str) -> Option<Vec<Network>> {
        let members = &self.classes.get(class)?.members;
        let networks: Option<Vec<_>> = members
            .iter()
            .map(|member| match member {
                Address::Net(network) => Some(*network),
                Address::Mac(_) => None,
            })
            .collect();
        networks.map(outermost)
    }

    /// One rule for each layer and each way to say the service.
    fn allow_rules(&mut self, chain: &str, allow: &'a Allow, peer: &End, side: &str, way: Way) {
        if matches!(allow.service, Service::Ether(_)) && self.ruleset.family == Family::Routed {
            self.notes
                .insert(format!("rule {:?}: what has no network address does not pass a router", allow.name));
            return;
        }
        let comment =
            self.rule_of.get(allow.name.as_str()).and_then(|&rule| self.rules.get(rule as usize)).cloned();
        let verdict = if way == Way::Back { "goto re_open" } else { "accept" };
        let chain = chain.to_owned();
        for (layer, whom) in self.peers(peer, side) {
            let Some(what) = service(&allow.service, layer, way) else { continue };
            let text: Vec<&str> = [whom.as_str(), what.as_str(), "counter", verdict]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            let rule = Rule { text: text.join(" "), comment: comment.clone() };
            self.table.chains.entry(chain.clone()).or_default().rules.push(rule);
        }
    }

    /// How the other end of a conversation is told, on each layer on which it can be.
    fn peers(&mut self, peer: &End, side: &str) -> Vec<(Option<Layer>, String)> {
        let addresses: Vec<Address> = match peer {
            End::Anyone => return vec![(None, String::new())],
            End::Name(name) => return self.named(name, side),
            End::Networks(networks) => networks.iter().copied().map(Address::Net).collect(),
            End::Group(name) => self.group(name).iter().copied().map(Address::Net).collect(),
            End::Class(name) => {
                self.classes.get(name.as_str()).map(|class| class.members.clone()).unwrap_or_default()
            }
        };
        let mut out = Vec::new();
        for layer in LAYERS {
            if layer == Layer::Link && side == "daddr" && self.ruleset.family == Family::Routed {
                continue;
            }
            let of_layer = addresses.iter().filter(|address| Layer::of(address) == layer);
            let networks = outermost(of_layer.clone().filter_map(|address| match address {
                Address::Net(network) => Some(*network),
                Address::Mac(_) => None,
            }));
            let keys: BTreeSet<String> = match layer {
                Layer::Link => of_layer.map(Address::to_string).collect(),
                _ => networks.iter().map(Network::to_string).collect(),
            };
            if keys.is_empty() {
                continue;
            }
            let shared = match peer {
                End::Class(name) if keys.len() > 1 => Some(identifier("m", name)),
                End::Group(name) => Some(identifier("g", name)),
                _ => None,
            };
            let whom = match shared {
                Some(name) => {
                    let set = name + layer.suffix();
                    let flags = if networks.iter().all(Network::is_host) { "" } else { "interval" };
                    let spec = SetSpec { key: layer.key(), flags, ..SetSpec::default() };
                    let found = self.set(set.clone(), spec);
                    found.elements.extend(keys.into_iter().map(|key| (key.into(), Entry::default())));
                    format!("@{set}")
                }
                None => one_or_set(&keys.into_iter().collect::<Vec<_>>()),
            };
            out.push((Some(layer), format!("{} {side} {whom}", layer.field())));
        }
        out
    }

    fn named(&mut self, name: &str, side: &str) -> Vec<(Option<Layer>, String)> {
        let Some(name) = dns_name(name) else { return Vec::new() };
        let base = identifier("n", &name);
        let [four, six] = ["4", "6"].map(|suffix| format!("{base}{suffix}"));
        for (set, key) in [(&four, "ipv4_addr"), (&six, "ipv6_addr")] {
            let size = Some(NAME_ADDRESSES_MAX);
            self.set(set.clone(), SetSpec { key, flags: "timeout", size, live: true, ..SetSpec::default() });
        }
        self.names.insert(name, [four.clone(), six.clone()]);
        vec![(Some(Layer::V4), format!("ip {side} @{four}")), (Some(Layer::V6), format!("ip6 {side} @{six}"))]
    }

    /// Fills the sets that are gathered first.
    fn close(&mut self) {
        for ((from, protocol), of_device) in std::mem::take(&mut self.ranges) {
            for (to, ports, rule) in without_overlap(of_device) {
                self.share(("range", protocol), &to, format!("{from} . {to} . {ports}"), rule);
            }
        }
        for (name, flags, [key4, key6]) in SHARED {
            for ((word, protocol), (six, key)) in
                WITH_PORTS.into_iter().flat_map(|of| [(of, (false, key4)), (of, (true, key6))])
            {
                let mut elements = self.shared.remove(&(name, protocol, six)).unwrap_or_default();
                elements.sort_by(|one, other| (&one.0, one.1.rule).cmp(&(&other.0, other.1.rule)));
                elements.dedup_by(|next, kept| next.0 == kept.0);
                let room = u32::try_from(elements.len() + elements.len() / 8).unwrap_or(u32::MAX / 2);
                let size = flags.is_empty().then(|| room.next_power_of_two().max(ROOM_MIN));
                let more = if self.ruleset.count_singles { "counter;" } else { "" };
                let spec = SetSpec { key, flags, size, more, ..SetSpec::default() };
                let set = self.set(format!("{name}_{word}{}", if six { "6" } else { "4" }), spec);
                set.elements = elements.into_iter().collect();
            }
        }
        for (map, networks) in std::mem::take(&mut self.networks) {
            let Some(set) = self.table.sets.get_mut(&map) else { continue };
            for (network, verdict) in apart(networks) {
                let entry = Entry { verdict: Some(verdict), ..Entry::default() };
                set.elements.insert(network.to_string().into(), entry);
            }
        }
    }
}

/// The protocols that have ports, with their IANA numbers.
const WITH_PORTS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

/// The sets that single devices share, one of each for each protocol with ports: flags, and keys for IPv4 and IPv6. The
/// protocol is no part of the key, as the kernel and `nft` spend a sixth less on three parts than on four.
const SHARED: [(&str, &str, [&str; 2]); 3] = [
    ("exact", "", ["ipv4_addr . ipv4_addr . inet_service", "ipv6_addr . ipv6_addr . inet_service"]),
    ("open", "", ["ipv4_addr . inet_service", "ipv6_addr . inet_service"]),
    ("range", "interval", ["ipv4_addr . ipv4_addr . inet_service", "ipv6_addr . ipv6_addr . inet_service"]),
];

/// How a service is told, or `None` if nothing of it exists on this layer.
fn service(service: &Service, layer: Option<Layer>, way: Way) -> Option<String> {
    let values = |types: &BTreeSet<u8>| one_or_set(&types.iter().map(u8::to_string).collect::<Vec<_>>());
    // Answers have types of their own: RFC 792 and RFC 950; RFC 4443.
    let answers = |types: &[u8]| -> BTreeSet<u8> {
        let answer = |kind: &u8| match *kind {
            8 => Some(0),
            13 | 15 | 17 => Some(kind + 1),
            128 => Some(129),
            _ => None,
        };
        if way == Way::Back {
            types.iter().filter_map(answer).collect()
        } else {
            types.iter().copied().collect()
        }
    };
    let port = way.port();
    let with_ports = |word: &str, number: u8, ports: &[Ports]| {
        let ports = joined(ports);
        if ports == [Ports::ALL] {
            format!("meta l4proto {number}")
        } else {
            format!("{word} {port} {}", one_or_set(&ports.iter().map(Ports::to_string).collect::<Vec<_>>()))
        }
    };
    Some(match service {
        Service::Any => String::new(),
        Service::Tcp(ports) => with_ports("tcp", 6, ports),
        Service::Udp(ports) => with_ports("udp", 17, ports),
        Service::Sctp(ports) => with_ports("sctp", 132, ports),
        Service::Icmp(_) if layer == Some(Layer::V6) => return None,
        Service::Icmpv6(_) if layer == Some(Layer::V4) => return None,
        Service::Icmp(types) if types.is_empty() => "meta l4proto 1".into(),
        Service::Icmpv6(types) if types.is_empty() => "meta l4proto 58".into(),
        Service::Icmp(types) | Service::Icmpv6(types) => {
            let types = answers(types);
            if types.is_empty() {
                return None;
            }
            let word = if matches!(service, Service::Icmp(_)) { "icmp" } else { "icmpv6" };
            format!("{word} type {}", values(&types))
        }
        Service::Ip(number) => format!("meta l4proto {number}"),
        Service::Ether(_) if !matches!(layer, None | Some(Layer::Link)) => return None,
        Service::Ether(number) => format!("ether type 0x{number:04x}"),
    })
}

/// Ports by receiver so that no two overlap, of one device and protocol: what holds for a network is not said again for one
/// within it.
pub(crate) fn without_overlap(of_device: ByReceiver) -> Vec<(Network, Ports, Option<u32>)> {
    let mut out: Vec<(Network, Ports, Option<u32>)> = Vec::new();
    // Networks that hold the one at hand, with where their ports begin and end in the output.
    let mut around: Vec<(Network, usize, usize)> = Vec::new();
    for (network, mut list) in of_device {
        around.retain(|(wide, ..)| wide.holds(&network));
        list.sort_unstable();
        let begin = out.len();
        for (ports, rule) in list {
            let mut left = vec![ports];
            let wider = around.iter().flat_map(|&(_, begin, end)| begin..end).chain(begin..out.len());
            for index in wider {
                let Some(&(_, taken, _)) = out.get(index) else { continue };
                left = left.into_iter().flat_map(|ports| ports.without(taken)).collect();
            }
            out.extend(left.into_iter().map(|ports| (network, ports, rule)));
        }
        around.push((network, begin, out.len()));
    }
    out
}

/// Networks with their verdicts so that no two overlap: the narrower one holds where one lies in another.
fn apart(mut networks: Vec<(Network, Arc<str>)>) -> Vec<(Network, Arc<str>)> {
    networks.sort();
    networks.dedup_by(|next, kept| next.0 == kept.0);
    let mut out = Vec::new();
    for (position, (network, verdict)) in networks.iter().enumerate() {
        // Whatever lies in a network follows it at once.
        let inner: Vec<Network> = networks
            .iter()
            .skip(position + 1)
            .map(|(inner, _)| *inner)
            .take_while(|inner| network.holds(inner))
            .collect();
        subtract(*network, &outermost(inner), verdict, &mut out);
    }
    out
}

/// What of a network lies in none of those within it: it is halved until each part lies in one, or in none.
pub(crate) fn subtract<T: Clone>(network: Network, inner: &[Network], of: &T, out: &mut Vec<(Network, T)>) {
    let within: Vec<Network> = inner.iter().copied().filter(|inner| network.overlaps(inner)).collect();
    if within.is_empty() {
        out.push((network, of.clone()));
    } else if !within.iter().any(|inner| inner.holds(&network)) {
        for half in network.halves() {
            subtract(half, &within, of, out);
        }
    }
}

#[cfg(test)]
mod tests;
