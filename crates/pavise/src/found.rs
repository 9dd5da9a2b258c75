//! `pavise findings`, `finding`, `incidents`, `verdict`, `detectors`: what is wrong.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::path::Path;

use detect::{DETECTORS, LEARNING, Rule, technique};
use indicatif::HumanCount;
use model::{Crossed, Device, Finding, Incident, Judgement, Party, Scope, Severity, Slice, Verdict};
use serde::Serialize;
use store::{Sqlite, Store};

use crate::actions;
use crate::command;
use crate::evidence;
use crate::output::{Array, Output, Problem, say};
use crate::query;
use crate::show::{self, LEFT, RIGHT, Rows, Set, moment, table};

/// Whether nobody said that it is expected or false.
fn is_open(finding: &Finding) -> bool {
    !finding.is_silenced()
}

/// The worst first, the latest of them first.
pub(crate) fn in_order(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        (std::cmp::Reverse(finding.severity), std::cmp::Reverse(finding.last), finding.id)
    });
}

/// Findings as a table.
pub(crate) fn list<'a>(findings: impl Iterator<Item = &'a Finding>) -> Rows {
    let mut table = table(&[
        ("ID", LEFT),
        ("SEVERITY", LEFT),
        ("FINDING", Set::Text(26)),
        ("WHAT HAPPENED", Set::Story(84)),
        ("TIMES", RIGHT),
        ("LAST", LEFT),
    ]);
    for finding in findings {
        let severity = match &finding.judgement {
            Some(judgement) => format!("{} ({})", finding.severity, judgement.verdict),
            None => finding.severity.to_string(),
        };
        table.add_row([
            finding.id.to_string(),
            severity,
            finding.title.to_string(),
            finding.summary.to_string(),
            HumanCount(finding.count).to_string(),
            moment(finding.last),
        ]);
    }
    table
}

/// Incidents as a table.
pub(crate) fn list_incidents<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Rows {
    let mut table = table(&[
        ("ID", LEFT),
        ("SEVERITY", LEFT),
        ("INCIDENT", Set::Story(72)),
        ("STAGE", Set::Text(28)),
        ("FINDINGS", RIGHT),
        ("VICTIMS", RIGHT),
        ("FROM", Set::Spare),
        ("LAST", LEFT),
    ]);
    for incident in incidents {
        table.add_row([
            incident.id.to_string(),
            incident.severity.to_string(),
            incident.title.to_string(),
            incident.stage.to_string(),
            incident.findings.len().to_string(),
            incident.victims.len().to_string(),
            moment(incident.first),
            moment(incident.last),
        ]);
    }
    table
}

/// The worst first, the latest of them first.
pub(crate) fn incidents_in_order(incidents: &mut [Incident]) {
    incidents.sort_by_key(|incident| {
        (std::cmp::Reverse(incident.severity), std::cmp::Reverse(incident.last), incident.id)
    });
}

pub(crate) fn findings(options: &command::Findings) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    if let Some(id) = &options.detector {
        rule(id)?;
    }
    let device = options.device.as_ref().map(|text| query::find(store.devices()?, text)).transpose()?;
    let least = Severity::ALL.into_iter().find(|severity| severity.name() == options.severity);
    let has_part = |finding: &Finding| {
        let parties = [Some(&finding.actor), finding.victim.as_ref()];
        device.as_ref().is_none_or(|device| parties.into_iter().flatten().any(|party| is(party, device)))
    };
    let selected = options.which.read(&store, ::query::FINDING)?;
    let mut found = store.findings()?;
    found.retain(|finding| {
        query::is_selected(selected.as_ref(), finding)
            && least.is_none_or(|least| finding.severity >= least)
            && options.detector.as_ref().is_none_or(|id| finding.detector == *id)
            && has_part(finding)
    });
    in_order(&mut found);
    if options.json {
        return array(found.iter());
    }
    let shown: Vec<_> = found.iter().filter(|finding| options.all || is_open(finding)).collect();
    let mut out = Output::new();
    if !shown.is_empty() {
        out.line(list(shown.iter().copied()))?;
    }
    let silenced = found.len() - shown.len();
    let more =
        if silenced == 0 { String::new() } else { format!(", and {silenced} silenced (--all lists them)") };
    let hint = if shown.is_empty() { "" } else { " `pavise finding ID` explains one." };
    out.line(format_args!("{}{more}.{hint}", count(shown.len(), "finding")))?;
    out.flush()
}

