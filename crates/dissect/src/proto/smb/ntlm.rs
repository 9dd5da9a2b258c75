//! The messages of NTLM that set up a session (MS-NLMP clause 2.2.1): names of hosts and users, and the
//! version of the system. Challenges and answers to them are passed over.

use model::{Attribute, Confidence, Side};
use serde::Serialize;

use super::{narrow, wide};
use crate::proto::{Emit, Reader, Short};

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// Flags (clause 2.2.2.5).
const UNICODE: u32 = 0x0000_0001;
const VERSION: u32 = 0x0200_0000;

/// Kinds of target information (clause 2.2.2.1).
const COMPUTER: u16 = 1;
const DOMAIN: u16 = 2;
const DNS_COMPUTER: u16 = 3;
const DNS_DOMAIN: u16 = 4;

#[derive(Default, Serialize)]
struct Challenge {
    #[serde(skip_serializing_if = "String::is_empty")]
    computer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dns_computer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dns_domain: String,
}

#[derive(Serialize)]
struct Authenticate<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workstation: &'a str,
}

/// Reads the message of NTLM in a security token, bare or wrapped as SPNEGO does (RFC 4178). Gives the
/// user's name if the client proves it here.
pub(super) fn read(from: Side, token: &[u8], out: &mut Emit<'_>) -> Option<String> {
    let at = token.windows(SIGNATURE.len()).position(|bytes| bytes == SIGNATURE)?;
    let message = token.get(at..)?;
    let kind = Reader::new(message.get(SIGNATURE.len()..)?).le32().ok()?;
    match kind {
        1 => negotiate(from, message, out).ok()?,
        2 => challenge(from, message, out).ok()?,
        3 => return authenticate(from, message, out).ok().flatten(),
        _ => {}
    }
    None
}

fn at(message: &[u8], offset: usize) -> Reader<'_> {
    Reader::new(message.get(offset..).unwrap_or_default())
}

/// A field whose length and place, counted from the beginning of the message, stand at `offset`.
fn field(message: &[u8], offset: usize) -> Result<&[u8], Short> {
    let mut reader = at(message, offset);
    let length = usize::from(reader.le16()?);
    reader.skip(2)?; // allocated length
    let place = usize::try_from(reader.le32()?).map_err(|_| Short)?;
    let end = place.checked_add(length).ok_or(Short)?;
    message.get(place..end).ok_or(Short)
}

/// The version of the system, where the flags say that it is there (clause 2.2.2.10). Samba sends one
/// too, with a build number of zero, which says nothing.
fn version(from: Side, flags: u32, message: &[u8], offset: usize, out: &mut Emit<'_>) {
    let mut reader = at(message, offset);
    if let (Ok(major), Ok(minor), Ok(build @ 1..)) = (reader.u8(), reader.u8(), reader.le16())
        && flags & VERSION != 0
    {
        let system = format!("Windows {major}.{minor} build {build}");
        out.fact(from, Attribute::OperatingSystem, system, "smb.ntlm-version", Confidence::STRONG);
    }
}

fn negotiate(from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let flags = at(message, 12).le32()?;
    version(from, flags, message, 32, out);
    Ok(())
}

fn challenge(from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let flags = at(message, 20).le32()?;
    version(from, flags, message, 48, out);
    let mut told = Challenge::default();
    let mut pairs = Reader::new(field(message, 40)?);
    loop {
        let (kind, length) = (pairs.le16()?, usize::from(pairs.le16()?));
        let value = wide(pairs.take(length)?);
        match kind {
            COMPUTER => told.computer = value,
            DOMAIN => told.domain = value,
            DNS_COMPUTER => told.dns_computer = value,
            DNS_DOMAIN => told.dns_domain = value,
            0 => break,
            _ => {}
        }
    }
    for name in [&told.dns_computer, &told.computer] {
        out.fact(from, Attribute::Hostname, name, "smb.ntlm-challenge", Confidence::STRONG);
    }
    out.message(from, "ntlm-challenge", &told);
    Ok(())
}

fn authenticate(from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<Option<String>, Short> {
    let flags = at(message, 60).le32()?;
    let text = |offset| field(message, offset).map(if flags & UNICODE != 0 { wide } else { narrow });
    let (domain, user, workstation) = (text(28)?, text(36)?, text(44)?);
    version(from, flags, message, 64, out);
    out.fact(from, Attribute::Hostname, &workstation, "smb.ntlm-workstation", Confidence::STRONG);
    let message = Authenticate { user: &user, domain: &domain, workstation: &workstation };
    out.message(from, "ntlm-authenticate", &message);
    let named = if domain.is_empty() { user } else { format!("{domain}\\{user}") };
    Ok(Some(named).filter(|name| !name.is_empty()))
}
