//! Outgoing HTTP (`wasi:http`): what a manifest grants, to addresses that were checked, within limits. Without a grant
//! every request is answered as denied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use http::{Method, Request, Response};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::secrets::Secrets;

mod addresses;
mod body;
mod head;
mod net;
#[cfg(test)]
mod rebinding;
mod rules;
mod send;

pub(super) use net::{Internet, Net, tls};
use rules::Target;
pub use rules::{InvalidRule, Rule};

/// Requests that one run may make in all.
const REQUESTS: u32 = 50;
/// Of them, with a connection at once; the others wait.
const AT_ONCE: usize = 16;
/// The largest body, either way.
const BODY: u64 = 8 << 20;
/// All bodies of a run, both ways.
const BODIES: u64 = 32 << 20;
/// Names of headers and their values, as the host holds them.
const HEADERS: usize = 128 << 10;
/// Denials that one run has told in the log; the guest is told of each.
const TOLD: u32 = 10;

/// What all handlers of a process share of the way out.
pub(super) struct Gateway {
    net: Box<dyn Net>,
    /// Connections of all runs at once: files, of which the broker needs some as well.
    connections: Arc<Semaphore>,
}

/// What one version of a handler may reach.
pub(super) struct Reach {
    pub(super) rules: Vec<Rule>,
    /// The operator's own rules: a request must pass both. None for no ceiling.
    pub(super) ceiling: Option<Arc<[Rule]>>,
    pub(super) secrets: Secrets,
    pub(super) gateway: Arc<Gateway>,
    /// None where no rule is for HTTPS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// One run's side of it.
pub(super) struct Requests {
    pub(super) ctx: WasiHttpCtx,
    pub(super) hooks: Hooks,
}

/// What is asked of us at each request of a run.
pub(super) struct Hooks {
    reach: Option<Arc<Reach>>,
    /// For the log.
    run: (crate::task::TaskId, crate::task::Name),
    made: u32,
    denied: u32,
    used: Arc<Used>,
}

/// What the requests of one run have used together.
struct Used {
    bytes: AtomicU64,
    /// A request's body was too large: its sending failed for no other reason.
    is_over: AtomicBool,
    connections: Arc<Semaphore>,
}

impl Gateway {
    pub(super) fn new(net: impl Net + 'static) -> Gateway {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        let connections = usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(1, 1 << 16);
        Gateway { net: Box::new(net), connections: Arc::new(Semaphore::new(connections)) }
    }
}

impl Requests {
    pub(super) fn new(reach: Option<Arc<Reach>>, task: crate::task::TaskId, handler: crate::task::Name) -> Requests {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(HEADERS);
        let connections = Arc::new(Semaphore::new(AT_ONCE));
        let used = Arc::new(Used { bytes: AtomicU64::new(0), is_over: AtomicBool::new(false), connections });
        Requests { ctx, hooks: Hooks { reach, run: (task, handler), made: 0, denied: 0, used } }
    }
}

/// Methods that no rule grants: one opens a tunnel past all rules, the other answers with the request's headers, secrets
/// among them.
fn is_never_sent(method: &Method) -> bool {
    method == Method::CONNECT || method == Method::TRACE
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Io) -> Sending {
        let admitted = self.admit(&request);
        let used = self.used.clone();
        Box::new(async move {
            let (reach, target, takes_secrets) = admitted?;
            let request = prepared(request, &target, takes_secrets.then_some(&reach.secrets))?;
            send::send(&reach, &target, request, options.unwrap_or_default(), used).await
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }

    // What follows replaces hooks that would log a line each: a guest may cause as many as it likes.

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

impl Hooks {
    /// Whether a request may go out, and whether it may carry secrets.
    fn admit(&mut self, request: &Request<WasiBody>) -> Result<(Arc<Reach>, Target, bool), Error> {
        self.made = self.made.saturating_add(1);
        if self.made > REQUESTS {
            self.tell(request, "more than 50 requests in one run");
            return Err(Error::HttpRequestDenied);
        }
        let Some(reach) = self.reach.clone() else {
            self.tell(request, "no http is granted to this handler");
            return Err(Error::HttpRequestDenied);
        };
        let Some(target) = Target::of(request.uri()).filter(|_| !is_never_sent(request.method())) else {
            self.tell(request, "never sent by a host");
            return Err(Error::HttpRequestDenied);
        };
        let allowing = |rules: &[Rule]| {
            let allowing = rules.iter().filter(|rule| rule.allows(request.method(), &target));
            allowing.map(Rule::names_its_host).reduce(|one, other| one || other)
        };
        let granted = allowing(&reach.rules);
        let by_operator = reach.ceiling.as_ref().map_or(Some(true), |rules| allowing(rules).map(|_| true));
        match granted.zip(by_operator) {
            Some((takes_secrets, _)) => Ok((reach, target, takes_secrets)),
            None => {
                self.tell(
                    request,
                    if granted.is_none() { "not in its [grants] http" } else { "not in the operator's" },
                );
                Err(Error::HttpRequestDenied)
            }
        }
    }

    fn tell(&mut self, request: &Request<WasiBody>, why: &str) {
        self.denied = self.denied.saturating_add(1);
        if self.denied <= TOLD {
            let (task, handler) = &self.run;
            // Without path and query: there people put what is nobody's business.
            let (method, scheme) = (request.method(), request.uri().scheme_str().unwrap_or_default());
            let authority = request.uri().authority().map(http::uri::Authority::as_str).unwrap_or_default();
            let to = super::journal::line(&format!("{method} {scheme}://{authority}"));
            tracing::info!(target: "guest", %task, %handler, "request denied: {to}: {why}");
        }
    }
}

/// As it goes to the server: only path and query in its first line, the host that was checked, and secrets in place.
fn prepared(
    mut request: Request<WasiBody>,
    target: &Target,
    secrets: Option<&Secrets>,
) -> Result<Request<WasiBody>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let host = target.authority().parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(http::header::HOST, host);
    if let Some(secrets) = secrets {
        for header in request.headers_mut().values_mut() {
            if let Some(filled) = secrets.fill(header) {
                *header = filled;
            }
        }
    }
    Ok(request)
}

/// What a name or an address leads to: where to dial, and nothing else.
async fn addresses(reach: &Reach, target: &Target) -> Result<Vec<SocketAddr>, Error> {
    let port = target.port;
    let name = match &target.host {
        // Granted as it is, or it wouldn't have passed the rules.
        url::Host::Ipv4(address) => return Ok(vec![SocketAddr::new((*address).into(), port)]),
        url::Host::Ipv6(address) => return Ok(vec![SocketAddr::new((*address).into(), port)]),
        url::Host::Domain(name) => name,
    };
    let found =
        reach.gateway.net.resolve(name, port).await.map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    if found.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    let outside: Vec<_> = found.into_iter().filter(|found| addresses::inside(found.ip()).is_none()).collect();
    if outside.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(outside) }
}
