//! An insider: somebody who may come in uses it at an hour when nobody does, and takes the plant's
//! programs along.
//!
//! Modelled on: M. Abrams, J. Weiss, MITRE, "Malicious Control System Cyber Security Attack Case Study:
//! Maroochy Water Services, Australia" (2008); CERT, "Common Sense Guide to Mitigating Insider Threats",
//! seventh edition (2022). All he does is allowed to him: what is unusual is who does it, from where, when,
//! and what goes out. In a scene of a day it is half past one in the night.

use model::{Locality, Role};

use super::{AttackKind, AttackStep, Script, party};
use crate::net::{Host, Net, Os};
use crate::scenes::plant::MIXER;
use crate::speak::{ftp, http, s7, smb};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "insider",
    about: "somebody from the office uploads programs at an odd hour, stops a controller, takes files along",
    scenes: &["plant"],
    benign: false,
    steps: &[
        AttackStep {
            name: "entry-from-the-office",
            about: "From a computer in the office, with an account that is his own, he looks around on the \
                    plant's servers, which he has no task on.",
            techniques: &["T1078", "T0859", "T1021.002"],
        },
        AttackStep {
            name: "program-upload",
            about: "He connects to a controller straight from the office, past the engineering station, and \
                    uploads its program.",
            techniques: &["T0845", "T0811"],
        },
        AttackStep {
            name: "controller-stop",
            about: "He stops the controller: the mixer stands still until somebody finds out and starts it.",
            techniques: &["T0858", "T0816", "T0826"],
        },
        AttackStep {
            name: "file-collection",
            about: "He copies recipes and reports from the historian's share to his computer.",
            techniques: &["T1039", "T0811", "T1074.001"],
        },
        AttackStep {
            name: "exfiltration",
            about: "He takes all of it to a server outside, by FTP from the remote access gateway, which the \
                    firewall lets out.",
            techniques: &["T1048.003", "T0882"],
        },
    ],
    set_up,
};

fn set_up(net: &mut Net, script: Script) {
    let office =
        Host::beyond("office-pc", Locality::Routed, [10, 20, 0, 44], Os::Windows).roles(&[Role::Workstation]);
    let office = net.add(office);
    let drop = net.add(Host::beyond("file-drop", Locality::External, [203, 0, 113, 199], Os::Linux));
    let names = ["plc-mixer", "historian", "scada", "remote-gateway"];
    let [mixer, historian, scada, gateway] = names.map(|name| net.host(name));

    script.act(net, ("entry-from-the-office", 60), (office, &[scada, historian]), move |net| {
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0";
        for path in ["/overview", "/trends", "/admin/users", "/export"] {
            let request = http::get("scada-srv1", path, agent, "");
            let page = http::page("SCADA", 3_000);
            let answer = http::answer("200 OK", "Microsoft-IIS/10.0", "text/html", "", &page);
            http::fetch(net, office, scada, 80, &request, &answer);
            net.pause_us(1_000_000, 3_000_000);
        }
    });
    script.act(net, ("program-upload", 66), (office, &[mixer]), move |net| {
        let mut link = s7::open(net, office, mixer, 1, 2);
        link.identify(net, MIXER);
        for (file, kind, number, size) in
            [("_0800001P", 0x08, 1, 704), ("_0A00010P", 0x0a, 10, 512), ("_0C00003P", 0x0c, 3, 900)]
        {
            let block = s7::block(net, kind, number, size);
            link.upload(net, file, &block);
            net.pause_us(500_000, 1_500_000);
        }
        net.close(link.conn);
    });
    script.act(net, ("controller-stop", 72), (office, &[mixer]), move |net| {
        let mut link = s7::open(net, office, mixer, 1, 2);
        link.stop(net);
        net.close(link.conn);
    });
    script.act(net, ("file-collection", 76), (office, &[historian]), move |net| {
        let [own, server] = [(office, party("OFFICE-44")), (historian, party("HIST-SRV1"))];
        let mut link = smb::open(net, own, "k.weber", server, "reports");
        for (file, size) in
            [("recipes.xlsx", 210_000), ("batches-2025.csv", 430_000), ("network-plan.pdf", 160_000)]
        {
            link.transfer(net, file, false, size);
        }
        link.close(net);
    });
    script.act(net, ("exfiltration", 84), (gateway, &[historian, mixer]), move |net| {
        let files = [("recipes.xlsx", 210_000), ("batches-2025.csv", 430_000), ("mixer.zip", 40_000)];
        ftp::store(net, gateway, (drop, "(vsFTPd 3.0.5)"), "drop77", &files);
    });
}
