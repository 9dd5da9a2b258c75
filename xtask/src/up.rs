//! `cargo xtask up`: build everything and show it at work on a capture that Pavise makes itself.

use std::process::Command;

use clap::Args;

use crate::console;
use crate::run::{Done, cargo, release, run, target};

#[derive(Args)]
pub(crate) struct Arguments {
    /// End when the report is written, without serving the console
    #[arg(long)]
    no_serve: bool,
    /// Where to serve it, on this machine alone
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    port: u16,
}

pub(crate) fn up(arguments: &Arguments) -> Done {
    if console::can_build("building the console") {
        console::build()?;
    }
    run(&mut cargo(["build", "--release", "--package", "pavise"]))?;
    let folder = target().join("up");
    std::fs::create_dir_all(&folder)?;
    let state = folder.join("state");
    // The demonstration starts from nothing each time; this folder holds nothing else.
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    let (capture, report) = (folder.join("plant.pcapng"), folder.join("plant.html"));
    let pavise = || Command::new(release("pavise"));
    run(pavise().args(["lab", "attack", "frostygoop", "--out"]).arg(&capture))?;
    run(pavise().arg("watch").arg(&capture).arg("--report").arg(&report).arg("--state").arg(&state))?;
    println!("\nThe report is {}", report.display());
    println!(
        "Ask further, for example:\n  {0} findings --state {1}\n  {0} incidents --state {1}\n  {0} devices --state {1}\n\
         or see an attack step by step:\n  {0} drill mirai\n",
        release("pavise").display(),
        state.display()
    );
    if arguments.no_serve {
        return Ok(());
    }
    // Without TLS on this machine alone: a browser would not trust a certificate that was made a moment ago.
    let listen = format!("127.0.0.1:{}", arguments.port);
    run(pavise().args(["serve", "--plain", "--open", "--listen", &listen]).arg("--state").arg(&state))
}
