//! HTTP/2 (RFC 9113), by name only: its header compression keeps what would be told to the endpoints.

use model::Side;

use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// HTTP/2.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "http2",
    name: "Hypertext Transfer Protocol 2",
    spec: "RFC 9113",
    carriers: &[Carrier::Tcp(&[80, 8080, 50_051])],
    probe,
    start: || Box::new(Http2),
};

/// What every client sends first (RFC 9113 clause 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's header (clause 4.1) and of one setting (clause 6.5.1).
const FRAME_HEADER: usize = 9;
const SETTING: usize = 6;

/// Settings that are believed in one frame.
const MAX_SETTINGS: u32 = 16;

/// The client's preface, or a server's SETTINGS frame with settings that are assigned.
fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream || bytes.is_empty() {
        return Verdict::No;
    }
    let common = bytes.len().min(PREFACE.len());
    if bytes[..common] == PREFACE[..common] {
        return if common == PREFACE.len() { Verdict::Yes } else { Verdict::More };
    }
    // Clause 6.5: type 4, no flags, stream 0, settings of six bytes each.
    let [0, high, low, 4, 0, 0, 0, 0, 0, settings @ ..] = bytes else {
        let begins =
            bytes.len() < FRAME_HEADER && bytes[0] == 0 && bytes.get(3).is_none_or(|kind| *kind == 4);
        return if begins && opening.from == Side::Server { Verdict::More } else { Verdict::No };
    };
    let length = u32::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || !length.is_multiple_of(SETTING as u32) || length > MAX_SETTINGS * SETTING as u32 {
        return Verdict::No;
    }
    match settings.get(..length as usize) {
        None => Verdict::More,
        Some(settings) => {
            // IANA HTTP/2 Settings: 1 to 6, 8, 9 and 16; others are to be ignored, but are rare.
            let assigned = |setting: &[u8]| matches!(setting, [0, 1..=9 | 16, ..]);
            if settings.chunks(SETTING).all(assigned) { Verdict::Yes } else { Verdict::Maybe }
        }
    }
}

struct Http2;

impl Parser for Http2 {
    fn parse(&mut self, _input: &Input<'_>, _out: &mut Emit<'_>) -> Progress {
        Progress::Enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(bytes: &[u8], from: Side) -> Verdict {
        probe(&Opening { bytes, from, client_port: 1, server_port: 1, stream: true })
    }

    #[test]
    fn the_preface_and_the_first_settings_are_known() {
        assert_eq!(verdict(PREFACE, Side::Client), Verdict::Yes);
        assert_eq!(verdict(&PREFACE[..5], Side::Client), Verdict::More);
        let settings = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64";
        assert_eq!(verdict(settings, Side::Server), Verdict::Yes);
        assert_eq!(verdict(&settings[..12], Side::Server), Verdict::More);
        assert_eq!(verdict(b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a", Side::Server), Verdict::No);
        assert_eq!(crate::testing::converse(&PROTOCOL, &[(Side::Client, PREFACE)]), "enough\n");
    }

    proptest! {
        #[test]
        fn random_bytes_are_not_taken_for_http2(bytes in proptest::collection::vec(any::<u8>(), 9..80)) {
            prop_assert_ne!(verdict(&bytes, Side::Server), Verdict::Yes);
        }
    }
}
