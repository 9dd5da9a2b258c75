//! A key in a token that speaks PKCS #11 (OASIS, 2.40 and 3.x). It is made there and never leaves it: data keys
//! are wrapped by the token itself, with AES-GCM.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::secret::{KEY_BYTES, Secret, SecretText, fill_random};
use crate::vault::VaultError;

/// NIST SP 800-38D, section 8.2.2: 96 random bits. Far fewer than 2^32 keys are ever wrapped.
const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

/// Which token to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// By the number of its slot.
    Id(u64),
    /// By the token's label, without the blanks at its end.
    Label(String),
}

/// A key in a token.
#[derive(Debug)]
pub struct Token {
    /// The maker's library, an absolute path. It runs within this process: it has to be trusted.
    pub module: PathBuf,
    /// Which token.
    pub slot: Slot,
    /// The label of the AES-256 key. It is made if there is none when keys are wrapped for the first time.
    pub key: String,
    /// The user's PIN.
    pub pin: SecretText,
}

impl Token {
    /// The key for wrapping anew, made if there is none.
    pub(super) fn make(&self) -> Result<TokenKey, VaultError> {
        let session = self.session()?;
        if find(&session, &self.key)?.is_empty() {
            let template = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::ValueLen((KEY_BYTES as u64).into()),
                Attribute::Label(self.key.clone().into_bytes()),
            ];
            session.generate_key(&Mechanism::AesKeyGen, &template).map_err(refused("make the key"))?;
        }
        TokenKey::of(session, &self.key)
    }

    /// The key with this label, which must be there.
    pub(super) fn open(&self, key: &str) -> Result<TokenKey, VaultError> {
        TokenKey::of(self.session()?, key)
    }

    fn session(&self) -> Result<Session, VaultError> {
        let module = module(&self.module)?;
        let slots = module.get_slots_with_token().map_err(refused("list its slots"))?;
        let wanted = slots.into_iter().find(|slot| match &self.slot {
            Slot::Id(id) => slot.id() == *id,
            Slot::Label(label) => {
                module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == label)
            }
        });
        let slot = wanted.ok_or_else(|| VaultError::Token {
            what: "be found",
            cause: format!("no slot of {} has the token {:?}", self.module.display(), self.slot),
        })?;
        let session = module.open_rw_session(slot).map_err(refused("open a session"))?;
        match session.login(UserType::User, Some(&AuthPin::from(self.pin.expose()))) {
            // Logged in is the process, not the session.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(refused("take the PIN")(error)),
        }
    }
}

/// The token's key, in a session that is logged in.
pub(crate) struct TokenKey {
    // A session serves one thread at a time.
    session: Mutex<Session>,
    handle: ObjectHandle,
}

impl TokenKey {
    fn of(session: Session, label: &str) -> Result<Self, VaultError> {
        let found = find(&session, label)?;
        let [handle] = found[..] else {
            return Err(VaultError::TokenKeys { label: label.into(), found: found.len() });
        };
        let guarded = session
            .get_attributes(handle, &[AttributeType::Sensitive, AttributeType::Extractable])
            .map_err(refused("tell of its key"))?;
        if guarded.contains(&Attribute::Sensitive(true)) && guarded.contains(&Attribute::Extractable(false)) {
            Ok(Self { session: Mutex::new(session), handle })
        } else {
            Err(VaultError::Extractable(label.into()))
        }
    }

    /// `nonce (12) | ciphertext | tag (16)`.
    pub(super) fn wrap(&self, key: &Secret, aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce)?;
        let mut given = nonce;
        let gcm = GcmParams::new(&mut given, aad, TAG_BITS.into()).map_err(refused("wrap a key"))?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let wrapped = session
            .encrypt(&Mechanism::AesGcm(gcm), self.handle, key.expose())
            .map_err(refused("wrap a key"))?;
        Ok([&nonce[..], &wrapped].concat())
    }

    /// `Ok(None)` if the key does not open what was wrapped.
    pub(super) fn unwrap(
        &self,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some((nonce, body)) = wrapped.split_first_chunk::<NONCE>() else { return Ok(None) };
        let mut nonce = *nonce;
        let gcm = GcmParams::new(&mut nonce, aad, TAG_BITS.into()).map_err(refused("unwrap a key"))?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        match session.decrypt(&Mechanism::AesGcm(gcm), self.handle, body) {
            Ok(plain) => Ok(Some(Zeroizing::new(plain))),
            // What a module says of a tag that does not fit differs: the standard allows each of these.
            Err(Error::Pkcs11(
                RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
                _,
            )) => Ok(None),
            Err(error) => Err(refused("unwrap a key")(error)),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(in the token)")
    }
}

fn find(session: &Session, label: &str) -> Result<Vec<ObjectHandle>, VaultError> {
    session
        .find_objects(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ])
        .map_err(refused("look for its key"))
}

/// A module is loaded once for the process and stays: it may not be initialised twice, and giving it up would end
/// the sessions of all others. There are as many as the settings name.
fn module(path: &Path) -> Result<Pkcs11, VaultError> {
    static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    if !path.is_absolute() {
        return Err(VaultError::Token {
            what: "be loaded",
            cause: format!("{} is not an absolute path", path.display()),
        });
    }
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(refused("be loaded"))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(refused("start")(error)),
    }
    loaded.insert(path.into(), module.clone());
    Ok(module)
}

fn refused(what: &'static str) -> impl FnOnce(Error) -> VaultError {
    move |error| VaultError::Token { what, cause: error.to_string() }
}
