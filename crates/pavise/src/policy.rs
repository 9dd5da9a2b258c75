//! `pavise policy`: what may talk to what; read, looked at, asked, compared, proven on what was seen, and proposed from it.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ::policy::{
    Ask, Asked, Compiled, Diff, Estate, OPERATIONS, Policy, Proposal, Protocols, Severity, Spot, Use, UseLog,
    Verdict, Who, operation_name,
};
use dissect::proto::{Carrier, PROTOCOLS};
use model::{Host, MacAddr, OperationKind, Role, Timestamp, Transport};
use serde_json::{Value, json};
use store::{FlowQuery, Sqlite, Store};

use crate::command::{self, PolicyCommand};
use crate::output::{Output, Problem};
use crate::{enforce, query};

/// What a conversation is of whose protocol nobody has said on which ports it is found.
const ANY_PORT: &[u16] = &[];

pub(crate) fn run(options: &command::Policy) -> Result<(), Problem> {
    match &options.command {
        PolicyCommand::Lint(options) => lint(options),
        PolicyCommand::Test(options) => test(options),
        PolicyCommand::Explain(options) => explain(options),
        PolicyCommand::Reach(options) => reach(options),
        PolicyCommand::Diff(options) => diff(options),
        PolicyCommand::Prove(options) => prove(options),
        PolicyCommand::Propose(options) => propose(options),
        PolicyCommand::Export(options) => enforce::export(options),
    }
}

/// Where protocols are usually found.
pub(crate) fn protocols() -> Protocols {
    Protocols::new(PROTOCOLS.iter().flat_map(|protocol| {
        protocol.carriers.iter().map(|carrier| {
            let (transport, ports) = match *carrier {
                Carrier::Tcp(ports) => (Transport::Tcp, ports),
                Carrier::Udp(ports) => (Transport::Udp, ports),
                Carrier::EtherType(kind) | Carrier::Snap(_, kind) => (Transport::Ether(kind), ANY_PORT),
                Carrier::Llc(point) => (Transport::Ether(u16::from(point) << 8 | u16::from(point)), ANY_PORT),
                Carrier::Ip(number) => (Transport::Ip(number), ANY_PORT),
                Carrier::Sctp(_) => (Transport::Sctp, ANY_PORT),
                Carrier::Can => (Transport::Can, ANY_PORT),
                Carrier::Wpan => (Transport::Wpan, ANY_PORT),
            };
            (protocol.id, transport, ports)
        })
    }))
}

/// What was logged of uses beside the conversations.
pub(crate) fn log(store: &dyn Store) -> Result<UseLog, Problem> {
    let learnt = store.learnt()?;
    Ok(UseLog::restore(learnt.get(brain::USES).map_or(&[], Vec::as_slice)))
}

/// The devices that are known, and the names that were resolved. The moment from which ages are told is that of the last
/// packet, so that a capture of last year is judged as of then.
pub(crate) fn estate(store: &dyn Store) -> Result<Estate, Problem> {
    let devices = store.devices()?;
    let now = devices.iter().map(|device| device.last).max().unwrap_or(Timestamp::EPOCH);
    Ok(Estate { devices, names: log(store)?.names(), now })
}

/// What was seen, put together.
pub(crate) fn uses(store: &Sqlite) -> Result<Vec<Use>, Problem> {
    let mut flows = Vec::new();
    store.flows(&FlowQuery::default(), &mut |flow| {
        flows.push(flow);
        true
    })?;
    Ok(log(store)?.uses(flows))
}

/// Reads a policy that is to be judged by, and refuses one that means nothing.
pub(crate) fn read(path: &Path) -> Result<Policy, Problem> {
    let file = File::open(path)?;
    file.compile(Estate::default())?;
    file.parse()
}

/// A policy and its file, for what is said of it.
pub(crate) struct File<'a> {
    path: &'a Path,
    text: String,
}

