//! Certificates (RFC 5280): what is in them, and whether they lead to one that is trusted.

use model::Timestamp;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509Name};

use crate::crypto::{Algorithm, is_signed};
use crate::der::{DerError, Reader, tag};
use crate::signature::SignatureError;

/// Most certificates from a signer's to a trusted one, both among them.
pub const MAX_CHAIN: usize = 8;
/// Most signatures of certificates that are checked for one signer.
const MAX_CHECKS: usize = 64;

/// id-pe-mud-url (RFC 8520, section 11): 1.3.6.1.5.5.7.1.25.
const MUD_URL: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 25];
/// id-pe-mudsigner (RFC 8520, section 11): 1.3.6.1.5.5.7.1.30.
const MUD_SIGNER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 30];

/// A certificate that was read.
pub(crate) struct Certificate<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) x509: X509Certificate<'a>,
    signed: Signed<'a>,
}

/// What is signed, the content of the algorithm, and the signature.
struct Signed<'a> {
    what: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a whole certificate.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        let signed = Signed::read(der).ok()?;
        rest.is_empty().then_some(Self { der, x509, signed })
    }

    pub(crate) fn subject(&self) -> String {
        self.x509.subject().to_string()
    }

    /// The key, as a whole `SubjectPublicKeyInfo`.
    pub(crate) const fn key(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject_pki.raw
    }

    fn is_valid(&self, at: Timestamp) -> Result<(), SignatureError> {
        let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let validity = self.x509.validity();
        if (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&at) {
            return Ok(());
        }
        Err(SignatureError::Expired {
            subject: self.subject(),
            from: validity.not_before.to_string(),
            until: validity.not_after.to_string(),
        })
    }

    /// RFC 5280, section 4.2: an extension that must be understood and is not.
    fn is_understood(&self) -> bool {
        self.x509.extensions().iter().all(|extension| {
            !extension.critical
                || matches!(
                    extension.parsed_extension(),
                    ParsedExtension::BasicConstraints(_)
                        | ParsedExtension::KeyUsage(_)
                        | ParsedExtension::ExtendedKeyUsage(_)
                        | ParsedExtension::SubjectAlternativeName(_)
                        | ParsedExtension::CertificatePolicies(_)
                )
        })
    }

    /// Whether it may sign certificates with so many intermediate ones below (RFC 5280, sections 4.2.1.3 and 4.2.1.9).
    fn may_issue(&self, below: usize) -> bool {
        let is_ca = self.x509.basic_constraints().ok().flatten().is_some_and(|constraints| {
            constraints.value.ca
                && constraints.value.path_len_constraint.is_none_or(|most| below <= most as usize)
        });
        let may_sign = match self.x509.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => false,
        };
        is_ca && may_sign && self.is_understood()
    }

    /// Whether its issuer signed it.
    fn is_signed_by(&self, issuer: &Self) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
            && Algorithm::read(self.signed.algorithm, None)
                .is_some_and(|how| is_signed(issuer.key(), how, self.signed.what, self.signed.signature))
    }

    /// What must hold for it to sign descriptions. RFC 8520, section 13.2: the key usage must be there, with
    /// digitalSignature. Where its purposes are told, one of them must be to sign files or mail (RFC 5280, section
    /// 4.2.1.12): a web server's key lies where it can be stolen.
    pub(crate) fn may_sign_files(&self) -> Result<(), SignatureError> {
        let wrong = |what| SignatureError::Usage { subject: self.subject(), what };
        match self.x509.key_usage() {
            Ok(Some(usage)) if usage.value.digital_signature() => {}
            Ok(Some(_)) => return Err(wrong("its key usage has no digitalSignature")),
            _ => return Err(wrong("it has no key usage")),
        }
        match self.x509.extended_key_usage() {
            Ok(None) => {}
            Ok(Some(purpose))
                if purpose.value.any || purpose.value.email_protection || purpose.value.code_signing => {}
            _ => return Err(wrong("its extended key usage is neither to sign code nor to protect mail")),
        }
        if self.is_understood() {
            Ok(())
        } else {
            Err(wrong("it has a critical extension that is not understood"))
        }
    }
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut certificate = Reader::new(der).enter(tag::SEQUENCE)?;
        let signed = certificate.expect(tag::SEQUENCE)?;
        let algorithm = certificate.expect(tag::SEQUENCE)?;
        let signature = certificate.expect(0x03)?.content.strip_prefix(&[0]).ok_or(DerError::Unexpected)?;
        // RFC 5280, section 4.1.1.2: what is signed names the same algorithm.
        let mut inner = Reader::new(signed.content);
        inner.optional(tag::CONTEXT_0)?;
        inner.expect(tag::INTEGER)?;
        if inner.expect(tag::SEQUENCE)?.whole != algorithm.whole {
            return Err(DerError::Unexpected);
        }
        Ok(Self { what: signed.whole, algorithm: algorithm.content, signature })
    }
}

