//! One request, on a connection of its own to an address that was checked. Dropping the future, or what it gives, closes
//! the connection.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Count, Incoming, Outgoing};
use super::head::{Heads, Progress};
use super::rules::Scheme;
use super::{Io, Reach, Target, Used};

/// For a connection, TLS included, unless the guest says less.
const CONNECT: Duration = Duration::from_secs(10);
/// For each of a name's addresses but the last.
const ONE_ADDRESS: Duration = Duration::from_secs(3);
/// What a response's head may take, in bytes and in headers.
pub(super) const HEAD: usize = 64 << 10;
const FIELDS: usize = 200;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) async fn send(
    reach: &Reach,
    target: &Target,
    request: Request<WasiBody>,
    options: RequestOptions,
    used: Arc<Used>,
) -> Result<(Response<WasiBody>, Io), Error> {
    let closed = |_| Error::ConnectionLimitReached;
    let mine = used.connections.clone().acquire_owned().await.map_err(closed)?;
    let of_all = reach.gateway.connections.clone().acquire_owned().await.map_err(closed)?;
    let limit = options.connect_timeout.map_or(CONNECT, |asked| asked.min(CONNECT));
    let stream = timeout(limit, connect(reach, target)).await.map_err(|_| Error::ConnectionTimeout)??;
    let builder = {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD).max_headers(FIELDS);
        builder
    };
    let progress = Arc::new(Progress::default());
    let told = |error: hyper::Error| told(&error, &used, &progress);
    let stream = TokioIo::new(Heads::new(stream, progress.clone()));
    let (mut sender, connection) = builder.handshake(stream).await.map_err(told)?;
    let request = request.map(|body| Outgoing { body, count: Count::new(used.clone()) });
    // It drives the bytes while the guest reads, and holds the permits as long as there is a socket.
    let driving = async move {
        let _permits = (mine, of_all);
        connection.await
    };
    let mut driving = Box::pin(driving.fuse());
    let answer = {
        let asking = pin!(sender.send_request(request));
        let first_byte = options.first_byte_timeout.unwrap_or(Duration::MAX);
        let answer = timeout(first_byte, driven(asking, &mut driving)).await;
        answer.map_err(|_| Error::ConnectionReadTimeout)?.map_err(told)?
    };
    progress.answered();
    let silence = options.between_bytes_timeout.map(|time| (time, Box::pin(tokio::time::sleep(time))));
    let response = answer.map(|body| Incoming { body, count: Count::new(used), silence }.boxed_unsync());
    let rest = async move {
        // What goes wrong from here on shows in the body.
        let _ = driving.as_mut().await;
        Ok(())
    };
    Ok((response, Box::new(rest)))
}

type Answer = Result<Response<hyper::body::Incoming>, hyper::Error>;

/// The answer, while the connection is driven. A connection that ends first has said all that there is to be said.
async fn driven(
    mut asking: Pin<&mut impl Future<Output = Answer>>,
    driving: &mut Pin<Box<impl Future<Output = hyper::Result<()>>>>,
) -> Answer {
    tokio::select! {
        biased;
        answer = asking.as_mut() => return answer,
        ended = driving.as_mut() => ended?,
    }
    asking.await
}

async fn connect(reach: &Reach, target: &Target) -> Result<Box<dyn Stream>, Error> {
    let addresses = super::addresses(reach, target).await?;
    let stream = dial(reach, &addresses).await?;
    if target.scheme == Scheme::Http {
        return Ok(Box::new(stream));
    }
    let config = reach.tls.clone().ok_or(Error::ConfigurationError)?;
    let name = match &target.host {
        url::Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
        url::Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
        url::Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
    };
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| untrusted(&error))?;
    Ok(Box::new(stream))
}

async fn dial(reach: &Reach, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut failed = Error::DestinationNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        let limit = if is_last { CONNECT } else { ONE_ADDRESS };
        match timeout(limit, reach.gateway.net.dial(*address)).await {
            Ok(Ok(stream)) => {
                // Heads and small bodies are written at once; waiting to fill a packet would delay each.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failed = unconnected(&error),
            Err(_) => failed = Error::ConnectionTimeout,
        }
    }
    Err(failed)
}

fn unconnected(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        _ => Error::DestinationUnavailable,
    }
}

fn untrusted(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        _ => Error::TlsProtocolError,
    }
}

/// Without hyper's own words: what a guest reads mustn't depend on what is in a secret.
fn told(error: &hyper::Error, used: &Used, progress: &Progress) -> Error {
    if used.is_over.load(Ordering::Relaxed) {
        Error::HttpRequestBodySize(Some(super::BODY))
    } else if error.is_parse_too_large() || progress.is_over() {
        Error::HttpResponseHeaderSectionSize(Some(HEAD as u32))
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else {
        Error::ConnectionTerminated
    }
}
