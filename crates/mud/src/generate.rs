//! A description of what a device was seen to do.
//!
//! What was seen becomes rules in the words of RFC 8520 rather than in addresses: classes of controllers, the same
//! maker, the local networks, names. What comes later must not be cut, so a set is given up for what holds it (names
//! and addresses for any address, ports for a range) once it has shown that it keeps growing. Whether it does is
//! estimated as Good and Turing do (I. J. Good, Biometrika 40, 1953), by day: the share of the conversations of a day
//! that is with whom no other day knows is what a day to come will bring.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Timestamp, Transport};

use crate::decide::{Conversation, Peer, decide, is_default, protocol};
use crate::file::{
    Ace, Acl, AclKind, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, MudMatch, Network, Ports,
    Unknown, authority,
};
use crate::read::{host_name, moment};

/// A set is whole if no more than this share of what is to come is not in it.
pub const MAX_UNSEEN: f64 = 0.001;
/// Fewer members that came once show no growth.
pub const MIN_NEW: u32 = 3;
/// With fewer days, what came in one conversation only is new, not what came on one day only.
pub const MIN_DAYS: usize = 3;
/// Most names or addresses for one service; more become any address.
pub const MAX_PEERS: usize = 64;
/// Most ports with one peer; more become a range.
pub const MAX_PORTS: usize = 16;
/// Most rules for each version of IP; those of the fewest conversations are left out.
pub const MAX_RULES: usize = 500;

/// Most notes that are told of one description, and one that tells how many are left out.
pub const MAX_NOTES: usize = 200;

/// Where the ports begin that are taken for the time of a conversation (RFC 6335, section 6), that Linux takes, and
/// that no privilege is needed for.
const RANGES: [u16; 3] = [49_152, 32_768, 1_024];

/// Groups that are the same in both versions of IP: mDNS (RFC 6762, section 3), LLMNR (RFC 4795, section 2), SSDP and WS-Discovery
/// (UPnP Device Architecture 2.0, annex A), CoAP (RFC 7252, section 12.8).
const GROUPS: [(Ipv4Addr, Ipv6Addr); 4] = [
    (Ipv4Addr::new(224, 0, 0, 251), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
    (Ipv4Addr::new(224, 0, 0, 252), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 3)),
    (Ipv4Addr::new(239, 255, 255, 250), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x0c)),
    (Ipv4Addr::new(224, 0, 1, 187), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfd)),
];

/// NTP (RFC 5905, section 7.2), which only one protocol has at that port.
const NTP: Service = Service::Ports(Ports::Eq(123));

/// What a device was seen to do with one peer: conversations that differ in nothing that a rule can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Who opened them.
    pub initiator: Initiator,
    /// The other end.
    pub peer: Peer,
    /// The version of IP; conversations over something else are not described.
    pub version: Option<IpVersion>,
    /// What carried them.
    pub transport: Transport,
    /// The port that was asked for, where there is one.
    pub server_port: Option<u16>,
    /// The port that was asked from, if it was always the same.
    pub client_port: Option<u16>,
    /// Type and code of the first ICMP message.
    pub icmp: Option<(u8, u8)>,
    /// The application protocol's id, where it is known. For people: no rule can tell it.
    pub protocol: Option<String>,
    /// Whether the other end answered.
    pub is_answered: bool,
    /// Bytes in both directions.
    pub bytes: u64,
    /// How many conversations they were.
    pub count: u64,
    /// When the first began.
    pub first: Timestamp,
    /// When the last ended.
    pub last: Timestamp,
    /// On how many days (UTC) they were.
    pub days: u32,
}

impl Seen {
    /// One of the conversations.
    pub fn conversation(&self) -> Conversation {
        // A port that was taken for the time of a conversation, if it is not known.
        let client = self.server_port.and(Some(self.client_port.unwrap_or(u16::MAX)));
        let (device_port, peer_port) = match self.initiator {
            Initiator::Device => (client, self.server_port),
            Initiator::Peer => (self.server_port, client),
        };
        Conversation {
            initiator: self.initiator,
            peer: self.peer.clone(),
            device: None,
            version: self.version,
            transport: self.transport,
            device_port,
            peer_port,
            icmp: self.icmp,
            is_answered: self.is_answered,
        }
    }

    /// Whether it is sent to a group of hosts.
    fn is_to_group(&self) -> bool {
        self.initiator == Initiator::Device && self.peer.address.is_some_and(|address| is_group(&address))
    }

