//! The rules at the head of the crate, one small scenario each.

use std::net::IpAddr;
use std::time::Duration;

use model::*;

use crate::{CROWD, GROUP, Inventory, Limits, NEAR_MAX, PROXIED, TENANCY, VOUCHED};

/// A story told to an inventory, observation by observation, one second apart.
struct Story {
    inventory: Inventory,
    events: Vec<Event>,
    now: Timestamp,
    step: Duration,
}

fn mac(number: u8) -> MacAddr {
    // Siemens; the last byte tells them apart.
    MacAddr([0x00, 0x1b, 0x1b, 0, 0, number])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host at an address, behind the link-layer address of that number.
fn host(number: u8, text: &str) -> Host {
    Host { mac: Some(mac(number)), ip: Some(ip(text)) }
}

fn raw(text: &str) -> Host {
    Host::from_ip(ip(text))
}

/// A conversation under construction.
#[derive(Clone)]
struct Talk(FlowRecord);

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FlowRecord { head, sent, received, tcp, protocol, .. } = &self.0;
        let end = |end: &Endpoint, reach| {
            format!("{:?}/{:?} {reach:?}", end.host.mac.map(|mac| mac.0[5]), end.host.ip)
        };
        write!(
            f,
            "{} {} -> {} {}+{} {:?} {protocol:?}",
            head.transport,
            end(&head.client, head.client_reach),
            end(&head.server, head.server_reach),
            sent.packets,
            received.packets,
            tcp.map(|tcp| tcp.state)
        )
    }
}

impl Talk {
    fn tcp(client: Host, server: Host, port: u16) -> Self {
        let tcp = TcpStats { state: TcpState::Closed, ..TcpStats::default() };
        let mut talk = Self::udp(client, server, port);
        talk.0.head.transport = Transport::Tcp;
        talk.0.tcp = Some(tcp);
        talk
    }

    /// An answered conversation of hosts that are near.
    fn udp(client: Host, server: Host, port: u16) -> Self {
        let head = FlowHead {
            id: FlowId(1),
            transport: Transport::Udp,
            vlan: None,
            client: Endpoint { host: client, port: 50_000 },
            server: Endpoint { host: server, port },
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        };
        Self(FlowRecord {
            head,
            first: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            sent: Volume { packets: 2, bytes: 200, payload: 100 },
            received: Volume { packets: 3, bytes: 900, payload: 800 },
            protocol: None,
            tcp: None,
            end: EndReason::Finished,
        })
    }

    fn of(mut self, protocol: &'static str) -> Self {
        self.0.protocol = Some(protocol.into());
        self
    }

    fn state(mut self, state: TcpState) -> Self {
        self.0.tcp = Some(TcpStats { state, ..TcpStats::default() });
        self
    }

    fn client_routed(mut self) -> Self {
        self.0.head.client_reach = Reach::Routed;
        self
    }

    fn server_routed(mut self) -> Self {
        self.0.head.server_reach = Reach::Routed;
        self
    }

    fn unanswered(mut self) -> Self {
        self.0.received = Volume::default();
        self.0.head.server_reach = Reach::Unknown;
        if self.0.tcp.is_some() {
            self = self.state(TcpState::SynSent);
            self.0.sent = Volume { packets: 1, bytes: 60, payload: 0 };
        }
        self
    }

    fn packets(mut self, packets: u64) -> Self {
        self.0.sent = Volume { packets, bytes: packets * 100, payload: packets * 60 };
        self
    }

    fn ended(&self) -> What {
        What::FlowEnded(Box::new(self.0.clone()))
    }

    fn opened(&self) -> What {
        What::FlowOpened(Box::new(self.0.head))
    }

    fn identified(&self) -> What {
        let protocol = self.0.protocol.clone().unwrap();
        What::FlowIdentified(Box::new(FlowIdentified { flow: self.0.head, protocol }))
    }
}

fn arp(number: u8, text: &str) -> What {
    What::Binding(Binding { mac: mac(number), ip: ip(text), source: BindingSource::Arp })
}

fn fact(
    about: Host,
    attribute: Attribute,
    value: &str,
    source: &'static str,
    confidence: Confidence,
) -> What {
    let (value, source) = (value.into(), source.into());
    What::Fact(Box::new(Fact { about, attribute, value, source, confidence }))
}

fn name(about: Host, value: &str) -> What {
    fact(about, Attribute::Hostname, value, "dhcp.host-name", Confidence::STRONG)
}

impl Story {
    fn new() -> Self {
        Self::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let now = Timestamp::from_secs(1_700_000_000);
        Self { inventory: Inventory::new(limits), events: Vec::new(), now, step: Duration::from_secs(1) }
    }

    fn of(all: impl IntoIterator<Item = What>) -> Self {
        let mut story = Self::new();
        story.then(all);
        story
    }

    fn then(&mut self, all: impl IntoIterator<Item = What>) -> &mut Self {
        for what in all {
            self.now = self.now + self.step;
            self.inventory.observe(&Observation { at: self.now, what }, &mut self.events);
        }
        self
    }

    fn talk(&mut self, talk: &Talk) -> &mut Self {
        self.then([talk.ended()])
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self.inventory.tick(self.now, &mut self.events);
        self
    }

    /// Every device in a few words: last byte of the link-layer address, addresses, router.
    fn map(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .inventory
            .devices()
            .map(|device| {
                let mut addresses: Vec<IpAddr> = device.addresses.iter().map(|used| used.ip).collect();
                addresses.sort();
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let own = device.macs.first().map_or_else(String::new, |mac| format!("{} ", mac.0[5]));
                let via = device.via.map_or_else(String::new, |mac| format!(" via {}", mac.0[5]));
                format!("{own}{}{via}", addresses.join(" "))
            })
            .collect();
        all.sort();
        all
    }

    fn device(&self, text: &str) -> Device {
        let mut found = self.inventory.find(text);
        assert_eq!(found.len(), 1, "{text}: {:?}", self.map());
        found.remove(0)
    }

    fn changes(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|event| match &event.change {
                Change::DeviceAppeared { known } => format!("appeared {}", text_of(known)),
                Change::AttributeChanged { attribute, before, after, .. } => {
                    format!("{attribute} {} -> {after}", before.as_deref().unwrap_or("nothing"))
                }
                Change::AddressAdded { ip } => format!("address {ip}"),
                Change::MacAdded { mac } => format!("mac {mac}"),
                Change::ServiceOffered { service } => {
                    format!("offers {} {}/{}", service.protocol, service.transport, service.port)
                }
                Change::DeviceMerged { .. } => "merged".to_owned(),
                Change::FindingRaised { .. }
                | Change::IncidentGrew { .. }
                | Change::ActionTaken { .. }
                | Change::TrustChanged { .. } => {
                    unreachable!("the inventory judges nothing")
                }
            })
            .collect()
    }
}

fn text_of(device: &Device) -> String {
    let addresses: Vec<String> = device.addresses.iter().map(|used| used.ip.to_string()).collect();
    let mac = device.macs.first().map(|mac| format!("mac {} ", mac.0[5])).unwrap_or_default();
    format!("{mac}{}", addresses.join(" "))
}

// What is a device.

