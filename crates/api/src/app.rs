//! What all who answer share.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use account::Accounts;
use detect::Zone;
use model::{Attribute, Device, Host, Timestamp};
use store::{AuditEntry, AuditLog, StoreError};
use tokio::sync::{Semaphore, broadcast};
use trust::access::Policies;

use crate::estate::{Mirror, Notice};
use crate::limits::Rates;
use crate::problem::Problem;

/// So many notices wait for a listener who is slow; he is told that he missed some.
pub const NOTICES_WAITING: usize = 4_096;
/// So many requests read the disk at a time.
const READING_MAX: usize = 8;

/// How things are served here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the place is called.
    pub site: String,
    /// Where people reach it: `https://pavise.example.com:8443`. Changes are only taken from pages of it.
    pub origin: String,
    /// Other names and addresses under which it answers, without a port.
    pub hosts: BTreeSet<String>,
    /// Parts of the place that have a name.
    pub zones: Vec<Zone>,
    /// The names of zones that hold controllers: in these, actions are an operator's.
    pub industrial: BTreeSet<String>,
}

impl Settings {
    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https:")
    }
}

/// What all who answer share.
#[derive(Debug)]
pub struct App {
    /// How things are served here.
    pub settings: Settings,
    /// The state.
    pub mirror: Mirror,
    /// Who people and programs are.
    pub accounts: Accounts,
    /// Who may do what.
    pub access: Policies,
    /// What happens, for listeners.
    pub(crate) notices: broadcast::Sender<(u64, Notice)>,
    pub(crate) rates: Rates,
    audit: Mutex<AuditLog>,
    reading: Semaphore,
    started: Timestamp,
}

impl App {
    /// What serves the state that `mirror` follows.
    pub fn new(
        settings: Settings,
        mirror: Mirror,
        accounts: Accounts,
        access: Policies,
        audit: AuditLog,
    ) -> Arc<Self> {
        let (notices, _) = broadcast::channel(NOTICES_WAITING);
        Arc::new(Self {
            settings,
            mirror,
            accounts,
            access,
            notices,
            rates: Rates::default(),
            audit: Mutex::new(audit),
            reading: Semaphore::new(READING_MAX),
            started: now(),
        })
    }

    /// When it was started.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Takes in what has changed in the state, and tells listeners.
    ///
    /// # Errors
    ///
    /// If the state cannot be read.
    pub fn refresh(&self) -> Result<usize, StoreError> {
        let notices = self.mirror.refresh()?;
        let (count, number) = (notices.len(), self.mirror.estate().number);
        for notice in notices {
            // Without listeners nobody is told.
            let _ = self.notices.send((number, notice));
        }
        Ok(count)
    }

    /// Lets something that waits for the disk or the processor run beside the others, a few at a time.
    pub(crate) async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let closed = || Problem::unavailable("the server is ending");
        let _turn = self.reading.acquire().await.map_err(|_| closed())?;
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&app))
            .await
            .map_err(|_| Problem::internal("answering failed"))?
    }

    /// Writes down what somebody did or tried; only then may it be said to be done.
    ///
    /// # Errors
    ///
    /// If it could not be written.
    pub(crate) fn note(&self, entry: AuditEntry) -> Result<(), Problem> {
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.add(entry).map(drop).map_err(|_| {
            Problem::unavailable(
                "what is done here is written down first, and that failed; see the log of the server",
            )
        })
    }

    /// The zone of a device: the first that it is in.
    pub(crate) fn zone_of(&self, device: &Device) -> Option<&str> {
        let role = device.best(Attribute::Role);
        let hosts = || {
            let by_ip = device.addresses.iter().map(|known| Host { ip: Some(known.ip), mac: None });
            by_ip.chain(device.macs.iter().map(|mac| Host::from_mac(*mac)))
        };
        let zones = self.settings.zones.iter();
        let mut holding =
            zones.filter(|zone| hosts().any(|host| zone.holds(&host, role)) || zone.holds(&NOWHERE, role));
        holding.next().map(|zone| zone.name.as_str())
    }

    /// The kind of a zone, as policies about access know it.
    pub(crate) fn kind_of(&self, zone: Option<&str>) -> &'static str {
        if zone.is_some_and(|zone| self.settings.industrial.contains(zone)) {
            "industrial"
        } else {
            "enterprise"
        }
    }
}

/// A host without an address.
const NOWHERE: Host = Host { ip: None, mac: None };

/// The clock. The brain reads none; whoever signs in and out lives by it.
#[expect(clippy::disallowed_methods, reason = "sessions, codes and certificates live by the clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The address from which a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);
