//! TPKT and the connection-oriented transport protocol above it, which carry S7, MMS and RDP.
//!
//! RFC 1006 and RFC 2126 (TPKT: version 3, reserved, length), ISO 8073 / X.224 clause 13 (TPDUs). Only
//! class 0 is used over TCP.

use model::Side;

use super::{Emit, Input, Opening, Progress, Verdict};

/// IANA's port for `iso-tsap`.
pub(super) const PORTS: &[u16] = &[102];

/// Version, reserved and length of a TPKT (RFC 1006, clause 6).
const TPKT_HEADER: usize = 4;

/// The smallest TPKT: its header and a TPDU of a length indicator, a code and a number.
const MIN_TPKT: usize = 7;

/// A message that is sent in many TPDUs is put together up to this size.
const MAX_MESSAGE: usize = 65_536;

/// A look at the beginning of some bytes.
#[derive(Clone, Copy, Debug)]
enum Tpkt<'a> {
    /// More bytes are needed.
    Short,
    /// No TPKT begins here.
    Not,
    /// A whole TPKT of so many bytes: its TPDU, or `None` if what is inside is no TPDU.
    Whole(usize, Option<Tpdu<'a>>),
}

/// What a TPKT carries.
#[derive(Clone, Copy, Debug)]
enum Tpdu<'a> {
    /// CR: asks for a connection.
    ConnectionRequest(Connect<'a>),
    /// CC: accepts it.
    ConnectionConfirm(Connect<'a>),
    /// DR: refuses or ends it.
    Disconnect,
    /// DT: user data; `last` if the message ends with it.
    Data {
        /// Whether the message ends here (EOT).
        last: bool,
        /// The bytes.
        user: &'a [u8],
    },
    /// ER: reject, with a cause.
    Error(u8),
    /// Any other.
    Other,
}

/// The parameters of CR and CC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect<'a> {
    /// The variable part: code, length, value, each.
    parameters: &'a [u8],
}

impl<'a> Connect<'a> {
    /// The transport selector of who asks (parameter 0xc1).
    pub(super) fn calling(&self) -> Option<&'a [u8]> {
        self.parameter(0xc1)
    }

    /// The transport selector of who is asked (parameter 0xc2).
    pub(super) fn called(&self) -> Option<&'a [u8]> {
        self.parameter(0xc2)
    }

    fn parameter(&self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.parameters;
        while let [code, length, after @ ..] = rest {
            let value = after.get(..usize::from(*length))?;
            if *code == wanted {
                return Some(value);
            }
            rest = &after[value.len()..];
        }
        None
    }
}

/// Reads the TPKT at the beginning of `bytes`.
fn tpkt(bytes: &[u8]) -> Tpkt<'_> {
    match bytes {
        [] | [3] | [3, 0] | [3, 0, _] => Tpkt::Short,
        [3, 0, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length < MIN_TPKT {
                return Tpkt::Not;
            }
            match bytes.get(TPKT_HEADER..length) {
                Some(inside) => Tpkt::Whole(length, tpdu(inside)),
                // A length indicator that cannot be gives chance away before the rest is here.
                None if bytes.get(TPKT_HEADER + 1).is_some_and(|code| !is_code(*code)) => Tpkt::Not,
                None => Tpkt::Short,
            }
        }
        _ => Tpkt::Not,
    }
}

const fn is_code(code: u8) -> bool {
    matches!(code >> 4, 0x1 | 0x2 | 0x5..=0x8 | 0xc..=0xf)
}

fn tpdu(bytes: &[u8]) -> Option<Tpdu<'_>> {
    let (indicator, rest) = bytes.split_first()?;
    let (header, user) = rest.split_at_checked((*indicator).into())?;
    let code = *header.first()?;
    Some(match code & 0xf0 {
        // Destination and source reference, class, then the variable part (13.3.2 and 13.4.2).
        0xe0 => Tpdu::ConnectionRequest(Connect { parameters: header.get(6..)? }),
        0xd0 => Tpdu::ConnectionConfirm(Connect { parameters: header.get(6..)? }),
        0x80 => Tpdu::Disconnect,
        // Class 0: the number and the mark of the end (13.7.2).
        0xf0 => Tpdu::Data { last: header.get(1)? & 0x80 != 0, user },
        0x70 => Tpdu::Error(*header.get(3)?),
        _ if is_code(code) => Tpdu::Other,
        _ => return None,
    })
}

/// Puts a message of many DT TPDUs together, for one side.
#[derive(Debug, Default)]
struct Assembly {
    buffer: Vec<u8>,
    overflow: bool,
    /// Whether there was a gap and the next TPKT has yet to be found.
    searching: bool,
}

impl Assembly {
    /// Adds a part. What is returned, if anything, is a whole message; it is borrowed from the input
    /// where it came in one part. A message that is too long is `Err` once it ends.
    fn push<'a>(&'a mut self, last: bool, user: &'a [u8]) -> Option<Result<&'a [u8], TooLong>> {
        if last && self.buffer.is_empty() && !self.overflow {
            return Some(Ok(user));
        }
        if self.buffer.len() + user.len() > MAX_MESSAGE {
            self.overflow = true;
        }
        if !self.overflow {
            self.buffer.extend_from_slice(user);
        }
        if !last {
            return None;
        }
        if std::mem::take(&mut self.overflow) {
            self.buffer = Vec::new();
            return Some(Err(TooLong));
        }
        Some(Ok(&self.buffer))
    }

    /// Forgets what was collected: call it after a message was used, and at gaps.
    fn clear(&mut self) {
        self.buffer.clear();
        self.overflow = false;
    }
}

/// A message was longer than [`MAX_MESSAGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLong;