#[test]
fn a_bound_address_belongs_to_its_link_layer_address() {
    let story = Story::of([arp(1, "10.0.0.1"), arp(1, "10.0.7.1"), arp(2, "10.0.0.2")]);
    assert_eq!(story.map(), ["1 10.0.0.1 10.0.7.1", "2 10.0.0.2"]);
    assert_eq!(story.device("10.0.0.1").addresses[0].binding, Some(BindingSource::Arp));
    assert_eq!(story.device("10.0.0.1").locality, Locality::OnLink);
}

#[test]
fn renumbering_by_dhcp_does_not_split_a_device_and_the_old_address_stays_in_its_history() {
    let mut story = Story::of([arp(1, "10.0.0.50"), name(host(1, "10.0.0.50"), "pump")]);
    let id = story.device("10.0.0.50").id;
    story.then([arp(1, "10.0.0.90")]);
    assert_eq!(story.map(), ["1 10.0.0.50 10.0.0.90"]);
    // The old address goes to another device; what was known stays with the first.
    story.then([arp(2, "10.0.0.50"), name(host(2, "10.0.0.50"), "valve")]);
    assert_eq!(story.map(), ["1 10.0.0.50 10.0.0.90", "2 10.0.0.50"]);
    assert_eq!(story.device("10.0.0.90").id, id);
    assert_eq!(story.device("10.0.0.90").best(Attribute::Hostname), Some("pump"));
    assert_eq!(story.device("10.0.0.50").best(Attribute::Hostname), Some("valve"));
    assert_eq!(story.device("10.0.0.50").attributes[&Attribute::Hostname].len(), 1);
}

#[test]
fn traffic_after_an_address_moved_counts_for_the_new_device_and_that_before_for_the_old() {
    let mut story = Story::of([arp(1, "10.0.0.50"), arp(3, "10.0.0.3")]);
    let talk = |number| Talk::tcp(host(3, "10.0.0.3"), host(number, "10.0.0.50"), 502).of("modbus");
    story.talk(&talk(1)).then([arp(2, "10.0.0.50")]).talk(&talk(2)).talk(&talk(2));
    let [old, new] = [1, 2].map(|number| story.device(&mac(number).to_string()));
    assert_eq!((old.bytes_in, new.bytes_in), (200, 400));
    assert_eq!(old.offers.values().sum::<u64>(), 1);
    assert_eq!(new.offers.values().sum::<u64>(), 2);
    let client = story.device("10.0.0.3");
    assert_eq!(client.peers[&old.id].flows, 1);
    assert_eq!(client.peers[&new.id].flows, 2);
}

#[test]
fn a_link_local_address_belongs_to_who_sends_it() {
    let mut story = Story::new();
    story.talk(&Talk::udp(host(1, "fe80::1"), host(2, "fe80::2"), 546));
    story.talk(&Talk::udp(host(1, "169.254.7.7"), host(2, "fe80::2"), 5353));
    assert_eq!(story.map(), ["1 169.254.7.7 fe80::1", "2 fe80::2"]);
}

#[test]
fn hosts_beyond_a_router_are_not_merged_into_it() {
    let mut story = Story::of([arp(1, "10.0.0.1"), arp(9, "10.0.0.254")]);
    for server in ["10.5.0.7", "10.6.0.8", "93.184.216.34"] {
        story.talk(&Talk::tcp(host(1, "10.0.0.1"), host(9, server), 443).server_routed());
    }
    assert_eq!(
        story.map(),
        ["1 10.0.0.1", "10.5.0.7 via 9", "10.6.0.8 via 9", "9 10.0.0.254", "93.184.216.34 via 9"]
    );
    assert_eq!(story.device("10.5.0.7").locality, Locality::Routed);
    assert_eq!(story.device("93.184.216.34").locality, Locality::External);
    assert_eq!(story.device("10.0.0.254").roles().next(), Some("router"));
    assert!(story.device("10.0.0.1").roles().all(|role| role != "router"));
}

#[test]
fn a_router_with_many_addresses_stays_one_device() {
    let mut story = Story::new();
    for network in 0..20 {
        story.then([arp(9, &format!("10.0.{network}.1"))]);
    }
    assert_eq!(story.inventory.counts().devices(), 1);
    assert_eq!(story.device("10.0.13.1").addresses.len(), 20);
}

#[test]
fn the_only_unbound_address_near_belongs_to_its_sender_for_now() {
    let mut story = Story::new();
    story.talk(&Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 80));
    assert_eq!(story.map(), ["1 10.0.0.1", "2 10.0.0.2"]);
    assert_eq!(story.device("10.0.0.1").addresses[0].binding, None);
}

#[test]
fn unbound_addresses_of_several_networks_are_hosts_beyond_a_router() {
    let mut story = Story::new();
    story.talk(&Talk::tcp(host(1, "10.0.0.1"), host(9, "8.8.8.8"), 80));
    assert_eq!(story.map(), ["1 10.0.0.1", "9 8.8.8.8"]);
    story.talk(&Talk::tcp(host(1, "10.0.0.1"), host(9, "9.9.9.9"), 80));
    assert_eq!(story.map(), ["1 10.0.0.1", "8.8.8.8 via 9", "9 ", "9.9.9.9 via 9"]);
    assert_eq!(story.device(&mac(9).to_string()).roles().next(), Some("router"));
    assert!(story.inventory.forwards(mac(9)) && !story.inventory.forwards(mac(1)));
    let appeared = story.changes().iter().filter(|change| change.starts_with("appeared")).count();
    assert_eq!(appeared, 4);
}

#[test]
fn what_was_said_about_an_address_goes_with_it_when_it_turns_out_to_be_a_host_of_its_own() {
    let mut story = Story::new();
    let client = host(1, "10.0.0.1");
    story.talk(&Talk::tcp(client, host(9, "8.8.8.8"), 53).of("dns"));
    story.then([name(host(9, "8.8.8.8"), "resolver")]);
    assert_eq!(story.device(&mac(9).to_string()).best(Attribute::Hostname), Some("resolver"));
    story.talk(&Talk::tcp(client, host(9, "9.9.9.9"), 53).of("dns"));
    let router = story.device(&mac(9).to_string());
    let resolver = story.device("8.8.8.8");
    assert_eq!((router.best(Attribute::Hostname), router.bytes_in, router.offers.len()), (None, 0, 0));
    assert_eq!(resolver.best(Attribute::Hostname), Some("resolver"));
    assert_eq!((resolver.bytes_in, resolver.offers.len()), (200, 1));
    assert_eq!(story.device("10.0.0.1").peers.len(), 2);
}

#[test]
fn a_few_unbound_addresses_of_one_network_belong_to_their_sender_and_many_do_not() {
    let mut story = Story::new();
    for last in 1..CROWD {
        story.talk(&Talk::udp(host(1, &format!("10.0.0.{last}")), host(2, "10.0.0.99"), 9));
    }
    assert_eq!(story.map(), ["1 10.0.0.1 10.0.0.2 10.0.0.3", "2 10.0.0.99"]);
    story.talk(&Talk::udp(host(1, "10.0.0.4"), host(2, "10.0.0.99"), 9));
    assert_eq!(
        story.map(),
        ["1 ", "10.0.0.1 via 1", "10.0.0.2 via 1", "10.0.0.3 via 1", "10.0.0.4 via 1", "2 10.0.0.99"]
    );
}

