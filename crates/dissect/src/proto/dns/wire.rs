//! DNS messages as bytes (RFC 1035 clause 4): shared by DNS, mDNS, LLMNR and NetBIOS name service.
//!
//! [`Message`] holds the header; [`Message::items`] walks questions and records in order, borrowing
//! everything. Names are checked once when they are met: pointers go strictly backwards and are counted,
//! so no message can make a reader loop.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

use crate::proto::show::{Hex, text};
use crate::proto::{Reader, Short};

/// Length of the header, in bytes (RFC 1035 clause 4.1.1).
pub(crate) const HEADER: usize = 12;

/// Longest name, in bytes of its uncompressed form (RFC 1035 clause 2.3.4).
pub(crate) const MAX_NAME: usize = 255;

/// Most compression pointers followed in one name. Encoders need one; a few nest.
pub(crate) const MAX_POINTERS: usize = 32;

/// Most records of one section that a message lists; the section's count is told all the same.
pub(crate) const MAX_LISTED: usize = 100;

/// Why bytes are not a whole DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fewer than twelve bytes.
    Header,
    /// A question or record ends beyond the message.
    Truncated,
    /// A compression pointer does not point backwards, or there are too many.
    NameLoop,
    /// A name is longer than 255 bytes.
    NameLength,
    /// A label has a type that is neither plain nor a pointer.
    LabelType,
    /// The data of a record does not fit its type.
    RecordData,
}

impl Fault {
    /// The fixed name under which it is reported.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Header => "header-truncated",
            Self::Truncated => "message-truncated",
            Self::NameLoop => "name-loop",
            Self::NameLength => "name-too-long",
            Self::LabelType => "label-type",
            Self::RecordData => "record-data",
        }
    }
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}

/// A domain name within a message. It was checked when it was read.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Name<'a> {
    /// Checks the name at `at` and returns it with the place after it.
    pub(crate) fn read(packet: &'a [u8], at: usize) -> Result<(Self, usize), Fault> {
        let (mut place, mut length, mut pointers) = (at, 1, 0);
        // Where the labels that are being read began: a pointer must point before them.
        let mut begun = at;
        let mut end = None;
        loop {
            let first = *packet.get(place).ok_or(Fault::Truncated)?;
            match first >> 6 {
                0 if first == 0 => return Ok((Self { packet, at }, end.unwrap_or(place + 1))),
                0 => {
                    place += 1 + usize::from(first);
                    length += 1 + usize::from(first);
                    if length > MAX_NAME {
                        return Err(Fault::NameLength);
                    }
                }
                3 => {
                    let second = *packet.get(place + 1).ok_or(Fault::Truncated)?;
                    end = end.or(Some(place + 2));
                    let target = usize::from(u16::from_be_bytes([first & 0x3f, second]));
                    pointers += 1;
                    if target >= begun || pointers > MAX_POINTERS {
                        return Err(Fault::NameLoop);
                    }
                    (place, begun) = (target, target);
                }
                _ => return Err(Fault::LabelType),
            }
        }
    }

    /// The labels, from the most particular to the most general.
    pub(crate) fn labels(self) -> Labels<'a> {
        Labels { packet: self.packet, at: self.at, budget: MAX_NAME + MAX_POINTERS }
    }

    /// The first label, empty for the root.
    pub(crate) fn first(self) -> &'a [u8] {
        self.labels().next().unwrap_or_default()
    }

    /// Whether this is the root.
    pub(crate) fn is_root(self) -> bool {
        self.labels().next().is_none()
    }

    /// A digest that ignores the case of letters: [`digest`] of its text where no label has a dot.
    pub(crate) fn digest(self) -> u32 {
        let mut hash = FNV_OFFSET;
        for label in self.labels() {
            for byte in label {
                hash = fnv(hash, byte.to_ascii_lowercase());
            }
            hash = fnv(hash, b'.');
        }
        hash
    }

    /// The name without its first label; the root stays.
    pub(crate) fn parent(self) -> Self {
        let mut labels = self.labels();
        if labels.next().is_none() { self } else { Self { packet: self.packet, at: labels.at } }
    }

    /// The text of [`Name::lower`], made in one piece.
    pub(crate) fn lower_text(self) -> Box<str> {
        let mut text = String::with_capacity(64);
        // Writing to a string does not fail.
        let _ = write!(text, "{}", self.lower());
        text.into()
    }

    /// The name with its letters in lower case, as names are compared and stored.
    pub(crate) const fn lower(self) -> Lower<'a> {
        Lower(self)
    }
}

