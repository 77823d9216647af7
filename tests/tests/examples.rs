//! The larger examples, `examples/LANGUAGE/NAME`, through the real sandbox: each with what its first lines promise.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tasq_host::sandbox::{Handler, Options, Sandbox};
use tasq_host::task::{Outcome, Verdict};
use tasq_tests::projects::project;
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
