//! TP-Link Smart Home: plugs, lamps and switches of the Kasa family, which tell who they are and obey
//! anybody on their network.
//!
//! Messages: `request`, `response`, with module and command; no values, for among them is the key of the
//! wireless network. Facts: vendor, model, label, firmware, hardware, identifier.

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::text::{clean, find};
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// TP-Link Smart Home.
pub const PROTOCOL: Protocol = Protocol {
    id: "tplink-smarthome",
    name: "TP-Link Smart Home",
    spec: "Reverse Engineering the TP-Link HS110 (Stroetmann, Esser, softScheck 2016)",
    carriers: &[Carrier::Tcp(&[9999]), Carrier::Udp(&[9999])],
    probe,
    start: || Box::new(SmartHome),
};

/// The first key of the cipher, each further one being the byte before, enciphered.
const FIRST_KEY: u8 = 171;

/// Messages are longer only if they are none, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;

/// How `{"` begins a message, and `{}` one that asks for nothing.
const BEGINNINGS: [[u8; 2]; 2] = [[0xd0, 0xf2], [0xd0, 0xad]];

/// Longest name of a module or command that is told, in bytes.
const MAX_NAME: usize = 48;

/// Longest value that is taken from a message, in bytes.
const MAX_VALUE: usize = 128;

fn begins(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|two| BEGINNINGS.contains(two))
}

fn decipher(bytes: &[u8]) -> Vec<u8> {
    let keys = std::iter::once(&FIRST_KEY).chain(bytes);
    bytes.iter().zip(keys).map(|(byte, key)| byte ^ key).collect()
}

/// The length of a message on a stream, which stands before it in four bytes.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    (2..=MAX_MESSAGE).contains(&length).then_some(length)
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if opening.stream {
        return match (length(bytes), bytes.get(4..)) {
            (Some(_), Some(body)) if body.len() < 2 => Verdict::More,
            (Some(_), Some(body)) if begins(body) => Verdict::Yes,
            (None, _) if bytes.len() < 4 && bytes.first() == Some(&0) => Verdict::More,
            _ => Verdict::No,
        };
    }
    // The last character is a closing bracket: what it is enciphered with stands before it.
    let closed = matches!(bytes, [.., key, last] if key ^ last == b'}');
    if begins(bytes) && closed && bytes.len() <= MAX_MESSAGE { Verdict::Yes } else { Verdict::No }
}

#[derive(Serialize)]
struct Command<'a> {
    module: &'a str,
    command: &'a str,
}

/// The text between the next two quotation marks, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = text.iter().position(|byte| *byte == b'"')? + 1;
    let rest = text.get(begin..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    Some((&rest[..end], rest.get(end + 1..)?))
}

/// The text that an object's member holds; the first member of that name counts.
fn member<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = find(text, name)? + name.len();
    let value = text.get(at..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let (value, _) = quoted(value).filter(|_| value.first() == Some(&b'"'))?;
    (!value.is_empty() && value.len() <= MAX_VALUE).then_some(value)
}

struct SmartHome;

impl Parser for SmartHome {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if out.flow().transport != model::Transport::Tcp {
            tell(input.from, &decipher(input.bytes), out);
            return Progress::Took(input.bytes.len());
        }
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| bytes.len() >= 4) {
            let Some(length) = length(bytes) else { return Progress::Lost("length") };
            let Some(body) = bytes.get(4..4 + length) else { break };
            if !begins(body) {
                return Progress::Lost("cipher");
            }
            tell(input.from, &decipher(body), out);
            taken += 4 + length;
        }
        Progress::Took(taken)
    }
}

fn tell(from: Side, message: &[u8], out: &mut Emit<'_>) {
    let Some((module, rest)) = quoted(message) else { return };
    let command = quoted(rest).map_or(&[][..], |(command, _)| command);
    let (module, command) = (clean(module, MAX_NAME), clean(command, MAX_NAME));
    // Every answer has a code for its result; a query has none.
    let answer = find(message, "\"err_code\"").is_some();
    out.message(
        from,
        if answer { "response" } else { "request" },
        &Command { module: &module, command: &command },
    );
    if !answer {
        if let Some(kind) = operation(&command) {
            out.operation(from, kind, command.into_owned(), Some(module.into()), None, Outcome::Asked);
        }
        return;
    }
    if command != "get_sysinfo" {
        return;
    }
    out.role(from, Role::SmartDevice, "tplink-smarthome.sysinfo", Confidence::CERTAIN);
    out.fact(from, Attribute::Vendor, "TP-Link", "tplink-smarthome.sysinfo", Confidence::STRONG);
    let told = [
        ("\"model\"", Attribute::Model, "tplink-smarthome.model"),
        ("\"alias\"", Attribute::Label, "tplink-smarthome.alias"),
        ("\"sw_ver\"", Attribute::Firmware, "tplink-smarthome.sw-ver"),
        ("\"hw_ver\"", Attribute::Hardware, "tplink-smarthome.hw-ver"),
        ("\"deviceId\"", Attribute::Identifier, "tplink-smarthome.device-id"),
    ];
    for (name, attribute, source) in told {
        if let Some(value) = member(message, name) {
            out.fact(from, attribute, clean(value, MAX_VALUE), source, Confidence::CERTAIN);
        }
    }
}

