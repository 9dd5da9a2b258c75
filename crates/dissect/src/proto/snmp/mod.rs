//! Simple Network Management Protocol, versions 1 (RFC 1157), 2c (RFC 1901, RFC 3416) and 3 (RFC 3412,
//! RFC 3414).
//!
//! A community is a password: it is compared with the two defaults that everybody knows and, by a digest, with the
//! one before it, and then forgotten. User names and the values of objects that hold keys or communities are not told either.

mod ber;
mod facts;
mod value;

use std::borrow::Cow;
use std::net::Ipv4Addr;

use model::{OperationKind, Outcome, Side, Timestamp};
use serde::Serialize;

use super::industrial::begin;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};
use ber::{Ber, Fault, Oid, tag};
use value::Value;

/// SNMP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "snmp",
    name: "Simple Network Management Protocol",
    spec: "RFC 1157, RFC 3416, RFC 3412, RFC 3414",
    carriers: &[Carrier::Udp(&[161, 162])],
    probe,
    start: || Box::new(Snmp::default()),
};

/// Most objects of one message that are listed.
const MAX_OBJECTS: usize = 128;

/// Most requests that wait for their response; the oldest is told without its outcome.
const MAX_PENDING: usize = 8;

/// Most objects of one request that are told as operations.
const MAX_OPERATIONS: usize = 16;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    let bytes = opening.bytes;
    match Message::read(bytes) {
        // The outermost length must be the datagram's: Kerberos and LDAP begin alike.
        Ok(message) if message.length == bytes.len() => Verdict::Yes,
        Ok(_) => Verdict::Maybe,
        // The header of a message that is wrong further in, or was cut.
        Err(_) if bytes.first() == Some(&tag::SEQUENCE) => Verdict::Maybe,
        Err(_) => Verdict::No,
    }
}

/// A message of any version.
struct Message<'a> {
    /// Bytes of the whole.
    length: usize,
    version: i64,
    community: Option<&'a [u8]>,
    security: Option<Security<'a>>,
    /// The tag and content of what is carried; none if it is encrypted.
    pdu: Option<(u8, &'a [u8])>,
}

/// The parameters of the user-based security model (RFC 3414 clause 2.4) and the flags of the header
/// (RFC 3412 clause 6.4).
struct Security<'a> {
    flags: u8,
    model: i64,
    engine_id: &'a [u8],
    engine_boots: i64,
    engine_time: i64,
    context: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut outer = Ber::new(bytes);
        let content = outer.expect(tag::SEQUENCE)?;
        let mut fields = Ber::new(content);
        let length = outer.position();
        let version = fields.integer()?;
        match version {
            0 | 1 => {
                let community = Some(fields.expect(tag::OCTET_STRING)?);
                let pdu = fields.next()?;
                pdu_name(pdu.0).ok_or(Fault::Type)?;
                Ok(Self { length, version, community, security: None, pdu: Some(pdu) })
            }
            3 => Self::read_v3(fields, length),
            _ => Err(Fault::Range),
        }
    }

    /// RFC 3412 clause 6.
    fn read_v3(mut fields: Ber<'a>, length: usize) -> Result<Self, Fault> {
        let mut header = fields.inside(tag::SEQUENCE)?;
        let (_id, _size) = (header.integer()?, header.integer()?);
        let flags = *header.expect(tag::OCTET_STRING)?.first().ok_or(Fault::Length)?;
        let model = header.integer()?;
        let parameters = fields.expect(tag::OCTET_STRING)?;
        let mut security =
            Security { flags, model, engine_id: &[], engine_boots: 0, engine_time: 0, context: &[] };
        // Only the user-based model (3) has this form.
        if model == 3 {
            let mut usm = Ber::new(parameters).inside(tag::SEQUENCE)?;
            security.engine_id = usm.expect(tag::OCTET_STRING)?;
            security.engine_boots = usm.integer()?;
            security.engine_time = usm.integer()?;
        }
        let pdu = match fields.next()? {
            (tag::SEQUENCE, scoped) => {
                let mut scoped = Ber::new(scoped);
                let _engine = scoped.expect(tag::OCTET_STRING)?;
                security.context = scoped.expect(tag::OCTET_STRING)?;
                let pdu = scoped.next()?;
                pdu_name(pdu.0).ok_or(Fault::Type)?;
                Some(pdu)
            }
            (tag::OCTET_STRING, _) => None,
            _ => return Err(Fault::Type),
        };
        Ok(Self { length, version: 3, community: None, security: Some(security), pdu })
    }
}

