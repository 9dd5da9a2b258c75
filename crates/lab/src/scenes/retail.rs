//! A branch shop on a Monday morning, seen from a mirror port of its switch: one flat network in which tills,
//! cameras, music and the building's controller stand side by side.

use std::net::IpAddr;

use model::{Locality, Role};

use super::common::{cloud, computer, dial, visit, windows_talk};
use crate::net::{EVER, Host, HostId, Hours, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::dhcp::Client;
use crate::speak::dns::Service;
use crate::speak::link::Card;
use crate::speak::smb::Party;
use crate::speak::tls::Style;
use crate::speak::{bacnet, dhcp, dns, http, link, ntp, smb, tls};

/// When the shop is open, and when the office is used.
const OPEN: Hours = Hours::daily(8, 20);
const OFFICE: Hours = Hours::working(8, 18);
/// When the maintenance firm may look at the building's controller.
const MAINTENANCE: Hours = Hours::working(7, 17);
/// When the day is settled with the processor.
const CLOSING: Hours = Hours::daily(20, 21);

const ALL: [u8; 4] = [10, 30, 1, 255];

const TILLS: [(&str, &str, &str); 4] = [
    ("till-1", "24:2f:fa:10:51:11", "TILL-1"),
    ("till-2", "24:2f:fa:10:51:1c", "TILL-2"),
    ("till-3", "24:2f:fa:10:4e:27", "TILL-3"),
    ("till-4", "24:2f:fa:11:02:09", "TILL-4"),
];
const CAMERAS: [(&str, &str); 3] =
    [("camera-1", "00:40:8c:c1:7a:31"), ("camera-2", "00:40:8c:c1:7a:32"), ("camera-3", "00:40:8c:c2:05:9e")];

const POS_SERVER: Party = Party { name: "POS-SRV", domain: "SHOP", build: 17_763 };
const OFFICE_PC: Party = Party { name: "OFFICE-PC", domain: "SHOP", build: 19_045 };
/// Samba tells no build.
const FILES: Party = Party { name: "FILES", domain: "SHOP", build: 0 };

const AP_CARD: Card = Card {
    name: "ap-shop",
    description: "UAP-AC-Pro-Gen2, 6.6.65.15248",
    port: "eth0",
    platform: "",
    // Bridge and access point.
    capabilities: 4 | 8,
};
const MUSIC_SERVICE: Service = Service {
    kind: "_sonos._tcp.local",
    instance: "RINCON_000E58A3B4C201400@Shop",
    host: "sonos-000E58A3B4C2.local",
    port: 1443,
    txt: &["info=/api/v1/players/RINCON_000E58A3B4C201400/info", "vers=3", "protovers=1.41.0"],
};

const TILL_AGENT: &str = "PointOfSale/8.4 (Windows NT 10.0; IoT Enterprise)";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                    Chrome/133.0.0.0 Safari/537.36 Edg/133.0.0.0";
const CAMERA_STREAMS: &str = "GStreamer RTSP server";

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let shop = Shop::build(net);
    shop.come_up(net);
    shop.tills(net);
    shop.building(net);
    shop.office(net);
    shop.cameras(net);
    shop.rest(net);
}

/// Everybody in the scene.
#[derive(Clone, Copy)]
struct Shop {
    firewall: HostId,
    tills: [HostId; 4],
    pos: HostId,
    files: HostId,
    office: HostId,
    hvac: HostId,
    rooftop: HostId,
    panel: HostId,
    cameras: [HostId; 3],
    recorder: HostId,
    music: HostId,
    ap: HostId,
    processor: HostId,
    vendor: HostId,
    mail: HostId,
    music_cloud: HostId,
    ap_cloud: HostId,
    time: HostId,
}

