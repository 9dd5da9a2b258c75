//! Network Time Protocol (RFC 5905), with its control messages (RFC 9327) and the private ones of the
//! reference implementation. Fields agree in meaning with those of Zeek's `ntp.log`.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::Ipv4Addr;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp};
use serde::Serialize;

use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// NTP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "ntp",
    name: "Network Time Protocol",
    spec: "RFC 5905, RFC 9327",
    carriers: &[Carrier::Udp(&[123])],
    probe,
    start: || Box::new(Ntp::default()),
};

/// Length of a packet without extension fields (RFC 5905 clause 7.3).
const PACKET: usize = 48;

/// Least length of a control or private message.
const CONTROL: usize = 8;

/// Requests whose transmit timestamps are remembered, to know their answers.
const REMEMBERED: usize = 4;

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    let Some(first) = bytes.first().filter(|_| !opening.stream) else { return Verdict::No };
    let (version, mode) = (first >> 3 & 7, first & 7);
    match (version, mode) {
        (1..=4, 1..=5) => match Time::read(bytes) {
            Ok(packet) if bytes.len().is_multiple_of(4) => packet.judge(bytes.len()),
            _ => Verdict::No,
        },
        (1..=4, 6 | 7) if bytes.len() >= CONTROL => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// A packet that carries time.
struct Time {
    leap: u8,
    version: u8,
    mode: u8,
    stratum: u8,
    poll: i8,
    precision: i8,
    root_delay: u32,
    root_dispersion: u32,
    reference_id: [u8; 4],
    reference: u64,
    origin: u64,
    receive: u64,
    transmit: u64,
}

impl Time {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8()?;
        Ok(Self {
            leap: first >> 6,
            version: first >> 3 & 7,
            mode: first & 7,
            stratum: reader.u8()?,
            poll: reader.u8()?.cast_signed(),
            precision: reader.u8()?.cast_signed(),
            root_delay: reader.be32()?,
            root_dispersion: reader.be32()?,
            reference_id: reader.array()?,
            reference: reader.be64()?,
            origin: reader.be64()?,
            receive: reader.be64()?,
            transmit: reader.be64()?,
        })
    }

    /// There is no magic number; fields that agree are the next best thing.
    fn judge(&self, length: usize) -> Verdict {
        if self.stratum > 16 || !(-32..=24).contains(&self.poll) || self.precision > 0 {
            return Verdict::No;
        }
        // A server stamps its answer right after it received the request.
        let seconds = |stamp: u64| stamp >> 32;
        let close = seconds(self.transmit).wrapping_sub(seconds(self.receive)) <= 1;
        if self.mode == 4 && length == PACKET && self.receive != 0 && close {
            return Verdict::Yes;
        }
        Verdict::Maybe
    }
}

/// The name of a mode (RFC 5905 figure 10).
const fn mode_name(mode: u8) -> &'static str {
    match mode {
        1 => "symmetric-active",
        2 => "symmetric-passive",
        3 => "client",
        4 => "server",
        5 => "broadcast",
        6 => "control",
        7 => "private",
        _ => "reserved",
    }
}

/// A packet that carries time, as told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Packet {
    version: u8,
    mode: u8,
    /// 3: not synchronised.
    leap: u8,
    stratum: u8,
    /// Seconds between requests.
    poll: f64,
    /// Seconds.
    precision: f64,
    /// Seconds.
    root_delay: f64,
    /// Seconds.
    root_dispersion: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transmit_time: Option<Timestamp>,
    /// Bytes of extension fields and authentication after the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    extension_length: Option<usize>,
}

impl Packet {
    fn new(time: &Time, length: usize) -> Self {
        let short = |value: u32| f64::from(value) / 65_536.0;
        Self {
            version: time.version,
            mode: time.mode,
            leap: time.leap,
            stratum: time.stratum,
            poll: f64::from(time.poll).exp2(),
            precision: f64::from(time.precision).exp2(),
            root_delay: short(time.root_delay),
            root_dispersion: short(time.root_dispersion),
            reference_id: reference_id(time.stratum, time.reference_id),
            reference_time: moment(time.reference),
            origin_time: moment(time.origin),
            receive_time: moment(time.receive),
            transmit_time: moment(time.transmit),
            extension_length: (length > PACKET).then(|| length - PACKET),
        }
    }
}

