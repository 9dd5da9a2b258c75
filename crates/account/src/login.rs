//! Signing in: the password first, then a second factor.

use std::net::IpAddr;

use model::Timestamp;
use rusqlite::{OptionalExtension, params};
use webauthn_rs::prelude::{PublicKeyCredential, RequestChallengeResponse};
use zeroize::Zeroizing;

use crate::ceremony::Ceremony;
use crate::passkey::keeps_a_factor;
use crate::password::Hashed;
use crate::store::{lock, moment, nanos};
use crate::throttle::{DELAY_OF_USER_MAX, FORGOTTEN_AFTER, FREE_FAILURES_OF_USER, network, wait};
use crate::{AccountError, Accounts, Change, Opened, Secret, Session, totp, user};

/// A second factor may be shown wrongly so many times before the password is asked again.
const WRONG_MAX: u32 = 3;

/// From where somebody signs in.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// The address.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub agent: &'a str,
}

/// The password was right.
#[derive(Clone, Debug)]
pub enum Begun {
    /// A second factor is to follow.
    Pending {
        /// To be shown with it.
        secret: Secret,
        /// Whether a one-time password serves.
        totp: bool,
        /// Whether a passkey serves.
        passkey: bool,
        /// Whether a recovery code serves.
        recovery: bool,
    },
    /// There is none yet: a session in which one can be enrolled.
    Enrol(Box<Opened>),
}

