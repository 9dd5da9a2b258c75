//! `pavise mud`: what makers say that their devices are meant to do (RFC 8520): checked, made, compared, signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ::mud::{Initiator, IpVersion, MudFile, Peer, Seen, SigningKey, Subject};
use ::policy::UseLog;
use model::{Attribute, Device, FlowRecord, Host, Timestamp, Transport};
use serde_json::json;
use store::{FlowQuery, Sqlite, Store};

use crate::command::{self, MudCommand};
use crate::mud_fetch;
use crate::mud_policy;
use crate::output::{Output, Problem};
use crate::policy::log;
use crate::query;

/// The URL that a description bears unless another is given: it says that it is nobody's yet.
const NO_URL: &str = "https://example.invalid/mud.json";

pub(crate) fn run(options: &command::Mud) -> Result<(), Problem> {
    match &options.command {
        MudCommand::Check(options) => check(options),
        MudCommand::Generate(options) => generate(options),
        MudCommand::Compare(options) => compare(options),
        MudCommand::Sign(options) => sign(options),
        MudCommand::Fetch(options) => mud_fetch::run(options),
        MudCommand::Policy(options) => mud_policy::run(options),
    }
}

pub(crate) fn bytes_of(what: &str, path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(|error| {
        Problem::Other(format!("cannot read the {what} {}: {error}; check its name", path.display()))
    })
}

pub(crate) fn read(path: &Path) -> Result<(Vec<u8>, ::mud::Read), Problem> {
    let bytes = bytes_of("description", path)?;
    let read = ::mud::read(&bytes).map_err(|error| Problem::Other(format!("{}: {error}", path.display())))?;
    Ok((bytes, read))
}

#[expect(clippy::disallowed_methods, reason = "whether a certificate is valid now is told by the clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}

fn check(options: &command::MudCheck) -> Result<(), Problem> {
    let (bytes, read) = read(&options.file)?;
    let signer = match &options.signature {
        None => None,
        Some(path) => {
            let signature = bytes_of("signature", path)?;
            let mut anchors = Vec::new();
            for path in &options.anchor {
                anchors.extend(::mud::der_objects(&bytes_of("certificate", path)?));
            }
            let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
            let signer = ::mud::verify(&bytes, &signature, &anchors, now(), None).map_err(|error| {
                Problem::Other(format!("the signature of {} does not hold: {error}", options.file.display()))
            })?;
            Some(signer)
        }
    };
    let mut out = Output::new();
    let count = read.file.aces().count();
    if options.json {
        let warnings = read.warnings.iter();
        let warnings =
            warnings.map(|fault| json!({"path": fault.path, "what": fault.what, "clause": fault.clause}));
        out.json(&json!({
            "rules": count,
            "warnings": warnings.collect::<Vec<_>>(),
            "signer": signer.as_ref().map(|signer| json!({
                "subject": signer.subject, "algorithm": signer.algorithm, "chain": signer.chain,
            })),
        }))?;
        return out.flush();
    }
    for warning in &read.warnings {
        out.line(format_args!("warning: {warning}"))?;
    }
    for (name, about) in &read.extensions {
        let about = about.unwrap_or("not known here: what it says is kept and not acted upon");
        out.line(format_args!("extension {name}: {about}"))?;
    }
    if let Some(signer) = &signer {
        out.line(format_args!("Signed by {} ({}).", signer.subject, signer.algorithm))?;
    }
    out.line(format_args!("{count} rules, {} warnings.", read.warnings.len()))?;
    out.flush()
}

/// A device, and what else has to be known to tell what it does.
struct Place {
    devices: Vec<Device>,
    by_ip: BTreeMap<IpAddr, usize>,
    log: UseLog,
}

impl Place {
    fn new(store: &Sqlite) -> Result<Self, Problem> {
        let devices = store.devices()?;
        let mut by_ip = BTreeMap::new();
        for (number, device) in devices.iter().enumerate() {
            by_ip.extend(device.addresses.iter().map(|known| (known.ip, number)));
        }
        Ok(Self { devices, by_ip, log: log(store)? })
    }

    /// The other end of a conversation of a device.
    fn peer(&self, own: &Device, client: Host, other: Host, port: u16) -> Peer {
        let known = other.ip.and_then(|ip| self.by_ip.get(&ip)).and_then(|number| self.devices.get(*number));
        let name = client.ip.zip(other.ip).and_then(|(client, ip)| self.log.name(client, ip));
        Peer::of(own, known, other, port, name)
    }