#[test]
fn beside_a_bound_address_unbound_ones_belong_only_if_they_lie_in_its_network() {
    let mut story = Story::of([arp(1, "10.0.0.1")]);
    story.talk(&Talk::udp(host(1, "10.0.0.5"), host(2, "10.0.0.99"), 9));
    story.talk(&Talk::udp(host(1, "10.7.0.5"), host(2, "10.0.0.99"), 9));
    assert_eq!(story.map(), ["1 10.0.0.1 10.0.0.5", "10.7.0.5 via 1", "2 10.0.0.99"]);
}

#[test]
fn an_ipv6_host_has_many_addresses_of_one_network_and_one_of_each_kind() {
    let mut story = Story::new();
    for last in 1..9 {
        story.talk(&Talk::udp(host(1, &format!("2001:db8::{last}")), host(2, "2001:db8::99"), 9));
    }
    story.talk(&Talk::udp(host(1, "fd00::1"), host(2, "2001:db8::99"), 9));
    story.talk(&Talk::udp(host(1, "10.0.0.1"), host(2, "2001:db8::99"), 9));
    assert_eq!(story.inventory.counts().devices(), 2, "{:?}", story.map());
}

#[test]
fn a_device_found_beyond_a_router_that_turns_out_to_be_on_the_link_is_merged() {
    let mut story = Story::new();
    let routed = Talk::udp(host(9, "10.0.0.5"), host(2, "10.0.3.2"), 9).client_routed();
    story.talk(&routed).then([name(host(9, "10.0.0.5"), "press")]);
    let gone = story.device("10.0.0.5").id;
    story.then([arp(5, "10.0.0.5")]);
    let merged = story.device("10.0.0.5");
    assert_eq!((merged.macs.clone(), merged.best(Attribute::Hostname)), (vec![mac(5)], Some("press")));
    let merge = story.events.iter().find(|event| event.change == Change::DeviceMerged { gone }).unwrap();
    assert_eq!(merge.device, Some(merged.id));
    assert_eq!(story.device(&gone.to_string()).id, merged.id, "the old id leads to the device");
    let mut ids = Vec::new();
    story.inventory.drain_gone(|id| ids.push(id));
    assert_eq!(ids, [gone]);
    // The router still hands its packets over elsewhere; that changes nothing.
    story.talk(&routed);
    assert_eq!(story.device("10.0.0.5").macs, [mac(5)]);
}

#[test]
fn an_odd_initial_ttl_makes_no_router_of_a_host_whose_address_is_bound() {
    let talk = Talk::udp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 9).client_routed();
    let mut before = Story::of([arp(1, "10.0.0.1")]);
    before.talk(&talk);
    let mut after = Story::new();
    after.talk(&talk).then([arp(1, "10.0.0.1")]);
    for story in [before, after] {
        assert_eq!(story.map(), ["1 10.0.0.1", "2 10.0.0.2"]);
        assert!(story.device("10.0.0.1").roles().all(|role| role != "router"));
    }
}

#[test]
fn an_unbound_address_that_two_send_belongs_to_neither_but_moves_after_long_silence() {
    let talk = |number| Talk::udp(host(number, "10.0.0.5"), host(2, "10.0.0.2"), 9);
    let mut story = Story::new();
    story.talk(&talk(1)).talk(&talk(3));
    assert_eq!(story.map(), ["1 ", "10.0.0.5 via 3", "2 10.0.0.2", "3 "]);
    let mut story = Story::new();
    story.talk(&talk(1)).wait(TENANCY).talk(&talk(3));
    assert_eq!(story.map(), ["1 10.0.0.5", "2 10.0.0.2", "3 10.0.0.5"]);
    assert_eq!(story.device("10.0.0.5").macs, [mac(3)]);
}

#[test]
fn who_answers_arp_for_a_whole_network_answers_for_others() {
    let mut story = Story::new();
    for last in 0..=PROXIED {
        story.then([arp(9, &format!("10.0.0.{}", last + 1))]);
    }
    assert_eq!(story.inventory.counts().devices(), PROXIED + 2);
    assert_eq!(story.device("10.0.0.3").via, Some(mac(9)));
    assert_eq!(story.device(&mac(9).to_string()).roles().next(), Some("router"));
    story.then([arp(9, "10.0.0.200")]);
    assert!(story.inventory.find("10.0.0.200").is_empty(), "its word proves nobody any more");
}

#[test]
fn the_shared_address_of_redundant_routers_forwards() {
    let shared = MacAddr([0, 0, 0x5e, 0, 1, 10]);
    let vip = Binding { mac: shared, ip: ip("10.0.0.1"), source: BindingSource::Arp };
    let mut story = Story::of([What::Binding(vip)]);
    let beyond = Host { mac: Some(shared), ip: Some(ip("10.0.0.77")) };
    story.talk(&Talk::udp(host(1, "10.0.0.5"), beyond, 9));
    assert_eq!(story.map(), ["1 10.0.0.5", "10 10.0.0.1", "10.0.0.77 via 10"]);
    assert_eq!(story.device("10.0.0.1").roles().next(), Some("router"));
}

#[test]
fn without_link_layer_addresses_each_address_is_a_device() {
    let mut story = Story::new();
    story.talk(&Talk::tcp(raw("10.0.0.1"), raw("8.8.8.8"), 443));
    story.talk(&Talk::tcp(raw("192.0.2.1"), raw("192.0.2.2"), 443));
    assert_eq!(story.map(), ["10.0.0.1", "192.0.2.1", "192.0.2.2", "8.8.8.8"]);
    assert_eq!(story.device("10.0.0.1").locality, Locality::Routed);
    assert_eq!(story.device("8.8.8.8").locality, Locality::External);
    assert_eq!(story.device("192.0.2.1").locality, Locality::Routed, "both ends are public");
}

#[test]
fn a_public_address_of_a_network_that_was_seen_on_a_link_is_not_external() {
    let mut story = Story::of([arp(1, "198.51.100.1"), arp(9, "198.51.100.254")]);
    story.talk(&Talk::udp(host(1, "198.51.100.1"), host(9, "198.51.100.77"), 9).server_routed());
    assert_eq!(story.device("198.51.100.77").locality, Locality::Routed);
}

#[test]
fn a_station_without_a_network_address_is_a_device() {
    let mut story = Story::new();
    let mut goose = Talk::udp(Host::from_mac(mac(4)), Host::from_mac(MacAddr([1, 0x0c, 0xcd, 1, 0, 1])), 0);
    goose = goose.of("goose").unanswered();
    goose.0.head.transport = Transport::Ether(0x88b8);
    goose.0.head.client_reach = Reach::Unknown;
    story.then([goose.opened(), goose.identified(), goose.ended()]);
    let relay = story.device(&mac(4).to_string());
    assert_eq!(relay.roles().next(), Some("ied"));
    let used: Vec<_> = relay.uses.iter().map(|(service, count)| (&*service.transport, *count)).collect();
    assert_eq!(used, [("ether-88b8", 1)]);
    assert_eq!(story.map(), ["4 "], "a group is no device");
}

// Order.

