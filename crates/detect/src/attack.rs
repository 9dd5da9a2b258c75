//! Techniques of MITRE ATT&CK (Enterprise and ICS, version 18.1) that detectors name: their names and tactics.

/// A technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// Its id: `T1046`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The tactic that it serves here; some serve several.
    pub tactic: Tactic,
}

/// What an attacker wants to reach with a technique, in the order in which attacks go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tactic {
    /// Nothing yet: a weakness.
    None,
    /// Gather what helps later.
    Reconnaissance,
    /// Get in.
    InitialAccess,
    /// Run code.
    Execution,
    /// Stay.
    Persistence,
    /// Hide.
    Evasion,
    /// Steal names and passwords.
    CredentialAccess,
    /// Find out what is there.
    Discovery,
    /// Go on to others.
    LateralMovement,
    /// Gather what is wanted.
    Collection,
    /// Stay in touch.
    CommandAndControl,
    /// Take it out.
    Exfiltration,
    /// Keep safety and protection from answering.
    InhibitResponseFunction,
    /// Change the process.
    ImpairProcessControl,
    /// Do harm.
    Impact,
}

impl Tactic {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "weakness",
            Self::Reconnaissance => "reconnaissance",
            Self::InitialAccess => "initial access",
            Self::Execution => "execution",
            Self::Persistence => "persistence",
            Self::Evasion => "evasion",
            Self::CredentialAccess => "credential access",
            Self::Discovery => "discovery",
            Self::LateralMovement => "lateral movement",
            Self::Collection => "collection",
            Self::CommandAndControl => "command and control",
            Self::Exfiltration => "exfiltration",
            Self::InhibitResponseFunction => "inhibit response function",
            Self::ImpairProcessControl => "impair process control",
            Self::Impact => "impact",
        }
    }
}

