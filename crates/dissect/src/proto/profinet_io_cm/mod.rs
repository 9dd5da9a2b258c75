//! PROFINET IO context management: how a controller connects to a device, gives it parameters, reads its
//! records, and lets it go.
//!
//! Connectionless DCE/RPC (The Open Group, C706 chapter 12) carries the services of IEC 61158-6-10
//! clause 5 (blocks, clause 5.2). The endpoint mapper of a station, asked for what it offers, answers with
//! its type, order number and versions in one text. What is fragmented is read as far as its first
//! fragment goes.

mod block;
mod rpc;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use self::block::{Blocks, Identity};
use self::rpc::{Call, Interface};
use super::industrial::{Recent, text};
use super::profinet_dcp::vendor;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// PROFINET IO context management.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "profinet-io-cm",
    name: "PROFINET IO context management",
    spec: "IEC 61158-6-10; DCE 1.1 RPC (C706)",
    carriers: &[Carrier::Udp(&[34_964])],
    probe,
    start: || Box::new(ContextManagement::default()),
};

/// The application relationship of a supervisor; the other types are those of controllers (IEC
/// 61158-6-10 clause 5.2.3.1).
const SUPERVISOR_AR: u16 = 6;

fn probe(opening: &Opening<'_>) -> Verdict {
    // Version and interface agree: 17 bytes and more that must be as they are.
    match Call::read(opening.bytes) {
        Ok(call) if call.interface == Interface::Mapper => Verdict::Maybe,
        Ok(call) if call.interface != Interface::Other => Verdict::Yes,
        _ => Verdict::No,
    }
}

/// A call or its answer.
#[derive(Default, Serialize)]
struct Message {
    interface: &'static str,
    operation: Option<&'static str>,
    sequence: u32,
    activity: Box<str>,
    /// Which fragment, where there are several.
    fragment: Option<u16>,
    vendor_id: Option<u16>,
    device_id: Option<u16>,
    instance: Option<u16>,
    /// The status of an answer, where it is not success: error code, decode, code 1 and code 2.
    error: Option<u32>,
    #[serde(flatten)]
    blocks: Blocks,
    /// What an endpoint mapper says a station is.
    annotation: Option<String>,
}

#[derive(Default)]
struct ContextManagement {
    recent: Recent,
}

impl Parser for ContextManagement {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let Ok(call) = Call::read(input.bytes) else { return Progress::Lost("header") };
        if call.interface == Interface::Other {
            return Progress::Lost("interface");
        }
        self.call(input, &call, out);
        Progress::Took(input.bytes.len())
    }
}

impl ContextManagement {
    fn call(&mut self, input: &Input<'_>, call: &Call<'_>, out: &mut Emit<'_>) {
        let from = input.from;
        let mut message = Message {
            interface: call.interface.name(),
            operation: call.operation(),
            sequence: call.sequence,
            fragment: call.fragment,
            ..Message::default()
        };
        if out.wants_messages() {
            message.activity = rpc::show(&call.activity).into();
        }
        if call.interface == Interface::Device || call.interface == Interface::Controller {
            message.instance = call.object.map(|object| object.instance);
            message.device_id = call.object.map(|object| object.device);
            message.vendor_id = call.object.map(|object| object.vendor);
        }
        let is_body = matches!(call.kind, rpc::REQUEST | rpc::RESPONSE) && call.fragment.unwrap_or(0) == 0;
        // A fragment ends where it ends, whatever its blocks promise.
        let is_whole = input.cut == 0 && call.fragment.is_none();
        if is_body {
            let read = match call.interface {
                Interface::Mapper => message.mapper(call),
                _ => message.body(call),
            };
            if read.is_err() && is_whole {
                let length = input.bytes.len();
                out.anomaly(from, "length", format_args!("a block does not fit {length} bytes"));
            }
        }
        out.message(from, call.kind_name(), &message);
        match call.interface {
            Interface::Device | Interface::Controller if is_body => {
                self.tell(from, call, &message, out);
            }
            Interface::Mapper if is_body => self.mapped(from, call, &message, out),
            _ => {}
        }
    }