#[test]
fn bindings_before_or_after_conversations_give_the_same_devices() {
    let talks: Vec<What> = [
        Talk::tcp(host(1, "10.0.0.1"), host(9, "8.8.8.8"), 443).server_routed(),
        Talk::tcp(host(1, "10.0.0.1"), host(9, "10.0.0.254"), 53),
        Talk::udp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 9),
        Talk::udp(host(1, "10.0.0.11"), host(2, "10.0.0.2"), 9),
        Talk::udp(host(3, "10.1.0.3"), host(2, "10.0.0.2"), 9),
        Talk::udp(host(3, "10.2.0.3"), host(9, "10.9.0.3"), 9),
    ]
    .iter()
    .map(Talk::ended)
    .collect();
    let bindings = [arp(1, "10.0.0.1"), arp(2, "10.0.0.2"), arp(3, "10.1.0.3"), arp(9, "10.0.0.254")];
    let before = Story::of(bindings.iter().chain(&talks).cloned());
    let after = Story::of(talks.iter().chain(&bindings).cloned());
    let reversed = Story::of(bindings.iter().rev().chain(talks.iter().rev()).cloned());
    assert_eq!(before.map(), after.map());
    assert_eq!(before.map(), reversed.map());
    assert_eq!(
        before.map(),
        [
            "1 10.0.0.1 10.0.0.11",
            "10.2.0.3 via 3",
            "10.9.0.3 via 9",
            "2 10.0.0.2",
            "3 10.1.0.3",
            "8.8.8.8 via 9",
            "9 10.0.0.254"
        ]
    );
}

// Who exists.

#[test]
fn a_scan_from_forged_addresses_to_addresses_that_nobody_has_creates_only_the_scanner() {
    let mut story = Story::new();
    for number in 0..100_000_u32 {
        let source = Host { mac: Some(mac(66)), ip: Some(IpAddr::V4((0x0b00_0000 + number * 7).into())) };
        let target = Host { mac: Some(mac(9)), ip: Some(IpAddr::V4((0x0a00_0000 + number).into())) };
        let scan = match number % 3 {
            0 => Talk::tcp(source, target, 80).unanswered(),
            1 => Talk::udp(source, target, 53).unanswered().packets(1),
            _ => Talk::udp(source, target, 514).of("syslog").unanswered().packets(5),
        };
        if scan.0.protocol.is_some() {
            story.then([scan.opened(), scan.identified()]);
        }
        story.talk(&scan);
    }
    story.wait(Duration::from_secs(3600));
    assert_eq!(story.map(), ["66 "]);
    assert!(story.inventory.counts().unproven <= Limits::default().unproven);
    let scanner = story.device(&mac(66).to_string());
    assert!(scanner.packets_out > 100_000 && scanner.peers.is_empty());
}

#[test]
fn a_syn_flood_from_forged_addresses_proves_only_the_server() {
    let mut story = Story::of([arp(2, "10.0.0.2")]);
    for number in 0..1000_u32 {
        let source = Host { mac: Some(mac(9)), ip: Some(IpAddr::V4((0x0b00_0000 + number).into())) };
        let flood = Talk::tcp(source, host(2, "10.0.0.2"), 80).state(TcpState::SynReceived);
        story.then([flood.opened(), flood.ended()]);
    }
    assert_eq!(story.map(), ["2 10.0.0.2", "9 "]);
    let server = story.device("10.0.0.2");
    assert_eq!(server.offers.values().sum::<u64>(), 1000, "the port is open all the same");
}

#[test]
fn refusal_proves_who_refuses_but_no_service() {
    let mut story = Story::of([arp(1, "10.0.0.1")]);
    for port in [80, 443] {
        let refused = Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), port).state(TcpState::Refused);
        story.then([refused.opened(), refused.ended()]);
    }
    let server = story.device("10.0.0.2");
    assert_eq!((server.offers.len(), server.protocols.len(), server.peers.len()), (0, 0, 1));
    assert_eq!(server.peers.values().next().map(|peer| peer.flows), Some(2));
}

#[test]
fn an_answered_conversation_proves_both_ends_as_soon_as_that_is_sure() {
    let talk = Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 102).of("s7comm");
    let mut story = Story::of([talk.opened()]);
    assert_eq!(story.map(), ["1 ", "2 10.0.0.2"], "a SYN can be forged");
    story.then([talk.identified()]);
    assert_eq!(story.map(), ["1 10.0.0.1", "2 10.0.0.2"]);
    assert_eq!(story.device("10.0.0.2").protocols, ["s7comm"]);
    assert_eq!(story.device("10.0.0.2").offers.values().copied().collect::<Vec<_>>(), [0]);
    story.talk(&talk);
    assert_eq!(story.device("10.0.0.2").offers.values().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn one_way_telemetry_proves_its_sender_after_a_while() {
    let syslog = Talk::udp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 514).unanswered().packets(5);
    let mut story = Story::new();
    story.talk(&syslog);
    assert_eq!(story.map(), ["1 "]);
    story.wait(Duration::from_secs(10));
    assert_eq!(story.map(), ["1 10.0.0.1"]);
    assert_eq!(story.device("10.0.0.1").bytes_out, 1000);
}

#[test]
fn one_single_packet_proves_no_network_address_but_several_conversations_do() {
    let trap = Talk::udp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 162).unanswered().packets(2);
    let mut story = Story::new();
    story.talk(&trap).wait(Duration::from_secs(60));
    assert_eq!(story.map(), ["1 "]);
    story.talk(&trap).wait(Duration::from_secs(60));
    assert_eq!(story.map(), ["1 10.0.0.1"]);
}

#[test]
fn waiting_hosts_are_decided_when_the_source_ends() {
    let syslog = Talk::udp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 514).unanswered().packets(5);
    let mut story = Story::of([syslog.ended(), What::SourceEnded(Box::default())]);
    assert_eq!(story.map(), ["1 10.0.0.1"]);
    // Many such hosts behind one link-layer address vouch for none of them.
    let mut story2 = Story::new();
    for last in 0..=VOUCHED {
        let from = host(1, &format!("10.0.0.{}", last + 1));
        story2.talk(&Talk::udp(from, host(2, "10.0.0.200"), 514).unanswered().packets(9));
    }
    story2.then([What::SourceEnded(Box::default())]);
    assert_eq!(story2.map(), ["1 "]);
    story.then([]);
}

#[test]
fn an_announcement_to_a_group_proves_its_sender_by_a_recognised_protocol_from_near() {
    let group = Host { mac: Some(MacAddr([1, 0, 0x5e, 0, 0, 0xfb])), ip: Some(ip("224.0.0.251")) };
    let mdns = Talk::udp(host(1, "10.0.0.1"), group, 5353).of("mdns").unanswered().packets(1);
    let mut story = Story::of([mdns.opened(), mdns.identified(), name(host(1, "10.0.0.1"), "lamp.local")]);
    story.talk(&mdns).wait(Duration::from_secs(10));
    assert_eq!(story.map(), ["1 10.0.0.1"]);
    assert_eq!(story.device("lamp").best(Attribute::Hostname), Some("lamp.local"));
    assert_eq!(story.device("lamp").protocols, ["mdns"]);
}