const FNV_OFFSET: u32 = 0x811c_9dc5;

/// One step of FNV-1a, 32 bits.
const fn fnv(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// What [`Name::digest`] gives for a name in lower case, without a dot at its end.
pub(crate) const fn digest(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (mut hash, mut at) = (FNV_OFFSET, 0);
    while at < bytes.len() {
        hash = fnv(hash, bytes[at]);
        at += 1;
    }
    fnv(hash, b'.')
}

/// Writes a label as text: UTF-8 stands for itself, a dot or backslash within the label is escaped, and
/// what cannot be shown is `\DDD` (RFC 1035 clause 5.1).
fn write_label(f: &mut impl Write, label: &[u8], lower: bool) -> fmt::Result {
    for chunk in label.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '.' | '\\' => write!(f, "\\{c}")?,
                c if c.is_ascii_control() => write!(f, "\\{:03}", c as u32)?,
                c if lower => f.write_char(c.to_ascii_lowercase())?,
                c => f.write_char(c)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\{byte:03}")?;
        }
    }
    Ok(())
}

/// The labels of a name that may lack the root label at its end, as DHCP has them (RFC 4702 clause 2.3.1, RFC
/// 4704 clause 4.2): up to what is no label. None if one is cut short.
pub(crate) fn partial_name(bytes: &[u8]) -> Option<String> {
    let mut shown = String::new();
    let mut reader = Reader::new(bytes);
    while let Ok(length @ 1..=63) = reader.u8() {
        let label = reader.take(length.into()).ok()?;
        if !shown.is_empty() {
            shown.push('.');
        }
        write_label(&mut shown, label, false).ok()?;
    }
    Some(shown)
}

fn write_name(f: &mut fmt::Formatter<'_>, name: Name<'_>, lower: bool) -> fmt::Result {
    if name.is_root() {
        return f.write_char('.');
    }
    for (number, label) in name.labels().enumerate() {
        if number > 0 {
            f.write_char('.')?;
        }
        write_label(f, label, lower)?;
    }
    Ok(())
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, *self, false)
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, *self, false)
    }
}

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name in lower case.
#[derive(Clone, Copy)]
pub(crate) struct Lower<'a>(Name<'a>);

impl fmt::Display for Lower<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, self.0, true)
    }
}

impl Serialize for Lower<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The labels of a name.
#[derive(Clone)]
pub(crate) struct Labels<'a> {
    packet: &'a [u8],
    at: usize,
    /// How many more labels and pointers a checked name can have.
    budget: usize,
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.budget > 0 {
            self.budget -= 1;
            let first = *self.packet.get(self.at)?;
            if first >= 0xc0 {
                let second = *self.packet.get(self.at + 1)?;
                self.at = usize::from(u16::from_be_bytes([first & 0x3f, second]));
                continue;
            }
            if first == 0 {
                return None;
            }
            let label = self.packet.get(self.at + 1..)?.get(..usize::from(first))?;
            self.at += 1 + label.len();
            return Some(label);
        }
        None
    }
}

/// A message's header (RFC 1035 clause 4.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    /// Names the exchange.
    pub(crate) id: u16,
    /// Flags, operation and response codes.
    pub(crate) flags: u16,
    /// How many questions, answers, authority and additional records there are said to be.
    pub(crate) counts: [u16; 4],
}

