//! Attributes with which a RADIUS server answers a switch or access point for a device.

use std::collections::{BTreeMap, BTreeSet};

use crate::export::{Export, ExportError, OBSERVE, flat, parts};
use crate::{Address, End, Mode, Network, Ports, Ruleset, Service};

/// The VLAN of each class, by its name: 1 to 4094 (IEEE 802.1Q).
pub type Vlans = BTreeMap<String, u16>;
/// Most bytes of a rule: it may span attributes of 253 bytes each (RFC 4849, section 2); devices take far less than that.
const RULE_MAX: usize = 253;

/// Without these nobody has an address or finds a neighbour (RFC 2131, RFC 8415, RFC 4861).
const ESSENTIAL: [&str; 6] = [
    "permit in 17 from any 68 to any 67",
    "permit out 17 from any 67 to any 68",
    "permit in 17 from any 546 to any 547",
    "permit out 17 from any 547 to any 546",
    "permit in 58 from any to any icmptypes 133,135,136",
    "permit out 58 from any to any icmptypes 134,135,136",
];

/// For each class the attributes of an Access-Accept, in the words of a FreeRADIUS `users` file: the VLAN by tunnel attributes
/// (RFC 2868; RFC 3580, section 3.31: Tunnel-Type VLAN is 13, Tunnel-Medium-Type 802 is 6) and what the device may open as
/// NAS-Filter-Rule (RFC 4849), in the IPFilterRule syntax of Diameter (RFC 6733, section 4.3.1). The rules are applied at the
/// device's own port, so its own address in them is `assigned` for what it opens.
///
/// # Errors
///
/// If the ruleset cannot be in force, or the list would be too long.
pub fn radius_attributes(ruleset: &Ruleset, vlans: &Vlans) -> Result<Export, ExportError> {
    let [four, six] = [flat(ruleset, true)?, flat(ruleset, false)?];
    let mut left_out: BTreeSet<String> =
        four.left_out.iter().filter(|text| text.starts_with("rule")).cloned().collect();
    if !ruleset.guard.is_empty() {
        left_out.insert("the guard list: guarded hosts are reached by the rules of those who ask".into());
    }
    left_out
        .insert("conversations: replies of UDP, SCTP and others pass by ports and addresses alone".into());
    if ruleset.mode == Mode::Observe {
        left_out.insert(OBSERVE.into());
    }
    let mut rules_of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in four.lines.iter().chain(&six.lines) {
        let service = &line.allow.service;
        if *service == Service::Any {
            left_out.insert(format!("rule {:?}: replies other than those of TCP", line.allow.name));
        }
        if let End::Class(class) = &line.allow.from {
            let rules = rules_of.entry(class).or_default();
            rules.extend(permits(service, "in", "assigned", &whom(&line.to), true));
            rules.extend(permits(service, "out", &whom(&line.to), "assigned", false));
        }
        if let End::Class(class) = &line.allow.to {
            let rules = rules_of.entry(class).or_default();
            rules.extend(permits(service, "out", &whom(&line.from), "assigned", true));
            rules.extend(permits(service, "in", "assigned", &whom(&line.from), false));
        }
    }
    let mut out = String::new();
    for class in &ruleset.classes {
        let mut attributes = Vec::new();
        match vlans.get(&class.name).copied() {
            Some(vlan) if (1..=4094).contains(&vlan) => {
                attributes.push("Tunnel-Type:0 = VLAN".to_owned());
                attributes.push("Tunnel-Medium-Type:0 = IEEE-802".to_owned());
                attributes.push(format!("Tunnel-Private-Group-Id:0 = \"{vlan}\""));
            }
            Some(vlan) => drop(
                left_out
                    .insert(format!("class {:?}: the VLAN {vlan}, which is not from 1 to 4094", class.name)),
            ),
            None => drop(left_out.insert(format!("class {:?}: it has no VLAN", class.name))),
        }
        let rules = ESSENTIAL.iter().map(|rule| (*rule).to_owned());
        let rules = rules.chain(rules_of.remove(class.name.as_str()).unwrap_or_default());
        let mut seen = BTreeSet::new();
        for rule in rules.filter(|rule| seen.insert(rule.clone())) {
            if rule.len() > RULE_MAX {
                left_out.insert(format!(
                    "class {:?}: a rule of {} bytes, more than {RULE_MAX}",
                    class.name,
                    rule.len()
                ));
            } else {
                attributes.push(format!("NAS-Filter-Rule += \"{rule}\""));
            }
        }
        // Nothing else; the format's own default is to deny what no rule matches once there is one.
        attributes.push("NAS-Filter-Rule += \"deny in ip from any to any\"".into());
        attributes.push("NAS-Filter-Rule += \"deny out ip from any to any\"".into());
        out += &format!("# class {}: {}\n", class.name, members(&class.members));
        out += &format!("DEFAULT Pavise-Class == \"{}\"\n\t{}\n", class.name, attributes.join(",\n\t"));
    }
    Ok(Export { text: out, left_out: left_out.into_iter().collect() })
}

fn members(members: &[Address]) -> String {
    members.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
}

fn whom(network: &Network) -> String {
    if network.length() == 0 { "any".into() } else { network.to_string() }
}

/// Rules for what opens a conversation, or for the replies: these have the ports at the other end, and TCP ones are part of a
/// conversation that is established.
fn permits(service: &Service, way: &str, from: &str, to: &str, opens: bool) -> Vec<String> {
    let (_, number, ports, types) = parts(service);
    let protocol = number.map_or_else(|| "ip".into(), |number| number.to_string());
    let ports: Vec<String> =
        ports.iter().filter(|ports| **ports != Ports::ALL).map(Ports::to_string).collect();
    let ports = if ports.is_empty() { String::new() } else { format!(" {}", ports.join(",")) };
    let established = if opens || number != Some(6) { "" } else { " established" };
    if opens {
        let types: Vec<String> = types.iter().map(u8::to_string).collect();
        let types = if types.is_empty() { String::new() } else { format!(" icmptypes {}", types.join(",")) };
        return vec![format!("permit {way} {protocol} from {from} to {to}{ports}{types}")];
    }
    match number {
        // Replies of anything cannot be told from what opens a conversation, but those of TCP can.
        None => vec![format!("permit {way} 6 from {from} to {to} established")],
        Some(1 | 58) => {
            let answers: Vec<String> = types
                .iter()
                .filter_map(|kind| match kind {
                    8 => Some(0),
                    128 => Some(129),
                    _ => None,
                })
                .map(|kind: u8| kind.to_string())
                .collect();
            if answers.is_empty() {
                return Vec::new();
            }
            vec![format!("permit {way} {protocol} from {from} to {to} icmptypes {}", answers.join(","))]
        }
        Some(_) => vec![format!("permit {way} {protocol} from {from}{ports} to {to}{established}")],
    }
}
