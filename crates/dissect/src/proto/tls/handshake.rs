//! The handshake as far as it is in the clear, whatever carries it: TLS, DTLS or QUIC.

use std::borrow::Cow;

use model::{Attribute, Confidence, OperationKind, Outcome, Side, Timestamp};
use serde::Serialize;

use super::certificate;
use super::fingerprint::{ja3, ja3s, ja4};
use super::hello::{ClientHello, ServerHello, codes, strings};
use super::names::{self, Coded};
use crate::proto::{Emit, Reader};

/// Handshake messages (IANA registry "TLS HandshakeType") that are looked into.
pub(crate) mod kind {
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
    pub(crate) const SERVER_HELLO_DONE: u8 = 14;
    /// Up to this one message types are assigned.
    pub(crate) const LAST: u8 = 26;
}

/// A handshake message longer than this is not read: in bytes. The longest are certificate chains.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// What carries the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Records of TLS over a stream.
    #[default]
    Tls,
    /// Records of DTLS.
    Dtls,
    /// CRYPTO frames of QUIC.
    Quic,
}

impl Layer {
    /// The first letter of a JA4, and the source of the evidence that it is.
    const fn ja4(self) -> (char, &'static str) {
        match self {
            Self::Tls => ('t', "tls.ja4"),
            Self::Dtls => ('d', "dtls.ja4"),
            Self::Quic => ('q', "quic.ja4"),
        }
    }
}

/// What the server chose.
#[derive(Clone, Debug)]
struct Chosen {
    version: u16,
    cipher: u16,
    alpn: Option<Box<str>>,
    group: Option<u16>,
    pre_shared_key: bool,
}

/// What a handshake has shown so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    layer: Layer,
    /// Who sent the ClientHello: usually the side that opened the conversation.
    client: Option<Side>,
    server_name: Option<Box<str>>,
    early_data: bool,
    retried: bool,
    chosen: Option<Chosen>,
    hello_done: bool,
    certificate_requested: bool,
    /// Packet time: certificates are valid or not at it.
    pub(crate) now: Timestamp,
}

#[derive(Serialize)]
struct ClientHelloMessage<'a> {
    version: Coded,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alpn: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<Coded>,
    ciphers: Vec<Coded>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Coded>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Coded>,
    resumes: bool,
    early_data: bool,
    encrypted_hello: bool,
    ja4: &'a str,
    ja3: String,
}

#[derive(Serialize)]
struct ServerHelloMessage<'a> {
    version: Coded,
    cipher: Coded,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    retry: bool,
    ja3s: String,
}

#[derive(Serialize)]
struct EstablishedMessage<'a> {
    version: Coded,
    cipher: Coded,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    resumed: bool,
    client_certificate_requested: bool,
}

impl Handshake {
    pub(crate) fn new(layer: Layer) -> Self {
        Self { layer, ..Self::default() }
    }

    /// Who sent the ClientHello.
    pub(crate) const fn client(&self) -> Option<Side> {
        self.client
    }

    /// Whether the server has answered with the parameters it chose.
    pub(crate) const fn is_answered(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether version 1.3 is spoken, as far as is known: the server chose it, or asked for another
    /// hello, which no other version does.
    pub(crate) fn is_13(&self) -> bool {
        self.retried || self.chosen.as_ref().is_some_and(|chosen| names::is_13(chosen.version))
    }

    /// Whether the client said that it sends data before the server's answer.
    pub(crate) const fn has_early_data(&self) -> bool {
        self.early_data
    }

    /// A ClientHello in the format of SSL 2.0 was seen; nothing of it is kept.
    pub(crate) const fn old_hello(&mut self, from: Side) {
        self.client = Some(from);
    }

    /// Takes one whole handshake message without its header.
    pub(crate) fn message(&mut self, from: Side, kind: u8, body: &[u8], out: &mut Emit<'_>) {
        match kind {
            kind::CLIENT_HELLO => self.client_hello(from, body, out),
            kind::SERVER_HELLO => self.server_hello(from, body, out),
            kind::CERTIFICATE => {
                let asked = self.server_name.as_deref().filter(|_| Some(from) != self.client);
                certificate::chain(from, body, asked, self.now, out);
            }
            kind::SERVER_KEY_EXCHANGE => self.server_key_exchange(body),
            kind::SERVER_HELLO_DONE => self.hello_done = true,
            kind::CERTIFICATE_REQUEST => self.certificate_requested = true,
            _ => {}
        }
    }

    fn client_hello(&mut self, from: Side, body: &[u8], out: &mut Emit<'_>) {
        let Ok(hello) = ClientHello::read(body, self.layer == Layer::Dtls) else {
            out.anomaly(from, "client-hello-length", format_args!("{} bytes", body.len()));
            return;
        };
        if let Some(kind) = hello.odd_extension {
            out.anomaly(from, "extension-length", format_args!("extension {kind}"));
        }
        let again = self.client.is_some();
        self.client = Some(from);
        self.early_data = hello.early_data;
        self.server_name = hello.server_name.map(|name| String::from_utf8_lossy(name).into());

        let (letter, source) = self.layer.ja4();
        let ja4 = ja4(&hello, letter);
        // A second hello answers the server's wish: it no longer tells what the client is by itself.
        if !again {
            out.fact(from, Attribute::Fingerprint, &ja4, source, Confidence::HINT);
        }
        // RFC 6066 clause 3: whom the client wants to reach, whatever address it sends this to.
        if !again
            && out.is_judged()
            && let Some(name) = &self.server_name
        {
            let name = name.to_ascii_lowercase().into();
            out.operation(from, OperationKind::Discover, "server-name", Some(name), None, Outcome::Asked);
        }
        if out.wants_messages() {
            let coded = |list, names: fn(u16) -> Option<&'static str>| -> Vec<Coded> {
                codes(list).map(|code| Coded(code, names)).collect()
            };
            let message = ClientHelloMessage {
                version: Coded(hello.version(), names::version),
                server_name: hello.server_name.map(String::from_utf8_lossy),
                alpn: strings(hello.alpn).map(String::from_utf8_lossy).collect(),
                versions: coded(hello.versions, names::version),
                ciphers: coded(hello.ciphers, names::cipher_suite),
                groups: coded(hello.groups, names::group),
                signatures: coded(hello.signatures, names::signature_scheme),
                resumes: hello.resumes,
                early_data: hello.early_data,
                encrypted_hello: hello.encrypted_hello,
                ja4: &ja4,
                ja3: ja3(&hello),
            };
            out.message(from, "client-hello", &message);
        }
    }