    /// What a call says about its two ends, and what it asks for.
    fn tell(&mut self, from: Side, call: &Call<'_>, message: &Message, out: &mut Emit<'_>) {
        use Confidence as C;
        let is_request = call.kind == rpc::REQUEST;
        // Calls of a device's interface go to the device, those of a controller's to the controller.
        let called = if is_request { from.other() } else { from };
        let device = if call.interface == Interface::Device { called } else { called.other() };
        out.role(device, Role::FieldDevice, "profinet-io-cm.device", C::STRONG);
        if let (Some(vendor_id), Some(device_id)) = (message.vendor_id, message.device_id) {
            let source = "profinet-io-cm.object";
            out.fact(called, Attribute::Vendor, vendor(vendor_id).unwrap_or_default(), source, C::STRONG);
            let known = format!("profinet {vendor_id:04x}:{device_id:04x}");
            out.fact(called, Attribute::Identifier, known, source, C::STRONG);
        }
        let blocks = &message.blocks;
        if let Some(kind) = blocks.ar_type.filter(|_| is_request && call.operation == rpc::CONNECT) {
            let role = match kind {
                SUPERVISOR_AR => Role::EngineeringStation,
                _ => Role::Plc,
            };
            out.role(from, role, "profinet-io-cm.connect", C::STRONG);
            let name = blocks.initiator.as_deref().unwrap_or_default();
            out.fact(from, Attribute::Hostname, name, "profinet-io-cm.initiator", C::STRONG);
        } else if call.interface == Interface::Controller {
            out.role(device.other(), Role::Plc, "profinet-io-cm.controller", C::STRONG);
        }
        if let Some(name) = &blocks.device_name {
            out.fact(device, Attribute::Hostname, name, "profinet-io-cm.station-name", C::CERTAIN);
        }
        // Slot 0 is the device itself; the others are its modules.
        if let Some(identity) = blocks.identity.as_ref().filter(|_| !is_request && blocks.slot == Some(0)) {
            identify(device, identity, out);
        }
        if is_request {
            self.operation(from, call, blocks, out);
        }
    }

    fn operation(&mut self, from: Side, call: &Call<'_>, blocks: &Blocks, out: &mut Emit<'_>) {
        let (kind, name): (_, Cow<'static, str>) = match call.operation {
            rpc::CONNECT => (OperationKind::Configure, "connect".into()),
            rpc::RELEASE => (OperationKind::Configure, "release".into()),
            rpc::READ | rpc::READ_IMPLICIT => match blocks.index {
                Some(index) if block::is_identity(index) => (OperationKind::Identify, "read-identity".into()),
                _ => (OperationKind::Read, "read".into()),
            },
            rpc::WRITE => match blocks.index {
                Some(index) if block::is_identity(index) => {
                    (OperationKind::Configure, "write-identity".into())
                }
                _ => (OperationKind::Write, "write".into()),
            },
            // A device that says it is ready asks for nothing.
            rpc::CONTROL if call.interface == Interface::Device => {
                (OperationKind::Configure, blocks.command.unwrap_or("control").into())
            }
            _ => return,
        };
        let place = [blocks.slot, blocks.subslot, blocks.index].map(|part| u64::from(part.unwrap_or(0)));
        let api = u64::from(blocks.api.unwrap_or(0));
        let control = blocks.command.map_or(0, |command| command.len() as u64);
        let words = [u64::from(call.operation), api, place[0], place[1], place[2], control];
        // Records are read over and over.
        if matches!(call.operation, rpc::READ | rpc::READ_IMPLICIT) && !self.recent.is_new(&words) {
            return;
        }
        let target = blocks.index.map(|index| {
            let [slot, subslot, _] = place;
            format!("api {api} slot {slot} subslot {subslot} index {index:#06x}").into()
        });
        out.operation(from, kind, name, target, None, Outcome::Asked);
    }

