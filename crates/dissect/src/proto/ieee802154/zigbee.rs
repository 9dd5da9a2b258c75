//! The network and application layers of Zigbee.

use serde::Serialize;

use super::mac::Address;
use crate::proto::{Reader, Short};

/// A frame of the network layer (Zigbee clause 3.3.1).
#[derive(Serialize)]
pub(super) struct Network {
    network: &'static str,
    network_destination: Address,
    network_source: Address,
    radius: u8,
    network_sequence: u8,
    destination_extended: Option<Address>,
    source_extended: Option<Address>,
    /// Whether what follows is encrypted.
    network_secured: bool,
    network_command: Option<&'static str>,
    #[serde(flatten)]
    application: Option<Application>,
}

/// A frame of the application layer (Zigbee clause 2.2.5.1).
#[derive(Serialize)]
struct Application {
    application: &'static str,
    destination_endpoint: Option<u8>,
    group: Option<u16>,
    cluster: Option<u16>,
    profile: Option<u16>,
    source_endpoint: Option<u8>,
}

impl Network {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let control = reader.le16()?;
        let mut network = Self {
            network: match control & 3 {
                0 => "data",
                1 => "command",
                3 => "between-networks",
                _ => "unknown",
            },
            network_destination: Address::Short(reader.le16()?),
            network_source: Address::Short(reader.le16()?),
            radius: reader.u8()?,
            network_sequence: reader.u8()?,
            destination_extended: None,
            source_extended: None,
            network_secured: control & 1 << 9 != 0,
            network_command: None,
            application: None,
        };
        if control & 1 << 11 != 0 {
            network.destination_extended = Some(Address::Extended(reader.le64()?));
        }
        if control & 1 << 12 != 0 {
            network.source_extended = Some(Address::Extended(reader.le64()?));
        }
        if control & 1 << 8 != 0 {
            reader.skip(1)?;
        }
        if control & 1 << 10 != 0 {
            // Source route: how many relays, which is next, and their addresses.
            let relays = usize::from(reader.u8()?);
            reader.skip(1 + 2 * relays)?;
        }
        if !network.network_secured {
            match control & 3 {
                0 => network.application = Application::read(reader).ok(),
                1 => network.network_command = Some(command(reader.u8()?)),
                _ => {}
            }
        }
        Ok(network)
    }
}

/// The name of a command of the network layer (clause 3.4).
const fn command(code: u8) -> &'static str {
    match code {
        1 => "route-request",
        2 => "route-reply",
        3 => "network-status",
        4 => "leave",
        5 => "route-record",
        6 => "rejoin-request",
        7 => "rejoin-response",
        8 => "link-status",
        9 => "network-report",
        10 => "network-update",
        11 => "end-device-timeout-request",
        12 => "end-device-timeout-response",
        _ => "unknown",
    }
}

impl Application {
    fn read(mut reader: Reader<'_>) -> Result<Self, Short> {
        let control = reader.u8()?;
        let (kind, delivery) = (control & 3, control >> 2 & 3);
        let mut application = Self {
            application: match kind {
                0 => "data",
                1 => "command",
                2 => "acknowledgement",
                _ => "between-networks",
            },
            destination_endpoint: None,
            group: None,
            cluster: None,
            profile: None,
            source_endpoint: None,
        };
        // Commands, and acknowledgements of commands, have no endpoints.
        if kind == 1 || kind == 3 || kind == 2 && control & 1 << 4 != 0 {
            return Ok(application);
        }
        match delivery {
            3 => application.group = Some(reader.le16()?),
            _ => application.destination_endpoint = Some(reader.u8()?),
        }
        application.cluster = Some(reader.le16()?);
        application.profile = Some(reader.le16()?);
        application.source_endpoint = Some(reader.u8()?);
        Ok(application)
    }
}
