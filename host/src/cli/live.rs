//! The live line of `run`: on a terminal, stderr ends with a line that shows how it goes; log lines pass above it.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tasq_host::broker::activity::Activity;
use tasq_host::broker::{Depth, Operations};
use tasq_host::sandbox::{Memory, Sandbox};
use tasq_host::worker::{Options, Pace};
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::fmt::MakeWriter;

/// Between two drawings, and the longest that a look at the broker may hold one up.
const BEAT: Duration = Duration::from_secs(1);
/// Counting what waits may take a while where much does: it is done at most a twentieth of the time.
const SPARING: u32 = 20;

/// The last line of the terminal; nothing where stderr is none.
#[derive(Clone)]
pub(crate) struct Line(ProgressBar);

/// Takes it from the terminal when it is dropped.
pub(crate) struct Shown {
    line: Line,
    _drawing: Option<AbortOnDropHandle<()>>,
}

impl Line {
    /// Empty until it is shown something.
    pub(crate) fn on_stderr() -> Line {
        // Whatever isn't a terminal is not drawn on.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // Cut to the terminal's width.
        bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("a good template"));
        Line(bar)
    }

    /// For logs that machines read.
    pub(crate) fn none() -> Line {
        Line(ProgressBar::hidden())
    }

    /// Shows what a worker with these options does, each second, until what is answered is dropped.
    pub(crate) fn show(&self, operations: Arc<dyn Operations>, sandbox: Arc<Sandbox>, options: &Options) -> Shown {
        let shown = |drawing| Shown { line: self.clone(), _drawing: drawing };
        if self.0.is_hidden() {
            return shown(None);
        }
        let (bar, options) = (self.0.clone(), options.clone());
        shown(Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut pace = Pace::new(&options.tally);
            let mut pending = Pending::default();
            loop {
                pending.look(&*operations, &sandbox, &options).await;
                let activity = pace.look(&options.tally);
                bar.set_message(text(&activity, options.concurrency, pending.count, sandbox.memory()));
                tokio::time::sleep(BEAT).await;
            }
        }))))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.line.0.finish_and_clear();
    }
}

/// What waits in the worker's queues, as it was last counted.
#[derive(Default)]
struct Pending {
    count: Option<u64>,
    again: Option<Instant>,
}

impl Pending {
    async fn look(&mut self, operations: &dyn Operations, sandbox: &Sandbox, options: &Options) {
        if self.again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        let began = Instant::now();
        let depths = tokio::time::timeout(BEAT, operations.depths(Duration::ZERO)).await;
        let queues = options.queues.with(&sandbox.handlers());
        let ours = |depth: &&Depth| queues.iter().any(|(queue, _)| *queue == depth.queue);
        // The worker itself says that a broker can't be reached.
        self.count = depths.ok().and_then(Result::ok).map(|depths| depths.iter().filter(ours).map(|d| d.pending).sum());
        self.again = Some(Instant::now() + began.elapsed() * SPARING);
    }
}

fn text(activity: &Activity, concurrency: usize, pending: Option<u64>, memory: Memory) -> String {
    let Activity { running, failed, done_per_second, .. } = activity;
    let pending = pending.map_or_else(|| "?".into(), |pending| pending.to_string());
    let size = |bytes| bytesize::ByteSize(bytes).to_string();
    let (used, limit) = (size(memory.used), size(memory.limit));
    format!(
        "{done_per_second:.0}/s · {running} of {concurrency} running · {pending} pending · {failed} failed · {used} of {limit}"
    )
}

/// Writes above the line.
impl<'a> MakeWriter<'a> for Line {
    type Writer = Above<'a>;

    fn make_writer(&'a self) -> Above<'a> {
        Above(&self.0)
    }
}

/// See [`Line`].
pub(crate) struct Above<'a>(&'a ProgressBar);

impl Write for Above<'_> {
    /// Called once for each whole log line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_worker_fits_on_eighty_columns() {
        let activity = Activity { running: 32, failed: 123, done_per_second: 12_345.6, ..Activity::default() };
        let line = text(&activity, 32, Some(1_234_567), Memory { used: 1 << 30, limit: 5 << 30 });
        assert_eq!(line, "12346/s · 32 of 32 running · 1234567 pending · 123 failed · 1.0 GiB of 5.0 GiB");
        assert!(line.chars().count() <= 80);
        assert!(text(&activity, 32, None, Memory { used: 0, limit: 1 }).contains("? pending"));
    }
}