#[test]
fn groups_and_reserved_addresses_are_nobody() {
    let mut story = Story::new();
    let broadcast = Host { mac: Some(MacAddr::BROADCAST), ip: Some(ip("10.0.0.255")) };
    story.talk(&Talk::udp(host(1, "10.0.0.1"), broadcast, 137).of("nbns").packets(9));
    story.talk(&Talk::udp(host(2, "0.0.0.0"), host(3, "255.255.255.255"), 67).of("dhcp"));
    story.talk(&Talk::udp(host(4, "127.0.0.1"), host(5, "224.0.0.5"), 67));
    story.then([arp(6, "0.0.0.0")]);
    let zero = Host { mac: Some(MacAddr::default()), ip: None };
    story.talk(&Talk::udp(zero, zero, 1));
    assert_eq!(story.map(), ["1 10.0.0.1", "2 ", "3 ", "4 ", "5 ", "6 "]);
}

#[test]
fn a_machine_that_talks_to_itself_is_a_device() {
    let mut story = Story::new();
    let itself = Host { mac: Some(MacAddr::default()), ip: Some(ip("127.0.0.1")) };
    story.talk(&Talk::tcp(itself, itself, 1883).of("mqtt"));
    story.talk(&Talk::udp(raw("::1"), raw("::1"), 53).of("dns"));
    assert_eq!(story.map(), ["127.0.0.1", "::1"]);
    let machine = story.device("127.0.0.1");
    assert_eq!((&machine.protocols[..], machine.locality), (&["mqtt".into()][..], Locality::Routed));
}

#[test]
fn a_loopback_address_on_a_link_is_the_station_that_sends_it() {
    let mut story = Story::new();
    story.talk(&Talk::udp(host(1, "127.0.0.1"), host(2, "127.0.0.1"), 161).of("snmp"));
    assert_eq!(story.map(), ["1 ", "2 "]);
    assert_eq!(story.device(&mac(2).to_string()).protocols, ["snmp"]);
}

#[test]
fn frames_from_a_group_address_do_not_hide_the_network_address() {
    let mut story = Story::new();
    let odd = |number, text| Host { mac: Some(MacAddr([1, 0, 0, 0, 0, number])), ip: Some(ip(text)) };
    story.talk(&Talk::tcp(odd(1, "10.0.0.1"), odd(2, "10.0.0.2"), 443).of("tls"));
    assert_eq!(story.map(), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn without_link_layer_addresses_few_unanswered_hosts_are_believed_and_many_are_not() {
    let heard = |count: u8| {
        let mut story = Story { step: Duration::from_millis(10), ..Story::new() };
        for number in 1..=count {
            let source = raw(&format!("192.0.2.{number}"));
            let trap = Talk::udp(source, raw("192.0.2.250"), 162).of("snmp").unanswered().packets(1);
            story.then([trap.opened(), trap.identified()]).talk(&trap);
        }
        story.wait(Duration::from_secs(60));
        story.map()
    };
    assert_eq!(heard(2), ["192.0.2.1", "192.0.2.2"]);
    assert!(heard(40).is_empty(), "as many as these may be made up");
}

#[test]
fn what_is_said_about_an_unproven_host_counts_once_it_is_proven_and_otherwise_not() {
    let mut story = Story::of([name(raw("10.0.0.7"), "tank"), name(raw("10.0.0.8"), "ghost")]);
    assert!(story.map().is_empty());
    story.talk(&Talk::tcp(host(1, "10.0.0.1"), host(7, "10.0.0.7"), 502));
    assert_eq!(story.device("tank").macs, [mac(7)]);
    assert!(story.inventory.find("ghost").is_empty());
    story.wait(Duration::from_secs(3600));
    assert_eq!(story.inventory.counts().unproven, 0, "it is forgotten");
}

// What is known.

#[test]
fn evidence_is_kept_side_by_side_and_only_a_change_of_belief_is_told() {
    let about = host(1, "10.0.0.1");
    let mut story = Story::of([arp(1, "10.0.0.1")]);
    story.events.clear();
    story.then([
        name(about, "pump"),
        name(about, "pump"),
        fact(about, Attribute::Hostname, "PUMP.local", "mdns.a", Confidence::STRONG),
        fact(about, Attribute::Hostname, "other", "snmp.name", Confidence::STRONG),
        fact(about, Attribute::Hostname, "weak", "http.host", Confidence::HINT),
    ]);
    assert_eq!(story.changes(), ["hostname nothing -> pump"]);
    let device = story.device("pump");
    let said: Vec<_> = device.attributes[&Attribute::Hostname]
        .iter()
        .map(|one| (&*one.value, &*one.source, one.count))
        .collect();
    assert_eq!(
        said,
        [
            ("pump", "dhcp.host-name", 2),
            ("PUMP.local", "mdns.a", 1),
            ("other", "snmp.name", 1),
            ("weak", "http.host", 1)
        ]
    );
}

#[test]
fn the_maker_is_told_by_the_address_until_something_better_is_said() {
    let about = host(1, "10.0.0.1");
    let mut story = Story::of([arp(1, "10.0.0.1")]);
    let vendor = &story.device("10.0.0.1").attributes[&Attribute::Vendor][0];
    assert_eq!((&*vendor.source, vendor.confidence), ("ieee.oui", Confidence::LIKELY));
    story.events.clear();
    story.then([fact(about, Attribute::Vendor, "Acme Valves", "modbus.vendor", Confidence::CERTAIN)]);
    assert_eq!(story.changes().len(), 1);
    let device = story.device("10.0.0.1");
    assert_eq!(device.best(Attribute::Vendor), Some("Acme Valves"));
    assert_eq!(device.attributes[&Attribute::Vendor].len(), 2, "the conflict is shown");
    let mut local = mac(1);
    local.0[0] |= 2;
    story.then([What::Binding(Binding { mac: local, ip: ip("10.0.0.9"), source: BindingSource::Arp })]);
    assert!(!story.device("10.0.0.9").attributes.contains_key(&Attribute::Vendor));
}

#[test]
fn roles_follow_from_services_operations_and_makers() {
    let mut story = Story::of([arp(1, "10.0.0.1"), arp(2, "10.0.0.2")]);
    let talk = Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 102).of("s7comm");
    story.talk(&talk);
    assert_eq!(story.device("10.0.0.2").roles().next(), Some("plc"));
    assert_eq!(story.device("10.0.0.2").best(Attribute::Type), Some("programmable logic controller"));
    let download = Operation {
        flow: talk.0.head,
        from: Side::Client,
        protocol: "s7comm".into(),
        kind: OperationKind::ProgramDownload,
        name: "download-block".into(),
        target: None,
        value: None,
        outcome: Outcome::Done,
        asked: None,
    };
    story.then([What::Operation(Box::new(download))]);
    assert_eq!(story.device("10.0.0.1").roles().next(), Some("engineering-station"));
}

#[test]
fn services_peers_and_volumes_add_up_and_interim_records_are_no_conversations() {
    let mut story = Story::of([arp(1, "10.0.0.1"), arp(2, "10.0.0.2")]);
    let mut talk = Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 1883).of("mqtt");
    talk.0.end = EndReason::Active;
    story.talk(&talk).talk(&talk);
    talk.0.end = EndReason::Finished;
    story.talk(&talk);
    let [client, broker] = ["10.0.0.1", "10.0.0.2"].map(|text| story.device(text));
    assert_eq!((client.packets_out, client.bytes_out, client.packets_in, client.bytes_in), (6, 600, 9, 2700));
    assert_eq!((broker.packets_out, broker.bytes_out, broker.packets_in, broker.bytes_in), (9, 2700, 6, 600));
    let service = Service { protocol: "mqtt".into(), transport: "tcp".into(), port: 1883 };
    assert_eq!(broker.offers.get(&service), Some(&1));
    assert_eq!(client.uses.get(&service), Some(&1));
    let peer = client.peers[&broker.id];
    assert_eq!((peer.flows, peer.bytes_out, peer.bytes_in), (1, 600, 2700));
    assert_eq!(broker.roles().next(), Some("broker"));
}

