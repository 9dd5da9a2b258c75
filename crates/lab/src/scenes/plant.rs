//! A plant by the levels of the Purdue model, seen from a mirror port of its core switch: controllers
//! and field devices (level 1), operators and engineers (level 2), the office beyond the firewall
//! (level 3). Two cells are tagged: the building's automation (VLAN 10) and the packaging line (20).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::{Locality, MacAddr, Role};

use super::common::{computer, windows_talk};
use crate::net::{EVER, HOUR, Host, HostId, Hours, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::enip::Identity;
use crate::speak::link::Card as Neighbour;
use crate::speak::s7::{Card, Place};
use crate::speak::tls::{Dial, Name, Style};
use crate::speak::{bacnet, dnp3, dns, enip, ftp, http, icmp, link, modbus, ntp, s7, snmp, ssh, telnet, tls};

/// When engineers and the office work; operators come in shifts.
const WORK: Hours = Hours::working(7, 18);

pub(crate) const BOILER: Card = Card {
    order: "6ES7 515-2AM02-0AB0",
    firmware: [2, 9, 2],
    station: "S71500/ET200MP station_1",
    module: "PLC_BOILER",
    plant: "Hall 3",
    serial: "S C-L9DL25732020",
    kind: "CPU 1515-2 PN",
};
pub(crate) const MIXER: Card = Card {
    order: "6ES7 315-2EH14-0AB0",
    firmware: [3, 2, 6],
    station: "SIMATIC 300(1)",
    module: "PLC_MIXER",
    plant: "Hall 3",
    serial: "S C-C2UR28922012",
    kind: "CPU 315-2 PN/DP",
};
pub(crate) const PACKER: Card = Card {
    order: "6ES7 214-1AG40-0XB0",
    firmware: [4, 2, 1],
    station: "S7-1200 station_1",
    module: "PLC_PACKER",
    plant: "Hall 4",
    serial: "S V-H3M812342017",
    kind: "CPU 1214C DC/DC/DC",
};

pub(crate) const LOGIX: Identity = Identity {
    vendor: 1,
    kind: 14,
    product: 166,
    revision: [33, 11],
    serial: 0x60c1_8a2f,
    name: "1756-L83E/B",
};
const POINT_IO: Identity = Identity {
    vendor: 1,
    kind: 12,
    product: 108,
    revision: [5, 13],
    serial: 0x4034_11d7,
    name: "1734-AENTR/B",
};

const CORE_SWITCH: Neighbour = Neighbour {
    name: "sw-core-1",
    description: "Cisco IOS Software, IE4000 Software (IE4000-UNIVERSALK9-M), Version 15.2(7)E3, \
                  RELEASE SOFTWARE (fc3)",
    port: "GigabitEthernet1/3",
    platform: "cisco IE-4000-8GT8GP4G-E",
    capabilities: 4,
};
const CELL_SWITCH: Neighbour = Neighbour {
    name: "sw-hall3",
    description: "Siemens, SIMATIC NET, SCALANCE XC208, 6GK5 208-0BA00-2AC2, HW: Version 1, \
                  FW: Version V04.03.00, SVPL6147023",
    port: "port-002",
    platform: "",
    capabilities: 4,
};

/// Modbus device identification: vendor, product code, revision, then what was named.
type Objects = &'static [(u8, &'static str)];
const M340: Objects =
    &[(0, "Schneider Electric"), (1, "BMX P34 2020"), (2, "v2.70"), (4, "Modicon M340"), (5, "BMX P34 2020")];
const METER: Objects =
    &[(0, "Schneider Electric"), (1, "EGX150"), (2, "v5.150"), (4, "Link150"), (5, "EGX150")];

/// Where level 1 and 2 send what is for everybody.
const ALL: [u8; 4] = [10, 10, 0, 255];
const ALL_BUILDING: [u8; 4] = [10, 10, 10, 255];

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let plant = Plant::build(net);
    plant.controllers(net);
    plant.telecontrol(net);
    plant.building(net);
    plant.packaging(net);
    plant.stations(net);
    plant.network(net);
    plant.office(net);
    plant.engineer_at_work(net);
    plant.scan(net);
}

/// Everybody in the scene.
#[derive(Clone, Copy)]
struct Plant {
    firewall: HostId,
    boiler: HostId,
    mixer: HostId,
    pump: HostId,
    meter: HostId,
    logix: HostId,
    point_io: HostId,
    rtu: HostId,
    hmi: HostId,
    scada: HostId,
    historian: HostId,
    engineer: HostId,
    manager: HostId,
    core: HostId,
    cell: HostId,
    clock: HostId,
    remote: HostId,
    bms: HostId,
    air: HostId,
    heat: HostId,
    rooms: HostId,
    packer: HostId,
    panel: HostId,
    patches: HostId,
    names: HostId,
    jump: HostId,
    archive: HostId,
    vendor: HostId,
}

