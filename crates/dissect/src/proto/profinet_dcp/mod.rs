//! PROFINET discovery and configuration: who stands on the wire, under which name and address, and the
//! commands that rename, readdress and reset a station.
//!
//! IEC 61158-6-10 clause 4.3 (coding of DCP) and IEC 61158-5-10 clause 6.3.1. DCP has no authentication:
//! whoever reaches a station's link can give it another name or address.

mod block;
#[cfg(test)]
mod tests;
mod vendor;

pub(super) use vendor::vendor;

use std::net::{IpAddr, Ipv4Addr};

use model::{Attribute, BindingSource, Confidence, MacAddr, OperationKind, Outcome, Role, Side, Value};
use serde::Serialize;

use self::block::{Block, Content};
use super::industrial::{Recent, hash};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// PROFINET DCP. Cyclic data of PROFINET has the same EtherType; the frame identifier tells them apart.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "profinet-dcp",
    name: "PROFINET Discovery and Configuration Protocol",
    spec: "IEC 61158-6-10",
    carriers: &[Carrier::EtherType(0x8892)],
    probe,
    start: || Box::new(Dcp::default()),
};

/// The frame identifiers of DCP (IEC 61158-6-10 clause 4.2.2.3): hello, get and set, identify request
/// and identify response.
pub(super) const FRAMES: std::ops::RangeInclusive<u16> = 0xfefc..=0xfeff;

/// More blocks than this in one frame are not read; 1,500 bytes could hold 375 empty ones.
const MAX_BLOCKS: usize = 64;

/// Services (clause 4.3.1.3.2).
mod service {
    pub(super) const GET: u8 = 3;
    pub(super) const SET: u8 = 4;
    pub(super) const IDENTIFY: u8 = 5;
    pub(super) const HELLO: u8 = 6;
}

/// A request; answers are 1 (success) or 5 (not supported) (clause 4.3.1.3.3).
const REQUEST: u8 = 0;

/// Bits of the station's role (clause 4.3.1.4.7).
const DEVICE: u8 = 1;
const CONTROLLER: u8 = 1 << 1;
const MULTIDEVICE: u8 = 1 << 2;
const SUPERVISOR: u8 = 1 << 3;

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [high, low, 3..=6, 0 | 1 | 5, ..] if FRAMES.contains(&u16::from_be_bytes([*high, *low])) => {
            Verdict::Yes
        }
        _ => Verdict::No,
    }
}

/// A frame, in the order of the standard.
#[derive(Default, Serialize)]
struct Message<'a> {
    xid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    response_delay: u16,
    name: Option<String>,
    station_type: Option<String>,
    vendor_id: Option<u16>,
    device_id: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'static str>,
    instance: Option<u16>,
    alias: Option<String>,
    mac: Option<MacAddr>,
    ip: Option<Ipv4Addr>,
    netmask: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
    /// Names of blocks that are asked for, ordered or confirmed and have no value of their own here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<&'static str>,
    /// The error that a station reports for what was set (clause 4.3.1.4.14), where it is one.
    error: Option<&'static str>,
    #[serde(skip)]
    role_bits: u8,
    #[serde(skip)]
    read: Vec<Block<'a>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(value: &u16) -> bool {
    *value == 0
}

#[derive(Default)]
struct Dcp {
    recent: Recent,
}

impl Parser for Dcp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut reader = Reader::new(input.bytes);
        let frame = reader.be16().unwrap_or_default();
        if !FRAMES.contains(&frame) {
            // Cyclic data under the same EtherType, between the same stations.
            return Progress::Upgrade(0);
        }
        if self.frame(input, reader, out).is_err() && input.cut == 0 {
            let length = input.bytes.len();
            out.anomaly(input.from, "length", format_args!("a block does not fit a frame of {length} bytes"));
        }
        Progress::Took(input.bytes.len())
    }
}

impl Dcp {
    fn frame(&mut self, input: &Input<'_>, mut reader: Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let from = input.from;
        let (service, kind, xid, delay) = (reader.u8()?, reader.u8()?, reader.be32()?, reader.be16()?);
        let length = reader.be16()?;
        // What follows the data is padding.
        let data = reader.take(length.into())?;
        let mut message = Message { xid, ..Message::default() };
        let request = kind == REQUEST;
        let whole = message.blocks(data, service, request);
        if service == service::IDENTIFY && request {
            message.response_delay = delay;
        }
        let name = match (service, request) {
            (service::GET, true) => "get",
            (service::GET, false) => "get-response",
            (service::SET, true) => "set",
            (service::SET, false) => "set-response",
            (service::IDENTIFY, true) => "identify",
            (service::IDENTIFY, false) => "identify-response",
            (service::HELLO, _) => "hello",
            _ => "unknown",
        };
        out.message(from, name, &message);
        match (service, request) {
            (service::IDENTIFY, true) => self.asked(&message, from, out),
            (service::SET, true) => set(&message, from, out),
            (service::GET | service::IDENTIFY, false) | (service::HELLO, _) => message.tell(from, out),
            _ => {}
        }
        if kind == 5 {
            out.anomaly(from, "not-supported", format_args!("{name}: the service is not supported"));
        }
        whole
    }

