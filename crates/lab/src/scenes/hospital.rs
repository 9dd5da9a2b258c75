//! A hospital on a Monday morning, seen from a mirror port of its core switch: a ward with its monitors and pumps,
//! a scanner, and the servers behind them.

use model::{Locality, Role};

use super::common::{computer, dial, visit, windows_talk};
use crate::net::{EVER, HOUR, Host, HostId, Hours, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::dicom::{Entity, Equipment};
use crate::speak::hl7::Name;
use crate::speak::tls::Style;
use crate::speak::{dicom, dns, hl7, http, icmp, link, ntp, tls};

/// When the ward is busy, and when patients come and go.
const DAY: Hours = Hours::daily(6, 21);
/// When the scanner has appointments; at night there are emergencies.
const APPOINTMENTS: Hours = Hours::working(7, 18);
const NIGHT: Hours = Hours::daily(18, 7);

const EHR: Name = ("EHR", "HOSP");
const HUB: Name = ("HL7HUB", "HOSP");
const PUMPS: Name = ("PUMPSRV", "HOSP");
/// Names and numbers of the monitors.
const MONITORS: [(Name, &str); 4] = [
    (("MON_1", "WARD3"), "00095CFFFE30A101"),
    (("MON_2", "WARD3"), "00095CFFFE30A102"),
    (("MON_3", "WARD3"), "00095CFFFE30A103"),
    (("MON_4", "WARD3"), "00095CFFFE30A104"),
];
const MONITOR_SOFTWARE: &str = "Philips Medical Systems^L|C.03.20|IntelliVue Information Center|C0320";

const CT: Entity =
    Entity { title: "CT_ROOM_2", implementation: ("1.3.12.2.1107.5.99.3.20080101", "SIEMENS_S7VB20A") };
const PACS: Entity =
    Entity { title: "PACS_MAIN", implementation: ("1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367") };
const SCANNER: Equipment = Equipment {
    manufacturer: "Siemens Healthineers",
    model: "SOMATOM go.Up",
    station: "CTAWP96412",
    serial: "96412",
    software: "syngo CT VB20A",
};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/133.0.0.0 Safari/537.36";
const NURSES: [(&str, &str, &str); 3] = [
    ("nurse-station-1", "d0:67:e5:31:c0:51", "WARD3-1-PC"),
    ("nurse-station-2", "d0:67:e5:31:c0:5d", "WARD3-2-PC"),
    ("nurse-station-3", "d0:67:e5:32:07:18", "WARD3-3-PC"),
];

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let hospital = Hospital::build(net);
    hospital.come_up(net);
    hospital.monitors(net);
    hospital.pumps(net);
    hospital.records(net);
    hospital.scanner(net);
    hospital.nurses(net);
    hospital.doors(net);
}

/// Everybody in the scene.
#[derive(Clone, Copy)]
struct Hospital {
    router: HostId,
    monitors: [HostId; 4],
    pumps: [HostId; 6],
    ct: HostId,
    nurses: [HostId; 3],
    doors: [HostId; 2],
    printers: [HostId; 2],
    hub: HostId,
    pump_server: HostId,
    pacs: HostId,
    ehr: HostId,
    access: HostId,
    maker: HostId,
}

