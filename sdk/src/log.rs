//! Structured logging into the host's own logs, which add the task's id, handler and attempt.
//!
//! The macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
//! [`error!`](crate::error) take fields first, then a message in the manner of `format!`:
//!
//! ```
//! # let (name, n) = ("a.csv", 3);
//! tasq_sdk::info!("done");
//! tasq_sdk::warn!(file = name, rows = n + 1, "{name} has a short last row");
//! ```
//!
//! A message below the host's level costs one call and no formatting.

use std::fmt;

use crate::host;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a fault in the handler.
    Debug,
    /// Worth knowing in normal operation.
    Info,
    /// Odd, but the run goes on.
    Warn,
    /// Something failed.
    Error,
}

/// False where a message of this level would be dropped.
pub fn enabled(level: Level) -> bool {
    host::log_enabled(level)
}

/// Writes a message with its fields. Field names are `[a-z0-9._-]`.
pub fn write(level: Level, message: &str, fields: &[(&str, String)]) {
    host::log(level, message, fields);
}

#[doc(hidden)]
pub fn event(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &dyn fmt::Display)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.to_string())).collect();
    write(level, &message.to_string(), &fields);
}

/// Logs at a [`Level`](crate::log::Level) that is only known at run time: `event!(level, rows = n, "read {file}")`.
#[macro_export]
macro_rules! event {
    ($level:expr, $($name:ident = $value:expr,)* $format:literal $($arguments:tt)*) => {{
        let level: $crate::log::Level = $level;
        if $crate::log::enabled(level) {
            $crate::log::event(
                level,
                ::std::format_args!($format $($arguments)*),
                &[$((::std::stringify!($name), &$value as &dyn ::std::fmt::Display)),*],
            );
        }
    }};
}

/// Logs every step: `trace!(row = n, "read")`.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::event!($crate::log::Level::Trace, $($message)+) };
}

/// Logs for whoever looks for a fault in the handler: `debug!(row = n, "skipped")`.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::event!($crate::log::Level::Debug, $($message)+) };
}

/// Logs what is worth knowing in normal operation: `info!(rows = n, "imported {file}")`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::event!($crate::log::Level::Info, $($message)+) };
}

/// Logs what is odd, though the run goes on: `warn!(row = n, "no price")`.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::event!($crate::log::Level::Warn, $($message)+) };
}

/// Logs what failed: `error!(status = code, "refused")`.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::event!($crate::log::Level::Error, $($message)+) };
}
