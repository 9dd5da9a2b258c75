//! Writing: the same description always gives the same bytes.
//!
//! Fields stand in the order of the modules (RFC 8520, sections 7 and 8; RFC 8519, section 4), those that are not
//! understood behind them by name, two spaces deeper at each step, with a line feed at the end.

use serde_json::{Map, Value};

use crate::file::{Ace, Acl, Eth, Ip, L4, Matches, MudFile, MudMatch, Ports, Unknown};

/// A description as JSON.
pub fn write(file: &MudFile) -> Vec<u8> {
    let mut root = Node::object();
    root.add("ietf-mud:mud", mud(file));
    let mut acls = Node::object();
    if !file.acls.is_empty() {
        acls.add("acl", Node::List(file.acls.iter().map(acl).collect()));
    }
    root.add("ietf-access-control-list:acls", acls);
    root.restore(&file.unknown);
    let mut out = String::new();
    root.print(&mut out, 0);
    out.push('\n');
    out.into_bytes()
}

/// JSON whose objects keep their order.
enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    Value(Value),
}

impl Node {
    const fn object() -> Self {
        Self::Object(Vec::new())
    }

    fn add(&mut self, name: &str, node: impl Into<Self>) {
        if let Self::Object(fields) = self {
            fields.push((name.to_owned(), node.into()));
        }
    }

    fn add_some(&mut self, name: &str, node: Option<impl Into<Self>>) {
        if let Some(node) = node {
            self.add(name, node);
        }
    }

    /// A leaf of type `empty` (RFC 7951, section 6.9).
    fn add_empty(&mut self, name: &str, is_there: bool) {
        if is_there {
            self.add(name, Self::List(vec![Self::Value(Value::Null)]));
        }
    }

    /// Puts back what was not understood, where it stood. Fields that are there already stay.
    fn restore(&mut self, unknown: &Unknown) {
        for (path, value) in unknown {
            let mut names: Vec<String> =
                path.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
            let last = names.pop().unwrap_or_default();
            let mut at = &mut *self;
            for name in names {
                let Self::Object(fields) = at else { break };
                let place = fields.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    fields.push((name, Self::object()));
                    fields.len() - 1
                });
                at = &mut fields[place].1;
            }
            if let Self::Object(fields) = at
                && fields.iter().all(|(known, _)| *known != last)
            {
                fields.push((last, Self::from(value)));
            }
        }
    }

    fn print(&self, out: &mut String, depth: usize) {
        let (open, close, many) = match self {
            Self::Object(fields) => ('{', '}', fields.len()),
            Self::List(nodes) => ('[', ']', nodes.len()),
            Self::Value(value) => {
                out.push_str(&value.to_string());
                return;
            }
        };
        out.push(open);
        for place in 0..many {
            out.push_str(if place == 0 { "\n" } else { ",\n" });
            out.extend(std::iter::repeat_n("  ", depth + 1));
            match self {
                Self::Object(fields) => {
                    let (name, node) = &fields[place];
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push_str(": ");
                    node.print(out, depth + 1);
                }
                Self::List(nodes) => nodes[place].print(out, depth + 1),
                Self::Value(_) => {}
            }
        }
        if many > 0 {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
        out.push(close);
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Value(text.into())
    }
}

impl From<&String> for Node {
    fn from(text: &String) -> Self {
        Self::Value(text.as_str().into())
    }
}

impl From<u16> for Node {
    fn from(number: u16) -> Self {
        Self::Value(number.into())
    }
}

/// What was not understood, with fields by name.
impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(fields) => Self::Object(sorted(fields)),
            Value::Array(values) => Self::List(values.iter().map(Self::from).collect()),
            other => Self::Value(other.clone()),
        }
    }
}

fn sorted(fields: &Map<String, Value>) -> Vec<(String, Node)> {
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), Node::from(value))).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn mud(file: &MudFile) -> Node {
    let mut mud = Node::object();
    mud.add("mud-version", 1);
    mud.add("mud-url", &file.url);
    mud.add("last-update", &file.last_update);
    mud.add_some("mud-signature", file.signature.as_ref());
    mud.add_some("cache-validity", file.cache_validity.map(u16::from));
    mud.add("is-supported", Node::Value(file.is_supported.into()));
    for (name, text) in [
        ("systeminfo", &file.systeminfo),
        ("mfg-name", &file.mfg_name),
        ("model-name", &file.model_name),
        ("firmware-rev", &file.firmware_rev),
        ("software-rev", &file.software_rev),
        ("documentation", &file.documentation),
    ] {
        mud.add_some(name, text.as_ref());
    }
    if !file.extensions.is_empty() {
        mud.add("extensions", Node::List(file.extensions.iter().map(Node::from).collect()));
    }
    for (name, lists) in [("from-device-policy", &file.from_device), ("to-device-policy", &file.to_device)] {
        let entry = |name| {
            let mut entry = Node::object();
            entry.add("name", name);
            entry
        };
        let (mut policy, mut access) = (Node::object(), Node::object());
        access.add("access-list", Node::List(lists.iter().map(entry).collect()));
        policy.add("access-lists", access);
        mud.add(name, policy);
    }
    mud
}

