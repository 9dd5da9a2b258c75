//! Harmless: another shift, which works at a station that was off until now.

use model::Role;

use super::{AttackKind, AttackStep, Script};
use crate::bytes::Put;
use crate::net::{Host, Net, Os, SECOND};
use crate::speak::s7::{self, Place};
use crate::speak::{dns, link, modbus};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "new-shift",
    about: "the next shift switches another operators' station on, and does what operators do",
    scenes: &["plant"],
    benign: true,
    steps: &[
        AttackStep {
            name: "station-start",
            about: "A computer that was off is switched on and says hello: a new device, but one of the \
                    plant's own.",
            techniques: &[],
        },
        AttackStep {
            name: "usual-reading",
            about: "It reads the values that the other station reads, from the same controllers.",
            techniques: &[],
        },
        AttackStep {
            name: "usual-writing",
            about: "The operator corrects set points within their usual range. It looks like a rogue host \
                    steering the process.",
            techniques: &[],
        },
    ],
    set_up,
};

fn set_up(net: &mut Net, script: Script) {
    let station = Host::new("hmi-2", "00:14:22:40:b3:2a", Os::Windows).at([10, 10, 0, 42]).vendor("Dell");
    let station = station.hostname("HMI-HALL3-2").os_name("Windows").roles(&[Role::Hmi]);
    let station = net.add(station);
    let [mixer, pump] = ["plc-mixer", "plc-pump"].map(|name| net.host(name));
    let [names, patches] = ["corporate-dns", "patch-server"].map(|name| net.host(name));
    script.act(net, ("station-start", 0), (station, &[station]), move |net| {
        link::probe(net, station, [10, 10, 0, 42]);
        net.pause_us(900_000, 1_100_000);
        link::announce(net, station);
        for (label, kind, group) in
            [("HMI-HALL3-2", 0, false), ("HMI-HALL3-2", 0x20, false), ("PLANT", 0, true)]
        {
            dns::nbns_register(net, station, label, kind, group);
            net.pause_us(700_000, 760_000);
        }
        dns::lookup(net, station, names, "patch.corp.example", net.v4(patches, station));
    });
    let tanks = [
        (Place { area: 0x84, block: 10, byte: 0 }, 32),
        (Place { area: 0x83, block: 0, byte: 20 }, 7),
        (Place { area: 0x81, block: 0, byte: 0 }, 4),
    ];
    let reading = script.stage(net, "usual-reading", station, &[mixer, pump]);
    net.during(reading, |net| {
        net.session(
            (script.at(10), u64::MAX, SECOND),
            move |net| s7::open(net, station, mixer, 2, 2),
            move |net, link| link.read(net, &tanks),
            |net, link| net.close(link.conn),
        );
        net.session(
            (script.at(10) + SECOND / 2, u64::MAX, 2 * SECOND),
            move |net| (net.connect(station, pump, 502, "modbus"), 0_u16),
            |net, (conn, id)| {
                *id = id.wrapping_add(1);
                let values = [(); 6].map(|()| net.rng.range(0, 4_096) as u16);
                let answer = modbus::counted(&modbus::registers(&values));
                let ask = modbus::message(*id, 1, 3, &modbus::span(0, 6));
                net.exchange(*conn, &ask, &modbus::message(*id, 1, 3, &answer));
            },
            |net, (conn, _)| net.close(conn),
        );
    });
    let writing = script.stage(net, "usual-writing", station, &[mixer, pump]);
    let period = (script.span / 12).max(4 * SECOND);
    net.during(writing, |net| {
        net.every(script.at(30), period, move |net| {
            let mut link = s7::open(net, station, mixer, 2, 2);
            let value = net.rng.array::<2>();
            link.write(net, Place { area: 0x84, block: 12, byte: 4 }, &value);
            net.close(link.conn);
            let conn = net.connect(station, pump, 502, "modbus");
            let mut request = modbus::span(50, 2);
            let value = net.rng.range(0, 4_096) as u16;
            request.put(&modbus::counted(&modbus::registers(&[value, 1])));
            let ask = modbus::message(1, 1, 16, &request);
            net.exchange(conn, &ask, &modbus::message(1, 1, 16, &modbus::span(50, 2)));
            net.close(conn);
        });
    });
}
