//! GOOSE: protection relays and bay controllers multicast their state, again and again, and at once when
//! it changes.
//!
//! IEC 61850-8-1 clause 18.1 and annex C (the frame), annex A (the PDU). A publisher counts its changes
//! (`stNum`) and repetitions (`sqNum`); a subscriber believes the highest. Frames carry no proof of
//! origin, so a count that goes back, or jumps from another sender, is worth telling. A repetition is
//! recognised by its counters and costs no memory unless somebody wants messages.

pub(super) mod ber;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Value};
use serde::Serialize;

use self::ber::{Frame, element, number};
use super::industrial::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// GOOSE.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "goose",
    name: "Generic Object Oriented Substation Event",
    spec: "IEC 61850-8-1",
    carriers: &[Carrier::EtherType(0x88b8)],
    probe,
    start: || Box::new(Goose::default()),
};

/// The tag of a GOOSE PDU.
const PDU: u8 = 0x61;
/// So many publications are remembered for each lane; when there are more, the oldest is forgotten and
/// told as new when it is seen again.
const MAX_PUBLICATIONS: usize = 64;
/// So many repetitions in a row may be missed: by those that come late, seconds.
const MAX_MISSED: u32 = 16;
/// A message shows at most so many values.
const MAX_VALUES: usize = 256;
/// Structures in values are entered so deep.
const MAX_DEPTH: usize = 4;

fn probe(opening: &Opening<'_>) -> Verdict {
    ber::probe(opening, PDU)
}

/// A PDU, in the order of the standard.
#[derive(Default, Serialize)]
struct Message<'a> {
    app_id: u16,
    /// Whether the frame says that a test set made it (IEC 61850-8-1 annex C, reserved 1).
    simulated: bool,
    control_block: &'a str,
    time_allowed_to_live_ms: u32,
    data_set: &'a str,
    id: Option<&'a str>,
    /// Seconds since 1970 of the last change.
    changed_s: Option<u32>,
    state_number: u32,
    sequence_number: u32,
    test: bool,
    configuration_revision: u32,
    needs_commissioning: bool,
    entries: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<Shown>,
    #[serde(skip)]
    data: &'a [u8],
}

/// A value of the data set (IEC 61850-8-1 annex A, `Data`).
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Boolean(bool),
    Unsigned(u64),
    Signed(i64),
    Real(f32),
    Other(String),
    Structure(Vec<Shown>),
}

/// A publication that was seen: who publishes, what, and the last state.
#[derive(Clone, Copy)]
struct Publication {
    sender: [u8; 6],
    app_id: u16,
    /// Digest of the control block's name: one sender may publish several under one identifier.
    name: u32,
    state: u32,
    sequence: u32,
    revision: u32,
    /// State and repetition from which it jumped the last time.
    left: Option<(u32, u32)>,
}

#[derive(Default)]
struct Goose {
    publications: VecDeque<Publication>,
}

impl Publication {
    /// Takes what was seen next. States and repetitions of one publisher only go up, unless it begins anew (IEC 61850-8-1
    /// clause 18.1); then it does not come back to where it was. If it does, there are two, or old messages are sent
    /// among the new ones. A recording that is played in a loop jumps and stays there.
    fn follow(&mut self, new: Self) -> News {
        let goes_on = |from: u32| new.sequence > from && new.sequence - from <= MAX_MISSED;
        let is_same = (self.state, self.revision) == (new.state, new.revision);
        // In networks with two paths each frame comes twice, one perhaps late (IEC 62439-3).
        let is_copy = self.left == Some((new.state, new.sequence));
        if is_copy || is_same && self.sequence == new.sequence {
            return News::None;
        }
        let before = (self.state, self.sequence);
        if is_same && goes_on(self.sequence) {
            self.sequence = new.sequence;
            return News::None;
        }
        let has_resumed = self.revision == new.revision
            && self.left.is_some_and(|(state, sequence)| state == new.state && goes_on(sequence));
        *self = Self { left: Some(before), ..new };
        match (has_resumed, is_same) {
            (true, _) => News::Resumed(before.0),
            (false, true) => News::None,
            (false, false) => News::Changed(before.0),
        }
    }
}

/// What a frame is to what was seen of its publication.
enum News {
    /// A repetition.
    None,
    /// It goes on where it was before it jumped; the state until now was this.
    Resumed(u32),
    /// The publication is seen for the first time.
    First,
    /// The state has changed; it was this.
    Changed(u32),
}

impl Parser for Goose {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        match read(input.bytes) {
            Ok(mut message) => self.message(&mut message, input, out),
            Err(Short) if input.cut == 0 => {
                let length = input.bytes.len();
                out.anomaly(input.from, "length", format_args!("a field does not fit {length} bytes"));
            }
            Err(Short) => {}
        }
        Progress::Took(input.bytes.len())
    }
}

