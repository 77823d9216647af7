//! Addresses that no name and no spelling leads to.

use super::*;

/// In as many spellings as clients and resolvers have been known to take. Without a port: the default one is asked for.
const SPELLINGS: &[&str] = &[
    // Loopback.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "0x7f000001",
    "0x7F000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f.0.0x000001",
    "127.0.0.0x1",
    "127.127.127.127",
    "127.255.255.254",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "\u{2460}\u{2461}\u{2466}.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[::1%25lo]",
    "[::1%lo]",
    // Unspecified.
    "0",
    "0.0.0.0",
    "0.1",
    "0x0",
    "00000000000",
    "[::]",
    "[::ffff:0.0.0.0]",
    // A cloud's metadata.
    "169.254.169.254",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.169.254.",
    "169.254.0251.0xfe",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    // Private, carriers', link-local, multicast, reserved.
    "10.0.0.1",
    "10.1",
    "0xa000001",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "0xac.0x10.1",
    "192.168.0.1",
    "192.168.1",
    "3232235777",
    "0300.0250.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "0xffffffff",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.0.1]",
    "[64:ff9b::a00:1]",
    // Public ones, but as numbers: no name.
    "8.8.8.8",
    "134744072",
    "[2606:4700::1111]",
    // Who is meant?
    "example.com@127.0.0.1",
    "127.0.0.1@example.com",
    "127.0.0.1:80@example.com",
];

#[test]
fn no_spelling_of_an_address_passes_as_a_name() {
    assert!(SPELLINGS.len() >= 60);
    let here = Here::beside(&[]);
    let handler = here.granted(&["http://*", "https://*", "http://*.example.com"]);
    for spellings in SPELLINGS.chunks(25) {
        let urls = spellings.iter().flat_map(|host| [format!("http://{host}/"), format!("https://{host}/")]);
        let urls: Vec<String> = urls.collect();
        let answers = here.answers(&handler, urls.iter().map(|url| json!({ "url": url })).collect());
        for (url, answer) in urls.iter().zip(answers) {
            let error = answer["error"].as_str().unwrap_or_default();
            // Not by chance, because nobody answered: none of them was looked up, dialled or sent.
            let refused = ["HttpRequestDenied", "DestinationIpProhibited", "authority", "HttpRequestUriInvalid"];
            assert!(refused.contains(&error), "{url}: {answer}");
        }
    }
}

#[test]
fn a_name_that_leads_inside_is_refused_and_its_server_sees_nothing() {
    let web = Web::start();
    // Nobody's word but the manifest's: a name is all that it takes.
    let here = Here::with(Operator::default(), Secrets::default());
    let handler = here.granted(&["http://*", &format!("http://*:{}", web.address.port())]);
    for name in ["localhost", "LocalHost"] {
        let answer = here.answer(&handler, json!({"url": format!("http://{name}:{}/ok", web.address.port())}));
        assert_eq!(answer["error"], "DestinationIpProhibited", "{name}");
    }
    assert_eq!(web.requests().len(), 0);
}

#[test]
fn an_address_that_is_granted_is_reached_in_every_spelling_and_no_other_is() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    let port = web.address.port();
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1"] {
        let answer = here.answer(&handler, json!({"url": format!("http://{host}:{port}/ok")}));
        assert_eq!(answer["status"], 200, "{host}: {answer}");
    }
    // The server isn't shown another name than the one that was granted.
    assert!(web.requests().iter().all(|request| request.contains(&format!("host: 127.0.0.1:{port}\r\n"))));
    for host in ["127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"] {
        let answer = here.answer(&handler, json!({"url": format!("http://{host}:{port}/ok")}));
        assert_eq!(answer["error"], "HttpRequestDenied", "{host}");
    }
}

#[test]
fn no_header_of_the_guests_names_another_host() {
    let web = Web::start();
    let here = Here::beside(&[&web]);
    let handler = here.granted(&[&web.url()]);
    for name in ["host", "Host", "proxy-connection", "upgrade", "transfer-encoding", "connection"] {
        let answer = here.answer(&handler, json!({"url": web.url(), "headers": [[name, "internal.example.com"]]}));
        assert_eq!(answer["error"], "header: HeaderError::Forbidden", "{name}");
    }
    assert_eq!(web.requests().len(), 0);
}