/// The names of the operations (RFC 1157 clause 4.1, RFC 3416 clause 3).
const fn pdu_name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        0xa0 => "get-request",
        0xa1 => "get-next-request",
        0xa2 => "response",
        0xa3 => "set-request",
        0xa4 => "trap-v1",
        0xa5 => "get-bulk-request",
        0xa6 => "inform-request",
        0xa7 => "trap",
        0xa8 => "report",
        _ => return None,
    })
}

/// The names of error-status (RFC 3416 clause 3).
fn error_name(status: i64) -> Option<Cow<'static, str>> {
    const NAMES: [&str; 19] = [
        "no-error",
        "too-big",
        "no-such-name",
        "bad-value",
        "read-only",
        "gen-err",
        "no-access",
        "wrong-type",
        "wrong-length",
        "wrong-encoding",
        "wrong-value",
        "no-creation",
        "inconsistent-value",
        "resource-unavailable",
        "commit-failed",
        "undo-failed",
        "authorization-error",
        "not-writable",
        "inconsistent-name",
    ];
    match usize::try_from(status) {
        Ok(0) => None,
        Ok(known) if known < NAMES.len() => Some(Cow::Borrowed(NAMES[known])),
        _ => Some(Cow::Owned(status.to_string())),
    }
}

/// A message, as told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown<'a> {
    version: &'static str,
    /// Whether the community is one of the two that devices are shipped with.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_community: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_model: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_id: Option<super::show::Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_boots: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_name: Option<Cow<'a, str>>,
    #[serde(flatten)]
    pdu: Option<Pdu<'a>>,
}

/// What is asked or told.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Pdu<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_status: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_index: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_repeaters: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_repetitions: Option<i64>,
    #[serde(flatten)]
    trap: Option<Trap<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variable_bindings: Vec<Binding<'a>>,
}

/// What only the trap of version 1 has (RFC 1157 clause 4.1.6).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Trap<'a> {
    enterprise: Oid<'a>,
    agent_address: Ipv4Addr,
    generic_trap: i64,
    specific_trap: i64,
}

/// An object and its value.
#[derive(Clone, Copy, Serialize)]
struct Binding<'a> {
    name: Oid<'a>,
    value: Value<'a>,
}

impl<'a> Binding<'a> {
    /// Reads the next of a list.
    fn next(list: &mut Ber<'a>) -> Result<Self, Fault> {
        let mut pair = list.inside(tag::SEQUENCE)?;
        let name = Oid(pair.expect(tag::OBJECT_IDENTIFIER)?);
        let (kind, content) = pair.next()?;
        let value = if is_secret(name) { Value::Secret } else { Value::read(kind, content)? };
        Ok(Self { name, value })
    }
}

/// Whether an object holds keys of users (SNMP-USER-BASED-SM-MIB, 1.3.6.1.6.3.15) or communities
/// (SNMP-COMMUNITY-MIB, 1.3.6.1.6.3.18).
fn is_secret(name: Oid<'_>) -> bool {
    // Status reports count failures of the user-based model: 1.3.6.1.6.3.15.1.1.
    let statistics = name.after(&[1, 3, 6, 1, 6, 3, 15, 1, 1]).is_some();
    !statistics
        && name
            .after(&[1, 3, 6, 1, 6, 3])
            .and_then(|mut arcs| arcs.next())
            .is_some_and(|module| matches!(module, 15 | 18))
}

