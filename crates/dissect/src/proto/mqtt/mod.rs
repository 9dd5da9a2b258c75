//! MQTT 3.1, 3.1.1 and 5.0 (OASIS).
//!
//! Of a CONNECT it is told whether there was a user name and a password, never which; of a payload its
//! length, whether it is JSON, and the numbers in it; of user properties their names.

mod properties;
mod values;

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use self::properties::{Properties, variable_integer};
use super::industrial::{Points, hash};
use super::text::{clean, find};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict, default_credentials,
};

/// MQTT.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "mqtt",
    name: "MQTT",
    spec: "OASIS MQTT 3.1.1 and 5.0",
    carriers: &[Carrier::Tcp(&[1883, 1884, 18_083])],
    probe,
    start: || Box::new(Mqtt::default()),
};

/// Bytes of a packet that are looked at: longer packets are skipped, but for the head of a PUBLISH.
const MAX_PACKET: usize = 16 * 1024;

/// Packets of an opening that are looked at.
const MAX_PROBED: usize = 8;

/// Bytes of a topic or client identifier that are told.
const MAX_NAME: usize = 256;

/// Subscriptions of one packet that are told.
const MAX_FILTERS: usize = 32;

/// Packets that wait for their acknowledgement; older ones are forgotten.
const MAX_WAITING: usize = 32;

/// Topic aliases that are remembered, each way.
const MAX_ALIASES: usize = 32;

/// A CONNECT tells MQTT on any port, and so does a whole PUBLISH with a readable topic where the
/// beginning was missed; other packets only on its own.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let mut bytes = opening.bytes;
    let mut verdict = Verdict::No;
    for _ in 0..MAX_PROBED {
        let (next, rest) = probe_packet(bytes);
        match next {
            // The last packet is cut, after others that could be MQTT.
            Verdict::More if verdict == Verdict::Maybe => return verdict,
            Verdict::Maybe if !rest.is_empty() => (verdict, bytes) = (next, rest),
            _ => return next,
        }
    }
    verdict
}

/// Judges the packet at the beginning; what follows it.
fn probe_packet(bytes: &[u8]) -> (Verdict, &[u8]) {
    let Some(first) = bytes.first() else { return (Verdict::No, b"") };
    let mut reader = Reader::new(&bytes[1..]);
    let length = match variable_integer(&mut reader) {
        Ok(Some(length)) => length as usize,
        Ok(None) => return (Verdict::No, b""),
        Err(Short) if valid_flags(*first) => return (Verdict::More, b""),
        Err(Short) => return (Verdict::No, b""),
    };
    let rest = reader.rest();
    if *first == 0x10 {
        // Clause 3.1.2 of both standards: the protocol's name and level follow.
        for (mark, levels) in [(&b"\x00\x04MQTT"[..], 4..=5), (b"\x00\x06MQIsdp", 3..=3)] {
            let common = rest.len().min(mark.len());
            if rest[..common] != mark[..common] || length < mark.len() + 6 {
                continue;
            }
            let verdict = match rest.get(mark.len()..mark.len() + 2) {
                None => Verdict::More,
                // The lowest connect flag is reserved and 0 (bit 7 marks a bridge in MQTT 3.1).
                Some([level, flags]) if levels.contains(&(level & 0x7f)) && flags & 1 == 0 => Verdict::Yes,
                Some(_) => Verdict::No,
            };
            return (verdict, b"");
        }
        return (Verdict::No, b"");
    }
    let kind = first >> 4;
    let fits = match kind {
        2 => length >= 2 && rest.first().is_none_or(|flags| *flags <= 1),
        3 => {
            let mut reader = Reader::new(rest);
            length >= 2
                && (rest.len() < 2
                    || reader.be16().is_ok_and(|topic| topic > 0 && usize::from(topic) + 2 <= length))
        }
        4..=7 | 9..=11 => length >= 2,
        8 => length >= 5,
        12 | 13 => length == 0,
        14 | 15 => true,
        _ => false,
    };
    if !fits || !valid_flags(*first) || length > MAX_PACKET {
        return (Verdict::No, b"");
    }
    let (body, after) = rest.split_at(length.min(rest.len()));
    let whole = body.len() == length && after.first().is_none_or(|first| valid_flags(*first));
    let sure = kind == 3 && whole && has_readable_topic(body);
    (if sure { Verdict::Yes } else { Verdict::Maybe }, after)
}

