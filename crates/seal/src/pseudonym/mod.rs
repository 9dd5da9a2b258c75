//! Pseudonyms for exports: the same key and epoch give the same ones, any other have none in common.
//!
//! No table is kept. Whoever has the key can turn addresses and numbers back by calculation, and try names that he
//! guesses; whoever does not have it can do neither. What is exported remains personal data (GDPR, recital 26), for
//! a pseudonym's behaviour is still there to be recognised.

mod address;
mod cipher;
mod mac;

use std::fmt;
use std::net::IpAddr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use model::{DeviceId, MacAddr};
use sha2::Sha256;

pub use address::Keep;
pub use mac::Oui;

use crate::secret::Secret;
use crate::vault::KeyId;
use address::PrefixCipher;
use cipher::Shuffle;

/// Hexadecimal digits of a token. Of 100,000 names of one kind, two share a token with a chance of 1 in 56,000.
pub const TOKEN_DIGITS: usize = 12;

/// Sets keys of pseudonyms apart from all others that are derived.
const DOMAIN: &[u8] = b"pavise seal pseudonym";

/// What a text is, which its token tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// A host or domain name. Case and a dot at its end do not count (RFC 1034, section 3.1).
    Name,
    /// A user. Case counts.
    User,
    /// An e-mail address. Case does not count.
    Mail,
    /// A web address. Case counts.
    Url,
    /// Any other text. Case counts.
    Text,
}

impl Label {
    const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::User => "user",
            Self::Mail => "mail",
            Self::Url => "url",
            Self::Text => "text",
        }
    }

    fn normal(self, text: &str) -> String {
        match self {
            Self::Name => text.strip_suffix('.').unwrap_or(text).to_lowercase(),
            Self::Mail => text.to_lowercase(),
            Self::User | Self::Url | Self::Text => text.to_owned(),
        }
    }
}

/// What is kept of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Of network addresses.
    pub keep: Keep,
    /// Of link-layer addresses.
    pub oui: Oui,
}

/// Makes pseudonyms, and turns those of addresses back.
///
/// The same address has the same pseudonym in every export with the same key, epoch and choices.
pub struct Pseudonymiser {
    key: KeyId,
    epoch: u32,
    choices: Choices,
    v4: PrefixCipher,
    v6: PrefixCipher,
    mac: Shuffle,
    device: Shuffle,
    text: Secret,
}

impl fmt::Debug for Pseudonymiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonymiser")
            .field("key", &self.key)
            .field("epoch", &self.epoch)
            .field("choices", &self.choices)
            .finish_non_exhaustive()
    }
}

impl Pseudonymiser {
    /// With a secret for this purpose alone, which `key` names in exports; `Vault::pseudonymiser` derives one.
    /// A new `epoch` (a month, a recipient) gives other pseudonyms without a new key.
    pub fn new(secret: &Secret, key: KeyId, epoch: u32, choices: Choices) -> Self {
        let part = |name: &str| {
            let mut derived = Secret::zero();
            Hkdf::<Sha256>::new(None, secret.expose())
                .expand_multi_info(&[DOMAIN, &epoch.to_be_bytes(), name.as_bytes()], derived.expose_mut())
                .expect("32 bytes are within what HKDF gives");
            derived
        };
        Self {
            key,
            epoch,
            choices,
            v4: PrefixCipher::new(&part("v4")),
            v6: PrefixCipher::new(&part("v6")),
            mac: Shuffle::new(&part("mac")),
            device: Shuffle::new(&part("device")),
            text: part("text"),
        }
    }

    /// Which key and epoch the pseudonyms are of, to be said in the export: `k3e7`.
    pub fn name(&self) -> String {
        format!("k{}e{}", self.key, self.epoch)
    }

    /// The pseudonym of a network address, one of the same IP version. Two addresses share as many leading bits
    /// before as after.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        address::hide(&self.v4, &self.v6, self.choices.keep, address)
    }

    /// The address of which this is the pseudonym.
    pub fn reveal(&self, pseudonym: IpAddr) -> IpAddr {
        address::reveal(&self.v4, &self.v6, self.choices.keep, pseudonym)
    }

    /// The pseudonym of a link-layer address, with the same group and local bits. Addresses that are the same
    /// everywhere, such as broadcast and the groups of standards, stay as they are.
    pub fn mac(&self, mac: MacAddr) -> MacAddr {
        mac::hide(&self.mac, self.choices.oui, mac)
    }

    /// The link-layer address of which this is the pseudonym.
    pub fn reveal_mac(&self, pseudonym: MacAddr) -> MacAddr {
        mac::reveal(&self.mac, self.choices.oui, pseudonym)
    }

    /// The pseudonym of a device's id, an id as well.
    pub fn device(&self, id: DeviceId) -> DeviceId {
        DeviceId(self.device.hide(id.0 & DEVICE_MASK, DeviceId::BITS, 0))
    }

    /// The id of which this is the pseudonym.
    pub fn reveal_device(&self, pseudonym: DeviceId) -> DeviceId {
        DeviceId(self.device.reveal(pseudonym.0 & DEVICE_MASK, DeviceId::BITS, 0))
    }

    /// A token for a text, such as `name-3f9a2c07b1d4` (HMAC-SHA-256, RFC 2104, cut to [`TOKEN_DIGITS`]). It cannot
    /// be turned back. An empty text stays empty: it says nothing.
    pub fn token(&self, label: Label, text: &str) -> String {
        let normal = label.normal(text);
        if normal.is_empty() {
            return normal;
        }
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.text.expose()).expect("HMAC takes keys of any length");
        // No label's word holds a zero byte, so no two labels meet.
        mac.update(label.word().as_bytes());
        mac.update(&[0]);
        mac.update(normal.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut token = format!("{}-", label.word());
        for byte in &digest[..TOKEN_DIGITS / 2] {
            token.push_str(&format!("{byte:02x}"));
        }
        token
    }
}

/// The bits of a device's id that are used.
const DEVICE_MASK: u64 = (1 << DeviceId::BITS) - 1;