/// The techniques that are named, by id.
pub static TECHNIQUES: &[Technique] = {
    use Tactic::*;
    const fn t(id: &'static str, name: &'static str, tactic: Tactic) -> Technique {
        Technique { id, name, tactic }
    }
    &[
        t("T0800", "Activate Firmware Update Mode", InhibitResponseFunction),
        t("T0801", "Monitor Process State", Collection),
        t("T0802", "Automated Collection", Collection),
        t("T0803", "Block Command Message", InhibitResponseFunction),
        t("T0804", "Block Reporting Message", InhibitResponseFunction),
        t("T0806", "Brute Force I/O", ImpairProcessControl),
        t("T0809", "Data Destruction", InhibitResponseFunction),
        t("T0811", "Data from Information Repositories", Collection),
        t("T0812", "Default Credentials", LateralMovement),
        t("T0813", "Denial of Control", Impact),
        t("T0814", "Denial of Service", InhibitResponseFunction),
        t("T0815", "Denial of View", Impact),
        t("T0816", "Device Restart/Shutdown", InhibitResponseFunction),
        t("T0821", "Modify Controller Tasking", Execution),
        t("T0822", "External Remote Services", InitialAccess),
        t("T0826", "Loss of Availability", Impact),
        t("T0830", "Adversary-in-the-Middle", Collection),
        t("T0831", "Manipulation of Control", Impact),
        t("T0832", "Manipulation of View", Impact),
        t("T0835", "Manipulate I/O Image", InhibitResponseFunction),
        t("T0836", "Modify Parameter", ImpairProcessControl),
        t("T0838", "Modify Alarm Settings", InhibitResponseFunction),
        t("T0839", "Module Firmware", Persistence),
        t("T0840", "Network Connection Enumeration", Discovery),
        t("T0842", "Network Sniffing", Discovery),
        t("T0843", "Program Download", LateralMovement),
        t("T0845", "Program Upload", Collection),
        t("T0846", "Remote System Discovery", Discovery),
        t("T0848", "Rogue Master", InitialAccess),
        t("T0855", "Unauthorized Command Message", ImpairProcessControl),
        t("T0856", "Spoof Reporting Message", ImpairProcessControl),
        t("T0857", "System Firmware", Persistence),
        t("T0858", "Change Operating Mode", Execution),
        t("T0859", "Valid Accounts", LateralMovement),
        t("T0861", "Point & Tag Identification", Collection),
        t("T0866", "Exploitation of Remote Services", LateralMovement),
        t("T0867", "Lateral Tool Transfer", LateralMovement),
        t("T0868", "Detect Operating Mode", Collection),
        t("T0869", "Standard Application Layer Protocol", CommandAndControl),
        t("T0878", "Alarm Suppression", InhibitResponseFunction),
        t("T0883", "Internet Accessible Device", InitialAccess),
        t("T0884", "Connection Proxy", CommandAndControl),
        t("T0885", "Commonly Used Port", CommandAndControl),
        t("T0886", "Remote Services", LateralMovement),
        t("T0888", "Remote System Information Discovery", Discovery),
        t("T0889", "Modify Program", Persistence),
        t("T0891", "Hardcoded Credentials", LateralMovement),
        t("T1008", "Fallback Channels", CommandAndControl),
        t("T1020", "Automated Exfiltration", Exfiltration),
        t("T1021", "Remote Services", LateralMovement),
        t("T1021.001", "Remote Desktop Protocol", LateralMovement),
        t("T1021.002", "SMB/Windows Admin Shares", LateralMovement),
        t("T1021.004", "SSH", LateralMovement),
        t("T1040", "Network Sniffing", CredentialAccess),
        t("T1041", "Exfiltration Over C2 Channel", Exfiltration),
        t("T1046", "Network Service Discovery", Discovery),
        t("T1048", "Exfiltration Over Alternative Protocol", Exfiltration),
        t("T1071", "Application Layer Protocol", CommandAndControl),
        t("T1071.001", "Web Protocols", CommandAndControl),
        t("T1071.004", "DNS", CommandAndControl),
        t("T1072", "Software Deployment Tools", LateralMovement),
        t("T1078.001", "Default Accounts", InitialAccess),
        t("T1090", "Proxy", CommandAndControl),
        t("T1090.003", "Multi-hop Proxy", CommandAndControl),
        t("T1095", "Non-Application Layer Protocol", CommandAndControl),
        t("T1102.001", "Dead Drop Resolver", CommandAndControl),
        t("T1105", "Ingress Tool Transfer", CommandAndControl),
        t("T1110", "Brute Force", CredentialAccess),
        t("T1110.001", "Password Guessing", CredentialAccess),
        t("T1110.003", "Password Spraying", CredentialAccess),
        t("T1133", "External Remote Services", InitialAccess),
        t("T1190", "Exploit Public-Facing Application", InitialAccess),
        t("T1200", "Hardware Additions", InitialAccess),
        t("T1210", "Exploitation of Remote Services", LateralMovement),
        t("T1219", "Remote Access Tools", CommandAndControl),
        t("T1498", "Network Denial of Service", Impact),
        t("T1499", "Endpoint Denial of Service", Impact),
        t("T1505", "Server Software Component", Persistence),
        t("T1552", "Unsecured Credentials", CredentialAccess),
        t("T1557", "Adversary-in-the-Middle", CredentialAccess),
        t("T1557.002", "ARP Cache Poisoning", CredentialAccess),
        t("T1557.003", "DHCP Spoofing", CredentialAccess),
        t("T1565", "Data Manipulation", Impact),
        t("T1567", "Exfiltration Over Web Service", Exfiltration),
        t("T1568.002", "Domain Generation Algorithms", CommandAndControl),
        t("T1569.002", "Service Execution", Execution),
        t("T1570", "Lateral Tool Transfer", LateralMovement),
        t("T1571", "Non-Standard Port", CommandAndControl),
        t("T1572", "Protocol Tunneling", CommandAndControl),
        t("T1573", "Encrypted Channel", CommandAndControl),
        t("T1595", "Active Scanning", Reconnaissance),
        t("T1600", "Weaken Encryption", Evasion),
    ]
};

/// The technique of that id, if it is one that is named.
pub fn technique(id: &str) -> Option<&'static Technique> {
    let at = TECHNIQUES.binary_search_by(|known| known.id.cmp(id)).ok()?;
    Some(&TECHNIQUES[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::DETECTORS;

    #[test]
    fn techniques_are_in_order_and_all_that_detectors_name_are_known() {
        assert!(TECHNIQUES.is_sorted_by(|a, b| a.id < b.id));
        for rule in DETECTORS {
            for id in rule.attack {
                assert!(technique(id).is_some(), "{} names {id}", rule.id);
            }
        }
    }
}