    /// What a device was seen to do, put together.
    fn seen(&self, store: &Sqlite, device: &Device) -> Result<Vec<Seen>, Problem> {
        let is_own = |host: &Host| match host.ip {
            Some(ip) => device.addresses.iter().any(|known| known.ip == ip),
            None => host.mac.is_some_and(|mac| device.macs.contains(&mac)),
        };
        let mut sums = BTreeMap::<_, (Seen, BTreeSet<u64>, BTreeSet<u16>)>::new();
        store.flows(&FlowQuery::default(), &mut |flow: FlowRecord| {
            let head = &flow.head;
            let (initiator, other) = match (is_own(&head.client.host), is_own(&head.server.host)) {
                (true, false) => (Initiator::Device, head.server.host),
                (false, true) => (Initiator::Peer, head.client.host),
                _ => return true,
            };
            let has_ports = matches!(head.transport, Transport::Tcp | Transport::Udp | Transport::Sctp);
            let version = other.ip.map(|ip| if ip.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 });
            // Of the messages of ICMP, only the echo is answered (RFC 792; RFC 4443, section 4).
            let icmp = match head.transport {
                Transport::Icmp if flow.answered() => Some((8, 0)),
                Transport::Icmpv6 if flow.answered() => Some((128, 0)),
                _ => None,
            };
            let day = flow.first.as_secs() / 86_400;
            let peer = self.peer(device, head.client.host, other, head.server.port);
            let key = (initiator, peer.clone(), head.transport, head.server.port, flow.answered());
            let bytes = flow.sent.bytes.saturating_add(flow.received.bytes);
            let (sum, days, ports) = sums.entry(key).or_insert_with(|| {
                let seen = Seen {
                    initiator,
                    peer,
                    version,
                    transport: head.transport,
                    server_port: has_ports.then_some(head.server.port),
                    client_port: None,
                    icmp,
                    protocol: flow.protocol.as_deref().map(str::to_owned),
                    is_answered: flow.answered(),
                    bytes: 0,
                    count: 0,
                    first: flow.first,
                    last: flow.last,
                    days: 0,
                };
                (seen, BTreeSet::new(), BTreeSet::new())
            });
            (sum.bytes, sum.count) = (sum.bytes.saturating_add(bytes), sum.count + 1);
            (sum.first, sum.last) = (sum.first.min(flow.first), sum.last.max(flow.last));
            days.insert(day);
            if ports.len() < 2 {
                ports.insert(head.client.port);
            }
            true
        })?;
        let whole = |(mut seen, days, ports): (Seen, BTreeSet<u64>, BTreeSet<u16>)| {
            seen.days = u32::try_from(days.len()).unwrap_or(u32::MAX);
            let same = ports.first().copied().filter(|_| ports.len() == 1 && seen.count > 1);
            seen.client_port = same.filter(|_| seen.server_port.is_some());
            seen
        };
        Ok(sums.into_values().map(whole).collect())
    }
}

/// What a device was seen to do; an error if that is nothing.
fn seen_of(state: &command::State, text: &str) -> Result<(Device, Vec<Seen>), Problem> {
    let store = Sqlite::open(&state.state)?;
    let place = Place::new(&store)?;
    let device = query::find(place.devices.clone(), text)?;
    let seen = place.seen(&store, &device)?;
    if seen.is_empty() {
        return Err(Problem::Other(format!("nothing was seen that {text} did: watch for longer")));
    }
    Ok((device, seen))
}

fn generate(options: &command::MudGenerate) -> Result<(), Problem> {
    let (device, seen) = seen_of(&options.state, &options.device)?;
    let text = |attribute| device.best(attribute).map(str::to_owned);
    let url = options.url.clone().or_else(|| text(Attribute::MudUrl));
    let info: Vec<String> =
        [Attribute::Vendor, Attribute::Model, Attribute::Type].into_iter().filter_map(text).collect();
    let subject = Subject {
        url: url.unwrap_or_else(|| NO_URL.to_owned()),
        last_update: device.last.to_string(),
        systeminfo: (!info.is_empty()).then(|| info.join(" ")),
        mfg_name: text(Attribute::Vendor),
        model_name: text(Attribute::Model),
        firmware_rev: text(Attribute::Firmware),
    };
    let made = ::mud::generate(&subject, &seen).map_err(|error| Problem::Other(error.to_string()))?;
    let written = ::mud::write(&made.file);
    let mut out = Output::new();
    match &options.out {
        None => out.line(String::from_utf8_lossy(&written).trim_end())?,
        Some(path) => {
            fs::write(path, &written).map_err(|error| Problem::file("description", path, error))?;
            for note in &made.notes {
                out.line(format_args!("note: {note}"))?;
            }
            let days = seen.iter().map(|seen| seen.days).max().unwrap_or(0);
            out.line(format_args!(
                "{}: {} rules from {} kinds of conversation on up to {days} days. Of those to come at most {:.2} % are expected to \
                 be with whom or what was not seen{}.",
                path.display(),
                made.file.aces().count(),
                seen.len(),
                100.0 * made.unseen,
                if made.unseen > ::mud::MAX_UNSEEN { ": watch for longer before it is enforced" } else { "" },
            ))?;
        }
    }
    out.flush()
}

