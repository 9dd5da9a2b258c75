//! Industroyer: breakers are opened by telecontrol commands from a computer that was taken over.
//!
//! Modelled on: A. Cherepanov, ESET, "Win32/Industroyer: A new threat for industrial control systems"
//! (2017); Dragos, "CRASHOVERRIDE: Analysis of the Threat to Electric Grid Operations" (2017). From these:
//! the steps of the program for IEC 60870-5-104, the walk through ranges of object addresses with select
//! and execute, and the datagram of 18 bytes to UDP port 50000 that stops a protection relay; here only
//! its first two bytes are those, and it stops nothing.

use super::{AttackKind, AttackStep, Script};
use crate::net::{Net, SECOND};
use crate::speak::iec104::{self, Point};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "industroyer",
    about: "a taken-over SCADA server opens breakers by IEC 60870-5-104, then the relay is made deaf",
    scenes: &["plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "interrogation",
            about: "A program on the SCADA server that was taken over connects to the outstation as a \
                    control centre would, starts the transfer of data and asks for all points.",
            techniques: &["T0869", "T0888", "T0801"],
        },
        AttackStep {
            name: "object-enumeration",
            about: "It sends a command to one object address after the other, to learn from the refusals \
                    which outputs exist.",
            techniques: &["T0806", "T0861"],
        },
        AttackStep {
            name: "breaker-toggling",
            about: "It switches all outputs it found off and on, again and again: supply fails, and \
                    operators' commands are undone.",
            techniques: &["T0855", "T0827", "T0831", "T0813"],
        },
        AttackStep {
            name: "relay-denial",
            about: "A datagram to port 50000 makes a protection relay stop working until somebody resets it: \
                    nothing protects the line when it is switched on again.",
            techniques: &["T0814", "T0816", "T0837"],
        },
    ],
    set_up,
};

/// Station address of the outstation, and its outputs.
const STATION: u16 = 10;
const SINGLE: [u32; 3] = [2_001, 2_002, 2_005];
const DOUBLE: [u32; 2] = [2_103, 2_104];

fn points(net: &mut Net) -> Vec<Point> {
    let mut points: Vec<Point> =
        (1_001..1_009).map(|address| (iec104::SINGLE_POINT, address, vec![net.rng.u8() & 1])).collect();
    points.extend((1_101..1_105).map(|address| {
        let value = net.rng.range(100, 400) as f32 / 10.0;
        (iec104::FLOAT, address, [&value.to_le_bytes()[..], &[0]].concat())
    }));
    points
}

fn set_up(net: &mut Net, script: Script) {
    let [server, rtu] = ["scada", "rtu-well"].map(|name| net.host(name));
    script.act(net, ("interrogation", 0), (server, &[rtu]), move |net| {
        let mut link = iec104::open(net, server, rtu, STATION);
        let points = points(net);
        link.interrogate(net, &points);
        link.close(net);
    });
    script.act(net, ("object-enumeration", 15), (server, &[rtu]), move |net| {
        let mut link = iec104::open(net, server, rtu, STATION);
        for address in (2_000..2_010).chain(2_100..2_108) {
            // Select, not yet execute (IEC 60870-5-101 clause 7.2.6.15).
            let (kind, value, known) = if address < 2_100 {
                (iec104::SINGLE_COMMAND, 0x80, SINGLE.contains(&address))
            } else {
                (iec104::DOUBLE_COMMAND, 0x81, DOUBLE.contains(&address))
            };
            link.command(net, kind, address, value, known);
            net.pause_us(20_000, 80_000);
        }
        link.close(net);
    });
    let toggling = script.stage(net, "breaker-toggling", server, &[rtu]);
    let period = (script.span / 25).max(3 * SECOND);
    let denial = script.at(85);
    net.during(toggling, |net| {
        let mut on = true;
        net.session(
            (script.at(30), denial, period),
            move |net| iec104::open(net, server, rtu, STATION),
            move |net, link| {
                on = !on;
                for address in SINGLE {
                    link.command(net, iec104::SINGLE_COMMAND, address, u8::from(on), true);
                }
                for address in DOUBLE {
                    link.command(net, iec104::DOUBLE_COMMAND, address, 1 + u8::from(on), true);
                }
            },
            |net, link| link.close(net),
        );
    });
    script.act(net, ("relay-denial", 87), (server, &[rtu]), move |net| {
        for _ in 0..4 {
            let (own, relay) = (net.v4(server, rtu), net.v4(rtu, server));
            let port = net.port(server);
            let packet = [&[0x11, 0x49][..], &[0; 16]].concat();
            net.udp(server, (own, port).into(), (relay, 50_000).into(), &packet);
            net.pause_us(900_000, 1_100_000);
        }
    });
}
