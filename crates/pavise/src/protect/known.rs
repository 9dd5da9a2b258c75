//! What responses are chosen by: conversations that are known, and what each host usually does.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use enforce::Ports;
use enforce::respond::{Need, SeenCertificate};
use model::{Device, FlowHead, FlowId, Host, Message, Observation, Timestamp, Transport, What};
use store::{FlowQuery, Store, StoreError};

/// So many conversations that go on are known; what is opened beyond is not counted among those that an action cuts.
pub(crate) const MAX_OPEN: usize = 1 << 16;
/// So many that have ended are remembered, the latest.
pub(crate) const MAX_ENDED: usize = 1 << 14;
/// Of so many hosts it is known what they usually do.
pub(crate) const MAX_HOSTS: usize = 1 << 14;
/// So many peers and services of each.
pub(crate) const MAX_HABITS: usize = 64;
/// Of so many hosts it is known which certificates they have shown, and of so many handshakes which they show.
pub(crate) const MAX_SHOWN: usize = 1 << 12;
/// So many certificates of each, the first.
pub(crate) const MAX_CERTIFICATES: usize = 8;
/// What was done within so many seconds before a start is taken from the state: a week, as plants and offices have.
const HABITS_S: u64 = 7 * 86_400;

/// What a host begins so long before the first sign of an incident may be of it: of conversations that are opened together,
/// another one than the first may be the first of which something is told.
const JUST_BEFORE: Duration = Duration::from_secs(1);

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) head: FlowHead,
    /// Whether both ends took part in it beyond the first packet of either: their addresses are not made up.
    pub(crate) is_proven: bool,
}

/// Something that a host usually does: with whom, by which service, and who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Habit {
    peer: IpAddr,
    protocol: u8,
    port: u16,
    opens: bool,
}

/// What is known of conversations.
#[derive(Debug, Default)]
pub(crate) struct Known {
    open: BTreeMap<FlowId, Talk>,
    ended: BTreeMap<FlowId, Talk>,
    /// Those that have ended, in the order in which they did.
    order: VecDeque<FlowId>,
    /// When a host was first seen to do what it usually does.
    habits: BTreeMap<IpAddr, BTreeMap<Habit, Timestamp>>,
    /// Certificates of handshakes that go on.
    offered: BTreeMap<FlowId, Vec<(Host, SeenCertificate)>>,
    /// Certificates that the other side has accepted: anybody can send those of others.
    shown: BTreeMap<Host, Vec<SeenCertificate>>,
}

impl Known {
    /// With what the state says of the last week.
    pub(crate) fn restore(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let since = Timestamp::from_secs(now.as_secs().saturating_sub(HABITS_S));
        let query = FlowQuery { since: Some(since), ..FlowQuery::default() };
        store.flows(&query, &mut |record| {
            if record.answered() {
                known.usual(&record.head, record.first);
            }
            true
        })?;
        Ok(known)
    }