#[test]
fn what_follows_is_told_in_order_and_once() {
    let mut story = Story::new();
    let talk = Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 502).of("modbus");
    story.then([arp(2, "10.0.0.2"), talk.opened(), talk.identified(), talk.ended(), arp(2, "10.0.0.3")]);
    assert_eq!(
        story.changes(),
        [
            "appeared mac 2 10.0.0.2",
            "appeared mac 1 ",
            "address 10.0.0.1",
            "offers modbus tcp/502",
            "type nothing -> programmable logic controller",
            "role plc -> hmi",
            "address 10.0.0.3",
        ]
    );
}

#[test]
fn a_device_is_found_by_id_address_and_name() {
    let story = Story::of([arp(1, "10.0.0.1"), name(host(1, "10.0.0.1"), "Pump-7.local")]);
    let id = story.inventory.devices().next().unwrap().id;
    for text in
        [&*id.to_string(), "00:1b:1b:00:00:01", "10.0.0.1", "::ffff:10.0.0.1", "pump-7", "PUMP-7.local."]
    {
        assert_eq!(story.device(text).id, id);
    }
    assert!(story.inventory.find("nobody").is_empty() && story.inventory.find("").is_empty());
}

// Persistence.

/// A small network with a bit of everything.
fn network() -> Vec<What> {
    let talks = [
        Talk::tcp(host(1, "10.0.0.1"), host(2, "10.0.0.2"), 502).of("modbus"),
        Talk::tcp(host(1, "10.0.0.1"), host(9, "93.184.216.34"), 443).of("tls").server_routed(),
        Talk::udp(host(3, "10.0.0.3"), host(9, "10.4.0.4"), 53).of("dns").server_routed(),
        Talk::tcp(host(3, "10.0.0.3"), host(2, "10.0.0.2"), 8443),
    ];
    let mut all = vec![arp(1, "10.0.0.1"), arp(2, "10.0.0.2"), arp(9, "10.0.0.254")];
    for talk in &talks {
        all.push(talk.opened());
        all.push(talk.ended());
    }
    all.push(name(host(1, "10.0.0.1"), "hmi-1"));
    all.push(fact(host(2, "10.0.0.2"), Attribute::Firmware, "V2.1", "modbus.revision", Confidence::CERTAIN));
    all.push(arp(1, "10.0.0.101"));
    all
}

#[test]
fn preparing_changes_nothing_whatever_is_known_and_however_much_comes() {
    let whats: Vec<What> = network().into_iter().cycle().take(3 * GROUP + 1).collect();
    let untold = Story::of(whats.clone());
    let mut told = Story::new();
    let at = told.now;
    let all: Vec<_> = whats.iter().cloned().map(|what| Observation { at, what }).collect();
    for (number, what) in whats.into_iter().enumerate() {
        told.inventory.prepare(&all[number..]);
        told.then([what]);
    }
    assert_eq!(told.events, untold.events);
    assert!(told.inventory.devices().eq(untold.inventory.devices()));
}

#[test]
fn only_what_changed_is_handed_over_and_only_once() {
    let mut story = Story::of(network());
    let first: Vec<Device> = story.inventory.drain_changed().collect();
    let mut all: Vec<Device> = story.inventory.devices().collect();
    all.sort_unstable_by_key(|device| device.id);
    assert_eq!(first, all, "in the order of their ids");
    assert_eq!(story.inventory.changed(), 0);
    story.then([arp(2, "10.0.0.2")]);
    let second: Vec<Device> = story.inventory.drain_changed().collect();
    assert_eq!(second, [story.device("10.0.0.2")]);
}

/// A frame of a station without a network address, to a group.
fn hello(number: u8) -> What {
    let group = Host { mac: Some(MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e])), ip: None };
    let mut talk = Talk::udp(Host { mac: Some(mac(number)), ip: None }, group, 0).unanswered();
    talk.0.head.transport = Transport::Ether(0x88cc);
    talk.opened()
}

fn names_chassis(number: u8, value: &str, source: &'static str) -> What {
    let about = Host { mac: Some(mac(number)), ip: None };
    fact(about, Attribute::Identifier, value, source, Confidence::STRONG)
}

#[test]
fn the_ports_of_a_chassis_and_its_own_address_are_one_device() {
    let chassis = format!("chassis {}", mac(1));
    let bridge = format!("bridge {}", mac(1));
    let all = [
        arp(1, "10.0.0.2"),
        name(host(1, "10.0.0.2"), "sw-core"),
        hello(3),
        names_chassis(3, &chassis, "lldp.chassis"),
        arp(3, "10.0.0.3"),
        hello(4),
        names_chassis(4, &bridge, "stp.bridge"),
        hello(7),
    ];
    // Whatever comes first, even the ports before the chassis.
    for turn in 0..all.len() {
        let mut order = all.to_vec();
        order.rotate_left(turn);
        let mut story = Story::of(order);
        let device = story.device("sw-core");
        assert_eq!(device.macs, [mac(1), mac(3), mac(4)], "turn {turn}");
        let addresses: Vec<IpAddr> = device.addresses.iter().map(|used| used.ip).collect();
        assert!(addresses.contains(&ip("10.0.0.2")) && addresses.contains(&ip("10.0.0.3")), "turn {turn}");
        assert_eq!(story.inventory.devices().count(), 2, "turn {turn}");
        story.then([arp(4, "10.0.0.4"), name(host(4, "10.0.0.4"), "sw-core-mgmt")]);
        assert_eq!(story.device("sw-core-mgmt").macs, [mac(1), mac(3), mac(4)], "turn {turn}");
    }
}

#[test]
fn who_names_the_chassis_of_another_maker_or_one_that_is_not_there_stays_alone() {
    let story = Story::of([
        arp(1, "10.0.0.2"),
        hello(3),
        names_chassis(3, "chassis 00:00:bc:00:00:01", "lldp.chassis"),
        hello(4),
        names_chassis(4, &format!("chassis {}", mac(9)), "lldp.chassis"),
        names_chassis(4, &format!("chassis {}", mac(1)), "snmp.identifier"),
    ]);
    assert!(story.inventory.devices().all(|device| device.macs.len() == 1));
    assert_eq!(story.inventory.devices().count(), 3);
}

