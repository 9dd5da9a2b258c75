//! A city's streets on a Monday morning, seen from a mirror port in its control centre: traffic lights, cameras,
//! street lamps, a weather station and parking places.

use model::{Locality, Role};

use super::common::{broker_session, cloud, computer, dial, windows_talk};
use crate::net::{EVER, HOUR, Host, HostId, Hours, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::mqtt::Version;
use crate::speak::tls::{Dial, Name, Style};
use crate::speak::{coap, http, icmp, link, ntp, snmp, tls};

/// When the lamps burn.
const DARK: Hours = Hours::daily(18, 6);
/// When traffic follows the plan for the day.
const DAY: Hours = Hours::daily(6, 22);
/// When the control centre is staffed.
const STAFFED: Hours = Hours::working(6, 20);

/// NTCIP 1202 version 2 clause 2: objects of traffic signal controllers.
const SIGNALS: &[u32] = &[1, 3, 6, 1, 4, 1, 1206, 4, 2, 1];
const COMMUNITY: &str = "signals";

const LIGHT: &str = "Econolite Cobalt ATC, EOS 03.02.18";
const SCADA_SOFTWARE: &str = "Centracs/8.1";
const HIKVISION: (&str, &str) = ("Hikvision RTSP Server", "IP Camera(K1204)");
const DAHUA: (&str, &str) = ("Rtsp Server/3.0", "Login to 7L04F2D");
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/133.0.0.0 Safari/537.36";

/// Which parking place says what.
const PARKING: [(&str, &str, &str, &[u8]); 4] = [
    ("parking-1", "parking", "parking/market/1", br#"{"taken":true,"battery":91}"#),
    ("parking-2", "parking", "parking/market/2", br#"{"taken":false,"battery":88}"#),
    ("parking-3", "parking", "parking/station/1", br#"{"taken":true,"battery":73}"#),
    ("parking-4", "parking", "parking/station/2", br#"{"taken":true,"battery":95}"#),
];

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let city = City::build(net);
    city.come_up(net);
    city.traffic(net);
    city.pictures(net);
    city.streets(net);
    city.centre(net);
}

/// Everybody in the scene.
#[derive(Clone, Copy)]
struct City {
    router: HostId,
    lights: [HostId; 6],
    cameras: [HostId; 8],
    lamps: [HostId; 12],
    parking: [HostId; 4],
    weather: HostId,
    gateway: HostId,
    scada: HostId,
    video: HostId,
    control: HostId,
    cloud: HostId,
}

/// Cameras 1 to 4 are of one maker, the others of another.
fn is_hikvision(index: usize) -> bool {
    index < 4
}

fn camera(index: usize) -> Host {
    let number = index + 1;
    let name = format!("camera-{number}");
    let ip = [10, 50, 0, 100 + number as u8];
    if is_hikvision(index) {
        let host = Host::new(&name, &format!("04:03:12:6b:20:{:02x}", 0x31 + index), Os::Linux).at(ip);
        host.vendor("Hikvision")
            .model("DS-2CD2T47G2-L")
            .serial(&serial(index))
            .firmware("V5.7.3")
            .slow(600, 5_000)
            .roles(&[Role::Camera])
    } else {
        let host = Host::new(&name, &format!("14:a7:8b:f0:18:{:02x}", 0x70 + index), Os::Linux).at(ip);
        host.vendor("Dahua").slow(600, 5_000).roles(&[Role::Camera])
    }
}

fn serial(index: usize) -> String {
    format!("DS-2CD2T47G2-L20230417AAWRK1204550{index}")
}

impl City {
    fn build(net: &mut Net) -> Self {
        let router = net.add(
            Host::new("router", "00:1b:54:2e:71:01", Os::Control)
                .at([10, 50, 0, 1])
                .vendor("Cisco")
                .roles(&[Role::Router, Role::TimeServer, Role::DnsServer]),
        );
        net.router_in(None, [10, 50, 0, 1]);
        let lights = std::array::from_fn(|index| {
            let number = index as u8 + 1;
            net.add(
                Host::new(
                    &format!("traffic-light-{number}"),
                    &format!("00:04:81:05:3a:{number:02x}"),
                    Os::Linux,
                )
                .at([10, 50, 0, 20 + number])
                .slow(3_000, 25_000)
                .vendor("Econolite Control Products")
                .hostname(&format!("signal-{number:02}"))
                .roles(&[Role::FieldDevice]),
            )
        });
        let cameras = std::array::from_fn(|index| net.add(camera(index)));
        let lamps = std::array::from_fn(|index| {
            let number = index as u8 + 1;
            net.add(
                Host::new(
                    &format!("lamp-{number}"),
                    &format!("00:0e:6d:71:c0:{:02x}", 0x10 + index),
                    Os::Small,
                )
                .at([10, 50, 0, 160 + number])
                .slow(20_000, 180_000)
                .vendor("Murata")
                .roles(&[Role::SmartDevice]),
            )
        });
        let parking = std::array::from_fn(|index| {
            let number = index as u8 + 1;
            net.add(
                Host::new(
                    &format!("parking-{number}"),
                    &format!("24:0a:c4:5c:91:{:02x}", 0x40 + index),
                    Os::Small,
                )
                .at([10, 50, 0, 180 + number])
                .slow(10_000, 90_000)
                .vendor("Espressif")
                .roles(&[Role::SmartDevice]),
            )
        });
        Self {
            router,
            lights,
            cameras,
            lamps,
            parking,
            weather: net.add(
                Host::new("weather-station", "40:ed:98:71:02:5e", Os::Small)
                    .at([10, 50, 0, 40])
                    .slow(5_000, 40_000)
                    .vendor("Vaisala")
                    .roles(&[Role::FieldDevice]),
            ),
            gateway: net.add(
                Host::new("gateway", "00:1e:42:3b:7d:10", Os::Linux)
                    .at([10, 50, 0, 10])
                    .vendor("Teltonika")
                    .roles(&[Role::Gateway, Role::Broker]),
            ),
            scada: net.add(computer(
                "scada",
                "00:1a:4b:61:40:11",
                [10, 50, 0, 11],
                "HP",
                "SCADA-TRAFFIC",
                &[Role::Scada],
            )),
            video: net.add(
                Host::new("video-server", "00:25:90:d4:30:12", Os::Linux)
                    .at([10, 50, 0, 12])
                    .vendor("Super Micro Computer")
                    .roles(&[Role::Server]),
            ),
            control: net.add(computer(
                "control-room",
                "d0:67:e5:40:1a:13",
                [10, 50, 0, 13],
                "Dell",
                "CONTROL-PC",
                &[Role::Workstation],
            )),
            cloud: net.add(
                Host::beyond("parking-cloud", Locality::External, [203, 0, 113, 140], Os::Linux)
                    .roles(&[Role::Server]),
            ),
        }
    }

    fn come_up(self, net: &mut Net) {
        let all = self.lights.into_iter().chain(self.cameras).chain(self.lamps).chain(self.parking);
        for (index, host) in all.chain([self.weather, self.gateway, self.video]).enumerate() {
            net.once(index as u64 * 170 * MILLI, move |net| link::announce(net, host));
        }
        windows_talk(net, self.scada, "SCADA-TRAFFIC", "TRAFFIC", 2);
        windows_talk(net, self.control, "CONTROL-PC", "TRAFFIC", 4);
        let clocks = self.lights.into_iter().chain(self.cameras).chain([
            self.weather,
            self.gateway,
            self.scada,
            self.video,
        ]);
        for (index, host) in clocks.enumerate() {
            net.every((8 + index as u64 * 3) * SECOND, 2 * MINUTE, move |net| {
                ntp::ask(net, host, self.router);
            });
        }
    }

    /// The control centre asks each signal controller for what it shows, and tells it its plan.
    fn traffic(self, net: &mut Net) {
        for (index, light) in self.lights.into_iter().enumerate() {
            let first = (5 + index as u64) * SECOND;
            let port = net.port(self.scada);
            let mut second = index as u32 * 11;
            net.every(first, 2 * SECOND, move |net| {
                second += 2;
                let at = |path: &[u32]| [SIGNALS, path].concat();
                // Phase 2 and 6 are the main road, 4 and 8 the other; red, yellow and green are bits of phases.
                let length = if DAY.hold(net.clock) { 90 } else { 60 };
                let (greens, yellows) = match second % length {
                    0..40 => (0x22, 0),
                    40..44 => (0, 0x22),
                    44..46 => (0, 0),
                    46..56 => (0x88, 0),
                    56..60 => (0, 0x88),
                    _ => (0x22, 0),
                };
                // phaseStatusGroupReds, Yellows, Greens; volume of a detector; the plan.
                let volume = if DAY.hold(net.clock) { net.rng.range(2, 19) } else { net.rng.range(0, 4) };
                let values = [
                    (at(&[1, 4, 1, 2, 1]), snmp::Value::Integer(0xaa & !(greens | yellows))),
                    (at(&[1, 4, 1, 3, 1]), snmp::Value::Integer(yellows)),
                    (at(&[1, 4, 1, 4, 1]), snmp::Value::Integer(greens)),
                    (at(&[2, 5, 4, 1, 1, 1]), snmp::Value::Integer(volume as u32)),
                    (at(&[4, 1, 0]), snmp::Value::Integer(if DAY.hold(net.clock) { 3 } else { 9 })),
                ];
                snmp::poll(net, (self.scada, port), light, COMMUNITY, &values);
            });
            net.every(first + 10 * SECOND, 15 * MINUTE, move |net| {
                let up = ((net.clock - net.start) / (10 * MILLI)) as u32;
                let name = format!("signal-{:02}", index + 1);
                let values = snmp::system(
                    LIGHT,
                    &[1, 3, 6, 1, 4, 1, 1206, 3, 1],
                    up,
                    ["signals@city.example", &name, ""],
                );
                snmp::read(net, self.scada, light, COMMUNITY, &values);
            });
            // The plan, at the top of the hour or so.
            net.every(first + 30 * SECOND, HOUR, move |net| {
                let plan = if DAY.hold(net.clock) { 3 } else { 9 };
                let values = [([SIGNALS, &[4, 14, 0]].concat(), snmp::Value::Integer(plan))];
                snmp::set(net, self.scada, light, COMMUNITY, &values);
            });
        }
        net.every(35 * SECOND, MINUTE, move |net| {
            let request = http::get("10.50.0.40", "/api/observations", SCADA_SOFTWARE, "");
            let warm = 4.0 + f32::from(net.rng.u8()) / 64.0;
            let body = format!("{{\"air\":{warm:.1},\"road\":{:.1},\"rain\":0.0,\"wind\":3.2}}", warm - 1.4);
            let answer = http::answer("200 OK", "lwIP/2.1.2", "application/json", "", body.as_bytes());
            http::fetch(net, self.scada, self.weather, 80, &request, &answer);
        });
    }

    /// Cameras show the crossings. Telnet is open on some of them, and nobody uses it.
    fn pictures(self, net: &mut Net) {
        for (index, camera) in self.cameras.into_iter().enumerate() {
            let (software, realm) = if is_hikvision(index) { HIKVISION } else { DAHUA };
            let path =
                if is_hikvision(index) { "/Streaming/Channels/101" } else { "/cam/realmonitor?channel=1" };
            net.session(
                ((20 + 2 * index as u64) * SECOND, EVER, 3 * SECOND),
                move |net| {
                    let player = (self.video, "VideoCentre/5.2");
                    (http::play(net, player, (camera, software, realm), path), index as u16 * 700)
                },
                |net, (conn, sequence)| {
                    let moves = if DAY.hold(net.clock) { 3 } else { 1 };
                    http::stream(net, *conn, sequence, moves);
                },
                move |net, (conn, _)| {
                    http::stop(net, conn, &format!("rtsp://10.50.0.{}:554{path}", 101 + index));
                },
            );
            if is_hikvision(index) {
                net.every((50 + 3 * index as u64) * SECOND, 30 * MINUTE, move |net| {
                    let about = format!(
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                         <DeviceInfo version=\"2.0\" xmlns=\"http://www.hikvision.com/ver20/XMLSchema\">\n\
                         <deviceName>crossing {}</deviceName><model>DS-2CD2T47G2-L</model>\
                         <serialNumber>{}</serialNumber><firmwareVersion>V5.7.3</firmwareVersion>\
                         <deviceType>IPCamera</deviceType></DeviceInfo>\n",
                        index + 1,
                        serial(index)
                    );
                    let realm = HIKVISION.1;
                    http::fetch_with_digest(
                        net,
                        (self.video, "VideoCentre/5.2"),
                        (camera, "App-webs/", realm),
                        "/ISAPI/System/deviceInfo",
                        about.as_bytes(),
                    );
                });
            }
        }
    }

    /// Lamps and parking places speak to the gateway.
    fn streets(self, net: &mut Net) {
        for (index, lamp) in self.lamps.into_iter().enumerate() {
            let mut id = index as u16 * 400;
            let mut lit = None;
            net.every((10 + index as u64) * SECOND, 20 * SECOND, move |net| {
                id = id.wrapping_add(1);
                let token = net.rng.array();
                let wanted = DARK.hold(net.clock);
                let (question, answer) = if lit == Some(wanted) {
                    let level = if wanted { net.rng.range(68, 72) } else { 0 };
                    let state = format!("{{\"dim\":{level},\"hours\":{}}}", 11_200 + index);
                    (
                        coap::message(0, coap::GET, id, token, &[(11, b"lamp"), (11, b"state")], b""),
                        coap::message(2, coap::CONTENT, id, token, &[(12, &[50])], state.as_bytes()),
                    )
                } else {
                    let wish: &[u8] = if wanted { br#"{"dim":70}"# } else { br#"{"dim":0}"# };
                    (
                        coap::message(0, coap::PUT, id, token, &[(11, b"lamp"), (11, b"dim")], wish),
                        coap::message(2, coap::CHANGED, id, token, &[], b""),
                    )
                };
                lit = Some(wanted);
                net.ask_from(self.gateway, 5683, lamp, (5683, "coap"), &[(&question, &answer)]);
            });
        }
        for (index, (sensor, words)) in self.parking.into_iter().zip(PARKING).enumerate() {
            let times = ((14 + 3 * index as u64) * SECOND, EVER, 25 * SECOND);
            broker_session(net, (sensor, self.gateway), times, Version::V311, words);
        }
        cloud(
            net,
            Hours::ALWAYS,
            (self.router, self.gateway, self.cloud),
            (33, 20),
            dial(Style::Program, "iot.parking.example", "Parking", 8883),
            (240, 60),
        );
    }

    /// People watch, on working days.
    fn centre(self, net: &mut Net) {
        net.every_in(STAFFED, 40 * SECOND, 10 * SECOND, move |net| {
            let request = http::get("scada-traffic", "/map/state", CHROME, "");
            let page = http::page("Crossings", 3_000);
            let answer = http::answer("200 OK", "Microsoft-IIS/10.0", "text/html", "", &page);
            http::fetch(net, self.control, self.scada, 80, &request, &answer);
        });
        let server = Name { host: "video.city.example", organisation: "City" };
        let wall =
            Dial { style: Style::Browser, sni: server.host, protocols: &["http/1.1"], server, port: 443 };
        net.session_in(
            STAFFED,
            (44 * SECOND, 2 * SECOND),
            move |net| tls::open(net, self.control, self.video, wall),
            |net, conn| tls::talk(net, *conn, 120, 5_500),
            |net, conn| tls::close(net, conn, Style::Browser),
        );
        net.every(75 * SECOND, 5 * MINUTE, move |net| icmp::ping(net, self.scada, self.gateway, 2));
    }
}