impl Hospital {
    fn build(net: &mut Net) -> Self {
        let router = net.add(
            Host::new("router", "00:1b:54:91:0c:01", Os::Control)
                .at([10, 60, 0, 1])
                .vendor("Cisco")
                .roles(&[Role::Router, Role::DnsServer, Role::TimeServer]),
        );
        net.router_in(None, [10, 60, 0, 1]);
        let server = |name: &str, mac: &str, last: u8, roles: &[Role]| {
            Host::new(name, mac, Os::Linux).at([10, 60, 0, last]).vendor("Super Micro Computer").roles(roles)
        };
        Self {
            router,
            monitors: std::array::from_fn(|index| {
                let name = format!("monitor-{}", index + 1);
                net.add(
                    Host::new(&name, &format!("00:09:5c:30:a1:{:02x}", index + 1), Os::Control)
                        .at([10, 60, 0, 30 + index as u8])
                        .slow(2_000, 12_000)
                        .vendor("Philips Medical Systems")
                        .roles(&[Role::Medical]),
                )
            }),
            pumps: std::array::from_fn(|index| {
                let name = format!("pump-{}", index + 1);
                net.add(
                    Host::new(&name, &format!("00:12:21:08:e4:{:02x}", 0x10 + index), Os::Small)
                        .at([10, 60, 0, 40 + index as u8])
                        .slow(5_000, 40_000)
                        .vendor("B.Braun Melsungen")
                        .roles(&[Role::Medical]),
                )
            }),
            ct: net.add(
                Host::new("ct", "00:18:65:3b:71:20", Os::Windows)
                    .at([10, 60, 0, 20])
                    .vendor("Siemens Healthineers")
                    .model(SCANNER.model)
                    .serial(SCANNER.serial)
                    .firmware(SCANNER.software)
                    .roles(&[Role::Medical]),
            ),
            nurses: std::array::from_fn(|index| {
                let (name, mac, hostname) = NURSES[index];
                let ip = [10, 60, 0, 50 + index as u8];
                net.add(computer(name, mac, ip, "Dell", hostname, &[Role::Workstation]))
            }),
            doors: std::array::from_fn(|index| {
                let name = format!("door-{}", index + 1);
                net.add(
                    Host::new(&name, &format!("00:06:8e:41:20:{:02x}", 0x70 + index), Os::Linux)
                        .at([10, 60, 0, 70 + index as u8])
                        .slow(2_000, 15_000)
                        .vendor("HID")
                        .roles(&[Role::SmartDevice]),
                )
            }),
            printers: std::array::from_fn(|index| {
                let name = format!("printer-{}", index + 1);
                net.add(
                    Host::new(&name, &format!("00:1b:a9:77:3c:{:02x}", 0x14 + index), Os::Control)
                        .at([10, 60, 0, 60 + index as u8])
                        .slow(1_000, 6_000)
                        .vendor("Brother")
                        .roles(&[Role::Printer]),
                )
            }),
            hub: net.add(server("hl7-server", "00:25:90:3a:11:10", 10, &[Role::Medical])),
            pump_server: net.add(server(
                "pump-server",
                "00:25:90:3a:11:2e",
                11,
                &[Role::Medical, Role::Server],
            )),
            pacs: net.add(server("pacs", "00:25:90:e0:52:12", 12, &[Role::Medical, Role::Server])),
            ehr: net.add(server("ehr", "00:25:90:e0:52:77", 13, &[Role::Medical, Role::Server])),
            access: net.add(server("access-server", "00:25:90:1d:08:14", 14, &[Role::Server])),
            maker: net.add(
                Host::beyond("scanner-maker", Locality::External, [198, 51, 100, 171], Os::Linux)
                    .roles(&[Role::Server]),
            ),
        }
    }

    fn come_up(self, net: &mut Net) {
        let things = self.monitors.into_iter().chain(self.pumps).chain(self.doors).chain(self.printers);
        let servers = [self.ct, self.hub, self.pump_server, self.pacs, self.ehr, self.access];
        for (index, host) in things.chain(servers).enumerate() {
            net.once(index as u64 * 230 * MILLI, move |net| link::announce(net, host));
        }
        for (index, (host, (.., name))) in self.nurses.into_iter().zip(NURSES).enumerate() {
            windows_talk(net, host, name, "HOSPITAL", 2 + index as u64);
        }
        let clocks = self.monitors.into_iter().chain(self.pumps).chain(self.nurses).chain(servers);
        for (index, host) in clocks.enumerate() {
            net.every((9 + index as u64 * 3) * SECOND, 2 * MINUTE, move |net| {
                ntp::ask(net, host, self.router);
            });
        }
    }

