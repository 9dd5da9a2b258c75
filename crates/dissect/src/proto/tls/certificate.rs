//! X.509 certificates (RFC 5280): what a chain says about its owner.

use model::{Attribute, Confidence, Side, Timestamp};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::fingerprint::hex;
use crate::proto::{Emit, Reader};

/// Certificates of one chain beyond these are not read.
const MAX_CHAIN: usize = 16;

/// Alternative names of one certificate beyond these are left out of its message.
const MAX_NAMES: usize = 100;

/// What `openssl req`, Go and appliance makers put where an organisation should stand.
const PLACEHOLDERS: &[&str] = &[
    "Internet Widgits Pty Ltd",
    "Default Company Ltd",
    "Acme Co",
    "My Company",
    "MyCompany",
    "SomeOrganization",
    "Company",
    "Organization",
];

/// One certificate of a chain.
#[derive(Serialize)]
struct Certificate<'a> {
    /// Its place in the chain, 0 for the owner's own.
    position: usize,
    subject: String,
    issuer: String,
    /// Subject alternative names: DNS names, addresses, URIs, mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    not_before: String,
    not_after: String,
    /// Hexadecimal digits.
    serial: String,
    key: &'a str,
    key_bits: usize,
    signature: String,
    ca: bool,
    self_signed: bool,
    sha256: String,
    sha1: String,
}

/// Reads the body of a Certificate message up to TLS 1.2 (RFC 5246 clause 7.4.2): messages for the whole
/// chain if they are wanted, facts from the owner's own. `server_name` is what the client asked for.
pub(crate) fn chain(from: Side, body: &[u8], server_name: Option<&str>, now: Timestamp, out: &mut Emit<'_>) {
    let mut reader = Reader::new(body);
    let Ok(mut list) = reader.be24().and_then(|length| reader.take(length as usize)).map(Reader::new) else {
        out.anomaly(from, "certificate-length", format_args!("the list is longer than its message"));
        return;
    };
    for position in 0..MAX_CHAIN {
        if list.is_empty() || (position > 0 && !out.wants_messages()) {
            return;
        }
        let Ok(der) = list.be24().and_then(|length| list.take(length as usize)) else {
            out.anomaly(from, "certificate-length", format_args!("certificate {position} is cut"));
            return;
        };
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            out.anomaly(
                from,
                "certificate-der",
                format_args!("certificate {position} of {} bytes", der.len()),
            );
            continue;
        };
        if out.wants_messages() {
            out.message(from, "certificate", &describe(position, der, &certificate));
        }
        if position == 0 {
            facts(from, &certificate, server_name, out);
            weaknesses(from, &certificate, now, out);
        }
    }
}

fn describe<'a>(position: usize, der: &[u8], certificate: &X509Certificate<'_>) -> Certificate<'a> {
    let (key, key_bits) = public_key(certificate);
    let mut names = Vec::new();
    for_names(certificate, |name| {
        if names.len() < MAX_NAMES {
            names.push(name.to_owned());
        }
    });
    Certificate {
        position,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names,
        not_before: moment(certificate.validity().not_before),
        not_after: moment(certificate.validity().not_after),
        serial: hex(certificate.raw_serial()),
        key,
        key_bits,
        signature: signature_name(&certificate.signature_algorithm.algorithm.to_id_string()),
        ca: certificate.is_ca(),
        self_signed: is_self_signed(certificate),
        sha256: hex(&Sha256::digest(der)),
        sha1: hex(&Sha1::digest(der)),
    }
}

