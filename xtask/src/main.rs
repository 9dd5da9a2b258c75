//! Developer commands.

mod check;
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
    /// Builds everything, watches a sample plant that Pavise makes itself, and shows what it found
    Up,
    /// Runs the whole test suite, as CI does
    Test,
    /// Checks format, lints, allowed crate edges and licences
    Check,
    /// Makes the tables that are generated from public lists again.
    Gen(r#gen::Arguments),
}

fn main() -> ExitCode {
    run::exit(match Arguments::parse().command {
        Command::Up => up::up(),
        Command::Test => test::test(),
        Command::Check => check::check(),
        Command::Gen(arguments) => r#gen::run(&arguments).map_err(run::Failure::from),
    })
}
