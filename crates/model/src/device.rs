//! Devices, and why we believe what we say about them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Access, BindingSource, MacAddr, Name, Timestamp};

/// Names a device for good: a digest of the address under which it was first known. As text, `d`
/// and 12 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

impl DeviceId {
    /// Only this many low bits are used.
    pub const BITS: u32 = 48;
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{:012x}", self.0)
    }
}

/// The text is not a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIdError;

impl fmt::Display for DeviceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a device id: expected d and 12 hexadecimal digits")
    }
}

impl std::error::Error for DeviceIdError {}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let digits = text.strip_prefix('d').filter(|digits| digits.len() == 12).ok_or(DeviceIdError)?;
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| DeviceIdError)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What can be known about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Who made it.
    Vendor,
    /// What kind of thing it is: "ip camera", "programmable logic controller".
    Type,
    /// Its model or product name.
    Model,
    /// The vendor's order or part number.
    PartNumber,
    /// Its serial number.
    Serial,
    /// The version of its firmware.
    Firmware,
    /// The version of its hardware.
    Hardware,
    /// Its operating system.
    OperatingSystem,
    /// A piece of software it runs, with version where known.
    Software,
    /// A name it has or is given on the network.
    Hostname,
    /// A name people gave it: a label, a station name, a description.
    Label,
    /// Where it stands.
    Location,
    /// Who looks after it.
    Contact,
    /// A part it plays; the value is a [`Role`]'s text.
    Role,
    /// A fingerprint of its behaviour: DHCP options, JA4, HASSH.
    Fingerprint,
    /// Where its manufacturer's usage description is found (RFC 8520).
    MudUrl,
    /// Another identifier that stays with it: a UUID, a device instance, a unit name.
    Identifier,
}

impl Attribute {
    /// The attribute's name as it stands in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Type => "type",
            Self::Model => "model",
            Self::PartNumber => "part-number",
            Self::Serial => "serial",
            Self::Firmware => "firmware",
            Self::Hardware => "hardware",
            Self::OperatingSystem => "operating-system",
            Self::Software => "software",
            Self::Hostname => "hostname",
            Self::Label => "label",
            Self::Location => "location",
            Self::Contact => "contact",
            Self::Role => "role",
            Self::Fingerprint => "fingerprint",
            Self::MudUrl => "mud-url",
            Self::Identifier => "identifier",
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a piece of evidence is worth, from 1 (a hint) to 100 (the device itself says so under its
/// own protocol, and nothing contradicts it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(u8);

impl Confidence {
    /// A guess from circumstances: a port, a habit.
    pub const HINT: Self = Self(20);
    /// Derived from something that usually tells: a vendor prefix, a fingerprint.
    pub const LIKELY: Self = Self(50);
    /// Told by the device in passing, or by a protocol that only such a device speaks.
    pub const STRONG: Self = Self(75);
    /// Told by the device when asked what it is.
    pub const CERTAIN: Self = Self(95);

    /// `percent`, kept between 1 and 100.
    pub const fn percent(percent: u8) -> Self {
        match percent {
            0 => Self(1),
            101.. => Self(100),
            other => Self(other),
        }
    }

    /// As a number from 1 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Parts that devices play in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Programmable logic controller or other programmable process controller.
    Plc,
    /// Remote terminal unit, outstation.
    Rtu,
    /// Protection relay or other intelligent electronic device.
    Ied,
    /// Operator panel or SCADA client.
    Hmi,
    /// Supervisory control server, DNP3 or IEC 104 master.
    Scada,
    /// Keeps process history.
    Historian,
    /// Programs controllers.
    EngineeringStation,
    /// Distributed input and output, sensors, drives.
    FieldDevice,
    /// Building automation controller.
    BuildingController,
    /// IP camera or video recorder.
    Camera,
    /// Smart-home hub or bridge.
    Hub,
    /// Plugs, lamps, thermostats, locks and other things of a home or building.
    SmartDevice,
    /// Forwards between networks.
    Router,
    /// Switches frames.
    Switch,
    /// Wireless access point.
    AccessPoint,
    /// Translates between networks or protocols.
    Gateway,
    /// Message broker.
    Broker,
    /// Gives out addresses.
    DhcpServer,
    /// Resolves names.
    DnsServer,
    /// Gives the time.
    TimeServer,
    /// Serves files, web pages or other services.
    Server,
    /// A desktop or portable computer.
    Workstation,
    /// A telephone or tablet.
    Mobile,
    /// A printer or scanner.
    Printer,
    /// A television, loudspeaker, player.
    Media,
    /// An Internet telephone.
    Phone,
    /// A medical device.
    Medical,
    /// A point-of-sale terminal.
    PointOfSale,
    /// An electronic control unit of a vehicle.
    Ecu,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Plc,
        Self::Rtu,
        Self::Ied,
        Self::Hmi,
        Self::Scada,
        Self::Historian,
        Self::EngineeringStation,
        Self::FieldDevice,
        Self::BuildingController,
        Self::Camera,
        Self::Hub,
        Self::SmartDevice,
        Self::Router,
        Self::Switch,
        Self::AccessPoint,
        Self::Gateway,
        Self::Broker,
        Self::DhcpServer,
        Self::DnsServer,
        Self::TimeServer,
        Self::Server,
        Self::Workstation,
        Self::Mobile,
        Self::Printer,
        Self::Media,
        Self::Phone,
        Self::Medical,
        Self::PointOfSale,
        Self::Ecu,
    ];

    /// The role's name as it stands in JSON, evidence and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plc => "plc",
            Self::Rtu => "rtu",
            Self::Ied => "ied",
            Self::Hmi => "hmi",
            Self::Scada => "scada",
            Self::Historian => "historian",
            Self::EngineeringStation => "engineering-station",
            Self::FieldDevice => "field-device",
            Self::BuildingController => "building-controller",
            Self::Camera => "camera",
            Self::Hub => "hub",
            Self::SmartDevice => "smart-device",
            Self::Router => "router",
            Self::Switch => "switch",
            Self::AccessPoint => "access-point",
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::DhcpServer => "dhcp-server",
            Self::DnsServer => "dns-server",
            Self::TimeServer => "time-server",
            Self::Server => "server",
            Self::Workstation => "workstation",
            Self::Mobile => "mobile",
            Self::Printer => "printer",
            Self::Media => "media",
            Self::Phone => "phone",
            Self::Medical => "medical",
            Self::PointOfSale => "point-of-sale",
            Self::Ecu => "ecu",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value that an attribute was said to have, and who said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The value.
    pub value: Box<str>,
    /// Where it stood: protocol and field.
    pub source: Name,
    /// What it is worth.
    pub confidence: Confidence,
    /// When it was first said.
    pub first: Timestamp,
    /// When it was last said.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// Where a device stands, seen from the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locality {
    /// On a link that the sensor watches: its own link-layer address is known.
    OnLink,
    /// In the organisation's networks, beyond a router.
    Routed,
    /// Elsewhere in the Internet.
    External,
}

/// An address that a device has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressUse {
    /// The address.
    pub ip: IpAddr,
    /// How it is known to be the device's, where more than "it was used".
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<BindingSource>,
    /// When it was first used.
    pub first: Timestamp,
    /// When it was last used.
    pub last: Timestamp,
}

