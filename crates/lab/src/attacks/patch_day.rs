//! Harmless: patch day, on which many computers fetch programs at once and start anew.

use super::{AttackKind, AttackStep, Script};
use crate::net::{HostId, Net};
use crate::speak::{dns, http, link};

pub(crate) const KIND: AttackKind = AttackKind {
    name: "patch-day",
    about: "all of the plant's computers fetch updates from the patch server and start anew",
    scenes: &["plant"],
    benign: true,
    steps: &[
        AttackStep {
            name: "update-search",
            about: "The computers tell the patch server what they have and ask what is new, all within \
                    minutes. It looks like something spreading from host to host.",
            techniques: &[],
        },
        AttackStep {
            name: "update-download",
            about: "Each fetches the same large programs. It looks like malware being brought in.",
            techniques: &[],
        },
        AttackStep {
            name: "restart",
            about: "One after the other starts anew and says hello to the net as after any start.",
            techniques: &[],
        },
    ],
    set_up,
};

const AGENT: &str = "Microsoft-Delivery-Optimization/10.1";
const HOST: &str = "patch.corp.example";

fn fetch(net: &mut Net, host: HostId, server: HostId, path: &str, size: usize) {
    let content = net.rng.bytes(size);
    let answer = http::answer("200 OK", "Microsoft-IIS/10.0", "application/octet-stream", "", &content);
    http::fetch(net, host, server, 80, &http::get(HOST, path, AGENT, ""), &answer);
}

fn set_up(net: &mut Net, script: Script) {
    let names = ["hmi", "scada", "historian", "engineering"];
    let hosts = names.map(|name| net.host(name));
    let [server, resolver] = ["patch-server", "corporate-dns"].map(|name| net.host(name));
    let labels = ["HMI-HALL3", "SCADA-SRV1", "HIST-SRV1", "ENG-WS1"];
    script.act(net, ("update-search", 5), (server, &hosts), move |net| {
        for host in hosts {
            dns::lookup(net, host, resolver, HOST, net.v4(server, host));
            fetch(net, host, server, "/ClientWebService/client.asmx?sync", 24_000);
            net.pause_us(1_000_000, 4_000_000);
        }
    });
    script.act(net, ("update-download", 25), (server, &hosts), move |net| {
        for host in hosts {
            for number in ["5034441", "5034763"] {
                fetch(net, host, server, &format!("/Content/KB{number}-x64.cab"), 400_000);
            }
            net.pause_us(500_000, 2_000_000);
        }
    });
    script.act(net, ("restart", 65), (server, &hosts), move |net| {
        for (host, label) in hosts.into_iter().zip(labels) {
            net.pause_us(2_000_000, 6_000_000);
            link::announce(net, host);
            for (kind, group) in [(0, false), (0x20, false), (0, true)] {
                dns::nbns_register(net, host, if group { "PLANT" } else { label }, kind, group);
                net.pause_us(700_000, 760_000);
            }
            dns::lookup(net, host, resolver, HOST, net.v4(server, host));
            fetch(net, host, server, "/ClientWebService/client.asmx?report", 2_000);
        }
    });
}
