//! A device chats: see [`DETECTOR`].

use model::{OperationKind, Severity, What};

use super::roles;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds devices that are steered over IRC.
pub(super) const DETECTOR: Rule = Rule {
    id: "irc-botnet",
    title: "Steered over IRC",
    severity: Severity::High,
    attack: &["T1071", "T0869"],
    finds: "A device that is no computer for people registers at a server of Internet Relay Chat or joins a channel.",
    matters: "Nobody chats on a camera. Worms such as Tsunami and its kin gather their devices in a channel and give \
              orders there.",
    fix: "Take the device off the network and set it up anew with current firmware and another password. Block the \
          server, and look for others that talk to it.",
    thresholds: &[],
    listens: &[Kind::Operation],
    keeps: "nothing",
    start: || Box::new(IrcBotnet),
};

struct IrcBotnet;

impl Detector for IrcBotnet {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        let speaks = matches!(operation.kind, OperationKind::Authenticate | OperationKind::Subscribe);
        if operation.protocol != "irc" || !speaks {
            return;
        }
        let asked = seen.asked(operation);
        let (client, server) = (asked.asker.host, asked.asked);
        if !asked.who.is_somebody()
            || seen.site.is_external(&client)
            || seen.site.is_one_of(&client, roles::COMPUTERS)
        {
            return;
        }
        let role = seen.site.glance(&client).and_then(|known| known.role);
        // Of what is not known, it may be somebody's computer.
        let severity = if role.is_some() { Severity::High } else { Severity::Medium };
        let channel = operation.target.as_deref().unwrap_or("not known");
        let mut alarm = Alarm::about(client)
            .flow(operation.flow.id)
            .severity(severity)
            .factor("server", server, "none")
            .factor("channel", channel, "none");
        if seen.site.is_external(&server.host) {
            alarm = alarm.to(server.host);
        }
        let role = role.unwrap_or("device of an unknown kind");
        out.raise(alarm, || format!("{client}, a {role}, takes part in a chat (IRC) at {server}"));
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Subscribe, Outcome, Role};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    #[test]
    fn a_camera_that_chats_is_told_and_a_person_is_not() {
        let join = || operation("10.0.0.5", "203.0.113.6", "irc", Subscribe, "join", Outcome::Asked).on("#x");
        let story = |role| {
            Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", role).asks(join()).asks(join())
        };
        assert_eq!(story(Role::Camera).only().count, 2);
        story(Role::Workstation).silent();
        story(Role::Mobile).silent();
    }
}
