//! `pavise serve`: the API and the console over a state.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use account::{Accounts, Passkeys, Seal, SealError, Unsealed};
use api::{App, Mirror, Tls};
use clap::Args;
use model::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use seal::{Context, Source, Vault};
use store::AuditLog;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use crate::access;
use crate::command::State;
use crate::output::{Problem, say};
use crate::settings;

mod certificate;

/// The state is looked at so often.
const LOOK: Duration = Duration::from_millis(250);
/// What could not be read is told again after so many looks.
const TOLD_AGAIN: u32 = 240;
/// Threads that answer.
const THREADS: usize = 2;
/// Whoever sets the place up is alone there on the first day, and triages, too. Who else may is his to say.
const FIRST_ALSO: [&str; 2] = ["analyst", "operator"];
/// The role that manages users.
const ADMINISTRATOR: &str = "administrator";

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise serve                                        on this machine alone: https://localhost:8443
  pavise serve --listen 0.0.0.0:8443 --name pavise.plant.example
  pavise serve --certificate site.pem --key site.key --name pavise.plant.example
  pavise serve --plain                                without TLS, on this machine alone

At the first start it prints a link with which the first administrator is made; there is no default password.
It needs no rights but to read and write the state's folder: a watch that listens to interfaces may run beside it as
another user's process, on the same state.")]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443", env = "PAVISE_LISTEN")]
    listen: SocketAddr,
    /// The name under which people reach it; passkeys hold for this name
    #[arg(long, value_name = "HOST", default_value = "localhost", env = "PAVISE_NAME")]
    name: String,
    /// Other names and addresses under which it answers
    #[arg(long = "also", value_name = "HOST")]
    also: Vec<String>,
    /// A file with the chain of certificates (PEM); one of an authority in the state's folder unless given
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    certificate: Option<PathBuf>,
    /// A file with the certificate's key (PEM)
    #[arg(long, value_name = "FILE.pem", requires = "certificate")]
    key: Option<PathBuf>,
    /// Without TLS; only where nobody but this machine can listen
    #[arg(long, conflicts_with_all = ["certificate", "key"])]
    plain: bool,
    /// Settings (TOML); settings.toml in the state's folder unless given
    #[arg(long, value_name = "FILE.toml")]
    settings: Option<PathBuf>,
    /// Zones that hold controllers: actions there are an operator's
    #[arg(long = "industrial", value_name = "ZONE")]
    industrial: Vec<String>,
    /// A file or folder of policies about who may do what (*.cedar); the built-in ones unless given
    #[arg(long, value_name = "FILE.cedar")]
    access: Option<PathBuf>,
    /// Open the page in the browser of this machine
    #[arg(long)]
    open: bool,
    /// Print the contract (OpenAPI 3.1) as JSON, and end
    #[arg(long)]
    openapi: bool,
    #[command(flatten)]
    state: State,
}

/// What must be read back of accounts is sealed by the state's vault.
struct Sealed(Vault);

impl Seal for Sealed {
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let context = Context::of(&["accounts", &String::from_utf8_lossy(context)]);
        self.0.seal(plain, &context).map_err(|_| SealError)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Unsealed, SealError> {
        let context = Context::of(&["accounts", &String::from_utf8_lossy(context)]);
        self.0.unseal(sealed, &context).map(|plain| Unsealed::new(plain.to_vec())).map_err(|_| SealError)
    }
}

#[expect(clippy::disallowed_methods, reason = "links and certificates live by the clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    if options.openapi {
        let mut out = crate::output::Output::new();
        out.line(api::openapi().trim_end())?;
        return out.flush();
    }
    let other = |error: &dyn std::fmt::Display| Problem::Other(format!("cannot serve: {error}"));
    if options.plain && !options.listen.ip().is_loopback() {
        return Err(Problem::Other(format!(
            "--plain is for this machine alone, but {} can be reached from others: leave it out, or listen on 127.0.0.1",
            options.listen
        )));
    }
    let folder = &options.state.state;
    private(folder)?;
    let settings = served(options)?;
    let secret = folder.join("secret");
    private(&secret)?;
    let vault = Vault::open_or_make(&secret, &Source::File(secret.join("vault.key")), now())
        .map_err(|error| other(&error))?;
    let passkeys = Passkeys::new(&settings.origin).map_err(|error| other(&error))?;
    let accounts =
        Accounts::open(&folder.join("accounts.db"), Arc::new(Sealed(vault)), passkeys, ADMINISTRATOR)
            .map_err(|error| other(&error))?
            .with_first_also(&FIRST_ALSO)
            .with_issuer(format!("Pavise {}", settings.site).trim().to_owned());
    let policies = access::read(options.access.as_deref())?;
    let tls = if options.plain { None } else { Some(tls(options, &settings)?) };
    let origin = settings.origin.clone();
    let app = App::new(settings, Mirror::new(folder), accounts, policies, AuditLog::create(folder)?);
    app.refresh()?;
    let stop = crate::watch::interrupts()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| other(&error))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| other(&api::ServeError::Listen { address: options.listen, source }))?;
        say(format_args!("Serving {} at {origin}; Ctrl-C ends it.", folder.display()));
        if !api::has_console() {
            say("This binary was built without the console; the API is there.");
        }
        let mut page = origin.clone();
        if let Some(link) = app.accounts.setup_link(now()).map_err(|error| other(&error))? {
            say(format_args!(
                "Nobody can sign in yet. Make the first administrator, within 24 hours, at\n\n    {origin}/setup#{}\n",
                link.reveal()
            ));
            page = format!("{origin}/setup#{}", link.reveal());
        }
        if options.open && api::has_console() {
            open(&page);
        }
        let ended = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let follower = tokio::spawn(follow(Arc::clone(&app)));
        api::serve(listener, tls, api::router(app), ended).await;
        follower.abort();
        Ok(())
    })
}

