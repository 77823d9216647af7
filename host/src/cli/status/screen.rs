//! `status` for people: as wide as the terminal at most, coloured where that helps.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::super::output;
use super::super::queue::QueueView;
use super::{ActivityView, HandlerView, Status, WorkerView};

/// Without a word of its own: nothing to look at.
const PLAIN: Style = Style::new();
const HEAD: Style = Style::new().bold();
const WAITS: Style = AnsiColor::Yellow.on_default();
const DIED: Style = AnsiColor::Red.on_default();

/// A cell and how it looks.
struct Cell(String, Style);

/// What stands over a column, and how it is set.
struct Column {
    name: &'static str,
    set: Set,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    /// A text, which may be cut in its middle where the line is too long, to this length.
    Text(usize),
    /// A number: never cut.
    Number,
}

const fn text(name: &'static str, least: usize) -> Column {
    Column { name, set: Set::Text(least) }
}

const fn number(name: &'static str) -> Column {
    Column { name, set: Set::Number }
}

/// The whole, a line each; cut where `width` is known.
pub(super) fn lines(status: &Status, width: Option<usize>, coloured: bool) -> Vec<String> {
    let paint = |style: Style, text: &str| if coloured { format!("{style}{text}{style:#}") } else { text.to_owned() };
    let when = format!(" · {}", status.at);
    let room = width.unwrap_or(usize::MAX);
    let broker = cut(&status.broker, room.saturating_sub(when.chars().count()));
    let mut lines = vec![paint(HEAD, &broker) + &when, cut(&headline(status), room)];
    for (columns, rows) in [queues(&status.queues), workers(&status.workers), handlers(&status.handlers)] {
        if rows.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.extend(table(&columns, &rows, width, &paint));
    }
    lines
}

/// `lines` over what stood on the terminal before: nothing of that is left, and nothing scrolls.
pub(super) fn frame(mut lines: Vec<String>, height: Option<usize>) -> String {
    let room = height.map_or(usize::MAX, |height| height.saturating_sub(1).max(1));
    if lines.len() > room {
        let hidden = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("… {hidden} more lines"));
    }
    // Home; each line is cleared to its end, so nothing flickers; then everything below.
    let mut frame = String::from("\x1b[H");
    for line in lines {
        frame.push_str(&line);
        frame.push_str("\x1b[K\r\n");
    }
    frame + "\x1b[J"
}

fn headline(status: &Status) -> String {
    let total = &status.total;
    let workers = match total.workers {
        0 => return "no worker is running".into(),
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    };
    let (done, failed) = (rate(total.done_per_second), rate(total.failed_per_second));
    format!("{workers} · {} of {} running · {done}/s done, {failed}/s failed", total.running, total.concurrency)
}

fn queues(queues: &[QueueView]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let names = ["PENDING", "RUNNING", "SCHEDULED", "PARKED", "DEAD"];
    let columns = std::iter::once(text("QUEUE", 12)).chain(names.map(number)).chain([text("SETTINGS", 8)]).collect();
    let row = |queue: &QueueView| {
        vec![
            Cell(queue.queue.clone(), PLAIN),
            count(queue.pending, PLAIN),
            count(queue.running, PLAIN),
            count(queue.scheduled, PLAIN),
            count(queue.parked, WAITS),
            count(queue.dead, DIED),
            Cell(queue.settings(), if queue.paused { WAITS } else { PLAIN }),
        ]
    };
    (columns, queues.iter().map(row).collect())
}

fn workers(workers: &[WorkerView]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let numbers = ["UP", "RUNNING", "DONE", "FAILED", "DONE/S"].map(number);
    let columns = std::iter::once(text("WORKER", 12)).chain(numbers).chain([text("QUEUES", 8)]).collect();
    let row = |worker: &WorkerView| {
        let told = |tell: fn(&ActivityView) -> String| worker.activity.as_ref().map_or_else(|| "-".into(), tell);
        let failed = worker.activity.as_ref().map_or(0, |activity| activity.failed);
        vec![
            Cell(worker.id.clone(), PLAIN),
            Cell(told(|activity| up(activity.up_ms)), PLAIN),
            Cell(format!("{}/{}", told(|activity| activity.running.to_string()), worker.concurrency), PLAIN),
            Cell(told(|activity| activity.done.to_string()), PLAIN),
            Cell(told(|activity| activity.failed.to_string()), if failed > 0 { DIED } else { PLAIN }),
            Cell(told(|activity| rate(activity.done_per_second)), PLAIN),
            Cell(worker.queues.iter().map(|queue| queue.as_str()).collect::<Vec<_>>().join(" "), PLAIN),
        ]
    };
    (columns, workers.iter().map(row).collect())
}

fn handlers(handlers: &[HandlerView]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let columns = vec![text("HANDLER", 12), text("QUEUE", 12), number("WORKERS"), text("VERSIONS", 19)];
    let row = |handler: &HandlerView| {
        let versions: Vec<String> = handler.digests.iter().map(|digest| output::digest(digest)).collect();
        vec![
            Cell(handler.name.to_string(), PLAIN),
            Cell(handler.queue.to_string(), PLAIN),
            Cell(handler.workers.to_string(), PLAIN),
            Cell(versions.join(" "), if versions.len() > 1 { WAITS } else { PLAIN }),
        ]
    };
    (columns, handlers.iter().map(row).collect())
}