fn acl(acl: &Acl) -> Node {
    let mut node = Node::object();
    node.add("name", &acl.name);
    node.add_some("type", acl.kind.map(|kind| kind.name()));
    let mut aces = Node::object();
    aces.add("ace", Node::List(acl.aces.iter().map(ace).collect()));
    node.add("aces", aces);
    node.restore(&acl.unknown);
    node
}

fn ace(ace: &Ace) -> Node {
    let mut node = Node::object();
    node.add("name", &ace.name);
    node.add("matches", matches(&ace.matches));
    let mut actions = Node::object();
    actions.add("forwarding", ace.forwarding.name());
    node.add("actions", actions);
    node.restore(&ace.unknown);
    node
}

fn matches(matches: &Matches) -> Node {
    let mut node = Node::object();
    if matches.mud != MudMatch::default() {
        node.add("ietf-mud:mud", mud_match(&matches.mud));
    }
    node.add_some("eth", matches.eth.as_ref().map(eth));
    if let Some(found) = &matches.ip {
        node.add(found.version.name(), ip(found));
    }
    match &matches.l4 {
        Some(L4::Tcp { source, destination, initiated }) => {
            let mut tcp = ends(*source, *destination);
            tcp.add_some("ietf-mud:direction-initiated", initiated.map(|side| side.name()));
            node.add("tcp", tcp);
        }
        Some(L4::Udp { source, destination }) => node.add("udp", ends(*source, *destination)),
        Some(L4::Icmp { kind, code }) => {
            let mut icmp = Node::object();
            icmp.add_some("type", kind.map(u16::from));
            icmp.add_some("code", code.map(u16::from));
            node.add("icmp", icmp);
        }
        None => {}
    }
    node
}

fn mud_match(found: &MudMatch) -> Node {
    let mut node = Node::object();
    node.add_some("manufacturer", found.manufacturer.as_ref());
    node.add_empty("same-manufacturer", found.same_manufacturer);
    node.add_some("model", found.model.as_ref());
    node.add_empty("local-networks", found.local_networks);
    node.add_some("controller", found.controller.as_ref());
    node.add_empty("my-controller", found.my_controller);
    node
}

fn eth(eth: &Eth) -> Node {
    let mut node = Node::object();
    node.add_some("destination-mac-address", eth.destination.map(|mac| Node::Value(mac.to_string().into())));
    node.add_some("source-mac-address", eth.source.map(|mac| Node::Value(mac.to_string().into())));
    node.add_some("ethertype", eth.ethertype.map(|kind| Node::Value(format!("0x{kind:04x}").into())));
    node
}

fn ip(ip: &Ip) -> Node {
    let mut node = Node::object();
    node.add_some("ietf-acldns:src-dnsname", ip.source_name.as_ref());
    node.add_some("ietf-acldns:dst-dnsname", ip.destination_name.as_ref());
    node.add_some("protocol", ip.protocol.map(u16::from));
    for (side, network) in [("source", ip.source), ("destination", ip.destination)] {
        let name = format!("{side}-{}-network", ip.version.name());
        node.add_some(&name, network.map(|network| Node::Value(network.to_string().into())));
    }
    node
}

fn ends(source: Option<Ports>, destination: Option<Ports>) -> Node {
    let mut node = Node::object();
    node.add_some("source-port", source.map(ports));
    node.add_some("destination-port", destination.map(ports));
    node
}

fn ports(ports: Ports) -> Node {
    let mut node = Node::object();
    let (operator, port) = match ports {
        Ports::Range(bottom, top) => {
            node.add("lower-port", bottom);
            node.add("upper-port", top);
            return node;
        }
        Ports::Eq(port) => ("eq", port),
        Ports::Neq(port) => ("neq", port),
        Ports::Lte(port) => ("lte", port),
        Ports::Gte(port) => ("gte", port),
    };
    node.add("operator", operator);
    node.add("port", port);
    node
}
