//! What is to be done about an incident, to whom.
//!
//! Only who did something is acted on, never to whom it was done: the actors of findings of at least high severity. By what
//! address follows from what an attacker cannot make up:
//!
//! * A device on the link is named by its own link-layer address, and by the network address that ARP, neighbour discovery or
//!   DHCP have shown to be its own. Where the attack is a lie about addresses, or two claim one, by the link-layer address alone.
//! * Whoever is reached through a router is named by network address alone, as are routers themselves: cutting a router off
//!   by its link-layer address would cut off everybody behind it.
//! * A network address alone can be made up in one packet. Unless a conversation with a handshake shows that it is true, a
//!   person is asked.
//! * Somebody elsewhere in the Internet is blocked, for all.
//! * Credentials are those of the device that has the first of these addresses; nobody's elsewhere are revoked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use detect::{LEARNING, Zone};
use enforce::respond::{Action, BlastRadius, HOLDER_MAX, Holder, Kind, Request, ResponsePolicy, Session};
use enforce::{Address, Network};
use inventory::Inventory;
use model::{
    Attribute, Device, Finding, Host, Incident, IncidentId, Locality, Reach, Severity, Side, Timestamp,
    Transport,
};

use super::known::Known;

/// So many actors of an incident are acted on, and so many conversations of each are ended.
pub(crate) const MAX_TARGETS: usize = 16;

/// Detectors whose findings say that somebody lies about addresses of the network.
const LIES: [&str; 4] = ["address-conflict", "arp-spoofing", "inbound-flood", "rogue-dhcp"];
/// Parts in which devices pass on what others send.
const PASS_ON: [&str; 4] = ["access-point", "gateway", "router", "switch"];

/// By what responses are chosen.
pub(crate) struct Site<'a> {
    pub(crate) policy: &'a ResponsePolicy,
    pub(crate) zones: &'a [Zone],
    pub(crate) guard: &'a [Address],
    pub(crate) inventory: &'a Inventory,
    pub(crate) known: &'a Known,
}

/// Something that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) incident: IncidentId,
    /// Packet time of what it follows from.
    pub(crate) at: Timestamp,
    /// To whom, in words.
    pub(crate) target: String,
    pub(crate) request: Request,
    pub(crate) cuts: BlastRadius,
    /// Why it must not be, if so.
    pub(crate) refused: Option<String>,
}

/// How somebody is named.
#[derive(Debug, PartialEq, Eq)]
struct Aim {
    addresses: Vec<Address>,
    is_outside: bool,
    /// Why a person must be asked, unless the rule names what was found: what it did may be what was done to it.
    part: Option<&'static str>,
    /// Why a person must be asked in any case: it may be another's address.
    made_up: Option<&'static str>,
}

impl Aim {
    fn ip(&self) -> Option<IpAddr> {
        self.addresses.iter().find_map(|address| match address {
            Address::Net(network) => Some(network.address()),
            Address::Mac(_) => None,
        })
    }
}

