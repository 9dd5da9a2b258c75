//! UMAS, with which Schneider's tools program Modicon controllers: function 90 of Modbus.
//!
//! A request is a session key, a code and data; a response a session key, a result and data. The
//! protocol is not published; codes and the layout of the identification are those seen on the wire.

use model::{Attribute, Confidence, OperationKind, Role, Side};
use serde::Serialize;

use super::body::Fault;
use crate::proto::industrial::{Hex, text};
use crate::proto::{Emit, Reader, Short};

/// The Modbus function that carries UMAS.
pub(super) const FUNCTION: u8 = 90;

/// The result that means done.
const DONE: u8 = 0xfe;

/// The request for what the controller is.
const READ_ID: u8 = 0x02;

/// A UMAS request or response.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Umas<'a> {
    session: u8,
    umas_function: &'static str,
    #[serde(rename = "umas-code")]
    pub(super) code: u8,
    umas_data: Option<Hex<'a>>,
}

impl Umas<'_> {
    /// For a response: whether it refuses.
    pub(super) const fn refuses(&self) -> bool {
        self.code != DONE
    }
}

fn read<'a>(reader: &mut Reader<'a>, name: fn(u8) -> &'static str) -> Result<Umas<'a>, Fault> {
    let (session, code) = (reader.u8()?, reader.u8()?);
    let data = reader.take(reader.left())?;
    let umas_data = (!data.is_empty()).then_some(Hex(data));
    Ok(Umas { session, umas_function: name(code), code, umas_data })
}

pub(super) fn request<'a>(reader: &mut Reader<'a>) -> Result<Umas<'a>, Fault> {
    read(reader, name)
}

pub(super) fn response<'a>(reader: &mut Reader<'a>) -> Result<Umas<'a>, Fault> {
    read(reader, |code| match code {
        DONE => "done",
        0xfd => "error",
        _ => "unknown",
    })
}

/// The name of a code.
pub(super) const fn name(code: u8) -> &'static str {
    match code {
        0x01 => "init-comm",
        READ_ID => "read-id",
        0x03 => "read-project-info",
        0x04 => "read-plc-info",
        0x06 => "read-card-info",
        0x0a => "repeat",
        0x10 => "take-plc-reservation",
        0x11 => "release-plc-reservation",
        0x12 => "keep-alive",
        0x20 => "read-memory-block",
        0x21 => "write-memory-block",
        0x22 => "read-variables",
        0x23 => "write-variables",
        0x24 => "read-coils-registers",
        0x25 => "write-coils-registers",
        0x30 => "initialize-upload",
        0x31 => "upload-block",
        0x32 => "end-strategy-upload",
        0x33 => "initialize-download",
        0x34 => "download-block",
        0x35 => "end-strategy-download",
        0x39 => "read-ethernet-master-data",
        0x40 => "start-plc",
        0x41 => "stop-plc",
        0x50 => "monitor-plc",
        0x58 => "check-plc",
        0x70 => "read-io-object",
        0x71 => "write-io-object",
        0x73 => "get-status-module",
        _ => "unknown",
    }
}

/// What kind of operation a code is. Schneider counts up and down from the tool's side: "upload" goes
/// from the engineering station into the controller.
pub(super) const fn operation(code: u8) -> OperationKind {
    match code {
        0x01..=0x06 => OperationKind::Identify,
        0x10 | 0x11 => OperationKind::Authenticate,
        0x21 | 0x23 | 0x25 | 0x71 => OperationKind::Write,
        0x30..=0x32 => OperationKind::ProgramDownload,
        0x33..=0x35 => OperationKind::ProgramUpload,
        0x40 => OperationKind::Start,
        0x41 => OperationKind::Stop,
        0x20 | 0x22 | 0x24 | 0x39 | 0x70 => OperationKind::Read,
        _ => OperationKind::Diagnose,
    }
}

/// What an answer says about the controller: who speaks UMAS is one, and is Schneider's.
pub(super) fn learn(from: Side, answer: &Umas<'_>, asked: u8, out: &mut Emit<'_>) {
    out.role(from, Role::Plc, "modbus.umas", Confidence::STRONG);
    out.fact(from, Attribute::Vendor, "Schneider Electric", "modbus.umas", Confidence::STRONG);
    if let (READ_ID, false, Some(Hex(data))) = (asked, answer.refuses(), answer.umas_data) {
        let _ = identity(from, data, out);
    }
}

/// The answer to [`READ_ID`]: hardware identifiers, at 8 the firmware version as two BCD bytes, least
/// significant first, at 22 the length and text of the module's name.
fn identity(from: Side, data: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(data);
    reader.skip(8)?;
    let version = reader.le16()?;
    reader.skip(12)?;
    let length = reader.u8()?;
    let name = reader.take(length.into())?;
    if let Some(name) = text(name) {
        out.fact(from, Attribute::Model, name, "modbus.umas.read-id", Confidence::CERTAIN);
        let version = format!("{:x}.{:02x}", version >> 8, version & 0xff);
        out.fact(from, Attribute::Firmware, version, "modbus.umas.read-id", Confidence::CERTAIN);
    }
    Ok(())
}

/// Whether a code moves one block of many of a program: told once, like a poll.
pub(super) const fn is_block(code: u8) -> bool {
    matches!(code, 0x31 | 0x34)
}