    fn server_hello(&mut self, from: Side, body: &[u8], out: &mut Emit<'_>) {
        let Ok(hello) = ServerHello::read(body) else {
            out.anomaly(from, "server-hello-length", format_args!("{} bytes", body.len()));
            return;
        };
        let alpn: Option<Box<str>> = hello.alpn.map(|name| String::from_utf8_lossy(name).into());
        if out.wants_messages() {
            let message = ServerHelloMessage {
                version: Coded(hello.version, names::version),
                cipher: Coded(hello.cipher, names::cipher_suite),
                group: hello.group.map(|code| Coded(code, names::group)),
                alpn: alpn.as_deref(),
                retry: hello.retry,
                ja3s: ja3s(&hello),
            };
            out.message(from, "server-hello", &message);
        }
        if hello.retry {
            self.retried = true;
            return;
        }
        weaknesses(from, hello.version, hello.cipher, out);
        self.chosen = Some(Chosen {
            version: hello.version,
            cipher: hello.cipher,
            alpn,
            group: hello.group,
            pre_shared_key: hello.pre_shared_key,
        });
    }

    /// The curve that the server chose, up to TLS 1.2 (RFC 8422 clause 5.4).
    fn server_key_exchange(&mut self, body: &[u8]) {
        const NAMED_CURVE: u8 = 3;
        let mut reader = Reader::new(body);
        let Some(chosen) = &mut self.chosen else { return };
        let exchanges_on_curve = names::cipher_suite(chosen.cipher).is_some_and(|name| name.contains("ECDH"));
        if exchanges_on_curve && reader.u8() == Ok(NAMED_CURVE) {
            chosen.group = reader.be16().ok();
        }
    }

    /// The handshake is complete: tells what was agreed.
    pub(crate) fn established(&self, out: &mut Emit<'_>) {
        let (Some(client), Some(chosen)) = (self.client, &self.chosen) else { return };
        if !out.wants_messages() {
            return;
        }
        // In TLS 1.3 the server says that it took the offered key (RFC 8446 clause 4.2.11). Before, it
        // ended its first flight with ServerHelloDone unless it resumed, by session id or by ticket
        // (RFC 5246 clause 7.3, RFC 5077 clause 3.1).
        let resumed = if self.is_13() { chosen.pre_shared_key } else { !self.hello_done };
        let message = EstablishedMessage {
            version: Coded(chosen.version, names::version),
            cipher: Coded(chosen.cipher, names::cipher_suite),
            group: chosen.group.map(|code| Coded(code, names::group)),
            alpn: chosen.alpn.as_deref(),
            server_name: self.server_name.as_deref(),
            resumed,
            client_certificate_requested: self.certificate_requested,
        };
        out.message(client, "established", &message);
    }
}

/// What is weak in what the server chose: versions before TLS 1.2 (RFC 8996), and ciphers that hide nothing, prove
/// nothing or can be broken (RFC 9325 clause 4.1, RFC 7465 for RC4, RFC 8429 and SWEET32 for 3DES).
fn weaknesses(from: Side, version: u16, cipher: u16, out: &mut Emit<'_>) {
    const OLD: [u16; 5] = [0x0002, 0x0300, 0x0301, 0x0302, 0xfeff];
    if OLD.contains(&version) {
        out.weakness(from, "old-version", names::version(version).unwrap_or_default());
    }
    let Some(name) = names::cipher_suite(cipher) else { return };
    let is_weak =
        ["RC4", "RC2", "_DES", "3DES", "EXPORT", "_NULL_", "_anon_"].iter().any(|part| name.contains(part));
    // Of the suites that end in NULL, those of TLS 1.3 for machines (RFC 9150) protect what is sent all the same.
    if is_weak && !name.contains("EMPTY") {
        out.weakness(from, "weak-cipher", name);
    }
}

#[cfg(test)]
mod tests {
    use model::Transport;

    use super::*;
    use crate::proto::{Told, Wants, Yield};

    #[test]
    fn what_the_server_should_not_choose_is_told() {
        let weak = |version, cipher| {
            let head = crate::testing::head(Transport::Tcp, 443);
            let (mut told, mut found) = (Told::default(), Vec::new());
            weaknesses(
                Side::Server,
                version,
                cipher,
                &mut Emit::new(&head, Wants { messages: false, judged: true }, &mut told, &mut found),
            );
            let kind = |found| if let Yield::Weakness { kind, .. } = found { kind } else { "" };
            found.into_iter().map(kind).collect::<Vec<_>>()
        };
        assert_eq!(weak(0x0301, 0x0005), ["old-version", "weak-cipher"]);
        assert_eq!(weak(0x0303, 0x000a), ["weak-cipher"]);
        assert_eq!(weak(0x0303, 0xc02f), [""; 0]);
        assert_eq!(weak(0x0304, 0x1301), [""; 0]);
        assert_eq!(weak(0xfefd, 0xc0a8), [""; 0]);
    }
}
