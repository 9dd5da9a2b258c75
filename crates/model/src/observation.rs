//! What can be learnt.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Attribute, Confidence, Denied, FlowHead, FlowId, FlowRecord, Host, MacAddr, Name, Record, Side,
    Timestamp, Value,
};

/// Something that was learnt, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Packet time.
    pub at: Timestamp,
    /// What was learnt.
    #[serde(flatten)]
    pub what: What,
}

/// Everything that the senses tell the brain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "observation", rename_all = "kebab-case")]
pub enum What {
    /// A TCP conversation was asked for. Told where somebody judges.
    FlowAsked(Box<FlowHead>),
    /// A conversation was answered, or its protocol recognised, for the first time.
    FlowOpened(Box<FlowHead>),
    /// The protocol of a conversation was recognised.
    FlowIdentified(Box<FlowIdentified>),
    /// A conversation ended, or an interim record of a long one.
    FlowEnded(Box<FlowRecord>),
    /// A network address belongs to a link-layer address.
    Binding(Binding),
    /// A message of an application protocol.
    Message(Box<Message>),
    /// Something a message says about a host.
    Fact(Box<Fact>),
    /// Something one host asks another to do.
    Operation(Box<Operation>),
    /// Something that the rules of a protocol do not allow.
    Anomaly(Box<Anomaly>),
    /// A weakness of one end that its conversation shows: an outdated cipher, a default password.
    Weakness(Box<Weakness>),
    /// A data frame of a CAN bus.
    BusFrame(Box<BusFrame>),
    /// Process values that were read or reported.
    Samples(Box<Samples>),
    /// Somebody was told which addresses a name has.
    Resolved(Box<Resolved>),
    /// Something was done that people have said is not to be.
    Denied(Box<Denied>),
    /// Pavise itself gave something up to stay within its limits.
    Shed(Box<Shed>),
    /// A source was read to its end.
    SourceEnded(Box<SourceSummary>),
}

/// The protocol of a conversation was recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowIdentified {
    /// The conversation.
    #[serde(flatten)]
    pub flow: FlowHead,
    /// The protocol's id.
    pub protocol: Name,
}

/// A network address belongs to a link-layer address: the host is on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The link-layer address.
    pub mac: MacAddr,
    /// The network address.
    pub ip: IpAddr,
    /// Who says so.
    pub source: BindingSource,
}

/// How a binding was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindingSource {
    /// The sender of an ARP packet (RFC 826).
    Arp,
    /// A neighbour advertisement or solicitation (RFC 4861).
    Ndp,
    /// An address that a DHCP server gave or confirmed (RFC 2131, RFC 8415).
    Dhcp,
    /// A packet that routers do not forward: link-local address or multicast, or TTL 255 by rule.
    LinkLocal,
}

/// One message of an application protocol, as its dissector declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The conversation that carried it.
    pub flow: FlowHead,
    /// Who sent it.
    pub from: Side,
    /// The protocol's id.
    pub protocol: Name,
    /// Which kind of message.
    pub kind: Name,
    /// Its fields, in the order of the standard.
    pub fields: Record,
}

/// Something a message says about a host: evidence for one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The host that it is about.
    pub about: Host,
    /// Which attribute.
    pub attribute: Attribute,
    /// Its value, as text.
    pub value: Box<str>,
    /// Where it stood: protocol and field, such as `dhcp.host-name`.
    pub source: Name,
    /// How much such evidence is worth.
    pub confidence: Confidence,
}

/// Something one host asks another to do, in words that all protocols share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The conversation; the client asks unless `from` says otherwise.
    pub flow: FlowHead,
    /// Who asks.
    pub from: Side,
    /// The protocol's id.
    pub protocol: Name,
    /// What is asked.
    pub kind: OperationKind,
    /// The protocol's own name for it, such as `write-multiple-registers`.
    pub name: Name,
    /// What it is done to, in the protocol's own terms: an address range, an object, a topic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Box<str>>,
    /// The value that is written, where there is one and it is no secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// How it ended, where that is known.
    pub outcome: Outcome,
    /// Packet time of the request, if its end is told noticeably later: what gets no answer is told when nothing
    /// more is to come.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked: Option<Timestamp>,
}

/// The kinds of operation that policies and detectors tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Ask who and what is there.
    Discover,
    /// Ask a device what it is.
    Identify,
    /// Read values.
    Read,
    /// Write values.
    Write,
    /// Subscribe to values or messages.
    Subscribe,
    /// Publish a message.
    Publish,
    /// Operate an actuator or call a method.
    Execute,
    /// Change configuration.
    Configure,
    /// Start a program or a controller.
    Start,
    /// Stop a program or a controller.
    Stop,
    /// Restart a device.
    Restart,
    /// Change the mode of a controller.
    ChangeMode,
    /// Put a program into a controller.
    ProgramDownload,
    /// Take a program out of a controller.
    ProgramUpload,
    /// Put new firmware into a device.
    FirmwareUpdate,
    /// Set a clock.
    SetTime,
    /// Log in or prove who one is.
    Authenticate,
    /// Transfer a file.
    TransferFile,
    /// Diagnose, test or force.
    Diagnose,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was asked; no answer is known.
    #[default]
    Asked,
    /// It was done.
    Done,
    /// It was refused or failed.
    Refused,
}

