use enforce::respond::{Responder, SeenCertificate};
use enforce::{Family, MemoryFirewall};
use model::{Change, DeviceId, Event};
use serde_json::{Value, json};

use testkit::tls::{Authority, DEADLINE, Posted, Server, free, web};

use super::super::{Issuer as Asks, Report, Terminal, Wall, Worker, choose};
use super::*;

/// No second try while a test runs.
const ONCE: &[Duration] = &[Duration::from_secs(3_600)];
/// Many short pauses: whoever is down for a moment is tried again at once.
const OFTEN: &[Duration] = &[Duration::from_millis(10); 1_000];
/// Two more tries at once.
const TWICE: &[Duration] = &[Duration::from_millis(1); 2];

fn request() -> Request {
    let holder = Holder {
        device: DeviceId(0x0102_0304_0506),
        names: vec!["camera-3".into()],
        macs: vec!["00:1b:1b:00:00:05".parse().unwrap()],
        addresses: vec!["10.0.0.5".parse().unwrap()],
        certificates: vec![SeenCertificate {
            serial: "0a".into(),
            issuer: "CN=Plant".into(),
            sha256: "ff".into(),
        }],
    };
    let action =
        Action::RevokeCredential { credential: "d010203040506".into(), holder: Some(Box::new(holder)) };
    let incident = Some(IncidentId::from_digest(7));
    Request {
        action,
        life: Duration::from_secs(3_600),
        reason: "Password guessing (rule all)".into(),
        incident,
    }
}

fn poster(authority: &Authority, port: u16) -> Poster {
    let secret = authority.secret("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let ca = authority.text("ca.pem");
    let text =
        format!("url = \"https://localhost:{port}/revoke\"\nca = \"{ca}\"\nsecret-file = \"{secret}\"");
    open(&toml::from_str(&text).unwrap()).unwrap()
}

/// A thread that acts as that of a watch does, on a firewall in memory; and what it reports.
struct Watch {
    worker: Worker,
    reports: Inbox<Report>,
    folder: tempfile::TempDir,
}

impl Watch {
    fn new(issuer: Asks, is_real: bool) -> Self {
        Self::again(issuer, is_real, tempfile::tempdir().unwrap())
    }

    fn again(issuer: Asks, is_real: bool, folder: tempfile::TempDir) -> Self {
        let wall = Wall::Memory(MemoryFirewall::new());
        let path = folder.path().join("journal");
        let responder =
            Responder::open(wall, Terminal { issuer }, Family::Routed, Vec::new(), &path, clock()).unwrap();
        let (outbox, reports) = channel();
        let teller = None;
        let worker = Worker { responder, is_real, outbox, teller, looked: Instant::now() };
        Self { worker, reports, folder }
    }

    fn act(&mut self) {
        let wanted = choose::Wanted {
            incident: IncidentId::from_digest(7),
            at: clock(),
            target: "10.0.0.5 (camera-3)".into(),
            request: request(),
            cuts: enforce::respond::BlastRadius::default(),
            refused: None,
        };
        self.worker.act(wanted, None, None);
    }

    /// The outcomes that are reported until this one.
    fn until(&mut self, last: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut all = Vec::new();
        while all.last().is_none_or(|outcome| outcome != last) {
            assert!(Instant::now() < deadline, "{all:?}");
            self.worker.settle();
            let outcome = |report: Report| match report.event {
                Event { change: Change::ActionTaken { action }, .. } => action.outcome.into_owned(),
                other => panic!("{other:?}"),
            };
            all.extend(self.reports.recv_timeout(Duration::from_millis(5)).ok().map(outcome));
        }
        all
    }

    fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap();
        let step =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["step"].as_str().unwrap().to_owned();
        text.lines().map(step).collect()
    }
}

fn asks(authority: &Authority, server: &Server<Posted>, pauses: &'static [Duration]) -> Asks {
    Asks::Known(Revoker::with(poster(authority, server.port), pauses))
}

