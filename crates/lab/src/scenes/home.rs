//! A home on a Monday morning, seen from a mirror port of its router.

use std::net::{IpAddr, Ipv6Addr};

use model::{Locality, Role};

use super::common::{Words, broker_session, cloud, dial};
use crate::net::{EVER, Host, HostId, Hours, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::dhcp::Client;
use crate::speak::dns::Service;
use crate::speak::mqtt::Version;
use crate::speak::tls::Style;
use crate::speak::{coap, dhcp, dns, http, icmp, link, ndp, ntp, quic, snmp, ssdp, ssh, telnet, tls};

/// When people are awake.
const AWAKE: Hours = Hours::daily(6, 23);
/// When somebody is in the living room: not at night.
const LIVING: Hours = Hours::daily(7, 23);
/// The home's net in IPv6.
const PREFIX: [u16; 4] = [0x2001, 0xdb8, 7, 1];

const GATEWAY_CARD: ssdp::Card = ssdp::Card {
    kind: "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    uuid: "7ca8a1c0-43e4-4f0a-9a51-50c7bf3a1001",
    server: "Linux/4.14.267 UPnP/1.1 MiniUPnPd/2.3.1",
    location: (5000, "/rootDesc.xml"),
};
const BRIDGE_CARD: ssdp::Card = ssdp::Card {
    kind: "urn:schemas-upnp-org:device:basic:1",
    uuid: "2f402f80-da50-11e1-9b23-001788a1b2c3",
    server: "Hue/1.0 UPnP/1.0 IpBridge/1.65.0",
    location: (80, "/description.xml"),
};
const CAMERA_CARD: ssdp::Card = ssdp::Card {
    kind: "urn:schemas-upnp-org:device:EmbeddedNetDevice:1",
    uuid: "5e2b0b30-9ad1-11b4-8341-c056e3c02931",
    server: "Linux/3.0.8, UPnP/1.0, Portable SDK for UPnP devices/1.6.18",
    location: (80, "/upnpdevicedesc.xml"),
};
const TV_CARD: ssdp::Card = ssdp::Card {
    kind: "urn:dial-multiscreen-org:service:dial:1",
    uuid: "0a21fe80-00f0-1000-bdcd-8c79f5007701",
    server: "SHP, UPnP/1.0, Samsung UPnP SDK/1.0",
    location: (7678, "/nservice/"),
};

const BRIDGE_SERVICE: Service = Service {
    kind: "_hue._tcp.local",
    instance: "Philips Hue - A1B2C3",
    host: "ecb5faa1b2c3.local",
    port: 443,
    txt: &["bridgeid=001788fffea1b2c3", "modelid=BSB002"],
};
const BRIDGE_HAP: Service = Service {
    kind: "_hap._tcp.local",
    instance: "Philips Hue - A1B2C3",
    host: "ecb5faa1b2c3.local",
    port: 8080,
    txt: &["c#=12", "ff=0", "id=A4:12:77:0E:91:3C", "md=BSB002", "pv=1.1", "s#=1", "sf=0", "ci=2"],
};
const HUB_SERVICE: Service = Service {
    kind: "_home-assistant._tcp.local",
    instance: "Home",
    host: "homehub.local",
    port: 8123,
    txt: &["location_name=Home", "version=2026.2.1", "requires_api_password=True"],
};
const GATEWAY_SERVICE: Service = Service {
    kind: "_coap._udp.local",
    instance: "gw-b072bf2608e4",
    host: "TRADFRI-Gateway-b072bf2608e4.local",
    port: 5683,
    txt: &["version=1.19.32"],
};
const TV_SERVICE: Service = Service {
    kind: "_googlecast._tcp.local",
    instance: "Living-Room-TV",
    host: "living-room-tv.local",
    port: 8009,
    txt: &["id=9f1c0d7be2a34ac1b9e77d2b40c2f1aa", "md=QE55Q80B", "fn=Living Room TV", "ca=4101", "ve=05"],
};
const PRINTER_SERVICE: Service = Service {
    kind: "_ipp._tcp.local",
    instance: "HP LaserJet Pro M404dn [8A1F42]",
    host: "NPI8A1F42.local",
    port: 631,
    txt: &[
        "txtvers=1",
        "rp=ipp/print",
        "ty=HP LaserJet Pro M404dn",
        "product=(HP LaserJet Pro M404dn)",
        "usb_MFG=HP",
        "usb_MDL=LaserJet Pro M404dn",
        "adminurl=http://NPI8A1F42.local.",
    ],
};

const LINUX_ASKS: &[u8] = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42];
const SMALL_ASKS: &[u8] = &[1, 3, 28, 6];
const BUSYBOX_ASKS: &[u8] = &[1, 3, 6, 12, 15, 28, 42];
pub(crate) const WINDOWS_ASKS: &[u8] = &[1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252];
const ANDROID_ASKS: &[u8] = &[1, 3, 6, 15, 26, 28, 51, 58, 59, 43, 114, 108];

