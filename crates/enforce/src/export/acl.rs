//! Access control lists of switches and routers that do not follow conversations: replies are permitted by ports turned round,
//! TCP ones only if they do not open a conversation.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::export::{Export, ExportError, Flat, LINES_MAX, Line, OBSERVE, flat, parts};
use crate::{Address, Mode, Network, Ports, Ruleset, Service};

/// How a vendor writes an entry.
struct Dialect {
    /// An address or network.
    whom: fn(&Network) -> String,
    /// A range of ports, with the blank before it.
    ports: fn(Ports) -> String,
    /// A protocol without a word of its own.
    ip: fn(bool) -> &'static str,
    icmpv6: &'static str,
    established: &'static str,
    /// An entry, by its number in the list.
    entry: fn(bool, usize, &str) -> String,
    /// Whether it knows SCTP's ports.
    sctp: bool,
}

/// Most characters of a remark (Cisco IOS Security Command Reference, `remark`).
const REMARK_MAX: usize = 100;

/// An extended access list of Cisco IOS and IOS-XE, named and numbered by tens (Cisco IOS Security Command Reference,
/// `ip access-list extended`, `ipv6 access-list`): one for IPv4 and one for IPv6.
///
/// # Errors
///
/// If the ruleset cannot be in force, or the list would be too long.
pub fn cisco_ios(ruleset: &Ruleset, name: &str) -> Result<Export, ExportError> {
    let dialect = Dialect {
        whom: |network| match (network.address(), network.length()) {
            (_, 0) => "any".into(),
            (IpAddr::V4(ip), 32) => format!("host {ip}"),
            // Wildcard bits are those that do not matter.
            (IpAddr::V4(ip), length) => {
                let wildcard = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                format!("{ip} {}", std::net::Ipv4Addr::from_bits(wildcard))
            }
            (IpAddr::V6(ip), 128) => format!("host {ip}"),
            (IpAddr::V6(_), _) => network.to_string(),
        },
        ports: |ports| match ports {
            Ports::ALL => String::new(),
            one if one.is_one() => format!(" eq {}", one.first),
            range => format!(" range {} {}", range.first, range.last),
        },
        ip: |ipv4| if ipv4 { "ip" } else { "ipv6" },
        icmpv6: "icmp",
        established: " established",
        entry: |ipv4, number, text| match (ipv4, text.strip_prefix("remark")) {
            (_, Some(_)) => {
                format!(" {}\n", text.chars().take("remark ".len() + REMARK_MAX).collect::<String>())
            }
            (true, None) => format!(" {number} {text}\n"),
            (false, None) => format!(" sequence {number} {text}\n"),
        },
        sctp: false,
    };
    both(ruleset, &dialect, |ipv4| match ipv4 {
        true => format!("ip access-list extended {}\n", super::plain(name)),
        false => format!("ipv6 access-list {}-v6\n", super::plain(name)),
    })
}

/// An access list of Aruba CX (AOS-CX ACLs and Classifier Policies Guide, `access-list ip`, `access-list ipv6`), counted entry by
/// entry: one for IPv4 and one for IPv6.
///
/// # Errors
///
/// If the ruleset cannot be in force, or the list would be too long.
pub fn aruba_cx(ruleset: &Ruleset, name: &str) -> Result<Export, ExportError> {
    let dialect = Dialect {
        whom: |network| if network.length() == 0 { "any".into() } else { network.to_string() },
        ports: |ports| match ports {
            Ports::ALL => String::new(),
            one if one.is_one() => format!(" eq {}", one.first),
            range => format!(" range {} {}", range.first, range.last),
        },
        ip: |_| "any",
        icmpv6: "icmpv6",
        established: " established",
        entry: |_, number, text| match text.strip_prefix("remark") {
            Some(comment) => format!("    {number} comment{comment}\n"),
            None => format!("    {number} {text} count\n"),
        },
        sctp: true,
    };
    both(ruleset, &dialect, |ipv4| {
        let (word, suffix) = if ipv4 { ("ip", "") } else { ("ipv6", "-v6") };
        format!("access-list {word} {}{suffix}\n", super::plain(name))
    })
}

fn both(ruleset: &Ruleset, dialect: &Dialect, head: impl Fn(bool) -> String) -> Result<Export, ExportError> {
    let mut export = Export::default();
    let mut left_out = BTreeSet::new();
    for ipv4 in [true, false] {
        let flat = flat(ruleset, ipv4)?;
        left_out.extend(flat.left_out.iter().cloned());
        left_out.extend(flat.lines.iter().filter_map(|line| unsaid(line, dialect)));
        let entries = entries(ruleset, &flat, dialect, ipv4)?;
        export.text += &head(ipv4);
        for (index, entry) in entries.iter().enumerate() {
            export.text += &(dialect.entry)(ipv4, 10 * (index + 1), entry);
        }
    }
    left_out
        .insert("conversations: replies of UDP, SCTP and others pass by ports and addresses alone".into());
    let macs = ruleset.guard.iter().any(|guard| matches!(guard, Address::Mac(_)));
    if macs {
        left_out.insert("the guard list: link-layer addresses".into());
    }
    if ruleset.mode == Mode::Observe {
        left_out.insert(OBSERVE.into());
    }
    export.left_out = left_out.into_iter().collect();
    Ok(export)
}

