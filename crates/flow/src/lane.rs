//! One lane: a table of conversations, their timers, and what is done when the table is full.

use std::collections::VecDeque;
use std::time::Duration;

use dissect::proto::{Input, PROTOCOLS, Parser, Wants, Yield};
use dissect::wire::{Network, Oddities, Oddity, Packet, TransportInfo};
use hashbrown::HashTable;
use model::{
    Anomaly, EndReason, FlowHead, FlowId, FlowRecord, Host, MacAddr, Observation, Reach, Shed, Side,
    TcpFlags, Timestamp, Transport, Volume, What,
};

use crate::application::{self, Application, Next, Shared};
use crate::counters::Counters;
use crate::key::{self, Key, Keyed};
use crate::limits::Limits;
use crate::registry::{Index, Registry};
use crate::tcp::{Placement, Tcp};

/// Seconds that the timer wheel turns before it comes round; longer waits are looked at once a turn.
const WHEEL: usize = 1024;
/// A CAN frame as its parser gets it: identifier and at most 64 bytes (ISO 11898-1 clause 10.4.2).
const CAN_FRAME: usize = 4 + 64;
/// How many quiet conversations are compared when one must go.
const COMPARED: usize = 16;

/// What one side of a conversation sent since the last record.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    packets: u32,
    bytes: u64,
    payload: u64,
}

impl Sent {
    const fn volume(self) -> Volume {
        Volume { packets: self.packets as u64, bytes: self.bytes, payload: self.payload }
    }
}

/// One conversation.
struct Flow {
    key: Key,
    id: u64,
    first: Timestamp,
    last: Timestamp,
    /// When the record that is being written began.
    record_first: Timestamp,
    sent: [Sent; 2],
    macs: [MacAddr; 2],
    reach: [Reach; 2],
    /// Whether the client is the key's second end.
    client_is_second: bool,
    /// Whether the server has spoken.
    answered: bool,
    /// Whether it was said that the conversation exists.
    opened: bool,
    /// Whether nobody reads it any more.
    unread: bool,
    protocol: Option<Index>,
    oddities: Oddities,
    /// The second at which its timer is looked at; entries of the wheel for another second are stale.
    due: u64,
    /// Tells this use of the place from earlier ones.
    generation: u32,
    tcp: Tcp,
    application: Option<Box<Application>>,
}

impl Flow {
    fn head(&self) -> FlowHead {
        let (client, server) = (Side::Client.index(), Side::Server.index());
        let mut head = FlowHead {
            id: FlowId(self.id),
            transport: self.key.transport(),
            vlan: self.key.vlan(),
            client: self.key.endpoint(self.client_is_second, self.macs[client]),
            server: self.key.endpoint(!self.client_is_second, self.macs[server]),
            client_reach: self.reach[client],
            server_reach: self.reach[server],
        };
        if head.transport == Transport::Can {
            // A CAN frame has an identifier and no receiver.
            head.server = model::Endpoint::default();
        }
        head
    }

    fn idle_limit(&self, limits: &Limits) -> Duration {
        match self.key.transport() {
            Transport::Tcp if self.tcp.is_over() => limits.tcp_closed,
            Transport::Tcp if self.tcp.is_opening() => limits.tcp_opening,
            Transport::Tcp => limits.tcp_idle,
            _ if self.answered => limits.datagram_idle,
            _ => limits.unanswered_idle,
        }
    }

    fn record(&self, end: EndReason) -> FlowRecord {
        let transport = self.key.transport();
        FlowRecord {
            head: self.head(),
            first: self.record_first,
            last: self.last,
            sent: self.sent[Side::Client.index()].volume(),
            received: self.sent[Side::Server.index()].volume(),
            protocol: self.protocol.map(application::name),
            tcp: (transport == Transport::Tcp).then(|| self.tcp.stats()),
            end,
        }
    }

    fn packets(&self) -> u64 {
        u64::from(self.sent[0].packets) + u64::from(self.sent[1].packets)
    }
}

/// Places for conversations, reused in the order in which they became free.
#[derive(Default)]
struct Slab {
    flows: Vec<Option<Flow>>,
    free: Vec<u32>,
}

