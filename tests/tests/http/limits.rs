//! How much a run may ask of the network, and that its connections end with it.

use super::*;
use tasq_tests::runs::told;

const BODY: usize = 8 << 20;
/// Of a stream that broke off the engine gives a text and no code.
const TOO_LARGE: &str = "HTTP response body size exceeds limit";

fn error_of(answer: &Value) -> String {
    answer["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_run_makes_fifty_requests_and_sixteen_at_once() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let url = format!("{}/late/20", web.url());
    let answers = here.answers(&handler, vec![json!({"url": url}); 60]);
    let done = answers.iter().filter(|answer| answer["status"] == 200).count();
    let denied = answers[50..].iter().filter(|answer| answer["error"] == "HttpRequestDenied").count();
    assert_eq!((done, denied), (50, 10));
    assert!(web.most() <= 16, "{}", web.most());
}

#[test]
fn a_response_ends_at_its_limit_and_so_do_all_of_a_run() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let bytes = |bytes: usize| json!({"url": format!("{}/bytes/{bytes}", web.url())});
    let exact = here.answer(&handler, bytes(BODY));
    assert_eq!((&exact["bytes"], error_of(&exact)), (&json!(BODY), String::new()));
    for request in [bytes(BODY + 1), json!({"url": format!("{}/endless", web.url())})] {
        let more = here.answer(&handler, request);
        assert!(error_of(&more).starts_with(TOO_LARGE) && more["bytes"].as_u64() <= Some(BODY as u64), "{more}");
    }
    let all = here.answers(&handler, vec![bytes(BODY); 5]);
    assert!(all[..4].iter().all(|answer| answer["bytes"] == BODY && answer["error"].is_null()));
    assert!(error_of(&all[4]).starts_with(TOO_LARGE), "{}", error_of(&all[4]));
}

#[test]
fn a_request_ends_at_its_limit() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let answer = here.answer(&handler, json!({"url": web.url(), "method": "POST", "body": BODY + 1}));
    assert!(error_of(&answer).starts_with("HttpRequestBodySize"), "{answer}");
    assert_eq!(web.requests().len(), 0, "the server has had a whole request");
}

#[test]
fn heads_have_a_limit_in_both_directions() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let long = json!({"url": web.url(), "headers": [["long", "x".repeat(1 << 20)]]});
    // The guest can't even put it together: that ends as an error or a trap, and not in the network.
    let outcome = here.outcome(&handler, &json!({"requests": [long]}));
    assert!(!told(&outcome).contains("200"), "{outcome:?}");
    assert_eq!(web.requests().len(), 0);
    let answer = here.answer(&handler, json!({"url": format!("{}/header/{}", web.url(), 1 << 20)}));
    assert!(error_of(&answer).starts_with("HttpResponseHeaderSectionSize"), "{answer}");
}

#[test]
fn a_guest_may_give_up_on_a_server_that_stalls() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let answer = here.answer(&handler, json!({"url": format!("{}/stall", web.url()), "between_bytes_ms": 100}));
    let seen = (&answer["text"], error_of(&answer));
    assert_eq!(seen, (&json!("abc"), "connection read timeout".into()), "{answer}");
}

#[test]
fn waiting_for_a_server_is_no_cpu_time() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.load(&format!("cpu = \"500ms\"\n[grants]\nhttp = [\"{}\"]", web.url()));
    let answer = here.answer(&handler, json!({"url": format!("{}/late/1500", web.url())}));
    assert_eq!(answer["text"], "late");
}

#[test]
fn a_run_that_ends_closes_its_connections() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.load(&format!("timeout = \"300ms\"\n[grants]\nhttp = [\"{}\"]", web.url()));
    for (path, many) in [("silent", 3), ("stall", 3), ("endless", 1)] {
        let before = web.closed_early();
        let requests = vec![json!({"url": format!("{}/{path}", web.url())}); many];
        let outcome = here.outcome(&handler, &json!({"requests": requests}));
        if path != "endless" {
            assert_eq!(told(&outcome), "retry: limit timeout", "{path}");
        }
        assert!(here.comes_true(|| web.closed_early() == before + many), "{path}: {}", web.closed_early());
    }
}
