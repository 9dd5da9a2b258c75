//! What every back end must do. A back end is one when it passes [`all`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use model::{
    Attribute, Confidence, Device, DeviceId, EndReason, Endpoint, Evidence, Finding, FindingId, FlowHead,
    FlowId, FlowRecord, Host, Incident, IncidentId, Judgement, Locality, MacAddr, Order, OrderKind, Party,
    Reach, Scope, Severity, Slice, TcpFlags, TcpState, TcpStats, Timestamp, Transport, Verdict, Volume,
};

use crate::{AnomalyTotals, Commit, FlowQuery, FlowScan, ProtocolTotals, ShedTotals, SourceState, Store};

/// A conversation that depends on its number in every field.
pub fn flow(number: u64) -> FlowRecord {
    let end = |last: u64, port| Endpoint {
        host: Host {
            mac: (!last.is_multiple_of(3)).then_some(MacAddr([2, 0, 0, 0, 0, last as u8])),
            ip: Some(IpAddr::V4(Ipv4Addr::new(10, 0, (last >> 8) as u8, last as u8))),
        },
        port,
    };
    let first = Timestamp::from_secs(1_700_000_000 + number);
    let tcp = number.is_multiple_of(2).then(|| TcpStats {
        state: TcpState::Established,
        rtt_ns: number.is_multiple_of(4).then_some(number * 1000),
        retransmitted: [number as u32, 1],
        missing: [0, number],
        flags: [TcpFlags(0x1b), TcpFlags(0x12)],
    });
    FlowRecord {
        head: FlowHead {
            id: FlowId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            transport: if tcp.is_some() { Transport::Tcp } else { Transport::Udp },
            vlan: number.is_multiple_of(5).then_some(7),
            client: end(number, 49_152),
            server: end(number + 1, if tcp.is_some() { 502 } else { 53 }),
            client_reach: Reach::Near,
            server_reach: Reach::Routed,
        },
        first,
        last: first + std::time::Duration::from_millis(number),
        sent: Volume { packets: number + 1, bytes: 100 * number, payload: 40 * number },
        received: Volume { packets: number, bytes: 90 * number, payload: 30 * number },
        protocol: (!number.is_multiple_of(3)).then(|| if tcp.is_some() { "modbus" } else { "dns" }.into()),
        tcp,
        end: if number.is_multiple_of(7) { EndReason::Idle } else { EndReason::Finished },
    }
}

/// A device that depends on its number.
pub fn device(number: u64) -> Device {
    let seen = Timestamp::from_secs(1_700_000_000 + number);
    let evidence = Evidence {
        value: format!("vendor {number}").into(),
        source: "oui".into(),
        confidence: Confidence::LIKELY,
        first: seen,
        last: seen,
        count: number + 1,
    };
    Device {
        id: DeviceId(number),
        locality: Locality::OnLink,
        macs: vec![MacAddr([2, 0, 0, 0, 1, number as u8])],
        addresses: Vec::new(),
        via: None,
        first: seen,
        last: seen,
        attributes: BTreeMap::from([(Attribute::Vendor, vec![evidence])]),
        offers: BTreeMap::new(),
        uses: BTreeMap::new(),
        protocols: vec!["modbus".into()],
        peers: BTreeMap::new(),
        packets_out: number,
        bytes_out: number,
        packets_in: 0,
        access: model::Access::Full,
        bytes_in: 0,
    }
}

fn source(packets: u64, complete: bool) -> SourceState {
    SourceState {
        key: "file:abc".into(),
        name: "a.pcap".into(),
        packets,
        recorded: packets,
        complete,
        ..SourceState::default()
    }
}

fn kept(store: &dyn Store, query: &FlowQuery) -> Vec<FlowRecord> {
    let mut all = Vec::new();
    store
        .flows(query, &mut |flow| {
            all.push(flow);
            true
        })
        .expect("conversations can be read");
    all
}

