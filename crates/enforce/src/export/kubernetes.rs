//! Policies like those of Kubernetes (networking.k8s.io/v1 NetworkPolicy), for classes that are labelled workloads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::export::{Export, ExportError, OBSERVE, plain};
use crate::ruleset::joined;
use crate::{Allow, End, Mode, Network, Ports, Ruleset, Service};

/// The label by which a workload says its class; its value is the class's name with other characters than letters, digits and -
/// turned into _.
const LABEL: &str = "pavise/class";
/// Most bytes of a label's value.
const LABEL_MAX: usize = 63;

/// One NetworkPolicy for each class, as a List in JSON: what its workloads may open and what may be opened to them. Replies are
/// implied by the format.
///
/// # Errors
///
/// If the ruleset cannot be in force.
pub fn kubernetes(ruleset: &Ruleset, namespace: &str) -> Result<Export, ExportError> {
    ruleset.validate()?;
    let mut left_out = BTreeSet::new();
    let mut labels = BTreeSet::new();
    let mut items = Vec::new();
    if !ruleset.guard.is_empty() {
        left_out.insert("the guard list: the format has no exceptions from what it denies".to_owned());
    }
    if ruleset.strict {
        left_out.insert("strict: the format says nothing of workloads that no policy selects".to_owned());
    }
    if ruleset.mode == Mode::Observe {
        left_out.insert(OBSERVE.into());
    }
    let mut opened: BTreeMap<&str, Vec<&Allow>> = BTreeMap::new();
    let mut received: BTreeMap<&str, Vec<&Allow>> = BTreeMap::new();
    for allow in &ruleset.allows {
        for (end, lists) in [(&allow.from, &mut opened), (&allow.to, &mut received)] {
            if let End::Class(name) = end {
                lists.entry(name).or_default().push(allow);
            }
        }
    }
    let groups: BTreeMap<&str, &[Network]> =
        ruleset.groups.iter().map(|group| (group.name.as_str(), group.networks.as_slice())).collect();
    for class in &ruleset.classes {
        let label = label(&class.name);
        if !labels.insert(label.clone()) {
            left_out
                .insert(format!("class {:?}: another class has the label {label:?}; rename one", class.name));
            continue;
        }
        let mut of =
            |lists: &BTreeMap<&str, Vec<&Allow>>, word: &str, peer: fn(&Allow) -> &End| -> Vec<Value> {
                let allows = lists.get(class.name.as_str()).into_iter().flatten();
                allows.filter_map(|allow| rule(allow, word, peer(allow), &groups, &mut left_out)).collect()
            };
        let egress = of(&opened, "to", |allow| &allow.to);
        let ingress = of(&received, "from", |allow| &allow.from);
        items.push(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": format!("pavise-{}", label.to_ascii_lowercase().replace('_', "-")), "namespace": namespace },
            "spec": {
                "podSelector": { "matchLabels": { LABEL: label } },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": ingress,
                "egress": egress,
            },
        }));
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    Ok(Export { text: format!("{list:#}\n"), left_out: left_out.into_iter().collect() })
}

/// Labels begin and end with a letter or digit and have at most 63 bytes.
fn label(name: &str) -> String {
    let plain: String = plain(name).chars().take(LABEL_MAX).collect();
    plain.trim_matches(['-', '_']).to_owned()
}

fn rule(
    allow: &Allow,
    word: &str,
    peer: &End,
    groups: &BTreeMap<&str, &[Network]>,
    left_out: &mut BTreeSet<String>,
) -> Option<Value> {
    let blocks = |networks: &[Network]| -> Vec<Value> {
        let block = |network: &Network| json!({ "ipBlock": { "cidr": format!("{}/{}", network.address(), network.length()) } });
        networks.iter().map(block).collect()
    };
    let mut rule = serde_json::Map::new();
    let peers: Vec<Value> = match peer {
        End::Anyone => Vec::new(),
        End::Class(name) => vec![json!({ "podSelector": { "matchLabels": { LABEL: label(name) } } })],
        End::Networks(networks) => blocks(networks),
        End::Group(name) => blocks(groups.get(name.as_str()).copied().unwrap_or_default()),
        End::Name(name) => {
            left_out.insert(format!("rule {:?}: the DNS name {name}", allow.name));
            return None;
        }
    };
    // An empty list of peers stands for everyone in this format, so that it must not come of an empty list of networks.
    if peers.is_empty() && *peer != End::Anyone {
        return None;
    }
    if !peers.is_empty() {
        rule.insert(word.into(), peers.into());
    }
    let (protocol, ports) = match &allow.service {
        Service::Any => return Some(rule.into()),
        Service::Tcp(ports) => ("TCP", ports),
        Service::Udp(ports) => ("UDP", ports),
        Service::Sctp(ports) => ("SCTP", ports),
        other => {
            left_out.insert(format!("rule {:?}: {other}, of which the format knows nothing", allow.name));
            return None;
        }
    };
    let ports: Vec<Value> = joined(ports)
        .into_iter()
        .map(|ports| match ports {
            Ports::ALL => json!({ "protocol": protocol }),
            one if one.is_one() => json!({ "protocol": protocol, "port": one.first }),
            range => json!({ "protocol": protocol, "port": range.first.max(1), "endPort": range.last }),
        })
        .collect();
    rule.insert("ports".into(), ports.into());
    Some(rule.into())
}
