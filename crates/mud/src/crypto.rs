//! Whether signatures are right: RSA (RFC 8017), ECDSA (FIPS 186-5) and Ed25519 (RFC 8032).

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use ed25519_dalek::Verifier as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::der::{DerError, Reader, tag, value};

/// Shortest modulus of RSA that is trusted, in bits (NIST SP 800-131A, revision 2, section 3).
pub const MIN_RSA_BITS: u32 = 2_048;
/// Longest modulus that is computed with, in bits.
pub const MAX_RSA_BITS: u32 = 8_192;
/// Longest public exponent of RSA that is computed with, in bytes (FIPS 186-5, section 5.1: below 2^256).
const MAX_EXPONENT: usize = 32;

/// The contents of object identifiers.
pub(crate) mod oid {
    pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    pub(crate) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
    pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    pub(crate) const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    pub(crate) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    pub(crate) const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    pub(crate) const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
    pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    pub(crate) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    pub(crate) const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
}

/// The digests that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By the content of its object identifier (RFC 5754, section 2).
    pub(crate) fn of(oid: &[u8]) -> Option<Self> {
        match oid {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) const fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    pub(crate) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn all<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().fold(D::new(), |digest, part| digest.chain_update(part)).finalize().to_vec()
        }
        match self {
            Self::Sha256 => all::<Sha256>(parts),
            Self::Sha384 => all::<Sha384>(parts),
            Self::Sha512 => all::<Sha512>(parts),
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
    Rsa(Hash),
    /// RSASSA-PSS (RFC 8017, section 8.1), with so many bytes of salt.
    RsaPss(Hash, usize),
    Ecdsa(Hash),
    Ed25519,
}

impl Algorithm {
    /// Reads the content of an `AlgorithmIdentifier`. `hash` is what is said elsewhere, where the identifier tells none.
    pub(crate) fn read(content: &[u8], hash: Option<Hash>) -> Option<Self> {
        let mut reader = Reader::new(content);
        let oid = reader.expect(tag::OID).ok()?.content;
        Some(match oid {
            oid::RSA => Self::Rsa(hash?),
            oid::RSA_SHA256 => Self::Rsa(Hash::Sha256),
            oid::RSA_SHA384 => Self::Rsa(Hash::Sha384),
            oid::RSA_SHA512 => Self::Rsa(Hash::Sha512),
            oid::RSA_PSS => Self::pss(reader).ok()??,
            oid::ECDSA_SHA256 => Self::Ecdsa(Hash::Sha256),
            oid::ECDSA_SHA384 => Self::Ecdsa(Hash::Sha384),
            oid::ECDSA_SHA512 => Self::Ecdsa(Hash::Sha512),
            oid::ED25519 => Self::Ed25519,
            _ => return None,
        })
    }

    /// `RSASSA-PSS-params` (RFC 4055, section 3.1). The defaults are SHA-1, which is not trusted: both digests must be
    /// there, and the same.
    fn pss(mut reader: Reader<'_>) -> Result<Option<Self>, DerError> {
        let mut parameters = reader.enter(tag::SEQUENCE)?;
        let hash =
            Hash::of(parameters.enter(tag::CONTEXT_0)?.enter(tag::SEQUENCE)?.expect(tag::OID)?.content);
        let mut mask = parameters.enter(tag::CONTEXT_1)?.enter(tag::SEQUENCE)?;
        let is_mgf1 = mask.expect(tag::OID)?.content == oid::MGF1;
        let mask_hash = Hash::of(mask.enter(tag::SEQUENCE)?.expect(tag::OID)?.content);
        let salt = match parameters.optional(0xa2)? {
            None => 20,
            Some(value) => match Reader::new(value.content).expect(tag::INTEGER)?.content {
                [length] if *length < 0x80 => usize::from(*length),
                [0, length] => usize::from(*length),
                [high, low] if *high < 0x80 => usize::from(*high) << 8 | usize::from(*low),
                _ => return Ok(None),
            },
        };
        Ok(hash.filter(|_| is_mgf1 && hash == mask_hash).map(|hash| Self::RsaPss(hash, salt)))
    }

