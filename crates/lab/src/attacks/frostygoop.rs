//! FrostyGoop: set points of heating controllers are overwritten over Modbus/TCP, in January 2024 in Lviv.
//!
//! Modelled on: Dragos, "Intelligence Brief: Impact of FrostyGoop ICS Malware on Connected OT Systems"
//! (2024); A. Davila and C. Navarrete, Unit 42, "FrostyGoop's Zoom-In: A Closer Look into the Malware
//! Artifacts, Behaviors and Network Communications" (2024). The program takes its targets and a list of
//! tasks from a JSON file: function 3 reads holding registers, 6 writes one, 16 writes several. It is
//! run from far away, through a router that lets Modbus in.

use std::net::SocketAddr;

use model::Locality;

use super::{AttackKind, AttackStep, Script};
use crate::bytes::Put;
use crate::net::{Host, HostId, Net, Os, SECOND};
use crate::speak::modbus;

pub(crate) const KIND: AttackKind = AttackKind {
    name: "frostygoop",
    about: "a program outside overwrites set points of Modbus controllers, task by task",
    scenes: &["plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "controller-search",
            about: "A host in the Internet tries the Modbus port of one address after the other, to find \
                    controllers that can be reached without any login.",
            techniques: &["T0883", "T0846", "T1046"],
        },
        AttackStep {
            name: "register-reading",
            about: "It reads the holding registers of each controller it found, to learn which values \
                    steer the process before it touches one.",
            techniques: &["T0801", "T0888", "T0885"],
        },
        AttackStep {
            name: "set-point-writing",
            about: "It runs its list of tasks again and again: single and multiple registers are \
                    overwritten, so that the controllers steer by wrong values and operators' corrections \
                    do not last.",
            techniques: &["T0836", "T0855", "T0831"],
        },
    ],
    set_up,
};

/// A task of the configuration: function code, address, count for reading or values for writing.
#[derive(Clone, Copy)]
enum Task {
    Read(u16, u16),
    Write(u16, u16),
    WriteMany(u16, &'static [u16]),
}

const READING: &[Task] = &[Task::Read(0, 60), Task::Read(60, 60), Task::Read(53_370, 8)];
const WRITING: &[Task] = &[
    Task::Read(40, 2),
    Task::Write(40, 0),
    Task::WriteMany(50, &[0xffff, 0]),
    Task::Write(41, 6_000),
    Task::Read(40, 2),
];

fn set_up(net: &mut Net, script: Script) {
    let outside = Host::beyond("intruder", Locality::External, [198, 51, 100, 201], Os::Linux);
    let intruder = net.add(outside);
    let [pump, meter] = ["plc-pump", "meter-gateway"].map(|name| net.host(name));
    let targets = [(pump, 1), (meter, 3)];
    let victims = [pump, meter];

    script.act(net, ("controller-search", 0), (intruder, &victims), move |net| {
        for last in 9..=24 {
            let dst = SocketAddr::from(([10, 10, 0, last], 502));
            let open = victims.iter().any(|&victim| net.v4(victim, intruder) == dst.ip());
            let seq = net.rng.u32();
            net.probe(intruder, dst, seq, open);
            net.pause_us(200_000, 600_000);
        }
    });
    script.act(net, ("register-reading", 15), (intruder, &victims), move |net| {
        for (host, unit) in targets {
            run(net, intruder, host, unit, READING);
        }
    });
    let writing = script.stage(net, "set-point-writing", intruder, &victims);
    let period = (script.span / 40).max(4 * SECOND);
    net.during(writing, |net| {
        net.every(script.at(30), period, move |net| {
            for (host, unit) in targets {
                run(net, intruder, host, unit, WRITING);
            }
        });
    });
}

/// Runs a list of tasks on a controller, over a connection of its own.
fn run(net: &mut Net, client: HostId, server: HostId, unit: u8, tasks: &[Task]) {
    let conn = net.connect(client, server, 502, "modbus");
    for (id, task) in (1..).zip(tasks) {
        let (function, request, answer) = match *task {
            Task::Read(first, count) => {
                let values: Vec<u16> = (0..count).map(|_| net.rng.range(0, 4_096) as u16).collect();
                (3, modbus::span(first, count), modbus::counted(&modbus::registers(&values)))
            }
            Task::Write(place, value) => (6, modbus::span(place, value), modbus::span(place, value)),
            Task::WriteMany(first, values) => {
                let count = values.len() as u16;
                let mut request = modbus::span(first, count);
                request.put(&modbus::counted(&modbus::registers(values)));
                (16, request, modbus::span(first, count))
            }
        };
        let ask = modbus::message(id, unit, function, &request);
        net.exchange(conn, &ask, &modbus::message(id, unit, function, &answer));
        net.pause_us(300_000, 500_000);
    }
    net.close(conn);
}