    pub(crate) fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::FlowOpened(head) => self.open(head, false),
            What::FlowIdentified(identified) => {
                self.open(&identified.flow, is_checked(identified.flow.transport));
                self.usual(&identified.flow, observation.at);
            }
            What::Message(message) if message.protocol == "tls" => self.tls(message),
            What::FlowEnded(record) => {
                self.offered.remove(&record.head.id);
                let both = record.sent.payload > 0 && record.received.payload > 0;
                let head = record.head;
                if record.answered() {
                    self.usual(&head, record.first);
                }
                if record.end == model::EndReason::Active {
                    return self.open(&head, both && is_checked(head.transport));
                }
                let was = self.open.remove(&head.id).is_some_and(|talk| talk.is_proven);
                let talk = Talk { head, is_proven: was || both && is_checked(head.transport) };
                self.close(talk);
            }
            _ => {}
        }
    }

    fn tls(&mut self, message: &Message) {
        let flow = message.flow.id;
        if message.kind == "established" {
            for (host, certificate) in self.offered.remove(&flow).unwrap_or_default() {
                let room = self.shown.len() < MAX_SHOWN || self.shown.contains_key(&host);
                if !room {
                    continue;
                }
                let known = self.shown.entry(host).or_default();
                if known.len() < MAX_CERTIFICATES && !known.contains(&certificate) {
                    known.push(certificate);
                }
            }
            return;
        }
        // The first of a chain is the owner's own.
        let field = |name: &str| message.fields.get(name);
        let text = |name: &str| Some(field(name)?.as_str()?.to_owned());
        let is_own =
            message.kind == "certificate" && field("position").and_then(model::Value::as_u64) == Some(0);
        let (Some(serial), Some(issuer), Some(sha256)) = (text("serial"), text("issuer"), text("sha256"))
        else {
            return;
        };
        if is_own && (self.offered.len() < MAX_SHOWN || self.offered.contains_key(&flow)) {
            let offered = self.offered.entry(flow).or_default();
            if offered.len() < MAX_CERTIFICATES {
                let host = message.flow.endpoint(message.from).host;
                offered.push((host, SeenCertificate { serial, issuer, sha256 }));
            }
        }
    }

    /// Certificates that a device has shown. Of one on the link, by its link-layer address, too: its network address may have
    /// been another's.
    pub(crate) fn certificates<'a>(
        &'a self,
        device: &'a Device,
    ) -> impl Iterator<Item = &'a SeenCertificate> {
        let is_its = |host: &Host| {
            let has =
                |ip: IpAddr| device.addresses.iter().any(|used| used.ip.to_canonical() == ip.to_canonical());
            let on_link = device.macs.is_empty() || host.mac.is_some_and(|mac| device.macs.contains(&mac));
            on_link && host.ip.is_some_and(has)
        };
        self.shown.iter().filter(move |(host, _)| is_its(host)).flat_map(|(_, shown)| shown)
    }

    fn close(&mut self, talk: Talk) {
        let id = talk.head.id;
        if self.ended.insert(id, talk).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > MAX_ENDED {
            self.order.pop_front().map(|id| self.ended.remove(&id));
        }
    }

    fn open(&mut self, head: &FlowHead, is_proven: bool) {
        if let Some(talk) = self.open.get_mut(&head.id) {
            talk.is_proven |= is_proven;
        } else if self.open.len() < MAX_OPEN {
            self.open.insert(head.id, Talk { head: *head, is_proven });
        }
    }

    /// Both ends do so.
    fn usual(&mut self, head: &FlowHead, at: Timestamp) {
        let (Some(client), Some(server)) = (head.client.host.ip, head.server.host.ip) else { return };
        let protocol = match head.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Sctp => 132,
            _ => return,
        };
        let [client, server] = [client, server].map(|ip| ip.to_canonical());
        for (host, peer, opens) in [(client, server, true), (server, client, false)] {
            let room = self.habits.len() < MAX_HOSTS;
            let habits = match self.habits.get_mut(&host) {
                Some(habits) => habits,
                None if room => self.habits.entry(host).or_default(),
                None => continue,
            };
            let habit = Habit { peer, protocol, port: head.server.port, opens };
            if let Some(first) = habits.get_mut(&habit) {
                *first = (*first).min(at);
            } else if habits.len() < MAX_HABITS {
                habits.insert(habit, at);
            }
        }
    }

    /// A conversation that goes on or has ended lately.
    pub(crate) fn talk(&self, id: FlowId) -> Option<&Talk> {
        self.open.get(&id).or_else(|| self.ended.get(&id))
    }

    /// Whether a conversation goes on.
    pub(crate) fn is_open(&self, id: FlowId) -> bool {
        self.open.contains_key(&id)
    }

    /// The conversations that go on.
    pub(crate) fn open_heads(&self) -> impl Iterator<Item = &FlowHead> {
        self.open.values().map(|talk| &talk.head)
    }

    /// What a host did before a moment, but for what it began only just before, and without what it did with those `not` to be spoken to.
    pub(crate) fn needs(&self, host: IpAddr, before: Timestamp, not: impl Fn(IpAddr) -> bool) -> Vec<Need> {
        let habits = self.habits.get(&host.to_canonical()).into_iter().flatten();
        let needed = habits.filter(|(habit, first)| **first + JUST_BEFORE < before && !not(habit.peer));
        let need = |(habit, _): (&Habit, &Timestamp)| Need {
            peer: enforce::Network::host(habit.peer),
            protocol: habit.protocol,
            ports: Ports::one(habit.port),
            device_opens: habit.opens,
        };
        needed.map(need).collect()
    }
}

/// Whether whoever takes part in a conversation with data both ways must have heard the other end: the handshakes of TCP
/// (RFC 9293, section 3.5) and SCTP (RFC 9260, section 5.1) see to that.
const fn is_checked(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp | Transport::Sctp)
}