#[test]
fn a_chassis_is_restored_with_its_ports() {
    let chassis = format!("chassis {}", mac(1));
    let story = Story::of([
        arp(1, "10.0.0.2"),
        hello(3),
        names_chassis(3, &chassis, "lldp.chassis"),
        arp(3, "10.0.0.3"),
    ]);
    let before = story.device("10.0.0.2");
    let mut restored = Inventory::new(Limits::default());
    assert!(restored.restore(&before));
    assert_eq!(restored.device(before.id), Some(before));
}

#[test]
fn restored_devices_are_as_they_were_and_go_on() {
    let story = Story::of(network());
    let before: Vec<Device> = story.inventory.devices().collect();
    for reverse in [false, true] {
        let mut restored = Story::new();
        restored.now = story.now;
        let mut devices = before.clone();
        if reverse {
            devices.reverse();
        }
        for device in &devices {
            assert!(restored.inventory.restore(device));
            assert!(!restored.inventory.restore(device), "twice");
        }
        assert_eq!(restored.inventory.changed(), 0);
        for device in &before {
            assert_eq!(restored.inventory.device(device.id).as_ref(), Some(device));
        }
        // The same network goes on: nothing new is told.
        restored.then(network());
        assert_eq!(restored.changes(), Vec::<String>::new());
        assert_eq!(restored.map(), story.map());
        let service = Service { protocol: "modbus".into(), transport: "tcp".into(), port: 502 };
        assert_eq!(restored.device("10.0.0.2").offers[&service], 2);
    }
}

#[test]
fn an_address_that_had_moved_belongs_to_its_last_owner_after_restoring() {
    let story = Story::of([arp(1, "10.0.0.5"), arp(1, "10.0.0.6"), arp(2, "10.0.0.5")]);
    let mut devices: Vec<Device> = story.inventory.devices().collect();
    for _ in 0..2 {
        let mut restored = Story::new();
        for device in &devices {
            assert!(restored.inventory.restore(device));
        }
        assert_eq!(restored.map(), ["1 10.0.0.5 10.0.0.6", "2 10.0.0.5"]);
        assert_eq!(restored.device("10.0.0.5").macs, [mac(2)]);
        devices.reverse();
    }
}

// Limits.

#[test]
fn a_flood_of_link_layer_addresses_takes_the_place_of_others_like_it_and_is_counted() {
    let limits = Limits { devices: 200, ..Limits::default() };
    let mut story = Story::within(limits);
    story.then(network());
    let known = story.map();
    for number in 0..10_000_u32 {
        let [.., b, c, d] = number.to_be_bytes();
        let from = Host { mac: Some(MacAddr([2, 0, 7, b, c, d])), ip: Some(ip("10.9.9.9")) };
        story.talk(&Talk::udp(from, host(2, "10.0.0.77"), 9).unanswered().packets(1));
    }
    let devices = story.map();
    assert!(known.iter().all(|device| devices.contains(device)), "the network's devices stay");
    assert!(story.inventory.counts().addresses <= 2 * limits.devices + 1);
    let mut shed = Vec::new();
    story.inventory.drain_shed(|one| shed.push((one.limit, one.count)));
    assert!(shed.iter().any(|(limit, count)| limit == "inventory.devices" && *count > 9_000), "{shed:?}");
}

#[test]
fn external_devices_have_a_limit_of_their_own() {
    let limits = Limits { external: 50, ..Limits::default() };
    let mut story = Story::within(limits);
    story.then(network());
    for number in 0..1000_u32 {
        let server = Host { mac: Some(mac(9)), ip: Some(IpAddr::V4((0x0800_0000 + number).into())) };
        story.talk(&Talk::tcp(host(1, "10.0.0.1"), server, 443).server_routed());
    }
    let counts = story.inventory.counts();
    assert_eq!((counts.external, counts.on_link, counts.routed), (50, 4, 1));
    let client = story.device("10.0.0.1");
    assert!(client.uses.values().sum::<u64>() >= 1000, "no conversation is lost");
}

#[test]
fn a_device_keeps_so_many_addresses_services_and_peers_and_no_more() {
    let limits = Limits { addresses: 8, services: 8, peers: 8, values: 4, ..Limits::default() };
    let mut story = Story::within(limits);
    for number in 1..60_u8 {
        let address = format!("10.0.{number}.1");
        story.then([arp(1, &address), name(host(1, &address), &format!("name{number}"))]);
        story.talk(&Talk::tcp(
            host(1, &address),
            host(100 + number, &format!("10.1.0.{number}")),
            number.into(),
        ));
    }
    story.talk(&Talk::tcp(host(1, "10.0.59.1"), host(101, "10.1.0.1"), 502).of("modbus"));
    let device = story.device("10.0.59.1");
    assert!(device.addresses.len() <= 16, "{}", device.addresses.len());
    assert_eq!((device.peers.len(), device.attributes[&Attribute::Hostname].len()), (8, 4));
    assert!(device.protocols.iter().any(|protocol| protocol == "modbus"), "recognised services find room");
    assert_eq!(device.bytes_out, 60 * 200, "volumes are whole");
}

