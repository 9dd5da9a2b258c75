//! A device fetches a program: see [`DETECTOR`].

use model::{Host, OperationKind, Outcome, Severity, Side, What};

use super::{dead_drop, roles};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds devices that fetch programs.
pub(super) const DETECTOR: Rule = Rule {
    id: "executable-download",
    title: "Program fetched by a device",
    severity: Severity::High,
    attack: &["T1105", "T0867", "T1570"],
    finds: "A device on which nobody works fetches a program or a script in the clear: by HTTP or TFTP with the mark of \
            one in its first bytes, or by TFTP or FTP under the name of one. Of devices whose kind is not known, only \
            programs for Linux and scripts from a server without a name. A program from a server with a name is \
            most likely an update, which anybody on the way could replace.",
    matters: "This is how malware comes onto cameras, routers and controllers: a small script fetches the program for the \
              right processor. Firmware from the maker comes in other forms.",
    fix: "Look at what else the device did at that time, above all who logged in to it before. If the maker distributes \
          updates in this way, declare it as expected.",
    thresholds: &[],
    listens: &[Kind::Operation],
    keeps: "nothing",
    start: || Box::new(ExecutableDownload),
};

struct ExecutableDownload;

/// Ends of names under which programs for small devices are offered.
const ENDS: [&str; 18] = [
    ".sh", ".elf", ".exe", ".arm", ".arm4", ".arm5", ".arm6", ".arm7", ".mips", ".mpsl", ".mipsel", ".x86",
    ".i686", ".ppc", ".sh4", ".m68k", ".spc", ".arc",
];

/// Whether a locator names its server by its address.
fn is_without_name(target: &str) -> bool {
    let host = target.split('/').next().unwrap_or_default();
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(host, _)| host);
    host.parse::<std::net::IpAddr>().is_ok()
}

impl Detector for ExecutableDownload {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.kind != OperationKind::TransferFile || operation.outcome == Outcome::Refused {
            return;
        }
        let mark = operation.value.as_ref().and_then(model::Value::as_str);
        let marked = mark.filter(|mark| *mark != dead_drop::LOCATED);
        let target = operation.target.as_deref().unwrap_or("a file without a name");
        let named = ENDS.iter().find(|end| target.to_ascii_lowercase().ends_with(**end)).map(|end| &end[1..]);
        let is_fetched = match &*operation.protocol {
            "http" => marked.is_some() && operation.name == "get",
            "tftp" => marked.is_some() || named.is_some() && operation.name == "read-request",
            "ftp" => named.is_some() && operation.name == "retr",
            _ => false,
        };
        let Some(kind) = marked.or(named).filter(|_| is_fetched) else { return };
        let from: Host = operation.flow.endpoint(operation.from.other()).host;
        let fetcher = operation.flow.endpoint(operation.from).host;
        let who = if operation.from == Side::Client { seen.client } else { seen.server };
        if !who.is_somebody() || seen.site.is_external(&fetcher) {
            return;
        }
        let role = seen.site.glance(&fetcher).and_then(|known| known.role);
        let is_suspect = match role {
            Some(_) => seen.site.is_one_of(&fetcher, roles::THINGS),
            None => matches!(kind, "elf" | "script" | "sh") && is_without_name(target),
        };
        if !is_suspect {
            return;
        }
        // Antonakakis et al., "Understanding the Mirai Botnet" (USENIX Security 2017): loaders name servers by address.
        // Makers have names; what they send in the clear can be replaced on the way.
        let severity = match (role, kind, operation.protocol == "http" && !is_without_name(target)) {
            (None, ..) => Severity::Medium,
            (Some(_), "elf" | "pe" | "dex" | "mach-o", true) => Severity::Low,
            (Some(_), ..) => Severity::High,
        };
        let shown = role.unwrap_or("device of an unknown kind");
        let alarm = Alarm::about(fetcher)
            .to(from)
            .flow(operation.flow.id)
            .severity(severity)
            .factor("kind of program", kind, "none")
            .factor("file", target, "none");
        let protocol = &operation.protocol;
        out.raise(alarm, || {
            format!("{fetcher}, a {shown}, fetched a program ({kind}) from {from} by {protocol}: {target}")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind::TransferFile, Outcome, Role, Severity, Value};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn get(target: &str, kind: &str) -> Operation {
        let get = operation("10.0.0.5", "203.0.113.6", "http", TransferFile, "get", Outcome::Done);
        get.on(target).writing(Value::Text(kind.into()))
    }

    #[test]
    fn programs_for_devices_are_told_once_for_each_server() {
        let story = Story::of(&DETECTOR)
            .with_host("10.0.0.5")
            .plays("10.0.0.5", Role::Camera)
            .asks(get("203.0.113.6/bins.sh", "script"))
            .asks(get("203.0.113.6/mirai.arm7", "elf"))
            .asks(
                operation("10.0.0.5", "203.0.113.6", "tftp", TransferFile, "read-request", Outcome::Asked)
                    .on("x.mips"),
            );
        assert_eq!(story.only().count, 3);
        assert_eq!(story.only().severity, Severity::High);
        let update = Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", Role::Camera);
        assert_eq!(update.asks(get("cdn.example.com/fw", "elf")).only().severity, Severity::Low);
        let unknown = Story::of(&DETECTOR).with_host("10.0.0.5").asks(get("203.0.113.6:8080/x", "elf"));
        assert_eq!(unknown.findings().len(), 1);
    }

    #[test]
    fn computers_firmware_and_uploads_are_silent() {
        let story = |role| Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", role);
        story(Role::Workstation).asks(get("203.0.113.6/setup.exe", "pe")).silent();
        story(Role::Camera)
            .asks(
                operation("10.0.0.5", "10.0.0.2", "tftp", TransferFile, "read-request", Outcome::Asked)
                    .on("fw-2.1.bin"),
            )
            .asks(
                operation("10.0.0.5", "10.0.0.2", "ftp", TransferFile, "stor", Outcome::Done).on("backup.sh"),
            )
            .silent();
        // A computer that was never seen doing anything else installs software.
        Story::of(&DETECTOR).with_host("10.0.0.5").asks(get("download.example.com/tool", "elf")).silent();
    }
}
