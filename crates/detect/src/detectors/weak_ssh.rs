//! SSH that can be broken: see [`DETECTOR`].

use model::{Severity, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds servers with weak SSH.
pub(super) const DETECTOR: Rule = Rule {
    id: "weak-ssh",
    title: "Weak SSH",
    severity: Severity::Low,
    attack: &["T1600", "T1557", "T1040"],
    finds: "A server of yours speaks version 1 of SSH, or agrees to key exchanges, host keys, ciphers or checksums that \
            should not be used any more (RFC 9142, RFC 8758, NIST SP 800-131A).",
    matters: "Whoever is on the way may read what is typed, passwords included, or pass himself off as the server.",
    fix: "Update the device's SSH server, or switch version 1 and the old algorithms off.",
    thresholds: &[],
    listens: &[Kind::Weakness],
    keeps: "nothing",
    start: || Box::new(WeakSsh),
};

struct WeakSsh;

impl Detector for WeakSsh {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Weakness(weakness) = seen.what else { return };
        let Some(kind) = weakness.kind.strip_prefix("ssh.") else { return };
        let whose = weakness.flow.endpoint(weakness.side);
        let detail = &weakness.detail;
        if !services::is_ours(seen.site, &whose.host) {
            return;
        }
        let (severity, says) = match kind {
            "version-1" => (Severity::Medium, "speaks version 1 of SSH"),
            "weak-key-exchange" => (Severity::Low, "agrees to a weak key exchange"),
            "weak-host-key" => (Severity::Low, "shows a weak host key"),
            "weak-cipher" => (Severity::Low, "agrees to a weak cipher"),
            "weak-mac" => (Severity::Low, "agrees to a weak checksum"),
            _ => return,
        };
        let alarm = Alarm::about(whose.host).matter(kind).flow(weakness.flow.id).severity(severity).factor(
            "what was agreed",
            detail,
            "what RFC 9142 recommends",
        );
        out.raise(alarm, || format!("{whose} {says}: {detail}"));
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, weakness};

    #[test]
    fn a_weak_server_is_told_once_and_others_are_not() {
        let weak = |client, server| weakness(client, server, 22, "ssh.weak-cipher", "3des-cbc");
        let story = Story::of(&DETECTOR)
            .then(weak("10.0.0.1", "10.0.0.9"))
            .then(weak("10.0.0.2", "10.0.0.9"))
            .then(weak("10.0.0.1", "198.51.100.9"))
            .then(weakness("10.0.0.1", "10.0.0.9", 443, "tls.weak-cipher", "TLS_RSA_WITH_RC4_128_SHA"));
        assert_eq!(story.only().count, 2);
    }
}
