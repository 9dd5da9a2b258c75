//! What an identification line says about the software and the system behind it.

use model::{Attribute, Confidence, Role, Side};

use crate::proto::Emit;

const SOURCE: &str = "ssh.identification";

/// How some makers' software names itself, and what it then runs on: vendor, operating system.
const PREFIXES: &[(&str, &str, &str)] = &[
    ("Cisco-", "Cisco", "Cisco IOS"),
    ("Comware-", "H3C", "Comware"),
    ("FortiSSH", "Fortinet", "FortiOS"),
    ("HUAWEI-", "Huawei", "VRP"),
    ("NetScreen", "Juniper", "ScreenOS"),
    ("OpenSSH_for_Windows", "", "Windows"),
    ("ROSSSH", "MikroTik", "RouterOS"),
    ("Sun_SSH", "", "Solaris"),
    ("WinSCP", "", "Windows"),
    ("lancom", "LANCOM", "LCOS"),
    ("mpSSH", "Hewlett Packard Enterprise", "iLO"),
];

/// Programs that only people at a desk use.
const DESKTOP: &[&str] = &["PuTTY", "WinSCP", "SecureCRT", "TTSSH", "Termius"];

/// Which release of Ubuntu ships which OpenSSH.
const UBUNTU: &[(&str, &str)] = &[
    ("5.9p1", "12.04"),
    ("6.6.1p1", "14.04"),
    ("7.2p2", "16.04"),
    ("7.6p1", "18.04"),
    ("8.2p1", "20.04"),
    ("8.9p1", "22.04"),
    ("9.6p1", "24.04"),
];

/// Which release of Debian ships which OpenSSH.
const DEBIAN: &[(&str, &str)] = &[
    ("6.0p1", "7"),
    ("6.7p1", "8"),
    ("7.4p1", "9"),
    ("7.9p1", "10"),
    ("8.4p1", "11"),
    ("9.2p1", "12"),
    ("10.0p1", "13"),
    ("10.0p2", "13"),
];

/// Tells what `software` and `comments` of an identification line say about `from`.
pub(super) fn facts(from: Side, software: &str, comments: &str, out: &mut Emit<'_>) {
    let (name, version) = split(software);
    let shown = if version.is_empty() { name.to_owned() } else { format!("{name} {version}") };
    out.fact(from, Attribute::Software, shown, SOURCE, Confidence::STRONG);
    if let Some(system) = system(version, comments) {
        out.fact(from, Attribute::OperatingSystem, system, SOURCE, Confidence::STRONG);
    }
    if let Some((_, vendor, system)) = PREFIXES.iter().find(|(prefix, ..)| software.starts_with(prefix)) {
        out.fact(from, Attribute::Vendor, vendor, SOURCE, Confidence::LIKELY);
        out.fact(from, Attribute::OperatingSystem, system, SOURCE, Confidence::LIKELY);
    }
    if name == "Dropbear" {
        // Made for small Linux systems, and hardly seen on others.
        out.fact(from, Attribute::OperatingSystem, "Linux", SOURCE, Confidence::HINT);
    }
    if DESKTOP.iter().any(|prefix| software.starts_with(prefix)) {
        out.role(from, Role::Workstation, SOURCE, Confidence::HINT);
    }
}

/// The name and the version of the software: `OpenSSH_9.2p1`, `dropbear_2022.83`, `Cisco-1.25`.
fn split(software: &str) -> (&str, &str) {
    let at = software
        .char_indices()
        .find(|(at, c)| {
            matches!(c, '_' | '-')
                && software.get(at + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(|(at, _)| at);
    let (name, version) = match at {
        Some(at) => (software.get(..at).unwrap_or_default(), software.get(at + 1..).unwrap_or_default()),
        None => (software, ""),
    };
    // The first SSH of all gives its version only.
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return ("SSH", software);
    }
    let name = match name {
        "dropbear" => "Dropbear",
        "OpenSSH_for_Windows" => "OpenSSH",
        "PuTTY_Release" => "PuTTY",
        "WinSCP_release" => "WinSCP",
        other => other,
    };
    (name, version)
}

/// The operating system that a distribution's comment names, with its release where that can be told.
fn system(version: &str, comments: &str) -> Option<String> {
    let name = comments.split(['-', ' ']).next()?;
    let release = |table: &[(&str, &'static str)]| {
        table.iter().find(|(shipped, _)| *shipped == version).map(|(_, release)| *release)
    };
    // Updates of a stable Debian carry its number: 5+deb8u3.
    let updated = || {
        let rest = comments.split_once("deb")?.1;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest.get(..end).filter(|digits| !digits.is_empty())
    };
    let release = match name {
        "Ubuntu" => release(UBUNTU),
        "Debian" => updated().or_else(|| release(DEBIAN)),
        "Raspbian" => updated().or_else(|| release(DEBIAN)),
        "FreeBSD" | "NetBSD" | "DragonFly" | "Devuan" => None,
        _ => return None,
    };
    Some(release.map_or_else(|| name.to_owned(), |release| format!("{name} {release}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_come_apart() {
        assert_eq!(split("OpenSSH_9.2p1"), ("OpenSSH", "9.2p1"));
        assert_eq!(split("dropbear_2022.83"), ("Dropbear", "2022.83"));
        assert_eq!(split("dropbear"), ("Dropbear", ""));
        assert_eq!(split("OpenSSH_for_Windows_8.1"), ("OpenSSH", "8.1"));
        assert_eq!(split("Cisco-1.25"), ("Cisco", "1.25"));
        assert_eq!(split("PuTTY_Release_0.70"), ("PuTTY", "0.70"));
        assert_eq!(split("ROSSSH"), ("ROSSSH", ""));
        assert_eq!(split("1.2.26"), ("SSH", "1.2.26"));
        assert_eq!(split("é_é"), ("é_é", ""));
    }

    #[test]
    fn distributions_are_told_from_comments_and_versions() {
        assert_eq!(system("8.9p1", "Ubuntu-3ubuntu0.1").as_deref(), Some("Ubuntu 22.04"));
        assert_eq!(system("6.7p1", "Raspbian-5+deb8u3").as_deref(), Some("Raspbian 8"));
        assert_eq!(system("9.2p1", "Debian-2").as_deref(), Some("Debian 12"));
        assert_eq!(system("5.4p1", "FreeBSD-20110503").as_deref(), Some("FreeBSD"));
        assert_eq!(system("1.1", "Ubuntu").as_deref(), Some("Ubuntu"));
        assert_eq!(system("9.2", ""), None);
        assert_eq!(system("9.2", "hello"), None);
    }
}
