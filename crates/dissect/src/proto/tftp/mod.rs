//! Trivial File Transfer Protocol (RFC 1350): how firmware and configurations travel to many devices.
//!
//! Only the request goes to the known port; the data flows between two others, without anything that
//! would tell it from noise, and is left alone.

use std::borrow::Cow;

use model::{OperationKind, Outcome};
use serde::Serialize;

use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Verdict};

/// TFTP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "tftp",
    name: "Trivial File Transfer Protocol",
    spec: "RFC 1350, RFC 2347",
    carriers: &[Carrier::Udp(&[69])],
    probe,
    start: || Box::new(Tftp),
};

/// Longest file name that is taken for one, in bytes.
const MAX_NAME: usize = 255;

fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream && Request::read(opening.bytes).is_some() { Verdict::Yes } else { Verdict::No }
}

/// A request to read or write a file (RFC 1350 clause 5, figure 5-1), with options (RFC 2347).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Request<'a> {
    #[serde(skip)]
    write: bool,
    filename: Cow<'a, str>,
    mode: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blksize: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tsize: Option<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let write = match reader.be16().ok()? {
            1 => false,
            2 => true,
            _ => return None,
        };
        // Every string ends with a zero byte, also the last.
        let mut strings = reader.rest().strip_suffix(&[0])?.split(|byte| *byte == 0);
        let filename = strings.next().filter(|name| (1..=MAX_NAME).contains(&name.len()))?;
        let mode = strings.next()?;
        if ![b"netascii".as_slice(), b"octet", b"mail"].iter().any(|known| known.eq_ignore_ascii_case(mode)) {
            return None;
        }
        let mut request =
            Self { write, filename: text(filename), mode: text(mode), blksize: None, tsize: None };
        while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
            if name.eq_ignore_ascii_case(b"blksize") {
                request.blksize = Some(text(value));
            } else if name.eq_ignore_ascii_case(b"tsize") {
                request.tsize = Some(text(value));
            }
        }
        Some(request)
    }
}

/// An error (RFC 1350 clause 5, figure 5-4).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Failure<'a> {
    error_code: u16,
    error_message: Cow<'a, str>,
}

/// Reads one conversation.
struct Tftp;

impl Parser for Tftp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        if let Some(request) = Request::read(input.bytes) {
            let name = if request.write { "write-request" } else { "read-request" };
            let target = Some(Box::from(&*request.filename));
            out.operation(input.from, OperationKind::TransferFile, name, target, None, Outcome::Asked);
            out.message(input.from, name, &request);
            return taken;
        }
        let mut reader = Reader::new(input.bytes);
        match reader.be16() {
            // Data, acknowledgement and option acknowledgement, from servers that keep their port.
            Ok(3 | 4 | 6) => {}
            Ok(5) => {
                let error_code = reader.be16().unwrap_or(0);
                let failure = Failure { error_code, error_message: text(reader.rest()) };
                out.message(input.from, "error", &failure);
            }
            _ => out.anomaly(input.from, "opcode", format_args!("{} bytes", input.bytes.len())),
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use model::Side;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    #[test]
    fn a_request_names_the_file_and_an_error_says_why_not() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, b"\x00\x02fw/plug-2.1.bin\0octet\0tsize\x00524288\0"),
                (Side::Server, b"\x00\x05\x00\x02Access violation\0"),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        operation client TransferFile write-request fw/plug-2.1.bin - Asked
        client write-request {"filename":"fw/plug-2.1.bin","mode":"octet","tsize":"524288"}
        server error {"error-code":2,"error-message":"Access violation"}
        "#);
    }

    #[test]
    fn what_only_begins_like_a_request_is_refused() {
        for bytes in
            [b"\x00\x01a\0octet".as_slice(), b"\x00\x01\0octet\0", b"\x00\x01a\0binary\0", b"\x00\x03a"]
        {
            assert!(Request::read(bytes).is_none(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            survives(&PROTOCOL, &[(Side::Client, bytes)]);
        }
    }
}
