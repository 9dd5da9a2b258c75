//! Detached signatures of descriptions (RFC 8520, section 13; RFC 5652).

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use model::Timestamp;
use p256::ecdsa::signature::hazmat::PrehashSigner;

use crate::certificate::{Certificate, chain, is_same_name};
use crate::crypto::{Algorithm, Hash, is_signed, oid};
use crate::der::{DerError, Reader, Tlv, set, tag, value};

/// Longest signature that is read, in bytes: with certificates, it may hold a few dozen of them.
pub const MAX_SIGNATURE: usize = 256 * 1024;
/// Most certificates in a signature.
pub const MAX_CERTIFICATES: usize = 32;
/// Most signers of one description.
pub const MAX_SIGNERS: usize = 8;

/// id-data and id-signedData (RFC 5652, sections 4 and 5.1).
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// id-ct-mudtype (RFC 8520, section 17.3): 1.2.840.113549.1.9.16.1.41.
const MUD_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x29];
/// The attributes content-type and message-digest (RFC 5652, sections 11.1 and 11.2).
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// subjectKeyIdentifier (RFC 5280, section 4.2.1.2).
const KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];

/// Why a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// More bytes than are read.
    #[error("the signature has {0} bytes; at most {MAX_SIGNATURE} are read")]
    TooLong(usize),
    /// It is no signature.
    #[error("this is no CMS signature in DER (RFC 5652, section 5): {0}")]
    Malformed(&'static str),
    /// It is written in BER.
    #[error(
        "the signature has lengths that are not told at the beginning (BER): sign in DER, and not as a stream"
    )]
    Indefinite,
    /// It brings a content of its own.
    #[error("the signature brings a content of its own; RFC 8520, section 13.1, asks for a detached one")]
    NotDetached,
    /// It is over something else.
    #[error("what is signed is neither data nor a MUD file (content type)")]
    ContentType,
    /// Nobody signed.
    #[error("the signature has no signer, or more than {MAX_SIGNERS}")]
    Signers,
    /// More certificates than are read, or one that cannot be.
    #[error("the signature has a certificate that cannot be read, or more than {MAX_CERTIFICATES}")]
    Certificates,
    /// The signer's certificate is not there.
    #[error("the signature does not bring its signer's certificate, and it is not among the trusted ones")]
    NoCertificate,
    /// Something older or newer than what is trusted.
    #[error(
        "the signature uses an algorithm that is not trusted here: RSA, ECDSA with P-256 or P-384, or Ed25519, with SHA-256, SHA-384 or SHA-512 are"
    )]
    Algorithm,
    /// The signed attributes are not as they must be.
    #[error(
        "the signed attributes must name the content's type and digest once each (RFC 5652, section 5.3)"
    )]
    Attributes,
    /// The file is another.
    #[error(
        "the file is not the one that was signed: it was changed, or the signature belongs to another one"
    )]
    Content,
    /// The signature itself is wrong.
    #[error("the signature is not one by the key of {0}")]
    Wrong(String),
    /// The certificate is for something else.
    #[error("the certificate of {subject} may not sign descriptions: {what} (RFC 8520, section 13.2)")]
    Usage {
        /// Whose.
        subject: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A certificate is not valid at that time.
    #[error("the certificate of {subject} is valid from {from} until {until} only")]
    Expired {
        /// Whose.
        subject: String,
        /// From when.
        from: String,
        /// Until when.
        until: String,
    },
    /// No chain leads to a trusted one.
    #[error("no chain of certificates leads from {0} to a trusted one")]
    Untrusted(String),
    /// The device's certificate names another signer.
    #[error(
        "the device's certificate wants another signer than {0} (id-pe-mudsigner; RFC 8520, section 13.2)"
    )]
    MudSigner(String),
    /// A trusted certificate cannot be read.
    #[error("a trusted certificate is no X.509 certificate in DER")]
    Anchor,
    /// A key cannot be read or is not that of the certificate.
    #[error("the key is no PKCS#8 key for P-256 or Ed25519, or not that of the certificate")]
    Key,
}