fn dial(style: Style, sni: &'static str, host: &'static str, organisation: &'static str, port: u16) -> Dial {
    Dial { style, sni, protocols: &[], server: Name { host, organisation }, port }
}

/// A Siemens controller.
fn controller(name: &str, mac: &str, ip: [u8; 4], card: Card) -> Host {
    let [major, minor, patch] = card.firmware;
    Host::new(name, mac, Os::Control)
        .at(ip)
        .slow(800, 4_000)
        .vendor("Siemens")
        .model(card.kind)
        .serial(card.serial)
        .firmware(&format!("V{major}.{minor}.{patch}"))
        .roles(&[Role::Plc])
}

impl Plant {
    fn build(net: &mut Net) -> Self {
        let firewall = net.add(
            Host::new("firewall", "00:09:0f:09:00:12", Os::Linux)
                .at([10, 10, 0, 1])
                .vendor("Fortinet")
                .roles(&[Role::Router]),
        );
        net.router_in(None, [10, 10, 0, 1]);
        net.router_in(Some(10), [10, 10, 10, 1]);
        net.router_in(Some(20), [10, 10, 20, 1]);
        let routed = |name: &str, last: u8, os: Os, roles: &[Role]| {
            Host::beyond(name, Locality::Routed, [10, 20, 0, last], os).roles(roles)
        };
        let building = |name: &str, mac: &str, last: u8, vendor: &str, model: &str, firmware: &str| {
            Host::new(name, mac, Os::Control)
                .at([10, 10, 10, last])
                .vlan(10)
                .slow(1_500, 9_000)
                .vendor(vendor)
                .model(model)
                .firmware(firmware)
                .roles(&[Role::BuildingController])
        };
        Self {
            firewall,
            boiler: net.add(controller("plc-boiler", "00:1b:1b:4f:20:01", [10, 10, 0, 11], BOILER)),
            mixer: net.add(controller("plc-mixer", "00:1b:1b:1e:77:02", [10, 10, 0, 12], MIXER)),
            pump: net.add(
                Host::new("plc-pump", "00:80:f4:0a:51:13", Os::Small)
                    .at([10, 10, 0, 13])
                    .slow(1_000, 6_000)
                    .vendor("Schneider Electric")
                    .model("BMX P34 2020")
                    .firmware("v2.70")
                    .roles(&[Role::Plc]),
            ),
            meter: net.add(
                Host::new("meter-gateway", "00:80:f4:62:18:14", Os::Small)
                    .at([10, 10, 0, 14])
                    .slow(4_000, 30_000)
                    .vendor("Schneider Electric")
                    .model("EGX150")
                    .firmware("v5.150")
                    .roles(&[Role::Gateway]),
            ),
            logix: net.add(
                Host::new("plc-press", "00:00:bc:5a:31:15", Os::Small)
                    .at([10, 10, 0, 15])
                    .slow(600, 3_000)
                    .vendor("Rockwell Automation")
                    .model(LOGIX.name)
                    .serial("60c18a2f")
                    .firmware("33.11")
                    .roles(&[Role::Plc]),
            ),
            point_io: net.add(
                Host::new("io-press", "00:00:bc:91:04:16", Os::Small)
                    .at([10, 10, 0, 16])
                    .vendor("Rockwell Automation")
                    .model(POINT_IO.name)
                    .serial("403411d7")
                    .firmware("5.13")
                    .roles(&[Role::FieldDevice]),
            ),
            rtu: net.add(
                Host::new("rtu-well", "00:30:a7:03:9c:17", Os::Small)
                    .at([10, 10, 0, 17])
                    .slow(5_000, 30_000)
                    .vendor("Schweitzer Engineering Laboratories")
                    .model("SEL-3530")
                    .serial("1131480275")
                    .firmware("R151-V4")
                    .roles(&[Role::Rtu]),
            ),
            hmi: net.add(computer(
                "hmi",
                "00:14:22:40:aa:21",
                [10, 10, 0, 21],
                "Dell",
                "HMI-HALL3",
                &[Role::Hmi],
            )),
            scada: net.add(computer(
                "scada",
                "00:1a:4b:60:12:22",
                [10, 10, 0, 22],
                "HP",
                "SCADA-SRV1",
                &[Role::Scada],
            )),
            historian: net.add(computer(
                "historian",
                "00:1a:4b:60:12:23",
                [10, 10, 0, 23],
                "HP",
                "HIST-SRV1",
                &[Role::Historian],
            )),
            engineer: net.add(computer(
                "engineering",
                "d0:67:e5:11:7b:24",
                [10, 10, 0, 24],
                "Dell",
                "ENG-WS1",
                &[Role::EngineeringStation],
            )),
            manager: net.add(
                Host::new("network-manager", "3c:d9:2b:04:5e:25", Os::Linux)
                    .at([10, 10, 0, 25])
                    .vendor("HP")
                    .os_name("Linux")
                    .roles(&[Role::Server]),
            ),
            core: net.add(
                Host::new("switch-core", "00:1b:54:8c:40:00", Os::Control)
                    .at([10, 10, 0, 2])
                    .vendor("Cisco")
                    .model("cisco IE-4000-8GT8GP4G-E")
                    .firmware("15.2(7)E3")
                    .hostname(CORE_SWITCH.name)
                    .roles(&[Role::Switch]),
            ),
            cell: net.add(
                Host::new("switch-hall3", "00:1b:1b:a2:03:00", Os::Control)
                    .at([10, 10, 0, 3])
                    .vendor("Siemens")
                    .model("SCALANCE XC208")
                    .firmware("V04.03.00")
                    .hostname(CELL_SWITCH.name)
                    .roles(&[Role::Switch]),
            ),
            clock: net.add(
                Host::new("clock", "ec:46:70:0b:12:05", Os::Linux)
                    .at([10, 10, 0, 5])
                    .vendor("Meinberg")
                    .model("LANTIME/M300")
                    .firmware("V7.08.007")
                    .hostname("lantime-m300")
                    .roles(&[Role::TimeServer]),
            ),
            remote: net.add(
                Host::new("remote-gateway", "00:03:27:1c:60:06", Os::Linux)
                    .at([10, 10, 0, 6])
                    .vendor("HMS Industrial Networks")
                    .roles(&[Role::Gateway]),
            ),
            bms: net.add(
                computer(
                    "building-server",
                    "00:1a:4b:77:30:20",
                    [10, 10, 10, 20],
                    "HP",
                    "BMS-SRV",
                    &[Role::Scada],
                )
                .vlan(10),
            ),
            air: net.add(building(
                "air-handling",
                "00:10:8d:44:0a:31",
                31,
                "Johnson Controls",
                "MS-NAE5510-2",
                "10.1.0.10",
            )),
            heat: net.add(building(
                "heating",
                "00:a0:03:71:5b:32",
                32,
                "Siemens Building Technologies",
                "PXC50-E.D",
                "FW=V06.00.218",
            )),
            rooms: net.add(building(
                "rooms",
                "00:e0:c9:12:88:33",
                33,
                "Automated Logic Corporation",
                "LGR1000",
                "6.02:052",
            )),
            packer: net.add(controller("plc-packer", "00:1b:1b:7d:91:41", [10, 10, 20, 11], PACKER).vlan(20)),
            panel: net.add(
                Host::new("panel-packer", "00:1b:1b:7d:a0:42", Os::Windows)
                    .at([10, 10, 20, 21])
                    .vlan(20)
                    .vendor("Siemens")
                    .roles(&[Role::Hmi]),
            ),
            patches: net.add(routed("patch-server", 10, Os::Windows, &[Role::Server])),
            names: net.add(routed("corporate-dns", 53, Os::Windows, &[Role::DnsServer])),
            jump: net.add(routed("jump-host", 20, Os::Windows, &[])),
            archive: net.add(routed("corporate-historian", 30, Os::Windows, &[])),
            vendor: net.add(Host::beyond("vendor", Locality::External, [203, 0, 113, 77], Os::Linux)),
        }
    }