const THERMOSTAT: Client =
    Client { hostname: "ecobee-511", vendor_class: "udhcp 1.24.1", asks: BUSYBOX_ASKS };

const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                    Chrome/133.0.0.0 Safari/537.36 Edg/133.0.0.0";
const PRINTER_SOFTWARE: &str = "HP HTTP Server; HP LaserJet Pro M404dn - W1A53A; Serial Number: PHBBN12345";
const CAMERA_STREAMS: &str = "Hikvision RTSP Server";
const CAMERA_INFO: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <DeviceInfo version=\"2.0\" xmlns=\"http://www.hikvision.com/ver20/XMLSchema\">\n\
    <deviceName>IP CAMERA</deviceName><model>DS-2CD2042WD-I</model>\
    <serialNumber>DS-2CD2042WD-I20160603AAWR612345678</serialNumber>\
    <macAddress>c0:56:e3:c0:29:31</macAddress><firmwareVersion>V5.4.5</firmwareVersion>\
    <deviceType>IPCamera</deviceType></DeviceInfo>\n";
const ROUTER_DESCRIPTION: &str = "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\">\
    <specVersion><major>1</major><minor>1</minor></specVersion><device>\
    <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>\
    <friendlyName>Archer C7</friendlyName><manufacturer>TP-Link</manufacturer>\
    <modelName>Archer C7</modelName><modelNumber>5.0</modelNumber><serialNumber>2184A31003417</serialNumber>\
    <UDN>uuid:7ca8a1c0-43e4-4f0a-9a51-50c7bf3a1001</UDN></device></root>\n";
const BRIDGE_DESCRIPTION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
    <deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType>\
    <friendlyName>Philips hue (192.168.7.21)</friendlyName><manufacturer>Signify</manufacturer>\
    <modelDescription>Philips hue Personal Wireless Lighting</modelDescription>\
    <modelName>Philips hue bridge 2015</modelName><modelNumber>BSB002</modelNumber>\
    <serialNumber>001788a1b2c3</serialNumber>\
    <UDN>uuid:2f402f80-da50-11e1-9b23-001788a1b2c3</UDN></device></root>\n";
const BRIDGE_CONFIG: &str = "{\"name\":\"Philips hue\",\"datastoreversion\":\"171\",\
    \"swversion\":\"1965053040\",\"apiversion\":\"1.65.0\",\"mac\":\"00:17:88:a1:b2:c3\",\"bridgeid\":\"001788FFFEA1B2C3\",\
    \"factorynew\":false,\"modelid\":\"BSB002\"}";
const LAMP_STATE: &str = "{\"9001\":\"Lamp\",\"9003\":65537,\
    \"3\":{\"0\":\"IKEA of Sweden\",\"1\":\"TRADFRI bulb E27\",\"3\":\"2.3.087\"},\
    \"3311\":[{\"5850\":1,\"5851\":190}]}";

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let home = Home::build(net);
    home.come_up(net);
    home.router_and_hub(net);
    home.things(net);
    home.camera_and_recorder(net);
    home.people(net);
    home.thermostat(net);
}

/// Everybody in the scene.
#[derive(Clone, Copy)]
struct Home {
    router: HostId,
    bridge: HostId,
    camera: HostId,
    plug: HostId,
    hub: HostId,
    gateway: HostId,
    tv: HostId,
    laptop: HostId,
    phone: HostId,
    printer: HostId,
    thermostat: HostId,
    recorder: HostId,
    bridge_cloud: HostId,
    plug_cloud: HostId,
    camera_cloud: HostId,
    thermostat_cloud: HostId,
    video: HostId,
    news: HostId,
    news_v6: HostId,
    shop: HostId,
    time: HostId,
}