/// Something that the rules of a protocol do not allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The conversation, where the packet belongs to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<FlowHead>,
    /// Who sent it, where known.
    pub host: Host,
    /// What is wrong: layer and reason, such as `ipv4.header-length`.
    pub kind: Name,
    /// The particulars, for people.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub detail: Box<str>,
}

/// A weakness that a conversation shows of one of its ends: nothing is broken, but it can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weakness {
    /// The conversation.
    pub flow: FlowHead,
    /// Whose weakness it is.
    pub side: Side,
    /// Protocol and kind, such as `tls.old-version`.
    pub kind: Name,
    /// The particulars, for people; never a secret.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub detail: Box<str>,
}

/// A data frame of a CAN bus (ISO 11898-1). It names no sender, only what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusFrame {
    /// The conversation: all frames of one identifier on one bus.
    pub flow: FlowId,
    /// The bus: the number of the interface on which the frame was captured, 0 where there is only one.
    #[serde(skip_serializing_if = "is_first", default)]
    pub bus: u16,
    /// The identifier, of 11 bits or 29.
    pub id: u32,
    /// Whether the identifier has 29 bits.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub extended: bool,
    /// What it says.
    pub data: BusData,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
const fn is_first(bus: &u16) -> bool {
    *bus == 0
}

/// The data field of a frame of a bus: at most [`BusData::MAX`] bytes. As text, hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BusData {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl BusData {
    /// CAN FD carries so many bytes (ISO 11898-1 clause 10.4.2).
    pub const MAX: usize = 64;

    /// The bytes, as far as there may be any.
    pub fn new(data: &[u8]) -> Self {
        let length = data.len().min(Self::MAX);
        let mut bytes = [0; Self::MAX];
        bytes[..length].copy_from_slice(&data[..length]);
        Self { length: length as u8, bytes }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length).min(Self::MAX)]
    }
}

impl fmt::Display for BusData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BusData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BusData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BusData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let wrong = || de::Error::custom("expected at most 128 hexadecimal digits, an even number");
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > Self::MAX {
            return Err(wrong());
        }
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        Ok(Self::new(&bytes.ok_or_else(wrong)?))
    }
}

/// Process values that one host told another in one message. A value is told when it changes, about once a second at
/// most for each point, and now and then while it does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The conversation.
    pub flow: FlowHead,
    /// Who told the values.
    pub from: Side,
    /// The protocol's id.
    pub protocol: Name,
    /// The values, at least one.
    pub values: Vec<Sample>,
}

/// A name that a client asked for, and the addresses that it was told (RFC 1035, RFC 3596). Whoever was told a name of an
/// address most likely means the name when he goes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The conversation; its client asked.
    pub flow: FlowHead,
    /// The name as it was asked for, in lower case, whatever other names stand between it and the addresses.
    pub name: Box<str>,
    /// Its addresses, at least one and at most [`Resolved::MAX`].
    pub addresses: Vec<IpAddr>,
    /// How long they may be kept, in seconds: the shortest time that the answer gives.
    pub ttl: u32,
}

impl Resolved {
    /// So many addresses of an answer are told.
    pub const MAX: usize = 16;
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What was read.
    pub point: Point,
    /// Its value, as a number.
    pub value: f64,
}

/// What has a value, in the protocol's own terms, such as `holding-registers 12 unit 1`. The name is shared by all that is
/// told of the point in a conversation, and has its key with it.
#[derive(Clone, Debug)]
pub struct Point {
    key: u64,
    name: Arc<str>,
}

impl Point {
    /// The key of a name: the same for all points of that name, whoever tells of them (FNV-1a, 64 bits).
    pub fn key_of(name: &str) -> u64 {
        name.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// The key of its name.
    pub const fn key(&self) -> u64 {
        self.key
    }
}

impl From<&str> for Point {
    fn from(name: &str) -> Self {
        Self { key: Self::key_of(name), name: name.into() }
    }
}

impl std::ops::Deref for Point {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

/// Something Pavise gave up to stay within its limits. Nothing is ever given up without one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shed {
    /// Which limit was reached, by its name.
    pub limit: Name,
    /// How many things were given up since the last such report.
    pub count: u64,
    /// How many packets they stood for.
    pub packets: u64,
    /// How many bytes they stood for.
    pub bytes: u64,
}

/// What became of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSummary {
    /// The source as the user named it.
    pub source: String,
    /// Packets read.
    pub packets: u64,
    /// Bytes of those packets on the wire.
    pub bytes: u64,
    /// Packets that the kernel dropped before Pavise saw them (live capture only).
    pub dropped: u64,
    /// What was lost and where, if the source was damaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub damage: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_bus_come_back_from_text_and_nonsense_is_refused() {
        for bytes in [&[][..], &[0x01, 0xfe], &[0xab; 64]] {
            let data = BusData::new(bytes);
            let text = serde_json::to_string(&data).unwrap();
            assert_eq!(serde_json::from_str::<BusData>(&text).unwrap().as_bytes(), bytes, "{text}");
        }
        for bad in ["\"0\"", "\"0g\"", "\"é\""] {
            assert!(serde_json::from_str::<BusData>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<BusData>(&format!("\"{}\"", "00".repeat(65))).is_err());
    }
}
