//! The precision time protocol: a grandmaster gives its time to a network, to fractions of a
//! microsecond.
//!
//! IEEE 1588-2019 clause 13 (messages) and 15.5 (management), annexes C and E (UDP and Ethernet). Who can
//! announce himself as the better clock sets the time of all: announcements are told, and managing.

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::industrial::{Hex, Recent};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// PTP version 2.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "ptp",
    name: "Precision Time Protocol",
    spec: "IEEE 1588-2019",
    carriers: &[Carrier::EtherType(0x88f7), Carrier::Udp(&[319, 320])],
    probe,
    start: || Box::new(Ptp::default()),
};

/// The length of the common header (clause 13.3).
const HEADER: usize = 34;

/// Kinds of message (clause 13.3.2.3).
mod kind {
    pub(super) const SYNC: u8 = 0;
    pub(super) const DELAY_REQUEST: u8 = 1;
    pub(super) const ANNOUNCE: u8 = 11;
    pub(super) const SIGNALING: u8 = 12;
    pub(super) const MANAGEMENT: u8 = 13;
}

/// Actions of management (clause 15.4.1.6).
const SET: u8 = 1;
const COMMAND: u8 = 3;
/// The identifier of the clock's time in management (clause 15.5.2.3, table 59).
const TIME: u16 = 0x200f;

const fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        kind::SYNC => "sync",
        kind::DELAY_REQUEST => "delay-request",
        2 => "peer-delay-request",
        3 => "peer-delay-response",
        8 => "follow-up",
        9 => "delay-response",
        10 => "peer-delay-response-follow-up",
        kind::ANNOUNCE => "announce",
        kind::SIGNALING => "signaling",
        kind::MANAGEMENT => "management",
        _ => return None,
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [first, version, high, low, ..] if version & 0x0f == 2 && name(first & 0x0f).is_some() => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let fits = length >= HEADER && length <= opening.bytes.len();
            // Two half bytes and a length: not enough on a port of another's.
            if fits { Verdict::Maybe } else { Verdict::No }
        }
        _ => Verdict::No,
    }
}

/// A message, in the order of the standard.
#[derive(Serialize)]
struct Message<'a> {
    domain: u8,
    flags: u16,
    clock: Hex<'a>,
    port: u16,
    sequence: u16,
    #[serde(flatten)]
    announce: Option<Announce<'a>>,
    #[serde(flatten)]
    management: Option<Management>,
}

/// The best clock that a sender knows (clause 13.5).
#[derive(Clone, Copy, Serialize)]
struct Announce<'a> {
    utc_offset_s: u16,
    priority_1: u8,
    class: u8,
    accuracy: u8,
    variance: u16,
    priority_2: u8,
    grandmaster: Hex<'a>,
    steps_removed: u16,
    time_source: &'static str,
}

/// What is to be read or set (clause 15.4).
#[derive(Clone, Copy, Serialize)]
struct Management {
    action: &'static str,
    identifier: Option<u16>,
    #[serde(skip)]
    code: u8,
}

#[derive(Default)]
struct Ptp {
    recent: Recent,
}

impl Parser for Ptp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let Some(first) = input.bytes.first() else { return Progress::Took(0) };
        let kind = first & 0x0f;
        // Of the many messages of a second only few say something new.
        if out.wants_messages() || matches!(kind, kind::ANNOUNCE | kind::MANAGEMENT) {
            match read(kind, input.bytes) {
                Ok(message) => self.message(kind, &message, input.from, out),
                Err(Short) if input.cut == 0 => {
                    let length = input.bytes.len();
                    out.anomaly(input.from, "length", format_args!("a message of {length} bytes"));
                }
                Err(Short) => {}
            }
        }
        Progress::Took(input.bytes.len())
    }
}

impl Ptp {
    fn message(&mut self, kind: u8, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
        out.message(from, name(kind).unwrap_or("unknown"), message);
        if let Some(announce) = &message.announce {
            let clock = message.clock.0.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            let words = [clock, u64::from(message.domain), u64::from(announce.steps_removed)];
            if self.recent.is_new(&words) {
                out.role(from, Role::TimeServer, "ptp.announce", Confidence::STRONG);
                let identifier = format!("ptp clock {}", super::show::Hex(message.clock.0));
                out.fact(from, Attribute::Identifier, identifier, "ptp.announce", Confidence::STRONG);
            }
        }
        if let Some(management) = &message.management
            && matches!(management.code, SET | COMMAND)
        {
            let kind = match management.identifier {
                Some(TIME) => OperationKind::SetTime,
                _ => OperationKind::Configure,
            };
            let target = management.identifier.map(|id| format!("management {id:#06x}").into());
            out.operation(from, kind, management.action, target, None, Outcome::Asked);
        }
    }
}

