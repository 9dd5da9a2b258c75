//! Code points of TLS and their names (IANA registries "Transport Layer Security (TLS) Parameters" and
//! "TLS Extensions").

use serde::{Serialize, Serializer};

pub(crate) use super::cipher_suites::cipher_suite;

/// TLS 1.2 (RFC 5246).
pub(crate) const TLS12: u16 = 0x0303;
/// TLS 1.3 (RFC 8446).
pub(crate) const TLS13: u16 = 0x0304;
/// DTLS 1.3 (RFC 9147).
pub(crate) const DTLS13: u16 = 0xfefc;

/// Whether a version is TLS 1.3 or DTLS 1.3, or a draft of TLS 1.3 by its number.
pub(crate) const fn is_13(version: u16) -> bool {
    matches!(version, TLS13 | DTLS13) || version >> 8 == 0x7f
}

/// Whether a code point is one of those that clients add at random so that servers keep ignoring
/// unknown ones (RFC 8701 clause 2).
pub(crate) const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

/// A code point with the registry that knows its name. Shown by its name, `grease`, or where it has no
/// name as hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct Coded(pub(crate) u16, pub(crate) fn(u16) -> Option<&'static str>);

impl Serialize for Coded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.1)(self.0) {
            Some(name) => serializer.serialize_str(name),
            None if is_grease(self.0) => serializer.serialize_str("grease"),
            None => serializer.collect_str(&format_args!("0x{:04x}", self.0)),
        }
    }
}

/// The name of a protocol version.
pub(crate) const fn version(code: u16) -> Option<&'static str> {
    Some(match code {
        0x0002 => "SSL 2.0",
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        TLS12 => "TLS 1.2",
        TLS13 => "TLS 1.3",
        0x0100 => "DTLS 0.9",
        0xfeff => "DTLS 1.0",
        0xfefd => "DTLS 1.2",
        DTLS13 => "DTLS 1.3",
        _ => return None,
    })
}

/// The name of a key exchange group (registry "TLS Supported Groups").
pub(crate) const fn group(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "sect163k1",
        2 => "sect163r1",
        3 => "sect163r2",
        4 => "sect193r1",
        5 => "sect193r2",
        6 => "sect233k1",
        7 => "sect233r1",
        8 => "sect239k1",
        9 => "sect283k1",
        10 => "sect283r1",
        11 => "sect409k1",
        12 => "sect409r1",
        13 => "sect571k1",
        14 => "sect571r1",
        15 => "secp160k1",
        16 => "secp160r1",
        17 => "secp160r2",
        18 => "secp192k1",
        19 => "secp192r1",
        20 => "secp224k1",
        21 => "secp224r1",
        22 => "secp256k1",
        23 => "secp256r1",
        24 => "secp384r1",
        25 => "secp521r1",
        26 => "brainpoolP256r1",
        27 => "brainpoolP384r1",
        28 => "brainpoolP512r1",
        29 => "x25519",
        30 => "x448",
        31 => "brainpoolP256r1tls13",
        32 => "brainpoolP384r1tls13",
        33 => "brainpoolP512r1tls13",
        41 => "curveSM2",
        0x0100 => "ffdhe2048",
        0x0101 => "ffdhe3072",
        0x0102 => "ffdhe4096",
        0x0103 => "ffdhe6144",
        0x0104 => "ffdhe8192",
        0x0200 => "MLKEM512",
        0x0201 => "MLKEM768",
        0x0202 => "MLKEM1024",
        0x11eb => "SecP256r1MLKEM768",
        0x11ec => "X25519MLKEM768",
        0x11ed => "SecP384r1MLKEM1024",
        0x6399 => "X25519Kyber768Draft00",
        0x639a => "SecP256r1Kyber768Draft00",
        _ => return None,
    })
}

/// The name of a signature scheme (registry "TLS SignatureScheme"); before TLS 1.3 the same two bytes
/// were a hash and a signature algorithm.
pub(crate) const fn signature_scheme(code: u16) -> Option<&'static str> {
    Some(match code {
        0x0101 => "rsa_pkcs1_md5",
        0x0201 => "rsa_pkcs1_sha1",
        0x0202 => "dsa_sha1",
        0x0203 => "ecdsa_sha1",
        0x0301 => "rsa_pkcs1_sha224",
        0x0302 => "dsa_sha224",
        0x0303 => "ecdsa_sha224",
        0x0401 => "rsa_pkcs1_sha256",
        0x0402 => "dsa_sha256",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0502 => "dsa_sha384",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0602 => "dsa_sha512",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0708 => "sm2sig_sm3",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        0x0808 => "ed448",
        0x0809 => "rsa_pss_pss_sha256",
        0x080a => "rsa_pss_pss_sha384",
        0x080b => "rsa_pss_pss_sha512",
        0x0904 => "mldsa44",
        0x0905 => "mldsa65",
        0x0906 => "mldsa87",
        _ => return None,
    })
}

/// The name of an alert (registry "TLS Alerts").
pub(crate) const fn alert(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_the_sixteen_values_of_rfc_8701() {
        let grease: Vec<u16> = (0..=u16::MAX).filter(|code| is_grease(*code)).collect();
        assert_eq!(grease.len(), 16);
        assert_eq!((grease[0], grease[1], grease[15]), (0x0a0a, 0x1a1a, 0xfafa));
    }
}
