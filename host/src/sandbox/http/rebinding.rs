//! Tests: a resolver that answers as an attacker's would, and a network that notes what is dialled.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use http_body_util::{BodyExt, Empty};
use tokio::net::TcpStream;

use super::*;

/// Each dial is noted, and goes to a server on this machine wherever it was meant for.
struct Staged {
    answers: Mutex<VecDeque<Vec<SocketAddr>>>,
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
    server: SocketAddr,
}

#[async_trait]
impl Net for Staged {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.pop_front().ok_or_else(|| io::Error::other("asked once too often"))
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        TcpStream::connect(self.server).await
    }
}

struct Stage {
    hooks: Hooks,
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new(rules: &[&str], secrets: Secrets, answers: &[&[&str]]) -> Stage {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let server = serve(heads.clone());
        let address = |text: &&str| SocketAddr::new(text.parse().unwrap(), 80);
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect()).collect();
        let dialled = Arc::new(Mutex::new(Vec::new()));
        let net = Staged { answers: Mutex::new(answers), dialled: dialled.clone(), server };
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let reach = Reach { rules, ceiling: None, secrets, gateway: Arc::new(Gateway::new(net)), tls: None };
        let Requests { hooks, .. } =
            Requests::new(Some(Arc::new(reach)), "t1".parse().unwrap(), "fetch".parse().unwrap());
        Stage { hooks, dialled, heads }
    }

    async fn get(&mut self, url: &str, header: &str) -> Result<u16, String> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(url).header("authorization", header).body(body).unwrap();
        let sending = self.hooks.send_request(request, None, Box::new(async { Ok(()) }));
        let answer = Box::into_pin(sending).await;
        answer.map(|(response, _)| response.status().as_u16()).map_err(|error| error.to_string())
    }

    fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(|address| address.ip().to_string()).collect()
    }
}

fn serve(heads: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_dialled_where_it_was_checked() {
    // The first answer is outside, the next one isn't: a client that looks twice would dial what nobody checked.
    let answers: &[&[&str]] = &[&["93.184.216.34"], &["127.0.0.1"], &["169.254.169.254", "::1"]];
    let mut stage = Stage::new(&["http://rebind.example.com"], Secrets::default(), answers);
    assert_eq!(stage.get("http://rebind.example.com/", "x").await, Ok(204));
    assert_eq!(stage.dialled(), ["93.184.216.34"]);
    for _ in 0..2 {
        let refused = stage.get("http://rebind.example.com/", "x").await.unwrap_err();
        assert_eq!(refused, "destination IP address is prohibited");
    }
    assert_eq!(stage.dialled(), ["93.184.216.34"]);
}

#[tokio::test]
async fn of_mixed_answers_only_addresses_outside_are_dialled() {
    let answers: &[&[&str]] = &[&["10.0.0.1", "::ffff:127.0.0.1", "93.184.216.34", "fd00::1"]];
    let mut stage = Stage::new(&["http://mixed.example.com"], Secrets::default(), answers);
    assert_eq!(stage.get("http://mixed.example.com/", "x").await, Ok(204));
    assert_eq!(stage.dialled(), ["93.184.216.34"]);
}

#[tokio::test]
async fn a_secret_goes_to_hosts_that_a_rule_names_and_to_no_other() {
    let mut secrets = Secrets::default();
    secrets.add("TOKEN", b"hunter2").unwrap();
    let placeholder = secrets.placeholder("TOKEN").unwrap().to_owned();
    let answers: &[&[&str]] = &[&["93.184.216.34"], &["93.184.216.34"], &["93.184.216.34"]];
    let rules = ["http://*", "http://api.example.com", "http://*.example.org"];
    let mut stage = Stage::new(&rules, secrets, answers);
    for host in ["api.example.com", "a.example.org", "evil.example.net"] {
        assert_eq!(stage.get(&format!("http://{host}/{placeholder}"), &format!("Bearer {placeholder}")).await, Ok(204));
    }
    let heads = stage.heads.lock().unwrap();
    assert!(heads[0].contains("authorization: Bearer hunter2\r\n"), "{}", heads[0]);
    assert!(heads[1].contains("authorization: Bearer hunter2\r\n"), "{}", heads[1]);
    assert!(heads[2].contains(&format!("authorization: Bearer {placeholder}\r\n")), "{}", heads[2]);
    // Addresses are written to logs by servers and all between: nothing is put in there.
    assert!(heads.iter().all(|head| head.starts_with(&format!("GET /{placeholder} "))));
}
