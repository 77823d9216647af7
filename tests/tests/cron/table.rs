//! Expressions with their next five ticks. `table.txt` has one a line: expression, zone, the moment after which, and the
//! ticks, by the clock of the zone. The crate `croner`, which shares no code with what is tested, has to agree with each
//! line, but for those whose ticks begin with `=`: there it follows another rule, as the comment above says.
//!
//! `TABLE=overwrite cargo test -p tasq-tests --test cron table` writes down what `croner` says: read the difference.

use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use croner::Cron;
use tasq_host::cron::Expression;
use tasq_host::task::Timestamp;

const COUNT: usize = 5;

struct Line<'a> {
    expression: &'a str,
    zone: Tz,
    after: DateTime<Tz>,
    ticks: &'a str,
}

fn read(line: &str) -> Option<Line<'_>> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('|').map(str::trim);
    let mut column = || columns.next().unwrap_or_else(|| panic!("four columns: {line}"));
    let (expression, zone): (_, Tz) = (column(), column().parse().expect("a zone"));
    let after = DateTime::parse_from_rfc3339(column()).expect("a moment").with_timezone(&zone);
    Some(Line { expression, zone, after, ticks: column() })
}

fn shown(ticks: impl Iterator<Item = DateTime<Tz>>) -> String {
    let shown = ticks.take(COUNT).map(|tick| tick.to_rfc3339_opts(SecondsFormat::Secs, true));
    shown.collect::<Vec<_>>().join(" ")
}

fn ours(line: &Line<'_>) -> String {
    let expression: Expression = line.expression.parse().expect("an expression");
    let next = |after: &DateTime<Tz>| {
        let after = Timestamp(u64::try_from(after.timestamp_millis()).expect("after 1970"));
        let Timestamp(next) = tasq_host::cron::next(&expression, line.zone, after)?;
        Some(DateTime::from_timestamp_millis(next as i64)?.with_timezone(&line.zone))
    };
    shown(std::iter::successors(next(&line.after), next))
}

fn others(line: &Line<'_>) -> String {
    let cron: Cron = line.expression.parse().unwrap_or_else(|error| panic!("{}: {error}", line.expression));
    let next = |after: &DateTime<Tz>| cron.find_next_occurrence(after, false).ok();
    shown(std::iter::successors(next(&line.after), next))
}

#[test]
fn every_expression_ticks_as_another_implementation_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cron/table.txt");
    let table = std::fs::read_to_string(&file).expect("the table");
    if std::env::var_os("TABLE").is_some_and(|mode| mode == "overwrite") {
        let mut written = String::new();
        for text in table.lines() {
            match read(text) {
                Some(line) if !line.ticks.starts_with('=') => {
                    let columns: Vec<&str> = text.split('|').take(3).map(str::trim_end).collect();
                    writeln!(written, "{} | {}", columns.join(" |"), others(&line)).expect("memory");
                }
                _ => writeln!(written, "{text}").expect("memory"),
            }
        }
        std::fs::write(file, written).expect("the table");
        return;
    }
    let (mut lines, mut wrong) = (0, String::new());
    for line in table.lines().filter_map(read) {
        let expected = line.ticks.trim_start_matches(['=', ' ']);
        lines += 1;
        assert_eq!(expected.split(' ').count(), COUNT, "{}", line.expression);
        if line.ticks == expected {
            assert_eq!(others(&line), expected, "croner: {}", line.expression);
        }
        let found = ours(&line);
        if found != expected {
            writeln!(wrong, "{} in {}\n  expected {expected}\n  found    {found}", line.expression, line.zone)
                .expect("memory");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(lines >= 60, "{lines} lines");
}