impl Slab {
    fn get(&self, index: u32) -> Option<&Flow> {
        self.flows.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Flow> {
        self.flows.get_mut(index as usize)?.as_mut()
    }

    fn insert(&mut self, flow: Flow) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.flows[index as usize] = Some(flow);
                index
            }
            None => {
                self.flows.push(Some(flow));
                self.flows.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, index: u32) -> Option<Flow> {
        let flow = self.flows.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(flow)
    }
}

/// What all lanes of a shard share.
pub(crate) struct Environment {
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    pub(crate) wants: Wants,
    /// The secret seed of the table's digests.
    pub(crate) seed: u64,
}

/// One lane.
pub(crate) struct Lane {
    table: HashTable<u32>,
    slab: Slab,
    /// Conversations, with their generation, by the second at which they are looked at again.
    wheel: Vec<Vec<(u32, u32)>>,
    /// The second up to which the wheel has turned.
    turned: Option<u64>,
    /// Unanswered conversations, oldest first; some have been answered or are gone by now.
    unanswered: VecDeque<(u32, u32)>,
    /// Where the search for quiet conversations goes on.
    hand: usize,
    generation: u32,
    held_bytes: usize,
    shed_flows: Shed,
    shed_bytes: Shed,
    /// Oddities of packets without a conversation that were told.
    told: Oddities,
    common: Vec<Option<Box<dyn Parser>>>,
    found: Vec<Yield>,
    pub(crate) counters: Counters,
}

/// A packet, its time and its size.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a, 'b> {
    pub(crate) packet: &'b Packet<'a>,
    pub(crate) at: Timestamp,
    pub(crate) wire_length: u32,
}