impl<'a> Message<'a> {
    /// Reads the header of the message that `bytes` are.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let mut word = || reader.be16().map_err(|_| Fault::Header);
        let (id, flags) = (word()?, word()?);
        let counts = [word()?, word()?, word()?, word()?];
        Ok(Self { bytes, id, flags, counts })
    }

    /// Whether it is a response.
    pub(crate) const fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The operation code.
    pub(crate) const fn opcode(self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    /// Authoritative answer.
    pub(crate) const fn aa(self) -> bool {
        self.flags & 0x0400 != 0
    }

    /// Truncated.
    pub(crate) const fn tc(self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Recursion desired.
    pub(crate) const fn rd(self) -> bool {
        self.flags & 0x0100 != 0
    }

    /// Recursion available.
    pub(crate) const fn ra(self) -> bool {
        self.flags & 0x0080 != 0
    }

    /// The last reserved bit, which must be zero (RFC 1035 clause 4.1.1); DNSSEC took the other two.
    pub(crate) const fn z(self) -> bool {
        self.flags & 0x0040 != 0
    }

    /// Authentic data (RFC 4035 clause 3.2.3).
    pub(crate) const fn ad(self) -> bool {
        self.flags & 0x0020 != 0
    }

    /// Checking disabled (RFC 4035 clause 3.2.2).
    pub(crate) const fn cd(self) -> bool {
        self.flags & 0x0010 != 0
    }

    /// The response code in the header, without the extension of EDNS.
    pub(crate) const fn rcode(self) -> u8 {
        (self.flags & 15) as u8
    }

    /// Walks the questions and records.
    pub(crate) const fn items(self) -> Items<'a> {
        Items { bytes: self.bytes, at: HEADER, left: self.counts, failed: false }
    }

    /// The first question, if there is one and it is whole.
    pub(crate) fn question(self) -> Option<Question<'a>> {
        match self.items().next() {
            Some(Ok(Item::Question(question))) => Some(question),
            _ => None,
        }
    }

    /// How well the bytes keep to the form of a message. This is what probes ask; it walks all records.
    pub(crate) fn shape(self) -> Shape {
        // With an opcode that is not assigned, only one plain question makes it likely that it is one.
        if !self.has_known_opcode() && self.counts[0] != 1 || self.counts == [0; 4] {
            return Shape::Not;
        }
        let mut items = self.items();
        let mut seen = 0_u32;
        loop {
            let class = match items.next() {
                Some(Ok(Item::Question(question))) => question.class,
                // The extension record keeps a size where others have their class.
                Some(Ok(Item::Record(_, record))) if record.kind == kind::OPT => 1,
                Some(Ok(Item::Record(_, record))) => record.class,
                Some(Err(_)) if seen > 0 && self.has_known_opcode() => return Shape::Broken,
                Some(Err(_)) => return Shape::Not,
                None => break,
            };
            if !matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) {
                return Shape::Not;
            }
            seen += 1;
        }
        if items.at == self.bytes.len() && !self.z() { Shape::Whole } else { Shape::Broken }
    }

    /// Whether the operation is one that exists: the last so far is 6 (RFC 8490 clause 5.1).
    pub(crate) const fn has_known_opcode(self) -> bool {
        self.opcode() <= 6
    }
}

/// How well bytes keep to the form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not at all.
    Not,
    /// It begins like one, but is cut or has something wrong or left over.
    Broken,
    /// To the last byte.
    Whole,
}

/// The parts of a message after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// Answers.
    Answer,
    /// Authority; in a multicast probe, what is claimed.
    Authority,
    /// Additional records.
    Additional,
}

/// A question (RFC 1035 clause 4.1.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// What is asked about.
    pub(crate) name: Name<'a>,
    /// Which type of record is wanted.
    pub(crate) kind: u16,
    /// Which class; in mDNS the top bit asks for a unicast response.
    pub(crate) class: u16,
}

/// A record (RFC 1035 clause 4.1.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    packet: &'a [u8],
    at: usize,
    /// What it belongs to.
    pub(crate) name: Name<'a>,
    /// Its type.
    pub(crate) kind: u16,
    /// Its class; in mDNS the top bit flushes caches.
    pub(crate) class: u16,
    /// How long it may be kept, in seconds.
    pub(crate) ttl: u32,
    /// Its data, undigested.
    pub(crate) bytes: &'a [u8],
}

/// What stands in a message after its header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    /// A question.
    Question(Question<'a>),
    /// A record.
    Record(Section, Record<'a>),
}

/// Walks the questions and records of a message; after a fault there is no more.
#[derive(Clone)]
pub(crate) struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
    left: [u16; 4],
    failed: bool,
}

