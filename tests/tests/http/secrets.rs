//! A secret is in the request that it is for, and nowhere else.

use super::*;

const SECRET: &str = "hunter2-0f1e2d3c4b5a";

fn named() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add("API_TOKEN", SECRET.as_bytes()).unwrap();
    secrets
}

/// So that the guest can look for the secret without having it.
fn inverted() -> Vec<u8> {
    SECRET.bytes().map(|byte| !byte).collect()
}

#[test]
fn the_server_gets_the_secret_and_the_guest_never_has_it() {
    let (web, other) = (Web::start(), Web::start());
    let here = Here::with(naming(&[&web, &other]), named());
    let manifest = format!("[grants]\nhttp = [\"{}\"]\nconfig = {{ token = {{ secret = \"API_TOKEN\" }} }}", web.url());
    let handler = here.load(&manifest);
    let headers = json!([["authorization", "Bearer {token}"], ["x-two", "{token}"]]);
    let request = |web: &Web| json!({"url": format!("{}/ok", web.url()), "headers": headers});
    let told = here.told(&handler, &json!({"requests": [request(&web), request(&other)], "find_inverted": inverted()}));
    assert_eq!(
        (&told["answers"][0]["status"], &told["answers"][1]["error"]),
        (&json!(200), &json!("HttpRequestDenied"))
    );
    let seen = web.requests();
    assert!(seen[0].contains(&format!("authorization: Bearer {SECRET}\r\nx-two: {SECRET}\r\n")), "{seen:?}");
    assert_eq!(other.requests().len(), 0);
    assert_eq!(told["found"], 0, "the secret is in the guest's memory");
    assert!(!told.to_string().contains(SECRET));
}

#[test]
fn the_search_finds_what_is_there() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    // The same text in the guest's hands: what the search above would find.
    let request = json!({"url": web.url(), "headers": [["x", SECRET]]});
    let told = here.told(&handler, &json!({"requests": [request], "find_inverted": inverted()}));
    assert!(told["found"].as_u64() > Some(0), "{told}");
}

#[test]
fn a_secret_that_the_operator_did_not_name_keeps_the_handler_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fetch.wasm");
    std::fs::copy(guest("fetch"), &file).unwrap();
    std::fs::write(file.with_extension("toml"), "[grants]\nconfig = { token = { secret = \"HOME\" } }").unwrap();
    let refusal = Here::with(Operator::default(), named()).sandbox.load_file(&file).err().unwrap();
    assert_eq!(refusal.reason, "asks for the secret HOME, which wasn't given");
    assert_eq!(refusal.hint.as_deref(), Some("start the worker with --secret HOME, if this handler may use it"));
}

#[test]
fn a_handler_that_did_not_ask_gets_nothing_for_anothers_placeholder() {
    let web = Web::start();
    let here = Here::with(naming(&[&web]), named());
    let config = "config = { token = { secret = \"API_TOKEN\" } }";
    let one = here.load(&format!("[grants]\nhttp = [\"{}\"]\n{config}", web.url()));
    let placed = |value: &str| json!({"url": web.url(), "headers": [["x", value]]});
    here.answer(&one, placed("{token}"));
    assert!(web.requests()[0].contains(&format!("x: {SECRET}\r\n")));
    // Without a grant of http the guest can see what it was given, and that it is no secret.
    let other = here.granted(&[&web.url()]);
    here.answer(&other, placed("tasq-secret-00000000000000000000000000000000"));
    assert!(web.requests()[1].contains("x: tasq-secret-0000"));
}