/// A service that a device offers to others or uses from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// The protocol's id, or the transport's name where none was recognised.
    pub protocol: Name,
    /// The transport's name: `tcp`, `udp`, `ether-88b8`.
    pub transport: Box<str>,
    /// The server's port; 0 where the transport has none.
    pub port: u16,
}

/// What passed between a device and one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Conversations that ended.
    pub flows: u64,
    /// Bytes that the device sent to the peer.
    pub bytes_out: u64,
    /// Bytes that the peer sent to the device.
    pub bytes_in: u64,
    /// When they last spoke.
    pub last: Timestamp,
}

/// A device: everything known about one connected thing, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its name for good.
    pub id: DeviceId,
    /// Where it stands.
    pub locality: Locality,
    /// Its link-layer addresses; the first is the one it is known by.
    pub macs: Vec<MacAddr>,
    /// Its network addresses over time, oldest first.
    pub addresses: Vec<AddressUse>,
    /// The router through which it is reached, if it is not on the link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<MacAddr>,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// What it is, attribute by attribute, the best evidence first. Conflicts stay side by side.
    pub attributes: BTreeMap<Attribute, Vec<Evidence>>,
    /// Services it offers, with the number of conversations.
    #[serde(with = "pairs")]
    pub offers: BTreeMap<Service, u64>,
    /// Services it uses, with the number of conversations.
    #[serde(with = "pairs")]
    pub uses: BTreeMap<Service, u64>,
    /// Protocols it was seen to speak, in either part.
    pub protocols: Vec<Name>,
    /// Whom it talks to.
    #[serde(with = "pairs")]
    pub peers: BTreeMap<DeviceId, Peer>,
    /// How far it is trusted: what it gets of what the policy allows it.
    #[serde(skip_serializing_if = "Access::is_full", default)]
    pub access: Access,
    /// Packets it sent.
    pub packets_out: u64,
    /// Bytes it sent.
    pub bytes_out: u64,
    /// Packets sent to it.
    pub packets_in: u64,
    /// Bytes sent to it.
    pub bytes_in: u64,
}

impl Device {
    /// The best-supported value of an attribute.
    pub fn best(&self, attribute: Attribute) -> Option<&str> {
        self.attributes.get(&attribute)?.first().map(|evidence| &*evidence.value)
    }

    /// The roles it plays, each once, best-supported first.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let said = self.attributes.get(&Attribute::Role).map_or(&[][..], Vec::as_slice);
        let first = |at: usize| said.iter().take(at).all(|before| before.value != said[at].value);
        let distinct = (0..said.len()).filter(move |at| first(*at));
        distinct.map(|at| &*said[at].value)
    }
}

/// Maps whose keys are not text, as lists of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
