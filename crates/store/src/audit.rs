//! Who did what: a log to which entries are only ever added.
//!
//! It is a database of its own, so that what is written for days as devices change never stands in its way, and so that it can be
//! kept for longer. Each entry is bound to the one before by a digest; one that was changed or taken out shows.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use model::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{StoreError, sqlite};

/// The database's name in its folder.
const FILE: &str = "audit.db";
/// What was done is told in at most so many bytes a field.
pub const FIELD_MAX: usize = 4_096;
/// The digest before the first entry.
const BEFORE_ALL: [u8; 32] = [0; 32];
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, body TEXT NOT NULL, digest BLOB NOT NULL);
    CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries stay as they are'); END;
    CREATE TRIGGER IF NOT EXISTS entry_is_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are kept'); END;
";

/// What somebody did, or tried to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a user, or what of Pavise did it.
    pub who: String,
    /// By what he is known: `session ID`, `token ID`, `command line`; nothing for somebody who has not signed in.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub by: String,
    /// From which address.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub from: String,
    /// What: `verdict-given`, `user-invited`, `evidence-read`.
    pub what: String,
    /// To what.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub to: String,
    /// What came of it: `done`, `denied`, `failed`.
    pub outcome: String,
    /// How it was before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// How it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// Why, in the words of whoever did it, or of the policy that denied it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// The log in a folder.
#[derive(Debug)]
pub struct AuditLog {
    connection: Connection,
    path: PathBuf,
}

