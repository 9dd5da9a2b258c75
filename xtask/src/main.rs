//! Developer commands.

mod accuracy;
mod bench;
mod check;
mod console;
mod drills;
mod fuzz;
mod r#gen;
mod run;
mod test;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Pavise.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything, watches a sample plant that Pavise makes itself, and opens the console on this machine
    Up(up::Arguments),
    /// Runs the whole test suite, as CI does
    Test,
    /// Plays a day of an analyst in a browser before the console
    E2e,
    /// Checks format, lints, allowed crate edges and licences
    Check,
    /// Measures speed and memory beside what is asked, on captures that Pavise makes itself
    Bench(bench::Arguments),
    /// Scores what Pavise finds in labelled sets of real traffic, where they are
    Accuracy(accuracy::Arguments),
    /// Plays attacks in networks of their own before a Pavise that contains them; needs root
    Drills(drills::Arguments),
    /// Plays a part in a drill
    #[command(hide = true)]
    Peer {
        #[command(subcommand)]
        role: drills::peer::Role,
    },
    /// Runs a program and prints what it cost
    #[command(hide = true, trailing_var_arg = true, disable_help_flag = true)]
    Measure {
        #[arg(required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Runs the fuzz targets for a while
    Fuzz(fuzz::Arguments),
    /// Makes the tables that are generated from public lists again.
    Gen(r#gen::Arguments),
}

fn main() -> ExitCode {
    run::exit(match Arguments::parse().command {
        Command::Up(arguments) => up::up(&arguments),
        Command::Test => test::test(),
        Command::E2e => console::e2e(),
        Command::Check => check::check(),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Accuracy(arguments) => accuracy::accuracy(&arguments),
        Command::Drills(arguments) => drills::drills(&arguments),
        Command::Peer { role } => drills::peer::play(&role),
        Command::Measure { command } => bench::measure(&command),
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Command::Gen(arguments) => r#gen::run(&arguments).map_err(run::Failure::from),
    })
}