impl<'a> Pdu<'a> {
    fn read(kind: u8, content: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Ber::new(content);
        let mut pdu = Self::default();
        if kind == 0xa4 {
            let enterprise = Oid(fields.expect(tag::OBJECT_IDENTIFIER)?);
            let address = fields.expect(tag::IP_ADDRESS)?;
            let agent_address = <[u8; 4]>::try_from(address).map_err(|_| Fault::Range)?.into();
            let (generic_trap, specific_trap) = (fields.integer()?, fields.integer()?);
            let _ticks = fields.expect(tag::TIME_TICKS)?;
            pdu.trap = Some(Trap { enterprise, agent_address, generic_trap, specific_trap });
        } else {
            pdu.request_id = Some(fields.integer()?);
            let (first, second) = (fields.integer()?, fields.integer()?);
            if kind == 0xa5 {
                (pdu.non_repeaters, pdu.max_repetitions) = (Some(first), Some(second));
            } else {
                pdu.error_status = error_name(first);
                pdu.error_index = (second != 0).then_some(second);
            }
        }
        let mut list = fields.inside(tag::SEQUENCE)?;
        while !list.is_empty() && pdu.variable_bindings.len() < MAX_OBJECTS {
            pdu.variable_bindings.push(Binding::next(&mut list)?);
        }
        Ok(pdu)
    }
}

/// A request that waits for its response.
struct Pending {
    /// Packet time.
    asked: Timestamp,
    from: Side,
    request_id: i64,
    kind: OperationKind,
    name: &'static str,
    items: Vec<(Box<str>, Option<model::Value>)>,
}

impl Pending {
    fn tell(self, outcome: Outcome, out: &mut Emit<'_>) {
        for (target, value) in self.items {
            out.asked(self.asked).operation(self.from, self.kind, self.name, Some(target), value, outcome);
        }
    }
}

/// Reads one conversation.
#[derive(Default)]
struct Snmp {
    pending: Vec<Pending>,
    /// A digest of the community of the last request.
    community: Option<u32>,
}

impl Parser for Snmp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let complain = |fault: Fault, out: &mut Emit<'_>| {
            if input.cut == 0 {
                out.anomaly(input.from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
            }
        };
        let message = match Message::read(input.bytes) {
            Ok(message) => message,
            Err(fault) => {
                complain(fault, out);
                return taken;
            }
        };
        let (mut kind, mut pdu) = ("encrypted", None);
        if let Some((tag, content)) = message.pdu {
            kind = pdu_name(tag).unwrap_or("unknown");
            match Pdu::read(tag, content) {
                Ok(read) => pdu = Some(read),
                Err(fault) => complain(fault, out),
            }
        }
        if let Some(community) = message.community {
            self.community(community, kind, input.from, out);
        }
        // Requests go to the engine that is authoritative; what comes back is from it (RFC 3412 clause 6.5).
        let answers =
            matches!(kind, "response" | "report") || kind == "encrypted" && input.from == Side::Server;
        if let Some(security) = message.security.as_ref().filter(|_| answers) {
            facts::engine(security.engine_id, input.from, out);
        }
        if let Some(pdu) = &pdu {
            self.understand(kind, pdu, input.from, out);
        }
        if out.wants_messages() {
            out.message(input.from, kind, &shown(&message, pdu));
        }
        taken
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        for pending in self.pending.drain(..) {
            pending.tell(Outcome::Asked, out);
        }
    }
}

impl Snmp {
    /// Whoever answers to a community that everybody knows lets everybody in; whoever tries one after the other
    /// guesses.
    fn community(&mut self, community: &[u8], kind: &str, from: Side, out: &mut Emit<'_>) {
        match kind {
            "response" => {
                let known = match community {
                    b"public" => "public",
                    b"private" => "private",
                    _ => return,
                };
                out.weakness(from, "default-community", known);
            }
            "get-request" | "get-next-request" | "get-bulk-request" | "set-request" => {
                let digest = super::text::digest(community);
                if self.community.replace(digest).is_some_and(|last| last != digest) {
                    out.operation(
                        from,
                        OperationKind::Authenticate,
                        "community",
                        None,
                        None,
                        Outcome::Refused,
                    );
                }
            }
            _ => {}
        }
    }