/// Whether a party is that device.
fn is(party: &Party, device: &Device) -> bool {
    party.device == Some(device.id)
        || party.host.ip.is_some_and(|ip| device.addresses.iter().any(|known| known.ip == ip))
        || party.host.ip.is_none() && party.host.mac.is_some_and(|mac| device.macs.contains(&mac))
}

fn array<'a, T: Serialize + 'a>(all: impl Iterator<Item = &'a T>) -> Result<(), Problem> {
    let mut array = Array::new();
    for one in all {
        array.push(one)?;
    }
    array.end()
}

/// The one thing whose id begins like that.
pub(crate) fn begins<T>(
    all: Vec<T>,
    what: &str,
    text: &str,
    id: impl Fn(&T) -> String,
) -> Result<T, Problem> {
    let lower = text.to_lowercase();
    let (mut found, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| id(one) == lower);
    if found.is_empty() && !lower.is_empty() {
        found.extend(rest.into_iter().filter(|one| id(one).starts_with(&lower)));
    }
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) if text.is_empty() => {
            Err(Problem::Other(format!("no id of a {what} is given: `pavise {what}s` lists those that are")))
        }
        (None, _) => Err(Problem::Other(format!(
            "no {what} is known as {text}: `pavise {what}s` lists those that are"
        ))),
        (Some(last), _) => {
            let ids: Vec<_> = found.iter().chain([&last]).take(5).map(id).collect();
            let more = (found.len() + 1).saturating_sub(ids.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Err(Problem::Other(format!(
                "several {what}s begin with {text}: {}{more}; give more of the id",
                ids.join(", ")
            )))
        }
    }
}

fn named(store: &Sqlite, text: &str) -> Result<Finding, Problem> {
    begins(store.findings()?, "finding", text, |finding| finding.id.to_string())
}

pub(crate) fn finding(options: &command::Finding) -> Result<(), Problem> {
    let state = options.answer.state();
    let store = Sqlite::open(state)?;
    let finding = named(&store, &options.id)?;
    if let Some(path) = &options.pcap {
        copy_slice(&finding, state, path)?;
        if !options.answer.json {
            return Ok(());
        }
    }
    if options.answer.json {
        let mut out = Output::new();
        out.json(&finding)?;
        return out.flush();
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let page = Page { finding: &finding, devices: &store.devices()?, state }.to_string();
    let page: String = page.lines().map(|line| labelled(line) + "\n").collect();
    out.write_all(page.as_bytes()).and_then(|()| out.flush()).map_err(Problem::Output)
}

/// Copies the packets of a finding to where the user wants them, if they are what was kept.
fn copy_slice(finding: &Finding, state: &Path, to: &Path) -> Result<(), Problem> {
    let id = finding.id;
    match &finding.evidence {
        Slice::Kept { packets, sha256, .. } => {
            let from = evidence::path(state, id);
            let capture = std::fs::read(&from).map_err(|error| {
                Problem::Other(format!("the packets of {id} are no longer in {}: {error}", from.display()))
            })?;
            if evidence::digest(&capture) != **sha256 {
                return Err(Problem::Other(format!(
                    "{} is not what was kept for {id}: its SHA-256 is another; do not rely on it",
                    from.display()
                )));
            }
            std::fs::write(to, capture).map_err(|error| Problem::file("capture", to, error))?;
            say(format_args!("Wrote {packets} packets to {}.", to.display()));
            Ok(())
        }
        Slice::Missing { reason } => {
            Err(Problem::Other(format!("the packets of {id} were not kept: {reason}")))
        }
        Slice::Open => Err(Problem::Other(format!(
            "the packets of {id} are still being gathered, or the run was told to keep none (--ring 0)"
        ))),
    }
}

/// A line of a page: what stands behind a label stays there where it is broken.
fn labelled(line: &str) -> String {
    show::fit(line, if line.starts_with("  ") { LABEL } else { 0 })
}

/// Labels are so wide, with what stands before and behind them.
const LABEL: usize = 13;

/// Everything about one finding, for people.
struct Page<'a> {
    finding: &'a Finding,
    devices: &'a [Device],
    state: &'a Path,
}