fn compare(options: &command::MudCompare) -> Result<(), Problem> {
    let (_, first) = read(&options.file)?;
    if Path::new(&options.with).is_file() {
        let (_, second) = read(Path::new(&options.with))?;
        return compare_files(&first.file, &second.file, options);
    }
    let (_, seen) = seen_of(&options.answer.state, &options.with)?;
    let result = ::mud::deviations(&first.file, &seen);
    let mut out = Output::new();
    let whom = |seen: &Seen| {
        let name = seen.peer.names.first().cloned();
        name.or_else(|| seen.peer.address.map(|ip| ip.to_string())).unwrap_or_else(|| "the link".into())
    };
    let what = |seen: &Seen| match seen.server_port {
        Some(port) => format!("{}/{port}", seen.transport),
        None => seen.transport.to_string(),
    };
    let way = |initiator| if initiator == Initiator::Device { "to" } else { "from" };
    if options.answer.json {
        let rows = result.found.iter().map(|one| {
            json!({
                "direction": way(one.example.initiator), "peer": whom(&one.example), "service": what(&one.example),
                "protocol": one.example.protocol, "count": one.count, "bytes": one.bytes,
                "rule": one.rule.as_ref().map(|rule| format!("{} {}", rule.acl, rule.ace)),
            })
        });
        let unused = result.unused.iter().map(|rule| format!("{} {}", rule.acl, rule.ace));
        out.json(&json!({
            "allowed": result.allowed, "forbidden": result.forbidden,
            "deviations": rows.collect::<Vec<_>>(), "unused": unused.collect::<Vec<_>>(),
        }))?;
        return out.flush();
    }
    for one in &result.found {
        let protocol = one.example.protocol.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        let why = one.rule.as_ref().map_or_else(
            || "no rule allows it".into(),
            |rule| format!("the rule {} of {} forbids it", rule.ace, rule.acl),
        );
        out.line(format_args!(
            "{} {} {}{protocol}, {} times: {why}",
            way(one.example.initiator),
            whom(&one.example),
            what(&one.example),
            one.count
        ))?;
    }
    out.line(format_args!(
        "{} conversations are allowed, {} are not; {} rules were not used.",
        result.allowed,
        result.forbidden,
        result.unused.len()
    ))?;
    out.flush()
}

fn compare_files(first: &MudFile, second: &MudFile, options: &command::MudCompare) -> Result<(), Problem> {
    let mut out = Output::new();
    let named =
        |rule: &Option<::mud::RuleName>| rule.as_ref().map(|rule| format!("{} {}", rule.acl, rule.ace));
    let relation = |relation| match relation {
        ::mud::Relation::OnlyFirst => "only in the first",
        ::mud::Relation::OnlySecond => "only in the second",
        ::mud::Relation::Wider => "wider in the first",
        ::mud::Relation::Narrower => "narrower in the first",
        ::mud::Relation::Equal => "equal",
    };
    let differences = ::mud::compare(first, second);
    if options.answer.json {
        let rows = differences.iter().map(|one| {
            json!({"relation": relation(one.relation), "first": named(&one.first), "second": named(&one.second)})
        });
        out.json(&rows.collect::<Vec<_>>())?;
        return out.flush();
    }
    for one in &differences {
        let rules: Vec<String> = [named(&one.first), named(&one.second)].into_iter().flatten().collect();
        out.line(format_args!("{}: {}", relation(one.relation), rules.join(" and ")))?;
    }
    out.flush()
}

fn sign(options: &command::MudSign) -> Result<(), Problem> {
    let (bytes, _) = read(&options.file)?;
    let key = ::mud::der_objects(&bytes_of("key", &options.key)?);
    let key = key.iter().find_map(|der| SigningKey::from_pkcs8(der).ok()).ok_or_else(|| {
        Problem::Other(format!(
            "{} holds no key that signs: it takes a PKCS#8 key for P-256 or Ed25519",
            options.key.display()
        ))
    })?;
    let certificates = ::mud::der_objects(&bytes_of("certificate", &options.certificate)?);
    let mut chain = certificates.iter().map(Vec::as_slice);
    let own = chain.next().unwrap_or_default();
    let signature = ::mud::sign(&bytes, &key, own, &chain.collect::<Vec<_>>())
        .map_err(|error| Problem::Other(format!("{} cannot be signed: {error}", options.file.display())))?;
    fs::write(&options.out, signature).map_err(|error| Problem::file("signature", &options.out, error))?;
    let mut out = Output::new();
    out.line(format_args!("{}: the signature of {}.", options.out.display(), options.file.display()))?;
    out.flush()
}
