//! A service that asks nobody who he is: see [`DETECTOR`].

use model::{Severity, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds services that let everybody in.
pub(super) const DETECTOR: Rule = Rule {
    id: "unauthenticated-service",
    title: "Service without a login",
    severity: Severity::Low,
    attack: &["T0883", "T1190"],
    finds: "A service that lets a client in without a name and a password, although its protocol knows them: an MQTT \
            broker, a VNC screen, a camera's pictures, an anonymous file store.",
    matters: "Whoever reaches it can read it, and often change it: publish to a broker, operate a screen.",
    fix: "Switch the login on. If the service is meant for everybody, let only the networks reach it that need it.",
    thresholds: &[],
    listens: &[Kind::Weakness],
    keeps: "nothing",
    start: || Box::new(UnauthenticatedService),
};

struct UnauthenticatedService;

impl Detector for UnauthenticatedService {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Weakness(weakness) = seen.what else { return };
        let Some(protocol) = weakness.kind.strip_suffix(".no-authentication") else { return };
        let server = weakness.flow.endpoint(weakness.side).host;
        let client = weakness.flow.endpoint(weakness.side.other()).host;
        if !services::is_ours(seen.site, &server) {
            return;
        }
        let mut alarm = Alarm::about(server).matter(protocol).flow(weakness.flow.id).factor(
            "what it lets everybody do",
            &weakness.detail,
            "nothing before a login",
        );
        // Whoever sees the screen holds the mouse as well, and the Internet is full of people who look for them.
        if protocol == "rfb" || seen.site.is_external(&client) {
            alarm = alarm.severity(Severity::Medium);
        }
        out.raise(alarm, || format!("{server} lets everybody in by {protocol}: {}", weakness.detail));
    }
}

#[cfg(test)]
mod tests {
    use model::Severity;

    use super::DETECTOR;
    use crate::testing::{Story, weakness};

    #[test]
    fn an_open_broker_is_told_once_and_an_open_screen_is_worse() {
        let open = |client, protocol| weakness(client, "10.0.0.9", 1883, protocol, "open");
        let story = Story::of(&DETECTOR)
            .then(open("10.0.0.1", "mqtt.no-authentication"))
            .then(open("10.0.0.2", "mqtt.no-authentication"));
        assert_eq!((story.only().count, story.only().severity), (2, Severity::Low));
        let screen = Story::of(&DETECTOR).then(open("10.0.0.1", "rfb.no-authentication"));
        assert_eq!(screen.only().severity, Severity::Medium);
    }

    #[test]
    fn public_services_are_meant_to_be_open() {
        Story::of(&DETECTOR)
            .then(weakness("10.0.0.1", "198.51.100.9", 21, "ftp.no-authentication", "anonymous login"))
            .then(weakness("10.0.0.1", "10.0.0.9", 443, "tls.weak-cipher", "TLS_RSA_WITH_RC4_128_SHA"))
            .silent();
    }
}
