//! SSH: who speaks which implementation, which algorithms were offered and chosen, and the server's
//! host key. Once both sides have changed to the new keys, nothing can be read.
//!
//! Messages: `identification`, `key-exchange-init`, `host-key`, `established`. Anomalies:
//! `identification-length`, `packet-length`, `key-exchange-init-length`. The flow is lost by
//! `identification`.

mod identification;

use std::borrow::Cow;

use model::{Attribute, Confidence, Side};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::tls::md5_hex;
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Secure Shell.
pub const PROTOCOL: Protocol = Protocol {
    id: "ssh",
    name: "Secure Shell",
    spec: "RFC 4253, RFC 4251",
    carriers: &[Carrier::Tcp(&[22, 2222, 830])],
    probe,
    start: || Box::new(Ssh::default()),
};

const MAGIC: &[u8] = b"SSH-";

/// The identification line may have so many bytes with its end (RFC 4253 clause 4.2). Twice that is
/// taken, since some servers exceed it.
const MAX_IDENTIFICATION: usize = 2 * 255;

/// Bytes of other lines that a server may send before its identification.
const MAX_PREFACE: usize = 4096;

/// Packets longer than this are not read: every implementation must take so many bytes (RFC 4253 clause
/// 6.1).
const MAX_PACKET: usize = 35_000;

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream {
        return Verdict::No;
    }
    if bytes.starts_with(MAGIC) {
        return match bytes.get(MAGIC.len()) {
            Some(b'1' | b'2') => Verdict::Yes,
            Some(_) => Verdict::No,
            None => Verdict::More,
        };
    }
    if MAGIC.starts_with(bytes) { Verdict::More } else { Verdict::No }
}

/// What a side offers: the ten name lists of SSH_MSG_KEXINIT (RFC 4253 clause 7.1).
#[derive(Default)]
struct Offer {
    lists: [Box<str>; 10],
}

/// The places of the name lists.
mod list {
    pub(super) const KEX: usize = 0;
    pub(super) const HOST_KEY: usize = 1;
    /// From client to server; the list after each is for the other way.
    pub(super) const CIPHER: usize = 2;
    pub(super) const MAC: usize = 4;
    pub(super) const COMPRESSION: usize = 6;
}

impl Offer {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Short> {
        reader.skip(16)?; // cookie
        let mut offer = Self::default();
        for place in &mut offer.lists {
            let names = string(reader)?;
            *place = String::from_utf8_lossy(names).into();
        }
        Ok(offer)
    }

    fn names(&self, place: usize) -> Vec<&str> {
        self.lists[place].split(',').filter(|name| !name.is_empty()).collect()
    }

    /// HASSH of a client, HASSHServer of a server: the MD5 of the lists for its own direction.
    fn fingerprint(&self, of: Side) -> String {
        let way = of.index();
        md5_hex(&format!(
            "{};{};{};{}",
            self.lists[list::KEX],
            self.lists[list::CIPHER + way],
            self.lists[list::MAC + way],
            self.lists[list::COMPRESSION + way]
        ))
    }

    /// The client's first choice that the server offers too (RFC 4253 clause 7.1).
    fn choose<'a>(&'a self, server: &Self, place: usize) -> Option<&'a str> {
        self.names(place).into_iter().find(|name| server.lists[place].split(',').any(|other| other == *name))
    }
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = usize::try_from(reader.be32()?).map_err(|_| Short)?;
    reader.take(length)
}

/// Messages (IANA registry "SSH Message Numbers").
mod number {
    pub(super) const KEXINIT: u8 = 20;
    pub(super) const NEWKEYS: u8 = 21;
    /// SSH_MSG_KEXDH_REPLY and its likes of other methods (RFC 4253 clause 8, RFC 5656 clause 4).
    pub(super) const KEX_REPLY: u8 = 31;
    /// SSH_MSG_KEX_DH_GEX_REPLY (RFC 4419 clause 5).
    pub(super) const GROUP_EXCHANGE_REPLY: u8 = 33;
}

