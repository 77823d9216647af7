//! `tasq-host enqueue --batch`: a task, a chain or a group a line, in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc::{self, Receiver, Sender};

use tasq_host::client::Client;
use tasq_host::error;
use tasq_host::request::{self, LONGEST};

use super::super::error::{Code, Error};
use super::super::{connect, output, view};
use crate::config::Config;

/// Lines that go to the broker in one call, and their bytes.
const LINES: usize = 1_000;
const BYTES: usize = 4 << 20;

/// How a batch went.
#[derive(Default)]
struct Count {
    enqueued: u64,
    known: u64,
    bad: u64,
}

/// How to go about it.
pub(super) struct Options {
    /// Stop at the first bad line.
    pub(super) strict: bool,
    pub(super) json: bool,
}

/// Enqueues every line of `file`. A bad line is named and hinders no other, unless `strict`.
pub(super) async fn run(file: &Path, options: Options, config: &Config) -> Result<(), Error> {
    let wrong = |error| Error::usage(format!("batch file {}: can't be read: {error}", file.display()));
    let (from, length): (Box<dyn Read + Send>, _) = if file == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let open = File::open(file).map_err(wrong)?;
        // Of a pipe or a device there is none.
        let length = open.metadata().map_err(wrong)?.len();
        (Box::new(open), (length > 0).then_some(length))
    };
    let bar = progress(length);
    let from = bar.wrap_read(from);
    let client = connect::client(config).await?;
    let (send, mut chunks) = mpsc::channel(1);
    // Reading blocks, for as long as it likes where it is a pipe.
    thread::spawn(move || read(from, &send));
    let mut count = Count::default();
    let ended = enqueue(&client, &mut chunks, &options, config, (&mut count, &bar)).await;
    bar.finish_and_clear();
    let Count { enqueued, known, bad } = count;
    output::note(&format!("{enqueued} enqueued, {known} there before, {bad} bad"));
    match ended {
        Ok(()) if bad > 0 => Err(Error::new(Code::Failed, format!("{bad} lines of the batch were not enqueued"))),
        ended => ended,
    }
}

/// How far it has come, on a terminal, unless ids are printed there; without `length`, how much.
fn progress(length: Option<u64>) -> ProgressBar {
    if std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    // Whatever isn't a terminal is not drawn on.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let template = match length {
        Some(_) => "{wide_bar} {percent} %  {msg}, {eta} left",
        None => "{bytes} read, {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("a good template"));
    bar
}

/// Lines with their numbers, as many as have come.
type Chunk = Vec<(u64, std::io::Result<Vec<u8>>)>;

async fn enqueue(
    client: &Client,
    chunks: &mut Receiver<Chunk>,
    options: &Options,
    config: &Config,
    (count, bar): (&mut Count, &ProgressBar),
) -> Result<(), Error> {
    while let Some(chunk) = chunks.recv().await {
        let (mut numbers, mut works, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in chunk {
            // Looked at before anything is sent, so that with `strict` nothing goes out that stands behind a bad line.
            match line.map_err(|error| error.to_string()).and_then(|line| request::object(&line)) {
                Ok(work) => {
                    numbers.push(number);
                    works.push(work);
                }
                Err(bad) => wrong.push((number, bad)),
            }
            if options.strict && !wrong.is_empty() {
                break;
            }
        }
        let answers = connect::within(config, client.enqueue_all(works)).await?;
        for (number, answer) in numbers.into_iter().zip(answers) {
            match answer {
                Ok(enqueued) => {
                    *(if enqueued.created { &mut count.enqueued } else { &mut count.known }) += 1;
                    if options.json {
                        output::json(&view::EnqueuedView { id: &enqueued.id, created: enqueued.created })?;
                    } else {
                        output::line(enqueued.id.as_str())?;
                    }
                }
                Err(error::Error { message, .. }) => wrong.push((number, message)),
            }
        }
        wrong.sort();
        for (number, why) in wrong {
            bar.suspend(|| refuse(number, &why, options, count))?;
        }
        bar.set_message(format!("{} enqueued, {} bad", count.enqueued, count.bad));
    }
    Ok(())
}

fn refuse(number: u64, why: &str, options: &Options, count: &mut Count) -> Result<(), Error> {
    count.bad += 1;
    if options.strict {
        return Err(Error::new(Code::Failed, format!("line {number}: {why}")));
    }
    output::warn(&format!("line {number}: {why}"));
    Ok(())
}

/// Sends what has come as soon as reading on might wait. Blank lines are skipped.
fn read(from: impl Read, to: &Sender<Chunk>) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let (mut chunk, mut bytes, mut number) = (Chunk::new(), 0, 0);
    loop {
        let line = next(&mut from);
        let last = matches!(line, Ok(None) | Err(_));
        if let Some(line) = line.transpose() {
            number += 1;
            bytes += line.as_ref().map_or(0, Vec::len);
            if !line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                chunk.push((number, line));
            }
        }
        let full = chunk.len() >= LINES || bytes >= BYTES;
        if (last || full || from.buffer().is_empty()) && !chunk.is_empty() {
            bytes = 0;
            if to.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return;
            }
        }
        if last {
            return;
        }
    }
}

/// The next line without its end; of one that is too long only so much that this can be told.
fn next(from: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let some = from.fill_buf()?;
        if some.is_empty() {
            return Ok(Some(line).filter(|line| !line.is_empty()));
        }
        let end = some.iter().position(|&byte| byte == b'\n');
        let part = &some[..end.unwrap_or(some.len())];
        let room = (LONGEST + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_found() {
        let text = [vec![b'x'; LONGEST + 10], b"\nshort\nlast".to_vec()].concat();
        let mut from = BufReader::with_capacity(1_000, &text[..]);
        let lengths: Vec<usize> = std::iter::from_fn(|| next(&mut from).unwrap()).map(|line| line.len()).collect();
        assert_eq!(lengths, [LONGEST + 1, 5, 4]);
    }
}
