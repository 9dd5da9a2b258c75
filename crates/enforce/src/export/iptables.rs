//! Input for `iptables-restore` and `ip6tables-restore`.

use std::collections::BTreeSet;

use crate::export::{Export, ExportError, flat, parts};
use crate::{Address, Mode, Network, Ports, Ruleset};

/// The chain that is written; another one leads to it: `-A FORWARD -j PAVISE`.
const CHAIN: &str = "PAVISE";
/// Most ports of one match; a range counts as two (iptables-extensions(8), multiport).
const MULTIPORT_MAX: usize = 15;

/// The version of IP, and so the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `iptables-restore`.
    V4,
    /// `ip6tables-restore`.
    V6,
}

/// Rules for `iptables-restore --noflush` or `ip6tables-restore --noflush`: one chain `PAVISE` that is written anew; nothing
/// else is touched.
///
/// # Errors
///
/// If the ruleset cannot be in force, or the list would be too long.
pub fn iptables_restore(ruleset: &Ruleset, version: Version) -> Result<Export, ExportError> {
    let ipv4 = version == Version::V4;
    let flat = flat(ruleset, ipv4)?;
    let mut lines = vec!["*filter".to_owned(), format!(":{CHAIN} - [0:0]")];
    let mut rule = |text: String| lines.push(format!("-A {CHAIN} {text}"));
    for guard in &ruleset.guard {
        match guard {
            Address::Net(network) if network.is_ipv4() == ipv4 => {
                rule(format!("-s {} -j ACCEPT", whom(network)));
                rule(format!("-d {} -j ACCEPT", whom(network)));
            }
            Address::Mac(mac) => rule(format!("-m mac --mac-source {mac} -j ACCEPT")),
            Address::Net(_) => {}
        }
    }
    rule("-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT".into());
    for line in &flat.lines {
        let ends = [("-s", &line.from), ("-d", &line.to)]
            .into_iter()
            .filter(|(_, network)| network.length() > 0)
            .map(|(word, network)| format!("{word} {} ", whom(network)))
            .collect::<String>();
        let comment = format!("-m comment --comment \"{}\"", line.allow.name);
        let (word, number, ports, types) = parts(&line.allow.service);
        let state = "-m conntrack --ctstate NEW";
        let protocol = match (word, number) {
            ("ip", _) | (_, None) => String::new(),
            ("", Some(number)) => format!("-p {number} "),
            (word, _) => format!("-p {word} "),
        };
        if ports.is_empty() && types.is_empty() || ports == [Ports::ALL] {
            rule(format!("{ends}{protocol}{state} {comment} -j ACCEPT"));
            continue;
        }
        for group in groups(&ports) {
            rule(format!("{ends}{protocol}-m multiport --dports {group} {state} {comment} -j ACCEPT"));
        }
        for kind in types {
            let word = if ipv4 { "--icmp-type" } else { "--icmpv6-type" };
            rule(format!("{ends}{protocol}{word} {kind} {state} {comment} -j ACCEPT"));
        }
    }
    // In one mode it is dropped, in the other counted by the rule that lets it return.
    let verdict = if ruleset.mode == Mode::Enforce { "DROP" } else { "RETURN" };
    let denied: Vec<&Network> = flat.managed.iter().collect();
    for network in denied {
        for word in ["-s", "-d"] {
            rule(format!("{word} {} -m comment --comment \"cut\" -j {verdict}", whom(network)));
        }
    }
    let macs: BTreeSet<String> = ruleset
        .classes
        .iter()
        .flat_map(|class| &class.members)
        .filter_map(|member| match member {
            Address::Mac(mac) => Some(mac.to_string()),
            Address::Net(_) => None,
        })
        .collect();
    for mac in macs {
        rule(format!("-m mac --mac-source {mac} -m comment --comment \"cut\" -j {verdict}"));
    }
    if ruleset.strict {
        rule(format!("-m comment --comment \"cut\" -j {verdict}"));
    }
    lines.push("COMMIT".into());
    Ok(Export { text: lines.join("\n") + "\n", left_out: flat.left_out.into_iter().collect() })
}

fn whom(network: &Network) -> String {
    format!("{}/{}", network.address(), network.length())
}

/// Ports in groups that one match takes.
fn groups(ports: &[Ports]) -> Vec<String> {
    let mut out: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for ports in ports {
        let (takes, text) = if ports.is_one() {
            (1, ports.first.to_string())
        } else {
            (2, format!("{}:{}", ports.first, ports.last))
        };
        match out.last_mut() {
            Some(group) if room >= takes => group.push(text),
            _ => {
                out.push(vec![text]);
                room = MULTIPORT_MAX;
            }
        }
        room -= takes;
    }
    out.iter().map(|group| group.join(",")).collect()
}