    /// Operators' panels poll controllers.
    fn controllers(self, net: &mut Net) {
        let tanks = [
            (Place { area: 0x84, block: 10, byte: 0 }, 32),
            (Place { area: 0x83, block: 0, byte: 20 }, 7),
            (Place { area: 0x81, block: 0, byte: 0 }, 4),
        ];
        for (host, slot, after) in [(self.boiler, 1, 2), (self.mixer, 2, 3)] {
            let mut turn = 0_u8;
            net.session(
                (after * SECOND, EVER, SECOND),
                move |net| s7::open(net, self.hmi, host, 2, slot),
                move |net, link| {
                    turn = turn.wrapping_add(1);
                    link.read(net, &tanks);
                    if turn.is_multiple_of(30) {
                        let value = net.rng.array::<2>();
                        link.write(net, Place { area: 0x84, block: 12, byte: 4 }, &value);
                    }
                },
                |net, link| net.close(link.conn),
            );
        }
        for (client, host, unit, after, period) in [
            (self.hmi, self.pump, 1, 4, 1_000),
            (self.historian, self.pump, 1, 9, 5_000),
            (self.historian, self.meter, 3, 6, 2_000),
            (self.scada, self.meter, 4, 7, 2_500),
        ] {
            let objects = if host == self.pump { M340 } else { METER };
            net.session(
                (after * SECOND, EVER, period * MILLI),
                move |net| {
                    let conn = net.connect(client, host, 502, "modbus");
                    let ask = modbus::message(1, unit, 43, &modbus::identify(2));
                    net.exchange(conn, &ask, &modbus::message(1, unit, 43, &modbus::identity(2, objects)));
                    (conn, 1_u16)
                },
                move |net, (conn, id)| {
                    *id = id.wrapping_add(1);
                    let (function, request, answer) = modbus_turn(net, *id, client == self.hmi);
                    // A wrong address is refused now and then (section 7, code 2).
                    let answer = if *id % 60 == 59 {
                        modbus::message(*id, unit, function | 0x80, &[2])
                    } else {
                        modbus::message(*id, unit, function, &answer)
                    };
                    net.exchange(*conn, &modbus::message(*id, unit, function, &request), &answer);
                },
                |net, (conn, _)| net.close(conn),
            );
        }
        let found = [(self.logix, LOGIX), (self.point_io, POINT_IO)];
        net.every(8 * SECOND, 2 * MINUTE, move |net| enip::discover(net, self.hmi, ALL, &found));
        for (client, host, identity, period) in
            [(self.hmi, self.logix, LOGIX, 1_000), (self.logix, self.point_io, POINT_IO, 4_000)]
        {
            let mut turn = 0_u32;
            net.session(
                (10 * SECOND, EVER, period * MILLI),
                move |net| {
                    let mut session = enip::open(net, client, host);
                    session.identity(net, identity);
                    session
                },
                move |net, session| {
                    turn += 1;
                    if host == self.point_io {
                        session.identity(net, identity);
                    } else if turn.is_multiple_of(20) {
                        session.write_tag(net, "Press.Setpoint", 1_200 + turn % 7);
                    } else {
                        let value = net.rng.range(1_100, 1_300) as u32;
                        session.read_tag(
                            net,
                            if turn.is_multiple_of(2) { "Press.Force" } else { "Press.Cycles" },
                            value,
                        );
                    }
                },
                |net, session| net.close(session.conn),
            );
        }
    }

