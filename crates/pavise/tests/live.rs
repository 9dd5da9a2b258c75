//! Live capture on a pair of virtual interfaces, with a real sender.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::SceneOptions;
use store::{FlowQuery, Sqlite, Store};

/// So many packets are sent in a second: far below what is possible, so that a busy machine passes.
const RATE: u32 = 5_000;

/// A network namespace with two interfaces that are connected; gone with the value.
struct Wire {
    ip: PathBuf,
    name: String,
}

impl Wire {
    /// `None`, after saying so, where none can be made.
    fn new(test: &str) -> Option<Self> {
        let ip = testkit::peer(test, "ip")?;
        let name = format!("pavise-test-{}", std::process::id());
        let wire = Self { ip, name };
        let made = wire.ip(&["netns", "add", &wire.name])
            && wire.ip(&["-n", &wire.name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"])
            // Nothing but what the test sends: no neighbour discovery, no multicast reports.
            && wire.inside(&["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; \
                 echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; \
                 for name in veth0 veth1; do echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6; done; true"])
            && ["veth0", "veth1"].iter().all(|end| wire.ip(&["-n", &wire.name, "link", "set", end, "up"]));
        if !made {
            testkit::skip(test, "no pair of virtual interfaces can be made (it needs root)");
            return None;
        }
        Some(wire)
    }

    fn ip(&self, arguments: &[&str]) -> bool {
        Command::new(&self.ip).args(arguments).stderr(Stdio::null()).status().unwrap().success()
    }

    /// A command within the namespace.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    fn inside(&self, words: &[&str]) -> bool {
        self.command(words[0]).args(&words[1..]).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ip(&["netns", "del", &self.name]);
    }
}

/// What devices are, without when they were seen: MAC addresses, addresses, roles and models.
fn devices(state: &Path) -> BTreeSet<String> {
    let told = |device: &model::Device| {
        let addresses: BTreeSet<_> = device.addresses.iter().map(|known| known.ip).collect();
        let values: BTreeSet<_> = device
            .attributes
            .iter()
            .flat_map(|(attribute, all)| all.iter().map(move |one| format!("{attribute}={}", one.value)))
            .collect();
        format!("{:?} {addresses:?} {values:?}", device.macs)
    };
    Sqlite::open(state).unwrap().devices().unwrap().iter().map(told).collect()
}

/// Packets of conversations by VLAN.
fn vlans(state: &Path) -> Vec<(Option<u16>, u64)> {
    let mut found = std::collections::BTreeMap::new();
    Sqlite::open(state)
        .unwrap()
        .flows(&FlowQuery::default(), &mut |flow| {
            *found.entry(flow.head.vlan).or_default() += flow.sent.packets + flow.received.packets;
            true
        })
        .unwrap();
    found.into_iter().collect()
}

#[test]
fn what_is_sent_on_a_wire_is_seen_without_loss_and_told_as_from_a_file() {
    let test = "what_is_sent_on_a_wire_is_seen_without_loss_and_told_as_from_a_file";
    let Some(tcpreplay) = testkit::peer(test, "tcpreplay") else { return };
    let Some(kill) = testkit::peer(test, "kill") else { return };
    let Some(wire) = Wire::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);

    // A plant, and a crowd whose nets have VLAN tags.
    let mut captures = Vec::new();
    let options = SceneOptions { duration: Duration::from_secs(120), ..SceneOptions::default() };
    let truth =
        lab::scene("plant", &options).unwrap().write(&mut File::create(path("plant.pcapng")).unwrap());
    captures.push(("plant.pcapng", truth.unwrap().packets));
    let crowd = lab::Crowd { packets: 10_000, hosts: 500, ..lab::Crowd::default() };
    let summary = lab::crowd(&crowd, &mut File::create(path("crowd.pcapng")).unwrap()).unwrap();
    captures.push(("crowd.pcapng", summary.packets));

    for (name, packets) in captures {
        let (capture, live, read) =
            (path(name), path(&format!("{name}.live")), path(&format!("{name}.read")));
        let mut pavise = wire
            .command(env!("CARGO_BIN_EXE_pavise"))
            .args(["watch", "if:veth1", "--json", "--state"])
            .arg(&live)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut output, said) = (pavise.stdout.take().unwrap(), pavise.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text
        });
        let mut said = BufReader::new(said);
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "Listening on veth1; Ctrl-C ends it.\n");
        let sent = wire
            .command(&tcpreplay)
            .args(["--intf1=veth0", &format!("--pps={RATE}")])
            .arg(&capture)
            .output()
            .unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        // What was received before the end was asked for is still read.
        assert!(Command::new(&kill).args(["-INT", &pavise.id().to_string()]).status().unwrap().success());
        let mut summary = String::new();
        said.read_to_string(&mut summary).unwrap();
        assert!(pavise.wait().unwrap().success(), "{summary}");
        assert!(reader.join().unwrap().contains("\"observation\":\"source-ended\""));
        assert!(summary.contains("0 dropped by the kernel"), "{summary}");
        assert!(!summary.contains("not read to its end"), "{summary}");

        let source = Sqlite::open(&live).unwrap().sources().unwrap().remove(0);
        assert!(source.is_balanced(), "{source:?}");
        assert_eq!((source.packets, source.dropped), (packets, 0), "{name}: sent and seen, {source:?}");
        let done = Command::new(env!("CARGO_BIN_EXE_pavise"))
            .args(["watch", "--quiet", "--state"])
            .args([&read, &capture])
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
        let file = Sqlite::open(&read).unwrap().sources().unwrap().remove(0);
        assert_eq!(source.bytes, file.bytes, "{name}: tags are put back");
        let tagged = vlans(&read);
        assert_eq!(vlans(&live), tagged, "{name}");
        assert!(tagged.iter().any(|(vlan, _)| vlan.is_some()), "{name} has no tags: nothing was tested");
        assert_eq!(devices(&live), devices(&read), "{name}");
    }
}