/// Runs the whole suite; `open` gives an empty store each time.
///
/// # Panics
/// Where the back end does not do what a store must.
pub fn all<S: Store>(mut open: impl FnMut() -> S) {
    an_empty_store_has_nothing(&open());
    what_is_committed_is_read_back(&mut open());
    devices_are_replaced_and_removed(&mut open());
    totals_add_up(&mut open());
    conversations_are_found_by_what_is_asked(&mut open());
    sources_keep_their_order_and_latest_state(&mut open());
    changes_since_a_look_are_told(&mut open());
    conversations_are_given_by_pages_from_the_latest(&mut open());
    findings_are_replaced_and_keep_their_verdicts(&mut open());
    what_is_told_because_of_findings_falls_with_the_last_of_them(&mut open());
    orders_wait_until_they_are_carried_out(&mut open());
}

/// A finding that depends on its number.
pub fn finding(number: u64) -> Finding {
    let at = Timestamp::from_secs(1_700_000_000 + number);
    Finding {
        id: FindingId::from_digest(number),
        detector: "host-scan".into(),
        severity: Severity::ALL[number as usize % 5],
        title: "Host scan".into(),
        summary: format!("finding {number}").into(),
        actor: Party {
            device: Some(DeviceId(number)),
            host: Host::from_ip(Ipv4Addr::new(10, 0, 0, 1).into()),
        },
        victim: None,
        matter: "".into(),
        first: at,
        raised: at,
        last: at,
        count: number,
        crossed: None,
        factors: Vec::new(),
        conversations: vec![FlowId(number)],
        evidence: Slice::Open,
        incident: Some(IncidentId::from_digest(number / 2)),
        because: Vec::new(),
        judgement: None,
    }
}

fn findings_are_replaced_and_keep_their_verdicts(store: &mut dyn Store) {
    let incident = |number| Incident {
        id: IncidentId::from_digest(number),
        severity: Severity::High,
        title: "Host scan".into(),
        stage: "discovery".into(),
        first: Timestamp::EPOCH,
        last: Timestamp::from_secs(number),
        findings: vec![FindingId::from_digest(number)],
        actors: Vec::new(),
        victims: Vec::new(),
        response: "".into(),
        next: Vec::new(),
    };
    let learnt = |text: &str| BTreeMap::from([("new-peer".to_owned(), text.as_bytes().to_vec())]);
    let commit = Commit {
        findings: vec![finding(1), finding(2)],
        incidents: vec![incident(1), incident(2)],
        learnt: learnt("a"),
        source: source(1, false),
        ..Commit::default()
    };
    store.commit(commit, &mut std::iter::empty()).expect("kept");
    let judgement = Judgement {
        verdict: Verdict::Expected,
        scope: Scope::Actor,
        reason: "ours".into(),
        by: None,
        declared: false,
    };
    store.judge(FindingId::from_digest(2), Some(judgement.clone())).expect("judged");
    let again = Finding { count: 9, ..finding(2) };
    let commit = Commit {
        findings: vec![again.clone()],
        gone_incidents: vec![IncidentId::from_digest(1)],
        learnt: learnt("b"),
        source: source(2, true),
        ..Commit::default()
    };
    store.commit(commit, &mut std::iter::empty()).expect("kept");
    let covered = Judgement { by: Some(FindingId::from_digest(2)), ..judgement.clone() };
    let covered = Finding { judgement: Some(covered), ..finding(1) };
    let judged = Finding { judgement: Some(judgement), ..again.clone() };
    assert_eq!(store.findings().expect("readable"), [covered, judged]);
    assert_eq!(store.incidents().expect("readable"), [incident(2)]);
    assert_eq!(store.learnt().expect("readable"), learnt("b"));
    store.judge(FindingId::from_digest(2), None).expect("judged");
    assert_eq!(store.findings().expect("readable"), [finding(1), again]);
    assert_eq!(store.judgements().expect("readable"), BTreeMap::from([(FindingId::from_digest(2), None)]));
}

