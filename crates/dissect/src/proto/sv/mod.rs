//! Sampled values: merging units multicast currents and voltages, thousands of times a second.
//!
//! IEC 61850-9-2 clause 8 and annex A. When nobody wants messages, nothing is read but the application
//! identifier of a stream that is known already.

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role};
use serde::Serialize;

use super::goose::ber::{self, Frame, element, number};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Sampled values.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "sv",
    name: "Sampled Values",
    spec: "IEC 61850-9-2",
    carriers: &[Carrier::EtherType(0x88ba)],
    probe,
    start: || Box::new(SampledValues::default()),
};

/// The tag of a PDU of sampled values.
const PDU: u8 = 0x60;
/// So many streams are remembered for each lane; when there are more, the oldest is told again.
const MAX_STREAMS: usize = 64;

fn probe(opening: &Opening<'_>) -> Verdict {
    ber::probe(opening, PDU)
}

/// A PDU, by its first application data unit.
#[derive(Default, Serialize)]
struct Message<'a> {
    app_id: u16,
    simulated: bool,
    units: u32,
    id: &'a str,
    data_set: Option<&'a str>,
    sample_count: Option<u32>,
    configuration_revision: Option<u32>,
    /// 0 not synchronised, 1 by a local clock, 2 by a global one.
    synchronised: Option<u32>,
    sample_rate: Option<u32>,
    bytes: usize,
}

#[derive(Default)]
struct SampledValues {
    streams: VecDeque<([u8; 6], u16)>,
}

impl Parser for SampledValues {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let sender = out.host(input.from).mac.unwrap_or_default().0;
        let app_id = Reader::new(input.bytes).be16().unwrap_or_default();
        let known = self.streams.contains(&(sender, app_id));
        if !known || out.wants_messages() {
            match read(input.bytes) {
                Ok(message) => {
                    out.message(input.from, "samples", &message);
                    if !known {
                        self.remember(sender, app_id);
                        tell(&message, input, out);
                    }
                }
                Err(Short) if input.cut == 0 => {
                    let length = input.bytes.len();
                    out.anomaly(input.from, "length", format_args!("a field does not fit {length} bytes"));
                }
                Err(Short) => {}
            }
        }
        Progress::Took(input.bytes.len())
    }
}

impl SampledValues {
    fn remember(&mut self, sender: [u8; 6], app_id: u16) {
        if self.streams.len() == MAX_STREAMS {
            self.streams.pop_front();
        }
        self.streams.push_back((sender, app_id));
    }
}

fn tell(message: &Message<'_>, input: &Input<'_>, out: &mut Emit<'_>) {
    let from = input.from;
    out.role(from, Role::Ied, "sv.publisher", Confidence::STRONG);
    out.fact(from, Attribute::Identifier, message.id, "sv.id", Confidence::STRONG);
    out.fact(from, Attribute::Type, "merging unit", "sv.publisher", Confidence::LIKELY);
    let target = Some(message.id.into());
    out.operation(from, OperationKind::Publish, "sampled-values", target, None, Outcome::Asked);
}

fn read(bytes: &[u8]) -> Result<Message<'_>, Short> {
    let Frame { app_id, simulated, mut pdu } = Frame::read(bytes, PDU)?;
    let mut message = Message { app_id, simulated, ..Message::default() };
    while !pdu.is_empty() {
        match element(&mut pdu)? {
            (0x80, value) => message.units = number(value).unwrap_or_default(),
            (0xa2, units) => {
                let (_, unit) = element(&mut Reader::new(units))?;
                message.unit(Reader::new(unit))?;
            }
            _ => {}
        }
    }
    Ok(message)
}

impl<'a> Message<'a> {
    fn unit(&mut self, mut unit: Reader<'a>) -> Result<(), Short> {
        while !unit.is_empty() {
            let (tag, value) = element(&mut unit)?;
            match tag {
                0x80 => self.id = std::str::from_utf8(value).unwrap_or("?"),
                0x81 => self.data_set = std::str::from_utf8(value).ok(),
                0x82 => self.sample_count = number(value),
                0x83 => self.configuration_revision = number(value),
                0x85 => self.synchronised = number(value),
                0x86 => self.sample_rate = number(value),
                0x87 => self.bytes = value.len(),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::Side::Client;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, packets, survives, unhex};

    const FRAME: &str = "4000 002a 0000 0000 6020 800101 a21b 3019
        8004 4d553031 8202 0fa0 8304 00000001 850102 8704 00000064";

    #[test]
    fn a_stream_is_told_once() {
        let frame = unhex(FRAME);
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &frame), (Client, &frame)]), @r#"
        client samples {"app_id":16384,"simulated":false,"units":1,"id":"MU01","sample_count":4000,"configuration_revision":1,"synchronised":2,"bytes":4}
        fact 192.0.2.10 role = "ied" (sv.publisher, 75%)
        fact 192.0.2.10 identifier = "MU01" (sv.id, 75%)
        fact 192.0.2.10 type = "merging unit" (sv.publisher, 50%)
        operation client Publish sampled-values MU01 - Asked
        client samples {"app_id":16384,"simulated":false,"units":1,"id":"MU01","sample_count":4000,"configuration_revision":1,"synchronised":2,"bytes":4}
        "#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in packets(), at in 0_usize..40, byte in any::<u8>()) {
            survives(&PROTOCOL, &noise);
            let mut frame = unhex(FRAME);
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
            survives(&PROTOCOL, &[(Client, frame)]);
        }
    }
}
