//! A secret that a worker was given, looked for in everything that it leaves behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tasq_tests::guests::guest;
use tasq_tests::web::Web;

const SECRET: &str = "hunter2-0f1e2d3c4b5a";

/// A folder with the guest `fetch`, which may talk to `web`, as the operator allows, and asks for the secret.
fn home(web: &Web) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let wasm = home.path().join("wasm");
    fs::create_dir(&wasm).expect("a folder");
    fs::copy(guest("fetch"), wasm.join("fetch.wasm")).expect("a copy");
    let grants = format!("http = [\"{}\"]\nconfig = {{ token = {{ secret = \"API_TOKEN\" }} }}", web.url());
    fs::write(wasm.join("fetch.toml"), format!("max_retries = 0\n[grants]\n{grants}\n")).expect("a manifest");
    fs::write(home.path().join("tasq.toml"), format!("[grants]\nhttp = [\"{}\"]\n", web.url())).expect("settings");
    home
}

fn tasq_host(home: &Path, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasq-host"));
    command.args(arguments).current_dir(home).env_clear().envs(token.map(|token| ("API_TOKEN", token)));
    command.output().expect("tasq-host starts")
}

fn asked(urls: &[String]) -> String {
    let inverted: Vec<u8> = SECRET.bytes().map(|byte| !byte).collect();
    let request = |url| json!({"url": url, "headers": [["authorization", "Bearer {token}"]]});
    json!({"requests": urls.iter().map(request).collect::<Vec<Value>>(), "find_inverted": inverted}).to_string()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Files below a folder that hold the secret.
fn holding(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found = entries.flat_map(|path| {
        if path.is_dir() {
            return holding(&path);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        let has = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        if has { vec![path.display().to_string()] } else { Vec::new() }
    });
    found.collect()
}

#[test]
fn a_worker_leaves_no_secret_behind() {
    let (web, other) = (Web::start(), Web::start());
    let home = home(&web);
    let urls = [format!("{}/ok", web.url()), format!("{}/ok", other.url()), format!("{}/{SECRET}", other.url())];
    let sent = tasq_host(home.path(), &["enqueue", "fetch", &asked(&urls[..2]), "--id", "one"], None);
    assert!(sent.status.success(), "{sent:?}");
    let run = ["run", "--handlers", "wasm", "--cache", "cache", "--until-empty", "-vv", "--log-format", "json"];
    let ran = tasq_host(home.path(), &[&run[..], &["--secret", "API_TOKEN"]].concat(), Some(SECRET));
    assert!(ran.status.success(), "{ran:?}");
    let shown = tasq_host(home.path(), &["task", "show", "one", "--json"], None);
    assert!(web.requests()[0].contains(&format!("authorization: Bearer {SECRET}\r\n")), "{:?}", web.requests());
    assert_eq!(other.requests().len(), 0);
    assert!(text(&ran).contains("request denied: GET http://127.0.0.1:"), "{}", text(&ran));
    assert!(!text(&ran).contains(SECRET) && !text(&shown).contains(SECRET));
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("an object");
    let result: Value = serde_json::from_str(shown["result"].as_str().expect("a result")).expect("its own JSON");
    assert_eq!((&result["answers"][0]["status"], &result["found"]), (&json!(200), &json!(0)), "{result}");
    assert_eq!(holding(home.path()), Vec::<String>::new());
}

#[test]
fn a_secret_comes_from_a_variable_or_a_file_and_never_from_the_command_line() {
    let web = Web::start();
    let home = home(&web);
    fs::write(home.path().join("token"), format!("{SECRET}\n")).expect("a file");
    let asked = asked(&[format!("{}/ok", web.url())]);
    let run = |secret: &[&str], token| {
        let arguments = [&["handler", "run", "wasm/fetch.wasm", &asked, "--no-cache"], secret].concat();
        tasq_host(home.path(), &arguments, token)
    };
    for (secret, token) in [("API_TOKEN", Some(SECRET)), ("API_TOKEN=@token", None)] {
        let ran = run(&["--secret", secret], token);
        assert!(ran.status.success() && !text(&ran).contains(SECRET), "{ran:?}");
    }
    assert!(web.requests().iter().all(|request| request.contains(&format!("Bearer {SECRET}\r\n"))));
    assert_eq!(web.requests().len(), 2);
    for (secret, token, want) in [
        ("API_TOKEN", None, "--secret API_TOKEN: the variable API_TOKEN isn't set"),
        ("API_TOKEN=@none", None, "--secret API_TOKEN: none: No such file"),
        ("API_TOKEN=hunter2-0f1e2d3c4b5a", None, "--secret API_TOKEN: expected NAME or NAME=@FILE, found a value"),
        ("A-B=@token", None, "--secret: secret A-B: expected a name of letters"),
        ("API_TOKEN", Some("two\nlines"), "--secret: secret API_TOKEN: expected one line of printable ASCII"),
    ] {
        let ran = run(&["--secret", secret], token);
        assert_eq!(ran.status.code(), Some(2), "{secret}: {ran:?}");
        assert!(text(&ran).contains(want) && !text(&ran).contains(SECRET), "{secret}: {}", text(&ran));
    }
    // What wasn't named isn't there, although the variable is.
    let ran = run(&[], Some(SECRET));
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(text(&ran).contains("asks for the secret API_TOKEN, which wasn't given"), "{}", text(&ran));
}