/// Opens a page in the browser, where there is one. The page is not shown to other users: it goes by way of a file that
/// leads there, since arguments of programs can be seen by all.
fn open(page: &str) {
    let lead = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let path = std::env::temp_dir().join(format!("pavise-{}.html", std::process::id()));
        let mut file = options.open(&path)?;
        write!(
            file,
            "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={page}\"><title>Pavise</title>"
        )?;
        Ok::<_, std::io::Error>(path)
    };
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if !has_screen && !cfg!(target_os = "macos") {
        return;
    }
    if let Ok(path) = lead() {
        // Without one the link that was printed serves.
        let _ = Command::new(program).arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

/// Makes a folder for its owner alone, if it is not there.
fn private(folder: &Path) -> Result<(), Problem> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = || {
        fs::create_dir_all(folder)?;
        #[cfg(unix)]
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(())
    };
    made().map_err(|error| Problem::file("folder", folder, error))
}

/// How things are served, by options and settings.
fn served(options: &Options) -> Result<api::Settings, Problem> {
    let known = settings::read(options.settings.as_deref(), &options.state.state)?;
    let (scheme, usual) = if options.plain { ("http", 80) } else { ("https", 443) };
    let port = options.listen.port();
    let origin = if port == usual {
        format!("{scheme}://{}", options.name)
    } else {
        format!("{scheme}://{}:{port}", options.name)
    };
    let mut hosts: BTreeSet<String> = options.also.iter().map(|host| host.to_ascii_lowercase()).collect();
    hosts.insert(options.name.to_ascii_lowercase());
    if !options.listen.ip().is_unspecified() {
        let ip = options.listen.ip();
        hosts.insert(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    }
    let industrial: BTreeSet<String> = options.industrial.iter().cloned().collect();
    if let Some(missing) = industrial.iter().find(|name| !known.zones.iter().any(|zone| zone.name == **name))
    {
        return Err(Problem::Other(format!(
            "--industrial {missing}: the settings have no zone of this name"
        )));
    }
    let site = known.site.clone().unwrap_or_default();
    Ok(api::Settings { site, origin, hosts, zones: known.zones, industrial })
}

/// The certificate that was given, or one of an authority in the state's folder.
fn tls(options: &Options, settings: &api::Settings) -> Result<Tls, Problem> {
    let other = |error: &dyn std::fmt::Display| Problem::Other(format!("cannot serve: {error}"));
    let (chain, key) = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let read = |path: &Path, error: &dyn std::fmt::Display| {
                Problem::Other(format!("cannot read {}: {error}", path.display()))
            };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| read(certificate, &error))?;
            (chain, PrivateKeyDer::from_pem_file(key).map_err(|error| read(key, &error))?)
        }
        _ => {
            let folder = options.state.state.join("tls");
            private(&folder)?;
            let made = certificate::at(&folder, &settings.hosts, now())?;
            say(format_args!(
                "The certificate is of the authority in {}: trust that in your browser, or give one with --certificate.",
                folder.join(certificate::AUTHORITY).display()
            ));
            made
        }
    };
    Tls::new(chain, key).map_err(|error| other(&error))
}

/// Takes in what changes in the state, for as long as it is served.
async fn follow(app: Arc<App>) {
    let (mut looks, mut failed) = (tokio::time::interval(LOOK), 0_u32);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let app = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || app.refresh()).await {
            Ok(Ok(_)) => failed = 0,
            Ok(Err(error)) => {
                if failed.is_multiple_of(TOLD_AGAIN) {
                    say(format_args!("pavise: {error}"));
                }
                failed += 1;
            }
            // It panicked, or the runtime ends.
            Err(_) => failed += 1,
        }
    }
}
