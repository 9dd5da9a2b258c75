//! Sealed values: AES-256-GCM-SIV (RFC 8452) with the value's place as associated data.
//!
//! A nonce that repeats by chance only shows that two values of one place are equal, so random nonces will do.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use zeroize::Zeroizing;

use super::{KeyId, VaultError};
use crate::secret::{Secret, fill_random};

/// The version of sealed values, their first byte.
pub const VALUE_VERSION: u8 = 1;
/// The longest value that is sealed, in bytes.
pub const MAX_VALUE: usize = 64 << 20;
/// How many bytes a sealed value has more than what it holds.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;

/// Version and key id.
const HEADER: usize = 1 + 4;
/// RFC 8452, section 4: 96 bits.
const NONCE: usize = 12;
/// RFC 8452, section 4: 128 bits.
const TAG: usize = 16;
/// Sets what is said about values apart from what is said about wrapped keys.
const DOMAIN: &[u8] = b"pavise seal value";

/// Where a value stands, such as table, column and row. A value opens only where it was sealed.
///
/// Parts are told apart by their lengths: `["ab", "c"]` is another place than `["a", "bc"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// The place that these parts name together, from the widest to the narrowest.
    pub fn of<P: AsRef<[u8]>>(parts: &[P]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            let part = part.as_ref();
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `version (1) | key id (4, big endian) | nonce (12) | ciphertext | tag (16)`.
pub(super) fn seal(key: &Secret, id: KeyId, plain: &[u8], context: &Context) -> Result<Vec<u8>, VaultError> {
    if plain.len() > MAX_VALUE {
        return Err(VaultError::TooLong(plain.len()));
    }
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
    sealed.push(VALUE_VERSION);
    sealed.extend_from_slice(&id.0.to_be_bytes());
    let aad = associated(&sealed, context);
    sealed.extend_from_slice(&encrypt(key, plain, &aad)?);
    Ok(sealed)
}

/// The key that a sealed value names.
pub(super) fn key_of(sealed: &[u8]) -> Result<KeyId, VaultError> {
    match sealed {
        [VALUE_VERSION, a, b, c, d, rest @ ..]
            if (NONCE + TAG..=MAX_VALUE + NONCE + TAG).contains(&rest.len()) =>
        {
            Ok(KeyId(u32::from_be_bytes([*a, *b, *c, *d])))
        }
        _ => Err(VaultError::NotSealed),
    }
}

pub(super) fn open(key: &Secret, sealed: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let id = key_of(sealed)?;
    let (header, body) = sealed.split_at(HEADER);
    decrypt(key, body, &associated(header, context)).ok_or(VaultError::Tampered(id))
}

fn associated(header: &[u8], context: &Context) -> Vec<u8> {
    [DOMAIN, header, context.bytes()].concat()
}

/// `nonce (12) | ciphertext | tag (16)`.
pub(crate) fn encrypt(key: &Secret, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE];
    fill_random(&mut nonce)?;
    encrypt_with(key, &nonce, plain, aad)
}

fn encrypt_with(key: &Secret, nonce: &[u8; NONCE], plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
    let sealed = Aes256GcmSiv::new(key.expose().into())
        .encrypt(&Nonce::from(*nonce), Payload { msg: plain, aad })
        .map_err(|_| VaultError::TooLong(plain.len()))?;
    Ok([&nonce[..], &sealed].concat())
}

/// What [`encrypt`] made, or `None` if anything about it was changed.
pub(crate) fn decrypt(key: &Secret, body: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = body.split_first_chunk::<NONCE>()?;
    Aes256GcmSiv::new(key.expose().into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad })
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 8452, appendix C.2, the first two cases and one with associated data.
    #[test]
    fn the_cipher_gives_the_answers_of_the_rfc() {
        let key =
            Secret::from_slice(&unhex("0100000000000000000000000000000000000000000000000000000000000000"))
                .unwrap();
        let mut nonce = [0; NONCE];
        nonce[0] = 3;
        for (plain, aad, result) in [
            ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
            ("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
            ("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
        ] {
            let sealed = encrypt_with(&key, &nonce, &unhex(plain), &unhex(aad)).unwrap();
            assert_eq!(sealed[NONCE..], unhex(result), "{plain}");
        }
    }

    #[test]
    fn contexts_of_other_parts_differ() {
        assert_ne!(Context::of(&["ab", "c"]), Context::of(&["a", "bc"]));
        assert_ne!(Context::of(&["a"]), Context::of(&["a", ""]));
    }
}