fn read(kind: u8, bytes: &[u8]) -> Result<Message<'_>, Short> {
    let mut reader = Reader::new(bytes);
    reader.skip(2)?;
    let length = usize::from(reader.be16()?);
    // What follows the message, on Ethernet, is padding.
    let mut reader = Reader::new(bytes.get(..length).ok_or(Short)?);
    reader.skip(4)?;
    let domain = reader.u8()?;
    reader.skip(1)?;
    let flags = reader.be16()?;
    reader.skip(12)?;
    let (clock, port, sequence) = (Hex(reader.take(8)?), reader.be16()?, reader.be16()?);
    reader.skip(2)?;
    let mut message = Message { domain, flags, clock, port, sequence, announce: None, management: None };
    match kind {
        kind::ANNOUNCE => {
            reader.skip(10)?;
            let utc_offset_s = reader.be16()?;
            reader.skip(1)?;
            message.announce = Some(Announce {
                utc_offset_s,
                priority_1: reader.u8()?,
                class: reader.u8()?,
                accuracy: reader.u8()?,
                variance: reader.be16()?,
                priority_2: reader.u8()?,
                grandmaster: Hex(reader.take(8)?),
                steps_removed: reader.be16()?,
                time_source: source(reader.u8()?),
            });
        }
        kind::MANAGEMENT => {
            // Target port and two counts of hops.
            reader.skip(12)?;
            let code = reader.u8()? & 0x0f;
            reader.skip(1)?;
            let action = match code {
                0 => "get",
                SET => "set",
                2 => "response",
                COMMAND => "command",
                4 => "acknowledge",
                _ => "unknown",
            };
            let is_management = !reader.is_empty() && reader.be16()? == 1;
            let identifier = if is_management {
                reader.skip(2)?;
                Some(reader.be16()?)
            } else {
                None
            };
            message.management = Some(Management { action, identifier, code });
        }
        _ => {}
    }
    Ok(message)
}

/// Where a grandmaster has its time from (clause 7.6.2.8).
const fn source(code: u8) -> &'static str {
    match code {
        0x10 => "atomic-clock",
        0x20 => "gnss",
        0x30 => "terrestrial-radio",
        0x39 => "serial-time-code",
        0x40 => "ptp",
        0x50 => "ntp",
        0x60 => "hand-set",
        0x90 => "other",
        0xa0 => "internal-oscillator",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, packets, survives, unhex};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 2];
        bytes.extend((HEADER as u16 + body.len() as u16).to_be_bytes());
        bytes.extend([5, 0, 2, 0]);
        bytes.extend([0; 12]);
        bytes.extend(unhex("020000fffe00000a 0001 002a 05 01"));
        bytes.extend(body);
        bytes
    }

    const ANNOUNCE: &str = "00000000000000000000 0025 00 80 06 21 4e5d 80 020000fffe00000a 0000 20";

    #[test]
    fn a_grandmaster_is_told_once() {
        let announce = message(11, &unhex(ANNOUNCE));
        let sync = message(0, &[0; 10]);
        let conversation = [(Client, &announce[..]), (Client, &sync), (Client, &announce)];
        insta::assert_snapshot!(converse(&PROTOCOL, &conversation), @r#"
        client announce {"domain":5,"flags":512,"clock":"020000fffe00000a","port":1,"sequence":42,"utc_offset_s":37,"priority_1":128,"class":6,"accuracy":33,"variance":20061,"priority_2":128,"grandmaster":"020000fffe00000a","steps_removed":0,"time_source":"gnss"}
        fact 192.0.2.10 role = "time-server" (ptp.announce, 75%)
        fact 192.0.2.10 identifier = "ptp clock 020000fffe00000a" (ptp.announce, 75%)
        client sync {"domain":5,"flags":512,"clock":"020000fffe00000a","port":1,"sequence":42}
        client announce {"domain":5,"flags":512,"clock":"020000fffe00000a","port":1,"sequence":42,"utc_offset_s":37,"priority_1":128,"class":6,"accuracy":33,"variance":20061,"priority_2":128,"grandmaster":"020000fffe00000a","steps_removed":0,"time_source":"gnss"}
        "#);
    }

    #[test]
    fn a_clock_that_is_set_is_told_and_a_short_announcement_too() {
        let set = message(13, &unhex("ffffffffffffffffffff 01 01 01 00 0001 000c 200f 00000000000000000000"));
        let text = converse(&PROTOCOL, &[(Server, &set)]);
        assert!(text.contains("operation server SetTime set management 0x200f - Asked"), "{text}");
        let short = message(11, &[0; 4]);
        assert!(converse(&PROTOCOL, &[(Client, &short)]).starts_with("anomaly client length"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            noise in packets(),
            kind in 0_u8..16,
            body in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            survives(&PROTOCOL, &noise);
            survives(&PROTOCOL, &[(Client, message(kind, &body))]);
        }
    }
}