impl From<DerError> for SignatureError {
    fn from(error: DerError) -> Self {
        match error {
            DerError::Indefinite => Self::Indefinite,
            DerError::Malformed => Self::Malformed("a length is wrong"),
            DerError::Unexpected => Self::Malformed("something else stands where a field is expected"),
        }
    }
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The subject of the certificate, for people.
    pub subject: String,
    /// The same as a DER `Name`.
    pub name: Vec<u8>,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// Subjects from the signer to the trusted one, both among them.
    pub chain: Vec<String>,
    /// How it is signed.
    pub algorithm: &'static str,
}

/// Checks the detached signature of a file: by whom it is, with certificates that lead to one of `anchors` (in DER) and
/// are all valid at that time. `wanted` is the name that the device's certificate gives
/// ([`crate::MudExtensions::signer`]), if it does.
///
/// Of several signers, one that is in order is enough: each of them signed the whole. Without any, the error is the
/// first one's.
///
/// # Errors
///
/// If no signer is in order.
pub fn verify(
    file: &[u8],
    signature: &[u8],
    anchors: &[&[u8]],
    at: Timestamp,
    wanted: Option<&[u8]>,
) -> Result<Signer, SignatureError> {
    if signature.len() > MAX_SIGNATURE {
        return Err(SignatureError::TooLong(signature.len()));
    }
    let anchors: Vec<Certificate<'_>> = anchors
        .iter()
        .map(|der| Certificate::read(der).ok_or(SignatureError::Anchor))
        .collect::<Result<_, _>>()?;
    let signed = SignedData::read(signature)?;
    let mut first = None;
    for info in &signed.signers {
        match info.verify(file, &signed, &anchors, at, wanted) {
            Ok(signer) => return Ok(signer),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    Err(first.unwrap_or(SignatureError::Signers))
}

/// `SignedData` (RFC 5652, section 5.1).
struct SignedData<'a> {
    content_type: &'a [u8],
    certificates: Vec<Certificate<'a>>,
    signers: Vec<SignerInfo<'a>>,
}

impl<'a> SignedData<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        let mut whole = Reader::new(bytes);
        let mut info = whole.enter(tag::SEQUENCE)?;
        whole.end()?;
        if info.expect(tag::OID)?.content != SIGNED_DATA {
            return Err(SignatureError::Malformed("it is another type of content"));
        }
        let mut data = info.enter(tag::CONTEXT_0)?.enter(tag::SEQUENCE)?;
        info.end()?;
        data.expect(tag::INTEGER)?;
        data.expect(tag::SET)?;
        let mut content = data.enter(tag::SEQUENCE)?;
        let content_type = content.expect(tag::OID)?.content;
        if !content.is_done() {
            return Err(SignatureError::NotDetached);
        }
        if content_type != DATA && content_type != MUD_TYPE {
            return Err(SignatureError::ContentType);
        }
        let mut certificates = Vec::new();
        if let Some(all) = data.optional(tag::CONTEXT_0)? {
            let mut all = Reader::new(all.content);
            while !all.is_done() {
                // Other kinds of certificates are obsolete or attributes (RFC 5652, section 10.2.2): they are of no use.
                let one = all.any()?;
                if one.tag == tag::SEQUENCE {
                    if certificates.len() >= MAX_CERTIFICATES {
                        return Err(SignatureError::Certificates);
                    }
                    certificates.push(Certificate::read(one.whole).ok_or(SignatureError::Certificates)?);
                }
            }
        }
        data.optional(tag::CONTEXT_1)?;
        let mut infos = data.enter(tag::SET)?;
        data.end()?;
        let mut signers = Vec::new();
        while !infos.is_done() {
            if signers.len() >= MAX_SIGNERS {
                return Err(SignatureError::Signers);
            }
            signers.push(SignerInfo::read(infos.enter(tag::SEQUENCE)?)?);
        }
        Ok(Self { content_type, certificates, signers })
    }
}

/// `SignerInfo` (RFC 5652, section 5.3).
struct SignerInfo<'a> {
    id: SignerId<'a>,
    hash: Option<Hash>,
    attributes: Option<Tlv<'a>>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

enum SignerId<'a> {
    /// The issuer's name, whole, and the content of the serial number.
    Serial(&'a [u8], &'a [u8]),
    Key(&'a [u8]),
}

