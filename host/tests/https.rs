//! HTTPS for handlers: servers are held against the certificates that the machine trusts, and their names.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tasq_tests::guests::guest;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl: make tools installs it");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// A web server on a free port, which proves to be `name`.
fn serve(folder: &Path, name: &str) -> (Server, u16) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(folder, &format!("req {key} -keyout {name}.key -out {name}.req -subj /CN={name}"));
    fs::write(folder.join("names"), format!("subjectAltName=IP:{name}\n")).expect("a file");
    let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
    openssl(folder, &format!("x509 -req -in {name}.req {sign} -out {name}.pem"));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let arguments = format!("s_server -quiet -www -accept 127.0.0.1:{port} -cert {name}.pem -key {name}.key");
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let server = Server(command.stderr(Stdio::null()).spawn().expect("openssl"));
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "the server never listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    (server, port)
}

/// What the guest `fetch` is told by the server, where these certificates are trusted.
fn fetched(folder: &Path, port: u16, trusted: &str) -> Value {
    let url = format!("https://127.0.0.1:{port}");
    fs::copy(guest("fetch"), folder.join("fetch.wasm")).expect("a copy");
    fs::write(folder.join("fetch.toml"), format!("[grants]\nhttp = [\"{url}\"]\n")).expect("a manifest");
    let asked = json!({"requests": [{"url": format!("{url}/")}]}).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasq-host"));
    command.args(["handler", "run", "fetch.wasm", &asked, "--cache", "cache"]).current_dir(folder);
    let ran = command
        .env_clear()
        .env("SSL_CERT_FILE", trusted)
        .env("TASQ_GRANT_HTTP", &url)
        .output()
        .expect("tasq-host starts");
    assert!(ran.status.success(), "{ran:?}");
    serde_json::from_slice::<Value>(&ran.stdout).expect("an object")["answers"][0].clone()
}

#[test]
fn a_server_is_trusted_by_certificate_and_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    for ca in ["ca", "other"] {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(path, &format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca}"));
    }
    let (_here, port) = serve(path, "127.0.0.1");
    assert_eq!(fetched(path, port, "ca.pem")["status"], 200);
    assert_eq!(fetched(path, port, "other.pem")["error"], "TlsCertificateError");
    let (_elsewhere, port) = serve(path, "127.0.0.2");
    assert_eq!(fetched(path, port, "ca.pem")["error"], "TlsCertificateError");
}
