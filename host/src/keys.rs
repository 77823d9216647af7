//! TOML files that people write: an unknown key is named together with the nearest known one, a mistake with its line.

/// What to say of `unknown` in the table `above` (`""`, or with its dot: `grants.`), whose keys are `known`.
pub fn hint(above: &str, unknown: &str, known: &[&str]) -> String {
    let likeness = |key: &str| strsim::jaro_winkler(key, unknown);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.7) {
        Some(nearest) => format!("did you mean `{above}{nearest}`?"),
        None => format!("known keys: {}", known.join(", ")),
    }
}

/// What the parser has against `text`, on one line: `line 2: …`.
pub fn mistake(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{place}{}", error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_and_where_none_is_near_all_are() {
        assert_eq!(hint("run.", "leese", &["handlers", "lease"]), "did you mean `run.lease`?");
        assert_eq!(hint("", "zzz", &["broker", "cache"]), "known keys: broker, cache");
    }

    #[test]
    fn a_mistake_has_its_line() {
        let text = "a = 1\nb =";
        let error = toml::from_str::<toml::Table>(text).unwrap_err();
        assert!(mistake(text, &error).starts_with("line 2: "), "{}", mistake(text, &error));
    }
}