    fn understand(&mut self, kind: &'static str, pdu: &Pdu<'_>, from: Side, out: &mut Emit<'_>) {
        let bindings = &pdu.variable_bindings;
        let operation = match kind {
            "get-request" | "get-next-request" | "get-bulk-request" => OperationKind::Read,
            "set-request" => OperationKind::Write,
            "response" => {
                for binding in bindings {
                    facts::of_object(binding.name, &binding.value, from, out);
                }
                let answered = self
                    .pending
                    .iter()
                    .position(|pending| pending.from != from && Some(pending.request_id) == pdu.request_id);
                if let Some(at) = answered {
                    let outcome = if pdu.error_status.is_none() { Outcome::Done } else { Outcome::Refused };
                    self.pending.remove(at).tell(outcome, out);
                }
                return;
            }
            "trap-v1" => {
                if let Some(trap) = &pdu.trap {
                    facts::enterprise_of(trap.enterprise, "snmp.trap-enterprise", from, out);
                }
                return;
            }
            _ => return,
        };
        let Some(request_id) = pdu.request_id else { return };
        // What is written is told object by object; what is read, by the first object.
        let count = if operation == OperationKind::Write { MAX_OPERATIONS } else { 1 };
        let items = bindings
            .iter()
            .take(count)
            .map(|binding| {
                let value = if operation == OperationKind::Write { binding.value.kept() } else { None };
                (binding.name.to_string().into_boxed_str(), value)
            })
            .collect();
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0).tell(Outcome::Asked, out);
        }
        begin(
            &mut self.pending,
            Pending { asked: out.now(), from, request_id, kind: operation, name: kind, items },
        );
    }
}