/// Facts about the owner. A certificate that a public authority gave out names an organisation and its
/// web sites; one that the device or its maker gave out names the device and its maker.
fn facts(from: Side, certificate: &X509Certificate<'_>, server_name: Option<&str>, out: &mut Emit<'_>) {
    const SOURCE: &str = "tls.certificate";
    let subject = certificate.subject();
    let common_name = text(subject.iter_common_name().next());

    // The name that was asked for is the server's own only where its certificate agrees (RFC 9525).
    if let Some(asked) = server_name {
        let mut agrees = common_name.is_some_and(|name| matches_host(name, asked));
        for_names(certificate, |name| agrees |= matches_host(name, asked));
        if agrees {
            out.fact(from, Attribute::Hostname, asked, "tls.server-name", Confidence::LIKELY);
        }
    }

    if is_publicly_issued(certificate) {
        return;
    }
    let organisation = text(subject.iter_organization().next())
        .or_else(|| text(certificate.issuer().iter_organization().next()));
    if let Some(organisation) = organisation.filter(|name| !PLACEHOLDERS.contains(name)) {
        out.fact(from, Attribute::Vendor, organisation, SOURCE, Confidence::HINT);
    }
    if let Some(name) = common_name {
        if is_host_name(name) {
            out.fact(from, Attribute::Hostname, name, SOURCE, Confidence::HINT);
        } else if name.parse::<std::net::IpAddr>().is_err() && !name.contains('*') && name != "localhost" {
            out.fact(from, Attribute::Model, name, SOURCE, Confidence::HINT);
        }
    }
    // The subject of a device identity carries its serial number (IEEE 802.1AR clause 8.6).
    if let Some(serial) = text(subject.iter_attributes().find(|item| is_serial_number(item.attr_type()))) {
        out.fact(from, Attribute::Serial, serial, SOURCE, Confidence::LIKELY);
    }
}

/// Before 2010-01-01T00:00:00Z, in seconds since 1970, the sensor's clock was not set.
const CLOCK_IS_SET: i64 = 1_262_304_000;

/// What is weak in a certificate: its time (RFC 5280 clause 4.1.2.5), RSA keys below 2048 bits and signatures with MD5
/// or SHA-1 (NIST SP 800-131A revision 2), and that nobody vouches for it.
fn weaknesses(from: Side, certificate: &X509Certificate<'_>, now: Timestamp, out: &mut Emit<'_>) {
    let validity = certificate.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < CLOCK_IS_SET {
        // Nothing is late or early by a clock that was never set.
    } else if validity.not_after.timestamp() < now {
        out.weakness(from, "expired-certificate", moment(validity.not_after));
    } else if validity.not_before.timestamp() > now {
        out.weakness(from, "certificate-not-yet-valid", moment(validity.not_before));
    }
    let (key, bits) = public_key(certificate);
    if matches!(key, "rsa" | "dsa") && (1..2048).contains(&bits) {
        out.weakness(from, "weak-key", format!("{key} with {bits} bits"));
    }
    let is_self_signed = is_self_signed(certificate);
    if is_self_signed {
        out.weakness(from, "self-signed-certificate", certificate.subject().to_string());
    }
    // The signature of a certificate that vouches for itself proves nothing anyway.
    let signature = signature_name(&certificate.signature_algorithm.algorithm.to_id_string());
    let is_weak = ["md2", "md5", "sha1", "Sha1", "SHA1"].iter().any(|part| signature.contains(part));
    if is_weak && !is_self_signed {
        out.weakness(from, "weak-signature", signature);
    }
}

fn is_serial_number(oid: &x509_parser::der_parser::oid::Oid<'_>) -> bool {
    // id-at-serialNumber, 2.5.4.5 (RFC 5280 appendix A.1), in its encoded form.
    oid.as_bytes() == [0x55, 0x04, 0x05]
}

fn text<'a>(item: Option<&'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    item?.as_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// Whether subject and issuer are one, so that nobody else vouches for it.
fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    let name = |name: &X509Name<'_>| name.as_raw().to_vec();
    name(certificate.subject()) == name(certificate.issuer())
}

/// Whether this looks like the work of a public authority: those must say under which policy they issue
/// and where the issuer is found (CA/Browser Forum Baseline Requirements clause 7.1.2.7).
fn is_publicly_issued(certificate: &X509Certificate<'_>) -> bool {
    let has = |wanted: fn(&ParsedExtension<'_>) -> bool| {
        certificate.extensions().iter().any(|extension| wanted(extension.parsed_extension()))
    };
    !is_self_signed(certificate)
        && has(|extension| matches!(extension, ParsedExtension::CertificatePolicies(_)))
        && has(|extension| matches!(extension, ParsedExtension::AuthorityInfoAccess(_)))
}