/// What is to be done about an incident with these findings, of which nobody has said that they are expected or false.
pub(crate) fn choose(
    site: &Site<'_>,
    incident: &Incident,
    findings: &[&Finding],
    at: Timestamp,
) -> Vec<Wanted> {
    let parties = || incident.actors.iter().chain(&incident.victims);
    let zones: BTreeSet<&str> = site
        .zones
        .iter()
        .filter(|zone| {
            parties().any(|party| {
                let role = site.inventory.glance(&party.host).and_then(|known| known.role);
                zone.holds(&party.host, role)
            })
        })
        .map(|zone| zone.name.as_str())
        .collect();
    let zones: Vec<&str> = zones.into_iter().collect();
    let detectors: Vec<&str> = findings.iter().map(|finding| &*finding.detector).collect();
    // What is told because of another finding is evidence of nothing.
    let evidence = || findings.iter().copied().filter(|finding| finding.because.is_empty());
    // Without those that are expected or false it may be less bad than it was.
    let worst = evidence().map(|finding| finding.severity).max().unwrap_or(Severity::Info);
    let severity = if worst >= Severity::High { incident.severity } else { worst };
    let Some(decision) = site.policy.decide(severity, &incident.stage, &detectors, &zones) else {
        return Vec::new();
    };
    let choice = decision.choice;
    let wanted = |action: Action, target: String, refused: Option<String>| {
        let cuts = BlastRadius::of(&action, site.known.open_heads());
        let reason = format!("{} (rule {})", incident.title, decision.rule);
        let request = Request { action, life: choice.life, reason, incident: Some(incident.id) };
        Wanted { incident: incident.id, at, target, request, cuts, refused }
    };
    match choice.kind {
        Kind::None => return Vec::new(),
        Kind::Notify => {
            let text = format!("{} incident {}: {}", severity, incident.id, incident.title);
            return vec![wanted(Action::Notify { text }, incident.id.to_string(), None)];
        }
        _ => {}
    }
    let least = worst.min(Severity::High);
    let mut culprits: BTreeMap<Host, Vec<&Finding>> = BTreeMap::new();
    for finding in evidence().filter(|finding| finding.severity >= least) {
        culprits.entry(finding.actor.host).or_default().push(finding);
    }
    let mut out = Vec::new();
    for (actor, findings) in culprits.into_iter().take(MAX_TARGETS) {
        let aim = aim(site, &actor, &findings);
        let label = label(site.inventory, &actor);
        let has_no_part = |ip: IpAddr| !parties().any(|party| party.host.ip.is_some_and(|of| same(of, ip)));
        let talked = |ip: IpAddr| {
            let heads = findings.iter().flat_map(|finding| &finding.conversations);
            heads.filter_map(|id| site.known.talk(*id)).any(|talk| {
                [talk.head.client, talk.head.server]
                    .iter()
                    .any(|end| end.host.ip.is_some_and(|of| same(of, ip)))
            })
        };
        let needed =
            |ip: IpAddr| site.known.needs(ip, incident.first, |peer| !has_no_part(peer) || talked(peer));
        let actions = actions(site, choice.kind, choice.packets_per_s, &aim, &findings, needed);
        // Whoever names a detector in a rule has decided what its findings are worth.
        let is_named = findings.iter().any(|finding| decision.named.contains(&*finding.detector));
        let doubt = if least < Severity::High && !is_named {
            Some("nothing that was found is of high severity")
        } else if findings.iter().all(|finding| LEARNING.contains(&&*finding.detector)) {
            Some("it is only known that something is unusual")
        } else {
            aim.part.filter(|_| !is_named).or(aim.made_up)
        };
        if actions.is_empty() {
            let lacks = match choice.kind {
                Kind::RevokeCredential => "is no device of this network, whose credentials could be revoked",
                _ => "has no address by which it could be cut off alone",
            };
            let text = format!("{} incident {}: {label} {lacks}: {}", severity, incident.id, incident.title);
            out.push(wanted(Action::Notify { text }, label, None));
            continue;
        }
        let guarded = guarded(site, &actor);
        for action in actions {
            let refused = guarded.map(|guard| format!("{guard} is on the guard list"));
            let action = if choice.ask || doubt.is_some() {
                let because = doubt.map_or_else(String::new, |doubt| format!(" ({doubt})"));
                let question = format!("{} {label}?{because} {}", words(&action), incident.title);
                Action::AskPerson { question, then: Box::new(action) }
            } else {
                action
            };
            out.push(wanted(action, label.clone(), refused));
        }
    }
    out
}

/// What is to be done, in words: "contain".
pub(crate) fn words(action: &Action) -> &'static str {
    match action {
        Action::AskPerson { then, .. } => words(then),
        _ => verb(action).0,
    }
}

/// What was done, in words: "contained".
pub(crate) fn done(action: &Action) -> &'static str {
    verb(action).1
}

/// What an action does, to be done and done.
fn verb(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Contain { .. } => ("contain", "contained"),
        Action::Quarantine { .. } => ("quarantine", "quarantined"),
        Action::RateLimit { .. } => ("limit the rate of", "limited the rate of"),
        Action::BlockDestination { device, .. } if device.is_empty() => ("block", "blocked"),
        Action::BlockDestination { .. } => ("block destinations of", "blocked destinations of"),
        Action::KillSession { .. } => ("end a conversation of", "ended a conversation of"),
        Action::RevokeCredential { .. } => {
            ("revoke the credentials of", "has asked to revoke the credentials of")
        }
        Action::AskPerson { .. } => ("ask about", "asked about"),
        Action::Notify { .. } => ("tell of", "told of"),
    }
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

/// Somebody's address, and name if there is one.
fn label(inventory: &Inventory, host: &Host) -> String {
    let device = inventory.glance(host).and_then(|known| inventory.device(known.id));
    let name = device.as_ref().map(crate::show::name).filter(|name| *name != "-").map(str::to_owned);
    let address = match (host.ip, host.mac) {
        (Some(ip), _) => ip.to_string(),
        (None, Some(mac)) => mac.to_string(),
        (None, None) => "nobody".into(),
    };
    match name {
        Some(name) => format!("{address} ({})", crate::show::plain(&name)),
        None => address,
    }
}

