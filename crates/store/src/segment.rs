//! Conversations, packed: a few thousand records to a segment.
//!
//! A row of its own for every conversation would cost more time than sensing it did. A segment is a
//! version byte, a table of protocol names, and the records one after another: numbers as LEB128
//! varints, times and addresses as differences from the record before where that is short.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{
    EndReason, Endpoint, FlowHead, FlowId, FlowRecord, Host, MacAddr, Name, Reach, TcpFlags, TcpState,
    TcpStats, Timestamp, Transport, Volume,
};

/// How many records a segment holds at most.
const SEGMENT_RECORDS: u64 = 8192;

/// The layout that this version writes.
const VERSION: u8 = 1;

const HAS_CLIENT_MAC: u8 = 1;
const HAS_SERVER_MAC: u8 = 2;
const HAS_VLAN: u8 = 4;
const HAS_TCP: u8 = 8;
const HAS_RTT: u8 = 16;

/// The bytes are not a segment, or not a packed device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASegment;

/// Conversations of one commit, packed as they come so that many can wait for it.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    full: Vec<Segment>,
    last: Packer,
}

/// A segment and what it is found by.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) records: u64,
    pub(crate) body: Vec<u8>,
}

impl Flows {
    /// Adds a record.
    pub fn push(&mut self, flow: &FlowRecord) {
        self.last.push(flow);
        if self.last.records == SEGMENT_RECORDS {
            self.full.push(std::mem::take(&mut self.last).seal());
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.full.len() as u64 * SEGMENT_RECORDS + self.last.records
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All segments, the last perhaps not full.
    pub(crate) fn segments(self) -> impl Iterator<Item = Segment> {
        let last = (self.last.records > 0).then(|| self.last.seal());
        self.full.into_iter().chain(last)
    }
}

impl<'a> FromIterator<&'a FlowRecord> for Flows {
    fn from_iter<I: IntoIterator<Item = &'a FlowRecord>>(records: I) -> Self {
        let mut flows = Self::default();
        records.into_iter().for_each(|record| flows.push(record));
        flows
    }
}

/// A segment in the making.
#[derive(Clone, Debug, Default)]
struct Packer {
    names: Vec<Name>,
    body: Vec<u8>,
    records: u64,
    /// The earliest begin and the latest end.
    span: Option<(Timestamp, Timestamp)>,
    /// When the record before began.
    before: u64,
}

impl Packer {
    /// The number of a protocol's name; 0 is none.
    fn name(&mut self, name: Option<&Name>) -> u64 {
        let Some(name) = name else { return 0 };
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.clone());
            self.names.len() - 1
        });
        place as u64 + 1
    }

    fn push(&mut self, flow: &FlowRecord) {
        let protocol = self.name(flow.protocol.as_ref());
        let (first, last) = self.span.unwrap_or((flow.first, flow.last));
        self.span = Some((first.min(flow.first), last.max(flow.last)));
        self.records += 1;
        let (body, head) = (&mut self.body, &flow.head);
        let mut has = 0;
        for (present, bit) in [
            (head.client.host.mac.is_some(), HAS_CLIENT_MAC),
            (head.server.host.mac.is_some(), HAS_SERVER_MAC),
            (head.vlan.is_some(), HAS_VLAN),
            (flow.tcp.is_some(), HAS_TCP),
            (flow.tcp.is_some_and(|tcp| tcp.rtt_ns.is_some()), HAS_RTT),
        ] {
            has |= if present { bit } else { 0 };
        }
        body.push(has);
        body.extend_from_slice(&head.id.0.to_le_bytes());
        let (kind, number) = transport_code(head.transport);
        body.push(kind);
        varint(body, number.into());
        body.push(
            reach_code(head.client_reach) | reach_code(head.server_reach) << 2 | end_code(flow.end) << 4,
        );
        endpoint(body, &head.client);
        endpoint(body, &head.server);
        if let Some(vlan) = head.vlan {
            varint(body, vlan.into());
        }
        let first = flow.first.as_nanos();
        zigzag(body, first.wrapping_sub(self.before) as i64);
        self.before = first;
        zigzag(body, flow.last.as_nanos().wrapping_sub(first) as i64);
        for volume in [flow.sent, flow.received] {
            varint(body, volume.packets);
            varint(body, volume.bytes);
            varint(body, volume.payload);
        }
        varint(body, protocol);
        if let Some(tcp) = &flow.tcp {
            body.push(state_code(tcp.state));
            body.extend(tcp.flags.map(|flags| flags.0));
            tcp.retransmitted.iter().for_each(|count| varint(body, (*count).into()));
            tcp.missing.iter().for_each(|count| varint(body, *count));
            if let Some(rtt) = tcp.rtt_ns {
                varint(body, rtt);
            }
        }
    }

    fn seal(self) -> Segment {
        let mut body = Vec::with_capacity(self.body.len() + 64);
        body.push(VERSION);
        varint(&mut body, self.names.len() as u64);
        for name in self.names {
            varint(&mut body, name.len() as u64);
            body.extend_from_slice(name.as_bytes());
        }
        varint(&mut body, self.records);
        body.extend_from_slice(&self.body);
        let (first, last) = self.span.unwrap_or_default();
        Segment { first, last, records: self.records, body }
    }
}

