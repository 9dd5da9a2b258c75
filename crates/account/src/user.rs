//! Users, and how they come to be.

use std::time::Duration;

use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::password::{self, Hashed};
use crate::secret::random;
use crate::store::{lock, moment, nanos};
use crate::{AccountError, Accounts, Change, Secret};

/// For how long an invitation and the link for the first administrator hold.
pub const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A name has at most so many characters.
pub const NAME_MAX: usize = 64;
/// A name for people has at most so many characters.
const DISPLAY_MAX: usize = 128;
/// So many grants has a user at most.
const GRANTS_MAX: usize = 64;
/// So many users there are at most.
const USERS_MAX: usize = 10_000;

/// A role, everywhere or in a part of the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The role.
    pub role: String,
    /// Only at this site.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<String>,
    /// Only in this zone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zone: Option<String>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// By which he signs in.
    pub name: String,
    /// What people call him.
    pub display: String,
    /// What he may do where.
    pub grants: Vec<Grant>,
    /// Whether he may not sign in.
    pub disabled: bool,
    /// Counts changes.
    pub version: u64,
    /// When he was invited.
    pub created: Timestamp,
    /// Whether he has chosen a password.
    pub has_password: bool,
    /// Whether he has one-time passwords.
    pub has_totp: bool,
    /// How many passkeys he has.
    pub passkeys: u32,
    /// How many recovery codes he has left.
    pub recovery_codes: u32,
}

impl User {
    /// Whether he has a second factor.
    pub const fn has_second_factor(&self) -> bool {
        self.has_totp || self.passkeys > 0
    }
}

const SELECT: &str = "SELECT name, display, grants, disabled, version, created, password IS NOT NULL, totp IS NOT NULL,
    (SELECT COUNT(*) FROM passkey WHERE passkey.user = user.name), (SELECT COUNT(*) FROM recovery WHERE recovery.user = user.name)
    FROM user";

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    let grants: String = row.get(2)?;
    Ok(User {
        name: row.get(0)?,
        display: row.get(1)?,
        grants: serde_json::from_str(&grants).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
        })?,
        disabled: row.get(3)?,
        version: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
        created: moment(row.get(5)?),
        has_password: row.get(6)?,
        has_totp: row.get(7)?,
        passkeys: row.get(8)?,
        recovery_codes: row.get(9)?,
    })
}

/// A user, if there is one.
pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<User>, AccountError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
    Ok(statement.query_row([name], read).optional()?)
}

pub(crate) fn get(connection: &Connection, name: &str) -> Result<User, AccountError> {
    find(connection, name)?.ok_or_else(|| AccountError::Missing(format!("user {name}")))
}

/// A name as it is kept.
pub(crate) fn normal(name: &str) -> Result<String, AccountError> {
    let name = name.trim().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_@".contains(c);
    if name.is_empty()
        || name.len() > NAME_MAX
        || !name.chars().all(fits)
        || !name.starts_with(char::is_alphanumeric)
    {
        let why = format!(
            "{name:?} is no name: it needs 1 to {NAME_MAX} letters a-z, digits, `.`, `-`, `_` or `@`, of which the first is a \
             letter or digit"
        );
        return Err(AccountError::Invalid(why));
    }
    Ok(name)
}

fn shown(display: &str) -> Result<String, AccountError> {
    let display = display.trim();
    if display.chars().count() > DISPLAY_MAX || display.chars().any(char::is_control) {
        let why = format!("a name for people has at most {DISPLAY_MAX} characters and no control characters");
        return Err(AccountError::Invalid(why));
    }
    Ok(display.to_owned())
}

fn granted(grants: &[Grant]) -> Result<String, AccountError> {
    if grants.len() > GRANTS_MAX {
        return Err(AccountError::TooMany(GRANTS_MAX));
    }
    serde_json::to_string(grants).map_err(|error| AccountError::Invalid(error.to_string()))
}

