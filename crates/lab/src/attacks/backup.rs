//! Harmless: the nightly backup, which looks like files being stolen.

use super::{AttackKind, AttackStep, Script, party};
use crate::net::Net;
use crate::speak::smb;

pub(crate) const KIND: AttackKind = AttackKind {
    name: "backup",
    about: "the nightly copy of the plant's servers to the office's archive, far more than they usually send",
    scenes: &["plant"],
    benign: true,
    steps: &[
        AttackStep {
            name: "backup-copy",
            about: "One after the other, the plant's servers write their data to the archive beyond the \
                    firewall, as they are meant to. It looks like theft of data: much goes out at once.",
            techniques: &[],
        },
        AttackStep {
            name: "backup-check",
            about: "The first server reads its copy back, to compare it with what it has.",
            techniques: &[],
        },
    ],
    set_up,
};

fn set_up(net: &mut Net, script: Script) {
    let names = ["historian", "scada", "engineering", "corporate-historian"];
    let [historian, scada, engineer, archive] = names.map(|name| net.host(name));
    let to = (archive, party("ARCHIVE"));
    script.act(net, ("backup-copy", 10), (historian, &[archive]), move |net| {
        for (host, name, file, size) in [
            (historian, "HIST-SRV1", "process.bak", 1_600_000),
            (scada, "SCADA-SRV1", "project.bak", 900_000),
            (engineer, "ENG-WS1", "step7.zip", 500_000),
        ] {
            let mut link = smb::open(net, (host, party(name)), "svc-backup", to, "backup$");
            link.transfer(net, file, true, size);
            link.close(net);
            net.pause_us(2_000_000, 5_000_000);
        }
    });
    script.act(net, ("backup-check", 60), (historian, &[archive]), move |net| {
        let mut link = smb::open(net, (historian, party("HIST-SRV1")), "svc-backup", to, "backup$");
        link.transfer(net, "process.bak", false, 1_600_000);
        link.close(net);
    });
}
