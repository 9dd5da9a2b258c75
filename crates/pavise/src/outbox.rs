//! `pavise outbox`: what is to be told to others and was not taken yet.

use clap::{Args, Subcommand};
use tell::{Outbox, Status, TellError};

use crate::command::State;
use crate::found::count;
use crate::output::{Array, Output, Problem, say};
use crate::show::{LEFT, Set, moment, plain, table};

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise outbox                          for each receiver: what waits, since when, why
  pavise outbox retry                    has all of them tried at once, whatever they failed before
  pavise outbox retry webhook
  pavise outbox drop webhook --first 1 --reason \"it refuses this one: 413\"
  pavise outbox drop syslog --reason \"replaced by eve\"
  pavise outbox --json | jq '.[] | select(.waiting > 0) | .receiver'

Receivers have the keys of [tell] in the file of `pavise watch --protect` (docs/tell.md). A watch that is under way sees what was
said here within a second; without one, nothing is sent.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<OutboxCommand>,
    /// Print a JSON array, one receiver a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: State,
}

#[derive(Clone, Debug, Subcommand)]
enum OutboxCommand {
    /// Have what waits tried at once
    Retry {
        /// The key of the receiver; all of them without it
        #[arg(value_name = "RECEIVER")]
        receiver: Option<String>,
        #[command(flatten)]
        state: State,
    },
    /// Drop what waits for a receiver: it will not be told
    Drop {
        /// The key of the receiver
        #[arg(value_name = "RECEIVER")]
        receiver: String,
        /// Only so many, the oldest
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        first: Option<u64>,
        /// Why: it is kept, and listed
        #[arg(long, value_name = "TEXT", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
        #[command(flatten)]
        state: State,
    },
}

fn problem(error: TellError) -> Problem {
    Problem::Other(error.to_string())
}

/// The outbox, which must be there.
fn open(state: &State) -> Result<Outbox, Problem> {
    Outbox::find(&state.state).map_err(problem)?.ok_or_else(|| {
        Problem::Other(format!(
            "there is no outbox in {}: `pavise watch --protect` with [tell] makes one, or name another folder with --state",
            state.state.display()
        ))
    })
}

/// Refuses a receiver that the outbox does not know.
fn known(outbox: &Outbox, receiver: &str) -> Result<(), Problem> {
    let all = outbox.status().map_err(problem)?;
    if all.iter().any(|status| status.receiver == receiver) {
        return Ok(());
    }
    let names: Vec<_> = all.iter().map(|status| status.receiver.as_str()).collect();
    Err(Problem::Other(format!(
        "there is no receiver {:?} in the outbox: expected {}",
        plain(receiver),
        names.join(", ")
    )))
}

pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    match &options.command {
        Some(OutboxCommand::Retry { receiver, state }) => {
            let mut outbox = open(state)?;
            if let Some(receiver) = receiver {
                known(&outbox, receiver)?;
            }
            let tried = outbox.retry(receiver.as_deref()).map_err(problem)?;
            say(format_args!("To be tried at once: {}.", count(tried as usize, "receiver")));
            Ok(())
        }
        Some(OutboxCommand::Drop { receiver, first, reason, state }) => {
            let mut outbox = open(state)?;
            known(&outbox, receiver)?;
            let dropped = outbox.discard(receiver, *first, reason).map_err(problem)?;
            say(format_args!("Dropped for {receiver}: {}.", count(dropped as usize, "message")));
            Ok(())
        }
        None => list(&open(&options.state)?, options.json),
    }
}

fn list(outbox: &Outbox, json: bool) -> Result<(), Problem> {
    let all = outbox.status().map_err(problem)?;
    if json {
        let mut array = Array::new();
        for status in &all {
            array.push(status)?;
        }
        return array.end();
    }
    let mut rows = table(&[
        ("RECEIVER", LEFT),
        ("WHERE", LEFT),
        ("WAITING", LEFT),
        ("OLDEST", LEFT),
        ("NEXT TRY", LEFT),
        ("TOLD", LEFT),
        ("GIVEN UP", LEFT),
        ("DROPPED", LEFT),
        ("LAST ERROR", Set::Story(60)),
    ]);
    for status in &all {
        let Status { receiver, name, waiting, delivered, given_up, dropped, .. } = status;
        let at = |at: Option<model::Timestamp>| at.map_or_else(|| "-".to_owned(), moment);
        rows.add_row([
            plain(receiver),
            plain(name),
            waiting.to_string(),
            at(status.oldest),
            at(status.next_try),
            delivered.to_string(),
            given_up.to_string(),
            dropped.to_string(),
            status.last_error.as_deref().map_or_else(|| "-".to_owned(), plain),
        ]);
    }
    let mut out = Output::new();
    if !all.is_empty() {
        out.line(rows)?;
    }
    let waiting: u64 = all.iter().map(|status| status.waiting).sum();
    let hint = if waiting > 0 { " `pavise outbox retry` has it tried at once." } else { "" };
    out.line(format_args!("{} waiting.{hint}", count(waiting as usize, "message")))?;
    out.flush()
}
