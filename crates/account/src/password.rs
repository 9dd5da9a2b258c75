//! Passwords: Argon2id (RFC 9106), and which ones are refused.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::AccountError;
use crate::secret::{is_same, random};

/// A password has at least so many characters (NIST SP 800-63B-4, section 3.1.1.2, asks for 15 where it stands alone and 8
/// where it does not).
pub const LENGTH_MIN: usize = 12;
/// And at most so many.
pub const LENGTH_MAX: usize = 128;
/// A password has at least so many different characters.
const DIFFERENT_MIN: usize = 5;
/// Bytes of a salt.
const SALT: usize = 16;
/// Bytes of a hash.
const HASH: usize = 32;
/// What passwords are often made of, with whatever is put around it.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "letmein",
    "welcome",
    "qwerty",
    "qwertz",
    "azerty",
    "iloveyou",
    "admin",
    "administrator",
    "changeme",
    "default",
    "secret",
    "pavise",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "master",
    "sunshine",
    "princess",
    "superman",
    "trustno1",
    "123456",
    "abc123",
    "111111",
    "000000",
];
/// What is left of a password without what it is often made of has at least so many characters.
const REST_MIN: usize = 8;

/// How hard hashing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardness {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Hardness {
    /// The second recommended choice of RFC 9106, section 4: 64 MiB, three passes, four lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// So weak that it serves only for tests.
    pub const FOR_TESTS: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };
}

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hashed {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT],
    hash: [u8; HASH],
}

fn hash(
    password: &str,
    salt: &[u8; SALT],
    hardness: Hardness,
) -> Result<Zeroizing<[u8; HASH]>, AccountError> {
    let wrong = |error: argon2::Error| AccountError::Hash(error.to_string());
    let params =
        Params::new(hardness.memory_kib, hardness.passes, hardness.lanes, Some(HASH)).map_err(wrong)?;
    let mut out = Zeroizing::new([0; HASH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut *out)
        .map_err(wrong)?;
    Ok(out)
}

impl Hashed {
    pub(crate) fn new(password: &str, hardness: Hardness) -> Result<Self, AccountError> {
        let mut salt = [0; SALT];
        random(&mut salt)?;
        let hash = *hash(password, &salt, hardness)?;
        let Hardness { memory_kib, passes, lanes } = hardness;
        Ok(Self { memory_kib, passes, lanes, salt, hash })
    }

    /// Of nobody: takes as long to compare with as that of somebody, and is never the same.
    pub(crate) const fn of_nobody(hardness: Hardness) -> Self {
        let Hardness { memory_kib, passes, lanes } = hardness;
        Self { memory_kib, passes, lanes, salt: [0; SALT], hash: [0; HASH] }
    }

    const fn hardness(&self) -> Hardness {
        Hardness { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }

    /// Whether it is of this password.
    pub(crate) fn is_of(&self, password: &str) -> Result<bool, AccountError> {
        Ok(is_same(&*hash(password, &self.salt, self.hardness())?, &self.hash))
    }

    /// Whether it was made as passwords are made now.
    pub(crate) fn is_current(&self, hardness: Hardness) -> bool {
        self.hardness() == hardness
    }
}

/// Refuses passwords that are soon guessed.
pub(crate) fn check(password: &str, name: &str) -> Result<(), AccountError> {
    let weak = |why: &str| Err(AccountError::WeakPassword(why.to_owned()));
    let length = password.chars().count();
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
        return weak(&format!("it has {length} characters, and needs {LENGTH_MIN} to {LENGTH_MAX}"));
    }
    let lower = password.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_MIN {
        return weak(&format!("it has only {} different characters", different.len()));
    }
    // One after the other, up or down, as in abcdef or 987654.
    let steps: Vec<i64> = lower
        .chars()
        .zip(lower.chars().skip(1))
        .map(|(one, next)| i64::from(u32::from(next)) - i64::from(u32::from(one)))
        .collect();
    let in_order = steps.iter().filter(|step| step.abs() <= 1).count();
    if in_order * 3 > steps.len() * 2 {
        return weak("its characters follow one another in order");
    }
    let mut rest = lower.clone();
    for word in COMMON.iter().copied().chain(Some(name).filter(|name| name.len() > 2)) {
        rest = rest.replace(&word.to_lowercase(), "");
    }
    if rest.chars().count() < REST_MIN && rest != lower {
        return weak("it is made of a common password or of your name: choose several unrelated words");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let hardness = Hardness::FOR_TESTS;
        let kept = Hashed::new("correct horse battery", hardness).unwrap();
        assert!(kept.is_of("correct horse battery").unwrap());
        assert!(!kept.is_of("correct horse batterz").unwrap());
        assert_ne!(kept, Hashed::new("correct horse battery", hardness).unwrap(), "salts differ");
        assert!(!Hashed::of_nobody(hardness).is_of("").unwrap());
        assert!(kept.is_current(hardness) && !kept.is_current(Hardness::RECOMMENDED));
        assert!(!Hashed { passes: 2, ..kept }.is_of("correct horse battery").unwrap());
    }

    #[test]
    fn passwords_that_are_soon_guessed_are_refused() {
        for weak in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "abababababab",
            "abcdefghijklm",
            "123456789012345",
            "Password2026!",
            "alice-password",
            "AdminAdmin123",
            "987654321098",
            &"x1y2z3w4".repeat(17),
        ] {
            assert!(check(weak, "alice").is_err(), "{weak}");
        }
        for good in [
            "correct horse battery staple",
            "w7#kQ9!vLp2z",
            "der grüne Traktor fährt",
            "my password is long enough",
        ] {
            assert_eq!(check(good, "alice"), Ok(()), "{good}");
        }
    }
}
