//! The header of a connectionless DCE/RPC call (C706 clause 12.5.1).

use std::fmt::Write;

use crate::proto::{Reader, Short};

/// Kinds of packet (clause 12.6.1).
pub(super) const REQUEST: u8 = 0;
pub(super) const RESPONSE: u8 = 2;

/// Operations of the interfaces of a device and of a controller (IEC 61158-6-10 clause 4.10.3.2).
pub(super) const CONNECT: u16 = 0;
pub(super) const RELEASE: u16 = 1;
pub(super) const READ: u16 = 2;
pub(super) const WRITE: u16 = 3;
pub(super) const CONTROL: u16 = 4;
pub(super) const READ_IMPLICIT: u16 = 5;

/// This version of the protocol is the connectionless one.
const VERSION: u8 = 4;
/// Flag: the call has several fragments.
const FRAGMENT: u8 = 1 << 2;

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// The device.
    Device,
    /// The controller.
    Controller,
    /// A supervisor.
    Supervisor,
    /// A server that holds parameters.
    ParameterServer,
    /// The endpoint mapper of a station.
    Mapper,
    /// Anybody else.
    Other,
}

impl Interface {
    fn of(uuid: [u8; 16]) -> Self {
        /// The interfaces of PROFINET differ in the first four bytes (IEC 61158-6-10 clause 4.10.3.2).
        const PROFINET: [u8; 12] = [0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71, 0x00, 0xa0, 0x24, 0x42, 0xdf, 0x7d];
        /// The endpoint mapper's (C706 appendix O).
        const MAPPER: [u8; 16] =
            [0xe1, 0xaf, 0x83, 0x08, 0x5d, 0x1f, 0x11, 0xc9, 0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa];
        match uuid {
            [0xde, 0xa0, 0x00, number, ref rest @ ..] if *rest == PROFINET => match number {
                1 => Self::Device,
                2 => Self::Controller,
                3 => Self::Supervisor,
                4 => Self::ParameterServer,
                _ => Self::Other,
            },
            MAPPER => Self::Mapper,
            _ => Self::Other,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Controller => "controller",
            Self::Supervisor => "supervisor",
            Self::ParameterServer => "parameter-server",
            Self::Mapper => "endpoint-mapper",
            Self::Other => "unknown",
        }
    }
}

/// What is called: an object's identifier holds instance, device and vendor (IEC 61158-6-10 clause
/// 4.10.3.2.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) instance: u16,
    pub(super) device: u16,
    pub(super) vendor: u16,
}

impl Object {
    const fn of(uuid: [u8; 16]) -> Option<Self> {
        match uuid {
            [0xde, 0xa0, 0, 0, 0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71, i1, i2, d1, d2, v1, v2] => Some(Self {
                instance: u16::from_be_bytes([i1, i2]),
                device: u16::from_be_bytes([d1, d2]),
                vendor: u16::from_be_bytes([v1, v2]),
            }),
            _ => None,
        }
    }
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) kind: u8,
    little: bool,
    pub(super) object: Option<Object>,
    pub(super) interface: Interface,
    pub(super) activity: [u8; 16],
    pub(super) sequence: u32,
    pub(super) operation: u16,
    pub(super) fragment: Option<u16>,
    pub(super) body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let (version, kind, flags) = (reader.u8()?, reader.u8()?, reader.u8()?);
        if version != VERSION || kind > 10 {
            return Err(Short);
        }
        reader.skip(1)?;
        // The upper half of the first byte of the data representation is 1 for least significant first.
        let little = reader.u8()? >> 4 == 1;
        reader.skip(3)?;
        let object = uuid(reader.array()?, little);
        let interface = uuid(reader.array()?, little);
        let activity = uuid(reader.array()?, little);
        let mut call = Self {
            kind,
            little,
            object: Object::of(object),
            interface: Interface::of(interface),
            activity,
            sequence: 0,
            operation: 0,
            fragment: None,
            body: &[],
        };
        // Boot time and version of the interface.
        reader.skip(8)?;
        call.sequence = call.u32(&mut reader)?;
        call.operation = call.u16(&mut reader)?;
        reader.skip(4)?;
        let length = usize::from(call.u16(&mut reader)?);
        let number = call.u16(&mut reader)?;
        call.fragment = (flags & FRAGMENT != 0).then_some(number);
        reader.skip(2)?;
        let rest = reader.rest();
        call.body = rest.get(..length).unwrap_or(rest);
        Ok(call)
    }

    /// Four bytes in the caller's order.
    pub(super) fn u32(&self, reader: &mut Reader<'_>) -> Result<u32, Short> {
        if self.little { reader.le32() } else { reader.be32() }
    }

    fn u16(&self, reader: &mut Reader<'_>) -> Result<u16, Short> {
        if self.little { reader.le16() } else { reader.be16() }
    }

    pub(super) const fn kind_name(&self) -> &'static str {
        match self.kind {
            REQUEST => "request",
            1 => "ping",
            RESPONSE => "response",
            3 => "fault",
            4 => "working",
            5 => "no-call",
            6 => "reject",
            7 => "acknowledge",
            8 => "cancel",
            9 => "fragment-acknowledge",
            _ => "cancel-acknowledge",
        }
    }

    /// The name of the operation.
    pub(super) const fn operation(&self) -> Option<&'static str> {
        Some(match (self.interface, self.operation) {
            (Interface::Mapper, 2) => "lookup",
            (Interface::Mapper, 3) => "map",
            (Interface::Mapper, 4) => "lookup-handle-free",
            (Interface::Mapper, _) => return None,
            (_, CONNECT) => "connect",
            (_, RELEASE) => "release",
            (_, READ) => "read",
            (_, WRITE) => "write",
            (_, CONTROL) => "control",
            (_, READ_IMPLICIT) => "read-implicit",
            _ => return None,
        })
    }
}

/// A UUID with its first three fields most significant byte first, whichever way they came.
const fn uuid(bytes: [u8; 16], little: bool) -> [u8; 16] {
    if !little {
        return bytes;
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// A UUID as text (RFC 9562 clause 4).
pub(super) fn show(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