fn what_is_told_because_of_findings_falls_with_the_last_of_them(store: &mut dyn Store) {
    let id = FindingId::from_digest;
    let part = Finding { detector: "lead-up".into(), because: vec![id(1), id(2)], ..finding(3) };
    let commit =
        Commit { findings: vec![finding(1), finding(2), part], source: source(1, true), ..Commit::default() };
    store.commit(commit, &mut std::iter::empty()).expect("kept");
    let said = |verdict| Judgement {
        verdict,
        scope: Scope::Finding,
        reason: "drill".into(),
        by: None,
        declared: false,
    };
    let of_part = |store: &dyn Store| store.findings().expect("readable").remove(2).judgement;
    store.judge(id(1), Some(said(Verdict::False))).expect("judged");
    assert_eq!(of_part(store), None, "the other still stands");
    store.judge(id(2), Some(said(Verdict::Expected))).expect("judged");
    let follows = Judgement { by: Some(id(1)), ..said(Verdict::False) };
    assert_eq!(of_part(store), Some(follows));
    store.judge(id(2), Some(said(Verdict::True))).expect("judged");
    assert_eq!(of_part(store), None);
    store.judge(id(2), Some(said(Verdict::False))).expect("judged");
    store.judge(id(3), Some(said(Verdict::True))).expect("judged");
    assert_eq!(of_part(store), Some(said(Verdict::True)), "its own goes before");
}

fn orders_wait_until_they_are_carried_out(store: &mut dyn Store) {
    let order = |say| Order { action: "a0000000000000001".into(), say };
    let said = |store: &dyn Store| -> Vec<OrderKind> {
        store.orders().expect("readable").into_iter().map(|(_, order)| order.say).collect()
    };
    for say in [OrderKind::Yes, OrderKind::Revert] {
        store.order(order(say)).expect("kept");
    }
    assert_eq!(said(store), [OrderKind::Yes, OrderKind::Revert], "in the order in which they were given");
    let first = store.orders().expect("readable")[0].0;
    store.carried_out(first).expect("kept");
    assert_eq!(said(store), [OrderKind::Revert]);
    let last = store.orders().expect("readable")[0].0;
    store.carried_out(last).expect("kept");
    assert!(said(store).is_empty());
    store.order(order(OrderKind::No)).expect("kept");
    assert!(store.orders().expect("readable")[0].0 > last, "numbers are not used again");
}

fn an_empty_store_has_nothing(store: &dyn Store) {
    assert!(store.orders().expect("readable").is_empty());
    assert!(store.devices().expect("readable").is_empty());
    assert!(kept(store, &FlowQuery::default()).is_empty());
    assert!(store.protocols().expect("readable").is_empty());
    assert!(store.anomalies().expect("readable").is_empty());
    assert!(store.shed().expect("readable").is_empty());
    assert!(store.sources().expect("readable").is_empty());
}

fn what_is_committed_is_read_back(store: &mut dyn Store) {
    let flows: Vec<_> = (0..20_000).map(flow).collect();
    let devices: Vec<_> = (0..50).map(device).collect();
    let commit = Commit { flows: flows.iter().collect(), source: source(9, true), ..Commit::default() };
    store.commit(commit, &mut devices.iter().cloned()).expect("kept");
    assert_eq!(kept(store, &FlowQuery::default()), flows);
    assert_eq!(store.devices().expect("readable"), devices);
    let mut first = 0;
    store
        .flows(&FlowQuery::default(), &mut |_| {
            first += 1;
            first < 10
        })
        .expect("readable");
    assert_eq!(first, 10, "reading stops when told");
}

fn devices_are_replaced_and_removed(store: &mut dyn Store) {
    let commit = Commit { source: source(1, false), ..Commit::default() };
    store.commit(commit, &mut (0..3).map(device)).expect("kept");
    let mut changed = device(1);
    changed.packets_out = 77;
    let gone = vec![DeviceId(2), DeviceId(99)];
    let commit = Commit { gone, source: source(2, true), ..Commit::default() };
    store.commit(commit, &mut std::iter::once(changed.clone())).expect("kept");
    assert_eq!(store.devices().expect("readable"), [device(0), changed]);
}