/// Where news is read over IPv6.
const NEWS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, 0, 0, 0, 0x80);

impl Home {
    fn build(net: &mut Net) -> Self {
        let router = net.add(
            Host::new("router", "50:c7:bf:3a:10:01", Os::Linux)
                .at([192, 168, 7, 1])
                .vendor("TP-Link")
                .model("Archer C7")
                .serial("2184A31003417")
                .os_name("Linux")
                .roles(&[Role::Router, Role::DhcpServer, Role::DnsServer]),
        );
        net.router_in(None, [192, 168, 7, 1]);
        let external = |name: &str, ip: [u8; 4], roles: &[Role]| {
            Host::beyond(name, Locality::External, ip, Os::Linux).roles(roles)
        };
        let server = [Role::Server];
        Self {
            router,
            bridge: net.add(
                Host::new("bridge", "00:17:88:a1:b2:c3", Os::Linux)
                    .vendor("Signify")
                    .model("BSB002")
                    .serial("001788a1b2c3")
                    .firmware("1.65.0")
                    .hostname("Philips-hue")
                    .roles(&[Role::Hub]),
            ),
            camera: net.add(
                Host::new("camera", "c0:56:e3:c0:29:31", Os::Linux)
                    .vendor("Hikvision")
                    .model("DS-2CD2042WD-I")
                    .serial("DS-2CD2042WD-I20160603AAWR612345678")
                    .firmware("V5.4.5")
                    .hostname("DS-2CD2042WD-I")
                    .roles(&[Role::Camera]),
            ),
            plug: net.add(
                Host::new("plug", "24:0a:c4:61:0f:7e", Os::Small)
                    .slow(2_000, 30_000)
                    .vendor("Espressif")
                    .hostname("shellyplug-s-610F7E")
                    .roles(&[Role::SmartDevice]),
            ),
            hub: net.add(
                Host::new("hub", "b8:27:eb:5d:21:aa", Os::Linux)
                    .vendor("Raspberry Pi")
                    .hostname("homehub")
                    .os_name("Linux")
                    .roles(&[Role::Hub, Role::Broker]),
            ),
            gateway: net.add(
                Host::new("gateway", "b0:72:bf:26:08:e4", Os::Small)
                    .slow(1_000, 12_000)
                    .vendor("Murata")
                    .firmware("1.19.32")
                    .hostname("TRADFRI-Gateway-b072bf2608e4")
                    .roles(&[Role::Gateway]),
            ),
            tv: net.add(
                Host::new("tv", "8c:79:f5:00:77:01", Os::Linux)
                    .vendor("Samsung")
                    .model("QE55Q80B")
                    .hostname("Samsung")
                    .roles(&[Role::Media]),
            ),
            laptop: net.add(
                Host::new("laptop", "00:14:22:9e:41:0b", Os::Windows)
                    .vendor("Dell")
                    .hostname("LAPTOP-ANNA")
                    .os_name("Windows")
                    .roles(&[Role::Workstation]),
            ),
            phone: net.add(
                Host::new("phone", "f6:2d:91:0c:55:38", Os::Linux)
                    .slow(3_000, 25_000)
                    .hostname("Pixel-8")
                    .os_name("Android")
                    .roles(&[Role::Mobile]),
            ),
            printer: net.add(
                Host::new("printer", "3c:d9:2b:8a:1f:42", Os::Control)
                    .slow(800, 4_000)
                    .vendor("HP")
                    .model("HP LaserJet Pro M404dn")
                    .serial("PHBBN12345")
                    .hostname("NPI8A1F42")
                    .roles(&[Role::Printer]),
            ),
            thermostat: net.add(
                Host::new("thermostat", "44:61:32:51:1a:02", Os::Linux)
                    .slow(2_000, 20_000)
                    .vendor("ecobee")
                    .hostname("ecobee-511")
                    .roles(&[Role::SmartDevice]),
            ),
            recorder: net.add(
                Host::new("recorder", "3c:ef:8c:07:70:19", Os::Linux)
                    .slow(500, 3_000)
                    .vendor("Dahua")
                    .model("DHI-XVR5108HS")
                    .hostname("XVR")
                    .os_name("Linux")
                    .roles(&[Role::Camera]),
            ),
            bridge_cloud: net.add(external("bridge-cloud", [203, 0, 113, 20], &server)),
            plug_cloud: net.add(external("plug-cloud", [203, 0, 113, 45], &server)),
            camera_cloud: net.add(external("camera-cloud", [192, 0, 2, 150], &server)),
            thermostat_cloud: net.add(external("thermostat-cloud", [203, 0, 113, 90], &server)),
            video: net.add(external("video", [198, 51, 100, 40], &server)),
            news: net.add(external("news", [203, 0, 113, 80], &server)),
            // Nothing tells that both addresses are one host's: for an observer they are two.
            news_v6: net.add(Host::beyond_v6("news-v6", NEWS_V6, Os::Linux).roles(&server)),
            shop: net.add(external("shop", [192, 0, 2, 80], &server)),
            time: net.add(external("time", [198, 51, 100, 123], &[Role::TimeServer])),
        }
    }

