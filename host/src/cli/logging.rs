//! Logs go to stderr, as text or as JSON.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

pub(crate) use crate::config::LogFormat;

/// What is logged at least: by the host, and by guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) host: Level,
    pub(crate) guests: Level,
}

impl Levels {
    /// A worker with `-v` given so many times: what is noteworthy, each task as well, everything.
    pub(crate) fn of(verbose: u8) -> Levels {
        match verbose {
            0 => Levels { host: Level::INFO, guests: Level::WARN },
            1 => Levels { host: Level::DEBUG, guests: Level::INFO },
            _ => Levels { host: Level::TRACE, guests: Level::TRACE },
        }
    }
}

/// Sets up logging for this process.
pub(crate) fn start(format: LogFormat, Levels { host, guests }: Levels) {
    let levels = Targets::new().with_default(Level::WARN).with_target("tasq_host", host).with_target("guest", guests);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A failed write would be reported to stderr, which has just failed, and that would be a panic.
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
}