fn totals_add_up(store: &mut dyn Store) {
    let protocol = ProtocolTotals { flows: 1, packets: 10, bytes: 100, anomalies: 2 };
    let seen = |second| Timestamp::from_secs(second);
    let anomaly = |second, detail: &str| AnomalyTotals {
        count: 1,
        first: seen(second),
        last: seen(second),
        host: Host::from_mac(MacAddr([2, 0, 0, 0, 0, 1])),
        detail: detail.into(),
    };
    let shed = ShedTotals { count: 5, packets: 6, bytes: 7 };
    for second in 1..=3 {
        let commit = Commit {
            protocols: BTreeMap::from([("dns".into(), protocol)]),
            anomalies: BTreeMap::from([("ipv4.version".into(), anomaly(second, &format!("at {second}")))]),
            shed: BTreeMap::from([("flow.table".into(), shed)]),
            source: source(second, false),
            ..Commit::default()
        };
        store.commit(commit, &mut std::iter::empty()).expect("kept");
    }
    let dns = ProtocolTotals { flows: 3, packets: 30, bytes: 300, anomalies: 6 };
    assert_eq!(store.protocols().expect("readable"), BTreeMap::from([("dns".into(), dns)]));
    let anomalies = store.anomalies().expect("readable");
    let known = &anomalies["ipv4.version"];
    assert_eq!((known.count, known.first, known.last), (3, seen(1), seen(3)));
    assert_eq!(known.detail, "at 1", "the first one is the example");
    assert_eq!(
        store.shed().expect("readable")["flow.table"],
        ShedTotals { count: 15, packets: 18, bytes: 21 }
    );
}

fn conversations_are_found_by_what_is_asked(store: &mut dyn Store) {
    let flows: Vec<_> = (0..100).map(flow).collect();
    for part in flows.chunks(30) {
        let commit = Commit { flows: part.iter().collect(), source: source(1, false), ..Commit::default() };
        store.commit(commit, &mut std::iter::empty()).expect("kept");
    }
    let ip = "10.0.0.50".parse().ok();
    let queries = [
        (FlowQuery { ip, ..FlowQuery::default() }, 2),
        (FlowQuery { mac: Some(MacAddr([2, 0, 0, 0, 0, 50])), ..FlowQuery::default() }, 2),
        (FlowQuery { port: Some(502), ..FlowQuery::default() }, 50),
        (FlowQuery { since: Some(flow(90).first), ..FlowQuery::default() }, 10),
        (FlowQuery { until: Some(flow(9).first), ..FlowQuery::default() }, 10),
        (FlowQuery { protocol: Some("udp".into()), ..FlowQuery::default() }, 17),
        (FlowQuery { protocol: Some("modbus".into()), port: Some(53), ..FlowQuery::default() }, 0),
    ];
    for (query, count) in queries {
        let found = kept(store, &query);
        let wanted: Vec<_> = flows.iter().filter(|flow| query.matches(flow)).cloned().collect();
        assert_eq!(found, wanted, "{query:?}");
        assert_eq!(found.len(), count, "{query:?}");
    }
}