    /// Monitors report what they measure, day and night; what they measure wanders slowly.
    fn monitors(self, net: &mut Net) {
        for (index, (monitor, (name, number))) in self.monitors.into_iter().zip(MONITORS).enumerate() {
            let bed = index as u32 + 1;
            let mut pulse = 62.0 + 6.0 * index as f64;
            net.session(
                ((12 + index as u64) * SECOND, EVER, 2 * SECOND),
                move |net| hl7::open(net, (monitor, name), (self.hub, HUB)),
                move |net, link| {
                    pulse += (72.0 - pulse) * 0.02 + (f64::from(net.rng.u8()) - 127.5) / 120.0;
                    let oxygen = 96 + net.rng.range(0, 4);
                    let (systolic, breaths) = (118 + net.rng.range(0, 9), 13 + net.rng.range(0, 5));
                    let values = [
                        (147_842, "MDC_ECG_HEART_RATE", format!("{pulse:.0}"), "/min"),
                        (150_456, "MDC_PULS_OXIM_SAT_O2", oxygen.to_string(), "%"),
                        (151_562, "MDC_RESP_RATE", breaths.to_string(), "/min"),
                        (150_021, "MDC_PRESS_BLD_NONINV_SYS", systolic.to_string(), "mm[Hg]"),
                    ];
                    link.results(net, (900_000 + bed, bed), number, MONITOR_SOFTWARE, &values);
                },
                |net, link| link.close(net),
            );
        }
    }

    /// Pumps report to their server, encrypted.
    fn pumps(self, net: &mut Net) {
        for (index, pump) in self.pumps.into_iter().enumerate() {
            let server = dial(Style::Small, "pump-server.hosp.example", "Hospital PKI", 443);
            net.session(
                ((16 + 2 * index as u64) * SECOND, EVER, 5 * SECOND),
                move |net| tls::open(net, pump, self.pump_server, server),
                |net, conn| tls::talk(net, *conn, 180, 60),
                |net, conn| tls::close(net, conn, Style::Small),
            );
        }
        // What is ordered for them.
        let mut turn = 0;
        net.session(
            (30 * SECOND, EVER, 90 * SECOND),
            move |net| hl7::open(net, (self.hub, HUB), (self.pump_server, PUMPS)),
            move |net, link| {
                turn += 1;
                if DAY.hold(net.clock) || turn % 4 == 0 {
                    link.order(net, 900_001 + turn % 4, turn % 6 + 1, 250);
                }
            },
            |net, link| link.close(net),
        );
    }

    /// Patients come and go, and what was measured goes into their records.
    fn records(self, net: &mut Net) {
        let mut turn = 0;
        net.session(
            (20 * SECOND, EVER, 45 * SECOND),
            move |net| hl7::open(net, (self.ehr, EHR), (self.hub, HUB)),
            move |net, link| {
                turn += 1;
                if DAY.hold(net.clock) || turn % 5 == 0 {
                    let event = ["A01", "A08", "A08", "A03"][turn as usize % 4];
                    link.patient(net, event, 900_001 + turn % 40, turn % 30 + 1);
                }
            },
            |net, link| link.close(net),
        );
        net.session(
            (26 * SECOND, EVER, 15 * SECOND),
            move |net| hl7::open(net, (self.hub, HUB), (self.ehr, EHR)),
            move |net, link| {
                for (bed, (_, number)) in (1..).zip(MONITORS) {
                    let pulse = (66 + net.rng.range(0, 12)).to_string();
                    let values = [(147_842, "MDC_ECG_HEART_RATE", pulse, "/min")];
                    link.results(net, (900_000 + bed, bed), number, MONITOR_SOFTWARE, &values);
                }
            },
            |net, link| link.close(net),
        );
    }