/// What a side has come to.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Stage {
    #[default]
    Identification,
    Packets,
    Encrypted,
}

#[derive(Default)]
struct Half {
    stage: Stage,
    preface: usize,
    offer: Option<Box<Offer>>,
}

#[derive(Default)]
struct Ssh {
    halves: [Half; 2],
    /// Whether a side insists on version 1, whose packets are not read.
    first_version: bool,
}

#[derive(Serialize)]
struct Identification<'a> {
    protocol: Cow<'a, str>,
    software: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    comments: Cow<'a, str>,
}

#[derive(Serialize)]
struct KeyExchangeInit<'a> {
    kex: Vec<&'a str>,
    host_keys: Vec<&'a str>,
    ciphers: Vec<&'a str>,
    macs: Vec<&'a str>,
    compressions: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hassh: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hassh_server: Option<&'a str>,
}

#[derive(Serialize)]
struct HostKey<'a> {
    algorithm: Cow<'a, str>,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct Established<'a> {
    kex: Option<&'a str>,
    host_key: Option<&'a str>,
    /// From client to server.
    cipher: Option<&'a str>,
    mac: Option<&'a str>,
    compression: Option<&'a str>,
}

impl Parser for Ssh {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(rest) = input.bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let step = match self.halves[from.index()].stage {
                Stage::Identification => self.line(from, rest, out),
                Stage::Packets if self.first_version => Ok(Some(rest.len())),
                Stage::Packets => self.packet(from, rest, out),
                Stage::Encrypted => Ok(Some(rest.len())),
            };
            match step {
                Ok(Some(length)) => taken += length,
                Ok(None) => break,
                Err(progress) => return progress,
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // Where the next packet begins is not known any more.
        self.halves[from.index()].stage = Stage::Encrypted;
        self.halves.iter().any(|half| half.stage != Stage::Encrypted)
    }
}

/// The length of what was taken, nothing if more bytes are needed, or how it ends.
type Step = Result<Option<usize>, Progress>;

impl Ssh {
    /// Takes one line (RFC 4253 clause 4.2).
    fn line(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Step {
        let half = &mut self.halves[from.index()];
        let end = bytes.iter().take(MAX_IDENTIFICATION).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            if bytes.len() < MAX_IDENTIFICATION {
                return Ok(None);
            }
            out.anomaly(from, "identification-length", format_args!("more than {MAX_IDENTIFICATION} bytes"));
            return Err(Progress::Enough);
        };
        let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
        let Some(rest) = line.strip_prefix(MAGIC) else {
            half.preface += end + 1;
            let allowed = from == Side::Server && half.preface <= MAX_PREFACE;
            return if allowed { Ok(Some(end + 1)) } else { Err(Progress::Lost("identification")) };
        };
        half.stage = Stage::Packets;
        let text = String::from_utf8_lossy(rest);
        let (protocol, rest) = text.split_once('-').unwrap_or((&text, ""));
        let (software, comments) = rest.split_once(' ').unwrap_or((rest, ""));
        let message = Identification {
            protocol: protocol.into(),
            software: software.into(),
            comments: comments.into(),
        };
        out.message(from, "identification", &message);
        identification::facts(from, software, comments, out);
        // Version 1.99 means both (RFC 4253 clause 5.1).
        self.first_version |= protocol.starts_with("1.") && protocol != "1.99";
        if from == Side::Server && protocol.starts_with("1.") {
            out.weakness(from, "version-1", protocol);
        }
        if self.first_version && self.halves.iter().all(|half| half.stage != Stage::Identification) {
            return Err(Progress::Enough);
        }
        Ok(Some(end + 1))
    }

