//! The outbox: what is to be told lies on the disk before anybody tries to deliver it, and until its receiver has it.
//!
//! A message is there once for each receiver. What was sent and whose acknowledgement was not yet kept when Pavise was killed is
//! sent again, with the same id. Time is an argument: nothing here reads a clock or waits.

mod schema;

use std::fs::{File, OpenOptions, Permissions, set_permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Severity, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;

use crate::TellError;
use crate::delay::{DELAY_MAX, delay, mixed};

/// The file's name in the state's folder.
pub const FILE: &str = "outbox.db";
/// A message that is older than this is given up.
pub const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// So many messages wait for one receiver; of more, the oldest are given up.
pub const MESSAGES_MAX: u64 = 100_000;
/// So many bytes wait for one receiver; of more, the oldest messages are given up.
pub const BYTES_MAX: u64 = 256 << 20;
/// A longer message is given up at once.
pub const BODY_MAX: usize = 1 << 20;
/// So many ids of what was delivered last are remembered for each receiver, so that the same is not told again.
pub const REMEMBERED: u32 = 10_000;
/// Of so many findings and incidents it is remembered for each receiver as what they were told last.
pub const STANDS_MAX: u32 = 200_000;
/// At most so many bytes are handed out at a time, unless one message has more.
pub const BATCH_BYTES: usize = 1 << 20;
/// An error is kept up to so many bytes.
const ERROR_MAX: usize = 512;
/// How long one process waits for another, in milliseconds.
const BUSY_MS: u32 = 5_000;

/// How much is kept for a receiver, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest age.
    pub age: Duration,
    /// The most messages.
    pub messages: u64,
    /// The most bytes of messages and their ids.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { age: AGE_MAX, messages: MESSAGES_MAX, bytes: BYTES_MAX }
    }
}

/// A message for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Names what is told, the same however often it is sent.
    pub id: String,
    /// What is sent, in the words of its receiver.
    pub body: String,
}

/// A message that waits, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place: later messages have greater numbers.
    pub place: i64,
    /// When it was put there.
    pub at: Timestamp,
    /// The message.
    pub letter: Letter,
}

/// What is to be done for a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing waits.
    Nothing,
    /// It did not listen; it is not tried before this moment.
    After(Timestamp),
    /// These are to be sent, in this order.
    Send(Vec<Waiting>),
}

/// What became of messages that were put into the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// So many lie there now.
    pub kept: u64,
    /// So many were there before, or were delivered lately.
    pub known: u64,
    /// So many were given up for want of room: these, or older ones.
    pub given_up: u64,
}

impl Put {
    pub(crate) const fn add(&mut self, more: Self) {
        self.kept += more.kept;
        self.known += more.known;
        self.given_up += more.given_up;
    }
}

/// What a receiver was told last of a finding or an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Its severity.
    pub severity: Severity,
    /// The verdict on a finding, or the stage of an incident.
    pub also: String,
    /// How often it was told.
    pub revision: u32,
}

/// What following the store has come to, for one receiver.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// By which number to ask next time.
    pub cursor: u64,
    /// What it has been told then, by finding or incident.
    pub stands: Vec<(String, Stand)>,
    /// Findings and incidents that are gone.
    pub gone: Vec<String>,
    /// What is to be told.
    pub letters: Vec<Letter>,
}

/// How it stands with one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its key in the settings.
    pub receiver: String,
    /// Where it is, without secrets.
    pub name: String,
    /// How many messages wait.
    pub waiting: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// When the oldest of them was put there.
    pub oldest: Option<Timestamp>,
    /// How often it was tried in vain, in a row.
    pub failures: u32,
    /// Before when it is not tried again.
    pub next_try: Option<Timestamp>,
    /// Why it could not be told, if it could not the last time.
    pub last_error: Option<String>,
    /// When that was.
    pub failed_at: Option<Timestamp>,
    /// How many messages it was told in all.
    pub delivered: u64,
    /// How many were given up for their age or for want of room.
    pub given_up: u64,
    /// How many somebody has dropped.
    pub dropped: u64,
    /// Why, as was said last.
    pub drop_reason: Option<String>,
}

