//! The embedded back end: one SQLite database in write-ahead mode.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use model::{Device, DeviceId, Finding, FindingId, FlowRecord, Incident, IncidentId, Judgement, Order};
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::packed;
use crate::segment;
use crate::{
    AnomalyTotals, Changes, Commit, FlowPage, FlowQuery, FlowScan, ProtocolTotals, ShedTotals, SourceState,
    Store, StoreError, judged,
};

/// The database's name in its folder.
const FILE: &str = "pavise.db";
/// The file that the one process that writes holds locked.
const LOCK: &str = "writer.lock";
/// Statements that bring the format from each version to the next. Entries that were released are never
/// changed, only followed by others.
///
/// Devices are found by their number, not by its text: rows are large, and a table without row numbers
/// would read whole rows to compare their keys.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE source (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
    CREATE TABLE device (
        id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE flow_segment (
        number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, records INTEGER NOT NULL,
        body BLOB NOT NULL);
    CREATE TABLE total (
        kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
",
    "
    CREATE TABLE finding (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE incident (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE judgement (finding INTEGER PRIMARY KEY, body TEXT);
    CREATE TABLE learnt (detector TEXT PRIMARY KEY, body BLOB NOT NULL);
",
    "
    CREATE TABLE action_order (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
",
    // With which change each row was changed last: what was there before, with the first.
    "
    CREATE TABLE change (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, judged INTEGER NOT NULL);
    INSERT INTO change VALUES (1, 1, 1);
    ALTER TABLE device ADD COLUMN changed INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE finding ADD COLUMN changed INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE incident ADD COLUMN changed INTEGER NOT NULL DEFAULT 1;
    CREATE INDEX device_changed ON device (changed);
    CREATE INDEX finding_changed ON finding (changed);
    CREATE INDEX incident_changed ON incident (changed);
    CREATE TABLE gone (kind TEXT NOT NULL, id INTEGER NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (kind, id))
        WITHOUT ROWID;
",
];
/// The formats in which findings and what goes with them, and orders, came to be.
const WITH_FINDINGS: usize = 2;
const WITH_ORDERS: usize = 3;
const WITH_CHANGES: usize = 4;
/// What has gone and did not come back.
const GONE_DEVICES: &str = "SELECT id FROM gone WHERE kind = 'device' AND changed > ?1 AND id NOT IN (SELECT id FROM device) ORDER BY id";
const GONE_INCIDENTS: &str = "SELECT id FROM gone WHERE kind = 'incident' AND changed > ?1 AND id NOT IN (SELECT id FROM incident) ORDER BY id";
/// So much of the database is held in memory while it is written, in KiB.
const CACHE_KIB: i32 = 16 << 10;
/// How long a reader waits for a writer's checkpoint, in milliseconds.
pub(crate) const BUSY_MS: u32 = 5_000;

/// A store in a folder.
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// Held locked while this process may write.
    lock: Option<File>,
    /// Whether it may judge without holding the lock.
    judges: bool,
}

impl Sqlite {
    /// Opens the state in `folder` for writing; makes it if there is none. Only one process may.
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Folder { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(refused)?;
        let lock = File::create(folder.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(folder.into())),
            Err(TryLockError::Error(source)) => return Err(refused(source)),
        }
        let path = folder.join(FILE);
        let connection = Connection::open(&path).map_err(|source| problem(&path, source))?;
        let mut store = Self { connection, path, lock: Some(lock), judges: true };
        store.prepare()?;
        Ok(store)
    }

    /// Opens the state in `folder` to judge what was found and to order what becomes of responses, also while another
    /// process writes: each verdict and order is a transaction of its own, and nothing else may be changed.
    pub fn open_to_judge(folder: &Path) -> Result<Self, StoreError> {
        let mut store = Self::open(folder)?;
        if store.version()? < MIGRATIONS.len() {
            // It was written by an earlier version, and nobody has opened it for writing since.
            drop(store);
            return Self::create(folder);
        }
        store.judges = true;
        store.pragma("query_only", 0)?;
        Ok(store)
    }

    /// Opens the state in `folder` for reading, also while another process writes.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(StoreError::Missing(folder.into()));
        }
        // Reading a database in write-ahead mode needs its shared-memory file, so it is opened for
        // writing; `query_only` keeps it from being changed.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&path, flags).map_err(|source| problem(&path, source))?;
        let mut store = Self { connection, path, lock: None, judges: false };
        if store.is_out_of_reach() {
            // Of another user's, without a writer at work: nothing is in the journal, nothing changes.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI;
            store.connection = Connection::open_with_flags(immutable(&store.path), flags)
                .map_err(|source| problem(&store.path, source))?;
        }
        store.pragma("busy_timeout", BUSY_MS)?;
        store.pragma("query_only", 1)?;
        // A writer that was killed before its first transaction has left an empty file.
        if store.version()? == 0 {
            return Err(StoreError::Missing(folder.into()));
        }
        Ok(store)
    }

    /// Whether the database cannot be read only because this user may not make its shared-memory file.
    fn is_out_of_reach(&self) -> bool {
        let read = self.connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
        let code = read.err().and_then(|error| error.sqlite_error_code());
        matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
            && !self.path.with_extension("db-wal").exists()
    }

    fn problem(&self, source: rusqlite::Error) -> StoreError {
        problem(&self.path, source)
    }

    fn pragma(&self, name: &str, value: u32) -> Result<(), StoreError> {
        self.connection.pragma_update(None, name, value).map_err(|source| self.problem(source))
    }

    /// The format of the database, if this version knows it.
    fn version(&self) -> Result<usize, StoreError> {
        let found: u32 = self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|source| self.problem(source))?;
        let known = MIGRATIONS.len() as u32;
        if found > known {
            return Err(StoreError::Newer { path: self.path.clone(), found, known });
        }
        Ok(found as usize)
    }

    /// Sets the journal up and brings the format up to date.
    fn prepare(&mut self) -> Result<(), StoreError> {
        self.pragma("busy_timeout", BUSY_MS)?;
        self.connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .map_err(|source| self.problem(source))?;
        self.pragma_cache()?;
        // In write-ahead mode NORMAL survives a killed process at any moment; a power cut may lose the
        // last commits, never a part of one.
        self.connection
            .pragma_update(None, "synchronous", "NORMAL")
            .map_err(|source| self.problem(source))?;
        let path = self.path.clone();
        for (number, statements) in MIGRATIONS.iter().enumerate().skip(self.version()?) {
            let migrate = |connection: &mut Connection| {
                let transaction = connection.transaction()?;
                transaction.execute_batch(statements)?;
                transaction.pragma_update(None, "user_version", number as u32 + 1)?;
                transaction.commit()
            };
            migrate(&mut self.connection).map_err(|source| problem(&path, source))?;
        }
        Ok(())
    }

    fn pragma_cache(&self) -> Result<(), StoreError> {
        self.connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(|source| self.problem(source))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.to_string() }
    }

    /// The devices that `query` gives, in its order.
    fn packed(&self, query: &str, parameter: i64) -> Result<Vec<Device>, StoreError> {
        let problem = |source| self.problem(source);
        let mut statement = self.connection.prepare_cached(query).map_err(problem)?;
        let mut rows = statement.query([parameter]).map_err(problem)?;
        let mut devices = Vec::new();
        while let Some(row) = rows.next().map_err(problem)? {
            let body = row.get_ref(0).and_then(|body| Ok(body.as_blob()?)).map_err(problem)?;
            devices.push(packed::unpack(body).map_err(|_| self.damaged("a device"))?);
        }
        Ok(devices)
    }

    /// The ids that `query` gives of what has gone after a change.
    fn gone(&self, query: &str, since: i64) -> Result<Vec<u64>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(query)?;
            let rows = statement.query_map([since], |row| row.get::<_, i64>(0))?;
            rows.map(|id| id.map(|id| id as u64)).collect::<Result<_, rusqlite::Error>>()
        };
        read().map_err(|source| self.problem(source))
    }

    /// All bodies that `query` gives, in its order.
    fn bodies<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>, StoreError> {
        self.bodies_of(query, [])
    }

    /// The same, of what was changed after a change.
    fn bodies_after<T: DeserializeOwned>(&self, query: &str, since: i64) -> Result<Vec<T>, StoreError> {
        self.bodies_of(query, [since])
    }

    fn bodies_of<T: DeserializeOwned>(&self, query: &str, of: impl Params) -> Result<Vec<T>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(query)?;
            statement.query_map(of, |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        read()
            .map_err(|source| self.problem(source))?
            .iter()
            .map(|body| serde_json::from_str(body).map_err(|error| self.damaged(error)))
            .collect()
    }

    /// The same, of a table that a state of an earlier version does not have yet.
    fn newer<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>, StoreError> {
        if self.version()? < WITH_FINDINGS { Ok(Vec::new()) } else { self.bodies(query) }
    }

    /// All keys and values that `query` gives, of a table that a state of an earlier version does not have yet.
    fn pairs<K: FromSql + Ord, V: FromSql>(
        &self,
        since: usize,
        query: &str,
    ) -> Result<BTreeMap<K, V>, StoreError> {
        if self.version()? < since {
            return Ok(BTreeMap::new());
        }
        let read = || {
            let mut statement = self.connection.prepare(query)?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, rusqlite::Error>>()
        };
        read().map_err(|source| self.problem(source))
    }

    fn totals<T: DeserializeOwned>(&self, kind: &str) -> Result<BTreeMap<String, T>, StoreError> {
        let read = || {
            let mut statement =
                self.connection.prepare("SELECT name, body FROM total WHERE kind = ?1 ORDER BY name")?;
            let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(String, String)>, _>>()
        };
        read()
            .map_err(|source| self.problem(source))?
            .into_iter()
            .map(|(name, body)| {
                serde_json::from_str(&body).map(|body| (name, body)).map_err(|error| self.damaged(error))
            })
            .collect()
    }
}

