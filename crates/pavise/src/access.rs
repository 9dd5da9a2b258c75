//! `pavise access`: who may do what; policies in Cedar read, checked, asked, compared.

use std::fs;
use std::path::{Path, PathBuf};

use ::trust::access::{
    ACTIONS, Circumstances, DEFAULT, Decision, MAX_CRITICALITY, Policies, Principal, ROLES, Request, SCHEMA,
    Target, ZONE_KINDS,
};
use clap::{Args, Subcommand};
use model::Access;
use serde_json::json;

use crate::output::{Array, Output, Problem};
use crate::show::{self, LEFT};

/// A policy may be in files with this suffix.
const SUFFIX: &str = "cedar";

#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pavise access matrix                               who may do what, by the built-in policies
  pavise access explain operator write-plc-register --zone safety
  pavise access default > site.cedar                 the built-in policies, to begin with
  pavise access check site.cedar
  pavise access diff site.cedar proposed.cedar"
)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: AccessCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AccessCommand {
    /// Read policies, check them against the schema, and tell which of them never matter
    Check(Policy),
    /// Tell which role may do what in which kind of zone
    Matrix(Policy),
    /// Tell who gains and loses what from one set of policies to another
    Diff(Diff),
    /// Tell what comes of one request, and why
    Explain(Explain),
    /// Print the built-in policies
    Default(Print),
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise access check site.cedar
  pavise access matrix policies/ --json

Exit status: 1 if a policy cannot be read or does not fit the schema.")]
struct Policy {
    /// A file of policies, or a folder of such files (*.cedar); the built-in ones unless given
    #[arg(value_name = "FILE.cedar")]
    file: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise access diff site.cedar               from the built-in policies to those
  pavise access diff site.cedar proposed.cedar --json")]
struct Diff {
    /// The policies as they are; with one file only, those as they may become
    #[arg(value_name = "BEFORE.cedar")]
    before: PathBuf,
    /// The policies as they may become
    #[arg(value_name = "AFTER.cedar")]
    after: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise access explain engineer program-plc --zone industrial --mfa-age 3600
  pavise access explain analyst,auditor judge-finding
  pavise access explain administrator approve-policy --own
  pavise access explain operator write-plc-register --policy site.cedar --json")]
struct Explain {
    /// The roles of who asks, with commas between them
    #[arg(value_name = "ROLES", required = true, num_args = 1, value_delimiter = ',')]
    roles: Vec<String>,
    /// What is asked for
    #[arg(value_name = "ACTION", value_parser = clap::builder::PossibleValuesParser::new(ACTIONS.map(|(name, _)| name)))]
    action: String,
    /// The kind of zone in which it is done
    #[arg(long, value_name = "KIND", default_value = ZONE_KINDS[0], value_parser = clap::builder::PossibleValuesParser::new(ZONE_KINDS))]
    zone: String,
    /// How bad it is if something happens to the device, from 0 to 3
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_CRITICALITY)))]
    criticality: u8,
    /// Seconds since the last second factor; unless given, there was none
    #[arg(long, value_name = "SECONDS")]
    mfa_age: Option<u32>,
    /// How far the device is trusted from which is asked
    #[arg(long, value_name = "ACCESS", default_value = "full", value_parser = ["full", "limited", "quarantine"])]
    posture: String,
    /// The user was never seen at that place
    #[arg(long)]
    new_location: bool,
    /// Who asks has proposed it
    #[arg(long)]
    own: bool,
    /// Who asks is a program
    #[arg(long)]
    service: bool,
    /// A file or folder of policies; the built-in ones unless given
    #[arg(long, value_name = "FILE.cedar")]
    policy: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise access default > site.cedar
  pavise access default --schema              what policies can speak of")]