#[test]
fn a_credential_is_revoked_by_https_with_all_that_is_known_of_its_holder_and_tried_until_it_is() {
    let authority = Authority::new();
    let server = web(Some(authority.server(false)), 0, &["503 Later", "204 Done"]);
    let mut watch = Watch::new(asks(&authority, &server, OFTEN), true);
    watch.act();
    assert_eq!(watch.until("taken"), ["requested", "taken"]);
    let [first, second] = [server.hears(), server.hears()];
    assert_eq!(first.body, second.body);
    for header in ["webhook-id", "webhook-signature", "webhook-timestamp"] {
        assert!(second.header(header).is_some_and(|value| !value.is_empty()), "{header}");
    }
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert!(second.head.starts_with("POST /revoke HTTP/1.1\r\n"));
    let mut body: Value = serde_json::from_str(&second.body).unwrap();
    let at = body.as_object_mut().unwrap().remove("at").unwrap();
    assert!(at.as_str().unwrap().starts_with("20"), "{at}");
    let id = request().action.id().to_string();
    let meant = json!({
        "action": id,
        "device": "d010203040506",
        "names": ["camera-3"],
        "macs": ["00:1b:1b:00:00:05"],
        "addresses": ["10.0.0.5"],
        "certificates": [{"serial": "0a", "issuer": "CN=Plant", "sha256": "ff"}],
        "incident": "i000000000007",
        "reason": "Password guessing (rule all)",
    });
    assert_eq!(body, meant);
    assert_eq!(watch.journal(), ["begun", "done"]);
    // It is not asked for again while it is in force.
    watch.act();
    watch.worker.end();
    assert!(server.rest().is_empty());
}

#[test]
fn what_is_given_up_is_told_and_may_be_asked_for_again() {
    let authority = Authority::new();
    let server = web(Some(authority.server(false)), 0, &["500 No", "500 No", "500 No", "200 Done"]);
    let mut watch = Watch::new(asks(&authority, &server, TWICE), true);
    watch.act();
    assert_eq!(watch.until("failed"), ["requested", "failed"]);
    assert_eq!(watch.journal(), ["begun", "failed"]);
    watch.act();
    assert_eq!(watch.until("taken"), ["requested", "taken"]);
}

#[test]
fn who_cannot_show_who_it_is_is_not_asked() {
    let authority = Authority::new();
    let server = web(Some(authority.server(false)), 0, &["200 Done"]);
    let text =
        format!("url = \"https://localhost:{}/\"\nca = \"{}\"", server.port, authority.text("other.pem"));
    let poster = open(&toml::from_str(&text).unwrap()).unwrap();
    let mut watch = Watch::new(Asks::Known(Revoker::with(poster, &[])), true);
    watch.act();
    assert_eq!(watch.until("failed"), ["requested", "failed"]);
    assert!(server.rest().is_empty());
    assert!(open(&Endpoint::from("http://127.0.0.1/".to_owned())).err().unwrap().contains("https:// only"));
}

#[test]
fn what_was_not_done_before_the_end_is_done_by_the_next_watch() {
    let authority = Authority::new();
    let port = free();
    let mut watch = Watch::new(Asks::Known(Revoker::with(poster(&authority, port), ONCE)), true);
    watch.act();
    assert_eq!(watch.until("requested"), ["requested"]);
    watch.worker.end();
    assert_eq!(watch.journal(), ["begun"]);
    let folder = watch.folder;
    // One that knows nobody who revokes leaves it as it is.
    let watch = Watch::again(Asks::Elsewhere, true, folder);
    assert_eq!(watch.journal(), ["begun"]);
    let server = web(Some(authority.server(false)), port, &["200 Done"]);
    let mut watch = Watch::again(asks(&authority, &server, OFTEN), true, watch.folder);
    assert_eq!(watch.until("taken"), ["taken"]);
    assert_eq!(watch.journal(), ["begun", "done"]);
}

#[test]
fn what_a_person_takes_back_before_it_is_done_is_not_asked_for() {
    let authority = Authority::new();
    let server = web(Some(authority.server(false)), 0, &["500 No", "200 Done"]);
    let mut watch = Watch::new(asks(&authority, &server, ONCE), true);
    watch.act();
    server.hears();
    watch.worker.obey(request().action.id(), model::OrderKind::Revert);
    assert_eq!(watch.until("reverted"), ["requested", "reverted"]);
    // By the end it is tried for the last time.
    watch.worker.end();
    assert!(server.rest().is_empty());
    assert_eq!(watch.journal(), ["begun", "reverted"]);
}

#[test]
fn what_is_only_observed_revokes_nothing() {
    let mut watch = Watch::new(Asks::Pretended, false);
    watch.act();
    assert_eq!(watch.until("observed"), ["observed"]);
    assert_eq!(watch.journal(), ["begun", "done"]);
}