    fn mapped(&mut self, from: Side, call: &Call<'_>, message: &Message, out: &mut Emit<'_>) {
        if call.kind == rpc::REQUEST {
            if self.recent.is_new(&[u64::MAX]) {
                out.operation(from, OperationKind::Discover, "endpoint-lookup", None, None, Outcome::Asked);
            }
        } else if let Some(annotation) = &message.annotation {
            annotated(from, annotation, out);
        }
    }
}

/// Identification and maintenance data of the device itself (IEC 61158-6-10 clause 5.2.14).
fn identify(device: Side, identity: &Identity, out: &mut Emit<'_>) {
    use Attribute::{Firmware, Hardware, Label, Location, PartNumber, Serial, Vendor};
    use Confidence as C;
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let maker = identity.maker_id.and_then(vendor).unwrap_or_default();
    out.fact(device, Vendor, maker, "profinet-io-cm.im0", C::CERTAIN);
    out.fact(device, PartNumber, said(&identity.order), "profinet-io-cm.im0", C::CERTAIN);
    out.fact(device, Serial, said(&identity.serial), "profinet-io-cm.im0", C::CERTAIN);
    let hardware = identity.hardware.map(|revision| revision.to_string()).unwrap_or_default();
    out.fact(device, Hardware, hardware, "profinet-io-cm.im0", C::CERTAIN);
    out.fact(device, Firmware, said(&identity.software), "profinet-io-cm.im0", C::CERTAIN);
    out.fact(device, Label, said(&identity.function), "profinet-io-cm.im1", C::CERTAIN);
    out.fact(device, Location, said(&identity.location), "profinet-io-cm.im1", C::CERTAIN);
    out.fact(device, Label, said(&identity.descriptor), "profinet-io-cm.im3", C::CERTAIN);
}

/// What an endpoint mapper says a station is (IEC 61158-6-10 clause 4.10.3): type of 25 characters, order
/// number of 20, hardware revision of 5, and a letter with three numbers of three for the software.
fn annotated(from: Side, annotation: &str, out: &mut Emit<'_>) {
    use Attribute::{Firmware, Hardware, Model, PartNumber};
    const SOURCE: &str = "profinet-io-cm.annotation";
    let field = |from: usize, to: usize| annotation.get(from..to).unwrap_or_default();
    out.fact(from, Model, field(0, 25), SOURCE, Confidence::CERTAIN);
    out.fact(from, PartNumber, field(26, 46), SOURCE, Confidence::CERTAIN);
    out.fact(from, Hardware, field(47, 52), SOURCE, Confidence::CERTAIN);
    let mut numbers = annotation.get(54..).unwrap_or_default().split_whitespace();
    if let (Some(a), Some(b), Some(c)) = (numbers.next(), numbers.next(), numbers.next()) {
        let version = format!("{}{a}.{b}.{c}", field(53, 54));
        out.fact(from, Firmware, version, SOURCE, Confidence::CERTAIN);
    }
}

impl Message {
    /// The arguments of a service (IEC 61158-6-10 clause 4.10.3.4): lengths in the caller's byte order,
    /// then blocks, most significant byte first.
    fn body(&mut self, call: &Call<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(call.body);
        let first = call.u32(&mut reader)?;
        if call.kind == rpc::RESPONSE && first != 0 {
            self.error = Some(first);
        }
        // Length of the arguments, and the three counts of a conformant varying array.
        reader.skip(16)?;
        self.blocks.read(reader)
    }

    /// The first entry of what an endpoint mapper offers (C706 appendix O, `ept_lookup`).
    fn mapper(&mut self, call: &Call<'_>) -> Result<(), Short> {
        if call.kind != rpc::RESPONSE {
            return Ok(());
        }
        let mut reader = Reader::new(call.body);
        reader.skip(20)?;
        if call.u32(&mut reader)? == 0 {
            return Ok(());
        }
        // Three counts, object, reference to the tower, offset of the annotation.
        reader.skip(12 + 16 + 4 + 4)?;
        let length = call.u32(&mut reader)?.min(64);
        let bytes = reader.take(length as usize)?;
        // Fields stand at fixed places, so blanks at the beginning count.
        self.annotation = text(bytes).map(|_| String::from_utf8_lossy(bytes).into_owned());
        Ok(())
    }
}
