//! IEC 60870-5-104 (IEC 60870-5-104:2006, ASDUs of IEC 60870-5-101:2003).

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

/// The port of the protocol.
pub(crate) const PORT: u16 = 2_404;

/// Type identifiers (IEC 60870-5-101 clause 7.2.1.1).
pub(crate) const SINGLE_POINT: u8 = 1;
pub(crate) const FLOAT: u8 = 13;
pub(crate) const SINGLE_COMMAND: u8 = 45;
pub(crate) const DOUBLE_COMMAND: u8 = 46;
const INTERROGATION: u8 = 100;

/// Causes of transmission (clause 7.2.3).
const ACTIVATION: u8 = 6;
const CONFIRMATION: u8 = 7;
const TERMINATION: u8 = 10;
const INTERROGATED: u8 = 20;
const UNKNOWN_OBJECT: u8 = 47;
/// The bit that says "negative" in the cause.
const NEGATIVE: u8 = 0x40;

/// A frame: start, length, control field, ASDU (IEC 60870-5-104 clause 5).
fn frame(control: [u8; 4], asdu: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(0x68).u8(4 + asdu.len() as u8).put(&control).put(asdu))
}

/// A data unit about information objects: type, whether their addresses follow each other, count, cause
/// with originator, station, then what is said of the objects.
fn asdu(kind: u8, count: u8, cause: u8, station: u16, objects: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(kind).u8(count).u8(cause).u8(0).le16(station).put(objects))
}

/// Addresses of three octets, each with its element.
fn object(out: &mut Vec<u8>, address: u32, element: &[u8]) {
    out.put(&address.to_le_bytes()[..3]).put(element);
}

/// What an outstation holds: type, address and element.
pub(crate) type Point = (u8, u32, Vec<u8>);

/// A connection of a controlling station, with the numbers of what was sent each way.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) conn: ConnId,
    station: u16,
    sent: [u16; 2],
}

/// Connects and starts the transfer of data (clause 5.3).
pub(crate) fn open(net: &mut Net, client: HostId, server: HostId, station: u16) -> Link {
    let conn = net.connect(client, server, PORT, "iec104");
    net.exchange(conn, &frame([0x07, 0, 0, 0], &[]), &frame([0x0b, 0, 0, 0], &[]));
    Link { conn, station, sent: [0; 2] }
}

impl Link {
    /// A numbered frame from one side (clause 5.1).
    fn numbered(&mut self, side: usize, asdu: &[u8]) -> Vec<u8> {
        let [own, other] = [self.sent[side], self.sent[1 - side]].map(|number| (number << 1).to_le_bytes());
        self.sent[side] = (self.sent[side] + 1) & 0x7fff;
        frame([own[0], own[1], other[0], other[1]], asdu)
    }

    /// The controlling station acknowledges what it received.
    fn acknowledge(self, net: &mut Net) {
        let [low, high] = (self.sent[1] << 1).to_le_bytes();
        net.client_says(self.conn, &frame([1, 0, low, high], &[]));
        net.settle(self.conn);
    }

    /// General interrogation: all points are told (clause 7.4.5 of IEC 60870-5-101).
    pub(crate) fn interrogate(&mut self, net: &mut Net, points: &[Point]) {
        let order = build(|m| object(m, 0, &[20]));
        let ask = |cause| asdu(INTERROGATION, 1, cause, self.station, &order);
        let (ask, confirm, end) = (ask(ACTIVATION), ask(CONFIRMATION), ask(TERMINATION));
        let ask = self.numbered(0, &ask);
        net.client_says(self.conn, &ask);
        let mut answer = self.numbered(1, &confirm);
        for (kind, address, element) in points {
            let told = build(|m| object(m, *address, element));
            let told = asdu(*kind, 1, INTERROGATED, self.station, &told);
            answer.extend(self.numbered(1, &told));
        }
        answer.extend(self.numbered(1, &end));
        net.server_says(self.conn, &answer);
        self.acknowledge(net);
    }

    /// A command to an object; one that does not exist is refused.
    pub(crate) fn command(&mut self, net: &mut Net, kind: u8, address: u32, value: u8, known: bool) {
        let order = build(|m| object(m, address, &[value]));
        let ask = self.numbered(0, &asdu(kind, 1, ACTIVATION, self.station, &order));
        net.client_says(self.conn, &ask);
        let answer = if known {
            let confirm = self.numbered(1, &asdu(kind, 1, CONFIRMATION, self.station, &order));
            let end = self.numbered(1, &asdu(kind, 1, TERMINATION, self.station, &order));
            [confirm, end].concat()
        } else {
            self.numbered(1, &asdu(kind, 1, UNKNOWN_OBJECT | NEGATIVE, self.station, &order))
        };
        net.server_says(self.conn, &answer);
        self.acknowledge(net);
    }

    /// Stops the transfer of data and closes.
    pub(crate) fn close(self, net: &mut Net) {
        net.exchange(self.conn, &frame([0x13, 0, 0, 0], &[]), &frame([0x23, 0, 0, 0], &[]));
        net.close(self.conn);
    }
}
