//! `pavise enforce`, and the export of a policy: what may talk to what, made rules of a firewall.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ::enforce::export::{self, Export, ExportError, Version};
use ::enforce::lower::{self, Lowered, Options, guarded, would_cut};
use ::enforce::{
    Address, Change, Counter, Counts, Depth, Drift, Family, FirewallError, KeepError, Keeper, Listing, Mode,
    Nft, OnDrift, Ruleset, Support,
};
use ::policy::{Ask, Compiled, Severity, Use, Who};
use model::{Finding, Host, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Sqlite, Store};

use crate::command::{self, EnforceCommand, ExportTo};
use crate::output::{Output, Problem, say};
use crate::policy::{self, File};

/// What is meant to be in force, in the folder of the state.
const FILE: &str = "enforce.json";
/// So many rows of each list are shown.
const SHOWN: usize = 20;
/// What access lists are called.
const LIST: &str = "PAVISE";

pub(crate) fn run(options: &command::Enforce) -> Result<(), Problem> {
    match &options.command {
        EnforceCommand::Plan(options) => plan(options),
        EnforceCommand::Apply(options) => apply(options),
        EnforceCommand::Status(options) => status(options),
        EnforceCommand::Drift(options) => drift(options),
        EnforceCommand::Remove(options) => remove(options),
    }
}

/// What is meant to be in force. It is written when rules were put there, so that a later command knows it.
#[derive(Debug, Serialize, Deserialize)]
struct Meant {
    /// When rules were first put in force, and when they were changed last.
    since: Timestamp,
    changed: Timestamp,
    /// The file of the policy.
    policy: PathBuf,
    ruleset: Ruleset,
    /// What the firewall held then.
    listing: Option<Listing>,
}

impl Meant {
    fn read(state: &Path) -> Result<Option<Self>, Problem> {
        let path = state.join(FILE);
        let wrong = |why: String| {
            Problem::Other(format!(
                "cannot read {}, which says what is in force: {why}; `pavise enforce apply` writes it anew when it is gone",
                path.display()
            ))
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(error.to_string())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    fn expect(state: &Path) -> Result<Self, Problem> {
        Self::read(state)?.ok_or_else(|| {
            Problem::Other(format!(
                "nothing was put in force from the state {}: `pavise enforce apply POLICY --mode observe` does",
                state.display()
            ))
        })
    }

    /// Written beside and then put in place, so that it is there whole or not at all.
    fn write(&self, state: &Path) -> Result<(), Problem> {
        let (path, beside) = (state.join(FILE), state.join(format!("{FILE}.new")));
        let wrong = |error| Problem::file("account of what is in force", &path, error);
        let bytes = serde_json::to_vec(self).map_err(|error| wrong(error.into()))?;
        fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, &path)).map_err(wrong)
    }
}

#[expect(clippy::disallowed_methods, reason = "since when rules are in force is told by the clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}

/// A refusal, with what to do about it.
fn refused(error: impl Into<KeepError>) -> Problem {
    let error = error.into();
    let help = match &error {
        KeepError::Firewall(FirewallError::Refused(text)) if text.contains("not permitted") => {
            "; run it as root, or with CAP_NET_ADMIN"
        }
        KeepError::Firewall(FirewallError::Refused(text)) if text.contains("not supported") => {
            "; the kernel lacks a part of nf_tables: `modprobe nf_tables` and look at its configuration"
        }
        _ => "",
    };
    Problem::Other(format!("{error}{help}"))
}

fn keeper(family: Family, on_drift: OnDrift) -> Result<Keeper<Nft>, Problem> {
    Keeper::new(Nft::default(), family, on_drift).map_err(refused)
}

const fn word(family: Family) -> &'static str {
    match family {
        Family::Routed => "routed",
        Family::Bridged => "bridged",
    }
}

const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

/// What a policy comes to for a firewall.
fn lowered(
    compiled: &Compiled,
    shape: &command::Shape,
    mode: Mode,
    no_groups: bool,
) -> Result<(Options, Lowered), Problem> {
    let mut guard: Vec<Address> = Vec::new();
    for text in &shape.guard {
        guard.push(text.parse().map_err(|error| Problem::Other(format!("--guard: {error}")))?);
    }
    guard.extend(guarded(compiled));
    guard.sort_unstable();
    guard.dedup();
    let family = if shape.bridged() { Family::Bridged } else { Family::Routed };
    let options = Options { family, mode, strict: shape.strict, no_groups, count_singles: true, guard };
    let lowered = lower::lower(compiled, &options).map_err(|error| Problem::Other(error.to_string()))?;
    Ok((options, lowered))
}

