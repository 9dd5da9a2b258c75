//! The list of wrapped keys, `keys.json`: read with care, replaced as a whole.

use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Files, KeyId, Locked, VaultError, file_error};
use crate::source::{Record, beside};

/// The name of the list of keys within the vault's folder.
pub const KEYS_FILE: &str = "keys.json";
/// The version of the list.
pub const KEYS_FORMAT: u32 = 1;
/// The most data keys of a vault. Older ones have to be retired.
pub const MAX_KEYS: usize = 64;
/// The most bytes of the list.
pub const MAX_KEYS_FILE: usize = 64 << 10;

/// Bytes of a vault's own random name.
pub(super) const VAULT_ID: usize = 16;
/// The most bytes of a wrapped key: the key, and what a token may add.
const MAX_WRAPPED: usize = 256;
/// Sets what is said about wrapped keys apart from what is said about values.
const DOMAIN: &[u8] = b"pavise seal key";

/// A data key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) id: KeyId,
    pub(super) made: Timestamp,
    #[serde(with = "base64_text")]
    pub(super) wrapped: Vec<u8>,
}

impl Listed {
    /// What is authenticated with a wrapped key, so that none can be given another number, time or vault.
    pub(super) fn purpose(&self, vault: &[u8; VAULT_ID]) -> Vec<u8> {
        [DOMAIN, &vault[..], &self.id.0.to_be_bytes(), &self.made.as_nanos().to_be_bytes()].concat()
    }
}

/// The list as it was read.
pub(super) struct Listing {
    pub(super) vault: [u8; VAULT_ID],
    pub(super) source: Record,
    pub(super) keys: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    #[serde(with = "base64_text")]
    vault: Vec<u8>,
    source: Record,
    keys: Vec<Listed>,
}

#[derive(Serialize)]
struct TextRef<'a> {
    format: u32,
    #[serde(serialize_with = "base64_text::serialize")]
    vault: &'a [u8],
    source: &'a Record,
    keys: &'a [&'a Listed],
}

impl Listing {
    /// The list in this folder, or `None` if there is none.
    pub(super) fn read(files: &dyn Files, folder: &Path) -> Result<Option<Self>, VaultError> {
        let path = folder.join(KEYS_FILE);
        match files.read(&path, MAX_KEYS_FILE).map_err(file_error("read", &path))? {
            Some(content) if content.exposed => Err(VaultError::Exposed(path)),
            Some(content) => {
                Self::parse(&content.bytes).map(Some).map_err(|why| VaultError::BadKeys { path, why })
            }
            None => Ok(None),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let text: Text = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if text.format != KEYS_FORMAT {
            return Err(format!("its format is {}, known is {KEYS_FORMAT}", text.format));
        }
        let vault = text.vault.try_into().map_err(|_| "the vault's name has not 16 bytes".to_owned())?;
        if text.keys.is_empty() || text.keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys, not 1 to {MAX_KEYS}", text.keys.len()));
        }
        if !text.keys.is_sorted_by(|one, two| one.id < two.id) || text.keys[0].id.0 == 0 {
            return Err("its keys are not in the order of their numbers".to_owned());
        }
        if text.keys.iter().any(|key| key.wrapped.len() > MAX_WRAPPED) {
            return Err(format!("a wrapped key has more than {MAX_WRAPPED} bytes"));
        }
        Ok(Self { vault, source: text.source, keys: text.keys })
    }
}

/// Puts a new list in the place of the old one. The caller holds the lock.
pub(super) fn write(
    files: &dyn Files,
    folder: &Path,
    vault: &[u8; VAULT_ID],
    source: &Record,
    keys: &[&Listed],
) -> Result<(), VaultError> {
    let path = folder.join(KEYS_FILE);
    let text = serde_json::to_vec_pretty(&TextRef { format: KEYS_FORMAT, vault, source, keys })
        .map_err(|error| VaultError::BadKeys { path: path.clone(), why: error.to_string() })?;
    let part = beside(&path, ".new");
    files.remove(&part).map_err(file_error("remove", &part))?;
    files.create(&part, &text).map_err(file_error("write", &part))?;
    files.rename(&part, &path).map_err(file_error("replace", &path))?;
    files.sync_folder(folder).map_err(file_error("write", folder))
}

/// Locks the folder's list against other processes that would change it.
pub(super) fn lock(files: &dyn Files, folder: &Path) -> Result<Locked, VaultError> {
    let path: PathBuf = beside(&folder.join(KEYS_FILE), ".lock");
    files.lock(&path).map_err(file_error("lock", &path))?.ok_or_else(|| VaultError::Busy(folder.into()))
}

/// Bytes as base64 (RFC 4648, section 4) in JSON.
pub(crate) mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(&*text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Listing::parse(&bytes);
        }
    }

    #[test]
    fn lists_that_break_a_rule_are_refused() {
        let list = |format, vault: &str, keys: &str| {
            format!(r#"{{"format":{format},"vault":"{vault}","source":{{"kind":"file"}},"keys":[{keys}]}}"#)
        };
        let key = |id| format!(r#"{{"id":{id},"made":"2026-01-01T00:00:00Z","wrapped":"AAAA"}}"#);
        let vault = "AAAAAAAAAAAAAAAAAAAAAA==";
        assert!(Listing::parse(list(1, vault, &key(1)).as_bytes()).is_ok());
        for bad in [
            list(2, vault, &key(1)),
            list(1, "AAAA", &key(1)),
            list(1, vault, ""),
            list(1, vault, &key(0)),
            list(1, vault, &[key(2), key(1)].join(",")),
            list(1, vault, &[key(1), key(1)].join(",")),
            list(1, vault, &(1..66).map(key).collect::<Vec<_>>().join(",")),
        ] {
            assert!(Listing::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
