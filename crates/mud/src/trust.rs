//! Whether a description may be used, and until when.
//!
//! A device says by itself where its description is. What it says over DHCP or LLDP anybody can say; a certificate that
//! its maker gave it proves it. So the same file may be used to forbid whoever says so, but gives access only where
//! it is proven (RFC 8520, sections 15 and 16).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use model::Timestamp;

use crate::compare::{Change, changes};
use crate::file::{MudFile, authority};
use crate::read::moment;
use crate::signature::{SignatureError, Signer};

/// Longest MUD URL, in bytes: a DHCP option has no room for more (RFC 8520, section 10).
pub const MAX_URL: usize = 255;
/// Most redirections that are followed for one file.
pub const MAX_REDIRECTS: usize = 5;
/// How long a file may be used that does not say, in hours (RFC 8520, section 7: the default of cache-validity).
pub const DEFAULT_VALIDITY_HOURS: u8 = 48;

/// How a MUD URL came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// From a device's certificate (section 11) that leads to a trusted one and whose key the device has shown to have.
    ProvenCertificate,
    /// From a device's certificate of which that is not known.
    Certificate,
    /// From the administrator.
    Administrator,
    /// From LLDP (section 12).
    Lldp,
    /// From DHCP (section 10).
    Dhcp,
}

impl Origin {
    /// Whether the device could not have lied.
    pub const fn is_proven(self) -> bool {
        matches!(self, Self::ProvenCertificate | Self::Administrator)
    }
}

/// Why a MUD URL is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Too long.
    #[error("the MUD URL has more than {MAX_URL} bytes")]
    TooLong,
    /// Not `https`, or no host.
    #[error("a MUD URL must be https, with a host and without a user (RFC 8520, section 6)")]
    NotHttps,
    /// Characters that no URL has, or a fragment, which is never sent.
    #[error("the MUD URL has characters that no URL has, or a fragment")]
    Characters,
    /// An address or a name of this network: a device could make its manager ask where it cannot reach itself.
    #[error("the MUD URL names an address or a host of this network; a maker's has a domain name")]
    Local,
}

/// Whether a MUD URL may be asked.
///
/// # Errors
///
/// If not.
pub fn check_url(url: &str) -> Result<(), UrlFault> {
    if url.len() > MAX_URL {
        return Err(UrlFault::TooLong);
    }
    let authority = authority(url).ok_or(UrlFault::NotHttps)?;
    if url.bytes().any(|byte| !byte.is_ascii_graphic() || b"\"<>\\^`{|}#".contains(&byte)) {
        return Err(UrlFault::Characters);
    }
    let host = authority.split(':').next().unwrap_or_default().trim_end_matches('.');
    // Hosts of which the last label is a number are addresses in one of their forms (WHATWG URL, section 3.5).
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_local = ["localhost", "local", "internal", "lan", "home", "arpa"].contains(&last);
    if authority.starts_with('[')
        || host.parse::<IpAddr>().is_ok()
        || is_number
        || is_local
        || !host.contains('.')
    {
        return Err(UrlFault::Local);
    }
    Ok(())
}

/// What came of asking for a file.
#[derive(Clone, Copy, Debug)]
pub enum Fetched<'a> {
    /// A file that could be read.
    File {
        /// What it says.
        file: &'a MudFile,
        /// Where it was redirected to, in order.
        redirects: &'a [String],
        /// What came of checking its signature; `None` if it has none.
        signature: Option<&'a Result<Signer, SignatureError>>,
    },
    /// A file that could not be read.
    Unreadable,
    /// No answer, or not the file.
    Unreachable,
}

/// A description that is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached {
    /// The MUD URL that was asked.
    pub url: String,
    /// What it says.
    pub file: MudFile,
    /// Who signed it, if somebody did.
    pub signer: Option<Signer>,
    /// When it came.
    pub fetched: Timestamp,
}

/// Whether a description that is in use is to be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Not before that time.
    Fresh(Timestamp),
    /// It is. Until a newer one is there it stays in use: without it all would be allowed, or nothing.
    Stale,
}

impl Cached {
    /// Whether it is to be asked for again (RFC 8520, section 3.5). A time before it came tells that the clock was
    /// wrong.
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        let hours = self.file.cache_validity.unwrap_or(DEFAULT_VALIDITY_HOURS).clamp(1, 168);
        let until = self.fetched + Duration::from_secs(3_600 * u64::from(hours));
        if now >= self.fetched && now < until { Freshness::Fresh(until) } else { Freshness::Stale }
    }
}

/// How far a description is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It is not used. What is in use stays.
    Refused,
    /// It may forbid, and allow what other devices do not have to agree to; by it the device is in no group of its
    /// maker's or of its model's devices (RFC 8520, section 16).
    Limited,
    /// It may be used for all.
    Trusted,
}