impl Page<'_> {
    fn party(&self, party: &Party) -> String {
        let device = party.device.and_then(|id| self.devices.iter().find(|device| device.id == id));
        match device {
            Some(device) if show::name(device) == "-" => format!("{party}  {}", device.id),
            Some(device) => format!("{party}  {}  {}", device.id, show::name(device)),
            None => party.to_string(),
        }
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finding = self.finding;
        writeln!(f, "{}  {}  {}", finding.id, finding.severity.name().to_uppercase(), finding.title)?;
        writeln!(f, "{}\n", finding.summary)?;
        let known = rule_of(finding);
        writeln!(f, "  detector   {}{}", finding.detector, known.map_or_else(String::new, attack))?;
        writeln!(f, "  actor      {}", self.party(&finding.actor))?;
        if let Some(victim) = &finding.victim {
            writeln!(f, "  victim     {}", self.party(victim))?;
        }
        if !finding.matter.is_empty() {
            writeln!(f, "  matter     {}", finding.matter)?;
        }
        let times = match finding.count {
            1 => "once".to_owned(),
            count => format!("{} times", HumanCount(count)),
        };
        writeln!(f, "  seen       {} to {}, {times}", moment(finding.first), moment(finding.last))?;
        let needed = finding.raised.since(finding.first).as_secs_f64();
        writeln!(f, "  raised     {}, {needed:.1} s after it began", moment(finding.raised))?;
        if let Some(crossed) = &finding.crossed {
            writeln!(f, "  threshold  {}", threshold(crossed))?;
        }
        for factor in &finding.factors {
            writeln!(f, "  because    {}: {} (usual: {})", factor.name, factor.seen, factor.usual)?;
        }
        for (label, text) in ["evidence", "SHA-256"].iter().zip(evidence(finding, self.state)) {
            writeln!(f, "  {label:<11}{text}")?;
        }
        let mut flows = String::new();
        for flow in finding.conversations.iter().take(4) {
            write!(flows, "{flow} ")?;
        }
        match finding.conversations.len() {
            0 => {}
            count @ 1..=4 => writeln!(f, "  flows      {}({count} in all)", flows)?,
            count => writeln!(f, "  flows      {flows}and {} more", count - 4)?,
        }
        if let Some(incident) = finding.incident {
            writeln!(f, "  incident   {incident}")?;
        }
        if !finding.because.is_empty() {
            let causes: Vec<_> = finding.because.iter().map(ToString::to_string).collect();
            writeln!(f, "  rests on   {}", causes.join(", "))?;
        }
        if let Some(judgement) = &finding.judgement {
            writeln!(f, "  verdict    {}", said(judgement))?;
        }
        known.map_or(Ok(()), |rule| {
            write!(
                f,
                "\nWhat is looked for\n{}\nWhy it matters\n{}\nWhat to do\n{}",
                paragraph(rule.finds),
                paragraph(rule.matters),
                paragraph(rule.fix)
            )
        })
    }
}

/// What is kept of the packets that show a finding; and, if they are kept, their SHA-256.
pub(crate) fn evidence(finding: &Finding, state: &Path) -> Vec<String> {
    match &finding.evidence {
        Slice::Kept { packets, sha256, replays } => {
            let path = evidence::path(state, finding.id);
            let alone = if *replays {
                "they show it by themselves"
            } else if matches!(&*finding.detector, "policy-violation" | "mud-deviation") {
                "they do not show it by themselves: it takes the policy or description that denies it"
            } else {
                "they do not show it by themselves: it takes what was learnt before"
            };
            let packets = format!("{} in {}; {alone}", count(*packets as usize, "packet"), path.display());
            vec![packets, sha256.to_string()]
        }
        Slice::Missing { reason } => vec![format!("no packets: {reason}")],
        Slice::Open => vec!["no packets were kept".into()],
    }
}

/// A verdict, in words.
pub(crate) fn said(judgement: &Judgement) -> String {
    let Judgement { verdict, scope, reason, by, declared } = judgement;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if *declared {
        return format!("{verdict}, by the settings{because}");
    }
    let said = by.map_or_else(String::new, |by| format!(", said of {by}"));
    format!("{verdict}, for {}{said}{because}", of(*scope))
}

