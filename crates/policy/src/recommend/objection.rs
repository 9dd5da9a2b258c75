//! Uses that no policy should allow, whoever does them: they are told of, not learnt.

use model::{Attribute, Device, Transport};

use super::Seen;

/// A reason not to allow something.
pub struct Objection {
    /// Its id.
    pub id: &'static str,
    /// Why it should not be allowed, and what to do instead.
    pub reason: &'static str,
    applies: fn(&Seen<'_>) -> bool,
}

impl PartialEq for Objection {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Objection {}

impl std::fmt::Debug for Objection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// Parts of those who move things.
const CONTROLLERS: &[&str] = &[
    "plc",
    "rtu",
    "ied",
    "hmi",
    "scada",
    "field-device",
    "building-controller",
    "engineering-station",
    "medical",
    "ecu",
];
/// Parts of those who serve others by their nature.
const SERVERS: &[&str] = &["server", "broker", "dns-server", "time-server", "gateway", "router"];
/// Protocols in which logins and commands can be read along.
const CLEAR_TEXT: &[&str] = &["telnet", "ftp", "tftp", "rfb", "snmp", "rtsp", "tplink-smarthome"];
/// Protocols of plants, vehicles and buildings, which trust whoever speaks them.
const INDUSTRIAL: &[&str] = &[
    "bacnet",
    "dnp3",
    "doip",
    "enip",
    "ethercat",
    "hart-ip",
    "iec104",
    "mms",
    "modbus",
    "omron-fins",
    "profinet-dcp",
    "profinet-io-cm",
    "s7comm",
    "s7comm-plus",
    "synchrophasor",
];

fn plays(device: Option<&Device>, parts: &[&str]) -> bool {
    device.and_then(|device| device.best(Attribute::Role)).is_some_and(|role| parts.contains(&role))
}

fn speaks(seen: &Seen<'_>, protocols: &[&str]) -> bool {
    seen.used.protocol.as_deref().is_some_and(|protocol| protocols.contains(&protocol))
}

/// The reasons, the more particular first.
pub static OBJECTIONS: &[Objection] = &[
    Objection {
        id: "group-as-sender",
        reason: "the sender's address was one of a group of hosts, which no host has: it was made up",
        applies: |seen| seen.from_many,
    },
    Objection {
        id: "unanswered",
        reason: "nobody answered: what was never there needs no rule",
        applies: |seen| {
            // Datagrams are sent to whoever does not answer, within the house.
            let opened =
                matches!(seen.used.transport, Transport::Tcp | Transport::Sctp | Transport::Ip(6 | 132));
            !seen.used.answered && (opened || seen.from_internet)
        },
    },
    Objection {
        id: "internet-to-controller",
        reason: "somebody in the Internet opened a conversation with a controller: lead remote access through a gateway that \
                 proves who it is",
        applies: |seen| seen.from_internet && plays(seen.server, CONTROLLERS),
    },
    Objection {
        id: "industrial-protocol-over-internet",
        reason: "an industrial protocol crossed the border to the Internet, where everybody can speak it: use a tunnel",
        applies: |seen| (seen.from_internet || seen.to_internet) && speaks(seen, INDUSTRIAL),
    },
    Objection {
        id: "clear-text-management-from-internet",
        reason: "a device was managed from the Internet by a protocol that can be read along: use a tunnel, and close the port",
        applies: |seen| {
            seen.from_internet
                && (speaks(seen, CLEAR_TEXT) || speaks(seen, &["http"]) && !plays(seen.server, SERVERS))
        },
    },
    Objection {
        id: "remote-desktop-from-internet",
        reason: "a desktop was reached from the Internet, which is how much ransomware comes in: put a gateway before it",
        applies: |seen| seen.from_internet && speaks(seen, &["rdp"]),
    },
    Objection {
        id: "file-sharing-over-internet",
        reason: "files were shared over the border to the Internet by SMB, which is meant for one site: close it",
        applies: |seen| (seen.from_internet || seen.to_internet) && speaks(seen, &["smb", "nbns", "nbdgm"]),
    },
    Objection {
        id: "telnet-to-internet",
        reason: "a device logged in elsewhere by telnet, as bots do that look for others: find out why",
        applies: |seen| seen.to_internet && speaks(seen, &["telnet"]),
    },
    Objection {
        id: "irc",
        reason: "a device took part in IRC over the border to the Internet, as bots do to get orders: find out why",
        applies: |seen| (seen.from_internet || seen.to_internet) && speaks(seen, &["irc"]),
    },
];

/// The first reason that applies.
pub(super) fn objection(seen: &Seen<'_>) -> Option<&'static Objection> {
    OBJECTIONS.iter().find(|objection| (objection.applies)(seen))
}
