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
pub(crate) const SEGMENT_RECORDS: usize = 8192;

/// The layout that this version writes.
const VERSION: u8 = 1;

const HAS_CLIENT_MAC: u8 = 1;
const HAS_SERVER_MAC: u8 = 2;
const HAS_VLAN: u8 = 4;
const HAS_TCP: u8 = 8;
const HAS_RTT: u8 = 16;

/// The bytes are not a segment, or not a packed device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotASegment;

/// Packs records.
pub(crate) fn pack(flows: &[FlowRecord]) -> Vec<u8> {
    let mut names: Vec<&str> = Vec::new();
    let mut body = Vec::with_capacity(flows.len() * 80);
    let mut before = 0_u64;
    for flow in flows {
        let head = &flow.head;
        let protocol = match &flow.protocol {
            None => 0,
            Some(name) => {
                let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                place as u64 + 1
            }
        };
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
        varint(&mut body, number.into());
        body.push(
            reach_code(head.client_reach) | reach_code(head.server_reach) << 2 | end_code(flow.end) << 4,
        );
        endpoint(&mut body, &head.client);
        endpoint(&mut body, &head.server);
        if let Some(vlan) = head.vlan {
            varint(&mut body, vlan.into());
        }
        let first = flow.first.as_nanos();
        zigzag(&mut body, first.wrapping_sub(before) as i64);
        before = first;
        zigzag(&mut body, flow.last.as_nanos().wrapping_sub(first) as i64);
        for volume in [flow.sent, flow.received] {
            varint(&mut body, volume.packets);
            varint(&mut body, volume.bytes);
            varint(&mut body, volume.payload);
        }
        varint(&mut body, protocol);
        if let Some(tcp) = &flow.tcp {
            body.push(state_code(tcp.state));
            body.extend(tcp.flags.map(|flags| flags.0));
            tcp.retransmitted.iter().for_each(|count| varint(&mut body, (*count).into()));
            tcp.missing.iter().for_each(|count| varint(&mut body, *count));
            if let Some(rtt) = tcp.rtt_ns {
                varint(&mut body, rtt);
            }
        }
    }
    let mut packed = Vec::with_capacity(body.len() + 64);
    packed.push(VERSION);
    varint(&mut packed, names.len() as u64);
    for name in names {
        varint(&mut packed, name.len() as u64);
        packed.extend_from_slice(name.as_bytes());
    }
    varint(&mut packed, flows.len() as u64);
    packed.append(&mut body);
    packed
}

/// Unpacks a segment, one record at a time, until `each` returns false.
pub(crate) fn unpack(segment: &[u8], each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<bool, NotASegment> {
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

    #[test]
    fn records_come_back_as_they_were() {
        let flows: Vec<_> = (0..300).map(flow).collect();
        let segment = pack(&flows);
        assert_eq!(unpacked(&segment), Ok(flows));
        assert!(segment.len() < 300 * 80, "{} bytes for 300 records", segment.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_segment_or_not_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpacked(&bytes);
        }

        #[test]
        fn a_damaged_segment_never_panics(at in 0_usize..1000, byte in any::<u8>()) {
            let mut segment = pack(&(0..10).map(flow).collect::<Vec<_>>());
            let at = at % segment.len();
            segment[at] = byte;
            let _ = unpacked(&segment);
        }
    }
}