/// Who of the guard list somebody is, by any of the addresses of the device.
fn guarded(site: &Site<'_>, host: &Host) -> Option<Address> {
    let device = site.inventory.glance(host).and_then(|known| site.inventory.device(known.id));
    let (macs, ips) = device.map_or_else(Default::default, |Device { macs, addresses, .. }| {
        (macs, addresses.iter().map(|used| used.ip).collect::<Vec<_>>())
    });
    let macs = macs.into_iter().chain(host.mac).map(Address::from);
    let ips = ips.into_iter().chain(host.ip).map(Address::from);
    let mut all = if host.ip.is_some() && host.mac.is_some_and(|mac| site.inventory.forwards(mac)) {
        // The link-layer address is the router's.
        ips.collect::<Vec<_>>()
    } else {
        macs.chain(ips).collect()
    };
    all.retain(|address| site.guard.iter().any(|guard| guard.holds(address)));
    all.first().copied()
}

/// How somebody who did this can be named.
fn aim(site: &Site<'_>, actor: &Host, findings: &[&Finding]) -> Aim {
    let inventory = site.inventory;
    let ip = actor.ip.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_multicast() && !ip.is_unspecified());
    let mac = actor.mac.filter(|mac| mac.is_station());
    let by_ip = ip.and_then(|ip| inventory.glance(&Host::from_ip(ip)));
    let by_mac = mac.and_then(|mac| inventory.glance(&Host::from_mac(mac)));
    let talks: Vec<_> = findings
        .iter()
        .flat_map(|finding| &finding.conversations)
        .filter_map(|id| site.known.talk(*id))
        .filter_map(|talk| {
            let side = [Side::Client, Side::Server].into_iter().find(|side| {
                let host = talk.head.endpoint(*side).host;
                ip.map_or(host.mac.is_some() && host.mac == mac, |ip| host.ip.is_some_and(|of| same(of, ip)))
            });
            side.map(|side| (talk, side))
        })
        .collect();
    let is_proven = talks.iter().any(|(talk, _)| talk.is_proven);
    let came_through_a_router = talks.iter().any(|(talk, side)| talk.head.reach(*side) == Reach::Routed);
    let passes_on = mac.is_some_and(|mac| inventory.forwards(mac))
        || by_mac.and_then(|known| known.role).is_some_and(|role| PASS_ON.contains(&role));
    // Whether ARP, neighbour discovery or DHCP say so, of a device on the link.
    let is_bound = by_ip
        .filter(|known| known.locality == Locality::OnLink)
        .and_then(|known| inventory.device(known.id))
        .is_some_and(|device| {
            let mut uses = device.addresses.iter();
            uses.any(|used| used.binding.is_some() && ip.is_some_and(|ip| same(ip, used.ip)))
        });
    let lies = findings.iter().any(|finding| LIES.contains(&&*finding.detector));
    let is_outside = match (&by_ip, ip) {
        (Some(known), _) => known.locality == Locality::External,
        (None, Some(ip)) => !is_private(ip),
        (None, None) => false,
    };
    let only_asked = !talks.is_empty() && talks.iter().all(|(_, side)| *side == Side::Server);
    let state_is_wrong = only_asked && findings.iter().all(|finding| finding.victim.is_none());
    let part = (state_is_wrong && !is_outside)
        .then_some("it was only asked, and may be the one to whom something is done");
    let own = |addresses: Vec<Address>| Aim { addresses, is_outside: false, part, made_up: None };
    let by_address = |ip: IpAddr| {
        let made_up =
            (!is_proven).then_some("its address could be made up: no conversation shows that it is true");
        Aim { addresses: vec![ip.into()], is_outside, part, made_up }
    };
    match (mac.filter(|_| !passes_on && !came_through_a_router && !is_outside), ip) {
        (Some(mac), _) if lies => own(vec![mac.into()]),
        (Some(mac), None) => own(vec![mac.into()]),
        (Some(mac), Some(ip)) => match (by_ip, by_mac) {
            (Some(one), Some(other)) if one.id == other.id && is_bound => own(vec![mac.into(), ip.into()]),
            // The address is that of another device on the link, which must not be cut off for it.
            (Some(one), Some(other)) if one.id != other.id && is_bound => Aim {
                made_up: talks.is_empty().then_some("two devices use its address"),
                ..own(vec![mac.into()])
            },
            // The link-layer address may be that of a router of which nothing is known yet.
            _ => by_address(ip),
        },
        (None, Some(_)) if lies => Aim { addresses: Vec::new(), is_outside, part: None, made_up: None },
        (None, Some(ip)) => by_address(ip),
        (None, None) => Aim { addresses: Vec::new(), is_outside: false, part: None, made_up: None },
    }
}