impl<'a> File<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, Problem> {
        let read = fs::read_to_string(path);
        let text = read.map_err(|error| {
            Problem::Other(format!("cannot read the policy {}: {error}; check its name", path.display()))
        })?;
        Ok(Self { path, text })
    }

    /// The problem that stands for several in the file.
    fn refuse(&self, problems: &[::policy::Problem]) -> Problem {
        let shown: Vec<String> = problems.iter().map(|problem| self.show(problem)).collect();
        let count = problems.len();
        let these = if count == 1 { "an error".into() } else { format!("{count} errors") };
        Problem::Other(format!("{} has {these}\n{}", self.path.display(), shown.join("\n")))
    }

    pub(crate) fn show(&self, problem: &::policy::Problem) -> String {
        problem.show(&self.path.display().to_string(), &self.text)
    }

    fn parse(&self) -> Result<Policy, Problem> {
        ::policy::parse(&self.text).map_err(|problems| self.refuse(&problems))
    }

    pub(crate) fn compile(&self, estate: Estate) -> Result<Compiled, Problem> {
        Compiled::new(self.parse()?, &protocols(), estate).map_err(|problems| self.refuse(&problems))
    }
}

fn lint(options: &command::PolicyFile) -> Result<(), Problem> {
    let file = File::open(&options.file)?;
    let problems = match ::policy::parse(&file.text) {
        Err(problems) => problems,
        Ok(parsed) => {
            let estate = estate(&Sqlite::open(options.answer.state())?)?;
            match Compiled::new(parsed, &protocols(), estate) {
                Err(problems) => problems,
                Ok(compiled) => compiled.lint(),
            }
        }
    };
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let mut out = Output::new();
    if options.answer.json {
        let row = |problem: &::policy::Problem| {
            let place = problem.place;
            json!({
                "severity": problem.severity.name(), "line": place.line, "column": place.column,
                "what": problem.what, "help": problem.help,
            })
        };
        out.json(&problems.iter().map(row).collect::<Vec<_>>())?;
    } else {
        for problem in &problems {
            out.line(file.show(problem))?;
        }
        out.line(format_args!("{errors} errors, {} warnings.", problems.len() - errors))?;
    }
    out.flush()?;
    failed_if(errors > 0, || format!("{} is not to be used as it is", options.file.display()))
}

pub(crate) fn failed_if(is_wrong: bool, why: impl FnOnce() -> String) -> Result<(), Problem> {
    if is_wrong { Err(Problem::Other(why())) } else { Ok(()) }
}

fn test(options: &command::PolicyFile) -> Result<(), Problem> {
    let file = File::open(&options.file)?;
    let compiled = file.compile(estate(&Sqlite::open(options.answer.state())?)?)?;
    let (policy, view) = (compiled.policy(), compiled.view());
    let mut rows: Vec<(u32, String, Option<String>)> = Vec::new();
    let failures: BTreeMap<usize, String> =
        view.failures().into_iter().map(|failure| (failure.expectation, failure.what)).collect();
    for (number, rule) in policy.expectations.iter().enumerate() {
        rows.push((rule.place.line, format!("expect {rule}"), failures.get(&number).cloned()));
    }
    let violations: BTreeMap<usize, String> = view
        .violations()
        .into_iter()
        .map(|violation| (violation.invariant, format!("there is a way: {}", violation.way)))
        .collect();
    for (number, invariant) in policy.invariants.iter().enumerate() {
        rows.push((invariant.place.line, invariant.to_string(), violations.get(&number).cloned()));
    }
    rows.sort();
    let failed = rows.iter().filter(|(_, _, failure)| failure.is_some()).count();
    let mut out = Output::new();
    if options.answer.json {
        let row = |(line, text, failure): &(u32, String, Option<String>)| json!({"line": line, "statement": text, "holds": failure.is_none(), "why": failure});
        out.json(&rows.iter().map(row).collect::<Vec<_>>())?;
    } else {
        for (line, text, failure) in &rows {
            match failure {
                None => out.line(format_args!("ok      line {line}: {text}"))?,
                Some(why) => out.line(format_args!("FAILED  line {line}: {text}\n        {why}"))?,
            }
        }
        out.line(format_args!("{} hold, {failed} do not.", rows.len() - failed))?;
    }
    out.flush()?;
    failed_if(failed > 0, || format!("{} does not come to what it says", options.file.display()))
}