    /// Takes one packet in the clear (RFC 4253 clause 6).
    fn packet(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Step {
        let mut reader = Reader::new(bytes);
        let Ok(length) = reader.be32() else { return Ok(None) };
        let length = length as usize;
        if !(2..=MAX_PACKET).contains(&length) {
            out.anomaly(from, "packet-length", format_args!("{length} bytes"));
            return Err(Progress::Enough);
        }
        let Ok(packet) = reader.take(length) else { return Ok(None) };
        let taken = reader.position();
        let mut reader = Reader::new(packet);
        let padding = reader.u8().map_or(0, usize::from);
        let Some(payload) = packet.get(1..packet.len().saturating_sub(padding)) else {
            out.anomaly(from, "packet-length", format_args!("{padding} of {length} bytes are padding"));
            return Err(Progress::Enough);
        };
        let Some((number, body)) = payload.split_first() else { return Ok(Some(taken)) };
        match *number {
            number::KEXINIT => self.offer(from, body, out),
            number::KEX_REPLY | number::GROUP_EXCHANGE_REPLY if from == Side::Server => {
                self.host_key(*number, body, out);
            }
            number::NEWKEYS => {
                self.halves[from.index()].stage = Stage::Encrypted;
                if self.halves.iter().all(|half| half.stage == Stage::Encrypted) {
                    self.established(out);
                    return Err(Progress::Enough);
                }
            }
            _ => {}
        }
        Ok(Some(taken))
    }

    fn offer(&mut self, from: Side, body: &[u8], out: &mut Emit<'_>) {
        let Ok(offer) = Offer::read(&mut Reader::new(body)) else {
            out.anomaly(from, "key-exchange-init-length", format_args!("{} bytes", body.len()));
            return;
        };
        let fingerprint = offer.fingerprint(from);
        let (client, source) = match from {
            Side::Client => (true, "ssh.hassh"),
            Side::Server => (false, "ssh.hassh-server"),
        };
        out.fact(from, Attribute::Fingerprint, &fingerprint, source, Confidence::HINT);
        if out.wants_messages() {
            let way = from.index();
            let message = KeyExchangeInit {
                kex: offer.names(list::KEX),
                host_keys: offer.names(list::HOST_KEY),
                ciphers: offer.names(list::CIPHER + way),
                macs: offer.names(list::MAC + way),
                compressions: offer.names(list::COMPRESSION + way),
                hassh: client.then_some(&*fingerprint),
                hassh_server: (!client).then_some(&*fingerprint),
            };
            out.message(from, "key-exchange-init", &message);
        }
        self.halves[from.index()].offer = Some(Box::new(offer));
    }

    /// The offers of client and server.
    fn offers(&self) -> Option<(&Offer, &Offer)> {
        Some((self.halves[0].offer.as_deref()?, self.halves[1].offer.as_deref()?))
    }

    /// The server's reply begins with its host key, in a packet whose number depends on the method.
    fn host_key(&self, number: u8, body: &[u8], out: &mut Emit<'_>) {
        let Some(kex) = self.offers().and_then(|(client, server)| client.choose(server, list::KEX)) else {
            return;
        };
        let expected = if kex.starts_with("diffie-hellman-group-exchange-") {
            number::GROUP_EXCHANGE_REPLY
        } else {
            number::KEX_REPLY
        };
        let key = string(&mut Reader::new(body)).unwrap_or_default();
        let Ok(algorithm) = string(&mut Reader::new(key)) else { return };
        if number != expected {
            return;
        }
        let fingerprint = format!("SHA256:{}", base64(&Sha256::digest(key)));
        let message = HostKey { algorithm: String::from_utf8_lossy(algorithm), fingerprint: &fingerprint };
        out.message(Side::Server, "host-key", &message);
        // Whole series of devices have shipped with one key, so that it is no proof of identity.
        out.fact(Side::Server, Attribute::Identifier, &fingerprint, "ssh.host-key", Confidence::LIKELY);
    }

    fn established(&self, out: &mut Emit<'_>) {
        let Some((client, server)) = self.offers() else { return };
        for (place, kind) in [
            (list::KEX, "weak-key-exchange"),
            (list::HOST_KEY, "weak-host-key"),
            (list::CIPHER, "weak-cipher"),
            (list::MAC, "weak-mac"),
        ] {
            if let Some(name) = client.choose(server, place).filter(|name| is_weak(name)) {
                out.weakness(Side::Server, kind, name);
            }
        }
        if !out.wants_messages() {
            return;
        }
        let message = Established {
            kex: client.choose(server, list::KEX),
            host_key: client.choose(server, list::HOST_KEY),
            cipher: client.choose(server, list::CIPHER),
            mac: client.choose(server, list::MAC),
            compression: client.choose(server, list::COMPRESSION),
        };
        out.message(Side::Client, "established", &message);
    }
}

/// Whether an algorithm should not be used any more: RFC 9142 clause 4 for key exchange, RFC 8758 for RC4, and NIST SP
/// 800-131A revision 2 for the rest.
fn is_weak(name: &str) -> bool {
    matches!(
        name,
        "diffie-hellman-group1-sha1"
            | "diffie-hellman-group-exchange-sha1"
            | "rsa1024-sha1"
            | "ssh-dss"
            | "3des-cbc"
            | "blowfish-cbc"
            | "cast128-cbc"
            | "des-cbc"
            | "none"
            | "hmac-md5"
            | "hmac-md5-96"
            | "hmac-md5-etm@openssh.com"
            | "hmac-md5-96-etm@openssh.com"
    ) || name.starts_with("arcfour")
}

/// Base 64 without padding (RFC 4648 clause 4), as host keys are shown everywhere.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or_default());
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{
        conversation, converse, damage, hits, packets, replay, survives, without_long_lists,
    };

