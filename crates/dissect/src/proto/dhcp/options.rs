//! Options (RFC 2132 and later): code, length, value.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::proto::Reader;
use crate::proto::dns::wire::{Name, partial_name};
use crate::proto::show::{Hex, text};

/// Codes of the options that are read here (IANA's registry).
pub(super) mod code {
    pub(in super::super) const SUBNET_MASK: u8 = 1;
    pub(in super::super) const ROUTERS: u8 = 3;
    pub(in super::super) const DNS_SERVERS: u8 = 6;
    pub(in super::super) const HOST_NAME: u8 = 12;
    pub(in super::super) const DOMAIN_NAME: u8 = 15;
    pub(in super::super) const NTP_SERVERS: u8 = 42;
    pub(in super::super) const VENDOR_SPECIFIC: u8 = 43;
    pub(in super::super) const REQUESTED_ADDRESS: u8 = 50;
    pub(in super::super) const LEASE_TIME: u8 = 51;
    pub(in super::super) const OVERLOAD: u8 = 52;
    pub(in super::super) const MESSAGE_TYPE: u8 = 53;
    pub(in super::super) const SERVER_IDENTIFIER: u8 = 54;
    pub(in super::super) const PARAMETER_LIST: u8 = 55;
    pub(in super::super) const MESSAGE: u8 = 56;
    pub(in super::super) const MAX_MESSAGE_SIZE: u8 = 57;
    pub(in super::super) const RENEWAL_TIME: u8 = 58;
    pub(in super::super) const REBINDING_TIME: u8 = 59;
    pub(in super::super) const VENDOR_CLASS: u8 = 60;
    pub(in super::super) const CLIENT_IDENTIFIER: u8 = 61;
    pub(in super::super) const TFTP_SERVER: u8 = 66;
    pub(in super::super) const BOOT_FILE: u8 = 67;
    pub(in super::super) const USER_CLASS: u8 = 77;
    pub(in super::super) const CLIENT_FQDN: u8 = 81;
    pub(in super::super) const RELAY_INFORMATION: u8 = 82;
    pub(in super::super) const CLIENT_ARCHITECTURE: u8 = 93;
    pub(in super::super) const CLIENT_UUID: u8 = 97;
    pub(in super::super) const CAPTIVE_PORTAL: u8 = 114;
    pub(in super::super) const DOMAIN_SEARCH: u8 = 119;
    pub(in super::super) const VENDOR_IDENTIFYING_CLASS: u8 = 124;
    pub(in super::super) const VENDOR_IDENTIFYING_INFORMATION: u8 = 125;
    pub(in super::super) const MUD_URL: u8 = 161;
    pub(in super::super) const WPAD: u8 = 252;
}

/// Most options that one message is read for. A full message of one-byte options would have more; none
/// that means anything does.
const MAX_OPTIONS: usize = 64;

/// What is wrong with options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An option is longer than its area.
    Truncated,
    /// There are too many options.
    TooMany,
}

impl Fault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "option-length",
            Self::TooMany => "too-many-options",
        }
    }
}

/// The options of one message, in order.
pub(super) struct Options<'a> {
    entries: [(u8, &'a [u8]); MAX_OPTIONS],
    count: usize,
}

impl<'a> Options<'a> {
    /// Reads the options area, then the `file` and `sname` fields where option 52 says that these hold
    /// options too (RFC 2132 clause 9.3). What was read before a fault is kept.
    pub(super) fn read(area: &'a [u8], file: &'a [u8], sname: &'a [u8]) -> (Self, Option<Fault>) {
        let mut options = Self { entries: [(0, &[]); MAX_OPTIONS], count: 0 };
        let mut fault = options.area(area).err();
        let overload = options.byte(code::OVERLOAD).unwrap_or(0);
        for (bit, field) in [(1, file), (2, sname)] {
            if overload & bit != 0 {
                fault = fault.or(options.area(field).err());
            }
        }
        (options, fault)
    }

    fn area(&mut self, bytes: &'a [u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(bytes);
        while let Ok(code) = reader.u8() {
            match code {
                0 => continue,
                255 => break,
                _ => {}
            }
            let length = reader.u8().map_err(|_| Fault::Truncated)?;
            let value = reader.take(length.into()).map_err(|_| Fault::Truncated)?;
            *self.entries.get_mut(self.count).ok_or(Fault::TooMany)? = (code, value);
            self.count += 1;
        }
        Ok(())
    }

    fn entries(&self) -> &[(u8, &'a [u8])] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    /// The first value of an option.
    pub(super) fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.entries().iter().find(|(known, _)| *known == code).map(|(_, value)| *value)
    }

    /// The whole value of an option that was split because it is long (RFC 3396).
    fn whole(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        let mut parts = self.entries().iter().filter(|(known, _)| *known == code).map(|(_, value)| *value);
        let mut value = Cow::Borrowed(parts.next()?);
        for part in parts {
            value.to_mut().extend_from_slice(part);
        }
        Some(value)
    }

    /// An option as text; none if it is empty.
    pub(super) fn text(&self, code: u8) -> Option<Cow<'a, str>> {
        let value = match self.whole(code)? {
            Cow::Borrowed(value) => text(value),
            Cow::Owned(value) => Cow::Owned(text(&value).into_owned()),
        };
        (!value.is_empty()).then_some(value)
    }

    /// An option of one byte.
    pub(super) fn byte(&self, code: u8) -> Option<u8> {
        self.get(code)?.first().copied()
    }

    /// The first address of an option.
    pub(super) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.get(code)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes))
    }

    fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let chunks = self.get(code).unwrap_or_default().as_chunks::<4>().0;
        chunks.iter().map(|bytes| Ipv4Addr::from(*bytes)).collect()
    }

    fn seconds(&self, code: u8) -> Option<u32> {
        self.get(code).and_then(|value| Reader::new(value).be32().ok())
    }
}

