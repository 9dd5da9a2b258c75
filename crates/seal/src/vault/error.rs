//! What can go wrong with a vault.

use std::io;
use std::path::PathBuf;

use super::KeyId;

/// Why a vault could not be opened, changed or used. No case carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The system has no random bytes.
    #[error("the operating system gave no random bytes: see that /dev/urandom or getrandom can be used")]
    NoRandom,
    /// A file operation failed.
    #[error("cannot {what} {path}: {cause}; see that the folder exists, is writable and has room", path = path.display())]
    File {
        /// What was tried, such as "read".
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A secret lies where others can read it.
    #[error("{path} holds a secret and others than its owner can use it: run `chmod 600 {path}`, and change the secret if they may have read it", path = .0.display())]
    Exposed(PathBuf),
    /// A key file is not what it should be.
    #[error("{path} is not a key file: it must hold 32 bytes in base64 on one line; put the right file back", path = .0.display())]
    BadKeyFile(PathBuf),
    /// A file that must be there is not.
    #[error("{path} is missing: put it back from the backup; what was sealed cannot be opened without it", path = .0.display())]
    Missing(PathBuf),
    /// The list of keys does not read.
    #[error("{path} is not a list of keys ({why}): put it back from the backup", path = path.display())]
    BadKeys {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The list of keys was wrapped by a source of another kind.
    #[error("the keys were wrapped by the source \"{kept}\", not \"{given}\": name that one, or rewrap them")]
    OtherSource {
        /// The kind that the list names.
        kept: &'static str,
        /// The kind that the caller named.
        given: &'static str,
    },
    /// The source's key does not open the data keys.
    #[error(
        "this {0} does not open the keys: it is another one than they were wrapped with, or the list was changed"
    )]
    WrongKey(&'static str),
    /// A passphrase is too short or too long.
    #[error("the passphrase has {0} characters: choose one of {min} to {max}", min = crate::MIN_PASSPHRASE, max = crate::MAX_PASSPHRASE)]
    Passphrase(usize),
    /// Parameters of Argon2 that cannot be used.
    #[error("the parameters of Argon2 are out of bounds ({0}): put the list of keys back from the backup")]
    Argon(String),
    /// Another process is changing the keys.
    #[error("another process is changing the keys in {path}: try again when it is done", path = .0.display())]
    Busy(PathBuf),
    /// There are as many keys as may be.
    #[error("there are {max} data keys already: reseal what the oldest ones sealed, and retire those", max = crate::MAX_KEYS)]
    TooManyKeys,
    /// No such key.
    #[error(
        "the data key {0} is not in the list: load the list again if another process rotated it; else it was retired"
    )]
    NoSuchKey(KeyId),
    /// A key that is still needed was to be retired.
    #[error("{values} values are sealed with the data key {id}: reseal them before it is retired")]
    KeyInUse {
        /// Which key.
        id: KeyId,
        /// How many values need it.
        values: u64,
    },
    /// The key that seals was to be retired.
    #[error("the data key {0} is the one that seals: rotate before it is retired")]
    KeyActive(KeyId),
    /// A value is longer than can be sealed.
    #[error("a value of {0} bytes is too long to be sealed: split it into parts of at most {max} bytes", max = crate::MAX_VALUE)]
    TooLong(usize),
    /// What was to be opened was not sealed here.
    #[error("the value is not a sealed one of version {version}: it was cut off, or never sealed", version = crate::VALUE_VERSION)]
    NotSealed,
    /// A sealed value was changed or moved.
    #[error(
        "the value does not open with the data key {0}: it was changed, or moved from another place; take it from the backup"
    )]
    Tampered(KeyId),
    /// A token refused.
    #[error("the token refused to {what}: {cause}; see that it is there, not locked, and offers AES-GCM")]
    Token {
        /// What was tried.
        what: &'static str,
        /// What the module said.
        cause: String,
    },
    /// A token's key could be taken out of it.
    #[error(
        "the token's key \"{0}\" can be taken out of the token: make one that is sensitive and cannot be extracted"
    )]
    Extractable(String),
    /// A token has no such key, or several.
    #[error("the token has {found} AES keys with the label \"{label}\": there must be one")]
    TokenKeys {
        /// The label that was looked for.
        label: String,
        /// How many keys have it.
        found: usize,
    },
    /// A program for the TPM failed.
    #[error(
        "{program} failed: {cause}; see that tpm2-tools are installed and the TPM can be used by this user"
    )]
    Tpm {
        /// Which program.
        program: String,
        /// What it said, shortened.
        cause: String,
    },
}