/// Why a description is trusted no further, or what to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The URL may not be asked.
    Url(UrlFault),
    /// The device said another maker's URL before (section 16).
    AuthorityChanged,
    /// There is no file.
    Unreachable,
    /// It cannot be read.
    Unreadable,
    /// It was redirected to where a MUD URL may not lead, or too often.
    BadRedirect(String),
    /// It was redirected to another authority.
    Redirected(String),
    /// It says that it belongs to a URL of another authority.
    OtherAuthority(String),
    /// It says that it belongs to another URL.
    OtherUrl(String),
    /// Its signature is not in order (section 13.2).
    Signature(SignatureError),
    /// It has no signature though the device's certificate tells whose it must be (section 13.2).
    SignerWanted,
    /// It has no signature.
    Unsigned,
    /// It had a signature before.
    SignatureGone,
    /// Another one signed it before.
    SignerChanged,
    /// It is older than the one in use.
    Older,
    /// It is another one although it says to be of the same time.
    SameTime,
    /// It allows more than the one in use (section 16).
    Grows(Change),
    /// It allows less than the one in use: what the device did may be cut.
    Shrinks(Change),
    /// How its URL came to be known proves nothing (section 16).
    Unproven(Origin),
    /// The maker does not look after the device any more (section 3.6).
    Unsupported,
}

impl Reason {
    /// How far a description may still be trusted, and whether an administrator's approval lifts that.
    const fn weight(&self) -> (Trust, bool) {
        match self {
            Self::Url(_) | Self::Unreachable | Self::Unreadable | Self::BadRedirect(_) => {
                (Trust::Refused, false)
            }
            Self::Signature(_)
            | Self::SignerWanted
            | Self::SignatureGone
            | Self::SignerChanged
            | Self::AuthorityChanged
            | Self::Redirected(_)
            | Self::OtherAuthority(_)
            | Self::OtherUrl(_)
            | Self::Older
            | Self::SameTime
            | Self::Grows(_) => (Trust::Refused, true),
            Self::Unsigned | Self::Unproven(_) => (Trust::Limited, true),
            Self::Shrinks(_) | Self::Unsupported => (Trust::Trusted, false),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(fault) => fault.fmt(f),
            Self::AuthorityChanged => {
                f.write_str("the device named another maker's URL before: see whether it was replaced (section 16)")
            }
            Self::Unreachable => f.write_str("the file could not be fetched: it is tried again"),
            Self::Unreadable => f.write_str("the file is not a valid description: tell its maker"),
            Self::BadRedirect(url) => write!(f, "the file was redirected to {url:?}, which may not be asked"),
            Self::Redirected(url) => write!(f, "the file was redirected to {url:?}, of another authority: approve it"),
            Self::OtherAuthority(url) => write!(f, "the file belongs to {url:?}, of another authority: approve it"),
            Self::OtherUrl(url) => write!(f, "the file belongs to another URL, {url:?}: approve it"),
            Self::Signature(error) => write!(f, "{error} (section 13.2)"),
            Self::SignerWanted => f.write_str(
                "the file has no signature though the device's certificate tells whose it must be (section 13.2)",
            ),
            Self::Unsigned => f.write_str("the file has no signature (section 13)"),
            Self::SignatureGone => f.write_str("the file had a signature before and has none now: approve it"),
            Self::SignerChanged => f.write_str("another one signed the file before: approve it (section 16)"),
            Self::Older => f.write_str("the file is older than the one in use"),
            Self::SameTime => f.write_str("the file says to be of the same time as the one in use, and is another"),
            Self::Grows(change) => {
                write!(f, "{} rules allow more than before: approve them (section 16)", change.grows.len())
            }
            Self::Shrinks(change) => write!(f, "{} rules of before allow less now", change.shrinks.len()),
            Self::Unproven(Origin::Dhcp) => f.write_str("the URL comes from DHCP, where any device can say it"),
            Self::Unproven(Origin::Lldp) => f.write_str("the URL comes from LLDP, where any device can say it"),
            Self::Unproven(_) => f.write_str("the URL comes from a certificate that is not proven to be the device's"),
            Self::Unsupported => f.write_str("the maker does not look after the device any more (section 3.6)"),
        }
    }
}

/// How far a description may be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How far.
    pub trust: Trust,
    /// Whether the administrator's approval would let it be trusted further.
    pub may_be_approved: bool,
    /// Why, in the order in which things were looked at.
    pub reasons: Vec<Reason>,
}

