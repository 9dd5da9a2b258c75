//! Where parsers put what they find.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::net::IpAddr;
use std::time::Duration;

use model::{
    Attribute, Binding, BindingSource, BusData, Confidence, FlowHead, Host, MacAddr, Name, OperationKind,
    Outcome, Point, Record, Role, Sample, Side, Timestamp, Value,
};
use serde::Serialize;

/// Which things somebody wants. What nobody wants is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Whole messages.
    pub messages: bool,
    /// What tells nothing of who is there, but what they do: process values, frames of buses, lookups of names and
    /// addresses, weaknesses.
    pub judged: bool,
}

/// One thing that a parser found. The flow engine adds the conversation and the time.
#[derive(Clone, Debug, PartialEq)]
pub enum Yield {
    /// A message.
    Message {
        /// Who sent it.
        from: Side,
        /// Which kind.
        kind: Name,
        /// Its fields.
        fields: Record,
    },
    /// Evidence about a host.
    Fact {
        /// The host.
        about: Host,
        /// Which attribute.
        attribute: Attribute,
        /// Its value.
        value: Box<str>,
        /// Protocol and field.
        source: &'static str,
        /// What it is worth.
        confidence: Confidence,
    },
    /// An address belongs to a link-layer address.
    Binding(Binding),
    /// One host asks another to do something.
    Operation {
        /// Who asks.
        from: Side,
        /// What is asked.
        kind: OperationKind,
        /// The protocol's own name for it.
        name: Name,
        /// What it is done to.
        target: Option<Box<str>>,
        /// What is written.
        value: Option<Value>,
        /// How it ended.
        outcome: Outcome,
        /// When it was asked, if that was more than [`LATE`] before it is told.
        asked: Option<Timestamp>,
    },
    /// A data frame of a bus.
    BusFrame {
        /// Its identifier.
        id: u32,
        /// Whether that has 29 bits.
        extended: bool,
        /// What it says.
        data: BusData,
    },
    /// Process values.
    Samples {
        /// Who told them.
        from: Side,
        /// What was read.
        values: Vec<Sample>,
    },
    /// The client was told which addresses a name has.
    Resolved {
        /// The name.
        name: Box<str>,
        /// Its addresses.
        addresses: Vec<IpAddr>,
        /// For how long, in seconds.
        ttl: u32,
    },
    /// Something that the rules of the protocol do not allow.
    Anomaly {
        /// Who sent it.
        from: Side,
        /// What is wrong, without the protocol's name.
        reason: &'static str,
        /// The particulars.
        detail: Box<str>,
    },
    /// A weakness of one side, once for each kind and detail in a conversation.
    Weakness {
        /// Whose it is.
        side: Side,
        /// Which kind, without the protocol's name.
        kind: &'static str,
        /// The particulars.
        detail: Box<str>,
    },
}

/// Evidence that a conversation has already given is not given again.
const FACTS_REMEMBERED: usize = 16;

/// What a conversation's emitter remembers between packets; most conversations give no evidence.
#[derive(Clone, Debug, Default)]
pub struct Told(Option<Box<Facts>>);

#[derive(Clone, Debug, Default)]
struct Facts {
    digests: [u32; FACTS_REMEMBERED],
    next: u8,
}

impl Told {
    /// Whether this is new; it is remembered, and the oldest forgotten.
    fn is_new(&mut self, digest: u32) -> bool {
        let facts = self.0.get_or_insert_default();
        if facts.digests.contains(&digest) {
            return false;
        }
        facts.digests[usize::from(facts.next) % FACTS_REMEMBERED] = digest;
        facts.next = facts.next.wrapping_add(1);
        true
    }
}

/// Text longer than this is cut: evidence and labels, in characters.
pub const MAX_TEXT: usize = 256;

/// Answers mostly come sooner than this; when the operation was asked is then not worth telling.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// Where a parser puts what it finds.
pub struct Emit<'a> {
    flow: &'a FlowHead,
    wants: Wants,
    told: &'a mut Told,
    found: &'a mut Vec<Yield>,
    now: Timestamp,
    asked: Option<Timestamp>,
}

