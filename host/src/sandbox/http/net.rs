//! The way out of this machine, behind a seam: tests answer names as an attacker would.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Names and connections.
#[async_trait]
pub(in crate::sandbox) trait Net: Send + Sync {
    /// All addresses of a name now. Asked once for a request: what is dialled is what was checked.
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Connects to exactly this address.
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The system's resolver and network.
pub(in crate::sandbox) struct Internet {
    // The system's resolver blocks a thread for each name, and can't be stopped.
    lookups: Arc<Semaphore>,
}

const LOOKUPS: usize = 32;

impl Internet {
    pub(in crate::sandbox) fn new() -> Internet {
        Internet { lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

#[async_trait]
impl Net for Internet {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let permit = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            // Held to the end of the look-up, also where nobody waits for it any more.
            let _permit = permit;
            (name.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        looking.await.map_err(io::Error::other)?
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// TLS with the certificates that this machine trusts (or those of `SSL_CERT_FILE`), as for the brokers. The error says
/// why there is none.
pub(in crate::sandbox) fn tls() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("this machine trusts no certificates{why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