/// Judges a description.
///
/// `url` is what the device said; `signer_wanted` whether its certificate names who must sign
/// ([`crate::MudExtensions::signer`]); `cached` what is in use for the device, whatever its URL; `is_approved` whether the
/// administrator has approved of this very file for this device.
pub fn judge(
    url: &str,
    origin: Origin,
    fetched: Fetched<'_>,
    signer_wanted: bool,
    cached: Option<&Cached>,
    is_approved: bool,
) -> Verdict {
    let mut reasons = Vec::new();
    if let Err(fault) = check_url(url) {
        reasons.push(Reason::Url(fault));
    }
    if cached.is_some_and(|cached| authority(&cached.url) != authority(url)) && !origin.is_proven() {
        reasons.push(Reason::AuthorityChanged);
    }
    match fetched {
        Fetched::Unreachable => reasons.push(Reason::Unreachable),
        Fetched::Unreadable => reasons.push(Reason::Unreadable),
        Fetched::File { file, redirects, signature } => {
            judge_place(url, file, redirects, &mut reasons);
            judge_signature(signature, signer_wanted, cached, &mut reasons);
            if let Some(cached) = cached.filter(|cached| authority(&cached.url) == authority(url)) {
                judge_change(&cached.file, file, &mut reasons);
            }
            if !file.is_supported {
                reasons.push(Reason::Unsupported);
            }
        }
    }
    if !origin.is_proven() {
        reasons.push(Reason::Unproven(origin));
    }
    Verdict::of(reasons, is_approved)
}

impl Verdict {
    fn of(reasons: Vec<Reason>, is_approved: bool) -> Self {
        let trust = |is_approved: bool| {
            let weights = reasons.iter().map(Reason::weight);
            let left = weights.filter(|(_, can_be)| !(is_approved && *can_be)).map(|(trust, _)| trust);
            left.min().unwrap_or(Trust::Trusted)
        };
        let (found, best) = (trust(is_approved), trust(true));
        Self { trust: found, may_be_approved: best > found, reasons }
    }

    /// The same, if the administrator allows hosts of this network to be asked.
    #[must_use]
    pub fn with_local_hosts(mut self, is_approved: bool) -> Self {
        self.reasons.retain(|reason| *reason != Reason::Url(UrlFault::Local));
        Self::of(self.reasons, is_approved)
    }
}

/// Where the file came from, and where it says that it belongs.
fn judge_place(url: &str, file: &MudFile, redirects: &[String], reasons: &mut Vec<Reason>) {
    let bad = redirects.iter().find(|to| check_url(to).is_err());
    let elsewhere = redirects.iter().find(|to| authority(to) != authority(url));
    if let Some(to) = bad.or_else(|| redirects.get(MAX_REDIRECTS)) {
        reasons.push(Reason::BadRedirect(to.clone()));
    } else if let Some(to) = elsewhere {
        reasons.push(Reason::Redirected(to.clone()));
    }
    if authority(&file.url) != authority(url) {
        reasons.push(Reason::OtherAuthority(file.url.clone()));
    } else if folder(&file.url) != folder(url) {
        // Another file in the same folder is the same maker's way to tell firmware versions apart
        // (draft-ietf-opsawg-mud-acceptable-urls).
        reasons.push(Reason::OtherUrl(file.url.clone()));
    }
}

/// The path of a URL without its last segment and without a query.
fn folder(url: &str) -> &str {
    let path = url.get(8..).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn judge_signature(
    signature: Option<&Result<Signer, SignatureError>>,
    signer_wanted: bool,
    cached: Option<&Cached>,
    reasons: &mut Vec<Reason>,
) {
    let before = cached.and_then(|cached| cached.signer.as_ref());
    match (signature, before) {
        (Some(Err(error)), _) => reasons.push(Reason::Signature(error.clone())),
        (None, _) if signer_wanted => reasons.push(Reason::SignerWanted),
        (None, Some(_)) => reasons.push(Reason::SignatureGone),
        (None, None) => reasons.push(Reason::Unsigned),
        (Some(Ok(signer)), Some(before)) if signer.name != before.name => reasons.push(Reason::SignerChanged),
        (Some(Ok(_)), _) => {}
    }
}

fn judge_change(old: &MudFile, new: &MudFile, reasons: &mut Vec<Reason>) {
    match (moment(&old.last_update), moment(&new.last_update)) {
        (Some(before), Some(now)) if now < before => reasons.push(Reason::Older),
        (Some(before), Some(now)) if now == before && old != new => reasons.push(Reason::SameTime),
        _ => {}
    }
    let change = changes(old, new);
    if !change.grows.is_empty() {
        reasons.push(Reason::Grows(change));
    } else if !change.shrinks.is_empty() {
        reasons.push(Reason::Shrinks(change));
    }
}