impl<'a> Emit<'a> {
    /// An emitter for one conversation.
    pub const fn new(
        flow: &'a FlowHead,
        wants: Wants,
        told: &'a mut Told,
        found: &'a mut Vec<Yield>,
    ) -> Self {
        Self { flow, wants, told, found, now: Timestamp::EPOCH, asked: None }
    }

    /// The same at this packet time.
    #[must_use]
    pub const fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Packet time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The operation that is told next was asked then, and not now.
    pub const fn asked(&mut self, then: Timestamp) -> &mut Self {
        self.asked = Some(then);
        self
    }

    /// The conversation.
    pub const fn flow(&self) -> &FlowHead {
        self.flow
    }

    /// The host on one side of the conversation.
    pub const fn host(&self, side: Side) -> Host {
        self.flow.endpoint(side).host
    }

    /// Whether anybody wants whole messages; ask before doing work that only a message needs.
    pub const fn wants_messages(&self) -> bool {
        self.wants.messages
    }

    /// A message of the kind `kind`, whose fields are those of `message`.
    pub fn message<M: Serialize + ?Sized>(&mut self, from: Side, kind: &'static str, message: &M) {
        if !self.wants.messages {
            return;
        }
        // A structure that cannot be a record is a mistake in the dissector, found by its tests.
        let fields = Record::from(message);
        debug_assert!(fields.is_ok(), "{kind}: {fields:?}");
        self.found.push(Yield::Message {
            from,
            kind: Cow::Borrowed(kind),
            fields: fields.unwrap_or_default(),
        });
    }

    /// Evidence about the host on `side`. Empty and unprintable text is dropped, long text is cut.
    pub fn fact(
        &mut self,
        side: Side,
        attribute: Attribute,
        value: impl AsRef<str>,
        source: &'static str,
        confidence: Confidence,
    ) {
        self.fact_about(self.host(side), attribute, value, source, confidence);
    }

    /// Evidence that the host on `side` plays a part.
    pub fn role(&mut self, side: Side, role: Role, source: &'static str, confidence: Confidence) {
        self.fact(side, Attribute::Role, role.name(), source, confidence);
    }

    /// Evidence about a host that need not be an end of this conversation.
    pub fn fact_about(
        &mut self,
        about: Host,
        attribute: Attribute,
        value: impl AsRef<str>,
        source: &'static str,
        confidence: Confidence,
    ) {
        let value = value.as_ref().trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if value.is_empty() || !self.told.is_new(digest(&about, attribute, value, source)) {
            return;
        }
        // Nearly all text is short and plain.
        let plain = value.len() <= MAX_TEXT && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        let value: Box<str> = if plain {
            value.into()
        } else {
            let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
            value.chars().take(MAX_TEXT).map(clean).collect::<String>().into()
        };
        self.found.push(Yield::Fact { about, attribute, value, source, confidence });
    }

    /// `ip` belongs to `mac`.
    pub fn binding(&mut self, mac: MacAddr, ip: IpAddr, source: BindingSource) {
        if mac.is_station() && !ip.is_unspecified() && !ip.is_multicast() {
            self.found.push(Yield::Binding(Binding { mac, ip, source }));
        }
    }

    /// `from` asks the other side to do something.
    pub fn operation(
        &mut self,
        from: Side,
        kind: OperationKind,
        name: impl Into<Name>,
        target: Option<Box<str>>,
        value: Option<Value>,
        outcome: Outcome,
    ) {
        let asked = self.asked.take().filter(|asked| self.now.since(*asked) > LATE);
        self.found.push(Yield::Operation { from, kind, name: name.into(), target, value, outcome, asked });
    }

    /// A data frame of a bus.
    pub fn bus_frame(&mut self, id: u32, extended: bool, data: &[u8]) {
        if self.wants.judged {
            self.found.push(Yield::BusFrame { id, extended, data: BusData::new(data) });
        }
    }