    /// Whether it shows what the device is for. Knocking where nobody answers does not: it is what a scan does,
    /// whoever scans. Asking a name that somebody gave to the device does, and so does what recurs.
    fn is_evidence(&self) -> bool {
        let is_asked_by_name = self.initiator == Initiator::Device && !self.peer.names.is_empty();
        self.is_answered
            || self.is_to_group()
            || is_asked_by_name
            || self.transport != Transport::Tcp && self.days > 1
    }
}

fn is_group(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

/// What is said about the device besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Where the file will be; `https`.
    pub url: String,
    /// When it is made: RFC 3339.
    pub last_update: String,
    /// What the device is; cut off after 60 characters.
    pub systeminfo: Option<String>,
    /// The maker's name.
    pub mfg_name: Option<String>,
    /// The model's name.
    pub model_name: Option<String>,
    /// The firmware's revision.
    pub firmware_rev: Option<String>,
}

/// Why no description was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The MUD URL is none.
    #[error("{0:?} is no https URL with the name of a host, which a MUD URL must be (RFC 8520, section 6)")]
    Url(String),
    /// The time is none.
    #[error("{0:?} is no date and time of RFC 3339, as last-update must be (RFC 8520, section 3.4)")]
    LastUpdate(String),
}

/// Something that was decided on the way and that people should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What it is about.
    pub about: String,
    /// What was decided, and why.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.what)
    }
}

/// A description that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The description.
    pub file: MudFile,
    /// What was decided on the way, in order.
    pub notes: Vec<Note>,
    /// Share of the conversations to come that will be with whom or what was not seen, and so would be cut, at most
    /// with a confidence of 95 %. Above [`MAX_UNSEEN`], go on watching.
    pub unseen: f64,
}

/// Who the other end of a rule is, the narrowest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    MyController,
    Class(String),
    SameManufacturer,
    Group(IpAddr),
    Name(String),
    Address(IpAddr),
    Local,
    Any,
}

impl Who {
    fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Any => true,
            // Whoever is named by a class or by the maker was seen in the local networks.
            Self::Local => {
                matches!(other, Self::Local | Self::SameManufacturer | Self::MyController | Self::Class(_))
            }
            one => one == other,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MyController => f.write_str("my-controller"),
            Self::Class(class) => f.write_str(class.rsplit([':', '/']).next().unwrap_or(class)),
            Self::SameManufacturer => f.write_str("same-manufacturer"),
            Self::Name(name) => f.write_str(name),
            Self::Group(address) | Self::Address(address) => write!(f, "{address}"),
            Self::Local => f.write_str("local"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Whole,
    Ports(Ports),
    Icmp(u8),
}

impl Service {
    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole, _) => true,
            (Self::Ports(one), Self::Ports(other)) => one.covers(other),
            (one, other) => one == other,
        }
    }
}

/// Rules that can be seen together: those of one direction and one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    version: IpVersion,
    protocol: u8,
    initiator: Initiator,
}

/// A rule to be: both of its directions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    who: Who,
    service: Service,
}

/// How much of it was seen.
#[derive(Clone, Debug, Default)]
struct Evidence {
    count: u64,
    /// Days on which it was certainly seen, since the epoch.
    days: BTreeSet<u64>,
    most_days: u32,
    is_sent: bool,
    is_received: bool,
}

impl Evidence {
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.days.extend(&other.days);
        self.most_days = self.most_days.max(other.most_days);
        self.is_sent |= other.is_sent;
        self.is_received |= other.is_received;
    }

    fn is_new(&self, by_day: bool) -> bool {
        if by_day { self.days.len().max(self.most_days as usize) < 2 } else { self.count < 2 }
    }
}

/// How far a set has grown.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    /// Conversations with all, and with what is new.
    all: u64,
    new: u64,
    singles: u32,
}

impl Growth {
    fn of<'a>(members: impl Iterator<Item = &'a Evidence>, by_day: bool) -> Self {
        members.fold(Self::default(), |mut growth, member| {
            growth.all = growth.all.saturating_add(member.count);
            if member.is_new(by_day) {
                growth.new = growth.new.saturating_add(member.count);
                growth.singles = growth.singles.saturating_add(1);
            }
            growth
        })
    }

    /// The share of conversations to come that is with something new, scaled by how many new members there may as well
    /// have been.
    fn share(self, singles: f64) -> f64 {
        let each = self.new.max(1) as f64 / f64::from(self.singles.max(1));
        (each * singles / self.all.max(1) as f64).min(1.0)
    }

    /// Whether it certainly keeps growing.
    fn is_open(self) -> bool {
        self.singles >= MIN_NEW && self.share(poisson_lower(self.singles)) > MAX_UNSEEN
    }
}