    /// Everybody gets an address and says hello.
    fn come_up(self, net: &mut Net) {
        let client = |hostname, vendor_class, asks| Client { hostname, vendor_class, asks };
        let leases = [
            (self.hub, 20, client("homehub", "dhcpcd-9.4.1:Linux-6.1.21:armv7l:BCM2835", LINUX_ASKS)),
            (self.bridge, 21, client("Philips-hue", "udhcp 1.27.2", BUSYBOX_ASKS)),
            (self.camera, 22, client("DS-2CD2042WD-I", "udhcp 1.20.2", BUSYBOX_ASKS)),
            (self.plug, 23, client("shellyplug-s-610F7E", "", SMALL_ASKS)),
            (self.gateway, 24, client("TRADFRI-Gateway-b072bf2608e4", "", SMALL_ASKS)),
            (self.tv, 25, client("Samsung", "", LINUX_ASKS)),
            (self.laptop, 26, client("LAPTOP-ANNA", "MSFT 5.0", WINDOWS_ASKS)),
            (self.phone, 27, client("Pixel-8", "android-dhcp-15", ANDROID_ASKS)),
            (self.printer, 28, client("NPI8A1F42", "Hewlett-Packard LaserJet", SMALL_ASKS)),
            (self.thermostat, 29, THERMOSTAT),
            (self.recorder, 30, client("XVR", "udhcp 1.24.1", BUSYBOX_ASKS)),
        ];
        for (index, (host, last, client)) in leases.into_iter().enumerate() {
            net.once(index as u64 * 900 * MILLI + 200 * MILLI, move |net| {
                dhcp::obtain(net, host, self.router, client, [192, 168, 7, last]);
            });
            let renews = host != self.thermostat;
            net.every(MINUTE * 4 + index as u64 * 9 * SECOND, MINUTE * 5, move |net| {
                if renews {
                    dhcp::renew(net, host, self.router, client, true);
                }
            });
        }
        for (host, groups) in [
            (self.bridge, &[[224, 0, 0, 251], [239, 255, 255, 250]][..]),
            (self.tv, &[[224, 0, 0, 251], [239, 255, 255, 250]]),
            (self.laptop, &[[224, 0, 0, 252], [239, 255, 255, 250]]),
            (self.camera, &[[239, 255, 255, 250]]),
            (self.printer, &[[224, 0, 0, 251]]),
            (self.hub, &[[224, 0, 0, 251]]),
        ] {
            net.once(13 * SECOND + host as u64 * 120 * MILLI, move |net| icmp::join(net, host, groups));
            net.every(2 * MINUTE + host as u64 * 300 * MILLI, 125 * SECOND, move |net| {
                icmp::join(net, host, groups);
            });
        }
        net.every(2 * MINUTE, 125 * SECOND, move |net| icmp::query(net, self.router));
        for (host, service) in [
            (self.bridge, BRIDGE_SERVICE),
            (self.bridge, BRIDGE_HAP),
            (self.hub, HUB_SERVICE),
            (self.gateway, GATEWAY_SERVICE),
            (self.tv, TV_SERVICE),
            (self.printer, PRINTER_SERVICE),
        ] {
            net.every(15 * SECOND + host as u64 * 333 * MILLI, 85 * SECOND, move |net| {
                dns::mdns_announce(net, host, service);
            });
        }
        for (host, card) in [
            (self.router, GATEWAY_CARD),
            (self.bridge, BRIDGE_CARD),
            (self.camera, CAMERA_CARD),
            (self.tv, TV_CARD),
        ] {
            net.every(16 * SECOND + host as u64 * 700 * MILLI, 60 * SECOND, move |net| {
                ssdp::notify(net, host, card);
            });
        }
        for (host, name) in [(self.phone, "Android_Q7RX1B.local"), (self.laptop, "LAPTOP-ANNA.local")] {
            net.once(17 * SECOND, move |net| dns::mdns_host(net, host, name));
        }
        // IPv6 for those who speak it.
        for host in [self.laptop, self.phone] {
            net.once(12 * SECOND + host as u64 * SECOND, move |net| {
                let global = net.hosts[host].slaac(PREFIX);
                // Privacy: not the address made from the link-layer address (RFC 8981).
                let mut parts = global.segments();
                parts[4..].copy_from_slice(&[net.rng.u16(), net.rng.u16(), net.rng.u16(), net.rng.u16()]);
                ndp::arrive(net, host, PREFIX, parts.into());
            });
        }
        net.once(22 * SECOND, move |net| dhcp::inform6(net, self.laptop, "MSFT 5.0"));
        net.every(50 * SECOND, 200 * SECOND, |net| ndp::advertise(net, PREFIX));
    }

