//! Finds the paths in a Rust file: a tokenizer that knows comments, literals and `#[cfg(test)]`, and nothing else.

/// Every path that begins with `crate`, `super` or `tasq_host`, groups unfolded, outside `#[cfg(test)]`.
pub(crate) fn paths(source: &str) -> Vec<Vec<String>> {
    let tokens = without_tests(tokens(source));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = matches!(token.as_str(), "crate" | "super" | "tasq_host");
        let goes_on = at > 0 && tokens[at - 1] == "::";
        if begins && !goes_on && tokens.get(at + 1).is_some_and(|next| next == "::") {
            unfold(&tokens, at, &[], &mut found);
        }
    }
    found
}

/// Every `a::b`, wherever it stands in a path, outside `#[cfg(test)]`.
pub(crate) fn pairs(source: &str) -> Vec<(String, String)> {
    let tokens = without_tests(tokens(source));
    let pairs = tokens.windows(3).filter(|three| three[1] == "::");
    pairs.map(|three| (three[0].clone(), three[2].clone())).collect()
}

/// Reads the path or group at `at`, adds what it names to `found`, and gives the place behind it.
fn unfold(tokens: &[String], mut at: usize, above: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = above.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = unfold(tokens, at, &path, found);
                    while tokens.get(at).is_some_and(|token| token != "}" && token != ",") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some(segment) => path.push(segment.to_owned()),
            None => break,
        }
        if tokens.get(at + 1).is_none_or(|next| next != "::") {
            break;
        }
        at += 2;
    }
    found.push(path);
    at + 1
}

/// Without each item under `#[cfg(test)]`: up to its `;`, or the end of its braces.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"].map(str::to_owned)) {
            let mut depth = 0;
            loop {
                match tokens.get(at).map(String::as_str) {
                    Some("{") => depth += 1,
                    Some("}") => depth -= 1,
                    _ => {}
                }
                let ends = tokens.get(at).is_none_or(|token| token == "}" || token == ";") && depth <= 0;
                at += 1;
                if ends {
                    break;
                }
            }
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Identifiers, `::`, and every other sign by itself; no comments, no literals.
fn tokens(source: &str) -> Vec<String> {
    let mut rest = source;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the text or character literal that `rest` begins with.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(text) = raw[hashes..].strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = text.find(&end).map_or(text.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    let quote = body.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    // A lifetime is no literal: its quote is followed by a name that no quote ends.
    let mut signs = body.char_indices().skip(1);
    let second = signs.clone().next()?.1;
    if quote == '\'' && second != '\\' && body.chars().nth(2) != Some('\'') {
        return None;
    }
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            sign if sign == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let source = r##"
        use crate::{broker::{Broker, shares as s}, codec};
        use super::super::x; // crate::comment
        /* crate::comment */
        fn f<'a>(c: &'a char) { if *c == '"' { tasq_host::worker::run("crate::text", r#"crate::raw""#, b'\'') } }
        #[cfg(test)]
        use crate::sandbox;
        pub(crate) fn g() { std::mem::take(a::super_::crate_); }
        #[cfg(test)]
        mod tests { use crate::worker; fn h() { { crate::y() } } }
        fn i() { crate::last() }
    "##;
    let found: Vec<String> = paths(source).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::broker::Broker",
        "crate::broker::shares",
        "crate::codec",
        "super::super::x",
        "tasq_host::worker::run",
        "crate::last",
    ];
    assert_eq!(found, expected);
    assert!(pairs("use a::{b}; fn f() { backend::redis::open() }").contains(&("backend".into(), "redis".into())));
}
