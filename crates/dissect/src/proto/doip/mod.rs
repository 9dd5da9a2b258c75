//! DoIP: diagnosis of vehicles over IP.
//!
//! ISO 13400-2:2019, clause 9 (payload types and their layout) and annex B (codes); what is asked of a control unit
//! is a service of ISO 14229-1. Testers open the conversation; a vehicle's gateway passes their requests on to the
//! control units, which have logical addresses.

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::can::diagnosis::Service;
use super::industrial::{Recent, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// DoIP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "doip",
    name: "Diagnostic communication over Internet Protocol",
    spec: "ISO 13400-2:2019; ISO 14229-1",
    carriers: &[Carrier::Tcp(&[13_400]), Carrier::Udp(&[13_400])],
    probe,
    start: || Box::new(Doip::default()),
};

/// Version, its inverse, payload type, length (clause 9.2, table 16).
const HEADER: usize = 8;

/// What is looked at of a payload; more is skipped. The longest that is read whole, an announcement, has 33 bytes.
const READ: usize = 40;

/// Payload types (table 17).
const ROUTING_ACTIVATION: u16 = 0x0005;
const ROUTING_ACTIVATED: u16 = 0x0006;
const ANNOUNCEMENT: u16 = 0x0004;
const DIAGNOSTIC_MESSAGE: u16 = 0x8001;

/// Routing activation succeeded, or will when somebody confirms it at the vehicle (table 25).
const ACTIVATED: [u8; 2] = [0x10, 0x11];

/// A payload type: its name, and the length that its payload has at least and at most.
const fn payload(code: u16) -> Option<(&'static str, u32, u32)> {
    Some(match code {
        0x0000 => ("negative-acknowledge", 1, 1),
        0x0001 => ("vehicle-identification-request", 0, 0),
        0x0002 => ("vehicle-identification-request-by-eid", 6, 6),
        0x0003 => ("vehicle-identification-request-by-vin", 17, 17),
        ANNOUNCEMENT => ("vehicle-announcement", 32, 33),
        ROUTING_ACTIVATION => ("routing-activation-request", 7, 11),
        ROUTING_ACTIVATED => ("routing-activation-response", 9, 13),
        0x0007 => ("alive-check-request", 0, 0),
        0x0008 => ("alive-check-response", 2, 2),
        0x4001 => ("entity-status-request", 0, 0),
        0x4002 => ("entity-status-response", 3, 7),
        0x4003 => ("power-mode-request", 0, 0),
        0x4004 => ("power-mode-response", 1, 1),
        DIAGNOSTIC_MESSAGE => ("diagnostic-message", 5, u32::MAX),
        0x8002 => ("diagnostic-message-acknowledge", 5, u32::MAX),
        0x8003 => ("diagnostic-message-refusal", 5, u32::MAX),
        _ => return None,
    })
}

/// The payload type, its name and its length; `None` if this is no header.
fn header(bytes: &[u8]) -> Result<Option<(u16, &'static str, u32)>, Short> {
    let mut reader = Reader::new(bytes);
    let (version, inverse) = (reader.u8()?, reader.u8()?);
    let (code, length) = (reader.be16()?, reader.be32()?);
    // Versions of 2010, 2012, 2019 and 2019 with its amendment, and that of whoever does not know the vehicle's.
    let is_version = matches!(version, 1..=4 | 0xff) && inverse == !version;
    let known = payload(code).filter(|(_, least, most)| is_version && (*least..=*most).contains(&length));
    Ok(known.map(|(name, ..)| (code, name, length)))
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match header(opening.bytes) {
        Ok(Some(_)) => Verdict::Yes,
        Ok(None) => Verdict::No,
        Err(Short) if opening.stream && opening.bytes.len() < HEADER => Verdict::More,
        Err(Short) => Verdict::No,
    }
}

