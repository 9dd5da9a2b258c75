//! A place with a few devices, findings and people; and somebody who asks.

use std::net::IpAddr;
use std::sync::Arc;

use account::{Accounts, Begun, From, Grant, Hardness, Opened, Passkeys, Seal, SealError, Unsealed};
use api::{App, Mirror, Peer, Settings, router};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use detect::Zone;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use model::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Finding, Host, Locality, Party, Slice,
    Timestamp,
};
use serde_json::Value;
use store::{AuditLog, Commit, SourceState, Sqlite, Store, conformance};
use tower::ServiceExt;
use trust::access::Policies;

pub(crate) const ORIGIN: &str = "http://localhost:8443";
pub(crate) const PASSWORD: &str = "several unrelated words";
pub(crate) const FROM: From<'_> =
    From { address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), agent: "test" };

/// Seals nothing: what is sealed is of no interest here.
struct Plain;

impl Seal for Plain {
    fn seal(&self, _: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(plain.to_vec())
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Result<Unsealed, SealError> {
        Ok(Unsealed::new(sealed.to_vec()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the server lives by the clock")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap())
}

/// A device in a zone, with a name that is an attack on pages and tables.
pub(crate) fn device(number: u64, ip: &str, name: &str) -> Device {
    let seen = Timestamp::from_secs(1_700_000_000 + number);
    let evidence = |value: &str| {
        vec![Evidence {
            value: value.into(),
            source: "dhcp.hostname".into(),
            confidence: Confidence::STRONG,
            first: seen,
            last: seen,
            count: 1,
        }]
    };
    let mut device = conformance::device(number);
    device.locality = Locality::OnLink;
    device.addresses = vec![AddressUse { ip: ip.parse().unwrap(), binding: None, first: seen, last: seen }];
    device.attributes.insert(Attribute::Hostname, evidence(name));
    device.attributes.insert(Attribute::Role, evidence("plc"));
    device
}

fn finding(number: u64, device: u64, ip: &str) -> Finding {
    let host = Host { ip: ip.parse().ok(), mac: None };
    Finding {
        actor: Party { device: Some(DeviceId(device)), host },
        victim: None,
        evidence: Slice::Missing { reason: "this is a test".into() },
        incident: None,
        ..conformance::finding(number)
    }
}

pub(crate) struct Place {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) store: Sqlite,
    pub(crate) folder: tempfile::TempDir,
}

/// Two zones, a device and a finding in each and one of each in none.
pub(crate) fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::create(folder.path()).unwrap();
    let devices = [
        device(1, "10.1.0.5", "<script>alert(1)</script>"),
        device(2, "10.2.0.5", "=HYPERLINK(\"http://evil.example\")"),
        device(3, "10.9.0.5", "plain"),
    ];
    let findings = vec![finding(1, 1, "10.1.0.5"), finding(2, 2, "10.2.0.5"), finding(3, 3, "10.9.0.5")];
    let source = SourceState {
        key: "a".into(),
        packets: 9,
        last: Timestamp::from_secs(1_700_000_100),
        ..SourceState::default()
    };
    let flows = (0..300).map(conformance::flow).collect::<Vec<_>>().iter().collect();
    store.commit(Commit { findings, source, flows, ..Commit::default() }, &mut devices.into_iter()).unwrap();
    let zone = |name: &str, network: &str| Zone {
        name: name.into(),
        networks: vec![network.parse().unwrap()],
        ..Zone::default()
    };
    let settings = Settings {
        site: "North plant".into(),
        origin: ORIGIN.into(),
        hosts: ["localhost".to_owned()].into(),
        zones: vec![zone("cell-1", "10.1.0.0/16"), zone("cell-2", "10.2.0.0/16")],
        industrial: ["cell-1".to_owned()].into(),
    };
    let accounts = Accounts::in_memory(Arc::new(Plain), Passkeys::new(ORIGIN).unwrap(), "administrator")
        .unwrap()
        .with_hardness(Hardness::FOR_TESTS);
    let app = App::new(
        settings,
        Mirror::new(folder.path()),
        accounts,
        Policies::built_in().unwrap(),
        AuditLog::create(folder.path()).unwrap(),
    );
    app.refresh().unwrap();
    Place { router: router(Arc::clone(&app)), app, store, folder }
}

/// The code that an authenticator application shows now.
pub(crate) fn code(uri: &str) -> String {
    let text = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let bits: String = text
        .bytes()
        .map(|c| {
            format!(
                "{:05b}",
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).unwrap()
            )
        })
        .collect();
    let key: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&key).unwrap();
    mac.update(&(now().as_nanos() / 1_000_000_000 / 30).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

impl Place {
    /// Somebody with a role, signed in with a second factor just now.
    pub(crate) fn signed_in(&self, name: &str, grants: &[Grant]) -> Client {
        let accounts = &self.app.accounts;
        let link = accounts.setup_link(now()).unwrap();
        if let Some(link) = link {
            accounts.setup(&link, "first", "", PASSWORD, now()).unwrap();
        }
        let (link, _) = accounts.invite(name, "", grants, now()).unwrap();
        accounts.accept(&link, PASSWORD, now()).unwrap();
        let Begun::Enrol(opened) = accounts.begin(name, PASSWORD, &FROM, now()).unwrap() else {
            panic!("no factor yet")
        };
        let (uri, ceremony) = accounts.begin_totp(name, now()).unwrap();
        accounts.confirm_totp(name, &ceremony, &code(&uri), now()).unwrap();
        self.with(accounts.enrolled(&opened.session, now()).unwrap())
    }

    pub(crate) fn with_role(&self, name: &str, role: &str) -> Client {
        self.signed_in(name, &[grant(role, None)])
    }

    pub(crate) fn with(&self, opened: Opened) -> Client {
        let csrf = opened.session.csrf.clone();
        Client {
            cookie: Some(format!("pavise={}", opened.secret.reveal())),
            csrf: Some(csrf),
            ..self.nobody()
        }
    }

    pub(crate) fn nobody(&self) -> Client {
        Client {
            router: self.router.clone(),
            address: FROM.address,
            cookie: None,
            csrf: None,
            token: None,
            headers: Vec::new(),
        }
    }
}

pub(crate) fn grant(role: &str, zone: Option<&str>) -> Grant {
    Grant { role: role.into(), site: None, zone: zone.map(Into::into) }
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) address: IpAddr,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn cookie(&self) -> String {
        let set = self.headers[header::SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) async fn raw(&self, method: Method, path: &str, body: Body) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        let mut set = vec![("host", "localhost:8443".to_owned())];
        set.extend(self.cookie.iter().map(|cookie| ("cookie", cookie.clone())));
        set.extend(self.csrf.iter().map(|csrf| ("x-csrf-token", csrf.clone())));
        set.extend(self.token.iter().map(|token| ("authorization", format!("Bearer {token}"))));
        set.push(("content-type", "application/json".into()));
        for (name, value) in &self.headers {
            set.retain(|(known, _)| known != name);
            set.push((name, value.clone()));
        }
        for (name, value) in set {
            request = request.header(name, value);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Peer(self.address));
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.raw(method, path, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }
}
