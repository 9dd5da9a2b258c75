//! Pavise sees every connected thing on a network, says what it is, and shows why it believes so.
//!
//! This crate is the command line and the wiring: what is judged is judged in the engines, what is kept
//! is kept by the store.

mod access;
mod actions;
mod command;
mod drill;
mod enforce;
mod evidence;
mod found;
mod https;
mod lab;
mod live;
mod mud;
mod mud_fetch;
mod mud_policy;
mod outbox;
mod output;
mod play;
mod policy;
mod progress;
mod protect;
mod query;
mod recorded;
mod report;
mod rules;
mod sense;
mod serve;
mod session;
mod settings;
mod show;
mod tally;
mod trust;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, Pavise};

/// Conversations, their parsers and what they say are many small things that live for different times:
/// the allocator of the C library takes a fifth of all time for them (decisions/0004).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Pavise::parse();
    let done = match arguments.command {
        Command::Watch(options) => watch::run(&options),
        Command::Devices(options) => query::devices(&options),
        Command::Device(options) => query::device(&options),
        Command::Flows(options) => query::flows(&options),
        Command::Protocols(options) => query::protocols(&options),
        Command::Findings(options) => found::findings(&options),
        Command::Finding(options) => found::finding(&options),
        Command::Incidents(options) => found::incidents(&options),
        Command::Verdict(options) => found::verdict(&options),
        Command::Actions(options) => actions::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Outbox(options) => outbox::run(&options),
        Command::Detectors(options) => found::detectors(&options),
        Command::Policy(options) => policy::run(&options),
        Command::Enforce(options) => enforce::run(&options),
        Command::Mud(options) => mud::run(&options),
        Command::Trust(options) => trust::run(&options),
        Command::Access(options) => access::run(&options),
        Command::Drill(options) => drill::run(&options),
        Command::Lab(options) => lab::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has read enough.
        Err(problem) if problem.is_closed_pipe() => ExitCode::SUCCESS,
        Err(problem) => {
            output::say(format_args!("pavise: {problem}"));
            ExitCode::FAILURE
        }
    }
}
