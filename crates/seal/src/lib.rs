//! Data protected at rest and in exports.
//!
//! * [`Vault`] keeps data keys, wrapped by a key from a [`Source`] (file, passphrase, token or TPM), and seals
//!   values for one place each.
//! * [`Pseudonymiser`] hides who is who in exports, so that it can still be counted and, with the key, found out.
//! * [`Masks`] say how much of personal data each role sees.
//! * [`Retentions`] say what is kept for how long, and what is due to be erased.
//! * [`k_of`] and [`Groups`] say whether a table hides each of its rows among others.
//!
//! Files and tokens are touched by the vault alone; nothing here reads a clock.

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
