//! One conversation: who, how much, where its transport stands, and what it carries.

use std::time::Duration;

use dissect::proto::Input;
use dissect::wire::{Network, Oddities, Oddity, Packet, TransportInfo};
use model::{
    Anomaly, EndReason, FlowHead, FlowId, FlowRecord, Host, MacAddr, Reach, Side, TcpFlags, Timestamp,
    Transport, Volume, What,
};

use crate::application::{self, Application, Next, Reading};
use crate::key::Key;
use crate::limits::Limits;
use crate::tcp::{Placement, Tcp};

/// A CAN frame as its parser gets it: identifier and at most 64 bytes (ISO 11898-1 clause 10.4.2).
const CAN_FRAME: usize = 4 + 64;

/// One conversation: four cache lines, in the order in which a packet needs them.
#[repr(C, align(64))]
pub(crate) struct Flow {
    pub(crate) key: Key,
    pub(crate) last: Timestamp,
    /// When the record that is being written began.
    pub(crate) record_first: Timestamp,

    pub(crate) first: Timestamp,
    /// What each side sent since the last record; see [`Volume`].
    bytes: [u64; 2],
    payload: [u64; 2],
    packets: [u32; 2],
    macs: [MacAddr; 2],
    reach: [Reach; 2],
    /// Whether the client is the key's second end.
    pub(crate) client_is_second: bool,
    /// Whether the server has spoken.
    pub(crate) answered: bool,

    pub(crate) tcp: Tcp,
    /// The turn at which its timer is looked at; entries of the wheel for another one are stale.
    pub(crate) due: u64,

    pub(crate) application: Application,
    pub(crate) oddities: Oddities,
    /// Tells this use of the place from earlier ones.
    pub(crate) generation: u32,
}

const _: () = assert!(size_of::<Flow>() == 256, "a conversation takes four cache lines");

impl Flow {
    /// A conversation that begins; `macs` are those of client and server.
    pub(crate) fn new(
        key: Key,
        at: Timestamp,
        macs: [MacAddr; 2],
        client_is_second: bool,
        tcp: Tcp,
        generation: u32,
    ) -> Self {
        Self {
            key,
            last: at,
            record_first: at,
            first: at,
            bytes: [0; 2],
            payload: [0; 2],
            packets: [0; 2],
            macs,
            reach: [Reach::Unknown; 2],
            client_is_second,
            answered: false,
            tcp,
            due: 0,
            application: Application::new(),
            oddities: Oddities::NONE,
            generation,
        }
    }

    /// Reads something of each cache line, so that the processor has them when they are needed.
    pub(crate) fn touch(&self) -> bool {
        (self.last == self.record_first) ^ self.answered ^ self.tcp.is_over() ^ self.application.is_unread()
    }

    /// Counts a packet of one side.
    pub(crate) fn count(&mut self, side: Side, packet: &Packet<'_>, wire_length: u32, at: Timestamp) {
        let side = side.index();
        self.last = self.last.max(at);
        self.packets[side] = self.packets[side].saturating_add(1);
        self.bytes[side] += u64::from(wire_length);
        self.payload[side] += (packet.payload.len() + packet.cut) as u64;
        if self.reach[side] == Reach::Unknown {
            self.reach[side] = packet.reach();
        }
    }

    /// The server has spoken. Its packet shows its own link-layer address; the question may have been
    /// broadcast.
    pub(crate) fn answer(&mut self, mac: Option<MacAddr>) {
        self.answered = true;
        if let Some(mac) = mac {
            self.macs[Side::Server.index()] = mac;
        }
    }

    pub(crate) fn head(&self) -> FlowHead {
        let (client, server) = (Side::Client.index(), Side::Server.index());
        let transport = self.key.transport();
        // A CAN frame has an identifier and no receiver.
        let server_end = if transport == Transport::Can {
            model::Endpoint::default()
        } else {
            self.key.endpoint(!self.client_is_second, self.macs[server])
        };
        FlowHead {
            id: FlowId(self.key.id(self.first)),
            transport,
            vlan: self.key.vlan(),
            client: self.key.endpoint(self.client_is_second, self.macs[client]),
            server: server_end,
            client_reach: self.reach[client],
            server_reach: self.reach[server],
        }
    }