impl<'a> Items<'a> {
    fn question(&mut self) -> Result<Item<'a>, Fault> {
        let (name, at) = Name::read(self.bytes, self.at)?;
        let mut reader = Reader::new(self.bytes.get(at..).unwrap_or_default());
        let question = Question { name, kind: reader.be16()?, class: reader.be16()? };
        self.at = at + reader.position();
        Ok(Item::Question(question))
    }

    fn record(&mut self, section: Section) -> Result<Item<'a>, Fault> {
        let (name, at) = Name::read(self.bytes, self.at)?;
        let mut reader = Reader::new(self.bytes.get(at..).unwrap_or_default());
        let (kind, class, ttl) = (reader.be16()?, reader.be16()?, reader.be32()?);
        let length = usize::from(reader.be16()?);
        let data_at = at + reader.position();
        let bytes = reader.take(length)?;
        self.at = data_at + length;
        Ok(Item::Record(section, Record { packet: self.bytes, at: data_at, name, kind, class, ttl, bytes }))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let part = self.left.iter().position(|left| *left > 0)?;
        self.left[part] -= 1;
        let item = match part {
            0 => self.question(),
            1 => self.record(Section::Answer),
            2 => self.record(Section::Authority),
            _ => self.record(Section::Additional),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

/// The data of a record, read by its type.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Data<'a> {
    /// A.
    V4(Ipv4Addr),
    /// AAAA.
    V6(Ipv6Addr),
    /// CNAME, NS, PTR, DNAME.
    Name(Name<'a>),
    /// MX.
    Mx {
        /// Lower is preferred.
        preference: u16,
        /// The mail server.
        exchange: Name<'a>,
    },
    /// TXT: the strings.
    Txt(Vec<Cow<'a, str>>),
    /// SRV (RFC 2782).
    Srv {
        /// Lower is preferred.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// The service's port.
        port: u16,
        /// The host that offers it.
        target: Name<'a>,
    },
    /// SOA.
    Soa {
        /// The primary server.
        mname: Name<'a>,
        /// Who is responsible.
        rname: Name<'a>,
        /// The zone's version.
        serial: u32,
    },
    /// SVCB and HTTPS (RFC 9460).
    Svcb {
        /// 0 for an alias, else lower is preferred.
        priority: u16,
        /// The alternative endpoint.
        target: Name<'a>,
        /// `alpn`, where given.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        alpn: Vec<Cow<'a, str>>,
        /// `port`, where given.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// `ipv4hint`, where given.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ipv4hint: Vec<Ipv4Addr>,
        /// `ipv6hint`, where given.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ipv6hint: Vec<Ipv6Addr>,
        /// Whether encrypted client hello is offered.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        ech: bool,
    },
    /// NAPTR and CAA are rare; these and all else are shown as they stand.
    Other(Hex<'a>),
}

/// Record types that are read here (IANA's registry).
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const NULL: u16 = 10;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const MX: u16 = 15;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const NB: u16 = 32;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const SVCB: u16 = 64;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const ANY: u16 = 255;
}

impl<'a> Record<'a> {
    /// The IPv4 or IPv6 address of an A or AAAA record.
    pub(crate) fn address(&self) -> Option<std::net::IpAddr> {
        match self.kind {
            kind::A => <[u8; 4]>::try_from(self.bytes).ok().map(Into::into),
            kind::AAAA => <[u8; 16]>::try_from(self.bytes).ok().map(Into::into),
            _ => None,
        }
    }

    /// The one name that the data is, checked to end where the data ends.
    pub(crate) fn target(&self) -> Result<Name<'a>, Fault> {
        let skip = if self.kind == kind::SRV { 6 } else { 0 };
        let (name, end) = Name::read(self.packet, self.at + skip)?;
        if end == self.at + self.bytes.len() { Ok(name) } else { Err(Fault::RecordData) }
    }

    /// The strings of a TXT record.
    pub(crate) fn strings(&self) -> Strings<'a> {
        Strings(Reader::new(self.bytes))
    }

    /// Reads the data by the record's type.
    pub(crate) fn data(&self) -> Result<Data<'a>, Fault> {
        let bad = |_: Short| Fault::RecordData;
        let mut reader = Reader::new(self.bytes);
        Ok(match self.kind {
            kind::A => Data::V4(exactly::<4>(self.bytes)?.into()),
            kind::AAAA => Data::V6(exactly::<16>(self.bytes)?.into()),
            kind::NS | kind::CNAME | kind::PTR | kind::DNAME => Data::Name(self.target()?),
            kind::MX => {
                let preference = reader.be16().map_err(bad)?;
                let (exchange, _) = Name::read(self.packet, self.at + 2)?;
                Data::Mx { preference, exchange }
            }
            kind::TXT => Data::Txt(self.strings().map(text).collect()),
            kind::SRV => {
                let (priority, weight) = (reader.be16().map_err(bad)?, reader.be16().map_err(bad)?);
                let port = reader.be16().map_err(bad)?;
                Data::Srv { priority, weight, port, target: self.target()? }
            }
            kind::SOA => {
                let (mname, at) = Name::read(self.packet, self.at)?;
                let (rname, at) = Name::read(self.packet, at)?;
                let mut reader = Reader::new(self.packet.get(at..).unwrap_or_default());
                Data::Soa { mname, rname, serial: reader.be32().map_err(bad)? }
            }
            kind::SVCB | kind::HTTPS => self.svcb()?,
            _ => Data::Other(Hex(self.bytes)),
        })
    }

    /// RFC 9460 clause 2.2.
    fn svcb(&self) -> Result<Data<'a>, Fault> {
        let bad = |_: Short| Fault::RecordData;
        let priority = Reader::new(self.bytes).be16().map_err(bad)?;
        let (target, at) = Name::read(self.packet, self.at + 2)?;
        let parameters = self.bytes.get(at.saturating_sub(self.at)..).ok_or(Fault::RecordData)?;
        let mut reader = Reader::new(parameters);
        let (mut alpn, mut port, mut ech) = (Vec::new(), None, false);
        let (mut ipv4hint, mut ipv6hint) = (Vec::new(), Vec::new());
        while !reader.is_empty() {
            let key = reader.be16().map_err(bad)?;
            let length = reader.be16().map_err(bad)?;
            let value = reader.take(length.into()).map_err(bad)?;
            match key {
                1 => alpn = Strings(Reader::new(value)).map(text).collect(),
                3 => port = Reader::new(value).be16().ok(),
                4 => ipv4hint = value.as_chunks::<4>().0.iter().map(|ip| Ipv4Addr::from(*ip)).collect(),
                5 => ech = true,
                6 => ipv6hint = value.as_chunks::<16>().0.iter().map(|ip| Ipv6Addr::from(*ip)).collect(),
                _ => {}
            }
        }
        Ok(Data::Svcb { priority, target, alpn, port, ipv4hint, ipv6hint, ech })
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::RecordData)
}