/// The outbox of a state.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    path: PathBuf,
    limits: Limits,
    seed: u64,
}

impl Outbox {
    /// Opens the outbox in `folder`, and makes it if there is none: a file that only its owner may use. Several processes may
    /// have it open.
    ///
    /// # Errors
    ///
    /// If it cannot be used, is damaged, or was written by a later version.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, TellError> {
        let path = folder.join(FILE);
        let refused = |source| TellError::File { path: path.clone(), source };
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(refused)?;
        set_permissions(&path, Permissions::from_mode(0o600)).map_err(refused)?;
        // That there is such a file is on the disk, too, before anything is told to be kept in it.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)?;
        Self::over(path, limits)
    }

    /// Opens the outbox in `folder` if there is one.
    ///
    /// # Errors
    ///
    /// As [`Outbox::open`].
    pub fn find(folder: &Path) -> Result<Option<Self>, TellError> {
        let path = folder.join(FILE);
        if path.is_file() { Self::over(path, Limits::default()).map(Some) } else { Ok(None) }
    }

    /// Opens it once more, for another thread.
    ///
    /// # Errors
    ///
    /// As [`Outbox::open`].
    pub fn again(&self) -> Result<Self, TellError> {
        Self::over(self.path.clone(), self.limits)
    }

    fn over(path: PathBuf, limits: Limits) -> Result<Self, TellError> {
        let wrong = |source| TellError::of(&path, source);
        let connection = Connection::open(&path).map_err(wrong)?;
        schema::prepare(&connection, BUSY_MS).map_err(wrong)?;
        let seed = schema::bring_up(&connection, &path)?;
        Ok(Self { connection, path, limits, seed })
    }

    fn wrong(&self) -> impl Fn(rusqlite::Error) -> TellError + use<> {
        let path = self.path.clone();
        move |source| TellError::of(&path, source)
    }

    /// Does several things or none of them.
    fn whole<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Limits) -> rusqlite::Result<T>,
    ) -> Result<T, TellError> {
        let (wrong, limits) = (self.wrong(), self.limits);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&wrong)?;
        let done = work(&transaction, &limits).map_err(&wrong)?;
        transaction.commit().map_err(&wrong)?;
        Ok(done)
    }

    /// A number that was drawn when the outbox was made: what it tells is not taken for what another tells.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Takes note of a receiver, and of where it is.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; as all that follows.
    pub fn know(&mut self, receiver: &str, name: &str) -> Result<(), TellError> {
        self.whole(|db, _| {
            let sql = "INSERT INTO receiver (key, name) VALUES (?1, ?2) \
                       ON CONFLICT (key) DO UPDATE SET name = excluded.name";
            db.execute(sql, params![receiver, name]).map(drop)
        })
    }

    /// Puts messages there, each with the key of its receiver: all of them or none. What waits already by this id, or was
    /// delivered lately, stays as it is.
    pub fn put(&mut self, letters: &[(&str, Letter)], now: Timestamp) -> Result<Put, TellError> {
        self.whole(|db, limits| {
            let mut all = Put::default();
            for (receiver, letter) in letters {
                all.add(put(db, limits, receiver, letter, now)?);
            }
            Ok(all)
        })
    }

    /// By which number the store is to be asked for this receiver; nothing if it was never followed for it.
    pub fn cursor(&self, receiver: &str) -> Result<Option<u64>, TellError> {
        let sql = "SELECT cursor FROM receiver WHERE key = ?1";
        let cursor: Option<Option<i64>> =
            self.connection.query_row(sql, [receiver], |row| row.get(0)).optional().map_err(self.wrong())?;
        Ok(cursor.flatten().map(|number| number as u64))
    }

    /// What a receiver was told last of a finding or an incident.
    pub fn stand(&self, receiver: &str, subject: &str) -> Result<Option<Stand>, TellError> {
        let sql = "SELECT severity, also, revision FROM stand WHERE receiver = ?1 AND subject = ?2";
        let row = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u8>(0)?, row.get(1)?, row.get(2)?));
            statement.query_row([receiver, subject], read).optional()
        });
        let row = row.map_err(self.wrong())?;
        Ok(row.and_then(|(severity, also, revision)| {
            Some(Stand { severity: *Severity::ALL.get(usize::from(severity))?, also, revision })
        }))
    }

    /// Keeps how far the store was followed for a receiver together with what is to be told because of it.
    pub fn follow(&mut self, receiver: &str, followed: &Followed, now: Timestamp) -> Result<Put, TellError> {
        self.whole(|db, limits| {
            known(db, receiver)?;
            let cursor = i64::try_from(followed.cursor).unwrap_or(i64::MAX);
            db.execute("UPDATE receiver SET cursor = ?2 WHERE key = ?1", params![receiver, cursor])?;
            for (subject, stand) in &followed.stands {
                let severity =
                    Severity::ALL.iter().position(|known| *known == stand.severity).map(|at| at as i64);
                let sql = "INSERT OR REPLACE INTO stand (receiver, subject, severity, also, revision) \
                           VALUES (?1, ?2, ?3, ?4, ?5)";
                let mut statement = db.prepare_cached(sql)?;
                statement.execute(params![receiver, subject, severity, stand.also, stand.revision])?;
            }
            for subject in &followed.gone {
                db.execute("DELETE FROM stand WHERE receiver = ?1 AND subject = ?2", [receiver, subject])?;
            }
            if !followed.stands.is_empty() {
                // Those that were changed longest ago are forgotten first.
                let sql = "DELETE FROM stand WHERE receiver = ?1 AND place <= (SELECT place FROM stand \
                           WHERE receiver = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)";
                db.execute(sql, params![receiver, STANDS_MAX])?;
            }
            let mut all = Put::default();
            for letter in &followed.letters {
                all.add(put(db, limits, receiver, letter, now)?);
            }
            Ok(all)
        })
    }

    /// What is to be done for a receiver: at most so many messages, in the order in which they came.
    pub fn next(&self, receiver: &str, most: usize, now: Timestamp) -> Result<Next, TellError> {
        let sql = "SELECT next_try FROM receiver WHERE key = ?1 AND waiting > 0";
        let next: Option<i64> =
            self.connection.query_row(sql, [receiver], |row| row.get(0)).optional().map_err(self.wrong())?;
        let Some(next) = next.map(moment) else { return Ok(Next::Nothing) };
        // A clock that was put back does not make anybody wait for longer than a wait is.
        if next > now && next <= now + DELAY_MAX {
            return Ok(Next::After(next));
        }
        self.waiting(receiver, most).map(Next::Send).map_err(self.wrong())
    }

    /// How many messages wait for a receiver.
    pub fn count(&self, receiver: &str) -> Result<u64, TellError> {
        let sql = "SELECT waiting FROM receiver WHERE key = ?1";
        let count: Option<i64> =
            self.connection.query_row(sql, [receiver], |row| row.get(0)).optional().map_err(self.wrong())?;
        Ok(count.unwrap_or_default() as u64)
    }

    fn waiting(&self, receiver: &str, most: usize) -> rusqlite::Result<Vec<Waiting>> {
        let sql = "SELECT place, at, id, body FROM message WHERE receiver = ?1 ORDER BY place LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![receiver, i64::try_from(most.max(1)).unwrap_or(i64::MAX)])?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let letter = Letter { id: row.get(2)?, body: row.get(3)? };
            bytes += letter.body.len();
            if bytes > BATCH_BYTES && !all.is_empty() {
                break;
            }
            all.push(Waiting { place: row.get(0)?, at: moment(row.get(1)?), letter });
        }
        Ok(all)
    }

    /// A receiver has these: they are removed.
    pub fn taken(&mut self, receiver: &str, places: &[i64]) -> Result<(), TellError> {
        self.whole(|db, _| {
            for place in places {
                let sql = "INSERT OR IGNORE INTO done (place, receiver, id) \
                           SELECT place, receiver, id FROM message WHERE place = ?1 AND receiver = ?2";
                db.prepare_cached(sql)?.execute(params![place, receiver])?;
                let sql = "DELETE FROM message WHERE place = ?1 AND receiver = ?2";
                let removed = db.prepare_cached(sql)?.execute(params![place, receiver])?;
                let sql = "UPDATE receiver SET delivered = delivered + ?2 WHERE key = ?1";
                db.prepare_cached(sql)?.execute(params![receiver, removed as i64])?;
            }
            let sql = "DELETE FROM done WHERE receiver = ?1 AND place <= (SELECT place FROM done \
                       WHERE receiver = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)";
            db.execute(sql, params![receiver, REMEMBERED])?;
            let sql =
                "UPDATE receiver SET failures = 0, next_try = 0, error = NULL, failed_at = NULL WHERE key = ?1";
            db.execute(sql, [receiver]).map(drop)
        })
    }

    /// A receiver could not be told, and why. Returns when it is tried again.
    pub fn failed(&mut self, receiver: &str, why: &str, now: Timestamp) -> Result<Timestamp, TellError> {
        let of = receiver.bytes().fold(self.seed, |seed, byte| mixed(seed ^ u64::from(byte)));
        let why = crate::text::cut(why, ERROR_MAX).to_owned();
        self.whole(|db, _| {
            known(db, receiver)?;
            let sql = "SELECT failures FROM receiver WHERE key = ?1";
            let failures: u32 = db.query_row(sql, [receiver], |row| row.get(0))?;
            let failures = failures.saturating_add(1);
            let next = now + delay(failures, of);
            let sql =
                "UPDATE receiver SET failures = ?2, next_try = ?3, error = ?4, failed_at = ?5 WHERE key = ?1";
            db.execute(sql, params![receiver, failures, number(next), why, number(now)])?;
            Ok(next)
        })
    }

    /// Has a receiver, or all, tried at once. Returns for how many of them something waits.
    pub fn retry(&mut self, receiver: Option<&str>) -> Result<u64, TellError> {
        self.whole(|db, _| {
            let sql =
                "UPDATE receiver SET next_try = 0, failures = 0 WHERE waiting > 0 AND (?1 IS NULL OR key = ?1)";
            db.execute(sql, [receiver]).map(|count| count as u64)
        })
    }

    /// Drops what waits for a receiver, or the first so many of it, and keeps why. Returns how many.
    pub fn discard(&mut self, receiver: &str, first: Option<u64>, reason: &str) -> Result<u64, TellError> {
        self.whole(|db, _| {
            let first = first.map_or(-1, |first| i64::try_from(first).unwrap_or(i64::MAX));
            let sql = "DELETE FROM message WHERE place IN \
                       (SELECT place FROM message WHERE receiver = ?1 ORDER BY place LIMIT ?2)";
            let count = db.execute(sql, params![receiver, first])?;
            let sql = "UPDATE receiver SET dropped = dropped + ?2, drop_reason = ?3, next_try = 0, failures = 0 \
                       WHERE key = ?1";
            db.execute(sql, params![receiver, count as i64, crate::text::cut(reason, ERROR_MAX)])?;
            Ok(count as u64)
        })
    }

    /// Gives up what is too old, for all receivers, and what has no room. Returns how many of whose were given up.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<(String, u64)>, TellError> {
        let Some(before) = now.as_nanos().checked_sub(self.limits.age.as_nanos() as u64) else {
            return Ok(Vec::new());
        };
        let before = number(Timestamp::from_nanos(before));
        let sql = "SELECT 1 FROM message WHERE at < ?1 LIMIT 1";
        let any: Option<i64> =
            self.connection.query_row(sql, [before], |row| row.get(0)).optional().map_err(self.wrong())?;
        if any.is_none() {
            return Ok(Vec::new());
        }
        self.whole(|db, _| {
            let sql =
                "SELECT receiver, count(*) FROM message WHERE at < ?1 GROUP BY receiver ORDER BY receiver";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)? as u64));
            let all: Vec<_> = db.prepare(sql)?.query_map([before], read)?.collect::<Result<_, _>>()?;
            db.execute("DELETE FROM message WHERE at < ?1", [before])?;
            for (receiver, count) in &all {
                give_up(db, receiver, *count)?;
            }
            Ok(all)
        })
    }

    /// How it stands with each receiver, by key.
    pub fn status(&self) -> Result<Vec<Status>, TellError> {
        let sql = "SELECT key, name, waiting, bytes, (SELECT min(at) FROM message WHERE receiver = key), failures, \
                   next_try, error, failed_at, delivered, given_up, dropped, drop_reason FROM receiver ORDER BY key";
        let read = |row: &rusqlite::Row<'_>| {
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            let next = Some(row.get(6)?).filter(|next| *next > 0);
            Ok(Status {
                receiver: row.get(0)?,
                name: row.get(1)?,
                waiting: count(2)?,
                bytes: count(3)?,
                oldest: row.get::<_, Option<i64>>(4)?.map(moment),
                failures: row.get(5)?,
                next_try: next.map(moment),
                last_error: row.get(7)?,
                failed_at: row.get::<_, Option<i64>>(8)?.map(moment),
                delivered: count(9)?,
                given_up: count(10)?,
                dropped: count(11)?,
                drop_reason: row.get(12)?,
            })
        };
        let all = self.connection.prepare(sql).and_then(|mut statement| {
            let rows = statement.query_map([], read)?;
            rows.collect::<Result<_, _>>()
        });
        all.map_err(self.wrong())
    }
}