struct Print {
    /// Print the schema instead
    #[arg(long)]
    schema: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    match &options.command {
        AccessCommand::Check(options) => check(options),
        AccessCommand::Matrix(options) => matrix(options),
        AccessCommand::Diff(options) => diff(options),
        AccessCommand::Explain(options) => explain(options),
        AccessCommand::Default(options) => print(options),
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Problem {
    Problem::Other(format!("cannot read the policies {}: {error}; check the name", path.display()))
}

/// The policies in a file or a folder; the built-in ones if there is none.
pub(crate) fn read(path: Option<&Path>) -> Result<Policies, Problem> {
    let wrong = |error: ::trust::access::AccessError| Problem::Other(error.to_string());
    let Some(path) = path else { return Policies::built_in().map_err(wrong) };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(|error| unread(path, &error))? {
            let file = entry.map_err(|error| unread(path, &error))?.path();
            if file.extension().is_some_and(|suffix| suffix == SUFFIX) {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() {
            let what =
                format!("there is no file *.{SUFFIX} in {}: name one that has policies", path.display());
            return Err(Problem::Other(what));
        }
    } else {
        files.push(path.to_owned());
    }
    let mut texts = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| unread(file, &error))?;
        texts.push((file.display().to_string(), text));
    }
    let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Policies::parse(&texts).map_err(wrong)
}

fn analysed(policies: &Policies) -> Result<::trust::access::Matrix, Problem> {
    ::trust::access::matrix(policies).map_err(|error| Problem::Other(error.to_string()))
}

fn check(options: &Policy) -> Result<(), Problem> {
    let policies = read(options.file.as_deref())?;
    let idle = analysed(&policies)?.idle;
    let mut out = Output::new();
    if options.json {
        out.json(&json!({ "policies": policies.ids().collect::<Vec<_>>(), "idle": idle }))?;
        return out.flush();
    }
    for id in &idle {
        out.line(format_args!("warning: without {id} every decision would be the same"))?;
    }
    out.line(format_args!("{} policies, {} of which never matter.", policies.ids().count(), idle.len()))?;
    out.flush()
}

fn matrix(options: &Policy) -> Result<(), Problem> {
    let matrix = analysed(&read(options.file.as_deref())?)?;
    if options.json {
        let mut array = Array::new();
        for cell in &matrix.cells {
            array.push(cell)?;
        }
        return array.end();
    }
    let mut out = Output::new();
    let columns: Vec<_> = ["ACTION"].into_iter().chain(ROLES).map(|name| (name, LEFT)).collect();
    let mut table = show::table(&columns);
    for (action, _) in ACTIONS {
        let cells = |role| {
            let of = matrix.cells.iter().filter(move |cell| cell.role == role && cell.action == action);
            of.map(|cell| (cell.zone, cell.decision)).collect::<Vec<_>>()
        };
        table.add_row([action.to_owned()].into_iter().chain(ROLES.map(|role| in_words(&cells(role)))));
    }
    out.line(table)?;
    out.line(
        "+ allowed, * with a fresh second factor, in Enterprise, Building, Industrial and Safety zones.",
    )?;
    out.flush()
}

/// The cells of the four kinds of zone as one: `+EBIS`, `*I`.
fn in_words(cells: &[(&str, Decision)]) -> String {
    let of = |wanted: Decision, sign: char| {
        let zones: String = cells
            .iter()
            .filter(|(_, decision)| *decision == wanted)
            .filter_map(|(zone, _)| zone.chars().next())
            .map(|letter| letter.to_ascii_uppercase())
            .collect();
        (!zones.is_empty()).then(|| format!("{sign}{zones}"))
    };
    let parts: Vec<_> = [of(Decision::Allow, '+'), of(Decision::StepUp, '*')].into_iter().flatten().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

/// Circumstances in words.
fn when(now: &Circumstances, criticality: u8, own: bool) -> String {
    let age = now.mfa_age.map_or("no second factor".to_owned(), |age| format!("second factor {age} s ago"));
    let posture = (now.posture != Access::Full).then(|| format!("from a device with {} trust", now.posture));
    let place = now.new_location.then(|| "from a new place".to_owned());
    let critical = (criticality > 0).then(|| format!("criticality {criticality}"));
    let own = own.then(|| "one's own proposal".to_owned());
    [Some(age), posture, place, critical, own].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn diff(options: &Diff) -> Result<(), Problem> {
    let (before, after) = match &options.after {
        Some(after) => (read(Some(&options.before))?, read(Some(after))?),
        None => (read(None)?, read(Some(&options.before))?),
    };
    let changed =
        ::trust::access::diff(&before, &after).map_err(|error| Problem::Other(error.to_string()))?;
    if options.json {
        let mut array = Array::new();
        for one in &changed {
            array.push(one)?;
        }
        return array.end();
    }
    let mut out = Output::new();
    for one in &changed {
        let when = when(&one.circumstances, one.criticality, one.own);
        let what = format!(
            "{} {} in {} zones: {} becomes {} ({} cases; the first: {when})",
            one.role, one.action, one.zone, one.before, one.after, one.cases
        );
        out.line(show::fit(&what, 4))?;
    }
    out.line(format_args!("{} differences.", changed.len()))?;
    out.flush()
}

fn explain(options: &Explain) -> Result<(), Problem> {
    let posture = Access::ALL.into_iter().find(|access| access.name() == options.posture).unwrap_or_default();
    let proposer = if options.own { "user" } else { "another" };
    let request = Request {
        principal: Principal { id: "user".into(), roles: options.roles.clone(), is_service: options.service },
        action: options.action.clone(),
        target: Target {
            id: "target".into(),
            zone_kind: options.zone.clone(),
            criticality: options.criticality,
            proposer: Some(proposer.into()),
        },
        circumstances: Circumstances {
            mfa_age: options.mfa_age,
            posture,
            new_location: options.new_location,
        },
    };
    let policies = read(options.policy.as_deref())?;
    let answer = policies.decide(&request).map_err(|error| Problem::Other(error.to_string()))?;
    let mut out = Output::new();
    if options.json {
        out.json(&answer)?;
    } else {
        out.line(show::fit(&answer.explanation, 4))?;
    }
    out.flush()
}

fn print(options: &Print) -> Result<(), Problem> {
    let text = if options.schema { SCHEMA } else { DEFAULT };
    let mut out = Output::new();
    if options.json {
        out.json(&json!({ if options.schema { "schema" } else { "policies" }: text }))?;
    } else {
        out.line(text.trim_end())?;
    }
    out.flush()
}
