//! Harmless: the engineer changes a controller's program in working hours.

use super::{AttackKind, AttackStep, Script};
use crate::net::Net;
use crate::scenes::plant::MIXER;
use crate::speak::s7;

pub(crate) const KIND: AttackKind = AttackKind {
    name: "plc-maintenance",
    about: "the engineer compares a controller's program with his own, changes it and starts it anew",
    scenes: &["plant"],
    benign: true,
    steps: &[
        AttackStep {
            name: "program-comparison",
            about: "From the engineering station, as planned, the engineer uploads the program to compare it \
                    with the one he has.",
            techniques: &[],
        },
        AttackStep {
            name: "program-download",
            about: "He stops the controller and downloads changed blocks. On the wire it is what Stuxnet \
                    did; who does it, and when, tells the difference.",
            techniques: &[],
        },
        AttackStep {
            name: "restart",
            about: "He starts the controller and reads whether it runs.",
            techniques: &[],
        },
    ],
    set_up,
};

const BLOCKS: [(&str, u8, u16, usize); 3] =
    [("_0800001P", 0x08, 1, 704), ("_0C00003P", 0x0c, 3, 900), ("_0A00012P", 0x0a, 12, 240)];

fn set_up(net: &mut Net, script: Script) {
    let [engineer, mixer] = ["engineering", "plc-mixer"].map(|name| net.host(name));
    script.act(net, ("program-comparison", 10), (engineer, &[mixer]), move |net| {
        let mut link = s7::open(net, engineer, mixer, 1, 2);
        link.identify(net, MIXER);
        link.count_blocks(net, &[(b'8', 3), (b'E', 9), (b'C', 41), (b'A', 64), (b'B', 7)]);
        for (file, kind, number, size) in BLOCKS {
            let block = s7::block(net, kind, number, size);
            link.upload(net, file, &block);
            net.pause_us(500_000, 2_000_000);
        }
        net.close(link.conn);
    });
    script.act(net, ("program-download", 35), (engineer, &[mixer]), move |net| {
        let mut link = s7::open(net, engineer, mixer, 1, 2);
        link.stop(net);
        for (file, kind, number, size) in BLOCKS {
            let block = s7::block(net, kind, number, size);
            link.download(net, file, &block);
            net.pause_us(500_000, 2_000_000);
        }
        net.close(link.conn);
    });
    script.act(net, ("restart", 50), (engineer, &[mixer]), move |net| {
        let mut link = s7::open(net, engineer, mixer, 1, 2);
        link.restart(net);
        net.pause_us(1_000_000, 3_000_000);
        link.identify(net, MIXER);
        net.close(link.conn);
    });
}
