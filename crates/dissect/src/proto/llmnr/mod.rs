//! Link-Local Multicast Name Resolution (RFC 4795): how Windows asks its link for a name.
//!
//! A response names its sender. Anyone can answer, which is how credentials are stolen on such links; so
//! responses are told one by one with the name that they claim.

use std::borrow::Cow;

use model::{Confidence, Host};
use serde::Serialize;

use super::dns::wire::{self, Item, MAX_LISTED, Message, Name, Section, Shape, Shown};
use super::mdns::bind_sender;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, hostname};

/// LLMNR.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "llmnr",
    name: "Link-Local Multicast Name Resolution",
    spec: "RFC 4795",
    carriers: &[Carrier::Udp(&[PORT])],
    probe,
    start: || Box::new(Llmnr::default()),
};

/// The port is part of the protocol (RFC 4795 clause 2): elsewhere it is plain DNS.
const PORT: u16 = 5355;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream || (opening.client_port != PORT && opening.server_port != PORT) {
        return Verdict::No;
    }
    match Message::new(opening.bytes).map(Message::shape) {
        Ok(Shape::Whole) => Verdict::Yes,
        Ok(Shape::Broken) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// A query or response (RFC 4795 clause 2.1.1).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Content<'a> {
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qtype: Option<Cow<'static, str>>,
    /// Someone else claims the name too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    conflict: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tc: bool,
    /// The name is not yet known to be unique.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tentative: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Shown<'a>>,
}

/// Reads one conversation.
#[derive(Default)]
struct Llmnr {
    bound: [bool; 2],
}

impl Parser for Llmnr {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let from = input.from;
        let message = match Message::new(input.bytes) {
            Ok(message) => message,
            Err(fault) => {
                out.anomaly(from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                return taken;
            }
        };
        if !message.has_known_opcode() {
            out.anomaly(from, "opcode", format_args!("{}", message.opcode()));
        }
        if !self.bound[from.index()] {
            self.bound[from.index()] = true;
            bind_sender(from, out);
        }
        let mut answers = Vec::new();
        for item in message.items() {
            match item {
                Ok(Item::Record(Section::Answer, record)) => {
                    if let Some(ip) = record.address().filter(|_| message.is_response()) {
                        // Hosts answer for themselves (clause 2.3), with any of their addresses.
                        let about = match out.host(from) {
                            sender if sender.ip == Some(ip) => sender,
                            sender if sender.ip.is_some_and(|own| own.is_ipv4() != ip.is_ipv4()) => sender,
                            _ => Host::from_ip(ip),
                        };
                        let name = record.name.to_string();
                        hostname::tell(about, &name, "llmnr.address-record", Confidence::STRONG, out);
                    }
                    if out.wants_messages() && answers.len() < MAX_LISTED {
                        answers.push(Shown::new(&record, u16::MAX));
                    }
                }
                Ok(_) => {}
                Err(fault) if input.cut == 0 => {
                    out.anomaly(from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                }
                Err(_) => {}
            }
        }
        if out.wants_messages() {
            let question = message.question();
            let content = Content {
                id: message.id,
                query: question.map(|question| question.name),
                qtype: question.map(|question| wire::type_name(question.kind)),
                conflict: message.aa(),
                tc: message.tc(),
                tentative: message.rd(),
                rcode: message.is_response().then(|| wire::rcode_name(message.rcode().into())),
                answers,
            };
            out.message(from, if message.is_response() { "response" } else { "query" }, &content);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use model::Side;

    use super::super::dns::wire::{kind, tests::Builder};
    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, opening};

    #[test]
    fn a_question_and_the_answer_that_claims_the_name() {
        let query = Builder::new(0xbeef, 0).question("fileserver", kind::A, 1).build();
        let answer = Builder::new(0xbeef, 0x8000)
            .question("fileserver", kind::A, 1)
            .record(1, "fileserver", (kind::A, 1), 30, &[192, 0, 2, 20])
            .build();
        let text = converse(&PROTOCOL, &[(Side::Client, &query), (Side::Server, &answer)]);
        insta::assert_snapshot!(text, @r#"
        client query {"id":48879,"query":"fileserver","qtype":"A"}
        fact 192.0.2.20 hostname = "fileserver" (llmnr.address-record, 75%)
        server response {"id":48879,"query":"fileserver","qtype":"A","rcode":"NOERROR","answers":[{"name":"fileserver","type":"A","ttl":30,"data":"192.0.2.20"}]}
        "#);
    }

    #[test]
    fn only_its_own_port_makes_it_what_it_is() {
        let query = Builder::new(1, 0).question("wpad", kind::A, 1).build();
        assert_eq!(probe(&opening(&query, 53, false)), Verdict::No);
        assert_eq!(probe(&opening(&query, PORT, false)), Verdict::Yes);
    }

    any_bytes_are_survived!(PROTOCOL);
}
