//! The aspects of a device, the states that they can be in, and the table that gives the access.

use std::fmt;

use model::{Access, Finding, Severity};
use serde::{Deserialize, Serialize};

/// What a device is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Whether it is who it says.
    Identity,
    /// Whether it has proven what runs on it (RFC 9334).
    Attestation,
    /// Whether weaknesses are known of what runs on it.
    Patch,
    /// What it does.
    Behaviour,
    /// Who can get at it.
    Exposure,
}

impl Aspect {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Attestation, Self::Patch, Self::Behaviour, Self::Exposure];

    /// The name as it stands in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Attestation => "attestation",
            Self::Patch => "patch",
            Self::Behaviour => "behaviour",
            Self::Exposure => "exposure",
        }
    }

    /// The state without any evidence.
    pub const fn usual(self) -> State {
        match self {
            Self::Identity => State::Known,
            Self::Attestation => State::Absent,
            Self::Patch => State::Unknown,
            Self::Behaviour => State::Clean,
            Self::Exposure => State::Internal,
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The state of an aspect. Of several that evidence speaks for, the later one here is what the aspect is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Identity: it has been there for long enough, and nothing speaks against it.
    Known,
    /// Identity: it appeared not long ago in a place that was watched already.
    New,
    /// Identity: it has proven who it is, by a certificate.
    Proven,
    /// Identity: another device claims to be it.
    Conflicting,
    /// Attestation: none was ever heard.
    Absent,
    /// Attestation: what runs on it is what is meant to.
    Verified,
    /// Attestation: the last good one is too old.
    Stale,
    /// Attestation: what runs on it is not what is meant to.
    Failed,
    /// Patch: nobody has said.
    Unknown,
    /// Patch: no weakness is known.
    Current,
    /// Patch: a weakness is known.
    Vulnerable,
    /// Patch: a weakness is known that attackers use.
    Exploited,
    /// Behaviour: nothing speaks against it.
    Clean,
    /// Behaviour: a finding of medium severity is open.
    Suspicious,
    /// Behaviour: a finding of high severity or worse is open.
    Attacking,
    /// Exposure: nothing is known that would let a stranger in.
    Internal,
    /// Exposure: a service whose protection is weak.
    WeakService,
    /// Exposure: it can be reached from the Internet.
    Reachable,
    /// Exposure: it accepts a password that everybody knows.
    DefaultPassword,
}

impl State {
    /// All, by aspect.
    pub const ALL: [Self; 19] = [
        Self::Known,
        Self::New,
        Self::Proven,
        Self::Conflicting,
        Self::Absent,
        Self::Verified,
        Self::Stale,
        Self::Failed,
        Self::Unknown,
        Self::Current,
        Self::Vulnerable,
        Self::Exploited,
        Self::Clean,
        Self::Suspicious,
        Self::Attacking,
        Self::Internal,
        Self::WeakService,
        Self::Reachable,
        Self::DefaultPassword,
    ];

    /// The aspect whose state it is.
    pub const fn aspect(self) -> Aspect {
        match self {
            Self::Known | Self::New | Self::Proven | Self::Conflicting => Aspect::Identity,
            Self::Absent | Self::Verified | Self::Stale | Self::Failed => Aspect::Attestation,
            Self::Unknown | Self::Current | Self::Vulnerable | Self::Exploited => Aspect::Patch,
            Self::Clean | Self::Suspicious | Self::Attacking => Aspect::Behaviour,
            Self::Internal | Self::WeakService | Self::Reachable | Self::DefaultPassword => Aspect::Exposure,
        }
    }

    /// The name as it stands in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Proven => "proven",
            Self::Conflicting => "conflicting",
            Self::Absent => "absent",
            Self::Verified => "verified",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Current => "current",
            Self::Vulnerable => "vulnerable",
            Self::Exploited => "exploited",
            Self::Clean => "clean",
            Self::Suspicious => "suspicious",
            Self::Attacking => "attacking",
            Self::Internal => "internal",
            Self::WeakService => "weak-service",
            Self::Reachable => "reachable",
            Self::DefaultPassword => "default-password",
        }
    }

    /// How far it can take a device down, by itself or with others.
    pub fn weight(self) -> Access {
        let rules = RULES.iter().filter(|rule| rule.when.contains(&self));
        rules.map(|rule| rule.access).max().unwrap_or_default()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A row of the table: while all of its states hold, a device gets no more than its access.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The states, of different aspects or of one.
    pub when: &'static [State],
    /// The most that the device gets.
    pub access: Access,
    /// Why.
    pub why: &'static str,
    /// What would raise it.
    pub raise: &'static str,
}

