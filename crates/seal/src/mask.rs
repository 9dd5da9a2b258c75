//! Masks: how much of personal data each role sees.
//!
//! A mask forgets; nothing that was masked can be calculated back. A partial form keeps what people need for telling
//! cases apart, and has the same length whatever it hides. What does not look like what it is said to be is hidden
//! wholly, as nothing is known of where its personal part lies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::MacAddr;
use serde::{Deserialize, Serialize};

/// What stands for what is hidden.
pub const HIDDEN: &str = "•••";
/// The most roles of a table.
pub const MAX_ROLES: usize = 64;
/// The most characters of a domain that is kept; a longer one is hidden.
pub const MAX_DOMAIN: usize = 253;

/// The most letters of a host's name that are kept.
const HOST_LETTERS: usize = 3;
/// Labels that are kept of a domain name.
const DOMAIN_LABELS: usize = 2;

/// How much is hidden, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Nothing.
    None,
    /// What names one person or device; its surroundings are left.
    Partial,
    /// All.
    Full,
}

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whom a person logs in as: `j•••`.
    UserName,
    /// What a host calls itself: `plc•••`.
    HostName,
    /// A network address: `10.10.x.x`, `2001:db8:x`.
    Address,
    /// A link-layer address: `00:1b:1b:x:x:x`, the maker.
    Mac,
    /// A web address: `https://•••.example.com/•••`.
    Url,
    /// A name that was asked for: `•••.example.com`.
    DnsName,
    /// An e-mail address: `j•••@example.com`.
    Email,
    /// A password, community, token or key: never shown, whoever asks.
    Credential,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::UserName,
        Self::HostName,
        Self::Address,
        Self::Mac,
        Self::Url,
        Self::DnsName,
        Self::Email,
        Self::Credential,
    ];
}

impl Mask {
    /// The text as this mask shows it. Credentials are hidden by every mask; an empty text stays empty.
    pub fn apply(self, kind: Kind, text: &str) -> String {
        match self {
            _ if text.is_empty() => String::new(),
            _ if kind == Kind::Credential => HIDDEN.into(),
            Self::None => text.into(),
            Self::Full => HIDDEN.into(),
            Self::Partial => partial(kind, text).unwrap_or_else(|| HIDDEN.into()),
        }
    }
}

/// The partial form, or `None` if the text does not look like its kind.
fn partial(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::UserName if text.contains('@') => email(text),
        // The domain of Windows is often a site's name.
        Kind::UserName => text.rsplit('\\').next().and_then(first_letter),
        Kind::HostName => host(text),
        Kind::Address => address(text),
        Kind::Mac => mac(text),
        Kind::Url => url(text),
        Kind::DnsName => domain(text),
        Kind::Email => email(text),
        Kind::Credential => None,
    }
}

/// The first letter, unless it is the only one.
fn first_letter(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let first = characters.next().filter(|first| first.is_alphanumeric())?;
    characters.next().map(|_| format!("{first}{HIDDEN}"))
}

/// The letters that a name starts with: they tell what a host is, what follows tells which.
fn host(name: &str) -> Option<String> {
    let letters: String = name.chars().take_while(|c| c.is_ascii_alphabetic()).take(HOST_LETTERS).collect();
    (!letters.is_empty() && letters.len() < name.len()).then(|| format!("{letters}{HIDDEN}"))
}

/// The first half of an IPv4 address, the first quarter of an IPv6 one, with the length of a prefix left out.
fn address(text: &str) -> Option<String> {
    let plain = text.split(['/', '%']).next()?;
    Some(match plain.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            format!("{a}.{b}.x.x")
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            format!("{a:x}:{b:x}:x")
        }
    })
}

/// The maker's part. A local address has none: what stands there names the device.
fn mac(text: &str) -> Option<String> {
    let mac: MacAddr = text.parse().ok()?;
    let [a, b, c, ..] = mac.0;
    Some(if mac.is_local() { "x:x:x:x:x:x".into() } else { format!("{a:02x}:{b:02x}:{c:02x}:x:x:x") })
}

/// The last two labels, or the last one of two.
fn domain(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if !is_domain(name) {
        return None;
    }
    let labels: Vec<&str> = name.split('.').collect();
    let keep = DOMAIN_LABELS.min(labels.len() - 1);
    (keep > 0).then(|| format!("{HIDDEN}.{}", labels[labels.len() - keep..].join(".")))
}

fn email(text: &str) -> Option<String> {
    let (person, domain) = text.rsplit_once('@')?;
    let person = first_letter(person).unwrap_or_else(|| HIDDEN.into());
    is_domain(domain).then(|| format!("{person}@{domain}"))
}