    /// The scanner asks whether the archive is there, and stores the pictures of each examination.
    fn scanner(self, net: &mut Net) {
        net.every(25 * SECOND, 15 * MINUTE, move |net| {
            let mut association = dicom::open(net, (self.ct, CT), (self.pacs, PACS));
            association.echo(net);
            association.close(net);
        });
        let mut study = 4_100;
        let mut examine = move |net: &mut Net| {
            study += 1;
            let mut association = dicom::open(net, (self.ct, CT), (self.pacs, PACS));
            for number in 1..=24 {
                association.store(net, SCANNER, study, number);
                net.pause_us(150_000, 900_000);
            }
            association.close(net);
        };
        net.every(60 * SECOND, 7 * MINUTE, move |net| {
            let due = APPOINTMENTS.hold(net.clock) || NIGHT.hold(net.clock) && net.rng.u8() < 24;
            if due || net.clock < net.start + 2 * MINUTE {
                examine(net);
            }
        });
        let remote = dial(Style::Program, "remote.scanner.example", "Scanner Service", 443);
        net.every(85 * SECOND, HOUR, move |net| {
            visit(net, (self.router, self.ct, self.maker), remote, (2_500, 600));
        });
    }

    /// Nurses read and write records, and print.
    fn nurses(self, net: &mut Net) {
        for (index, nurse) in self.nurses.into_iter().enumerate() {
            let first = (18 + 5 * index as u64) * SECOND;
            let records = dial(Style::Browser, "ehr.hosp.example", "Hospital PKI", 443);
            let mut busy = 0_u32;
            net.every(first, 9 * SECOND, move |net| {
                busy += 1;
                // One in six of the day's visits happens at night, too.
                if DAY.hold(net.clock) || busy.is_multiple_of(6) {
                    visit(net, (self.router, nurse, self.ehr), records, (700, 11_000));
                }
            });
            let printer = self.printers[index % 2];
            net.every_in(DAY, first + 40 * SECOND, 8 * MINUTE, move |net| {
                let conn = net.connect(nurse, printer, 631, "http");
                let document = net.rng.bytes(9_000);
                let ip = net.v4(printer, nurse);
                let job = http::print_job(&format!("ipp://{ip}:631/ipp/print"), "ward3", &document);
                let request = http::post(
                    &format!("{ip}:631"),
                    "/ipp/print",
                    "Microsoft IPP Client/10.0",
                    "application/ipp",
                    &job,
                );
                let answer = http::answer("200 OK", "debut/1.30", "application/ipp", "", &http::printed());
                net.exchange(conn, &request, &answer);
                net.close(conn);
            });
            net.every_in(DAY, first + 25 * SECOND, 3 * MINUTE, move |net| {
                dns::lookup_in_vain(net, nurse, self.router, "wpad.hosp.example");
                let request = http::get("10.60.0.12", "/viewer", CHROME, "");
                let answer = http::answer("200 OK", "nginx", "text/html", "", &http::page("Pictures", 7_000));
                http::fetch(net, nurse, self.pacs, 80, &request, &answer);
            });
        }
    }

    /// Doors ask whether a card may pass.
    fn doors(self, net: &mut Net) {
        for (index, door) in self.doors.into_iter().enumerate() {
            let server = dial(Style::Small, "", "Hospital PKI", 4443);
            let mut turn = 0_u32;
            net.session(
                ((22 + 3 * index as u64) * SECOND, EVER, 6 * SECOND),
                move |net| tls::open(net, door, self.access, server),
                move |net, conn| {
                    turn += 1;
                    if DAY.hold(net.clock) || turn.is_multiple_of(10) {
                        tls::talk(net, *conn, 96, 64);
                    }
                },
                |net, conn| tls::close(net, conn, Style::Small),
            );
        }
        net.every(70 * SECOND, 5 * MINUTE, move |net| icmp::ping(net, self.access, self.doors[0], 2));
    }
}
