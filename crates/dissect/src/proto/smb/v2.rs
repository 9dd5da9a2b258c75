//! Versions 2 and 3 (MS-SMB2).

use super::opens::How;
use super::{Negotiate, Negotiated, Smb, tree_connect, wide};
use crate::proto::tls::hex;
use crate::proto::{Emit, Reader, Short};
use model::{Attribute, Confidence, Side};

const NEGOTIATE: u8 = 0;
const SESSION_SETUP: u8 = 1;
const TREE_CONNECT: u8 = 3;
const CREATE: u8 = 5;

/// Set in answers (clause 2.2.1).
const ANSWER: u32 = 1;

/// The server insists on signatures (clause 2.2.4).
const SIGNING_REQUIRED: u16 = 2;

/// Dialects of one negotiation beyond these are left out.
const MAX_DIALECTS: usize = 16;

pub(super) const fn is_interesting(command: u8) -> bool {
    matches!(command, NEGOTIATE | SESSION_SETUP | TREE_CONNECT | CREATE)
}

/// Reads a message whose command is one of those above. Of a chain of messages the first is read.
pub(super) fn message(smb: &mut Smb, from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(message);
    reader.skip(8)?; // protocol, structure size, credit charge
    let status = reader.le32()?;
    let command = reader.u8()?;
    reader.skip(3)?; // rest of command, credits
    let answer = reader.le32()? & ANSWER != 0;
    reader.skip(4)?; // next command
    let id = reader.le64()?;
    reader.skip(4)?; // process
    let tree = reader.le32()?;
    reader.skip(24)?; // session, signature
    let failed = answer && status != super::SUCCESS;
    match (command, answer) {
        (NEGOTIATE, false) => negotiate(from, &mut reader, out)?,
        (NEGOTIATE, true) if !failed => negotiated(from, &mut reader, out)?,
        (SESSION_SETUP, false) => {
            reader.skip(12)?; // structure size, flags, mode, capabilities, channel
            smb.token(from, buffer(message, &mut reader)?, out);
        }
        (SESSION_SETUP, true) => {
            if status == super::SUCCESS || status == super::MORE_PROCESSING {
                reader.skip(4)?; // structure size, flags
                smb.token(from, buffer(message, &mut reader)?, out);
            }
            smb.session(status, out);
        }
        (TREE_CONNECT, false) => {
            reader.skip(4)?; // structure size, flags
            let path = wide(buffer(message, &mut reader)?);
            tree_connect(&path, out);
            smb.opens.share(id, &path, out);
        }
        // Clause 2.2.13: options follow the disposition.
        (CREATE, false) => {
            reader.skip(24)?; // structure size, flags, level of lock and impersonation
            let access = reader.le32()?;
            reader.skip(8)?; // attributes, sharing
            let disposition = reader.le32()?;
            reader.skip(4)?;
            let name = wide(buffer(message, &mut reader)?);
            smb.opens.open(id, tree, &name, How { access, disposition }, out);
        }
        (TREE_CONNECT | CREATE, true) if status != super::PENDING => {
            smb.opens.answered(id, !failed, tree, out);
        }
        _ => {}
    }
    Ok(())
}

/// Bytes whose place, counted from the beginning of the message, and length stand next.
fn buffer<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let (offset, length) = (usize::from(reader.le16()?), usize::from(reader.le16()?));
    message.get(offset..offset + length).ok_or(Short)
}

/// Clause 2.2.3.
fn negotiate(from: Side, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    reader.skip(2)?; // structure size
    let count = usize::from(reader.le16()?);
    reader.skip(32)?; // mode, capabilities, client's identifier, contexts
    let mut dialects = Vec::new();
    for _ in 0..count.min(MAX_DIALECTS) {
        dialects.push(dialect(reader.le16()?).into());
    }
    out.message(from, "negotiate", &Negotiate { dialects });
    Ok(())
}

/// Clause 2.2.4.
fn negotiated(from: Side, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    reader.skip(2)?; // structure size
    let mode = reader.le16()?;
    let chosen = reader.le16()?;
    reader.skip(2)?; // count of contexts
    let server = guid(reader.array()?);
    out.fact(from, Attribute::Identifier, &server, "smb.server-guid", Confidence::STRONG);
    let message = Negotiated {
        dialect: dialect(chosen).into(),
        server: Some(&server),
        signing_required: Some(mode & SIGNING_REQUIRED != 0),
    };
    out.message(from, "negotiated", &message);
    Ok(())
}

/// A dialect's name: its digits are those of the version.
fn dialect(code: u16) -> String {
    match code {
        0x02ff => "2.???".to_owned(),
        _ if code & 0xf == 0 => format!("{:x}.{:x}", code >> 8, code >> 4 & 0xf),
        _ => format!("{:x}.{:x}.{:x}", code >> 8, code >> 4 & 0xf, code & 0xf),
    }
}

/// The usual form of a globally unique identifier, whose first three parts are little-endian (MS-DTYP
/// clause 2.3.4).
fn guid([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> String {
    let (i, j) = rest.split_at(2);
    format!("{}-{}-{}-{}-{}", hex(&[d, c, b, a]), hex(&[f, e]), hex(&[h, g]), hex(i), hex(j))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_and_identifiers_have_their_usual_form() {
        assert_eq!(
            [0x0202, 0x0210, 0x0300, 0x0311, 0x02ff].map(dialect),
            ["2.0.2", "2.1", "3.0", "3.1.1", "2.???"]
        );
        let bytes =
            [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(guid(bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
