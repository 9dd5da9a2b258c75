//! The Jeep: from the mobile network into the telematics unit, whose message bus runs commands, and from there onto the vehicle's
//! bus. Nobody can cut the bus, so containment is that of the unit's side of the network.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::clock::Moment;
use super::net::{Net, PATIENCE, Process, SOON};
use super::{Post, Scene, defence};
use crate::run::{Done, Failure};

const ATTACKER: &str = "198.51.100.77";
const BACKEND: &str = "203.0.113.30";
const UNIT: &str = "10.77.0.6";
/// How long a command may take.
const CALL: Duration = Duration::from_secs(1);

/// Nobody has any business to open a conversation with the car from outside: a unit that lets somebody in keeps only what it
/// needs.
const PROTECTION: &str = r#"
guard = ["203.0.113.30"]

[[rule]]
name = "let in from the mobile network"
detectors = ["exposed-device", "remote-access"]
action = "contain"

[[rule]]
name = "elsewhere"
severity = "high"
action = "contain"
"#;

/// The car, and what it is connected with.
#[derive(Default)]
pub(super) struct Car {
    parts: Vec<Process>,
    bus: Option<Process>,
    socket: PathBuf,
}

impl Scene for Car {
    fn name(&self) -> &'static str {
        "jeep"
    }

    fn tools(&self) -> &'static [(&'static str, &'static str)] {
        &[("dbus-send", "dbus-bin"), ("mosquitto", "mosquitto")]
    }

    fn build(&mut self, net: &Net) -> Done {
        net.router("modem")?;
        net.outside("mobile", "modem", &[ATTACKER, BACKEND])?;
        net.routed("telematics", "modem", "00:1d:0f:77:00:06", UNIT)?;
        net.routed("phone", "modem", "3c:2e:ff:77:01:30", "10.77.1.30")?;
        let settings = net.folder().join("mosquitto.conf");
        std::fs::write(&settings, format!("listener 1883 {BACKEND}\nallow_anonymous true\n"))?;
        let mut mosquitto = net.command("mobile", "mosquitto");
        let at = format!("{BACKEND}:1883");
        self.parts.push(net.serve("mobile", "mosquitto", mosquitto.arg("-c").arg(settings), &at)?);
        self.parts.push(net.play("mobile", &format!("web {BACKEND}:80"))?);
        self.parts.push(net.play("telematics", &format!("telematics {UNIT}:6667"))?);
        self.socket = net.folder().join("bus.sock");
        let words = format!("bus {}", self.socket.display());
        // What goes over the bus is recorded, and a second Pavise reads it as it comes.
        let mut reader = Command::new(defence::pavise());
        reader.args(["watch", "-", "--json", "--quiet", "--state"]).arg(net.folder().join("bus-state"));
        let (mut bus, reader) = Process::piped(
            net,
            ("telematics-bus", &mut net.peer("telematics", &words)),
            ("pavise-bus", &mut reader),
        )?;
        bus.expect("ready", PATIENCE)?;
        self.bus = Some(bus);
        self.parts.push(reader);
        Ok(())
    }

    fn post(&self) -> Post {
        Post {
            host: "modem",
            interfaces: &["telematics", "phone"],
            family: "routed",
            protection: PROTECTION,
            settings: "",
        }
    }

    fn benign(&self) -> Vec<(&'static str, String)> {
        vec![
            ("telematics", format!("publish {BACKEND}:1883 car")),
            ("phone", format!("fetch {BACKEND}:80")),
            ("phone", format!("watch {BACKEND}:80")),
        ]
    }

    fn victims(&self) -> Vec<(&'static str, String)> {
        vec![("telematics", ATTACKER.to_owned())]
    }

    fn attacker(&self) -> (&'static str, String) {
        ("mobile", ATTACKER.to_owned())
    }

    fn attackers(&self) -> &'static [&'static str] {
        &[ATTACKER, UNIT]
    }

    fn steps(&self) -> &'static [&'static str] {
        &["open port found", "command run", "gateway reflashed", "brakes released", "steering wrenched"]
    }

    fn begin(&mut self, net: &Net) -> Result<Moment, Failure> {
        Ok(self.search(net)?.1)
    }

    fn attempt(&mut self, net: &Net, step: usize) -> Result<bool, Failure> {
        let frames = |what: &str| {
            let program = net.program().display();
            format!("{program} peer frames {} {what} && echo sent", self.socket.display())
        };
        let (command, sign) = match step {
            0 => return Ok(self.search(net)?.0),
            1 => ("uname -a".to_owned(), None),
            2 => (frames("reflash"), Some("gateway reflashed")),
            3 => (frames("brakes"), Some("brakes released")),
            _ => (frames("steering"), Some("steering wrenched")),
        };
        let said = self.invoke(net, &command)?;
        Ok(match (sign, &mut self.bus) {
            (Some(sign), Some(bus)) => bus.said(sign).is_some() || said && bus.expect(sign, SOON).is_ok(),
            _ => said,
        })
    }
}

impl Car {
    /// Looks for open ports as the attackers did: whether the message bus's is, and when that began.
    fn search(&self, net: &Net) -> Result<(bool, Moment), Failure> {
        let ports = [6_666, 6_667, 23, 22].map(|port| format!("{UNIT}:{port}")).join(" ");
        // His own address, not the one of the link.
        net.prefer("mobile", ATTACKER, UNIT)?;
        let mut scan = net.start("mobile-scan", &mut net.peer("mobile", &format!("scan {ports}")))?;
        let first = scan.expect("first", PATIENCE)?;
        scan.expect("scanned", PATIENCE)?;
        Ok((scan.said(&format!("open {UNIT}:6667")).is_some(), first.at))
    }

    /// Has the unit run a command; whether it answered.
    fn invoke(&self, net: &Net, command: &str) -> Result<bool, Failure> {
        let mut call = net.command("mobile", "dbus-send");
        call.arg(format!("--bus=tcp:host={UNIT},port=6667,family=ipv4")).args([
            "--print-reply",
            "--reply-timeout=900",
            "--dest=com.harman.service.NavTrailService",
            "/com/harman/service/NavTrailService",
            "com.harman.ServiceIpc.Invoke",
            "string:execute",
            &format!("string:{command}"),
        ]);
        net.succeeds("mobile-dbus-send", &mut call, CALL)
    }
}