/// Whether a name of a certificate covers a host; a star stands for one whole label (RFC 9525 clause
/// 6.3).
fn matches_host(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Whether a text is a name of several labels such as the DNS has (RFC 1123 clause 2.1).
fn is_host_name(name: &str) -> bool {
    name.contains('.')
        && name.parse::<std::net::IpAddr>().is_err()
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// Calls for each subject alternative name.
fn for_names(certificate: &X509Certificate<'_>, mut each: impl FnMut(&str)) {
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
                    each(text);
                }
                GeneralName::IPAddress(bytes) => {
                    if let Ok(ip) = <[u8; 4]>::try_from(*bytes) {
                        each(&std::net::Ipv4Addr::from(ip).to_string());
                    } else if let Ok(ip) = <[u8; 16]>::try_from(*bytes) {
                        each(&std::net::Ipv6Addr::from(ip).to_string());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The kind and size of the public key; 0 bits where the size is not known.
fn public_key(certificate: &X509Certificate<'_>) -> (&'static str, usize) {
    let key = certificate.public_key();
    let parsed = key.parsed();
    match (&parsed, key.algorithm.algorithm.to_id_string().as_str()) {
        (Ok(PublicKey::RSA(rsa)), _) => ("rsa", significant_bits(rsa.modulus)),
        (Ok(PublicKey::EC(_)), _) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|oid| oid.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => ("secp256r1", 256),
                Some("1.3.132.0.34") => ("secp384r1", 384),
                Some("1.3.132.0.35") => ("secp521r1", 521),
                Some("1.3.132.0.10") => ("secp256k1", 256),
                _ => ("ec", parsed.as_ref().map_or(0, PublicKey::key_size)),
            }
        }
        (Ok(PublicKey::DSA(y)), _) => ("dsa", significant_bits(y)),
        (_, "1.3.101.112") => ("ed25519", 256),
        (_, "1.3.101.113") => ("ed448", 448),
        (_, "2.16.840.1.101.3.4.3.17") => ("mldsa44", 0),
        (_, "2.16.840.1.101.3.4.3.18") => ("mldsa65", 0),
        (_, "2.16.840.1.101.3.4.3.19") => ("mldsa87", 0),
        _ => ("other", 0),
    }
}

/// The length of a number in bits, without leading zeros.
fn significant_bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

/// The name of a signature algorithm (RFC 3279, 4055, 5758, 8410, 9881), or its object identifier.
fn signature_name(oid: &str) -> String {
    match oid {
        "1.2.840.113549.1.1.2" => "md2WithRSA",
        "1.2.840.113549.1.1.4" => "md5WithRSA",
        "1.2.840.113549.1.1.5" => "sha1WithRSA",
        "1.2.840.113549.1.1.10" => "rsa-pss",
        "1.2.840.113549.1.1.11" => "sha256WithRSA",
        "1.2.840.113549.1.1.12" => "sha384WithRSA",
        "1.2.840.113549.1.1.13" => "sha512WithRSA",
        "1.2.840.113549.1.1.14" => "sha224WithRSA",
        "1.2.840.10040.4.3" => "dsaWithSha1",
        "1.2.840.10045.4.1" => "ecdsaWithSha1",
        "1.2.840.10045.4.3.1" => "ecdsaWithSha224",
        "1.2.840.10045.4.3.2" => "ecdsaWithSha256",
        "1.2.840.10045.4.3.3" => "ecdsaWithSha384",
        "1.2.840.10045.4.3.4" => "ecdsaWithSha512",
        "1.3.101.112" => "ed25519",
        "1.3.101.113" => "ed448",
        "2.16.840.1.101.3.4.3.17" => "mldsa44",
        "2.16.840.1.101.3.4.3.18" => "mldsa65",
        "2.16.840.1.101.3.4.3.19" => "mldsa87",
        other => other,
    }
    .to_owned()
}

/// A moment as RFC 3339 has it; certificates may name years that packet time does not know.
fn moment(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_one_label() {
        assert!(matches_host("*.example.net", "www.Example.net"));
        assert!(!matches_host("*.example.net", "a.b.example.net"));
        assert!(!matches_host("*.example.net", "example.net"));
        assert!(matches_host("plc.example", "PLC.example"));
    }

    #[test]
    fn host_names_have_several_labels_and_are_no_addresses() {
        assert!(is_host_name("camera-1.example.net"));
        for other in ["IPC-HFW2431", "192.0.2.1", "a b.example", "*.example.net", ""] {
            assert!(!is_host_name(other), "{other}");
        }
    }

    #[test]
    fn bits_do_not_count_leading_zeros() {
        assert_eq!(significant_bits(&[0, 0x80, 0]), 16);
        assert_eq!(significant_bits(&[0x01]), 1);
        assert_eq!(significant_bits(&[0, 0]), 0);
    }
}
