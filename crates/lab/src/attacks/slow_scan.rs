//! A slow scan: one port of one host every few minutes, below what counters of ports or hosts notice.
//!
//! Modelled on: S. Staniford, J. Hoagland, J. McAlerney, "Practical Automated Detection of Stealthy
//! Portscans" (2002); NIST SP 800-82 revision 3, "Guide to Operational Technology (OT) Security" (2023),
//! on reconnaissance from a foothold.

use super::{AttackKind, AttackStep, Script};
use crate::net::{Net, SECOND};
use crate::speak::{enip, http, modbus, s7};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "slow-scan",
    about: "a taken-over gateway tries one port of one host every few minutes",
    scenes: &["plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "slow-probing",
            about: "From the remote access gateway that it has taken over, the intruder tries a single port \
                    of a single host at a time, with long pauses, to learn what is there without being \
                    noticed.",
            techniques: &["T1046", "T0846"],
        },
        AttackStep {
            name: "slow-identification",
            about: "It asks the services it found what they are, one at a time: now it knows maker, model \
                    and firmware of the controllers.",
            techniques: &["T0888", "T1046"],
        },
    ],
    set_up,
};

/// Probes in the time that the attack has.
const PROBES: u64 = 40;

fn set_up(net: &mut Net, script: Script) {
    let foothold = net.host("remote-gateway");
    let names = ["plc-boiler", "plc-mixer", "plc-pump", "plc-press", "rtu-well", "scada", "historian"];
    let hosts = names.map(|name| net.host(name));
    let [boiler, mixer, pump, press, rtu, scada, historian] = hosts;
    let open = [
        (boiler, 102),
        (boiler, 80),
        (mixer, 102),
        (pump, 502),
        (pump, 21),
        (press, 44_818),
        (rtu, 20_000),
        (scada, 80),
        (historian, 443),
    ];
    let ports = [102, 502, 44_818, 80, 21, 443, 20_000, 22, 3_389, 445];
    let period = (script.span / PROBES).max(2 * SECOND);
    let probing = script.stage(net, "slow-probing", foothold, &hosts);
    let mut order: Vec<_> = hosts.iter().flat_map(|&host| ports.map(|port| (host, port))).collect();
    for place in (1..order.len()).rev() {
        let other = net.rng.range(0, place as u64 + 1) as usize;
        order.swap(place, other);
    }
    net.during(probing, |net| {
        let mut turn = 0_usize;
        net.every(script.at(0), period, move |net| {
            let (host, port) = order[turn % order.len()];
            turn += 1;
            let seq = net.rng.u32();
            // Every fourth at an address that nobody has.
            if turn.is_multiple_of(4) {
                let last = net.rng.range(60, 90) as u8;
                net.probe(foothold, ([10, 10, 0, last], port).into(), seq, false);
            } else {
                let ip = net.v4(host, foothold);
                net.probe(foothold, (ip, port).into(), seq, open.contains(&(host, port)));
            }
        });
    });
    let asking = script.stage(net, "slow-identification", foothold, &[boiler, mixer, pump, press]);
    net.during(asking, |net| {
        let mut turn = 0_u32;
        net.every(script.at(60), period * 3, move |net| {
            turn += 1;
            match turn % 4 {
                1 => {
                    let conn = net.connect(foothold, pump, 502, "modbus");
                    let objects = [(0, "Schneider Electric"), (1, "BMX P34 2020"), (2, "v2.70")];
                    let ask = modbus::message(1, 1, 43, &modbus::identify(1));
                    net.exchange(conn, &ask, &modbus::message(1, 1, 43, &modbus::identity(1, &objects)));
                    net.close(conn);
                }
                2 => {
                    let mut link = s7::open(net, foothold, mixer, 1, 2);
                    link.identify(net, crate::scenes::plant::MIXER);
                    net.close(link.conn);
                }
                3 => {
                    let mut session = enip::open(net, foothold, press);
                    session.identity(net, crate::scenes::plant::LOGIX);
                    net.close(session.conn);
                }
                _ => {
                    let request = http::get("10.10.0.11", "/", "Mozilla/5.0", "");
                    let page = http::page("PLC_BOILER", 900);
                    let answer = http::answer("200 OK", "SIMATIC HTTP Server", "text/html", "", &page);
                    http::fetch(net, foothold, boiler, 80, &request, &answer);
                }
            }
        });
    });
}