impl Shop {
    fn build(net: &mut Net) -> Self {
        let firewall = net.add(
            Host::new("firewall", "00:09:0f:2b:61:01", Os::Linux)
                .at([10, 30, 1, 1])
                .vendor("Fortinet")
                .roles(&[Role::Router, Role::DhcpServer, Role::DnsServer]),
        );
        net.router_in(None, [10, 30, 1, 1]);
        let external = |name: &str, ip: [u8; 4], roles: &[Role]| {
            Host::beyond(name, Locality::External, ip, Os::Linux).roles(roles)
        };
        let mut last = 10;
        let tills = TILLS.map(|(name, mac, hostname)| {
            last += 1;
            net.add(computer(
                name,
                mac,
                [10, 30, 1, last],
                "Toshiba Global Commerce Solutions",
                hostname,
                &[Role::PointOfSale],
            ))
        });
        let mut last = 40;
        let cameras = CAMERAS.map(|(name, mac)| {
            last += 1;
            net.add(
                Host::new(name, mac, Os::Linux)
                    .at([10, 30, 1, last])
                    .slow(600, 4_000)
                    .vendor("Axis Communications")
                    .roles(&[Role::Camera]),
            )
        });
        Self {
            firewall,
            tills,
            pos: net.add(computer(
                "pos-server",
                "d0:67:e5:77:20:05",
                [10, 30, 1, 5],
                "Dell",
                POS_SERVER.name,
                &[Role::Server],
            )),
            files: net.add(
                Host::new("file-server", "00:11:32:4d:aa:06", Os::Linux)
                    .at([10, 30, 1, 6])
                    .vendor("Synology")
                    .hostname(FILES.name)
                    .roles(&[Role::Server]),
            ),
            office: net.add(computer(
                "office-pc",
                "00:14:22:31:9c:20",
                [10, 30, 1, 20],
                "Dell",
                OFFICE_PC.name,
                &[Role::Workstation],
            )),
            hvac: net.add(
                Host::new("hvac", "00:01:f0:92:17:30", Os::Linux)
                    .at([10, 30, 1, 30])
                    .slow(1_500, 9_000)
                    .vendor("Tridium")
                    .model("JACE-8000")
                    .firmware("4.10.0.154")
                    .roles(&[Role::BuildingController]),
            ),
            rooftop: net.add(
                Host::new("rooftop-unit", "00:12:ea:05:61:31", Os::Control)
                    .at([10, 30, 1, 31])
                    .slow(2_000, 15_000)
                    .vendor("Trane")
                    .model("Tracer UC600")
                    .firmware("5.40.0050")
                    .roles(&[Role::BuildingController]),
            ),
            panel: net.add(
                Host::new("room-panel", "00:10:8d:3a:44:32", Os::Control)
                    .at([10, 30, 1, 32])
                    .slow(2_000, 15_000)
                    .vendor("Johnson Controls")
                    .roles(&[Role::Hmi, Role::BuildingController]),
            ),
            cameras,
            recorder: net.add(
                Host::new("recorder", "08:ed:ed:3c:90:40", Os::Linux)
                    .at([10, 30, 1, 40])
                    .vendor("Dahua")
                    .roles(&[Role::Camera]),
            ),
            music: net.add(
                Host::new("music-player", "00:0e:58:a3:b4:c2", Os::Linux)
                    .vendor("Sonos")
                    .hostname("SonosZP")
                    .roles(&[Role::Media]),
            ),
            ap: net.add(
                Host::new("wifi-ap", "00:15:6d:b2:0c:60", Os::Linux)
                    .vendor("Ubiquiti")
                    .hostname("ap-shop")
                    .roles(&[Role::AccessPoint]),
            ),
            processor: net.add(external("processor", [203, 0, 113, 61], &[Role::Server])),
            vendor: net.add(Host::beyond("vendor", Locality::External, [198, 51, 100, 87], Os::Windows)),
            mail: net.add(external("mail", [192, 0, 2, 25], &[Role::Server])),
            music_cloud: net.add(external("music-cloud", [198, 51, 100, 44], &[Role::Server])),
            ap_cloud: net.add(external("wifi-cloud", [203, 0, 113, 19], &[Role::Server])),
            time: net.add(external("time", [198, 51, 100, 123], &[Role::TimeServer])),
        }
    }

