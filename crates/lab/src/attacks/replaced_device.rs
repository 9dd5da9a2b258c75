//! Harmless: a broken controller is replaced by one of the same model, at the same address.

use model::MacAddr;

use super::{AttackKind, AttackStep, Script};
use crate::net::Net;
use crate::speak::{bacnet, link};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "replaced-device",
    about: "a broken room controller is replaced by one of the same model, which takes its address",
    scenes: &["plant"],
    benign: true,
    steps: &[
        AttackStep {
            name: "arrival",
            about: "The new controller looks whether its address is free and claims it. It looks like ARP \
                    spoofing: an address that belongs to another link-layer address from one moment to the \
                    next.",
            techniques: &[],
        },
        AttackStep {
            name: "commissioning",
            about: "The building's server finds it, reads what it is and sets it up. From now on it does \
                    what the old one did.",
            techniques: &[],
        },
    ],
    set_up,
};

const MAC: MacAddr = MacAddr([0x00, 0xe0, 0xc9, 0x2b, 0x40, 0x9c]);

fn set_up(net: &mut Net, script: Script) {
    let [rooms, server] = ["rooms", "building-server"].map(|name| net.host(name));
    script.act(net, ("arrival", 0), (rooms, &[rooms]), move |net| {
        net.replace(rooms, "rooms-new", MAC);
        for _ in 0..3 {
            link::probe(net, rooms, [10, 10, 10, 33]);
            net.pause_us(900_000, 1_800_000);
        }
        for _ in 0..2 {
            link::announce(net, rooms);
            net.pause_us(1_900_000, 2_100_000);
        }
    });
    script.act(net, ("commissioning", 5), (server, &[rooms]), move |net| {
        bacnet::who_is(net, server, [10, 10, 10, 255], &[(rooms, 3_003, 24)]);
        net.pause_us(1_000_000, 3_000_000);
        let mut invoke = 200;
        let device = bacnet::device(3_003);
        let reads = [
            (device, bacnet::OBJECT_NAME, bacnet::Value::Text("LGR-ROOMS")),
            (device, bacnet::VENDOR_NAME, bacnet::Value::Text("Automated Logic Corporation")),
            (device, bacnet::MODEL_NAME, bacnet::Value::Text("LGR1000")),
            (device, bacnet::FIRMWARE, bacnet::Value::Text("6.02:052")),
        ];
        bacnet::read(net, server, rooms, &mut invoke, &reads);
        for (object, value) in [(7, 21.5), (8, 18.0), (9, 24.0)] {
            let object = bacnet::object(bacnet::ANALOG_VALUE, object);
            bacnet::write(net, server, rooms, &mut invoke, object, value);
            net.pause_us(300_000, 900_000);
        }
    });
}
