//! Card data stolen from tills, by way of the firm that maintains the air conditioning.
//!
//! Modelled on: U.S. Senate, Committee on Commerce, Science, and Transportation, "A 'Kill Chain' Analysis
//! of the 2013 Target Data Breach" (2014); X. Shu, K. Tian, A. Ciambrone, D. Yao, "Breaking the Target: An
//! Analysis of Target Data Breach and Lessons Learned" (2017). From these: the maintenance firm's login,
//! malware brought to the tills from within, card data gathered on a server inside in working hours, and
//! taken away by FTP.

use model::Locality;

use super::{AttackKind, AttackStep, Script};
use crate::net::{Host, HostId, Net, Os, SECOND};
use crate::speak::smb::{self, Party};
use crate::speak::tls::{self, Dial, Name, Style};
use crate::speak::{ftp, rdp};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "target",
    about: "through the maintenance firm's access to the tills: card data is gathered inside and taken out",
    scenes: &["retail"],
    benign: false,
    steps: &[
        AttackStep {
            name: "vendor-login",
            about: "With a login stolen from the maintenance firm, the intruder comes in by the firm's usual \
                    way, to the controller of the air conditioning.",
            techniques: &["T1199", "T1133", "T1078", "T0822"],
        },
        AttackStep {
            name: "internal-scan",
            about: "From the controller, which stands in the same net as everything else, he looks for \
                    computers with Windows' file sharing and remote desktop.",
            techniques: &["T1046", "T1018"],
        },
        AttackStep {
            name: "lateral-movement",
            about: "He copies a program to the shop's server, has it started as a service, and works on the \
                    server's screen by remote desktop.",
            techniques: &["T1021.002", "T1021.001", "T1569.002"],
        },
        AttackStep {
            name: "till-infection",
            about: "From the server, which tills trust, malware that reads cards out of memory is brought to \
                    each till and started.",
            techniques: &["T1570", "T1543.003", "T1080"],
        },
        AttackStep {
            name: "card-gathering",
            about: "Each till writes what it read to a share inside, every few minutes, since tills \
                    themselves cannot send it out unnoticed.",
            techniques: &["T1005", "T1074.002", "T1119"],
        },
        AttackStep {
            name: "exfiltration",
            about: "The server that gathered the card data sends it by FTP to a server outside, in one go, \
                    while the shop is busy.",
            techniques: &["T1048.003"],
        },
    ],
    set_up,
};

const fn party(name: &'static str) -> Party {
    Party { name, domain: "SHOP", build: 17_763 }
}

const TILLS: [(&str, &str); 4] =
    [("till-1", "TILL-1"), ("till-2", "TILL-2"), ("till-3", "TILL-3"), ("till-4", "TILL-4")];

fn set_up(net: &mut Net, script: Script) {
    let drop = net.add(Host::beyond("drop-server", Locality::External, [203, 0, 113, 231], Os::Linux));
    let [vendor, hvac, pos, files] =
        ["vendor", "hvac", "pos-server", "file-server"].map(|name| net.host(name));
    let tills = TILLS.map(|(name, label)| (net.host(name), party(label)));
    let all: Vec<HostId> = tills.iter().map(|(till, _)| *till).collect();
    let server = (pos, party("POS-SRV"));

    script.act(net, ("vendor-login", 0), (vendor, &[hvac]), move |net| {
        let name = Name { host: "hvac.shop.example", organisation: "Shop" };
        let portal = Dial { style: Style::Program, sni: name.host, protocols: &[], server: name, port: 443 };
        let conn = tls::open(net, vendor, hvac, portal);
        for _ in 0..6 {
            tls::talk(net, conn, 600, 3_000);
            net.pause_us(800_000, 2_500_000);
        }
        // A program is brought in.
        for _ in 0..10 {
            tls::talk(net, conn, 14_000, 90);
        }
        tls::close(net, conn, Style::Program);
    });
    script.act(net, ("internal-scan", 15), (hvac, &[pos, files]), move |net| {
        for last in 2..=24 {
            for port in [445, 3_389] {
                let open = last == 5 || (port == 445 && matches!(last, 6 | 11..=14 | 20));
                let seq = net.rng.u32();
                net.probe(hvac, ([10, 30, 1, last], port).into(), seq, open);
                net.pause_us(3_000, 20_000);
            }
        }
    });
    script.act(net, ("lateral-movement", 25), (hvac, &[pos]), move |net| {
        let own = (hvac, party("NIAGARA"));
        install(net, own, server, "Administrator", ("psexesvc", "PSEXESVC.exe", 180_000));
        let conn = rdp::open(net, hvac, (pos, "POS-SRV"), "Administrator");
        rdp::work(net, conn, 30);
        net.close(conn);
    });
    script.act(net, ("till-infection", 42), (pos, &all), move |net| {
        for till in tills {
            install(net, server, till, "best1_user", ("POSWDS", "poswds.exe", 207_000));
            net.pause_us(500_000, 2_000_000);
        }
    });
    let gathering = script.stage(net, "card-gathering", tills[0].0, &all);
    let period = (script.span / 10).max(4 * SECOND);
    net.during(gathering, |net| {
        for (index, till) in tills.into_iter().enumerate() {
            net.every(script.at(55) + index as u64 * SECOND, period, move |net| {
                let to = (files, Party { name: "FILES", domain: "SHOP", build: 0 });
                let mut session = smb::open(net, till, "best1_user", to, "sales");
                let size = net.rng.range(3_000, 9_000) as usize;
                session.transfer(net, &format!(r"tmp\data_{}.txt", index + 1), true, size);
                session.close(net);
            });
        }
    });
    script.act(net, ("exfiltration", 85), (files, &all), move |net| {
        let list = [("cards_1.zip", 420_000), ("cards_2.zip", 380_000)];
        ftp::store(net, files, (drop, "Microsoft FTP Service"), "public", &list);
    });
}

/// Copies a program to a computer's administrative share and has it started as a service.
fn install(
    net: &mut Net,
    own: (HostId, Party),
    to: (HostId, Party),
    user: &str,
    (service, file, size): (&str, &str, usize),
) {
    let mut session = smb::open(net, own, user, to, "ADMIN$");
    session.transfer(net, file, true, size);
    session.close(net);
    let mut session = smb::open(net, own, user, to, "IPC$");
    session.start_service(net, service, &format!(r"%SystemRoot%\{file}"));
    session.close(net);
}