/// Numbers with commas between: the usual way to write a parameter request list.
pub(super) fn list(numbers: &[u8]) -> String {
    let mut text = String::with_capacity(numbers.len() * 4);
    for number in numbers {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}");
    }
    text
}

/// The name in a client FQDN option (RFC 4702 clause 2): flags, two old response codes, then a name in DNS
/// form if the E bit is set, else text.
pub(super) fn fqdn(value: &[u8]) -> Option<String> {
    let (head, name) = value.split_at_checked(3)?;
    if head[0] & 4 == 0 {
        return Some(text(name).trim_end_matches('.').to_owned());
    }
    partial_name(name)
}

/// The options as a message shows them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet_mask: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routers: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_servers: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ntp_servers: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_fqdn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domain_search: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewal_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rebinding_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_identifier: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_request_list: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_size: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_class: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_specific: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_class: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tftp_server: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_file: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_architecture: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Relay<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captive_portal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wpad: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mud_url: Option<Cow<'a, str>>,
    /// The codes of all options, in the order of the message.
    options: String,
}

impl<'a> Shown<'a> {
    pub(super) fn new(options: &Options<'a>) -> Self {
        let codes: Vec<u8> = options.entries().iter().map(|(code, _)| *code).collect();
        let short = |code| options.get(code).and_then(|value| Reader::new(value).be16().ok());
        Self {
            subnet_mask: options.address(code::SUBNET_MASK),
            routers: options.addresses(code::ROUTERS),
            dns_servers: options.addresses(code::DNS_SERVERS),
            ntp_servers: options.addresses(code::NTP_SERVERS),
            host_name: options.text(code::HOST_NAME),
            client_fqdn: options.get(code::CLIENT_FQDN).and_then(fqdn),
            domain_name: options.text(code::DOMAIN_NAME),
            domain_search: options.whole(code::DOMAIN_SEARCH).map(|value| names(&value)).unwrap_or_default(),
            requested_address: options.address(code::REQUESTED_ADDRESS),
            lease_time: options.seconds(code::LEASE_TIME),
            renewal_time: options.seconds(code::RENEWAL_TIME),
            rebinding_time: options.seconds(code::REBINDING_TIME),
            server_identifier: options.address(code::SERVER_IDENTIFIER),
            parameter_request_list: options.get(code::PARAMETER_LIST).map(list),
            message: options.text(code::MESSAGE),
            max_message_size: short(code::MAX_MESSAGE_SIZE),
            vendor_class: options.text(code::VENDOR_CLASS),
            client_identifier: options.get(code::CLIENT_IDENTIFIER).and_then(client_identifier),
            vendor_specific: options.get(code::VENDOR_SPECIFIC).map(Hex),
            user_class: options.get(code::USER_CLASS).map(user_class),
            tftp_server: options.text(code::TFTP_SERVER),
            boot_file: options.text(code::BOOT_FILE),
            client_architecture: short(code::CLIENT_ARCHITECTURE),
            relay: options.get(code::RELAY_INFORMATION).map(Relay::new),
            captive_portal: options.text(code::CAPTIVE_PORTAL),
            wpad: options.text(code::WPAD),
            mud_url: options.text(code::MUD_URL),
            options: list(&codes),
        }
    }
}

/// Names in DNS form, one after the other (RFC 3397 clause 2).
fn names(value: &[u8]) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < value.len() {
        let Ok((name, end)) = Name::read(value, at) else { break };
        found.push(name.to_string());
        at = end;
    }
    found
}

/// A client identifier (RFC 2132 clause 9.14, RFC 4361): a link-layer address in the usual form, or bytes.
fn client_identifier(value: &[u8]) -> Option<String> {
    match value {
        [] => None,
        [1, mac @ ..] if mac.len() == 6 => {
            let parts: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(parts.join(":"))
        }
        // Type 0 is not a hardware type: the rest is free, and often text.
        [0, name @ ..] if name.len() > 1 && name.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
            Some(text(name).into_owned())
        }
        bytes => Some(Hex(bytes).to_string()),
    }
}

/// RFC 3004 has strings with a length each; some clients send plain text.
fn user_class(value: &[u8]) -> Cow<'_, str> {
    match value {
        [length, name @ ..] if usize::from(*length) == name.len() => text(name),
        _ => text(value),
    }
}

/// What a relay adds (RFC 3046; sub-options in IANA's registry).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Relay<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_selection: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriber_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_override: Option<Ipv4Addr>,
}

impl<'a> Relay<'a> {
    fn new(value: &'a [u8]) -> Self {
        let sub = |wanted: u8| {
            let mut reader = Reader::new(value);
            while let (Ok(code), Ok(length)) = (reader.u8(), reader.u8()) {
                let value = reader.take(length.into()).ok()?;
                if code == wanted {
                    return Some(value);
                }
            }
            None
        };
        let address =
            |code| sub(code).and_then(|value| value.first_chunk::<4>()).map(|bytes| Ipv4Addr::from(*bytes));
        Self {
            circuit_id: sub(1).map(text_or_hex),
            remote_id: sub(2).map(text_or_hex),
            link_selection: address(5),
            subscriber_id: sub(6).map(text_or_hex),
            server_override: address(11),
        }
    }
}

/// Printable bytes as text, others as hexadecimal digits.
fn text_or_hex(value: &[u8]) -> Cow<'_, str> {
    if !value.is_empty() && value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        text(value)
    } else {
        Cow::Owned(Hex(value).to_string())
    }
}
