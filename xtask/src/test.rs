//! `cargo xtask test`: the whole suite, as CI runs it.

use crate::run::{Done, cargo, run};
use crate::{check, console};

/// Programs that some tests speak with; without them those tests say that they are skipped.
const PEERS: &[(&str, &str)] = &[
    ("tshark", "tshark"),
    ("capinfos", "wireshark-common"),
    ("tcpreplay", "tcpreplay"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("mosquitto", "mosquitto"),
];

pub(crate) fn test() -> Done {
    for (program, package) in PEERS {
        if !is_installed(program) {
            eprintln!(
                "SKIPPED every test that needs {program}: it is not installed (Debian package {package}; \
                 `.ci/run` installs it)"
            );
        }
    }
    check::check()?;
    if console::can_build("the tests of the console") {
        console::build()?;
        console::test()?;
    }
    run(&mut cargo(["test", "--workspace"]))
}

/// Whether a program is installed.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}
