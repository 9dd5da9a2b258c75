//! Unified diagnostic services (ISO 14229-1) over CAN (ISO 15765-2): what a tester asks of a control unit.
//! That frames of others wait for these, and these for them, is not modelled.

use crate::net::{MICRO, MILLI, Net};
use crate::speak::can;

/// What fills a frame up (ISO 15765-2 clause 10.4.2.3).
const PADDING: u8 = 0xcc;

/// Where a control unit is asked, and where it answers.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) asked: u32,
    pub(crate) answers: u32,
}

fn filled(bytes: &[u8]) -> [u8; 8] {
    let mut data = [PADDING; 8];
    for (place, byte) in data.iter_mut().zip(bytes) {
        *place = *byte;
    }
    data
}

/// Sends a message from one identifier to another, in as many frames as it needs: a first one, the
/// receiver's leave to go on, then the others (ISO 15765-2 clause 9.6).
fn send(net: &mut Net, from: u32, to: u32, message: &[u8]) {
    if message.len() < 8 {
        can::send(net, from, filled(&[&[message.len() as u8], message].concat()));
        return;
    }
    let [high, low] = (message.len() as u16).to_be_bytes();
    let (first, rest) = message.split_at(6);
    can::send(net, from, filled(&[&[0x10 | high, low], first].concat()));
    net.clock += net.rng.range(300 * MICRO, 2 * MILLI);
    // Go on, all at once, two milliseconds between frames.
    can::send(net, to, filled(&[0x30, 0, 2]));
    for (number, part) in (1_u8..).zip(rest.chunks(7)) {
        net.clock += 2 * MILLI;
        can::send(net, from, filled(&[&[0x20 | number & 15], part].concat()));
    }
}

impl Unit {
    /// Asks a service and is answered; a positive answer repeats the service with 0x40 added.
    pub(crate) fn ask(self, net: &mut Net, request: &[u8], answer: &[u8]) {
        send(net, self.asked, self.answers, request);
        net.clock += net.rng.range(2 * MILLI, 15 * MILLI);
        let service = request.first().copied().unwrap_or_default() | 0x40;
        send(net, self.answers, self.asked, &[&[service], answer].concat());
        net.clock += net.rng.range(3 * MILLI, 20 * MILLI);
    }

    /// Is refused: the code says why (annex A.1).
    pub(crate) fn refused(self, net: &mut Net, request: &[u8], code: u8) {
        send(net, self.asked, self.answers, request);
        net.clock += net.rng.range(2 * MILLI, 15 * MILLI);
        let service = request.first().copied().unwrap_or_default();
        send(net, self.answers, self.asked, &[0x7f, service, code]);
        net.clock += net.rng.range(3 * MILLI, 20 * MILLI);
    }

    /// Opens a session of a kind and unlocks it: seed and key are made of chance.
    pub(crate) fn unlock(self, net: &mut Net, session: u8) {
        self.ask(net, &[0x10, session], &[session, 0, 0x32, 1, 0xf4]);
        let [seed, key] = [net.rng.array::<4>(), net.rng.array::<4>()];
        self.ask(net, &[0x27, 1], &[&[1][..], &seed].concat());
        self.ask(net, &[&[0x27, 2][..], &key].concat(), &[2]);
    }
}
