//! AMQP 0-9-1 and 1.0: the protocol header, and how the peers of 0-9-1 introduce themselves.

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::text::clean;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// AMQP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "amqp",
    name: "Advanced Message Queuing Protocol",
    spec: "AMQP 0-9-1, OASIS AMQP 1.0",
    carriers: &[Carrier::Tcp(&[5672])],
    probe,
    start: || Box::new(Amqp::default()),
};

/// Bytes of a frame that are looked at; longer ones are skipped.
const MAX_FRAME: usize = 16 * 1024;

/// Fields of a table that are read.
const MAX_FIELDS: usize = 32;

/// Bytes of a text that are told.
const MAX_VALUE: usize = 128;

/// Bytes of the protocol header: `AMQP` and four numbers.
const HEADER: usize = 8;

/// The protocol header (AMQP 0-9-1 clause 4.2.2, AMQP 1.0 clause 2.2).
fn probe(opening: &Opening<'_>) -> Verdict {
    const MARK: &[u8] = b"AMQP";
    let bytes = opening.bytes;
    let common = bytes.len().min(MARK.len());
    if !opening.stream || common == 0 || bytes[..common] != MARK[..common] {
        return Verdict::No;
    }
    match bytes.get(MARK.len()..HEADER) {
        None => Verdict::More,
        Some([0, 0, 9, 0 | 1] | [0 | 2 | 3, 1, 0, 0] | [1, 1, 0 | 8 | 9, 0..=10]) => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ProtocolHeader {
    protocol_id: u8,
    major: u8,
    minor: u8,
    revision: u8,
}

/// Start and Start-Ok: who speaks (AMQP 0-9-1 clause 1.4.2.1 and 1.4.2.2 of the method reference).
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Introduction {
    product: Option<String>,
    version: Option<String>,
    platform: Option<String>,
    /// The mechanisms that are offered, or the one that is used.
    mechanism: Option<String>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Amqp {
    /// Both sides may send a protocol header; frames of 0-9-1 follow the client's.
    framed: bool,
    answered: bool,
}

impl Parser for Amqp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0_usize;
        while at < input.bytes.len() {
            let bytes = &input.bytes[at..];
            if bytes.starts_with(b"AMQP") {
                let Some([.., protocol_id, major, minor, revision]) = bytes.get(..HEADER) else { break };
                let header = ProtocolHeader {
                    protocol_id: *protocol_id,
                    major: *major,
                    minor: *minor,
                    revision: *revision,
                };
                out.message(input.from, "protocol-header", &header);
                out.role(input.from.other(), Role::Broker, "amqp.protocol-header", Confidence::LIKELY);
                if *major != 0 || *minor != 9 {
                    // Of version 1.0 only the name is told.
                    return Progress::Enough;
                }
                self.framed = true;
                at += HEADER;
                continue;
            }
            // Clause 4.2.3: type, channel, size, payload, end octet.
            let mut reader = Reader::new(bytes);
            let head =
                |reader: &mut Reader<'_>| Ok::<_, Short>((reader.u8()?, reader.be16()?, reader.be32()?));
            let Ok((kind, channel, size)) = head(&mut reader) else { break };
            if !self.framed || !matches!(kind, 1..=4 | 8) {
                return Progress::Lost("frame-type");
            }
            let whole = 7_usize.saturating_add(size as usize).saturating_add(1);
            if size as usize <= MAX_FRAME {
                let Some(frame) = bytes.get(..whole) else { break };
                if frame.last() != Some(&0xce) {
                    return Progress::Lost("frame-end");
                }
                if kind == 1 && channel == 0 && !self.answered {
                    // A method that is cut short says nothing more; its frame is whole all the same.
                    let _ = self.method(&frame[7..whole - 1], input.from, out);
                }
            }
            if self.answered {
                return Progress::Enough;
            }
            at = at.saturating_add(whole);
        }
        Progress::Took(at)
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        false
    }
}

impl Amqp {
    /// The methods of the class Connection that open it.
    fn method(&mut self, payload: &[u8], from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(payload);
        match (reader.be16()?, reader.be16()?) {
            (10, 10) => {
                reader.skip(2)?;
                let mut introduction = table(&mut reader)?;
                introduction.mechanism = Some(text(long(&mut reader)?));
                tell(&introduction, from, out);
                out.role(from, Role::Broker, "amqp.start", Confidence::STRONG);
                out.message(from, "start", &introduction);
            }
            (10, 11) => {
                let mut introduction = table(&mut reader)?;
                // The response that follows is the secret.
                introduction.mechanism = Some(text(short(&mut reader)?));
                tell(&introduction, from, out);
                out.message(from, "start-ok", &introduction);
            }
            // Tune: the login was accepted. Close: it was not.
            (10, 30) => self.login(from, Outcome::Done, out),
            (10, 50) => self.login(from, Outcome::Refused, out),
            _ => {}
        }
        Ok(())
    }

    fn login(&mut self, from: Side, outcome: Outcome, out: &mut Emit<'_>) {
        self.answered = true;
        out.operation(from.other(), OperationKind::Authenticate, "start-ok", None, None, outcome);
    }
}

fn tell(introduction: &Introduction, from: Side, out: &mut Emit<'_>) {
    if let Some(product) = &introduction.product {
        let version = introduction.version.as_deref().unwrap_or_default();
        out.fact(
            from,
            Attribute::Software,
            format!("{product} {version}"),
            "amqp.product",
            Confidence::STRONG,
        );
    }
}

fn text(bytes: &[u8]) -> String {
    clean(bytes, MAX_VALUE).into_owned()
}

fn short<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.u8()?;
    reader.take(usize::from(length))
}

fn long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.be32()?;
    reader.take(length as usize)
}

/// Reads a table of properties (clause 4.2.5.5): the texts among them that say who speaks.
fn table(reader: &mut Reader<'_>) -> Result<Introduction, Short> {
    let mut fields = Reader::new(long(reader)?);
    let mut introduction = Introduction::default();
    for _ in 0..MAX_FIELDS {
        if fields.is_empty() {
            break;
        }
        let name = short(&mut fields)?;
        match fields.u8()? {
            b'S' => {
                let value = long(&mut fields)?;
                let slot = match name {
                    b"product" => &mut introduction.product,
                    b"version" => &mut introduction.version,
                    b"platform" => &mut introduction.platform,
                    _ => continue,
                };
                *slot = Some(text(value));
            }
            b'F' | b'A' | b'x' => drop(long(&mut fields)?),
            b't' | b'b' | b'B' => fields.skip(1)?,
            b's' | b'u' | b'U' => fields.skip(2)?,
            b'I' | b'i' | b'f' => fields.skip(4)?,
            b'D' => fields.skip(5)?,
            b'l' | b'L' | b'd' | b'T' => fields.skip(8)?,
            b'V' => {}
            _ => break,
        }
    }
    Ok(introduction)
}

#[cfg(test)]
mod tests;