    /// The SCADA server and the outstation at the well.
    fn telecontrol(self, net: &mut Net) {
        const MASTER: u16 = 1;
        const WELL: u16 = 10;
        let (out, back) = ((WELL, MASTER), (MASTER, WELL));
        net.session(
            (5 * SECOND, EVER, 2 * SECOND),
            move |net| {
                let conn = net.connect(self.scada, self.rtu, 20_000, "dnp3");
                // The device has just restarted; it is told the time and to speak up.
                net.exchange(
                    conn,
                    &dnp3::request(out, 0, 1, dnp3::ALL_CLASSES),
                    &dnp3::response(back, 0, 0x9000, &dnp3::points(0x15, [410, 72, 9_981, 3])),
                );
                let time = dnp3::time(net.clock / 1_000_000);
                net.exchange(conn, &dnp3::request(out, 1, 2, &time), &dnp3::response(back, 1, 0x8000, &[]));
                net.exchange(
                    conn,
                    &dnp3::request(out, 2, 2, &[80, 1, 0, 7, 7, 0]),
                    &dnp3::response(back, 2, 0, &[]),
                );
                net.exchange(
                    conn,
                    &dnp3::request(out, 3, 20, dnp3::EVENTS),
                    &dnp3::response(back, 3, 0, &[]),
                );
                for (sequence, (variation, text)) in (4..).zip([
                    (252, "Schweitzer Engineering Laboratories"),
                    (250, "SEL-3530"),
                    (248, "1131480275"),
                    (242, "R151-V4"),
                ]) {
                    let answer = dnp3::response(back, sequence, 0, &dnp3::attribute_text(variation, text));
                    net.exchange(
                        conn,
                        &dnp3::request(out, sequence, 1, &dnp3::attribute(variation)),
                        &answer,
                    );
                }
                (conn, 8_u8, 0_u8)
            },
            move |net, (conn, sequence, told)| {
                *sequence = (*sequence + 1) & 15;
                match net.rng.u8() {
                    0..40 => {
                        *told = (*told + 1) & 15;
                        let input = u16::from(net.rng.u8() & 7);
                        net.server_says(
                            *conn,
                            &dnp3::unsolicited(back, *told, &dnp3::change(input, *told & 1 == 1)),
                        );
                        net.client_says(*conn, &dnp3::confirm(out, *told));
                        net.settle(*conn);
                    }
                    40..52 => {
                        let relay = dnp3::operate(2);
                        for function in [3, 4] {
                            net.exchange(
                                *conn,
                                &dnp3::request(out, *sequence, function, &relay),
                                &dnp3::response(back, *sequence, 0, &relay),
                            );
                            *sequence = (*sequence + 1) & 15;
                        }
                    }
                    chance => {
                        let level = 400 + u32::from(chance);
                        let points = dnp3::points(chance, [level, 70, 9_980 - u32::from(chance), 3]);
                        net.exchange(
                            *conn,
                            &dnp3::request(out, *sequence, 1, dnp3::ALL_CLASSES),
                            &dnp3::response(back, *sequence, 0, &points),
                        );
                    }
                }
            },
            |net, (conn, ..)| net.close(conn),
        );
    }

