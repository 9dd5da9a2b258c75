//! Fingerprints of hello messages: JA3, JA3S and JA4.
//!
//! JA4 for TLS clients is free to use, as JA3 is; its sisters (JA4S and the others of "JA4+") are not,
//! so they are not here.

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::hello::{ClientHello, ServerHello, codes, extension, strings};
use super::names::is_grease;

/// Counts in a JA4 have two digits.
const MAX_COUNT: usize = 99;

/// The JA4 of a ClientHello. `carrier` is `t` for TLS over TCP, `d` for DTLS, `q` for QUIC.
pub(crate) fn ja4(hello: &ClientHello<'_>, carrier: char) -> String {
    let mut ciphers: Vec<u16> = codes(hello.ciphers).filter(|code| !is_grease(*code)).collect();
    let mut extensions: Vec<u16> =
        hello.extensions.iter().map(|(kind, _)| kind).filter(|code| !is_grease(*code)).collect();
    let named = extensions.contains(&extension::SERVER_NAME);
    let mut text = String::with_capacity(36);
    let _ = write!(
        text,
        "{carrier}{}{}{:02}{:02}",
        version_letters(hello.version()),
        if named { 'd' } else { 'i' },
        ciphers.len().min(MAX_COUNT),
        extensions.len().min(MAX_COUNT),
    );
    text.extend(alpn_letters(hello.alpn));

    ciphers.sort_unstable();
    text.push('_');
    push_digest(&mut text, &joined(ciphers));

    extensions.retain(|code| !matches!(*code, extension::SERVER_NAME | extension::ALPN));
    extensions.sort_unstable();
    let mut list = joined(extensions);
    let signatures = joined(codes(hello.signatures).filter(|code| !is_grease(*code)));
    if !signatures.is_empty() {
        list.push('_');
        list.push_str(&signatures);
    }
    text.push('_');
    push_digest(&mut text, &list);
    text
}

const fn version_letters(version: u16) -> &'static str {
    match version {
        0x0002 => "s2",
        0x0300 => "s3",
        0x0301 => "10",
        0x0302 => "11",
        0x0303 => "12",
        0x0304 => "13",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first and last character of the first application protocol. JA4's text asks for hexadecimal
/// digits where one of them is not a letter or digit, while its reference programs write 9 for whatever
/// is not ASCII: what is published was made by them, so 9 goes first.
fn alpn_letters(alpn: &[u8]) -> [char; 2] {
    let Some([start, .., end] | [start @ end]) = strings(alpn).next() else {
        return ['0', '0'];
    };
    if !(start.is_ascii() && end.is_ascii()) {
        return [start, end].map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '9' });
    }
    if start.is_ascii_alphanumeric() && end.is_ascii_alphanumeric() {
        return [char::from(*start), char::from(*end)];
    }
    [digit(u16::from(start >> 4)), digit(u16::from(*end))]
}

/// The hexadecimal digit of the lowest four bits. Every hello needs hundreds of them, for which the
/// formatting machinery is too slow.
fn digit(value: u16) -> char {
    char::from(b"0123456789abcdef"[usize::from(value & 15)])
}

/// Values as four hexadecimal digits each, with commas.
fn joined(values: impl IntoIterator<Item = u16>) -> String {
    let mut text = String::with_capacity(512);
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend([12, 8, 4, 0].map(|shift| digit(value >> shift)));
    }
    text
}

/// The first twelve digits of the SHA-256 of a list; zeros for an empty one.
fn push_digest(text: &mut String, list: &str) {
    if list.is_empty() {
        text.push_str("000000000000");
    } else {
        push_hex(text, &Sha256::digest(list.as_bytes())[..6]);
    }
}

/// Adds bytes as lower-case hexadecimal digits.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.extend([digit(u16::from(byte >> 4)), digit(u16::from(*byte))]);
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

/// The MD5 of a text, as hexadecimal digits.
pub(crate) fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// The JA3 of a ClientHello: the MD5 of version, ciphers, extensions, groups and point formats as
/// decimal numbers, without GREASE.
pub(crate) fn ja3(hello: &ClientHello<'_>) -> String {
    let mut text = hello.legacy_version.to_string();
    push_decimals(&mut text, codes(hello.ciphers));
    push_decimals(&mut text, hello.extensions.iter().map(|(kind, _)| kind));
    push_decimals(&mut text, codes(hello.groups));
    push_decimals(&mut text, hello.point_formats.iter().map(|format| u16::from(*format)));
    md5_hex(&text)
}

