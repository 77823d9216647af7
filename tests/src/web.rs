//! A web server on this machine, for handlers that make requests: it answers by the path, and remembers what it saw.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A server; its threads end with the process.
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Heads and bodies.
    requests: Mutex<Vec<String>>,
    waiting: AtomicUsize,
    most: AtomicUsize,
    closed_early: AtomicUsize,
}

impl Web {
    /// Starts one on a free port of the loopback address. Paths: `/ok`, `/bytes/N`, `/endless`, `/header/N` (a long one),
    /// `/headers` (without end), `/hints` (early ones, without end), `/to/URL` (redirects), `/late/MS`, `/silent` (never
    /// answers), `/stall` (stops after three bytes), `/drip` (a byte now and then).
    pub fn start() -> Web {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let (address, seen) = (listener.local_addr().expect("bound"), Arc::new(Seen::default()));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = shared.clone();
                std::thread::spawn(move || seen.serve(stream));
            }
        });
        Web { address, seen }
    }

    /// `http://127.0.0.1:PORT`, which a manifest can grant.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, heads and bodies.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most requests for `/late` that waited at once.
    pub fn most(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    /// Connections that the other side closed before the answer was over.
    pub fn closed_early(&self) -> usize {
        self.seen.closed_early.load(Ordering::SeqCst)
    }
}

impl Seen {
    fn serve(&self, mut stream: TcpStream) {
        if let Some(request) = read(&mut stream) {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            if self.answer(&mut stream, &path).is_err() {
                self.closed_early.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn answer(&self, stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
        if let Some(ms) = path.strip_prefix("/late/") {
            // Told before the answer goes out: the next request may come at once.
            self.most.fetch_max(self.waiting.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(ms.parse().expect("a number in the path")));
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        answer(stream, path)
    }
}

/// A head, and a body that has a length or comes in chunks.
fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut piece, mut is_chunked) = (Vec::new(), [0; 16 << 10], None);
    loop {
        if is_chunked.is_none() {
            let text = String::from_utf8_lossy(&bytes);
            is_chunked = text
                .split_once("\r\n\r\n")
                .map(|(head, _)| head.to_ascii_lowercase().contains("transfer-encoding: chunked"));
        }
        if is_chunked.is_some_and(|is_chunked| !is_chunked || bytes.ends_with(b"0\r\n\r\n")) {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
        if bytes.len() > REMEMBERED {
            // Of more, the end alone says something.
            bytes.drain(REMEMBERED - 8..bytes.len() - 8);
        }
    }
}

/// Of a request, as the tests that look at memory are in the same process.
const REMEMBERED: usize = 256 << 10;

fn answer(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (what, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = || rest.parse::<usize>().expect("a number in the path");
    let whole = |head: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    match what {
        "bytes" => stream.write_all(&whole("200 OK", &vec![b'x'; number()])),
        "header" => stream.write_all(&whole(&format!("200 OK\r\nlong: {}", "x".repeat(number())), b"")),
        "to" => stream.write_all(&whole(&format!("302 Found\r\nlocation: {rest}"), b"")),
        "late" => stream.write_all(&whole("200 OK", b"late")),
        "endless" => without_end(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", &"x".repeat(16 << 10), NOW),
        "headers" => without_end(stream, "HTTP/1.1 200 OK\r\n", "x-again: and again\r\n", NOW),
        "hints" => without_end(stream, "", &"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(256), NOW),
        "drip" => without_end(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "x", Duration::from_millis(10)),
        "silent" => closed(stream),
        "stall" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")?;
            closed(stream)
        }
        _ => stream.write_all(&whole("200 OK", b"hello")),
    }
}

const NOW: Duration = Duration::ZERO;

/// Until the other side has had enough.
fn without_end(stream: &mut TcpStream, head: &str, then: &str, every: Duration) -> std::io::Result<()> {
    stream.write_all(head.as_bytes())?;
    loop {
        stream.write_all(then.as_bytes())?;
        std::thread::sleep(every);
    }
}

/// Waits until the other side has had enough.
fn closed(stream: &mut TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 64])? > 0 {}
    Err(std::io::ErrorKind::ConnectionAborted.into())
}
