//! The vault: data keys, wrapped by a source's key, and what is sealed with them.
//!
//! The keys lie in `keys.json`, wrapped one by one; what a wrapped key is for (vault, id, time) is authenticated
//! with it. The newest key seals; all that are listed open. The list is replaced as a whole, so after a kill at any
//! moment it is either the old or the new one. Who changes it holds a lock, and changes what is on the disk, not
//! what it remembers.

mod error;
mod files;
mod keys;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use error::VaultError;
pub use files::{Content, Disk, Files, Locked};
pub(crate) use keys::base64_text;
pub use keys::{KEYS_FILE, KEYS_FORMAT, MAX_KEYS, MAX_KEYS_FILE};
use keys::{Listed, Listing};
pub use value::{Context, MAX_VALUE, OVERHEAD, VALUE_VERSION};

use crate::pseudonym::{Choices, Pseudonymiser};
use crate::secret::{Secret, fill_random};
use crate::source::{Kek, Record, Source};

/// What sealed text starts with.
const TEXT_PREFIX: &str = "seal1.";
/// Sets derived keys apart from all else that a data key is used for.
const DERIVE_DOMAIN: &[u8] = b"pavise seal derive";
/// The purpose of keys of pseudonyms.
const PSEUDONYMS: &str = "pseudonyms";

/// Names a data key within its vault: 1, 2, 3… No number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Data keys, open for use.
///
/// Keys are wiped when the vault is dropped. Several processes may have the same vault open; one that meets
/// [`VaultError::NoSuchKey`] loads the list again ([`Vault::reload`]).
pub struct Vault {
    files: Arc<dyn Files>,
    folder: PathBuf,
    id: [u8; keys::VAULT_ID],
    kek: Kek,
    record: Record,
    keys: BTreeMap<KeyId, Open>,
}

/// A data key that was unwrapped.
struct Open {
    listed: Listed,
    key: Secret,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("folder", &self.folder)
            .field("source", &self.record.kind())
            .field("keys", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the vault whose `keys.json` lies in `folder`.
    ///
    /// # Errors
    /// If there is none, or the source does not open it.
    pub fn open(folder: &Path, source: &Source) -> Result<Self, VaultError> {
        Self::open_with(Arc::new(Disk), folder, source)
    }

    /// As [`Vault::open`], and makes a vault with one data key if there is none. The folder must exist.
    ///
    /// Where sealed values may exist already, [`Vault::open`] is the right one: a vault that was lost is then not
    /// replaced by a new one.
    ///
    /// # Errors
    /// If the source does not open it, or it cannot be written.
    pub fn open_or_make(folder: &Path, source: &Source, now: Timestamp) -> Result<Self, VaultError> {
        Self::open_or_make_with(Arc::new(Disk), folder, source, now)
    }

    /// [`Vault::open`] with other file operations.
    pub fn open_with(files: Arc<dyn Files>, folder: &Path, source: &Source) -> Result<Self, VaultError> {
        let listing =
            Listing::read(&*files, folder)?.ok_or_else(|| VaultError::Missing(folder.join(KEYS_FILE)))?;
        Self::unlock(files, folder, source, listing)
    }

    /// [`Vault::open_or_make`] with other file operations.
    pub fn open_or_make_with(
        files: Arc<dyn Files>,
        folder: &Path,
        source: &Source,
        now: Timestamp,
    ) -> Result<Self, VaultError> {
        if let Some(listing) = Listing::read(&*files, folder)? {
            return Self::unlock(files, folder, source, listing);
        }
        let lock = keys::lock(&*files, folder)?;
        if let Some(listing) = Listing::read(&*files, folder)? {
            drop(lock);
            return Self::unlock(files, folder, source, listing);
        }
        let mut id = [0; keys::VAULT_ID];
        fill_random(&mut id)?;
        let (kek, record) = source.make(&*files)?;
        let mut vault = Self { files, folder: folder.into(), id, kek, record, keys: BTreeMap::new() };
        let first = vault.wrap_new(KeyId(1), now)?;
        vault.write(&[&first.listed], &vault.record)?;
        vault.keys.insert(KeyId(1), first);
        Ok(vault)
    }

    fn unlock(
        files: Arc<dyn Files>,
        folder: &Path,
        source: &Source,
        listing: Listing,
    ) -> Result<Self, VaultError> {
        let kek = source.open(&*files, &listing.source)?;
        let mut vault = Self {
            files,
            folder: folder.into(),
            id: listing.vault,
            kek,
            record: listing.source.clone(),
            keys: BTreeMap::new(),
        };
        vault.adopt(listing)?;
        Ok(vault)
    }

    /// Takes over what is listed, unwrapping what is new.
    fn adopt(&mut self, listing: Listing) -> Result<(), VaultError> {
        if listing.source != self.record || listing.vault != self.id {
            return Err(VaultError::WrongKey(self.record.kind()));
        }
        let mut keys = BTreeMap::new();
        for listed in listing.keys {
            let key = match self.keys.get(&listed.id) {
                Some(open) if open.listed == listed => open.key.clone(),
                _ => self
                    .kek
                    .unwrap(&listed.wrapped, &listed.purpose(&self.id))?
                    .ok_or(VaultError::WrongKey(self.record.kind()))?,
            };
            keys.insert(listed.id, Open { listed, key });
        }
        self.keys = keys;
        Ok(())
    }

    /// Loads the list of keys again, as another process may have rotated or retired some.
    ///
    /// # Errors
    /// If the list is gone, or was wrapped by another source since: then the vault has to be opened anew.
    pub fn reload(&mut self) -> Result<(), VaultError> {
        let listing = Listing::read(&*self.files, &self.folder)?
            .ok_or_else(|| VaultError::Missing(self.folder.join(KEYS_FILE)))?;
        self.adopt(listing)
    }

    /// The key that seals: the newest one.
    pub fn active(&self) -> KeyId {
        // A list without keys is not read, and the last one is not retired.
        self.keys.keys().next_back().copied().unwrap_or(KeyId(0))
    }

    /// All keys that open, oldest first, and when each was made.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, Timestamp)> {
        self.keys.values().map(|open| (open.listed.id, open.listed.made))
    }