/// Strings that each begin with their length (RFC 1035 clause 3.3, "character-string").
#[derive(Clone)]
pub(crate) struct Strings<'a>(Reader<'a>);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.0.u8().ok()?;
        self.0.take(length.into()).ok()
    }
}

/// A record as messages show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown<'a> {
    name: Name<'a>,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    #[serde(skip_serializing_if = "is_internet")]
    class: Cow<'static, str>,
    ttl: u32,
    data: Data<'a>,
}

// Serde wants a reference.
#[allow(clippy::ptr_arg)]
fn is_internet(class: &Cow<'static, str>) -> bool {
    class == "IN"
}

impl<'a> Shown<'a> {
    /// `record` with its class masked by `class_mask`; data that does not fit its type is shown as bytes.
    pub(crate) fn new(record: &Record<'a>, class_mask: u16) -> Self {
        Self {
            name: record.name,
            kind: type_name(record.kind),
            class: class_name(record.class & class_mask),
            ttl: record.ttl,
            data: record.data().unwrap_or(Data::Other(Hex(record.bytes))),
        }
    }
}

/// The extension record (RFC 6891 clause 6.1).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Edns {
    /// Largest datagram that the sender takes, in bytes.
    pub(crate) udp_payload_size: u16,
    /// Version of the extension; 0 is the only one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) version: u8,
    /// Whether DNSSEC records are welcome.
    pub(crate) dnssec_ok: bool,
    /// The options, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<Cow<'static, str>>,
    /// The client's network that a resolver passes on (RFC 7871).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_subnet: Option<String>,
    /// What went wrong in more detail: the code of an extended error (RFC 8914).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extended_error: Option<u16>,
}

// Serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Most options of one extension record that are named.
const MAX_OPTIONS: usize = 32;