/// One who is asked about, as a command names him.
fn who<'a>(text: &'a str, estate: &Estate) -> Result<Who<'a>, Problem> {
    match query::find(estate.devices.clone(), text) {
        Ok(device) => Ok(Who::Device(device.id)),
        Err(unknown) => match (text.parse::<IpAddr>(), text.parse::<MacAddr>()) {
            (Ok(ip), _) => Ok(Who::Host(Host::from_ip(ip))),
            (_, Ok(mac)) => Ok(Who::Host(Host::from_mac(mac))),
            _ if text.contains('.') => Ok(Who::Name(text)),
            _ => Err(unknown),
        },
    }
}

/// A service as a command names it: a protocol, or a transport and a port.
fn service(text: &str) -> Result<(Transport, u16, Option<&str>), Problem> {
    if let Some(protocol) = dissect::proto::by_id(text) {
        return match protocol.carriers.first() {
            Some(Carrier::Tcp(ports)) => {
                Ok((Transport::Tcp, ports.first().copied().unwrap_or(0), Some(text)))
            }
            Some(Carrier::Udp(ports)) => {
                Ok((Transport::Udp, ports.first().copied().unwrap_or(0), Some(text)))
            }
            Some(Carrier::EtherType(kind)) => Ok((Transport::Ether(*kind), 0, Some(text))),
            Some(Carrier::Ip(1)) => Ok((Transport::Icmp, 0, Some(text))),
            Some(Carrier::Ip(number)) => Ok((Transport::Ip(*number), 0, Some(text))),
            _ => Err(Problem::Other(format!(
                "{text} has no place of its own: name what carries it, such as tcp/443"
            ))),
        };
    }
    let (transport, port) = text.split_once('/').unwrap_or((text, "0"));
    let transport = match transport {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        "sctp" => Some(Transport::Sctp),
        "icmp" => Some(Transport::Icmp),
        _ => None,
    };
    transport.zip(port.parse().ok()).map(|(transport, port)| (transport, port, None)).ok_or_else(|| {
        Problem::Other(format!(
            "{text} is no service: name a protocol (`pavise protocols --known`) or a port such as tcp/502"
        ))
    })
}

fn operation(text: &str) -> Result<OperationKind, Problem> {
    OPERATIONS.into_iter().find(|kind| operation_name(*kind) == text).ok_or_else(|| {
        let known: Vec<&str> = OPERATIONS.into_iter().map(operation_name).collect();
        Problem::Other(format!("{text} is no operation: it is one of {}", known.join(", ")))
    })
}

fn explain(options: &command::PolicyExplain) -> Result<(), Problem> {
    let estate = estate(&Sqlite::open(options.policy.answer.state())?)?;
    let (client, server) = (who(&options.client, &estate)?, who(&options.server, &estate)?);
    let (transport, port, protocol) = service(&options.service)?;
    let kind = options.operation.as_deref().map(operation).transpose()?;
    let asked = kind.map(|kind| Asked { kind, target: options.target.as_deref() });
    let ask = Ask { protocol, operation: asked, ..Ask::conversation(client, server, transport, port) };
    let file = File::open(&options.policy.file)?;
    let compiled = file.compile(estate)?;
    let explanation = compiled.explain(&ask);
    let mut out = Output::new();
    if options.policy.answer.json {
        let side = |side: &::policy::Side| {
            let memberships = side.memberships.iter();
            let memberships =
                memberships.map(|member| json!({"name": member.name, "because": member.because}));
            json!({
                "who": side.who, "device": side.device, "what": side.what,
                "memberships": memberships.collect::<Vec<_>>(),
            })
        };
        let rules = explanation.rules.iter();
        let rules = rules
            .map(|rule| json!({"line": rule.line, "rule": rule.text, "effect": rule.effect.to_string()}));
        let conduits = explanation.conduits.iter();
        let conduits = conduits.map(
            |crossed| json!({"from": crossed.zones.0, "to": crossed.zones.1, "lines": crossed.lines, "fits": crossed.fits}),
        );
        out.json(&json!({
            "ask": explanation.ask,
            "allowed": explanation.decision.verdict == Verdict::Allow,
            "sentence": explanation.sentence,
            "client": side(&explanation.client),
            "server": side(&explanation.server),
            "rules": rules.collect::<Vec<_>>(),
            "conduits": conduits.collect::<Vec<_>>(),
        }))?;
    } else {
        out.line(explanation)?;
    }
    out.flush()
}