impl Accounts {
    /// All users, by name.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be read.
    pub fn users(&self) -> Result<Vec<User>, AccountError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        })
    }

    /// One user.
    ///
    /// # Errors
    ///
    /// If there is none of this name, or the accounts cannot be read.
    pub fn user(&self, name: &str) -> Result<User, AccountError> {
        self.read(|connection| get(connection, name))
    }

    /// A secret with which the first administrator is made, while there is no user; an earlier one does not hold any more.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be written.
    pub fn setup_link(&self, now: Timestamp) -> Result<Option<Secret>, AccountError> {
        let secret = Secret::new()?;
        self.write(|transaction| {
            let users: u32 = transaction.query_row("SELECT COUNT(*) FROM user", [], |row| row.get(0))?;
            if users > 0 {
                return Ok(None);
            }
            transaction.execute("DELETE FROM link WHERE user IS NULL", [])?;
            let expires = nanos(now + LINK_LIFE);
            transaction.execute(
                "INSERT INTO link (digest, user, expires) VALUES (?1, NULL, ?2)",
                params![secret.digest(), expires],
            )?;
            Ok(Some(()))
        })
        .map(|made| made.map(|()| secret))
    }

    /// Makes the first administrator, of whoever has the secret.
    ///
    /// # Errors
    ///
    /// If the secret is not valid (any more), or name or password cannot be.
    pub fn setup(
        &self,
        secret: &Secret,
        name: &str,
        display: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<Change, AccountError> {
        let (name, display) = (normal(name)?, shown(display)?);
        let hashed = self.hashed(password, &name)?;
        self.write(|transaction| {
            let used = transaction.execute(
                "DELETE FROM link WHERE digest = ?1 AND user IS NULL AND expires > ?2
                 AND NOT EXISTS (SELECT 1 FROM user)",
                params![secret.digest(), nanos(now)],
            )?;
            if used != 1 {
                return Err(AccountError::Stale);
            }
            let roles = [self.administrator].into_iter().chain(self.first_also.iter().copied());
            let grants: Vec<_> =
                roles.map(|role| Grant { role: role.into(), site: None, zone: None }).collect();
            insert(transaction, &name, &display, &grants, now)?;
            transaction.execute("UPDATE user SET password = ?2 WHERE name = ?1", params![name, hashed])?;
            Ok(Change {
                what: "administrator-created",
                to: name.clone(),
                before: None,
                after: Some(granted(&grants)?),
            })
        })
    }

    /// Makes a user, who is to choose a password with the secret.
    ///
    /// # Errors
    ///
    /// If there is one of this name, or the name cannot be.
    pub fn invite(
        &self,
        name: &str,
        display: &str,
        grants: &[Grant],
        now: Timestamp,
    ) -> Result<(Secret, Change), AccountError> {
        let (name, display) = (normal(name)?, shown(display)?);
        self.write(|transaction| {
            if find(transaction, &name)?.is_some() {
                return Err(AccountError::Invalid(format!("there is a user {name} already")));
            }
            insert(transaction, &name, &display, grants, now)?;
            let secret = link(transaction, &name, now)?;
            Ok((
                secret,
                Change {
                    what: "user-invited",
                    to: name.clone(),
                    before: None,
                    after: Some(granted(grants)?),
                },
            ))
        })
    }

    /// A new link with which a user chooses a password; his sessions and second factors end when he does, if `factors_too`.
    ///
    /// # Errors
    ///
    /// If there is no such user.
    pub fn invite_again(
        &self,
        name: &str,
        factors_too: bool,
        now: Timestamp,
    ) -> Result<(Secret, Change), AccountError> {
        self.write(|transaction| {
            get(transaction, name)?;
            if factors_too {
                transaction.execute(
                    "UPDATE user SET totp = NULL, totp_step = NULL, version = version + 1 WHERE name = ?1",
                    [name],
                )?;
                transaction.execute("DELETE FROM passkey WHERE user = ?1", [name])?;
                transaction.execute("DELETE FROM recovery WHERE user = ?1", [name])?;
                transaction.execute("DELETE FROM session WHERE user = ?1", [name])?;
            }
            let secret = link(transaction, name, now)?;
            let what = if factors_too { "factors-reset" } else { "link-made" };
            Ok((secret, Change { what, to: name.into(), before: None, after: None }))
        })
    }

    /// Sets the password of the user who was given the link; his sessions end.
    ///
    /// # Errors
    ///
    /// If the link is not valid (any more), or the password cannot be.
    pub fn accept(&self, secret: &Secret, password: &str, now: Timestamp) -> Result<Change, AccountError> {
        let name: Option<String> = self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT user FROM link WHERE digest = ?1 AND user IS NOT NULL AND expires > ?2",
            )?;
            Ok(find.query_row(params![secret.digest(), nanos(now)], |row| row.get(0)).optional()?)
        })?;
        let name = name.ok_or(AccountError::Stale)?;
        let hashed = self.hashed(password, &name)?;
        self.write(|transaction| {
            if transaction.execute("DELETE FROM link WHERE digest = ?1", params![secret.digest()])? != 1 {
                return Err(AccountError::Stale);
            }
            set_password(transaction, &name, &hashed)?;
            Ok(Change { what: "password-chosen", to: name.clone(), before: None, after: None })
        })
    }

    /// Changes a password, of whoever knows the one before; all sessions end.
    ///
    /// # Errors
    ///
    /// If the old one is wrong, was wrong too often, or the new one cannot be.
    pub fn change_password(
        &self,
        name: &str,
        old: &str,
        new: &str,
        from: &crate::From<'_>,
        now: Timestamp,
    ) -> Result<Change, AccountError> {
        self.may_try(name, from, now)?;
        let kept = self.read(|connection| kept_password(connection, name))?.ok_or(AccountError::Wrong)?;
        if !self.matches(&kept, old)? {
            self.failed(name, from, now)?;
            return Err(AccountError::Wrong);
        }
        let hashed = self.hashed(new, name)?;
        self.write(|transaction| set_password(transaction, name, &hashed))?;
        Ok(Change { what: "password-changed", to: name.into(), before: None, after: None })
    }

    /// Changes a user; his sessions end if he is disabled.
    ///
    /// # Errors
    ///
    /// If there is no such user, he was changed since `version`, or nobody could manage users any more.
    pub fn change_user(
        &self,
        name: &str,
        version: u64,
        display: Option<&str>,
        grants: Option<&[Grant]>,
        disabled: Option<bool>,
    ) -> Result<(User, Change), AccountError> {
        self.write(|transaction| {
            let before = get(transaction, name)?;
            if before.version != version {
                return Err(AccountError::Changed(format!("user {name}")));
            }
            let display = display.map(shown).transpose()?.unwrap_or_else(|| before.display.clone());
            let grants = grants.unwrap_or(&before.grants);
            let disabled = disabled.unwrap_or(before.disabled);
            transaction.execute(
                "UPDATE user SET display = ?2, grants = ?3, disabled = ?4, version = version + 1 WHERE name = ?1",
                params![name, display, granted(grants)?, disabled],
            )?;
            if disabled {
                transaction.execute("DELETE FROM session WHERE user = ?1", [name])?;
            }
            self.keeps_an_administrator(transaction, name, &before)?;
            let told = |grants: &[Grant], disabled: bool| {
                granted(grants).map(|grants| format!("{grants}{}", if disabled { ", disabled" } else { "" }))
            };
            let change = Change {
                what: "user-changed",
                to: name.into(),
                before: Some(told(&before.grants, before.disabled)?),
                after: Some(told(grants, disabled)?),
            };
            Ok((get(transaction, name)?, change))
        })
    }

    /// Removes a user with everything that is his.
    ///
    /// # Errors
    ///
    /// If there is no such user, or nobody could manage users any more.
    pub fn remove_user(&self, name: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            let before = get(transaction, name)?;
            transaction.execute("DELETE FROM user WHERE name = ?1", [name])?;
            self.keeps_an_administrator(transaction, name, &before)?;
            Ok(Change {
                what: "user-removed",
                to: name.into(),
                before: Some(granted(&before.grants)?),
                after: None,
            })
        })
    }

    /// Refuses a change after which nobody can manage users.
    fn keeps_an_administrator(
        &self,
        connection: &Connection,
        name: &str,
        before: &User,
    ) -> Result<(), AccountError> {
        let manages = |user: &User| {
            let everywhere = |grant: &Grant| grant.site.is_none() && grant.zone.is_none();
            !user.disabled
                && user.has_password
                && user.grants.iter().any(|grant| grant.role == self.administrator && everywhere(grant))
        };
        if !manages(before) {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(SELECT)?;
        for user in statement.query_map([], read)? {
            if manages(&user?) {
                return Ok(());
            }
        }
        Err(AccountError::LastAdministrator(name.into()))
    }

    /// What is kept of a new password.
    fn hashed(&self, password: &str, name: &str) -> Result<String, AccountError> {
        password::check(password, name)?;
        self.kept(password)
    }

    /// The same of one that holds already.
    pub(crate) fn kept(&self, password: &str) -> Result<String, AccountError> {
        let _one_at_a_time = lock(&self.hashing);
        let hashed = Hashed::new(password, self.hardness)?;
        serde_json::to_string(&hashed).map_err(|error| AccountError::Hash(error.to_string()))
    }

    pub(crate) fn matches(&self, kept: &Hashed, password: &str) -> Result<bool, AccountError> {
        let _one_at_a_time = lock(&self.hashing);
        kept.is_of(password)
    }
}

