//! Markdown to HTML: teaches text in and text out, and a crate from the registry that knows nothing of handlers.
//!
//! The payload is Markdown with tables, strikethrough and task lists; the result is HTML. HTML in the payload is shown as
//! text, and links lead to the web, to mail or within the page, because nobody says who wrote it. Build it with
//! `cargo build -p markdown --target wasm32-wasip2 --profile guest`.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

tasq_sdk::handler!(markdown);

fn markdown(text: String) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut page = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut page, Parser::new_ext(&text, options).map(harmless));
    page
}

fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: reachable(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: reachable(dest_url), title, id })
        }
        other => other,
    }
}

/// A browser runs `javascript:` links, whatever blanks stand in them.
fn reachable(url: CowStr<'_>) -> CowStr<'_> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None | Some("http" | "https" | "mailto") => url,
        // A path may have a colon as well.
        Some(path) if path.contains(['/', '?', '#']) => url,
        Some(_) => "#".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_sdk::testing::run;

    fn page(text: &str) -> String {
        String::from_utf8(run(markdown, text).unwrap()).unwrap()
    }

    #[test]
    fn markdown_becomes_html() {
        assert_eq!(page("# Größe 🙂\n\n*a* ~~b~~"), "<h1>Größe 🙂</h1>\n<p><em>a</em> <del>b</del></p>\n");
        assert!(page("|a|b|\n|-|-|\n|1|2|").contains("<td>2</td>"));
        assert_eq!(page(""), "");
    }

    #[test]
    fn html_and_scripts_do_not_get_through() {
        assert!(!page("<script>alert(1)</script>\n\na <b onclick=x>b</b>").contains("<b"));
        for link in ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", " java\tscript:x"] {
            let page = page(&format!("[a](<{link}>) ![b](<{link}>)"));
            assert!(!page.to_lowercase().contains("script:") && !page.contains("data:"), "{page}");
        }
        for link in ["https://example.org/", "mailto:a@example.org", "a/b:c", "#top"] {
            assert!(page(&format!("[a]({link})")).contains(&format!("href=\"{link}\"")), "{link}");
        }
    }

    #[test]
    fn a_payload_that_is_no_text_is_discarded() {
        assert_eq!(run(markdown, b"\xff").unwrap_err().code, "invalid-payload");
    }
}