/// A message as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    payload_code: u16,
    length: u32,
    source: Option<u16>,
    target: Option<u16>,
    vin: Option<String>,
    service: Option<&'static str>,
    service_id: Option<u8>,
    /// Why it was refused (ISO 14229-1, annex A).
    refused: Option<u8>,
    /// Of a routing activation: how it ended (table 25).
    code: Option<u8>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Doip {
    told: bool,
    recent: Recent,
}

impl Parser for Doip {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            let (code, name, length) = match header(bytes) {
                Err(Short) => break,
                Ok(None) => return Progress::Lost("header"),
                Ok(Some(header)) => header,
            };
            let wanted = READ.min(length as usize);
            let Some(payload) = bytes.get(HEADER..HEADER + wanted) else { break };
            if self.message(input.from, (code, name, length), payload, out).is_err() {
                out.anomaly(input.from, "length-mismatch", format_args!("{name} of {length} bytes"));
            }
            taken = taken.saturating_add(HEADER).saturating_add(length as usize);
        }
        Progress::Took(taken)
    }

    /// Where the next message begins cannot be told.
    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        false
    }
}

impl Doip {
    fn message(
        &mut self,
        from: Side,
        (code, name, length): (u16, &'static str, u32),
        payload: &[u8],
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let mut reader = Reader::new(payload);
        let mut message = Message { payload_code: code, length, ..Message::default() };
        match code {
            0x0001..=0x0003 => {
                out.operation(from, OperationKind::Discover, name, None, None, Outcome::Asked);
            }
            ANNOUNCEMENT => {
                message.vin = text(reader.take(17)?);
                let address = reader.be16()?;
                message.source = Some(address);
                self.tell(from, address, out);
                if let Some(vin) = &message.vin {
                    out.fact(from, Attribute::Serial, vin, "doip.vin", Confidence::CERTAIN);
                }
            }
            ROUTING_ACTIVATION => message.source = Some(reader.be16()?),
            ROUTING_ACTIVATED => {
                message.target = Some(reader.be16()?);
                let (address, result) = (reader.be16()?, reader.u8()?);
                (message.source, message.code) = (Some(address), Some(result));
                self.tell(from, address, out);
                let outcome = if ACTIVATED.contains(&result) { Outcome::Done } else { Outcome::Refused };
                let target = Some(format!("address {address:#06x}").into());
                let asker = from.other();
                out.operation(
                    asker,
                    OperationKind::Authenticate,
                    "routing-activation",
                    target,
                    None,
                    outcome,
                );
            }
            DIAGNOSTIC_MESSAGE => {
                let (source, target) = (reader.be16()?, reader.be16()?);
                (message.source, message.target) = (Some(source), Some(target));
                if let Some(service) = Service::read(reader.rest()) {
                    message.service = Some(service.name());
                    message.service_id = Some(service.id);
                    message.refused = service.refused();
                    if from == Side::Client {
                        self.asked(from, target, &service, out);
                    }
                }
            }
            0x8002 | 0x8003 => {
                (message.source, message.target) = (Some(reader.be16()?), Some(reader.be16()?));
            }
            _ => {}
        }
        out.message(from, name, &message);
        Ok(())
    }

    /// What an answer says about who gave it.
    fn tell(&mut self, from: Side, address: u16, out: &mut Emit<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            out.role(from, Role::Ecu, "doip.entity", Confidence::STRONG);
            let address = format!("doip address {address:#06x}");
            out.fact(from, Attribute::Identifier, address, "doip.address", Confidence::STRONG);
        }
    }

