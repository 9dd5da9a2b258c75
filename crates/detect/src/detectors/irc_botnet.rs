//! A device chats: see [`DETECTOR`].

use model::{Endpoint, FlowHead, FlowId, Host, OperationKind, Severity, What};

use super::roles;
use crate::judge::{Alarm, Asked, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds devices that are steered over IRC.
pub(super) const DETECTOR: Rule = Rule {
    id: "irc-botnet",
    title: "Steered over IRC",
    severity: Severity::High,
    attack: &["T1071", "T0869"],
    finds: "A device that is no computer for people registers at a server of Internet Relay Chat, joins a \
            channel or otherwise talks to such a server.",
    matters: "Nobody chats on a camera. Worms such as Tsunami and its kin gather their devices in a channel and give \
              orders there.",
    fix: "Take the device off the network and set it up anew with current firmware and another password. Block the \
          server, and look for others that talk to it.",
    thresholds: &[],
    listens: &[Kind::Ended, Kind::Operation],
    keeps: "nothing",
    start: || Box::new(IrcBotnet),
};

struct IrcBotnet;

impl Detector for IrcBotnet {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            What::Operation(operation) if operation.protocol == "irc" => {
                let speaks = matches!(operation.kind, OperationKind::Authenticate | OperationKind::Subscribe);
                let Asked { who, asker, asked, .. } = seen.asked(operation);
                if speaks && who.is_somebody() {
                    tell(asker.host, asked, operation.target.as_deref(), operation.flow.id, out);
                }
            }
            // Where only records of conversations are seen, or the registration was not.
            What::FlowEnded(record) if record.protocol.as_deref() == Some("irc") => {
                if seen.client.is_somebody() && record.sent.payload > 0 && record.received.payload > 0 {
                    let FlowHead { client, server, id, .. } = &record.head;
                    tell(client.host, server, None, *id, out);
                }
            }
            _ => {}
        }
    }
}

fn tell(client: Host, server: &Endpoint, channel: Option<&str>, flow: FlowId, out: &mut Out<'_>) {
    let site = out.site();
    if site.is_external(&client) || site.is_one_of(&client, roles::COMPUTERS) {
        return;
    }
    let role = site.glance(&client).and_then(|known| known.role);
    // Of what is not known, it may be somebody's computer.
    let severity = if role.is_some() { Severity::High } else { Severity::Medium };
    let mut alarm = Alarm::about(client)
        .flow(flow)
        .severity(severity)
        .factor("server", server, "none")
        .factor("channel", channel.unwrap_or("not known"), "none");
    if site.is_external(&server.host) {
        alarm = alarm.to(server.host);
    }
    let role = role.unwrap_or("device of an unknown kind").to_owned();
    out.raise(alarm, || format!("{client}, a {role}, takes part in a chat (IRC) at {server}"));
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Subscribe, Outcome, Role};

    use super::DETECTOR;
    use crate::testing::{On, Story, answered, operation, unanswered};

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

    #[test]
    fn records_of_chats_are_enough_and_attempts_to_chat_are_not() {
        let story = |role| Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", role);
        let chat = || answered("10.0.0.5", "203.0.113.6", 6667, "irc");
        let finding = story(Role::Camera).flow(chat()).wait(60).flow(chat()).only();
        assert_eq!((finding.count, finding.conversations.len()), (2, 2));
        assert!(finding.first < finding.last);
        story(Role::Workstation).flow(chat()).silent();
        story(Role::Camera).flow(unanswered("10.0.0.5", "203.0.113.6", 6667)).silent();
    }
}
