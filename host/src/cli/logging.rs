//! Logs go to stderr, as text or as JSON.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

pub(crate) use crate::config::LogFormat;

/// What is logged at least: by the host, by guests, and of what guests write to stderr (none where that is shown in
/// another way).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) host: Level,
    pub(crate) guests: Level,
    pub(crate) stderr: Option<Level>,
}

impl Levels {
    /// A worker with `-v` given so many times: what is noteworthy, each task as well, everything.
    pub(crate) fn of(verbose: u8) -> Levels {
        let (host, guests) = match verbose {
            0 => (Level::INFO, Level::WARN),
            1 => (Level::DEBUG, Level::INFO),
            _ => (Level::TRACE, Level::TRACE),
        };
        Levels { host, guests, stderr: Some(guests) }
    }
}

/// Sets up logging for this process, to stderr or to what passes on to it.
pub(crate) fn start(
    format: LogFormat,
    Levels { host, guests, stderr }: Levels,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) {
    let levels = Targets::new().with_default(Level::WARN).with_target("tasq_host", host).with_target("guest", guests);
    let levels = levels.with_target("guest::stderr", stderr.map_or(LevelFilter::OFF, LevelFilter::from_level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        // A failed write would be reported to stderr, which has just failed, and that would be a panic.
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
}
