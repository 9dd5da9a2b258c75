//! What is under way: sign-ons between password and second factor, and passkeys between challenge and answer. It is held in memory
//! and never leaves the server.

use std::collections::HashMap;
use std::time::Duration;

use model::Timestamp;

use crate::secret::Digested;
use crate::{AccountError, Secret};

/// How long somebody has for the next step.
pub const CEREMONY_LIFE: Duration = Duration::from_secs(5 * 60);
/// So many are under way at a time; the oldest go first.
pub const CEREMONIES_MAX: usize = 4_096;

/// What is under way, by the digest of the secret that its holder has.
#[derive(Default)]
pub(crate) struct Ceremonies {
    all: HashMap<Digested, (Timestamp, Ceremony)>,
}

/// One of them.
pub(crate) enum Ceremony {
    /// The password was right; a second factor is to follow. How often a wrong one was shown.
    Pending { user: String, wrong: u32 },
    /// A one-time password is to be confirmed.
    Totp { user: String, key: zeroize::Zeroizing<Vec<u8>> },
    /// A passkey is to be registered.
    Register { user: String, state: Box<webauthn_rs::prelude::PasskeyRegistration> },
    /// A passkey is to be shown.
    Show { user: String, state: Box<webauthn_rs::prelude::PasskeyAuthentication> },
}

impl Ceremonies {
    /// Begins one; its holder is to show the secret.
    pub(crate) fn begin(&mut self, ceremony: Ceremony, now: Timestamp) -> Result<Secret, AccountError> {
        self.all.retain(|_, (begun, _)| now.since(*begun) < CEREMONY_LIFE);
        if self.all.len() >= CEREMONIES_MAX {
            let oldest = self.all.iter().min_by_key(|(_, (begun, _))| *begun).map(|(digest, _)| *digest);
            oldest.map(|digest| self.all.remove(&digest));
        }
        let secret = Secret::new()?;
        self.all.insert(secret.digest(), (now, ceremony));
        Ok(secret)
    }

    /// Ends one: it is not to be used again.
    pub(crate) fn end(&mut self, secret: &Secret, now: Timestamp) -> Result<Ceremony, AccountError> {
        let (begun, ceremony) = self.all.remove(&secret.digest()).ok_or(AccountError::Stale)?;
        if now.since(begun) < CEREMONY_LIFE { Ok(ceremony) } else { Err(AccountError::Stale) }
    }

    /// Goes on with one that was taken out, under the same secret, for as long as it had left.
    pub(crate) fn go_on(&mut self, secret: &Secret, ceremony: Ceremony, begun: Timestamp) {
        self.all.insert(secret.digest(), (begun, ceremony));
    }

    /// When one was begun.
    pub(crate) fn begun(&self, secret: &Secret) -> Option<Timestamp> {
        self.all.get(&secret.digest()).map(|(begun, _)| *begun)
    }
}
