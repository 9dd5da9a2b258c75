//! A rogue DHCP server: a device of the home makes itself router and name server of another.
//!
//! Modelled on: R. Droms, RFC 2131, section 7 (1997), on unauthorised servers; SANS Internet Storm Center,
//! "Rogue DHCP servers" (2008), on the first malware that did so.

use std::net::IpAddr;

use super::{AttackKind, AttackStep, Script};
use crate::net::{Net, Relay, SECOND};
use crate::scenes::home::WINDOWS_ASKS;
use crate::speak::dhcp::Client;
use crate::speak::tls::{Dial, Name, Style};
use crate::speak::{dhcp, dns, tls};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "rogue-dhcp",
    about: "a television answers DHCP faster than the router and makes itself router and name server",
    scenes: &["home"],
    benign: false,
    steps: &[
        AttackStep {
            name: "rogue-offer",
            about: "When the laptop asks for an address, the television that was taken over offers one \
                    before the router does, and names itself as router and name server.",
            techniques: &["T1557.003"],
        },
        AttackStep {
            name: "dns-redirection",
            about: "The laptop asks the false name server for its bank, is told the television's own \
                    address, and is shown a false certificate there.",
            techniques: &["T1565.002", "T1557", "T1056.003"],
        },
        AttackStep {
            name: "interception",
            about: "All else that the laptop sends into the Internet goes by the television, too; what comes \
                    back comes straight from the router.",
            techniques: &["T1557.003", "T1040"],
        },
    ],
    set_up,
};

const LAPTOP: Client = Client { hostname: "LAPTOP-ANNA", vendor_class: "MSFT 5.0", asks: WINDOWS_ASKS };
const BANK: Dial = Dial {
    style: Style::Small,
    sni: "www.bank.example",
    protocols: &[],
    server: Name { host: "www.bank.example", organisation: "Free Certificates" },
    port: 443,
};

fn set_up(net: &mut Net, script: Script) {
    let [rogue, laptop, router] = ["tv", "laptop", "router"].map(|name| net.host(name));
    script.act(net, ("rogue-offer", 0), (rogue, &[laptop]), move |net| {
        dhcp::obtain_from_rogue(net, laptop, [rogue, router], LAPTOP);
    });
    let redirection = script.stage(net, "dns-redirection", rogue, &[laptop]);
    let period = (script.span / 12).max(5 * SECOND);
    net.during(redirection, |net| {
        net.every(script.at(10), period, move |net| {
            let IpAddr::V4(ip) = net.v4(rogue, laptop) else { return };
            dns::lookup(net, laptop, rogue, "www.bank.example", ip.into());
            let conn = tls::open(net, laptop, rogue, BANK);
            tls::talk(net, conn, 600, 9_000);
            tls::talk(net, conn, 300, 700);
            tls::close(net, conn, Style::Small);
        });
    });
    let interception = script.stage(net, "interception", rogue, &[laptop]);
    net.once(script.at(14), move |net| {
        net.divert(Relay { from: laptop, to: router, by: rogue, beyond: true, stage: interception });
    });
}