impl<'a> SignerInfo<'a> {
    fn read(mut info: Reader<'a>) -> Result<Self, SignatureError> {
        info.expect(tag::INTEGER)?;
        let id = if let Some(key) = info.optional(tag::IMPLICIT_0)? {
            SignerId::Key(key.content)
        } else {
            let mut id = info.enter(tag::SEQUENCE)?;
            SignerId::Serial(id.expect(tag::SEQUENCE)?.whole, id.expect(tag::INTEGER)?.content)
        };
        let hash = Hash::of(info.enter(tag::SEQUENCE)?.expect(tag::OID)?.content);
        let attributes = info.optional(tag::CONTEXT_0)?;
        let algorithm = info.expect(tag::SEQUENCE)?.content;
        let signature = info.expect(tag::OCTETS)?.content;
        info.optional(tag::CONTEXT_1)?;
        info.end()?;
        Ok(Self { id, hash, attributes, algorithm, signature })
    }

    fn is_by(&self, certificate: &Certificate<'_>) -> bool {
        match self.id {
            SignerId::Serial(issuer, serial) => {
                certificate.x509.issuer().as_raw() == issuer && certificate.x509.raw_serial() == serial
            }
            SignerId::Key(key) => certificate.x509.extensions().iter().any(|extension| {
                extension.oid.as_bytes() == KEY_IDENTIFIER
                    && Reader::new(extension.value).expect(tag::OCTETS).is_ok_and(|id| id.content == key)
            }),
        }
    }

    fn verify(
        &self,
        file: &[u8],
        signed: &SignedData<'_>,
        anchors: &[Certificate<'_>],
        at: Timestamp,
        wanted: Option<&[u8]>,
    ) -> Result<Signer, SignatureError> {
        let certificate = signed
            .certificates
            .iter()
            .chain(anchors)
            .find(|certificate| self.is_by(certificate))
            .ok_or(SignatureError::NoCertificate)?;
        let hash = self.hash.ok_or(SignatureError::Algorithm)?;
        let algorithm = Algorithm::read(self.algorithm, Some(hash)).ok_or(SignatureError::Algorithm)?;
        // What is signed: the attributes as a set (RFC 5652, section 5.4), or the file itself.
        let attributes = self.attributes.map(|attributes| value(tag::SET, attributes.content));
        let message = match (&attributes, self.attributes) {
            (Some(message), Some(attributes)) => {
                if digest_of(attributes.content, signed.content_type)? != hash.digest(&[file]) {
                    return Err(SignatureError::Content);
                }
                message
            }
            // RFC 5652, section 5.3: without attributes only data can be signed. Whether the file is another cannot be
            // told from a wrong signature then.
            _ if signed.content_type == DATA => file,
            _ => return Err(SignatureError::Attributes),
        };
        if !is_signed(certificate.key(), algorithm, message, self.signature) {
            return Err(SignatureError::Wrong(certificate.subject()));
        }
        certificate.may_sign_files()?;
        let chain = chain(certificate, &signed.certificates, anchors, at)?;
        let name = certificate.x509.subject().as_raw();
        if wanted.is_some_and(|wanted| !is_same_name(wanted, name)) {
            return Err(SignatureError::MudSigner(certificate.subject()));
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&Hash::Sha256.digest(&[certificate.der]));
        Ok(Signer {
            subject: certificate.subject(),
            name: name.to_vec(),
            fingerprint,
            chain,
            algorithm: algorithm.name(),
        })
    }
}

/// The digest in signed attributes, of which the type must be that of the content.
fn digest_of<'a>(attributes: &'a [u8], content_type: &[u8]) -> Result<&'a [u8], SignatureError> {
    let (mut kind, mut digest) = (None, None);
    let mut all = Reader::new(attributes);
    while !all.is_done() {
        let mut attribute = all.enter(tag::SEQUENCE)?;
        let name = attribute.expect(tag::OID)?.content;
        let mut values = attribute.enter(tag::SET)?;
        let (to, expected) = match name {
            CONTENT_TYPE => (&mut kind, tag::OID),
            MESSAGE_DIGEST => (&mut digest, tag::OCTETS),
            _ => continue,
        };
        if to.replace(values.expect(expected)?.content).is_some() || !values.is_done() {
            return Err(SignatureError::Attributes);
        }
    }
    digest.filter(|_| kind == Some(content_type)).ok_or(SignatureError::Attributes)
}

