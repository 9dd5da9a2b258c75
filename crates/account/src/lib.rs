//! Who people and programs are: users with passwords and second factors, their sessions, and the tokens of programs.
//!
//! There is no default password and no default user: while nobody is there, [`Accounts::setup_link`] gives a secret with which
//! the first administrator is made. Everybody after that is invited, and chooses his own password. Whoever has no second
//! factor gets a session in which he can only enrol one.
//!
//! What must only be compared (session secrets, tokens, links, recovery codes) is kept as its SHA-256; what must be read back
//! (keys of one-time passwords) is sealed by whoever opens the accounts ([`Seal`]). Time is an argument. Every secret is random
//! and compared in constant time, or found by its digest.
//!
//! Everything is in an SQLite database of its own, of which each change is one transaction.

mod ceremony;
mod login;
mod passkey;
mod password;
mod recovery;
mod secret;
mod session;
mod store;
mod throttle;
mod token;
mod totp;
mod user;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use ceremony::{CEREMONIES_MAX, CEREMONY_LIFE};
pub use login::{Begun, From};
pub use passkey::Passkeys;
pub use password::{Hardness, LENGTH_MAX, LENGTH_MIN};
pub use recovery::CODES;
pub use secret::{Secret, is_same};
pub use session::{ABSOLUTE_LIFE, IDLE_LIFE, Opened, Session};
pub use store::{Accounts, Seal, SealError, Unsealed};
pub use throttle::{DELAY_MAX, FREE_FAILURES, WATCHED_MAX};
pub use token::{PREFIX, TOKEN_LIFE_MAX, Token};
pub use user::{Grant, LINK_LIFE, NAME_MAX, User};

/// Why something could not be done. What is said to somebody who signs in is the same whether the user, the password or the
/// second factor was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name, the password or the second factor is wrong, or the user may not sign in.
    #[error("that did not match: check name, password and code, and try again")]
    Wrong,
    /// Too many failures.
    #[error("too many failures: try again in {0} s")]
    Throttled(u64),
    /// A link or a sign-on was used before, or its time is over.
    #[error("this link or sign-on is not valid any more: begin anew")]
    Stale,
    /// There is no such user, session, token or passkey.
    #[error("there is no {0}")]
    Missing(String),
    /// Somebody else has changed it meanwhile.
    #[error("{0} has changed meanwhile: look at it again and repeat your change")]
    Changed(String),
    /// A password that is soon guessed.
    #[error("this password is soon guessed: {0}")]
    WeakPassword(String),
    /// Something else that was given cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It would lock everybody out.
    #[error("{0} is the last administrator who can sign in: make another one first")]
    LastAdministrator(String),
    /// A limit was reached.
    #[error("there are {0} already, which is as many as there may be: remove some first")]
    TooMany(usize),
    /// The random source failed.
    #[error("the system's random source failed: {0}")]
    Random(String),
    /// Hashing failed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    /// What is sealed cannot be opened.
    #[error("what is kept of {0} cannot be opened: see that the key is the one with which it was sealed")]
    Sealed(String),
    /// The database reports an error.
    #[error("the accounts cannot be used: {0}")]
    Database(String),
}

/// What was changed, for an audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What was done: `user-created`, `password-changed`.
    pub what: &'static str,
    /// To which user, session or token.
    pub to: String,
    /// How it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
