//! Data protected at rest and in exports.
//!
//! * [`Vault`] keeps data keys, wrapped by a key from a [`Source`], and seals values for one place each.
//! * [`Pseudonymiser`] hides who is who in exports, so that it can still be counted and, with the key, found out.
//! * [`Masks`] say how much of personal data each role sees.
//! * [`Retentions`] say what is kept for how long, and what is due to be erased.
//! * [`k_of`] and [`Groups`] say whether a table hides each of its rows among others.
//!
//! # Keys
//!
//! The source's key wraps data keys, which lie in `keys.json`; data keys seal values (AES-256-GCM-SIV, RFC 8452).
//! Rotation makes a new data key, and values move to it one by one ([`Vault::reseal`]); rewrapping changes the source
//! and touches no value. What a thief of the disk can do depends on the source:
//!
//! | source | he needs besides the disk | what it does not withstand |
//! |---|---|---|
//! | file | the file, if it lies elsewhere | a copy of both |
//! | passphrase | the passphrase, or a guess at the price of Argon2id | whoever reads it where it is kept for restarts |
//! | pkcs11 | the token and its PIN | code on the machine while the token is open |
//! | tpm | the machine, with a policy also its boot | reading the bus of a discrete TPM |
//!
//! Whoever runs code as Pavise's user while the vault is open can open what it can. Data keys are wiped from memory
//! when the vault is dropped, and never shown.
//!
//! ```
//! use model::Timestamp;
//! use seal::{Context, Source, Vault};
//!
//! # let (data, secrets) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! let now = Timestamp::from_secs(1_790_000_000);
//! let source = Source::File(secrets.path().join("key"));
//! let mut vault = Vault::open_or_make(data.path(), &source, now)?;
//! let place = Context::of(&["logins", "user", "4711"]);
//! let sealed = vault.seal(b"jdoe", &place)?;
//! let old = Vault::key_of(&sealed)?;
//!
//! vault.rotate_data_key(now)?;
//! let sealed = vault.reseal(&sealed, &place)?.expect("it was sealed with the old key");
//! vault.retire(old, 0)?;
//! assert_eq!(vault.unseal(&sealed, &place)?.as_slice(), b"jdoe");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Files, tokens and the TPM are touched by the vault alone; all else does no input or output. Nothing reads a clock.

mod anonymity;
mod mask;
mod pseudonym;
mod retain;
mod secret;
mod source;
mod vault;

pub use anonymity::{Groups, MAX_GROUPS, TableError, k_of};
pub use mask::{HIDDEN, Kind, MAX_DOMAIN, MAX_ROLES, Mask, MaskError, MaskSettings, Masks};
pub use pseudonym::{Choices, Keep, Label, Oui, Pseudonymiser, TOKEN_DIGITS};
pub use retain::{
    Hold, KeepFor, MAX_HOLDS, MAX_KEEP, MAX_REASON, MIN_KEEP, Retention, RetentionError, Retentions, Stored,
};
pub use secret::{KEY_BYTES, Secret, SecretText};
pub use source::{Argon, MAX_PASSPHRASE, MIN_PASSPHRASE, Slot, Source, Token, Tpm, read_secret_file};
pub use vault::{
    Content, Context, Disk, Files, KEYS_FILE, KEYS_FORMAT, KeyId, Locked, MAX_KEYS, MAX_KEYS_FILE, MAX_VALUE,
    OVERHEAD, VALUE_VERSION, Vault, VaultError,
};
