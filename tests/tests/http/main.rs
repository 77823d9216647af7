//! What handlers reach by `wasi:http`: each case is a run of the guest `fetch` against a server on this machine.

#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

mod forbidden;
mod limits;
mod secrets;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tasq_host::sandbox::ceilings::Operator;
use tasq_host::sandbox::compile::Compiler;
use tasq_host::sandbox::secrets::Secrets;
use tasq_host::sandbox::{Handler, Options, Refusal, Sandbox};
use tasq_host::task::Outcome;
use tasq_tests::guests::guest;
use tasq_tests::runs::{comes_true, run};
use tasq_tests::web::Web;

/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Here {
    sandbox: Arc<Sandbox>,
    runtime: tokio::runtime::Runtime,
}

impl Here {
    /// With an operator who has these servers of this machine be granted, beside whatever is outside.
    fn beside(webs: &[&Web]) -> Here {
        Here::with(naming(webs), Secrets::default())
    }

    fn with(operator: Operator, secrets: Secrets) -> Here {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let options = Options { slots: 4, pagemap_scan: true, cache: Some(cache), memory_budget: None };
        let sandbox = Arc::new(Sandbox::with(options, operator, Some(secrets), Compiler::Here).unwrap());
        Here { sandbox, runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap() }
    }

    /// The guest with what these lines of `[grants] http` grant.
    fn granted(&self, http: &[&str]) -> Arc<Handler> {
        self.load(&format!("timeout = \"20s\"\n[grants]\nhttp = {http:?}"))
    }

    fn load(&self, manifest: &str) -> Arc<Handler> {
        self.try_load(manifest).unwrap()
    }

    fn try_load(&self, manifest: &str) -> Result<Arc<Handler>, Refusal> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fetch.wasm");
        std::fs::copy(guest("fetch"), &file).unwrap();
        std::fs::write(file.with_extension("toml"), manifest).unwrap();
        self.sandbox.load_file(&file)
    }

    fn outcome(&self, handler: &Arc<Handler>, asked: &Value) -> Outcome {
        self.runtime.block_on(run(&self.sandbox, handler, asked.to_string())).0
    }

    /// What came of each request.
    fn answers(&self, handler: &Arc<Handler>, requests: Vec<Value>) -> Vec<Value> {
        self.told(handler, &json!({ "requests": requests }))["answers"].as_array().unwrap().clone()
    }

    fn told(&self, handler: &Arc<Handler>, asked: &Value) -> Value {
        match self.outcome(handler, asked) {
            Outcome::Done(told) => serde_json::from_slice(&told).unwrap(),
            other => panic!("{asked}: {other:?}"),
        }
    }

    fn answer(&self, handler: &Arc<Handler>, request: Value) -> Value {
        self.answers(handler, vec![request]).remove(0)
    }

    fn comes_true(&self, seen: impl FnMut() -> bool) -> bool {
        self.runtime.block_on(comes_true(PATIENCE, seen))
    }
}

/// The word of an operator by whom these servers of this machine may be reached, and anything outside on the usual ports.
fn naming(webs: &[&Web]) -> Operator {
    let outside = ["http://*".to_owned(), "https://*".to_owned()];
    let http = outside.into_iter().chain(webs.iter().map(|web| web.url()));
    Operator { http: Some(http.map(|rule| rule.parse().unwrap()).collect()), ..Operator::default() }
}

#[test]
fn an_address_inside_is_granted_by_the_operator_and_not_by_a_manifest() {
    let web = Web::start();
    for operator in [Operator::default(), naming(&[])] {
        let here = Here::with(operator, Secrets::default());
        let refusal = here.try_load(&format!("[grants]\nhttp = [\"{}\"]", web.url())).err().unwrap();
        assert!(refusal.reason.starts_with("grants.http: 127.0.0.1 is inside (loopback): expected"), "{refusal}");
    }
    let answer = {
        let here = Here::beside(&[&web]);
        here.answer(&here.granted(&[&web.url()]), json!({"url": web.url()}))
    };
    assert_eq!(answer["status"], 200, "{answer}");
}