/// Addresses that nobody in the Internet has (RFC 1918, RFC 3927, RFC 4193, RFC 4291 section 2.5.6, RFC 6598).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

fn actions(
    site: &Site<'_>,
    kind: Kind,
    packets_per_s: u32,
    aim: &Aim,
    findings: &[&Finding],
    needed: impl Fn(IpAddr) -> Vec<enforce::respond::Need>,
) -> Vec<Action> {
    let device = aim.addresses.clone();
    let Some(first) = device.first() else { return Vec::new() };
    let ip = aim.ip();
    let cut_off = || match ip {
        Some(ip) if aim.is_outside => {
            Action::BlockDestination { device: Vec::new(), to: vec![Network::host(ip)] }
        }
        Some(ip) => Action::Contain { device: device.clone(), needed: needed(ip) },
        // What it needs is known by network address only.
        None => Action::Quarantine { device: device.clone() },
    };
    match kind {
        Kind::None | Kind::Notify => Vec::new(),
        Kind::RevokeCredential => revocation(site, aim).into_iter().collect(),
        Kind::RateLimit => vec![Action::RateLimit { device: device.clone(), packets_per_s }],
        Kind::Quarantine if !aim.is_outside => vec![Action::Quarantine { device: device.clone() }],
        Kind::Contain | Kind::Quarantine => vec![cut_off()],
        Kind::BlockDestination => {
            let is_other = |ip: &IpAddr| !first.holds(&Address::from(*ip)) && !ip.is_multicast();
            let victims = findings.iter().filter_map(|finding| finding.victim?.host.ip).filter(is_other);
            let to: BTreeSet<Network> = victims.map(Network::host).collect();
            match ip {
                Some(ip) if !aim.is_outside && !to.is_empty() => {
                    let to = to.into_iter().take(enforce::respond::TARGETS_MAX - 1).collect();
                    vec![Action::BlockDestination { device: vec![Network::host(ip)], to }]
                }
                _ => vec![cut_off()],
            }
        }
        Kind::KillSession => {
            let mut ids: Vec<_> = findings.iter().flat_map(|finding| &finding.conversations).collect();
            ids.sort_unstable();
            ids.dedup();
            let open = ids.into_iter().filter(|id| site.known.is_open(**id));
            let sessions = open.filter_map(|id| session(&site.known.talk(*id)?.head));
            sessions.take(MAX_TARGETS).map(|session| Action::KillSession { session }).collect()
        }
    }
}

/// That the credentials of a device are revoked, by its id and what its issuer may know it by.
fn revocation(site: &Site<'_>, aim: &Aim) -> Option<Action> {
    let host = match aim.addresses.first()? {
        _ if aim.is_outside => return None,
        Address::Mac(mac) => Host::from_mac(*mac),
        Address::Net(network) => Host::from_ip(network.address()),
    };
    let device = site.inventory.glance(&host).and_then(|known| site.inventory.device(known.id))?;
    let holder = Box::new(holder(&device, site.known));
    Some(Action::RevokeCredential { credential: device.id.to_string(), holder: Some(holder) })
}

/// What the issuer of a device's credentials may know it by.
fn holder(device: &Device, known: &Known) -> Holder {
    let names = [Attribute::Hostname, Attribute::Label].into_iter();
    let names = names.filter_map(|attribute| device.attributes.get(&attribute)).flatten();
    let addresses = device.addresses.iter().rev().map(|used| used.ip);
    Holder {
        device: device.id,
        names: names.map(|evidence| evidence.value.to_string()).take(HOLDER_MAX).collect(),
        macs: device.macs.iter().copied().take(HOLDER_MAX).collect(),
        // The latest ones.
        addresses: addresses.take(HOLDER_MAX).collect(),
        certificates: known.certificates(device).take(HOLDER_MAX).cloned().collect(),
    }
}

fn session(head: &model::FlowHead) -> Option<Session> {
    let protocol = match head.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
        _ => return None,
    };
    let at = |end: &model::Endpoint| Some(std::net::SocketAddr::new(end.host.ip?, end.port));
    Some(Session { protocol, client: at(&head.client)?, server: at(&head.server)? })
}

/// A time in words: "1 h".
pub(crate) fn time(life: Duration) -> String {
    match life.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests;
