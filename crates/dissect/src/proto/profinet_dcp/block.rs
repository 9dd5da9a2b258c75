//! The blocks of DCP (IEC 61158-6-10 clause 4.3.1.4).

use std::net::Ipv4Addr;

use model::MacAddr;

use crate::proto::industrial;
use crate::proto::{Reader, Short};

/// What a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The station's name, as text.
    Name,
    /// The manufacturer's name for what the station is, as text.
    StationType,
    /// Another name, of a port of the neighbour's, as text.
    Alias,
    /// Numbers of maker and product.
    Id { vendor: u16, device: u16 },
    /// Bits of the roles.
    Role(u8),
    /// Which of several equal devices in one housing.
    Instance(u16),
    /// The link-layer address.
    Mac(MacAddr),
    /// The address and what belongs to it.
    Ip { ip: Ipv4Addr, mask: Ipv4Addr, gateway: Ipv4Addr },
    /// How an order ended.
    Error(u8),
    /// Anything else, and blocks without a value.
    Other,
}

/// One block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    option: u8,
    suboption: u8,
    value: &'a [u8],
    pub(super) content: Content,
}

impl<'a> Block<'a> {
    /// A block that a get asks for: option and suboption alone.
    pub(super) fn asked(reader: &mut Reader<'a>) -> Result<Self, Short> {
        let (option, suboption) = (reader.u8()?, reader.u8()?);
        Ok(Self { option, suboption, value: &[], content: Content::Other })
    }

    /// A block with a length and, if `has_info`, two bytes of qualifier or status before its value.
    pub(super) fn read(reader: &mut Reader<'a>, has_info: bool) -> Result<Self, Short> {
        let (option, suboption) = (reader.u8()?, reader.u8()?);
        let length = usize::from(reader.be16()?);
        let whole = reader.take(length)?;
        // A block of odd length is filled to an even one; at the end some leave the filling away.
        let _ = reader.skip(length % 2);
        // The answer to an order has option, suboption and error in place of a status.
        let is_response = (option, suboption) == (5, 4);
        let value = if has_info && !is_response { whole.get(2..).unwrap_or_default() } else { whole };
        let content = content(option, suboption, value).unwrap_or(Content::Other);
        Ok(Self { option, suboption, value, content })
    }

    /// The value as text.
    pub(super) fn text(&self) -> Option<String> {
        industrial::text(self.value)
    }

    /// The block's name.
    pub(super) const fn name(&self) -> &'static str {
        match (self.option, self.suboption) {
            (1, 1) => "mac-address",
            (1, 2) => "ip-parameter",
            (1, 3) => "ip-suite",
            (2, 1) => "type-of-station",
            (2, 2) => "name-of-station",
            (2, 3) => "device-id",
            (2, 4) => "device-role",
            (2, 5) => "device-options",
            (2, 6) => "alias-name",
            (2, 7) => "device-instance",
            (2, 8) => "oem-device-id",
            (2, 9) => "standard-gateway",
            (2, 10) => "rsi-properties",
            (3, _) => "dhcp",
            (5, 1) => "start",
            (5, 2) => "stop",
            (5, 3) => "signal",
            (5, 4) => "response",
            (5, 5) => "factory-reset",
            (5, 6) => "reset-to-factory",
            (6, 1) => "device-initiative",
            (0xff, 0xff) => "all",
            (0x80..=0xfe, _) => "manufacturer",
            _ => "unknown",
        }
    }
}

fn content(option: u8, suboption: u8, value: &[u8]) -> Result<Content, Short> {
    let mut reader = Reader::new(value);
    let ip = |reader: &mut Reader<'_>| reader.array::<4>().map(Ipv4Addr::from);
    // An identify without a value asks for any.
    Ok(match (option, suboption) {
        _ if value.is_empty() => Content::Other,
        (1, 1) => Content::Mac(MacAddr(reader.array()?)),
        (1, 2 | 3) => Content::Ip { ip: ip(&mut reader)?, mask: ip(&mut reader)?, gateway: ip(&mut reader)? },
        (2, 1) => Content::StationType,
        (2, 2) => Content::Name,
        (2, 3) => Content::Id { vendor: reader.be16()?, device: reader.be16()? },
        (2, 4) => Content::Role(reader.u8()?),
        (2, 6) => Content::Alias,
        (2, 7) => Content::Instance(reader.be16()?),
        (5, 4) => {
            reader.skip(2)?;
            Content::Error(reader.u8()?)
        }
        _ => Content::Other,
    })
}

/// How an order ended (clause 4.3.1.4.14), `None` for well.
pub(super) const fn error(code: u8) -> Option<&'static str> {
    match code {
        0 => None,
        1 => Some("option-unsupported"),
        2 => Some("suboption-unsupported"),
        3 => Some("suboption-not-set"),
        4 => Some("resource-error"),
        5 => Some("set-not-possible"),
        6 => Some("set-not-possible-in-operation"),
        _ => Some("unknown"),
    }
}