/// RFC 5905 clause 7.3, "Reference ID": a kiss code or clock for strata 0 and 1, else the server's address
/// or a digest of it, which looks the same.
fn reference_id(stratum: u8, id: [u8; 4]) -> Option<String> {
    if id == [0; 4] {
        return None;
    }
    if stratum > 1 {
        return Some(Ipv4Addr::from(id).to_string());
    }
    let mut shown = String::new();
    for byte in id.into_iter().filter(|byte| *byte != 0) {
        match byte {
            b' '..=b'~' => shown.push(char::from(byte)),
            // Writing to a string cannot fail.
            byte => drop(write!(shown, "\\x{byte:02x}")),
        }
    }
    Some(shown)
}

/// A timestamp (RFC 5905 clause 6): seconds and fractions since 1900, or since 2036 if the top bit is
/// clear (RFC 4330 clause 3). None for zero and for what is before 1970.
fn moment(stamp: u64) -> Option<Timestamp> {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    /// Seconds from 1900 to 2036.
    const ERA: u64 = 1 << 32;
    if stamp == 0 {
        return None;
    }
    let era = if stamp >> 63 == 0 { ERA } else { 0 };
    let seconds = ((stamp >> 32) + era).checked_sub(EPOCH)?;
    let nanos = ((stamp & 0xffff_ffff) * 1_000_000_000) >> 32;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos).map(Timestamp::from_nanos)
}

/// A control message (RFC 9327 clause 2).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Control<'a> {
    version: u8,
    mode: u8,
    response: bool,
    error: bool,
    more: bool,
    opcode: &'static str,
    sequence: u16,
    status: u16,
    association_id: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    data: Cow<'a, str>,
}

/// The name of a control opcode, and what it asks for.
const fn control_opcode(code: u8) -> (&'static str, OperationKind) {
    match code {
        1 => ("read-status", OperationKind::Read),
        2 => ("read-variables", OperationKind::Read),
        3 => ("write-variables", OperationKind::Write),
        4 => ("read-clock-variables", OperationKind::Read),
        5 => ("write-clock-variables", OperationKind::Write),
        6 => ("set-trap", OperationKind::Configure),
        7 => ("trap", OperationKind::Publish),
        8 => ("configure", OperationKind::Configure),
        9 => ("save-configuration", OperationKind::Configure),
        10 => ("read-mru-list", OperationKind::Read),
        11 => ("read-ordered-list", OperationKind::Read),
        12 => ("request-nonce", OperationKind::Read),
        31 => ("unset-trap", OperationKind::Configure),
        _ => ("reserved", OperationKind::Diagnose),
    }
}

/// A private message, as the reference implementation of NTP has them ("ntp_request.h").
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Private {
    version: u8,
    mode: u8,
    response: bool,
    more: bool,
    authenticated: bool,
    sequence: u8,
    implementation: u8,
    request_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'static str>,
    error: u8,
    items: u16,
    item_size: u16,
}

/// Requests of private messages that scanners and amplification attacks use.
const fn private_request(code: u8) -> Option<&'static str> {
    match code {
        0 => Some("peer-list"),
        1 => Some("peer-list-sum"),
        2 => Some("peer-info"),
        4 => Some("sys-info"),
        5 => Some("sys-stats"),
        16 => Some("get-restrict"),
        20 => Some("mon-getlist"),
        42 => Some("mon-getlist-1"),
        _ => None,
    }
}

/// Reads one conversation.
#[derive(Default)]
struct Ntp {
    /// Transmit timestamps of the latest requests of each side.
    asked: [[u64; REMEMBERED]; 2],
    next: [usize; 2],
    told_role: bool,
}

impl Parser for Ntp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mode = input.bytes.first().map_or(0, |first| first & 7);
        let read = match mode {
            6 => control(input.bytes, from, out),
            7 => private(input.bytes, from, out),
            _ => self.time(input.bytes, from, out),
        };
        if read.is_err() && input.cut == 0 {
            out.anomaly(from, "packet-truncated", format_args!("{} bytes", input.bytes.len()));
        }
        Progress::Took(input.bytes.len())
    }
}

impl Ntp {
    fn time(&mut self, bytes: &[u8], from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
        let time = Time::read(bytes)?;
        if time.stratum > 16 {
            out.anomaly(from, "stratum", format_args!("{}", time.stratum));
        }
        match time.mode {
            // Stratum 0 in an answer is a refusal, 16 is a clock that is not set (RFC 5905 figure 11).
            4 | 5 if !self.told_role && (1..16).contains(&time.stratum) => {
                self.told_role = true;
                out.role(from, Role::TimeServer, "ntp.mode", Confidence::CERTAIN);
            }
            _ => {}
        }
        match time.mode {
            3 => {
                let side = from.index();
                self.asked[side][self.next[side] % REMEMBERED] = time.transmit;
                self.next[side] = self.next[side].wrapping_add(1);
            }
            4 => {
                // RFC 5905 clause 8, TEST2: an answer repeats the timestamp of the request, else it may be
                // forged. What was asked before the capture began is not known.
                let side = from.other().index();
                let known = self.asked[side];
                if self.next[side] > 0 && !known.contains(&time.origin) {
                    out.anomaly(from, "origin-mismatch", format_args!("{:#018x}", time.origin));
                }
            }
            _ => {}
        }
        if out.wants_messages() {
            out.message(from, mode_name(time.mode), &Packet::new(&time, bytes.len()));
        }
        Ok(())
    }
}