pub(crate) fn export(options: &command::PolicyExport) -> Result<(), Problem> {
    let file = File::open(&options.file)?;
    let compiled = file.compile(policy::estate(&Sqlite::open(&options.state.state)?)?)?;
    let no_groups = matches!(options.to, ExportTo::Kubernetes | ExportTo::Radius);
    let (_, lowered) = lowered(&compiled, &options.shape, Mode::Enforce, no_groups)?;
    let ruleset = &lowered.ruleset;
    let unfit = |error: ExportError| Problem::Other(format!("{}: {error}", options.file.display()));
    let Export { text, left_out } = match options.to {
        ExportTo::Nftables => {
            let compiled = ::enforce::compile(ruleset, Support::FULL)
                .map_err(|error| Problem::Other(error.to_string()))?;
            Export { text: compiled.table.replace().text(), left_out: compiled.notes }
        }
        ExportTo::Cisco => export::cisco_ios(ruleset, LIST).map_err(unfit)?,
        ExportTo::Aruba => export::aruba_cx(ruleset, LIST).map_err(unfit)?,
        ExportTo::Iptables => export::iptables_restore(ruleset, Version::V4).map_err(unfit)?,
        ExportTo::Ip6tables => export::iptables_restore(ruleset, Version::V6).map_err(unfit)?,
        ExportTo::Kubernetes => export::kubernetes(ruleset, &options.namespace).map_err(unfit)?,
        ExportTo::Radius => export::radius_attributes(ruleset, &BTreeMap::new()).map_err(unfit)?,
    };
    for note in lowered.notes.iter().chain(&left_out) {
        say(format_args!("note: {note}"));
    }
    let mut out = Output::new();
    match &options.out {
        Some(path) => {
            fs::write(path, &text).map_err(|error| Problem::file("rules", path, error))?;
            out.line(format_args!(
                "{}: {} classes, {} rules between them.",
                path.display(),
                ruleset.classes.len(),
                ruleset.allows.len()
            ))?;
        }
        None => out.line(text.trim_end())?,
    }
    out.flush()
}

/// A policy that is looked at and proven, on the way to a firewall.
struct Draft {
    lowered: Lowered,
    /// What was seen, is not part of anything that was found, and would be cut.
    cuts: Vec<String>,
    cut_conversations: u64,
    /// How many kinds of conversation were seen at all.
    seen: usize,
}

impl Draft {
    fn new(options: &command::EnforcePlan, mode: Mode) -> Result<Self, Problem> {
        let store = Sqlite::open(options.policy.answer.state())?;
        let file = File::open(&options.policy.file)?;
        let compiled = file.compile(policy::estate(&store)?)?;
        let problems = compiled.lint();
        let errors: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| file.show(problem))
            .collect();
        if !errors.is_empty() {
            return Err(Problem::Other(format!(
                "{} is not to be put in force as it is: {} errors\n{}",
                options.policy.file.display(),
                errors.len(),
                errors.join("\n")
            )));
        }
        let (chosen, lowered) = lowered(&compiled, &options.shape, mode, false)?;
        let uses = policy::uses(&store)?;
        let suspects = suspects(&store, &compiled)?;
        let suspect = |used: &Use| {
            let (client, server) = (party(&compiled, &used.client), party(&compiled, &used.server));
            suspects.contains(&(client.clone(), server.clone())) || suspects.contains(&(server, client))
        };
        let (mut cuts, mut cut_conversations) = (Vec::new(), 0);
        for used in uses.iter().filter(|used| used.answered && !suspect(used)) {
            let ask = asked(used);
            if would_cut(&compiled, &chosen, &ask) {
                cuts.push(format!("{ask}: {}", compiled.sentence(&compiled.decide(&ask))));
                cut_conversations += used.count;
            }
        }
        Ok(Self { lowered, cuts, cut_conversations, seen: uses.len() })
    }

    /// Why it is not to be enforced, if there is a reason.
    fn objection(&self) -> Option<String> {
        if self.seen == 0 {
            return Some("nothing was seen on which it could be proven".into());
        }
        if self.cuts.is_empty() {
            return None;
        }
        let shown: Vec<&str> = self.cuts.iter().take(SHOWN).map(String::as_str).collect();
        let more = self.cuts.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        Some(format!(
            "it would cut {} conversations of {} kinds that were seen and are not part of anything that was found:\n  {}{more}",
            self.cut_conversations,
            self.cuts.len(),
            shown.join("\n  ")
        ))
    }
}