/// Judges a stream of TPKTs by the first data that it carries. The connection request alone does not
/// tell which of the protocols above ISO on TCP will follow.
pub(super) fn probe(opening: &Opening<'_>, fits: fn(&[u8]) -> bool) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let mut bytes = opening.bytes;
    loop {
        match tpkt(bytes) {
            Tpkt::Short => return Verdict::More,
            Tpkt::Not | Tpkt::Whole(_, None) => return Verdict::No,
            Tpkt::Whole(length, Some(tpdu)) => {
                match tpdu {
                    Tpdu::Data { user: [], .. } | Tpdu::ConnectionRequest(_) | Tpdu::ConnectionConfirm(_) => {
                    }
                    Tpdu::Data { user, .. } => return if fits(user) { Verdict::Yes } else { Verdict::No },
                    _ => return Verdict::No,
                }
                bytes = &bytes[length..];
            }
        }
    }
}

/// What a stream of TPKTs carries.
pub(super) enum Unit<'a> {
    /// A connection is asked for or confirmed.
    Connect { request: bool, connect: Connect<'a> },
    /// A whole message.
    Message(&'a [u8]),
}

/// Both directions of a stream of TPKTs.
#[derive(Debug, Default)]
pub(super) struct TpktStream([Assembly; 2]);

impl TpktStream {
    /// Reads TPKTs and hands on what they carry, until `take` says that it is another protocol.
    pub(super) fn read(
        &mut self,
        input: &Input<'_>,
        out: &mut Emit<'_>,
        fits: fn(&[u8]) -> bool,
        mut take: impl FnMut(Unit<'_>, &mut Emit<'_>) -> bool,
    ) -> Progress {
        let assembly = &mut self.0[input.from.index()];
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            if assembly.searching {
                match search(bytes, fits) {
                    Ok(at) => {
                        assembly.searching = false;
                        taken += at;
                        continue;
                    }
                    Err(useless) => return Progress::Took(taken + useless),
                }
            }
            let (length, tpdu) = match tpkt(bytes) {
                Tpkt::Short => break,
                Tpkt::Not => return Progress::Lost("framing"),
                Tpkt::Whole(length, tpdu) => (length, tpdu),
            };
            taken += length;
            let goes_on = match tpdu {
                Some(Tpdu::ConnectionRequest(connect)) => take(Unit::Connect { request: true, connect }, out),
                Some(Tpdu::ConnectionConfirm(connect)) => {
                    take(Unit::Connect { request: false, connect }, out)
                }
                Some(Tpdu::Data { last: true, user: [] }) => true,
                Some(Tpdu::Data { last, user }) => {
                    let goes_on = match assembly.push(last, user) {
                        None => true,
                        Some(Ok(message)) => take(Unit::Message(message), out),
                        Some(Err(TooLong)) => {
                            let text = format_args!("more than {MAX_MESSAGE} bytes");
                            out.anomaly(input.from, "message-too-long", text);
                            true
                        }
                    };
                    if last {
                        assembly.clear();
                    }
                    goes_on
                }
                Some(Tpdu::Error(cause)) => {
                    out.anomaly(input.from, "tpdu-error", format_args!("reject cause {cause}"));
                    true
                }
                Some(Tpdu::Disconnect | Tpdu::Other) => true,
                None => {
                    out.anomaly(input.from, "tpdu", format_args!("a TPKT of {length} bytes without a TPDU"));
                    true
                }
            };
            if !goes_on {
                return Progress::Lost("another-protocol");
            }
        }
        Progress::Took(taken)
    }

    /// Bytes from `from` are missing: a message that was begun is given up, and the next TPKT looked for.
    pub(super) fn gap(&mut self, from: Side) {
        let assembly = &mut self.0[from.index()];
        assembly.clear();
        assembly.searching = true;
    }
}

/// Finds after a gap where a TPKT with data begins, or how many bytes cannot begin one.
fn search(bytes: &[u8], fits: impl Fn(&[u8]) -> bool) -> Result<usize, usize> {
    for at in 0..bytes.len() {
        match tpkt(&bytes[at..]) {
            Tpkt::Whole(_, Some(Tpdu::Data { user, .. })) if fits(user) => return Ok(at),
            // Only a header that may yet be completed is kept.
            Tpkt::Short
                if bytes.len() - at < MIN_TPKT || bytes[at + TPKT_HEADER..].starts_with(&[2, 0xf0, 0x80]) =>
            {
                return Err(at);
            }
            _ => {}
        }
    }
    Err(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection request as an S7 client sends it: source 0x0100, destination rack 0 slot 2.
    const REQUEST: &[u8] = &[3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];

    #[test]
    fn a_connection_request_names_both_selectors() {
        let Tpkt::Whole(22, Some(Tpdu::ConnectionRequest(connect))) = tpkt(REQUEST) else {
            panic!("{:?}", tpkt(REQUEST));
        };
        assert_eq!(connect.calling(), Some(&[1, 0][..]));
        assert_eq!(connect.called(), Some(&[1, 2][..]));
    }

    #[test]
    fn a_message_in_two_parts_becomes_whole_and_the_next_starts_afresh() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.push(false, b"ab"), None);
        assert_eq!(assembly.push(true, b"cd"), Some(Ok(&b"abcd"[..])));
        assembly.clear();
        assert_eq!(assembly.push(true, b"ef"), Some(Ok(&b"ef"[..])));
    }

    #[test]
    fn a_message_without_end_is_given_up_and_not_kept() {
        let mut assembly = Assembly::default();
        let part = vec![0; 40_000];
        assert_eq!(assembly.push(false, &part), None);
        assert_eq!(assembly.push(false, &part), None);
        assert_eq!(assembly.push(true, b"end"), Some(Err(TooLong)));
        assert_eq!(assembly.push(true, b"new"), Some(Ok(&b"new"[..])));
    }
}
