//! Whole processes over a Redis server: TLS, users with limited rights, and what is said when it can't be used.

use std::path::Path;
use std::process::{Command, Output};

use tasq_tests::fixture::redis::{Server, free_port};

/// Runs a command; `ca`: whom it trusts.
fn tasq(broker: &str, ca: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasq-host"));
    command.args(arguments).env("TASQ_BROKER", broker).env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    if let Some(ca) = ca {
        command.env("SSL_CERT_FILE", ca);
    }
    command.output().expect("it runs")
}

/// Enqueues a task and finds it again.
fn works(broker: &str, ca: Option<&Path>) {
    let enqueued = tasq(broker, ca, &["enqueue", "add", "{}", "--id", "a"]);
    assert!(enqueued.status.success(), "{enqueued:?}");
    let shown = tasq(broker, ca, &["task", "show", "a", "--json"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("\"pending\""), "{shown:?}");
}

/// Ends with this code and one line that has `said` and none of `secret`.
fn fails(output: &Output, code: i32, said: &str, secret: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(stderr.lines().next().is_some_and(|line| line.contains(said)), "{stderr}");
    assert!(!stderr.contains(secret), "{stderr}");
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl: make tools installs it");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

#[test]
fn tls_is_used_and_strangers_are_not_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    openssl(
        path,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
    );
    openssl(
        path,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=localhost",
    );
    std::fs::write(path.join("names"), "subjectAltName=DNS:localhost\n").expect("write");
    openssl(
        path,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names",
    );
    let (file, port) = (|name: &str| path.join(name).to_str().expect("a readable path").to_owned(), free_port());
    let _server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
        "--save",
        "",
        "--dir",
        &file(""),
    ]);
    let broker = format!("rediss://localhost:{port}/1?prefix=tls");
    works(&broker, Some(&path.join("ca.pem")));
    fails(&tasq(&broker, None, &["task", "list"]), 3, "certificate", "ca.key");
}

#[test]
fn a_user_needs_no_more_than_the_prefix() {
    let user = "user worker on >s3cret ~mine:* &mine:* +@all -@admin -@dangerous +info";
    let mut arguments = vec!["--save", "", "--dir", "/", "--user"];
    arguments.extend(user.split(' ').skip(1));
    let server = Server::start(&arguments);
    let as_worker = |url: String| url.replace("redis://", "redis://worker:s3cret@");
    works(&as_worker(server.url("mine")), None);
    let others = tasq(&as_worker(server.url("theirs")), None, &["task", "list"]);
    fails(&others, 2, "redis://worker:***@127.0.0.1", "s3cret");
}

#[test]
fn what_cannot_be_reached_or_opened_has_its_exit_code() {
    let broker = format!("redis://:s3cret@127.0.0.1:{}", free_port());
    fails(&tasq(&broker, None, &["task", "list"]), 3, "refused", "s3cret");
    let server = Server::start(&["--requirepass", "right", "--save", "", "--dir", "/"]);
    let wrong = server.url("p").replace("redis://", "redis://:wr0ng@");
    fails(&tasq(&wrong, None, &["task", "list"]), 2, "password", "wr0ng");
    fails(&tasq("redis://host?x=1", None, &["task", "list"]), 2, "prefix=", "wr0ng");
}
