//! Version 1 (MS-CIFS, MS-SMB), which should be gone and is not.

use model::{Attribute, Confidence, Side};
use serde::Serialize;

use super::opens::How;
use super::{Negotiate, Negotiated, Smb, narrow, tree_connect, wide};
use crate::proto::{Emit, Reader, Short};

const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP: u8 = 0x73;
const TREE_CONNECT: u8 = 0x75;
const CREATE: u8 = 0xa2;

/// Set in answers (MS-CIFS clause 2.2.3.1).
const ANSWER: u8 = 0x80;

/// Text is of two-byte letters.
const UNICODE: u16 = 0x8000;

/// Dialects of one negotiation beyond these are left out.
const MAX_DIALECTS: usize = 16;

pub(super) const fn is_interesting(command: u8) -> bool {
    matches!(command, NEGOTIATE | SESSION_SETUP | TREE_CONNECT | CREATE)
}

#[derive(Serialize)]
struct Native<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    system: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    manager: &'a str,
}

/// Text in the bytes of a message.
struct Texts<'a> {
    reader: Reader<'a>,
    unicode: bool,
}

impl Texts<'_> {
    fn next(&mut self) -> String {
        // Two-byte letters stand at even places (MS-CIFS clause 2.2.1.1.2).
        if self.unicode && self.reader.position() % 2 == 1 {
            let _ = self.reader.u8();
        }
        let rest = self.reader.rest();
        let (text, length) = if self.unicode {
            let letters = rest.chunks_exact(2).position(|pair| pair == [0, 0]);
            (wide(rest), letters.map_or(rest.len(), |letters| 2 * letters + 2))
        } else {
            let letters = rest.iter().position(|byte| *byte == 0);
            (narrow(rest), letters.map_or(rest.len(), |letters| letters + 1))
        };
        let _ = self.reader.skip(length);
        text
    }
}

/// Reads a message whose command is one of those above.
pub(super) fn message(smb: &mut Smb, from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(message);
    reader.skip(4)?; // protocol
    let command = reader.u8()?;
    let status = reader.le32()?;
    let answer = reader.u8()? & ANSWER != 0;
    let unicode = reader.le16()? & UNICODE != 0;
    reader.skip(12)?; // process, signature, reserved
    let tree = reader.le16()?;
    reader.skip(4)?; // process, user
    let id = reader.le16()?;
    let count = reader.u8()?;
    let words = reader.take(2 * usize::from(count))?;
    let length = usize::from(reader.le16()?);
    let word = |at: usize| words.get(2 * at..).and_then(|rest| Reader::new(rest).le16().ok()).ok_or(Short);
    if reader.left() < length {
        return Err(Short);
    }
    match (command, answer, count) {
        (NEGOTIATE, false, _) => {
            // Each dialect stands after a byte 2 and before a byte 0 (MS-CIFS clause 2.2.4.52.1).
            let list = reader.take(length)?;
            let names = list.split(|byte| *byte == 0).filter_map(|name| name.strip_prefix(&[2]));
            smb.dialects = names.take(MAX_DIALECTS).map(|name| narrow(name).into()).collect();
            if out.wants_messages() {
                let dialects = smb.dialects.iter().map(|name| (&**name).into()).collect();
                out.message(from, "negotiate", &Negotiate { dialects });
            }
        }
        (NEGOTIATE, true, 1..) => {
            let dialect = smb.dialects.get(usize::from(word(0)?)).map_or("none", |name| name);
            let message = Negotiated { dialect: dialect.into(), server: None, signing_required: None };
            out.message(from, "negotiated", &message);
        }
        // With and without a security token (MS-SMB clause 2.2.4.6.1, MS-CIFS clause 2.2.4.53.1).
        (SESSION_SETUP, false, 12) => {
            smb.token(from, reader.take(usize::from(word(7)?))?, out);
            native(from, &mut Texts { reader, unicode }, out);
        }
        (SESSION_SETUP, false, 13) => {
            reader.skip(usize::from(word(7)?) + usize::from(word(8)?))?; // passwords
            let mut texts = Texts { reader, unicode };
            let (user, domain) = (texts.next(), texts.next());
            smb.user = Some(if domain.is_empty() { user } else { format!("{domain}\\{user}") }.into());
            native(from, &mut texts, out);
        }
        (SESSION_SETUP, true, _) => {
            if count == 4 {
                smb.token(from, reader.take(usize::from(word(3)?))?, out);
            }
            if count >= 3 {
                native(from, &mut Texts { reader, unicode }, out);
            }
            smb.session(status, out);
        }
        // MS-CIFS clause 2.2.4.55.1.
        (TREE_CONNECT, false, 4) => {
            reader.skip(usize::from(word(3)?))?; // password
            let path = Texts { reader, unicode }.next();
            tree_connect(&path, out);
            smb.opens.share(id.into(), &path, out);
        }
        // MS-CIFS clause 2.2.4.64.1.
        (CREATE, false, 24) => {
            let mut fields = Reader::new(words);
            fields.skip(15)?; // the next command, length of the name, flags, the folder
            let access = fields.le32()?;
            fields.skip(16)?; // size, attributes, sharing
            let how = How { access, disposition: fields.le32()? };
            smb.opens.open(id.into(), tree.into(), &Texts { reader, unicode }.next(), how, out);
        }
        (TREE_CONNECT | CREATE, true, _) => {
            smb.opens.answered(id.into(), status == super::SUCCESS, tree.into(), out);
        }
        _ => {}
    }
    Ok(())
}

/// The operating system and the LAN manager of a side, in its own words.
fn native(from: Side, texts: &mut Texts<'_>, out: &mut Emit<'_>) {
    let (system, manager) = (texts.next(), texts.next());
    // Samba says "Unix" or what Windows it pretends to be: then its version tells more.
    if manager.starts_with("Samba") {
        out.fact(from, Attribute::Software, &manager, "smb.native-lan-manager", Confidence::STRONG);
    } else {
        out.fact(from, Attribute::OperatingSystem, &system, "smb.native-os", Confidence::STRONG);
    }
    out.message(from, "native", &Native { system: &system, manager: &manager });
}