/// A key that signs.
pub struct SigningKey(Secret);

enum Secret {
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl SigningKey {
    /// Reads a PKCS#8 key in DER (RFC 5958), for ECDSA with P-256 or for Ed25519.
    ///
    /// # Errors
    ///
    /// If it is for something else or cannot be read.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignatureError> {
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            return Ok(Self(Secret::P256(key.into())));
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|_| SignatureError::Key)?;
        Ok(Self(Secret::Ed25519(key)))
    }

    /// The digest of what is signed (for Ed25519 RFC 8419, section 3.1), how the signature is named, and how it is made.
    const fn parts(&self) -> (Hash, &'static [u8], Algorithm) {
        match self.0 {
            Secret::P256(_) => (Hash::Sha256, oid::ECDSA_SHA256, Algorithm::Ecdsa(Hash::Sha256)),
            Secret::Ed25519(_) => (Hash::Sha512, oid::ED25519, Algorithm::Ed25519),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        match &self.0 {
            Secret::P256(key) => {
                let digest = Hash::Sha256.digest(&[message]);
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(&digest).map_err(|_| SignatureError::Key)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
        }
    }
}

/// Signs a file, detached, in DER, with the certificates that lead to a trusted one. The same file, key and
/// certificates give the same bytes (RFC 6979; RFC 8032).
///
/// # Errors
///
/// If a certificate cannot be read, may not sign descriptions, or is not that of the key.
pub fn sign(
    file: &[u8],
    key: &SigningKey,
    certificate: &[u8],
    intermediates: &[&[u8]],
) -> Result<Vec<u8>, SignatureError> {
    let signer = Certificate::read(certificate).ok_or(SignatureError::Certificates)?;
    if intermediates.len() >= MAX_CERTIFICATES
        || intermediates.iter().any(|der| Certificate::read(der).is_none())
    {
        return Err(SignatureError::Certificates);
    }
    signer.may_sign_files()?;
    let (hash, name, algorithm) = key.parts();
    let digest_algorithm = value(tag::SEQUENCE, &value(tag::OID, hash.oid()));
    let attribute = |name, content: &[u8]| {
        value(tag::SEQUENCE, &[value(tag::OID, name), value(tag::SET, content)].concat())
    };
    let attributes = vec![
        attribute(CONTENT_TYPE, &value(tag::OID, DATA)),
        attribute(MESSAGE_DIGEST, &value(tag::OCTETS, &hash.digest(&[file]))),
    ];
    let message = set(tag::SET, attributes.clone());
    let signature = key.sign(&message)?;
    if !is_signed(signer.key(), algorithm, &message, &signature) {
        return Err(SignatureError::Key);
    }
    let version = value(tag::INTEGER, &[1]);
    let id = [signer.x509.issuer().as_raw().to_vec(), value(tag::INTEGER, signer.x509.raw_serial())].concat();
    let info = [
        version.clone(),
        value(tag::SEQUENCE, &id),
        digest_algorithm.clone(),
        set(tag::CONTEXT_0, attributes),
        value(tag::SEQUENCE, &value(tag::OID, name)),
        value(tag::OCTETS, &signature),
    ]
    .concat();
    let certificates = std::iter::once(certificate).chain(intermediates.iter().copied());
    let data = [
        version,
        set(tag::SET, vec![digest_algorithm]),
        value(tag::SEQUENCE, &value(tag::OID, DATA)),
        set(tag::CONTEXT_0, certificates.map(<[u8]>::to_vec).collect()),
        set(tag::SET, vec![value(tag::SEQUENCE, &info)]),
    ]
    .concat();
    let content = value(tag::CONTEXT_0, &value(tag::SEQUENCE, &data));
    Ok(value(tag::SEQUENCE, &[value(tag::OID, SIGNED_DATA), content].concat()))
}