    /// Whether anybody judges what is done; ask before doing work that only he needs.
    pub const fn is_judged(&self) -> bool {
        self.wants.judged
    }

    /// `from` told the value of a point; what is no number is no sample. Values that are told one after the other
    /// are told together.
    pub fn sample(&mut self, from: Side, point: Point, value: f64) {
        if !self.wants.judged || !value.is_finite() {
            return;
        }
        let sample = Sample { point, value };
        match self.found.last_mut() {
            Some(Yield::Samples { from: before, values }) if *before == from => values.push(sample),
            _ => self.found.push(Yield::Samples { from, values: vec![sample] }),
        }
    }

    /// The client was told which addresses a name has; told only if there is one.
    pub fn resolved(&mut self, name: Box<str>, addresses: Vec<IpAddr>, ttl: u32) {
        if self.wants.judged && !addresses.is_empty() {
            self.found.push(Yield::Resolved { name, addresses, ttl });
        }
    }

    /// Something in what `from` sent is not allowed. `reason` is a short fixed name such as
    /// `length-mismatch`.
    pub fn anomaly(&mut self, from: Side, reason: &'static str, detail: Arguments<'_>) {
        self.found.push(Yield::Anomaly { from, reason, detail: detail.to_string().into() });
    }

    /// The conversation shows a weakness of the host on `side`: `kind` is a short fixed name such as
    /// `old-version`, `detail` says which and is no secret. Said once in a conversation.
    pub fn weakness(&mut self, side: Side, kind: &'static str, detail: impl AsRef<str>) {
        if !self.wants.judged {
            return;
        }
        let detail = detail.as_ref();
        let mut hash = Digest(side as u64);
        hash.add(kind.as_bytes());
        hash.add(detail.as_bytes());
        if self.told.is_new((hash.0 ^ hash.0 >> 32) as u32 | 1) {
            let detail = detail.chars().take(MAX_TEXT).collect::<String>().into();
            self.found.push(Yield::Weakness { side, kind, detail });
        }
    }
}

/// A digest for telling repeated evidence apart from new; a collision only loses a repetition count.
fn digest(about: &Host, attribute: Attribute, value: &str, source: &str) -> u32 {
    let mut hash = Digest(attribute as u64);
    if let Some(mac) = about.mac {
        hash.add(&mac.0);
    }
    match about.ip {
        Some(IpAddr::V4(ip)) => hash.add(&ip.octets()),
        Some(IpAddr::V6(ip)) => hash.add(&ip.octets()),
        None => {}
    }
    hash.add(value.as_bytes());
    hash.add(source.as_bytes());
    (hash.0 ^ hash.0 >> 32) as u32 | 1
}

/// Multiplies and folds eight bytes at a time, as wyhash does: most packets give evidence that was given
/// before, so this is on their way.
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xe703_7ed1_a0b4_28db;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use model::{Endpoint, FlowId, Reach, Transport};

    use super::*;

    #[test]
    fn operations_say_when_they_were_asked_if_that_was_noticeably_before() {
        let end = Endpoint { host: Host::default(), port: 0 };
        let flow = FlowHead {
            id: FlowId(1),
            transport: Transport::Tcp,
            vlan: None,
            client: end,
            server: end,
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        };
        let wants = Wants { messages: false, judged: false };
        let (mut told, mut found) = (Told::default(), Vec::new());
        let mut out = Emit::new(&flow, wants, &mut told, &mut found).at(Timestamp::from_secs(900));
        for asked in [Some(3), Some(899), Some(900), None] {
            if let Some(asked) = asked {
                out.asked(Timestamp::from_secs(asked));
            }
            out.operation(Side::Client, OperationKind::Restart, "restart", None, None, Outcome::Asked);
        }
        let asked = |found: &Yield| match found {
            Yield::Operation { asked, .. } => *asked,
            _ => None,
        };
        let asked: Vec<_> = found.iter().map(asked).collect();
        assert_eq!(asked, [Some(Timestamp::from_secs(3)), None, None, None]);
    }
}
