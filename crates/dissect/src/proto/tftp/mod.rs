//! Trivial File Transfer Protocol (RFC 1350): how firmware and configurations travel to many devices.
//!
//! Only the request goes to the known port; the data flows between two others. There it is recognised by
//! its first full block or by the server's agreement to options.

use std::borrow::Cow;

use model::{OperationKind, Outcome, Value};
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
    let known = Request::read(opening.bytes).is_some() || begins_transfer(opening.bytes);
    if !opening.stream && known { Verdict::Yes } else { Verdict::No }
}

/// Whether this is how data begins to flow: the first block, full (RFC 1350 clause 6), or the options that
/// are agreed on (RFC 2347: names and decimal values, each with a zero byte behind it).
fn begins_transfer(bytes: &[u8]) -> bool {
    match bytes {
        [0, 3, 0, 1, data @ ..] => data.len() == BLOCK,
        [0, 6, options @ .., 0] => {
            let mut strings = options.split(|byte| *byte == 0);
            let known = |name: &[u8]| OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name));
            let decimal = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let mut agreed = false;
            while let Some(name) = strings.next() {
                if !known(name) || !strings.next().is_some_and(decimal) {
                    return false;
                }
                agreed = true;
            }
            agreed
        }
        _ => false,
    }
}

/// The data of a block unless another size was agreed on (RFC 1350 clause 2), in bytes.
const BLOCK: usize = 512;

/// The options of RFC 2348, RFC 2349 and RFC 7440.
const OPTIONS: &[&[u8]] = &[b"blksize", b"tsize", b"timeout", b"windowsize"];

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
        // The first block of a program begins with its mark.
        if let [0, 3, 0, 1, block @ ..] = input.bytes
            && let Some(kind) = super::text::program(block)
        {
            let value = Some(Value::Text(kind.into()));
            out.operation(
                input.from.other(),
                OperationKind::TransferFile,
                "data",
                None,
                value,
                Outcome::Done,
            );
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

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

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

    #[test]
    fn the_transfer_itself_is_recognised_on_any_port() {
        let block = |length| [vec![0, 3, 0, 1], vec![0x5a; length]].concat();
        for (bytes, known) in [
            (block(512), true),
            (block(511), false),
            (b"\x00\x06tsize\x00524288\0blksize\x001428\0".to_vec(), true),
            (b"\x00\x06\0".to_vec(), false),
            (b"\x00\x06tsize\0many\0".to_vec(), false),
            (b"\x00\x06colour\x003\0".to_vec(), false),
        ] {
            assert_eq!(begins_transfer(&bytes), known, "{bytes:02x?}");
        }
    }

    any_bytes_are_survived!(PROTOCOL);
}