impl Edns {
    /// Reads an OPT record: its class is a size, its time to live holds codes and flags.
    pub(crate) fn new(record: &Record<'_>) -> Self {
        let [_, version, flags, _] = record.ttl.to_be_bytes();
        let mut edns = Self {
            udp_payload_size: record.class,
            version,
            dnssec_ok: flags & 0x80 != 0,
            options: Vec::new(),
            client_subnet: None,
            extended_error: None,
        };
        let mut reader = Reader::new(record.bytes);
        while let (Ok(code), Ok(length)) = (reader.be16(), reader.be16()) {
            let Ok(value) = reader.take(length.into()) else { break };
            if edns.options.len() == MAX_OPTIONS {
                break;
            }
            edns.options.push(option_name(code));
            match code {
                8 => edns.client_subnet = subnet(value),
                15 => edns.extended_error = Reader::new(value).be16().ok(),
                _ => {}
            }
        }
        edns
    }

    /// The upper eight bits of the response code (RFC 6891 clause 6.1.3).
    pub(crate) const fn extended_rcode(record: &Record<'_>) -> u16 {
        (record.ttl >> 24) as u16
    }
}

/// RFC 7871 clause 6: family, prefix lengths, and as many bytes of the address as the prefix needs.
fn subnet(value: &[u8]) -> Option<String> {
    let mut reader = Reader::new(value);
    let (family, prefix, _scope) = (reader.be16().ok()?, reader.u8().ok()?, reader.u8().ok()?);
    let mut octets = [0_u8; 16];
    let given = reader.rest();
    octets.get_mut(..given.len())?.copy_from_slice(given);
    match family {
        1 if given.len() <= 4 => {
            let [a, b, c, d, ..] = octets;
            Some(format!("{}/{prefix}", Ipv4Addr::new(a, b, c, d)))
        }
        2 => Some(format!("{}/{prefix}", Ipv6Addr::from(octets))),
        _ => None,
    }
}

/// The name of an EDNS option (IANA's registry), or its number.
fn option_name(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        1 => "llq",
        2 => "update-lease",
        3 => "nsid",
        5 => "dau",
        6 => "dhu",
        7 => "n3u",
        8 => "client-subnet",
        9 => "expire",
        10 => "cookie",
        11 => "tcp-keepalive",
        12 => "padding",
        13 => "chain",
        14 => "key-tag",
        15 => "extended-error",
        18 => "report-channel",
        65001 => "device-id",
        _ => return Cow::Owned(code.to_string()),
    })
}

/// The mnemonic of a record type (IANA's registry), or `TYPE` and its number (RFC 3597 clause 5).
pub(crate) fn type_name(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        1 => "A",
        2 => "NS",
        3 => "MD",
        4 => "MF",
        5 => "CNAME",
        6 => "SOA",
        7 => "MB",
        8 => "MG",
        9 => "MR",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        14 => "MINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        39 => "DNAME",
        41 => "OPT",
        42 => "APL",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        49 => "DHCID",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        53 => "SMIMEA",
        55 => "HIP",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        _ => return Cow::Owned(format!("TYPE{code}")),
    })
}

/// The mnemonic of a class, or `CLASS` and its number (RFC 3597 clause 5).
pub(crate) fn class_name(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        _ => return Cow::Owned(format!("CLASS{code}")),
    })
}

/// The mnemonic of a response code (IANA's registry), or its number.
pub(crate) fn rcode_name(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return Cow::Owned(code.to_string()),
    })
}

