//! The blocks of context management (IEC 61158-6-10 clause 5.2).

use model::MacAddr;
use serde::Serialize;

use crate::proto::industrial::text;
use crate::proto::{Reader, Short};

/// More blocks than this in one call are not read.
const MAX_BLOCKS: usize = 128;

/// Types of block (clause 5.2.1.1). Answers have the upper bit set.
mod kind {
    pub(super) const WRITE: u16 = 0x0008;
    pub(super) const READ: u16 = 0x0009;
    pub(super) const IM0: u16 = 0x0020;
    pub(super) const IM1: u16 = 0x0021;
    pub(super) const IM3: u16 = 0x0023;
    pub(super) const AR: u16 = 0x0101;
    pub(super) const CONTROL_FIRST: u16 = 0x0110;
    pub(super) const CONTROL_LAST: u16 = 0x0118;
    pub(super) const AR_SERVER: u16 = 0x0106;
    pub(super) const ANSWER: u16 = 0x8000;
    pub(super) const MODULE_DIFFERENCE: u16 = 0x8104;
}

/// Whether a record is one of identification and maintenance (clause 5.2.14).
pub(super) const fn is_identity(index: u16) -> bool {
    matches!(index, 0xaff0..=0xafff | 0xf840)
}

/// What the device or a module of it is.
#[derive(Default, Serialize)]
pub(super) struct Identity {
    pub(super) maker_id: Option<u16>,
    pub(super) order: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) hardware: Option<u16>,
    pub(super) software: Option<String>,
    pub(super) function: Option<String>,
    pub(super) location: Option<String>,
    pub(super) descriptor: Option<String>,
}

/// What the blocks of a call say.
#[derive(Default, Serialize)]
pub(super) struct Blocks {
    pub(super) ar_type: Option<u16>,
    session: Option<u16>,
    /// The name of the station that connects.
    pub(super) initiator: Option<String>,
    initiator_mac: Option<MacAddr>,
    responder_mac: Option<MacAddr>,
    /// The name of the device that answers.
    pub(super) device_name: Option<String>,
    pub(super) command: Option<&'static str>,
    pub(super) api: Option<u32>,
    pub(super) slot: Option<u16>,
    pub(super) subslot: Option<u16>,
    pub(super) index: Option<u16>,
    record_length: Option<u32>,
    /// The modules of the device are not those that the controller expects.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    modules_differ: bool,
    #[serde(flatten)]
    pub(super) identity: Option<Identity>,
    /// Further records that one call writes.
    #[serde(skip_serializing_if = "is_zero")]
    more_records: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(value: &u16) -> bool {
    *value == 0
}

impl Blocks {
    pub(super) fn read(&mut self, mut reader: Reader<'_>) -> Result<(), Short> {
        for _ in 0..MAX_BLOCKS {
            if reader.left() < 6 {
                break;
            }
            let (kind, length) = (reader.be16()?, reader.be16()?);
            let mut body = Reader::new(reader.take(length.into())?);
            body.skip(2)?;
            let written = self.block(kind, body)?;
            // The data of a write follow its block, and those of a record that is not itself blocks are
            // passed over.
            if written > 0 && reader.left() >= 4 {
                let data = Reader::new(reader.rest().get(..written).ok_or(Short)?);
                if !self.is_blocks(data) {
                    reader.skip(written)?;
                    // Of several writes in one, each begins at a multiple of four bytes.
                    let filling = written.wrapping_neg() % 4;
                    if reader.left() > filling {
                        reader.skip(filling)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a record holds blocks that are worth reading: identification, or several writes.
    fn is_blocks(&self, mut data: Reader<'_>) -> bool {
        let several_writes = self.index == Some(0xe040);
        several_writes
            || matches!(data.be16(), Ok(kind::IM0..=kind::IM3)) && self.index.is_some_and(is_identity)
    }

    /// One block; returns how many bytes of record data follow it.
    fn block(&mut self, kind: u16, mut body: Reader<'_>) -> Result<usize, Short> {
        match kind {
            kind::AR => {
                self.ar_type = Some(body.be16()?);
                body.skip(16)?;
                self.session = Some(body.be16()?);
                self.initiator_mac = Some(MacAddr(body.array()?));
                // Object, properties, timeout and port.
                body.skip(16 + 4 + 2 + 2)?;
                let length = body.be16()?;
                self.initiator = text(body.take(length.into())?);
            }
            answer if answer == kind::AR | kind::ANSWER => {
                self.ar_type = Some(body.be16()?);
                body.skip(16)?;
                self.session = Some(body.be16()?);
                self.responder_mac = Some(MacAddr(body.array()?));
            }
            answer if answer == kind::AR_SERVER | kind::ANSWER => {
                let length = body.be16()?;
                self.device_name = text(body.take(length.into())?);
            }
            kind::MODULE_DIFFERENCE => self.modules_differ = true,
            kind::CONTROL_FIRST..=kind::CONTROL_LAST => {
                // Reserved, relationship, session, reserved.
                body.skip(2 + 16 + 2 + 2)?;
                self.command = command(body.be16()?);
            }
            kind::READ | kind::WRITE => return self.record(kind, body),
            answer if answer == kind::READ | kind::ANSWER => {
                return self.record(kind::WRITE, body);
            }
            answer if answer == kind::WRITE | kind::ANSWER => {
                self.record(kind::READ, body)?;
            }
            kind::IM0 => {
                let identity = self.identity.get_or_insert_default();
                identity.maker_id = Some(body.be16()?);
                identity.order = text(body.take(20)?);
                identity.serial = text(body.take(16)?);
                identity.hardware = Some(body.be16()?);
                let [prefix, function, fix, internal] = body.array()?;
                if prefix.is_ascii_uppercase() {
                    identity.software = Some(format!("{}{function}.{fix}.{internal}", char::from(prefix)));
                }
            }
            kind::IM1 => {
                let identity = self.identity.get_or_insert_default();
                identity.function = text(body.take(32)?);
                identity.location = text(body.take(22)?);
            }
            kind::IM3 => {
                self.identity.get_or_insert_default().descriptor = text(body.rest());
            }
            _ => {}
        }
        Ok(0)
    }

    /// Which record is read or written. Data follow what writes and what answers a read.
    fn record(&mut self, kind: u16, mut body: Reader<'_>) -> Result<usize, Short> {
        // Sequence number and relationship.
        body.skip(2 + 16)?;
        let (api, slot, subslot) = (body.be32()?, body.be16()?, body.be16()?);
        body.skip(2)?;
        let (index, length) = (body.be16()?, body.be32()?);
        if self.index.is_some() {
            self.more_records = self.more_records.saturating_add(1);
        }
        // Several writes in one are told by the first of them.
        if self.index.is_none_or(|index| index == 0xe040) {
            (self.api, self.slot, self.subslot) = (Some(api), Some(slot), Some(subslot));
            (self.index, self.record_length) = (Some(index), Some(length));
        }
        let several = index == 0xe040;
        Ok(if kind == kind::WRITE && !several { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 })
    }
}

/// The command of a control block (clause 5.2.3.7), by its lowest bit that says one.
const fn command(bits: u16) -> Option<&'static str> {
    Some(match bits.trailing_zeros() {
        0 => "end-of-parameters",
        1 => "application-ready",
        2 => "release",
        3 => "done",
        4 => "ready-for-companion",
        5 => "ready-for-real-time-class-3",
        6 => "begin-of-parameters",
        _ => return None,
    })
}