fn changes_since_a_look_are_told(store: &mut dyn Store) {
    let nothing = store.changes(0).expect("readable");
    assert!(nothing.devices.is_empty() && nothing.findings.is_empty());
    let commit =
        Commit { findings: vec![finding(1), finding(2)], source: source(1, false), ..Commit::default() };
    store.commit(commit, &mut (0..3).map(device)).expect("kept");
    let first = store.changes(nothing.number).expect("readable");
    assert_eq!(first.devices, [device(0), device(1), device(2)]);
    assert_eq!(first.findings, [finding(1), finding(2)]);
    assert!(store.changes(first.number).expect("readable").is_empty());
    let changed = Device { packets_out: 77, ..device(1) };
    let gone = vec![DeviceId(2), DeviceId(99)];
    let commit = Commit { gone, findings: vec![finding(2)], source: source(2, true), ..Commit::default() };
    store.commit(commit, &mut std::iter::once(changed.clone())).expect("kept");
    let second = store.changes(first.number).expect("readable");
    assert_eq!((second.devices, second.gone), (vec![changed], vec![DeviceId(2), DeviceId(99)]));
    assert_eq!(second.findings, [finding(2)]);
    let judged_before = second.judged;
    store.judge(finding(1).id, None).expect("kept");
    let third = store.changes(second.number).expect("readable");
    assert!(third.judged && third.devices.is_empty() && third.gone.is_empty() && third.findings.is_empty());
    assert!(!judged_before && third.number > second.number);
    // What comes back is there, and no longer gone.
    let commit = Commit { source: source(3, true), ..Commit::default() };
    store.commit(commit, &mut std::iter::once(device(2))).expect("kept");
    let all = store.changes(first.number).expect("readable");
    assert_eq!(all.devices.iter().map(|device| device.id).collect::<Vec<_>>(), [DeviceId(1), DeviceId(2)]);
    assert_eq!(all.gone, [DeviceId(99)]);
}

fn conversations_are_given_by_pages_from_the_latest(store: &mut dyn Store) {
    let flows: Vec<_> = (0..20_000).map(flow).collect();
    for part in flows.chunks(9_000) {
        let commit = Commit { flows: part.iter().collect(), source: source(1, false), ..Commit::default() };
        store.commit(commit, &mut std::iter::empty()).expect("kept");
    }
    let is_seventh = |flow: &FlowRecord| flow.sent.packets.is_multiple_of(7);
    let scans = [
        (FlowScan { limit: 6_000, look_at: u64::MAX, ..FlowScan::default() }, false),
        (FlowScan { limit: 1_000, look_at: 1, ..FlowScan::default() }, true),
        (
            FlowScan {
                since: Some(flow(300).first),
                until: Some(flow(9_500).first),
                limit: 100,
                look_at: 5,
                ..FlowScan::default()
            },
            true,
        ),
    ];
    for (mut scan, picks) in scans {
        let query = FlowQuery { since: scan.since, until: scan.until, ..FlowQuery::default() };
        let mut wanted: Vec<_> = flows
            .iter()
            .filter(|flow| query.matches(flow) && (!picks || is_seventh(flow)))
            .cloned()
            .collect();
        wanted.reverse();
        let mut found = Vec::new();
        for pages in 0.. {
            assert!(pages < 400, "pages come to an end");
            let page = store.latest_flows(&scan, &mut |flow| !picks || is_seventh(flow)).expect("readable");
            assert!(page.flows.len() <= scan.limit);
            found.extend(page.flows);
            let Some(next) = page.next else { break };
            assert!(scan.before.is_none_or(|before| next < before), "each page is further back");
            scan.before = Some(next);
        }
        assert_eq!(found, wanted);
    }
}

fn sources_keep_their_order_and_latest_state(store: &mut dyn Store) {
    let other = SourceState { key: "file:000".into(), name: "b.pcap".into(), ..SourceState::default() };
    for state in [source(10, false), other.clone(), source(25, true)] {
        let commit = Commit { source: state, ..Commit::default() };
        store.commit(commit, &mut std::iter::empty()).expect("kept");
    }
    assert_eq!(store.sources().expect("readable"), [source(25, true), other]);
    assert_eq!(store.source("file:abc").expect("readable"), Some(source(25, true)));
    assert_eq!(store.source("file:nothing").expect("readable"), None);
}

#[cfg(test)]
mod tests {
    use super::all;
    use crate::{Memory, Sqlite};

    #[test]
    fn memory_is_a_store() {
        all(Memory::default);
    }

    #[test]
    fn sqlite_is_a_store() {
        let mut folders = Vec::new();
        all(|| {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let store = Sqlite::create(folder.path()).expect("a store can be made");
            folders.push(folder);
            store
        });
    }
}