    pub(crate) fn idle_limit(&self, limits: &Limits) -> Duration {
        match self.key.transport() {
            Transport::Tcp if self.tcp.is_over() => limits.tcp_closed,
            Transport::Tcp if self.tcp.is_opening() => limits.tcp_opening,
            Transport::Tcp => limits.tcp_idle,
            _ if self.answered => limits.datagram_idle,
            _ => limits.unanswered_idle,
        }
    }

    /// Whether it is over but for stragglers.
    pub(crate) fn is_over(&self) -> bool {
        self.key.transport() == Transport::Tcp && self.tcp.is_over()
    }

    pub(crate) fn record(&self, end: EndReason) -> FlowRecord {
        let volume = |side: Side| Volume {
            packets: self.packets[side.index()].into(),
            bytes: self.bytes[side.index()],
            payload: self.payload[side.index()],
        };
        FlowRecord {
            head: self.head(),
            first: self.record_first,
            last: self.last,
            sent: volume(Side::Client),
            received: volume(Side::Server),
            protocol: self.application.protocol.map(application::name),
            tcp: (self.key.transport() == Transport::Tcp).then(|| self.tcp.stats()),
            end,
        }
    }

    /// An interim record was written: counting begins anew.
    pub(crate) const fn begin_record(&mut self) {
        (self.packets, self.bytes, self.payload) = ([0; 2], [0; 2], [0; 2]);
        self.tcp.reset_counts();
    }

    /// Packets since the last record.
    pub(crate) fn packets(&self) -> u64 {
        u64::from(self.packets[0]) + u64::from(self.packets[1])
    }

