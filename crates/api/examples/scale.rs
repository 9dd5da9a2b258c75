//! How long lists take over 100,000 devices and 10,000,000 conversations: `cargo run --release -p api --example scale [DIVISOR]`.
//! Prints the median and the 99th percentile of each kind of question, one at a time, without the network.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use account::{Accounts, Grant, Hardness, Passkeys, Seal, SealError, Unsealed};
use api::{App, Mirror, Peer, Settings, router};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::{AddressUse, Attribute, Confidence, Device, Evidence, Locality, Role, Timestamp};
use store::{AuditLog, Commit, Flows, SourceState, Sqlite, Store, conformance};
use tower::ServiceExt;
use trust::access::Policies;

/// Each question is asked so often.
const TIMES: usize = 200;
/// So many listen to events at a time.
const LISTENERS: usize = 1_000;

struct Plain;

impl Seal for Plain {
    fn seal(&self, _: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(plain.to_vec())
    }

    fn open(&self, _: &[u8], sealed: &[u8]) -> Result<Unsealed, SealError> {
        Ok(Unsealed::new(sealed.to_vec()))
    }
}

#[expect(clippy::disallowed_methods, reason = "tokens live by the clock")]
fn now() -> Timestamp {
    let since =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn device(number: u64) -> Device {
    let seen = Timestamp::from_secs(1_700_000_000 + number % 86_400);
    let evidence = |value: String| {
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
    let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number as u32));
    device.addresses = vec![AddressUse { ip, binding: None, first: seen, last: seen }];
    let role = Role::ALL[number as usize % Role::ALL.len()].name();
    for (attribute, value) in [
        (Attribute::Vendor, format!("Vendor {}", number % 97)),
        (Attribute::Role, role.to_owned()),
        (Attribute::Hostname, format!("{role}-{number}")),
        (Attribute::Model, format!("Model {}", number % 1_009)),
        (Attribute::Firmware, format!("V{}.{}", number % 7, number % 13)),
    ] {
        device.attributes.insert(attribute, evidence(value));
    }
    device
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let divisor: u64 = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let (devices, flows) = (100_000 / divisor, 10_000_000 / divisor);
    let folder = tempfile::tempdir()?;
    let mut store = Sqlite::create(folder.path())?;
    let source = || SourceState {
        key: "a".into(),
        packets: 1,
        last: Timestamp::from_secs(1_700_086_400),
        ..SourceState::default()
    };
    store.commit(Commit { source: source(), ..Commit::default() }, &mut (0..devices).map(device))?;
    for part in 0..flows.div_ceil(100_000) {
        let mut packed = Flows::default();
        (part * 100_000..((part + 1) * 100_000).min(flows))
            .for_each(|number| packed.push(&conformance::flow(number)));
        store.commit(
            Commit { flows: packed, source: source(), ..Commit::default() },
            &mut std::iter::empty(),
        )?;
    }
    let settings = Settings {
        site: "Scale".into(),
        origin: "http://localhost:8443".into(),
        hosts: ["localhost".to_owned()].into(),
        zones: Vec::new(),
        industrial: Default::default(),
    };
    let accounts = Accounts::in_memory(Arc::new(Plain), Passkeys::new(&settings.origin)?, "administrator")?
        .with_hardness(Hardness::FOR_TESTS);
    let link = accounts.setup_link(now())?.ok_or("somebody is there")?;
    accounts.setup(&link, "root", "", "several unrelated words", now())?;
    let viewer = Grant { role: "viewer".into(), site: None, zone: None };
    accounts.invite("ann", "", &[viewer], now())?;
    let token = || {
        accounts.make_token("ann", "scale", &["read".to_owned()], now() + Duration::from_secs(86_400), now())
    };
    // The limit of one who asks is not what is measured.
    let tokens: Vec<String> = (0..200)
        .map(|_| token().map(|(_, secret, _)| secret.reveal().to_owned()))
        .collect::<Result<_, _>>()?;
    let app = App::new(
        settings,
        Mirror::new(folder.path()),
        accounts,
        Policies::built_in()?,
        AuditLog::create(folder.path())?,
    );
    let start = Instant::now();
    app.refresh()?;
    println!(
        "{devices} devices, {flows} conversations; taken in within {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let router = router(Arc::clone(&app));
    let mut asked = 0;
    let mut ask = async |path: &str| -> Result<(StatusCode, Vec<u8>), Box<dyn std::error::Error>> {
        asked += 1;
        let request = Request::get(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", tokens[asked % tokens.len()]));
        let mut request = request.body(Body::empty())?;
        request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let response = router.clone().oneshot(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes().to_vec()))
    };
    println!("| question | median, ms | 99th percentile, ms |\n|---|---|---|");
    for (what, path) in [
        ("devices, a page", "/api/v1/devices?limit=100".to_owned()),
        ("devices by name", "/api/v1/devices?limit=100&sort=name".to_owned()),
        ("devices last seen first", "/api/v1/devices?limit=100&sort=-seen".to_owned()),
        ("devices of a role", "/api/v1/devices?limit=100&filter=role:plc".to_owned()),
        ("devices in a network", "/api/v1/devices?limit=100&filter=ip:10.0.7.0/24".to_owned()),
        ("devices by a word anywhere", format!("/api/v1/devices?limit=100&filter=plc-{}", devices / 2)),
        ("one device", format!("/api/v1/devices/d{:012x}", devices / 3)),
        ("overview", "/api/v1/overview".to_owned()),
        ("conversations, a page", "/api/v1/flows?limit=100".to_owned()),
        ("conversations of a protocol", "/api/v1/flows?limit=100&filter=protocol:modbus".to_owned()),
        ("conversations that nobody had", "/api/v1/flows?limit=100&filter=port=9".to_owned()),
        ("conversations of a day long ago", "/api/v1/flows?limit=100&until=2023-11-15T00:00:00Z".to_owned()),
    ] {
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let start = Instant::now();
            let (status, body) = ask(&path).await?;
            times.push(start.elapsed());
            if status != StatusCode::OK {
                return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
            }
        }
        times.sort();
        let ms = |place: usize| times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!("| {what} | {:.1} | {:.1} |", ms(TIMES / 2), ms(TIMES * 99 / 100));
    }
    let mut listeners = Vec::with_capacity(LISTENERS);
    for number in 0..LISTENERS {
        let request = Request::get("/api/v1/events")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", tokens[number % tokens.len()]));
        let mut request = request.body(Body::empty())?;
        request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        listeners.push(router.clone().oneshot(request).await?.into_body());
    }
    store.commit(Commit { source: source(), ..Commit::default() }, &mut std::iter::once(device(1)))?;
    let start = Instant::now();
    app.refresh()?;
    for listener in &mut listeners {
        listener.frame().await.ok_or("a listener heard nothing")??;
    }
    println!(
        "\n{LISTENERS} listeners told of one change within {:.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