    /// Its name, for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rsa(Hash::Sha256) => "RSA with SHA-256",
            Self::Rsa(Hash::Sha384) => "RSA with SHA-384",
            Self::Rsa(Hash::Sha512) => "RSA with SHA-512",
            Self::RsaPss(Hash::Sha256, _) => "RSA-PSS with SHA-256",
            Self::RsaPss(Hash::Sha384, _) => "RSA-PSS with SHA-384",
            Self::RsaPss(Hash::Sha512, _) => "RSA-PSS with SHA-512",
            Self::Ecdsa(Hash::Sha256) => "ECDSA with SHA-256",
            Self::Ecdsa(Hash::Sha384) => "ECDSA with SHA-384",
            Self::Ecdsa(Hash::Sha512) => "ECDSA with SHA-512",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// Whether a signature is that of a message by the owner of a key, given as a whole `SubjectPublicKeyInfo` (RFC 5280,
/// section 4.1.2.7). A key that cannot be understood or is too weak has signed nothing.
pub(crate) fn is_signed(key: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    check(key, algorithm, message, signature).unwrap_or(false)
}

fn check(key: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<bool, DerError> {
    let mut key = Reader::new(key).enter(tag::SEQUENCE)?;
    let mut kind = key.enter(tag::SEQUENCE)?;
    let kind_oid = kind.expect(tag::OID)?.content;
    // A bit string of whole bytes.
    let bits = key.expect(0x03)?.content.strip_prefix(&[0]).ok_or(DerError::Unexpected)?;
    Ok(match (algorithm, kind_oid) {
        (Algorithm::Rsa(hash), oid::RSA) => rsa(bits, signature)?
            .is_some_and(|(encoded, bits)| pkcs1(hash, message, bits).is_some_and(|right| right == encoded)),
        (Algorithm::RsaPss(hash, salt), oid::RSA | oid::RSA_PSS) => {
            rsa(bits, signature)?.is_some_and(|(encoded, bits)| is_pss(hash, salt, message, &encoded, bits))
        }
        (Algorithm::Ecdsa(hash), oid::EC) => {
            let digest = hash.digest(&[message]);
            match kind.expect(tag::OID)?.content {
                oid::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                    .ok()
                    .zip(p256::ecdsa::Signature::from_der(signature).ok())
                    .is_some_and(|(key, signature)| key.verify_prehash(&digest, &signature).is_ok()),
                oid::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                    .ok()
                    .zip(p384::ecdsa::Signature::from_der(signature).ok())
                    .is_some_and(|(key, signature)| key.verify_prehash(&digest, &signature).is_ok()),
                _ => false,
            }
        }
        (Algorithm::Ed25519, oid::ED25519) => <[u8; 32]>::try_from(bits)
            .ok()
            .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok())
            .zip(ed25519_dalek::Signature::from_slice(signature).ok())
            .is_some_and(|(key, signature)| key.verify(message, &signature).is_ok()),
        _ => false,
    })
}

/// What the signer of an RSA signature encoded, as long as the modulus, and the bits of the modulus (RFC 8017, section
/// 5.2.2). Nothing here is secret.
fn rsa(key: &[u8], signature: &[u8]) -> Result<Option<(Vec<u8>, u32)>, DerError> {
    let mut key = Reader::new(key).enter(tag::SEQUENCE)?;
    let modulus = key.expect(tag::INTEGER)?.content;
    let exponent = key.expect(tag::INTEGER)?.content;
    key.end()?;
    let strip = |number: &[u8]| number.iter().position(|byte| *byte != 0).map(|from| number[from..].to_vec());
    let (Some(modulus), Some(exponent)) = (strip(modulus), strip(exponent)) else { return Ok(None) };
    let bits = modulus.len() as u32 * 8 - modulus.first().map_or(0, |first| first.leading_zeros());
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits)
        || !is_odd(&modulus)
        || !is_odd(&exponent)
        || exponent == [1]
        || exponent.len() > MAX_EXPONENT
        || signature.len() != modulus.len()
        || signature >= modulus.as_slice()
    {
        return Ok(None);
    }
    let precision = modulus.len() as u32 * 8;
    let number = |bytes: &[u8], precision| BoxedUint::from_be_slice(bytes, precision).ok();
    let (Some(n), Some(s), Some(e)) = (
        number(&modulus, precision).and_then(|n| Option::<Odd<BoxedUint>>::from(Odd::new(n))),
        number(signature, precision),
        number(&exponent, exponent.len() as u32 * 8),
    ) else {
        return Ok(None);
    };
    let message = BoxedMontyForm::new(s, &BoxedMontyParams::new(n)).pow(&e).retrieve();
    let bytes = message.to_be_bytes();
    let from = bytes.len().saturating_sub(modulus.len());
    Ok(Some((bytes[from..].to_vec(), bits)))
}

/// What a signer must have encoded (RFC 8017, section 9.2). It is made again and compared, not read.
fn pkcs1(hash: Hash, message: &[u8], bits: u32) -> Option<Vec<u8>> {
    let algorithm = value(tag::SEQUENCE, &[value(tag::OID, hash.oid()), vec![0x05, 0x00]].concat());
    let digest = value(tag::OCTETS, &hash.digest(&[message]));
    let info = value(tag::SEQUENCE, &[algorithm, digest].concat());
    let padding = (bits.div_ceil(8) as usize).checked_sub(info.len() + 3).filter(|padding| *padding >= 8)?;
    Some([&[0x00, 0x01][..], &vec![0xff; padding], &[0x00], &info].concat())
}

/// RFC 8017, section 9.1.2.
fn is_pss(hash: Hash, salt: usize, message: &[u8], encoded: &[u8], bits: u32) -> bool {
    // The encoded message has one bit less than the modulus.
    let bits = bits - 1;
    let length = bits.div_ceil(8) as usize;
    let Some((before, encoded)) = encoded.split_at_checked(encoded.len() - length) else { return false };
    let Some(masked) = length.checked_sub(hash.len() + 1).filter(|masked| *masked > salt) else {
        return false;
    };
    let (Some(masked_block), Some(digest), Some(0xbc)) =
        (encoded.get(..masked), encoded.get(masked..masked + hash.len()), encoded.last())
    else {
        return false;
    };
    let unused = 8 * length as u32 - bits;
    let top = 0xff_u8.checked_shr(unused).unwrap_or(0);
    if before.iter().any(|byte| *byte != 0) || masked_block.first().is_some_and(|byte| byte & !top != 0) {
        return false;
    }
    let mut block: Vec<u8> =
        masked_block.iter().zip(mgf1(hash, digest, masked)).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(first) = block.first_mut() {
        *first &= top;
    }
    let (padding, salt) = block.split_at(masked - salt);
    let Some((1, zeros)) = padding.split_last() else { return false };
    zeros.iter().all(|byte| *byte == 0) && hash.digest(&[&[0; 8], &hash.digest(&[message]), salt]) == digest
}

/// RFC 8017, appendix B.2.1.
fn mgf1(hash: Hash, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + hash.len());
    for counter in 0_u32.. {
        if mask.len() >= length {
            break;
        }
        mask.extend(hash.digest(&[seed, &counter.to_be_bytes()]));
    }
    mask.truncate(length);
    mask
}
