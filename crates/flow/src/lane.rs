//! One lane: a table of conversations, their timers, and what is done when the table is full.

use std::collections::VecDeque;

use dissect::proto::Wants;
use dissect::wire::{Oddities, Packet, TransportInfo};
use hashbrown::HashTable;
use model::{EndReason, Host, Observation, Shed, Side, TcpFlags, Timestamp, What};

use crate::application::Reader;
use crate::conversation::{Flow, oddity_of};
use crate::counters::Counters;
use crate::engine::GROUP;
use crate::key::{self, Key, Keyed};
use crate::limits::Limits;
use crate::registry::Registry;
use crate::slab::Slab;
use crate::tcp::Tcp;

/// Slots of the timer wheel, each a turn of [`Limits::turn`], before it comes round; longer waits are looked at each time that
/// it does.
const WHEEL: usize = 1024;
/// How many quiet conversations are compared when one must go.
const COMPARED: usize = 16;

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
    /// Numbers of conversations, each with half of its key's digest: growing need not look at the keys.
    table: HashTable<(u32, u32)>,
    slab: Slab<Flow>,
    /// Conversations, with their generation, by the turn at which they are looked at again.
    wheel: Vec<Vec<(u32, u32)>>,
    /// The turn up to which the wheel has come.
    turned: Option<u64>,
    /// Unanswered conversations, oldest first; some have been answered or are gone by now.
    unanswered: VecDeque<(u32, u32)>,
    /// Where the search for quiet conversations goes on.
    hand: u32,
    generation: u32,
    held_bytes: usize,
    shed_flows: Shed,
    shed_bytes: Shed,
    /// Oddities of packets without a conversation that were told.
    told: Oddities,
    reader: Reader,
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
            slab: Slab::new(),
            wheel: vec![Vec::new(); WHEEL],
            turned: None,
            unanswered: VecDeque::new(),
            hand: 0,
            generation: 0,
            held_bytes: 0,
            shed_flows: shed("flow.table"),
            shed_bytes: shed("flow.stream-bytes"),
            told: Oddities::NONE,
            reader: Reader::new(),
        }
    }

    /// Counts a packet without a conversation and tells what is wrong with it, once for each reason.
    pub(crate) fn without_flow(&mut self, arrival: Arrival<'_, '_>, out: &mut Vec<Observation>) {
        self.reader.counters.without_flow += 1;
        let packet = arrival.packet;
        for oddity in packet.oddities.iter() {
            self.reader.counters.oddities[oddity as usize] += 1;
            if !self.told.has(oddity) {
                self.told.add(oddity);
                let host = Host { mac: packet.source_mac, ip: None };
                out.push(Observation { at: arrival.at, what: oddity_of(None, host, oddity) });
            }
        }
    }

    /// What the lane counted.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.reader.counters
    }

    /// The place of the conversation that has most likely a key of this digest: no conversation is looked at.
    #[inline]
    pub(crate) fn likely(&self, digest: u64) -> Option<u32> {
        let (hash, half) = halved(digest);
        self.table.find(hash, |(known, _)| *known == half).map(|(_, index)| *index)
    }

    /// The place of a conversation.
    fn find(&self, key: &Key, digest: u64) -> Option<u32> {
        let (hash, half) = halved(digest);
        let is = |(known, index): &(u32, u32)| {
            *known == half && self.slab.get(*index).is_some_and(|flow| flow.key == *key)
        };
        self.table.find(hash, is).map(|(_, index)| *index)
    }

    /// Reads something of all that a packet of this conversation needs.
    #[inline]
    pub(crate) fn touch(&self, index: u32) -> bool {
        self.slab.get(index).is_some_and(Flow::touch)
    }

    /// Reads something of all that is needed to look at some conversations, which nobody has for a while: the
    /// processor waits for all of it together.
    fn fetch(&self, indices: impl Iterator<Item = u32> + Clone, environment: &Environment) {
        for index in indices.clone() {
            std::hint::black_box(self.touch(index));
        }
        for flow in indices.filter_map(|index| self.slab.get(index)) {
            std::hint::black_box(self.likely(flow.key.digest(environment.seed)));
        }
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
        let flow = Flow::new(keyed.key, at, macs, keyed.swapped != answers, tcp, self.generation);
        let limit = flow.idle_limit(&environment.limits);
        let index = self.slab.insert(flow);
        let (hash, half) = halved(digest);
        self.table.insert_unique(hash, (half, index), |(half, _)| whole(*half));
        self.unanswered.push_back((index, self.generation));
        self.reader.counters.flows += 1;
        self.schedule(index, at, at + limit, &environment.limits);
        let is_asked = environment.wants.judged && transport == model::Transport::Tcp;
        if let Some(flow) = self.slab.get(index).filter(|flow| is_asked && flow.tcp.is_opening()) {
            out.push(Observation { at, what: What::FlowAsked(Box::new(flow.head())) });
        }
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
        flow.count(side, packet, wire_length, at);
        self.reader.counters.packets_open += 1;
        let answers = side == Side::Server && !flow.answered;
        if answers {
            flow.answer(packet.source_mac);
        }
        let mut over = false;
        if let TransportInfo::Tcp { sequence, flags, .. } = packet.transport {
            let before = flow.tcp.is_over();
            flow.tcp.flags(side, flags, sequence, flow.first, at);
            over = flow.tcp.is_over() && !before;
        }
        let bytes = packet.payload.len() + packet.cut > 0;
        // Without bytes there is something to read only if it acknowledges what was missed.
        let held = flow.application.held_bytes();
        if bytes || answers || !packet.oddities.is_empty() || held > 0 {
            let mut reading = self.reader.read(environment, flow.head(), at, out);
            if answers {
                flow.application.open(&mut reading);
            }
            flow.note_oddities(side, packet.oddities, &mut reading);
            flow.read(side, packet, &mut reading);
            self.held_bytes = self.held_bytes + flow.application.held_bytes() - held;
        }
        if over && flow.tcp.is_refused() {
            // Whoever asks again begins anew: there is nothing to wait for.
            self.end(index, EndReason::Finished, at, environment, out);
            return;
        }
        if flow.packets() >= environment.limits.active_packets && !over {
            self.interim(index, at, out);
        }
        if over {
            // It is looked at again soon, not when it would have been idle.
            self.schedule(index, at, at + environment.limits.tcp_closed, &environment.limits);
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
        let held = flow.application.held_bytes();
        flow.application.finish(&mut self.reader.read(environment, flow.head(), at, out));
        flow.application.leave();
        self.held_bytes -= held;
        self.reader.counters.bytes_shed += held as u64;
        self.shed_bytes.count += 1;
        self.shed_bytes.bytes += held as u64;
    }

    /// Another turn of packet time has begun: timers are looked at.
    pub(crate) fn tick(&mut self, now: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        let last = environment.limits.turn_of(now);
        let from = match self.turned {
            Some(turned) if last > turned => turned + 1,
            Some(_) => return,
            None => last,
        };
        self.turned = Some(last);
        // However long the silence, each slot is looked at once.
        let from = from.max(last.saturating_sub(WHEEL as u64 - 1));
        for turn in from..=last {
            let slot = turn as usize % WHEEL;
            let mut entries = std::mem::take(&mut self.wheel[slot]);
            for group in entries.chunks(GROUP) {
                self.fetch(group.iter().map(|(index, _)| *index), environment);
                for (index, generation) in group {
                    let flow = self.slab.get(*index);
                    if flow.is_some_and(|flow| flow.generation == *generation && flow.due <= last) {
                        self.look_at(*index, now, environment, out);
                    }
                }
            }
            // What was put into this slot meanwhile is for the next turn of the wheel.
            entries.clear();
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
            let reason = if flow.is_over() { EndReason::Finished } else { EndReason::Idle };
            return self.end(index, reason, now, environment, out);
        }
        let active_at = flow.record_first + limits.active;
        let mut record_first = flow.record_first;
        if active_at <= now {
            self.interim(index, now, out);
            record_first = now;
        }
        let due = idle_at.min(record_first + limits.active);
        self.schedule(index, now, due, limits);
    }

    /// Writes an interim record of a conversation that goes on.
    fn interim(&mut self, index: u32, now: Timestamp, out: &mut Vec<Observation>) {
        let Some(flow) = self.slab.get_mut(index) else { return };
        if flow.packets() > 0 {
            self.reader.counters.packets_open -= flow.packets();
            let record = flow.record(EndReason::Active);
            out.push(Observation { at: now, what: What::FlowEnded(Box::new(record)) });
            flow.begin_record();
        }
        flow.record_first = now;
    }

    /// Puts a conversation into the slot of the wheel at which it is looked at again, unless it will be
    /// looked at sooner anyway.
    fn schedule(&mut self, index: u32, now: Timestamp, due: Timestamp, limits: &Limits) {
        // Slots that the wheel has passed are not looked at before it comes round.
        let now = limits.turn_of(now);
        let turned = self.turned.map_or(now, |turned| turned.max(now));
        let turn = (limits.turn_of(due) + 1).clamp(turned + 1, turned + WHEEL as u64 - 1);
        if let Some(flow) = self.slab.get_mut(index) {
            flow.due = turn;
            self.wheel[turn as usize % WHEEL].push((index, flow.generation));
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
        if !flow.application.is_unread() {
            flow.finish(&mut self.reader.read(environment, flow.head(), at, out));
        }
        if flow.packets() > 0 {
            out.push(Observation { at, what: What::FlowEnded(Box::new(flow.record(reason))) });
        }
    }

    /// Takes a conversation out of the table.
    fn forget(&mut self, index: u32, environment: &Environment) -> Option<Flow> {
        let flow = self.slab.remove(index)?;
        self.reader.counters.packets_open -= flow.packets();
        let (hash, _) = halved(flow.key.digest(environment.seed));
        if let Ok(entry) = self.table.find_entry(hash, |(_, other)| *other == index) {
            entry.remove();
        }
        self.held_bytes -= flow.application.held_bytes();
        Some(flow)
    }

    /// Lets the least valuable conversation go: the oldest unanswered one, without a record of its own,
    /// else one that has been quiet for long.
    fn make_room(&mut self, at: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        while let Some((index, generation)) = self.unanswered.pop_front() {
            let candidate = self.slab.get(index);
            if candidate.is_some_and(|flow| {
                flow.generation == generation && !flow.answered && !flow.application.opened
            }) && let Some(flow) = self.forget(index, environment)
            {
                self.shed_flows.count += 1;
                self.shed_flows.packets += flow.packets();
                self.shed_flows.bytes += flow.bytes();
                self.reader.counters.flows_shed += 1;
                self.reader.counters.packets_shed += flow.packets();
                return;
            }
        }
        // Every conversation was answered: the quietest of the next few goes.
        let mut quietest: Option<(Timestamp, u32)> = None;
        let mut compared = 0;
        for _ in 0..self.slab.bound() {
            self.hand = (self.hand + 1) % self.slab.bound();
            let index = self.hand;
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
                out.push(Observation { at, what: What::Shed(Box::new(shed)) });
            }
        }
        // Entries of conversations that have been answered or are gone are dropped now and then.
        if self.unanswered.len() > 2 * (self.slab.bound() as usize).max(COMPARED) {
            let slab = &self.slab;
            self.unanswered.retain(|(index, generation)| {
                slab.get(*index).is_some_and(|flow| flow.generation == *generation && !flow.answered)
            });
        }
    }

    /// The source has ended: all conversations are closed, oldest first.
    pub(crate) fn finish(&mut self, at: Timestamp, environment: &Environment, out: &mut Vec<Observation>) {
        let mut open: Vec<(Timestamp, u64, u32)> =
            self.slab.iter().map(|(index, flow)| (flow.first, flow.key.id(flow.first), index)).collect();
        open.sort_unstable();
        for group in open.chunks(GROUP) {
            self.fetch(group.iter().map(|(.., index)| *index), environment);
            for (.., index) in group {
                self.end(*index, EndReason::SourceEnd, at, environment, out);
            }
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

/// Half of a digest, as the table keeps it, and what the table makes of that.
const fn halved(digest: u64) -> (u64, u32) {
    let half = (digest >> 32) as u32;
    (whole(half), half)
}

/// The table looks for a place by the lower bits and compares the highest.
const fn whole(half: u32) -> u64 {
    (half as u64) << 32 | half as u64
}