/// The ends of the one-sided 95 % intervals of a Poisson mean of which `count` were seen (E. B. Wilson and M. M.
/// Hilferty, PNAS 17, 1931).
fn poisson_upper(count: u32) -> f64 {
    let mean = f64::from(count) + 1.0;
    mean * (1.0 - 1.0 / (9.0 * mean) + 1.645 / (3.0 * mean.sqrt())).powi(3)
}

fn poisson_lower(count: u32) -> f64 {
    let mean = f64::from(count.max(1));
    mean * (1.0 - 1.0 / (9.0 * mean) - 1.645 / (3.0 * mean.sqrt())).max(0.0).powi(3)
}

/// Makes a description of what a device was seen to do. The order of what was seen does not matter.
///
/// # Errors
///
/// If the URL or the time of the subject cannot stand in a description.
pub fn generate(subject: &Subject, seen: &[Seen]) -> Result<Generated, GenerateError> {
    let maker = authority(&subject.url).ok_or_else(|| GenerateError::Url(subject.url.clone()))?;
    if moment(&subject.last_update).is_none() {
        return Err(GenerateError::LastUpdate(subject.last_update.clone()));
    }
    let mut file = MudFile {
        url: subject.url.clone(),
        last_update: subject.last_update.clone(),
        is_supported: true,
        systeminfo: subject.systeminfo.as_ref().map(|text| text.chars().take(60).collect()),
        mfg_name: subject.mfg_name.clone(),
        model_name: subject.model_name.clone(),
        firmware_rev: subject.firmware_rev.clone(),
        ..MudFile::default()
    };
    let versions: BTreeSet<IpVersion> = seen.iter().filter_map(|seen| seen.version).collect();
    // A network may come to speak the other version, too.
    let basic: Vec<(IpVersion, Basic)> = [IpVersion::V4, IpVersion::V6]
        .into_iter()
        .filter(|_| !versions.is_empty())
        .flat_map(|version| basics(version).into_iter().map(move |basic| (version, basic)))
        .collect();
    let mut floor = file.clone();
    fill(&mut floor, &basic, &BTreeMap::new());
    let mut learner = Learner::new(maker, seen);
    learner.learn(seen, &floor);
    learner.expect_time(seen, versions.first().copied());
    learner.widen_ports();
    learner.widen_peers();
    learner.widen_both();
    let unseen = learner.unseen();
    learner.both_versions();
    learner.groups_of_both_versions();
    learner.prune();
    fill(&mut file, &basic, &learner.rules);
    let mut notes = learner.notes;
    notes.sort();
    notes.dedup();
    if let Some(more) = notes.len().checked_sub(MAX_NOTES).filter(|more| *more > 0) {
        notes.truncate(MAX_NOTES);
        notes.push(Note { about: "notes".into(), what: format!("{more} more are left out") });
    }
    Ok(Generated { file, notes, unseen })
}

/// Whom a device asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Address(IpAddr),
    Name(String),
}

/// What is asked of a peer at a port, by each of the peer's names and its address.
fn asked(seen: &Seen, port: u16) -> impl Iterator<Item = (Transport, Asked, u16)> + use<'_> {
    let names = seen.peer.names.iter().filter_map(|name| host_name(name)).map(Asked::Name);
    let transport = seen.transport;
    names
        .chain(seen.peer.address.map(Asked::Address))
        .filter(move |_| port > 0 && matches!(transport, Transport::Tcp | Transport::Udp))
        .map(move |whom| (transport, whom, port))
}

struct Learner {
    maker: String,
    by_day: bool,
    /// How many conversations each name stands for.
    weights: BTreeMap<String, u64>,
    /// Ports at which the device calls groups: whoever answers does so from there.
    called: BTreeSet<u16>,
    /// What the device asks of whom, and is answered.
    asked: BTreeSet<(Transport, Asked, u16)>,
    rules: BTreeMap<Key, Evidence>,
    notes: Vec<Note>,
}