    /// Somebody looks for stations. A controller looks for its devices by name, over and over while they
    /// are missing; an engineering tool looks for all.
    fn asked(&mut self, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
        let wanted = message.name.as_deref().or(message.alias.as_deref());
        let sender = out.host(from).mac.unwrap_or_default();
        let [a, b, c, d, e, f] = sender.0;
        let name = hash(wanted.unwrap_or_default().bytes());
        if !self.recent.is_new(&[u64::from_be_bytes([0, 0, a, b, c, d, e, f]), name]) {
            return;
        }
        if wanted.is_none() {
            out.role(from, Role::EngineeringStation, "profinet-dcp.identify-all", Confidence::HINT);
        }
        let target = wanted.map(Into::into);
        out.operation(from, OperationKind::Discover, "identify", target, None, Outcome::Asked);
    }
}

/// What a station is told to change (clause 4.3.1.4). The station is the receiver of the frame.
fn set(message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
    let mut tell = |kind, name: &'static str, value: Option<Value>| {
        out.operation(from, kind, name, None, value, Outcome::Asked);
    };
    for block in &message.read {
        match (&block.content, block.name()) {
            (Content::Name, _) => {
                let value = message.name.as_deref().map(|name| Value::Text(name.into()));
                tell(OperationKind::Configure, "set-name", value);
            }
            (Content::Ip { ip, .. }, _) => {
                tell(OperationKind::Configure, "set-ip", Some(Value::Text(ip.to_string().into())));
            }
            (_, "factory-reset") => tell(OperationKind::Configure, "factory-reset", None),
            (_, "reset-to-factory") => tell(OperationKind::Configure, "reset-to-factory", None),
            (_, "signal") => tell(OperationKind::Diagnose, "signal", None),
            (_, "dhcp") => tell(OperationKind::Configure, "set-dhcp", None),
            // Start and stop open and close the transaction of a set; they are no orders of their own.
            _ => {}
        }
    }
    if !message.read.is_empty() {
        out.role(from, Role::EngineeringStation, "profinet-dcp.set", Confidence::HINT);
    }
}

impl<'a> Message<'a> {
    fn blocks(&mut self, data: &'a [u8], service: u8, request: bool) -> Result<(), Short> {
        let mut reader = Reader::new(data);
        for _ in 0..MAX_BLOCKS {
            if reader.left() < 2 {
                break;
            }
            // Clause 4.3.1.4: a get names blocks without giving lengths; a set and every answer put two
            // bytes of qualifier or status before a value; an identify does not.
            let block = if service == service::GET && request {
                Block::asked(&mut reader)?
            } else {
                let has_info = !(service == service::IDENTIFY && request);
                Block::read(&mut reader, has_info)?
            };
            self.take(&block);
            self.read.push(block);
        }
        Ok(())
    }

    fn take(&mut self, block: &Block<'a>) {
        match block.content {
            Content::Name => self.name = block.text(),
            Content::StationType => self.station_type = block.text(),
            Content::Alias => self.alias = block.text(),
            Content::Id { vendor, device } => {
                (self.vendor_id, self.device_id) = (Some(vendor), Some(device));
            }
            Content::Role(bits) => {
                self.role_bits = bits;
                let names = [
                    (DEVICE, "io-device"),
                    (CONTROLLER, "io-controller"),
                    (MULTIDEVICE, "io-multidevice"),
                    (SUPERVISOR, "io-supervisor"),
                ];
                self.roles =
                    names.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name).collect();
            }
            Content::Instance(number) => self.instance = Some(number),
            Content::Mac(mac) => self.mac = Some(mac),
            Content::Ip { ip, mask, gateway } => {
                (self.ip, self.netmask, self.gateway) = (Some(ip), Some(mask), Some(gateway));
            }
            Content::Error(code) => self.error = block::error(code),
            Content::Other => self.blocks.push(block.name()),
        }
    }

    /// What a station says of itself.
    fn tell(&self, from: Side, out: &mut Emit<'_>) {
        use Attribute::{Hostname, Identifier, Label, Model, Vendor};
        use Confidence as C;

        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        out.fact(from, Hostname, said(&self.name), "profinet-dcp.name-of-station", C::CERTAIN);
        out.fact(from, Model, said(&self.station_type), "profinet-dcp.type-of-station", C::CERTAIN);
        out.fact(from, Label, said(&self.alias), "profinet-dcp.alias", C::LIKELY);
        if let (Some(vendor_id), Some(device_id)) = (self.vendor_id, self.device_id) {
            out.fact(
                from,
                Vendor,
                vendor(vendor_id).unwrap_or_default(),
                "profinet-dcp.device-id",
                C::CERTAIN,
            );
            let text = format!("profinet {vendor_id:04x}:{device_id:04x}");
            out.fact(from, Identifier, text, "profinet-dcp.device-id", C::STRONG);
        }
        let mut role = |bit: u8, role| {
            if self.role_bits & bit != 0 {
                out.role(from, role, "profinet-dcp.device-role", C::CERTAIN);
            }
        };
        role(CONTROLLER, Role::Plc);
        role(SUPERVISOR, Role::EngineeringStation);
        role(DEVICE | MULTIDEVICE, Role::FieldDevice);
        // DCP is not routed: the sender stands on this link, and so does the address it names.
        if let (Some(mac), Some(ip)) = (out.host(from).mac, self.ip) {
            out.binding(mac, IpAddr::V4(ip), BindingSource::LinkLocal);
        }
    }
}