/// Looks for a way from a signer's certificate to a trusted one, all valid at that time (RFC 5280, section 6.1). The
/// error is that of the way which went furthest wrong last: an expired link is told rather than no way.
pub(crate) fn chain(
    signer: &Certificate<'_>,
    others: &[Certificate<'_>],
    anchors: &[Certificate<'_>],
    at: Timestamp,
) -> Result<Vec<String>, SignatureError> {
    signer.is_valid(at)?;
    let mut checks = 0;
    let mut path = Vec::new();
    let mut problem = None;
    if climb(signer, others, anchors, at, &mut path, &mut checks, &mut problem) {
        return Ok(path);
    }
    Err(problem.unwrap_or_else(|| SignatureError::Untrusted(signer.subject())))
}

fn climb(
    here: &Certificate<'_>,
    others: &[Certificate<'_>],
    anchors: &[Certificate<'_>],
    at: Timestamp,
    path: &mut Vec<String>,
    checks: &mut usize,
    problem: &mut Option<SignatureError>,
) -> bool {
    path.push(here.subject());
    if anchors.iter().any(|anchor| anchor.der == here.der) {
        return true;
    }
    // Intermediate certificates below an issuer: all so far but the signer's own.
    let below = path.len() - 1;
    for (place, issuer) in anchors.iter().chain(others).enumerate() {
        let is_anchor = place < anchors.len();
        if path.len() >= MAX_CHAIN || *checks >= MAX_CHECKS {
            break;
        }
        if here.x509.issuer().as_raw() != issuer.x509.subject().as_raw() || issuer.der == here.der {
            continue;
        }
        *checks += 1;
        if !issuer.may_issue(below) || !here.is_signed_by(issuer) {
            continue;
        }
        if let Err(error) = issuer.is_valid(at) {
            *problem = Some(error);
            continue;
        }
        if is_anchor {
            path.push(issuer.subject());
            return true;
        }
        if climb(issuer, others, anchors, at, path, checks, problem) {
            return true;
        }
    }
    path.pop();
    false
}

/// What a device's certificate says about its description (RFC 8520, section 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MudExtensions {
    /// The MUD URL.
    pub url: Option<String>,
    /// The subject of the certificate that must sign the description, as a DER `Name`.
    pub signer: Option<Vec<u8>>,
}

/// Why a device's certificate tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is none.
    #[error("this is no X.509 certificate in DER")]
    Malformed,
    /// The MUD URL cannot be read.
    #[error(
        "the certificate's MUD URL (id-pe-mud-url) is no https URL in ASCII (RFC 8520, sections 6 and 11)"
    )]
    Url,
    /// The name of the signer cannot be read.
    #[error("the certificate's MUD signer (id-pe-mudsigner) is no name (RFC 8520, section 11)")]
    Signer,
}

/// Reads the extensions for descriptions out of a device's certificate in DER. Whether the certificate can be trusted
/// is another question.
///
/// # Errors
///
/// If it is no certificate, or an extension is there and cannot be read.
pub fn mud_extensions(certificate: &[u8]) -> Result<MudExtensions, CertificateError> {
    let certificate = Certificate::read(certificate).ok_or(CertificateError::Malformed)?;
    let mut found = MudExtensions::default();
    for extension in certificate.x509.extensions() {
        if extension.oid.as_bytes() == MUD_URL {
            let mut reader = Reader::new(extension.value);
            let url = reader.expect(tag::IA5).ok().filter(|_| reader.is_done());
            let url = url.and_then(|url| std::str::from_utf8(url.content).ok());
            let url = url.filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic()));
            found.url = Some(
                url.filter(|url| crate::file::authority(url).is_some())
                    .ok_or(CertificateError::Url)?
                    .to_owned(),
            );
        } else if extension.oid.as_bytes() == MUD_SIGNER {
            match X509Name::from_der(extension.value) {
                Ok(([], _)) => found.signer = Some(extension.value.to_vec()),
                _ => return Err(CertificateError::Signer),
            }
        }
    }
    Ok(found)
}

/// Whether two names are the same (RFC 5280, section 7.1): part by part, in any case and with any spaces.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    let parts = |der| {
        let (rest, name) = X509Name::from_der(der).ok()?;
        let sets = name.iter_rdn().map(|set| {
            let mut parts: Vec<(Vec<u8>, Vec<u8>)> = set
                .iter()
                .map(|part| {
                    let text = match part.as_str() {
                        Ok(text) => folded(text).into_bytes(),
                        Err(_) => part.as_slice().to_vec(),
                    };
                    (part.attr_type().as_bytes().to_vec(), text)
                })
                .collect();
            parts.sort();
            parts
        });
        Some(sets.collect::<Vec<_>>()).filter(|_| rest.is_empty())
    };
    one == other || parts(one).is_some_and(|one| parts(other) == Some(one))
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