impl Learner {
    fn new(maker: String, seen: &[Seen]) -> Self {
        let days: BTreeSet<u64> = seen.iter().flat_map(|seen| [day(seen.first), day(seen.last)]).collect();
        let most = seen.iter().map(|seen| seen.days as usize).max().unwrap_or(0);
        let mut weights = BTreeMap::<String, u64>::new();
        for (name, count) in
            seen.iter().flat_map(|seen| seen.peer.names.iter().map(move |name| (name, seen.count)))
        {
            if let Some(name) = host_name(name) {
                let weight = weights.entry(name).or_default();
                *weight = weight.saturating_add(count);
            }
        }
        let called = seen.iter().filter(|seen| seen.is_to_group() || is_directed_broadcast(seen));
        let called =
            called.filter(|seen| seen.transport == Transport::Udp).filter_map(|seen| seen.server_port);
        Self {
            maker,
            by_day: days.len().max(most) >= MIN_DAYS,
            weights,
            called: called.collect(),
            asked: seen
                .iter()
                .filter(|seen| seen.initiator == Initiator::Device && seen.is_answered)
                .flat_map(|seen| asked(seen, seen.server_port.unwrap_or(0)))
                .collect(),
            rules: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    fn note(&mut self, about: impl fmt::Display, what: impl Into<String>) {
        self.notes.push(Note { about: about.to_string(), what: what.into() });
    }

    fn learn(&mut self, seen: &[Seen], floor: &MudFile) {
        for seen in seen {
            let Some((version, protocol)) = seen.version.zip(protocol(seen.transport)) else { continue };
            let conversation = seen.conversation();
            let is_local = seen.peer.is_local();
            if decide(floor, &conversation).is_allowed() && (is_local || !is_default(&conversation)) {
                continue;
            }
            let who = self.who(seen);
            let (initiator, port, is_answer) = self.service(seen);
            if !is_answer && !seen.is_evidence() {
                let what = format!("{} was not answered and is not allowed", seen.transport);
                let about = if matches!(who, Who::Address(_)) { "addresses".into() } else { who.to_string() };
                self.note(about, what);
                continue;
            }
            let service = match (protocol, seen.icmp, port) {
                (1 | 58, Some((kind, _)), _) => Service::Icmp(kind),
                (1 | 58, None, _) => {
                    self.note(who, "ICMP of an unknown type is not allowed");
                    continue;
                }
                (6 | 17, _, Some(port)) => Service::Ports(Ports::Eq(port)),
                _ => Service::Whole,
            };
            let is_from = |side| seen.initiator == side || seen.is_answered;
            let evidence = Evidence {
                count: seen.count.max(1),
                days: [day(seen.first), day(seen.last)].into(),
                most_days: seen.days,
                is_sent: is_from(Initiator::Device),
                is_received: is_from(Initiator::Peer),
            };
            let kind = Kind { version, protocol, initiator };
            self.rules.entry(Key { kind, who, service }).or_default().add(&evidence);
        }
    }

    /// Who asks, for which port, and whether that is certain although the conversation was opened the other way round. So
    /// it is where somebody answers a call to a group, where recording began in the middle of a conversation, and where
    /// messages go from a port of a service to one that was taken for the time of a conversation.
    fn service(&self, seen: &Seen) -> (Initiator, Option<u16>, bool) {
        let as_opened = (seen.initiator, seen.server_port, false);
        let Some((from, to)) = seen.client_port.zip(seen.server_port) else { return as_opened };
        let is_udp = seen.transport == Transport::Udp;
        if seen.initiator == Initiator::Peer
            && (is_udp && seen.peer.is_local() && self.called.contains(&from)
                || asked(seen, from).any(|one| self.asked.contains(&one)))
        {
            return (Initiator::Device, Some(from), true);
        }
        if is_udp && from < RANGES[1] && to >= RANGES[1] {
            let other = match seen.initiator {
                Initiator::Device => Initiator::Peer,
                Initiator::Peer => Initiator::Device,
            };
            return (other, Some(from), false);
        }
        as_opened
    }

    fn who(&self, seen: &Seen) -> Who {
        let peer = &seen.peer;
        if peer.is_my_controller {
            return Who::MyController;
        }
        if let Some(address) = peer.address.filter(|_| seen.is_to_group()) {
            return Who::Group(address);
        }
        if peer.is_local() {
            // DNS and NTP are allowed anyhow where it is for them that a peer is asked; classes come in order.
            let class = peer
                .classes
                .iter()
                .filter(|class| !class.ends_with(":dns") && !class.ends_with(":ntp"))
                .min();
            return match class {
                _ if peer.is_same_manufacturer
                    || peer.mud_url.as_deref().and_then(authority).as_ref() == Some(&self.maker) =>
                {
                    Who::SameManufacturer
                }
                Some(class) => Who::Class(class.clone()),
                None => Who::Local,
            };
        }
        // Of several names the one that stands for most: that of the service rather than that of a server.
        let weight = |name: &String| self.weights.get(name).copied().unwrap_or(0);
        let names = peer.names.iter().filter_map(|name| host_name(name));
        match (
            names.max_by(|one, other| weight(one).cmp(&weight(other)).then_with(|| other.cmp(one))),
            peer.address,
        ) {
            (Some(name), _) => Who::Name(name),
            (None, Some(address)) => Who::Address(address),
            (None, None) => Who::Any,
        }
    }

    /// A device that was not seen to ask for the time may do so yet: NTP waits for up to 36 hours (RFC 5905, section 7.3,
    /// MAXPOLL). After [`MIN_DAYS`] days it does not, or asks others.
    fn expect_time(&mut self, seen: &[Seen], version: Option<IpVersion>) {
        let asks = |seen: &Seen| {
            seen.initiator == Initiator::Device
                && seen.transport == Transport::Udp
                && seen.server_port == Some(123)
        };
        if let Some(version) = version.filter(|_| !self.by_day && !seen.iter().any(asks)) {
            let kind = Kind { version, protocol: 17, initiator: Initiator::Device };
            let evidence = Evidence { is_sent: true, is_received: true, ..Evidence::default() };
            self.rules.insert(Key { kind, who: Who::Any, service: NTP }, evidence);
            self.note("time servers", "none was seen in so few days: any address is allowed for udp-123");
        }
    }

    /// Ports with one peer of which ever new ones come become a range: those of media are agreed on each time.
    fn widen_ports(&mut self) {
        let mut sets = BTreeMap::<(Kind, Who), Vec<(u16, Evidence)>>::new();
        for (key, evidence) in &self.rules {
            if let Service::Ports(Ports::Eq(port)) = key.service
                && port >= RANGES[2]
            {
                sets.entry((key.kind, key.who.clone())).or_default().push((port, evidence.clone()));
            }
        }
        for ((kind, who), ports) in sets {
            let growth = Growth::of(ports.iter().map(|(_, evidence)| evidence), self.by_day);
            if !growth.is_open() && ports.len() <= MAX_PORTS {
                continue;
            }
            // Those that come again and again are services of their own.
            let mut range = Evidence::default();
            let varying: Vec<u16> = ports
                .iter()
                .filter(|(_, evidence)| ports.len() > MAX_PORTS || evidence.is_new(self.by_day))
                .map(|(port, _)| *port)
                .collect();
            let Some(lowest) = varying.iter().min() else { continue };
            let bottom = RANGES.into_iter().find(|bottom| bottom <= lowest).unwrap_or(*lowest);
            for (port, evidence) in ports.iter().filter(|(port, _)| *port >= bottom) {
                range.add(evidence);
                self.rules.remove(&Key { kind, who: who.clone(), service: Service::Ports(Ports::Eq(*port)) });
            }
            let service = Service::Ports(Ports::Range(bottom, u16::MAX));
            self.note(&who, format!("ports vary ({} seen): all from {bottom} are allowed", ports.len()));
            self.rules.entry(Key { kind, who, service }).or_default().add(&range);
        }
    }

    /// Names and addresses of which ever new ones come for one service become any address: there are no patterns of
    /// names in RFC 8520.
    fn widen_peers(&mut self) {
        let mut sets = BTreeMap::<(Kind, Service), BTreeMap<Option<String>, Vec<(Who, Evidence)>>>::new();
        for (key, evidence) in &self.rules {
            let domain = match &key.who {
                Who::Name(name) => Some(domain(name).to_owned()),
                Who::Address(_) => None,
                _ => continue,
            };
            let set = sets.entry((key.kind, key.service)).or_default();
            set.entry(domain).or_default().push((key.who.clone(), evidence.clone()));
        }
        for ((kind, service), domains) in sets {
            let members = || domains.values().flatten();
            let mut open: Vec<String> = Vec::new();
            for (domain, members) in &domains {
                if Growth::of(members.iter().map(|(_, evidence)| evidence), self.by_day).is_open() {
                    open.push(
                        domain.as_ref().map_or_else(|| "addresses".into(), |domain| format!("*.{domain}")),
                    );
                }
            }
            let all = Growth::of(members().map(|(_, evidence)| evidence), self.by_day);
            if all.is_open() && open.is_empty() {
                open.push("names of ever new domains".into());
            }
            let many = members().count();
            if many > MAX_PEERS && open.is_empty() {
                open.push(format!("{many} names and addresses"));
            }
            // Whoever asks others than one server of a known name for the time asks a pool (RFC 8633).
            let is_pool = many > 1 || domains.contains_key(&None);
            if is_pool && open.is_empty() && kind.initiator == Initiator::Device && service == NTP {
                open.push("servers of a pool".into());
            }
            if open.is_empty() {
                continue;
            }
            let mut any = Evidence::default();
            for (who, evidence) in members() {
                any.add(evidence);
                self.rules.remove(&Key { kind, who: who.clone(), service });
            }
            self.note(
                open.join(", "),
                format!(
                    "{many} seen, and others will come: any address is allowed for {}",
                    told(kind, service)
                ),
            );
            self.rules.entry(Key { kind, who: Who::Any, service }).or_default().add(&any);
        }
    }

    /// Addresses without a name of which each has a port of its own, as between peers that find each other.
    fn widen_both(&mut self) {
        let mut sets = BTreeMap::<Kind, Vec<(Key, u16, Evidence)>>::new();
        for (key, evidence) in &self.rules {
            if let (Who::Address(_), Service::Ports(ports)) = (&key.who, key.service)
                && let Some((port, _)) = ports.runs()[0].filter(|(port, _)| *port >= RANGES[2])
            {
                sets.entry(key.kind).or_default().push((key.clone(), port, evidence.clone()));
            }
        }
        for (kind, members) in sets {
            let growth = Growth::of(members.iter().map(|(.., evidence)| evidence), self.by_day);
            let lowest = members.iter().map(|(_, port, _)| *port).min().unwrap_or(RANGES[2]);
            if !growth.is_open() && members.len() <= MAX_PEERS {
                continue;
            }
            let bottom = RANGES.into_iter().find(|bottom| *bottom <= lowest).unwrap_or(lowest);
            let service = Service::Ports(Ports::Range(bottom, u16::MAX));
            let mut any = Evidence::default();
            for (key, _, evidence) in &members {
                any.add(evidence);
                self.rules.remove(key);
            }
            let what = format!(
                "{} seen and still growing: any address is allowed for {}",
                members.len(),
                told(kind, service)
            );
            self.note("addresses and ports", what);
            self.rules.entry(Key { kind, who: Who::Any, service }).or_default().add(&any);
        }
    }

    /// A device that reaches others over both versions may find a name over either.
    fn both_versions(&mut self) {
        let of = |who: &Who| matches!(who, Who::Name(_) | Who::Any);
        let seen = self.rules.iter().filter(|(key, evidence)| of(&key.who) && evidence.count > 0);
        let versions: BTreeSet<_> = seen.map(|(key, _)| key.kind.version).collect();
        if versions.len() < 2 {
            return;
        }
        let twins: Vec<(Key, Evidence)> = self
            .rules
            .iter()
            .filter(|(key, _)| of(&key.who) && matches!(key.service, Service::Ports(_)))
            .flat_map(|(key, evidence)| {
                versions.iter().map(move |version| {
                    let kind = Kind { version: *version, ..key.kind };
                    (Key { kind, ..key.clone() }, Evidence { count: 0, ..evidence.clone() })
                })
            })
            .collect();
        for (key, evidence) in twins {
            self.rules.entry(key).or_default().add(&evidence);
        }
    }

    /// A device that calls a group of one version calls the same of the other where the network speaks it.
    fn groups_of_both_versions(&mut self) {
        let twin = |address: IpAddr| {
            GROUPS.iter().find_map(|(v4, v6)| match address {
                IpAddr::V4(ip) if ip == *v4 => Some(IpAddr::V6(*v6)),
                IpAddr::V6(ip) if ip == *v6 => Some(IpAddr::V4(*v4)),
                _ => None,
            })
        };
        let twins: Vec<(Key, Evidence)> = self
            .rules
            .iter()
            .filter_map(|(key, evidence)| match key.who {
                Who::Group(address) => Some((key, evidence, twin(address)?)),
                _ => None,
            })
            .flat_map(|(key, evidence, address)| {
                let kind = Kind { version: IpVersion::of(&address), ..key.kind };
                // Whoever answers does so from the same port.
                let answers = self.rules.get(&Key { who: Who::Local, ..key.clone() });
                [(Who::Group(address), Some(evidence)), (Who::Local, answers)].into_iter().filter_map(
                    move |(who, evidence)| {
                        let evidence = Evidence { count: 0, ..evidence?.clone() };
                        Some((Key { kind, who, service: key.service }, evidence))
                    },
                )
            })
            .collect();
        for (key, evidence) in twins {
            self.rules.entry(key).or_default().add(&evidence);
        }
    }

    /// Leaves out rules that others hold, and those of the fewest conversations where there are too many.
    fn prune(&mut self) {
        let keys: Vec<Key> = self.rules.keys().cloned().collect();
        // Only these can hold others.
        let is_wide = |key: &&Key| {
            matches!(key.who, Who::Any | Who::Local) || !matches!(key.service, Service::Ports(Ports::Eq(_)))
        };
        let wide: Vec<&Key> = keys.iter().filter(is_wide).collect();
        for key in &keys {
            let wider = wide.iter().find(|other| {
                **other != key
                    && self.rules.contains_key(other)
                    && other.kind == key.kind
                    && other.who.covers(&key.who)
                    && other.service.covers(key.service)
            });
            if let Some(wider) = wider
                && let Some(evidence) = self.rules.remove(key)
            {
                self.rules.entry((*wider).clone()).or_default().add(&evidence);
            }
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            let mut ranked: Vec<(u64, Key)> = self
                .rules
                .iter()
                .filter(|(key, _)| key.kind.version == version)
                .map(|(key, evidence)| (evidence.count, key.clone()))
                .collect();
            ranked.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
            for (_, key) in ranked.split_off(ranked.len().min(MAX_RULES)) {
                self.rules.remove(&key);
                self.note(&key.who, format!("{} is left out: too many rules", told(key.kind, key.service)));
            }
        }
    }

    fn unseen(&self) -> f64 {
        let seen = self.rules.values().filter(|evidence| evidence.count > 0);
        let growth = Growth::of(seen, self.by_day);
        if growth.all == 0 { 1.0 } else { growth.share(poisson_upper(growth.singles)) }
    }
}

fn day(at: Timestamp) -> u64 {
    at.as_secs() / 86_400
}

/// Whether something is sent to all hosts of an IPv4 network whose mask is not known, as far as the address tells.
fn is_directed_broadcast(seen: &Seen) -> bool {
    matches!(seen.peer.address, Some(IpAddr::V4(ip)) if seen.peer.is_local && ip.octets()[3] == 255)
}

/// What names of one owner end with: all labels but the first, but no fewer than two.
fn domain(name: &str) -> &str {
    match name.split_once('.') {
        Some((_, rest)) if rest.contains('.') => rest,
        _ => name,
    }
}

/// A service in words.
fn told(kind: Kind, service: Service) -> String {
    let protocol = match kind.protocol {
        1 | 58 => "icmp".to_owned(),
        2 => "igmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => format!("ip-{other}"),
    };
    let side = if kind.initiator == Initiator::Peer { "-server" } else { "" };
    match service {
        Service::Whole => format!("{protocol}{side}"),
        Service::Ports(ports) => format!("{protocol}{side}-{ports}"),
        Service::Icmp(kind) => format!("{protocol}{side}-{kind}"),
    }
}

/// A rule that every device needs to take part in a network, whether or not it was seen to: leases are renewed and
/// routers tell of errors when they do.
struct Basic {
    name: &'static str,
    is_sent: bool,
    local: bool,
    protocol: u8,
    l4: Option<L4>,
}

fn basics(version: IpVersion) -> Vec<Basic> {
    let icmp = |name, is_sent, local, kind| {
        let protocol = if version == IpVersion::V4 { 1 } else { 58 };
        Basic { name, is_sent, local, protocol, l4: Some(L4::Icmp { kind: Some(kind), code: None }) }
    };
    let dhcp = |is_sent, client, server| {
        let (source, destination) = if is_sent { (client, server) } else { (server, client) };
        let l4 = L4::Udp { source: Some(Ports::Eq(source)), destination: Some(Ports::Eq(destination)) };
        Basic { name: "dhcp", is_sent, local: true, protocol: 17, l4: Some(l4) }
    };
    let both =
        |name, local, kinds: [u8; 2]| [icmp(name, true, local, kinds[0]), icmp(name, false, local, kinds[1])];
    let mut rules = Vec::new();
    match version {
        IpVersion::V4 => {
            // RFC 2131, section 4.1; RFC 3376; RFC 1122, section 3.2.2.
            rules.extend([dhcp(true, 68, 67), dhcp(false, 68, 67)]);
            rules.extend([true, false].map(|is_sent| Basic {
                name: "igmp",
                is_sent,
                local: true,
                protocol: 2,
                l4: None,
            }));
            rules.extend(both("local-echo", true, [8, 8]));
            rules.extend(both("local-echo-reply", true, [0, 0]));
            rules.extend(both("unreachable", false, [3, 3]));
            rules.push(icmp("time-exceeded", false, false, 11));
        }
        IpVersion::V6 => {
            // RFC 8415, section 7.2; RFC 4890, section 4.4: of what ICMPv6 says on a link hardly anything can be spared
            // (neighbours, routers, groups).
            rules.extend([dhcp(true, 546, 547), dhcp(false, 546, 547)]);
            rules.extend([true, false].map(|is_sent| Basic {
                name: "local-icmp",
                is_sent,
                local: true,
                protocol: 58,
                l4: None,
            }));
            rules.extend(both("unreachable", false, [1, 1]));
            rules.push(icmp("too-big", false, false, 2));
            rules.push(icmp("time-exceeded", false, false, 3));
        }
    }
    rules
}

/// Writes rules into the lists of a description.
fn fill(file: &mut MudFile, basics: &[(IpVersion, Basic)], rules: &BTreeMap<Key, Evidence>) {
    for (version, kind) in [(IpVersion::V4, AclKind::Ipv4), (IpVersion::V6, AclKind::Ipv6)] {
        for is_sent in [true, false] {
            let basic = basics.iter().filter(|(of, basic)| *of == version && basic.is_sent == is_sent);
            let mut aces: Vec<Ace> = basic.map(|(_, basic)| basic_ace(version, basic)).collect();
            for (key, evidence) in rules.iter().filter(|(key, _)| key.kind.version == version) {
                if if is_sent { evidence.is_sent } else { evidence.is_received } {
                    aces.push(ace(key, is_sent));
                }
            }
            if aces.is_empty() {
                continue;
            }
            let name = format!("{}-{}", if is_sent { "from" } else { "to" }, version.name());
            let lists = if is_sent { &mut file.from_device } else { &mut file.to_device };
            lists.push(name.clone());
            file.acls.push(Acl { name, kind: Some(kind), aces, unknown: Unknown::new() });
        }
    }
}

fn basic_ace(version: IpVersion, basic: &Basic) -> Ace {
    let ip = Ip { protocol: Some(basic.protocol), ..Ip::any(version) };
    let mud = MudMatch { local_networks: basic.local, ..MudMatch::default() };
    allow(basic.name.to_owned(), Matches { mud, eth: None, ip: Some(ip), l4: basic.l4.clone() })
}

const fn allow(name: String, matches: Matches) -> Ace {
    Ace { name, matches, forwarding: Forwarding::Accept, unknown: Unknown::new() }
}

/// The rule for one direction.
fn ace(key: &Key, is_sent: bool) -> Ace {
    let Key { kind, who, service } = key;
    let mut mud = MudMatch::default();
    let mut ip = Ip { protocol: Some(kind.protocol), ..Ip::any(kind.version) };
    let (network, name) = if is_sent {
        (&mut ip.destination, &mut ip.destination_name)
    } else {
        (&mut ip.source, &mut ip.source_name)
    };
    match who {
        Who::MyController => mud.my_controller = true,
        Who::Class(class) => mud.controller = Some(class.clone()),
        Who::SameManufacturer => mud.same_manufacturer = true,
        Who::Local => mud.local_networks = true,
        Who::Name(host) => *name = Some(host.clone()),
        Who::Address(address) => *network = Some(Network::host(*address)),
        // What is sent to a group is answered by whoever is near.
        Who::Group(address) if is_sent => *network = Some(Network::host(*address)),
        Who::Group(_) => mud.local_networks = true,
        Who::Any => {}
    }
    let l4 = match *service {
        // The answer to an echo request; other messages have none of their own.
        Service::Icmp(code) => {
            let is_answer = is_sent != (kind.initiator == Initiator::Device);
            let answer = match (kind.protocol, code) {
                (1, 8) => 0,
                (1, 13) => 14,
                (58, 128) => 129,
                _ => code,
            };
            Some(L4::Icmp { kind: Some(if is_answer { answer } else { code }), code: None })
        }
        Service::Ports(ports) => {
            let is_destination = is_sent == (kind.initiator == Initiator::Device);
            let (source, destination) =
                if is_destination { (None, Some(ports)) } else { (Some(ports), None) };
            match kind.protocol {
                6 => Some(L4::Tcp { source, destination, initiated: Some(kind.initiator) }),
                _ => Some(L4::Udp { source, destination }),
            }
        }
        Service::Whole => None,
    };
    let name = format!("{}-{who}", told(*kind, *service));
    allow(name, Matches { mud, eth: None, ip: Some(ip), l4 })
}