    /// A tester asks a control unit for something. What only reads is told once.
    fn asked(&mut self, from: Side, unit: u16, service: &Service, out: &mut Emit<'_>) {
        let Some((kind, changes)) = service.operation() else { return };
        let words =
            [u64::from(unit), u64::from(service.id), u64::from(service.parameter.unwrap_or(u16::MAX))];
        if !changes && !self.recent.is_new(&words) {
            return;
        }
        let target = match service.parameter {
            Some(parameter) => format!("address {unit:#06x} parameter {parameter:#06x}"),
            None => format!("address {unit:#06x}"),
        };
        out.operation(from, kind, service.name(), Some(target.into()), None, Outcome::Asked);
    }
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, opening};

    fn frame(code: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2, 0xfd];
        bytes.extend(code.to_be_bytes());
        bytes.extend((payload.len() as u32).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn diagnostic(source: u16, target: u16, data: &[u8]) -> Vec<u8> {
        frame(DIAGNOSTIC_MESSAGE, &[&source.to_be_bytes(), &target.to_be_bytes(), data].concat())
    }

    #[test]
    fn a_tester_activates_routing_and_works_on_a_unit() {
        let activated = [0x0e, 0x80, 0x10, 0x00, 0x10, 0, 0, 0, 0];
        // The download's data are longer than what is looked at, and come in two pieces.
        let data = diagnostic(0x0e80, 0x1010, &[&[0x36, 1][..], &[0xaa; 100]].concat());
        let text = converse(
            &PROTOCOL,
            &[
                (Client, &frame(ROUTING_ACTIVATION, &[0x0e, 0x80, 0, 0, 0, 0, 0])),
                (Server, &frame(ROUTING_ACTIVATED, &activated)),
                (Client, &diagnostic(0x0e80, 0x1010, &[0x22, 0xf1, 0x90])),
                (Client, &diagnostic(0x0e80, 0x1010, &[0x22, 0xf1, 0x90])),
                (Client, &diagnostic(0x0e80, 0x1010, &[0x27, 1])),
                (Server, &diagnostic(0x1010, 0x0e80, &[0x7f, 0x27, 0x36])),
                (Client, &data[..60]),
                (Client, &data[60..]),
                (Client, &diagnostic(0x0e80, 0x1010, &[0x11, 1])),
            ],
        );
        let found: Vec<_> = text.lines().filter(|line| !line.contains('{')).collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        fact 192.0.2.20 role = "ecu" (doip.entity, 75%)
        fact 192.0.2.20 identifier = "doip address 0x1000" (doip.address, 75%)
        operation client Authenticate routing-activation address 0x1000 - Done
        operation client Identify read-data-by-identifier address 0x1010 parameter 0xf190 - Asked
        operation client Authenticate security-access address 0x1010 - Asked
        operation client FirmwareUpdate transfer-data address 0x1010 - Asked
        operation client Restart ecu-reset address 0x1010 - Asked
        "#);
        assert!(text.contains(
            r#"server diagnostic-message {"payload-code":32769,"length":7,"source":4112,"target":3712,"service":"security-access","service-id":39,"refused":54}"#
        ), "{text}");
    }

    #[test]
    fn a_vehicle_says_its_number_when_asked_who_is_there() {
        let mut answer = b"WVWZZZ1JZXW000001".to_vec();
        answer.extend([0x10, 0x00, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 0]);
        let text = converse(&PROTOCOL, &[(Client, &frame(1, &[])), (Server, &frame(ANNOUNCEMENT, &answer))]);
        assert!(text.contains("operation client Discover vehicle-identification-request"), "{text}");
        assert!(text.contains(r#"serial = "WVWZZZ1JZXW000001" (doip.vin, 95%)"#), "{text}");
    }

    #[test]
    fn it_is_told_by_its_version_type_and_length() {
        let verdict = |bytes: &[u8]| probe(&opening(bytes, 0, true));
        assert_eq!(verdict(&frame(0x0007, &[])), Verdict::Yes);
        assert_eq!(verdict(&[2, 0xfd, 0x80]), Verdict::More);
        assert_eq!(verdict(&[2, 0xfc, 0, 7, 0, 0, 0, 0]), Verdict::No);
        assert_eq!(verdict(&[2, 0xfd, 0, 7, 0, 0, 0, 1]), Verdict::No);
        assert_eq!(verdict(&[2, 0xfd, 0, 9, 0, 0, 0, 0]), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL, |_, (kind, bytes)| {
        frame([1, 4, 5, 6, 0x8001, 0x8002][usize::from(kind % 6)], bytes)
    });
}