/// A place as a command names it.
fn spot<'a>(text: &'a str, compiled: &Compiled, estate: &Estate) -> Result<Spot<'a>, Problem> {
    if text == "internet" {
        return Ok(Spot::Internet);
    }
    if let Some(name) = text.strip_prefix("role:") {
        return Role::ALL.into_iter().find(|role| role.name() == name).map(Spot::Role).ok_or_else(|| {
            let known: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
            Problem::Other(format!("{name} is no role: it is one of {}", known.join(", ")))
        });
    }
    let policy = compiled.policy();
    let mut names =
        policy.zones.iter().map(|zone| &zone.name).chain(policy.groups.iter().map(|group| &group.name));
    if names.any(|name| **name == *text) {
        return Ok(Spot::Name(text));
    }
    Ok(Spot::Device(query::find(estate.devices.clone(), text)?.id))
}

fn reach(options: &command::PolicyReach) -> Result<(), Problem> {
    let estate = estate(&Sqlite::open(options.policy.answer.state())?)?;
    let file = File::open(&options.policy.file)?;
    let compiled = file.compile(estate.clone())?;
    let view = compiled.view();
    let from = spot(&options.from, &compiled, &estate)?;
    let mut out = Output::new();
    if let Some(to) = &options.to {
        let to = spot(to, &compiled, &estate)?;
        let way = view.way(&from, &to);
        match (&way, options.policy.answer.json) {
            (way, true) => {
                let way = way.as_ref().map(|way| json!({"hops": way.hops.len(), "way": way.to_string()}));
                out.json(&json!({"from": from.to_string(), "to": to.to_string(), "way": way}))?;
            }
            (Some(way), false) => out.line(way)?,
            (None, false) => out.line(format_args!("No way leads from {from} to {to}."))?,
        }
        return out.flush();
    }
    let ways = if options.backward { view.who_reaches(&from) } else { view.reachable_from(&from) };
    let reached = ways.reached();
    if options.policy.answer.json {
        let row = |reached: &::policy::Reached| -> Value {
            let members = reached.members.iter().map(ToString::to_string);
            json!({"hops": reached.hops, "members": members.collect::<Vec<_>>(), "way": ways.way(reached).to_string()})
        };
        out.json(&reached.iter().map(row).collect::<Vec<_>>())?;
        return out.flush();
    }
    if reached.is_empty() {
        let whom = if options.backward { "Nobody reaches" } else { "Nobody is reached from" };
        out.line(format_args!("{whom} {from}."))?;
    }
    for reached in &reached {
        let members: Vec<String> = reached.members.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = reached.members.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let steps = if reached.hops == 1 { "1 step".into() } else { format!("{} steps", reached.hops) };
        out.line(format_args!("{steps}: {}{more}\n  {}", members.join(", "), ways.way(reached)))?;
    }
    out.flush()
}

/// So many devices of a kind are listed.
const SHOWN: usize = 12;

