//! `pavise mud fetch`: descriptions from where devices say that they are (RFC 8520), judged and kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::mud::{Cached, Fetched, Freshness, Origin, Signer, Trust, UrlFault, check_url, judge};
use clap::Args;
use model::{Attribute, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Sqlite, Store};

use crate::command::{Answer, State};
use crate::https::{Client, Failure};
use crate::mud::{bytes_of, now};
use crate::output::{Output, Problem};

/// Where descriptions are kept in a state.
const FOLDER: &str = "mud";
/// Below it, those whose signature leads to a trusted certificate, and those that anybody could have written.
const VERIFIED: &str = "verified";
const UNVERIFIED: &str = "unverified";
/// What is known of each.
const INDEX: &str = "index.json";
/// So many descriptions are kept.
const MAX_KEPT: usize = 4096;
/// The type of a description (RFC 8520, section 6).
const MUD_JSON: &str = "application/mud+json";

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud fetch --seen                                     all that devices have shown
  pavise mud fetch --seen --trust maker-root.pem              and whose signature is to be believed
  pavise mud fetch https://lamps.example/lamp.json --json
  pavise watch eth1 --mud .pavise/mud/verified                watch by what is signed
  pavise watch eth1 --mud .pavise/mud/unverified              watch by what is not, too: only if you say so

What is fresh (cache-validity, 48 hours if it does not say) is not asked for again. Only https is used, only the host of the
URL, and no address of this network. Exit status: 1 if one of them could not be had or is refused.")]
pub(crate) struct MudFetch {
    /// Where the description is
    #[arg(value_name = "URL", required_unless_present = "seen", conflicts_with = "seen")]
    pub(crate) url: Option<String>,
    /// All that devices of the state have shown by DHCP, LLDP or certificate
    #[arg(long)]
    pub(crate) seen: bool,
    /// Certificates that signatures of descriptions must lead to (PEM or DER); may be given several times
    #[arg(long, value_name = "CA.pem")]
    pub(crate) trust: Vec<PathBuf>,
    /// Certificates that servers must lead to, in place of the system's (PEM or DER); may be given several times
    #[arg(long, value_name = "CA.pem")]
    pub(crate) tls_ca: Vec<PathBuf>,
    /// Ask hosts of this network, too
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Take it although it changed in a way that needs approval: another signer, more that is allowed, older
    #[arg(long)]
    pub(crate) approve: bool,
    /// Ask again although it is fresh
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

/// What is kept beside a description.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// Its file, below the folder.
    file: String,
    fetched: Timestamp,
    /// SHA-256 of the file, in hexadecimal digits: another one is not used.
    sha256: String,
    /// Who signed it, if somebody did who is trusted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    signer: Option<Kept>,
}

/// A signer as it is kept: its subject for people, and in DER.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    subject: String,
    name: Vec<u8>,
}