/// Whether a PUBLISH begins with a topic of printable characters, long enough not to be chance.
fn has_readable_topic(body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    string(&mut reader).is_ok_and(|topic| topic.len() >= 4 && topic.iter().all(u8::is_ascii_graphic))
}

/// Clause 2.1.3: the flags of each packet type.
const fn valid_flags(first: u8) -> bool {
    match first >> 4 {
        0 => false,
        3 => first & 0x06 != 0x06,
        6 | 8 | 10 => first & 0x0f == 2,
        _ => first & 0x0f == 0,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Connect<'a> {
    protocol_name: &'a str,
    protocol_version: u8,
    client_id: &'a str,
    clean_start: bool,
    keep_alive_s: u16,
    /// Whether there was a user name.
    user_name: bool,
    /// Whether there was a password.
    password: bool,
    will_topic: Option<&'a str>,
    will_qos: Option<u8>,
    will_retain: Option<bool>,
    will_length: Option<usize>,
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Connack<'a> {
    session_present: bool,
    reason_code: u8,
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Publish<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    dup: bool,
    packet_id: Option<u16>,
    payload_length: usize,
    /// Whether the payload is JSON; absent where it is too long to be looked at.
    json: Option<bool>,
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Subscribe<'a> {
    packet_id: u16,
    topics: Vec<Filter<'a>>,
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Filter<'a> {
    filter: std::borrow::Cow<'a, str>,
    qos: Option<u8>,
}

/// Acknowledgements, DISCONNECT and AUTH.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    packet_id: Option<u16>,
    reason_code: Option<u8>,
    #[serde(skip_serializing_if = "<[u8]>::is_empty", serialize_with = "codes")]
    reason_codes: &'a [u8],
    properties: Option<Properties<'a>>,
}

fn codes<S: serde::Serializer>(codes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(codes.iter().take(MAX_FILTERS))
}

#[derive(Serialize)]
struct Nothing {}

/// What waits for an acknowledgement.
#[derive(Debug)]
struct Waiting {
    from: Side,
    packet_id: u16,
    kind: OperationKind,
    topics: Vec<Box<str>>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Mqtt {
    /// The protocol version of the CONNECT: 3, 4 (for 3.1.1) or 5; 0 if its beginning was not seen.
    version: u8,
    /// Who sent the CONNECT.
    client: Option<Side>,
    client_id: Box<str>,
    /// Whether the client says neither who it is nor a password.
    anonymous: bool,
    /// The account that the client names, if its login is a default credential.
    default_account: Option<default_credentials::Known>,
    connected: bool,
    waiting: VecDeque<Waiting>,
    aliases: [Vec<(u16, Box<str>)>; 2],
    points: Points,
    /// Bytes were lost: where the next packet begins is not known.
    adrift: bool,
}

impl Parser for Mqtt {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0_usize;
        while at < input.bytes.len() {
            let bytes = &input.bytes[at..];
            let first = bytes[0];
            let mut reader = Reader::new(&bytes[1..]);
            // Clause 2.1.4: the remaining length takes up to four bytes.
            let length = match variable_integer(&mut reader) {
                Ok(Some(length)) => length as usize,
                Ok(None) => return Progress::Lost("remaining-length"),
                Err(Short) => break,
            };
            if self.adrift && !valid_flags(first) {
                return Progress::Lost("packet-type");
            }
            let start = 1 + reader.position();
            let whole = start + length;
            let Some(body) = bytes.get(start..whole.min(start + MAX_PACKET)) else { break };
            if first >> 4 == 0 {
                return Progress::Lost("packet-type");
            }
            if !valid_flags(first) && first >> 4 != 3 {
                out.anomaly(input.from, "reserved-flags", format_args!("packet begins with {first:#04x}"));
            }
            if length > MAX_PACKET && first >> 4 != 3 {
                out.anomaly(input.from, "packet-too-long", format_args!("{length} bytes"));
            } else if self.packet(first, body, length, input.from, out).is_err() {
                out.anomaly(input.from, "malformed-packet", format_args!("type {}", first >> 4));
                if self.version == 0 {
                    return Progress::Lost("malformed");
                }
            }
            at = at.saturating_add(whole);
        }
        Progress::Took(at)
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.adrift = true;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        if let (Some(client), false) = (self.client, self.connected) {
            self.authentication(client, Outcome::Asked, out);
        }
        while let Some(waiting) = self.waiting.pop_front() {
            tell(waiting, |_| Outcome::Asked, out);
        }
    }
}