/// The name under which SQLite opens a database that nobody changes (SQLite, URI filenames).
fn immutable(path: &Path) -> String {
    let mut name = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                name.push(char::from(*byte));
            }
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name + "?immutable=1"
}

/// What SQLite says, as what it means for the user.
pub(crate) fn problem(path: &Path, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(path.into()),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.into(), what: source.to_string() }
        }
        _ => StoreError::Database { path: path.into(), source },
    }
}

/// The body under which something is kept.
pub(crate) fn body(value: &impl Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Times as SQLite's signed integers: nanoseconds, in order until the year 2262.
fn nanos(time: model::Timestamp) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl Store for Sqlite {
    fn commit(
        &mut self,
        commit: Commit,
        devices: &mut dyn Iterator<Item = Device>,
    ) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let path = self.path.clone();
        write(&mut self.connection, commit, devices).map_err(|source| problem(&path, source))
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        self.packed("SELECT body FROM device WHERE id >= ?1 ORDER BY id", i64::MIN)
    }

    fn flows(&self, query: &FlowQuery, each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<(), StoreError> {
        let problem = |source| self.problem(source);
        let mut statement = self
            .connection
            .prepare("SELECT body FROM flow_segment WHERE last >= ?1 AND first <= ?2 ORDER BY number")
            .map_err(problem)?;
        let since = query.since.map_or(i64::MIN, nanos);
        let until = query.until.map_or(i64::MAX, nanos);
        let mut rows = statement.query(params![since, until]).map_err(problem)?;
        while let Some(row) = rows.next().map_err(problem)? {
            let segment = row.get_ref(0).and_then(|body| Ok(body.as_blob()?)).map_err(problem)?;
            let goes_on = segment::unpack(segment, &mut |flow| !query.matches(&flow) || each(flow))
                .map_err(|_| self.damaged("a segment of conversations"))?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn latest_flows(
        &self,
        scan: &FlowScan,
        matches: &mut dyn FnMut(&FlowRecord) -> bool,
    ) -> Result<FlowPage, StoreError> {
        let problem = |source| self.problem(source);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT number, body FROM flow_segment WHERE number <= ?1 AND last >= ?2 AND first <= ?3
                 ORDER BY number DESC",
            )
            .map_err(problem)?;
        let since = scan.since.map_or(i64::MIN, nanos);
        let until = scan.until.map_or(i64::MAX, nanos);
        let mut rows = statement.query(params![scan.last_segment() as i64, since, until]).map_err(problem)?;
        let mut page = FlowPage::default();
        while let Some(row) = rows.next().map_err(problem)? {
            let number = row.get::<_, i64>(0).map_err(problem)? as u64;
            let segment = row.get_ref(1).and_then(|body| Ok(body.as_blob()?)).map_err(problem)?;
            let goes_on = scan
                .add(number, segment, matches, &mut page)
                .map_err(|_| self.damaged("a segment of conversations"))?;
            if !goes_on {
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        if self.version()? < WITH_CHANGES {
            // Written by an earlier version, and nobody writes to it now.
            let (devices, findings, incidents) = (self.devices()?, self.findings()?, self.incidents()?);
            let all = Changes { number: 1, devices, findings, incidents, judged: true, ..Changes::default() };
            return Ok(if since == 0 { all } else { Changes { number: 1, ..Changes::default() } });
        }
        // What is read belongs together, whatever is written meanwhile.
        let _read = self.connection.unchecked_transaction().map_err(|source| self.problem(source))?;
        let (number, judged) = self
            .connection
            .query_row("SELECT number, judged FROM change", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .map_err(|source| self.problem(source))?;
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let mut changes = Changes { number: number as u64, judged: judged > since, ..Changes::default() };
        if number == since {
            return Ok(changes);
        }
        changes.devices = self.packed("SELECT body FROM device WHERE changed > ?1 ORDER BY id", since)?;
        changes.findings =
            self.bodies_after("SELECT body FROM finding WHERE changed > ?1 ORDER BY id", since)?;
        changes.incidents =
            self.bodies_after("SELECT body FROM incident WHERE changed > ?1 ORDER BY id", since)?;
        changes.gone = self.gone(GONE_DEVICES, since)?.into_iter().map(DeviceId).collect();
        changes.gone_incidents =
            self.gone(GONE_INCIDENTS, since)?.into_iter().map(IncidentId::from_digest).collect();
        Ok(changes)
    }

    fn protocols(&self) -> Result<BTreeMap<String, ProtocolTotals>, StoreError> {
        self.totals("protocol")
    }

    fn anomalies(&self) -> Result<BTreeMap<String, AnomalyTotals>, StoreError> {
        self.totals("anomaly")
    }

    fn shed(&self) -> Result<BTreeMap<String, ShedTotals>, StoreError> {
        self.totals("shed")
    }

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let judgements = self.judgements()?;
        let findings = self.newer("SELECT body FROM finding ORDER BY id")?;
        Ok(judged(findings, &judgements))
    }

    fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.newer("SELECT body FROM incident ORDER BY id")
    }

    fn learnt(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        self.pairs(WITH_FINDINGS, "SELECT detector, body FROM learnt ORDER BY detector")
    }

    fn judgements(&self) -> Result<BTreeMap<FindingId, Option<Judgement>>, StoreError> {
        let bodies: BTreeMap<i64, Option<String>> =
            self.pairs(WITH_FINDINGS, "SELECT finding, body FROM judgement")?;
        let read = |(id, body): (i64, Option<String>)| {
            let judgement = body.map(|body| serde_json::from_str(&body)).transpose();
            let id = FindingId::from_digest(id as u64);
            judgement.map(|judgement| (id, judgement)).map_err(|error| self.damaged(error))
        };
        bodies.into_iter().map(read).collect()
    }

    fn judge(&mut self, finding: FindingId, judgement: Option<Judgement>) -> Result<(), StoreError> {
        if !self.judges {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let path = self.path.clone();
        let mut write = || {
            let body = judgement.as_ref().map(body).transpose()?;
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("UPDATE change SET number = number + 1, judged = number + 1", [])?;
            transaction.execute(
                "INSERT OR REPLACE INTO judgement (finding, body) VALUES (?1, ?2)",
                params![finding.get() as i64, body],
            )?;
            transaction.commit()
        };
        write().map_err(|source| problem(&path, source))
    }

    fn orders(&self) -> Result<Vec<(u64, Order)>, StoreError> {
        let bodies: BTreeMap<i64, String> =
            self.pairs(WITH_ORDERS, "SELECT number, body FROM action_order ORDER BY number")?;
        let read = |(number, body): (i64, String)| {
            let order = serde_json::from_str(&body);
            order.map(|order| (number as u64, order)).map_err(|error| self.damaged(error))
        };
        bodies.into_iter().map(read).collect()
    }

    fn order(&mut self, order: Order) -> Result<(), StoreError> {
        if !self.judges {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let write =
            || self.connection.execute("INSERT INTO action_order (body) VALUES (?1)", [body(&order)?]);
        write().map(|_| ()).map_err(|source| self.problem(source))
    }

    fn carried_out(&mut self, number: u64) -> Result<(), StoreError> {
        if !self.judges {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let forgotten =
            self.connection.execute("DELETE FROM action_order WHERE number <= ?1", [number as i64]);
        forgotten.map(|_| ()).map_err(|source| self.problem(source))
    }

    fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        self.bodies("SELECT body FROM source ORDER BY number")
    }
}

/// Writes everything in one transaction.
fn write(
    connection: &mut Connection,
    commit: Commit,
    devices: &mut dyn Iterator<Item = Device>,
) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let number: i64 = transaction
            .prepare_cached("UPDATE change SET number = number + 1 RETURNING number")?
            .query_row([], |row| row.get(0))?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO flow_segment (first, last, records, body) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for segment in commit.flows.segments() {
            let (first, last) = (nanos(segment.first), nanos(segment.last));
            insert.execute(params![first, last, segment.records as i64, segment.body])?;
        }
        let mut replace = transaction.prepare_cached(
            "INSERT OR REPLACE INTO device (id, first, last, body, changed) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut packed = Vec::new();
        for device in devices {
            packed.clear();
            packed::pack(&mut packed, &device);
            let (first, last) = (nanos(device.first), nanos(device.last));
            replace.execute(params![device.id.0 as i64, first, last, packed, number])?;
        }
        let mut leave = transaction
            .prepare_cached("INSERT OR REPLACE INTO gone (kind, id, changed) VALUES (?1, ?2, ?3)")?;
        let mut remove = transaction.prepare_cached("DELETE FROM device WHERE id = ?1")?;
        for gone in &commit.gone {
            remove.execute([gone.0 as i64])?;
            leave.execute(params!["device", gone.0 as i64, number])?;
        }
        add(&transaction, "protocol", &commit.protocols, ProtocolTotals::add)?;
        add(&transaction, "anomaly", &commit.anomalies, AnomalyTotals::add)?;
        add(&transaction, "shed", &commit.shed, ShedTotals::add)?;
        let mut replace = transaction.prepare_cached(
            "INSERT OR REPLACE INTO finding (id, last, body, changed) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for finding in &commit.findings {
            replace.execute(params![finding.id.get() as i64, nanos(finding.last), body(finding)?, number])?;
        }
        let mut replace = transaction.prepare_cached(
            "INSERT OR REPLACE INTO incident (id, last, body, changed) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for incident in &commit.incidents {
            replace.execute(params![
                incident.id.get() as i64,
                nanos(incident.last),
                body(incident)?,
                number
            ])?;
        }
        let mut remove = transaction.prepare_cached("DELETE FROM incident WHERE id = ?1")?;
        for gone in &commit.gone_incidents {
            remove.execute([gone.get() as i64])?;
            leave.execute(params!["incident", gone.get() as i64, number])?;
        }
        let mut replace =
            transaction.prepare_cached("INSERT OR REPLACE INTO learnt (detector, body) VALUES (?1, ?2)")?;
        for (detector, learnt) in &commit.learnt {
            replace.execute(params![detector, learnt])?;
        }
        transaction
            .prepare_cached(
                "INSERT INTO source (key, body) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![commit.source.key, body(&commit.source)?])?;
    }
    transaction.commit()
}

/// Adds to the totals of one kind.
fn add<T: Serialize + DeserializeOwned + Default>(
    connection: &Connection,
    kind: &str,
    more: &BTreeMap<String, T>,
    sum: impl Fn(&mut T, &T),
) -> Result<(), rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT body FROM total WHERE kind = ?1 AND name = ?2")?;
    let mut replace =
        connection.prepare_cached("INSERT OR REPLACE INTO total (kind, name, body) VALUES (?1, ?2, ?3)")?;
    for (name, more) in more {
        let known: Option<String> = select.query_row([kind, name], |row| row.get(0)).optional()?;
        let mut total: T = match known {
            Some(known) => serde_json::from_str(&known).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
            })?,
            None => T::default(),
        };
        sum(&mut total, more);
        replace.execute(params![kind, name, body(&total)?])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_writes_and_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Sqlite::create(folder.path()).unwrap();
        assert!(matches!(Sqlite::create(folder.path()), Err(StoreError::Busy(_))));
        let reader = Sqlite::open(folder.path()).unwrap();
        let source = SourceState { key: "a".into(), ..SourceState::default() };
        writer.commit(Commit { source, ..Commit::default() }, &mut std::iter::empty()).unwrap();
        assert_eq!(reader.sources().unwrap().len(), 1);
    }

    #[test]
    fn a_reader_cannot_write_and_a_missing_state_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Missing(_))));
        std::fs::write(folder.path().join(FILE), "").unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Missing(_))));
        drop(Sqlite::create(folder.path()).unwrap());
        let mut reader = Sqlite::open(folder.path()).unwrap();
        assert!(reader.commit(Commit::default(), &mut std::iter::empty()).is_err());
    }

    #[test]
    fn a_state_of_an_earlier_version_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = Connection::open(folder.path().join(FILE)).unwrap();
        for statements in &MIGRATIONS[..WITH_FINDINGS] {
            earlier.execute_batch(statements).unwrap();
        }
        earlier.pragma_update(None, "user_version", WITH_FINDINGS as u32).unwrap();
        let finding = crate::conformance::finding(1);
        earlier
            .execute("INSERT INTO finding (id, last, body) VALUES (1, 0, ?1)", [body(&finding).unwrap()])
            .unwrap();
        drop(earlier);
        let reader = Sqlite::open(folder.path()).unwrap();
        assert_eq!(reader.findings().unwrap().len(), 1);
        assert!(reader.orders().unwrap().is_empty());
        assert_eq!(reader.changes(0).unwrap().findings, std::slice::from_ref(&finding));
        assert!(reader.changes(1).unwrap().is_empty());
        drop(reader);
        let order = Order { action: "a1".into(), say: model::OrderKind::Revert };
        Sqlite::open_to_judge(folder.path()).unwrap().order(order).unwrap();
        let reader = Sqlite::open(folder.path()).unwrap();
        assert_eq!(reader.orders().unwrap().len(), 1);
        assert_eq!(reader.changes(0).unwrap().findings, [finding], "what was there counts as changed first");
    }

    #[test]
    fn a_later_format_and_a_damaged_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::create(folder.path()).unwrap();
        store.pragma("user_version", 99).unwrap();
        drop(store);
        assert!(matches!(Sqlite::create(folder.path()), Err(StoreError::Newer { found: 99, .. })));
        std::fs::write(folder.path().join(FILE), "this is no database, whatever its name says").unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_full_disk_is_told_and_earlier_commits_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Sqlite::create(folder.path()).unwrap();
        let commit = |packets| Commit {
            flows: (0..5000).map(crate::conformance::flow).collect::<Vec<_>>().iter().collect(),
            source: SourceState { key: "a".into(), packets, ..SourceState::default() },
            ..Commit::default()
        };
        store.commit(commit(1), &mut std::iter::empty()).unwrap();
        // A database that may not grow reports the same as a disk that is full.
        let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        assert!(matches!(store.commit(commit(2), &mut std::iter::empty()), Err(StoreError::Full(_))));
        drop(store);
        let store = Sqlite::open(folder.path()).unwrap();
        assert_eq!(store.source("a").unwrap().unwrap().packets, 1);
    }
}