    /// Some get an address; others have one and say so.
    fn come_up(self, net: &mut Net) {
        let asks = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42];
        let leases = [
            (self.music, 101, Client { hostname: "SonosZP", vendor_class: "udhcp 1.25.1", asks }),
            (self.ap, 102, Client { hostname: "ap-shop", vendor_class: "ubnt", asks }),
        ];
        for (index, (host, last, client)) in leases.into_iter().enumerate() {
            net.once(index as u64 * 900 * MILLI + 200 * MILLI, move |net| {
                dhcp::obtain(net, host, self.firewall, client, [10, 30, 1, last]);
            });
            net.every(20 * MINUTE + index as u64 * 9 * SECOND, 30 * MINUTE, move |net| {
                dhcp::renew(net, host, self.firewall, client, true);
            });
        }
        for (index, host) in
            [self.files, self.hvac, self.recorder].into_iter().chain(self.cameras).enumerate()
        {
            net.once(SECOND + index as u64 * 350 * MILLI, move |net| link::announce(net, host));
        }
        let computers = [(self.pos, POS_SERVER.name), (self.office, OFFICE_PC.name)];
        let tills = self.tills.into_iter().zip(TILLS.map(|(.., name)| name));
        for (index, (host, name)) in computers.into_iter().chain(tills).enumerate() {
            windows_talk(net, host, name, "SHOP", 1 + index as u64);
        }
        let clocks = [self.pos, self.files, self.hvac, self.recorder, self.ap].into_iter().chain(self.tills);
        for (index, host) in clocks.enumerate() {
            net.every((12 + index as u64 * 3) * SECOND, 128 * SECOND, move |net| {
                ntp::ask(net, host, self.time);
            });
        }
    }

    /// Tills sell: each sale is told the shop's server, and cards are charged at the processor outside.
    fn tills(self, net: &mut Net) {
        let payment = dial(Style::Program, "auth.processor.example", "Card Processor", 443);
        for (number, till) in self.tills.into_iter().enumerate() {
            let first = (15 + 4 * number as u64) * SECOND;
            net.every_in(OPEN, first, 21 * SECOND, move |net| {
                let cents = net.rng.range(99, 9_999);
                let sale = format!(
                    "{{\"till\":{},\"receipt\":{},\"cents\":{cents},\"items\":{}}}",
                    number + 1,
                    (net.clock - net.start) / SECOND,
                    1 + cents % 9
                );
                let request =
                    http::post("pos-srv:8080", "/sales", TILL_AGENT, "application/json", sale.as_bytes());
                let answer = http::answer("201 Created", "Microsoft-IIS/10.0", "application/json", "", b"{}");
                http::fetch(net, till, self.pos, 8080, &request, &answer);
                // Four of ten pay in cash.
                if cents % 10 >= 4 {
                    net.pause_us(2_000_000, 6_000_000);
                    visit(net, (self.firewall, till, self.processor), payment, (700, 420));
                }
            });
            // Prices are looked at day and night.
            net.every(first + 5 * SECOND, 50 * SECOND, move |net| {
                let request = http::get("pos-srv:8080", "/prices?since=last", TILL_AGENT, "");
                let prices = http::page("prices", 1_200);
                let answer = http::answer("200 OK", "Microsoft-IIS/10.0", "text/html", "", &prices);
                http::fetch(net, till, self.pos, 8080, &request, &answer);
            });
        }
        let settlement = dial(Style::Program, "batch.processor.example", "Card Processor", 443);
        net.every_in(CLOSING, 25 * MINUTE, 55 * MINUTE, move |net| {
            visit(net, (self.firewall, self.pos, self.processor), settlement, (180_000, 2_000));
        });
        // The day's sales go to the file server.
        net.every(70 * SECOND, 5 * MINUTE, move |net| {
            let mut session =
                smb::open(net, (self.pos, POS_SERVER), "pos-backup", (self.files, FILES), "sales");
            session.transfer(net, r"journal\today.db", true, 40_000);
            session.close(net);
        });
    }

    /// Air and heat: the controller, the unit on the roof, the panel on the wall, and the firm outside that
    /// maintains them.
    fn building(self, net: &mut Net) {
        let devices: [(HostId, HostId, u32, [&'static str; 4]); 2] = [
            (self.hvac, self.rooftop, 5_031, ["RTU-1", "Trane", "Tracer UC600", "5.40.0050"]),
            (self.panel, self.hvac, 5_030, ["SHOP-HVAC", "Tridium", "JACE-8000", "4.10.0.154"]),
        ];
        let found = [(self.rooftop, 5_031, 2), (self.hvac, 5_030, 36)];
        net.every(6 * SECOND, 10 * MINUTE, move |net| bacnet::who_is(net, self.hvac, ALL, &found[..1]));
        net.every(9 * SECOND, 15 * MINUTE, move |net| bacnet::who_is(net, self.panel, ALL, &found[1..]));
        for (index, (client, server, instance, [name, vendor, model, firmware])) in
            devices.into_iter().enumerate()
        {
            let mut invoke = index as u8 * 80;
            let device = bacnet::device(instance);
            net.every((10 + 7 * index as u64) * SECOND, 15 * MINUTE, move |net| {
                let reads = [
                    (device, bacnet::OBJECT_NAME, bacnet::Value::Text(name)),
                    (device, bacnet::VENDOR_NAME, bacnet::Value::Text(vendor)),
                    (device, bacnet::MODEL_NAME, bacnet::Value::Text(model)),
                    (device, bacnet::FIRMWARE, bacnet::Value::Text(firmware)),
                ];
                bacnet::read(net, client, server, &mut invoke, &reads);
            });
            let mut invoke = index as u8 * 80 + 40;
            net.every((20 + index as u64) * SECOND, 10 * SECOND, move |net| {
                let mut warm = |base: f32| bacnet::Value::Real(base + f32::from(net.rng.u8()) / 256.0);
                let reads = [
                    (bacnet::object(bacnet::ANALOG_INPUT, 1), bacnet::PRESENT_VALUE, warm(19.5)),
                    (bacnet::object(bacnet::ANALOG_INPUT, 2), bacnet::PRESENT_VALUE, warm(14.0)),
                ];
                bacnet::read(net, client, server, &mut invoke, &reads);
            });
        }
        let mut invoke = 200;
        net.every(40 * SECOND, 5 * MINUTE, move |net| {
            let open = OPEN.hold(net.clock);
            let place = bacnet::object(bacnet::ANALOG_VALUE, 7);
            bacnet::write(net, self.hvac, self.rooftop, &mut invoke, place, if open { 21.0 } else { 17.0 });
        });
        let portal = dial(Style::Browser, "hvac.shop.example", "Shop", 443);
        net.every_in(MAINTENANCE, 90 * SECOND, 4 * 60 * MINUTE, move |net| {
            net.note("the maintenance firm logs in to the building's controller from outside");
            let conn = tls::open(net, self.vendor, self.hvac, portal);
            for _ in 0..12 {
                net.pause_us(1_500_000, 7_000_000);
                let down = net.rng.range(2_000, 12_000) as usize;
                tls::talk(net, conn, 500, down);
            }
            tls::close(net, conn, Style::Browser);
        });
    }

    fn office(self, net: &mut Net) {
        net.every_in(OFFICE, 30 * SECOND, 17 * SECOND, move |net| {
            let mail = dial(Style::Browser, "mail.office.example", "Mail", 443);
            visit(net, (self.firewall, self.office, self.mail), mail, (900, 9_000));
        });
        net.every_in(OFFICE, 50 * SECOND, 2 * MINUTE, move |net| {
            let mut session =
                smb::open(net, (self.office, OFFICE_PC), "manager", (self.files, FILES), "office");
            session.transfer(net, r"rota\march.xlsx", false, 30_000);
            session.transfer(net, r"rota\march.xlsx", true, 12_000);
            session.close(net);
        });
        net.every_in(OFFICE, 65 * SECOND, 8 * MINUTE, move |net| {
            let request = http::get("10.30.1.30", "/ord?station:|slot:/Home", EDGE, "");
            let page = http::page("Shop climate", 6_000);
            let answer = http::answer("200 OK", "Niagara Web Server/3.0", "text/html", "", &page);
            http::fetch(net, self.office, self.hvac, 80, &request, &answer);
        });
        net.every_in(OFFICE, 80 * SECOND, 90 * SECOND, move |net| {
            dns::llmnr(net, self.office, "POS-SRV", Some(self.pos));
            dns::nbns_ask(net, self.office, "POS-SRV", Some(self.pos));
        });
    }

    /// The recorder takes in pictures day and night.
    fn cameras(self, net: &mut Net) {
        for (index, camera) in self.cameras.into_iter().enumerate() {
            let path = "/axis-media/media.amp";
            net.session(
                ((18 + 2 * index as u64) * SECOND, EVER, 2 * SECOND),
                move |net| {
                    let player = (self.recorder, "LibVLC/3.0");
                    let camera = (camera, CAMERA_STREAMS, "AXIS_ACCC8E");
                    (http::play(net, player, camera, path), index as u16 * 900)
                },
                |net, (conn, sequence)| http::stream(net, *conn, sequence, 3),
                move |net, (conn, _)| {
                    let url = format!("rtsp://10.30.1.{}:554{path}", 41 + index);
                    http::stop(net, conn, &url);
                },
            );
        }
    }

    /// Music and the wireless network.
    fn rest(self, net: &mut Net) {
        net.every(15 * SECOND, 2 * MINUTE, move |net| dns::mdns_announce(net, self.music, MUSIC_SERVICE));
        cloud(
            net,
            OPEN,
            (self.firewall, self.music, self.music_cloud),
            (24, 8),
            dial(Style::Program, "stream.music.example", "Music", 443),
            (250, 14_000),
        );
        cloud(
            net,
            Hours::ALWAYS,
            (self.firewall, self.ap, self.ap_cloud),
            (27, 30),
            dial(Style::Program, "cloud.wifi.example", "Wi-Fi", 443),
            (600, 200),
        );
        let port = "00:15:6d:b2:0c:60".parse().unwrap_or_default();
        net.every(14 * SECOND, 30 * SECOND, move |net| link::lldp(net, self.ap, port, AP_CARD));
        net.every(4 * MINUTE, 20 * MINUTE, move |net| {
            dns::lookup(net, self.recorder, self.firewall, "time.example", IpAddr::from([198, 51, 100, 123]));
        });
    }
}