/// Scheme and domain. Names, passwords, ports, paths and queries are hidden.
fn url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.is_empty() || scheme.len() > 10 || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let shown = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((v6, _)) => address(v6).map(|masked| format!("[{masked}]")),
        None => {
            let name = host.split(':').next()?;
            address(name).or_else(|| domain(name))
        }
    };
    let shown = shown.unwrap_or_else(|| HIDDEN.into());
    Some(format!("{scheme}://{shown}/{HIDDEN}"))
}

/// Whether the text is a name of labels, of letters (of any script), digits, hyphens and underscores.
fn is_domain(name: &str) -> bool {
    name.chars().count() <= MAX_DOMAIN
        && name.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        })
}

/// Why a table of masks cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Somebody was to see credentials.
    #[error("credentials are to be shown to the role \"{0}\": they are never shown; take the line out")]
    Credential(String),
    /// There are too many roles.
    #[error("the table of masks has {0} roles: there may be at most {max}", max = MAX_ROLES)]
    TooManyRoles(usize),
}

/// What settings change: role, kind, mask. What is not named stays as it is.
pub type MaskSettings = BTreeMap<String, BTreeMap<Kind, Mask>>;

/// Which role sees how much of what. Roles that it does not have see nothing.
///
/// The default holds to what each role needs for its work (GDPR, article 5 (1) (c)):
///
/// | role | user names, e-mail | web addresses, names asked for | host names, addresses |
/// |---|---|---|---|
/// | analyst | all | all | all |
/// | operator, engineer, administrator | partial | partial | all |
/// | viewer, auditor | partial | partial | partial |
/// | gateway | none | none | all |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masks(MaskSettings);

impl Default for Masks {
    fn default() -> Self {
        use Mask::{Full, None, Partial};
        let rows = [
            ("viewer", [Partial, Partial, Partial]),
            ("auditor", [Partial, Partial, Partial]),
            ("operator", [Partial, Partial, None]),
            ("engineer", [Partial, Partial, None]),
            ("administrator", [Partial, Partial, None]),
            ("analyst", [None, None, None]),
            ("gateway", [Full, Full, None]),
        ];
        let row = |[person, asked, device]: [Mask; 3]| {
            let mask = |kind| match kind {
                Kind::UserName | Kind::Email => person,
                Kind::Url | Kind::DnsName => asked,
                Kind::HostName | Kind::Address | Kind::Mac => device,
                Kind::Credential => Full,
            };
            Kind::ALL.map(|kind| (kind, mask(kind))).into()
        };
        Self(rows.into_iter().map(|(role, masks)| (role.to_owned(), row(masks))).collect())
    }
}

impl Masks {
    /// The default, changed by settings.
    ///
    /// # Errors
    /// If they would show credentials, or name too many roles.
    pub fn new(settings: &MaskSettings) -> Result<Self, MaskError> {
        let mut masks = Self::default();
        for (role, changes) in settings {
            if changes.get(&Kind::Credential).is_some_and(|mask| *mask != Mask::Full) {
                return Err(MaskError::Credential(role.clone()));
            }
            masks.0.entry(role.clone()).or_default().extend(changes);
        }
        match masks.0.len() {
            0..=MAX_ROLES => Ok(masks),
            many => Err(MaskError::TooManyRoles(many)),
        }
    }

    /// What one role sees of a kind.
    pub fn mask(&self, role: &str, kind: Kind) -> Mask {
        self.0.get(role).and_then(|row| row.get(&kind)).copied().unwrap_or(Mask::Full)
    }

