//! What each observation means for devices: the rules "Who exists" at the head of the crate.

use model::{
    Endpoint, Event, Fact, FlowHead, FlowIdentified, FlowRecord, Host, MacAddr, Observation, Operation,
    Reach, Side, TcpState, Timestamp, Transport, Volume, What,
};

use crate::Key;
use crate::address;
use crate::limits::Limit;
use crate::links::{Code, NONE, SERVER};
use crate::names::UNNAMED;
use crate::node::Inventory;
use crate::place::{Came, is_settled};
use crate::rules;
use crate::unproven::{Heard, Told, Unproven};

/// A link-layer address that speaks for more unanswered hosts than this vouches for none of them: it is a
/// router, or it makes them up.
pub const VOUCHED: u16 = 8;

/// No more unproven hosts than this are remembered behind one link-layer address.
const STRANGERS_MAX: u16 = 2 * VOUCHED;

/// Stands for the medium where frames have no sender: it, too, can vouch for some hosts only.
const UNLINKED: MacAddr = MacAddr([0; 6]);

/// Who an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A host with a network address.
    Ip(Key),
    /// A station on the link, without a network address.
    Mac(Key),
    /// A group, or nobody.
    Nobody,
}

impl End {
    /// Who is addressed, or speaks.
    fn of(host: &Host) -> Self {
        if host.mac.is_some_and(MacAddr::is_group) { Self::Nobody } else { Self::heard(host) }
    }

    /// Who speaks. A group address as the sender's is not allowed (IEEE 802.3 clause 3.2.3), so it tells
    /// nothing; the network address still does, save in frames from everybody.
    fn heard(host: &Host) -> Self {
        if host.mac == Some(MacAddr::BROADCAST) {
            return Self::Nobody;
        }
        let ip = host.ip.map(address::canonical);
        if let Some(ip) = ip.filter(|ip| address::can_be_host(*ip)) {
            return Self::Ip(Key::of_ip(ip));
        }
        let mac = host.mac.filter(|mac| mac.is_station());
        match ip {
            // What a machine says to itself is its own; a loopback address that is on a link all the same
            // (RFC 1122 clause 3.2.1.3 forbids it) comes from the station that sends it.
            Some(ip) if ip.is_loopback() => {
                mac.map_or(Self::Ip(Key::of_ip(ip)), |mac| Self::Mac(Key::of_mac(mac)))
            }
            // A station without an address of its own yet speaks from 0.0.0.0 or ::.
            Some(ip) if !ip.is_unspecified() => Self::Nobody,
            _ => mac.map_or(Self::Nobody, |mac| Self::Mac(Key::of_mac(mac))),
        }
    }

    const fn key(self) -> Option<Key> {
        match self {
            Self::Ip(key) | Self::Mac(key) => Some(key),
            Self::Nobody => None,
        }
    }
}

impl Inventory {
    /// Takes an observation and adds what follows to `events`.
    pub fn observe(&mut self, observation: &Observation, events: &mut Vec<Event>) {
        let at = observation.at;
        match &observation.what {
            What::FlowOpened(head) => self.flow_opened(head, at),
            What::FlowIdentified(identified) => self.flow_identified(identified, at),
            What::FlowEnded(record) => self.flow_ended(record, at),
            What::Binding(binding) => {
                self.bind(address::canonical(binding.ip), binding.mac, binding.source, at);
            }
            What::Fact(fact) => self.fact(fact, at),
            What::Operation(operation) => self.operation(operation, at),
            What::SourceEnded(_) => self.accept_waiting(None, at),
            // Nobody is proven to be there by being asked. Messages become facts and operations before they come here; anomalies, weaknesses, values, shedding and what
            // is to come say nothing about who a device is.
            What::FlowAsked(_)
            | What::Message(_)
            | What::Anomaly(_)
            | What::Weakness(_)
            | What::BusFrame(_)
            | What::Samples(_)
            | What::Resolved(_)
            | What::Denied(_)
            | What::Shed(_) => {}
        }
        if self.unproven.is_due(at) {
            self.accept_waiting(Some(at), at);
        }
        self.finish(at, events);
    }

    /// Lets packet time go on to `now`, without an observation.
    pub fn tick(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.accept_waiting(Some(now), now);
        while let Some(gone) = self.unproven.next_expired(now) {
            self.forget_unproven(&gone);
        }
        self.finish(now, events);
    }

    /// The node of a host that is proven.
    fn sight(&mut self, host: &Host, reach: Reach, at: Timestamp) -> Option<u32> {
        let Some(key) = Self::key_of(host) else {
            // The frame came from somebody, though the packet names nobody.
            self.sender(host, at);
            return None;
        };
        let node = self.node(key, at)?;
        let hot = self.hot_mut(node);
        let before = hot.last;
        let mac = host.mac.filter(|mac| mac.is_station() && key.is_ip());
        let settled = mac.is_some_and(|mac| is_settled(hot, mac, reach));
        let owner = hot.owner;
        self.touch(node, at);
        if let Some(mac) = mac {
            if settled {
                // Those that hand over the packets of others are seen by them, too. An address's owner is
                // as recent as its addresses.
                if owner == NONE
                    && let Some(router) = self.find_key(Key::of_mac(mac))
                {
                    self.touch(router, at);
                }
            } else if let Some(ip) = key.ip() {
                self.place(node, ip, Came { mac, reach }, before, at);
                // Its device may have more addresses than it may keep, and this one had to go.
                return self.find_key(key);
            }
        }
        Some(node)
    }