impl Accounts {
    /// Takes a name and a password. Whether there is such a user shows neither in the answer nor in its time.
    ///
    /// # Errors
    ///
    /// [`AccountError::Wrong`], [`AccountError::Throttled`], or if the accounts cannot be used.
    pub fn begin(
        &self,
        name: &str,
        password: &str,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Begun, AccountError> {
        let name = user::normal(name).map_err(|_| AccountError::Wrong)?;
        self.may_try(&name, from, now)?;
        let (kept, known) = self.read(|connection| {
            Ok((user::kept_password(connection, &name)?, user::find(connection, &name)?))
        })?;
        let of_nobody = Hashed::of_nobody(self.hardness);
        let is_right = self.matches(kept.as_ref().unwrap_or(&of_nobody), password)?;
        let (Some(kept), Some(known), true) = (kept, known.filter(|known| !known.disabled), is_right) else {
            self.failed(&name, from, now)?;
            return Err(AccountError::Wrong);
        };
        if !kept.is_current(self.hardness) {
            let hashed = self.kept(password)?;
            self.write(|transaction| {
                transaction
                    .execute("UPDATE user SET password = ?2 WHERE name = ?1", params![name, hashed])?;
                Ok(())
            })?;
        }
        if !known.has_second_factor() {
            self.succeeded(&name, from)?;
            return Ok(Begun::Enrol(Box::new(self.open_session(&name, false, from, now)?)));
        }
        let secret = lock(&self.ceremonies).begin(Ceremony::Pending { user: name, wrong: 0 }, now)?;
        let (totp, passkey, recovery) = (known.has_totp, known.passkeys > 0, known.recovery_codes > 0);
        Ok(Begun::Pending { secret, totp, passkey, recovery })
    }

    /// Takes a one-time password after the password.
    ///
    /// # Errors
    ///
    /// As [`Accounts::begin`]; [`AccountError::Stale`] if that is too long ago or failed too often.
    pub fn finish_totp(
        &self,
        pending: &Secret,
        code: &str,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        self.finish(pending, from, now, |name| self.use_totp(name, code, now))
    }

    /// Takes a recovery code after the password; it is used up.
    ///
    /// # Errors
    ///
    /// As [`Accounts::finish_totp`].
    pub fn finish_recovery(
        &self,
        pending: &Secret,
        code: &str,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        self.finish(pending, from, now, |name| self.use_recovery_code(name, code))
    }

    /// What the browser needs to show a passkey after the password, and the secret with which to finish.
    ///
    /// # Errors
    ///
    /// If the password was given too long ago, or there is no passkey.
    pub fn challenge_for(
        &self,
        pending: &Secret,
        now: Timestamp,
    ) -> Result<(RequestChallengeResponse, Secret), AccountError> {
        let name = {
            let mut ceremonies = lock(&self.ceremonies);
            let begun = ceremonies.begun(pending).ok_or(AccountError::Stale)?;
            let Ceremony::Pending { user, wrong } = ceremonies.end(pending, now)? else {
                return Err(AccountError::Stale);
            };
            ceremonies.go_on(pending, Ceremony::Pending { user: user.clone(), wrong }, begun);
            user
        };
        self.challenge(&name, now)
    }

    /// Takes a passkey after the password.
    ///
    /// # Errors
    ///
    /// As [`Accounts::finish_totp`].
    pub fn finish_challenge(
        &self,
        pending: &Secret,
        challenge: &Secret,
        shown: &PublicKeyCredential,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        self.finish(pending, from, now, |name| {
            Ok(self.shown_passkey(challenge, shown, now)?.is_some_and(|owner| owner == name))
        })
    }

    fn finish(
        &self,
        pending: &Secret,
        from: &From<'_>,
        now: Timestamp,
        is_right: impl FnOnce(&str) -> Result<bool, AccountError>,
    ) -> Result<Opened, AccountError> {
        // Taken out while it is looked at: two at once are not two tries for one.
        let (name, wrong, begun) = {
            let mut ceremonies = lock(&self.ceremonies);
            let begun = ceremonies.begun(pending).ok_or(AccountError::Stale)?;
            let Ceremony::Pending { user, wrong } = ceremonies.end(pending, now)? else {
                return Err(AccountError::Stale);
            };
            (user, wrong, begun)
        };
        let goes_on = |wrong| {
            if wrong < WRONG_MAX {
                lock(&self.ceremonies).go_on(pending, Ceremony::Pending { user: name.clone(), wrong }, begun);
            }
        };
        if let Err(error) = self.may_try(&name, from, now) {
            goes_on(wrong);
            return Err(error);
        }
        match is_right(&name) {
            Ok(true) => {}
            Ok(false) | Err(AccountError::Stale) => {
                self.failed(&name, from, now)?;
                goes_on(wrong + 1);
                return Err(AccountError::Wrong);
            }
            Err(error) => return Err(error),
        }
        // He may have been disabled meanwhile.
        if self.user(&name)?.disabled {
            return Err(AccountError::Wrong);
        }
        self.succeeded(&name, from)?;
        self.open_session(&name, true, from, now)
    }

    /// Shows a one-time password anew in a session: it gets another secret.
    ///
    /// # Errors
    ///
    /// [`AccountError::Wrong`], [`AccountError::Throttled`], or if the accounts cannot be used.
    pub fn step_up_totp(
        &self,
        session: &Session,
        code: &str,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        self.may_try(&session.user, from, now)?;
        if !self.use_totp(&session.user, code, now)? {
            self.failed(&session.user, from, now)?;
            return Err(AccountError::Wrong);
        }
        self.succeeded(&session.user, from)?;
        self.renew(&session.id, now)
    }

    /// What the browser needs to show a passkey anew in a session, and the secret with which to finish.
    ///
    /// # Errors
    ///
    /// If there is no passkey.
    pub fn challenge_in(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Result<(RequestChallengeResponse, Secret), AccountError> {
        self.challenge(&session.user, now)
    }

    /// Shows a passkey anew in a session: it gets another secret.
    ///
    /// # Errors
    ///
    /// As [`Accounts::step_up_totp`].
    pub fn step_up_passkey(
        &self,
        session: &Session,
        challenge: &Secret,
        shown: &PublicKeyCredential,
        from: &From<'_>,
        now: Timestamp,
    ) -> Result<Opened, AccountError> {
        self.may_try(&session.user, from, now)?;
        if self.shown_passkey(challenge, shown, now)?.is_none_or(|owner| owner != session.user) {
            self.failed(&session.user, from, now)?;
            return Err(AccountError::Wrong);
        }
        self.renew(&session.id, now)
    }

    /// After the first second factor was enrolled in a session: it may do everything, under another secret.
    ///
    /// # Errors
    ///
    /// If there is none yet.
    pub fn enrolled(&self, session: &Session, now: Timestamp) -> Result<Opened, AccountError> {
        if !self.user(&session.user)?.has_second_factor() {
            return Err(AccountError::Missing(format!("second factor of {}", session.user)));
        }
        self.renew(&session.id, now)
    }

    /// Begins to enrol one-time passwords: the address for the authenticator application, and the secret with which to finish.
    ///
    /// # Errors
    ///
    /// If there is no such user.
    pub fn begin_totp(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(Zeroizing<String>, Secret), AccountError> {
        self.user(name)?;
        let key = totp::key()?;
        let uri = totp::uri(&key, &self.issuer, name);
        let secret = lock(&self.ceremonies).begin(Ceremony::Totp { user: name.into(), key }, now)?;
        Ok((uri, secret))
    }

    /// Enrols one-time passwords, of whoever shows a code; those before do not serve any more.
    ///
    /// # Errors
    ///
    /// If the code is wrong: then it can be tried again.
    pub fn confirm_totp(
        &self,
        name: &str,
        secret: &Secret,
        code: &str,
        now: Timestamp,
    ) -> Result<Change, AccountError> {
        let (key, begun) = {
            let mut ceremonies = lock(&self.ceremonies);
            let begun = ceremonies.begun(secret).ok_or(AccountError::Stale)?;
            match ceremonies.end(secret, now)? {
                Ceremony::Totp { user, key } if user == name => (key, begun),
                _ => return Err(AccountError::Stale),
            }
        };
        let Some(step) = totp::step(&key, code, now, None) else {
            lock(&self.ceremonies).go_on(secret, Ceremony::Totp { user: name.into(), key }, begun);
            return Err(AccountError::Wrong);
        };
        let sealed = self.seal.seal(&context(name), &key).map_err(|_| AccountError::Sealed(name.into()))?;
        self.write(|transaction| {
            transaction.execute(
                "UPDATE user SET totp = ?2, totp_step = ?3, version = version + 1 WHERE name = ?1",
                params![name, sealed, i64::try_from(step).unwrap_or(i64::MAX)],
            )?;
            Ok(())
        })?;
        Ok(Change { what: "totp-enrolled", to: name.into(), before: None, after: None })
    }

    /// Removes the one-time passwords of a user.
    ///
    /// # Errors
    ///
    /// If they are his only second factor.
    pub fn remove_totp(&self, name: &str) -> Result<Change, AccountError> {
        self.write(|transaction| {
            transaction.execute("UPDATE user SET totp = NULL, totp_step = NULL WHERE name = ?1", [name])?;
            keeps_a_factor(transaction, name)?;
            Ok(Change { what: "totp-removed", to: name.into(), before: None, after: None })
        })
    }

    /// Whether a code is a one-time password of this user that was not used before; it is used now.
    fn use_totp(&self, name: &str, code: &str, now: Timestamp) -> Result<bool, AccountError> {
        let kept: Option<(Option<Vec<u8>>, Option<i64>)> = self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT totp, totp_step FROM user WHERE name = ?1")?;
            Ok(find.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })?;
        let Some((Some(sealed), used)) = kept else { return Ok(false) };
        let key = self.seal.open(&context(name), &sealed).map_err(|_| AccountError::Sealed(name.into()))?;
        let used = used.and_then(|used| u64::try_from(used).ok());
        let Some(step) = totp::step(&key, code, now, used) else { return Ok(false) };
        // In one statement, so that of two at once only one uses it.
        self.write(|transaction| {
            let used = transaction.execute(
                "UPDATE user SET totp_step = ?2 WHERE name = ?1 AND (totp_step IS NULL OR totp_step < ?2)",
                params![name, i64::try_from(step).unwrap_or(i64::MAX)],
            )?;
            Ok(used == 1)
        })
    }

    /// Refuses who has failed too often.
    pub(crate) fn may_try(&self, name: &str, from: &From<'_>, now: Timestamp) -> Result<(), AccountError> {
        let here = lock(&self.throttle).wait(name, &network(from.address), now);
        let failures: Option<(u32, i64)> = self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT failures, failed FROM user WHERE name = ?1")?;
            Ok(find.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })?;
        let of_user = failures.and_then(|(failures, last)| {
            wait(failures, FREE_FAILURES_OF_USER, DELAY_OF_USER_MAX, moment(last), now)
        });
        here.max(of_user).map_or(Ok(()), |seconds| Err(AccountError::Throttled(seconds)))
    }

    pub(crate) fn failed(&self, name: &str, from: &From<'_>, now: Timestamp) -> Result<(), AccountError> {
        lock(&self.throttle).failed(name, &network(from.address), now);
        let forgotten =
            nanos(now).saturating_sub(i64::try_from(FORGOTTEN_AFTER.as_nanos()).unwrap_or(i64::MAX));
        self.write(|transaction| {
            transaction.execute(
                "UPDATE user SET failures = CASE WHEN failed < ?3 THEN 1 ELSE failures + 1 END, failed = ?2 WHERE name = ?1",
                params![name, nanos(now), forgotten],
            )?;
            Ok(())
        })
    }

    fn succeeded(&self, name: &str, from: &From<'_>) -> Result<(), AccountError> {
        lock(&self.throttle).succeeded(name, &network(from.address));
        self.write(|transaction| {
            transaction.execute("UPDATE user SET failures = 0 WHERE name = ?1 AND failures > 0", [name])?;
            Ok(())
        })
    }
}

/// For what the key of one-time passwords is sealed.
fn context(name: &str) -> Vec<u8> {
    format!("account/totp/{name}").into_bytes()
}