/// Time as the file has it.
fn number(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

fn moment(number: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(number).unwrap_or_default())
}

/// Sees to it that a receiver has its row.
fn known(db: &Transaction<'_>, receiver: &str) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO receiver (key, name) VALUES (?1, ?1)";
    db.prepare_cached(sql)?.execute([receiver]).map(drop)
}

fn give_up(db: &Transaction<'_>, receiver: &str, count: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE receiver SET given_up = given_up + ?2 WHERE key = ?1";
    db.prepare_cached(sql)?.execute(params![receiver, count as i64]).map(drop)
}

/// Puts one message there, and gives up the oldest where there is no room for all.
fn put(
    db: &Transaction<'_>,
    limits: &Limits,
    receiver: &str,
    letter: &Letter,
    now: Timestamp,
) -> rusqlite::Result<Put> {
    known(db, receiver)?;
    let sql = "SELECT EXISTS (SELECT 1 FROM message WHERE receiver = ?1 AND id = ?2) \
               OR EXISTS (SELECT 1 FROM done WHERE receiver = ?1 AND id = ?2)";
    if db.prepare_cached(sql)?.query_row([receiver, &letter.id], |row| row.get(0))? {
        return Ok(Put { known: 1, ..Put::default() });
    }
    if letter.body.len() > BODY_MAX {
        give_up(db, receiver, 1)?;
        return Ok(Put { given_up: 1, ..Put::default() });
    }
    let sql = "INSERT INTO message (receiver, id, at, size, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let size = (letter.id.len() + letter.body.len()) as i64;
    db.prepare_cached(sql)?.execute(params![receiver, letter.id, number(now), size, letter.body])?;
    let mut given_up = 0;
    loop {
        let sql = "SELECT waiting, bytes FROM receiver WHERE key = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64));
        let (waiting, bytes) = db.prepare_cached(sql)?.query_row([receiver], read)?;
        if waiting == 0 || (waiting <= limits.messages && bytes <= limits.bytes) {
            break;
        }
        let sql = "DELETE FROM message WHERE place = (SELECT min(place) FROM message WHERE receiver = ?1)";
        db.prepare_cached(sql)?.execute([receiver])?;
        given_up += 1;
    }
    if given_up > 0 {
        give_up(db, receiver, given_up)?;
    }
    Ok(Put { kept: 1, known: 0, given_up })
}

#[cfg(test)]
mod tests;