fn control(bytes: &[u8], from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(bytes);
    let (first, flags) = (reader.u8()?, reader.u8()?);
    let (sequence, status) = (reader.be16()?, reader.be16()?);
    let (association_id, _offset, count) = (reader.be16()?, reader.be16()?, reader.be16()?);
    let rest = reader.rest();
    let data = text(rest.get(..usize::from(count)).unwrap_or(rest));
    let response = flags & 0x80 != 0;
    let (opcode, kind) = control_opcode(flags & 0x1f);
    if !response {
        out.operation(from, kind, opcode, None, None, Outcome::Asked);
    } else if flags & 0x1f == 2 && association_id == 0 {
        system_variables(&data, from, out);
    }
    out.message(
        from,
        "control",
        &Control {
            version: first >> 3 & 7,
            mode: 6,
            response,
            error: flags & 0x40 != 0,
            more: flags & 0x20 != 0,
            opcode,
            sequence,
            status,
            association_id,
            // A request to write or configure can hold secrets.
            data: if response { data } else { Cow::Borrowed("") },
        },
    );
    Ok(())
}

/// The variables that describe the host (RFC 9327 clause 2, "system variables"):
/// `version="ntpd 4.2.8p15", processor="x86_64", system="Linux/5.10.0"`.
fn system_variables(data: &str, from: Side, out: &mut Emit<'_>) {
    for part in data.split(',') {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        let attribute = match name.trim() {
            "version" => Attribute::Software,
            "processor" => Attribute::Hardware,
            "system" => Attribute::OperatingSystem,
            _ => continue,
        };
        // "ntpd 4.2.8p15@1.3728-o Wed Sep 23 ...": what follows the first two words is the build.
        let words: Vec<&str> = value.split(['@', ' ']).take(2).collect();
        let shown = match attribute {
            Attribute::Software => words.join(" "),
            Attribute::OperatingSystem => value.replacen('/', " ", 1),
            _ => value.to_owned(),
        };
        out.fact(from, attribute, shown, "ntp.system-variables", Confidence::CERTAIN);
    }
}

