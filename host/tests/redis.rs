//! Whole processes over a Redis server: TLS, users with limited rights, and what is said when it can't be used.

use std::path::Path;
use std::process::{Command, Output};

use tasq_tests::fixture::redis::{Server, free_port};
use tasq_tests::processes::until;

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

/// A folder with an authority of its own (`ca.pem`), and what it certifies for `localhost`.
struct Certified(tempfile::TempDir);

impl Certified {
    fn new() -> Certified {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |arguments: &str| openssl(folder.path(), arguments);
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        make(&format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
        make(&format!("req {curve} -keyout key.pem -out request.pem -subj /CN=localhost"));
        std::fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost\n").expect("write");
        make("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names");
        Certified(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a readable path").to_owned()
    }

    /// A server that also takes connections with TLS, and the port for these.
    fn server(&self, more: &[&str]) -> (Server, u16) {
        let port = free_port();
        let (text, ca, cert, key, folder) =
            (port.to_string(), self.file("ca.pem"), self.file("cert.pem"), self.file("key.pem"), self.file(""));
        let mut arguments = more.to_vec();
        arguments.extend(["--tls-port", &text, "--tls-cert-file", &cert, "--tls-key-file", &key]);
        arguments.extend(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no", "--dir", &folder]);
        (Server::start(&arguments), port)
    }

    /// It works for those who trust the authority, and for nobody else.
    fn is_trusted_alone(&self, broker: &str) {
        works(broker, Some(Path::new(&self.file("ca.pem"))));
        fails(&tasq(broker, None, &["task", "list"]), 3, "certificate", "ca.key");
    }
}

#[test]
fn tls_is_used_and_strangers_are_not_trusted() {
    let certified = Certified::new();
    let (_server, port) = certified.server(&["--save", ""]);
    certified.is_trusted_alone(&format!("rediss://localhost:{port}/1?prefix=tls"));
}

#[test]
fn tls_leads_to_the_nodes_of_a_cluster() {
    let certified = Certified::new();
    let bus = free_port().to_string();
    let named = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    let clustered = ["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus, "--tls-cluster", "yes"];
    let (node, port) = certified.server(&[clustered.as_slice(), &named].concat());
    assert_eq!(node.say(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "+OK");
    until("it serves its slots", || {
        node.lines(&["CLUSTER", "INFO"]).contains(&"cluster_state:ok".into()).then_some(())
    });
    certified.is_trusted_alone(&format!("rediss+cluster://localhost:{port}?prefix=tls"));
}

#[test]
fn tls_leads_by_sentinels_to_the_master() {
    let certified = Certified::new();
    let (_master, port) = certified.server(&["--save", "", "--tls-replication", "yes"]);
    let settings = format!(
        "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\nsentinel monitor tasks localhost {port} 1\n"
    );
    let file = certified.file("sentinel.conf");
    std::fs::write(&file, settings).expect("write");
    let (sentinel, watch) = certified.server(&[&file, "--sentinel", "--tls-replication", "yes"]);
    let is_up = |line: &String| line.starts_with("master0:") && line.contains("status=ok");
    until("the sentinel reaches the master", || sentinel.lines(&["INFO", "sentinel"]).iter().any(is_up).then_some(()));
    certified.is_trusted_alone(&format!("rediss+sentinel://localhost:{watch}/tasks?prefix=tls"));
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