/// Unpacks a segment, one record at a time, until `each` returns false.
pub fn unpack(segment: &[u8], each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<bool, NotASegment> {
    let mut from = Bytes::new(segment);
    if from.byte()? != VERSION {
        return Err(NotASegment);
    }
    let mut names = Vec::<Name>::new();
    for _ in 0..from.varint()? {
        names.push(Cow::Owned(from.text()?.to_owned()));
    }
    let mut before = 0_u64;
    for _ in 0..from.varint()? {
        let has = from.byte()?;
        let id = FlowId(u64::from_le_bytes(from.array()?));
        let kind = from.byte()?;
        let transport = transport_from(kind, u16::try_from(from.varint()?).map_err(|_| NotASegment)?)?;
        let codes = from.byte()?;
        let client = from.endpoint(has & HAS_CLIENT_MAC != 0)?;
        let server = from.endpoint(has & HAS_SERVER_MAC != 0)?;
        let vlan = match has & HAS_VLAN {
            0 => None,
            _ => Some(u16::try_from(from.varint()?).map_err(|_| NotASegment)?),
        };
        let first = before.wrapping_add(from.zigzag()? as u64);
        before = first;
        let last = first.wrapping_add(from.zigzag()? as u64);
        let sent = from.volume()?;
        let received = from.volume()?;
        let protocol = match usize::try_from(from.varint()?).map_err(|_| NotASegment)? {
            0 => None,
            place => Some(names.get(place - 1).ok_or(NotASegment)?.clone()),
        };
        let tcp = match has & HAS_TCP {
            0 => None,
            _ => Some(from.tcp(has & HAS_RTT != 0)?),
        };
        let head = FlowHead {
            id,
            transport,
            vlan,
            client,
            server,
            client_reach: reach_from(codes & 3)?,
            server_reach: reach_from(codes >> 2 & 3)?,
        };
        let record = FlowRecord {
            head,
            first: Timestamp::from_nanos(first),
            last: Timestamp::from_nanos(last),
            sent,
            received,
            protocol,
            tcp,
            end: end_from(codes >> 4)?,
        };
        if !each(record) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(crate) fn zigzag(to: &mut Vec<u8>, number: i64) {
    varint(to, ((number << 1) ^ (number >> 63)) as u64);
}

fn endpoint(to: &mut Vec<u8>, endpoint: &Endpoint) {
    if let Some(mac) = endpoint.host.mac {
        to.extend_from_slice(&mac.0);
    }
    ip(to, endpoint.host.ip);
    to.extend_from_slice(&endpoint.port.to_le_bytes());
}

/// A network address: its family, and its bytes.
pub(crate) fn ip(to: &mut Vec<u8>, ip: Option<IpAddr>) {
    match ip {
        None => to.push(0),
        Some(IpAddr::V4(ip)) => {
            to.push(4);
            to.extend_from_slice(&ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            to.push(6);
            to.extend_from_slice(&ip.octets());
        }
    }
}

/// What is left of a segment.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], NotASegment> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotASegment)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], NotASegment> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NotASegment)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, NotASegment> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, NotASegment> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(NotASegment)
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, NotASegment> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, NotASegment> {
        let length = usize::try_from(self.varint()?).map_err(|_| NotASegment)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| NotASegment)
    }

    pub(crate) fn ip(&mut self) -> Result<Option<IpAddr>, NotASegment> {
        Ok(match self.byte()? {
            0 => None,
            4 => Some(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))),
            6 => Some(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))),
            _ => return Err(NotASegment),
        })
    }

    fn endpoint(&mut self, has_mac: bool) -> Result<Endpoint, NotASegment> {
        let mac = if has_mac { Some(MacAddr(self.array()?)) } else { None };
        let ip = self.ip()?;
        Ok(Endpoint { host: Host { mac, ip }, port: u16::from_le_bytes(self.array()?) })
    }

    fn volume(&mut self) -> Result<Volume, NotASegment> {
        Ok(Volume { packets: self.varint()?, bytes: self.varint()?, payload: self.varint()? })
    }

    fn tcp(&mut self, has_rtt: bool) -> Result<TcpStats, NotASegment> {
        let state = state_from(self.byte()?)?;
        let flags = self.array::<2>()?.map(TcpFlags);
        let mut count = || u32::try_from(self.varint()?).map_err(|_| NotASegment);
        let retransmitted = [count()?, count()?];
        let missing = [self.varint()?, self.varint()?];
        let rtt_ns = if has_rtt { Some(self.varint()?) } else { None };
        Ok(TcpStats { state, rtt_ns, retransmitted, missing, flags })
    }
}