/// A threshold that was crossed, in words.
pub(crate) fn threshold(crossed: &Crossed) -> String {
    let Crossed { threshold, limit, seen, unit, set_for } = crossed;
    let set = set_for.as_ref().map_or_else(String::new, |whom| format!(" (set for {whom})"));
    format!("{threshold}: {} {unit} seen, {} allowed{set}", number(*seen), number(*limit))
}

const fn of(scope: Scope) -> &'static str {
    match scope {
        Scope::Finding => "this finding",
        Scope::Actor => "whatever the detector finds of this actor",
        Scope::Victim => "whatever the detector finds of this victim",
        Scope::Detector => "whatever the detector finds",
    }
}

/// A number with as many digits as tell something: three.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// How many of something there are.
pub(crate) fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", HumanCount(number as u64))
}

/// Techniques of a detector, in brackets.
pub(crate) fn attack(rule: &Rule) -> String {
    let names: Vec<_> = rule
        .attack
        .iter()
        .filter_map(|id| technique(id))
        .map(|known| format!("{} {}", known.id, known.name))
        .collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// Lines of text are at most so wide.
const TEXT_WIDTH: usize = 100;

/// Text in indented lines.
pub(crate) fn paragraph(text: &str) -> String {
    let width = show::terminal().map_or(TEXT_WIDTH, |terminal| terminal.min(TEXT_WIDTH));
    let words: Vec<_> = text.split_whitespace().collect();
    show::wrap(&format!("  {}", show::plain(&words.join(" "))), 2, width) + "\n"
}

/// An incident and what was done about it.
#[derive(Serialize)]
struct Responded {
    #[serde(flatten)]
    incident: Incident,
    /// The oldest first.
    actions: Vec<actions::Taken>,
}

pub(crate) fn incidents(options: &command::Incidents) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    let selected = options.which.read(&store, ::query::INCIDENT)?;
    let mut all = store.incidents()?;
    all.retain(|incident| query::is_selected(selected.as_ref(), incident));
    incidents_in_order(&mut all);
    let Some(id) = &options.id else {
        if options.json {
            return array(all.iter());
        }
        let mut out = Output::new();
        if !all.is_empty() {
            out.line(list_incidents(all.iter()))?;
        }
        let hint = if all.is_empty() { "" } else { " `pavise incidents ID` tells one's story." };
        out.line(format_args!("{}.{hint}", count(all.len(), "incident")))?;
        return out.flush();
    };
    let incident = begins(all, "incident", id, |incident| incident.id.to_string())?;
    let mut actions = actions::read(&options.state.state)?;
    actions.retain(|action| action.incident == Some(incident.id));
    let mut out = Output::new();
    if options.json {
        out.json(&Responded { incident, actions })?;
        return out.flush();
    }
    let mut timeline: Vec<_> =
        store.findings()?.into_iter().filter(|finding| incident.findings.contains(&finding.id)).collect();
    timeline.sort_by_key(|finding| (finding.first, finding.id));
    out.line(story(&incident, &timeline))?;
    if !actions.is_empty() {
        out.line(format_args!("What was done\n{}", actions::list(&actions)))?;
    }
    out.flush()
}

