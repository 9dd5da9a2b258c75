//! The server's certificate where none was given: of an authority of its own, which people can trust once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::output::Problem;

/// The authority's certificate.
pub(super) const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
const ABOUT: &str = "server.json";

/// For how long an authority holds.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// For how long a certificate holds; browsers take no more than 398 days.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// It is made anew when it has less than this left.
const RENEW: Duration = Duration::from_secs(30 * 86_400);
/// Clocks that are a little behind accept it, too.
const BEFORE: Duration = Duration::from_secs(3_600);

/// For what the certificate is, and until when.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    names: BTreeSet<String>,
    until: Timestamp,
}

fn failed(what: &str, folder: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::Other(format!("cannot make {what} in {}: {error}", folder.display()))
}

/// Writes a file whole or not at all; a key for its owner alone.
fn write(folder: &Path, name: &str, text: &str, is_secret: bool) -> Result<(), Problem> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_secret { 0o600 } else { 0o644 });
        let new = folder.join(format!("{name}.new"));
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(name))
    };
    write().map_err(|error| failed(name, folder, &error))
}

fn moment(at: Timestamp) -> time::OffsetDateTime {
    let seconds = i64::try_from(at.as_nanos() / 1_000_000_000).unwrap_or(0);
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// The authority in the folder; made if there is none.
fn authority(folder: &Path, now: Timestamp) -> Result<Issuer<'static, KeyPair>, Problem> {
    let wrong = |error: &dyn std::fmt::Display| failed("the authority", folder, error);
    let mut params = CertificateParams::new(Vec::new()).map_err(|error| wrong(&error))?;
    params.distinguished_name.push(DnType::CommonName, "Pavise local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (moment(now - BEFORE), moment(now + AUTHORITY_LIFE));
    let key = folder.join(AUTHORITY_KEY);
    if folder.join(AUTHORITY).is_file() && key.is_file() {
        let text = fs::read_to_string(&key).map_err(|error| Problem::file("authority", &key, error))?;
        let pair = KeyPair::from_pem(&text).map_err(|error| wrong(&error))?;
        // What it puts into certificates is its name and its key, which stay.
        return Ok(Issuer::new(params, pair));
    }
    let pair = KeyPair::generate().map_err(|error| wrong(&error))?;
    let made = params.self_signed(&pair).map_err(|error| wrong(&error))?;
    write(folder, AUTHORITY_KEY, &pair.serialize_pem(), true)?;
    write(folder, AUTHORITY, &made.pem(), false)?;
    Ok(Issuer::new(params, pair))
}

/// A certificate for these names, with its chain and key; the one in the folder while it serves.
pub(super) fn at(
    folder: &Path,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Problem> {
    let wrong = |error: &dyn std::fmt::Display| failed("a certificate", folder, error);
    let about: Option<About> =
        fs::read_to_string(folder.join(ABOUT)).ok().and_then(|text| serde_json::from_str(&text).ok());
    let serves = about.is_some_and(|about| about.names == *names && about.until > now + RENEW)
        && folder.join(CERTIFICATE).is_file()
        && folder.join(KEY).is_file();
    if !serves {
        let issuer = authority(folder, now)?;
        let plain = names.iter().map(|name| name.trim_matches(['[', ']']).to_owned());
        let mut params = CertificateParams::new(plain.collect::<Vec<_>>()).map_err(|error| wrong(&error))?;
        params.distinguished_name.push(DnType::CommonName, "Pavise");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let until = now + LIFE;
        (params.not_before, params.not_after) = (moment(now - BEFORE), moment(until));
        let pair = KeyPair::generate().map_err(|error| wrong(&error))?;
        let made = params.signed_by(&pair, &issuer).map_err(|error| wrong(&error))?;
        write(folder, KEY, &pair.serialize_pem(), true)?;
        write(folder, CERTIFICATE, &made.pem(), false)?;
        let about =
            serde_json::to_string(&About { names: names.clone(), until }).map_err(|error| wrong(&error))?;
        write(folder, ABOUT, &about, false)?;
    }
    let chain = CertificateDer::pem_file_iter(folder.join(CERTIFICATE))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&error))?;
    Ok((chain, PrivateKeyDer::from_pem_file(folder.join(KEY)).map_err(|error| wrong(&error))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_its_names_or_its_time_change() {
        let folder = tempfile::tempdir().unwrap();
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let day = |day: u64| Timestamp::from_secs(1_790_000_000 + day * 86_400);
        let first = at(folder.path(), &names(&["localhost", "127.0.0.1", "[::1]"]), day(0)).unwrap();
        let authority = fs::read(folder.path().join(AUTHORITY)).unwrap();
        let same = at(folder.path(), &names(&["localhost", "127.0.0.1", "[::1]"]), day(59)).unwrap();
        assert_eq!(first.0, same.0);
        let renewed = at(folder.path(), &names(&["localhost", "127.0.0.1", "[::1]"]), day(61)).unwrap();
        assert_ne!(first.0, renewed.0);
        let other = at(folder.path(), &names(&["localhost"]), day(62)).unwrap();
        assert_ne!(renewed.0, other.0);
        assert_eq!(fs::read(folder.path().join(AUTHORITY)).unwrap(), authority, "people trust it once");
        #[cfg(unix)]
        for key in [KEY, AUTHORITY_KEY] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(folder.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
