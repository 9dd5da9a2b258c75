//! Mailboxes: what does not fit the cycle (IEC 61158-4-12 clause 5.6).

use model::{OperationKind, Value};
use serde::Serialize;

use crate::proto::industrial::{Hex, text};
use crate::proto::{Reader, Short};

/// The length of a mailbox's header.
const HEADER: usize = 6;
/// The longest name of a file that is shown.
const MAX_NAME: usize = 128;

/// A mailbox.
#[derive(Clone, Serialize)]
pub(super) struct Mailbox<'a> {
    mailbox: &'static str,
    service: Option<&'static str>,
    object: Option<u16>,
    sub_object: Option<u8>,
    value: Option<Hex<'a>>,
    file: Option<String>,
}

impl<'a> Mailbox<'a> {
    /// A mailbox, if `data` can be one: its length fits, its kind is known and its body is as it must be.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        Self::checked(data).ok().flatten()
    }

    fn checked(data: &'a [u8]) -> Result<Option<Self>, Short> {
        let mut reader = Reader::new(data);
        let length = usize::from(reader.le16()?);
        reader.skip(3)?;
        let kind = reader.u8()?;
        let mut mailbox = Self {
            mailbox: match kind & 0x0f {
                1 => "aoe",
                2 => "eoe",
                3 => "coe",
                4 => "foe",
                5 => "soe",
                _ => return Ok(None),
            },
            service: None,
            object: None,
            sub_object: None,
            value: None,
            file: None,
        };
        // The last bit is reserved; an empty mailbox is read as zeros.
        if kind & 0x80 != 0 || length == 0 || length + HEADER > data.len() {
            return Ok(None);
        }
        let body = Reader::new(reader.take(length)?);
        match kind & 0x0f {
            3 => mailbox.object(body)?,
            4 => mailbox.file(body)?,
            _ => {}
        }
        Ok(Some(mailbox))
    }

    /// CANopen over EtherCAT (IEC 61158-6-12 clause 5.6.1; CiA 301 clause 7.2.4 for the commands).
    fn object(&mut self, mut body: Reader<'a>) -> Result<(), Short> {
        let service = body.le16()? >> 12;
        self.service = Some(match service {
            1 => "emergency",
            2 | 3 => {
                let command = body.u8()?;
                self.object = Some(body.le16()?);
                self.sub_object = Some(body.u8()?);
                self.value = Some(Hex(body.rest()));
                match (service, command >> 5) {
                    (_, 4) => "abort",
                    (2, 1) => "download-request",
                    (2, 2) => "upload-request",
                    (3, 3) => "download-response",
                    (3, 2) => "upload-response",
                    _ => "segment",
                }
            }
            4..=7 => "process-data",
            8 => "object-information",
            _ => "unknown",
        });
        Ok(())
    }

    /// Files over EtherCAT (IEC 61158-6-12 clause 5.7).
    fn file(&mut self, mut body: Reader<'a>) -> Result<(), Short> {
        let code = body.u8()?;
        body.skip(5)?;
        self.service = Some(match code {
            1 => "read-file",
            2 => "write-file",
            3 => "data",
            4 => "acknowledge",
            5 => "error",
            6 => "busy",
            _ => "unknown",
        });
        if matches!(code, 1 | 2) {
            let name = body.rest();
            self.file = text(name.get(..MAX_NAME).unwrap_or(name));
        }
        Ok(())
    }

    /// What is asked of the device: kind, name, what it is done to, and what is written.
    pub(super) fn order(&self) -> Option<(OperationKind, &'static str, String, Option<Value>)> {
        match (self.mailbox, self.service?) {
            ("coe", "download-request") => {
                let object = format!("object {:#06x}:{}", self.object?, self.sub_object?);
                let value = self.value.map(|value| Value::Text(hex(value.0).into()));
                Some((OperationKind::Write, "object-download", object, value))
            }
            ("foe", "write-file") => {
                let file = format!("file {}", self.file.as_deref().unwrap_or("?"));
                Some((OperationKind::FirmwareUpdate, "file-write", file, None))
            }
            ("foe", "read-file") => {
                let file = format!("file {}", self.file.as_deref().unwrap_or("?"));
                Some((OperationKind::TransferFile, "file-read", file, None))
            }
            _ => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const MOST: usize = 32;
    crate::proto::show::Hex(bytes.get(..MOST).unwrap_or(bytes)).to_string()
}