/// The JA3S of a ServerHello: the MD5 of version, cipher and extensions as decimal numbers.
pub(crate) fn ja3s(hello: &ServerHello<'_>) -> String {
    let mut text = hello.legacy_version.to_string();
    push_decimals(&mut text, [hello.cipher]);
    push_decimals(&mut text, hello.extensions.iter().map(|(kind, _)| kind));
    md5_hex(&text)
}

fn push_decimals(text: &mut String, values: impl IntoIterator<Item = u16>) {
    let mut separator = ',';
    for value in values.into_iter().filter(|value| !is_grease(*value)) {
        let _ = write!(text, "{separator}{value}");
        separator = '-';
    }
    if separator == ',' {
        text.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the JA4 description: its list of ciphers and extensions, shuffled here.
    #[test]
    fn the_published_example_has_its_published_fingerprint() {
        let ciphers: [u16; 16] = [
            0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ];
        let extensions: [(u16, &[u8]); 17] = [
            (0x2a2a, &[]),
            (0x001b, &[]),
            (0x0000, &[0, 6, 0, 0, 3, b'a', b'.', b'b']),
            (0x0033, &[]),
            (0x0010, &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1']),
            (0x4469, &[]),
            (0x0017, &[]),
            (0x002d, &[]),
            (0x000d, &[0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1]),
            (0x0005, &[]),
            (0x0023, &[]),
            (0x0012, &[]),
            (0x002b, &[7, 0xba, 0xba, 3, 4, 3, 3, 0xff]),
            (0xff01, &[]),
            (0x000b, &[1, 0]),
            (0x000a, &[0, 4, 0x0a, 0x0a, 0, 0x1d]),
            (0x0015, &[]),
        ];
        let body = client_hello(&ciphers, &extensions);
        let hello = ClientHello::read(&body, false).unwrap();
        assert_eq!(hello.odd_extension, None);
        assert_eq!(ja4(&hello, 't'), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    fn client_hello(ciphers: &[u16], extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.push(0);
        body.extend((ciphers.len() as u16 * 2).to_be_bytes());
        body.extend(ciphers.iter().flat_map(|code| code.to_be_bytes()));
        body.extend([1, 0]);
        if !extensions.is_empty() {
            let mut block = Vec::new();
            for (kind, content) in extensions {
                block.extend(kind.to_be_bytes());
                block.extend((content.len() as u16).to_be_bytes());
                block.extend(*content);
            }
            body.extend((block.len() as u16).to_be_bytes());
            body.extend(block);
        }
        body
    }

    #[test]
    fn empty_lists_are_zeros_and_counts_stop_at_99() {
        let body = client_hello(&[], &[]);
        let hello = ClientHello::read(&body, false).unwrap();
        assert_eq!(ja4(&hello, 't'), "t12i000000_000000000000_000000000000");
        let many: Vec<u16> = (0..150).collect();
        let body = client_hello(&many, &[]);
        let hello = ClientHello::read(&body, false).unwrap();
        assert!(ja4(&hello, 'q').starts_with("q12i990000_"), "{}", ja4(&hello, 'q'));
        // JA3 keeps the commas of empty lists.
        let body = client_hello(&[47, 10], &[]);
        let hello = ClientHello::read(&body, false).unwrap();
        assert_eq!(ja3(&hello), md5_hex("771,47-10,,,"));
    }

    #[test]
    fn application_protocols_outside_ascii_letters_have_their_rules() {
        assert_eq!(alpn_letters(&[2, b'h', b'2']), ['h', '2']);
        assert_eq!(alpn_letters(&[1, b'h']), ['h', 'h']);
        assert_eq!(alpn_letters(&[2, 0xba, 0xad]), ['9', '9']);
        assert_eq!(alpn_letters(&[2, b'a', 0xad]), ['a', '9']);
        assert_eq!(alpn_letters(&[3, b'/', b'x', b'2']), ['2', '2']);
        assert_eq!(alpn_letters(&[2, 0x0a, 0x1a]), ['0', 'a']);
        assert_eq!(alpn_letters(&[0]), ['0', '0']);
        assert_eq!(alpn_letters(&[]), ['0', '0']);
    }
}