impl Lane {
    pub(crate) fn new() -> Self {
        let shed = |limit: &'static str| Shed { limit: limit.into(), count: 0, packets: 0, bytes: 0 };
        Self {
            table: HashTable::new(),
            slab: Slab::default(),
            wheel: vec![Vec::new(); WHEEL],
            turned: None,
            unanswered: VecDeque::new(),
            hand: 0,
            generation: 0,
            held_bytes: 0,
            shed_flows: shed("flow.table"),
            shed_bytes: shed("flow.stream-bytes"),
            told: Oddities::NONE,
            common: (0..PROTOCOLS.len()).map(|_| None).collect(),
            found: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Counts a packet without a conversation and tells what is wrong with it, once for each reason.
    pub(crate) fn without_flow(&mut self, arrival: Arrival<'_, '_>, out: &mut Vec<Observation>) {
        self.counters.without_flow += 1;
        let packet = arrival.packet;
        for oddity in packet.oddities.iter() {
            self.counters.oddities[oddity as usize] += 1;
            if !self.told.iter().any(|told| told == oddity) {
                self.told.add(oddity);
                let host = Host { mac: packet.source_mac, ip: None };
                out.push(odd(arrival.at, None, host, oddity));
            }
        }
    }

    /// The place of a conversation.
    #[inline]
    pub(crate) fn find(&self, key: &Key, digest: u64) -> Option<u32> {
        let slab = &self.slab;
        self.table.find(digest, |index| slab.get(*index).is_some_and(|flow| flow.key == *key)).copied()
    }

    /// How many bytes a conversation's streams hold.
    #[inline]
    pub(crate) fn held_bytes_of(&self, index: u32) -> usize {
        self.slab.get(index).and_then(|flow| flow.application.as_ref()).map_or(0, |known| known.held_bytes)
    }

    /// Works a packet. `digest` is that of its key under the secret seed.
    pub(crate) fn packet(
        &mut self,
        keyed: Keyed,
        digest: u64,
        arrival: Arrival<'_, '_>,
        environment: &Environment,
        out: &mut Vec<Observation>,
    ) {
        let known = self.find(&keyed.key, digest);
        let index = match known {
            Some(index) if !self.begins_again(index, arrival) => index,
            Some(index) => {
                self.end(index, EndReason::Finished, arrival.at, environment, out);
                self.begin(keyed, digest, arrival, environment, out)
            }
            None => self.begin(keyed, digest, arrival, environment, out),
        };
        self.work(index, keyed, arrival, environment, out);
    }

    /// Whether the packet opens a new conversation between the ends of an old one.
    fn begins_again(&self, index: u32, arrival: Arrival<'_, '_>) -> bool {
        let TransportInfo::Tcp { flags, sequence, .. } = arrival.packet.transport else { return false };
        self.slab.get(index).is_some_and(|flow| flow.tcp.is_new_connection(flags, sequence))
    }

    fn begin(
        &mut self,
        keyed: Keyed,
        digest: u64,
        arrival: Arrival<'_, '_>,
        environment: &Environment,
        out: &mut Vec<Observation>,
    ) -> u32 {
        if self.table.len() >= environment.limits.lane_flows() {
            self.make_room(arrival.at, environment, out);
        }
        let Arrival { packet, at, .. } = arrival;
        let transport = keyed.key.transport();
        let (source_port, destination_port) = key::ports(packet.transport);
        let mut tcp = Tcp::default();
        // The sender of the first packet is the client, unless it clearly answers.
        let answers = match packet.transport {
            TransportInfo::Tcp { flags, .. } => {
                tcp.begin(flags);
                if flags.has(TcpFlags::SYN) {
                    flags.has(TcpFlags::ACK)
                } else {
                    environment.registry.looks_like_answer(transport, source_port, destination_port)
                }
            }
            TransportInfo::Udp { .. } => {
                environment.registry.looks_like_answer(transport, source_port, destination_port)
            }
            _ => false,
        };
        self.generation = self.generation.wrapping_add(1);
        let mut macs = [packet.source_mac.unwrap_or_default(), packet.destination_mac.unwrap_or_default()];
        if answers {
            macs.swap(0, 1);
        }
        let flow = Flow {
            key: keyed.key,
            id: keyed.key.id(at),
            first: at,
            last: at,
            record_first: at,
            sent: [Sent::default(); 2],
            macs,
            reach: [Reach::Unknown; 2],
            client_is_second: keyed.swapped != answers,
            answered: false,
            opened: false,
            unread: false,
            protocol: None,
            oddities: Oddities::NONE,
            due: 0,
            generation: self.generation,
            tcp,
            application: None,
        };
        let limit = flow.idle_limit(&environment.limits);
        let index = self.slab.insert(flow);
        let slab = &self.slab;
        self.table.insert_unique(digest, index, |other| {
            slab.get(*other).map_or(0, |flow| flow.key.digest(environment.seed))
        });
        self.unanswered.push_back((index, self.generation));
        self.counters.flows += 1;
        self.schedule(index, at, at + limit);
        index
    }

    /// Brings a packet into its conversation.
    fn work(
        &mut self,
        index: u32,
        keyed: Keyed,
        arrival: Arrival<'_, '_>,
        environment: &Environment,
        out: &mut Vec<Observation>,
    ) {
        let Arrival { packet, at, wire_length } = arrival;
        let Some(flow) = self.slab.get_mut(index) else { return };
        let side = key::side(keyed.swapped, flow.client_is_second);
        flow.last = flow.last.max(at);
        let sent = &mut flow.sent[side.index()];
        sent.packets = sent.packets.saturating_add(1);
        self.counters.packets_open += 1;
        sent.bytes += u64::from(wire_length);
        sent.payload += (packet.payload.len() + packet.cut) as u64;
        if flow.reach[side.index()] == Reach::Unknown {
            flow.reach[side.index()] = packet.reach();
        }
        let mut shared = Shared {
            registry: &environment.registry,
            limits: &environment.limits,
            wants: environment.wants,
            common: &mut self.common,
            counters: &mut self.counters,
            found: &mut self.found,
            out,
        };
        if side == Side::Server && !flow.answered {
            flow.answered = true;
            // The answer shows the server's own link-layer address; the question may have been broadcast.
            if let Some(mac) = packet.source_mac {
                flow.macs[Side::Server.index()] = mac;
            }
            let head = flow.head();
            if let Some(application) = &mut flow.application {
                application.head = head;
                application.opened = true;
            }
            if !flow.opened {
                flow.opened = true;
                shared.say(at, What::FlowOpened(Box::new(head)));
            }
        }
        if !packet.oddities.is_empty() {
            for oddity in packet.oddities.iter() {
                shared.counters.oddities[oddity as usize] += 1;
                if !flow.oddities.iter().any(|told| told == oddity) {
                    flow.oddities.add(oddity);
                    let head = flow.head();
                    let host = head.endpoint(side).host;
                    shared.out.push(odd(at, Some(head), host, oddity));
                }
            }
        }
        let held_before = flow.application.as_ref().map_or(0, |application| application.held_bytes);
        match packet.transport {
            TransportInfo::Tcp { sequence, acknowledgement, flags, .. } => {
                let (first, before) = (flow.first, flow.tcp.is_over());
                flow.tcp.flags(side, flags, sequence, first, at);
                let over = flow.tcp.is_over() && !before;
                let sequence = if flags.has(TcpFlags::SYN) { sequence.wrapping_add(1) } else { sequence };
                segment(flow, side, sequence, packet, at, &mut shared);
                if flags.has(TcpFlags::ACK) {
                    give_up_acknowledged(flow, side.other(), acknowledgement, at, &mut shared);
                }
                let held_after = flow.application.as_ref().map_or(0, |application| application.held_bytes);
                self.held_bytes = self.held_bytes + held_after - held_before;
                if over {
                    // It is looked at again soon, not when it would have been idle.
                    self.schedule(index, at, at + environment.limits.tcp_closed);
                }
            }
            TransportInfo::Udp { .. } if !packet.payload.is_empty() => {
                let input = Input { bytes: packet.payload, from: side, at, cut: packet.cut };
                datagram(flow, &input, &mut shared);
            }
            TransportInfo::None | TransportInfo::Icmp { .. } if !packet.payload.is_empty() => {
                common(flow, packet, side, at, &mut shared);
            }
            _ => {}
        }
        if self.held_bytes > environment.limits.lane_bytes() {
            self.give_up_held(index, at, environment, out);
        }
    }

    /// The buffers of the lane are full: this conversation, which has just asked for more, gives up what
    /// it holds.
    fn give_up_held(
        &mut self,
        index: u32,
        at: Timestamp,
        environment: &Environment,
        out: &mut Vec<Observation>,
    ) {
        let Some(flow) = self.slab.get_mut(index) else { return };
        let mut shared = Shared {
            registry: &environment.registry,
            limits: &environment.limits,
            wants: environment.wants,
            common: &mut self.common,
            counters: &mut self.counters,
            found: &mut self.found,
            out,
        };
        if let Some(mut application) = flow.application.take() {
            let bytes = application.held_bytes as u64;
            application.finish(at, &mut shared);
            flow.unread = true;
            self.held_bytes -= application.held_bytes;
            self.counters.bytes_shed += bytes;
            self.shed_bytes.count += 1;
            self.shed_bytes.bytes += bytes;
        }
    }

    /// The second of packet time has changed: timers are looked at.
    pub(crate) fn tick(&mut self, now: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        let second = now.as_secs();
        let from = match self.turned {
            Some(turned) if second > turned => turned + 1,
            Some(_) => return,
            None => second,
        };
        self.turned = Some(second);
        // However long the silence, each slot is looked at once.
        let from = from.max(second.saturating_sub(WHEEL as u64 - 1));
        for turn in from..=second {
            let slot = turn as usize % WHEEL;
            let mut entries = std::mem::take(&mut self.wheel[slot]);
            for (index, generation) in entries.drain(..) {
                let flow = self.slab.get(index);
                if flow.is_some_and(|flow| flow.generation == generation && flow.due <= second) {
                    self.look_at(index, now, environment, out);
                }
            }
            // What was put into this slot meanwhile is for the next turn of the wheel.
            entries.append(&mut self.wheel[slot]);
            self.wheel[slot] = entries;
        }
        self.report_shed(now, out);
    }

    /// Ends a conversation whose time is over, writes an interim record of a long one, or looks again
    /// later.
    fn look_at(&mut self, index: u32, now: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        let limits = &environment.limits;
        let Some(flow) = self.slab.get_mut(index) else { return };
        let idle_at = flow.last + flow.idle_limit(limits);
        if idle_at <= now {
            let over = flow.key.transport() == Transport::Tcp && flow.tcp.is_over();
            let reason = if over { EndReason::Finished } else { EndReason::Idle };
            return self.end(index, reason, now, environment, out);
        }
        let active_at = flow.record_first + limits.active;
        if active_at <= now {
            if flow.packets() > 0 {
                self.counters.packets_open -= flow.packets();
                let record = flow.record(EndReason::Active);
                out.push(Observation { at: now, what: What::FlowEnded(Box::new(record)) });
                flow.sent = [Sent::default(); 2];
                flow.tcp.reset_counts();
            }
            flow.record_first = now;
        }
        let due = idle_at.min(flow.record_first + limits.active);
        self.schedule(index, now, due);
    }

    /// Puts a conversation into the slot of the wheel at which it is looked at again, unless it will be
    /// looked at sooner anyway.
    fn schedule(&mut self, index: u32, now: Timestamp, due: Timestamp) {
        // Slots that the wheel has passed are not looked at before the next turn.
        let turned = self.turned.map_or(now.as_secs(), |turned| turned.max(now.as_secs()));
        let second = (due.as_secs() + 1).clamp(turned + 1, turned + WHEEL as u64 - 1);
        if let Some(flow) = self.slab.get_mut(index) {
            flow.due = second;
            self.wheel[second as usize % WHEEL].push((index, flow.generation));
        }
    }

    /// Writes a conversation's record and forgets it.
    fn end(
        &mut self,
        index: u32,
        reason: EndReason,
        at: Timestamp,
        environment: &Environment,
        out: &mut Vec<Observation>,
    ) {
        let Some(mut flow) = self.forget(index, environment) else { return };
        if let Some(mut application) = flow.application.take() {
            let mut shared = Shared {
                registry: &environment.registry,
                limits: &environment.limits,
                wants: environment.wants,
                common: &mut self.common,
                counters: &mut self.counters,
                found: &mut self.found,
                out,
            };
            for side in [Side::Client, Side::Server] {
                flush(&mut flow.tcp, &mut application, &mut flow.protocol, side, at, &mut shared);
            }
            application.finish(at, &mut shared);
        }
        if flow.packets() > 0 {
            out.push(Observation { at, what: What::FlowEnded(Box::new(flow.record(reason))) });
        }
    }

    /// Takes a conversation out of the table.
    fn forget(&mut self, index: u32, environment: &Environment) -> Option<Flow> {
        let flow = self.slab.remove(index)?;
        self.counters.packets_open -= flow.packets();
        let digest = flow.key.digest(environment.seed);
        if let Ok(entry) = self.table.find_entry(digest, |other| *other == index) {
            entry.remove();
        }
        self.held_bytes -= flow.application.as_ref().map_or(0, |application| application.held_bytes);
        Some(flow)
    }

    /// Lets the least valuable conversation go: the oldest unanswered one, without a record of its own,
    /// else one that has been quiet for long.
    fn make_room(&mut self, at: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        while let Some((index, generation)) = self.unanswered.pop_front() {
            let candidate = self.slab.get(index);
            if candidate.is_some_and(|flow| flow.generation == generation && !flow.answered && !flow.opened)
                && let Some(flow) = self.forget(index, environment)
            {
                self.shed_flows.count += 1;
                self.shed_flows.packets += flow.packets();
                self.shed_flows.bytes += flow.sent[0].bytes + flow.sent[1].bytes;
                self.counters.flows_shed += 1;
                self.counters.packets_shed += flow.packets();
                return;
            }
        }
        // Every conversation was answered: the quietest of the next few goes.
        let mut quietest: Option<(Timestamp, u32)> = None;
        let mut compared = 0;
        for _ in 0..self.slab.flows.len() {
            self.hand = (self.hand + 1) % self.slab.flows.len();
            let index = self.hand as u32;
            if let Some(flow) = self.slab.get(index) {
                quietest = Some(quietest.map_or((flow.last, index), |known| known.min((flow.last, index))));
                compared += 1;
                if compared == COMPARED {
                    break;
                }
            }
        }
        if let Some((_, index)) = quietest {
            self.end(index, EndReason::Evicted, at, environment, out);
        }
    }

    /// Says what was given up since the last time it was said.
    fn report_shed(&mut self, at: Timestamp, out: &mut Vec<Observation>) {
        for shed in [&mut self.shed_flows, &mut self.shed_bytes] {
            if shed.count > 0 {
                let nothing = Shed { limit: shed.limit.clone(), count: 0, packets: 0, bytes: 0 };
                let shed = std::mem::replace(shed, nothing);
                out.push(Observation { at, what: What::Shed(shed) });
            }
        }
        // Entries of conversations that have been answered or are gone are dropped now and then.
        if self.unanswered.len() > 2 * self.slab.flows.len().max(COMPARED) {
            let slab = &self.slab;
            self.unanswered.retain(|(index, generation)| {
                slab.get(*index).is_some_and(|flow| flow.generation == *generation && !flow.answered)
            });
        }
    }

    /// The source has ended: all conversations are closed, oldest first.
    pub(crate) fn finish(&mut self, at: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        let mut open: Vec<(Timestamp, u64, u32)> = (0..)
            .zip(&self.slab.flows)
            .filter_map(|(index, flow)| flow.as_ref().map(|flow| (flow.first, flow.id, index)))
            .collect();
        open.sort_unstable();
        for (_, _, index) in open {
            self.end(index, EndReason::SourceEnd, at, environment, out);
        }
        self.report_shed(at, out);
        self.wheel.iter_mut().for_each(Vec::clear);
        self.unanswered.clear();
        self.turned = None;
    }

    /// How many conversations are open at this moment.
    pub(crate) fn open(&self) -> u64 {
        self.table.len() as u64
    }
}

fn odd(at: Timestamp, flow: Option<FlowHead>, host: Host, oddity: Oddity) -> Observation {
    let anomaly = Anomaly { flow, host, kind: oddity.name().into(), detail: Box::default() };
    Observation { at, what: What::Anomaly(Box::new(anomaly)) }
}

/// A segment of a stream: its bytes are put in order and read.
fn segment(
    flow: &mut Flow,
    side: Side,
    sequence: u32,
    packet: &Packet<'_>,
    at: Timestamp,
    shared: &mut Shared<'_>,
) {
    let captured = packet.payload;
    let length = captured.len() + packet.cut;
    if length == 0 {
        return;
    }
    let placement = flow.tcp.place(side, sequence, length);
    if flow.unread {
        if let Placement::Ahead(missing) = placement {
            flow.tcp.lose(side, missing);
            flow.tcp.place(side, sequence, length);
        } else if placement != Placement::Next {
            flow.tcp.found(side, length);
        }
        return;
    }
    let mut application =
        flow.application.take().unwrap_or_else(|| Box::new(Application::new(flow.head(), flow.opened)));
    let protocol = &mut flow.protocol;
    let next = match placement {
        Placement::Old => Next::Keep,
        Placement::Next => {
            whole(&mut flow.tcp, &mut application, protocol, side, captured, packet.cut, at, shared)
        }
        Placement::Overlap(seen) => {
            let fresh = captured.get(seen..).unwrap_or_default();
            let cut = length - seen - fresh.len();
            whole(&mut flow.tcp, &mut application, protocol, side, fresh, cut, at, shared)
        }
        Placement::Ahead(_) => {
            let expected = flow.tcp.expected(side);
            let stream = &mut application.streams[side.index()];
            let far = sequence.wrapping_sub(expected) as usize > shared.limits.stream_bytes;
            if far || stream.held.is_full() || packet.cut > 0 {
                // Not worth waiting for: what is missing is given up and reading goes on here.
                let next = flush(&mut flow.tcp, &mut application, protocol, side, at, shared);
                let missing = sequence.wrapping_sub(flow.tcp.expected(side));
                if next == Next::Keep && missing < 1 << 31 {
                    flow.tcp.lose(side, missing);
                    let next = application.gap(side, u64::from(missing), at, shared);
                    flow.tcp.place(side, sequence, length);
                    if next == Next::Keep {
                        let cut = packet.cut;
                        whole(&mut flow.tcp, &mut application, protocol, side, captured, cut, at, shared)
                    } else {
                        next
                    }
                } else {
                    next
                }
            } else {
                let (added, conflict) = stream.held.hold(expected, sequence, captured);
                application.held_bytes += added;
                if conflict {
                    application.anomaly(side, "tcp.overlap-conflict".into(), "", at, shared);
                }
                Next::Keep
            }
        }
    };
    put_back(flow, application, next);
}

/// Bytes that come next, what was cut off from them by the snap length, and then what was held back and
/// follows now.
#[allow(clippy::too_many_arguments, reason = "the parts of one conversation, borrowed apart")]
fn whole(
    tcp: &mut Tcp,
    application: &mut Application,
    protocol: &mut Option<Index>,
    side: Side,
    bytes: &[u8],
    cut: usize,
    at: Timestamp,
    shared: &mut Shared<'_>,
) -> Next {
    let mut next = application.stream(side, bytes, at, protocol, shared);
    if next == Next::Keep && cut > 0 {
        next = application.gap(side, cut as u64, at, shared);
    }
    while next == Next::Keep
        && let Some((held, length)) = application.streams[side.index()].held.release(tcp.expected(side))
    {
        application.held_bytes -= length;
        tcp.advance(side, tcp.expected(side).wrapping_add(held.len() as u32));
        next = application.stream(side, &held, at, protocol, shared);
    }
    next
}

/// Keeps the application with its conversation, or notes that nobody reads it any more.
fn put_back(flow: &mut Flow, application: Box<Application>, next: Next) {
    flow.opened |= application.opened;
    if next == Next::Keep {
        flow.application = Some(application);
    } else {
        flow.unread = true;
    }
}

/// Gives up the first gap before what was held back, and reads on after it.
fn skip_gap(
    tcp: &mut Tcp,
    application: &mut Application,
    protocol: &mut Option<Index>,
    side: Side,
    at: Timestamp,
    shared: &mut Shared<'_>,
) -> Next {
    let Some(missing) = application.streams[side.index()].held.first_gap(tcp.expected(side)) else {
        return Next::Keep;
    };
    tcp.lose(side, missing);
    match application.gap(side, u64::from(missing), at, shared) {
        Next::Keep => whole(tcp, application, protocol, side, &[], 0, at, shared),
        Next::Drop => Next::Drop,
    }
}

/// Gives up every gap of one direction.
fn flush(
    tcp: &mut Tcp,
    application: &mut Application,
    protocol: &mut Option<Index>,
    side: Side,
    at: Timestamp,
    shared: &mut Shared<'_>,
) -> Next {
    while !application.streams[side.index()].held.is_empty() {
        if skip_gap(tcp, application, protocol, side, at, shared) == Next::Drop {
            application.held_bytes -= application.streams[side.index()].held.clear();
            return Next::Drop;
        }
    }
    Next::Keep
}

/// The other side has acknowledged bytes that were not seen: the sniffer missed them, they will not come.
fn give_up_acknowledged(
    flow: &mut Flow,
    sender: Side,
    acknowledgement: u32,
    at: Timestamp,
    shared: &mut Shared<'_>,
) {
    let acknowledged = |application: &Application, tcp: &Tcp| {
        application.streams[sender.index()].held.is_acknowledged(tcp.expected(sender), acknowledgement)
    };
    let Some(mut application) = flow.application.take() else { return };
    let mut next = Next::Keep;
    while next == Next::Keep && acknowledged(&application, &flow.tcp) {
        next = skip_gap(&mut flow.tcp, &mut application, &mut flow.protocol, sender, at, shared);
    }
    put_back(flow, application, next);
}

/// A datagram: each is whole in itself.
fn datagram(flow: &mut Flow, input: &Input<'_>, shared: &mut Shared<'_>) {
    if flow.unread {
        return;
    }
    let mut application =
        flow.application.take().unwrap_or_else(|| Box::new(Application::new(flow.head(), flow.opened)));
    let next = application.datagram(input, &mut flow.protocol, shared);
    put_back(flow, application, next);
}

/// A frame or packet of a protocol that its header names.
fn common(flow: &mut Flow, packet: &Packet<'_>, from: Side, at: Timestamp, shared: &mut Shared<'_>) {
    if flow.unread {
        return;
    }
    let mut frame = [0; CAN_FRAME];
    let bytes = match packet.network {
        // The identifier is what a CAN frame is about, and its parser gets it before the data.
        Network::Can { id, .. } => {
            let length = packet.payload.len().min(CAN_FRAME - 4);
            frame[..4].copy_from_slice(&id.to_be_bytes());
            frame[4..4 + length].copy_from_slice(&packet.payload[..length]);
            &frame[..4 + length]
        }
        _ => packet.payload,
    };
    let input = Input { bytes, from, at, cut: packet.cut };
    // A frame may be of another protocol under the same EtherType than those before it; that one says so
    // and the right one is asked, once.
    for _ in 0..2 {
        let mut application = match flow.application.take() {
            Some(application) if !application.is_looked_for() => application,
            other => {
                let is_fragment = matches!(packet.network, Network::Ip { fragment: Some(_), .. });
                match shared.registry.without_ports(packet) {
                    Some(index) if !is_fragment => {
                        let mut application =
                            other.unwrap_or_else(|| Box::new(Application::new(flow.head(), flow.opened)));
                        application.read_common(index, at, &mut flow.protocol, shared);
                        application
                    }
                    _ => {
                        flow.unread = !is_fragment;
                        return;
                    }
                }
            }
        };
        let next = application.datagram(&input, &mut flow.protocol, shared);
        let again = application.is_looked_for();
        put_back(flow, application, next);
        if !again {
            break;
        }
    }
}