/// The table. A device gets the least that any of its rows gives, and all where none does. Rows of one state are the
/// criteria, rows of two the context, in the words of NIST SP 800-207, section 3.3.1.
pub const RULES: &[Rule] = &[
    Rule {
        when: &[State::Attacking],
        access: Access::Quarantine,
        why: "it attacks others",
        raise: "clean it, or judge what was found as expected or false; or it does nothing of the kind for 24 hours",
    },
    Rule {
        when: &[State::Failed],
        access: Access::Quarantine,
        why: "what runs on it is not what is meant to",
        raise: "install firmware that is known to be good, and let it attest that",
    },
    Rule {
        when: &[State::Suspicious, State::Conflicting],
        access: Access::Quarantine,
        why: "it does what is suspicious under an identity that another device claims",
        raise: "find out which of the two is genuine, and take the other one off the network",
    },
    Rule {
        when: &[State::Suspicious, State::New],
        access: Access::Quarantine,
        why: "it does what is suspicious, and nobody knows it yet",
        raise: "find out what it is; enrol it, or judge what was found as expected or false",
    },
    Rule {
        when: &[State::Exploited, State::Reachable],
        access: Access::Quarantine,
        why: "it has a weakness that attackers use, and they can reach it",
        raise: "close the way from the Internet, or install the update",
    },
    Rule {
        when: &[State::DefaultPassword, State::Reachable],
        access: Access::Quarantine,
        why: "everybody knows its password, and everybody can reach it",
        raise: "change the password, and close the way from the Internet",
    },
    Rule {
        when: &[State::Suspicious],
        access: Access::Limited,
        why: "it does what is suspicious",
        raise: "look at the finding and judge it; or it does nothing of the kind for 24 hours",
    },
    Rule {
        when: &[State::Conflicting],
        access: Access::Limited,
        why: "another device claims to be it",
        raise: "give one of the two another address; or nothing of the kind is seen for 24 hours",
    },
    Rule {
        when: &[State::New],
        access: Access::Limited,
        why: "it is new here",
        raise: "enrol it, so that it proves who it is; or it is known for 24 hours",
    },
    Rule {
        when: &[State::Stale],
        access: Access::Limited,
        why: "it has not attested for too long what runs on it",
        raise: "let it attest again",
    },
    Rule {
        when: &[State::Exploited],
        access: Access::Limited,
        why: "it has a weakness that attackers use",
        raise: "install the update",
    },
    Rule {
        when: &[State::Vulnerable, State::Reachable],
        access: Access::Limited,
        why: "it has a known weakness and can be reached from the Internet",
        raise: "install the update, or close the way from the Internet",
    },
    Rule {
        when: &[State::DefaultPassword],
        access: Access::Limited,
        why: "everybody knows its password",
        raise: "change the password",
    },
    Rule {
        when: &[State::Reachable],
        access: Access::Limited,
        why: "it can be reached from the Internet",
        raise: "close the port in the firewall, or judge what was found as expected",
    },
];

/// Detectors that tell of something else than behaviour: the state that their findings of at least this severity speak for.
pub const FINDINGS: &[(&str, Severity, State)] = &[
    ("address-conflict", Severity::Medium, State::Conflicting),
    ("default-credentials", Severity::Medium, State::DefaultPassword),
    ("exposed-address", Severity::Medium, State::Reachable),
    ("exposed-device", Severity::Medium, State::Reachable),
    ("remote-access", Severity::Medium, State::Reachable),
    ("cleartext-management", Severity::Low, State::WeakService),
    ("unauthenticated-service", Severity::Low, State::WeakService),
    ("weak-ssh", Severity::Low, State::WeakService),
    ("weak-tls", Severity::Low, State::WeakService),
];

/// What a finding says of its actor. Findings that are told only because of others say nothing more than those do.
pub fn says(finding: &Finding) -> Option<State> {
    if !finding.because.is_empty() {
        return None;
    }
    // Passwords that were tried cross a threshold, one that is accepted needs none.
    let is_tried = &*finding.detector == "default-credentials" && finding.crossed.is_some();
    let row = FINDINGS.iter().find(|(detector, ..)| !is_tried && *detector == &*finding.detector);
    match (row, finding.severity) {
        (Some((_, least, state)), severity) => (severity >= *least).then_some(*state),
        (None, Severity::High | Severity::Critical) => Some(State::Attacking),
        (None, Severity::Medium) => Some(State::Suspicious),
        (None, Severity::Low | Severity::Info) => None,
    }
}
