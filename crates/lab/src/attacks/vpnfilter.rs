//! VPNFilter: a small Linux device with a disk is taken over in stages, calls home and gives files away.
//!
//! Modelled on: W. Largent, Cisco Talos, "New VPNFilter malware targets at least 500K networking devices
//! worldwide" (2018) and "VPNFilter Update" (2018). From these: the first stage finds its server in the
//! position data of pictures in a public gallery, with a fall-back name; the second stage is fetched over
//! TLS; orders come over Tor and TLS.

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

fn relay(port: u16, host: &'static str) -> Dial {
    Dial {
        style: Style::Small,
        sni: host,
        protocols: &[],
        server: Name { host, organisation: "Unnamed" },
        port,
    }
}

fn set_up(net: &mut Net, script: Script) {
    let outside = |name: &str, ip: [u8; 4]| Host::beyond(name, Locality::External, ip, Os::Linux);
    let gallery = net.add(outside("gallery", [192, 0, 2, 201]));
    let store = net.add(outside("stage-server", [198, 51, 100, 211]));
    let relays = [
        (net.add(outside("relay-1", [198, 51, 100, 221])), relay(9_001, "www.qzlt4vkd7.example")),
        (net.add(outside("relay-2", [203, 0, 113, 222])), relay(443, "www.u3nfxw6ab.example")),
        (net.add(outside("relay-3", [192, 0, 2, 223])), relay(9_001, "www.h2yk5odrm.example")),
    ];
    let [device, router] = ["recorder", "router"].map(|name| net.host(name));

    script.act(net, ("server-lookup", 0), (device, &[device]), move |net| {
        for number in 0..3 {
            dns::lookup(net, device, router, "gallery.example", IpAddr::from([192, 0, 2, 201]));
            let path = format!("/user/album{number}/library/img_{number}.jpg");
            let request = http::get("gallery.example", &path, "Mozilla/6.1 (compatible; MSIE 9.0)", "");
            let picture = picture(net);
            let answer = http::answer("200 OK", "nginx", "image/jpeg", "", &picture);
            http::fetch(net, device, gallery, 80, &request, &answer);
            net.pause_us(2_000_000, 4_000_000);
        }
        dns::lookup(net, device, router, "toknow-fallback.example", IpAddr::from([198, 51, 100, 211]));
    });
    script.act(net, ("stage-two-download", 12), (device, &[device]), move |net| {
        let conn = tls::open(net, device, store, relay(443, "toknow-fallback.example"));
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

/// A picture (JPEG, ITU-T T.81) with a position (Exif 2.3, tag 0x8825) and no contents but chance.
fn picture(net: &mut Net) -> Vec<u8> {
    build(|m| {
        m.put(&[0xff, 0xd8, 0xff, 0xe1]).be16(2 + 6 + 44).put(b"Exif\0\0MM\0*").be32(8);
        // One field: where the position stands. Then the position's one field, its version.
        m.be16(1).be16(0x8825).be16(4).be32(1).be32(26).be32(0);
        m.be16(1).be16(0).be16(1).be32(4).put(&[2, 2, 0, 0]).be32(0);
        m.put(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        // Within the scan 0xff would begin a marker.
        m.extend(net.rng.bytes(14_000).into_iter().map(|byte| byte.min(0xfe)));
        m.put(&[0xff, 0xd9]);
    })
}
