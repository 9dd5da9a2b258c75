//! Tokens of programs.

use std::time::Duration;

use model::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use crate::secret::is_same;
use crate::store::{moment, nanos};
use crate::user;
use crate::{AccountError, Accounts, Change, Secret, User};

/// Tokens begin so, for those who look for leaked secrets.
pub const PREFIX: &str = "pavise_";
/// A token holds at most so long.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A token's name has at most so many characters.
const NAME_MAX: usize = 128;
/// So many scopes has a token at most, of at most so many bytes each.
const SCOPES_MAX: usize = 64;
const SCOPE_BYTES_MAX: usize = 64;
/// So many tokens has a user at most.
const TOKENS_MAX: usize = 256;
/// Characters of a token's id.
const ID: usize = 12;
/// When a token was last used is kept this exactly.
const USED_GRAIN: Duration = Duration::from_secs(60);

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Names it, and opens nothing.
    pub id: String,
    /// Whose it is. It may never do more than he may at that moment.
    pub user: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
    /// When it was last used, to a minute.
    pub used: Option<Timestamp>,
}

const SELECT: &str = "SELECT id, user, name, scopes, created, expires, used, digest FROM token";

fn read(row: &Row<'_>) -> rusqlite::Result<(Token, [u8; 32])> {
    let scopes: String = row.get(3)?;
    let token = Token {
        id: row.get(0)?,
        user: row.get(1)?,
        name: row.get(2)?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        created: moment(row.get(4)?),
        expires: moment(row.get(5)?),
        used: row.get::<_, Option<i64>>(6)?.map(moment),
    };
    Ok((token, row.get(7)?))
}

/// CRC-32 (ISO 3309), by which somebody who finds a token knows that it is one.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// The id and secret of a token's text, if it is one.
fn parts(text: &str) -> Option<(&str, Secret)> {
    let body = text.strip_prefix(PREFIX)?;
    let (body, check) = body.split_at_checked(body.len().checked_sub(8)?)?;
    (u32::from_str_radix(check, 16).ok()? == crc32(body.as_bytes())).then_some(())?;
    let (id, secret) = body.split_at_checked(ID)?;
    Some((id, Secret::shown(secret.strip_prefix('.')?)))
}

impl Accounts {
    /// A new token of a user; its text is shown this once.
    ///
    /// # Errors
    ///
    /// If name, scopes or expiry cannot be, or he has too many.
    pub fn make_token(
        &self,
        user: &str,
        name: &str,
        scopes: &[String],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(Token, Secret, Change), AccountError> {
        let invalid = |why: &str| Err(AccountError::Invalid(why.into()));
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return invalid("a token needs a name of 1 to 128 characters that says what it is for");
        }
        if expires <= now || expires.since(now) > TOKEN_LIFE_MAX {
            return invalid("a token needs a moment of expiry, at most 366 days from now");
        }
        let fits = |scope: &String| {
            !scope.is_empty() && scope.len() <= SCOPE_BYTES_MAX && !scope.contains(char::is_whitespace)
        };
        if scopes.is_empty() || scopes.len() > SCOPES_MAX || !scopes.iter().all(fits) {
            return invalid("a token needs at least one scope, which says what it may be used for");
        }
        let (id, secret) = (Secret::new()?, Secret::new()?);
        // Letters and digits alone, so that a double click takes all of it.
        let id: String = id
            .reveal()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .chain("0".repeat(ID).chars())
            .take(ID)
            .collect();
        let token = Token {
            id,
            user: user.into(),
            name: name.into(),
            scopes: scopes.to_vec(),
            created: now,
            expires,
            used: None,
        };
        self.write(|transaction| {
            user::get(transaction, user)?;
            let count: u32 =
                transaction.query_row("SELECT COUNT(*) FROM token WHERE user = ?1", [user], |row| row.get(0))?;
            if count as usize >= TOKENS_MAX {
                return Err(AccountError::TooMany(TOKENS_MAX));
            }
            transaction.execute(
                "INSERT INTO token (id, digest, user, name, scopes, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![token.id, secret.digest(), user, token.name, scopes.join(" "), nanos(now), nanos(expires)],
            )?;
            Ok(())
        })?;
        let body = format!("{}.{}", token.id, secret.reveal());
        let text = Secret::shown(&format!("{PREFIX}{body}{:08x}", crc32(body.as_bytes())));
        let after = Some(format!("{} until {}", scopes.join(" "), expires.as_nanos() / 1_000_000_000));
        let change = Change { what: "token-made", to: format!("{user} {}", token.id), before: None, after };
        Ok((token, text, change))
    }

    /// The token of a text and its owner, if it holds and he may sign in. It counts as used.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be used.
    pub fn token(&self, text: &str, now: Timestamp) -> Result<Option<(Token, User)>, AccountError> {
        let Some((id, secret)) = parts(text) else { return Ok(None) };
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            let found = statement.query_row([id], read).optional()?;
            let Some((token, _)) =
                found.filter(|(token, digest)| is_same(digest, &secret.digest()) && token.expires > now)
            else {
                return Ok(None);
            };
            let owner = user::find(connection, &token.user)?.filter(|user| !user.disabled);
            Ok(owner.map(|owner| (token, owner)))
        })?;
        let Some((mut token, owner)) = found else { return Ok(None) };
        if token.used.is_none_or(|used| now.since(used) >= USED_GRAIN) {
            token.used = Some(now);
            self.write(|transaction| {
                transaction
                    .execute("UPDATE token SET used = ?2 WHERE id = ?1", params![token.id, nanos(now)])?;
                Ok(())
            })?;
        }
        Ok(Some((token, owner)))
    }

    /// The tokens of a user, or of everybody, by id.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be read.
    pub fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>, AccountError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR user = ?1 ORDER BY id"))?;
            let rows = statement.query_map([user], read)?;
            Ok(rows.map(|row| row.map(|(token, _)| token)).collect::<Result<_, _>>()?)
        })
    }

    /// Ends a token of a user.
    ///
    /// # Errors
    ///
    /// If he has none of this id.
    pub fn revoke_token(&self, user: &str, id: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            match transaction.execute("DELETE FROM token WHERE user = ?1 AND id = ?2", params![user, id])? {
                0 => Err(AccountError::Missing(format!("token {id} of {user}"))),
                _ => Ok(Change {
                    what: "token-revoked",
                    to: format!("{user} {id}"),
                    before: None,
                    after: None,
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