    /// Bytes since the last record.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes[0] + self.bytes[1]
    }

    /// Counts what is wrong with a packet and tells it, once for each reason.
    pub(crate) fn note_oddities(&mut self, from: Side, oddities: Oddities, reading: &mut Reading<'_>) {
        for oddity in oddities.iter() {
            reading.reader.counters.oddities[oddity as usize] += 1;
            if !self.oddities.has(oddity) {
                self.oddities.add(oddity);
                let head = reading.head;
                reading.say(oddity_of(Some(head), head.endpoint(from).host, oddity));
            }
        }
    }

    /// Reads what a packet carries.
    pub(crate) fn read(&mut self, from: Side, packet: &Packet<'_>, reading: &mut Reading<'_>) {
        match packet.transport {
            TransportInfo::Tcp { sequence, acknowledgement, flags, .. } => {
                let sequence = if flags.has(TcpFlags::SYN) { sequence.wrapping_add(1) } else { sequence };
                self.segment(from, sequence, packet, reading);
                if flags.has(TcpFlags::ACK) {
                    self.give_up_acknowledged(from.other(), acknowledgement, reading);
                }
            }
            TransportInfo::Udp { .. } if !packet.payload.is_empty() => {
                let input = Input { bytes: packet.payload, from, at: reading.at, cut: packet.cut };
                self.datagram(&input, reading);
            }
            TransportInfo::None | TransportInfo::Icmp { .. } if !packet.payload.is_empty() => {
                self.common(packet, from, reading);
            }
            _ => {}
        }
    }

    fn settle(&mut self, next: Next) {
        if next == Next::Drop {
            self.application.leave();
        }
    }

    /// A segment of a stream: its bytes are put in order and read.
    fn segment(&mut self, side: Side, sequence: u32, packet: &Packet<'_>, reading: &mut Reading<'_>) {
        let captured = packet.payload;
        let length = captured.len() + packet.cut;
        if length == 0 {
            return;
        }
        let placement = self.tcp.place(side, sequence, length);
        if self.application.is_unread() {
            if let Placement::Ahead(missing) = placement {
                self.tcp.lose(side, missing);
                self.tcp.place(side, sequence, length);
            } else if placement != Placement::Next {
                self.tcp.found(side, length);
            }
            return;
        }
        let next = match placement {
            Placement::Old => Next::Keep,
            Placement::Next => self.whole(side, captured, packet.cut, reading),
            Placement::Overlap(seen) => {
                let fresh = captured.get(seen..).unwrap_or_default();
                let cut = length - seen - fresh.len();
                self.whole(side, fresh, cut, reading)
            }
            Placement::Ahead(_) => {
                let expected = self.tcp.expected(side);
                let ahead = sequence.wrapping_sub(expected) as usize;
                let far = ahead > reading.environment.limits.stream_bytes;
                if far || packet.cut > 0 || self.application.is_full(side) {
                    self.go_on_after(side, sequence, packet, reading)
                } else {
                    self.application.hold(side, expected, sequence, captured, reading);
                    Next::Keep
                }
            }
        };
        self.settle(next);
    }

    /// What is missing before a segment is not worth waiting for: it is given up, and reading goes on here.
    fn go_on_after(
        &mut self,
        side: Side,
        sequence: u32,
        packet: &Packet<'_>,
        reading: &mut Reading<'_>,
    ) -> Next {
        if self.skip_gaps(side, reading) == Next::Drop {
            return Next::Drop;
        }
        let missing = sequence.wrapping_sub(self.tcp.expected(side));
        if missing >= 1 << 31 {
            return Next::Keep;
        }
        self.tcp.lose(side, missing);
        let next = self.application.gap(side, u64::from(missing), reading);
        self.tcp.place(side, sequence, packet.payload.len() + packet.cut);
        if next == Next::Keep { self.whole(side, packet.payload, packet.cut, reading) } else { next }
    }

    /// Bytes that come next, what was cut off from them by the snap length, and then what was held back and
    /// follows now.
    fn whole(&mut self, side: Side, bytes: &[u8], cut: usize, reading: &mut Reading<'_>) -> Next {
        let mut next = self.application.stream(side, bytes, reading);
        if next == Next::Keep && cut > 0 {
            next = self.application.gap(side, cut as u64, reading);
        }
        while next == Next::Keep
            && let Some(held) = self.application.release(side, self.tcp.expected(side))
        {
            self.tcp.advance(side, self.tcp.expected(side).wrapping_add(held.len() as u32));
            next = self.application.stream(side, &held, reading);
        }
        next
    }

    /// Gives up the first gap before what was held back, and reads on after it. `None` if there is none.
    fn skip_gap(&mut self, side: Side, reading: &mut Reading<'_>) -> Option<Next> {
        let missing = self.application.first_gap(side, self.tcp.expected(side))?;
        self.tcp.lose(side, missing);
        Some(match self.application.gap(side, u64::from(missing), reading) {
            Next::Keep => self.whole(side, &[], 0, reading),
            Next::Drop => Next::Drop,
        })
    }

    /// Gives up every gap of one direction.
    fn skip_gaps(&mut self, side: Side, reading: &mut Reading<'_>) -> Next {
        while let Some(next) = self.skip_gap(side, reading) {
            if next == Next::Drop {
                return Next::Drop;
            }
        }
        Next::Keep
    }

    /// The other side has acknowledged bytes that were not seen: the sniffer missed them, they will not come.
    fn give_up_acknowledged(&mut self, sender: Side, acknowledgement: u32, reading: &mut Reading<'_>) {
        while self.application.is_acknowledged(sender, self.tcp.expected(sender), acknowledgement)
            && let Some(next) = self.skip_gap(sender, reading)
        {
            self.settle(next);
        }
    }

    /// A datagram: each is whole in itself.
    fn datagram(&mut self, input: &Input<'_>, reading: &mut Reading<'_>) {
        if !self.application.is_unread() {
            let next = self.application.datagram(input, reading);
            self.settle(next);
        }
    }

    /// A frame or packet of a protocol that its header names.
    fn common(&mut self, packet: &Packet<'_>, from: Side, reading: &mut Reading<'_>) {
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
        let input = Input { bytes, from, at: reading.at, cut: packet.cut };
        // A frame may be of another protocol under the same EtherType than those before it; that one says so
        // and the right one is asked, once.
        for _ in 0..2 {
            if self.application.is_looked_for() {
                let is_fragment = matches!(packet.network, Network::Ip { fragment: Some(_), .. });
                match reading.environment.registry.without_ports(packet) {
                    Some(index) if !is_fragment => self.application.read_common(index, reading),
                    _ if is_fragment => return,
                    _ => {
                        self.application.leave();
                        return;
                    }
                }
            }
            self.datagram(&input, reading);
            if !self.application.is_looked_for() {
                return;
            }
        }
    }

    /// The conversation is over: what was held back is read, and the parser tells what it still has to.
    pub(crate) fn finish(&mut self, reading: &mut Reading<'_>) {
        for side in [Side::Client, Side::Server] {
            if self.skip_gaps(side, reading) == Next::Drop {
                self.application.forget_held(side);
            }
        }
        self.application.finish(reading);
    }
}

pub(crate) fn oddity_of(flow: Option<FlowHead>, host: Host, oddity: Oddity) -> What {
    What::Anomaly(Box::new(Anomaly { flow, host, kind: oddity.name().into(), detail: Box::default() }))
}
