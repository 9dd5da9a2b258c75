//! Sessions of people who have signed in.

use std::net::IpAddr;
use std::time::Duration;

use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{moment, nanos};
use crate::throttle::network;
use crate::user;
use crate::{AccountError, Accounts, Change, Secret, User};

/// A session ends when nothing was asked in it for so long.
pub const IDLE_LIFE: Duration = Duration::from_secs(30 * 60);
/// And after so long in any case.
pub const ABSOLUTE_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// When a session was last used is kept this exactly: not every request is a write.
const SEEN_GRAIN: Duration = Duration::from_secs(30);
/// What a browser calls itself is kept up to so many characters.
const AGENT_MAX: usize = 256;
/// A user has so many sessions at most; the oldest ends.
const SESSIONS_MAX: usize = 32;
/// So many places are remembered of a user; the one not seen for longest is forgotten.
const PLACES_MAX: usize = 64;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it, and opens nothing.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What the console shows with each change to prove that it asks itself.
    pub csrf: String,
    /// When it was opened.
    pub created: Timestamp,
    /// When it was last used, to half a minute.
    pub seen: Timestamp,
    /// When a second factor was last shown in it. Without one, it may only enrol one.
    pub factor: Option<Timestamp>,
    /// From where it was opened.
    pub address: String,
    /// What the browser called itself.
    pub agent: String,
    /// Whether the user was never seen at that place before.
    pub is_new_place: bool,
}

impl Session {
    /// Whether a second factor may be enrolled in it and nothing else done.
    pub const fn may_only_enrol(&self) -> bool {
        self.factor.is_none()
    }
}

/// A session that was just opened, with the secret that its holder shows from now on.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// The secret, for a cookie.
    pub secret: Secret,
}

const SELECT: &str =
    "SELECT id, user, csrf, created, seen, factor, address, agent, is_new_place FROM session";

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        user: row.get(1)?,
        csrf: row.get(2)?,
        created: moment(row.get(3)?),
        seen: moment(row.get(4)?),
        factor: row.get::<_, Option<i64>>(5)?.map(moment),
        address: row.get(6)?,
        agent: row.get(7)?,
        is_new_place: row.get(8)?,
    })
}

/// Whether a session holds at a moment.
fn holds(session: &Session, now: Timestamp) -> bool {
    now.since(session.seen) < IDLE_LIFE && now.since(session.created) < ABSOLUTE_LIFE
}

impl Accounts {
    /// Opens a session for a user who has shown who he is; whether with a second factor. Sessions that are over are forgotten.
    pub(crate) fn open_session(
        &self,
        name: &str,
        with_factor: bool,
        from: &crate::From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        let (secret, id, csrf) = (Secret::new()?, Secret::new()?, Secret::new()?);
        let agent = from.agent.chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect::<String>();
        self.write(|transaction| {
            let is_new_place = with_factor && !is_known(transaction, name, from.address)?;
            let over =
                (nanos(now).saturating_sub(life(IDLE_LIFE)), nanos(now).saturating_sub(life(ABSOLUTE_LIFE)));
            transaction
                .execute("DELETE FROM session WHERE seen <= ?1 OR created <= ?2", params![over.0, over.1])?;
            transaction.execute(
                "DELETE FROM session WHERE user = ?1 AND digest NOT IN
                 (SELECT digest FROM session WHERE user = ?1 ORDER BY seen DESC LIMIT ?2)",
                params![name, SESSIONS_MAX as i64 - 1],
            )?;
            let session = Session {
                // Enough of it to tell one from another.
                id: id.reveal().chars().take(16).collect(),
                user: name.into(),
                csrf: csrf.reveal().into(),
                created: now,
                seen: now,
                factor: with_factor.then_some(now),
                address: from.address.to_canonical().to_string(),
                agent,
                is_new_place,
            };
            insert(transaction, &secret, &session)?;
            if with_factor {
                remember(transaction, name, from.address, now)?;
            }
            Ok(Opened { session, secret })
        })
    }