fn diff(options: &command::PolicyDiff) -> Result<(), Problem> {
    let estate = estate(&Sqlite::open(options.answer.state())?)?;
    let (before, after) = (File::open(&options.before)?, File::open(&options.after)?);
    let diff = Diff::new(&before.compile(estate.clone())?, &after.compile(estate)?);
    let mut out = Output::new();
    if options.answer.json {
        let changes = diff.changes.iter().map(|change| {
            json!({
                "now": change.now.to_string(), "from": change.from, "to": change.to, "ports": change.ports.to_string(),
                "example": [change.example.0, change.example.1],
            })
        });
        let reach = diff.reach.iter().map(
            |change| json!({"from": change.from, "to": change.to, "way": change.way.as_ref().map(ToString::to_string)}),
        );
        out.json(&json!({
            "added": diff.added, "removed": diff.removed, "complete": diff.complete,
            "changes": changes.collect::<Vec<_>>(), "reach": reach.collect::<Vec<_>>(),
        }))?;
    } else if diff.is_empty() {
        out.line("Nothing changes.")?;
    } else {
        out.line(diff)?;
    }
    out.flush()
}

fn prove(options: &command::PolicyFile) -> Result<(), Problem> {
    let store = Sqlite::open(options.answer.state())?;
    let file = File::open(&options.file)?;
    let compiled = file.compile(estate(&store)?)?;
    let uses = uses(&store)?;
    failed_if(uses.is_empty(), || {
        "nothing was seen on which a policy could be proven: watch a capture or the network first".into()
    })?;
    let proof = compiled.prove(&uses);
    let mut out = Output::new();
    if options.answer.json {
        let tally = |tally: &::policy::Tally| {
            json!({
                "uses": tally.uses, "conversations": tally.conversations, "bytes": tally.bytes,
                "operations": tally.operations,
            })
        };
        let effects =
            |effects: &::policy::Effects| json!({"kept": tally(&effects.kept), "cut": tally(&effects.cut)});
        let by_device = proof.by_device.iter().map(|(id, told)| (id.to_string(), effects(told)));
        let by_role = proof.by_role.iter().map(|(role, told)| (role.clone(), effects(told)));
        let cuts = proof.cuts.iter().filter_map(|cut| {
            let used = uses.get(cut.used)?;
            let operation = cut.operation.and_then(|place| used.operations.get(place));
            let operation = operation
                .map(|operation| json!({"kind": operation_name(operation.kind), "target": operation.target}));
            Some(json!({
                "what": used.ask().to_string(), "operation": operation, "conversations": used.count,
                "why": compiled.sentence(&cut.decision),
            }))
        });
        out.json(&json!({
            "all": effects(&proof.all),
            "devices": by_device.collect::<serde_json::Map<_, _>>(),
            "roles": by_role.collect::<serde_json::Map<_, _>>(),
            "cuts": cuts.collect::<Vec<_>>(),
        }))?;
    } else {
        out.line(proof.show(&compiled, &uses).trim_end())?;
    }
    out.flush()
}

fn propose(options: &command::PolicyPropose) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    let (estate, uses) = (estate(&store)?, uses(&store)?);
    failed_if(uses.is_empty(), || {
        "nothing was seen from which a policy could be proposed: watch a capture or the network first".into()
    })?;
    let proposal = Proposal::new(&uses, &protocols(), &estate, options.site.as_deref())
        .map_err(|problems| Problem::Other(problems.first().map_or_else(String::new, ToString::to_string)))?;
    let text = proposal.show(&uses);
    let mut out = Output::new();
    match &options.out {
        Some(path) => {
            fs::write(path, &text).map_err(|error| Problem::file("policy", path, error))?;
            out.line(format_args!(
                "{}: {} rules for {} kinds of conversation; {} were left out. `pavise policy lint {0}` looks at it, `pavise policy \
                 prove {0}` replays what was seen.",
                path.display(),
                proposal.policy.rules.len(),
                uses.len(),
                proposal.flagged.len(),
            ))?;
        }
        None => out.line(text.trim_end())?,
    }
    out.flush()
}
