//! What of the world can be reached from inside: nothing, the tests say.

use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use serde_json::{Value, json};

/// `env`, `args` and `stdin` are what was found; the others `{"ok":…}` or `{"error":…}`.
pub(crate) fn everything() -> Value {
    json!({
        "env": std::env::vars_os().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect::<Vec<_>>(),
        "args": std::env::args_os().map(|argument| argument.display().to_string()).collect::<Vec<_>>(),
        "stdin": stdin(),
        "current_dir": told(std::fs::read_dir(".").map(Iterator::count)),
        "root_dir": told(std::fs::read_dir("/").map(Iterator::count)),
        "read_file": told(std::fs::read("/etc/hostname").map(|bytes| bytes.len())),
        "write_file": told(std::fs::write("/tmp/misbehave", "was here")),
        "tcp_connect": told(TcpStream::connect("127.0.0.1:22").map(drop)),
        "tcp_listen": told(TcpListener::bind("127.0.0.1:0").map(drop)),
        "udp": told(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", "127.0.0.1:9"))),
        "dns": told("localhost:80".to_socket_addrs().map(Iterator::count)),
    })
}

fn stdin() -> Value {
    let mut bytes = Vec::new();
    told(std::io::stdin().read_to_end(&mut bytes))
}

fn told<T: serde::Serialize>(answer: std::io::Result<T>) -> Value {
    match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}