fn shown<'a>(message: &Message<'a>, pdu: Option<Pdu<'a>>) -> Shown<'a> {
    let security = message.security.as_ref();
    Shown {
        version: match message.version {
            0 => "1",
            1 => "2c",
            _ => "3",
        },
        default_community: message.community.map(|community| matches!(community, b"public" | b"private")),
        security_level: security.map(|security| match security.flags & 3 {
            0 => "no-auth-no-priv",
            1 => "auth-no-priv",
            3 => "auth-priv",
            _ => "invalid",
        }),
        security_model: security.map(|security| security.model),
        engine_id: security
            .map(|security| super::show::Hex(security.engine_id))
            .filter(|engine| !engine.0.is_empty()),
        engine_boots: security.map(|security| security.engine_boots),
        engine_time: security.map(|security| security.engine_time),
        context_name: security
            .map(|security| super::show::text(security.context))
            .filter(|context| !context.is_empty()),
        pdu,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, damage, hits, opening, survives};

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut bytes = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length @ 0..=0x7f) => bytes.push(length),
            Ok(length) => bytes.extend([0x81, length]),
            Err(_) => {
                bytes.extend([&[0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes()].concat());
            }
        }
        bytes.extend(content);
        bytes
    }

    /// 1.3.6.1.2.1.1.N.0.
    fn system(object: u8) -> Vec<u8> {
        tlv(tag::OBJECT_IDENTIFIER, &[&[0x2b, 6, 1, 2, 1, 1, object, 0]])
    }

    fn message(
        version: u8,
        community: &str,
        pdu: u8,
        status: u8,
        bindings: &[(Vec<u8>, Vec<u8>)],
    ) -> Vec<u8> {
        let list: Vec<Vec<u8>> = bindings.iter().map(|(name, value)| tlv(0x30, &[name, value])).collect();
        let list = tlv(0x30, &list.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let pdu = tlv(pdu, &[&[2, 2, 0x30, 0x39], &[2, 1, status], &[2, 1, 0], &list]);
        tlv(0x30, &[&[2, 1, version], &tlv(4, &[community.as_bytes()]), &pdu])
    }

    const NULL: &[u8] = &[5, 0];

    fn text_value(text: &str) -> Vec<u8> {
        tlv(4, &[text.as_bytes()])
    }

    #[test]
    fn an_agent_describes_the_device() {
        let asked: Vec<_> = [1, 2, 5].map(|object| (system(object), NULL.to_vec())).into();
        let request = message(1, "public", 0xa0, 0, &asked);
        let description =
            "Siemens, SIMATIC S7, CPU-1200, 6ES7 212-1BE40-0XB0 , HW: 3, FW: V.4.2.1, S C-J9M53846";
        // 1.3.6.1.4.1.4329.6
        let enterprise = tlv(tag::OBJECT_IDENTIFIER, &[&[0x2b, 6, 1, 4, 1, 0xa1, 0x69, 6]]);
        let told = [
            (system(1), text_value(description)),
            (system(2), enterprise),
            (system(5), text_value("plc-12")),
        ];
        let response = message(1, "public", 0xa2, 0, &told);
        let text = converse(&PROTOCOL, &[(Side::Client, &request), (Side::Server, &response)]);
        insta::assert_snapshot!(text, @r#"
        client get-request {"version":"2c","default-community":true,"request-id":12345,"variable-bindings":[{"name":"1.3.6.1.2.1.1.1.0"},{"name":"1.3.6.1.2.1.1.2.0"},{"name":"1.3.6.1.2.1.1.5.0"}]}
        weakness server default-community: public
        fact 192.0.2.20 label = "Siemens, SIMATIC S7, CPU-1200, 6ES7 212-1BE40-0XB0 , HW: 3, FW: V.4.2.1, S C-J9M53846" (snmp.sys-descr, 50%)
        fact 192.0.2.20 vendor = "Siemens" (snmp.sys-descr, 95%)
        fact 192.0.2.20 part-number = "6ES7 212-1BE40-0XB0" (snmp.sys-descr, 95%)
        fact 192.0.2.20 hardware = "3" (snmp.sys-descr, 95%)
        fact 192.0.2.20 firmware = "V.4.2.1" (snmp.sys-descr, 95%)
        fact 192.0.2.20 serial = "S C-J9M53846" (snmp.sys-descr, 95%)
        fact 192.0.2.20 model = "SIMATIC S7 CPU-1200" (snmp.sys-descr, 95%)
        fact 192.0.2.20 role = "plc" (snmp.sys-descr, 75%)
        fact 192.0.2.20 vendor = "Siemens" (snmp.sys-object-id, 90%)
        fact 192.0.2.20 hostname = "plc-12" (snmp.sys-name, 95%)
        operation client Read get-request 1.3.6.1.2.1.1.1.0 - Done
        server response {"version":"2c","default-community":true,"request-id":12345,"variable-bindings":[{"name":"1.3.6.1.2.1.1.1.0","value":"Siemens, SIMATIC S7, CPU-1200, 6ES7 212-1BE40-0XB0 , HW: 3, FW: V.4.2.1, S C-J9M53846"},{"name":"1.3.6.1.2.1.1.2.0","value":"1.3.6.1.4.1.4329.6"},{"name":"1.3.6.1.2.1.1.5.0","value":"plc-12"}]}
        "#);
    }

    #[test]
    fn communities_and_keys_are_never_told() {
        let community = tlv(tag::OBJECT_IDENTIFIER, &[&[0x2b, 6, 1, 6, 3, 18, 1, 4, 0]]);
        let set = message(1, "s3cret-rw", 0xa3, 0, &[(community, text_value("s3cret-trap"))]);
        let text = converse(&PROTOCOL, &[(Side::Client, &set)]);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains(r#""default-community":false"#), "{text}");
        assert!(text.contains("operation client Write set-request 1.3.6.1.6.3.18.1.4.0 - Asked"), "{text}");
    }

    #[test]
    fn writes_are_told_with_value_and_outcome() {
        let set = message(
            0,
            "private",
            0xa3,
            0,
            &[(system(6), text_value("hall 3")), (system(4), vec![2, 1, 0xfb])],
        );
        let refused = message(0, "private", 0xa2, 4, &[(system(6), text_value("hall 3"))]);
        let text = converse(&PROTOCOL, &[(Side::Client, &set), (Side::Server, &refused)]);
        let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
        assert_eq!(
            operations,
            [
                r#"operation client Write set-request 1.3.6.1.2.1.1.6.0 "hall 3" Refused"#,
                "operation client Write set-request 1.3.6.1.2.1.1.4.0 -5 Refused",
            ]
        );
        assert!(
            text.contains(r#""default-community":true"#) && text.contains(r#""error-status":"read-only""#)
        );
    }

    #[test]
    fn version_3_tells_its_engine_and_level() {
        // The engine of an agent of Net-SNMP (8072), by text; then an encrypted answer.
        let engine = [0x80, 0, 0x1f, 0x88, 4, b'h', b'1'];
        let usm = tlv(
            0x30,
            &[&tlv(4, &[&engine]), &[2, 1, 3], &[2, 1, 99], &tlv(4, &[b"operator"]), &[4, 0], &[4, 0]],
        );
        let header = tlv(0x30, &[&[2, 1, 7], &[2, 2, 5, 0], &[4, 1, 3], &[2, 1, 3]]);
        let bytes = tlv(0x30, &[&[2, 1, 3], &header, &tlv(4, &[&usm]), &tlv(4, &[&[0xaa; 16]])]);
        let text = converse(&PROTOCOL, &[(Side::Server, &bytes)]);
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.20 identifier = "engine-id:80001f88046831" (snmp.engine-id, 75%)
        fact 192.0.2.20 software = "Net-SNMP" (snmp.engine-id, 75%)
        server encrypted {"version":"3","security-level":"auth-priv","security-model":3,"engine-id":"80001f88046831","engine-boots":3,"engine-time":99}
        "#);
        assert!(!text.contains("operator"));
    }

    #[test]
    fn a_trap_of_version_1_names_the_maker() {
        let enterprise = tlv(tag::OBJECT_IDENTIFIER, &[&[0x2b, 6, 1, 4, 1, 0xc3, 0x73]]);
        let trap = tlv(
            0xa4,
            &[&enterprise, &[0x40, 4, 192, 0, 2, 10], &[2, 1, 6], &[2, 1, 2], &[0x43, 1, 9], &[0x30, 0]],
        );
        let bytes = tlv(0x30, &[&[2, 1, 0], &tlv(4, &[b"public"]), &trap]);
        let text = converse(&PROTOCOL, &[(Side::Client, &bytes)]);
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.10 vendor = "Moxa" (snmp.trap-enterprise, 90%)
        client trap-v1 {"version":"1","default-community":true,"enterprise":"1.3.6.1.4.1.8691","agent-address":"192.0.2.10","generic-trap":6,"specific-trap":2}
        "#);
    }

    #[test]
    fn what_has_the_same_beginning_is_not_taken_for_it() {
        let ask = |bytes: &[u8]| probe(&opening(bytes, 6000, false));
        let request = message(1, "public", 0xa0, 0, &[(system(1), NULL.to_vec())]);
        assert_eq!(ask(&request), Verdict::Yes);
        // An LDAP search begins with a sequence and an integer too; its message identifier is no version.
        assert_eq!(ask(&tlv(0x30, &[&[2, 1, 7], &tlv(0x63, &[&[4, 0]])])), Verdict::Maybe);
        assert_eq!(ask(b"\x16\x03\x01\x02"), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn damaged_messages_are_survived(hits in hits()) {
            let response = message(1, "public", 0xa2, 0, &[(system(1), text_value("Linux host 5.10 x"))]);
            survives(&PROTOCOL, &damage(&[(Side::Server, response)], &hits));
        }
    }
}
