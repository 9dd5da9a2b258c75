//! Connections: TLS, how many there may be, and how long they may take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::app::Peer;

/// So many connections are open at a time; others wait.
pub const CONNECTIONS_MAX: usize = 4_096;
/// A TLS handshake takes at most so long.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The headers of a request take at most so long.
pub const HEADERS_MAX: Duration = Duration::from_secs(15);
/// The headers of a request have at most so many bytes.
const HEADER_BYTES_MAX: usize = 128 << 10;
/// Requests that are being answered have so long when the server ends.
const END_MAX: Duration = Duration::from_secs(5);
/// After a failure to accept, such as too many open files, so long is waited.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate or key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How connections are secured: TLS 1.3 alone, with X25519MLKEM768 before other key exchanges.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// With a chain of certificates and the key of the first.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, ServeError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Serves until `end` is done; then what is being answered has a few seconds.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, router: Router, end: impl Future<Output = ()>) {
    let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let mut builder = Builder::new(TokioExecutor::new());
    // Slow headers and endless ones are how servers are held up (Slowloris, CONTINUATION floods).
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let builder = Arc::new(builder);
    let mut end = std::pin::pin!(end);
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(REFUSED_WAIT).await;
                continue;
            }
        };
        // Answers are small and wait for nobody.
        let _ = stream.set_nodelay(true);
        let (builder, router, watcher) = (Arc::clone(&builder), router.clone(), graceful.watcher());
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => one(stream, address, router, &builder, watcher, permit).await,
                Some(Tls(acceptor)) => {
                    // Whoever does not speak TLS is not answered.
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                        one(stream, address, router, &builder, watcher, permit).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let _ = timeout(END_MAX, graceful.shutdown()).await;
}

/// One connection.
async fn one<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    address: SocketAddr,
    router: Router,
    builder: &Builder<TokioExecutor>,
    watcher: hyper_util::server::graceful::Watcher,
    _permit: OwnedSemaphorePermit,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(address.ip()));
        request.map(Body::new)
    });
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    // A connection that breaks off has nobody to be told.
    let _ = watcher.watch(connection).await;
}