    fn router_and_hub(self, net: &mut Net) {
        for (host, first) in [(self.hub, 24), (self.bridge, 26), (self.camera, 28), (self.recorder, 31)] {
            net.once(first * SECOND, move |net| {
                dns::lookup(net, host, self.router, "pool.ntp.example", IpAddr::from([198, 51, 100, 123]));
            });
            net.every((first + 1) * SECOND, 64 * SECOND, move |net| ntp::ask(net, host, self.time));
        }
        // The hub asks things by CoAP and looks at their state.
        let mut id = 0x2100_u16;
        net.every(30 * SECOND, 5 * SECOND, move |net| {
            id = id.wrapping_add(1);
            let token = net.rng.array();
            let path: &[(u16, &[u8])] = if id % 12 == 1 {
                &[(11, b".well-known"), (11, b"core")]
            } else {
                &[(11, b"15001"), (11, b"65537")]
            };
            let wish = id.is_multiple_of(6);
            let question = if wish {
                coap::message(0, coap::PUT, id, token, path, br#"{"3311":[{"5850":1}]}"#)
            } else {
                coap::message(0, coap::GET, id, token, path, b"")
            };
            let answer = if wish {
                coap::message(2, coap::CHANGED, id, token, &[], b"")
            } else if id % 12 == 1 {
                let links = b"</15001>;ct=50;obs,</15011/15012>;ct=50;obs,</.well-known/core>;ct=40";
                coap::message(2, coap::CONTENT, id, token, &[(12, &[40])], links)
            } else {
                coap::message(2, coap::CONTENT, id, token, &[(12, &[50])], LAMP_STATE.as_bytes())
            };
            net.ask_from(self.hub, 40_112, self.gateway, (5683, "coap"), &[(&question, &answer)]);
        });
        // The hub keeps its own connection to the bridge's interface.
        net.every(35 * SECOND, 10 * SECOND, move |net| {
            let request =
                http::get("192.168.7.21", "/api/0/config", "HomeAssistant/2026.2.1 aiohttp/3.11", "");
            let answer = http::answer("200 OK", "nginx", "application/json", "", BRIDGE_CONFIG.as_bytes());
            http::fetch(net, self.hub, self.bridge, 80, &request, &answer);
        });
        net.every(41 * SECOND, 45 * SECOND, move |net| {
            dns::mdns_ask(net, self.hub, &["_googlecast._tcp.local", "_hap._tcp.local", "_coap._udp.local"]);
        });
        net.every(2 * MINUTE, 3 * MINUTE, move |net| icmp::ping(net, self.hub, self.router, 3));
    }

    fn things(self, net: &mut Net) {
        // The plug: MQTT 3.1.1 to the hub, TLS to its maker.
        broker_session(net, (self.plug, self.hub), (26 * SECOND, EVER, 4 * SECOND), Version::V311, PLUG);
        cloud(
            net,
            Hours::ALWAYS,
            (self.router, self.plug, self.plug_cloud),
            (27, 20),
            dial(Style::Small, "iot.plug.example", "Plug Cloud", 443),
            (90, 120),
        );
        // The bridge: MQTT over TLS to its maker.
        cloud(
            net,
            Hours::ALWAYS,
            (self.router, self.bridge, self.bridge_cloud),
            (29, 15),
            dial(Style::Program, "mqtt.bridge.example", "Bridge Cloud", 8883),
            (140, 60),
        );
        // The television plays something.
        cloud(
            net,
            LIVING,
            (self.router, self.tv, self.video),
            (33, 10),
            dial(Style::Program, "cdn.video.example", "Video Network", 443),
            (400, 28_000),
        );
        // The printer is asked for its state, and prints.
        net.every_in(AWAKE, 38 * SECOND, 30 * SECOND, move |net| {
            let about =
                "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153,EEPROM JSI24090012,CIDATE 09/10/2019";
            let object = [1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 1];
            let up = ((net.clock - net.start) / (10 * MILLI)) as u32;
            let mut values = snmp::system(about, &object, up, ["", "NPI8A1F42", ""]);
            // hrDeviceDescr (RFC 2790) and the printer's serial number (RFC 3805).
            values.push((
                vec![1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 3, 1],
                snmp::Value::Text("HP LaserJet Pro M404dn"),
            ));
            values.push((vec![1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 17, 1], snmp::Value::Text("PHBBN12345")));
            snmp::read(net, self.laptop, self.printer, "public", &values);
        });
        net.every_in(AWAKE, 70 * SECOND, 4 * MINUTE, move |net| {
            let conn = net.connect(self.laptop, self.printer, 631, "http");
            let document = net.rng.bytes(6_000);
            let ipp = http::print_job("ipp://NPI8A1F42.local:631/ipp/print", "anna", &document);
            let mut job = format!(
                "POST /ipp/print HTTP/1.1\r\nHost: NPI8A1F42.local:631\r\n\
                 User-Agent: Microsoft IPP Client/10.0\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
                ipp.len()
            )
            .into_bytes();
            job.extend(ipp);
            let answer = http::answer("200 OK", PRINTER_SOFTWARE, "application/ipp", "", &http::printed());
            net.exchange(conn, &job, &answer);
            net.close(conn);
        });
    }

    fn camera_and_recorder(self, net: &mut Net) {
        // The hub shows the camera's picture.
        net.session(
            (45 * SECOND, EVER, SECOND),
            move |net| {
                (
                    http::play(
                        net,
                        (self.hub, "HubPlayer/2.1"),
                        (self.camera, CAMERA_STREAMS, "IP Camera(C2931)"),
                        "/Streaming/Channels/101",
                    ),
                    4_711_u16,
                )
            },
            |net, (conn, sequence)| http::stream(net, *conn, sequence, 5),
            |net, (conn, _)| http::stop(net, conn, "rtsp://192.168.7.22:554/Streaming/Channels/101"),
        );
        cloud(
            net,
            Hours::ALWAYS,
            (self.router, self.camera, self.camera_cloud),
            (36, 30),
            dial(Style::Small, "dev.camera.example", "Camera Cloud", 443),
            (200, 300),
        );
        // Anna looks at the camera's page.
        net.every_in(AWAKE, 55 * SECOND, 2 * MINUTE, move |net| {
            http::fetch_with_digest(
                net,
                (self.laptop, EDGE),
                (self.camera, "App-webs/", "IP Camera(C2931)"),
                "/ISAPI/System/deviceInfo",
                CAMERA_INFO.as_bytes(),
            );
        });
        // The recorder still offers Telnet, and somebody uses it.
        net.every_in(AWAKE, 90 * SECOND, 3 * MINUTE, move |net| {
            let commands = [
                ("uname -a", "Linux XVR 3.10.73 #1 SMP Thu Jul 6 2017 armv7l GNU/Linux"),
                ("cat /proc/meminfo | head -1", "MemTotal: 251904 kB"),
                ("exit", ""),
            ];
            telnet::session(
                net,
                self.laptop,
                self.recorder,
                "XVR login shell\r\nDHI-XVR5108HS",
                "admin",
                &commands,
                "~ # ",
            );
        });
        net.every(60 * SECOND, 45 * SECOND, move |net| {
            let request = http::get("192.168.7.30", "/", "curl/8.9.1", "");
            let answer = http::answer("200 OK", "Webs", "text/html", "", &http::page("WEB SERVICE", 900));
            http::fetch(net, self.hub, self.recorder, 80, &request, &answer);
        });
    }

    fn people(self, net: &mut Net) {
        let laptop = self.laptop;
        net.once(23 * SECOND, move |net| {
            for (name, kind, group) in
                [("LAPTOP-ANNA", 0, false), ("LAPTOP-ANNA", 0x20, false), ("WORKGROUP", 0, true)]
            {
                dns::nbns_register(net, laptop, name, kind, group);
                net.pause_us(700_000, 760_000);
            }
        });
        net.every_in(AWAKE, 32 * SECOND, 75 * SECOND, move |net| {
            dns::llmnr(net, laptop, "homehub", None);
            dns::nbns_ask(net, laptop, "HOMEHUB", None);
            net.pause_us(300_000, 400_000);
            dns::llmnr(net, laptop, "wpad", None);
        });
        net.every_in(AWAKE, 34 * SECOND, 2 * MINUTE, move |net| {
            let found = [(self.router, GATEWAY_CARD), (self.tv, TV_CARD), (self.bridge, BRIDGE_CARD)];
            ssdp::search(net, laptop, "ssdp:all", "Microsoft Edge/133.0 Windows", &found);
            let request =
                http::get("192.168.7.1:5000", "/rootDesc.xml", "Microsoft-Windows/10.0 UPnP/1.0", "");
            let answer =
                http::answer("200 OK", GATEWAY_CARD.server, "text/xml", "", ROUTER_DESCRIPTION.as_bytes());
            http::fetch(net, laptop, self.router, 5000, &request, &answer);
        });
        net.once(37 * SECOND, move |net| {
            let request = http::get("192.168.7.21", "/description.xml", "HomeAssistant/2026.2.1", "");
            let answer = http::answer("200 OK", "nginx", "text/xml", "", BRIDGE_DESCRIPTION.as_bytes());
            http::fetch(net, self.hub, self.bridge, 80, &request, &answer);
        });
        // Anna reads and shops, by IPv4 and IPv6, encrypted and not.
        let mut turn = 0_u32;
        net.every_in(AWAKE, 28 * SECOND, 7 * SECOND, move |net| {
            turn += 1;
            match turn % 4 {
                0 => {
                    dns::lookup(net, laptop, self.router, "www.shop.example", IpAddr::from([192, 0, 2, 80]));
                    let request =
                        http::get("www.shop.example", "/offers", EDGE, "Accept-Language: de-DE\r\n");
                    let answer =
                        http::answer("200 OK", "nginx/1.26.2", "text/html", "", &http::page("Offers", 9_000));
                    http::fetch(net, laptop, self.shop, 80, &request, &answer);
                }
                2 => {
                    dns::lookup(net, laptop, self.router, "www.news.example", NEWS_V6.into());
                    let conn = tls::open6(
                        net,
                        laptop,
                        (self.news_v6, NEWS_V6),
                        dial(Style::Browser, "www.news.example", "News", 443),
                    );
                    tls::talk(net, conn, 700, 22_000);
                    tls::talk(net, conn, 500, 4_000);
                    tls::close(net, conn, Style::Browser);
                }
                _ => {
                    dns::lookup(net, laptop, self.router, "www.shop.example", IpAddr::from([192, 0, 2, 80]));
                    let conn = tls::open(
                        net,
                        laptop,
                        self.shop,
                        dial(Style::Browser, "www.shop.example", "Shop", 443),
                    );
                    tls::talk(net, conn, 900, 15_000);
                    tls::close(net, conn, Style::Browser);
                }
            }
        });
        net.every_in(AWAKE, 95 * SECOND, 100 * SECOND, move |net| {
            dns::lookup_in_vain(net, laptop, self.router, "wpad.home.arpa");
        });
        // She works on the hub.
        net.every_in(AWAKE, 80 * SECOND, 4 * MINUTE, move |net| {
            let conn = ssh::open(net, (laptop, ssh::PUTTY), (self.hub, ssh::OPENSSH_SERVER));
            ssh::talk(net, conn, 40);
            net.close(conn);
        });
        net.every_in(AWAKE, 58 * SECOND, 50 * SECOND, move |net| {
            let request = http::get("homehub.local:8123", "/", EDGE, "");
            let answer = http::answer(
                "200 OK",
                "Python/3.13 aiohttp/3.11.12",
                "text/html",
                "",
                &http::page("Home Assistant", 5_000),
            );
            http::fetch(net, laptop, self.hub, 8123, &request, &answer);
        });
        // The telephone.
        let mut even = false;
        net.every_in(AWAKE, 31 * SECOND, 12 * SECOND, move |net| {
            even = !even;
            let news = dial(Style::Browser, "api.news.example", "News", 443);
            let conn = if even {
                dns::lookup(net, self.phone, self.router, "api.news.example", NEWS_V6.into());
                tls::open6(net, self.phone, (self.news_v6, NEWS_V6), news)
            } else {
                dns::lookup(
                    net,
                    self.phone,
                    self.router,
                    "api.news.example",
                    IpAddr::from([203, 0, 113, 80]),
                );
                tls::open(net, self.phone, self.news, news)
            };
            tls::talk(net, conn, 600, 6_000);
            tls::close(net, conn, Style::Browser);
        });
        net.every_in(AWAKE, 43 * SECOND, 25 * SECOND, move |net| {
            dns::lookup(net, self.phone, self.router, "m.video.example", IpAddr::from([198, 51, 100, 40]));
            quic::fetch(net, self.phone, self.video, "m.video.example", 12);
        });
        net.every_in(AWAKE, 40 * SECOND, 60 * SECOND, move |net| {
            dns::mdns_ask(net, self.phone, &["_googlecast._tcp.local", "_ipp._tcp.local"]);
            net.pause_us(20_000, 120_000);
            dns::mdns_announce(net, self.tv, TV_SERVICE);
            dns::mdns_announce(net, self.printer, PRINTER_SERVICE);
        });
        net.every_in(AWAKE, 65 * SECOND, 70 * SECOND, move |net| {
            // Casting is TLS to the television.
            let conn = tls::open(net, self.phone, self.tv, dial(Style::Small, "", "Living Room TV", 8009));
            tls::talk(net, conn, 120, 200);
            tls::talk(net, conn, 80, 90);
            tls::close(net, conn, Style::Small);
        });
    }

    /// The thermostat loses its address in the middle of the scene and gets another, if the scene is two
    /// minutes long.
    fn thermostat(self, net: &mut Net) {
        let length = net.end - net.start;
        // In a shorter scene it would not have settled yet.
        let moves = (length >= 2 * MINUTE).then_some(length / 100 * 55);
        let stays = match moves {
            Some(moves) => vec![(25 * SECOND, moves - 8 * SECOND), (moves + 10 * SECOND, EVER)],
            None => vec![(25 * SECOND, EVER)],
        };
        let host = self.thermostat;
        let news = dial(Style::Program, "api.thermostat.example", "Thermostat Cloud", 443);
        for (from, until) in stays {
            net.once(from, move |net| {
                dns::lookup(
                    net,
                    host,
                    self.router,
                    "api.thermostat.example",
                    IpAddr::from([203, 0, 113, 90]),
                );
                ntp::ask(net, host, self.time);
            });
            broker_session(
                net,
                (host, self.hub),
                (from + 2 * SECOND, until, 4 * SECOND),
                Version::V5,
                TEMPERATURE,
            );
            net.session(
                (from + 4 * SECOND, until, 12 * SECOND),
                move |net| tls::open(net, host, self.thermostat_cloud, news),
                |net, conn| tls::talk(net, *conn, 180, 220),
                move |net, conn| tls::close(net, conn, Style::Program),
            );
        }
        let Some(moves) = moves else { return };
        net.once(moves, move |net| {
            dhcp::renew(net, host, self.router, THERMOSTAT, false);
            net.note("the thermostat is refused its old address and gets another");
            net.pause_us(1_000_000, 1_500_000);
            dhcp::obtain(net, host, self.router, THERMOSTAT, [192, 168, 7, 77]);
            link::announce(net, host);
        });
    }
}

const PLUG: Words = ("shellyplug-s-610F7E", "plug", "shellies/shellyplug-s-610F7E/relay/0/power", b"41.27");
const TEMPERATURE: Words =
    ("ecobee-511", "ecobee", "home/hall/climate", br#"{"temperature":20.9,"setpoint":21.0,"humidity":41}"#);
