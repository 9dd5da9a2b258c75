//! Recovery codes: for whoever has lost his second factor.

use rusqlite::params;

use crate::secret::{Digested, digest, random};
use crate::{AccountError, Accounts, Change, Secret};

/// So many codes are made at a time.
pub const CODES: usize = 10;
/// Letters and digits that are not taken for others when read from paper.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a code: five bits each, so 80 bits.
const LENGTH: usize = 16;

/// A code without what people write between its characters.
pub(crate) fn kept(shown: &str) -> Digested {
    let plain: String =
        shown.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    digest(plain.as_bytes())
}

fn code() -> Result<String, AccountError> {
    let mut bytes = [0; LENGTH];
    random(&mut bytes)?;
    let mut code = String::with_capacity(LENGTH + 3);
    for (place, byte) in bytes.into_iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(code)
}

impl Accounts {
    /// New codes in place of those before; they are shown this once.
    ///
    /// # Errors
    ///
    /// If the accounts cannot be written.
    pub fn recovery_codes(&self, user: &str) -> Result<(Vec<Secret>, Change), AccountError> {
        let codes = (0..CODES).map(|_| code()).collect::<Result<Vec<_>, _>>()?;
        self.write(|transaction| {
            crate::user::get(transaction, user)?;
            transaction.execute("DELETE FROM recovery WHERE user = ?1", [user])?;
            for code in &codes {
                transaction.execute(
                    "INSERT INTO recovery (user, digest) VALUES (?1, ?2)",
                    params![user, kept(code)],
                )?;
            }
            Ok(())
        })?;
        let change = Change { what: "recovery-codes-made", to: user.into(), before: None, after: None };
        Ok((codes.iter().map(|code| Secret::shown(code)).collect(), change))
    }

    /// Uses a code up, if it is one of this user's.
    pub(crate) fn use_recovery_code(&self, user: &str, shown: &str) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let used = transaction.execute(
                "DELETE FROM recovery WHERE user = ?1 AND digest = ?2",
                params![user, kept(shown)],
            )?;
            Ok(used == 1)
        })
    }
}
