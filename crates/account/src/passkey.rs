//! Passkeys (WebAuthn Level 2), as second factors: the authenticator must verify its user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use rusqlite::{OptionalExtension, params};
use webauthn_rs::prelude::{
    CreationChallengeResponse, Passkey, PublicKeyCredential, RegisterPublicKeyCredential,
    RequestChallengeResponse, Uuid,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::ceremony::Ceremony;
use crate::store::{lock, nanos};
use crate::user;
use crate::{AccountError, Accounts, Change, Secret};

/// So many passkeys has a user at most.
const PASSKEYS_MAX: usize = 20;
/// A label has at most so many characters.
const LABEL_MAX: usize = 64;

/// The site for which passkeys hold.
#[derive(Clone, Debug)]
pub struct Passkeys(Webauthn);

/// A passkey that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Names it.
    pub id: String,
    /// What its owner calls it.
    pub label: String,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was last used.
    pub used: Option<Timestamp>,
}

impl Passkeys {
    /// For the site at this address (`https://pavise.example.com`): passkeys hold for its host name. On `localhost` they hold for
    /// every port.
    ///
    /// # Errors
    ///
    /// If it is no address of a site, or its host is none for which passkeys can hold.
    pub fn new(site: &str) -> Result<Self, AccountError> {
        let invalid = |why: String| AccountError::Invalid(format!("passkeys cannot hold for {site}: {why}"));
        let url = url::Url::parse(site).map_err(|error| invalid(error.to_string()))?;
        let host = url.domain().ok_or_else(|| invalid("it needs a host name, not a number".into()))?;
        let builder = WebauthnBuilder::new(host, &url).map_err(|error| invalid(error.to_string()))?;
        let is_local = host == "localhost";
        let built = builder.rp_name("Pavise").allow_any_port(is_local).build();
        built.map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// A passkey as it is kept.
fn body(passkey: &Passkey) -> Result<String, AccountError> {
    serde_json::to_string(passkey).map_err(|error| AccountError::Database(error.to_string()))
}

/// The name of a passkey: what the authenticator calls it.
fn id_of(passkey: &Passkey) -> String {
    URL_SAFE_NO_PAD.encode(passkey.cred_id())
}

impl Accounts {
    fn kept_passkeys(&self, name: &str) -> Result<Vec<Passkey>, AccountError> {
        let bodies: Vec<String> = self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM passkey WHERE user = ?1 ORDER BY id")?;
            Ok(statement.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })?;
        let read = |body: &String| serde_json::from_str(body);
        bodies
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| AccountError::Database(error.to_string()))
    }