fn insert(
    connection: &Connection,
    name: &str,
    display: &str,
    grants: &[Grant],
    now: Timestamp,
) -> Result<(), AccountError> {
    let users: u32 = connection.query_row("SELECT COUNT(*) FROM user", [], |row| row.get(0))?;
    if users as usize >= USERS_MAX {
        return Err(AccountError::TooMany(USERS_MAX));
    }
    // Tells authenticators whose passkey it is, and tells nobody else anything.
    let mut handle = [0; 16];
    random(&mut handle)?;
    connection.execute(
        "INSERT INTO user (name, display, handle, grants, disabled, version, created) VALUES (?1, ?2, ?3, ?4, 0, 1, ?5)",
        params![name, display, handle, granted(grants)?, nanos(now)],
    )?;
    Ok(())
}

/// A link for a user, in place of those before.
fn link(connection: &Connection, name: &str, now: Timestamp) -> Result<Secret, AccountError> {
    let secret = Secret::new()?;
    connection.execute("DELETE FROM link WHERE user = ?1 OR expires <= ?2", params![name, nanos(now)])?;
    connection.execute(
        "INSERT INTO link (digest, user, expires) VALUES (?1, ?2, ?3)",
        params![secret.digest(), name, nanos(now + LINK_LIFE)],
    )?;
    Ok(secret)
}

fn set_password(connection: &Connection, name: &str, hashed: &str) -> Result<(), AccountError> {
    connection.execute(
        "UPDATE user SET password = ?2, failures = 0, version = version + 1 WHERE name = ?1",
        params![name, hashed],
    )?;
    connection.execute("DELETE FROM session WHERE user = ?1", [name])?;
    connection.execute("DELETE FROM link WHERE user = ?1", [name])?;
    Ok(())
}

/// What is kept of a user's password, if he has chosen one.
pub(crate) fn kept_password(connection: &Connection, name: &str) -> Result<Option<Hashed>, AccountError> {
    let mut statement = connection.prepare_cached("SELECT password FROM user WHERE name = ?1")?;
    let kept: Option<Option<String>> = statement.query_row([name], |row| row.get(0)).optional()?;
    let parsed = kept.flatten().map(|kept| serde_json::from_str(&kept)).transpose();
    parsed.map_err(|error| AccountError::Database(format!("the password of {name}: {error}")))
}