impl Mqtt {
    fn packet(
        &mut self,
        first: u8,
        body: &[u8],
        length: usize,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let mut reader = Reader::new(body);
        match first >> 4 {
            1 => self.connect(&mut reader, from, out),
            2 => self.connack(&mut reader, from, out),
            3 => self.publish(first & 0x0f, &mut reader, length, from, out),
            4 => self.answer("puback", true, &mut reader, from, out),
            5 => self.answer("pubrec", true, &mut reader, from, out),
            6 => self.answer("pubrel", true, &mut reader, from, out),
            7 => self.answer("pubcomp", true, &mut reader, from, out),
            8 => self.subscribe(&mut reader, from, out),
            9 => self.suback("suback", &mut reader, from, out),
            10 => self.unsubscribe(&mut reader, from, out),
            11 => self.suback("unsuback", &mut reader, from, out),
            12 => {
                out.message(from, "pingreq", &Nothing {});
                Ok(())
            }
            13 => {
                out.message(from, "pingresp", &Nothing {});
                Ok(())
            }
            14 => self.answer("disconnect", false, &mut reader, from, out),
            _ => self.answer("auth", false, &mut reader, from, out),
        }
    }

    fn properties<'a>(&self, reader: &mut Reader<'a>) -> Result<Option<Properties<'a>>, Short> {
        if self.version >= 5 { Properties::read(reader) } else { Ok(None) }
    }

    /// Clause 3.1.
    fn connect(&mut self, reader: &mut Reader<'_>, from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let protocol_name = string(reader)?;
        let version = reader.u8()? & 0x7f;
        let flags = reader.u8()?;
        let keep_alive_s = reader.be16()?;
        if self.client.is_some() {
            out.anomaly(from, "second-connect", format_args!("a second CONNECT on one connection"));
        }
        self.version = version;
        self.client = Some(from);
        let properties = self.properties(reader)?;
        let client_id = string(reader)?;
        let (mut will_topic, mut will_length) = (None, None);
        if flags & 0x04 != 0 {
            self.properties(reader)?;
            will_topic = Some(clean(string(reader)?, MAX_NAME));
            will_length = Some(string(reader)?.len());
        }
        self.anonymous = flags & 0xc0 == 0;
        if flags & 0xc0 == 0xc0 {
            let (user, password) = (string(reader)?, string(reader)?);
            self.default_account = default_credentials::known(user, password);
        }
        let name = clean(client_id, MAX_NAME);
        self.client_id = name.as_ref().into();
        if is_lasting(client_id) {
            out.fact(from, Attribute::Identifier, &name, "mqtt.client-id", Confidence::LIKELY);
        }
        let will = flags & 0x04 != 0;
        out.message(
            from,
            "connect",
            &Connect {
                protocol_name: &clean(protocol_name, 16),
                protocol_version: version,
                client_id: &name,
                clean_start: flags & 0x02 != 0,
                keep_alive_s,
                user_name: flags & 0x80 != 0,
                password: flags & 0x40 != 0,
                will_topic: will_topic.as_deref(),
                will_qos: will.then_some(flags >> 3 & 3),
                will_retain: will.then_some(flags & 0x20 != 0),
                will_length,
                properties,
            },
        );
        Ok(())
    }

    /// Clause 3.2.
    fn connack(&mut self, reader: &mut Reader<'_>, from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let session_present = reader.u8()? & 1 != 0;
        let reason_code = reader.u8()?;
        let properties = if reader.is_empty() { None } else { self.properties(reader)? };
        out.role(from, Role::Broker, "mqtt.connack", Confidence::STRONG);
        self.connected = true;
        let outcome = if reason_code == 0 { Outcome::Done } else { Outcome::Refused };
        self.authentication(from.other(), outcome, out);
        default_credentials::tell(self.default_account.take(), outcome, out);
        if outcome == Outcome::Done && self.client.is_some() {
            if self.anonymous {
                out.weakness(from, "no-authentication", "a client was let in without a name and a password");
            } else {
                out.weakness(from, "cleartext-login", "");
            }
        }
        out.message(from, "connack", &Connack { session_present, reason_code, properties });
        Ok(())
    }

    fn authentication(&self, from: Side, outcome: Outcome, out: &mut Emit<'_>) {
        let target = Some(self.client_id.clone()).filter(|name| !name.is_empty());
        out.operation(from, OperationKind::Authenticate, "connect", target, None, outcome);
    }

    /// Clause 3.3.
    fn publish(
        &mut self,
        flags: u8,
        reader: &mut Reader<'_>,
        length: usize,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let topic = string(reader)?;
        let qos = flags >> 1 & 3;
        if qos == 3 {
            out.anomaly(from, "invalid-qos", format_args!("3"));
            return Ok(());
        }
        let packet_id = if qos > 0 { Some(reader.be16()?) } else { None };
        let properties = self.properties(reader)?;
        let payload = reader.rest();
        let payload_length = length - reader.position().min(length);
        let mut name: Box<str> = clean(topic, MAX_NAME).into();
        if let Some(alias) = properties.as_ref().and_then(|properties| properties.topic_alias) {
            self.alias(alias, &mut name, from);
        }
        if topic.iter().any(|byte| matches!(byte, b'+' | b'#')) {
            // Clause 3.3.2.1: wildcards are for filters.
            out.anomaly(from, "wildcard-in-topic", format_args!("{name}"));
        }
        if &*name == "$SYS/broker/version" && payload.len() <= 64 {
            out.fact(
                from,
                Attribute::Software,
                clean(payload, 64),
                "mqtt.broker-version",
                Confidence::CERTAIN,
            );
        }
        if out.wants_messages() {
            let json = (payload.len() == payload_length).then(|| is_json(payload));
            out.message(
                from,
                "publish",
                &Publish {
                    topic: &name,
                    qos,
                    retain: flags & 1 != 0,
                    dup: flags & 8 != 0,
                    packet_id,
                    payload_length,
                    json,
                    properties,
                },
            );
        }
        // What the broker hands on was told where it was published.
        if out.is_judged() && from == self.client.unwrap_or(Side::Client) && payload.len() == payload_length {
            self.values(&name, payload, from, out);
        }
        match packet_id {
            Some(packet_id) => self.wait(from, packet_id, OperationKind::Publish, vec![name], out),
            // Clause 4.3.1: nobody answers.
            None => {
                out.operation(from, OperationKind::Publish, "publish", Some(name), None, Outcome::Asked);
            }
        }
        Ok(())
    }

    /// The values in a payload: each is a point, named by the topic and its place in the payload.
    fn values(&mut self, topic: &str, payload: &[u8], from: Side, out: &mut Emit<'_>) {
        values::read(payload, |path, value| {
            let key = hash(topic.bytes().chain([b' ']).chain(path.bytes()));
            let name = || if path.is_empty() { topic.to_owned() } else { format!("{topic} {path}") };
            if let Some(point) = self.points.reported(key, value, out.now(), name) {
                out.sample(from, point, value);
            }
        });
    }

    /// Clause 3.3.2.3.4: a number stands for a topic that was sent with it before.
    fn alias(&mut self, alias: u16, topic: &mut Box<str>, from: Side) {
        let aliases = &mut self.aliases[from.index()];
        let room = aliases.len() < MAX_ALIASES;
        match aliases.iter_mut().find(|(number, _)| *number == alias) {
            Some((_, known)) if topic.is_empty() => *topic = known.clone(),
            Some((_, known)) => *known = topic.clone(),
            None if !topic.is_empty() && room => aliases.push((alias, topic.clone())),
            None => {}
        }
    }

    /// Clause 3.8.
    fn subscribe(&mut self, reader: &mut Reader<'_>, from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let packet_id = reader.be16()?;
        let properties = self.properties(reader)?;
        let mut topics = Vec::new();
        while !reader.is_empty() && topics.len() < MAX_FILTERS {
            let filter = clean(string(reader)?, MAX_NAME);
            topics.push(Filter { filter, qos: Some(reader.u8()? & 3) });
        }
        let names = topics.iter().map(|topic| topic.filter.as_ref().into()).collect();
        out.message(from, "subscribe", &Subscribe { packet_id, topics, properties });
        self.wait(from, packet_id, OperationKind::Subscribe, names, out);
        Ok(())
    }

    /// Clause 3.10.
    fn unsubscribe(&mut self, reader: &mut Reader<'_>, from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let packet_id = reader.be16()?;
        let properties = self.properties(reader)?;
        let mut topics = Vec::new();
        while !reader.is_empty() && topics.len() < MAX_FILTERS {
            topics.push(Filter { filter: clean(string(reader)?, MAX_NAME), qos: None });
        }
        out.message(from, "unsubscribe", &Subscribe { packet_id, topics, properties });
        Ok(())
    }

    /// Clauses 3.9 and 3.11.
    fn suback(
        &mut self,
        kind: &'static str,
        reader: &mut Reader<'_>,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let packet_id = reader.be16()?;
        let properties = self.properties(reader)?;
        let reason_codes = reader.rest();
        if kind == "suback"
            && let Some(waiting) = self.acknowledged(from, packet_id)
        {
            let outcome = |place: usize| match reason_codes.get(place) {
                Some(0..=2) => Outcome::Done,
                Some(_) => Outcome::Refused,
                None => Outcome::Asked,
            };
            tell(waiting, outcome, out);
        }
        let packet_id = Some(packet_id);
        out.message(from, kind, &Answer { packet_id, reason_code: None, reason_codes, properties });
        Ok(())
    }

    /// Clauses 3.4 to 3.7, 3.14 and 3.15: from version 5 on, a reason and properties may follow.
    fn answer(
        &mut self,
        kind: &'static str,
        numbered: bool,
        reader: &mut Reader<'_>,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let packet_id = if numbered { Some(reader.be16()?) } else { None };
        let reason_code = reader.u8().ok();
        let properties = if reader.is_empty() { None } else { self.properties(reader)? };
        let refused = reason_code.is_some_and(|code| code >= 0x80);
        // A QoS 2 message has arrived with its PUBREC (clause 4.3.3).
        if let (Some(packet_id), "puback" | "pubrec") = (packet_id, kind)
            && let Some(waiting) = self.acknowledged(from, packet_id)
        {
            tell(waiting, |_| if refused { Outcome::Refused } else { Outcome::Done }, out);
        }
        out.message(from, kind, &Answer { packet_id, reason_code, reason_codes: &[], properties });
        Ok(())
    }

    fn wait(
        &mut self,
        from: Side,
        packet_id: u16,
        kind: OperationKind,
        topics: Vec<Box<str>>,
        out: &mut Emit<'_>,
    ) {
        let again = |waiting: &Waiting| waiting.from == from && waiting.packet_id == packet_id;
        if self.waiting.iter().any(again) {
            // Sent once more because the acknowledgement was late.
            return;
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            tell(oldest, |_| Outcome::Asked, out);
        }
        self.waiting.push_back(Waiting { from, packet_id, kind, topics });
    }

    /// What `from` acknowledges.
    fn acknowledged(&mut self, from: Side, packet_id: u16) -> Option<Waiting> {
        let asked = |waiting: &Waiting| waiting.from == from.other() && waiting.packet_id == packet_id;
        let place = self.waiting.iter().position(asked)?;
        self.waiting.remove(place)
    }
}