    fn key(&self, id: KeyId) -> Result<&Secret, VaultError> {
        self.keys.get(&id).map(|open| &open.key).ok_or(VaultError::NoSuchKey(id))
    }

    /// Seals a value of at most [`MAX_VALUE`] bytes for one place. It becomes [`OVERHEAD`] bytes longer.
    ///
    /// # Errors
    /// If it is too long, or there are no random bytes.
    pub fn seal(&self, plain: &[u8], context: &Context) -> Result<Vec<u8>, VaultError> {
        let id = self.active();
        value::seal(self.key(id)?, id, plain, context)
    }

    /// What was sealed for this place.
    ///
    /// # Errors
    /// If it was not sealed, its key is not listed, or it was changed or moved.
    pub fn unseal(&self, sealed: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        value::open(self.key(value::key_of(sealed)?)?, sealed, context)
    }

    /// [`Vault::seal`] as text: `seal1.` and base64url without padding (RFC 4648, section 5).
    ///
    /// # Errors
    /// As [`Vault::seal`].
    pub fn seal_text(&self, plain: &str, context: &Context) -> Result<String, VaultError> {
        Ok(format!("{TEXT_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.seal(plain.as_bytes(), context)?)))
    }

    /// What [`Vault::seal_text`] sealed.
    ///
    /// # Errors
    /// As [`Vault::unseal`].
    pub fn unseal_text(&self, sealed: &str, context: &Context) -> Result<Zeroizing<String>, VaultError> {
        let body = sealed.strip_prefix(TEXT_PREFIX).ok_or(VaultError::NotSealed)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| VaultError::NotSealed)?;
        let plain = self.unseal(&bytes, context)?;
        // Checked first: a failed conversion would carry the plain bytes away in its error.
        let text = std::str::from_utf8(&plain).map_err(|_| VaultError::NotSealed)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The key that a sealed value needs, to count who uses which.
    ///
    /// # Errors
    /// If it was not sealed.
    pub fn key_of(sealed: &[u8]) -> Result<KeyId, VaultError> {
        value::key_of(sealed)
    }

    /// The value sealed again with the newest key, or `None` if it is already.
    ///
    /// # Errors
    /// As [`Vault::unseal`].
    pub fn reseal(&self, sealed: &[u8], context: &Context) -> Result<Option<Vec<u8>>, VaultError> {
        if value::key_of(sealed)? == self.active() {
            return Ok(None);
        }
        self.seal(&self.unseal(sealed, context)?, context).map(Some)
    }

    /// A key for one purpose, derived from a data key (HKDF-SHA-256, RFC 5869). It is the same for as long as that
    /// data key is listed, and says nothing about it.
    ///
    /// # Errors
    /// If the key is not listed.
    pub fn derive(&self, id: KeyId, purpose: &str) -> Result<Secret, VaultError> {
        let mut derived = Secret::zero();
        Hkdf::<Sha256>::new(None, self.key(id)?.expose())
            .expand_multi_info(&[DERIVE_DOMAIN, purpose.as_bytes()], derived.expose_mut())
            .expect("32 bytes are within what HKDF gives");
        Ok(derived)
    }

    /// Pseudonyms of a data key and an epoch. They can be made again, and addresses turned back, for as long as that
    /// data key is listed: with its retirement they become nobody's.
    ///
    /// # Errors
    /// If the key is not listed.
    pub fn pseudonymiser(
        &self,
        id: KeyId,
        epoch: u32,
        choices: Choices,
    ) -> Result<Pseudonymiser, VaultError> {
        Ok(Pseudonymiser::new(&self.derive(id, PSEUDONYMS)?, id, epoch, choices))
    }

    /// Makes a new data key, which seals from now on.
    ///
    /// # Errors
    /// If there are [`MAX_KEYS`] already, or the list cannot be written: then this vault goes on with the old list,
    /// and the one on the disk is either the old or the new one.
    pub fn rotate_data_key(&mut self, now: Timestamp) -> Result<KeyId, VaultError> {
        let _lock = keys::lock(&*self.files, &self.folder)?;
        self.reload()?;
        if self.keys.len() >= MAX_KEYS {
            return Err(VaultError::TooManyKeys);
        }
        let id = KeyId(self.active().0.checked_add(1).ok_or(VaultError::TooManyKeys)?);
        let new = self.wrap_new(id, now)?;
        let mut listed: Vec<&Listed> = self.keys.values().map(|open| &open.listed).collect();
        listed.push(&new.listed);
        self.write(&listed, &self.record)?;
        self.keys.insert(id, new);
        Ok(id)
    }

    /// Wraps all data keys by another source. Nothing has to be sealed again. The old source's key opens older
    /// copies of the list for ever: destroy it, or rotate and reseal if it was lost to others.
    ///
    /// # Errors
    /// If the new source fails, or the list cannot be written: then either the old or the new source opens it.
    pub fn rewrap(&mut self, source: &Source) -> Result<(), VaultError> {
        let _lock = keys::lock(&*self.files, &self.folder)?;
        self.reload()?;
        let (kek, record) = source.make(&*self.files)?;
        let mut wrapped = Vec::new();
        for open in self.keys.values() {
            let mut listed = open.listed.clone();
            listed.wrapped = kek.wrap(&open.key, &listed.purpose(&self.id))?;
            wrapped.push(listed);
        }
        self.write(&wrapped.iter().collect::<Vec<_>>(), &record)?;
        for (open, listed) in self.keys.values_mut().zip(wrapped) {
            open.listed = listed;
        }
        (self.kek, self.record) = (kek, record);
        Ok(())
    }

    /// Takes a key off the list, after which nothing that it sealed can be opened again. `values` says how many
    /// sealed values still name it; the caller counts after every process has taken up the newest key.
    ///
    /// # Errors
    /// If values use it, it is the one that seals, it is not listed, or the list cannot be written.
    pub fn retire(&mut self, id: KeyId, values: u64) -> Result<(), VaultError> {
        if values > 0 {
            return Err(VaultError::KeyInUse { id, values });
        }
        let _lock = keys::lock(&*self.files, &self.folder)?;
        self.reload()?;
        self.key(id)?;
        if id == self.active() {
            return Err(VaultError::KeyActive(id));
        }
        let listed: Vec<&Listed> =
            self.keys.values().map(|open| &open.listed).filter(|listed| listed.id != id).collect();
        self.write(&listed, &self.record)?;
        self.keys.remove(&id);
        Ok(())
    }

    fn wrap_new(&self, id: KeyId, made: Timestamp) -> Result<Open, VaultError> {
        let key = Secret::random()?;
        let mut listed = Listed { id, made, wrapped: Vec::new() };
        listed.wrapped = self.kek.wrap(&key, &listed.purpose(&self.id))?;
        Ok(Open { listed, key })
    }

    fn write(&self, listed: &[&Listed], record: &Record) -> Result<(), VaultError> {
        keys::write(&*self.files, &self.folder, &self.id, record, listed)
    }
}

/// Tells what was tried with which file, for `map_err`.
pub(crate) fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VaultError {
    let path = path.to_path_buf();
    move |cause| VaultError::File { what, path, cause }
}