/// The descriptions of a state.
struct Cache {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Cache {
    fn open(state: &Path) -> Result<Self, Problem> {
        let folder = state.join(FOLDER);
        for part in [VERIFIED, UNVERIFIED] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|error| Problem::file("folder", &path, error))?;
        }
        let path = folder.join(INDEX);
        let entries = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Problem::Other(format!("{} is damaged: {error}; remove it to fetch anew", path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(Problem::Other(format!(
                    "cannot read {}: {error}; check its rights",
                    path.display()
                )));
            }
        };
        Ok(Self { folder, entries })
    }

    /// The description of a URL that is in use, if its file is still as it was.
    fn get(&self, url: &str) -> Option<Cached> {
        let entry = self.entries.get(url)?;
        let bytes =
            fs::read(self.folder.join(&entry.file)).ok().filter(|bytes| digest(bytes) == entry.sha256)?;
        let file = ::mud::read(&bytes).ok()?.file;
        let signer = entry.signer.clone().map(|kept| Signer {
            subject: kept.subject,
            name: kept.name,
            fingerprint: [0; 32],
            chain: Vec::new(),
            algorithm: "",
        });
        Some(Cached { url: url.to_owned(), file, signer, fetched: entry.fetched })
    }

    /// Keeps a description, whole or not at all.
    fn put(
        &mut self,
        url: &str,
        bytes: &[u8],
        signer: Option<&Signer>,
        fetched: Timestamp,
    ) -> Result<(), Problem> {
        if self.entries.len() >= MAX_KEPT && !self.entries.contains_key(url) {
            return Err(Problem::Other(format!(
                "{} holds {MAX_KEPT} descriptions, which are as many as may be: remove it to fetch anew",
                self.folder.display()
            )));
        }
        let part = if signer.is_some() { VERIFIED } else { UNVERIFIED };
        let file = format!("{part}/{}.json", &digest(url.as_bytes())[..32]);
        self.write(&file, bytes)?;
        let kept = |signer: &Signer| Kept { subject: signer.subject.clone(), name: signer.name.clone() };
        let entry = Entry { file: file.clone(), fetched, sha256: digest(bytes), signer: signer.map(kept) };
        let before = self.entries.insert(url.to_owned(), entry);
        let index = serde_json::to_vec_pretty(&self.entries).map_err(|error| {
            Problem::Other(format!("the list of descriptions cannot be written: {error}"))
        })?;
        self.write(INDEX, &index)?;
        if let Some(old) = before.filter(|before| before.file != file) {
            // What is verified now was not before, or the other way: it is in one place only.
            let path = self.folder.join(old.file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Problem::file("description", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        let path = self.folder.join(name);
        let part = path.with_extension("part");
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|error| Problem::file("description", &path, error))
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of one URL.
struct Outcome {
    url: String,
    /// What there is now: `verified`, `unverified`, `refused`, `unreachable`, and whether it was asked for at all.
    state: &'static str,
    is_fresh: bool,
    file: Option<PathBuf>,
    notes: Vec<String>,
}

pub(crate) fn run(options: &MudFetch) -> Result<(), Problem> {
    let certificates = |paths: &[PathBuf]| -> Result<Vec<Vec<u8>>, Problem> {
        let mut all = Vec::new();
        for path in paths {
            let found = ::mud::der_objects(&bytes_of("certificate", path)?);
            if found.is_empty() {
                return Err(Problem::Other(format!("{} holds no certificate (PEM or DER)", path.display())));
            }
            all.extend(found);
        }
        Ok(all)
    };
    let anchors = certificates(&options.trust)?;
    let client = Client::new(&certificates(&options.tls_ca)?, options.allow_private);
    let urls = match &options.url {
        Some(url) => BTreeMap::from([(url.clone(), Origin::Administrator)]),
        None => seen(&options.answer.state)?,
    };
    let mut cache = Cache::open(options.answer.state())?;
    let mut outcomes = Vec::new();
    for (url, origin) in urls {
        outcomes.push(fetch(&url, origin, &client, &anchors, &mut cache, options)?);
    }
    tell(&outcomes, options)?;
    let failed =
        outcomes.iter().filter(|one| !matches!(one.state, VERIFIED | UNVERIFIED) || !one.is_fresh).count();
    if failed > 0 {
        return Err(Problem::Other(format!(
            "{failed} of {} descriptions could not be had as they should",
            outcomes.len()
        )));
    }
    Ok(())
}

/// The URLs that devices have shown, each with how it came to be known: of several ways, the best.
fn seen(state: &State) -> Result<BTreeMap<String, Origin>, Problem> {
    let mut urls: BTreeMap<String, Origin> = BTreeMap::new();
    for device in Sqlite::open(&state.state)?.devices()? {
        for evidence in device.attributes.get(&Attribute::MudUrl).into_iter().flatten() {
            let protocol = evidence.source.split('.').next().unwrap_or_default();
            let origin = match protocol {
                "dhcp" | "dhcpv6" => Origin::Dhcp,
                "lldp" => Origin::Lldp,
                _ => Origin::Certificate,
            };
            let known = urls.entry(evidence.value.to_string()).or_insert(origin);
            *known = (*known).min(origin);
        }
    }
    Ok(urls)
}

fn fetch(
    url: &str,
    origin: Origin,
    client: &Client,
    anchors: &[Vec<u8>],
    cache: &mut Cache,
    options: &MudFetch,
) -> Result<Outcome, Problem> {
    let cached = cache.get(url);
    let in_use = |cache: &Cache| cache.entries.get(url).map(|entry| cache.folder.join(&entry.file));
    let outcome =
        |state, is_fresh, file, notes| Outcome { url: url.to_owned(), state, is_fresh, file, notes };
    let part = |cached: &Cached| if cached.signer.is_some() { VERIFIED } else { UNVERIFIED };
    match check_url(url) {
        Err(UrlFault::Local) if options.allow_private => {}
        Err(fault) => return Ok(outcome("refused", true, None, vec![fault.to_string()])),
        Ok(()) => {}
    }
    let at = now();
    if let (Some(cached), false) = (&cached, options.force)
        && let Freshness::Fresh(until) = cached.freshness(at)
        // A signature that could not be checked before can be now.
        && (cached.signer.is_some() || anchors.is_empty())
    {
        return Ok(outcome(part(cached), true, in_use(cache), vec![format!("fresh until {until}")]));
    }
    let unusable = |failure: String, cache: &Cache| match &cached {
        Some(cached) => {
            outcome(part(cached), false, in_use(cache), vec![failure, "what is kept stays in use".into()])
        }
        None => outcome("unreachable", false, None, vec![failure]),
    };
    let answer = match client.get(url, Some(MUD_JSON), ::mud::MAX_BYTES) {
        Ok(answer) => answer,
        Err(failure) => return Ok(unusable(failure.to_string(), cache)),
    };
    let file = match ::mud::read(&answer.bytes) {
        Ok(read) => read.file,
        Err(error) => return Ok(unusable(format!("it is no description: {error}"), cache)),
    };
    let mut notes = Vec::new();
    let signature = match &file.signature {
        Some(_) if anchors.is_empty() => {
            notes.push(
                "its signature is not checked: say with --trust whose certificates are believed".into(),
            );
            None
        }
        Some(place) => match signature(place, client, options) {
            Ok(signature) => {
                let trusted: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
                Some(::mud::verify(&answer.bytes, &signature, &trusted, at, None))
            }
            Err(why) => return Ok(unusable(format!("its signature {place}: {why}"), cache)),
        },
        None => None,
    };
    // Redirections stay with the host, which may be one of this network if that is allowed.
    let redirects = if options.allow_private { &[][..] } else { &answer.redirects };
    let fetched = Fetched::File { file: &file, redirects, signature: signature.as_ref() };
    let mut verdict = judge(url, origin, fetched, false, cached.as_ref(), options.approve);
    if options.allow_private {
        verdict = verdict.with_local_hosts(options.approve);
    }
    notes.extend(verdict.reasons.iter().map(ToString::to_string));
    if verdict.trust == Trust::Refused {
        if verdict.may_be_approved {
            notes.push("--approve takes it all the same".into());
        }
        return Ok(outcome("refused", cached.is_some(), in_use(cache), notes));
    }
    let signer = signature.and_then(Result::ok);
    cache.put(url, &answer.bytes, signer.as_ref(), at)?;
    if let Some(signer) = &signer {
        notes.push(format!("signed by {}", signer.subject));
    }
    Ok(outcome(if signer.is_some() { VERIFIED } else { UNVERIFIED }, true, in_use(cache), notes))
}

/// The signature of a description, from where it says.
fn signature(place: &str, client: &Client, options: &MudFetch) -> Result<Vec<u8>, String> {
    match check_url(place) {
        Err(UrlFault::Local) if options.allow_private => {}
        checked => checked.map_err(|fault| fault.to_string())?,
    }
    let got = client.get(place, None, ::mud::MAX_SIGNATURE);
    got.map(|answer| answer.bytes).map_err(|failure: Failure| failure.to_string())
}

fn tell(outcomes: &[Outcome], options: &MudFetch) -> Result<(), Problem> {
    let mut out = Output::new();
    if options.answer.json {
        let rows = outcomes.iter().map(|one| {
            json!({"url": one.url, "state": one.state, "fresh": one.is_fresh, "file": one.file, "notes": one.notes})
        });
        out.json(&rows.collect::<Vec<_>>())?;
        return out.flush();
    }
    if outcomes.is_empty() {
        out.line("No device has shown a MUD URL.")?;
    }
    for one in outcomes {
        let stale = if one.is_fresh { "" } else { " (not renewed)" };
        out.line(format_args!("{}: {}{stale}", one.url, one.state))?;
        if let Some(file) = &one.file {
            out.line(format_args!("  {}", file.display()))?;
        }
        for note in &one.notes {
            out.line(format_args!("  {note}"))?;
        }
    }
    out.flush()
}
