//! Default passwords: somebody inside tries what makers deliver, on every login there is.
//!
//! Modelled on: US-CERT, Alert TA13-175A, "Risks of Default Passwords on the Internet" (2013); Forescout,
//! "The Riskiest Connected Devices in 2023" (2023).

use super::{AttackKind, AttackStep, Script};
use crate::net::Net;
use crate::speak::{http, telnet};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "default-logins",
    about: "somebody inside tries makers' default passwords on pages and terminals",
    scenes: &["home", "plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "web-logins",
            about: "From a host that was taken over, default users and passwords are tried on devices' \
                    pages, a few each so that none is locked.",
            techniques: &["T1110.001", "T1078.001", "T0812"],
        },
        AttackStep {
            name: "terminal-logins",
            about: "The same is tried by Telnet, which many devices still offer beside their pages.",
            techniques: &["T1110.001", "T0812", "T1021"],
        },
        AttackStep {
            name: "configuration-reading",
            about: "One was right: the attacker logs in and reads the device's configuration, in which there \
                    are names and passwords of others.",
            techniques: &["T1078.001", "T0859", "T1602.002"],
        },
    ],
    set_up,
};

/// Users and passwords, coded as basic authentication has them (RFC 7617 section 2): admin:admin,
/// admin:12345, admin:password, root:root, user:user, admin:1234.
const CODED: [&str; 6] = [
    "YWRtaW46YWRtaW4=",
    "YWRtaW46MTIzNDU=",
    "YWRtaW46cGFzc3dvcmQ=",
    "cm9vdDpyb290",
    "dXNlcjp1c2Vy",
    "YWRtaW46MTIzNA==",
];
const PLAIN: [(&str, &str); 5] =
    [("admin", "12345"), ("root", "root"), ("user", "user"), ("admin", "1234"), ("admin", "password")];

fn set_up(net: &mut Net, script: Script) {
    let (by, pages, terminal) = if net.has("hmi") {
        let pages = [("plc-boiler", "SIMATIC HTTP Server"), ("plc-pump", "Schneider-WEB")];
        ("remote-gateway", pages, "switch-hall3")
    } else {
        ("hub", [("camera", "App-webs/"), ("router", "Router Webserver")], "recorder")
    };
    let [by, terminal] = [by, terminal].map(|name| net.host(name));
    let pages = pages.map(|(name, software)| (net.host(name), software));
    let victims = pages.map(|(host, _)| host);
    script.act(net, ("web-logins", 0), (by, &victims), move |net| {
        for token in CODED {
            for page in pages {
                http::try_login(net, by, page, token, None);
                net.pause_us(300_000, 900_000);
            }
        }
    });
    script.act(net, ("terminal-logins", 30), (by, &[terminal]), move |net| {
        for pair in PLAIN {
            telnet::enter(net, by, (terminal, 23), pair, None);
            net.pause_us(500_000, 1_500_000);
        }
    });
    script.act(net, ("configuration-reading", 55), (by, &[terminal]), move |net| {
        let Some(conn) = telnet::enter(net, by, (terminal, 23), ("admin", "admin"), Some("# ")) else {
            return;
        };
        let passwords = "root:x:0:0:root:/:/bin/sh\r\nadmin:x:500:500::/home:/bin/sh";
        for (command, output) in [
            ("cat /etc/passwd", passwords),
            ("cat /mnt/mtd/Config/Account1", "{ \"Users\" : [ { \"Name\" : \"viewer\" } ] }"),
            ("ifconfig", "eth0      Link encap:Ethernet"),
        ] {
            telnet::command(net, conn, "# ", command, output);
        }
        net.close(conn);
    });
}