/// Where it isn't zero it looks as it should.
fn count(number: u64, style: Style) -> Cell {
    Cell(number.to_string(), if number > 0 { style } else { PLAIN })
}

fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// The two largest units.
fn up(ms: u64) -> String {
    let span = humantime::format_duration(Duration::from_secs(ms / 1_000)).to_string();
    span.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn table(
    columns: &[Column],
    rows: &[Vec<Cell>],
    width: Option<usize>,
    paint: &impl Fn(Style, &str) -> String,
) -> Vec<String> {
    let widths = widths(columns, rows, width);
    let line = |cells: Vec<(&str, Style)>| {
        let mut line = String::new();
        for (((text, style), column), &width) in cells.into_iter().zip(columns).zip(&widths) {
            let text = cut(text, width);
            let gap = " ".repeat(width - text.chars().count());
            let text = paint(style, &text);
            line.push_str(&if column.set == Set::Number { gap + &text } else { text + &gap });
            line.push_str("  ");
        }
        line.trim_end().to_owned()
    };
    let head = line(columns.iter().map(|column| (column.name, HEAD)).collect());
    let rows = rows.iter().map(|row| line(row.iter().map(|Cell(text, style)| (text.as_str(), *style)).collect()));
    std::iter::once(head).chain(rows).collect()
}

/// As wide as the widest cell; where that is too much together, the widest texts give way.
fn widths(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<usize> {
    let widest = |index: usize| rows.iter().map(move |row| row[index].0.chars().count()).max().unwrap_or(0);
    let mut widths: Vec<usize> =
        columns.iter().enumerate().map(|(index, column)| widest(index).max(column.name.len())).collect();
    let gaps = 2 * columns.len().saturating_sub(1);
    let room = width.unwrap_or(usize::MAX).saturating_sub(gaps);
    while widths.iter().sum::<usize>() > room {
        let may_shrink = |index: &usize| matches!(columns[*index].set, Set::Text(least) if widths[*index] > least);
        match (0..columns.len()).filter(may_shrink).max_by_key(|&index| widths[index]) {
            Some(index) => widths[index] -= 1,
            None => break,
        }
    }
    widths
}

/// Begin and end are what tells names apart.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (begin, end) = (kept.div_ceil(2), kept / 2);
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::Total;

    fn status() -> Status {
        let worker = |id: &str, activity| WorkerView {
            id: id.into(),
            queues: ["default", "mail", "reports"].map(|name| name.parse().unwrap()).to_vec(),
            concurrency: 100_000,
            activity,
        };
        let busy = ActivityView {
            up_ms: 93_784_000,
            running: 99_999,
            done: 123_456_789,
            failed: 1_234,
            done_per_second: 14_321.4,
            failed_per_second: 0.04,
        };
        Status {
            at: "2026-11-24T06:44:20.000Z".into(),
            broker: "redis://localhost".into(),
            total: Total {
                workers: 2,
                concurrency: 200_000,
                pending: 1,
                running: 99_999,
                done_per_second: 14_321.4,
                failed_per_second: 0.04,
            },
            queues: vec![QueueView {
                queue: "q".repeat(64),
                scheduled: 1,
                pending: 12_345_678,
                running: 99_999,
                parked: 0,
                dead: 7,
                paused: true,
                rate: Some("100/s".into()),
                concurrency: Some(20),
            }],
            workers: vec![worker(&"machine-".repeat(8), Some(busy)), worker("old", None)],
            handlers: vec![HandlerView {
                name: "add".parse().unwrap(),
                queue: "default".parse().unwrap(),
                workers: 2,
                digests: ["sha256:00112233445566778899", "sha256:99112233445566778899"].map(String::from).into(),
            }],
        }
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_numbers_are_whole() {
        for width in [80, 100, 200] {
            let lines = lines(&status(), Some(width), false);
            for line in &lines {
                assert!(line.chars().count() <= width, "{} of {width}: {line}", line.chars().count());
            }
            let text = lines.join("\n");
            for whole in
                ["12345678", "99999/100000", "123456789", "14321", "1day 2h", "-/100000", "2  sha256:001122334455"]
            {
                assert!(text.contains(whole), "{whole} at {width}:\n{text}");
            }
        }
        let all = lines(&status(), None, false).join("\n");
        assert!(all.contains(&"q".repeat(64)) && !all.contains('…'), "{all}");
    }

    #[test]
    fn colours_are_only_added() {
        let plain = lines(&status(), Some(80), false);
        let coloured = lines(&status(), Some(80), true).join("\n");
        assert!(coloured.contains("\x1b[31m7\x1b[0m"), "dead letters are red: {coloured:?}");
        assert!(coloured.contains("\x1b[33mpaused, "), "a paused queue is yellow: {coloured:?}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain.join("\n"));
        assert!(!plain.join("").contains('\x1b'));
    }

    #[test]
    fn a_frame_fits_the_height_and_clears_what_was_there() {
        let frame = frame((0..50).map(|line| format!("line {line}")).collect(), Some(10));
        assert!(frame.starts_with("\x1b[Hline 0\x1b[K\r\n") && frame.ends_with("\x1b[J"), "{frame:?}");
        assert_eq!(frame.matches("\r\n").count(), 9);
        assert!(frame.contains("… 42 more lines"), "{frame:?}");
    }
}