/// Cuts a field at a character.
fn cut(text: &mut String) {
    if text.len() > FIELD_MAX {
        let end = (0..=FIELD_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

fn digest(before: &[u8; 32], number: i64, body: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_be_bytes());
    hash.update(body);
    hash.finalize().into()
}

impl AuditLog {
    /// Opens the log in `folder`, which is made, for its owner alone, if there is none.
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.into(), source })?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|source| StoreError::Folder { path: folder.into(), source })?;
        let open = || {
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "busy_timeout", sqlite::BUSY_MS)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            // What was done is on the disk before it is said to be done.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| sqlite::problem(&path, source))?;
        Ok(Self { connection, path })
    }

    /// Opens the log in `folder` for reading; nothing if there is none yet.
    pub fn open(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.pragma_update(None, "busy_timeout", sqlite::BUSY_MS)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| sqlite::problem(&path, source))?;
        Ok(Some(Self { connection, path }))
    }

    /// Adds an entry; when this returns it is on the disk. Gives its number.
    pub fn add(&mut self, mut entry: AuditEntry) -> Result<u64, StoreError> {
        for field in [&mut entry.who, &mut entry.by, &mut entry.from, &mut entry.what, &mut entry.to] {
            cut(field);
        }
        for field in [&mut entry.before, &mut entry.after, &mut entry.why].into_iter().flatten() {
            cut(field);
        }
        let mut write = || {
            let body = sqlite::body(&entry)?;
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last: Option<(i64, [u8; 32])> = transaction
                .prepare_cached("SELECT number, digest FROM entry ORDER BY number DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (number, before) = last.map_or((1, BEFORE_ALL), |(number, digest)| (number + 1, digest));
            transaction
                .prepare_cached("INSERT INTO entry (number, body, digest) VALUES (?1, ?2, ?3)")?
                .execute(params![number, body, digest(&before, number, &body)])?;
            transaction.commit()?;
            Ok(number as u64)
        };
        write().map_err(|source| sqlite::problem(&self.path, source))
    }

    /// At most `limit` entries before a number, of which `matches` holds, the latest first; each with its number. At most
    /// `look_at` are looked at; where that was not all there is, also from where to go on.
    #[expect(clippy::type_complexity, reason = "entries with their numbers, and where to go on")]
    pub fn latest(
        &self,
        before: Option<u64>,
        limit: usize,
        look_at: usize,
        matches: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Result<(Vec<(u64, AuditEntry)>, Option<u64>), StoreError> {
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let problem = |source| sqlite::problem(&self.path, source);
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, body FROM entry WHERE number < ?1 ORDER BY number DESC")
            .map_err(problem)?;
        let mut rows = statement.query([before]).map_err(problem)?;
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(problem)? {
            let number = row.get::<_, i64>(0).map_err(problem)? as u64;
            if found.len() == limit || looked_at == look_at {
                return Ok((found, Some(number + 1)));
            }
            looked_at += 1;
            let body = row.get_ref(1).and_then(|body| Ok(body.as_str()?)).map_err(problem)?;
            let entry: AuditEntry =
                serde_json::from_str(body).map_err(|error| self.damaged(number, &error))?;
            if matches(&entry) {
                found.push((number, entry));
            }
        }
        Ok((found, None))
    }

    /// Looks through the whole log: how many entries there are, and the digest of the last, which binds all of them. Whoever has
    /// noted both can tell later that nothing of it was changed or taken out.
    ///
    /// # Errors
    ///
    /// If an entry was changed, or one before the last was taken out.
    pub fn verify(&self) -> Result<(u64, [u8; 32]), StoreError> {
        let problem = |source| sqlite::problem(&self.path, source);
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, body, digest FROM entry ORDER BY number")
            .map_err(problem)?;
        let mut rows = statement.query([]).map_err(problem)?;
        let (mut count, mut before) = (0_i64, BEFORE_ALL);
        while let Some(row) = rows.next().map_err(problem)? {
            let number: i64 = row.get(0).map_err(problem)?;
            let body = row.get_ref(1).and_then(|body| Ok(body.as_str()?)).map_err(problem)?;
            let kept: [u8; 32] = row.get(2).map_err(problem)?;
            if number != count + 1 || kept != digest(&before, number, body) {
                return Err(self.damaged(number as u64, &"it or one before it was changed or taken out"));
            }
            (count, before) = (number, kept);
        }
        Ok((count as u64, before))
    }

    fn damaged(&self, number: u64, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: format!("entry {number} of the audit log: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_secs(number),
            who: format!("user{}", number % 3),
            what: "verdict-given".into(),
            outcome: "done".into(),
            ..AuditEntry::default()
        }
    }

    #[test]
    fn entries_are_added_read_back_and_bound_together() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AuditLog::open(folder.path()).unwrap().is_none());
        let mut log = AuditLog::create(folder.path()).unwrap();
        assert_eq!(log.verify().unwrap(), (0, BEFORE_ALL));
        for number in 1..=10 {
            assert_eq!(log.add(entry(number)).unwrap(), number);
        }
        let reader = AuditLog::open(folder.path()).unwrap().unwrap();
        let (all, next) = reader.latest(None, 4, 100, &mut |_| true).unwrap();
        assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [10, 9, 8, 7]);
        let (rest, end) = reader.latest(next, 100, 100, &mut |_| true).unwrap();
        assert_eq!((rest.len(), rest[0].0, end), (6, 6, None));
        assert_eq!(rest[5].1, entry(1));
        let (some, next) = reader.latest(None, 2, 5, &mut |entry| entry.who == "user0").unwrap();
        assert_eq!(some.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [9, 6]);
        assert_eq!(next, Some(6));
        let (few, next) = reader.latest(None, 2, 3, &mut |_| false).unwrap();
        assert_eq!((few.len(), next), (0, Some(8)), "no more are looked at than asked");
        let (count, last) = reader.verify().unwrap();
        assert_eq!(count, 10);
        log.add(entry(11)).unwrap();
        assert_ne!(reader.verify().unwrap().1, last);
    }

    #[test]
    fn what_was_changed_or_taken_out_shows() {
        for tamper in [
            "UPDATE entry SET body = replace(body, 'user1', 'user2') WHERE number = 4",
            "DELETE FROM entry WHERE number = 3",
            "UPDATE entry SET number = number + 1 WHERE number = 5",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut log = AuditLog::create(folder.path()).unwrap();
            for number in 1..=5 {
                log.add(entry(number)).unwrap();
            }
            assert!(log.connection.execute(tamper, []).is_err(), "nobody changes it by mistake");
            log.connection.execute_batch("DROP TRIGGER entry_stays; DROP TRIGGER entry_is_kept").unwrap();
            log.connection.execute(tamper, []).unwrap();
            let told = log.verify().unwrap_err().to_string();
            assert!(told.contains("of the audit log"), "{told}");
        }
    }

    #[test]
    fn long_fields_are_cut_at_a_character() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AuditLog::create(folder.path()).unwrap();
        let why = Some("ä".repeat(FIELD_MAX));
        log.add(AuditEntry { why, ..entry(1) }).unwrap();
        let (all, _) = log.latest(None, 1, 1, &mut |_| true).unwrap();
        let kept = all[0].1.why.as_ref().unwrap();
        assert!(kept.len() <= FIELD_MAX + '…'.len_utf8() && kept.ends_with("ä…"));
    }
}