#[cfg(test)]
mod tests {
    use model::{Endpoint, FlowIdentified, Host, Reach};

    use super::*;

    fn head(id: u64, client: u32, server: u32) -> FlowHead {
        let end =
            |ip: u32| Endpoint { host: Host::from_ip(std::net::Ipv4Addr::from_bits(ip).into()), port: 9 };
        FlowHead {
            id: FlowId(id),
            transport: Transport::Udp,
            vlan: None,
            client: end(client),
            server: end(server),
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        }
    }

    #[test]
    fn conversations_and_habits_are_bounded() {
        let mut known = Known::default();
        let at = Timestamp::from_secs(1);
        for id in 0..MAX_OPEN as u64 + 5 {
            let what = What::FlowOpened(Box::new(head(id, 1, 2)));
            known.observe(&Observation { at, what });
        }
        assert_eq!(known.open_heads().count(), MAX_OPEN);
        for peer in 0..MAX_HABITS as u32 + 5 {
            let flow = head(0, 1, 1_000 + peer);
            let what = FlowIdentified { flow, protocol: "dns".into() };
            known.observe(&Observation { at, what: What::FlowIdentified(Box::new(what)) });
        }
        let one = std::net::Ipv4Addr::from_bits(1).into();
        assert_eq!(known.needs(one, Timestamp::from_secs(3), |_| false).len(), MAX_HABITS);
        for soon in [at, at + JUST_BEFORE] {
            assert!(
                known.needs(one, soon, |_| false).is_empty(),
                "what begins then is not what it usually does"
            );
        }
        for client in 0..MAX_HOSTS as u32 + 5 {
            known.usual(&head(0, 100_000 + client, 2), at);
        }
        assert_eq!(known.habits.len(), MAX_HOSTS);
        let talk = Talk { head: head(0, 1, 2), is_proven: false };
        for id in 0..MAX_ENDED as u64 + 5 {
            known.close(Talk { head: head(id, 1, 2), ..talk });
        }
        assert_eq!((known.ended.len(), known.order.len()), (MAX_ENDED, MAX_ENDED));
        assert!(known.talk(FlowId(MAX_ENDED as u64 + 4)).is_some());
    }

    /// A certificate of the client's, or that the handshake of a conversation is done.
    fn tls(flow: FlowHead, serial: Option<String>) -> Observation {
        let text = |text: &str| model::Value::Text(text.into());
        let kind = if serial.is_some() { "certificate" } else { "established" };
        let fields = serial.map(|serial| {
            vec![
                ("position".into(), model::Value::Unsigned(0)),
                ("serial".into(), text(&serial)),
                ("issuer".into(), text("CN=Plant")),
                ("sha256".into(), text("ff")),
            ]
        });
        let fields = model::Record(fields.unwrap_or_default());
        let (from, protocol, kind) = (model::Side::Client, "tls".into(), kind.into());
        let at = Timestamp::from_secs(1);
        Observation { at, what: What::Message(Box::new(Message { flow, from, protocol, kind, fields })) }
    }

    #[test]
    fn certificates_count_once_the_other_side_has_accepted_them_and_are_bounded() {
        let mut known = Known::default();
        // Anybody can send those of others.
        known.observe(&tls(head(1, 1, 2), Some("0a".into())));
        assert!(known.shown.is_empty());
        known.observe(&tls(head(1, 1, 2), None));
        assert_eq!(known.shown.len(), 1);
        assert!(known.offered.is_empty());
        for serial in 0..MAX_CERTIFICATES as u64 + 5 {
            known.observe(&tls(head(serial, 1, 2), Some(format!("{serial:02x}"))));
            known.observe(&tls(head(serial, 1, 2), None));
        }
        assert_eq!(known.shown.values().map(Vec::len).collect::<Vec<_>>(), [MAX_CERTIFICATES]);
        for host in 0..MAX_SHOWN as u64 + 5 {
            known.observe(&tls(head(host, 100 + host as u32, 2), Some("0a".into())));
        }
        assert_eq!(known.offered.len(), MAX_SHOWN);
        for host in 0..MAX_SHOWN as u64 + 5 {
            known.observe(&tls(head(host, 100 + host as u32, 2), None));
        }
        assert_eq!((known.shown.len(), known.offered.len()), (MAX_SHOWN, 0));
    }
}
