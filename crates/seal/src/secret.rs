//! Secrets in memory: wiped when dropped, never shown, compared in constant time.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::VaultError;

/// Bytes of every key here: AES-256, HMAC-SHA-256 and HKDF-SHA-256 alike.
pub const KEY_BYTES: usize = 32;

/// A key of [`KEY_BYTES`] bytes. It lies in one place until it is dropped, and is wiped then.
pub struct Secret(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Secret {
    /// A key that is known already, such as one that was read or derived. The caller wipes his own copy.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut secret = Self::zero();
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// A key from the operating system's random source.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn random() -> Result<Self, VaultError> {
        let mut secret = Self::zero();
        fill_random(&mut secret.0[..])?;
        Ok(secret)
    }

    /// The key's bytes. Whoever takes them keeps them out of logs, and wipes copies.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The key as bytes of any number, or `None` if they are not [`KEY_BYTES`].
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY_BYTES).then(|| {
            let mut secret = Self::zero();
            secret.0.copy_from_slice(bytes);
            secret
        })
    }

    /// All zeros, to be filled at once.
    pub(crate) fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::new(self.expose())
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose()[..].ct_eq(&other.expose()[..]).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// A passphrase or PIN. It is wiped when it is dropped, and never shown.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Whoever takes it keeps it out of logs and of arguments of programs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(not shown)")
    }
}

/// Fills `bytes` from the operating system's random source.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|_| VaultError::NoRandom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::new(&[0xab; KEY_BYTES]);
        assert_eq!(format!("{secret:?}"), "Secret(not shown)");
        assert_eq!(format!("{:?}", SecretText::new("korrekt".into())), "SecretText(not shown)");
    }

    #[test]
    fn random_keys_differ_and_copies_are_equal() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(one, one.clone());
        assert!(Secret::from_slice(&[0; 31]).is_none());
    }
}