    /// The nodes of a client and a server that are both proven. They are looked up when both have been sighted:
    /// for one, the other may have had to go.
    fn sight_both(&mut self, head: &FlowHead, at: Timestamp) -> [Option<u32>; 2] {
        self.sight(&head.server.host, head.server_reach, at);
        let client = self.sight(&head.client.host, head.client_reach, at);
        [client, self.known(&head.server.host)]
    }

    /// The address that stands for a host.
    pub(crate) fn key_of(host: &Host) -> Option<Key> {
        End::heard(host).key()
    }

    /// The node of a host, if it is proven already.
    fn known(&self, host: &Host) -> Option<u32> {
        self.find_key(Self::key_of(host)?)
    }

    /// The node of the link-layer address that sent a frame.
    fn sender(&mut self, host: &Host, at: Timestamp) -> Option<u32> {
        let mac = host.mac.filter(|mac| mac.is_station())?;
        let node = self.node(Key::of_mac(mac), at)?;
        self.touch(node, at);
        Some(node)
    }

    /// The client of a conversation in which nobody has answered so far: itself if it is proven, and at
    /// least whoever sent the frame.
    fn unanswered_client(&mut self, head: &FlowHead, at: Timestamp) -> Option<u32> {
        match End::heard(&head.client.host) {
            End::Ip(key) => match self.find_key(key) {
                Some(node) => {
                    self.touch(node, at);
                    if head.client.host.mac.is_some_and(|mac| mac != self.hot(node).mac) {
                        self.sender(&head.client.host, at);
                    }
                    Some(node)
                }
                None => {
                    self.sender(&head.client.host, at);
                    None
                }
            },
            End::Mac(_) | End::Nobody => self.sender(&head.client.host, at),
        }
    }

    fn flow_opened(&mut self, head: &FlowHead, at: Timestamp) {
        // Only an answer tells how far the server is.
        if head.server_reach != Reach::Unknown && head.transport != Transport::Tcp {
            self.sight_both(head, at);
            self.note_inner(head);
            return;
        }
        if head.server_reach != Reach::Unknown {
            self.sight(&head.server.host, head.server_reach, at);
        }
        self.unanswered_client(head, at);
    }

    fn flow_identified(&mut self, identified: &FlowIdentified, at: Timestamp) {
        let head = &identified.flow;
        let code = Code::new(self.name(&identified.protocol), head.transport, head.server.port);
        if head.server_reach != Reach::Unknown {
            let ends = self.sight_both(head, at);
            self.note_inner(head);
            if let [Some(client), Some(server)] = ends {
                self.meet(client, server, code, false, [0; 2], at);
            }
        } else if let Some(client) = self.unanswered_client(head, at) {
            if End::of(&head.server.host) == End::Nobody {
                self.meet(client, NONE, code.unanswered(), false, [0; 2], at);
            }
        } else {
            let heard = Volume::default();
            self.hear(head, at, &heard, false, Some(code.unanswered()));
        }
    }

    fn flow_ended(&mut self, record: &FlowRecord, at: Timestamp) {
        let head = &record.head;
        let heard_server = record.received.packets > 0;
        let heard_client = record.sent.packets > 0;
        let state = record.tcp.as_ref().map(|tcp| tcp.state);
        let open = !matches!(state, Some(TcpState::SynSent | TcpState::SynReceived | TcpState::Refused));
        let [client, server] = if heard_client && heard_server && open {
            self.sight_both(head, at)
        } else {
            if heard_server {
                self.sight(&head.server.host, head.server_reach, at);
            }
            let client =
                if heard_client { self.unanswered_client(head, at) } else { self.known(&head.client.host) };
            [client, self.known(&head.server.host)]
        };
        self.note_inner(head);
        let protocol = record.protocol.as_ref().map_or(UNNAMED, |protocol| self.name(protocol));
        let code = Self::service(record, protocol, state);
        if let Some(server) = server {
            self.add_volume(server, &record.received, &record.sent);
        }
        let bytes = [record.sent.bytes, record.received.bytes];
        let ended = record.end != model::EndReason::Active;
        match (client, server) {
            (Some(client), Some(server)) if heard_server => self.meet(client, server, code, ended, bytes, at),
            (Some(client), server) if code.is_identified() || End::of(&head.server.host) == End::Nobody => {
                self.meet(client, server.unwrap_or(NONE), code.unanswered(), ended, bytes, at);
            }
            (None, Some(server)) if heard_server && state != Some(TcpState::Refused) => {
                self.take_part(server, SERVER, code, u32::from(ended), at);
            }
            _ => {}
        }
        match client {
            Some(client) => self.add_volume(client, &record.sent, &record.received),
            None if heard_client => {
                // Nobody else is known to have sent it than whoever sent the frame.
                if let Some(sender) = self.known(&Host { ip: None, ..head.client.host }) {
                    self.add_volume(sender, &record.sent, &record.received);
                }
                if !heard_server {
                    self.hear(
                        head,
                        at,
                        &record.sent,
                        ended,
                        code.is_identified().then_some(code.unanswered()),
                    );
                }
            }
            None => {}
        }
    }

