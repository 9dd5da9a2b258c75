//! Stuxnet: an infected engineering station changes controllers' programs, and operators see a recording.
//!
//! Modelled on: N. Falliere, L. O Murchu, E. Chien, Symantec, "W32.Stuxnet Dossier", version 1.4 (2011);
//! R. Langner, "To Kill a Centrifuge" (2013). The changed program itself kept recorded inputs and showed
//! them to whoever read while the machines were driven otherwise; nobody stood between operator and
//! controller. So here the controller answers the operators' reads with what it recorded, and no ARP
//! packet is forged: only the repetition gives it away.

use super::{AttackKind, AttackStep, Script, party};
use crate::net::{Net, SECOND};
use crate::scenes::plant::{BOILER, MIXER};
use crate::speak::s7::{self, Place};
use crate::speak::smb;

pub(crate) const KIND: AttackKind = AttackKind {
    name: "stuxnet",
    about: "an infected engineering station changes a controller's program; operators see a recording",
    scenes: &["plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "spreading",
            about: "The worm on the engineering station copies itself to other Windows computers through \
                    their administrative shares, has it started there, and asks over RPC which version \
                    they have, so that all copies can be brought up to date without the Internet.",
            techniques: &["T1021.002", "T1570", "T0866", "T0867"],
        },
        AttackStep {
            name: "controller-search",
            about: "It looks for what it was made for: hosts that accept connections of S7 controllers on \
                    port 102.",
            techniques: &["T0846", "T1046"],
        },
        AttackStep {
            name: "controller-identification",
            about: "It reads each controller's system status lists and counts its blocks: only the model \
                    and configuration it was made for is attacked, all others are left alone.",
            techniques: &["T0888", "T0868"],
        },
        AttackStep {
            name: "program-upload",
            about: "It uploads the main program and the cyclic interrupt's block of the chosen controller, \
                    to put its own code before them.",
            techniques: &["T0845"],
        },
        AttackStep {
            name: "block-download",
            about: "It downloads changed blocks, OB1 and OB35, and blocks of its own. From now on the \
                    controller runs the attacker's code before its own, and records what operators read.",
            techniques: &["T0843", "T0889", "T0821"],
        },
        AttackStep {
            name: "replayed-values",
            about: "The changed program answers the operators' reads with what it recorded in good times. \
                    The panel shows an undisturbed process, whatever the machines do.",
            techniques: &["T0856", "T0832"],
        },
        AttackStep {
            name: "set-point-writing",
            about: "Behind the recording, set points are driven up and down beyond what the machines \
                    stand, to wear them out.",
            techniques: &["T0836", "T0831", "T0879"],
        },
    ],
    set_up,
};

/// The interface over which copies tell each other their version: 000204e1-0000-0000-c000-000000000046.
const PEERS: smb::Interface = (*b"\xe1\x04\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46", 0);

const MODE: Place = Place { area: 0x84, block: 890, byte: 0 };
const SPEED: Place = Place { area: 0x84, block: 12, byte: 4 };

fn set_up(net: &mut Net, script: Script) {
    let names = ["engineering", "hmi", "scada", "historian", "plc-boiler", "plc-mixer"];
    let [station, hmi, scada, historian, boiler, mixer] = names.map(|name| net.host(name));
    let peers = [hmi, scada, historian];

    script.act(net, ("spreading", 0), (station, &peers), move |net| {
        for (peer, name) in peers.into_iter().zip(["HMI-HALL3", "SCADA-SRV1", "HIST-SRV1"]) {
            let own = (station, party("ENG-WS1"));
            let number = net.rng.range(1_000, 9_999);
            let mut link = smb::open(net, own, "engineer", (peer, party(name)), "ADMIN$");
            link.transfer(net, &format!("DEFRAG{number}.TMP"), true, 90_000);
            link.close(net);
            let mut link = smb::open(net, own, "engineer", (peer, party(name)), "IPC$");
            link.start_service(net, "MrxUpdate", &format!("%SystemRoot%\\DEFRAG{number}.TMP"));
            link.call(net, "browser", PEERS, &[0, 1]);
            link.close(net);
            net.pause_us(400_000, 1_500_000);
        }
    });
    script.act(net, ("controller-search", 12), (station, &[boiler, mixer]), move |net| {
        for last in 10..=20 {
            let seq = net.rng.u32();
            net.probe(station, ([10, 10, 0, last], 102).into(), seq, matches!(last, 11 | 12));
            net.pause_us(50_000, 300_000);
        }
    });
    script.act(net, ("controller-identification", 18), (station, &[boiler, mixer]), move |net| {
        for (host, card, slot) in [(boiler, BOILER, 1), (mixer, MIXER, 2)] {
            let mut link = s7::open(net, station, host, 1, slot);
            link.identify(net, card);
            link.count_blocks(net, &[(b'8', 3), (b'E', 9), (b'C', 41), (b'A', 64), (b'B', 7)]);
            net.close(link.conn);
        }
    });
    script.act(net, ("program-upload", 24), (station, &[mixer]), move |net| {
        let mut link = s7::open(net, station, mixer, 1, 2);
        for (file, number, size) in [("_0800001P", 1, 704), ("_0800035P", 35, 312)] {
            let block = s7::block(net, 0x08, number, size);
            link.upload(net, file, &block);
        }
        net.close(link.conn);
    });
    script.act(net, ("block-download", 30), (station, &[mixer]), move |net| {
        let mut link = s7::open(net, station, mixer, 1, 2);
        for (file, kind, number, size) in [
            ("_0C01865P", 0x0c, 1_865, 1_204),
            ("_0C01874P", 0x0c, 1_874, 2_096),
            ("_0A00890P", 0x0a, 890, 380),
            ("_0800035P", 0x08, 35, 452),
            ("_0800001P", 0x08, 1, 790),
        ] {
            let block = s7::block(net, kind, number, size);
            link.download(net, file, &block);
            net.pause_us(300_000, 900_000);
        }
        net.close(link.conn);
        net.record(hmi, mixer);
    });
    let replay = script.stage(net, "replayed-values", mixer, &[hmi]);
    net.once(script.at(50), move |net| net.play_back(hmi, mixer, replay));
    let writing = script.stage(net, "set-point-writing", station, &[mixer]);
    let period = (script.span / 30).max(3 * SECOND);
    net.during(writing, |net| {
        let mut turn = 0_usize;
        net.every(script.at(55), period, move |net| {
            let mut link = s7::open(net, station, mixer, 1, 2);
            // Frequencies in tenths of a hertz: far above, nearly still, back to usual.
            let speed: u16 = [14_100, 20, 10_640][turn % 3];
            turn += 1;
            link.write(net, MODE, &[4, 0]);
            link.write(net, SPEED, &speed.to_be_bytes());
            net.close(link.conn);
        });
    });
}
