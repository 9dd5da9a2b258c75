//! The tables of the outbox.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::TellError;

/// Statements that bring the format from each version to the next. Entries that were released are never changed, only followed
/// by others.
///
/// What waits is counted by triggers: so it is counted right by whatever removes it.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE this (one INTEGER PRIMARY KEY CHECK (one = 1), seed INTEGER NOT NULL);
    INSERT INTO this VALUES (1, random());
    CREATE TABLE receiver (
        key TEXT PRIMARY KEY, name TEXT NOT NULL, waiting INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, error TEXT, failed_at INTEGER,
        cursor INTEGER, delivered INTEGER NOT NULL DEFAULT 0, given_up INTEGER NOT NULL DEFAULT 0,
        dropped INTEGER NOT NULL DEFAULT 0, drop_reason TEXT);
    CREATE TABLE message (
        place INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
        size INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (receiver, id));
    CREATE INDEX message_by_place ON message (receiver, place);
    CREATE INDEX message_by_age ON message (at);
    CREATE INDEX message_by_receiver_and_age ON message (receiver, at);
    CREATE TABLE done (
        place INTEGER PRIMARY KEY, receiver TEXT NOT NULL, id TEXT NOT NULL, UNIQUE (receiver, id));
    CREATE INDEX done_by_place ON done (receiver, place);
    CREATE TABLE stand (
        place INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, subject TEXT NOT NULL,
        severity INTEGER NOT NULL, also TEXT NOT NULL, revision INTEGER NOT NULL, UNIQUE (receiver, subject));
    CREATE INDEX stand_by_place ON stand (receiver, place);
    CREATE TRIGGER message_put AFTER INSERT ON message BEGIN
        UPDATE receiver SET waiting = waiting + 1, bytes = bytes + NEW.size WHERE key = NEW.receiver;
    END;
    CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
        UPDATE receiver SET waiting = waiting - 1, bytes = bytes - OLD.size WHERE key = OLD.receiver;
    END;
"];

/// What each connection is told: a transaction is on the disk when it is done (`synchronous` is FULL).
pub(super) fn prepare(connection: &Connection, busy_ms: u32) -> rusqlite::Result<()> {
    connection.pragma_update(None, "busy_timeout", busy_ms)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Brings the format up to this version's. Returns the number that was drawn for this outbox.
pub(super) fn bring_up(connection: &Connection, path: &Path) -> Result<u64, TellError> {
    let wrong = |source| TellError::of(path, source);
    let version = |db: &Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    let known = MIGRATIONS.len() as u32;
    if version(connection).map_err(wrong)? < known {
        // Two processes may come to it at the same time: the second one finds it done.
        let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
            .map_err(wrong)?;
        let found = version(&transaction).map_err(wrong)?;
        for migration in MIGRATIONS.iter().skip(found as usize) {
            transaction.execute_batch(migration).map_err(wrong)?;
        }
        if found < known {
            transaction.pragma_update(None, "user_version", known).map_err(wrong)?;
        }
        transaction.commit().map_err(wrong)?;
    }
    let found = version(connection).map_err(wrong)?;
    if found > known {
        return Err(TellError::Newer { path: path.into(), found, known });
    }
    let seed: i64 = connection.query_row("SELECT seed FROM this", [], |row| row.get(0)).map_err(wrong)?;
    Ok(seed as u64)
}
