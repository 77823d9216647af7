//! The larger examples, `examples/LANGUAGE/NAME`, through the real sandbox: each with what its first lines promise.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tasq_host::sandbox::{Handler, Options, Sandbox};
use tasq_host::task::{Outcome, Verdict};
use tasq_tests::projects::{project, unit_tests};
use tasq_tests::{guests, runs};

fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        Arc::new(Sandbox::new(Options { slots: 4, pagemap_scan: true, cache, memory_budget: None }).unwrap())
    })
}

/// An example with a manifest of the test's.
struct Example(Arc<Handler>);

impl Example {
    fn of(folder: &str, manifest: &str) -> Example {
        let name = folder.rsplit('/').next().unwrap();
        let load = || sandbox().load_file(&project(folder, name, manifest)).unwrap();
        Example(tokio::task::block_in_place(load))
    }

    async fn result(&self, payload: impl Into<Bytes>) -> Bytes {
        match runs::run(sandbox(), &self.0, payload).await.0 {
            Outcome::Done(result) => result,
            other => panic!("expected a result, found {other:?}"),
        }
    }

    async fn text(&self, payload: impl Into<Bytes>) -> String {
        String::from_utf8(self.result(payload).await.to_vec()).unwrap()
    }

    /// The code of a discard.
    async fn discard(&self, payload: impl Into<Bytes>) -> String {
        match runs::run(sandbox(), &self.0, payload).await.0 {
            Outcome::Failed(failure, Verdict::Discard) => failure.code,
            other => panic!("expected a discard, found {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_report_in_python_sums_up_by_the_column_that_is_set() {
    let report = Example::of("examples/python/csv-report", "[grants]\nconfig = { group_by = \"city\" }\n");
    let result = report.text("price,city\n0.1,Zürich\n5,Bern\n0.2,Zürich\n").await;
    assert_eq!(result, "city,rows,price\nBern,1,5\nZürich,2,0.3\n");
    assert_eq!(report.discard("a,b\n1,2\n").await, "invalid-payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn markdown_in_rust_becomes_html() {
    let load = || sandbox().load_file(&guests::example("markdown")).unwrap();
    let markdown = Example(tokio::task::block_in_place(load));
    assert_eq!(markdown.text("# Größe\n\n- *a*\n").await, "<h1>Größe</h1>\n<ul>\n<li><em>a</em></li>\n</ul>\n");
    assert_eq!(markdown.text("<script>x</script>").await, "&lt;script&gt;x&lt;/script&gt;");
    assert_eq!(markdown.discard(&b"\xff"[..]).await, "invalid-payload");
    // Nested as deep as it goes, it ends one way or the other.
    let (outcome, _) = runs::run(sandbox(), &markdown.0, ">".repeat(100_000)).await;
    assert!(matches!(outcome, Outcome::Done(_) | Outcome::Failed(..)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_in_typescript_is_filled_in() {
    let render = Example::of("examples/typescript/render", "");
    let order = r#"{"template":"{{name}}:{{#items}} {{item}}{{/items}}","values":{"name":"Zoë","items":[1,"b"]}}"#;
    assert_eq!(render.text(order).await, "Zoë: 1 b");
    let missing = r#"{"template":"{{name}}!","values":{}}"#;
    assert_eq!(render.discard(missing).await, "missing-value");
    for payload in ["", "[]", r#"{"template":"a"}"#, r#"{"template":1,"values":{}}"#] {
        assert_eq!(render.discard(payload).await, "invalid-payload", "{payload}");
    }
    let lenient = Example::of("examples/typescript/render", "[grants]\nconfig = { missing = \"?\" }\n");
    assert_eq!(lenient.text(missing).await, "?!");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_becomes_small_in_go() {
    let thumbnail = Example::of("examples/go/thumbnail", "[grants]\nconfig = { size = \"20\" }\n");
    assert_eq!(size_of_png(&thumbnail.result(gif(300, 150)).await), (20, 10));
    assert_eq!(size_of_png(&thumbnail.result(gif(3, 2)).await), (3, 2));
    assert_eq!(thumbnail.discard("text").await, "invalid-payload");
    let mut bomb = gif(1, 1);
    bomb[6..10].fill(0xff);
    assert_eq!(thumbnail.discard(bomb).await, "too-large");
}

/// An image of one colour. Its codes are as wide as bytes, because the table is cleared before it grows.
fn gif(width: u16, height: u16) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let palette = [[200, 100, 50]; 128].concat();
    let pixels = vec![0; usize::from(width) * usize::from(height)];
    let codes = pixels.chunks(100).flat_map(|row| [&[0x80], row].concat()).chain([0x81]).collect::<Vec<u8>>();
    let blocks = codes.chunks(255).flat_map(|block| [&[block.len() as u8], block].concat()).collect::<Vec<u8>>();
    let head = [b"GIF89a", &*size, &[0x86, 0, 0], &palette, &[0x2c, 0, 0, 0, 0], &size, &[0, 7]].concat();
    [&*head, &blocks, &[0, 0x3b]].concat()
}

fn size_of_png(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..16], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_counted_in_c() {
    let statistics = Example::of("examples/c/text-stats", "");
    let counted = r#"{"lines":1,"words":4,"different":3,"characters":18,"longest":"größe","frequent":[["the",2],["größe",1],["hat",1]]}"#;
    assert_eq!(statistics.text("the hat\nthe größe!").await, counted);
    assert_eq!(statistics.discard(&b"a\xff"[..]).await, "invalid-payload");
    // As many words as a payload has room for.
    let much = statistics.text("a ".repeat(1 << 20)).await;
    assert!(much.starts_with(r#"{"lines":0,"words":1048576,"different":1,"#), "{much}");
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_redacted_in_javascript() {
    let redact = Example::of("examples/javascript/redact", "[grants]\nconfig = { hide = \"pin\" }\n");
    let document = r#"{"from":"Zoë@example.org","cc":["zoë@example.org"],"card":4111111111111111,"PIN":{"a":1},"at":1700000000123}"#;
    let redacted = r#"{"from":"[email 1]","cc":["[email 1]"],"card":"[card 1]","PIN":"[hidden]","at":1700000000123}"#;
    assert_eq!(redact.text(document).await, redacted);
    assert_eq!(redact.text("\"from 192.0.2.7\"").await, "\"from [ip 1]\"");
    for payload in ["", "{", "\"\x01\""] {
        assert_eq!(redact.discard(payload).await, "invalid-payload", "{payload}");
    }
    // Texts that the patterns could be slow on, within the time of a run.
    for unit in ["a", "1", "a@", "1.", "4111 "] {
        let text = serde_json::to_string(&unit.repeat((64 << 10) / unit.len())).unwrap();
        redact.result(text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_texts_are_compared_in_cpp() {
    let diff = Example::of("examples/cpp/diff", "cpu = \"20s\"\n\n[grants]\nconfig = { context = \"1\" }\n");
    let texts = |old: &str, new: &str| serde_json::json!({ "old": old, "new": new }).to_string();
    let expected = "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-größe\n+Größe\n b\n@@ -5 +5,2 @@\n e\n+f\n";
    assert_eq!(diff.text(texts("größe\nb\nc\nd\ne\n", "Größe\nb\nc\nd\ne\nf\n")).await, expected);
    assert_eq!(diff.text(texts("same", "same")).await, "");
    assert_eq!(diff.discard("[]").await, "invalid-payload");
    // Everything differs: it is given up before it takes long.
    let numbered = |prefix: &str| {
        (0..30_000).fold(String::new(), |mut all, n| writeln!(all, "{prefix}{n}").map(|()| all).unwrap())
    };
    assert_eq!(diff.discard(texts(&numbered("a"), &numbered("b"))).await, "too-different");
}

/// An archive as `tar` writes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_looked_into_in_zig() {
    let unpack = Example::of("examples/zig/unpack", "");
    let folder = tempfile::tempdir().unwrap();
    let big = "größe\n".repeat(100_000);
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/big"), &big).unwrap();
    std::fs::write(folder.path().join("a/hello.txt"), "hello").unwrap();
    std::os::unix::fs::symlink("a/big", folder.path().join("link")).unwrap();
    let tar = |flags: &str| {
        let output = Command::new("tar")
            .args([flags, "-", "a/hello.txt", "link", "a/big"])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let seen = concat!(
        r#"{"files":[{"path":"a/hello.txt","bytes":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},"#,
        r#"{"path":"link","link":"a/big"},{"path":"a/big","bytes":800000,"sha256":"SUM"}],"bytes":800005}"#
    );
    let sum = Command::new("sha256sum").arg(folder.path().join("a/big")).output().unwrap();
    let seen = seen.replace("SUM", &String::from_utf8_lossy(&sum.stdout)[..64]);
    let (plain, zipped) = (tar("cf"), tar("czf"));
    assert_eq!(unpack.text(zipped.clone()).await, seen);
    assert_eq!(unpack.text(plain).await, seen);
    for payload in
        [b"text".to_vec(), zipped[..zipped.len() - 5].to_vec(), [&zipped[..1000], b"?", &zipped[1001..]].concat()]
    {
        assert_eq!(unpack.discard(payload).await, "invalid-payload");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_its_waveform_in_assemblyscript() {
    let waveform = Example::of("examples/assemblyscript/waveform", "[grants]\nconfig = { points = \"4\" }\n");
    let samples =
        |seconds: usize| (0..8000 * seconds).map(|at| if at % 2 == 0 { 16_384 } else { -16_384 }).collect::<Vec<i16>>();
    let seen = r#"{"seconds":2,"rate":8000,"channels":1,"loudness":-6.021,"peaks":[0.5,0.5,0.5,0.5]}"#;
    assert_eq!(waveform.text(wav(&samples(2))).await, seen);
    // Longer than the memory that it begins with.
    assert!(waveform.text(wav(&samples(200))).await.starts_with(r#"{"seconds":200,"#));
    for payload in [b"text".to_vec(), wav(&[1])[..40].to_vec()] {
        assert_eq!(waveform.discard(payload).await, "invalid-payload");
    }
}

/// 16 bits, one channel, 8000 samples a second.
fn wav(samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let format = [&[1, 0, 1, 0][..], &size(8000), &size(16_000), &[2, 0, 16, 0]].concat();
    [b"RIFF", &size(36 + data.len())[..], b"WAVEfmt ", &size(16), &format, b"data", &size(data.len()), &data].concat()
}

macro_rules! unit_tests {
    ($($language:ident)*) => {
        const LANGUAGES: &[&str] = &[$(stringify!($language)),*];
        mod unit_tests_pass {
            $(#[test] fn $language() { super::pass_in(stringify!($language)); })*
        }
    };
}

unit_tests! { python javascript typescript go c cpp zig assemblyscript }

/// The unit tests of every example in a language, as its author runs them.
fn pass_in(language: &str) {
    for name in folders(&format!("examples/{language}")) {
        unit_tests(&format!("examples/{language}/{name}"));
    }
}

/// Each SDK's language has the smallest handler and a larger one; Rust's are `examples/add` and `examples/markdown`.
#[test]
fn every_language_has_its_examples() {
    let languages = folders("examples").into_iter().filter(|name| name != "command" && !is_crate(name));
    let mut expected = LANGUAGES.to_vec();
    expected.sort_unstable();
    assert_eq!(languages.collect::<Vec<_>>(), expected);
    for language in LANGUAGES {
        let examples = folders(&format!("examples/{language}"));
        let larger = examples.iter().filter(|name| !name.starts_with("add"));
        assert!(examples.contains(&"add".into()) && larger.count() > 0, "{language}: {examples:?}");
    }
}

fn is_crate(name: &str) -> bool {
    repository().join("examples").join(name).join("Cargo.toml").is_file()
}

fn folders(of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository().join(of)).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
