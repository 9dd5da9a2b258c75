//! A device without a screen fetches pictures: see [`DETECTOR`].

use model::{OperationKind, Severity, Value, What};

use super::roles;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds devices that read messages out of published pictures.
pub(super) const DETECTOR: Rule = Rule {
    id: "dead-drop",
    title: "Picture with a position fetched by a device that shows none",
    severity: Severity::Medium,
    attack: &["T1102.001", "T1008"],
    finds: "A camera, a recorder, a controller, a switch or the like, which has no screen, fetches from the Internet, in the \
            clear, a photograph that says where it was taken (JPEG with the position of Exif). Of a router or gateway it is low: \
            what stands behind it may have asked.",
    matters: "Malware needs to learn where its master is, and a picture in a public gallery raises no suspicion: the position in \
              it is an address in disguise (VPNFilter, 2018). Whoever shows no pictures has no other use for one.",
    fix: "Look at what the device did next: which servers it called, and what it took from there. If its maker says that it \
          fetches pictures, declare it as expected; if not, set it up anew with firmware from its maker.",
    thresholds: &[],
    listens: &[Kind::Operation],
    keeps: "nothing",
    start: || Box::new(DeadDrop),
};

/// The mark of a picture that says where it was taken.
pub(super) const LOCATED: &str = "located-picture";

struct DeadDrop;

impl Detector for DeadDrop {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.kind != OperationKind::TransferFile
            || operation.value.as_ref().and_then(Value::as_str) != Some(LOCATED)
        {
            return;
        }
        let asked = seen.asked(operation);
        let (fetcher, from) = (&asked.asker.host, &asked.asked.host);
        let is_one_of = |roles| seen.site.is_one_of(fetcher, roles);
        if !asked.who.is_somebody()
            || !is_one_of(roles::THINGS)
            || is_one_of(roles::SHOWING)
            || seen.site.is_external(fetcher)
            || !seen.site.is_external(from)
        {
            return;
        }
        let severity = if is_one_of(roles::FORWARDING) { Severity::Low } else { Severity::Medium };
        let role = seen.site.glance(fetcher).and_then(|known| known.role).unwrap_or("device");
        let target = operation.target.as_deref().unwrap_or("a picture without a name");
        let alarm = Alarm::about(*fetcher)
            .to(*from)
            .flow(operation.flow.id)
            .severity(severity)
            .factor("picture", target, "none");
        out.raise(alarm, || {
            format!(
                "{fetcher}, a {role}, fetched a picture that says where it was taken from {from}: {target}"
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::TransferFile, Outcome, Role, Severity, Value};

    use super::{DETECTOR, LOCATED};
    use crate::testing::{On, Story, operation};

    fn fetches(role: Role, from: &str, mark: &str) -> Story {
        let get = operation("10.0.0.5", from, "http", TransferFile, "get", Outcome::Done);
        let get = get.on("gallery.example/1.jpg").writing(Value::Text(mark.into()));
        Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", role).asks(get)
    }

    #[test]
    fn what_shows_no_pictures_has_no_use_for_one() {
        let of = |role| fetches(role, "203.0.113.6", LOCATED).only().severity;
        assert_eq!((of(Role::Camera), of(Role::Plc)), (Severity::Medium, Severity::Medium));
        assert_eq!(of(Role::Router), Severity::Low);
    }

    #[test]
    fn screens_inner_servers_and_other_files_are_silent() {
        for role in [Role::Media, Role::Printer, Role::Workstation, Role::Mobile] {
            fetches(role, "203.0.113.6", LOCATED).silent();
        }
        fetches(Role::Camera, "10.0.0.9", LOCATED).silent();
        fetches(Role::Camera, "203.0.113.6", "elf").silent();
    }
}