    /// The session of a secret and its user, if it holds and he may sign in. It counts as used.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be used.
    pub fn session(&self, secret: &Secret, now: Timestamp) -> Result<Option<(Session, User)>, AccountError> {
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE digest = ?1"))?;
            let session = statement.query_row(params![secret.digest()], read).optional()?;
            let Some(session) = session.filter(|session| holds(session, now)) else { return Ok(None) };
            let user = user::find(connection, &session.user)?.filter(|user| !user.disabled);
            Ok(user.map(|user| (session, user)))
        })?;
        let Some((mut session, user)) = found else { return Ok(None) };
        if now.since(session.seen) >= SEEN_GRAIN {
            session.seen = now;
            self.write(|transaction| {
                let seen = params![secret.digest(), nanos(now)];
                transaction.execute("UPDATE session SET seen = ?2 WHERE digest = ?1", seen)?;
                Ok(())
            })?;
        }
        Ok(Some((session, user)))
    }

    /// A session with another secret, in which a second factor was just shown: the secret before opens nothing any more.
    pub(crate) fn renew(&self, id: &str, now: Timestamp) -> Result<Opened, AccountError> {
        let (secret, csrf) = (Secret::new()?, Secret::new()?);
        self.write(|transaction| {
            let mut session = by_id(transaction, id)?;
            transaction.execute("DELETE FROM session WHERE id = ?1", [id])?;
            session.csrf = csrf.reveal().into();
            (session.factor, session.seen, session.is_new_place) = (Some(now), now, false);
            insert(transaction, &secret, &session)?;
            if let Ok(address) = session.address.parse() {
                remember(transaction, &session.user, address, now)?;
            }
            Ok(Opened { session, secret })
        })
    }

    /// The sessions of a user that hold, the latest used first.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be read.
    pub fn sessions(&self, user: &str, now: Timestamp) -> Result<Vec<Session>, AccountError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT} WHERE user = ?1 ORDER BY seen DESC, id"))?;
            let mut all = statement.query_map([user], read)?.collect::<Result<Vec<_>, _>>()?;
            all.retain(|session| holds(session, now));
            Ok(all)
        })
    }

    /// Ends a session of a user.
    ///
    /// # Errors
    ///
    /// If he has none of this id.
    pub fn end_session(&self, user: &str, id: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            let ended =
                transaction.execute("DELETE FROM session WHERE user = ?1 AND id = ?2", params![user, id])?;
            match ended {
                0 => Err(AccountError::Missing(format!("session {id} of {user}"))),
                _ => Ok(Change {
                    what: "session-ended",
                    to: format!("{user} {id}"),
                    before: None,
                    after: None,
                }),
            }
        })
    }

    /// Ends all sessions of a user but one.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be written.
    pub fn end_other_sessions(&self, user: &str, but: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM session WHERE user = ?1 AND id <> ?2", params![user, but])?;
            Ok(Change { what: "other-sessions-ended", to: user.into(), before: None, after: None })
        })
    }
}

fn life(of: Duration) -> i64 {
    i64::try_from(of.as_nanos()).unwrap_or(i64::MAX)
}

fn by_id(connection: &Connection, id: &str) -> Result<Session, AccountError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    statement.query_row([id], read).optional()?.ok_or_else(|| AccountError::Missing(format!("session {id}")))
}

fn insert(connection: &Connection, secret: &Secret, session: &Session) -> Result<(), AccountError> {
    connection.execute(
        "INSERT INTO session (digest, id, user, csrf, created, seen, factor, address, agent, is_new_place)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            secret.digest(),
            session.id,
            session.user,
            session.csrf,
            nanos(session.created),
            nanos(session.seen),
            session.factor.map(nanos),
            session.address,
            session.agent,
            session.is_new_place
        ],
    )?;
    Ok(())
}

/// Whether a user was seen in a network before; the first place of all is not new.
fn is_known(connection: &Connection, name: &str, address: IpAddr) -> Result<bool, AccountError> {
    let (all, here): (u32, u32) = connection.query_row(
        "SELECT COUNT(*), COUNT(CASE WHEN network = ?2 THEN 1 END) FROM place WHERE user = ?1",
        params![name, network(address)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(all == 0 || here > 0)
}

fn remember(
    connection: &Connection,
    name: &str,
    address: IpAddr,
    now: Timestamp,
) -> Result<(), AccountError> {
    connection.execute(
        "INSERT OR REPLACE INTO place (user, network, seen) VALUES (?1, ?2, ?3)",
        params![name, network(address), nanos(now)],
    )?;
    connection.execute(
        "DELETE FROM place WHERE user = ?1 AND network NOT IN
         (SELECT network FROM place WHERE user = ?1 ORDER BY seen DESC LIMIT ?2)",
        params![name, PLACES_MAX as i64],
    )?;
    Ok(())
}