    /// The service of a conversation that ended.
    pub(crate) fn service(record: &FlowRecord, protocol: u16, state: Option<TcpState>) -> Code {
        let code = Code::new(protocol, record.head.transport, record.head.server.port);
        let echo = matches!(record.head.transport, Transport::Icmp | Transport::Icmpv6);
        // Picked up in the middle, who is the server is a guess.
        let guess = state == Some(TcpState::Midstream);
        let refused = state == Some(TcpState::Refused);
        if refused || !code.is_identified() && (echo || guess) { code.no_service() } else { code }
    }

    /// Two public addresses that talk on a medium without link-layer addresses: neither is known to be
    /// elsewhere.
    fn note_inner(&mut self, head: &FlowHead) {
        let public = |end: &Endpoint| {
            end.host.mac.is_none() && end.host.ip.is_some_and(|ip| !address::is_inner(address::canonical(ip)))
        };
        if public(&head.client) && public(&head.server) {
            for side in [Side::Client, Side::Server] {
                if let Some(node) = self.known(&head.endpoint(side).host) {
                    self.stand_mut(node).inner = true;
                }
            }
        }
    }

    /// An unproven host was heard.
    fn hear(&mut self, head: &FlowHead, at: Timestamp, sent: &Volume, ended: bool, used: Option<Code>) {
        let End::Ip(key) = End::heard(&head.client.host) else { return };
        let mac = head.client.host.mac.filter(|mac| mac.is_station()).unwrap_or(UNLINKED);
        let Some(strangers) = self.strangers_mut(mac) else { return };
        if *strangers >= STRANGERS_MAX {
            self.shed(Limit::Unproven, 1);
            return;
        }
        let recognised = used.is_some() && head.client_reach == Reach::Near;
        let used = used.map(|code| (code, End::of(&head.server.host).key()));
        let heard = Heard { at, mac, reach: head.client_reach, ended, sent: *sent, recognised, used };
        let (new, gone) = self.unproven.heard(key, heard);
        if new && let Some(strangers) = self.strangers_mut(mac) {
            *strangers = strangers.saturating_add(1);
        }
        if let Some(gone) = gone {
            self.shed(Limit::Unproven, 1);
            self.forget_unproven(&gone);
        }
    }

    /// An unproven host is forgotten.
    fn forget_unproven(&mut self, gone: &Unproven) {
        if let Some(strangers) = gone.mac.and_then(|mac| self.strangers_mut(mac)) {
            *strangers = strangers.saturating_sub(1);
        }
    }

    /// How many unproven hosts a link-layer address speaks for.
    pub(crate) fn strangers_mut(&mut self, mac: MacAddr) -> Option<&mut u16> {
        if mac == UNLINKED {
            return Some(&mut self.unproven.unlinked);
        }
        let node = self.find_key(Key::of_mac(mac))?;
        self.station_mut(node).map(|station| &mut station.strangers)
    }

    /// Believes the hosts that have spoken enough and whose time of patience is over; all that have spoken
    /// enough if no time is given.
    fn accept_waiting(&mut self, now: Option<Timestamp>, at: Timestamp) {
        while let Some((key, mac, reach)) = self.unproven.next_due(now) {
            if self.strangers_mut(mac).is_some_and(|strangers| *strangers <= VOUCHED) {
                self.sight(&Host { mac: Some(mac), ip: key.ip() }, reach, at);
            }
        }
    }

    fn fact(&mut self, fact: &Fact, at: Timestamp) {
        let Some(key) = Self::key_of(&fact.about) else { return };
        let Fact { attribute, value, source, confidence, .. } = fact;
        let told = Told { at, attribute: *attribute, value, source, confidence: *confidence };
        if let Some(node) = self.find_key(key) {
            self.believe(node, &told);
            return;
        }
        let (gone, kept) = self.unproven.remember(key, &told);
        if !kept {
            self.shed(Limit::PendingFacts, 1);
        }
        if let Some(gone) = gone {
            self.shed(Limit::Unproven, 1);
            self.forget_unproven(&gone);
        }
    }

    /// What a host asks of others shows what it is. The first time is enough.
    fn operation(&mut self, operation: &Operation, at: Timestamp) {
        let Some(node) = self.known(&operation.flow.endpoint(operation.from).host) else { return };
        self.touch(node, at);
        let bit = 1_u32.checked_shl(operation.kind as u32).unwrap_or_default();
        if self.hot(node).acts & bit != 0 {
            return;
        }
        self.hot_mut(node).acts |= bit;
        self.add_signs(node, rules::does(operation.kind));
    }
}
