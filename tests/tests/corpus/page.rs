//! `docs/CORPUS.md`: the list of the cases, which is checked, and how they ended and what they took, which a run writes
//! where `TASQ_CORPUS=write` asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::text_of;
use crate::cases::all;
use crate::{Case, Trial};

const HEAD: &str = "\
# The hostile corpus

Everything here is tried by `tests/tests/corpus/`: twice as many at once as there are cores, beside another handler whose
tasks must go on. Each has to end so, within its limit and 100 ms (`TASQ_OVERRUN_MS=100`; without, the tests allow for
other programs on the machine), and afterwards the process must hold the memory, files, tasks and places of the pool that
it held before. Most cases may compute for 100 ms and take 1 s and 32 MiB. A case of text is `tests/corpus/NAME.wat`.

`make corpus` writes this page. The time is that of the slowest run, on the machine where it was last written.
";

/// A row's last two columns.
type Found = (String, String);

/// Writes down how a case ended, if that is asked.
pub(crate) fn note(case: &Case, ends: &[String], cost: &str) {
    if !is_written() {
        return;
    }
    let mut rows = rows();
    let ends: BTreeSet<String> = ends.iter().map(|end| format!("`{}`", shortened(end))).collect();
    let ends = ends.into_iter().collect::<Vec<_>>().join(" or ");
    rows.insert(case.name.to_owned(), (ends, cost.to_owned()));
    fs::write(path(), page(&rows)).unwrap();
}

/// The reason of a refusal may name folders and go on for long.
fn shortened(end: &str) -> String {
    let end = end.split(": /").next().unwrap().split(", to /").next().unwrap();
    let end: String = end.replace(['`', '|'], "'").chars().take(110).collect();
    end.trim_end_matches([':', ' ']).to_owned()
}

fn page(rows: &BTreeMap<String, Found>) -> String {
    let (mut page, mut group) = (HEAD.to_owned(), "");
    for case in all() {
        if case.group != group {
            group = case.group;
            page.push_str(&format!(
                "\n## {group}\n\n| case | what it does | how it ends | time |\n|---|---|---|---|\n"
            ));
        }
        let (ends, cost) = rows.get(case.name).cloned().unwrap_or_default();
        page.push_str(&format!("| `{}` | {} | {ends} | {cost} |\n", case.name, what(&case)));
    }
    page
}

fn what(case: &Case) -> String {
    match &case.trial {
        Trial::Misbehave(_, what) | Trial::Fetch(_, what) | Trial::Command(_, what) | Trial::Here(_, what) => {
            (*what).to_owned()
        }
        Trial::Text => {
            let text = fs::read_to_string(text_of(case.name)).unwrap();
            text.lines().next().and_then(|line| line.strip_prefix(";; ")).expect("a text says what it does").to_owned()
        }
    }
}

/// What the page says, by case.
fn rows() -> BTreeMap<String, Found> {
    let page = fs::read_to_string(path()).unwrap_or_default();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
        let [name, _, ends, cost] = cells[..] else { return None };
        Some((name.trim_end_matches('`').to_owned(), (ends.to_owned(), cost.to_owned())))
    };
    page.lines().filter_map(row).collect()
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/CORPUS.md")
}

fn is_written() -> bool {
    std::env::var("TASQ_CORPUS").is_ok_and(|wish| wish == "write")
}

#[test]
fn the_page_lists_every_case() {
    if is_written() {
        return;
    }
    let (found, rows) = (fs::read_to_string(path()).unwrap(), rows());
    assert_eq!(found, page(&rows), "docs/CORPUS.md is out of date: `make corpus` writes it");
    let blank: Vec<&String> = rows.iter().filter(|(_, (ends, _))| ends.is_empty()).map(|(name, _)| name).collect();
    assert!(blank.is_empty(), "no run of {blank:?} is on the page");
}

#[test]
fn every_text_is_tried_by_a_test_of_its_name() {
    let tried = |case: &Case| matches!(case.trial, Trial::Text) || text_of(case.name).is_file();
    let tried: BTreeSet<String> = all().iter().filter(|case| tried(case)).map(|case| case.name.to_owned()).collect();
    let texts = fs::read_dir(text_of("any").parent().unwrap()).unwrap();
    let texts: BTreeSet<String> =
        texts.map(|text| text.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(tried, texts);
}
