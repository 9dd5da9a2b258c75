//! Several devices call one stranger: see [`DETECTOR`].

use model::{FlowId, Severity, Timestamp, Transport, What};

use super::roles;
use crate::hosts::{Addr, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds the master of devices that were taken over.
pub(super) const DETECTOR: Rule = Rule {
    id: "botnet-command-channel",
    title: "Several devices call one stranger",
    severity: Severity::High,
    attack: &["T1095", "T1571", "T0869"],
    finds: "Several devices on which nobody works begin, within a day, to talk to the same external service in a protocol \
            that nothing else speaks, although none of them did so on its first day (after Gu, Zhang and Lee, \
            \"BotSniffer: Detecting Botnet Command and Control Channels in Network Traffic\", NDSS 2008: bots of one \
            master do the same at the same time).",
    matters: "What several devices do at once was told them by somebody. Most botnets of small devices use a protocol of \
              their own.",
    fix: "Find out what the other address belongs to. If it is not the maker's, block it, take the devices off the network \
          one after the other, and set them up anew.",
    thresholds: &[
        Threshold {
            name: "devices",
            about: "devices that call the same stranger",
            unit: "devices",
            usual: 3.0,
        },
        Threshold {
            name: "known-for",
            about: "what a device does within this time from when it was first seen is its habit",
            unit: "s",
            usual: 86_400.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "8 devices of each of the 4096 external services that were called first by devices lately",
    start: || Box::new(BotnetCommandChannel { services: Table::new(MAX_SERVICES) }),
};

const DEVICES: usize = 0;
const KNOWN_FOR: usize = 1;

const MAX_SERVICES: usize = 4096;
const MAX_CALLERS: usize = 8;

#[derive(Default)]
struct Service {
    callers: Vec<(Who, Timestamp, FlowId)>,
    /// Whether a device called it on its first day: then it is nobody's stranger.
    is_habit: bool,
}

struct BotnetCommandChannel {
    services: Table<(Addr, u16), Service>,
}

impl Detector for BotnetCommandChannel {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, record.head.server);
        let speaks_its_own = record.protocol.as_deref().is_none_or(|name| matches!(name, "telnet" | "irc"));
        let said = record.sent.payload > 0 && record.received.payload > 0;
        if record.head.transport != Transport::Tcp || !speaks_its_own || !said || !seen.client.is_somebody() {
            return;
        }
        let site = seen.site;
        if !site.is_external(&server.host)
            || site.is_external(client)
            || site.is_one_of(client, roles::COMPUTERS)
        {
            return;
        }
        let (Some(addr), Some(known)) = (Addr::of(&server.host), site.glance(client)) else { return };
        let (service, _) = self.services.entry((addr, server.port), Service::default);
        let is_known = service.callers.iter().any(|(who, ..)| *who == seen.client);
        if service.is_habit || is_known {
            return;
        }
        let known_for = out.limit(KNOWN_FOR, client);
        service.is_habit = record.first.since(known.first).as_secs_f64() < known_for;
        service.callers.retain(|(_, at, _)| record.first.since(*at).as_secs_f64() < known_for);
        if service.is_habit || service.callers.len() >= MAX_CALLERS {
            return;
        }
        service.callers.push((seen.client, record.first, record.head.id));
        let callers = service.callers.len() as f64;
        if callers < out.limit(DEVICES, client) {
            return;
        }
        let flows: Vec<FlowId> = service.callers.iter().map(|(.., flow)| *flow).collect();
        let since = service.callers.first().map_or(record.first, |(_, at, _)| *at);
        // The master is who does it; the devices are what it is done with.
        let matter = server.port.to_string();
        let alarm = Alarm::about(server.host)
            .matter(&matter)
            .since(since)
            .flows(&flows)
            .crossed(DEVICES, callers)
            .factor("devices that call it since a day", callers, "none")
            .factor("protocol", "of its own", "one that others speak too");
        out.raise(alarm, || {
            format!(
                "{client} and {} other devices have begun to call {server}, which none of them knew",
                callers - 1.0
            )
        });
    }

    fn forget(&mut self, who: Who) {
        for (_, service) in self.services.iter_mut() {
            service.callers.retain(|(known, ..)| *known != who);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowRecord, Role};

    use super::DETECTOR;
    use crate::testing::{Story, answered};

    fn call(client: &str, server: &str) -> FlowRecord {
        let mut record = answered(client, server, 48_101, "");
        record.protocol = None;
        record
    }

    fn cameras() -> Story {
        let mut story = Story::of(&DETECTOR);
        for last in 1..=5 {
            let address = format!("10.0.0.{last}");
            story = story.with_host(&address).plays(&address, Role::Camera);
        }
        story
    }

    #[test]
    fn cameras_that_begin_to_call_one_stranger_are_found() {
        let mut story = cameras().wait(3 * 86_400);
        for last in 1..=3 {
            story = story.wait(600).flow(call(&format!("10.0.0.{last}"), "203.0.113.66"));
        }
        let story = story.flow(call("10.0.0.4", "203.0.113.66"));
        let finding = story.only();
        assert_eq!((finding.actor.to_string().as_str(), finding.count), ("203.0.113.66", 2));
    }

    #[test]
    fn the_makers_cloud_and_known_protocols_are_silent() {
        let mut story = cameras().flow(call("10.0.0.1", "203.0.113.1")).wait(3 * 86_400);
        for last in 1..=5 {
            let address = format!("10.0.0.{last}");
            story = story
                .flow(call(&address, "203.0.113.1"))
                .flow(answered(&address, "203.0.113.2", 443, "tls"))
                .flow(call(&address, "10.0.9.9"))
                .wait(86_400)
                // One after the other, each on another day.
                .flow(call(&address, "203.0.113.3"));
        }
        story.silent();
    }
}
