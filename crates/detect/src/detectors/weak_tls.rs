//! Encryption that can be broken or proves nothing: see [`DETECTOR`].

use model::{Severity, Transport, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds servers with weak TLS.
pub(super) const DETECTOR: Rule = Rule {
    id: "weak-tls",
    title: "Weak TLS",
    severity: Severity::Low,
    attack: &["T1600", "T1557", "T1040"],
    finds: "A server of yours agrees to SSL or TLS before 1.2 (RFC 8996), to ciphers that are broken, hide nothing or \
            prove nothing (RFC 7465, RFC 9325), or shows a certificate that is out of date, has a short key or a weak \
            signature (NIST SP 800-131A), or that nobody vouches for.",
    matters: "Whoever is on the way may read or change what is sent, or pass himself off as the server.",
    fix: "Update the device or switch the old versions and ciphers off. Give it a certificate of an authority that its \
          clients know, and renew it in time.",
    thresholds: &[],
    listens: &[Kind::Weakness],
    keeps: "nothing",
    start: || Box::new(WeakTls),
};

struct WeakTls;

impl Detector for WeakTls {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Weakness(weakness) = seen.what else { return };
        let Some(("tls" | "dtls" | "quic", kind)) = weakness.kind.split_once('.') else { return };
        let whose = weakness.flow.endpoint(weakness.side);
        let (host, detail) = (whose.host, &weakness.detail);
        if !services::is_ours(seen.site, &host) {
            return;
        }
        let hides_nothing = ["_NULL_", "EXPORT", "_anon_"].iter().any(|part| detail.contains(part));
        let (severity, says) = match kind {
            "old-version" => (Severity::Low, "agrees to an old version"),
            "weak-cipher" if hides_nothing => (Severity::Medium, "agrees to a cipher that protects nothing"),
            "weak-cipher" => (Severity::Low, "agrees to a weak cipher"),
            "weak-key" => (Severity::Low, "shows a certificate with a short key"),
            "weak-signature" => (Severity::Low, "shows a certificate with a weak signature"),
            "expired-certificate" => (Severity::Low, "shows a certificate that has expired"),
            "certificate-not-yet-valid" => (Severity::Low, "shows a certificate that is not valid yet"),
            // WebRTC makes its own for each call and tells the other side beforehand which (RFC 8827 clause 6.5).
            "self-signed-certificate" if weakness.flow.transport == Transport::Udp => return,
            // Most devices come with one.
            "self-signed-certificate" => (Severity::Info, "shows a certificate that nobody vouches for"),
            _ => return,
        };
        let alarm = Alarm::about(host).matter(kind).flow(weakness.flow.id).severity(severity).factor(
            kind_name(kind),
            detail,
            "none",
        );
        out.raise(alarm, || format!("{whose} {says}: {detail}"));
    }
}

/// A kind for people.
fn kind_name(kind: &str) -> &'static str {
    match kind {
        "old-version" => "version",
        "weak-cipher" => "cipher",
        "weak-key" => "key",
        "weak-signature" => "signature",
        "expired-certificate" | "certificate-not-yet-valid" => "limit of its validity",
        _ => "certificate",
    }
}

#[cfg(test)]
mod tests {
    use model::Severity;

    use super::DETECTOR;
    use crate::testing::{Story, weakness};

    #[test]
    fn each_weakness_of_a_server_is_told_once() {
        let mut story = Story::of(&DETECTOR);
        for client in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            story = story
                .then(weakness(client, "10.0.0.9", 443, "tls.old-version", "TLS 1.0"))
                .then(weakness(client, "10.0.0.9", 443, "tls.weak-cipher", "TLS_RSA_WITH_NULL_SHA"));
        }
        let findings = story.findings();
        assert_eq!(findings.len(), 2);
        assert_eq!(findings.iter().map(|finding| finding.severity).max(), Some(Severity::Medium));
    }

    #[test]
    fn servers_of_others_are_not_yours_to_mend() {
        Story::of(&DETECTOR)
            .then(weakness("10.0.0.1", "198.51.100.9", 443, "tls.old-version", "TLS 1.0"))
            .then(weakness("10.0.0.1", "10.0.0.9", 22, "ssh.weak-cipher", "3des-cbc"))
            .silent();
    }
}