#[test]
fn a_sender_of_too_many_unbound_addresses_is_a_router_for_good() {
    let mut story = Story::new();
    for last in 0..=NEAR_MAX {
        story.talk(&Talk::udp(host(9, &format!("10.0.0.{}", last + 1)), host(2, "10.0.0.99"), 9));
    }
    story.talk(&Talk::udp(host(9, "10.0.0.80"), host(2, "10.0.0.99"), 9));
    assert_eq!(story.inventory.counts().devices(), NEAR_MAX + 1 + 1 + 2);
    assert_eq!(story.device("10.0.0.80").via, Some(mac(9)));
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::links::{CLIENT, NONE, SERVER};

    fn hosts() -> impl Strategy<Value = Host> {
        let addresses = prop_oneof![
            6 => (0..4_u8, 1..9_u8).prop_map(|(net, last)| Some(IpAddr::from([10, 0, net, last]))),
            1 => (1..5_u8).prop_map(|last| Some(IpAddr::from([8, 8, 8, last]))),
            1 => (1..5_u16).prop_map(|last| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]))),
            1 => (1..5_u16).prop_map(|last| Some(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last]))),
            1 => prop_oneof![Just(ip("224.0.0.1")), Just(ip("0.0.0.0")), Just(ip("255.255.255.255"))].prop_map(Some),
            1 => Just(None),
        ];
        let macs = prop_oneof![
            8 => (1..6_u8).prop_map(|number| Some(mac(number))),
            1 => Just(None),
            1 => prop_oneof![Just(MacAddr::BROADCAST), Just(MacAddr::default()), Just(MacAddr([0, 0, 0x5e, 0, 1, 1]))]
                .prop_map(Some),
        ];
        (macs, addresses).prop_map(|(mac, ip)| Host { mac, ip })
    }

    fn reach() -> impl Strategy<Value = Reach> {
        prop_oneof![Just(Reach::Near), Just(Reach::Routed), Just(Reach::Unknown)]
    }

    fn talks() -> impl Strategy<Value = Talk> {
        let state = prop_oneof![
            Just(None),
            Just(Some(TcpState::SynSent)),
            Just(Some(TcpState::SynReceived)),
            Just(Some(TcpState::Refused)),
            Just(Some(TcpState::Midstream)),
            Just(Some(TcpState::Closed)),
        ];
        let protocol = prop_oneof![Just(None), Just(Some("modbus")), Just(Some("dns"))];
        (hosts(), hosts(), 0..5_u16, (reach(), reach()), state, protocol, (0..9_u64, 0..3_u64)).prop_map(
            |(client, server, port, reaches, state, protocol, (sent, received))| {
                let mut talk = Talk::udp(client, server, port).packets(sent);
                (talk.0.head.client_reach, talk.0.head.server_reach) = reaches;
                talk.0.received = Volume { packets: received, bytes: u64::MAX / 8 * received, payload: 1 };
                talk.0.protocol = protocol.map(Into::into);
                match state {
                    Some(state) => {
                        talk.0.head.transport = Transport::Tcp;
                        talk.state(state)
                    }
                    None => talk,
                }
            },
        )
    }

    fn bindings() -> impl Strategy<Value = What> {
        let source = prop_oneof![Just(BindingSource::Arp), Just(BindingSource::Dhcp)];
        (hosts(), source).prop_map(|(host, source)| {
            let (mac, ip) = (host.mac.unwrap_or(mac(1)), host.ip.unwrap_or(ip("10.0.0.1")));
            What::Binding(Binding { mac, ip, source })
        })
    }

    fn observations() -> impl Strategy<Value = What> {
        prop_oneof![
            3 => talks().prop_map(|talk| talk.ended()),
            1 => talks().prop_map(|talk| talk.opened()),
            1 => talks().prop_map(|talk| talk.of("s7comm").identified()),
            2 => bindings(),
            2 => (hosts(), "[ab]{1,2}").prop_map(|(about, value)| name(about, &value)),
        ]
    }

    fn small() -> Limits {
        Limits {
            devices: 12,
            external: 3,
            addresses: 3,
            values: 2,
            services: 3,
            peers: 3,
            links: 12,
            unproven: 4,
            pending_facts: 2,
            names: 5,
        }
    }

    fn run(all: &[What], limits: Limits) -> (Vec<Event>, Vec<Device>) {
        let mut story = Story::within(limits);
        story.then(all.iter().cloned());
        story.wait(Duration::from_secs(1000));
        let devices = story.inventory.devices().collect();
        (story.events, devices)
    }

    /// Everything that names a node names one that lives, and is named by it.
    fn assert_whole(known: &Inventory) {
        let live: BTreeSet<u32> = known.nodes().collect();
        for node in (0..known.slots()).filter(|node| !live.contains(node)) {
            assert!(!known.links.has_any(node), "a node that is gone has links");
            assert!(known.cold(node).parts.is_empty(), "a node that is gone has services");
        }
        for &node in &live {
            let owner = known.hot(node).owner;
            if owner != NONE {
                let listed = known.leaves(owner).iter().filter(|leaf| **leaf == node).count();
                assert_eq!((live.contains(&owner), listed), (true, 1), "an owner lists its addresses once");
            }
            for leaf in known.leaves(node) {
                assert!(live.contains(leaf), "an address that is gone is listed");
                assert_eq!(known.hot(*leaf).owner, node);
            }
            for near in known.station(node).into_iter().flat_map(|station| station.near.iter()) {
                assert!(live.contains(near), "an unbound address that is gone is listed");
                assert_eq!(known.stand(*near).behind, node);
            }
            for side in [CLIENT, SERVER] {
                for link in known.links.of(node, side) {
                    assert!(link.ends.iter().all(|end| *end == NONE || live.contains(end)));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_observations_give_the_same_events_twice_and_whole_devices(
            all in proptest::collection::vec(observations(), 0..120),
            tight in any::<bool>(),
        ) {
            let limits = if tight { small() } else { Limits::default() };
            let (events, devices) = run(&all, limits);
            prop_assert_eq!(&(events.clone(), devices.clone()), &run(&all, limits));
            let mut ids: Vec<_> = devices.iter().map(|device| device.id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), devices.len());
            for device in &devices {
                prop_assert!(device.first <= device.last);
                prop_assert!(!device.macs.is_empty() || device.addresses.len() == 1);
                prop_assert!(!device.peers.contains_key(&device.id));
                let offered: u64 = device.offers.values().sum();
                prop_assert!(offered <= all.len() as u64);
            }
            // A device that was told of is there, or was merged, or had to go; all that are there were told of.
            let told: Vec<_> = events
                .iter()
                .filter(|event| matches!(event.change, Change::DeviceAppeared { .. }))
                .filter_map(|event| event.device)
                .collect();
            prop_assert!(ids.iter().all(|id| told.contains(id)));
        }

        #[test]
        fn nothing_that_is_gone_is_named_whatever_has_to_go(
            all in proptest::collection::vec(observations(), 0..200),
            devices in 1..12_usize,
            addresses in 1..4_usize,
        ) {
            let mut story = Story::within(Limits { devices, addresses, ..small() });
            for what in all {
                story.then([what]);
                assert_whole(&story.inventory);
            }
        }

        #[test]
        fn everything_survives_a_store(all in proptest::collection::vec(observations(), 0..60)) {
            let (_, devices) = run(&all, Limits::default());
            let mut restored = Inventory::new(Limits::default());
            for device in &devices {
                restored.restore(device);
            }
            for device in &devices {
                let again = restored.device(device.id);
                prop_assert_eq!(again.map(|again| (again.id, again.bytes_out, again.offers)),
                    Some((device.id, device.bytes_out, device.offers.clone())));
            }
        }

        /// Each address is bound to one link-layer address at most, as in any network that works.
        #[test]
        fn bindings_before_or_after_or_between_conversations_give_the_same_devices(
            talks in proptest::collection::vec(talks(), 0..24),
            owners in proptest::collection::vec((0..4_u8, 1..9_u8, 1..6_u8), 0..12),
            places in proptest::collection::vec(any::<prop::sample::Index>(), 12),
        ) {
            let mut owned = std::collections::BTreeMap::new();
            for (net, last, number) in owners {
                owned.insert([10, 0, net, last], number);
            }
            let bindings: Vec<What> = owned
                .iter()
                .map(|(address, number)| arp(*number, &IpAddr::from(*address).to_string()))
                .collect();
            let talks: Vec<What> = talks.iter().map(Talk::ended).collect();
            let before: Vec<What> = bindings.iter().chain(&talks).cloned().collect();
            let after: Vec<What> = talks.iter().chain(&bindings).cloned().collect();
            let mut between = talks;
            for (binding, place) in bindings.iter().zip(&places) {
                between.insert(place.index(between.len() + 1), binding.clone());
            }
            // All at one moment: what is decided by waiting shall not depend on how much lies between.
            let map = |all: Vec<What>| {
                let mut story = Story { step: Duration::ZERO, ..Story::new() };
                story.then(all).then([What::SourceEnded(Box::default())]);
                // Of two ways to a host, the later one is told.
                let mut map: Vec<String> = story
                    .map()
                    .iter()
                    .map(|device| device.split(" via").next().unwrap_or_default().to_owned())
                    .collect();
                map.extend(story.inventory.devices().filter_map(|device| {
                    device.roles().any(|role| role == "router").then(|| format!("router {}", device.id))
                }));
                map.sort();
                map
            };
            let expected = map(before);
            prop_assert_eq!(&map(after), &expected);
            prop_assert_eq!(&map(between), &expected);
        }
    }
}