/// The name of an operation code (IANA's registry); none for the usual query.
pub(crate) const fn opcode_name(code: u8) -> Option<&'static str> {
    match code {
        0 => None,
        1 => Some("iquery"),
        2 => Some("status"),
        4 => Some("notify"),
        5 => Some("update"),
        6 => Some("dso"),
        _ => Some("unassigned"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Puts a message together, for the tests of all protocols of this form.
    pub(crate) struct Builder(Vec<u8>);

    impl Builder {
        /// The header, with all counts zero.
        pub(crate) fn new(id: u16, flags: u16) -> Self {
            let mut bytes = vec![0; HEADER];
            bytes[..2].copy_from_slice(&id.to_be_bytes());
            bytes[2..4].copy_from_slice(&flags.to_be_bytes());
            Self(bytes)
        }

        fn count(&mut self, section: usize) {
            self.0[5 + 2 * section] += 1;
        }

        /// Adds a question.
        pub(crate) fn question(mut self, name: &str, kind: u16, class: u16) -> Self {
            self.count(0);
            self.0.extend(encoded(name));
            self.0.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
            self
        }

        /// Adds a record to section 1 (answers), 2 or 3.
        pub(crate) fn record(
            mut self,
            section: usize,
            name: &str,
            (kind, class): (u16, u16),
            ttl: u32,
            data: &[u8],
        ) -> Self {
            self.count(section);
            self.0.extend(encoded(name));
            self.0.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
            self.0.extend(ttl.to_be_bytes());
            self.0.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            self.0.extend(data);
            self
        }

        /// The message.
        pub(crate) fn build(self) -> Vec<u8> {
            self.0
        }
    }

    /// A name in its form on the wire, without compression.
    pub(crate) fn encoded(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut bytes: Vec<u8> = labels
            .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
            .collect();
        bytes.push(0);
        bytes
    }

    /// The name example of RFC 1035 clause 4.1.4: F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40, ARPA at 64.
    fn rfc_1035_names() -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes.extend_from_slice(b"\x01F\x03ISI\x04ARPA\x00");
        bytes.resize(40, 0);
        bytes.extend_from_slice(b"\x03FOO\xc0\x14");
        bytes.resize(64, 0);
        bytes.extend_from_slice(b"\xc0\x1a");
        bytes.resize(92, 0);
        bytes.push(0);
        bytes
    }

    #[test]
    fn compressed_names_are_read_as_in_the_example_of_rfc_1035() {
        let bytes = rfc_1035_names();
        let read = |at| Name::read(&bytes, at).map(|(name, end)| (name.to_string(), end)).unwrap();
        assert_eq!(read(20), ("F.ISI.ARPA".into(), 32));
        assert_eq!(read(40), ("FOO.F.ISI.ARPA".into(), 46));
        assert_eq!(read(64), ("ARPA".into(), 66));
        assert_eq!(read(92), (".".into(), 93));
        let (one, _) = Name::read(&bytes, 20).unwrap();
        let mut lower = rfc_1035_names();
        lower.make_ascii_lowercase();
        let (two, _) = Name::read(&lower, 20).unwrap();
        assert_eq!(one.digest(), two.digest());
        assert_eq!(one.digest(), digest("f.isi.arpa"));
        assert_eq!(one.parent().to_string(), "ISI.ARPA");
        let (root, _) = Name::read(&bytes, 92).unwrap();
        assert!(root.parent().is_root());
        assert_eq!(one.lower().to_string(), "f.isi.arpa");
    }

    #[test]
    fn names_that_go_round_or_forward_are_refused() {
        let fault = |bytes: &[u8], at| Name::read(bytes, at).unwrap_err();
        assert_eq!(fault(b"\xc0\x00", 0), Fault::NameLoop, "itself");
        assert_eq!(fault(b"\x01a\xc0\x00", 0), Fault::NameLoop, "into its own labels");
        assert_eq!(fault(b"\xc0\x02\x00", 0), Fault::NameLoop, "forward");
        assert_eq!(fault(b"\x05ab", 0), Fault::Truncated);
        assert_eq!(fault(b"\x80", 0), Fault::LabelType);
        let mut long = b"\x3f".repeat(64 * 5);
        long.push(0);
        assert_eq!(fault(&long, 0), Fault::NameLength);
        // A pointer to a pointer to a pointer: each goes backwards, but there are too many.
        let mut chain = vec![0, 0];
        for hop in 0..=u8::try_from(MAX_POINTERS).unwrap() {
            chain.extend_from_slice(&[0xc0, hop * 2]);
        }
        assert_eq!(fault(&chain, chain.len() - 2), Fault::NameLoop);
        assert!(Name::read(&chain, chain.len() - 4).is_ok());
    }

    #[test]
    fn labels_are_shown_so_that_they_can_be_told_apart() {
        let bytes = b"\x03a.b\x02\xc3\xa9\x02\xff\x01\x00";
        assert_eq!(Name::read(bytes, 0).unwrap().0.to_string(), "a\\.b.\u{e9}.\\255\\001");
    }
}