    const OPENSSH: &str = include_str!("conversations/openssh.txt");

    /// HASSH and HASSHServer are those that tshark computes.
    #[test]
    fn a_key_exchange_with_openssh_is_read_to_its_end() {
        insta::assert_snapshot!(without_long_lists(&replay(&PROTOCOL, &conversation(OPENSSH))), @r#"
        server identification {"protocol":"2.0","software":"dropbear_2022.83"}
        fact 192.0.2.20 software = "Dropbear 2022.83" (ssh.identification, 75%)
        fact 192.0.2.20 operating-system = "Linux" (ssh.identification, 20%)
        client identification {"protocol":"2.0","software":"OpenSSH_9.2p1","comments":"Debian-2+deb12u6"}
        fact 192.0.2.10 software = "OpenSSH 9.2p1" (ssh.identification, 75%)
        fact 192.0.2.10 operating-system = "Debian 12" (ssh.identification, 75%)
        fact 192.0.2.20 fingerprint = "45825230268bbab94f126a30705f76ad" (ssh.hassh-server, 20%)
        server key-exchange-init {"kex":["curve25519-sha256","diffie-hellman-group14-sha256"],"host_keys":["ssh-ed25519","ecdsa-sha2-nistp256"],"ciphers":["chacha20-poly1305@openssh.com","aes256-ctr"],"macs":["hmac-sha1"],"compressions":["none"],"hassh_server":"45825230268bbab94f126a30705f76ad"}
        fact 192.0.2.10 fingerprint = "472b5de333ad665af5cbf10ff892c4df" (ssh.hassh, 20%)
        client key-exchange-init {"kex":[..],"host_keys":[..],"ciphers":[..],"macs":[..],"compressions":["none","zlib@openssh.com","zlib"],"hassh":"472b5de333ad665af5cbf10ff892c4df"}
        server host-key {"algorithm":"ssh-ed25519","fingerprint":"SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"}
        fact 192.0.2.20 identifier = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA" (ssh.host-key, 50%)
        client established {"kex":"curve25519-sha256","host_key":"ssh-ed25519","cipher":"chacha20-poly1305@openssh.com","mac":"hmac-sha2-256","compression":"none"}
        enough
        "#);
    }

    #[test]
    fn segments_of_any_size_give_the_same() {
        let whole = conversation(OPENSSH);
        let pieces: Vec<(Side, Vec<u8>)> = whole
            .iter()
            .flat_map(|(side, bytes)| bytes.chunks(5).map(|piece| (*side, piece.to_vec())))
            .collect();
        assert_eq!(replay(&PROTOCOL, &pieces), replay(&PROTOCOL, &whole));
    }

    #[test]
    fn version_1_is_known_and_left_alone() {
        let text = converse(
            &PROTOCOL,
            &[(Side::Server, b"SSH-1.99-Cisco-1.25\n\0\0\0\x04"), (Side::Client, b"SSH-1.5-OpenSSH_3.0\r\n")],
        );
        assert_eq!(
            text,
            "server identification {\"protocol\":\"1.99\",\"software\":\"Cisco-1.25\"}\n\
             fact 192.0.2.20 software = \"Cisco 1.25\" (ssh.identification, 75%)\n\
             fact 192.0.2.20 vendor = \"Cisco\" (ssh.identification, 50%)\n\
             fact 192.0.2.20 operating-system = \"Cisco IOS\" (ssh.identification, 50%)\n\
             weakness server version-1: 1.99\n\
             client identification {\"protocol\":\"1.5\",\"software\":\"OpenSSH_3.0\"}\n\
             fact 192.0.2.10 software = \"OpenSSH 3.0\" (ssh.identification, 75%)\n\
             enough\n"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |packets: &[(Side, &[u8])]| {
            let text = converse(&PROTOCOL, packets);
            text.lines()
                .skip_while(|line| !line.starts_with("anomaly") && !line.starts_with("lost"))
                .collect::<String>()
        };
        let long = [b"SSH-2.0-", &[b'x'; MAX_IDENTIFICATION][..]].concat();
        assert_eq!(
            wrong(&[(Side::Client, &long)]),
            "anomaly client identification-length: more than 510 bytesenough"
        );
        assert_eq!(
            wrong(&[(Side::Client, b"SSH-2.0-x\r\n\xff\xff\xff\xff")]),
            "anomaly client packet-length: 4294967295 bytesenough"
        );
        assert_eq!(
            wrong(&[(Side::Client, b"SSH-2.0-x\r\n\0\0\0\x03\x09\x14\x00")]),
            "anomaly client packet-length: 9 of 3 bytes are paddingenough"
        );
        assert_eq!(
            wrong(&[(Side::Client, b"SSH-2.0-x\r\n\0\0\0\x03\x00\x14\x00")]),
            "anomaly client key-exchange-init-length: 1 bytes"
        );
        assert_eq!(wrong(&[(Side::Client, b"SSH-2.0-x\r\n"), (Side::Client, b"")]), "");
        let preface = [(Side::Client, &b"SSH-2.0-x\n"[..]), (Side::Server, b"Welcome\r\nSSH-2.0-y\r\n")];
        assert!(converse(&PROTOCOL, &preface).contains("server identification"));
    }

    #[test]
    fn what_should_not_be_used_any_more_is_weak() {
        for name in ["diffie-hellman-group1-sha1", "ssh-dss", "arcfour256", "3des-cbc", "hmac-md5"] {
            assert!(is_weak(name), "{name}");
        }
        for name in ["curve25519-sha256", "rsa-sha2-512", "aes256-ctr", "hmac-sha2-256"] {
            assert!(!is_weak(name), "{name}");
        }
    }

    /// RFC 4648 clause 10, without padding.
    #[test]
    fn base_64_is_that_of_the_standard() {
        let text = ["f", "fo", "foo", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(text, ["Zg", "Zm8", "Zm9v", "Zm9vYmFy"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut packets in packets()) {
            survives(&PROTOCOL, &packets);
            if let Some((_, bytes)) = packets.first_mut() {
                bytes.splice(0..0, *b"SSH-2.0-x\n");
            }
            survives(&PROTOCOL, &packets);
        }

        #[test]
        fn damaged_conversations_are_survived(hits in hits()) {
            survives(&PROTOCOL, &damage(&conversation(OPENSSH), &hits));
        }
    }
}