const fn transport_code(transport: Transport) -> (u8, u16) {
    match transport {
        Transport::Tcp => (0, 0),
        Transport::Udp => (1, 0),
        Transport::Sctp => (2, 0),
        Transport::Icmp => (3, 0),
        Transport::Icmpv6 => (4, 0),
        Transport::Ip(number) => (5, number as u16),
        Transport::Ether(kind) => (6, kind),
        Transport::Can => (7, 0),
        Transport::Wpan => (8, 0),
    }
}

const fn transport_from(kind: u8, number: u16) -> Result<Transport, NotASegment> {
    Ok(match kind {
        0 => Transport::Tcp,
        1 => Transport::Udp,
        2 => Transport::Sctp,
        3 => Transport::Icmp,
        4 => Transport::Icmpv6,
        5 if number <= 255 => Transport::Ip(number as u8),
        6 => Transport::Ether(number),
        7 => Transport::Can,
        8 => Transport::Wpan,
        _ => return Err(NotASegment),
    })
}

/// An enumeration of the model and the numbers under which it is kept; numbers are never reused.
macro_rules! codes {
    ($($to:ident, $from:ident: $kind:ident { $($variant:ident = $code:literal),* $(,)? })*) => {$(
        const fn $to(value: $kind) -> u8 {
            match value { $($kind::$variant => $code),* }
        }

        const fn $from(code: u8) -> Result<$kind, NotASegment> {
            match code { $($code => Ok($kind::$variant),)* _ => Err(NotASegment) }
        }
    )*};
}
pub(crate) use codes;

codes! {
    reach_code, reach_from: Reach { Unknown = 0, Near = 1, Routed = 2 }
    end_code, end_from: EndReason { Finished = 0, Idle = 1, Active = 2, Evicted = 3, SourceEnd = 4 }
    state_code, state_from: TcpState {
        SynSent = 0, SynReceived = 1, Established = 2, Closing = 3, Closed = 4, Reset = 5, Refused = 6, Midstream = 7,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conformance::flow;

    fn unpacked(segment: &[u8]) -> Result<Vec<FlowRecord>, NotASegment> {
        let mut all = Vec::new();
        unpack(segment, &mut |record| {
            all.push(record);
            true
        })?;
        Ok(all)
    }

    /// One segment of these records.
    fn pack(flows: &[FlowRecord]) -> Segment {
        let flows: Flows = flows.iter().collect();
        assert_eq!(flows.full.len(), 0);
        flows.segments().next().unwrap()
    }

    #[test]
    fn a_full_segment_is_followed_by_another() {
        let flows: Vec<_> = (0..SEGMENT_RECORDS * 2 + 1).map(flow).collect();
        let packed: Flows = flows.iter().collect();
        assert_eq!(packed.len(), SEGMENT_RECORDS * 2 + 1);
        let counts: Vec<_> = packed.segments().map(|segment| segment.records).collect();
        assert_eq!(counts, [SEGMENT_RECORDS, SEGMENT_RECORDS, 1]);
        assert_eq!(Flows::default().segments().count(), 0);
    }

    #[test]
    fn records_come_back_as_they_were() {
        let flows: Vec<_> = (0..300).map(flow).collect();
        let segment = pack(&flows);
        assert_eq!((segment.first, segment.last), (flow(0).first, flow(299).last));
        assert_eq!(unpacked(&segment.body), Ok(flows));
        assert!(segment.body.len() < 300 * 80, "{} bytes for 300 records", segment.body.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_segment_or_not_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpacked(&bytes);
        }

        #[test]
        fn a_damaged_segment_never_panics(at in 0_usize..1000, byte in any::<u8>()) {
            let mut segment = pack(&(0..10).map(flow).collect::<Vec<_>>()).body;
            let at = at % segment.len();
            segment[at] = byte;
            let _ = unpacked(&segment);
        }
    }
}