/// A use as packets tell it.
const fn asked(used: &Use) -> Ask<'_> {
    Ask::conversation(Who::Host(used.client), Who::Host(used.server), used.transport, used.port)
}

/// One who takes part in something, by its device if it is one.
fn party(compiled: &Compiled, host: &Host) -> String {
    compiled.device_of(host).map_or_else(|| host.to_string(), |id| id.to_string())
}

/// Who was found to do something to whom, where nobody has said that it is meant or not so.
fn suspects(store: &Sqlite, compiled: &Compiled) -> Result<BTreeSet<(String, String)>, Problem> {
    let findings = store.findings()?;
    let standing = findings
        .iter()
        .filter(|finding| !finding.judgement.as_ref().is_some_and(|said| said.verdict.silences()));
    let pair = |finding: &Finding| {
        let victim = finding.victim.as_ref()?;
        Some((party(compiled, &finding.actor.host), party(compiled, &victim.host)))
    };
    Ok(standing.filter_map(pair).collect())
}

fn plan(options: &command::EnforcePlan) -> Result<(), Problem> {
    let mode = Mode::Enforce;
    let draft = Draft::new(options, mode)?;
    let ruleset = &draft.lowered.ruleset;
    // Without a firewall at hand, what would be done to it is left unsaid.
    let asked = match Keeper::new(Nft::default(), ruleset.family, OnDrift::HandOver) {
        Ok(mut keeper) => {
            if let Some(meant) = Meant::read(options.policy.answer.state())?
                && meant.ruleset.family == ruleset.family
            {
                keeper.adopt(&meant.ruleset, meant.listing).map_err(refused)?;
            }
            keeper.dry_run(ruleset).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    };
    let mut out = Output::new();
    if options.policy.answer.json {
        let change = asked.as_ref().ok().map(change_json);
        out.json(&json!({
            "classes": ruleset.classes.len(), "allows": ruleset.allows.len(), "groups": ruleset.groups.len(),
            "family": word(ruleset.family), "guard": ruleset.guard, "strict": ruleset.strict,
            "notes": draft.lowered.notes, "objection": draft.objection(),
            "cuts": draft.cuts, "change": change, "unchecked": asked.err().map(|error| error.to_string()),
        }))?;
        return out.flush();
    }
    out.line(summary(ruleset))?;
    for note in &draft.lowered.notes {
        out.line(format_args!("note: {note}"))?;
    }
    match draft.objection() {
        Some(objection) => out.line(format_args!("It is not to be enforced: {objection}"))?,
        None => out.line(format_args!(
            "It would cut nothing of the {} kinds of conversation that were seen.",
            draft.seen
        ))?,
    }
    match asked {
        Ok(change) => out.line(format_args!("The firewall would take it: {}.", told(&change)))?,
        Err(error) => out.line(format_args!("Whether the firewall would take it is not known: {error}"))?,
    }
    out.flush()
}

fn summary(ruleset: &Ruleset) -> String {
    let members: usize = ruleset.classes.iter().map(|class| class.members.len()).sum();
    format!(
        "{} rules between {} classes with {members} addresses and networks, {}; {} guarded.",
        ruleset.allows.len(),
        ruleset.classes.len(),
        word(ruleset.family),
        ruleset.guard.len()
    )
}

fn told(change: &Change) -> String {
    if change.whole {
        format!("the whole table, {} elements and {} rules", change.added, change.rules)
    } else {
        format!("{} elements come, {} go, {} rules are written", change.added, change.removed, change.rules)
    }
}

fn change_json(change: &Change) -> Value {
    json!({
        "whole": change.whole, "added": change.added, "removed": change.removed, "rules": change.rules,
        "notes": change.notes,
    })
}

fn apply(options: &command::EnforceApply) -> Result<(), Problem> {
    let mode = if options.mode == command::EnforceMode::Enforce { Mode::Enforce } else { Mode::Observe };
    let (asked, state) = (&options.plan.policy, options.plan.policy.answer.state());
    let draft = Draft::new(&options.plan, mode)?;
    let objection = draft.objection();
    if let (Mode::Enforce, false, Some(objection)) = (mode, options.despite_proof, &objection) {
        return Err(Problem::Other(format!(
            "{} was not put in force: {objection}\nAllow it in the policy, observe first with --mode observe, or give \
             --despite-proof",
            asked.file.display()
        )));
    }
    let ruleset = draft.lowered.ruleset;
    let meant = Meant::read(state)?;
    if let Some(meant) = meant.as_ref().filter(|meant| meant.ruleset.family != ruleset.family) {
        return Err(Problem::Other(format!(
            "{} rules are in force, and these are {} ones: take the former out first with `pavise enforce remove`",
            word(meant.ruleset.family),
            word(ruleset.family)
        )));
    }
    let mut keeper = keeper(ruleset.family, OnDrift::HandOver)?;
    let since = meant.as_ref().map_or_else(now, |meant| meant.since);
    if let Some(meant) = meant {
        keeper.adopt(&meant.ruleset, meant.listing).map_err(refused)?;
        // What somebody else has changed is not to stay: then all of it is put in place.
        if !keeper.look_after(Depth::Elements).map_err(refused)?.is_empty() {
            keeper = self::keeper(ruleset.family, OnDrift::HandOver)?;
        }
    }
    let change = keeper.apply(&ruleset).map_err(refused)?;
    let listing = keeper.listing().cloned();
    let policy = fs::canonicalize(&asked.file).unwrap_or_else(|_| asked.file.clone());
    let meant = Meant { since, changed: now(), policy, ruleset, listing };
    meant.write(state)?;
    let mut out = Output::new();
    if asked.answer.json {
        out.json(&json!({
            "mode": mode_word(mode), "family": word(meant.ruleset.family), "change": change_json(&change),
            "notes": draft.lowered.notes, "cuts": draft.cuts,
        }))?;
        return out.flush();
    }
    out.line(summary(&meant.ruleset))?;
    for note in draft.lowered.notes.iter().chain(&change.notes) {
        out.line(format_args!("note: {note}"))?;
    }
    if let Some(objection) = objection {
        out.line(format_args!("In force although {objection}"))?;
    }
    let does = match mode {
        Mode::Observe => "counts what it would cut, and cuts nothing",
        Mode::Enforce => "cuts what is not allowed",
    };
    out.line(format_args!("In force: {}. It {does}; `pavise enforce status` tells.", told(&change)))?;
    out.flush()
}

/// Who was cut from whom, and how often.
struct CutRow {
    sender: String,
    receiver: String,
    service: String,
    counter: Counter,
}

/// The key of an element in which the firewall keeps what was cut: sender, receiver, protocol number and port.
fn cut_row(key: &str, counter: Counter) -> Option<CutRow> {
    let mut parts = key.split(" . ");
    let (sender, receiver) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (protocol, port) = (parts.next()?, parts.next()?);
    let protocol = match protocol {
        "6" => "tcp",
        "17" => "udp",
        "132" => "sctp",
        other => other,
    };
    Some(CutRow { sender, receiver, service: format!("{protocol}/{port}"), counter })
}

fn status(options: &command::EnforceState) -> Result<(), Problem> {
    let meant = Meant::expect(options.answer.state())?;
    let mut keeper = keeper(meant.ruleset.family, OnDrift::HandOver)?;
    let mode = meant.ruleset.mode;
    keeper.adopt(&meant.ruleset, meant.listing).map_err(refused)?;
    let drift = keeper.look_after(Depth::Structure).map_err(refused)?;
    let Counts { rules, cut, cut_by } = keeper.counts(Depth::Elements).map_err(refused)?;
    let mut rows: Vec<CutRow> = cut_by.iter().filter_map(|(key, counter)| cut_row(key, *counter)).collect();
    rows.sort_by(|a, b| {
        let key = |row: &CutRow| {
            (Reverse(row.counter.packets), row.sender.clone(), row.receiver.clone(), row.service.clone())
        };
        key(a).cmp(&key(b))
    });
    let mut used: Vec<(&str, Counter)> = rules.iter().map(|(name, counter)| (&**name, *counter)).collect();
    used.sort_by_key(|(name, counter)| (Reverse(counter.packets), *name));
    let mut out = Output::new();
    if options.answer.json {
        let rules = used
            .iter()
            .map(|(name, counter)| json!({"rule": name, "packets": counter.packets, "bytes": counter.bytes}));
        let cut_by = rows.iter().map(|row| {
            json!({
                "sender": row.sender, "receiver": row.receiver, "service": row.service, "packets": row.counter.packets,
            })
        });
        out.json(&json!({
            "since": meant.since, "changed": meant.changed, "policy": meant.policy, "mode": mode_word(mode),
            "family": word(meant.ruleset.family), "classes": meant.ruleset.classes.len(),
            "rules": rules.collect::<Vec<_>>(), "cut": {"packets": cut.packets, "bytes": cut.bytes},
            "cut_by": cut_by.collect::<Vec<_>>(), "drift": differences(&drift), "more_drift": drift.more,
        }))?;
        return out.flush();
    }
    out.line(format_args!(
        "{} in force since {}, changed {}: mode {}.",
        meant.policy.display(),
        meant.since,
        meant.changed,
        mode_word(mode)
    ))?;
    out.line(summary(&meant.ruleset))?;
    if !drift.is_empty() {
        out.line(format_args!(
            "Somebody else has changed it: {drift}; `pavise enforce drift --repair` puts it right."
        ))?;
    }
    let verb = if mode == Mode::Observe { "would have been cut" } else { "were cut" };
    out.line(format_args!(
        "{} packets {verb}{}",
        cut.packets,
        if rows.is_empty() { "." } else { "; in the last hour:" }
    ))?;
    for row in rows.iter().take(SHOWN) {
        out.line(format_args!(
            "  {} -> {} {}: {}",
            row.sender, row.receiver, row.service, row.counter.packets
        ))?;
    }
    more(&mut out, rows.len())?;
    out.line("Conversations opened by rule (of single devices, where they are counted):")?;
    for (name, counter) in used.iter().take(SHOWN) {
        out.line(format_args!("  {}: {}", name, counter.packets))?;
    }
    more(&mut out, used.len())?;
    out.flush()
}

fn more(out: &mut Output, rows: usize) -> Result<(), Problem> {
    match rows.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => out.line(format_args!("  and {more} more; --json lists all")),
    }
}