/// An incident's story.
fn story(incident: &Incident, timeline: &[Finding]) -> String {
    let parties = |parties: &[Party]| {
        let shown: Vec<_> = parties.iter().take(8).map(ToString::to_string).collect();
        let more = parties.len().saturating_sub(8);
        shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    let mut text = format!(
        "{}  {}  {}\n\n  stage      {}\n  from       {} to {}\n  actors     {}\n",
        incident.id,
        incident.severity.name().to_uppercase(),
        incident.title,
        incident.stage,
        moment(incident.first),
        moment(incident.last),
        parties(&incident.actors)
    );
    if !incident.victims.is_empty() {
        text.push_str(&format!("  victims    {}\n", parties(&incident.victims)));
    }
    text = text.lines().map(|line| labelled(line) + "\n").collect();
    let mut rows = table(&[
        ("FROM", LEFT),
        ("SEVERITY", LEFT),
        ("FINDING", LEFT),
        ("WHAT HAPPENED", Set::Whole),
        ("TIMES", RIGHT),
    ]);
    for finding in timeline {
        rows.add_row([
            moment(finding.first),
            finding.severity.to_string(),
            finding.id.to_string(),
            finding.summary.to_string(),
            HumanCount(finding.count).to_string(),
        ]);
    }
    text.push_str(&format!("\n{rows}\nWhat to do first\n{}", paragraph(&incident.response)));
    if !incident.next.is_empty() {
        let mut rows = table(&[("LIKELY NEXT", LEFT), ("FROM", LEFT), ("SHARE", RIGHT), ("WHY", Set::Whole)]);
        for step in &incident.next {
            rows.add_row([
                step.to.to_string(),
                step.from.to_string(),
                format!("{:.0} %", step.weight * 100.0),
                step.reason.to_string(),
            ]);
        }
        text.push_str(&format!("\n{rows}"));
    }
    text
}

pub(crate) fn verdict(options: &command::Verdict) -> Result<(), Problem> {
    let mut store = Sqlite::open_to_judge(&options.state.state)?;
    let finding = named(&store, &options.id)?;
    let verdict = match &*options.verdict {
        "true" => Some(Verdict::True),
        "expected" => Some(Verdict::Expected),
        "false" => Some(Verdict::False),
        _ => None,
    };
    let scope = match &*options.scope {
        "actor" => Scope::Actor,
        "victim" => Scope::Victim,
        "detector" => Scope::Detector,
        _ => Scope::Finding,
    };
    if scope == Scope::Victim && finding.victim.is_none() {
        return Err(Problem::Other(format!("{} has no victim: choose another --scope", finding.id)));
    }
    let judgement = verdict.map(|verdict| Judgement {
        verdict,
        scope,
        reason: options.reason.as_str().into(),
        by: None,
        declared: false,
    });
    store.judge(finding.id, judgement)?;
    say(match verdict {
        Some(verdict) if verdict.silences() => format!(
            "{} is {verdict}: {} is silenced. `pavise verdict {} clear` takes it back.",
            finding.id,
            of(scope),
            finding.id
        ),
        Some(verdict) if LEARNING.contains(&&*finding.detector) => format!(
            "{} is {verdict}: nothing is learnt of what {} does. `pavise verdict {} clear` takes it back.",
            finding.id, finding.actor, finding.id
        ),
        Some(verdict) => format!("{} is {verdict}.", finding.id),
        None => format!("What was said of {} is taken back.", finding.id),
    });
    Ok(())
}

/// The detector that found it, if this version has it.
pub(crate) fn rule_of(finding: &Finding) -> Option<&'static Rule> {
    DETECTORS.iter().find(|rule| rule.id == finding.detector).copied()
}

/// The detector of that id.
fn rule(id: &str) -> Result<&'static Rule, Problem> {
    DETECTORS.iter().find(|rule| rule.id == id).copied().ok_or_else(|| {
        Problem::Other(format!("no detector is called {id}: `pavise detectors` lists those that are"))
    })
}

pub(crate) fn detectors(options: &command::Detectors) -> Result<(), Problem> {
    let chosen: Vec<&Rule> = match &options.id {
        Some(id) => vec![rule(id)?],
        None => DETECTORS.to_vec(),
    };
    if options.markdown {
        let mut out = Output::new();
        out.line(catalogue(&chosen).trim_end())?;
        return out.flush();
    }
    if options.json {
        let described: Vec<_> = chosen.iter().map(|rule| Described::of(rule)).collect();
        return array(described.iter());
    }
    let mut out = Output::new();
    if options.id.is_some() {
        for rule in chosen {
            out.line(page(rule).trim_end())?;
        }
        return out.flush();
    }
    let mut rows = table(&[
        ("ID", LEFT),
        ("SEVERITY", LEFT),
        ("FINDS", Set::Text(60)),
        ("ATT&CK", Set::Text(32)),
        ("CAN BE SET", Set::Spare),
    ]);
    for rule in &chosen {
        let set: Vec<_> =
            rule.thresholds.iter().map(|known| format!("{} {}", known.name, known.usual)).collect();
        rows.add_row([
            rule.id.to_owned(),
            rule.severity.to_string(),
            rule.title.to_owned(),
            rule.attack.join(" "),
            set.join(", "),
        ]);
    }
    out.line(rows)?;
    out.line(format_args!("{}. `pavise detectors ID` explains one.", count(chosen.len(), "detector")))?;
    out.flush()
}

