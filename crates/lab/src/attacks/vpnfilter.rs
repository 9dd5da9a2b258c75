//! VPNFilter: a small Linux device with a disk is taken over in stages, calls home and gives files away.
//!
//! Modelled on: W. Largent, Cisco Talos, "New VPNFilter malware targets at least 500K networking devices
//! worldwide" (2018) and "VPNFilter Update" (2018). From these: the first stage finds its server in the
//! position data of pictures in a public gallery, with a fall-back name; the second stage is fetched over
//! TLS; orders come over Tor, whose clients and relays call each other by names made up for each connection (Tor
//! specification, "Negotiating channels"), so that the name that is called is not that of the certificate. What the
//! third stage does on a router that others go through (sniffing for Modbus and passwords, HTTP in place of HTTPS) is
//! not played: here the device is a recorder.

use std::net::IpAddr;

use model::Locality;

use super::{AttackKind, AttackStep, Script};
use crate::bytes::{Put, build};
use crate::net::{Host, Net, Os, SECOND};
use crate::speak::tls::{Dial, Name, Style};
use crate::speak::{dns, http, tls};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "vpnfilter",
    about: "a small Linux device fetches malware in stages, calls home with jitter and gives files away",
    scenes: &["home"],
    benign: false,
    steps: &[
        AttackStep {
            name: "server-lookup",
            about: "The first stage, which survives restarts, fetches pictures from a public gallery and \
                    reads its server's address out of their position data; then it tries a name to fall \
                    back on.",
            techniques: &["T1102.001", "T1008", "T1071.001"],
        },
        AttackStep {
            name: "stage-two-download",
            about: "It fetches the second stage over TLS: a program of some megabytes that carries out \
                    orders, for a device that otherwise fetches nothing.",
            techniques: &["T1105", "T1573.002"],
        },
        AttackStep {
            name: "beacon",
            about: "The second stage calls home over TLS to relays of an anonymising network, at intervals \
                    that chance lengthens and shortens so that no clock shows.",
            techniques: &["T1090.003", "T1573.002", "T1571"],
        },
        AttackStep {
            name: "exfiltration",
            about: "Files and recordings of the device go out over the same way, far more than the device \
                    ever sent.",
            techniques: &["T1041", "T1005", "T1020"],
        },
    ],
    set_up,
};

/// A TLS server as the client calls it, and as it calls itself in its certificate.
fn dial(port: u16, sni: &'static str, host: &'static str) -> Dial {
    Dial { style: Style::Small, sni, protocols: &[], server: Name { host, organisation: "Unnamed" }, port }
}

/// The agent that the first stage says it is: a browser that there never was.
const AGENT: &str = "Mozilla/6.1 (compatible; MSIE 9.0; Windows NT 5.3; Trident/5.0)";
/// The server from which the second stage is fetched.
const ADDRESS: [u8; 4] = [198, 51, 100, 211];
const STORE: &str = "toknow-fallback.example";

fn set_up(net: &mut Net, script: Script) {
    let outside = |name: &str, ip: [u8; 4]| Host::beyond(name, Locality::External, ip, Os::Linux);
    let gallery = net.add(outside("gallery", [192, 0, 2, 201]));
    let store = net.add(outside("stage-server", ADDRESS));
    let relays = [
        ("relay-1", [198, 51, 100, 221], dial(9_001, "www.qzlt4vkd7.example", "www.m5ydt2fzwk.example")),
        ("relay-2", [203, 0, 113, 222], dial(443, "www.u3nfxw6ab.example", "www.p4xhz7cq.example")),
        ("relay-3", [192, 0, 2, 223], dial(9_001, "www.h2yk5odrm.example", "www.tw6ljx3bgvo.example")),
    ]
    .map(|(name, ip, dial)| (net.add(outside(name, ip)), dial));
    let [device, router] = ["recorder", "router"].map(|name| net.host(name));

    script.act(net, ("server-lookup", 0), (device, &[device]), move |net| {
        for number in 0..3 {
            dns::lookup(net, device, router, "gallery.example", IpAddr::from([192, 0, 2, 201]));
            let path = format!("/user/album{number}/library/img_{number}.jpg");
            let request = http::get("gallery.example", &path, AGENT, "");
            let picture = picture(net, ADDRESS);
            let answer = http::answer("200 OK", "nginx", "image/jpeg", "", &picture);
            http::fetch(net, device, gallery, 80, &request, &answer);
            net.pause_us(2_000_000, 4_000_000);
        }
        dns::lookup(net, device, router, STORE, IpAddr::from(ADDRESS));
    });
    script.act(net, ("stage-two-download", 12), (device, &[device]), move |net| {
        let conn = tls::open(net, device, store, dial(443, STORE, STORE));
        for _ in 0..20 {
            tls::talk(net, conn, 120, 65_000);
        }
        tls::close(net, conn, Style::Small);
    });
    let beacon = script.stage(net, "beacon", device, &[device]);
    let period = (script.span / 25).max(6 * SECOND);
    net.during(beacon, |net| {
        let mut turn = 0_usize;
        net.every(script.at(22), period, move |net| {
            let (host, dial) = relays[turn % relays.len()];
            turn += 1;
            // A third of the interval more or less.
            let late = net.rng.range(0, period / 3 * 2);
            let at = net.clock + late;
            net.at(at, move |net| {
                let conn = tls::open(net, device, host, dial);
                let (up, down) = (net.rng.range(500, 560), net.rng.range(520, 590));
                tls::talk(net, conn, up as usize, down as usize);
                tls::close(net, conn, Style::Small);
            });
        });
    });
    script.act(net, ("exfiltration", 60), (device, &[device]), move |net| {
        let (host, dial) = relays[0];
        let conn = tls::open(net, device, host, dial);
        for _ in 0..160 {
            let size = net.rng.range(12_000, 16_000) as usize;
            tls::talk(net, conn, size, 60);
            net.pause_us(5_000, 300_000);
        }
        tls::close(net, conn, Style::Small);
    });
}

/// A picture (JPEG, ITU-T T.81) with a position (Exif 2.3, tag 0x8825), whose degrees and minutes are a server's
/// address in quarters, and no contents but chance.
fn picture(net: &mut Net, [a, b, c, d]: [u8; 4]) -> Vec<u8> {
    build(|m| {
        // The directory with its one field, where the position stands; that has four fields, two of which are three
        // fractions each.
        m.put(&[0xff, 0xd8, 0xff, 0xe1]).be16(2 + 6 + 128).put(b"Exif\0\0MM\0*").be32(8);
        m.be16(1).be16(0x8825).be16(4).be32(1).be32(26).be32(0);
        m.be16(4);
        for (tag, at, reference) in [(1, 80, b"N\0\0\0"), (3, 104, b"E\0\0\0")] {
            m.be16(tag).be16(2).be32(2).put(reference);
            m.be16(tag + 1).be16(5).be32(3).be32(at);
        }
        m.be32(0);
        for (degrees, minutes) in [(a, b), (c, d)] {
            m.be32(degrees.into()).be32(4).be32(minutes.into()).be32(4).be32(0).be32(1);
        }
        m.put(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        // Within the scan 0xff would begin a marker.
        m.extend(net.rng.bytes(14_000).into_iter().map(|byte| byte.min(0xfe)));
        m.put(&[0xff, 0xd9]);
    })
}