    /// Begins to register a passkey: what the browser needs, and the secret with which to finish.
    ///
    /// # Errors
    ///
    /// If there is no such user, or he has too many.
    pub fn begin_passkey(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(CreationChallengeResponse, Secret), AccountError> {
        let (display, handle) = self.read(|connection| {
            let known = user::get(connection, name)?;
            let handle: [u8; 16] =
                connection.query_row("SELECT handle FROM user WHERE name = ?1", [name], |row| row.get(0))?;
            Ok((if known.display.is_empty() { known.name } else { known.display }, handle))
        })?;
        let kept = self.kept_passkeys(name)?;
        if kept.len() >= PASSKEYS_MAX {
            return Err(AccountError::TooMany(kept.len()));
        }
        let known = kept.iter().map(|passkey| passkey.cred_id().clone()).collect();
        let begun =
            self.passkeys.0.start_passkey_registration(Uuid::from_bytes(handle), name, &display, Some(known));
        let (challenge, state) = begun.map_err(|error| AccountError::Invalid(error.to_string()))?;
        let register = Ceremony::Register { user: name.into(), state: Box::new(state) };
        Ok((challenge, lock(&self.ceremonies).begin(register, now)?))
    }

    /// Registers the passkey of which the browser tells.
    ///
    /// # Errors
    ///
    /// If it does not answer the challenge, or is somebody's already.
    pub fn finish_passkey(
        &self,
        name: &str,
        secret: &Secret,
        shown: &RegisterPublicKeyCredential,
        label: &str,
        now: Timestamp,
    ) -> Result<Change, AccountError> {
        let Ceremony::Register { user, state } = lock(&self.ceremonies).end(secret, now)? else {
            return Err(AccountError::Stale);
        };
        if user != name {
            return Err(AccountError::Stale);
        }
        let label = label.trim();
        if label.is_empty() || label.chars().count() > LABEL_MAX || label.chars().any(char::is_control) {
            return Err(AccountError::Invalid(format!(
                "a passkey needs a label of 1 to {LABEL_MAX} characters"
            )));
        }
        let passkey = self.passkeys.0.finish_passkey_registration(shown, &state).map_err(|error| {
            AccountError::Invalid(format!(
                "the passkey was not accepted: {error}; try again, or use another one"
            ))
        })?;
        let (id, body) = (id_of(&passkey), body(&passkey)?);
        self.write(|transaction| {
            let made = transaction.execute(
                "INSERT OR IGNORE INTO passkey (id, user, label, body, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, name, label, body, nanos(now)],
            )?;
            if made == 0 {
                return Err(AccountError::Invalid("this passkey is registered already".into()));
            }
            transaction.execute("UPDATE user SET version = version + 1 WHERE name = ?1", [name])?;
            Ok(())
        })?;
        Ok(Change { what: "passkey-registered", to: name.into(), before: None, after: Some(label.into()) })
    }

    /// The passkeys of a user, by id.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be read.
    pub fn passkeys(&self, name: &str) -> Result<Vec<Kept>, AccountError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, label, created, used FROM passkey WHERE user = ?1 ORDER BY id")?;
            let rows = statement.query_map([name], |row| {
                Ok(Kept {
                    id: row.get(0)?,
                    label: row.get(1)?,
                    created: crate::store::moment(row.get(2)?),
                    used: row.get::<_, Option<i64>>(3)?.map(crate::store::moment),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What the browser needs to show a passkey of a user, and the secret with which to finish.
    pub(crate) fn challenge(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(RequestChallengeResponse, Secret), AccountError> {
        let kept = self.kept_passkeys(name)?;
        if kept.is_empty() {
            return Err(AccountError::Missing(format!("passkey of {name}")));
        }
        let begun = self.passkeys.0.start_passkey_authentication(&kept);
        let (challenge, state) = begun.map_err(|error| AccountError::Invalid(error.to_string()))?;
        let show = Ceremony::Show { user: name.into(), state: Box::new(state) };
        Ok((challenge, lock(&self.ceremonies).begin(show, now)?))
    }

    /// Whose passkey was shown; nothing if it does not answer the challenge.
    pub(crate) fn shown_passkey(
        &self,
        secret: &Secret,
        shown: &PublicKeyCredential,
        now: Timestamp,
    ) -> Result<Option<String>, AccountError> {
        let Ceremony::Show { user, state } = lock(&self.ceremonies).end(secret, now)? else {
            return Err(AccountError::Stale);
        };
        // Checks origin, challenge, signature, that the authenticator verified its user, and that its counter went on.
        let Ok(result) = self.passkeys.0.finish_passkey_authentication(shown, &state) else {
            return Ok(None);
        };
        if !result.user_verified() {
            return Ok(None);
        }
        self.write(|transaction| {
            for mut passkey in self.bodies(transaction, &user)? {
                if passkey.cred_id() != result.cred_id() {
                    continue;
                }
                passkey.update_credential(&result);
                transaction.execute(
                    "UPDATE passkey SET body = ?2, used = ?3 WHERE id = ?1",
                    params![id_of(&passkey), body(&passkey)?, nanos(now)],
                )?;
                return Ok(Some(user.clone()));
            }
            // It was removed meanwhile.
            Ok(None)
        })
    }

    fn bodies(&self, connection: &rusqlite::Connection, name: &str) -> Result<Vec<Passkey>, AccountError> {
        let mut statement = connection.prepare_cached("SELECT body FROM passkey WHERE user = ?1")?;
        let bodies: Vec<String> = statement.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let read = |body: &String| serde_json::from_str(body);
        bodies
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| AccountError::Database(error.to_string()))
    }

    /// Removes a passkey of a user.
    ///
    /// # Errors
    ///
    /// If he has none of this id, or it is his only second factor.
    pub fn remove_passkey(&self, name: &str, id: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            let mut find =
                transaction.prepare_cached("SELECT label FROM passkey WHERE user = ?1 AND id = ?2")?;
            let label: Option<String> = find.query_row(params![name, id], |row| row.get(0)).optional()?;
            let label = label.ok_or_else(|| AccountError::Missing(format!("passkey {id} of {name}")))?;
            transaction.execute("DELETE FROM passkey WHERE user = ?1 AND id = ?2", params![name, id])?;
            keeps_a_factor(transaction, name)?;
            Ok(Change { what: "passkey-removed", to: name.into(), before: Some(label), after: None })
        })
    }
}

/// Refuses a change after which a user has no second factor; counts it as one otherwise.
pub(crate) fn keeps_a_factor(connection: &rusqlite::Connection, name: &str) -> Result<(), AccountError> {
    if !user::get(connection, name)?.has_second_factor() {
        return Err(AccountError::Invalid("it is your only second factor: enrol another one first".into()));
    }
    connection.execute("UPDATE user SET version = version + 1 WHERE name = ?1", [name])?;
    Ok(())
}