#[test]
fn what_is_granted_is_reached() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let headers = json!([["x-here", "1"]]);
    let url = format!("{}/ok?a=b", web.url());
    let answer = here.answer(&handler, json!({"url": url, "headers": headers, "method": "POST", "body": 10_000}));
    assert_eq!((&answer["status"], &answer["text"]), (&json!(200), &json!("hello")), "{answer}");
    let request = &web.requests()[0];
    assert!(request.starts_with("POST /ok?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", web.address)) && request.contains("x-here: 1\r\n"), "{request}");
    assert_eq!(request.split_once("\r\n\r\n").unwrap().1.matches('x').count(), 10_000);
}

#[test]
fn without_a_grant_a_component_with_http_runs_and_every_request_is_denied() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    for manifest in ["", "[grants]\nhttp = []", "[grants]\nhttp = [\"https://example.com\"]"] {
        let answer = here.answer(&here.load(manifest), json!({"url": format!("{}/ok", web.url())}));
        assert_eq!(answer["error"], "HttpRequestDenied", "{manifest}");
    }
    assert_eq!(web.requests(), Vec::<String>::new());
}

#[test]
fn a_grant_is_for_its_method_port_and_path_alone() {
    let (web, other) = (Web::start(), Web::start());
    let here = Here::beside(&[&web, &other]);
    let handler = here.granted(&[&format!("GET {}/v1", web.url())]);
    let url = |web: &Web, path: &str| format!("{}{path}", web.url());
    let allowed = here.answer(&handler, json!({"url": url(&web, "/v1/ok")}));
    assert_eq!(allowed["status"], 200, "{allowed}");
    for request in [
        json!({"url": url(&web, "/v1/ok"), "method": "POST"}),
        json!({"url": url(&web, "/v1/ok"), "method": "CONNECT"}),
        json!({"url": url(&web, "/v10")}),
        json!({"url": url(&web, "/v1/../ok")}),
        json!({"url": url(&other, "/v1/ok")}),
        json!({"url": url(&web, "/v1/ok").replace("http:", "https:")}),
    ] {
        assert_eq!(here.answer(&handler, request.clone())["error"], "HttpRequestDenied", "{request}");
    }
    assert_eq!((web.requests().len(), other.requests().len()), (1, 0));
}

#[test]
fn no_rule_lets_a_request_be_sent_back_with_its_headers() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    for method in ["TRACE", "CONNECT"] {
        let answer = here.answer(&handler, json!({"url": web.url(), "method": method}));
        assert_eq!(answer["error"], "HttpRequestDenied", "{method}");
    }
}

#[test]
fn the_operators_ceiling_holds_whatever_a_manifest_grants() {
    let (web, other) = (Web::start(), Web::start());
    // The same address, so that the manifest may have it, and not the same port.
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url(), &other.url()]);
    assert_eq!(here.answer(&handler, json!({"url": web.url()}))["status"], 200);
    assert_eq!(here.answer(&handler, json!({"url": other.url()}))["error"], "HttpRequestDenied");
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn the_host_follows_no_redirect() {
    let (web, other) = (Web::start(), Web::start());
    let here = Here::beside(&[&web, &other]);
    let handler = here.granted(&[&web.url()]);
    let answer = here.answer(&handler, json!({"url": format!("{}/to/{}/ok", web.url(), other.url())}));
    assert_eq!(answer["status"], 302, "{answer}");
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn a_server_that_is_not_there_is_an_answer_like_another() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let http = Some(vec![format!("http://{free}").parse().unwrap()]);
    let here = Here::with(Operator { http, ..Operator::default() }, Secrets::default());
    let handler = here.granted(&[&format!("http://{free}")]);
    assert_eq!(here.answer(&handler, json!({"url": format!("http://{free}/")}))["error"], "ConnectionRefused");
}