fn entries(
    ruleset: &Ruleset,
    flat: &Flat<'_>,
    dialect: &Dialect,
    ipv4: bool,
) -> Result<Vec<String>, ExportError> {
    let mut out = Vec::new();
    let any = (dialect.ip)(ipv4);
    for guard in &ruleset.guard {
        if let Address::Net(network) = guard
            && network.is_ipv4() == ipv4
        {
            let whom = (dialect.whom)(network);
            out.push(format!("permit {any} {whom} any"));
            out.push(format!("permit {any} any {whom}"));
        }
    }
    // Without an address of its own nobody is spoken to (RFC 2131, RFC 8415).
    let (client, server) = if ipv4 { (68, 67) } else { (546, 547) };
    out.push(format!("permit udp any eq {client} any eq {server}"));
    out.push(format!("permit udp any eq {server} any eq {client}"));
    // A neighbour that is not found is not spoken to (RFC 4861).
    if !ipv4 {
        let icmp = dialect.icmpv6;
        for kind in [133, 134, 135, 136] {
            out.push(format!("permit {icmp} any any {}", icmp_type(dialect, kind)));
        }
    }
    let mut last = None;
    for line in &flat.lines {
        if last != Some(&line.allow.name) {
            out.push(format!("remark {}", line.allow.name));
            last = Some(&line.allow.name);
        }
        permits(line, dialect, ipv4, &mut out);
        if out.len() > LINES_MAX {
            return Err(ExportError::TooLong);
        }
    }
    out.push("remark all else of those who are managed".into());
    for network in &flat.managed {
        let whom = (dialect.whom)(network);
        out.push(format!("deny {any} {whom} any"));
        out.push(format!("deny {any} any {whom}"));
    }
    out.push(format!("{} {any} any any", if ruleset.strict { "deny" } else { "permit" }));
    if out.len() > LINES_MAX { Err(ExportError::TooLong) } else { Ok(out) }
}

/// What of a line cannot be said.
fn unsaid(line: &Line<'_>, dialect: &Dialect) -> Option<String> {
    let name = &line.allow.name;
    match &line.allow.service {
        Service::Any => Some(format!("rule {name:?}: replies other than those of TCP")),
        Service::Sctp(_) if !dialect.sctp => Some(format!("rule {name:?}: {}", line.allow.service)),
        _ => None,
    }
}

fn icmp_type(dialect: &Dialect, kind: u8) -> String {
    if dialect.icmpv6 == "icmp" { kind.to_string() } else { format!("icmp-type {kind}") }
}

/// Both ways of what is allowed.
fn permits(line: &Line<'_>, dialect: &Dialect, ipv4: bool, out: &mut Vec<String>) {
    let (from, to) = ((dialect.whom)(&line.from), (dialect.whom)(&line.to));
    let (word, number, ports, types) = parts(&line.allow.service);
    let mut push = |text: String| out.push(text);
    match (word, number) {
        ("ip", _) => {
            let any = (dialect.ip)(ipv4);
            push(format!("permit {any} {from} {to}"));
            // Replies of TCP; those of other protocols cannot be told from what opens a conversation.
            push(format!("permit tcp {to} {from}{}", dialect.established));
        }
        ("sctp", _) if !dialect.sctp => {}
        ("tcp" | "udp" | "sctp", _) => {
            let established = if word == "tcp" { dialect.established } else { "" };
            for ports in ports {
                let ports = (dialect.ports)(ports);
                push(format!("permit {word} {from} {to}{ports}"));
                push(format!("permit {word} {to}{ports} {from}{established}"));
            }
        }
        ("icmp" | "icmpv6", _) => {
            let word = if ipv4 { "icmp" } else { dialect.icmpv6 };
            if types.is_empty() {
                push(format!("permit {word} {from} {to}"));
            }
            for kind in types {
                push(format!("permit {word} {from} {to} {}", icmp_type(dialect, kind)));
                let answer = match (ipv4, kind) {
                    (true, 8) => Some(0),
                    (false, 128) => Some(129),
                    _ => None,
                };
                if let Some(answer) = answer {
                    push(format!("permit {word} {to} {from} {}", icmp_type(dialect, answer)));
                }
            }
        }
        (_, Some(number)) => {
            push(format!("permit {number} {from} {to}"));
            push(format!("permit {number} {to} {from}"));
        }
        (_, None) => {}
    }
}