impl Goose {
    fn message(&mut self, message: &mut Message<'_>, input: &Input<'_>, out: &mut Emit<'_>) {
        let from = input.from;
        let sender = out.host(from).mac.unwrap_or_default().0;
        let news = self.note(sender, message);
        if out.wants_messages() {
            let mut left = MAX_VALUES;
            message.values = values(message.data, MAX_DEPTH, &mut left);
            out.message(from, if message.test { "test" } else { "state" }, message);
        }
        let (name, state) = (message.control_block, message.state_number);
        match news {
            News::None => return,
            News::Resumed(before) => {
                out.anomaly(
                    from,
                    "two-publishers",
                    format_args!("{name}: state {state} goes on after {before}, and neither began anew"),
                );
                if before == state {
                    return;
                }
            }
            News::First => {
                out.role(from, Role::Ied, "goose.publisher", Confidence::STRONG);
                out.fact(from, Attribute::Identifier, name, "goose.control-block", Confidence::STRONG);
                if let Some(id) = message.id {
                    out.fact(from, Attribute::Label, id, "goose.id", Confidence::LIKELY);
                }
            }
            // After a restart a publisher counts from 1 again.
            News::Changed(before) if state < before && state > 1 => {
                out.anomaly(from, "state-went-back", format_args!("{name}: from {before} to {state}"));
            }
            News::Changed(_) => {}
        }
        let value = Some(Value::Unsigned(state.into()));
        out.operation(from, OperationKind::Publish, "goose", Some(name.into()), value, Outcome::Asked);
    }

    /// Notes the state of a publication.
    fn note(&mut self, sender: [u8; 6], message: &Message<'_>) -> News {
        let name = message
            .control_block
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let new = Publication {
            sender,
            app_id: message.app_id,
            name,
            state: message.state_number,
            sequence: message.sequence_number,
            revision: message.configuration_revision,
            left: None,
        };
        let same =
            |old: &&mut Publication| (old.sender, old.app_id, old.name) == (new.sender, new.app_id, new.name);
        match self.publications.iter_mut().find(same) {
            Some(old) => old.follow(new),
            None => {
                if self.publications.len() == MAX_PUBLICATIONS {
                    self.publications.pop_front();
                }
                self.publications.push_back(new);
                News::First
            }
        }
    }
}

fn read(bytes: &[u8]) -> Result<Message<'_>, Short> {
    let Frame { app_id, simulated, mut pdu } = Frame::read(bytes, PDU)?;
    let mut message = Message { app_id, simulated, ..Message::default() };
    let name = |value| std::str::from_utf8(value).unwrap_or("?");
    let truth = |value: &[u8]| value.iter().any(|byte| *byte != 0);
    while !pdu.is_empty() {
        let (tag, value) = element(&mut pdu)?;
        match tag {
            0x80 => message.control_block = name(value),
            0x81 => message.time_allowed_to_live_ms = number(value).unwrap_or(u32::MAX),
            0x82 => message.data_set = name(value),
            0x83 => message.id = Some(name(value)),
            0x84 => message.changed_s = Reader::new(value).be32().ok(),
            0x85 => message.state_number = number(value).unwrap_or(u32::MAX),
            0x86 => message.sequence_number = number(value).unwrap_or(u32::MAX),
            0x87 => message.test = truth(value),
            0x88 => message.configuration_revision = number(value).unwrap_or(u32::MAX),
            0x89 => message.needs_commissioning = truth(value),
            0x8a => message.entries = number(value).unwrap_or(u32::MAX),
            0xab => message.data = value,
            _ => {}
        }
    }
    Ok(message)
}

/// The values of a data set; what cannot be read ends the list.
fn values(bytes: &[u8], depth: usize, left: &mut usize) -> Vec<Shown> {
    let mut reader = Reader::new(bytes);
    let mut shown = Vec::new();
    while *left > 0
        && let Ok((tag, value)) = element(&mut reader)
    {
        *left -= 1;
        shown.push(match (tag, value) {
            (0xa1 | 0xa2, _) if depth > 0 => Shown::Structure(values(value, depth - 1, left)),
            (0x83, [byte]) => Shown::Boolean(*byte != 0),
            (0x85, [first, ..]) if value.len() <= 8 => {
                let sign = if first & 0x80 == 0 { 0 } else { -1_i64 };
                Shown::Signed(value.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
            }
            (0x86, [_, ..]) if value.len() <= 8 => {
                Shown::Unsigned(value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            // A real of 32 bits has the width of its exponent before it.
            (0x87, [8, a, b, c, d]) => Shown::Real(f32::from_be_bytes([*a, *b, *c, *d])),
            (0x8a, _) => Shown::Other(text(value).unwrap_or_default()),
            _ => Shown::Other(crate::proto::show::Hex(value).to_string()),
        });
    }
    shown
}