fn tell(waiting: Waiting, outcome: impl Fn(usize) -> Outcome, out: &mut Emit<'_>) {
    let name = if waiting.kind == OperationKind::Publish { "publish" } else { "subscribe" };
    for (place, topic) in waiting.topics.into_iter().enumerate() {
        out.operation(waiting.from, waiting.kind, name, Some(topic), None, outcome(place));
    }
}

/// A string or binary data: two bytes of length and as many bytes (clauses 1.5.4 and 1.5.6).
fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.be16()?;
    reader.take(usize::from(length))
}

/// Whether a client identifier stays with a device: not one that a library makes up for each connection.
fn is_lasting(client_id: &[u8]) -> bool {
    const MADE_UP: &[&str] =
        &["mosq-", "mosq/", "mosqpub", "mosqsub", "mqttjs_", "mqtt_", "paho", "auto-", "mqttx_"];
    !client_id.is_empty() && !MADE_UP.iter().any(|prefix| find(client_id, prefix) == Some(0))
}

/// Whether a payload has the shape of a JSON object or array (RFC 8259): brackets that pair up outside
/// strings, and nothing after the last.
fn is_json(payload: &[u8]) -> bool {
    let payload = payload.trim_ascii();
    if !matches!(payload, [b'{' | b'[', .., b'}' | b']']) || std::str::from_utf8(payload).is_err() {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (place, byte) in payload.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && place + 1 < payload.len() {
                    return false;
                }
            }
            _ => {}
        }
    }
    depth == 0 && !quoted
}

#[cfg(test)]
mod tests;