fn private(bytes: &[u8], from: Side, out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(bytes);
    let (first, second) = (reader.u8()?, reader.u8()?);
    let (implementation, request_code) = (reader.u8()?, reader.u8()?);
    let (error, size) = (reader.be16()?, reader.be16()?);
    let response = first & 0x80 != 0;
    let request = private_request(request_code);
    if !response {
        out.operation(
            from,
            OperationKind::Diagnose,
            request.unwrap_or("private"),
            None,
            None,
            Outcome::Asked,
        );
    }
    out.message(
        from,
        "private",
        &Private {
            version: first >> 3 & 7,
            mode: 7,
            response,
            more: first & 0x40 != 0,
            authenticated: second & 0x80 != 0,
            sequence: second & 0x7f,
            implementation,
            request_code,
            request,
            error: (error >> 12) as u8,
            items: error & 0x0fff,
            item_size: size & 0x0fff,
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, opening, survives};

    fn packet(first: u8, stratum: u8, id: [u8; 4], stamps: [u64; 4]) -> Vec<u8> {
        let mut bytes = vec![first, stratum, 6, 0xec, 0, 0, 0x01, 0x80, 0, 0, 0x04, 0];
        bytes.extend(id);
        bytes.extend(stamps.iter().flat_map(|stamp| stamp.to_be_bytes()));
        bytes
    }

    /// 2024-01-01T00:00:00.5Z.
    const NEW_YEAR: u64 = (1_704_067_200 + 2_208_988_800) << 32 | 1 << 31;

    fn request() -> Vec<u8> {
        packet(0x23, 0, [0; 4], [0, 0, 0, 0x0123_4567_89ab_cdef])
    }

    fn answer(origin: u64) -> Vec<u8> {
        packet(0x24, 2, [192, 0, 2, 1], [NEW_YEAR, origin, NEW_YEAR, NEW_YEAR + 4096])
    }

    #[test]
    fn a_server_answers_with_the_time() {
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &request()), (Side::Server, &answer(0x0123_4567_89ab_cdef))],
        );
        insta::assert_snapshot!(text, @r#"
        client client {"version":4,"mode":3,"leap":0,"stratum":0,"poll":64.0,"precision":9.5367431640625e-7,"root-delay":0.005859375,"root-dispersion":0.015625,"transmit-time":"2036-09-15T04:53:59.537777777Z"}
        fact 192.0.2.20 role = "time-server" (ntp.mode, 95%)
        server server {"version":4,"mode":4,"leap":0,"stratum":2,"poll":64.0,"precision":9.5367431640625e-7,"root-delay":0.005859375,"root-dispersion":0.015625,"reference-id":"192.0.2.1","reference-time":"2024-01-01T00:00:00.5Z","origin-time":"2036-09-15T04:53:59.537777777Z","receive-time":"2024-01-01T00:00:00.5Z","transmit-time":"2024-01-01T00:00:00.500000953Z"}
        "#);
    }

    #[test]
    fn an_answer_to_another_question_may_be_forged() {
        let text = converse(&PROTOCOL, &[(Side::Client, &request()), (Side::Server, &answer(1))]);
        assert!(text.contains("anomaly server origin-mismatch: 0x0000000000000001"), "{text}");
        let text = converse(&PROTOCOL, &[(Side::Server, &answer(1))]);
        assert!(!text.contains("anomaly"), "the question came before the capture: {text}");
    }

    #[test]
    fn refusals_make_no_time_server() {
        let kiss = packet(0xe4, 0, *b"RATE", [0, 1, 2, 3]);
        let text = converse(&PROTOCOL, &[(Side::Server, &kiss)]);
        assert!(text.contains(r#""reference-id":"RATE""#) && !text.contains("role"), "{text}");
    }

    #[test]
    fn control_messages_describe_the_host_and_private_ones_are_operations() {
        let read = [0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let data =
            b"version=\"ntpd 4.2.8p15@1.3728-o Wed\", processor=\"armv7l\", system=\"Linux/5.10.1\", leap=0";
        let length = u8::try_from(data.len()).unwrap();
        let variables = [&[0x16, 0x82, 0, 1, 6, 0x15, 0, 0, 0, 0, 0, length][..], data].concat();
        let monlist = [0x17, 0, 3, 42, 0, 0, 0, 0];
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &read), (Side::Server, &variables), (Side::Client, &monlist)],
        );
        insta::assert_snapshot!(text, @r#"
        operation client Read read-variables - - Asked
        client control {"version":2,"mode":6,"response":false,"error":false,"more":false,"opcode":"read-variables","sequence":1,"status":0,"association-id":0}
        fact 192.0.2.20 software = "ntpd 4.2.8p15" (ntp.system-variables, 95%)
        fact 192.0.2.20 hardware = "armv7l" (ntp.system-variables, 95%)
        fact 192.0.2.20 operating-system = "Linux 5.10.1" (ntp.system-variables, 95%)
        server control {"version":2,"mode":6,"response":true,"error":false,"more":false,"opcode":"read-variables","sequence":1,"status":1557,"association-id":0,"data":"version=\"ntpd 4.2.8p15@1.3728-o Wed\", processor=\"armv7l\", system=\"Linux/5.10.1\", leap=0"}
        operation client Diagnose mon-getlist-1 - - Asked
        client private {"version":2,"mode":7,"response":false,"more":false,"authenticated":false,"sequence":0,"implementation":3,"request-code":42,"request":"mon-getlist-1","error":0,"items":0,"item-size":0}
        "#);
    }

    #[test]
    fn times_after_2036_and_before_1970_are_understood() {
        assert_eq!(moment(1 << 32).map(|time| time.to_string()).as_deref(), Some("2036-02-07T06:28:17Z"));
        assert_eq!(moment(2_208_988_799 << 32), None);
        assert_eq!(moment(0), None);
    }

    #[test]
    fn only_an_answer_is_sure_of_itself_away_from_its_port() {
        let ask = |bytes: &[u8]| probe(&opening(bytes, 6000, false));
        assert_eq!(ask(&answer(1)), Verdict::Yes);
        assert_eq!(ask(&request()), Verdict::Maybe);
        assert_eq!(ask(&[0; 48]), Verdict::No);
        assert_eq!(ask(&request()[..47]), Verdict::No);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mode in 0_u8..8, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            survives(&PROTOCOL, &[(Side::Client, [&[0x20 | mode][..], &bytes].concat())]);
        }
    }
}
