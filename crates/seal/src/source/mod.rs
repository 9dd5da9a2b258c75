//! Where the key comes from that wraps the data keys.

mod file;
mod passphrase;
mod pkcs11;
mod tpm;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use file::read_secret_file;
pub use passphrase::{Argon, MAX_PASSPHRASE, MIN_PASSPHRASE};
pub use pkcs11::{Slot, Token};
pub use tpm::Tpm;

use crate::secret::{Secret, SecretText};
use crate::vault::{Files, VaultError, value};

/// What the caller says about where the wrapping key is.
#[derive(Debug)]
pub enum Source {
    /// A file with 32 random bytes in base64, for its owner only. Made on first use. It belongs on another disk or
    /// in the service manager's credentials, for whoever has both it and the data can read the data.
    File(PathBuf),
    /// A passphrase, through Argon2id (RFC 9106). The parameters count when the keys are wrapped; later those that
    /// are kept beside the keys do.
    Passphrase(SecretText, Argon),
    /// A key of a token that speaks PKCS #11. It never leaves the token.
    Pkcs11(Token),
    /// A key that the TPM of this machine seals, through the programs of tpm2-tools.
    Tpm(Tpm),
}

impl Source {
    /// The source's kind, as settings and the list of keys name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Passphrase(..) => "passphrase",
            Self::Pkcs11(_) => "pkcs11",
            Self::Tpm(_) => "tpm",
        }
    }

    /// The wrapping key for keys that are wrapped for the first time, made if it does not exist.
    pub(crate) fn make(&self, files: &dyn Files) -> Result<(Kek, Record), VaultError> {
        match self {
            Self::File(path) => Ok((Kek::Local(file::make(files, path)?), Record::File)),
            Self::Passphrase(text, argon) => {
                let (key, record) = passphrase::make(text, *argon)?;
                Ok((Kek::Local(key), record))
            }
            Self::Pkcs11(token) => Ok((Kek::Token(token.make()?), Record::Pkcs11 { key: token.key.clone() })),
            Self::Tpm(tpm) => {
                let (key, record) = tpm.make()?;
                Ok((Kek::Local(key), record))
            }
        }
    }

    /// The wrapping key that the record tells of.
    pub(crate) fn open(&self, files: &dyn Files, record: &Record) -> Result<Kek, VaultError> {
        match (self, record) {
            (Self::File(path), Record::File) => file::open(files, path).map(Kek::Local),
            (Self::Passphrase(text, _), Record::Passphrase { salt, memory_kib, passes, lanes }) => {
                let argon = Argon { memory_kib: *memory_kib, passes: *passes, lanes: *lanes };
                passphrase::open(text, argon, salt).map(Kek::Local)
            }
            (Self::Pkcs11(token), Record::Pkcs11 { key }) => token.open(key).map(Kek::Token),
            (Self::Tpm(tpm), Record::Tpm { public, private, pcrs }) => {
                tpm.open(public, private, pcrs.as_deref()).map(Kek::Local)
            }
            _ => Err(VaultError::OtherSource { kept: record.kind(), given: self.kind() }),
        }
    }
}

/// What is kept beside the keys about their source: nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Record {
    File,
    Passphrase {
        #[serde(with = "crate::vault::base64_text")]
        salt: Vec<u8>,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    Pkcs11 {
        key: String,
    },
    Tpm {
        #[serde(with = "crate::vault::base64_text")]
        public: Vec<u8>,
        #[serde(with = "crate::vault::base64_text")]
        private: Vec<u8>,
        pcrs: Option<String>,
    },
}

impl Record {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Passphrase { .. } => "passphrase",
            Self::Pkcs11 { .. } => "pkcs11",
            Self::Tpm { .. } => "tpm",
        }
    }
}

/// The key that wraps data keys: here, or in a token.
pub(crate) enum Kek {
    Local(Secret),
    Token(pkcs11::TokenKey),
}

impl Kek {
    pub(crate) fn wrap(&self, key: &Secret, aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        match self {
            Self::Local(kek) => value::encrypt(kek, key.expose(), aad),
            Self::Token(kek) => kek.wrap(key, aad),
        }
    }

    /// `Ok(None)` if the key does not open what was wrapped.
    pub(crate) fn unwrap(&self, wrapped: &[u8], aad: &[u8]) -> Result<Option<Secret>, VaultError> {
        let plain: Option<Zeroizing<Vec<u8>>> = match self {
            Self::Local(kek) => value::decrypt(kek, wrapped, aad),
            Self::Token(kek) => kek.unwrap(wrapped, aad)?,
        };
        Ok(plain.and_then(|plain| Secret::from_slice(&plain)))
    }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A path with a suffix after its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
