//! Random values that only their holder knows, and what is kept of them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::AccountError;

/// Bytes of a secret.
const BYTES: usize = 32;

/// A random value of 256 bits as text (base64url), which is shown to its holder once. It is never written to a log:
/// debugging shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// What is kept of a secret: its SHA-256. With 256 random bits nothing slower is needed.
pub(crate) type Digested = [u8; 32];

impl Secret {
    /// A new one.
    pub(crate) fn new() -> Result<Self, AccountError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        random(&mut *bytes)?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// One that somebody shows.
    pub fn shown(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Its text, for its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(crate) fn digest(&self) -> Digested {
        digest(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Fills with bytes of the system's random source.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), AccountError> {
    getrandom::fill(bytes).map_err(|error| AccountError::Random(error.to_string()))
}

pub(crate) fn digest(bytes: &[u8]) -> Digested {
    Sha256::digest(bytes).into()
}

/// Whether two secrets, or what is kept of them, are the same: takes as long for all of one length.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_not_shown() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(URL_SAFE_NO_PAD.decode(one.reveal()).unwrap().len(), BYTES);
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert_eq!(one.digest(), Secret::shown(one.reveal()).digest());
        assert!(is_same(b"abc", b"abc") && !is_same(b"abc", b"abd") && !is_same(b"abc", b"ab"));
    }
}