/// A detector's page.
fn page(rule: &Rule) -> String {
    let head = show::fit(&format!("{}  {}{}", rule.id, rule.title, attack(rule)), 2);
    let keeps = show::fit(&format!("Keeps {}.", rule.keeps), 0);
    let mut text = format!(
        "{head}\n\nWhat it looks for\n{}\nWhy it matters\n{}\nWhat to do\n{}\n{keeps}\n",
        paragraph(rule.finds),
        paragraph(rule.matters),
        paragraph(rule.fix),
    );
    for known in rule.thresholds {
        let (id, name, about) = (rule.id, known.name, known.about);
        let line = format!("  {id}.{name} = {} {}: {about}", known.usual, known.unit);
        text.push_str(&format!("{}\n", show::fit(&line, 4)));
    }
    text
}

/// The catalogue, as a page in Markdown.
fn catalogue(rules: &[&Rule]) -> String {
    let mut text =
        "# The detectors\n\nMade by `pavise detectors --markdown`. Every threshold can be set for \
                    everybody or for some: see [findings](findings.md).\n\n\
                    | id | finds | severity | MITRE ATT&CK |\n|---|---|---|---|\n"
            .to_owned();
    for rule in rules {
        let Rule { id, title, severity, .. } = rule;
        text.push_str(&format!("| [{id}](#{id}) | {title} | {severity} | {} |\n", rule.attack.join(", ")));
    }
    for rule in rules {
        text.push_str(&format!(
            "\n## {}\n\n**{}**, {}{}.\n\n{}\n\n*Why it matters.* {}\n\n*What to do.* {}\n\nIt keeps {}.\n",
            rule.id,
            rule.title,
            rule.severity,
            attack(rule),
            rule.finds,
            rule.matters,
            rule.fix,
            rule.keeps
        ));
        if !rule.thresholds.is_empty() {
            text.push_str("\n| setting | usual | what it limits |\n|---|---|---|\n");
        }
        for known in rule.thresholds {
            let (id, name, about) = (rule.id, known.name, known.about);
            text.push_str(&format!("| `{id}.{name}` | {} {} | {about} |\n", known.usual, known.unit));
        }
    }
    text
}

/// A detector, for programs.
#[derive(Serialize)]
struct Described {
    id: &'static str,
    title: &'static str,
    severity: Severity,
    attack: &'static [&'static str],
    finds: &'static str,
    matters: &'static str,
    fix: &'static str,
    keeps: &'static str,
    thresholds: Vec<Setting>,
}

/// A threshold, for programs.
#[derive(Serialize)]
struct Setting {
    name: String,
    about: &'static str,
    unit: &'static str,
    usual: f64,
}

impl Described {
    fn of(rule: &'static Rule) -> Self {
        let set = |known: &'static detect::Threshold| Setting {
            name: format!("{}.{}", rule.id, known.name),
            about: known.about,
            unit: known.unit,
            usual: known.usual,
        };
        Self {
            id: rule.id,
            title: rule.title,
            severity: rule.severity,
            attack: rule.attack,
            finds: rule.finds,
            matters: rule.matters,
            fix: rule.fix,
            keeps: rule.keeps,
            thresholds: rule.thresholds.iter().map(set).collect(),
        }
    }
}

/// So many findings are listed at the end of a run.
const FINDINGS_SHOWN: usize = 20;

/// What a run has found, for its summary.
pub(crate) fn summary(findings: &[Finding], incidents: &[Incident]) -> String {
    let open: Vec<_> = findings.iter().filter(|finding| is_open(finding)).collect();
    if open.is_empty() {
        return "No findings.\n".into();
    }
    let mut text = String::new();
    if !incidents.is_empty() {
        text.push_str(&format!("Incidents\n{}\n", list_incidents(incidents.iter())));
    }
    text.push_str(&format!("Findings\n{}", list(open.iter().take(FINDINGS_SHOWN).copied())));
    let more = match open.len().checked_sub(FINDINGS_SHOWN) {
        Some(more @ 1..) => format!("and {more} more (`pavise findings` lists all). "),
        _ => String::new(),
    };
    text + &format!("{more}`pavise finding ID` explains one and has its packets.\n")
}