/// What a command asks for.
fn operation(command: &str) -> Option<OperationKind> {
    Some(match command {
        "get_sysinfo" => OperationKind::Identify,
        "set_relay_state" | "transition_light_state" | "set_brightness" | "set_switch_state" => {
            OperationKind::Write
        }
        "reboot" => OperationKind::Restart,
        "download_firmware" | "flash_firmware" => OperationKind::FirmwareUpdate,
        "set_time" | "set_timezone" => OperationKind::SetTime,
        _ if command.starts_with("get_") => OperationKind::Read,
        _ if command.starts_with("set_")
            || command == "reset"
            || command == "bind"
            || command == "unbind" =>
        {
            OperationKind::Configure
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, survives};

    /// A message as it goes over a stream.
    fn message(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
        let mut key = FIRST_KEY;
        for byte in text.bytes() {
            key ^= byte;
            bytes.push(key);
        }
        bytes
    }

    #[test]
    fn a_plug_tells_who_it_is_and_is_switched() {
        let ask = message(r#"{"system":{"get_sysinfo":{}}}"#);
        let answer = message(
            r#"{"system":{"get_sysinfo":{"sw_ver":"1.5.4","hw_ver":"2.0","model":"HS110(EU)","deviceId":"8006","alias":"Pump","relay_state":1,"err_code":0}}}"#,
        );
        let switch = message(r#"{"system":{"set_relay_state":{"state":0}}}"#);
        let join = message(r#"{"netif":{"set_stainfo":{"ssid":"home","password":"hush","key_type":3}}}"#);
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &ask), (Side::Server, &answer), (Side::Client, &switch), (Side::Client, &join)],
        );
        insta::assert_snapshot!(text, @r#"
        client request {"module":"system","command":"get_sysinfo"}
        operation client Identify get_sysinfo system - Asked
        server response {"module":"system","command":"get_sysinfo"}
        fact 192.0.2.20 role = "smart-device" (tplink-smarthome.sysinfo, 95%)
        fact 192.0.2.20 vendor = "TP-Link" (tplink-smarthome.sysinfo, 75%)
        fact 192.0.2.20 model = "HS110(EU)" (tplink-smarthome.model, 95%)
        fact 192.0.2.20 label = "Pump" (tplink-smarthome.alias, 95%)
        fact 192.0.2.20 firmware = "1.5.4" (tplink-smarthome.sw-ver, 95%)
        fact 192.0.2.20 hardware = "2.0" (tplink-smarthome.hw-ver, 95%)
        fact 192.0.2.20 identifier = "8006" (tplink-smarthome.device-id, 95%)
        client request {"module":"system","command":"set_relay_state"}
        operation client Write set_relay_state system - Asked
        client request {"module":"netif","command":"set_stainfo"}
        operation client Configure set_stainfo netif - Asked
        "#);
    }

    #[test]
    fn only_what_is_enciphered_whole_is_recognised() {
        let whole = message(r#"{"system":{"get_sysinfo":{}}}"#);
        let judge = |bytes: &[u8], stream| {
            let (from, client_port, server_port) = (Side::Client, 50_000, 50_001);
            probe(&Opening { bytes, from, client_port, server_port, stream })
        };
        assert_eq!(judge(&whole, true), Verdict::Yes);
        assert_eq!(judge(&whole[4..], false), Verdict::Yes);
        assert_eq!(judge(&whole[4..whole.len() - 1], false), Verdict::Yes, "the brackets nest");
        assert_eq!(judge(&whole[4..whole.len() - 4], false), Verdict::No);
        assert_eq!(judge(&whole[..5], true), Verdict::More);
        assert_eq!(judge(b"\0\0\0\x05{\"a\"}", true), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn any_enciphered_text_is_survived(text in ".{0,200}") {
            survives(&PROTOCOL, &[(Side::Server, message(&format!("{{\"{text}")))]);
        }
    }
}