fn differences(drift: &Drift) -> Vec<String> {
    drift.differences.iter().map(ToString::to_string).collect()
}

fn drift(options: &command::EnforceDrift) -> Result<(), Problem> {
    let state = options.answer.state();
    let mut meant = Meant::expect(state)?;
    let on_drift = if options.repair { OnDrift::Repair } else { OnDrift::HandOver };
    let mut keeper = keeper(meant.ruleset.family, on_drift)?;
    keeper.adopt(&meant.ruleset, meant.listing.take()).map_err(refused)?;
    let drift = keeper.look_after(Depth::Elements).map_err(refused)?;
    let repaired = options.repair && !drift.is_empty();
    if repaired {
        meant.listing = keeper.listing().cloned();
        meant.write(state)?;
    }
    let mut out = Output::new();
    if options.answer.json {
        out.json(&json!({"drift": differences(&drift), "more": drift.more, "repaired": repaired}))?;
    } else if drift.is_empty() {
        out.line("The firewall holds what was put there.")?;
    } else {
        for difference in &drift.differences {
            out.line(difference)?;
        }
        if drift.more > 0 {
            out.line(format_args!("and {} more", drift.more))?;
        }
        out.line(if repaired {
            "It was put right."
        } else {
            "`pavise enforce drift --repair` puts it right."
        })?;
    }
    out.flush()?;
    policy::failed_if(!drift.is_empty() && !repaired, || {
        "the firewall does not hold what was put there".into()
    })
}

fn remove(options: &command::EnforceState) -> Result<(), Problem> {
    let state = options.answer.state();
    let meant = Meant::expect(state)?;
    keeper(meant.ruleset.family, OnDrift::HandOver)?.remove().map_err(refused)?;
    let path = state.join(FILE);
    fs::remove_file(&path).map_err(|error| {
        Problem::Other(format!(
            "the rules are out of force, but {} could not be deleted: {error}",
            path.display()
        ))
    })?;
    let mut out = Output::new();
    if options.answer.json {
        out.json(&json!({"removed": meant.policy, "since": meant.since}))?;
    } else {
        out.line(format_args!(
            "{} is out of force; what passes is no longer looked at.",
            meant.policy.display()
        ))?;
    }
    out.flush()
}
