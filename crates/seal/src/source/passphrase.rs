//! A key from a passphrase: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

use super::Record;
use crate::secret::{KEY_BYTES, Secret, SecretText, fill_random};
use crate::vault::VaultError;

/// The fewest characters of a passphrase that is taken for wrapping.
pub const MIN_PASSPHRASE: usize = 12;
/// The most characters of a passphrase.
pub const MAX_PASSPHRASE: usize = 1024;

/// RFC 9106, section 3.1: 16 bytes are recommended.
const SALT_BYTES: usize = 16;
/// More memory than this is not given to a list of keys that asks for it: 1 GiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;

/// What Argon2id costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon {
    /// Memory in KiB, at most 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory, at most 64.
    pub passes: u32,
    /// Lanes, at most 16.
    pub lanes: u32,
}

/// The second recommended choice of RFC 9106, section 4, for where memory is scarce: 64 MiB, 3 passes, 4 lanes.
impl Default for Argon {
    fn default() -> Self {
        Self { memory_kib: 1 << 16, passes: 3, lanes: 4 }
    }
}

pub(super) fn make(text: &SecretText, argon: Argon) -> Result<(Secret, Record), VaultError> {
    let length = text.expose().chars().count();
    if !(MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&length) {
        return Err(VaultError::Passphrase(length));
    }
    let mut salt = vec![0; SALT_BYTES];
    fill_random(&mut salt)?;
    let key = derive(text, argon, &salt)?;
    let Argon { memory_kib, passes, lanes } = argon;
    Ok((key, Record::Passphrase { salt, memory_kib, passes, lanes }))
}

pub(super) fn open(text: &SecretText, argon: Argon, salt: &[u8]) -> Result<Secret, VaultError> {
    let length = text.expose().chars().count();
    if length > MAX_PASSPHRASE {
        return Err(VaultError::Passphrase(length));
    }
    derive(text, argon, salt)
}

fn derive(text: &SecretText, argon: Argon, salt: &[u8]) -> Result<Secret, VaultError> {
    let Argon { memory_kib, passes, lanes } = argon;
    if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES {
        return Err(VaultError::Argon(format!("{memory_kib} KiB, {passes} passes, {lanes} lanes")));
    }
    let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES))
        .map_err(|error| VaultError::Argon(error.to_string()))?;
    let mut memory = vec![Block::default(); params.block_count()];
    let mut key = Secret::zero();
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        text.expose().as_bytes(),
        salt,
        key.expose_mut(),
        &mut memory,
    );
    memory.iter_mut().for_each(Zeroize::zeroize);
    done.map_err(|error| VaultError::Argon(error.to_string()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Argon = Argon { memory_kib: 256, passes: 1, lanes: 1 };

    /// Made by the reference implementation of Argon2: `-id -t 2 -m 16 -p 1`, password and salt "password",
    /// "somesalt" (its file `src/test.c`, version 0x13).
    #[test]
    fn argon2id_gives_the_answer_of_the_reference_implementation() {
        let argon = Argon { memory_kib: 1 << 16, passes: 2, lanes: 1 };
        let key = derive(&SecretText::new("password".into()), argon, b"somesalt").unwrap();
        let hex: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn short_passphrases_are_refused_when_made() {
        let short = SecretText::new("elf Zeichen".into());
        assert!(matches!(make(&short, CHEAP), Err(VaultError::Passphrase(11))));
    }

    #[test]
    fn a_list_of_keys_cannot_ask_for_any_amount_of_memory() {
        let text = SecretText::new("long enough as it is".into());
        for argon in [
            Argon { memory_kib: u32::MAX, ..CHEAP },
            Argon { passes: u32::MAX, ..CHEAP },
            Argon { lanes: u32::MAX, ..CHEAP },
            Argon { passes: 0, ..CHEAP },
        ] {
            assert!(matches!(open(&text, argon, b"somesalt"), Err(VaultError::Argon(_))), "{argon:?}");
        }
        assert!(open(&text, CHEAP, b"short").is_err(), "salt of less than 8 bytes");
    }
}