    /// What somebody with several roles sees: the most that one of them does. Without a role that is nothing.
    pub fn mask_for<R: AsRef<str>>(&self, roles: &[R], kind: Kind) -> Mask {
        roles.iter().map(|role| self.mask(role.as_ref(), kind)).min().unwrap_or(Mask::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partial_forms_can_be_read_and_name_nobody() {
        for (kind, text, shown) in [
            (Kind::UserName, "jdoe", "j•••"),
            (Kind::UserName, "PLANT7\\jdoe", "j•••"),
            (Kind::UserName, "j.doe@example.com", "j•••@example.com"),
            (Kind::UserName, "j", "•••"),
            (Kind::UserName, "\u{202e}eod", "•••"),
            (Kind::HostName, "plc-hall3.example.com", "plc•••"),
            (Kind::HostName, "x1", "x•••"),
            (Kind::HostName, "plc", "•••"),
            (Kind::HostName, "17-press", "•••"),
            (Kind::Address, "10.10.3.7", "10.10.x.x"),
            (Kind::Address, "10.10.3.7/24", "10.10.x.x"),
            (Kind::Address, "::ffff:10.10.3.7", "10.10.x.x"),
            (Kind::Address, "2001:db8:1:2::3", "2001:db8:x"),
            (Kind::Address, "fe80::1%eth0", "fe80:0:x"),
            (Kind::Address, "10.10.3.7 jdoe", "•••"),
            (Kind::Mac, "00:1B:1b:4f:00:01", "00:1b:1b:x:x:x"),
            (Kind::Mac, "02:1b:1b:4f:00:01", "x:x:x:x:x:x"),
            (Kind::Mac, "00:1b", "•••"),
            (
                Kind::Url,
                "https://jdoe:pw@a.shop.example.com:8443/cart?user=jdoe",
                "https://•••.example.com/•••",
            ),
            (Kind::Url, "http://10.10.3.7/admin", "http://10.10.x.x/•••"),
            (Kind::Url, "http://[2001:db8::3]:80/", "http://[2001:db8:x]/•••"),
            (Kind::Url, "http://plc7/", "http://•••/•••"),
            (Kind::Url, "jdoe", "•••"),
            (Kind::DnsName, "jdoes-phone.lan.example.com.", "•••.example.com"),
            (Kind::DnsName, "example.com", "•••.com"),
            (Kind::DnsName, "jdoes-phone", "•••"),
            (Kind::DnsName, "a..b", "•••"),
            (Kind::Email, "j.doe@example.com", "j•••@example.com"),
            (Kind::Email, "j@example.com", "•••@example.com"),
            (Kind::Email, "j.doe@example.com>", "•••"),
            (Kind::Credential, "hunter2", "•••"),
        ] {
            assert_eq!(Mask::Partial.apply(kind, text), shown, "{kind:?} {text}");
        }
    }

    #[test]
    fn credentials_are_shown_to_nobody() {
        for mask in [Mask::None, Mask::Partial, Mask::Full] {
            assert_eq!(mask.apply(Kind::Credential, "hunter2"), HIDDEN);
        }
        let settings: MaskSettings = serde_json::from_str(r#"{"analyst":{"credential":"none"}}"#).unwrap();
        assert_eq!(Masks::new(&settings), Err(MaskError::Credential("analyst".into())));
    }

    #[test]
    fn settings_change_what_they_name_and_unknown_roles_see_nothing() {
        let text = r#"{"viewer":{"address":"none"},"works council":{"user_name":"full","mac":"partial"}}"#;
        let masks = Masks::new(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(masks.mask("viewer", Kind::Address), Mask::None);
        assert_eq!(masks.mask("viewer", Kind::Mac), Mask::Partial);
        assert_eq!(masks.mask("works council", Kind::Mac), Mask::Partial);
        assert_eq!(masks.mask("works council", Kind::Email), Mask::Full, "not named");
        assert_eq!(masks.mask("nobody", Kind::HostName), Mask::Full);
        assert_eq!(masks.mask_for(&["auditor", "operator"], Kind::Address), Mask::None);
        assert_eq!(masks.mask_for::<&str>(&[], Kind::Address), Mask::Full);
        assert!(serde_json::from_str::<MaskSettings>(r#"{"viewer":{"shoe size":"none"}}"#).is_err());
        let many = (0..MAX_ROLES).map(|n| (n.to_string(), BTreeMap::new())).collect();
        assert!(matches!(Masks::new(&many), Err(MaskError::TooManyRoles(_))));
    }

    proptest! {
        #[test]
        fn what_is_hidden_leaves_no_trace(hidden in "[a-z0-9._-]{1,40}", other in "[a-z0-9._-]{1,40}") {
            let show = |kind, text: String| Mask::Partial.apply(kind, &text);
            for (kind, before, after) in [
                (Kind::UserName, "j", ""),
                (Kind::Email, "j", "@example.com"),
                (Kind::HostName, "plc", ""),
                (Kind::Url, "https://www.example.com/", ""),
                (Kind::Url, "https://a", "@www.example.com/"),
                (Kind::DnsName, "a", "a.example.com"),
            ] {
                if kind == Kind::DnsName && (hidden.contains("..") || other.contains("..")) {
                    continue;
                }
                prop_assert_eq!(
                    show(kind, format!("{before}{hidden}{after}")), show(kind, format!("{before}{other}{after}"))
                );
            }
        }

        #[test]
        fn any_text_is_masked_by_every_mask(text in any::<String>()) {
            for kind in Kind::ALL {
                let shown = Mask::Partial.apply(kind, &text);
                prop_assert!(text.is_empty() || shown.contains('•') || shown.contains('x'), "{kind:?} {shown}");
                prop_assert_eq!(Mask::Full.apply(kind, &text).is_empty(), text.is_empty());
            }
        }
    }
}
