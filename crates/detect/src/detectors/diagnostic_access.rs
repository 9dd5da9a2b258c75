//! A tester works on a vehicle's control unit: see [`DETECTOR`].

use std::collections::BTreeMap;

use model::{Severity, What};

use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds diagnostic requests, on CAN or over IP, that change control units.
pub(super) const DETECTOR: Rule = Rule {
    id: "diagnostic-access",
    title: "Control unit changed by diagnosis",
    severity: Severity::Medium,
    attack: &["T0836", "T0816", "T0857"],
    finds: "On a vehicle's bus, or over IP (ISO 13400-2), somebody asks a control unit for services that change it (ISO 14229-1): unlocks it, \
            resets it, writes data or memory, runs routines, takes over inputs and outputs, silences its communication, \
            or downloads to it. Reading values and trouble codes, as any dongle does, is not told, and neither is \
            opening a session alone.",
    matters: "In workshops this is how a vehicle is serviced; on the road it is how brakes, steering and engine are taken \
              over, and how a unit gets another's software.",
    fix: "If the vehicle is in a workshop, declare the time as expected. If not: stop the vehicle, unplug what is in the \
          diagnostic socket, and look at gateways and telematics units for what sends the requests.",
    thresholds: &[Threshold {
        name: "requests",
        about: "requests of services that change the unit",
        unit: "requests",
        usual: 2.0,
    }],
    listens: &[Kind::Operation],
    keeps: "requests to 256 units",
    start: || Box::<DiagnosticAccess>::default(),
};

const REQUESTS: usize = 0;
/// So many units are remembered, the lowest: ISO 15765-4 has nine on a bus.
const UNITS: usize = 256;

#[derive(Debug, Default)]
struct Asked {
    requests: u32,
    services: Vec<model::Name>,
}

#[derive(Default)]
struct DiagnosticAccess {
    /// By who asks whom, which on a bus nobody tells, and the unit.
    asked: BTreeMap<(Option<Addr>, Option<Addr>, String), Asked>,
}

/// How bad a service is; `None` for those that change nothing.
fn severity(service: &str) -> Option<Severity> {
    Some(match service {
        "request-download" | "transfer-data" | "write-memory-by-address" => Severity::High,
        "ecu-reset"
        | "security-access"
        | "authentication"
        | "communication-control"
        | "write-data-by-identifier"
        | "input-output-control-by-identifier"
        | "routine-control"
        | "control-dtc-setting"
        | "link-control"
        | "request-upload"
        | "request-file-transfer" => Severity::Medium,
        _ => return None,
    })
}

impl Detector for DiagnosticAccess {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !matches!(&*operation.protocol, "can" | "doip") {
            return;
        }
        let (Some(severity), Some(target)) = (severity(&operation.name), &operation.target) else { return };
        // `id 0x7e0 parameter 0xf190`: the unit is told by the identifier, over IP by its address.
        let unit = target.split(" parameter").next().unwrap_or_default();
        let flow = &operation.flow;
        let (client, server) =
            (flow.endpoint(operation.from).host, flow.endpoint(operation.from.other()).host);
        let key = (Addr::of(&client), Addr::of(&server), unit.to_owned());
        if !self.asked.contains_key(&key) && self.asked.len() >= UNITS {
            self.asked.pop_last();
        }
        let asked = self.asked.entry(key).or_default();
        asked.requests += 1;
        if !asked.services.contains(&operation.name) {
            asked.services.push(operation.name.clone());
        }
        let requests = f64::from(asked.requests);
        // A download is not asked for by chance.
        if requests < out.limit(REQUESTS, &client) && severity < Severity::High {
            return;
        }
        let services = asked.services.join(", ");
        let mut alarm = Alarm::about(client)
            .matter(unit)
            .flow(flow.id)
            .severity(severity)
            .crossed(REQUESTS, requests)
            .factor("services", &services, "reading only");
        if Addr::of(&server).is_some() {
            alarm = alarm.to(server);
        }
        out.raise(alarm, || match Addr::of(&client) {
            Some(_) => format!("{client} asked the control unit at {unit} behind {server} for {services}"),
            None => format!("A tester asked the control unit at {unit} for {services}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Host, Operation, OperationKind, Outcome, Severity};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn ask(kind: OperationKind, service: &'static str, target: &str) -> Operation {
        let mut operation =
            operation("10.0.0.1", "10.0.0.2", "can", kind, service, Outcome::Asked).on(target);
        // Nodes of a bus have no addresses.
        operation.flow.client.host = Host::default();
        operation.flow.server.host = Host::default();
        operation
    }

    #[test]
    fn changing_a_unit_is_told_for_each_unit_and_worse_if_software_is_written() {
        let story = Story::of(&DETECTOR)
            .asks(ask(OperationKind::ChangeMode, "diagnostic-session-control", "id 0x7e0"))
            .asks(ask(OperationKind::Authenticate, "security-access", "id 0x7e0"))
            .asks(ask(OperationKind::Authenticate, "security-access", "id 0x7e0"))
            .asks(ask(OperationKind::Write, "write-data-by-identifier", "id 0x7e0 parameter 0xf190"));
        assert_eq!(story.only().severity, Severity::Medium);
        let story = story.asks(ask(OperationKind::FirmwareUpdate, "request-download", "id 0x7e0")).asks(ask(
            OperationKind::FirmwareUpdate,
            "request-download",
            "id 0x18da10f1",
        ));
        let findings = story.findings();
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].severity, Severity::High);
        let services = "security-access, write-data-by-identifier, request-download";
        assert_eq!(
            &*findings[0].summary,
            format!("A tester asked the control unit at id 0x7e0 for {services}")
        );
    }

    #[test]
    fn over_ip_it_is_told_who_asks() {
        let reset = || {
            let kind = OperationKind::Restart;
            operation("10.0.0.9", "10.0.0.1", "doip", kind, "ecu-reset", Outcome::Asked).on("address 0x1010")
        };
        let finding = Story::of(&DETECTOR).asks(reset()).asks(reset()).only();
        let expected = "10.0.0.9 asked the control unit at address 0x1010 behind 10.0.0.1 for ecu-reset";
        assert_eq!(&*finding.summary, expected);
    }

    #[test]
    fn what_every_dongle_asks_is_silent() {
        let mut story = Story::of(&DETECTOR);
        for _ in 0..50 {
            story = story
                .asks(ask(OperationKind::Read, "show-current-data", "id 0x7df parameter 0x000c"))
                .asks(ask(OperationKind::ChangeMode, "diagnostic-session-control", "id 0x7df"))
                .asks(ask(OperationKind::Configure, "clear-trouble-codes", "id 0x7df"));
        }
        story.silent();
    }
}
