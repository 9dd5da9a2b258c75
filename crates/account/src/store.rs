//! The database, and how it is opened.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

use crate::ceremony::Ceremonies;
use crate::password::Hardness;
use crate::throttle::Throttle;
use crate::{AccountError, Passkeys};

/// Statements that bring the format from each version to the next; none is ever changed.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE user (
        name TEXT PRIMARY KEY, display TEXT NOT NULL, handle BLOB NOT NULL UNIQUE, grants TEXT NOT NULL, disabled INTEGER NOT NULL,
        version INTEGER NOT NULL, created INTEGER NOT NULL, password TEXT, totp BLOB, totp_step INTEGER,
        failures INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE TABLE link (
        digest BLOB PRIMARY KEY, user TEXT REFERENCES user (name) ON DELETE CASCADE, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE recovery (
        user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, digest BLOB NOT NULL, PRIMARY KEY (user, digest))
        WITHOUT ROWID;
    CREATE TABLE passkey (
        id TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, label TEXT NOT NULL, body TEXT NOT NULL,
        created INTEGER NOT NULL, used INTEGER) WITHOUT ROWID;
    CREATE TABLE session (
        digest BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
        csrf TEXT NOT NULL, created INTEGER NOT NULL, seen INTEGER NOT NULL, factor INTEGER, address TEXT NOT NULL,
        agent TEXT NOT NULL, is_new_place INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE place (
        user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, network TEXT NOT NULL, seen INTEGER NOT NULL,
        PRIMARY KEY (user, network)) WITHOUT ROWID;
    CREATE TABLE token (
        id TEXT PRIMARY KEY, digest BLOB NOT NULL, user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, name TEXT NOT NULL,
        scopes TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER) WITHOUT ROWID;
"];

/// What is sealed, opened.
pub type Unsealed = Zeroizing<Vec<u8>>;

/// It could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealError;

/// Encrypts what must be read back.
pub trait Seal: Send + Sync {
    /// Seals for a context, without which it is not opened.
    ///
    /// # Errors
    ///
    /// If there is no key.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what was sealed for the same context.
    ///
    /// # Errors
    ///
    /// If it was changed, or sealed for another context or with another key.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Unsealed, SealError>;
}

/// All accounts.
pub struct Accounts {
    connection: Mutex<Connection>,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) hardness: Hardness,
    pub(crate) passkeys: Passkeys,
    pub(crate) ceremonies: Mutex<Ceremonies>,
    pub(crate) throttle: Mutex<Throttle>,
    /// One password is hashed at a time: each takes much memory.
    pub(crate) hashing: Mutex<()>,
    /// The role that manages users: one such must always be able to sign in.
    pub(crate) administrator: &'static str,
    /// What the first user may do besides: on the first day he is alone.
    pub(crate) first_also: &'static [&'static str],
    /// What authenticator applications call the place.
    pub(crate) issuer: String,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}

/// What a lock guards is whole after each step, whoever panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<rusqlite::Error> for AccountError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Times as SQLite's signed integers: nanoseconds, in order until the year 2262.
pub(crate) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

impl Accounts {
    /// Opens the accounts in a file, which is made, for its owner alone, if it is not there. `administrator` is the role of
    /// those who manage users; `passkeys` tells for which site passkeys hold.
    ///
    /// # Errors
    ///
    /// If the file cannot be used.
    pub fn open(
        path: &Path,
        seal: Arc<dyn Seal>,
        passkeys: Passkeys,
        administrator: &'static str,
    ) -> Result<Self, AccountError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(|error| AccountError::Database(format!("{}: {error}", path.display())))?;
        Self::with(Connection::open(path)?, seal, passkeys, administrator)
    }

    /// Accounts that are gone with the process.
    ///
    /// # Errors
    ///
    /// If there is no memory for them.
    pub fn in_memory(
        seal: Arc<dyn Seal>,
        passkeys: Passkeys,
        administrator: &'static str,
    ) -> Result<Self, AccountError> {
        Self::with(Connection::open_in_memory()?, seal, passkeys, administrator)
    }

    fn with(
        mut connection: Connection,
        seal: Arc<dyn Seal>,
        passkeys: Passkeys,
        administrator: &'static str,
    ) -> Result<Self, AccountError> {
        connection.pragma_update(None, "busy_timeout", 5_000)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // A change of accounts outlives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "secure_delete", true)?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let version = version as usize;
        if version > MIGRATIONS.len() {
            let why = format!("they were written by a later version (format {version}): update Pavise");
            return Err(AccountError::Database(why));
        }
        for (number, statements) in MIGRATIONS.iter().enumerate().skip(version) {
            let transaction = connection.transaction()?;
            transaction.execute_batch(statements)?;
            transaction.pragma_update(None, "user_version", number as u32 + 1)?;
            transaction.commit()?;
        }
        Ok(Self {
            connection: Mutex::new(connection),
            seal,
            hardness: Hardness::RECOMMENDED,
            passkeys,
            ceremonies: Mutex::default(),
            throttle: Mutex::default(),
            hashing: Mutex::default(),
            administrator,
            first_also: &[],
            issuer: "Pavise".into(),
        })
    }

    /// Another hardness of hashing than [`Hardness::RECOMMENDED`].
    #[must_use]
    pub const fn with_hardness(mut self, hardness: Hardness) -> Self {
        self.hardness = hardness;
        self
    }

    /// What the first user may do besides managing users.
    #[must_use]
    pub const fn with_first_also(mut self, roles: &'static [&'static str]) -> Self {
        self.first_also = roles;
        self
    }

    /// What authenticator applications call the place.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Reads.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        read(&lock(&self.connection))
    }

    /// Does all that `write` does, or nothing if it fails.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let mut connection = lock(&self.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let out = write(&transaction)?;
        transaction.commit()?;
        Ok(out)
    }
}