    /// The building's automation, VLAN 10.
    fn building(self, net: &mut Net) {
        let devices: [(HostId, u32, u8, [&'static str; 4]); 3] = [
            (self.air, 3_001, 5, ["NAE-AHU1", "Johnson Controls", "MS-NAE5510-2", "10.1.0.10"]),
            (
                self.heat,
                3_002,
                7,
                ["PXC-HEAT1", "Siemens Building Technologies", "PXC50-E.D", "FW=V06.00.218"],
            ),
            (self.rooms, 3_003, 24, ["LGR-ROOMS", "Automated Logic Corporation", "LGR1000", "6.02:052"]),
        ];
        net.every(3 * SECOND, 3 * MINUTE, move |net| {
            let found = devices.map(|(host, instance, vendor, _)| (host, instance, vendor));
            bacnet::who_is(net, self.bms, ALL_BUILDING, &found);
        });
        for (index, (host, instance, _, [name, vendor, model, firmware])) in devices.into_iter().enumerate() {
            let device = bacnet::device(instance);
            let mut invoke = index as u8 * 80;
            net.every((6 + index as u64) * SECOND, 4 * MINUTE, move |net| {
                let reads = [
                    (device, bacnet::OBJECT_NAME, bacnet::Value::Text(name)),
                    (device, bacnet::VENDOR_NAME, bacnet::Value::Text(vendor)),
                    (device, bacnet::MODEL_NAME, bacnet::Value::Text(model)),
                    (device, bacnet::FIRMWARE, bacnet::Value::Text(firmware)),
                    (device, bacnet::SOFTWARE, bacnet::Value::Text("1.0")),
                    (device, bacnet::LOCATION, bacnet::Value::Text("Hall 3, roof")),
                ];
                bacnet::read(net, self.bms, host, &mut invoke, &reads);
            });
            let mut invoke = index as u8 * 80 + 40;
            net.every((12 + index as u64) * SECOND, 5 * SECOND, move |net| {
                let mut warm = |base: f32| bacnet::Value::Real(base + f32::from(net.rng.u8()) / 256.0);
                let reads = [
                    (bacnet::object(bacnet::ANALOG_INPUT, 1), bacnet::PRESENT_VALUE, warm(20.5)),
                    (bacnet::object(bacnet::ANALOG_INPUT, 2), bacnet::PRESENT_VALUE, warm(44.0)),
                ];
                bacnet::read(net, self.bms, host, &mut invoke, &reads);
            });
            let mut invoke = index as u8 * 80 + 60;
            net.every((50 + index as u64) * SECOND, MINUTE, move |net| {
                bacnet::write(
                    net,
                    self.bms,
                    host,
                    &mut invoke,
                    bacnet::object(bacnet::ANALOG_VALUE, 7),
                    21.5,
                );
            });
        }
        windows_talk(net, self.bms, "BMS-SRV", "PLANT", 4);
        net.every(15 * SECOND, 80 * SECOND, move |net| {
            self.look_up(net, self.bms, "patch.corp.example", [10, 20, 0, 10]);
        });
    }

    /// The packaging line, VLAN 20.
    fn packaging(self, net: &mut Net) {
        let line =
            [(Place { area: 0x84, block: 1, byte: 0 }, 16), (Place { area: 0x84, block: 2, byte: 8 }, 12)];
        net.session(
            (4 * SECOND, EVER, 700 * MILLI),
            move |net| {
                let mut link = s7::open(net, self.panel, self.packer, 2, 1);
                link.identify(net, PACKER);
                link
            },
            move |net, link| link.read(net, &line),
            |net, link| net.close(link.conn),
        );
    }

    /// What Windows computers say unasked, and what they use.
    fn stations(self, net: &mut Net) {
        for (host, name, after) in [
            (self.hmi, "HMI-HALL3", 1),
            (self.scada, "SCADA-SRV1", 2),
            (self.historian, "HIST-SRV1", 3),
            (self.engineer, "ENG-WS1", 5),
        ] {
            windows_talk(net, host, name, "PLANT", after);
        }
        net.every_in(WORK, 30 * SECOND, 90 * SECOND, move |net| {
            dns::llmnr(net, self.engineer, "SCADA-SRV1", Some(self.scada));
            dns::nbns_ask(net, self.engineer, "HIST-SRV1", Some(self.historian));
        });
        for host in [
            self.hmi,
            self.scada,
            self.historian,
            self.engineer,
            self.boiler,
            self.mixer,
            self.core,
            self.cell,
            self.manager,
        ] {
            net.every(10 * SECOND + host as u64 * SECOND, 64 * SECOND, move |net| {
                ntp::ask(net, host, self.clock);
            });
        }
        // The historian collects from SCADA, encrypted.
        net.session(
            (12 * SECOND, EVER, 2 * SECOND),
            move |net| {
                tls::open(
                    net,
                    self.historian,
                    self.scada,
                    dial(Style::Program, "scada-srv1", "scada-srv1", "Plant PKI", 4843),
                )
            },
            |net, conn| tls::talk(net, *conn, 150, 700),
            |net, conn| tls::close(net, conn, Style::Program),
        );
        // It looks for the data that the pump's controller has logged.
        net.every(47 * SECOND, 2 * MINUTE, move |net| {
            let greeting = "VxWorks (6.4) FTP server ready";
            ftp::session(
                net,
                self.historian,
                self.pump,
                greeting,
                &["/SDCA/DataLogging/F1.csv", "/SDCA/DataLogging/F2.csv"],
            );
        });
        // Operators look at SCADA's pages.
        net.every(14 * SECOND, 20 * SECOND, move |net| {
            let request = http::get(
                "scada-srv1",
                "/overview",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0",
                "",
            );
            let answer =
                http::answer("200 OK", "Microsoft-IIS/10.0", "text/html", "", &http::page("Overview", 4_000));
            http::fetch(net, self.hmi, self.scada, 80, &request, &answer);
        });
    }

    /// Switches, their manager, and who they say they are.
    fn network(self, net: &mut Net) {
        let port = |mac: &str| mac.parse().unwrap_or_default();
        let (core_port, cell_port): (MacAddr, MacAddr) =
            (port("00:1b:54:8c:40:03"), port("00:1b:1b:a2:03:00"));
        net.every(SECOND, 2 * SECOND, move |net| link::stp(net, self.core, core_port, 3));
        net.every(2 * SECOND, 30 * SECOND, move |net| link::lldp(net, self.core, core_port, CORE_SWITCH));
        net.every(3 * SECOND, 60 * SECOND, move |net| link::cdp(net, self.core, core_port, CORE_SWITCH));
        net.every(4 * SECOND, 30 * SECOND, move |net| link::lldp(net, self.cell, cell_port, CELL_SWITCH));
        net.every(20 * SECOND, 30 * SECOND, move |net| {
            let up = ((net.clock - net.start) / (10 * MILLI)) as u32;
            let own = ["netops@corp.example", CORE_SWITCH.name, "Hall 3, cabinet 1"];
            let values = snmp::system(CORE_SWITCH.description, &[1, 3, 6, 1, 4, 1, 9, 1, 2052], up, own);
            snmp::read(net, self.manager, self.core, "plant-ro", &values);
            snmp::read(net, self.manager, self.core, "plant-ro", &snmp::counters(up.wrapping_mul(7)));
            let own = ["netops@corp.example", CELL_SWITCH.name, "Hall 3, cabinet 4"];
            let values =
                snmp::system(CELL_SWITCH.description, &[1, 3, 6, 1, 4, 1, 4329, 6, 1, 2, 34], up, own);
            snmp::read(net, self.manager, self.cell, "plant-ro", &values);
            let own = ["netops@corp.example", "lantime-m300", "Hall 3, cabinet 1"];
            let about = "Meinberg LANTIME/M300/GPS V7.08.007";
            let values = snmp::system(about, &[1, 3, 6, 1, 4, 1, 5597, 30], up, own);
            snmp::read(net, self.manager, self.clock, "plant-ro", &values);
            let engine = [0x80, 0, 0, 9, 3, 0, 0x1b, 0x54, 0x8c, 0x40, 0];
            snmp::read_encrypted(net, self.manager, self.core, &engine, "nms");
        });
        for host in [self.core, self.cell, self.boiler, self.firewall] {
            net.every(25 * SECOND + host as u64 * SECOND, MINUTE, move |net| {
                icmp::ping(net, self.manager, host, 2);
            });
        }
        net.every_in(WORK, 40 * SECOND, 3 * MINUTE, move |net| {
            let conn = ssh::open(net, (self.engineer, ssh::OPENSSH_WINDOWS), (self.core, ssh::CISCO));
            ssh::talk(net, conn, 25);
            net.close(conn);
        });
        net.every_in(WORK, 100 * SECOND, 4 * MINUTE, move |net| {
            let commands = [
                ("show interfaces status", "Port 1 up 100M full\r\nPort 2 up 1000M full"),
                ("show version", "SCALANCE XC208 V04.03.00"),
            ];
            telnet::session(net, self.engineer, self.cell, "SCALANCE XC208", "admin", &commands, "CLI> ");
        });
    }

    /// Beyond the firewall, and what comes from there.
    fn office(self, net: &mut Net) {
        for (host, after) in
            [(self.hmi, 18), (self.scada, 21), (self.historian, 23), (self.engineer, 26), (self.manager, 28)]
        {
            net.every(after * SECOND, 75 * SECOND, move |net| {
                self.look_up(net, host, "patch.corp.example", [10, 20, 0, 10]);
                let (agent, path) = if host == self.manager {
                    ("Debian APT-HTTP/1.3 (2.6.1)", "/debian/dists/bookworm/InRelease")
                } else {
                    ("Microsoft-Delivery-Optimization/10.1", "/selfupdate/wuident.cab")
                };
                let request = http::get("patch.corp.example", path, agent, "");
                let answer = http::answer(
                    "200 OK",
                    "Microsoft-IIS/10.0",
                    "application/octet-stream",
                    "",
                    &net.rng.bytes(3_000),
                );
                http::fetch(net, host, self.patches, 80, &request, &answer);
            });
        }
        net.every(45 * SECOND, 2 * MINUTE, move |net| {
            let conn = tls::open(
                net,
                self.scada,
                self.patches,
                dial(Style::Program, "patch.corp.example", "patch.corp.example", "Corp", 8531),
            );
            tls::talk(net, conn, 400, 3_000);
            tls::close(net, conn, Style::Program);
        });
        // The jump host works on the historian; the corporate historian reads from it.
        net.session_in(
            WORK,
            (35 * SECOND, 5 * SECOND),
            move |net| {
                tls::open(
                    net,
                    self.jump,
                    self.historian,
                    dial(Style::Program, "hist-srv1", "hist-srv1", "Plant PKI", 443),
                )
            },
            |net, conn| tls::talk(net, *conn, 300, 1_200),
            |net, conn| tls::close(net, conn, Style::Program),
        );
        net.session(
            (16 * SECOND, EVER, 10 * SECOND),
            move |net| {
                tls::open(
                    net,
                    self.archive,
                    self.historian,
                    dial(Style::Small, "", "hist-srv1", "Plant PKI", 5671),
                )
            },
            |net, conn| tls::talk(net, *conn, 100, 2_000),
            |net, conn| tls::close(net, conn, Style::Small),
        );
        net.once(2 * MINUTE, move |net| {
            net.note("the vendor comes in from outside, to the remote access gateway");
        });
        net.session(
            (2 * MINUTE, 7 * MINUTE, 3 * SECOND),
            move |net| {
                tls::open(
                    net,
                    self.vendor,
                    self.remote,
                    dial(
                        Style::Program,
                        "remote.plant.example",
                        "remote.plant.example",
                        "Remote Access",
                        443,
                    ),
                )
            },
            |net, conn| tls::talk(net, *conn, 200, 500),
            |net, conn| tls::close(net, conn, Style::Program),
        );
        net.every(50 * SECOND, 4 * MINUTE, move |net| icmp::ping(net, self.remote, self.firewall, 2));
    }

    fn look_up(self, net: &mut Net, host: HostId, name: &str, ip: [u8; 4]) {
        dns::lookup(net, host, self.names, name, IpAddr::from(ip));
    }

    /// The engineering station identifies all controllers, looks at one's pages, and changes a program.
    fn engineer_at_work(self, net: &mut Net) {
        for (host, card, slot, after) in [(self.boiler, BOILER, 1, 60), (self.mixer, MIXER, 2, 75)] {
            net.every_in(WORK, after * SECOND, 5 * MINUTE, move |net| {
                let mut link = s7::open(net, self.engineer, host, 1, slot);
                link.identify(net, card);
                net.close(link.conn);
            });
        }
        net.every_in(WORK, 82 * SECOND, 3 * MINUTE, move |net| {
            let request = http::get(
                "10.10.0.11",
                "/Portal/Portal.mwsl?PriNav=Start",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0",
                "",
            );
            let page = http::page("PLC_BOILER, CPU 1515-2 PN", 3_500);
            http::fetch(
                net,
                self.engineer,
                self.boiler,
                80,
                &request,
                &http::answer("200 OK", "SIMATIC HTTP Server", "text/html", "", &page),
            );
        });
        let change = ((net.end - net.start) / 2).min(2 * HOUR);
        net.once(change, move |net| {
            let mut link = s7::open(net, self.engineer, self.mixer, 1, 2);
            // Block header: 'pp', version, language (ladder), type (organisation block), number.
            let mut block = vec![b'p', b'p', 1, 1, 0x02, 0x08, 0, 1];
            block.extend(net.rng.bytes(704));
            net.note("the engineering station uploads block OB1 from plc-mixer");
            link.upload(net, "_0800001P", &block);
            net.pause_us(4_000_000, 9_000_000);
            net.note("the engineering station downloads block OB1 to plc-mixer");
            let patch = net.rng.bytes(60);
            block[100..160].copy_from_slice(&patch);
            link.download(net, "_0800001P", &block);
            net.close(link.conn);
        });
    }

    /// A scan from made-up addresses outside, let through by a rule that is too wide.
    fn scan(self, net: &mut Net) {
        /// Probes of the scan.
        const PROBES: u32 = 320;
        let begins = (net.end - net.start) / 100 * 62;
        net.once(begins, |net| net.note("a scan begins, from made-up source addresses"));
        let there = [
            self.boiler,
            self.mixer,
            self.pump,
            self.logix,
            self.rtu,
            self.scada,
            self.historian,
            self.core,
            self.cell,
        ];
        for number in 0..PROBES {
            net.once(begins + u64::from(number) * 25 * MILLI, move |net| {
                let src = SocketAddr::new(anybody(net).into(), net.rng.range(1_024, 65_535) as u16);
                let ports = [21, 22, 80, 135, 445, 1_433, 3_389, 4_840, 5_900, 8_080];
                // Ports that nobody of those tried offers.
                let closed = [21, 135, 445, 3_389, 5_900];
                match number % 8 {
                    0..3 => {
                        let host = there[number as usize % there.len()];
                        let port = closed[number as usize % closed.len()];
                        let ip = net.v4(host, self.firewall);
                        net.spoofed_syn(src, SocketAddr::new(ip, port), None);
                    }
                    // Addresses of devices taken away, still in the firewall's table.
                    3..6 => {
                        let last = 200 + (number % 24) as u8;
                        let ghost = MacAddr([0x00, 0x1b, 0x1b, 0xee, 0x00, last]);
                        let dst = SocketAddr::from(([10, 10, 0, last], ports[number as usize % ports.len()]));
                        net.spoofed_syn(src, dst, Some(ghost));
                    }
                    // Addresses that nobody has: the firewall asks in vain.
                    _ => {
                        let last = 100 + (number % 90) as u8;
                        net.spoofed_syn(src, SocketAddr::from(([10, 10, 0, last], 445)), None);
                    }
                }
            });
        }
    }
}

/// An address from the public nets, of nobody in particular.
fn anybody(net: &mut Net) -> Ipv4Addr {
    loop {
        let [_, b, c, d] = net.rng.array::<4>();
        // Blocks that are public as a whole, without the documentation ranges.
        let a = net.rng.range(45, 100) as u8;
        if a != 100 && d != 0 && d != 255 {
            return Ipv4Addr::new(a, b, c, d);
        }
    }
}

/// One question and answer of Modbus: function, request, answer.
fn modbus_turn(net: &mut Net, id: u16, may_write: bool) -> (u8, Vec<u8>, Vec<u8>) {
    let value = net.rng.range(0, 4_096) as u16;
    match id % 10 {
        0 => (1, modbus::span(0, 12), modbus::counted(&[0x5a, 0x0b])),
        3 => (2, modbus::span(100, 8), modbus::counted(&[0x11])),
        5 if may_write => (5, modbus::span(4, 0xff00), modbus::span(4, 0xff00)),
        6 if may_write => (6, modbus::span(40, value), modbus::span(40, value)),
        8 if may_write => {
            let mut request = modbus::span(50, 2);
            request.extend(modbus::counted(&modbus::registers(&[value, 1])));
            (16, request, modbus::span(50, 2))
        }
        7 => (4, modbus::span(10, 4), modbus::counted(&modbus::registers(&[value, 7, 8, 9]))),
        _ => (3, modbus::span(0, 6), modbus::counted(&modbus::registers(&[value, 2, 3, value / 2, 5, 6]))),
    }
}
